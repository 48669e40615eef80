"""A stream: workers that take time, a queue that drops frames, and what is on screen meanwhile.

Frames arrive, wait in a room for ``queue`` frames, and are taken by free workers in order. While all workers are busy
and the room is full, the oldest waiting frame is dropped. With p the last frame taken, m the newest frame that has
arrived when a worker becomes free at tau, and Q the queue::

    next frame   i = max(p + 1, m - Q + 1)
    start      s_i = max(tau, a_i)
    finish     f_i = s_i + latency

An inference is never interrupted. On screen at a labelled frame is the newest frame whose inference has finished. All
times are integer nanoseconds, and times at most ``TIE_NS`` apart are one time: a worker that becomes free that close to
an arrival is free at that arrival. Everything is linear in the number of frames, but for a heap of workers.

References
----------
The policy "tail" is that of Li, Wang and Ramanan, Towards Streaming Perception, ECCV 2020.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from flame_metric.core.checks import check_choice, check_integer, check_kind, items, of_sequence
from flame_metric.core.clock import MAX_FRAMES, MAX_NS, NS_PER_S, TIE_NS, Fps, Milliseconds, as_fps, milliseconds_to_ns
from flame_metric.core.schedule import NOTHING_YET, Schedule, StreamLog
from flame_metric.core.tables import milliseconds_text
from flame_metric.errors import ConfigError
from flame_metric.latency.trace import LatencyTrace, as_trace

__all__ = ["StreamConfig", "StreamStatistics", "as_stream", "simulate_stream"]

_LAST_NS = 9 * MAX_NS  # a queue without end delays frames by many latencies; still a 64-bit integer
_ONE_TIME = f"times at most {TIE_NS // 1000} us apart are one time"
_CHOICES = {"policy": ("greedy", "tail"), "tie": ("inclusive", "strict"), "show": ("freshest", "last_finished")}


@dataclass(frozen=True)
class StreamConfig:
    """How a stream is served.

    Parameters
    ----------
    workers : int or None
        Inferences at a time, >= 1; None: unlimited.
    queue : int or None
        Frames that may wait, >= 1; None: unlimited, first in, first out.
    policy : {"greedy", "tail"}
        Take a waiting frame at once, or wait for the next one where that makes its result fresher (one worker, a queue
        of one and regular arrivals only; never where the mean latency is at most one frame interval).
    stride : int
        Only every stride-th frame is admitted.
    tie : {"inclusive", "strict"}
        A result that is ready exactly when it is asked for counts, or does not.
    show : {"freshest", "last_finished"}
        Keep the newest frame's result on screen, or show whichever result came last, however old its frame.
    extra_latency_ms : float
        Milliseconds by which results may come later than the labelled frame, >= 0.

    Raises
    ------
    ConfigError
        If one is out of range, or "tail" is asked for with more than one worker or waiting frame.
    """

    workers: int | None = 1
    queue: int | None = 1
    policy: str = "greedy"
    stride: int = 1
    tie: str = "inclusive"
    show: str = "freshest"
    extra_latency_ms: Milliseconds = 0

    def __post_init__(self) -> None:
        for name in ("workers", "queue"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_integer(name, getattr(self, name), 1))
        object.__setattr__(self, "stride", check_integer("stride", self.stride, 1, unit="frames"))
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        if self.policy == "tail" and (self.workers, self.queue) != (1, 1):
            raise ConfigError(
                f"`policy` is 'tail' with {self.workers} workers and a queue of {self.queue}, expected 1 and 1"
            )
        extra_ns = milliseconds_to_ns(self.extra_latency_ms, "extra_latency_ms")
        object.__setattr__(self, "extra_latency_ms", extra_ns / 1e6)  # a number that JSON knows, to the nanosecond

    def __str__(self) -> str:
        """Say it in a few words for signatures; what is usual is left out."""
        unlike_usual = (
            (self.policy != "greedy", f"policy {self.policy}"),
            (self.stride != 1, f"stride {self.stride}"),
            (self.tie != "inclusive", f"{self.tie} ties"),
            (self.show != "freshest", "last finished on screen"),
            (self.extra_latency_ms != 0, f"results may be {milliseconds_text(float(self.extra_latency_ms))} late"),
        )
        return ", ".join(
            [
                f"{'unlimited' if self.workers is None else self.workers} worker{'s' if self.workers != 1 else ''}",
                f"queue {'unlimited' if self.queue is None else self.queue}",
                *(text for differs, text in unlike_usual if differs),
            ]
        )


@dataclass(frozen=True)
class StreamStatistics:
    """What happened on some simulated streams, summed over them.

    Attributes
    ----------
    runs, dropped : int
        Inferences that were started, and admitted frames that were never run.
    overruns : int
        Inferences that took longer than the interval to the next frame.
    labelled_frames : int
        Labelled frames.
    staleness_histogram : tuple of int
        How many of them show a prediction that is 0, 1, 2, ... frames old; the others show nothing yet.

    Examples
    --------
    >>> statistics = StreamStatistics.from_schedules([simulate_stream(195, num_frames=10, fps="50/3")])
    >>> statistics.runs, statistics.dropped, statistics.max_staleness, statistics.coverage
    (4, 6, 6, 0.6)
    """

    runs: int
    dropped: int
    overruns: int
    labelled_frames: int
    staleness_histogram: tuple[int, ...]

    @classmethod
    def from_schedules(cls, schedules: Iterable[Schedule]) -> StreamStatistics:
        """Sum up schedules that :func:`simulate_stream` returned."""
        runs = dropped = overruns = labelled = 0
        histograms = []
        for schedule in schedules:
            if schedule.log is not None:
                runs += len(schedule.log.frame)
                dropped += len(schedule.log.dropped)
                overruns += schedule.log.overruns
            labelled += len(schedule.label_frame)
            histograms.append(schedule.staleness_histogram.tolist())
        return cls(runs, dropped, overruns, labelled, tuple(map(sum, zip_longest(*histograms, fillvalue=0))))

    def to_dict(self) -> dict[str, Any]:
        """Return it in types that JSON knows; what is undefined is None."""
        shown = any(self.staleness_histogram)
        return {
            **asdict(self),
            "staleness_histogram": list(self.staleness_histogram),
            "coverage": self.coverage if self.labelled_frames else None,
            "mean_staleness": self.mean_staleness if shown else None,
            "max_staleness": self.max_staleness if shown else None,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> StreamStatistics:
        """Read what :meth:`to_dict` returned; what follows from the numbers is computed anew.

        Raises
        ------
        ConfigError
            If a number is not a count, or more labelled frames show something than there are.
        """
        names = ("runs", "dropped", "overruns", "labelled_frames")
        numbers = {name: check_integer(name, record[name], 0) for name in names}
        histogram = tuple(check_integer("staleness_histogram", times, 0) for times in record["staleness_histogram"])
        if sum(histogram) > numbers["labelled_frames"]:
            raise ConfigError(
                f"`staleness_histogram` holds {sum(histogram)} frames, expected at most {numbers['labelled_frames']}"
            )
        return cls(**numbers, staleness_histogram=histogram)

    @property
    def coverage(self) -> float:
        """Share of the labelled frames with a prediction on screen, 0..1; NaN without labelled frames."""
        shown = sum(self.staleness_histogram)
        return shown / self.labelled_frames if self.labelled_frames else float("nan")

    @property
    def mean_staleness(self) -> float:
        """Mean age of the predictions on screen, in frames; NaN if there was none."""
        shown = sum(self.staleness_histogram)
        ages = sum(age * times for age, times in enumerate(self.staleness_histogram))
        return ages / shown if shown else float("nan")

    @property
    def max_staleness(self) -> int:
        """The greatest age of a prediction on screen, in frames; 0 if there was none."""
        return max((age for age, times in enumerate(self.staleness_histogram) if times), default=0)


def simulate_stream(
    latency: Milliseconds | LatencyTrace,
    config: StreamConfig | None = None,
    *,
    num_frames: int | None = None,
    fps: Fps | None = None,
    arrivals_ms: Iterable[Milliseconds] | None = None,
    label_times_ms: Iterable[Milliseconds] | None = None,
    seed: int = 0,
    sequence: str = "",
) -> Schedule:
    """Simulate one sequence and return which frame's prediction is on screen at each labelled frame.

    Parameters
    ----------
    latency : float or LatencyTrace
        Milliseconds of every inference, or a trace that is replayed from its beginning.
    config : StreamConfig, optional
        Default: one worker, a queue of one.
    num_frames, fps
        Regular arrivals: frame i at i / fps, rounded to the nanosecond. At most three million frames.
    arrivals_ms : iterable of float
        Instead of both: the time at which each frame arrives, in milliseconds, ascending by more than a microsecond.
    label_times_ms : iterable of float, optional
        The times of the labels, ascending. Default: a label at each frame.
    seed : int
        >= 0: seed of the draws of a trace that is replayed at random, together with the sequence's id.
    sequence : str
        The sequence's id.

    Returns
    -------
    Schedule
        With a ``log`` of what ran and what was dropped.

    Raises
    ------
    ConfigError
        If arrivals are given twice or not at all, times do not ascend, the stream lasts for decades, the trace is too
        short, or "tail" is asked for with irregular arrivals.

    Examples
    --------
    >>> simulate_stream(90, num_frames=10, fps="50/3").source.tolist()
    [-1, -1, 0, 1, 1, 3, 4, 4, 6, 7]
    >>> log = simulate_stream(195, num_frames=10, fps="50/3").log
    >>> log.frame.tolist(), log.dropped.tolist()
    ([0, 3, 6, 9], [1, 2, 4, 5, 7, 8])
    """
    config = as_stream(config)
    rate = None if fps is None else as_fps(fps)
    arrivals = _arrivals(num_frames, rate, arrivals_ms)
    if config.policy == "tail" and rate is None:
        raise ConfigError("`policy` is 'tail' with `arrivals_ms`, expected regular arrivals: `num_frames` and `fps`")
    trace = as_trace(latency)
    latency_of = trace.latencies(seed, sequence)
    tail = _Tail(rate, trace.mean_ns) if config.policy == "tail" and rate is not None else None
    labels = arrivals if label_times_ms is None else ascending_ns("label_times_ms", label_times_ms, apart=0)
    taken, starts, finishes = _run(arrivals, config, latency_of, tail)
    if (last := max(finishes, default=0)) > _LAST_NS:
        raise ConfigError(
            f"`latency` makes frame {taken[finishes.index(last)]}{of_sequence(sequence)} ready only after "
            f"{last / 1e6:g} ms, expected at most {_LAST_NS / 1e6:g} ms"
        )
    log = StreamLog.from_runs(arrivals, labels, config.stride, (taken, starts, finishes))
    frames, sources = _on_screen(log, arrivals, labels, config)
    return Schedule(
        np.array(frames, np.int64), np.array(sources, np.int64), log=log, per_label=label_times_ms is not None
    )


def stream_text(config: StreamConfig, latency: Milliseconds | LatencyTrace | None, seed: int) -> str:
    """Say for a signature how a stream was served and what latencies it had, where they were not all one."""
    if not isinstance(latency, LatencyTrace) or len(latency) == 1:
        return str(config)
    drawn = f"at random, seed {seed}" if latency.replay == "random" else f"by {latency.replay}"
    return f"{config}, {len(latency):,} latencies {drawn}"


def simulate_clips(
    latency: Milliseconds | LatencyTrace,
    config: StreamConfig | None,
    lengths: Mapping[str, int],
    labelled: Mapping[str, Sequence[int]],
    *,
    fps: Fps,
    seed: int,
) -> dict[str, Schedule]:
    """Simulate clips that begin anew each: a trace from its beginning, and random draws that differ.

    Parameters
    ----------
    latency, config, fps, seed
        As :func:`simulate_stream` takes them.
    lengths : Mapping of str to int
        Frames of each clip, by its id.
    labelled : Mapping of str to sequence of int
        Its labelled frames.

    Returns
    -------
    dict of str to Schedule
        The schedules of the labelled frames.
    """
    trace = as_trace(latency)
    is_random = trace.replay == "random" and len(trace) > 1
    known: dict[tuple[int, str | None], Schedule] = {}  # clips of equal length have one schedule, if nothing is drawn
    shown: dict[tuple[int, str | None, tuple[int, ...]], Schedule] = {}
    schedules = {}
    for name, num_frames in lengths.items():
        key = num_frames, name if is_random else None
        if key not in known:
            known[key] = simulate_stream(trace, config, num_frames=num_frames, fps=fps, seed=seed, sequence=name)
        frames = tuple(labelled[name])
        if (*key, frames) not in shown:
            shown[*key, frames] = known[key].at(frames)
        schedules[name] = shown[*key, frames]
    return schedules


def as_stream(config: StreamConfig | None) -> StreamConfig:
    """Return a configuration as it is, and the default one for None.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if config is None:
        return StreamConfig()
    check_kind("config", config, StreamConfig, "a StreamConfig")
    return config


