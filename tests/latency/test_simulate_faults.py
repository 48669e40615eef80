"""What streams, traces and banks refuse: the kind of the error, what was found and what was expected.

The tables here complete those beside the tests of each module.
"""

import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest

from flame_metric import (
    ConfigError,
    FlameMeter,
    FlameWarning,
    LabelError,
    LatencyTrace,
    OffsetBank,
    Schedule,
    ShapeError,
    StateError,
    StreamConfig,
    simulate_stream,
)

A, B, WRONG = [[0, 1]], [[1, 1]], [[0, 7]]


def bank_of(frames: int = 6, max_offset: int = 3, **options: Any) -> OffsetBank:
    options = {"fps": 10, "persistence": True} | options
    bank = OffsetBank(2, max_offset=max_offset, **options)
    bank.update_sequence([A] * frames, [B] * frames, sequence="clip")
    return bank


# ── milliseconds ──

MILLISECONDS = {  # and the argument that the message names
    "simulate_stream": ("latency", lambda value: simulate_stream(value, num_frames=3, fps=10)),
    "samples": ("samples_ms", lambda value: LatencyTrace([5, value])),
    "warm-up": ("warmup_ms", lambda value: LatencyTrace([5], warmup_ms=[5, value])),
    "extra latency": ("extra_latency_ms", lambda value: StreamConfig(extra_latency_ms=value)),
    "arrivals": ("arrivals_ms", lambda value: simulate_stream(5, arrivals_ms=[0, value])),
    "label times": ("label_times_ms", lambda v: simulate_stream(5, num_frames=3, fps=10, label_times_ms=[0, v])),
    "bank.stream": ("latency", lambda value: bank_of().stream(value)),
    "bank.phase_averaged": ("latency_ms", lambda value: bank_of().phase_averaged(value)),
    "bank.score": ("latency_ms", lambda value: bank_of().score(latency_ms=value)),
    "bank.losses": ("latency", lambda value: bank_of().losses(value)),
}


def assert_no_duration(door: str, value: Any, shown: str) -> None:
    argument, ask = MILLISECONDS[door]
    with pytest.raises(ConfigError, match=rf"^`{argument}` is {re.escape(shown)}, expected milliseconds >= 0"):
        ask(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-math.inf, "-inf"),
        (Fraction(-1, 3), "-1/3"),
        (np.int64(-3), "-3"),
        (1e13, "10000000000000.0"),
        (np.float32("nan"), "np.float32(nan)"),
        (Decimal("NaN"), "Decimal('NaN')"),
        (Decimal("Infinity"), "Decimal('Infinity')"),
        ("70", "'70'"),
        (b"70", "b'70'"),
        (True, "True"),
        (np.True_, "np.True_"),
        (1j, "1j"),
        ([70.0], "[70.0]"),
        (np.array(70), "array(70)"),
    ],
)
@pytest.mark.parametrize("door", MILLISECONDS)
def test_what_is_no_duration(door: str, value: Any, shown: str) -> None:
    assert_no_duration(door, value, shown)


@pytest.mark.parametrize("door", [door for door in MILLISECONDS if door != "bank.score"])
def test_none_is_no_duration(door: str) -> None:
    assert_no_duration(door, None, "None")


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
@pytest.mark.parametrize("door", [door for door in MILLISECONDS if door.startswith("bank") or door == "warm-up"])
def test_negative_and_endless_durations(door: str, value: float) -> None:
    assert_no_duration(door, value, f"{value}")


@pytest.mark.parametrize(
    "sample", [-1, 1.0, 1.5, math.nan, math.inf, "5", None, True, np.float64(1), [5], 10**18 + 1, 10**30]
)
@pytest.mark.parametrize("argument", ["samples_ns", "warmup_ns"])
def test_nanoseconds_are_whole_numbers(argument: str, sample: Any) -> None:
    message = re.escape(f"`{argument}` is {sample!r}, expected a whole number >= 0 (at most 1,000,000,000,000,000,000)")
    with pytest.raises(ConfigError, match=message):
        LatencyTrace.from_ns(**{"samples_ns": [5], argument: [5, sample]})


NO_LISTS = [5, True, math.nan, "5", b"5", bytearray(b"5"), {}, {5: 5}, {5}, np.array(5), object()]


