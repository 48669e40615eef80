"""Streams summed up: the line, the table beside the fixed offset, and the record, by hand."""

import json
from fractions import Fraction

import pytest

from flame_metric import ConfigError, LatencyTrace, Schedule, StreamConfig, simulate_stream
from flame_metric.latency.stream_report import stream_record, stream_table, stream_title

D = "50/3"  # 60 ms


def simulated(latency, config=None, **stream):
    trace = latency if isinstance(latency, LatencyTrace) else LatencyTrace([latency], replay="random")
    return simulate_stream(trace, config, **stream), trace


# ── the line ──


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "1 worker, queue 1"),
        ({"workers": 3, "queue": 2}, "3 workers, queue 2"),
        ({"workers": None, "queue": None}, "unlimited workers, queue unlimited"),
        ({"policy": "tail", "tie": "strict"}, "1 worker, queue 1, policy tail, strict ties"),
        (
            {"stride": 2, "show": "last_finished", "extra_latency_ms": 2.5},
            "1 worker, queue 1, stride 2, last finished on screen, results may be 2.5 ms late",
        ),
    ],
)
def test_how_it_was_served(config, text):
    config = StreamConfig(**config)
    schedule, trace = simulated(195, config, num_frames=10, fps=D)
    assert stream_title(schedule, trace, config, fps=D) == f"10 frames at 50/3 fps | latency 195.0 ms | {text}"


@pytest.mark.parametrize(
    ("replay", "text"), [("call", "by call"), ("frame", "by frame"), ("random", "drawn at random")]
)
def test_what_was_replayed(replay, text):
    schedule, trace = simulated(LatencyTrace([50, 70], replay=replay), arrivals_ms=[3])
    assert stream_title(schedule, trace, StreamConfig()) == (
        f"1 frame at times of their own | latency 60.0 ms (median of 2, {text}) | 1 worker, queue 1"
    )


# ── the table ──


def test_table_of_the_first_worked_example():
    schedule, trace = simulated(195, num_frames=10, fps=D)
    assert stream_table(schedule, trace, fps=D).render() == (
        "                       this stream   fixed offset k=4\n"
        "-----------------------------------------------------\n"
        "runs                             4\n"
        "dropped frames                   6\n"
        "overruns                         4\n"
        "workers busy at once             1\n"
        "coverage                    0.6000             0.6000\n"
        "mean frames old             5.0000             4.0000\n"
        "most frames old                  6                  4\n"
        "-----------------------------------------------------\n"
        "nothing yet                      4                  4\n"
        "4 frames old                     2                  6\n"
        "5 frames old                     2                  0\n"
        "6 frames old                     2                  0\n"
        "\n"
        "fixed offset: an inference on every frame, k = ceil(195.0 ms / 60.0 ms)\n"
        "overruns: inferences that took longer than the interval to the next frame\n"
    )


def test_without_a_rate_the_median_interval_gives_the_offset():
    schedule, trace = simulated(70, arrivals_ms=[0, 60, 120, 600])  # on screen: -, -, 0, 2
    table = stream_table(schedule, trace)
    assert table.columns == ("", "this stream", "fixed offset k=2")
    assert table.summary == (("nothing yet", 2, 2), ("1 frame old", 1, 0), ("2 frames old", 1, 2))
    assert table.notes[0].endswith("k = ceil(70.0 ms / 60.0 ms, the median interval)")


def test_labels_at_times_of_their_own():
    # frames at 0, 60, 120; ready at 20, 80, 140; the label at 10 is the only one too early
    schedule, trace = simulated(20, num_frames=3, fps=D, label_times_ms=[10, 50, 90, 130, 150])
    table = stream_table(schedule, trace, fps=D)
    assert schedule.source.tolist() == [-1, 0, 1, 1, 2]
    # one frame before the newest one: nothing, nothing, 0, 1, 1
    assert table.summary == (("nothing yet", 1, 2), ("0 frames old", 3, 0), ("1 frame old", 1, 3))
    assert table.rows[4] == ("coverage", 0.8, 0.6)


