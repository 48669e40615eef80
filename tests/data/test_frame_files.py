"""Frames and label maps as files: pairs, runs, and what is refused."""

import pickle
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import DatasetError, FlameMeter, ShapeError
from flame_metric.data.folders import vote_step
from flame_metric.data.videos import VideoSequence

pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
module = pytest.importorskip("flame_metric.data.frame_files")
trees = pytest.importorskip("video_trees")
FileFolder, FrameFile, FrameRun = module.FileFolder, module.FrameFile, module.FrameRun
pair_folders, recordings, open_numbered_videos = (
    module.pair_folders,
    module.recordings,
    module.open_numbered_videos,
)
read_label_png = pytest.importorskip("flame_metric.data.images").read_label_png


def grey(number: int) -> np.ndarray:
    return np.full((2, 4), number % 256, np.uint8)


def write(root: Path, video: str, numbers, **options) -> None:
    options = {"digits": 5, "label_of": grey, **options}
    trees.write_video(root / "frames" / video, root / "labels" / video, numbers, **options)


def videos(root: Path, *names: str, rate: int = 30, fps=None, step: int | None = None) -> tuple[VideoSequence, ...]:
    folders = {name: (root / "frames" / name, root / "labels" / name) for name in names}
    return open_numbered_videos(root, folders, read_label_png, recorded=rate, fps=fps, step=step)


def shown(found) -> list[tuple[str, list[str], Fraction]]:
    return [(video.name, list(video.frame_names), video.fps) for video in found]


def refused(message: str, root: Path, *names: str, **options) -> None:
    with pytest.raises(DatasetError, match=message):
        videos(root, *names, **options)


# ── runs ──


def test_a_video_without_a_hole(tmp_path: Path) -> None:
    write(tmp_path, "street", range(7, 11))
    (video,) = videos(tmp_path, "street", rate=24)
    assert shown([video]) == [("street", ["00007", "00008", "00009", "00010"], Fraction(24))]
    assert [trees.number_of(frame) for frame in video.frames] == [7, 8, 9, 10]
    assert [int(target[0, 0]) for target in video.targets] == [7, 8, 9, 10]
    assert video.labelled == (0, 1, 2, 3)
    assert video.frame_name(3) == "00010"


def test_a_video_is_cut_at_holes(tmp_path: Path) -> None:
    write(tmp_path, "street", [0, 1, 2, 5, 6, 8])
    assert shown(videos(tmp_path, "street")) == [
        ("street[00000..00002]", ["00000", "00001", "00002"], 30),
        ("street[00005..00006]", ["00005", "00006"], 30),
        ("street[00008..00008]", ["00008"], 30),
    ]
    assert [(part.recording, part.start, part.step) for part in videos(tmp_path, "street")] == [
        ("street", 0, 1),
        ("street", 5, 1),
        ("street", 8, 1),
    ]


def test_numbers_that_rise_by_a_step(tmp_path: Path) -> None:
    write(tmp_path, "street", [2, 5, 8, 14, 17])  # 11 is missing
    first, second = videos(tmp_path, "street", rate=15)
    assert shown([first, second]) == [
        ("street[00002..00008]", ["00002", "00005", "00008"], 5),
        ("street[00014..00017]", ["00014", "00017"], 5),
    ]
    assert [int(target[0, 0]) for target in second.targets] == [14, 17]
    assert (second.recording, second.start, second.step) == ("street", 4, 3)


def test_a_rate_that_is_given_is_that_of_steps(tmp_path: Path) -> None:
    write(tmp_path, "b", [2, 5, 8])
    write(tmp_path, "d", [0, 1])
    assert shown(videos(tmp_path, "b", fps=5)) == [("b", ["00002", "00005", "00008"], 5)]
    refused(
        "`fps` is 5, but the frame numbers of videos advance by unlike steps .1, 3., expected",
        tmp_path,
        "b",
        "d",
        fps=5,
    )
    assert shown(videos(tmp_path, "b", "d", fps=5, step=1)) == [("d", ["00000", "00001"], 5)]


