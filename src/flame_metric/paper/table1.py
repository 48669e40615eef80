"""Table 1: each network under the three trainings of the paper, scored without delay and at its own latency.

For a network with the frame offset k (Eq. 5) these are

1. from I_t to S_t, as usual: its static score, and its FLAME;
2. from I_t to S_{t+k}: it learns what will be there when it is done;
3. from I_{t-1} and I_t to S_{t+k}: it can see how fast things move, too.

To the paper's table come what it could not give: an interval for each score, the score on a stream of one worker, what
perfect label maps would be worth so late (persistence), and paired differences of the trainings on the same videos.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import Any

from flame_metric._version import __version__
from flame_metric.core.clock import frame_offset
from flame_metric.core.statistics import Comparison, contributing, few_sequences
from flame_metric.core.tables import Cell, Table
from flame_metric.errors import ConfigError
from flame_metric.paper.experiment import Experiment, Run, Variant
from flame_metric.paper.interrupts import Stopped
from flame_metric.paper.published import PaperNetwork, paper_table
from flame_metric.scores.ranking import choose_mean, compare
from flame_metric.scores.result import FlameResult

__all__ = ["Column", "Difference", "Table1", "make_table1"]

NOW, FUTURE, TWO_FRAMES = "now", "future", "future-two-frames"
"""Names of the three trainings."""

_FORMAT = "flame-metric table 1"
_ROWS = (  # training, how the row is called, which score, and the paper's
    (NOW, "I_t -> S_t: static mIoU", "static", "static"),
    (NOW, "I_t -> S_t: FLAME", "flame", "flame"),
    (FUTURE, "I_t -> S_t+k: FLAME", "flame", "flame_future"),
    (TWO_FRAMES, "I_t-1, I_t -> S_t+k: FLAME", "flame", "flame_two_frames"),
)
_TITLES = {NOW: "I_t -> S_t", FUTURE: "I_t -> S_t+k", TWO_FRAMES: "I_t-1, I_t -> S_t+k"}
_COST, _REGAINED, _ADDED = "FLAME - static, trained on S_t", "training on S_t+k", "a second frame"
_MISSING = "-"  # where a training was not finished


@dataclass(frozen=True)
class Difference:
    """By how much one training's FLAME exceeds another's.

    Attributes
    ----------
    what : str
    comparison : Comparison or None
        None with fewer than two test videos.
    difference : float
    paper : float
        The same difference in the paper's Table 1.
    """

    what: str
    comparison: Comparison | None
    difference: float
    paper: float

    def to_dict(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        return {**asdict(self), "difference": None if math.isnan(self.difference) else self.difference}


@dataclass(frozen=True)
class Column:
    """One network.

    Attributes
    ----------
    network : str
    latency_ms : float
    frame_offset : int
        k that follows from it.
    runs : Mapping of str to Run
        By the name of the training. Those that are not there were not finished.
    """

    network: str
    latency_ms: float
    frame_offset: int
    runs: Mapping[str, Run]

    @property
    def paper(self) -> PaperNetwork:
        """The network's column in the paper."""
        return paper_table().networks[self.network]

    @cached_property
    def differences(self) -> tuple[Difference, ...]:
        """What the delay costs, what training on the future regains, and what the second frame adds.

        Those of trainings that are not there are left out.
        """
        paper = self.paper
        steps = (
            (_COST, self.score(NOW, "flame"), self.score(NOW, "static"), paper.flame - paper.static),
            (_REGAINED, self.score(FUTURE, "flame"), self.score(NOW, "flame"), paper.flame_future - paper.flame),
            (
                _ADDED,
                self.score(TWO_FRAMES, "flame"),
                self.score(FUTURE, "flame"),
                paper.flame_two_frames - paper.flame_future,
            ),
        )
        return tuple(
            _difference(what, new, old, printed)
            for what, new, old, printed in steps
            if new is not None and old is not None
        )

    def score(self, training: str, name: str) -> FlameResult | None:
        """Return the score "static", "flame" or "streaming" of a training; None if that is not there."""
        run = self.runs.get(training)
        found: FlameResult | None = None if run is None else getattr(run.losses, name)
        return found


