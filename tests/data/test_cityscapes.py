"""Cityscapes video, on small trees with the real names and encodings."""

import os
import pickle
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError, flame_score

Image = pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
cityscapes = pytest.importorskip("flame_metric.data.cityscapes").cityscapes
tree = pytest.importorskip("cityscapes_tree")
IDS, MILLISECOND, STREET = tree.IDS, tree.MILLISECOND, tree.STREET
add_clip, frame_of, save = tree.add_clip, tree.frame_of, tree.save
labels_module = pytest.importorskip("flame_metric.data.cityscapes")
CLASS_NAMES, CATEGORIES = labels_module.CLASS_NAMES, labels_module.CATEGORIES


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three kinds of cities: numbers through a whole take, numbers in a clip, a hyphen in the name."""
    add_clip(tmp_path, "frankfurt", 0, 294)
    add_clip(tmp_path, "frankfurt", 0, 325)  # its clip begins at 306: only 305 lies between it and the clip before
    add_clip(tmp_path, "frankfurt", 1, 7973)
    add_clip(tmp_path, "lindau", 3, 19)
    add_clip(tmp_path, "bad-honnef", 0, 19)
    (tmp_path / "README").write_text("")
    (tmp_path / "gtFine" / "val" / "notes.txt").write_text("")
    return tmp_path


def sequence(dataset, name: str):
    (found,) = (one for one in dataset.sequences if one.name == name)
    return found


# ── what is read ──


def test_one_clip_for_each_annotated_frame(root: Path) -> None:
    dataset = cityscapes(root)
    assert [video.name for video in dataset.sequences] == [
        "bad-honnef_000000_000019",
        "frankfurt_000000_000294",
        "frankfurt_000000_000325",
        "frankfurt_000001_007973",
        "lindau_000003_000019",
    ]
    assert (dataset.name, dataset.num_classes, dataset.ignore_index) == ("cityscapes val", 19, 255)
    for video in dataset.sequences:
        assert (len(video.frames), len(video.targets), video.fps) == (30, 30, Fraction(50, 3))
        assert video.timestamps_ns is None
        assert video.targets.labelled == (19,)
        assert [index for index, target in enumerate(video.targets) if target is not None] == [19]


@pytest.mark.parametrize(("name", "annotated"), [("frankfurt_000000_000294", 294), ("frankfurt_000000_000325", 325)])
def test_clips_one_missing_frame_apart_are_two(name: str, annotated: int, root: Path) -> None:
    video = sequence(cityscapes(root), name)
    for index, frame in enumerate(video.frames):
        np.testing.assert_array_equal(frame, frame_of(annotated - 19 + index))


def test_classes_are_train_ids(root: Path) -> None:
    target = sequence(cityscapes(root), "lindau_000003_000019").targets[19]
    assert target.dtype == np.uint8
    assert target.tolist() == [[0, 1, 2, 13], [0, 255, 255, 11]]


def test_categories_are_sums_of_classes(root: Path) -> None:
    dataset = cityscapes(root, classes="categories")
    assert dataset.class_names == ("flat", "human", "vehicle", "construction", "object", "nature", "sky")
    assert dataset.num_classes == 7
    assert dataset.sequences[0].targets[19].tolist() == [[0, 0, 3, 2], [0, 255, 255, 1]]


GROUPS = [0, 0, 3, 3, 3, 4, 4, 4, 5, 5, 6, 1, 1, 2, 2, 2, 2, 2, 2]  # category of each class, by hand


@pytest.mark.parametrize("kind", ["labelIds", "labelTrainIds"])
def test_every_label(kind: str, tmp_path: Path) -> None:
    ids = np.arange(34, dtype=np.uint8)
    expected = np.array([IDS.index(label) if label in IDS else 255 for label in ids])
    written = ids if kind == "labelIds" else expected.astype(np.uint8)
    add_clip(tmp_path, "ulm", 0, 19, split="train", ids=written[None], kind=kind)
    (video,) = cityscapes(tmp_path, split="train").sequences
    assert video.targets[19].tolist() == [expected.tolist()]
    (video,) = cityscapes(tmp_path, split="train", classes="categories").sequences
    assert video.targets[19].tolist() == [[GROUPS[label] if label < 19 else 255 for label in expected]]


def test_names_of_classes() -> None:
    assert (CLASS_NAMES[0], CLASS_NAMES[10], CLASS_NAMES[11], CLASS_NAMES[18]) == ("road", "sky", "person", "bicycle")
    assert len(CLASS_NAMES) == 19
    assert len(CATEGORIES) == 7


def test_label_ids_are_preferred_where_both_kinds_are(root: Path) -> None:
    for name in ("frankfurt_000000_000294", "frankfurt_000000_000325", "frankfurt_000001_007973"):
        save(root / "gtFine/val/frankfurt" / f"{name}_gtFine_labelTrainIds.png", np.full((2, 4), 18, np.uint8))
    chosen = {"cities": ["frankfurt"]}
    assert cityscapes(root, **chosen).sequences[0].targets[19][0, 0] == 0
    assert cityscapes(root, label_kind="labelTrainIds", **chosen).sequences[0].targets[19][0, 0] == 18


def test_other_rates_and_cities(root: Path) -> None:
    dataset = cityscapes(str(root), fps=17, cities={"lindau", "bad-honnef"})
    assert [(video.name, video.fps) for video in dataset.sequences] == [
        ("bad-honnef_000000_000019", 17),
        ("lindau_000003_000019", 17),
    ]


def test_timestamps(root: Path) -> None:
    video = sequence(cityscapes(root, timestamps=True), "frankfurt_000000_000294")
    assert video.timestamps_ns == tuple(number * 59 * MILLISECOND for number in range(275, 305))


def test_clips_can_be_sent_to_other_processes(root: Path) -> None:
    video = pickle.loads(pickle.dumps(cityscapes(root))).sequences[1]
    assert video.frames[0][0, 0, 0] == 275 - 251
    assert video.targets[19].shape == (2, 4)


def test_a_frame_is_scored_k_frames_later(root: Path) -> None:
    """Frame f - k enters, label f scores."""
    video = sequence(cityscapes(root), "frankfurt_000001_007973")
    seen = []

    def network(frame: np.ndarray) -> np.ndarray:
        seen.append(int(frame[0, 0, 0]) + 251 * int(frame[0, 0, 1]))
        return np.zeros((2, 4), np.uint8)

    predictions = (network(frame) if index == 17 else None for index, frame in enumerate(video.frames))
    result = flame_score(predictions, video.targets, num_classes=19, latency_ms=76, fps=video.fps, ignore_index=255)
    assert seen == [7971]
    assert result.num_pairs == 1
    assert result.iou[0] == 2 / 6  # 2 pixels of road, 4 others that are not void


def test_listing_reads_folders_and_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, read = [], []
    scandir, stat = os.scandir, Path.is_file
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(str(folder)) or scandir(folder))
    monkeypatch.setattr(Path, "is_file", lambda path: read.append(path) or stat(path))
    monkeypatch.setattr(Path, "open", lambda path, *_: pytest.fail(f"{path} was opened"))
    cityscapes(root)
    assert read == []
    assert len(listed) == len(set(listed)) == 1 + 2 * 4  # the cities, and labels and frames of each (and of notes.txt)


# ── what is refused ──


def refused(message: str, root: Path, **options: object) -> DatasetError:
    with pytest.raises(DatasetError, match=message) as raised:
        cityscapes(root, **options)
    return raised.value


def test_missing_folders_name_their_download(root: Path, tmp_path: Path) -> None:
    refused("nowhere: is missing, expected the folder that holds leftImg8bit_sequence and gtFine", tmp_path / "nowhere")
    refused("README: is not a folder, expected", root / "README")
    frames = root / "leftImg8bit_sequence"
    refused(
        r"leftImg8bit_sequence.train: is missing, expected a folder for each city in it; unpack "
        rf"leftImg8bit_sequence_trainvaltest\.zip into {re.escape(str(root))}$",
        root,
        split="train",
    )
    (frames / "train").mkdir()
    refused(r"gtFine.train: is missing, .* unpack gtFine_trainvaltest\.zip into", root, split="train")
    frames.rename(root / "leftImg8bit")
    refused("leftImg8bit_sequence.val: is missing, .*; leftImg8bit holds only the annotated frames", root)
    (root / "leftImg8bit").rename(frames)
    (root / "timestamp_sequence").rename(root / "times")
    refused(r"timestamp_sequence.val: is missing, .* timestamp_sequence_trainvaltest\.zip", root, timestamps=True)


def test_the_test_split_has_no_labels(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"`split` is 'test', whose annotations are not public, expected train or"):
        cityscapes(root, split="test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "valid"}, "`split` is 'valid', expected one of train, val"),
        ({"label_kind": "color"}, "`label_kind` is 'color', expected one of labelIds, labelTrainIds"),
        ({"classes": 19}, "`classes` is 19, expected one of 19, categories"),
        ({"cities": "lindau"}, "`cities` is 'lindau', expected a list of names"),
        ({"cities": ["lindau", "paris"]}, r"`cities` names 'paris', expected some of bad-honnef, frankfurt, lindau"),
        ({"cities": ["lindau", 5]}, r"`cities` names 5, expected some of bad-honnef, frankfurt, lindau"),
        ({"cities": []}, r"`cities` names none, expected some of bad-honnef, frankfurt, lindau"),
        ({"cities": 5}, "`cities` is 5, expected a list of names"),
        ({"cities": iter(["lindau"])}, "`cities` is .*, expected a list of names"),
        ({"fps": 0}, "`fps` is 0, expected a rate above 0"),
    ],
)
def test_options(options: dict[str, object], message: str, root: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        cityscapes(root, **options)


def test_a_link_to_a_city_that_is_gone(root: Path) -> None:
    link = root / "gtFine" / "val" / "munster"
    link.symlink_to(root / "gone")
    assert refused("munster: cannot be read: No such file or directory", root).path == str(link)


def test_no_labels(root: Path) -> None:
    refused(r"val: holds 0 \*_gtFine_labelTrainIds\.png in 4 folder", root, label_kind="labelTrainIds")
    for file in (root / "gtFine").rglob("*_labelIds.png"):
        file.unlink()
    refused(r"holds 0 \*_gtFine_labelIds\.png in 4 folder\(s\) of cities; unpack gtFine_trainvaltest\.zip, which", root)


def test_frames_that_have_labels_of_the_other_kind_alone_are_not_dropped(root: Path) -> None:
    labels = root / "gtFine/val/lindau/lindau_000003_000019_gtFine_labelIds.png"
    labels.rename(labels.with_name(labels.name.replace("labelIds", "labelTrainIds")))
    refused(r"holds 4 \*_gtFine_labelIds\.png in 4 folder\(s\) of cities, but other labels of 1 frame\(s\)", root)


def test_a_file_of_another_city(root: Path) -> None:
    labels = root / "gtFine/val/lindau/lindau_000003_000019_gtFine_labelIds.png"
    labels.rename(labels.with_name("munster_000003_000019_gtFine_labelIds.png"))
    error = refused("is not named as its city, expected lindau_<6 digits>_<6 digits>_gtFine_labelIds.png", root)
    assert error.path.endswith("munster_000003_000019_gtFine_labelIds.png")


def test_annotated_frames_without_a_sequence(root: Path) -> None:
    (root / "leftImg8bit_sequence/val/frankfurt/frankfurt_000000_000294_leftImg8bit.png").unlink()
    message = (
        r"has no frame for 1 of 5 annotated frame\(s\): frankfurt_000000_000294_leftImg8bit\.png; unpack all of "
        r"leftImg8bit_sequence_trainvaltest\.zip, or choose `cities`"
    )
    refused(message, root)
    (root / "leftImg8bit_sequence/val/lindau").rename(root / "lindau")
    refused(r"has no frame for 2 of 5 annotated frame\(s\)", root)
    assert len(cityscapes(root, cities=["bad-honnef"]).sequences) == 1


def without(root: Path, *numbers: int):
    """The clip of frame 294 of frankfurt without some frames."""
    for number in numbers:
        (root / f"leftImg8bit_sequence/val/frankfurt/frankfurt_000000_{number:06}_leftImg8bit.png").unlink()
    return sequence(cityscapes(root), "frankfurt_000000_000294")


def test_a_missing_neighbour_says_what_needed_it(root: Path) -> None:
    video = without(root, 292, 300)
    assert video.frames[16].shape == (2, 4, 3)
    with pytest.raises(
        DatasetError,
        match=r"frankfurt_000000_000292_leftImg8bit\.png: is missing: frame 17 of 0\.\.29 of clip "
        r"frankfurt_000000_000294; an offset of 2 needs it; 2 of 30 frames are missing$",
    ) as raised:
        video.frames[17]
    assert raised.value.path.endswith("frankfurt_000000_000292_leftImg8bit.png")
    with pytest.raises(DatasetError, match=r"frame 25 of .*; it is 6 frame\(s\) after the annotated one; 2 of 30"):
        video.frames[25]


def test_a_clip_cut_short_says_what_is_left(root: Path) -> None:
    video = without(root, *range(275, 290), *range(300, 305))
    with pytest.raises(
        DatasetError,
        match="an offset of 5 needs it; the clip is cut short: it begins at frame 15, so offsets up to 4 are left",
    ):
        video.frames[14]
    with pytest.raises(DatasetError, match="the clip is cut short: it ends at frame 24"):
        video.frames[25]


def test_a_clip_that_begins_before_its_take(tmp_path: Path) -> None:
    add_clip(tmp_path, "ulm", 0, 12)
    video = cityscapes(tmp_path).sequences[0]
    assert video.frames[7][0, 0, 0] == 0
    with pytest.raises(DatasetError, match=r"frame 6 of .*it begins at frame 7, so offsets up to 12 are left"):
        video.frames[6]


def test_a_clip_that_vanished(root: Path) -> None:
    video = sequence(cityscapes(root), "lindau_000003_000019")
    (root / "leftImg8bit_sequence/val/lindau").rename(root / "lindau")
    with pytest.raises(DatasetError, match="the whole clip is missing"):
        video.frames[19]


def test_a_damaged_file_is_named(root: Path) -> None:
    dataset = cityscapes(root)
    for file in root.rglob("lindau_000003_000019_*.png"):
        file.write_bytes(file.read_bytes()[:-4])
    video = sequence(dataset, "lindau_000003_000019")
    with pytest.raises(DatasetError, match=r"lindau_000003_000019_leftImg8bit\.png: is damaged or cut short"):
        video.frames[19]
    with pytest.raises(DatasetError, match=r"lindau_000003_000019_gtFine_labelIds\.png: is damaged or cut short"):
        video.targets[19]


# ── R13: labels of the other kind ──


def target_of(folder: Path, labels: list[list[int]], kind: str, dtype: type = np.uint8) -> np.ndarray:
    add_clip(folder, "ulm", 0, 19, ids=np.zeros((1, 1), np.uint8), kind=kind)
    save(folder / f"gtFine/val/ulm/ulm_000000_000019_gtFine_{kind}.png", np.array(labels, dtype))
    return cityscapes(folder).sequences[0].targets[19]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 0, 13, 255]], r"it holds label\(s\) 255 \(1 pixels\);"),
        ([[0, 1, 2, 13]], "it holds none above 18, and read as ids 75% are void;"),
        ([[0, 0, 2, 10]], "it holds none above 18, and read as ids 100% are void;"),
    ],
)
def test_r13_train_ids_are_not_scored_as_label_ids(labels: list[list[int]], message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is named labelIds, but seems to hold labelTrainIds: " + message):
        target_of(tmp_path, labels, "labelIds")


@pytest.mark.parametrize("labels", [[[7, 255, 26, 24]], [[0, 13, 23, 255]], [[19, 255]], [[33, 0]]])
def test_r13_label_ids_are_not_scored_as_train_ids(labels: list[list[int]], tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"is named labelTrainIds, but seems to hold labelIds: .*; rename such files"
    ):
        target_of(tmp_path, labels, "labelTrainIds")


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([[7, 7, 11, 1, 3, 8, 4]], "labelIds", [0, 0, 2, 255, 255, 1, 255]),  # nothing above 18, but hardly void
        ([[0, 0, 0, 23]], "labelIds", [255, 255, 255, 10]),  # void for the most part, but sky is not a trainId
        ([[0, 1, 2, 13]], "labelTrainIds", [0, 1, 2, 13]),
        ([[255, 255]], "labelTrainIds", [255, 255]),
    ],
)
def test_labels_that_may_be_what_they_claim(
    labels: list[list[int]], kind: str, classes: list[int], tmp_path: Path
) -> None:
    assert target_of(tmp_path, labels, kind).tolist() == [classes]


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ([[7, 26, 255]], "labelIds", r"holds label\(s\) 255 \(1 pixels\), expected 0\.\.33$"),
        ([[7, 40, 40]], "labelIds", r"holds label\(s\) 40 \(2 pixels\), expected 0\.\.33$"),
        ([[7, 26_001]], "labelIds", r"holds label\(s\) 26001 \(1 pixels\), expected 0\.\.33; instance ids\?"),
        ([[7, 200]], "labelTrainIds", r"holds label\(s\) 200 \(1 pixels\), expected 0\.\.18 and 255$"),
    ],
)
def test_labels_of_no_kind(labels: list[list[int]], kind: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"ulm_000000_000019_gtFine_{kind}.png: {message}"):
        target_of(tmp_path, labels, kind, np.uint16 if max(labels[0]) > 255 else np.uint8)


# ── timestamps ──


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"000300_timestamp\.txt: is missing, expected the time of a frame"),
        (b"soon", r"000300_timestamp\.txt: says 'soon', expected a whole number of nanoseconds"),
        (b"1.5e9", "says '1.5e9', expected a whole number"),
        (b"", "says '', expected a whole number"),
        (b"\xff", "cannot be read as the time of a frame"),
        (
            b"299",
            r"000300_timestamp\.txt: says 299 ns, but the frame before it 17641000000 ns, expected times",
        ),
    ],
)
def test_timestamps_that_are_none(content: bytes | None, message: str, root: Path) -> None:
    file = root / "timestamp_sequence/val/frankfurt/frankfurt_000000_000300_timestamp.txt"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    refused(message, root, timestamps=True)
