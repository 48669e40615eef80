"""Figures of scores hold the library's numbers: what is drawn is compared with what is computed."""

import re

import numpy as np
import pytest

from flame_metric import FlameMeter, OffsetBank, flame_score
from flame_metric.errors import ConfigError
from flame_metric.scores.ranking import Contender

pytest.importorskip("matplotlib", reason="figures need matplotlib")
from matplotlib.figure import Figure

from flame_metric.figures import plot_class_losses, plot_latency_curve

NAMES = ("road", "car", "sky")


def make_bank(*, fps=20, sequences=3, persistence=False, seed=0) -> OffsetBank:
    """Label maps that shift by a column a frame, and predictions with some errors."""
    generator = np.random.default_rng(seed)
    bank = OffsetBank(3, max_offset=4, fps=fps, class_names=NAMES, persistence=persistence)
    for number in range(sequences):
        scene = generator.integers(0, 3, (6, 30))
        targets = [scene[:, frame : frame + 20] for frame in range(8)]
        preds = [np.where(generator.random(target.shape) < 0.2, 0, target) for target in targets]
        bank.update_sequence(preds, targets, sequence=f"clip {number}")
    return bank


def contender(bank: OffsetBank, name: str, latency: float, *, streaming: bool = True) -> Contender:
    stream = bank.stream(latency) if streaming else None
    return Contender(name, bank.score(latency_ms=latency), bank.score(frame_offset=0), stream)


