"""Files that are damaged, disguised or hostile, as bytes; a module, so that several tests can write them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
FOLDER, REMOVED = object(), object()  # instead of what a file holds
_SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG with its length and checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_header(width: int, height: int, bits: int = 8, colour: int = GREY) -> bytes:
    """Return the beginning of a PNG, up to its first pixel."""
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def png(labels: npt.ArrayLike, *, bits: int = 8, colour: int = GREY) -> bytes:
    """Return a PNG without the help of an image library; of several channels, all are alike."""
    values = np.asarray(labels)
    samples = np.repeat(values.astype(">u2" if bits == 16 else np.uint8)[..., None], _SAMPLES[colour], axis=-1)
    rows = np.packbits(values.astype(bool), axis=1) if bits == 1 else samples
    height, width = values.shape
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    palette = chunk(b"PLTE", bytes(200 - value % 200 for value in range(3 * 256))) if colour == PALETTE else b""
    return (
        png_header(width, height, bits, colour) + palette + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    )


def flipped(data: bytes) -> bytes:
    """Change the pixel data of a PNG, and not its checksum."""
    damaged = bytearray(data)
    damaged[data.index(b"IDAT") + 6] ^= 1
    return bytes(damaged)


def png_bomb(width: int, height: int) -> bytes:
    """Return a sound PNG of zeros, a thousandth of its pixels' size, without compressing them all."""
    total, block = height * (1 + width), bytes(1 << 20)
    packer = zlib.compressobj(9)
    start = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)  # whatever came before: it can be repeated
    times, rest = divmod(total, len(block))
    if not times:
        raise ValueError(f"{width}x{height} is not a bomb")
    end = zlib.compressobj(9, zlib.DEFLATED, -15)
    last = end.compress(bytes(rest)) + end.flush()
    checksum = (total % 65_521) << 16 | 1  # Adler-32 of zeros
    pixels = start + again * (times - 1) + last + struct.pack(">I", checksum)
    return png_header(width, height) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def npy(values: Any) -> bytes:
    """Return an .npy file, also of objects."""
    content = io.BytesIO()
    np.save(content, values, allow_pickle=True)
    return content.getvalue()


def npy_header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    """Return the beginning of an .npy file: what it claims, and no number."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def write_label_maps(root: Path, maps: dict[str, Any]) -> None:
    """Write bytes, `FOLDER`, nothing for `REMOVED`, or arrays, by their path; what the frame had before gives way."""
    for name, content in maps.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in path.parent.glob(f"{path.stem}.*"):
            other.unlink()
        if content is FOLDER:
            path.mkdir()
        elif content is not REMOVED:
            path.write_bytes(content if isinstance(content, bytes) else npy(content))