def test_a_number_between_others_makes_the_step_smaller(tmp_path: Path) -> None:
    """As it does for `evaluate`, whatever distance occurs most often."""
    write(tmp_path, "street", [0, 2, 4, 6, 7, 9])
    assert [(part.name, part.start) for part in videos(tmp_path, "street")] == [
        ("street[00000..00000]", 0),
        ("street[00002..00002]", 2),
        ("street[00004..00004]", 4),
        ("street[00006..00007]", 6),
        ("street[00009..00009]", 9),
    ]


def test_numbers_that_vote_for_no_step(tmp_path: Path) -> None:
    write(tmp_path, "street", [0, 3, 6, 10, 13])
    refused("the frame numbers of street are 3, 4 apart, expected gaps .*; give the `step` of", tmp_path, "street")
    found = videos(tmp_path, "street", step=3)  # what lies between is not a whole number of steps
    assert [(part.name, part.recording, part.start) for part in found] == [
        ("street[00000..00006]", None, 0),
        ("street[00010..00013]", None, 0),
    ]


def test_a_lone_frame_has_the_rate_of_the_others(tmp_path: Path) -> None:
    for name, numbers in (("a", [4]), ("b", [0, 3, 6]), ("c", [0, 3]), ("d", [0, 1])):
        write(tmp_path, name, numbers)
    assert [(video.name, video.fps) for video in videos(tmp_path, *"abcd")] == [
        ("a", 10),
        ("b", 10),
        ("c", 10),
        ("d", 30),
    ]
    assert videos(tmp_path, "a", "b", "d")[0].fps == 30  # two steps occur as often: the smaller one
    assert [(video.name, video.fps) for video in videos(tmp_path, "a")] == [("a", 30)]


def test_videos_of_one_step(tmp_path: Path) -> None:
    for name, numbers in (("b", [0, 3, 6, 12]), ("d", [0, 1])):
        write(tmp_path, name, numbers)
    assert [video.name for video in videos(tmp_path, "b", "d", step=3)] == [
        "b[00000..00006]",
        "b[00012..00012]",
    ]
    assert [video.name for video in videos(tmp_path, "b", "d", step=1)] == ["d"]
    refused("holds no run of step 2; it holds 1 of step 1, 1 of step 3$", tmp_path, "b", "d", step=2)


def test_runs_without_a_label_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "street", [0, 1, 2, 6, 7], label_of=lambda number: grey(7) if number == 7 else None)
    other, video = videos(tmp_path, "street")  # predictions of the one may be on screen in the other
    assert (other.name, other.labelled) == ("street[00000..00002]", ())
    assert (video.name, video.labelled) == ("street[00006..00007]", (1,))
    assert video.targets[0] is None
    assert video.frames[0].shape == (2, 4, 3)


@given(numbers=st.sets(st.integers(0, 40), min_size=1))
def test_every_frame_is_in_one_run_and_no_run_has_a_hole(numbers: set[int]) -> None:
    frames = [FrameFile(str(number), Path("x"), Path("y"), number, ("", "")) for number in sorted(numbers)]
    step = vote_step([numbers]) or 1
    runs = list(module.cut_into_runs("street", frames, step))
    assert [frame for run in runs for frame in run.frames] == frames
    assert len({run.name for run in runs}) == len(runs)
    for run in runs:
        assert all(after.number - before.number == step for before, after in pairwise(run.frames))
    for before, after in pairwise(runs):  # and nothing is cut that belongs together
        assert after.frames[0].number - before.frames[-1].number != step


