"""Tables of a report: scores at a setting, classes, sequences, networks side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from flame_metric.core.tables import milliseconds_text
from flame_metric.figures.palettes import palette
from flame_metric.report.markup import Child, Markup, element, joined
from flame_metric.report.page_data import Grid, Network, Setting
from flame_metric.report.page_text import UNKNOWN, interval_text, latency_text, number, rate, scale_text
from flame_metric.scores.ranking import Ranking
from flame_metric.scores.result import FlameResult

__all__ = [
    "best_table",
    "class_columns",
    "class_table",
    "ranking_table",
    "score_cells",
    "score_table",
    "sequence_table",
    "setting_text",
    "table",
]

_CLASSES = ("static", "FLAME", "streaming", "lost to latency", "lost to throughput", "perfect, as late")
_SCORES = ("latency", "k", "static", "FLAME", "95 % interval", "streaming", "perfect, as late", "coverage")
_MOST_SEQUENCES = 50
_TRACK = 6, 108  # where 0 and 1 lie on the line of a class


def table(
    columns: Sequence[Child],
    rows: Iterable[Sequence[Child]],
    caption: Child,
    *,
    foot: Sequence[Child] = (),
    **attributes: str,
) -> Markup:
    """Return a table in a region that scrolls by itself where it is too wide.

    The first cell of a row is its heading, and the others are numbers.
    """
    parts = [
        element("caption", caption),
        element("thead", element("tr", *(element("th", column, scope="col") for column in columns))),
        element("tbody", *map(_row, rows)),
        element("tfoot", _row(foot)) if foot else Markup(),
    ]
    whole = element("table", *parts, **attributes)
    label = f"Table by {columns[0]}" if isinstance(caption, Markup) else caption
    return element("div", whole, class_="wide", role="region", tabindex="0", aria_label=label)


def _row(cells: Sequence[Child]) -> Markup:
    def cell(content: Child) -> Markup:
        return content if isinstance(content, Markup) and content.startswith("<td") else element("td", content)

    return element("tr", element("th", cells[0], scope="row"), *map(cell, cells[1:]))


def setting_text(setting: Setting, fps: Fraction | None) -> str:
    """Say what a setting is."""
    known = "" if fps is None else f"{latency_text(setting)} at {rate(fps)}, "  # without a rate, k is no time
    return f"{known}k = {setting.frame_offset}"


# ── scores at a setting ──


def score_cells(setting: Setting | None) -> list[str]:
    """Return the cells of a network in the table of scores, as text."""
    if setting is None:
        return [UNKNOWN] * len(_SCORES)
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


def score_table(grid: Grid) -> Markup:
    """Return the scores of all networks, first as they were measured."""
    rows = []
    for place, network in enumerate(grid.networks):
        cells = score_cells(grid.setting(network, 1, Fraction(1), None))
        numbered = (
            element(
                "td",
                cell,
                data_network=str(place),
                data_cell=str(at),
                data_label=_SCORES[at],
                class_=_SCORES[at].partition(" ")[0],
            )
            for at, cell in enumerate(cells)
        )
        rows.append((network.name, *numbered))
    return table(("network", *_SCORES), rows, "Scores at this setting", id="now")


# ── classes ──


def class_columns(setting: Setting) -> tuple[list[str], ...]:
    """Return the columns of the table by class as text, the mean last; those that are not known are empty."""
    static, flame, streaming = setting.static, setting.flame, setting.streaming
    scores = [_texts(None if result is None else _values(result)) for result in (static, flame, streaming)]
    lost = [_texts(_lost(static, flame)), _texts(_lost(flame, streaming))]
    return (*scores, *lost, _texts(None if setting.persistence is None else _values(setting.persistence)))


def class_table(network: Network, setting: Setting, place: int) -> Markup:
    """Return the scores by class at a setting, with what each loses."""
    names = network.evaluation.flame.class_names
    columns = [column or [UNKNOWN] * (len(names) + 1) for column in class_columns(setting)]
    rows = [
        (joined([_swatch(colour), name]), *_class_cells([column[label] for column in columns]))
        for label, (name, colour) in enumerate(zip(names, palette(names).tolist(), strict=True))
    ]
    return table(
        ("class", "0 to 1", *_CLASSES),
        rows,
        element("span", setting_text(setting, network.fps), data_setting=str(place)),
        foot=("mean IoU", *_class_cells([column[-1] for column in columns])),
        class_="classes",
        data_classes=str(place),
    )


def _class_cells(texts: Sequence[str]) -> list[Markup]:
    numbers = [element("td", text, data_column=str(column)) for column, text in enumerate(texts)]
    return [element("td", _range(texts[:3]), class_="range"), *numbers]


def _range(texts: Sequence[str]) -> Markup:
    """Draw static score, FLAME and streaming on a line from 0 to 1; the table says the same in numbers."""
    left, right = _TRACK
    found = [left + (right - left) * float(text) if text[0].isdigit() else None for text in texts]
    places = [place for place in found if place is not None]
    ends = (min(places), max(places)) if places else (left, left)
    marks = (
        ("static", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0"),
        ("flame", "M0-5 5 0 0 5-5 0z"),
        ("stream", "M-4-4h8v8h-8z"),
    )
    shapes = [
        element(
            "path", d=shape, class_=name, transform=f"translate({place or left:.1f} 9)", opacity=int(place is not None)
        )
        for (name, shape), place in zip(marks, found, strict=True)
    ]
    return element(
        "svg",
        element("line", x1=left, x2=right, y1=9, y2=9, class_="track"),
        element("line", x1=f"{ends[0]:.1f}", x2=f"{ends[1]:.1f}", y1=9, y2=9, class_="span"),
        *(shapes[index] for index in (0, 2, 1)),
        viewBox="0 0 114 18",
        width=114,
        height=18,
        aria_hidden="true",
        focusable="false",
    )


def _swatch(colour: Sequence[int]) -> Markup:
    square = element("rect", width=12, height=12, rx=3, fill="#{:02x}{:02x}{:02x}".format(*colour))
    return element("svg", square, class_="swatch", viewBox="0 0 12 12", width=12, height=12, aria_hidden="true")


def _values(result: FlameResult) -> npt.NDArray[np.float64]:
    return np.append(result.iou, result.miou)


def _lost(before: FlameResult | None, after: FlameResult | None) -> npt.NDArray[np.float64] | None:
    return None if before is None or after is None else _values(before) - _values(after)


def _texts(values: npt.NDArray[np.float64] | None) -> list[str]:
    return [] if values is None else [number(value) for value in values.tolist()]


# ── sequences ──


def sequence_table(network: Network) -> Markup:
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
    return table(
        ("sequence", "static", "FLAME", "lost to latency"),
        [(name, *map(number, values)) for name, *values in rows[:_MOST_SEQUENCES]],
        f"Mean IoU of each sequence alone: {more}, the greatest loss first",
    )


# ── networks side by side ──


def ranking_table(ranking: Ranking) -> Markup:
    """Return the networks by FLAME, the best first."""
    rows = []
    for one in ranking.contenders:
        config = one.flame.config
        others = (None if result is None else result.miou for result in (one.static, one.streaming))
        when = UNKNOWN if config.latency_ms is None else milliseconds_text(config.latency_ms)
        rows.append(
            (
                one.name,
                number(one.flame.miou),
                interval_text(one.flame) or UNKNOWN,
                *map(number, others),
                config.frame_offset,
                when,
            )
        )
    columns = ("network", "FLAME", "95 % interval", "static", "streaming", "k", "latency")
    return table(columns, rows, "Networks by FLAME, each with its own latency")


def best_table(grid: Grid) -> Markup:
    """Say which network is best by FLAME, each with its own latency, on other hardware and with slower cameras."""
    rows = []
    for scale in grid.scales:
        found = [grid.best(every, scale, None) for every in grid.every]
        cells = [
            UNKNOWN if best is None else joined([best[0], element("small", number(best[1], 3))], " ") for best in found
        ]
        rows.append((scale_text(scale), *cells))
    fps = grid.networks[0].fps
    cameras = [f"1/{every} of the frames" if fps is None else rate(fps / every) for every in grid.every]
    return table(("hardware", *cameras), rows, "The best network by FLAME, by hardware and camera", class_="best")
