"""Evaluation of folders: two folders of label maps become three scores.

``static`` compares frame with frame (the usual mean IoU), ``flame`` with the ground truth of k frames later, and
``persistence`` does the latter with the labels themselves as predictions: a network that is perfect, but late. Each
file is read and decoded once; only the last k frames of a clip are in memory.
"""

from __future__ import annotations

import json
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from flame_metric.checks import check_integer
from flame_metric.config import ScoreConfig, make_config
from flame_metric.counting import CodedMap, Counts, LabelSpace, code_map, count_coded
from flame_metric.data.folder import Clip, Frame, LabelFolder, match_folders
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import ConfigError, DatasetError, FlameWarning, LabelError, ShapeError, shortened
from flame_metric.meter import FlameMeter
from flame_metric.record import load_record, reading
from flame_metric.result import FlameResult, interval_note
from flame_metric.schedule import NOTHING_YET, FixedOffset
from flame_metric.table import Cell, Table
from flame_metric.timing import Fps, Milliseconds

__all__ = ["Evaluation", "evaluate_folders"]

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""

_FORMAT = "flame-metric evaluation 1"


@dataclass(frozen=True)
class Evaluation:
    """Three scores of the same predictions, and what should be known about them.

    Attributes
    ----------
    static : FlameResult or None
        Frame against frame; None if no labelled frame has a prediction of its own.
    flame : FlameResult
        Prediction of frame j - k against the labels of frame j.
    persistence : FlameResult or None
        Labels of frame j - k against those of frame j; None if no two labels are k frames apart.
    notes : tuple of str
    """

    static: FlameResult | None
    flame: FlameResult
    persistence: FlameResult | None
    notes: tuple[str, ...] = ()

    @property
    def results(self) -> dict[str, FlameResult]:
        """Those of the three that could be computed, by name."""
        named = {"static": self.static, "FLAME": self.flame, "persistence": self.persistence}
        return {name: result for name, result in named.items() if result is not None}

    def table(self, format: str = "text") -> str:
        """Return one table of the scores: ``"text"``, ``"markdown"`` or ``"csv"``."""
        results = self.results.values()
        columns = ("class", *(f"{name} k={result.frame_offset}" for name, result in self.results.items()))
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
        notes = (*self.notes, interval_note(self.flame), self.flame.signature)
        return Table(columns, rows, tuple(summary), notes).render(format)

    def to_json(self) -> str:
        """Return all results as JSON text, without loss."""
        record = {
            "format": _FORMAT,
            **{name: self._results_or_none(name) for name in ("static", "flame", "persistence")},
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
            flame = FlameResult.from_dict(record["flame"])
            others = [record[name] and FlameResult.from_dict(record[name]) for name in ("static", "persistence")]
            return cls(others[0], flame, others[1], tuple(str(note) for note in record["notes"]))

    def _results_or_none(self, name: str) -> dict[str, Any] | None:
        result: FlameResult | None = getattr(self, name)
        return None if result is None else result.to_dict()


def evaluate_folders(
    predictions: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    num_classes: int,
    fps: Fps,
    latency_ms: Milliseconds | None = None,
    frame_offset: int | None = None,
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
    num_classes, latency_ms, frame_offset, ignore_index, class_names, device
        As :class:`~flame_metric.FlameMeter` takes them; one of ``latency_ms`` and ``frame_offset`` is needed.
    fps : int, float, Fraction or str
        Steps of the frame numbers per second.
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
        If an option is out of range, or not exactly one of latency and offset is given.

    Warns
    -----
    FlameWarning
        If some sequence yields no FLAME pair, or everything is void.

    Examples
    --------
    >>> import tempfile
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
    if latency_ms is None and frame_offset is None:
        raise ConfigError("`latency_ms` and `frame_offset` are both missing, expected one of them")
    jobs = check_integer("jobs", jobs, 1)
    config = make_config(
        num_classes,
        latency_ms=latency_ms,
        fps=fps,
        frame_offset=frame_offset,
        ignore_index=ignore_index,
        class_names=class_names,
        device=device,
    )
    pred_folder = LabelFolder.scan(predictions, prefix=pred_prefix, suffix=pred_suffix, lookup=pred_map)
    label_folder = LabelFolder.scan(labels, prefix=label_prefix, suffix=label_suffix, lookup=label_map)
    clips = match_folders(pred_folder, label_folder, step=step)
    timeline = FixedOffset(config.frame_offset or 0)
    notes = _check_complete(pred_folder, clips, timeline)
    notes += _remarks(pred_folder, label_folder, clips)
    counts = _count(clips, timeline, _Reader(pred_folder, label_folder, config.space), jobs, progress)
    return _evaluation(config, clips, counts, notes)


def _evaluation(
    config: ScoreConfig, clips: Sequence[Clip], counts: Mapping[str, _Scores], notes: list[str]
) -> Evaluation:
    """Turn counts into results; leave out those for which predictions, or labels k frames apart, are not there."""
    without_own = [
        f"{clip.name}/{frame.name}" for clip in clips for frame in clip.frames if frame.label and not frame.pred
    ]
    meter = FlameMeter.from_config(config)
    for name, scores in counts.items():
        meter.add_counts(scores.flame, sequence=name)
    static = persistence = None
    if without_own:
        notes.append(
            f"No static score: {len(without_own)} labelled frame(s) have no prediction of their own "
            f"({shortened(without_own)})."
        )
    else:
        settings = replace(config, frame_offset=0, latency_ms=None, device=None)
        static = FlameResult.from_counts(settings, {name: scores.static for name, scores in counts.items()})
    if any(scores.persistence.pairs for scores in counts.values()):
        settings = replace(config, device="labels as predictions")
        persistence = FlameResult.from_counts(settings, {name: scores.persistence for name, scores in counts.items()})
    else:
        notes.append(f"No persistence baseline: no two labelled frames are {config.frame_offset} frames apart.")
    return Evaluation(static, meter.compute(), persistence, tuple(notes))


# ── what must be there, before anything is decoded ──


class _Coverage(NamedTuple):
    """Which labelled frames of a clip have a prediction on screen."""

    pairs: int
    in_holes: int  # the numbering has no frame that could be on screen: nothing was recorded there
    missing: tuple[str, ...]  # the frame exists, its prediction does not


def _coverage(clip: Clip, timeline: FixedOffset) -> _Coverage:
    """Tell pairs, holes and missing predictions apart.

    A number that neither folder has is a hole, unless the network was run on unlabelled frames of the clip: then a hole
    cannot be told from a lost prediction, and losing the hard ones would raise the score.
    """
    frames = {frame.index: frame for frame in clip.frames}
    runs_on_unlabelled = any(frame.pred and not frame.label for frame in clip.frames)
    missing: list[str] = []
    pairs = in_holes = 0
    for frame in clip.frames:
        index = timeline.source(frame.index)
        if not frame.label or index == NOTHING_YET:
            continue
        source = frames.get(index)
        if source is not None and source.pred:
            pairs += 1
        elif source is not None:
            missing.append(f"{clip.name}/{source.name}")
        elif runs_on_unlabelled:
            missing.append(f"{clip.name}: {frame.index - index} frame(s) before {frame.name}")
        else:
            in_holes += 1
    return _Coverage(pairs, in_holes, tuple(missing))


def _check_complete(preds: LabelFolder, clips: Iterable[Clip], timeline: FixedOffset) -> list[str]:
    """Raise for predictions that are missing; return what should be known about what is there."""
    clips = [clip for clip in clips if any(frame.label for frame in clip.frames)]
    coverage = [_coverage(clip, timeline) for clip in clips]
    missing = [name for found in coverage for name in found.missing]
    if missing:
        raise DatasetError(
            f"{preds.root}: {len(missing)} prediction(s) are missing, expected one for every frame that is scored: "
            f"{shortened(missing)}",
            path=preds.root,
        )
    without_pair = [clip for clip, found in zip(clips, coverage, strict=True) if not found.pairs]
    for clip in without_pair:
        _check_history(preds, clip, timeline)
    if without_pair:
        message = (
            f"{len(without_pair)} of {len(clips)} sequence(s) have no two frames {timeline.offset} frame(s) of step "
            f"{without_pair[0].step or 'unknown'} apart: {shortened(clip.name for clip in without_pair)}"
        )
        if len(without_pair) == len(clips):
            raise DatasetError(f"{preds.root}: {message}; a smaller offset, or another step (--step)?", path=preds.root)
        warnings.warn(f"{message}; they add nothing to FLAME", FlameWarning, stacklevel=3)
    in_holes = sum(found.in_holes for found in coverage)
    if in_holes:
        return [f"{in_holes} labelled frame(s) lie {timeline.offset} frame(s) after a hole in the numbering: no pair."]
    return []


def _check_history(preds: LabelFolder, clip: Clip, timeline: FixedOffset) -> None:
    """Refuse an offset beyond the history of a clip's only label: that clip would silently fall out."""
    labelled = [frame for frame in clip.frames if frame.label]
    if len(labelled) == 1:
        raise DatasetError(
            f"{preds.root}: sequence {clip.name} has one label, that of frame {labelled[0].name}, and "
            f"{labelled[0].index} frame(s) before it, expected a prediction {timeline.offset} frame(s) before it; a "
            f"smaller offset, or another step (--step, now {clip.step or 'unknown'})?",
            path=preds.root,
        )


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


# ── reading and counting ──


class _Scores(NamedTuple):
    """Counts of one frame or one sequence, in the order of the three scores."""

    static: Counts
    flame: Counts
    persistence: Counts


class _Maps(NamedTuple):
    """A frame and its label maps, read, checked and coded once."""

    frame: Frame
    pred: CodedMap | None
    label: CodedMap | None


@dataclass(frozen=True)
class _Reader:
    preds: LabelFolder
    labels: LabelFolder
    space: LabelSpace

    def read(self, frame: Frame) -> _Maps:
        label = None if frame.label is None else self._code(self.labels, frame.label, None)
        shape = None if label is None else label.shape
        return _Maps(frame, None if frame.pred is None else self._code(self.preds, frame.pred, shape), label)

    def _code(self, folder: LabelFolder, path: Path, shape: tuple[int, int] | None) -> CodedMap:
        argument = "target" if folder is self.labels else "pred"
        labels = folder.read(path, shape=shape, scores=argument == "pred")
        try:
            return code_map(labels, self.space, argument=argument)
        except (LabelError, ShapeError) as error:
            raise DatasetError(f"{path}: {error}", path=path) from error

    def count(self, source: _Maps | None, current: _Maps) -> _Scores:
        """Count the three pairs of which the labels of ``current`` are the target."""
        static = self._pair(current.frame.pred, current.pred, current)
        if source is None:
            nothing = Counts.zero(self.space.num_classes, labelled_frames=1)
            return _Scores(static, nothing, nothing)
        flame = static if source is current else self._pair(source.frame.pred, source.pred, current)
        return _Scores(static, flame, self._pair(source.frame.label, source.label, current))

    def _pair(self, path: Path | None, pred: CodedMap | None, current: _Maps) -> Counts:
        if pred is None or current.label is None:
            return Counts.zero(self.space.num_classes, labelled_frames=1)
        try:
            return count_coded(pred, current.label, self.space)
        except ShapeError as error:
            raise DatasetError(f"{path} and {current.frame.label}: {error}", path=path) from error


def _count(
    clips: Sequence[Clip], timeline: FixedOffset, reader: _Reader, jobs: int, progress: Progress | None
) -> dict[str, _Scores]:
    """Count all clips with a few threads: decoding and array arithmetic run outside the interpreter's lock."""
    zero = Counts.zero(reader.space.num_classes)
    counts = {clip.name: _Scores(zero, zero, zero) for clip in clips}
    frames = [(clip.name, frame) for clip in clips for frame in _needed(clip, timeline)]
    ahead = jobs + 2
    done = 0

    def collect(name: str, future: Future[_Scores]) -> None:
        counts[name] = _Scores(*(known + new for known, new in zip(counts[name], future.result(), strict=True)))

    with ThreadPoolExecutor(jobs) as pool:
        pending: deque[tuple[str, Future[_Scores]]] = deque()
        history: dict[int, _Maps] = {}
        clip_name = None
        try:
            for name, maps in _read_ahead(frames, reader, pool, ahead):
                if name != clip_name:
                    history, clip_name = {}, name
                index = maps.frame.index
                history = {past: kept for past, kept in history.items() if timeline.last_use(past) >= index}
                history[index] = maps
                if maps.label is not None:
                    source = history.get(timeline.source(index))
                    pending.append((name, pool.submit(reader.count, source, maps)))
                if len(pending) > ahead:
                    collect(*pending.popleft())
                done += 1
                if progress is not None:
                    progress(done, len(frames))
            while pending:
                collect(*pending.popleft())
        finally:
            for _, future in pending:
                future.cancel()
    return counts


def _needed(clip: Clip, timeline: FixedOffset) -> list[Frame]:
    """Return the frames of a clip that take part in a score."""
    sources = {timeline.source(frame.index) for frame in clip.frames if frame.label}
    return [frame for frame in clip.frames if frame.label or frame.index in sources]


def _read_ahead(
    frames: Iterable[tuple[str, Frame]], reader: _Reader, pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[str, _Maps]]:
    waiting: deque[tuple[str, Future[_Maps]]] = deque()
    try:
        for name, frame in frames:
            waiting.append((name, pool.submit(reader.read, frame)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
