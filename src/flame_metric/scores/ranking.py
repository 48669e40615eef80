"""Ranking: several networks scored on the same sequences, and what may be said of their order.

The order by FLAME need not be that without delay, and Kendall's tau says how far the two agree. A difference of two
scores is paired: both are resampled on the same sequences. Networks whose latencies share a frame offset k differ
only by their predictions, however unlike their latencies are; a faster camera would show more (section 3.4).

Only scores of the same labels can be ranked. A result says how many pixels of each class its labels have in each
sequence: :func:`~flame_metric.scores.ranking.check_labels` compares them to the pixel, whoever compares two results.
Their means must be over the same classes too: where networks predict unlike classes that are labelled nowhere, the
mean over the labelled classes ranks them (:func:`~flame_metric.scores.ranking.choose_mean`).
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric._version import __version__
from flame_metric.core.checks import check_kind
from flame_metric.core.clock import separating_rates
from flame_metric.core.statistics import Comparison, Progress, compare_counts, contributing, part_of, rank_correlation
from flame_metric.core.tables import Table, milliseconds_text, rate_text
from flame_metric.errors import ConfigError, shortened
from flame_metric.scores.result import FlameResult, few_suffix, mean_text

__all__ = ["Contender", "Ranking", "check_labels", "choose_mean", "compare", "rank"]

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

    @property
    def results(self) -> tuple[FlameResult, ...]:
        """Those that are there."""
        return tuple(one for one in (self.flame, self.static, self.streaming) if one is not None)

    def average_over(self, mean_over: str) -> Contender:
        """Return the same counts with another mean."""
        flame, static, streaming = (
            None if one is None else one.average_over(mean_over) for one in (self.flame, self.static, self.streaming)
        )
        assert flame is not None
        return Contender(self.name, flame, static, streaming)


@dataclass(frozen=True)
class Ranking:
    """Networks by FLAME, the best first; :func:`rank` makes it.

    Attributes
    ----------
    contenders : tuple of Contender
    mean_note : str or None
        Which mean ranks them, where it is not the one that they came with, and why.
    """

    contenders: tuple[Contender, ...]
    mean_note: str | None = None

    @property
    def mean_over(self) -> str:
        """Over which classes the scores are means, as :attr:`FlameResult.mean_over`."""
        return self.contenders[0].flame.mean_over

    @cached_property
    def comparisons(self) -> Mapping[tuple[str, str], Comparison | None]:
        """FLAME of the better minus that of the other, for each pair of names; None with fewer than two sequences."""
        return {(better.name, other.name): _compare(better.flame, other.flame, None) for better, other in self._pairs}

    @property
    def _pairs(self) -> list[tuple[Contender, Contender]]:
        return list(itertools.combinations(self.contenders, 2))

    def draw_intervals(self, progress: Progress) -> None:
        """Find all intervals now, and say how far that is: ``progress`` is called with (resamples done, all)."""
        flames, pairs, found = [one.flame for one in self.contenders], self._pairs, {}
        of = len(flames) + len(pairs)
        for number, flame in enumerate(flames):
            flame.draw_interval(part_of(progress, number, of))
        for number, (better, other) in enumerate(pairs, len(flames)):
            found[better.name, other.name] = _compare(better.flame, other.flame, part_of(progress, number, of))
        self.__dict__["comparisons"] = found

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
        few = few_suffix(one.flame.interval for one in self.contenders)
        columns = ("network", "FLAME", f"95 % from{few}", f"95 % to{few}", "static", "streaming", "k", "latency in ms")
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
            "mean_over": self.mean_over,
            "tau": None if math.isnan(self.tau) else self.tau,
            "differences": [
                {
                    "better": better,
                    "other": other,
                    **({} if found is None else {**asdict(found), "warning": found.interval.warning}),
                }
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
        if self.mean_note is not None:
            yield self.mean_note
        for (better, other), found in self.comparisons.items():
            if found is None:
                yield f"{better} - {other}: no interval, as that takes two sequences."
                continue
            interval = found.interval
            doubt = "" if found.is_clear else "; the order may be chance"
            few = "" if interval.warning is None else f"; {interval.warning}"
            yield (
                f"{better} - {other}: {found.difference:+.4f}, 95 % {interval.low:+.4f} to {interval.high:+.4f} over "
                f"the same {found.sequences} sequences{few}{doubt}."
            )
        if not math.isnan(self.tau):
            yield f"Kendall's tau between the orders by static score and by FLAME: {self.tau:.2f}."
        yield from (f"{one.name}: {note}" for one in self.contenders for note in one.flame.notes)
        for first, second in itertools.combinations(self.contenders, 2):
            if note := _shared_offset(first, second):
                yield note


def rank(contenders: Sequence[Contender], *, mean_over: str | None = None) -> Ranking:
    r"""Rank networks by FLAME.

    Parameters
    ----------
    contenders : sequence of Contender
        Two or more, of different names, scored on the same labels (:func:`~flame_metric.scores.ranking.check_labels`).

    mean_over : {"present", "labelled", "all"}, optional
        Over which classes scores are means. Default: as they come; over the labelled classes where their means are over
        unlike numbers of classes, and a note says so.

    Raises
    ------
    ConfigError
        If they are fewer, share a name, or were scored on unlike labels, streams or frame rates.

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
    for one, other in itertools.combinations(contenders, 2):
        _check_alike(one, other)
    mean_over, note = _mean_of_all(contenders, mean_over)
    ranked = [one.average_over(mean_over) for one in contenders]
    ordered = sorted(ranked, key=lambda one: math.inf if math.isnan(one.flame.miou) else -one.flame.miou)
    return Ranking(tuple(ordered), note)


