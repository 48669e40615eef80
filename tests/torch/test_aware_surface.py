"""LatencyAware as a torchmetrics metric: collections, forward, copies, states, processes, devices and dtypes."""

import copy
import pickle
import subprocess
import sys

import pytest

from flame_metric import Schedule, ShapeError, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")

from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection, MetricTracker  # noqa: E402
from torchmetrics.classification import BinaryAccuracy, BinaryF1Score, MulticlassConfusionMatrix  # noqa: E402
from torchmetrics.utilities.exceptions import TorchMetricsUserError  # noqa: E402
from torchmetrics.wrappers import ClasswiseWrapper  # noqa: E402

from flame_metric import LatencyAware  # noqa: E402
from metrics_to_wrap import Pairs, WeightedError  # noqa: E402

torch.set_num_threads(1)

CLIP = [torch.tensor([float(x)]) for x in (0, 1, 3, 7, 15)]


def feed(metric, values=CLIP, sequence="clip"):
    for value in values:
        metric.update(value, value, sequence=sequence)
    return metric


def error(k, values=CLIP):
    """The mean absolute error of showing a clip k frames late."""
    return sum(abs(values[j] - values[j - k]) for j in range(k, len(values))).item() / (len(values) - k)


# ── in a collection ──


@pytest.mark.parametrize("method", ["update", "forward"])
def test_r14_offsets_in_one_collection_stay_apart(method):
    metrics = {f"k{k}": LatencyAware(MeanAbsoluteError(), frame_offset=k) for k in (0, 1, 2)}
    collection = MetricCollection(metrics, compute_groups=True)
    for value in CLIP:
        getattr(collection, method)(value, value, sequence="clip")
    assert {name: value.item() for name, value in collection.compute().items()} == {
        "k0": 0.0,
        "k1": error(1),
        "k2": pytest.approx(error(2)),
    }
    if method == "update":
        assert sorted(collection.compute_groups.values()) == [["k0"], ["k1"], ["k2"]]


def test_metrics_of_one_offset_in_one_collection_stay_apart():
    """Equal offset and coverage, different metrics: their states lie in the wrapped ones."""
    collection = MetricCollection(
        {
            "mae": LatencyAware(MeanAbsoluteError(), frame_offset=1),
            "mse": LatencyAware(MeanSquaredError(), frame_offset=1),
            "mse of a schedule": LatencyAware(MeanSquaredError(), schedule=Schedule.fixed(5, 2)),
            "mse of another": LatencyAware(MeanSquaredError(), schedule=Schedule.fixed(5, 1)),
        }
    )
    feed(collection)
    assert {name: value.item() for name, value in collection.compute().items()} == {
        "mae": error(1),
        "mse": (1 + 4 + 16 + 64) / 4,
        "mse of a schedule": (9 + 36 + 144) / 3,
        "mse of another": (1 + 4 + 16 + 64) / 4,
    }


def test_clones_in_one_collection_stay_apart():
    """Each has a state of its own, also where all states are equal, and after loading, moving and resetting."""
    first = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    collection = MetricCollection({"a": first, "b": first.clone(), "c": pickle.loads(pickle.dumps(first))})
    collection.persistent(True)
    collection.load_state_dict(feed(collection.clone()).state_dict())
    collection.reset()
    collection.to("cpu")
    feed(collection)
    assert len(collection.compute_groups) == 3
    assert [value.item() for value in collection.compute().values()] == [error(1)] * 3


def test_a_collection_hands_out_options_by_name():
    """The collection filters: plain metrics get no ``sequence``, and nobody gets what is another's."""
    collection = MetricCollection(
        {
            "plain": MeanAbsoluteError(),
            "late": LatencyAware(MeanAbsoluteError(), frame_offset=1),
            "weighted": LatencyAware(WeightedError(), frame_offset=1),
            "both": LatencyAware(MetricCollection({"x": MeanSquaredError(), "y": WeightedError()}), frame_offset=1),
        }
    )
    for value in CLIP:
        for sequence in "ab":
            collection.update(preds=value, target=value, sequence=sequence, weight=torch.ones(1))
    assert {name: value.item() for name, value in collection.compute().items()} == {
        "plain": 0,
        "late": error(1),
        "weighted": error(1),
        "x": (1 + 4 + 16 + 64) / 4,
        "y": error(1),
    }
    assert collection["weighted"].metric.sequences == ["a", "b"] * 4


def test_a_wrapped_collection_gives_a_dict():
    late = LatencyAware(MetricCollection([MeanAbsoluteError(), MeanSquaredError()], prefix="late_"), frame_offset=1)
    feed(late)
    assert late.compute() == {"late_MeanAbsoluteError": error(1), "late_MeanSquaredError": 85 / 4}


