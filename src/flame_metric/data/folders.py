"""Folders of label maps: ``<root>/<sequence>/<frame>.png`` or one flat sequence, .npy as well as .png.

They may lie on disk, in an archive, in an object store or on a server (places.py).

Frames are matched by name, never by position: the name is the file's stem without a given prefix and suffix. Its last
digits are the frame number. On the timeline of a sequence, numbers count in *steps*; a step is the smallest difference
between two numbers, and a number that is missing on both sides is a hole, not a frame.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.data import MAX_PIXELS
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import check_file, exists
from flame_metric.data.places import open_place
from flame_metric.data.stored import StoredFile, StoredFolder, empty_folder
from flame_metric.errors import DatasetError, LabelError, shortened

__all__ = [
    "Clip",
    "Frame",
    "LabelFile",
    "LabelFolder",
    "affix_hint",
    "files_by_frame",
    "match_folders",
    "split_name",
    "split_recordings",
]

LabelFile = Path | StoredFile
"""A file of a label map, on disk or elsewhere."""
File = TypeVar("File", bound=LabelFile)

_EXTENSIONS = (".png", ".npy")
_LAST_DIGITS = re.compile(r"(?P<before>.*?)(?P<number>[0-9]+)(?P<after>[^0-9]*)", re.DOTALL)


@dataclass(frozen=True)
class LabelFolder:
    """The label maps in a folder, by sequence and frame name; :meth:`scan` finds them.

    Attributes
    ----------
    root : Path or StoredFolder
    sequences : Mapping of str to Mapping of str to (Path or StoredFile)
        Sequence id -> frame name -> file.
    is_flat : bool
        Whether the files lie in the root itself. Sequences are then told apart, and named, by what stands before the
        frame numbers.
    lookup : LabelLookup or None
        Applied to every label map that is read.
    """

    root: Path | StoredFolder
    sequences: Mapping[str, Mapping[str, LabelFile]]
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
            A folder, or what else :func:`~flame_metric.data.places.open_place` opens.
        prefix, suffix : str
            Beginning and end of file names that are no part of the frame's name, such as ``"_gtFine_labelIds"``; the
            suffix with or without the extension. Files without them are passed over.
        lookup : LabelLookup, optional
            From labels in the files to classes.

        Raises
        ------
        ConfigError, MissingExtraError
            As :func:`~flame_metric.data.places.open_place` raises them.
        DatasetError
            If the folder is missing, holds no label map, or holds some both in the root and in folders below it.
        """
        place = open_place(root)
        if isinstance(place, Path):
            flat, below, empty = _walk_disk(place, prefix, suffix)
        else:
            flat, below, empty = _walk_store(place, prefix, suffix)
        if flat and below:
            raise DatasetError(
                f"{place}: holds label maps itself and in {len(below)} folder(s) such as {next(iter(below))}, expected "
                "one flat sequence or one folder for each sequence",
                path=place,
            )
        if not flat and not below:
            raise DatasetError(f"{place}: holds no label maps{empty}", path=place)
        return cls(place, split_recordings(flat) if flat else below, bool(flat), lookup)

    @property
    def name(self) -> str:
        """The name of the folder, wherever it lies: of a link its own, by which parts of an evaluation know it."""
        return self.root.absolute().name if isinstance(self.root, Path) else self.root.name

    @property
    def sequence_name(self) -> str:
        """What its sequence is called if it is flat, and frames are called by numbers alone: where a link leads to."""
        return self.root.resolve().name if isinstance(self.root, Path) else self.root.name

    def read(
        self,
        file: LabelFile,
        *,
        content: bytes | None = None,
        shape: tuple[int, int] | None = None,
        scores: bool = False,
    ) -> npt.NDArray[Any]:
        """Read one label map of this folder, mapped to classes.

        Parameters
        ----------
        file : Path or StoredFile
        content : bytes, optional
            What it holds, if that has been read already.
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
        if isinstance(file, StoredFile):
            content = file.read() if content is None else content
        else:
            check_file(file, "a label map")
        if file.suffix.lower() == ".png":
            # Pillow is optional: .npy works without. One edge may use its neighbour below it, in this one place.
            from flame_metric.data.images import read_label_png  # noqa: PLC0415

            labels: npt.NDArray[Any] = read_label_png(file, content=content, shape=shape)
        else:
            labels = _read_npy(file, content, shape, scores=scores)
        if self.lookup is None:
            return labels
        try:
            return self.lookup.apply(labels)
        except LabelError as error:
            raise DatasetError(f"{file}: {error}", path=file) from error


@dataclass(frozen=True)
class Frame:
    """A frame of a clip.

    Attributes
    ----------
    index : int
        Its place on the timeline, in steps from the first frame.
    name : str
    pred, label : Path, StoredFile, str or None
        Its files, as far as it has them; text where its maps come from elsewhere.
    """

    index: int
    name: str
    pred: LabelFile | str | None
    label: LabelFile | str | None


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
    return _by_frame(sorted(folder.iterdir()), prefix, suffix, extensions)


def split_name(name: str, path: LabelFile | StoredFolder) -> tuple[tuple[str, str], int]:
    """Split the name of a frame into what stands before and after its number, and the number: its last digits.

    Parameters
    ----------
    name : str
    path : Path, StoredFile or StoredFolder
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