def _arrivals(num_frames: int | None, rate: Fraction | None, arrivals_ms: Iterable[Milliseconds] | None) -> list[int]:
    if arrivals_ms is not None:
        if num_frames is not None or rate is not None:
            raise ConfigError("`arrivals_ms` is given beside `num_frames` or `fps`, expected one of the two")
        return ascending_ns("arrivals_ms", arrivals_ms)
    if num_frames is None or rate is None:
        raise ConfigError("`num_frames` and `fps` are not both given, expected both, or `arrivals_ms`")
    num_frames = check_integer("num_frames", num_frames, 0, most=MAX_FRAMES, unit="frames")
    if NS_PER_S // rate <= TIE_NS:
        raise ConfigError(f"`fps` is {rate}, expected frames that are further apart: {_ONE_TIME}")
    if (num_frames - 1) * NS_PER_S > MAX_NS * rate:
        raise ConfigError(f"`fps` is {rate} for {num_frames} frames, expected a stream of at most {MAX_NS / 1e6:g} ms")
    ticks, doubled = NS_PER_S * rate.denominator, 2 * rate.numerator
    frames = range(num_frames)
    # Adding intervals up would add their rounding up too; (2 x + 1) // 2 rounds halves up.
    return [(2 * frame * ticks + rate.numerator) // doubled for frame in frames]


def ascending_ns(argument: str, given: Iterable[Milliseconds], *, apart: int = TIE_NS) -> list[int]:
    """Return times in milliseconds as whole nanoseconds.

    Raises
    ------
    ConfigError
        If one is not a number >= 0, or they do not ascend by more than ``apart`` nanoseconds.
    """
    times = [milliseconds_to_ns(time, argument) for time in items(argument, given, "a list of times in milliseconds")]
    for index, (before, time) in enumerate(pairwise(times), 1):
        if time - before <= apart:
            reason = f": {_ONE_TIME}" if time > before else ""
            raise ConfigError(
                f"`{argument}` is {time / 1e6} ms at {index} after {before / 1e6} ms, expected ascending times{reason}"
            )
    return times


class _Tail:
    """Whether it pays to wait for the next frame: the result would then be used in an earlier part of an interval.

    It never does where the mean latency is at most one interval, as Li et al. have it.
    """

    def __init__(self, rate: Fraction, mean_ns: Fraction) -> None:
        scale = rate.denominator * mean_ns.denominator  # makes interval and mean whole numbers
        self._per_ns = rate.numerator * mean_ns.denominator
        self._interval = NS_PER_S * scale
        self._mean = rate.numerator * mean_ns.numerator
        self._tie = TIE_NS * self._per_ns
        self._pays = self._mean > self._interval + self._tie

    def waits(self, free_ns: int) -> bool:
        """Compare frac((tau + r) / d) with frac(tau / d), where a result just at a frame counts as at it."""
        if not self._pays:
            return False
        now = free_ns * self._per_ns
        later = (now + self._mean) % self._interval
        if self._interval - later <= self._tie:
            later = 0
        return later < now % self._interval


def _run(
    arrivals: Sequence[int], config: StreamConfig, latency_of: Callable[[int, int], int], tail: _Tail | None
) -> tuple[list[int], list[int], list[int]]:
    """Serve the frames, by the recurrence of this module: frames taken, their starts and finishes."""
    admitted = range(0, len(arrivals), config.stride)
    free = [-NS_PER_S] * min(config.workers or 0, len(admitted))  # when each worker is; before the first frame
    taken: list[int] = []
    starts: list[int] = []
    finishes: list[int] = []
    newest = -1  # the newest frame that has arrived when the worker becomes free, as an index into `admitted`
    following = 0  # the first one that was neither taken nor dropped
    while following < len(admitted):
        unlimited = config.workers is None
        tau = arrivals[admitted[following]] if unlimited else heapq.heappop(free)
        while newest + 1 < len(admitted) and arrivals[admitted[newest + 1]] <= tau + TIE_NS:
            newest += 1
        if not unlimited and newest >= 0 and abs(tau - arrivals[admitted[newest]]) <= TIE_NS:
            tau = arrivals[admitted[newest]]
        chosen = following
        if not unlimited and config.queue is not None:
            chosen = max(following, newest - config.queue + 1)
        if tail is not None and arrivals[admitted[chosen]] < tau and tail.waits(tau):
            chosen = newest + 1
            if chosen == len(admitted):
                break
        frame = admitted[chosen]
        starts.append(max(tau, arrivals[frame]))
        finishes.append(starts[-1] + latency_of(len(taken), frame))
        taken.append(frame)
        if not unlimited:
            heapq.heappush(free, finishes[-1])
        following = chosen + 1
    return taken, starts, finishes


def _on_screen(
    log: StreamLog, arrivals: Sequence[int], labels: Sequence[int], config: StreamConfig
) -> tuple[list[int], list[int]]:
    """Return, for each label, the newest frame that has arrived and the frame whose prediction is on screen."""
    extra = milliseconds_to_ns(config.extra_latency_ms)
    finished = sorted(zip(log.finish_ns.tolist(), log.frame.tolist(), strict=True))
    limit = TIE_NS if config.tie == "inclusive" else -TIE_NS - 1  # strict: finish < query - TIE
    by_frame = config.show == "freshest"
    early: list[tuple[int, int]] = []  # (frame, finish) of results for frames that have not arrived at the label
    shown: tuple[int, int] = (NOTHING_YET, NOTHING_YET)  # what decides, and the frame
    newest, following = NOTHING_YET, 0
    frames, sources = [], []
    for time in labels:
        while newest + 1 < len(arrivals) and arrivals[newest + 1] <= time + TIE_NS:
            newest += 1
        while following < len(finished) and finished[following][0] <= time + extra + limit:
            finish, frame = finished[following]
            heapq.heappush(early, (frame, finish))
            following += 1
        while early and early[0][0] <= newest:
            frame, finish = heapq.heappop(early)
            shown = max(shown, (frame if by_frame else finish, frame))
        frames.append(newest)
        sources.append(shown[1])
    return frames, sources
