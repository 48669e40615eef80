"""Uncertainty of a score: a percentile bootstrap over sequences.

Frames of one video resemble each other, so sequences, not frames, are drawn with replacement. A resample sums the
counts of the drawn sequences and divides once (Eq. 2): no prediction is looked at again.

References
----------
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flame_metric.checks import check_integer
from flame_metric.errors import ConfigError
from flame_metric.iou import mean_iou

__all__ = ["Interval", "bootstrap_interval", "upper_bound_rank"]

_BLOCK = 1000  # resamples computed at a time: bounds the memory
_EXACT_FLOAT = 2**53


class HasCounts(Protocol):
    """Anything with counts per sequence, such as :class:`~flame_metric.FlameResult`."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Int64 (S, 3, C)."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a mean IoU.

    Attributes
    ----------
    low, high : float
        Its ends, 0..1.
    level : float
        Its confidence, such as 0.95.
    resamples : int
        Bootstrap resamples that it rests on.
    """

    low: float
    high: float
    level: float
    resamples: int


def bootstrap_interval(result: HasCounts, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Return the percentile bootstrap interval of the mean IoU over sequences.

    Parameters
    ----------
    result : FlameResult
        Its ``counts``, int64 (S, 3, C), are resampled by sequence.
    level : float
        Confidence, between 0 and 1.
    resamples : int
        Number of resamples, >= 1.
    seed : int
        Seed of the draws: equal seeds and numbers of sequences give equal draws.

    Raises
    ------
    ConfigError
        If fewer than two sequences hold valid pixels, or an option is out of range.

    Examples
    --------
    >>> from flame_metric import FlameMeter
    >>> meter = FlameMeter(2)
    >>> for name, pred in (("a", [[0, 1]]), ("b", [[1, 1]])):
    ...     meter.update(pred, [[0, 1]], sequence=name)
    >>> interval = bootstrap_interval(meter.compute())
    >>> interval.low, interval.high
    (0.25, 1.0)
    """
    counts = contributing(result.counts)
    if len(counts) < 2:
        raise ConfigError(
            f"`result` holds {len(counts)} sequence(s) with valid pixels, expected two or more: an interval needs two"
        )
    if not isinstance(level, (int, float)) or not 0 < level < 1:
        raise ConfigError(f"`level` is {level}, expected a confidence between 0 and 1, such as 0.95")
    resamples = check_integer("resamples", resamples, 1)
    seed = check_integer("seed", seed, 0)
    scores = mean_iou_of_resamples(counts, resamples, seed)
    scores = scores[~np.isnan(scores)]  # a resample may hold no valid pixel at all
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2]) if scores.size else (np.nan, np.nan)
    return Interval(float(low), float(high), level, resamples)


def contributing(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows of counts (S, 3, C) that hold any pixel: the others would only thin out the resamples."""
    return counts[counts.any(axis=(1, 2))]


def mean_iou_of_resamples(counts: npt.NDArray[np.int64], resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Mean IoU of each resample of the sequences, (resamples,), from counts (S, 3, C)."""
    sequences, rows, classes = counts.shape
    flat = counts.reshape(sequences, rows * classes)
    if float(np.max(flat, initial=0)) * sequences < _EXACT_FLOAT:
        flat = flat.astype(np.float64)  # sums stay exact, and matrix products of floats are many times faster
    generator = np.random.default_rng(seed)
    scores = []
    for begin in range(0, resamples, _BLOCK):
        block = min(_BLOCK, resamples - begin)
        weights = generator.multinomial(sequences, np.full(sequences, 1 / sequences), size=block)
        sums = weights.astype(flat.dtype) @ flat
        scores.append(mean_iou(sums.astype(np.int64).reshape(block, rows, classes)))
    return np.concatenate(scores)


def upper_bound_rank(samples: int, share: float, confidence: float) -> int:
    """Return which order statistic bounds a quantile from above: early stopping of MLPerf's LoadGen.

    With t the largest number such that P(Binomial(samples, 1 - share) <= t) <= 1 - confidence, it is the
    (samples - t + 1)-th smallest.

    Parameters
    ----------
    samples : int
        Number of samples.
    share : float
        The quantile, between 0 and 1, such as 0.9.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ConfigError
        If there are too few samples (t = 0), or an option is out of range.

    Examples
    --------
    >>> upper_bound_rank(100, 0.9, 0.99)
    98
    """
    if not 0 < share < 1 or not 0 < confidence < 1:
        raise ConfigError(f"`share` is {share} and `confidence` {confidence}, expected numbers between 0 and 1")
    # Loaded on use: it takes longer than the rest of the package.
    from scipy.stats import binom  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

    def allowed(count: int) -> int:
        """Return the largest t."""
        t = int(binom.ppf(1 - confidence, count, 1 - share))  # the smallest with P(X <= t) >= 1 - confidence
        return t if binom.cdf(t, count, 1 - share) <= 1 - confidence else t - 1

    t = allowed(samples)
    if t >= 1:
        return samples - t + 1
    fewest = samples
    while allowed(fewest) < 1:
        fewest *= 2
    low = fewest // 2
    while fewest - low > 1:  # t never falls when samples are added
        middle = (low + fewest) // 2
        low, fewest = (low, middle) if allowed(middle) >= 1 else (middle, fewest)
    raise ConfigError(
        f"{samples} samples are too few for an upper bound of the {share:.4g} quantile with confidence {confidence:g}, "
        f"expected at least {fewest}"
    )
