"""Another camera on the same scene: what a bank says is what an evaluation of the thinned video says."""

from fractions import Fraction

import numpy as np
import pytest

from flame_metric import ConfigError, FlameResult, LatencyTrace, StateError, StreamConfig, flame_score, simulate_stream
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.evaluation import Evaluation
from flame_metric.scores.ranking import rank
from oracle import clip_counts, fixed_sources, mean_iou

C, VOID, RATE, FRAMES = 4, 9, 24, 24


def clip_of(seed: int, frames: int, labelled: int) -> tuple[list, list]:
    """Predictions of each frame, labels of every so many."""
    generator = np.random.default_rng(seed)
    preds = list(generator.choice([0, 1, 2, 3, VOID], (frames, 3, 5)))
    targets = list(generator.choice([0, 1, 2, 3, VOID], (frames, 3, 5)))
    return preds, [target if frame % labelled == 0 else None for frame, target in enumerate(targets)]


def filled(labelled: int, fps: object = RATE) -> tuple[OffsetBank, dict[str, tuple[list, list]]]:
    clips = {"a": clip_of(1, FRAMES, labelled), "b": clip_of(2, FRAMES - 3, labelled)}
    bank = OffsetBank(C, max_offset=12, fps=fps, ignore_index=VOID, persistence=True)
    for name, (preds, targets) in clips.items():
        bank.update_sequence(preds, targets, sequence=name)
    return bank, clips


def expected(clips: dict, step: int, sources) -> np.ndarray:
    """The oracle's counts of the video that a camera of every step-th frame would have taken."""
    thinned = {name: (preds[::step], targets[::step]) for name, (preds, targets) in clips.items()}
    return np.stack([clip_counts(*thinned[name], sources(len(thinned[name][0])), C, VOID)[0] for name in thinned])


