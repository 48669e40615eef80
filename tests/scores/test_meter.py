"""The meter: pairing over time against brute force, what is kept in memory, ids, faults halfway, empty cases."""

import math
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric import FlameMeter, FlameResult, FlameWarning, Schedule, flame_score
from flame_metric.core.counting import Counts
from flame_metric.errors import ConfigError, LabelError, ShapeError, StateError
from flame_metric.latency.simulate import StreamConfig, simulate_stream

VOID = 255
VIDEO = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]]  # an object that moves one pixel a frame


def quiet_update(meter, *clip, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        meter.update_sequence(*clip, **options)


def quiet_compute(meter):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        return meter.compute()


def state(meter):
    return meter.to_json()


# ── worked by hand ──


def test_one_pair():
    meter = FlameMeter(2, latency_ms=26, fps="50/3")
    meter.update_pair([[0, 1, 1]], [[0, 0, 1]])
    result = meter.compute()
    assert isinstance(result, FlameResult)
    assert result.miou == 0.5
    assert (result.num_pairs, result.coverage, result.frame_offset) == (1, 1.0, 1)
    assert result.sequences == ("",)


def test_update_pair_compares_the_pair_it_is_given():
    # the caller pairs: the offset is stated, not applied again
    meter = FlameMeter(2, frame_offset=2)
    for frame in VIDEO:
        meter.update_pair(frame, frame)
    assert meter.compute().miou == 1.0


def test_clip_seen_one_frame_late():
    meter = FlameMeter(2, latency_ms=26, fps="50/3")
    meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    result = meter.compute()
    # two pairs; in each the object is missed at one pixel and seen at another: I 0, P 2, L 2
    assert result.counts.tolist() == [[[2, 0], [4, 2], [4, 2]]]
    assert result.miou == pytest.approx((2 / 6 + 0) / 2, abs=1e-15)
    assert result.tallies.tolist() == [[2, 3, 6, 6]]
    assert result.coverage == pytest.approx(2 / 3)


def test_clip_without_latency():
    meter = FlameMeter(2)
    meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    assert meter.compute().miou == 1.0
    assert meter.compute().num_pairs == 3


@pytest.mark.parametrize(("before_first", "labelled", "coverage"), [("skip", [4, 2], 2 / 3), ("void", [6, 3], 2 / 3)])
def test_frames_before_the_first_output(before_first, labelled, coverage):
    meter = FlameMeter(2, frame_offset=1, before_first=before_first)
    meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    result = meter.compute()
    assert result.counts[0].tolist() == [[2, 0], [4, 2], labelled]
    assert result.coverage == pytest.approx(coverage)
    assert result.num_pairs == 2


def test_past_and_future_are_not_exchanged():
    # F(I_0) is compared with S_1; nothing is compared with S_0
    preds, targets = [[[0]], [[1]]], [[[1]], [[0]]]
    meter = FlameMeter(2, frame_offset=1)
    meter.update_sequence(preds, targets, sequence="clip")
    assert meter.compute().total.tolist() == [[1, 0], [1, 0], [1, 0]]


def test_missing_prediction():
    meter = FlameMeter(2, ignore_index=VOID)
    meter.update_missing([[0, 1, 1, VOID]])
    meter.update([[0, 1, 1, 0]], [[0, 1, 1, VOID]])
    result = meter.compute()
    assert result.total.tolist() == [[1, 2], [1, 2], [2, 4]]
    assert result.tallies.tolist() == [[1, 2, 6, 8]]
    assert result.coverage == 0.5


def test_r9_pixels_are_summed_before_the_division():
    meter = FlameMeter(2)
    meter.update([[0]], [[0]], sequence="a")
    meter.update([[0, 0, 0, 1, 1, 1, 1, 1, 1]], [[0] * 9], sequence="b")
    assert meter.compute().miou == pytest.approx(0.2, abs=1e-15)  # the mean of per-image means is 7/12


def test_r14_meters_side_by_side_share_nothing():
    one, other = FlameMeter(2, frame_offset=1, ignore_index=VOID), FlameMeter(2, frame_offset=2, ignore_index=0)
    for meter in (one, other):
        meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    assert one.compute().num_pairs == 2
    assert other.compute().num_pairs == 1
    assert other.compute().total[:, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "k"),
    [
        ({}, 0),
        ({"frame_offset": 3}, 3),
        ({"latency_ms": 195, "fps": "50/3"}, 4),
        ({"latency_ms": 66.667, "fps": 15}, 1),
        ({"latency_ms": 0, "fps": 30}, 0),
    ],
)
def test_frame_offset(options, k):
    meter = FlameMeter(2, **options)
    assert meter.frame_offset == k
    assert meter.config.frame_offset == k


