"""KITTI-STEP on small trees with the real names and encodings."""

from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError

pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
kitti_step = pytest.importorskip("flame_metric.data.kitti_step").kitti_step
trees = pytest.importorskip("video_trees")

# (class, 256 * green + blue: number of the instance): road, two cars, a person, void
STREET = np.array([[(0, 0, 0), (13, 0, 1), (13, 1, 4), (11, 0, 2), (255, 0, 0)]], np.uint8)


def write(
    root: Path,
    split: str,
    video: str,
    numbers=range(3),
    *,
    images: str = "images/{split}",
    labels: np.ndarray = STREET,
) -> Path:
    trees.write_video(
        root / images.format(split=split) / video,
        root / "panoptic_maps" / split / video,
        numbers,
        digits=6,
        label_of=lambda _: labels,
        extension="png",
        shape=labels.shape[:2],
    )
    return root


@pytest.mark.parametrize("images", ["images/{split}", "training/image_02"])
def test_the_layout(images: str, tmp_path: Path) -> None:
    for split, videos in {"train": ("0000", "0001"), "val": ("0002", "0018")}.items():
        for video in videos:
            write(tmp_path, split, video, images=images)
    dataset = kitti_step(tmp_path)
    assert (dataset.name, dataset.num_classes, dataset.ignore_index) == ("kitti_step val", 19, 255)
    assert dataset.class_names[13] == "car"
    assert [(video.name, len(video.frames), video.fps) for video in dataset.sequences] == [
        ("0002", 3, 10),
        ("0018", 3, 10),
    ]
    video = dataset.sequences[1]
    assert list(video.frame_names) == ["000000", "000001", "000002"]
    np.testing.assert_array_equal(video.frames[2], trees.frame_of(2, (1, 5)))
    assert video.targets[2].dtype == np.uint8
    assert video.targets[2].tolist() == [[0, 13, 13, 11, 255]]
    assert video.labelled == (0, 1, 2)
    assert [video.name for video in kitti_step(tmp_path, split="train").sequences] == ["0000", "0001"]


def test_every_class(tmp_path: Path) -> None:
    labels = np.array([[(label, 200, 7) for label in [*range(19), 255]]], np.uint8)
    (video,) = kitti_step(write(tmp_path, "val", "0002", labels=labels)).sequences
    assert video.targets[0].tolist() == [[*range(19), 255]]


def test_sizes_differ_from_video_to_video(tmp_path: Path) -> None:
    write(tmp_path, "val", "0002")
    write(tmp_path, "val", "0014", labels=np.zeros((3, 2, 3), np.uint8))
    shapes = [(video.frames[0].shape, video.targets[0].shape) for video in kitti_step(tmp_path).sequences]
    assert shapes == [((1, 5, 3), (1, 5)), ((3, 2, 3), (3, 2))]


def test_a_video_is_cut_at_a_hole(tmp_path: Path) -> None:
    write(tmp_path, "val", "0002", [0, 1, 2, 177, 178])
    assert [(video.name, video.fps) for video in kitti_step(tmp_path).sequences] == [
        ("0002[000000..000002]", 10),
        ("0002[000177..000178]", 10),
    ]


def test_more_frames_than_labels(tmp_path: Path) -> None:
    write(tmp_path, "val", "0002")
    (tmp_path / "panoptic_maps/val/0002/000001.png").unlink()
    (video,) = kitti_step(tmp_path).sequences
    assert video.labelled == (0, 2)
    assert video.targets[1] is None


# ── what is refused ──


def refused(message: str, root: Path, **options) -> None:
    with pytest.raises(DatasetError, match=message):
        kitti_step(root, **options)


def test_a_class_that_there_is_not(tmp_path: Path) -> None:
    labels = np.array([[(0, 0, 0), (19, 0, 0), (254, 0, 0), (254, 3, 0)]], np.uint8)
    (video,) = kitti_step(write(tmp_path, "val", "0002", labels=labels)).sequences
    with pytest.raises(
        DatasetError,
        match=r"0002.000001\.png: holds label\(s\) 19, 254 \(3 pixels\), expected 0\.\.18, and 255 for void, in red$",
    ) as raised:
        video.targets[1]
    assert raised.value.path == str(tmp_path / "panoptic_maps/val/0002/000001.png")