@pytest.mark.parametrize("value", [*NO_LISTS, None], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    ("argument", "expected", "ask"),
    [
        ("samples_ms", "latencies in milliseconds", LatencyTrace),
        ("warmup_ms", "latencies in milliseconds", lambda value: LatencyTrace([5], warmup_ms=value)),
        ("samples_ns", "whole nanoseconds", LatencyTrace.from_ns),
        ("warmup_ns", "whole nanoseconds", lambda value: LatencyTrace.from_ns([5], warmup_ns=value)),
    ],
)
def test_what_is_no_list_of_latencies(argument: str, expected: str, ask: Callable[[Any], object], value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^`{argument}` is .*, expected {expected}$"):
        ask(value)


def test_lists_of_latencies_are_what_has_an_order() -> None:
    for samples in ([5, 6], (5, 6), iter([5, 6]), np.array([5, 6]), range(5, 7), (one for one in (5, 6))):
        assert LatencyTrace(samples).samples_ns == (5_000_000, 6_000_000)


# ── times ──


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([5, 4], "is 4.0 ms at 1 after 5.0 ms, expected ascending times"),
        ([0, 100, 200, 50], "is 50.0 ms at 3 after 200.0 ms, expected ascending times"),
        ([7, 7], "is 7.0 ms at 1 after 7.0 ms, expected ascending times"),
        ([0, 1.0000001, 1.0000002], "is 1.0 ms at 2 after 1.0 ms, expected ascending times"),  # one nanosecond
        (np.array([0.0, 3.0, 2.0]), "is 2.0 ms at 2 after 3.0 ms, expected ascending times"),
        *((value, f"is {value!r}, expected a list of times in milliseconds") for value in NO_LISTS[:-1]),
    ],
)
@pytest.mark.parametrize("argument", ["arrivals_ms", "label_times_ms"])
def test_times_that_do_not_ascend(argument: str, times: Any, message: str) -> None:
    stream = {} if argument == "arrivals_ms" else {"num_frames": 3, "fps": 10}
    with pytest.raises(ConfigError, match=f"^{re.escape(f'`{argument}` {message}')}$"):
        simulate_stream(1, **stream, **{argument: times})


ONE_TIME = ": times at most 1 us apart are one time"


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 1.0, 1.0005], "1.0005 ms at 2 after 1.0 ms"),
        ([0, 0.001], "0.001 ms at 1 after 0.0 ms"),
        ([0, 0.000001, 7], "1e-06 ms at 1 after 0.0 ms"),
    ],
)
def test_arrivals_within_a_microsecond(times: list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^`arrivals_ms` is {message}, expected ascending times{ONE_TIME}$"):
        simulate_stream(1, arrivals_ms=times)
    assert simulate_stream(0, arrivals_ms=[0, 0.001001]).source.tolist() == [0, 1]
    assert simulate_stream(0, num_frames=2, fps=10, label_times_ms=times).source.tolist() == [0] * len(times)


@pytest.mark.parametrize("fps", [10**6, 10**9, 999_500.5, "1000000/1"])
def test_rates_within_a_microsecond(fps: Any) -> None:
    for ask in (lambda: simulate_stream(0, num_frames=1, fps=fps), lambda: bank_of().stream(0, recorded_fps=fps)):
        with pytest.raises(ConfigError, match=f"^`fps` is .*, expected frames that are further apart{ONE_TIME}$"):
            ask()
    assert simulate_stream(0, num_frames=3, fps=Fraction(10**9, 1001)).source.tolist() == [0, 1, 2]


ENDLESS = StreamConfig(queue=None)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: simulate_stream(1e12, ENDLESS, num_frames=10, fps=10),
            "`latency` makes frame 9 ready only after 1e+13 ms, expected at most 9e+12 ms",
        ),
        (
            lambda: simulate_stream(1e12, ENDLESS, num_frames=30, fps=10, sequence="a"),
            "`latency` makes frame 29 of sequence 'a' ready only after 3e+13 ms, expected at most 9e+12 ms",
        ),
        (
            lambda: bank_of(frames=11).stream(1e12, ENDLESS),
            "`latency` makes frame 10 of sequence 'clip' ready only after 1.1e+13 ms, expected at most 9e+12 ms",
        ),
        (
            lambda: simulate_stream(1, num_frames=3, fps="0.000000001"),
            "`fps` is 1/1000000000 for 3 frames, expected a stream of at most 1e+12 ms",
        ),
        (
            lambda: LatencyTrace([5, 1e12]).scaled("1.0000001"),
            "`factor` is 1.0000001, expected one that leaves latencies of at most 1e+12 ms",
        ),
        (
            lambda: LatencyTrace([5], warmup_ms=[1e12]).scaled(10**9),
            "`factor` is 1000000000, expected one that leaves latencies of at most 1e+12 ms",
        ),
    ],
)
def test_times_beyond_64_bits(ask: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        ask()


def test_the_latest_times() -> None:
    assert simulate_stream(1e12, num_frames=30, fps=10).log.finish_ns.tolist() == [10**18, 2 * 10**18]
    assert simulate_stream(1e12, ENDLESS, num_frames=9, fps=10).log.finish_ns[-1] == 9 * 10**18
    assert simulate_stream(0, num_frames=2, fps="0.000000001").log.start_ns.tolist() == [0, 10**18]
    assert LatencyTrace([1e12]).scaled(1).samples_ns == (10**18,)


@pytest.mark.parametrize("stride", [1000, 10**9, 10**30])
def test_a_stride_beyond_the_stream(stride: int) -> None:
    log = simulate_stream(5, StreamConfig(stride=stride), num_frames=3, fps=10).log
    assert (log.frame.tolist(), log.dropped.tolist(), log.dropped.dtype) == ([0], [], np.int64)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ({"num_frames": 3_000_001, "fps": 10}, r"`num_frames` is 3000001, .* of frames >= 0 \(at most 3,000,000\)"),
        ({"num_frames": 10**30, "fps": 10}, "`num_frames` is 10{30}, expected a whole number"),
        ({"num_frames": 1.5, "fps": 10}, "`num_frames` is 1.5, expected a whole number of frames >= 0"),
        ({"num_frames": True, "fps": 10}, "`num_frames` is True, expected a whole number"),
        ({"num_frames": "3", "fps": 10}, "`num_frames` is '3', expected a whole number"),
        ({"num_frames": math.inf, "fps": 10}, "`num_frames` is inf, expected a whole number"),
        ({"num_frames": 3, "fps": -15}, "`fps` is -15, expected a rate above 0"),
        ({"num_frames": 3, "fps": math.nan}, "`fps` is nan, expected a rate above 0"),
        ({"num_frames": 3, "fps": math.inf}, "`fps` is inf, expected a rate above 0"),
        ({"num_frames": 3, "fps": True}, "`fps` is True, expected a rate above 0"),
        ({"num_frames": 3, "fps": "fast"}, "`fps` is 'fast', expected a rate above 0"),
    ],
)
def test_frames_and_rates(stream: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate_stream(1, **stream)


# ── options of a stream ──


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("workers", [math.nan, math.inf, 1.0, "1", True, False, [1], b"1"], "a whole number >= 1"),
        ("queue", [-1, math.nan, math.inf, 1.0, "1", False, [1], b"1"], "a whole number >= 1"),
        ("stride", [-1, 1.5, math.nan, math.inf, "1", True, [1], b"1"], "a whole number of frames >= 1"),
        ("policy", ["", "Greedy", None, 0, True, math.nan, ["greedy"], np.array(["tail"])], "one of greedy, tail"),
        ("tie", ["", "Strict", None, 0, True, math.nan, ["strict"], np.array("strict")], "one of inclusive, strict"),
        ("show", ["", "Freshest", None, 0, True, math.nan, ["freshest"]], "one of freshest, last_finished"),
    ],
)
def test_options_out_of_range(name: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=re.escape(f"`{name}` is {value!r}, expected {expected}")):
            StreamConfig(**{name: value})


