"""Intersection over union (Eq. 1-2): sums over all frames first, one division last.

For class c with I = intersection, P = predicted and L = labelled pixels, each summed over everything that is scored::

    IoU_c = I / (P + L - I)            Eq. 1
    mIoU  = mean of IoU_c over c       Eq. 2

The mean of per-image means is another number; it is not computed here. A class that occurs neither in a prediction nor
in a target has no IoU: it is NaN and left out of the mean. Two more means are in use:

- ``"present"``: over the classes that occur, in predictions or in targets. One stray pixel of a class that is labelled
  nowhere adds an IoU of 0 to the mean.
- ``"labelled"``: over the classes that occur in targets: the same ones for all predictions of these targets.
- ``"all"``: over all C classes; one that occurs nowhere counts as 0, as scikit-learn's ``zero_division=0`` has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_choice
from flame_metric.errors import LabelError, ShapeError

__all__ = ["MEANS", "average_iou", "classes_of_mean", "dice_per_class", "iou_per_class", "mean_iou"]

MEANS = ("present", "labelled", "all")
"""Over which classes a mean IoU may be taken."""

_MOST = 2**62


def iou_per_class(counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Divide the counts of each class (Eq. 1); nothing is summed here.

    Parameters
    ----------
    counts : array_like of int, (..., 3, C)
        Intersection, predicted and labelled pixels per class, as :func:`~flame_metric.class_counts` returns them.

    Returns
    -------
    ndarray of float64, (..., C)
        IoU in 0..1; NaN for a class that occurs neither in predictions nor in targets.

    Raises
    ------
    ShapeError, LabelError
        If the counts have another shape, are not integers 0..2**62, or an intersection exceeds the predicted or
        labelled pixels of its class.

    Examples
    --------
    >>> iou_per_class([[2, 0, 0], [2, 1, 0], [4, 1, 0]])
    array([0.5, 0. , nan])
    """
    intersection, predicted, labelled = _rows(counts)
    return _divide(intersection, predicted + labelled - intersection)


def dice_per_class(counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Dice coefficient 2 I / (P + L) of each class, from the counts that :func:`iou_per_class` takes.

    Examples
    --------
    >>> dice_per_class([[2, 0], [2, 1], [6, 1]])
    array([0.5, 0. ])
    """
    intersection, predicted, labelled = _rows(counts)
    return _divide(2 * intersection, predicted + labelled)


def mean_iou(counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Average the IoU of the classes that occur (Eq. 2).

    Parameters
    ----------
    counts : array_like of int, (..., 3, C)
        As for :func:`iou_per_class`: sum them over frames and sequences before.

    Returns
    -------
    ndarray of float64, (...)
        Mean IoU in 0..1; NaN where no class occurs. A scalar (0-d) for counts (3, C).

    Examples
    --------
    >>> float(mean_iou([[2, 0, 0], [2, 1, 0], [4, 1, 0]]))
    0.25
    """
    return average_iou(counts, MEANS[0])


def average_iou(counts: npt.ArrayLike, mean_over: str) -> npt.NDArray[np.float64]:
    """Average the IoU of the classes that occur, of those that are labelled, or of all.

    Raises
    ------
    ConfigError
        If ``mean_over`` is none of :data:`MEANS`; otherwise as :func:`iou_per_class` raises.

    Examples
    --------
    >>> counts = [[2, 0, 0], [2, 1, 0], [4, 0, 0]]  # the second class is predicted, and labelled nowhere
    >>> [round(float(average_iou(counts, classes)), 4) for classes in MEANS]
    [0.25, 0.5, 0.1667]
    """
    iou = np.asarray(iou_per_class(counts))
    return _divide(np.where(np.isnan(iou), 0.0, iou).sum(axis=-1), classes_of_mean(counts, mean_over).sum(axis=-1))


def classes_of_mean(counts: npt.ArrayLike, mean_over: str) -> npt.NDArray[np.bool_]:
    """Say which classes a mean is over, (..., C); none where no class occurs."""
    _, predicted, labelled = np.moveaxis(np.asarray(counts), -2, 0)
    check_choice("mean_over", mean_over, MEANS)
    if mean_over == "labelled":
        return np.asarray(labelled > 0)
    present = np.asarray((predicted > 0) | (labelled > 0))
    return present if mean_over == "present" else np.broadcast_to(present.any(axis=-1, keepdims=True), present.shape)


def _rows(counts: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    array = np.asarray(counts)
    if array.ndim < 2 or array.shape[-2] != 3:
        raise ShapeError(
            f"`counts` has shape {array.shape}, expected (..., 3, C): intersection, predicted, labelled per class"
        )
    if array.dtype.kind not in "iu":
        raise LabelError(f"`counts` holds {array.dtype} values, expected integer pixel counts")
    if array.size and array.min() < 0:
        raise LabelError(f"`counts` holds {array.min()}, expected pixel counts >= 0")
    if array.size and array.max() > _MOST:
        raise LabelError(f"`counts` holds {array.max()}, expected pixel counts of at most 2**62")
    intersection, predicted, labelled = np.moveaxis(np.asarray(array, np.uint64), -2, 0)  # 2**62 + 2**62 fits
    excess = (intersection > predicted) | (intersection > labelled)
    if excess.any():
        i, p, t = (int(row[excess][0]) for row in (intersection, predicted, labelled))
        raise LabelError(
            f"`counts` holds an intersection of {i} pixels, with {p} predicted and {t} labelled: expected at most the "
            "smaller of the two; the rows are intersection, predicted, labelled"
        )
    return intersection, predicted, labelled


def _divide(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    quotient = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient
