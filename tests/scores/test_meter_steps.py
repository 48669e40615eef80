"""FlameMeter.update is one time step: output and ground truth of the same frame, paired k frames apart."""

import copy
import itertools
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric import (
    ConfigError,
    FlameMeter,
    FlameResult,
    FlameWarning,
    LabelError,
    Schedule,
    ShapeError,
    StateError,
)
from laws import examples

CLASSES, VOID = 3, 255
OPTIONS = {"num_classes": CLASSES, "ignore_index": VOID}
A, B = [[0, 1, 1]], [[0, 0, 1]]


def clip(length, seed, size=(3, 4)):
    """Predictions and ground truth of a clip, some frames unlabelled."""
    generator = np.random.default_rng(seed)
    preds, targets = generator.integers(0, CLASSES, (2, length, *size))
    targets[generator.random(targets.shape) < 0.2] = VOID
    unlabelled = generator.random(length) < 0.2
    return list(preds), [None if without else target for target, without in zip(targets, unlabelled, strict=True)]


def counts_of(meter):
    return {name: (counts.per_class.tolist(), counts.tallies) for name, counts in meter.sequences.items()}


def walk(meter, clips, *, numbers=False):
    """Step through clips that come in turn."""
    for frame, steps in enumerate(itertools.zip_longest(*(zip(*clip, strict=True) for clip in clips.values()))):
        for name, step in zip(clips, steps, strict=True):
            if step is not None:
                meter.update(*step, sequence=name, **({"frame": frame} if numbers else {}))
    return meter


# ── by hand ──


def test_the_commonest_loop_is_scored_with_its_delay():
    video = [[[1, 0, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 1, 0]], [[0, 0, 0, 1]]]
    meter = FlameMeter(2, latency_ms=76, fps=15)
    for frame in video:
        meter.update(frame, frame, sequence="clip")
    result = meter.compute()
    assert result.frame_offset == 2
    assert result.counts.tolist() == [[[4, 0], [6, 2], [6, 2]]]
    assert result.miou == pytest.approx((4 / 8 + 0 / 4) / 2)
    assert result.coverage == 0.5
    assert result.signature.startswith("FLAME 0.250 | k 2 | 76.0 ms | 15 fps | 2 classes | by order of calls | ")


def test_without_delay_a_frame_is_counted_at_once():
    meter, pairs = FlameMeter(2), FlameMeter(2)
    for pred, target in ((A, B), (B, B)):
        meter.update(pred, target)
        pairs.update_pair(pred, target)
    assert counts_of(meter) == counts_of(pairs)
    assert meter.compute().signature.startswith("mIoU ")
    assert "by order" not in meter.compute().signature


@pytest.mark.parametrize("sequence", [None, ""])
def test_a_delay_without_a_sequence_is_refused_with_both_remedies(sequence):
    meter = FlameMeter(2, frame_offset=2)
    with pytest.raises(ConfigError, match=r"sequence=\.\..*update_pair\(pred, target\)"):
        meter.update(A, B, sequence=sequence)


def test_numbers_of_no_clip_are_refused():
    with pytest.raises(ConfigError, match="`frame` is given without `sequence`"):
        FlameMeter(2).update(A, B, frame=3)


def test_unlabelled_and_not_run_frames_pass_time():
    meter = FlameMeter(2, frame_offset=2)
    meter.update(A, None, sequence="clip")
    meter.update(None, None, sequence="clip")
    meter.update(None, B, sequence="clip")
    assert meter.compute().num_pairs == 1
    assert counts_of(meter)["clip"][0] == oracle.counts(A, B, 2).tolist()


def test_a_prediction_that_is_needed_and_none_moves_no_time():
    meter = FlameMeter(2, frame_offset=1)
    meter.update(None, None, sequence="clip")
    before = meter.to_json()
    with pytest.raises(StateError, match=r"frame 0 of sequence 'clip' is None or did not come.* at frame 1"):
        meter.update(A, B, sequence="clip")
    assert meter.to_json() == before
    meter.update(A, None, sequence="clip")
    meter.update(A, B, sequence="clip")
    assert meter.compute().num_pairs == 1


