"""How a label map is painted over a frame: checks, blending, lines along borders, marks on what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import exact_fraction
from flame_metric.core.labels import LabelMaps, LabelSpace, code_map
from flame_metric.errors import ConfigError, ShapeError

__all__ = ["Labels", "Picture", "Style", "as_picture", "class_numbers", "errors_marked", "make_style", "near_border"]

Picture = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.uint16]

_ROWS_PER_LINE = 256  # rows of a picture for each pixel of the width of a line, where none is given
_GREY = np.array((0.299, 0.587, 0.114), np.float32)  # brightness of red, green and blue (Rec. 601)
_RIGHT, _UNKNOWN = np.float32(0.6), np.float32(0.2)  # brightness of pixels that are right, and of void targets
_ERROR = np.array((255, 190, 0), np.uint8)  # far brighter than what is right: seen without telling hues apart


@dataclass(frozen=True, eq=False)
class Style:
    """How label maps are laid over frames: checked options.

    Attributes
    ----------
    colours : ndarray of uint8, (C, 3)
    space : LabelSpace
    opacity : float
        Of the colour inside a class, 0..1.
    line_width : int or None
        Pixels on either side of a border; None: by the height of the frame.
    """

    colours: Picture
    space: LabelSpace
    opacity: float
    line_width: int | None

    def laid(self, frame: Picture, labels: Labels) -> Picture:
        """Blend a frame with the colours of its labels, 0..C, where C stands for void."""
        _check_size(frame, labels)
        paint, weight = self._paint(labels)
        return _to_bytes(weight[..., None] * (paint.astype(np.float32) - frame) + frame)

    def layer(self, labels: Labels) -> Picture:
        """Return what :meth:`laid` lays over a frame as a picture of its own: RGB and opacity, (H, W, 4)."""
        paint, weight = self._paint(labels)
        return np.concatenate([paint, _to_bytes(255 * weight)[..., None]], axis=-1)

    def _paint(self, labels: Labels) -> tuple[Picture, npt.NDArray[np.float32]]:
        """Return the colour of each pixel, and its weight, 0..1."""
        line_width = max(1, len(labels) // _ROWS_PER_LINE) if self.line_width is None else self.line_width
        weight = np.where(near_border(labels, line_width), np.float32(1), np.float32(self.opacity))
        weight[labels == self.space.num_classes] = 0
        paint = np.concatenate([self.colours, self.colours[:1]])[labels]  # of void whatever: it weighs nothing
        return paint, weight


def make_style(palette: npt.ArrayLike, ignore_index: int | None, opacity: float, line_width: int | None) -> Style:
    """Check the options of a style.

    Raises
    ------
    ShapeError, ConfigError
        If one is out of range.
    """
    colours = _bytes("palette", palette, "(C, 3)", 2)
    share = float(exact_fraction("opacity", opacity, "a number 0..1", text=False))
    if not 0 <= share <= 1:
        raise ConfigError(f"`opacity` is {opacity}, expected a number 0..1")
    width = None if line_width is None else check_integer("line_width", line_width, 0, unit="pixels")
    return Style(colours, LabelSpace(len(colours), ignore_index), share, width)


def as_picture(argument: str, picture: npt.ArrayLike) -> Picture:
    """Return an RGB picture, uint8 (H, W, 3).

    Raises
    ------
    ShapeError, ConfigError
        If it is none.
    """
    return _bytes(argument, picture, "(H, W, 3)", 3)


def class_numbers(argument: str, labels: LabelMaps, space: LabelSpace) -> Labels:
    """Return a label map 0..C, where C stands for void; of ``pred``, scores (C, H, W) too.

    Raises
    ------
    LabelError, ShapeError
        If it holds anything but classes and void.
    """
    coded = code_map(labels, space, argument=argument)
    return coded.pixels().reshape(coded.shape)


def errors_marked(frame: Picture, pred: Labels, target: Labels, space: LabelSpace) -> Picture:
    """Return the frame in dim grey with wrong pixels in bright yellow; where the target is void it is dark."""
    for labels in (pred, target):
        _check_size(frame, labels)
    is_void = target == space.num_classes
    grey = (frame @ _GREY) * np.where(is_void, _UNKNOWN, _RIGHT)
    is_wrong = (pred != target) & ~is_void
    return np.where(is_wrong[..., None], _ERROR, _to_bytes(grey)[..., None])


def _bytes(argument: str, values: npt.ArrayLike, expected: str, axes: int) -> Picture:
    array = np.asarray(values)
    if array.ndim != axes or array.shape[-1] != 3 or not array.size:
        raise ShapeError(f"`{argument}` has shape {array.shape}, expected {expected}: red, green, blue")
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise ConfigError(f"`{argument}` holds {array.dtype} values, expected bytes: integers 0..255")
    return array.astype(np.uint8, copy=False)


def _check_size(frame: Picture, labels: Labels) -> None:
    if frame.shape[:2] != labels.shape:
        raise ShapeError(
            f"the frame has shape {frame.shape} and its label map {labels.shape}, expected the same height and width; "
            "nothing is resized"
        )


def near_border(labels: Labels, distance: int) -> npt.NDArray[np.bool_]:
    """Whether a pixel is among the ``distance`` next to one of another label, along its row or its column."""
    near = np.zeros(labels.shape, np.bool_)
    for axis in (0, 1):
        ours, flags = np.moveaxis(labels, axis, 0), np.moveaxis(near, axis, 0)
        differs = ours[1:] != ours[:-1]
        for step in range(min(distance, len(differs))):
            flags[step + 1 :] |= differs[: len(differs) - step]
            flags[: len(differs) - step] |= differs[step:]
    return near


def _to_bytes(values: npt.NDArray[np.floating[Any]]) -> Picture:
    return np.asarray(np.rint(values).astype(np.uint8))
