"""Data sets that a TOML file describes: keys, splits, kinds of data, every wrong file, and the page that shows them."""

import os
import re
import tomllib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError

pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
module = pytest.importorskip("flame_metric.data.toml_dataset")
toml_dataset = module.toml_dataset
trees = pytest.importorskip("video_trees")

DATA = os.environ.get("FLAME_METRIC_TEST_DATA")
PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"
WHOLE = "frames = 'frames'\nlabels = 'labels'\nfps = 15\nclasses = 3\nignore_index = 255\n"


def label_of(number: int) -> np.ndarray:
    return np.array([[number % 3, 0, 1, 255]] * 2, np.uint8)


def images(root: Path, *sequences: str, numbers=range(4), frame="{}", label="{}") -> Path:
    for sequence in sequences or ("a",):
        for number in numbers:
            trees.save(root / f"frames/{sequence}/{frame.format(number)}.png", trees.frame_of(number))
            trees.save(root / f"labels/{sequence}/{label.format(number)}.png", label_of(number))
    return root


def videos(root: Path, *names: str, number: int = 12, labels: str = "{}") -> Path:
    files = pytest.importorskip("video_files", reason="reading video files needs PyAV")
    for name in names or ("a.mkv",):
        files.write_video(root / "videos" / name, files.pictures(number), rate=15)
        trees.save(root / "labels" / Path(name).stem / f"{labels.format(3)}.png", label_of(3))
    return root


def described(root: Path, text: str, *, split: str | None = None):
    (root / "street.toml").write_text(text, encoding="utf-8")
    return toml_dataset(root / "street.toml", split=split)


def refused(root: Path, text: str, message: str, kind: type = DatasetError, *, split: str | None = None) -> None:
    with pytest.raises(kind, match=message):
        described(root, text, split=split)


# ── what is read ──


def test_folders_of_images(tmp_path: Path) -> None:
    dataset = described(images(tmp_path, "a", "b"), WHOLE)
    assert (dataset.name, dataset.class_names, dataset.ignore_index) == ("street", ("0", "1", "2"), 255)
    assert [(video.name, len(video.frames), video.fps) for video in dataset.sequences] == [("a", 4, 15), ("b", 4, 15)]
    np.testing.assert_array_equal(dataset.sequences[1].targets[2], label_of(2))


def test_every_key_of_folders_of_images(tmp_path: Path) -> None:
    images(tmp_path, "a", "b", numbers=range(0, 8, 2), frame="cam_{}_rgb", label="gt_{}_ids")
    dataset = described(
        tmp_path,
        """
        frames = "frames"
        labels = "labels"
        fps = "30000/1001"
        class_names = ["road", "car"]
        ignore_index = 9
        label_map = "0:0,255:9,*:1"
        frame_prefix = "cam_"
        frame_suffix = "_rgb.png"
        label_prefix = "gt_"
        label_suffix = "_ids"
        step = 2
        name = "ours"
        test = ["b"]
        """,
        split="test",
    )
    assert (dataset.name, dataset.class_names, dataset.ignore_index) == ("ours test", ("road", "car"), 9)
    (video,) = dataset.sequences
    assert (video.name, list(video.frame_names), video.fps) == ("b", ["0", "2", "4", "6"], Fraction(30000, 1001))
    assert video.targets[2].tolist() == [[1, 0, 1, 9]] * 2


def test_video_files(tmp_path: Path) -> None:
    dataset = described(
        videos(tmp_path, "a.mkv", "b.avi", labels="L{:04}_x"),
        "frames='videos'\nlabels='labels'\nclasses=3\nignore_index=255\nfirst_frame=1\nlabel_prefix='L'\n"
        "label_suffix='_x'",
    )
    assert [(video.name, video.fps, video.labelled) for video in dataset.sequences] == [
        ("a", 15, (2,)),
        ("b", 15, (2,)),
    ]
    assert dataset.sequences[0].frame_name(0) == "0001"


def test_one_video_file(tmp_path: Path) -> None:
    dataset = described(videos(tmp_path), "frames='videos/a.mkv'\nlabels='labels'\nclasses=3\nfps=29.97")
    assert [(video.name, video.fps, len(video.frames)) for video in dataset.sequences] == [
        ("a", Fraction(2997, 100), 12)
    ]


def test_a_rate_as_a_number_or_text(tmp_path: Path) -> None:
    images(tmp_path)
    for text, rate in (("15", 15), ("12.5", Fraction(25, 2)), ("'50/3'", Fraction(50, 3))):
        assert described(tmp_path, WHOLE.replace("15", text)).sequences[0].fps == rate


