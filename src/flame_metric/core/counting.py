"""Counting: two label maps become per-class pixel counts.

Pixels are touched here alone, and in compiled.py and torch/counting.py, which do the same with other means.

A *label map* holds one class 0..C-1 per pixel, or ``ignore_index`` where the pixel is void. Of a pair (prediction,
target) only the pixels whose target is not void are counted:

- ``confusion[t, p]``: pixels of class t that were predicted as class p;
- ``confusion[t, C]``: pixels of class t for which no class was predicted (the prediction is void there). They are
  missed, and they are nobody's false positive.

From it follow three numbers per class, all that Eq. 1-2 need: *intersection* (the diagonal), *predicted* (column sums)
and *labelled* (row sums). Everything is int64, so counts of any split of the frames add up to the counts of the whole.

Every label of both maps is checked in every call. A label that is neither a class nor void raises
:class:`~flame_metric.errors.LabelError` with the number of its pixels; it is never dropped and never counted elsewhere.

References
----------
The rule for void pixels is that of the Cityscapes evaluator (Cordts et al., CVPR 2016).
"""

from __future__ import annotations

import itertools
import math
import numbers
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import ModuleType
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import is_integer
from flame_metric.errors import ConfigError, LabelError, ShapeError

__all__ = [
    "CodedMap",
    "Counts",
    "LabelSpace",
    "class_counts",
    "code_map",
    "confusion_matrix",
    "count_coded",
    "count_missing",
    "count_pairs",
]

LabelMaps: TypeAlias = Any
"""A label map (H, W), maps (..., H, W), a list of either, or scores (..., C, H, W); NumPy, PyTorch or array-like."""

Array: TypeAlias = npt.NDArray[Any]

