"""Laws of what may be handed over: any memory, split, order and schedule gives the counts of the oracle."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric import (
    FlameMeter,
    FlameWarning,
    LatencyTrace,
    OffsetBank,
    Schedule,
    StreamConfig,
    class_counts,
    confusion_matrix,
)
from flame_metric.data.lookup import KEEP, LabelLookup

pytestmark = pytest.mark.usefixtures("loops")

C, VOID = 4, 255
DTYPES = ("u1", "i2", ">i2", "<u2", ">u2", "<i4", ">i4", ">u4", "<i8", ">i8", "<u8", ">u8")


@st.composite
def laid_out(draw, values):
    """The same labels as another array: of any integers, anywhere in memory, in any order of it."""
    labels = np.asarray(values).astype(draw(st.sampled_from(DTYPES), "dtype"))
    layout = draw(st.sampled_from(sorted(LAYOUTS)), "layout")
    found = LAYOUTS[layout](labels)
    if draw(st.booleans(), "read-only"):
        found = found.view()
        found.setflags(write=False)
    assert np.array_equal(found, labels)
    return found


def _unaligned(labels):
    buffer = bytearray(b"\7" + labels.tobytes())
    return np.frombuffer(buffer, labels.dtype, offset=1).reshape(labels.shape)


def _field(labels):
    """A column of records, between others."""
    records = np.zeros(labels.shape, [("before", "u1"), ("label", labels.dtype), ("after", "f4")])
    records["label"] = labels
    return records["label"]


def _every_other(labels):
    wide = np.full((*labels.shape[:-1], 2 * labels.shape[-1]), 77).astype(labels.dtype)
    wide[..., ::2] = labels
    return wide[..., ::2]


def _window(labels):
    """Pixels inside of a larger image."""
    return np.pad(labels, [(0, 0)] * (labels.ndim - 2) + [(2, 1), (1, 3)], constant_values=77)[..., 2:-1, 1:-3]


LAYOUTS = {
    "as it is": lambda labels: labels,
    "columns first": np.asfortranarray,
    "mirrored": lambda labels: labels[..., ::-1].copy()[..., ::-1],
    "turned": lambda labels: labels[..., ::-1, ::-1].copy()[..., ::-1, ::-1],
    "transposed": lambda labels: labels.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "unaligned": _unaligned,
    "a field": _field,
    "every other": _every_other,
    "a window": _window,
}


@st.composite
def maps(draw, frames):
    """Labels of some frames of one size, in lists: half of them of one label, as runs are counted apart."""
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    labels = st.sampled_from([0, 1, 2, C - 1, VOID])
    cells = st.one_of(labels.map(lambda one: [one] * (height * width)), st.lists(labels, min_size=height * width))
    flat = [(draw(cells) * 20)[: height * width] for _ in range(2 * frames)]
    return np.array(flat).reshape(2, frames, height, width)


@given(st.data())
def test_law_any_memory_gives_the_counts_of_the_oracle(data):
    pred, target = data.draw(maps(data.draw(st.integers(1, 3))))
    given_pred, given_target = data.draw(laid_out(pred), "pred"), data.draw(laid_out(target), "target")
    before = given_pred.tobytes(), given_target.tobytes()
    options = {"num_classes": C, "ignore_index": VOID}
    assert np.array_equal(
        confusion_matrix(given_pred, given_target, **options), oracle.confusion(pred, target, C, VOID)
    )
    assert np.array_equal(class_counts(given_pred, given_target, **options), oracle.counts(pred, target, C, VOID))
    meter = FlameMeter(C, ignore_index=VOID)
    meter.update(list(given_pred), given_target)
    assert np.array_equal(meter.sequences[""].per_class, oracle.counts(pred, target, C, VOID))
    assert (given_pred.tobytes(), given_target.tobytes()) == before


@given(st.lists(st.sampled_from([0, 1, VOID]), min_size=1, max_size=6), st.integers(1, 5), st.booleans())
def test_law_broadcast_maps(row, height, along_columns):
    """A stride of 0: each pixel lies at the same place as its neighbour."""
    shape = (height, len(row))
    pred = np.broadcast_to(np.array(row, np.uint8), shape)
    target = np.broadcast_to(np.arange(height, dtype=np.int64)[:, None] % C if along_columns else np.int64(1), shape)
    counted = class_counts(pred, target, num_classes=C, ignore_index=VOID)
    assert np.array_equal(counted, oracle.counts(pred, target, C, VOID))


@given(st.data())
def test_law_any_memory_of_scores(data):
    shape = data.draw(st.tuples(st.just(C), st.integers(1, 4), st.integers(1, 5)))
    scores = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(-2, 3, shape)  # with many ties
    given_scores = LAYOUTS[data.draw(st.sampled_from(sorted(LAYOUTS)))](
        scores.astype(data.draw(st.sampled_from(["f2", "<f4", ">f4", "<f8", ">f8"])))
    )
    target = np.random.default_rng(0).integers(0, C, shape[1:])
    expected = oracle.confusion(scores.argmax(axis=0), target, C)
    assert np.array_equal(confusion_matrix(given_scores, target, num_classes=C), expected)


# ── splits and orders ──


@given(st.data())
def test_law_any_split_into_updates_meters_and_merges(data):
    """Frames of some sequences, in any batches, any order and any number of processes, some of which wrote to disk."""
    expected = {}
    updates = []
    for name in data.draw(st.lists(st.sampled_from(["", "x", "y"]), min_size=1, max_size=4), "sequences"):
        pred, target = data.draw(maps(data.draw(st.integers(1, 3))))
        expected[name] = expected.get(name, 0) + oracle.counts(pred, target, C, VOID)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(pred)), max_size=2), "cuts") - {len(pred)})
        for begin, end in zip([0, *cuts], [*cuts, len(pred)], strict=True):
            updates.append((name, data.draw(laid_out(pred[begin:end])), data.draw(laid_out(target[begin:end]))))
    meters = [FlameMeter(C, ignore_index=VOID) for _ in range(data.draw(st.integers(1, 3), "meters"))]
    for name, pred, target in data.draw(st.permutations(updates), "order"):
        data.draw(st.sampled_from(meters), "meter").update(pred, target, sequence=name)
    while len(meters) > 1:
        other = meters.pop(data.draw(st.integers(0, len(meters) - 1), "merged"))
        other = FlameMeter.from_json(other.to_json()) if data.draw(st.booleans(), "from disk") else other
        data.draw(st.sampled_from(meters), "into").merge(other)
    found = {name: counts.per_class.tolist() for name, counts in meters[0].sequences.items()}
    assert found == {name: table.tolist() for name, table in expected.items()}


# ── label maps ──


@given(
    st.dictionaries(st.integers(0, 299), st.integers(0, 299), max_size=6),
    st.one_of(st.none(), st.just(KEEP), st.integers(0, 299)),
    st.lists(st.integers(0, 299), min_size=4, max_size=12),
    st.data(),
)
def test_law_a_label_map_maps_as_a_dictionary(mapping, default, labels, data):
    if default is None:
        labels = [label for label in labels if label in mapping] or [*mapping][:1]
    labels = [label % 256 if label not in mapping else label for label in labels]
    if default is None:
        labels = [label for label in labels if label in mapping]
    image = np.array([labels], np.int64)
    if image.size == 0 or image.max() > 255:
        given_labels = image.astype(data.draw(st.sampled_from(DTYPES[1:])))
    else:
        given_labels = data.draw(laid_out(image))
    others = {None: None, KEEP: "itself"}.get(default, default)
    expected = [mapping.get(label, label if others == "itself" else others) for label in labels]
    assert LabelLookup(mapping, default).apply(given_labels).tolist() == [expected]


# ── schedules ──


def by_a_loop(preds, targets, sources, *, void):
    """Counts and (pairs, labelled) when target j meets the prediction of frame ``sources[j]``."""
    table, (pairs, labelled, *_) = oracle.clip_counts(preds, targets, sources, C, VOID, missing=void)
    return table.tolist(), pairs, labelled


def found_in(result):
    return result.total.tolist(), result.num_pairs, int(result.tallies[:, 1].sum())


def sparse(data, targets):
    return [target if data.draw(st.booleans(), "labelled") else None for target in targets]


@given(st.data(), st.sampled_from(["skip", "void"]))
def test_law_labels_at_times_of_their_own_are_paired_by_any_schedule(data, before_first):
    """Several labels may fall on one frame, and sources may jump back."""
    preds, targets = data.draw(maps(data.draw(st.integers(1, 6))))
    frames = sorted(data.draw(st.lists(st.integers(-1, len(preds) - 1), min_size=1, max_size=len(targets)), "frames"))
    sources = [data.draw(st.integers(-1, frame), "source") for frame in frames]
    labels = sparse(data, targets[: len(frames)])
    meter = FlameMeter(C, ignore_index=VOID, before_first=before_first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        meter.update_sequence(preds, labels, sequence="clip", schedule=Schedule(frames, sources, per_label=True))
        result = meter.compute()
    assert found_in(result) == by_a_loop(preds, labels, sources, void=before_first == "void")


@given(st.data(), st.sampled_from(["skip", "void"]), st.sampled_from([1, 2, None]), st.sampled_from([1, 2, None]))
def test_law_a_bank_answers_as_a_loop_does(data, before_first, workers, queue):
    """Any clip, in any memory, with labels on some frames: at each offset, and on a stream of any latencies."""
    preds, targets = data.draw(maps(data.draw(st.integers(1, 6))))
    labels = sparse(data, targets)
    number = len(preds)
    bank = OffsetBank(C, max_offset=number, fps=15, ignore_index=VOID, persistence=True)
    handed_over = [None if label is None else data.draw(laid_out(label)) for label in labels]
    bank.update_sequence([data.draw(laid_out(pred)) for pred in preds], handed_over, sequence="clip")
    trace = LatencyTrace([Fraction(data.draw(st.integers(0, 250), "ms")) for _ in preds])
    config = StreamConfig(workers=workers, queue=queue)
    schedule = dict(zip(*(part.tolist() for part in every_frame(trace, config, number)), strict=True))
    void = before_first == "void"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        for offset in range(number + 1):
            sources = oracle.fixed_sources(offset, number)
            found = bank.score(frame_offset=offset, before_first=before_first)
            assert found_in(found) == by_a_loop(preds, labels, sources, void=void)
        streamed = bank.stream(trace, config, before_first=before_first)
    assert found_in(streamed) == by_a_loop(preds, labels, [schedule[frame] for frame in range(number)], void=void)


def every_frame(trace, config, number):
    bank = OffsetBank(2, max_offset=0, fps=15)
    bank.update_sequence([[[0]]] * number, [[[0]]] * number, sequence="clip")
    schedule = bank.schedules(trace, config)["clip"]
    return schedule.label_frame, schedule.source
