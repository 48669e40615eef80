"""FlameMetric with a list of sequence ids: each row of a batch is added to its own, as a meter does row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import FlameMeter
from flame_metric.errors import ConfigError, LabelError, ShapeError, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric
LatencyAware = pytest.importorskip("flame_metric.torch.aware").LatencyAware

OPTIONS = {"num_classes": 3, "frame_offset": 1, "ignore_index": 255}
TWO = torch.tensor([[[0, 1, 1]], [[2, 0, 255]]])  # two maps (1, 3)

FORMS = {
    "labels": lambda labels: labels,
    "scores": lambda labels: torch.nn.functional.one_hot(labels.clamp(max=2), 3).movedim(-1, 1).float(),
    "list": list,
    "tuple": tuple,
    "array": lambda labels: labels.numpy(),
    "nested lists": lambda labels: labels.tolist(),
}


def draw(rows, seed, top=3):
    generator = np.random.default_rng(seed)
    maps = generator.integers(0, top, (2, rows, 4, 5))
    maps[1][generator.random(maps[1].shape) < 0.2] = 255
    return tuple(torch.from_numpy(side) for side in maps)


def make(here):
    metric = FlameMetric(**OPTIONS)
    if here:
        metric._lies_here = lambda maps: True  # count as on a GPU
    return metric


def one_by_one(batches):
    """What a meter counts that gets each row alone."""
    meter = FlameMeter(**OPTIONS)
    for preds, targets, ids in batches:
        for pred, target, name in zip(preds, targets, ids, strict=True):
            meter.update(pred, target, sequence=name)
    return meter.compute()


def test_by_hand():
    metric = FlameMetric(2)
    preds = torch.tensor([[[0, 1, 1]], [[1, 1, 1]]])
    targets = torch.tensor([[[0, 0, 1]], [[1, 1, 0]]])
    metric.update(preds, targets, ["a", "b"])
    metric.update(preds, targets, ["b", "b"])
    result = metric.result()
    assert result.sequences == ("a", "b")
    assert result.counts.tolist() == [[[1, 1], [1, 2], [2, 1]], [[1, 5], [1, 8], [4, 5]]]
    assert result.tallies.tolist() == [[1, 1, 3, 3], [3, 3, 9, 9]]


@pytest.mark.parametrize(
    ("form", "here"),
    [(form, False) for form in FORMS] + [(form, True) for form in ("labels", "scores", "list", "tuple")],
)
@given(
    batches=st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_law_equal_to_a_meter_row_by_row(form, here, batches, seed):
    metric, seen = make(here), []
    for number, ids in enumerate(batches):
        preds, targets = draw(len(ids), seed + number)
        target_form = "labels" if form == "scores" else form
        metric.update(FORMS[form](preds), FORMS[target_form](targets), ids)
        seen.append((preds, targets, ids))
    assert metric.result() == one_by_one(seen)


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
def test_rows_of_several_sizes_in_lists(here):
    metric = make(here)
    preds, targets = [TWO[0], TWO[0][:, :2]], [TWO[1], TWO[1][:, :2]]
    metric.update(preds, targets, ("a", "b"))
    assert metric.result() == one_by_one([(preds, targets, "ab")])


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
def test_forward_is_the_score_of_the_batch(here):
    metric = make(here)
    batches = [(*draw(3, seed), ids) for seed, ids in enumerate((["a", "b", "a"], ["b", "c", "a"]))]
    for batch in batches:
        assert metric(*batch).item() == pytest.approx(one_by_one([batch]).miou)
    assert metric.result() == one_by_one(batches)


def test_a_collection_hands_the_ids_on():
    metrics = torchmetrics.MetricCollection({"now": FlameMetric(3), "late": FlameMetric(**OPTIONS)})
    preds, targets = (maps.clamp(max=2) for maps in draw(2, 0))
    metrics.update(preds, targets, sequence=["a", "b"])
    assert metrics["late"].result().sequences == metrics["now"].result().sequences == ("a", "b")


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
@pytest.mark.parametrize(
    ("preds", "target", "ids", "error", "match"),
    [
        (TWO, TWO, ["a"], ShapeError, "`preds` has 2 rows for 1 sequences, expected a row for each id"),
        (TWO, TWO[:1], ["a", "b"], ShapeError, "`target` has 1 rows for 2 sequences"),
        (TWO, torch.tensor(0), ["a", "b"], ShapeError, "`target` has 0 rows for 2 sequences"),
        (TWO[0], TWO[0], ["a"], ShapeError, r"`target` has shape \(3,\), expected label maps \(H, W\)"),
        (TWO, TWO[:, :, :2], ["a", "b"], ShapeError, r"\(1, 3\).*\(1, 2\)"),
        (TWO, TWO, [], ConfigError, "`sequence` is empty, expected a text id, or a list with one for each row"),
        (TWO, TWO, ["a", 7], ConfigError, "`sequence` is 7, expected a text id"),
        (TWO, TWO, ["a", ["b"]], ConfigError, r"`sequence` is \['b'\], expected a text id"),
        (TWO, TWO, 7, ConfigError, "`sequence` is 7, expected a text id"),
        (TWO, TWO, ["a", "whole"], StateError, "sequence 'whole' is closed"),
    ],
)
@pytest.mark.parametrize("collect", ["update", "forward"])
def test_what_is_refused_adds_nothing(collect, preds, target, ids, *, error, match, here):
    metric = make(here)
    metric.update_sequence(TWO, TWO, sequence="whole")
    before = metric.result()
    with pytest.raises(error, match=match):
        getattr(metric, collect)(preds, target, ids)
    assert metric.result() == before


def test_a_wrong_label_in_one_row_adds_no_row():
    metric = make(here=False)
    with pytest.raises(LabelError, match=r"`pred` holds label\(s\) \[7\]"):
        metric.update(torch.tensor([[[0]], [[7]]]), torch.tensor([[[0]], [[0]]]), ["a", "b"])
    assert not metric.counts.numel()


def test_a_wrong_label_on_the_device_names_its_sequence():
    metric = make(here=True)
    metric.update(torch.tensor([[[0]], [[7]]]), torch.tensor([[[0]], [[0]]]), ["a", "b"])
    with pytest.raises(LabelError, match=r"neither class nor void at 1 pixels of sequence\(s\) 'b', expected 0\.\.2"):
        metric.compute()


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_parallel_streams_behind_latency(k, here):
    """Streams along the batch axis, all of one length, count as one clip after the other does."""
    preds, targets = draw(3 * 5, seed=k)
    preds, targets = preds.view(3, 5, 4, 5), targets.view(3, 5, 4, 5)
    meter = FlameMeter(3, frame_offset=k, ignore_index=255)
    for name, pred, target in zip("abc", preds, targets, strict=True):
        meter.update_sequence(pred, target, sequence=name)
    metric = LatencyAware(FlameMetric(3, frame_offset=k, ignore_index=255), frame_offset=k)
    if here:
        metric.metric._lies_here = lambda maps: True
    for step in range(5):
        metric.update(preds[:, step], targets[:, step], sequence=["a", "b", "c"])
    np.testing.assert_array_equal(metric.metric.result().counts, meter.compute().counts)
    assert metric.metric.result().sequences == meter.compute().sequences
    assert metric.compute().item() == pytest.approx(meter.compute().miou)
    assert metric.coverage == meter.compute().coverage
