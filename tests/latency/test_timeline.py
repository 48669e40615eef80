"""Streams drawn in characters: exact charts, worked out by hand, and what every drawing must tell.

With 60 ms a frame and 6 columns an interval, t milliseconds after a frame lie 1 + floor(t / 60 * 5) columns after it.
"""

import re
from fractions import Fraction
from textwrap import dedent

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flame_metric import ConfigError, LatencyTrace, Schedule, StreamConfig, simulate_stream, stream_timeline
from flame_metric.latency.timeline import frame_interval_ns
from laws import examples

D = "50/3"  # 60 ms
TIE = 1000
TEN_FRAMES = """\
frame       0     1     2     3     4     5     6     7     8     9
ms          0     60    120   180   240   300   360   420   480   540
"""
DROP, FIFO, EVERY = {"workers": 1, "queue": 1}, {"workers": 1, "queue": None}, {"workers": None}


def drawn(latency, *, frames=10, replay="call", **options):
    if isinstance(latency, list):
        latency = LatencyTrace(latency + [50] * (frames - len(latency)), replay=replay)
    return stream_timeline(simulate_stream(latency, StreamConfig(**options), num_frames=frames, fps=D))


def at(arrivals_ms, latency, *, labels_ms=None, width=100, draw=None, **options):
    """Like ``drawn``, for frames and labels at times of their own."""
    schedule = simulate_stream(latency, StreamConfig(**options), arrivals_ms=arrivals_ms, label_times_ms=labels_ms)
    return stream_timeline(schedule, width=width, draw=draw)


# ── the worked examples ──


