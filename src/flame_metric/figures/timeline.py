"""A simulated stream as a chart: frames as they arrive, what each worker does, what is on screen, how old that is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flame_metric.core.checks import check_integer, check_kind
from flame_metric.core.schedule import NOTHING_YET, Schedule, StreamLog
from flame_metric.errors import ConfigError
from flame_metric.figures.drawing import GREY, INK, PALE, RED, axes_for, tidy
from flame_metric.latency.timeline import frame_interval_ns

__all__ = ["plot_timeline"]

_TINTS = ("#A6CFE8", "#F4C7A1", "#A5DCC8", "#EBCBDD", "#F5DC9A", "#D9D9D9")  # dark numbers are read on all of them
_BAR = 0.7  # height of a bar; rows are 1 apart
_INCHES = 0.36  # of width for a frame: room for three digits
_MS = 1e-6  # of a nanosecond


def plot_timeline(schedule: Schedule, *, draw: int = 24, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw a simulated stream, as :func:`~flame_metric.stream_timeline` does in characters.

    A frame that is run has one tint wherever it appears. What is on screen is drawn from each labelled frame to the
    next, as it is known only there.

    Parameters
    ----------
    schedule : Schedule
        As :func:`~flame_metric.simulate_stream` returns it.
    draw : int
        Frames to draw at most, from the first one on, >= 1.
    ax : Axes, optional
        Where to draw; default: a new figure, whose width grows with the frames.

    Returns
    -------
    (Figure, Axes)

    Raises
    ------
    ConfigError
        If the schedule was not simulated, holds no frame, or a number is out of range.

    Examples
    --------
    >>> from flame_metric import simulate_stream
    >>> figure, ax = plot_timeline(simulate_stream(90, num_frames=5, fps="50/3"))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['camera', 'worker 1', 'on screen', 'frames old']
    """
    check_kind("schedule", schedule, Schedule, "a Schedule")
    log = schedule.log
    if log is None or not len(log.arrival_ns):
        raise ConfigError("`schedule` has no log of frames, expected one that `simulate_stream` returned")
    drawn = min(check_integer("draw", draw, 1, unit="frames"), len(log.arrival_ns))
    end = _end(log, drawn)
    is_drawn = log.start_ns < end
    worker = log.worker[is_drawn]
    rows = ["camera", *(f"worker {number + 1}" for number in range(worker.max(initial=-1) + 1))]
    rows += ["on screen", "frames old"]
    fig, ax = axes_for(ax, max(6.4, 1.5 + _INCHES * drawn), 1.5 + 0.42 * len(rows))
    run = np.sort(log.frame[is_drawn]).tolist()
    chart = _TimelineBars(ax, {frame: _TINTS[place % len(_TINTS)] for place, frame in enumerate(run)})
    chart.camera(log, drawn)
    runs = zip(*(column[is_drawn].tolist() for column in (log.frame, log.start_ns, log.finish_ns)), strict=True)
    for (frame, start, finish), row in zip(runs, (worker + 1).tolist(), strict=True):
        chart.bar(start, finish, row, frame)
    chart.screen(schedule, log.label_ns.tolist(), end, len(rows) - 2)
    part = "" if drawn == len(log.arrival_ns) else f" (first {drawn:,} of {len(log.arrival_ns):,} frames)"
    tidy(ax, title=f"What runs, and what is on screen{part}", x="time (ms)", grid="")
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    first = int(log.arrival_ns[0])
    ax.set_xlim((first - 0.02 * (end - first)) * _MS, end * _MS)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize=9, frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return fig, ax


def _end(log: StreamLog, drawn: int) -> int:
    """Return the time at which the drawing ends, in ns: that of the first frame which is not drawn."""
    if drawn < len(log.arrival_ns):
        return int(log.arrival_ns[drawn])
    return max(int(log.arrival_ns[-1]), int(log.label_ns.max(initial=0))) + frame_interval_ns(log)


@dataclass(frozen=True)
class _TimelineBars:
    """Axes with rows 0, 1, ... from above, and the tint of each frame that is run."""

    ax: Axes
    tints: dict[int, str]

    def camera(self, log: StreamLog, drawn: int) -> None:
        """Draw frames at their arrival: those that are run, dropped, and left out by a stride."""
        frames = np.arange(drawn)
        is_run, is_dropped = np.isin(frames, log.frame), np.isin(frames, log.dropped)
        times = log.arrival_ns[:drawn] * _MS
        for frame, time in enumerate(times.tolist()):
            self.ax.axvline(time, color=PALE, linewidth=0.8, zorder=0)
            if is_run[frame]:  # perhaps after the end of the drawing, and then without a tint
                box = {"boxstyle": "round,pad=0.25", "facecolor": self.tints.get(frame, "white"), "edgecolor": GREY}
                place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": INK}
                self.ax.text(time, 0, str(frame), bbox={**box, "linewidth": 0.6}, **place)
        for is_so, marker, colour, label in (
            (is_dropped, "x", RED, "dropped"),
            (~is_run & ~is_dropped, "_", GREY, "not admitted"),
        ):
            if is_so.any():
                style: dict[str, Any] = {"marker": marker, "color": colour, "markersize": 7, "markeredgewidth": 2}
                self.ax.plot(times[is_so], np.zeros(is_so.sum()), linestyle="none", label=label, **style)

    def screen(self, schedule: Schedule, labels: list[int], end: int, row: int) -> None:
        """Draw what is on screen from label to label, and below how old it is at each of them."""
        spans = pairwise([*(time for time in labels if time < end), end])
        shown = list(zip(spans, schedule.source.tolist(), schedule.staleness.tolist(), strict=False))
        for source, group in groupby(shown, key=lambda span: span[1]):
            (start, _), *_ = times = [span for span, *_ in group]
            if source != NOTHING_YET:
                self.bar(start, times[-1][1], row, source)
        for (start, _), source, age in shown:
            text = "–" if source == NOTHING_YET else str(age)
            self.ax.text(start * _MS, row + 1, text, ha="center", va="center", fontsize=9, color=INK)

    def bar(self, start_ns: int, finish_ns: int, row: int, frame: int) -> None:
        """Draw a bar with the number of its frame."""
        start, finish = start_ns * _MS, finish_ns * _MS
        style: dict[str, Any] = {"facecolor": self.tints[frame], "edgecolor": GREY, "linewidth": 0.6}
        self.ax.barh(row, finish - start, left=start, height=_BAR, **style)
        place: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "clip_on": True}
        self.ax.annotate(str(frame), (start, row), fontsize=8, color=INK, **place)
