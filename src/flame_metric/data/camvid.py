"""CamVid: street videos of 30 frames a second, of which single frames are labelled, in any of three layouts.

========  =====================================================================  ============================
original  701_StillsRaw_full/{name}.png, LabeledApproved_full/{name}_L.png       32 colours, label_colors.txt
SegNet's  train/{name}.png, trainannot/{name}.png; as well val, test             11 classes, 11 = void
plain     images/{name}.png, labels/{name}.png                                   11 classes, 11 = void
========  =====================================================================  ============================

A name, such as ``0016E5_07959`` or ``0006R0_f00930``, is a recording and the number of a frame in it. What lies on disk
are mostly frames a second apart, numbers 30 apart, with irregular ones and holes among them; one part of a recording is
labelled at 15 Hz. So a video here is a *run*: frames of one recording whose numbers rise by a constant step, as many as
there are. Its frame rate is 30 / step. A frame between two runs belongs to the longer one; a frame that fits into none
is a video of one frame. Frames without labels, where they are on disk too, fill a run up.

Frame offsets count frames of a run: an offset of 1 is 67 ms in one video and a second in the other. ``step=2`` chooses
only the runs at 15 Hz.

Label maps are 32 colours, or the 11 classes into which these are grouped since SegNet: one of all that is built, one of
all that is driven on, and so on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.core.clock import Fps
from flame_metric.data.frame_files import (
    FileFolder,
    FrameFile,
    FrameRun,
    LabelReader,
    pair_folders,
    rate_runs,
    recordings,
    runs_of_step,
)
from flame_metric.data.images import read_label_png, read_rgb_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import exists, is_folder
from flame_metric.data.splits import dataset_root
from flame_metric.data.videos import VideoDataset, VideoSequence
from flame_metric.errors import ConfigError, DatasetError, shortened

__all__ = ["CLASS_NAMES", "COLOUR_NAMES", "camvid", "read_class_labels", "read_colour_labels", "read_colours"]

_SPLITS = ("train", "val", "test")
_STILLS, _COLOURED = "701_StillsRaw_full", "LabeledApproved_full"
_IMAGES, _LABELS = "images", "labels"
_RECORDED = Fraction(30)  # numbers per second
_VAL = range(7959, 8160)  # frames of 0016E5 that SegNet's version holds in val: those at 15 Hz
_TEST = range(8521, 100_000)  # frames of 0001TP that it holds in test
_TRAIN_TENTHS = 7  # of a run in the plain layout

CLASS_NAMES = (
    *("Sky", "Building", "Pole", "Road", "Pavement", "Tree"),
    *("SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"),
)
"""Names of labels 0..10; 11 is void."""

_COLOURS = {  # name: (red, green, blue), class
    "Animal": ((64, 128, 64), "Pedestrian"),
    "Archway": ((192, 0, 128), "Building"),
    "Bicyclist": ((0, 128, 192), "Bicyclist"),
    "Bridge": ((0, 128, 64), "Building"),
    "Building": ((128, 0, 0), "Building"),
    "Car": ((64, 0, 128), "Car"),
    "CartLuggagePram": ((64, 0, 192), "Pedestrian"),
    "Child": ((192, 128, 64), "Pedestrian"),
    "Column_Pole": ((192, 192, 128), "Pole"),
    "Fence": ((64, 64, 128), "Fence"),
    "LaneMkgsDriv": ((128, 0, 192), "Road"),
    "LaneMkgsNonDriv": ((192, 0, 64), "Road"),
    "Misc_Text": ((128, 128, 64), "SignSymbol"),
    "MotorcycleScooter": ((192, 0, 192), "Bicyclist"),
    "OtherMoving": ((128, 64, 64), "Car"),
    "ParkingBlock": ((64, 192, 128), "Pavement"),
    "Pedestrian": ((64, 64, 0), "Pedestrian"),
    "Road": ((128, 64, 128), "Road"),
    "RoadShoulder": ((128, 128, 192), "Pavement"),
    "Sidewalk": ((0, 0, 192), "Pavement"),
    "SignSymbol": ((192, 128, 128), "SignSymbol"),
    "Sky": ((128, 128, 128), "Sky"),
    "SUVPickupTruck": ((64, 128, 192), "Car"),
    "TrafficCone": ((0, 0, 64), "Pole"),
    "TrafficLight": ((0, 64, 64), "SignSymbol"),
    "Train": ((192, 64, 128), "Car"),
    "Tree": ((128, 128, 0), "Tree"),
    "Truck_Bus": ((192, 128, 192), "Car"),
    "Tunnel": ((64, 0, 64), "Building"),
    "VegetationMisc": ((192, 192, 0), "Tree"),
    "Void": ((0, 0, 0), None),
    "Wall": ((64, 192, 0), "Building"),
}
COLOUR_NAMES = tuple(name for name in _COLOURS if name != "Void")
"""Names of the 31 original classes, labels 0..30; 31 is void."""

_LINE = re.compile(r"(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+(\w+)", re.ASCII)
_CLASSES = LabelLookup({label: label for label in range(len(CLASS_NAMES) + 1)})
_CHANNELS = np.array([1 << 16, 1 << 8, 1], np.uint32)


def camvid(
    root: str | os.PathLike[str],
    *,
    split: str | None = None,
    classes: str = "11",
    step: int | None = None,
    fps: Fps | None = None,
) -> VideoDataset:
    """Return the runs in a folder; frames and labels are read on access.

    Parameters
    ----------
    root : str or path
        The folder that holds the folders of one of the layouts.
    split : {"train", "val", "test"}, optional
        Default: all there is. SegNet's version has a folder for each; from the original, the same frames are chosen.
        In the plain layout, "train" are the first seven tenths of each run (rounded down) and "val" the rest; parts
        without a label are left out.
    classes : {"11", "32"}
        The 11 classes, or all of the original ones: 31 and void.
    step : int, optional
        Only runs whose numbers are so many apart.
    fps : int, float, Fraction, Decimal or str, optional
        Steps per second, of videos of one step; default: 30 / step, as recorded.

    Returns
    -------
    VideoDataset
        Sequences are named as their first frames. Targets, uint8 (H, W), hold labels 0..10 and 11 for void, or 0..30
        and 31 for void.

    Raises
    ------
    ConfigError
        If an option is none of those, or missing in this layout.
    DatasetError
        If a folder is missing, holds no labels, labels without a frame, or no run of that step. On access: if a file
        is missing or damaged, or holds a colour or label that is none of the classes.
    """
    check_choice("classes", classes, ("11", "32"))
    if split is not None:
        check_choice("split", split, _SPLITS)
    if step is not None:
        step = check_integer("step", step, 1)
    layout = _layout(dataset_root(root, f"{_STILLS}, trainannot or {_IMAGES}"))
    _check_layout(layout, split, classes)
    frames = [frame for source in layout.sources for frame in pair_folders(source.images, source.labels)]
    if split is not None:
        frames = [frame for frame in frames if layout.holds(split, frame)]
    if not any(frame.label for frame in frames):
        raise DatasetError(f"{root}: holds no labelled frame{f' of {split}' if split else ''}", path=root)
    runs = runs_of_step(Path(root), list(_runs(frames)), step)
    read_labels = _label_reader(layout, classes)
    videos = rate_runs(Path(root), runs, read_labels, recorded=_RECORDED, fps=fps)
    if layout.name == "plain" and split is not None:
        videos = list(_part(videos, split))
        if not videos:
            part, purpose = ("first seven", "train") if split == "train" else ("last three", "validate")
            raise DatasetError(
                f"{root}: holds no label in the {part} tenths of a run, expected some to {purpose} on", path=root
            )
    names = CLASS_NAMES if classes == "11" else COLOUR_NAMES
    options: dict[str, str] | None = None if layout.name == "original" else {}
    return VideoDataset(f"camvid {split}" if split else "camvid", tuple(videos), names, len(names), options)


# ── files ──


@dataclass(frozen=True)
class _SplitFolders:
    images: FileFolder
    labels: FileFolder
    split: str | None = None


@dataclass(frozen=True)
class _Layout:
    name: str
    sources: tuple[_SplitFolders, ...]

    def holds(self, split: str, frame: FrameFile) -> bool:
        """Whether a frame belongs to a split, as far as its folder or its name says."""
        if self.name == "original":
            return _split_of(frame) == split
        return self.name == "plain" or frame.image.parent.name == split


def _layout(root: Path) -> _Layout:
    if is_folder(root / _STILLS) or is_folder(root / _COLOURED):
        return _Layout("original", (_source(root / _STILLS, root / _COLOURED, "_L"),))
    splits = [split for split in _SPLITS if is_folder(root / f"{split}annot")]
    if splits:
        return _Layout(
            "SegNet's", tuple(_source(root / split, root / f"{split}annot", split=split) for split in splits)
        )
    if is_folder(root / _IMAGES) or is_folder(root / _LABELS):
        return _Layout("plain", (_source(root / _IMAGES, root / _LABELS),))
    raise DatasetError(
        f"{root}: holds none of CamVid's folders, expected {_STILLS} and {_COLOURED}, or train and trainannot (and "
        f"val, test), or {_IMAGES} and {_LABELS}",
        path=root,
    )


def _source(images: Path, labels: Path, suffix: str = "", *, split: str | None = None) -> _SplitFolders:
    return _SplitFolders(
        FileFolder(images, "frames"), FileFolder(labels, "labels", suffix=suffix, extensions=(".png",)), split
    )


def _check_layout(layout: _Layout, split: str | None, classes: str) -> None:
    if classes == "32" and layout.name != "original":
        raise ConfigError(f"`classes` is '32', but the {layout.name} layout holds 11 classes, expected '11'")
    if split == "test" and layout.name == "plain":
        raise ConfigError("`split` is 'test', but the plain layout has no splits, expected 'train' or 'val' or none")
    there = [source.split for source in layout.sources]
    if layout.name == "SegNet's" and split is not None and split not in there:
        folder = layout.sources[0].labels.path.with_name(f"{split}annot")
        raise DatasetError(f"{folder}: is missing, expected labels of the split {split}", path=folder)


def _split_of(frame: FrameFile) -> str:
    """Return in which split SegNet's version holds a frame of the original."""
    if frame.name.startswith("Seq05VD") or (frame.name.startswith("0001TP") and frame.number in _TEST):
        return "test"
    return "val" if frame.name.startswith("0016E5") and frame.number in _VAL else "train"