def compare(
    a: FlameResult,
    b: FlameResult,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Return the mean IoU of ``a`` minus that of ``b``, with the paired bootstrap interval over sequences.

    Both scores are computed anew on the same drawn sequences, so the interval is that of the difference: much narrower
    than the two intervals of the scores, as sequences that are hard for one network are hard for the other.

    Where the two means are over unlike numbers of classes, or of unlike kinds, the difference is that of the means over
    the labelled classes (``mean_over``).

    Parameters
    ----------
    a, b : FlameResult
        Of the same labels; latency, offset and hardware may differ.
    level : float
        Confidence, between 0 and 1.
    resamples : int
        Number of resamples, >= 1.
    seed : int
        Seed of the draws.

    Raises
    ------
    ConfigError
        If labels or streams differ (:func:`~flame_metric.scores.ranking.check_labels`),
        fewer than two sequences hold valid pixels, or an option is
        out of range.

    Examples
    --------
    >>> from flame_metric import flame_score, FlameMeter
    >>> better, worse = FlameMeter(2), FlameMeter(2)
    >>> for name in "abc":
    ...     better.update([[0, 1, 1]], [[0, 0, 1]], sequence=name)
    ...     worse.update([[1, 1, 1]], [[0, 0, 1]], sequence=name)
    >>> comparison = compare(better.compute(), worse.compute())
    >>> round(comparison.difference, 3), comparison.is_clear
    (0.333, True)
    """
    for name, one in (("a", a), ("b", b)):
        check_kind(name, one, FlameResult, "a FlameResult")
    check_labels(a, b)
    mean_over = choose_mean([a, b])
    a, b = a.average_over(mean_over), b.average_over(mean_over)
    return compare_counts(a, b, level=level, resamples=resamples, seed=seed)


def choose_mean(results: Sequence[FlameResult]) -> str:
    """Return the mean that may rank some results: the one they have, or that over labelled classes.

    The second where they have unlike ones, or means over unlike numbers of classes: there the mean over the classes
    that occur counts an IoU of 0 for a class that one of them predicts, and that is labelled nowhere.
    """
    kinds, numbers = ({getattr(one, name) for one in results} for name in ("mean_over", "classes_in_mean"))
    return results[0].mean_over if len(kinds) == len(numbers) == 1 else "labelled"


def _mean_of_all(contenders: Sequence[Contender], wanted: str | None) -> tuple[str, str | None]:
    """Return the mean that ranks networks, and a note where it is another than they came with, or still unlike."""
    by_score = zip(*((one.flame, one.static, one.streaming) for one in contenders), strict=True)
    chosen = {choose_mean(known) for score in by_score if (known := [one for one in score if one is not None])}
    mean_over = wanted or (chosen.pop() if len(chosen) == 1 else "labelled")
    came = [(one.name, one.flame.mean_over, one.flame.classes_in_mean) for one in contenders]
    now = [(one.name, mean_over, one.flame.average_over(mean_over).classes_in_mean) for one in contenders]
    unlike = len({number for _, _, number in now}) > 1
    if came == now and not unlike:
        return mean_over, None
    note = f"Ranked by the mean over {mean_text(mean_over)}: " + "; ".join(
        f"{name} came with a mean over {mean_text(kind, number)}" for name, kind, number in came
    )
    if unlike:
        numbers = ", ".join(f"{name} {number}" for name, _, number in now)
        why = "occur in unlike predictions" if mean_over == "present" else "are labelled where unlike latencies begin"
        note += f". These are not equally many ({numbers}), as some {why}"
    return mean_over, f"{note}."


# ── the same labels ──


def check_labels(one: FlameResult, other: FlameResult, *, names: tuple[str, str] = ("`a`", "`b`")) -> None:
    """Refuse to compare results of unlike labels: other sequences, classes, void, sizes, versions or frames.

    Where both have one frame offset, the labelled pixels of every class in every sequence must be equal. Otherwise, the
    label maps of a sequence must be equally many and equally large, and its pixels of a class may differ by no more
    than those of the label maps that only one of them was compared with. Two streams must be of one configuration.

    Parameters
    ----------
    one, other : FlameResult
    names : (str, str)
        What messages call them.

    Raises
    ------
    ConfigError
        If they differ, saying where, by how much, and what may be the cause.
    """
    _check_settings(one, other, names)
    if not (one.num_pairs and other.num_pairs):
        return  # a score of nothing is NaN: there is nothing to compare
    first, second = one.config, other.config
    if first.frame_offset is None and second.frame_offset is None:
        streams = [_LATENCIES.sub("", config.schedule or "schedule") for config in (first, second)]
        if streams[0] != streams[1]:
            raise ConfigError(
                f"{names[0]} was scored on another stream than {names[1]}, {streams[0]} / {streams[1]}: expected "
                "streams of one configuration"
            )
    difference = np.abs(one.counts[:, 2] - other.counts[:, 2])
    allowed: npt.NDArray[np.int64] | int = 0
    if first.frame_offset is None or first.frame_offset != second.frame_offset:
        (maps, frames, size), (other_maps, other_frames, other_size) = _maps_of(one), _maps_of(other)
        mixed = any(_MIXTURES.search(config.schedule or "") for config in (first, second))
        if not mixed and (frames != other_frames).any():
            row = int(np.argmax(frames != other_frames))
            raise ConfigError(
                f"{_of_unlike_labels(names)}: sequence {one.sequences[row]!r} has {frames[row]:,} labelled frames / "
                f"{other_frames[row]:,}. {_CAUSES['maps']}"
            )
        both = (maps > 0) & (other_maps > 0)
        if (unlike := both & (one.tallies[:, 3] * other_maps != other.tallies[:, 3] * maps)).any():
            row = int(np.argmax(unlike))
            raise ConfigError(
                f"{_of_unlike_labels(names)}: label maps of sequence {one.sequences[row]!r} have {size[row]:,} / "
                f"{other_size[row]:,} pixels. {_size_cause(size[row], other_size[row])}"
            )
        only_one, only_other = frames - other_maps, other_frames - maps  # label maps that the other may lack
        largest = np.maximum(size, other_size)
        more = one.counts[:, 2] > other.counts[:, 2]
        allowed = (
            difference if mixed else np.where(more, (only_one * largest)[:, None], (only_other * largest)[:, None])
        )
    excess = difference > allowed
    if excess.any():
        _raise_unlike(one, other, excess, names)


_LATENCIES = re.compile(r"(,| over) [\d,]+ latencies.*$")  # a trace is a network's own; how it is served is not
_MIXTURES = re.compile("^expected|phase-averaged$")  # weighted sums: their label maps are not counted once each
_CAUSES = {
    "maps": "Were frames left out, or are predictions missing? Expected results of the same frames",
    "classes": "Are classes merged, or in another order? Expected results of the same classes",
    "void": "Is another label void, or are the labels of another version? Expected results of the same labels",
    "version": "Are the labels of another version? Expected results of the same labels",
}


def _check_settings(one: FlameResult, other: FlameResult, names: tuple[str, str]) -> None:
    if only := sorted(set(one.sequences) ^ set(other.sequences)):
        raise ConfigError(
            f"{names[0]} and {names[1]} were not scored on the same sequences, as only one of them has "
            f"{shortened(only)}: expected results of the same data"
        )
    compared = ["num_classes", "ignore_index"]
    if one.config.frame_offset != 0 and other.config.frame_offset != 0:  # without delay nothing is before the first
        compared.append("before_first")
    if one.config.class_names is not None and other.config.class_names is not None:
        compared.append("class_names")
    for name in compared:
        ours, theirs = (getattr(result.config, name) for result in (one, other))
        if ours == theirs:
            continue
        if name == "class_names" and len(ours) == len(theirs):
            label = next(label for label, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1])
            order = " (the same names in another order)" if sorted(ours) == sorted(theirs) else ""
            raise ConfigError(
                f"{names[0]} calls class {label} {shortened([ours[label]])}, {names[1]} calls it "
                f"{shortened([theirs[label]])}{order}: expected results of the same classes"
            )
        raise ConfigError(
            f"{names[0]} was scored with {name} {ours}, {names[1]} with {theirs}: expected the same for all"
        )


def _maps_of(result: FlameResult) -> tuple[npt.NDArray[np.int64], ...]:
    """Return by sequence: label maps that were counted, labelled frames, and pixels of a map (0 without any)."""
    pairs, frames, _, pixels = result.tallies.T
    maps = frames if result.config.before_first == "void" and result.frame_offset != 0 else pairs
    return maps, frames, pixels // np.maximum(maps, 1)


def _of_unlike_labels(names: tuple[str, str]) -> str:
    return f"{names[0]} / {names[1]} were scored on unlike labels"


def _size_cause(size: int, other_size: int) -> str:
    small, large = sorted((int(size), int(other_size)))
    share = "half the pixels" if 2 * small == large else "a quarter of the pixels" if 4 * small == large else ""
    return f"{share.capitalize() or 'Other pixels'}: labels of another size? Expected results of the same labels"


def _raise_unlike(one: FlameResult, other: FlameResult, excess: npt.NDArray[np.bool_], names: tuple[str, str]) -> None:
    rows = np.flatnonzero(excess.any(axis=1))
    row = int(rows[0])
    label = int(np.argmax(excess[row]))
    ours, theirs = one.counts[row, 2], other.counts[row, 2]
    (maps, _, size), (other_maps, _, other_size) = _maps_of(one), _maps_of(other)
    (_, _, valid, pixels), (_, _, other_valid, other_pixels) = one.tallies[row], other.tallies[row]
    if one.frame_offset == other.frame_offset and maps[row] != other_maps[row]:
        cause = f"It has {maps[row]:,} label maps / {other_maps[row]:,}. {_CAUSES['maps']}"
    elif size[row] != other_size[row]:
        cause = _size_cause(size[row], other_size[row])
    elif pixels == other_pixels and valid != other_valid:
        cause = _CAUSES["void"]
    elif sorted(ours.tolist()) == sorted(theirs.tolist()) or ((ours > 0) != (theirs > 0)).any():
        cause = _CAUSES["classes"]
    else:
        cause = _CAUSES["version"]
    raise ConfigError(
        f"{_of_unlike_labels(names)}: in sequence {shortened([repr(one.sequences[row])])} class "
        f"{shortened([one.class_names[label]])} has {ours[label]:,} labelled pixels / {theirs[label]:,} "
        f"({len(rows):,} of {len(one.sequences):,} sequences differ). {cause}"
    )


def _check_alike(one: Contender, other: Contender) -> None:
    names = one.name, other.name
    first, second = one.flame.config, other.flame.config
    _check_settings(one.flame, other.flame, names)
    unknown = first.fps is None  # a rate says how far frames are apart
    for name in ("fps", "before_first", *(["every"] if unknown else [])):
        ours, theirs = getattr(first, name), getattr(second, name)
        if ours != theirs:
            raise ConfigError(
                f"{one.name} was scored with {name} {ours}, {other.name} with {theirs}: expected the same for all"
            )
    if one.static is not None and other.static is not None:  # of all labels, and the same at any latency
        check_labels(one.static, other.static, names=names)
    check_labels(one.flame, other.flame, names=names)
    if one.streaming is not None and other.streaming is not None:
        check_labels(one.streaming, other.streaming, names=names)


def _compare(better: FlameResult, other: FlameResult, progress: Progress | None) -> Comparison | None:
    either = contributing(better.counts + other.counts)
    return compare_counts(better, other, progress=progress) if len(either) > 1 else None


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
