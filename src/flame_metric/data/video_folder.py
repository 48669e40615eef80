"""Video files with label maps of some of their frames: ``<labels>/<stem of the video>/<number of the frame>.png``.

Frames are numbered as they are shown, from 0 on, or from 1 where the label maps count so. A video has one frame rate:
its own, if its frames follow each other at a constant one; otherwise it must be given. Their times are kept either way.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import Fps, as_fps
from flame_metric.data import VIDEO_EXTENSIONS
from flame_metric.data.class_maps import ClassMaps, ClassReader
from flame_metric.data.frame_files import FileFolder
from flame_metric.data.frame_names import split_name
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.name_parts import normalize_name
from flame_metric.data.paths import is_file
from flame_metric.data.video_file import VideoFile
from flame_metric.data.videos import OnAccess, VideoDataset, VideoSequence
from flame_metric.errors import DatasetError, quoted, shortened

__all__ = ["video_folder"]


def video_folder(
    frames: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    fps: Fps | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    ignore_index: int | None = None,
    label_map: LabelLookup | str | None = None,
    label_prefix: str = "",
    label_suffix: str = "",
    first_frame: int = 0,
    sequences: Collection[str] | None = None,
    name: str = "videos",
) -> VideoDataset:
    """Return labelled video files; frames are decoded, and labels read, on access.

    Parameters
    ----------
    frames : str or path
        A video file, or a folder of them; those without a folder of label maps are left out.
    labels : str or path
        The folder that holds a folder of PNG or .npy label maps for each video, called as the video without extension.
    fps : int, float, Fraction, Decimal or str, optional
        Frames per second; default: what each file says.
    num_classes, class_names, ignore_index
        As :class:`~flame_metric.jobs.request.Request` has them; the number may be left out where names are given.
    label_map : LabelLookup or str, optional
        From labels in the files to classes; text such as ``"0:0,255:1"``.
    label_prefix, label_suffix : str
        Beginning and end of the names of label maps around the number, the suffix with or without the extension. Files
        without them are passed over.
    first_frame : {0, 1}
        Number of the first frame of a video in the names of label maps.
    sequences : collection of str, optional
        Only these, named as the folders of label maps.
    name : str
        Of the data set.

    Returns
    -------
    VideoDataset
        Sequences are named as the videos without extension, with the frames' times (``timestamps_ns``) and their
        numbers as names, with as many digits as the label maps have.

    Raises
    ------
    ConfigError
        If an option is out of range, or a sequence is chosen that is not there.
    DatasetError
        If a folder is missing or empty, a folder of label maps has no video, a label map is not named by a number, or
        by one that the video does not have; if a video has no constant rate, and none is given; or as
        :meth:`VideoFile.open` raises it. On access: if a file is missing or damaged, or a label is neither a class nor
        void.
    """
    rate = None if fps is None else as_fps(fps)
    first_frame = check_integer("first_frame", first_frame, 0, most=1)
    files = _files(Path(frames))
    maps = ClassMaps.scan(
        labels,
        num_classes=num_classes,
        class_names=class_names,
        ignore_index=ignore_index,
        label_map=label_map,
        prefix=label_prefix,
        suffix=label_suffix,
    )
    root = maps.folder.root
    if maps.folder.is_flat:
        raise DatasetError(
            f"{root}: holds label maps itself, expected a folder for each video, such as {root}/{next(iter(files))}",
            path=root,
        )
    chosen = maps.choose(maps.files, sequences)
    alone = [video for video in chosen if video not in files]
    if alone:
        raise DatasetError(
            f"{frames}: has no video file for {len(alone)} of {len(chosen)} folder(s) of label maps: "
            f"{shortened(alone)}; it has {shortened(files)}",
            path=frames,
        )
    videos = tuple(_video(files[video], found, maps.read, rate, first_frame) for video, found in chosen.items())
    options = {"label_prefix": label_prefix, "label_suffix": label_suffix}
    if maps.folder.lookup is not None:
        options["label_map"] = maps.folder.lookup.to_text()
    given = {key: text for key, text in options.items() if text}
    return VideoDataset(name, videos, maps.class_names, maps.space.ignore_index, given)


def _files(frames: Path) -> Mapping[str, Path]:
    """Return video files by their names without extension."""
    if is_file(frames):
        return {normalize_name(frames.stem): frames}
    files = FileFolder(frames, "video files", extensions=VIDEO_EXTENSIONS).files()
    if not files:
        raise DatasetError(f"{frames}: holds no video file ({', '.join(VIDEO_EXTENSIONS)})", path=frames)
    return files


def _video(
    path: Path, maps: Mapping[str, Path], read: ClassReader, rate: Fraction | None, first_frame: int
) -> VideoSequence:
    video = VideoFile.open(path)
    numbers = _by_number(maps, video, first_frame)
    labels = {number - first_frame: maps[frame] for number, frame in numbers.items()}
    digits = {len(frame) for frame in maps}
    width = digits.pop() if len(digits) == 1 else 1
    names = [f"{number:0{width}}" for number in range(first_frame, len(video) + first_frame)]
    for number, frame in numbers.items():
        names[number - first_frame] = frame
    return VideoSequence(
        path.stem,
        OnAccess(video.frame, len(video)),
        OnAccess(partial(_target, read, labels), len(video), labelled=labels),
        _rate(video) if rate is None else rate,
        video.timestamps_ns,
        names,
    )


def _target(read: ClassReader, labels: Mapping[int, Path], index: int) -> npt.NDArray[Any]:
    return read(labels[index])


def _by_number(maps: Mapping[str, Path], video: VideoFile, first_frame: int) -> dict[int, str]:
    """Return the names of label maps by their numbers, which are frames of the video."""
    there = range(first_frame, len(video) + first_frame)
    found: dict[int, str] = {}
    for name, path in maps.items():
        _, number, pattern = split_name(name, path)
        if pattern != ("", ""):
            raise DatasetError(f"{path}: the name {quoted(name)} is not a number, expected that of a frame", path=path)
        if number not in there:
            raise DatasetError(
                f"{path}: is of frame {number}, but {video.path} has frames {there[0]}..{there[-1]}, expected one of "
                "them; `first_frame` says from which number on they count",
                path=path,
            )
        if number in found:
            raise DatasetError(f"{path}: is of frame {number}, as {maps[found[number]].name} is", path=path)
        found[number] = name
    return found


def _rate(video: VideoFile) -> Fraction:
    if video.rate is not None:
        return video.rate
    gaps = [after - before for before, after in pairwise(video.timestamps_ns)]
    found = "holds only one frame"
    if gaps:
        longest = gaps.index(max(gaps))
        found = (
            f"has no constant frame rate: its frames follow each other after {min(gaps) / 1e6:.3f} to "
            f"{gaps[longest] / 1e6:.3f} ms (frame {longest + 1} after frame {longest})"
        )
    raise DatasetError(
        f"{video.path}: {found}; give `fps`, at which its frames are counted then, or convert it to a constant rate",
        path=video.path,
    )
