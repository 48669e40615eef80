"""Networks side by side: the order, how sure it is, and what a frame rate hides; the numbers by hand."""

import json
import math

import numpy as np
import pytest

from flame_metric import ConfigError, FlameMeter, OffsetBank, StreamConfig, compare
from flame_metric.jobs.evaluate import evaluate_bank
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
    assert (
        "fast - slow: +0.0500, 95 % +0.0500 to +0.0500 over the same 2 sequences; fewer than 10 say little.\n" in notes
    )
    assert (
        "slow - last: +0.1000, 95 % +0.0000 to +0.2000 over the same 2 sequences; fewer than 10 say little; "
        "the order may be chance." in notes
    )


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


# ── the same labels ──

RNG = np.random.default_rng(7)
LABELS = {name: [RNG.integers(0, 3, (8, 8)) for _ in range(8)] for name in ("s0", "s1")}
NAMES = ("road", "car", "sky")


def evaluation(labels=LABELS, *, wrong=0.2, seed=1, latency_ms=60, skip=(), num_classes=3, stream=None, **options):
    """Score predictions of which a share is wrong; ``skip`` are frames that are left out."""
    draw = np.random.default_rng(seed)
    before_first = options.pop("before_first", "skip")
    bank = OffsetBank(num_classes, max_offset=4, fps=15, **options)
    for name, maps in labels.items():
        kept = [one for frame, one in enumerate(maps) if frame not in skip]
        preds = [
            np.where(draw.random(one.shape) < wrong, draw.integers(0, num_classes, one.shape), one) for one in kept
        ]
        preds = [np.where(pred == options.get("ignore_index"), 0, pred) for pred in preds]
        bank.update_sequence(preds, kept, sequence=name)
    return evaluate_bank(bank, latency_ms=latency_ms, stream=stream, before_first=before_first)


def changed(function):
    return {name: [function(one) for one in maps] for name, maps in LABELS.items()}


UNLIKE = {
    "half the size": (
        {"labels": changed(lambda one: one[::2, ::2])},
        "A quarter of the pixels: labels of another size",
    ),
    "half the rows": ({"labels": changed(lambda one: one[::2])}, "Half the pixels: labels of another size"),
    "other rows": ({"labels": changed(lambda one: one[:5])}, "Other pixels: labels of another size"),
    "another version": (
        {"labels": changed(lambda one: np.where(np.arange(64).reshape(8, 8) == 9, 2 - one, one))},
        "labels of another version|Are classes",
    ),
    "merged classes": ({"labels": changed(lambda one: np.where(one == 2, 1, one))}, "Are classes merged"),
    "another order": ({"labels": changed(lambda one: 2 - one)}, "in another order"),
    "a subset of frames": ({"skip": (2, 3, 4)}, "Were frames left out"),
    "one frame": ({"skip": (7,)}, "Were frames left out"),
    "one sequence": ({"labels": {"s0": LABELS["s0"]}}, "only one of them has s1"),
    "names in another order": ({"class_names": ("car", "road", "sky")}, "the same names in another order"),
    "other names": ({"class_names": ("road", "bus", "sky")}, "class 1 (bus|car)"),
    "void": ({"ignore_index": 255}, "ignore_index"),
    "more classes": ({"num_classes": 4, "class_names": None}, "num_classes"),
    "before the first": ({"before_first": "void"}, "before_first"),
}


@pytest.mark.parametrize("latency_ms", [60, 150], ids=["same k", "another k"])
@pytest.mark.parametrize("unlike", UNLIKE)
def test_results_of_unlike_labels_are_refused(unlike, latency_ms):
    """With static scores or without, and in Python too, where a single result says less."""
    options, message = UNLIKE[unlike]
    options = {"class_names": NAMES, **options, "latency_ms": latency_ms}
    a, b = evaluation(class_names=NAMES), evaluation(**options)
    for first, second in ((a, b), (b, a)):
        with pytest.raises(ConfigError, match=message):
            rank([first.contender("a"), second.contender("b")])
    if latency_ms == 60:
        with pytest.raises(ConfigError, match=message):
            rank([Contender("a", a.flame), Contender("b", b.flame)])
        with pytest.raises(ConfigError, match=message):
            compare(a.flame, b.flame)
    elif unlike not in {"another version", "another order"}:  # those may lie in what only one was compared with
        with pytest.raises(ConfigError):
            compare(a.flame, b.flame)


