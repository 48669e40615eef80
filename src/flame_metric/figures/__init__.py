"""Pictures: label maps laid over frames (NumPy), and figures of scores, streams and latencies (matplotlib).

Figures need matplotlib, which is loaded on first use. Each function returns the figure and its axes, to change, show or
save: ``figure.savefig("curve.pdf")``. pyplot is not used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flame_metric.errors import MissingExtraError
from flame_metric.figures.overlays import flame_panels as flame_panels
from flame_metric.figures.overlays import mark_errors as mark_errors
from flame_metric.figures.overlays import on_screen as on_screen
from flame_metric.figures.overlays import overlay as overlay
from flame_metric.figures.overlays import panel_grid as panel_grid
from flame_metric.figures.palettes import palette as palette

if TYPE_CHECKING:
    from flame_metric.figures.class_losses import plot_class_losses as plot_class_losses
    from flame_metric.figures.latencies import plot_latencies as plot_latencies
    from flame_metric.figures.latency_curve import plot_latency_curve as plot_latency_curve
    from flame_metric.figures.latency_strip import plot_latency_strip as plot_latency_strip
    from flame_metric.figures.staleness import plot_staleness as plot_staleness
    from flame_metric.figures.timeline import plot_timeline as plot_timeline

_FIGURES = {  # name: module
    "plot_class_losses": "flame_metric.figures.class_losses",
    "plot_latencies": "flame_metric.figures.latencies",
    "plot_latency_curve": "flame_metric.figures.latency_curve",
    "plot_latency_strip": "flame_metric.figures.latency_strip",
    "plot_staleness": "flame_metric.figures.staleness",
    "plot_timeline": "flame_metric.figures.timeline",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use (PEP 562)."""
    if name not in _FIGURES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_FIGURES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise MissingExtraError(f"{name} needs matplotlib: pip install 'flame-metric[plot]'") from error


def __dir__() -> list[str]:
    """List only names that can be had: ``help`` and ``inspect.getmembers`` look each of them up."""
    return sorted({*globals(), *(_FIGURES if find_spec("matplotlib") else ())})
