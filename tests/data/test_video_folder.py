"""Video files with label maps: names, numbers, rates, and what is refused."""

import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError

pytest.importorskip("av", reason="reading video files needs PyAV")
video_folder = pytest.importorskip("flame_metric.data.video_folder").video_folder
files = pytest.importorskip("video_files")
trees = pytest.importorskip("video_trees")
write_video = files.write_video

FRAMES = files.pictures(12)


def label_of(number: int) -> np.ndarray:
    return np.array([[number % 3, 0, 1, 255]] * 2, np.uint8)


def write(root: Path, video: str, *names: str, **options: object) -> Path:
    """Write a video of 12 frames, and label maps with these names."""
    stem = Path(video).stem
    write_video(root / "videos" / video, FRAMES, **options)
    for name in names:
        trees.save(root / "labels" / stem / f"{name}.png", label_of(int(name.strip("L_"))))
    return root


def read(root: Path, frames: str = "videos", **options):
    options = {"num_classes": 3, "ignore_index": 255, **options}
    return video_folder(root / frames, root / "labels", **options)


def refused(message: str, root: Path, frames: str = "videos", **options) -> None:
    with pytest.raises(DatasetError, match=message) as raised:
        read(root, frames, **options)
    assert raised.value.path is not None


def test_a_folder_of_videos(tmp_path: Path) -> None:
    write(tmp_path, "monday.mkv", "000000", "000004", "000011", rate=Fraction(30000, 1001))
    write(tmp_path, "tuesday.AVI".lower(), "000003", rate=15)
    write(tmp_path, "unlabelled.mkv")
    (tmp_path / "videos/notes.txt").write_text("")
    dataset = read(tmp_path, name="ours")
    assert (dataset.name, dataset.class_names, dataset.ignore_index) == ("ours", ("0", "1", "2"), 255)
    monday, tuesday = dataset.sequences
    assert [(video.name, video.fps, video.labelled) for video in (monday, tuesday)] == [
        ("monday", Fraction(30000, 1001), (0, 4, 11)),
        ("tuesday", 15, (3,)),
    ]
    np.testing.assert_array_equal(list(monday.frames), FRAMES)
    np.testing.assert_array_equal(monday.targets[4], label_of(4))
    assert monday.targets[5] is None
    assert [monday.frame_name(index) for index in (0, 5, 11)] == ["000000", "000005", "000011"]
    assert tuesday.timestamps_ns == tuple(round(10**9 * index / 15) for index in range(12))


def test_one_video(tmp_path: Path) -> None:
    write(tmp_path, "monday.mkv", "3")
    write(tmp_path, "tuesday.mkv")
    (video,) = read(tmp_path, "videos/monday.mkv").sequences
    assert (video.name, video.labelled) == ("monday", (3,))


def test_some_videos(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path, f"{name}.mkv", "3")
    assert [video.name for video in read(tmp_path, sequences=["c", "a"]).sequences] == ["a", "c"]
    with pytest.raises(ConfigError, match=r"`sequences` names 'd', expected some of a, b, c$"):
        read(tmp_path, sequences=["d"])


@pytest.mark.parametrize(
    ("names", "first", "labelled", "shown"),
    [
        (["0", "5", "10"], 0, (0, 5, 10), ["0", "1", "9", "10", "11"]),
        (["00", "05"], 0, (0, 5), ["00", "01", "09", "10", "11"]),
        (["1", "12"], 1, (0, 11), ["1", "2", "10", "11", "12"]),
        (["0001", "0012"], 1, (0, 11), ["0001", "0002", "0010", "0011", "0012"]),
        (["007", "9"], 0, (7, 9), ["0", "1", "9", "10", "11"]),
    ],
)
def test_frames_are_named_as_label_maps_are(
    tmp_path: Path, names: list[str], first: int, labelled: tuple[int, ...], shown: list[str]
) -> None:
    (video,) = read(write(tmp_path, "a.mkv", *names), first_frame=first).sequences
    assert video.labelled == labelled
    assert [video.frame_name(index) for index in (0, 1, 9, 10, 11)] == shown
    assert [video.frame_name(index) for index in labelled] == names
    for index, name in zip(labelled, names, strict=True):
        np.testing.assert_array_equal(video.targets[index], label_of(int(name)))


