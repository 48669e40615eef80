"""How many frames old the predictions on screen are: the price of delay, few workers and long queues."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flame_metric.core.checks import check_kind
from flame_metric.errors import ConfigError
from flame_metric.figures.drawing import axes_for, looks, plain, tidy
from flame_metric.latency.simulate import StreamStatistics

__all__ = ["plot_staleness"]

_MOST_TICKS = 14


def plot_staleness(
    statistics: StreamStatistics | Mapping[str, StreamStatistics], *, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw how many frames old the predictions on screen are: the share of the labelled frames at each age.

    Parameters
    ----------
    statistics : StreamStatistics, or mapping of str to StreamStatistics
        ``StreamStatistics.from_schedules([schedule])`` or ``Evaluation.streaming.statistics``; several streams by their
        names, side by side. Bars at the left are frames at which nothing is on screen yet, if there are any.
    ax : Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    (Figure, Axes)

    Raises
    ------
    ConfigError
        If there are no statistics, or a stream has no labelled frame.

    Examples
    --------
    >>> from flame_metric import simulate_stream
    >>> statistics = StreamStatistics.from_schedules([simulate_stream(90, num_frames=10, fps="50/3")])
    >>> statistics.staleness_histogram
    (0, 0, 6, 2)
    >>> figure, ax = plot_staleness(statistics)
    >>> [round(bar.get_height()) for bar in ax.patches]  # %: nothing yet, and 0 to 3 frames old
    [20, 0, 0, 60, 20]
    """
    streams = _named(statistics)
    fig, ax = axes_for(ax, 6.4, 3.6)
    oldest = max(len(one.staleness_histogram) for one in streams.values())
    waiting = any(sum(one.staleness_histogram) < one.labelled_frames for one in streams.values())
    apart = -max(1, round(oldest / 10))  # far enough for two labels
    places = np.array([*([apart] if waiting else []), *range(oldest)])
    width = 0.84 / len(streams)
    for number, ((name, one), look) in enumerate(zip(streams.items(), looks(len(streams)), strict=True)):
        ages = np.zeros(oldest)
        ages[: len(one.staleness_histogram)] = one.staleness_histogram
        frames = [*([one.labelled_frames - ages.sum()] if waiting else []), *ages]
        ax.bar(
            places + (number - (len(streams) - 1) / 2) * width,
            100 * np.array(frames) / one.labelled_frames,
            width,
            color=look.colour,
            hatch=look.hatch,
            edgecolor="white",
            linewidth=0.3,
            label=f"{plain(name)} ({one.mean_staleness:.2f} on average)",
        )
    tidy(ax, title="How old is what is on screen?", x="frames old", y="labelled frames (%)")
    ticks = range(0, oldest, -(-oldest // _MOST_TICKS) or 1)
    ax.set_xticks([*([apart] if waiting else []), *ticks], [*(["none\nyet"] if waiting else []), *map(str, ticks)])
    top = ax.get_ylim()[1]
    ax.set_yticks([tick for tick in ax.get_yticks() if tick <= top])
    ax.set_ylim(0, top * (1.02 + 0.08 * len(streams)))  # room for the legend
    ax.legend(fontsize=9, frameon=False, loc="upper right")
    return fig, ax


def _named(statistics: StreamStatistics | Mapping[str, StreamStatistics]) -> Mapping[str, StreamStatistics]:
    expected = "StreamStatistics, or a mapping from names to them"
    streams = {"stream": statistics} if isinstance(statistics, StreamStatistics) else statistics
    check_kind("statistics", streams, Mapping, expected)
    for name, one in streams.items():
        check_kind("statistics", one, StreamStatistics, expected)
        if not one.labelled_frames:
            raise ConfigError(f"`statistics` of {name!r} has no labelled frame, expected one or more")
    if not streams:
        raise ConfigError("`statistics` is empty, expected one stream or more")
    return streams