MAX_CLASSES = 4096  # a confusion matrix of int64 grows with the square: 134 MB here
_CHUNK = 1 << 18  # pixels counted at a time, so that the work on them stays in the cache
_SCORE_CHUNK = 1 << 16
_DENSE = 0.2  # above this share of pixels that start a run, counting every pixel is faster than finding the runs
_BYTE_VALUES = 256
_BYTE_PAIRS = _BYTE_VALUES**2
_LOAD_AFTER = 5000  # maps coded and pairs counted; numba takes as long to load as it saves on about that many
_STEPS = itertools.count()


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
        If one of them is no integer or out of range.
    """

    num_classes: int
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        if not is_integer(self.num_classes) or not 2 <= self.num_classes <= MAX_CLASSES:
            raise ConfigError(
                f"`num_classes` is {self.num_classes!r}, expected an integer 2..{MAX_CLASSES} "
                "(background is a class too)"
            )
        if self.ignore_index is not None and not is_integer(self.ignore_index):
            raise ConfigError(f"`ignore_index` is {self.ignore_index!r}, expected an integer or None")
        object.__setattr__(self, "num_classes", int(self.num_classes))
        object.__setattr__(self, "ignore_index", None if self.ignore_index is None else int(self.ignore_index))

    def __str__(self) -> str:
        void = "" if self.ignore_index is None else f" or ignore_index {self.ignore_index}"
        return f"0..{self.num_classes - 1}{void}"


@dataclass(frozen=True, eq=False)
class Counts:
    """What was counted over some pairs of label maps; counts of two sets of pairs add.

    Attributes
    ----------
    per_class : ndarray of int64, (3, C), read-only
        Rows: intersection, predicted, labelled pixels of each class. Void target pixels are left out.
    pairs : int
        Label maps that were compared with a prediction.
    labelled_frames : int
        Label maps that should have been: ``pairs`` and those for which no prediction was there yet.
    valid_pixels, all_pixels : int
        Pixels of the counted targets that are not void, and all of them.
    """

    per_class: npt.NDArray[np.int64] = field(repr=False)
    pairs: int = 0
    labelled_frames: int = 0
    valid_pixels: int = 0
    all_pixels: int = 0

    def __post_init__(self) -> None:
        own = np.array(self.per_class, np.int64)  # the caller may go on with theirs
        own.setflags(write=False)
        object.__setattr__(self, "per_class", own)

    @classmethod
    def zero(cls, num_classes: int, *, labelled_frames: int = 0) -> Counts:
        """Return counts over no pair, of ``labelled_frames`` frames that were not compared with anything."""
        return cls(np.zeros((3, num_classes), np.int64), labelled_frames=labelled_frames)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.per_class + other.per_class,
            self.pairs + other.pairs,
            self.labelled_frames + other.labelled_frames,
            self.valid_pixels + other.valid_pixels,
            self.all_pixels + other.all_pixels,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        return self.tallies == other.tallies and np.array_equal(self.per_class, other.per_class)

    __hash__ = None  # type: ignore[assignment]  # holds an array

    def missed(self) -> Counts:
        """Return the counts of the same targets if no prediction had been there: all valid pixels false negatives."""
        per_class = np.zeros_like(self.per_class)
        per_class[2] = self.per_class[2]
        return Counts(per_class, 0, self.labelled_frames, self.valid_pixels, self.all_pixels)

    @property
    def tallies(self) -> tuple[int, int, int, int]:
        """The four numbers beside the classes: pairs, labelled frames, valid pixels, all pixels."""
        return self.pairs, self.labelled_frames, self.valid_pixels, self.all_pixels


def confusion_matrix(
    pred: LabelMaps, target: LabelMaps, *, num_classes: int, ignore_index: int | None = None
) -> npt.NDArray[np.int64]:
    """Count the pixels of every (target class, predicted class).

    Parameters
    ----------
    pred : array_like of int, (H, W) or (..., H, W), or of float, (C, H, W) or (..., C, H, W), or a list of them
        Predicted labels, or scores of which the highest decides (the lowest class among equal ones). Any integer
        dtype, byte order and strides; read-only arrays and PyTorch tensors on any device too. bool for two classes.
        A pixel may be ``ignore_index``: no class predicted.
    target : array_like of int, (H, W) or (..., H, W), or a list of them
        Ground truth labels, of the shape of the predicted labels; the maps of a list may differ in size.
    num_classes : int
        C, 2..4096.
    ignore_index : int, optional
        Label of void pixels.

    Returns
    -------
    ndarray of int64, (C, C + 1)
        Rows: target class. Columns: predicted class; the last one: no class predicted. Its sum is the number of pixels
        whose target is not void.

    Raises
    ------
    LabelError
        If a label is no class and not ``ignore_index``; if labels are no integers; if scores hold NaN.
    ShapeError
        If shapes do not belong together (nothing is resized) or there is no pixel.
    ConfigError
        If ``num_classes`` or ``ignore_index`` is out of range.

    Examples
    --------
    >>> confusion_matrix([[0, 1, 1, 255]], [[0, 0, 1, 1]], num_classes=2, ignore_index=255)
    array([[1, 1, 0],
           [0, 1, 1]])
    """
    space = LabelSpace(num_classes, ignore_index)
    matrix = np.zeros((space.num_classes, space.num_classes + 1), np.int64)
    for pred_map, target_map in _label_pairs(pred, target, space):
        matrix += _confusion(pred_map, target_map, space)
    return matrix


def class_counts(
    pred: LabelMaps, target: LabelMaps, *, num_classes: int, ignore_index: int | None = None
) -> npt.NDArray[np.int64]:
    """Count the pixels that each class has in common, was predicted for, and is labelled with.

    Parameters, errors and the treatment of void pixels are those of :func:`confusion_matrix`.

    Returns
    -------
    ndarray of int64, (3, C)
        Rows: intersection (TP), predicted (TP + FP), labelled (TP + FN).

    Examples
    --------
    >>> class_counts([[0, 1, 1, 255]], [[0, 0, 1, 1]], num_classes=2, ignore_index=255)
    array([[1, 1],
           [1, 2],
           [2, 2]])
    """
    return _per_class(confusion_matrix(pred, target, num_classes=num_classes, ignore_index=ignore_index))


def count_pairs(pred: LabelMaps, target: LabelMaps, space: LabelSpace) -> Counts:
    """Count aligned pairs of label maps: :func:`class_counts` with the numbers of maps and pixels beside it."""
    total = Counts.zero(space.num_classes)
    for pred_map, target_map in _label_pairs(pred, target, space):
        matrix = _confusion(pred_map, target_map, space)
        maps = math.prod(target_map.shape[:-2])
        total += Counts(_per_class(matrix), maps, maps, int(matrix.sum()), target_map.size)
    return total


def count_missing(target: LabelMaps, space: LabelSpace) -> Counts:
    """Count targets for which no prediction was there yet: all their valid pixels are missed (false negatives)."""
    return count_pairs(target, target, space).missed()


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
    if array.dtype.kind == "f" and _has_class_axis(array, argument, space):
        array = labels_of_scores(array)
    if array.ndim == 3 + (array.dtype.kind == "f") and len(array) == 1:
        raise ShapeError(
            f"`{argument}` has shape {array.shape}, expected one label map (H, W)"
            f"{' or its scores (C, H, W)' if argument == 'pred' else ''}; take it out of its batch with {argument}[0]"
        )
    _check_labels(array, argument, space)
    if array.ndim != 2:
        raise ShapeError(f"`{argument}` has shape {array.shape}, expected one label map (H, W)")
    if not array.size:
        raise ShapeError(f"`{argument}` has shape {array.shape}, expected at least one pixel")
    flat = array.ravel()
    starts = _run_starts(flat)
    kept = flat if starts is None else flat[starts]
    if _bad_labels(kept, space).any():
        _raise_bad_labels({argument: array}, space)
    return CodedMap((array.shape[0], array.shape[1]), starts, _class_numbers(kept, space).astype(np.uint16))


def _has_class_axis(maps: Any, argument: str, space: LabelSpace) -> bool:
    """Whether floats of one map are scores (C, H, W), which only a prediction may be."""
    return argument == "pred" and maps.ndim == 3 and len(maps) == space.num_classes


def count_coded(pred: CodedMap, target: CodedMap, space: LabelSpace) -> Counts:
    """Count a pair of coded maps: what :func:`count_pairs` counts for the maps themselves.

    Raises
    ------
    ShapeError
        If the two differ in shape.
    """
    if pred.shape != target.shape:
        raise ShapeError(_shape_message(pred.shape, target.shape))
    if pred.starts is None or target.starts is None:
        matrix = _histogram(pred.pixels(), target.pixels(), space)
    elif loops := _compiled():
        runs = pred.starts, pred.labels, target.starts, target.labels
        matrix = loops.count_runs(*runs, pred.size, space.num_classes + 1)[:-1]
    else:
        rises = np.concatenate([pred.rises, target.rises * (space.num_classes + 1)])
        matrix = _tabulate(*_overlaps(pred.starts, target.starts, rises, pred.size), space)
    return Counts(_per_class(matrix), 1, 1, int(matrix.sum()), pred.size)


def _per_class(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    classes = matrix[:, :-1]
    return np.stack([classes.diagonal(), classes.sum(axis=0), matrix.sum(axis=1)])


# ── the door: what is handed over becomes pairs of integer arrays of equal shape ──


def pair_up(pred: LabelMaps, target: LabelMaps) -> Iterator[tuple[Any, Any]]:
    """Take lists of label maps apart into (prediction, target); what is no list is one pair already.

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


