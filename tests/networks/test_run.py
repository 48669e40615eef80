"""flame-metric run with SwiftNet: on synthetic and on real videos, equal to a loop by hand to the integer."""

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks of the paper need PyTorch")

import oracle  # noqa: E402
from flame_metric.cli import main  # noqa: E402
from flame_metric.data.registry import open_dataset  # noqa: E402
from flame_metric.networks import build  # noqa: E402
from flame_metric.scores.evaluation import Evaluation  # noqa: E402

SYNTHETIC = "synthetic:videos=2,num_frames=6,height=64,width=96"
K = 2


def trained(tmp_path: Path, num_classes: int, frames: int = 1):
    """A network that is not quite random, and the file of its weights."""
    torch.manual_seed(3)
    network = build("swiftnet-r18", num_classes, frames=frames)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    return network.eval()


def label_maps(network, video, frames):
    """Each frame with those before it. In which order one scales and shifts may turn a pixel in a million."""
    mean, std = 255 * torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)
    mean, factor = mean.float(), (1 / std).float()
    for index in range(len(video.frames)):
        shown = [video.frames[max(0, index - back)] for back in reversed(range(frames))]
        image = torch.cat([(torch.from_numpy(frame) - mean) * factor for frame in shown], dim=2)
        with torch.inference_mode():
            yield network(image.permute(2, 0, 1)[None].contiguous())[0].argmax(dim=0).numpy()


def by_hand(network, dataset, frames=1):
    """Counts without delay, K frames late, and of the labels K frames late."""
    clips = {video.name: (list(label_maps(network, video, frames)), list(video.targets)) for video in dataset.sequences}
    counts = oracle.score_counts(clips, K, dataset.num_classes, dataset.ignore_index)
    return counts["static"], counts["flame"], counts["persistence"]


def run(tmp_path: Path, data: str, *options: str) -> Evaluation:
    arguments = ["--weights", str(tmp_path / "weights.pt"), "--json", str(tmp_path / "scores.json"), *options]
    assert main(["run", "swiftnet-r18", data, *arguments]) == 0
    return Evaluation.from_json((tmp_path / "scores.json").read_text())


def assert_equal(found: Evaluation, wanted) -> None:
    for result, counts in zip((found.static, found.flame, found.persistence), wanted, strict=True):
        np.testing.assert_array_equal(result.counts, counts)


@pytest.mark.parametrize("frames", [1, 2])
def test_synthetic_videos(tmp_path: Path, frames: int) -> None:
    network = trained(tmp_path, 8, frames)
    wanted = by_hand(network, open_dataset(SYNTHETIC), frames)
    offset = ("--frame-offset", str(K), "--frames", str(frames))
    assert_equal(run(tmp_path, SYNTHETIC, *offset), wanted)


@pytest.mark.slow
def test_threads_change_no_number(tmp_path: Path) -> None:
    wanted = by_hand(trained(tmp_path, 8), open_dataset(SYNTHETIC))
    for jobs in (1, 2, 3):
        assert_equal(run(tmp_path, SYNTHETIC, "--frame-offset", str(K), "--jobs", str(jobs)), wanted)


@pytest.mark.slow
def test_real_video(tmp_path: Path) -> None:
    root = os.environ.get("FLAME_METRIC_TEST_DATA")
    if not root:
        pytest.skip("FLAME_METRIC_TEST_DATA names no folder of real label maps")
    pytest.importorskip("PIL", reason="reading image files needs Pillow")
    data = f"camvid:{root}/camvid_dense"
    dataset = open_dataset(data, split="val")
    wanted = by_hand(trained(tmp_path, 11), dataset)
    assert_equal(run(tmp_path, data, "--split", "val", "--frame-offset", str(K)), wanted)
