"""Label maps of Cityscapes: from ids or "trainIds" in a file to 19 classes or 7 categories.

A file holds ids 0..33, of which 19 are evaluated, or the 19 trainIds 0..18 with 255 for void. Files of one kind under
the other's name would score next to nothing without any error, so each is held against what it claims to be:

- trainIds under the name of labelIds hold 255 and nothing else above 18; or nothing above 18 at all, and read as ids
  they are void for the most part, because 0 is road in one and nothing in the other;
- labelIds under the name of labelTrainIds hold some of 19..33: vegetation, sky, people, cars.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.data.label_png import read_label_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import DatasetError, LabelError, shortened

__all__ = ["CATEGORIES", "CLASS_NAMES", "LABEL_KINDS", "VOID", "read_cityscapes_labels"]

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
