"""Evaluation: scores of the same predictions side by side, with their table and JSON.

``static`` compares frame with frame (the usual mean IoU), ``flame`` with the ground truth of k frames later, and
``streaming`` shows at each frame what a stream of limited workers would show. ``persistence`` does the same with the
labels themselves as predictions: what perfect outputs would be worth if they came as late.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from flame_metric.core.checks import check_kind
from flame_metric.core.files import JsonRecord, load_record, reading
from flame_metric.core.statistics import Progress, contributing, part_of
from flame_metric.core.tables import Cell, Table
from flame_metric.errors import StateError, shortened
from flame_metric.latency.simulate import StreamConfig, StreamStatistics
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.curve import Curve, Losses
from flame_metric.scores.ranking import Contender
from flame_metric.scores.result import FlameResult, few_suffix, interval_note

__all__ = ["Evaluation", "Interrupted", "Streaming"]

_FORMAT = "flame-metric evaluation 1"
_RESULTS = ("static", "flame", "persistence")
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

    def average_over(self, mean_over: str) -> Streaming:
        """Return the same counts with another mean, as :meth:`FlameResult.average_over` has it."""
        late = None if self.persistence is None else self.persistence.average_over(mean_over)
        return replace(self, result=self.result.average_over(mean_over), persistence=late)

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
class Evaluation(JsonRecord):
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
    incomplete : str or None
        What is missing, if something is: such scores are of some of the sequences, and their table says INCOMPLETE.
    left_out : tuple of str
        Sequences that were left out for damaged files.
    names : mapping or None
        How the names of files were read, in types that JSON knows: the numbers of ``sequences`` and of frame
        ``numbers``, the ``pattern`` that was given, and ``examples``, one file of each side with its sequence and
        number.
    """

    static: FlameResult | None
    flame: FlameResult
    persistence: FlameResult | None
    notes: tuple[str, ...] = ()
    streaming: Streaming | None = None
    curve: Curve | None = None
    bank: OffsetBank | None = field(default=None, compare=False, repr=False)
    incomplete: str | None = None
    left_out: tuple[str, ...] = ()
    names: Mapping[str, Any] | None = field(default=None, compare=False)

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

    def contender(self, name: str) -> Contender:
        """Return these scores under the name of a network, to be ranked."""
        return Contender(name, self.flame, self.static, None if self.streaming is None else self.streaming.result)

    def average_over(self, mean_over: str) -> Evaluation:
        """Return the same counts with another mean, as :meth:`FlameResult.average_over` has it."""
        static, late, streaming, curve = self.static, self.persistence, self.streaming, self.curve
        return replace(
            self,
            static=None if static is None else static.average_over(mean_over),
            flame=self.flame.average_over(mean_over),
            persistence=None if late is None else late.average_over(mean_over),
            streaming=None if streaming is None else streaming.average_over(mean_over),
            curve=None if curve is None else curve.average_over(mean_over),
        )

    def draw_intervals(self, progress: Progress) -> None:
        """Find all intervals now, and say how far that is: ``progress`` is called with (resamples done, all)."""
        late = () if self.curve is None else self.curve.results
        results = [one for one in (*self.results.values(), *late) if len(contributing(one.counts)) > 1]
        for number, result in enumerate(results):
            result.draw_interval(part_of(progress, number, len(results)))

    def table(self, format: str = "text") -> str:
        """Return one table of the scores: ``"text"``, ``"markdown"``, ``"latex"`` or ``"csv"``.

        The curve, if there is one, is a second table below it; in CSV it is the only table, as :meth:`Curve.table`.
        """
        results = self.results.values()
        columns = ("class", *(_column(name, result) for name, result in self.results.items()))
        names = self.flame.class_names
        iou = [result.iou.tolist() for result in results]
        rows: tuple[tuple[Cell, ...], ...] = tuple(zip(names, *iou, strict=True))
        summary: list[tuple[Cell, ...]] = [(self.flame.mean_title, *(result.miou for result in results))]
        intervals = [result.interval for result in results]
        if any(intervals):
            few = few_suffix(intervals)
            summary.append((f"95 % from{few}", *(one.low if one else None for one in intervals)))
            summary.append((f"95 % to{few}", *(one.high if one else None for one in intervals)))
        summary += [
            ("coverage", *(result.coverage for result in results)),
            ("valid pixels", *(result.valid_fraction for result in results)),
            ("label maps", *(result.num_pairs for result in results)),
        ]
        if self.incomplete is not None:  # a row: what stands below is a comment in LaTeX, and not in CSV
            summary.append(("INCOMPLETE", *(None for _ in results)))
        text = Table(columns, rows, tuple(summary), self._below()).render(format)
        return text if self.curve is None or format == "csv" else f"{text}\n{self.curve.table(format)}"

    def _below(self) -> tuple[str, ...]:
        stream, losses = self.streaming, self.losses
        lines = [*([] if self.incomplete is None else [f"INCOMPLETE: {self.incomplete}."]), *self.notes]
        lines.append(interval_note(self.flame))
        if stream is not None:
            lines.append(stream.note())
        if losses is not None:
            lines.append(
                f"Lost to latency {losses.to_latency:.4f} (static - FLAME), to throughput {losses.to_throughput:.4f} "
                "(FLAME - streaming)."
            )
        wrapped = [part for line in lines for part in textwrap.wrap(line, _WIDTH)]
        signatures = [self.flame.signature, *([] if stream is None else [stream.result.signature])]
        return (*wrapped, *(signature + (" | INCOMPLETE" if self.incomplete else "") for signature in signatures))

    def to_json(self) -> str:
        """Return all results as JSON text, without loss."""
        parts = {name: getattr(self, name) for name in (*_RESULTS, "streaming", "curve")}
        record = {
            "format": _FORMAT,
            **{name: None if part is None else part.to_dict() for name, part in parts.items()},
            "notes": list(self.notes),
            "incomplete": self.incomplete,
            "left_out": list(self.left_out),
            "names": None if self.names is None else dict(self.names),
        }
        return json.dumps(record, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Evaluation:
        """Read what :meth:`to_json` returned.

        Raises
        ------
        StateError
            If the text is not such a record, or its counts contradict each other.
        """
        record = load_record(text, _FORMAT, reader=cls.__name__)
        with reading(_FORMAT):
            static, persistence = (
                None if record[name] is None else FlameResult.from_dict(record[name])
                for name in ("static", "persistence")
            )
            streaming, curve, incomplete = record["streaming"], record["curve"], record.get("incomplete")
            evaluation = cls(
                static,
                FlameResult.from_dict(record["flame"]),
                persistence,
                tuple(str(note) for note in record["notes"]),
                None if streaming is None else Streaming.from_dict(streaming),
                None if curve is None else Curve.from_dict(curve),
                incomplete=None if incomplete is None else str(incomplete),
                left_out=tuple(str(name) for name in record.get("left_out", ())),
                names=record.get("names"),
            )
            if evaluation.names is not None:
                check_kind("names", evaluation.names, dict, "a table")
            evaluation._check_alike()
        return evaluation

    def _check_alike(self) -> None:
        """Refuse results that do not belong into one table: of other classes, or other labelled sequences."""
        curve = self.curve
        late = () if curve is None else (*curve.results, *curve.persistence)
        results = {**self.results, **{f"curve {number}": result for number, result in enumerate(late)}}
        wanted = _classes(self.flame)
        for name, result in results.items():
            if _classes(result) != wanted:
                raise StateError(f"the classes of {name} and FLAME differ, expected scores of the same label maps")
            if frames := _labelled(result) ^ _labelled(self.flame):
                sequences = shortened(repr(sequence) for sequence, _ in sorted(frames))
                raise StateError(
                    f"{name} and FLAME are of unlike sequences or labelled frames ({sequences}), expected scores of "
                    "the same label maps"
                )
            if result.mean_over != self.flame.mean_over:
                raise StateError(f"{name} and FLAME are means over unlike classes, expected the same for all")


def _classes(result: FlameResult) -> tuple[object, ...]:
    return result.config.num_classes, result.config.ignore_index, result.config.class_names


def _labelled(result: FlameResult) -> set[tuple[str, int]]:
    """Return the sequences that hold labels, each with how many label maps."""
    frames = result.tallies[:, 1].tolist()
    return {(name, number) for name, number in zip(result.sequences, frames, strict=True) if number}


def _column(name: str, result: FlameResult) -> str:
    return name if result.frame_offset is None else f"{name} k={result.frame_offset}"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of an evaluation, with what was finished until then.

    Attributes
    ----------
    evaluation : Evaluation
        Of the finished sequences; it says that it is incomplete.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        super().__init__(evaluation.incomplete or "")
        self.evaluation = evaluation
