"""FlameMetric.update_pair with a list of ids: each row of a batch is added to its own, as a meter does row by row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import FlameMeter
from flame_metric.errors import ConfigError, LabelError, ShapeError, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric

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
            meter.update_pair(pred, target, sequence=name)
    return meter.compute()


def test_by_hand():
    metric = FlameMetric(2)
    preds = torch.tensor([[[0, 1, 1]], [[1, 1, 1]]])
    targets = torch.tensor([[[0, 0, 1]], [[1, 1, 0]]])
    metric.update_pair(preds, targets, ["a", "b"])
    metric.update_pair(preds, targets, ["b", "b"])
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
        metric.update_pair(FORMS[form](preds), FORMS[target_form](targets), ids)
        seen.append((preds, targets, ids))
    assert metric.result() == one_by_one(seen)


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
def test_rows_of_several_sizes_in_lists(here):
    metric = make(here)
    preds, targets = [TWO[0], TWO[0][:, :2]], [TWO[1], TWO[1][:, :2]]
    metric.update_pair(preds, targets, ("a", "b"))
    assert metric.result() == one_by_one([(preds, targets, "ab")])


def test_a_collection_hands_the_ids_on():
    metrics = torchmetrics.MetricCollection({"now": FlameMetric(3), "late": FlameMetric(**OPTIONS)})
    preds, targets = (maps.clamp(max=2) for maps in draw(2, 0))
    metrics.update(preds, targets, sequence=["a", "b"])
    assert metrics["late"].result().sequences == metrics["now"].result().sequences == ("a", "b")
    assert [metrics[name].result().num_pairs for name in ("late", "now")] == [0, 2]


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
def test_what_is_refused_adds_nothing(preds, target, ids, *, error, match, here):
    metric = make(here)
    metric.update_sequence(TWO, TWO, sequence="whole")
    before = metric.result()
    with pytest.raises(error, match=match):
        metric.update_pair(preds, target, ids)
    assert metric.result() == before


def test_a_wrong_label_in_one_row_adds_no_row():
    metric = make(here=False)
    with pytest.raises(LabelError, match=r"`pred` holds label\(s\) \[7\]"):
        metric.update_pair(torch.tensor([[[0]], [[7]]]), torch.tensor([[[0]], [[0]]]), ["a", "b"])
    assert not metric.counts.numel()


def test_a_wrong_label_on_the_device_names_its_sequence():
    metric = make(here=True)
    metric.update_pair(torch.tensor([[[0]], [[7]]]), torch.tensor([[[0]], [[0]]]), ["a", "b"])
    with pytest.raises(LabelError, match=r"neither class nor void at 1 pixels of sequence\(s\) 'b', expected 0\.\.2"):
        metric.compute()
