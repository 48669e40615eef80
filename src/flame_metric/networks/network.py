"""Running a network over a labelled video: each frame whose prediction is needed once, counted at every offset.

A prediction is needed where a labelled frame follows at most K frames later, K being the reach of the bank: on every
frame of a video that is labelled throughout, on K + 1 frames of a clip with one label. A network of several frames sees
the last ones; before the first frame of a video stands that frame again, as for a camera just switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer, check_kind
from flame_metric.core.labels import LabelMaps
from flame_metric.data.videos import VideoSequence
from flame_metric.errors import ShapeError
from flame_metric.latency.runner import Runner
from flame_metric.scores.bank import OffsetBank

__all__ = ["Network", "fill_bank", "frames_read", "input_frames", "read_input", "stack_frames"]


_Image = TypeVar("_Image")


@dataclass(frozen=True)
class Network:
    """A segmentation network of whatever framework: what is timed is what is scored.

    Attributes
    ----------
    name : str
    runner : Runner
        From input frames, uint8 (H, W, 3 * frames) with the oldest first, to labels (H, W) or scores (C, H, W), in the
        memory of the host.
    frames : int
        Number of input frames, >= 1.
    """

    name: str
    runner: Runner
    frames: int = 1


def fill_bank(
    bank: OffsetBank,
    predict: Callable[[npt.NDArray[np.uint8]], LabelMaps],
    video: VideoSequence,
    *,
    frames: int = 1,
) -> None:
    """Add the counts of a network's predictions on a video to a bank.

    Parameters
    ----------
    bank : OffsetBank
    predict : callable
        From the input frames, uint8 (H, W, 3 * frames) with the oldest first, to labels (H, W) or scores (C, H, W):
        such as ``torch_runner(network, boundary="end_to_end")``.
    video : VideoSequence
        Frames are read in order, each once.
    frames : int
        Number of input frames, >= 1.

    Raises
    ------
    LabelError, ShapeError
        If predictions and labels do not belong together, or frames that are stacked; the bank keeps nothing of the
        video then.
    StateError
        If the bank has the video already.
    ConfigError
        If an argument is of another kind.

    Examples
    --------
    >>> from flame_metric.data.synthetic import synthetic_video
    >>> bank = OffsetBank(8, max_offset=2, ignore_index=255)
    >>> fill_bank(bank, lambda frame: frame[..., 0] // 32, synthetic_video(num_frames=3, height=32, width=64))
    >>> [result.num_pairs for result in bank.curve().results]
    [3, 2, 1]
    """
    check_kind("bank", bank, OffsetBank, "an OffsetBank")
    check_kind("video", video, VideoSequence, "a VideoSequence")
    frames = check_integer("frames", frames, 1, unit="input frames")
    inputs = _inputs(video.frames, _ends(video.labelled, bank.max_offset), frames)
    predictions = (None if item is None else predict(item) for item in inputs)
    bank.update_sequence(predictions, video.targets, sequence=video.name)


def frames_read(labelled: Iterable[int], *, max_offset: int, frames: int) -> list[int]:
    """Return the frames of a video that :func:`fill_bank` reads, ascending; no network is run.

    Parameters
    ----------
    labelled : iterable of int
        Its labelled frames.
    max_offset : int
        Reach of the bank.
    frames : int
        Number of input frames.

    Examples
    --------
    >>> frames_read([1, 7], max_offset=1, frames=2)
    [0, 1, 5, 6, 7]
    """
    return sorted({index for end in _ends(labelled, max_offset) for index in input_frames(end, frames)})


def _ends(labelled: Iterable[int], max_offset: int) -> set[int]:
    """Return the frames whose predictions a bank needs."""
    return {frame - offset for frame in labelled for offset in range(max_offset + 1) if offset <= frame}


def _inputs(video: Sequence[npt.NDArray[Any]], ends: set[int], frames: int) -> Iterator[npt.NDArray[Any] | None]:
    """Yield, for each frame, the input that ends with it, or None where it is not among ``ends``."""
    recent: dict[int, npt.NDArray[Any]] = {}
    for end in range(len(video)):
        if end in ends:
            recent = read_input(end, frames, video.__getitem__, recent)
            yield stack_frames(recent, input_frames(end, frames))
        else:
            yield None


def input_frames(end: int, frames: int) -> list[int]:
    """Return the frames that a network of several sees when the newest is ``end``, the oldest first.

    Examples
    --------
    >>> input_frames(7, 2), input_frames(0, 2)
    ([6, 7], [0, 0])
    """
    return [max(0, end - back) for back in reversed(range(frames))]


def read_input(end: int, frames: int, read: Callable[[int], _Image], recent: Mapping[int, _Image]) -> dict[int, _Image]:
    """Return the frames of an input that ends with a frame, by their number.

    Parameters
    ----------
    end, frames : int
        As :func:`input_frames` takes them.
    read : callable
        From the number of a frame to the frame, or to a future of it.
    recent : mapping
        Frames that were read for the input before: those are not read again.

    Examples
    --------
    >>> read_input(7, 2, str, {5: "five", 6: "six"})
    {6: 'six', 7: '7'}
    """
    return {
        index: recent[index] if index in recent else read(index) for index in dict.fromkeys(input_frames(end, frames))
    }


def stack_frames(images: Mapping[int, npt.NDArray[Any]], shown: Sequence[int]) -> npt.NDArray[Any]:
    """Put frames, by their number, one behind the other along the channels: (H, W, 3 * frames).

    Raises
    ------
    ShapeError
        If they differ in size.
    """
    newest = np.shape(images[shown[-1]])
    for index in shown:
        if len(shown) > 1 and (len(newest) != 3 or np.shape(images[index]) != newest):
            raise ShapeError(
                f"frame {index} has shape {np.shape(images[index])} and frame {shown[-1]} {newest}, expected (H, W, 3) "
                "of one size for a network of several frames"
            )
    return np.concatenate([images[index] for index in shown], axis=2) if len(shown) > 1 else images[shown[-1]]
