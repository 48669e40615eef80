"""Labels: what a label map may hold, and the doors at which maps are checked, read and coded.

A *label map* holds one class 0..C-1 per pixel, or ``ignore_index`` where the pixel is void. Predictions may come as
scores, of which the highest decides. Every label of every map is checked: a label that is neither a class nor void
raises :class:`~flame_metric.errors.LabelError` with the number of its pixels; it is never dropped, and never taken for
another.
"""

from __future__ import annotations

import base64
import math
import numbers
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import is_integer
from flame_metric.core.compiled import compiled_loops
from flame_metric.errors import ConfigError, LabelError, ShapeError, quoted

__all__ = [
    "CodedMap",
    "LabelMaps",
    "LabelSpace",
    "as_numpy",
    "bad_labels",
    "check_map",
    "check_pair",
    "check_scores",
    "class_numbers",
    "code_map",
    "coded_from_dict",
    "coded_to_dict",
    "is_classes_last",
    "label_pairs",
    "labels_of_scores",
    "num_maps",
    "pair_up",
    "raise_bad_labels",
    "shape_message",
    "tied_at_infinity",
]

LabelMaps: TypeAlias = Any
"""A label map (H, W), maps (..., H, W), a list of either, or scores (..., C, H, W); NumPy, PyTorch or array-like."""

Array: TypeAlias = npt.NDArray[Any]

MAX_CLASSES = 4096  # a confusion matrix of int64 grows with the square: 134 MB here
DENSE = 0.2  # above this share of pixels that start a run, counting every pixel is faster than finding the runs
_SCORE_CHUNK = 1 << 16
_BYTE_VALUES = 256
_MOST_FOR_ONE = 1032  # bytes that one byte can stand for in a zlib stream


@dataclass(frozen=True)
class LabelSpace:
    """The labels that a map may hold: classes 0..num_classes-1, and one label for void pixels.

    Parameters
    ----------
    num_classes : int
        C, 2..4096.
    ignore_index : int, optional
        Label of void pixels, any integer. One of 0..C-1 turns that class into void.

    Raises
    ------
    ConfigError
        If one of them is not an integer or out of range.
    """

    num_classes: int
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        if not is_integer(self.num_classes) or not 2 <= self.num_classes <= MAX_CLASSES:
            raise ConfigError(
                f"`num_classes` is {quoted(self.num_classes)}, expected an integer 2..{MAX_CLASSES} "
                "(background is a class too)"
            )
        if self.ignore_index is not None and not is_integer(self.ignore_index):
            raise ConfigError(f"`ignore_index` is {quoted(self.ignore_index)}, expected an integer or None")
        object.__setattr__(self, "num_classes", int(self.num_classes))
        object.__setattr__(self, "ignore_index", None if self.ignore_index is None else int(self.ignore_index))

    def __str__(self) -> str:
        void = "" if self.ignore_index is None else f" or ignore_index {self.ignore_index}"
        return f"0..{self.num_classes - 1}{void}"


# ── coded maps ──


@dataclass(frozen=True, eq=False)
class CodedMap:
    """A label map that was read and checked once, to be counted against several others.

    Attributes
    ----------
    shape : (int, int)
    starts : ndarray of int64 or None
        The pixel at which each run of equal labels starts; None where runs are short.
    labels : ndarray of uint16
        Classes 0..C-1, and C for void: of each run, or of each pixel where there are no runs.
    """

    shape: tuple[int, int]
    starts: npt.NDArray[np.int64] | None = field(repr=False)
    labels: npt.NDArray[np.uint16] = field(repr=False)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @classmethod
    def from_numbers(cls, numbers: npt.NDArray[np.uint16]) -> CodedMap:
        """Code the numbers 0..C (C for void) of the pixels of one map, (H, W)."""
        flat = numbers.ravel()
        starts = _run_starts(flat)
        return cls((numbers.shape[0], numbers.shape[1]), starts, flat if starts is None else flat[starts])

    def pixels(self) -> npt.NDArray[np.uint16]:
        """Return the label of each pixel, (H * W,)."""
        return self.labels if self.starts is None else np.repeat(self.labels, np.diff(self.starts, append=self.size))

    @cached_property
    def rises(self) -> npt.NDArray[np.int64]:
        """By how much each label is higher than the one before, int64; the first: than 0."""
        labels = self.labels.astype(np.int64)
        return np.concatenate([labels[:1], labels[1:] - labels[:-1]])


