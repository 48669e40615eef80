"""Checks of arguments that many modules take: once, at the door."""

from __future__ import annotations

import numbers
from typing import TypeGuard

from flame_metric.errors import ConfigError

__all__ = ["check_integer", "is_integer"]


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number (NumPy's too) and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_integer(argument: str, value: object, least: int, *, unit: str = "") -> int:
    """Return a whole number of at least ``least`` as int.

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    if not is_integer(value) or value < least:
        expected = f"a whole number of {unit} >= {least}" if unit else f"a whole number >= {least}"
        raise ConfigError(f"`{argument}` is {value!r}, expected {expected}")
    return int(value)