def test_prefixes_suffixes_and_label_maps(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv", "L_2_L", "L_7_L")
    (video,) = read(
        tmp_path, label_prefix="L_", label_suffix="_L", label_map="0:0,255:9,*:1", num_classes=2, ignore_index=9
    ).sequences
    assert video.labelled == (2, 7)
    assert video.targets[2].tolist() == [[1, 0, 1, 9]] * 2
    assert video.frame_name(7) == "7"


def test_a_rate_that_is_given_counts(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv", "3", rate=30)
    (video,) = read(tmp_path, fps=10).sequences
    assert (video.fps, video.timestamps_ns[1]) == (10, 33_000_000)


def test_a_rate_that_is_not_constant(tmp_path: Path) -> None:
    times = [0, 33, 67, 100, 133, 300, 333, 367, 400, 433, 467, 500]
    write(tmp_path, "a.mkv", "3", times=times, time_base=Fraction(1, 1000))
    refused(
        r"a\.mkv: has no constant frame rate: its frames follow each other after 33\.000 to 167\.000 ms \(frame 5 "
        r"after frame 4\); give `fps`, at which its frames are counted then, or convert it to a constant rate$",
        tmp_path,
    )
    (video,) = read(tmp_path, fps=30).sequences
    assert (video.fps, video.timestamps_ns) == (30, tuple(time * 1_000_000 for time in times))
    np.testing.assert_array_equal(video.frames[5], FRAMES[5])


def test_one_frame_has_no_rate(tmp_path: Path) -> None:
    write_video(tmp_path / "videos/a.mkv", FRAMES[:1])
    trees.save(tmp_path / "labels/a/0.png", label_of(0))
    refused(r"a\.mkv: holds only one frame; give `fps`", tmp_path)
    assert read(tmp_path, fps=30).sequences[0].fps == 30


def test_videos_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv", "3")
    (video,) = pickle.loads(pickle.dumps(read(tmp_path))).sequences
    part = video.slice(2, 6)
    np.testing.assert_array_equal(part.frames[1], FRAMES[3])
    np.testing.assert_array_equal(part.targets[1], label_of(3))
    assert part.timestamps_ns == video.timestamps_ns[2:6]


# ── what is refused ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": "fast"}, "`fps` is 'fast', expected a rate above 0"),
        ({"first_frame": 2}, r"`first_frame` is 2, expected a whole number >= 0 \(at most 1\)"),
        ({"num_classes": None}, "`num_classes` is missing"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(write(tmp_path, "a.mkv", "3"), **options)


@pytest.mark.parametrize(
    ("name", "first", "message"),
    [
        ("12", 0, r"12\.png: is of frame 12, but .*a\.mkv has frames 0\.\.11, expected one of them; `first_frame`"),
        ("13", 1, r"13\.png: is of frame 13, but .*a\.mkv has frames 1\.\.12"),
        ("0", 1, r"0\.png: is of frame 0, but .*a\.mkv has frames 1\.\.12"),
        ("L3", 0, r"L3\.png: the name 'L3' is not a number, expected that of a frame"),
    ],
)
def test_names_that_are_refused(tmp_path: Path, name: str, first: int, message: str) -> None:
    refused(message, write(tmp_path, "a.mkv", name), first_frame=first)


def test_names_without_digits(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv", "3")
    trees.save(tmp_path / "labels/a/cover.png", label_of(0))
    refused(r"cover\.png: the frame name 'cover' has no digits", tmp_path)


def test_two_label_maps_of_a_frame(tmp_path: Path) -> None:
    refused(r"3\.png: is of frame 3, as 03\.png is$", write(tmp_path, "a.mkv", "03", "3"))


def test_missing_folders(tmp_path: Path) -> None:
    refused("videos: is missing, expected a folder of video files", tmp_path)
    (tmp_path / "videos").mkdir()
    refused(r"videos: holds no video file \(\.avi, .*\.webm\)$", tmp_path)
    write(tmp_path, "a.mkv")
    refused("labels: is missing, expected a folder$", tmp_path)
    (tmp_path / "labels").mkdir()
    refused("labels: holds no label maps", tmp_path)


def test_labels_without_a_video(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv", "3")
    trees.save(tmp_path / "labels/b/3.png", label_of(3))
    refused(r"videos: has no video file for 1 of 2 folder\(s\) of label maps: b; it has a$", tmp_path)
    refused(r"a\.mkv: has no video file for 1 of 2 folder\(s\) of label maps: b; it has a$", tmp_path, "videos/a.mkv")


def test_labels_in_a_flat_folder(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv")
    trees.save(tmp_path / "labels/3.png", label_of(3))
    refused(r"labels: holds label maps itself, expected a folder for each video, such as .*labels/a$", tmp_path)


def test_two_videos_of_one_name(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv", "3")
    write(tmp_path, "a.avi")
    refused(r"a\.mkv: is a second file for frame a beside a\.avi", tmp_path)


def test_a_damaged_video(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv", "3")
    content = (tmp_path / "videos/a.mkv").read_bytes()
    (tmp_path / "videos/a.mkv").write_bytes(content[: len(content) // 2])
    refused(r"a\.mkv: (is cut short|is damaged or cut short)", tmp_path)
    (tmp_path / "videos/a.mkv").write_bytes(b"no video")
    refused(r"a\.mkv: cannot be read \(.*\), expected a whole video file", tmp_path)


def test_damaged_labels(tmp_path: Path) -> None:
    write(tmp_path, "a.mkv", "3", "4")
    (video,) = read(tmp_path).sequences
    trees.cut_short(tmp_path / "labels/a/3.png")
    trees.save(tmp_path / "labels/a/4.png", np.array([[7]], np.uint8))
    with pytest.raises(DatasetError, match=r"3\.png: is damaged or cut short"):
        video.targets[3]
    with pytest.raises(DatasetError, match=r"4\.png: holds label\(s\) 7 \(1 pixels\), expected 0\.\.2 or ignore_index"):
        video.targets[4]
