"""Section 5.4 of the paper: moved copies of the last frame as input, against copies that are not moved.

SwiftNet-R18 with two frames learns S_{t+k} with a stem that also takes N copies of I_{t-1}, moved along a grid; with
the same stem whose copies are not moved at all, the paper's control; and without any copies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flame_metric._version import __version__
from flame_metric.core.checks import check_integer
from flame_metric.core.clock import frame_offset
from flame_metric.core.statistics import Comparison, contributing
from flame_metric.core.tables import Cell, Table
from flame_metric.errors import ConfigError
from flame_metric.paper.experiment import Experiment, Run, Variant
from flame_metric.paper.interrupts import Stopped
from flame_metric.paper.table1 import TWO_FRAMES, unlike_means
from flame_metric.scores.ranking import compare
from flame_metric.scores.result import few_suffix

__all__ = ["NETWORK", "TranslationTable", "make_translation_table"]

NETWORK = "swiftnet-r18"
_FORMAT = "flame-metric translations 1"


@dataclass(frozen=True)
class TranslationTable:
    """Scores with N moved copies, with N copies in place, and without.

    Attributes
    ----------
    latency_ms : float
    plain : Run
        Two frames, no copies.
    moved, in_place : Mapping of int to Run
        By N.
    numbers : tuple of int
        Every N. Those that are not in ``moved`` or ``in_place`` were not finished.
    about : Mapping of str to anything JSON knows
    """

    latency_ms: float
    plain: Run
    moved: Mapping[int, Run]
    in_place: Mapping[int, Run]
    numbers: tuple[int, ...]
    about: Mapping[str, Any]

    @property
    def incomplete(self) -> str | None:
        """What is missing because the experiment was stopped; None if nothing is."""
        finished, all_of_them = 1 + len(self.moved) + len(self.in_place), 1 + 2 * len(self.numbers)
        return None if finished == all_of_them else f"{finished} of {all_of_them} trainings are finished and scored"

    @property
    def comparisons(self) -> dict[int, Comparison | None]:
        """FLAME with moved copies minus that with copies in place, by N; None with fewer than two test videos."""
        return {number: self._compared(number) for number in self.numbers if number in self.in_place}

    def _compared(self, number: int) -> Comparison | None:
        moved, in_place = (runs[number].losses.flame for runs in (self.moved, self.in_place))
        return compare(moved, in_place) if len(contributing(moved.counts)) > 1 else None

    def render(self, format: str = "text") -> str:
        """Return the table as ``"text"``, ``"markdown"``, ``"latex"`` or ``"csv"``."""
        runs = [self.plain, *self.moved.values(), *self.in_place.values()]
        few = few_suffix(run.losses.flame.interval for run in runs)
        columns = ("input", "parameters", "static", "FLAME", f"95 % from{few}", f"95 % to{few}")
        rows = [_row("I_t-1, I_t", self.plain)]
        for number in self.numbers:
            rows.append(_row(f"and {number} copies of I_t-1, moved", self.moved.get(number)))
            rows.append(_row(f"and {number} copies of I_t-1, in place", self.in_place.get(number)))
        return Table(columns, tuple(rows), notes=tuple(self._notes())).render(format)

    def to_json(self) -> str:
        """Return scores, counts and comparisons as JSON text."""
        record = {
            "format": _FORMAT,
            "version": __version__,
            "about": dict(self.about),
            "incomplete": self.incomplete,
            "latency_ms": self.latency_ms,
            "plain": self.plain.to_dict(),
            "moved": {str(number): run.to_dict() for number, run in self.moved.items()},
            "in_place": {str(number): run.to_dict() for number, run in self.in_place.items()},
            "moved_minus_in_place": {
                str(number): None if found is None else asdict(found) for number, found in self.comparisons.items()
            },
        }
        return json.dumps(record, indent=1)

    def _notes(self) -> Iterator[str]:
        if self.incomplete is not None:
            yield f"INCOMPLETE: {self.incomplete}."
        runs = [self.plain, *self.moved.values(), *self.in_place.values()]
        if note := unlike_means(one for run in runs for one in (run.losses.static, run.losses.flame)):
            yield note
        yield from self.about.get("latency_notes", ())
        for number, found in self.comparisons.items():
            if found is None:
                yield "One test video: no interval."
                return
            interval = found.interval
            yield (
                f"{number} copies, moved minus in place: {found.difference:+.4f}, 95 % {interval.low:+.4f} to "
                f"{interval.high:+.4f} over {found.sequences} test videos"
                f"{'' if interval.warning is None else f', {interval.warning}'}. The paper found nearly none."
            )


def make_translation_table(
    experiment: Experiment, latency_ms: float, numbers: Sequence[int], *, about: Mapping[str, Any] | None = None
) -> TranslationTable:
    """Train and score SwiftNet-R18 with translation stems.

    Parameters
    ----------
    experiment : Experiment
    latency_ms : float
        Of the network, in milliseconds; the same for all stems, as the paper has it.
    numbers : sequence of int
        The N to try, each >= 1; the paper's are 9, 17, 25 and 81.
    about : mapping of str to anything JSON knows, optional
        What the table is to say of itself.

    Raises
    ------
    ConfigError
        If there is no number, or one is out of range.
    Stopped
        After Ctrl-C, if a training was finished and scored.
    """
    chosen = tuple(dict.fromkeys(check_integer("numbers", number, 1, unit="translations") for number in numbers))
    if not chosen:
        raise ConfigError("`numbers` is empty, expected some N, such as 9, 17, 25, 81")
    offset = frame_offset(latency_ms, experiment.test.fps)

    def run(name: str, translations: int | tuple[tuple[int, int], ...] | None) -> Run:
        variant = Variant(name=name, network=NETWORK, frames=2, frame_offset=offset, translations=translations)
        return experiment.run(variant, latency_ms)

    experiment.check(Variant(name=TWO_FRAMES, network=NETWORK, frames=2, frame_offset=offset))
    plain = run(TWO_FRAMES, None)
    moved: dict[int, Run] = {}
    in_place: dict[int, Run] = {}
    table = TranslationTable(latency_ms, plain, moved, in_place, chosen, dict(about or {}))
    try:
        for number in chosen:
            moved[number] = run(f"{number}-moved", number)
            in_place[number] = run(f"{number}-in-place", ((0, 0),) * number)
    except KeyboardInterrupt:
        raise Stopped(table) from None
    return table


def _row(title: str, run: Run | None) -> tuple[Cell, ...]:
    if run is None:
        return (title, *["-"] * 5)
    flame, interval = run.losses.flame, run.losses.flame.interval
    ends = (None, None) if interval is None else (interval.low, interval.high)
    return (title, run.parameters, run.losses.static.miou, flame.miou, *ends)
