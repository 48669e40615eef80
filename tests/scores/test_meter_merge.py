"""Merging meters: exact in any order and grouping, refused across configurations, a sequence counted once."""

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import FlameMeter, FlameWarning, Schedule
from flame_metric.errors import StateError

A, B = [[0, 1, 1]], [[0, 0, 1]]
CLIPS = {f"clip {n}": ([A, B, A][:length], [B, A, A][:length]) for n, length in enumerate((3, 2, 3, 1, 2))}
OPTIONS = {"num_classes": 2, "latency_ms": 0, "fps": 30, "ignore_index": 255}


def make(*names, **options):
    meter = FlameMeter(**{**OPTIONS, **options})
    for name in names:
        meter.update_sequence(*CLIPS[name], sequence=name)
    return meter


def merged(meters):
    """All meters, merged into a fresh one, with the warnings that this gave."""
    total = FlameMeter(**OPTIONS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for meter in meters:
            total.merge(meter)
    return total, [str(warning.message) for warning in caught]


# ── by hand ──


def test_open_ids_add():
    one, other = FlameMeter(2), FlameMeter(2)
    one.update(A, B, sequence="open")
    other.update(B, B, sequence="open")
    one.merge(other)
    assert one.compute().total.tolist() == [[3, 2], [3, 3], [4, 2]]
    assert one.compute().tallies.tolist() == [[2, 2, 6, 6]]


def test_default_ids_add():
    one, other = FlameMeter(2), FlameMeter(2)
    for meter in (one, other):
        meter.update_sequence([A], [A], sequence="")
    one.merge(other)  # no warning: it is never closed
    assert one.compute().num_pairs == 2
    one.update(A, A)
    assert one.compute().num_pairs == 3


def test_the_other_meter_stays_as_it_was():
    one, other = make("clip 0"), make("clip 1")
    before = other.to_json()
    one.merge(other)
    one.update(A, B)
    assert other.to_json() == before


def test_closed_ids_stay_closed():
    one, other = make("clip 0"), make("clip 1")
    one.merge(other)
    with pytest.raises(StateError, match="sequence 'clip 1' is closed"):
        one.update(A, A, sequence="clip 1")


def test_identical_copy_is_counted_once_with_a_warning():
    one, other = make("clip 0", "clip 1"), make("clip 1", "clip 2")
    with pytest.warns(FlameWarning, match=r"1 sequence\(s\) came twice .* kept once: \['clip 1'\]"):
        one.merge(other)
    assert one.to_json() == make("clip 0", "clip 1", "clip 2").to_json()


def test_different_counts_of_one_clip_are_refused():
    one, other = make("clip 0"), FlameMeter(**OPTIONS)
    other.update_sequence([A], [A], sequence="clip 0")
    before = one.to_json()
    with pytest.raises(StateError, match="sequence 'clip 0' was scored on both sides with different counts"):
        one.merge(other)
    assert one.to_json() == before


@pytest.mark.parametrize("closed_first", [False, True])
def test_open_on_one_side_only_is_refused(closed_first):
    closed, opened = make("clip 0"), FlameMeter(**OPTIONS)
    opened.update(A, A, sequence="clip 0")
    one, other = (closed, opened) if closed_first else (opened, closed)
    before = one.to_json()
    with pytest.raises(StateError, match="'clip 0' were scored as a whole or ended on one side only"):
        one.merge(other)
    assert one.to_json() == before


def test_refusal_merges_nothing_at_all():
    one, other = make("clip 0"), make("clip 1", "clip 2")
    other.update(A, A, sequence="open")
    bad = FlameMeter(**OPTIONS)
    bad.update_sequence([A], [A], sequence="clip 0")
    bad.merge(other)
    before = one.to_json()
    with pytest.raises(StateError):
        one.merge(bad)
    assert one.to_json() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 7}, "num_classes: 2 / 7"),  # R15
        ({"latency_ms": 40}, r"latency_ms: 0\.0 / 40\.0"),
        ({"latency_ms": 40}, "frame_offset: 0 / 2"),
        ({"fps": 25}, "fps: 30 / 25"),
        ({"ignore_index": None}, "ignore_index: 255 / None"),
        ({"ignore_index": 0}, "ignore_index: 255 / 0"),
        ({"class_names": ["a", "b"]}, "class_names: None / "),
        ({"before_first": "void"}, "before_first: skip / void"),
        ({"hardware": "GPU"}, "hardware: None / GPU"),
    ],
)
def test_r14_r15_unlike_configurations_are_refused_by_field(change, message):
    one, other = FlameMeter(**OPTIONS), FlameMeter(**{**OPTIONS, **change})
    one.update_pair(A, B)
    other.update_pair(A, B)
    before = one.to_json()
    with pytest.raises(StateError, match=f"unlike configuration cannot merge: .*{message}"):
        one.merge(other)
    assert one.to_json() == before


