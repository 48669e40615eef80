"""What the script of a report looks up: every text and every place that it may have to show, none of them computed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from flame_metric.core.tables import milliseconds_text, printable
from flame_metric.report.clip import PictureClip
from flame_metric.report.grid import Grid, NetworkScores, Setting
from flame_metric.report.moment import shown_frames
from flame_metric.report.tables import class_columns, score_cells, setting_text
from flame_metric.report.text import command_of, rate, scale_text

__all__ = ["make_lookup"]

_NONE = -1


class _Pool:
    """Things by number, each of them once."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def number(self, thing: Any) -> int:
        return self._numbers.setdefault(thing, len(self._numbers))

    @property
    def things(self) -> list[Any]:
        return list(self._numbers)


def make_lookup(grid: Grid, clip: PictureClip | None = None) -> dict[str, Any]:
    """Return what the script looks up, in types that JSON knows.

    Parameters
    ----------
    grid : Grid
    clip : PictureClip, optional

    Returns
    -------
    dict
        ``networks[n].cells[rate][scale][stop]`` is the number of one of ``networks[n].views``, or -1; stop 0 is the
        network's own latency. A view holds texts, numbers of ``columns``, and numbers of ``shown``.
    """
    fps = grid.networks[0].fps
    columns, shown = _Pool(), _Pool()
    networks = [_network(grid, network, clip, columns, shown) for network in grid.networks]
    return {
        "rates": [] if fps is None else [rate(fps / every) for every in grid.every],
        "interval": [0 if fps is None else float(1000 * every / fps) for every in grid.every],
        "every": [every * grid.networks[0].evaluation.flame.config.every for every in grid.every],
        "scales": [scale_text(scale) for scale in grid.scales],
        "stops": [milliseconds_text(stop) for stop in grid.stops_ms],
        "stopsMs": list(grid.stops_ms),
        "networks": networks,
        "columns": columns.things,
        "shown": [list(sources) for sources in shown.things],
        "clip": None if clip is None else _clip(grid, clip),
    }


def _network(
    grid: Grid, network: NetworkScores, clip: PictureClip | None, columns: _Pool, shown: _Pool
) -> dict[str, Any]:
    numbers: dict[tuple[int, int], int] = {}
    views: list[dict[str, Any]] = []

    def number(every: int, scale: Fraction, stop_ms: int | None) -> int:
        setting = grid.setting(network, every, scale, stop_ms)
        if setting is None:
            return _NONE
        time_ns = grid.time_ns(network, scale, stop_ms)
        key = every, round(time_ns)
        if key not in numbers:
            numbers[key] = len(views)
            views.append(_view(network, setting, every, time_ns, columns))
            if clip is not None:
                found = shown_frames(network, setting, every, clip)
                views[-1]["shown"] = [_NONE if one is None else shown.number(one) for one in found]
        return numbers[key]

    stops = (None, *grid.stops_ms)
    cells = [[[number(every, scale, stop) for stop in stops] for scale in grid.scales] for every in grid.every]
    own = {"ms": network.trace.median_ms, "text": milliseconds_text(network.trace.median_ms)}
    return {"name": printable(network.name), "own": own, "cells": cells, "views": views}


def _view(network: NetworkScores, setting: Setting, every: int, time_ns: Fraction, columns: _Pool) -> dict[str, Any]:
    fps = None if network.fps is None else network.fps / every
    scores = (setting.flame, setting.streaming)
    return {
        "at": setting_text(setting, fps),
        "cells": score_cells(setting),
        "columns": [columns.number(" ".join(column)) if column else _NONE for column in class_columns(setting)],
        "x": setting.latency.median_ms,
        "y": [None if one is None or np.isnan(one.miou) else one.miou for one in scores],
        "command": _command(network, setting, every, time_ns),
    }


def _command(network: NetworkScores, setting: Setting, every: int, time_ns: Fraction) -> str:
    if setting.flame is None or every not in network.cameras:  # the bank is too small for it, or there is none
        return ""
    return command_of(network, every, time_ns, has_stream=setting.streaming is not None)


def _clip(grid: Grid, clip: PictureClip) -> dict[str, Any]:
    return {
        "first": clip.first,
        "frames": clip.frames,
        "truth": clip.truth,
        "outlines": clip.outlines,
        "predictions": [clip.predictions.get(network.name) for network in grid.networks],
    }
