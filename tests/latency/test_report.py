"""What a report says of traces made by hand."""

import csv
import io
import json
import random

import pytest

from flame_metric import ConfigError, LatencyTrace, frame_offset, latency_report
from flame_metric.core.statistics import block_length, median_interval

STEADY = [70, 71, 70, 72] * 25


def test_the_median_and_its_interval() -> None:
    generator = random.Random(0)
    samples = [generator.gauss(70, 2) for _ in range(80)]
    trace = LatencyTrace(samples)
    report = latency_report(trace, level=0.9, resamples=500, seed=3)
    in_ms = [sample / 1e6 for sample in trace.samples_ns]
    assert report.median_ms == trace.median_ms
    assert report.block_length == block_length(in_ms)
    assert report.interval == median_interval(in_ms, level=0.9, resamples=500, seed=3)
    assert report.interval.low < report.median_ms < report.interval.high


def test_few_samples_have_no_interval() -> None:
    report = latency_report(LatencyTrace(range(1, 10)), fps=15)
    assert (report.interval, report.block_length, report.offset_is_certain) == (None, None, True)
    assert latency_report(LatencyTrace(range(1, 11))).interval is not None


@pytest.mark.parametrize(
    ("number", "p90", "p99"), [(63, None, None), (64, 64, None), (100, 98, None), (661, 614, None), (662, 615, 662)]
)
def test_upper_bounds_and_how_many_samples_they_take(number: int, p90: int | None, p99: int | None) -> None:
    report = latency_report(LatencyTrace(range(1, number + 1)))
    assert (report.upper_bound_ms(90), report.upper_bound_ms(99)) == (p90, p99)
    text = report.table()
    assert ("An upper bound of p90 takes 64 samples." in text) is (p90 is None)
    assert ("An upper bound of p99 takes 662 samples." in text) is (p99 is None)


@pytest.mark.parametrize(
    ("samples", "drift", "warned"),
    [
        ([100] * 10 + [103] * 10, 0.03, False),
        ([100] * 10 + [103.1] * 10, 0.031, True),
        ([100] * 10 + [96] * 10, -0.04, True),
        ([100] * 5 + [777] + [104] * 5, 0.04, True),  # the middle one belongs to no half
        ([100], 0.0, False),
        ([0] * 4, 0.0, False),
    ],
)
def test_drift_is_the_change_from_half_to_half(samples: list[float], drift: float, warned: bool) -> None:
    report = latency_report(LatencyTrace(samples))
    assert report.drift == pytest.approx(drift)
    assert any("drift" in warning for warning in report.warnings) is warned


def test_outliers_lie_above_five_deviations() -> None:
    # median 10, absolute deviations 0 x 3, 1 x 6, 5, 5.1, 90: median 1, limit 15
    samples = [9, 9, 9, 10, 10, 10, 11, 11, 11, 15, 15.1, 100]
    report = latency_report(LatencyTrace(samples))
    assert report.trace.median_ms == 10.5
    # median 10.5: deviations 1.5 x 3, 0.5 x 6, 4.5, 4.6, 89.5; the middle ones are 0.5 and 1.5
    assert report.outlier_limit_ms == 10.5 + 5 * 1.0
    assert report.outliers == (11,)
    assert "Outliers: 1 above 15.5 ms (median + 5 MAD), kept." in report.table()
    assert latency_report(LatencyTrace([5] * 9 + [4])).outliers == ()


def test_a_slow_call_is_kept_in_the_trace_and_does_not_move_the_median() -> None:
    report = latency_report(LatencyTrace([*STEADY, 5000]))
    assert (report.outliers, len(report.trace), report.median_ms) == ((100,), 101, 71)
    assert "largest" in report.table()
    assert "5000.0000" in report.table()


def test_k_of_the_median_and_of_every_sample() -> None:
    report = latency_report(LatencyTrace([50, 60, 60.0005, 61, 119, 120.01, 59, 58, 57, 56, 195, 61]), fps="50/3")
    assert report.frame_offset == frame_offset(60.00025, "50/3") == 1
    assert report.offsets == ((1, 7), (2, 3), (3, 1), (4, 1))
    assert "Single samples at 50/3 fps: k = 1: 7 (58.3%), k = 2: 3 (25.0%), k = 3: 1 (8.3%), k = 4: 1 (8.3%)." in (
        report.table()
    )


def test_without_a_rate_there_is_no_k() -> None:
    report = latency_report(LatencyTrace(STEADY))
    assert (report.frame_offset, report.offsets, report.offset_is_certain) == (None, (), True)
    assert " k" not in report.table().splitlines()[0]


