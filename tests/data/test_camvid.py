"""CamVid in its three layouts, on small trees with the real names and encodings, and on the real one at 15 Hz."""

import os
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import ConfigError, DatasetError, flame_score

Image = pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
module = pytest.importorskip("flame_metric.data.camvid")
camvid, constant_steps = module.camvid, module._constant_steps
labels_module = pytest.importorskip("flame_metric.data.camvid")

DATA = os.environ.get("FLAME_METRIC_TEST_DATA")

LABEL_COLORS = """64 128 64\tAnimal
192 0 128\tArchway
0 128 192\tBicyclist
0 128 64\tBridge
128 0 0\tBuilding
64 0 128\tCar
64 0 192\tCartLuggagePram
192 128 64\tChild
192 192 128\tColumn_Pole
64 64 128\tFence
128 0 192\tLaneMkgsDriv
192 0 64\tLaneMkgsNonDriv
128 128 64\tMisc_Text
192 0 192\tMotorcycleScooter
128 64 64\tOtherMoving
64 192 128\tParkingBlock
64 64 0\tPedestrian
128 64 128\tRoad
128 128 192\tRoadShoulder
0 0 192\tSidewalk
192 128 128\tSignSymbol
128 128 128\tSky
64 128 192\tSUVPickupTruck
0 0 64\tTrafficCone
0 64 64\tTrafficLight
192 64 128\tTrain
128 128 0\tTree
192 128 192\tTruck_Bus
64 0 64\tTunnel
192 192 0\tVegetationMisc
0 0 0\tVoid
64 192 0\tWall
"""
COLOURS = {line.split()[-1]: tuple(map(int, line.split()[:3])) for line in LABEL_COLORS.splitlines()}
GROUPS = {  # class: names of the original, by hand
    "Sky": "Sky",
    "Building": "Building Bridge Wall Tunnel Archway",
    "Pole": "Column_Pole TrafficCone",
    "Road": "Road LaneMkgsDriv LaneMkgsNonDriv",
    "Pavement": "Sidewalk ParkingBlock RoadShoulder",
    "Tree": "Tree VegetationMisc",
    "SignSymbol": "SignSymbol Misc_Text TrafficLight",
    "Fence": "Fence",
    "Car": "Car SUVPickupTruck Truck_Bus Train OtherMoving",
    "Pedestrian": "Pedestrian Child CartLuggagePram Animal",
    "Bicyclist": "Bicyclist MotorcycleScooter",
}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def frame_of(name: str) -> np.ndarray:
    number = int(name[-5:])
    return np.full((2, 3, 3), (number % 256, number // 256, 9), np.uint8)


def coloured(*names: str) -> np.ndarray:
    return np.array([[COLOURS[name] for name in names]], np.uint8)


def original(root: Path, *names: str, labels: np.ndarray | None = None) -> Path:
    for name in names:
        save(root / "701_StillsRaw_full" / f"{name}.png", frame_of(name))
        save(root / "LabeledApproved_full" / f"{name}_L.png", coloured("Sky", "Road") if labels is None else labels)
    (root / "label_colors.txt").write_text(LABEL_COLORS.replace("\n", "\r\n"))
    return root


def plain(root: Path, *names: str, labelled: tuple[str, ...] | None = None, extension: str = "png") -> Path:
    for name in names:
        save(root / "images" / f"{name}.{extension}", frame_of(name))
    for name in names if labelled is None else labelled:
        save(root / "labels" / f"{name}.png", np.array([[0, int(name[-2:]) % 11, 11]], np.uint8))
    return root


def names_of(recording: str, *numbers: int) -> list[str]:
    return [f"{recording}{number:05}" for number in numbers]


def shown(dataset) -> list[tuple[str, int, Fraction]]:
    return [(video.name, len(video.frames), video.fps) for video in dataset.sequences]


# ── runs ──


@pytest.mark.parametrize(
    ("numbers", "runs"),
    [
        ([7], [([7], 1)]),
        ([4, 6, 8], [([4, 6, 8], 2)]),
        ([0, 30, 60, 120, 150], [([0, 30, 60], 30), ([120, 150], 30)]),  # a hole
        ([840, 870, 901, 930, 960, 990], [([840, 870], 30), ([901], 1), ([930, 960, 990], 30)]),  # as in 0016E5
        ([7890, 7920, 7950, 7959, 7961, 7963], [([7890, 7920, 7950], 30), ([7959, 7961, 7963], 2)]),
        ([7920, 7959, 7961, 7963], [([7920], 1), ([7959, 7961, 7963], 2)]),  # no run of step 39
        ([0, 2, 4, 6, 36, 66], [([0, 2, 4, 6], 2), ([36, 66], 30)]),  # the longer run keeps frame 6
        ([0, 30, 60, 90, 92, 94], [([0, 30, 60, 90], 30), ([92, 94], 2)]),
        ([0, 30, 32], [([0], 1), ([30, 32], 2)]),  # as long: the finer one
        ([2400, 4350], [([2400, 4350], 1950)]),
    ],
)
def test_runs_by_hand(numbers: list[int], runs: list[tuple[list[int], int]]) -> None:
    assert constant_steps(numbers) == runs


@given(st.sets(st.integers(0, 60), max_size=25).map(sorted))
def test_runs_hold_each_frame_once_at_a_constant_step(numbers: list[int]) -> None:
    runs = constant_steps(numbers)
    assert [number for run, _ in runs for number in run] == numbers
    for run, step in runs:
        assert run == list(range(run[0], run[0] + len(run) * step, step))


# ── the original ──


def test_the_original(tmp_path: Path) -> None:
    root = original(
        tmp_path,
        *names_of("0016E5_", 7899, 7929, *range(7959, 7970, 2)),
        *names_of("0006R0_f", 930, 960, 990),
        "0001TP_006690",
        "Seq05VD_f00000",
    )
    (root / "701_StillsRaw_full" / "Thumbs.db").write_text("")
    dataset = camvid(root)
    assert shown(dataset) == [
        ("0001TP_006690", 1, 30),
        ("0006R0_f00930", 3, 1),
        ("0016E5_07899", 2, 1),
        ("0016E5_07959", 6, 15),
        ("Seq05VD_f00000", 1, 30),
    ]
    assert (dataset.name, dataset.num_classes, dataset.ignore_index) == ("camvid", 11, 11)
    assert dataset.class_names == tuple(GROUPS)
    video = dataset.sequences[3]
    np.testing.assert_array_equal(video.frames[2], frame_of("0016E5_07963"))
    assert video.targets[2].tolist() == [[0, 3]]
    assert video.targets.labelled == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("with_file", [True, False])
def test_every_colour(with_file: bool, tmp_path: Path) -> None:
    root = original(tmp_path, "0016E5_00390", labels=coloured(*COLOURS))
    if not with_file:
        (root / "label_colors.txt").unlink()
    group_of = {name: label for label, names in enumerate(GROUPS.values()) for name in names.split()}
    (video,) = camvid(root).sequences
    assert video.targets[0].dtype == np.uint8
    assert video.targets[0].tolist() == [[group_of.get(name, 11) for name in COLOURS]]
    dataset = camvid(root, classes="32")
    names = [name for name in COLOURS if name != "Void"]
    assert (list(dataset.class_names), dataset.num_classes, dataset.ignore_index) == (names, 31, 31)
    found = [names.index(name) if name in names else 31 for name in COLOURS]
    assert dataset.sequences[0].targets[0].tolist() == [found]


def test_colours_are_those_of_the_file(tmp_path: Path) -> None:
    root = original(tmp_path, "0016E5_00390", labels=np.array([[(1, 2, 3)]], np.uint8))
    (root / "label_colors.txt").write_text("1 2 3 Tree\n\n4 5 6 Wall\n")
    assert camvid(root).sequences[0].targets[0].tolist() == [[5]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1 2 3 Tree\n4 5 6 Lamp", "line 2 is '4 5 6 Lamp'"),
        ("1 2 256 Tree", "line 1 is '1 2 256 Tree'"),
        ("1 2 3 Tree\n1 2 3 Wall", "line 2 is '1 2 3 Wall'"),
        ("Tree", "line 1 is 'Tree'"),
    ],
)
def test_a_file_of_colours_that_is_none(text: str, line: str, tmp_path: Path) -> None:
    root = original(tmp_path, "0016E5_00390")
    (root / "label_colors.txt").write_text(text)
    with pytest.raises(
        DatasetError, match=rf"label_colors\.txt: {line}, expected a new colour and one of the 32 names"
    ):
        camvid(root)
    (root / "label_colors.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match=r"label_colors\.txt: cannot be read"):
        camvid(root)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_of_colours(text: str, tmp_path: Path) -> None:
    root = original(tmp_path, "0016E5_00390")
    (root / "label_colors.txt").write_text(text)
    refused(r"label_colors\.txt: is empty, expected lines such as '64 128 64 Animal'", root)


def test_a_file_of_colours_from_an_editor_that_marks_its_encoding(tmp_path: Path) -> None:
    root = original(tmp_path, "0016E5_00390")
    (root / "label_colors.txt").write_text(LABEL_COLORS, encoding="utf-8-sig")
    assert camvid(root).sequences[0].targets[0].tolist() == [[0, 3]]


def test_a_colour_that_means_no_class(tmp_path: Path) -> None:
    labels = np.array([[(128, 128, 128), (128, 128, 127), (255, 255, 255), (255, 255, 255)]], np.uint8)
    (video,) = camvid(original(tmp_path, "0016E5_00390", labels=labels)).sequences
    with pytest.raises(
        DatasetError,
        match=r"0016E5_00390_L\.png: holds 2 colour\(s\) \(3 pixels\) that mean no class: \(128, 128, 127\), "
        r"\(255, 255, 255\); were the labels resized with smoothing",
    ) as raised:
        video.targets[0]
    assert raised.value.path.endswith("0016E5_00390_L.png")


def test_labels_that_are_no_colours(tmp_path: Path) -> None:
    (video,) = camvid(original(tmp_path, "0016E5_00390", labels=np.zeros((1, 2), np.uint8))).sequences
    with pytest.raises(
        DatasetError,
        match=r"_L\.png: is grey \(1 channel\), expected RGB: the colours of this label map",
    ):
        video.targets[0]
    Image.new("RGB", (4, 4)).save(tmp_path / "LabeledApproved_full/0016E5_00390_L.png", "JPEG")
    with pytest.raises(DatasetError, match=r"_L\.png: is a JPEG file: its compression changes colours"):
        video.targets[0]


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["0001TP_008490", "0006R0_f00930", "0016E5_07899", "0016E5_08190"]),
        ("val", ["0016E5_07959"]),
        ("test", ["0001TP_008550", "Seq05VD_f00000"]),
    ],
)
def test_splits_of_the_original_are_those_of_segnet(split: str, names: list[str], tmp_path: Path) -> None:
    root = original(
        tmp_path,
        *("0001TP_008490", "0001TP_008520", "0001TP_008550", "0001TP_008580", "0006R0_f00930", "Seq05VD_f00000"),
        *names_of("0016E5_", 7899, 7929, *range(7959, 8160, 2), 8190),
    )
    dataset = camvid(root, split=split)
    assert [video.name for video in dataset.sequences] == names
    assert dataset.name == f"camvid {split}"
    lengths = {"train": [2, 1, 2, 1], "val": [101], "test": [2, 1]}
    assert [len(video.frames) for video in dataset.sequences] == lengths[split]


