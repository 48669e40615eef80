"""A result: scores worked by hand, the signature, tables, single sequences, and the way through JSON."""

import dataclasses
import json
import math

import numpy as np
import pytest

from flame_metric import FlameMeter, FlameResult, __version__
from flame_metric.core.counting import Counts
from flame_metric.errors import ConfigError
from flame_metric.scores.config import make_config

# Two sequences, three classes, of which "sky" occurs nowhere.
# road: I 2 + 1, P 3 + 1, L 3 + 1; car: I 0 + 1, P 1 + 1, L 1 + 3
FIRST = Counts(np.array([[2, 0, 0], [3, 1, 0], [3, 1, 0]]), 1, 1, 4, 5)
SECOND = Counts(np.array([[1, 1, 0], [1, 1, 0], [1, 3, 0]]), 2, 3, 4, 4)
NAMES = ("road", "car", "sky")


def make(counts, **options):
    return FlameResult.from_counts(make_config(3, **{"class_names": NAMES, **options}), counts, version="0.1.0")


@pytest.fixture
def result():
    return make({"b": SECOND, "a": FIRST}, latency_ms=66.667, fps=15, ignore_index=255, hardware="GTX 1080 Ti")


# ── scores ──


def test_scores_by_hand(result):
    assert result.iou[:2].tolist() == [3 / 5, 1 / 5]
    assert result.miou == pytest.approx(0.4, abs=1e-15)
    assert result.dice[:2].tolist() == [6 / 8, 2 / 6]
    assert result.pixel_accuracy == 4 / 8
    assert result.num_pairs == 3
    assert result.coverage == 3 / 4
    assert result.valid_fraction == 8 / 9
    assert result.frame_offset == 1


def test_r5_absent_class_is_nan(result):
    assert math.isnan(result.iou[2])
    assert math.isnan(result.dice[2])


def test_counts_per_sequence(result):
    assert result.sequences == ("a", "b")
    assert result.counts.shape == (2, 3, 3)
    assert result.counts.dtype == np.int64
    assert result.counts[0].tolist() == FIRST.per_class.tolist()
    assert result.total.tolist() == [[3, 1, 0], [4, 2, 0], [4, 4, 0]]
    assert result.tallies.tolist() == [[1, 1, 4, 5], [2, 3, 4, 4]]


def test_interval(result):
    # a alone: (2/4 + 0) / 2, b alone: (1 + 1/3) / 2
    assert (result.interval.low, result.interval.high) == pytest.approx((0.25, 2 / 3), abs=1e-15)


def test_one_sequence_has_no_interval():
    assert make({"a": FIRST}).interval is None


def test_nothing_counted():
    empty = make({})
    assert math.isnan(empty.miou)
    assert math.isnan(empty.coverage)
    assert math.isnan(empty.valid_fraction)
    assert math.isnan(empty.pixel_accuracy)
    assert empty.num_pairs == 0
    assert empty.counts.shape == (0, 3, 3)


def test_r3_r4_large_counts():
    large = 2**33 + 1
    counts = Counts(np.array([[large, 0, 0], [large, 0, 0], [2 * large, 0, 0]]), 1, 1, 2 * large, 2 * large)
    result = make({"a": counts, "b": counts})
    assert result.total[2, 0] == 4 * large
    assert result.miou == 0.5


