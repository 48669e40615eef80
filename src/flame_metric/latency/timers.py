"""What times a call: the clock of the host, or a timer that waits for a device.

One call is timed at a time. The host's clock is read right before and right after it. A timer for a device whose work
goes on after the call has returned waits for that device both times, and may add the device's own time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

__all__ = ["HostTimer", "Sample", "Timer"]


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
        del output  # not before: to free it is not part of the call
        return Sample(end - start)

    def describe(self) -> Mapping[str, Any]:
        """Return nothing: the host is described in any case."""
        return {}
