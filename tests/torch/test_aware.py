"""LatencyAware pairs frames: by hand, as laws, and against metrics that were shifted by hand."""

import os
import pickle
from collections import OrderedDict, namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import (
    ConfigError,
    FlameMeter,
    FlameWarning,
    FrameDelay,
    LatencyTrace,
    Schedule,
    ShapeError,
    StateError,
    StreamConfig,
    simulate_stream,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")

from torchmetrics import MeanAbsoluteError, MetricCollection  # noqa: E402 - after the skip
from torchmetrics.classification import (  # noqa: E402
    BinaryF1Score,
    BinaryJaccardIndex,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
)
from torchmetrics.segmentation import DiceScore  # noqa: E402
from torchmetrics.wrappers import Running  # noqa: E402

from flame_metric import FlameMetric, LatencyAware  # noqa: E402
from metrics_to_wrap import BoundaryIoU, FoundObjects, Pairs, WeightedError  # noqa: E402

torch.set_num_threads(1)
DATA = os.environ.get("FLAME_METRIC_TEST_DATA")


def frames(*values):
    """Frames of one pixel, as scalars make good frames to follow by eye."""
    return [None if value is None else torch.tensor([value]) for value in values]


def numbers(metric):
    """The pairs that a Pairs metric was given, as plain numbers."""
    return [tuple(part.item() for part in pair[:2]) for pair in metric.metric.got]


def feed(metric, preds, targets, sequence="clip"):
    for pred, target in zip(preds, targets, strict=True):
        metric.update(pred, target, sequence=sequence)
    return metric


def shifted(metric, clips, k):
    """Feed a plain metric with pairs that are shifted by hand."""
    for preds, targets in clips:
        for frame in range(k, len(targets)):
            if targets[frame] is not None:
                metric.update(preds[frame - k], targets[frame])
    return metric


def random_clip(generator, length, *, classes=3, unlabelled=0.0):
    """A clip of label maps (1, 6, 7) with predictions that are partly wrong."""
    targets = [torch.from_numpy(generator.integers(0, classes, (1, 6, 7))) for _ in range(length)]
    preds = [torch.where(torch.from_numpy(generator.random((1, 6, 7)) < 0.7), target, 0) for target in targets]
    return preds, [target if generator.random() >= unlabelled else None for target in targets]


def confusion():
    return MulticlassConfusionMatrix(num_classes=3)


# ── the offset ──


@pytest.mark.parametrize(
    ("k", "pairs"),
    [
        (0, [(0, 10), (1, 11), (2, 12), (3, 13)]),
        (1, [(0, 11), (1, 12), (2, 13)]),
        (2, [(0, 12), (1, 13)]),
        (3, [(0, 13)]),
        (4, []),
    ],
)
def test_pairs_by_hand(k, pairs):
    metric = feed(LatencyAware(Pairs(), frame_offset=k), frames(0, 1, 2, 3), frames(10, 11, 12, 13))
    assert numbers(metric) == pairs
    assert metric.coverage == len(pairs) / 4
    assert metric.frame_offset == k


@pytest.mark.parametrize(
    ("latency_ms", "fps", "k"), [(0, 30, 0), (26, "50/3", 1), (60, "50/3", 1), (61, "50/3", 2), (66.667, 15, 1)]
)
def test_offset_from_latency(latency_ms, fps, k):
    metric = LatencyAware(Pairs(), latency_ms=latency_ms, fps=fps)
    feed(metric, frames(*range(5)), frames(*range(5)))
    assert metric.frame_offset == k
    assert numbers(metric) == [(frame - k, frame) for frame in range(k, 5)]


@given(k=st.integers(0, 6), labelled=st.lists(st.booleans(), max_size=12))
def test_delay_law(k, labelled):
    """What the metric gets is what leaves a FrameDelay at labelled frames."""
    metric, delay, expected = LatencyAware(Pairs(), frame_offset=k), FrameDelay(k), []
    for frame, has_label in enumerate(labelled):
        metric.update(torch.tensor(frame), torch.tensor(frame) if has_label else None, sequence="clip")
        shown = delay.push(frame)
        if has_label and shown is not None:
            expected.append((shown, frame))
    assert numbers(metric) == expected
    assert int(metric.labelled) == sum(labelled)
    assert int(metric.shown) == len(expected)


def test_unlabelled_frames_pass_but_do_not_count():
    metric = LatencyAware(Pairs(), frame_offset=1)
    feed(metric, frames(0, 1, 2, 3, 4), frames(None, 11, None, None, 14))
    assert numbers(metric) == [(0, 11), (3, 14)]
    assert metric.coverage == 1
    metric.update(torch.tensor([5]), sequence="clip")  # no target at all
    metric.update(torch.tensor([6]), torch.tensor([16]), sequence="clip")
    assert numbers(metric)[-1] == (5, 16)


def test_nothing_counted():
    metric = LatencyAware(MeanAbsoluteError(), frame_offset=2)
    assert np.isnan(metric.coverage)
    feed(metric, frames(0.0, 1.0), frames(0.0, 1.0))
    assert metric.coverage == 0
    assert metric.compute().isnan()  # no warning: the clip may only have begun
    metric.end("clip")
    message = r"nothing was counted: .* on screen at any of 2 labelled time step\(s\)"
    with pytest.warns(FlameWarning, match=message) as warned:
        assert metric.compute().isnan()
    assert warned[0].filename == __file__


# ── equal to the metric shifted by hand ──


METRICS = {
    "f1": BinaryF1Score,
    "dice": lambda: DiceScore(num_classes=3, input_format="index", average="macro"),
    "confusion": confusion,
    "accuracy": lambda: MulticlassAccuracy(num_classes=3, average=None),
    "boundary": BoundaryIoU,
    "collection": lambda: MetricCollection({"cm": confusion(), "acc": MulticlassAccuracy(num_classes=3)}),
}


def same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            same(found[key], value)
    else:
        assert torch.equal(found, expected)


@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("name", METRICS)
def test_equals_the_metric_shifted_by_hand(name, k):
    generator = np.random.default_rng(1)
    classes = 2 if name in ("f1", "boundary") else 3
    clips = [random_clip(generator, length, classes=classes, unlabelled=0.3) for length in (9, 2, 14)]
    metric = LatencyAware(METRICS[name](), frame_offset=k)
    for number, clip in enumerate(clips):
        feed(metric, *clip, sequence=f"clip {number}")
    same(metric.compute(), shifted(METRICS[name](), clips, k).compute())


@pytest.mark.parametrize("k", [0, 2])
def test_depth_error(k):
    generator = torch.Generator().manual_seed(3)
    depth = [torch.rand(1, 1, 8, 9, generator=generator) * 80 for _ in range(7)]
    guess = [one + torch.randn(one.shape, generator=generator) for one in depth]
    metric = feed(LatencyAware(MeanAbsoluteError(), frame_offset=k), guess, depth)
    expected = np.mean([(guess[j - k].double() - depth[j].double()).abs().numpy() for j in range(k, 7)])
    assert metric.compute().item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(metric.compute(), shifted(MeanAbsoluteError(), [(guess, depth)], k).compute())


def test_zero_is_the_plain_metric_in_forward_too():
    preds, targets = random_clip(np.random.default_rng(2), 5)
    plain, aware = MulticlassAccuracy(num_classes=3), LatencyAware(MulticlassAccuracy(num_classes=3), frame_offset=0)
    for pred, target in zip(preds, targets, strict=True):
        assert torch.equal(aware(pred, target), plain(pred, target))
    assert torch.equal(aware.compute(), plain.compute())


def test_objects_in_lists_of_dicts():
    """Detections: a list of dicts an image, of changing length."""
    boxes = [torch.arange(4.0 * n).reshape(n, 4) for n in (1, 2, 3, 2)]
    metric = LatencyAware(FoundObjects(), frame_offset=1)
    for found in boxes:
        metric.update([{"boxes": found}], [{"boxes": found}], sequence="clip")
    assert metric.compute() == (1 + 2 + 2) / (2 + 3 + 2)


# ── real label maps ──


def read(folder):
    image = pytest.importorskip("PIL.Image", reason="reading PNG needs Pillow")
    if not DATA:
        pytest.skip("FLAME_METRIC_TEST_DATA names no folder of real label maps")
    return [torch.from_numpy(np.array(image.open(file))) for file in sorted(Path(DATA, folder).glob("*.png"))]


@pytest.mark.parametrize(("k", "published"), [(1, 0.735525), (4, 0.535748), (10, 0.421644)])
def test_camvid_persistence(k, published):
    maps = [labels[None].long() for labels in read("camvid_dense/labels")]
    aware = LatencyAware(MulticlassConfusionMatrix(num_classes=12), latency_ms=k * 1000 / 15, fps=15)
    matrix = feed(aware, maps, maps).compute()
    assert torch.equal(matrix, shifted(MulticlassConfusionMatrix(num_classes=12), [(maps, maps)], k).compute())
    hits, labelled, predicted = matrix.diag()[:11], matrix[:11].sum(1), matrix[:11].sum(0)[:11]  # 11 is void
    assert round(float((hits / (labelled + predicted - hits)).mean()), 6) == published
    assert aware.coverage == (101 - k) / 101


@pytest.mark.slow
def test_osvos_with_many_metrics():
    masks = {
        kind: {
            name: [(labels != 0).long()[None] for labels in read(f"davis2016/{kind}/{name}")]
            for name in ("drift-straight", "kite-surf")
        }
        for kind in ("gt", "osvos")
    }

    def metrics():
        return MetricCollection(
            {
                "jaccard": BinaryJaccardIndex(),
                "boundary": BoundaryIoU(),
                "dice": DiceScore(num_classes=2, input_format="index"),
                "mae": MeanAbsoluteError(),
            }
        )

    clips = [(masks["osvos"][name], masks["gt"][name]) for name in ("drift-straight", "kite-surf")]
    aware = LatencyAware(metrics(), frame_offset=10)
    feed(aware, *clips[0], sequence="drift-straight")
    assert round(float(aware.compute()["jaccard"]), 6) == 0.116116
    feed(aware, *clips[1], sequence="kite-surf")
    same(aware.compute(), shifted(metrics(), clips, 10).compute())


# ── sequences ──


def test_sequences_share_nothing():
    metric = LatencyAware(Pairs(), frame_offset=2)
    feed(metric, frames(0, 1, 2), frames(0, 1, 2), sequence="a")
    feed(metric, frames(10, 11, 12), frames(10, 11, 12), sequence="b")
    assert numbers(metric) == [(0, 2), (10, 12)]
    feed(metric, frames(3), frames(3), sequence="a")  # "a" goes on where it was
    assert numbers(metric)[-1] == (1, 3)
    assert metric.coverage == 3 / 7


@given(
    k=st.integers(0, 4),
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_interleaved_sequences_equal_one_after_the_other(k, lengths, order):
    turns = [name for name, length in enumerate(lengths) for _ in range(length)]
    order.shuffle(turns)
    metric, position = LatencyAware(Pairs(), frame_offset=k), dict.fromkeys(range(len(lengths)), 0)
    for name in turns:
        frame = torch.tensor(100 * name + position[name])
        metric.update(frame, frame, sequence=f"{name}")
        position[name] += 1
    expected = [(100 * n + j - k, 100 * n + j) for n, length in enumerate(lengths) for j in range(k, length)]
    assert sorted(numbers(metric)) == expected


def test_end_lets_an_id_start_anew():
    metric = LatencyAware(Pairs(), frame_offset=1)
    feed(metric, frames(0, 1), frames(0, 1))
    metric.end("clip")
    feed(metric, frames(10, 11), frames(10, 11))
    assert numbers(metric) == [(0, 1), (10, 11)]
    metric.end("clip")
    metric.end("clip")
    metric.end("never seen")


def test_finished_sequences_do_not_pile_up():
    """The size of what a pickle holds: no more than that of ``max_sequences`` predictions."""
    metric = LatencyAware(MeanAbsoluteError(), frame_offset=1, max_sequences=2)
    output = torch.zeros(1, 1000)
    sizes = []
    for number in range(30):
        feed(metric, [output] * 2, [output] * 2, sequence=f"{number}")
        sizes.append(len(pickle.dumps(metric)))
    assert sizes[1] > 2 * 4000
    assert max(sizes) < sizes[1] + 1000
    metric.reset()
    assert len(pickle.dumps(metric)) < 8000
    feed(metric, [output] * 2, [output] * 2, sequence="3")
    metric.end("3")
    assert len(pickle.dumps(metric)) < 8000


@pytest.mark.parametrize("options", [{"frame_offset": 2}, {"schedule": Schedule.fixed(60, 2)}])
def test_predictions_are_freed_once_they_were_shown(options):
    metric = LatencyAware(MeanAbsoluteError(), **options)
    sizes = []
    for frame in range(60):
        metric.update(torch.zeros(1, 1000), torch.zeros(1, 1000) if frame % 7 else None, sequence="clip")
        sizes.append(len(pickle.dumps(metric)))
    assert sizes[1] > 2 * 4000
    assert max(sizes) < sizes[1] + 1000


def test_a_sequence_that_was_given_up_is_no_new_one():
    metric = LatencyAware(Pairs(), frame_offset=1, max_sequences=2)
    for sequence in "abac":  # "b" is idle longest when "c" comes
        metric.update(torch.tensor(0), torch.tensor(0), sequence=sequence)
    metric.update(torch.tensor(1), torch.tensor(1), sequence="a")
    message = r"sequence 'b' was given up, as more than 2 clips .* raise `max_sequences`, or call end\(sequence\) where"
    with pytest.raises(StateError, match=message):
        metric.update(torch.tensor(1), torch.tensor(1), sequence="b")
    metric.end("b")
    metric.update(torch.tensor(5), torch.tensor(5), sequence="b")
    assert len(metric.metric.got) == 2
    metric.reset()
    for sequence in "abc":
        metric.update(torch.tensor(0), torch.tensor(0), sequence=sequence)


# ── parallel streams ──


def test_parallel_streams_by_hand():
    """Two streams; one ends, another takes its place, an unlabelled frame, and a pair of them in one batch."""
    metric = LatencyAware(Pairs(), frame_offset=1)
    metric.update(torch.tensor([0, 10]), torch.tensor([0, 10]), sequence=["a", "b"])
    metric.update(torch.tensor([1, 11]), torch.tensor([1, 11]), sequence=["a", "b"])
    metric.update(torch.tensor([2, 20]), torch.tensor([2, 20]), sequence=["a", "c"])
    metric.update(torch.tensor([3, 21]), [None, torch.tensor(21)], sequence=("a", "c"))
    metric.update(torch.tensor([22]), None, sequence=["c"])
    assert [(pred.tolist(), target.tolist()) for pred, target in metric.metric.got] == [
        ([0, 10], [1, 11]),
        ([1], [2]),
        ([20], [21]),
    ]
    assert (int(metric.labelled), int(metric.shown)) == (7, 4)


@given(
    k=st.integers(0, 3),
    slots=st.integers(1, 3),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_parallel_streams_equal_one_after_the_other(k, slots, lengths, seed):
    """Each slot of the batch takes the next clip when its own has ended."""
    generator = np.random.default_rng(seed)
    clips = [random_clip(generator, length, unlabelled=0.2) for length in lengths]
    alone = LatencyAware(confusion(), frame_offset=k)
    for number, clip in enumerate(clips):
        feed(alone, *clip, sequence=f"{number}")
    parallel = LatencyAware(confusion(), frame_offset=k, max_sequences=1)
    waiting, running = list(enumerate(clips)), []
    while waiting or running:
        while waiting and len(running) < slots:
            number, (preds, targets) = waiting.pop(0)
            running.append((f"{number}", list(preds), list(targets)))
        step = [(name, preds.pop(0)[0], targets.pop(0)) for name, preds, targets in running]
        parallel.update(
            torch.stack([pred for _, pred, _ in step]),
            [None if target is None else target[0] for _, _, target in step],
            sequence=[name for name, _, _ in step],
        )
        running = [one for one in running if one[1]]
    assert torch.equal(alone.metric.confmat, parallel.metric.confmat)
    assert (int(alone.labelled), int(alone.shown)) == (int(parallel.labelled), int(parallel.shown))


def test_parallel_streams_of_objects():
    """Lists of dicts: one item a stream."""
    boxes = [{"boxes": torch.arange(4.0 * n).reshape(n, 4)} for n in (1, 2, 3)]
    metric = LatencyAware(FoundObjects(), frame_offset=1)
    metric.update([boxes[0], boxes[2]], [boxes[0], boxes[2]], sequence=["a", "b"])
    metric.update([boxes[1], boxes[1]], [boxes[1], boxes[1]], sequence=["a", "b"])
    assert metric.compute() == (1 + 2) / (2 + 2)


def test_parallel_streams_of_dicts():
    """A dict of tensors, as several tasks have: rows of every tensor."""
    metric = LatencyAware(Pairs(), frame_offset=1)
    for step in range(2):
        batch = {"depth": torch.tensor([step, 10 + step]), "boxes": [[step], [10 + step]]}
        metric.update(batch, batch, sequence=["a", "b"])
    ((preds, target),) = metric.metric.got
    assert {key: list(value) for key, value in preds.items()} == {"depth": [0, 10], "boxes": [[0], [10]]}
    assert {key: list(value) for key, value in target.items()} == {"depth": [1, 11], "boxes": [[1], [11]]}


@pytest.mark.parametrize(
    ("preds", "target", "sequence", "error", "message"),
    [
        (torch.zeros(3), torch.zeros(2), ["a", "b"], ShapeError, "`preds` has 3 rows for 2 sequences, expected a row"),
        (torch.zeros(2), torch.zeros(3), ["a", "b"], ShapeError, "`target` has 3 rows for 2 sequences, expected a row"),
        ({"x": [1]}, None, ["a", "b"], ShapeError, r"`preds\['x'\]` has 1 rows for 2 sequences"),
        (torch.tensor(1.0), None, ["a"], ShapeError, "`preds` is Tensor, expected a tensor, list or dict with a row"),
        ("text", None, ["a"], ShapeError, "`preds` is str, expected a tensor, list or dict with a row"),
        (
            [torch.zeros(2), torch.zeros(3)],
            [torch.zeros(2), torch.zeros(3)],
            ["a", "b"],
            ShapeError,
            r"parallel streams have maps of shape \(2,\), \(3,\), expected one shape; update them one by one",
        ),
        (torch.zeros(2), None, ["a", 1], ConfigError, r"`sequence` is 1, expected a text id"),
        (torch.zeros(2), None, [], ConfigError, r"`sequence` is empty, expected a text id, or a list"),
        (torch.zeros(2), None, 7, ConfigError, "`sequence` is 7, expected a text id"),
    ],
)
def test_bad_steps(preds, target, sequence, error, message):
    with pytest.raises(error, match=message):
        LatencyAware(Pairs(), frame_offset=0).update(preds, target, sequence=sequence)


# ── more arguments ──


def test_rest_is_of_now():
    metric = LatencyAware(WeightedError(), frame_offset=1)
    for frame, weight in enumerate((5.0, 1.0, 3.0)):
        value = torch.tensor([float(frame)])
        metric.update(value, value * 2, weight=torch.tensor([weight]), scale=2.0, sequence="clip")
    assert metric.compute() == 2 * (1.0 * 2 + 3.0 * 3) / (1.0 + 3.0)  # |0 - 2| and |1 - 4|
    assert metric.metric.sequences == ["clip", "clip"]


def test_rest_has_rows_in_parallel_streams():
    metric = LatencyAware(WeightedError(), frame_offset=1)
    metric.update(torch.tensor([0.0]), torch.tensor([0.0]), weight=torch.tensor([9.0]), sequence=["a"])
    values, weights = torch.tensor([1.0, 10.0]), torch.tensor([2.0, 4.0])
    metric.update(values, values, weight=weights, scale=3.0, sequence=["a", "b"])
    assert (metric.metric.error, metric.metric.weight) == (6.0, 2.0)
    metric.update(values, values + 1, weight=weights, scale=3.0, sequence=["a", "b"])
    assert (metric.metric.error, metric.metric.weight) == (6.0 + 3 * (2 + 4), 2.0 + 6.0)
    assert metric.metric.sequences == [["a"], ["a", "b"]]
    with pytest.raises(ShapeError, match="`weight` has 3 rows for 2 sequences"):
        metric.update(values, values, weight=torch.zeros(3), sequence=["a", "b"])


def test_an_option_that_the_metric_lacks_is_refused():
    metric = LatencyAware(MeanAbsoluteError(), frame_offset=0)
    with pytest.raises(TypeError, match="wieght"):
        metric.update(torch.zeros(1), torch.zeros(1), wieght=1)


# ── schedules ──


@pytest.mark.parametrize(
    ("latency", "config"),
    [
        (195, StreamConfig(workers=1)),
        (90, StreamConfig(workers=1, queue=None)),
        (90, StreamConfig(workers=1, policy="tail")),
        (LatencyTrace([190, 50, 50, 295] + [50] * 6, replay="frame"), StreamConfig(workers=None, show="last_finished")),
        (100, StreamConfig(workers=2, stride=2)),
    ],
)
def test_schedule_equals_the_meter(latency, config):
    generator = np.random.default_rng(4)
    meter = FlameMeter(3)
    schedules = {}
    clips = {name: random_clip(generator, 10, unlabelled=0.2) for name in ("a", "b")}
    for name, (preds, targets) in clips.items():
        schedules[name] = simulate_stream(latency, config, num_frames=10, fps="50/3", sequence=name)
        maps, labels = ([None if one is None else one[0] for one in side] for side in (preds, targets))
        meter.update_sequence(maps, labels, sequence=name, schedule=schedules[name])
    result = meter.compute()
    for given_schedule in (schedules, schedules.__getitem__, schedules["a"]):  # all three say the same here
        metric = LatencyAware(confusion(), schedule=given_schedule)
        for name, clip in clips.items():
            feed(metric, *clip, sequence=name)
            metric.end(name)
        matrix = metric.compute()
        expected = [matrix.diag().tolist(), matrix.sum(0).tolist(), matrix.sum(1).tolist()]
        assert result.counts.sum(axis=0).tolist() == expected
        assert metric.coverage == result.coverage
        assert metric.frame_offset is None


def test_fixed_schedule_equals_the_offset():
    preds, targets = random_clip(np.random.default_rng(5), 8)
    by_schedule = feed(LatencyAware(confusion(), schedule=Schedule.fixed(8, 3)), preds, targets)
    assert torch.equal(by_schedule.compute(), feed(LatencyAware(confusion(), frame_offset=3), preds, targets).compute())


def test_schedule_by_hand_with_frames_that_are_never_run():
    schedule = Schedule([0, 1, 2, 3, 5], [-1, 0, 0, 3, 3])
    metric = LatencyAware(Pairs(), schedule=schedule)
    feed(metric, frames(0, None, None, 3, None, None), frames(10, 11, 12, 13, None, 15))
    assert numbers(metric) == [(0, 11), (0, 12), (3, 13), (3, 15)]
    assert metric.coverage == 0.8
    metric.end("clip")


def test_schedule_that_does_not_fit():
    metric = LatencyAware(Pairs(), schedule=Schedule.fixed(3, 1))
    feed(metric, frames(0, 1), frames(0, 1))
    with pytest.raises(ConfigError, match="`schedule` reaches frame 2, but the clip ended after 2 frames"):
        metric.end("clip")
    feed(metric, frames(10, 11, 12, 13), frames(10, 11, 12, None))  # it has ended all the same
    assert numbers(metric) == [(0, 1), (10, 11), (11, 12)]
    with pytest.raises(ConfigError, match="`schedule` says nothing of the labelled frame 4"):
        metric.update(torch.tensor(4), torch.tensor(4), sequence="clip")


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"b": Schedule.fixed(2, 0)}, "`schedule` has nothing for sequence 'a', expected a Schedule for each id"),
        (lambda _: [0, 1], "`schedule` has list for sequence 'a', expected a Schedule for each id"),
        (
            simulate_stream(10, num_frames=2, fps=30, label_times_ms=[0, 40]),
            r"`schedule` has label times of its own \(`label_times_ms`\), expected an entry for a frame",
        ),
    ],
)
def test_no_schedule_for_a_sequence(schedule, message):
    metric = LatencyAware(Pairs(), schedule=schedule)
    with pytest.raises(ConfigError, match=message):
        metric.update(torch.tensor(0), torch.tensor(0), sequence="a")