def test_frame_offset_is_read_only():
    with pytest.raises(AttributeError):
        FlameMeter(2).frame_offset = 1


@pytest.mark.parametrize(
    "options", [{"latency_ms": 26}, {"fps": 30}, {"latency_ms": 26, "fps": 30, "frame_offset": 1}, {"frame_offset": -1}]
)
def test_options_that_contradict_each_other(options):
    with pytest.raises(ConfigError):
        FlameMeter(2, **options)


def test_signature():
    meter = FlameMeter(2, latency_ms=66.667, fps=15, ignore_index=VOID, hardware="GTX 1080 Ti", before_first="void")
    meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    # misses of frame 0: road 2/8, object 0
    assert meter.compute().signature.startswith(
        "FLAME 0.125 | k 1 | 66.667 ms | 15 fps | 2 classes | ignore 255 | before first: void | coverage 0.67"
        " | GTX 1080 Ti | flame-metric "
    )


# ── batches ──


@given(st.integers(1, 6), st.randoms(use_true_random=False))
def test_r8_law_batches_do_not_matter(frames, random):
    generator = np.random.default_rng(frames)
    pred, target = generator.integers(0, 3, (2, frames, 2, 3))
    whole, parts = FlameMeter(3), FlameMeter(3)
    whole.update(pred, target)
    order = list(range(frames))
    random.shuffle(order)
    while order:
        size = random.randint(1, len(order))
        batch, order = order[:size], order[size:]
        parts.update(pred[batch], target[batch])
    assert state(parts) == state(whole)
    assert whole.compute().num_pairs == frames


def test_lists_and_scores():
    scores = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    target = np.zeros((2, 4, 5), int)
    one, other = FlameMeter(3), FlameMeter(3)
    one.update(scores, target)
    other.update(list(scores.argmax(axis=1)), list(target))
    assert state(one) == state(other)


def test_sequences_are_kept_apart():
    meter = FlameMeter(2)
    meter.update([[0]], [[0]], sequence="b")
    meter.update([[1]], [[0]], sequence="a")
    meter.update([[0]], [[0]], sequence="b")
    result = meter.compute()
    assert result.sequences == ("a", "b")
    assert result.counts.tolist() == [[[0, 0], [0, 1], [1, 0]], [[2, 0], [2, 0], [2, 0]]]


# ── clips against brute force ──

MAP = st.lists(st.sampled_from([0, 1, 2, VOID]), min_size=4, max_size=4).map(lambda cells: [cells[:2], cells[2:]])


@given(
    st.lists(st.tuples(MAP, st.one_of(st.none(), MAP)), min_size=1, max_size=8),
    st.integers(0, 5),
    st.sampled_from(["skip", "void"]),
)
def test_law_fixed_offset_equals_brute_force(clip, k, before_first):
    preds, targets = zip(*clip, strict=True)
    meter = FlameMeter(3, frame_offset=k, ignore_index=VOID, before_first=before_first)
    quiet_update(meter, iter(preds), iter(targets), sequence="clip")
    sources = oracle.fixed_sources(k, len(clip))
    table, tallies = oracle.clip_counts(preds, targets, sources, 3, VOID, missing=before_first == "void")
    result = quiet_compute(meter)
    assert result.counts[0].tolist() == table.tolist()
    assert tuple(result.tallies[0].tolist()) == tallies
    assert result.miou == pytest.approx(oracle.mean_iou(table), nan_ok=True, abs=1e-15)


