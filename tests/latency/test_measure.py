"""Measuring with a clock that the test moves: what is called when, what is kept, and what is put back afterwards."""

import gc
import itertools
import json
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest

from flame_metric import ConfigError, FlameWarning, LatencyTrace, StateError, frame_offset, measure_latency
from flame_metric.latency.measure import WINDOW
from flame_metric.latency.runner import Runner
from flame_metric.latency.timers import HostTimer, Sample

MS = 1_000_000
TODAY = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


class World:
    """A clock that stands still but for calls, which take what the table says (then its last entry), and sleep."""

    def __init__(self, table_ms: Iterable[float]) -> None:
        self.now = 0
        self._table = iter(table_ms)
        self._last = 0.0
        self.calls: list[tuple[int, object]] = []
        self.slept: list[float] = []

    def run(self, item: object) -> int:
        self.calls.append((self.now, item))
        self._last = next(self._table, self._last)
        self.now += round(self._last * MS)
        return 0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += round(seconds * 1e9)

    def measure(self, inputs: Iterable[object] = "abcd", **options: object) -> LatencyTrace:
        timer = HostTimer(clock=lambda: self.now)
        given = {"timer": timer, "sleep": self.sleep, "today": lambda: TODAY}
        return measure_latency(self.run, inputs, **given | options)


def run_of(trace: LatencyTrace) -> dict:
    (run,) = trace.metadata["provenance"]
    return run


# ── warm-up ──


def test_a_steady_network_is_warm_after_twice_the_window() -> None:
    trace = World([5]).measure(samples=3)
    assert len(trace.warmup_ns) == 2 * WINDOW == 20
    assert trace.samples_ns == (5 * MS,) * 3


@pytest.mark.parametrize(
    ("table", "number"),
    [
        ([900] + [5] * 40, 20),  # one slow call among ten does not move a median
        ([10] * 10 + [9.8] * 40, 20),  # just 2 % less
        ([10] * 10 + [10.2] * 40, 20),
        ([10] * 10 + [9.7] * 40, 25),  # 3 % less: five of each in the window before have the median 9.85, near enough
        ([20] * 8 + [10] * 40, 24),  # the window before begins at 4: six of its ten are of the new speed
        (list(range(100, 10, -1)), 105),  # steady from 89 on: six of those in the window before, 85 to 94
    ],
)
def test_warm_up_by_hand(table: list[float], number: int) -> None:
    world = World(table)
    trace = world.measure(samples=1, warmup_cap_s=3600)
    assert len(trace.warmup_ns) == number
    assert run_of(trace)["warmup_settled"] is True
    expected = [*table, *[table[-1]] * number][:number]
    assert [sample / MS for sample in trace.warmup_ns] == pytest.approx(expected)


def test_more_warm_up_on_demand() -> None:
    assert len(World([5]).measure(samples=1, warmup=37).warmup_ns) == 37


def test_warm_up_ends_after_20_seconds_with_a_warning() -> None:
    table = [100 * 1.05**i for i in range(200)]  # 5 % slower each time
    world = World(table)
    with pytest.warns(
        FlameWarning, match=r"not settled in 20 s of warm-up \(50 calls, median .* ms and, of the last 10"
    ):
        trace = world.measure(samples=1)
    # the first call does not count: the others sum to just over 20 s
    total = list(itertools.accumulate(table[1:]))
    assert len(trace.warmup_ns) == 2 + next(index for index, value in enumerate(total) if value >= 20_000)
    assert run_of(trace)["warmup_settled"] is False


def test_compilation_is_in_the_first_call_and_does_not_count_against_the_time() -> None:
    trace = World([90_000, 5]).measure(samples=4)
    assert trace.warmup_ns[0] == 90_000 * MS
    assert len(trace.warmup_ns) == 20
    assert set(trace.samples_ns) == {5 * MS}


def test_ten_calls_are_made_however_slow() -> None:
    with pytest.warns(FlameWarning, match=r"not settled in 20 s of warm-up \(10 calls\)"):
        trace = World([7_000]).measure(samples=1)
    assert len(trace.warmup_ns) == 10