def split_recordings(frames: Mapping[str, File]) -> dict[str, dict[str, File]]:
    """Split the files of a flat folder by what stands before the frame number: several recordings may share it.

    Parameters
    ----------
    frames : mapping of str to (Path or StoredFile)
        Name of a frame -> file.

    Raises
    ------
    DatasetError
        If a name holds no digits.
    """
    recordings: dict[str, dict[str, File]] = {}
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


def _by_frame(
    files: Iterable[File], prefix: str, suffix: str, extensions: tuple[str, ...] = _EXTENSIONS
) -> dict[str, File]:
    frames: dict[str, File] = {}
    for file in files:
        extension = file.suffix.lower()
        if extension not in extensions or file.name.startswith("."):
            continue
        end = suffix if suffix.lower().endswith(extension) else suffix + file.suffix
        if not (file.name.startswith(prefix) and file.name.endswith(end) and len(file.name) > len(prefix) + len(end)):
            continue
        name = file.name[len(prefix) : len(file.name) - len(end)]
        if name in frames:
            raise DatasetError(f"{file}: is a second file for frame {name} beside {frames[name].name}", path=file)
        frames[name] = file
    return frames


_Found = tuple[Mapping[str, LabelFile], Mapping[str, Mapping[str, LabelFile]], str]
"""Files by frame in a folder itself; in folders below it, those that hold some; and why there are none at all."""


def _walk_disk(root: Path, prefix: str, suffix: str) -> _Found:
    try:
        flat = files_by_frame(root, prefix, suffix)
        folders = [folder for folder in sorted(root.iterdir()) if _is_clip(folder)]
        found = {folder.name: files_by_frame(folder, prefix, suffix) for folder in folders}
        for folder in folders:
            if not found[folder.name] and not any(folder.iterdir()):
                raise empty_folder(folder)
        below = {name: frames for name, frames in found.items() if frames}
        if flat or below:
            return flat, below, ""
        files = sorted(path for path in root.rglob("*") if path.suffix.lower() in _EXTENSIONS)
        return flat, below, _why_empty([(file, file.relative_to(root).parts) for file in files], prefix, suffix)
    except OSError as error:
        where = error.filename or root
        raise DatasetError(f"{where}: cannot be read: {error.strerror or error}", path=where) from error


def _walk_store(root: StoredFolder, prefix: str, suffix: str) -> _Found:
    files = [file for file in root.files() if file.suffix.lower() in _EXTENSIONS]
    by_folder: dict[str, list[StoredFile]] = {}
    for file in files:
        *folders, _ = file.path.parts
        if len(folders) < 2 and not "".join(folders).startswith("."):
            by_folder.setdefault("".join(folders), []).append(file)
    flat = _by_frame(by_folder.pop("", []), prefix, suffix)
    found = {name: _by_frame(some, prefix, suffix) for name, some in by_folder.items()}
    below = {name: frames for name, frames in found.items() if frames}
    empty = "" if flat or below else _why_empty([(file, file.path.parts) for file in files], prefix, suffix)
    return flat, below, empty