@given(st.data())
def test_law_schedule_equals_brute_force(data):
    clip = data.draw(st.lists(st.tuples(MAP, st.one_of(st.none(), MAP)), min_size=1, max_size=8), "clip")
    preds, targets = zip(*clip, strict=True)
    sources = [data.draw(st.integers(-1, frame), f"source of {frame}") for frame in range(len(clip))]
    # the schedule may leave out frames without a label
    frames = [
        frame for frame in range(len(clip)) if targets[frame] is not None or data.draw(st.booleans(), f"plan {frame}")
    ]
    before_first = data.draw(st.sampled_from(["skip", "void"]), "before first")
    meter = FlameMeter(3, ignore_index=VOID, before_first=before_first)
    schedule = Schedule(frames, [sources[frame] for frame in frames])
    quiet_update(meter, iter(preds), iter(targets), sequence="clip", schedule=schedule)
    table, tallies = oracle.clip_counts(preds, targets, sources, 3, VOID, missing=before_first == "void")
    result = quiet_compute(meter)
    assert result.counts[0].tolist() == table.tolist()
    assert tuple(result.tallies[0].tolist()) == tallies


@given(st.lists(st.tuples(MAP, MAP), min_size=1, max_size=8), st.integers(0, 5))
def test_law_fixed_schedule_counts_as_the_fixed_offset(clip, k):
    preds, targets = zip(*clip, strict=True)
    by_offset, by_schedule = FlameMeter(3, frame_offset=k, ignore_index=VOID), FlameMeter(3, ignore_index=VOID)
    quiet_update(by_offset, preds, targets, sequence="clip")
    quiet_update(by_schedule, preds, targets, sequence="clip", schedule=Schedule.fixed(len(clip), k))
    one, other = quiet_compute(by_offset), quiet_compute(by_schedule)
    assert np.array_equal(one.counts, other.counts)
    assert np.array_equal(one.tallies, other.tallies)


@given(st.lists(st.tuples(MAP, MAP), min_size=1, max_size=8), st.integers(0, 5))
def test_law_predictions_that_are_not_needed_may_be_none(clip, k):
    preds, targets = (list(column) for column in zip(*clip, strict=True))
    targets[::2] = [None] * len(targets[::2])
    full, sparse = FlameMeter(3, frame_offset=k, ignore_index=VOID), FlameMeter(3, frame_offset=k, ignore_index=VOID)
    quiet_update(full, preds, targets, sequence="clip")
    needed = {frame - k for frame, target in enumerate(targets) if target is not None}
    sparse_preds = [pred if frame in needed else None for frame, pred in enumerate(preds)]
    quiet_update(sparse, sparse_preds, targets, sequence="clip")
    assert state(full) == state(sparse)


def test_frames_of_differing_sizes():
    meter = FlameMeter(2, frame_offset=1)
    meter.update_sequence([[[0]], [[0, 1]], [[1]]], [None, [[0]], [[0, 1]]], sequence="clip")
    assert meter.compute().total.tolist() == [[2, 1], [2, 1], [2, 1]]


