"""Bootstrap over sequences: against resamples summed one by one, and against all resamples of three sequences."""

import itertools
import tracemalloc
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import oracle
from flame_metric import Interval, bootstrap_interval
from flame_metric.core.statistics import compare_counts as compare
from flame_metric.core.statistics import mean_iou_of_resamples
from flame_metric.errors import ConfigError


def sequences(*counts):
    return SimpleNamespace(counts=np.array(counts, np.int64))


def draw(number, classes=3, seed=0, scale=50):
    """Counts of sequences that are unlike each other, (S, 3, C)."""
    generator = np.random.default_rng(seed)
    intersection, missed, extra = generator.integers(0, scale, (3, number, classes))
    return np.stack([intersection, intersection + extra, intersection + missed], axis=1)


# two classes, IoU 1 and 0; 0.5 and 0; 0 and 0
PERFECT = [[9, 0], [9, 0], [9, 0]]
WRONG = [[0, 0], [0, 9], [9, 0]]


def test_two_sequences_by_hand():
    # resamples: (a, a) with mean IoU 1, (b, b) with 0, (a, b) with (9/18 + 0/9) / 2
    scores = mean_iou_of_resamples(sequences(PERFECT, WRONG).counts, 200, seed=0)
    assert set(scores.tolist()) == {0.0, 0.25, 1.0}
    interval = bootstrap_interval(sequences(PERFECT, WRONG))
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_equal_sequences_leave_no_doubt():
    interval = bootstrap_interval(sequences(*[[[3, 1], [4, 3], [5, 2]]] * 5))
    # 3/6 and 1/4
    assert interval.low == interval.high == 0.375


def test_result_says_what_it_rests_on():
    interval = bootstrap_interval(sequences(PERFECT, WRONG), level=0.9, resamples=77)
    assert isinstance(interval, Interval)
    assert (interval.level, interval.resamples) == (0.9, 77)


def test_defaults_are_95_percent_of_10_000_resamples_of_seed_0():
    result = sequences(*draw(6))
    interval = bootstrap_interval(result)
    assert (interval.level, interval.resamples) == (0.95, 10_000)
    assert interval == bootstrap_interval(result, level=0.95, resamples=10_000, seed=0)


@pytest.mark.parametrize("number", [2, 3, 7])
def test_resamples_summed_one_by_one(number):
    counts = draw(number)
    resamples = 1500
    weights = np.random.default_rng(5).multinomial(number, [1 / number] * number, size=resamples)
    scores = [
        oracle.mean_iou(sum(int(weight) * table for weight, table in zip(row, counts, strict=True))) for row in weights
    ]
    assert mean_iou_of_resamples(counts, resamples, seed=5).tolist() == pytest.approx(scores, abs=1e-12)
    interval = bootstrap_interval(sequences(*counts), resamples=resamples, seed=5)
    ordered = np.quantile(scores, [0.025, 0.975])
    assert (interval.low, interval.high) == pytest.approx(tuple(ordered), abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_resamples_of_three_sequences(seed):
    # 27 resamples, equally likely; 10 % and 90 % lie well inside one of the 10 distinct scores
    counts = draw(3, seed=4)
    scores = sorted(
        oracle.mean_iou(sum(counts[index] for index in drawn)) for drawn in itertools.product(range(3), repeat=3)
    )
    low, high = scores[2], scores[24]  # the third and the last but two of 27
    assert scores[1] == pytest.approx(low, abs=1e-12)
    assert scores[3] == pytest.approx(low, abs=1e-12)
    interval = bootstrap_interval(SimpleNamespace(counts=counts), level=0.8, seed=seed)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("number", [2, 5, 20])
def test_interval_contains_the_score(number):
    counts = draw(number, seed=number)
    score = oracle.mean_iou(counts.sum(axis=0))
    interval = bootstrap_interval(SimpleNamespace(counts=counts))
    assert interval.low <= score <= interval.high
    assert interval.low < interval.high


def test_interval_of_a_higher_level_is_wider():
    result = sequences(*draw(8))
    intervals = [bootstrap_interval(result, level=level) for level in (0.5, 0.9, 0.99)]
    lows, highs = [each.low for each in intervals], [each.high for each in intervals]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)
    assert len(set(lows)) == len(set(highs)) == 3


