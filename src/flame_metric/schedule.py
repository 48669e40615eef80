"""Schedule: which frame's prediction is on screen when a labelled frame is current.

This is all that distinguishes the ways to count latency. The paper's fixed offset (Eq. 4-5) shows the prediction of
frame j - k at frame j; while j < k nothing is on screen yet, written as source -1.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from flame_metric.checks import check_integer
from flame_metric.errors import ConfigError

__all__ = ["NOTHING_YET", "FrameDelay", "Schedule"]

NOTHING_YET = -1
"""The source of a frame at which no prediction is on screen yet."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Schedule:
    """Source frame for every labelled frame of one sequence.

    Parameters
    ----------
    label_frame : array_like of int, (J,)
        The labelled frames, ascending, >= 0.
    source : array_like of int, (J,)
        The frame whose prediction is on screen then: at most ``label_frame``, or -1 while there is none.

    Raises
    ------
    ConfigError
        If a source lies in the future, below -1, or the two differ in length.

    Examples
    --------
    >>> schedule = Schedule.fixed(4, frame_offset=1)
    >>> schedule.source
    array([-1,  0,  1,  2])
    >>> schedule.coverage
    0.75
    """

    label_frame: npt.NDArray[np.int64] = field()
    source: npt.NDArray[np.int64] = field()

    def __post_init__(self) -> None:
        for name in ("label_frame", "source"):
            given = np.asarray(getattr(self, name))
            if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
                raise ConfigError(f"`{name}` has shape {given.shape} of {given.dtype}, expected integers (J,)")
            values = given.astype(np.int64)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.label_frame.shape != self.source.shape:
            raise ConfigError(
                f"`source` has {self.source.size} entries for {self.label_frame.size} labelled frames, expected as many"
            )
        if self.label_frame.size and (self.label_frame[0] < 0 or np.any(np.diff(self.label_frame) <= 0)):
            raise ConfigError("`label_frame` is not ascending from 0 on, expected each labelled frame once, in order")
        wrong = np.flatnonzero((self.source > self.label_frame) | (self.source < NOTHING_YET))
        if wrong.size:
            frame, source = self.label_frame[wrong[0]], self.source[wrong[0]]
            raise ConfigError(
                f"`source` of frame {frame} is {source} ({wrong.size} such entries), expected {NOTHING_YET}..{frame}: "
                "a prediction cannot come from the future"
            )

    @classmethod
    def fixed(cls, num_frames: int, frame_offset: int) -> Schedule:
        """Return the paper's schedule: at each of ``num_frames`` frames, the prediction of ``frame_offset`` before.

        It assumes that an inference can start on every frame, and is therefore the most favourable one.

        Raises
        ------
        ConfigError
            If one of them is negative.
        """
        num_frames = check_integer("num_frames", num_frames, 0, unit="frames")
        frame_offset = check_integer("frame_offset", frame_offset, 0, unit="frames")
        frames = np.arange(num_frames)
        return cls(frames, np.where(frames >= frame_offset, frames - frame_offset, NOTHING_YET))

    @property
    def shown(self) -> npt.NDArray[np.bool_]:
        """Whether a prediction is on screen, (J,)."""
        return np.not_equal(self.source, NOTHING_YET)

    @property
    def staleness(self) -> npt.NDArray[np.int64]:
        """How many frames old the prediction on screen is, (J,); -1 where there is none yet."""
        return np.where(self.shown, self.label_frame - self.source, NOTHING_YET)

    @property
    def coverage(self) -> float:
        """The share of labelled frames with a prediction on screen, 0..1; NaN without labelled frames."""
        return float(self.shown.mean()) if self.shown.size else float("nan")


class FrameDelay(Generic[T]):
    """A delay line of k frames for online loops: what was pushed k pushes ago comes out.

    Parameters
    ----------
    frame_offset : int
        k >= 0; 0 gives back what was just pushed.

    Examples
    --------
    >>> delay = FrameDelay(2)
    >>> [delay.push(item) for item in "abcd"]
    [None, None, 'a', 'b']
    """

    def __init__(self, frame_offset: int) -> None:
        self._frame_offset = check_integer("frame_offset", frame_offset, 0, unit="frames")
        self._waiting: deque[T] = deque()

    def push(self, item: T) -> T | None:
        """Take the item of this frame and return that of k frames ago, or None if there was none yet."""
        self._waiting.append(item)
        return self._waiting.popleft() if len(self._waiting) > self._frame_offset else None

    def reset(self) -> None:
        """Forget what is waiting: call it where a new sequence begins."""
        self._waiting.clear()