@dataclass(frozen=True)
class Table1:
    """Table 1 of an experiment.

    Attributes
    ----------
    columns : tuple of Column
    about : Mapping of str to anything JSON knows
        Data, recipes, seed, latencies' origin, and where it was computed.
    """

    columns: tuple[Column, ...]
    about: Mapping[str, Any]

    @property
    def incomplete(self) -> str | None:
        """What is missing because the experiment was stopped; None if nothing is."""
        finished, all_of_them = sum(len(column.runs) for column in self.columns), len(self.columns) * len(_TITLES)
        return None if finished == all_of_them else f"{finished} of {all_of_them} trainings are finished and scored"

    def table(self, format: str = "text") -> str:
        """Return the table in the paper's shape, each network beside the paper's numbers."""
        heads = ["trained on: score"]
        rows: list[list[Cell]] = [[title] for _, title, _, _ in _ROWS]
        tail: list[list[Cell]] = [["frame offset k"], ["latency in ms"], ["frames per second of the network"]]
        for column in self.columns:
            heads += [column.paper.name, "paper"]
            for row, (training, _, score, printed) in zip(rows, _ROWS, strict=True):
                found = column.score(training, score)
                row += [_MISSING if found is None else found.miou, _printed(getattr(column.paper, printed))]
            tail[0] += [column.frame_offset, column.paper.frame_offset]
            tail[1] += [f"{column.latency_ms:.4g}", f"{column.paper.latency_ms:g}"]
            tail[2] += [_rate(column.latency_ms), f"{column.paper.fps:g}"]
        paper = paper_table()
        notes = (
            *self._incomplete,
            "Mean IoU; in the first row of what is seen (S_t), in the others of what is there k frames later (S_t+k).",
            f"The paper's numbers are of {paper.dataset}, a frame every {paper.frame_interval_ms:g} ms, with latencies "
            f"of a {paper.device}: other data have other scores, so compare the order.",
            *self.about.get("latency_notes", ()),
        )
        return Table(tuple(heads), _frozen(rows), _frozen(tail), notes).render(format)

    def details(self, format: str = "text") -> str:
        """Return a row for each network and training: its scores and what persistence scores, with intervals."""
        columns = ("network, trained on", "static", "FLAME", "streaming", "persistence")
        rows: list[list[Cell]] = []
        for column in self.columns:
            for name, title in _TITLES.items():
                row: list[Cell] = [f"{column.paper.name}, {title}{self._few if name in column.runs else ''}"]
                if name in column.runs:
                    losses = column.runs[name].losses
                    late = None if losses.persistence is None else _with_interval(losses.persistence.flame)
                    row += [*map(_with_interval, (losses.static, losses.flame, losses.streaming)), late]
                else:
                    row += [_MISSING] * (len(columns) - 1)
                rows.append(row)
        notes = (
            *self._incomplete,
            "Streaming: one worker that drops the frames it cannot take; where clips have one label, the mean over the "
            "moments at which it may have begun.",
            "Persistence: perfect label maps as late as FLAME's; it needs videos that are labelled throughout.",
            f"In brackets: 95 %, bootstrap over {self._videos} test videos{_few(self._videos)}; another seed may "
            "change more."
            if self._videos > 1
            else "No intervals: they need two or more test videos.",
        )
        return Table(columns, _frozen(rows), notes=notes).render(format)

    def differences(self, format: str = "text") -> str:
        """Return what each step of the paper changes, on the same test videos, with paired intervals."""
        few = self._few
        columns = ("network: change of FLAME by", "here", f"95 % from{few}", f"95 % to{few}", "paper")
        rows: list[list[Cell]] = []
        for column in self.columns:
            for found in column.differences:
                interval = None if found.comparison is None else found.comparison.interval
                ends = (None, None) if interval is None else (_signed(interval.low), _signed(interval.high))
                title = f"{column.paper.name}: {found.what}"
                rows.append([title, _signed(found.difference), *ends, _signed(found.paper)])
        return Table(
            columns, _frozen(rows), notes=(*self._incomplete, *self._unlike_means(), *self._findings())
        ).render(format)

    def render(self, format: str = "text") -> str:
        """Return all three tables."""
        return "\n".join((self.table(format), self.details(format), self.differences(format)))

    def to_json(self) -> str:
        """Return scores, counts, recipes and differences as JSON text."""
        columns = {
            column.network: {
                "latency_ms": column.latency_ms,
                "frame_offset": column.frame_offset,
                "paper": asdict(column.paper),
                "runs": {name: run.to_dict() for name, run in column.runs.items()},
                "differences": [difference.to_dict() for difference in column.differences],
            }
            for column in self.columns
        }
        record = {
            "format": _FORMAT,
            "version": __version__,
            "about": dict(self.about),
            "incomplete": self.incomplete,
            "networks": columns,
        }
        return json.dumps(record, indent=1)

    @property
    def _incomplete(self) -> tuple[str, ...]:
        return () if self.incomplete is None else (f"INCOMPLETE: {self.incomplete}.",)

    def _unlike_means(self) -> tuple[str, ...]:
        runs = [run for column in self.columns for run in column.runs.values()]
        note = unlike_means(one for run in runs for one in (run.losses.static, run.losses.flame))
        return () if note is None else (note,)

    @property
    def _few(self) -> str:
        """What titles say beside intervals over few videos."""
        return f" (only {self._videos} videos)" if self._videos > 1 and few_sequences(self._videos) else ""

    @property
    def _videos(self) -> int:
        first = next(run for column in self.columns for run in column.runs.values())
        return len(contributing(first.losses.flame.counts))

    def _findings(self) -> Iterator[str]:
        """Say for how many networks the paper's order shows, and whether by more than chance."""
        claims = {
            _COST: "FLAME lies below the static score",
            _REGAINED: "training on S_t+k raises FLAME",
            _ADDED: "a second frame raises it",
        }
        for what, claim in claims.items():
            found = [one for column in self.columns for one in column.differences if one.what == what]
            if not found:
                continue
            sign = -1 if what == _COST else 1
            right = [one for one in found if sign * one.difference > 0]
            clear = [one for one in right if one.comparison is not None and one.comparison.is_clear]
            against = [
                one for one in found if one not in right and one.comparison is not None and one.comparison.is_clear
            ]
            yield (
                f"The paper's finding that {claim} shows in {len(right)} of {len(found)} network(s), "
                f"clearly (the interval leaves out 0) in {len(clear)}"
                f"{f'; the opposite is clear in {len(against)}' if against else ''}."
            )


