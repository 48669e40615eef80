"""FlameMetric and LatencyAware inside modules: saved with them, scripted, compiled, and inside other wrappers."""

import copy
import warnings

import numpy as np
import pytest

from flame_metric import ConfigError, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric
LatencyAware = pytest.importorskip("flame_metric.torch.aware").LatencyAware

from torchmetrics.clustering import DunnIndex  # noqa: E402 - after the skip

A, B = torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]])


class Network(torch.nn.Module):
    """A layer with metrics beside it."""

    def __init__(self, **metrics):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 2, 1)
        for name, metric in metrics.items():
            setattr(self, name, metric)

    def forward(self, frames):
        return self.layer(frames)


class Counting(Network):
    """A network that counts inside its forward."""

    def forward(self, frames, labels):
        scores = self.layer(frames)
        self.flame.update(scores, labels)
        return scores


def used(**options):
    metric = FlameMetric(2, **options)
    metric.update_pair(A, B)
    return metric


# ── state_dict ──


def test_states_are_saved_only_where_that_is_asked_for():
    network = Network(flame=used(), late=LatencyAware(torchmetrics.MeanAbsoluteError(), frame_offset=1))
    assert set(network.state_dict()) == {"layer.weight", "layer.bias"}
    Network().load_state_dict(network.state_dict())  # of a network without metrics
    network.load_state_dict(Network().state_dict())
    assert network.flame.result().num_pairs == 1
    network.flame.persistent(True)
    assert len(network.state_dict()) == 2 + len(network.flame.metric_state)


def saved(metric):
    metric.persistent(True)
    return Network(flame=metric).state_dict()


@pytest.mark.parametrize("count", [FlameMetric(2, frame_offset=1), used(frame_offset=1)], ids=["empty", "used"])
@pytest.mark.parametrize("options", [{}, {"frame_offset": 3}, {"latency_ms": 76, "fps": 15}, {"ignore_index": 255}])
def test_a_trained_network_is_loaded_to_be_scored_otherwise(count, options):
    """An empty state of another latency loads into any metric; what this one had counted is gone, as with any state."""
    count = copy.deepcopy(count)
    count.reset()
    network = Network(flame=used(**options))
    network.load_state_dict(saved(count))
    assert network.flame.config == FlameMetric(2, **options).config
    assert not network.flame.counts.numel()
    network.flame.update_pair(A, B)
    network.flame.persistent(True)
    again = Network(flame=FlameMetric(2, **options))
    again.load_state_dict(network.state_dict())  # of this configuration, with counts
    assert again.flame.result() == network.flame.result()
    assert again.flame.result().num_pairs == 1


def test_an_empty_state_of_other_classes_loads_too():
    network = Network(flame=FlameMetric(7))
    network.load_state_dict(saved(FlameMetric(3)))
    assert network.flame.config.num_classes == 7


def test_counts_of_another_latency_are_refused_with_the_remedy():
    network = Network(flame=FlameMetric(2, latency_ms=76, fps=15))
    state = saved(used(frame_offset=1))
    match = r"another configuration than this metric: .*; call reset\(\) before saving, or leave out .* with 'flame.'"
    with pytest.raises(StateError, match=match):
        network.load_state_dict(state)
    network.load_state_dict({name: value for name, value in state.items() if not name.startswith("flame.")})
    with pytest.raises(StateError, match=r"call reset\(\) before saving$"):
        FlameMetric(2).load_state_dict(used(frame_offset=1).state_dict() or used_state())


def used_state():
    metric = used(frame_offset=1)
    metric.persistent(True)
    return metric.state_dict()


def test_a_wrapper_without_counts_loads_into_one_of_another_offset():
    def wrapped(k):
        metric = LatencyAware(torchmetrics.MeanAbsoluteError(), frame_offset=k)
        metric.persistent(True)
        return metric

    one = wrapped(1)
    other = wrapped(2)
    other.load_state_dict(one.state_dict())
    assert (other.frame_offset, int(other.offset)) == (2, 2)
    for value in (torch.tensor([1.0]), torch.tensor([2.0])):
        one.update(value, value, sequence="clip")
    with pytest.raises(StateError, match=r"offsets \(1, 2\) cannot be combined; call reset\(\) before saving"):
        other.load_state_dict(one.state_dict())


