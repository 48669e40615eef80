"""Streams, curves and banks of folders: the same integers by every way to them, and what is refused."""

import dataclasses
import json
import re
import warnings
from collections.abc import Callable
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
    OffsetBank,
    StateError,
    StreamConfig,
    simulate_stream,
)
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.scores.evaluation import Evaluation
from flat_options import evaluate_folders
from laws import examples

C, VOID, FPS = 3, 9, 10

STREAMS = [
    StreamConfig(),
    StreamConfig(queue=None),
    StreamConfig(workers=2),
    StreamConfig(workers=None),
    StreamConfig(stride=2, tie="strict"),
    StreamConfig(extra_latency_ms=30),
]


def write(root: Path, clips: dict[str, dict[int, np.ndarray]]) -> Path:
    for name, frames in clips.items():
        (root / name).mkdir(parents=True)
        for number, labels in frames.items():
            np.save(root / name / f"{number:03}.npy", labels)
    return root


def random_clips(seed: int, lengths: dict[str, int]) -> dict[str, tuple[list, list]]:
    """Predictions and labels of clips, some frames of them unlabelled; all frames are predicted."""
    generator = np.random.default_rng(seed)
    clips = {}
    for name, length in lengths.items():
        preds = list(generator.choice([0, 1, 2, VOID], (length, 3, 4)).astype(np.uint8))
        targets = list(generator.choice([0, 1, 2, VOID], (length, 3, 4)).astype(np.uint8))
        for frame in range(1, length - 1):
            if generator.random() < 0.4:
                targets[frame] = None
        clips[name] = preds, targets
    return clips


def folders(tmp_path: Path, clips: dict[str, tuple[list, list]]) -> list[Path]:
    sides = []
    for side, folder in enumerate(("preds", "labels")):
        frames = {
            name: {frame: labels for frame, labels in enumerate(pair[side]) if labels is not None}
            for name, pair in clips.items()
        }
        sides.append(write(tmp_path / folder, frames))
    return sides


def metered(clips: dict, config: StreamConfig, latency: object, before_first: str, seed: int = 0):
    meter = FlameMeter(C, ignore_index=VOID, before_first=before_first)
    is_random = isinstance(latency, LatencyTrace) and latency.replay == "random"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        for name, (preds, targets) in clips.items():
            schedule = simulate_stream(
                latency, config, num_frames=len(preds), fps=FPS, seed=seed, sequence=name if is_random else ""
            )
            meter.update_sequence(preds, targets, sequence=name, schedule=schedule)
        return meter.compute()


@examples(15)
@given(
    st.integers(0, 2**32),
    st.integers(0, 450),
    st.sampled_from(STREAMS),
    st.sampled_from(["skip", "void"]),
)
def test_law_folders_banks_and_meters_agree(
    tmp_path_factory: pytest.TempPathFactory, seed: int, latency: int, config: StreamConfig, first: str
) -> None:
    jobs = 1 + seed % 3
    clips = random_clips(seed, {"a": 12, "b": 9})
    paths = folders(tmp_path_factory.mktemp("clips"), clips)
    options = {"latency_ms": latency, "stream": config, "before_first": first, "max_offset": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        found = evaluate_folders(*paths, num_classes=C, fps=FPS, ignore_index=VOID, jobs=jobs, **options)
        expected = metered(clips, config, latency, first)
    assert found.streaming.result.counts.tolist() == expected.counts.tolist()
    assert found.streaming.result.tallies.tolist() == expected.tallies.tolist()
    fixed = {"num_classes": C, "fps": FPS, "ignore_index": VOID, "before_first": first}
    assert [result.total.tolist() for result in found.curve.results] == [
        evaluate_folders(*paths, **fixed, frame_offset=offset).flame.total.tolist() for offset in range(5)
    ]
    if found.streaming.statistics.max_staleness <= 4 and found.flame.frame_offset <= 4:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FlameWarning)
            again = evaluate_bank(found.bank, **options)
        assert again == dataclasses.replace(found, notes=again.notes)
        assert set(again.notes) <= set(found.notes)  # a bank tells nothing of files


