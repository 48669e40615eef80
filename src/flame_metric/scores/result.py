"""FlameResult: counts per sequence, and every score that follows from them.

A score of this kind depends on hardware and frame rate (FLAME, section 3.4), so it never comes without: ``signature``
states the frame offset, the latency, the rate, the classes and the share of labelled frames it was computed on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric._version import __version__
from flame_metric.core.counting import Counts, sequences_from_list, sequences_to_list
from flame_metric.core.files import JsonRecord, load_record, reading
from flame_metric.core.iou import dice_per_class, iou_per_class, mean_iou
from flame_metric.core.statistics import Interval, bootstrap_interval, contributing
from flame_metric.core.tables import Table, milliseconds_text, rate_text
from flame_metric.scores.config import ScoreConfig

__all__ = ["FlameResult", "interval_note", "nan_note"]

_FORMAT = "flame-metric result 1"


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

    Examples
    --------
    >>> from flame_metric import FlameMeter
    >>> meter = FlameMeter(2, latency_ms=26, fps="50/3")
    >>> meter.update([[0, 1, 1]], [[0, 0, 1]])
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

    def __post_init__(self) -> None:
        for name in ("counts", "tallies"):
            own = np.array(getattr(self, name), np.int64)  # the caller may go on with theirs
            own.setflags(write=False)
            object.__setattr__(self, name, own)

    @classmethod
    def from_counts(cls, config: ScoreConfig, counts: Mapping[str, Counts], version: str = __version__) -> FlameResult:
        """Build a result from the counts of each sequence."""
        names = tuple(sorted(counts))
        per_class = np.zeros((len(names), 3, config.num_classes), np.int64)
        tallies = np.zeros((len(names), 4), np.int64)
        for row, name in enumerate(names):
            per_class[row] = counts[name].per_class
            tallies[row] = counts[name].tallies
        return cls(config, names, per_class, tallies, version)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FlameResult):
            return NotImplemented
        return (
            (self.config, self.sequences, self.version) == (other.config, other.sequences, other.version)
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
        """Mean IoU of the classes that occur (Eq. 2), 0..1; NaN if none does."""
        return float(mean_iou(self.total))

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
        return bootstrap_interval(self) if len(contributing(self.counts)) > 1 else None

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
    def signature(self) -> str:
        """One line that says what the score means."""
        config = self.config
        present = int(np.count_nonzero(~np.isnan(self.iou)))
        classes = f"{present} of {config.num_classes}" if present < config.num_classes else f"{config.num_classes}"
        parts = [
            f"FLAME {self.miou:.3f}",
            (config.schedule or "schedule") if config.frame_offset is None else f"k {config.frame_offset}",
            None if config.latency_ms is None else milliseconds_text(config.latency_ms),
            None if config.fps is None else f"{rate_text(config.fps)} fps",
            f"{classes} classes",
            None if config.ignore_index is None else f"ignore {config.ignore_index}",
            "before first: void" if config.before_first == "void" else None,
            f"coverage {self.coverage:.2f}",
            config.hardware,
            f"flame-metric {self.version}",
        ]
        return " | ".join(part for part in parts if part)

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
        mean = ("mean IoU", self.miou, None, int(labelled.sum()))
        notes = (interval_note(self), self.signature)
        return Table(("class", "IoU", "Dice", "labelled pixels"), rows, (mean,), notes).render(format)

    # ── JSON ──

    def to_dict(self) -> dict[str, Any]:
        """Return what :meth:`to_json` writes, in types that JSON knows."""
        interval = self.interval
        return {
            "format": _FORMAT,
            "version": self.version,
            "config": self.config.to_dict(),
            "sequences": sequences_to_list({name: self._counts_of(row) for row, name in enumerate(self.sequences)}),
            "scores": {  # for readers without this package; recomputed from the counts on loading
                "signature": self.signature,
                "miou": _number(self.miou),
                "interval_95": None if interval is None else [_number(interval.low), _number(interval.high)],
                "iou": [_number(value) for value in self.iou],
                "pixel_accuracy": _number(self.pixel_accuracy),
                "coverage": _number(self.coverage),
                "valid_fraction": _number(self.valid_fraction),
                "num_pairs": self.num_pairs,
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
        return cls.from_dict(load_record(text, _FORMAT, reader=cls.__name__))

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FlameResult:
        """Read what :meth:`to_dict` returned; see :meth:`from_json`."""
        with reading(_FORMAT):
            config = ScoreConfig.from_dict(record["config"])
            counts = sequences_from_list(record["sequences"], config.num_classes)
            return cls.from_counts(config, counts, str(record["version"]))

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
    )


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
