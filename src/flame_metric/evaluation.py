"""Evaluation: label maps in folders, or an offset bank, become scores side by side.

``static`` compares frame with frame (the usual mean IoU), ``flame`` with the ground truth of k frames later, and
``streaming`` shows at each frame what a stream of limited workers would show. ``persistence`` does the same with the
labels themselves as predictions: what perfect outputs would be worth if they came as late.
"""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from flame_metric.bank import OffsetBank
from flame_metric.checks import check_integer
from flame_metric.config import ScoreConfig, make_config
from flame_metric.curve import Curve, Losses
from flame_metric.data.folder import Clip, LabelFolder, match_folders
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import ConfigError, StateError, shortened
from flame_metric.folder_counts import FolderReader, Progress, count_folders
from flame_metric.latency import LatencyTrace, as_trace
from flame_metric.meter import FlameMeter
from flame_metric.offset_counts import NETWORK, PERSISTENCE
from flame_metric.plan import FLAME, STATIC, STREAMING, ClipPlan, Plan
from flame_metric.record import load_record, reading
from flame_metric.result import FlameResult, interval_note
from flame_metric.schedule import Schedule
from flame_metric.streaming import StreamConfig, StreamStatistics, simulate_clips, stream_text
from flame_metric.table import Cell, Table
from flame_metric.timing import Fps, Milliseconds, as_fps, milliseconds_to_ns

__all__ = ["Evaluation", "Streaming", "evaluate_bank", "evaluate_folders"]

_FORMAT = "flame-metric evaluation 1"
_RESULTS = ("static", "flame", "persistence")
_LABELS_AS_PREDICTIONS = "labels as predictions"
_MOST_AGES = 8
_WIDTH = 110  # of notes; signatures stay whole


