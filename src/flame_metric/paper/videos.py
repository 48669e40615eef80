"""Videos to train on and others to test on, for an experiment.

They are the splits ``train`` and ``val`` of a data set. Synthetic streets are small by default: short videos of many
places to train on, longer ones of others to test on, rendered once and kept in memory if they fit.
"""

from __future__ import annotations

from dataclasses import replace

from flame_metric.data.registry import open_dataset
from flame_metric.data.videos import VideoDataset, VideoSequence

__all__ = ["open_training_and_test"]

_SIZE = {"height": "128", "width": "256"}
_SYNTHETIC = {"train": {**_SIZE, "videos": "120", "num_frames": "10"}, "val": {**_SIZE, "videos": "24"}}
_KEPT_BYTES = 2_000_000_000
_BYTES = 4  # of a pixel: three colours and a label


def open_training_and_test(data: str) -> tuple[VideoDataset, VideoDataset]:
    """Open the videos of an experiment.

    Parameters
    ----------
    data : str
        As :func:`~flame_metric.open_dataset` takes it. What is not said of synthetic videos is small:
        120 of 10 frames to train on and 24 of 30 to test on, 128x256.

    Raises
    ------
    ConfigError, DatasetError
        If there are no such data.

    Examples
    --------
    >>> training, test = open_training_and_test("synthetic:videos=2,num_frames=3,height=32,width=64")
    >>> len(training.sequences), test.sequences[0].frames[2].shape
    (2, (32, 64, 3))
    """
    name, _, options = data.partition(":")
    if name != "synthetic":
        return open_dataset(data, split="train"), open_dataset(data, split="val")
    training, test = (
        open_dataset(f"synthetic:{','.join([*_unsaid(options, split), *filter(None, [options])])}", split=split)
        for split in ("train", "val")
    )
    return _kept(training), _kept(test)


def _unsaid(options: str, split: str) -> list[str]:
    """Return the options of synthetic videos for which there is a default here, and which are not given."""
    given = {option.partition("=")[0].strip() for option in options.split(",")}
    return [f"{name}={value}" for name, value in _SYNTHETIC[split].items() if name not in given]


def _kept(dataset: VideoDataset) -> VideoDataset:
    height, width, _ = dataset.sequences[0].frames[0].shape
    frames = sum(len(video.frames) for video in dataset.sequences)
    if frames * height * width * _BYTES > _KEPT_BYTES:
        return dataset
    return replace(dataset, sequences=tuple(_rendered(video) for video in dataset.sequences))


def _rendered(video: VideoSequence) -> VideoSequence:
    pairs = [(video.frames[index], video.targets[index]) for index in range(len(video.frames))]  # rendered together
    return replace(video, frames=[frame for frame, _ in pairs], targets=[target for _, target in pairs])
