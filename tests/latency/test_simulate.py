"""Streams: worked examples, laws, and an event-by-event simulation written apart from the recurrence."""

from fractions import Fraction

import numpy as np
import pytest

from flame_metric import frame_offset
from flame_metric.core.schedule import Schedule
from flame_metric.errors import ConfigError
from flame_metric.latency.simulate import StreamConfig, StreamStatistics, simulate_clips, simulate_stream, stream_text
from flame_metric.latency.trace import LatencyTrace

D = "50/3"  # 60 ms


def shown(latency, *, frames: int = 10, replay: str = "call", **options) -> str:
    """What is on screen at frames 0..9, "-" for nothing yet."""
    if isinstance(latency, list):
        latency = LatencyTrace(latency + [50] * (frames - len(latency)), replay=replay)
    schedule = simulate_stream(latency, StreamConfig(**options), num_frames=frames, fps=D)
    return " ".join("-" if source < 0 else str(source) for source in schedule.source)


DROP, FIFO, EVERY = {"workers": 1, "queue": 1}, {"workers": 1, "queue": None}, {"workers": None}
STRICT, TAIL, LAST = {"tie": "strict"}, {"policy": "tail"}, {"show": "last_finished"}
BY_FRAME = [190, 50, 50, 295, 50, 50]


@pytest.mark.parametrize(
    ("latency", "options", "expected"),
    [
        (195, DROP, "- - - - 0 0 0 3 3 3"),
        (195, EVERY, "- - - - 0 1 2 3 4 5"),
        (90, FIFO, "- - 0 1 1 2 3 3 4 5"),
        (90, FIFO | STRICT, "- - 0 0 1 2 2 3 4 4"),
        (90, DROP, "- - 0 1 1 3 4 4 6 7"),
        (90, DROP | STRICT, "- - 0 0 1 3 3 4 6 6"),
        (90, DROP | TAIL, "- - 0 0 2 2 4 4 6 6"),
        (90, DROP | TAIL | STRICT, "- - 0 0 2 2 4 4 6 6"),
        (150, {"workers": 2, "queue": 1}, "- - - 0 1 2 3 3 5 6"),
        (150, DROP, "- - - 0 0 2 2 2 5 5"),
        (150, {"workers": 3, "queue": 1}, "- - - 0 1 2 3 4 5 6"),
        (150, EVERY, "- - - 0 1 2 3 4 5 6"),
        (BY_FRAME, EVERY | {"replay": "frame"}, "- - 1 2 2 4 5 6 7 8"),
        (BY_FRAME, EVERY | LAST | {"replay": "frame"}, "- - 1 2 0 4 5 6 3 8"),
        (BY_FRAME, DROP | {"replay": "frame"}, "- - - - 0 0 0 0 0 8"),
        ([50, 50, 200], DROP, "- 0 1 1 1 1 2 6 7 8"),
        ([50, 50, 200], FIFO, "- 0 1 1 1 1 2 4 5 6"),
        ([50, 50, 200], {"workers": 1, "queue": 2}, "- 0 1 1 1 1 2 5 6 7"),
        (0, EVERY, "0 1 2 3 4 5 6 7 8 9"),
        (1, EVERY, "- 0 1 2 3 4 5 6 7 8"),
        (59, EVERY, "- 0 1 2 3 4 5 6 7 8"),
        (60, EVERY, "- 0 1 2 3 4 5 6 7 8"),
        (61, EVERY, "- - 0 1 2 3 4 5 6 7"),
        (120, EVERY, "- - 0 1 2 3 4 5 6 7"),
        (60, EVERY | STRICT, "- - 0 1 2 3 4 5 6 7"),
    ],
)
def test_worked_examples(latency, options, expected: str) -> None:
    assert shown(latency, **options) == expected


