"""FlameMeter: collect counts while predictions come in; divide once at the end.

The state is one record of int64 counts per sequence id. Meters of several processes merge exactly, in any order, and a
sequence that was scored twice is noticed:

- :meth:`FlameMeter.update` adds to its id as often as it is called: the id is *open*, and merging adds;
- :meth:`FlameMeter.update_sequence` scores a whole clip and *closes* its id. Scoring it again is an error; in a merge
  an identical second copy is dropped with a warning, a different one is refused;
- the default id ``""`` is never closed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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
from flame_metric.core.labels import CodedMap, LabelMaps, code_map
from flame_metric.core.schedule import NOTHING_YET, FixedOffset, Schedule, ScheduleTimeline
from flame_metric.errors import ConfigError, FlameWarning, ShapeError, StateError, located
from flame_metric.scores.config import ScoreConfig, make_config
from flame_metric.scores.pairs import Line
from flame_metric.scores.result import FlameResult, nan_note

__all__ = ["FlameMeter", "flame_score"]

_FORMAT = "flame-metric meter 1"
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
        What :meth:`update_sequence` does with a labelled frame before the first output: leave it out (coverage falls),
        or count all its pixels as missed.
    hardware : str, optional
        What the latency was measured on: free text for the signature.

    Raises
    ------
    ConfigError
        If latency and frame offset are both given, only half of latency and fps is, or a value is out of range.

    Examples
    --------
    A clip whose object moves one pixel to the right a frame, seen by a network that is right but one frame late:

    >>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]]
    >>> meter = FlameMeter(2, latency_ms=26, fps="50/3")
    >>> meter.frame_offset
    1
    >>> meter.update_sequence(video, video, sequence="clip")
    >>> result = meter.compute()
    >>> result.counts
    array([[[2, 0],
            [4, 2],
            [4, 2]]])
    >>> round(result.miou, 4), result.num_pairs
    (0.1667, 2)
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
            )
        )

    @classmethod
    def from_config(cls, config: ScoreConfig) -> FlameMeter:
        """Build an empty meter of a configuration, such as that of a result."""
        meter = cls.__new__(cls)
        meter._restart(config)
        return meter

    @classmethod
    def from_counts(
        cls,
        config: ScoreConfig,
        sequences: Mapping[str, Counts],
        *,
        closed: Iterable[str] = (),
        by_schedule: bool | None = None,
    ) -> FlameMeter:
        """Build a meter that holds counts already: what :attr:`sequences`, :attr:`closed`, :attr:`by_schedule` gave."""
        meter = cls.from_config(config)
        meter._sequences = dict(sequences)
        meter._closed = set(closed)
        meter._by_schedule = by_schedule
        return meter

    def _restart(self, config: ScoreConfig) -> None:
        self._config = config
        self._sequences: dict[str, Counts] = {}
        self._closed: set[str] = set()
        self._by_schedule: bool | None = None  # None until a clip says whether a schedule or the fixed offset rules

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

    def update(self, pred: LabelMaps, target: LabelMaps, *, sequence: str = "") -> None:
        """Count one aligned pair, or a batch of them: the prediction F(I_t) and the ground truth S_{t+k}.

        The caller does the pairing; :meth:`update_sequence` does it for whole clips.

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
            If the sequence is closed.

        Examples
        --------
        >>> meter = FlameMeter(2, ignore_index=255)
        >>> meter.update([[0, 1, 1]], [[0, 1, 255]], sequence="clip")
        >>> meter.compute().miou
        1.0
        """
        self.require_open(sequence)
        self._add(sequence, count_pairs(pred, target, self._config.space))

    def update_missing(self, target: LabelMaps, *, sequence: str = "") -> None:
        """Count a labelled frame for which nothing is on screen yet: all its valid pixels are missed.

        Raises
        ------
        LabelError, ShapeError, StateError
            As :meth:`update` does.
        """
        self.require_open(sequence)
        self._add(sequence, count_missing(target, self._config.space))

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
            If the sequence was scored before, a prediction that is needed is None, or clips with and without a
            schedule are mixed in one meter.
        """
        self._require_unused(sequence)
        if schedule is not None:
            check_kind("schedule", schedule, Schedule, "a Schedule")
        by_schedule = schedule is not None
        if self._by_schedule not in (None, by_schedule):
            raise StateError("this meter has clips of the other kind, expected all by schedule or all by fixed offset")
        of = of_sequence(sequence)
        if schedule is not None and schedule.per_label:
            counts = self._count_labels(preds, targets, schedule, of)
        else:
            counts = self._count_clip(preds, targets, schedule, of)
        self._by_schedule = by_schedule
        self._add_whole(sequence, counts)
        if counts.labelled_frames and not counts.pairs:
            message = f"sequence {sequence!r} yields no pair: no prediction is on screen at any of its labelled frames"
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
        self._require_unused(sequence)
        self._add(sequence, counts)
        if sequence:
            self._closed.add(sequence)

    def _count_clip(self, preds: Iterable[Any], targets: Iterable[Any], schedule: Schedule | None, of: str) -> Counts:
        timeline = None if schedule is None else ScheduleTimeline(schedule)
        line: Line[CodedMap] = Line(timeline or FixedOffset(self.frame_offset))
        total = Counts.zero(self._config.num_classes)
        for frame, pred, target in pair_frames(preds, targets):
            place = f"frame {frame}{of}"
            with located(place):
                shown, line = self._step(line, pred, labelled=target is not None)
                if target is not None:
                    total += self._count_shown(shown, target, place)
        if timeline is not None:
            timeline.check_length(line.frame)
        return total

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
                    on_screen, line = self._step(line, pred, labelled=line.frame == source)
            if target is not None:
                shown = {} if source == NOTHING_YET else {source: on_screen[source]}
                with located(place):
                    total += self._count_shown(shown, target, place)
        if label + 1 < len(sources):
            raise ShapeError(f"`targets` ended after {label + 1} label(s), expected {len(sources)} as `schedule` has")
        return total

    def _step(
        self, line: Line[CodedMap], pred: Any, *, labelled: bool
    ) -> tuple[dict[int, CodedMap | None], Line[CodedMap]]:
        """Let the next frame pass; a prediction is read only if it is ever shown."""
        # Coded at once: the caller may overwrite the array while it waits.
        is_read = pred is not None and line.last_use >= line.frame
        return line.step(code_map(pred, self._config.space) if is_read else None, labelled=labelled)

    def _count_shown(self, shown: Mapping[int, CodedMap | None], target: Any, moment: str) -> Counts:
        """Count what is on screen at a label: the prediction of a frame, or nothing yet."""
        config = self._config
        if not shown:
            if config.before_first == "void":
                return count_missing(target, config.space)
            return Counts.zero(config.num_classes, labelled_frames=1)
        ((source, pred),) = shown.items()
        if pred is None:
            raise StateError(f"the prediction of frame {source} is None, but is on screen at {moment}")
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
            If the sequence is closed.
        """
        check_id(sequence)
        if sequence in self._closed:
            raise StateError(f"sequence {sequence!r} is closed: it was scored as a whole, expected another id")

    def _require_unused(self, sequence: str) -> None:
        self.require_open(sequence)
        if sequence and sequence in self._sequences:
            raise StateError(f"sequence {sequence!r} holds counts already, expected an id of its own for a whole clip")

    def _add(self, sequence: str, counts: Counts) -> None:
        known = self._sequences.get(sequence)
        self._sequences[sequence] = counts if known is None else known + counts

    # ── combining ──

    def merge(self, other: FlameMeter) -> None:
        """Add the counts of another meter, exactly and in any order of merging.

        Counts of an open id add. An id that both closed is kept once if its counts are identical, with a warning that
        names it.

        Raises
        ------
        StateError
            If the configurations differ, or one id has different counts on both sides or is closed on one only;
            nothing is merged then.

        Examples
        --------
        >>> first, second = FlameMeter(2), FlameMeter(2)
        >>> first.update([[0, 1]], [[0, 1]], sequence="a")
        >>> second.update([[0, 0]], [[0, 1]], sequence="b")
        >>> first.merge(second)
        >>> first.compute().sequences
        ('a', 'b')
        """
        if not isinstance(other, FlameMeter):
            raise StateError(f"`other` is {type(other).__name__}, expected a FlameMeter")
        differences = self._config.differences(other._config)
        if None not in (self._by_schedule, other._by_schedule) and self._by_schedule != other._by_schedule:
            differences.append("one scores by a schedule, one by a fixed offset")
        if differences:
            raise StateError(f"meters of unlike configuration cannot merge: {'; '.join(differences)}")
        both = self._sequences.keys() & other._sequences.keys()
        closed_twice = sorted(both & self._closed & other._closed)
        for name in closed_twice:
            if self._sequences[name] != other._sequences[name]:
                raise StateError(
                    f"sequence {name!r} was scored on both sides with different counts, expected equal ones"
                )
        half_closed = sorted(both & (self._closed ^ other._closed))
        if half_closed:
            raise StateError(f"sequence(s) {half_closed} were scored as a whole on one side only, expected on both")
        for name, counts in other._sequences.items():
            if name not in closed_twice:
                self._add(name, counts)
        self._closed |= other._closed
        self._by_schedule = other._by_schedule if self._by_schedule is None else self._by_schedule
        if closed_twice:
            kept = (
                f"{len(closed_twice)} sequence(s) came twice with identical counts and were kept once: {closed_twice}"
            )
            warnings.warn(kept, FlameWarning, stacklevel=2)

    def reset(self) -> None:
        """Forget all counts."""
        self._restart(self._config)

    def compute(self) -> FlameResult:
        """Return the result of what was counted so far; the meter can go on.

        Warns
        -----
        FlameWarning
            If there is no valid pixel at all: the score is NaN.
        """
        config = replace(self._config, frame_offset=None) if self._by_schedule else self._config
        result = FlameResult.from_counts(config, self._sequences)
        if note := nan_note(result):
            warnings.warn(note, FlameWarning, stacklevel=2)
        return result

    # ── JSON ──

    def to_json(self) -> str:
        """Return the whole state as JSON text, without loss."""
        return json.dumps(
            {
                "format": _FORMAT,
                "version": __version__,
                "config": self._config.to_dict(),
                "by_schedule": self._by_schedule,
                "closed": sorted(self._closed),
                "sequences": sequences_to_list(self._sequences),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> FlameMeter:
        """Build the meter whose state :meth:`to_json` returned.

        Raises
        ------
        StateError
            If the text is not such a state, or its counts contradict each other.
        """
        record = load_record(text, _FORMAT, reader=cls.__name__)
        with reading(_FORMAT):
            config = ScoreConfig.from_dict(record["config"])
            counts = sequences_from_list(record["sequences"], config.num_classes)
            meter = cls.from_counts(config, counts, closed=record["closed"], by_schedule=record["by_schedule"])
            closed_are_held = "" not in meter._closed and meter._closed <= meter._sequences.keys()
            if not isinstance(record["closed"], list) or not closed_are_held:
                raise StateError(f"this {_FORMAT!r} record closes sequences that it does not hold")
            if not isinstance(meter._by_schedule, bool | None) or meter.config.frame_offset is None:
                raise StateError(f"this {_FORMAT!r} record does not say how frames were paired")
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
