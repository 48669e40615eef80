"""Intersection over union (Eq. 1-2): sums over all frames first, one division last.

For class c with I = intersection, P = predicted and L = labelled pixels, each summed over everything that is scored::

    IoU_c = I / (P + L - I)            Eq. 1
    mIoU  = mean of IoU_c over c       Eq. 2

The mean of per-image means is another number; it is not computed here. A class that occurs neither in a prediction nor
in a target has no IoU: it is NaN and left out of the mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.errors import LabelError, ShapeError

__all__ = ["dice_per_class", "iou_per_class", "mean_iou"]


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
        If the counts have another shape or are not integers.

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
    iou = iou_per_class(counts)
    present = ~np.isnan(iou)
    return _divide(np.where(present, iou, 0.0).sum(axis=-1), present.sum(axis=-1))


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
    intersection, predicted, labelled = np.moveaxis(np.asarray(array, np.int64), -2, 0)
    return intersection, predicted, labelled


def _divide(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    quotient = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=quotient, where=whole != 0)
    return quotient
