"""The part of a report that can be changed: latency, camera and hardware, the scores there, and the curve."""

from __future__ import annotations

from collections.abc import Iterator

from flame_metric.core.tables import milliseconds_text
from flame_metric.report.markup import Markup, element
from flame_metric.report.page_chart import MARKS, chart, has_chart
from flame_metric.report.page_data import Camera, Grid
from flame_metric.report.page_sections import OWN, choice, section
from flame_metric.report.page_tables import score_table, table
from flame_metric.report.page_text import UNKNOWN, interval_text, number, rate, scale_text

__all__ = ["explorer"]

_ABOUT = "The controls pick among scores that the library computed when this page was made."
_CAPTION = (
    "FLAME counts a delay in whole frames, so it falls in steps: k = 1 is a delay of up to one frame interval. "
    "A mark is a network at its own latency."
)


def explorer(grid: Grid) -> tuple[Markup, ...]:
    """Return an introduction, the controls, and the scores at their setting with the curve.

    Where nothing but what was measured is known, there is no more than the choice among networks.
    """
    fps = grid.networks[0].fps
    if not has_chart(grid):
        return (_controls(grid),) if len(grid.networks) > 1 else ()
    slower = ""
    if fps is not None and len(grid.every) > 1:
        slower = f" A slower camera takes each 2nd, 3rd, ... of the frames at {rate(fps)}, and the labels on those."
    heading = "Other latencies, cameras and hardware"
    scores = element(
        "section",
        element("p", role="status", id="said", class_="unseen"),
        score_table(grid),
        element("p", "The same numbers: ", element("code", id="command"), class_="how", hidden=True),
        _figure(grid),
        aria_label="Scores at this setting",
    )
    return section("explore", heading, element("p", _ABOUT, slower, class_="about")), _controls(grid), scores


def _controls(grid: Grid) -> Markup:
    fps = grid.networks[0].fps
    rates = [] if fps is None else [rate(fps / every) for every in grid.every]
    slider = Markup()
    if has_chart(grid):
        slider = element(
            "div",
            element("label", "Latency", for_="latency"),
            element("output", for_="latency", id="latency-text"),
            element("button", "own latency", type="button", id="own", aria_pressed="true"),
            element("input", type="range", id="latency", min="1", max=str(len(grid.stops_ms)), value="1"),
            class_="slider",
        )
    return element(
        "div",
        choice("network", "Network", [network.name for network in grid.networks]),
        slider,
        choice("rate", "Camera", rates),
        choice("scale", "Hardware", [scale_text(scale) for scale in grid.scales], grid.scales.index(OWN)),
        class_="controls bar",
        role="group",
        aria_label="Setting",
        hidden=True,
    )


# ── the curve ──


def _figure(grid: Grid) -> Markup:
    title = "Mean IoU against latency; the table below it says the same in numbers"
    switch = Markup()
    if len(grid.networks) > 1:
        switch = element("div", choice("curves", "Curves", ["FLAME", "streaming"]), class_="switch", hidden=True)
    return element(
        "figure",
        switch,
        element("div", chart(grid, width=960, height=400, title=title), class_="wide-chart"),
        element("div", chart(grid, width=360, height=330, title=title), class_="narrow-chart"),
        element("ul", *_legend(grid), class_="legend"),
        element("figcaption", _CAPTION),
        element("details", element("summary", "The curve as a table"), _curve_table(grid)),
        class_="chart",
    )


def _legend(grid: Grid) -> Iterator[Markup]:
    if len(grid.networks) > 1:
        for place, network in enumerate(grid.networks):
            yield _key("flame", f"n{place % len(MARKS)}", network.name, place % len(MARKS))
    else:
        yield _key("flame", "one", "FLAME", 0)
        yield _key("streaming", "one", f"streaming: {grid.networks[0].stream}", 0)
    if any(camera.persistence for network in grid.networks for camera in network.cameras.values()):
        yield _key("persistence", "", "perfect, as late")
    if len(grid.networks) == 1 and any(one is not None and one.interval for one in grid.networks[0].cameras[1].flame):
        yield element("li", _swatch(element("path", d="M0 1H30V13H0z", class_="band")), "95 % interval of FLAME")


def _key(series: str, colour: str, text: str, mark: int | None = None) -> Markup:
    parts = [element("path", d="M0 7H30", class_=f"{series} {colour}")]
    if mark is not None:
        shape = MARKS[mark]
        parts.append(element("path", d=shape, class_=f"mark {series} {colour}", transform="translate(15 7) scale(.8)"))
    return element("li", _swatch(*parts), text)


def _swatch(*parts: Markup) -> Markup:
    return element("svg", *parts, viewBox="0 0 30 14", width=30, height=14, aria_hidden="true")


def _curve_table(grid: Grid) -> Markup:
    fps = grid.networks[0].fps
    cameras = [network.cameras.get(1) for network in grid.networks]
    longest = max(len(camera.flame) for camera in cameras if camera is not None)
    rows = [
        (
            str(offset),
            "" if fps is None else milliseconds_text(float(offset * 1000 / fps)),
            *(cell for camera in cameras for cell in _curve_cells(camera, offset)),
            _late(cameras, offset),
        )
        for offset in range(longest)
    ]
    names = [name for network in grid.networks for name in (network.name, "95 % interval")]
    at = "" if fps is None else f" at {rate(fps)}"
    return table(("k", "latency up to", *names, "perfect, as late"), rows, f"FLAME at each offset{at}")


def _curve_cells(camera: Camera | None, offset: int) -> tuple[str, str]:
    result = camera.flame[offset] if camera is not None and offset < len(camera.flame) else None
    return number(None if result is None else result.miou), interval_text(result) or UNKNOWN


def _late(cameras: list[Camera | None], offset: int) -> str:
    known = (camera.persistence[offset] for camera in cameras if camera and offset < len(camera.persistence))
    result = next((one for one in known if one is not None), None)
    return number(None if result is None else result.miou)
