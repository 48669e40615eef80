"""Label maps of CamVid: 32 colours, or the 11 classes into which they are grouped since SegNet.

The grouping makes one class of all that is built, one of all that is driven on, and so on; 11 is void.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flame_metric.data.frame_image import read_rgb_png
from flame_metric.data.label_png import read_label_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import exists
from flame_metric.errors import DatasetError, shortened

__all__ = ["CLASS_NAMES", "COLOUR_NAMES", "read_class_labels", "read_colour_labels", "read_colours"]

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
        If a line is no colour with the name of a class, a colour comes twice, or there is none.
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
