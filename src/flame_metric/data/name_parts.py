"""The parts of a name: runs of the digits 0-9, the texts around them, and the words in these."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain

__all__ = [
    "SEPARATORS",
    "WORDS_OF_FRAMES",
    "Runs",
    "Texts",
    "cut_name",
    "is_of_word",
    "join_parts",
    "mark_digits",
    "normalize_name",
    "texts_of",
    "word_before",
]

SEPARATORS = "_-. "
"""What stands between the parts of names."""
Texts = tuple[str, ...]
Runs = tuple[str, ...]

_RUN = re.compile(r"([0-9]+)")
WORDS_OF_FRAMES = frozenset(
    ("f", "fr", "frm", "frame", "frames", "i", "idx", "im", "image", "img", "index", "n", "no", "num", "t", "time")
)
"""Words before the number of a frame."""


def normalize_name(text: str) -> str:
    r"""Return a name in the form (NFC) in which it is compared: one name may be spelled in two ways.

    Examples
    --------
    >>> normalize_name("ko\N{COMBINING DIAERESIS}ln") == "k\N{LATIN SMALL LETTER O WITH DIAERESIS}ln"
    True
    """
    return unicodedata.normalize("NFC", text)


def cut_name(name: str) -> tuple[Texts, Runs]:
    """Return the texts around the digits of a name, and the digits."""
    pieces = _RUN.split(name)
    return tuple(pieces[::2]), tuple(pieces[1::2])


def texts_of(name: str) -> Texts:
    """Return the texts around the digits of a name."""
    return cut_name(name)[0]


def join_parts(texts: Sequence[str], runs: Sequence[str]) -> str:
    """Return the name, or its beginning, of which these are the parts, in turn."""
    return "".join(chain.from_iterable(zip(texts, (*runs, ""), strict=False)))


def mark_digits(name: str) -> str:
    """Return a name with its digits in brackets."""
    return _RUN.sub(r"[\1]", name)


def word_before(text: str) -> str:
    """Return the letters at the end of a text."""
    found = len(text)
    while found and text[found - 1].isalpha():
        found -= 1
    return text[found:].lower()


def is_of_word(before: str, after: str) -> bool:
    """Whether letters are attached to digits between these texts, and do not say that they number frames."""
    word = word_before(before)
    return bool(word or after[:1].isalpha()) and word not in WORDS_OF_FRAMES