@pytest.mark.parametrize("value", ["", "Void", None, True, 0, math.nan, ["skip"], np.array(["skip"])])
def test_before_first_out_of_range(value: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"`before_first` is {value!r}, expected one of skip, void")):
        bank_of().stream(10, before_first=value)


# ── traces ──


@pytest.mark.parametrize(
    ("replay", "options", "message"),
    [
        ("call", {}, "call 4, expected a sample for each"),
        ("frame", {}, "frame 4, expected a sample for each"),
        ("frame", {"stride": 5}, "frame 5"),
        ("call", {"workers": 2, "queue": None}, "call 4"),
    ],
)
@pytest.mark.parametrize("order", [(4, 9), (9, 4)])
def test_a_trace_too_short_for_the_longest_clip(
    replay: str, options: dict[str, Any], message: str, order: tuple[int, int]
) -> None:
    bank = OffsetBank(2, max_offset=8, fps=10)
    for frames in order:
        bank.update_sequence([A] * frames, [B] * frames, sequence=f"{frames} frames")
    trace = LatencyTrace([50, 60, 70, 80])
    stream = "a trace of 4 samples, but the stream of sequence '9 frames' reaches"
    with pytest.raises(ConfigError, match=f"^`latency` is {stream} {message}"):
        bank.stream(trace.replayed(replay), StreamConfig(**options))
    assert bank.stream(trace.replayed("random"), StreamConfig(**options)).num_pairs  # what the message advises


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ({"metadata": {"device": "A"}}, {}, "device: A / missing"),
        ({}, {"metadata": {"device": "A"}}, "device: missing / A"),
        ({"metadata": {"device": None}}, {}, "device: None / missing"),
        (
            {"metadata": {"device": "A", "shape": [1, 2], "batch": 1}},
            {"metadata": {"device": "A", "shape": [2, 1], "batch": 2}},
            "batch: 1 / 2; shape: [1, 2] / [2, 1]",
        ),
        ({"metadata": {"versions": {"torch": "2"}}}, {"metadata": {"versions": {"torch": "3"}}}, "versions: "),
        ({"replay": "random"}, {}, "replay: random / call"),
        ({"metadata": {"a": 1}, "replay": "frame"}, {}, "a: 1 / missing; replay: frame / call"),
    ],
)
def test_traces_of_unlike_runs(left: dict[str, Any], right: dict[str, Any], message: str) -> None:
    with pytest.raises(StateError, match=re.escape(f"latency traces of unlike runs cannot merge: {message}")):
        LatencyTrace([1], **left).merge(LatencyTrace([1], **right))


def test_a_scaled_trace_is_another_run() -> None:
    trace = LatencyTrace([10, 20])
    with pytest.raises(StateError, match="unlike runs cannot merge: scaled: missing / 1/2"):
        trace.merge(trace.scaled(0.5))
    assert trace.scaled(0.5).merge(trace.scaled("1/2")).samples_ns == (5_000_000, 10_000_000) * 2


@pytest.mark.parametrize("before", ["from 224 to 512 px", "", None, [1], {"factor": 2}, "1/2"])
def test_what_the_metadata_say_of_scaling_is_kept(before: Any) -> None:
    trace = LatencyTrace([10], metadata={"scaled": before})
    again = LatencyTrace.from_json(trace.scaled(2).scaled(0.1).to_json())
    assert again.samples_ns == (2_000_000,)
    assert again.metadata == {"scaled": f"{before}, then 2, then 1/10"}


