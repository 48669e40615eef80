"""FlameMetric: the counts of FlameMeter, to the integer, behind the interface of torchmetrics."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric import FlameError, FlameMeter, FlameWarning, Schedule
from flame_metric.core.counting import Counts
from flame_metric.errors import ConfigError, LabelError, MissingExtraError, ShapeError, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric
state_of = pytest.importorskip("flame_metric.torch.state").state_of

INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]
A, B = torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]])


def draw(num_classes=5, void=255, shape=(2, 6, 7), seed=0):
    generator = np.random.default_rng(seed)
    maps = generator.integers(0, num_classes, (2, *shape))
    if void is not None:
        maps[generator.random(maps.shape) < 0.2] = void
    return tuple(torch.from_numpy(labels) for labels in maps)


def counted_on_the_device(metric):
    """Let a metric on the CPU count as one on a GPU does."""
    metric._lies_here = lambda maps: True
    return metric


def preset(counts, num_classes=2):
    """A metric that holds counts already."""
    metric = FlameMetric(num_classes)
    meter = FlameMeter.from_counts(metric.config, {"": counts})
    metric.load_state_dict(state_of(meter, torch.device("cpu")))
    return metric


# ── by hand ──


def test_by_hand():
    metric = FlameMetric(2)
    metric.update(A, B)
    assert metric.result().total.tolist() == [[1, 1], [1, 2], [2, 1]]
    assert metric.compute().item() == pytest.approx(0.5)
    assert (metric.compute().shape, metric.compute().dtype) == ((), torch.float32)


def test_options_reach_the_signature():
    metric = FlameMetric(
        2, latency_ms=26, fps="50/3", ignore_index=255, class_names=["a", "b"], before_first="void", hardware="GTX"
    )
    assert metric.frame_offset == 1
    metric.update_pair(A, A)
    assert metric.result().signature == (
        "FLAME 1.000 | k 1 | 26.0 ms | 50/3 fps | 2 classes | ignore 255 | before first: void | coverage 1.00 | GTX | "
        "flame-metric 0.1.0"
    )
    assert metric.result().class_names == ("a", "b")
    assert "latency_ms=26.0" in repr(metric)
    assert "1 sequences" in repr(metric)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"latency_ms": 26}, ConfigError, "without `fps`"),
        ({"latency_ms": 26, "fps": 30, "frame_offset": 1}, ConfigError, "both given"),
        ({"device": "GTX 1080 Ti"}, ConfigError, r"use .to\(device\) for the state, `hardware` for the signature"),
        ({"frame_ofset": 1}, ValueError, "Unexpected keyword arguments: `frame_ofset`"),
    ],
)
def test_options_that_are_refused(options, error, match):
    with pytest.raises(error, match=match):
        FlameMetric(2, **options)


def test_constants_of_torchmetrics():
    metric = FlameMetric(2)
    assert (metric.higher_is_better, metric.is_differentiable, metric.full_state_update) == (True, False, False)
    assert (metric.plot_lower_bound, metric.plot_upper_bound) == (0.0, 1.0)


def test_nothing_counted_is_nan():
    metric = FlameMetric(2, ignore_index=255)
    metric.update(A, torch.full((1, 3), 255))
    with pytest.warns(FlameWarning, match="every pixel of every target is void"):
        assert metric.compute().isnan()
    assert metric(A, torch.full((1, 3), 255)).isnan()  # a batch alone is not a score: no warning


def test_compute_before_update_warns_and_is_nan():
    metric = FlameMetric(2)
    with pytest.warns() as caught:
        value = metric.compute()
    assert value.isnan()
    assert [warning.category for warning in caught] == [UserWarning, FlameWarning]
    assert "before the ``update`` method" in str(caught[0].message)
    assert "no pair was counted" in str(caught[1].message)


# ── what is accepted ──


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
@pytest.mark.parametrize(
    "form",
    [
        lambda scores: scores,
        lambda scores: scores.argmax(1),
        lambda scores: list(scores.argmax(1)),
        list,
        lambda scores: scores.half(),
        lambda scores: scores.requires_grad_(),
    ],
    ids=["scores", "labels", "list of labels", "list of scores", "half", "with a gradient"],
)
def test_forms_of_predictions(form, here):
    target = draw()[1]
    scores = torch.randint(-9, 9, (2, 5, 6, 7), generator=torch.Generator().manual_seed(0)).float()
    metric, meter = FlameMetric(5, ignore_index=255), FlameMeter(5, ignore_index=255)
    if here:
        counted_on_the_device(metric)
    preds = form(scores)
    metric.update(preds, list(target) if isinstance(preds, list) else target)
    meter.update(scores.argmax(1), target)
    assert metric.result() == meter.compute()


def test_one_map_without_a_batch_axis_and_arrays():
    metric, meter = FlameMetric(5, ignore_index=255), FlameMeter(5, ignore_index=255)
    pred, target = (labels[0] for labels in draw())
    metric.update(pred, target)
    metric.update(pred.numpy(), target.tolist())
    for _ in range(2):
        meter.update(pred, target)
    assert metric.result() == meter.compute()


def test_post_processed_maps_of_several_sizes():
    metric, meter = FlameMetric(5, ignore_index=255), FlameMeter(5, ignore_index=255)
    pairs = [draw(shape=shape) for shape in ((3, 4), (5, 6))]
    preds, targets = (list(side) for side in zip(*pairs, strict=True))
    metric.update(preds, targets, sequence="clip")
    meter.update(preds, targets, sequence="clip")
    assert metric.result() == meter.compute()


# ── laws: as FlameMeter, whatever the calls ──

SCHEDULE = Schedule.fixed(3, 2)
calls = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "update",
                "one",
                "rows",
                "forward",
                "end",
                "update_pair",
                "update_missing",
                "update_sequence",
                "by schedule",
            ]
        ),
        st.integers(0, 3),
        st.sampled_from(["", "a", "b", "c"]),
    ),
    max_size=8,
)


def call(scorer, kind, seed, sequence):
    """Make one call; return the type and the text of its error, if it is refused."""
    pred, target = draw(3, shape=(3, 2, 2), seed=seed)
    if seed == 3:
        target[1, 0, 0] = 7  # no class
    try:
        if kind == "forward" and not isinstance(scorer, FlameMeter):
            scorer(pred, target, sequence=sequence)
        elif kind in ("update", "forward"):
            scorer.update(pred, target, sequence=sequence)
        elif kind == "one":
            scorer.update(
                None if seed == 2 else pred[0], target[0] if seed else None, sequence=sequence, frame=3 * seed
            )
        elif kind == "rows":
            scorer.update(pred, target, sequence=["a", sequence, "b"])
        elif kind == "end":
            scorer.end(sequence)
        elif kind == "update_pair":
            scorer.update_pair(pred, target, sequence=sequence)
        elif kind == "update_missing":
            scorer.update_missing(target, sequence=sequence)
        else:
            schedule = SCHEDULE if kind == "by schedule" else None
            scorer.update_sequence(pred, target, sequence=sequence, schedule=schedule)
    except FlameError as error:
        return type(error), str(error)
    return None


def result_of(scorer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        return scorer.result() if isinstance(scorer, FlameMetric) else scorer.compute()


@given(calls, st.sampled_from(["skip", "void"]), st.integers(0, 2))
def test_law_every_call_is_that_of_a_meter(made, before_first, offset):
    options = {"frame_offset": offset, "ignore_index": 255, "before_first": before_first}
    metric, meter = FlameMetric(3, **options), FlameMeter(3, **options)
    for kind, seed, sequence in made:
        assert call(metric, kind, seed, sequence) == call(meter, kind, seed, sequence)
        assert result_of(metric) == result_of(meter)
    assert metric.to_meter().to_json() == meter.to_json()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["update", "one", "rows", "forward", "end", "update_pair", "update_missing"]),
            st.integers(0, 2),
            st.sampled_from(["", "a", "b"]),
        ),
        max_size=8,
    ),
    st.sampled_from(["skip", "void"]),
    st.integers(0, 2),
)
def test_law_counted_on_the_device_too(made, before_first, offset):
    options = {"frame_offset": offset, "ignore_index": 255, "before_first": before_first}
    metric, meter = counted_on_the_device(FlameMetric(3, **options)), FlameMeter(3, **options)
    for kind, seed, sequence in made:
        assert call(metric, kind, seed, sequence) == call(meter, kind, seed, sequence)
    assert metric.to_meter().to_json() == meter.to_json()


@given(st.permutations(range(6)), st.lists(st.integers(1, 5), max_size=3))
def test_r8_any_order_and_any_split_into_batches(order, cuts):
    pred, target = draw(shape=(6, 3, 4))
    whole, parts = FlameMetric(5, ignore_index=255), FlameMetric(5, ignore_index=255)
    whole.update(pred, target)
    for start, stop in pairwise([0, *sorted(set(cuts)), 6]):
        frames = list(order[start:stop])
        parts.update(pred[frames], target[frames])
    assert parts.result() == whole.result()


# ── the faults of other metrics ──


@pytest.mark.parametrize("value", [-1, 5, 200, 2**40])
def test_r1_labels_outside_the_classes_raise_at_once(value):
    metric = FlameMetric(5, ignore_index=255)
    pred, target = draw()
    metric.update(pred, target)
    before = metric.result()
    wrong = pred.clone()
    wrong[0, 0, :3] = value
    for collect in (metric.update, metric):
        with pytest.raises(LabelError, match=rf"`pred` holds label\(s\) \[{value}\] \(3 pixels\)"):
            collect(wrong, target)
        with pytest.raises(LabelError, match=rf"`target` holds label\(s\) \[{value}\] \(3 pixels\)"):
            collect(pred, wrong)
    with pytest.raises(LabelError, match=r"\(3 pixels\)"):
        metric.update_missing(wrong)
    assert metric.result() == before


@pytest.mark.parametrize("value", [-1, 5, 200, 2**40])
def test_r1_labels_outside_the_classes_raise_with_the_score(value):
    pred, target = draw()
    wrong = pred.clone()
    wrong[0, 0, :3] = value
    for name, maps in (("pred", (wrong, target)), ("target", (pred, wrong))):
        metric = counted_on_the_device(FlameMetric(5, ignore_index=255))
        metric.update(pred, target, sequence="right")
        metric.update(*maps, sequence="wrong")
        match = rf"`{name}` held labels .* at 3 pixels of sequence\(s\) 'wrong', expected 0..4 or ignore_index 255"
        for ask in (metric.compute, metric.result, metric.to_meter):
            with pytest.raises(LabelError, match=match) as raised:
                ask()
            assert raised.value.argument == name
        metric.reset()
        metric.update(pred, target)
        assert metric.compute() > 0


def test_r1_wrong_batch_is_not_added_by_forward():
    metric = counted_on_the_device(FlameMetric(2))
    metric(A, B)
    with pytest.raises(LabelError, match="`target` held labels"):
        metric(A, A + 1)
    assert metric.result().total.tolist() == [[1, 1], [1, 2], [2, 1]]


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("num_classes", [2, 16, 17, 19, 34, 150, 255, 256, 300])
def test_r2_dtypes_and_classes(num_classes, here):
    for dtype in INTEGERS:
        most = min(num_classes, np.iinfo(dtype).max + 1)
        pred, target = draw(most, None)
        metric = FlameMetric(num_classes)
        if here:
            counted_on_the_device(metric)
        metric.update(*(torch.from_numpy(labels.numpy().astype(dtype)) for labels in (pred, target)))
        assert np.array_equal(metric.result().total, oracle.counts(pred, target, num_classes)), dtype


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("held", [2**24, 2**31 - 1, 2**32, 2**53])
def test_r3_r4_large_counts_take_one_more_pixel(held, here):
    metric = preset(Counts(np.array([[held, 0], [held, 0], [held, 0]]), 1, 1, held, held))
    if here:
        counted_on_the_device(metric)
    metric.update(torch.tensor([[0]]), torch.tensor([[0]]))
    assert metric.result().total[:, 0].tolist() == [held + 1] * 3
    assert metric.result().tallies.tolist() == [[2, 2, held + 1, held + 1]]


def test_r5_absent_class_is_left_out():
    metric = FlameMetric(3)
    metric.update(A, B)
    assert np.isnan(metric.result().iou).tolist() == [False, False, True]
    assert metric.compute().item() == pytest.approx(0.5)
    assert "2 of 3 classes" in metric.result().signature


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
@pytest.mark.parametrize("void", [None, 0, 4, 5, 255, -1])
def test_r6_void_in_and_out_of_range(void, here):
    pred, target = draw(void=void)
    metric = FlameMetric(5, ignore_index=void)
    if here:
        counted_on_the_device(metric)
    metric.update(pred, target)
    assert np.array_equal(metric.result().total, oracle.counts(pred, target, 5, void))


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
def test_r7_void_prediction_is_a_miss_and_nobodys_false_positive(here):
    metric = FlameMetric(2, ignore_index=255)
    if here:
        counted_on_the_device(metric)
    metric.update(torch.tensor([[255, 255, 0]]), torch.tensor([[0, 255, 0]]))
    assert metric.result().total.tolist() == [[1, 0], [1, 0], [2, 0]]


def test_r9_sums_first_division_last():
    metric = FlameMetric(2)
    metric.update(torch.tensor([[0, 0, 0, 0]]), torch.tensor([[0, 0, 0, 1]]))  # IoU 3/4 and 0: mean 3/8
    metric.update(torch.tensor([[1, 1, 1, 1]]), torch.tensor([[1, 1, 1, 1]]))  # IoU 1
    assert metric.compute().item() == pytest.approx((3 / 4 + 4 / 5) / 2)
    assert metric.compute().item() != pytest.approx((3 / 8 + 1) / 2)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_r18_nan_scores_are_refused(dtype):
    scores = torch.zeros((1, 2, 2, 2), dtype=getattr(torch, dtype))
    scores[0, 1, 0, 0] = float("nan")
    target = torch.zeros((1, 2, 2), dtype=torch.long)
    with pytest.raises(LabelError, match="NaN scores at 1 pixels"):
        FlameMetric(2).update(scores, target)
    metric = counted_on_the_device(FlameMetric(2))
    metric.update(scores, target)
    with pytest.raises(LabelError, match=r"`pred` held NaN scores at 1 pixels of sequence\(s\) ''"):
        metric.compute()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_scores_of_infinity_for_two_classes_are_refused(dtype):
    scores = torch.full((1, 3, 2, 2), -torch.inf, dtype=getattr(torch, dtype))
    scores[0, 2, 0, 0] = torch.inf  # one is a score
    target = torch.zeros((1, 2, 2), dtype=torch.long)
    target[0, 0, 0] = 2
    right, wrong = counted_on_the_device(FlameMetric(3)), counted_on_the_device(FlameMetric(3))
    for metric in (right, FlameMetric(3)):
        metric.update(scores, target)
        assert metric.compute() == 1
    scores[0, :2, 1, 1] = torch.inf
    with pytest.raises(LabelError, match=r"\+inf for two or more classes at 1 pixels"):
        FlameMetric(3).update(scores, target)
    wrong.update(scores, target, sequence="clip")
    match = r"`pred` held scores of \+inf for two or more classes at 1 pixels of sequence\(s\) 'clip'"
    with pytest.raises(LabelError, match=match):
        wrong.compute()


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
def test_quarter_size_logits_are_refused_with_both_sizes(here):
    metric = FlameMetric(3)
    if here:
        counted_on_the_device(metric)
    match = r"frame 0: `pred` has shape \(4, 8\) and `target` \(16, 32\).* 1/4 of the target's size"
    with pytest.raises(ShapeError, match=match):
        metric.update(torch.zeros(1, 3, 4, 8), torch.zeros((1, 16, 32), dtype=torch.long))
    with pytest.raises(ShapeError, match=r"\(1, 3, 4, 8\) and `target` \(1, 16, 32\).* 1/4 of the target's size"):
        metric.update_pair(torch.zeros(1, 3, 4, 8), torch.zeros((1, 16, 32), dtype=torch.long))


def test_a_closed_sequence_takes_no_more():
    metric = FlameMetric(2)
    metric.update_sequence([A], [A], sequence="clip")
    for again in (metric.update, metric.forward):
        with pytest.raises(StateError, match="sequence 'clip' is closed"):
            again(A, A, sequence="clip")
    with pytest.raises(StateError, match="sequence 'clip' is closed"):
        metric.update_sequence([A], [A], sequence="clip")
    for again in (metric.update, metric.update_pair):
        with pytest.raises(ConfigError, match="`sequence` is 3"):
            again(A, A, sequence=3)
    with pytest.raises(ConfigError, match=r"`sequence` is \['clip'\]"):
        metric.update_missing(A, sequence=["clip"])


# ── forward ──


def test_forward_returns_the_batch_and_adds_it():
    metric, meter = FlameMetric(5, ignore_index=255), FlameMeter(5, ignore_index=255)
    for seed in range(3):
        pred, target = draw(seed=seed)
        meter.update(pred, target, sequence="clip")
        alone = FlameMeter(5, ignore_index=255)
        alone.update(pred, target)
        value = metric(pred, target, "clip")
        assert value.item() == pytest.approx(alone.compute().miou, abs=1e-7)
        assert metric._forward_cache is value
        assert metric.result() == meter.compute()
    assert metric.update_count == 3


def test_memory_does_not_grow_with_batches():
    metric = FlameMetric(19)
    sizes = []
    for seed in range(20):
        metric.update(*draw(19, None, seed=seed), sequence="one" if seed % 2 else "other")
        sizes.append(sum(metric.metric_state[name].numel() for name in ("counts", "tallies", "faults")))
    assert len(set(sizes[1:])) == 1


# ── no value is read while counting ──


@pytest.mark.parametrize("k", [0, 1, 2])
def test_update_reads_no_value_back(k):
    metric = counted_on_the_device(FlameMetric(19, ignore_index=255, frame_offset=k).to("meta"))
    target = torch.zeros((2, 8, 9), dtype=torch.long, device="meta")
    for sequence in ("a", "b", "a"):
        metric.update(target, target, sequence=sequence)
        metric.update(torch.zeros((2, 19, 8, 9), device="meta"), target, sequence=sequence)
        metric.update(list(target), [target[0], None], sequence=[sequence, "a"])
        metric.update_pair(target, target, sequence="pairs")
        metric.update_pair(torch.zeros((2, 19, 8, 9), device="meta"), target, sequence="pairs")
        metric.update_missing(target, sequence="pairs")
    assert (metric.counts.device.type, metric.counts.shape) == ("meta", (3, 3, 19))
    waiting = [pred for clip in metric._clips.running.values() for pred in clip.line.waiting.values()]
    assert {(pred.device.type, pred.dtype, pred.shape) for pred in waiting} == (
        {("meta", torch.uint8, (8, 9))} if k else set()
    )
    assert metric.sequence_index.device.type == "cpu"


# ── plot ──


def test_plot():
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    pyplot.switch_backend("agg")
    metric = FlameMetric(2)
    values = [metric(A, B), metric(B, B)]
    for given_values in ((), (values,)):
        figure, axes = metric.plot(*given_values)
        assert (type(figure).__name__, axes.get_ylim()[0] <= 0.5 <= axes.get_ylim()[1]) == ("Figure", True)
        pyplot.close(figure)


def test_plot_without_matplotlib_names_the_extra(monkeypatch):
    def no_plot(*_):
        raise ModuleNotFoundError("Plot function expects `matplotlib` to be installed.")

    metric = FlameMetric(2)
    monkeypatch.setattr(metric, "_plot", no_plot)
    with pytest.raises(MissingExtraError, match=r"plot needs matplotlib: pip install 'flame-metric\[plot\]'"):
        metric.plot(torch.tensor(0.5))
