"""Folders of frames and label maps: layouts, names, steps and holes, what is refused, and CamVid read as such."""

import math
import os
import pickle
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from flame_metric import ConfigError, DatasetError, flame_score
from laws import examples

pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
frame_folder = pytest.importorskip("flame_metric.data.frame_folder").frame_folder
trees = pytest.importorskip("video_trees")
save, frame_of, number_of = trees.save, trees.frame_of, trees.number_of

DATA = os.environ.get("FLAME_METRIC_TEST_DATA")


def label_of(number: int) -> np.ndarray:
    return np.array([[number % 3, 0, 1, 255]] * 2, np.uint8)


def write(root: Path, video: str, numbers: Iterable[int], *, labelled: Iterable[int] | None = None, name="{:04}"):
    """Write frames of a video ("" for a flat folder), label maps of some, called by ``name`` of their numbers."""
    numbers = list(numbers)
    for number in numbers:
        save(root / "frames" / video / f"{name.format(number)}.png", frame_of(number))
    for number in numbers if labelled is None else labelled:
        save(root / "labels" / video / f"{name.format(number)}.png", label_of(number))
    return root


def read(root: Path, **options):
    options = {"fps": 30, "num_classes": 3, "ignore_index": 255, **options}
    return frame_folder(root / "frames", root / "labels", **options)


def shown(dataset) -> list[tuple[str, list[int], list[int], Fraction]]:
    """Name, numbers of frames, as their colours tell, numbers of labelled ones, rate."""
    return [
        (
            video.name,
            [number_of(frame) for frame in video.frames],
            [number_of(video.frames[index]) for index in video.labelled],
            video.fps,
        )
        for video in dataset.sequences
    ]


def refused(message: str, root: Path, **options) -> None:
    with pytest.raises(DatasetError, match=message) as raised:
        read(root, **options)
    assert raised.value.path is not None


# ── what is read ──


def test_folders_of_frames(tmp_path: Path) -> None:
    write(tmp_path, "monday", range(5), labelled=[1, 3])
    write(tmp_path, "tuesday", range(7, 10))
    dataset = read(tmp_path, fps="30000/1001", name="ours")
    assert (dataset.name, dataset.class_names, dataset.ignore_index) == ("ours", ("0", "1", "2"), 255)
    rate = Fraction(30000, 1001)
    assert shown(dataset) == [("monday", [0, 1, 2, 3, 4], [1, 3], rate), ("tuesday", [7, 8, 9], [7, 8, 9], rate)]
    monday = dataset.sequences[0]
    assert [target is None for target in monday.targets] == [True, False, True, False, True]
    np.testing.assert_array_equal(monday.targets[3], label_of(3))
    assert [monday.frame_name(index) for index in range(5)] == ["0000", "0001", "0002", "0003", "0004"]
    assert monday.timestamps_ns is None


def test_flat_folders(tmp_path: Path) -> None:
    write(tmp_path, "", range(3))
    assert shown(read(tmp_path)) == [("labels", [0, 1, 2], [0, 1, 2], 30)]


def test_recordings_in_flat_folders(tmp_path: Path) -> None:
    write(tmp_path, "", range(3), name="left_{:03}")
    write(tmp_path, "", range(5, 7), name="right-{:03}")
    write(tmp_path, "", range(9), labelled=[], name="unlabelled_{:03}")
    dataset = read(tmp_path)
    assert shown(dataset) == [("left", [0, 1, 2], [0, 1, 2], 30), ("right", [5, 6], [5, 6], 30)]
    assert dataset.sequences[1].frame_name(1) == "right-006"
    assert [video.name for video in read(tmp_path, sequences=["right"]).sequences] == ["right"]


def test_sequences_without_labels_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "a", range(3))
    write(tmp_path, "b", range(3), labelled=[])
    assert [video.name for video in read(tmp_path).sequences] == ["a"]


