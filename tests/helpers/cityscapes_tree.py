"""A small tree of Cityscapes with the real names and encodings; a module, so that several tests can build it."""

from pathlib import Path

import numpy as np
from PIL import Image

IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
MILLISECOND = 1_000_000
STREET = np.array([[7, 8, 11, 26], [7, 3, 1, 24]], np.uint8)  # of ids: road, sidewalk, building, car, ..., void


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def frame_of(number: int) -> np.ndarray:
    return np.full((2, 4, 3), (number % 251, number // 251 % 251, 7), np.uint8)


def add_clip(
    root: Path,
    city: str,
    seq: int,
    frame: int,
    *,
    split: str = "val",
    ids: np.ndarray = STREET,
    kind: str = "labelIds",
    picture=frame_of,
) -> None:
    """Write the clip of an annotated frame as the downloads hold it; its frames show their numbers."""
    for number in range(max(0, frame - 19), frame + 11):
        stem = f"{city}_{seq:06}_{number:06}"
        save(root / "leftImg8bit_sequence" / split / city / f"{stem}_leftImg8bit.png", picture(number))
        time = root / "timestamp_sequence" / split / city / f"{stem}_timestamp.txt"
        time.parent.mkdir(parents=True, exist_ok=True)
        time.write_text(f"{number * 59 * MILLISECOND}\n")
    labels = root / "gtFine" / split / city
    save(labels / f"{city}_{seq:06}_{frame:06}_gtFine_{kind}.png", ids)
    (labels / f"{city}_{seq:06}_{frame:06}_gtFine_polygons.json").write_text("{}")
    save(labels / f"{city}_{seq:06}_{frame:06}_gtFine_color.png", frame_of(0))
    save(labels / f"{city}_{seq:06}_{frame:06}_gtFine_instanceIds.png", ids.astype(np.uint16) * 1000)
