"""Inputs that a network is timed on in turn: distinct ones, that must come out as they went in.

One input over and over would stay in the caches, and a network that changes its input is timed on something else at
each call. Arrays and tensors are compared by their content, and so are tuples, lists and dictionaries of them.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from flame_metric.core.checks import check_integer
from flame_metric.core.labels import as_numpy
from flame_metric.errors import ConfigError, FlameWarning
from flame_metric.latency.nesting import leaves
from flame_metric.latency.timers import Timer

__all__ = ["Ring"]


class Ring:
    """Inputs with the content that they have at the beginning.

    Parameters
    ----------
    items : sequence
        Arrays, tensors, or tuples, lists and dictionaries of them.
    fewest : int
        How many of them must differ from each other.
    timer : Timer
        What will time calls on them.

    Raises
    ------
    ConfigError
        If there are fewer, or one lies on a device that the timer does not wait for.
    """

    def __init__(self, items: Sequence[Any], fewest: int, timer: Timer) -> None:
        self.items = items
        fewest = check_integer("min_inputs", fewest, 1)
        for index, item in enumerate(items):
            for leaf in leaves(item):
                _check_device(leaf, index, timer)
        self._contents = [_content(item) for item in items]
        distinct = len({content or id(item) for item, content in zip(items, self._contents, strict=True)})
        if distinct < fewest:
            raise ConfigError(
                f"`inputs` holds {len(items)} input(s), {distinct} of them distinct, expected at least {fewest}: what "
                "lies in the caches is processed faster. Give more frames, or allow fewer by `min_inputs`"
            )
        if None in self._contents:
            kind = type(items[self._contents.index(None)]).__name__
            warnings.warn(
                f"`inputs` holds a {kind}, whose content cannot be compared: whether `run` changes it remains unknown",
                FlameWarning,
                stacklevel=3,
            )

    def check(self, calls: int) -> None:
        """Compare each input with what it was.

        Raises
        ------
        ConfigError
            If one has changed.
        """
        for index, (item, content) in enumerate(zip(self.items, self._contents, strict=True)):
            if content is not None and _content(item) != content:
                raise ConfigError(
                    f"`run` changed its input: after {calls} calls inputs[{index}] is not what it was, so later calls "
                    "were timed on other data; let `run` work on a copy"
                )

    def describe(self) -> dict[str, Any]:
        """Return number, element types and shapes."""
        kinds = {_kind(leaf) for item in self.items for leaf in leaves(item)}
        return {"number": len(self.items), "kinds": sorted(kinds)}


def _check_device(leaf: Any, index: int, timer: Timer) -> None:
    if hasattr(leaf, "detach") and leaf.device.type not in ("cpu", timer.device):
        raise ConfigError(
            f"`inputs[{index}]` lies on {leaf.device}, for which {type(timer).__name__} does not wait, expected a timer"
            " that does: time a torch_runner, or pass timer=CudaTimer()"
        )


def _content(item: Any) -> bytes | None:
    """Return a digest of an input, or None if a part of it is not an array."""
    digest = hashlib.blake2b()
    for leaf in leaves(item):
        array = _array(leaf)
        if array is None:
            return None
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.digest()


def _array(leaf: Any) -> np.ndarray[Any, Any] | None:
    try:
        array = as_numpy(leaf)
    except (ValueError, TypeError, RuntimeError):
        return None
    return None if array.dtype.hasobject else array


def _kind(leaf: Any) -> str:
    if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
        return f"{str(leaf.dtype).removeprefix('torch.')} {tuple(leaf.shape)}"
    return type(leaf).__name__
