"""Mean IoU against latency: a staircase, as latency counts in whole frames, and networks at their own latencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from flame_metric.core.checks import check_kind
from flame_metric.core.clock import frame_offset
from flame_metric.core.tables import milliseconds_text, rate_text
from flame_metric.errors import ConfigError
from flame_metric.figures.drawing import GREY, INK, Look, axes_for, looks, plain, tidy
from flame_metric.scores.curve import Curve
from flame_metric.scores.ranking import Contender
from flame_metric.scores.result import FlameResult

__all__ = ["plot_latency_curve"]

_MOST_TICKS = 12
_LATE = "labels as predictions (persistence)"
_HOLLOW = "hollow: on a stream"


def plot_latency_curve(
    curve: Curve | Mapping[str, Curve], *, networks: Sequence[Contender] = (), ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw mean IoU as a function of latency.

    The function is a staircase: every latency in ((k - 1) d, k d] has the score of offset k, where d is the frame
    interval (Eq. 5). Around it lies the 95 % interval over sequences, where there is one; dotted, what perfect label
    maps would be worth as late. Without a frame rate the axis is that of k.

    Parameters
    ----------
    curve : Curve, or mapping of str to Curve
        As :meth:`OffsetBank.curve` returns it, or ``Evaluation.curve``; several networks by their names. The
        persistence of the first one that has it is drawn: it is the same for all networks on the same labels.
    networks : sequence of Contender
        Each is marked at its latency and FLAME, with the interval, and hollow at its score on a stream. One with the
        name of a curve has its colour.
    ax : Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    (Figure, Axes)

    Raises
    ------
    ConfigError
        If there is no curve, a network has no latency, or frame rates differ.

    Examples
    --------
    >>> from flame_metric import OffsetBank
    >>> video = [[[1, 0, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 1, 0]], [[0, 0, 0, 1]]]
    >>> bank = OffsetBank(2, max_offset=2, fps=20)
    >>> bank.update_sequence(video, video, sequence="clip")
    >>> figure, ax = plot_latency_curve(bank.curve())
    >>> staircase = ax.get_lines()[0]
    >>> staircase.get_xdata().tolist(), staircase.get_ydata().round(3).tolist()
    ([0.0, 50.0, 100.0], [1.0, 0.25, 0.25])
    """
    curves = {"mean IoU": curve} if isinstance(curve, Curve) else curve
    rate = _rate(curves, networks)
    fig, ax = axes_for(ax, 8.4, 3.9)
    names = dict.fromkeys([*curves, *(one.name for one in networks)])
    looked = dict(zip(names, looks(len(names)), strict=True))
    last = 0.0
    for name, one in curves.items():
        places = _places(one.results, rate)
        last = max(last, float(places[-1]))
        _staircase(ax, places, one.miou, name, color=looked[name].colour, linestyle=looked[name].line)
        _band(ax, places, one, looked[name].colour)
    late = next((one.persistence for one in curves.values() if one.persistence), ())
    if late:
        _staircase(ax, _places(late, rate), [result.miou for result in late], _LATE, color=GREY, linestyle=":")
    for network in networks:
        last = max(last, _latency(network))
        _network(ax, network, looked[network.name])
    unit = "frame offset k" if rate is None else "latency (ms)"
    tidy(ax, title="Mean IoU of predictions that come late", x=unit, y="mean IoU")
    ax.set_xlim(-0.02 * last, 1.02 * last or 1)
    if rate is None:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        _mark_offsets(ax, rate, last)
    everything = [result for one in curves.values() for result in one.results]
    _legend(
        ax,
        band=any(result.interval for result in everything),
        hollow=any(network.streaming is not None for network in networks),
    )
    return fig, ax


# ── checks ──