def test_paths_lead_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path / "data")
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for frames in ("../data/frames", "~/data/frames", str(tmp_path / "data/frames")):
        text = WHOLE.replace("'frames'", f"'{frames}'").replace("'labels'", "'../data/labels'")
        assert len(described(tmp_path / "here", text).sequences) == 1


def test_a_file_from_an_editor_that_marks_its_encoding(tmp_path: Path) -> None:
    (images(tmp_path) / "street.toml").write_text(WHOLE.replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    assert toml_dataset(tmp_path / "street.toml").name == "street"


def test_folders_beside_hidden_files_are_images(tmp_path: Path) -> None:
    (images(tmp_path) / "frames/.preview.mp4").write_bytes(b"")
    (tmp_path / "frames/notes.txt").write_bytes(b"")
    assert len(described(tmp_path, WHOLE).sequences) == 1


# ── splits ──


def test_splits(tmp_path: Path) -> None:
    images(tmp_path, "a", "b", "c")
    text = WHOLE + "train = ['c', 'a']\nval = ['b']\n"
    for split, names in ((None, ["a", "b", "c"]), ("train", ["a", "c"]), ("val", ["b"])):
        dataset = described(tmp_path, text, split=split)
        assert [video.name for video in dataset.sequences] == names
        assert dataset.name == (f"street {split}" if split else "street")


def test_all_parts_of_a_sequence_are_in_its_split(tmp_path: Path) -> None:
    images(tmp_path, "a", numbers=[0, 1, 2, 5, 6])
    images(tmp_path, "b")
    names = [video.name for video in described(tmp_path, WHOLE + "val = ['a']", split="val").sequences]
    assert names == ["a[0..2]", "a[5..6]"]


def test_splits_of_videos(tmp_path: Path) -> None:
    videos(tmp_path, "a.mkv", "b.mkv")
    text = "frames='videos'\nlabels='labels'\nclasses=3\nval=['b']"
    assert [video.name for video in described(tmp_path, text, split="val").sequences] == ["b"]


@pytest.mark.parametrize(
    ("lists", "split", "message"),
    [
        (
            "",
            "val",
            r"`split` is 'val', but .*street\.toml lists no splits, expected one of train, val, test; add a",
        ),
        ("train = ['a']", "val", r"`split` is 'val', but .* lists only the split train, expected one of train; add"),
        ("train = ['a']\ntest = ['b']", "val", "lists only the splits train, test, expected one of train, test; add"),
        ("train = ['a']", "classes", "`split` is 'classes', but .* lists only the split train"),
        ("train = ['a']", 3, "`split` is 3, but"),
    ],
)
def test_splits_that_are_not_listed(tmp_path: Path, lists: str, split: str, message: str) -> None:
    refused(images(tmp_path, "a", "b"), WHOLE + lists, message, ConfigError, split=split)


def test_splits_of_sequences_that_are_not_there(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    message = r"street\.toml: `val` names 'c', expected some of a, b$"
    refused(tmp_path, WHOLE + "val = ['c', 'a']", message, split="val")


def test_splits_that_share_a_sequence(tmp_path: Path) -> None:
    images(tmp_path, "a", "b")
    message = r"street\.toml: `train` and `test` both list 'a', expected splits that share nothing$"
    refused(tmp_path, WHOLE + "train = ['a']\nval = ['b', 'b']\ntest = ['a']", message)
    assert len(described(tmp_path, WHOLE + "val = ['b', 'b']", split="val").sequences) == 1


# ── what is refused ──


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("fps = 15", "rate = 15"), "`rate` is not a key, expected some of frames, labels, fps, classes, class_names"),
        (("fps = 15", "[fps]\na = 1"), r"`fps` is \{'a': 1\}, expected a number, or text such as '30000/1001'"),
        (("fps = 15", "fps = true"), "`fps` is True, expected a number, or text"),
        (("fps = 15", "fps = 1979-05-27"), r"`fps` is datetime\.date\(1979, 5, 27\), expected a number, or text"),
        (("fps = 15", "fps = 0"), "`fps` is 0, expected a rate above 0"),
        (("fps = 15", "fps = nan"), "`fps` is nan, expected a rate above 0"),
        (("fps = 15", "fps = 'fast'"), "`fps` is 'fast', expected a rate above 0"),
        (("fps = 15\n", ""), "`fps` is missing, expected a number, or text .*; only video files say it"),
        (("'frames'", "3"), "`frames` is 3, expected text"),
        (("frames = 'frames'", ""), "`frames` is missing, expected a path, such as frames = 'frames'"),
        (("labels = 'labels'", ""), "`labels` is missing, expected a path, such as labels = 'labels'"),
        (("classes = 3", ""), "`classes` is missing, expected their number, or `class_names`"),
        (("classes = 3", "classes = '3'"), "`classes` is '3', expected a whole number"),
        (("classes = 3", "classes = 3.0"), "`classes` is 3.0, expected a whole number"),
        (("classes = 3", "classes = true"), "`classes` is True, expected a whole number"),
        (("classes = 3", "classes = 1"), "`classes` is 1, expected an integer 2"),
        (("classes = 3", "class_names = 'road'"), "`class_names` is 'road', expected a list of names"),
        (("classes = 3", "class_names = []"), r"`class_names` is \[\], expected a list of names"),
        (("classes = 3", "class_names = ['a', 3]"), r"`class_names` is \['a', 3\], expected a list of names"),
        (
            ("classes = 3", "classes = 3\nclass_names = ['a', 'b']"),
            "`class_names` holds 2 names, but `classes` is 3",
        ),
        (("255", "'255'"), "`ignore_index` is '255', expected a whole number"),
        (("classes", "label_map = '0=1'\nclasses"), "`0=1` is not part of a label map"),
        (("classes", "label_map = 3\nclasses"), "`label_map` is 3, expected text"),
        (("classes", "step = 0\nclasses"), "`step` is 0, expected a whole number >= 1"),
        (("classes", "step = '1'\nclasses"), "`step` is '1', expected a whole number"),
        (("classes", "name = 3\nclasses"), "`name` is 3, expected text"),
        (("classes", "val = 'a'\nclasses"), "`val` is 'a', expected a list of names"),
        (("classes", "val = [1]\nclasses"), r"`val` is \[1\], expected a list of names"),
        (
            ("classes", "first_frame = 1\nclasses"),
            "`first_frame` means nothing for folders of images, expected it to be",
        ),
    ],
)
def test_keys_that_are_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = WHOLE.replace(*change)
    text = "\n".join(sorted(text.splitlines(), key=lambda line: "[fps]" in line or line == "a = 1"))  # a table is last
    refused(images(tmp_path), text, rf"street\.toml: {message}")


