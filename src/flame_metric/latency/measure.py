"""How a latency is measured: the time from having a frame to having its label map, one frame at a time.

What a viewer waits for is wall-clock time, the launch of the work included. So the clock of the host is read right
before and right after each call, and the device is waited for both times. The output is looked at before the clock is
read again: what returns before its work is done is refused. The mean of a block of calls would be a throughput, which
no frame ever sees.

- Before samples are taken the latency must have settled: at least ``warmup`` calls, until the median of the last 10
  lies within 2 % of the median of the 10 before. The first call may compile; it does not count against the time limit.
- Every sample is kept, in the order of time. Nothing is discarded, averaged or smoothed.
- Calls go round a ring of distinct inputs, and the inputs must come out as they went in.
- Calls follow each other at once, or at the rate of a camera: clocks fall between frames, and that costs time as well.
- Python's garbage collector rests meanwhile.
"""

from __future__ import annotations

import gc
import math
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from flame_metric._version import __version__
from flame_metric.core.checks import check_integer
from flame_metric.core.clock import NS_PER_S, Fps, as_fps, exact_fraction
from flame_metric.core.tables import rate_text
from flame_metric.errors import ConfigError, FlameWarning, shortened
from flame_metric.latency.output import finish_output
from flame_metric.latency.ring import Ring
from flame_metric.latency.runner import Runner
from flame_metric.latency.timers import Sample, Timer
from flame_metric.latency.trace import PROVENANCE, LatencyTrace

__all__ = ["describe_host", "measure_latency"]

WINDOW = 10
"""Calls whose median is compared with that of as many before them."""

_SETTLED_PERCENT = 2
_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measure_latency(
    run: Callable[[Any], Any],
    inputs: Iterable[Any],
    *,
    warmup: int = 10,
    samples: int = 200,
    timer: Timer | None = None,
    boundary: str | None = None,
    pace_fps: Fps | None = None,
    warmup_cap_s: float = 20,
    time_cap_s: float = 60,
    min_samples: int = 30,
    min_inputs: int = 4,
    metadata: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], object] | None = None,
    sleep: Callable[[float], object] = time.sleep,
    today: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> LatencyTrace:
    """Time single calls of a network, as the module says, and return all of them.

    Parameters
    ----------
    run : callable
        Called with one input; a torch module as ``torch_runner(module)``. It returns arrays, tensors or numbers, or
        tuples, lists, mappings and dataclasses of them. These must be there when it returns, or ``timer`` must wait for
        them: PyTorch on a CUDA device needs ``CudaTimer``, which :func:`~flame_metric.torch.runner.torch_runner` brings
        along.
    inputs : iterable
        Frames: arrays, tensors, or tuples, lists and dictionaries of them. They are used in turn.
    warmup : int
        Calls before the first sample, at least; 0 together with ``warmup_cap_s=0`` measures a cold start.
    samples : int
        Samples to take.
    timer : Timer, optional
        Default: that of a ``Runner``, or the clock of the host.
    boundary : str, optional
        What is timed, in words, for the metadata. Default: that of a ``Runner``, or ``"call"``.
    pace_fps : number or text, optional
        Make calls when frames of this rate arrive; frames that arrive during a call are missed. Default: at once.
    warmup_cap_s, time_cap_s : float
        Seconds after which the warm-up ends (with a warning), and after which no further sample is begun.
    min_samples : int
        Samples to take even if that takes longer.
    min_inputs : int
        Inputs that must differ from each other; 1 allows to time a single one, whose data may stay in the cache.
    metadata : mapping of str to JSON values, optional
        More to say about the run, such as the name of the network.
    progress : callable, optional
        Called between calls with (samples taken, samples).
    sleep, today : callable
        Waits for seconds; returns the date and time, for the provenance.

    Returns
    -------
    LatencyTrace
        The warm-up apart; metadata with host, versions, inputs, boundary and pacing; under ``"provenance"`` what is
        true only of this run.

    Raises
    ------
    ConfigError
        If an option is out of range, there are too few distinct inputs, ``run`` changes them, they lie on a device that
        the timer does not wait for, or ``run`` returns before its work is done, such as a coroutine or a generator.

    Warns
    -----
    FlameWarning
        If the latency did not settle, or inputs are of a kind that cannot be compared.

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.random.default_rng(0).standard_normal((4, 19, 64, 128))
    >>> trace = measure_latency(lambda frame: frame.argmax(axis=0), frames, samples=50)
    >>> len(trace), trace.metadata["inputs"]
    (50, {'number': 4, 'kinds': ['float64 (19, 64, 128)']})
    """
    torch = sys.modules.get("torch")  # without it nothing is a module
    if torch is not None and isinstance(run, torch.nn.Module):
        raise ConfigError(
            "`run` is a torch module, which would be timed as it is, perhaps in training: expected "
            "torch_runner(module), which puts it into inference mode and waits for its device"
        )
    runner = run if isinstance(run, Runner) else Runner(run)
    timer = runner.timer if timer is None else timer
    if runner.timer.device not in ("cpu", timer.device):
        raise ConfigError(
            f"`timer` is a {type(timer).__name__}, which does not wait for {runner.timer.device}, expected the timer "
            "of the runner: leave `timer` out"
        )
    warmup, samples = check_integer("warmup", warmup, 0, unit="calls"), check_integer("samples", samples, 1)
    min_samples = check_integer("min_samples", min_samples, 1)
    warmup_cap, time_cap = _seconds("warmup_cap_s", warmup_cap_s), _seconds("time_cap_s", time_cap_s)
    rate = None if pace_fps is None else as_fps(pace_fps)
    with runner.context(), _garbage_collector_off():
        ring = Ring([runner.prepare(item) for item in inputs], min_inputs, timer)
        described = {
            **describe_host(),
            **timer.describe(),
            **runner.describe(),
            "inputs": ring.describe(),
            "boundary": runner.boundary if boundary is None else boundary,
            "pacing": None if rate is None else f"{rate_text(rate)} fps",
        }
        described = _joined(described, metadata or {})
        LatencyTrace.from_ns([0], metadata=described)  # what JSON does not know is refused now, not in a minute
        calls = _Calls(runner.run, ring.items, timer, rate, sleep)
        report = (lambda done: None) if progress is None else (lambda done: progress(done, samples))
        begun = today()
        warm, settled = _warm_up(calls, warmup, warmup_cap, report)
        ring.check(len(warm))
        taken = _take(calls, samples, min_samples, time_cap, report)
        ring.check(len(warm) + len(taken))
    if warm and not settled:
        warnings.warn(_unsettled(warm, warmup_cap_s), FlameWarning, stacklevel=2)
    of_this_run = {
        "measured_at": begun.isoformat(timespec="seconds"),
        "flame_metric": __version__,
        "samples": len(taken),
        "samples_wanted": samples,
        "warmup_calls": len(warm),
        "warmup_settled": settled,
        "device_ns": [sample.device_ns for sample in taken if sample.device_ns is not None],
    }
    samples_ns = [sample.host_ns for sample in taken]
    return LatencyTrace.from_ns(samples_ns, warmup_ns=warm, metadata={**described, PROVENANCE: [of_this_run]})


