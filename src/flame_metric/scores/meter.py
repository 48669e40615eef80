"""FlameMeter: collect counts while predictions come in; divide once at the end.

The state is one record of int64 counts per sequence id, and for each clip that is still running the predictions that
wait for later ground truth. Meters of several processes merge exactly, in any order, and a sequence that was scored
twice is noticed. A sequence is of one of three kinds:

- *stepped* by :meth:`FlameMeter.update`, one call a frame: the meter pairs the frames, k apart. :meth:`FlameMeter.end`
  says that the clip is over; in a merge an ended id counts as a closed one;
- *paired* by :meth:`FlameMeter.update_pair`, with pairs that the caller made: adds as often as it is called, and so
  does merging;
- *closed* by :meth:`FlameMeter.update_sequence`, which scores a whole clip. Scoring it again is an error; in a merge an
  identical second copy is dropped with a warning, a different one is refused.

At k = 0 a frame is paired with itself, so stepped and paired frames of one id add. The id ``""`` is never closed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from flame_metric._version import __version__
from flame_metric.core.checks import CLIP, check_id, check_kind, items, of_sequence, pair_frames
from flame_metric.core.clock import Fps, Milliseconds
from flame_metric.core.counting import (
    Counts,
    count_coded,
    count_missing,
    count_pairs,
    sequences_from_list,
    sequences_to_list,
)
from flame_metric.core.files import JsonRecord, load_record, reading
from flame_metric.core.labels import CodedMap, LabelMaps, code_map, coded_from_dict, coded_to_dict
from flame_metric.core.schedule import NOTHING_YET, Schedule, ScheduleTimeline
from flame_metric.errors import ConfigError, FlameWarning, ShapeError, StateError, located, quoted, shortened
from flame_metric.scores.clips import RunningClips, check_sequence_is_named, count_steps
from flame_metric.scores.config import ScoreConfig, make_config
from flame_metric.scores.pairs import Line
from flame_metric.scores.result import FlameResult, nan_note
from flame_metric.scores.time_step import TimeStep, split_time_steps

__all__ = ["FlameMeter", "flame_score"]

_FORMAT = "flame-metric meter 2"
_FORMAT_OF_PAIRS = "flame-metric meter 1"
"""Of releases whose meters held counts only."""

_END = object()


class FlameMeter(JsonRecord):
    """Latency-aware mean IoU: predictions are compared with the ground truth that is current when they are ready.

    Parameters
    ----------
    num_classes : int
        C, 2..4096.
    latency_ms : float, optional
        Latency of one prediction in milliseconds; with ``fps`` it gives the frame offset k (Eq. 5).
    fps : int, float, Fraction or str, optional
        Frames per second, such as 30 or ``"30000/1001"``.
    frame_offset : int, optional
        k itself, instead of ``latency_ms``; 0 without either: the usual mean IoU.
    ignore_index : int, optional
        Label of void pixels.
    class_names : sequence of str, optional
        C names for tables.
    before_first : {"skip", "void"}
        What to do with a labelled frame before the first output: leave it out (coverage falls), or count all its pixels
        as missed.
    hardware : str, optional
        What the latency was measured on: free text for the signature.
    max_sequences : int
        Clips that may run at a time, >= 1, where :meth:`update` steps them; each holds k coded label maps. Beyond it,
        the clip whose last time step is oldest is given up: if it comes again, that is a StateError.

    Raises
    ------
    ConfigError
        If latency and frame offset are both given, only half of latency and fps is, or a value is out of range.

    Examples
    --------
    A clip whose object moves one pixel to the right a frame, seen by a network that is right but one frame late. The
    meter is given the output and the ground truth of the same frame, and pairs them one frame apart:

    >>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]]
    >>> meter = FlameMeter(2, latency_ms=26, fps="50/3")
    >>> meter.frame_offset
    1
    >>> for pred, target in zip(video, video):
    ...     meter.update(pred, target, sequence="clip")
    >>> result = meter.compute()
    >>> result.counts
    array([[[2, 0],
            [4, 2],
            [4, 2]]])
    >>> round(result.miou, 4), result.num_pairs
    (0.1667, 2)

    A whole clip in one call, which is the shorter way where its frames are at hand:

    >>> meter.reset()
    >>> meter.update_sequence(video, video, sequence="clip")
    >>> round(meter.compute().miou, 4)
    0.1667

    Notes
    -----
    *Threads.* Threads may share a meter if each of them steps clips of its own; two that step one clip at a time are a
    StateError at k > 0, where its frames have an order.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        latency_ms: Milliseconds | None = None,
        fps: Fps | None = None,
        frame_offset: int | None = None,
        ignore_index: int | None = None,
        class_names: Sequence[str] | None = None,
        before_first: str = "skip",
        hardware: str | None = None,
        max_sequences: int = 16,
    ) -> None:
        self._restart(
            make_config(
                num_classes,
                latency_ms=latency_ms,
                fps=fps,
                frame_offset=frame_offset,
                ignore_index=ignore_index,
                class_names=class_names,
                before_first=before_first,
                hardware=hardware,
            ),
            max_sequences,
        )

    @classmethod
    def from_config(cls, config: ScoreConfig, *, max_sequences: int = 16) -> FlameMeter:
        """Build an empty meter of a configuration, such as that of a result."""
        meter = cls.__new__(cls)
        meter._restart(config, max_sequences)
        return meter

    @classmethod
    def from_counts(
        cls,
        config: ScoreConfig,
        sequences: Mapping[str, Counts],
        *,
        closed: Iterable[str] = (),
        by_schedule: bool | None = None,
        clips: RunningClips[CodedMap] | None = None,
    ) -> FlameMeter:
        """Build a meter that holds counts already: what :attr:`sequences`, :attr:`closed`, :attr:`by_schedule` gave."""
        meter = cls.from_config(config)
        meter._sequences = dict(sequences)
        meter._closed = set(closed)
        meter._by_schedule = by_schedule
        meter._clips = meter._clips if clips is None else clips
        return meter

    def _restart(self, config: ScoreConfig, max_sequences: int) -> None:
        self._config = config
        self._sequences: dict[str, Counts] = {}
        self._closed: set[str] = set()
        self._by_schedule: bool | None = None  # None until a clip says whether a schedule or the fixed offset rules
        self._clips: RunningClips[CodedMap] = RunningClips(config.frame_offset or 0, max_sequences=max_sequences)

    def __getstate__(self) -> dict[str, Any]:
        """Copy counts and clips as they are between two calls of other threads."""
        with self._clips.lock:
            copied = {"_sequences": dict(self._sequences), "_closed": set(self._closed)}
            return {**vars(self), **copied, "_clips": copy(self._clips)}

    @property
    def config(self) -> ScoreConfig:
        """Classes, void label, frame offset and their origin."""
        return self._config

    @property
    def frame_offset(self) -> int:
        """k, in frames."""
        return self._config.frame_offset or 0

    @property
    def sequences(self) -> Mapping[str, Counts]:
        """The counts of each sequence, by its id; a view."""
        return MappingProxyType(self._sequences)

    @property
    def clips(self) -> RunningClips[CodedMap]:
        """The clips that were stepped: those that run, with what waits, and those that are over."""
        return self._clips

    @property
    def closed(self) -> frozenset[str]:
        """Ids of the sequences that were scored as a whole."""
        return frozenset(self._closed)

    @property
    def by_schedule(self) -> bool | None:
        """Whether a schedule paired the frames of the clips, and not the fixed offset; None before the first clip."""
        return self._by_schedule

    def __repr__(self) -> str:
        return f"FlameMeter({self._config}, {len(self._sequences)} sequences)"

    # ── collecting ──

    def update(
        self,
        pred: LabelMaps | None,
        target: LabelMaps | None,
        *,
        sequence: str | Sequence[str] | None = None,
        frame: Any = None,
    ) -> None:
        """Let one time step pass: the output for a frame and the ground truth of the same frame.

        The meter holds the prediction, and counts it against the ground truth that comes k frames later in the same
        clip: F(I_t) and S_{t+k}. At k = 0 both are counted at once, which is the usual mean IoU. The last k predictions
        of a clip are never counted; the first k labels are treated as ``before_first`` says. If anything is raised,
        no time has passed, for no row of a batch.

        Parameters
        ----------
        pred : array_like of int, (H, W) or (N, H, W), or of float, (C, H, W) or (N, C, H, W), a list of N, or None
            The output of the network for this frame, or for each of N frames; None, also in a list, where the network
            was not run. It is coded at once, so the array may be reused.
        target : array_like of int, (H, W) or (N, H, W), a list of N, or None
            Ground truth of the same frame or frames; None, also in a list, where a frame is unlabelled.
        sequence : str, or list of N str
            Id of the clip, which may be left out only at k = 0. With one id, the rows of a batch are consecutive frames
            of that clip; with a list, each row is a frame of the clip of its id, in the order of the rows.
        frame : int, or N of them, optional
            Number of the frame, or of each row, >= 0 and rising within a clip; gaps are unlabelled frames on which the
            network was not run. Without numbers, calls are frames, and the signature says so.

        Raises
        ------
        ConfigError
            If ``sequence`` is missing at k > 0, or it or ``frame`` is of another kind.
        LabelError, ShapeError
            If a label is not a class, or shapes do not belong together, such as those of a prediction and of the later
            ground truth.
        StateError
            If the sequence was paired, closed or given up, numbers do not rise, another thread is stepping the clip, or
            the network was not run on a frame whose prediction is on screen at a label.

        Examples
        --------
        >>> meter = FlameMeter(2, frame_offset=2)
        >>> for number in range(4):
        ...     meter.update([[number % 2, 1]], [[number % 2, 1]], sequence="clip", frame=number)
        >>> meter.compute().num_pairs
        2

        Two clips at a time, in batches of one frame of each, the second one unlabelled at first:

        >>> meter = FlameMeter(2, frame_offset=1)
        >>> meter.update([[[0, 1]], [[1, 1]]], [[[0, 1]], None], sequence=["left", "right"])
        >>> meter.update([[[0, 1]], [[1, 1]]], [[[0, 1]], [[0, 1]]], sequence=["left", "right"])
        >>> [(name, score.num_pairs) for name, score in meter.compute().by_sequence().items()]
        [('left', 1), ('right', 1)]
        """
        check_sequence_is_named(sequence, frame, self.frame_offset)
        steps = split_time_steps(pred, target, "" if sequence is None else sequence, frame)
        names = dict.fromkeys(step.sequence for step in steps)
        self.require_stepped(names)
        with self._clips.hold(names) as clips:
            counted = count_steps(steps, clips, self._code, self._count_shown)
            with self._clips.lock:
                self.require_stepped(names)
                self._by_schedule = False
                for name, counts in counted.items():
                    self._add(name, counts)
                clips.commit()

    def end(self, sequence: str) -> None:
        """Say that a clip is over: let go the predictions that wait. Scores stay as they are.

        If the id comes again, it begins anew at its first frame, and its counts add. Nothing happens if the id was
        never stepped.

        Examples
        --------
        >>> meter = FlameMeter(2, frame_offset=1)
        >>> for clip in (["a", "b"], ["c", "d", "e"]):
        ...     for _ in clip:
        ...         meter.update([[0, 1]], [[0, 1]], sequence="camera")
        ...     meter.end("camera")
        >>> meter.compute().num_pairs
        3
        """
        check_id(sequence)
        self._clips.end(sequence)

    def update_pair(self, pred: LabelMaps, target: LabelMaps, *, sequence: str = "") -> None:
        """Count one pair that the caller made, or a batch of them: the prediction F(I_t) and the ground truth S_{t+k}.

        For loaders that hand out pairs k frames apart, as where a clip has one label. :meth:`update` pairs the frames
        of a clip itself.

        Parameters
        ----------
        pred, target
            As :func:`~flame_metric.confusion_matrix` takes them.
        sequence : str
            Id under which to add; sequences are what a confidence interval resamples.

        Raises
        ------
        LabelError, ShapeError
            If a label is not a class, or shapes do not belong together; nothing is counted then.
        StateError
            If the sequence is closed, or stepped at k > 0.

        Examples
        --------
        >>> meter = FlameMeter(2, ignore_index=255)
        >>> meter.update_pair([[0, 1, 1]], [[0, 1, 255]], sequence="clip")
        >>> meter.compute().miou
        1.0
        """
        self.require_open(sequence)
        self._add_pairs(sequence, count_pairs(pred, target, self._config.space))

    def update_missing(self, target: LabelMaps, *, sequence: str = "") -> None:
        """Count a labelled frame for which nothing is on screen yet: all its valid pixels are missed.

        It belongs to :meth:`update_pair`: no time passes.

        Raises
        ------
        LabelError, ShapeError, StateError
            As :meth:`update_pair` does.
        """
        self.require_open(sequence)
        self._add_pairs(sequence, count_missing(target, self._config.space))

    def update_sequence(
        self,
        preds: Iterable[LabelMaps | None],
        targets: Iterable[LabelMaps | None],
        *,
        sequence: str,
        schedule: Schedule | None = None,
    ) -> None:
        """Count a whole clip in order, and close its id.

        Item i of both iterables is frame i. Each is read once, and only predictions that are still to be shown are
        kept, run-length coded, so the clip need not fit into memory and arrays may be reused. A prediction
        is checked when it comes, unless a schedule never shows it.

        Parameters
        ----------
        preds : iterable of label maps or scores, each (H, W) or (C, H, W); None where the network was not run
            Outputs of the network for frame 0, 1, 2, ...
        targets : iterable of label maps (H, W), or None where a frame is unlabelled
            As many as ``preds``; one for each label where the schedule has label times of its own.
        sequence : str
            Id of the clip; ``""`` adds without closing.
        schedule : Schedule, optional
            Which prediction is on screen at which frame. Default: that of ``frame_offset`` frames before.

        Raises
        ------
        LabelError, ShapeError
            If a label is not a class, shapes do not belong together, or one iterable is longer. Nothing is counted.
        ConfigError
            If the schedule does not fit the clip, or an argument is of another kind.
        StateError
            If the sequence was scored or stepped before, a prediction that is needed is None, or clips with and without
            a schedule are mixed in one meter.
        """
        self._require_unused(sequence)
        if schedule is not None:
            check_kind("schedule", schedule, Schedule, "a Schedule")
        by_schedule = schedule is not None
        self.require_kind(by_schedule)
        if schedule is not None and schedule.per_label:
            counts = self._count_labels(preds, targets, schedule, of_sequence(sequence))
        else:
            counts = self._count_clip(preds, targets, schedule, sequence)
        with self._clips.lock:
            self.require_kind(by_schedule)
            self._add_whole(sequence, counts)
            self._by_schedule = by_schedule
        if counts.labelled_frames and not counts.pairs:
            message = (
                f"sequence {quoted(sequence)} yields no pair: no prediction is on screen at any of its labelled frames"
            )
            warnings.warn(message, FlameWarning, stacklevel=2)

    def add_counts(self, counts: Counts, *, sequence: str) -> None:
        """Add the counts of a whole sequence that were made elsewhere, and close its id.

        Raises
        ------
        ConfigError
            If they are of another number of classes.
        StateError
            If the sequence was scored before.
        """
        if counts.per_class.shape != (3, self._config.num_classes):
            raise ConfigError(
                f"`counts` has shape {counts.per_class.shape}, expected (3, {self._config.num_classes}) for this meter"
            )
        self._add_whole(sequence, counts)

    def _add_whole(self, sequence: str, counts: Counts) -> None:
        with self._clips.lock:
            self._require_unused(sequence)
            self._add(sequence, counts)
            if sequence:
                self._closed.add(sequence)

    def _add_pairs(self, sequence: str, counts: Counts) -> None:
        with self._clips.lock:
            self.require_open(sequence)
            self._add(sequence, counts)
            self._clips.ended.discard(sequence)

    def _count_clip(
        self, preds: Iterable[Any], targets: Iterable[Any], schedule: Schedule | None, sequence: str
    ) -> Counts:
        clips: RunningClips[CodedMap] = RunningClips(self.frame_offset)
        if schedule is not None:
            timeline = ScheduleTimeline(schedule)
            clips = RunningClips(None, timeline_of=lambda _: timeline)
        with clips.hold([sequence]) as held:
            frames = (TimeStep(sequence, None, pred, target) for _, pred, target in pair_frames(preds, targets))
            counted = count_steps(frames, held, self._code, self._count_shown)
            held.commit()
        clips.end(sequence)
        return counted.get(sequence, Counts.zero(self._config.num_classes))

    def _count_labels(self, preds: Iterable[Any], targets: Iterable[Any], schedule: Schedule, of: str) -> Counts:
        """Count a clip whose labels come at times of their own: item j of the targets is label j."""
        sources: list[int] = schedule.source.tolist()
        frames = items("preds", preds, CLIP)
        line: Line[CodedMap] = Line(ScheduleTimeline(schedule))
        on_screen: dict[int, CodedMap | None] = {}
        total = Counts.zero(self._config.num_classes)
        label = -1
        for label, target in enumerate(items("targets", targets, CLIP)):
            if label >= len(sources):
                raise ShapeError(f"`targets` goes on after {label} label(s), expected one for each of `schedule`")
            source, place = sources[label], f"label {label}{of}"
            while line.frame <= source:
                pred = next(frames, _END)
                if pred is _END:
                    raise ShapeError(f"`preds` ended before frame {source}, which is on screen at {place}")
                with located(f"frame {line.frame}{of}"):
                    is_read = pred is not None and line.last_use >= line.frame
                    coded = code_map(pred, self._config.space) if is_read else None
                    on_screen, line = line.step(coded, labelled=line.frame == source)
            if target is not None:
                shown: dict[int, CodedMap] = {}
                if source != NOTHING_YET:
                    found = on_screen[source]
                    if found is None:
                        raise StateError(f"the prediction of frame {source} is None, but is on screen at {place}")
                    shown[source] = found
                with located(place):
                    total += self._count_shown(shown, target)
        if label + 1 < len(sources):
            raise ShapeError(f"`targets` ended after {label + 1} label(s), expected {len(sources)} as `schedule` has")
        return total

    def _code(self, step: TimeStep) -> CodedMap:
        return code_map(step.pred, self._config.space)

    def _count_shown(self, shown: Mapping[int, CodedMap], target: Any) -> Counts:
        """Count what is on screen at a label: the prediction of a frame, or nothing yet."""
        config = self._config
        if not shown:
            if config.before_first == "void":
                return count_missing(target, config.space)
            return Counts.zero(config.num_classes, labelled_frames=1)
        ((source, pred),) = shown.items()
        label = code_map(target, config.space, argument="target")
        with located(f"prediction of frame {source}"):
            return count_coded(pred, label, config.space)

    def require_open(self, sequence: str) -> None:
        """Raise unless pairs may be added to a sequence.

        Raises
        ------
        ConfigError
            If the id is not text.
        StateError
            If the sequence is closed, or stepped at k > 0.
        """
        check_id(sequence)
        if sequence in self._closed:
            raise StateError(f"sequence {quoted(sequence)} is closed: it was scored as a whole, expected another id")
        if self.frame_offset and sequence in self._clips:
            raise StateError(
                f"sequence {quoted(sequence)} is stepped by `update`, which pairs its frames "
                f"{self.frame_offset} apart: "
                "expected another id for pairs that are made already and for whole clips"
            )

    def require_stepped(self, sequences: Iterable[str]) -> None:
        """Raise unless time steps of some sequences may be taken.

        Raises
        ------
        StateError
            If one is closed or, at k > 0, paired; or if clips of this meter are paired by schedules.
        """
        self.require_kind(False)
        for name in sequences:
            if name in self._closed:
                raise StateError(f"sequence {quoted(name)} is closed: it was scored as a whole, expected another id")
            if self.frame_offset and name in self._sequences and name not in self._clips:
                raise StateError(
                    f"sequence {quoted(name)} holds pairs that were made by the caller (`update_pair`), "
                    "expected another id "
                    "for a clip whose frames are paired here"
                )

    def require_kind(self, by_schedule: bool) -> None:
        """Raise StateError if clips of this meter are paired the other way, by schedules or by the fixed offset."""
        if self._by_schedule not in (None, by_schedule):
            raise StateError("this meter has clips of the other kind, expected all by schedule or all by fixed offset")

    def _require_unused(self, sequence: str) -> None:
        self.require_open(sequence)
        if sequence and (sequence in self._sequences or sequence in self._clips):
            raise StateError(
                f"sequence {quoted(sequence)} holds counts already, expected an id of its own for a whole clip"
            )

    def _add(self, sequence: str, counts: Counts) -> None:
        known = self._sequences.get(sequence)
        self._sequences[sequence] = counts if known is None else known + counts

    # ── combining ──

    def merge(self, other: FlameMeter) -> None:
        """Add the counts of another meter, exactly and in any order of merging.

        Counts of pairs add. An id whose clip was scored as a whole or ended on both sides is kept once if its counts
        are identical, with a warning that names it: a sampler that repeats clips to fill up its ranks changes nothing.
        Predictions that wait are not taken over.

        Raises
        ------
        StateError
            If the configurations differ, one id has different counts on both sides or is over on one only, or, at
            k > 0, it was stepped and not ended on both sides; nothing is merged then.

        Examples
        --------
        >>> first, second = FlameMeter(2), FlameMeter(2)
        >>> first.update_pair([[0, 1]], [[0, 1]], sequence="a")
        >>> second.update_pair([[0, 0]], [[0, 1]], sequence="b")
        >>> first.merge(second)
        >>> first.compute().sequences
        ('a', 'b')
        """
        if not isinstance(other, FlameMeter):
            raise StateError(f"`other` is {type(other).__name__}, expected a FlameMeter")
        other = copy(other)  # as it is between two calls of other threads
        with self._clips.lock:
            kept_once = self._merge(other)
        if kept_once:
            names = shortened(map(repr, kept_once))
            kept = f"{len(kept_once)} sequence(s) came twice with identical counts and were kept once: [{names}]"
            warnings.warn(kept, FlameWarning, stacklevel=2)

    def _merge(self, other: FlameMeter) -> list[str]:
        """Return the sequences that both sides hold whole."""
        differences = self._config.differences(other._config)
        if None not in (self._by_schedule, other._by_schedule) and self._by_schedule != other._by_schedule:
            differences.append("one scores by a schedule, one by a fixed offset")
        if differences:
            raise StateError(f"meters of unlike configuration cannot merge: {'; '.join(differences)}")
        both = (self._sequences.keys() | self._clips.names) & (other._sequences.keys() | other._clips.names)
        whole, whole_there = (meter._closed | meter._clips.ended for meter in (self, other))
        self._clips.check_merge(other._clips)
        if half := sorted(both & (whole ^ whole_there)):
            raise StateError(
                f"sequence(s) {shortened(map(repr, half))} were scored as a whole or ended on one side only, expected "
                "on both"
            )
        unlike = both & ((self._clips.names ^ other._clips.names) - whole)
        if self.frame_offset and unlike:
            raise StateError(
                f"sequence(s) {shortened(map(repr, sorted(unlike)))} hold pairs made by the caller on one side and "
                "were stepped on the other, expected ids of one kind"
            )
        twice = sorted(both & whole & whole_there)
        for name in twice:
            if self._sequences.get(name) != other._sequences.get(name):
                raise StateError(
                    f"sequence {quoted(name)} was scored on both sides with different counts, expected equal ones"
                )
        for name, counts in other._sequences.items():
            if name not in twice:
                self._add(name, counts)
        self._clips.merge(other._clips)
        self._closed |= other._closed
        self._by_schedule = other._by_schedule if self._by_schedule is None else self._by_schedule
        return twice

    def reset(self) -> None:
        """Forget all counts, and what waits."""
        with self._clips.lock:
            self._sequences.clear()
            self._closed.clear()
            self._by_schedule = None
            self._clips.clear()

    def compute(self) -> FlameResult:
        """Return the result of what was counted so far; time can go on, also in the middle of a clip.

        Warns
        -----
        FlameWarning
            If there is no valid pixel at all: the score is NaN; not while clips run that are at most k frames old.
        """
        with self._clips.lock:
            config = replace(self._config, frame_offset=None) if self._by_schedule else self._config
            result = FlameResult.from_counts(config, self._sequences, by_order=self._clips.by_order)
        if (note := nan_note(result)) and not self._clips.have_only_begun:
            warnings.warn(note, FlameWarning, stacklevel=2)
        return result

    # ── JSON ──

    def to_json(self) -> str:
        """Return the whole state as JSON text, without loss."""
        with self._clips.lock:
            record = {
                "format": _FORMAT,
                "version": __version__,
                "config": self._config.to_dict(),
                "by_schedule": self._by_schedule,
                "closed": sorted(self._closed),
                "clips": self._clips.to_dict(coded_to_dict),
                "sequences": sequences_to_list(self._sequences),
            }
        return json.dumps(record)

    @classmethod
    def from_json(cls, text: str) -> FlameMeter:
        """Build the meter whose state :meth:`to_json` returned.

        Raises
        ------
        StateError
            If the text is not such a state, or its counts contradict each other.
        """
        record = load_record(text, _FORMAT, _FORMAT_OF_PAIRS, reader=cls.__name__)
        with reading(_FORMAT):
            config = ScoreConfig.from_dict(record["config"])
            if config.frame_offset is None or not isinstance(record["by_schedule"], bool | None):
                raise StateError(f"this {_FORMAT!r} record does not say how frames were paired")
            counts = sequences_from_list(record["sequences"], config.num_classes)
            clips = None
            if record["format"] == _FORMAT:
                read = partial(coded_from_dict, space=config.space)
                clips = RunningClips.from_dict(record["clips"], config.frame_offset, read)
            meter = cls.from_counts(
                config, counts, closed=record["closed"], by_schedule=record["by_schedule"], clips=clips
            )
            closed_are_held = "" not in meter._closed and meter._closed <= meter._sequences.keys()
            if not isinstance(record["closed"], list) or not closed_are_held or meter._closed & meter._clips.names:
                raise StateError(f"this {_FORMAT!r} record closes sequences that it does not hold")
        return meter


