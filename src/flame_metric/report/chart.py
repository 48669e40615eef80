"""The curve of a report, mean IoU against latency, in numbers: FLAME in steps of frames, a stream, persistence.

A drawing holds a group for each frame rate; the script shows one of them and moves the marks of the networks. Each
series differs from the others in dashes and in the shape of its mark, not only in colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby

from flame_metric.report.grid import OWN, Camera, Grid, NetworkScores
from flame_metric.report.text import number
from flame_metric.scores.result import FlameResult

__all__ = ["Chart", "ChartLine", "Key", "Mark", "RateLines", "has_chart", "make_chart", "make_legend"]

_MARKS = (  # one for each network; the first eight differ
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


Place = tuple[str, str]
"""Where a text stands along one side, and the text."""


@dataclass(frozen=True)
class ChartLine:
    """A path of one series of a network."""

    path: str
    series: str
    colour: str
    is_shown: bool


@dataclass(frozen=True)
class RateLines:
    """All curves at one frame rate.

    Attributes
    ----------
    borders : tuple of str
        Between offsets.
    offsets : tuple of Place
        Names of offsets, where there is room.
    persistence : str
        A path.
    band : str or None
        The path of an interval; None where there are several networks.
    lines : tuple of ChartLine
    """

    borders: tuple[str, ...]
    offsets: tuple[Place, ...]
    persistence: str
    band: str | None
    lines: tuple[ChartLine, ...]


@dataclass(frozen=True)
class Mark:
    """A network at its own latency: full where FLAME is, hollow where the stream is."""

    shape: str
    series: str
    colour: str
    network: int
    transform: str
    is_shown: bool


@dataclass(frozen=True)
class Chart:
    """A drawing of a size in pixels.

    Attributes
    ----------
    width, height, left, right, top, bottom : int
        The drawing, and where in it the plane of scores and latencies begins and ends.
    plane : str
        Where a latency of 0 and of 1 ms, a score of 0 and of 1 lie, for the script.
    longest : str
        The longest latency in milliseconds.
    scores : tuple of (str, str, str)
        Of each row: its line, the base of its name, and the name.
    times : tuple of Place
    middle : str
    rates : tuple of RateLines or None
        None where no network is known at a frame rate.
    marks : tuple of Mark
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    plane: str
    longest: str
    scores: tuple[tuple[str, str, str], ...]
    times: tuple[Place, ...]
    middle: str
    rates: tuple[RateLines | None, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Key:
    """An entry of the legend."""

    series: str
    colour: str
    text: str
    shape: str | None = None


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


def make_chart(grid: Grid, *, width: int, height: int) -> Chart:
    """Return the curve as a drawing of a size in pixels."""
    low, high = _limits(grid)
    plane = _Plane(width, height, 44, 34, 14, 44, float(grid.stops_ms[-1]), low, high)
    edge = width - plane.right
    return Chart(
        width,
        height,
        plane.left,
        edge,
        plane.top,
        height - plane.bottom,
        " ".join(f"{value:g}" for value in (plane.x(0), plane.x(1), plane.y(0), plane.y(1))),
        f"{plane.longest_ms:g}",
        tuple(_scores(plane)),
        tuple(_times(plane, edge)),
        f"{(plane.left + edge) / 2:.0f}",
        tuple(_rate_lines(grid, every, plane) for every in grid.every),
        tuple(mark for place in range(len(grid.networks)) for mark in _marks(grid, place, plane)),
    )


def make_legend(grid: Grid) -> list[Key]:
    """Return what the lines and marks mean."""
    if len(grid.networks) > 1:
        keys = [Key("flame", _colour(grid, at), one.name, _shape(at)) for at, one in enumerate(grid.networks)]
    else:
        stream = f"streaming: {grid.networks[0].stream}"
        keys = [Key("flame", "one", "FLAME", _shape(0)), Key("streaming", "one", stream, _shape(0))]
    if any(camera.persistence for network in grid.networks for camera in network.cameras.values()):
        keys.append(Key("persistence", "", "perfect, as late"))
    if len(grid.networks) == 1 and any(one is not None and one.interval for one in grid.networks[0].cameras[1].flame):
        keys.append(Key("band", "", "95 % interval of FLAME"))
    return keys


def _colour(grid: Grid, place: int) -> str:
    return f"n{place % len(_MARKS)}" if len(grid.networks) > 1 else "one"


def _shape(place: int) -> str:
    return _MARKS[place % len(_MARKS)]


def _limits(grid: Grid) -> tuple[float, float]:
    """Return round scores that enclose all that is drawn."""
    scores = [
        result.miou
        for network in grid.networks
        for camera in network.cameras.values()
        for result in (*camera.flame, *camera.persistence[1:])  # labels agree with themselves: 1.0 without delay
        if result is not None and not math.isnan(result.miou)
    ]
    if len(grid.networks) == 1:  # the only one whose interval is drawn
        intervals = (
            result.interval for camera in grid.networks[0].cameras.values() for result in camera.flame if result
        )
        scores += [bound for interval in intervals if interval is not None for bound in (interval.low, interval.high)]
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    step = next((step for step in _STEPS if (high - low) / step <= 5), _STEPS[-1])
    low, high = math.floor(low / step - 0.25) * step, math.ceil(high / step) * step
    return max(0.0, low), min(1.0, max(high, low + step))


# ── the frame ──


def _scores(plane: _Plane) -> Iterator[tuple[str, str, str]]:
    step = next((step for step in _STEPS if (plane.high - plane.low) / step <= 7), _STEPS[-1])
    for place in range(round((plane.high - plane.low) / step) + 1):
        tick = plane.low + step * place
        yield f"{plane.y(tick):.1f}", f"{plane.y(tick) + 4:.1f}", number(tick, 2)


def _times(plane: _Plane, edge: int) -> Iterator[Place]:
    most = (edge - plane.left) / 64
    apart = next((step for step in _MS_STEPS if plane.longest_ms / step <= most), _MS_STEPS[-1])
    for time in range(0, int(plane.longest_ms) + 1, apart):
        yield f"{plane.x(time):.1f}", f"{time:,}"


def _rate_lines(grid: Grid, every: int, plane: _Plane) -> RateLines | None:
    """Draw all curves at one frame rate, with the borders between offsets."""
    cameras = [(place, network, network.cameras.get(every)) for place, network in enumerate(grid.networks)]
    there = [(place, network, camera) for place, network, camera in cameras if camera is not None]
    if not there:
        return None
    late = next((camera.persistence for *_, camera in there if camera.persistence), ())
    fps, is_one = there[0][2].fps, len(grid.networks) == 1
    lines = []
    for place, network, camera in there:
        colour = _colour(grid, place)
        streams = " ".join(plane.path(run) for run in _stream(grid, network, every))
        lines.append(ChartLine(streams, "streaming", colour, is_one))
        lines.append(ChartLine(_steps(camera.flame, camera.fps, plane), "flame", colour, True))
    persistence = _steps((None, *late[1:]), fps, plane)
    band = _band(there[0][2], plane) if is_one else None
    return RateLines(*_offsets(fps, plane), persistence, band, tuple(lines))


def _offsets(fps: Fraction, plane: _Plane) -> tuple[tuple[str, ...], tuple[Place, ...]]:
    """Return the borders between offsets, and their names where there is room."""
    interval = float(1000 / fps)
    count = math.ceil(plane.longest_ms / interval - 1e-6)
    skip = max(1, math.ceil(_LABEL_PIXELS / (plane.x(interval) - plane.x(0))))
    borders = tuple(
        f"{plane.x(min(offset * interval, plane.longest_ms)):.1f}"
        for offset in range(1, count + 1)
        if offset * interval <= plane.longest_ms + 1e-6
    )
    names = tuple(
        (f"{plane.x((offset - 0.5) * interval):.1f}", f"k = {offset}" if offset == 1 else str(offset))
        for offset in range(1, count + 1, skip)
        if (offset - 0.5) * interval < plane.longest_ms
    )
    return borders, names


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


def _stream(grid: Grid, network: NetworkScores, every: int) -> Iterator[list[Point]]:
    """Return the scores on streams, in parts where some are missing."""
    settings = ((stop, grid.setting(network, every, OWN, stop)) for stop in grid.stops_ms)
    scores = ((stop, None if one is None or one.streaming is None else one.streaming.miou) for stop, one in settings)
    for is_there, run in groupby(scores, key=lambda pair: pair[1] is not None and not math.isnan(pair[1])):
        if is_there:
            yield [(float(stop), score) for stop, score in run if score is not None]


def _marks(grid: Grid, place: int, plane: _Plane) -> Iterator[Mark]:
    network = grid.networks[place]
    at = network.trace.median_ms
    for series, result in (("streaming", network.own.streaming), ("flame", network.own.flame)):
        score = math.nan if result is None else result.miou
        is_there = not math.isnan(score) and at <= plane.longest_ms
        where = f"translate({plane.x(at):.1f} {plane.y(score):.1f})" if is_there else "translate(0 0)"
        is_shown = is_there and (series == "flame" or len(grid.networks) == 1)
        yield Mark(_shape(place), series, _colour(grid, place), place, where, is_shown)
