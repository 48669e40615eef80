"""Uncertainty: a percentile bootstrap of a score over sequences, and of a median latency over blocks of time.

Frames of one video resemble each other, so sequences, not frames, are drawn with replacement. A resample sums the
counts of the drawn sequences and divides once (Eq. 2): no prediction is looked at again. Two scores are compared on the
same draws: what makes a sequence easy or hard for both of them cancels out.

Latencies measured one after the other resemble each other too: clocks and temperatures change slowly. Blocks of
neighbouring samples are drawn, all of one length, wherever they begin (moving blocks); drawing single samples would
promise an interval that is far too narrow.

References
----------
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13. Künsch, The Jackknife and the Bootstrap for
General Stationary Observations, 1989. Politis and White, Automatic Block-Length Selection for the Dependent Bootstrap,
2004, as corrected by Patton, Politis and White, 2009.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.iou import MEANS, average_iou
from flame_metric.errors import ConfigError, shortened

__all__ = [
    "FEWEST_SEQUENCES",
    "Comparison",
    "Interval",
    "block_length",
    "bootstrap_interval",
    "compare_counts",
    "draw_interval",
    "fewest_samples",
    "median_interval",
    "rank_correlation",
    "upper_bound_rank",
]

FEWEST = 10
"""Samples below which blocks of them tell nothing about a median."""

FEWEST_SEQUENCES = 10
"""Sequences below which an interval over them says little: their spread is known too badly."""

Progress = Callable[[int, int], None]
"""Called with (resamples done, all resamples)."""

_VALUES = 2_000_000  # values drawn at a time: bounds the memory
_MOST_MULTINOMIAL = 1000  # sequences; beyond, drawing each of them is many times faster
_EXACT_FLOAT = 2**53


class HasCounts(Protocol):
    """Anything with counts per sequence, such as :class:`~flame_metric.FlameResult`."""

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Int64 (S, 3, C)."""


class HasSequences(HasCounts, Protocol):
    """Counts per sequence, with the ids of the sequences."""

    @property
    def sequences(self) -> tuple[str, ...]:
        """Sorted, (S,)."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes
    ----------
    low, high : float
        Its ends, in the unit of what they enclose: 0..1 for a mean IoU.
    level : float
        Its confidence, such as 0.95.
    resamples : int
        Bootstrap resamples that it rests on.
    sequences : int or None
        Sequences that were drawn from; None for an interval over samples of time.
    """

    low: float
    high: float
    level: float
    resamples: int
    sequences: int | None = None

    @property
    def warning(self) -> str | None:
        """That it says little, if it is over fewer than 10 sequences."""
        return None if self.sequences is None else few_sequences(self.sequences)


def part_of(progress: Progress, part: int, of: int) -> Progress:
    """Return the progress of one of several equal parts."""
    return lambda done, total: progress(part * total + done, of * total)


def few_sequences(number: int) -> str | None:
    """Say that an interval over so few sequences says little; None if they are 10 or more."""
    return None if number >= FEWEST_SEQUENCES else f"fewer than {FEWEST_SEQUENCES} say little"


