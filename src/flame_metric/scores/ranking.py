"""Ranking: several networks scored on the same sequences, and what may be said of their order.

The order by FLAME need not be that without delay, and Kendall's tau says how far the two agree. A difference of two
scores is paired: both are resampled on the same sequences. Networks whose latencies share a frame offset k differ
only by their predictions, however unlike their latencies are; a faster camera would show more (section 3.4).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from flame_metric._version import __version__
from flame_metric.core.clock import separating_rates
from flame_metric.core.statistics import Comparison, compare, contributing, rank_correlation
from flame_metric.core.tables import Table, milliseconds_text, rate_text
from flame_metric.errors import ConfigError, shortened
from flame_metric.scores.result import FlameResult

__all__ = ["Contender", "Ranking", "rank"]

_FORMAT = "flame-metric ranking 1"


@dataclass(frozen=True)
class Contender:
    """One network's scores.

    Attributes
    ----------
    name : str
    flame : FlameResult
        At its own latency.
    static, streaming : FlameResult or None
        Without delay; on a stream.
    """

    name: str
    flame: FlameResult
    static: FlameResult | None = None
    streaming: FlameResult | None = None


@dataclass(frozen=True)
class Ranking:
    """Networks by FLAME, the best first; :func:`rank` makes it.

    Attributes
    ----------
    contenders : tuple of Contender
    """

    contenders: tuple[Contender, ...]

    @cached_property
    def comparisons(self) -> Mapping[tuple[str, str], Comparison | None]:
        """FLAME of the better minus that of the other, for each pair of names; None with fewer than two sequences."""
        return {
            (better.name, other.name): _compare(better.flame, other.flame)
            for better, other in itertools.combinations(self.contenders, 2)
        }

    @property
    def tau(self) -> float:
        """Kendall's tau of static score and FLAME; NaN if a static score is missing."""
        static = [one.static for one in self.contenders]
        if any(one is None for one in static):
            return math.nan
        return rank_correlation(
            [one.miou for one in static if one is not None], [one.flame.miou for one in self.contenders]
        )

    def table(self, format: str = "text") -> str:
        """Return the networks in their order: ``"text"``, ``"markdown"``, ``"latex"`` or ``"csv"``.

        Notes below it say what divides them.
        """
        columns = ("network", "FLAME", "95 % from", "95 % to", "static", "streaming", "k", "latency in ms")
        rows = []
        for one in self.contenders:
            interval, latency = one.flame.interval, one.flame.config.latency_ms
            ends = (None, None) if interval is None else (interval.low, interval.high)
            others = [None if result is None else result.miou for result in (one.static, one.streaming)]
            when = None if latency is None else f"{latency:.4g}"
            rows.append((one.name, one.flame.miou, *ends, *others, one.flame.frame_offset, when))
        return Table(columns, tuple(rows), notes=self.notes).render(format)

    def to_json(self) -> str:
        """Return order, scores and differences as JSON text."""
        record: dict[str, Any] = {
            "format": _FORMAT,
            "version": __version__,
            "order": [one.name for one in self.contenders],
            "flame": {one.name: one.flame.to_dict()["scores"] for one in self.contenders},
            "tau": None if math.isnan(self.tau) else self.tau,
            "differences": [
                {"better": better, "other": other, **({} if found is None else asdict(found))}
                for (better, other), found in self.comparisons.items()
            ],
            "notes": list(self.notes),
        }
        return json.dumps(record, indent=1)

    @property
    def notes(self) -> tuple[str, ...]:
        """What divides them, how sure that is, and which latencies share a frame offset."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        for (better, other), found in self.comparisons.items():
            if found is None:
                yield f"{better} - {other}: no interval, as that takes two sequences."
                continue
            interval = found.interval
            doubt = "" if found.is_clear else "; the order may be chance"
            yield (
                f"{better} - {other}: {found.difference:+.4f}, 95 % {interval.low:+.4f} to {interval.high:+.4f} over "
                f"the same {found.sequences} sequences{doubt}."
            )
        if not math.isnan(self.tau):
            yield f"Kendall's tau between the orders by static score and by FLAME: {self.tau:.2f}."
        yield from (f"{one.name}: {note}" for one in self.contenders for note in one.flame.notes)
        for first, second in itertools.combinations(self.contenders, 2):
            if note := _shared_offset(first, second):
                yield note


def rank(contenders: Sequence[Contender]) -> Ranking:
    r"""Rank networks by FLAME.

    Parameters
    ----------
    contenders : sequence of Contender
        Two or more, of different names, scored on the same labels.

    Raises
    ------
    ConfigError
        If they are fewer, share a name, or were scored on unlike sequences, classes, void labels or frame rates.

    Examples
    --------
    >>> from flame_metric import flame_score
    >>> video, options = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]], {"num_classes": 2, "fps": 30}
    >>> fast, slow = (flame_score(video, video, latency_ms=latency, **options) for latency in (0, 50))
    >>> print("\n".join(rank([Contender("slow", slow), Contender("fast", fast)]).table().splitlines()[2:4]))
    fast      1.0000                                              0               0
    slow      0.1667                                              2              50
    """
    if len(contenders) < 2:
        raise ConfigError(f"`contenders` holds {len(contenders)} network(s), expected two or more to compare")
    names = [one.name for one in contenders]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"`contenders` has two networks named {twice[0]!r}, expected different names")
    first = contenders[0]
    for one in contenders[1:]:
        _check_alike(first, one)
    ordered = sorted(contenders, key=lambda one: math.inf if math.isnan(one.flame.miou) else -one.flame.miou)
    return Ranking(tuple(ordered))


def _check_alike(one: Contender, other: Contender) -> None:
    only = sorted(set(one.flame.sequences) ^ set(other.flame.sequences))
    if only:
        raise ConfigError(
            f"{one.name} and {other.name} were not scored on the same sequences, as only one of them has "
            f"{shortened(only)}: expected results of the same data"
        )
    unknown = one.flame.config.fps is None  # a rate says how far frames are apart
    for name in ("num_classes", "ignore_index", "fps", "before_first", *(["every"] if unknown else [])):
        ours, theirs = (getattr(contender.flame.config, name) for contender in (one, other))
        if ours != theirs:
            raise ConfigError(
                f"{one.name} was scored with {name} {ours}, {other.name} with {theirs}: expected the same for all"
            )


def _compare(better: FlameResult, other: FlameResult) -> Comparison | None:
    either = contributing(better.counts + other.counts)
    return compare(better, other) if len(either) > 1 else None


def _shared_offset(one: Contender, other: Contender) -> str | None:
    """Say that FLAME cannot tell two latencies apart, and which camera could."""
    first, second = one.flame.config, other.flame.config
    if first.latency_ms is None or second.latency_ms is None or first.fps is None or first.fps != second.fps:
        return None
    rates = separating_rates(first.latency_ms, second.latency_ms, first.fps)
    if rates is None:
        return None
    above, up_to = (f"{float(rate):.4g}" for rate in rates)
    return (
        f"{one.name} ({milliseconds_text(first.latency_ms)}) and {other.name} ({milliseconds_text(second.latency_ms)}) "
        f"share k = {first.frame_offset} at {rate_text(first.fps)} fps: FLAME does not see that one is faster. Above "
        f"{above} fps, up to {up_to}, it would."
    )
