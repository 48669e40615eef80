"""ONNX Runtime: its NumPy scores and labels count as PyTorch's, to the integer.

Weights are integers, and so are the frames: float arithmetic is exact then, and no rounding makes two runtimes choose
different classes. Scores that are equal do occur; the lowest class wins everywhere.
"""

import numpy as np
import pytest

from by_hand import CLASSES, OPTIONS, clips, flame_counts
from flame_metric import FlameMeter
from flame_metric.errors import ShapeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

# PyTorch's exporter uses names that PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning")

VIDEOS = clips(2, height=48, width=64)


class Network(torch.nn.Module):
    """uint8 (1, H, W, 3) -> scores float32 (1, C, H, W) and labels int64 (1, H, W)."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.Conv2d(6, CLASSES, 1)
        generator = torch.Generator().manual_seed(0)
        for weights in self.parameters():
            weights.data = torch.randint(-2, 3, weights.shape, generator=generator).float()

    def forward(self, frame):
        scores = self.second(torch.relu(self.first(frame.permute(0, 3, 1, 2).float())))
        return scores, scores.argmax(1)


@pytest.fixture(scope="module")
def network():
    return Network().eval()


@pytest.fixture(scope="module")
def session(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    example = torch.from_numpy(VIDEOS[0].frames[0])[None]
    torch.onnx.export(
        network, (example,), path, input_names=["frame"], output_names=["scores", "labels"], dynamo=True, verbose=False
    )
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def of_torch(network):
    """The result with PyTorch's scores."""
    meter = FlameMeter(**OPTIONS)
    with torch.inference_mode():
        for video in VIDEOS:
            preds = (network(torch.from_numpy(frame)[None])[0][0] for frame in video.frames)
            meter.update_sequence(preds, video.targets, sequence=video.name)
    return meter.compute()


@pytest.mark.parametrize("output", ["scores", "labels"])
def test_equals_torch(session, of_torch, output):
    meter = FlameMeter(**OPTIONS)
    for video in VIDEOS:
        preds = (session.run([output], {"frame": frame[None]})[0][0] for frame in video.frames)
        meter.update_sequence(preds, video.targets, sequence=video.name)
    assert meter.compute() == of_torch
    assert (of_torch.total[1] > 0).sum() > 2  # else it would say little


def test_equals_the_count_by_hand(session, of_torch):
    by_hand = [
        flame_counts([session.run(["labels"], {"frame": frame[None]})[0][0] for frame in video.frames], video.targets)
        for video in VIDEOS
    ]
    assert of_torch.counts.tolist() == [counts.tolist() for counts in by_hand]


def test_an_output_that_is_bound_once_may_be_overwritten_by_each_run(session, of_torch):
    scores = np.empty((1, CLASSES, *VIDEOS[0].targets[0].shape), np.float32)
    binding = session.io_binding()
    binding.bind_ortvalue_output("scores", onnxruntime.OrtValue.ortvalue_from_numpy(scores))

    def predict(frame):
        binding.bind_cpu_input("frame", frame[None])
        session.run_with_iobinding(binding)
        (bound,) = binding.get_outputs()
        return bound.numpy()[0]

    meter = FlameMeter(**OPTIONS)
    for video in VIDEOS:
        meter.update_sequence(map(predict, video.frames), video.targets, sequence=video.name)
    assert meter.compute() == of_torch


def test_a_batch_axis_that_was_left_on_is_refused(session):
    video = VIDEOS[0]
    preds = (session.run(["scores"], {"frame": frame[None]})[0] for frame in video.frames)
    with pytest.raises(
        ShapeError, match=r"`pred` has shape \(1, 8, 48, 64\), .*; take it out of its batch with pred\[0\]"
    ):
        FlameMeter(**OPTIONS).update_sequence(preds, video.targets, sequence=video.name)
