"""The curve of a report, mean IoU against latency, as SVG: FLAME in steps of whole frames, a stream, persistence.

A picture holds a group for each frame rate; the script shows one of them and moves the marks of the networks. Each
series differs from the others in dashes and in the shape of its mark, not in colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from flame_metric.report.markup import Markup, element, joined
from flame_metric.report.page_data import Camera, Grid, Network
from flame_metric.report.page_text import number
from flame_metric.scores.result import FlameResult

__all__ = ["MARKS", "chart", "has_chart"]

MARKS = (  # one for each network; the first eight differ
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "M-5-5h10v10h-10z",
    "M0-6 6 5h-12z",
    "M0-7 7 0 0 7-7 0z",
    "M0 6 6-5h-12z",
    "M-6-2h4v-4h4v4h4v4h-4v4h-4v-4h-4z",
    "M-6-6 0-2 6-6 2 0 6 6 0 2-6 6-2 0z",
    "M-7-3h14v6h-14z",
)
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25)
_MS_STEPS = (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 2500, 5000, 10_000)
_LABEL_PIXELS = 30  # between two labels of k
Point = tuple[float, float]


@dataclass(frozen=True)
class _Plane:
    """Where scores and latencies lie in a picture."""

    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int
    longest_ms: float
    low: float
    high: float

    def x(self, latency_ms: float) -> float:
        return self.left + (self.width - self.left - self.right) * latency_ms / self.longest_ms

    def y(self, score: float) -> float:
        share = (score - self.low) / (self.high - self.low)
        return self.height - self.bottom - (self.height - self.top - self.bottom) * share

    def path(self, points: Iterable[Point]) -> str:
        return "M" + "L".join(f"{self.x(latency):.1f} {self.y(score):.1f}" for latency, score in points)


def has_chart(grid: Grid) -> bool:
    """Whether there is more than one latency to draw."""
    return len(grid.stops_ms) > 1


def chart(grid: Grid, *, width: int, height: int, title: str) -> Markup:
    """Return the curve as a picture of a size in pixels."""
    low, high = _limits(grid)
    plane = _Plane(width, height, 44, 34, 14, 44, float(grid.stops_ms[-1]), low, high)
    rates = (
        element("g", _rate(grid, every, plane), class_="rate", data_rate=str(place), display=_display(place == 0))
        for place, every in enumerate(grid.every)
    )
    return element(
        "svg",
        element("title", title),
        _axes(plane),
        *rates,
        element("line", class_="cursor", y1=plane.top, y2=height - plane.bottom, display="none"),
        *(_marks(grid, network, place, plane) for place, network in enumerate(grid.networks)),
        viewBox=f"0 0 {width} {height}",
        role="img",
        class_="curve",
        data_plane=" ".join(f"{value:g}" for value in (plane.x(0), plane.x(1), plane.y(0), plane.y(1))),
        data_longest=f"{plane.longest_ms:g}",
    )


def _display(is_shown: bool) -> str | None:
    return None if is_shown else "none"


def _limits(grid: Grid) -> tuple[float, float]:
    """Return round scores that enclose all that is drawn."""
    scores = [
        result.miou
        for network in grid.networks
        for camera in network.cameras.values()
        for result in (*camera.flame, *camera.persistence[1:])  # labels agree with themselves: 1.0 without delay
        if result is not None and not math.isnan(result.miou)
    ]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    step = next((step for step in _STEPS if (high - low) / step <= 5), _STEPS[-1])
    low, high = math.floor(low / step - 0.25) * step, math.ceil(high / step) * step
    return max(0.0, low), min(1.0, max(high, low + step))


# ── the frame ──


def _axes(plane: _Plane) -> Markup:
    step = next((step for step in _STEPS if (plane.high - plane.low) / step <= 7), _STEPS[-1])
    ticks = [plane.low + step * place for place in range(round((plane.high - plane.low) / step) + 1)]
    edge = plane.width - plane.right
    rows = (
        joined(
            [
                element("line", x1=plane.left, x2=edge, y1=f"{plane.y(tick):.1f}", y2=f"{plane.y(tick):.1f}"),
                element("text", number(tick, 2), x=plane.left - 8, y=f"{plane.y(tick) + 4:.1f}", text_anchor="end"),
            ]
        )
        for tick in ticks
    )
    most = (edge - plane.left) / 64
    apart = next((step for step in _MS_STEPS if plane.longest_ms / step <= most), _MS_STEPS[-1])
    base = plane.height - plane.bottom
    times = (
        element("text", f"{time:,}", x=f"{plane.x(time):.1f}", y=base + 18, text_anchor="middle")
        for time in range(0, int(plane.longest_ms) + 1, apart)
    )
    middle = f"{(plane.left + edge) / 2:.0f}"
    name = element("text", "latency in ms", x=middle, y=base + 37, text_anchor="middle", class_="name")
    return element("g", *rows, *times, name, class_="axes")


def _rate(grid: Grid, every: int, plane: _Plane) -> Markup:
    """Draw all curves at one frame rate, with the borders between offsets."""
    cameras = [(place, network, network.cameras.get(every)) for place, network in enumerate(grid.networks)]
    there = [(place, network, camera) for place, network, camera in cameras if camera is not None]
    if not there:
        return Markup()
    late = next((camera.persistence for *_, camera in there if camera.persistence), ())
    fps = there[0][2].fps
    parts = [_offsets(fps, plane), element("path", d=_steps((None, *late[1:]), fps, plane), class_="persistence")]
    for place, network, camera in there:
        colour = f"n{place % len(MARKS)}" if len(grid.networks) > 1 else "one"
        if len(grid.networks) == 1:
            parts.append(element("path", d=_band(camera, plane), class_="band"))
        streams = [path for run in _stream(grid, network, every) for path in [plane.path(run)]]
        is_hidden = len(grid.networks) > 1
        parts += [
            element("path", d=" ".join(streams), class_=f"streaming {colour}", display=_display(not is_hidden)),
            element("path", d=_steps(camera.flame, camera.fps, plane), class_=f"flame {colour}"),
        ]
    return joined(parts)


def _offsets(fps: Fraction, plane: _Plane) -> Markup:
    """Draw the borders between offsets, and their names where there is room."""
    interval = float(1000 / fps)
    count = math.ceil(plane.longest_ms / interval - 1e-6)
    skip = max(1, math.ceil(_LABEL_PIXELS / (plane.x(interval) - plane.x(0))))
    lines = [
        element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=plane.top, y2=plane.height - plane.bottom)
        for offset in range(1, count + 1)
        if (x := plane.x(min(offset * interval, plane.longest_ms))) and offset * interval <= plane.longest_ms + 1e-6
    ]
    names = [
        element(
            "text",
            f"k = {offset}" if offset == 1 else str(offset),
            x=f"{plane.x(min((offset - 0.5) * interval, plane.longest_ms)):.1f}",
            y=plane.top - 10,
            text_anchor="middle",
        )
        for offset in range(1, count + 1, skip)
        if (offset - 0.5) * interval < plane.longest_ms
    ]
    return element("g", *lines, *names, class_="offsets")


# ── series ──


def _treads(
    results: Sequence[FlameResult | None], fps: Fraction, last_ms: float
) -> Iterator[tuple[float, float, FlameResult]]:
    """Return from where to where in milliseconds each offset k reaches, ((k - 1) d, k d], and its result."""
    interval = float(1000 / fps)
    for offset, result in enumerate(results):
        start, end = max(0, offset - 1) * interval, min(offset * interval, last_ms)
        if result is not None and not math.isnan(result.miou) and (start < end or not offset):
            yield start, end, result


def _steps(results: Sequence[FlameResult | None], fps: Fraction, plane: _Plane) -> str:
    points = [
        point
        for start, end, result in _treads(results, fps, plane.longest_ms)
        for point in ((start, result.miou), (end, result.miou))
    ]
    return plane.path(points) if points else ""


def _band(camera: Camera, plane: _Plane) -> str:
    treads = list(_treads(camera.flame, camera.fps, plane.longest_ms))
    found = [(start, end, result.interval) for start, end, result in treads]
    upper = [(time, one.high) for start, end, one in found if one is not None for time in (start, end)]
    lower = [(time, one.low) for start, end, one in found if one is not None for time in (start, end)]
    return plane.path([*upper, *reversed(lower)]) + "z" if upper else ""


def _stream(grid: Grid, network: Network, every: int) -> Iterator[list[Point]]:
    """Return the scores on streams, in parts where some are missing."""
    settings = ((stop, grid.setting(network, every, Fraction(1), stop)) for stop in grid.stops_ms)
    scores = ((stop, None if one is None or one.streaming is None else one.streaming.miou) for stop, one in settings)
    for is_there, run in groupby(scores, key=lambda pair: pair[1] is not None and not math.isnan(pair[1])):
        if is_there:
            yield [(float(stop), score) for stop, score in run if score is not None]


def _marks(grid: Grid, network: Network, place: int, plane: _Plane) -> Markup:
    """Mark a network at its own latency: full where FLAME is, hollow where the stream is."""
    setting = grid.setting(network, 1, Fraction(1), None)
    at = network.trace.median_ms
    shapes = []
    for name in ("streaming", "flame"):
        result = None if setting is None else getattr(setting, name)
        score = math.nan if result is None else result.miou
        is_there = not math.isnan(score) and at <= plane.longest_ms
        where = f"translate({plane.x(at):.1f} {plane.y(score):.1f})" if is_there else "translate(0 0)"
        is_hidden = not is_there or (name == "streaming" and len(grid.networks) > 1)
        colour = f"n{place % len(MARKS)}" if len(grid.networks) > 1 else "one"
        shapes.append(
            element(
                "path",
                d=MARKS[place % len(MARKS)],
                class_=f"mark {name} {colour}",
                data_network=str(place),
                transform=where,
                display=_display(not is_hidden),
            )
        )
    return joined(shapes)
