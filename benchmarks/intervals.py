"""Intervals: what a bootstrap over many sequences takes, in seconds and memory.

    python benchmarks/intervals.py [--resamples 10000]

Each row is a process of its own, so that its peak of memory is its own. Beside it: the plain way, which draws all
resamples in blocks of 1000 by ``Generator.multinomial``. Both are of the same counts; their intervals are compared.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from common import machine, markdown

from flame_metric import mean_iou
from flame_metric.core.statistics import mean_iou_of_resamples

SIZES = ((100, 19), (1_000, 19), (10_000, 19), (100_000, 2))
BLOCK = 1000
Scores = npt.NDArray[np.float64]


def made(sequences: int, classes: int) -> npt.NDArray[np.int64]:
    generator = np.random.default_rng(1)
    labelled, predicted = generator.integers(1, 10_000, (2, sequences, classes))
    return np.stack([np.minimum(labelled, predicted) // 2, predicted, labelled], axis=1)


def plain(counts: npt.NDArray[np.int64], resamples: int) -> Scores:
    generator = np.random.default_rng(0)
    size, flat = len(counts), counts.reshape(len(counts), -1).astype(np.float64)
    scores = []
    for begin in range(0, resamples, BLOCK):
        number = min(BLOCK, resamples - begin)
        sums = generator.multinomial(size, np.full(size, 1 / size), size=number).astype(np.float64) @ flat
        scores.append(mean_iou(sums.astype(np.int64).reshape(number, *counts.shape[1:])))
    return np.concatenate(scores)


def ours(counts: npt.NDArray[np.int64], resamples: int) -> Scores:
    return mean_iou_of_resamples(counts, resamples, 0)


def timed(way: Callable[..., Scores], sequences: int, classes: int, resamples: int) -> tuple[float, float, list[float]]:
    """Seconds, the peak of memory in MiB, and the interval."""
    counts = made(sequences, classes)
    start = time.perf_counter()
    scores = way(counts, resamples)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, peak, np.quantile(scores, [0.025, 0.975]).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--resamples", type=int, default=10_000)
    resamples = parser.parse_args().resamples
    rows: list[list[str]] = []
    for sequences, classes in SIZES:
        found = []
        for way in (ours, plain):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found.append(pool.apply(timed, (way, sequences, classes, resamples)))
        (seconds, peak, ends), (plain_seconds, plain_peak, plain_ends) = found
        width = plain_ends[1] - plain_ends[0]
        assert np.allclose(ends, plain_ends, rtol=0, atol=0.1 * width), (ends, plain_ends)
        rows.append(
            [
                f"{sequences:,} x {classes}",
                f"{seconds:.1f}",
                f"{peak:.0f}",
                f"{plain_seconds:.1f}",
                f"{plain_peak:.0f}",
                f"{plain_seconds / seconds:.1f}",
            ]
        )
    print(machine())
    print(f"\n{resamples:,} resamples\n")
    print(markdown(["sequences x classes", "s", "MiB", "plain s", "plain MiB", "times faster"], rows))


if __name__ == "__main__":
    main()
