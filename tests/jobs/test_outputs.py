"""Label maps and pictures that a run leaves: what is in them, how they are called, and what is refused."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError, VideoDataset, VideoSequence
from flame_metric.figures import flame_panels, palette
from flame_metric.jobs.outputs import LabelMapFiles, OverlayFiles, chosen_frames

pytest.importorskip("PIL", reason="PNG files need Pillow")
read_frame_image = pytest.importorskip("flame_metric.data.images").read_frame_image
read_label_png = pytest.importorskip("flame_metric.data.images").read_label_png

NAMES = ("sky", "road", "car")


def video(name="street", frame_names=None, length=6):
    generator = np.random.default_rng(1)
    frames = list(generator.integers(0, 256, (length, 8, 12, 3), np.uint8))
    targets = [None, *generator.choice([0, 1, 2, 255], (length - 1, 8, 12))]
    return VideoSequence(name, frames, targets, Fraction(10), frame_names=frame_names)


def dataset(*videos, ignore_index=255):
    return VideoDataset("made", videos, NAMES, ignore_index)


LABELS = np.array([[0, 1, 2], [2, 3, 0]], np.uint16)  # 3: void


def test_label_maps_have_the_names_of_frames_and_void_its_label(tmp_path: Path) -> None:
    files = LabelMapFiles(tmp_path / "out", num_classes=3, ignore_index=255)
    files(video(frame_names=[f"x_{number:02}" for number in range(6)]), 4, LABELS)
    found = read_label_png(tmp_path / "out/street/x_04.png")
    assert found.tolist() == [[0, 1, 2], [2, 255, 0]]
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("num_classes", "ignore_index", "void", "dtype"),
    [
        (3, 0, 0, np.uint8),
        (3, None, 3, np.uint8),
        (3, 300, 300, np.uint16),
        (256, None, 0, np.uint8),
        (257, 1, 1, np.uint16),
    ],
)
def test_label_maps_are_as_wide_as_labels_need(tmp_path: Path, num_classes, ignore_index, void, dtype) -> None:
    files = LabelMapFiles(tmp_path, num_classes=num_classes, ignore_index=ignore_index)
    labels = np.array([[1, num_classes if ignore_index is not None else 0]], np.uint16)
    files(video(), 0, labels)
    found = read_label_png(tmp_path / "street/000000.png")
    assert found.dtype == dtype
    assert found.tolist() == [[1, void if ignore_index is not None else 0]]


@pytest.mark.parametrize("name", ["../street", "/street", "a/../../b", "nul\0"])
def test_names_that_lead_elsewhere(tmp_path: Path, name: str) -> None:
    files = LabelMapFiles(tmp_path / "out", num_classes=3, ignore_index=255)
    with pytest.raises(DatasetError, match="which name no file below"):
        files(video(name), 0, LABELS)
    with pytest.raises(DatasetError, match="which name no file below"):
        files(video("a", frame_names=[name] * 6), 0, LABELS)
    assert sorted(tmp_path.rglob("*.png")) == []


def test_void_must_fit_into_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`ignore_index` is -1, expected"):
        LabelMapFiles(tmp_path, num_classes=3, ignore_index=-1)


def test_overlays_show_a_prediction_over_its_frame_and_over_the_current_one(tmp_path: Path) -> None:
    one = video()
    data = dataset(one, video("lane"))
    files = OverlayFiles(tmp_path, data, frame_offset=2, chosen={"street": [3]})
    labels = np.where(one.targets[1] == 255, 3, one.targets[1]).astype(np.uint16)
    files(one, 1, labels)
    files(one, 3, labels)  # not chosen: frame 5
    files(data.sequences[1], 1, labels)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")] == ["street/000003.png"]
    wanted = flame_panels(
        one.frames[1], one.frames[3], one.targets[1], one.targets[3], palette=palette(NAMES), ignore_index=255
    )
    np.testing.assert_array_equal(read_frame_image(tmp_path / "street/000003.png"), wanted)


def test_frames_by_name_or_number_or_the_middle_ones() -> None:
    named = video("a/b", frame_names=[f"f{number}" for number in range(6)])
    data = dataset(named, *(video(f"v{number}") for number in range(5)))
    assert chosen_frames(data, ["a/b/f3", "v1/4", "v1/000002"], frame_offset=1) == {"a/b": [3], "v1": [4, 2]}
    assert chosen_frames(data, [], frame_offset=1) == {"a/b": [3], "v0": [3], "v1": [3], "v2": [3]}
    assert chosen_frames(data, [], frame_offset=5) == {"a/b": [5], "v0": [5], "v1": [5], "v2": [5]}
    assert chosen_frames(data, [], frame_offset=6) == {}


@pytest.mark.parametrize("name", ["street/0", "street/6", "street", "lane/1", "street/f1"])
def test_frames_that_are_not_labelled_or_not_there(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"there is no video|is not a labelled frame of street, expected one of 000001"
    ):
        chosen_frames(dataset(video()), [name], frame_offset=0)
