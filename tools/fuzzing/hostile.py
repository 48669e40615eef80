"""Inputs that were made by hand to do harm: bombs, depths, sizes that lie, tokens that readers take in unlike ways."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fuzzing.mutations import zipped
from fuzzing.png import assembled, chunks_of, header

__all__ = [
    "KINDS",
    "archives",
    "arrays",
    "descriptions",
    "field",
    "images",
    "messages",
    "npy",
    "picture",
    "records",
    "texts",
    "traces",
]

KINDS = ((1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (1, 3), (2, 3), (4, 3), (8, 3))
"""Bits and colour type of label maps."""

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_WIDTH, _HEIGHT = 11, 9
_MIB = 2**20


def picture(
    bits: int, colour: int, interlacing: int, *, opaque: bool = False, classes: int = 256, shift: int = 0
) -> bytes:
    """Return a small PNG file of each kind, whose rows come with each filter; interlaced, its rows are of one value."""
    samples, draw = _SAMPLES[colour], np.random.default_rng(bits + colour)
    sizes = [(_WIDTH, _HEIGHT)]
    if interlacing:
        passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
        sizes = [(-(-(_WIDTH - x) // right), -(-(_HEIGHT - y) // down)) for x, y, right, down in passes]
    rows = b""
    for columns, lines in sizes:
        for line in range(lines):
            values = draw.integers(0, min(classes, 2**8), -(-columns * samples * bits // 8), np.uint8)
            values = np.roll(values, shift)
            if opaque and samples == 4:
                values[3::4] = 255
            rows += bytes([0 if opaque or classes < 256 else line % 5]) + values.tobytes()
    palette = [(b"PLTE", bytes(range(256)) * 3)] if colour == 3 and bits == 8 else []
    if colour == 3 and bits < 8:
        palette = [(b"PLTE", bytes(3 * 2**bits))]
    pixels = (b"IDAT", zlib.compress(rows))
    return assembled([header(_WIDTH, _HEIGHT, bits, colour, interlacing), *palette, pixels, (b"IEND", b"")])


def npy(array: npt.NDArray[Any]) -> bytes:
    """Return the content of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def texts(seeds: Sequence[bytes]) -> list[bytes]:
    """Return text that is hostile anywhere, and seeds with it before and behind."""
    hostile = [b"", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"9" * 5000, b"[" * 10**5, b"(" * 10**5, b"1e999"]
    hostile += ["٣:²".encode(), b"\r", b"~\0", b"a" * 10**5, "\u2028".encode(), b"\x1b[31m", b"-" * 10**4, b"," * 10**4]
    around = [part for seed in seeds[:2] for text in hostile for part in (text + seed, seed + text)]
    return [*hostile, *around, *(seed.decode("utf-8", "replace").encode("utf-16") for seed in seeds[:2])]