def test_states_with_three_kinds_of_faults_are_read():
    """As earlier releases wrote them."""
    state = used_state()
    state["faults"] = state["faults"][:, :3]
    metric = FlameMetric(2, frame_offset=1)
    metric.load_state_dict(state)
    assert metric.faults.tolist() == [[0, 0, 0, 0]]
    assert metric.result().num_pairs == 1


# ── programs ──


@pytest.mark.parametrize(
    "metric",
    [
        FlameMetric(2),
        used(latency_ms=26, fps=30),
        LatencyAware(torchmetrics.MeanAbsoluteError(), frame_offset=1),
        torchmetrics.MetricCollection({"now": FlameMetric(2), "late": FlameMetric(2, frame_offset=1)}),
    ],
    ids=["metric", "used metric", "wrapper", "collection"],
)
@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This property will be removed:DeprecationWarning")  # of torchmetrics
def test_a_module_that_holds_a_metric_is_scripted(metric):
    network = Network(flame=copy.deepcopy(metric))
    frames = torch.ones(1, 1, 2, 3)
    assert torch.equal(torch.jit.script(network)(frames), network(frames))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # that PyTorch reads itself
@pytest.mark.parametrize("whole", [False, True], ids=["update", "forward"])
def test_a_compiled_step_counts(whole):
    network, plain = Counting(flame=FlameMetric(2, ignore_index=255)), FlameMetric(2, ignore_index=255)
    step = torch.compile(network, backend="eager")
    collect = plain
    if whole:
        network.forward = lambda frames, labels: network.flame(network.layer(frames), labels)
    for seed in range(12):  # more than it is compiled anew, were the metric part of the graph
        generator = torch.Generator().manual_seed(seed)
        frames = torch.rand(2, 1, 4, 5, generator=generator)
        labels = torch.randint(0, 2, (2, 4, 5), generator=generator)
        step(frames, labels)
        collect.update(network.layer(frames), labels)
    assert network.flame.result() == plain.result()
    assert network.flame.update_count == 12


def test_a_compiled_step_counts_late():
    late = LatencyAware(torchmetrics.MeanAbsoluteError(), frame_offset=2)

    @torch.compile(backend="eager")
    def step(value):
        doubled = 2 * value
        late.update(doubled, value, sequence="clip")
        return doubled

    for value in range(12):
        step(torch.tensor([float(value)]))
    assert (int(late.labelled), int(late.shown)) == (12, 10)
    assert late.compute() == np.mean([abs(2 * (t - 2) - t) for t in range(2, 12)])


# ── by class ──


@pytest.mark.parametrize("average", ["none", None])
def test_the_iou_of_each_class(average):
    metric = FlameMetric(3, average=average)
    for value in (metric(A, B), metric.compute()):
        assert (value.shape, value.dtype) == ((3,), torch.float32)
        assert value[:2].tolist() == metric.result().iou[:2].tolist() == [0.5, 0.5]
        assert value[2].isnan()
    assert FlameMetric(3)(A, B) == 0.5


def test_classwise_wrapper_names_classes():
    metric = torchmetrics.wrappers.ClasswiseWrapper(FlameMetric(3, average=None), labels=["road", "car", "sky"])
    metric.update(A, B, sequence="clip")
    found = metric.compute()
    assert list(found) == ["flamemetric_road", "flamemetric_car", "flamemetric_sky"]
    assert (found["flamemetric_road"], found["flamemetric_sky"].isnan()) == (0.5, True)
    collection = torchmetrics.MetricCollection({"mean": FlameMetric(3), "each": metric.clone()})
    collection.update(A, B)
    assert set(collection.compute()) == {"mean", *found}


@pytest.mark.parametrize("average", ["micro", "weighted", 1, "mean"])
def test_other_averages_are_refused(average):
    with pytest.raises(ConfigError, match=r'expected "macro" .* or "none"'):
        FlameMetric(3, average=average)


# ── what LatencyAware can wrap ──