def labels_of(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line_of(ax, label):
    (found,) = [line for line in ax.get_lines() if line.get_label() == label]
    return found


def drawn(figure: Figure) -> None:
    """Lay out and draw; warnings are errors."""
    figure.draw_without_rendering()


# ── mean IoU against latency ──


def test_the_staircase_is_the_curve():
    """d = 50 ms: offset k up to 50 k ms, and the value of a place holds to its left ("pre")."""
    curve = make_bank().curve()
    figure, ax = plot_latency_curve(curve)
    line = line_of(ax, "mean IoU")
    assert line.get_xdata().tolist() == [0, 50, 100, 150, 200]
    assert line.get_ydata().tolist() == curve.miou.tolist()
    assert line.get_drawstyle() == "steps-pre"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latency (ms)", "mean IoU")
    drawn(figure)


@pytest.mark.parametrize("latency", [10, 49.9, 50, 51, 120, 200])
def test_the_staircase_has_the_score_of_each_latency(latency):
    bank = make_bank()
    line = line_of(plot_latency_curve(bank.curve())[1], "mean IoU")
    place = np.searchsorted(line.get_xdata(), latency, side="left")  # as "steps-pre" draws it
    assert line.get_ydata()[place] == bank.score(latency_ms=latency).miou


def test_the_band_is_the_interval_of_each_offset():
    curve = make_bank().curve()
    _, ax = plot_latency_curve(curve)
    (band,) = ax.collections
    corners = {(round(x, 6), round(y, 6)) for x, y in band.get_paths()[0].vertices}
    for place, result in zip((0, 50, 100, 150, 200), curve.results, strict=True):
        assert {(place, round(result.interval.low, 6)), (place, round(result.interval.high, 6))} <= corners
    assert "95 % interval over sequences" in labels_of(ax)


def test_one_sequence_has_no_band():
    _, ax = plot_latency_curve(make_bank(sequences=1).curve())
    assert len(ax.collections) == 0
    assert labels_of(ax) == ["mean IoU"]


def test_persistence_is_drawn_where_it_was_counted():
    curve = make_bank(persistence=True).curve()
    _, ax = plot_latency_curve(curve)
    line = line_of(ax, "labels as predictions (persistence)")
    assert line.get_ydata().tolist() == [result.miou for result in curve.persistence]
    assert line.get_linestyle() == ":"


def test_networks_are_marked_at_their_latency():
    bank = make_bank()
    networks = [contender(bank, "fast", 40), contender(bank, "slow", 130, streaming=False)]
    figure, ax = plot_latency_curve(bank.curve(), networks=networks)
    fast, slow = ax.containers
    for bars, network, latency in ((fast, networks[0], 40), (slow, networks[1], 130)):
        point, caps, _ = bars
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (latency, network.flame.miou)
        ends = sorted(float(cap.get_ydata()[0]) for cap in caps)
        assert ends == pytest.approx([network.flame.interval.low, network.flame.interval.high])
    hollow = [line for line in ax.get_lines() if line.get_markerfacecolor() == "white"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in hollow] == [(40, networks[0].streaming.miou)]
    assert labels_of(ax)[-3:] == ["fast: 40.0 ms, k = 1", "slow: 130.0 ms, k = 3", "hollow: on a stream"]
    drawn(figure)


def test_several_curves_differ_by_more_than_colour():
    curves = {name: make_bank(seed=seed, persistence=True).curve() for seed, name in enumerate("abc")}
    _, ax = plot_latency_curve(curves, networks=[contender(make_bank(seed=1), "b", 40)])
    lines = [line_of(ax, name) for name in "abc"]
    assert [line.get_ydata().tolist() for line in lines] == [curve.miou.tolist() for curve in curves.values()]
    assert len({line.get_linestyle() for line in lines}) == len({line.get_color() for line in lines}) == 3
    assert ax.containers[0][0].get_color() == lines[1].get_color()  # of one name, one colour
    assert sum("persistence" in label for label in labels_of(ax)) == 1


def test_more_networks_than_looks_are_all_drawn():
    bank = make_bank()
    networks = [contender(bank, f"network {one}", 10 * one, streaming=False) for one in range(1, 16)]
    figure, ax = plot_latency_curve(bank.curve(), networks=networks)
    assert len(ax.containers) == 15
    drawn(figure)


def test_without_a_rate_the_axis_is_that_of_the_offset():
    curve = make_bank(fps=None).curve()
    figure, ax = plot_latency_curve(curve)
    assert line_of(ax, "mean IoU").get_xdata().tolist() == [0, 1, 2, 3, 4]
    assert ax.get_xlabel() == "frame offset k"
    drawn(figure)
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_offsets_are_written_above_their_latencies():
    figure, ax = plot_latency_curve(make_bank(fps="50/3").curve())
    (top,) = ax.child_axes
    figure.draw_without_rendering()
    assert top.get_xticks() == pytest.approx([30, 90, 150, 210])
    assert [label.get_text() for label in top.get_xticklabels()] == ["1", "2", "3", "4"]


def test_names_from_outside_stand_as_they_are():
    bank = make_bank()
    networks = [contender(bank, name, 40) for name in ("_hidden", "a $b$ c", "$\\frac$", "two\nlines")]
    figure, ax = plot_latency_curve({"$x$": bank.curve()}, networks=networks)
    texts = labels_of(ax)
    assert [text.split(":")[0] for text in texts[2:6]] == [" _hidden", r"a \$b\$ c", r"\$\frac\$", "two\ufffdlines"]
    assert texts[0] == r"\$x\$"
    drawn(figure)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda bank: ({}, []), "`curve` is empty, expected one curve or more"),
        (lambda bank: (bank, []), "expected a Curve, as bank.curve() returns it, or a mapping from names to Curves"),
        (lambda bank: ({"a": bank}, []), "expected a Curve, as bank.curve() returns it"),
        (lambda bank: (bank.curve(), [bank.score(frame_offset=0)]), "expected a sequence of Contender"),
        (lambda bank: (bank.curve(), [Contender("x", bank.score(frame_offset=1))]), "'x' without a latency"),
        (
            lambda bank: ({"a": bank.curve(), "b": make_bank(fps=30).curve()}, []),
            "the frame rates differ (a: 20, b: 30), expected one for all",
        ),
        (
            lambda bank: (bank.curve(), [contender(make_bank(fps="50/3"), "n", 40)]),
            "the frame rates differ (mean IoU: 20, n: 50/3)",
        ),
    ],
)
def test_what_no_curve_is_drawn_of(arguments, message):
    curve, networks = arguments(make_bank())
    with pytest.raises(ConfigError, match=re.escape(message)):
        plot_latency_curve(curve, networks=networks)


# ── classes ──


def score(pred, target):
    meter = FlameMeter(len(NAMES), class_names=NAMES)
    meter.update([pred], [target])
    return meter.compute()


TARGET = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
STATIC = score(TARGET, TARGET)  # 1, 1, 1
FLAME = score([0, 0, 0, 0, 1, 1, 0, 0, 2, 2], TARGET)  # 4/6, 2/4, 1
STREAM = score([0, 0, 0, 0, 1, 0, 0, 0, 2, 2], TARGET)  # 4/7, 1/4, 1


def bars_of(ax) -> dict[str, list[tuple[float, float, float]]]:
    """(row, from, to) of the bars by their label."""
    return {
        container.get_label(): [
            (round(bar.get_y() + bar.get_height() / 2, 6), bar.get_x(), bar.get_x() + bar.get_width())
            for bar in container
        ]
        for container in ax.containers
    }


