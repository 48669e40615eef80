"""Folders of label maps: ``<root>/<sequence>/<frame>.png`` or one flat sequence, .npy as well as .png.

They may lie on disk, in an archive, in an object store or on a server (places.py).

Frames are matched by name, never by position: the name is the file's stem without a given prefix and suffix. Which of
its digits are the frame number, frame_names.py finds. On the timeline of a sequence, numbers count in *steps*, and
frame rates are rates of steps. A number that is missing on both sides is a hole, not a frame.

:func:`find_step` is the one rule for the step. Each side, labels and predictions (or frames), votes for the greatest
common divisor of the gaps between its own numbers within sequences, if a gap of that size occurs. If both vote, the
step is the smaller vote, which has to divide the larger; if one does, it is that vote. A sequence with fewer than two
labels has no vote on either side: how far a prediction lies before a label says how late it is, not how fast frames
follow each other. There is one step for all sequences, and every number has to be a whole number of steps from the
others of its sequence. What does not follow from that is refused, until the step is given.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.data.affixes import propose_affixes
from flame_metric.data.frame_names import FrameNames, NamedFolders
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.name_parts import normalize_name
from flame_metric.data.npy import read_npy
from flame_metric.data.paths import check_file, exists
from flame_metric.data.places import open_place
from flame_metric.data.stored import StoredFile, StoredFolder, empty_folder
from flame_metric.errors import DatasetError, LabelError, shortened

__all__ = [
    "Clip",
    "Frame",
    "LabelFile",
    "LabelFolder",
    "MatchedFolders",
    "WalkedFolder",
    "files_by_frame",
    "find_step",
    "match_folders",
    "vote_step",
    "walk_folder",
]

LabelFile = Path | StoredFile
"""A file of a label map, on disk or elsewhere."""
File = TypeVar("File", bound=LabelFile)

_EXTENSIONS = (".png", ".npy")
_FAR_APART = 10  # steps between any two frames: then numbers are hardly those of frames


@dataclass(frozen=True)
class LabelFolder:
    """The label maps in a folder, by folder and frame name; :meth:`scan` finds them.

    Attributes
    ----------
    root : Path or StoredFolder
    folders : Mapping of str to Mapping of str to (Path or StoredFile)
        Folder -> frame name -> file; ``""`` where the files lie in the root itself. Which sequences they are,
        :class:`~flame_metric.data.frame_names.FrameNames` says.
    lookup : LabelLookup or None
        Applied to every label map that is read.
    """

    root: Path | StoredFolder
    folders: Mapping[str, Mapping[str, LabelFile]]
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
            Beginning and end of file names that are not part of the frame's name, such as ``"_gtFine_labelIds"``; the
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
        flat, below = walk_folder(place, prefix, suffix)
        if isinstance(place, Path):
            _check_none_empty(place, below)
        below = {name: frames for name, frames in below.items() if frames}
        if flat and below:
            raise DatasetError(
                f"{place}: holds label maps itself and in {len(below)} folder(s) such as {next(iter(below))}, expected "
                "one flat sequence or one folder for each sequence",
                path=place,
            )
        if not flat and not below:
            raise DatasetError(f"{place}: holds no label maps{_why_empty(place, prefix, suffix)}", path=place)
        return cls(place, {"": flat} if flat else below, lookup)

    @property
    def is_flat(self) -> bool:
        """Whether the files lie in the root itself."""
        return "" in self.folders

    @property
    def name(self) -> str:
        """The name of the folder, wherever it lies: of a link its own, by which parts of an evaluation know it."""
        return self.root.absolute().name if isinstance(self.root, Path) else self.root.name

    @property
    def sequence_name(self) -> str:
        """What its sequence is called if it is flat, and frames have only numbers as names: where a link leads to."""
        return normalize_name(self.root.resolve().name if isinstance(self.root, Path) else self.root.name)

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
            labels = read_npy(file, content=content, shape=shape, scores=scores)
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
    number : int or None
        Its number, where its name says one.
    """

    index: int
    name: str
    pred: LabelFile | str | None
    label: LabelFile | str | None
    number: int | None = None


@dataclass(frozen=True)
class Clip:
    """One sequence of predictions and labels on a common timeline.

    Attributes
    ----------
    name : str
    frames : tuple of Frame
        In order; indices that are missing are holes.
    step : int or None
        Difference of frame numbers from one index to the next; None where nothing depends on it.
    """

    name: str
    frames: tuple[Frame, ...]
    step: int | None


