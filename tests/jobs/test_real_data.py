"""Real label maps, where FLAME_METRIC_TEST_DATA names their folder: the command line scores them by options alone."""

import json
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from flame_metric import class_counts, iou_per_class
from flame_metric.cli import main
from oracle import counts as oracle_counts

DATA = os.environ.get("FLAME_METRIC_TEST_DATA")
Image = pytest.importorskip("PIL.Image", reason="reading PNG needs Pillow")
pytestmark = pytest.mark.skipif(not DATA, reason="FLAME_METRIC_TEST_DATA names no folder of real label maps")

CAMVID_PERSISTENCE = [
    0.735525, 0.636171, 0.572971, 0.535748, 0.510707, 0.489741, 0.469538, 0.451670, 0.435790, 0.421644,
]  # fmt: skip
SEQUENCES = ("drift-straight", "kite-surf", "car-roundabout", "cows")


def evaluate(capsys: pytest.CaptureFixture[str], preds: Path, labels: Path, *options: str) -> dict:
    assert main(["evaluate", str(preds), str(labels), *options, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def read(folder: Path) -> list[np.ndarray]:
    return [np.array(Image.open(file)) for file in sorted(folder.glob("*.png"))]


@pytest.mark.parametrize("offset", range(1, 11))
def test_camvid_persistence(offset: int, capsys: pytest.CaptureFixture[str]) -> None:
    labels = Path(DATA, "camvid_dense", "labels")
    milliseconds = offset * 1000 / 15
    options = ("--num-classes", "11", "--ignore-index", "11", "--fps", "15")
    for delay in (("--frame-offset", f"{offset}"), ("--latency-ms", f"{milliseconds:.3f}")):
        found = evaluate(capsys, labels, labels, *options, *delay)
        assert found["persistence"]["config"]["frame_offset"] == offset
        assert round(found["persistence"]["scores"]["miou"], 6) == CAMVID_PERSISTENCE[offset - 1]
        assert found["flame"]["scores"]["miou"] == found["persistence"]["scores"]["miou"]
        assert found["persistence"]["scores"]["num_pairs"] == 101 - offset


def test_camvid_is_not_symmetric_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each next frame's labels under this frame's name: exchanged folders give another score."""
    files = sorted(Path(DATA, "camvid_dense", "labels").glob("*.png"))
    for now, after in pairwise(files):
        for folder, file in (("now", now), ("next", after)):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / now.name).symlink_to(file)
    options = ("--num-classes", "11", "--ignore-index", "11", "--fps", "15", "--frame-offset", "0")
    found = [evaluate(capsys, tmp_path / a, tmp_path / b, *options) for a, b in (("now", "next"), ("next", "now"))]
    assert [round(one["static"]["scores"]["miou"], 6) for one in found] == [0.735525, 0.735179]


def test_camvid_without_the_void_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    """Exact integers where void of either map is left out: both maps' void is marked in the target."""
    maps = read(Path(DATA, "camvid_dense", "labels"))
    total = sum(
        class_counts(pred, np.where(pred == 11, 11, target), num_classes=11, ignore_index=11)
        for pred, target in pairwise(maps)
    )
    intersection, predicted, labelled = total
    assert intersection.tolist() == [
        1514438, 4265007, 34142, 4886442, 1410260, 2709295, 112923, 473511, 257072, 67504, 309626,
    ]  # fmt: skip
    assert (predicted + labelled - intersection).tolist() == [
        1645367, 4633324, 155845, 5095588, 1586847, 2910538, 195428, 565315, 334454, 148625, 447775,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0, 10])
def test_davis_equals_brute_force(offset: int, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(DATA, "davis2016")
    maps = ("--pred-map", "0:0,*:1", "--label-map", "0:0,255:1")
    options = ("--num-classes", "2", "--fps", "24", "--frame-offset", f"{offset}")
    found = evaluate(capsys, root / "osvos", root / "gt", *options, *maps)
    summed = {name: np.zeros((3, 2), np.int64) for name in ("static", "flame", "persistence")}
    for entry in range(len(SEQUENCES)):
        sequence = found["flame"]["sequences"][entry]["id"]
        gt = [frame == 255 for frame in read(root / "gt" / sequence)]
        osvos = [frame != 0 for frame in read(root / "osvos" / sequence)]
        for name, preds, delay in (("static", osvos, 0), ("flame", osvos, offset), ("persistence", gt, offset)):
            expected = np.zeros((3, 2), np.int64)
            for pred, target in zip(preds, gt[delay:], strict=False):
                for label in (0, 1):
                    p, t = pred == label, target == label
                    expected[:, label] += [np.count_nonzero(p & t), np.count_nonzero(p), np.count_nonzero(t)]
            record = found[name]["sequences"][entry]
            assert [record[row] for row in ("intersection", "predicted", "labelled")] == expected.tolist()
            summed[name] += expected
            if (sequence, offset) == ("drift-straight", 10):
                published = {"flame": 0.116116, "persistence": 0.101637}.get(name)
                assert published in (None, round(float(iou_per_class(expected)[1]), 6))
    assert {entry["id"] for entry in found["flame"]["sequences"]} == set(SEQUENCES)
    for name, expected in summed.items():
        assert found[name]["scores"]["iou"] == iou_per_class(expected).tolist()


def test_the_oracle_agrees_on_one_frame() -> None:
    """The brute force above is vectorised for speed: on a frame it equals the pixel-by-pixel oracle."""
    root = Path(DATA, "davis2016")
    gt, osvos = (np.array(Image.open(root / kind / "cows" / "00010.png")) for kind in ("gt", "osvos"))
    pred, target = (osvos != 0).astype(int), (gt == 255).astype(int)
    rows = [[np.count_nonzero((pred == c) & (target == c)) for c in (0, 1)]]
    rows += [[np.count_nonzero(labels == c) for c in (0, 1)] for labels in (pred, target)]
    assert oracle_counts(pred, target, 2).tolist() == rows