def test_kinds_of_files(tmp_path: Path) -> None:
    save(tmp_path / "frames/a/1.jpg", frame_of(1))
    save(tmp_path / "frames/a/2.PNG", frame_of(2))
    save(tmp_path / "frames/a/3.jpeg", frame_of(3))
    (tmp_path / "frames/a/4.txt").write_text("")
    (tmp_path / "labels/a").mkdir(parents=True)
    np.save(tmp_path / "labels/a/2.npy", label_of(2))
    dataset = read(tmp_path, step=1)
    assert shown(dataset) == [("a", [1, 2, 3], [2], 30)]
    np.testing.assert_array_equal(dataset.sequences[0].targets[1], label_of(2))


def test_prefixes_and_suffixes(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"frames/a/cam_{number}_rgb.png", frame_of(number))
        save(tmp_path / f"frames/a/cam_{number}_depth.png", frame_of(99))
        save(tmp_path / f"labels/a/gt_{number}_ids.png", label_of(number))
        save(tmp_path / f"labels/a/gt_{number}_colour.png", frame_of(99))
    affixes = {"frame_prefix": "cam_", "frame_suffix": "_rgb", "label_prefix": "gt_", "label_suffix": "_ids.png"}
    dataset = read(tmp_path, **affixes)
    assert shown(dataset) == [("a", [0, 1, 2], [0, 1, 2], 30)]
    assert dataset.sequences[0].frame_name(2) == "2"


def test_a_label_map_from_text(tmp_path: Path) -> None:
    write(tmp_path, "a", range(3))
    dataset = read(tmp_path, num_classes=2, label_map="0:0,255:9,*:1", ignore_index=9)
    assert dataset.sequences[0].targets[2].tolist() == [[1, 0, 1, 9]] * 2


def test_class_names(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2))
    assert read(tmp_path, num_classes=None, class_names=["x", "y", "z"]).class_names == ("x", "y", "z")


def test_videos_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    write(tmp_path, "a", range(4))
    (video,) = pickle.loads(pickle.dumps(read(tmp_path))).sequences
    assert number_of(video.frames[3]) == 3
    np.testing.assert_array_equal(video.slice(1, 4).targets[1], label_of(2))


# ── steps and holes ──


@pytest.mark.parametrize(
    ("numbers", "step", "parts"),
    [
        ([0, 1, 2, 3], None, [("a", 4)]),
        ([4, 6, 8], None, [("a", 3)]),
        ([0, 2, 4, 8, 10], None, [("a[0000..0004]", 3), ("a[0008..0010]", 2)]),
        ([0, 1, 2, 4, 5, 9], None, [("a[0000..0002]", 3), ("a[0004..0005]", 2), ("a[0009..0009]", 1)]),
        ([0, 2, 4, 5], None, [("a[0000..0000]", 1), ("a[0002..0002]", 1), ("a[0004..0005]", 2)]),  # the step is 1
        ([0, 2, 4], 1, [("a[0000..0000]", 1), ("a[0002..0002]", 1), ("a[0004..0004]", 1)]),
        ([0, 2, 4, 6, 7], 1, [("a[0000..0000]", 1), ("a[0002..0002]", 1), ("a[0004..0004]", 1), ("a[0006..0007]", 2)]),
        ([7], None, [("a", 1)]),
        ([7], 5, [("a", 1)]),
    ],
)
def test_holes_cut_a_sequence(
    tmp_path: Path, numbers: list[int], step: int | None, parts: list[tuple[str, int]]
) -> None:
    write(tmp_path, "a", numbers)
    dataset = read(tmp_path, step=step)
    assert [(name, len(frames), rate) for name, frames, _, rate in shown(dataset)] == [(*part, 30) for part in parts]
    assert [number for _, frames, *_ in shown(dataset) for number in frames] == numbers


def test_parts_know_their_places_with_labels_or_without(tmp_path: Path) -> None:
    write(tmp_path, "a", [2, 4, 6, 12, 14, 20], labelled=[12, 14])
    videos = read(tmp_path).sequences
    assert [(part.name, part.recording, part.start, part.step, part.labelled) for part in videos] == [
        ("a[0002..0006]", "a", 0, 2, ()),
        ("a[0012..0014]", "a", 5, 2, (0, 1)),
        ("a[0020..0020]", "a", 9, 2, ()),
    ]


def test_a_lone_frame_takes_the_step_of_the_others(tmp_path: Path) -> None:
    write(tmp_path, "a", [5])
    write(tmp_path, "b", [0, 10, 20])
    assert shown(read(tmp_path, fps=3)) == [("a", [5], [5], 3), ("b", [0, 10, 20], [0, 10, 20], 3)]


