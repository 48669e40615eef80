"""Strips: each picture is the overlay of the prediction that its latency leaves."""

import re

import numpy as np
import pytest

from flame_metric.data.synthetic import CLASS_NAMES, VOID, synthetic_video
from flame_metric.errors import ConfigError, LabelError, ShapeError
from flame_metric.figures import overlay, palette

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from flame_metric.figures import plot_latency_strip

STYLE = {"palette": palette(CLASS_NAMES), "ignore_index": VOID}
VIDEO = synthetic_video(num_frames=6, height=32, width=64, fps="50/3", seed=2)
FRAMES, LABELS = list(VIDEO.frames), list(VIDEO.targets)


def strip(**options):
    return plot_latency_strip(
        FRAMES, LABELS, **{"frame": 5, "latencies_ms": [0, 26, 76, 195], "fps": VIDEO.fps, **STYLE, **options}
    )


def test_each_picture_shows_the_prediction_of_its_latency():
    figure, axes = strip()
    assert [ax.get_title() for ax in axes] == ["0.0 ms: k = 0", "26.0 ms: k = 1", "76.0 ms: k = 2", "195.0 ms: k = 4"]
    for ax, offset in zip(axes, (0, 1, 2, 4), strict=True):
        (image,) = ax.get_images()
        assert np.array_equal(image.get_array(), overlay(FRAMES[5], LABELS[5 - offset], **STYLE))
    figure.draw_without_rendering()


def test_the_legend_has_every_class():
    figure, _ = strip(class_names=CLASS_NAMES, columns=2)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(CLASS_NAMES)
    colours = np.array([patch.get_facecolor()[:3] for patch in legend.get_patches()])
    assert np.rint(colours * 255).astype(int).tolist() == STYLE["palette"].tolist()
    figure.draw_without_rendering()


def test_without_names_there_is_no_legend():
    assert strip()[0].legends == []


@pytest.mark.parametrize(("columns", "shape"), [(None, (1, 4)), (3, (2, 3)), (1, (4, 1))])
def test_pictures_stand_in_columns(columns, shape):
    _, axes = strip(columns=columns)
    grid = axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == shape


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"frame": 3}, ConfigError, "`frame` is 3, but a latency needs the prediction of 4 frames before"),
        ({"frame": 6}, ConfigError, "`frame` is 6, expected a whole number >= 0 (at most 5)"),
        ({"latencies_ms": []}, ConfigError, "`latencies_ms` is empty"),
        ({"latencies_ms": [-1]}, ConfigError, "`latencies_ms` is -1, expected milliseconds >= 0"),
        ({"latencies_ms": 76}, ConfigError, "`latencies_ms` is 76, expected milliseconds"),
        ({"fps": 0}, ConfigError, "`fps` is 0"),
        ({"columns": 0}, ConfigError, "`columns` is 0"),
        ({"class_names": ["sky"]}, ConfigError, "`class_names` holds 1 names, expected 8, one for each colour"),
        ({"palette": STYLE["palette"][:2]}, LabelError, "prediction of frame 5: `pred` holds label(s)"),
        ({"palette": STYLE["palette"][:, :2]}, ShapeError, "`palette` has shape (8, 2)"),
    ],
)
def test_what_is_refused(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        strip(**options)


def test_a_prediction_that_is_missing_is_named():
    preds = [*LABELS[:3], None, *LABELS[4:]]
    with pytest.raises(ConfigError, match="`preds` is None at frame 3"):
        plot_latency_strip(FRAMES, preds, frame=5, latencies_ms=[0, 76], fps=VIDEO.fps, **STYLE)
