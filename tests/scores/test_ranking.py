"""Networks side by side: the order, how sure it is, and what a frame rate hides; the numbers by hand."""

import json
import math

import numpy as np
import pytest

from flame_metric import ConfigError
from flame_metric.scores.config import make_config
from flame_metric.scores.ranking import Contender, rank
from flame_metric.scores.result import FlameResult


def result(*right, latency=None, fps=None, offset=None, names=None, **config):
    """Videos of ten pixels of one class: so many are right, the others predicted as a class that is nowhere."""
    counts = np.array([[[share, 0], [share, 10 - share], [10, 0]] for share in right])
    names = names or tuple(f"video {number}" for number in range(len(right)))
    settings = make_config(2, latency_ms=latency, fps=fps, frame_offset=offset, **config)
    return FlameResult(settings, names, counts, np.full((len(right), 4), 10))


def contender(name, flame, static, latency=50, fps=10, **config):
    return Contender(name, result(*flame, latency=latency, fps=fps, **config), result(*static))


FAST = contender("fast", (7, 6), (7, 7), latency=26)
SLOW = contender("slow", (6, 5), (9, 9), latency=38)
LAST = contender("last", (2, 5), (3, 8), latency=195)


def test_the_best_is_first():
    ranking = rank([LAST, FAST, SLOW])
    assert [one.name for one in ranking.contenders] == ["fast", "slow", "last"]
    lines = [line.split() for line in ranking.table().splitlines()[2:5]]
    # mean IoU of two videos with x of 20 pixels right: (x / 20 + 0) / 2
    assert lines[0] == ["fast", "0.3250", "0.3000", "0.3500", "0.3500", "1", "26"]
    assert lines[1] == ["slow", "0.2750", "0.2500", "0.3000", "0.4500", "1", "38"]
    assert [line[0] for line in lines] == ["fast", "slow", "last"]


def test_differences_are_paired():
    comparisons = rank([SLOW, LAST, FAST]).comparisons
    assert set(comparisons) == {("fast", "slow"), ("fast", "last"), ("slow", "last")}
    fast_slow = comparisons["fast", "slow"]
    assert fast_slow.difference == pytest.approx(0.05)
    assert (fast_slow.interval.low, fast_slow.interval.high) == pytest.approx((0.05, 0.05))  # one pixel in each video
    assert comparisons["slow", "last"].interval.low == 0
    notes = rank([SLOW, LAST, FAST]).table()
    assert "fast - slow: +0.0500, 95 % +0.0500 to +0.0500 over the same 2 sequences.\n" in notes
    assert "slow - last: +0.1000, 95 % +0.0000 to +0.2000 over the same 2 sequences; the order may be chance." in notes


def test_tau_by_hand():
    # by static: slow, fast, last; by FLAME: fast, slow, last: two of three pairs agree
    ranking = rank([FAST, SLOW, LAST])
    assert ranking.tau == pytest.approx(1 / 3)
    assert "Kendall's tau between the orders by static score and by FLAME: 0.33." in ranking.table()
    assert math.isnan(rank([FAST, Contender("other", SLOW.flame)]).tau)
    assert "Kendall" not in rank([FAST, Contender("other", SLOW.flame)]).table()


def test_latencies_that_a_frame_rate_hides():
    notes = rank([FAST, SLOW, LAST]).table()
    assert (
        "fast (26.0 ms) and slow (38.0 ms) share k = 1 at 10 fps: FLAME does not see that one is faster. "
        "Above 26.32 fps, up to 38.46, it would." in notes
    )
    assert "last (" not in notes  # k = 2 already
    assert "share k" not in rank([contender("a", (5, 5), (6, 6)), contender("b", (4, 4), (6, 6))]).table()


def test_one_sequence_has_no_interval():
    ranking = rank([contender("a", (5,), (6,)), contender("b", (4,), (6,))])
    assert "a - b: no interval, as that takes two sequences." in ranking.table()
    assert json.loads(ranking.to_json())["differences"] == [{"better": "a", "other": "b"}]


def test_without_any_score_a_network_is_last():
    empty = Contender("empty", FlameResult(make_config(2), ("v",), np.zeros((1, 3, 2), int), np.zeros((1, 4), int)))
    full = Contender("full", result(5, names=("v",)))
    assert [one.name for one in rank([empty, full]).contenders] == ["full", "empty"]


def test_json():
    record = json.loads(rank([SLOW, FAST]).to_json())
    assert record["order"] == ["fast", "slow"]
    assert record["flame"]["fast"]["miou"] == pytest.approx(0.325)
    assert record["tau"] == pytest.approx(-1)
    assert record["differences"][0]["difference"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("contenders", "message"),
    [
        ([], r"holds 0 network\(s\), expected two or more"),
        ([FAST], r"holds 1 network\(s\)"),
        ([FAST, FAST], "two networks named 'fast'"),
        ([FAST, contender("b", (1, 2), (1, 2), names=("video 0", "x"))], "only one of them has video 1, x"),
        ([FAST, contender("b", (1, 2), (1, 2), fps=12)], "fast was scored with fps 10, b with 12"),
        ([FAST, contender("b", (1, 2), (1, 2), ignore_index=255)], "ignore_index None, b with 255"),
        ([FAST, contender("b", (1, 2), (1, 2), before_first="void")], "before_first skip, b with void"),
    ],
)
def test_what_cannot_be_ranked(contenders, message):
    with pytest.raises(ConfigError, match=message):
        rank(contenders)