def test_a_prediction_that_is_needed_may_not_be_missing():
    metric = LatencyAware(Pairs(), frame_offset=1)
    feed(metric, frames(0, None, 2, 3), frames(0, 1, None, 3))
    assert numbers(metric) == [(0, 1), (2, 3)]
    metric.update(None, torch.tensor([4]), sequence="clip")
    with pytest.raises(
        StateError,
        match="prediction of frame 4 of sequence 'clip' is None or did not come, but is on screen at frame 5",
    ):
        metric.update(torch.tensor([5]), torch.tensor([5]), sequence="clip")
    metric.update([None, torch.tensor(1)], sequence=["x", "y"])
    metric.update([torch.tensor(1), None], [None, torch.tensor(2)], sequence=["x", "y"])
    with pytest.raises(StateError, match="prediction of frame 1 of sequence 'y' is None or did"):
        metric.update(None, torch.tensor([2, 2]), sequence=["x", "y"])


# ── what waits is a copy ──


Heads = namedtuple("Heads", ["labels", "depth"])


class Opaque:
    """An output of a class of its own."""

    def __init__(self, value):
        self.value = np.array([value])


@pytest.mark.parametrize(
    ("make", "spoil", "read_back"),
    [
        (lambda x: torch.tensor([x]), lambda out: out.fill_(-1), lambda out: out.item()),
        (lambda x: np.array([x]), lambda out: out.fill(-1), lambda out: out.item()),
        (lambda x: [{"a": torch.tensor(x)}], lambda out: out[0]["a"].fill_(-1), lambda out: out[0]["a"].item()),
        (lambda x: [{"a": torch.tensor(x)}], lambda out: out.clear(), lambda out: out[0]["a"].item()),
        (
            lambda x: OrderedDict(a=(torch.tensor(x), "text")),
            lambda out: (out["a"][0].fill_(-1), out.clear()),
            lambda out: out["a"][0].item(),
        ),
        (
            lambda x: Heads(torch.tensor(x), torch.tensor(0.5)),
            lambda out: out.labels.fill_(-1),
            lambda out: out.labels.item(),
        ),
        (Opaque, lambda out: out.value.fill(-1), lambda out: out.value.item()),
    ],
)
def test_an_output_buffer_may_be_used_again(make, spoil, read_back):
    metric = LatencyAware(Pairs(), frame_offset=1)
    first = make(7)
    metric.update(first, torch.tensor(0), sequence="clip")
    spoil(first)
    metric.update(make(8), torch.tensor(1), sequence="clip")
    ((shown, _),) = metric.metric.got
    assert read_back(shown) == 7
    assert type(shown) is (dict if isinstance(first, dict) else type(first))