def bootstrap_interval(result: HasCounts, *, level: float = 0.95, resamples: int = 10_000, seed: int = 0) -> Interval:
    """Return the percentile bootstrap interval of the mean IoU over sequences.

    The mean is over the classes that ``result.mean_over`` names, in each resample.

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
    return draw_interval(result, level=level, resamples=resamples, seed=seed)


def draw_interval(
    result: HasCounts,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Interval:
    """Return :func:`bootstrap_interval`, and say meanwhile how far it is."""
    counts = contributing(result.counts)
    if len(counts) < 2:
        raise ConfigError(
            f"`result` holds {len(counts)} sequence(s) with valid pixels, expected two or more: an interval needs two"
        )
    resamples, seed = _check(level, resamples, seed)
    means = mean_iou_of_resamples(counts, resamples, seed, mean_over=_mean_over(result), progress=progress)
    return _percentiles(means, level, resamples, len(counts))


@dataclass(frozen=True)
class Comparison:
    """By how much one score exceeds another on the same sequences.

    Attributes
    ----------
    difference : float
        The first mean IoU minus the second, -1..1.
    interval : Interval
        Of that difference, over the sequences.
    sequences : int
        Sequences that it rests on.
    """

    difference: float
    interval: Interval
    sequences: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval.low > 0 or self.interval.high < 0


def compare_counts(
    a: HasSequences,
    b: HasSequences,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Return the mean IoU of ``a`` minus that of ``b``, with the paired bootstrap interval over sequences.

    Only sequences and numbers of classes are checked: :func:`flame_metric.compare` documents the options, and compares
    the labels too.

    Raises
    ------
    ConfigError
        If sequences, numbers of classes or kinds of mean differ, fewer than two sequences hold valid pixels, or an
        option is out of range.
    """
    if a.sequences != b.sequences or a.counts.shape != b.counts.shape:
        only = sorted(set(a.sequences) ^ set(b.sequences))
        differ = f"sequences only one of them has: {shortened(only)}" if only else "unlike numbers of classes"
        raise ConfigError(f"`a` and `b` cannot be compared: {differ}; expected the same sequences and classes")
    if _mean_over(a) != _mean_over(b):
        raise ConfigError(
            f"`a` is a mean over {_mean_over(a)} classes and `b` over {_mean_over(b)}, expected the same for both"
        )
    either = a.counts.any(axis=(1, 2)) | b.counts.any(axis=(1, 2))
    number = int(either.sum())
    if number < 2:
        raise ConfigError(
            f"`a` and `b` hold {number} sequence(s) with valid pixels, expected two or more for an interval"
        )
    resamples, seed = _check(level, resamples, seed)
    both = np.stack([a.counts[either], b.counts[either]], axis=1)
    means = mean_iou_of_resamples(both, resamples, seed, mean_over=_mean_over(a), progress=progress)
    interval = _percentiles(means[:, 0] - means[:, 1], level, resamples, number)
    totals = (average_iou(one.counts.sum(axis=0), _mean_over(a)) for one in (a, b))
    return Comparison(float(np.subtract(*totals)), interval, number)


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Kendall's tau-b of two scores of the same things: 1 for the same order, -1 for the reverse.

    Parameters
    ----------
    a, b : sequence of float, (n,)
        Scores; equal ones are ties. NaN if all scores of a side are equal, or n < 2.

    Raises
    ------
    ConfigError
        If they are of unlike length.

    Examples
    --------
    >>> rank_correlation([0.77, 0.72, 0.75, 0.735], [0.495, 0.56, 0.64, 0.63])  # of the paper's four networks
    0.0
    """
    if len(a) != len(b):
        raise ConfigError(f"`a` holds {len(a)} scores and `b` {len(b)}, expected as many")
    if len(a) < 2 or len(set(a)) < 2 or len(set(b)) < 2:
        return math.nan
    # Loaded on use: it takes longer than the rest of the package.
    from scipy.stats import kendalltau  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

    return float(kendalltau(a, b).statistic)


def _mean_over(result: HasCounts) -> str:
    return str(getattr(result, "mean_over", MEANS[0]))


def _percentiles(values: npt.NDArray[np.float64], level: float, resamples: int, sequences: int) -> Interval:
    values = values[~np.isnan(values)]  # a resample may hold no valid pixel at all
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) if values.size else (np.nan, np.nan)
    return Interval(float(low), float(high), level, resamples, sequences)


def _check(level: float, resamples: int, seed: int) -> tuple[int, int]:
    if not isinstance(level, (int, float)) or not 0 < level < 1:
        raise ConfigError(f"`level` is {level}, expected a confidence between 0 and 1, such as 0.95")
    return check_integer("resamples", resamples, 1), check_integer("seed", seed, 0)


def contributing(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows of counts (S, 3, C) that hold any pixel: the others would only thin out the resamples."""
    return counts[counts.any(axis=(1, 2))]