def test_label_maps_in_grey(tmp_path: Path) -> None:
    (video,) = kitti_step(write(tmp_path, "val", "0002")).sequences
    trees.save(tmp_path / "panoptic_maps/val/0002/000000.png", STREET[..., 0])
    with pytest.raises(
        DatasetError,
        match=r"000000\.png: is grey \(1 channel\), expected RGB: the colours of this label map say",
    ):
        video.targets[0]
    trees.save_palette(tmp_path / "panoptic_maps/val/0002/000000.png", STREET[..., 0])
    with pytest.raises(DatasetError, match=r"000000\.png: is a palette image \(1 channel\), expected RGB"):
        video.targets[0]


def test_frames_that_are_label_maps(tmp_path: Path) -> None:
    (video,) = kitti_step(write(tmp_path, "val", "0002")).sequences
    trees.save(tmp_path / "images/val/0002/000000.png", STREET[..., 0])
    with pytest.raises(DatasetError, match=r"000000\.png: is grey .* is this a label map"):
        video.frames[0]


def test_damaged_label_maps(tmp_path: Path) -> None:
    (video,) = kitti_step(write(tmp_path, "val", "0002")).sequences
    trees.cut_short(tmp_path / "panoptic_maps/val/0002/000000.png")
    with pytest.raises(DatasetError, match=r"panoptic_maps.*000000\.png: is damaged or cut short"):
        video.targets[0]
    trees.flip_a_bit(tmp_path / "panoptic_maps/val/0002/000001.png")
    with pytest.raises(DatasetError, match=r"panoptic_maps.*000001\.png: is damaged"):
        video.targets[1]


def test_missing_folders(tmp_path: Path) -> None:
    refused("nowhere: is missing, expected the folder that holds panoptic_maps, and", tmp_path / "nowhere")
    refused(
        r"panoptic_maps.val: is missing, expected a folder for each video in it; unpack kitti-step\.tar\.gz", tmp_path
    )
    (tmp_path / "panoptic_maps/val/.cache").mkdir(parents=True)
    (tmp_path / "panoptic_maps/val/README").write_text("")
    refused("panoptic_maps.val: holds no folder of label maps, expected one for each video", tmp_path)
    (tmp_path / "panoptic_maps/val/0002").mkdir()
    refused(r"images.val: is missing, as .*image_02 is, .*; unpack data_tracking_image_2\.zip", tmp_path)
    (tmp_path / "images/val").mkdir(parents=True)
    refused(r"has no folder of frames for 1 of 1 video\(s\): 0002; expected one such as .*val.0002", tmp_path)
    (tmp_path / "images/val/0002").mkdir(parents=True)
    refused("0002: holds no frames, expected PNG or JPEG files", tmp_path)
    (tmp_path / "panoptic_maps/train").write_text("")
    refused("panoptic_maps.train: cannot be read: Not a directory", tmp_path, split="train")


def test_labels_without_a_frame(tmp_path: Path) -> None:
    write(tmp_path, "val", "0002")
    (tmp_path / "images/val/0002/000001.png").unlink()
    refused(r"val.0002: has no frame for 1 of 3 label map\(s\) in 0002: 000001$", tmp_path)


def test_options(tmp_path: Path) -> None:
    write(tmp_path, "val", "0002")
    for options, message in (
        ({"split": "test"}, "`split` is 'test', whose annotations are not public, expected train or val"),
        ({"split": "training"}, "`split` is 'training', expected one of train, val"),
        ({"fps": -1}, "`fps` is -1, expected a rate above 0"),
        ({"step": 1.5}, r"`step` is 1\.5, expected a whole number >= 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            kitti_step(tmp_path, **options)
    refused("holds no run of step 2; it holds 1 of step 1", tmp_path, step=2)