@pytest.mark.parametrize("key", ["frame_prefix = 'x'", "frame_suffix = 'x'", "step = 1"])
def test_keys_that_mean_nothing_for_videos(tmp_path: Path, key: str) -> None:
    text = f"frames = 'videos'\nlabels = 'labels'\nclasses = 3\n{key}"
    message = rf"street\.toml: `{key.partition(' ')[0]}` means nothing for video files, expected it to be left out"
    refused(videos(tmp_path), text, message)


def test_options_of_videos_that_are_refused(tmp_path: Path) -> None:
    text = "frames = 'videos'\nlabels = 'labels'\nclasses = 3\nfirst_frame = 7"
    refused(videos(tmp_path), text, r"street\.toml: `first_frame` is 7, expected a whole number >= 0 \(at most 1\)")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"frames = ", r"is not a TOML file: Invalid value"),
        (b"frames = 'a'\nframes = 'b'", "is not a TOML file: Cannot overwrite a value"),
        (b"\xff\xfe", "is not a TOML file: .*can't decode byte"),
        (b"a = " + b"[" * 100_000, "is not a TOML file: "),
        (b"", "`frames` is missing"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "street.toml").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"street\.toml: {message}") as raised:
        toml_dataset(tmp_path / "street.toml")
    assert raised.value.path == str(tmp_path / "street.toml")


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.toml: is missing, expected a TOML file"):
        toml_dataset(tmp_path / "nothing.toml")
    with pytest.raises(DatasetError, match="is not a file, expected a TOML file"):
        toml_dataset(tmp_path)
    with pytest.raises(DatasetError, match="is missing, expected a TOML file"):
        toml_dataset("a\0b.toml")
    images(tmp_path)
    refused(
        tmp_path, WHOLE.replace("'frames'", "'nowhere'"), "nowhere: is missing, expected a folder of frames, or a vid"
    )
    # Only a video file says its rate: what is wrong here is the path.
    missing = "frames = 'nowhere.mp4'\nlabels = 'labels'\nclasses = 3\n"
    refused(tmp_path, missing, r"nowhere\.mp4: is missing, expected a folder of frames, or a video file")
    refused(tmp_path, WHOLE.replace("'labels'", "'nowhere'"), "nowhere: is missing, expected a folder")
    for key in ("frames", "labels"):
        refused(tmp_path, WHOLE.replace(f"'{key}'", r'"a\u0000b"'), "is missing, expected a folder")
    refused(tmp_path, WHOLE + r'frame_prefix = "a\u0000b"', r"has no frames .* for 1 of 1 labelled sequence")
    refused(tmp_path, WHOLE + r'val = ["a\u0000b"]', r"`val` names 'a\\x00b'", split="val")


