"""One moment seen at several latencies: the older the prediction, the further it lies from what it is laid over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from flame_metric.core.checks import check_integer, items
from flame_metric.core.clock import Fps, Milliseconds, as_fps, milliseconds_to_ns, offset_of_ns
from flame_metric.core.labels import LabelMaps
from flame_metric.core.schedule import Schedule
from flame_metric.core.tables import milliseconds_text
from flame_metric.errors import ConfigError
from flame_metric.figures.drawing import GREY, new_figure, plain
from flame_metric.figures.overlays import on_screen
from flame_metric.scores.config import check_class_names

__all__ = ["plot_latency_strip"]

_WIDTH = 3.4  # inches of a picture
_TITLE = 0.3  # inches
_LEGEND = 0.4
_MOST_COLUMNS = 4


def plot_latency_strip(
    frames: Sequence[npt.ArrayLike],
    preds: Sequence[LabelMaps | None],
    *,
    frame: int,
    latencies_ms: Sequence[Milliseconds],
    fps: Fps,
    palette: npt.ArrayLike,
    ignore_index: int | None = None,
    class_names: Sequence[str] | None = None,
    columns: int | None = None,
) -> tuple[Figure, tuple[Axes, ...]]:
    """Draw one frame of a video with the prediction that would be on it at each of some latencies.

    Parameters
    ----------
    frames : sequence of array_like of uint8, each (H, W, 3)
        Item i is frame i.
    preds : sequence of label maps (H, W) or scores (C, H, W), or None where the network was not run
        Item i is the prediction of frame i.
    frame : int
        j, the current frame. Laid over it is the prediction of frame j - k, k being the offset of the latency (Eq. 5).
    latencies_ms : sequence of float
        Milliseconds, each >= 0; at least one.
    fps : int, float, Fraction or str
        Frames per second.
    palette, ignore_index
        As :func:`~flame_metric.figures.overlay` takes them.
    class_names : sequence of str, (C,), optional
        Names of the classes, for a legend of the colours; default: no legend.
    columns : int, optional
        Pictures in a row, >= 1; default: all of them, four at most.

    Returns
    -------
    (Figure, tuple of Axes)
        Axes in the order of the latencies.

    Raises
    ------
    ConfigError
        If a prediction that is needed lies before the first frame or is None, or an option is out of range.
    ShapeError, LabelError
        If frames and predictions do not belong together.

    Examples
    --------
    >>> from flame_metric.data.synthetic import CLASS_NAMES, synthetic_video
    >>> from flame_metric.figures import palette
    >>> video = synthetic_video(num_frames=5, height=32, width=64, fps="50/3")
    >>> figure, axes = plot_latency_strip(
    ...     video.frames, video.targets, frame=4, latencies_ms=[0, 76], fps=video.fps,
    ...     palette=palette(CLASS_NAMES), ignore_index=255,
    ... )
    >>> [ax.get_title() for ax in axes]
    ['0.0 ms: k = 0', '76.0 ms: k = 2']
    """
    latencies = [milliseconds_to_ns(one, "latencies_ms") for one in items("latencies_ms", latencies_ms, "milliseconds")]
    if not latencies:
        raise ConfigError("`latencies_ms` is empty, expected one latency or more")
    frame = check_integer("frame", frame, 0, most=len(frames) - 1)
    columns = min(len(latencies), _MOST_COLUMNS) if columns is None else check_integer("columns", columns, 1)
    colours, names = np.asarray(palette), check_class_names(class_names)
    rate = as_fps(fps)
    offsets = [offset_of_ns(latency, rate) for latency in latencies]
    if max(offsets) > frame:
        raise ConfigError(
            f"`frame` is {frame}, but a latency needs the prediction of {max(offsets)} frames before, expected a later "
            "frame or a shorter latency"
        )
    if names is not None and len(names) != len(colours):
        raise ConfigError(f"`class_names` holds {len(names)} names, expected {len(colours)}, one for each colour")
    moments = (Schedule(np.array([frame]), np.array([frame - offset])) for offset in offsets)
    style: dict[str, Any] = {"palette": colours, "ignore_index": ignore_index}
    pictures = [picture for moment in moments for picture in on_screen(frames, preds, moment, **style)]
    height, width, _ = pictures[0].shape
    rows = math.ceil(len(pictures) / columns)
    inches = rows * (_WIDTH * height / width + _TITLE) + (_LEGEND if names else 0)
    fig = new_figure(_WIDTH * columns, inches)
    axes = []
    for place, (picture, latency, offset) in enumerate(zip(pictures, latencies, offsets, strict=True)):
        ax = fig.add_subplot(rows, columns, place + 1)
        ax.imshow(picture, interpolation="antialiased")
        ax.set_title(f"{milliseconds_text(latency / 1e6)}: k = {offset}", fontsize=11)
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_color(GREY)
        axes.append(ax)
    if names:
        patches = [Patch(color=colour / 255, label=plain(name)) for colour, name in zip(colours, names, strict=True)]
        fig.legend(handles=patches, loc="outside lower center", ncols=min(len(names), 2 + 2 * columns), frameon=False)
    return fig, tuple(axes)
