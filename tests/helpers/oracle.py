"""Eq. 1-4 by brute force: what every count and every score of the package must equal.

Void follows the Cityscapes evaluator: a pixel whose target is void is left out; a void prediction on a valid pixel is
missed and is nobody's false positive. Nothing of the package is used here, and this file is never edited to fit.
"""

from collections import Counter

import numpy as np


def confusion(pred, target, num_classes, ignore_index=None):
    """Pixels of each (target class, predicted class), int64 (C, C + 1); the last column: no class predicted."""
    matrix = np.zeros((num_classes, num_classes + 1), np.int64)
    pixels = Counter(zip(np.ravel(target).tolist(), np.ravel(pred).tolist(), strict=True))
    for (labelled, predicted), number in pixels.items():
        if labelled != ignore_index:
            matrix[labelled, num_classes if predicted == ignore_index else predicted] += number
    return matrix


def counts(pred, target, num_classes, ignore_index=None):
    """Intersection, predicted and labelled pixels of each class, int64 (3, C)."""
    table = np.zeros((3, num_classes), np.int64)
    for predicted, labelled in zip(np.ravel(pred).tolist(), np.ravel(target).tolist(), strict=True):
        if labelled == ignore_index:
            continue
        table[2, labelled] += 1
        if predicted != ignore_index:
            table[1, predicted] += 1
        if predicted == labelled:
            table[0, labelled] += 1
    return table


def pairs_at(offset, num_frames):
    """Eq. 4: each (frame t, frame t + k) of a clip, of which F(I_t) and S_{t+k} are compared, by ascending t + k."""
    return [(frame, later) for later in range(num_frames) for frame in range(num_frames) if later - frame == offset]


def iou(table):
    """Eq. 1 for each class of counts (3, C): a list of floats, NaN where the class occurs nowhere."""
    unions = [int(p) + int(t) - int(i) for i, p, t in np.asarray(table).T]
    return [int(i) / union if union else float("nan") for i, union in zip(table[0], unions, strict=True)]


def mean_iou(table):
    """Eq. 2 for counts (3, C): the mean over the classes that occur, NaN if none does."""
    present = [value for value in iou(table) if value == value]  # noqa: PLR0124 - false for NaN alone
    return sum(present) / len(present) if present else float("nan")