def flame_score(
    preds: Iterable[LabelMaps],
    targets: Iterable[LabelMaps | None],
    *,
    num_classes: int,
    latency_ms: Milliseconds,
    fps: Fps,
    ignore_index: int | None = None,
) -> FlameResult:
    """Score one clip in one call: frame i's prediction against frame i + k's ground truth.

    Parameters
    ----------
    preds : iterable of label maps (H, W) or scores (C, H, W)
        Outputs of the network, one a frame, in order.
    targets : iterable of label maps (H, W), or None where a frame is unlabelled
    num_classes, latency_ms, fps, ignore_index
        As :class:`FlameMeter` takes them.

    Returns
    -------
    FlameResult

    Raises
    ------
    LabelError, ShapeError, ConfigError, StateError
        As :meth:`FlameMeter.update_sequence` does.

    Examples
    --------
    >>> clip = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]]
    >>> flame_score(clip, clip, num_classes=2, latency_ms=0, fps=30).miou
    1.0
    >>> round(flame_score(clip, clip, num_classes=2, latency_ms=26, fps=30).miou, 4)
    0.1667
    """
    meter = FlameMeter(num_classes, latency_ms=latency_ms, fps=fps, ignore_index=ignore_index)
    meter.update_sequence(preds, targets, sequence="clip")
    return meter.compute()