def test_gaps_of_numbers_are_frames_that_were_not_run():
    meter = FlameMeter(2, frame_offset=2)
    meter.update(A, None, sequence="clip", frame=17)
    meter.update(None, B, sequence="clip", frame=19)
    assert meter.compute().num_pairs == 1
    assert "by order" not in meter.compute().signature
    with pytest.raises(StateError, match=r"frame 20 of sequence 'clip' .* did not come"):
        meter.update(A, B, sequence="clip", frame=22)
    meter.update(A, B, sequence="other", frame=100)  # what came before its first number is nothing yet
    assert meter.compute().by_sequence()["other"].coverage == 0


@pytest.mark.parametrize("frame", [3, 2, np.int64(0)])
def test_numbers_that_do_not_rise(frame):
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, B, sequence="clip", frame=3)
    with pytest.raises(StateError, match=r"came after frame 3, expected rising numbers"):
        meter.update(A, B, sequence="clip", frame=frame)
    meter.update(A, B, sequence="clip", frame=4)


@pytest.mark.parametrize("frame", [-1, 1.0, "1", True, [0, 1], np.array([0.5])])
def test_what_is_not_a_frame_number(frame):
    with pytest.raises(ConfigError, match="`frame`"):
        FlameMeter(2, frame_offset=1).update(A, B, sequence="clip", frame=frame)


def test_rows_of_one_id_are_consecutive_frames_and_a_list_has_an_id_a_row():
    preds, targets = np.array([A, B, A]), np.array([B, B, A])
    whole = FlameMeter(2, frame_offset=1)
    whole.update_sequence(list(preds), list(targets), sequence="clip")
    as_batch, as_list = FlameMeter(2, frame_offset=1), FlameMeter(2, frame_offset=1)
    as_batch.update(preds, targets, sequence="clip", frame=np.arange(3))
    as_list.update(preds, targets, sequence=["clip"] * 3)
    assert counts_of(as_batch) == counts_of(as_list) == counts_of(whole)


def test_lists_may_hold_none_on_either_side():
    meter = FlameMeter(2, frame_offset=1)
    meter.update([np.array(A), None, None], [None, np.array(B), None], sequence="clip")
    meter.update(None, None, sequence=["clip", "clip"])
    meter.update(None, [None, None], sequence="clip")
    assert meter.compute().num_pairs == 1
    assert meter.clips.running["clip"].next_number == 7


@pytest.mark.parametrize(
    ("pred", "target", "sequence", "error"),
    [
        (np.zeros((2, 1, 3), int), np.zeros((3, 1, 3), int), "clip", ShapeError),
        (np.zeros((2, 1, 3), int), np.zeros((1, 3), int), "clip", ShapeError),
        (np.zeros((2, 1, 3), int), np.zeros((2, 1, 3), int), ["clip"], ShapeError),
        (np.zeros((1, 3), int), np.zeros((1, 3), int), ["clip"], ShapeError),
        (np.zeros((2, 2, 1, 3), int), np.zeros((2, 2, 1, 3), int), "clip", ShapeError),
        (np.zeros((0, 1, 3), int), np.zeros((0, 1, 3), int), "clip", ShapeError),
        ([np.array(A), np.array([[0, 9, 1]])], [np.array(A), np.array(B)], "clip", LabelError),
        ([np.array(B), np.array(A)], [np.array(A), np.array([[0, 9, 1]])], ["other", "clip"], LabelError),
        (np.array([A, B]), np.array([A, B]), ["other", 5], ConfigError),
        (np.array([A, B]), np.array([A, B]), ["other", ""], ConfigError),
        (np.array([A, B]), np.array([A, B]), [], ConfigError),
    ],
)
def test_if_anything_is_wrong_nothing_has_happened(pred, target, sequence, error):
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, B, sequence="clip")
    before = meter.to_json()
    with pytest.raises(error):
        meter.update(pred, target, sequence=sequence)
    assert meter.to_json() == before


def test_sizes_may_differ_between_clips_but_not_within_one():
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, B, sequence="small")
    meter.update([[0, 1], [1, 1]], [[0, 1], [1, 1]], sequence="other")
    with pytest.raises(ShapeError, match=r"frame 1 of sequence 'small'.*prediction of frame 0"):
        meter.update([[0, 1], [1, 1]], [[0, 1], [1, 1]], sequence="small")
    meter.update(A, B, sequence="small")
    assert meter.compute().num_pairs == 1


