"""Pairing: which predictions are compared with the labels of a frame, and which ones wait for later labels.

Frames of a clip come in order, each with its prediction. A :class:`Line` holds the predictions that are still to be
shown. Its *timeline* says which ones are on screen at a labelled frame: one (a fixed offset, a schedule), none yet, or
several at once (all offsets 0..K of a bank, the scores of an evaluation). What a prediction is does not matter here:
a coded label map, a tensor, the maps of both sides.

A line is a value. A time step returns the next line and leaves this one as it was, so a step whose labels cannot be
counted has not happened until the next line is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

__all__ = ["Line", "Timeline"]

T = TypeVar("T")


class Timeline(Protocol):
    """What is on screen when, and until when."""

    def sources(self, frame: int) -> Iterable[int]:
        """Return the frames whose predictions are on screen at a labelled frame; none while there is nothing yet."""

    def last_use(self, frame: int) -> int:
        """Return the last frame at which a frame's prediction is on screen, or -1 if it never is."""


@dataclass(frozen=True, eq=False)
class Line(Generic[T]):
    """The predictions of one clip that are still to be shown.

    Attributes
    ----------
    timeline : Timeline
    frame : int
        The number of the frame that comes next.
    waiting : Mapping of int to T or None
        By frame: the predictions that will be on screen at ``frame`` or later; None where the network was not run.

    Examples
    --------
    >>> from flame_metric.core.schedule import FixedOffset
    >>> line = Line(FixedOffset(1))
    >>> for pred in "abc":
    ...     shown, line = line.step(pred)
    ...     print(shown, line.waiting)
    {} {0: 'a'}
    {0: 'a'} {1: 'b'}
    {1: 'b'} {2: 'c'}
    """

    timeline: Timeline
    frame: int = 0
    waiting: Mapping[int, T | None] = field(default_factory=dict)

    @property
    def last_use(self) -> int:
        """The last frame at which the prediction of the next frame is on screen, or -1 if it never is."""
        return self.timeline.last_use(self.frame)

    def step(
        self, pred: T | None, *, frame: int | None = None, labelled: bool = True
    ) -> tuple[dict[int, T | None], Line[T]]:
        """Return what is on screen at the next frame, and the line after it.

        Parameters
        ----------
        pred : T or None
            The prediction of that frame; None where the network was not run.
        frame : int, optional
            Its number, where numbers have gaps: at least that of :attr:`frame`, which is the default.
        labelled : bool
            Whether it has labels: otherwise nothing is asked of the timeline, and nothing is on screen.

        Returns
        -------
        shown : dict of int to T or None
            By source frame: the predictions to compare with the labels; None where the network was not run, or that
            frame never came.
        line : Line
            With what is shown later, and nothing else.
        """
        now = self.frame if frame is None else frame
        held = {**self.waiting, now: pred}
        shown = {source: held.get(source) for source in self.timeline.sources(now)} if labelled else {}
        last_use = self.timeline.last_use
        waiting = {source: kept for source, kept in held.items() if last_use(source) > now}
        return shown, Line(self.timeline, now + 1, waiting)
