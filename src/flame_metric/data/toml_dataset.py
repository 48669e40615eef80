"""Data sets described by a TOML file: where frames and label maps lie, what labels mean, how fast frames follow.

=====================================================  ==========================================================
``frames``, ``labels``                                 folders (or one video file), beside the TOML file or anywhere
``fps``                                                a number, or text such as "30000/1001"; video files may say it
``classes``, ``class_names``                           how many there are, or what they are called
``ignore_index``                                       the label of void pixels
``label_map``                                          from labels in files to classes, such as ``"0:0,255:1"``
``label_prefix``, ``label_suffix``                     of names of label maps, no part of the frame's name
``frame_prefix``, ``frame_suffix``, ``step``           only folders of images: of names of frames; between numbers
``frame_number``                                       the same: the pattern that finds the number in a name
``first_frame``                                        only video files: 0 or 1, number of the first frame
``train``, ``val``, ``test``                           lists of sequences: the splits, if there are any
``name``                                               of the data set; default: that of the file
=====================================================  ==========================================================

``frames`` and ``labels`` are needed, and one of ``classes`` and ``class_names``. Paths may lead anywhere: who writes
the file reads the data.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flame_metric.core.checks import is_possible_path
from flame_metric.data import VIDEO_EXTENSIONS
from flame_metric.data.frame_folder import frame_folder
from flame_metric.data.images import FRAME_EXTENSIONS
from flame_metric.data.paths import check_file, check_folder, exists, expand_home, is_file, is_folder
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError, DatasetError, cut, quoted

__all__ = ["toml_dataset"]

_TEXT, _WHOLE, _NAMES = "text", "a whole number", "a list of names"
_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "frames": _TEXT,
        "labels": _TEXT,
        "fps": "a number, or text such as '30000/1001'",
        "classes": _WHOLE,
        "class_names": _NAMES,
        "ignore_index": _WHOLE,
        "label_map": _TEXT,
        "label_prefix": _TEXT,
        "label_suffix": _TEXT,
        "frame_prefix": _TEXT,
        "frame_suffix": _TEXT,
        "step": _WHOLE,
        "frame_number": _TEXT,
        "first_frame": _WHOLE,
        "train": _NAMES,
        "val": _NAMES,
        "test": _NAMES,
        "name": _TEXT,
    }
)
_SPLITS = ("train", "val", "test")
_OF_IMAGES, _OF_VIDEOS = ("frame_prefix", "frame_suffix", "step", "frame_number"), ("first_frame",)


def toml_dataset(path: str | os.PathLike[str], *, split: str | None = None) -> VideoDataset:
    """Open the data set that a file describes; frames and labels are read on access.

    Parameters
    ----------
    path : str or path
        A TOML file with the keys above.
    split : {"train", "val", "test"}, optional
        The sequences that the file lists under this name; default: all.

    Raises
    ------
    ConfigError
        If the file lists no such split.
    DatasetError
        If the file is missing or no TOML, lacks a key, or holds one that is unknown or of a wrong kind; or as
        :func:`~flame_metric.data.frame_folder.frame_folder` and
        :func:`~flame_metric.data.video_folder.video_folder` raise it.
    MissingExtraError
        If video files are to be read without PyAV.
    """
    path = Path(path)
    record = _read(path)
    _check(path, record)
    options = {key: value for key, value in record.items() if key not in ("frames", "labels", "classes", *_SPLITS)}
    options["num_classes"] = record.get("classes")
    options["name"] = record.get("name", path.stem) + (f" {split}" if split else "")
    if split is not None:
        options["sequences"] = _sequences(path, record, split)
    frames, labels = (path.parent / expand_home(record[key]) for key in ("frames", "labels"))
    reader, foreign = (_videos, _OF_IMAGES) if _are_videos(frames) else (frame_folder, _OF_VIDEOS)
    for key in foreign:
        if key in record:
            kind = "video files" if reader is _videos else "folders of images"
            raise DatasetError(f"{path}: `{key}` means nothing for {kind}, expected it to be left out", path=path)
    if reader is frame_folder and "fps" not in record:
        raise DatasetError(f"{path}: `fps` is missing, expected {_KEYS['fps']}; only video files say it", path=path)
    try:
        return reader(frames, labels, **options)
    except ConfigError as error:
        message = str(error).replace("`num_classes`", "`classes`").replace("`sequences`", f"`{split}`")
        raise DatasetError(f"{path}: {message}", path=path) from error


def _read(path: Path) -> dict[str, Any]:
    check_file(path, "a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is not a TOML file: {cut(str(error))}", path=path) from error


def _check(path: Path, record: Mapping[str, Any]) -> None:
    """Refuse keys that are unknown, of a wrong kind, or missing, and sequences in two splits."""
    for key, value in record.items():
        if key not in _KEYS:
            raise DatasetError(
                f"{path}: `{cut(key, 100)}` is not a key, expected some of {', '.join(_KEYS)}", path=path
            )
        if not _is_of_kind(value, _KEYS[key]):
            raise DatasetError(f"{path}: `{key}` is {quoted(value)}, expected {_KEYS[key]}", path=path)
    for key, example in (("frames", "frames = 'frames'"), ("labels", "labels = 'labels'")):
        if key not in record:
            raise DatasetError(f"{path}: `{key}` is missing, expected a path, such as {example}", path=path)
    if "classes" not in record and "class_names" not in record:
        raise DatasetError(f"{path}: `classes` is missing, expected their number, or `class_names`", path=path)
    listed = [(name, split) for split in _SPLITS for name in dict.fromkeys(record.get(split, ()))]
    for name, split in listed:
        other = next(found for of, found in listed if of == name)
        if other != split:
            raise DatasetError(
                f"{path}: `{other}` and `{split}` both list {quoted(name)}, expected splits that share nothing",
                path=path,
            )


def _is_of_kind(value: object, kind: str) -> bool:
    if isinstance(value, str) and not is_possible_path(value):
        return False
    if kind == _NAMES:
        return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
    types = {_TEXT: (str,), _WHOLE: (int,)}.get(kind, (int, float, str))
    return type(value) in types


def _sequences(path: Path, record: Mapping[str, Any], split: str) -> list[str]:
    if split in _SPLITS and split in record:
        return list(record[split])
    there = [other for other in _SPLITS if other in record]
    found = f"only the split{'s' * (len(there) > 1)} {', '.join(there)}" if there else "no splits"
    wanted = f"one of {', '.join(there or _SPLITS)}"
    raise ConfigError(
        f"`split` is {split!r}, but {path} lists {found}, expected {wanted}; add a list of sequences, such as "
        "val = ['monday'], or use the data set as a whole"
    )


def _are_videos(frames: Path) -> bool:
    """Whether this is a video file or a folder of some."""
    wanted = "a folder of frames, or a video file"
    if not exists(frames):
        check_folder(frames, wanted)
    if is_file(frames) and frames.suffix.lower() in FRAME_EXTENSIONS:
        raise DatasetError(f"{frames}: is an image, expected {wanted}", path=frames)
    if not is_folder(frames):
        return is_file(frames)
    try:
        files = [file for file in frames.iterdir() if not file.name.startswith(".") and file.is_file()]
    except OSError as error:
        raise DatasetError(f"{frames}: cannot be read: {error.strerror or error}", path=frames) from error
    videos, images = (
        sorted(file.name for file in files if file.suffix.lower() in extensions)
        for extensions in (VIDEO_EXTENSIONS, FRAME_EXTENSIONS)
    )
    if videos and images:
        raise DatasetError(
            f"{frames}: holds {len(videos)} video file(s) such as {videos[0]} and {len(images)} image(s) such as "
            f"{images[0]}, expected one kind",
            path=frames,
        )
    return bool(videos)


def _videos(*args: Any, **options: Any) -> VideoDataset:
    # PyAV is optional: images need none.
    from flame_metric.data.video_folder import video_folder  # noqa: PLC0415

    return video_folder(*args, **options)