def test_an_interval_across_a_multiple_of_the_frame_interval_is_a_warning() -> None:
    samples = [58, 59, 61, 62, 60.5, 59.5] * 10
    across = latency_report(LatencyTrace(samples), fps="50/3")
    assert not across.offset_is_certain
    assert frame_offset(across.interval.low, "50/3") == 1
    assert frame_offset(across.interval.high, "50/3") == 2
    assert "Warning: the interval of the median reaches from k = 1 to k = 2" in across.table()
    inside = latency_report(LatencyTrace(samples), fps=10)
    assert inside.offset_is_certain
    assert "Warning" not in inside.table()


def trace_of(*runs: dict, **metadata: object) -> LatencyTrace:
    return LatencyTrace([10, 12, 14, 16], metadata={"provenance": list(runs), **metadata})


def test_the_devices_own_time() -> None:
    trace = trace_of({"device_ns": [8_000_000, 9_000_000]}, {"device_ns": [11_000_000, 9_500_000]})
    report = latency_report(trace, fps=100)
    assert report.device_median_ms == 9.25
    assert "median on the device      9.2500   1\n" in report.table()
    assert latency_report(trace.scaled(2)).device_median_ms is None  # scaled is what the host saw alone
    assert latency_report(trace_of({"device_ns": [1]})).device_median_ms is None  # not of all samples
    assert latency_report(LatencyTrace([1], metadata={"provenance": "the lab"})).device_median_ms is None


def test_doubts_of_the_measurement_are_repeated() -> None:
    run = {"warmup_calls": 12, "warmup_settled": False, "samples": 4, "samples_wanted": 200}
    assert latency_report(trace_of(run)).warnings == (
        "the second half is 36.4% slower: drift.",
        "the warm-up of 12 calls ended before the latency had settled.",
        "4 of 200 samples: the time limit came first.",
    )
    good = {"warmup_calls": 20, "warmup_settled": True, "samples": 4, "samples_wanted": 4}
    cold = {"warmup_calls": 0, "warmup_settled": False, "samples": 4, "samples_wanted": 4}
    assert len(latency_report(trace_of(good, cold)).warnings) == 1


def test_the_whole_text() -> None:
    metadata = {
        "boundary": "forward",
        "device": "cpu",
        "processor": "A processor",
        "inputs": {"number": 4, "kinds": ["float32 (1, 3, 64, 128)"]},
    }
    trace = LatencyTrace([*STEADY, 5000], warmup_ms=[9] * 20, metadata=metadata)
    assert latency_report(trace, fps=15).table() == (
        "latency                         ms    k\n"
        "---------------------------------------\n"
        "median                     71.0000    2\n"
        "median, 95 % from          70.0000    2\n"
        "median, 95 % to            71.0000    2\n"
        "p90 at most (99% sure)     72.0000    2\n"
        "p99 at most (99% sure)\n"
        "smallest                   70.0000    2\n"
        "largest                  5000.0000   75\n"
        "\n"
        "101 samples after 20 of warm-up | forward | A processor | float32 (1, 3, 64, 128)\n"
        "An upper bound of p99 takes 662 samples.\n"
        "Single samples at 15 fps: k = 2: 100 (99.0%), k = 75: 1 (1.0%).\n"
        "Outliers: 1 above 76.0 ms (median + 5 MAD), kept.\n"
    )


def test_other_formats() -> None:
    report = latency_report(LatencyTrace(STEADY), fps=15)
    rows = list(csv.reader(io.StringIO(report.table("csv"))))
    assert rows[:2] == [["latency", "ms", "k"], ["median", "70.5", "2"]]
    assert report.table("markdown").startswith("| latency | ms | k |\n")
    with pytest.raises(ConfigError, match="`format` is 'html'"):
        report.table("html")


def test_json_holds_the_numbers_and_the_trace() -> None:
    trace = LatencyTrace(STEADY, metadata={"device": "A"})
    record = json.loads(latency_report(trace, fps="30000/1001").to_json())
    assert record["format"] == "flame-metric latency report 1"
    assert (record["median_ms"], record["fps"], record["frame_offset"]) == (70.5, "30000/1001", 3)
    assert record["upper_bounds_ms"] == {"p90": 72.0, "p99": None}
    assert record["offsets"] == [[3, 100]]
    assert record["interval"]["level"] == 0.95
    assert LatencyTrace.from_json(json.dumps(record["trace"])) == trace


@pytest.mark.parametrize("options", [{"fps": 0}, {"level": 95}, {"resamples": 0}, {"seed": -1}])
def test_options_that_are_refused(options: dict) -> None:
    (name,) = options
    with pytest.raises(ConfigError, match=f"`{name}` is"):
        latency_report(LatencyTrace(STEADY), **options)
