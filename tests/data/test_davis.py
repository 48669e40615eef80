"""DAVIS in its two releases, on small trees with the real names and encodings, and on real label maps."""

import os
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError, flame_score

pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
module = pytest.importorskip("flame_metric.data.davis")
trees = pytest.importorskip("video_trees")
davis, read_davis_labels = module.davis, module.read_davis_labels

DATA = os.environ.get("FLAME_METRIC_TEST_DATA")

BINARY = np.array([[0, 255, 255, 0]], np.uint8)
NUMBERED = np.array([[0, 1, 2, 255]], np.uint8)


def write(root: Path, video: str, numbers=range(3), *, labels: np.ndarray = BINARY, save=trees.save) -> None:
    trees.write_video(
        root / "JPEGImages/480p" / video, root / "unused", numbers, digits=5, label_of=lambda _: None, shape=(1, 4)
    )
    for number in numbers:
        save(root / f"Annotations/480p/{video}/{number:05}.png", labels)


def write_list(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def frame_lines(video: str, numbers=range(3)) -> list[str]:
    return [
        f"/JPEGImages/480p/{video}/{number:05}.jpg /Annotations/480p/{video}/{number:05}.png " for number in numbers
    ]


def release_2016(root: Path, *, lists: str = "2016") -> Path:
    for video in ("bear", "camel", "goat"):
        write(root, video)
    write_list(root / "ImageSets" / lists / "train.txt", *frame_lines("bear"))
    write_list(root / "ImageSets" / lists / "val.txt", *frame_lines("goat"), *frame_lines("camel"))
    return root


def release_2017(root: Path) -> Path:
    write(root, "bear", labels=NUMBERED, save=trees.save_palette)
    write(root, "gold-fish", labels=NUMBERED, save=trees.save_palette)
    write_list(root / "ImageSets/2017/train.txt", "bear")
    write_list(root / "ImageSets/2017/val.txt", "gold-fish")
    return root


# ── what is read ──


@pytest.mark.parametrize("lists", ["2016", "480p"])
def test_the_release_of_2016(lists: str, tmp_path: Path) -> None:
    dataset = davis(release_2016(tmp_path, lists=lists), year=2016)
    assert (dataset.name, dataset.class_names, dataset.ignore_index) == (
        "davis 2016 val",
        ("background", "foreground"),
        None,
    )
    assert [(video.name, len(video.frames), video.fps) for video in dataset.sequences] == [
        ("goat", 3, 24),
        ("camel", 3, 24),
    ]
    video = dataset.sequences[0]
    assert [trees.number_of(frame) for frame in video.frames] == [0, 1, 2]
    assert list(video.frame_names) == ["00000", "00001", "00002"]
    assert video.labelled == (0, 1, 2)
    assert video.targets[1].dtype == np.uint8
    assert video.targets[1].tolist() == [[0, 1, 1, 0]]  # 255 is the object, not void
    assert [video.name for video in davis(tmp_path, split="train", year=2016).sequences] == ["bear"]


def test_the_release_of_2017(tmp_path: Path) -> None:
    dataset = davis(release_2017(tmp_path))
    assert (dataset.name, dataset.num_classes, dataset.ignore_index) == ("davis 2017 val", 2, 255)
    (video,) = dataset.sequences
    assert (video.name, video.fps) == ("gold-fish", 24)
    assert video.targets[0].tolist() == [[0, 1, 1, 255]]  # numbers of objects are not classes; 255 is void
    assert [video.name for video in davis(tmp_path, split="train").sequences] == ["bear"]


def test_a_list_of_videos_does_for_2016_as_well(tmp_path: Path) -> None:
    release_2016(tmp_path)
    write_list(tmp_path / "ImageSets/2016/val.txt", "camel")
    assert [video.name for video in davis(tmp_path, year=2016).sequences] == ["camel"]


def test_rate_and_step(tmp_path: Path) -> None:
    write(tmp_path, "bear", [0, 2, 4, 8])
    write_list(tmp_path / "ImageSets/2016/val.txt", "bear")
    for options, rate in (({}, 12), ({"fps": 30}, 30), ({"step": 2}, 12)):
        assert [(video.name, video.fps) for video in davis(tmp_path, year=2016, **options).sequences] == [
            ("bear[00000..00004]", rate),
            ("bear[00008..00008]", rate),
        ]


@pytest.mark.parametrize(
    ("year", "save"), [(2016, trees.save), (2016, trees.save_palette), (2017, trees.save), (2017, trees.save_palette)]
)
def test_label_maps_are_grey_or_have_a_palette(year: int, save, tmp_path: Path) -> None:
    labels = {2016: [[0, 255, 255]], 2017: [[0, 1, 254]]}[year]
    save(tmp_path / "a.png", np.array(labels, np.uint8))
    assert read_davis_labels(tmp_path / "a.png", year=year).tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("year", [2016, 2017])
def test_a_frame_without_an_object(year: int, tmp_path: Path) -> None:
    trees.save(tmp_path / "a.png", np.zeros((1, 2), np.uint8))
    assert read_davis_labels(tmp_path / "a.png", year=year).tolist() == [[0, 0]]


# ── what is refused ──


def test_labels_of_2017_read_as_2016s(tmp_path: Path) -> None:
    release_2017(tmp_path)
    write_list(tmp_path / "ImageSets/2016/val.txt", "bear")
    (video,) = davis(tmp_path, year=2016).sequences
    with pytest.raises(
        DatasetError,
        match=r"bear.00001\.png: holds label\(s\) 1, 2 \(2 pixels\), expected 0 for the background and 255 for the "
        r"object; numbers of objects are those of DAVIS 2017: year=2017",
    ):
        video.targets[1]


def test_labels_of_2016_read_as_2017s(tmp_path: Path) -> None:
    """All objects would be void, and the score that of the background alone."""
    release_2016(tmp_path)
    write_list(tmp_path / "ImageSets/2017/val.txt", "bear")
    (video,) = davis(tmp_path).sequences
    with pytest.raises(
        DatasetError, match=r"00001\.png: holds 2 pixels of 255 and no number of an object, .*: year=2016$"
    ):
        video.targets[1]


@pytest.mark.parametrize(("year", "value"), [(2016, 300), (2017, 256)])
def test_a_label_beyond_a_byte(year: int, value: int, tmp_path: Path) -> None:
    trees.save(tmp_path / "a.png", np.array([[0, value]], np.uint16))
    with pytest.raises(DatasetError, match=rf"a\.png: holds label\(s\) {value} \(1 pixels\), expected"):
        read_davis_labels(tmp_path / "a.png", year=year)


def test_labels_in_colour(tmp_path: Path) -> None:
    trees.save(tmp_path / "a.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"a\.png: is RGB \(3 channels\), expected one channel"):
        read_davis_labels(tmp_path / "a.png", year=2017)


def test_frames_in_grey(tmp_path: Path) -> None:
    release_2016(tmp_path)
    trees.save(tmp_path / "JPEGImages/480p/goat/00001.jpg", np.zeros((1, 4), np.uint8))
    with pytest.raises(DatasetError, match=r"00001\.jpg: is grey \(1 channel\), expected RGB"):
        davis(tmp_path, year=2016).sequences[0].frames[1]


def test_a_list_of_the_other_release(tmp_path: Path) -> None:
    release_2016(tmp_path)
    with pytest.raises(
        DatasetError,
        match=r"2017.val\.txt: is missing, expected the list of the videos of val of DAVIS 2017; there is one of 2016: "
        "year=2016$",
    ):
        davis(tmp_path)
    with pytest.raises(DatasetError, match=r"2016.val\.txt: .* of DAVIS 2016; there is one of 2017: year=2017$"):
        davis(release_2017(tmp_path / "b"), year=2016)


def test_no_list_at_all(tmp_path: Path) -> None:
    release_2017(tmp_path)
    (tmp_path / "ImageSets/2017/val.txt").unlink()
    with pytest.raises(DatasetError, match=r"2017.val\.txt: is missing, .* of val of DAVIS 2017$"):
        davis(tmp_path)


def test_a_list_that_leads_elsewhere(tmp_path: Path) -> None:
    release_2016(tmp_path)
    write_list(tmp_path / "ImageSets/2016/val.txt", "/JPEGImages/480p/../00000.jpg /Annotations/480p/../00000.png")
    with pytest.raises(DatasetError, match=r"val\.txt: line 1 is .*, expected the name of a video"):
        davis(tmp_path, year=2016)


def test_videos_that_are_not_there(tmp_path: Path) -> None:
    write_list(release_2017(tmp_path) / "ImageSets/2017/val.txt", "gold-fish", "dogs", "judo")
    with pytest.raises(DatasetError, match=r"has no folder of frames for 2 of 3 video\(s\): dogs, judo; expected one"):
        davis(tmp_path)


def test_label_maps_alone(tmp_path: Path) -> None:
    """A frame is never made up."""
    release_2016(tmp_path)
    for file in (tmp_path / "JPEGImages/480p/goat").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match=r"goat: has no frame for 3 of 3 label map\(s\) in goat: 00000, 00001, 00"):
        davis(tmp_path, year=2016)


def test_options(tmp_path: Path) -> None:
    release_2017(tmp_path)
    for options, message in (
        ({"year": 2018}, "`year` is 2018, expected 2016 or 2017"),
        ({"year": "2017"}, "`year` is '2017', expected 2016 or 2017"),
        ({"year": []}, r"`year` is \[\], expected 2016 or 2017"),
        ({"split": "test"}, "`split` is 'test', whose annotations are not public"),
        ({"split": "trainval"}, "`split` is 'trainval', expected one of train, val"),
        ({"fps": 0}, "`fps` is 0, expected a rate above 0"),
        ({"step": 0}, "`step` is 0, expected a whole number >= 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            davis(tmp_path, **options)
    with pytest.raises(DatasetError, match="nowhere: is missing, expected the folder that holds JPEGImages, Annotat"):
        davis(tmp_path / "nowhere")


# ── the real ones ──


def maps(folder: Path, year: int) -> list[np.ndarray]:
    return [read_davis_labels(file, year=year) for file in sorted(folder.glob("*.png"))]


@pytest.mark.skipif(not DATA, reason="FLAME_METRIC_TEST_DATA names no folder of real label maps")
def test_real_label_maps() -> None:
    """Foreground IoU of drift-straight, 10 frames late: its own label maps, and those of OSVOS, with 2017's numbers."""
    truth = maps(Path(DATA, "davis2016/gt/drift-straight"), 2016)
    osvos = maps(Path(DATA, "davis2016/osvos/drift-straight"), 2017)
    late = {"num_classes": 2, "latency_ms": 10_000 / 24, "fps": 24}
    for predictions, iou in ((truth, 0.101637), (osvos, 0.116116)):
        result = flame_score(predictions, truth, **late)
        assert (result.frame_offset, result.num_pairs) == (10, 40)
        assert round(float(result.iou[1]), 6) == iou


@pytest.mark.skipif(not DATA, reason="FLAME_METRIC_TEST_DATA names no folder of real label maps")
def test_real_label_maps_of_2016_are_not_taken_for_those_of_2017() -> None:
    files = sorted(Path(DATA, "davis2016/gt").glob("*/*.png"))
    assert len(files) == 279
    for file in files[::10]:
        found = read_davis_labels(file, year=2016)
        assert (found.shape, np.unique(found).tolist()) == ((480, 854), [0, 1])
        with pytest.raises(DatasetError, match="year=2016"):
            read_davis_labels(file, year=2017)