ONE_INPUT = [
    torchmetrics.SumMetric,
    torchmetrics.MeanMetric,
    torchmetrics.MaxMetric,
    torchmetrics.CatMetric,
    torchmetrics.image.TotalVariation,
    torchmetrics.nominal.FleissKappa,
    lambda: torchmetrics.RunningMean(3),
    lambda: torchmetrics.wrappers.MinMaxMetric(torchmetrics.SumMetric()),
    lambda: torchmetrics.MeanSquaredError() + torchmetrics.SumMetric(),
    lambda: torchmetrics.MetricCollection([torchmetrics.MeanSquaredError(), torchmetrics.MeanMetric()]),
]


@pytest.mark.parametrize("make", ONE_INPUT)
def test_metrics_of_one_input_compare_nothing(make):
    with pytest.raises(
        ConfigError, match=r"whose update takes \(.*\), expected one that compares: update\(preds, target"
    ):
        LatencyAware(make(), frame_offset=1)


class Flagged(torchmetrics.Metric):
    """Like the Inception distances: one input and a flag that says what it is."""

    def update(self, imgs, real: bool):
        """Take images."""

    def compute(self):
        """Compute nothing."""


class Optional(torchmetrics.Metric):
    """A target that may be left out."""

    def update(self, preds, target=None, weight=None):
        """Take a pair."""

    def compute(self):
        """Compute nothing."""


def test_a_flag_is_not_a_target_and_an_optional_target_is_one():
    with pytest.raises(ConfigError, match="holds Flagged"):
        LatencyAware(Flagged(), frame_offset=1)
    LatencyAware(Optional(), frame_offset=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torchmetrics.wrappers.Running(torchmetrics.MeanSquaredError(), window=2),
        lambda: torchmetrics.wrappers.MinMaxMetric(torchmetrics.MeanSquaredError()),
        lambda: torchmetrics.MeanSquaredError() + torchmetrics.MeanAbsoluteError(),
        lambda: torchmetrics.MeanSquaredError() * 2,
        DunnIndex,
        lambda: torchmetrics.JaccardIndex(task="multiclass", num_classes=3),
        lambda: torchmetrics.wrappers.ClasswiseWrapper(torchmetrics.classification.MulticlassAccuracy(3, average=None)),
        lambda: torchmetrics.wrappers.BootStrapper(torchmetrics.MeanSquaredError()),
    ],
)
def test_metrics_of_pairs_are_wrapped_as_before(make):
    LatencyAware(make(), frame_offset=1)


# ── nothing yet is NaN ──


@pytest.mark.parametrize(
    ("metric", "form"),
    [
        (torchmetrics.MeanSquaredError(), torch.Size([])),
        (torchmetrics.classification.MulticlassAccuracy(3, average=None), torch.Size([3])),
        (
            torchmetrics.MetricCollection(
                {"error": torchmetrics.MeanSquaredError(), "log": torchmetrics.MeanAbsoluteError()}, prefix="val_"
            ),
            {"val_error": torch.Size([]), "val_log": torch.Size([])},
        ),
        (torchmetrics.CosineSimilarity(), torch.Size([])),  # cannot be computed of nothing
        (
            torchmetrics.wrappers.ClasswiseWrapper(torchmetrics.classification.MulticlassAccuracy(2, average=None)),
            {"multiclassaccuracy_0": torch.Size([]), "multiclassaccuracy_1": torch.Size([])},
        ),
    ],
    ids=["scalar", "vector", "collection", "list", "classes"],
)
@pytest.mark.parametrize("labelled", [True, False])
def test_a_value_that_does_not_exist_yet_is_nan(metric, form, labelled):
    late = LatencyAware(metric, frame_offset=1)
    value = torch.tensor([[1, 0]]) if isinstance(form, dict) or len(form) else torch.tensor([[1.0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2 - labelled):
            found = late(value, value if labelled else None, sequence="clip")
    if isinstance(form, dict):
        assert {name: one.shape for name, one in found.items()} == form
        assert all(one.isnan() for one in found.values())
    else:
        assert found.shape == form
        assert found.isnan().all()
    assert int(late.labelled) == labelled


def test_a_count_of_nothing_is_zero():
    """Integers cannot be NaN, and need not be."""
    late = LatencyAware(torchmetrics.classification.MulticlassConfusionMatrix(2), frame_offset=1)
    value = late(torch.tensor([[1]]), torch.tensor([[1]]), sequence="clip")
    assert (value.dtype, value.tolist()) == (torch.int64, [[0, 0], [0, 0]])
    assert late.compute().tolist() == value.tolist()