# ── SegNet's version ──


def segnet(root: Path, split: str, *names: str) -> Path:
    for name in names:
        save(root / split / f"{name}.png", frame_of(name))
        save(root / f"{split}annot" / f"{name}.png", np.array([[10, 11]], np.uint8))
    return root


def test_segnets_version(tmp_path: Path) -> None:
    segnet(tmp_path, "train", "0001TP_006690", "0001TP_006720", "0016E5_08640")
    segnet(tmp_path, "val", *names_of("0016E5_", 7959, 7961, 7963))
    segnet(tmp_path, "test", "0001TP_006750")
    assert shown(camvid(tmp_path, split="train")) == [("0001TP_006690", 2, 1), ("0016E5_08640", 1, 30)]
    assert shown(camvid(tmp_path, split="val")) == [("0016E5_07959", 3, 15)]
    assert shown(camvid(tmp_path, split="test")) == [("0001TP_006750", 1, 30)]
    assert shown(camvid(tmp_path)) == [("0001TP_006690", 3, 1), ("0016E5_07959", 3, 15), ("0016E5_08640", 1, 30)]
    assert camvid(tmp_path).sequences[0].targets[2].tolist() == [[10, 11]]


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    segnet(tmp_path, "val", "0016E5_07959")
    with pytest.raises(DatasetError, match="trainannot: is missing, expected labels of the split train"):
        camvid(tmp_path, split="train")
    (tmp_path / "val").rename(tmp_path / "frames")
    with pytest.raises(DatasetError, match="val: is missing, expected a folder of frames"):
        camvid(tmp_path, split="val")


