"""Errors and the warning of this package.

Every message names the argument (in backticks) or the file, says what was found (with a count), what was expected, and
what to do about it. It quotes at most 200 characters of a file: ``cut``, ``quoted`` and ``shortened`` see
to that, and no word of an error or a warning is longer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = [
    "ConfigError",
    "DatasetError",
    "FlameError",
    "FlameWarning",
    "LabelError",
    "MissingExtraError",
    "ShapeError",
    "StateError",
]


_MOST_QUOTED = 200
_LONG_WORD = re.compile(rf"[^\s/\\]{{{_MOST_QUOTED + 1},}}|\S{{4097,}}")  # no part of a path, and no path


class FlameError(Exception):
    """Base of every error that this package raises on purpose."""

    def __init__(self, message: object = "", *, place: str = "") -> None:
        text = str(message)  # the name that a caller gave to a file stays whole
        beginning = place if text.startswith(place) else ""
        super().__init__(beginning + _with_short_words(text.removeprefix(beginning)))


class LabelError(FlameError, ValueError):
    """Values that are not labels: outside the classes, of a wrong kind, or scores that decide for none.

    Attributes
    ----------
    argument : str or None
        Which argument holds them: ``"pred"`` or ``"target"``.
    """

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class ShapeError(FlameError, ValueError):
    """Arrays whose shapes do not belong together, or that hold no pixel."""


class ConfigError(FlameError, ValueError):
    """Options that are out of range or contradict each other."""


class DatasetError(FlameError, ValueError):
    """Files that are missing, damaged or inconsistent.

    Attributes
    ----------
    path : str or None
        The file or folder at fault.
    """

    def __init__(self, message: str, *, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else os.fspath(path)
        super().__init__(message, place=self.path or "")


class StateError(FlameError, RuntimeError):
    """Counts that may not be combined: unlike configurations, a sequence scored twice, a damaged record."""


class MissingExtraError(FlameError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class FlameWarning(UserWarning):
    """Something moved no number but should be known: nothing to score, a duplicate dropped."""

    def __init__(self, message: object = "") -> None:
        super().__init__(_with_short_words(message))


def _with_short_words(message: object) -> str:
    return _LONG_WORD.sub(lambda word: cut(word[0]), str(message))


def cut(text: str, most: int = _MOST_QUOTED) -> str:
    """Return text for a message; of a longer one only its beginning and its end.

    Examples
    --------
    >>> cut("0123456789" * 3, 13)
    '01234...56789'
    """
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[len(text) - half :]}"


def quoted(value: object, most: int = 100) -> str:
    """Return what :func:`repr` says of a value that may come from a file, cut for a message."""
    return cut(repr(value), most)


def shortened(names: Iterable[str], limit: int = 5, most: int = _MOST_QUOTED, separator: str = ", ") -> str:
    """Join names for a message, the first few of them where there are many; of a long one its beginning and end.

    Parameters
    ----------
    names : iterable of str
    limit : int
        How many, at most.
    most : int
        Characters, at most.
    separator : str
        What stands between them.
    """
    listed = list(names)
    shown: list[str] = []
    for name in (cut(name, max(100, most // limit)) for name in listed[:limit]):
        if shown and len(separator.join([*shown, name])) > most - len(", ..."):
            break
        shown.append(name)
    return separator.join(shown) + (f"{separator}..." if len(listed) > len(shown) else "")


@contextmanager
def located(place: str) -> Iterator[None]:
    """Put before the message of a :class:`LabelError` or :class:`ShapeError` where in a clip it arose."""
    try:
        yield
    except (LabelError, ShapeError) as error:
        error.args = (f"{place}: {error}",)
        raise


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn whatever somebody else's code raises into one line; its cause is kept.

    Raises
    ------
    ConfigError
        In place of any error that is none of this package.
    """
    try:
        yield
    except FlameError:
        raise
    except (Exception, SystemExit) as error:
        reason = cut(str(error).strip().partition("\n")[0])
        raise ConfigError(f"{what}: {type(error).__name__}: {reason}") from error