@pytest.mark.parametrize(
    ("latency", "options", "rows"),
    [
        (
            195,
            DROP,
            """\
            worker 1    0>>>>>>>>>>>>>>>>>>>3>>>>>>>>>>>>>>>>>>6>>>>>>>>>>>>>>>>>>9>
            dropped           1     2           4     5           7     8
            on screen   -     -     -     -     0     0     0     3     3     3
            frames old                          4     5     6     4     5     6
            """,
        ),
        (
            195,
            EVERY,
            """\
            worker 1    0>>>>>>>>>>>>>>>>>>>    4>>>>>>>>>>>>>>>>>>>    8>>>>>>>>>>>
            worker 2          1>>>>>>>>>>>>>>>>>>>    5>>>>>>>>>>>>>>>>>>>    9>>>>>
            worker 3                2>>>>>>>>>>>>>>>>>>>    6>>>>>>>>>>>>>>>>>>>
            worker 4                      3>>>>>>>>>>>>>>>>>>>    7>>>>>>>>>>>>>>>>>
            on screen   -     -     -     -     0     1     2     3     4     5
            frames old                          4     4     4     4     4     4
            """,
        ),
        (
            90,
            FIFO,
            """\
            worker 1    0>>>>>>>>1>>>>>>>>2>>>>>>>>3>>>>>>>>4>>>>>>>>5>>>>>>>>6>>>>>
            on screen   -     -     0     1     1     2     3     3     4     5
            frames old              2     2     3     3     3     4     4     4

            not drawn: 3 run(s) that start later, of frame(s) 7, 8, 9
            """,
        ),
        (
            90,
            FIFO | {"tie": "strict"},
            """\
            worker 1    0>>>>>>>>1>>>>>>>>2>>>>>>>>3>>>>>>>>4>>>>>>>>5>>>>>>>>6>>>>>
            on screen   -     -     0     0     1     2     2     3     4     4
            frames old              2     3     3     3     4     4     4     5

            not drawn: 3 run(s) that start later, of frame(s) 7, 8, 9
            """,
        ),
        (
            90,
            DROP,
            """\
            worker 1    0>>>>>>>>1>>>>>>>>3>>>>>>>>4>>>>>>>>6>>>>>>>>7>>>>>>>>9>>>>>
            dropped                 2                 5                 8
            on screen   -     -     0     1     1     3     4     4     6     7
            frames old              2     2     3     2     2     3     2     2
            """,
        ),
        (
            90,
            DROP | {"policy": "tail"},
            """\
            worker 1    0>>>>>>>>   2>>>>>>>>   4>>>>>>>>   6>>>>>>>>   8>>>>>>>>
            dropped           1           3           5           7           9
            on screen   -     -     0     0     2     2     4     4     6     6
            frames old              2     3     2     3     2     3     2     3
            """,
        ),
        (
            150,
            {"workers": 2},
            """\
            worker 1    0>>>>>>>>>>>>>>2>>>>>>>>>>>>>>5>>>>>>>>>>>>>>7>>>>>>>>>>>>>>
            worker 2          1>>>>>>>>>>>>>>3>>>>>>>>>>>>>>6>>>>>>>>>>>>>>8>>>>>>>>
            dropped                             4
            on screen   -     -     -     0     1     2     3     3     5     6
            frames old                    3     3     3     3     4     3     3

            not drawn: 1 run(s) that start later, of frame(s) 9
            """,
        ),
        (
            [190, 50, 50, 295],
            EVERY | {"replay": "frame"},
            """\
            worker 1    0>>>>>>>>>>>>>>>>>>     4>>>> 5>>>> 6>>>> 7>>>> 8>>>> 9>>>>
            worker 2          1>>>> 2>>>> 3>>>>>>>>>>>>>>>>>>>>>>>>>>>>
            on screen   -     -     1     2     2     4     5     6     7     8
            frames old              1     1     2     1     1     1     1     1
            """,
        ),
        (
            [190, 50, 50, 295],
            EVERY | {"replay": "frame", "show": "last_finished"},
            """\
            worker 1    0>>>>>>>>>>>>>>>>>>     4>>>> 5>>>> 6>>>> 7>>>> 8>>>> 9>>>>
            worker 2          1>>>> 2>>>> 3>>>>>>>>>>>>>>>>>>>>>>>>>>>>
            on screen   -     -     1     2     0     4     5     6     3     8
            frames old              1     1     4     1     1     1     5     1
            """,
        ),
        (
            [50, 50, 200],
            DROP,
            """\
            worker 1    0>>>> 1>>>> 2>>>>>>>>>>>>>>>>>>>5>>>>6>>>>7>>>> 8>>>> 9>>>>
            dropped                       3     4
            on screen   -     0     1     1     1     1     2     6     7     8
            frames old        1     1     2     3     4     4     1     1     1
            """,
        ),
        (
            [50, 50, 200],
            {"queue": 2},
            """\
            worker 1    0>>>> 1>>>> 2>>>>>>>>>>>>>>>>>>>4>>>>5>>>>6>>>>7>>>>8>>>>9>>
            dropped                       3
            on screen   -     0     1     1     1     1     2     5     6     7
            frames old        1     1     2     3     4     4     2     2     2
            """,
        ),
    ],
)
def test_worked_examples(latency, options, rows):
    assert drawn(latency, **options) == TEN_FRAMES + dedent(rows)


# ── latencies ──


def test_no_latency_is_a_number_without_a_bar():
    assert drawn(0, frames=3) == dedent("""\
        frame       0     1     2
        ms          0     60    120
        worker 1    0     1     2
        on screen   0     1     2
        frames old  0     0     0
        """)


def test_runs_shorter_than_a_column():
    assert drawn(1, frames=3) == dedent("""\
        frame       0     1     2
        ms          0     60    120
        worker 1    0>    1>    2>
        on screen   -     0     1
        frames old        1     1
        """)


def test_a_latency_of_one_interval_leaves_no_gap_and_ends_in_time():
    assert drawn(60, frames=3) == dedent("""\
        frame       0     1     2
        ms          0     60    120
        worker 1    0>>>>>1>>>>>2>>>>>
        on screen   -     0     1
        frames old        1     1
        """)