@pytest.mark.parametrize("before_first", ["skip", "void"])
@pytest.mark.parametrize("latency_ms", [0, 10, 100, 150])
def test_results_of_the_same_labels_may_differ_in_latency(latency_ms, before_first):
    a = evaluation(before_first=before_first, stream=StreamConfig())
    b = evaluation(seed=2, latency_ms=latency_ms, before_first=before_first, stream=StreamConfig())
    assert len(rank([a.contender("a"), b.contender("b")]).contenders) == 2
    for one in a.results.values():
        for other in b.results.values():
            assert -1 <= compare(one, other).difference <= 1


def test_what_differs_is_said():
    half = evaluation(UNLIKE["half the size"][0]["labels"])
    pixels = [
        sum(int((one == 0).sum()) for one in maps["s0"]) for maps in (LABELS, UNLIKE["half the size"][0]["labels"])
    ]
    wanted = (
        rf"a / b were scored on unlike labels: in sequence 's0' class 0 has {pixels[0]} labelled pixels / {pixels[1]} "
    )
    with pytest.raises(ConfigError, match=wanted + r"\(2 of 2 sequences differ\)"):
        rank([evaluation().contender("a"), half.contender("b")])


@pytest.mark.parametrize(
    "stream", [StreamConfig(workers=4), StreamConfig(queue=2), StreamConfig(policy="tail"), StreamConfig(workers=None)]
)
def test_streams_of_another_configuration_are_refused(stream):
    one, four = evaluation(stream=StreamConfig()), evaluation(stream=stream)
    with pytest.raises(ConfigError, match="a was scored on another stream than b, 1 worker, queue 1 / "):
        rank([one.contender("a"), four.contender("b")])
    with pytest.raises(ConfigError, match="another stream"):
        compare(one.streaming.result, four.streaming.result)
    assert rank([one.contender("a"), evaluation(seed=3).contender("b")]).contenders  # without a stream


# ── means over unlike classes ──


def stray(pixels, seed):
    """Three classes, of which the last is labelled nowhere, and predicted so many times."""
    draw = np.random.default_rng(seed)
    meter = FlameMeter(3)
    for name in ("s0", "s1", "s2"):
        target = np.tile([0, 1], (8, 4))
        pred = np.where(draw.random(target.shape) < 0.05 * seed, 1 - target, target)
        pred.ravel()[:pixels] = 2
        meter.update(pred, target, sequence=name)
    return meter.compute()


def test_one_stray_pixel_turns_no_order_round():
    better, worse = stray(1, seed=1), stray(0, seed=4)
    assert better.miou < worse.miou  # over three classes and over two
    ranking = rank([Contender("worse", worse), Contender("better", better)])
    assert [one.name for one in ranking.contenders] == ["better", "worse"]
    assert ranking.mean_over == "labelled"
    assert ranking.notes[0] == (
        "Ranked by the mean over labelled classes: worse came with a mean over 2 classes that occur; better came with "
        "a mean over 3 classes that occur."
    )
    difference = better.average_over("labelled").miou - worse.average_over("labelled").miou
    assert difference > 0
    assert ranking.comparisons["better", "worse"].difference == pytest.approx(difference)
    assert compare(better, worse).difference == pytest.approx(difference)
    assert json.loads(ranking.to_json())["mean_over"] == "labelled"
    assert (
        rank([Contender("worse", worse), Contender("better", better)], mean_over="present").contenders[0].name
        == "worse"
    )


def test_means_over_the_same_classes_stay():
    ranking = rank([Contender("a", stray(1, seed=1)), Contender("b", stray(2, seed=2))])
    assert ranking.mean_over == "present"
    assert not any("Ranked" in note for note in ranking.notes)
    everything = [Contender(name, stray(number, 1).average_over("all")) for name, number in (("a", 0), ("b", 1))]
    assert rank(everything).mean_over == "all"
