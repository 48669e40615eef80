"""Pictures: label maps laid over frames (NumPy), and figures of scores, streams and latencies (matplotlib)."""

from __future__ import annotations

from flame_metric.report.overlays import flame_panels as flame_panels
from flame_metric.report.overlays import mark_errors as mark_errors
from flame_metric.report.overlays import on_screen as on_screen
from flame_metric.report.overlays import overlay as overlay
from flame_metric.report.overlays import panel_grid as panel_grid
from flame_metric.report.palettes import palette as palette
