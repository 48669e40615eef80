"""Time steps: FlameMetric and LatencyAware, given frame after frame, count what whole clips count.

The definition is that of FlameMeter.update; these are its sentences for tensors, and what torchmetrics adds.
"""

import copy
import io
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import ConfigError, FlameMeter, FlameWarning, LabelError, Schedule, ShapeError, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric
LatencyAware = pytest.importorskip("flame_metric.torch.aware").LatencyAware

from torchmetrics import MeanAbsoluteError, MetricCollection  # noqa: E402 - after the skip
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix  # noqa: E402
from torchmetrics.wrappers import BootStrapper  # noqa: E402

CLASSES, VOID = 3, 255
OPTIONS = {"num_classes": CLASSES, "ignore_index": VOID}
MAP = torch.tensor([[0, 1], [2, 0]])


def clip(length, seed, size=(3, 4)):
    """Predictions and ground truth of a clip, some frames unlabelled."""
    generator = np.random.default_rng(seed)
    preds, targets = generator.integers(0, CLASSES, (2, length, *size))
    targets[generator.random(targets.shape) < 0.2] = VOID
    unlabelled = generator.random(length) < 0.2
    preds, targets = torch.from_numpy(preds), torch.from_numpy(targets)
    return list(preds), [None if without else target for target, without in zip(targets, unlabelled, strict=True)]


def counts_of(result):
    return {name: (score.counts.tolist(), score.tallies.tolist()) for name, score in result.by_sequence().items()}


def by_whole_clips(clips, k, **options):
    meter = FlameMeter(**OPTIONS, frame_offset=k, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)  # short clips yield no pair
        for name, (preds, targets) in clips.items():
            meter.update_sequence(preds, targets, sequence=name)
        return counts_of(meter.compute())


def result_of(metric):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        return metric.result()


# ── equal to whole clips, to the integer ──


def by_pickle(metric):
    return pickle.loads(pickle.dumps(metric))


def by_file(metric):
    """Through a state_dict in a file, as a checkpoint does."""
    metric.persistent(True)
    file = io.BytesIO()
    torch.save({"net.metric." + name: value for name, value in metric.state_dict().items()}, file)
    file.seek(0)
    saved = {name.removeprefix("net.metric."): value for name, value in torch.load(file, weights_only=True).items()}
    fresh = FlameMetric(**OPTIONS, frame_offset=metric.frame_offset)
    fresh.load_state_dict(saved)
    return fresh


def one_rank(tensor, group=None):
    """A transport between ranks of which there is one."""
    return [tensor]


def by_sync(metric):
    with metric.sync_context(one_rank, distributed_available=lambda: True):
        assert metric._is_synced
        result_of(metric)
    return metric


BETWEEN = [by_pickle, by_file, by_sync, copy.deepcopy, copy.copy, FlameMetric.clone, lambda metric: metric]


