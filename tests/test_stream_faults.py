"""What streams, traces and banks refuse: the kind of the error, what was found and what was expected.

The tables here complete those beside the tests of each module.
"""

import io
import json
import math
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flame_metric import (
    ConfigError,
    DatasetError,
    FlameMeter,
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
    "bank.losses": (r"latency\w*", lambda value: bank_of().losses(value)),
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


@pytest.mark.parametrize("door", [door for door in MILLISECONDS if door not in ("bank.score", "bank.losses")])
def test_none_is_no_duration(door: str) -> None:
    assert_no_duration(door, None, "None")


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
@pytest.mark.parametrize("door", [door for door in MILLISECONDS if door.startswith("bank") or door == "warm-up"])
def test_negative_and_endless_durations(door: str, value: float) -> None:
    assert_no_duration(door, value, f"{value}")


@pytest.mark.parametrize("sample", [-1, 1.0, 1.5, math.nan, math.inf, "5", None, True, np.float64(1), [5]])
@pytest.mark.parametrize("argument", ["samples_ns", "warmup_ns"])
def test_nanoseconds_are_whole_numbers(argument: str, sample: Any) -> None:
    message = re.escape(f"`{argument}` is {sample!r}, expected a whole number >= 0")
    with pytest.raises(ConfigError, match=message):
        LatencyTrace.from_ns(**{"samples_ns": [5], argument: [5, sample]})


# ── times ──


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([5, 4], "is 4.0 ms at 1 after 5.0 ms, expected ascending times"),
        ([0, 100, 200, 50], "is 50.0 ms at 3 after 200.0 ms, expected ascending times"),
        ([7, 7], "is 7.0 ms at 1 after 7.0 ms, expected ascending times"),
        ([0, 1.0000001, 1.0000002], "is 1.0 ms at 2 after 1.0 ms, expected ascending times"),  # one nanosecond
        (np.array([0.0, 3.0, 2.0]), "is 2.0 ms at 2 after 3.0 ms, expected ascending times"),
        ("0 100", "is '0', expected milliseconds >= 0"),
        (100, "is 100, expected a list of times in milliseconds"),
        (True, "is True, expected a list of times in milliseconds"),
        (math.nan, "is nan, expected a list of times in milliseconds"),
    ],
)
@pytest.mark.parametrize("argument", ["arrivals_ms", "label_times_ms"])
def test_times_that_do_not_ascend(argument: str, times: Any, message: str) -> None:
    stream = {} if argument == "arrivals_ms" else {"num_frames": 3, "fps": 10}
    with pytest.raises(ConfigError, match=re.escape(f"`{argument}` {message}")):
        simulate_stream(1, **stream, **{argument: times})


@pytest.mark.parametrize(
    ("stream", "message"),
    [
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
        ("policy", ["", "Greedy", None, 0, True, math.nan, ["greedy"]], "one of greedy, tail"),
        ("tie", ["", "Strict", None, 0, True, math.nan, ["strict"]], "one of inclusive, strict"),
        ("show", ["", "Freshest", None, 0, True, math.nan, ["freshest"]], "one of freshest, last_finished"),
    ],
)
def test_options_out_of_range(name: str, values: list[Any], expected: str) -> None:
    for value in values:
        with pytest.raises(ConfigError, match=re.escape(f"`{name}` is {value!r}, expected {expected}")):
            StreamConfig(**{name: value})


@pytest.mark.parametrize("value", ["", "Void", None, True, 0, math.nan, ["skip"]])
def test_before_first_out_of_range(value: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"`before_first` is {value!r}, expected one of skip, void")):
        bank_of().stream(10, before_first=value)


# ── traces ──


@pytest.mark.parametrize(
    ("replay", "options", "message"),
    [
        ("call", {}, "a trace of 4 samples, but the stream reaches call 4, expected a sample for each"),
        ("frame", {}, "a trace of 4 samples, but the stream reaches frame 4, expected a sample for each"),
        ("frame", {"stride": 5}, "a trace of 4 samples, but the stream reaches frame 5"),
        ("call", {"workers": 2, "queue": None}, "a trace of 4 samples, but the stream reaches call 4"),
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
    with pytest.raises(ConfigError, match=f"`latency` is {message}"):
        bank.stream(trace.replayed(replay), StreamConfig(**options))
    assert bank.stream(trace.replayed("random"), StreamConfig(**options)).num_pairs  # what the message advises


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ({"metadata": {"device": "A"}}, {}, "device: A / None"),
        ({}, {"metadata": {"device": "A"}}, "device: None / A"),
        (
            {"metadata": {"device": "A", "shape": [1, 2], "batch": 1}},
            {"metadata": {"device": "A", "shape": [2, 1], "batch": 2}},
            "batch: 1 / 2; shape: [1, 2] / [2, 1]",
        ),
        ({"metadata": {"versions": {"torch": "2"}}}, {"metadata": {"versions": {"torch": "3"}}}, "versions: "),
        ({"replay": "random"}, {}, "replay: random / call"),
        ({"metadata": {"a": 1}, "replay": "frame"}, {}, "a: 1 / None; replay: frame / call"),
    ],
)
def test_traces_of_unlike_runs(left: dict[str, Any], right: dict[str, Any], message: str) -> None:
    with pytest.raises(StateError, match=re.escape(f"latency traces of unlike runs cannot merge: {message}")):
        LatencyTrace([1], **left).merge(LatencyTrace([1], **right))


