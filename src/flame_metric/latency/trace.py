"""LatencyTrace: the measured latencies of a network, as an immutable record.

A stream needs more than one number: latency jitters, and a single slow call delays the frames behind it. A trace keeps
every sample, in integer nanoseconds and in the order of time; what happened while caches and clocks warmed up stays
apart. FLAME's l (Eq. 5) is the *median* of a trace.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from flame_metric.core.checks import check_choice, check_id, check_integer, check_kind, items, of_sequence
from flame_metric.core.clock import MAX_NS, Milliseconds, exact_fraction, milliseconds_to_ns
from flame_metric.core.files import JsonRecord, load_record, numbers_from_csv, read_text, reading
from flame_metric.core.statistics import upper_bound_rank
from flame_metric.errors import ConfigError, DatasetError, FlameError, StateError, cut, shortened

__all__ = ["LatencyTrace", "as_trace"]

REPLAYS = ("call", "frame", "random")
_NOTHING = object()  # an entry may be None

PROVENANCE = "provenance"
"""The key of what is true of one run only: a list in the metadata, with an entry for each run."""

_FORMAT = "flame-metric latency trace 1"
_CSV_COLUMN = "latency_ms"
_SCALED = "scaled"  # the entry of the metadata that tells what was done to the samples


@dataclass(frozen=True, init=False)
class LatencyTrace(JsonRecord):
    """Latencies of single inferences: from having a frame to having its label map.

    Parameters
    ----------
    samples_ms : iterable of float
        Milliseconds, each >= 0, in the order in which they were measured; at least one.
    replay : {"call", "frame", "random"}
        How a simulated stream uses them: sample n for the n-th inference that is started; sample i for frame i; or
        drawn with replacement for each call.
    warmup_ms : iterable of float
        Samples from before the network was warm. They are kept, and used nowhere.
    metadata : mapping of str to JSON values, optional
        Device, versions, input shape: whatever makes two runs comparable. Traces that differ in it do not merge. A list
        under ``"provenance"`` is not compared: it has an entry for each run, such as the time of day, and a merged
        trace has all of them. :meth:`scaled` adds the factor to the entry ``"scaled"``.

    Attributes
    ----------
    samples_ns, warmup_ns : tuple of int
        The same in nanoseconds.

    Raises
    ------
    ConfigError
        If a sample is negative, NaN, infinite or above 1e12, there is none, or the replay is another.

    Examples
    --------
    >>> trace = LatencyTrace([70, 76, 82, 90], metadata={"device": "GTX 1080 Ti"})
    >>> trace.median_ms, trace.percentile_ms(100), trace.scaled("1/2").median_ms
    (79.0, 90.0, 39.5)
    """

    samples_ns: tuple[int, ...] = field(repr=False)
    replay: str
    warmup_ns: tuple[int, ...] = field(repr=False)
    metadata: Mapping[str, Any]

    def __init__(
        self,
        samples_ms: Iterable[Milliseconds],
        *,
        replay: str = "call",
        warmup_ms: Iterable[Milliseconds] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        given = {"samples_ms": samples_ms, "warmup_ms": warmup_ms}
        samples, warmup = (
            tuple(milliseconds_to_ns(one, name) for one in items(name, many, "latencies in milliseconds"))
            for name, many in given.items()
        )
        self._set(samples, replay, warmup, metadata)

    def _set(
        self, samples: tuple[int, ...], replay: str, warmup: tuple[int, ...], metadata: Mapping[str, Any] | None
    ) -> None:
        if not samples:
            raise ConfigError("`samples_ms` is empty, expected at least one latency")
        check_choice("replay", replay, REPLAYS)
        metadata = {} if metadata is None else metadata
        check_kind("metadata", metadata, Mapping, "a mapping from names to JSON values")
        try:
            copied = json.loads(json.dumps(dict(metadata), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"`metadata` holds what JSON does not know: {error}") from error
        object.__setattr__(self, "samples_ns", samples)
        object.__setattr__(self, "replay", replay)
        object.__setattr__(self, "warmup_ns", warmup)
        object.__setattr__(self, "metadata", MappingProxyType(copied))

    @classmethod
    def from_ns(
        cls, samples_ns: Iterable[int], *, replay: str = "call", warmup_ns: Iterable[int] = (), metadata: Any = None
    ) -> LatencyTrace:
        """Build a trace from integer nanoseconds, 0..1e18, without rounding."""
        given = {"samples_ns": samples_ns, "warmup_ns": warmup_ns}
        samples, warmup = (
            tuple(check_integer(name, one, 0, most=MAX_NS) for one in items(name, many, "whole nanoseconds"))
            for name, many in given.items()
        )
        trace = cls.__new__(cls)
        trace._set(samples, replay, warmup, metadata)
        return trace

    def __len__(self) -> int:
        return len(self.samples_ns)

    def __reduce__(self) -> tuple[Any, ...]:
        """Make copies and pickles through JSON: a view of a mapping does not travel."""
        return LatencyTrace.from_json, (self.to_json(),)

    __hash__ = None  # type: ignore[assignment]  # metadata is a mapping

    # ── numbers ──

    @property
    def median_ms(self) -> float:
        """The median sample; between the two middle ones of an even number."""
        return float(self.median_ns / 1_000_000)

    @property
    def median_ns(self) -> Fraction:
        """The median in nanoseconds, exact."""
        ordered, middle = sorted(self.samples_ns), len(self.samples_ns) // 2
        return Fraction(ordered[middle] + ordered[-middle - 1], 2)

    @property
    def mean_ns(self) -> Fraction:
        """The mean in nanoseconds, exact. It hides spikes: nothing is scored with it."""
        return Fraction(sum(self.samples_ns), len(self.samples_ns))

    def percentile_ms(self, percent: float) -> float:
        """Return the smallest sample that at least ``percent`` % of the samples do not exceed (nearest rank).

        Raises
        ------
        ConfigError
            If ``percent`` is not above 0 and at most 100.
        """
        share = self._share(percent)
        rank = max(1, -(-share.numerator * len(self) // share.denominator))
        return sorted(self.samples_ns)[rank - 1] / 1_000_000

    def upper_bound_ms(self, percent: float, *, confidence: float = 0.99) -> float:
        """Return a latency that the percentile does not exceed, with the given confidence.

        The bound is the (n - t + 1)-th smallest of n samples, t the largest number with
        P(Binomial(n, 1 - p) <= t) <= 1 - confidence (early stopping of MLPerf's LoadGen).

        Raises
        ------
        ConfigError
            If there are too few samples for such a bound; the message says how many it takes.
        """
        certain = exact_fraction("confidence", confidence, "a number between 0 and 1", text=False)
        rank = upper_bound_rank(len(self), float(self._share(percent)), float(certain))
        return sorted(self.samples_ns)[rank - 1] / 1_000_000

    @staticmethod
    def _share(percent: float) -> Fraction:
        expected = "a number above 0 and at most 100"
        exact = exact_fraction("percent", percent, expected, text=False)
        if not 0 < exact <= 100:
            raise ConfigError(f"`percent` is {percent}, expected {expected}")
        return exact / 100

    # ── other traces ──

    def scaled(self, factor: float | Fraction | str) -> LatencyTrace:
        """Return the trace of a device that takes ``factor`` times as long: 0.5 is twice as fast.

        Raises
        ------
        ConfigError
            If the factor is not above 0, or makes a latency longer than 1e12 ms.
        """
        exact = exact_fraction("factor", factor)
        if exact <= 0:
            raise ConfigError(f"`factor` is {factor}, expected a number above 0")
        samples, warmup = (tuple(round(one * exact) for one in many) for many in (self.samples_ns, self.warmup_ns))
        if max((*samples, *warmup)) > MAX_NS:
            raise ConfigError(
                f"`factor` is {factor}, expected one that leaves latencies of at most {MAX_NS / 1e6:g} ms"
            )
        before = [str(self.metadata[_SCALED])] if _SCALED in self.metadata else []
        metadata = {**self.metadata, _SCALED: ", then ".join([*before, str(exact)])}
        return LatencyTrace.from_ns(samples, replay=self.replay, warmup_ns=warmup, metadata=metadata)

    def replayed(self, replay: str) -> LatencyTrace:
        """Return the same samples, to be replayed ``"call"``, ``"frame"`` or ``"random"``."""
        return LatencyTrace.from_ns(self.samples_ns, replay=replay, warmup_ns=self.warmup_ns, metadata=self.metadata)

    def merge(self, other: LatencyTrace) -> LatencyTrace:
        """Return the samples of two like runs, one after the other.

        Raises
        ------
        StateError
            If the runs differ in replay or metadata, provenance apart: their samples do not describe one thing.
        """
        if not isinstance(other, LatencyTrace):
            raise StateError(f"`other` is {type(other).__name__}, expected a LatencyTrace")
        metadata, names = dict(self.metadata), {*self.metadata, *other.metadata}
        runs = [trace.metadata.get(PROVENANCE, []) for trace in (self, other)]
        if PROVENANCE in names and all(isinstance(run, list) for run in runs):
            metadata[PROVENANCE] = runs[0] + runs[1]
            names.remove(PROVENANCE)
        mine, theirs = self.metadata, other.metadata
        unlike = [name for name in sorted(names) if mine.get(name, _NOTHING) != theirs.get(name, _NOTHING)]
        differences = [
            f"{cut(name, 40)}: {_short(mine.get(name, 'missing'))} / {_short(theirs.get(name, 'missing'))}"
            for name in unlike
        ]
        if self.replay != other.replay:
            differences.append(f"replay: {self.replay} / {other.replay}")
        if differences:
            raise StateError(f"latency traces of unlike runs cannot merge: {shortened(differences, separator='; ')}")
        return LatencyTrace.from_ns(
            self.samples_ns + other.samples_ns,
            replay=self.replay,
            warmup_ns=self.warmup_ns + other.warmup_ns,
            metadata=metadata,
        )

    def latencies(self, seed: int = 0, sequence: str = "") -> Callable[[int, int], int]:
        """Return the latency in nanoseconds as a function of (call, frame), both counted from 0.

        Random draws are seeded by (seed, sequence), so that sequences differ and a run can be repeated.

        Raises
        ------
        ConfigError
            If the seed is not a whole number >= 0, or the sequence's id no text; and, from the function, if the trace
            ends before.
        """
        seed = check_integer("seed", seed, 0)
        check_id(sequence)
        samples, replay = self.samples_ns, self.replay
        of = of_sequence(sequence)
        if replay == "random":
            draw = random.Random(f"{seed}/{sequence}")
            return lambda _call, _frame: samples[draw.randrange(len(samples))]

        def replayed(call: int, frame: int) -> int:
            index = call if replay == "call" else frame
            if index >= len(samples):
                raise ConfigError(
                    f"`latency` is a trace of {len(samples)} samples, but the stream{of} reaches {replay} "
                    f"{index}, expected a sample for each, or a random replay (replay='random', --replay random)"
                )
            return samples[index]

        return replayed

    # ── on disk ──

    def to_json(self) -> str:
        """Return the trace as JSON text, without loss."""
        record = {
            "format": _FORMAT,
            "replay": self.replay,
            "metadata": dict(self.metadata),
            "warmup_ns": list(self.warmup_ns),
            "samples_ns": list(self.samples_ns),
        }
        return json.dumps(record)

    @classmethod
    def from_json(cls, text: str) -> LatencyTrace:
        """Read what :meth:`to_json` returned.

        Raises
        ------
        StateError
            If the text is not such a trace.
        """
        record = load_record(text, _FORMAT, reader=cls.__name__)
        with reading(_FORMAT):
            return cls.from_ns(
                record["samples_ns"],
                replay=record["replay"],
                warmup_ns=record["warmup_ns"],
                metadata=dict(record["metadata"]),
            )

    def to_csv(self) -> str:
        """Return only the samples, one a line below the heading ``latency_ms``."""
        return "\n".join([_CSV_COLUMN, *(f"{Decimal(sample).scaleb(-6):f}" for sample in self.samples_ns)]) + "\n"

    @classmethod
    def from_csv(cls, text: str, **options: Any) -> LatencyTrace:
        """Read samples in milliseconds from a column ``latency_ms``; other columns are passed over.

        Raises
        ------
        ConfigError
            If there is no such column, or an entry is not a latency.
        """
        return cls(numbers_from_csv(text, _CSV_COLUMN, reader=cls.__name__), **options)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LatencyTrace:
        """Read the file of a trace: JSON, as :meth:`save` writes it, or a CSV with a column ``latency_ms``.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        ConfigError
            If ``path`` is not the name of a file.
        DatasetError
            If the file cannot be read or holds no trace.
        """
        text = read_text(path, encoding="utf-8-sig")  # spreadsheets begin a CSV with a byte order mark
        try:
            return cls.from_json(text) if text.lstrip()[:1] == "{" else cls.from_csv(text)
        except FlameError as error:
            raise DatasetError(f"{path}: {error}", path=path) from error


def _short(value: object) -> str:
    return cut(str(value), 60)


def as_trace(latency: Milliseconds | LatencyTrace) -> LatencyTrace:
    """Return a trace as it is, and a constant latency in milliseconds as the trace of its one sample.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    if isinstance(latency, LatencyTrace):
        return latency
    return LatencyTrace.from_ns([milliseconds_to_ns(latency, "latency")], replay="random")
