"""Inputs that were made by hand to do harm: bombs, depths, sizes that lie, tokens that readers take in unlike ways."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from png_files import assembled, chunks_of, header

__all__ = [
    "COMPRESSIONS",
    "KINDS",
    "archives",
    "arrays",
    "descriptions",
    "images",
    "mend_tar_header",
    "npy",
    "picture",
    "records",
    "tars",
    "texts",
    "traces",
    "zipped",
]

KINDS = ((1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (1, 3), (2, 3), (4, 3), (8, 3))
"""Bits and colour type of label maps."""

COMPRESSIONS: Mapping[bytes, tuple[str, Callable[[Any], Any], Callable[[bytes], bytes]]] = MappingProxyType(
    {
        b"\x1f\x8b": ("gz", gzip.open, lambda data: gzip.compress(data, mtime=0)),
        b"BZh": ("bz2", bz2.open, bz2.compress),
        b"\xfd7zXZ": ("xz", lzma.open, lambda data: lzma.compress(data, preset=0)),
    }
)
"""Of tar files, by their first bytes: the ending, what opens it, what makes it. The same data give the same bytes."""

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


def texts(seeds: Sequence[bytes]) -> list[bytes]:
    """Return text that is hostile anywhere, and seeds with it before and behind."""
    hostile = [b"", b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"9" * 5000, b"[" * 10**5, b"(" * 10**5, b"1e999"]
    hostile += ["٣:²".encode(), b"\r", b"~\0", b"a" * 10**5, "\u2028".encode(), b"\x1b[31m", b"-" * 10**4, b"," * 10**4]
    around = [part for seed in seeds[:2] for text in hostile for part in (text + seed, seed + text)]
    return [*hostile, *around, *(seed.decode("utf-8", "replace").encode("utf-16") for seed in seeds[:2])]


def records(seeds: Sequence[bytes]) -> list[bytes]:
    """Return JSON with depths, huge numbers, names that come twice, and what is not a JSON."""
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
    """Return .npy files whose headers claim what the file does not hold, or what is not a label map."""
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


_TAR_END = bytes(1024)
_PACKERS: tuple[Callable[[], Any], ...] = (
    lambda: zlib.compressobj(1, wbits=31),
    bz2.BZ2Compressor,
    lambda: lzma.LZMACompressor(preset=0),
)


def tars(seeds: Sequence[bytes]) -> list[bytes]:
    """Return tar files that unpack to far more than they are, or whose headers, links and names lead astray."""
    file = _tar_member(b"monday/0001.npy", npy(np.full((3, 4), 0)))
    found = [_TAR_END, _TAR_END * 20, file, file + bytes(512), _TAR_END + file + _TAR_END]
    zeros = [bytes(_MIB)] * 64
    heads = [_tar_head(name, 64 * _MIB, kind) for name, kind in ((b"a.npy", b"0"), (b"a", b"x"), (b"a", b"L"))]
    bombs = [[head, *zeros, file, _TAR_END] for head in heads] + [[file, _TAR_END, *zeros]]
    found += [_packed(packer(), bomb) for packer in _PACKERS for bomb in bombs]
    found.append(_with_dictionary(36, _packed(_PACKERS[2](), [file, _TAR_END, *zeros * 6])))
    found += [_with_dictionary(size, _packed(_PACKERS[2](), [file, _TAR_END])) for size in (30, 36, 39, 40, 41, 255)]
    found += _tars_of_names(file) + _tars_of_links(file) + _tars_of_sizes(file)
    for _, _, packed in COMPRESSIONS.values():
        whole = packed(file + _TAR_END)
        found += [whole + whole, whole + b"x" * 100, whole + bytes(600), whole[:-9], packed(whole), packed(b"")]
        found += [packed(file) + packed(_TAR_END), packed(file + _TAR_END + file + _TAR_END)]
    return [*found, *(seed[:10] for seed in seeds), *(seed + seed for seed in seeds)]


def _tars_of_names(file: bytes) -> list[bytes]:
    names = [b"../a.npy", b"a/../../a.npy", b"..", b".", b"./", b"/", b"", b"/etc/a.npy", b"//a.npy", b"a\\..\\a.npy"]
    names += [b"C:/a.npy", b"a\0b.npy", b"\xff.npy", b"\x1b[31m.npy", b"a\n.npy", b"./monday/0001.npy", b"monday"]
    names += [b"a" * 255 + b".npy", b"a" * 10**5, b"a/" * 10**4 + b"a.npy", b"a/" * 4 * 10**5 + b"a.npy"]
    found = []
    for name in names:
        plain, rest = _tar_member(name[:100], b"1"), file + _TAR_END
        record = b" path=" + name + b"\n"
        record = (
            b"%d" % next(size for size in range(len(record), 2**21) if len(b"%d" % size) + len(record) == size) + record
        )
        found += [plain + rest, _tar_member(b"a", name + b"\0", b"L") + plain + rest]
        found += [_tar_member(b"a", record, kind) + plain + rest for kind in (b"x", b"g")]
    return found


def _tars_of_links(file: bytes) -> list[bytes]:
    found = []
    for kind in (b"1", b"2"):
        for pairs in (
            [(b"a.npy", b"a.npy")],
            [(b"a.npy", b"b.npy"), (b"b.npy", b"a.npy")],
            [(b"a", b"b"), (b"b", b"a"), (b"a/0001.npy", b"b/0001.npy")],
            [(b"a.npy", b"monday/0001.npy")],
            [(b"a.npy", b"/etc/passwd")],
            [(b"a.npy", b"../../etc/passwd")],
            [(b"a.npy", b"")],
            [(b"monday", b"."), (b"monday/monday", b"monday")],
            [(b"%d.npy" % place, b"%d.npy" % (place + 1)) for place in range(2000)],  # deeper than calls may be
        ):
            links = b"".join(_tar_head(name, 0, kind, link) for name, link in pairs)
            found += [links + file + _TAR_END, file + links + _TAR_END]
    devices = (_tar_head(b"a.npy", 0, kind) for kind in (b"3", b"4", b"6", b"7", b"D", b"V", b"\0", b"?"))
    return [*found, *(device + file + _TAR_END for device in devices)]


def _tars_of_sizes(file: bytes) -> list[bytes]:
    numbers = (1, 100, 2**20 + 1, 2**31, 2**40, 2**62, 2**63, -1, -511, -512, -513, -1024, -(2**31), -(2**62))
    sizes = [(number % 2**96 | 1 << 95).to_bytes(12, "big") for number in numbers]  # in base 256
    sizes += [
        b"77777777777\0",
        b"-1",
        b"-0000001000",
        b"00000000010x",
        b"",
        b" " * 12,
        b"0x10",
        b"8",
        b"\x81" + bytes(11),
    ]
    found = []
    for size in sizes:
        for kind in (b"0", b"5", b"x", b"g", b"L", b"K", b"S", b"2"):
            head = _tar_head(b"a.npy", size, kind)
            found += [head + bytes(512) + file + _TAR_END, file + head + file + _TAR_END]
    for lines in (
        (b"size=-512", b"size=99999999999999999999", b"size=1e9", b"size=", b"size=2147483648"),
        (b"GNU.sparse.map=0,0", b"GNU.sparse.size=%d" % 2**41, b"GNU.sparse.name=a.npy"),
        (b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.realsize=%d" % 2**41, b"GNU.sparse.name=../a.npy"),
        (b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.realsize=-1", b"GNU.sparse.name=a.npy"),
        (b"GNU.sparse.map=0,-512", b"GNU.sparse.size=-1"),
        (b"GNU.sparse.map=" + b"0,1," * 10**4 + b"0,1", b"GNU.sparse.size=512"),
        (b"hdrcharset=BINARY", b"path=\xff\0.npy"),
        (b"mtime=nan", b"uid=1e999"),
    ):
        records = b"".join(b"%d %s\n" % (len(line) + (4 if len(line) < 94 else 9), line) for line in lines)
        for content in (records, *(b"%d %s\n" % (length, lines[0]) for length in (0, -1, 1, 10**9))):
            found.append(_tar_member(b"a", content, b"x") + file + _TAR_END)
    return found


def _tar_head(name: bytes, size: int | bytes, kind: bytes = b"0", link: bytes = b"") -> bytes:
    written = b"%011o" % size if isinstance(size, int) else size
    fields = ((name, 100), (b"0000644", 8), (b"0000000", 8), (b"0000000", 8), (written, 12), (b"00000000000", 12))
    head = bytearray(b"".join(value[:length].ljust(length, b"\0") for value, length in fields))
    head += bytes(8) + kind + link[:100].ljust(100, b"\0") + b"ustar\x0000"
    head += bytes(512 - len(head))
    mend_tar_header(head)
    return bytes(head)


def _tar_member(name: bytes, content: bytes, kind: bytes = b"0") -> bytes:
    return _tar_head(name, len(content), kind) + content + bytes(-len(content) % 512)


def _packed(packer: Any, parts: Iterable[bytes]) -> bytes:
    """Return what a packer makes of parts, one after the other: the whole of a bomb never lies in memory."""
    return b"".join([*(packer.compress(part) for part in parts), packer.flush()])


def _with_dictionary(size: int, packed: bytes) -> bytes:
    """Return an .xz file whose header claims a dictionary: 36 is 1 GiB, 40 the largest; more is damage."""
    block = bytearray(packed[12:24])
    if block[:4] != b"\x02\x00\x21\x01":
        raise AssertionError("unreachable: one block, one filter, whose property is the size")
    block[4] = size
    block[8:] = zlib.crc32(block[:8]).to_bytes(4, "little")
    return packed[:12] + block + packed[24:]


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