class MatchedFolders(NamedTuple):
    """Predictions and labels on common timelines.

    Attributes
    ----------
    clips : list of Clip
        One a labelled sequence.
    unlabelled : list of str
        Sequences of predictions without labels.
    names : FrameNames
        How the names were read.
    """

    clips: list[Clip]
    unlabelled: list[str]
    names: FrameNames


class WalkedFolder(NamedTuple):
    """The files of frames below a root.

    Attributes
    ----------
    flat : mapping of str to (Path or StoredFile)
        Those in the root itself, by the name of the frame.
    below : mapping of str to mapping
        Those one folder below, by folder; folders that hold none are there, too.
    """

    flat: Mapping[str, LabelFile]
    below: Mapping[str, Mapping[str, LabelFile]]


def walk_folder(
    root: Path | StoredFolder, prefix: str = "", suffix: str = "", *, extensions: tuple[str, ...] = _EXTENSIONS
) -> WalkedFolder:
    """Find the files of frames in a folder and one folder below; folders and files that begin with a dot are hidden.

    Names are compared, and come out, in one spelling of Unicode (NFC).

    Parameters
    ----------
    root : Path or StoredFolder
    prefix, suffix : str
        As :meth:`~flame_metric.data.folders.LabelFolder.scan` takes them.
    extensions : tuple of str
        In lower case.

    Raises
    ------
    DatasetError
        If a folder cannot be read, is a link to nothing, or holds two files for a frame.
    """
    if not isinstance(root, Path):
        return _walk_store(root, prefix, suffix, extensions)
    try:
        folders = [folder for folder in sorted(root.iterdir()) if _is_clip(folder, extensions)]
        below = {}
        for folder in folders:
            name = normalize_name(folder.name)
            if name in below:
                raise DatasetError(f"{folder}: is a second folder called {name!r}, spelled in another way", path=folder)
            below[name] = files_by_frame(folder, prefix, suffix, extensions=extensions)
        return WalkedFolder(files_by_frame(root, prefix, suffix, extensions=extensions), below)
    except OSError as error:
        where = error.filename or root
        raise DatasetError(f"{where}: cannot be read: {error.strerror or error}", path=where) from error


def vote_step(clips: Iterable[Iterable[int]]) -> int | None:
    """Return the greatest common divisor of the gaps between numbers, if a gap of that size occurs; otherwise None.

    Parameters
    ----------
    clips : iterable of iterable of int
        The numbers of each sequence; gaps are those within one.

    Examples
    --------
    >>> vote_step([[0, 2, 4, 7, 9]]), vote_step([[0, 4, 10]]), vote_step([[3, 6], [1, 7]]), vote_step([[5], [9]])
    (None, None, 3, None)
    >>> vote_step([[*range(0, 17, 2), *range(17, 35, 2)]])
    1
    """
    gaps = _gaps(clips)
    divisor = math.gcd(*gaps)
    return divisor if divisor in gaps else None