def test_sums_come_before_the_division():
    # the mean of the scores of the drawn sequences would give 0.5 for a resample of both
    big, small = [[90, 0], [90, 0], [90, 0]], [[0, 0], [0, 10], [10, 0]]
    scores = set(mean_iou_of_resamples(np.array([big, small]), 100, seed=0).tolist())
    assert scores == {1.0, 0.0, 0.45}


def test_equal_seeds_draw_equally():
    counts = draw(6)
    first, again, other = (mean_iou_of_resamples(counts, 2500, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_draws_do_not_depend_on_the_counts():
    # pairs of results are compared on the same draws: scaled counts give the same scores
    counts = draw(6)
    assert mean_iou_of_resamples(counts * 1000, 300, 0).tolist() == pytest.approx(
        mean_iou_of_resamples(counts, 300, 0).tolist(), abs=1e-12
    )


def test_global_random_state_is_left_alone():
    legacy = np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must not move
    bootstrap_interval(sequences(*draw(4)), resamples=10)
    assert np.array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002


def test_more_resamples_extend_the_same_draws():
    counts = draw(5)
    assert np.array_equal(mean_iou_of_resamples(counts, 2500, 0)[:1200], mean_iou_of_resamples(counts, 1200, 0))


def test_r3_large_counts_are_summed_exactly():
    # float64 skips odd numbers from 2**53 on; sums of int64 do not
    odd = 2**56 + 1
    counts = np.array([[[1], [odd], [odd]], [[odd], [odd], [odd]]])
    possible = {Fraction(i * 1 + (2 - i) * odd, 2 * 2 * odd - (i * 1 + (2 - i) * odd)) for i in range(3)}
    scores = set(mean_iou_of_resamples(counts, 100, seed=0).tolist())
    assert sorted(scores) == pytest.approx(sorted(float(score) for score in possible), rel=1e-15)
    assert 1.0 in scores


def test_sequences_without_pixels_do_not_count():
    """They add nothing to the score, and drawn they would only thin out the resamples."""
    empty = np.zeros((3, 2), int)
    first, second = [[1, 0], [1, 1], [2, 0]], [[2, 2], [2, 2], [2, 2]]
    with_empty = bootstrap_interval(sequences(empty, first, empty, second))
    assert with_empty == bootstrap_interval(sequences(first, second))
    with pytest.raises(ConfigError, match=r"`result` holds 1 sequence\(s\) with valid pixels, expected two or more"):
        bootstrap_interval(sequences(first, empty))


@pytest.mark.parametrize("number", [0, 1])
def test_an_interval_needs_two_sequences(number):
    counts = np.ones((number, 3, 2), np.int64)
    with pytest.raises(ConfigError, match=rf"`result` holds {number} sequence\(s\).*an interval needs two"):
        bootstrap_interval(SimpleNamespace(counts=counts))


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, float("nan")])
def test_level_out_of_range(level):
    with pytest.raises(ConfigError, match="`level` is"):
        bootstrap_interval(sequences(PERFECT, WRONG), level=level)


@pytest.mark.parametrize("resamples", [0, -1, 2.5])
def test_resamples_out_of_range(resamples):
    with pytest.raises(ConfigError, match="`resamples` is"):
        bootstrap_interval(sequences(PERFECT, WRONG), resamples=resamples)


@pytest.mark.parametrize("seed", [-1, 1.5])
def test_seed_out_of_range(seed):
    with pytest.raises(ConfigError, match="`seed` is"):
        bootstrap_interval(sequences(PERFECT, WRONG), seed=seed)


# ── two scores ──


def named(counts, names=None):
    counts = np.array(counts, np.int64)
    return SimpleNamespace(counts=counts, sequences=tuple(names or sorted(f"{row:03}" for row in range(len(counts)))))


def test_two_scores_by_hand():
    # resamples: (a, a) with 1 - 0, (b, b) with 0 - 1, (a, b) with 0.25 - 0.25
    comparison = compare(named([PERFECT, WRONG]), named([WRONG, PERFECT]))
    assert comparison.difference == 0.0
    assert (comparison.interval.low, comparison.interval.high) == (-1.0, 1.0)
    assert (comparison.sequences, comparison.is_clear) == (2, False)


