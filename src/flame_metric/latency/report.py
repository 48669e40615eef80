"""What a latency trace says: the median with its interval, upper bounds of the tail, and what casts doubt on them.

- FLAME's l is the median. Its interval comes from a bootstrap over blocks of time
  (:mod:`flame_metric.core.statistics`).
- p90 and p99 are upper bounds that hold with a confidence, not sample quantiles; where there are too few samples for
  one, the report says how many it takes.
- Drift: the medians of the two halves differ by more than 3 %. Outliers: samples above the median by more than 5 times
  the median absolute deviation. They are counted, never dropped.
- k (Eq. 5) of the median, and of every single sample. Where the interval of the median reaches across a multiple of the
  frame interval, another measurement may give another k, and so another score.
"""

from __future__ import annotations

import json
import statistics
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from flame_metric.core.clock import Fps, as_fps, frame_offset, offset_of_ns, unit_notes
from flame_metric.core.statistics import FEWEST, Interval, block_length, fewest_samples, median_interval
from flame_metric.core.tables import Cell, Table, milliseconds_text, rate_text
from flame_metric.errors import ConfigError
from flame_metric.latency.trace import PROVENANCE, LatencyTrace

__all__ = ["LatencyReport", "latency_report"]

_NS_PER_MS = 1_000_000
_DRIFT = 0.03
_DEVIATIONS = 5
_CONFIDENCE = 0.99
_PERCENTS = (90, 99)
_WIDTH = 98
_FORMAT = "flame-metric latency report 1"


