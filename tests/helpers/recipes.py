"""The recipes of the documentation, as tests read them."""

import re
from pathlib import Path

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"


def blocks(name, language):
    """The fenced blocks of a recipe that are marked with a language."""
    text = (RECIPES / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
