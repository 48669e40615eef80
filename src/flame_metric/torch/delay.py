"""Delay lines: the predictions of each sequence in progress that are still to be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from flame_metric.core.checks import check_integer
from flame_metric.core.schedule import FixedOffset, Schedule, ScheduleTimeline
from flame_metric.errors import ConfigError, StateError
from flame_metric.scores.pairs import Line
from flame_metric.torch.rows import map_tensors

__all__ = ["DelayLines", "Schedules"]

Schedules = Schedule | Mapping[str, Schedule] | Callable[[str], Schedule]


class DelayLines:
    """One line for each sequence in progress: at most ``max_sequences``, or as many as go on at a time.

    Parameters
    ----------
    offset : int or None
        The frame offset of all sequences; None: ``schedule`` rules.
    schedule : Schedule, mapping or callable from id to Schedule, or None
    max_sequences : int

    Raises
    ------
    ConfigError
        If ``schedule`` or ``max_sequences`` is something else.
    """

    def __init__(self, offset: int | None, schedule: Schedules | None, max_sequences: int) -> None:
        if schedule is not None and not isinstance(schedule, Schedule | Mapping) and not callable(schedule):
            raise ConfigError(
                f"`schedule` is {type(schedule).__name__}, expected a Schedule, or a mapping or callable from id to one"
            )
        self._offset = offset
        self._schedule = schedule
        self._max_sequences = check_integer("max_sequences", max_sequences, 1)
        self._lines: dict[str, Line[Any]] = {}  # the one whose last time step is oldest comes first
        self._given_up: set[str] = set()

    def line(self, sequence: str) -> Line[Any]:
        """Return the line of a sequence, a new one where it is not in progress; :meth:`move_on` holds the next.

        Raises
        ------
        ConfigError
            If there is no schedule for the sequence.
        StateError
            If the sequence was given up.
        """
        if sequence in self._given_up:
            raise StateError(
                f"sequence {sequence!r} was given up: {self._max_sequences} others went on since its last time step; "
                "raise `max_sequences`, or call `end` where a sequence is over"
            )
        return self._lines.get(sequence) or Line(self._timeline(sequence))

    def _timeline(self, sequence: str) -> FixedOffset | ScheduleTimeline:
        if self._offset is not None:
            return FixedOffset(self._offset)
        schedule = self._schedule
        if isinstance(schedule, Mapping):
            schedule = schedule.get(sequence)
        elif callable(schedule):
            schedule = schedule(sequence)
        if not isinstance(schedule, Schedule):
            found = "nothing" if schedule is None else type(schedule).__name__
            raise ConfigError(f"`schedule` has {found} for sequence {sequence!r}, expected a Schedule for each id")
        if schedule.per_label:
            raise ConfigError("`schedule` has label times of its own (`label_times_ms`), expected an entry for a frame")
        return ScheduleTimeline(schedule)

    def move_on(self, lines: Mapping[str, Line[Any]]) -> None:
        """Hold these lines, those after a time step, and give up what was idle longest if there are too many."""
        for name in lines:
            self._lines.pop(name, None)
        self._lines |= lines
        while len(self._lines) > max(self._max_sequences, len(lines)):
            idle = next(iter(self._lines))
            del self._lines[idle]
            self._given_up.add(idle)

    def end(self, sequence: str) -> None:
        """Forget a sequence, and raise ConfigError if its schedule goes on."""
        self._given_up.discard(sequence)
        line = self._lines.pop(sequence, None)
        if line is not None and isinstance(line.timeline, ScheduleTimeline):
            line.timeline.check_length(line.frame)

    def clear(self) -> None:
        """Forget all sequences."""
        self._lines.clear()
        self._given_up.clear()

    def move_to(self, device: torch.device) -> None:
        """Move what waits to another device."""
        for name, line in self._lines.items():
            self._lines[name] = replace(line, waiting=map_tensors(lambda tensor: tensor.to(device), line.waiting))