def test_no_offset_counts_across_a_hole(tmp_path: Path) -> None:
    write(tmp_path, "a", [0, 1, 2, 4, 5])
    for video, pairs in zip(read(tmp_path).sequences, (2, 1), strict=True):
        result = flame_score(
            video.targets, video.targets, num_classes=3, latency_ms=33, fps=video.fps, ignore_index=255
        )
        assert (result.frame_offset, result.num_pairs) == (1, pairs)


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 30), min_size=1, max_size=12), st.sampled_from([None, 1, 2, 3]))
def test_every_labelled_frame_is_in_one_part(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], step: int | None
) -> None:
    root = write(tmp_path_factory.mktemp("videos"), "a", sorted(numbers))
    gaps = {after - before for before, after in pairwise(sorted(numbers))}
    try:
        found = read(root, step=step)
    except DatasetError:
        assert any(gap % step for gap in gaps) if step else math.gcd(*gaps) not in gaps
        return
    size = step or (math.gcd(*gaps) if gaps else 1)
    assert [number for _, frames, *_ in shown(found) for number in frames] == sorted(numbers)
    for video, (_, frames, *_) in zip(found.sequences, shown(found), strict=True):
        assert video.start * size == frames[0] - min(numbers)
        assert {after - before for before, after in pairwise(frames)} <= {size}


# ── what is refused ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "`fps` is 0, expected a rate above 0"),
        ({"fps": "fast"}, "`fps` is 'fast', expected a rate above 0"),
        ({"step": 0}, "`step` is 0, expected a whole number >= 1"),
        ({"step": 1.5}, "`step` is 1.5, expected a whole number >= 1"),
        ({"num_classes": None}, "`num_classes` is missing, expected it or `class_names`"),
        ({"sequences": ["c"]}, "`sequences` names 'c', expected some of a, b$"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    write(tmp_path, "a", range(2))
    write(tmp_path, "b", range(2))
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **options)


def test_missing_folders(tmp_path: Path) -> None:
    refused("labels: is missing, expected a folder", tmp_path)
    save(tmp_path / "labels/a/1.png", label_of(1))
    refused("frames: is missing, expected a folder of frames", tmp_path)
    (tmp_path / "frames").write_text("")
    refused("frames: is not a folder, expected a folder of frames", tmp_path)
    with pytest.raises(DatasetError, match="is missing, expected a folder"):
        frame_folder(tmp_path / "a\0b", tmp_path / "labels", fps=30, num_classes=3)
    with pytest.raises(DatasetError, match="is missing, expected a folder"):
        frame_folder(tmp_path, tmp_path / "a\0b", fps=30, num_classes=3)


def test_empty_folders(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2))
    (tmp_path / "labels/b").mkdir()
    refused(r"labels/b: is empty, expected label maps; remove the folder if there are none$", tmp_path)
    (tmp_path / "labels/b/notes.txt").touch()  # without a label map it is not a sequence
    assert [video.name for video in read(tmp_path).sequences] == ["a"]
    refused(r"labels: holds no label maps whose names begin with '' and end with '_x'", tmp_path, label_suffix="_x")
    refused(
        r"frames: has no frames \(PNG or JPEG files named cam_\*_rgb\) for 1 of 1 labelled sequence\(s\): a; it has "
        r"some for none$",
        tmp_path,
        frame_prefix="cam_",
        frame_suffix="_rgb",
    )


def test_unlike_layouts(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2))
    for number in range(2):
        save(tmp_path / f"flat/{number:04}.png", label_of(number))
    with pytest.raises(DatasetError, match=r"frames: holds no frame itself .*, expected frames: .*flat is laid out so"):
        frame_folder(tmp_path / "frames", tmp_path / "flat", fps=30, num_classes=3)
    with pytest.raises(DatasetError, match=r"flat: holds frames itself .*, expected folders of them: .*labels is laid"):
        frame_folder(tmp_path / "flat", tmp_path / "labels", fps=30, num_classes=3)


