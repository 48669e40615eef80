"""Runner: a network, or any other callable, with what it takes to time it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from flame_metric.latency.timers import HostTimer, Timer

__all__ = ["Runner"]


def _unchanged(item: Any) -> Any:
    return item


@dataclass(frozen=True)
class Runner:
    """A network with what it takes to time it. Called, it prepares its input and returns the network's output.

    Attributes
    ----------
    run : callable
        From a prepared input to the output: what is timed.
    boundary : str
        What lies between its beginning and its end, such as ``"forward+argmax"``.
    timer : Timer
        One that waits for the device on which it runs.
    prepare : callable
        From an input to a prepared one: what is done before the clock starts.
    context : callable
        Returns a context manager that holds while calls are made, and restores what it changed.
    describe : callable
        Returns what JSON can hold of its settings, for the metadata.
    """

    run: Callable[[Any], Any]
    boundary: str = "call"
    timer: Timer = field(default_factory=HostTimer)
    prepare: Callable[[Any], Any] = _unchanged
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    describe: Callable[[], Mapping[str, Any]] = dict

    def __call__(self, item: Any) -> Any:
        """Return the output for one input."""
        with self.context():
            return self.run(self.prepare(item))
