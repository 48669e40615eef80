"""Schedule: which frame's prediction is on screen when a labelled frame is current.

This is all that distinguishes the ways to count latency. The paper's fixed offset (Eq. 4-5) shows the prediction of
frame j - k at frame j; while j < k nothing is on screen yet, written as source -1.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import TIE_NS
from flame_metric.errors import ConfigError

__all__ = [
    "NOTHING_YET",
    "EveryOffset",
    "FixedOffset",
    "FrameDelay",
    "Schedule",
    "ScheduleTimeline",
    "StreamLog",
    "fixed_source",
    "fixed_staleness",
    "staleness_of",
]

NOTHING_YET = -1
"""The source of a frame at which no prediction is on screen yet."""

T = TypeVar("T")


def fixed_source(frame: npt.ArrayLike, frame_offset: int) -> npt.NDArray[np.int64]:
    """Return the source of frames at a fixed offset (Eq. 4): frame j - k, or -1 while there is none yet.

    Examples
    --------
    >>> fixed_source([0, 1, 2, 3], 2)
    array([-1, -1,  0,  1])
    """
    return np.maximum(np.subtract(frame, frame_offset), NOTHING_YET)


def staleness_of(frame: npt.ArrayLike, source: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return how many frames old the predictions on screen at frames are, -1 where there is none yet.

    Examples
    --------
    >>> staleness_of([0, 1, 2, 3], [-1, -1, 0, 0])
    array([-1, -1,  2,  3])
    """
    return np.where(np.equal(source, NOTHING_YET), NOTHING_YET, np.subtract(frame, source))


def fixed_staleness(frame: npt.ArrayLike, frame_offset: int) -> npt.NDArray[np.int64]:
    """Return how many frames old the predictions on screen at frames are at a fixed offset, -1 where there is none yet.

    Examples
    --------
    >>> fixed_staleness([0, 1, 2, 3], 2)
    array([-1, -1,  2,  2])
    """
    return staleness_of(frame, fixed_source(frame, frame_offset))


@dataclass(frozen=True, eq=False)
class StreamLog:
    """What ran in a simulated stream, in the order of starts.

    Attributes
    ----------
    frame, start_ns, finish_ns : ndarray of int64, (R,)
        The frames that were run, with the times in nanoseconds at which each inference started and finished.
    dropped : ndarray of int64, (D,)
        Frames that were admitted and never run.
    overruns : int
        Inferences that took longer than the interval to the next frame.
    arrival_ns : ndarray of int64, (N,)
        The time in nanoseconds at which each frame arrived.
    label_ns : ndarray of int64, (J,)
        The time of each labelled frame of the schedule, without the extra latency that a result may have.
    """

    frame: npt.NDArray[np.int64]
    start_ns: npt.NDArray[np.int64]
    finish_ns: npt.NDArray[np.int64]
    dropped: npt.NDArray[np.int64]
    overruns: int
    arrival_ns: npt.NDArray[np.int64]
    label_ns: npt.NDArray[np.int64]

    @classmethod
    def from_runs(
        cls, arrivals_ns: Sequence[int], labels_ns: Sequence[int], stride: int, runs: tuple[list[int], ...]
    ) -> StreamLog:
        """Build the log of a stream in which every ``stride``-th frame was admitted; runs: frames, starts, finishes."""
        frame, start, finish, arrival, label = (
            np.array(values, np.int64) for values in (*runs, arrivals_ns, labels_ns)
        )
        dropped = np.setdiff1d(np.arange(len(arrival))[::stride], frame)
        gaps = np.diff(arrival)
        gaps = np.append(gaps, gaps[-1:])  # the last frame is followed by none: its interval is that before it
        overruns = int(np.count_nonzero(finish - start > gaps[frame] + TIE_NS)) if len(gaps) else 0
        return cls(frame, start, finish, dropped, overruns, arrival, label)

    @property
    def worker(self) -> npt.NDArray[np.int64]:
        """The worker of each inference, counted from 0, (R,): the first one that is free, so that few are seen busy."""
        busy: list[tuple[int, int]] = []  # (finish, worker)
        idle: list[int] = []
        workers = []
        for start, finish in zip(self.start_ns.tolist(), self.finish_ns.tolist(), strict=True):
            while busy and busy[0][0] <= start + TIE_NS:
                heapq.heappush(idle, heapq.heappop(busy)[1])
            workers.append(heapq.heappop(idle) if idle else len(busy))
            heapq.heappush(busy, (finish, workers[-1]))
        return np.array(workers, np.int64)