def test_a_scaled_trace_is_another_run() -> None:
    trace = LatencyTrace([10, 20])
    with pytest.raises(StateError, match="unlike runs cannot merge: scaled: None / 1/2"):
        trace.merge(trace.scaled(0.5))
    assert trace.scaled(0.5).merge(trace.scaled("1/2")).samples_ns == (5_000_000, 10_000_000) * 2


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
        (lambda bank: bank.score(latency_ms=300, fps=20), 3, 6),
        (lambda bank: bank.stream(400, StreamConfig(workers=None)), 3, 4),
        (lambda bank: bank.stream(300), 3, 5),  # on screen at 5: the prediction of 0
        (lambda bank: bank.stream(100, fps=60), 3, 11),
        (lambda bank: bank.stream(150, OVERLOADED), 3, 5),
        (lambda bank: bank.stream(150, OVERLOADED, before_first="void", persistence=True), 3, 5),
        (lambda bank: bank.losses(400), 3, 4),
        (lambda bank: bank.losses(150, OVERLOADED), 3, 5),
        (lambda bank: bank.expected(LatencyTrace([10, 10, 310])), 3, 4),
        (lambda bank: bank.expected(LatencyTrace([100]), fps=50), 3, 5),
        (lambda bank: bank.phase_averaged(200), 3, 4),
        (lambda bank: bank.phase_averaged(100, fps=20), 3, 4),
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
    ],
)
def test_banks_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OffsetBank(**{"num_classes": 2, "max_offset": 1} | options)


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
    bank.merge(bank_of(fps=16.666666666666668))
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
    ([A, A, A], [B, B], ShapeError, "`preds` goes on after frame 1, expected as many predictions as targets"),
    ([A, A], [B, B, B], ShapeError, "`targets` goes on after frame 1, expected as many predictions as targets"),
    ([A, A, A], [B, B, WRONG], LabelError, r"`target` holds label\(s\) \[7\] \(1 pixels\), expected 0\.\.1"),
    ([WRONG, A, A], [B, B, B], LabelError, r"`pred` holds label\(s\) \[7\] \(1 pixels\), expected 0\.\.1"),
    ([WRONG, A, A], [None, B, B], LabelError, r"`pred` holds label\(s\) \[7\]"),
    ([A, A, A], [B, B, [[0.0, 1.0]]], LabelError, "`target` holds float64 values"),
    ([A, A, A], [B, B, [["a", "b"]]], LabelError, "`target` holds <U1 values"),
    ([A, A, A], [B, B, [0, 1]], ShapeError, r"`target` has shape \(2,\), expected one label map"),
    ([A, A, A], [B, B, np.zeros((0, 2), int)], ShapeError, r"`target` has shape \(0, 2\), expected one label map"),
    ([A, A, A], [B, B, [[0], [1]]], ShapeError, r"`pred` has shape \(1, 2\) and `target` \(2, 1\), expected the same"),
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


