"""Label maps over frames: colours worked out by hand, laws, and what is refused."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import Schedule, simulate_stream
from flame_metric.data.synthetic import CLASS_NAMES, VOID, synthetic_video
from flame_metric.errors import ConfigError, LabelError, ShapeError
from flame_metric.figures import flame_panels, mark_errors, on_screen, overlay, palette, panel_grid

RED, BLUE = [200, 0, 0], [0, 0, 200]
TWO = np.array([RED, BLUE], np.uint8)


def grey(height: int, width: int, level: int = 100) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


# ── one overlay ──


def test_colours_are_blended_and_void_is_left():
    found = overlay(grey(1, 3), [[0, 9, 1]], palette=TWO, ignore_index=9, opacity=0.25, line_width=0)
    assert found.dtype == np.uint8
    assert found.tolist() == [[[125, 75, 75], [100, 100, 100], [75, 75, 125]]]


def test_a_line_in_full_colour_on_either_side_of_a_border():
    found = overlay(grey(1, 6), [[0, 0, 0, 1, 1, 1]], palette=TWO, opacity=0, line_width=1)
    bare = [100, 100, 100]
    assert found.tolist() == [[bare, bare, RED, BLUE, bare, bare]]
    wide = overlay(grey(1, 6), [[0, 0, 0, 1, 1, 1]], palette=TWO, opacity=0, line_width=2)
    assert wide.tolist() == [[bare, RED, RED, BLUE, BLUE, bare]]


def test_a_border_with_void_is_drawn_on_the_side_of_the_class():
    found = overlay(grey(4, 1), [[0], [0], [7], [7]], palette=TWO, ignore_index=7, opacity=0, line_width=1)
    assert found[:, 0].tolist() == [[100, 100, 100], RED, [100, 100, 100], [100, 100, 100]]


def test_lines_grow_with_the_frame():
    labels = np.zeros((768, 8), int)
    labels[300:] = 1
    found = overlay(grey(768, 8), labels, palette=TWO, opacity=0)
    assert np.flatnonzero((found != 100).any(axis=(1, 2))).tolist() == [297, 298, 299, 300, 301, 302]
    small = overlay(grey(8, 8), np.eye(8, dtype=int), palette=TWO, opacity=0)
    assert small[0, 0].tolist() == BLUE  # at least one pixel


label_maps = st.integers(1, 7).flatmap(
    lambda width: st.lists(st.lists(st.sampled_from([0, 1, 2, 9]), min_size=width, max_size=width), min_size=1)
)


def near_border(labels, row, column, distance):
    """The definition, pixel by pixel: some pixel at most so far along the row or column begins another label."""
    height, width = labels.shape
    ours = {(row + step, column) for step in range(-distance, distance + 1)}
    ours |= {(row, column + step) for step in range(-distance, distance + 1)}
    inside = [(r, c) for r, c in ours if 0 <= r < height and 0 <= c < width]
    return any(labels[r, c] != labels[row, column] for r, c in inside)


@given(label_maps, st.integers(0, 3))
def test_lines_are_where_a_search_finds_them(rows, line_width):
    labels = np.array(rows)
    found = overlay(
        grey(*labels.shape), labels, palette=[RED, BLUE, [0, 200, 0]], ignore_index=9, opacity=0, line_width=line_width
    )
    for row, column in np.ndindex(*labels.shape):
        drawn = labels[row, column] != 9 and near_border(labels, row, column, line_width)
        assert (found[row, column] != 100).any() == drawn


@given(label_maps, st.floats(0, 1), st.integers(0, 255))
def test_a_colour_lies_between_that_of_the_frame_and_that_of_the_class(rows, opacity, level):
    labels, colours = np.array(rows), np.array([RED, BLUE, [0, 200, 0]])
    frame = grey(*labels.shape, level)
    found = overlay(frame, labels, palette=colours, ignore_index=9, opacity=opacity, line_width=0)
    expected = (1 - opacity) * frame + opacity * colours[np.where(labels == 9, 0, labels)]
    expected[labels == 9] = level
    assert np.abs(found - expected).max() <= 0.501


def test_what_is_given_stays_as_it_is():
    frame, labels = grey(2, 2), np.array([[0, 1], [1, 0]])
    found = overlay(frame, labels, palette=TWO, opacity=1)
    assert np.array_equal(found, TWO[labels])
    assert (frame == 100).all()
    assert labels.tolist() == [[0, 1], [1, 0]]


def test_a_tensor_is_a_label_map_too():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    labels = np.array([[0, 1], [1, 0]])
    expected = overlay(grey(2, 2), labels, palette=TWO)
    assert np.array_equal(overlay(grey(2, 2), torch.from_numpy(labels), palette=TWO), expected)


@pytest.mark.parametrize(
    ("frame", "labels", "options", "error", "message"),
    [
        (grey(2, 2), [[0, 1, 0]] * 2, {}, ShapeError, "the frame has shape (2, 2, 3) and its label map (2, 3)"),
        (grey(2, 2)[..., 0], [[0]], {}, ShapeError, "`frame` has shape (2, 2), expected (H, W, 3)"),
        (grey(2, 2) / 255, [[0, 0]] * 2, {}, ConfigError, "`frame` holds float64 values, expected bytes"),
        (grey(1, 1), [[2]], {}, LabelError, "`labels` holds label(s) [2]"),
        (grey(1, 1), [[255]], {}, LabelError, "255"),
        (grey(1, 1), [[0.5]], {}, LabelError, "`labels` holds float64"),
        (grey(1, 1), np.zeros((2, 1, 1)), {}, LabelError, "`labels` holds float64"),
        (grey(1, 1), [[0]], {"opacity": 1.5}, ConfigError, "`opacity` is 1.5, expected a number 0..1"),
        (grey(1, 1), [[0]], {"opacity": -0.1}, ConfigError, "`opacity` is -0.1"),
        (grey(1, 1), [[0]], {"opacity": float("nan")}, ConfigError, "`opacity` is nan"),
        (grey(1, 1), [[0]], {"line_width": -1}, ConfigError, "`line_width` is -1"),
        (grey(1, 1), [[0]], {"palette": [[0, 0]] * 2}, ShapeError, "`palette` has shape (2, 2), expected (C, 3)"),
        (grey(1, 1), [[0]], {"palette": [[0, 0, 300]] * 2}, ConfigError, "`palette` holds"),
        (grey(1, 1), [[0]], {"palette": [[0.0, 0, 1]] * 2}, ConfigError, "`palette` holds float64"),
        (grey(1, 1), [[0]], {"palette": [[0, 0, 1]]}, ConfigError, "`num_classes` is 1"),
    ],
)
def test_what_is_refused(frame, labels, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        overlay(frame, labels, **{"palette": TWO, **options})


# ── what is wrong ──


def test_errors_are_marked():
    frame = np.array([[[10, 20, 30], [50, 50, 50], [50, 50, 50], [200, 200, 200]]], np.uint8)
    found = mark_errors(frame, [[0, 0, 9, 1]], [[0, 1, 1, 9]], num_classes=2, ignore_index=9)
    brightness = round(0.6 * (0.299 * 10 + 0.587 * 20 + 0.114 * 30))
    yellow = [255, 190, 0]
    assert found.tolist() == [[[brightness] * 3, yellow, yellow, [40] * 3]]


def test_scores_are_marked_as_their_labels():
    labels = np.array([[0, 1], [1, 1]])
    scores = np.stack([labels == 0, labels == 1]).astype(np.float32)
    target = np.array([[0, 0], [1, 0]])
    expected = mark_errors(grey(2, 2), labels, target, num_classes=2)
    assert np.array_equal(mark_errors(grey(2, 2), scores, target, num_classes=2), expected)


# ── panels ──


def street(seed: int = 3):
    video = synthetic_video(num_frames=5, height=48, width=96, fps="50/3", seed=seed)
    return list(video.frames), list(video.targets)


STYLE = {"palette": palette(CLASS_NAMES), "ignore_index": VOID}


def test_the_panels_are_the_overlays():
    frames, targets = street()
    found = flame_panels(frames[0], frames[4], targets[0], targets[4], **STYLE)
    assert found.shape == (97, 193, 3)
    parts = found[:48, :96], found[:48, 97:], found[49:, :96], found[49:, 97:]
    expected = (
        overlay(frames[0], targets[0], **STYLE),
        overlay(frames[4], targets[0], **STYLE),
        overlay(frames[4], targets[4], **STYLE),
        mark_errors(frames[4], targets[0], targets[4], num_classes=8, ignore_index=VOID),
    )
    for part, one in zip(parts, expected, strict=True):
        assert np.array_equal(part, one)


def test_without_a_target_there_is_one_row():
    frames, targets = street()
    found = flame_panels(frames[0], frames[4], targets[0], **STYLE)
    assert np.array_equal(found, flame_panels(frames[0], frames[4], targets[0], targets[4], **STYLE)[:48])


def test_panels_of_scores_and_of_other_styles():
    frames, targets = street()
    labels = np.where(targets[0] == VOID, 0, targets[0])
    scores = (np.arange(8)[:, None, None] == labels).astype(np.float32)
    found = flame_panels(frames[0], frames[1], scores, **STYLE, opacity=0.8, line_width=3)
    expected = overlay(frames[0], labels, **STYLE, opacity=0.8, line_width=3)
    assert np.array_equal(found[:, :96], expected)


def test_frames_of_two_sizes_are_refused():
    with pytest.raises(ShapeError, match=r"`frame_then` has shape \(1, 2, 3\) and `frame_now` \(2, 1, 3\)"):
        flame_panels(grey(1, 2), grey(2, 1), [[0, 1]], palette=TWO)


def test_the_target_is_no_scores():
    with pytest.raises(LabelError, match="`target` holds float64"):
        flame_panels(grey(1, 1), grey(1, 1), [[0]], np.zeros((2, 1, 1)), palette=TWO)


@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 3))
def test_each_picture_is_at_its_place_in_the_grid(number, columns, gap):
    pictures = [grey(3, 2, level) for level in range(number)]
    found = panel_grid(pictures, columns=columns, gap=gap)
    rows, width = -(-number // columns), min(columns, number)
    assert found.shape == (3 * rows + gap * (rows - 1), 2 * width + gap * (width - 1), 3)
    for place in range(number):
        top, left = place // columns * (3 + gap), place % columns * (2 + gap)
        assert (found[top : top + 3, left : left + 2] == place).all()
    assert np.count_nonzero(found[..., 0] == 255) == found[..., 0].size - 6 * number


@pytest.mark.parametrize(
    ("panels", "options", "error", "message"),
    [
        ([], {}, ShapeError, "`panels` have shapes [], expected one or more"),
        ([grey(1, 2), grey(2, 1)], {}, ShapeError, "`panels` have shapes [(1, 2, 3), (2, 1, 3)]"),
        ([grey(1, 2)], {"columns": 0}, ConfigError, "`columns` is 0"),
        ([grey(1, 2)], {"gap": -1}, ConfigError, "`gap` is -1"),
    ],
)
def test_what_no_grid_is_made_of(panels, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        panel_grid(panels, **options)


# ── on screen ──


def test_a_stream_is_seen_as_its_schedule_says():
    """90 ms at one frame in 60 ms: frames 0, 1 and 3 are run; 0 is ready at frame 2, 1 at frame 3."""
    frames, targets = street()
    schedule = simulate_stream(90, num_frames=5, fps="50/3")
    assert schedule.source.tolist() == [-1, -1, 0, 1, 1]
    shown = list(on_screen(frames, [targets[0], targets[1], None, None, None], schedule, **STYLE))
    assert np.array_equal(shown[1], frames[1])
    for frame, source in ((2, 0), (3, 1), (4, 1)):
        assert np.array_equal(shown[frame], overlay(frames[frame], targets[source], **STYLE))


def test_a_bare_frame_is_no_view_of_the_video():
    frames = [grey(1, 1)]
    (shown,) = on_screen(frames, [[[0]]], Schedule.fixed(1, 1), palette=TWO)
    shown[:] = 0
    assert (frames[0] == 100).all()


def test_only_labelled_frames_are_shown():
    frames = [grey(1, 1, level) for level in (0, 50, 100)]
    schedule = Schedule([0, 2], [0, 0])
    shown = list(on_screen(frames, [[[0]]] * 3, schedule, palette=TWO, opacity=0))
    assert [int(picture[0, 0, 0]) for picture in shown] == [0, 100]


@pytest.mark.parametrize(
    ("preds", "schedule", "error", "message"),
    [
        ([[[0]], None], Schedule.fixed(2, 0), ConfigError, "`preds` is None at frame 1, expected labels"),
        ([[[0]], [[5]]], Schedule.fixed(2, 0), LabelError, "prediction of frame 1: `pred` holds label(s) [5]"),
        ([[[0]], [[0, 1]]], Schedule.fixed(2, 0), ShapeError, "prediction of frame 1: the frame has shape (1, 1, 3)"),
        ([[[0]]] * 3, Schedule.fixed(3, 0), ConfigError, "`schedule` reaches frame 2, expected one of the 2 frames"),
        (
            [[[0]]] * 2,
            simulate_stream(10, num_frames=2, fps=10, label_times_ms=[50]),
            ConfigError,
            "`schedule` has labels at times of their own",
        ),
    ],
)
def test_what_cannot_be_shown(preds, schedule, error, message):
    with pytest.raises(error, match=re.escape(message)):
        list(on_screen([grey(1, 1)] * 2, preds, schedule, palette=TWO))


# ── import ──


def test_pictures_need_no_package_but_numpy(run_python):
    program = (
        "import sys, flame_metric.figures; flame_metric.figures.palette; "
        "print({name.split('.')[0] for name in sys.modules} & {'matplotlib', 'PIL', 'scipy', 'torch'})"
    )
    assert run_python(program) == "set()"
