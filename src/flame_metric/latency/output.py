"""What a timed call returns: its work must be done when the clock is read.

A coroutine, a generator, a ``map``, a future, a thread or a callable is there at once, and its work is not; nor is that
of a lazy array. So an output is looked at inside the timed part. Arrays, tensors and numbers are taken, and tuples,
lists, mappings and dataclasses of them, where text and None may lie beside them; libraries whose arrays are computed
later are waited for. Everything else is refused.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from threading import Thread
from typing import Any

import numpy as np

from flame_metric.errors import ConfigError
from flame_metric.latency.nesting import leaves

__all__ = ["finish_output"]

_NUMBERS = (bool, int, float, complex, np.generic)
_BESIDE = (str, bytes, type(None))
_PROTOCOLS = ("__array_interface__", "__array_namespace__", "__dlpack__")  # of arrays that are no more than arrays


def finish_output(output: Any, device: str = "cpu") -> None:
    """Wait for an output, and refuse one whose work may not be done.

    Parameters
    ----------
    output : object
        What a call returned.
    device : str
        The kind of device that the timer waits for, such as ``"cuda"``.

    Raises
    ------
    ConfigError
        If it is not made of arrays, tensors and numbers, holds none of them, or lies on another device.

    Examples
    --------
    >>> finish_output({"out": np.zeros((2, 3)), "aux": None})
    >>> finish_output(map(abs, [1, 2]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    flame_metric.errors.ConfigError: `run` returns a map, which has not computed its items yet, expected ...
    """
    if type(output) is np.ndarray and not output.dtype.hasobject:  # nothing else is to be timed
        return
    found = [_finish(leaf, device) for leaf in leaves(output, each=False)]
    if not any(found):
        raise _refusal(output, "holds no array" if output is not None else "is not an array", "return what it computes")


def _finish(leaf: Any, device: str) -> bool:
    """Wait for an array or a number; False for what may lie beside them."""
    if isinstance(leaf, _NUMBERS):
        return True
    if isinstance(leaf, _BESIDE):
        return False
    torch: Any = sys.modules.get("torch")  # without it nothing is a tensor
    if torch is not None and isinstance(leaf, torch.Tensor):
        if leaf.device.type not in ("cpu", device):
            raise ConfigError(
                f"`run` returns a tensor on {leaf.device}, for which the timer does not wait, expected one that does: "
                "time a torch_runner, pass timer=CudaTimer(), or copy the result to the CPU inside `run`"
            )
        if type(leaf) not in (torch.Tensor, torch.nn.Parameter) and leaf.layout == torch.strided:
            leaf.reshape(-1)[:1].tolist()  # kinds of tensors that wait for their values when these are read
        return True
    if _is_array(type(leaf)):
        if callable(wait := getattr(leaf, "block_until_ready", None)):
            wait()
            return True
        try:
            array = np.asarray(leaf)
        except Exception as error:
            reason = f"cannot be read in the host's memory ({type(error).__name__})"
            raise _refusal(leaf, reason, "copy it there") from error
        if not array.dtype.hasobject:
            return True
    reason, remedy = _reason(leaf)
    raise _refusal(leaf, reason, remedy)


def _is_array(kind: type) -> bool:
    return any(hasattr(kind, protocol) for protocol in _PROTOCOLS)


def _refusal(output: Any, reason: str, remedy: str) -> ConfigError:
    if isinstance(output, Coroutine):
        output.close()  # else Python warns that it was never awaited
    what = "None" if output is None else f"a {type(output).__name__}"
    return ConfigError(
        f"`run` returns {what}, which {reason}, expected arrays or tensors, or tuples, lists and dictionaries of them: "
        f"{remedy} inside `run`"
    )


_KINDS: tuple[tuple[type | tuple[type, ...], str, str], ...] = (
    ((Awaitable, AsyncIterator), "is not awaited yet", "await it, such as by asyncio.run,"),
    (Iterator, "has not computed its items yet", "make a list of it"),
    (Thread, "may still run", "join it, and return its result"),
)


def _reason(leaf: Any) -> tuple[str, str]:
    """Say why an output is refused, and what to do about it."""
    for kind, reason, remedy in _KINDS:
        if isinstance(leaf, kind):
            return reason, remedy
    if callable(getattr(leaf, "result", None)):
        return "may not be done yet", "wait for its result"
    if isinstance(leaf, np.ndarray):
        return "holds Python objects", "return arrays of numbers"
    if hasattr(leaf, "__array__"):
        return "may compute its array only when that is read", "return numpy.asarray of it"
    if isinstance(leaf, Callable):  # type: ignore[arg-type]
        return "has computed nothing yet", "call it"
    return "may not be done yet", "return its arrays"