def test_a_trace_gives_the_offset_and_is_replayed(tmp_path: Path) -> None:
    clips = random_clips(5, {"a": 12, "b": 9})
    paths = folders(tmp_path, clips)
    trace = LatencyTrace(np.random.default_rng(1).uniform(50, 250, 20), replay="random")
    found = evaluate_folders(*paths, num_classes=C, fps=FPS, ignore_index=VOID, trace=trace, seed=3)
    assert found.flame.config.latency_ms == pytest.approx(trace.median_ms, abs=1e-6)
    assert found.streaming.config == StreamConfig()
    expected = metered(clips, StreamConfig(), trace, "skip", seed=3)
    assert found.streaming.result.counts.tolist() == expected.counts.tolist()
    assert found.streaming.statistics.labelled_frames == expected.tallies[:, 1].sum()


def test_a_bank_that_is_kept_reaches_as_far_as_the_scores(tmp_path: Path) -> None:
    clips = random_clips(5, {"a": 12})
    paths = folders(tmp_path, clips)
    options = {"num_classes": C, "fps": FPS, "ignore_index": VOID, "latency_ms": 195}
    assert evaluate_folders(*paths, **options, keep_bank=True).bank.max_offset == 2
    dropping = evaluate_folders(*paths, **options, stream=StreamConfig(), keep_bank=True)
    assert dropping.bank.max_offset == dropping.streaming.statistics.max_staleness > 2
    assert evaluate_folders(*paths, **options).bank is None


def test_frames_that_no_score_shows_need_no_prediction(tmp_path: Path) -> None:
    """l = 250 ms: frames 0, 3, 6 are run (the worker is free at 250, 550, 850); the others are never on screen."""
    clips = random_clips(8, {"a": 10})
    preds, targets = clips["a"]
    shown = simulate_stream(250, num_frames=10, fps=FPS).at([f for f, t in enumerate(targets) if t is not None])
    flame = {frame - 3 for frame in shown.label_frame.tolist() if frame >= 3}
    kept = [one if frame in {*shown.source.tolist(), *flame} else None for frame, one in enumerate(preds)]
    found = evaluate_folders(
        *folders(tmp_path, {"a": (kept, targets)}),
        num_classes=C,
        fps=FPS,
        ignore_index=VOID,
        latency_ms=250,
        stream=StreamConfig(),
    )
    expected = metered({"a": (preds, targets)}, StreamConfig(), 250, "skip")
    assert found.streaming.result.counts.tolist() == expected.counts.tolist()


def dense(*numbers: int) -> dict[str, dict[int, np.ndarray]]:
    return {"s": {number: np.array([[0, 1]], np.uint8) for number in numbers}}


def test_a_stream_shows_nothing_from_a_hole(tmp_path: Path) -> None:
    """At 100 ms each frame shows the one before; 4 and 5 were never recorded."""
    paths = [write(tmp_path / side, dense(1, 2, 3, 6, 7)) for side in ("preds", "labels")]
    found = evaluate_folders(*paths, num_classes=2, fps=FPS, latency_ms=100, stream=StreamConfig(), max_offset=2)
    assert found.streaming.result.tallies.tolist() == [[3, 5, 6, 6]]
    assert "1 labelled frame(s) are to show the prediction of a hole in the numbering: no pair." in found.notes
    again = evaluate_bank(found.bank, latency_ms=100, stream=StreamConfig())
    assert again.streaming.result.tallies.tolist() == [[3, 5, 6, 6]]


