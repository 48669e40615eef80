"""VSPW on small trees with the real names and encodings."""

import json
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError

pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
vspw = pytest.importorskip("flame_metric.data.vspw").vspw
trees = pytest.importorskip("video_trees")

KITCHEN = np.array([[0, 1, 61, 124, 255]], np.uint8)  # "others", wall, person, train, void
NAMES = {"others": "0", "wall": "1"} | {f"thing {number}": str(number) for number in range(2, 125)}


def write(root: Path, video: str, numbers=range(5, 8), *, labels: np.ndarray = KITCHEN, split: str = "val") -> Path:
    trees.write_video(
        root / "data" / video / "origin",
        root / "data" / video / "mask",
        numbers,
        digits=8,
        label_of=lambda _: labels,
        shape=labels.shape,
    )
    with (root / f"{split}.txt").open("a") as file:
        file.write(f"{video}\n")
    return root


def test_the_layout(tmp_path: Path) -> None:
    write(tmp_path, "127_-hIVCYO4C90")
    write(tmp_path, "0_wHveSGjXyDY", split="train")
    (tmp_path / "label_num_dic_final.json").write_text(json.dumps(NAMES))
    dataset = vspw(tmp_path)
    assert (dataset.name, dataset.num_classes, dataset.ignore_index) == ("vspw val", 124, 255)
    assert (dataset.class_names[0], dataset.class_names[123]) == ("wall", "thing 124")
    (video,) = dataset.sequences
    assert (video.name, len(video.frames), video.fps) == ("127_-hIVCYO4C90", 3, 15)
    assert list(video.frame_names) == ["00000005", "00000006", "00000007"]
    assert [trees.number_of(frame) for frame in video.frames] == [5, 6, 7]
    assert video.targets[0].dtype == np.uint8
    assert video.targets[0].tolist() == [[255, 0, 60, 123, 255]]
    assert video.labelled == (0, 1, 2)
    assert [video.name for video in vspw(tmp_path, split="train").sequences] == ["0_wHveSGjXyDY"]


def test_every_class(tmp_path: Path) -> None:
    (video,) = vspw(write(tmp_path, "a", labels=np.arange(125, dtype=np.uint8).reshape(5, 25))).sequences
    assert video.targets[0].ravel().tolist() == [255, *range(124)]


def test_sizes_and_palettes(tmp_path: Path) -> None:
    write(tmp_path, "a")
    write(tmp_path, "b", labels=np.ones((4, 2), np.uint8))
    trees.save_palette(tmp_path / "data/a/mask/00000006.png", KITCHEN)
    a, b = vspw(tmp_path).sequences
    assert (b.frames[0].shape, b.targets[0].shape) == ((4, 2, 3), (4, 2))
    assert a.targets[1].tolist() == [[255, 0, 60, 123, 255]]


def test_a_video_is_cut_where_a_frame_is_missing(tmp_path: Path) -> None:
    write(tmp_path, "0_wHveSGjXyDY", [166, 167, 168, 169, 171, 172])
    assert [(video.name, len(video.frames), video.fps) for video in vspw(tmp_path).sequences] == [
        ("0_wHveSGjXyDY[00000166..00000169]", 4, 15),
        ("0_wHveSGjXyDY[00000171..00000172]", 2, 15),
    ]


# ── names of the classes ──


def test_classes_without_names(tmp_path: Path) -> None:
    names = vspw(write(tmp_path, "a")).class_names
    assert names == tuple(f"class {label}" for label in range(124))