def records(seeds: Sequence[bytes]) -> list[bytes]:
    """Return JSON with depths, huge numbers, names that come twice, and what is no JSON."""
    numbers = [
        b"1e999",
        b"-1e999",
        b"NaN",
        b"Infinity",
        b"9" * 4000,
        b"9" * 5000,
        b"1.0",
        b"-0",
        b"1e0",
        b"true",
        b'"1"',
    ]
    numbers += [b"[" * 10**5, b'{"a":' * 10**4, b"[" * 900 + b"]" * 900, b'"\\ud800"', b'"\\u0000"', b"null", b"{}"]
    found = texts(seeds)
    for seed in seeds:
        places = [place for place in range(len(seed)) if seed[place : place + 1].isdigit()]
        for number in numbers:
            for place in places[:: max(1, len(places) // 12)]:
                end = place + 1
                while seed[end : end + 1].isdigit():
                    end += 1
                found.append(seed[:place] + number + seed[end:])
        for name in (b'"sequences"', b'"id"', b'"config"', b'"samples_ns"', b'"format"'):
            before, known, after = seed.partition(name)
            found += [before + name + b": [], " + known + after, before + known + after.replace(b",", b", " + name, 1)]
        found.append(seed.rstrip()[:-1] + b', "sequences": []}')
    return found


def traces(seeds: Sequence[bytes]) -> list[bytes]:
    """Return CSV that readers take in unlike ways, and JSON."""
    table = b"latency_ms\n"
    cells = [b'"1\n2"', b'"1', b"1" * 200_000, b'"' + b"1" * 200_000 + b'"', b"1e999999999", b"1/0", b"1,2", b"", b" 1"]
    cells += [b"1\r2\r3", b"1\0", "٣".encode(), b"-1", b"NaN", b"1_0", b"0x1", b"1e3", b"9" * 40, b"1\x0b2", b"1\x1c2"]
    headings = [b"latency_ms,latency_ms\n1,2\n", b"latency_ms\r1\r2", b'"latency_ms"\n1\n', b"LATENCY_MS\n1\n", b",\n"]
    headings += [b"\nlatency_ms\n1\n", b"latency_ms \n1\n", b"latency_ms;a\n1;2\n", b"a,latency_ms\n1\n"]
    return [*records(seeds), *(table + cell for cell in cells), *headings]


def descriptions(seeds: Sequence[bytes]) -> list[bytes]:
    """Return TOML with depths, dates, paths of nobody and numbers without end."""
    lines = [b"fps = inf", b"fps = nan", b"fps = 1e-320", b"fps = 1e308", b"fps = 1979-05-27", b"fps = true"]
    lines += [
        b"fps = 0x1f",
        b"fps = " + b"9" * 4000,
        b"fps = " + b"9" * 5000,
        b"classes = " + b"9" * 30,
        b"classes = 2.0",
    ]
    lines += [
        b"step = " + b"9" * 30,
        b"step = 0",
        b"ignore_index = -" + b"9" * 30,
        b"ignore_index = 1",
        b"classes = 4097",
    ]
    lines += [
        b'class_names = ["a"]',
        b"class_names = []",
        b"class_names = [1]",
        b"val = [[[]]]",
        b"a" * 10**4,
        b"a = {",
    ]
    lines += [b"val = " + b"[" * 10**4, b".".join([b"a"] * 5000) + b" = 1", b'name = "\\u0000"', b'name = "\\uD800"']
    lines += [b'label_map = "0:1' + b",1:1" * 10**4 + b'"', b'label_prefix = "\\u0000"', b'val = ["..", "monday"]']
    lines += [b"val = ['monday', 'monday']", b"first_frame = 0", b"frame_suffix = '.PNG'", b"[frames]", b"[[val]]"]
    paths = [
        b'"~\\u0000"',
        b'"~nobody"',
        b'"~nobody\\u0000"',
        b'"frames\\u0000"',
        b'"' + b"a" * 5000 + b'"',
        b'""',
        b"'.'",
    ]
    paths += [b"'data.toml'", b"'frames/monday'", b"'frames/monday/f_0000.png'", b"'labels'", b"'frames/../frames'"]
    small = seeds[1]
    named = [small.replace(b"'frames'", path) for path in paths] + [small.replace(b"'labels'", path) for path in paths]
    plain = b"frames='frames'\nlabels='labels'\n"
    return [*texts(seeds), *(plain + line for line in lines), *(small + line for line in lines), *named]


# ── arrays and archives ──


def arrays(seeds: Sequence[bytes]) -> list[bytes]:
    """Return .npy files whose headers claim what the file does not hold, or what is no label map."""
    heads = []
    for dtype in ("'|u1'", "'<i8'", "'|O'", "'|V0'", "'<U0'", "'|S0'", "'<M8[s]'", "'<f8'", "'<c16'", "[('a', '|u1')]"):
        for shape in (
            "(3, 4)",
            "(0, 4)",
            "(-1, -12)",
            "(8000, 8000)",
            "(1, 10000000000)",
            "(2, 3, 4)",
            "()",
            "(True, 12)",
        ):
            heads += [f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}"]
    heads += ["(" * 9000, "-" * 9000 + "1", "[" * 9000, "{'descr':" * 900, "{'a\\d': 1}", "\0", "9" * 5000, "(3L, 4)"]
    heads.append("{'descr': '|u1', 'fortran_order': False, 'shape': (3L, 4L), }")
    found = [_npy(head.encode() + b"\n", bytes(96)) for head in heads]
    found += [b"\x93NUMPY\x02\0\xff\xff\xff\xff" + seeds[0], b"\x93NUMPY\x03\0\0\0\0\x7f", b"\x93NUMPY", b"PK\3\4"]
    return [*found, b"\x80\x04c__builtin__\neval\n", *texts(seeds)[:17]]


def _npy(head: bytes, data: bytes) -> bytes:
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + data


def archives(seeds: Sequence[bytes]) -> list[bytes]:
    """Return zip archives that unpack to far more than they are, or whose directories lie."""
    found = [b"PK\3\4", b"PK\5\6" + bytes(18), b"PK\5\6" + b"\xff" * 18]
    for seed in seeds:
        with zipfile.ZipFile(io.BytesIO(seed)) as opened:
            members = {info.filename: opened.read(info) for info in opened.infolist()}
        lie = _npy(b"{'descr': '<i8', 'fortran_order': False, 'shape': (9999999,), }\n", b"")
        for number, name in enumerate(list(members)[:12]):
            bomb = bytes(64 * _MIB if number < 2 else 64)
            others = (bomb, lie, *arrays(seeds)[:88:6], b"[" * 10**5, b"{}", b"9" * 5000)
            found += [_zipped({**members, name: other}) for other in others]
        whole = _zipped(members)
        directory = whole.rfind(b"PK\1\2")
        for place, value in ((20, 2**32 - 1), (24, 2**32 - 1), (24, 1), (42, 2**31), (42, 0), (8, 1), (10, 99)):
            size = 2 if place in (8, 10) else 4
            found.append(
                whole[: directory + place] + value.to_bytes(size, "little") + whole[directory + place + size :]
            )
        found += [b"x" * 100 + seed, seed + b"x" * 100, seed + seed, seed[:-10], _zipped({**members, "../a.npy": b""})]
        found.append(_zipped({**members, "/etc/passwd.npy": b""}))
    return found


def _zipped(members: dict[str, bytes]) -> bytes:
    return zipped((name, data, zipfile.ZIP_DEFLATED) for name, data in members.items())


# ── images ──


def images(seeds: Sequence[bytes]) -> list[bytes]:
    """Return PNG files with sizes that lie, bombs beside and in the pixels, animations and oddities; JPEGs too."""
    bomb = zlib.compress(bytes(40 * _MIB), 9)
    pixels, end = (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")
    sizes = [(0, 0), (0, 5), (5, 0), (2**31 - 1, 1), (2**32 - 1, 2**32 - 1), (8001, 8001), (1, 2**26), (65536, 1000)]
    found = [assembled([header(*size), pixels, end]) for size in sizes]
    for bits, colour in ((8, 0), (16, 0), (8, 2), (8, 6), (1, 0), (8, 3)):
        palette = [(b"PLTE", bytes(768))] if colour == 3 else []
        for size in ((13000, 13000), (9999, 9999), (4, 5)):
            second = header(*size, 8, 6)
            found.append(assembled([header(4, 4, bits, colour), *palette, second, pixels, end]))
            found.append(assembled([header(4, 4, bits, colour), *palette, pixels, second, end]))
    for bits, colour in ((16, 0), (8, 2)):  # as large as it may be, and rows for far more than there are
        full = zlib.compress(bytes(8000 * (1 + 8000 * bits * _SAMPLES[colour] // 8)), 1)
        found += [assembled([header(size, size, bits, colour), (b"IDAT", full), end]) for size in (4, 8000)]
    large = zlib.compress(bytes(9000 * (1 + 3 * 9000)), 1)
    found.append(assembled([header(4, 4, 8, 2), header(9000, 9000, 8, 2), (b"IDAT", large), end]))
    for seed in [seed for seed in seeds if seed.startswith(b"\x89PNG")][:4]:
        first, *others = chunks_of(seed)
        extras = [(b"zTXt", b"a\0\0" + bomb), (b"iTXt", b"a\0\1\0\0\0" + bomb), (b"iCCP", b"a\0\0" + bomb)]
        extras += [(b"zTXt", b"Raw profile type exif\0\0" + bomb), (b"tRNS", bytes(1)), (b"tRNS", b""), (b"PLTE", b"")]
        extras += [
            (b"acTL", struct.pack(">II", 2, 0)),
            (b"eXIf", b"\xff" * 40),
            (b"PLTE", bytes(10)),
            (b"DDAT", pixels[1]),
        ]
        extras += [
            (b"fdAT", bytes(4) + pixels[1]),
            (b"ABCD", b""),
            (b"abcd", bytes(10)),
            (b"IDAT", b""),
            (b"IEND", b""),
        ]
        found += [assembled([first, extra, *others]) for extra in extras]
        found += [assembled([first, *others[:-1], extra, *others[-1:]]) for extra in extras]
        found += [seed + seed, seed + b"x", seed + assembled([pixels])[8:], seed[:-12], seed[:-1], seed[:40]]
        animated = [(b"fcTL", struct.pack(">IIIIIHHBB", 0, 11, 9, 0, 0, 1, 1, 0, 0))]
        found.append(assembled([first, (b"acTL", struct.pack(">II", 1, 0)), *animated, *others]))
    for seed in (seed for seed in seeds if seed.startswith(b"\xff\xd8")):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            place = seed.find(marker)
            if place < 0:
                continue
            (length,) = struct.unpack_from(">H", seed, place + 2)
            frame = seed[place : place + 2 + length]
            for size in ((13000, 13000), (0, 17), (65535, 65535), (13, 18)):
                other = frame[:5] + struct.pack(">HH", *size) + frame[9:]
                found += [seed.replace(frame, other), seed.replace(frame, frame + other)]
                found += [seed.replace(frame, other + frame), seed[:-2] + other + seed[-2:]]
        found += [seed[:-2], seed + seed, b"\xff\xd8\xff\xe1\xff\xff" + seed[2:], seed[:2] + b"\xff" * 1000 + seed[2:]]
    return [*found, b"", b"\x89PNG", b"\xff\xd8", b"GIF89a", b"BM", b"\x89PNG\r\n\x1a\n"]


def messages(seeds: Sequence[bytes]) -> list[bytes]:
    """Return Protocol Buffers messages that are deep, long, or lead elsewhere."""
    deep = b""
    for _ in range(2000):
        deep = field(6, field(1, field(5, deep)))
    found = [
        field(7, field(1, field(5, deep))),
        b"\xff" * 100,
        field(7, b"")[:-1] + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ]
    for place in (
        b"../weights.bin",
        b"/etc/passwd",
        b"a" * 5000,
        b"\0",
        b"",
        b".",
        b"weights.bin\0",
        b"\xff",
        b"~/a",
        b"a/b",
    ):
        tensor = field(13, field(1, b"location") + field(2, place))
        found.append(field(7, field(5, tensor)))
    return [*found, *(seed * 1000 for seed in seeds), json.dumps({}).encode(), b""]


def field(number: int, content: bytes) -> bytes:
    """Return a field of a Protocol Buffers message that holds bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