def test_the_metric_that_is_given_stays_as_it_is():
    """One metric given to two wrappers: each has its own, and empty."""
    metric = MeanAbsoluteError()
    metric.update(torch.tensor([100.0]), torch.tensor([0.0]))
    one, two = LatencyAware(metric, frame_offset=1), LatencyAware(metric, frame_offset=2)
    feed(one)
    feed(two)
    assert (metric.compute(), one.compute()) == (100, error(1))
    assert two.compute() == pytest.approx(error(2))


@pytest.mark.filterwarnings("ignore:The default value for `maximize`:FutureWarning")  # of older trackers
def test_inside_and_around_other_wrappers():
    label = torch.tensor([[0], [1], [1]])
    around = LatencyAware(ClasswiseWrapper(MulticlassConfusionMatrix(2), labels=["a", "b"]), frame_offset=1)
    feed(around, label)
    assert {name: value.tolist() for name, value in around.compute().items()} == {
        "multiclassconfusionmatrix_a": [0, 0],
        "multiclassconfusionmatrix_b": [1, 1],
    }
    difference = LatencyAware(MeanAbsoluteError(), frame_offset=2) - LatencyAware(MeanAbsoluteError(), frame_offset=1)
    feed(difference)
    assert difference.compute().item() == pytest.approx(error(2) - error(1))
    tracker = MetricTracker(LatencyAware(BinaryAccuracy(), frame_offset=1))
    for epoch in range(2):
        tracker.increment()
        feed(tracker, torch.tensor([[epoch], [1], [1]]))
    assert tracker.best_metric(return_step=True) == (1.0, 1)


# ── forward ──


def test_forward_is_the_metric_of_this_step():
    metric = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    values = [metric(value, None if step == 3 else value, sequence="clip") for step, value in enumerate(CLIP)]
    assert [None if value.isnan() else value for value in values] == [None, 1.0, 2.0, None, 8.0]
    assert metric._forward_cache == 8.0
    assert metric.compute() == (1 + 2 + 8) / 3
    assert metric.coverage == 3 / 4
    assert metric.update_count == 5


def test_forward_of_parallel_streams_and_collections():
    metric = LatencyAware(MetricCollection([MeanAbsoluteError(), MeanSquaredError()]), frame_offset=1)
    nothing = metric(torch.tensor([0.0, 5.0]), torch.tensor([0.0, 5.0]), sequence=["a", "b"])
    assert {name: value.isnan().item() for name, value in nothing.items()} == {
        "MeanAbsoluteError": True,
        "MeanSquaredError": True,
    }
    found = metric(torch.tensor([1.0, 7.0]), torch.tensor([1.0, 7.0]), sequence=["a", "b"])
    assert found == {"MeanAbsoluteError": 1.5, "MeanSquaredError": 2.5}
    assert metric.compute() == found


# ── copies ──


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda metric: metric.clone(), lambda metric: pickle.loads(pickle.dumps(metric))]
)
@pytest.mark.parametrize("options", [{"frame_offset": 2}, {"schedule": {"clip": Schedule.fixed(5, 2)}}])
def test_copies_go_on_in_the_middle_of_a_sequence(duplicate, options):
    metric = feed(LatencyAware(MeanAbsoluteError(), **options), CLIP[:3])
    twin = duplicate(metric)
    feed(twin, CLIP[3:])
    assert twin.compute() == pytest.approx(error(2))
    assert metric.compute() == 3.0  # the copy shares nothing with it
    assert (metric.coverage, twin.coverage) == (1 / 3, 3 / 5)
    feed(metric, CLIP[3:])
    assert metric.compute() == twin.compute()


# ── states ──


def test_reset_empties_the_delay_lines():
    metric = feed(LatencyAware(MeanAbsoluteError(), frame_offset=1), [9 * value for value in CLIP])
    metric.reset()
    assert int(metric.labelled) == int(metric.shown) == metric.update_count == 0
    feed(metric)  # the same id again: nothing of the last pass is on screen
    assert metric.compute() == error(1)
    assert metric.coverage == 4 / 5


def test_state_dict():
    metric = feed(LatencyAware(MeanAbsoluteError(), frame_offset=1))
    assert metric.state_dict() == {}  # as of every metric of torchmetrics
    metric.persistent(True)
    fresh = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    fresh.load_state_dict(metric.state_dict())
    assert (fresh.metric.sum_abs_error, fresh.metric.total, fresh.coverage) == (15, 4, 4 / 5)
    feed(fresh, sequence="another")
    assert fresh.compute() == error(1)
    assert fresh.coverage == 8 / 10


