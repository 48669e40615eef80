"""What an offset bank answers: the curve over offsets, the latency that a wanted score leaves, where score is lost.

The curve mIoU(k) falls as predictions grow older. What a stream loses against the static score has two parts: each
prediction is late (latency), and most are later still because frames are dropped or wait (throughput)::

    mIoU(0) - streaming = (mIoU(0) - FLAME) + (FLAME - streaming)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.tables import Cell, Table
from flame_metric.errors import StateError, shortened
from flame_metric.scores.result import FlameResult, few_suffix

__all__ = ["Budget", "Curve", "Losses"]


@dataclass(frozen=True)
class Curve:
    """Scores at every offset k = 0..K.

    Attributes
    ----------
    results : tuple of FlameResult
        For each k: counts, score, interval, coverage.
    persistence : tuple of FlameResult
        The same with the labels as predictions; empty if they were not counted.
    """

    results: tuple[FlameResult, ...]
    persistence: tuple[FlameResult, ...] = ()

    @property
    def miou(self) -> npt.NDArray[np.float64]:
        """Mean IoU at k = 0..K, (K + 1,)."""
        return np.array([result.miou for result in self.results])

    def table(self, format: str = "text") -> str:
        """Return one row for each offset: ``"text"``, ``"markdown"``, ``"latex"`` or ``"csv"``.

        The second column is the longest latency with that offset, where a frame rate is known. Offsets beyond the last
        one with a pair, such as those beyond the longest clip, have no row; a note says where they begin. Beside an
        interval over few sequences stands over how many.
        """
        first, counted = self.results[0], [number for number, one in enumerate(self.results) if one.num_pairs]
        columns = ("k", "up to ms", first.mean_title, "95 % from", "95 % to", "persistence", "coverage", "95 % is of")
        rows = []
        for offset, result in enumerate(self.results[: max(counted, default=0) + 1]):
            rate, interval = result.config.fps, result.interval
            latency: Cell = None if rate is None else f"{float(offset * 1000 / rate):.1f}"
            ends = (None, None) if interval is None else (interval.low, interval.high)
            late = self.persistence[offset].miou if self.persistence else None
            rows.append(
                (
                    str(offset),
                    latency,
                    result.miou,
                    *ends,
                    late,
                    result.coverage,
                    few_suffix([interval]).strip(" ()") or None,
                )
            )
        empty = {column for column, cells in enumerate(zip(*rows, strict=True)) if all(cell is None for cell in cells)}
        kept = [column for column in range(len(columns)) if column not in empty]
        picked = tuple(tuple(row[column] for column in kept) for row in rows)
        beyond = len(self.results) - len(rows)
        last = (
            f"No pair of frames is further apart than k = {len(rows) - 1}: the next {beyond} offset(s) have no score."
        )
        return Table(tuple(columns[column] for column in kept), picked, notes=(last,) if beyond else ()).render(format)

    def average_over(self, mean_over: str) -> Curve:
        """Return the same counts with another mean, as :meth:`FlameResult.average_over` has it."""
        results, late = (
            tuple(one.average_over(mean_over) for one in rows) for rows in (self.results, self.persistence)
        )
        return Curve(results, late)

    def to_dict(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        return {
            "results": [result.to_dict() for result in self.results],
            "persistence": [result.to_dict() for result in self.persistence],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Curve:
        """Read what :meth:`to_dict` returned.

        Raises
        ------
        StateError
            If a result is not that of its offset, or there is none, or not one of the labels for each.
        """
        results, late = (
            tuple(FlameResult.from_dict(one) for one in record[name]) for name in ("results", "persistence")
        )
        for rows in (results, late):
            offsets = [result.frame_offset for result in rows]
            if offsets != list(range(len(results))) and (offsets or rows is results):
                raise StateError(f"a curve holds the offsets {shortened(map(str, offsets))}, expected each from 0 on")
        if not results:
            raise StateError("a curve holds no offset, expected at least one")
        return cls(results, late)


@dataclass(frozen=True)
class Budget:
    """The latency that a wanted score leaves.

    Attributes
    ----------
    frame_offset : int
        The last offset before the curve first falls below the wanted score.
    latency_ms : float
        The longest latency with that offset: k frame intervals.
    is_whole_bank : bool
        The curve does not fall below it within the bank: the budget is at least this.
    """

    frame_offset: int
    latency_ms: float
    is_whole_bank: bool


@dataclass(frozen=True)
class Losses:
    """Where the score of a network goes on a stream.

    Attributes
    ----------
    static, flame, streaming : FlameResult
        Without delay; at the fixed offset of the (median) latency; on the stream.
    persistence : Losses or None
        The same with the labels as predictions: what a perfect network would lose.
    """

    static: FlameResult
    flame: FlameResult
    streaming: FlameResult
    persistence: Losses | None = None

    @property
    def to_latency(self) -> float:
        """What the delay of each prediction costs: static minus FLAME."""
        return self.static.miou - self.flame.miou

    @property
    def to_throughput(self) -> float:
        """What frames cost that are dropped or wait: FLAME minus streaming."""
        return self.flame.miou - self.streaming.miou
