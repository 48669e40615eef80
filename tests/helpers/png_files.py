"""PNG files taken apart and put together, and decoded as the specification says: slow, plain, and without Pillow."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["SIGNATURE", "Chunk", "assembled", "chunks_of", "decoded", "header"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]
"""Name and content."""

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_MOST_PIXELS = 1_000_000


def header(width: int, height: int, bits: int = 8, colour: int = 0, interlacing: int = 0) -> Chunk:
    """Return the first chunk."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlacing)


def assembled(chunks: Iterable[Chunk]) -> bytes:
    """Return a file of these chunks, each with its checksum."""
    parts = [SIGNATURE]
    for name, content in chunks:
        parts += [struct.pack(">I", len(content)), name, content, struct.pack(">I", zlib.crc32(name + content))]
    return b"".join(parts)


def chunks_of(content: bytes) -> list[Chunk]:
    """Return the chunks of a file, as far as they go; checksums are not asked for."""
    found, place = [], len(SIGNATURE)
    while place + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        found.append((name, content[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def decoded(content: bytes) -> npt.NDArray[np.int64] | None:
    """Return the samples of a file, (H, W) or (H, W, samples); None if it is too large to be decoded this way.

    Raises
    ------
    ValueError
        If it is not a PNG file as the specification has it.
    """
    chunks = _checked(content)
    width, height, bits, colour, _, _, interlacing = struct.unpack(">IIBBBBB", chunks[0][1])
    if not (width and height) or bits not in _DEPTHS.get(colour, ()) or interlacing > 1:
        raise ValueError("the header makes no sense")
    samples = _SAMPLES[colour]
    if width * height > _MOST_PIXELS:
        return None
    passes = _PASSES if interlacing else ((0, 0, 1, 1),)
    sizes = [(-(-(width - left) // right), -(-(height - top) // down)) for left, top, right, down in passes]
    lengths = [-(-max(columns, 0) * samples * bits // 8) for columns, _ in sizes]
    needed = sum(
        (1 + length) * rows for (columns, rows), length in zip(sizes, lengths, strict=True) if columns > 0 < rows
    )
    rows = zlib.decompressobj().decompress(b"".join(data for name, data in chunks if name == b"IDAT"), needed)
    if len(rows) < needed:
        raise ValueError(f"{len(rows)} bytes of pixels, not {needed}")
    image = np.zeros((height, width, samples), np.int64)
    place = 0
    for (left, top, right, down), (columns, lines), length in zip(passes, sizes, lengths, strict=True):
        if columns <= 0 or lines <= 0:
            continue
        end = place + (1 + length) * lines
        part = _unfiltered(rows[place:end], lines, length, max(1, samples * bits // 8))
        image[top::down, left::right] = _unpacked(part, columns, samples, bits)
        place = end
    return image[..., 0] if samples == 1 else image


def _checked(content: bytes) -> list[Chunk]:
    """Return the chunks up to the end, if they may stand in such a file."""
    if not content.startswith(SIGNATURE):
        raise ValueError("no signature")
    found: list[Chunk] = []
    place = len(SIGNATURE)
    while not found or found[-1][0] != b"IEND":
        if place + 12 > len(content):
            raise ValueError("no end")
        length, name = struct.unpack_from(">I4s", content, place)
        data = content[place + 8 : place + 8 + length]
        if content[place + 8 + length : place + 12 + length] != struct.pack(">I", zlib.crc32(name + data)):
            raise ValueError(f"checksum of {name!r}")
        if not name[0] & 32 and name not in _CRITICAL:
            raise ValueError(f"{name!r} is critical, and unknown")
        found.append((name, data))
        place += 12 + length
    names = [name for name, _ in found]
    if names.count(b"IHDR") != 1 or names[0] != b"IHDR" or len(found[0][1]) != 13:
        raise ValueError("not one header")
    if b"IDAT" not in names or any(name != b"IDAT" for name in names[names.index(b"IDAT") :][: names.count(b"IDAT")]):
        raise ValueError("pixels are missing, or not in one piece")
    return found


def _unfiltered(data: bytes, lines: int, length: int, step: int) -> npt.NDArray[np.uint8]:
    result = np.zeros((lines, length), np.uint8)
    above = bytearray(length)
    for line in range(lines):
        kind, *row = data[line * (1 + length) : (line + 1) * (1 + length)]
        if kind > 4:
            raise ValueError(f"no filter has the number {kind}")
        for place in range(length):
            a, b, c = (row[place - step], above[place], above[place - step]) if place >= step else (0, above[place], 0)
            row[place] = (row[place] + (0, a, b, (a + b) // 2, _paeth(a, b, c))[kind]) & 255
        above = bytearray(row)
        result[line] = row
    return result


def _paeth(a: int, b: int, c: int) -> int:
    guess = a + b - c
    return min((a, b, c), key=lambda value: abs(guess - value))  # the first of equals, as the specification has it


def _unpacked(rows: npt.NDArray[np.uint8], columns: int, samples: int, bits: int) -> npt.NDArray[np.int64]:
    if bits == 16:
        values = rows.reshape(len(rows), -1, 2).astype(np.int64) @ np.array([256, 1])
    elif bits == 8:
        values = rows.astype(np.int64)
    else:
        weights = 1 << np.arange(bits)[::-1]
        values = np.unpackbits(rows, axis=1).reshape(len(rows), -1, bits).astype(np.int64) @ weights
    kept: npt.NDArray[np.int64] = values[:, : columns * samples].reshape(len(rows), columns, samples)
    return kept