def test_many_ages_are_counted_in_ranges():
    # First in, first out, four frame intervals each: frame j shows frame j // 4 - 1, so ages grow from 4 to 31
    schedule, trace = simulated(240, StreamConfig(queue=None), num_frames=41, fps=D)
    names, stream, fixed = zip(*stream_table(schedule, trace, fps=D).summary, strict=True)
    assert names == ("nothing yet", *(f"{age}-{age + 2} frames old" for age in range(4, 30, 3)), "31 frames old")
    ages = [j - j // 4 + 1 for j in range(4, 41)]
    assert stream == (4, *(sum(age <= old < age + 3 for old in ages) for age in range(4, 32, 3)))
    assert fixed == (4, 37, *[0] * 9)


def test_nothing_is_ever_on_screen():
    schedule, trace = simulated(500, num_frames=3, fps=D)
    table = stream_table(schedule, trace, fps=D)
    assert table.rows[4] == ("coverage", 0.0, 0.0)
    lines = [line.split() for line in table.render().splitlines()]
    assert ["mean", "frames", "old", "absent", "absent"] in lines
    assert ["most", "frames", "old", "absent", "absent"] in lines
    assert table.summary == (("nothing yet", 3, 3),)


def test_one_frame_has_no_interval_and_no_offset():
    schedule, trace = simulated(20, arrivals_ms=[5])
    table = stream_table(schedule, trace)
    assert table.columns == ("", "this stream")
    assert table.rows[0] == ("runs", 1)
    assert len(table.notes) == 1


def test_a_stream_without_frames():
    schedule, trace = simulated(20, num_frames=0, fps=D)
    table = stream_table(schedule, trace, fps=D)
    assert table.rows[3] == ("workers busy at once", 0, None)
    assert ["coverage", "absent", "absent"] in [line.split() for line in table.render().splitlines()]


# ── the record ──


def test_record_of_the_first_worked_example():
    schedule, trace = simulated(195, num_frames=5, fps=D)
    record = stream_record(schedule, trace, StreamConfig(), fps=D)
    ms = 10**6
    assert json.loads(json.dumps(record, allow_nan=False)) == {
        "format": "flame-metric stream 1",
        "fps": "50/3",
        "config": {
            "workers": 1,
            "queue": 1,
            "policy": "greedy",
            "stride": 1,
            "tie": "inclusive",
            "show": "freshest",
            "extra_latency_ms": 0,
        },
        "latency": json.loads(trace.to_json()),
        "latency_median_ns": 195 * ms,
        "seed": 0,
        "frame_offset": 4,
        "arrival_ns": [0, 60 * ms, 120 * ms, 180 * ms, 240 * ms],
        "labels": {
            "time_ns": [0, 60 * ms, 120 * ms, 180 * ms, 240 * ms],
            "frame": [0, 1, 2, 3, 4],
            "source": [-1, -1, -1, -1, 0],
            "staleness": [-1, -1, -1, -1, 4],
        },
        "runs": {
            "frame": [0, 3, 4],  # 4 waits, and is followed by none that would replace it
            "start_ns": [0, 195 * ms, 390 * ms],
            "finish_ns": [195 * ms, 390 * ms, 585 * ms],
            "worker": [0, 0, 0],
        },
        "dropped": [1, 2],
        "statistics": {
            "runs": 3,
            "dropped": 2,
            "overruns": 3,
            "labelled_frames": 5,
            "staleness_histogram": [0, 0, 0, 0, 1],
            "coverage": 0.2,
            "mean_staleness": 4.0,
            "max_staleness": 4,
        },
    }


def test_record_gives_back_trace_and_schedule():
    trace = LatencyTrace([30, 80.000001], replay="random", metadata={"device": "GPU"})
    config = StreamConfig(workers=None, queue=None, extra_latency_ms=Fraction(1, 3))
    schedule = simulate_stream(trace, config, num_frames=30, fps="30000/1001", seed=7)
    record = json.loads(json.dumps(stream_record(schedule, trace, config, fps="30000/1001", seed=7)))
    assert LatencyTrace.from_json(json.dumps(record["latency"])) == trace
    assert (record["fps"], record["seed"], record["latency_median_ns"]) == ("30000/1001", 7, 55_000_000.5)
    assert record["config"]["extra_latency_ms"] == 0.333333
    assert (record["config"]["workers"], record["config"]["queue"]) == (None, None)
    again = Schedule(record["labels"]["frame"], record["labels"]["source"])
    assert again.staleness.tolist() == schedule.staleness.tolist() == record["labels"]["staleness"]


def test_what_is_undefined_is_null():
    schedule, trace = simulated(20, arrivals_ms=[])
    record = stream_record(schedule, trace, StreamConfig())
    assert (record["fps"], record["frame_offset"]) == (None, None)
    assert [record["statistics"][name] for name in ("coverage", "mean_staleness", "max_staleness")] == [None] * 3
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize("function", [stream_record, stream_title])
def test_a_schedule_that_was_not_simulated(function):
    with pytest.raises(ConfigError, match="`schedule` has no log"):
        function(Schedule.fixed(3, 1), LatencyTrace([1]), StreamConfig())
    with pytest.raises(ConfigError, match="`schedule` has no log"):
        stream_table(Schedule.fixed(3, 1), LatencyTrace([1]))
