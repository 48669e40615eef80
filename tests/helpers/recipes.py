"""The recipes of the documentation, as tests read them."""

from pages import DOCS, texts

RECIPES = DOCS / "recipes"


def blocks(name, language):
    """The fenced blocks of a recipe that are marked with a language."""
    return texts(RECIPES / name, language)