@dataclass(frozen=True)
class LatencyReport:
    """What a trace says. Milliseconds throughout.

    Attributes
    ----------
    trace : LatencyTrace
    fps : Fraction or None
        Frame rate at which k is given.
    interval : Interval or None
        Of the median, in milliseconds; None for fewer than 10 samples.
    block_length : int or None
        Samples in a block of the bootstrap.
    """

    trace: LatencyTrace
    fps: Fraction | None
    interval: Interval | None
    block_length: int | None

    @property
    def median_ms(self) -> float:
        """FLAME's l."""
        return self.trace.median_ms

    def upper_bound_ms(self, percent: float) -> float | None:
        """Return a latency that the percentile does not exceed, with 99 % confidence; None if samples are too few."""
        try:
            return self.trace.upper_bound_ms(percent, confidence=_CONFIDENCE)
        except ConfigError:
            return None

    @property
    def drift(self) -> float:
        """By which part the median of the second half lies above that of the first (below: negative)."""
        samples, half = self.trace.samples_ns, len(self.trace) // 2
        first = statistics.median(samples[:half]) if half else 0
        return (statistics.median(samples[-half:]) - first) / first if first else 0.0

    @property
    def outlier_limit_ms(self) -> float:
        """Median + 5 times the median absolute deviation."""
        median = self.trace.median_ns
        deviation = statistics.median(abs(sample - median) for sample in self.trace.samples_ns)
        return float((median + _DEVIATIONS * deviation) / _NS_PER_MS)

    @property
    def outliers(self) -> tuple[int, ...]:
        """Numbers of the samples above that limit, from 0."""
        limit = self.outlier_limit_ms
        return tuple(index for index, sample in enumerate(self.trace.samples_ns) if sample / _NS_PER_MS > limit)

    @property
    def frame_offset(self) -> int | None:
        """K of the median."""
        return self._offset(self.median_ms)

    @property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Each k that single samples have, with the number of samples, in ascending order; empty without a rate."""
        if self.fps is None:
            return ()
        return tuple(sorted(Counter(offset_of_ns(sample, self.fps) for sample in self.trace.samples_ns).items()))

    @property
    def offset_is_certain(self) -> bool:
        """Whether both ends of the interval give one k; without interval or rate, True."""
        return self.interval is None or self._offset(self.interval.low) == self._offset(self.interval.high)

    @property
    def device_median_ms(self) -> float | None:
        """Median by the device's own clock; None if it was not taken of all samples, or the trace is a scaled one."""
        samples = [sample for run in self._runs() for sample in run.get("device_ns", ())]
        if len(samples) != len(self.trace) or "scaled" in self.trace.metadata:
            return None
        return float(statistics.median(samples) / _NS_PER_MS)

    # ── for people and for programs ──

    def table(self, format: str = "text") -> str:
        """Return the report as ``"text"``, ``"markdown"``, ``"latex"`` or ``"csv"``.

        Raises
        ------
        ConfigError
            If the format is another.
        """
        rows: list[tuple[str, float | None]] = [("median", self.median_ms)]
        if self.interval is not None:
            ends = (("from", self.interval.low), ("to", self.interval.high))
            rows += [(f"median, {100 * self.interval.level:.4g} % {side}", end) for side, end in ends]
        rows += [
            (f"p{percent} at most ({_CONFIDENCE:.0%} sure)", self.upper_bound_ms(percent)) for percent in _PERCENTS
        ]
        rows += [("smallest", self.trace.percentile_ms(1e-9)), ("largest", self.trace.percentile_ms(100))]
        if self.device_median_ms is not None:
            rows.append(("median on the device", self.device_median_ms))
        width = _WIDTH if format == "text" else sys.maxsize
        notes = tuple(line for note in self._notes() for line in textwrap.wrap(note, width))
        if self.fps is None:
            return Table(("latency", "ms"), tuple(rows), notes=notes).render(format)
        with_k: list[tuple[Cell, ...]] = [(*row, None if row[1] is None else self._offset(row[1])) for row in rows]
        return Table(("latency", "ms", "k"), tuple(with_k), notes=notes).render(format)

    def _notes(self) -> Iterator[str]:
        yield self._about()
        for percent in _PERCENTS:
            if self.upper_bound_ms(percent) is None:
                fewest = fewest_samples(percent / 100, _CONFIDENCE)
                yield f"An upper bound of p{percent} takes {fewest} samples."
        if self.fps is not None:
            shares = (f"k = {k}: {number} ({number / len(self.trace):.1%})" for k, number in self.offsets)
            yield f"Single samples at {rate_text(self.fps)} fps: {', '.join(shares)}."
        if self.outliers:
            limit = milliseconds_text(self.outlier_limit_ms)
            yield f"Outliers: {len(self.outliers)} above {limit} (median + {_DEVIATIONS} MAD), kept."
        yield from (f"Warning: {warning}" for warning in self.warnings)

    def _about(self) -> str:
        about = f"{len(self.trace)} samples after {len(self.trace.warmup_ns)} of warm-up"
        inputs = self.trace.metadata.get("inputs")
        kinds = inputs.get("kinds") if isinstance(inputs, dict) else None
        device = self.trace.metadata.get("device")
        where = self.trace.metadata.get("processor") if device in (None, "cpu") else device
        known = [text for text in (self.trace.metadata.get("boundary"), where) if isinstance(text, str)]
        return " | ".join([about, *known, *(map(str, kinds) if isinstance(kinds, list) else ())])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What casts doubt on the median, as sentences."""
        found = list(unit_notes(self.trace.median_ns / _NS_PER_MS, self.fps))
        if not self.offset_is_certain and self.interval is not None:
            low, high = self._offset(self.interval.low), self._offset(self.interval.high)
            found.append(
                f"the interval of the median reaches from k = {low} to k = {high}: take more samples or score both."
            )
        if abs(self.drift) > _DRIFT:
            found.append(f"the second half is {abs(self.drift):.1%} {'slower' if self.drift > 0 else 'faster'}: drift.")
        for run in self._runs():
            if run.get("warmup_calls") and not run.get("warmup_settled"):
                found.append(f"the warm-up of {run['warmup_calls']} calls ended before the latency had settled.")
            if run.get("samples") != run.get("samples_wanted"):
                found.append(f"{run.get('samples')} of {run.get('samples_wanted')} samples: the time limit came first.")
        return tuple(found)

    def _runs(self) -> list[dict[str, Any]]:
        runs = self.trace.metadata.get(PROVENANCE)
        return [run for run in runs if isinstance(run, dict)] if isinstance(runs, list) else []

    def to_json(self) -> str:
        """Return all numbers, and the trace, as JSON text."""
        record: dict[str, Any] = {
            "format": _FORMAT,
            "median_ms": self.median_ms,
            "interval": None if self.interval is None else asdict(self.interval),
            "block_length": self.block_length,
            "upper_bounds_ms": {f"p{percent}": self.upper_bound_ms(percent) for percent in _PERCENTS},
            "drift": self.drift,
            "outlier_limit_ms": self.outlier_limit_ms,
            "outliers": self.outliers,
            "fps": None if self.fps is None else str(self.fps),
            "frame_offset": self.frame_offset,
            "offsets": self.offsets,
            "device_median_ms": self.device_median_ms,
            "warnings": self.warnings,
            "trace": json.loads(self.trace.to_json()),
        }
        return json.dumps(record)

    def _offset(self, latency_ms: float) -> int | None:
        return None if self.fps is None else frame_offset(latency_ms, self.fps)


def latency_report(
    trace: LatencyTrace, *, fps: Fps | None = None, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> LatencyReport:
    """Look at a trace: median with interval, bounds of the tail, drift, outliers, k.

    Parameters
    ----------
    trace : LatencyTrace
    fps : number or text, optional
        Frame rate for k.
    level, resamples, seed
        Confidence of the interval of the median, resamples and seed of its bootstrap.

    Raises
    ------
    ConfigError
        If an option is out of range.

    Examples
    --------
    >>> report = latency_report(LatencyTrace([70, 71, 70, 72, 71, 70, 95, 71, 72, 70, 71, 71]), fps=15)
    >>> print(report.table(), end="")
    latency                       ms   k
    ------------------------------------
    median                   71.0000   2
    median, 95 % from        71.0000   2
    median, 95 % to          71.5000   2
    p90 at most (99% sure)
    p99 at most (99% sure)
    smallest                 70.0000   2
    largest                  95.0000   2
    <BLANKLINE>
    12 samples after 0 of warm-up
    An upper bound of p90 takes 64 samples.
    An upper bound of p99 takes 662 samples.
    Single samples at 15 fps: k = 2: 12 (100.0%).
    Outliers: 1 above 76.0 ms (median + 5 MAD), kept.
    """
    rate = None if fps is None else as_fps(fps)
    samples_ms = [sample / _NS_PER_MS for sample in trace.samples_ns]
    length = block_length(samples_ms) if len(trace) >= FEWEST else None
    interval = None
    if length is not None:
        interval = median_interval(samples_ms, level=level, resamples=resamples, seed=seed, length=length)
    return LatencyReport(trace, rate, interval, length)