def _label_reader(layout: _Layout, classes: str) -> LabelReader:
    if layout.name != "original":
        return read_class_labels
    colours = read_colours(layout.sources[0].labels.path.with_name("label_colors.txt"))
    return partial(read_colour_labels, colours=colours, classes=classes)


# ── runs ──


def _runs(frames: list[FrameFile]) -> Iterator[FrameRun]:
    """Go through the runs that hold a label, recording by recording."""
    for of_recording in recordings(frames).values():
        by_number = {frame.number: frame for frame in of_recording}
        for numbers, step in _constant_steps(list(by_number)):
            run = FrameRun(by_number[numbers[0]].name, tuple(by_number[number] for number in numbers), step)
            if run.labelled:
                yield run


def _constant_steps(numbers: list[int]) -> list[tuple[list[int], int]]:
    """Cut numbers, which rise, into runs of a constant step; the step of a lone number is 1.

    Neighbouring runs meet in a number. The one with more numbers keeps it, the finer one if they have as many.

    >>> _constant_steps([0, 30, 60, 91, 120, 150, 180, 182, 184, 186])
    [([0, 30, 60], 30), ([91], 1), ([120, 150], 30), ([180, 182, 184, 186], 2)]
    """
    stretches: list[list[int]] = []  # first and last place of numbers with equal gaps, and that gap
    for place, (before, after) in enumerate(pairwise(numbers)):
        if stretches and stretches[-1][2] == after - before:
            stretches[-1][1] = place + 1
        else:
            stretches.append([place, place + 1, after - before])
    free = set(range(len(numbers)))
    runs = []
    for first, last, gap in sorted(stretches, key=lambda stretch: (stretch[0] - stretch[1], stretch[2], stretch[0])):
        places = [place for place in range(first, last + 1) if place in free]
        if len(places) > 1:
            free.difference_update(places)
            runs.append(([numbers[place] for place in places], gap))
    return sorted([*runs, *(([numbers[place]], 1) for place in free)])


