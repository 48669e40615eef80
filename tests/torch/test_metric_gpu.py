"""On a GPU: the same integers, no waiting in ``update``, and what is wrong raises with the score."""

from contextlib import contextmanager

import numpy as np
import pytest

from flame_metric import FlameMeter
from flame_metric.core.counting import count_pairs
from flame_metric.core.labels import LabelSpace
from flame_metric.errors import LabelError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
counting = pytest.importorskip("flame_metric.torch.counting")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature"),
]

INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]
OPTIONS = {"num_classes": 19, "frame_offset": 1, "ignore_index": 255}


@contextmanager
def never_waiting():
    """Make it an error that the host waits for the GPU."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def draw(dtype="int64", num_classes=19, void=255, shape=(2, 65, 70), seed=0):
    generator = np.random.default_rng(seed)
    maps = generator.integers(0, num_classes, (2, *shape))
    if void is not None:
        maps[generator.random(maps.shape) < 0.2] = void
    return [torch.from_numpy(labels.astype(dtype)).cuda() for labels in maps]


def draw_scores(dtype="float32", seed=0):
    scores = np.random.default_rng(seed).integers(-9, 10, (2, 19, 65, 70))
    return torch.from_numpy(scores).to("cuda", getattr(torch, dtype))


def test_the_guard_sees_waiting():
    with never_waiting(), pytest.raises(RuntimeError, match="synchroni"):
        torch.ones(3, device="cuda").sum().item()


@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("before_first", ["skip", "void"])
def test_update_never_waits(k, before_first):
    """Nor does any call of a loop: what waits is a label map of a byte a pixel, on the GPU."""
    options = {**OPTIONS, "frame_offset": k, "before_first": before_first}
    metric, meter = FlameMetric(**options).cuda(), FlameMeter(**options)
    (pred, target), scores = draw(), draw_scores()
    with never_waiting():
        for sequence in ("a", "b", "a"):
            metric.update(pred, target, sequence)
            metric.update(list(pred), [target[0], None], sequence)
            metric.update(scores, target, sequence)
            metric.update(pred, target, [sequence, "c"])
            metric.update(scores[0], target[0], sequence, frame=None)
            metric.update(None, None, sequence)
            metric.update(None, None, sequence)
            metric.update(pred[:1].expand(4, -1, -1), None, sequence)
            metric.update_pair(pred, target, "pairs")
            metric.update_pair(scores, target, ["pairs", "more"])
            metric.update_missing(target, sequence="pairs")
        metric.end("a")
    for sequence in ("a", "b", "a"):
        meter.update(pred, target, sequence=sequence)
        meter.update(list(pred), [target[0], None], sequence=sequence)
        meter.update(scores, target, sequence=sequence)
        meter.update(pred, target, sequence=[sequence, "c"])
        meter.update(scores[0], target[0], sequence=sequence)
        meter.update(None, None, sequence=sequence)
        meter.update(None, None, sequence=sequence)
        meter.update(pred[:1].expand(4, -1, -1), None, sequence=sequence)
        meter.update_pair(pred, target, sequence="pairs")
        meter.update_pair(scores[0], target[0], sequence="pairs")
        meter.update_pair(scores[1], target[1], sequence="more")
        meter.update_missing(target, sequence="pairs")
    meter.end("a")
    assert metric.counts.is_cuda
    waiting = [
        pred for clip in metric._clips.running.values() for pred in clip.line.waiting.values() if pred is not None
    ]
    assert len(waiting) == (2 * k if k < 3 else 6)
    assert all(pred.is_cuda and pred.dtype == torch.uint8 for pred in waiting)
    assert metric.result() == meter.compute()
    assert metric.to_meter().to_json() == meter.to_json()
    assert metric.compute().is_cuda


def test_a_clip_moves_between_devices():
    metric, meter = FlameMetric(**OPTIONS).cuda(), FlameMeter(**OPTIONS)
    pred, target = draw()
    for step, place in enumerate(("cuda", "cpu", "cuda", "cuda", "cpu")):
        metric.to(place)
        for side in ("cuda", "cpu"):
            metric.update(pred[step % 2].to(side), target[step % 2].to(side), "clip")
            meter.update(pred[step % 2], target[step % 2], sequence="clip")
        metric.update(pred[0].cpu(), target[0].cuda(), "clip")
        metric.update(pred[0].cuda(), target[0].cpu(), "clip")
        for _ in range(2):
            meter.update(pred[0], target[0], sequence="clip")
    assert metric.result() == meter.compute()


def test_scores_of_many_classes_wait_in_two_bytes():
    metric, meter = (make(300, frame_offset=1) for make in (FlameMetric, FlameMeter))
    metric.cuda()
    (maps,) = [torch.arange(300, device="cuda").view(20, 15)]
    scores = torch.nn.functional.one_hot(maps, 300).movedim(-1, 0).half()
    with never_waiting():
        for _ in range(2):
            metric.update(scores, maps, "clip")
    for _ in range(2):
        meter.update(scores, maps, sequence="clip")
    assert metric.result() == meter.compute()
    assert metric.compute() == 1


@pytest.mark.parametrize("histogram", counting.HISTOGRAMS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_dtype_and_histogram(dtype, histogram):
    void = 100 if dtype == "int8" else 255
    pred, target = draw(dtype, void=void)
    counted = counting.count_on_device(pred, target, LabelSpace(19, void), histogram=counting.HISTOGRAMS[histogram])
    expected = count_pairs(pred, target, LabelSpace(19, void))
    assert np.array_equal(counted.per_class.cpu().numpy(), expected.per_class)
    assert tuple(counted.tallies.tolist()) == expected.tallies
    assert counted.faults.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("histogram", counting.HISTOGRAMS)
@pytest.mark.parametrize("num_classes", [2, 150, 300, 1000])
def test_any_number_of_classes(num_classes, histogram):
    pred, target = draw(num_classes=num_classes, void=-1)
    space = LabelSpace(num_classes, -1)
    counted = counting.count_on_device(pred, target, space, histogram=counting.HISTOGRAMS[histogram])
    assert np.array_equal(counted.per_class.cpu().numpy(), count_pairs(pred, target, space).per_class)


@pytest.mark.parametrize("histogram", counting.HISTOGRAMS)
def test_a_large_map_of_one_class(histogram):
    target = torch.full((2048, 2048), 7, dtype=torch.uint8, device="cuda")
    counted = counting.count_on_device(target, target, LabelSpace(19), histogram=counting.HISTOGRAMS[histogram])
    assert counted.per_class[:, 7].tolist() == [2048**2] * 3
    assert counted.per_class.sum().item() == 3 * 2048**2


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_scores_with_ties(dtype):
    metric, meter = FlameMetric(**OPTIONS).cuda(), FlameMeter(**OPTIONS)
    scores, (_, target) = draw_scores(dtype), draw()
    metric.update_pair(scores, target)
    meter.update_pair(scores.cpu(), target.cpu())
    assert metric.result() == meter.compute()


def test_r1_wrong_labels_raise_with_the_score():
    metric = FlameMetric(**OPTIONS).cuda()
    pred, target = draw()
    wrong = pred.clone()
    wrong[0, 0, :3] = 200
    with never_waiting():
        metric.update_pair(wrong, target, sequence="wrong")
    for ask in (metric.compute, metric.result, metric.to_meter):
        with pytest.raises(LabelError, match=r"`pred` held labels .* at 3 pixels of sequence\(s\) 'wrong'"):
            ask()
    metric.reset()
    with pytest.raises(LabelError, match=r"`target` held labels .* at 3 pixels"):
        metric(pred, wrong.flip(0), "stepped")
    metric.update_pair(pred, target)
    assert metric.result().num_pairs == 2


def test_r18_nan_scores_raise_with_the_score():
    metric = FlameMetric(**OPTIONS).cuda()
    scores, (_, target) = draw_scores(), draw()
    scores[0, 3, 5, 5] = float("nan")
    metric.update_pair(scores, target)
    with pytest.raises(LabelError, match="`pred` held NaN scores at 1 pixels"):
        metric.compute()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_scores_that_overflowed_raise_with_the_score(dtype):
    metric = FlameMetric(**OPTIONS).cuda()
    scores, (_, target) = draw_scores(dtype), draw()
    scores[0, 3, 5, 5] = float("inf")
    with never_waiting():
        metric.update_pair(scores, target)
    metric.compute()
    scores[0, 7, 5, 5] = float("inf")
    with never_waiting():
        metric.update_pair(scores, target)
    with pytest.raises(LabelError, match=r"`pred` held scores of \+inf for two or more classes at 1 pixels"):
        metric.compute()
    with pytest.raises(LabelError, match=r"\+inf for two or more classes at 1 pixels"):
        FlameMetric(**OPTIONS).update_pair(scores, target)


def test_tensors_of_the_host_and_clips():
    metric, meter = FlameMetric(**OPTIONS).cuda(), FlameMeter(**OPTIONS)
    pred, target = draw()
    for scorer in (metric, meter):
        scorer.update_pair(pred.cpu(), target.cpu(), sequence="a")
        scorer.update_pair(pred, target.cpu(), sequence="a")
        scorer.update_sequence(pred, target, sequence="clip")
        with pytest.raises(LabelError, match=r"`pred` holds label\(s\) \[77\]"):
            scorer.update_pair(torch.full((1, 2), 77), torch.zeros((1, 2), dtype=torch.long))
    assert metric.result() == meter.compute()


def test_state_moves_between_devices():
    metric, meter = FlameMetric(**OPTIONS).cuda(), FlameMeter(**OPTIONS)
    pred, target = draw()
    metric.update_pair(pred, target)
    metric.persistent(True)
    fresh = FlameMetric(**OPTIONS)
    fresh.load_state_dict(metric.state_dict())
    assert fresh.counts.device.type == "cpu"
    fresh.update_pair(pred, target)  # of the GPU, counted on the host
    fresh.cuda().update_pair(pred, target)
    for _ in range(3):
        meter.update_pair(pred, target)
    assert fresh.result() == meter.compute()
    assert fresh(pred, target, ["x", "y"]).isnan()  # nothing is on screen yet
    fresh.merge_state(metric.cpu())
    assert fresh.counts.is_cuda
    assert fresh.result().num_pairs == 8


def test_forward_and_a_collection():
    torchmetrics = pytest.importorskip("torchmetrics")
    metrics = torchmetrics.MetricCollection(
        {"void 255": FlameMetric(19, ignore_index=255), "void 0": FlameMetric(20, ignore_index=0)}
    ).cuda()
    pred, target = (labels.clamp(max=18) for labels in draw())
    metrics.update(pred, target)
    metrics(pred, target)
    for void, num_classes in ((255, 19), (0, 20)):
        meter = FlameMeter(num_classes, ignore_index=void)
        for _ in range(2):
            meter.update_pair(pred, target)
        assert metrics[f"void {void}"].result() == meter.compute()