def test_sequences_without_frames(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2))
    save(tmp_path / "labels/b/1.png", label_of(1))
    (tmp_path / "frames/b").mkdir()
    save(tmp_path / "labels/c/1.png", label_of(1))
    refused(r"frames: has no frames .* for 2 of 3 labelled sequence\(s\): b, c; it has some for a$", tmp_path)
    write(tmp_path / "flat", "", range(2), name="left_{}")
    write(tmp_path / "flat", "", range(2), name="right_{}")
    save(tmp_path / "flat/labels/centre_1.png", label_of(1))
    refused(r"for 1 of 3 labelled sequence\(s\): centre; it has some for left, right$", tmp_path / "flat")


def test_labels_without_a_frame(tmp_path: Path) -> None:
    write(tmp_path, "a", range(3), labelled=[1, 2, 3, 4])
    refused(r"a: has no frame for 2 of 4 label map\(s\) in a: 0003, 0004$", tmp_path)


def test_names_that_do_not_match(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / f"frames/a/{number}_rgb.png", frame_of(number))
        save(tmp_path / f"labels/a/gt_{number}.png", label_of(number))
    refused(
        r"frames: frame names do not match: frames are named 0_rgb, 1_rgb, label maps gt_0, gt_1; try "
        r"label_prefix = 'gt_' frame_suffix = '_rgb'$",
        tmp_path,
    )
    assert len(read(tmp_path, label_prefix="gt_", frame_suffix="_rgb").sequences) == 1


def test_names_of_flat_folders_that_do_not_match(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / f"frames/cam_{number}.png", frame_of(number))
        save(tmp_path / f"labels/{number}.png", label_of(number))
    refused("frame names do not match: .*; try frame_prefix = 'cam_'$", tmp_path)
    assert [video.name for video in read(tmp_path, frame_prefix="cam_").sequences] == ["labels"]


def test_names_of_several_kinds(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2), name="{}_left")
    write(tmp_path, "a", range(2), name="{}_right")
    refused(r"a: holds names of 2 kinds for sequence a, such as #_left, #_right \(# = frame number\), exp", tmp_path)


def test_recordings_of_one_folder_are_told_apart_by_their_names(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2), name="left_{}")
    write(tmp_path, "a", range(3), name="right_{}")
    found = read(tmp_path)
    assert [(video.name, len(video.frames)) for video in found.sequences] == [("a_left", 2), ("a_right", 3)]


def test_a_pattern_says_which_digits_are_the_number(tmp_path: Path) -> None:
    for name in ("{}_cam0", "{}_cam1"):
        write(tmp_path, "a", range(3), name=name)
    refused(r"may be the frame number: \[0\]_cam\[0\], .*; say which it is by frame_number = '", tmp_path)
    found = read(tmp_path, frame_number=r"^(\d+)")
    assert [(video.name, len(video.frames)) for video in found.sequences] == [("a_cam0", 3), ("a_cam1", 3)]


def test_names_without_a_number(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2))
    save(tmp_path / "frames/a/cover.png", frame_of(0))
    refused(r"cover\.png: the frame name 'cover' has no digits, expected a frame number in it", tmp_path)


def test_frames_that_come_twice(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2))
    save(tmp_path / "frames/a/0001.jpg", frame_of(1))
    refused(r"0001\.png: is a second file for frame 0001 beside 0001\.jpg", tmp_path)
    (tmp_path / "frames/a/0001.jpg").rename(tmp_path / "frames/a/01.jpg")
    refused(r"01\.jpg: is frame 1 of its recording, as .*0001\.png is, expected it once", tmp_path)


def test_one_step_for_all_sequences(tmp_path: Path) -> None:
    write(tmp_path, "a", range(0, 6, 2))
    write(tmp_path, "b", range(0, 9, 3))
    refused(r"frames: frame numbers are 2 and 3 apart, .*; give the step \(step\): step = 1 fits all of them", tmp_path)
    assert shown(read(tmp_path, sequences=["b"], fps=10)) == [("b", [0, 3, 6], [0, 3, 6], 10)]
    write(tmp_path, "c", range(2))
    assert {video.step for video in read(tmp_path, fps=10).sequences} == {1}