@pytest.mark.parametrize(("before_first", "tallies"), [("skip", (1, 3, 3, 3)), ("void", (3, 3, 9, 9))])
def test_the_last_predictions_are_never_scored_and_the_first_labels_follow_before_first(before_first, tallies):
    meter = FlameMeter(2, frame_offset=2, before_first=before_first)
    for pred, target in ((A, B), (B, A), (B, A)):
        meter.update(pred, target, sequence="clip")
    expected, (_, *others) = oracle.clip_counts([A, B, B], [B, A, A], [-1, -1, 0], 2, missing=before_first == "void")
    assert counts_of(meter) == {"clip": (expected.tolist(), (1, *others))}
    assert (tallies[1:]) == tuple(others)


def test_compute_in_mid_clip_and_reset():
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, B, sequence="clip")
    meter.update(A, B, sequence="clip")
    assert meter.compute().num_pairs == 1
    meter.update(A, B, sequence="clip")
    assert meter.compute().num_pairs == 2
    meter.reset()
    assert not meter.sequences
    assert not meter.clips.names
    meter.update(A, B, sequence="clip")
    assert meter.sequences["clip"].pairs == 0


def test_an_ended_id_begins_anew_and_its_counts_add():
    meter = FlameMeter(2, frame_offset=1)
    for _ in range(2):
        for frame in range(3):
            meter.update(A, B, sequence="clip", frame=frame)
        meter.end("clip")
    assert meter.sequences["clip"].pairs == 4
    meter.end("never stepped")
    assert "never stepped" not in meter.clips


def test_the_idlest_clip_is_given_up():
    meter = FlameMeter(2, frame_offset=1, max_sequences=2)
    for name in ("a", "b", "a", "c"):
        meter.update(A, B, sequence=name)
    meter.update(A, B, sequence="a")
    with pytest.raises(StateError, match=r"'b' was given up.*`max_sequences`"):
        meter.update(A, B, sequence="b")
    meter.end("b")
    meter.update(A, B, sequence="b")
    with pytest.raises(ConfigError, match="`max_sequences`"):
        FlameMeter(2, max_sequences=0)


def test_without_delay_no_clip_is_given_up():
    meter = FlameMeter(2, max_sequences=1)
    for name in ("a", "b", "a"):
        meter.update(A, B, sequence=name)
    assert meter.sequences["a"].pairs == 2


def test_an_id_is_stepped_paired_or_closed():
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, B, sequence="stepped")
    meter.update_pair(A, B, sequence="paired")
    meter.update_sequence([A, B], [A, B], sequence="closed")
    steps = (meter.update, {"pred": A, "target": B})
    pairs = (meter.update_pair, {"pred": A, "target": B})
    missing = (meter.update_missing, {"target": B})
    whole = (meter.update_sequence, {"preds": [A, B], "targets": [A, B]})
    wrong = {"stepped": (pairs, missing, whole), "paired": (steps, whole), "closed": (steps, pairs, missing, whole)}
    before = meter.to_json()
    for name, calls in wrong.items():
        for call, arguments in calls:
            with pytest.raises(StateError, match=name):
                call(**arguments, sequence=name)
    meter.end("stepped")
    with pytest.raises(StateError, match="stepped"):
        meter.update_pair(A, B, sequence="stepped")
    after = FlameMeter.from_json(before)
    after.end("stepped")
    assert meter.to_json() == after.to_json()


def test_without_delay_steps_and_pairs_of_one_id_add():
    meter = FlameMeter(2)
    meter.update(A, B, sequence="clip")
    meter.update_pair(A, B, sequence="clip")
    assert meter.sequences["clip"].pairs == 2


def test_steps_and_schedules_do_not_mix():
    schedule = Schedule.fixed(2, 1)
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, B, sequence="clip")
    with pytest.raises(StateError, match="the other kind"):
        meter.update_sequence([A, B], [A, B], sequence="whole", schedule=schedule)
    meter = FlameMeter(2, frame_offset=1)
    meter.update_sequence([A, B], [A, B], sequence="whole", schedule=schedule)
    with pytest.raises(StateError, match="the other kind"):
        meter.update(A, B, sequence="clip")


