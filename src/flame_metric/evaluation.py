"""Evaluation: label maps in folders, or an offset bank, become an evaluation.

All sources of predictions take one way: a plan of the pairs that the scores need (plan.py), counts of those pairs
(clip_counts.py), and the scores of these counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from flame_metric.bank import OffsetBank
from flame_metric.checks import check_integer
from flame_metric.clip_counts import CountedClip, Progress, Source, counted_clips
from flame_metric.config import ScoreConfig
from flame_metric.counting import Counts
from flame_metric.data.folder import Clip, LabelFolder, match_folders
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import StateError, shortened
from flame_metric.folder_source import FolderSource
from flame_metric.latency import LatencyTrace, as_trace
from flame_metric.meter import FlameMeter
from flame_metric.offset_counts import NETWORK, PERSISTENCE
from flame_metric.plan import FLAME, STATIC, STREAMING, Plan
from flame_metric.question import Question, latency_and_stream
from flame_metric.result import FlameResult
from flame_metric.scores import Evaluation, Streaming
from flame_metric.streaming import StreamConfig, StreamStatistics, stream_text
from flame_metric.timing import Fps, Milliseconds, as_fps

__all__ = ["Evaluation", "evaluate_bank", "evaluate_clips", "evaluate_folders", "scored"]

_LABELS_AS_PREDICTIONS = "labels as predictions"


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
        Called with (frames done, all frames, the FLAME score so far).

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
    question = Question.of(
        num_classes,
        fps=fps,
        latency_ms=latency_ms,
        frame_offset=frame_offset,
        trace=trace,
        stream=stream,
        seed=seed,
        before_first=before_first,
        max_offset=max_offset,
        keep_bank=keep_bank,
        ignore_index=ignore_index,
        class_names=class_names,
        device=device,
    )
    jobs = check_integer("jobs", jobs, 1)
    pred_folder = LabelFolder.scan(predictions, prefix=pred_prefix, suffix=pred_suffix, lookup=pred_map)
    label_folder = LabelFolder.scan(labels, prefix=label_prefix, suffix=label_suffix, lookup=label_map)
    clips = match_folders(pred_folder, label_folder, step=step)
    source = FolderSource(pred_folder, label_folder, question.config.space)
    plan = question.plan(pred_folder.root, clips)
    notes = [*plan.check(), *_remarks(pred_folder, label_folder, clips)]
    return evaluate_clips(question, plan, source, notes=notes, jobs=jobs, progress=progress)


def evaluate_clips(
    question: Question,
    plan: Plan,
    source: Source,
    *,
    notes: Sequence[str] = (),
    jobs: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Count the pairs of a plan and score them.

    Parameters
    ----------
    question : Question
    plan : Plan
        Made by :meth:`Question.plan`, and checked.
    source : Source
        Where label maps come from.
    notes : sequence of str
        What should be known about the data.
    jobs, progress
        As :func:`evaluate_folders` takes them.
    """
    config = question.config
    void = config.before_first == "void"
    counted = dict(counted_clips(plan.clips, source, config.space, void=void, jobs=jobs, progress=progress))
    return scored(question, counted, notes)


def scored(question: Question, counted: Mapping[str, CountedClip], notes: Sequence[str] = ()) -> Evaluation:
    """Score what was counted.

    Parameters
    ----------
    question : Question
    counted : mapping of str to CountedClip
        By name.
    notes : sequence of str
    """
    config, notes = question.config, list(notes)
    meter = FlameMeter.from_config(config)
    for name, counts in _counts(counted, FLAME, NETWORK).items():
        meter.add_counts(counts, sequence=name)
    static = None
    if without_own := [frame for clip in counted.values() for frame in clip.without_own]:
        notes.append(
            f"No static score: {len(without_own)} labelled frame(s) have no prediction of their own "
            f"({shortened(without_own)})."
        )
    else:
        settings = replace(config, frame_offset=0, latency_ms=None, device=None, before_first="skip")
        static = FlameResult.from_counts(settings, _counts(counted, STATIC, NETWORK))
    flame = meter.compute()
    persistence = _late_labels(FlameResult.from_counts(config, _counts(counted, FLAME, PERSISTENCE)))
    notes += [] if persistence else [_no_baseline(flame)]
    bank = _bank(counted, config)
    curve = None
    if bank is not None and question.max_offset is not None:
        curve = bank.curve(question.max_offset, before_first=config.before_first)
    return Evaluation(static, flame, persistence, tuple(notes), _streaming(question, counted), curve, bank)


def _counts(counted: Mapping[str, CountedClip], score: str, row: int) -> dict[str, Counts]:
    """Return the counts of each clip for a score; clips without labels have none."""
    return {name: clip.scores[score, row] for name, clip in counted.items() if clip.scores}


def _streaming(question: Question, counted: Mapping[str, CountedClip]) -> Streaming | None:
    if question.stream is None or question.latency is None:
        return None
    schedule = stream_text(question.stream, question.latency, question.seed)
    settings = replace(question.config, frame_offset=None, schedule=schedule)
    schedules = question.schedules(
        {name: clip.num_frames for name, clip in counted.items()},
        {name: clip.labelled for name, clip in counted.items()},
    )
    return Streaming(
        FlameResult.from_counts(settings, _counts(counted, STREAMING, NETWORK)),
        _late_labels(FlameResult.from_counts(settings, _counts(counted, STREAMING, PERSISTENCE))),
        question.stream,
        StreamStatistics.of(schedules.values()),
    )


def _bank(counted: Mapping[str, CountedClip], config: ScoreConfig) -> OffsetBank | None:
    banks = {name: clip.bank for name, clip in counted.items() if clip.bank is not None}
    if not banks:
        return None
    bank = OffsetBank(
        config.num_classes,
        max_offset=next(iter(banks.values())).state.shape[-1] - 1,
        fps=config.fps,
        ignore_index=config.ignore_index,
        class_names=config.class_names,
        persistence=True,
    )
    for name, counts in banks.items():
        bank.add_counts(counts, sequence=name)
    return bank


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
    latency, stream = latency_and_stream(latency_ms, frame_offset, trace, stream)
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