def test_one_label_says_no_step(tmp_path: Path) -> None:
    write(tmp_path, "a", range(5), labelled=[4])
    refused(r"no sequence has two labelled frames, .*, or the step \(step\)", tmp_path)
    assert shown(read(tmp_path, step=1)) == [("a", [0, 1, 2, 3, 4], [4], 30)]


def test_labels_on_some_frames(tmp_path: Path) -> None:
    write(tmp_path, "a", range(11), labelled=[0, 5, 10])
    assert [video.step for video in read(tmp_path).sequences] == [1]
    refused(r"sequence a: frame numbers of frames are up to 1 .* of the step 5; step = 1", tmp_path, step=5)


def test_damage_is_named_on_access(tmp_path: Path) -> None:
    write(tmp_path, "a", range(4))
    (video,) = read(tmp_path).sequences
    trees.cut_short(tmp_path / "frames/a/0000.png")
    trees.flip_a_bit(tmp_path / "labels/a/0000.png")
    save(tmp_path / "frames/a/0001.png", label_of(1))
    save(tmp_path / "labels/a/0001.png", np.array([[7, 255]], np.uint8))
    save(tmp_path / "labels/a/0002.png", frame_of(2))
    (tmp_path / "frames/a/0003.png").unlink()
    (tmp_path / "labels/a/0003.png").unlink()
    for items, index, message in (
        (video.frames, 0, r"frames/a/0000\.png: is damaged or cut short"),
        (video.targets, 0, r"labels/a/0000\.png: is damaged"),
        (video.frames, 1, r"frames/a/0001\.png: is grey \(1 channel\), expected RGB: .* is this a label map"),
        (video.targets, 1, r"0001\.png: holds label\(s\) 7 \(1 pixels\), expected 0\.\.2 or ignore_index 255"),
        (video.targets, 2, r"labels/a/0002\.png: is RGB \(3 channels\), expected one channel"),
        (video.frames, 3, r"frames/a/0003\.png: is missing"),
        (video.targets, 3, r"labels/a/0003\.png: is missing, expected a label map"),
    ):
        with pytest.raises(DatasetError, match=message):
            items[index]


# ── real frames ──


@pytest.mark.skipif(not DATA, reason="FLAME_METRIC_TEST_DATA names no folder of real label maps")
def test_camvid_read_as_plain_folders() -> None:
    camvid = pytest.importorskip("flame_metric.data.camvid").camvid
    root = Path(DATA, "camvid_dense")
    (known,) = camvid(root).sequences
    dataset = frame_folder(root / "images", root / "labels", fps=15, num_classes=11, ignore_index=11)
    (video,) = dataset.sequences
    assert (video.name, video.fps) == ("0016E5", known.fps)
    assert list(video.frame_names) == list(known.frame_names)
    assert video.labelled == known.labelled == tuple(range(101))
    for index in range(0, 101, 20):
        np.testing.assert_array_equal(video.frames[index], known.frames[index])
    for target, other in zip(video.targets, known.targets, strict=True):
        np.testing.assert_array_equal(target, other)
    result = flame_score(video.targets, video.targets, num_classes=11, latency_ms=26, fps=video.fps, ignore_index=11)
    assert (result.frame_offset, result.num_pairs, round(result.miou, 6)) == (1, 100, 0.735525)


@pytest.mark.skipif(not DATA, reason="FLAME_METRIC_TEST_DATA names no folder of real label maps")
def test_a_hole_in_camvid(tmp_path: Path) -> None:
    camvid = pytest.importorskip("flame_metric.data.camvid").camvid
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        for file in sorted(Path(DATA, "camvid_dense", kind).glob("*.png")):
            if file.stem != "0016E5_08011":
                (tmp_path / kind / file.name).symlink_to(file)
    known = camvid(tmp_path)
    videos = frame_folder(tmp_path / "images", tmp_path / "labels", fps=15, num_classes=11, ignore_index=11).sequences
    assert [video.name for video in videos] == [
        "0016E5[0016E5_07959..0016E5_08009]",
        "0016E5[0016E5_08013..0016E5_08159]",
    ]
    for video, other in zip(videos, known.sequences, strict=True):
        assert (list(video.frame_names), video.fps) == (list(other.frame_names), other.fps)
