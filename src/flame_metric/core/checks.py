"""Checks of arguments that many modules take: once, at the door."""

from __future__ import annotations

import numbers
import os
import reprlib
from collections.abc import Iterator, Mapping, Set
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeGuard

from flame_metric.errors import ConfigError, ShapeError, quoted

__all__ = [
    "CLIP",
    "check_choice",
    "check_id",
    "check_integer",
    "check_kind",
    "check_path",
    "is_integer",
    "is_possible_path",
    "items",
    "of_sequence",
    "pair_frames",
]

_END = object()
_LONGEST_PATH = 4096
_LONGEST_NAME = 255

CLIP = "an iterable of label maps, with None where there is none"
"""What :func:`items` expects of the predictions and targets of a clip."""


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number (NumPy's too) and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_integer(argument: str, value: object, least: int, *, most: int | None = None, unit: str = "") -> int:
    """Return a whole number of at least ``least``, and at most ``most``, as int.

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    if not is_integer(value) or value < least or (most is not None and value > most):
        expected = f"a whole number of {unit} >= {least}" if unit else f"a whole number >= {least}"
        limit = "" if most is None else f" (at most {most:,})"
        raise ConfigError(f"`{argument}` is {quoted(value)}, expected {expected}{limit}")
    return int(value)


def check_kind(argument: str, value: object, kind: type, expected: str) -> None:
    """Refuse what is of another kind.

    Raises
    ------
    ConfigError
        If it is.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"`{argument}` is {reprlib.repr(value)}, expected {expected}")


def check_choice(argument: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of some texts.

    Raises
    ------
    ConfigError
        If it is none of them.
    """
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"`{argument}` is {quoted(value)}, expected one of {', '.join(choices)}")


def check_id(sequence: object, *, least: int = 0) -> None:
    """Refuse a sequence id that is not text, or shorter than ``least`` characters.

    Raises
    ------
    ConfigError
        If it is.
    """
    if not isinstance(sequence, str) or len(sequence) < least:
        raise ConfigError(f"`sequence` is {quoted(sequence)}, expected a text id")


def of_sequence(sequence: str) -> str:
    """Say in a message to which sequence something belongs; nothing for the id ""."""
    return f" of sequence {quoted(sequence)}" if sequence else ""


def check_path(path: object) -> Path:
    """Return the path of a file.

    Raises
    ------
    ConfigError
        If it is neither text nor a path, names no file, or is longer than the name of a file can be.
    """
    if isinstance(path, str | os.PathLike):
        text = os.fspath(path)
        if isinstance(text, str) and "\0" not in text and Path(text).name and len(text) <= _LONGEST_PATH:
            return Path(text)
    raise ConfigError(f"`path` is {quoted(path)}, expected the name of a file")


def is_possible_path(text: str) -> bool:
    """Whether a file can have such a path: a longer text is what a file holds, or was made to flood messages."""
    names = text.replace("\\", "/").split("/")
    return len(text) <= _LONGEST_PATH and all(
        len(name.encode(errors="surrogateescape")) <= _LONGEST_NAME for name in names
    )


def items(argument: str, values: object, expected: str) -> Iterator[Any]:
    """Return an iterator over what has an order: a list, an array, a generator; no text, mapping or set.

    Raises
    ------
    ConfigError
        If there is no such order.
    """
    if not isinstance(values, str | bytes | bytearray | Mapping | Set):
        try:
            return iter(values)  # type: ignore[call-overload,no-any-return]
        except TypeError:  # an array without axes has the method, and refuses here
            pass
    raise ConfigError(f"`{argument}` is {reprlib.repr(values)}, expected {expected}")


def pair_frames(preds: object, targets: object) -> Iterator[tuple[int, Any, Any]]:
    """Go through a clip: frame number, prediction, target.

    Raises
    ------
    ConfigError
        If one of the two is nothing to iterate over.
    ShapeError
        If one of them is longer.
    """
    sides = (items(argument, maps, CLIP) for argument, maps in (("preds", preds), ("targets", targets)))
    for frame, (pred, target) in enumerate(zip_longest(*sides, fillvalue=_END)):
        if pred is _END or target is _END:
            longer = "targets" if pred is _END else "preds"
            raise ShapeError(f"`{longer}` goes on after {frame} frame(s), expected as many predictions as targets")
        yield frame, pred, target