def _rate(curves: Mapping[str, Curve], networks: Sequence[Contender]) -> Fraction | None:
    """Return the frame rate that all have in common, after a look at what they are."""
    expected = "a Curve, as bank.curve() returns it, or a mapping from names to Curves"
    check_kind("curve", curves, Mapping, expected)
    rates: dict[Fraction | None, str] = {}
    for name, one in curves.items():
        check_kind("curve", one, Curve, expected)
        rates.setdefault(one.results[0].config.fps, name)
    if not rates:
        raise ConfigError("`curve` is empty, expected one curve or more")
    for network in networks:
        check_kind("networks", network, Contender, "a sequence of Contender")
        _latency(network)
        rates.setdefault(network.flame.config.fps, network.name)
    if len(rates) > 1:
        told = ", ".join(f"{name}: {'none' if rate is None else rate_text(rate)}" for rate, name in rates.items())
        raise ConfigError(f"the frame rates differ ({told}), expected one for all: ask the banks with `fps`")
    return next(iter(rates))


def _latency(network: Contender) -> float:
    latency = network.flame.config.latency_ms
    if latency is None:
        raise ConfigError(f"`networks` holds {network.name!r} without a latency, expected a score with latency_ms")
    return latency


# ── drawing ──


def _places(results: Sequence[FlameResult], rate: Fraction | None) -> npt.NDArray[np.float64]:
    """Return the longest latency of each offset, in ms; without a rate, the offsets."""
    interval = Fraction(1) if rate is None else 1000 / rate
    return np.array([float(offset * interval) for offset in range(len(results))])


def _staircase(ax: Axes, places: npt.NDArray[np.float64], scores: npt.ArrayLike, name: str, **style: Any) -> None:
    """Draw the score of each offset up to its longest latency, and a dot for no latency at all."""
    ax.step(
        places, scores, where="pre", marker="o", markevery=[0], markersize=5, linewidth=2, label=plain(name), **style
    )


def _band(ax: Axes, places: npt.NDArray[np.float64], curve: Curve, colour: str) -> None:
    intervals = [result.interval for result in curve.results]
    low, high = np.array([(np.nan, np.nan) if one is None else (one.low, one.high) for one in intervals]).T
    if not np.isnan(low).all():
        ax.fill_between(places, low, high, step="pre", color=colour, alpha=0.18, linewidth=0)


def _network(ax: Axes, network: Contender, look: Look) -> None:
    flame, latency = network.flame, _latency(network)
    interval, score = flame.interval, flame.miou
    ends = None if interval is None else [[max(0, score - interval.low)], [max(0, interval.high - score)]]
    style: dict[str, Any] = {"color": look.colour, "marker": look.marker, "linestyle": "none"}
    label = f"{plain(network.name)}: {milliseconds_text(latency)}, k = {flame.frame_offset}"
    ax.errorbar([latency], [score], yerr=ends, capsize=4, markersize=7, label=label, zorder=4, **style)
    if network.streaming is not None:  # larger and beneath: equal scores show as a ring
        ax.plot([latency], [network.streaming.miou], markersize=12, markerfacecolor="white", zorder=3, **style)


def _legend(ax: Axes, *, band: bool, hollow: bool) -> None:
    """Explain what is drawn: the lines first, then the networks, in the order in which they were given."""
    handles, _ = ax.get_legend_handles_labels()
    lines = [one for one in handles if isinstance(one, Line2D)]
    points = [one for one in handles if one not in lines]
    bands = [Patch(color=GREY, alpha=0.3, linewidth=0, label="95 % interval over sequences")] if band else []
    empty = [Line2D([], [], color=INK, marker="o", markerfacecolor="white", linestyle="none", label=_HOLLOW)]
    handles = [*lines, *bands, *points, *(empty if hollow else [])]
    ax.legend(handles=handles, fontsize=9, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))


def _mark_offsets(ax: Axes, rate: Fraction, last_ms: float) -> None:
    """Write k above the latencies that have it, between lines at the multiples of the frame interval."""
    interval = float(1000 / rate)
    offsets = range(1, frame_offset(last_ms, rate) + 1)
    for offset in offsets:
        ax.axvline((offset - 1) * interval, color=GREY, linewidth=0.5, linestyle=(0, (1, 3)), zorder=0)
    shown = offsets[:: -(-len(offsets) // _MOST_TICKS) or 1]
    top = ax.secondary_xaxis("top")
    top.set_xticks([(offset - 0.5) * interval for offset in shown], [str(offset) for offset in shown])
    top.tick_params(length=0, labelsize=9, labelcolor=GREY)
    top.spines["top"].set_visible(False)
    top.set_xlabel("frame offset k", fontsize=9, color=GREY)
