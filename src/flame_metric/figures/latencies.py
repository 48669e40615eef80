"""Measured latencies against the frame interval: which share of the calls has which frame offset."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flame_metric.core.checks import check_kind
from flame_metric.core.clock import frame_offset
from flame_metric.core.tables import milliseconds_text
from flame_metric.figures.drawing import BLUE, GREY, INK, PALE, PURPLE, RED, axes_for, tidy
from flame_metric.latency.report import LatencyReport

__all__ = ["plot_latencies"]

_SHOWN = 99.5  # % of the samples are within the axis
_NEAR = 1.5  # times the span of these samples: so far the axis grows for a bound
_MOST_LABELS = 8
_BOUNDS = ((90, PURPLE, "-."), (99, RED, ":"))  # percentiles as in the report


def plot_latencies(report: LatencyReport, *, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw the distribution of measured latencies, and the frame boundaries between which k changes.

    The staircase is the share of the samples at or below each latency. With a frame rate, the regions of the frame
    offsets k (Eq. 5) are set apart, each with the share of single samples in it.

    Parameters
    ----------
    report : LatencyReport
        As :func:`~flame_metric.latency_report` returns it. Drawn are the median with its interval, and the upper bounds
        of p90 and p99 where there are samples enough for them.
    ax : Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    (Figure, Axes)
        The axis shows 99.5 % of the samples and bounds near them; what lies beyond is named in the legend.

    Raises
    ------
    ConfigError
        If an argument is of another kind.

    Examples
    --------
    >>> from flame_metric import LatencyTrace, latency_report
    >>> figure, ax = plot_latencies(latency_report(LatencyTrace([70, 40, 50]), fps=15))
    >>> ax.get_lines()[0].get_xdata().tolist(), ax.get_legend_handles_labels()[1]
    ([40.0, 40.0, 50.0, 70.0], ['3 samples', 'median 50.0 ms'])
    """
    check_kind("report", report, LatencyReport, "a LatencyReport")
    fig, ax = axes_for(ax, 7.6, 3.8)
    trace = report.trace
    samples = np.sort(np.array(trace.samples_ns)) / 1e6
    bounds = {percent: report.upper_bound_ms(percent) for percent, _, _ in _BOUNDS}
    reach = _reach(report, bounds.values())
    margin = 0.06 * (reach - samples[0]) or 1.0
    first, last = max(0.0, float(samples[0]) - margin), reach + margin
    ax.ecdf(samples, color=INK, linewidth=2, label=f"{len(trace):,} samples")
    ax.axvline(report.median_ms, color=BLUE, linewidth=1.8, label=f"median {milliseconds_text(report.median_ms)}")
    if report.interval is not None:
        low, high, level = report.interval.low, report.interval.high, 100 * report.interval.level
        ax.axvspan(low, high, color=BLUE, alpha=0.25, linewidth=0, label=f"{level:.4g} % interval of the median")
    for percent, colour, line in _BOUNDS:
        bound = bounds[percent]
        if bound is not None:
            label = f"p{percent} at most {milliseconds_text(bound)}{' (beyond)' if bound > last else ''}"
            ax.axvline(bound, color=colour, linestyle=line, linewidth=1.8, label=label)
    beyond = int(np.count_nonzero(samples > last))
    if beyond:
        ax.plot([], [], " ", label=f"{beyond:,} sample(s) beyond, up to {milliseconds_text(float(samples[-1]))}")
    tidy(ax, title="Latency of single calls", x="latency (ms)", y="share of calls at or below")
    ax.set_xlim(first, last)
    ax.set_ylim(0, 1.02)
    if report.fps is not None:
        _regions(ax, report, report.fps, (first, last))
    ax.legend(fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))
    return fig, ax


def _reach(report: LatencyReport, bounds: Iterable[float | None]) -> float:
    """Return the largest latency to show: that of most samples, and bounds that do not lie far beyond them."""
    trace = report.trace
    most, least = max(trace.percentile_ms(_SHOWN), report.median_ms), trace.percentile_ms(1e-9)
    near = (bound for bound in bounds if bound is not None and bound - least <= _NEAR * (most - least))
    return max([most, *near])


def _regions(ax: Axes, report: LatencyReport, rate: Fraction, axis: tuple[float, float]) -> None:
    """Shade every other region of one frame offset, and write k and its share of the samples above."""
    interval, shares = float(1000 / rate), dict(report.offsets)
    first, last = axis
    offsets = range(max(1, frame_offset(first, rate)), frame_offset(last, rate) + 1)
    centres = []
    for offset in offsets:
        left, right = max(first, (offset - 1) * interval), min(last, offset * interval)
        centres.append((left + right) / 2)
        if offset % 2 == 0:
            ax.axvspan(left, right, color=PALE, alpha=0.6, linewidth=0, zorder=0)
        if right < last:
            ax.axvline(right, color=GREY, linewidth=1, zorder=1)
    texts = [f"k = {offset}\n{shares.get(offset, 0) / len(report.trace):.1%}" for offset in offsets]
    step = -(-len(offsets) // _MOST_LABELS)
    top = ax.secondary_xaxis("top")
    top.set_xticks(centres[::step], texts[::step])
    top.tick_params(length=0, labelsize=9)
    top.spines["top"].set_visible(False)