@pytest.mark.parametrize(
    ("other", "found"), [({"frame_offset": 2}, "1, 2"), ({"schedule": Schedule.fixed(5, 1)}, "by schedule, 1")]
)
def test_r15_another_offset_is_refused(other, found):
    metric, other = LatencyAware(MeanAbsoluteError(), frame_offset=1), LatencyAware(MeanAbsoluteError(), **other)
    metric.persistent(True)
    feed(metric)
    message = rf"latency-aware metrics of different frame offsets \({found}\) cannot be combined"
    with pytest.raises(StateError, match=message):
        other.load_state_dict(metric.state_dict())
    with pytest.raises(StateError, match=message):
        other.merge_state(metric)


def test_merge_state():
    first = feed(LatencyAware(MeanAbsoluteError(), frame_offset=1))
    assert first.compute() == error(1)  # torchmetrics keeps this value: merging must forget it
    second = feed(LatencyAware(MeanAbsoluteError(), frame_offset=1), [10 * value for value in CLIP])
    with pytest.raises(StateError, match=r"'clip' were stepped on both sides and not ended, .* \(a sampler over clips"):
        first.merge_state(second)
    assert (first.compute(), first.coverage) == (error(1), 4 / 5)
    second.end("clip")
    with pytest.raises(StateError, match="'clip' came to both sides and would count twice"):
        first.merge_state(second)
    second = feed(LatencyAware(MeanAbsoluteError(), frame_offset=1), [10 * value for value in CLIP], sequence="second")
    first.merge_state(second)
    assert first.compute() == 11 * error(1) / 2
    assert first.coverage == 8 / 10
    feed(first, CLIP[:1])  # what waits is that of its own sequence
    assert first.compute() == (11 * 15 + 15) / 9
    second.reset()
    second.update(CLIP[0], CLIP[0], sequence="other")
    first.merge_state(second)
    with pytest.raises(StateError, match="sequence 'other' was given up"):  # it runs there
        first.update(CLIP[1], CLIP[1], sequence="other")


def test_pairs_and_steps_of_one_id_do_not_merge():
    stepped = feed(LatencyAware(MeanAbsoluteError(), frame_offset=1))
    paired = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    paired.update_pair(CLIP[0], CLIP[1], sequence="clip")
    for one, other in ((stepped, paired), (paired, stepped)):
        with pytest.raises(StateError, match="'clip' came to both sides"):
            one.merge_state(other)


@pytest.mark.parametrize("rows", [1, 3])
def test_pairs_have_a_row_for_each_id(rows):
    metric = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    with pytest.raises(ShapeError, match=f"{rows} rows for 2 sequences"):
        metric.update_pair(torch.ones(rows, 2), torch.ones(rows, 2), sequence=["a", "b"])
    assert int(metric.labelled) == 0


def test_merge_state_of_collections():
    """Metrics that share a state in each collection are added once."""

    def late():
        return LatencyAware(MetricCollection([BinaryAccuracy(), BinaryF1Score()]), frame_offset=1)

    clips = [torch.tensor([[0, 1], [1, 1], [0, 1]]), torch.tensor([[1, 0], [0, 1], [0, 0], [1, 1]])]
    first, second, both = late(), late(), late()
    for part, clip in zip((first, second), clips, strict=True):
        for name, metric in ((str(clip), part), (str(clip), both)):
            feed(metric, clip[:, None], sequence=name)
            metric.end(name)
    assert len(first.metric.compute_groups) == 1
    first.compute()
    first.merge_state(second)
    assert first.compute() == both.compute()
    feed(first, clips[0][:, None], sequence="more")
    feed(both, clips[0][:, None], sequence="more")
    assert first.compute() == both.compute()


def test_merge_state_of_others_is_refused():
    late = LatencyAware(MetricCollection([BinaryAccuracy()]), frame_offset=1)
    with pytest.raises(StateError, match="`incoming_state` is BinaryAccuracy, expected a LatencyAware"):
        late.merge_state(BinaryAccuracy())
    with pytest.raises(StateError, match=r"the collections hold \['BinaryAccuracy'\] and \['BinaryF1Score'\]"):
        late.merge_state(LatencyAware(MetricCollection([BinaryF1Score()]), frame_offset=1))
    some = feed(LatencyAware(MetricCollection({"a": MeanAbsoluteError(), "b": Pairs()}), frame_offset=1))
    some.end("clip")
    other = feed(LatencyAware(MetricCollection({"a": MeanAbsoluteError(), "b": Pairs()}), frame_offset=1), sequence="b")
    with pytest.raises(RuntimeError, match="not supported for metrics with ``full_state_update=True``"):
        some.merge_state(other)
    assert (some.compute()["a"], some.metric["a"].total, some.labelled) == (error(1), 4, 5)  # nothing was added