def test_predictions_that_the_stream_needs_are_named(tmp_path: Path) -> None:
    """At 160 ms k is 2, but a dropping stream runs 0, 1 (from 160), 3 (from 320), 4 (from 480): at 600 it shows 3."""
    labels = dense(5)
    labels["s"][9] = np.array([[0, 1]], np.uint8)
    paths = [write(tmp_path / "preds", dense(3, 5, 7, 9)), write(tmp_path / "labels", labels)]
    assert evaluate_folders(*paths, num_classes=2, fps=FPS, latency_ms=160, step=1).flame.num_pairs == 2
    with pytest.raises(DatasetError, match=r"1 prediction\(s\) are missing, .*: s: 3 frame\(s\) before 009"):
        evaluate_folders(*paths, num_classes=2, fps=FPS, latency_ms=160, step=1, stream=StreamConfig())


def test_a_curve_needs_every_prediction(tmp_path: Path) -> None:
    paths = [write(tmp_path / "preds", dense(3, 4, 5)), write(tmp_path / "labels", dense(5))]
    assert (
        len(evaluate_folders(*paths, num_classes=2, fps=FPS, frame_offset=1, max_offset=2, step=1).curve.results) == 3
    )
    paths = [write(tmp_path / "more", dense(1, 3, 4, 5)), tmp_path / "labels"]
    with pytest.raises(DatasetError, match=r"1 prediction\(s\) are missing, .*: s: 3 frame\(s\) before 005"):
        evaluate_folders(*paths, num_classes=2, fps=FPS, frame_offset=1, max_offset=3, step=1)


def test_a_sparse_bank_answers_what_it_can(tmp_path: Path) -> None:
    """One label a clip and one prediction before it: FLAME at that offset, and no static score."""
    paths = [write(tmp_path / "preds", dense(3)), write(tmp_path / "labels", dense(5))]
    found = evaluate_folders(*paths, num_classes=2, fps=FPS, frame_offset=2, step=1, keep_bank=True)
    again = evaluate_bank(found.bank, frame_offset=2)
    assert again.flame.counts.tolist() == found.flame.counts.tolist()
    assert again.static is None
    assert again.notes[0] == "No static score: 1 labelled frame(s) have no prediction of their own (s/2)."


def test_one_label_before_anything_is_on_screen(tmp_path: Path) -> None:
    """At 100 ms and strict ties, frame 0 is not yet on screen when frame 1 is current."""
    paths = [write(tmp_path / "preds", dense(0, 1)), write(tmp_path / "labels", dense(1))]
    with pytest.raises(DatasetError, match=r"1 frame\(s\) before it, expected a prediction that the stream shows then"):
        evaluate_folders(*paths, num_classes=2, fps=FPS, latency_ms=100, stream=StreamConfig(tie="strict"), step=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_offset": 1, "stream": StreamConfig()}, "`stream` is given with `frame_offset`, expected a latency"),
        ({"latency_ms": 1, "trace": LatencyTrace([1])}, "`latency_ms` and `trace` are given together"),
        ({}, "none of latency_ms, frame_offset, trace is given"),
        ({"trace": LatencyTrace([1])}, "`latency` is a trace of 1 samples"),
        ({"latency_ms": 1, "before_first": "miss"}, "`before_first` is 'miss'"),
        ({"latency_ms": 1, "max_offset": -1}, "`max_offset` is -1"),
    ],
)
def test_options_that_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    paths = [write(tmp_path / side, dense(1, 2, 3)) for side in ("preds", "labels")]
    with pytest.raises(ConfigError, match=message):
        evaluate_folders(*paths, num_classes=2, fps=FPS, **options)
    if "max_offset" not in options:
        bank = OffsetBank(2, max_offset=2, fps=FPS)
        video = [[[0, 1]]] * 3
        bank.update_sequence(video, video, sequence="s")
        with pytest.raises(ConfigError, match=message):
            evaluate_bank(bank, **options)


