"""Videos: frames, the label maps of the labelled ones, and the rate at which they follow each other; sets of videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["VideoDataset", "VideoSequence"]


@dataclass(frozen=True)
class VideoSequence:
    """Frames of one video in order, with the label maps of those that have one.

    Attributes
    ----------
    name : str
        The sequence id under which counts are kept.
    frames : Sequence of ndarray, each uint8 (H, W, 3)
        RGB frames, possibly read or rendered on access. Frame i is seen at time i / fps.
    targets : Sequence of ndarray or None, as long as ``frames``
        Label maps, each integer (H, W); None where a frame is unlabelled.
    fps : Fraction
        Frames per second, exact.
    timestamps_ns : tuple of int, as long as ``frames``, optional
        When each frame was recorded, in nanoseconds of any clock; None where the recording does not say.
    """

    name: str
    frames: Sequence[npt.NDArray[np.uint8]]
    targets: Sequence[npt.NDArray[Any] | None]
    fps: Fraction
    timestamps_ns: tuple[int, ...] | None = None

    @property
    def labelled(self) -> tuple[int, ...]:
        """Numbers of the labelled frames, ascending.

        Where ``targets`` has an attribute ``labelled`` that is what it says; otherwise each label map is read once.

        Examples
        --------
        >>> VideoSequence("clip", [0] * 3, [None, [[1]], None], Fraction(17)).labelled
        (1,)
        """
        known = getattr(self.targets, "labelled", None)
        if known is not None:
            return tuple(known)
        return tuple(frame for frame, target in enumerate(self.targets) if target is not None)


@dataclass(frozen=True)
class VideoDataset:
    """Videos with the same classes.

    Attributes
    ----------
    name : str
    sequences : Sequence of VideoSequence
        Their names differ.
    class_names : tuple of str
        Names of labels 0..C-1.
    ignore_index : int or None
        Label of void pixels.
    """

    name: str
    sequences: Sequence[VideoSequence]
    class_names: tuple[str, ...]
    ignore_index: int | None = None

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)