@dataclass(frozen=True, eq=False)
class Schedule:
    """Source frame for every labelled frame of one sequence.

    Parameters
    ----------
    label_frame : array_like of int, (J,)
        The labelled frames, ascending, >= 0.
    source : array_like of int, (J,)
        The frame whose prediction is on screen then: at most ``label_frame``, or -1 while there is none.
    log : StreamLog, optional
        What ran, where the schedule was simulated.
    per_label : bool
        Labels come at times of their own: several may fall on one frame, and -1 stands for "before the first frame".

    Raises
    ------
    ConfigError
        If a source lies in the future, below -1, or the two differ in length.

    Examples
    --------
    >>> schedule = Schedule.fixed(4, frame_offset=1)
    >>> schedule.source
    array([-1,  0,  1,  2])
    >>> schedule.coverage
    0.75
    """

    label_frame: npt.NDArray[np.int64]
    source: npt.NDArray[np.int64]
    log: StreamLog | None = field(default=None, repr=False)
    per_label: bool = False

    def __post_init__(self) -> None:
        for name in ("label_frame", "source"):
            given = np.asarray(getattr(self, name))
            if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
                raise ConfigError(f"`{name}` has shape {given.shape} of {given.dtype}, expected integers (J,)")
            values = given.astype(np.int64)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.label_frame.shape != self.source.shape:
            raise ConfigError(
                f"`source` has {self.source.size} entries for {self.label_frame.size} labelled frames, expected as many"
            )
        first, least_step = (NOTHING_YET, 0) if self.per_label else (0, 1)
        if self.label_frame.size and (self.label_frame[0] < first or np.any(np.diff(self.label_frame) < least_step)):
            raise ConfigError("`label_frame` is not ascending from 0 on, expected each labelled frame once, in order")
        wrong = np.flatnonzero((self.source > self.label_frame) | (self.source < NOTHING_YET))
        if wrong.size:
            frame, source = self.label_frame[wrong[0]], self.source[wrong[0]]
            raise ConfigError(
                f"`source` of frame {frame} is {source} ({wrong.size} such entries), expected {NOTHING_YET}..{frame}: "
                "a prediction cannot come from the future"
            )

    @classmethod
    def fixed(cls, num_frames: int, frame_offset: int) -> Schedule:
        """Return the paper's schedule: at each of ``num_frames`` frames, the prediction of ``frame_offset`` before.

        It assumes that an inference can start on every frame, and is therefore the most favourable one.

        Raises
        ------
        ConfigError
            If one of them is negative.
        """
        num_frames = check_integer("num_frames", num_frames, 0, unit="frames")
        frame_offset = check_integer("frame_offset", frame_offset, 0, unit="frames")
        frames = np.arange(num_frames)
        return cls(frames, fixed_source(frames, frame_offset))

    def at(self, frames: Sequence[int]) -> Schedule:
        """Return the schedule of some of its labelled frames, given in order: labels are often sparse.

        Raises
        ------
        ConfigError
            If one of them is none of its labelled frames, or labels have times of their own.
        """
        wanted = np.asarray(frames)
        place = np.searchsorted(self.label_frame, wanted)
        known = place < len(self.label_frame)
        if self.per_label or not known.all() or not np.array_equal(self.label_frame[place], wanted):
            raise ConfigError("`frames` are not all labelled frames of this schedule, expected some of them, in order")
        log = None if self.log is None else replace(self.log, label_ns=self.log.label_ns[place])
        return replace(self, label_frame=wanted, source=self.source[place], log=log)

    @property
    def shown(self) -> npt.NDArray[np.bool_]:
        """Whether a prediction is on screen, (J,)."""
        return np.not_equal(self.source, NOTHING_YET)

    @cached_property
    def staleness(self) -> npt.NDArray[np.int64]:
        """How many frames old the prediction on screen is, (J,), read-only; -1 where there is none yet."""
        ages = staleness_of(self.label_frame, self.source)
        ages.setflags(write=False)
        return ages

    @property
    def staleness_histogram(self) -> npt.NDArray[np.int64]:
        """How many labelled frames show a prediction that is 0, 1, 2, ... frames old, (K + 1,)."""
        return np.bincount(self.staleness[self.shown]).astype(np.int64)

    @property
    def coverage(self) -> float:
        """The share of labelled frames with a prediction on screen, 0..1; NaN without labelled frames."""
        return float(self.shown.mean()) if self.shown.size else float("nan")


