"""Which prediction is on screen: the fixed offset of Eq. 4-5, schedules by hand, the delay line of online loops."""

import dataclasses
import math
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import FrameDelay, Schedule, simulate_stream, stream_timeline
from flame_metric.core.schedule import (
    NOTHING_YET,
    EveryOffset,
    FixedOffset,
    ScheduleTimeline,
    fixed_source,
    staleness_of,
)
from flame_metric.errors import ConfigError

# ── fixed offset ──


@pytest.mark.parametrize(
    ("num_frames", "offset", "source", "staleness", "coverage"),
    [
        (4, 0, [0, 1, 2, 3], [0, 0, 0, 0], 1.0),
        (4, 1, [-1, 0, 1, 2], [-1, 1, 1, 1], 0.75),
        (5, 2, [-1, -1, 0, 1, 2], [-1, -1, 2, 2, 2], 0.6),
        (3, 3, [-1, -1, -1], [-1, -1, -1], 0.0),
        (2, 9, [-1, -1], [-1, -1], 0.0),
        (1, 0, [0], [0], 1.0),
    ],
)
def test_fixed_offset_by_hand(num_frames, offset, source, staleness, coverage):
    schedule = Schedule.fixed(num_frames, offset)
    assert schedule.label_frame.tolist() == list(range(num_frames))
    assert schedule.source.tolist() == source
    assert schedule.staleness.tolist() == staleness
    assert schedule.shown.tolist() == [frame >= 0 for frame in source]
    assert schedule.coverage == coverage


def test_fixed_offset_of_the_specification():
    # l = 195 ms at d = 60 ms: k = 4
    assert Schedule.fixed(10, 4).source.tolist() == [-1, -1, -1, -1, 0, 1, 2, 3, 4, 5]


def test_no_frame_at_all():
    schedule = Schedule.fixed(0, 2)
    assert schedule.source.size == schedule.staleness.size == schedule.shown.size == 0
    assert math.isnan(schedule.coverage)


def test_nothing_yet_is_minus_one():
    assert NOTHING_YET == -1


@pytest.mark.parametrize(("num_frames", "offset", "named"), [(-1, 0, "num_frames"), (3, -1, "frame_offset")])
def test_negative_numbers_of_frames(num_frames, offset, named):
    with pytest.raises(ConfigError, match=f"`{named}` is -1, expected a whole number of frames >= 0$"):
        Schedule.fixed(num_frames, offset)


@pytest.mark.parametrize("offset", [1.5, "1", None])
def test_offset_that_is_no_number_of_frames(offset):
    with pytest.raises(ConfigError):
        Schedule.fixed(3, offset)


# ── any schedule ──


def test_one_worker_that_drops_frames():
    # l = 195 ms, d = 60 ms, one worker: runs 0, 3, 6, 9
    schedule = Schedule(range(10), [-1, -1, -1, -1, 0, 0, 0, 3, 3, 3])
    assert schedule.staleness.tolist() == [-1, -1, -1, -1, 4, 5, 6, 4, 5, 6]
    assert schedule.coverage == 0.6


def test_labels_at_some_frames_only():
    schedule = Schedule([4, 9, 19], [-1, 7, 15])
    assert schedule.staleness.tolist() == [-1, 2, 4]
    assert schedule.shown.tolist() == [False, True, True]


def test_no_labelled_frame():
    assert math.isnan(Schedule([], []).coverage)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "uint64"])
def test_arrays_become_int64_and_read_only(dtype):
    frames = np.array([0, 1, 2], dtype)
    schedule = Schedule(frames, frames)
    assert schedule.source.dtype == schedule.label_frame.dtype == np.int64
    with pytest.raises(ValueError, match="read-only"):
        schedule.source[0] = -1
    with pytest.raises(ValueError, match="read-only"):
        schedule.staleness[0] = 1
    frames[0] = 1  # the caller's array stays writable, and is another one
    assert schedule.source.tolist() == [0, 1, 2]


def test_schedule_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Schedule([0], [0]).source = np.array([-1])