def mean_iou_of_resamples(
    counts: npt.NDArray[np.int64],
    resamples: int,
    seed: int,
    *,
    mean_over: str = MEANS[0],
    progress: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """Mean IoU of each resample of the sequences, (resamples, ...), from counts (S, ..., 3, C).

    How often each sequence is drawn, times the counts: a matrix product for a block of resamples. Blocks hold about two
    million draws, whatever S is.
    """
    sequences = len(counts)
    flat = counts.reshape(sequences, -1)
    if float(np.max(flat, initial=0)) * sequences < _EXACT_FLOAT:
        flat = flat.astype(np.float64)  # sums stay exact, and matrix products of floats are many times faster
    generator = np.random.default_rng(seed)
    scores = []
    at_a_time = max(1, _VALUES // sequences)
    for begin in range(0, resamples, at_a_time):
        number = min(at_a_time, resamples - begin)
        sums = _draw(generator, sequences, number).astype(flat.dtype) @ flat
        scores.append(average_iou(sums.astype(np.int64).reshape(number, *counts.shape[1:]), mean_over))
        if progress is not None:
            progress(begin + number, resamples)
    return np.concatenate(scores)


def _draw(generator: np.random.Generator, sequences: int, number: int) -> npt.NDArray[np.int64]:
    """Draw S of S sequences so many times, and count each: int64 (number, S)."""
    if sequences <= _MOST_MULTINOMIAL:
        return generator.multinomial(sequences, np.full(sequences, 1 / sequences), size=number)
    drawn = generator.integers(0, sequences, (number, sequences))
    return np.stack([np.bincount(row, minlength=sequences) for row in drawn])


def median_interval(
    samples: Sequence[float] | npt.NDArray[np.float64],
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    length: int | None = None,
) -> Interval:
    """Return the percentile interval of a median, by a bootstrap over moving blocks of a series.

    Of 200 samples with a lag-1 autocorrelation of 0.7, a 95 % interval holds the true median in about 88 % of all
    cases; drawing single samples (``length=1``), in about 67 %.

    Parameters
    ----------
    samples : sequence of float, (n,)
        In the order of time; at least 10.
    level : float
        Confidence, between 0 and 1.
    resamples : int
        Number of resamples, >= 1.
    seed : int
        Seed of the draws.
    length : int, optional
        Samples in a block, 1..n. Default: :func:`block_length`.

    Raises
    ------
    ConfigError
        If there are fewer samples, or an option is out of range.

    Examples
    --------
    >>> interval = median_interval([70, 71, 70, 72, 76, 75, 77, 76, 71, 70, 72, 71])
    >>> interval.low, interval.high
    (71.0, 76.0)
    """
    series = np.asarray(samples, np.float64)
    size = series.size
    if size < FEWEST:
        raise ConfigError(f"`samples` holds {size} samples, expected at least {FEWEST} for an interval")
    resamples, seed = _check(level, resamples, seed)
    length = block_length(series) if length is None else check_integer("length", length, 1, unit="samples")
    if length > size:
        raise ConfigError(f"`length` is {length}, expected at most the number of samples, {size}")
    generator = np.random.default_rng(seed)
    at_a_time = max(1, _VALUES // size)
    medians = []
    for begin in range(0, resamples, at_a_time):
        number = min(at_a_time, resamples - begin)
        starts = generator.integers(0, size - length + 1, (number, -(-size // length), 1))
        drawn = (starts + np.arange(length)).reshape(number, -1)[:, :size]
        medians.append(np.median(series[drawn], axis=1))
    low, high = np.quantile(np.concatenate(medians), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, resamples)


def block_length(samples: Sequence[float] | npt.NDArray[np.float64]) -> int:
    """Return the length of blocks with which a bootstrap of the median errs least (Politis and White).

    What counts for a median is on which side of it each sample lies, so the rule is applied to that series of -1, 0
    and 1: single slow calls cannot mislead it. With R(i) its autocovariances, w a window that is flat up to half of M,
    and M twice the lag after which the autocorrelation stays insignificant for five lags::

        length = (2 G^2 / D * n)^(1/3),   G = sum w(i) |i| R(i),   D = 4/3 (sum w(i) R(i))^2,   i = -M..M

    rounded up, and at most a third of the samples or three times their square root. Where the sum under D is not above
    zero it is an estimate that failed: samples that take turns, R(1) < 0, are balanced by blocks of two; others get the
    longest blocks.

    Parameters
    ----------
    samples : sequence of float, (n,)
        In the order of time; n >= 10.

    Examples
    --------
    >>> block_length([1, 2, 2, 1] * 10), block_length([1] * 20 + [2] * 20)
    (2, 10)
    """
    series = np.asarray(samples, np.float64)
    size = series.size
    sides = np.sign(series - np.median(series))
    sides -= sides.mean()
    if not sides.any():
        return 1
    beyond = max(5, math.ceil(math.log10(size)))
    most = min(size - 1, math.ceil(math.sqrt(size)) + beyond)
    covariances = np.array([sides[: size - lag] @ sides[lag:] for lag in range(most + 1)]) / size
    significant = np.abs(covariances / covariances[0]) >= 2 * math.sqrt(math.log10(size) / size)
    lag = next((lag for lag in range(most) if not significant[lag + 1 : lag + 1 + beyond].any()), most)
    lags = np.arange(1, min(2 * max(lag, 1), most) + 1)
    weighted = np.minimum(1, 2 * (1 - lags / lags[-1])) * covariances[lags]
    spread = covariances[0] + 2 * weighted.sum()
    longest = min(3 * math.sqrt(size), size / 3)
    if spread <= 0:
        return 2 if covariances[1] < 0 else math.ceil(longest)
    length = math.cbrt(2 * (2 * (lags * weighted).sum()) ** 2 / (4 / 3 * spread**2) * size)
    return max(1, math.ceil(min(length, longest)))


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
    t = _samples_above(samples, share, confidence)
    if t >= 1:
        return samples - t + 1
    raise ConfigError(
        f"{samples} samples are too few for an upper bound of the {share:.4g} quantile with confidence {confidence:g}, "
        f"expected at least {fewest_samples(share, confidence)}"
    )


def fewest_samples(share: float, confidence: float) -> int:
    """Return how many samples :func:`upper_bound_rank` takes at least.

    Examples
    --------
    >>> [fewest_samples(share, 0.99) for share in (0.9, 0.95, 0.99)]
    [64, 130, 662]
    """
    most = 1
    while _samples_above(most, share, confidence) < 1:
        most *= 2
    low = most // 2
    while most - low > 1:  # t never falls when samples are added
        middle = (low + most) // 2
        low, most = (low, middle) if _samples_above(middle, share, confidence) >= 1 else (middle, most)
    return most


def _samples_above(samples: int, share: float, confidence: float) -> int:
    """Return the largest t with P(Binomial(samples, 1 - share) <= t) <= 1 - confidence; -1 if there is none."""
    if not 0 < share < 1 or not 0 < confidence < 1:
        raise ConfigError(f"`share` is {share} and `confidence` {confidence}, expected numbers between 0 and 1")
    # Loaded on use: it takes longer than the rest of the package.
    from scipy.stats import binom  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

    t = int(binom.ppf(1 - confidence, samples, 1 - share))  # the smallest with P(X <= t) >= 1 - confidence
    return t if binom.cdf(t, samples, 1 - share) <= 1 - confidence else t - 1
