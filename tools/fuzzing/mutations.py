"""Mutations that know what they change: what lies behind a checksum, a length or a bracket is reached too.

Each function takes a source of chance and a file, and returns another file. The same chance gives the same file.
"""

from __future__ import annotations

import base64
import bz2
import functools
import gzip
import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from random import Random
from types import MappingProxyType
from typing import Any

from fuzzing.png import Chunk, assembled, chunks_of, header

__all__ = [
    "COMPRESSIONS",
    "Mutate",
    "any_bytes",
    "archive",
    "array",
    "json_lines",
    "json_text",
    "lines",
    "lines_or_json",
    "mend_tar_header",
    "png_or_jpeg",
    "tar_file",
    "zipped",
]

_TAR_BLOCK = 512
_TAR_FIELDS = ((0, 100), (124, 12), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (345, 155))
_MOST_UNPACKED = 1_000_000  # of a bomb, changed ones are small
COMPRESSIONS: Mapping[bytes, tuple[str, Callable[[Any], Any], Callable[[bytes], bytes]]] = MappingProxyType(
    {
        b"\x1f\x8b": ("gz", gzip.open, lambda data: gzip.compress(data, mtime=0)),
        b"BZh": ("bz2", bz2.open, bz2.compress),
        b"\xfd7zXZ": ("xz", lzma.open, lambda data: lzma.compress(data, preset=0)),
    }
)
"""Of tar files, by their first bytes: the ending, what opens it, what makes it. The same data give the same bytes."""

Mutate = Callable[[Random, bytes], bytes]

_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 257, 4095, 4096, 32767, 32768, 65535, 65536, 3_000_000)
_NUMBERS += (*(2**power + more for power in (31, 32, 47, 48, 53, 62, 63, 64) for more in (-1, 0, 1)), 10**18, 10**400)
_TEXTS = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        *("1e999", "1e-999", "-1", "-0", "NaN", "Infinity", "nan", "inf", "1/0", "30000/1001", "0x10", "1_000", "+1"),
        *(
            "7" * 5000,
            "[" * 3000,
            '{"a":' * 1500,
            "(" * 300,
            "-" * 3000,
            "\ud800",
            "\\ud800",
            "\0",
            "\\u0000",
            "\ufeff",
        ),
        *("\r", "\r\n", "\n", "\x85", "\u2028", "\x1b[31m", '"', "'", ",", ":", "=", ";", "*", "*:*", "/", "..", "../"),
        *("~", "~nobody\\u0000", "٣", "²", "é", "\udcff", "true", "null", "[]", "{}", '""', "=1+1", " ", "\t", "#"),
    )
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "clip", "a\x1b", "\ud800", "\0", "30000/1001", "1e9", "skip", "void", "NaN", "1", "0"),
    *([], {}, [[]], [None], [0], {"a": 1}, 0.5, -0.5, 1.0, 1e308, float("inf"), float("nan"), -1, -(2**63), -(10**400)),
)


def any_bytes(draw: Random, content: bytes) -> bytes:
    """Change a file that may be anything."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        content = draw.choice(_OF_BYTES)(draw, bytearray(content))
    return content


def _flip(draw: Random, content: bytearray) -> bytes:
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content)


def _replace(draw: Random, content: bytearray) -> bytes:
    if content:
        content[draw.randrange(len(content))] = draw.choice((0, 1, 9, 10, 13, 32, 48, 57, 127, 128, 254, 255))
    return bytes(content)


def _insert(draw: Random, content: bytearray) -> bytes:
    place = draw.randint(0, len(content))
    content[place:place] = draw.choice(_TEXTS) if draw.random() < 0.7 else draw.randbytes(draw.randint(1, 8))
    return bytes(content)


def _delete(draw: Random, content: bytearray) -> bytes:
    place = draw.randint(0, len(content))
    del content[place : place + draw.choice((1, 1, 2, 4, 16, 64))]
    return bytes(content)


def _cut(draw: Random, content: bytearray) -> bytes:
    return bytes(content[: draw.randint(0, len(content))])


def _move(draw: Random, content: bytearray) -> bytes:
    begin, place = draw.randint(0, len(content)), draw.randint(0, len(content))
    block = content[begin : begin + draw.randint(1, 32)]
    content[place : place + len(block) * draw.randrange(2)] = block
    return bytes(content)


def _number(draw: Random, content: bytearray) -> bytes:
    size, place = draw.choice((1, 2, 4, 8)), draw.randint(0, len(content))
    value = draw.choice(_NUMBERS) % 256**size
    content[place : place + size] = value.to_bytes(size, draw.choice(("little", "big")))
    return bytes(content)


_OF_BYTES: tuple[Callable[[Random, bytearray], bytes], ...] = (_flip, _replace, _insert, _delete, _cut, _move, _number)


# ── text ──


def lines(draw: Random, content: bytes) -> bytes:
    """Change text by its lines, or one of its numbers, or anything in it."""
    parts = content.splitlines(keepends=True)
    kind = draw.randrange(6)
    if not parts or kind > 3:
        return any_bytes(draw, content)
    place = draw.randrange(len(parts))
    if kind == 0:
        parts.insert(draw.randint(0, len(parts)), draw.choice(parts))
    elif kind == 1:
        del parts[place]
    elif kind == 2:
        words = parts[place].replace(b"=", b" = ").replace(b",", b" , ").replace(b":", b" : ").split(b" ")
        words[draw.randrange(len(words))] = draw.choice((*_TEXTS, str(draw.choice(_NUMBERS)).encode()))
        separator = b"" if draw.randrange(2) else b" "
        parts[place] = separator.join(words)
    else:
        parts[place] = parts[place].rstrip(b"\r\n") + draw.choice((b"\r", b"\r\n", b"\x0b", b"\x85", b""))
    return b"".join(parts)


# ── JSON ──


def json_text(draw: Random, content: bytes) -> bytes:
    """Change a value somewhere in JSON text, or the text."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return any_bytes(draw, content)
    if draw.random() < 0.25:
        return any_bytes(draw, content)
    for _ in range(draw.choice((1, 1, 2, 3))):
        record = _edited(draw, record)
    try:
        return json.dumps(record).replace("Infinity", draw.choice(("1e999", "Infinity"))).encode()
    except (ValueError, RecursionError):
        return content


