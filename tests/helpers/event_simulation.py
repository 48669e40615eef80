"""A stream, event by event in integer nanoseconds: slow, plain, and written apart from the package's recurrence."""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

TIE = 1000
COMPLETION, ARRIVAL = 0, 1  # in this order at equal times; then dispatch, then query


@dataclass(frozen=True)
class Run:
    frame: int
    start: int
    finish: int


@dataclass(frozen=True)
class Tail:
    """Wait for the next frame where that pays, from the interval and the mean latency, in nanoseconds."""

    interval: Fraction
    mean: Fraction

    def waits(self, now: int) -> bool:
        """Whether a run from now on ends earlier in its interval than now is; just before a frame is at the frame.

        Never where a run takes no more than an interval on average.
        """
        if self.mean <= self.interval + TIE:
            return False
        later = (now + self.mean) % self.interval
        if self.interval - later <= TIE:
            later = Fraction(0)
        return later < now % self.interval


def free_at(finish: int, admitted: Sequence[int]) -> int:
    """When a worker is free: at the newest admitted arrival that is one time with its finish, else at its finish."""
    return max((arrival for arrival in admitted if abs(arrival - finish) <= TIE), default=finish)


def serve(
    arrivals: Sequence[int],
    latency_of: Callable[[int, int], int],
    *,
    workers: int | None,
    queue: int | None,
    stride: int = 1,
    tail: Tail | None = None,
) -> tuple[list[Run], list[int]]:
    """Return the inferences in order of their starts, and the admitted frames that never ran."""
    admitted = [arrival for frame, arrival in enumerate(arrivals) if frame % stride == 0]
    events = [(arrival, ARRIVAL, frame) for frame, arrival in enumerate(arrivals) if frame % stride == 0]
    heapq.heapify(events)
    idle = len(arrivals) if workers is None else workers
    room: deque[int] = deque()
    runs: list[Run] = []
    dropped: list[int] = []
    while events:
        now = events[0][0]
        idle_before = idle
        while events and events[0][0] == now:
            _, kind, frame = heapq.heappop(events)
            if kind == COMPLETION:
                idle += 1
                continue
            room.append(frame)
            if queue is not None and len(room) > queue and idle_before == 0:
                dropped.append(room.popleft())
        while idle and room:
            frame = room.popleft()
            if tail is not None and arrivals[frame] < now and tail.waits(now):
                dropped.append(frame)
                continue
            finish = now + latency_of(len(runs), frame)
            runs.append(Run(frame, now, finish))
            idle -= 1
            heapq.heappush(events, (free_at(finish, admitted), COMPLETION, frame))
    return runs, sorted([*dropped, *room])


def on_screen(
    arrivals: Sequence[int], labels: Sequence[int], runs: Sequence[Run], *, tie: str, show: str, extra: int
) -> tuple[list[int], list[int]]:
    """Return, for every label, the newest frame that has arrived and the frame on screen, -1 where there is none."""
    newest, source = [], []
    for label in labels:
        now = max((frame for frame, arrival in enumerate(arrivals) if arrival <= label + TIE), default=-1)
        query = label + extra
        ready = [
            run
            for run in runs
            if run.frame <= now and (run.finish <= query + TIE if tie == "inclusive" else run.finish < query - TIE)
        ]
        if show == "freshest":
            shown = max((run.frame for run in ready), default=-1)
        else:
            shown = max(((run.finish, run.frame) for run in ready), default=(0, -1))[1]
        newest.append(now)
        source.append(shown)
    return newest, source