@pytest.mark.parametrize("metadata", [5, "device", ["device"], [("device", "A")], b"", 0, ()])
def test_metadata_that_are_no_mapping(metadata: Any) -> None:
    message = re.escape(f"`metadata` is {metadata!r}, expected a mapping from names to JSON values")
    for make in (LatencyTrace, LatencyTrace.from_ns):
        with pytest.raises(ConfigError, match=message):
            make([5], metadata=metadata)


@pytest.mark.parametrize("number", ["1", b"1", None, True, math.nan, math.inf, 1j, [1], np.array(1)])
def test_shares_that_are_no_numbers(number: Any) -> None:
    trace = LatencyTrace([5] * 100)
    for name, ask in (
        ("percent", trace.percentile_ms),
        ("percent", trace.upper_bound_ms),
        ("confidence", lambda confidence: trace.upper_bound_ms(90, confidence=confidence)),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"`{name}` is {number!r}, expected a number")):
            ask(number)
    assert trace.upper_bound_ms(np.float32(90), confidence=np.float64(0.99)) == trace.upper_bound_ms(90)


@pytest.mark.parametrize("seed", [-1, 0.0, 1.5, math.nan, "0", None, True, object(), [0]])
@pytest.mark.parametrize("latency", [5, LatencyTrace([5, 6] * 9), LatencyTrace([5, 6], replay="random")])
def test_seeds_are_whole_numbers(latency: Any, seed: Any) -> None:
    message = f"^`seed` is {re.escape(repr(seed))}, expected a whole number >= 0$"
    for ask in (
        lambda: simulate_stream(latency, num_frames=3, fps=10, seed=seed),
        lambda: bank_of().stream(latency, seed=seed),
        lambda: bank_of().losses(latency, seed=seed),
    ):
        with pytest.raises(ConfigError, match=message):
            ask()
    random = LatencyTrace([5, 6], replay="random")
    one, same = (simulate_stream(random, num_frames=9, fps=10, seed=kind(7)).log.finish_ns for kind in (int, np.uint8))
    assert one.tolist() == same.tolist()


@pytest.mark.parametrize("sequence", [None, 0, 5, True, b"clip", ["clip"], math.nan])
def test_the_id_of_a_stream_is_text(sequence: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"`sequence` is {sequence!r}, expected a text id")):
        simulate_stream(5, num_frames=3, fps=10, sequence=sequence)


@pytest.mark.parametrize("config", [{}, {"workers": 2}, "x", 5, False, StreamConfig, [StreamConfig()]])
def test_the_configuration_of_a_stream(config: Any) -> None:
    for ask in (
        lambda: simulate_stream(5, config, num_frames=3, fps=10),
        lambda: bank_of().stream(5, config),
        lambda: bank_of().losses(5, config),
        lambda: OffsetBank(2, max_offset=1, fps=10).stream(5, config),
    ):
        with pytest.raises(ConfigError, match=r"^`config` is .*, expected a StreamConfig$"):
            ask()


@pytest.mark.parametrize("other", [None, 5, "trace", [5], StreamConfig()])
def test_only_like_things_merge(other: Any) -> None:
    for thing in (LatencyTrace([1]), bank_of(), FlameMeter(2)):
        kind = type(thing).__name__
        with pytest.raises(StateError, match=rf"^`other` is {type(other).__name__}, expected an? {kind}$"):
            thing.merge(other)


@pytest.mark.parametrize("text", [None, 5, b"latency_ms", ["latency_ms"]])
def test_csv_that_is_no_text(text: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"`text` is {text!r}, expected CSV text")):
        LatencyTrace.from_csv(text)


@pytest.mark.parametrize("factor", [True, None, b"2", "1e3", "-1", math.nan, -math.inf, 1j, [2], np.float64("nan")])
def test_factors_that_are_refused(factor: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"`factor` is {factor!r}, expected a number")):
        LatencyTrace([1]).scaled(factor)


# ── questions to a bank ──

OVERLOADED = StreamConfig(queue=None)


