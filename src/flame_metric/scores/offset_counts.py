"""Counts of labelled frames at every offset: the arrays on which an OffsetBank rests.

For each labelled frame j and offset k = 0..K there are the counts of (prediction of frame j - k, labels of frame j),
for the network (row 0) and, where it was asked for, for the labels as predictions (row 1, persistence). A schedule
picks one k for each j; :meth:`OffsetCounts.sums` adds up what it picks, clip by clip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.clock import MAX_FRAMES
from flame_metric.core.counting import MAX_COUNT, Counts
from flame_metric.core.labels import LabelSpace
from flame_metric.core.schedule import NOTHING_YET
from flame_metric.errors import StateError, quoted

__all__ = [
    "ARRAYS",
    "COUNTED",
    "HOLE",
    "NETWORK",
    "NO_MAP",
    "PERSISTENCE",
    "OffsetCounts",
    "OffsetCountsBuilder",
    "array_shapes",
    "check_counts",
    "check_lengths",
    "dtype_of",
]

NETWORK, PERSISTENCE = 0, 1

NO_MAP, COUNTED, HOLE = 0, 1, 2
"""State of a labelled frame at an offset: no map was given, both were counted, or that frame was never recorded."""

_LIMIT = 2**48  # more pixels than a label map has: sums over 4096 classes still fit into 64 bits


@dataclass(frozen=True, eq=False)
class OffsetCounts:
    """J labelled frames of S clips at K + 1 offsets, for R kinds of predictions over C classes.

    Attributes
    ----------
    num_frames, num_labelled : ndarray of int64, (S,)
        Frames of each clip, and how many of them are labelled; the labelled frames of the clips follow one another.
    frame : ndarray of int64, (J,)
        Frame number within the clip.
    labelled : ndarray of int64, (J, C)
        Labelled pixels of each class.
    pixels : ndarray of int64, (J, 2)
        Valid pixels, and all pixels.
    counts : ndarray of int64, (R, J, K + 1, 2, C)
        Intersection and predicted pixels.
    state : ndarray of uint8, (R, J, K + 1)
        NO_MAP, COUNTED or HOLE.
    """

    num_frames: npt.NDArray[np.int64]
    num_labelled: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    labelled: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    state: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls, rows: int, offsets: int, classes: int) -> OffsetCounts:
        """Return the counts of no clip."""
        shapes = array_shapes(rows, offsets, classes, clips=0, labelled=0)
        return cls(**{name: np.zeros(shape, dtype_of(name)) for name, shape in shapes.items()})

    @classmethod
    def join(cls, parts: Sequence[OffsetCounts]) -> OffsetCounts:
        """Put the clips of some counts one after another."""
        arrays = {
            name: np.concatenate([getattr(part, name) for part in parts], axis=axis) for name, axis in ARRAYS.items()
        }
        return cls(**arrays)

    def split(self) -> list[OffsetCounts]:
        """Return each clip by itself, without copying."""
        bounds = [0, *np.cumsum(self.num_labelled).tolist()]
        clips = []
        for clip, (begin, end) in enumerate(pairwise(bounds)):
            here, frames = slice(clip, clip + 1), slice(begin, end)
            clips.append(
                OffsetCounts(
                    self.num_frames[here],
                    self.num_labelled[here],
                    self.frame[frames],
                    self.labelled[frames],
                    self.pixels[frames],
                    self.counts[:, frames],
                    self.state[:, frames],
                )
            )
        return clips

    def equals(self, other: OffsetCounts) -> bool:
        """Whether all arrays are the same."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in ARRAYS)

    @cached_property
    def all_pixels(self) -> int:
        """Pixels of all labelled frames: no sum of other counts exceeds it."""
        return sum(self.pixels[:, 1].tolist())  # Python's integers have no end

    def is_consistent(self, space: LabelSpace) -> bool:
        """Whether this can be one clip of label maps: what was damaged or edited must not become a score.

        What is asked of each label map here is what is asked of whole sequences when a result is read.
        """
        if not self._is_in_range():
            return False
        intersection, predicted = self.counts[..., 0, :], self.counts[..., 1, :]
        labelled, (valid, everything) = self.labelled[:, None], self.pixels.T
        wrong = valid[:, None] - intersection.sum(axis=-1)
        is_counted, own = self.state == COUNTED, self.counts[PERSISTENCE:, :, 0]
        offsets = np.arange(self.state.shape[-1])
        checks = (
            (np.diff(self.frame) > 0).all() and self.frame.max(initial=-1) < self.num_frames.min(),
            np.array_equal(self.labelled.sum(axis=1), valid) and (valid <= everything).all() and everything.all(),
            (intersection <= predicted).all() and (intersection <= labelled).all(),
            # Of the wrong pixels, those wrongly given to a class and those wrongly taken from it are different ones.
            (predicted + labelled - 2 * intersection <= wrong[..., None]).all(),
            (predicted.sum(axis=-1) <= valid[:, None]).all(),
            not self.counts[~is_counted].any() and not self.state[:, offsets > self.frame[:, None]].any(),
            (own == labelled).all() and is_counted[PERSISTENCE:, :, 0].all(),  # labels agree with themselves
        )
        return all(checks) and self._agrees_with(space)

    def _is_in_range(self) -> bool:
        """Whether each single value is: asked first, as sums of others may wrap."""
        arrays = (self.num_frames, self.frame, self.labelled, self.pixels, self.counts)
        return self.state.max(initial=0) <= HOLE and all(
            array.min(initial=0) >= 0 and array.max(initial=0) < _LIMIT for array in arrays
        )

    def _agrees_with(self, space: LabelSpace) -> bool:
        """Whether these can be counts of maps that hold such labels: without a void label every pixel has a class."""
        void = space.ignore_index
        if void is None:
            is_whole = self.counts[..., 1, :].sum(axis=-1) == self.pixels[:, :1]
            return np.array_equal(*self.pixels.T) and bool(is_whole[self.state == COUNTED].all())
        return not 0 <= void < space.num_classes or not (self.labelled[:, void].any() or self.counts[..., void].any())

    def every(self, step: int) -> OffsetCounts:
        """Return what a camera that takes only every ``step``-th frame would have given."""
        keep = self.frame % step == 0
        return OffsetCounts(
            -(-self.num_frames // step),
            self._by_clip(keep.astype(np.int64)),
            self.frame[keep] // step,
            self.labelled[keep],
            self.pixels[keep],
            self.counts[:, keep, ::step],
            self.state[:, keep, ::step],
        )

    def clip_of(self, labelled_frame: int) -> int:
        """Return to which clip a labelled frame 0..J-1 belongs."""
        return int(np.searchsorted(np.cumsum(self.num_labelled), labelled_frame, side="right"))

    def sums(
        self, offsets: npt.NDArray[np.int64], row: int, *, void: bool
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Add up what a schedule shows: counts (S, 3, C) and tallies (S, 4) as a result holds them.

        Parameters
        ----------
        offsets : ndarray of int64, (J,)
            The offset at each labelled frame; -1 where nothing is on screen.
        row : int
            NETWORK or PERSISTENCE.
        void : bool
            Whether a frame with nothing on screen is missed, and not left out.
        """
        chosen = np.flatnonzero(offsets != NOTHING_YET)
        chosen = chosen[self.state[row, chosen, offsets[chosen]] == COUNTED]
        is_pair = np.zeros(len(offsets), np.int64)
        is_pair[chosen] = 1
        is_target = np.where(offsets == NOTHING_YET, 1, is_pair) if void else is_pair
        picked = np.zeros((len(offsets), *self.counts.shape[-2:]), np.int64)
        picked[chosen] = self.counts[row, chosen, offsets[chosen]]
        targets = is_target[:, None]
        per_class = np.concatenate([picked, (targets * self.labelled)[:, None]], axis=1)
        ones = np.ones_like(is_pair)
        tallies = np.concatenate([np.stack([is_pair, ones], axis=1), targets * self.pixels], axis=1)
        return self._by_clip(per_class), self._by_clip(tallies)

    def _by_clip(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sum values (J, ...) over the labelled frames of each clip: (S, ...)."""
        sums = np.zeros((len(self.num_labelled), *values.shape[1:]), np.int64)
        filled = self.num_labelled > 0  # reduceat knows no empty segments
        if filled.any():
            starts = np.cumsum(self.num_labelled) - self.num_labelled
            sums[filled] = np.add.reduceat(values, starts[filled], axis=0)
        return sums


ARRAYS = {"num_frames": 0, "num_labelled": 0, "frame": 0, "labelled": 0, "pixels": 0, "counts": 1, "state": 1}
"""The arrays of :class:`OffsetCounts`, with the axis along which clips are joined."""


def array_shapes(rows: int, offsets: int, classes: int, *, clips: int, labelled: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of :class:`OffsetCounts`, from R, K + 1, C, S and J."""
    return {
        "num_frames": (clips,),
        "num_labelled": (clips,),
        "frame": (labelled,),
        "labelled": (labelled, classes),
        "pixels": (labelled, 2),
        "counts": (rows, labelled, offsets, 2, classes),
        "state": (rows, labelled, offsets),
    }


def dtype_of(array: str) -> npt.DTypeLike:
    """Return the dtype of an array of :class:`OffsetCounts`."""
    return np.uint8 if array == "state" else np.int64


class OffsetCountsBuilder:
    """Collects the labelled frames of one clip, in order.

    Parameters
    ----------
    rows, offsets, classes : int
        R, K + 1 and C.
    is_hole : callable
        Whether a frame was never recorded: nothing can be paired with it.
    """

    def __init__(self, rows: int, offsets: int, classes: int, is_hole: Callable[[int], bool]) -> None:
        self._shape = (rows, offsets, 2, classes)
        self._is_hole = is_hole
        self._frames: list[tuple[int, Counts]] = []
        self._counts: list[npt.NDArray[np.int64]] = []
        self._state: list[npt.NDArray[np.uint8]] = []

    def add(self, frame: int, own: Counts, found: Mapping[int, Sequence[Counts | None]]) -> None:
        """Add a labelled frame: the counts of its labels against any map, and by offset those of each row."""
        rows, offsets, *_ = self._shape
        counts = np.zeros(self._shape, np.int64)
        state = np.full((rows, offsets), NO_MAP, np.uint8)
        for offset in range(offsets):
            if self._is_hole(frame - offset):
                state[:, offset] = HOLE
            for row, one in enumerate(found.get(offset, ())[:rows]):
                if one is not None:
                    counts[row, offset], state[row, offset] = one.per_class[:2], COUNTED
        self._frames.append((frame, own))
        self._counts.append(counts)
        self._state.append(state)

    def build(self, num_frames: int) -> OffsetCounts:
        """Return the counts of the clip, which has ``num_frames`` frames."""
        rows, offsets, _, classes = self._shape
        if not self._frames:
            nothing = OffsetCounts.empty(rows, offsets, classes)
            arrays: dict[str, Any] = {name: getattr(nothing, name) for name in ARRAYS}
        else:
            own = [counts for _, counts in self._frames]
            arrays = {
                "frame": np.array([frame for frame, _ in self._frames], np.int64),
                "labelled": np.stack([counts.per_class[2] for counts in own]),
                "pixels": np.array([(counts.valid_pixels, counts.all_pixels) for counts in own], np.int64),
                "counts": np.stack(self._counts, axis=1),
                "state": np.stack(self._state, axis=1),
            }
        lengths = {"num_frames": num_frames, "num_labelled": len(self._frames)}
        return OffsetCounts(**{**arrays, **{name: np.array([length]) for name, length in lengths.items()}})


def check_lengths(names: Sequence[str], num_frames: npt.NDArray[np.int64], num_labelled: npt.NDArray[np.int64]) -> int:
    """Return the number J of labelled frames of clips that come from outside.

    Raises
    ------
    StateError
        If a clip has more labelled frames than frames, or more frames than MAX_FRAMES.
    """
    lengths = list(zip(names, num_frames.tolist(), num_labelled.tolist(), strict=True))
    for name, frames, labelled in lengths:
        if not 0 <= labelled <= frames <= MAX_FRAMES:
            raise StateError(
                f"sequence {quoted(name)} has {labelled} labelled frames of {frames}, expected 0 <= labelled <= all <= "
                f"{MAX_FRAMES:,}"
            )
    return sum(labelled for *_, labelled in lengths)


def check_counts(names: Sequence[str], counts: OffsetCounts, space: LabelSpace) -> None:
    """Refuse counts from outside that cannot be those of label maps.

    Raises
    ------
    StateError
        If the counts of a clip contradict each other, or all of them exceed 64 bits.
    """
    for name, clip in zip(names, counts.split(), strict=True):
        if not clip.is_consistent(space):
            raise StateError(
                f"the counts of sequence {quoted(name)} contradict each other; was the file edited or damaged?"
            )
    if counts.all_pixels > MAX_COUNT:
        raise StateError("the sequences hold more pixels than 64 bits can count")
