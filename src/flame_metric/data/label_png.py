"""Label maps as PNG files (Pillow): the numbers that are in the file, or an error that names it.

A label is an index, not a brightness, so nothing is converted: a palette image gives its indices, a 1-, 2- or 4-bit
image its raw samples (Pillow stretches the latter two to 0..255), a 16-bit image its 16-bit values. The checksum of
every chunk is verified; without that, a flipped bit in a compressed stream often decodes to other labels in silence.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flame_metric.data import MAX_PIXELS
from flame_metric.errors import DatasetError, MissingExtraError

try:
    from PIL import Image, UnidentifiedImageError
except ImportError as error:
    raise MissingExtraError("reading PNG label maps needs Pillow: pip install 'flame-metric[cli]'") from error

__all__ = ["read_label_png"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8s4x4sIIBBxxB")  # signature, name, width, height, bit depth, colour type, interlacing
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_END = b"IEND\xaeB`\x82"  # name and checksum of the last chunk, which is always empty
_GREY, _PALETTE = 0, 3
_CHANNELS = {2: "RGB (3 channels)", 4: "grey with transparency (2 channels)", 6: "RGBA (4 channels)"}


def read_label_png(
    path: str | os.PathLike[str], *, shape: tuple[int, int] | None = None
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Read a PNG label map.

    Parameters
    ----------
    path : str or path
        A PNG file with one channel: grey of 1, 2, 4, 8 or 16 bits, or a palette image, whose indices are the labels.
    shape : (int, int), optional
        (H, W) that it must have, compared with the header before anything is decoded.

    Returns
    -------
    ndarray of uint8, or of uint16 for 16-bit files, (H, W)

    Raises
    ------
    DatasetError
        If the file is missing, no PNG, damaged, animated, of several channels, of another size than ``shape``, or
        larger than 64 million pixels.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "labels.png")
    >>> Image.fromarray(np.array([[0, 1], [1, 255]], np.uint8)).save(file)
    >>> read_label_png(file)
    array([[  0,   1],
           [  1, 255]], dtype=uint8)
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            header = _check_header(path, head, shape)
            data = head + file.read()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
    if _END not in data:
        raise DatasetError(f"{path}: is damaged or cut short: its end is missing", path=path)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.verify()  # checksums of all chunks; the image cannot be used afterwards
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            images = getattr(image, "n_frames", 1)
            labels = np.asarray(image)
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path}: is damaged: its header makes no sense", path=path) from error
    except Exception as error:  # a decoder may raise anything on bytes from outside
        raise DatasetError(f"{path}: is damaged or cut short: {error or type(error).__name__}", path=path) from error
    if images > 1:
        raise DatasetError(f"{path}: is an animation, expected one label map", path=path)
    if labels.shape != (header.height, header.width):
        raise DatasetError(f"{path}: is damaged: its pixels have shape {labels.shape}", path=path)
    # Pillow leaves rows that are not there at 0. That shows in the last row, or anywhere if it is interlaced.
    if (header.interlaced or not labels[-1].any()) and _pixel_bytes(data, header.pixel_bytes) < header.pixel_bytes:
        raise DatasetError(f"{path}: is cut short: it holds fewer rows than its header says", path=path)
    if header.bits in (2, 4) and not header.is_palette:
        labels = labels // (255 // (2**header.bits - 1))  # undoes Pillow's stretching, exactly
    return labels.astype(np.uint16 if header.bits == 16 else np.uint8, copy=False)


class _Header(NamedTuple):
    width: int
    height: int
    bits: int
    is_palette: bool
    interlaced: bool

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all rows when they are unpacked, each with the byte that names its filter."""
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, step_x, step_y in passes:
            columns, rows = -(-(self.width - left) // step_x), -(-(self.height - top) // step_y)
            if columns > 0 and rows > 0:
                total += rows * (1 + -(-columns * self.bits // 8))
        return total


def _pixel_bytes(data: bytes, limit: int) -> int:
    """Unpack the pixel data of a file whose checksums are right, up to a limit, and return its length."""
    unpacker, unpacked, position = zlib.decompressobj(), 0, 8
    while position + 8 <= len(data) and unpacked < limit:
        length, name = struct.unpack_from(">I4s", data, position)
        if name == b"IDAT":
            unpacked += len(unpacker.decompress(data[position + 8 : position + 8 + length], limit))
        position += length + 12
    return unpacked


def _check_header(path: Path, head: bytes, shape: tuple[int, int] | None) -> _Header:
    if len(head) < _HEADER.size or not head.startswith(_SIGNATURE):
        found = "is a JPEG file: its compression changes labels" if head.startswith(b"\xff\xd8") else "is no PNG file"
        found = "is empty" if not head else "holds a PNG signature and no image" if head[:8] == _SIGNATURE else found
        raise DatasetError(f"{path}: {found}, expected a PNG label map", path=path)
    _, chunk, width, height, bits, colour, interlacing = _HEADER.unpack(head)
    if chunk != b"IHDR":
        raise DatasetError(f"{path}: is damaged: its first chunk is no header", path=path)
    if colour not in (_GREY, _PALETTE):
        kind = _CHANNELS.get(colour, f"of unknown colour type {colour}")
        raise DatasetError(
            f"{path}: is {kind}, expected one channel: label maps hold class numbers; map colours to classes first",
            path=path,
        )
    if width * height > MAX_PIXELS:
        raise DatasetError(f"{path}: has {width}x{height} pixels, expected at most {MAX_PIXELS:,}", path=path)
    if shape is not None and (height, width) != shape:
        raise DatasetError(f"{path}: has shape {(height, width)}, expected {shape}; nothing is resized", path=path)
    return _Header(width, height, bits, colour == _PALETTE, bool(interlacing))
