import copy
import json
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import ConfigError, LatencyTrace, StateError, frame_offset

MS = 1_000_000


def test_samples_become_nanoseconds_in_order() -> None:
    trace = LatencyTrace([76.0000004, 70, Fraction(1, 3)], warmup_ms=[900], metadata={"device": "GPU"})
    assert trace.samples_ns == (76_000_000, 70 * MS, 333_333)
    assert trace.warmup_ns == (900 * MS,)
    assert len(trace) == 3


@pytest.mark.parametrize(
    ("samples", "median"), [([5], 5), ([1, 9], 5), ([3, 1, 2], 2), ([4, 1, 3, 2], 2.5), ([0.000001, 0], 0.0000005)]
)
def test_median(samples: list, median: float) -> None:
    assert LatencyTrace(samples).median_ms == median


@pytest.mark.parametrize(("percent", "value"), [(0.1, 1), (10, 1), (10.1, 2), (50, 5), (90, 9), (99, 10), (100, 10)])
def test_percentile_is_the_nearest_rank(percent: float, value: int) -> None:
    assert LatencyTrace(range(10, 0, -1)).percentile_ms(percent) == value


@pytest.mark.parametrize(("number", "rank"), [(100, 98), (300, 283), (1000, 923)])
def test_upper_bounds_of_mlperf(number: int, rank: int) -> None:
    assert LatencyTrace(range(1, number + 1)).upper_bound_ms(90) == rank


@pytest.mark.parametrize(("percent", "fewest"), [(90, 64), (95, 130), (97, 219), (99, 662), (99.9, 6636)])
def test_fewest_samples_of_mlperf(percent: float, fewest: int) -> None:
    assert LatencyTrace(range(fewest)).upper_bound_ms(percent) >= 0
    with pytest.raises(ConfigError, match=f"{fewest - 1} samples are too few .* expected at least {fewest}"):
        LatencyTrace(range(fewest - 1)).upper_bound_ms(percent)


def test_scaling_is_exact_and_recorded() -> None:
    trace = LatencyTrace([30, 60], warmup_ms=[90], metadata={"device": "GPU"})
    faster = trace.scaled("1/3")
    assert (faster.samples_ns, faster.warmup_ns) == ((10 * MS, 20 * MS), (30 * MS,))
    assert faster.metadata == {"device": "GPU", "scaled": "1/3"}
    assert faster.scaled(3).samples_ns == trace.samples_ns
    assert trace.scaled(0.1).samples_ns == (3 * MS, 6 * MS)
    assert frame_offset(trace.scaled(2).median_ms, 15) == 2


@given(st.lists(st.integers(0, 10**12), min_size=1), st.sampled_from(["call", "frame", "random"]))
def test_json_and_csv_lose_nothing(samples: list[int], replay: str) -> None:
    trace = LatencyTrace.from_ns(samples, replay=replay, warmup_ns=samples[:2], metadata={"a": [1, None]})
    assert LatencyTrace.from_json(trace.to_json()) == trace
    assert LatencyTrace.from_csv(trace.to_csv()).samples_ns == trace.samples_ns


def test_csv_of_others() -> None:
    text = "frame,latency_ms\n0,70.5\n1,80\n"
    assert LatencyTrace.from_csv(text, replay="frame") == LatencyTrace([70.5, 80], replay="frame")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ms\n1\n", "expected one named latency_ms"),
        ("", "expected one named latency_ms"),
        ("latency_ms\n", "`samples_ms` is empty"),
        ("latency_ms\n1\nfast\n", "`latency_ms in line 3` is 'fast'"),
        ("latency_ms\n-1\n", "`latency_ms in line 2` is '-1'"),
        ("frame,latency_ms\n1\n", "`latency_ms in line 2` is None"),
        ("latency_ms\nnan\n", "is 'nan'"),
    ],
)
def test_csv_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatencyTrace.from_csv(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "`samples_ms` is empty, expected at least one latency"),
        (([-1],), "`samples_ms` is -1, expected milliseconds >= 0"),
        (([float("nan")],), "`samples_ms` is nan"),
        (([float("inf")],), "`samples_ms` is inf"),
        ((["fast"],), "`samples_ms` is 'fast'"),
    ],
)
def test_samples_that_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatencyTrace(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replay": "shuffle"}, "`replay` is 'shuffle', expected one of call, frame, random"),
        ({"warmup_ms": [-1]}, "`warmup_ms` is -1"),
        ({"metadata": {"a": object()}}, "`metadata` holds what JSON does not know"),
        ({"metadata": {"a": float("nan")}}, "`metadata` holds what JSON does not know"),
    ],
)
def test_options_that_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatencyTrace([1], **options)