def find_step(
    where: os.PathLike[str],
    labels: Mapping[str, Collection[int]],
    others: Mapping[str, Collection[int]],
    *,
    step: int | None = None,
    what: str = "predictions",
    option: str = "--step {}",
) -> int | None:
    """Return by how much frame numbers differ from one step to the next: the rule that this module begins with.

    Parameters
    ----------
    where : Path or StoredFolder
        For messages.
    labels, others : mapping of str to collection of int
        Numbers of the labelled frames, and of predictions or frames, by sequence.
    step : int, optional
        It is given.
    what : str
        What the others are, for messages.
    option : str
        How a message writes the option that gives the step; ``{}`` stands for its value.

    Returns
    -------
    int or None
        None where no sequence has two numbers, and nothing depends on the step.

    Raises
    ------
    DatasetError
        If the step does not follow from the numbers, or a number is not a whole number of steps from another.

    Examples
    --------
    >>> every_frame, every_fifth = {"a": range(0, 50)}, {"a": range(0, 50, 5)}
    >>> find_step(Path("labels"), every_fifth, every_frame), find_step(Path("labels"), every_fifth, every_fifth)
    (1, 5)
    """
    united = {name: sorted({*numbers, *others.get(name, ())}) for name, numbers in labels.items()}
    gaps = _gaps(united.values())
    if not gaps:
        return step
    remedy = f"{option.format(math.gcd(*gaps))} fits all of them"
    if min(gaps) >= _FAR_APART * math.gcd(*gaps):
        remedy = f"{option.format(1)} if they number frames; if they are times, number the frames 0, 1, 2, .. instead"
    give = option.partition(" ")[0]
    if step is None:
        voters = [name for name, numbers in labels.items() if len(numbers) > 1]
        if not voters:
            raise DatasetError(
                f"{where}: no sequence has two labelled frames, expected some, from which the step of frame numbers "
                f"follows, or the step ({give}): how far {what} lie before a label does not say it",
                path=where,
            )
        votes = {
            "labels": vote_step(labels[name] for name in voters),
            what: vote_step(others.get(name, ()) for name in voters),
        }
        found = sorted((vote, side) for side, vote in votes.items() if vote is not None)
        if not found:
            raise DatasetError(
                f"{where}: frame numbers are {_list_gaps(gaps)} apart, expected gaps that are all multiples of one of "
                f"them; give the step ({give}): {remedy}",
                path=where,
            )
        (step, side), (largest, other) = found[0], found[-1]
        if largest % step:
            raise DatasetError(
                f"{where}: the numbers of {side} advance by {step} and those of {other} by {largest}, expected one "
                f"step for both; give it ({give}): {remedy}",
                path=where,
            )
    for name, numbers in united.items():
        off_grid = [gap for gap in _gaps([numbers]) if gap % step]
        if off_grid:
            own = {"labels": labels[name], what: others.get(name, ())}
            sides = [side for side, given in own.items() if any(gap % step for gap in _gaps([sorted(given)]))]
            raise DatasetError(
                f"{where}: sequence {name}: frame numbers of {' and '.join(sides or own)} are up to {max(off_grid)} "
                f"apart, expected multiples of the step {step}; {remedy}",
                path=where,
            )
    return step


def match_folders(
    preds: LabelFolder, labels: LabelFolder, *, step: int | None = None, frame_number: str | None = None
) -> MatchedFolders:
    """Put predictions and labels of equal names on common timelines, one clip a labelled sequence.

    Sequences belong together by their names, those of folders, or what is before the numbers where a folder holds
    several. Where these differ, frames do, if each is there once and its name says to which sequence of predictions it
    belongs, as CamVid's and Cityscapes' do.

    Parameters
    ----------
    preds, labels : LabelFolder
    step : int, optional
        Difference of frame numbers from one frame to the next; default: as :func:`find_step` finds it.
    frame_number : str, optional
        The pattern by which names are read; default: as :class:`~flame_metric.data.frame_names.FrameNames` finds it.

    Raises
    ------
    ConfigError
        If step or pattern are none.
    DatasetError
        If names can be read in several ways, sequences or names do not match, numbers come twice or do not lie on one
        grid, or the step does not follow from them.
    """
    if step is not None:
        step = check_integer("step", step, 1)
    shared = labels.folders.keys() & preds.folders.keys()
    if shared == labels.folders.keys():  # names in other folders say nothing of those that are scored
        extra = sorted(preds.folders.keys() - shared)
        preds = replace(preds, folders={folder: preds.folders[folder] for folder in labels.folders})
    else:
        extra = []
    sides = NamedFolders(preds.root, "predictions", preds.folders), NamedFolders(labels.root, "labels", labels.folders)
    _check_affixes(preds, labels)
    names = FrameNames.find(*sides, pattern=frame_number)
    of_preds, of_labels = (names.sequences(folder.folders) for folder in (preds, labels))
    pairs = _match_sequences(preds, labels, of_preds, of_labels, names)
    placed = {name: _match_clip(name, *files, names) for name, files in pairs.items()}
    numbers = [
        {name: [number for number, frame in frames.items() if frame[side]] for name, frames in placed.items()}
        for side in (_LABEL, _PRED)
    ]
    step = find_step(labels.root, *numbers, step=step)
    clips = [Clip(name, tuple(_place_frames(frames, step or 1)), step) for name, frames in placed.items()]
    used = {id(files[0]) for files in pairs.values()}
    unlabelled = [name for name, files in of_preds.items() if id(files) not in used]
    return MatchedFolders(clips, sorted([*unlabelled, *extra]), names)