def _joined(described: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    if twice := sorted({*described, PROVENANCE} & given.keys()):
        raise ConfigError(f"`metadata` holds {shortened(twice)}, expected names that the measurement does not fill in")
    return {**described, **given}


# ── calls ──


class _Calls:
    """Timed calls one after the other, each on the next input, when the next frame of a camera arrives or at once."""

    def __init__(
        self,
        run: Callable[[Any], Any],
        inputs: Sequence[Any],
        timer: Timer,
        rate: Fraction | None,
        sleep: Callable[[float], object],
    ) -> None:
        self._run, self._inputs, self._timer = run, inputs, timer
        self._rate, self._sleep = rate, sleep
        self._made = 0
        self._first_frame_ns = 0
        self._frame = -1  # the last one that a call was made on
        self.now_ns = timer.now_ns

    def next(self) -> Sample:
        if self._rate is not None:
            self._wait_for_a_frame(self._rate)
        item = self._inputs[self._made % len(self._inputs)]
        self._made += 1
        return self._timer.time(self._finished, item)

    def _finished(self, item: Any) -> Any:
        """Call what is timed and wait for its output."""
        output = self._run(item)
        finish_output(output, self._timer.device)
        return output

    def _wait_for_a_frame(self, rate: Fraction) -> None:
        now = self.now_ns()
        if self._frame < 0:
            self._first_frame_ns = now
        elapsed = now - self._first_frame_ns
        self._frame = max(self._frame + 1, math.ceil(elapsed * rate / NS_PER_S))
        if (left := self._frame * NS_PER_S / rate - elapsed) > 0:
            self._sleep(float(left / NS_PER_S))


def _warm_up(calls: _Calls, fewest: int, cap_ns: int, report: Callable[[int], object]) -> tuple[list[int], bool]:
    """Make calls until the latency has settled; return their times and whether it has."""
    taken: list[int] = []
    start = calls.now_ns()
    while True:
        settled = _settled(taken)
        if len(taken) >= fewest and (settled or calls.now_ns() - start >= cap_ns):
            return taken, settled
        taken.append(calls.next().host_ns)
        if len(taken) == 1:  # it may have compiled for minutes
            start = calls.now_ns()
        report(0)


def _settled(taken: Sequence[int]) -> bool:
    if len(taken) < 2 * WINDOW:
        return False
    last, before = _last_medians(taken)
    return 100 * abs(last - before) <= _SETTLED_PERCENT * before


def _last_medians(taken: Sequence[int]) -> tuple[float, float]:
    """Medians of the last calls and of as many before them."""
    return statistics.median(taken[-WINDOW:]), statistics.median(taken[-2 * WINDOW : -WINDOW])


def _unsettled(warm: Sequence[int], cap_s: float) -> str:
    found = f"{len(warm)} calls"
    if len(warm) >= 2 * WINDOW:
        last, before = _last_medians(warm)
        found += f", median {before / 10**6:.3f} ms and, of the last {WINDOW}, {last / 10**6:.3f} ms"
    return (
        f"the latency has not settled in {cap_s:g} s of warm-up ({found}), expected less than {_SETTLED_PERCENT} % "
        "of change; is the machine busy or throttled? A higher `warmup_cap_s` waits longer"
    )


def _take(calls: _Calls, samples: int, fewest: int, cap_ns: int, report: Callable[[int], object]) -> list[Sample]:
    taken: list[Sample] = []
    start = calls.now_ns()
    while len(taken) < samples and (len(taken) < fewest or calls.now_ns() - start < cap_ns):
        taken.append(calls.next())
        report(len(taken))
    return taken


# ── surroundings ──


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


@contextmanager
def _garbage_collector_off() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _seconds(argument: str, value: float) -> int:
    """Return seconds as nanoseconds."""
    exact = exact_fraction(argument, value, "a number of seconds >= 0")
    if exact < 0:
        raise ConfigError(f"`{argument}` is {value}, expected a number of seconds >= 0")
    return round(exact * NS_PER_S)