def test_rows_of_an_output_buffer_too():
    metric = LatencyAware(Pairs(), frame_offset=1)
    output = torch.tensor([1, 2])
    metric.update(output, None, sequence=["a", "b"])
    output.fill_(-1)
    metric.update(output, torch.tensor([0, 0]), sequence=["b", "a"])  # slots may change places
    assert metric.metric.got[0][0].tolist() == [2, 1]


def test_what_waits_holds_no_gradients():
    weight = torch.tensor([2.0], requires_grad=True)
    metric = LatencyAware(Pairs(), frame_offset=1)
    for _ in range(2):
        metric.update(weight * 3, torch.tensor([0.0]), sequence="clip")
    ((shown, _),) = metric.metric.got
    assert not shown.requires_grad
    assert shown.grad_fn is None


# ── a step that fails has not happened ──


class Picky(Pairs):
    """Refuses negative targets."""

    def update(self, preds, target):
        if bool((target < 0).any()):
            raise ValueError("negative")
        super().update(preds, target)


@pytest.mark.parametrize("k", [0, 2])
def test_a_failed_step_can_be_repeated(k):
    metric = LatencyAware(Picky(), frame_offset=k)
    for frame in range(5):
        for target in (-1, frame):
            if target < 0 and frame >= k:
                with pytest.raises(ValueError, match="negative"):
                    metric.update(torch.tensor(frame), torch.tensor(target), sequence="clip")
        metric.update(torch.tensor(frame), torch.tensor(frame), sequence="clip")
    assert numbers(metric) == [(frame - k, frame) for frame in range(k, 5)]
    assert int(metric.labelled) == 5