def test_a_cold_start_is_the_first_sample() -> None:
    trace = World([900, 5]).measure(samples=2, warmup=0, warmup_cap_s=0)
    assert trace.samples_ns == (900 * MS, 5 * MS)
    assert trace.warmup_ns == ()


# ── samples ──


def test_all_samples_in_order_and_nothing_discarded() -> None:
    table = [5] * 20 + [5, 6, 5000, 4, 7]
    trace = World(table).measure(samples=5)
    assert [sample / MS for sample in trace.samples_ns] == table[20:]
    assert trace.replay == "call"
    assert trace.median_ms == 6  # FLAME's l, which one stray call does not move
    assert frame_offset(trace.median_ms, 200) == 2


def test_default_is_200_samples() -> None:
    assert len(World([5]).measure()) == 200


def test_no_sample_is_begun_after_60_seconds() -> None:
    trace = World([700]).measure()
    assert len(trace) == 86  # 85 of them end at 59.5 s
    assert (run_of(trace)["samples"], run_of(trace)["samples_wanted"]) == (86, 200)


def test_at_least_30_samples_however_slow() -> None:
    with pytest.warns(FlameWarning, match="not settled"):
        assert len(World([5_000]).measure()) == 30
    with pytest.warns(FlameWarning, match="not settled"):
        assert len(World([5_000]).measure(samples=7)) == 7
    with pytest.warns(FlameWarning, match="not settled"):
        assert len(World([5_000]).measure(min_samples=3, time_cap_s=0)) == 3


def test_inputs_take_turns() -> None:
    world = World([5])
    world.measure("abcde", samples=4)
    assert "".join(item for _, item in world.calls) == "abcde" * 4 + "abcd"


def test_progress_is_told_between_calls() -> None:
    told: list[tuple[int, int]] = []
    World([5]).measure(samples=3, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3)] * 20 + [(1, 3), (2, 3), (3, 3)]


# ── pacing ──


