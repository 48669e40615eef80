"""What a latency is measured with: a timer that waits for the device, and a network with its settings.

One call is timed at a time. The host's clock is read right before and right after it. A timer for a device whose work
goes on after the call has returned waits for that device both times, and may add the device's own time.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

__all__ = ["HostTimer", "Runner", "Sample", "Timer", "describe_host"]

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Sample(NamedTuple):
    """One timed call, in nanoseconds: by the host's clock, and by the device's own where it has one."""

    host_ns: int
    device_ns: int | None = None


class Timer(Protocol):
    """What times a call. ``device`` is the kind of device that it waits for."""

    @property
    def device(self) -> str:
        """``"cpu"``, ``"cuda"``, ..."""

    def now_ns(self) -> int:
        """Return the host's time."""

    def time(self, run: Callable[[Any], Any], item: Any) -> Sample:
        """Call ``run(item)`` and return how long it took."""

    def describe(self) -> Mapping[str, Any]:
        """Return what JSON can hold of the device and its settings."""


@dataclass(frozen=True)
class HostTimer:
    """The clock of the host, for what has its result when it returns.

    Parameters
    ----------
    clock : callable
        Nanoseconds.

    Examples
    --------
    >>> ticks = iter([10, 35])
    >>> HostTimer(clock=lambda: next(ticks)).time(abs, -1)
    Sample(host_ns=25, device_ns=None)
    """

    clock: Callable[[], int] = time.perf_counter_ns

    @property
    def device(self) -> str:
        """It waits for no device."""
        return "cpu"

    def now_ns(self) -> int:
        """Return the host's time."""
        return self.clock()

    def time(self, run: Callable[[Any], Any], item: Any) -> Sample:
        """Call ``run(item)`` and return how long it took."""
        start = self.clock()
        output = run(item)
        end = self.clock()
        del output  # not before: to free it is no part of the call
        return Sample(end - start)

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: the host is described in any case."""
        return {}


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
    batch : callable, optional
        From several prepared inputs of one shape to their outputs, in one pass: those that ``run`` gives for each, to
        the last bit. None if it takes one at a time.
    """

    run: Callable[[Any], Any]
    boundary: str = "call"
    timer: Timer = HostTimer()
    prepare: Callable[[Any], Any] = _unchanged
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    describe: Callable[[], Mapping[str, Any]] = dict
    batch: Callable[[Sequence[Any]], Sequence[Any]] | None = None

    def __call__(self, item: Any) -> Any:
        """Return the output for one input."""
        with self.context():
            return self.run(self.prepare(item))


def describe_host() -> dict[str, Any]:
    """Return what JSON can hold of this machine and of Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cores,
        "thread_limits": {name: os.environ[name] for name in _THREAD_LIMITS if name in os.environ},
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
