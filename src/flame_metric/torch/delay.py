"""Delay lines: the predictions of each sequence that are still to be shown.

A line answers what is on screen at its next frame, and moves on by one frame when told to. The two are apart, so that a
time step that fails can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from flame_metric.core.checks import check_integer
from flame_metric.core.schedule import NOTHING_YET, FixedOffset, Schedule, ScheduleTimeline
from flame_metric.errors import ConfigError, StateError
from flame_metric.torch.rows import copied, mapped

__all__ = ["DelayLine", "DelayLines", "Schedules"]

Schedules = Schedule | Mapping[str, Schedule] | Callable[[str], Schedule]


class DelayLine:
    """The predictions of one sequence that wait to be on screen."""

    def __init__(self, sequence: str, timeline: FixedOffset | ScheduleTimeline) -> None:
        self._sequence = sequence
        self._timeline = timeline
        self._frame = 0  # that of the next time step
        self._waiting: dict[int, Any] = {}

    def on_screen(self, pred: Any) -> Any:
        """Return the prediction to compare with this frame's target, or None while there is none yet."""
        source = self._timeline.source(self._frame)
        if source == NOTHING_YET:
            return None
        shown = pred if source == self._frame else self._waiting[source]
        if shown is None:
            raise StateError(
                f"the prediction of frame {source} of sequence {self._sequence!r} is None, but is on screen at frame "
                f"{self._frame}"
            )
        return shown

    def kept(self, pred: Any) -> Any:
        """Copy this frame's prediction, if it is to be shown later."""
        return copied(pred) if self._timeline.last_use(self._frame) > self._frame else None

    def move_on(self, kept: Any) -> None:
        """Let this frame pass."""
        self._waiting[self._frame] = kept
        last_use = self._timeline.last_use
        self._waiting = {frame: pred for frame, pred in self._waiting.items() if last_use(frame) > self._frame}
        self._frame += 1

    def move_to(self, device: torch.device) -> None:
        """Move what waits to another device."""
        self._waiting = mapped(lambda tensor: tensor.to(device), self._waiting)

    def check_end(self) -> None:
        """Raise if the schedule goes on."""
        self._timeline.check_length(self._frame)


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
        self._lines: dict[str, DelayLine] = {}  # the one whose last time step is oldest comes first
        self._given_up: set[str] = set()

    def line(self, sequence: str) -> DelayLine:
        """Return the line of a sequence, a new one where it is not in progress; :meth:`move_on` holds it.

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
        return self._lines.get(sequence) or DelayLine(sequence, self._timeline(sequence))

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

    def move_on(self, sequences: Sequence[str], lines: Sequence[DelayLine], kept: Sequence[Any]) -> None:
        """Let one frame of each of these sequences pass, and give up what was idle longest if there are too many."""
        for name, line, pred in zip(sequences, lines, kept, strict=True):
            line.move_on(pred)
            self._lines.pop(name, None)
            self._lines[name] = line
        while len(self._lines) > max(self._max_sequences, len(sequences)):
            idle = next(iter(self._lines))
            del self._lines[idle]
            self._given_up.add(idle)

    def end(self, sequence: str) -> None:
        """Forget a sequence, and raise ConfigError if its schedule goes on."""
        self._given_up.discard(sequence)
        line = self._lines.pop(sequence, None)
        if line is not None:
            line.check_end()

    def clear(self) -> None:
        """Forget all sequences."""
        self._lines.clear()
        self._given_up.clear()

    def move_to(self, device: torch.device) -> None:
        """Move what waits to another device."""
        for line in self._lines.values():
            line.move_to(device)