def _part(videos: list[VideoSequence], split: str) -> Iterator[VideoSequence]:
    """Cut each run in time: the first part trains, the rest validates."""
    for video in videos:
        length = len(video.frames)
        cut = length * _TRAIN_TENTHS // 10
        start, stop = (0, cut) if split == "train" else (cut, length)
        if any(start <= frame < stop for frame in video.labelled):
            yield video.slice(start, stop)


# ── label maps ──


def read_colours(path: str | os.PathLike[str]) -> dict[int, str]:
    """Read which colour means which class.

    Parameters
    ----------
    path : str or path
        ``label_colors.txt``, which lies beside the original labels; where it is missing, the colours are those it is
        known to hold.

    Returns
    -------
    dict of int to str
        Colour, as 0xRRGGBB -> name.

    Raises
    ------
    DatasetError
        If a line is not a colour with the name of a class, a colour comes twice, or there is none.
    """
    path = Path(path)
    if not exists(path):
        return {_code(*rgb): name for name, (rgb, _) in _COLOURS.items()}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read: {error}", path=path) from error
    colours: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        rgb = tuple(int(part) for part in match.groups()[:3]) if match else ()
        if match is None or max(rgb) > 255 or match[4] not in _COLOURS or _code(*rgb) in colours:
            raise DatasetError(
                f"{path}: line {number} is {line[:60]!r}, expected a new colour and one of the 32 names, such as "
                "'64 128 64 Animal'",
                path=path,
            )
        colours[_code(*rgb)] = match[4]
    if not colours:
        raise DatasetError(f"{path}: is empty, expected lines such as '64 128 64 Animal'", path=path)
    return colours


