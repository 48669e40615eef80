"""Interval of a median over moving blocks: all resamples by hand, the rule for the length of blocks, and coverage."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import ConfigError, Interval
from flame_metric.core.statistics import block_length, median_interval

SERIES = [70, 71, 70, 72, 76, 75, 77, 76, 71, 70]


def test_all_resamples_of_two_blocks() -> None:
    # blocks of 5 begin at 0..5; 36 pairs of them are equally likely
    blocks = [SERIES[begin : begin + 5] for begin in range(6)]
    medians = sorted(statistics.median(one + other) for one, other in itertools.product(blocks, blocks))
    for level in (0.95, 0.8, 0.6):
        expected = np.quantile(np.repeat(medians, 1000), [(1 - level) / 2, (1 + level) / 2])
        interval = median_interval(SERIES, level=level, length=5, resamples=200_000)
        assert (interval.low, interval.high) == tuple(expected)
        assert (interval.level, interval.resamples) == (level, 200_000)


def test_one_block_of_all_leaves_the_median() -> None:
    assert median_interval(SERIES, length=10, resamples=7) == Interval(71.5, 71.5, 0.95, 7)


def test_the_last_block_is_cut() -> None:
    # blocks of 4 begin at 0..6; the third contributes two samples: 343 equally likely resamples of 10
    starts = itertools.product(range(7), repeat=3)
    medians = [
        statistics.median([*SERIES[a : a + 4], *SERIES[b : b + 4], *SERIES[c : c + 2]]) for a, b, c in sorted(starts)
    ]
    interval = median_interval(SERIES, level=0.7, length=4, resamples=200_000)
    assert (interval.low, interval.high) == tuple(np.quantile(medians, [0.15, 0.85]))


def test_equal_samples_leave_no_doubt() -> None:
    assert median_interval([5] * 10) == Interval(5.0, 5.0, 0.95, 10_000)
    assert block_length([5] * 10) == 1


def test_a_seed_fixes_the_draws() -> None:
    series = np.random.default_rng(0).standard_normal(50)
    first = median_interval(series, seed=3, resamples=101)
    assert first == median_interval(series, seed=3, resamples=101)
    assert first != median_interval(series, seed=4, resamples=101)


def spread_and_lags(sides: list[float]) -> tuple[float, dict[int, float], list[float]]:
    """The sum under D, the window and the covariances, term by term."""
    n, mean = len(sides), sum(sides) / len(sides)
    beyond = max(5, math.ceil(math.log10(n)))
    most = min(n - 1, math.ceil(math.sqrt(n)) + beyond)
    r = [sum((sides[t] - mean) * (sides[t + lag] - mean) for t in range(n - lag)) / n for lag in range(most + 1)]
    limit = 2 * math.sqrt(math.log10(n) / n)
    lag = 0
    while lag < most and any(abs(r[after] / r[0]) >= limit for after in range(lag + 1, min(lag + beyond, most) + 1)):
        lag += 1
    m = min(2 * max(lag, 1), most)
    window = {i: min(1, 2 * (1 - abs(i) / m)) for i in range(-m, m + 1)}
    return sum(w * r[abs(i)] for i, w in window.items()), window, r


def by_definition(series: list[float]) -> int | None:
    """The rule, term by term."""
    n, median = len(series), statistics.median(series)
    sides = [(value > median) - (value < median) for value in series]
    if len(set(sides)) == 1:
        return 1
    spread, window, r = spread_and_lags(sides)
    if abs(spread) < 1e-9:  # on which side of zero it lies is a matter of rounding
        return None
    if spread < 0:
        return 2 if r[1] < 0 else math.ceil(min(3 * math.sqrt(n), n / 3))
    bias = sum(w * abs(i) * r[abs(i)] for i, w in window.items())
    length = (2 * bias**2 / (4 / 3 * spread**2) * n) ** (1 / 3)
    return max(1, math.ceil(min(length, 3 * math.sqrt(n), n / 3) - 1e-9))


@given(st.lists(st.integers(0, 5), min_size=10, max_size=60), st.integers(1, 6))
def test_block_length_is_the_rule(values: list[int], hold: int) -> None:
    series = [value for value in values for _ in range(hold)]
    expected = by_definition(series)
    # a value just at a whole number may round either way
    assert expected is None or abs(block_length(series) - expected) <= 1
    assert 1 <= block_length(series) <= math.ceil(len(series) / 3)


@pytest.mark.parametrize("size", [12, 20, 30])
def test_blocks_of_two_are_for_samples_that_take_turns(size: int) -> None:
    """In about 2 % of short series with a positive correlation the estimate of the spread is below zero."""
    generator = np.random.default_rng(size)
    lengths = {}
    for rho in (0.7, -0.7):
        for _ in range(1000):
            series = autoregressive(rho, size, generator)
            sides = np.sign(series - np.median(series))
            length, (spread, *_) = block_length(series), spread_and_lags(sides.tolist())
            if spread < -1e-9:
                lengths.setdefault(bool(sides[:-1] @ sides[1:] > 0), []).append(length)
    assert {turns: set(found) for turns, found in lengths.items()} == {True: {math.ceil(size / 3)}, False: {2}}
    assert len(lengths[True]) >= 10


def autoregressive(rho: float, size: int, generator: np.random.Generator) -> np.ndarray:
    """A series whose median is 1."""
    noise = generator.standard_normal(size)
    series = np.empty(size)
    series[0] = noise[0] / math.sqrt(1 - rho**2)
    for index in range(1, size):
        series[index] = rho * series[index - 1] + noise[index]
    return np.exp(0.1 * series)


def test_blocks_grow_with_the_correlation_and_spikes_do_not_change_them() -> None:
    lengths = []
    for rho in (0.0, 0.7, 0.9):
        generator = np.random.default_rng(0)
        drawn = [autoregressive(rho, 200, generator) for _ in range(20)]
        lengths.append(statistics.mean(block_length(series) for series in drawn))
        for series in drawn:
            spiky = series.copy()
            spiky[np.argsort(series)[-5:]] *= 100
            assert block_length(spiky) == block_length(series)
    assert lengths[0] < 3
    assert 7 < lengths[1] < 11 < lengths[2]


def covered(rho: float, length: int | None) -> float:
    """Share of 300 series of 200 samples whose interval holds the true median."""
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        interval = median_interval(autoregressive(rho, 200, generator), resamples=300, length=length)
        hits += interval.low <= 1 <= interval.high
    return hits / 300


@pytest.mark.slow
@pytest.mark.parametrize(("rho", "least"), [(0.0, 0.91), (0.5, 0.88), (0.7, 0.85)])
def test_coverage_of_an_autoregressive_series(rho: float, least: float) -> None:
    assert least <= covered(rho, None) <= 0.98


def test_single_samples_promise_far_too_narrow_an_interval() -> None:
    assert covered(0.7, 1) < 0.72


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": SERIES[:9]}, "`samples` holds 9 samples, expected at least 10 for an interval"),
        ({"length": 0}, "`length` is 0, expected a whole number of samples >= 1"),
        ({"length": 11}, "`length` is 11, expected at most the number of samples, 10"),
        ({"level": 95}, "`level` is 95"),
        ({"resamples": 0}, "`resamples` is 0"),
        ({"seed": -1}, "`seed` is -1"),
    ],
)
def test_options_that_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        median_interval(**{"samples": SERIES, **options})
