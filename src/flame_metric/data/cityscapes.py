"""Cityscapes video: one clip of 30 frames for each annotated frame, which is the 20th of them.

Of the downloads, unpacked into one folder, this reads::

    leftImg8bit_sequence/{split}/{city}/{city}_{seq}_{frame}_leftImg8bit.png     leftImg8bit_sequence_trainvaltest.zip
    gtFine/{split}/{city}/{city}_{seq}_{frame}_gtFine_labelIds.png               gtFine_trainvaltest.zip
    timestamp_sequence/{split}/{city}/{city}_{seq}_{frame}_timestamp.txt         timestamp_sequence_trainvaltest.zip

(the last on demand), or ``_gtFine_labelTrainIds.png``, which users make of the polygons. The clip of annotated frame f
is [f - 19, f + 10]. Numbers say nothing else: in most cities f is 19, in the others frames are numbered through a whole
take, and two clips may be one missing frame apart. So clips are found by their annotated frames, never by gaps.

With an offset of k frames a network is run on frame f - k and scored against the labels of f, hence k <= 19.

A file of labels holds ids 0..33, of which 19 are evaluated, or the 19 trainIds 0..18 with 255 for void. Files of one
kind under the other's name would score next to nothing without any error, so each is held against what it claims to be:

- trainIds under the name of labelIds hold 255 and nothing else above 18; or nothing above 18 at all, and read as ids
  they are void for the most part, because 0 is road in one and nothing in the other;
- labelIds under the name of labelTrainIds hold some of 19..33: vegetation, sky, people, cars.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_choice
from flame_metric.core.clock import Fps, as_fps
from flame_metric.data.images import read_frame_image, read_label_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import exists, is_file, is_folder
from flame_metric.data.splits import check_chosen, check_split, dataset_root
from flame_metric.data.videos import OnAccess, VideoDataset, VideoSequence
from flame_metric.errors import DatasetError, LabelError, shortened

__all__ = [
    "ANNOTATED",
    "CATEGORIES",
    "CLASS_NAMES",
    "CLIP_FRAMES",
    "LABEL_KINDS",
    "VOID",
    "cityscapes",
    "read_cityscapes_labels",
]

CLIP_FRAMES = 30
ANNOTATED = 19
"""Index of the labelled frame in its clip: a clip has 19 frames of history."""

_FRAMES, _LABELS, _TIMES = "leftImg8bit_sequence", "gtFine", "timestamp_sequence"
_NUMBERS = re.compile(r"(?P<seq>[0-9]{6})_(?P<frame>[0-9]{6})")

LABEL_KINDS = ("labelIds", "labelTrainIds")
"""What files of labels may hold, as their names say."""

VOID = 255
"""Label of pixels that belong to no class."""

_CLASSES = {  # name: (id in labelIds, category), in the order of trainIds
    "road": (7, "flat"),
    "sidewalk": (8, "flat"),
    "building": (11, "construction"),
    "wall": (12, "construction"),
    "fence": (13, "construction"),
    "pole": (17, "object"),
    "traffic light": (19, "object"),
    "traffic sign": (20, "object"),
    "vegetation": (21, "nature"),
    "terrain": (22, "nature"),
    "sky": (23, "sky"),
    "person": (24, "human"),
    "rider": (25, "human"),
    "car": (26, "vehicle"),
    "truck": (27, "vehicle"),
    "bus": (28, "vehicle"),
    "train": (31, "vehicle"),
    "motorcycle": (32, "vehicle"),
    "bicycle": (33, "vehicle"),
}
CLASS_NAMES = tuple(_CLASSES)
"""Names of the 19 classes."""

CATEGORIES = ("flat", "human", "vehicle", "construction", "object", "nature", "sky")
"""Names of the 7 categories, each a sum of some of the 19 classes."""

_LAST_ID, _LAST_TRAIN_ID = 33, 18
_MOST = 0.5  # of the pixels of a real label map are not void


def cityscapes(
    root: str | os.PathLike[str],
    *,
    split: str = "val",
    label_kind: str | None = None,
    classes: str = "19",
    cities: Collection[str] | None = None,
    timestamps: bool = False,
    fps: Fps = "50/3",
) -> VideoDataset:
    """Return the clips of a split; frames and labels are read on access.

    Parameters
    ----------
    root : str or path
        The folder that holds ``leftImg8bit_sequence`` and ``gtFine``.
    split : {"val", "train"}
        The annotations of the test split are not public.
    label_kind : {"labelIds", "labelTrainIds"}, optional
        Which label maps are read; default: labelIds where they are, otherwise labelTrainIds.
    classes : {"19", "categories"}
        The 19 classes, or the 7 categories.
    cities : collection of str, optional
        Only these.
    timestamps : bool
        Whether to read when each frame was recorded: 30 small files a clip, at once.
    fps : int, float, Fraction, Decimal or str
        Frames per second; default: one frame in 60 ms, as in the paper. The recordings say 17 Hz.

    Returns
    -------
    VideoDataset
        Sequences are named as their annotated frames, such as ``"frankfurt_000000_000294"``, and hold 30 frames; the
        20th has a target, uint8 (H, W), with labels 0..18 (or 0..6) and 255 (`VOID`).

    Raises
    ------
    ConfigError
        If an option is none of those.
    DatasetError
        If a folder is missing or without labels, or an annotated frame is not among the frames. On access: if a
        file is missing or damaged, or holds labels of the other kind.
    """
    check_split(split)
    check_choice("classes", classes, ("19", "categories"))
    if label_kind is not None:
        check_choice("label_kind", label_kind, LABEL_KINDS)
    rate = as_fps(fps)
    folders = _Folders(dataset_root(root, f"{_FRAMES} and {_LABELS}"), split)
    folders.check(timestamps=timestamps)
    clips = [
        _AnnotatedClip(folders, *found, classes) for found in folders.annotated(label_kind, _chosen(cities, folders))
    ]
    sequences = tuple(
        VideoSequence(
            clip.name,
            OnAccess(clip.frame, CLIP_FRAMES),
            OnAccess(clip.target, CLIP_FRAMES, labelled=[ANNOTATED]),
            rate,
            clip.timestamps_ns() if timestamps else None,
            OnAccess(clip.frame_name, CLIP_FRAMES),
        )
        for clip in clips
    )
    kind = clips[0].kind
    options = {"label_suffix": f"_gtFine_{kind}", "label_map": _LOOKUPS[kind][classes].to_text()}
    names = CLASS_NAMES if classes == "19" else CATEGORIES
    return VideoDataset(f"cityscapes {split}", sequences, names, VOID, options)


@dataclass(frozen=True)
class _Folders:
    root: Path
    split: str

    def folder(self, kind: str, city: str = "") -> Path:
        return self.root / kind / self.split / city

    def check(self, *, timestamps: bool) -> None:
        """Refuse a root without a download that is needed, and say what to unpack there."""
        for kind in (_FRAMES, _LABELS, _TIMES)[: 3 if timestamps else 2]:
            _check_download(self.folder(kind), kind)

    def cities(self) -> list[str]:
        return sorted(name for name in _names(self.folder(_LABELS)) if not name.startswith("."))

    def annotated(self, label_kind: str | None, cities: list[str]) -> list[tuple[str, str, int, str]]:
        """Return (city, seq, frame, kind of label) of the annotated frames; each folder is listed once."""
        labels = {city: list(self._labels(city, _names(self.folder(_LABELS, city)))) for city in cities}
        found = {of_label[-1] for of_city in labels.values() for of_label in of_city}
        wanted = label_kind or next((kind for kind in LABEL_KINDS if kind in found), LABEL_KINDS[0])
        chosen = [of_label for city in cities for of_label in labels[city] if of_label[-1] == wanted]
        unlike = {of_label[:-1] for of_city in labels.values() for of_label in of_city} - {one[:-1] for one in chosen}
        if unlike or not chosen:
            where = self.folder(_LABELS)
            others = f", but other labels of {len(unlike)} frame(s)" if unlike else ""
            raise DatasetError(
                f"{where}: holds {len(chosen)} *_gtFine_{wanted}.png in {len(cities)} folder(s) of cities{others}; "
                f"unpack {_LABELS}_trainvaltest.zip, which holds labelIds, or make all labelTrainIds of its polygons",
                path=where,
            )
        self._check_frames(chosen, cities)
        return chosen

    def _labels(self, city: str, names: list[str]) -> Iterator[tuple[str, str, int, str]]:
        """Go through the annotated frames among the files of a city, whose name may hold anything, hyphens too."""
        for name in sorted(names):
            for kind in LABEL_KINDS:
                start, end = f"{city}_", f"_gtFine_{kind}.png"
                if not name.endswith(end) or name.startswith("."):
                    continue
                numbers = _NUMBERS.fullmatch(name.removeprefix(start).removesuffix(end))
                if numbers is None or not name.startswith(start):
                    where = self.folder(_LABELS, city) / name
                    raise DatasetError(
                        f"{where}: is not named as its city, expected {start}<6 digits>_<6 digits>{end}", path=where
                    )
                yield city, numbers["seq"], int(numbers["frame"]), kind

    def _check_frames(self, annotated: list[tuple[str, str, int, str]], cities: list[str]) -> None:
        there = {city: set(_names(self.folder(_FRAMES, city), or_none=True)) for city in cities}
        missing = [
            name for city, seq, frame, _ in annotated if (name := _file(city, seq, frame, "png")) not in there[city]
        ]
        if missing:
            where = self.folder(_FRAMES)
            raise DatasetError(
                f"{where}: has no frame for {len(missing)} of {len(annotated)} annotated frame(s): {shortened(missing)}"
                f"; unpack all of {_FRAMES}_trainvaltest.zip, or choose `cities`",
                path=where,
            )


@dataclass(frozen=True)
class _AnnotatedClip:
    folders: _Folders
    city: str
    seq: str
    annotated: int
    kind: str
    classes: str

    @property
    def name(self) -> str:
        return f"{self.city}_{self.seq}_{self.annotated:06}"

    def frame_name(self, index: int) -> str:
        return f"{self.city}_{self.seq}_{self._number(index):06}"

    def _path(self, index: int) -> Path:
        return self.folders.folder(_FRAMES, self.city) / _file(self.city, self.seq, self._number(index), "png")

    def _number(self, index: int) -> int:
        return self.annotated - ANNOTATED + index

    def frame(self, index: int) -> npt.NDArray[np.uint8]:
        """Read frame 0..29 of the clip, or say what its absence means."""
        path = self._path(index)
        if self._number(index) >= 0 and is_file(path):
            return read_frame_image(path)
        there = [other for other in range(CLIP_FRAMES) if self._number(other) >= 0 and is_file(self._path(other))]
        k = ANNOTATED - index
        use = f"an offset of {k} needs it" if k >= 0 else f"it is {-k} frame(s) after the annotated one"
        raise DatasetError(
            f"{path}: is {'not a file' if exists(path) else 'missing'}: frame {index} of 0..{CLIP_FRAMES - 1} of clip "
            f"{self.name}; {use}; {_what_is_left(there, index)}",
            path=path,
        )

    def target(self, index: int) -> npt.NDArray[np.uint8] | None:
        """Read the labels of the annotated frame, as classes."""
        if index != ANNOTATED:
            return None
        path = self.folders.folder(_LABELS, self.city) / f"{self.name}_gtFine_{self.kind}.png"
        return read_cityscapes_labels(path, self.kind, self.classes)

    def timestamps_ns(self) -> tuple[int, ...]:
        """Read when the frames were recorded."""
        folder = self.folders.folder(_TIMES, self.city)
        paths = [folder / _file(self.city, self.seq, self._number(index), "txt") for index in range(CLIP_FRAMES)]
        times = tuple(_read_timestamp(path) for path in paths)
        for path, (before, after) in zip(paths[1:], pairwise(times), strict=True):
            if after <= before:
                raise DatasetError(
                    f"{path}: says {after} ns, but the frame before it {before} ns, expected times that rise",
                    path=path,
                )
        return times


def _chosen(cities: Collection[str] | None, folders: _Folders) -> list[str]:
    there = folders.cities()
    if cities is None:
        return there
    check_chosen("cities", cities, there)
    return sorted(set(cities))


def _check_download(folder: Path, kind: str) -> None:
    """Refuse a missing split of a download."""
    if is_folder(folder):
        return
    hint = ""
    if kind == _FRAMES and is_folder(folder.parents[1] / "leftImg8bit"):
        hint = "; leftImg8bit holds only the annotated frames"
    raise DatasetError(
        f"{folder}: is missing, expected a folder for each city in it; unpack {kind}_trainvaltest.zip into "
        f"{folder.parents[1]}{hint}",
        path=folder,
    )


def _names(folder: Path, *, or_none: bool = False) -> list[str]:
    """Return the names in a folder; none if it may be missing and is."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except NotADirectoryError:  # a file beside the folders of the cities
        return []
    except OSError as error:
        if or_none and isinstance(error, FileNotFoundError):
            return []
        raise DatasetError(f"{folder}: cannot be read: {error.strerror or error}", path=folder) from error