def test_numbers_out_of_range() -> None:
    trace = LatencyTrace([1])
    for percent in (0, -1, 101, float("nan")):
        with pytest.raises(ConfigError, match="`percent` is"):
            trace.percentile_ms(percent)
    for factor in (0, -1, float("inf"), "fast"):
        with pytest.raises(ConfigError, match="`factor` is"):
            trace.scaled(factor)


def test_like_runs_merge_and_unlike_runs_do_not() -> None:
    first = LatencyTrace([1, 2], warmup_ms=[5], metadata={"device": "A"})
    merged = first.merge(LatencyTrace([3], metadata={"device": "A"}))
    assert merged == LatencyTrace([1, 2, 3], warmup_ms=[5], metadata={"device": "A"})
    with pytest.raises(StateError, match="unlike runs cannot merge: device: A / B"):
        first.merge(LatencyTrace([3], metadata={"device": "B"}))
    with pytest.raises(StateError, match="replay: call / frame"):
        first.merge(LatencyTrace([3], metadata={"device": "A"}, replay="frame"))


def test_a_trace_cannot_be_changed() -> None:
    metadata = {"device": "A"}
    trace = LatencyTrace([1], metadata=metadata)
    metadata["device"] = "B"
    assert trace.metadata["device"] == "A"
    with pytest.raises(TypeError):
        trace.metadata["device"] = "C"
    with pytest.raises(AttributeError):
        trace.replay = "frame"


@pytest.mark.parametrize(
    "edit", [{"samples_ns": [1.5]}, {"samples_ns": []}, {"samples_ns": [-1]}, {"replay": 1}, {"metadata": 5}]
)
def test_damaged_records(edit: dict) -> None:
    record = json.loads(LatencyTrace([1]).to_json()) | edit
    with pytest.raises(StateError, match="'flame-metric latency trace 1' record is incomplete or damaged"):
        LatencyTrace.from_json(json.dumps(record))


def test_provenance_is_kept_and_not_compared() -> None:
    runs = [{"measured_at": "2030-01-01T10:00:00+00:00"}, {"measured_at": "2030-01-01T11:00:00+00:00"}]
    first, second = (LatencyTrace([1], metadata={"device": "A", "provenance": [run]}) for run in runs)
    assert first.merge(second).metadata == {"device": "A", "provenance": runs}
    assert second.merge(first).metadata["provenance"] == runs[::-1]
    assert first.merge(LatencyTrace([2], metadata={"device": "A"})).metadata == first.metadata
    assert LatencyTrace([2], metadata={"device": "A"}).merge(first).metadata == first.metadata
    with pytest.raises(StateError, match=r"unlike runs cannot merge: device: A / B$"):
        first.merge(LatencyTrace([2], metadata={"device": "B"}))
    other = LatencyTrace([1], metadata={"device": "A", "provenance": "the lab"})  # somebody's own text is compared
    with pytest.raises(StateError, match="provenance: "):
        first.merge(other)
    assert other.merge(other).metadata == other.metadata


def test_traces_travel_in_pickles_and_copies():
    trace = LatencyTrace([70, 76.5], replay="random", warmup_ms=[90], metadata={"device": "GPU", "inputs": {"n": 4}})
    assert pickle.loads(pickle.dumps(trace)) == trace
    assert copy.deepcopy(trace) == trace


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency_ms,latency_ms\n1,2\n", "the CSV has 2 columns named latency_ms, expected one"),
        ("latency_ms\n" + "1" * 200_000, "the CSV is damaged in line 1: field larger than field limit"),
    ],
)
def test_csv_that_readers_take_in_unlike_ways(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatencyTrace.from_csv(text)


def test_csv_with_line_ends_of_any_kind() -> None:
    for end in ("\n", "\r\n", "\r"):
        assert LatencyTrace.from_csv(end.join(["latency_ms", "1", "2"])) == LatencyTrace([1, 2])


@pytest.mark.parametrize(
    ("text", "cells", "expected"),
    [("latency_ms\n66\n66,9\n", 2, 1), ("latency_ms,x\n66,9,1\n", 3, 2), ("latency_ms\n1,2,3", 3, 1)],
)
def test_a_decimal_comma_is_no_other_number(text: str, cells: int, expected: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"has {cells} cells, expected {expected}; decimals are written with a point"
    ):
        LatencyTrace.from_csv(text)