@pytest.mark.parametrize(
    ("ask", "reach", "asked"),
    [
        (lambda bank: bank.score(frame_offset=4), 3, 4),
        (lambda bank: bank.score(frame_offset=10**30), 3, 10**30),
        (lambda bank: bank.score(frame_offset=4, persistence=True), 3, 4),
        (lambda bank: bank.score(latency_ms=300.002), 3, 4),
        (lambda bank: bank.score(latency_ms=300, recorded_fps=20), 3, 6),
        (lambda bank: bank.stream(400, StreamConfig(workers=None)), 3, 4),
        (lambda bank: bank.stream(300), 3, 5),  # on screen at 5: the prediction of 0
        (lambda bank: bank.stream(100, recorded_fps=60), 3, 11),
        (lambda bank: bank.stream(150, OVERLOADED), 3, 5),
        (lambda bank: bank.stream(150, OVERLOADED, before_first="void", persistence=True), 3, 5),
        (lambda bank: bank.losses(400), 3, 4),
        (lambda bank: bank.losses(150, OVERLOADED), 3, 5),
        (lambda bank: bank.expected(LatencyTrace([10, 10, 310])), 3, 4),
        (lambda bank: bank.expected(LatencyTrace([100]), recorded_fps=50), 3, 5),
        (lambda bank: bank.phase_averaged(200), 3, 4),
        (lambda bank: bank.phase_averaged(100, recorded_fps=20), 3, 4),
        (lambda bank: bank.every(2).score(frame_offset=2), 1, 2),
        (lambda bank: bank.every(2).score(latency_ms=201), 1, 2),
        (lambda bank: bank.every(2).stream(250), 1, 2),
        (lambda bank: bank.every(2).expected(LatencyTrace([300])), 1, 2),
        (lambda bank: bank.every(4).score(frame_offset=1), 0, 1),
        (lambda bank: bank.every(4).phase_averaged(10), 0, 1),
    ],
)
def test_offsets_beyond_the_bank(ask: Callable[[OffsetBank], object], reach: int, asked: int) -> None:
    with pytest.raises(ConfigError) as refused:
        ask(bank_of(frames=12))
    assert str(refused.value).startswith(
        f"`max_offset` of this bank is {reach}, but an offset of {asked} frames is asked for; "
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda bank: bank.score(latency_ms=5),
        lambda bank: bank.expected(LatencyTrace([5])),
        lambda bank: bank.phase_averaged(5),
        lambda bank: bank.latency_budget(0.5),
        lambda bank: bank.losses(5),
        lambda bank: bank.every(2).stream(5),
    ],
)
def test_a_bank_without_a_rate(ask: Callable[[OffsetBank], object]) -> None:
    with pytest.raises(ConfigError, match=r"(`fps` is missing|without `fps`), expected the frame rate"):
        ask(bank_of(fps=None))


@pytest.mark.parametrize("fps", [0, -15, math.nan, math.inf, True, "fast", [15], "1e3"])
@pytest.mark.parametrize(
    "ask",
    [
        lambda fps: OffsetBank(2, max_offset=1, fps=fps),
        lambda fps: bank_of().score(latency_ms=5, fps=fps),
        lambda fps: bank_of().stream(5, fps=fps),
        lambda fps: bank_of().expected(LatencyTrace([5]), fps=fps),
        lambda fps: bank_of().phase_averaged(5, fps=fps),
        lambda fps: bank_of().latency_budget(0.5, fps=fps),
        lambda fps: bank_of().losses(5, fps=fps),
    ],
)
def test_rates_that_are_refused(ask: Callable[[Any], object], fps: Any) -> None:
    with pytest.raises(ConfigError, match=rf"`fps` is '?{re.escape(str(fps))}'?, expected a rate above 0"):
        ask(fps)


@pytest.mark.parametrize("number", [-1, 1.0, 1.5, math.nan, math.inf, "1", True, [1]])
@pytest.mark.parametrize(
    ("name", "least", "ask"),
    [
        ("max_offset", 0, lambda number: OffsetBank(2, max_offset=number)),
        ("frame_offset", 0, lambda number: bank_of().score(frame_offset=number)),
        ("step", 1, lambda number: bank_of().every(number)),
    ],
)
def test_numbers_of_frames(name: str, least: int, ask: Callable[[Any], object], number: Any) -> None:
    message = f"`{name}` is {number!r}, expected a whole number of frames >= {least}"
    with pytest.raises(ConfigError, match=re.escape(message)):
        ask(number)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 1}, "`num_classes` is 1, expected"),
        ({"num_classes": 4097}, "`num_classes` is 4097, expected"),
        ({"num_classes": "2"}, "`num_classes` is '2', expected"),
        ({"num_classes": True}, "`num_classes` is True, expected"),
        ({"ignore_index": 1.5}, "`ignore_index` is 1.5, expected"),
        ({"ignore_index": "255"}, "`ignore_index` is '255', expected"),
        ({"ignore_index": True}, "`ignore_index` is True, expected"),
        ({"max_offset": 10_001}, r"`max_offset` is 10001, expected a whole number of frames >= 0 \(at most 10,000\)"),
        ({"max_offset": 10**30}, r"`max_offset` is 10{30}, expected a whole number of frames >= 0 \(at most 10,000\)"),
        ({"persistence": "no"}, "`persistence` is 'no', expected True or False"),
        ({"persistence": 1}, "`persistence` is 1, expected True or False"),
        ({"persistence": None}, "`persistence` is None, expected True or False"),
    ],
)
def test_banks_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OffsetBank(**{"num_classes": 2, "max_offset": 1} | options)


def test_the_largest_bank() -> None:
    bank = OffsetBank(2, max_offset=10_000, fps=10)
    bank.update_sequence([A], [A], sequence="clip")
    assert bank.score(frame_offset=0).miou == 1


@pytest.mark.parametrize("miou", ["5", b"5", None, math.nan, math.inf, -math.inf, True, 1j, [0.1], np.array(0.5)])
def test_budgets_are_asked_for_a_number(miou: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"`miou` is {miou!r}, expected a number")):
        bank_of().latency_budget(miou)


