"""Pictures: label maps laid over frames (NumPy alone), figures of scores, streams and latencies, and whole pages.

Figures need matplotlib, which is loaded on first use. Each function returns the figure and its axes, to change, show or
save: ``figure.savefig("curve.pdf")``. pyplot is not used. A page is one HTML file that opens without a network.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flame_metric.errors import MissingExtraError
from flame_metric.report.overlays import flame_panels as flame_panels
from flame_metric.report.overlays import mark_errors as mark_errors
from flame_metric.report.overlays import on_screen as on_screen
from flame_metric.report.overlays import overlay as overlay
from flame_metric.report.overlays import panel_grid as panel_grid
from flame_metric.report.palettes import palette as palette

if TYPE_CHECKING:
    from flame_metric.report.classes import plot_class_losses as plot_class_losses
    from flame_metric.report.curves import plot_latency_curve as plot_latency_curve
    from flame_metric.report.latencies import plot_latencies as plot_latencies
    from flame_metric.report.page import report_page as report_page
    from flame_metric.report.page import write_report as write_report
    from flame_metric.report.staleness import plot_staleness as plot_staleness
    from flame_metric.report.strips import plot_latency_strip as plot_latency_strip
    from flame_metric.report.timelines import plot_timeline as plot_timeline

_PAGES = {  # name: module; a page needs what is built upon this package
    "report_page": "flame_metric.report.page",
    "write_report": "flame_metric.report.page",
}
_FIGURES = {
    "plot_class_losses": "flame_metric.report.classes",
    "plot_latencies": "flame_metric.report.latencies",
    "plot_latency_curve": "flame_metric.report.curves",
    "plot_latency_strip": "flame_metric.report.strips",
    "plot_staleness": "flame_metric.report.staleness",
    "plot_timeline": "flame_metric.report.timelines",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use (PEP 562)."""
    module = (_PAGES | _FIGURES).get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise MissingExtraError(f"{name} needs matplotlib: pip install 'flame-metric[plot]'") from error


def __dir__() -> list[str]:
    """List only names that can be had: ``help`` and ``inspect.getmembers`` look each of them up."""
    return sorted({*globals(), *_PAGES, *(_FIGURES if find_spec("matplotlib") else ())})