def test_arrays_may_be_reused():
    pred = np.array(A)
    meter, expected = (FlameMeter(2, frame_offset=1) for _ in range(2))
    for frame in (A, B, A):
        pred[:] = frame
        meter.update(pred, pred, sequence="clip")
    expected.update_sequence([A, B, A], [A, B, A], sequence="clip")
    assert counts_of(meter) == counts_of(expected)


def test_results_say_what_they_are_and_how_frames_were_paired():
    meter = FlameMeter(2, frame_offset=1)
    meter.update_pair(A, B)
    assert meter.compute().score_name == "FLAME"
    by_schedule = FlameMeter(2)
    by_schedule.update_sequence([A, B], [A, B], sequence="clip", schedule=Schedule.fixed(2, 1))
    assert by_schedule.compute().signature.startswith("streaming ")
    stepped = FlameMeter(2, frame_offset=1)
    walk(stepped, {"clip": ([A, B], [A, B])})
    result = stepped.compute()
    again = FlameResult.from_json(result.to_json())
    assert result.by_order
    assert again == result
    assert again.signature == result.signature


# ── laws ──


@examples(60)
@given(st.data(), st.integers(0, 4), st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_law_any_interleaving_batches_and_copies_count_what_whole_clips_count(data, k, lengths):
    clips = {f"clip {number}": clip(length, number) for number, length in enumerate(lengths)}
    whole = FlameMeter(**OPTIONS, frame_offset=k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        for name, (preds, targets) in clips.items():
            whole.update_sequence(preds, targets, sequence=name)
    meter = FlameMeter(**OPTIONS, frame_offset=k, max_sequences=len(clips))
    left = {name: list(zip(range(len(preds)), preds, targets, strict=True)) for name, (preds, targets) in clips.items()}
    while any(left.values()):
        rows = []
        for _ in range(data.draw(st.integers(1, 4))):
            names = [name for name, steps in left.items() if steps]
            if names:
                name = data.draw(st.sampled_from(names))
                rows.append((name, *left[name].pop(0)))
        ids, numbers, preds, targets = (list(column) for column in zip(*rows, strict=True))
        frame = {"frame": numbers} if data.draw(st.booleans()) else {}
        if len(rows) == 1 and data.draw(st.booleans()):
            meter.update(preds[0], targets[0], sequence=ids[0], **frame)
        else:
            meter.update(preds, targets, sequence=ids[0] if len(set(ids)) == 1 else ids, **frame)
        copied = data.draw(st.sampled_from(["none", "pickle", "deepcopy", "json"]))
        if copied == "pickle":
            meter = pickle.loads(pickle.dumps(meter))
        elif copied == "deepcopy":
            meter = copy.deepcopy(meter)
        elif copied == "json":
            meter = FlameMeter.from_json(meter.to_json())
    assert counts_of(meter) == {name: counts for name, counts in counts_of(whole).items() if counts[1][1]}


@examples(30)
@given(st.integers(0, 3), st.integers(1, 8), st.integers(0, 99), st.sampled_from(["skip", "void"]))
def test_law_steps_are_the_oracles_pairs(k, length, seed, before_first):
    preds, targets = clip(length, seed)
    meter = FlameMeter(**OPTIONS, frame_offset=k, before_first=before_first)
    for number, (pred, target) in enumerate(zip(preds, targets, strict=True)):
        meter.update(pred, target, sequence="clip", frame=5 + 2 * number if k == 0 else number)
    missing = before_first == "void"
    expected, tallies = oracle.clip_counts(
        preds, targets, oracle.fixed_sources(k, length), CLASSES, VOID, missing=missing
    )
    found = counts_of(meter).get("clip", (np.zeros((3, CLASSES), int).tolist(), (0, 0, 0, 0)))
    assert found[0] == expected.tolist()
    assert found[1] == tuple(tallies)


# ── merging ──


def stepped(name, *, end=True, k=1, frames=(A, B, A)):
    meter = FlameMeter(2, frame_offset=k)
    for frame in frames:
        meter.update(frame, frame, sequence=name)
    if end:
        meter.end(name)
    return meter


def test_clips_that_a_sampler_repeats_are_kept_once():
    meter = stepped("clip")
    with pytest.warns(FlameWarning, match="kept once"):
        meter.merge(stepped("clip"))
    assert counts_of(meter) == counts_of(stepped("clip"))
    with pytest.raises(StateError, match="different counts"):
        meter.merge(stepped("clip", frames=(A, A, A)))


def test_clips_that_still_run_on_both_sides_are_refused_by_the_cause():
    meter = stepped("clip", end=False)
    before = meter.to_json()
    with pytest.raises(StateError, match=r"sampler over clips, not over frames.*end\(sequence\)"):
        meter.merge(stepped("clip", end=False))
    with pytest.raises(StateError, match="on one side only"):
        meter.merge(stepped("clip"))
    pairs = FlameMeter(2, frame_offset=1)
    pairs.update_pair(A, B, sequence="clip")
    with pytest.raises(StateError, match="ids of one kind"):
        meter.merge(pairs)
    with pytest.raises(StateError, match="ids of one kind"):
        pairs.merge(meter)
    assert meter.to_json() == before


def test_without_delay_clips_on_both_sides_add():
    meter = stepped("clip", end=False, k=0)
    meter.merge(stepped("clip", end=False, k=0))
    assert meter.sequences["clip"].pairs == 6


def test_what_waits_elsewhere_is_not_taken_over():
    meter = stepped("here", end=False)
    meter.merge(stepped("there", end=False))
    meter.update(A, B, sequence="here")
    with pytest.raises(StateError, match="came from a merge"):
        meter.update(A, B, sequence="there")
    assert {name: counts.pairs for name, counts in meter.sequences.items()} == {"here": 3, "there": 2}
    assert meter.compute().by_order


# ── JSON ──


def test_records_of_releases_that_held_counts_only():
    meter = FlameMeter(2, frame_offset=1)
    meter.update_sequence([A, B], [A, B], sequence="clip")
    old = meter.to_json().replace("flame-metric meter 2", "flame-metric meter 1")
    clips = old.index('"clips"')
    old = old[:clips] + old[old.index('"sequences"') :]
    assert counts_of(FlameMeter.from_json(old)) == counts_of(meter)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"shape": [1, 3]', '"shape": [1, 300000000]'),
        ('"shape": [1, 3]', '"shape": [0, 3]'),
        ('"shape": [1, 3]', '"shape": [1.0, 3]'),
        ('"pixels": "', '"pixels": "AAAA'),
        ('"frames": 1', '"frames": 9'),
        ('"frames": 1', '"frames": -1'),
        ('"frame": 0', '"frame": 1'),
        ('"first": 0', '"first": "0"'),
        ('"ended": []', '"ended": ["clip"]'),
        ('"id": "clip"', '"id": 5'),
        ('"max_sequences": 16', '"max_sequences": 0'),
    ],
)
def test_damaged_records_of_running_clips(old, new):
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, None, sequence="clip")
    text = meter.to_json()
    assert FlameMeter.from_json(text).to_json() == text
    assert old in text
    with pytest.raises(StateError):
        FlameMeter.from_json(text.replace(old, new))


