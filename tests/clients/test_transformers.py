"""Hugging Face transformers: the maps of ``post_process_semantic_segmentation`` go in as they come, logits do not."""

import numpy as np
import pytest

import oracle
from by_hand import CLASSES, OFFSET, OPTIONS, clips, flame_counts
from flame_metric import FlameMeter
from flame_metric.errors import ShapeError
from recipes import RECIPES

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric

SIZES = [(64, 96), (50, 40)]  # of two videos that go through the network together, at the size of the first
VIDEOS = [clips(1, height=height, width=width)[0] for height, width in SIZES]


@pytest.fixture(scope="module")
def outputs():
    """What a small SegFormer with random weights makes of the frames; one batch of both videos for each time step."""
    config = transformers.SegformerConfig(
        num_labels=CLASSES,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=16,
    )
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        network = transformers.SegformerForSemanticSegmentation(config).eval()
        return [network(**processor()(list(frames), return_tensors="pt")) for frames in zip(*frames_of(), strict=True)]


def processor():
    return transformers.SegformerImageProcessor(size=dict(zip(("height", "width"), SIZES[0], strict=True)))


def frames_of():
    return [video.frames for video in VIDEOS]


@pytest.fixture(scope="module")
def batches(outputs):
    """A list of two maps for each time step, each of its video's size."""
    return [processor().post_process_semantic_segmentation(output, target_sizes=SIZES) for output in outputs]


@pytest.fixture(scope="module")
def expected(batches):
    """Counts of each video, by hand."""
    return [flame_counts([maps[row] for maps in batches], video.targets) for row, video in enumerate(VIDEOS)]


def aligned(batches):
    """Each batch with the labels that are current when it is ready."""
    for frame, maps in enumerate(batches[:-OFFSET]):
        yield maps, [video.targets[frame + OFFSET] for video in VIDEOS]


def test_what_post_processing_returns(batches):
    for maps in batches:
        assert isinstance(maps, list)
        assert [(tuple(labels.shape), labels.dtype) for labels in maps] == [(size, torch.int64) for size in SIZES]
        assert all(len(labels.unique()) > 1 for labels in maps)  # else the counts below would say little


def test_meter_takes_the_list(batches, expected):
    meter = FlameMeter(**OPTIONS)
    for maps, labels in aligned(batches):
        meter.update_pair(maps, labels, sequence="both")
    (counts,) = meter.compute().counts
    assert counts.tolist() == sum(expected).tolist()
    assert meter.compute().miou == pytest.approx(oracle.mean_iou(sum(expected)))


def test_metric_takes_the_list_and_an_id_for_each_map(batches, expected):
    metric = FlameMetric(**OPTIONS)
    for maps, labels in aligned(batches):
        metric.update_pair(maps, [torch.from_numpy(label) for label in labels], ["a", "b"])
    assert metric.result().sequences == ("a", "b")
    assert metric.result().counts.tolist() == [counts.tolist() for counts in expected]


def test_meter_takes_clips(batches, expected):
    meter = FlameMeter(**OPTIONS)
    for row, video in enumerate(VIDEOS):
        meter.update_sequence((maps[row] for maps in batches), video.targets, sequence=str(row))
    assert meter.compute().counts.tolist() == [counts.tolist() for counts in expected]


@pytest.mark.parametrize("collect", ["update", "forward"])
def test_frame_by_frame(batches, expected, collect):
    metric = FlameMetric(**OPTIONS)
    for frame, maps in enumerate(batches):
        getattr(metric, collect)(maps, [video.targets[frame] for video in VIDEOS], ["0", "1"], frame)
    assert metric.result().counts.tolist() == [counts.tolist() for counts in expected]


@pytest.mark.parametrize("make", [FlameMeter, FlameMetric])
def test_raw_logits_are_refused_with_both_sizes(outputs, make):
    video, scorer = VIDEOS[0], make(**OPTIONS)
    message = r"`pred` has shape \(1, 8, 16, 24\) and `target` \(1, 64, 96\), .* 1/4 of the target's size: resize it"
    with pytest.raises(ShapeError, match=message):
        scorer.update_pair(outputs[0].logits[:1], video.targets[0][None])
    with pytest.raises(ShapeError, match=r"\(16, 24\) and `target` \(64, 96\), .* 1/4 of the target"):
        scorer.update_sequence((output.logits[0] for output in outputs), video.targets, sequence="clip")
    total = scorer if make is FlameMeter else scorer.to_meter()
    assert not total.sequences


def test_logits_that_were_resized_count_as_their_labels(outputs, batches):
    meter, by_labels = FlameMeter(**OPTIONS), FlameMeter(**OPTIONS)
    for output, maps, labels in zip(outputs, batches, VIDEOS[0].targets, strict=True):
        scores = torch.nn.functional.interpolate(output.logits[:1], SIZES[0], mode="bilinear", align_corners=False)
        meter.update_pair(scores, labels[None])
        by_labels.update_pair(maps[0], labels)
    assert meter.compute() == by_labels.compute()


def test_labels_that_are_reduced():
    """The formula of the recipe is what the processor itself does."""
    labels = np.array([[0, 1, 2], [8, 254, 255]], np.uint8)
    reducing = transformers.SegformerImageProcessor(do_reduce_labels=True, do_resize=False)
    (reduced,) = reducing(np.zeros((2, 3, 3), np.uint8), segmentation_maps=labels, return_tensors="np")["labels"]
    assert "np.where((labels == 0) | (labels == 255), 255, labels - 1)" in (RECIPES / "transformers.md").read_text()
    assert np.where((labels == 0) | (labels == 255), 255, labels - 1).tolist() == reduced.tolist()