@pytest.mark.parametrize("labelled", [1, 2, 5], ids=lambda every: f"a label on every {every}")
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_a_bank_answers_as_the_thinned_video(labelled: int, step: int) -> None:
    bank, clips = filled(labelled)
    rate = Fraction(RATE, step)
    for offset in range(12 // step + 1):
        wanted = expected(clips, step, lambda frames, k=offset: fixed_sources(k, frames))
        latency = float(offset * 1000 / rate)
        for found in (
            bank.score(latency_ms=latency, fps=rate),
            bank.score(frame_offset=offset, fps=str(rate)),
            bank.curve(fps=rate).results[offset],
            evaluate_bank(bank, latency_ms=latency, fps=rate).flame,
            evaluate_bank(bank, frame_offset=offset, every=step).flame,
        ):
            assert found.counts.tolist() == wanted.tolist()
            assert (found.frame_offset, found.config.fps) == (offset, rate)
            assert found.miou == pytest.approx(mean_iou(wanted.sum(axis=0)), nan_ok=True)
    latency = float(Fraction(5, 4) * 1000 / rate)

    def streamed(frames: int) -> list[int]:
        return simulate_stream(latency, num_frames=frames, fps=rate).source.tolist()

    for found in (
        bank.stream(latency, fps=rate),
        bank.losses(latency, fps=rate).streaming,
        evaluate_bank(bank, latency_ms=latency, stream=StreamConfig(), fps=rate).streaming.result,
    ):
        assert found.counts.tolist() == expected(clips, step, streamed).tolist()


def test_every_question_takes_the_camera() -> None:
    bank, _ = filled(1)
    slower = bank.every(2)
    assert bank.expected(LatencyTrace([90, 180]), fps=12) == slower.expected(LatencyTrace([90, 180]))
    assert bank.phase_averaged(100, fps=12) == slower.phase_averaged(100)
    assert bank.schedules(90, fps=12)["a"].source.tolist() == slower.schedules(90)["a"].source.tolist()
    assert bank.camera(12).camera(6).score(frame_offset=1) == bank.score(frame_offset=1, fps=6)
    assert bank.camera(RATE) is bank


def test_the_budget_is_a_multiple_of_the_interval_of_the_camera() -> None:
    """A dot that moves a pixel a frame: of 30 fps two frames late is one frame late at 15."""
    dot = [np.eye(1, 40, frame, dtype=int) + np.eye(1, 40, frame + 1, dtype=int) for frame in range(20)]
    bank = OffsetBank(2, max_offset=6, fps=30)
    bank.update_sequence(dot, dot, sequence="clip")
    half = bank.score(frame_offset=1).miou
    assert bank.latency_budget(half).latency_ms == pytest.approx(1000 / 30)
    assert bank.latency_budget(half, fps=15).latency_ms == 0


def test_a_wrong_recorded_rate() -> None:
    bank, _ = filled(1, fps=30)
    right, _ = filled(1)
    assert bank.score(latency_ms=90, recorded_fps=24) == right.score(latency_ms=90)
    assert bank.score(latency_ms=90, recorded_fps=24, fps=12) == right.score(latency_ms=90, fps=12)
    assert bank.every(2).score(latency_ms=90, recorded_fps=24) == right.score(latency_ms=90, fps=12)
    assert bank.latency_budget(0, recorded_fps=24).latency_ms == 500
    assert bank.fps == 30
    unknown, _ = filled(1, fps=None)
    assert unknown.stream(90, recorded_fps="24") == right.stream(90)
    assert evaluate_bank(unknown, latency_ms=90, recorded_fps=24, fps=8) == evaluate_bank(right, latency_ms=90, fps=8)
    copy = unknown.camera(recorded_fps=24)
    copy.update_sequence([[[0]]], [[[0]]], sequence="more")
    assert unknown.sequences == ("a", "b")


@pytest.mark.parametrize("fps", [10, 23.976, 25, 48, "24000/1001", 7])
def test_other_rates_are_refused_with_those_that_there_are(fps: object) -> None:
    bank, _ = filled(1)
    for ask in (
        lambda: bank.score(latency_ms=90, fps=fps),
        lambda: bank.stream(90, fps=fps),
        lambda: bank.curve(fps=fps),
        lambda: bank.latency_budget(0.5, fps=fps),
        lambda: bank.expected(LatencyTrace([90]), fps=fps),
        lambda: bank.phase_averaged(90, fps=fps),
        lambda: bank.losses(90, fps=fps),
        lambda: evaluate_bank(bank, latency_ms=90, fps=fps),
    ):
        with pytest.raises(
            ConfigError, match=rf"`fps` is {fps}, but .* of 24 fps answers for 24, 12, 8, 6, .*`recorded_fps`"
        ):
            ask()


def test_rates_without_labels_are_not_among_them() -> None:
    """As in Cityscapes: one label a clip, on frame 19, which only two cameras take."""
    bank = OffsetBank(2, max_offset=4, fps=17)
    bank.update_sequence([[[0]]] * 30, [None] * 19 + [[[0]]] + [None] * 10, sequence="clip")
    with pytest.raises(
        ConfigError, match=r"`fps` is 8\.5, but .* answers for 17, 17/19 fps: .* where there are labels;"
    ):
        bank.score(latency_ms=90, fps=8.5)
    assert bank.score(frame_offset=0, fps="17/19").num_pairs == 1


def test_without_a_recorded_rate_there_is_no_other_camera() -> None:
    bank, _ = filled(1, fps=None)
    for ask in (bank.score, bank.curve):
        with pytest.raises(
            ConfigError, match=r"`fps` is 12, but .* cannot answer for another camera; .*`recorded_fps`"
        ):
            ask(fps=12, **({} if ask == bank.curve else {"latency_ms": 90}))
    assert bank.every(2).score(frame_offset=1).config.camera == "frames 0, 2, 4, .."


def test_a_prediction_that_is_missing_is_named_as_it_was_recorded() -> None:
    maps = [[[0, 1]]] * 9
    bank = OffsetBank(2, max_offset=6, fps=24)
    bank.update_sequence([None if frame == 4 else one for frame, one in enumerate(maps)], maps, sequence="clip")
    with pytest.raises(StateError, match=r"the prediction of frame 4 of sequence 'clip' is None, .* at frame 6 "):
        bank.score(frame_offset=1, fps=12)
    assert "(clip/4)" in " ".join(evaluate_bank(bank, frame_offset=3, fps=12).notes)


def test_a_trace_by_frame_does_not_say_which_frames() -> None:
    bank, _ = filled(1)
    by_frame = LatencyTrace(range(40, 40 + FRAMES), replay="frame")
    assert bank.stream(by_frame).config.schedule.endswith("24 latencies by frame")
    for ask in (
        lambda: bank.stream(by_frame, fps=12),
        lambda: bank.losses(by_frame, fps=12),
        lambda: evaluate_bank(bank, trace=by_frame, fps=12),
        lambda: evaluate_bank(bank, trace=by_frame, every=2),
    ):
        with pytest.raises(
            ConfigError, match=r"a trace with a sample for each frame, but this camera takes only frames 0"
        ):
            ask()
    assert bank.stream(by_frame.replayed("call"), fps=12).num_pairs > 0
    assert bank.stream(LatencyTrace([50] * 30, replay="frame"), fps=12).num_pairs > 0


def test_two_words_for_the_camera_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="`fps` is given beside `every` 2, expected one of them"):
        evaluate_bank(filled(1)[0], latency_ms=90, fps=12, every=2)