def test_labels_of_records_that_are_not_classes():
    many = FlameMeter(9, frame_offset=1)
    many.update([[0, 8, 1]], None, sequence="clip")
    few = FlameMeter(2, frame_offset=1)
    few.update(A, None, sequence="clip")
    pixels = [text.split('"pixels": "')[1].split('"')[0] for text in (few.to_json(), many.to_json())]
    with pytest.raises(StateError, match="label map"):
        FlameMeter.from_json(few.to_json().replace(*pixels))


# ── threads ──


@pytest.fixture
def short_turns():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def run_threads(*targets):
    errors = []

    def guard(target):
        try:
            target()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guard, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.usefixtures("short_turns")
def test_threads_with_pairs_lose_none():
    meter = FlameMeter(2)

    def work():
        for _ in range(1000):
            meter.update_pair(A, B)

    assert not run_threads(*[work] * 4)
    assert meter.sequences[""].pairs == 4000


@pytest.mark.usefixtures("short_turns")
@pytest.mark.parametrize("options", [{}, {"sequence": "clip"}])
def test_threads_without_delay_lose_no_frame(options):
    meter = FlameMeter(2)

    def work():
        for _ in range(500):
            meter.update(A, B, **options)

    assert not run_threads(*[work] * 4)
    assert meter.compute().num_pairs == 2000


