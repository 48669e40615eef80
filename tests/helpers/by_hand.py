"""Counts of whole clips under a fixed latency, by brute force: what every client of the package must arrive at."""

import numpy as np

import oracle
from flame_metric.data.synthetic import VOID, synthetic_video

CLASSES = 8  # of the synthetic videos
OPTIONS = {"num_classes": CLASSES, "latency_ms": 76, "fps": 15, "ignore_index": VOID}
OFFSET = 2  # frames of 66.7 ms in 76 ms, rounded up


def clips(number=2, *, num_frames=5, height=48, width=64):
    """Short synthetic videos."""
    return [
        synthetic_video(num_frames=num_frames, height=height, width=width, fps=15, seed=seed) for seed in range(number)
    ]


def flame_counts(preds, targets):
    """Eq. 4: the prediction of frame t against the labels of frame t + k; int64 (3, C)."""
    sources = oracle.fixed_sources(OFFSET, len(targets))
    return oracle.clip_counts(np.asarray(preds), np.asarray(targets), sources, CLASSES, VOID)[0]
