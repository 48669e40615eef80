"""Evaluation: label maps in folders, or an offset bank, become an evaluation.

All sources of predictions take one way: a plan of the pairs that the scores need (plan.py), the counts of these pairs
by clip, score and row (pipeline.py), and what ``build_evaluation`` makes of them. A bank has counted all pairs
before: its counts are added up as a plan would pick them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np

from flame_metric.core.checks import check_choice, check_integer, check_kind
from flame_metric.core.clock import Fps
from flame_metric.core.counting import Counts
from flame_metric.core.schedule import Schedule, fixed_staleness
from flame_metric.core.tables import rate_text
from flame_metric.data.folders import Clip, Frame, LabelFile, MatchedFolders, match_folders
from flame_metric.errors import ConfigError, DatasetError, FlameWarning, cut, shortened
from flame_metric.jobs.clip_journal import ClipJournal, Part, conditions_of, join_parts, unlike_parts
from flame_metric.jobs.folder_source import Files, FolderSource
from flame_metric.jobs.pipeline import CountedClip, Progress, Source, count_clips
from flame_metric.jobs.plan import FLAME, STATIC, STREAMING, ClipPlan, Plan
from flame_metric.jobs.request import Request, RequestOptions, ScoreOptions, check_names, make_request
from flame_metric.latency.conditions import Conditions
from flame_metric.latency.simulate import StreamStatistics, stream_text
from flame_metric.latency.trace import LatencyTrace, as_trace
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.config import ScoreConfig
from flame_metric.scores.evaluation import Evaluation, Interrupted, Streaming
from flame_metric.scores.offset_counts import NETWORK, NO_MAP, PERSISTENCE
from flame_metric.scores.result import FlameResult, nan_note

__all__ = [
    "Job",
    "build_evaluation",
    "evaluate_bank",
    "evaluate_clips",
    "evaluate_folders",
    "merge_parts",
    "step_remark",
]

_NAMES = "names"


def evaluate_folders(
    predictions: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    request: Request | None = None,
    *,
    files: Files | None = None,
    job: Job | None = None,
    **options: Unpack[RequestOptions],
) -> Evaluation:
    """Score a folder of predictions against a folder of labels.

    Parameters
    ----------
    predictions, labels : str or path
        ``<root>/<sequence>/<frame>.png`` or one flat sequence; .npy label maps too, and .npy scores (C, H, W) as
        predictions. Frames are matched by name. Each may also be a zip or tar archive, or an address of a store or
        server (:func:`~flame_metric.data.places.open_place`).
    request : Request, optional
        Which scores are asked for.
    files : Files, optional
        How files are named, and what their labels mean. Default: every file is a frame, its labels are classes.
    job : Job, optional
        Threads, progress, and how to resume after a kill, to share the work out, to leave out what is damaged.
    **options
        Instead of ``request``: those of :class:`~flame_metric.jobs.request.Request`. ``num_classes``, ``fps`` and one
        of latency, offset and trace are needed.

    Returns
    -------
    Evaluation

    Raises
    ------
    DatasetError
        If a file is missing, damaged, of another size, or holds a label that is not a class; or if k reaches beyond the
        first frame of a sequence with one label.
    ConfigError
        If an option is missing, unknown or out of range, not exactly one of latency, offset and trace is given, a
        stream is asked for with an offset, options are given beside a request, or an address has an unknown scheme.
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
    check_names(options, RequestOptions, files=Files, job=Job)
    request = make_request(request, options)
    files, job = files or Files(), job or Job()
    check_kind("files", files, Files, "a record of Files")
    check_kind("job", job, Job, "a Job")
    pred_folder, label_folder = files.scan(predictions, labels)
    matched = match_folders(pred_folder, label_folder, step=files.step, frame_number=files.frame_number)
    source = FolderSource(pred_folder, label_folder, request.config.space, job.skip, hashed=job.journal is not None)
    plan = request.plan(pred_folder.root, matched.clips)
    try:
        notes = [*plan.check(), *_remarks(matched, request.config.fps)]
    except DatasetError as error:
        if remark := _shift_remark(matched.clips):
            raise DatasetError(f"{error}. {remark}", path=error.path) from error
        raise
    about = files.describe(pred_folder, label_folder)
    names = _describe_names(matched, files.frame_number)
    return evaluate_clips(request, plan, source, job, notes=notes, about={**about, _NAMES: names})