def test_calls_wait_for_the_next_frame() -> None:
    world = World([20])
    trace = world.measure(samples=3, pace_fps=10)
    assert [time // MS for time, _ in world.calls] == [100 * frame for frame in range(23)]
    assert world.slept == pytest.approx([0.08] * 22)
    assert set(trace.samples_ns) == {20 * MS}
    assert trace.metadata["pacing"] == "10 fps"


def test_frames_that_arrive_during_a_call_are_missed() -> None:
    world = World([20, 150, 100, 250, 0, 0, 20])
    world.measure(samples=1, pace_fps=10)
    # 150 ms from frame 1: frame 2 is missed. 100 ms from frame 3: frame 4 arrives just then. A call of no time at all
    # is not made twice on one frame.
    assert [time // MS for time, _ in world.calls][:8] == [0, 100, 300, 400, 700, 800, 900, 1000]


def test_pacing_is_exact_over_many_frames() -> None:
    world = World([1])
    world.measure(samples=3000, pace_fps="30000/1001", time_cap_s=1000)
    starts = [time for time, _ in world.calls]
    exact = [frame * Fraction(1001, 30000) * 10**9 for frame in range(len(starts))]
    assert max(abs(start - time) for start, time in zip(starts, exact, strict=True)) < 2


# ── inputs ──


def test_few_or_equal_inputs_are_refused_unless_allowed() -> None:
    frame = np.arange(6)
    for inputs, found in (([frame], "1 input(s), 1"), ([frame] * 8, "8 input(s), 1"), ([], "0 input(s), 0")):
        with pytest.raises(ConfigError) as raised:
            World([5]).measure(inputs)
        assert f"`inputs` holds {found} of them distinct, expected at least 4" in str(raised.value)
    assert len(World([5]).measure([frame], min_inputs=1, samples=3)) == 3
    assert len(World([5]).measure([frame, frame.astype(float)], min_inputs=2, samples=3)) == 3  # 0 and 0.0 differ


@pytest.mark.parametrize("container", [lambda frame: frame, lambda frame: (frame, "x"), lambda frame: {"a": [frame]}])
def test_a_changed_input_is_found_and_named(container: Callable[[np.ndarray], object]) -> None:
    frames = list(np.arange(24.0).reshape(4, 6))
    inputs = [container(frame) for frame in frames]

    def normalise_in_place(_: object, turn: Iterable[int] = itertools.count()) -> np.ndarray:
        if next(turn) == 6:
            frames[2] -= 1
        return frames[0]

    with pytest.raises(ConfigError, match=r"after 20 calls inputs\[2\] is not what it was.*work on a copy"):
        measure_latency(normalise_in_place, inputs, timer=HostTimer(clock=lambda: 0))


def test_an_input_that_changes_later_is_found_too() -> None:
    frames = np.arange(24).reshape(4, 6)
    turn = itertools.count()

    def run(_: object) -> int:
        if next(turn) == 22:
            frames[0, 0] = 9
        return 0

    with pytest.raises(ConfigError, match=r"after 25 calls inputs\[0\]"):
        measure_latency(run, frames, timer=HostTimer(clock=lambda: 0), samples=5)


def test_inputs_that_cannot_be_compared_are_said() -> None:
    with pytest.warns(FlameWarning, match="`inputs` holds a object, whose content cannot be compared"):
        trace = World([5]).measure([object() for _ in range(4)], samples=2)
    assert trace.metadata["inputs"] == {"number": 4, "kinds": ["object"]}


def test_a_tensor_on_another_device_needs_a_timer_that_waits() -> None:
    class Tensor:
        device = type("Device", (), {"type": "cuda", "__str__": lambda _: "cuda:0"})()

        def detach(self) -> None:
            raise AssertionError("nothing is copied before the check")

    with pytest.raises(ConfigError, match=r"`inputs\[0\]` lies on cuda:0, for which HostTimer does not wait"):
        World([5]).measure([Tensor()] * 4)


# ── what surrounds the calls ──


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_rests_and_is_as_before(enabled: bool) -> None:
    seen = set()
    gc.enable() if enabled else gc.disable()
    try:
        measure_latency(
            lambda _: seen.add(gc.isenabled()) or 0, "abcd", timer=HostTimer(clock=lambda: 0), samples=3, min_samples=3
        )
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert seen == {False}


def test_the_garbage_collector_is_as_before_when_a_call_fails() -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure_latency(fail, "abcd")
    assert gc.isenabled()


def test_the_output_is_freed_after_the_clock_has_stopped() -> None:
    events = []

    class Output:
        def __del__(self) -> None:
            events.append("freed")

    def clock() -> int:
        events.append("clock")
        return 0

    HostTimer(clock=clock).time(lambda _: Output(), None)
    assert events == ["clock", "clock", "freed"]


def test_a_runner_prepares_and_surrounds() -> None:
    world, events = World([5]), []

    class Context:
        def __enter__(self) -> None:
            events.append("in")

        def __exit__(self, *_: object) -> None:
            events.append("out")

    def prepare(item: str) -> str:
        events.append(item)
        return item.upper()

    timer = HostTimer(clock=lambda: world.now)
    runner = Runner(world.run, "forward", timer, prepare, Context, lambda: {"dtype": "float32"})
    trace = measure_latency(runner, "abcd", samples=2, today=lambda: TODAY)
    assert events == ["in", *"abcd", "out"]
    assert {item for _, item in world.calls} == set("ABCD")
    assert (trace.metadata["boundary"], trace.metadata["dtype"]) == ("forward", "float32")
    events.clear()
    assert Runner(str.lower, prepare=prepare, context=Context)("x") == "x"
    assert events == ["in", "x", "out"]


class DeviceTimer:
    """A device whose own clock says half of what the host says."""

    device = "npu"

    def __init__(self, world: World) -> None:
        self.world = world

    def now_ns(self) -> int:
        return self.world.now

    def time(self, run: Callable[[object], object], item: object) -> Sample:
        start = self.world.now
        run(item)
        return Sample(self.world.now - start, (self.world.now - start) // 2)

    def describe(self) -> dict:
        return {"device": "NPU 3000"}


def test_a_device_adds_its_own_time_and_its_name() -> None:
    world = World([8])
    trace = world.measure(samples=3, timer=DeviceTimer(world))
    assert run_of(trace)["device_ns"] == [4 * MS] * 3
    assert trace.metadata["device"] == "NPU 3000"
    with pytest.raises(ConfigError, match="`timer` is a HostTimer, which does not wait for npu"):
        measure_latency(Runner(world.run, timer=DeviceTimer(world)), "abcd", timer=HostTimer())


# ── metadata ──


def test_metadata_is_json_and_says_what_was_measured() -> None:
    frames = np.zeros((4, 3, 8, 16), np.float32) + np.arange(4)[:, None, None, None]
    trace = World([5]).measure(frames, samples=2, boundary="camera to screen", metadata={"network": "SwiftNet"})
    metadata = json.loads(json.dumps(dict(trace.metadata), allow_nan=False))
    names = [
        "host",
        "system",
        "processor",
        "cores",
        "thread_limits",
        "python",
        "numpy",
        "inputs",
        "boundary",
        "pacing",
        "network",
        "provenance",
    ]
    assert list(metadata) == names
    assert metadata["inputs"] == {"number": 4, "kinds": ["float64 (3, 8, 16)"]}
    assert (metadata["boundary"], metadata["pacing"], metadata["network"]) == ("camera to screen", None, "SwiftNet")
    assert metadata["processor"]
    assert metadata["cores"] >= 1
    run = metadata["provenance"][0]
    assert run["measured_at"] == "2030-01-02T03:04:05+00:00"
    assert (run["warmup_calls"], run["warmup_settled"], run["device_ns"]) == (20, True, [])
    assert LatencyTrace.from_json(trace.to_json()) == trace


def test_default_boundary_is_the_call() -> None:
    assert World([5]).measure(samples=1).metadata["boundary"] == "call"


def test_like_runs_at_other_times_merge() -> None:
    first = World([5]).measure(samples=2)
    second = World([6]).measure(samples=3, today=lambda: datetime(2031, 1, 1, tzinfo=UTC))
    merged = first.merge(second)
    assert [sample / MS for sample in merged.samples_ns] == [5, 5, 6, 6, 6]
    assert [run["measured_at"][:4] for run in merged.metadata["provenance"]] == ["2030", "2031"]
    with pytest.raises(StateError, match="boundary: call / forward"):
        first.merge(World([5]).measure(samples=2, boundary="forward"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "`samples` is 0"),
        ({"warmup": -1}, "`warmup` is -1, expected a whole number of calls >= 0"),
        ({"min_samples": 0}, "`min_samples` is 0"),
        ({"min_inputs": 0}, "`min_inputs` is 0"),
        ({"warmup_cap_s": -1}, "`warmup_cap_s` is -1, expected a number of seconds >= 0"),
        ({"time_cap_s": float("nan")}, "`time_cap_s` is nan"),
        ({"pace_fps": 0}, "`fps` is 0"),
        (
            {"metadata": {"python": "4"}},
            r"`metadata` holds python, expected names that the measurement does not fill in",
        ),
        ({"metadata": {"provenance": []}}, "`metadata` holds provenance"),
        ({"metadata": {"net": object()}}, "`metadata` holds what JSON does not know"),
    ],
)
def test_options_that_are_refused_before_the_first_call(options: dict, message: str) -> None:
    world = World([5])
    with pytest.raises(ConfigError, match=message):
        world.measure(**options)
    assert world.calls == []


def test_the_real_clock() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)  # a busy machine may not settle
        trace = measure_latency(np.sort, np.random.default_rng(0).random((4, 100)), samples=5, warmup_cap_s=1)
    assert len(trace) == 5
    assert all(sample > 0 for sample in trace.samples_ns)
    assert datetime.fromisoformat(run_of(trace)["measured_at"]).tzinfo is not None