def test_which_frames_are_labelled_is_known_without_reading(tmp_path: Path) -> None:
    write(tmp_path, "a", range(4), label_of=lambda number: None if number == 2 else grey(number))
    (tmp_path / "labels/a/00001.png").write_bytes(b"")
    (video,) = videos(tmp_path, "a")
    assert video.labelled == video.targets.labelled == (0, 1, 3)


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "a", range(3), label_of=lambda number: grey(number) if number else None)
    trees.save(tmp_path / "labels/a/00000.jpg", trees.frame_of(0))  # compression changes labels: never one of them
    (tmp_path / "frames/a/Thumbs.db").write_bytes(b"")
    trees.save(tmp_path / "frames/a/.00009.jpg", trees.frame_of(0))
    (video,) = videos(tmp_path, "a")
    assert (len(video.frames), video.labelled) == (3, (1, 2))


def test_videos_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    write(tmp_path, "street", range(3))
    (video,) = pickle.loads(pickle.dumps(videos(tmp_path, "street")))
    assert trees.number_of(video.frames[2]) == 2
    assert int(video.targets[2][0, 0]) == 2


def test_sizes_are_those_of_the_video(tmp_path: Path) -> None:
    write(tmp_path, "small", range(2))
    write(tmp_path, "large", range(2), shape=(3, 5), label_of=lambda _: np.zeros((3, 5), np.uint8))
    small, large = videos(tmp_path, "small", "large")
    assert (small.frames[0].shape, small.targets[0].shape) == ((2, 4, 3), (2, 4))
    assert (large.frames[0].shape, large.targets[0].shape) == ((3, 5, 3), (3, 5))


def test_a_label_map_of_another_size_is_refused_where_it_meets_a_prediction(tmp_path: Path) -> None:
    write(tmp_path, "street", range(2), label_of=lambda _: np.zeros((1, 2), np.uint8))
    (video,) = videos(tmp_path, "street")
    meter = FlameMeter(2, frame_offset=0)
    predictions = (np.zeros(frame.shape[:2], np.uint8) for frame in video.frames)
    with pytest.raises(ShapeError, match=r"\(2, 4\).*\(1, 2\)"):
        meter.update_sequence(predictions, video.targets, sequence=video.name)


# ── pairs and recordings ──


def test_prefixes_and_suffixes_are_no_part_of_a_name(tmp_path: Path) -> None:
    trees.save(tmp_path / "frames/cam_12_rgb.png", trees.frame_of(12))
    trees.save(tmp_path / "frames/cam_13_rgb.JPG", trees.frame_of(13))
    trees.save(tmp_path / "frames/cam_12_depth.png", trees.frame_of(0))
    trees.save(tmp_path / "labels/12_L.png", grey(1))
    (tmp_path / "frames/notes.txt").write_text("")
    images = FileFolder(tmp_path / "frames", "frames", prefix="cam_", suffix="_rgb")
    labels = FileFolder(tmp_path / "labels", "label maps", suffix="_L", extensions=(".png",))
    one, other = pair_folders(images, labels)
    assert (one.name, one.number, one.pattern) == ("12", 12, ("", ""))
    assert (one.image.name, one.label.name) == ("cam_12_rgb.png", "12_L.png")
    assert (other.name, other.image.name, other.label) == ("13", "cam_13_rgb.JPG", None)


def test_recordings_are_told_apart_by_what_stands_around_the_numbers() -> None:
    frames = [
        FrameFile(f"{before}{number}{after}", Path("x"), None, number, (before, after))
        for before, number, after in (("b_", 2, ""), ("a_", 9, ""), ("a_", 10, ""), ("b_", 1, ""), ("a_", 9, "_left"))
    ]
    found = {pattern: [frame.name for frame in group] for pattern, group in recordings(frames).items()}
    assert found == {("a_", ""): ["a_9", "a_10"], ("a_", "_left"): ["a_9_left"], ("b_", ""): ["b_1", "b_2"]}


# ── what is refused ──


def test_missing_folders(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2))
    refused(r"has no folder of frames for 2 of 3 video\(s\): b, c; expected one such as .*frames.b$", tmp_path, *"abc")
    write(tmp_path, "b", range(2), label_of=lambda _: None)
    refused(r"has no folder of label maps for 1 of 2 video\(s\): b; expected one such as .*labels.b$", tmp_path, *"ab")