def code_map(labels: LabelMaps, space: LabelSpace, *, argument: str = "pred") -> CodedMap:
    """Read one label map (H, W), or scores (C, H, W), for :func:`count_coded`.

    Raises
    ------
    LabelError, ShapeError
        As :func:`confusion_matrix` does.
    """
    if _on_accelerator(labels) and labels.is_floating_point() and _has_class_axis(labels, argument, space):
        labels = _labels_on_device(labels)
    array = _as_array(labels, argument)
    if check_map(array, argument, space):
        array = labels_of_scores(array)
    flat = array.ravel()
    starts = _run_starts(flat)
    kept = flat if starts is None else flat[starts]
    numbers = _code_labels(kept, space)
    if numbers is None:
        raise_bad_labels({argument: array}, space)
    return CodedMap((array.shape[0], array.shape[1]), starts, numbers)


def check_map(maps: Array, argument: str, space: LabelSpace) -> bool:
    """Check the kind and shape of one map (H, W), or of its scores (C, H, W); no value is looked at.

    Returns
    -------
    bool
        Whether ``maps`` holds scores.

    Raises
    ------
    LabelError, ShapeError
        As :func:`code_map` does.
    """
    floating = maps.dtype.kind == "f"
    scores = floating and _has_class_axis(maps, argument, space)
    if not scores:
        if maps.ndim == 3 + floating and len(maps) == 1:
            raise ShapeError(
                f"`{argument}` has shape {maps.shape}, expected one label map (H, W)"
                f"{' or its scores (C, H, W)' if argument == 'pred' else ''}; take it out of its batch with "
                f"{argument}[0]"
            )
        _check_labels(maps, argument, space)
        if maps.ndim != 2:
            raise ShapeError(f"`{argument}` has shape {maps.shape}, expected one label map (H, W)")
    if not maps.size:
        raise ShapeError(f"`{argument}` has shape {maps.shape}, expected at least one pixel")
    return scores


def _code_labels(labels: Array, space: LabelSpace) -> npt.NDArray[np.uint16] | None:
    """Return labels as 0..C, where C stands for void; None if one of them is neither class nor void."""
    seen = labels
    if labels.dtype.kind == "i":  # seen as unsigned, negative labels are large: one comparison less
        seen = labels.view(f"{labels.dtype.byteorder}u{labels.itemsize}")
    outside = seen >= space.num_classes
    numbers = labels.astype(np.uint16)
    if space.ignore_index is None:
        return None if outside.any() else numbers
    void = labels == space.ignore_index
    if np.greater(outside, void).any():
        return None
    np.copyto(numbers, np.uint16(space.num_classes), where=void)
    return numbers


def coded_to_dict(coded: CodedMap) -> dict[str, Any]:
    """Return a coded map in types that JSON knows: its pixels, compressed, as text."""
    pixels = coded.pixels().astype("<u2").tobytes()
    return {"shape": list(coded.shape), "pixels": base64.b64encode(zlib.compress(pixels)).decode()}