def test_result_is_frozen(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.version = "2"
    with pytest.raises(ValueError, match="read-only"):
        result.counts[0, 0, 0] = 9
    with pytest.raises(ValueError, match="read-only"):
        result.tallies[0, 0] = 9


def test_equality_is_by_value(result):
    assert result == FlameResult.from_json(result.to_json())
    assert result != make({"a": FIRST, "b": SECOND})
    assert result != dataclasses.replace(result, version="0.0.1")
    assert result != dataclasses.replace(result, tallies=result.tallies + 1)
    assert result != "result"


def test_by_sequence(result):
    parts = result.by_sequence()
    assert list(parts) == ["a", "b"]
    assert parts["a"].miou == pytest.approx(0.25, abs=1e-15)
    assert parts["b"].miou == pytest.approx(2 / 3, abs=1e-15)
    assert parts["b"].sequences == ("b",)
    assert parts["b"].coverage == 2 / 3
    assert parts["a"].config == result.config
    assert parts["a"].interval is None


# ── signature ──


def test_signature(result):
    assert result.signature == (
        "FLAME 0.400 | k 1 | 66.667 ms | 15 fps | 2 of 3 classes | ignore 255 | coverage 0.75 | GTX 1080 Ti"
        " | flame-metric 0.1.0"
    )
    assert str(result) == result.signature


def test_signature_of_the_design():
    counts = Counts(np.array([[64] * 19, [82] * 19, [82] * 19]), 1, 1, 82 * 19, 82 * 19)
    config = make_config(19, latency_ms=26, fps="50/3", ignore_index=255, hardware="GTX 1080 Ti")
    assert FlameResult.from_counts(config, {"a": counts}, version="0.1.0").signature == (
        "FLAME 0.640 | k 1 | 26.0 ms | 50/3 fps | 19 classes | ignore 255 | coverage 1.00 | GTX 1080 Ti"
        " | flame-metric 0.1.0"
    )


def test_shortest_signature():
    counts = Counts(np.array([[1, 1, 1]] * 3), 1, 1, 3, 3)
    assert make({"a": counts}).signature == "mIoU 1.000 | k 0 | 3 classes | coverage 1.00 | flame-metric 0.1.0"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"frame_offset": 7}, "| k 7 |"),
        ({"before_first": "void"}, "| before first: void |"),
        ({"ignore_index": 0}, "| ignore 0 |"),
        ({"ignore_index": -1}, "| ignore -1 |"),
        ({"latency_ms": 40, "fps": "30000/1001"}, "| 30000/1001 fps |"),
        ({"latency_ms": 40, "fps": 29.97}, "| 29.97 fps |"),
    ],
)
def test_parts_of_the_signature(options, part):
    assert part in make({"a": FIRST}, **options).signature


def test_signature_under_a_schedule(result):
    config = dataclasses.replace(result.config, frame_offset=None)
    by_schedule = dataclasses.replace(result, config=config)
    assert by_schedule.frame_offset is None
    assert by_schedule.signature.startswith("streaming 0.400 | schedule | ")


def test_signature_states_the_version_that_counted():
    assert FlameResult.from_counts(make_config(3), {"a": FIRST}).signature.endswith(f"flame-metric {__version__}")


# ── tables ──


def test_text_table(result):
    assert result.table() == (
        "class         IoU     Dice   labelled pixels\n"
        "--------------------------------------------\n"
        "road       0.6000   0.7500                 4\n"
        "car        0.2000   0.3333                 4\n"
        "sky        absent   absent                 0\n"
        "--------------------------------------------\n"
        "mean IoU   0.4000                          8\n"
        "\n"
        "95 % interval 0.2500 to 0.6667 (bootstrap over 2 sequences, 10,000 resamples); fewer than 10 say little\n"
        f"{result.signature}\n"
    )


def test_csv_table(result):
    assert result.table("csv") == (
        '"class","IoU","Dice","labelled pixels"\n'
        '"road",0.6,0.75,4\n"car",0.2,0.3333333333333333,4\n"sky",,,0\n"mean IoU",0.4,,8\n'
    )


def test_markdown_table_has_the_same_cells(result):
    lines = result.table("markdown").splitlines()
    assert lines[:6] == [
        "| class | IoU | Dice | labelled pixels |",
        "| :-- | --: | --: | --: |",
        "| road | 0.6000 | 0.7500 | 4 |",
        "| car | 0.2000 | 0.3333 | 4 |",
        "| sky | absent | absent | 0 |",
        "| **mean IoU** | **0.4000** |  | **8** |",
    ]
    assert lines[-1] == result.signature.replace("|", r"\|")


@pytest.mark.parametrize(("counts", "found"), [({"a": FIRST}, "1"), ({}, "none")])
def test_an_interval_needs_two_sequences(counts, found):
    note = f"95 % interval: needs at least two sequences, there is {found}"
    assert note in make(counts).table("text").splitlines()
    assert note in make(counts).table("markdown").splitlines()


def test_classes_without_names_are_numbers():
    table = make({"a": FIRST}, class_names=None).table("csv")
    assert [line.split(",")[0] for line in table.splitlines()[1:-1]] == ['"0"', '"1"', '"2"']


def test_class_names_are_escaped():
    result = make({"a": FIRST}, class_names=("<b>", "=1+1", "a|b"))
    assert '"\'=1+1",' in result.table("csv")
    assert "| &lt;b&gt; |" in result.table("markdown")
    assert r"| a\|b |" in result.table("markdown")


def test_unknown_format(result):
    with pytest.raises(ConfigError, match="`format` is 'html'"):
        result.table("html")