def files_by_frame(
    folder: Path, prefix: str = "", suffix: str = "", *, extensions: tuple[str, ...] = _EXTENSIONS
) -> dict[str, Path]:
    """Return the files in a folder by the name of their frame, in order.

    Parameters
    ----------
    folder : Path
    prefix, suffix : str
        As :meth:`~flame_metric.data.folders.LabelFolder.scan` takes them.
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


def _by_frame(
    files: Iterable[File], prefix: str, suffix: str, extensions: tuple[str, ...] = _EXTENSIONS
) -> dict[str, File]:
    frames: dict[str, File] = {}
    prefix, suffix = normalize_name(prefix), normalize_name(suffix)
    for file in files:
        extension = file.suffix.lower()
        if extension not in extensions or file.name.startswith("."):
            continue
        normal = normalize_name(file.name)
        end = suffix if suffix.lower().endswith(extension) else suffix + file.suffix
        if not (normal.startswith(prefix) and normal.endswith(end) and len(normal) > len(prefix) + len(end)):
            continue
        name = normal[len(prefix) : len(normal) - len(end)]
        if name in frames:
            raise DatasetError(f"{file}: is a second file for frame {name} beside {frames[name].name}", path=file)
        frames[name] = file
    return frames


def _gaps(clips: Iterable[Iterable[int]]) -> set[int]:
    """Return how far neighbours within sequences are apart."""
    return {later - earlier for numbers in clips for earlier, later in pairwise(sorted(set(numbers)))}


def _list_gaps(gaps: set[int]) -> str:
    *some, last = sorted(gaps)[:5]
    return f"{', '.join(map(str, some))} and {last}"


def _walk_store(root: StoredFolder, prefix: str, suffix: str, extensions: tuple[str, ...]) -> WalkedFolder:
    by_folder: dict[str, list[StoredFile]] = {}
    for file in root.files():
        *folders, _ = file.path.parts
        if file.suffix.lower() in extensions and len(folders) < 2 and not "".join(folders).startswith("."):
            by_folder.setdefault(normalize_name("".join(folders)), []).append(file)
    flat = _by_frame(by_folder.pop("", []), prefix, suffix, extensions)
    return WalkedFolder(flat, {name: _by_frame(some, prefix, suffix, extensions) for name, some in by_folder.items()})


def _is_clip(path: Path, extensions: tuple[str, ...]) -> bool:
    if path.name.startswith("."):
        return False
    if path.is_symlink() and not exists(path) and path.suffix.lower() not in extensions:  # reading names those
        raise DatasetError(f"{path}: is a link to nothing, expected a folder of label maps", path=path)
    return path.is_dir()


def _check_none_empty(root: Path, below: Mapping[str, Mapping[str, LabelFile]]) -> None:
    for name, frames in below.items():
        try:
            if not frames and not any((root / name).iterdir()):
                raise empty_folder(root / name)
        except OSError as error:
            raise DatasetError(f"{root / name}: cannot be read: {error.strerror or error}", path=root) from error


def _why_empty(root: Path | StoredFolder, prefix: str, suffix: str) -> str:
    """Say what is there instead of label maps."""
    files: list[tuple[LabelFile, tuple[str, ...]]]
    if isinstance(root, Path):
        files = [(file, file.relative_to(root).parts) for file in sorted(root.rglob("*"))]
    else:
        files = [(file, file.path.parts) for file in root.files()]
    files = [(file, parts) for file, parts in files if file.suffix.lower() in _EXTENSIONS]
    if not files:
        return " (.png or .npy) at all"
    example, parts = files[0]
    if len(parts) > 2:
        return f" in itself or one folder below, but deeper down, such as {example}; point to the folder above that one"
    return f" whose names begin with {prefix!r} and end with {suffix!r}, but others, such as {example.name}"


_Files = Mapping[str, LabelFile]
_NumberedFrame = tuple[str, LabelFile | None, LabelFile | None]
_PRED, _LABEL = 1, 2


def _check_affixes(preds: LabelFolder, labels: LabelFolder) -> None:
    """Refuse names that would match without a beginning or an end, before they are read in any way."""
    of_preds, of_labels = ([name for files in side.folders.values() for name in files] for side in (preds, labels))
    hint = propose_affixes(of_preds, of_labels)
    if hint:
        raise DatasetError(
            f"{preds.root}: frame names do not match: predictions are named {shortened(of_preds, 3)}, labels "
            f"{shortened(of_labels, 3)}{hint}",
            path=preds.root,
        )


def _match_sequences(
    preds: LabelFolder,
    labels: LabelFolder,
    of_preds: Mapping[str, _Files],
    of_labels: Mapping[str, _Files],
    names: FrameNames,
) -> dict[str, tuple[_Files, _Files]]:
    if preds.is_flat and labels.is_flat and len(of_preds) == len(of_labels) == 1:
        (pred_frames,), (label_frames,) = of_preds.values(), of_labels.values()
        return {labels.sequence_name: (pred_frames, label_frames)}
    if preds.is_flat != labels.is_flat:
        of_preds, of_labels = (
            {name or folder.sequence_name: files for name, files in sequences.items()}
            for folder, sequences in ((preds, of_preds), (labels, of_labels))
        )
    if of_labels.keys() <= of_preds.keys():
        return {name: (of_preds[name], frames) for name, frames in of_labels.items()}
    if (by_name := _match_frames(preds, of_preds, of_labels, names)) is not None:
        return by_name
    if preds.is_flat != labels.is_flat:
        flat, nested = (preds, labels) if preds.is_flat else (labels, preds)
        raise DatasetError(
            f"{flat.root}: holds frames itself, while {nested.root} holds folders of them such as "
            f"{next(iter(nested.folders))}, expected the same layout",
            path=flat.root,
        )
    missing = sorted(of_labels.keys() - of_preds.keys())
    raise DatasetError(
        f"{preds.root}: has no predictions for {len(missing)} of {len(of_labels)} sequence(s): {shortened(missing)}; "
        f"it has {shortened(sorted(of_preds))}",
        path=preds.root,
    )


def _match_frames(
    preds: LabelFolder, of_preds: Mapping[str, _Files], of_labels: Mapping[str, _Files], names: FrameNames
) -> dict[str, tuple[_Files, _Files]] | None:
    """Match frames by names that say of which sequence they are, in whatever folders labels lie; None if they do not.

    So they do if the sequence of predictions is called as what stands before their numbers, with or without more.
    """
    sequence_of: dict[str, str] = {}
    for name, files in of_preds.items():
        for frame, file in files.items():
            recording = names.split(frame, file).recording
            if not recording or not name.startswith(recording) or frame in sequence_of:
                return None
            sequence_of[frame] = name
    frames = [(frame, file) for files in of_labels.values() for frame, file in files.items()]
    alone = [frame for frame, _ in frames if frame not in sequence_of]
    if len(alone) == len(frames) or len(dict(frames)) < len(frames):
        return None
    if alone:
        raise DatasetError(
            f"{preds.root}: has no prediction of {len(alone)} of {len(frames)} labelled frame(s): {shortened(alone)}",
            path=preds.root,
        )
    matched: dict[str, dict[str, LabelFile]] = {}
    for frame, file in frames:
        matched.setdefault(sequence_of[frame], {})[frame] = file
    return {name: (of_preds[name], matched[name]) for name in sorted(matched)}


def _place_frames(frames: Mapping[int, _NumberedFrame], step: int) -> Iterator[Frame]:
    first = min(frames)
    for number, (name, pred, label) in sorted(frames.items()):
        yield Frame((number - first) // step, name, pred, label, number)


def _match_clip(name: str, preds: _Files, labels: _Files, names: FrameNames) -> dict[int, _NumberedFrame]:
    """Return name, prediction and labels of the frames of a clip by their numbers."""
    read = [{frame: names.split(frame, file) for frame, file in files.items()} for files in (preds, labels)]
    around = [{found.around for found in of_side.values()} for of_side in read]
    for side, files, kinds in (("label", labels, around[1]), ("pred", preds, around[0])):
        if len(kinds) > 1:
            folder = next(iter(files.values())).parent
            raise DatasetError(
                f"{folder}: holds names of {len(kinds)} kinds, such as {shortened(sorted(map('#'.join, kinds)))} "
                f"(# = frame number), expected one; --{side}-prefix and --{side}-suffix choose one",
                path=folder,
            )
    if around[0] != around[1]:
        example = next(iter(preds.values()))
        raise DatasetError(
            f"{example}: frame names do not match: predictions are named {shortened(sorted(preds))}, labels "
            f"{shortened(sorted(labels))}",
            path=example,
        )
    frames: dict[int, _NumberedFrame] = {}
    for frame in sorted(preds.keys() | labels.keys()):
        number = (read[0].get(frame) or read[1][frame]).number
        pred, label = preds.get(frame), labels.get(frame)
        if number in frames:
            file, other = pred or label, frames[number][_PRED] or frames[number][_LABEL]
            raise DatasetError(
                f"{file}: is frame {number} of sequence {name}, as {other} is, expected equal names for the prediction "
                "and the labels of a frame, zeros included",
                path=file,
            )
        frames[number] = (frame, pred, label)
    return frames
