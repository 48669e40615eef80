"""VIPSeg on small trees with the real names and encodings."""

import json
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError

pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
vipseg = pytest.importorskip("flame_metric.data.vipseg").vipseg
trees = pytest.importorskip("video_trees")

# void, wall, person 0 and 1, train as instance 99, train without one
STATION = np.array([[0, 1, 6100, 6101, 12499, 124]], np.uint16)


def write(
    root: Path,
    video: str,
    numbers=(386, 389, 392),
    *,
    labels: np.ndarray = STATION,
    split: str = "val",
    images: str = "imgs",
) -> Path:
    trees.write_video(
        root / images / video,
        root / "panomasks" / video,
        numbers,
        digits=8,
        label_of=lambda _: labels,
        shape=labels.shape,
    )
    with (root / f"{split}.txt").open("a") as file:
        file.write(f"{video}\n")
    return root


@pytest.mark.parametrize("images", ["imgs", "images"])
def test_the_layout(images: str, tmp_path: Path) -> None:
    write(tmp_path, "353_-5sqmCF8OFU", images=images)
    write(tmp_path, "12_1mWNahzcsAc", split="train", images=images)
    dataset = vipseg(tmp_path)
    assert (dataset.name, dataset.num_classes, dataset.ignore_index) == ("vipseg val", 124, 255)
    (video,) = dataset.sequences
    assert (video.name, len(video.frames), video.fps) == ("353_-5sqmCF8OFU", 3, 5)  # 15 / 3
    assert list(video.frame_names) == ["00000386", "00000389", "00000392"]
    assert [trees.number_of(frame) for frame in video.frames] == [386 % 256, 389 % 256, 392 % 256]
    assert video.targets[1].dtype == np.uint8
    assert video.targets[1].tolist() == [[255, 0, 60, 60, 123, 123]]
    assert video.labelled == (0, 1, 2)
    assert [video.name for video in vipseg(tmp_path, split="train").sequences] == ["12_1mWNahzcsAc"]


def test_values(tmp_path: Path) -> None:
    """A class, or 100 times a class and an instance: by hand."""
    values = {1: 0, 2: 1, 124: 123, 125: 0, 199: 0, 201: 1, 300: 2, 399: 2, 400: 3, 6100: 60, 10000: 99, 12400: 123}
    labels = np.array([list(values)], np.uint16)
    (video,) = vipseg(write(tmp_path, "a", labels=labels)).sequences
    assert video.targets[0].tolist() == [list(values.values())]


def test_void_and_what_is_void_by_mistake(tmp_path: Path) -> None:
    (video,) = vipseg(write(tmp_path, "a", labels=np.array([[0, 200, 2]], np.uint16))).sequences
    assert video.targets[0].tolist() == [[255, 255, 1]]


def test_a_label_map_without_instances_may_have_8_bits(tmp_path: Path) -> None:
    (video,) = vipseg(write(tmp_path, "a", labels=np.array([[0, 1, 124]], np.uint8))).sequences
    assert video.targets[0].tolist() == [[255, 0, 123]]


def test_names_are_those_of_vspw(tmp_path: Path) -> None:
    write(tmp_path, "a")
    assert vipseg(tmp_path).class_names[:2] == ("class 0", "class 1")
    names = {f"thing {number}": str(number) for number in range(125)}
    (tmp_path / "label_num_dic_final.json").write_text(json.dumps(names))
    assert vipseg(tmp_path).class_names[:2] == ("thing 1", "thing 2")


def test_numbers_tell_rates_and_holes(tmp_path: Path) -> None:
    write(tmp_path, "a", (2, 5, 8, 14, 17))  # 11 is missing
    write(tmp_path, "b", (1, 2, 3))
    shown = [(video.name, len(video.frames), video.fps) for video in vipseg(tmp_path).sequences]
    assert shown == [("a[00000002..00000008]", 3, 5), ("a[00000014..00000017]", 2, 5), ("b", 3, 15)]
    assert [video.name for video in vipseg(tmp_path, step=1).sequences] == ["b"]
    assert {video.fps for video in vipseg(tmp_path, step=3, fps=10).sequences} == {10}


@pytest.mark.parametrize("value", [12500, 65535])
def test_a_value_that_there_is_not(value: int, tmp_path: Path) -> None:
    (video,) = vipseg(write(tmp_path, "a", labels=np.array([[1, value, value]], np.uint16))).sequences
    with pytest.raises(
        DatasetError,
        match=rf"a.00000386\.png: holds label\(s\) {value} \(2 pixels\), expected 0 for void, and numbers of classes "
        r"and instances up to 12499$",
    ):
        video.targets[0]


def test_label_maps_in_colour(tmp_path: Path) -> None:
    """As those of panomasksRGB, which are made of the download for other tools."""
    (video,) = vipseg(write(tmp_path, "a")).sequences
    trees.save(tmp_path / "panomasks/a/00000386.png", np.zeros((1, 6, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"00000386\.png: is RGB \(3 channels\), expected one channel"):
        video.targets[0]
    trees.cut_short(tmp_path / "panomasks/a/00000389.png")
    with pytest.raises(DatasetError, match=r"00000389\.png: is damaged or cut short"):
        video.targets[1]


def test_frames_without_labels_and_labels_without_frames(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / "panomasks/a/00000389.png").unlink()
    (video,) = vipseg(tmp_path).sequences
    assert (video.labelled, video.targets[1]) == ((0, 2), None)
    (tmp_path / "imgs/a/00000392.jpg").unlink()
    with pytest.raises(DatasetError, match=r"imgs.a: has no frame for 1 of 2 label map\(s\) in a: 00000392$"):
        vipseg(tmp_path)


def test_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: .* that holds imgs, panomasks and val\.txt"):
        vipseg(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"val\.txt: is missing, expected the list of the videos of val$"):
        vipseg(tmp_path)
    (tmp_path / "val.txt").write_text("a\n")
    with pytest.raises(DatasetError, match=r"has no folder of frames for 1 of 1 video\(s\): a; .*such as .*imgs.a$"):
        vipseg(tmp_path)


def test_options(tmp_path: Path) -> None:
    write(tmp_path, "a")
    for options, message in (
        ({"split": "test"}, "`split` is 'test', whose annotations are not public, expected train or val"),
        ({"fps": 0}, "`fps` is 0, expected a rate above 0"),
        ({"step": True}, "`step` is True, expected a whole number >= 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            vipseg(tmp_path, **options)
    with pytest.raises(DatasetError, match=r"holds no run of step 1; it holds 1 of step 3$"):
        vipseg(tmp_path, step=1)