def test_the_draws_are_those_of_each_score_alone():
    a, b = draw(7, seed=1), draw(7, seed=2)
    scores = [mean_iou_of_resamples(counts, 400, seed=5) for counts in (a, b)]
    interval = compare(named(a), named(b), level=0.9, resamples=400, seed=5).interval
    assert [interval.low, interval.high] == pytest.approx(np.quantile(scores[0] - scores[1], [0.05, 0.95]).tolist())


def test_exchanged_scores_exchange_the_sign():
    a, b = named(draw(9, seed=1)), named(draw(9, seed=2))
    one, other = compare(a, b), compare(b, a)
    assert one.difference == -other.difference
    assert one.interval.low == pytest.approx(-other.interval.high, abs=1e-12)


def test_a_pair_is_surer_than_its_scores():
    base = draw(12, seed=3, scale=400)
    better = base.copy()
    better[:, 0] += 5  # a little more is right in every sequence
    comparison = compare(named(better), named(base))
    width = comparison.interval.high - comparison.interval.low
    assert comparison.is_clear
    assert comparison.difference > 0
    alone = bootstrap_interval(named(base))
    assert width < (alone.high - alone.low) / 5


def test_equal_scores_do_not_differ():
    counts = draw(5)
    comparison = compare(named(counts), named(counts))
    assert (comparison.difference, comparison.interval.low, comparison.interval.high) == (0, 0, 0)
    assert not comparison.is_clear


def test_sequences_that_one_of_them_scores_alone_are_drawn():
    empty = np.zeros((3, 2), int)
    comparison = compare(named([PERFECT, PERFECT, empty, empty]), named([PERFECT, PERFECT, WRONG, empty]))
    assert comparison.sequences == 3


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (named(draw(3), "abc"), named(draw(3), "abd"), "sequences only one of them has: c, d"),
        (named(draw(3)), named(draw(3, classes=4)), "unlike numbers of classes"),
        (named(draw(1)), named(draw(1)), r"1 sequence\(s\) with valid pixels, expected two or more"),
    ],
)
def test_what_cannot_be_compared(a, b, message):
    with pytest.raises(ConfigError, match=message):
        compare(a, b)


@pytest.mark.parametrize("options", [{"level": 1}, {"resamples": 0}, {"seed": -1}])
def test_compare_checks_its_options(options):
    with pytest.raises(ConfigError):
        compare(named(draw(3)), named(draw(3)), **options)


# ── many sequences ──


def test_blocks_of_resamples_do_not_change_the_draws(monkeypatch):
    counts = draw(30)
    whole = mean_iou_of_resamples(counts, 500, 2)
    monkeypatch.setattr("flame_metric.core.statistics._VALUES", 30 * 7)
    assert np.array_equal(mean_iou_of_resamples(counts, 500, 2), whole)


def test_memory_does_not_grow_with_the_number_of_sequences():
    counts = np.ones((200_000, 3, 2), np.int64)
    tracemalloc.start()
    try:
        mean_iou_of_resamples(counts, 30, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 120e6  # 48 MB of it for 30 x 200,000 draws at a time


def test_many_sequences_are_drawn_as_often_as_few():
    """Beyond 1000 sequences each is drawn for itself: S draws in all, on average one of each, with a variance of 1."""
    size = 1500
    counts = np.zeros((size, 3, 2), np.int64)
    counts[:, :, 0] = 1
    counts[:, 1:, 1] = [[0, 1]] * size
    counts[: size // 2, 0, 0] = 0  # a share of one half: its mean is 1/2, its variance 1/4 over S
    scores = 2 * mean_iou_of_resamples(counts, 3000, 0)  # the second class is always missed
    assert scores.mean() == pytest.approx(1 / 3, abs=2e-3)
    share = 2 * scores / (1 + scores)
    assert share.mean() == pytest.approx(0.5, abs=2e-3)
    assert share.std() == pytest.approx(0.5 / np.sqrt(size), rel=0.05)