def test_every_and_recorded_fps_of_a_bank() -> None:
    """At every 2nd frame of a recording of 30 fps, not of 20, 60 ms are one interval: k = 1."""
    clips = random_clips(2, {"a": 12})
    bank = OffsetBank(C, max_offset=6, fps=20, ignore_index=VOID, persistence=True)
    bank.update_sequence(*clips["a"], sequence="a")
    found = evaluate_bank(
        bank, latency_ms=60, recorded_fps=30, every=2, max_offset=3, stream=StreamConfig(), hardware="this"
    )
    assert (found.flame.config.fps, found.flame.frame_offset) == (15, 1)
    assert [result.config.fps for result in found.curve.results] == [15] * 4
    assert "66.7" in found.curve.table()
    assert found.flame.config.hardware == found.streaming.result.config.hardware == "this"
    assert found.persistence.persistence
    assert found.flame.counts.tolist() == bank.every(2).score(frame_offset=1).counts.tolist()


def test_json_and_table_hold_the_stream_and_the_curve(tmp_path: Path) -> None:
    clips = random_clips(3, {"a": 12, "b": 9})
    found = evaluate_folders(
        *folders(tmp_path, clips),
        num_classes=C,
        fps=FPS,
        ignore_index=VOID,
        latency_ms=150,
        stream=StreamConfig(queue=None, extra_latency_ms=5),
        max_offset=2,
        before_first="void",
    )
    assert Evaluation.from_json(found.to_json()) == found
    table = found.table()
    assert re.search(
        "^class +static k=0   FLAME k=2   streaming   persistence k=2   persistence, streaming$", table, re.M
    )
    assert "Stream of 1 worker, queue unlimited, results may be 5.0 ms late: " in table
    assert f"Lost to latency {found.losses.to_latency:.4f} (static - FLAME)" in table
    assert "k   up to ms   mean IoU   95 % from   95 % to   persistence   coverage" in table
    assert table.count("only 2 sequences\n") == 3  # on the line of each interval of the curve
    assert "before first: void" in found.streaming.result.signature
    assert found.table("csv").startswith('"class","static k=0",')
    assert found.curve.table("csv").startswith('"k","up to ms","mean IoU",')
    assert "| k | up to ms |" in found.table("markdown")


def test_the_curve_and_the_budget_count_missed_frames_as_the_scores_do() -> None:
    clips = random_clips(4, {"a": 12})
    bank = OffsetBank(C, max_offset=4, fps=FPS, ignore_index=VOID)
    bank.update_sequence(*clips["a"], sequence="a")
    found = evaluate_bank(bank, frame_offset=3, before_first="void", max_offset=4)
    assert found.curve.results[3].counts.tolist() == found.flame.counts.tolist()
    assert found.curve.miou[3] < bank.curve().miou[3]
    between = (found.curve.miou[1] + bank.curve().miou[1]) / 2
    assert bank.latency_budget(between).frame_offset > bank.latency_budget(between, before_first="void").frame_offset


def test_a_bank_without_late_labels_says_so_as_folders_do(tmp_path: Path) -> None:
    """Labels at frames 0, 5 and 10 alone: none of them are two frames apart."""
    preds, targets = random_clips(6, {"a": 11})["a"]
    clips = {"a": (preds, [target if frame % 5 == 0 else None for frame, target in enumerate(targets)])}
    clips["a"][1][5] = preds[5]
    options = {"latency_ms": 150, "stream": StreamConfig(workers=None)}
    found = evaluate_folders(
        *folders(tmp_path, clips), num_classes=C, fps=FPS, ignore_index=VOID, keep_bank=True, **options
    )
    again = evaluate_bank(found.bank, **options)
    note = "No persistence baseline: no two labelled frames are 2 frames apart."
    assert note in found.notes
    assert again.notes == (note,)
    assert (again.persistence, again.streaming) == (None, found.streaming)
    assert again.static == found.static