# ── processes ──


def test_sync_gathers_the_wrapped_metric_and_the_coverage():
    metric = feed(LatencyAware(MetricCollection([MeanAbsoluteError()]), frame_offset=1))
    options = {"dist_sync_fn": lambda state, group: [state, 3 * state], "distributed_available": lambda: True}
    with pytest.raises(StateError, match=r"different frame offsets \(1, 3\) cannot be combined"):
        metric.sync(**options)
    metric = feed(LatencyAware(MetricCollection([MeanAbsoluteError()]), frame_offset=0))
    with metric.sync_context(**options):
        assert (int(metric.labelled), int(metric.shown)) == (20, 20)
        assert metric.metric["MeanAbsoluteError"].total == 20
    assert (int(metric.labelled), int(metric.shown)) == (5, 5)
    assert metric.metric["MeanAbsoluteError"].total == 5


def failing_after(calls):
    """A transport between two processes that breaks down after so many states."""
    left = [calls]

    def gather(state, group=None):
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("connection lost")
        return [state, state.clone()]

    return gather


@pytest.mark.parametrize("calls", range(8))  # 4 states of the wrapper, 2 of each metric
def test_a_sync_that_fails_leaves_the_states_of_this_process(calls):
    metric = feed(LatencyAware(MetricCollection([MeanAbsoluteError(), MeanSquaredError()]), frame_offset=1))
    available = {"distributed_available": lambda: True}
    for _ in range(2):  # and can be tried again
        with pytest.raises(RuntimeError, match="connection lost"):
            metric.sync(dist_sync_fn=failing_after(calls), **available)
        parts = [metric, *metric.metric.values(copy_state=False)]
        assert [(part._is_synced, part._cache) for part in parts] == [(False, None)] * 3
        assert (int(metric.labelled), int(metric.shown)) == (5, 4)
        assert [int(part.total) for part in parts[1:]] == [4, 4]
    metric.sync(dist_sync_fn=failing_after(8), **available)
    assert [int(part.total) for part in parts[1:]] == [8, 8]
    metric.unsync()
    feed(metric, sequence="more")
    assert metric.compute() == {"MeanAbsoluteError": error(1), "MeanSquaredError": 85 / 4}


def test_a_reduction_that_fails_leaves_the_states_of_this_process():
    def fail(_):
        raise RuntimeError("cannot be reduced")

    plain = MeanAbsoluteError()
    plain.add_state("last", torch.tensor(0), fail)
    metric = feed(LatencyAware(plain, frame_offset=1))
    with pytest.raises(RuntimeError, match="cannot be reduced"):
        metric.sync(dist_sync_fn=failing_after(9), distributed_available=lambda: True)
    assert (metric.metric.sum_abs_error, metric.metric.total, int(metric.shown)) == (15, 4, 4)


def test_nothing_is_added_while_the_metric_is_synced():
    metric = feed(LatencyAware(MeanAbsoluteError(), frame_offset=1))
    options = {"dist_sync_fn": failing_after(12), "distributed_available": lambda: True}
    refused = (
        lambda: metric.update(CLIP[0], CLIP[0], sequence="clip"),
        lambda: metric.update(CLIP[0], None, sequence="clip"),
        lambda: metric.update_pair(CLIP[0], CLIP[0]),
        lambda: metric(CLIP[0], CLIP[0], sequence="clip"),
        lambda: metric.merge_state(metric.clone()),
    )
    with metric.sync_context(**options):
        for add in refused:
            with pytest.raises(StateError, match=r"holds the states of all processes, expected unsync\(\) before"):
                add()
        with pytest.raises(TorchMetricsUserError, match="already been synced"):
            metric.sync(**options)
        assert (int(metric.labelled), metric.metric.total) == (10, 8)
    with pytest.raises(ZeroDivisionError), metric.sync_context(**options):
        1 / 0  # noqa: B018 - an error inside
    feed(metric, sequence="more")
    assert (int(metric.labelled), metric.metric.total) == (10, 8)