def test_a_result_that_is_late_by_little_covers_the_frame_it_misses():
    assert drawn(Fraction(60_002, 1000), frames=3) == dedent("""\
        frame       0     1     2
        ms          0     60    120
        worker 1    0>>>>>>1>>>>>2>>>>
        on screen   -     -     0
        frames old              2
        """)


def test_equal_runs_are_drawn_alike_whatever_the_rounding_of_arrivals():
    schedule = simulate_stream(20, num_frames=100, fps=30)  # 33.333333 or 33.333334 ms apart; 20 ms are 3/5 of that
    line = dict(lines_of(stream_timeline(schedule, width=10**6)))["worker 1"]
    assert [(end - begin) for _, begin, end in bars_of(line)] == [4] * 100


def test_many_starts_in_one_interval_widen_it():
    # frames 1, 2, 3 run at 200, 205 and 210 ms, frame 4 waits for nobody
    assert drawn([200, 5, 5, 5, 5, 5], frames=6, queue=None) == dedent("""\
        frame       0     1     2     3       4     5
        ms          0     60    120   180     240   300
        worker 1    0>>>>>>>>>>>>>>>>>>>1>2>3>4>    5>
        on screen   -     -     -     -       3     4
        frames old                            1     1
        """)


def test_many_runs_at_one_time():
    assert drawn([200, 0, 0, 0, 0, 0], frames=6, queue=None) == dedent("""\
        frame       0     1     2     3       4     5
        ms          0     60    120   180     240   300
        worker 1    0>>>>>>>>>>>>>>>>>>>1 2 3 4     5
        on screen   -     -     -     -       4     5
        frames old                            0     0
        """)


def test_an_interval_with_more_starts_than_a_line_holds():
    # frames 1..30 run one after the other, a millisecond each, from the arrival of frame 30 on
    schedule = simulate_stream(LatencyTrace([1000] + [1] * 39), StreamConfig(queue=None), num_frames=40, fps=30)
    for width in range(60, 101):  # wherever the lines break
        text = stream_timeline(schedule, width=width)
        assert rows_of(text)["worker 1"] == [str(frame) for frame in range(40)]
        assert max(map(len, text.splitlines())) <= width
    crowded = [line for name, line in lines_of(text) if name == "worker 1" and line.startswith("1>2>3>")]
    assert len(crowded) == 1


# ── streams of other kinds ──


def test_frames_that_a_stride_leaves_out():
    assert drawn(20, frames=5, stride=2) == dedent("""\
        frame         0     1     2     3     4
        ms            0     60    120   180   240
        worker 1      0>          2>          4>
        not admitted        1           3
        on screen     -     0     0     2     2
        frames old          1     2     1     2
        """)


def test_irregular_arrivals_and_a_hole():
    # median interval 60 ms: 49 ms are 5 columns, 80 ms are 8; 4750 ms are drawn as 4 intervals
    assert at([0, 60, 121, 170, 250, 5000, 5060, 5120.5], 90) == dedent("""\
        frame       0     1     2    3       4                       5     6     7
        ms          0     60    121  170     250         //          5000  5060  5120
        worker 1    0>>>>>>>>1>>>>>>>>3>>>>>>>4>                     5>>>>>>>>6>>>>>>>7>
        dropped                 2
        on screen   -     -     0    0       1                       4     4     5
        frames old              2    3       3                       1     2     2
        """)


def test_times_that_differ_by_less_than_a_millisecond():
    assert at([0, 0.5, 1], 0) == dedent("""\
        frame       0     1     2
        ms          0.000 0.500 1.000
        worker 1    0     1     2
        on screen   0     1     2
        frames old  0     0     0
        """)
    far = at([0], 0, labels_ms=[0.0011, 0.0013]).splitlines()[1]
    assert far.split() == ["ms", "0.000000", "//", "0.001100", "0.001300"]


