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


def clip_counts(preds, targets, sources, num_classes, ignore_index=None, *, missing=False):
    """Counts (3, C) and tallies (pairs, labelled frames, valid pixels, all pixels) of a clip, pair by pair.

    Label j meets the prediction of frame ``sources[j]``; -1: nothing is on screen, which is left out, or missed if
    ``missing``. A target that is None is unlabelled; a prediction that is None makes no pair.
    """
    table, pairs, labelled, valid, everything = np.zeros((3, num_classes), np.int64), 0, 0, 0, 0
    for target, source in zip(targets, sources, strict=True):
        if target is None:
            continue
        labelled += 1
        if source >= 0 and preds[source] is not None:
            pairs += 1
            found = counts(preds[source], target, num_classes, ignore_index)
        elif source < 0 and missing:
            found = counts(target, target, num_classes, ignore_index) * [[0], [0], [1]]
        else:
            continue
        table += found
        valid += int(found[2].sum())
        everything += np.size(target)
    return table, (pairs, labelled, valid, everything)


def fixed_sources(offset, num_frames):
    """Eq. 4 for each frame of a clip: the frame ``offset`` before it, -1 where there is none."""
    before = {later: frame for frame, later in pairs_at(offset, num_frames)}
    return [before.get(frame, -1) for frame in range(num_frames)]


def score_counts(clips, offset, num_classes, ignore_index=None, shown=None):
    """Counts (S, 3, C) of clips, {name: (preds, targets)}, sorted by name: the four scores of an evaluation.

    ``shown`` has the sources of each clip under a stream, by its name.
    """
    found = {"static": [], "flame": [], "persistence": [], "streaming": []}
    for name, (preds, targets) in sorted(clips.items()):
        late = fixed_sources(offset, len(targets))
        setups = {"static": (preds, range(len(targets))), "flame": (preds, late), "persistence": (targets, late)}
        if shown is not None:
            setups["streaming"] = preds, shown[name]
        for score, (maps, sources) in setups.items():
            found[score].append(clip_counts(maps, targets, sources, num_classes, ignore_index)[0])
    return {score: np.stack(tables) for score, tables in found.items() if tables}