def test_the_result_says_which_frames(tmp_path) -> None:
    bank, _ = filled(1)
    found = evaluate_bank(bank, latency_ms=90, fps=12, max_offset=2, stream=StreamConfig())
    says = "| 90.0 ms | 12 fps | frames 0, 2, 4, .. of 24 fps |"
    assert says in found.flame.signature
    assert says in found.streaming.result.signature
    assert "frames 0, 2, 4, .. of 24 fps" in found.static.signature
    assert "A camera of 12 fps on the same scene: it takes frames 0, 2, 4, .. of 24 fps; only labels" in found.notes[0]
    assert Evaluation.from_json(found.to_json()).flame.signature == found.flame.signature
    assert FlameResult.from_json(found.flame.to_json()) == found.flame
    bank.every(2).save(tmp_path / "slow.npz")
    again = OffsetBank.load(tmp_path / "slow.npz")
    assert again.score(latency_ms=90) == found.flame
    assert again.score(latency_ms=90, fps=6).signature == bank.score(latency_ms=90, fps=6).signature
    assert "every" not in evaluate_bank(bank, latency_ms=90).flame.config.to_dict()
    with pytest.raises(ConfigError, match="`max_offset` of this bank is 6, but an offset of 7 frames is asked for"):
        bank.score(frame_offset=7, fps=12)


def test_unlike_cameras_are_not_ranked() -> None:
    bank, _ = filled(1)
    unknown, _ = filled(1, fps=None)
    one, other = (evaluate_bank(bank, latency_ms=90, fps=fps).contender(str(fps)) for fps in (24, 12))
    with pytest.raises(ConfigError, match="24 was scored with fps 24, 12 with 12"):
        rank([one, other])
    one, other = (evaluate_bank(unknown, frame_offset=1, every=every).contender(str(every)) for every in (1, 2))
    with pytest.raises(ConfigError, match="1 was scored with every 1, 2 with 2"):
        rank([one, other])


def test_the_same_frames_of_a_thinned_video_score_alike() -> None:
    bank, clips = filled(1)
    preds, targets = (side[::2] for side in clips["a"])
    single = OffsetBank(C, max_offset=4, fps=RATE, ignore_index=VOID)
    single.update_sequence(*clips["a"], sequence="clip")
    honest = flame_score(preds, targets, num_classes=C, latency_ms=90, fps=12, ignore_index=VOID)
    assert single.score(latency_ms=90, fps=12).total.tolist() == honest.total.tolist()
    assert bank.score(latency_ms=90, fps=12).sequences == ("a", "b")
