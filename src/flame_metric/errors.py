"""Errors and the warning of this package.

Every message names the argument (in backticks) or the file, says what was found (with a count), what was expected, and
what to do about it.
"""

from __future__ import annotations

import os
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


class FlameError(Exception):
    """Base of every error that this package raises on purpose."""


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
        super().__init__(message)
        self.path = None if path is None else os.fspath(path)


class StateError(FlameError, RuntimeError):
    """Counts that may not be combined: unlike configurations, a sequence scored twice, a damaged record."""


class MissingExtraError(FlameError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class FlameWarning(UserWarning):
    """Something moved no number but should be known: nothing to score, a duplicate dropped."""


def shortened(names: Iterable[str], limit: int = 5) -> str:
    """Join names for a message, the first few of them where there are many."""
    listed = list(names)
    return ", ".join(listed[:limit]) + (", ..." if len(listed) > limit else "")


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
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(f"{what}: {type(error).__name__}: {reason}") from error
