"""What lies in nested tuples, lists, mappings and dataclasses: inputs and outputs of networks come like that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from flame_metric.errors import ConfigError

__all__ = ["leaves"]

_DEEPEST = 32


_NUMBERS = {bool, int, float, complex}


def leaves(item: Any, depth: int = 0, *, each: bool = True) -> Iterator[Any]:
    """Yield what lies in nested tuples, lists, mappings and dataclasses; what is none of them, as it is.

    Parameters
    ----------
    item : object
    depth : int
        How deeply it is nested already.
    each : bool
        Whether each number of a list is yielded that holds nothing else, or only one, which takes much less time.

    Raises
    ------
    ConfigError
        If they are nested more deeply than 32, or hold themselves.

    Examples
    --------
    >>> list(leaves({"out": [1, (2, 3)], "aux": None}))
    [1, 2, 3, None]
    >>> list(leaves([[1, 2], [3, 4]], each=False))
    [1, 3]
    """
    if isinstance(item, Mapping):
        item = tuple(item.values())
    elif is_dataclass(item) and not isinstance(item, type):
        item = tuple(getattr(item, field.name) for field in fields(item))
    if not isinstance(item, (tuple, list)):
        yield item
        return
    if depth == _DEEPEST:
        raise ConfigError(f"a {type(item).__name__} is nested more deeply than {_DEEPEST}, or holds itself")
    if not each and set(map(type, item)) <= _NUMBERS:
        item = item[:1]
    for part in item:
        yield from leaves(part, depth + 1, each=each)