@pytest.mark.parametrize(
    ("label_frame", "source", "message"),
    [
        (
            [0, 1],
            [0, 2],
            r"frame 1 is 2 \(1 such entries\), expected -1\.\.1: a prediction cannot come from the future$",
        ),
        ([0, 1, 2], [1, 2, 3], r"`source` of frame 0 is 1 \(3 such entries\)"),
        ([0, 1], [-2, 0], r"`source` of frame 0 is -2"),
        ([0, 1], [0], r"`source` has 1 entries for 2 labelled frames"),
        ([0], [0, 0], r"`source` has 2 entries for 1 labelled frames"),
        (
            [1, 0],
            [0, 0],
            "^`label_frame` is not ascending from 0 on, expected each labelled frame once, in order$",
        ),
        ([1, 1], [0, 0], "`label_frame` is not ascending"),
        ([-1, 0], [-1, 0], "`label_frame` is not ascending"),
        ([0.0, 1.0], [0, 1], r"`label_frame` has shape \(2,\) of float64"),
        ([0, 1], [0.0, 1.0], r"`source` has shape \(2,\) of float64"),
        ([True, False], [0, 1], "`label_frame` has shape"),
        ([[0, 1]], [[0, 1]], r"`label_frame` has shape \(1, 2\)"),
        (3, [0], r"`label_frame` has shape \(\)"),
        ([None], [0], "`label_frame` has shape"),
    ],
)
def test_schedules_that_are_refused(label_frame, source, message):
    with pytest.raises(ConfigError, match=message):
        Schedule(label_frame, source)


# ── what a loop asks while a clip goes on ──


@pytest.mark.parametrize(
    ("offset", "sources", "last_uses"),
    [
        (0, [[0], [1], [2], [3]], [0, 1, 2, 3]),
        (1, [[], [0], [1], [2]], [1, 2, 3, 4]),
        (3, [[], [], [], [0]], [3, 4, 5, 6]),
    ],
)
def test_fixed_offset_frame_by_frame(offset: int, sources: list[list[int]], last_uses: list[int]) -> None:
    timeline = FixedOffset(offset)
    assert timeline.offset == offset
    assert [list(timeline.sources(frame)) for frame in range(4)] == sources
    assert [timeline.last_use(frame) for frame in range(4)] == last_uses


@pytest.mark.parametrize(
    ("most", "sources", "last_uses"),
    [
        (0, [[0], [1], [2], [3]], [0, 1, 2, 3]),
        (1, [[0], [1, 0], [2, 1], [3, 2]], [1, 2, 3, 4]),
        (2, [[0], [1, 0], [2, 1, 0], [3, 2, 1]], [2, 3, 4, 5]),
        (9, [[0], [1, 0], [2, 1, 0], [3, 2, 1, 0]], [9, 10, 11, 12]),
    ],
)
def test_every_offset_frame_by_frame(most: int, sources: list[list[int]], last_uses: list[int]) -> None:
    timeline = EveryOffset(most)
    assert [list(timeline.sources(frame)) for frame in range(4)] == sources
    assert [timeline.last_use(frame) for frame in range(4)] == last_uses


def test_schedule_frame_by_frame() -> None:
    timeline = ScheduleTimeline(Schedule([1, 4, 5, 9], [-1, 2, 2, 7]))
    assert [timeline.sources(frame) for frame in (1, 4, 5, 9)] == [[], [2], [2], [7]]
    assert [timeline.last_use(frame) for frame in (2, 7)] == [5, 9]
    assert [timeline.last_use(frame) for frame in (0, 4)] == [-1, -1]  # never on screen
    with pytest.raises(ConfigError, match=r"^`schedule` says nothing of the labelled frame 2$"):
        timeline.sources(2)


def test_labels_at_times_of_their_own_belong_to_the_newest_frame_that_was_on_screen() -> None:
    timeline = ScheduleTimeline(Schedule([-1, 1, 3, 3, 5], [-1, 0, 3, 1, 4], per_label=True))
    assert [timeline.sources(frame) for frame in (0, 3, 4)] == [[0], [3, 1], [4]]
    assert [timeline.last_use(frame) for frame in range(6)] == [0, 3, -1, 3, 4, -1]


@pytest.mark.parametrize(
    ("frame", "offset", "source"),
    [(0, 0, 0), (4, 0, 4), (0, 1, -1), (1, 1, 0), (5, 7, -1), ([0, 1, 2, 9], 2, [-1, -1, 0, 7]), ([-1], 0, [-1])],
)
def test_frame_of_a_fixed_offset_before(frame: int | list[int], offset: int, source: int | list[int]) -> None:
    assert fixed_source(frame, offset).tolist() == source


@pytest.mark.parametrize(
    ("frame", "source", "ages"), [(3, 1, 2), (3, 3, 0), (3, -1, -1), ([0, 2, 7], [-1, 0, 7], [-1, 2, 0])]
)
def test_how_old_a_prediction_on_screen_is(
    frame: int | list[int], source: int | list[int], ages: int | list[int]
) -> None:
    assert staleness_of(frame, source).tolist() == ages


