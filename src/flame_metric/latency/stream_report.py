"""A simulated stream summed up: one line, a table beside the paper's fixed offset, and a record for other programs.

The fixed offset k = ceil(l / d) (Eq. 5, l the median latency) starts an inference on every frame and is therefore the
most favourable schedule. By how many frames a stream is staler is the price of few workers and of jitter.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np

from flame_metric.core.clock import NS_PER_S, Fps, as_fps, frame_offset, unit_notes
from flame_metric.core.schedule import Schedule, StreamLog, fixed_source
from flame_metric.core.tables import Row, Table, milliseconds_text, rate_text
from flame_metric.errors import ConfigError
from flame_metric.latency.simulate import StreamConfig, StreamStatistics
from flame_metric.latency.timeline import frame_interval_ns
from flame_metric.latency.trace import LatencyTrace

__all__ = ["stream_record", "stream_table", "stream_title"]

_FORMAT = "flame-metric stream 1"
_MOST_AGES = 10  # rows of the histogram


def stream_title(schedule: Schedule, latency: LatencyTrace, config: StreamConfig, *, fps: Fps | None = None) -> str:
    """Return in one line what was simulated: frames, latency, and how the stream was served.

    Examples
    --------
    >>> from flame_metric import simulate_stream
    >>> config, trace = StreamConfig(workers=2, tie="strict"), LatencyTrace([70, 76, 90])
    >>> stream_title(simulate_stream(trace, config, num_frames=3, fps=15), trace, config, fps=15)
    '3 frames at 15 fps | latency 76.0 ms (median of 3, by call) | 2 workers, queue 1, strict ties'
    """
    frames = _many(len(_log(schedule).arrival_ns), "frame")
    samples = "" if len(latency) == 1 else f" (median of {len(latency):,}, {_REPLAYS[latency.replay]})"
    return " | ".join(
        [
            f"{frames} at {rate_text(as_fps(fps))} fps" if fps is not None else f"{frames} at times of their own",
            f"latency {milliseconds_text(latency.median_ms)}{samples}",
            str(config),
        ]
    )


def stream_table(schedule: Schedule, latency: LatencyTrace, *, fps: Fps | None = None) -> Table:
    """Return what happened on a simulated stream, beside the paper's fixed offset for its median latency.

    Parameters
    ----------
    schedule : Schedule
        As :func:`simulate_stream` returns it.
    latency : LatencyTrace
        What it was simulated from.
    fps : optional
        Frames per second; without it, the fixed offset is that of the median interval between two arrivals.

    Returns
    -------
    Table
        Inferences that ran, admitted frames that never ran, inferences longer than the interval to the next frame,
        coverage, and how many frames old the predictions on screen are, with a histogram.

    Raises
    ------
    ConfigError
        If the schedule was not simulated.

    Examples
    --------
    >>> from flame_metric import simulate_stream
    >>> schedule = simulate_stream(195, num_frames=10, fps="50/3")
    >>> table = stream_table(schedule, LatencyTrace([195]), fps="50/3")
    >>> table.columns, table.rows[4]
    (('', 'this stream', 'fixed offset k=4'), ('coverage', 0.6, 0.6))
    """
    log = _log(schedule)
    rate = _rate(log, fps)
    columns, statistics, notes = ["this stream"], [StreamStatistics.from_schedules([schedule])], []
    if rate is not None:
        offset = frame_offset(latency.median_ns / 10**6, rate)
        frames = schedule.label_frame
        fixed = Schedule(frames, fixed_source(frames, offset), per_label=schedule.per_label)
        columns.append(f"fixed offset k={offset}")
        statistics.append(StreamStatistics.from_schedules([fixed]))
        interval = milliseconds_text(float(1000 / rate)) + ("" if fps is not None else ", the median interval")
        notes.append(
            f"fixed offset: an inference on every frame, k = ceil({milliseconds_text(latency.median_ms)} / {interval})"
        )
    notes.append("overruns: inferences that took longer than the interval to the next frame")
    notes += unit_notes(latency.median_ms, rate)
    stream = statistics[0]
    unknown = (None,) * (len(columns) - 1)
    rows: list[Row] = [
        ("runs", stream.runs, *unknown),
        ("dropped frames", stream.dropped, *unknown),
        ("overruns", stream.overruns, *unknown),
        ("workers busy at once", int(max(log.worker, default=-1)) + 1, *unknown),
        ("coverage", *(each.coverage for each in statistics)),
        ("mean frames old", *(each.mean_staleness for each in statistics)),
        ("most frames old", *(each.max_staleness if each.staleness_histogram else np.nan for each in statistics)),
    ]
    return Table(("", *columns), tuple(rows), tuple(_histogram(statistics)), tuple(notes))


def stream_record(
    schedule: Schedule, latency: LatencyTrace, config: StreamConfig, *, fps: Fps | None = None, seed: int = 0
) -> dict[str, Any]:
    """Return a simulated stream in types that JSON knows, without loss, for programs that plot it.

    Parameters
    ----------
    schedule : Schedule
        As :func:`simulate_stream` returns it.
    latency, config, fps, seed
        What it was simulated from.

    Returns
    -------
    dict
        All times but those of the configuration are integer nanoseconds. ``labels`` and ``runs`` hold columns, an entry
        for each labelled frame and each inference; -1 stands for "nothing yet" as in :class:`Schedule`. ``latency`` is
        a record that :meth:`LatencyTrace.from_json` reads. What is undefined, such as the coverage without labelled
        frames, is None. ``notes`` ask whether units are right, where they look wrong.

    Raises
    ------
    ConfigError
        If the schedule was not simulated.

    Examples
    --------
    >>> from flame_metric import simulate_stream
    >>> schedule = simulate_stream(195, num_frames=4, fps="50/3")
    >>> record = stream_record(schedule, LatencyTrace([195]), StreamConfig(), fps="50/3")
    >>> record["frame_offset"], record["runs"]["frame"], record["runs"]["start_ns"], record["dropped"]
    (4, [0, 3], [0, 195000000], [1, 2])
    """
    log = _log(schedule)
    rate = _rate(log, fps)
    return {
        "format": _FORMAT,
        "fps": None if fps is None else str(as_fps(fps)),
        "config": asdict(config),
        "latency": json.loads(latency.to_json()),
        "latency_median_ns": float(latency.median_ns),
        "seed": seed,
        "frame_offset": None if rate is None else frame_offset(latency.median_ns / 10**6, rate),
        "arrival_ns": log.arrival_ns.tolist(),
        "labels": {
            "time_ns": log.label_ns.tolist(),
            "frame": schedule.label_frame.tolist(),
            "source": schedule.source.tolist(),
            "staleness": schedule.staleness.tolist(),
        },
        "runs": {
            "frame": log.frame.tolist(),
            "start_ns": log.start_ns.tolist(),
            "finish_ns": log.finish_ns.tolist(),
            "worker": log.worker.tolist(),
        },
        "dropped": log.dropped.tolist(),
        **({"notes": list(notes)} if (notes := unit_notes(latency.median_ms, rate)) else {}),
        "statistics": StreamStatistics.from_schedules([schedule]).to_dict(),
    }


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


_REPLAYS = {"call": "by call", "frame": "by frame", "random": "drawn at random"}


def _log(schedule: Schedule) -> StreamLog:
    if schedule.log is None:
        raise ConfigError("`schedule` has no log, expected one that `simulate_stream` returned")
    return schedule.log


def _rate(log: StreamLog, fps: Fps | None) -> Fraction | None:
    if fps is not None:
        return as_fps(fps)
    return Fraction(NS_PER_S, frame_interval_ns(log)) if len(log.arrival_ns) > 1 else None


def _histogram(statistics: list[StreamStatistics]) -> list[Row]:
    """Return how many labelled frames show nothing yet, and predictions of each age; many ages in ranges."""
    times = [each.staleness_histogram for each in statistics]
    ages = [age for each in times for age, count in enumerate(each) if count]
    rows: list[Row] = [("nothing yet", *(each.labelled_frames - sum(each.staleness_histogram) for each in statistics))]
    if not ages:
        return rows
    step = -(-(max(ages) + 1 - min(ages)) // _MOST_AGES)
    for age in range(min(ages), max(ages) + 1, step):
        last = min(age + step - 1, max(ages))
        name = _many(age, "frame") if last == age else f"{age}-{last} frames"
        rows.append((f"{name} old", *(sum(each[age : last + 1]) for each in times)))
    return rows
