"""Changes of files that are read: hypothesis draws them, behind checksums and compression too."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from hostile_files import COMPRESSIONS, mend_tar_header, zipped
from png_files import SIGNATURE, assembled, chunks_of

Part = tuple[Any, bytes]
"""What a part is called, and what it holds."""
Parts = Callable[[bytes], tuple[list[Part], Callable[[list[Part]], bytes]]]
"""Takes a file apart: its parts, and what makes a file of them again, with the checksums it has to have."""

_TEXTS = ["0", "-1", "1e999", "NaN", "1/0", "1_0", "true", "[]", "{}", '""', ":", "=", ",", "*", "../", "~", "\\u0000"]
_TEXTS += ["\0", "\x1b[31m", "\ufeff", "\u2028", "٣", "é", "'", '"', "\r", "\n", "7" * 5000, "[" * 3000, "\0" * 512]
_TEXTS += [str(2**power + more) for power in (8, 16, 31, 32, 63, 64) for more in (-1, 0)]
_BYTES = [(2**power - 1).to_bytes(8, kind) for power in (0, 1, 8, 16, 31, 32, 47, 63, 64) for kind in ("little", "big")]
_NEW = st.binary(max_size=8) | st.sampled_from([*map(str.encode, _TEXTS), *_BYTES])


@st.composite
def changed(draw: st.DrawFn, seeds: Sequence[bytes], parts_of: Parts) -> bytes:
    """Draw a seed with one to four changes of its parts, or of the whole."""
    parts, joined = parts_of(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(parts) - 1)) if parts else 0
        kind = draw(st.sampled_from(("splice", "splice", "splice", "splice", "remove", "repeat", "swap")))
        if not parts:
            break
        if kind == "splice":
            name, content = parts[place]
            parts[place] = (name, draw(_spliced(content)))
        elif kind == "remove":
            del parts[place]
        elif kind == "repeat":
            parts.insert(draw(st.integers(0, len(parts))), parts[place])
        else:
            parts.insert(draw(st.integers(0, len(parts) - 1)), parts.pop(place))
    whole = joined(parts)
    return draw(_spliced(whole)) if draw(st.integers(0, 9)) == 0 else whole


@st.composite
def _spliced(draw: st.DrawFn, content: bytes) -> bytes:
    start = draw(st.integers(0, len(content)))
    end = min(len(content), start + draw(st.sampled_from((0, 1, 1, 2, 4, 8, 64, 2**20))))
    return content[:start] + draw(_NEW) + content[end:]


# ── files and their parts ──


def as_whole(content: bytes) -> tuple[list[Part], Callable[[list[Part]], bytes]]:
    """Leave a file in one piece."""
    return [(None, content)], _concatenated


def by_lines(content: bytes) -> tuple[list[Part], Callable[[list[Part]], bytes]]:
    """Take text apart by its lines."""
    return [(None, line) for line in content.splitlines(keepends=True)], _concatenated


def _concatenated(parts: list[Part]) -> bytes:
    return b"".join(content for _, content in parts)


def by_entries(content: bytes) -> tuple[list[Part], Callable[[list[Part]], bytes]]:
    """Take a journal apart by its lines, without their checksums."""
    records = [json.loads(line) for line in content.splitlines()]
    parts: list[Part] = [(record.pop("sha256"), _canonical(record)) for record in records]
    return parts, lambda changed: b"".join(map(_checked, changed))


def _checked(part: Part) -> bytes:
    try:
        record = json.loads(part[1])
        return _canonical({**record, "sha256": hashlib.sha256(_canonical(record)).hexdigest()}) + b"\n"
    except (ValueError, TypeError, RecursionError):
        return part[1] + b"\n"


def _canonical(record: Any) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode()


def by_members(content: bytes) -> tuple[list[Part], Callable[[list[Part]], bytes]]:
    """Take a zip archive apart by its members."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts: list[Part] = [((info.filename, info.compress_type), archive.read(info)) for info in archive.infolist()]
    return parts, lambda changed: zipped((name, data, packing) for (name, packing), data in changed)


def by_blocks(content: bytes) -> tuple[list[Part], Callable[[list[Part]], bytes]]:
    """Take a tar file apart by its blocks, behind its compression."""
    start = next((start for start in COMPRESSIONS if content.startswith(start)), None)
    pack: Callable[[bytes], bytes] = COMPRESSIONS[start][2] if start else bytes
    if start:
        with COMPRESSIONS[start][1](io.BytesIO(content)) as file:
            content = file.read()
    parts: list[Part] = [(None, content[place : place + 512]) for place in range(0, len(content), 512)]
    return parts, lambda changed: pack(b"".join(_mended(block) for _, block in changed))


def _mended(block: bytes) -> bytes:
    head = bytearray(block)
    if len(head) == 512 and head[257:262] == b"ustar":
        mend_tar_header(head)
    return bytes(head)


def by_chunks(content: bytes) -> tuple[list[Part], Callable[[list[Part]], bytes]]:
    """Take a PNG file apart by its chunks, pixels unpacked; a JPEG stays in one piece."""
    if not content.startswith(SIGNATURE):
        return as_whole(content)
    parts: list[Part] = [
        (name, zlib.decompress(data) if name == b"IDAT" else data) for name, data in chunks_of(content)
    ]
    return parts, lambda changed: assembled(
        (name, zlib.compress(data) if name == b"IDAT" else data) for name, data in changed
    )