RANK = """
import sys
import torch
from torchmetrics import MeanAbsoluteError, MetricCollection
from flame_metric import LatencyAware
rank, file = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=3)
metric = LatencyAware(MetricCollection([MeanAbsoluteError()]), frame_offset=1)
for clip in ([], [[0, 1, 3]], [[0, 10], [5, 5, 5, 9]])[rank]:  # an empty rank, and unequal ones
    for depth in clip:
        metric.update(torch.tensor([float(depth)]), torch.tensor([float(depth)]), sequence=str(clip))
found = metric.compute()["MeanAbsoluteError"].item()
with metric.sync_context():
    coverage = metric.coverage
print(found, coverage, metric.coverage)
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_r17_ranks_with_unequal_updates(tmp_path):
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, f"{rank}", f"{tmp_path / 'store'}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(3)
    ]
    answers = [rank.communicate(timeout=300) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0, 0], answers
    error, coverage = (1 + 2 + 10 + 0 + 0 + 4) / 6, 6 / 9
    for (printed, _), own in zip(answers, ("nan", f"{2 / 3}", f"{4 / 6}"), strict=True):
        value, of_all, of_one = printed.split()
        assert float(value) == pytest.approx(error, rel=1e-6)
        assert (of_all, of_one) == (f"{coverage}", own)


# ── devices and dtypes ──


def test_what_waits_moves_along():
    """On the device "meta", tensors have a shape and no values."""
    metric = LatencyAware(Pairs(), frame_offset=1)
    metric.update({"a": [torch.zeros(2)], "b": "text"}, torch.zeros(1), sequence="clip")
    metric.to("meta")
    assert metric.device == metric.metric.device == metric.labelled.device == torch.device("meta")
    metric.update({}, torch.zeros(1), sequence="clip")
    ((shown, _),) = metric.metric.got
    assert shown["a"][0].device == torch.device("meta")
    assert shown["b"] == "text"


@pytest.mark.parametrize("metric", [MeanAbsoluteError(), MetricCollection([MeanAbsoluteError()])])
def test_it_starts_on_the_device_of_the_metric(metric):
    late = LatencyAware(metric.to("meta"), frame_offset=1)
    assert late.device == late.shown.device == torch.device("meta")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    metric = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    metric.update(torch.tensor([1.0]), torch.tensor([1.0]), sequence="clip")
    metric.to("cuda")  # in the middle of a sequence
    metric.update(torch.tensor([3.0], device="cuda"), torch.tensor([3.0], device="cuda"), sequence="clip")
    assert metric.compute().item() == 2.0
    assert metric.compute().device.type == "cuda"
    assert LatencyAware(MeanAbsoluteError().to("cuda"), frame_offset=1).device.type == "cuda"


def test_r19_set_dtype_leaves_counts_and_predictions_alone():
    metric = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    metric.update(torch.tensor([70000]), torch.tensor([70000]), sequence="clip")  # not a float16
    assert metric.set_dtype(torch.float16) is metric
    assert metric.metric.sum_abs_error.dtype == torch.float16
    assert metric.labelled.dtype == metric.shown.dtype == torch.int64
    metric.half().float().double()
    metric.update(torch.tensor([0]), torch.tensor([70000]), sequence="clip")
    assert metric.compute() == 0


# ── what the wrapped metric answers ──


@pytest.mark.parametrize(
    ("metric", "higher"),
    [(MeanAbsoluteError(), False), (BinaryAccuracy(), True), (Pairs(), None), (MetricCollection([Pairs()]), None)],
)
def test_higher_is_better(metric, higher):
    assert LatencyAware(metric, frame_offset=1).higher_is_better is higher


def test_plot():
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    pyplot.switch_backend("Agg")
    metric = feed(LatencyAware(MeanAbsoluteError(), frame_offset=1))
    figure, axes = metric.plot()
    assert axes.lines[0].get_ydata().tolist() == [error(1)]
    _, again = metric.plot([torch.tensor(1.0), torch.tensor(2.0)], axes)
    assert again is axes
    pyplot.close(figure)


def test_plot_hands_on_all_options():
    class Plotted(BinaryAccuracy):
        def plot(self, *args, **kwargs):
            return args, kwargs

    assert LatencyAware(Plotted(), frame_offset=1).plot(1, labels="ab") == ((1,), {"labels": "ab"})


def test_repr():
    assert "frame_offset=2" in repr(LatencyAware(MeanAbsoluteError(), frame_offset=2))
    assert "by schedule" in repr(LatencyAware(MeanAbsoluteError(), schedule=Schedule.fixed(2, 0)))
    assert "MeanAbsoluteError()" in repr(LatencyAware(MeanAbsoluteError(), frame_offset=2))


def test_the_offset_is_read_only():
    metric = LatencyAware(MeanAbsoluteError(), frame_offset=2)
    with pytest.raises(AttributeError):
        metric.frame_offset = 3
