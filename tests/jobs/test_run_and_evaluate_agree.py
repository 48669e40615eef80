"""`run` and `evaluate` of the label maps that it wrote: the same integers on every reader's data, or both refuse it."""

import json
import shlex
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flame_metric import ConfigError, DatasetError, FlameWarning, StreamConfig, VideoDataset
from flame_metric.cli import main
from flame_metric.jobs.evaluate import evaluate_folders
from flame_metric.jobs.folder_source import Files
from flame_metric.jobs.outputs import evaluate_line
from flame_metric.jobs.run import run_network
from flame_metric.latency.runner import Runner
from flame_metric.networks.network import Network
from flame_metric.scores.evaluation import Evaluation

pytest.importorskip("PIL.Image", reason="label maps are written as PNG")
trees = pytest.importorskip("video_trees")
save = trees.save
GAPS = [*range(0, 17, 2), *range(17, 34, 2)]


def classes_of(frame: np.ndarray, classes: int) -> np.ndarray:
    return ((frame[..., 0].astype(int) // 5 + np.arange(frame.shape[1]) // 2) % classes).astype(np.uint8)


def run(dataset: VideoDataset, root: Path, **options) -> Evaluation:
    """Run a network that needs no weights, and keep its label maps in ``root``/predictions."""
    network = Network("colours", Runner(lambda frame: classes_of(frame, dataset.num_classes)))
    return run_network(network, dataset, label_maps=root / "predictions", **options).evaluation


def counts_in(file: Path) -> dict[str, list[dict]]:
    found = json.loads(file.read_text())
    return {name: found[name]["sequences"] for name in ("static", "flame")}


def counts_of_line(line: str, root: Path, labels: Path, predictions: Path | None = None) -> dict[str, list[dict]]:
    """What the printed command counts."""
    words = [str(labels) if word == "LABELS" else word for word in shlex.split(line)]
    assert words[:2] == ["flame-metric", "evaluate"]
    words[2] = words[2] if predictions is None else str(predictions)
    assert main([*words[1:], "--json", str(root / "again.json")]) == 0
    return counts_in(root / "again.json")


def label(number: int, values: tuple[int, ...], shape: tuple[int, int] = (2, 4)) -> np.ndarray:
    return np.resize(np.array(values)[(np.arange(8) + number) % len(values)], shape).astype(np.uint8)


# ── every reader, its files, and where label maps lie that `evaluate` reads ──


def cityscapes(root: Path) -> tuple[VideoDataset, Path]:
    tree = import_module("cityscapes_tree")
    for frame in (19, 60):
        tree.add_clip(root, "bonn", 0, frame)
    tree.add_clip(root, "erfurt", 3, 21)
    return import_module("flame_metric.data.cityscapes").cityscapes(root), root / "gtFine/val"


def camvid(root: Path, frames: str, labels: str) -> tuple[VideoDataset, Path]:
    for recording in ("0016E5", "0006R0"):
        for number in range(0, 22, 2):
            save(root / frames / f"{recording}_{number:05}.png", trees.frame_of(number))
            save(root / labels / f"{recording}_{number:05}.png", label(number, (0, 3, 7, 11)))
    return import_module("flame_metric.data.camvid").camvid(root), root / labels


def davis(root: Path, year: int) -> tuple[VideoDataset, Path]:
    (root / f"ImageSets/{year}").mkdir(parents=True)
    (root / f"ImageSets/{year}/val.txt").write_text("bear\ngoat\n")
    values = (0, 255) if year == 2016 else (0, 1, 2, 255)
    for video, numbers in (("bear", range(9)), ("goat", (3, 4, 5, 8, 9, 10, 11))):
        frames, labels = root / "JPEGImages/480p" / video, root / "Annotations/480p" / video
        trees.write_video(frames, labels, numbers, digits=5, label_of=lambda number: label(number, values))
    return import_module("flame_metric.data.davis").davis(root, year=year), root / "Annotations/480p"


def frame_folder(root: Path, numbers: list[int]) -> tuple[VideoDataset, Path]:
    for video in ("monday", "tuesday"):
        frames, labels = root / "frames" / video, root / "labels" / video
        trees.write_video(frames, labels, numbers, digits=5, label_of=lambda number: label(number, (0, 1, 2, 255)))
    (root / "street.toml").write_text(
        'frames = "frames"\nlabels = "labels"\nfps = 10\nclasses = 3\nignore_index = 255\n'
    )
    return import_module("flame_metric.data.toml_dataset").toml_dataset(root / "street.toml"), root / "labels"


def flat_folder(root: Path, before: str) -> tuple[VideoDataset, Path]:
    for number in range(0, 27, 3):
        save(root / f"frames/{before}{number:04}.png", trees.frame_of(number))
        save(root / f"labels/{before}{number:04}_gt.png", label(number, (1, 2, 9)))
    read = import_module("flame_metric.data.frame_folder").frame_folder
    options = {"label_map": "1:0,2:1,9:7", "label_suffix": "_gt", "num_classes": 2, "ignore_index": 7}
    return read(root / "frames", root / "labels", fps=10, **options), root / "labels"


def named_folder(root: Path, form: str, **options: str) -> tuple[VideoDataset, Path]:
    for recording in range(2):
        for number in (0, 1, 2, 5, 6, 7):
            name = form.format(recording, number)
            save(root / f"frames/{name}.png", trees.frame_of(number))
            save(root / f"labels/{name}.png", label(number + recording, (0, 1, 2)))
    read = import_module("flame_metric.data.frame_folder").frame_folder
    return read(root / "frames", root / "labels", fps=10, num_classes=3, **options), root / "labels"


def video_files(root: Path) -> tuple[VideoDataset, Path]:
    pytest.importorskip("av", reason="video files are read by PyAV")
    files = import_module("video_files")
    pictures = files.pictures(12, height=16, width=32)
    for video, labelled in (("monday", range(1, 13)), ("tuesday", (4, 8, 12))):
        files.write_video(root / f"videos/{video}.mkv", pictures, rate=10)
        for number in labelled:
            save(root / f"labels/{video}/{number:03}.png", label(number, (0, 1, 2, 255), (16, 32)))
    read = import_module("flame_metric.data.video_folder").video_folder
    options = {"num_classes": 3, "ignore_index": 255, "first_frame": 1}
    return read(root / "videos", root / "labels", **options), root / "labels"


READERS = {
    "cityscapes": cityscapes,
    "camvid, plain": lambda root: camvid(root, "images", "labels"),
    "camvid, SegNet's": lambda root: camvid(root, "val", "valannot"),
    "davis 2016": lambda root: davis(root, 2016),
    "davis 2017": lambda root: davis(root, 2017),
    "folders": lambda root: frame_folder(root, [4, 6, 8, 10, 16, 18, 20, 22]),
    "folders, unlike gaps": lambda root: frame_folder(root, GAPS),
    "folders, flat, numbers": lambda root: flat_folder(root, ""),
    "folders, flat, names": lambda root: flat_folder(root, "street_"),
    "folders, names with types": lambda root: named_folder(root, "{0:04}/frame{1:04}@2x"),
    "folders, recordings in one": lambda root: named_folder(root, "bonn/bonn_{0:06}_{1:06}_leftImg8bit"),
    "folders, cameras in one": lambda root: named_folder(root, "a/{1:06}_cam{0}", frame_number=r"^(\d+)"),
    "folders, flat, cameras": lambda root: named_folder(root, "{1:06}_cam{0}", frame_number=r"^(\d+)"),
    "video files": video_files,
}


@pytest.mark.parametrize("delay", [{"frame_offset": 2}, {"latency_ms": 150}], ids=str)
@pytest.mark.parametrize("reader", READERS)
def test_evaluate_repeats_a_run(reader: str, delay: dict, tmp_path: Path) -> None:
    dataset, labels = READERS[reader](tmp_path)
    found = run(dataset, tmp_path, **delay)
    (tmp_path / "run.json").write_text(found.to_json())
    line = evaluate_line(tmp_path / "predictions", dataset, found.flame.config)
    assert found.static is not None
    assert found.flame.num_pairs > 0
    assert counts_of_line(line, tmp_path, labels) == counts_in(tmp_path / "run.json")


def test_evaluate_repeats_a_run_on_vspw_video_by_video(tmp_path: Path) -> None:
    """Its label maps lie two folders below their root, ``data/{video}/mask``."""
    (tmp_path / "val.txt").write_text("a\nb\n")
    for video, numbers in (("a", (5, 6, 7, 9, 10, 11)), ("b", range(6))):
        frames, labels = (tmp_path / "data" / video / kind for kind in ("origin", "mask"))
        trees.write_video(frames, labels, numbers, digits=8, label_of=lambda number: label(number, (1, 2, 124, 0, 255)))
    dataset = import_module("flame_metric.data.vspw").vspw(tmp_path)
    found = run(dataset, tmp_path, frame_offset=2)
    (tmp_path / "run.json").write_text(found.to_json())
    line = evaluate_line(tmp_path / "predictions", dataset, found.flame.config)
    whole = counts_in(tmp_path / "run.json")
    for video in "ab":
        again = counts_of_line(line, tmp_path, tmp_path / "data" / video / "mask", tmp_path / "predictions" / video)
        for name, (of_mask,) in again.items():
            (of_video,) = (sequence for sequence in whole[name] if sequence["id"] == video)
            assert {**of_mask, "id": video} == of_video


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        ("kitti_step", "its label maps are RGB, of which red is the class"),
        ("camvid, original", "its label maps are RGB, of which colours are the classes"),
        ("vipseg", "its label maps number instances, up to 12,499"),
        ("synthetic", "its label maps are rendered"),
    ],
)
def test_label_maps_that_evaluate_cannot_read(reader: str, reason: str, tmp_path: Path) -> None:
    """The line then says no more than which label maps it would need."""
    grey = label(0, (1, 2))
    if reader == "kitti_step":
        frames, labels = tmp_path / "images/val/0002", tmp_path / "panoptic_maps/val/0002"
        trees.write_video(frames, labels, range(4), digits=6, label_of=lambda number: trees.frame_of(0, (2, 4)) * 0)
        dataset = import_module("flame_metric.data.kitti_step").kitti_step(tmp_path)
    elif reader == "vipseg":
        (tmp_path / "val.txt").write_text("a\n")
        trees.write_video(tmp_path / "imgs/a", tmp_path / "panomasks/a", (2, 5), digits=8, label_of=lambda number: grey)
        dataset = import_module("flame_metric.data.vipseg").vipseg(tmp_path)
    elif reader == "synthetic":
        dataset = import_module("flame_metric.data.registry").open_dataset("synthetic:videos=1,num_frames=3")
    else:
        for number in range(3):
            save(tmp_path / f"701_StillsRaw_full/a_{number}.png", trees.frame_of(number))
            save(tmp_path / f"LabeledApproved_full/a_{number}_L.png", np.full((2, 4, 3), 128, np.uint8))
        dataset = import_module("flame_metric.data.camvid").camvid(tmp_path)
    assert dataset.label_options is None, reason