def test_runs_of_the_first_example() -> None:
    log = simulate_stream(195, num_frames=10, fps=D).log
    assert (log.frame.tolist(), (log.start_ns // 10**6).tolist()) == ([0, 3, 6, 9], [0, 195, 390, 585])
    assert (log.finish_ns // 10**6).tolist() == [195, 390, 585, 780]
    assert log.dropped.tolist() == [1, 2, 4, 5, 7, 8]
    assert log.overruns == 4


def test_means_hide_spikes() -> None:
    trace = LatencyTrace([50, 50, 200] + [50] * 7)
    schedule = simulate_stream(trace, num_frames=10, fps=D)
    latencies = schedule.log.finish_ns - schedule.log.start_ns
    assert len(latencies) == 8
    assert latencies.mean() / 1e6 == 68.75
    assert frame_offset(68.75, D) == 2
    assert schedule.staleness_histogram.tolist() == [0, 5, 1, 1, 2]


@pytest.mark.parametrize(("latency", "frame"), [(195, 13), (90, 16), (150, 15), (60, 18)])
def test_a_clip_with_one_label(latency: int, frame: int) -> None:
    schedule = simulate_stream(latency, num_frames=30, fps=D, label_times_ms=[1140])
    assert (schedule.label_frame.tolist(), schedule.source.tolist()) == ([19], [frame])


@pytest.mark.parametrize(
    ("latency", "options", "total"),
    [
        (Fraction(3, 2), STRICT, 29),
        (Fraction(3, 2), STRICT | TAIL, 27),
        (Fraction(3, 2), {}, 25),
        (Fraction(3, 2), TAIL, 27),
        (Fraction(13, 4), STRICT, 45),
        (Fraction(13, 4), STRICT | TAIL, 45),
        (Fraction(13, 4), {}, 45),
        (Fraction(13, 4), TAIL, 45),
    ],
)
def test_the_toy_of_streaming_perception(latency: Fraction, options: dict, total: int) -> None:
    schedule = simulate_stream(latency * 60, StreamConfig(**options), num_frames=13, fps=D)
    assert schedule.staleness[schedule.shown].sum() == total


def test_statistics_sum_up_several_streams():
    one = simulate_stream(195, num_frames=10, fps="50/3")  # runs 0, 3, 6, 9; on screen - - - - 0 0 0 3 3 3
    other = simulate_stream(50, num_frames=3, fps="50/3")  # on screen - 0 1
    statistics = StreamStatistics.from_schedules([one, other])
    assert (statistics.runs, statistics.dropped, statistics.overruns) == (7, 6, 4)
    assert statistics.labelled_frames == 13
    assert statistics.staleness_histogram == (0, 2, 0, 0, 2, 2, 2)
    assert statistics.coverage == 8 / 13
    assert statistics.mean_staleness == (2 * 1 + 2 * 4 + 2 * 5 + 2 * 6) / 8
    assert statistics.max_staleness == 6


def test_statistics_of_nothing():
    statistics = StreamStatistics.from_schedules([])
    assert statistics.staleness_histogram == ()
    assert statistics.max_staleness == 0
    assert np.isnan(statistics.coverage)
    assert np.isnan(statistics.mean_staleness)


def test_statistics_of_schedules_that_were_not_simulated() -> None:
    simulated = simulate_stream(50, num_frames=3, fps=D)  # on screen - 0 1
    statistics = StreamStatistics.from_schedules([Schedule.fixed(4, 2), simulated])
    assert (statistics.runs, statistics.labelled_frames) == (3, 7)
    assert statistics.staleness_histogram == (0, 2, 2)


def test_statistics_survive_a_record() -> None:
    statistics = StreamStatistics(runs=7, dropped=6, overruns=4, labelled_frames=13, staleness_histogram=(0, 2, 0, 6))
    record = statistics.to_dict()
    assert record == {
        "runs": 7,
        "dropped": 6,
        "overruns": 4,
        "labelled_frames": 13,
        "staleness_histogram": [0, 2, 0, 6],
        "coverage": 8 / 13,
        "mean_staleness": 20 / 8,
        "max_staleness": 3,
    }
    assert type(record["staleness_histogram"]) is list
    assert StreamStatistics.from_dict(record) == statistics


@pytest.mark.parametrize(("labelled", "coverage"), [(0, None), (3, 0.0)])
def test_what_is_undefined_is_none_in_a_record(labelled: int, coverage: float | None) -> None:
    statistics = StreamStatistics(0, 0, 0, labelled, ())
    record = statistics.to_dict()
    assert record["coverage"] == coverage
    assert (record["mean_staleness"], record["max_staleness"]) == (None, None)
    assert StreamStatistics.from_dict(record) == statistics


RECORD = StreamStatistics(7, 6, 4, 8, (0, 2, 6)).to_dict()  # each labelled frame shows something


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": -1}, "`runs` is -1, expected a whole number >= 0"),
        ({"dropped": 1.5}, "`dropped` is 1.5, expected a whole number >= 0"),
        ({"overruns": True}, "`overruns` is True, expected a whole number >= 0"),
        ({"labelled_frames": "8"}, "`labelled_frames` is '8', expected a whole number >= 0"),
        ({"staleness_histogram": [0, -1]}, "`staleness_histogram` is -1, expected a whole number >= 0"),
        ({"labelled_frames": 7}, "`staleness_histogram` holds 8 frames, expected at most 7"),
    ],
)
def test_records_of_statistics_that_are_refused(changes: dict, message: str) -> None:
    assert StreamStatistics.from_dict(RECORD).labelled_frames == 8
    with pytest.raises(ConfigError, match=f"^{message}$"):
        StreamStatistics.from_dict(RECORD | changes)


@pytest.mark.parametrize(
    ("latency", "text"),
    [
        (None, ""),
        (76, ""),
        (LatencyTrace([50]), ""),
        (LatencyTrace([50], replay="random"), ""),
        (LatencyTrace([50, 60]), ", 2 latencies by call"),
        (LatencyTrace([50, 60, 70], replay="frame"), ", 3 latencies by frame"),
        (LatencyTrace([50] * 1200, replay="random"), ", 1,200 latencies at random, seed 7"),
    ],
)
def test_what_a_signature_says_of_a_stream(latency: LatencyTrace | None, text: str) -> None:
    assert stream_text(StreamConfig(workers=2), latency, 7) == f"2 workers, queue 1{text}"


def test_clips_are_simulated_each_from_the_beginning() -> None:
    # 195 ms, then 50: frames 0, 3, 4, 5, ... are ready at 195, 245, 295, 350, ..., so - - - - 0 4 5 6 are on screen
    lengths, labelled = {"a": 8, "b": 8, "c": 3}, {"a": [4, 6], "b": [5], "c": [2]}
    trace = LatencyTrace([195] + [50] * 5)
    schedules = simulate_clips(trace, None, lengths, labelled, fps=D, seed=0)
    assert list(schedules) == ["a", "b", "c"]
    assert {name: schedule.label_frame.tolist() for name, schedule in schedules.items()} == labelled
    assert [schedule.source.tolist() for schedule in schedules.values()] == [[0, 5], [4], [-1]]


def test_clips_of_equal_length_share_a_schedule_unless_latencies_are_drawn() -> None:
    lengths, labelled = {"a": 60, "b": 60}, {"a": range(60), "b": range(60)}
    options = {"lengths": lengths, "labelled": labelled, "fps": D, "seed": 3}
    for trace in (LatencyTrace([50], replay="random"), LatencyTrace([50, 400] * 30)):
        same = simulate_clips(trace, None, **options)
        assert same["a"] is same["b"]
    drawn = LatencyTrace([50, 400], replay="random")
    clips = simulate_clips(drawn, StreamConfig(workers=2), **options)
    for name, schedule in clips.items():
        alone = simulate_stream(drawn, StreamConfig(workers=2), num_frames=60, fps=D, seed=3, sequence=name)
        assert schedule.source.tolist() == alone.source.tolist()
    assert clips["a"].source.tolist() != clips["b"].source.tolist()


def test_the_log_knows_when_frames_and_labels_come():
    log = simulate_stream(20, num_frames=3, fps=30, label_times_ms=[0.5, 70]).log
    assert log.arrival_ns.tolist() == [0, 33_333_333, 66_666_667]
    assert log.label_ns.tolist() == [500_000, 70_000_000]
    log = simulate_stream(20, StreamConfig(extra_latency_ms=5), arrivals_ms=[1, 2]).log
    assert log.arrival_ns.tolist() == log.label_ns.tolist() == [1_000_000, 2_000_000]


@pytest.mark.parametrize(
    ("latency", "options", "workers"),
    [
        (195, DROP, [0, 0, 0, 0]),
        (150, {"workers": 2, "queue": 1}, [0, 1, 0, 1, 0, 1, 0, 1, 0]),
        (195, EVERY, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]),
        (50, {"workers": 3}, [0] * 10),
        (60, {"workers": 3}, [0] * 10),  # free just when the next frame arrives
        (60.0005, {"workers": 3}, [0] * 10),  # the same time
        (60.001, {"workers": 3}, [0] * 10),
        (60.002, {"workers": 3}, [0, 1] * 5),
        (0, EVERY, [0] * 10),
    ],
)
def test_workers_are_the_first_that_are_free(latency, options, workers):
    assert simulate_stream(latency, StreamConfig(**options), num_frames=10, fps=D).log.worker.tolist() == workers