def _label_pairs(pred: LabelMaps, target: LabelMaps, space: LabelSpace) -> Iterator[tuple[Array, Array]]:
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
        raise ShapeError(_shape_message(shape, wanted))
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
        if _is_tensor(maps):
            maps = maps.detach()
            if maps.is_floating_point() and maps.element_size() == 2:  # NumPy has no bfloat16; float32 holds all of it
                maps = maps.float()
            maps = maps.cpu().numpy()
        return np.asarray(maps)
    except (ValueError, TypeError, RuntimeError) as error:
        raise LabelError(f"`{argument}` is no array of labels: {error}", argument=argument) from error


def _is_tensor(maps: Any) -> bool:
    torch = sys.modules.get("torch")  # a tensor can only exist once its package is loaded: no need to load it here
    return torch is not None and isinstance(maps, torch.Tensor)


def _on_accelerator(maps: Any) -> bool:
    return _is_tensor(maps) and maps.device.type != "cpu"


def _labels_on_device(scores: Any) -> Array:
    """Labels of scores that lie on an accelerator: a label map is copied from there, never the scores."""
    best, labels = scores.detach().max(dim=-3)
    _check_nan(int(best.isnan().sum()))
    return np.asarray(labels.cpu().numpy())


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


def _shape_message(pred: tuple[int, ...], target: tuple[int, ...]) -> str:
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