# ── any numbering ──


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    clips=st.lists(
        st.tuples(
            st.sampled_from([1, 2, 3]), st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=2, max_size=9)
        ),
        min_size=1,
        max_size=2,
    ),
    offset=st.integers(0, 4),
    step=st.sampled_from([None, None, 1, 2]),
    all_labelled=st.booleans(),
)
def test_law_one_folder_has_one_reading(
    clips, offset: int, step: int | None, all_labelled: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("clips")
    for index, (scale, gaps) in enumerate(clips):
        number = 0
        for place, (gap, labelled) in enumerate(gaps):
            number += gap * scale
            frame = trees.frame_of(number)
            save(root / f"frames/v{index}/{number:04}.png", frame)
            save(root / f"all/v{index}/{number:04}.png", classes_of(frame, 3))
            if labelled or all_labelled or not place:
                save(root / f"labels/v{index}/{number:04}.png", label(number, (0, 1, 2)))
    read = import_module("flame_metric.data.frame_folder").frame_folder

    def running() -> Evaluation:
        dataset = read(root / "frames", root / "labels", fps=10, num_classes=3, step=step)
        return run(dataset, root, latency_ms=100 * offset, stream=StreamConfig())

    def evaluating() -> Evaluation:
        options = {"num_classes": 3, "fps": 10, "latency_ms": 100 * offset, "stream": StreamConfig()}
        return evaluate_folders(root / "all", root / "labels", files=Files(step=step), **options)

    found: list[object] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        for way in (running, evaluating):
            try:
                evaluation = way()
            except (DatasetError, ConfigError):
                found.append("refused")
            else:
                record = json.loads(evaluation.to_json())
                found.append([record[name] and record[name]["sequences"] for name in ("static", "flame")])
                assert evaluation.streaming is not None
                found[-1].append(json.loads(evaluation.streaming.result.to_json())["sequences"])
    assert found[0] == found[1]