def json_lines(draw: Random, content: bytes) -> bytes:
    """Change a line of a journal and mend its checksum, or change the text."""
    parts = content.splitlines(keepends=True)
    if not parts or draw.random() < 0.25:
        return lines(draw, content)
    place = draw.randrange(len(parts))
    try:
        record = json.loads(parts[place])
        record.pop("sha256")
        bank = record.get("record", {}).get("bank") if draw.random() < 0.3 else None
        record = _with_bank(draw, record, bank) if isinstance(bank, str) else _edited(draw, record)
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        checksum = hashlib.sha256(text.encode()).hexdigest()
        parts[place] = (
            json.dumps({**record, "sha256": checksum}, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        )
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return any_bytes(draw, content)
    return b"".join(parts)


def _with_bank(draw: Random, record: dict[str, Any], bank: str) -> dict[str, Any]:
    changed = base64.b64encode(archive(draw, base64.b64decode(bank))).decode()
    return {**record, "record": {**record["record"], "bank": changed}}


def _edited(draw: Random, record: Any) -> Any:
    """Replace, remove, add, double or copy one value."""
    found: list[tuple[Any, Any]] = []  # what holds a value, and its name or number there
    waiting = [record]
    while waiting:
        holder = waiting.pop()
        steps = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        found += [(holder, step) for step in steps]
        waiting += [holder[step] for step in steps]
    if not found:
        return draw.choice(_VALUES)
    holder, step = draw.choice(found)
    kind = draw.randrange(8)
    if kind == 0:
        del holder[step]
    elif kind == 1:
        other, where = draw.choice(found)
        holder[step] = json.loads(json.dumps(other[where]))
    elif kind == 2 and isinstance(holder, list):
        holder.insert(step, json.loads(json.dumps(holder[step])))
    elif kind == 3 and isinstance(holder, dict):
        holder[draw.choice(("", "id", "version", "a", "scores"))] = holder[step]
    elif kind == 4 and isinstance(holder[step], int):
        holder[step] += draw.choice((-1, 1, 2**40))
    elif kind == 5:
        holder[step] = draw.choice(_NUMBERS)
    else:
        holder[step] = json.loads(json.dumps(draw.choice(_VALUES)))
    return record


def lines_or_json(draw: Random, content: bytes) -> bytes:
    """Change JSON text or a table."""
    return (json_text if content.lstrip()[:1] == b"{" else lines)(draw, content)


# ── archives ──


def archive(draw: Random, content: bytes) -> bytes:
    """Change a member of a zip archive and pack it anew, or change the archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            members = [(info.filename, opened.read(info), info.compress_type) for info in opened.infolist()]
    except Exception:  # what was changed before may be no archive any more
        return any_bytes(draw, content)
    kind = draw.randrange(10)
    if not members or kind == 0:
        return any_bytes(draw, content)
    place = draw.randrange(len(members))
    name, data, packing = members[place]
    if kind == 1:
        del members[place]
    elif kind == 2:
        members.append((draw.choice(members)[0], data, packing))
    elif kind == 3:
        members[place] = (name, data, draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))
    else:
        members[place] = (name, _member(draw, name, data), packing)
    whole = zipped(members)
    return any_bytes(draw, whole) if draw.random() < 0.1 else whole


def tar_file(draw: Random, content: bytes) -> bytes:
    """Change a tar file, behind its compression if it has one, or the file as it lies there."""
    if draw.randrange(10) == 0:
        return any_bytes(draw, content)
    start = next((start for start in COMPRESSIONS if content.startswith(start)), None)
    if start is None:
        return _tar(draw, content)
    _, opened, packed = COMPRESSIONS[start]
    try:
        with opened(io.BytesIO(content)) as file:
            unpacked = file.read(_MOST_UNPACKED)
    except Exception:  # what was changed before may be damaged
        return any_bytes(draw, content)
    return packed(_tar(draw, unpacked))


def _tar(draw: Random, content: bytes) -> bytes:
    """Change a header and mend its checksum, or a block, or anything."""
    kind = draw.randrange(8)
    if len(content) % _TAR_BLOCK or not content or kind == 0:
        return any_bytes(draw, content)
    blocks = [bytearray(content[start : start + _TAR_BLOCK]) for start in range(0, len(content), _TAR_BLOCK)]
    if kind < 3:
        place = draw.randrange(len(blocks))
        changed = draw.choice(([], [blocks[place]] * 2, [draw.choice(blocks)], [bytearray(_TAR_BLOCK)]))
        return b"".join([*blocks[:place], *changed, *blocks[place + 1 :]])
    heads = [block for block in blocks if block[257:262] == b"ustar"]
    if not heads:
        return any_bytes(draw, content)
    head = draw.choice(heads)
    start, length = draw.choice(_TAR_FIELDS)
    value = draw.choice(
        (b"%o" % draw.choice(_NUMBERS), b"%o" % draw.randrange(2000), any_bytes(draw, bytes(head[start:])))
    )
    head[start : start + length] = value[:length].ljust(length, b"\0")
    mend_tar_header(head)
    return b"".join(blocks)


def mend_tar_header(head: bytearray) -> None:
    """Write the checksum that a header has to have into it."""
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % (sum(head) % 8**6)


def zipped(members: Iterable[tuple[str, bytes, int]]) -> bytes:
    """Return an archive of members: name, content, kind of compression. The same ones give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, data, packing in members:
            info = zipfile.ZipInfo(name)  # of one date
            info.compress_type = packing
            packed.writestr(info, data)
    return buffer.getvalue()


def _member(draw: Random, name: str, data: bytes) -> bytes:
    if name.endswith(".json"):
        return json_text(draw, data)
    return array(draw, data) if data.startswith(b"\x93NUMPY") else any_bytes(draw, data)


def array(draw: Random, content: bytes) -> bytes:
    """Change a .npy file: its header, whose length is mended, or one of its values, or JSON in it."""
    if not content.startswith(b"\x93NUMPY\x01") or len(content) < 12 or draw.random() < 0.1:
        return any_bytes(draw, content)
    start = 10 + int.from_bytes(content[8:10], "little")
    head, data = content[10:start], content[start:]
    kind = draw.randrange(8)
    if kind < 3:
        head = draw.choice((_with_shape, _with_dtype, any_bytes))(draw, head)
    elif data[:1] == b"{":
        data = json_text(draw, data)
        head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }" % len(data)
        head += b" " * (-(len(head) + 11) % 64) + b"\n"
    elif kind < 7 and len(data) >= 8:
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 2, 3))):
            place = 8 * draw.randrange(len(data) // 8)
            value = int.from_bytes(changed[place : place + 8], "little") + draw.choice((-1, 1))
            value = draw.choice((value, draw.choice(_NUMBERS))) % 2**64
            changed[place : place + 8] = value.to_bytes(8, "little")
        data = bytes(changed)
    else:
        data = any_bytes(draw, data)
    return b"\x93NUMPY\x01\x00" + (len(head) % 65536).to_bytes(2, "little") + head + data


def _with_shape(draw: Random, head: bytes) -> bytes:
    before, _, rest = head.partition(b"(")
    _, _, after = rest.partition(b")")
    lengths = [draw.choice((*_NUMBERS, -1, "True", "()")) for _ in range(draw.randrange(5))]
    return b"%s(%s)%s" % (before, "".join(f"{length}, " for length in lengths).encode(), after)


def _with_dtype(draw: Random, head: bytes) -> bytes:
    plain = ("|O", "<f8", "|V0", "<U0", "|S0", ">i8", "<i4", "<c16", "<M8[s]", "|b1", "<i8", "|u1", "<f2", "|V9", ">u2")
    dtypes = [*(f"'{name}'" for name in plain), "[('a', '<i4')]", "[]", "('<i8', (2, 2))", "'<U3'", "5"]
    before, colon, rest = head.partition(b"'descr': ")
    _, comma, after = rest.partition(b", 'fortran")
    return before + colon + draw.choice(dtypes).encode() + comma + after


# ── images ──


def png_or_jpeg(draw: Random, content: bytes) -> bytes:
    """Change chunks of a PNG and mend their checksums, or change the file, which may be a JPEG."""
    if not content.startswith(b"\x89PNG") or draw.random() < 0.15:
        return any_bytes(draw, content)
    chunks = chunks_of(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if chunks:
            chunks = draw.choice(_OF_CHUNKS)(draw, chunks)
    whole = assembled(chunks)
    return whole if draw.random() < 0.95 else any_bytes(draw, whole)


def _chunk(draw: Random, chunks: list[Chunk]) -> list[Chunk]:
    place = draw.randrange(len(chunks))
    name, data = chunks[place]
    kind = draw.randrange(4)
    if kind == 0:
        return chunks[:place] + chunks[place + 1 :]
    if kind == 1:
        chunks.insert(draw.randint(0, len(chunks)), (name, data))
    elif kind == 2:
        chunks.insert(draw.randint(0, len(chunks)), chunks.pop(place))
    else:
        names = (b"IDAT", b"DDAT", b"fdAT", b"PLTE", b"tRNS", b"IEND", b"IHDR", b"abcd", b"ABCD", b"acTL", b"fcTL")
        chunks[place] = draw.choice(((draw.choice(names), data), (name, any_bytes(draw, data))))
    return chunks


def _image_header(draw: Random, chunks: list[Chunk]) -> list[Chunk]:
    sizes = (0, 1, 2, 3, 5, 7, 8, 9, 16, 17, 7999, 8000, 8001, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
    first = bytearray(chunks[0][1].ljust(13, b"\0"))
    if draw.randrange(2):
        place = draw.choice((0, 4))
        first[place : place + 4] = draw.choice(sizes).to_bytes(4, "big")
    else:
        first[draw.randint(8, 12)] = draw.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    chunks[0] = (chunks[0][0], bytes(first))
    if draw.randrange(4) == 0:
        second = header(draw.choice(sizes), draw.choice(sizes), draw.choice((1, 8, 16)), draw.choice((0, 2, 3, 4, 6)))
        chunks.insert(draw.randint(0, len(chunks)), second)
    return chunks


def _pixels(draw: Random, chunks: list[Chunk]) -> list[Chunk]:
    packed = b"".join(data for name, data in chunks if name == b"IDAT")
    try:
        rows = zlib.decompressobj().decompress(packed, 1_000_000)
    except zlib.error:
        return _chunk(draw, chunks)
    changed = zlib.compress(any_bytes(draw, rows) if draw.randrange(4) else rows + bytes(draw.choice((1, 100, 10**5))))
    if draw.randrange(6) == 0:
        changed = any_bytes(draw, changed)
    cut = draw.randint(0, len(changed))
    parts = [changed] if draw.randrange(3) else [changed[:cut], changed[cut:]]
    others = [chunk for chunk in chunks if chunk[0] != b"IDAT"]
    place = next((index for index, (name, _) in enumerate(others) if name == b"IEND"), len(others))
    pieces: list[Chunk] = [(b"IDAT", part) for part in parts]
    if draw.randrange(6) == 0:
        pieces.insert(draw.randint(0, len(pieces)), (draw.choice((b"tEXt", b"IDAT", b"IEND")), b""))
    return others[:place] + pieces + others[place:]


def _more(draw: Random, chunks: list[Chunk]) -> list[Chunk]:
    bomb = _zeros(draw.choice((10, 10**6, 3 * 10**7)))
    number = draw.choice((0, 1, 2, 255)).to_bytes(4, "big")
    extras: tuple[Chunk, ...] = (
        (b"zTXt", b"a\0\0" + bomb),
        (b"iTXt", b"a\0\1\0\0\0" + bomb),
        (b"iCCP", b"a\0\0" + bomb),
        (b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
        (b"tRNS", draw.randbytes(draw.choice((0, 1, 2, 6, 300)))),
        (b"PLTE", draw.randbytes(draw.choice((0, 1, 3, 6, 768, 771)))),
        (b"acTL", number + b"\0\0\0\0"),
        (b"fcTL", number + (4).to_bytes(4, "big") * 2 + bytes(8) + b"\0\1\0\1\0\0"),
        (b"fdAT", number + zlib.compress(bytes(40))),
        (b"gAMA", number),
        (b"pHYs", number * 2 + b"\1"),
        (b"sRGB", b""),
        (b"tEXt", b""),
    )
    chunks.insert(draw.randint(0, len(chunks)), draw.choice(extras))
    return chunks


@functools.cache
def _zeros(number: int) -> bytes:
    return zlib.compress(bytes(number), 9)


_OF_CHUNKS: tuple[Callable[[Random, list[Chunk]], list[Chunk]], ...] = (_chunk, _image_header, _pixels, _pixels, _more)