def coded_from_dict(record: Mapping[str, Any], space: LabelSpace) -> CodedMap:
    """Read what :func:`coded_to_dict` returned; a record from outside cannot claim more than it holds.

    Raises
    ------
    ValueError
        If it is not such a map of these labels.
    """
    height, width = record["shape"]
    if not (type(height) is type(width) is int and min(height, width) > 0):
        raise ValueError(f"a label map has the shape {record['shape']!r}")
    packed = base64.b64decode(record["pixels"], validate=True)
    size = 2 * height * width
    unpack = zlib.decompressobj()
    try:
        data = unpack.decompress(packed, min(size, _MOST_FOR_ONE * len(packed)) + 1)
    except zlib.error as error:
        raise ValueError(f"a label map is damaged: {error}") from error
    numbers = np.frombuffer(data, "<u2").astype(np.uint16) if len(data) == size and unpack.eof else None
    if numbers is None or numbers.max() > space.num_classes:
        raise ValueError(f"a label map does not hold {height} x {width} of the labels 0..{space.num_classes}")
    return CodedMap.from_numbers(numbers.reshape(height, width))


def _has_class_axis(maps: Any, argument: str, space: LabelSpace) -> bool:
    """Whether floats of one map are scores (C, H, W), which only a prediction may be."""
    return argument == "pred" and maps.ndim == 3 and len(maps) == space.num_classes


