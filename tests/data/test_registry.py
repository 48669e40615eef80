"""Data sets by name."""

import doctest
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError
from flame_metric.data.registry import DATASETS, open_dataset, synthetic_dataset
from flame_metric.data.synthetic import synthetic_video


def save(path: Path, pixels: np.ndarray) -> None:
    image = pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(pixels).save(path)


def cityscapes_tree(root: Path) -> Path:
    for split, city in (("train", "ulm"), ("val", "lindau")):
        stem = f"{split}/{city}/{city}_000000_000019"
        save(root / f"leftImg8bit_sequence/{stem}_leftImg8bit.png", np.zeros((2, 2, 3), np.uint8))
        save(root / f"gtFine/{stem}_gtFine_labelIds.png", np.full((2, 2), 7, np.uint8))
    return root


# ── synthetic ──


def test_synthetic() -> None:
    dataset = open_dataset("synthetic")
    assert (dataset.name, len(dataset.sequences), dataset.num_classes) == ("synthetic val", 8, 8)
    assert dataset.ignore_index == 255
    assert {video.fps for video in dataset.sequences} == {Fraction(50, 3)}
    assert {len(video.frames) for video in dataset.sequences} == {30}
    assert len(open_dataset("synthetic", split="train").sequences) == 32


def test_options_of_synthetic() -> None:
    dataset = open_dataset("synthetic: videos=2, num_frames=4,height=32,width=48,fps=30000/1001", split="train")
    assert [video.name for video in dataset.sequences] == ["synthetic-1000", "synthetic-1001"]
    video = synthetic_video(num_frames=4, height=32, width=48, fps="30000/1001", seed=1001)
    assert dataset.sequences[1].fps == video.fps
    assert len(dataset.sequences[1].frames) == 4
    np.testing.assert_array_equal(dataset.sequences[1].frames[3], video.frames[3])


def test_splits_of_synthetic_share_no_video() -> None:
    names = [
        {video.name for video in synthetic_dataset(split=split, videos=1_000, num_frames=1).sequences}
        for split in ("train", "val")
    ]
    assert len(names[0] | names[1]) == 2_000


@pytest.mark.parametrize(
    "option",
    [
        "frames=3",
        "videos",
        "videos=",
        "videos=-1",
        "videos=2.5",
        "videos=²",
        "fps:3",
        "fps=fast",
        "",
        "width=9,width=9",
    ],
)
def test_no_option_of_synthetic(option: str) -> None:
    with pytest.raises(ConfigError, match="is not an option of synthetic, expected some of videos, num_frames, height"):
        open_dataset(f"synthetic:{option}")


