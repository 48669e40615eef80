"""Pictures: label maps laid over frames (NumPy), and reports as one HTML page; the latter are loaded on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flame_metric.report.overlays import flame_panels as flame_panels
from flame_metric.report.overlays import mark_errors as mark_errors
from flame_metric.report.overlays import on_screen as on_screen
from flame_metric.report.overlays import overlay as overlay
from flame_metric.report.overlays import panel_grid as panel_grid
from flame_metric.report.palettes import palette as palette

if TYPE_CHECKING:
    from flame_metric.report.page import report_page as report_page
    from flame_metric.report.page import write_report as write_report

_ON_FIRST_USE = {  # name: module
    "report_page": "flame_metric.report.page",
    "write_report": "flame_metric.report.page",
}


def __getattr__(name: str) -> Any:
    """Load a name on first use (PEP 562): a report needs what is built upon this package."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ON_FIRST_USE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_FIRST_USE})