def test_numbers_that_budgets_are_asked_for() -> None:
    """All frames of the clip have a mean IoU of 0.25, whatever the delay."""
    for miou in (0.25, np.float64(0.25), Fraction(1, 4), Decimal("0.25"), 0, -5):
        assert bank_of().latency_budget(miou).is_whole_bank
    for miou in (0.2500001, 1, 7):
        assert bank_of().latency_budget(miou) is None


@pytest.mark.parametrize("trace", [5, None, [5], "trace", {}, StreamConfig()])
def test_distributions_are_traces(trace: Any) -> None:
    with pytest.raises(ConfigError, match=r"^`trace` is .*, expected a LatencyTrace$"):
        bank_of().expected(trace)


@pytest.mark.parametrize("latency", [1e12, 1e9])
def test_latencies_far_beyond_a_bank_take_neither_time_nor_memory(latency: float) -> None:
    for ask in (lambda: bank_of().expected(LatencyTrace([latency])), lambda: bank_of().phase_averaged(latency)):
        with pytest.raises(ConfigError, match=r"^`max_offset` of this bank is 3, but an offset of \d+ frames"):
            ask()


@pytest.mark.parametrize("counts", [None, 5, {}, [0]])
def test_counts_from_elsewhere(counts: Any) -> None:
    with pytest.raises(ConfigError, match=r"^`counts` is .*, expected OffsetCounts$"):
        bank_of().add_counts(counts, sequence="new")


# ── warnings ──


def clips_of(**frames: int) -> OffsetBank:
    bank = OffsetBank(2, max_offset=5, fps=10, persistence=True)
    for name, length in frames.items():
        bank.update_sequence([A] * length, [B] * length, sequence=name)
    return bank


NO_PAIR = r"^{} sequence\(s\) yield no pair, as no prediction is on screen at any of their labelled frames: {}$"


@pytest.mark.parametrize(
    "ask",
    [
        lambda bank: bank.score(frame_offset=4),
        lambda bank: bank.score(latency_ms=310, before_first="void"),
        lambda bank: bank.stream(400),
        lambda bank: bank.stream(400, before_first="void"),
        lambda bank: bank.expected(LatencyTrace([310, 400])),
        lambda bank: bank.phase_averaged(240),  # 3, 4 or 5 frames late
        lambda bank: bank.losses(400),
    ],
)
def test_clips_without_any_pair_are_named(ask: Callable[[OffsetBank], object]) -> None:
    with pytest.warns(FlameWarning, match=NO_PAIR.format(2, "'short', 'shorter'")) as found:
        ask(clips_of(long=6, short=3, shorter=2))
    assert len(found) == 1
    assert found[0].filename == __file__


def test_many_clips_without_any_pair_are_told_in_short() -> None:
    with pytest.warns(FlameWarning, match=NO_PAIR.format(7, "'a', 'b', 'c', 'd', 'e', ...")):
        clips_of(**dict.fromkeys("abcdefg", 2), z=6).score(frame_offset=3)


def test_clips_without_labels_and_questions_for_many_scores_do_not_warn() -> None:
    bank = clips_of(long=6, short=2)
    bank.update_sequence([A] * 3, [None] * 3, sequence="unlabelled")
    assert len(bank.curve().results) == 6
    assert bank.latency_budget(0.1).is_whole_bank
    assert bank.score(frame_offset=1).coverage == 6 / 8
    assert bank.score(frame_offset=4, persistence=True).coverage == 2 / 8  # two labels need not be 4 frames apart
    assert bank.stream(400, before_first="void", persistence=True).coverage == 2 / 8
    assert math.isnan(OffsetBank(2, max_offset=1).curve().miou[0])


def test_scores_that_are_nan() -> None:
    empty = OffsetBank(2, max_offset=5, fps=10)
    void = OffsetBank(2, max_offset=5, fps=10, ignore_index=9)
    void.update_sequence([A] * 6, [[[9, 9]]] * 6, sequence="clip")
    for bank, reason in ((empty, "no pair was counted"), (void, "every pixel of every target is void")):
        for ask in (
            lambda bank: bank.score(frame_offset=0),
            lambda bank: bank.stream(50),
            lambda bank: bank.expected(LatencyTrace([50])),
            lambda bank: bank.phase_averaged(50),
            lambda bank: bank.losses(50),
        ):
            with pytest.warns(FlameWarning, match=f"^the mean IoU is NaN: {reason}$") as found:
                ask(bank)
            assert len(found) == 1
    both = NO_PAIR.format(1, "'clip'; the mean IoU is NaN: no pair was counted")
    with pytest.warns(FlameWarning, match=both) as found:
        clips_of(clip=2).score(frame_offset=3)
    assert len(found) == 1


# ── banks together ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 3}, "num_classes: 2 / 3"),
        ({"max_offset": 2}, "max_offset: 3 / 2"),
        ({"fps": 15}, "fps: 10 / 15"),
        ({"fps": None}, "fps: 10 / None"),
        ({"ignore_index": 255}, "ignore_index: None / 255"),
        ({"ignore_index": 0}, "ignore_index: None / 0"),
        ({"persistence": False}, "persistence: True / False"),
    ],
)
def test_banks_that_differ_in_one_field(options: dict[str, Any], message: str) -> None:
    bank = bank_of()
    other = OffsetBank(**{"num_classes": 2, "max_offset": 3, "fps": 10, "persistence": True} | options)
    other.update_sequence([A], [A], sequence="another")
    before = bank.curve()
    with pytest.raises(StateError, match=f"banks of unlike configuration cannot merge: {re.escape(message)}$"):
        bank.merge(other)
    assert (bank.sequences, bank.curve()) == (("clip",), before)