class FixedOffset:
    """The paper's schedule for a clip whose length is not known beforehand: what is shown when, and until when."""

    def __init__(self, frame_offset: int) -> None:
        self.offset = frame_offset

    def sources(self, frame: int) -> tuple[int, ...]:
        """Return the frame whose prediction is on screen at a labelled frame, if there is one yet."""
        return _shown(int(fixed_source(frame, self.offset)))

    def last_use(self, frame: int) -> int:
        """Return the last frame at which a frame's prediction is on screen."""
        return frame + self.offset


class EveryOffset:
    """All offsets 0..K at once: a prediction is compared with its own labels and those of the K frames after it."""

    def __init__(self, max_offset: int) -> None:
        self._max_offset = max_offset

    def sources(self, frame: int) -> range:
        """Return the frames that are 0, 1, ..., K frames old at a labelled frame, as far as there are any."""
        return range(frame, max(frame - self._max_offset, 0) - 1, -1)

    def last_use(self, frame: int) -> int:
        """Return the last frame at which a frame's prediction is compared with labels."""
        return frame + self._max_offset


class ScheduleTimeline:
    """The same questions, answered by a schedule.

    Where labels come at times of their own, they count as those of the newest frame that has been on screen until then:
    several may fall on one frame, each with a source of its own.
    """

    def __init__(self, schedule: Schedule) -> None:
        sources: list[int] = schedule.source.tolist()
        reached = np.maximum.accumulate(schedule.source) if schedule.per_label else schedule.label_frame
        frames: list[int] = reached.tolist()
        self._sources: dict[int, list[int]] = {}
        for frame, source in zip(frames, sources, strict=True):
            self._sources.setdefault(frame, []).extend(_shown(source))
        self._last_use = dict(zip(sources, frames, strict=True))  # frames ascend, so the last one stays

    def sources(self, frame: int) -> list[int]:
        """Return the frames whose predictions are on screen at a labelled frame, as far as there are any yet."""
        try:
            return self._sources[frame]
        except KeyError:
            raise ConfigError(f"`schedule` says nothing of the labelled frame {frame}") from None

    def last_use(self, frame: int) -> int:
        """Return the last frame at which a frame's prediction is on screen, or -1 if it never is."""
        return self._last_use.get(frame, NOTHING_YET)

    def check_length(self, num_frames: int) -> None:
        """Raise if the schedule goes on after the clip has ended."""
        last = max(self._sources, default=NOTHING_YET)
        if last >= num_frames:
            raise ConfigError(f"`schedule` reaches frame {last}, but the clip ended after {num_frames} frames")


def _shown(source: int) -> tuple[int, ...]:
    return () if source == NOTHING_YET else (source,)


class FrameDelay(Generic[T]):
    """A delay line of k frames for online loops: what was pushed k pushes ago comes out.

    Parameters
    ----------
    frame_offset : int
        k >= 0; 0 gives back what was just pushed.

    Examples
    --------
    >>> delay = FrameDelay(2)
    >>> [delay.push(item) for item in "abcd"]
    [None, None, 'a', 'b']
    """

    def __init__(self, frame_offset: int) -> None:
        self._frame_offset = check_integer("frame_offset", frame_offset, 0, unit="frames")
        self._waiting: deque[T] = deque()

    def push(self, item: T) -> T | None:
        """Take the item of this frame and return that of k frames ago, or None if there was none yet."""
        self._waiting.append(item)
        return self._waiting.popleft() if len(self._waiting) > self._frame_offset else None

    def reset(self) -> None:
        """Forget what is waiting: call it where a new sequence begins."""
        self._waiting.clear()