def test_schedules_and_fixed_offsets_do_not_merge():
    one, other = make("clip 0"), FlameMeter(**OPTIONS)
    other.update_sequence(*CLIPS["clip 1"], sequence="clip 1", schedule=Schedule.fixed(2, 0))
    before = one.to_json()
    with pytest.raises(StateError, match="one scores by a schedule, one by a fixed offset"):
        one.merge(other)
    assert one.to_json() == before


def test_an_empty_meter_takes_over_the_schedule():
    one, other = FlameMeter(**OPTIONS), FlameMeter(**OPTIONS)
    other.update_sequence(*CLIPS["clip 0"], sequence="clip 0", schedule=Schedule.fixed(3, 0))
    one.merge(other)
    assert one.compute().frame_offset is None


# ── shards ──


@pytest.mark.parametrize("ranks", [2, 4])
def test_r16_padded_shards_of_clips_equal_one_process(ranks):
    names = list(CLIPS)
    padded = names + names[: -len(names) % ranks]  # as a sampler repeats samples until every rank has as many
    total, messages = merged(make(*padded[rank::ranks]) for rank in range(ranks))
    assert total.to_json() == make(*names).to_json()
    assert len(messages) == len(padded) - len(names)


def test_r17_empty_and_uneven_ranks():
    total, messages = merged([make(), make("clip 0"), make(*list(CLIPS)[1:]), make()])
    assert total.to_json() == make(*CLIPS).to_json()
    assert messages == []


def test_shards_travel_as_json():
    shards = [FlameMeter.from_json(make(name).to_json()) for name in CLIPS]
    total, _ = merged(shards)
    assert total.compute() == make(*CLIPS).compute()


# ── law ──

UPDATES = st.lists(st.tuples(st.sampled_from(["", "x", "y"]), st.sampled_from([(A, B), (B, A), (A, A)])), max_size=6)


@given(
    updates=UPDATES,
    clips=st.sets(st.sampled_from(sorted(CLIPS))),
    number=st.integers(1, 5),
    random=st.randoms(use_true_random=False),
)
def test_law_any_split_order_and_grouping_is_exact(updates, clips, number, random):
    single, shards = FlameMeter(**OPTIONS), [FlameMeter(**OPTIONS) for _ in range(number)]
    for name, pair in updates:
        for meter in (single, random.choice(shards)):
            meter.update_pair(*pair, sequence=name)
    for name in sorted(clips):
        for meter in (single, random.choice(shards)):
            meter.update_sequence(*CLIPS[name], sequence=name)
    random.shuffle(shards)
    while len(shards) > 1:
        other = shards.pop(random.randrange(len(shards)))
        random.choice(shards).merge(other)
    assert shards[0].to_json() == single.to_json()


@given(clips=st.lists(st.sets(st.sampled_from(sorted(CLIPS))), max_size=5))
def test_law_copies_of_clips_are_counted_once(clips):
    total, messages = merged(make(*sorted(names)) for names in clips)
    assert total.to_json() == make(*sorted(set().union(*clips))).to_json().replace(
        '"by_schedule": null', f'"by_schedule": {"false" if any(clips) else "null"}'
    )
    assert bool(messages) == (sum(map(len, clips)) > len(set().union(*clips)))
