"""Names of all kinds through a whole evaluation: the right number or a refusal, and how they were read."""

import json
from pathlib import Path

import numpy as np
import pytest

from flame_metric.cli import main
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import ConfigError, DatasetError
from flame_metric.latency.simulate import StreamConfig
from flame_metric.scores.evaluation import Evaluation
from flat_options import evaluate_folders

LENGTH = 6


def video(clip: int) -> list[np.ndarray]:
    """A square that moves, each clip in another way."""
    frames = []
    for time in range(LENGTH):
        labels = np.zeros((8, 24), np.uint8)
        labels[2 : 5 + clip, 2 * time + clip :][:, :6] = 1
        frames.append(labels)
    return frames


VIDEOS = [video(clip) for clip in range(3)]


def write(root: Path, names: dict[str, np.ndarray]) -> Path:
    for name, labels in names.items():
        file = root / f"{name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, labels)
    return root


def tree(root: Path, form: str) -> Path:
    return write(root, {form.format(clip, time): VIDEOS[clip][time] for clip in range(3) for time in range(LENGTH)})


def evaluate(root: Path, **options) -> Evaluation:
    return evaluate_folders(root, root, **{"num_classes": 2, "frame_offset": 2, **options})


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Evaluation:
    return evaluate(tree(tmp_path_factory.mktemp("plain"), "{:04}/{:06}"))


LAYOUTS = [
    ("clip_{0}/{1:04}", {}),
    ("clip_{0}/clip_{0}_{1:04}", {}),
    ("clip_{0}/frame{1:04}@2x", {}),
    ("clip_{0}/take.mp4.{1}", {}),
    ("clip_{0}/frame ({1})", {}),
    ("berlin/berlin_{0:06}_{1:06}", {}),
    ("berlin_{0:06}_{1:06}_leftImg8bit", {}),
    ("berlin/berlin_{0:06}_{1:06}_labelIds", {"pred_suffix": "_labelIds", "label_suffix": "_labelIds"}),
    ("{1:06}_cam{0}", {"frame_number": r"^(\d+)"}),
    ("all/{1:06}_cam{0}", {"frame_number": r"^(\d+)"}),
    ("take{0}_{1:04}", {"frame_number": r"(\d+)$"}),
]


@pytest.mark.parametrize(("form", "options"), LAYOUTS, ids=[form for form, _ in LAYOUTS])
def test_the_same_videos_have_the_same_scores_in_any_layout(form, options, plain, tmp_path):
    root = tree(tmp_path, form)
    found = evaluate(root, **options)
    assert [one.tolist() for one in found.flame.counts] == [one.tolist() for one in plain.flame.counts]
    assert [one.tolist() for one in found.persistence.counts] == [one.tolist() for one in plain.persistence.counts]
    assert (found.names["sequences"], found.names["numbers"]) == (3, 3 * LENGTH)
    example = found.names["examples"]["label"]
    assert example["file"] in {file.name for file in root.rglob("*.npy")}
    assert example["sequence"] in found.flame.sequences
    assert example["number"] in range(LENGTH)
    said = [note for note in found.notes if note.startswith("Names were read as 3 sequence(s) of 18 frame number(s): ")]
    assert len(said) == (form != "clip_{0}/{1:04}")