def test_images_and_videos_in_one_folder(tmp_path: Path) -> None:
    trees.save(tmp_path / "frames/1.png", trees.frame_of(1))
    trees.save(tmp_path / "labels/1.png", label_of(1))
    (tmp_path / "frames/preview.mp4").write_bytes(b"")
    refused(
        tmp_path, WHOLE, r"frames: holds 1 video file\(s\) such as preview\.mp4 and 1 image\(s\) such as 1\.png, exp"
    )


def test_an_image_for_all_frames(tmp_path: Path) -> None:
    images(tmp_path)
    text = WHOLE.replace("'frames'", "'frames/a/0.png'")
    refused(tmp_path, text, r"frames/a/0\.png: is an image, expected a folder of frames, or a video file")


def test_a_video_beside_folders_of_images(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="reading video files needs PyAV")
    (images(tmp_path) / "frames/preview.mp4").write_bytes(b"")
    refused(tmp_path, WHOLE, r"frames: has no video file for 1 of 1 folder\(s\) of label maps: a; it has preview$")


def test_videos_without_pyav(tmp_path: Path, run_python) -> None:
    images(tmp_path)
    (tmp_path / "a.toml").write_text(WHOLE)
    (tmp_path / "film.mp4").write_bytes(b"")
    (tmp_path / "b.toml").write_text(WHOLE.replace("'frames'", "'film.mp4'"))
    program = (
        "import sys; sys.modules['av'] = None\n"
        "from flame_metric.data.registry import open_dataset\n"
        f"print(len(open_dataset('folders:' + {str(tmp_path / 'a.toml')!r}).sequences))\n"
        f"try: open_dataset('folders:' + {str(tmp_path / 'b.toml')!r})\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
    )
    message = "MissingExtraError reading video files needs PyAV: pip install 'flame-metric[video]'"
    assert run_python(program).splitlines() == ["1", message]


# ── real frames, and the page ──


@pytest.mark.skipif(not DATA, reason="FLAME_METRIC_TEST_DATA names no folder of real label maps")
def test_camvid_described(tmp_path: Path) -> None:
    camvid = pytest.importorskip("flame_metric.data.camvid").camvid
    root = Path(DATA, "camvid_dense").resolve().as_posix()
    text = f"frames = '{root}/images'\nlabels = '{root}/labels'\nfps = 15\nclasses = 11\nignore_index = 11"
    (video,), (known,) = described(tmp_path, text).sequences, camvid(root).sequences
    assert (list(video.frame_names), video.fps) == (list(known.frame_names), known.fps)
    np.testing.assert_array_equal(video.frames[7], known.frames[7])
    np.testing.assert_array_equal(video.targets[7], known.targets[7])


def test_the_page_shows_every_key_and_what_it_shows_works(tmp_path: Path) -> None:
    of_images, of_videos = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    shown = tomllib.loads(of_images).keys() | tomllib.loads(of_videos).keys()
    assert shown == module._KEYS.keys()
    images(
        tmp_path,
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        numbers=range(0, 8, 2),
        frame="cam_{}_rgb",
        label="cam_{}_ids",
    )
    for split, number in ((None, 4), ("train", 2), ("val", 1), ("test", 1)):
        dataset = described(tmp_path, of_images, split=split)
        assert len(dataset.sequences) == number
    assert (dataset.name, dataset.class_names) == ("our street test", ("road", "car"))
    assert dataset.sequences[0].targets[1].tolist() == [[1, 255, 0, 255]] * 2  # from 2, 0, 1, 255


def test_the_page_shows_video_files_that_are_read(tmp_path: Path) -> None:
    _, text = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    dataset = described(videos(tmp_path, "monday.mp4", number=121, labels="{:06}"), text)
    assert dataset.num_classes == 19
    assert [(video.name, len(video.frames), video.labelled) for video in dataset.sequences] == [("monday", 121, (3,))]


@pytest.mark.parametrize("key", ["frames", "labels"])
def test_a_home_that_no_name_can_hold(key: str, tmp_path: Path) -> None:
    paths = {"frames": ".", "labels": ".", key: "~nobody\\u0000"}
    text = f"""frames = "{paths["frames"]}"\nlabels = "{paths["labels"]}"\nfps = 15\nclasses = 2"""
    with pytest.raises(DatasetError, match=r"is missing|is not a folder|holds no"):
        described(tmp_path, text)
