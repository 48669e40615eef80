"""Running clips: what is remembered of each, and what copies of the book hold."""

import pytest

from flame_metric.core.schedule import Schedule, ScheduleTimeline
from flame_metric.errors import LabelError, StateError
from flame_metric.scores.clips import RunningClips, count_steps
from flame_metric.scores.time_step import TimeStep


def step(clips, sequence, *preds, labelled=True):
    """Let frames of a clip pass; return what was on screen at each."""
    with clips.hold([sequence]) as held:
        shown = [held.step(held.frame(sequence), pred, labelled=labelled) for pred in preds]
        held.commit()
    return shown


def test_what_waits_is_changed_in_a_copy():
    clips = RunningClips(2)
    step(clips, "clip", "a", None, "c", labelled=False)
    upper = clips.with_waiting(str.upper)
    assert step(upper, "clip", "d", labelled=False) == [{}]
    assert step(upper, "clip", "e") == [{2: "C"}]
    assert step(clips, "clip", "d", labelled=False) == [{}]
    assert step(clips, "clip", "e") == [{2: "c"}]


def test_without_what_waits_a_clip_is_remembered_and_cannot_go_on():
    clips = RunningClips(1)
    step(clips, "clip", "a")
    clips.end("over")
    bare = clips.without_waiting()
    assert bare.names == {"clip"}
    with pytest.raises(StateError, match="prediction of frame 0 of sequence 'clip' is None or did not come"):
        step(bare, "clip", "b")
    assert step(clips, "clip", "b") == [{0: "a"}]


def test_clips_have_only_begun_until_one_is_older_than_the_offset_or_has_ended():
    clips = RunningClips(2)
    assert not clips.have_only_begun  # there is none
    step(clips, "clip", "a", "b")
    step(clips, "other", "a")
    assert clips.have_only_begun
    older = clips.with_waiting(str)
    step(older, "clip", "c")
    assert not older.have_only_begun
    clips.end("other")
    assert not clips.have_only_begun


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_records_hold_what_waits_or_leave_it_out(offset):
    clips = RunningClips(offset)
    step(clips, "clip", *"abcd")
    step(clips, "over", "a")
    clips.end("over")
    again = RunningClips.from_dict(clips.to_dict(str.upper), offset, str.lower)
    assert again.names == {"clip", "over"}
    assert step(again, "clip", "e") == step(clips, "clip", "e") == [{4 - offset: "abcde"[4 - offset]}]
    bare = RunningClips.from_dict(clips.to_dict(None), offset, str)
    assert [dict(clip.line.waiting) for clip in bare.running.values()] == [{}]


def test_records_of_clips_under_a_schedule():
    schedule = Schedule([0, 1, 2, 3], [-1, 0, 0, 2])
    clips = RunningClips(None, timeline_of=lambda _: ScheduleTimeline(schedule))
    step(clips, "clip", "a", "b")
    again = RunningClips.from_dict(clips.to_dict(str), None, str, lambda _: ScheduleTimeline(schedule))
    assert step(again, "clip", "c", "d") == [{0: "a"}, {2: "c"}]
    record = clips.to_dict(str)
    record["running"][0]["waiting"].append({"frame": 1, "pred": "b"})  # never on screen
    with pytest.raises(StateError, match="has predictions waiting that nothing waits for"):
        RunningClips.from_dict(record, None, str, lambda _: ScheduleTimeline(schedule))


class Numbers(list):
    """Counts that add."""

    def __add__(self, other):
        return Numbers([*self, *other])


def test_steps_are_counted_by_sequence_and_coded_only_if_they_are_shown():
    schedule = Schedule([0, 1, 2], [-1, 0, 0])
    clips = RunningClips(None, timeline_of=lambda _: ScheduleTimeline(schedule))
    coded = []

    def code(one):
        coded.append(one.pred)
        return one.pred.upper()

    steps = [TimeStep(name, None, pred, target) for pred, target in ("a1", "b2", "c3") for name in ("x", "y")]
    with clips.hold(["x", "y"]) as held:
        counted = count_steps(steps, held, code, lambda shown, target: Numbers([(shown, target)]))
    assert counted == dict.fromkeys("xy", Numbers([({}, "1"), ({0: "A"}, "2"), ({0: "A"}, "3")]))
    assert coded == ["a", "a"]
    assert not clips.names  # nothing was committed


def test_an_error_says_at_which_frame():
    clips = RunningClips(1)

    def refuse(_):
        raise LabelError("no labels")

    with clips.hold(["clip"]) as held, pytest.raises(LabelError, match="frame 7 of sequence 'clip': no labels"):
        count_steps([TimeStep("clip", 7, "a", "1")], held, refuse, lambda *_: Numbers())
