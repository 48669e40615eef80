"""Label maps laid over frames: what a network said, seen on the frame that it saw and on the frame that is current.

The pictures are those of the paper's figures 4 and 5. F(I_t) over I_t shows how good the prediction was; the same
prediction over I_{t+k} shows how far the scene has moved on, as the lines between the classes no longer lie on the
borders of things. Void pixels are not coloured. Everything here is NumPy: pictures in, pictures out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.labels import LabelMaps, LabelSpace
from flame_metric.core.schedule import NOTHING_YET, Schedule
from flame_metric.errors import ConfigError, ShapeError, located
from flame_metric.figures.painting import Picture, as_picture, class_numbers, errors_marked, make_style

__all__ = ["flame_panels", "mark_errors", "on_screen", "overlay", "panel_grid"]

_OPACITY = 0.5
_PIXELS_PER_GAP = 128  # of a panel's shorter side for each pixel between panels
_PAPER = 255  # grey between panels


def overlay(
    frame: npt.ArrayLike,
    labels: LabelMaps,
    *,
    palette: npt.ArrayLike,
    ignore_index: int | None = None,
    opacity: float = _OPACITY,
    line_width: int | None = None,
) -> Picture:
    """Lay a label map over a frame: each class in its colour, with a line in full colour along its border.

    Parameters
    ----------
    frame : array_like of uint8, (H, W, 3)
        RGB.
    labels : array_like of int, (H, W)
        A class 0..C-1, or ``ignore_index``, per pixel; also a PyTorch tensor.
    palette : array_like of uint8, (C, 3)
        RGB of each class, as :func:`~flame_metric.figures.palette` returns it.
    ignore_index : int, optional
        Label of void pixels: there the frame stays as it is.
    opacity : float
        Weight of the colour inside a class, 0..1.
    line_width : int, optional
        Pixels from the border that are drawn in full colour, on either side; 0: no line. Default: one in 256 rows of
        the frame, at least one.

    Returns
    -------
    ndarray of uint8, (H, W, 3)

    Raises
    ------
    ShapeError
        If the shapes are others, or those of frame and labels differ.
    LabelError
        If a label is neither a class nor void.
    ConfigError
        If an option is out of range, or frame or palette hold no bytes.

    Examples
    --------
    >>> frame = np.full((1, 3, 3), 100, np.uint8)
    >>> overlay(frame, [[0, 255, 1]], palette=[[0, 0, 0], [200, 0, 0]], ignore_index=255, line_width=0)[0].tolist()
    [[50, 50, 50], [100, 100, 100], [150, 50, 50]]
    """
    style = make_style(palette, ignore_index, opacity, line_width)
    return style.laid(as_picture("frame", frame), class_numbers("labels", labels, style.space))


def mark_errors(
    frame: npt.ArrayLike, pred: LabelMaps, target: LabelMaps, *, num_classes: int, ignore_index: int | None = None
) -> Picture:
    """Show which pixels of a prediction are wrong: bright yellow on the frame in dim grey; void targets are dark.

    Parameters
    ----------
    frame : array_like of uint8, (H, W, 3)
        RGB: the frame of the target.
    pred : array_like of int (H, W), or of float (C, H, W)
        Labels or scores; a void prediction is wrong.
    target : array_like of int, (H, W)
    num_classes : int
        C, 2..4096.
    ignore_index : int, optional
        Label of void pixels.

    Returns
    -------
    ndarray of uint8, (H, W, 3)

    Raises
    ------
    ShapeError, LabelError, ConfigError
        As :func:`overlay` does.

    Examples
    --------
    >>> frame = np.full((1, 3, 3), 100, np.uint8)
    >>> mark_errors(frame, [[0, 1, 1]], [[0, 0, 255]], num_classes=2, ignore_index=255)[0].tolist()
    [[60, 60, 60], [255, 190, 0], [20, 20, 20]]
    """
    picture, space = as_picture("frame", frame), LabelSpace(num_classes, ignore_index)
    shown, wanted = (class_numbers(name, maps, space) for name, maps in (("pred", pred), ("target", target)))
    return errors_marked(picture, shown, wanted, space)


def flame_panels(
    frame_then: npt.ArrayLike,
    frame_now: npt.ArrayLike,
    pred: LabelMaps,
    target: LabelMaps | None = None,
    *,
    palette: npt.ArrayLike,
    ignore_index: int | None = None,
    opacity: float = _OPACITY,
    line_width: int | None = None,
) -> Picture:
    """Return the paper's figures 4 and 5: a prediction over the frame that it is of, and over the current one.

    Parameters
    ----------
    frame_then, frame_now : array_like of uint8, (H, W, 3)
        I_t, which the network saw, and I_{t+k}, which is current when its prediction is ready.
    pred : array_like of int (H, W), or of float (C, H, W)
        F(I_t): labels or scores.
    target : array_like of int (H, W), optional
        S_{t+k}: the labels of the current frame.
    palette, ignore_index, opacity, line_width
        As :func:`overlay` takes them.

    Returns
    -------
    ndarray of uint8, (height, width, 3)
        Side by side, F(I_t) over I_t and F(I_t) over I_{t+k}. With a target there is a second row: the target over
        I_{t+k}, and the wrong pixels of F(I_t) there (:func:`mark_errors`).

    Raises
    ------
    ShapeError, LabelError, ConfigError
        As :func:`overlay` does; also if the frames differ in size.

    Examples
    --------
    >>> from flame_metric.data.synthetic import CLASS_NAMES, synthetic_video
    >>> from flame_metric.figures import palette
    >>> video = synthetic_video(num_frames=3, height=64, width=128)
    >>> then, _, now = video.frames
    >>> past, _, present = video.targets
    >>> panels = flame_panels(then, now, past, present, palette=palette(CLASS_NAMES), ignore_index=255)
    >>> panels.shape
    (129, 257, 3)
    """
    then, now = as_picture("frame_then", frame_then), as_picture("frame_now", frame_now)
    if then.shape != now.shape:
        raise ShapeError(
            f"`frame_then` has shape {then.shape} and `frame_now` {now.shape}, expected frames of one video"
        )
    style = make_style(palette, ignore_index, opacity, line_width)
    shown = class_numbers("pred", pred, style.space)
    panels = [style.laid(then, shown), style.laid(now, shown)]
    if target is not None:
        wanted = class_numbers("target", target, style.space)
        panels += [style.laid(now, wanted), errors_marked(now, shown, wanted, style.space)]
    return panel_grid(panels, columns=2)


def panel_grid(panels: Sequence[npt.ArrayLike], *, columns: int | None = None, gap: int | None = None) -> Picture:
    """Put pictures of one size in rows, with white between them.

    Parameters
    ----------
    panels : sequence of array_like of uint8, each (H, W, 3)
        Row by row, from the left; at least one.
    columns : int, optional
        Pictures in a row, >= 1; default: all of them. Where the last row is shorter, it ends in white.
    gap : int, optional
        Pixels between two of them, >= 0; default: one in 128 of their shorter side, at least one.

    Returns
    -------
    ndarray of uint8, (height, width, 3)

    Raises
    ------
    ShapeError
        If there is none, or their shapes are others.
    ConfigError
        If a number is out of range, or they hold no bytes.

    Examples
    --------
    >>> black = np.zeros((2, 2, 3), np.uint8)
    >>> panel_grid([black] * 3, columns=2)[..., 0]
    array([[  0,   0, 255,   0,   0],
           [  0,   0, 255,   0,   0],
           [255, 255, 255, 255, 255],
           [  0,   0, 255, 255, 255],
           [  0,   0, 255, 255, 255]], dtype=uint8)
    """
    pictures = [as_picture("panels", panel) for panel in panels]
    shapes = sorted({picture.shape for picture in pictures})
    if len(shapes) != 1:
        raise ShapeError(f"`panels` have shapes {shapes}, expected one or more pictures (H, W, 3) of one size")
    height, width, _ = shapes[0]
    columns = len(pictures) if columns is None else check_integer("columns", columns, 1)
    if gap is None:
        gap = max(1, min(height, width) // _PIXELS_PER_GAP)
    gap = check_integer("gap", gap, 0, unit="pixels")
    rows = math.ceil(len(pictures) / columns)
    columns = min(columns, len(pictures))
    grid = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), _PAPER, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        grid[top : top + height, left : left + width] = picture
    return grid


def on_screen(
    frames: Sequence[npt.ArrayLike],
    preds: Sequence[LabelMaps | None],
    schedule: Schedule,
    *,
    palette: npt.ArrayLike,
    ignore_index: int | None = None,
    opacity: float = _OPACITY,
    line_width: int | None = None,
) -> Iterator[Picture]:
    """Show a video as it is seen live: at each labelled frame of a schedule, the prediction on screen over that frame.

    Parameters
    ----------
    frames : sequence of ndarray of uint8, each (H, W, 3)
        Item i is frame i.
    preds : sequence of label maps (H, W) or scores (C, H, W), or None where the network was not run
        Item i is the prediction of frame i.
    schedule : Schedule
        Such as ``Schedule.fixed(len(frames), k)``, or what :func:`~flame_metric.simulate_stream` returns.
    palette, ignore_index, opacity, line_width
        As :func:`overlay` takes them.

    Yields
    ------
    ndarray of uint8, (H, W, 3)
        The bare frame while no prediction is on screen yet.

    Raises
    ------
    ShapeError, LabelError, ConfigError
        As :func:`overlay` does; also if a prediction that is on screen is None, the schedule goes on after the frames,
        or it has labels at times of their own.

    Examples
    --------
    >>> frames, preds = np.zeros((3, 1, 1, 3), np.uint8), [[[0]], [[1]], [[0]]]
    >>> shown = on_screen(frames, preds, Schedule.fixed(3, 1), palette=[[200, 0, 0], [0, 0, 200]], line_width=0)
    >>> [picture[0, 0].tolist() for picture in shown]
    [[0, 0, 0], [100, 0, 0], [0, 0, 100]]
    """
    style = make_style(palette, ignore_index, opacity, line_width)
    last = int(schedule.label_frame.max(initial=-1))
    if schedule.per_label or last >= len(frames):
        found = "has labels at times of their own" if schedule.per_label else f"reaches frame {last}"
        raise ConfigError(f"`schedule` {found}, expected one of the {len(frames)} frames")
    for label, source in zip(schedule.label_frame.tolist(), schedule.source.tolist(), strict=True):
        frame = as_picture("frames", frames[label])
        if source == NOTHING_YET:
            yield frame.copy()
            continue
        pred = preds[source]
        if pred is None:
            raise ConfigError(f"`preds` is None at frame {source}, expected labels: it is on screen at frame {label}")
        with located(f"prediction of frame {source}"):
            picture = style.laid(frame, class_numbers("pred", pred, style.space))
        yield picture
