import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from flame_metric import FlameResult, StreamConfig, demo
from flame_metric.cli import main
from flame_metric.data.synthetic import synthetic_video
from flame_metric.jobs.evaluate import evaluate_folders


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demonstration on fewer and shorter videos."""
    for name, value in (("_TRAINING_VIDEOS", 1), ("_TEST_VIDEOS", 2), ("_FRAMES", 6)):
        monkeypatch.setattr(demo, name, value)


def clock_of(milliseconds: float) -> Callable[[], float]:
    """A clock that advances by this much from one reading to the next."""
    ticks = count()
    return lambda: next(ticks) * milliseconds / 1000


@pytest.mark.usefixtures("small")
def test_scores_follow_from_the_latency(tmp_path: Path) -> None:
    found = demo.run_demo(out=tmp_path, clock=clock_of(76))
    assert found.latency_ms == pytest.approx(76)
    here, slow = found.scores["this machine"].flame, found.scores["DeepLab-MN"].flame
    assert [losses.flame.frame_offset for losses in found.scores.values()] == [2, 4, 2, 1, 1]
    assert here.counts.tolist() == slow.counts.tolist()
    options = {"fps": "50/3", "latency_ms": 195, "ignore_index": 255, "stream": StreamConfig()}
    on_disk = evaluate_folders(tmp_path / "predictions", tmp_path / "labels", num_classes=8, **options)
    slowest = found.scores["DeepLab-R101"]
    assert on_disk.static.counts.tolist() == found.static.counts.tolist()
    assert on_disk.flame.counts.tolist() == slowest.flame.counts.tolist()
    assert on_disk.streaming.result.counts.tolist() == slowest.streaming.counts.tolist()
    assert on_disk.persistence.counts.tolist() == slowest.persistence.flame.counts.tolist()


@pytest.mark.usefixtures("small")
def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["demo", "--out", str(tmp_path / "kept")]) == 0
    out = capsys.readouterr().out
    for latency in ("this machine", "195.0", "76.0", "26.0", "38.0"):
        assert latency in out
    assert f"flame-metric evaluate {tmp_path}/kept/predictions {tmp_path}/kept/labels --num-classes 8 --fps 50/3" in out


def test_out_that_cannot_be_written(tmp_path: Path, small: None, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["demo", "--out", str(tmp_path / "file")]) == 3
    assert "cannot be written" in capsys.readouterr().err


def test_the_segmenter_learns() -> None:
    training, test = (synthetic_video(num_frames=6, height=64, width=128, fps=2, seed=seed) for seed in (1000, 1))
    classifier = demo.ColourClassifier(8).fit([training])
    right = valid = 0
    for frame, target in zip(test.frames, test.targets, strict=True):
        right += int(np.count_nonzero(classifier(frame) == target))
        valid += int(np.count_nonzero(target != 255))
    assert right / valid > 0.6  # the largest class covers about a third


@pytest.mark.usefixtures("small")
def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert FlameResult.from_dict(record["static"]).frame_offset == 0
    assert set(record["scores"]) == {"this machine", "DeepLab-R101", "DeepLab-MN", "SwiftNet-R18", "SwiftNet-R18-X"}