def test_pure_numbers_need_no_note(plain):
    assert not any("Names" in note for note in plain.notes)
    kept = json.loads(plain.to_json())["names"]
    example = {"file": "000000.npy", "number": 0, "sequence": "0000"}
    assert kept == {
        "sequences": 3,
        "numbers": 18,
        "pattern": None,
        "examples": {"pred": example, "label": example},
    }
    assert Evaluation.from_json(plain.to_json()).names == kept
    older = {key: value for key, value in json.loads(plain.to_json()).items() if key != "names"}
    assert Evaluation.from_json(json.dumps(older)).names is None


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("{1:06}_cam{0}", "any of the marked digits may be the frame number"),
        ("take{0}_{1:04}", "any of the marked digits may be the frame number"),
        ("clip/take{0}_{1:04}", "any of the marked digits may be the frame number"),
        ("{1:06}/cam{0}", "which look like numbers of cameras"),
        ("clip_{0}/-{1}", "with a minus before it"),
        ("clip_{0}/{1}.5", "which look like fractions|any of the marked digits may be"),
    ],
)
def test_what_can_be_read_in_two_ways_has_no_score(form, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        evaluate(tree(tmp_path, form))


def test_consecutive_frames_under_the_names_of_cityscapes(tmp_path):
    """They were six sequences of one frame, with an interval over them."""
    names = {f"frankfurt_000000_{time:06}_leftImg8bit": VIDEOS[0][time] for time in range(LENGTH)}
    found = evaluate(write(tmp_path, names))
    assert (found.flame.sequences, found.flame.num_pairs) == ((tmp_path.name,), LENGTH - 2)


def test_cityscapes_as_it_lies_in_evaluate(tmp_path):
    """Several recordings in the folder of a city, one label a clip, predictions of each frame and of two before it."""
    annotated = [
        ("berlin", 0, 294),
        ("berlin", 0, 576),
        ("berlin", 1, 538),
        *(("aachen", clip, 19) for clip in range(4)),
    ]
    preds, labels = {}, {}
    for place, (city, clip, frame) in enumerate(annotated):
        for time in range(3):
            preds[f"{city}/{city}_{clip:06}_{frame - 2 + time:06}_leftImg8bit"] = VIDEOS[place % 3][time]
        labels[f"{city}/{city}_{clip:06}_{frame:06}_gtFine_labelIds"] = VIDEOS[place % 3][2] * 7
    folders = write(tmp_path / "out", preds), write(tmp_path / "gtFine/val", labels)
    with pytest.raises(DatasetError, match=r"; try --pred-suffix _leftImg8bit --label-suffix _gtFine_labelIds$"):
        evaluate_folders(*folders, num_classes=2, frame_offset=2, step=1)
    command = ["evaluate", *map(str, folders), "--num-classes", "2", "--frame-offset", "2", "--step", "1"]
    command += ["--pred-suffix", "_leftImg8bit", "--label-suffix", "_gtFine_labelIds", "--label-map", "0:0,7:1"]
    assert main([*command, "--json", str(tmp_path / "found.json")]) == 0
    found = Evaluation.from_json((tmp_path / "found.json").read_text())
    assert found.flame.num_pairs == len(annotated)
    assert found.flame.sequences == (*(f"aachen_{clip:06}" for clip in range(4)), "berlin_000000", "berlin_000001")
    assert found.static.miou == 1 > found.flame.miou
    flat = write(
        tmp_path / "flat", {name.partition("/")[2].removesuffix("_leftImg8bit"): preds[name] for name in preds}
    )
    options = {"num_classes": 2, "frame_offset": 2, "step": 1, "label_suffix": "_gtFine_labelIds"}
    again = evaluate_folders(flat, folders[1], **options, label_map=LabelLookup.parse("0:0,7:1"))
    assert again.flame.counts.tolist() == found.flame.counts.tolist()


def test_a_frame_offset_needs_no_frame_rate(tmp_path, capsys):
    root = tree(tmp_path / "all", "clip_{0}/{1:04}")
    with_rate, without = evaluate(root, fps=10), evaluate(root)
    assert with_rate.flame.counts.tolist() == without.flame.counts.tolist()
    assert "fps" not in without.flame.signature
    every_second = tree(tmp_path / "second", "clip_{0}/{1}0")
    assert "Frames are steps of 10 numbers." in evaluate(every_second, keep_bank=True, max_offset=3).notes
    command = ["evaluate", str(root), str(root), "--num-classes", "2"]
    assert main([*command, "--frame-offset", "2", "--max-offset", "3", "--bank", str(tmp_path / "bank.npz")]) == 0
    assert "k 2 | 2 classes" in capsys.readouterr().out
    assert main([*command, "--latency-ms", "30"]) == 2
    assert "`fps` is missing, expected a number" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="`fps` is missing, expected a number"):
        evaluate(root, frame_offset=None, latency_ms=30)


@pytest.mark.parametrize("last", [900_000_000, 20_199_999])
def test_nothing_grows_with_the_range_of_numbers(last, tmp_path):
    names = {f"c_{number}": VIDEOS[0][place] for place, number in enumerate((0, 1, 2, last))}
    root = write(tmp_path, names)
    found = evaluate(root, frame_offset=1)
    assert found.flame.num_pairs == 2
    assert "1 labelled frame(s) lie 1 frame(s) after a hole in the numbering: no pair." in found.notes
    for options in ({"max_offset": 2}, {"keep_bank": True}):
        with pytest.raises(DatasetError, match=r"span .* steps, of which 4 are there, expected at most 3,000,000 for"):
            evaluate(root, **options)
    with pytest.raises(DatasetError, match=r"span .* steps, of which 4 are there, .* at most 100,000 for a stream"):
        evaluate(root, frame_offset=None, latency_ms=30, fps=30, stream=StreamConfig())


def test_steps_that_are_far_apart_may_be_times(tmp_path):
    root = write(tmp_path, {f"{number:07}": VIDEOS[0][place] for place, number in enumerate((0, 33, 67, 100))})
    with pytest.raises(DatasetError, match=r"are 33 and 34 apart, .* --step 1 if they number frames; if they are"):
        evaluate(root)
