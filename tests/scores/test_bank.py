"""Every figure that a bank gives equals the figure from counting the pairs directly, to the integer."""

import math
import os
import warnings
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import (
    ConfigError,
    DatasetError,
    FlameMeter,
    FlameWarning,
    LatencyTrace,
    StateError,
    StreamConfig,
    frame_offset,
    simulate_stream,
)
from flame_metric.scores.bank import OffsetBank

pytestmark = [
    pytest.mark.usefixtures("loops"),
    pytest.mark.filterwarnings(r"ignore:\d sequence\(s\) yield no pair"),  # one clip has a single frame
]

C, VOID = 4, 9


def clip_of(seed: int, frames: int) -> tuple[list, list]:
    """Predictions and labels of a clip; some frames are unlabelled, the first and last are labelled."""
    generator = np.random.default_rng(seed)
    preds = list(generator.choice([0, 1, 2, 3, VOID], (frames, 3, 5)))
    targets = list(generator.choice([0, 1, 2, 3, VOID], (frames, 3, 5)))
    for frame in range(1, frames - 1):
        if generator.random() < 0.3:
            targets[frame] = None
    return preds, targets


CLIPS = {"a": clip_of(1, 12), "b": clip_of(2, 9), "c": clip_of(3, 1)}


@pytest.fixture(scope="module")
def bank(loops: str) -> OffsetBank:
    bank = OffsetBank(C, max_offset=11, fps=15, ignore_index=VOID, persistence=True)
    for name, (preds, targets) in CLIPS.items():
        bank.update_sequence(iter(preds), iter(targets), sequence=name)
    return bank