def _run_starts(labels: Array) -> npt.NDArray[np.int64] | None:
    """Find the pixels at which the label differs from the one before, the first included; None if they are many."""
    limit = int(DENSE * labels.size)
    starts: npt.NDArray[np.int64] | None
    if labels.itemsize == 1 and (loops := compiled_loops()):
        starts = loops.run_starts(labels, limit)
        return starts
    differs = np.zeros(-(-labels.size // 8) * 8, np.bool_)
    differs[0] = True
    np.not_equal(labels[1:], labels[:-1], out=differs[1 : labels.size])
    words = differs.view(np.uint64)
    hit = np.flatnonzero(words != 0)  # few: most runs are longer than a word of eight pixels
    flags = words[hit].view(np.bool_)
    if np.count_nonzero(flags) > limit:
        return None
    found = np.flatnonzero(flags)
    starts = hit[found >> 3] * 8 + (found & 7)
    return starts


def class_numbers(labels: Array, space: LabelSpace) -> npt.NDArray[np.int64]:
    """Return checked labels as 0..C, where C stands for void."""
    numbers = labels.astype(np.int64)
    if space.ignore_index is not None:
        numbers[labels == space.ignore_index] = space.num_classes
    return numbers


# ── the door: what is handed over becomes pairs of integer arrays of equal shape ──


def pair_up(pred: LabelMaps, target: LabelMaps) -> Iterator[tuple[Any, Any]]:
    """Take lists of label maps apart into (prediction, target); what is not a list is one pair already.

    Raises
    ------
    ShapeError
        If one holds more than the other, or they hold none.
    """
    if not (_is_list_of_maps(pred) or _is_list_of_maps(target)):
        yield pred, target
        return
    num_preds, num_targets = (num_maps(maps) for maps in (pred, target))
    if num_preds != num_targets:
        raise ShapeError(f"`pred` holds {num_preds} label maps and `target` {num_targets}, expected as many of both")
    if num_preds == 0:
        raise ShapeError("`pred` and `target` are empty, expected at least one label map")
    yield from zip(pred, target, strict=True)


def label_pairs(pred: LabelMaps, target: LabelMaps, space: LabelSpace) -> Iterator[tuple[Array, Array]]:
    """Take maps or lists of them apart into pairs of arrays (prediction, target) of equal shape, kinds checked."""
    for pred_item, target_item in pair_up(pred, target):
        yield _label_pair(pred_item, target_item, space)


def _is_list_of_maps(maps: LabelMaps) -> bool:
    """Whether maps come as a list of arrays, tensors or images, and not as one map in nested lists."""
    if not isinstance(maps, Sequence) or isinstance(maps, (str, bytes)):
        return False
    return not maps or not isinstance(maps[0], (Sequence, numbers.Number))


def num_maps(maps: LabelMaps) -> int:
    """Return how many label maps a list or a batch holds: 0 for what is neither."""
    return len(maps) if isinstance(maps, Sequence) or getattr(maps, "ndim", 0) > 0 else 0


def _label_pair(pred: Any, target: Any, space: LabelSpace) -> tuple[Array, Array]:
    target_map = _as_array(target, "target")
    if _on_accelerator(pred) and pred.is_floating_point() and pred.shape[-3:-2] == (space.num_classes,):
        _check_labels(target_map, "target", space)
        pred = _labels_on_device(pred)
    pred_map = _as_array(pred, "pred")
    if check_pair(pred_map, target_map, space):
        return labels_of_scores(pred_map), target_map
    return pred_map, target_map


def check_pair(pred: Array, target: Array, space: LabelSpace) -> bool:
    """Check the kinds and shapes of a pair, by which predictions are labels or scores; no value is looked at.

    Returns
    -------
    bool
        Whether ``pred`` holds scores.

    Raises
    ------
    LabelError, ShapeError
        As :func:`confusion_matrix` does.
    """
    _check_labels(target, "target", space)
    if pred.dtype.kind not in "iubf":
        _check_labels(pred, "pred", space)
    if _are_scores(pred, target, space):
        return True
    _check_labels(pred, "pred", space)
    return False


def _are_scores(pred: Array, target: Array, space: LabelSpace) -> bool:
    """Whether predictions are scores with a class axis; raise if their shape belongs to the target neither way."""
    shape, wanted = pred.shape, target.shape
    floating, class_axis = pred.dtype.kind == "f", len(shape) == len(wanted) + 1 >= 3
    if floating and class_axis and shape[-3] != space.num_classes:
        raise ShapeError(
            f"`pred` holds scores of shape {shape}, expected {space.num_classes} classes on the third axis from the end"
            + (", not on the last: move it there" if shape[-1] == space.num_classes else "")
        )
    if class_axis and shape == (*wanted[:-2], space.num_classes, *wanted[-2:]) and not floating:
        raise LabelError(
            f"`pred` holds {pred.dtype} values of shape {shape}, expected integer labels {wanted} or floating scores; "
            "one-hot or quantised scores become labels with pred.argmax(-3)",
            argument="pred",
        )
    if (shape[:-3] + shape[-2:] if floating and class_axis else shape) != wanted:
        raise ShapeError(shape_message(shape, wanted))
    if len(wanted) < 2:
        raise ShapeError(f"`target` has shape {wanted}, expected label maps (H, W) or (..., H, W)")
    if target.size == 0:
        raise ShapeError(f"`target` has shape {wanted}, expected at least one pixel")
    return floating and class_axis


def _as_array(maps: Any, argument: str) -> Array:
    if isinstance(maps, np.ma.MaskedArray):
        raise LabelError(
            f"`{argument}` is a masked array, expected plain labels; use .filled(ignore_index)", argument=argument
        )
    try:
        return as_numpy(maps)
    except (ValueError, TypeError, RuntimeError) as error:
        raise LabelError(f"`{argument}` is not an array of labels: {error}", argument=argument) from error


def as_numpy(values: Any) -> npt.NDArray[Any]:
    """Return an array, a nested list or a PyTorch tensor on any device as an array; copied only where it must be.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As NumPy and PyTorch raise it for what is not an array.
    """
    if _is_tensor(values):
        values = values.detach()
        if values.is_floating_point() and values.element_size() == 2:  # NumPy has no bfloat16; float32 holds all of it
            values = values.float()
        values = values.cpu().numpy()
    return np.asarray(values)


def _is_tensor(maps: Any) -> bool:
    torch = sys.modules.get("torch")  # a tensor can only exist once its package is loaded: no need to load it here
    return torch is not None and isinstance(maps, torch.Tensor)


def _on_accelerator(maps: Any) -> bool:
    return _is_tensor(maps) and maps.device.type != "cpu"


def _labels_on_device(scores: Any) -> Array:
    """Labels of scores that lie on an accelerator: a label map is copied from there, never the scores."""
    scores = scores.detach()
    best, labels = scores.max(dim=-3)
    infinite = best.isposinf()
    check_scores(int(best.isnan().sum()), int(tied_at_infinity(scores).sum()) if infinite.any() else 0)
    return np.asarray(labels.cpu().numpy())


def tied_at_infinity(scores: Any) -> Any:
    """Tell at which pixels of scores (..., C, H, W), an array or a tensor, two classes or more are at +inf.

    Their highest score is no decision: it is what overflowed first.
    """
    return (scores == math.inf).sum(-3) > 1


def _check_labels(maps: Array, argument: str, space: LabelSpace) -> None:
    kind = maps.dtype.kind
    if kind in "iu" or (kind == "b" and space.num_classes == 2):
        return
    if kind == "f":
        remedy = "convert labels with .astype(int)"
        if argument == "pred":
            remedy += f", or give scores with one more axis of {space.num_classes} classes before (H, W)"
    elif kind == "b":
        remedy = f"bool stands for two classes, not {space.num_classes}"
    else:
        remedy = "give an array of integers"
    found = "no array" if kind == "O" else f"{maps.dtype} values of shape {maps.shape}"
    raise LabelError(f"`{argument}` holds {found}, expected integer labels {space}; {remedy}", argument=argument)


def shape_message(pred: tuple[int, ...], target: tuple[int, ...]) -> str:
    """Say that two shapes are not the same, and what the cause may be."""
    message = f"`pred` has shape {pred} and `target` {target}, expected the same"
    height_width, wanted = pred[-2:], target[-2:]
    if len(pred) == len(target) + 1 and pred[-3:-2] == (1,):
        return f"{message}; drop the axis of 1 with pred.squeeze(-3)"
    if len(target) == len(pred) + 1 and target[-3:-2] == (1,):
        return f"{message}; drop the axis of 1 with target.squeeze(-3)"
    if len(pred) == len(target) and height_width == wanted[::-1]:
        return f"{message}; is one of them transposed?"
    if len(height_width) == len(wanted) == 2 and 0 not in height_width:
        (ratio, rest), (ratio_of_widths, rest_of_widths) = map(divmod, wanted, height_width)
        if ratio == ratio_of_widths > 1 and rest == rest_of_widths == 0:
            return (
                f"{message}; the prediction has 1/{ratio} of the target's size: resize it first (scores: bilinear, "
                "labels: nearest); nothing is resized here"
            )
    return message


# ── scores: the class with the highest one ──


def is_classes_last(shape: Sequence[int], num_classes: int, size: Sequence[int]) -> bool:
    """Whether scores of a frame have their classes on the last axis, (1, h, w, C), and not on the second.

    Parameters
    ----------
    shape : sequence of int
        Of what a network returns.
    num_classes : int
        1 for labels.
    size : (int, int)
        Of the frame; scores may be smaller than it.

    Examples
    --------
    >>> is_classes_last((1, 96, 192, 4), 4, (96, 192)), is_classes_last((1, 4, 96, 192), 4, (96, 192))
    (True, False)
    >>> is_classes_last((1, 24, 48, 24), 24, (96, 192)), is_classes_last((1, 24, 12, 24), 24, (96, 192))
    (True, False)
    >>> is_classes_last((1, 8, 8, 8), 8, (32, 64))  # of a square frame, or one that was made square
    False
    """
    if len(shape) != 4 or shape[3] != num_classes:
        return False
    if shape[1] != num_classes:
        return True
    first, last = (abs(height * size[1] - width * size[0]) <= max(size) for height, width in (shape[2:], shape[1:3]))
    return last and not first  # both fit, or neither: they have the shape of scores


def labels_of_scores(scores: Array) -> Array:
    """Labels (..., H, W) of scores (..., C, H, W): a running maximum over the classes, a block of rows at a time."""
    num_classes, height, width = scores.shape[-3:]
    dtype: type[np.unsignedinteger[Any]] = np.uint8 if num_classes <= _BYTE_VALUES else np.uint16
    labels = np.zeros((*scores.shape[:-3], height, width), dtype)
    rows = max(1, _SCORE_CHUNK // width)
    nan_pixels = tied_pixels = 0
    for index in np.ndindex(*scores.shape[:-3]):
        for top in range(0, height, rows):
            nan, tied = _best_class(scores[index][:, top : top + rows], labels[index][top : top + rows])
            nan_pixels, tied_pixels = nan_pixels + nan, tied_pixels + tied
    check_scores(nan_pixels, tied_pixels)
    return labels


def _best_class(scores: Array, labels: Array) -> tuple[int, int]:
    """Write the class of the highest score into ``labels`` (zeros); return the pixels of NaN, and of ties at +inf."""
    work = np.float32 if scores.dtype == np.float16 else scores.dtype  # NumPy computes with float16 one by one
    best = scores[0].astype(work)
    better = np.empty(labels.shape, np.bool_)
    candidate = np.empty_like(labels)
    for label in range(1, len(scores)):
        score = scores[label].astype(work, copy=False)
        np.greater(score, best, out=better)
        np.maximum(best, score, out=best)  # carries NaN along
        # Labels only grow from step to step, so "label where better" is a maximum: no branch and no masked write.
        np.multiply(better.view(np.uint8), labels.dtype.type(label), out=candidate)
        np.maximum(labels, candidate, out=labels)
    infinite = np.isposinf(best)
    tied = np.count_nonzero(tied_at_infinity(scores) & infinite) if infinite.any() else 0
    return int(np.count_nonzero(np.isnan(best))), int(tied)


def check_scores(nan_pixels: int, tied_pixels: int, *, holds: str = "`pred` holds") -> None:
    """Raise if scores decide for no class at some pixels: NaN, or :func:`tied_at_infinity`.

    Raises
    ------
    LabelError
        With the number of these pixels.
    """
    if nan_pixels:
        raise LabelError(f"{holds} NaN scores at {nan_pixels:,} pixels, expected numbers", argument="pred")
    if tied_pixels:
        raise LabelError(
            f"{holds} scores of +inf for two or more classes at {tied_pixels:,} pixels, expected one highest score; "
            "did they overflow in a lower precision? compute them in float32",
            argument="pred",
        )


# ── labels that are neither class nor void ──


def bad_labels(labels: Array, space: LabelSpace) -> npt.NDArray[np.bool_]:
    """Tell which labels are neither class nor void."""
    bad = labels >= space.num_classes
    if labels.dtype.kind == "i":
        bad |= labels < 0
    if space.ignore_index is not None:
        bad &= labels != space.ignore_index
    return bad


def raise_bad_labels(maps: Mapping[str, Array], space: LabelSpace) -> NoReturn:
    """Name the labels of the first map that holds some which are neither class nor void."""
    for argument, labels in maps.items():
        values, pixels = np.unique(labels[bad_labels(labels, space)], return_counts=True)
        if values.size == 0:
            continue
        shown = ", ".join(str(value) for value in values[:10]) + (", ..." if values.size > 10 else "")
        if 1000 <= values.max() < 2**31:
            remedy = "instance ids? use id // 1000"
        elif space.ignore_index is None and values.size == 1 and argument == "target":
            remedy = f"pass ignore_index={values[0]} if they are void"
        else:
            remedy = "check `num_classes`, or map the labels to classes first"
        raise LabelError(
            f"`{argument}` holds label(s) [{shown}] ({int(pixels.sum()):,} pixels), expected {space}; {remedy}",
            argument=argument,
        )
    raise AssertionError("unreachable: labels were refused that are all classes or void")
