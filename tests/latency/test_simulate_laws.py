"""Streams against an event-by-event simulation, and the laws that every schedule obeys."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_simulation import TIE, Run, Tail, on_screen, serve
from flame_metric import ConfigError, Schedule, frame_offset
from flame_metric.latency.simulate import StreamConfig, simulate_stream
from flame_metric.latency.trace import LatencyTrace
from laws import examples

RATES = [Fraction(rate) for rate in ("15", "17", "50/3", "24", "25", "30", "30000/1001", "60")]
D = 60 * 10**6  # 50/3 fps, in nanoseconds
LATENCY_OFFSETS = [0, 0, 0, 1, -1, 500, -500, TIE, -TIE, TIE + 1, -TIE - 1]
JITTERS = [0, 0, 1, -1, TIE, -TIE, TIE + 1, -TIE - 1]
WORKERS = [1, 1, 2, 3, 4, None]
QUEUES = [1, 1, 2, 3, 4, None]


def interval(rate: Fraction) -> Fraction:
    return 10**9 / rate


def regular(count: int, rate: Fraction) -> list[int]:
    return [round(frame * interval(rate)) for frame in range(count)]


def ms(time_ns: float | Fraction) -> Fraction:
    return Fraction(time_ns) / 10**6


def floats(times_ns: list[int]) -> list[float]:
    return [time / 1e6 for time in times_ns]


@dataclass(frozen=True)
class Case:
    """One stream, in integer nanoseconds. Without arrivals: ``count`` regular ones at ``rate``."""

    rate: Fraction
    count: int
    latencies: tuple[int, ...]  # one: constant
    replay: str = "call"
    arrivals: tuple[int, ...] | None = None
    labels: tuple[int, ...] | None = None
    extra: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def times(self) -> list[int]:
        return regular(self.count, self.rate) if self.arrivals is None else list(self.arrivals)

    def latency_of(self, call: int, frame: int) -> int:
        if len(self.latencies) == 1:
            return self.latencies[0]
        return self.latencies[frame if self.replay == "frame" else call]

    @property
    def tail(self) -> Tail | None:
        if self.options.get("policy") != "tail":
            return None
        return Tail(interval(self.rate), Fraction(sum(self.latencies), len(self.latencies)))

    def events(self) -> tuple[list[Run], list[int]]:
        keys = {"workers": 1, "queue": 1, "stride": 1}
        return serve(
            self.times,
            self.latency_of,
            tail=self.tail,
            **{key: self.options.get(key, default) for key, default in keys.items()},
        )

    def simulated(self) -> Schedule:
        latency = (
            ms(self.latencies[0])
            if len(self.latencies) == 1
            else LatencyTrace.from_ns(self.latencies, replay=self.replay)
        )
        stream: dict[str, Any] = (
            {"num_frames": self.count, "fps": self.rate}
            if self.arrivals is None
            else {"arrivals_ms": floats(list(self.arrivals))}
        )
        if self.labels is not None:
            stream["label_times_ms"] = floats(list(self.labels))
        return simulate_stream(latency, StreamConfig(**self.options, extra_latency_ms=ms(self.extra)), **stream)


def assert_agrees(case: Case) -> Schedule:
    runs, dropped = case.events()
    newest, source = on_screen(
        case.times,
        case.times if case.labels is None else case.labels,
        runs,
        tie=case.options.get("tie", "inclusive"),
        show=case.options.get("show", "freshest"),
        extra=case.extra,
    )
    schedule = case.simulated()
    log = schedule.log
    assert log is not None
    assert log.frame.tolist() == [run.frame for run in runs], case
    assert log.start_ns.tolist() == [run.start for run in runs], case
    assert log.finish_ns.tolist() == [run.finish for run in runs], case
    assert log.dropped.tolist() == dropped, case
    assert schedule.label_frame.tolist() == newest, case
    assert schedule.source.tolist() == source, case
    return schedule


# Against the events


def random_latency(rng: np.random.Generator, d: Fraction) -> int:
    if rng.random() < 0.3:
        return int(rng.integers(0, int(5 * d)))
    part = Fraction(int(rng.integers(0, 10)), int(rng.integers(1, 4)))
    return max(0, round(part * d) + int(rng.choice(LATENCY_OFFSETS)))


def random_latencies(rng: np.random.Generator, d: Fraction, count: int) -> tuple[int, ...]:
    kind = rng.integers(3)
    if kind == 0:
        return (random_latency(rng, d),)
    if kind == 1:  # few values, so that ties repeat
        few = [random_latency(rng, d) for _ in range(2)]
        return tuple(few[choice] for choice in rng.integers(0, 2, count))
    return tuple(random_latency(rng, d) for _ in range(count))


def jittered(rng: np.random.Generator, d: Fraction, count: int) -> tuple[int, ...]:
    """A camera with a late start, jitter and holes."""
    begin = int(d) * int(rng.integers(1, 4)) if rng.random() < 0.7 else TIE + 1
    far = int(d / 3)
    kept = [frame for frame in range(count) if rng.random() < 0.85] or [0]
    times = []
    for frame in kept:
        jitter = int(rng.choice(JITTERS)) if rng.random() < 0.6 else int(rng.integers(0, far))
        times.append(begin + round(frame * d) + jitter)
    return tuple(times)


def around(rng: np.random.Generator, times: list[int]) -> tuple[int, ...]:
    """Labels just before, at and just after some of these times, and one at the very beginning."""
    picked = [int(rng.choice(times)) + int(rng.choice(JITTERS)) for _ in range(8)]
    return tuple(sorted({max(0, time) for time in picked} | {0}))


def random_case(rng: np.random.Generator) -> Case:
    rate = RATES[int(rng.integers(len(RATES)))]
    d = interval(rate)
    count = int(rng.integers(1, 26))
    case = Case(
        rate=rate,
        count=count,
        latencies=random_latencies(rng, d, count),
        replay=("call", "frame")[int(rng.integers(2))],
        arrivals=jittered(rng, d, count) if rng.random() < 0.4 else None,
        extra=int(rng.choice([0, 0, 0, 1, TIE, int(d / 2), int(d), int(rng.integers(0, int(2 * d)))])),
        options={
            "workers": WORKERS[int(rng.integers(len(WORKERS)))],
            "queue": QUEUES[int(rng.integers(len(QUEUES)))],
            "stride": int(rng.choice([1, 1, 2, 3])),
            "tie": ("inclusive", "strict")[int(rng.integers(2))],
            "show": ("freshest", "last_finished")[int(rng.integers(2))],
        },
    )
    kind = rng.integers(4)
    if kind == 0:  # labels at another rate
        step = d * Fraction(int(rng.integers(1, 9)), 3)
        shift = int(rng.integers(0, int(d)))
        labels = tuple(shift + round(label * step) for label in range(12))
    elif kind == 1:
        labels = around(rng, case.times)
    elif kind == 2:  # results that are ready just when they are asked for
        labels = around(rng, [max(0, run.finish - case.extra) for run in case.events()[0]])
    else:
        return case
    return Case(**{**vars(case), "labels": labels})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_thousands_of_streams(seed: int) -> None:
    rng = np.random.default_rng([17, seed])
    for _ in range(1500):
        assert_agrees(random_case(rng))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rate = draw(st.sampled_from(RATES))
    d = interval(rate)
    part = st.builds(Fraction, st.integers(0, 12), st.integers(1, 3))
    latency = st.one_of(
        st.builds(lambda p, o: max(0, round(p * d) + o), part, st.integers(-TIE - 2, TIE + 2)),
        st.builds(lambda p, o: max(0, round(p * d) + o), part, st.sampled_from(LATENCY_OFFSETS)),
        st.integers(0, int(5 * d)),
    )
    count = draw(st.integers(1, 12))
    arrivals = None
    if draw(st.booleans()):
        gaps = st.lists(st.builds(lambda n, o: round(n * d) + o, st.integers(1, 3), st.sampled_from(JITTERS)))
        begin = draw(st.sampled_from([0, 1, TIE, int(d / 2), int(2 * d)]))
        arrivals = tuple(np.cumsum([begin, *draw(gaps)[: count - 1]]).tolist())
        count = len(arrivals)
    near = st.builds(lambda p, o: max(0, round(p * d) + o), part, st.sampled_from(JITTERS))
    labels = draw(st.none() | st.lists(near, unique=True).map(lambda times: tuple(sorted(times))))
    return Case(
        rate=rate,
        count=count,
        latencies=tuple(
            draw(st.lists(latency, min_size=1, max_size=1) | st.lists(latency, min_size=count, max_size=count))
        ),
        replay=draw(st.sampled_from(["call", "frame"])),
        arrivals=arrivals,
        labels=labels,
        extra=draw(st.sampled_from([0, 1, TIE, int(d / 2), int(d)])),
        options={
            "workers": draw(st.sampled_from([1, 2, 3, 4, None])),
            "queue": draw(st.sampled_from([1, 2, 3, 4, None])),
            "stride": draw(st.integers(1, 3)),
            "tie": draw(st.sampled_from(["inclusive", "strict"])),
            "show": draw(st.sampled_from(["freshest", "last_finished"])),
        },
    )


@given(case=cases())
@examples(400)
def test_any_stream(case: Case) -> None:
    assert_agrees(case)


@pytest.mark.parametrize("seed", range(2))
def test_frames_a_few_ties_apart(seed: int) -> None:
    """Arrivals so close that a latency below the tolerance matters."""
    rng = np.random.default_rng([18, seed])
    for _ in range(600):
        count = int(rng.integers(2, 15))
        gaps = rng.choice([2 * TIE + 1, 2 * TIE + 2, 3 * TIE, 5 * TIE], count)
        assert_agrees(
            Case(
                rate=Fraction(10**9, 3 * TIE),
                count=count,
                latencies=tuple(rng.choice([0, 1, 999, TIE, TIE + 1, 2 * TIE, 3 * TIE, 7 * TIE], count).tolist()),
                arrivals=tuple(np.cumsum(gaps).tolist()),
                extra=int(rng.choice([0, 1, TIE])),
                options={
                    "workers": WORKERS[int(rng.integers(len(WORKERS)))],
                    "queue": QUEUES[int(rng.integers(len(QUEUES)))],
                    "tie": ("inclusive", "strict")[int(rng.integers(2))],
                },
            )
        )


@pytest.mark.parametrize("seed", range(2))
def test_tail(seed: int) -> None:
    rng = np.random.default_rng([19, seed])
    for _ in range(500):
        rate = RATES[int(rng.integers(len(RATES)))]
        count = int(rng.integers(1, 26))
        latencies = random_latencies(rng, interval(rate), count)
        options = {"policy": "tail", "tie": ("inclusive", "strict")[int(rng.integers(2))]}
        assert_agrees(Case(rate, count, latencies, options=options))


def li_et_al(latencies: Sequence[Fraction], num_frames: int) -> list[int]:
    """The frames that their scheduler runs, times in frame intervals: it looks at the newest frame, once each."""
    mean, now, last, ran = sum(latencies) / len(latencies), Fraction(0), None, []
    while math.floor(now) < num_frames:
        newest = math.floor(now)
        is_new, last = newest != last, newest
        skips = mean > 1 and mean < math.floor(now - newest + mean)
        if is_new and not skips:
            now += latencies[len(ran)]
            ran.append(newest)
        else:
            now = Fraction(newest + 1)
    return ran


def test_tail_is_that_of_li_et_al() -> None:
    rng = np.random.default_rng(11)
    waited = kept_up = 0
    for _ in range(257):
        num_frames, top = int(rng.integers(5, 40)), int(rng.integers(60, 200))
        latencies = rng.integers(5, top, num_frames).tolist()  # milliseconds, at a frame in 50
        found = {}
        for policy in ("tail", "greedy"):
            log = simulate_stream(
                LatencyTrace(latencies), StreamConfig(policy=policy), num_frames=num_frames, fps=20
            ).log
            found[policy] = log.frame[log.start_ns < num_frames * 50 * 10**6].tolist()  # theirs ends with the camera
        assert found["tail"] == li_et_al([Fraction(latency, 50) for latency in latencies], num_frames)
        waited += found["tail"] != found["greedy"]
        if sum(latencies) <= 50 * num_frames:
            assert found["tail"] == found["greedy"]
            kept_up += found["tail"] != list(range(num_frames))
    assert waited > 100
    assert kept_up > 20  # on average: single frames are dropped


def test_tail_takes_a_frame_where_the_worker_is_free_at_a_multiple_of_the_interval() -> None:
    # 2 d but for a third of a nanosecond; free at 400 ms, which is 6 d: nothing lies before that in an interval
    case = Case(Fraction(15), 6, (133_333_333,), labels=(600_000_000,), options={"policy": "tail"})
    assert case.events()[0][-1] == Run(5, 400_000_000, 533_333_333)
    assert assert_agrees(case).source.tolist() == [5]


def test_tail_that_waits_for_no_frame_ends() -> None:
    schedule = simulate_stream(90, StreamConfig(policy="tail"), num_frames=2, fps="50/3")
    assert (schedule.log.frame.tolist(), schedule.log.dropped.tolist()) == ([0], [1])


def test_the_event_simulation_knows_the_worked_examples() -> None:
    def shown(latency: int, tie: str = "inclusive", **options: Any) -> list[int]:
        times = regular(10, Fraction(50, 3))
        runs, _ = serve(times, lambda call, frame: latency * 10**6, **options)
        return on_screen(times, times, runs, tie=tie, show="freshest", extra=0)[1]

    one: dict[str, Any] = {"workers": 1, "queue": 1}
    tail = Tail(Fraction(D), Fraction(90 * 10**6))
    assert shown(195, **one) == [-1, -1, -1, -1, 0, 0, 0, 3, 3, 3]
    assert shown(195, workers=None, queue=1) == [-1, -1, -1, -1, 0, 1, 2, 3, 4, 5]
    assert shown(90, workers=1, queue=None) == [-1, -1, 0, 1, 1, 2, 3, 3, 4, 5]
    assert shown(90, "strict", **one) == [-1, -1, 0, 0, 1, 3, 3, 4, 6, 6]
    assert shown(90, tail=tail, **one) == [-1, -1, 0, 0, 2, 2, 4, 4, 6, 6]
    assert shown(150, workers=2, queue=1) == [-1, -1, -1, 0, 1, 2, 3, 3, 5, 6]


def test_a_frame_that_arrives_as_a_worker_completes_replaces_the_waiting_one() -> None:
    log = simulate_stream(120, num_frames=5, fps="50/3").log
    assert (log.frame.tolist(), log.dropped.tolist()) == ([0, 2, 4], [1, 3])
    log = simulate_stream(120, StreamConfig(queue=2), num_frames=5, fps="50/3").log
    assert (log.frame.tolist(), log.dropped.tolist()) == ([0, 1, 3, 4], [2])


# Laws


@pytest.mark.parametrize("tie", ["inclusive", "strict"])
@pytest.mark.parametrize("queue", [1, 2, None])
def test_enough_workers_are_the_fixed_offset(queue: int | None, tie: str) -> None:
    rng = np.random.default_rng(20)
    for _ in range(150):
        rate = RATES[int(rng.integers(len(RATES)))]
        latency = random_latency(rng, interval(rate))
        d = interval(rate)
        if tie == "strict" or (d.denominator > 1 and abs(latency % d - TIE) < 2):
            # the offset knows no strict ties; and at the very edge of a tie it sees d, the stream rounded arrivals
            latency = round(latency // d * d + d / 3)
        k = frame_offset(ms(latency), rate)
        fixed = Schedule.fixed(40, k)
        for workers in (None, max(1, k), k + 1, k + 7):
            config = StreamConfig(workers=workers, queue=queue, tie=tie)
            schedule = simulate_stream(ms(latency), config, num_frames=40, fps=rate)
            assert schedule.label_frame.tolist() == fixed.label_frame.tolist()
            assert schedule.source.tolist() == fixed.source.tolist(), (rate, latency, workers)
            assert schedule.log.dropped.size == 0


@pytest.mark.parametrize("queue", [1, None])
@pytest.mark.parametrize("rounded", [False, True], ids=["float", "3 decimals"])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_a_latency_of_one_interval_stays_one_frame_behind(rate: Fraction, rounded: bool, queue: int | None) -> None:
    latency = 1000 / float(rate)
    config = StreamConfig(queue=queue)
    schedule = simulate_stream(round(latency, 3) if rounded else latency, config, num_frames=10_000, fps=rate)
    assert schedule.staleness_histogram.tolist() == [0, 9_999]
    assert not schedule.shown[0]
    assert schedule.log.dropped.size == 0


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_any_latency_up_to_one_interval_is_one_frame_behind(rate: Fraction) -> None:
    d = interval(rate)
    rng = np.random.default_rng(21)
    for latency in [2 * TIE, int(d) - TIE, int(d) - 1, int(d), *rng.integers(2 * TIE, int(d), 20).tolist()]:
        schedule = simulate_stream(ms(latency), num_frames=200, fps=rate)
        assert schedule.staleness_histogram.tolist() == [0, 199], latency


def constant_streams(seed: int, count: int) -> Iterator[tuple[Fraction, int, StreamConfig]]:
    rng = np.random.default_rng([22, seed])
    for _ in range(count):
        rate = RATES[int(rng.integers(len(RATES)))]
        config = StreamConfig(
            workers=WORKERS[int(rng.integers(len(WORKERS)))],
            queue=QUEUES[int(rng.integers(len(QUEUES)))],
            stride=int(rng.integers(1, 4)),
            tie=("inclusive", "strict")[int(rng.integers(2))],
            show=("freshest", "last_finished")[int(rng.integers(2))],
        )
        yield rate, random_latency(rng, interval(rate)), config


def test_no_schedule_beats_the_fixed_offset() -> None:
    seen = 0
    for rate, latency, config in constant_streams(0, 800):
        schedule = simulate_stream(ms(latency), config, num_frames=40, fps=rate)
        # a nanosecond: arrivals are rounded to it, the exact interval of frame_offset is not
        assert (schedule.staleness[schedule.shown] >= frame_offset(ms(max(0, latency - 1)), rate)).all()
        seen += schedule.shown.sum()
    assert seen > 10_000
    for rate in RATES:
        schedule = simulate_stream(1000 / rate, StreamConfig(policy="tail"), num_frames=40, fps=rate)
        assert schedule.staleness[schedule.shown].min() == 1


def test_extra_latency_may_beat_it() -> None:
    schedule = simulate_stream(60, StreamConfig(extra_latency_ms=60), num_frames=5, fps="50/3")
    assert schedule.source.tolist() == [0, 1, 2, 3, 4]


def test_freshest_sources_never_decrease_and_no_label_counts_twice() -> None:
    rng = np.random.default_rng(23)
    decreased = 0
    for _ in range(600):
        case = random_case(rng)
        schedule = case.simulated()
        steps = [after - before for before, after in pairwise(schedule.source.tolist())]
        if case.options["show"] == "freshest":
            assert min(steps, default=0) >= 0, case
        else:
            decreased += min(steps, default=0) < 0
        if case.labels is None:
            assert schedule.label_frame.tolist() == list(range(len(case.times)))
        else:
            assert len(schedule.label_frame) == len(case.labels)
        shown = schedule.shown
        assert (schedule.source[shown] <= schedule.label_frame[shown]).all()
        assert set(schedule.source[shown].tolist()) <= set(schedule.log.frame.tolist())
    assert decreased  # what shows last-finished results can go back


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("load", [Fraction(101, 100), Fraction(7, 5), Fraction(13, 4)])
def test_first_in_first_out_falls_ever_further_behind(workers: int, load: Fraction) -> None:
    latency = load * workers * D
    schedule = simulate_stream(ms(latency), StreamConfig(workers=workers, queue=None), num_frames=5000, fps="50/3")
    slope = float(1 - 1 / load)
    excess = schedule.staleness - slope * schedule.label_frame
    # run i = w + n W finishes at w d + (n + 1) l
    assert excess[schedule.shown].min() >= -1e-3
    assert excess[schedule.shown].max() <= 2 * workers + 1e-3
    assert schedule.staleness[-1] / 4999 == pytest.approx(slope, abs=2e-3)
    assert schedule.log.dropped.size == 0
    assert len(schedule.log.frame) == 5000


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_first_in_first_out_keeps_up_with_enough_workers(workers: int) -> None:
    schedule = simulate_stream(
        ms(workers * D), StreamConfig(workers=workers, queue=None), num_frames=5000, fps=Fraction(50, 3)
    )
    assert schedule.staleness_histogram.tolist() == [0] * workers + [5000 - workers]


def closed_form(x: float | Fraction) -> dict[int, float | Fraction]:
    """|{y in [x, 2x): ceil(y) = k}| / x"""
    ks = range(math.ceil(x), math.ceil(2 * x) + 1)
    shares = {k: (min(k, 2 * x) - max(k - 1, x)) / x for k in ks}
    return {k: share for k, share in shares.items() if share > 0}


def shares(histogram: np.ndarray) -> dict[int, float]:
    return {k: count / histogram.sum() for k, count in enumerate(histogram.tolist()) if count}


def test_the_closed_form() -> None:
    assert closed_form(math.sqrt(2)) == pytest.approx({2: 0.4142, 3: 0.5858}, abs=5e-5)
    x = Fraction(13, 4)
    assert closed_form(x) == {4: x**-1 * 3 / 4, 5: 1 / x, 6: 1 / x, 7: 1 / x / 2}
    assert float(sum(k * share for k, share in closed_form(x).items())) == pytest.approx(5.3846, abs=5e-5)
    assert closed_form(1) == {2: 1}


@pytest.mark.parametrize("x", [math.sqrt(2), (1 + math.sqrt(5)) / 2, math.sqrt(7), math.e])
def test_an_irrational_load_meets_the_closed_form(x: float) -> None:
    schedule = simulate_stream(x * 60, num_frames=40_000, fps="50/3")
    assert shares(schedule.staleness_histogram) == pytest.approx(closed_form(x), abs=1e-3)


@pytest.mark.slow
def test_random_phases_of_a_rational_load_meet_the_closed_form() -> None:
    x = Fraction(13, 4)
    latency = int(x * D)
    rng = np.random.default_rng(24)
    counts = np.zeros(8)
    for first in rng.integers(latency, latency + D, 2000).tolist():
        # the phase of all runs is that at which the first one ends
        trace = LatencyTrace.from_ns([first] + [latency] * 12)
        schedule = simulate_stream(trace, num_frames=36, fps="50/3")
        counts += np.bincount(schedule.staleness[10:36], minlength=8)  # two periods of 4 runs, 13 frames
    assert shares(counts) == pytest.approx({k: float(share) for k, share in closed_form(x).items()}, abs=4e-3)
    assert counts @ np.arange(8) / counts.sum() == pytest.approx(5.3846, abs=2e-2)


def test_one_phase_of_a_rational_load_does_not() -> None:
    schedule = simulate_stream(195, num_frames=4 + 13 * 100, fps="50/3")
    assert schedule.staleness_histogram.tolist() == [0, 0, 0, 0, 400, 400, 400, 100]
    mean = schedule.staleness[schedule.shown].mean()
    assert mean == pytest.approx(5.1538, abs=5e-5)
    assert mean == pytest.approx(67 / 13)


# Random replay


@pytest.mark.slow
def test_random_replay() -> None:
    samples = [50_000_000, 70_000_001, 110_000_000, 65_432_109, 190_000_000]
    trace = LatencyTrace.from_ns(samples, replay="random")

    def log(seed: int, sequence: str, frames: int = 60) -> tuple[list[int], list[int]]:
        schedule = simulate_stream(trace, num_frames=frames, fps="50/3", seed=seed, sequence=sequence)
        latencies = (schedule.log.finish_ns - schedule.log.start_ns).tolist()
        runs, _ = serve(regular(frames, Fraction(50, 3)), lambda call, _: latencies[call], workers=1, queue=1)
        assert schedule.log.frame.tolist() == [run.frame for run in runs]
        return latencies, schedule.source.tolist()

    pairs = [(seed, sequence) for seed in (0, 1, 2**40) for sequence in ("", "a", "b", "drive/1", "0", "1")]
    drawn = [tuple(log(*pair)[0]) for pair in pairs]
    assert [log(*pair) for pair in pairs] == [log(*pair) for pair in reversed(pairs)][::-1]
    assert len(set(drawn)) == len(pairs)
    assert set().union(*drawn) == set(samples)
    long = log(0, "a", 400)[0]
    assert tuple(long[:20]) == drawn[1][:20]
    assert min(np.bincount([samples.index(latency) for latency in log(0, "a", 4000)[0]])) > 300


def test_frames_and_calls_are_replayed_from_the_beginning() -> None:
    trace = LatencyTrace.from_ns([200 * 10**6, 10**6, 2 * 10**6, 3 * 10**6, 4 * 10**6])
    by_call = simulate_stream(trace, num_frames=5, fps="50/3").log
    by_frame = simulate_stream(trace.replayed("frame"), num_frames=5, fps="50/3").log
    assert by_call.frame.tolist() == by_frame.frame.tolist() == [0, 3, 4]
    assert ((by_call.finish_ns - by_call.start_ns) // 10**6).tolist() == [200, 1, 2]
    assert ((by_frame.finish_ns - by_frame.start_ns) // 10**6).tolist() == [200, 3, 4]
    again = simulate_stream(trace, num_frames=5, fps="50/3").log
    assert again.finish_ns.tolist() == by_call.finish_ns.tolist()


# Size


@pytest.mark.slow
@pytest.mark.parametrize(("latency", "shown"), [(195, None), (60, 999_999)])
def test_a_million_frames(latency: float, shown: int | None) -> None:
    schedule = simulate_stream(latency, num_frames=10**6, fps="50/3")
    assert len(schedule.source) == 10**6
    assert (np.diff(schedule.source) >= 0).all()
    assert schedule.shown.sum() == (shown or 10**6 - 4)


# What is refused

TIMES = [
    ([0, 2, 1], "1.0 ms at 2 after 2.0 ms, expected ascending"),
    ([0, 1, 1], "1.0 ms at 2 after 1.0 ms, expected ascending"),
    ([-1, 0], "-1, expected"),
    ([0, math.nan], "nan, expected"),
    ([0, math.inf], "inf, expected"),
]


@pytest.mark.parametrize(("times", "message"), TIMES)
@pytest.mark.parametrize("argument", ["arrivals_ms", "label_times_ms"])
def test_times_that_are_refused(argument: str, times: list[float], message: str) -> None:
    stream = {} if argument == "arrivals_ms" else {"num_frames": 3, "fps": 10}
    with pytest.raises(ConfigError, match=f"`{argument}` is {message}"):
        simulate_stream(1, **stream, **{argument: times})


@pytest.mark.parametrize(
    ("replay", "options", "message"),
    [
        ("call", {}, "2 samples, but the stream reaches call 2"),
        ("frame", {}, "2 samples, but the stream reaches frame 2"),
        ("frame", {"stride": 3}, "2 samples, but the stream reaches frame 3"),
        ("call", {"workers": None}, "2 samples, but the stream reaches call 2"),
    ],
)
def test_traces_that_are_too_short(replay: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate_stream(LatencyTrace([50, 50], replay=replay), StreamConfig(**options), num_frames=9, fps="50/3")


def test_a_trace_need_not_reach_further_than_the_runs() -> None:
    assert simulate_stream(LatencyTrace([200, 50]), num_frames=4, fps="50/3").log.frame.tolist() == [0, 3]
    last = LatencyTrace([200, 50, 50, 50], replay="frame")
    assert simulate_stream(last, StreamConfig(stride=3), num_frames=6, fps="50/3").log.frame.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "`workers` is 0, expected a whole number >= 1"),
        ({"workers": -1}, "`workers` is -1, expected a whole number >= 1"),
        ({"workers": 1.5}, "`workers` is 1.5, expected a whole number >= 1"),
        ({"queue": 0}, "`queue` is 0, expected a whole number >= 1"),
        ({"queue": True}, "`queue` is True, expected a whole number >= 1"),
        ({"stride": 0}, "`stride` is 0, expected a whole number of frames >= 1"),
        ({"stride": None}, "`stride` is None, expected a whole number of frames >= 1"),
        ({"extra_latency_ms": -1}, "`extra_latency_ms` is -1, expected milliseconds >= 0 (at most 1e+12)"),
        ({"extra_latency_ms": -1e-9}, "`extra_latency_ms` is -1e-09, expected milliseconds >= 0 (at most 1e+12)"),
        ({"extra_latency_ms": math.nan}, "`extra_latency_ms` is nan, expected milliseconds >= 0"),
        ({"extra_latency_ms": math.inf}, "`extra_latency_ms` is inf, expected milliseconds >= 0"),
        ({"policy": "lazy"}, "`policy` is 'lazy', expected one of greedy, tail"),
        ({"tie": "loose"}, "`tie` is 'loose', expected one of inclusive, strict"),
        ({"show": "oldest"}, "`show` is 'oldest', expected one of freshest, last_finished"),
        ({"policy": "tail", "workers": 2}, "`policy` is 'tail' with 2 workers and a queue of 1, expected 1 and 1"),
        (
            {"policy": "tail", "workers": None},
            "`policy` is 'tail' with None workers and a queue of 1, expected 1 and 1",
        ),
        ({"policy": "tail", "queue": 2}, "`policy` is 'tail' with 1 workers and a queue of 2, expected 1 and 1"),
        ({"policy": "tail", "queue": None}, "`policy` is 'tail' with 1 workers and a queue of None, expected 1 and 1"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        StreamConfig(**options)


def test_options_are_numbers_that_json_knows() -> None:
    config = StreamConfig(workers=np.int64(2), queue=np.uint8(3), stride=np.int32(4), extra_latency_ms=Fraction(5, 2))
    assert [type(value) for value in (config.workers, config.queue, config.stride)] == [int] * 3
    assert (config.workers, config.queue, config.stride) == (2, 3, 4)
    assert json.dumps(config.extra_latency_ms) == "2.5"
    assert StreamConfig(extra_latency_ms=Fraction(1, 3)).extra_latency_ms == 0.333333  # whole nanoseconds


NOT_BOTH = "`num_frames` and `fps` are not both given, expected both, or `arrivals_ms`"
BESIDE = "`arrivals_ms` is given beside `num_frames` or `fps`, expected one of the two"


@pytest.mark.parametrize(
    ("options", "stream", "message"),
    [
        ({}, {}, NOT_BOTH),
        ({}, {"num_frames": 3}, NOT_BOTH),
        ({}, {"fps": 10}, NOT_BOTH),
        ({}, {"arrivals_ms": [0, 1], "num_frames": 2}, BESIDE),
        ({}, {"arrivals_ms": [0, 1], "fps": 10}, BESIDE),
        (
            {},
            {"num_frames": -1, "fps": 10},
            "`num_frames` is -1, expected a whole number of frames >= 0 (at most 3,000,000)",
        ),
        ({}, {"num_frames": 3, "fps": 0}, "`fps` is 0, expected a rate above 0, such as 30, 29.97 or '30000/1001'"),
        (
            {"policy": "tail"},
            {"arrivals_ms": [0, 100]},
            "`policy` is 'tail' with `arrivals_ms`, expected regular arrivals: `num_frames` and `fps`",
        ),
        ({}, {"arrivals_ms": 3}, "`arrivals_ms` is 3, expected a list of times in milliseconds"),
        ({}, {"arrivals_ms": [0, -1]}, "`arrivals_ms` is -1, expected milliseconds >= 0 (at most 1e+12)"),
        (
            {},
            {"num_frames": 3, "fps": 10, "label_times_ms": "12"},
            "`label_times_ms` is '12', expected a list of times in milliseconds",
        ),
        (
            {},
            {"num_frames": 3, "fps": 10, "label_times_ms": [-1]},
            "`label_times_ms` is -1, expected milliseconds >= 0 (at most 1e+12)",
        ),
    ],
)
def test_streams_that_are_refused(options: dict[str, Any], stream: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        simulate_stream(1, StreamConfig(**options), **stream)


@pytest.mark.parametrize("latency", [-1, math.nan, math.inf])
def test_latencies_that_are_refused(latency: float) -> None:
    with pytest.raises(ConfigError, match=f"is {latency}, expected milliseconds >= 0"):
        simulate_stream(latency, num_frames=3, fps=10)
