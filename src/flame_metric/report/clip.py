"""A clip for a report: small pictures of its frames, and of label maps as layers that a browser lays over them.

A browser shows any prediction over any frame by laying one over the other, so N frames and N label maps are enough for
each delay. Frames become JPEG, layers PNG with opacity. A label map is made smaller by taking the nearest pixels.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.labels import LabelMaps
from flame_metric.data.videos import VideoDataset, VideoSequence
from flame_metric.errors import ConfigError, DatasetError, MissingExtraError, ShapeError, located, shortened
from flame_metric.figures.painting import Labels, Style, as_picture, class_numbers, make_style, near_border
from flame_metric.figures.palettes import palette

__all__ = ["Layer", "PictureClip", "read_clip"]

_MOST_FRAMES, _WIDTH, _LEAST_WIDTH = 30, 480, 32
_OPACITY = 0.45
_LINE = (255, 255, 255, 255)  # around the truth: no palette has white
_HALO = (0, 0, 0, 150)  # beside it, for light pictures
Layer = str | None
"""A picture to lay over another, as a data URI; None where there is none."""


@dataclass(frozen=True)
class PictureClip:
    """Consecutive frames of a video as data URIs.

    Attributes
    ----------
    name : str
    first : int
        Number of the first of them in the video.
    length : int
        Frames of the video.
    size : (int, int)
        Height and width of a picture.
    frames : tuple of str
    truth, outlines : tuple of str or None
        The labels as a layer, and the lines between them; None where a frame is not labelled.
    predictions : mapping of str to tuple of str or None
        By network: of each frame; None where there is no label map.
    """

    name: str
    first: int
    length: int
    size: tuple[int, int]
    frames: tuple[str, ...]
    truth: tuple[Layer, ...]
    outlines: tuple[Layer, ...]
    predictions: Mapping[str, tuple[Layer, ...]]

    def index(self, frame: int) -> int:
        """Return where a frame of the video is among the pictures; -1 if it is not."""
        return frame - self.first if 0 <= frame - self.first < len(self.frames) else -1


def read_clip(
    dataset: VideoDataset,
    label_maps: Mapping[str, str | os.PathLike[str]],
    *,
    clip: str | None = None,
    max_frames: int = _MOST_FRAMES,
    width: int = _WIDTH,
) -> PictureClip:
    """Read frames, labels and predictions of a clip.

    Parameters
    ----------
    dataset : VideoDataset
    label_maps : mapping of str to path
        By network: the folder that ``flame-metric run --label-maps`` wrote.
    clip : str, optional
        Which video. Default: the first that has a label.
    max_frames : int
        Pictures at most, >= 2: the first frames, or later ones where none of those is labelled.
    width : int
        Of a picture, >= 32 pixels; frames that are smaller stay as they are.

    Raises
    ------
    ConfigError
        If there is no such video, or an option is out of range.
    DatasetError
        If a file is missing or damaged, or a folder has no label map of the clip.
    ShapeError, LabelError
        If label maps are not label maps of the frames.
    MissingExtraError
        If Pillow is not installed.
    """
    max_frames = check_integer("max_frames", max_frames, 2, unit="frames")
    width = check_integer("width", width, _LEAST_WIDTH, unit="pixels")
    video = _chosen(dataset, clip)
    first = max(0, min(video.labelled, default=0) + 1 - max_frames)
    shown = range(first, min(len(video.frames), first + max_frames))
    void = dataset.num_classes if dataset.ignore_index is None else dataset.ignore_index  # as label maps are written
    pictures = _Pictures(make_style(palette(dataset.class_names), void, _OPACITY, 1), width)
    frames = tuple(pictures.frame(video.frames[index]) for index in shown)
    truth, outlines = [], []
    for index in shown:
        target = video.targets[index]
        labels = None if target is None else pictures.labels(target, f"the labels of frame {index} of {video.name}")
        truth.append(None if labels is None else pictures.layer(labels))
        outlines.append(None if labels is None else pictures.outline(labels))
    predictions = {name: _predictions(pictures, Path(folder), video, shown) for name, folder in label_maps.items()}
    return PictureClip(
        video.name, first, len(video.frames), pictures.size, frames, tuple(truth), tuple(outlines), predictions
    )


def _chosen(dataset: VideoDataset, name: str | None) -> VideoSequence:
    videos = {video.name: video for video in dataset.sequences}
    labelled = (video for video in dataset.sequences if video.labelled)
    found = next(labelled, None) if name is None else videos.get(name)
    if found is None:
        wanted = "with labels" if name is None else repr(name)
        raise ConfigError(f"there is no video {wanted} in {dataset.name}, expected one of {shortened(videos)}")
    return found


def _predictions(pictures: _Pictures, folder: Path, video: VideoSequence, shown: Sequence[int]) -> tuple[Layer, ...]:
    from flame_metric.data.images import read_label_png  # noqa: PLC0415  Pillow is optional

    files = [folder / video.name / f"{video.frame_name(index)}.png" for index in shown]
    if not any(file.is_file() for file in files):
        raise DatasetError(
            f"{folder}: holds no label map of {video.name}, such as {files[0]}; expected what `flame-metric run "
            "--label-maps` wrote",
            path=folder,
        )
    layers: list[Layer] = []
    for file in files:
        labels = pictures.labels(read_label_png(file), str(file)) if file.is_file() else None
        layers.append(None if labels is None else pictures.layer(labels))
    return tuple(layers)


class _Pictures:
    """Makes pictures of one size, that of the first frame made smaller."""

    def __init__(self, style: Style, width: int) -> None:
        try:
            from flame_metric.data.images import as_jpeg, as_png  # noqa: PLC0415  Pillow is optional
        except MissingExtraError as error:
            raise MissingExtraError("pictures in a report need Pillow: pip install 'flame-metric[cli]'") from error
        self._jpeg, self._png = as_jpeg, as_png
        self._style, self._width = style, width
        self._shape = (0, 0)  # of the frames
        self.size = (0, 0)

    def frame(self, frame: npt.ArrayLike) -> str:
        picture = as_picture("frames", frame)
        if not self._shape[0]:
            height, width = self._shape = picture.shape[0], picture.shape[1]
            share = min(1, self._width / width)
            self.size = max(1, round(height * share)), round(width * share)
        self._check(picture.shape[:2], "a frame")
        return _uri("jpeg", self._jpeg(picture, size=self.size))

    def labels(self, labels: LabelMaps, what: str) -> Labels:
        with located(what):
            numbers = class_numbers("labels", labels, self._style.space)
        self._check(numbers.shape, what)
        return _nearest(numbers, self.size)

    def layer(self, labels: Labels) -> str:
        return _uri("png", self._png(self._style.layer(labels)))

    def outline(self, labels: Labels) -> str:
        picture = np.zeros((*labels.shape, 4), np.uint8)
        picture[near_border(labels, 1)] = _HALO
        below, beside = labels[1:, :-1] != labels[:-1, :-1], labels[:-1, 1:] != labels[:-1, :-1]
        picture[:-1, :-1][below | beside] = _LINE
        return _uri("png", self._png(picture))

    def _check(self, shape: tuple[int, ...], what: str) -> None:
        if shape != self._shape:
            raise ShapeError(f"{what} has shape {shape}, expected {self._shape}, that of the frames before it")


def _nearest(labels: Labels, size: tuple[int, int]) -> Labels:
    """Return the pixels of a label map that lie nearest to those of a smaller one."""
    rows, columns = (
        ((np.arange(small) + 0.5) * large / small).astype(np.intp)
        for small, large in zip(size, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, columns)]


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
