"""Tables of a report, as text: scores at a setting, the curve, classes, sequences, networks side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from flame_metric.core.tables import milliseconds_text
from flame_metric.figures.palettes import palette
from flame_metric.report.grid import Camera, Grid, NetworkScores, Setting
from flame_metric.report.text import UNKNOWN, interval_text, latency_text, number, rate, scale_text
from flame_metric.scores.ranking import Ranking
from flame_metric.scores.result import FlameResult

__all__ = [
    "SCORES",
    "ClassRow",
    "ClassTable",
    "PageTable",
    "Track",
    "class_columns",
    "make_best_table",
    "make_class_table",
    "make_curve_table",
    "make_ranking_table",
    "make_sequence_table",
    "score_cells",
    "setting_text",
]

SCORES = ("latency", "k", "static", "FLAME", "95 % interval", "streaming", "perfect, as late", "coverage")
"""Columns of the table of scores at a setting."""

_CLASSES = ("static", "FLAME", "streaming", "lost to latency", "lost to throughput", "perfect, as late")
_MOST_SEQUENCES = 50
_LEFT, _RIGHT = 6, 108  # where 0 and 1 lie on the line of a class
Cell = str | tuple[str, str]
"""A text, or a text and a smaller one behind it."""


@dataclass(frozen=True)
class PageTable:
    """A table whose rows begin with a heading; the other cells are numbers.

    Attributes
    ----------
    caption : str
    columns : tuple of str
    rows : tuple of (str, tuple of Cell)
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def setting_text(setting: Setting, fps: Fraction | None) -> str:
    """Say what a setting is."""
    known = "" if fps is None else f"{latency_text(setting)} at {rate(fps)}, "  # without a rate, k is no time
    return f"{known}k = {setting.frame_offset}"


# ── scores at a setting ──


def score_cells(setting: Setting | None) -> list[str]:
    """Return the cells of a network in the table of scores, as text."""
    if setting is None:
        return [UNKNOWN] * len(SCORES)
    flame = setting.flame
    miou = [
        number(None if result is None else result.miou)
        for result in (setting.static, flame, setting.streaming, setting.persistence)
    ]
    return [
        latency_text(setting),
        str(setting.frame_offset),
        *miou[:2],
        interval_text(flame) or UNKNOWN,
        *miou[2:],
        number(None if flame is None else flame.coverage, 2),
    ]


# ── classes ──


@dataclass(frozen=True)
class Track:
    """Static score, FLAME and streaming on a line from 0 to 1; the table says the same in numbers.

    Attributes
    ----------
    start, end : str
        The least and the greatest of them.
    places : tuple of (str, int)
        Of each: where it is, and how opaque; 0 where it is not known.
    """

    start: str
    end: str
    places: tuple[tuple[str, int], ...]
    left: int = _LEFT
    right: int = _RIGHT


@dataclass(frozen=True)
class ClassRow:
    """One class, or the mean of all."""

    name: str
    colour: str
    texts: tuple[str, ...]
    track: Track


@dataclass(frozen=True)
class ClassTable:
    """What each class of a network loses at a setting."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[ClassRow, ...]
    mean: ClassRow


def class_columns(setting: Setting) -> tuple[list[str], ...]:
    """Return the columns of the table by class as text, the mean last; those that are not known are empty."""
    static, flame, streaming = setting.static, setting.flame, setting.streaming
    scores = [_texts(None if result is None else _values(result)) for result in (static, flame, streaming)]
    lost = [_texts(_lost(static, flame)), _texts(_lost(flame, streaming))]
    return (*scores, *lost, _texts(None if setting.persistence is None else _values(setting.persistence)))


def make_class_table(network: NetworkScores) -> ClassTable:
    """Return the scores by class at a network's own setting, with what each loses."""
    names = network.evaluation.flame.class_names
    columns = [column or [UNKNOWN] * (len(names) + 1) for column in class_columns(network.own)]
    colours = ["#{:02x}{:02x}{:02x}".format(*colour) for colour in palette(names).tolist()]
    rows = [
        ClassRow(name, colour, tuple(texts), _track(texts))
        for name, colour, *texts in zip((*names, "mean IoU"), (*colours, ""), *columns, strict=True)
    ]
    *classes, mean = rows
    return ClassTable(setting_text(network.own, network.fps), ("class", "0 to 1", *_CLASSES), tuple(classes), mean)


