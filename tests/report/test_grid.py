"""The grid of a report: every number is what the library says when it is asked directly."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from flame_metric import ConfigError, LatencyTrace, OffsetBank, StateError, StreamConfig, frame_offset
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.report.grid import make_grid
from flame_metric.report.sentences import remarks
from flame_metric.report.text import command_of
from flame_metric.scores.evaluation import Evaluation
from report_inputs import FPS, Small

RATE = Fraction(FPS)


def shows_anything(bank: OffsetBank, latency) -> bool:
    return any(one.shown.any() for one in bank.schedules(latency).values())


@pytest.fixture(scope="module")
def grid():
    return make_grid({"net": Small().evaluation()})


def stale(bank: OffsetBank, latency, config: StreamConfig | None = None) -> int:
    """How old a prediction the stream shows at most."""
    return max(int(one.staleness.max()) for one in bank.schedules(latency, config).values())


def test_the_grid_has_round_latencies_and_slower_cameras(grid) -> None:
    assert grid.every == (1, 2, 3, 4)
    assert grid.scales == (Fraction(1, 4), Fraction(1, 2), 1, 2, 4)
    assert grid.stops_ms[:3] == (0, 10, 20)
    assert grid.stops_ms[-1] == 360  # six frames of 60 ms


def test_every_setting_is_what_the_bank_says(grid) -> None:
    bank, (network,) = Small().bank(), grid.networks
    known = 0
    for every in grid.every:
        slower = bank.every(every)
        for scale in grid.scales:
            for stop in (None, *grid.stops_ms[::3]):
                latency_ms = scale * (130 if stop is None else stop)
                found = grid.setting(network, every, scale, stop)
                offset = frame_offset(latency_ms, RATE / every)
                assert found.frame_offset == offset
                if offset > slower.max_offset:
                    assert found.flame is None
                    assert found.persistence is None
                else:
                    known += 1
                    expected = slower.score(latency_ms=latency_ms)
                    assert np.array_equal(found.flame.counts, expected.counts)
                    late = slower.score(latency_ms=latency_ms, persistence=True)
                    assert np.array_equal(found.persistence.counts, late.counts)
                assert np.array_equal(found.static.counts, slower.score(frame_offset=0).counts)
                if stale(slower, latency_ms) > slower.max_offset or not shows_anything(slower, latency_ms):
                    assert found.streaming is None
                else:
                    assert np.array_equal(found.streaming.counts, slower.stream(latency_ms).counts)
    assert known > 60


def test_the_own_setting_is_the_evaluation(grid) -> None:
    (network,) = grid.networks
    found, evaluation = grid.setting(network, 1, Fraction(1), None), network.evaluation
    assert found.flame is evaluation.flame
    assert found.static is evaluation.static
    assert found.streaming is evaluation.streaming.result
    assert found.persistence is evaluation.persistence


def test_a_trace_is_replayed_everywhere() -> None:
    trace = LatencyTrace([40, 70, 70, 75, 190], replay="random")
    bank = Small(max_offset=13).bank()
    evaluation = evaluate_bank(bank, trace=trace, seed=3)
    grid = make_grid({"net": evaluation}, traces={"net": trace}, seed=3)
    (network,) = grid.networks
    for scale, stop, factor in ((1, 140, Fraction(2)), (Fraction(1, 2), None, Fraction(1, 2)), (2, 35, Fraction(1))):
        expected = bank.stream(trace.scaled(factor), seed=3)
        found = network.setting(1, Fraction(scale) * (trace.median_ns if stop is None else stop * 10**6))
        assert np.array_equal(found.streaming.counts, expected.counts)
    own = grid.setting(network, 1, Fraction(1), None)
    assert np.array_equal(own.streaming.counts, bank.stream(trace, seed=3).counts)
    assert network.setting(1, Fraction(0)).streaming.miou == bank.score(frame_offset=0).miou


def test_other_streams_and_frames_before_the_first_output() -> None:
    config = StreamConfig(workers=2, tie="strict")
    small = Small()
    evaluation = evaluate_bank(small.bank(), latency_ms=130, stream=config, before_first="void")
    grid = make_grid({"net": evaluation})
    found = grid.setting(grid.networks[0], 2, Fraction(1), 100)
    slower = small.bank().every(2)
    expected = slower.stream(100, config, before_first="void")
    assert np.array_equal(found.streaming.counts, expected.counts)
    assert np.array_equal(found.flame.counts, slower.score(latency_ms=100, before_first="void").counts)


def test_a_stream_is_scored_where_the_evaluation_has_none() -> None:
    evaluation = replace(Small().evaluation(), streaming=None)
    grid = make_grid({"net": evaluation}, stream=StreamConfig(workers=None))
    own = grid.setting(grid.networks[0], 1, Fraction(1), None)
    assert own.streaming.miou == own.flame.miou  # workers without end: the fixed offset


def test_with_a_curve_alone_there_is_flame_at_other_latencies() -> None:
    small = Small()
    evaluation = replace(evaluate_bank(small.bank(), latency_ms=130, max_offset=4), bank=None)
    grid = make_grid({"net": evaluation})
    assert grid.every == (1,)
    assert grid.stops_ms[-1] == 240
    found = grid.setting(grid.networks[0], 1, Fraction(1), 200)
    assert found.flame.miou == small.bank().score(frame_offset=4).miou
    assert found.persistence.miou == small.bank().score(frame_offset=4, persistence=True).miou
    assert found.streaming is None


def test_with_neither_there_is_what_was_measured() -> None:
    evaluation = replace(Small().evaluation(), bank=None)
    grid = make_grid({"net": evaluation})
    assert (grid.every, grid.scales, grid.stops_ms) == ((1,), (1,), ())
    assert grid.setting(grid.networks[0], 1, Fraction(1), None).flame is evaluation.flame
    assert grid.setting(grid.networks[0], 1, Fraction(1), 10) is None


def test_a_result_that_was_read_back_and_its_bank(tmp_path) -> None:
    evaluation = Small().evaluation()
    read = replace(Evaluation.from_json(evaluation.to_json()), bank=evaluation.bank)
    found, expected = (make_grid({"net": one}) for one in (read, evaluation))
    for stop in (None, 20, 250):
        first, second = (grid.setting(grid.networks[0], 1, Fraction(2), stop) for grid in (found, expected))
        assert first.frame_offset == second.frame_offset
        assert first.flame is None if second.flame is None else first.flame.miou == second.flame.miou


def test_another_recorded_rate_than_the_bank_s() -> None:
    """A bank may have none, or a wrong one."""
    evaluation = evaluate_bank(Small().bank(), latency_ms=130, recorded_fps=10)
    evaluation = replace(evaluation, bank=Small().bank())
    grid = make_grid({"net": evaluation})
    (network,) = grid.networks
    assert grid.stops_ms[-1] == 600
    found = grid.setting(network, 2, Fraction(1), 300)
    assert found.frame_offset == 2  # at 5 fps
    assert found.flame.miou == Small().bank().every(2).score(frame_offset=2).miou
    assert found.streaming.miou == Small().bank().stream(300, fps=5, recorded_fps=10).miou
    assert command_of(network, 2, Fraction(300_000_000)).endswith("--recorded-fps 10 --every 2 --workers 1 --queue 1")


def test_a_trace_by_frame_is_replayed_only_on_the_frames_that_it_is_of() -> None:
    trace = LatencyTrace(range(100, 120), replay="frame")
    evaluation = evaluate_bank(Small().bank(), trace=trace)
    (network,) = make_grid({"net": evaluation}, traces={"net": trace}).networks
    own = Fraction(trace.median_ns)
    assert network.setting(1, own / 2).streaming is not None
    assert network.setting(2, own).streaming is None
    assert network.setting(2, own).flame is not None


def test_a_result_of_another_camera_than_the_bank_s() -> None:
    """Settings of the page are those of bank and command, whatever camera the result is of."""
    bank = Small(max_offset=8).bank()
    evaluation = replace(evaluate_bank(bank, latency_ms=130, fps="25/3"), bank=bank)
    (network,) = make_grid({"net": evaluation}).networks
    found = network.setting(2, Fraction(300_000_000))
    assert found.flame.signature == bank.score(frame_offset=2, fps="25/6").signature
    assert found.streaming.miou == bank.stream(300, fps="25/6").miou
    assert network.setting(1, Fraction(0)).flame.miou == bank.score(latency_ms=0, fps="25/3").miou
    assert "--latency-ms 300 --every 4 --workers" in command_of(network, 2, Fraction(300_000_000))
    with pytest.raises(ConfigError, match=r"the bank of net is that of a camera which takes frames 0, 3, 6, \.\."):
        make_grid({"net": replace(evaluation, bank=bank.every(3))})


def test_an_offset_stands_for_its_longest_latency() -> None:
    evaluation = evaluate_bank(Small().bank(), frame_offset=2)
    (network,) = make_grid({"net": evaluation}).networks
    assert network.trace.median_ms == 120
    assert network.setting(1, Fraction(60_000_000)).frame_offset == 1


def test_a_label_in_the_middle_of_a_clip_leaves_only_cameras_that_take_it() -> None:
    bank = OffsetBank(2, max_offset=3, fps=10)
    for clip in "ab":
        bank.update_sequence([[[0, 1]]] * 12, [None] * 9 + [[[0, 1]]] + [None] * 2, sequence=clip)
    grid = make_grid({"net": evaluate_bank(bank, latency_ms=100)})
    assert grid.every == (1, 3)  # frame 9
    assert "on the same scene: m = 3. Only labels on those frames count." in " ".join(remarks(grid, has_frames=True))


def test_progress_counts_settings() -> None:
    calls: list[tuple[int, int]] = []
    make_grid({"net": Small().evaluation()}, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (760, 760)  # 4 cameras, 5 kinds of hardware, 37 stops and the network's own
    assert [done for done, _ in calls] == list(range(1, 761))


def test_the_best_network() -> None:
    grid = make_grid({"a": Small(0.3).evaluation(20), "b": Small(0.1).evaluation(170)})
    assert grid.best(1, Fraction(1), None)[0] == "a"
    name, miou = grid.best(1, Fraction(1), 100)
    assert (name, miou) == ("b", Small(0.1).bank().score(frame_offset=2).miou)
    assert grid.best(1, Fraction(4), None) is None  # 680 ms lie beyond the bank of b


# ── what does not belong together ──


def test_errors() -> None:
    small = Small()
    evaluation = small.evaluation()
    with pytest.raises(ConfigError, match="`evaluations` is empty, expected one or more networks"):
        make_grid({})
    with pytest.raises(ConfigError, match="`traces` has 'other', expected some of net"):
        make_grid({"net": evaluation}, traces={"other": LatencyTrace([1])})
    with pytest.raises(
        ConfigError, match=r"the trace of net has a median of 76.0 ms, but its result was scored with 130.0 ms"
    ):
        make_grid({"net": evaluation}, traces={"net": LatencyTrace([76])})
    with pytest.raises(StateError, match="the bank of net gives other counts than its result"):
        make_grid({"net": replace(evaluation, bank=Small(0.4).bank())})
    with pytest.raises(StateError, match="the bank of net gives other counts"):
        make_grid({"net": replace(evaluation, bank=Small(clips=("x", "y", "z")).bank())})
    with pytest.raises(ConfigError, match=r"ends at an offset of 2 frames, but its result has k = 3"):
        make_grid({"net": replace(evaluation, bank=Small(max_offset=2).bank())})