def test_rates_of_equal_value_merge() -> None:
    bank = bank_of(fps="50/3")
    kept = r"^1 sequence\(s\) came twice with identical counts and were kept once: \['clip'\]$"
    with pytest.warns(FlameWarning, match=kept) as found:
        bank.merge(bank_of(fps=16.666666666666668))
    assert (len(found), found[0].filename) == (1, __file__)
    assert bank.sequences == ("clip",)


@pytest.mark.parametrize(
    ("preds", "targets"),
    [
        ([A, A, B], [B, B, B]),
        ([A, A, A], [B, B, A]),
        ([A, A, None], [B, B, B]),
        ([A, A, A], [B, B, None]),
        ([A, A, A, A], [B, B, B, None]),  # the same counts of a longer clip
        ([A, A], [B, B]),
    ],
)
def test_one_clip_with_two_counts(preds: list[Any], targets: list[Any]) -> None:
    bank, other = (OffsetBank(2, max_offset=2, fps=10) for _ in range(2))
    bank.update_sequence([A, A, A], [B, B, B], sequence="clip")
    other.update_sequence([A], [A], sequence="another")
    other.update_sequence(preds, targets, sequence="clip")
    before = bank.curve()
    with pytest.raises(StateError, match="sequence 'clip' has different counts in the two banks, expected equal ones"):
        bank.merge(other)
    assert (bank.sequences, bank.curve()) == (("clip",), before)


# ── clips ──


def lost() -> Iterator[Any]:
    yield from (A, A)
    raise OSError("the disk is gone")


CLIPS = [
    ([A, A, A], [B, B], ShapeError, r"`preds` goes on after 2 frame\(s\), expected as many predictions as targets"),
    ([A, A], [B, B, B], ShapeError, r"`targets` goes on after 2 frame\(s\), expected as many predictions as targets"),
    ([A], [], ShapeError, r"`preds` goes on after 0 frame\(s\), expected as many predictions as targets"),
    (iter([]), [B], ShapeError, r"`targets` goes on after 0 frame\(s\), expected as many predictions as targets"),
    (
        [A, A, A],
        [B, B, WRONG],
        LabelError,
        r"^frame 2 of sequence 'new': `target` holds label\(s\) \[7\] \(1 pixels\), expected 0\.\.1",
    ),
    (
        [WRONG, A, A],
        [B, B, B],
        LabelError,
        r"^frame 0 of sequence 'new': `pred` holds label\(s\) \[7\] \(1 pixels\), expected 0\.\.1",
    ),
    ([A, WRONG, A], [None, None, B], LabelError, r"^frame 1 of sequence 'new': `pred` holds label\(s\) \[7\]"),
    ([A, A, A], [B, B, [[0.0, 1.0]]], LabelError, "`target` holds float64 values"),
    ([A, A, A], [B, B, [["a", "b"]]], LabelError, "`target` holds <U1 values"),
    ([A, A, A], [B, B, [0, 1]], ShapeError, r"`target` has shape \(2,\), expected one label map"),
    ([A, A, A], [B, B, np.zeros((0, 2), int)], ShapeError, r"`target` has shape \(0, 2\), expected at least one pixel"),
    ([A, A, A], [B, B, [[0], [1]]], ShapeError, r"`pred` has shape \(1, 2\) and `target` \(2, 1\), expected the same"),
    (
        [A, [[0, 1, 1]], [[0, 1, 1]]],
        [B, [[0, 1, 1]], [[0, 1, 1]]],
        ShapeError,
        r"^frame 1 of sequence 'new': (map|prediction) of frame 0: `pred` has shape \(1, 2\) and `target` \(1, 3\)",
    ),
    ([np.full((2, 1, 2), np.nan), A, A], [B, B, B], LabelError, "`pred` holds NaN scores at 2 pixels"),
    ([A, A, A], lost, OSError, "the disk is gone"),
    (lost, [B, B, B], OSError, "the disk is gone"),
]


@pytest.mark.parametrize(("preds", "targets", "error", "message"), CLIPS)
def test_a_clip_at_fault_leaves_nothing_in_a_bank(preds: Any, targets: Any, error: type, message: str) -> None:
    preds, targets = (clip() if callable(clip) else clip for clip in (preds, targets))
    bank = bank_of()
    before = bank.curve()
    with pytest.raises(error, match=message):
        bank.update_sequence(preds, targets, sequence="new")
    assert (bank.sequences, bank.curve()) == (("clip",), before)
    bank.update_sequence([A], [B], sequence="new")  # the id is still free
    assert bank.sequences == ("clip", "new")


