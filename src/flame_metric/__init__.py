"""Latency-aware evaluation of video segmentation: the quality of a network once its own delay is counted.

A network that needs 76 ms answers about a scene that has moved on. FLAME compares its output for frame t with the
ground truth of frame t + k, the frame that is current when the output is ready; k = ceil(latency / frame interval).

>>> import flame_metric
>>> meter = flame_metric.FlameMeter(2, latency_ms=26, fps="50/3")
>>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]]
>>> meter.update_sequence(preds=video, targets=video, sequence="clip")
>>> print(meter.compute().signature)
FLAME 0.167 | k 1 | 26.0 ms | 50/3 fps | 2 classes | coverage 0.67 | flame-metric 0.1.0

References
----------
Courdier and Fleuret, Fair Latency-Aware Metric for real-time video segmentation networks, 2020, arXiv:2004.02574.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flame_metric._version import __version__
from flame_metric.core.clock import frame_offset
from flame_metric.core.counting import class_counts, confusion_matrix
from flame_metric.core.iou import iou_per_class, mean_iou
from flame_metric.core.schedule import FrameDelay, Schedule, StreamLog
from flame_metric.core.statistics import Comparison, Interval, bootstrap_interval
from flame_metric.data.videos import VideoDataset, VideoSequence
from flame_metric.errors import (
    ConfigError,
    DatasetError,
    FlameError,
    FlameWarning,
    LabelError,
    MissingExtraError,
    ShapeError,
    StateError,
)
from flame_metric.latency.measure import measure_latency
from flame_metric.latency.report import LatencyReport, latency_report
from flame_metric.latency.simulate import StreamConfig, StreamStatistics, simulate_stream
from flame_metric.latency.timeline import stream_timeline
from flame_metric.latency.trace import LatencyTrace
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.curve import Budget, Curve, Losses
from flame_metric.scores.meter import FlameMeter, flame_score
from flame_metric.scores.ranking import compare
from flame_metric.scores.result import FlameResult

if TYPE_CHECKING:
    from flame_metric.data.registry import open_dataset
    from flame_metric.jobs.evaluate import evaluate_folders
    from flame_metric.jobs.run import run_network
    from flame_metric.networks.load import load_network
    from flame_metric.torch.aware import LatencyAware as LatencyAware
    from flame_metric.torch.metric import FlameMetric as FlameMetric
    from flame_metric.torch.runner import torch_runner as torch_runner
    from flame_metric.torch.timer import CudaTimer as CudaTimer

__all__ = [
    "Budget",
    "Comparison",
    "ConfigError",
    "Curve",
    "DatasetError",
    "FlameError",
    "FlameMeter",
    "FlameResult",
    "FlameWarning",
    "FrameDelay",
    "Interval",
    "LabelError",
    "LatencyReport",
    "LatencyTrace",
    "Losses",
    "MissingExtraError",
    "OffsetBank",
    "Schedule",
    "ShapeError",
    "StateError",
    "StreamConfig",
    "StreamLog",
    "StreamStatistics",
    "VideoDataset",
    "VideoSequence",
    "__version__",
    "bootstrap_interval",
    "class_counts",
    "compare",
    "confusion_matrix",
    "evaluate_folders",
    "flame_score",
    "frame_offset",
    "iou_per_class",
    "latency_report",
    "load_network",
    "mean_iou",
    "measure_latency",
    "open_dataset",
    "run_network",
    "simulate_stream",
    "stream_timeline",
]

_ON_FIRST_USE: dict[str, tuple[str, str | None, str]] = {  # name: (module, what it needs, the extra that brings that)
    "evaluate_folders": ("flame_metric.jobs.evaluate", None, ""),
    "load_network": ("flame_metric.networks.load", None, ""),
    "open_dataset": ("flame_metric.data.registry", None, ""),
    "run_network": ("flame_metric.jobs.run", None, ""),
    "LatencyAware": ("flame_metric.torch.aware", "torchmetrics", "torch"),
    "FlameMetric": ("flame_metric.torch.metric", "torchmetrics", "torch"),
    "CudaTimer": ("flame_metric.torch.timer", "torch", "torch"),
    "torch_runner": ("flame_metric.torch.runner", "torch", "torch"),
}


def __getattr__(name: str) -> Any:
    """Load a name on first use (PEP 562), so that importing this package loads only NumPy."""
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, package, extra = _ON_FIRST_USE[name]
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if package is None or (error.name or "").split(".")[0] not in ("torch", "torchmetrics"):
            raise
        raise MissingExtraError(f"{name} needs {package}: pip install 'flame-metric[{extra}]'") from error


def __dir__() -> list[str]:
    """List only names that can be had: ``help`` and ``inspect.getmembers`` look each of them up."""
    installed = {package for package in ("torch", "torchmetrics") if find_spec(package)}
    loadable = (
        name for name, (_, package, _) in _ON_FIRST_USE.items() if not package or {"torch", package} <= installed
    )
    return sorted({*globals(), *loadable})