def test_empty_folders(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2), label_of=lambda _: None)
    (tmp_path / "labels/a").mkdir(parents=True)
    refused(r"labels.a: holds no label map for any of 2 frame\(s\) in a, expected some", tmp_path, "a")
    for file in (tmp_path / "frames/a").iterdir():
        file.unlink()
    refused(r"frames.a: holds no frames, expected PNG or JPEG files named by numbers", tmp_path, "a")


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("")
    with pytest.raises(DatasetError, match=r"frames: is not a folder, expected a folder of frames"):
        FileFolder(tmp_path / "frames", "frames").files()
    with pytest.raises(DatasetError, match=r"nowhere: is missing, expected a folder of label maps"):
        FileFolder(tmp_path / "nowhere", "label maps").files()


def test_labels_without_a_frame(tmp_path: Path) -> None:
    write(tmp_path, "a", range(4))
    for number in (1, 2):
        (tmp_path / f"frames/a/{number:05}.jpg").unlink()
    refused(r"frames.a: has no frame for 2 of 4 label map\(s\) in a: 00001, 00002$", tmp_path, "a")


@pytest.mark.parametrize("name", ["00001 (copy)", "a_00007", "00007b"])
def test_names_that_are_no_numbers(name: str, tmp_path: Path) -> None:
    write(tmp_path, "a", range(3))
    trees.save(tmp_path / f"frames/a/{name}.jpg", trees.frame_of(0))
    with pytest.raises(DatasetError) as raised:
        videos(tmp_path, "a")
    assert f"the frame name {name!r} is not a number, expected only digits" in str(raised.value)
    assert raised.value.path == str(tmp_path / f"frames/a/{name}.jpg")


def test_a_name_without_digits(tmp_path: Path) -> None:
    write(tmp_path, "a", range(3))
    trees.save(tmp_path / "frames/a/cover.jpg", trees.frame_of(0))
    refused(r"cover\.jpg: the frame name 'cover' has no digits, expected a frame number in it", tmp_path, "a")


def test_frames_that_come_twice(tmp_path: Path) -> None:
    write(tmp_path, "a", range(3))
    trees.save(tmp_path / "frames/a/00002.png", trees.frame_of(0))
    refused(r"00002\.png: is a second file for frame 00002 beside 00002\.jpg", tmp_path, "a")
    (tmp_path / "frames/a/00002.png").rename(tmp_path / "frames/a/2.png")
    refused(r"2\.png: is frame 2 of its recording, as .*00002\.jpg is, expected it once", tmp_path, "a")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    write(tmp_path, "a", range(3), extension="png")
    (video,) = videos(tmp_path, "a")
    trees.cut_short(tmp_path / "frames/a/00001.png")
    with pytest.raises(DatasetError, match=r"frames.a.00001\.png: is damaged or cut short"):
        video.frames[1]
    trees.flip_a_bit(tmp_path / "labels/a/00001.png")
    with pytest.raises(DatasetError, match=r"labels.a.00001\.png: is damaged"):
        video.targets[1]
    (tmp_path / "frames/a/00002.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"frames.a.00002\.png: is empty"):
        video.frames[2]
    (tmp_path / "labels/a/00002.png").unlink()
    with pytest.raises(DatasetError, match=r"labels.a.00002\.png: is missing"):
        video.targets[2]
    assert trees.number_of(video.frames[0]) == 0


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a", range(2))
    (tmp_path / "frames/a/00001.jpg").unlink()
    (tmp_path / "frames/a/00001.jpg").symlink_to("nowhere.jpg")
    (video,) = videos(tmp_path, "a")
    with pytest.raises(DatasetError, match=r"frames.a.00001\.jpg: is a link to nothing"):
        video.frames[1]