def _file(city: str, seq: str, frame: int, extension: str) -> str:
    suffix = "leftImg8bit" if extension == "png" else "timestamp"
    return f"{city}_{seq}_{frame:06}_{suffix}.{extension}"


def _what_is_left(there: list[int], index: int) -> str:
    if not there:
        return "the whole clip is missing"
    if index < there[0]:
        return f"the clip is cut short: it begins at frame {there[0]}, so offsets up to {ANNOTATED - there[0]} are left"
    if index > there[-1]:
        return f"the clip is cut short: it ends at frame {there[-1]}"
    return f"{CLIP_FRAMES - len(there)} of {CLIP_FRAMES} frames are missing"


def _read_timestamp(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise DatasetError(f"{path}: is missing, expected the time of a frame", path=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as the time of a frame: {error}", path=path) from error
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise DatasetError(f"{path}: says {text[:40]!r}, expected a whole number of nanoseconds", path=path)
    return int(text)


# ── label maps ──


def read_cityscapes_labels(path: Path, kind: str, classes: str) -> npt.NDArray[np.uint8]:
    """Read a label map.

    Parameters
    ----------
    path : Path
    kind : {"labelIds", "labelTrainIds"}
        What the file claims to hold.
    classes : {"19", "categories"}
        What comes out.

    Returns
    -------
    ndarray of uint8, (H, W)
        Labels 0..18 (`CLASS_NAMES`) or 0..6 (`CATEGORIES`), and 255 (`VOID`).

    Raises
    ------
    DatasetError
        If the file is missing or damaged, or holds other labels than it claims to.
    """
    labels = read_label_png(path)
    try:
        mapped = _LOOKUPS[kind][classes].apply(labels)
    except LabelError:
        raise _unknown(path, kind, labels) from None
    if kind == "labelIds" and labels.max() <= _LAST_TRAIN_ID:
        void = np.count_nonzero(mapped == VOID) / mapped.size
        if void > _MOST:
            raise _other_kind(path, kind, f"none above {_LAST_TRAIN_ID}, and read as ids {void:.0%} are void")
    return mapped


def _unknown(path: Path, kind: str, labels: npt.NDArray[Any]) -> DatasetError:
    is_known = np.isin(labels, list(_LOOKUPS[kind]["19"].mapping))
    unknown, pixels = np.unique(labels[~is_known], return_counts=True)
    found = f"label(s) {shortened(map(str, unknown))} ({pixels.sum():,} pixels)"
    if kind == "labelIds":
        are_other = unknown.tolist() == [VOID] and not (labels[is_known] > _LAST_TRAIN_ID).any()
    else:
        are_other = bool((unknown <= _LAST_ID).any())
    if are_other:
        return _other_kind(path, kind, found)
    expected = f"0..{_LAST_ID}" if kind == "labelIds" else f"0..{_LAST_TRAIN_ID} and {VOID}"
    hint = "; instance ids? the labels are in another file" if unknown[-1] > VOID else ""
    return DatasetError(f"{path}: holds {found}, expected {expected}{hint}", path=path)


def _other_kind(path: Path, kind: str, found: str) -> DatasetError:
    (other,) = set(LABEL_KINDS) - {kind}
    return DatasetError(
        f"{path}: is named {kind}, but seems to hold {other}: it holds {found}; rename such files to *_{other}.png",
        path=path,
    )


def _lookups(label_of: Callable[[int, int], int], void: Collection[int]) -> dict[str, LabelLookup]:
    """Return for either set of classes the lookup from labels; ``label_of(id, trainId)`` is the label in the file."""
    to_void = dict.fromkeys(void, VOID)
    labels = {name: label_of(label, place) for place, (name, (label, _)) in enumerate(_CLASSES.items())}
    classes = {labels[name]: place for place, name in enumerate(_CLASSES)}
    categories = {labels[name]: CATEGORIES.index(category) for name, (_, category) in _CLASSES.items()}
    return {"19": LabelLookup(to_void | classes), "categories": LabelLookup(to_void | categories)}


_LOOKUPS = {
    "labelIds": _lookups(lambda label, _: label, range(_LAST_ID + 1)),
    "labelTrainIds": _lookups(lambda _, train_id: train_id, [VOID]),
}