def test_a_failed_step_of_parallel_streams_moves_none_of_them():
    metric = LatencyAware(Picky(), frame_offset=1)
    metric.update(torch.tensor([0, 10]), None, sequence=["a", "b"])
    with pytest.raises(ValueError, match="negative"):
        metric.update(torch.tensor([5, 5, 5]), torch.tensor([1, -1, 1]), sequence=["a", "b", "c"])
    metric.update(torch.tensor([1, 11, 21]), torch.tensor([1, 11, 21]), sequence=["a", "b", "c"])
    ((shown, target),) = metric.metric.got
    assert (shown.tolist(), target.tolist()) == ([0, 10], [1, 11])


def test_a_failed_step_of_a_collection_moves_no_sequence_on_but_is_half_counted():
    """As the docstring says: the metrics before the one that raises have counted."""
    metric = LatencyAware(MetricCollection({"a": Pairs(), "b": Picky()}, compute_groups=False), frame_offset=1)
    metric.update(torch.tensor(0), None, sequence="clip")
    with pytest.raises(ValueError, match="negative"):
        metric.update(torch.tensor(5), torch.tensor(-1), sequence="clip")
    assert (int(metric.labelled), int(metric.shown), metric.update_count) == (0, 0, 1)
    metric.update(torch.tensor(1), torch.tensor(1), sequence="clip")
    found = {name: [(int(p), int(t)) for p, t in part.got] for name, part in metric.metric.items()}
    assert found == {"a": [(0, -1), (0, 1)], "b": [(0, 1)]}
    metric.reset()
    feed(metric, frames(7, 8), frames(7, 8))
    assert [(int(p), int(t)) for p, t in metric.metric["a"].got] == [(7, 8)]