def _is_clip(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_symlink() and not exists(path) and path.suffix.lower() not in _EXTENSIONS:  # those are told when read
        raise DatasetError(f"{path}: is a link to nothing, expected a folder of label maps", path=path)
    return path.is_dir()


def _why_empty(files: Sequence[tuple[LabelFile, tuple[str, ...]]], prefix: str, suffix: str) -> str:
    """Say what is there instead, of files with their paths below the root."""
    if not files:
        return " (.png or .npy) at all"
    example, parts = files[0]
    if len(parts) > 2:
        return f" in itself or one folder below, but deeper down, such as {example}; point to the folder above that one"
    return f" whose names begin with {prefix!r} and end with {suffix!r}, but others, such as {example.name}"


def _read_npy(
    file: LabelFile, content: bytes | None, shape: tuple[int, int] | None, *, scores: bool
) -> npt.NDArray[Any]:
    try:
        with _open(file, content) as opened:
            if opened.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
                raise DatasetError(f"{file}: is no .npy file, expected an array", path=file)  # noqa: TRY301 - one line
            opened.seek(0)
            found, fortran, dtype = _npy_header(opened)
            _check_npy(file, found, dtype, shape, scores=scores)
            _check_length(file, opened, dtype.itemsize * math.prod(found))
            return np.frombuffer(opened.read(), dtype).reshape(found, order="F" if fortran else "C")
    except DatasetError:
        raise
    except Exception as error:  # a header may name shapes and types that nothing can have
        raise DatasetError(f"{file}: cannot be read as an array of numbers: {error}", path=file) from error


def _open(file: LabelFile, content: bytes | None) -> IO[bytes]:
    if content is not None:
        return io.BytesIO(content)
    return Path(file).open("rb")


def _npy_header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the first axis is the fastest, and type of an array, which is not read yet."""
    version = np.lib.format.read_magic(opened)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its format has version {version[0]}.{version[1]}, expected 1.0 or 2.0")
    try:
        return readers[version](opened)
    except Exception as error:  # it is parsed as Python text: much can go wrong, and be said
        raise ValueError("its header makes no sense") from error


def _check_npy(
    file: LabelFile, found: tuple[int, ...], dtype: np.dtype[Any], shape: tuple[int, int] | None, *, scores: bool
) -> None:
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    if not dtype.itemsize:  # any number of them fits into no file at all
        raise DatasetError(f"{file}: holds values of no bytes ({dtype}), expected numbers", path=file)
    are_scores = scores and len(found) == 3 and dtype.kind == "f"
    if len(found) != 2 and not are_scores:
        wanted = "a label map (H, W)" + (" or floating scores (C, H, W)" if scores else "")
        remedy = "; drop the axis of 1" if len(found) == 3 and 1 in found else ""
        raise DatasetError(f"{file}: holds {dtype} {found}, expected {wanted}{remedy}", path=file)
    if min(found) < 1:
        raise DatasetError(f"{file}: has shape {found}, expected at least one pixel", path=file)
    if math.prod(found[-2:]) > MAX_PIXELS:
        raise DatasetError(f"{file}: has shape {found}, expected at most {MAX_PIXELS:,} pixels", path=file)
    if shape is not None and found[-2:] != shape:
        raise DatasetError(f"{file}: has shape {found}, expected {shape}; nothing is resized", path=file)


def _check_length(file: LabelFile, opened: IO[bytes], wanted: int) -> None:
    """Refuse an array that is cut short, or is not alone, before memory is taken for it."""
    begin = opened.tell()
    there = opened.seek(0, os.SEEK_END) - begin
    if there != wanted:
        problem = "is cut short" if there < wanted else "goes on behind its array"
        raise DatasetError(f"{file}: {problem}: {there:,} bytes, expected {wanted:,}", path=file)
    opened.seek(begin)


def _match_sequences(
    preds: LabelFolder, labels: LabelFolder
) -> dict[str, tuple[Mapping[str, LabelFile], Mapping[str, LabelFile]]]:
    if preds.is_flat and labels.is_flat and len(preds.sequences) == len(labels.sequences) == 1:
        (pred_frames,), (label_frames,) = preds.sequences.values(), labels.sequences.values()
        return {labels.sequence_name: (pred_frames, label_frames)}
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


def _match_clip(
    name: str,
    preds: Mapping[str, LabelFile],
    labels: Mapping[str, LabelFile],
    root: Path | StoredFolder,
    step: int | None,
) -> Clip:
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
