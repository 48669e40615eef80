"""flame-metric run with a folder of transformers and with an ONNX file: equal to loops by hand, to the integer."""

from pathlib import Path

import numpy as np
import pytest

import oracle
from flame_metric import simulate_stream
from flame_metric.cli import main
from flame_metric.data.registry import open_dataset
from flame_metric.scores.evaluation import Evaluation

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

DATA = "synthetic:videos=2,num_frames=8,height=32,width=64"
CLASSES, LATENCY_MS, K = 8, 76, 2  # at 60 ms a frame


def by_hand(segment):
    """Counts without delay, late, on a stream of one worker, and of late labels; pair by pair."""
    videos = open_dataset(DATA).sequences
    clips = {one.name: ([np.asarray(segment(frame)) for frame in one.frames], list(one.targets)) for one in videos}
    stream = {one.name: simulate_stream(LATENCY_MS, num_frames=len(one.frames), fps=one.fps).source for one in videos}
    return oracle.score_counts(clips, K, CLASSES, 255, stream)


def assert_run_equals(wanted, model: Path, tmp_path: Path, *options: str) -> None:
    result = tmp_path / "result.json"
    stream = ["--latency-ms", str(LATENCY_MS), "--workers", "1", "--json", str(result)]
    assert main(["run", str(model), DATA, *stream, *options]) == 0
    found = Evaluation.from_json(result.read_text())
    np.testing.assert_array_equal(found.static.counts, wanted["static"])
    np.testing.assert_array_equal(found.flame.counts, wanted["flame"])
    np.testing.assert_array_equal(found.streaming.result.counts, wanted["streaming"])
    np.testing.assert_array_equal(found.persistence.counts, wanted["persistence"])


def test_segformer_from_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1] * 4, "num_attention_heads": [1] * 4}
    config = transformers.SegformerConfig(num_labels=CLASSES, decoder_hidden_size=16, **sizes)
    network = transformers.SegformerForSemanticSegmentation(config).eval()
    processor = transformers.SegformerImageProcessor(do_resize=False)
    network.save_pretrained(tmp_path / "segformer")
    processor.save_pretrained(tmp_path / "segformer")

    def segment(frame):
        with torch.inference_mode():
            outputs = network(**processor(frame, return_tensors="pt"))
        (labels,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[frame.shape[:2]])
        return labels

    assert_run_equals(by_hand(segment), tmp_path / "segformer", tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_small_onnx_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    weights = np.random.default_rng(0).standard_normal((CLASSES, 3, 3, 3)).astype(np.float32)
    info, shape = onnx.helper.make_tensor_value_info, ["n", 3, "h", "w"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["frames", "weights"], ["scores"], pads=[1, 1, 1, 1])],
        "small",
        [info("frames", onnx.TensorProto.FLOAT, shape)],
        [info("scores", onnx.TensorProto.FLOAT, ["n", CLASSES, "h", "w"])],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, tmp_path / "small.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "small.onnx"), providers=["CPUExecutionProvider"])
    mean, std = (
        (255 * np.array(values)).astype(np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )

    def segment(frame):
        planes = ((frame - mean) * (1 / std.astype(np.float64)).astype(np.float32)).transpose(2, 0, 1)
        (scores,) = session.run(None, {"frames": np.ascontiguousarray(planes[None])})
        return scores[0].argmax(axis=0)

    assert_run_equals(by_hand(segment), tmp_path / "small.onnx", tmp_path)