def test_one_frame_in_two_splits(tmp_path: Path) -> None:
    segnet(segnet(tmp_path, "val", "0016E5_07959"), "test", "0016E5_07959")
    with pytest.raises(DatasetError, match=r"0016E5_07959\.png: is frame 7959 of its recording, as .* is, expected it"):
        camvid(tmp_path)


@pytest.mark.parametrize("label", [12, 255])
def test_a_label_that_is_no_class(label: int, tmp_path: Path) -> None:
    segnet(tmp_path, "val", "0016E5_07959")
    save(tmp_path / "valannot/0016E5_07959.png", np.array([[0, label, label, 11]], np.uint8))
    (video,) = camvid(tmp_path).sequences
    with pytest.raises(
        DatasetError,
        match=rf"0016E5_07959\.png: holds label\(s\) {label} \(2 pixels\), expected 0\.\.10, and 11 for void",
    ):
        video.targets[0]


# ── the plain layout ──


def test_the_plain_layout(tmp_path: Path) -> None:
    root = plain(tmp_path, *names_of("0016E5_", *range(7959, 7980, 2)))
    (video,) = camvid(root).sequences
    assert (video.name, len(video.frames), video.fps) == ("0016E5_07959", 11, 15)
    assert [target[0, 1] for target in video.targets] == [number % 100 % 11 for number in range(7959, 7980, 2)]


