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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy.typing as npt

from flame_metric.checks import check_integer
from flame_metric.config import ScoreConfig, make_config
from flame_metric.counting import Counts, LabelSpace, count_pairs
from flame_metric.data.folder import Clip, Frame, LabelFolder, match_folders
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import ConfigError, DatasetError, FlameWarning, LabelError, ShapeError, shortened
from flame_metric.record import load_record, reading
from flame_metric.result import FlameResult, interval_note
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
        if len(self.flame.sequences) > 1:
            intervals = [result.interval for result in results if result.interval]
            summary.append(("95 % from", *(interval.low for interval in intervals)))
            summary.append(("95 % to", *(interval.high for interval in intervals)))
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
        If a sequence yields no FLAME pair, as it is shorter than the offset.
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
    offset = config.frame_offset or 0
    has_static = any(frame.pred and frame.label for clip in clips for frame in clip.frames)
    notes = _check_complete(pred_folder, clips, offset, has_static=has_static)
    unlabelled = sorted(pred_folder.sequences.keys() - label_folder.sequences.keys())
    if unlabelled and not pred_folder.is_flat:
        notes.append(f"{len(unlabelled)} sequence(s) of predictions have no labels: {shortened(unlabelled)}.")
    reader = _Reader(pred_folder, label_folder, config.space)
    counts = _count(clips, offset, reader, jobs, progress)
    return _evaluation(config, counts, has_static, tuple(notes))


def _evaluation(
    config: ScoreConfig, counts: dict[str, _Scores], has_static: bool, notes: tuple[str, ...]
) -> Evaluation:
    static = replace(config, frame_offset=0, latency_ms=None, device=None)
    results = [
        FlameResult.from_counts(settings, {name: scores[place] for name, scores in counts.items()})
        for place, settings in enumerate((static, config, replace(config, device=None)))
    ]
    persistence = results[2] if results[2].num_pairs else None
    if not has_static:
        notes += ("No labelled frame has a prediction of its own: there is no static score.",)
    if persistence is None:
        notes += (f"No two labelled frames are {config.frame_offset} frames apart: there is no persistence baseline.",)
    return Evaluation(results[0] if has_static else None, results[1], persistence, notes)


# ── what must be there, before anything is decoded ──


class _Coverage(NamedTuple):
    """Which labelled frames of a clip have a prediction ``offset`` frames before them."""

    pairs: int
    in_holes: int  # the numbering has no such frame: nothing was recorded there
    missing: tuple[str, ...]  # the frame exists, its prediction does not


def _coverage(clip: Clip, offset: int, *, has_static: bool) -> _Coverage:
    """Tell pairs, holes and missing predictions apart.

    A labelled frame without a prediction is missing one; unless the whole run has none on labelled frames, as where the
    network was run on frame f - k alone. A number that neither folder has is a hole, unless the network was run on
    unlabelled frames of the clip: then a hole cannot be told from a lost prediction, and losing the hard ones would
    raise the score.
    """
    frames = {frame.index: frame for frame in clip.frames}
    labelled = [frame for frame in clip.frames if frame.label]
    runs_on_unlabelled = any(frame.pred and not frame.label for frame in clip.frames)
    missing = [f"{clip.name}/{frame.name}" for frame in labelled if has_static and not frame.pred]
    pairs = in_holes = 0
    for frame in labelled:
        source = frames.get(frame.index - offset)
        if source is not None and source.pred:
            pairs += 1
        elif source is not None:
            missing += [] if has_static else [f"{clip.name}/{source.name}"]
        elif frame.index >= offset and runs_on_unlabelled:
            missing.append(f"{clip.name}: {offset} frame(s) before {frame.name}")
        elif frame.index >= offset:
            in_holes += 1
    return _Coverage(pairs, in_holes, tuple(missing))


