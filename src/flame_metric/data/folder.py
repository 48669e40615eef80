"""Folders of label maps: ``<root>/<sequence>/<frame>.png`` or one flat sequence, .npy as well as .png.

Frames are matched by name, never by position: the name is the file's stem without a given prefix and suffix. Its last
digits are the frame number. On the timeline of a sequence, numbers count in *steps*; a step is the smallest difference
between two numbers, and a number that is missing on both sides is a hole, not a frame.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.checks import check_integer
from flame_metric.data import MAX_PIXELS
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import check_file, check_folder
from flame_metric.errors import DatasetError, LabelError, shortened

__all__ = [
    "Clip",
    "Frame",
    "LabelFolder",
    "affix_hint",
    "by_recording",
    "files_by_frame",
    "match_folders",
    "split_name",
]

_EXTENSIONS = (".png", ".npy")
_LAST_DIGITS = re.compile(r"(?P<before>.*?)(?P<number>[0-9]+)(?P<after>[^0-9]*)", re.DOTALL)


@dataclass(frozen=True)
class LabelFolder:
    """The label maps in a folder, by sequence and frame name; :meth:`scan` finds them.

    Attributes
    ----------
    root : Path
    sequences : Mapping of str to Mapping of str to Path
        Sequence id -> frame name -> file.
    is_flat : bool
        Whether the files lie in the root itself. Sequences are then told apart, and named, by what stands before the
        frame numbers.
    lookup : LabelLookup or None
        Applied to every label map that is read.
    """

    root: Path
    sequences: Mapping[str, Mapping[str, Path]]
    is_flat: bool
    lookup: LabelLookup | None = None

    @classmethod
    def scan(
        cls, root: str | os.PathLike[str], *, prefix: str = "", suffix: str = "", lookup: LabelLookup | None = None
    ) -> LabelFolder:
        """Find the label maps below a folder.

        Parameters
        ----------
        root : str or path
        prefix, suffix : str
            Beginning and end of file names that are no part of the frame's name, such as ``"_gtFine_labelIds"``; the
            suffix with or without the extension. Files without them are passed over.
        lookup : LabelLookup, optional
            From labels in the files to classes.

        Raises
        ------
        DatasetError
            If the folder is missing, holds no label map, or holds some both in the root and in folders below it.
        """
        root = Path(root)
        check_folder(root, "a folder")
        try:
            flat = files_by_frame(root, prefix, suffix)
            folders = [folder for folder in sorted(root.iterdir()) if _is_clip(folder)]
            found = {folder.name: files_by_frame(folder, prefix, suffix) for folder in folders}
            below = {name: frames for name, frames in found.items() if frames}
            empty = "" if flat or below else _why_empty(root, prefix, suffix)
        except OSError as error:
            where = error.filename or root
            raise DatasetError(f"{where}: cannot be read: {error.strerror or error}", path=where) from error
        if flat and below:
            raise DatasetError(
                f"{root}: holds label maps itself and in {len(below)} folder(s) such as {next(iter(below))}, expected "
                "one flat sequence or one folder for each sequence",
                path=root,
            )
        if not flat and not below:
            raise DatasetError(f"{root}: holds no label maps{empty}", path=root)
        return cls(root, by_recording(flat) if flat else below, bool(flat), lookup)

    def read(self, path: Path, *, shape: tuple[int, int] | None = None, scores: bool = False) -> npt.NDArray[Any]:
        """Read one label map of this folder, mapped to classes.

        Parameters
        ----------
        path : Path
        shape : (int, int), optional
            (H, W) that it must have; compared before the pixels are read.
        scores : bool
            Whether a .npy file may hold floating scores (C, H, W) instead.

        Raises
        ------
        DatasetError
            If the file is missing, damaged, of another shape than ``shape``, no label map, or holds a label that the
            lookup does not know.
        """
        check_file(path, "a label map")
        if path.suffix.lower() == ".png":
            # Pillow is optional: .npy works without. One edge may use its neighbour below it, in this one place.
            from flame_metric.data.label_png import read_label_png  # noqa: PLC0415

            labels: npt.NDArray[Any] = read_label_png(path, shape=shape)
        else:
            labels = _read_npy(path, shape, scores=scores)
        if self.lookup is None:
            return labels
        try:
            return self.lookup.apply(labels)
        except LabelError as error:
            raise DatasetError(f"{path}: {error}", path=path) from error


@dataclass(frozen=True)
class Frame:
    """A frame of a clip.

    Attributes
    ----------
    index : int
        Its place on the timeline, in steps from the first frame.
    name : str
    pred, label : Path, str or None
        Its files, as far as it has them; text where its maps come from elsewhere.
    """

    index: int
    name: str
    pred: Path | str | None
    label: Path | str | None


@dataclass(frozen=True)
class Clip:
    """One sequence of predictions and labels on a common timeline.

    Attributes
    ----------
    name : str
    frames : tuple of Frame
        In order; indices that are missing are holes.
    step : int or None
        Difference of frame numbers from one index to the next; None for a single frame.
    """

    name: str
    frames: tuple[Frame, ...]
    step: int | None


def match_folders(preds: LabelFolder, labels: LabelFolder, *, step: int | None = None) -> list[Clip]:
    """Put predictions and labels of equal names on common timelines, one clip a labelled sequence.

    Parameters
    ----------
    preds, labels : LabelFolder
    step : int, optional
        Difference of frame numbers from one frame to the next; default: read from the numbers.

    Raises
    ------
    DatasetError
        If sequences or names do not match, numbers come twice or do not lie on one grid.
    """
    if step is not None:
        step = check_integer("step", step, 1)
    pairs = _match_sequences(preds, labels)
    clips = [_match_clip(name, *files, labels.root, step) for name, files in pairs.items()]
    steps = {clip.step: clip.name for clip in clips if clip.step is not None}
    if len(steps) > 1:
        found = ", ".join(f"{size} in {name}" for size, name in sorted(steps.items())[:5])
        raise DatasetError(
            f"{labels.root}: frame numbers advance by unlike steps ({found}), expected one step for one frame rate; "
            "give it (--step)",
            path=labels.root,
        )
    return clips


def files_by_frame(
    folder: Path, prefix: str = "", suffix: str = "", *, extensions: tuple[str, ...] = _EXTENSIONS
) -> dict[str, Path]:
    """Return the files in a folder by the name of their frame, in order.

    Parameters
    ----------
    folder : Path
    prefix, suffix : str
        As :meth:`LabelFolder.scan` takes them.
    extensions : tuple of str
        In lower case.

    Raises
    ------
    DatasetError
        If a frame has two files.
    OSError
        If the folder cannot be read.
    """
    frames: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        extension = path.suffix.lower()
        if extension not in extensions or path.name.startswith("."):
            continue
        end = suffix if suffix.lower().endswith(extension) else suffix + path.suffix
        if not (path.name.startswith(prefix) and path.name.endswith(end) and len(path.name) > len(prefix) + len(end)):
            continue
        name = path.name[len(prefix) : len(path.name) - len(end)]
        if name in frames:
            raise DatasetError(f"{path}: is a second file for frame {name} beside {frames[name].name}", path=path)
        frames[name] = path
    return frames


def split_name(name: str, path: Path) -> tuple[tuple[str, str], int]:
    """Split the name of a frame into what stands before and after its number, and the number: its last digits.

    Parameters
    ----------
    name : str
    path : Path
        Its file, for the message.

    Raises
    ------
    DatasetError
        If it holds no digits.
    """
    match = _LAST_DIGITS.fullmatch(name)
    if match is None:
        raise DatasetError(f"{path}: the frame name {name!r} has no digits, expected a frame number in it", path=path)
    return (match["before"], match["after"]), int(match["number"])


def by_recording(frames: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """Split the files of a flat folder by what stands before the frame number: several recordings may share it.

    Parameters
    ----------
    frames : mapping of str to Path
        Name of a frame -> file.

    Raises
    ------
    DatasetError
        If a name holds no digits.
    """
    recordings: dict[str, dict[str, Path]] = {}
    for name, path in frames.items():
        (before, _), _ = split_name(name, path)
        recordings.setdefault(before.rstrip("_-. "), {})[name] = path
    return recordings


_AFFIX_OPTIONS = ("--pred-prefix {}", "--label-prefix {}", "--pred-suffix {}", "--label-suffix {}")


def affix_hint(
    first: tuple[str, str], second: tuple[str, str], options: tuple[str, str, str, str] = _AFFIX_OPTIONS
) -> str:
    """Say which options remove the part of the names in which two kinds of files differ; "" if none does.

    Parameters
    ----------
    first, second : (str, str)
        What stands before and after the frame number of each.
    options : four of str
        How they are written, ``{}`` for what they remove: the prefixes of first and second, then the suffixes.
    """
    (first_before, first_after), (second_before, second_after) = first, second
    start = min(first_before, second_before, key=len)
    if not (first_before.endswith(start) and second_before.endswith(start)):
        start = ""
    end = min(first_after, second_after, key=len)
    if not (first_after.startswith(end) and second_after.startswith(end)):
        end = ""
    affixes = (
        first_before.removesuffix(start),
        second_before.removesuffix(start),
        first_after.removeprefix(end),
        second_after.removeprefix(end),
    )
    used = [option.format(affix) for option, affix in zip(options, affixes, strict=True) if affix]
    return "; try " + " ".join(used) if used else ""


def _is_clip(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".")


def _why_empty(root: Path, prefix: str, suffix: str) -> str:
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in _EXTENSIONS)
    if not files:
        return " (.png or .npy) at all"
    depth = len(files[0].relative_to(root).parts)
    if depth > 2:
        return (
            f" in itself or one folder below, but deeper down, such as {files[0]}; point to the folder above that one"
        )
    return f" whose names begin with {prefix!r} and end with {suffix!r}, but others, such as {files[0].name}"


def _read_npy(path: Path, shape: tuple[int, int] | None, *, scores: bool) -> npt.NDArray[Any]:
    try:
        with path.open("rb") as file:
            is_npy = file.read(6) == b"\x93NUMPY"
        # The header alone, until its shape is known.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False) if is_npy else np.empty(0)
    except Exception as error:  # the header is parsed as Python text: much can go wrong
        raise DatasetError(f"{path}: cannot be read as an array of numbers: {error}", path=path) from error
    if not is_npy:
        raise DatasetError(f"{path}: is no .npy file, expected an array", path=path)
    are_scores = scores and mapped.ndim == 3 and mapped.dtype.kind == "f"
    if mapped.ndim != 2 and not are_scores:
        wanted = "a label map (H, W)" + (" or floating scores (C, H, W)" if scores else "")
        remedy = "; drop the axis of 1" if mapped.ndim == 3 and 1 in mapped.shape else ""
        raise DatasetError(f"{path}: holds {mapped.dtype} {mapped.shape}, expected {wanted}{remedy}", path=path)
    if math.prod(mapped.shape[-2:]) > MAX_PIXELS:
        raise DatasetError(f"{path}: has shape {mapped.shape}, expected at most {MAX_PIXELS:,} pixels", path=path)
    if shape is not None and mapped.shape[-2:] != shape:
        raise DatasetError(f"{path}: has shape {mapped.shape}, expected {shape}; nothing is resized", path=path)
    return np.array(mapped)


def _match_sequences(
    preds: LabelFolder, labels: LabelFolder
) -> dict[str, tuple[Mapping[str, Path], Mapping[str, Path]]]:
    if preds.is_flat and labels.is_flat and len(preds.sequences) == len(labels.sequences) == 1:
        (pred_frames,), (label_frames,) = preds.sequences.values(), labels.sequences.values()
        return {labels.root.resolve().name: (pred_frames, label_frames)}
    if preds.is_flat != labels.is_flat:
        flat, nested = (preds, labels) if preds.is_flat else (labels, preds)
        raise DatasetError(
            f"{flat.root}: holds frames itself, while {nested.root} holds folders of them such as "
            f"{next(iter(nested.sequences))}, expected the same layout",
            path=flat.root,
        )
    missing = sorted(labels.sequences.keys() - preds.sequences.keys())
    if missing:
        raise DatasetError(
            f"{preds.root}: has no predictions for {len(missing)} of {len(labels.sequences)} sequence(s): "
            f"{shortened(missing)}; it has {shortened(sorted(preds.sequences))}",
            path=preds.root,
        )
    return {name: (preds.sequences[name], frames) for name, frames in labels.sequences.items()}


def _match_clip(name: str, preds: Mapping[str, Path], labels: Mapping[str, Path], root: Path, step: int | None) -> Clip:
    patterns = [{split_name(frame, files[frame])[0] for frame in files} for files in (labels, preds)]
    for files, found in zip((labels, preds), patterns, strict=True):
        if len(found) > 1:
            folder = next(iter(files.values())).parent
            raise DatasetError(
                f"{folder}: holds names of {len(found)} kinds, such as {shortened(sorted(map('#'.join, found)))} "
                "(# = frame number), expected one sequence in a folder",
                path=folder,
            )
    if patterns[0] != patterns[1]:
        example = next(iter(preds.values()))
        raise DatasetError(
            f"{example}: frame names do not match: predictions are named {shortened(sorted(preds))}, labels "
            f"{shortened(sorted(labels))}{affix_hint(patterns[1].pop(), patterns[0].pop())}",
            path=example,
        )
    numbers: dict[int, str] = {}
    for frame in sorted(preds.keys() | labels.keys()):
        number = split_name(frame, root)[1]
        if number in numbers:
            one, other = (preds.get(both) or labels[both] for both in (numbers[number], frame))
            raise DatasetError(
                f"{other}: is frame {number} of sequence {name}, as {one} is, expected equal names for the prediction "
                "and the labels of a frame, zeros included",
                path=other,
            )
        numbers[number] = frame
    ordered = sorted(numbers)
    gaps = {later - earlier for earlier, later in pairwise(ordered)}
    size = step or min(gaps, default=None)
    off_grid = sorted(gap for gap in gaps if gap % (size or 1))
    if off_grid:
        raise DatasetError(
            f"{root}: sequence {name}: frame numbers are up to {off_grid[-1]} apart, expected multiples of the step "
            f"{size}; --step {math.gcd(*gaps)} fits all of them",
            path=root,
        )
    frames = tuple(
        Frame((number - ordered[0]) // (size or 1), frame, preds.get(frame), labels.get(frame))
        for number, frame in sorted(numbers.items())
    )
    return Clip(name, frames, size)
