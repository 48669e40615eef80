"""The line of a clip: what is on screen at each labelled frame, what waits, and that a step is a value."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric import Schedule
from flame_metric.core.schedule import EveryOffset, FixedOffset, ScheduleTimeline
from flame_metric.errors import ConfigError
from flame_metric.scores.pairs import Line


def run(timeline, preds, *, unlabelled=()):
    """What is on screen at each frame, and what waits after it."""
    line, shown, waiting = Line(timeline), [], []
    for frame, pred in enumerate(preds):
        found, line = line.step(pred, labelled=frame not in unlabelled)
        shown.append(found)
        waiting.append(dict(line.waiting))
    return shown, waiting


# ── worked by hand ──


def test_a_fixed_offset():
    shown, waiting = run(FixedOffset(2), "abcd")
    assert shown == [{}, {}, {0: "a"}, {1: "b"}]
    assert waiting == [{0: "a"}, {0: "a", 1: "b"}, {1: "b", 2: "c"}, {2: "c", 3: "d"}]


def test_no_offset_keeps_nothing():
    assert run(FixedOffset(0), "ab") == ([{0: "a"}, {1: "b"}], [{}, {}])


def test_every_offset():
    shown, waiting = run(EveryOffset(1), "abc")
    assert shown == [{0: "a"}, {1: "b", 0: "a"}, {2: "c", 1: "b"}]
    assert waiting == [{0: "a"}, {1: "b"}, {2: "c"}]


def test_a_schedule_holds_what_is_still_to_be_shown_and_nothing_else():
    timeline = ScheduleTimeline(Schedule([1, 2, 4], [-1, 0, 0]))
    shown, waiting = run(timeline, "abcde", unlabelled=(0, 3))
    assert shown == [{}, {}, {0: "a"}, {}, {0: "a"}]
    assert waiting == [{0: "a"}, {0: "a"}, {0: "a"}, {0: "a"}, {}]


def test_labels_at_times_of_their_own_may_see_several_predictions_at_one_frame():
    timeline = ScheduleTimeline(Schedule([1, 2, 2], [0, 2, 1], per_label=True))
    shown, waiting = run(timeline, "abc", unlabelled=(1,))
    assert shown == [{0: "a"}, {}, {2: "c", 1: "b"}]
    assert waiting == [{}, {1: "b"}, {}]


def test_a_prediction_that_is_none_is_on_screen_as_none():
    assert run(FixedOffset(1), ["a", None, "c"])[0] == [{}, {0: "a"}, {1: None}]


def test_an_unlabelled_frame_asks_nothing_of_the_schedule():
    line = Line(ScheduleTimeline(Schedule([1], [0])))
    with pytest.raises(ConfigError, match="says nothing of the labelled frame 0"):
        line.step("a")
    shown, line = line.step("a", labelled=False)
    assert shown == {}
    assert line.step("b")[0] == {0: "a"}


def test_numbers_with_gaps():
    line = Line(EveryOffset(2))
    shown, line = line.step("a", frame=3)
    assert (shown, line.frame) == ({3: "a", 2: None, 1: None}, 4)
    shown, line = line.step("b", frame=5)
    assert shown == {5: "b", 4: None, 3: "a"}  # frame 4 never came
    shown, line = line.step("c", frame=9)
    assert shown == {9: "c", 8: None, 7: None}
    assert line.waiting == {9: "c"}


def test_until_when_the_next_prediction_is_shown():
    line = Line(ScheduleTimeline(Schedule([0, 5], [0, 0])))
    assert line.last_use == 5
    _, line = line.step("a")
    assert (line.frame, line.last_use) == (1, -1)


# ── a step is a value ──


def test_a_step_that_is_not_taken_has_not_happened():
    _, line = Line(FixedOffset(1)).step("a")
    before = (line.frame, dict(line.waiting))
    once, _ = line.step("b")
    twice, _ = line.step("c")
    assert once == twice == {0: "a"}
    assert (line.frame, dict(line.waiting)) == before


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda line: pickle.loads(pickle.dumps(line))])
@pytest.mark.parametrize("timeline", [FixedOffset(1), EveryOffset(1), ScheduleTimeline(Schedule([0, 1], [-1, 0]))])
def test_a_copy_goes_on_where_the_line_is(duplicate, timeline):
    _, line = Line(timeline).step(["a"])
    other = duplicate(line)
    line.waiting[0].append("later")
    assert other.step(["b"])[0][0] == ["a"]


# ── laws ──


@given(st.integers(0, 9), st.integers(0, 5), st.sets(st.integers(0, 8)))
def test_law_fixed_offsets_are_the_oracle_s(num_frames, offset, unlabelled):
    shown, waiting = run(FixedOffset(offset), range(num_frames), unlabelled=unlabelled)
    pairs = [(source, frame) for frame, found in enumerate(shown) for source in found]
    assert pairs == [pair for pair in oracle.pairs_at(offset, num_frames) if pair[1] not in unlabelled]
    assert all(found == {source: source for source in found} for found in shown)
    assert all(len(held) <= offset for held in waiting)


@given(st.integers(0, 9), st.integers(0, 5))
def test_law_every_offset_is_each_fixed_offset(num_frames, most):
    shown, _ = run(EveryOffset(most), range(num_frames))
    pairs = {(source, frame) for frame, found in enumerate(shown) for source in found}
    assert pairs == {pair for offset in range(most + 1) for pair in oracle.pairs_at(offset, num_frames)}


@given(st.data())
def test_law_a_schedule_is_followed_to_the_letter(data):
    num_frames = data.draw(st.integers(1, 9), "frames")
    labelled = sorted(data.draw(st.sets(st.integers(0, num_frames - 1)), "labelled"))
    sources = [data.draw(st.integers(-1, frame), f"source of {frame}") for frame in labelled]
    timeline = ScheduleTimeline(Schedule(labelled, sources))
    shown, waiting = run(timeline, range(num_frames), unlabelled=set(range(num_frames)) - set(labelled))
    for frame, source in zip(labelled, sources, strict=True):
        assert shown[frame] == ({} if source < 0 else {source: source})
    for frame, held in enumerate(waiting):
        still = {s for f, s in zip(labelled, sources, strict=True) if 0 <= s <= frame < f}
        assert held == {source: source for source in still}