# ── options ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no latency is given, expected `frame_offset`, `latency_ms` with `fps`, or `schedule`"),
        ({"frame_offset": 1, "latency_ms": 26, "fps": 30}, "`fps` is 30 beside `frame_offset`, expected one"),
        ({"frame_offset": 1, "latency_ms": 26}, "`latency_ms` and `frame_offset` are both given, expected one"),
        ({"frame_offset": 1, "fps": 30}, "`fps` is 30 beside `frame_offset`, expected one"),
        ({"latency_ms": 26}, "`latency_ms` is 26.0 without `fps`, expected the frame rate too"),
        ({"fps": 30}, "`fps` is 30 without `latency_ms`, expected the latency too"),
        ({"frame_offset": -1}, "`frame_offset` is -1, expected a whole number of frames >= 0"),
        ({"frame_offset": 1.0}, "`frame_offset` is 1.0, expected a whole number of frames >= 0"),
        ({"frame_offset": True}, "`frame_offset` is True, expected a whole number of frames >= 0"),
        ({"latency_ms": -1, "fps": 30}, "`latency_ms` is -1, expected milliseconds >= 0"),
        ({"latency_ms": 1, "fps": 0}, "`fps` is 0, expected a rate above 0"),
        ({"schedule": Schedule.fixed(1, 0), "frame_offset": 0}, "`schedule` is given beside `frame_offset`"),
        ({"schedule": Schedule.fixed(1, 0), "fps": 30}, "`schedule` is given beside .* expected one of them"),
        ({"schedule": [0, 1]}, "`schedule` is list, expected a Schedule, or a mapping or callable from id to one"),
        ({"frame_offset": 0, "max_sequences": 0}, "`max_sequences` is 0, expected a whole number >= 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        LatencyAware(Pairs(), **options)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Pairs, "`metric` is ABCMeta, expected a torchmetrics Metric or MetricCollection"),
        (None, "`metric` is NoneType, expected a torchmetrics Metric or MetricCollection"),
        (MetricCollection([]), "`metric` is a collection of no metrics, expected one at least"),
        (LatencyAware(Pairs(), frame_offset=1), "`metric` is latency-aware already"),
        (MetricCollection([LatencyAware(Pairs(), frame_offset=1)]), "`metric` is latency-aware already"),
        (FlameMetric(2), r"holds FlameMetric, which delays by itself: use FlameMetric\(num_classes, frame_offset=1\)"),
        (FlameMetric(2, frame_offset=1), "holds FlameMetric, which delays by itself"),
        (MetricCollection([Pairs(), FlameMetric(2, latency_ms=76, fps=17)]), "holds FlameMetric, which delays by"),
        (1 - FlameMetric(2), "holds FlameMetric, which delays by itself"),
        (Running(FlameMetric(2)), "holds FlameMetric, which delays by itself"),
    ],
)
def test_bad_metric(metric, message):
    with pytest.raises(ConfigError, match=message):
        LatencyAware(metric, frame_offset=1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"latency_ms": 76, "fps": 15}, r"FlameMetric\(num_classes, latency_ms=76, fps=15\)"),
        ({"schedule": Schedule.fixed(3, 1)}, r"FlameMetric\(num_classes, latency_ms=\.\., fps=\.\.\)"),
    ],
)
def test_a_flame_metric_is_refused_with_what_to_write_instead(options, text):
    with pytest.raises(ConfigError, match=f"use {text} as it is, beside this wrapper in a MetricCollection"):
        LatencyAware(FlameMetric(3, latency_ms=76, fps=15), **options)