def test_labels_at_times_of_their_own():
    # Frame 0 is ready at 140, 1 at 200. Labels 0 and 6 are far from any frame; 3 and 4 need more room than they have
    assert at([100, 160], 40, labels_ms=[50, 100, 130, 140, 160, 220, 700]) == dedent("""\
        frame            0      1
        ms          50   100    160   220         //          700
        label       0    1  2 3 4     5                       6
        worker 1         0>>>>  1>>>
        on screen   -    -  - 0 0     1                       1
        frames old            0 1     0                       0
        """)


def test_labels_without_a_frame():
    assert at([], 40, labels_ms=[0, 60, 120]) == dedent("""\
        ms         0     60    120
        label      0     1     2
        on screen  -     -     -
        """)


def test_labels_within_a_hole_of_the_frames_are_not_crowded():
    text = at([0, 60, 120, 1020], 20, labels_ms=range(0, 1080, 60))
    assert text.splitlines()[1] == ("ms          0     60    120   180   240   300   360   420   480")
    assert "//" not in text


def test_one_frame():
    assert at([7], 20) == "frame      0\nms         7\nworker 1   0>>>>>\non screen  -\n"


def test_no_frame():
    assert drawn(20, frames=0) == "no frames\n"


def test_numbers_of_many_digits_and_more_than_nine_workers():
    schedule = simulate_stream(700, StreamConfig(workers=None), num_frames=1002, fps=D)
    lines = stream_timeline(schedule).splitlines()
    assert [line[:11].rstrip() for line in lines[2:14]] == [f"worker {number}" for number in range(1, 13)]
    last = "\n".join(lines).split("\n\n")[-1].splitlines()
    assert last[0].split()[-3:] == ["999", "1000", "1001"]
    assert [line for line in last if line.endswith(" 1001>>")] != []
    assert max(map(len, lines)) <= 100


# ── how much, and how wide ──


def test_blocks_are_of_one_width():
    text = drawn(195, frames=20)
    assert [line.split() for line in text.splitlines() if line.startswith("frame ")] == [
        ["frame", *map(str, range(10))],
        ["frame", *map(str, range(10, 20))],
    ]
    assert len(text.split("\n\n")) == 2


def test_a_bar_goes_on_in_the_next_block():
    schedule = simulate_stream(195, num_frames=20, fps=D)
    workers = [line for line in stream_timeline(schedule).splitlines() if line.startswith("worker 1")]
    assert workers[0].endswith("6>>>>>>>>>>>>>>>>>>9>")
    assert workers[1].startswith("worker 1    >>>>>>>>>>>>>>>>>>13>>>")


def test_the_first_frames_alone():
    schedule = simulate_stream(195, num_frames=1_000, fps=D)
    assert stream_timeline(schedule, draw=4) == dedent("""\
        frame      0     1     2     3
        ms         0     60    120   180
        worker 1   0>>>>>>>>>>>>>>>>>>>3>>>
        dropped          1     2
        on screen  -     -     -     -

        drawn: the first 4 of 1,000 frames
        """)
    short = simulate_stream(195, num_frames=4, fps=D)
    assert stream_timeline(short, draw=4) == stream_timeline(short) == stream_timeline(short, draw=9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 59}, "`width` is 59, expected a whole number of characters >= 60"),
        ({"draw": 0}, "`draw` is 0, expected a whole number of frames >= 1"),
        ({"draw": 1.5}, "`draw` is 1.5"),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        stream_timeline(simulate_stream(1, num_frames=1, fps=1), **options)


def test_a_schedule_that_was_not_simulated():
    with pytest.raises(ConfigError, match="`schedule` has no log, expected one that `simulate_stream` returned"):
        stream_timeline(Schedule.fixed(3, 1))


@pytest.mark.parametrize(
    ("arrivals", "labels", "interval_ms"),
    [([0, 50, 110, 900], None, 60), ([5], [0, 7, 14], 7), ([5], [1], 20), ([], [], 1000)],
)
def test_the_interval_that_stands_for_all(arrivals, labels, interval_ms):
    log = simulate_stream(20, arrivals_ms=arrivals, label_times_ms=labels).log
    assert frame_interval_ns(log) == interval_ms * 10**6


