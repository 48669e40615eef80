"""What latency and throughput cost each class: small and fast things lose most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flame_metric.core.checks import check_choice, check_kind
from flame_metric.errors import ConfigError
from flame_metric.figures.drawing import BLUE, GREY, INK, ORANGE, axes_for, plain, tidy
from flame_metric.scores.result import FlameResult

__all__ = ["plot_class_losses"]

Floats = npt.NDArray[np.float64]

_MEAN = "mean IoU"
_ORDERS = ("loss", "class")
_MARKS: dict[str, dict[str, Any]] = {  # the larger ones are beneath: equal scores are all seen
    "static": {"marker": "o", "markersize": 8.5, "markerfacecolor": "white", "markeredgecolor": INK, "zorder": 3},
    "FLAME": {"marker": "D", "markersize": 4.5, "markerfacecolor": INK, "markeredgecolor": "white", "zorder": 5},
    "streaming": {"marker": "s", "markersize": 7, "markerfacecolor": GREY, "markeredgecolor": "white", "zorder": 4},
}
_LOST: dict[str, dict[str, Any]] = {
    "latency": {"facecolor": ORANGE, "edgecolor": "white"},
    "throughput": {"facecolor": BLUE, "edgecolor": "white", "hatch": "////"},
}


def plot_class_losses(
    static: FlameResult,
    flame: FlameResult,
    streaming: FlameResult | None = None,
    *,
    order: str = "loss",
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw, for each class, its IoU without delay, by FLAME and on a stream, with bars for what is lost between them.

    Parameters
    ----------
    static, flame : FlameResult
        Of the same classes: such as ``static`` and ``flame`` of :class:`Losses` or ``Evaluation``.
    streaming : FlameResult, optional
        ``Losses.streaming`` or ``Evaluation.streaming.result``.
    order : {"loss", "class"}
        From the class that loses most to the one that loses least, or as the classes are numbered. The mean is the last
        row; a class that occurs nowhere comes before it and is marked so.
    ax : Axes, optional
        Where to draw; default: a new figure, whose height grows with the classes.

    Returns
    -------
    (Figure, Axes)

    Raises
    ------
    ConfigError
        If the classes differ, or an argument is of another kind.

    Examples
    --------
    >>> from flame_metric import flame_score
    >>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]]
    >>> static, flame = (flame_score(video, video, num_classes=2, latency_ms=l, fps=20) for l in (0, 50))
    >>> figure, ax = plot_class_losses(static, flame)
    >>> [label.get_text() for label in ax.get_yticklabels()], float(ax.patches[0].get_width())
    (['1', '0', 'mean IoU'], 1.0)
    """
    check_choice("order", order, _ORDERS)
    results = {"static": static, "FLAME": flame, **({} if streaming is None else {"streaming": streaming})}
    _check_alike(results)
    rows = np.stack([np.append(result.iou, result.miou) for result in results.values()])
    places = _order(rows, order)
    rows, names = rows[:, places], [plain((*static.class_names, _MEAN)[place]) for place in places]
    y = np.arange(len(names), dtype=np.float64)
    y[-1] += 0.4  # the mean stands apart
    fig, ax = axes_for(ax, 7.4, 1.2 + 0.27 * len(names))
    for (name, style), *between in zip(_LOST.items(), rows, rows[1:], strict=False):
        _bars(ax, y, tuple(between), name, style)
    for name, row in zip(results, rows, strict=True):
        ax.plot(row, y, linestyle="none", label=name, **_MARKS[name])
    for place in np.flatnonzero(np.isnan(rows).all(axis=0)):
        ax.text(0.01, y[place], "occurs nowhere", va="center", fontsize=8, color=GREY, style="italic")
    tidy(ax, title="What each class loses", x="IoU", grid="x")
    ax.set_yticks(y, names)
    ax.get_yticklabels()[-1].set_fontweight("bold")
    ax.axhline(y[-1] - 0.7, color=GREY, linewidth=0.8)
    ax.set_ylim(y[-1] + 0.6, -0.6)
    ax.set_xlim(0, 1)
    _legend(ax)
    return fig, ax


def _check_alike(results: dict[str, FlameResult]) -> None:
    for name, result in results.items():
        check_kind(name.lower(), result, FlameResult, "a FlameResult")
    classes = {name: result.class_names for name, result in results.items()}
    if len(set(classes.values())) > 1:
        told = "; ".join(f"{name}: {len(names)} from {names[0]!r} on" for name, names in classes.items())
        raise ConfigError(f"the classes of the results differ ({told}), expected scores of the same classes")


def _order(rows: Floats, order: str) -> list[int]:
    """Return the order of the rows; the mean stays the last."""
    classes = range(rows.shape[1] - 1)
    if order == "class":
        return [*classes, rows.shape[1] - 1]
    lost = np.nan_to_num(rows[0] - rows[-1], nan=-np.inf)
    return [*sorted(classes, key=lambda place: -lost[place]), rows.shape[1] - 1]


def _bars(
    ax: Axes,
    y: Floats,
    between: tuple[Floats, ...],
    label: str,
    style: dict[str, Any],
) -> None:
    """Draw what is lost from the first to the second; what is gained, by looking ahead, is an empty bar."""
    better, worse = between
    lost = better - worse
    gained = {"facecolor": "none", "edgecolor": INK, "linestyle": "--"}
    for is_so, look, name in ((lost > 0, style, f"lost to {label}"), (lost < 0, gained, "gained in spite of it")):
        if is_so.any():
            ax.barh(y[is_so], lost[is_so], left=worse[is_so], height=0.52, linewidth=0.8, label=name, **look)


def _legend(ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    ax.legend(once.values(), once, loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=9, frameon=False)
