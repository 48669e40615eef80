"""A simulated stream drawn in characters: what arrives, what runs, and what is on screen.

Columns are time, so many for one frame interval, and the order of things is never lost in them:

- what happens strictly between two frames is drawn strictly between their columns, so the bar of an inference covers
  the column of a frame if and only if the inference is not finished when the frame arrives (times at most ``TIE_NS``
  apart are one time, as everywhere);
- no number is left out or cut: where much happens in one interval, that interval is drawn wider; runs of one worker
  that take no time at all stand side by side;
- an interval of many frames' length, a hole in the stream, is drawn shorter and marked ``//``.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import groupby, pairwise
from statistics import median_low

import numpy as np

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import NS_PER_S, TIE_NS
from flame_metric.core.schedule import NOTHING_YET, Schedule, StreamLog
from flame_metric.errors import ConfigError, shortened

__all__ = ["frame_interval_ns", "stream_timeline"]

_CELL = 6  # columns of a frame interval, at least
_LONGEST = 4  # intervals; what lasts longer is drawn as long as this
_LEAST_WIDTH = 60
_HOLE = "//"
_BAR = ">"


@dataclass(frozen=True)
class _Event:
    """Text at a time in a row; without text, the end of the bar that began with the text before."""

    time: int
    row: str
    text: str = ""


@dataclass
class _Row:
    """Texts and bars with their columns."""

    name: str
    texts: list[tuple[int, str]] = field(default_factory=list)
    bars: list[tuple[int, int]] = field(default_factory=list)
    free: int = 0  # the first column that no text needs
    since: int = 0  # the time of the last text

    def add(self, event: _Event, column: int) -> int:
        """Place an event at a column, or right of what is there; return the first column for what is later."""
        if event.text:
            column = max(column, self.free)
            self.texts.append((column, event.text))
            self.free, self.since = column + len(event.text) + 1, event.time
            return column + 1
        if event.time > self.since:  # else it took no time at all
            self.bars.append((self.texts[-1][0], column))
        return column

    def between(self, first: int, last: int) -> str:
        """Return columns first..last - 1, and of a number at their end what goes beyond."""
        line = [" "] * (last - first)
        for bar in self.bars[bisect_right(self.bars, first, key=lambda bar: bar[1]) :]:
            if bar[0] >= last:
                break
            begin, end = max(bar[0], first), min(bar[1], last)
            line[begin - first : end - first] = _BAR * (end - begin)
        for column, text in self.texts[bisect_left(self.texts, (first, "")) : bisect_left(self.texts, (last, ""))]:
            line[column - first : column - first + len(text)] = text
        return "".join(line)


def stream_timeline(schedule: Schedule, *, draw: int | None = None, width: int = 100) -> str:
    """Draw a simulated stream as text.

    The rows are: the number of each frame at its arrival, and the time in milliseconds; one row for each worker that is
    ever busy, with the frame it works on and a bar as long as that takes; frames that were dropped; frames that a
    stride left out; and, at each labelled frame, the frame whose prediction is on screen ("-": nothing yet) and how
    many frames old it is. Labels with times of their own are numbered in a row of their own. A row in which nothing
    would stand is left out.

    Parameters
    ----------
    schedule : Schedule
        As :func:`simulate_stream` returns it.
    draw : int, optional
        Draw only so many frames, from the first one on, >= 1.
    width : int
        Characters of a line, >= 60; longer streams are wrapped into blocks.

    Returns
    -------
    str
        Lines of ASCII, ending in a newline.

    Raises
    ------
    ConfigError
        If the schedule was not simulated, or a number is out of range.

    Examples
    --------
    >>> from flame_metric import simulate_stream
    >>> print(stream_timeline(simulate_stream(90, num_frames=5, fps="50/3")), end="")
    frame       0     1     2     3     4
    ms          0     60    120   180   240
    worker 1    0>>>>>>>>1>>>>>>>>3>>>>>>>>4>>
    dropped                 2
    on screen   -     -     0     1     1
    frames old              2     2     3
    """
    log = schedule.log
    if log is None:
        raise ConfigError("`schedule` has no log, expected one that `simulate_stream` returned")
    width = check_integer("width", width, _LEAST_WIDTH, unit="characters")
    arrivals: list[int] = log.arrival_ns.tolist()
    drawn = len(arrivals)
    if draw is not None:
        drawn = min(drawn, check_integer("draw", draw, 1, unit="frames"))
    interval = frame_interval_ns(log)
    labels = _label_times(log)
    end = arrivals[drawn] if drawn < len(arrivals) else max([*arrivals, *labels], default=0) + interval
    anchors = _anchors(arrivals[:drawn], labels, end, interval)
    if len(anchors) == 1:
        return "no frames\n"
    rows, columns = _layout(_events(schedule, log, labels, anchors, interval), anchors, interval)
    return "\n".join([*_blocks(rows, columns, width), *_notes(log, drawn, end)])


def frame_interval_ns(log: StreamLog) -> int:
    """Return the median interval between two frames in nanoseconds; without two frames, what can stand for it."""
    for durations in (np.diff(log.arrival_ns), np.diff(log.label_ns), log.finish_ns - log.start_ns):
        in_ns: list[int] = durations.tolist()
        if in_ns:
            return max(1, median_low(in_ns))
    return NS_PER_S


# ── what is drawn ──


def _anchors(arrivals: Sequence[int], labels: Sequence[int], end: int, interval: int) -> list[int]:
    """Return the times between which columns are counted: frames, labels far from any, and the end."""
    known = [-math.inf, *arrivals, math.inf]
    after = (bisect_right(known, label) for label in labels)
    far = [
        label
        for label, place in zip(labels, after, strict=True)
        if label < end and label > known[place - 1] and known[place] - known[place - 1] > _LONGEST * interval
    ]
    return [*sorted([*arrivals, *far]), end]


def _events(
    schedule: Schedule, log: StreamLog, labels: Sequence[int], anchors: Sequence[int], interval: int
) -> list[_Event]:
    """Return what happens before the end, row by row and in each row in order."""
    end = anchors[-1]
    arrivals: list[int] = log.arrival_ns[log.arrival_ns < end].tolist()
    events = [_Event(time, "frame", str(frame)) for frame, time in enumerate(arrivals)]
    events += _clock(anchors, interval)
    seen = [(time, label) for label, time in enumerate(labels) if time < end]
    if schedule.per_label:
        events += [_Event(time, "label", str(label)) for time, label in seen]
    events += _runs(log, labels, end)
    dropped = log.dropped.tolist()
    events += [_Event(arrivals[frame], "dropped", str(frame)) for frame in dropped if frame < len(arrivals)]
    left_out = np.setdiff1d(np.arange(len(arrivals)), [*log.frame.tolist(), *dropped])
    events += [_Event(arrivals[frame], "not admitted", str(frame)) for frame in left_out.tolist()]
    source, old = schedule.source.tolist(), schedule.staleness.tolist()
    texts = ["-" if frame == NOTHING_YET else str(frame) for frame in source]
    events += [_Event(time, "on screen", texts[label]) for time, label in seen]
    return events + [_Event(time, "frames old", str(old[label])) for time, label in seen if old[label] != NOTHING_YET]


def _clock(anchors: Sequence[int], interval: int) -> Iterator[_Event]:
    """Return the times of the anchors in milliseconds, and the marks of holes between them."""
    for text, (time, after) in zip(_milliseconds(anchors[:-1]), pairwise(anchors), strict=True):
        yield _Event(time, "ms", text)
        if after - time > _LONGEST * interval:
            yield _Event((time + after) // 2, "ms", _HOLE)


def _runs(log: StreamLog, labels: Sequence[int], end: int) -> Iterator[_Event]:
    snap = _Snap([*log.arrival_ns.tolist(), *labels])
    lanes: dict[int, list[tuple[int, int, int]]] = {}
    columns = (log.worker, log.start_ns, log.finish_ns, log.frame)
    for worker, start, finish, frame in zip(*(column.tolist() for column in columns), strict=True):
        if snap(start) < end:
            lanes.setdefault(worker, []).append((snap(start), snap(finish), frame))
    for worker, lane in sorted(lanes.items()):
        following = [*(start for start, _, _ in lane[1:]), end]  # a worker may be free TIE_NS before it has finished
        for (start, finish, frame), limit in zip(lane, following, strict=True):
            yield _Event(start, f"worker {worker + 1}", str(frame))
            yield _Event(min(finish, limit), f"worker {worker + 1}")


def _label_times(log: StreamLog) -> list[int]:
    """Return the times of the labels, that of a frame for those which are at most TIE_NS away from it."""
    snap = _Snap(log.arrival_ns.tolist())
    times: list[int] = []
    for time in log.label_ns.tolist():
        times.append(max(snap(time), times[-1] + 1 if times else 0))
    return times


class _Snap:
    """Of some times the nearest one to a time, if it is at most TIE_NS away; else the time itself."""

    def __init__(self, times: Sequence[int]) -> None:
        self._times = sorted(times)

    def __call__(self, time: int) -> int:
        place = bisect_left(self._times, time)
        near = min(self._times[max(0, place - 1) : place + 1], key=lambda known: abs(known - time), default=time)
        return near if abs(near - time) <= TIE_NS else time


def _milliseconds(times: Sequence[int]) -> list[str]:
    """Return times in whole milliseconds, or with as many decimals as it takes to tell them apart."""
    for decimals in (0, 3):
        texts = [f"{Decimal(time).scaleb(-6):.{decimals}f}" for time in times]
        if len(set(texts)) == len(texts):
            return texts
    return [f"{Decimal(time).scaleb(-6):.6f}" for time in times]


# ── where it is drawn ──


def _layout(events: Sequence[_Event], anchors: Sequence[int], interval: int) -> tuple[list[_Row], list[int]]:
    """Return the rows, and the columns of the anchors."""
    rows = {event.row: _Row(event.row) for event in events}
    gaps = [after - time for time, after in pairwise(anchors)]
    cell = _cell(events)
    widths = [min(max(1, round(Fraction(gap * cell, interval))), _LONGEST * cell) for gap in gaps]
    columns: list[int] = []
    free = 0  # the first column for what is later
    for time, group in groupby(sorted(events, key=lambda event: event.time), key=lambda event: event.time):
        together = list(group)
        last = len(columns) - 1
        is_anchor = time == anchors[last + 1]
        if is_anchor:
            column = columns[last] + widths[last] if columns else 0
        else:
            # TIE_NS makes up for arrivals rounded to nanoseconds: 20 of 33.333334 ms are 3/5, not less
            column = columns[last] + 1 + (time - anchors[last] + TIE_NS) * (widths[last] - 1) // gaps[last]
        column = max(column, free, *(rows[event.row].free for event in together))
        if is_anchor:
            columns.append(column)
        free = max(rows[event.row].add(event, column) for event in together)
    if len(columns) < len(anchors):
        columns.append(max(columns[-1] + widths[-1], free))
    return list(rows.values()), columns


def _cell(events: Sequence[_Event]) -> int:
    """Return the columns of an interval: room for a number and two more, or for a time and a blank."""
    return max(_CELL, *(len(event.text) + (1 if event.row == "ms" else 2) for event in events))


def _blocks(rows: Sequence[_Row], columns: Sequence[int], width: int) -> Iterator[str]:
    """Cut the rows into blocks of nearly the same width, between frames where that is possible."""
    names = max(len(row.name) for row in rows) + 2
    limit = width - names - max(len(text) - 1 for row in rows for _, text in row.texts)
    first = 0
    while first < columns[-1]:
        left = columns[-1] - first
        blocks = -(-left // limit)
        place = bisect_left(columns, first - (-left // blocks))
        if columns[place] > first + limit:
            place -= 1
        until = columns[place] if columns[place] > first else first + limit
        yield "".join(f"{row.name:{names}}{row.between(first, until)}".rstrip() + "\n" for row in rows)
        first = until


def _notes(log: StreamLog, drawn: int, end: int) -> Iterator[str]:
    if drawn < len(log.arrival_ns):
        yield f"drawn: the first {drawn:,} of {len(log.arrival_ns):,} frames\n"
        return
    later = log.frame[log.start_ns >= end].tolist()
    if later:
        yield f"not drawn: {len(later):,} run(s) that start later, of frame(s) {shortened(map(str, later))}\n"