def test_frames_between_labelled_ones_fill_a_run_up(tmp_path: Path) -> None:
    frames = names_of("0016E5_", *range(390, 451))
    root = plain(tmp_path, *frames, labelled=(frames[0], frames[30], frames[60]), extension="jpg")
    (video,) = camvid(root).sequences
    assert (len(video.frames), video.fps) == (61, 30)
    assert video.targets.labelled == (0, 30, 60)
    assert video.targets[1] is None
    assert video.frames[1].shape == (2, 3, 3)


def test_runs_without_a_label_are_left_out(tmp_path: Path) -> None:
    frames = names_of("0016E5_", 0, 2, 4, 100, 102, 104)
    assert shown(camvid(plain(tmp_path, *frames, labelled=(frames[1],)))) == [("0016E5_00000", 3, 15)]


@pytest.mark.parametrize(("frames", "cut"), [(11, 7), (10, 7), (101, 70), (2, 1)])
def test_the_plain_layout_is_split_in_time(frames: int, cut: int, tmp_path: Path) -> None:
    root = plain(tmp_path, *names_of("0016E5_", *range(100, 100 + 2 * frames, 2)))
    (train,), (val,) = camvid(root, split="train").sequences, camvid(root, split="val").sequences
    assert (train.name, val.name) == (f"0016E5_00100[0:{cut}]", f"0016E5_00100[{cut}:{frames}]")
    assert (len(train.frames), len(val.frames)) == (cut, frames - cut)
    np.testing.assert_array_equal(val.frames[0], frame_of(f"0016E5_{100 + 2 * cut:05}"))
    assert val.targets.labelled == tuple(range(frames - cut))


def test_parts_without_a_label_are_left_out(tmp_path: Path) -> None:
    frames = names_of("0016E5_", *range(10), *range(100, 110))
    root = plain(tmp_path, *frames, labelled=(frames[2], frames[11], frames[19]))
    assert shown(camvid(root, split="train")) == [("0016E5_00000[0:7]", 7, 30), ("0016E5_00100[0:7]", 7, 30)]
    assert shown(camvid(root, split="val")) == [("0016E5_00100[7:10]", 3, 30)]
    (root / "labels/0016E5_00109.png").unlink()
    refused("holds no label in the last three tenths of a run, expected some to validate on", root, split="val")


def test_a_lone_frame_is_for_validation(tmp_path: Path) -> None:
    root = plain(tmp_path, "0016E5_00100")
    refused("holds no label in the first seven tenths of a run, expected some to train on", root, split="train")
    assert shown(camvid(root, split="val")) == [("0016E5_00100[0:1]", 1, 30)]


def test_runs_of_one_step(tmp_path: Path) -> None:
    root = plain(tmp_path, *names_of("0016E5_", 7899, 7929, 7959, 7961, 7963, 7965), "0006R0_f00930")
    assert shown(camvid(root, step=2)) == [("0016E5_07959", 4, 15)]
    assert shown(camvid(root, step=30, fps="1000/1001")) == [("0016E5_07899", 2, Fraction(1000, 1001))]
    with pytest.raises(DatasetError, match=r"`fps` is 15, but the frame numbers of videos .* unlike steps \(2, 30\)"):
        camvid(root, fps=15)
    with pytest.raises(DatasetError, match="holds no run of step 1; it holds 1 of step 2, 1 of step 30"):
        camvid(root, step=1)
    with pytest.raises(DatasetError, match="holds no run of step 1; it holds only single frames"):
        camvid(plain(tmp_path / "b", "0006R0_f00930"), step=1)


def test_videos_can_be_sent_to_other_processes(tmp_path: Path) -> None:
    video = pickle.loads(pickle.dumps(camvid(original(tmp_path, *names_of("0016E5_", 1, 2, 3))))).sequences[0]
    assert video.frames[1].shape == (2, 3, 3)
    assert video.targets[1].tolist() == [[0, 3]]


# ── what is refused ──