@pytest.mark.parametrize(("preds", "targets", "error", "message"), CLIPS)
def test_a_clip_at_fault_leaves_nothing_in_a_meter_with_schedules(
    preds: Any, targets: Any, error: type, message: str
) -> None:
    preds, targets = (clip() if callable(clip) else clip for clip in (preds, targets))
    meter = FlameMeter(2)
    schedule = Schedule.fixed(3, 1)
    meter.update_sequence([A] * 3, [B] * 3, sequence="clip", schedule=schedule)
    before = meter.to_json()
    with pytest.raises(error, match=message):
        meter.update_sequence(preds, targets, sequence="new", schedule=schedule)
    assert meter.to_json() == before
    meter.update_sequence([A] * 3, [B] * 3, sequence="new", schedule=schedule)


def test_an_id_counts_once() -> None:
    bank, meter, schedule = bank_of(), FlameMeter(2), Schedule.fixed(6, 1)
    meter.update_sequence([A] * 6, [B] * 6, sequence="clip", schedule=schedule)
    curve, state = bank.curve(), meter.to_json()
    for preds in ([A] * 6, [B] * 6):
        with pytest.raises(StateError, match="sequence 'clip' is in the bank already, expected each clip once"):
            bank.update_sequence(preds, [B] * 6, sequence="clip")
        with pytest.raises(StateError, match="sequence 'clip' is closed: it was scored as a whole"):
            meter.update_sequence(preds, [B] * 6, sequence="clip", schedule=schedule)
    assert (bank.curve(), meter.to_json()) == (curve, state)


@pytest.mark.parametrize("value", [*NO_LISTS, None], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("argument", ["preds", "targets"])
def test_a_clip_is_what_has_an_order(argument: str, value: Any) -> None:
    at_labels = simulate_stream(5, num_frames=1, fps=10, label_times_ms=[50])
    clip = {"preds": [A], "targets": [B], argument: value}
    for update in (
        OffsetBank(2, max_offset=1).update_sequence,
        FlameMeter(2).update_sequence,
        partial(FlameMeter(2).update_sequence, schedule=Schedule.fixed(1, 0)),
        partial(FlameMeter(2).update_sequence, schedule=at_labels),
    ):
        with pytest.raises(ConfigError, match=f"^`{argument}` is .*, expected an iterable of label maps, with None"):
            update(**clip, sequence="a")


@pytest.mark.parametrize("schedule", [3, "fixed", {}, [-1, 0], False, StreamConfig(), Schedule])
def test_what_is_no_schedule(schedule: Any) -> None:
    with pytest.raises(ConfigError, match=r"^`schedule` is .*, expected a Schedule$"):
        FlameMeter(2).update_sequence([A], [A], sequence="a", schedule=schedule)


@pytest.mark.parametrize(
    ("holes", "message"),
    [
        (5, "`holes` is 5, expected a collection of frame numbers"),
        (None, "`holes` is None, expected a collection of frame numbers"),
        (iter([1]), "`holes` is <list_iter.*, expected a collection of frame numbers"),
        ("1", "`holes` is '1', expected a whole number of frames >= 0"),
        ([1, -1], "`holes` is -1, expected a whole number of frames >= 0"),
        ([1.0], "`holes` is 1.0, expected a whole number of frames >= 0"),
        ([1, 2], "`holes` names frame 2 of sequence 'new', where there is a label map, expected None for both"),
        ({3}, "`holes` names frame 3 of sequence 'new', where there is a label map, expected None for both"),
    ],
)
def test_holes_that_are_refused(holes: Any, message: str) -> None:
    bank = bank_of()
    with pytest.raises(ConfigError, match=f"^{message}$"):
        bank.update_sequence([A, None, A, None], [A, None, None, A], sequence="new", holes=holes)
    assert bank.sequences == ("clip",)
    bank.update_sequence([A, None], [A, None], sequence="new", holes=(np.int64(1),))


@pytest.mark.parametrize("sequence", [None, 0, 5, True, b"clip", ["clip"], math.nan])
def test_an_id_is_text(sequence: Any) -> None:
    bank, meter = OffsetBank(2, max_offset=1), FlameMeter(2)
    message = re.escape(f"`sequence` is {sequence!r}, expected a text id")
    with pytest.raises(ConfigError, match=message):
        bank.update_sequence([A], [B], sequence=sequence)
    with pytest.raises(ConfigError, match=message):
        meter.update_sequence([A], [B], sequence=sequence, schedule=Schedule.fixed(1, 0))
    assert bank.sequences == ()


def test_a_bank_says_which_prediction_is_missing() -> None:
    bank = OffsetBank(2, max_offset=3, fps=10)
    bank.update_sequence([A] * 4, [B] * 4, sequence="whole")
    bank.update_sequence([A, A, None, A], [B, None, None, B], sequence="partly")
    message = "the prediction of frame 2 of sequence 'partly' is None, but is on screen at frame 3"
    for ask in (
        lambda: bank.score(frame_offset=1),
        lambda: bank.stream(50),
        lambda: bank.expected(LatencyTrace([50, 250])),
        lambda: bank.phase_averaged(50),
        lambda: bank.losses(50),
    ):
        with pytest.raises(StateError, match=message):
            ask()
    assert bank.score(frame_offset=2).num_pairs == 2 + 1
