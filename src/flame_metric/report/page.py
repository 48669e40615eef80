"""A report: one HTML file that opens without a network, with scores, curves, frames and what they mean.

Every number in it was computed by this library when the page was made; its script only looks numbers up. Nothing in it
loads or runs but what is in the file.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from flame_metric._version import __version__
from flame_metric.core.checks import check_kind, check_path
from flame_metric.core.files import write_whole
from flame_metric.core.tables import printable
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError
from flame_metric.latency.report import latency_report
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.report.chart import has_chart, make_chart, make_legend
from flame_metric.report.clip import read_clip
from flame_metric.report.grid import Grid, NetworkScores, Step, make_grid
from flame_metric.report.lookup import make_lookup
from flame_metric.report.moment import find_moment
from flame_metric.report.sentences import data, leaders, remarks, streamed, summary, warnings_of
from flame_metric.report.tables import (
    SCORES,
    make_best_table,
    make_class_table,
    make_curve_table,
    make_ranking_table,
    make_sequence_table,
    score_cells,
)
from flame_metric.report.text import interval_text, many, number, signature
from flame_metric.scores.evaluation import Evaluation
from flame_metric.scores.ranking import Ranking, rank

__all__ = ["report_page", "write_report"]


def report_page(
    evaluations: Mapping[str, Evaluation],
    *,
    traces: Mapping[str, LatencyTrace] | None = None,
    stream: StreamConfig | None = None,
    seed: int = 0,
    dataset: VideoDataset | None = None,
    label_maps: Mapping[str, str | os.PathLike[str]] | None = None,
    clip: str | None = None,
    max_frames: int = 30,
    width: int = 480,
    title: str | None = None,
    command: str | None = None,
    progress: Step | None = None,
) -> str:
    """Return a report on one network, or several that were scored on the same videos, as HTML.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By the names of the networks. With a ``bank`` the page can show other latencies, frame rates, hardware and
        streams; with a ``curve``, other latencies; with neither, what was measured.
    traces : mapping of str to LatencyTrace, optional
        The latencies that were measured, to replay them on streams.
    stream : StreamConfig, optional
        How a stream is served where an evaluation has none. Default: one worker, a queue of one.
    seed : int
        Seed of traces that are replayed at random.
    dataset : VideoDataset, optional
        For pictures, with ``label_maps``.
    label_maps : mapping of str to path, optional
        By network: the folder that ``flame-metric run --label-maps`` wrote.
    clip : str, optional
        Which video is shown. Default: the first that has a label.
    max_frames : int
        Pictures at most, >= 2: the first frames, or later ones where none of those is labelled.
    width : int
        Of a picture, >= 32 pixels; frames that are smaller stay as they are.
    title : str, optional
        Default: the names of the networks.
    command : str, optional
        How this page is made again, to be shown.
    progress : callable, optional
        Called with (settings scored, all settings).

    Raises
    ------
    ConfigError
        If options do not fit together, or networks were scored on unlike data.
    StateError
        If a bank and the evaluation beside it contradict each other.
    DatasetError
        If a file is missing or damaged, or a folder has no label map of the clip.
    ShapeError, LabelError
        If label maps are not label maps of the frames.
    MissingExtraError
        If jinja2 is not installed; or if there are pictures, and Pillow is not installed.

    Examples
    --------
    >>> from flame_metric import OffsetBank
    >>> from flame_metric.jobs.evaluate import evaluate_bank
    >>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]], [[0, 1, 0]]]
    >>> bank = OffsetBank(2, max_offset=2, fps=30)
    >>> bank.update_sequence(video, video, sequence="clip")
    >>> page = report_page({"a network": evaluate_bank(bank, latency_ms=50)})
    >>> "<h1>a network</h1>" in page, "FLAME 0.467 | k 2 | 50.0 ms" in page
    (True, True)
    """
    if (dataset is None) != (not label_maps):
        raise ConfigError("`dataset` and `label_maps` are not given together, expected both for pictures, or neither")
    for found in evaluations.values():
        check_kind("evaluations", found, Evaluation, "an Evaluation for each name")
    contenders = [found.contender(name) for name, found in evaluations.items()]
    ranking = rank(contenders) if len(contenders) > 1 else None
    if ranking is not None:
        evaluations = {name: found.average_over(ranking.mean_over) for name, found in evaluations.items()}
    pictures = None
    if dataset is not None and label_maps:
        _check_fits(evaluations, dataset, label_maps)
        pictures = read_clip(dataset, label_maps, clip=clip, max_frames=max_frames, width=width)
    grid = make_grid(evaluations, traces=traces, stream=stream, seed=seed, progress=progress)
    *others, last = evaluations
    heading = title or (f"{', '.join(others)} and {last}" if others else last)
    style, script = _served("page.css"), _served("page.js")
    return (
        _environment()
        .get_template("page.html")
        .render(
            _of_networks(grid, ranking),
            **_of_settings(grid),
            **_of_method(grid),
            policy=_policy(style, script),
            version=__version__,
            style=style,
            script=script,
            heading=heading,
            data=data(grid),
            warnings=list(warnings_of(grid)),
            summary=summary(grid, ranking),
            grid=grid,
            lookup=make_lookup(grid, pictures),
            moment=None if pictures is None else find_moment(grid, pictures),
            classes=[(one.name, make_class_table(one), make_sequence_table(one)) for one in grid.networks],
            remarks=remarks(grid, has_frames=pictures is not None),
            command=command,
        )
    )


def write_report(path: str | os.PathLike[str], evaluations: Mapping[str, Evaluation], **options: Any) -> None:
    """Write :func:`report_page` to a file, whole or not at all.

    Parameters
    ----------
    path : str or path
    evaluations, **options
        As :func:`report_page` takes them.

    Raises
    ------
    OSError
        If it cannot be written; otherwise as :func:`report_page` raises.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from flame_metric import OffsetBank
    >>> from flame_metric.jobs.evaluate import evaluate_bank
    >>> bank = OffsetBank(2, max_offset=1, fps=10)
    >>> bank.update_sequence([[[0, 1]]] * 3, [[[0, 1]]] * 3, sequence="clip")
    >>> file = Path(tempfile.mkdtemp(), "report.html")
    >>> write_report(file, {"net": evaluate_bank(bank, latency_ms=70)}, title="A <network>")
    >>> "<h1>A &lt;network&gt;</h1>" in file.read_text(encoding="utf-8")
    True
    """
    file = check_path(path)
    write_whole(file, report_page(evaluations, **options).encode())


@dataclass(frozen=True)
class Card:
    """A score of a network with what it means; ``interval`` is empty where there is none."""

    title: str
    value: str
    interval: str
    text: str
    signature: str


def _cards(network: NetworkScores) -> Iterator[Card]:
    """Return static score, FLAME, stream and persistence, as far as they are known."""
    found = network.evaluation
    late = many(found.flame.frame_offset or 0, "frame")
    perfect = f"The labels of {late} before as predictions: a perfect network that comes as late."
    scores = [
        ("Static", found.static, "Each output on the frame it was made from: the usual mean IoU."),
        ("FLAME", found.flame, f"Each output on the frame that is current when it is ready, {late} on."),
        *(() if (live := found.streaming) is None else [("Streaming", live.result, streamed(live))]),
        ("Persistence", found.persistence, perfect),
    ]
    for title, result, text in scores:
        if result is not None:
            yield Card(title, number(result.miou), interval_text(result), text, signature(network, result))


def _of_networks(grid: Grid, ranking: Ranking | None) -> dict[str, Any]:
    """Return what the templates show of one network, or of several side by side."""
    if ranking is None:
        return {"ranking": None, "cards": list(_cards(grid.networks[0]))}
    return {
        "ranking": make_ranking_table(ranking),
        "ranking_notes": ranking.notes,
        "best": make_best_table(grid) if has_chart(grid) else None,
        "leaders": list(leaders(grid)),
    }


def _of_settings(grid: Grid) -> dict[str, Any]:
    """Return what the templates show of other settings; no chart where nothing but what was measured is known."""
    if not has_chart(grid):
        return {"charts": []}
    return {
        "charts": [make_chart(grid, width=960, height=400), make_chart(grid, width=360, height=330)],
        "legend": make_legend(grid),
        "curve": make_curve_table(grid),
        "score_columns": list(SCORES),
        "scores": [(network.name, score_cells(network.own)) for network in grid.networks],
    }


def _of_method(grid: Grid) -> dict[str, Any]:
    """Return what the templates show of how the scores were found."""
    several = len(grid.networks) > 1
    results = [(network, *found) for network in grid.networks for found in network.evaluation.results.items()]
    return {
        "signatures": [
            (f"{network.name}, {name}" if several else name, signature(network, result))
            for network, name, result in results
        ],
        "versions": sorted({network.evaluation.flame.version for network in grid.networks}),
        "latencies": [
            (network.name, latency_report(network.trace, fps=network.fps).table().splitlines())
            for network in grid.networks
            if network.is_traced
        ],
    }


# ── rendering ──


@cache
def _environment() -> Environment:
    """Return where templates are found; every text in them is escaped, and one that is not defined is an error."""
    environment = Environment(
        loader=PackageLoader("flame_metric.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def _finalize(value: object) -> object:
    """Replace control characters and the like by U+FFFD in what is not markup."""
    return value if hasattr(value, "__html__") else printable(str(value))


def _served(name: str) -> str:
    return files("flame_metric.report").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy under which only these blocks work and only embedded images are shown."""
    style, script = (b64encode(sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _check_fits(
    evaluations: Mapping[str, Evaluation], dataset: VideoDataset, label_maps: Mapping[str, str | os.PathLike[str]]
) -> None:
    if unknown := sorted(label_maps.keys() - evaluations.keys()):
        raise ConfigError(f"`label_maps` has {unknown[0]!r}, expected some of {', '.join(evaluations)}")
    for found in evaluations.values():
        if dataset.num_classes != found.flame.config.num_classes:
            raise ConfigError(
                f"{dataset.name} has {dataset.num_classes} classes, but {found.flame.config.num_classes} were scored: "
                "expected the data set that the label maps are of"
            )