@dataclass(frozen=True)
class Streaming:
    """A score on a stream, and what happened there.

    Attributes
    ----------
    result : FlameResult
    persistence : FlameResult or None
        The same stream with the labels as predictions; None if they were not counted.
    config : StreamConfig
    statistics : StreamStatistics
    """

    result: FlameResult
    persistence: FlameResult | None
    config: StreamConfig
    statistics: StreamStatistics

    def note(self) -> str:
        """Say in two sentences what happened."""
        found, histogram = self.statistics, self.statistics.staleness_histogram
        ages = [f"{age}: {times / sum(histogram):.0%}" for age, times in enumerate(histogram) if times]
        shares = f" ({', '.join(ages)})" if len(ages) <= _MOST_AGES else ""
        shown = "Nothing is ever on screen."
        if ages:
            oldest = f"{found.max_staleness} at most{shares}"
            shown = f"What is on screen is {found.mean_staleness:.2f} frames old on average, {oldest}."
        return (
            f"Stream of {self.config}: {found.runs:,} frames run, {found.dropped:,} dropped, {found.overruns:,} "
            f"overruns (longer than a frame interval). {shown}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        return {
            "result": self.result.to_dict(),
            "persistence": None if self.persistence is None else self.persistence.to_dict(),
            "config": asdict(self.config),
            "statistics": self.statistics.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Streaming:
        """Read what :meth:`to_dict` returned."""
        late = record["persistence"]
        return cls(
            FlameResult.from_dict(record["result"]),
            None if late is None else FlameResult.from_dict(late),
            StreamConfig(**record["config"]),
            StreamStatistics.from_dict(record["statistics"]),
        )


@dataclass(frozen=True)
class Evaluation:
    """Scores of the same predictions, and what should be known about them.

    Attributes
    ----------
    static : FlameResult or None
        Frame against frame; None if no labelled frame has a prediction of its own.
    flame : FlameResult
        Prediction of frame j - k against the labels of frame j.
    persistence : FlameResult or None
        Labels of frame j - k against those of frame j; None if no two labels are k frames apart.
    notes : tuple of str
    streaming : Streaming or None
        On a stream, if one was asked for.
    curve : Curve or None
        At every offset, if it was asked for.
    bank : OffsetBank or None
        The counts at every offset, if they were asked for; not in JSON.
    """

    static: FlameResult | None
    flame: FlameResult
    persistence: FlameResult | None
    notes: tuple[str, ...] = ()
    streaming: Streaming | None = None
    curve: Curve | None = None
    bank: OffsetBank | None = field(default=None, compare=False, repr=False)

    @property
    def results(self) -> dict[str, FlameResult]:
        """Those that could be computed, by name."""
        stream = self.streaming
        named = {
            "static": self.static,
            "FLAME": self.flame,
            "streaming": None if stream is None else stream.result,
            "persistence": self.persistence,
            "persistence, streaming": None if stream is None else stream.persistence,
        }
        return {name: result for name, result in named.items() if result is not None}

    @property
    def losses(self) -> Losses | None:
        """What is lost to latency and to throughput; None without a static or a streaming score."""
        if self.static is None or self.streaming is None:
            return None
        return Losses(self.static, self.flame, self.streaming.result)

    def table(self, format: str = "text") -> str:
        """Return one table of the scores: ``"text"``, ``"markdown"``, ``"latex"`` or ``"csv"``.

        The curve, if there is one, is a second table below it; in CSV it stands alone, as :meth:`Curve.table`.
        """
        results = self.results.values()
        columns = ("class", *(_column(name, result) for name, result in self.results.items()))
        names = self.flame.class_names
        iou = [result.iou.tolist() for result in results]
        rows: tuple[tuple[Cell, ...], ...] = tuple(zip(names, *iou, strict=True))
        summary: list[tuple[Cell, ...]] = [("mean IoU", *(result.miou for result in results))]
        intervals = [result.interval for result in results]
        if any(intervals):
            summary.append(("95 % from", *(one.low if one else None for one in intervals)))
            summary.append(("95 % to", *(one.high if one else None for one in intervals)))
        summary += [
            ("coverage", *(result.coverage for result in results)),
            ("valid pixels", *(result.valid_fraction for result in results)),
            ("label maps", *(result.num_pairs for result in results)),
        ]
        text = Table(columns, rows, tuple(summary), self._below()).render(format)
        return text if self.curve is None or format == "csv" else f"{text}\n{self.curve.table(format)}"

    def _below(self) -> tuple[str, ...]:
        stream, losses = self.streaming, self.losses
        lines = [*self.notes, interval_note(self.flame)]
        if stream is not None:
            lines.append(stream.note())
        if losses is not None:
            lines.append(
                f"Lost to latency {losses.to_latency:.4f} (static - FLAME), to throughput {losses.to_throughput:.4f} "
                "(FLAME - streaming)."
            )
        wrapped = [part for line in lines for part in textwrap.wrap(line, _WIDTH)]
        return (*wrapped, self.flame.signature, *(() if stream is None else (stream.result.signature,)))

    def to_json(self) -> str:
        """Return all results as JSON text, without loss."""
        parts = {name: getattr(self, name) for name in (*_RESULTS, "streaming", "curve")}
        record = {
            "format": _FORMAT,
            **{name: None if part is None else part.to_dict() for name, part in parts.items()},
            "notes": list(self.notes),
        }
        return json.dumps(record, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """Read what :meth:`to_json` returned.

        Raises
        ------
        StateError
            If the text is no such record, or its counts contradict each other.
        """
        record = load_record(text, _FORMAT)
        with reading(_FORMAT):
            static, persistence = (
                None if record[name] is None else FlameResult.from_dict(record[name])
                for name in ("static", "persistence")
            )
            streaming, curve = record["streaming"], record["curve"]
            return cls(
                static,
                FlameResult.from_dict(record["flame"]),
                persistence,
                tuple(str(note) for note in record["notes"]),
                None if streaming is None else Streaming.from_dict(streaming),
                None if curve is None else Curve.from_dict(curve),
            )


def _column(name: str, result: FlameResult) -> str:
    return name if result.frame_offset is None else f"{name} k={result.frame_offset}"


def evaluate_folders(
    predictions: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    num_classes: int,
    fps: Fps,
    latency_ms: Milliseconds | None = None,
    frame_offset: int | None = None,
    trace: LatencyTrace | None = None,
    stream: StreamConfig | None = None,
    seed: int = 0,
    before_first: str = "skip",
    max_offset: int | None = None,
    keep_bank: bool = False,
    ignore_index: int | None = None,
    pred_map: LabelLookup | None = None,
    label_map: LabelLookup | None = None,
    pred_prefix: str = "",
    pred_suffix: str = "",
    label_prefix: str = "",
    label_suffix: str = "",
    class_names: Sequence[str] | None = None,
    step: int | None = None,
    device: str | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a folder of predictions against a folder of labels.

    Parameters
    ----------
    predictions, labels : str or path
        ``<root>/<sequence>/<frame>.png`` or one flat sequence; .npy label maps too, and .npy scores (C, H, W) as
        predictions. Frames are matched by name.
    num_classes, latency_ms, frame_offset, ignore_index, class_names, device, before_first
        As :class:`~flame_metric.FlameMeter` takes them; one of latency, offset and ``trace`` is needed.
    fps : int, float, Fraction or str
        Steps of the frame numbers per second.
    trace : LatencyTrace, optional
        Measured latencies: their median gives k, and the stream replays them.
    stream : StreamConfig, optional
        Score this stream too; with a trace, one of one worker and a queue of one is scored anyway.
    seed : int
        Seed of a trace that is replayed at random.
    max_offset : int, optional
        Count every offset up to this one: the result has a curve and a bank.
    keep_bank : bool
        Whether the result has a bank that reaches as far as the scores do, and at least to ``max_offset``.
    pred_map, label_map : LabelLookup, optional
        From labels in the files to classes.
    pred_prefix, pred_suffix, label_prefix, label_suffix : str
        What file names begin and end with beside the frame's name.
    step : int, optional
        Difference of frame numbers from one frame to the next; default: the smallest one in a sequence.
    jobs : int
        Threads that decode and count, >= 1. The numbers do not depend on it.
    progress : callable, optional
        Called with (frames done, all frames).

    Returns
    -------
    Evaluation

    Raises
    ------
    DatasetError
        If a file is missing, damaged, of another size, or holds a label that is no class; or if k reaches beyond the
        first frame of a sequence with one label.
    ConfigError
        If an option is out of range, not exactly one of latency, offset and trace is given, or a stream is asked for
        with an offset.

    Warns
    -----
    FlameWarning
        If some sequence yields no FLAME pair, or everything is void.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> root = Path(tempfile.mkdtemp())
    >>> for folder, maps in (("labels", [[0, 1, 1], [0, 0, 1]]), ("out", [[0, 1, 1], [0, 1, 1]])):
    ...     (root / folder).mkdir()
    ...     for number, labels in enumerate(maps):
    ...         np.save(root / folder / f"{number:04}.npy", np.array([labels]))
    >>> found = evaluate_folders(root / "out", root / "labels", num_classes=2, fps=30, latency_ms=26)
    >>> round(found.static.miou, 4), found.flame.miou
    (0.7083, 0.5)
    """
    latency, stream = _latency(latency_ms, frame_offset, trace, stream)
    jobs = check_integer("jobs", jobs, 1)
    if max_offset is not None:
        max_offset = check_integer("max_offset", max_offset, 0, unit="frames")
    config = make_config(
        num_classes,
        latency_ms=None if latency is None else as_trace(latency).median_ns / 10**6,
        fps=fps,
        frame_offset=frame_offset,
        ignore_index=ignore_index,
        class_names=class_names,
        before_first=before_first,
        device=device,
    )
    pred_folder = LabelFolder.scan(predictions, prefix=pred_prefix, suffix=pred_suffix, lookup=pred_map)
    label_folder = LabelFolder.scan(labels, prefix=label_prefix, suffix=label_suffix, lookup=label_map)
    clips = match_folders(pred_folder, label_folder, step=step)
    schedules: dict[str, Schedule] = {}
    if latency is not None and stream is not None:  # a camera also delivers what was not recorded
        lengths = {clip.name: clip.frames[-1].index + 1 for clip in clips}
        labelled = {clip.name: [frame.index for frame in clip.frames if frame.label] for clip in clips}
        schedules = simulate_clips(latency, stream, lengths, labelled, fps=fps, seed=seed)
    plan = _plan(pred_folder, clips, config, schedules, max_offset, keep_bank=keep_bank)
    notes = [*plan.check(), *_remarks(pred_folder, label_folder, clips)]
    reader = FolderReader(pred_folder, label_folder, config.space)
    counted = count_folders(plan, reader, void=before_first == "void", jobs=jobs, progress=progress)
    meter = FlameMeter.from_config(config)
    for name, counts in counted.scores[FLAME, NETWORK].items():
        meter.add_counts(counts, sequence=name)
    static = None
    if without_own := plan.without_own_prediction:
        notes.append(
            f"No static score: {len(without_own)} labelled frame(s) have no prediction of their own "
            f"({shortened(without_own)})."
        )
    else:
        settings = replace(config, frame_offset=0, latency_ms=None, device=None, before_first="skip")
        static = FlameResult.from_counts(settings, counted.scores[STATIC, NETWORK])
    flame = meter.compute()
    persistence = _late_labels(FlameResult.from_counts(config, counted.scores[FLAME, PERSISTENCE]))
    notes += [] if persistence else [_no_baseline(flame)]
    streaming = None
    if stream is not None:
        settings = replace(config, frame_offset=None, schedule=stream_text(stream, latency, seed))
        streaming = Streaming(
            FlameResult.from_counts(settings, counted.scores[STREAMING, NETWORK]),
            _late_labels(FlameResult.from_counts(settings, counted.scores[STREAMING, PERSISTENCE])),
            stream,
            StreamStatistics.of(schedules.values()),
        )
    bank = None
    if plan.bank_offset is not None:
        bank = OffsetBank(
            num_classes,
            max_offset=plan.bank_offset,
            fps=fps,
            ignore_index=ignore_index,
            class_names=class_names,
            persistence=True,
        )
        for name, offset_counts in counted.banks.items():
            bank.add_counts(offset_counts, sequence=name)
    curve = None if bank is None or max_offset is None else bank.curve(max_offset, before_first=before_first)
    return Evaluation(static, flame, persistence, tuple(notes), streaming, curve, bank)


def evaluate_bank(
    bank: OffsetBank,
    *,
    latency_ms: Milliseconds | None = None,
    frame_offset: int | None = None,
    trace: LatencyTrace | None = None,
    stream: StreamConfig | None = None,
    fps: Fps | None = None,
    every: int = 1,
    seed: int = 0,
    before_first: str = "skip",
    max_offset: int | None = None,
    device: str | None = None,
) -> Evaluation:
    """Score a bank at another latency, rate or stream: what :func:`evaluate_folders` finds, without any image.

    Parameters
    ----------
    bank : OffsetBank
    latency_ms, frame_offset, trace, stream, seed, before_first, device
        As :func:`evaluate_folders` takes them.
    fps : optional
        Read the same frames at another rate than the bank's.
    every : int
        Keep each ``every``-th frame, and the labels on those; the rate falls accordingly.
    max_offset : int, optional
        Give the curve up to this offset.

    Returns
    -------
    Evaluation

    Raises
    ------
    ConfigError
        If an option is out of range, or an offset beyond the bank is needed.
    StateError
        If a prediction that is needed was not counted.

    Examples
    --------
    >>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]], [[0, 1, 0]]]
    >>> bank = OffsetBank(2, max_offset=2, fps=30)
    >>> bank.update_sequence(video, video, sequence="clip")
    >>> found = evaluate_bank(bank, latency_ms=50, stream=StreamConfig())
    >>> found.flame.frame_offset, found.streaming.statistics.dropped
    (2, 1)
    """
    latency, stream = _latency(latency_ms, frame_offset, trace, stream)
    every = check_integer("every", every, 1, unit="frames")
    rate = bank.fps if fps is None else as_fps(fps)
    bank, rate = bank.every(every), None if rate is None else rate / every
    score = partial(
        bank.score,
        frame_offset=frame_offset,
        latency_ms=None if latency is None else as_trace(latency).median_ns / 10**6,
        fps=rate,
        before_first=before_first,
    )
    flame = _signed(score(), device)
    notes = []
    try:
        static = bank.score(frame_offset=0, fps=rate)
    except StateError as error:
        static = None
        notes.append(f"No static score: {error}.")
    persistence = streaming = None
    if bank.has_persistence:
        persistence = _late_labels(score(persistence=True))
        notes += [] if persistence else [_no_baseline(flame)]
    if latency is not None and stream is not None:
        streamed = partial(bank.stream, latency, stream, fps=rate, before_first=before_first, seed=seed)
        late = _late_labels(streamed(persistence=True)) if bank.has_persistence else None
        schedules = bank.schedules(latency, stream, fps=rate, seed=seed)
        streaming = Streaming(_signed(streamed(), device), late, stream, StreamStatistics.of(schedules.values()))
    curve = None if max_offset is None else bank.curve(max_offset, fps=rate, before_first=before_first)
    return Evaluation(static, flame, persistence, tuple(notes), streaming, curve, bank)


def _signed(result: FlameResult, device: str | None) -> FlameResult:
    return replace(result, config=replace(result.config, device=device))


def _late_labels(result: FlameResult) -> FlameResult | None:
    """Return the persistence baseline; None if no pair of labels was there."""
    return _signed(result, _LABELS_AS_PREDICTIONS) if result.num_pairs else None


def _no_baseline(flame: FlameResult) -> str:
    return f"No persistence baseline: no two labelled frames are {flame.frame_offset} frames apart."


def _latency(
    latency_ms: Milliseconds | None, frame_offset: int | None, trace: LatencyTrace | None, stream: StreamConfig | None
) -> tuple[Milliseconds | LatencyTrace | None, StreamConfig | None]:
    """Return the latency, and the stream on which to score; None where an offset was given instead."""
    given = {"latency_ms": latency_ms, "frame_offset": frame_offset, "trace": trace}
    names = [f"`{name}`" for name, value in given.items() if value is not None]
    if len(names) != 1:
        found = f"{' and '.join(names)} are given together" if names else f"none of {', '.join(given)} is given"
        raise ConfigError(f"{found}, expected one of them")
    if frame_offset is not None and stream is not None:
        raise ConfigError("`stream` is given with `frame_offset`, expected a latency: a stream needs its time")
    if trace is not None:
        return trace, stream or StreamConfig()
    if latency_ms is not None:
        milliseconds_to_ns(latency_ms)  # named as the caller named it
    return latency_ms, stream


def _plan(
    preds: LabelFolder,
    clips: Sequence[Clip],
    config: ScoreConfig,
    schedules: Mapping[str, Schedule],
    max_offset: int | None,
    *,
    keep_bank: bool,
) -> Plan:
    offset = config.frame_offset or 0
    reach = max_offset
    if keep_bank:  # as far as the scores reach, too
        shown = (int(schedule.staleness.max(initial=0)) for schedule in schedules.values())
        reach = max(offset, max_offset or 0, *shown)
    plans = []
    for clip in clips:
        schedule = schedules.get(clip.name)
        ages = None
        if schedule is not None:
            ages = dict(zip(schedule.label_frame.tolist(), schedule.staleness.tolist(), strict=True))
        plans.append(ClipPlan(clip, offset, ages, reach))
    return Plan(preds, tuple(plans), offset, max_offset, schedules)


def _remarks(preds: LabelFolder, labels: LabelFolder, clips: Sequence[Clip]) -> list[str]:
    remarks = []
    steps = {clip.step for clip in clips if clip.step is not None}
    if steps - {1}:
        remarks.append(f"Frame numbers advance by {max(steps)}: fps counts such steps.")
    if any(frame.pred and frame.label for clip in clips for frame in clip.frames):
        unlabelled = sum(1 for clip in clips for frame in clip.frames if frame.pred and not frame.label)
        if unlabelled:
            remarks.append(f"{unlabelled} predicted frame(s) have no label.")
    extra = sorted(preds.sequences.keys() - labels.sequences.keys())
    if extra and len(clips) != len(preds.sequences):
        remarks.append(f"{len(extra)} sequence(s) of predictions have no labels: {shortened(extra)}.")
    return remarks