# ── JSON ──


def test_json_holds_counts_and_scores(result):
    record = json.loads(result.to_json(), parse_constant=pytest.fail)
    assert record["config"]["fps"] == "15"
    assert record["sequences"][1] == {
        "id": "b",
        "pairs": 2,
        "labelled_frames": 3,
        "valid_pixels": 4,
        "all_pixels": 4,
        "intersection": [1, 1, 0],
        "predicted": [1, 1, 0],
        "labelled": [1, 3, 0],
    }
    assert record["scores"]["miou"] == result.miou
    assert record["scores"]["iou"] == [0.6, 0.2, None]
    assert record["scores"]["interval_95"] == [result.interval.low, result.interval.high]
    assert record["scores"]["signature"] == result.signature
    assert json.loads(json.dumps(result.to_dict())) == record


def test_json_of_an_empty_result_is_strict_json():
    record = json.loads(make({}).to_json(), parse_constant=pytest.fail)
    assert record["scores"]["miou"] is None
    assert FlameResult.from_json(make({}).to_json()) == make({})


def test_scores_in_json_are_not_believed(result):
    record = json.loads(result.to_json())
    record["scores"] = {"miou": 1.0}
    assert FlameResult.from_json(json.dumps(record)).miou == result.miou


def test_r3_large_counts_survive_json():
    large = 2**53 + 1
    counts = Counts(np.array([[large, 1, 0], [large, 1, 0], [large, 1, 0]]), 1, 1, large + 1, large + 1)
    again = FlameResult.from_json(make({"a": counts}).to_json())
    assert again.counts[0].tolist() == counts.per_class.tolist()
    assert again.tallies.tolist() == [[1, 1, large + 1, large + 1]]


# ── the mean ──


def test_three_means_by_hand():
    """IoU 2/3 and 0 of a class that is predicted only; the third occurs nowhere."""
    meter = FlameMeter(3)
    meter.update([[0, 0, 1]], [[0, 0, 0]], sequence="a")
    result = meter.compute()
    found = {name: result.average_over(name) for name in ("present", "labelled", "all")}
    assert {name: one.miou for name, one in found.items()} == pytest.approx(
        {"present": 1 / 3, "labelled": 2 / 3, "all": 2 / 9}
    )
    assert [one.classes_in_mean for one in found.values()] == [2, 1, 3]
    assert found["present"].signature == result.signature
    assert " | 2 of 3 classes | mean over 1 labelled classes | " in found["labelled"].signature
    for one in found.values():
        assert FlameResult.from_json(one.to_json()) == one
        assert one.by_sequence()["a"].miou == one.miou
    assert "mean IoU, labelled classes" in found["labelled"].table()
    with pytest.raises(ConfigError, match="`mean_over` is 'labeled', expected one of present, labelled, all"):
        result.average_over("labeled")


def test_without_a_pixel_every_mean_is_nan():
    empty = FlameResult(make_config(2), ("v",), np.zeros((1, 3, 2), int), np.zeros((1, 4), int))
    assert all(np.isnan(empty.average_over(name).miou) for name in ("present", "labelled", "all"))


def test_intervals_are_of_the_mean_that_is_asked_for():
    meter = FlameMeter(2)
    for name, pred in (("a", [[0, 0, 0]]), ("b", [[0, 0, 1]]), ("c", [[0, 1, 1]])):
        meter.update(pred, [[0, 0, 0]], sequence=name)
    result = meter.compute()
    assert result.interval.high == pytest.approx(1)  # "a" three times: one class
    assert result.interval.low == pytest.approx(1 / 6)
    assert result.average_over("labelled").interval.low == pytest.approx(1 / 3)
    seen = []
    asked = result.average_over("labelled")
    asked.draw_interval(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10_000, 10_000)
    assert asked.interval == result.average_over("labelled").interval


@pytest.mark.parametrize("number", [2, 3, 9, 10])
def test_an_interval_over_few_sequences_says_so_on_its_line(number):
    meter = FlameMeter(2)
    for name in range(number):
        meter.update([[0, 1, name % 2]], [[0, 1, 1]], sequence=str(name))
    result = meter.compute()
    line = next(line for line in result.table().splitlines() if "95 %" in line)
    record = json.loads(result.to_json())["scores"]
    warning = "fewer than 10 say little" if number < 10 else None
    assert line.endswith(f"; {warning}") == (number < 10)
    assert (record["interval_sequences"], record["interval_warning"]) == (number, warning)