def read_colour_labels(path: Path, *, colours: Mapping[int, str], classes: str) -> npt.NDArray[np.uint8]:
    """Read a label map of the original data set.

    Parameters
    ----------
    path : Path
        An RGB PNG file.
    colours : Mapping of int to str
        As :func:`read_colours` returns.
    classes : {"11", "32"}

    Returns
    -------
    ndarray of uint8, (H, W)
        Labels 0..10 (`CLASS_NAMES`) and 11 for void, or 0..30 (`COLOUR_NAMES`) and 31 for void.

    Raises
    ------
    DatasetError
        If the file is missing or damaged, or holds another colour.
    """
    codes = read_rgb_png(path) @ _CHANNELS
    known = np.array(sorted(colours), np.uint32)
    places = np.searchsorted(known, codes).clip(max=len(known) - 1).astype(np.uint8)
    others = codes[known[places] != codes]
    if others.size:
        found = [f"({code >> 16}, {code >> 8 & 255}, {code & 255})" for code in np.unique(others).tolist()]
        raise DatasetError(
            f"{path}: holds {len(found)} colour(s) ({others.size:,} pixels) that mean no class: {shortened(found)}; "
            "were the labels resized with smoothing, or compressed?",
            path=path,
        )
    labels = _labels_of_names(classes)
    return LabelLookup({place: labels[colours[code]] for place, code in enumerate(known.tolist())}).apply(places)


def read_class_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read a label map of SegNet's version: labels 0..10 (`CLASS_NAMES`), and 11 for void.

    Raises
    ------
    DatasetError
        If the file is missing or damaged, or holds another label.
    """
    expected = f"0..{len(CLASS_NAMES) - 1}, and {len(CLASS_NAMES)} for void"
    return _CLASSES.apply_to_file(read_label_png(path), path, expected=expected)


def _labels_of_names(classes: str) -> dict[str, int]:
    """Return the label of each of the 32 names."""
    if classes == "32":
        return {name: label for label, name in enumerate((*COLOUR_NAMES, "Void"))}
    return {name: CLASS_NAMES.index(group) if group else len(CLASS_NAMES) for name, (_, group) in _COLOURS.items()}


def _code(red: int, green: int, blue: int) -> int:
    return red << 16 | green << 8 | blue