def labels_of_scores(scores: Array) -> Array:
    """Labels (..., H, W) of scores (..., C, H, W): a running maximum over the classes, a block of rows at a time."""
    num_classes, height, width = scores.shape[-3:]
    dtype: type[np.unsignedinteger[Any]] = np.uint8 if num_classes <= _BYTE_VALUES else np.uint16
    labels = np.zeros((*scores.shape[:-3], height, width), dtype)
    rows = max(1, _SCORE_CHUNK // width)
    nan_pixels = 0
    for index in np.ndindex(*scores.shape[:-3]):
        for top in range(0, height, rows):
            nan_pixels += _best_class(scores[index][:, top : top + rows], labels[index][top : top + rows])
    _check_nan(nan_pixels)
    return labels


def _best_class(scores: Array, labels: Array) -> int:
    """Write the class of the highest score into ``labels`` (zeros) and return the number of NaN pixels."""
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
    return int(np.count_nonzero(np.isnan(best)))


def _check_nan(pixels: int) -> None:
    if pixels:
        raise LabelError(f"`pred` holds NaN scores at {pixels:,} pixels, expected numbers", argument="pred")


# ── the kernel ──


def _compiled() -> ModuleType | None:
    """Return the compiled loops; None without numba, and before there was work enough for loading it to pay."""
    return _load_compiled() if next(_STEPS) >= _LOAD_AFTER else None


@cache
def _load_compiled() -> ModuleType | None:
    try:
        from flame_metric.core import counting_numba  # noqa: PLC0415  see _LOAD_AFTER
    except ImportError:
        return None
    return counting_numba


def _confusion(pred: Array, target: Array, space: LabelSpace) -> npt.NDArray[np.int64]:
    """Count one pair of integer arrays of equal shape: int64 (C, C + 1).

    Real label maps are made of runs of equal labels, so pixels are first summed up to weighted label pairs; labels are
    checked, and void is sorted out, on those few.
    """
    flat_pred, flat_target = pred.ravel(), target.ravel()
    chunks = [slice(begin, begin + _CHUNK) for begin in range(0, flat_pred.size, _CHUNK)]
    found = [_weighted_pairs(flat_pred[chunk], flat_target[chunk]) for chunk in chunks]
    p, t, pixels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if _bad_labels(p, space).any() or _bad_labels(t, space).any():
        # The target first, as its labels are the given ones.
        _raise_bad_labels({"target": target, "pred": pred}, space)
    return _tabulate(_class_numbers(t, space) * (space.num_classes + 1) + _class_numbers(p, space), pixels, space)


def _tabulate(codes: npt.NDArray[np.int64], pixels: npt.NDArray[np.int64], space: LabelSpace) -> npt.NDArray[np.int64]:
    """Sum the pixels of each code, target * (C + 1) + prediction: int64 (C, C + 1)."""
    size = space.num_classes + 1
    matrix = np.zeros(size * size, np.int64)
    np.add.at(matrix, codes, pixels)
    return matrix.reshape(size, size)[:-1]


def _histogram(
    pred: npt.NDArray[np.uint16], target: npt.NDArray[np.uint16], space: LabelSpace
) -> npt.NDArray[np.int64]:
    """Count every pair of class numbers, pixel by pixel: int64 (C, C + 1)."""
    size = space.num_classes + 1
    codes: Array = target.astype(np.uint16 if size <= _BYTE_VALUES else np.int64)
    codes *= size
    codes += pred
    return np.bincount(codes, minlength=size * size).reshape(size, size)[:-1]


def _run_starts(labels: Array) -> npt.NDArray[np.int64] | None:
    """Find the pixels at which the label differs from the one before, the first included; None if they are many."""
    limit = int(_DENSE * labels.size)
    starts: npt.NDArray[np.int64] | None
    if labels.itemsize == 1 and (loops := _compiled()):
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


def _overlaps(
    pred_starts: npt.NDArray[np.int64], target_starts: npt.NDArray[np.int64], rises: npt.NDArray[np.int64], size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Intersect the runs of two maps: (code, pixels) of each piece.

    ``rises`` says by how much each start of either map changes the code; they add up along the merged starts. Where
    runs start together, the first of the two pieces is empty, and weighs nothing.
    """
    starts = np.concatenate([pred_starts, target_starts])
    order = np.argsort(starts, kind="stable")  # two sorted runs: merged, not sorted
    return rises.take(order).cumsum(), np.diff(starts.take(order), append=size)


def _weighted_pairs(pred: Array, target: Array) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Sum the pixels of a chunk up to (predicted label, target label, pixels); a pair may come more than once.

    Runs are found by comparing neighbours. Where they are short, a histogram of all pairs of bytes is faster.
    """
    starts_run = np.empty(pred.size, np.bool_)
    starts_run[0] = True
    np.not_equal(pred[1:], pred[:-1], out=starts_run[1:])
    starts_run[1:] |= target[1:] != target[:-1]
    if np.count_nonzero(starts_run) <= _DENSE * pred.size:
        starts = np.flatnonzero(starts_run)
        return pred[starts], target[starts], np.diff(starts, append=pred.size)
    if all(labels.min() >= 0 and labels.max() < _BYTE_VALUES for labels in (pred, target)):
        codes = (pred.astype(np.uint16) << 8) | target.astype(np.uint8)
        histogram = np.bincount(codes, minlength=_BYTE_PAIRS)
        pairs = np.flatnonzero(histogram)
        return (pairs >> 8).astype(pred.dtype), (pairs & 255).astype(target.dtype), histogram[pairs]
    return pred, target, np.ones(pred.size, np.int64)


def _class_numbers(labels: Array, space: LabelSpace) -> npt.NDArray[np.int64]:
    """Return checked labels as 0..C, where C stands for void."""
    numbers = labels.astype(np.int64)
    if space.ignore_index is not None:
        numbers[labels == space.ignore_index] = space.num_classes
    return numbers


def _bad_labels(labels: Array, space: LabelSpace) -> npt.NDArray[np.bool_]:
    bad = labels >= space.num_classes
    if labels.dtype.kind == "i":
        bad |= labels < 0
    if space.ignore_index is not None:
        bad &= labels != space.ignore_index
    return bad


def _raise_bad_labels(maps: Mapping[str, Array], space: LabelSpace) -> NoReturn:
    """Name the labels of the first map that holds some which are neither class nor void."""
    for argument, labels in maps.items():
        values, pixels = np.unique(labels[_bad_labels(labels, space)], return_counts=True)
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