# ── ties, to the nanosecond ──


def ms(nanoseconds: int) -> Fraction:
    return Fraction(nanoseconds, 10**6)


@pytest.mark.parametrize(
    ("tie", "latency_ns", "source"),
    [
        ("inclusive", 60_001_000, [-1, 0]),
        ("inclusive", 60_001_001, [-1, -1]),
        ("strict", 59_998_999, [-1, 0]),
        ("strict", 59_999_000, [-1, -1]),
    ],
)
def test_results_that_are_ready_just_when_they_are_asked_for(tie: str, latency_ns: int, source: list[int]) -> None:
    schedule = simulate_stream(ms(latency_ns), StreamConfig(tie=tie), num_frames=2, fps=D)
    assert schedule.source.tolist() == source


@pytest.mark.parametrize(("label_ns", "frame"), [(59_998_999, 0), (59_999_000, 1), (60_000_000, 1)])
def test_labels_just_before_a_frame_are_of_that_frame(label_ns: int, frame: int) -> None:
    schedule = simulate_stream(1, num_frames=3, fps=D, label_times_ms=[ms(label_ns)])
    assert schedule.label_frame.tolist() == [frame]


@pytest.mark.parametrize(
    ("latency_ns", "frames"), [(119_998_999, [0, 1, 3]), (119_999_000, [0, 2, 3]), (120_001_000, [0, 2, 3])]
)
def test_a_worker_that_is_free_just_before_a_frame_takes_it(latency_ns: int, frames: list[int]) -> None:
    assert simulate_stream(ms(latency_ns), num_frames=4, fps=D).log.frame.tolist() == frames


