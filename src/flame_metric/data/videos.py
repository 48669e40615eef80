"""Videos: frames, the label maps of the labelled ones, and the rate at which they follow each other; sets of videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import is_integer
from flame_metric.core.tables import rate_text
from flame_metric.errors import ConfigError

__all__ = ["OnAccess", "VideoDataset", "VideoSequence"]

T = TypeVar("T")


class OnAccess(Sequence[T]):
    """Items that are read when they are asked for, each time anew: the frames or the label maps of a video on disk.

    Parts of it, ``items[3:8]``, read on access too.

    Parameters
    ----------
    read : callable
        Returns item i of 0..length-1. Loading data in other processes may need it to be picklable.
    length : int
    labelled : iterable of int, optional
        Which items are not None, where that is known without reading; ``read`` is called only for these.

    Examples
    --------
    >>> squares = OnAccess(lambda index: index**2, 10)
    >>> squares[3], list(squares[7:])
    (9, [49, 64, 81])
    """

    def __init__(self, read: Callable[[int], T], length: int, labelled: Iterable[int] | None = None) -> None:
        self._read = read
        self._indices = range(length)
        self._labelled = None if labelled is None else frozenset(labelled)

    @property
    def labelled(self) -> tuple[int, ...] | None:
        """Which items are not None, in order; None if that is not known."""
        if self._labelled is None:
            return None
        return tuple(place for place, index in enumerate(self._indices) if index in self._labelled)

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> OnAccess[T]: ...
    def __getitem__(self, index: int | slice) -> T | OnAccess[T]:
        if isinstance(index, slice):
            part = OnAccess(self._read, 0, self._labelled)
            part._indices = self._indices[index]
            return part
        place = self._indices[index]  # IndexError beyond the end of this part, whatever it is a part of
        if self._labelled is not None and place not in self._labelled:
            return None  # type: ignore[return-value]  # T of label maps includes None
        return self._read(place)


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
        Label maps, each integer (H, W); None where a frame is unlabelled. Where they are read on access, an attribute
        ``labelled`` (as :class:`OnAccess` has it) tells which are not None without reading them.
    fps : Fraction
        Frames per second, exact.
    timestamps_ns : tuple of int, as long as ``frames``, optional
        When each frame was recorded, in nanoseconds of any clock; None where the recording does not say.
    frame_names : sequence of str, as long as ``frames``, optional
        What the files of the frames are called, without folder, prefix, suffix and extension: label maps that are
        written for the frames get the same names. Default: their numbers, ``"000000"``, ``"000001"``, ...
    recording : str, optional
        The recording of which it is a part: parts of one share a timeline, and frames that are missing lie between
        them. Default: it is a recording of its own, of its own name.
    start : int
        Steps from the first frame of the recording to that of this part.
    step : int
        How far the numbers in the names of two frames in a row are apart.
    """

    name: str
    frames: Sequence[npt.NDArray[np.uint8]]
    targets: Sequence[npt.NDArray[Any] | None]
    fps: Fraction
    timestamps_ns: tuple[int, ...] | None = None
    frame_names: Sequence[str] | None = None
    recording: str | None = None
    start: int = 0
    step: int = 1

    def frame_name(self, index: int) -> str:
        """Return the name of frame 0..n-1.

        Examples
        --------
        >>> VideoSequence("clip", [0] * 3, [None] * 3, Fraction(17)).frame_name(2)
        '000002'
        """
        return f"{index:06}" if self.frame_names is None else self.frame_names[index]

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

    def slice(self, start: int, stop: int) -> VideoSequence:
        """Return frames start..stop-1 as a video of its own, named ``"<name>[<start>:<stop>]"``.

        Its first frame has no frame before it, and its last none behind it: frames, targets and timestamps end at the
        cut, so parts for training and for testing share nothing. Nothing is read.

        Parameters
        ----------
        start, stop : int
            0 <= start < stop <= number of frames.

        Raises
        ------
        ConfigError
            If they are anything else.

        Examples
        --------
        >>> video = VideoSequence("street", list("abcde"), [None] * 5, Fraction(15))
        >>> test = video.slice(3, 5)
        >>> test.name, test.frames
        ('street[3:5]', ['d', 'e'])
        """
        length = len(self.frames)
        if not (is_integer(start) and is_integer(stop) and 0 <= start < stop <= length):
            raise ConfigError(
                f"frames {start!r}:{stop!r} of video {self.name!r} are asked for, expected a part of 0:{length} that "
                "holds a frame"
            )
        return VideoSequence(
            f"{self.name}[{start}:{stop}]",
            _part(self.frames, start, stop),
            _part(self.targets, start, stop),
            self.fps,
            None if self.timestamps_ns is None else self.timestamps_ns[start:stop],
            [self.frame_name(index) for index in range(start, stop)],
            step=self.step,
        )


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
    label_options : mapping of str to str, optional
        Options of `flame-metric evaluate` beside classes and rate with which it reads the same label
        maps as the same classes; None if there are none that do, or no files.
    """

    name: str
    sequences: Sequence[VideoSequence]
    class_names: tuple[str, ...]
    ignore_index: int | None = None
    label_options: Mapping[str, str] | None = None

    @property
    def recordings(self) -> dict[str, tuple[VideoSequence, ...]]:
        """The parts of each recording, in order, by its name.

        Examples
        --------
        >>> part = VideoSequence("street[5..6]", "ab", [None] * 2, Fraction(15), recording="street", start=5)
        >>> {name: [part.start for part in parts] for name, parts in VideoDataset("x", [part], ()).recordings.items()}
        {'street': [5]}
        """
        found: dict[str, list[VideoSequence]] = {}
        for video in self.sequences:
            found.setdefault(video.name if video.recording is None else video.recording, []).append(video)
        return {name: tuple(sorted(parts, key=lambda part: part.start)) for name, parts in found.items()}

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def fps(self) -> Fraction:
        """Frames per second of all videos.

        Raises
        ------
        ConfigError
            If there are none, or they have several rates.
        """
        rates = sorted({video.fps for video in self.sequences})
        if len(rates) != 1:
            found = ", ".join(f"{rate_text(rate)} fps" for rate in rates) or "none"
            raise ConfigError(
                f"the videos of {self.name} have {len(rates)} frame rates ({found}), expected one, from which the "
                "frame offset follows: choose those of one rate, such as camvid:ROOT,step=2"
            )
        return rates[0]


def _part(items: Sequence[T], start: int, stop: int) -> Sequence[T]:
    """Return items start..stop-1 without reading them; slicing may read in a sequence of another kind."""
    if isinstance(items, list | tuple | OnAccess):
        return items[start:stop]
    return OnAccess(items.__getitem__, len(items), getattr(items, "labelled", None))[start:stop]