def directly(clips: dict, *, schedule_of=None, persistence: bool = False, **options):
    meter = FlameMeter(C, ignore_index=VOID, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        for name, (preds, targets) in clips.items():
            shown = targets if persistence else preds
            delay, current = meter.frame_offset, targets
            if persistence:  # a label that is not there cannot be compared with: that pair is left out
                without = [frame >= delay and shown[frame - delay] is None for frame in range(len(targets))]
                current = [None if lost else target for lost, target in zip(without, targets, strict=True)]
            schedule = None if schedule_of is None else schedule_of(name, len(preds))
            meter.update_sequence(shown, current, sequence=name, schedule=schedule)
        return meter.compute()


@pytest.mark.parametrize("offset", range(12))
def test_fixed_offsets(bank: OffsetBank, offset: int) -> None:
    found, expected = bank.score(frame_offset=offset), directly(CLIPS, frame_offset=offset)
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.tallies.tolist() == expected.tallies.tolist()
    assert bank.curve().results[offset] == found
    persistence = bank.score(frame_offset=offset, persistence=True)
    late = directly(CLIPS, frame_offset=offset, persistence=True)
    assert persistence.counts[:, :2].tolist() == late.counts[:, :2].tolist()
    assert persistence.num_pairs == late.num_pairs


@pytest.mark.parametrize("latency", [0, 1, 66.667, 100, 195, 330])
@pytest.mark.parametrize("fps", [None, 30, "50/3"])
def test_latencies_and_recorded_rates(bank: OffsetBank, latency: float, fps: object) -> None:
    found = bank.score(latency_ms=latency, recorded_fps=fps)
    assert found.frame_offset == frame_offset(latency, fps or 15)
    assert found == directly(CLIPS, latency_ms=latency, fps=fps or 15)


STREAMS = [
    StreamConfig(),
    StreamConfig(queue=None),
    StreamConfig(workers=2),
    StreamConfig(workers=None),
    StreamConfig(policy="tail"),
    StreamConfig(stride=2),
    StreamConfig(workers=None, show="last_finished"),
    StreamConfig(tie="strict", extra_latency_ms=20),
]


@pytest.mark.parametrize("config", STREAMS, ids=lambda config: f"{config}"[13:60])
@pytest.mark.parametrize("latency", [40, 66.667, 95.5, 150])
@pytest.mark.parametrize("before_first", ["skip", "void"])
def test_streams(bank: OffsetBank, config: StreamConfig, latency: float, before_first: str) -> None:
    found = bank.stream(latency, config, before_first=before_first)
    expected = directly(
        CLIPS,
        schedule_of=lambda _, frames: simulate_stream(latency, config, num_frames=frames, fps=15),
        before_first=before_first,
    )
    assert found.counts.tolist() == expected.counts.tolist()
    assert found.tallies.tolist() == expected.tallies.tolist()
    assert (found.frame_offset, found.config.fps, found.config.latency_ms) == (None, 15, latency)


@pytest.mark.parametrize("replay", ["call", "frame", "random"])
def test_jittery_traces(bank: OffsetBank, replay: str) -> None:
    samples = np.random.default_rng(4).gamma(4, 25, 12)
    trace = LatencyTrace(samples, replay=replay)
    found = bank.stream(trace, seed=7)
    expected = directly(
        CLIPS,
        schedule_of=lambda name, frames: simulate_stream(
            trace, num_frames=frames, fps=15, seed=7, sequence=name if replay == "random" else ""
        ),
    )
    assert found.counts.tolist() == expected.counts.tolist()


def test_clips_of_one_length_have_draws_of_their_own() -> None:
    bank = OffsetBank(2, max_offset=30, fps=15)
    for name in "ab":
        bank.update_sequence([[[0]]] * 30, [[[0]]] * 30, sequence=name)
    trace = LatencyTrace([20, 90, 200], replay="random")
    found = bank.schedules(trace, seed=3)
    for name in "ab":
        expected = simulate_stream(trace, num_frames=30, fps=15, seed=3, sequence=name)
        assert found[name].source.tolist() == expected.source.tolist()
    assert found["a"].source.tolist() != found["b"].source.tolist()


@given(st.integers(0, 2**32), st.integers(1, 10), st.integers(0, 400), st.sampled_from(STREAMS))
def test_law_any_clip_any_stream(seed: int, frames: int, latency: int, config: StreamConfig) -> None:
    preds, targets = clip_of(seed, frames)
    bank = OffsetBank(C, max_offset=frames, fps=24, ignore_index=VOID)
    bank.update_sequence(preds, targets, sequence="clip")
    expected = directly(
        {"clip": (preds, targets)},
        schedule_of=lambda _, number: simulate_stream(latency, config, num_frames=number, fps=24),
    )
    assert bank.stream(latency, config).counts.tolist() == expected.counts.tolist()


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_every_nth_frame(bank: OffsetBank, step: int) -> None:
    thinned = bank.every(step)
    clips = {name: (preds[::step], targets[::step]) for name, (preds, targets) in CLIPS.items()}
    assert thinned.fps == Fraction(15, step)
    for offset in range(thinned.max_offset + 1):
        found = thinned.score(frame_offset=offset)
        assert found.counts.tolist() == directly(clips, frame_offset=offset).counts.tolist()
    found = thinned.stream(1100 * step / 15, StreamConfig(workers=2))
    expected = directly(
        clips,
        schedule_of=lambda _, frames: simulate_stream(
            1100 * step / 15, StreamConfig(workers=2), num_frames=frames, fps=Fraction(15, step)
        ),
    )
    assert found.counts.tolist() == expected.counts.tolist()


def test_expected_score_weighs_offsets_by_their_samples(bank: OffsetBank) -> None:
    trace = LatencyTrace([10, 70, 70, 70, 190])
    times = Counter(frame_offset(sample, 15) for sample in (10, 70, 70, 70, 190))
    assert times == {1: 1, 2: 3, 3: 1}
    parts = [(number, bank.score(frame_offset=offset)) for offset, number in times.items()]
    found = bank.expected(trace)
    assert found.counts.tolist() == sum(number * part.counts for number, part in parts).tolist()
    assert found.tallies.tolist() == sum(number * part.tallies for number, part in parts).tolist()


def test_phase_averaged_score_is_the_mean_over_phases(bank: OffsetBank) -> None:
    """x = 3.25: staleness 4, 5, 6, 7 with 3/13, 4/13, 4/13, 2/13 (the closed form, not the rational phases)."""
    found = bank.phase_averaged(Fraction(13, 4) * 1000 / 15)
    parts = {4: 3, 5: 4, 6: 4, 7: 2}
    expected = sum(number * bank.score(frame_offset=offset).counts for offset, number in parts.items())
    assert found.counts.tolist() == np.asarray(expected).tolist()
    assert bank.phase_averaged(20).counts.tolist() == bank.score(frame_offset=1).counts.tolist()
    assert bank.phase_averaged(0).counts.tolist() == bank.score(frame_offset=0).counts.tolist()
    assert bank.phase_averaged(Fraction(1000, 15)).counts.tolist() == bank.score(frame_offset=1).counts.tolist()


def test_phases_that_never_occur_need_no_prediction() -> None:
    """A latency of two intervals is 3 or 4 frames late: that of frame 2 is never on screen at frame 4."""
    bank = OffsetBank(2, max_offset=4, fps=10)
    bank.update_sequence([[[0]], [[1]], None, None, None], [None] * 4 + [[[0]]], sequence="clip")
    assert bank.phase_averaged(200).total.tolist() == [[1, 0], [1, 1], [2, 0]]
    with pytest.raises(StateError, match="the prediction of frame 2 of sequence 'clip' is None"):
        bank.phase_averaged(195)


def falling(frames: int = 5) -> OffsetBank:
    """A dot that moves one pixel a frame: right at once, worth less with each frame of delay."""
    video = [np.eye(1, 20, frame * 2, dtype=int) + np.eye(1, 20, frame * 2 + 1, dtype=int) for frame in range(frames)]
    bank = OffsetBank(2, max_offset=3)
    bank.update_sequence(video, video, sequence="clip")
    return bank


def test_latency_budget_ends_where_the_curve_first_falls_below() -> None:
    bank = falling()
    assert bank.latency_budget(0.9, recorded_fps=30).frame_offset == 0
    assert bank.latency_budget(0.9, recorded_fps=30).latency_ms == 0
    budget = bank.latency_budget(0.4, recorded_fps=30)
    assert (budget.frame_offset, budget.latency_ms, budget.is_whole_bank) == (3, 100.0, True)
    assert bank.latency_budget(1.1, recorded_fps=30) is None


def test_a_score_itself_is_reached() -> None:
    whole = OffsetBank(2, max_offset=0, fps=10)
    whole.update_sequence([[[0] * 10]], [[[0] * 6 + [1] * 4]], sequence="clip")
    assert whole.score(frame_offset=0).miou == 0.3  # 6 of 10 and none of 4: no sum of halves, quarters, ...
    assert whole.latency_budget(0.3).is_whole_bank
    assert whole.latency_budget(np.nextafter(0.3, 1)) is None


def test_losses_add_up(bank: OffsetBank) -> None:
    losses = bank.losses(95.5)
    assert losses.static == directly(CLIPS, fps=15, frame_offset=0)
    assert losses.flame.frame_offset == 2
    assert losses.to_latency + losses.to_throughput == pytest.approx(losses.static.miou - losses.streaming.miou)
    assert math.isclose(losses.streaming.miou, bank.stream(95.5).miou)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda bank: bank.score(frame_offset=12), "`max_offset` of this bank is 11, but an offset of 12 frames"),
        (lambda bank: bank.score(latency_ms=5000), "but an offset of 75 frames"),
        (lambda bank: bank.score(), "`frame_offset` and `latency_ms` are both missing"),
        (lambda bank: bank.score(frame_offset=1, latency_ms=1), "are both given"),
        (lambda bank: bank.expected(LatencyTrace([5000])), "but an offset of 75 frames"),
        (lambda bank: bank.phase_averaged(500), "but an offset of 15 frames"),
        (lambda bank: bank.every(0), "`step` is 0"),
        (lambda bank: bank.stream(LatencyTrace([1, 2])), "`latency` is a trace of 2 samples"),
        (lambda _: falling().stream(10), "`fps` is missing, expected the frame rate .* as `recorded_fps`"),
        (lambda _: falling().score(latency_ms=10), "`fps` is missing, expected the frame rate .* as `recorded_fps`"),
        (lambda _: falling().latency_budget(0.5), "`fps` is missing, expected the frame rate .* as `recorded_fps`"),
        (lambda bank: bank.score(frame_offset=0, recorded_fps=0), "`recorded_fps` is 0, expected a rate above 0"),
        (lambda _: falling().score(frame_offset=0, persistence=True), "`persistence` is asked of a bank"),
        (lambda _: OffsetBank(2, max_offset=-1), "`max_offset` is -1"),
        (lambda bank: bank.update_sequence([], [], sequence=""), "`sequence` is '', expected a text id"),
    ],
)
def test_questions_that_are_refused(bank: OffsetBank, ask, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ask(bank)


def test_predictions_that_are_missing_are_named_when_they_are_needed() -> None:
    bank = OffsetBank(2, max_offset=2)
    bank.update_sequence([[[0]], None, [[0]]], [[[0]], None, [[0]]], sequence="clip")
    assert bank.score(frame_offset=0).num_pairs == 2
    assert bank.score(frame_offset=2).num_pairs == 1
    with pytest.raises(
        StateError, match="the prediction of frame 1 of sequence 'clip' is None, but is on screen at frame 2"
    ):
        bank.score(frame_offset=1)


def test_labels_count_where_no_prediction_is_at_hand() -> None:
    """Nothing was predicted for frame 0: its labels are missed, as on any stream that has not shown anything yet."""
    bank = OffsetBank(2, max_offset=1, fps=15)
    bank.update_sequence([None, [[1, 0]], None], [[[0, 1]], None, [[1, 1]]], sequence="clip")
    assert bank.stream(60, before_first="void").total.tolist() == [[0, 1], [1, 1], [1, 3]]


def test_a_clip_counts_once() -> None:
    bank = falling()
    with pytest.raises(StateError, match="sequence 'clip' is in the bank already"):
        bank.update_sequence([], [], sequence="clip")


@pytest.mark.skipif(
    not os.environ.get("FLAME_METRIC_TEST_DATA"), reason="FLAME_METRIC_TEST_DATA names no folder of real label maps"
)
def test_real_label_maps() -> None:
    """CamVid: the curve of persistence, and streams against counting the pairs directly."""
    image = pytest.importorskip("PIL.Image")
    files = sorted(Path(os.environ["FLAME_METRIC_TEST_DATA"], "camvid_dense", "labels").glob("*.png"))
    maps = [np.array(image.open(file)) for file in files]
    bank = OffsetBank(11, max_offset=10, fps=15, ignore_index=11)
    bank.update_sequence(maps, maps, sequence="0016E5")
    assert [round(float(miou), 6) for miou in bank.curve().miou[[1, 5, 10]]] == [0.735525, 0.510707, 0.421644]
    for latency, config in ((95.5, StreamConfig()), (70, StreamConfig(queue=None)), (150, StreamConfig(workers=2))):
        meter = FlameMeter(11, ignore_index=11)
        schedule = simulate_stream(latency, config, num_frames=len(maps), fps=15)
        meter.update_sequence(maps, maps, sequence="0016E5", schedule=schedule)
        assert bank.stream(latency, config).counts.tolist() == meter.compute().counts.tolist()


# ── on disk, and together ──


def test_a_saved_bank_is_the_same_bank(bank: OffsetBank, tmp_path: Path) -> None:
    bank.save(tmp_path / "bank.npz")
    again = OffsetBank.load(tmp_path / "bank.npz")
    assert (again.sequences, again.fps, again.max_offset) == (bank.sequences, bank.fps, bank.max_offset)
    assert again.curve() == bank.curve()
    assert again.stream(95.5) == bank.stream(95.5)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.npz"]


def test_an_empty_bank_survives(tmp_path: Path) -> None:
    OffsetBank(3, max_offset=2).save(tmp_path / "bank.npz")
    assert OffsetBank.load(tmp_path / "bank.npz").sequences == ()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_bank(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bank.npz").write_bytes(content)
    with pytest.raises(StateError, match=r"bank\.npz: is not a 'flame-metric bank 1' file"):
        OffsetBank.load(tmp_path / "bank.npz")
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        OffsetBank.load(tmp_path / "none.npz")


def edited(bank: OffsetBank, file: Path, name: str, change) -> Path:
    bank.save(file)
    with np.load(file) as archive:
        arrays = dict(archive)
    arrays[name] = change(arrays[name])
    np.savez(file, **arrays)
    return file


def replacing(old: bytes, new: bytes):
    return lambda header: np.frombuffer(header.tobytes().replace(old, new), np.uint8)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("counts", lambda counts: counts + 1),
        ("counts", lambda counts: -counts),
        ("counts", lambda counts: counts.astype(np.float64)),
        ("counts", lambda counts: counts[:, 1:]),
        ("labelled", lambda labelled: labelled + 1),
        ("pixels", lambda pixels: pixels[:, ::-1]),
        ("pixels", lambda pixels: pixels * 2**60),
        ("frame", lambda frame: frame[::-1]),
        ("frame", lambda frame: frame + 100),
        ("state", lambda state: 1 - state),
        ("num_frames", lambda frames: frames - 1),
        ("num_labelled", lambda labelled: labelled + 1),
        ("header", lambda header: header[:-3]),
        ("header", lambda header: np.frombuffer(header.tobytes().replace(b'"b"', b'"a"'), np.uint8)),
        (
            "header",
            lambda header: np.frombuffer(header.tobytes().replace(b'"max_offset": 11', b'"max_offset": 9'), np.uint8),
        ),
        ("header", lambda header: np.array([{}], object)),
    ],
)
def test_edited_banks_are_refused(bank: OffsetBank, name: str, change, tmp_path: Path) -> None:
    with pytest.raises(StateError):
        OffsetBank.load(edited(bank, tmp_path / "bank.npz", name, change))


def test_banks_merge_exactly(bank: OffsetBank) -> None:
    parts = []
    for names in ("ab", "bc"):
        part = OffsetBank(C, max_offset=11, fps=15, ignore_index=VOID, persistence=True)
        for name in names:
            part.update_sequence(*CLIPS[name], sequence=name)
        parts.append(part)
    with pytest.warns(FlameWarning, match=r"^1 sequence\(s\) came twice with identical counts .* kept once: \['b'\]$"):
        parts[0].merge(parts[1])
    assert parts[0].curve() == bank.curve()


def test_unlike_banks_do_not_merge() -> None:
    with pytest.raises(StateError, match="unlike configuration cannot merge: max_offset: 2 / 3; fps: None / 15"):
        OffsetBank(2, max_offset=2).merge(OffsetBank(2, max_offset=3, fps=15))
    first, second = OffsetBank(2, max_offset=0), OffsetBank(2, max_offset=0)
    first.update_sequence([[[0]]], [[[0]]], sequence="a")
    second.update_sequence([[[1]]], [[[0]]], sequence="a")
    with pytest.raises(StateError, match="sequence 'a' has different counts in the two banks"):
        first.merge(second)