def test_an_output_buffer_may_be_reused():
    """Online loops and bound output buffers fill one array again and again."""

    def outputs():
        buffer = np.zeros((1, 3), np.int64)
        for output in ([[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]):
            buffer[:] = output
            yield buffer

    meter = FlameMeter(2, frame_offset=1)
    meter.update_sequence(outputs(), [[[1, 0, 0]], [[1, 0, 0]], [[0, 1, 0]]], sequence="clip")
    assert meter.compute().miou == 1


def test_a_late_prediction_is_checked_although_its_target_never_comes():
    with pytest.raises(LabelError, match=r"`pred` holds label\(s\) \[9\]"):
        FlameMeter(2, frame_offset=1).update_sequence([[[0]], [[9]]], [[[0]], [[0]]], sequence="clip")


def test_prediction_that_is_needed_but_none():
    meter = FlameMeter(2, frame_offset=1)
    before = state(meter)
    with pytest.raises(
        StateError, match=r"the prediction of frame 1 of sequence 'clip' is None .* on screen at frame 2"
    ):
        meter.update_sequence([[[0]], None, [[0]]], [[[0]], [[0]], [[0]]], sequence="clip")
    assert state(meter) == before


# ── schedules ──


def test_schedule_by_hand():
    # one prediction stays on screen: frame 0's at 1, 2 and 3
    preds = [[[0]], [[1]], [[1]], [[1]], [[1]]]
    targets = [[[0]], [[0]], [[1]], [[0]], [[1]]]
    meter = FlameMeter(2)
    meter.update_sequence(preds, targets, sequence="clip", schedule=Schedule(range(5), [-1, 0, 0, 0, 3]))
    result = meter.compute()
    assert result.total.tolist() == [[2, 1], [3, 1], [2, 2]]
    assert result.num_pairs == 4
    assert result.coverage == 0.8
    assert result.frame_offset is None
    assert "| schedule |" in result.signature


def test_schedule_that_leaves_out_a_labelled_frame():
    meter = FlameMeter(2)
    before = state(meter)
    with pytest.raises(ConfigError, match="`schedule` says nothing of the labelled frame 2"):
        meter.update_sequence(VIDEO, VIDEO, sequence="clip", schedule=Schedule([0, 1], [0, 0]))
    assert state(meter) == before


def test_schedule_that_is_longer_than_the_clip():
    meter = FlameMeter(2)
    before = state(meter)
    with pytest.raises(ConfigError, match="`schedule` reaches frame 9, but the clip ended after 3 frames"):
        meter.update_sequence(VIDEO, VIDEO, sequence="clip", schedule=Schedule.fixed(10, 1))
    assert state(meter) == before


@pytest.mark.parametrize("first", [None, Schedule.fixed(3, 1)], ids=["offset first", "schedule first"])
def test_schedules_and_a_fixed_offset_do_not_mix(first):
    second = Schedule.fixed(3, 1) if first is None else None
    meter = FlameMeter(2, frame_offset=1)
    meter.update_sequence(VIDEO, VIDEO, sequence="a", schedule=first)
    before = state(meter)
    with pytest.raises(StateError, match="clips of the other kind"):
        meter.update_sequence(VIDEO, VIDEO, sequence="b", schedule=second)
    assert state(meter) == before


# ── memory ──


class Clip:
    """Yields frames once, and counts how many of them are alive at a time."""

    def __init__(self, length):
        self.length, self.alive, self.most, self.times_read = length, [], 0, 0

    def __iter__(self):
        self.times_read += 1
        for _ in range(self.length):
            self.most = max(self.most, 1 + sum(ref() is not None for ref in self.alive))
            yield self.make()

    def make(self):
        frame = np.zeros((2, 2), np.uint8)
        self.alive.append(weakref.ref(frame))
        return frame


@pytest.mark.parametrize("k", [0, 1, 3, 10])
def test_memory_grows_with_the_offset_only(k):
    preds, targets = Clip(100), Clip(100)
    meter = FlameMeter(2, frame_offset=k)
    meter.update_sequence(preds, targets, sequence="clip")
    assert meter.compute().num_pairs == 100 - k
    assert preds.most <= k + 3
    assert targets.most <= 3
    assert preds.times_read == targets.times_read == 1


def test_memory_under_a_schedule_holds_what_is_still_to_be_shown():
    preds, targets = Clip(100), Clip(100)
    # every tenth frame is run and shown from two to eleven frames later
    source = [(frame - 2) // 10 * 10 if frame >= 2 else -1 for frame in range(100)]
    meter = FlameMeter(2)
    meter.update_sequence(preds, targets, sequence="clip", schedule=Schedule(range(100), source))
    assert meter.compute().num_pairs == 98
    assert preds.most <= 4
    assert preds.times_read == 1


# ── ids ──


def test_a_clip_closes_its_id():
    meter = FlameMeter(2)
    meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    before = state(meter)
    for attempt in (
        lambda: meter.update_sequence(VIDEO, VIDEO, sequence="clip"),
        lambda: meter.update(VIDEO[0], VIDEO[0], sequence="clip"),
        lambda: meter.update_missing(VIDEO[0], sequence="clip"),
        lambda: meter.add_counts(Counts.zero(2), sequence="clip"),
    ):
        with pytest.raises(StateError, match="sequence 'clip' is closed"):
            attempt()
        assert state(meter) == before


def test_a_clip_needs_an_id_of_its_own():
    meter = FlameMeter(2)
    meter.update(VIDEO[0], VIDEO[0], sequence="clip")
    with pytest.raises(StateError, match="sequence 'clip' holds counts already"):
        meter.update_sequence(VIDEO, VIDEO, sequence="clip")


def test_an_open_id_adds():
    meter = FlameMeter(2)
    for _ in range(3):
        meter.update([[0, 1]], [[0, 1]], sequence="open")
    meter.update_missing([[0, 1]], sequence="open")
    assert meter.compute().tallies.tolist() == [[3, 4, 8, 8]]


def test_the_default_id_is_never_closed():
    meter = FlameMeter(2)
    for _ in range(2):
        meter.update_sequence(VIDEO, VIDEO, sequence="")
    meter.update(VIDEO[0], VIDEO[0])
    meter.update_missing(VIDEO[0])
    assert meter.compute().num_pairs == 7


def test_the_default_id_is_never_closed_by_counts_made_elsewhere():
    meter = FlameMeter(2)
    for _ in range(2):
        meter.add_counts(Counts(np.array([[1, 0]] * 3), 1, 1, 1, 1), sequence="")
        meter.update([[0]], [[0]])
    assert meter.compute().num_pairs == 4


def test_the_default_id_is_open_after_the_way_through_json():
    meter = FlameMeter(2)
    meter.update_sequence(VIDEO, VIDEO, sequence="")
    again = FlameMeter.from_json(meter.to_json())
    again.update(VIDEO[0], VIDEO[0])
    assert again.compute().num_pairs == 4


def test_closed_and_open_survive_json():
    meter = FlameMeter(2)
    meter.update_sequence(VIDEO, VIDEO, sequence="closed")
    meter.update(VIDEO[0], VIDEO[0], sequence="open")
    again = FlameMeter.from_json(meter.to_json())
    again.update(VIDEO[0], VIDEO[0], sequence="open")
    with pytest.raises(StateError, match="sequence 'closed' is closed"):
        again.update(VIDEO[0], VIDEO[0], sequence="closed")


@pytest.mark.parametrize("sequence", [None, 5, 0, b"clip", ("a",), ["a"], float("nan")], ids=repr)
@pytest.mark.parametrize("method", ["update_pair", "update_missing", "update_sequence", "add_counts"])
def test_id_that_is_no_text(method, sequence):
    meter = FlameMeter(2)
    before = state(meter)
    arguments = {
        "update_pair": ([[0]], [[0]]),
        "update_missing": ([[0]],),
        "update_sequence": ([[[0]]], [[[0]]]),
        "add_counts": (Counts.zero(2),),
    }[method]
    with pytest.raises(ConfigError, match=r"`sequence` is .*expected a text id"):
        getattr(meter, method)(*arguments, sequence=sequence)
    assert state(meter) == before


@pytest.mark.parametrize("name", ["a/b", "é", "\n", "\x00", "=1", "x" * 300, " "])
def test_any_text_is_an_id(name):
    meter = FlameMeter(2)
    meter.update_sequence(VIDEO, VIDEO, sequence=name)
    assert FlameMeter.from_json(meter.to_json()).compute().sequences == (name,)


def test_counts_made_elsewhere():
    one, other = FlameMeter(2), FlameMeter(2)
    one.update_sequence(VIDEO, VIDEO, sequence="clip")
    other.add_counts(Counts(one.compute().counts[0].copy(), *one.compute().tallies[0].tolist()), sequence="clip")
    assert np.array_equal(one.compute().counts, other.compute().counts)
    with pytest.raises(StateError, match="is closed"):
        other.update(VIDEO[0], VIDEO[0], sequence="clip")


def test_counts_of_another_number_of_classes():
    meter = FlameMeter(7)
    with pytest.raises((ShapeError, StateError, ConfigError), match=r"5|\(3, 5\)"):
        meter.add_counts(Counts.zero(5), sequence="clip")


# ── faults halfway: nothing is counted, and the id stays free ──


@pytest.mark.parametrize(
    ("preds", "targets", "error", "message"),
    [
        ([*VIDEO[:2], [[0, 9, 0]]], VIDEO, LabelError, r"^frame 2 of sequence 'clip': `pred` holds label\(s\) \[9\]"),
        (VIDEO, [*VIDEO[:2], [[0, 9, 0]]], LabelError, r"^frame 2 of sequence 'clip': `target` holds label\(s\) \[9\]"),
        (
            [*VIDEO[:2], [[0, 0]]],
            VIDEO,
            ShapeError,
            "^frame 2 of sequence 'clip': prediction of frame 2: `pred` has",
        ),
        (
            VIDEO[:2],
            VIDEO,
            ShapeError,
            r"`targets` goes on after 2 frame\(s\), expected as many predictions as targets",
        ),
        (VIDEO, VIDEO[:1], ShapeError, r"`preds` goes on after 1 frame\(s\), expected as many predictions as"),
        ([], VIDEO, ShapeError, r"`targets` goes on after 0 frame\(s\), expected"),
        (VIDEO, iter([]), ShapeError, r"`preds` goes on after 0 frame\(s\), expected"),
        (
            [*VIDEO[:2], None],
            VIDEO,
            StateError,
            "the prediction of frame 2 of sequence 'clip' is None .* at frame 2, which is labelled",
        ),
    ],
)
def test_fault_in_the_last_frame_counts_nothing(preds, targets, error, message):
    meter = FlameMeter(2)
    before = state(meter)
    with pytest.raises(error, match=message):
        meter.update_sequence(preds, targets, sequence="clip")
    assert state(meter) == before
    meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    assert meter.compute().num_pairs == 3


def test_interrupted_iterable_counts_nothing():
    def interrupted():
        yield VIDEO[0]
        raise KeyboardInterrupt

    meter = FlameMeter(2)
    before = state(meter)
    with pytest.raises(KeyboardInterrupt):
        meter.update_sequence(interrupted(), VIDEO, sequence="clip")
    assert state(meter) == before


@pytest.mark.parametrize(
    ("pred", "target"),
    [
        ([np.zeros((1, 2), int), np.full((1, 2), 9)], [np.zeros((1, 2), int)] * 2),
        ([np.zeros((1, 2), int), np.zeros((2, 2), int)], [np.zeros((1, 2), int)] * 2),
        (np.array([[[0]], [[9]]]), np.zeros((2, 1, 1), int)),
        (np.zeros((0, 1, 1), int), np.zeros((0, 1, 1), int)),
    ],
)
def test_fault_in_a_batch_counts_nothing(pred, target):
    meter = FlameMeter(2)
    before = state(meter)
    with pytest.raises((LabelError, ShapeError)):
        meter.update(pred, target)
    assert state(meter) == before


def test_missing_prediction_with_a_bad_target_counts_nothing():
    meter = FlameMeter(2)
    before = state(meter)
    with pytest.raises(LabelError, match="`target` holds"):
        meter.update_missing([[9]])
    assert state(meter) == before


# ── nothing to score ──


def test_empty_meter():
    with pytest.warns(FlameWarning, match="the mean IoU is NaN: no pair was counted"):
        result = FlameMeter(2).compute()
    assert math.isnan(result.miou)
    assert math.isnan(result.coverage)
    assert (result.sequences, result.num_pairs) == ((), 0)


def test_all_void():
    meter = FlameMeter(2, ignore_index=VOID)
    meter.update([[0, 1]], [[VOID, VOID]])
    with pytest.warns(FlameWarning, match="the mean IoU is NaN: every pixel of every target is void"):
        result = meter.compute()
    assert math.isnan(result.miou)
    assert (result.num_pairs, result.coverage, result.valid_fraction) == (1, 1.0, 0.0)


def test_one_void_frame_is_seen_and_adds_nothing():
    meter = FlameMeter(2, ignore_index=VOID)
    meter.update([[0, 1]], [[VOID, VOID]])
    meter.update([[0, 1]], [[0, 1]])
    result = meter.compute()  # no warning
    assert (result.miou, result.num_pairs, result.valid_fraction) == (1.0, 2, 0.5)


@pytest.mark.parametrize("before_first", ["skip", "void"])
def test_offset_beyond_the_clip_is_warned_about_and_never_clamped(before_first):
    meter = FlameMeter(2, frame_offset=3, before_first=before_first)
    with pytest.warns(FlameWarning, match="sequence 'clip' yields no pair"):
        meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    result = quiet_compute(meter)
    assert (result.num_pairs, result.coverage) == (0, 0.0)
    assert result.total[2].sum() == (9 if before_first == "void" else 0)


def test_clip_without_labels_is_no_cause_for_a_warning():
    meter = FlameMeter(2)
    meter.update_sequence([None, None], [None, None], sequence="clip")
    assert quiet_compute(meter).tallies.tolist() == [[0, 0, 0, 0]]


# ── compute and reset ──


def test_compute_is_a_snapshot():
    meter = FlameMeter(2)
    meter.update([[0]], [[0]])
    first = meter.compute()
    meter.update([[1]], [[0]])
    assert first.total.tolist() == [[1, 0], [1, 0], [1, 0]]
    assert meter.compute().total.tolist() == [[1, 0], [1, 1], [2, 0]]
    assert meter.compute() == meter.compute()


def test_reset_forgets_counts_ids_and_the_kind_of_clips():
    meter = FlameMeter(2, frame_offset=1)
    fresh = state(meter)
    meter.update_sequence(VIDEO, VIDEO, sequence="clip")
    meter.reset()
    assert state(meter) == fresh
    meter.update_sequence(VIDEO, VIDEO, sequence="clip", schedule=Schedule.fixed(3, 2))
    assert meter.compute().num_pairs == 1


def test_meter_of_a_configuration():
    meter = FlameMeter(2, latency_ms=26, fps=30, ignore_index=VOID)
    assert state(FlameMeter.from_config(meter.config)) == state(meter)


def test_r3_r4_counts_go_past_2_to_the_32():
    meter = FlameMeter(2)
    meter.update([[0]], [[0]], sequence="open")
    for preset in (2**24, 2**31 - 1, 2**32):
        record = meter.to_json().replace("[1, 0]", f"[{preset}, 0]")
        for tally in ("valid_pixels", "all_pixels"):
            record = record.replace(f'"{tally}": 1', f'"{tally}": {preset}')
        large = FlameMeter.from_json(record)
        large.update([[0, 1]], [[0, 0]], sequence="open")
        assert large.compute().total.tolist() == [[preset + 1, 0], [preset + 1, 1], [preset + 2, 0]]


# ── one call ──


@given(
    st.lists(st.tuples(MAP, st.one_of(st.none(), MAP)), min_size=1, max_size=6),
    st.sampled_from([(0, 0), (26, 1), (60, 1), (61, 2), (195, 4)]),
)
def test_law_flame_score_equals_brute_force(clip, latency):
    latency_ms, k = latency
    preds, targets = zip(*clip, strict=True)
    sources = oracle.fixed_sources(k, len(clip))
    table, _ = oracle.clip_counts(preds, targets, sources, 3, VOID)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        result = flame_score(
            iter(preds), iter(targets), num_classes=3, latency_ms=latency_ms, fps="50/3", ignore_index=VOID
        )
    assert result.total.tolist() == table.tolist()
    assert result.frame_offset == k


def test_flame_score_states_its_latency():
    result = flame_score(VIDEO, VIDEO, num_classes=2, latency_ms=33.4, fps=30)
    # one pair: ([1, 0, 0], [0, 0, 1])
    assert result.signature.startswith(
        "FLAME 0.167 | k 2 | 33.4 ms | 30 fps | 2 classes | coverage 0.33 | flame-metric "
    )


@pytest.mark.parametrize(
    ("options", "error"),
    [({"latency_ms": -1}, ConfigError), ({"fps": 0}, ConfigError), ({"num_classes": 1}, ConfigError)],
)
def test_flame_score_refuses(options, error):
    with pytest.raises(error):
        flame_score(VIDEO, VIDEO, **{"num_classes": 2, "latency_ms": 26, "fps": 30, **options})


# ── labels at times of their own ──


def test_labels_at_another_rate_than_frames():
    """Frames at 0, 100, 200 ms, a prediction takes 40 ms, labels at 30, 50, 130, 150, 250 ms."""
    schedule = simulate_stream(40, arrivals_ms=[0, 100, 200], label_times_ms=[30, 50, 130, 150, 250])
    assert schedule.source.tolist() == [-1, 0, 0, 1, 2]
    preds = [[[0, 0]], [[0, 1]], [[1, 1]]]
    targets = [[[0, 0]], [[0, 0]], [[0, 1]], None, [[1, 1]]]
    meter = FlameMeter(2)
    meter.update_sequence(iter(preds), iter(targets), sequence="clip", schedule=schedule)
    result = meter.compute()
    assert result.total.tolist() == [[3, 2], [4, 2], [3, 3]]
    assert (result.num_pairs, result.coverage, result.frame_offset) == (3, 0.75, None)


@pytest.mark.parametrize(
    ("preds", "targets", "error", "message"),
    [
        (1, 3, ShapeError, "`preds` ended before frame 1, which is on screen at label 2 of sequence 'clip'"),
        (2, 2, ShapeError, r"`targets` ended after 2 label\(s\), expected 3 as `schedule` has"),
        (2, 4, ShapeError, r"`targets` goes on after 3 label\(s\), expected one for each of `schedule`"),
        (2, 0, ShapeError, r"`targets` ended after 0 label\(s\), expected 3"),
    ],
)
def test_labels_that_do_not_fit_their_schedule(preds, targets, error, message):
    schedule = simulate_stream(40, arrivals_ms=[0, 100], label_times_ms=[30, 50, 150])
    meter = FlameMeter(2)
    with pytest.raises(error, match=message):
        meter.update_sequence([[[0]]] * preds, [[[0]]] * targets, sequence="clip", schedule=schedule)


@pytest.mark.parametrize(
    ("preds", "targets", "error", "message"),
    [
        ([[[0, 7]], [[0, 0]]], [[[0, 0]]] * 3, LabelError, "frame 0 of sequence 'clip': `pred` holds"),
        ([[[0, 0]]] * 2, [[[0, 0]], [[0, 0]], [[0, 7]]], LabelError, "label 2 of sequence 'clip': `target` holds"),
        (
            [[[0, 0]]] * 2,
            [None, [[0]], None],
            ShapeError,
            "label 1 of sequence 'clip': prediction of frame 0: `pred` has",
        ),
        ([None] * 2, [[[0]]] * 3, StateError, "the prediction of frame 0 is None, .* at label 1 of sequence 'clip'$"),
    ],
)
def test_faults_at_labels_are_located(preds, targets, error, message):
    """Frame 0 is ready at 40 ms, frame 1 at 140 ms: the labels show nothing, 0 and 1."""
    schedule = simulate_stream(40, arrivals_ms=[0, 100], label_times_ms=[30, 50, 150])
    with pytest.raises(error, match=f"^{message}"):
        FlameMeter(2).update_sequence(preds, targets, sequence="clip", schedule=schedule)


def test_the_default_id_is_not_named():
    with pytest.raises(LabelError, match=r"^frame 1: `pred` holds") as found:
        FlameMeter(2).update_sequence([[[0]], [[7]]], [[[0]]] * 2, sequence="")
    assert found.value.argument == "pred"


@given(st.integers(1, 12), st.integers(0, 250), st.sampled_from([1, 2, None]), st.sampled_from([1, None]), st.data())
def test_law_a_simulated_schedule_pairs_what_it_says(frames, latency, workers, queue, data):
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    preds, targets = generator.integers(0, 3, (2, frames, 3, 4))
    schedule = simulate_stream(latency, StreamConfig(workers=workers, queue=queue), num_frames=frames, fps=15)
    expected, _ = oracle.clip_counts(preds, targets, schedule.source, 3)
    meter = FlameMeter(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        meter.update_sequence(preds, targets, sequence="clip", schedule=schedule)
        assert meter.compute().total.tolist() == expected.tolist()