def make_table1(
    experiment: Experiment, latencies_ms: Mapping[str, float], *, about: Mapping[str, Any] | None = None
) -> Table1:
    """Train and score networks under the three trainings.

    Parameters
    ----------
    experiment : Experiment
    latencies_ms : Mapping of str to float
        By the names of networks: which to take, in this order, and how long each needs, in milliseconds.
    about : mapping of str to anything JSON knows, optional
        What the table is to say of itself.

    Raises
    ------
    ConfigError
        If there is no network, or one that the paper does not have.
    Stopped
        After Ctrl-C, if a training was finished and scored.
    """
    unknown = sorted(set(latencies_ms) - set(paper_table().networks))
    if unknown or not latencies_ms:
        raise ConfigError(
            f"`latencies_ms` names {', '.join(unknown) or 'no network'}, expected some of "
            f"{', '.join(paper_table().networks)}"
        )
    offsets = {network: frame_offset(latency_ms, experiment.test.fps) for network, latency_ms in latencies_ms.items()}
    variants = {network: _variants(network, offset) for network, offset in offsets.items()}
    for variant in chain.from_iterable(variants.values()):
        experiment.check(variant)
    runs: dict[str, dict[str, Run]] = {network: {} for network in latencies_ms}

    def table() -> Table1:
        columns = (Column(name, latencies_ms[name], offsets[name], runs[name]) for name in latencies_ms)
        return Table1(tuple(columns), dict(about or {}))

    try:
        for network, latency_ms in latencies_ms.items():
            for variant in variants[network]:
                runs[network][variant.name] = experiment.run(variant, latency_ms)
    except KeyboardInterrupt:
        if not any(runs.values()):
            raise
        raise Stopped(table()) from None
    return table()


def _variants(network: str, offset: int) -> tuple[Variant, ...]:
    return (
        Variant(name=NOW, network=network),
        Variant(name=FUTURE, network=network, frame_offset=offset),
        Variant(name=TWO_FRAMES, network=network, frame_offset=offset, frames=2),
    )


def _difference(what: str, new: FlameResult, old: FlameResult, paper: float) -> Difference:
    several = len(contributing(new.counts)) > 1
    comparison = compare(new, old) if several else None
    mean_over = choose_mean([new, old])
    difference = new.average_over(mean_over).miou - old.average_over(mean_over).miou
    return Difference(what, comparison, difference, round(paper, 3))


def unlike_means(results: Iterable[FlameResult]) -> str | None:
    """Say that means are over unlike numbers of classes, and what differences between them are then; None if not."""
    numbers = sorted({one.classes_in_mean for one in results})
    if len(numbers) < 2:
        return None
    return (
        f"Scores are means over unlike numbers of classes ({', '.join(map(str, numbers))}): where two of them differ "
        "so, their difference is that of the means over the labelled classes."
    )


def _with_interval(result: FlameResult) -> Cell:
    interval = result.interval
    if interval is None:
        return result.miou
    return f"{result.miou:.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def _few(videos: int) -> str:
    warning = few_sequences(videos)
    return "" if warning is None else f", {warning}"


def _printed(score: float) -> str:
    """Return a score of the paper with the digits that were printed: two, or three."""
    return f"{score:.2f}" if round(score, 2) == score else f"{score:g}"


def _signed(value: float) -> str:
    return f"{value:+.4f}"


def _rate(latency_ms: float) -> str:
    return f"{float(1000 / Fraction(latency_ms)):.3g}" if latency_ms else "unlimited"


def _frozen(rows: list[list[Cell]]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(tuple(row) for row in rows)