@pytest.mark.usefixtures("short_turns")
def test_threads_with_clips_of_their_own_count_what_one_thread_counts():
    meter, expected = (FlameMeter(2, frame_offset=1, max_sequences=4) for _ in range(2))

    def work(target, thread):
        def run():
            for number in range(25):
                for frame in (A, B, A):
                    target.update(frame, frame, sequence=f"{thread} {number}")
                target.end(f"{thread} {number}")

        return run

    assert not run_threads(*(work(meter, thread) for thread in range(4)))
    for thread in range(4):
        work(expected, thread)()
    assert counts_of(meter) == counts_of(expected)


def test_two_threads_that_step_one_clip_are_an_error():
    meter = FlameMeter(2, frame_offset=1)
    with meter.clips.hold(["clip"]), pytest.raises(StateError, match="two threads"):
        meter.update(A, B, sequence="clip")
    meter.update(A, B, sequence="clip")


@pytest.mark.parametrize(
    ("pred", "target", "hint"),
    [
        (np.zeros((2, 1, 3), int), np.zeros((2, 1, 1, 3), int), r"target\.squeeze\(-3\)"),
        (np.zeros((2, 1, 1, 3), int), np.zeros((2, 1, 3), int), r"pred\.squeeze\(-3\)"),
        (np.zeros((2, 2, 1, 3), int), np.zeros((2, 1, 3), int), r"pred\.argmax\(-3\)"),
        (np.zeros((2, 1, 3)), np.zeros((2, 1, 3), int), r"\.astype\(int\)"),
    ],
)
def test_shapes_that_have_one_remedy(pred, target, hint):
    with pytest.raises(ShapeError, match=hint):
        FlameMeter(2, frame_offset=1).update(pred, target, sequence="clip")


@pytest.mark.parametrize("frame", [[np.int64(3), np.array(4)], np.array([3, 4], np.uint8), (3, 4)])
def test_forms_of_frame_numbers(frame):
    meter = FlameMeter(2, frame_offset=1)
    meter.update(np.array([A, B]), np.array([A, B]), sequence="clip", frame=frame)
    assert meter.clips.running["clip"].next_number == 5


# ── kinds, once more ──


def test_an_ended_id_that_is_stepped_anew_is_open_again():
    again = stepped("clip")
    again.update(A, B, sequence="clip")
    with pytest.raises(StateError, match="on one side only"):
        again.merge(stepped("clip"))
    with pytest.raises(StateError, match="not ended"):
        again.merge(stepped("clip", end=False))


def test_labels_that_are_missed_pass_no_time():
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, B, sequence="clip")
    meter.update_missing(B, sequence="pairs")
    with pytest.raises(StateError, match="stepped"):
        meter.update_missing(B, sequence="clip")
    meter.update(A, B, sequence="clip")
    assert meter.clips.running["clip"].next_number == 2
    assert meter.compute().num_pairs == 1


@pytest.mark.parametrize("k", [0, 1])
def test_whole_clips_without_an_id_add_and_are_never_closed(k):
    meter = FlameMeter(2, frame_offset=k)
    for _ in range(2):
        meter.update_sequence([A, B, A], [A, B, A], sequence="")
    assert meter.sequences[""].pairs == 2 * (3 - k)
    assert not meter.closed
    meter.update_pair(A, B)
    assert meter.sequences[""].pairs == 2 * (3 - k) + 1


@pytest.mark.parametrize("frame", [[4, 4], [4, 3], [4], [4, 5, 6], [4, -1], [4, None], 4])
def test_wrong_numbers_of_a_batch_move_no_row(frame):
    meter = FlameMeter(2, frame_offset=1)
    meter.update(A, B, sequence="clip", frame=3)
    before = meter.to_json()
    with pytest.raises((ConfigError, StateError)):
        meter.update(np.array([A, B]), np.array([A, B]), sequence="clip", frame=frame)
    assert meter.to_json() == before


def test_sixteen_clips_may_run_at_a_time():
    meter = FlameMeter(2, frame_offset=1)
    for number in range(17):
        meter.update(A, B, sequence=str(number))
    assert meter.clips.given_up == {"0"}
