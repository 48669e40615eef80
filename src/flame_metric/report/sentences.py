"""Sentences of a report: what was found, and what should be known about it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby

import numpy as np

from flame_metric.core.tables import milliseconds_text
from flame_metric.errors import shortened
from flame_metric.report.grid import OWN, Grid, NetworkScores
from flame_metric.report.text import many, number, rate
from flame_metric.scores.evaluation import Streaming
from flame_metric.scores.ranking import Ranking
from flame_metric.scores.result import FlameResult, interval_note

__all__ = ["data", "leaders", "remarks", "streamed", "summary", "warnings_of"]


def data(grid: Grid) -> str:
    """Say what was scored."""
    flame = grid.networks[0].evaluation.flame
    parts = [
        many(len(flame.sequences), "sequence"),
        many(int(flame.tallies[:, 1].sum()), "labelled frame"),
        f"{flame.config.num_classes} classes",
        "" if flame.config.fps is None else rate(flame.config.fps),
    ]
    return ", ".join(part for part in parts if part)


def warnings_of(grid: Grid) -> Iterator[str]:
    """Say which results are of only some of the sequences, and why."""
    for network in grid.networks:
        if network.evaluation.incomplete is not None:
            whose = f"{network.name} is " if len(grid.networks) > 1 else ""
            yield f"{whose}INCOMPLETE: {network.evaluation.incomplete}."


def summary(grid: Grid, ranking: Ranking | None) -> list[str]:
    """Say in plain words what was found."""
    if ranking is not None:
        return list(_of_several(grid, ranking))
    (network,) = grid.networks
    return list(_of_one(network))


def _of_one(network: NetworkScores) -> Iterator[str]:
    found, flame = network.evaluation, network.evaluation.flame
    delay, offset = _delay(network), flame.frame_offset or 0
    if not flame.tallies[:, 1].any():
        yield "Nothing was counted: there are no labelled frames."
        return
    if found.static is not None:
        miou = number(found.static.miou, 3)
        yield f"On the frames that it was made from, the output of {network.name} has a mean IoU of {miou}."
    if offset:
        worth = f"the same output is worth {number(flame.miou, 3)}: FLAME."
        if math.isnan(flame.miou):
            worth = "no labelled frame shows what the output is then worth: there is no FLAME."
        yield f"{delay} the scene has moved on by {many(offset, 'frame')}, and {worth}"
    else:
        yield f"{delay} the frame is still the same: FLAME is {number(flame.miou, 3)}."
    if found.streaming is not None:
        live = number(found.streaming.result.miou, 3)
        yield f"On a live stream ({found.streaming.config}), where frames wait or are missed, it is worth {live}."
    if found.persistence is not None and offset:
        yield f"A perfect network that came as late would reach {number(found.persistence.miou, 3)}."
    if found.static is not None and offset:
        yield from _worst_classes(found.static, flame)


def _delay(network: NetworkScores) -> str:
    config = network.evaluation.flame.config
    if config.latency_ms is None:
        return "When it is on screen"
    where = "" if config.hardware is None else f" on {config.hardware}"
    at = "" if config.fps is None else f" at {rate(config.fps)},"
    return f"It takes {milliseconds_text(config.latency_ms)}{where}. By then,{at}"


def _worst_classes(static: FlameResult, flame: FlameResult) -> Iterator[str]:
    lost = np.nan_to_num(static.iou - flame.iou)
    worst = [label for label in np.argsort(-lost).tolist()[:2] if lost[label] > 0.0005]
    if worst:
        named = " and ".join(f"{static.class_names[label]} ({number(float(lost[label]), 3)})" for label in worst)
        yield f"The delay costs most on {named}."


def _all_of(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} are" if others else f"{last} is"


def _of_several(grid: Grid, ranking: Ranking) -> Iterator[str]:
    first, *others = ranking.contenders
    static = {one.name: one.static.miou for one in ranking.contenders if one.static is not None}
    if len(static) == len(ranking.contenders):
        best = max((miou for miou in static.values() if not math.isnan(miou)), default=math.nan)
        alike = [name for name, miou in static.items() if miou == best]
        if alike:
            yield f"Without delay, {_all_of(alike)} best, with a mean IoU of {number(best, 3)}."
    yield f"With the delay of each counted, {first.name} leads: FLAME {number(first.flame.miou, 3)}."
    chance = [
        other.name
        for other in others
        if (found := ranking.comparisons[first.name, other.name]) is None or not found.is_clear
    ]
    if chance:
        yield f"On this many sequences, that it is better than {shortened(chance)} may be chance."
    else:
        yield "Its lead over each of the others is beyond chance: the 95 % intervals of the differences leave out zero."


def streamed(stream: Streaming) -> str:
    """Say what happened on a stream."""
    found = stream.statistics
    shown = "nothing, ever"
    if any(found.staleness_histogram):
        shown = f"{found.mean_staleness:.2f} frames old on average, {found.max_staleness} at most"
    run = f"{found.dropped:,} of {many(found.dropped + found.runs, 'frame')} dropped"
    return f"What is on screen live, with {stream.config}: {shown}; {run}."


def leaders(grid: Grid) -> Iterator[str]:
    """Say who leads at which latency, if all networks took as long."""
    found = ((stop, grid.best(1, OWN, stop)) for stop in grid.stops_ms)
    known = [(stop, best[0]) for stop, best in found if best is not None]
    runs = [(name, [stop for stop, _ in run]) for name, run in groupby(known, key=lambda pair: pair[1])]
    if runs:
        told = "; ".join(f"{name} at {stops[0]} to {stops[-1]} ms" for name, stops in runs)
        yield f"If all of them took as long, the best by FLAME would be {told}."


def remarks(grid: Grid, *, has_frames: bool) -> list[str]:
    """Say what should be known about the data, and how to get what this page does not show; code is in backticks."""
    by_network = {network.name: list(_remarks(network)) for network in grid.networks}
    lists = list(by_network.values())
    told = [remark for remark in lists[0] if all(remark in others for others in lists)]
    told += [f"{name}: {remark}" for name, own in by_network.items() for remark in own if remark not in told]
    if len(grid.every) > 1:
        told.append(
            "Slower cameras take frames 0, m, 2 m, .. of these, on the same scene: m = "
            f"{', '.join(str(every) for every in grid.every if every > 1)}. Only labels on those frames count."
        )
    if not has_frames:
        told.append(
            "Frames: `--frames DATA --label-maps DIR` shows what was on screen, from the data set and the label maps "
            "that `flame-metric run --label-maps DIR` wrote."
        )
    return told


def _remarks(network: NetworkScores) -> Iterator[str]:
    found, config = network.evaluation, network.evaluation.flame.config
    yield from dict.fromkeys((*found.notes, *found.flame.notes))
    yield f"{interval_note(found.flame)}."
    if config.latency_ms is None and config.fps is not None:
        longest = milliseconds_text(network.trace.median_ms)
        yield f"The delay was given as k = {config.frame_offset}; as a latency, that is at most {longest}, used here."
    if found.bank is None:
        known = "Streams and slower cameras" if network.cameras else "Other latencies, cameras and hardware"
        yield (
            f"{known}: add `--bank BANK` to `flame-metric run` or `flame-metric evaluate`, and give BANK to "
            "`flame-metric report` beside the result."
        )
        if found.streaming is None:
            yield "No stream was scored: that takes a latency, and `--workers 1` or a trace."
        return
    yield (
        f"The bank holds offsets up to k = {found.bank.max_offset}; a dash stands where older predictions would be "
        "needed. `--max-offset K` of `flame-metric run` or `flame-metric evaluate` makes it larger."
    )
    stream = found.streaming
    if stream is not None and stream.result.config.schedule != str(stream.config) and not network.is_traced:
        yield (
            "The stream was scored with latencies that vary; elsewhere in the grid each inference takes the same time. "
            "Give the trace (`flame-metric run --save-trace TRACE`) to replay what was measured."
        )