def test_options(tmp_path: Path) -> None:
    root = plain(tmp_path, "0016E5_00100")
    for options, message in (
        ({"classes": 11}, "`classes` is 11, expected one of 11, 32"),
        ({"split": "valid"}, "`split` is 'valid', expected one of train, val, test"),
        ({"split": "test"}, "`split` is 'test', but the plain layout has no splits, expected 'train' or 'val' or none"),
        ({"classes": "32"}, "`classes` is '32', but the plain layout holds 11 classes, expected '11'"),
        ({"step": 0}, "`step` is 0, expected a whole number >= 1"),
        ({"fps": "fast"}, "`fps` is 'fast', expected a rate above 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            camvid(root, **options)


def refused(message: str, root: Path, **options: object) -> None:
    with pytest.raises(DatasetError, match=message):
        camvid(root, **options)


def test_missing_folders(tmp_path: Path) -> None:
    refused(
        "nowhere: is missing, expected the folder that holds 701_StillsRaw_full, trainannot or im",
        tmp_path / "nowhere",
    )
    (tmp_path / "file").write_text("")
    refused("file: is not a folder, expected the folder", tmp_path / "file")
    refused("holds none of CamVid's folders, expected 701_StillsRaw_full and LabeledApproved_full, or train", tmp_path)
    (tmp_path / "labels").mkdir()
    refused("images: is missing, expected a folder of frames", tmp_path)
    (tmp_path / "701_StillsRaw_full").mkdir()
    refused("LabeledApproved_full: is missing, expected a folder of labels", tmp_path)


def test_no_labels(tmp_path: Path) -> None:
    root = plain(tmp_path, "0016E5_00100", labelled=())
    (root / "labels").mkdir()
    refused("holds no labelled frame$", root)
    refused("holds no labelled frame of test", original(tmp_path, "0016E5_00390"), split="test")


def test_labels_without_a_frame(tmp_path: Path) -> None:
    root = plain(tmp_path, *names_of("0016E5_", 1, 2, 3))
    (root / "images/0016E5_00002.png").unlink()
    refused(r"images: has no frame for 1 of 3 label map\(s\) in labels: 0016E5_00002$", root)


def test_frames_that_come_twice(tmp_path: Path) -> None:
    root = plain(tmp_path, "0016E5_00001", extension="jpg")
    save(root / "images/0016E5_00001.png", frame_of("00001"))
    refused(r"0016E5_00001\.png: is a second file for frame 0016E5_00001 beside 0016E5_00001\.jpg", root)
    (root / "images/0016E5_00001.png").rename(root / "images/0016E5_000001.png")
    refused(r"0016E5_00001\.jpg: is frame 1 of its recording, as .*0016E5_000001\.png is, expected it once", root)


def test_a_name_without_a_number(tmp_path: Path) -> None:
    root = plain(tmp_path, "0016E5_00001")
    save(root / "images/cover.png", frame_of("00000"))
    refused(r"cover\.png: the frame name 'cover' has no digits, expected a frame number in it", root)


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    root = plain(tmp_path, "0016E5_00001")
    (video,) = camvid(root).sequences
    (root / "images/0016E5_00001.png").write_bytes(b"\x89PNG")
    with pytest.raises(DatasetError, match=r"0016E5_00001\.png: is neither a PNG nor a JPEG file"):
        video.frames[0]
    (root / "images/0016E5_00001.png").unlink()
    with pytest.raises(DatasetError, match=r"0016E5_00001\.png: is missing"):
        video.frames[0]


# ── the real one ──


@pytest.mark.skipif(not DATA, reason="FLAME_METRIC_TEST_DATA names no folder of real label maps")
def test_the_real_run_at_15_hz() -> None:
    dataset = camvid(Path(DATA, "camvid_dense"))
    (video,) = dataset.sequences
    assert (video.name, len(video.frames), video.fps) == ("0016E5_07959", 101, 15)
    assert (dataset.num_classes, dataset.ignore_index) == (11, 11)
    assert video.targets.labelled == tuple(range(101))
    assert video.frames[100].shape == (360, 480, 3)
    result = flame_score(video.targets, video.targets, num_classes=11, latency_ms=26, fps=video.fps, ignore_index=11)
    assert (result.frame_offset, result.num_pairs, round(result.miou, 6)) == (1, 100, 0.735525)
    (train,) = camvid(Path(DATA, "camvid_dense"), split="train").sequences
    (val,) = camvid(Path(DATA, "camvid_dense"), split="val").sequences
    assert (len(train.frames), len(val.frames)) == (70, 31)
    np.testing.assert_array_equal(val.frames[0], video.frames[70])