@pytest.mark.parametrize("here", [False, True], ids=["host", "device"])
@given(data=st.data(), k=st.integers(0, 4), lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_law_any_interleaving_batches_and_copies(here, data, k, lengths):
    clips = {f"clip {number}": clip(length, seed=number) for number, length in enumerate(lengths)}
    left = {name: list(zip(*both, strict=True)) for name, both in clips.items()}
    numbers = dict.fromkeys(clips, 0)
    metric = FlameMetric(**OPTIONS, frame_offset=k, max_sequences=len(clips))
    while any(left.values()):
        if here:
            metric._lies_here = lambda maps: True
        names = data.draw(st.lists(st.sampled_from([name for name in left if left[name]]), min_size=1, max_size=3))
        rows = [(name, *left[name].pop(0)) for name in names if left[name]]
        ids, preds, targets = (list(side) for side in zip(*rows, strict=True))
        frames = []
        for name in ids:
            frames.append(numbers[name])
            numbers[name] += 1
        collect = metric if data.draw(st.booleans()) else metric.update
        sequence = ids[0] if len(set(ids)) == 1 and data.draw(st.booleans()) else ids
        collect(preds, targets, sequence=sequence, frame=torch.tensor(frames) if data.draw(st.booleans()) else None)
        metric.__dict__.pop("_lies_here", None)
        metric = data.draw(st.sampled_from(BETWEEN))(metric)
    expected = by_whole_clips(clips, k)
    found = counts_of(result_of(metric))
    assert found == {name: expected[name] for name in found}
    assert all(not any(counts[1][0]) for name, counts in expected.items() if name not in found)  # without any label


@pytest.mark.parametrize("k", [0, 1, 3])
@given(data=st.data(), lengths=st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_law_latency_aware_of_rows(k, data, lengths):
    """A list of ids gives one step a row; an id may be there several times."""
    clips = {f"clip {number}": clip(length, seed=number) for number, length in enumerate(lengths)}
    rows = [name for name, (preds, _) in clips.items() for _ in preds]
    rows = data.draw(st.permutations(rows))
    left = {name: list(zip(*both, strict=True)) for name, both in clips.items()}
    one, many = (LatencyAware(MulticlassConfusionMatrix(CLASSES, ignore_index=VOID), frame_offset=k) for _ in range(2))
    while rows:
        size = data.draw(st.integers(1, 5))
        ids, rows = rows[:size], rows[size:]
        steps = [left[name].pop(0) for name in ids]
        many.update([pred for pred, _ in steps], [target for _, target in steps], sequence=ids)
        for name, (pred, target) in zip(ids, steps, strict=True):
            one.update(pred[None], None if target is None else target[None], sequence=name)
        many = data.draw(st.sampled_from([by_pickle, copy.deepcopy, lambda metric: metric, reload]))(many)
    assert torch.equal(one.metric.confmat, many.metric.confmat)
    assert (one.labelled, one.shown) == (many.labelled, many.shown)
    counted = [counts for counts, _ in by_whole_clips(clips, k).values()]
    assert int(many.metric.confmat.sum()) == np.sum(counted, axis=(0, 1))[2].sum()


def reload(metric):
    metric.persistent(True)
    fresh = LatencyAware(MulticlassConfusionMatrix(CLASSES, ignore_index=VOID), frame_offset=metric.frame_offset)
    fresh.load_state_dict(metric.state_dict())
    return fresh


def test_the_commonest_loop_scores_with_delay():
    """A collection hands all of its metrics the same frame."""
    square = torch.zeros(6, 4, 8, dtype=torch.long)
    for t in range(6):
        square[t, 1:3, t : t + 2] = 1
    metrics = MetricCollection({f"k{k}": FlameMetric(2, frame_offset=k) for k in (0, 1, 2, 4)})
    for method in ("update", "forward"):
        metrics.reset()
        for t, labels in enumerate(square):
            getattr(metrics, method)(labels, labels, sequence="clip", frame=t)
        found = {name: metric.result() for name, metric in metrics.items()}
        assert {name: result.num_pairs for name, result in found.items()} == {"k0": 6, "k1": 5, "k2": 4, "k4": 2}
        for k in (0, 1, 2, 4):
            meter = FlameMeter(2, frame_offset=k)
            meter.update_sequence(square, square, sequence="clip")
            assert found[f"k{k}"].counts.tolist() == meter.compute().counts.tolist()
        assert found["k0"].miou > found["k1"].miou > found["k2"].miou
        assert found["k0"].signature.startswith("mIoU 1.000 | k 0")
        assert found["k1"].signature.startswith("FLAME 0.")


# ── sentence by sentence ──


def late(k=1, **options):
    return LatencyAware(MulticlassConfusionMatrix(CLASSES, ignore_index=VOID), frame_offset=k, **options)


def shown(metric):
    return int(metric.shown) if isinstance(metric, LatencyAware) else pairs(metric)


MAKE = [lambda **options: FlameMetric(**OPTIONS, frame_offset=1, **options), late]


def stepped(k=1, frames=3, **options):
    metric = FlameMetric(**OPTIONS, frame_offset=k, **options)
    for _ in range(frames):
        metric.update(MAP, MAP, "clip")
    return metric


def pairs(metric):
    return sum(counts.pairs for counts in metric.to_meter().sequences.values())


@pytest.mark.parametrize("collect", ["update", "forward"])
def test_k_above_0_without_an_id_is_refused_with_both_remedies(collect):
    for metric in (FlameMetric(**OPTIONS, frame_offset=2), LatencyAware(MeanAbsoluteError(), frame_offset=2)):
        for sequence in ({}, {"sequence": ""}, {"sequence": None}):
            with pytest.raises(ConfigError, match=r"pass sequence=\.\., or call update_pair"):
                getattr(metric, collect)(MAP, MAP, **sequence)
    late = LatencyAware(MeanAbsoluteError(), schedule=Schedule.fixed(3, 0))
    with pytest.raises(ConfigError, match="`sequence` is missing, expected the id of the clip, as its schedule"):
        late.update(MAP, MAP)
    FlameMetric(**OPTIONS).update(MAP, MAP)  # k = 0: the usual mean IoU
    LatencyAware(MeanAbsoluteError(), frame_offset=0).update(MAP, MAP)


def test_two_clips_of_ten_are_sixteen_pairs():
    for scorer in (FlameMetric(**OPTIONS, frame_offset=2), LatencyAware(MeanAbsoluteError(), frame_offset=2)):
        for name in ("one", "other"):
            for _ in range(10):
                scorer.update(MAP[None], MAP[None], sequence=name)
        assert (pairs(scorer) if isinstance(scorer, FlameMetric) else int(scorer.shown)) == 16


def test_rows_with_one_id_are_frames_of_the_clip_or_refused():
    frames = torch.arange(8.0).reshape(8, 1)
    late = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    for preds, target in ((frames, None), (None, frames), (list(frames), None), ({"a": frames}, None)):
        with pytest.raises(
            ShapeError, match=r"8 rows for one id.*=\['clip'\] \* 8 for 8 frames in order, or \w+\[None\]"
        ):
            late.update(preds, target, sequence="clip")
    late.update(frames, frames, sequence=["clip"] * 8)
    assert (late.compute(), int(late.shown)) == (1, 7)
    late.update(frames[None], frames[None], sequence="a frame of eight")
    assert int(late.labelled) == 9
    LatencyAware(MeanAbsoluteError(), frame_offset=0).update(frames, frames, sequence="clip")  # a pair, whatever it is
    metric = FlameMetric(**OPTIONS, frame_offset=1)
    metric.update(MAP.expand(8, 2, 2), MAP.expand(8, 2, 2), sequence="clip")
    assert metric.result().tallies[0, :2].tolist() == [7, 8]


@pytest.mark.parametrize("make", MAKE)
def test_frame_numbers(make):
    metric = make()
    for frame in (3, torch.tensor(4), np.int64(5), torch.tensor([6])):
        metric.update(MAP[None], MAP[None], sequence="clip", frame=frame)
    assert shown(metric) == 3
    for frame in (6, 5, 0):
        with pytest.raises(StateError, match=f"frame {frame} of sequence 'clip' came after frame 6, expected rising"):
            metric.update(MAP[None], MAP[None], sequence="clip", frame=frame)
    with pytest.raises(StateError, match="prediction of frame 8 of sequence 'clip' is None or did not come"):
        metric.update(MAP[None], MAP[None], sequence="clip", frame=9)
    metric.update(MAP[None], None, sequence="clip", frame=9)  # unlabelled
    metric.update(None, MAP[None], sequence="clip", frame=10)
    assert shown(metric) == 4
    for wrong in (1.5, -1, "3", [1, 2], torch.tensor([0.5])):
        with pytest.raises(ConfigError, match="`frame` holds"):
            metric.update(MAP[None], MAP[None], sequence="clip", frame=wrong)
    with pytest.raises(ConfigError, match="`frame` is given without `sequence`"):
        FlameMetric(**OPTIONS).update(MAP, MAP, frame=1)


def test_the_signature_says_that_frames_were_counted_by_calls():
    assert "| by order of calls |" in stepped().result().signature
    numbered = FlameMetric(**OPTIONS, frame_offset=1)
    for frame in range(3):
        numbered.update(MAP, MAP, "clip", frame)
    assert "by order" not in numbered.result().signature
    assert "by order" not in stepped(k=0).result().signature


@pytest.mark.parametrize(
    ("preds", "target", "sequence", "frame", "error"),
    [
        (torch.stack([MAP, MAP + 9]), torch.stack([MAP, MAP]), ["clip", "other"], None, LabelError),
        (torch.stack([MAP, MAP]), torch.stack([MAP, MAP + 9]), ["other", "clip"], None, LabelError),
        (torch.stack([MAP, MAP]), torch.stack([MAP, MAP]), ["clip", "given up"], None, StateError),
        (torch.stack([MAP, MAP]), torch.stack([MAP, MAP]), ["clip", "closed"], None, StateError),
        (torch.stack([MAP, MAP]), torch.stack([MAP, MAP]), ["clip", "paired"], None, StateError),
        (torch.stack([MAP, MAP]), torch.stack([MAP, MAP]), ["clip", 3], None, ConfigError),
        (torch.stack([MAP, MAP]), torch.stack([MAP, MAP]), ["clip"], None, ShapeError),
        (torch.stack([MAP, MAP]), torch.stack([MAP, MAP]), "clip", [9, 8], StateError),
        (torch.stack([MAP, MAP]), torch.stack([MAP, MAP]), "clip", [9], ConfigError),
        ([MAP, None], [MAP, MAP], ["other", "clip"], [0, 4], StateError),
        (torch.stack([MAP, MAP]), [MAP, MAP[:1]], ["other", "clip"], None, ShapeError),
        (torch.stack([MAP, MAP])[..., None, None], None, "clip", None, ShapeError),
    ],
)
@pytest.mark.parametrize("collect", ["update", "forward"])
def test_if_an_argument_is_wrong_nothing_has_happened(collect, preds, target, sequence, *, frame, error):
    metric = FlameMetric(**OPTIONS, frame_offset=1, max_sequences=1)
    metric.update(MAP, MAP, "given up")
    metric.update(MAP, MAP, "clip")
    metric.update_sequence([MAP], [None], sequence="closed")
    metric.update_pair(MAP, MAP, "paired")
    before = metric.to_meter().to_json()
    with pytest.raises(error):
        getattr(metric, collect)(preds, target, sequence, frame)
    assert metric.to_meter().to_json() == before
    metric.update(MAP, MAP, "clip")
    assert metric.to_meter().sequences["clip"].pairs == 1


def test_a_late_map_of_another_size_names_both_frames():
    for here in (False, True):
        metric = stepped(k=2, frames=2)
        if here:
            metric = FlameMetric(**OPTIONS, frame_offset=2)
            metric._lies_here = lambda maps: True
            for _ in range(2):
                metric.update(MAP, MAP, "clip")
        with pytest.raises(ShapeError, match="frame 2 of sequence 'clip': prediction of frame 0: `pred` has shape"):
            metric.update(MAP, MAP[:1], "clip")
        metric.update(MAP[:1], MAP[:1], "a clip of another size")


def test_the_last_predictions_are_never_scored_and_first_labels_follow_before_first():
    for before_first, tallies in (("skip", [1, 3, 4, 4]), ("void", [1, 3, 12, 12])):
        result = stepped(k=2, frames=3, before_first=before_first).result()
        assert result.tallies[0].tolist() == tallies


def test_compute_in_mid_clip_and_time_goes_on():
    metric = stepped(k=1, frames=2)
    assert metric.compute() == 1
    metric.update(MAP, MAP, "clip")
    assert (metric.compute(), pairs(metric)) == (1, 2)


def test_reset_forgets_what_waits():
    metric = stepped(k=1, frames=2)
    metric.reset()
    metric.update(MAP, MAP, "clip", frame=0)
    assert pairs(metric) == 0
    metric.update(MAP, MAP, "clip", frame=1)
    assert pairs(metric) == 1


def test_an_ended_id_restarts_and_its_counts_add():
    metric = stepped(k=1, frames=3)
    metric.end("clip")
    metric.end("clip")
    metric.end("never seen")
    for frame in range(3):
        metric.update(MAP, MAP, "clip", frame)
    assert pairs(metric) == 4


@pytest.mark.parametrize("make", MAKE)
def test_the_idlest_clip_is_given_up(make):
    metric = make(max_sequences=2)
    for name in "abac":
        metric.update(MAP[None], MAP[None], sequence=name)
    with pytest.raises(StateError, match=r"sequence 'b' was given up.* raise `max_sequences`"):
        metric.update(MAP[None], MAP[None], sequence="b")
    metric.update(MAP[None], MAP[None], sequence="c")
    metric.end("b")
    metric.update(MAP[None], MAP[None], sequence="b")
    assert shown(metric) == 2
    with pytest.raises(ConfigError, match="`max_sequences` is 0, expected a whole number >= 1"):
        make(max_sequences=0)


def test_kinds_of_ids():
    metric = stepped()
    with pytest.raises(StateError, match="'clip' is stepped by `update`"):
        metric.update_pair(MAP, MAP, "clip")
    with pytest.raises(StateError, match="'clip' is stepped by `update`"):
        metric.update_missing(MAP, sequence="clip")
    with pytest.raises(StateError, match="'clip'"):
        metric.update_sequence([MAP], [MAP], sequence="clip")
    metric.update_pair(MAP, MAP, "pairs")
    with pytest.raises(StateError, match="'pairs' holds pairs that were made by the caller"):
        metric.update(MAP, MAP, "pairs")
    with pytest.raises(StateError, match="clips of the other kind"):
        metric.update_sequence([MAP], [MAP], sequence="scheduled", schedule=Schedule.fixed(1, 0))
    static = stepped(k=0, frames=2)
    static.update_pair(MAP, MAP, "clip")  # k = 0: they add
    static.update(MAP, MAP, "clip")
    assert pairs(static) == 4
    scheduled = FlameMetric(**OPTIONS, frame_offset=1)
    scheduled.update_sequence([MAP], [MAP], sequence="a", schedule=Schedule.fixed(1, 0))
    with pytest.raises(StateError, match="clips of the other kind"):
        scheduled.update(MAP, MAP, "clip")


def test_pairs_in_latency_aware_count_as_labelled_and_shown():
    metric = late(k=2)
    metric.update_pair(MAP[None], MAP[None])
    metric.update_pair(MAP.expand(3, 2, 2), MAP.expand(3, 2, 2), sequence=["x", "y", "x"])
    assert (int(metric.labelled), int(metric.shown), int(metric.metric.confmat.sum())) == (4, 4, 16)
    with pytest.raises(StateError, match="'x' holds pairs that were made by the caller"):
        metric.update(MAP[None], MAP[None], sequence="x")
    metric.update(MAP[None], MAP[None], sequence="clip")
    with pytest.raises(StateError, match="'clip' is stepped by `update`"):
        metric.update_pair(MAP[None], MAP[None], sequence="clip")
    metric.reset()
    metric.update(MAP[None], MAP[None], sequence="x")
    both = late(k=0)
    both.update(MAP[None], MAP[None], sequence="x")
    both.update_pair(MAP[None], MAP[None], sequence="x")
    assert int(both.shown) == 2


def test_forward_counts_the_pairs_of_this_call():
    metric = FlameMetric(**OPTIONS, frame_offset=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = metric(MAP, MAP, "clip")
        nothing = metric(MAP, None, "clip")
    assert (first.isnan(), nothing.isnan()) == (True, True)
    assert metric(MAP, (MAP + 1) % 3, "clip") == 0
    assert metric(MAP, MAP, "clip") == 1
    assert pairs(metric) == 2


@pytest.mark.parametrize("k", [1, 4])
def test_clips_that_have_only_begun_are_nan_without_a_warning(k):
    """As in the sanity check of Lightning, which ends after two batches."""
    metric, wrapped = stepped(k=k, frames=1), late(k=k)
    wrapped.update(MAP[None], MAP[None], sequence="clip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric.compute().isnan()
        wrapped.compute()
    metric.end("clip")
    wrapped.end("clip")
    with pytest.warns(FlameWarning, match="no pair was counted"):
        metric.compute()
    with pytest.warns(FlameWarning, match="no prediction is on screen at any"):
        wrapped.compute()


# ── state ──


def test_merging_clips_that_run_is_refused():
    one, other = stepped(), stepped()
    before = one.to_meter().to_json()
    with pytest.raises(StateError, match=r"'clip' were stepped on both sides and not ended, .* \(a sampler over clips"):
        one.merge_state(other)
    assert one.to_meter().to_json() == before
    for metric in (one, other):
        metric.end("clip")
    with pytest.warns(FlameWarning, match="came twice with identical counts and were kept once"):
        one.merge_state(other)
    assert pairs(one) == 2


def test_merging_takes_over_counts_and_keeps_what_waits_here():
    one, other = stepped(), FlameMetric(**OPTIONS, frame_offset=1)
    for _ in range(4):
        other.update(MAP, MAP, "their clip")
    one.merge_state(other)
    one.update(MAP, MAP, "clip")
    assert pairs(one) == 2 + 3 + 1
    with pytest.raises(StateError, match=r"sequence 'their clip' was given up, .* or it came from a merge"):
        one.update(MAP, MAP, "their clip")
    other.update(MAP, MAP, "their clip")
    assert pairs(other) == 4


def test_a_state_dict_without_what_waits_is_that_of_torchmetrics():
    metric = stepped()
    assert metric.state_dict() == {}
    metric.persistent(True)
    assert set(metric.state_dict()) == set(metric.metric_state)
    assert all(isinstance(value, torch.Tensor) for value in metric.state_dict().values())


def test_unlike_metrics_in_one_compute_group_are_refused():
    metrics = MetricCollection(
        {"now": FlameMetric(**OPTIONS), "late": FlameMetric(**OPTIONS, frame_offset=1)},
        compute_groups=[["now", "late"]],
    )
    metrics.update(MAP, MAP, sequence="clip")
    with pytest.raises(StateError, match="state of one of another configuration: take it out of `compute_groups`"):
        metrics.compute()


def test_what_waits_moves_to_another_device():
    metric = FlameMetric(**OPTIONS, frame_offset=1)
    metric._lies_here = lambda maps: True
    metric.update(MAP, MAP, "clip")
    (clip_that_runs,) = metric.to("meta")._clips.running.values()
    assert [pred.device.type for pred in clip_that_runs.line.waiting.values()] == ["meta"]
    wrapped = late()
    wrapped.update(MAP[None], None, sequence="clip")
    (clip_that_runs,) = wrapped.to("meta")._clips.running.values()
    assert [pred.device.type for pred in clip_that_runs.line.waiting.values()] == ["meta"]


@pytest.mark.parametrize("num_classes", [2, 254, 255, 300])
def test_what_waits_on_a_device_is_a_label_map(num_classes):
    metric = FlameMetric(num_classes, ignore_index=-1, frame_offset=1)
    metric._lies_here = lambda maps: True
    labels = torch.tensor([[0, num_classes - 1, -1, 1]])
    scores = torch.nn.functional.one_hot(labels.clamp(min=0), num_classes).movedim(-1, 0).float()
    for pred in (labels, scores):
        metric.update(pred, labels, "clip")
    (waiting,) = next(iter(metric._clips.running.values())).line.waiting.values()
    assert waiting.dtype == (torch.uint8 if num_classes < 255 else torch.uint16)
    assert waiting.shape == (1, 4)
    meter = FlameMeter(num_classes, ignore_index=-1, frame_offset=1)
    meter.update_sequence([labels, labels], [labels, labels], sequence="clip")
    assert counts_of(metric.result()) == counts_of(meter.compute())


def test_maps_of_the_host_and_of_a_device_in_one_clip():
    """A prediction that waits on the device meets ground truth of the host, and the other way round."""
    preds, targets = clip(8, seed=1)
    metric, places = FlameMetric(**OPTIONS, frame_offset=2), [0, 1, 1, 0, 1, 0, 0, 1]
    for pred, target, here in zip(preds, targets, places, strict=True):
        metric._lies_here = lambda maps, here=here: bool(here)
        metric.update(pred, target, "clip")
    assert counts_of(metric.result()) == by_whole_clips({"clip": (preds, targets)}, 2)


def test_a_wrong_prediction_on_a_device_is_a_fault_before_any_label():
    metric = FlameMetric(**OPTIONS, frame_offset=1)
    metric._lies_here = lambda maps: True
    metric.update(MAP + 9, None, "clip")
    del metric._lies_here
    for copied in (metric, by_pickle(metric), by_file(metric)):
        with pytest.raises(LabelError, match=r"`pred` held labels .* at 4 pixels of sequence\(s\) 'clip'"):
            copied.compute()
    metric.reset()
    metric._lies_here = lambda maps: True
    metric.update(MAP, None, "clip")
    assert result_of(metric).sequences == ()  # as of a meter: a clip without labels
    with pytest.raises(LabelError, match="`pred` held labels"):
        metric(MAP + 9, None, "clip")
    metric.update(MAP, MAP, "clip")
    assert pairs(metric) == 1


# ── wrappers that redraw rows ──


@pytest.mark.parametrize("strategy", ["poisson", "multinomial"])
@pytest.mark.parametrize("make", MAKE)
def test_a_bootstrap_of_time_steps_is_refused_by_frame_numbers(make, strategy):
    torch.manual_seed(0)
    outside = BootStrapper(make(), num_bootstraps=4, sampling_strategy=strategy)
    frames = torch.stack([MAP, MAP, MAP])

    def ten_batches():
        for start in range(0, 30, 3):
            outside.update(frames, frames, sequence="clip", frame=torch.arange(start, start + 3))

    with pytest.raises((StateError, ShapeError)):
        ten_batches()


def test_a_bootstrap_of_pairs_goes_inside():
    torch.manual_seed(0)
    inside = LatencyAware(BootStrapper(MulticlassAccuracy(CLASSES), num_bootstraps=3), frame_offset=1)
    for _ in range(4):
        inside.update(torch.stack([MAP, MAP]), torch.stack([MAP, MAP]), sequence=["a", "b"])
    assert int(inside.shown) == 6
    assert inside.compute()["mean"] == 1  # perfect predictions stay so


# ── threads ──


@pytest.mark.parametrize("make", MAKE)
def test_threads_with_ids_of_their_own(make):
    metric, errors, switch = make(), [], sys.getswitchinterval()

    def work(number):
        try:
            for round_ in range(10):
                for frame in range(4):
                    metric.update(MAP[None], MAP[None], sequence=f"{number}-{round_}", frame=frame)
                metric.end(f"{number}-{round_}")
                metric.update_pair(MAP[None], MAP[None], sequence=f"pair {number}-{round_}")
                if isinstance(metric, FlameMetric):
                    metric.update_sequence([MAP] * 2, [MAP] * 2, sequence=f"clip {number}-{round_}")
        except Exception as error:
            errors.append(error)

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert errors == []
    assert shown(metric) == 4 * 10 * (5 if isinstance(metric, FlameMetric) else 4)
    if isinstance(metric, FlameMetric):
        result = metric.result()
        assert len(result.sequences) == 120
        assert {tuple(tallies) for tallies in result.tallies.tolist()} == {(3, 4, 12, 12), (1, 2, 4, 4), (1, 1, 4, 4)}


def test_a_thread_that_reads_the_index_sees_what_another_adds(monkeypatch):
    """The first update of a metric reads its index; another thread adds a sequence in the meantime."""
    metric, index = (
        FlameMetric(**OPTIONS, frame_offset=1),
        pytest.importorskip("flame_metric.torch.state").SequenceIndex,
    )
    read, others = index.from_tensor, []

    def read_slowly(written):
        found = read(written)
        if not others:
            others.append(threading.Thread(target=metric.update, args=(MAP, MAP, "other")))
            others[0].start()
            others[0].join(0.1)  # it waits for the lock; without one it would be done
        return found

    monkeypatch.setattr(index, "from_tensor", read_slowly)
    metric.update(MAP, MAP, "clip")
    others[0].join()
    assert result_of(metric).sequences == ("clip", "other")


def test_two_threads_that_step_one_id_are_refused():
    metric, inside, go = FlameMetric(**OPTIONS, frame_offset=1), threading.Event(), threading.Event()

    def slowly(maps):
        inside.set()
        go.wait(10)
        return False

    metric._lies_here = slowly
    thread = threading.Thread(target=metric.update, args=(MAP, MAP, "clip"))
    thread.start()
    inside.wait(10)
    with pytest.raises(StateError, match="sequence 'clip' is stepped by two threads at a time"):
        metric.update(MAP, MAP, "clip")
    go.set()
    thread.join()
    metric.update(MAP, MAP, "clip")
    assert pairs(metric) == 1


def test_copies_have_a_lock_of_their_own():
    metric = stepped()
    with metric._clips.lock:
        for copied in (by_pickle(metric), metric.clone(), copy.copy(metric)):
            assert copied._clips.lock is not metric._clips.lock
            copied.update(MAP, MAP, "clip")
            assert pairs(copied) == 3
    assert pairs(metric) == 2