@dataclass(frozen=True, kw_only=True)
class Job:
    """How an evaluation is carried out; nothing of this moves a number.

    Attributes
    ----------
    jobs : int
        Threads that decode and count, >= 1.
    progress : callable, optional
        Called with (frames done, all frames, the FLAME score so far); before that, where a job resumes, with the
        sequences of the journal that were compared with their files, their number, and a text that says so.
    journal : str or path, optional
        Where finished sequences are kept.
    resume : bool
        Whether to resume from those that are there already.
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
            raise ConfigError("`resume` is given without `journal`, expected the journal to resume from")
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
    request: Request,
    plan: Plan,
    source: Source,
    job: Job,
    *,
    notes: Sequence[str] = (),
    conditions: Sequence[str] = (),
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Evaluation:
    """Count the pairs of a plan and score them.

    Parameters
    ----------
    request : Request
    plan : Plan
        Made by :meth:`Request.plan`, and checked.
    source : Source
        Where label maps come from.
    job : Job
    notes : sequence of str
        What should be known about the data.
    conditions : sequence of str
        What should be known about the machine: shares that others count may have other ones.
    about : mapping of str to JSON values
        What else can move a number, for the journal.

    Raises
    ------
    Interrupted
        After Ctrl-C, if a sequence was finished.
    """
    names, all_notes = about.get(_NAMES), [*notes, *conditions]
    try:
        if job.journal is None:
            return replace(_count(request, plan, source, job, notes=all_notes, journal=None), names=names)
        with ClipJournal(
            job.journal,
            request,
            plan,
            about=about,
            notes=notes,
            listing=source.listing(plan.clips),
            conditions=conditions,
            resume=job.resume,
        ) as journal:
            return replace(_count(request, plan, source, job, notes=all_notes, journal=journal), names=names)
    except Interrupted as stopped:
        raise Interrupted(replace(stopped.evaluation, names=names)) from None


def _count(
    request: Request,
    plan: Plan,
    source: Source,
    job: Job,
    *,
    notes: Sequence[str],
    journal: ClipJournal | None,
) -> Evaluation:
    space, void = request.config.space, request.config.before_first == "void"
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
        _check_contents(journal, plan, source, job)
    left = [clip for clip in share if clip.clip.name not in {*counted, *skipped}]
    clips = count_clips(left, source, space, void=void, skip=job.skip, jobs=job.jobs, progress=job.progress)
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
        raise Interrupted(_score(request, plan, counted, notes, tuple(skipped))) from None
    if not counted and skipped and job.shard is None:  # other shares may hold what can be scored
        raise next(iter(skipped.values()))
    with warnings.catch_warnings():
        if job.shard is not None:  # of a part, nothing is said that could be wrong of the whole
            warnings.simplefilter("ignore", FlameWarning)
        return _score(request, plan, counted, notes, tuple(skipped))


def _check_contents(journal: ClipJournal, plan: Plan, source: Source, job: Job) -> None:
    """Refuse kept clips whose files hold something else now, though their sizes and times are what they were."""
    kept = [clip for clip in plan.clips if clip.clip.name in journal.records]
    for done, clip in enumerate(kept):
        if job.progress is not None:
            job.progress(done, len(kept), "sequences of the journal, compared with their files")
        journal.check_content(clip.clip.name, source.content(clip))


def _leave_out(name: str, error: DatasetError, skipped: dict[str, DatasetError]) -> None:
    skipped[name] = error
    warnings.warn(f"sequence {cut(name, 100)} is left out: {error}", FlameWarning, stacklevel=5)


def _score(
    request: Request, plan: Plan, counted: Mapping[str, CountedClip], notes: Sequence[str], left_out: Sequence[str]
) -> Evaluation:
    """Score clips in the order of the plan, whenever each was counted: notes name the first of them."""
    schedules = {clip.clip.name: clip.schedule for clip in plan.clips}
    ordered = {name: counted[name] for name in schedules if name in counted}
    return build_evaluation(
        request,
        ordered,
        {name: schedule for name in ordered if (schedule := schedules[name]) is not None},
        _make_bank(request.config, ordered),
        notes=notes,
        number=len(plan.clips),
        left_out=left_out,
    )


def merge_parts(
    parts: Sequence[Part], *, allow_partial: bool = False, allow_unlike: bool = False, left_out: Collection[str] = ()
) -> Evaluation:
    """Score parts of one evaluation, such as several machines wrote with ``shard``.

    Parameters
    ----------
    parts : sequence of Part
        As :func:`~flame_metric.jobs.clip_journal.read_part` returns them.
    allow_partial : bool
        Whether any sequences may be missing; the result says so then.
    allow_unlike : bool
        Whether parts may be of folders that hold other files, such as outputs of two versions of a network; the result
        has a note then.
    left_out : collection of str
        Sequences that may be missing, because they were left out for damaged files.

    Raises
    ------
    StateError
        If parts are of different evaluations or unlike folders, two of them hold different counts of one sequence, or
        sequences are missing.
    DatasetError
        If all were left out.

    Warns
    -----
    FlameWarning
        If sequences are in several parts, with identical counts.
    """
    request, counted, first = join_parts(
        parts, may_be_missing=None if allow_partial else left_out, allow_unlike=allow_unlike
    )
    without = [name for name in first.sequences if name in left_out and name not in counted]
    if without and not counted:
        raise DatasetError(f"all {len(without)} sequence(s) are left out for damaged files")
    unlike = unlike_parts(parts)
    found = build_evaluation(
        request,
        counted,
        _simulate(request, counted),
        _make_bank(request.config, counted),
        notes=[*first.notes, *conditions_of(parts), *([] if unlike is None else [f"{unlike}."])],
        number=len(first.sequences),
        left_out=without,
    )
    return replace(found, names=first.names)


def _simulate(request: Request, counted: Mapping[str, CountedClip]) -> dict[str, Schedule]:
    return request.schedules(
        {name: clip.num_frames for name, clip in counted.items()},
        {name: clip.labelled for name, clip in counted.items()},
    )


def _make_bank(config: ScoreConfig, counted: Mapping[str, CountedClip]) -> OffsetBank | None:
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
    request: Request | None = None,
    *,
    fps: Fps | None = None,
    recorded_fps: Fps | None = None,
    every: int = 1,
    **options: Unpack[ScoreOptions],
) -> Evaluation:
    """Score a bank at another latency, rate or stream, without any image.

    The scores are those of :func:`~flame_metric.evaluate_folders`.

    Parameters
    ----------
    bank : OffsetBank
    request : Request, optional
        Which scores are asked for, of the classes of the bank and at the rate that follows from it.
    fps, recorded_fps : optional
        Another camera on the same scene, and the rate at which the frames were recorded where the bank has none or a
        wrong one: see :meth:`OffsetBank.camera`.
    every : int
        Instead of ``fps``: the camera takes each ``every``-th frame, beginning with the first, and the rate falls
        accordingly.
    **options
        Instead of ``request``: those of :class:`~flame_metric.jobs.request.Request`, without classes and rate, which
        the bank knows. One of latency, offset and trace is needed. The result has the bank in any case.

    Returns
    -------
    Evaluation

    Raises
    ------
    ConfigError
        If an option is unknown or out of range, or an offset beyond the bank is needed.
    StateError
        If a prediction that is needed was not counted.

    Warns
    -----
    FlameWarning
        If some sequence yields no pair, or everything is void.

    Examples
    --------
    >>> from flame_metric import StreamConfig
    >>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]], [[0, 1, 0]]]
    >>> bank = OffsetBank(2, max_offset=2, fps=30)
    >>> bank.update_sequence(video, video, sequence="clip")
    >>> found = evaluate_bank(bank, latency_ms=50, stream=StreamConfig())
    >>> found.flame.frame_offset, found.streaming.statistics.dropped
    (2, 1)
    """
    check_kind("bank", bank, OffsetBank, "an OffsetBank")
    check_names(options, ScoreOptions)
    every = check_integer("every", every, 1, unit="frames")
    if fps is not None and every != 1:
        raise ConfigError(
            f"`fps` is given beside `every` {every}, expected one of them: both say which frames the camera takes "
            "(the recorded rate is `recorded_fps`)"
        )
    bank = bank.camera(fps, recorded_fps=recorded_fps).every(every)
    known = bank.config
    request = make_request(
        request,
        options,
        num_classes=known.num_classes,
        fps=bank.fps,
        ignore_index=known.ignore_index,
        class_names=known.class_names,
    )
    request = replace(request, config=replace(request.config, every=known.every))
    if request.latency is not None:
        bank.check_replay(as_trace(request.latency))
    clips = {name: bank.counts_of(name) for name in bank.sequences}
    empty = {
        name: CountedClip(
            {},
            int(clip.num_frames[0]),
            tuple(clip.frame.tolist()),
            tuple(
                f"{name}/{frame * known.every}" for frame in clip.frame[clip.state[NETWORK, :, 0] == NO_MAP].tolist()
            ),
        )
        for name, clip in clips.items()
    }
    schedules, offset = _simulate(request, empty), request.config.frame_offset or 0
    bank.check_reach(offset)
    picks = {FLAME: {name: fixed_staleness(clip.frame, offset) for name, clip in clips.items()}}
    if not any(clip.without_own for clip in empty.values()):
        picks[STATIC] = {name: np.zeros_like(clip.frame) for name, clip in clips.items()}
    if request.stream is not None:
        picks[STREAMING] = {name: schedule.staleness for name, schedule in schedules.items()}
    found = {
        (score, row): bank.counts_at(offsets, before_first=request.config.before_first, persistence=row == PERSISTENCE)
        for score, offsets in picks.items()
        for row in (NETWORK, *([PERSISTENCE] if bank.has_persistence else []))
    }
    for score in picks:
        _warn_without_pair(found[score, NETWORK])
    counted = {
        name: replace(clip, scores={key: counts[name] for key, counts in found.items()}) for name, clip in empty.items()
    }
    notes = [] if known.every == 1 else [_camera_note(request.config)]
    return build_evaluation(request, counted, schedules, bank, notes=notes, number=len(counted))


def _camera_note(config: ScoreConfig) -> str:
    """Say which frames a camera takes, if not all that were recorded."""
    rate = "" if config.fps is None else f" of {rate_text(config.fps)} fps"
    return f"A camera{rate} on the same scene: it takes {config.camera}; only labels on those count."


def _warn_without_pair(counts: Mapping[str, Counts]) -> None:
    if without := [repr(name) for name, one in counts.items() if one.labelled_frames and not one.pairs]:
        message = (
            f"{len(without)} sequence(s) yield no pair, as no prediction is on screen at any of their labelled frames"
        )
        warnings.warn(f"{message}: {shortened(without)}", FlameWarning, stacklevel=3)


def build_evaluation(
    request: Request,
    counted: Mapping[str, CountedClip],
    schedules: Mapping[str, Schedule],
    bank: OffsetBank | None,
    *,
    notes: Sequence[str] = (),
    number: int,
    left_out: Sequence[str] = (),
) -> Evaluation:
    """Score what was counted.

    Parameters
    ----------
    request : Request
    counted : mapping of str to CountedClip
        By name.
    schedules : mapping of str to Schedule
        What the stream that is asked for shows of each clip.
    bank : OffsetBank, optional
        Their counts at every offset.
    notes : sequence of str
    number : int
        Clips of the whole evaluation.
    left_out : sequence of str
        Those that were left out for damaged files.

    Warns
    -----
    FlameWarning
        If there is no valid pixel at all: the FLAME score is NaN.
    """
    config = request.config
    flame = FlameResult.from_counts(config, _select(counted, FLAME, NETWORK))
    notes = [*notes, *flame.notes]
    if note := nan_note(flame):
        warnings.warn(note, FlameWarning, stacklevel=3)
    static = None
    if without_own := [frame for clip in counted.values() for frame in clip.without_own]:
        notes.append(
            f"No static score: {len(without_own)} labelled frame(s) have no prediction of their own "
            f"({shortened(without_own)})."
        )
    else:
        settings = replace(config, frame_offset=0, latency_ms=None, hardware=None, before_first="skip")
        static = FlameResult.from_counts(settings, _select(counted, STATIC, NETWORK))
    persistence = _late_labels(config, _select(counted, FLAME, PERSISTENCE))
    if persistence is None and (bank is None or bank.has_persistence):
        notes.append(f"No persistence baseline: no two labelled frames are {config.frame_offset} frames apart.")
    if len(sizes := {size for clip in counted.values() for size in clip.sizes}) > 1:
        several = ", ".join(f"{height}x{width}" for height, width in sorted(sizes))
        notes.append(f"Frames differ in size, and so may their latencies: {several}.")
    notes += _trace_notes(request, sizes, bank)
    notes += _void_remarks(config, counted)
    curve = None
    if bank is not None and request.max_offset is not None:
        curve = bank.curve(request.max_offset, before_first=config.before_first)
    incomplete = None
    if len(counted) < number:
        incomplete = f"{len(counted)} of {number} sequence(s) are scored"
    if left_out:
        incomplete = f"{incomplete}; {len(left_out)} left out for damaged files: {', '.join(left_out)}"
    streaming = _score_stream(request, counted, schedules)
    evaluation = Evaluation(
        static, flame, persistence, tuple(notes), streaming, curve, bank, incomplete, left_out=tuple(left_out)
    )
    return evaluation.average_over(request.mean_over)


def _trace_notes(request: Request, sizes: set[tuple[int, int]], bank: OffsetBank | None) -> tuple[str, ...]:
    """Say where a trace was measured under other conditions than those of what is scored."""
    if not isinstance(request.latency, LatencyTrace):
        return ()
    areas: set[int] = set()
    if bank is not None and not sizes:
        areas = {area for name in bank.sequences for area in bank.counts_of(name).pixels[:, 1].tolist()}
    return Conditions.of_trace(request.latency).notes(sizes=sizes, areas=areas, hardware=request.config.hardware)


def _void_remarks(config: ScoreConfig, counted: Mapping[str, CountedClip]) -> Iterator[str]:
    """Say where void pixels lie that are seldom meant."""
    pred, label = (any(clip.voids[side] for clip in counted.values()) for side in (0, 1))
    if pred and not label:
        yield f"Predictions hold the void label {config.ignore_index} and labels do not: are the two folders swapped?"
    classes = {
        number
        for counts in _select(counted, STATIC, PERSISTENCE).values()
        for number in np.flatnonzero(counts.per_class[2]).tolist()  # labelled pixels
    }
    if label and len(classes) <= 1:
        held = f"class {classes.pop()} and" if classes else "no class, only"
        yield (
            f"Labels hold {held} void pixels (label {config.ignore_index}): if {config.ignore_index} marks objects, "
            "every object pixel is void (--label-map reads it as a class)."
        )


def _score_stream(
    request: Request, counted: Mapping[str, CountedClip], schedules: Mapping[str, Schedule]
) -> Streaming | None:
    if request.stream is None or request.latency is None:
        return None
    schedule = stream_text(request.stream, request.latency, request.seed)
    settings = replace(request.config, frame_offset=None, schedule=schedule)
    return Streaming(
        FlameResult.from_counts(settings, _select(counted, STREAMING, NETWORK)),
        _late_labels(settings, _select(counted, STREAMING, PERSISTENCE)),
        request.stream,
        StreamStatistics.from_schedules(schedules.values()),
    )


def _select(counted: Mapping[str, CountedClip], score: str, row: int) -> dict[str, Counts]:
    """Return the counts of each clip for a score; clips without labels may have none."""
    return {name: clip.scores[score, row] for name, clip in counted.items() if (score, row) in clip.scores}


def _late_labels(config: ScoreConfig, counts: Mapping[str, Counts]) -> FlameResult | None:
    """Return the persistence baseline; None if no pair of labels was there."""
    result = FlameResult.from_counts(replace(config, hardware=None), counts, persistence=True)
    return result if result.num_pairs else None


def step_remark(fps: Fraction | None, steps: Sequence[int | None]) -> str | None:
    """Say which numbers frames count, if they are not all of them."""
    step = next((step for step in steps if step is not None), 1)
    if step == 1:
        return None
    return (
        f"Frames are steps of {step} numbers." if fps is None else f"{rate_text(fps)} fps of steps of {step} numbers."
    )


def _remarks(matched: MatchedFolders, fps: Fraction | None) -> list[str]:
    clips, remarks = matched.clips, []
    if remark := _names_remark(clips):
        remarks.append(remark)
    if remark := step_remark(fps, [clip.step for clip in clips]):
        remarks.append(remark)
    if any(frame.pred and frame.label for clip in clips for frame in clip.frames):
        unlabelled = sum(1 for clip in clips for frame in clip.frames if frame.pred and not frame.label)
        if unlabelled:
            remarks.append(f"{unlabelled} predicted frame(s) have no label.")
    if remark := _shift_remark(clips):
        remarks.append(remark)
    if matched.unlabelled:
        listed = shortened(matched.unlabelled)
        remarks.append(f"{len(matched.unlabelled)} sequence(s) of predictions have no labels: {listed}.")
    return remarks


def _names_remark(clips: Sequence[Clip]) -> str | None:
    """Say how names were read, if one of them says more than the number of its frame."""
    found = _read_otherwise(clips)
    if found is None:
        return None
    clip, frame = found
    numbers = sum(len(each.frames) for each in clips)
    return (
        f"Names were read as {len(clips)} sequence(s) of {numbers} frame number(s): {frame.name} is frame "
        f"{frame.number} of {clip.name} (--frame-number reads them otherwise)."
    )


def _read_otherwise(clips: Sequence[Clip]) -> tuple[Clip, Frame] | None:
    named = ((clip, frame) for clip in clips for frame in clip.frames)
    return next(((clip, frame) for clip, frame in named if not (frame.name.isascii() and frame.name.isdigit())), None)


def _describe_names(matched: MatchedFolders, pattern: str | None) -> dict[str, Any]:
    """Return how names were read: how many sequences and numbers there are, and one example of each."""
    frames = [(clip, frame) for clip in matched.clips for frame in clip.frames]
    first = _read_otherwise(matched.clips)
    examples = {}
    for side in ("label", "pred"):
        there = [*([first] if first else []), *frames]
        clip, frame = next((clip, frame) for clip, frame in there if getattr(frame, side) is not None)
        file: LabelFile = getattr(frame, side)
        examples[side] = {"file": file.name, "number": frame.number, "sequence": clip.name}
    # In the order in which a journal keeps them: a merge of parts writes what the whole would.
    return {"examples": examples, "numbers": len(frames), "pattern": pattern, "sequences": len(matched.clips)}


def _shift_remark(clips: Sequence[Clip]) -> str | None:
    """Say that both sides may number the same frames from unlike numbers on."""
    shifts = {_shift(clip) for clip in clips}
    shift = shifts.pop() if len(shifts) == 1 else 0
    if not shift:
        return None
    return (
        f"Predictions begin and end {abs(shift)} frame(s) {'before' if shift < 0 else 'after'} the labels: if both "
        f"number the same frames, each pair is {abs(shift)} frame(s) off; renumber the files of one side then."
    )


def _shift(clip: Clip) -> int:
    """Return by how many steps predictions are numbered higher than labels, if as by two programs; 0 if not.

    Each side then lacks just the first or last number of the other.
    """
    preds = [frame.index for frame in clip.frames if frame.pred]
    labels = [frame.index for frame in clip.frames if frame.label]
    if len(preds) != len(labels) or len(labels) < 3 or len({*preds} - {*labels}) != 1:
        return 0
    shifts = {pred - label for pred, label in zip(preds, labels, strict=True)}
    return shifts.pop() if len(shifts) == 1 else 0
