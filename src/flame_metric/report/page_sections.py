"""The sections of a report, as HTML that says all without the script; what the script needs is hidden until it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import groupby

from flame_metric.report.markup import Child, Markup, element
from flame_metric.report.page_chart import has_chart
from flame_metric.report.page_data import Grid, Network
from flame_metric.report.page_tables import (
    best_table,
    class_table,
    ranking_table,
    sequence_table,
)
from flame_metric.report.page_text import interval_text, many, number, signature
from flame_metric.scores.evaluation import Streaming
from flame_metric.scores.ranking import Ranking
from flame_metric.scores.result import FlameResult

__all__ = ["OWN", "cards", "choice", "classes", "comparison", "listed", "section"]

OWN = Fraction(1)


def section(name: str, heading: Child, *content: Child) -> Markup:
    """Return a section with its heading."""
    title = element("h2", heading, id=f"{name}-heading")
    return element("section", title, *content, id=name, aria_labelledby=f"{name}-heading")


def choice(name: str, legend: str, texts: Sequence[str], chosen: int = 0) -> Markup:
    """Return radio buttons that stand side by side; nothing where there is nothing to choose."""
    if len(texts) < 2:
        return Markup()
    options = (
        element(
            "label",
            element("input", type="radio", name=name, value=str(place), checked=place == chosen),
            element("span", text),
        )
        for place, text in enumerate(texts)
    )
    return element("fieldset", element("legend", legend), element("div", *options, class_="options"), class_="choice")


# ── cards ──


def cards(network: Network) -> Markup:
    """Return static score, FLAME, stream and persistence, each with its interval and signature."""
    return element("div", *_cards(network), class_="cards")


def _cards(network: Network) -> Iterator[Markup]:
    found = network.evaluation
    late = many(found.flame.frame_offset or 0, "frame")
    if found.static is not None:
        yield _card(network, "Static", found.static, "Each output on the frame it was made from: the usual mean IoU.")
    yield _card(network, "FLAME", found.flame, f"Each output on the frame that is current when it is ready, {late} on.")
    if (stream := found.streaming) is not None:
        yield _card(network, "Streaming", stream.result, _happened(stream))
    if found.persistence is not None:
        told = f"The labels of {late} before as predictions: a perfect network that comes as late."
        yield _card(network, "Persistence", found.persistence, told)


def _happened(stream: Streaming) -> str:
    found = stream.statistics
    shown = "nothing, ever"
    if any(found.staleness_histogram):
        shown = f"{found.mean_staleness:.2f} frames old on average, {found.max_staleness} at most"
    run = f"{found.dropped:,} of {many(found.dropped + found.runs, 'frame')} dropped"
    return f"What is on screen live, with {stream.config}: {shown}; {run}."


def _card(network: Network, title: str, result: FlameResult, told: str) -> Markup:
    interval = interval_text(result)
    return element(
        "article",
        element("h3", title),
        element("p", number(result.miou), class_="value"),
        element("p", f"95 % {interval}" if interval else "no 95 % interval: too few sequences", class_="interval"),
        element("p", told, class_="told"),
        element("p", element("code", signature(network, result)), class_="signature"),
        class_=f"card {title.lower()}",
    )


# ── networks side by side ──


def comparison(grid: Grid, ranking: Ranking) -> Markup:
    """Return the ranking, how sure it is, and which network is best elsewhere."""
    parts: list[Markup] = [ranking_table(ranking), listed(ranking.notes)]
    if has_chart(grid):
        parts += [best_table(grid), listed(_leaders(grid))]
    return section("comparison", "Which network is best?", *parts)


def _leaders(grid: Grid) -> Iterator[str]:
    """Say who leads at which latency, if all networks took as long."""
    found = ((stop, grid.best(1, OWN, stop)) for stop in grid.stops_ms)
    known = [(stop, best[0]) for stop, best in found if best is not None]
    runs = [(name, [stop for stop, _ in run]) for name, run in groupby(known, key=lambda pair: pair[1])]
    if runs:
        told = "; ".join(f"{name} at {stops[0]} to {stops[-1]} ms" for name, stops in runs)
        yield f"If all of them took as long, the best by FLAME would be {told}."


def listed(items: Iterable[str]) -> Markup:
    """Return notes as a list; nothing where there are none."""
    rows = [element("li", *_with_code(item)) for item in items]
    return element("ul", *rows, class_="notes") if rows else Markup()


def _with_code(text: str) -> Iterator[Child]:
    """Split text at backticks: what stands between two of them is code."""
    for place, part in enumerate(text.split("`")):
        yield element("code", part) if place % 2 else part


# ── classes ──


def classes(grid: Grid) -> Markup:
    """Return the classes, and the sequences, of each network."""
    parts = []
    for place, network in enumerate(grid.networks):
        setting = grid.setting(network, 1, OWN, None)
        assert setting is not None  # its own
        heading = element("h3", network.name) if len(grid.networks) > 1 else Markup()
        details = element("details", element("summary", "By sequence"), sequence_table(network))
        parts.append(element("div", heading, class_table(network, setting, place), details, data_of=str(place)))
    about = "What each class loses to latency (static minus FLAME) and to throughput, as frames are dropped or wait "
    about += "(FLAME minus streaming)."
    return section("classes", "By class", element("p", about, class_="about"), *parts)
