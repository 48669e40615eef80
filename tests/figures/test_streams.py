"""Figures of streams and latencies hold what the schedules and traces hold."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import LatencyTrace, Schedule, StreamConfig, StreamStatistics, latency_report, simulate_stream
from flame_metric.errors import ConfigError

pytest.importorskip("matplotlib", reason="figures need matplotlib")

from flame_metric.figures import plot_latencies, plot_staleness, plot_timeline

# ── how old ──


def heights(container) -> list[float]:
    return [float(bar.get_height()) for bar in container]


def test_bars_are_shares_of_the_labelled_frames():
    """Of ten frames, two show nothing; six are two frames old and two are three."""
    statistics = StreamStatistics.from_schedules([simulate_stream(90, num_frames=10, fps="50/3")])
    assert statistics.staleness_histogram == (0, 0, 6, 2)
    figure, ax = plot_staleness(statistics)
    (bars,) = ax.containers
    assert heights(bars) == [20, 0, 0, 60, 20]
    assert [round(bar.get_x() + bar.get_width() / 2, 9) for bar in bars] == [-1, 0, 1, 2, 3]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["none\nyet", "0", "1", "2", "3"]
    assert ax.get_legend().get_texts()[0].get_text() == "stream (2.25 on average)"
    figure.draw_without_rendering()


def test_streams_stand_side_by_side():
    streams = {
        "one": StreamStatistics.from_schedules([Schedule.fixed(10, 0)]),
        "two": StreamStatistics.from_schedules([Schedule(range(4), [0, 0, 1, 1])]),
    }
    _, ax = plot_staleness(streams)
    one, two = ax.containers
    assert heights(one) == [100, 0, 0]  # nothing is ever waited for: no bar for that
    assert heights(two) == [25, 50, 25]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for pair in zip(one, two, strict=True) for bar in pair]
    assert all(left[1] <= right[0] + 1e-9 for left, right in pairwise(ends))
    assert one[0].get_hatch() != two[0].get_hatch()


@pytest.mark.slow
@given(st.lists(st.lists(st.integers(0, 9), max_size=60), min_size=1, max_size=4))
def test_all_frames_are_drawn_once(histograms):
    streams = {
        f"stream {number}": StreamStatistics(1, 0, 0, sum(histogram) + 1, tuple(histogram))
        for number, histogram in enumerate(histograms)
    }
    _, ax = plot_staleness(streams)
    for bars in ax.containers:
        assert sum(heights(bars)) == pytest.approx(100)


def test_nothing_ever_on_screen_is_one_bar():
    figure, ax = plot_staleness(StreamStatistics.from_schedules([simulate_stream(900, num_frames=3, fps=10)]))
    assert heights(ax.containers[0]) == [100]
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ({}, "`statistics` is empty, expected one stream or more"),
        (Schedule.fixed(3, 1), "expected StreamStatistics, or a mapping from names to them"),
        ({"a": Schedule.fixed(3, 1)}, "expected StreamStatistics"),
        ({"a": StreamStatistics(0, 0, 0, 0, ())}, "`statistics` of 'a' has no labelled frame"),
    ],
)
def test_what_no_ages_are_drawn_of(statistics, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        plot_staleness(statistics)


# ── what runs ──


def bars_of(ax) -> list[tuple[int, float, float, str]]:
    """(row, from, to, tint) in milliseconds."""
    return [
        (
            round(bar.get_y() + bar.get_height() / 2),
            round(bar.get_x(), 3),
            round(bar.get_x() + bar.get_width(), 3),
            bar.get_facecolor(),
        )
        for bar in ax.patches
    ]


def texts_of(ax, row) -> list[str]:
    """Numbers in a row: those in bars are annotations, whose place is ``xy``."""
    return [text.get_text() for text in ax.texts if getattr(text, "xy", text.get_position())[1] == row]


def test_a_stream_worked_out_by_hand():
    """90 ms at a frame in 60 ms: 0 runs to 90, 1 to 180 (2 is dropped), 3 to 270, 4 to 360."""
    schedule = simulate_stream(90, num_frames=5, fps="50/3")
    figure, ax = plot_timeline(schedule)
    found = bars_of(ax)
    assert [bar[:3] for bar in found if bar[0] == 1] == [(1, 0, 90), (1, 90, 180), (1, 180, 270), (1, 270, 360)]
    assert [bar[:3] for bar in found if bar[0] == 2] == [(2, 120, 180), (2, 180, 300)]  # 0 at frame 2, 1 at 3 and 4
    assert texts_of(ax, 0) == ["0", "1", "3", "4"]
    assert texts_of(ax, 1) == ["0", "1", "3", "4"]
    assert texts_of(ax, 2) == ["0", "1"]
    assert texts_of(ax, 3) == ["–", "–", "2", "2", "3"]
    (dropped,) = [line for line in ax.get_lines() if line.get_label() == "dropped"]
    assert dropped.get_xdata().tolist() == [120]
    assert ax.get_xlim()[1] == pytest.approx(300)
    figure.draw_without_rendering()


def test_a_frame_has_one_tint_wherever_it_appears():
    ax = plot_timeline(simulate_stream(90, num_frames=12, fps="50/3"))[1]
    tints = {}
    for bar, text in zip(bars_of(ax), [text for text in ax.texts if hasattr(text, "xy")], strict=True):
        tints.setdefault(text.get_text(), set()).add(bar[3])
    assert all(len(found) == 1 for found in tints.values())
    runs = [bar[3] for bar in bars_of(ax) if bar[0] == 1]
    assert all(one != other for one, other in pairwise(runs))


def test_workers_have_rows_and_what_a_stride_leaves_out_is_marked():
    schedule = simulate_stream(90, StreamConfig(workers=2, stride=2), num_frames=8, fps=30)
    _, ax = plot_timeline(schedule)
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == ["camera", "worker 1", "worker 2", "on screen", "frames old"]
    log = schedule.log
    runs = zip(log.worker + 1, log.start_ns / 1e6, log.finish_ns / 1e6, strict=True)
    expected = sorted((int(worker), round(start, 3), round(finish, 3)) for worker, start, finish in runs)
    assert sorted(bar[:3] for bar in bars_of(ax) if bar[0] in (1, 2)) == expected
    (left_out,) = [line for line in ax.get_lines() if line.get_label() == "not admitted"]
    assert left_out.get_xdata() == pytest.approx(np.array([1, 3, 5, 7]) * 1000 / 30, abs=1e-5)


def test_the_first_frames_alone_are_drawn():
    schedule = simulate_stream(25, num_frames=1000, fps=10)
    figure, ax = plot_timeline(schedule, draw=3)
    assert texts_of(ax, 0) == ["0", "1", "2"]
    assert max(bar[1] for bar in bars_of(ax)) == 200
    assert ax.get_xlim()[1] == pytest.approx(300)
    assert ax.get_title(loc="left") == "What runs, and what is on screen (first 3 of 1,000 frames)"
    figure.draw_without_rendering()


def test_a_frame_that_runs_after_the_drawing_has_no_tint():
    """An unlimited queue: frame 2 waits until 200 ms, beyond the three frames that are drawn."""
    schedule = simulate_stream(100, StreamConfig(queue=None), num_frames=8, fps=20)
    figure, ax = plot_timeline(schedule, draw=3)
    assert texts_of(ax, 0) == ["0", "1", "2"]
    assert texts_of(ax, 1) == ["0", "1"]
    figure.draw_without_rendering()


def test_labels_at_times_of_their_own():
    schedule = simulate_stream(30, num_frames=3, fps=10, label_times_ms=[10, 50, 170, 260])
    figure, ax = plot_timeline(schedule)
    assert schedule.source.tolist() == [-1, 0, 1, 2]
    assert [bar[:3] for bar in bars_of(ax) if bar[0] == 2] == [(2, 50, 170), (2, 170, 260), (2, 260, 360)]
    figure.draw_without_rendering()


@pytest.mark.slow
@given(
    st.lists(st.integers(0, 300), min_size=40, max_size=40),
    st.integers(1, 3),
    st.one_of(st.none(), st.integers(1, 3)),
    st.integers(1, 30),
)
def test_what_is_drawn_is_what_the_schedule_says(latencies, workers, queue, draw):
    schedule = simulate_stream(
        LatencyTrace(latencies), StreamConfig(workers=workers, queue=queue), num_frames=20, fps=20
    )
    _, ax = plot_timeline(schedule, draw=draw)
    drawn = min(draw, 20)
    rows = len(ax.get_yticks())
    ages = ["–" if age < 0 else str(age) for age in schedule.staleness[:drawn].tolist()]
    assert texts_of(ax, rows - 1) == ages
    seen = [source for source in dict.fromkeys(schedule.source[:drawn].tolist()) if source >= 0]
    assert texts_of(ax, rows - 2) == [str(source) for source in seen]
    runs = int((schedule.log.start_ns < drawn * 50_000_000).sum())
    assert len([bar for bar in bars_of(ax) if 1 <= bar[0] <= rows - 3]) == runs


@pytest.mark.parametrize(
    ("schedule", "options", "message"),
    [
        (Schedule.fixed(3, 1), {}, "`schedule` has no log of frames, expected one that `simulate_stream` returned"),
        (simulate_stream(10, arrivals_ms=[]), {}, "`schedule` has no log of frames"),
        (simulate_stream(10, num_frames=2, fps=5), {"draw": 0}, "`draw` is 0, expected a whole number of frames >= 1"),
        (None, {}, "`schedule` is None, expected a Schedule"),
    ],
)
def test_what_no_stream_is_drawn_of(schedule, options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        plot_timeline(schedule, **options)


# ── latencies ──


def legend_of(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def top_of(ax) -> list[str]:
    return [label.get_text() for axis in ax.child_axes for label in axis.get_xticklabels()]


def test_the_staircase_is_the_share_of_the_samples():
    report = latency_report(LatencyTrace([70, 40, 50, 40]))
    figure, ax = plot_latencies(report)
    steps = ax.get_lines()[0]
    x, y = steps.get_xdata(), steps.get_ydata()
    for latency, share in ((39.9, 0), (40, 0.5), (49, 0.5), (50, 0.75), (70, 1)):
        assert y[np.searchsorted(x, latency, side="right") - 1 if latency >= 40 else 0] == share
    assert legend_of(ax) == ["4 samples", "median 45.0 ms"]
    assert top_of(ax) == []
    figure.draw_without_rendering()


def test_regions_of_one_offset_have_their_share():
    """d = 50 ms: up to 50 ms k is 1, up to 100 ms it is 2."""
    report = latency_report(LatencyTrace([40, 50, 60, 70, 100, 101, 45, 45]), fps=20)
    figure, ax = plot_latencies(report)
    assert report.offsets == ((1, 4), (2, 3), (3, 1))
    assert top_of(ax) == ["k = 1\n50.0%", "k = 2\n37.5%", "k = 3\n12.5%"]
    edges = [line.get_xdata()[0] for line in ax.get_lines() if line.get_label().startswith("_")]
    assert edges == [50, 100]
    figure.draw_without_rendering()


def test_interval_and_bounds_are_those_of_the_report():
    samples = 50 + np.random.default_rng(1).gamma(2, 3, 800).round(3)
    report = latency_report(LatencyTrace(samples.tolist()), fps="50/3")
    _, ax = plot_latencies(report)
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.get_lines()}
    for percent in (90, 99):
        bound = report.upper_bound_ms(percent)
        assert [place for label, place in lines.items() if label.startswith(f"p{percent} at most")] == [bound]
    band = next(patch for patch in ax.patches if patch.get_label() == "95 % interval of the median")
    ends = ax.transData.inverted().transform(band.get_verts())[:, 0]
    ends = min(ends), max(ends)
    assert ends == pytest.approx((report.interval.low, report.interval.high))
    assert lines[f"median {report.median_ms:.3f}".rstrip("0") + " ms"] == report.median_ms


def test_an_outlier_does_not_squeeze_the_rest():
    report = latency_report(LatencyTrace([*np.linspace(20, 30, 999), 900]), fps=30)
    figure, ax = plot_latencies(report)
    assert ax.get_xlim()[1] < 40
    assert "1 sample(s) beyond, up to 900.0 ms" in legend_of(ax)
    figure.draw_without_rendering()


def test_a_bound_beyond_the_axis_says_so():
    report = latency_report(LatencyTrace([*np.linspace(20, 30, 700), *[900] * 2]))
    assert report.upper_bound_ms(99) == 900
    assert "p99 at most 900.0 ms (beyond)" in legend_of(plot_latencies(report)[1])


@pytest.mark.parametrize("samples", [[5], [5] * 20, [0, 0], [0.0001] * 12])
def test_samples_that_do_not_differ(samples):
    figure, ax = plot_latencies(latency_report(LatencyTrace(samples), fps=30))
    first, last = ax.get_xlim()
    assert first < last
    figure.draw_without_rendering()


def test_many_regions_are_not_all_named():
    report = latency_report(LatencyTrace(range(1, 3000, 7)), fps=30)
    figure, ax = plot_latencies(report)
    assert 2 < len(top_of(ax)) <= 8
    figure.draw_without_rendering()


def test_a_trace_is_no_report():
    with pytest.raises(ConfigError, match=r"`report` is .*, expected a LatencyReport"):
        plot_latencies(LatencyTrace([1]))
