"""Evaluation: label maps in folders, or an offset bank, become an evaluation.

All sources of predictions take one way: a plan of the pairs that the scores need (plan.py), counts of those pairs
(clip_counts.py), and the scores of these counts.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.core.clock import Fps, Milliseconds, as_fps
from flame_metric.core.counting import Counts
from flame_metric.data.folders import Clip, LabelFolder, match_folders
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import ConfigError, DatasetError, FlameWarning, StateError, shortened
from flame_metric.jobs.clip_journal import ClipJournal, Part, merge_parts
from flame_metric.jobs.folder_source import FolderSource
from flame_metric.jobs.pipeline import CountedClip, Progress, Source, counted_clips
from flame_metric.jobs.plan import FLAME, STATIC, STREAMING, ClipPlan, Plan
from flame_metric.jobs.request import Question, latency_and_stream
from flame_metric.latency.simulate import StreamConfig, StreamStatistics, stream_text
from flame_metric.latency.trace import LatencyTrace, as_trace
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.config import ScoreConfig
from flame_metric.scores.evaluation import Evaluation, Interrupted, Streaming
from flame_metric.scores.meter import FlameMeter
from flame_metric.scores.offset_counts import NETWORK, PERSISTENCE
from flame_metric.scores.result import FlameResult

__all__ = ["Evaluation", "Job", "evaluate_bank", "evaluate_clips", "evaluate_folders", "merged", "scored"]

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
    journal: str | os.PathLike[str] | None = None,
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    on_error: str = "stop",
) -> Evaluation:
    """Score a folder of predictions against a folder of labels.

    Parameters
    ----------
    predictions, labels : str or path
        ``<root>/<sequence>/<frame>.png`` or one flat sequence; .npy label maps too, and .npy scores (C, H, W) as
        predictions. Frames are matched by name. Each may also be a zip or tar archive, or an address of a store or
        server (:func:`~flame_metric.data.places.open_place`).
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
    journal, resume, shard, on_error
        As :class:`Job` has them: to go on after a kill, to share the work out, to leave out what is damaged.

    Returns
    -------
    Evaluation

    Raises
    ------
    DatasetError
        If a file is missing, damaged, of another size, or holds a label that is no class; or if k reaches beyond the
        first frame of a sequence with one label.
    ConfigError
        If an option is out of range, not exactly one of latency, offset and trace is given, a stream is asked for with
        an offset, or an address has an unknown scheme.
    MissingExtraError
        If PNG files or addresses are to be read without what reads them.

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
    job = Job(jobs=jobs, progress=progress, journal=journal, resume=resume, shard=shard, on_error=on_error)
    pred_folder = LabelFolder.scan(predictions, prefix=pred_prefix, suffix=pred_suffix, lookup=pred_map)
    label_folder = LabelFolder.scan(labels, prefix=label_prefix, suffix=label_suffix, lookup=label_map)
    clips = match_folders(pred_folder, label_folder, step=step)
    source = FolderSource(pred_folder, label_folder, question.config.space, job.skip)
    plan = question.plan(pred_folder.root, clips)
    notes = [*plan.check(), *_remarks(pred_folder, label_folder, clips)]
    about = {  # what else tells one evaluation from another, wherever its folders lie
        "predictions": [pred_folder.name, pred_prefix, pred_suffix, repr(pred_map)],
        "labels": [label_folder.name, label_prefix, label_suffix, repr(label_map)],
    }
    return evaluate_clips(question, plan, source, job, notes=notes, about=about)


@dataclass(frozen=True, kw_only=True)
class Job:
    """How an evaluation is carried out; nothing of this moves a number.

    Attributes
    ----------
    jobs : int
        Threads that decode and count, >= 1.
    progress : callable, optional
        Called with (frames done, all frames, the FLAME score so far).
    journal : str or path, optional
        Where finished sequences are kept.
    resume : bool
        Whether to go on with those that are there already.
    shard : (int, int), optional
        (i, n): only every n-th sequence, beginning with the i-th, 1 <= i <= n.
    on_error : {"stop", "skip"}
        Whether a file that is damaged ends the evaluation, or its sequence is left out and named.
    """

    jobs: int = 1
    progress: Progress | None = None
    journal: str | os.PathLike[str] | None = None
    resume: bool = False
    shard: tuple[int, int] | None = None
    on_error: str = "stop"

    def __post_init__(self) -> None:
        check_integer("jobs", self.jobs, 1)
        check_choice("on_error", self.on_error, ("stop", "skip"))
        if self.resume and self.journal is None:
            raise ConfigError("`resume` is given without `journal`, expected the journal to go on with")
        if self.shard is not None:
            index, number = self.shard
            check_integer("shard", number, 1)
            check_integer("shard", index, 1, most=number)
            if self.journal is None:
                raise ConfigError("`shard` is given without `journal`, expected a file for this part of the counts")

    @property
    def skip(self) -> bool:
        """Whether sequences with a damaged file are left out."""
        return self.on_error == "skip"

    def share(self, clips: Sequence[ClipPlan]) -> Sequence[ClipPlan]:
        """Return the clips that are counted here."""
        return clips if self.shard is None else clips[self.shard[0] - 1 :: self.shard[1]]