# ── files ──


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bank of two clips with void, a hole and a missing prediction, as it lies on disk."""
    bank = OffsetBank(3, max_offset=2, fps="50/3", ignore_index=9, persistence=True)
    clip = [[[0, 1, 0]], [[1, 0, 0]], [[1, 1, 2]], [[0, 2, 9]]]
    bank.update_sequence(clip, [clip[0], None, *clip[2:]], sequence="a")
    bank.update_sequence([clip[0], None], clip[1:3], sequence="b")
    file = tmp_path_factory.mktemp("bank") / "bank.npz"
    bank.save(file)
    return file.read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bank.npz"


def arrays_of(saved: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(saved)) as archive:
        return dict(archive)


def refused(file: Path, message: str) -> None:
    with pytest.raises(StateError, match=message):
        OffsetBank.load(file)


NO_BANK = r"bank\.npz: is no 'flame-metric bank \d' file: ."


def test_cut_files(saved: bytes, file: Path) -> None:
    for length in {*range(0, len(saved), 13), 1, 2, 4, len(saved) - 1}:
        file.write_bytes(saved[:length])
        refused(file, NO_BANK)


def test_a_flipped_bit_is_found_or_harms_nothing(saved: bytes, file: Path) -> None:
    arrays, found = arrays_of(saved), 0
    for index in range(0, len(saved), 3):
        damaged = bytearray(saved)
        damaged[index] ^= 1 << index % 8
        file.write_bytes(damaged)
        try:
            bank = OffsetBank.load(file)
        except (StateError, DatasetError):  # some bytes are dates and flags of the archive, which nobody reads
            found += 1
        else:
            bank.save(file)
            again = arrays_of(file.read_bytes())
            assert again.keys() == arrays.keys()
            assert all(np.array_equal(again[name], array) for name, array in arrays.items())
    assert found > len(saved) / 6


class Intruder:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("unpickled"),)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Intruder()),
        pickle.dumps({"num_classes": 2}),
        b"\x89PNG\r\n\x1a\n",
        "Bänke, Bänke".encode("utf-16"),
        b'{"format": "flame-metric bank 1"}',
    ],
    ids=["pickle that runs", "pickle", "PNG", "text", "JSON"],
)
def test_files_of_another_kind(content: bytes, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    file.write_bytes(content)
    refused(file, NO_BANK)
    assert [path.name for path in file.parent.iterdir()] == ["bank.npz"]


def test_an_array_alone_is_no_bank(file: Path) -> None:
    for array in (np.arange(3), np.array([Intruder()], object)):
        with file.open("wb") as opened:
            np.save(opened, array)
        refused(file, NO_BANK)


def test_a_folder_is_no_bank(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot be read: (Is a directory|Permission denied)") as found:
        OffsetBank.load(tmp_path)
    assert found.value.path == str(tmp_path)


def test_every_array_is_needed(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    assert len(arrays) > 1
    for name in arrays:
        np.savez(file, **{other: array for other, array in arrays.items() if other != name})
        refused(file, rf"{NO_BANK}*{name}")
    np.savez(file)
    refused(file, NO_BANK)


def test_no_array_is_unpickled(saved: bytes, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    for name, array in arrays_of(saved).items():
        intruders = np.full(array.shape, Intruder(), object)
        np.savez(file, **arrays_of(saved) | {name: intruders})
        refused(file, rf"{NO_BANK}*Object arrays cannot be loaded")
    assert [path.name for path in file.parent.iterdir()] == ["bank.npz"]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint64, np.complex64, "U5", "datetime64[s]"])
def test_arrays_of_another_dtype(saved: bytes, file: Path, dtype: Any) -> None:
    for name, array in arrays_of(saved).items():
        other = array.astype(np.int64).astype(dtype)
        np.savez(file, **arrays_of(saved) | {name: other})
        no_header = r"this is no 'flame-metric bank \d' record|incomplete or damaged"
        refused(file, no_header if name == "header" else re.escape(f"`{name}` of this bank is {other.dtype}"))


def test_arrays_of_another_shape(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    for name in arrays.keys() - {"header"}:
        array = arrays[name]
        for other in (array[:-1], array[None], array.ravel()[:1], array[:0], np.array(5), np.concatenate([array] * 2)):
            np.savez(file, **arrays | {name: other})
            refused(file, f"`{name}` of this bank is .*, expected")


def test_counts_that_contradict_each_other(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    edited = 0
    for name, array in arrays.items():
        if array.dtype != np.int64:
            continue
        for other in (-array, array - 1, array + 2**62, np.full_like(array, 2**63 - 1), np.full_like(array, -(2**63))):
            np.savez(file, **arrays | {name: other})
            refused(file, "the counts of sequence 'a' contradict each other")
            edited += 1
    assert edited >= 10


@pytest.mark.parametrize(
    "change",
    [
        {"format": "flame-metric bank 0"},
        {"format": "flame-metric meter 1"},
        {"format": None},
        {"num_classes": 4},
        {"num_classes": 2},
        {"num_classes": 3.0},
        {"num_classes": "3"},
        {"num_classes": None},
        {"num_classes": 10**30},
        {"max_offset": 1},
        {"max_offset": 3},
        {"max_offset": -1},
        {"max_offset": 2.0},
        {"max_offset": True},
        {"max_offset": 10**12},
        {"max_offset": 10**30},
        {"fps": 0},
        {"fps": "0"},
        {"fps": "-5"},
        {"fps": "nan"},
        {"fps": True},
        {"fps": "1e9"},
        {"ignore_index": "9"},
        {"ignore_index": 9.0},
        {"persistence": False},
        {"persistence": None},
        {"clips": None},
        {"clips": 5},
        {"clips": "ab"},
        {"clips": [1, 2]},
        {"clips": []},
        {"clips": {}},
    ],
    ids=str,
)
def test_edited_headers(saved: bytes, file: Path, change: dict[str, Any]) -> None:
    write_header(saved, file, lambda header: header | change)
    refused(file, "expected|incomplete or damaged")


@pytest.mark.parametrize(
    "change",
    [
        {"id": 5},
        {"id": None},
        {"id": "b"},
        {"num_frames": 3},
        {"num_frames": -1},
        {"num_frames": 4.0},
        {"num_frames": "4"},
        {"num_frames": True},
        {"labelled_frames": 2},
        {"labelled_frames": 4},
        {"labelled_frames": -3},
        {"labelled_frames": 3.0},
        {"labelled_frames": 10**30},
    ],
    ids=str,
)
def test_edited_clips_in_the_header(saved: bytes, file: Path, change: dict[str, Any]) -> None:
    write_header(saved, file, lambda header: header | {"clips": [header["clips"][0] | change, header["clips"][1]]})
    refused(file, "expected|incomplete or damaged|contradict each other")


def test_clips_that_are_exchanged_or_come_twice(saved: bytes, file: Path) -> None:
    for change in (lambda clips: clips[::-1], lambda clips: clips * 2, lambda clips: clips[:1]):
        write_header(saved, file, lambda header, change=change: header | {"clips": change(header["clips"])})
        refused(file, "expected|contradict each other")


def test_every_field_of_the_header_is_needed(saved: bytes, file: Path) -> None:
    header = header_of(saved)
    for name in header:
        write_header(saved, file, lambda header, name=name: {key: header[key] for key in header if key != name})
        refused(file, "format None|'\\w+' is missing")
    for name in header["clips"][0]:
        clip = {key: value for key, value in header["clips"][0].items() if key != name}
        write_header(saved, file, lambda header, clip=clip: header | {"clips": [clip, *header["clips"][1:]]})
        refused(file, f"'{name}' is missing")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"null", b"[]", b"5", b"\xff\xfe", b"[" * 100_000, b'{"format": NaN}', b"{} {}", b"\0" * 9]
)
def test_headers_that_are_no_json(saved: bytes, file: Path, text: bytes) -> None:
    np.savez(file, **arrays_of(saved) | {"header": np.frombuffer(text, np.uint8)})
    refused(file, r"this is no 'flame-metric bank \d' record|a record of format|incomplete or damaged")


def header_of(saved: bytes) -> dict[str, Any]:
    return json.loads(arrays_of(saved)["header"].tobytes())


def write_header(saved: bytes, file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    text = json.dumps(change(header_of(saved))).encode()
    np.savez(file, **arrays_of(saved) | {"header": np.frombuffer(text, np.uint8)})


def npy(shape: str, descr: str = "'<i8'", data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "member",
    [
        npy("(1000000,)"),  # eight megabytes that are not there
        npy(f"({10**15},)"),
        npy(f"({10**18}, 1)"),
        npy(f"({10**30},)"),
        npy("(-1,)"),
        npy("(2,)", data=b"\0" * 15),
        npy("(2,)", "'|O'", pickle.dumps([Intruder(), 1])),
        npy("(2,)", "'zz'", b"\0" * 16),
        npy("('a',)"),
        npy("__import__('pathlib').Path('unpickled').touch()"),
        npy("(" * 50),
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY\x01\x00\xff\xff{",
        pickle.dumps(Intruder()),
        b"text",
        b"",
    ],
)
def test_arrays_that_claim_what_they_are_not(
    saved: bytes, file: Path, member: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for replaced in members:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, member if name == replaced else content)
        refused(file, f"{NO_BANK}|incomplete or damaged")
    assert [path.name for path in file.parent.iterdir()] == ["bank.npz"]


def test_saving_where_it_cannot_be(tmp_path: Path) -> None:
    bank = bank_of()
    with pytest.raises(FileNotFoundError):
        bank.save(tmp_path / "missing" / "bank.npz")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        bank.save(tmp_path / "folder")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        bank.save(tmp_path / "file" / "bank.npz")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="only some systems limit the size of files")
    bank = bank_of()
    bank.save(tmp_path / "bank.npz")
    before = (tmp_path / "bank.npz").read_bytes()
    bank.update_sequence([A], [B], sequence="more")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            bank.save(tmp_path / "bank.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"bank.npz": before}