def _track(texts: Sequence[str]) -> Track:
    found = [_LEFT + (_RIGHT - _LEFT) * float(text) if text[0].isdigit() else None for text in texts[:3]]
    places = [place for place in found if place is not None]
    start, end = (min(places), max(places)) if places else (_LEFT, _LEFT)
    marks = tuple((f"{place or _LEFT:.1f}", int(place is not None)) for place in found)
    return Track(f"{start:.1f}", f"{end:.1f}", marks)


def _values(result: FlameResult) -> npt.NDArray[np.float64]:
    return np.append(result.iou, result.miou)


def _lost(before: FlameResult | None, after: FlameResult | None) -> npt.NDArray[np.float64] | None:
    return None if before is None or after is None else _values(before) - _values(after)


def _texts(values: npt.NDArray[np.float64] | None) -> list[str]:
    return [] if values is None else [number(value) for value in values.tolist()]


# ── sequences ──


def make_sequence_table(network: NetworkScores) -> PageTable:
    """Return the sequences that lose most to latency first; those without a score of their own are left out."""
    found = network.evaluation
    static = {} if found.static is None else found.static.by_sequence()
    rows = []
    for name, flame in found.flame.by_sequence().items():
        if not math.isnan(flame.miou):
            before = static[name].miou if name in static else None
            rows.append((name, before, flame.miou, None if before is None else before - flame.miou))
    rows.sort(key=lambda row: (-math.inf if row[3] is None else -row[3], row[2]))
    more = f"the {_MOST_SEQUENCES} of {len(rows)} that lose most" if len(rows) > _MOST_SEQUENCES else "all"
    return PageTable(
        f"Mean IoU of each sequence: {more}, the greatest loss first",
        ("sequence", "static", "FLAME", "lost to latency"),
        tuple((name, tuple(map(number, values))) for name, *values in rows[:_MOST_SEQUENCES]),
    )


# ── the curve ──


def make_curve_table(grid: Grid) -> PageTable:
    """Return FLAME of all networks at each offset."""
    fps = grid.networks[0].fps
    cameras = [network.cameras.get(1) for network in grid.networks]
    longest = max(len(camera.flame) for camera in cameras if camera is not None)
    rows = []
    for offset in range(longest):
        until = "" if fps is None else milliseconds_text(float(offset * 1000 / fps))
        cells = [cell for camera in cameras for cell in _curve_cells(camera, offset)]
        rows.append((str(offset), (until, *cells, _late(cameras, offset))))
    names = [name for network in grid.networks for name in (network.name, "95 % interval")]
    at = "" if fps is None else f" at {rate(fps)}"
    return PageTable(f"FLAME at each offset{at}", ("k", "latency up to", *names, "perfect, as late"), tuple(rows))


def _curve_cells(camera: Camera | None, offset: int) -> tuple[str, str]:
    result = camera.flame[offset] if camera is not None and offset < len(camera.flame) else None
    return number(None if result is None else result.miou), interval_text(result) or UNKNOWN


def _late(cameras: list[Camera | None], offset: int) -> str:
    known = (camera.persistence[offset] for camera in cameras if camera and offset < len(camera.persistence))
    result = next((one for one in known if one is not None), None)
    return number(None if result is None else result.miou)


# ── networks side by side ──


def make_ranking_table(ranking: Ranking) -> PageTable:
    """Return the networks by FLAME, the best first."""
    rows = []
    for one in ranking.contenders:
        config = one.flame.config
        others = (None if result is None else result.miou for result in (one.static, one.streaming))
        when = UNKNOWN if config.latency_ms is None else milliseconds_text(config.latency_ms)
        scores = (number(one.flame.miou), interval_text(one.flame) or UNKNOWN, *map(number, others))
        rows.append((one.name, (*scores, str(config.frame_offset), when)))
    columns = ("network", "FLAME", "95 % interval", "static", "streaming", "k", "latency")
    return PageTable("Networks by FLAME, each with its own latency", columns, tuple(rows))


def make_best_table(grid: Grid) -> PageTable:
    """Say which network is best by FLAME, each with its own latency, on other hardware and with slower cameras."""
    rows = []
    for scale in grid.scales:
        found = [grid.best(every, scale, None) for every in grid.every]
        cells = [UNKNOWN if best is None else (best[0], number(best[1], 3)) for best in found]
        rows.append((scale_text(scale), tuple(cells)))
    fps = grid.networks[0].fps
    cameras = [f"1/{every} of the frames" if fps is None else rate(fps / every) for every in grid.every]
    return PageTable("The best network by FLAME, by hardware and camera", ("hardware", *cameras), tuple(rows))
