"""Pairs to train on (paper, section 5): input frames up to time t, and the labels of time t + k.

With k = 0 a network learns to segment what it sees; with the k of its latency, what will be there when it is done. A
second frame, t - 1, shows it how fast things move. Items are the labelled frames j of the videos, in order, each as the
target of the frames j - k - (frames - 1) to j - k; labelled frames that are too early for that are not items.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from flame_metric.core.checks import check_integer, check_kind, items
from flame_metric.core.labels import LabelSpace, code_map
from flame_metric.data.videos import VideoSequence
from flame_metric.errors import ConfigError, DatasetError, ShapeError, located, quoted
from flame_metric.paper.augmentation import IGNORED, Augmentation, network_input

__all__ = ["FramePairs"]


class FramePairs(Dataset[tuple[Tensor, Tensor]]):
    """Input frames and the label map that is true k frames later.

    An item is a pure function of (seed, epoch, index): reading order, workers and resumed runs do not change it.
    Frames are read on access. Labelled frames are found without reading label maps where ``targets`` is a list, or has
    an attribute ``labelled`` with their numbers in ascending order; otherwise each label map is read once.

    Parameters
    ----------
    sequences : iterable of VideoSequence
    frame_offset : int
        k of Eq. 5, >= 0: how many frames later than the last input frame the target is.
    num_classes : int
        C, 2..4096.
    ignore_index : int, optional
        Label of void pixels; `IGNORED` (-100) in the target.
    frames : int
        Number of input frames, >= 1.
    augmentation : Augmentation, optional
        What may happen to an item; None: whole frames as they are.
    seed : int
        >= 0.

    Raises
    ------
    ConfigError
        If an option is out of range, there is no video, or no labelled frame has enough frames before it.
    DatasetError
        If no frame is labelled.
    ShapeError
        If a video has more or fewer label maps than frames.

    Examples
    --------
    >>> from flame_metric.data.synthetic import synthetic_video
    >>> video = synthetic_video(num_frames=5, height=48, width=96)
    >>> pairs = FramePairs([video], frame_offset=2, num_classes=8, ignore_index=255, frames=2)
    >>> len(pairs)
    2
    >>> image, target = pairs[0]  # frames 0 and 1, labels of frame 3
    >>> image.shape, target.shape
    (torch.Size([6, 48, 96]), torch.Size([48, 96]))
    """

    def __init__(
        self,
        sequences: Iterable[VideoSequence],
        *,
        frame_offset: int,
        num_classes: int,
        ignore_index: int | None = None,
        frames: int = 1,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        videos = "videos (VideoSequence); of a VideoDataset its `.sequences`"
        self._sequences = tuple(items("sequences", sequences, videos))
        for sequence in self._sequences:
            check_kind("sequences", sequence, VideoSequence, videos)
        if not self._sequences:
            raise ConfigError("`sequences` holds no video, expected at least one")
        self._offset = check_integer("frame_offset", frame_offset, 0, unit="frames")
        self._frames = check_integer("frames", frames, 1, unit="input frames")
        self._space = LabelSpace(num_classes, ignore_index)
        if augmentation is not None:
            check_kind("augmentation", augmentation, Augmentation, "an Augmentation or None")
        self._augmentation = augmentation
        self._seed = check_integer("seed", seed, 0)
        self._items = self._find_items()

    def _find_items(self) -> list[tuple[int, int]]:
        """Return (number of the video, labelled frame) of each item."""
        labelled = [(place, frame) for place, video in enumerate(self._sequences) for frame in _labelled_frames(video)]
        if not labelled:
            raise DatasetError(
                f"none of {len(self._sequences)} video(s) has a labelled frame, expected label maps to train on; "
                "is this a split whose labels are not published?"
            )
        history = self._offset + self._frames - 1
        found = [(place, frame) for place, frame in labelled if frame >= history]
        if not found:
            longest = max(frame for _, frame in labelled)
            raise ConfigError(
                f"`frame_offset` is {self._offset} with {self._frames} input frame(s), which takes {history} frames "
                f"before a labelled one; these clips have at most {longest}: k is beyond the clips' history, expected "
                f"`frame_offset` <= {longest - self._frames + 1}"
                if longest >= self._frames - 1
                else f"`frames` is {self._frames}, and no labelled frame has more than {longest} frame(s) before it; "
                "expected fewer input frames"
            )
        return found

    @property
    def about(self) -> dict[str, int]:
        """What tells these items from others of the same videos; the checkpoint of a training holds it."""
        return {"frame offset": self._offset, "input frames": self._frames, "seed": self._seed}

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return an item.

        Parameters
        ----------
        index : int or (int, int)
            Which item, or (epoch, which item); without an epoch it is 0.

        Returns
        -------
        image : Tensor of float32, (3 * frames, H, W)
            ImageNet-normalised RGB frames, oldest first.
        target : Tensor of int64, (H, W)
            Classes 0..C-1, and `IGNORED` (-100) where the label map is void or was padded.

        Raises
        ------
        IndexError
            If there is no such item.
        LabelError
            If a label is neither a class nor void.
        ShapeError
            If frames and label map differ in size.
        DatasetError
            If a frame is not an RGB image of bytes.
        """
        epoch, number = index if isinstance(index, tuple) else (0, index)
        epoch = check_integer("epoch", epoch, 0)
        number = range(len(self._items))[number]
        place, labelled = self._items[number]
        sequence, newest = self._sequences[place], labelled - self._offset
        with located(f"frame {labelled} of video {quoted(sequence.name)}"):
            target = self._target(sequence.targets[labelled])
            read = range(newest - self._frames + 1, newest + 1)
            frames = _stack([_image(sequence, frame, target.shape) for frame in read])
        if self._augmentation is None:
            return network_input(frames), target
        draw = self._augmentation.draw(np.random.default_rng([self._seed, epoch, number]))
        return self._augmentation.apply(draw, frames, target)

    def _target(self, labels: Any) -> Tensor:
        coded = code_map(labels, self._space, argument="target")
        target = torch.from_numpy(coded.pixels().astype(np.int64)).reshape(coded.shape)
        target[target == self._space.num_classes] = IGNORED
        return target


def _labelled_frames(sequence: VideoSequence) -> Sequence[int]:
    if len(sequence.frames) != len(sequence.targets):
        raise ShapeError(
            f"video {sequence.name!r} has {len(sequence.frames)} frames and {len(sequence.targets)} targets, expected "
            "as many of both, with None for an unlabelled frame"
        )
    return sequence.labelled


def _image(sequence: VideoSequence, number: int, size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    image = np.asarray(sequence.frames[number])
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise DatasetError(
            f"image {number} of video {quoted(sequence.name)} is {image.dtype} of shape {image.shape}, expected RGB of "
            "uint8, (H, W, 3)"
        )
    if image.shape[:2] != size:
        raise ShapeError(f"image {number} has shape {image.shape[:2]} and the labels {tuple(size)}, expected the same")
    return image


def _stack(images: list[npt.NDArray[np.uint8]]) -> Tensor:
    """Return uint8 (F, 3, H, W), channels last in memory, which is how it is scaled fastest."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
