"""What all figures share: axes without pyplot's global state, and looks that differ without colour, too.

Every figure says the same thing twice, by colour and by line style, marker or hatching, so that it can be read in grey
print and by colour-blind readers. The colours are Okabe's and Ito's.
"""

from __future__ import annotations

from itertools import cycle, islice
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flame_metric.core.checks import check_kind
from flame_metric.core.tables import printable

__all__ = ["Look", "axes_for", "looks", "new_figure", "plain", "tidy"]

BLUE, RED, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
INK, GREY, PALE = "#222222", "#707070", "#E4E4E4"

_POINTS = 9  # of tick labels; titles and axis labels are larger


class Look(NamedTuple):
    """How one of several things is drawn."""

    colour: str
    line: str | tuple[float, tuple[float, ...]]
    marker: str
    hatch: str


_LOOKS = (
    Look(BLUE, "-", "o", ""),
    Look(RED, "--", "s", "////"),
    Look(GREEN, "-.", "D", "...."),
    Look(PURPLE, (0, (5, 1, 1, 1, 1, 1)), "^", "xxxx"),
    Look(ORANGE, (0, (8, 2)), "v", "----"),
    Look(SKY, (0, (3, 1)), "P", "\\\\\\\\"),
)


def looks(number: int) -> list[Look]:
    """Return so many looks; they repeat after six."""
    return list(islice(cycle(_LOOKS), number))


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches; pyplot does not know of it, so nothing has to be closed."""
    return Figure(figsize=(width, height), layout="constrained")


def axes_for(ax: Axes | None, width: float, height: float) -> tuple[Figure, Axes]:
    """Return the axes to draw into and their figure: those that are given, or new ones of a size in inches.

    Raises
    ------
    ConfigError
        If ``ax`` is something else.
    """
    if ax is None:
        figure = new_figure(width, height)
        return figure, figure.add_subplot()
    check_kind("ax", ax, Axes, "matplotlib Axes, or None for new ones")
    return ax.figure.figure, ax  # of axes in a subfigure, the whole figure


def plain(name: str) -> str:
    r"""Return a name from outside as text that stands as it is: no formula, no line break, no label that is left out.

    Examples
    --------
    >>> plain("$a$"), plain("_b")
    ('\\$a\\$', ' _b')
    """
    text = printable(name).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def tidy(ax: Axes, *, title: str = "", x: str = "", y: str = "", grid: str = "y") -> None:
    """Write title and axis labels, and take away what is not data."""
    ax.set_title(title, loc="left", fontsize=_POINTS + 2, color=INK)
    ax.set_xlabel(x, fontsize=_POINTS + 1)
    ax.set_ylabel(y, fontsize=_POINTS + 1)
    ax.tick_params(labelsize=_POINTS, color=GREY)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(visible=True, axis=grid, color=PALE, linewidth=0.8)  # type: ignore[arg-type]