@pytest.mark.parametrize(
    ("text", "split", "message"),
    [
        ("synthetic", "test", "`split` is 'test', expected one of train, val"),
        ("synthetic:videos=0", None, "`videos` is 0, expected a whole number >= 1"),
        ("synthetic:videos=1001", None, r"`videos` is 1001, expected .* \(at most 1,000\)"),
        ("synthetic:height=8", None, "`height` is 8, expected"),
        ("synthetic:fps=0", None, "`fps` is 0, expected a rate above 0"),
    ],
)
def test_options_out_of_range(text: str, split: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_dataset(text, split=split)


# ── folders ──


def test_cityscapes(tmp_path: Path) -> None:
    root = cityscapes_tree(tmp_path / "a:b")  # colons in paths are not separators
    assert [video.name for video in open_dataset(f"cityscapes:{root}").sequences] == ["lindau_000000_000019"]
    assert open_dataset(f"cityscapes:{root}", split="train").name == "cityscapes train"
    with pytest.raises(DatasetError, match="nowhere: is missing"):
        open_dataset(f"cityscapes:{root}/nowhere")


def test_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    cityscapes_tree(tmp_path / "Cityscapes")
    assert len(open_dataset("cityscapes:~/Cityscapes").sequences) == 1
    with pytest.raises(DatasetError, match=r"~no one.x: is missing"):
        open_dataset("camvid:~no one/x")


def test_camvid(tmp_path: Path) -> None:
    for number in range(10):
        save(tmp_path / f"images/0016E5_{number:05}.png", np.zeros((2, 2, 3), np.uint8))
        save(tmp_path / f"labels/0016E5_{number:05}.png", np.zeros((2, 2), np.uint8))
    lengths = {
        split: [len(video.frames) for video in open_dataset(f"camvid:{tmp_path}", split=split).sequences]
        for split in (None, "train", "val")
    }
    assert lengths == {None: [10], "train": [7], "val": [3]}


def test_folders(tmp_path: Path) -> None:
    for sequence in ("a,b", "c"):
        for number in range(4):
            save(tmp_path / f"frames/{sequence}/{number}.png", np.full((2, 2, 3), number, np.uint8))
            save(tmp_path / f"labels/{sequence}/{number}.png", np.full((2, 2), number % 2, np.uint8))
    file = tmp_path / "our,street.toml"
    file.write_text("frames = 'frames'\nlabels = 'labels'\nfps = 15\nclasses = 2\ntrain = ['a,b']\nval = ['c']\n")
    dataset = open_dataset(f"folders:{file}")
    assert (dataset.name, [video.name for video in dataset.sequences]) == ("our,street", ["a,b", "c"])
    assert dataset.sequences[0].frames[3][0, 0].tolist() == [3, 3, 3]
    for split, name in (("train", "a,b"), ("val", "c")):
        dataset = open_dataset(f"folders:{file}", split=split)
        assert (dataset.name, [video.name for video in dataset.sequences]) == (f"our,street {split}", [name])
    with pytest.raises(ConfigError, match=r"`split` is 'test', but .*toml lists only the splits train, val, exp"):
        open_dataset(f"folders:{file}", split="test")
    with pytest.raises(ConfigError, match=r"`step=2` is not an option of folders, expected none behind FILE\.toml"):
        open_dataset(f"folders:{file},step=2")


@pytest.mark.parametrize("text", ["kitti:/data", "davis2017:/data", "Synthetic", "", ":", None, 3, Path("camvid")])
def test_no_data_set(text: object) -> None:
    with pytest.raises(
        ConfigError,
        match=r"^the data set is .*, expected one of synthetic, cityscapes:ROOT, camvid:ROOT, davis:ROOT, "
        r"kitti_step:ROOT, vspw:ROOT, vipseg:ROOT, folders:FILE\.toml$",
    ):
        open_dataset(text)


@pytest.mark.parametrize("name", [name for name, kind in DATASETS.items() if kind.rooted])
def test_a_data_set_without_its_folder(name: str) -> None:
    pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
    place = DATASETS[name].form.partition(":")[2]
    option = ",fps=3" if "fps" in DATASETS[name].options else ""
    for text in (name, f"{name}:", f"{name}:{option}"):
        with pytest.raises(ConfigError, match=f"the data set is '{name}' without {place}, expected {name}:{place}"):
            open_dataset(text)


def test_every_data_set_says_how_it_is_written() -> None:
    for name, kind in DATASETS.items():
        assert kind.form.partition(":")[0] == name
        assert kind.about
        options = kind.example.partition(":")[2].split(",")[kind.rooted :]
        assert bool(options) == bool(kind.options)
        assert {option.partition("=")[0] for option in options} <= kind.options.keys()


def test_synthetic_needs_no_pillow_and_the_others_say_so(run_python) -> None:
    program = (
        "import sys; sys.modules['PIL'] = None\n"
        "from flame_metric.data.registry import open_dataset\n"
        "print(len(open_dataset('synthetic').sequences))\n"
        "for name in ('cityscapes', 'camvid', 'davis', 'kitti_step', 'vspw', 'vipseg', 'folders'):\n"
        "    try: open_dataset(name + ':x')\n"
        "    except ImportError as error: print(type(error).__name__, error)\n"
    )
    message = "MissingExtraError reading image files needs Pillow: pip install 'flame-metric[cli]'"
    assert run_python(program).splitlines() == ["8", *[message] * 7]


# ── options ──


def test_options_stand_behind_the_root(tmp_path: Path) -> None:
    root = cityscapes_tree(tmp_path / "a,b=c,d")  # commas in a root are its own
    dataset = open_dataset(f"cityscapes:{root},classes=categories,fps=17")
    assert (dataset.num_classes, dataset.sequences[0].fps) == (7, 17)
    assert dataset.sequences[0].frame_name(19) == "lindau_000000_000019"
    assert dataset.sequences[0].frame_name(18) == "lindau_000000_000018"


def test_a_root_that_ends_like_an_option(tmp_path: Path) -> None:
    assert open_dataset(f"cityscapes:{cityscapes_tree(tmp_path / 'city,fps=17')}").sequences[0].fps == Fraction(50, 3)


@pytest.mark.parametrize("options", ["fps=fast", "fps=17,fps=17", "fps="])
def test_no_option_of_a_data_set_on_disk(tmp_path: Path, options: str) -> None:
    pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
    with pytest.raises(
        ConfigError, match=r"`fps=.*` is not an option of cityscapes, expected some of label_kind, classes"
    ):
        open_dataset(f"cityscapes:{tmp_path / 'data'},{options}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("stp=2", r"`stp=2` is not an option of camvid, expected some of classes, fps, step, each once"),
        ("stp=2,step=2", r"`stp=2` is not an option of camvid"),
        ("step=2,stp=2", r"`stp=2` is not an option of camvid"),
        ("2", r"`2` is not an option of camvid"),
    ],
)
def test_what_follows_a_folder_is_an_option(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_dataset(f"camvid:{tmp_path},{options}")


def test_a_missing_folder_with_commas(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
    with pytest.raises(DatasetError, match="a,b=2: is missing"):
        open_dataset(f"camvid:{tmp_path / 'a,b=2'},step=2")


# ── the others ──


def frames_and_labels(root: Path, frames: str, labels: str, label: np.ndarray) -> None:
    for number in (3, 6, 9):
        save(root / frames.format(number), np.zeros((*label.shape[:2], 3), np.uint8))
        save(root / labels.format(number), label)


def test_every_option_reaches_its_reader(tmp_path: Path) -> None:
    """Four trees of one video, whose numbers are three apart, in the layouts of the data sets."""
    grey, colour = np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8)
    for split in ("train", "val"):
        for folder in ("ImageSets/2016", "ImageSets/2017", "."):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / f"{split}.txt").write_text(f"{split}-video\n")
        video = f"{split}-video"
        frames_and_labels(
            tmp_path, f"JPEGImages/480p/{video}/{{:05}}.jpg", f"Annotations/480p/{video}/{{:05}}.png", grey
        )
        frames_and_labels(
            tmp_path, f"images/{split}/{video}/{{:06}}.png", f"panoptic_maps/{split}/{video}/{{:06}}.png", colour
        )
        frames_and_labels(tmp_path, f"data/{video}/origin/{{:08}}.jpg", f"data/{video}/mask/{{:08}}.png", grey)
        frames_and_labels(tmp_path, f"imgs/{video}/{{:08}}.jpg", f"panomasks/{video}/{{:08}}.png", grey)
    for name, rate, title in (
        ("davis", 24, "davis 2017"),
        ("kitti_step", 10, "kitti_step"),
        ("vspw", 15, "vspw"),
        ("vipseg", 15, "vipseg"),
    ):
        dataset = open_dataset(f"{name}:{tmp_path}")
        (video,) = dataset.sequences
        assert (dataset.name, video.name, video.fps) == (f"{title} val", "val-video", Fraction(rate, 3))
        assert video.targets[2].shape == (2, 2)
        training = open_dataset(f"{name}:{tmp_path},fps=10,step=3", split="train")
        assert (training.sequences[0].name, training.sequences[0].fps) == ("train-video", 10)
        with pytest.raises(DatasetError, match="holds no run of step 1; it holds 1 of step 3"):
            open_dataset(f"{name}:{tmp_path},step=1")
        with pytest.raises(ConfigError, match="`split` is 'test', whose annotations are not public"):
            open_dataset(f"{name}:{tmp_path}", split="test")
    assert open_dataset(f"davis:{tmp_path},year=2016").name == "davis 2016 val"
    with pytest.raises(ConfigError, match="`year` is 2015, expected 2016 or 2017"):
        open_dataset(f"davis:{tmp_path},year=2015")


# ── the page about them ──

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"


def test_the_page_shows_every_data_set_with_every_option() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    forms = [re.findall(r"`([^`]*)`", row.split("|")[2]) for row in rows]
    shown = {form.partition(":")[0]: set(options) for form, *options in filter(None, forms) if "," not in form}
    assert shown == {name: {f"{option}=" for option in kind.options} for name, kind in DATASETS.items()}


def test_what_the_page_shows_works() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert (found.failed, found.attempted > 0) == (0, True)