def test_schedule_that_is_longer_than_its_clip() -> None:
    timeline = ScheduleTimeline(Schedule([1, 4], [-1, 2]))
    timeline.check_length(5)
    with pytest.raises(ConfigError, match=r"^`schedule` reaches frame 4, but the clip ended after 4 frames$"):
        timeline.check_length(4)


def test_schedule_without_labels_fits_any_clip() -> None:
    ScheduleTimeline(Schedule([], [])).check_length(0)


# ── delay line ──


@pytest.mark.parametrize(
    ("offset", "out"),
    [
        (0, ["a", "b", "c", "d"]),
        (1, [None, "a", "b", "c"]),
        (2, [None, None, "a", "b"]),
        (9, [None, None, None, None]),
    ],
)
def test_delay_by_hand(offset, out):
    delay = FrameDelay(offset)
    assert [delay.push(item) for item in "abcd"] == out


def test_delay_forgets_at_a_new_sequence():
    delay = FrameDelay(1)
    delay.push("a")
    delay.reset()
    assert [delay.push(item) for item in "bc"] == [None, "b"]


def test_delay_passes_items_that_are_false_or_none():
    delay = FrameDelay(1)
    assert [delay.push(item) for item in (0, None, "", "x")] == [None, 0, None, ""]


@pytest.mark.parametrize("offset", [-1, -7])
def test_negative_delay(offset):
    with pytest.raises(ConfigError, match=f"`frame_offset` is {offset}, expected a whole number of frames >= 0$"):
        FrameDelay(offset)


@pytest.mark.parametrize("offset", [1.5, "1", None, float("nan")])
def test_delay_that_is_no_number_of_frames(offset):
    with pytest.raises(ConfigError, match="`frame_offset`"):
        FrameDelay(offset)


def test_delay_keeps_no_more_than_it_needs():
    class Frame:
        pass

    delay, alive = FrameDelay(3), []
    for _ in range(50):
        frame = Frame()
        alive.append(weakref.ref(frame))
        delay.push(frame)
        del frame
        assert sum(ref() is not None for ref in alive) <= 4


@given(st.integers(0, 12), st.integers(0, 12))
def test_law_delay_line_is_the_fixed_schedule(num_frames, offset):
    delay = FrameDelay(offset)
    out = [delay.push(frame) for frame in range(num_frames)]
    assert [NOTHING_YET if frame is None else frame for frame in out] == Schedule.fixed(
        num_frames, offset
    ).source.tolist()


@given(st.integers(0, 30), st.integers(0, 30))
def test_law_fixed_offset_is_stale_by_the_offset(num_frames, offset):
    schedule = Schedule.fixed(num_frames, offset)
    assert set(schedule.staleness[schedule.shown].tolist()) <= {offset}
    assert int(schedule.shown.sum()) == max(0, num_frames - offset)


def test_a_schedule_of_some_labelled_frames_keeps_their_times():
    """Sparse labels: the drawing and the record of a stream must not show the times of others."""
    schedule = simulate_stream(90, num_frames=10, fps="50/3").at([2, 7])
    assert schedule.source.tolist() == [0, 4]
    assert schedule.log.label_ns.tolist() == [120_000_000, 420_000_000]
    assert stream_timeline(schedule).count("\n") > 3


@pytest.mark.parametrize("frames", [[3], [2, 3], [8], [-1], [2.5]])
def test_frames_that_are_not_labelled(frames: list[float]) -> None:
    message = "^`frames` are not all labelled frames of this schedule, expected some of them, in order$"
    with pytest.raises(ConfigError, match=message):
        Schedule([2, 7], [0, 4]).at(frames)


@pytest.mark.parametrize(("frames", "source"), [([2], [0]), ([2, 7], [0, 4]), ([7], [4]), ([], [])])
def test_some_labelled_frames_without_a_log(frames: list[int], source: list[int]) -> None:
    schedule = Schedule([2, 7], [0, 4]).at(frames)
    assert schedule.label_frame.tolist() == frames
    assert schedule.source.tolist() == source
    assert schedule.log is None


def test_labels_with_times_of_their_own_are_no_frames() -> None:
    schedule = simulate_stream(90, num_frames=3, fps=10, label_times_ms=[100, 200])
    assert schedule.label_frame.tolist() == [1, 2]
    with pytest.raises(ConfigError, match="`frames` are not all labelled frames"):
        schedule.at([1])
