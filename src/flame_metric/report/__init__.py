"""A report: one HTML page on a network, or on several, that opens without a network.

Its templates need jinja2, which is loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flame_metric.errors import MissingExtraError

if TYPE_CHECKING:
    from flame_metric.report.page import report_page as report_page
    from flame_metric.report.page import write_report as write_report

_ON_FIRST_USE = ("report_page", "write_report")


def __getattr__(name: str) -> Any:
    """Load a name on first use (PEP 562)."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module("flame_metric.report.page"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("jinja2", "markupsafe"):
            raise
        raise MissingExtraError(f"{name} needs jinja2: pip install 'flame-metric[plot]'") from error


def __dir__() -> list[str]:
    """List only names that can be loaded: ``help`` and ``inspect.getmembers`` look each of them up."""
    return sorted({*globals(), *(_ON_FIRST_USE if find_spec("jinja2") else ())})