def test_a_stream_on_which_nothing_is_ever_shown() -> None:
    bank = OffsetBank(2, max_offset=30, fps=FPS)
    bank.update_sequence([[[0, 1]]] * 3, [[[0, 1]]] * 3, sequence="s")
    with pytest.warns(FlameWarning):
        found = evaluate_bank(bank, latency_ms=3000, stream=StreamConfig())
    assert "Nothing is ever on screen." in found.streaming.note()


def test_edited_statistics_are_refused() -> None:
    bank = OffsetBank(2, max_offset=3, fps=FPS)
    bank.update_sequence([[[0, 1]]] * 3, [[[0, 1]]] * 3, sequence="s")
    text = evaluate_bank(bank, latency_ms=100, stream=StreamConfig()).to_json()
    record = json.loads(text)
    record["streaming"]["statistics"]["staleness_histogram"] = [0, 900]
    with pytest.raises(StateError, match="`staleness_histogram` holds 900 frames, expected at most 3"):
        Evaluation.from_json(json.dumps(record))


def test_signatures_tell_traces_apart(tmp_path: Path) -> None:
    clips = random_clips(5, {"a": 12})
    paths = folders(tmp_path, clips)
    trace = LatencyTrace(np.random.default_rng(1).uniform(50, 250, 20))
    options = {"num_classes": C, "fps": FPS, "ignore_index": VOID, "max_offset": 11}
    for replayed, text in (
        (trace, "1 worker, queue 1, 20 latencies by call |"),
        (trace.replayed("random"), "1 worker, queue 1, 20 latencies at random, seed 3 |"),
    ):
        found = evaluate_folders(*paths, **options, trace=replayed, seed=3)
        assert text in found.streaming.result.signature
        assert evaluate_bank(found.bank, trace=replayed, seed=3).streaming.result == found.streaming.result


def test_a_kept_bank_answers_the_question_that_made_it(tmp_path: Path) -> None:
    paths = folders(tmp_path, random_clips(5, {"a": 12}))
    options = {"latency_ms": 250, "stream": StreamConfig()}
    found = evaluate_folders(*paths, num_classes=C, fps=FPS, ignore_index=VOID, max_offset=1, keep_bank=True, **options)
    assert len(found.curve.results) == 2
    assert evaluate_bank(found.bank, **options).streaming == found.streaming


def edited(text: str, edit: Callable[[dict], object]) -> str:
    record = json.loads(text)
    edit(record)
    return json.dumps(record)


def unlike(record: dict, *path: str | int) -> None:
    """Make one result a result of two other classes."""
    *way, last = path
    for step in way:
        record = record[step]
    config = {**record[last]["config"], "num_classes": 2, "class_names": None}
    record[last] = {**record[last], "config": config, "sequences": []}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda r: unlike(r, "static"), "the classes of static and FLAME differ, expected scores of the same"),
        (lambda r: unlike(r, "flame"), "the classes of static and FLAME differ"),
        (lambda r: unlike(r, "streaming", "persistence"), "the classes of persistence, streaming and FLAME differ"),
        (lambda r: unlike(r, "curve", "results", 1), "the classes of curve 1 and FLAME differ"),
        (lambda r: r["curve"]["persistence"].pop(), "a curve holds the offsets 0, 1, expected each from 0 on"),
        (lambda r: r["curve"]["results"].reverse(), "a curve holds the offsets 2, 1, 0, expected each from 0 on"),
        (lambda r: r["curve"].update(results=[], persistence=[]), "a curve holds no offset, expected at least one"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(edit: Callable[[dict], object], message: str) -> None:
    """They ended in a traceback, or in a row of the wrong offset."""
    bank = OffsetBank(C, max_offset=4, fps=FPS, ignore_index=VOID, persistence=True)
    bank.update_sequence(*random_clips(3, {"a": 12})["a"], sequence="a")
    text = evaluate_bank(bank, latency_ms=150, stream=StreamConfig(), max_offset=2).to_json()
    with pytest.raises(StateError, match=message):
        Evaluation.from_json(edited(text, edit))
