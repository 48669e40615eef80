"""What a report says about itself: how it was found, what is missing, and how to get it again."""

from __future__ import annotations

from collections.abc import Iterator

from flame_metric._version import __version__
from flame_metric.core.tables import milliseconds_text
from flame_metric.latency.report import latency_report
from flame_metric.report.markup import Child, Markup, element, joined
from flame_metric.report.page_data import Grid, Network
from flame_metric.report.page_sections import listed, section
from flame_metric.report.page_text import signature
from flame_metric.scores.result import interval_note

__all__ = ["method", "remarks"]

_TERMS = (
    ("static", "The output for frame t on the labels of frame t: the usual mean IoU, in which delay costs nothing."),
    (
        "FLAME",
        "The output for frame t on the labels of frame t + k, the frame that is current when the output is ready. k is "
        "the latency divided by the frame interval, rounded up. An inference starts on every frame.",
    ),
    (
        "streaming",
        "What is on screen at each labelled frame if workers take time, and frames wait or are dropped meanwhile.",
    ),
    (
        "persistence",
        "The labels of k frames before, in place of outputs: what a perfect network would be worth that late. A "
        "network that predicts what comes next can be better.",
    ),
    (
        "mean IoU",
        "Pixels are added up over all sequences, then divided for each class; the mean over those that occur.",
    ),
    ("95 % interval", "A bootstrap over sequences: how far the score might be off on other videos of this kind."),
    ("coverage", "The share of the labelled frames at which something was on screen to score."),
)


def method(grid: Grid, command: str | None) -> Markup:
    """Return what the numbers mean, their signatures, and how to get them."""
    terms = [part for name, text in _TERMS for part in (element("dt", name), element("dd", text))]
    versions = sorted({network.evaluation.flame.version for network in grid.networks})
    counted = f"Counted by flame-metric {' and '.join(versions)}; page made by flame-metric {__version__}."
    parts: list[Child] = [
        element("dl", *terms, class_="terms"),
        element("h3", "Signatures"),
        element("ul", *_signatures(grid), class_="signatures"),
        element("p", counted),
        element(
            "p",
            "FLAME is the metric of Courdier and Fleuret, Fair Latency-Aware Metric for real-time video segmentation "
            "networks, 2020 (arXiv:2004.02574).",
        ),
    ]
    for network in grid.networks:
        if network.is_traced:
            report = latency_report(network.trace, fps=network.fps).table()
            told = element("summary", f"Measured latencies of {network.name}")
            parts.append(
                element("details", told, element("pre", joined(report.splitlines(), Markup("\n")), tabindex="0"))
            )
    if command is not None:
        parts += [element("h3", "To make this page again"), element("pre", element("code", command), tabindex="0")]
    return section("method", "Method", *parts)


def _signatures(grid: Grid) -> Iterator[Markup]:
    for network in grid.networks:
        for name, result in network.evaluation.results.items():
            whose = f"{network.name}, {name}: " if len(grid.networks) > 1 else f"{name}: "
            yield element("li", whose, element("code", signature(network, result)))


def remarks(grid: Grid, *, has_frames: bool) -> Markup:
    """Return what should be known about the data, and how to get what this page does not show."""
    by_network = {network.name: list(_remarks(network)) for network in grid.networks}
    lists = list(by_network.values())
    told = [remark for remark in lists[0] if all(remark in others for others in lists)]
    told += [f"{name}: {remark}" for name, own in by_network.items() for remark in own if remark not in told]
    if not has_frames:
        told.append(
            "Frames: `--frames DATA --label-maps DIR` shows what was on screen, from the data set and the label maps "
            "that `flame-metric run --label-maps DIR` wrote."
        )
    return section("remarks", "Remarks", listed(told)) if told else Markup()


def _remarks(network: Network) -> Iterator[str]:
    found, config = network.evaluation, network.evaluation.flame.config
    yield from found.notes
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