def _check_complete(preds: LabelFolder, clips: Iterable[Clip], offset: int, *, has_static: bool) -> list[str]:
    """Raise for predictions that are missing; return what should be known about what is there."""
    clips = [clip for clip in clips if any(frame.label for frame in clip.frames)]
    coverage = [_coverage(clip, offset, has_static=has_static) for clip in clips]
    missing = [name for found in coverage for name in found.missing]
    if missing:
        raise DatasetError(
            f"{preds.root}: {len(missing)} prediction(s) are missing, expected one for every frame that is scored: "
            f"{shortened(missing)}",
            path=preds.root,
        )
    without_pair = [clip for clip, found in zip(clips, coverage, strict=True) if not found.pairs]
    for clip in without_pair:
        labelled = [frame for frame in clip.frames if frame.label]
        if len(labelled) == 1:
            history = labelled[0].index - clip.frames[0].index
            raise DatasetError(
                f"{preds.root}: sequence {clip.name} has one label, that of frame {labelled[0].name}, and {history} "
                f"frame(s) before it, expected a prediction {offset} frame(s) before it; a smaller offset, or another "
                f"step (--step, now {clip.step or 'unknown'})?",
                path=preds.root,
            )
    if without_pair:
        warnings.warn(
            f"{len(without_pair)} sequence(s) are too short for an offset of {offset} frame(s) and add nothing to "
            f"FLAME: {shortened([clip.name for clip in without_pair])}",
            FlameWarning,
            stacklevel=3,
        )
    in_holes = sum(found.in_holes for found in coverage)
    return [f"{in_holes} labelled frame(s) lie {offset} frame(s) after a hole in the numbering: no pair."] * bool(
        in_holes
    )


# ── reading and counting ──


class _Scores(NamedTuple):
    """Counts of one frame or one sequence, in the order of the three scores."""

    static: Counts
    flame: Counts
    persistence: Counts


class _Maps(NamedTuple):
    """A frame and its label maps."""

    frame: Frame
    pred: npt.NDArray[Any] | None
    label: npt.NDArray[Any] | None


@dataclass(frozen=True)
class _Reader:
    preds: LabelFolder
    labels: LabelFolder
    space: LabelSpace

    def read(self, frame: Frame) -> _Maps:
        label = None if frame.label is None else self.labels.read(frame.label)
        shape = None if label is None else label.shape
        return _Maps(frame, None if frame.pred is None else self.preds.read(frame.pred, shape=shape), label)

    def count(self, source: _Maps | None, current: _Maps) -> _Scores:
        """Count the three pairs of which the labels of ``current`` are the target."""
        static = self._pair(current.frame.pred, current.pred, current)
        if source is None:
            nothing = Counts.zero(self.space.num_classes, labelled_frames=1)
            return _Scores(static, nothing, nothing)
        if source is current:
            return _Scores(static, static, self._pair(current.frame.label, current.label, current))
        flame = self._pair(source.frame.pred, source.pred, current)
        return _Scores(static, flame, self._pair(source.frame.label, source.label, current))

    def _pair(self, path: Any, pred: npt.NDArray[Any] | None, current: _Maps) -> Counts:
        if pred is None:
            return Counts.zero(self.space.num_classes, labelled_frames=1)
        try:
            return count_pairs(pred, current.label, self.space)
        except (LabelError, ShapeError) as error:
            culprit = current.frame.label if getattr(error, "argument", None) == "target" else path
            raise DatasetError(f"{culprit}: {error}", path=culprit) from error


def _count(
    clips: Sequence[Clip], offset: int, reader: _Reader, jobs: int, progress: Progress | None
) -> dict[str, _Scores]:
    """Count all clips with a few threads: decoding and array arithmetic run outside the interpreter's lock."""
    zero = Counts.zero(reader.space.num_classes)
    counts = {clip.name: _Scores(zero, zero, zero) for clip in clips}
    frames = [(clip.name, frame) for clip in clips for frame in clip.frames]
    done = 0

    def collect(name: str, future: Future[_Scores]) -> None:
        counts[name] = _Scores(*(known + new for known, new in zip(counts[name], future.result(), strict=True)))

    with ThreadPoolExecutor(jobs) as pool:
        pending: deque[tuple[str, Future[_Scores]]] = deque()
        history: dict[int, _Maps] = {}
        clip_name = None
        try:
            for name, maps in _read_ahead(frames, reader, pool, 2 * jobs):
                if name != clip_name:
                    history, clip_name = {}, name
                index = maps.frame.index
                history = {past: kept for past, kept in history.items() if past >= index - offset}
                history[index] = maps
                if maps.label is not None:
                    pending.append((name, pool.submit(reader.count, history.get(index - offset), maps)))
                if len(pending) > 2 * jobs:
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
