"""A report: one HTML file that opens without a network, with scores, curves, frames and what they mean.

Every number in it was computed by this library when the page was made; its script only looks numbers up. Nothing in it
loads or runs but what is in the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from string import Template
from typing import Any

from flame_metric._version import __version__
from flame_metric.core.checks import check_kind, check_path
from flame_metric.core.files import write_whole
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.report.markup import Markup, content_policy, element, escape, joined, json_text
from flame_metric.report.page_data import Grid
from flame_metric.report.page_explorer import explorer
from flame_metric.report.page_frames import PictureClip, read_clip
from flame_metric.report.page_grid import Step, make_grid
from flame_metric.report.page_method import method, remarks
from flame_metric.report.page_script import script_data
from flame_metric.report.page_sections import cards, classes, comparison, section
from flame_metric.report.page_text import many, rate, summary, warnings_of
from flame_metric.report.page_viewer import viewer
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
        If label maps are no label maps of the frames.
    MissingExtraError
        If there are pictures, and Pillow is not installed.

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
    pictures = None
    if dataset is not None and label_maps:
        _check_fits(evaluations, dataset, label_maps)
        pictures = read_clip(dataset, label_maps, clip=clip, max_frames=max_frames, width=width)
    grid = make_grid(evaluations, traces=traces, stream=stream, seed=seed, progress=progress)
    *others, last = evaluations
    heading = title or (f"{', '.join(others)} and {last}" if others else last)
    return _page(grid, pictures, heading, joined(_main(grid, ranking, pictures, command), Markup("\n")))


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


def _main(grid: Grid, ranking: Ranking | None, pictures: PictureClip | None, command: str | None) -> list[Markup]:
    warnings = (element("p", warning, class_="warning") for warning in warnings_of(grid))
    lead = element("div", *warnings, element("p", " ".join(summary(grid, ranking))), class_="lead")
    live = [*explorer(grid), Markup() if pictures is None else viewer(grid, pictures), classes(grid)]
    return [
        lead,
        section("scores", "Scores", cards(grid.networks[0])) if ranking is None else comparison(grid, ranking),
        element("div", *live, class_="live"),
        remarks(grid, has_frames=pictures is not None),
        method(grid, command),
    ]


def _page(grid: Grid, pictures: PictureClip | None, heading: str, main: Markup) -> str:
    parts = ["page.js", *([] if pictures is None else ["frames.js"])]
    style, script = _text("page.css"), "".join(map(_text, parts))
    return Template(_text("page.html")).substitute(
        policy=escape(content_policy(styles=[style], scripts=[script])),
        version=escape(__version__),
        title=escape(f"{heading}: latency-aware scores"),
        style=style,
        heading=escape(heading),
        data=escape(_data(grid)),
        main=main,
        lookup=json_text(script_data(grid, pictures)),
        script=script,
    )


def _text(name: str) -> str:
    return files("flame_metric.report").joinpath(name).read_text(encoding="utf-8")


def _data(grid: Grid) -> str:
    """Say what was scored."""
    flame = grid.networks[0].evaluation.flame
    parts = [
        many(len(flame.sequences), "sequence"),
        many(int(flame.tallies[:, 1].sum()), "labelled frame"),
        f"{flame.config.num_classes} classes",
        "" if flame.config.fps is None else rate(flame.config.fps),
    ]
    return ", ".join(part for part in parts if part)


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
