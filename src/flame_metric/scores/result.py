"""FlameResult: counts per sequence, and every score that follows from them.

A score of this kind depends on hardware and frame rate (FLAME, section 3.4), so it never comes without: ``signature``
states the frame offset, the latency, the rate, the classes and the share of labelled frames it was computed on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric._version import __version__
from flame_metric.core.checks import check_choice
from flame_metric.core.clock import unit_notes
from flame_metric.core.counting import Counts, sequences_from_list, sequences_to_list
from flame_metric.core.files import JsonRecord, load_record, reading
from flame_metric.core.iou import MEANS, average_iou, classes_of_mean, dice_per_class, iou_per_class
from flame_metric.core.statistics import Interval, Progress, contributing, draw_interval
from flame_metric.core.tables import Table, milliseconds_text, rate_text
from flame_metric.scores.config import ScoreConfig

__all__ = ["FlameResult", "few_suffix", "interval_note", "mean_text", "nan_note"]

_FORMAT = "flame-metric result 2"
_OLDER = "flame-metric result 1"
"""Of releases that did not say how frames were paired, nor over which classes the mean is."""


@dataclass(frozen=True, eq=False)
class FlameResult(JsonRecord):
    """A score with all it rests on; :meth:`~flame_metric.FlameMeter.compute` makes it.

    Attributes
    ----------
    config : ScoreConfig
        Classes, frame offset, latency, rate, void label, names, hardware.
    sequences : tuple of str, (S,)
        Sequence ids, sorted.
    counts : ndarray of int64, (S, 3, C), read-only
        Intersection, predicted and labelled pixels per sequence and class.
    tallies : ndarray of int64, (S, 4), read-only
        Pairs, labelled frames, valid pixels and all pixels per sequence.
    version : str
        The version of this package that counted.
    by_order : bool
        Whether frames were paired by the order of calls, as they came without numbers (:meth:`FlameMeter.update`).
    persistence : bool
        Whether the predictions were the labels themselves: what perfect outputs would be worth if they came as late.
    mean_over : {"present", "labelled", "all"}
        Over which classes :attr:`miou` and :attr:`interval` are means: those that occur in predictions or labels, those
        that occur in labels, or all, of which those that occur nowhere count as 0. :meth:`average_over` changes it.

    Examples
    --------
    >>> from flame_metric import FlameMeter
    >>> meter = FlameMeter(2, latency_ms=26, fps="50/3")
    >>> meter.update_pair([[0, 1, 1]], [[0, 0, 1]])
    >>> result = meter.compute()
    >>> result.miou
    0.5
    >>> print(result.signature)
    FLAME 0.500 | k 1 | 26.0 ms | 50/3 fps | 2 classes | coverage 1.00 | flame-metric 0.1.0
    """

    config: ScoreConfig
    sequences: tuple[str, ...]
    counts: npt.NDArray[np.int64] = field(repr=False)
    tallies: npt.NDArray[np.int64] = field(repr=False)
    version: str = __version__
    by_order: bool = False
    persistence: bool = False
    mean_over: str = MEANS[0]

    def __post_init__(self) -> None:
        check_choice("mean_over", self.mean_over, MEANS)
        for name in ("counts", "tallies"):
            own = np.array(getattr(self, name), np.int64)  # the caller may go on with theirs
            own.setflags(write=False)
            object.__setattr__(self, name, own)

    @classmethod
    def from_counts(
        cls,
        config: ScoreConfig,
        counts: Mapping[str, Counts],
        version: str = __version__,
        *,
        by_order: bool = False,
        persistence: bool = False,
    ) -> FlameResult:
        """Build a result from the counts of each sequence."""
        names = tuple(sorted(counts))
        per_class = np.zeros((len(names), 3, config.num_classes), np.int64)
        tallies = np.zeros((len(names), 4), np.int64)
        for row, name in enumerate(names):
            per_class[row] = counts[name].per_class
            tallies[row] = counts[name].tallies
        return cls(config, names, per_class, tallies, version, by_order, persistence)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FlameResult):
            return NotImplemented
        return (
            (self.config, self.sequences, self.version) == (other.config, other.sequences, other.version)
            and (self.by_order, self.persistence) == (other.by_order, other.persistence)
            and self.mean_over == other.mean_over
            and np.array_equal(self.counts, other.counts)
            and np.array_equal(self.tallies, other.tallies)
        )

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def __str__(self) -> str:
        return self.signature

    # ── scores ──

    @property
    def total(self) -> npt.NDArray[np.int64]:
        """Counts summed over the sequences, int64 (3, C)."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def miou(self) -> float:
        """Mean IoU of the classes that occur (Eq. 2), or of those of :attr:`mean_over`, 0..1; NaN if none occurs."""
        return float(average_iou(self.total, self.mean_over))

    @property
    def classes_in_mean(self) -> int:
        """The number of classes that :attr:`miou` is a mean of."""
        return int(classes_of_mean(self.total, self.mean_over).sum())

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """IoU per class (Eq. 1), (C,), 0..1; NaN for a class that does not occur."""
        return iou_per_class(self.total)

    @property
    def dice(self) -> npt.NDArray[np.float64]:
        """Dice coefficient per class, (C,), 0..1; NaN for a class that does not occur."""
        return dice_per_class(self.total)

    @property
    def pixel_accuracy(self) -> float:
        """Share of the valid pixels whose class is right, 0..1; NaN without any."""
        intersection, _, labelled = self.total
        return _share(int(intersection.sum()), int(labelled.sum()))

    @cached_property
    def interval(self) -> Interval | None:
        """95 % bootstrap interval of :attr:`miou` over sequences; None if fewer than two of them hold valid pixels."""
        return self._bootstrap(None)

    def draw_interval(self, progress: Progress) -> None:
        """Find :attr:`interval` now, and say how far that is: ``progress`` is called with (resamples done, all)."""
        if "interval" not in self.__dict__:
            self.__dict__["interval"] = self._bootstrap(progress)

    def _bootstrap(self, progress: Progress | None) -> Interval | None:
        return draw_interval(self, progress=progress) if len(contributing(self.counts)) > 1 else None

    # ── what they rest on ──

    @property
    def frame_offset(self) -> int | None:
        """k, in frames; None if a schedule said which prediction was on screen."""
        return self.config.frame_offset

    @property
    def num_pairs(self) -> int:
        """Label maps that were compared with a prediction."""
        return int(self.tallies[:, 0].sum())

    @property
    def coverage(self) -> float:
        """Share of the labelled frames that were compared with a prediction, 0..1; NaN without labelled frames."""
        return _share(self.num_pairs, int(self.tallies[:, 1].sum()))

    @property
    def valid_fraction(self) -> float:
        """Share of the pixels of all counted targets that are not void, 0..1; NaN without any."""
        return _share(int(self.tallies[:, 2].sum()), int(self.tallies[:, 3].sum()))

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class; its number where no names were given."""
        return self.config.class_names or tuple(str(label) for label in range(self.config.num_classes))

    @property
    def score_name(self) -> str:
        """What the score is: ``"mIoU"`` (k = 0), ``"FLAME"``, ``"streaming"`` (by a schedule) or ``"persistence"``."""
        if self.persistence:
            return "persistence"
        if self.config.frame_offset is None:
            return "streaming"
        return "FLAME" if self.config.frame_offset else "mIoU"

    @property
    def mean_title(self) -> str:
        """What tables call :attr:`miou`: "mean IoU", and over which classes where it is another than that of Eq. 2."""
        return "mean IoU" if self.mean_over == MEANS[0] else f"mean IoU, {mean_text(self.mean_over)}"

    @property
    def signature(self) -> str:
        """One line that says what the score means, its name first."""
        config = self.config
        present = int(np.count_nonzero(~np.isnan(self.iou)))
        classes = f"{present} of {config.num_classes}" if present < config.num_classes else f"{config.num_classes}"
        parts = [
            f"{self.score_name} {self.miou:.3f}",
            (config.schedule or "schedule") if config.frame_offset is None else f"k {config.frame_offset}",
            None if config.latency_ms is None else milliseconds_text(config.latency_ms),
            None if config.fps is None else f"{rate_text(config.fps)} fps",
            config.camera,
            f"{classes} classes",
            None if self.mean_over == MEANS[0] else f"mean over {mean_text(self.mean_over, self.classes_in_mean)}",
            None if config.ignore_index is None else f"ignore {config.ignore_index}",
            "before first: void" if config.before_first == "void" else None,
            "by order of calls" if self.by_order else None,
            f"coverage {self.coverage:.2f}",
            config.hardware,
            f"flame-metric {self.version}",
        ]
        return " | ".join(part for part in parts if part)

    def average_over(self, mean_over: str) -> FlameResult:
        """Return the same counts with another mean: ``"present"``, ``"labelled"`` or ``"all"`` (:attr:`mean_over`).

        Raises
        ------
        ConfigError
            If it is another.

        Examples
        --------
        >>> from flame_metric import FlameMeter
        >>> meter = FlameMeter(3)
        >>> meter.update([[0, 0, 1]], [[0, 0, 0]])  # class 1 is predicted, and labelled nowhere
        >>> [round(meter.compute().average_over(classes).miou, 3) for classes in ("present", "labelled", "all")]
        [0.333, 0.667, 0.222]
        """
        return self if mean_over == self.mean_over else replace(self, mean_over=mean_over)

    @property
    def notes(self) -> tuple[str, ...]:
        """What should be known about the score: whether units are right, where they look wrong."""
        return unit_notes(self.config.latency_ms, self.config.fps)

    def by_sequence(self) -> dict[str, FlameResult]:
        """Return the result of each single sequence, by its id."""
        return {
            name: replace(self, sequences=(name,), counts=self.counts[[row]], tallies=self.tallies[[row]])
            for row, name in enumerate(self.sequences)
        }

    def table(self, format: str = "text") -> str:
        """Return a table of the classes: ``"text"``, ``"markdown"``, ``"latex"`` or ``"csv"``.

        Raises
        ------
        ConfigError
            If the format is another.
        """
        labelled = self.total[2]
        rows = tuple(
            (name, float(iou), float(dice), int(pixels))
            for name, iou, dice, pixels in zip(self.class_names, self.iou, self.dice, labelled, strict=True)
        )
        mean = (self.mean_title, self.miou, None, int(labelled.sum()))
        notes = (*self.notes, interval_note(self), self.signature)
        return Table(("class", "IoU", "Dice", "labelled pixels"), rows, (mean,), notes).render(format)

    # ── JSON ──

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`to_json` writes, in types that JSON knows."""
        interval = self.interval
        return {
            "format": _FORMAT,
            "version": self.version,
            "config": self.config.to_dict(),
            "by_order": self.by_order,
            "persistence": self.persistence,
            "mean_over": self.mean_over,
            "sequences": sequences_to_list({name: self._counts_of(row) for row, name in enumerate(self.sequences)}),
            "scores": {  # for readers without this package; recomputed from the counts on loading
                "signature": self.signature,
                "miou": _number(self.miou),
                "interval_95": None if interval is None else [_number(interval.low), _number(interval.high)],
                "interval_sequences": None if interval is None else interval.sequences,
                "interval_warning": None if interval is None else interval.warning,
                "iou": [_number(value) for value in self.iou],
                "pixel_accuracy": _number(self.pixel_accuracy),
                "coverage": _number(self.coverage),
                "valid_fraction": _number(self.valid_fraction),
                "num_pairs": self.num_pairs,
                "notes": list(self.notes),
                "by_sequence": {
                    name: {"miou": _number(part.miou), "iou": [_number(value) for value in part.iou]}
                    for name, part in self.by_sequence().items()
                },
            },
        }

    def to_json(self) -> str:
        """Return the result as JSON text: counts and configuration without loss, and the scores."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> FlameResult:
        """Read what :meth:`to_json` returned; the scores are computed anew from the counts.

        Raises
        ------
        StateError
            If the text is not such a result, or its counts contradict each other.
        """
        return cls.from_dict(load_record(text, _FORMAT, _OLDER, reader=cls.__name__))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FlameResult:
        """Read what :meth:`to_dict` returned; see :meth:`from_json`."""
        with reading(_FORMAT):
            config = ScoreConfig.from_dict(record["config"])
            counts = sequences_from_list(record["sequences"], config.num_classes)
            of_pairs = {name: bool(record.get(name, False)) for name in ("by_order", "persistence")}  # new in format 2
            result = cls.from_counts(config, counts, str(record["version"]), **of_pairs)
            return result.average_over(record.get("mean_over", MEANS[0]))  # new in format 2

    def _counts_of(self, row: int) -> Counts:
        pairs, labelled, valid, everything = (int(value) for value in self.tallies[row])
        return Counts(self.counts[row], pairs, labelled, valid, everything)


def interval_note(result: FlameResult) -> str:
    """Say how certain the mean IoU is, or why that cannot be said."""
    interval, sequences = result.interval, len(contributing(result.counts))
    if interval is None:
        return f"95 % interval: needs at least two sequences, there is {sequences or 'none'}"
    return (
        f"95 % interval {interval.low:.4f} to {interval.high:.4f} "
        f"(bootstrap over {sequences} sequences, {interval.resamples:,} resamples)"
        f"{'' if interval.warning is None else f'; {interval.warning}'}"
    )


def few_suffix(intervals: Iterable[Interval | None]) -> str:
    """Return what the title of a row or column of intervals says beside it if one of them is over few sequences."""
    few = [one.sequences for one in intervals if one is not None and one.warning is not None and one.sequences]
    return f" (only {min(few)} sequences)" if few else ""


def mean_text(mean_over: str, number: int | None = None) -> str:
    """Say which classes a mean is over, such as "the 11 labelled classes"."""
    kind = {"present": "classes that occur", "labelled": "labelled classes", "all": "classes, absent ones as 0"}[
        mean_over
    ]
    return kind if number is None else f"{number} {kind}"


def nan_note(result: FlameResult) -> str | None:
    """Say why the mean IoU is NaN; None if it is a number."""
    if not np.isnan(result.miou):
        return None
    reason = "every pixel of every target is void" if result.num_pairs else "no pair was counted"
    return f"the mean IoU is NaN: {reason}"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