def test_numbers_may_be_numbers(tmp_path: Path) -> None:
    write(tmp_path, "a")
    numbers = {name: int(number) for name, number in NAMES.items()} | {"void": 255}
    (tmp_path / "label_num_dic_final.json").write_text(json.dumps(numbers))
    assert vspw(tmp_path).class_names[:2] == ("wall", "thing 2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        pytest.param("[" * 100_000, "cannot be read as JSON", id="deep"),
        ("[1, 2]", r"124 of the numbers 1\.\.124 have no name"),
        (json.dumps({name: number for name, number in NAMES.items() if name != "wall"}), "1 of the numbers"),
        (json.dumps({**NAMES, "wall two": "1"}), "numbers have two names"),
        (json.dumps({**NAMES, "wall": ["1"]}), "1 of the numbers"),
    ],
)
def test_a_file_of_names_that_is_none(content: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / "label_num_dic_final.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"label_num_dic_final\.json: {message}"):
        vspw(tmp_path)


# ── what is refused ──


def test_a_label_that_there_is_not(tmp_path: Path) -> None:
    labels = np.array([[0, 125, 254, 254]], np.uint8)
    (video,) = vspw(write(tmp_path, "a", labels=labels)).sequences
    with pytest.raises(
        DatasetError,
        match=r"mask.00000005\.png: holds label\(s\) 125, 254 \(3 pixels\), expected 1\.\.124 for classes, 0 and 255",
    ) as raised:
        video.targets[0]
    assert raised.value.path == str(tmp_path / "data/a/mask/00000005.png")


def test_instance_numbers(tmp_path: Path) -> None:
    """VIPSeg's label maps under VSPW's name."""
    (video,) = vspw(write(tmp_path, "a", labels=np.array([[1, 6101]], np.uint16))).sequences
    with pytest.raises(DatasetError, match=r"holds label\(s\) 6101 \(1 pixels\), expected 1\.\.124"):
        video.targets[0]


def test_labels_in_colour_and_damaged_ones(tmp_path: Path) -> None:
    (video,) = vspw(write(tmp_path, "a")).sequences
    trees.save(tmp_path / "data/a/mask/00000005.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"00000005\.png: is RGB \(3 channels\), expected one channel"):
        video.targets[0]
    trees.flip_a_bit(tmp_path / "data/a/mask/00000006.png")
    with pytest.raises(DatasetError, match=r"00000006\.png: is damaged"):
        video.targets[1]
    (tmp_path / "data/a/origin/00000005.jpg").write_bytes(b"")  # as in a few videos of the download
    with pytest.raises(DatasetError, match=r"origin.00000005\.jpg: is empty"):
        video.frames[0]


def test_missing_files(tmp_path: Path) -> None:
    def refused(message: str, root: Path = tmp_path, **options) -> None:
        with pytest.raises(DatasetError, match=message):
            vspw(root, **options)

    refused(r"nowhere: is missing, expected the folder that holds data and val\.txt", tmp_path / "nowhere")
    refused(r"val\.txt: is missing, expected the list of the videos of val$")
    write(tmp_path, "a")
    (tmp_path / "val.txt").write_text("a\nb\n")
    refused(r"has no folder of frames for 1 of 2 video\(s\): b; expected one such as .*data.b.origin$")
    (tmp_path / "data/b/origin").mkdir(parents=True)
    refused(r"has no folder of label maps for 1 of 2 video\(s\): b; expected one such as .*data.b.mask$")
    (tmp_path / "data/b/mask").mkdir(parents=True)
    refused(r"b.origin: holds no frames, expected PNG or JPEG files")
    (tmp_path / "data/a/origin/00000006.jpg").unlink()
    refused(r"a.origin: has no frame for 1 of 3 label map\(s\) in mask: 00000006$")


def test_options(tmp_path: Path) -> None:
    write(tmp_path, "a")
    assert vspw(tmp_path, fps="30000/1001", step=1).sequences[0].fps * 1001 == 30000
    for options, message in (
        ({"split": "test"}, "`split` is 'test', whose annotations are not public, expected train or val"),
        ({"split": "valid"}, "`split` is 'valid', expected one of train, val"),
        ({"fps": "fast"}, "`fps` is 'fast', expected a rate above 0"),
        ({"step": -1}, "`step` is -1, expected a whole number >= 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            vspw(tmp_path, **options)
