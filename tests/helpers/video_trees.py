"""Image files of small video data sets; a module, so that the tests of several readers can write them."""

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def save(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG, or a JPEG where the name says so: grey of 8 or 16 bits, or RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_palette(path: Path, indices: np.ndarray) -> None:
    """Write a PNG with a palette whose colours are not labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(indices)
    image.putpalette([200 - value % 200 for value in range(3 * 256)])
    assert image.mode == "P"
    image.save(path)


def frame_of(number: int, shape: tuple[int, int] = (2, 4)) -> np.ndarray:
    """Return a frame of one colour, which tells its number."""
    return np.full((*shape, 3), (number % 16 * 16, number // 16 % 16 * 16, 128), np.uint8)


def number_of(frame: np.ndarray) -> int:
    """Return which frame of 0..255 is shown; JPEG changes colours a little."""
    red, green = (int(frame[..., channel].mean() / 16 + 0.5) for channel in (0, 1))
    return green * 16 + red


def write_video(
    frames: Path,
    labels: Path,
    numbers: Iterable[int],
    *,
    digits: int,
    label_of,
    extension: str = "jpg",
    shape: tuple[int, int] = (2, 4),
) -> None:
    """Write numbered frames that show their numbers, and for each the label map ``label_of(number)``, if any."""
    for number in numbers:
        save(frames / f"{number:0{digits}}.{extension}", frame_of(number, shape))
        label = label_of(number)
        if label is not None:
            save(labels / f"{number:0{digits}}.png", np.asarray(label))


def cut_short(path: Path) -> None:
    """Take the end of a file away, as a download that broke off does."""
    path.write_bytes(path.read_bytes()[:-20])


def flip_a_bit(path: Path) -> None:
    """Change the pixel data of a PNG, and not its checksum."""
    data = bytearray(path.read_bytes())
    start = data.index(b"IDAT") + 4
    (length,) = struct.unpack(">I", data[start - 8 : start - 4])
    data[start + length - 1] ^= 1
    assert zlib.crc32(data[start - 4 : start + length]) != struct.unpack_from(">I", data, start + length)[0]
    path.write_bytes(bytes(data))