def rows_of(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_each_class_has_its_three_scores_and_what_is_lost_between_them():
    figure, ax = plot_class_losses(STATIC, FLAME, STREAM)
    assert rows_of(ax) == ["car", "road", "sky", "mean IoU"]  # by what is lost
    for label, result in (("static", STATIC), ("FLAME", FLAME), ("streaming", STREAM)):
        expected = [*result.iou[[1, 0, 2]], result.miou]
        assert line_of(ax, label).get_xdata() == pytest.approx(expected)
    mean = [result.miou for result in (STATIC, FLAME, STREAM)]
    found = bars_of(ax)
    assert np.array(found["lost to latency"]) == pytest.approx(
        np.array([(0, 0.5, 1), (1, 4 / 6, 1), (3.4, mean[1], mean[0])])
    )
    assert np.array(found["lost to throughput"]) == pytest.approx(
        np.array([(0, 0.25, 0.5), (1, 4 / 7, 4 / 6), (3.4, mean[2], mean[1])])
    )
    assert set(labels_of(ax)) == {"static", "FLAME", "streaming", "lost to latency", "lost to throughput"}
    drawn(figure)


def test_classes_in_the_order_of_their_numbers():
    _, ax = plot_class_losses(STATIC, FLAME, order="class")
    assert rows_of(ax) == [*NAMES, "mean IoU"]
    assert labels_of(ax) == ["static", "FLAME", "lost to latency"]


def test_what_is_gained_is_no_loss():
    """A network that looks ahead is better on the frames to come."""
    _, ax = plot_class_losses(STREAM, FLAME)
    found = bars_of(ax)
    assert "lost to latency" not in found
    assert np.array(found["gained in spite of it"])[:, 2] == pytest.approx(
        np.array([STREAM.iou[0], STREAM.iou[1], STREAM.miou])
    )
    assert all(not patch.get_fill() or patch.get_facecolor()[3] == 0 for patch in ax.containers[0])


def test_a_class_that_occurs_nowhere_says_so():
    absent = score([0, 1], [0, 1])
    figure, ax = plot_class_losses(absent, absent)
    assert rows_of(ax) == ["road", "car", "sky", "mean IoU"]
    (text,) = ax.texts
    assert (text.get_text(), text.get_position()[1]) == ("occurs nowhere", 2)
    drawn(figure)


def test_marks_differ_in_shape():
    _, ax = plot_class_losses(STATIC, FLAME, STREAM)
    assert len({line_of(ax, label).get_marker() for label in ("static", "FLAME", "streaming")}) == 3


def test_a_score_without_names_has_numbers():
    video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]]
    static, flame = (flame_score(video, video, num_classes=2, latency_ms=latency, fps=20) for latency in (0, 50))
    assert rows_of(plot_class_losses(static, flame)[1]) == ["1", "0", "mean IoU"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((STATIC, 0.5), {}, "`flame` is 0.5, expected a FlameResult"),
        ((STATIC, FLAME), {"order": "name"}, "`order` is 'name', expected one of loss, class"),
        ((STATIC, FLAME), {"ax": "ax"}, "`ax` is 'ax', expected matplotlib Axes"),
        (
            (STATIC, flame_score([[[0]]], [[[0]]], num_classes=2, latency_ms=0, fps=1)),
            {},
            "the classes of the results differ (static: 3 from 'road' on; FLAME: 2 from '0' on)",
        ),
    ],
)
def test_what_no_classes_are_drawn_of(arguments, options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        plot_class_losses(*arguments, **options)


# ── axes ──


def test_figures_can_share_axes_of_the_caller():
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    inner = figure.add_gridspec(3, 1)[2].subgridspec(1, 1)
    below = figure.add_subplot(inner[0])
    for ax, draw in ((left, lambda ax: plot_latency_curve(make_bank().curve(), ax=ax)),
                     (right, lambda ax: plot_class_losses(STATIC, FLAME, ax=ax)),
                     (below, lambda ax: plot_class_losses(STATIC, STREAM, ax=ax))):  # fmt: skip
        found, same = draw(ax)
        assert found is figure
        assert same is ax


def test_axes_in_a_subfigure_return_the_whole_figure():
    figure = Figure()
    ax = figure.subfigures(1, 2)[0].subplots()
    assert plot_class_losses(STATIC, FLAME, ax=ax) == (figure, ax)