@pytest.mark.parametrize(
    ("latency_ns", "starts"),
    [
        (60_000_500, [0, 60_000_000, 120_000_000, 180_000_000]),
        (60_001_000, [0, 60_000_000, 120_000_000, 180_000_000]),
        (60_001_001, [0, 60_001_001, 120_002_002, 180_003_003]),
    ],
)
def test_a_worker_that_is_free_just_after_a_frame_loses_no_time(latency_ns: int, starts: list[int]) -> None:
    assert simulate_stream(ms(latency_ns), num_frames=4, fps=D).log.start_ns.tolist() == starts


@pytest.mark.parametrize(
    ("arrivals_ns", "latency_ns", "overruns"),
    [
        ([0, 60_000_000, 120_000_000], 60_000_000, 0),
        ([0, 60_000_000, 120_000_000], 60_001_000, 0),
        ([0, 60_000_000, 120_000_000], 60_001_001, 3),
        ([0, 100_000_000, 110_000_000], 50_000_000, 2),  # the interval of the last frame is that before it
        ([0, 10_000_000, 110_000_000], 50_000_000, 1),
        ([0], 50_000_000, 0),
        ([], 50_000_000, 0),
    ],
)
def test_overruns_by_hand(arrivals_ns: list[int], latency_ns: int, overruns: int) -> None:
    arrivals = [ms(arrival) for arrival in arrivals_ns]
    schedule = simulate_stream(ms(latency_ns), StreamConfig(workers=None), arrivals_ms=arrivals)
    assert schedule.log.overruns == overruns


def test_what_is_empty_is_of_integers_too() -> None:
    for schedule in (
        simulate_stream(50, num_frames=0, fps=D),
        simulate_stream(50, num_frames=2, fps=D, label_times_ms=[]),
    ):
        log = schedule.log
        arrays = (log.frame, log.start_ns, log.finish_ns, log.dropped, log.arrival_ns, log.label_ns)
        assert {array.dtype for array in (*arrays, schedule.label_frame, schedule.source)} == {np.dtype(np.int64)}


def test_draws_are_those_of_seed_0_unless_another_is_given() -> None:
    trace = LatencyTrace([50, 400], replay="random")
    usual, first, second = (
        simulate_stream(trace, num_frames=60, fps=D, **seed) for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert usual.source.tolist() == first.source.tolist()
    assert usual.source.tolist() != second.source.tolist()