def evaluate_clips(
    question: Question,
    plan: Plan,
    source: Source,
    job: Job,
    *,
    notes: Sequence[str] = (),
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Evaluation:
    """Count the pairs of a plan and score them.

    Parameters
    ----------
    question : Question
    plan : Plan
        Made by :meth:`Question.plan`, and checked.
    source : Source
        Where label maps come from.
    job : Job
    notes : sequence of str
        What should be known about the data.
    about : mapping of str to JSON values
        What else can move a number, for the journal.

    Raises
    ------
    Interrupted
        After Ctrl-C, if a sequence was finished.
    """
    if job.journal is None:
        return _counted(question, plan, source, job, notes=notes, journal=None)
    with ClipJournal(job.journal, question, plan, about=about, notes=notes, resume=job.resume) as journal:
        return _counted(question, plan, source, job, notes=notes, journal=journal)


def _counted(
    question: Question,
    plan: Plan,
    source: Source,
    job: Job,
    *,
    notes: Sequence[str],
    journal: ClipJournal | None,
) -> Evaluation:
    space, void = question.config.space, question.config.before_first == "void"
    share, fingerprints, counted = job.share(plan.clips), {}, {}
    skipped: dict[str, DatasetError] = {}
    if journal is not None:
        names = {*journal.records, *(clip.clip.name for clip in share)}
        for clip in (clip for clip in plan.clips if clip.clip.name in names):
            try:
                fingerprints[clip.clip.name] = source.fingerprint(clip)
            except DatasetError as error:
                if not job.skip:
                    raise
                _leave_out(clip.clip.name, error, skipped)
        counted = journal.finished(fingerprints)
    left = [clip for clip in share if clip.clip.name not in {*counted, *skipped}]
    clips = counted_clips(left, source, space, void=void, skip=job.skip, jobs=job.jobs, progress=job.progress)
    try:
        with closing(clips):
            for name, found in clips:
                if found.error is not None:
                    _leave_out(name, found.error, skipped)
                    continue
                if journal is not None:
                    journal.keep(name, found, fingerprints[name])
                counted[name] = found
    except KeyboardInterrupt:
        if not counted:
            raise
        raise Interrupted(_scored(question, plan, counted, notes, tuple(skipped))) from None
    if not counted and skipped and job.shard is None:  # other shares may hold what can be scored
        raise next(iter(skipped.values()))
    with warnings.catch_warnings():
        if job.shard is not None:  # of a part, nothing is said that could be wrong of the whole
            warnings.simplefilter("ignore", FlameWarning)
        return _scored(question, plan, counted, notes, tuple(skipped))


def _leave_out(name: str, error: DatasetError, skipped: dict[str, DatasetError]) -> None:
    skipped[name] = error
    warnings.warn(f"sequence {name} is left out: {error}", FlameWarning, stacklevel=5)


def _scored(
    question: Question, plan: Plan, counted: Mapping[str, CountedClip], notes: Sequence[str], left_out: Sequence[str]
) -> Evaluation:
    """Score clips in the order of the plan, whenever each was counted: notes name the first of them."""
    names = [clip.clip.name for clip in plan.clips]
    ordered = {name: counted[name] for name in names if name in counted}
    return scored(question, ordered, notes, number=len(names), left_out=left_out)


def scored(
    question: Question,
    counted: Mapping[str, CountedClip],
    notes: Sequence[str] = (),
    *,
    number: int,
    left_out: Sequence[str] = (),
) -> Evaluation:
    """Score what was counted.

    Parameters
    ----------
    question : Question
    counted : mapping of str to CountedClip
        By name.
    notes : sequence of str
    number : int
        Clips of the whole evaluation.
    left_out : sequence of str
        Those that were left out for damaged files.
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
    if len(sizes := {size for clip in counted.values() for size in clip.sizes}) > 1:
        several = ", ".join(f"{height}x{width}" for height, width in sorted(sizes))
        notes.append(f"Frames differ in size, and so may their latencies: {several}.")
    bank = _bank(counted, config)
    curve = None
    if bank is not None and question.max_offset is not None:
        curve = bank.curve(question.max_offset, before_first=config.before_first)
    streaming = _streaming(question, counted)
    incomplete = None
    if len(counted) < number:
        incomplete = f"{len(counted)} of {number} sequence(s) are scored"
    if left_out:
        incomplete = f"{incomplete}; {len(left_out)} left out for damaged files: {', '.join(left_out)}"
    return Evaluation(
        static, flame, persistence, tuple(notes), streaming, curve, bank, incomplete, left_out=tuple(left_out)
    )


def merged(parts: Sequence[Part], *, allow_partial: bool = False, left_out: Collection[str] = ()) -> Evaluation:
    """Score parts of one evaluation, such as several machines wrote with ``shard``.

    Parameters
    ----------
    parts : sequence of Part
        As :func:`~flame_metric.jobs.clip_journal.read_part` returns them.
    allow_partial : bool
        Whether any sequences may be missing; the result says so then.
    left_out : collection of str
        Sequences that may be missing, because they were left out for damaged files.

    Raises
    ------
    StateError
        If parts are of different evaluations, two of them hold different counts of one sequence, or sequences are
        missing.
    DatasetError
        If all were left out.

    Warns
    -----
    FlameWarning
        If sequences are in several parts, with identical counts.
    """
    question, counted, first = merge_parts(parts, may_be_missing=None if allow_partial else left_out)
    without = [name for name in first.sequences if name in left_out and name not in counted]
    if without and not counted:
        raise DatasetError(f"all {len(without)} sequence(s) are left out for damaged files")
    return scored(question, counted, first.notes, number=len(first.sequences), left_out=without)


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
