"""Folders are scored as the definition says: a brute force over the arrays, and tables worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flame_metric as library
from flame_metric import ConfigError, DatasetError, FlameWarning, StateError
from flame_metric.data.folders import LabelFolder
from flame_metric.data.lookup import LabelLookup
from flame_metric.scores.evaluation import Evaluation
from flat_options import evaluate_folders
from laws import examples
from oracle import counts as oracle_counts


def write(root: Path, maps: dict[str, np.ndarray | list]) -> Path:
    for name, labels in maps.items():
        file = root / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.asarray(labels, None if isinstance(labels, np.ndarray) else np.uint8))
    return root


def evaluate(tmp_path: Path, preds: dict, labels: dict, **options) -> Evaluation:
    options = {"num_classes": 2, "fps": 10, "frame_offset": 1, **options}
    return evaluate_folders(write(tmp_path / "preds", preds), write(tmp_path / "labels", labels), **options)


A, B, C = [[0, 0, 1]], [[0, 1, 1]], [[1, 1, 1]]


def test_three_scores_of_a_clip(tmp_path: Path) -> None:
    found = evaluate(tmp_path, {"s/1": A, "s/2": A, "s/3": A}, {"s/1": A, "s/2": B, "s/3": C})
    assert found.static.counts.tolist() == [[[3, 3], [6, 3], [3, 6]]]
    assert found.flame.counts.tolist() == [[[1, 2], [4, 2], [1, 5]]]
    assert found.persistence.counts.tolist() == [[[1, 3], [3, 3], [1, 5]]]
    assert [result.num_pairs for result in found.results.values()] == [3, 2, 2]
    assert [result.coverage for result in found.results.values()] == [1, 2 / 3, 2 / 3]
    assert [result.frame_offset for result in found.results.values()] == [0, 1, 1]


def test_offset_zero(tmp_path: Path) -> None:
    found = evaluate(tmp_path, {"s/1": A}, {"s/1": B}, frame_offset=0)
    assert found.flame.miou == found.static.miou == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert found.persistence.miou == 1


def test_latency_and_rate_give_the_offset(tmp_path: Path) -> None:
    clip = {"s/1": A, "s/2": B, "s/3": C}
    assert evaluate(tmp_path, clip, clip, latency_ms=195.0, frame_offset=None, fps=10).flame.frame_offset == 2


@st.composite
def clips(draw: st.DrawFn) -> tuple[dict, dict, int]:
    """Sequences with holes, and predictions for all labelled frames and perhaps for others."""
    preds, labels = {}, {}
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    for sequence in draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)):
        numbers = draw(st.sets(st.integers(0, 9), min_size=3)) | {0, 1}
        for number in numbers:
            preds[f"{sequence}/{number}"] = generator.integers(0, 4, (3, 4)).astype(np.uint8)
            labels[f"{sequence}/{number}"] = generator.choice([0, 1, 2, 255], (3, 4)).astype(np.uint8)
    return preds, labels, draw(st.integers(0, 1))


@examples(40)
@given(clips(), st.integers(1, 3))
def test_equals_brute_force(tmp_path_factory: pytest.TempPathFactory, clip: tuple, jobs: int) -> None:
    preds, labels, offset = clip
    found = evaluate(
        tmp_path_factory.mktemp("clips"),
        preds,
        labels,
        num_classes=4,
        frame_offset=offset,
        ignore_index=255,
        jobs=jobs,
    )
    for result, sources, delay in (
        (found.static, preds, 0),
        (found.flame, preds, offset),
        (found.persistence, labels, offset),
    ):
        for row, sequence in enumerate(result.sequences):
            pairs = []
            for name, target in labels.items():
                folder, number = name.split("/")
                source = sources.get(f"{folder}/{int(number) - delay}")
                if folder == sequence and source is not None:
                    pairs.append((source, target))
            expected = sum((oracle_counts(*pair, 4, 255) for pair in pairs), np.zeros((3, 4), np.int64))
            assert result.counts[row].tolist() == np.asarray(expected).tolist()
            assert result.tallies[row, 0] == len(pairs)


def test_maps_apply_to_both_sides(tmp_path: Path) -> None:
    found = evaluate(
        tmp_path,
        {"s/1": [[0, 3, 7]]},
        {"s/1": [[0, 255, 255]]},
        frame_offset=0,
        pred_map=LabelLookup.parse("0:0,*:1"),
        label_map=LabelLookup.parse("0:0,255:1"),
    )
    assert found.static.miou == 1


def test_scores_in_npy_are_taken_as_scores(tmp_path: Path) -> None:
    scores = np.array([[[0.1, 0.9]], [[0.5, 0.2]]], np.float32)
    found = evaluate(tmp_path, {"s/1": scores}, {"s/1": [[1, 0]]}, frame_offset=0)
    assert found.static.miou == 1


def test_a_hole_in_the_numbering_makes_no_pair(tmp_path: Path) -> None:
    clip = {f"s/{number}": A for number in (1, 2, 3, 7, 8)}
    found = evaluate(tmp_path, clip, clip)
    assert (found.flame.num_pairs, found.flame.coverage) == (3, 3 / 5)
    assert "1 labelled frame(s) lie 1 frame(s) after a hole in the numbering: no pair." in found.notes


def test_one_label_a_clip_and_predictions_before_it(tmp_path: Path) -> None:
    preds = {"s/15": A, "t/15": A}
    found = evaluate(tmp_path, preds, {"s/19": A, "t/19": B}, frame_offset=4, step=1)
    assert found.static is None
    assert found.persistence is None
    assert (found.flame.num_pairs, found.flame.coverage) == (2, 1.0)
    assert len(found.notes) == 2
    assert "static k=0" not in found.table()


@pytest.mark.parametrize(
    ("preds", "labels", "options", "message"),
    [
        ({"s/1": A, "s/3": A}, {"s/1": A, "s/2": A, "s/3": A}, {}, r"1 prediction\(s\) are missing, .*: s/2"),
        (
            {f"s/{number}": A for number in (1, 2, 3, 5, 6)},
            {"s/2": A, "s/5": A},
            {},
            r"1 prediction\(s\) are missing, .*: s: 1 frame\(s\) before 5",
        ),
        (
            {"s/15": A},
            {"s/19": A},
            {"frame_offset": 5, "step": 1},
            r"sequence s has one label, that of frame 19, and 4 frame\(s\) before it, expected a prediction 5 frame",
        ),
        ({"s/15": A}, {"s/19": A}, {"frame_offset": 4, "step": 4}, r"another step \(--step, now 4\)"),
        ({"s/1": A}, {"s/1": [[0, 0, 200]]}, {}, r"labels/s/1\.npy: `target` holds label\(s\) \[200\] \(1 pixels\)"),
        ({"s/1": [[0, 7, 7]]}, {"s/1": A}, {}, r"preds/s/1\.npy: `pred` holds label\(s\) \[7\] \(2 pixels\)"),
        (
            {"s/1": A},
            {"s/1": np.array([[26_000, 0, 0]], np.uint16)},  # R12
            {},
            r"labels/s/1\.npy: `target` holds label\(s\) \[26000\] \(1 pixels\)",
        ),
        ({"s/1": [[0, 1]]}, {"s/1": A}, {}, r"preds/s/1\.npy: has shape \(1, 2\), expected \(1, 3\)"),
        (
            {"s/1": A, "s/2": [[0]]},
            {"s/1": A, "s/2": [[0]]},
            {},
            r"preds/s/1\.npy and .*labels/s/2\.npy: `pred` has shape \(1, 3\) and `target` \(1, 1\)",
        ),
        ({"s/1": np.array([[0.5, 1, 1]])}, {"s/1": A}, {}, r"preds/s/1\.npy: `pred` holds float64 values"),
    ],
)
def test_what_is_missing_or_wrong_is_named(preds, labels, options, message: str, tmp_path: Path) -> None:
    options = {"frame_offset": 0 if len(labels) == 1 else 1, **options}
    with pytest.raises(DatasetError, match=message):
        evaluate(tmp_path, preds, labels, **options)


def test_a_sequence_too_short_for_the_offset_is_named(tmp_path: Path) -> None:
    clip = {"s/1": A, "s/2": A, "s/3": A, "t/1": A, "t/2": A}
    with pytest.warns(FlameWarning, match=r"1 of 2 sequence\(s\) have no two frames 2 frame\(s\) of step 1 apart: t"):
        found = evaluate(tmp_path, clip, clip, frame_offset=2)
    assert (found.flame.num_pairs, found.flame.coverage) == (1, 1 / 5)


def test_predictions_without_labels_are_mentioned(tmp_path: Path) -> None:
    found = evaluate(tmp_path, {"s/1": A, "t/1": A}, {"s/1": A}, frame_offset=0)
    assert found.notes == ("1 sequence(s) of predictions have no labels: t.",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_offset": None}, "none of latency_ms, frame_offset, trace is given, expected one of them"),
        ({"latency_ms": 3.0}, "are given together, expected one"),
        ({"jobs": 0}, "`jobs` is 0, expected a whole number >= 1"),
        ({"class_names": ["a"]}, "`class_names` holds 1 names, expected 2"),
        ({"fps": 0}, "`fps` is 0"),
        ({"num_classes": 1}, "`num_classes` is 1"),
    ],
)
def test_options_out_of_range(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(tmp_path, {"s/1": A}, {"s/1": A}, **options)


def test_each_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = LabelFolder.read

    def counting_read(self: LabelFolder, path: Path, **options):
        read.append(path)
        return original(self, path, **options)

    monkeypatch.setattr(LabelFolder, "read", counting_read)
    clip = {f"{name}/{number}": A for name in "st" for number in range(9)}
    evaluate(tmp_path, clip, clip, frame_offset=3, jobs=2)
    assert len(read) == len(set(read)) == 2 * len(clip)


def test_progress_counts_up_and_says_the_score_so_far(tmp_path: Path) -> None:
    calls = []
    preds = {f"s/{number}": A for number in range(5)}
    labels = {f"s/{number}": labels for number, labels in enumerate([A, B, B, A, A])}
    evaluate(tmp_path, preds, labels, frame_offset=1, progress=lambda *call: calls.append(call))
    scores = ["", "FLAME 0.500", "FLAME 0.500", "FLAME 0.633", "FLAME 0.708"]  # 1/2, 1/2, (4/6 + 3/5)/2, (6/8 + 4/6)/2
    assert calls == [(done, 5, score) for done, score in enumerate(scores, start=1)]


def test_json_round_trip(tmp_path: Path) -> None:
    clip = {"s/1": A, "s/2": B, "t/1": C, "t/2": A}
    found = evaluate(tmp_path, clip, clip, class_names=["=ground", "car"], ignore_index=9, hardware="GTX 1080 Ti")
    assert Evaluation.from_json(found.to_json()) == found
    with pytest.raises(StateError, match="expected 'flame-metric evaluation 1'"):
        Evaluation.from_json(found.flame.to_json())


def test_table(tmp_path: Path) -> None:
    found = evaluate(tmp_path, {"s/1": A, "s/2": A}, {"s/1": A, "s/2": B}, class_names=["road", "car"])
    assert found.table() == (
        "class          static k=0   FLAME k=1   persistence k=1\n"
        "-------------------------------------------------------\n"
        "road               0.7500      0.5000            0.5000\n"
        "car                0.6667      0.5000            0.5000\n"
        "-------------------------------------------------------\n"
        "mean IoU           0.7083      0.5000            0.5000\n"
        "coverage           1.0000      0.5000            0.5000\n"
        "valid pixels       1.0000      1.0000            1.0000\n"
        "label maps              2           1                 1\n"
        "\n"
        "95 % interval: needs at least two sequences, there is 1\n"
        "FLAME 0.500 | k 1 | 10 fps | 2 classes | coverage 0.50 | flame-metric 0.1.0\n"
    )


def test_own_predictions_are_needed_for_the_static_score_alone(tmp_path: Path) -> None:
    preds = {f"s/{number}": A for number in (1, 2, 3)}
    found = evaluate(tmp_path, preds, {f"s/{number}": A for number in (2, 3, 4)})
    assert (found.flame.num_pairs, found.flame.coverage, found.static) == (3, 1.0, None)
    assert "No static score: 1 labelled frame(s) have no prediction of their own (s/4)." in found.notes


def test_frames_that_enter_no_score_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = LabelFolder.read

    def counting_read(self: LabelFolder, path: Path, **options):
        read.append(f"{path.parts[-3]}/{path.stem}")
        return original(self, path, **options)

    monkeypatch.setattr(LabelFolder, "read", counting_read)
    evaluate(tmp_path, {f"s/{number}": A for number in range(30)}, {"s/19": A}, frame_offset=4, step=1)
    assert sorted(read) == ["labels/19", "preds/15", "preds/19"]


def test_signatures_say_whose_predictions_they_are(tmp_path: Path) -> None:
    found = evaluate(tmp_path, {"s/1": A, "s/2": A}, {"s/1": A, "s/2": A}, hardware="GPU")
    assert found.persistence.signature.startswith("persistence ")
    assert found.flame.signature.startswith("FLAME ")
    assert found.static.signature.startswith("mIoU ")
    assert "GPU" in found.flame.signature
    assert "GPU" not in found.static.signature


def test_everything_void_warns(tmp_path: Path) -> None:
    clip = {"s/1": [[9, 9, 9]], "s/2": [[9, 9, 9]]}
    with pytest.warns(FlameWarning, match="the mean IoU is NaN: every pixel of every target is void"):
        found = evaluate(tmp_path, clip, clip, ignore_index=9)
    assert np.isnan(found.flame.miou)


def test_sequences_without_a_pair_are_no_part_of_the_interval(tmp_path: Path) -> None:
    clip = {"s/1": A, "s/2": B, "s/3": A, "t/1": A, "t/2": A}
    with pytest.warns(FlameWarning, match="t; they add nothing"):
        found = evaluate(tmp_path, clip, clip, frame_offset=2)
    assert found.flame.interval is None
    assert found.static.interval is not None
    assert "95 % interval: needs at least two sequences, there is 1" in found.table()


def test_the_step_is_mentioned(tmp_path: Path) -> None:
    clip = {"s/5": A, "s/10": A}
    assert "10 fps of steps of 5 numbers." in evaluate(tmp_path, clip, clip).notes


def test_unlabelled_predictions_are_mentioned(tmp_path: Path) -> None:
    found = evaluate(tmp_path, {"s/1": A, "s/2": A}, {"s/1": A}, frame_offset=0, step=1)
    assert "1 predicted frame(s) have no label." in found.notes


def test_per_sequence_scores_are_in_the_json(tmp_path: Path) -> None:
    clip = {"s/1": A, "t/1": B}
    found = json.loads(evaluate(tmp_path, clip, {"s/1": A, "t/1": A}, frame_offset=0).to_json())
    assert found["flame"]["scores"]["by_sequence"]["s"] == {"miou": 1.0, "iou": [1.0, 1.0]}
    assert found["flame"]["scores"]["by_sequence"]["t"]["iou"] == [0.5, 0.5]


# ── what both sides number ──


@pytest.mark.parametrize(
    ("preds", "labels", "said"),
    [
        (range(4), range(1, 5), "1 frame(s) before"),
        (range(4), range(4), None),
        (range(5), range(1, 5), None),  # predictions of all frames, and no label of the first one
        (range(2), range(1, 3), None),  # too few to say
        ((0, 1, 3, 4), (1, 2, 4, 5), None),  # one shift, and more numbers that one side lacks
        (range(0, 8, 2), range(1, 9, 2), None),  # a network that runs on every second frame, and labels between them
    ],
)
def test_numbers_that_begin_one_apart_are_remarked(preds, labels, said, tmp_path: Path) -> None:
    maps = [{f"s/{number}": A for number in numbers} for numbers in (preds, labels)]
    found = evaluate(tmp_path, *maps, frame_offset=1, step=1)
    notes = [note for note in found.notes if note.startswith("Predictions begin and end ")]
    assert len(notes) == (said is not None)
    assert all(f"{said} the labels" in note and "renumber the files of one side" in note for note in notes)


def test_numbers_that_begin_two_apart_are_remarked(tmp_path: Path) -> None:
    maps = [{f"s/{number}": A for number in numbers} for numbers in (range(0, 8, 2), range(2, 10, 2))]
    found = evaluate(tmp_path, *maps, frame_offset=2, step=1)
    assert sum("2 frame(s) before the labels" in note for note in found.notes) == 1


@pytest.mark.parametrize("frame_offset", [0, 1, 2])
def test_predictions_that_begin_one_later_are_missing(frame_offset: int, tmp_path: Path) -> None:
    """A note cannot be enough here: no prediction is there for the first label. The error says the likely cause."""
    maps = [{f"s/{number}": A for number in numbers} for numbers in (range(1, 5), range(4))]
    with pytest.raises(
        DatasetError, match=r"missing.* 1 frame\(s\) after the labels: .*renumber the files of one side"
    ):
        evaluate(tmp_path, *maps, frame_offset=frame_offset)


@pytest.mark.parametrize(("void", "other"), [(255, 1), (-1, 0), (0, 1)])
@pytest.mark.parametrize("swapped", [True, False])
def test_folders_that_may_be_swapped(void: int, other: int, swapped: bool, tmp_path: Path) -> None:
    full = {f"s/{number}": np.full((2, 3), other) for number in range(3)}
    holed = {**full, "s/1": np.array([[void, 0, 1], [other, other, other]])}
    found = evaluate(tmp_path, *((holed, full) if swapped else (full, holed)), ignore_index=void)
    note = f"Predictions hold the void label {void} and labels do not: are the two folders swapped?"
    assert (note in found.notes) is swapped


def test_void_in_both_folders_is_no_sign_of_a_swap(tmp_path: Path) -> None:
    maps = {f"s/{number}": [[0, 1, 255]] for number in range(3)}
    assert evaluate(tmp_path, maps, maps, ignore_index=255).notes == ()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([[0, 255, 0]], "class 0 and void"),
        ([[1, 255, 1]], "class 1 and void"),
        ([[0, 255, 1]], None),
        ([[0, 0, 0]], None),
    ],
)
def test_masks_whose_objects_are_void(labels: list, said: str | None, tmp_path: Path) -> None:
    clip = {f"s/{number}": [[0, 1, 0]] for number in range(3)}
    found = evaluate(tmp_path, clip, dict.fromkeys(clip, labels), ignore_index=255)
    notes = [note for note in found.notes if note.startswith("Labels hold ")]
    assert len(notes) == (said is not None)
    assert all(f"{said} pixels (label 255)" in note and "every object pixel is void" in note for note in notes)


def test_records_of_another_kind_are_refused(tmp_path: Path) -> None:
    for name in ("files", "job", "stream", "trace"):
        options = {"latency_ms": 10} if name != "trace" else {}
        with pytest.raises(ConfigError, match=f"`{name}`"):
            library.evaluate_folders(tmp_path, tmp_path, num_classes=2, fps=10, **options, **{name: 3})