# ── laws: the drawing is read back ──

_NAME = re.compile(r"frames old|frame|ms|label|worker \d+|dropped|not admitted|on screen")


def lines_of(text):
    """The lines of a drawing, as (name, what stands behind it)."""
    blocks = [block for block in text.split("\n\n") if not block.startswith(("drawn", "not drawn"))]
    for block in blocks:
        named = [(_NAME.match(line).group(), line) for line in block.splitlines()]
        begin = max(len(name) for name, _ in named) + 2
        yield from ((name, line[begin:]) for name, line in named)


def rows_of(text):
    """What stands in each row, block after block, without the bars."""
    rows = {}
    for name, line in lines_of(text):
        rows.setdefault(name, []).extend(re.findall(r"[^ >]+", line))
    return rows


def columns_of(line):
    return [(match.start(), match.group()) for match in re.finditer(r"[^ >]+", line)]


def bars_of(line):
    """Runs as drawn: frame, its column, and the column at which it has ended (that of its beginning without a bar)."""
    for match in re.finditer(r"(\d+)(>*)", line):
        yield int(match[1]), match.start(), match.end() if match[2] else match.start()


@st.composite
def streams(draw):
    """Regular and irregular streams, latencies at ties and far from them, labels at frames or clear of them."""
    interval = 60 * 10**6
    count = draw(st.integers(1, 25))
    gaps = st.sampled_from([interval] * 4 + [interval // 7, 3 * TIE, 2 * interval, 11 * interval, interval + 12345])
    arrivals = np.cumsum(
        [
            draw(st.sampled_from([0, 5 * TIE, interval])),
            *draw(st.lists(gaps, min_size=count - 1, max_size=count - 1) | st.just([interval] * (count - 1))),
        ]
    ).tolist()
    near = st.sampled_from([0, 0, 1, -1, TIE, -TIE, TIE + 1, -TIE - 1])
    latency = st.integers(0, 12).flatmap(lambda thirds: near.map(lambda o: max(0, thirds * interval // 3 + o)))
    any_latency = latency | st.integers(0, interval)
    latencies = draw(st.lists(any_latency, min_size=count, max_size=count) | latency.map(lambda one: [one]))
    labels = None
    if draw(st.booleans()):
        times = draw(st.lists(st.integers(0, arrivals[-1] + 6 * interval), max_size=30))
        times += draw(st.lists(st.sampled_from(arrivals)))
        labels = []
        for time in sorted(times):
            clear = all(time == arrival or abs(time - arrival) > 4 * TIE for arrival in arrivals)
            if clear and (not labels or time > labels[-1] + 4 * TIE):
                labels.append(time)
    config = StreamConfig(
        workers=draw(st.sampled_from([1, 1, 2, 3, None])),
        queue=draw(st.sampled_from([1, 1, 2, None])),
        stride=draw(st.sampled_from([1, 1, 2])),
        tie=draw(st.sampled_from(["inclusive", "inclusive", "strict"])),
        show=draw(st.sampled_from(["freshest", "freshest", "last_finished"])),
    )
    trace = LatencyTrace.from_ns(latencies, replay="random" if len(latencies) == 1 else "call")
    schedule = simulate_stream(
        trace,
        config,
        arrivals_ms=[Fraction(time, 10**6) for time in arrivals],
        label_times_ms=None if labels is None else [Fraction(time, 10**6) for time in labels],
    )
    return schedule, config


@given(streams())
@examples(150)
def test_law_every_number_stands_under_its_frame_or_label(stream):
    schedule, _ = stream
    log = schedule.log
    lines = dict(lines_of(stream_timeline(schedule, width=10**6)))
    frames = columns_of(lines["frame"])
    assert [text for _, text in frames] == [str(frame) for frame in range(len(log.arrival_ns))]
    labels = columns_of(lines.get("label", "")) if schedule.per_label else frames
    assert [text for _, text in labels] == [str(label) for label in range(len(log.label_ns))]

    on_screen = [str(source) if source >= 0 else "-" for source in schedule.source]
    assert columns_of(lines.get("on screen", "")) == [
        (column, text) for (column, _), text in zip(labels, on_screen, strict=True)
    ]
    assert columns_of(lines.get("frames old", "")) == [
        (column, str(old)) for (column, _), old in zip(labels, schedule.staleness, strict=True) if old >= 0
    ]
    assert columns_of(lines.get("dropped", "")) == [frames[frame] for frame in log.dropped]
    missing = set(range(len(frames))) - {*log.dropped.tolist(), *log.frame.tolist()}
    assert columns_of(lines.get("not admitted", "")) == [frames[frame] for frame in sorted(missing)]


@given(streams())
@examples(150)
def test_law_the_bars_alone_tell_what_is_on_screen(stream):
    schedule, config = stream
    log = schedule.log
    for worker in set(log.worker.tolist()):  # runs of one worker that start at one time cannot share its column
        assume(np.all(np.diff(log.start_ns[log.worker == worker]) > 2 * TIE))
    text = stream_timeline(schedule, width=10**6)
    lines = dict(lines_of(text))
    runs = {
        frame: (begin, end)
        for name, line in lines.items()
        if name.startswith("worker")
        for frame, begin, end in bars_of(line)
    }
    later = int(match[1]) if (match := re.search(r"not drawn: (\d+) run", text)) else 0
    assert sorted(runs) == sorted(log.frame.tolist()[: len(log.frame) - later])

    ticks = [column for column, _ in columns_of(lines.get("label" if schedule.per_label else "frame", ""))]
    for column, time, newest, source in zip(ticks, log.label_ns, schedule.label_frame, schedule.source, strict=True):
        for frame, start, finish in zip(log.frame, log.start_ns, log.finish_ns, strict=True):
            if frame in runs and finish - start > 2 * TIE:
                begin, end = runs[frame]
                assert (begin <= column) == (start <= time + TIE)
                assert (end <= column) == (finish <= time + TIE)
        if config.tie == "inclusive" and config.show == "freshest":
            ready = [frame for frame, (_, end) in runs.items() if end <= column and frame <= newest]
            assert max(ready, default=-1) == source


@given(streams(), st.integers(60, 120))
@examples(80)
def test_law_wrapping_loses_nothing_and_fits(stream, width):
    schedule, _ = stream
    text = stream_timeline(schedule, width=width)
    assert rows_of(text) == rows_of(stream_timeline(schedule, width=10**6))
    assert text.isascii()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    lines = [line for line in text.splitlines() if not line.startswith("not drawn")]
    assert max(map(len, lines)) <= width
    assert [line for line in lines if line != line.rstrip()] == []


@given(streams(), st.integers(1, 30))
@examples(60)
def test_law_the_first_frames_are_drawn_as_ever(stream, count):
    schedule, _ = stream
    whole = rows_of(stream_timeline(schedule))
    part = rows_of(stream_timeline(schedule, draw=count))
    assert part["frame"] == whole["frame"][:count]
    for name, texts in part.items():
        if name != "ms":  # those have as many decimals as they need
            assert texts == whole[name][: len(texts)]


@given(streams())
@examples(80)
def test_law_a_worker_runs_one_frame_at_a_time_and_none_is_used_without_need(stream):
    schedule, config = stream
    log = schedule.log
    workers = log.worker.tolist()
    if config.workers is not None:
        assert max(workers) < config.workers
    free = {}
    for worker, start, finish in zip(workers, log.start_ns.tolist(), log.finish_ns.tolist(), strict=True):
        idle = {other for other, until in free.items() if until <= start + TIE}
        assert worker == min(idle, default=len(free))
        free[worker] = finish
