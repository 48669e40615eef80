"""Counting: two label maps become per-class pixel counts.

Pixels are touched only here, and in counting_numba.py and torch/counting.py, which do the same by other means.

A *label map* holds one class 0..C-1 per pixel, or ``ignore_index`` where the pixel is void. Of a pair (prediction,
target) only the pixels whose target is not void are counted:

- ``confusion[t, p]``: pixels of class t that were predicted as class p;
- ``confusion[t, C]``: pixels of class t for which no class was predicted (the prediction is void there). They are
  missed, and they are not a false positive of any class.

From it follow three numbers per class, all that Eq. 1-2 need: *intersection* (the diagonal), *predicted* (column sums)
and *labelled* (row sums). Everything is int64, so counts of any split of the frames add up to the counts of the whole.

Every label of both maps is checked in every call. A label that is neither a class nor void raises
:class:`~flame_metric.errors.LabelError` with the number of its pixels; it is never dropped and never counted elsewhere.

References
----------
The rule for void pixels is that of the Cityscapes evaluator (Cordts et al., CVPR 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from flame_metric.core.compiled import compiled_loops
from flame_metric.core.labels import (
    DENSE,
    CodedMap,
    LabelMaps,
    LabelSpace,
    bad_labels,
    class_numbers,
    label_pairs,
    raise_bad_labels,
    shape_message,
)
from flame_metric.errors import ShapeError, StateError, quoted

__all__ = [
    "MAX_COUNT",
    "Counts",
    "class_counts",
    "confusion_matrix",
    "count_coded",
    "count_missing",
    "count_pairs",
    "sequences_from_list",
    "sequences_to_list",
]

Array: TypeAlias = npt.NDArray[Any]

MAX_COUNT = 2**62
"""No count is larger: that leaves room for adding, as sums are 64-bit integers."""

_CHUNK = 1 << 18  # pixels counted at a time, so that the work on them stays in the cache
_BYTE_VALUES = 256
_BYTE_PAIRS = _BYTE_VALUES**2


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
        If a label is not a class and not ``ignore_index``; if labels are not integers; if scores hold NaN, or +inf for
        two or more classes of a pixel.
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
    for pred_map, target_map in label_pairs(pred, target, space):
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
    for pred_map, target_map in label_pairs(pred, target, space):
        matrix = _confusion(pred_map, target_map, space)
        maps = math.prod(target_map.shape[:-2])
        total += Counts(_per_class(matrix), maps, maps, int(matrix.sum()), target_map.size)
    return total


def count_missing(target: LabelMaps, space: LabelSpace) -> Counts:
    """Count targets for which no prediction was there yet: all their valid pixels are missed (false negatives)."""
    return count_pairs(target, target, space).missed()


def count_coded(pred: CodedMap, target: CodedMap, space: LabelSpace) -> Counts:
    """Count a pair of coded maps: what :func:`count_pairs` counts for the maps themselves.

    Raises
    ------
    ShapeError
        If the two differ in shape.
    """
    if pred.shape != target.shape:
        raise ShapeError(shape_message(pred.shape, target.shape))
    if pred.starts is None or target.starts is None:
        matrix = _histogram(pred.pixels(), target.pixels(), space)
    elif loops := compiled_loops():
        runs = pred.starts, pred.labels, target.starts, target.labels
        matrix = loops.count_runs(*runs, pred.size, space.num_classes + 1)[:-1]
    else:
        rises = np.concatenate([pred.rises, target.rises * (space.num_classes + 1)])
        matrix = _tabulate(*_overlaps(pred.starts, target.starts, rises, pred.size), space)
    return Counts(_per_class(matrix), 1, 1, int(matrix.sum()), pred.size)


def _per_class(matrix: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    classes = matrix[:, :-1]
    return np.stack([classes.diagonal(), classes.sum(axis=0), matrix.sum(axis=1)])


# ── the kernel ──


def _confusion(pred: Array, target: Array, space: LabelSpace) -> npt.NDArray[np.int64]:
    """Count one pair of integer arrays of equal shape: int64 (C, C + 1).

    Real label maps are made of runs of equal labels, so pixels are first summed up to weighted label pairs; labels are
    checked, and void is sorted out, on those few.
    """
    flat_pred, flat_target = pred.ravel(), target.ravel()
    chunks = [slice(begin, begin + _CHUNK) for begin in range(0, flat_pred.size, _CHUNK)]
    found = [_weighted_pairs(flat_pred[chunk], flat_target[chunk]) for chunk in chunks]
    p, t, pixels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if bad_labels(p, space).any() or bad_labels(t, space).any():
        # The target first, as its labels are the given ones.
        raise_bad_labels({"target": target, "pred": pred}, space)
    return _tabulate(class_numbers(t, space) * (space.num_classes + 1) + class_numbers(p, space), pixels, space)


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
    if np.count_nonzero(starts_run) <= DENSE * pred.size:
        starts = np.flatnonzero(starts_run)
        return pred[starts], target[starts], np.diff(starts, append=pred.size)
    if all(labels.min() >= 0 and labels.max() < _BYTE_VALUES for labels in (pred, target)):
        codes = (pred.astype(np.uint16) << 8) | target.astype(np.uint8)
        histogram = np.bincount(codes, minlength=_BYTE_PAIRS)
        pairs = np.flatnonzero(histogram)
        return (pairs >> 8).astype(pred.dtype), (pairs & 255).astype(target.dtype), histogram[pairs]
    return pred, target, np.ones(pred.size, np.int64)


# ── records: counts as JSON, read back without loss and never on trust ──


def sequences_to_list(sequences: Mapping[str, Counts]) -> list[dict[str, Any]]:
    """Return the counts of each sequence in types that JSON knows, sorted by id.

    Integers are written as integers of any size, so nothing is rounded.
    """
    return [
        {
            "id": name,
            "pairs": counts.pairs,
            "labelled_frames": counts.labelled_frames,
            "valid_pixels": counts.valid_pixels,
            "all_pixels": counts.all_pixels,
            "intersection": counts.per_class[0].tolist(),
            "predicted": counts.per_class[1].tolist(),
            "labelled": counts.per_class[2].tolist(),
        }
        for name, counts in sorted(sequences.items())
    ]


def sequences_from_list(records: Any, num_classes: int) -> dict[str, Counts]:
    """Read what :func:`sequences_to_list` returned; a record that was damaged or edited must not become a score.

    Raises
    ------
    StateError
        If an id comes twice, or counts are not integers >= 0 or contradict each other.
    """
    sequences: dict[str, Counts] = {}
    for entry in records:
        name = entry["id"]
        if not isinstance(name, str) or name in sequences:
            raise StateError(f"sequence id {quoted(name)} is not text or comes twice")
        sequences[name] = _counts_of(entry, name, num_classes)
    for total in ("all_pixels", "labelled_frames"):  # the largest pixel and map counts: no sum of others exceeds them
        if sum(entry[total] for entry in records) > MAX_COUNT:
            raise StateError(f"the sequences hold more {total} than 64 bits can count")
    return sequences


def _counts_of(entry: Mapping[str, Any], name: str, num_classes: int) -> Counts:
    rows = [entry[row] for row in ("intersection", "predicted", "labelled")]
    tallies = [entry[tally] for tally in ("pairs", "labelled_frames", "valid_pixels", "all_pixels")]
    for value in (*tallies, *(value for row in rows for value in row)):
        if type(value) is not int or not 0 <= value <= MAX_COUNT:
            raise StateError(f"sequence {quoted(name)} holds the count {quoted(value)}, expected an integer 0..2**62")
    if any(len(row) != num_classes for row in rows):
        raise StateError(f"sequence {quoted(name)} counts {[len(row) for row in rows]} classes, expected {num_classes}")
    pairs, labelled_frames, valid, everything = tallies
    intersection, predicted, labelled = rows
    consistent = (
        all(
            # Of the wrong pixels, those wrongly given to a class and those wrongly taken from it are different ones.
            i <= min(p, t) and (p - i) + (t - i) <= valid - sum(intersection)
            for i, p, t in zip(intersection, predicted, labelled, strict=True)
        )
        and sum(predicted) <= sum(labelled) == valid <= everything
        and pairs <= labelled_frames
        and not (sum(predicted) and not pairs)
        and not (everything and not labelled_frames)
    )
    if not consistent:
        raise StateError(
            f"the counts of sequence {quoted(name)} contradict each other; was the record edited or damaged?"
        )
    return Counts(np.array(rows, np.int64), pairs, labelled_frames, valid, everything)
