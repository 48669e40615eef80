"""PNG label maps: files are written chunk by chunk here, so that what Pillow does to them shows."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from flame_metric.errors import DatasetError

Image = pytest.importorskip("PIL.Image", reason="reading PNG needs Pillow")
read_label_png = pytest.importorskip("flame_metric.data.images").read_label_png
write_png = pytest.importorskip("flame_metric.data.images").write_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, bits: int, colour: int, rows: list[bytes], *, more: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return SIGNATURE + header + more + pixels + chunk(b"IEND", b"")


PALETTE = chunk(b"PLTE", bytes(range(48)))


@pytest.mark.parametrize(
    ("bits", "colour", "row", "labels"),
    [
        (1, 0, b"\x50", [0, 1, 0, 1]),  # R20: as a view of bytes, a 1-bit mask would be 0 and 255
        (2, 0, b"\x1b", [0, 1, 2, 3]),
        (4, 0, b"\x01\xfa", [0, 1, 15, 10]),
        (8, 0, b"\x00\x07\xc8\xff", [0, 7, 200, 255]),
        (16, 0, b"\x00\x07\x65\x90\xff\xff\x00\x00", [7, 26_000, 65_535, 0]),  # R12: no wrap to a byte
        (1, 3, b"\x50", [0, 1, 0, 1]),
        (2, 3, b"\x1b", [0, 1, 2, 3]),
        (4, 3, b"\x01\xfa", [0, 1, 15, 10]),
        (8, 3, b"\x00\x07\x0b\x0f", [0, 7, 11, 15]),
    ],
)
def test_samples_are_the_labels(bits: int, colour: int, row: bytes, labels: list[int], tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(4, 1, bits, colour, [row], more=PALETTE if colour == 3 else b""))
    found = read_label_png(file, shape=(1, 4))
    assert found.tolist() == [labels]
    assert found.dtype == (np.uint16 if bits == 16 else np.uint8)


def test_a_palette_with_transparency_keeps_its_indices(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(2, 1, 8, 3, [b"\x02\x01"], more=PALETTE + chunk(b"tRNS", b"\x00\x80\xff")))
    assert read_label_png(file).tolist() == [[2, 1]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_what_pillow_writes(mode: str, tmp_path: Path) -> None:
    labels = np.array([[0, 1], [1, 0]], np.uint16 if mode == "I;16" else np.uint8)
    image = Image.fromarray(labels * 255).convert("1") if mode == "1" else Image.fromarray(labels)
    if mode == "P":
        image.putpalette([0, 0, 0, 250, 100, 0])
    image.save(tmp_path / "a.png")
    assert read_label_png(tmp_path / "a.png").tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("colour", "pixel", "message"),
    [
        (2, b"abc", r"is RGB \(3 channels\), expected one channel: label maps hold class numbers"),
        (4, b"ab", r"is grey with transparency \(2 channels\)"),
        (6, b"abcd", r"is RGBA \(4 channels\)"),
        (5, b"a", "is of unknown colour type 5"),
    ],
)
def test_several_channels_are_refused(colour: int, pixel: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(1, 1, 8, colour, [pixel]))
    with pytest.raises(DatasetError, match=message) as raised:
        read_label_png(file)
    assert raised.value.path == str(file)


GOOD = png(4, 2, 8, 0, [b"\x00\x01\x02\x03", b"\x04\x05\x06\x07"])
HEADER = struct.pack(">IIBBBBB", 4, 2, 8, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (chunk(b"IHDR", struct.pack(">IIBBBBB", 13_000, 13_000, 8, 2, 0, 0, 0)), "holds 2 headers, expected one"),
        (chunk(b"IHDR", HEADER), "holds 2 headers, expected one"),
        (chunk(b"DDAT", zlib.compress(bytes(10))), "holds a chunk 'DDAT', which no reader may pass over"),
        (chunk(b"ABCD", b""), "holds a chunk 'ABCD', which no reader may pass over"),
        (chunk(b"IDAT", b"") + chunk(b"tEXt", b"a\0b"), "its pixels are in 2 pieces"),
    ],
)
def test_chunks_that_readers_take_in_unlike_ways(more: bytes, message: str, tmp_path: Path) -> None:
    """Pillow believes the last of two headers, and then takes 1.6 GB for a file of half a megabyte."""
    file = tmp_path / "a.png"
    file.write_bytes(png(4, 2, 8, 0, [bytes(4), bytes(4)], more=more))
    with pytest.raises(DatasetError, match=f"a.png: is damaged: {message}"):
        read_label_png(file)


@pytest.mark.parametrize("interlacing", [2, 6, 255])
def test_interlacing_that_is_unknown(interlacing: int, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    header = chunk(b"IHDR", HEADER[:-1] + bytes([interlacing]))
    file.write_bytes(SIGNATURE + header + GOOD[len(SIGNATURE) + len(header) :])
    with pytest.raises(DatasetError, match=f"a.png: is damaged: there is no interlacing {interlacing}"):
        read_label_png(file)


def test_a_header_that_is_too_long(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(SIGNATURE + chunk(b"IHDR", HEADER + b"\0") + GOOD[len(SIGNATURE) + 25 :])
    with pytest.raises(DatasetError, match=r"a\.png: is damaged: its first chunk is not a header"):
        read_label_png(file)


@pytest.mark.parametrize("end", [b"\0\0\0\0IEND\0\0\0\0", b"\0\x80\0\0IEND\xaeB`\x82"])
def test_an_end_that_is_none(end: bytes, tmp_path: Path) -> None:
    """Pillow asks for neither checksum nor length of the last chunk; what stands behind it is not an end either."""
    file = tmp_path / "a.png"
    file.write_bytes(GOOD[:-12] + end + chunk(b"IEND", b""))
    with pytest.raises(DatasetError, match=r"a\.png: is damaged or cut short: its end is missing"):
        read_label_png(file)


def test_pixels_whose_own_checksum_is_wrong(tmp_path: Path) -> None:
    """Pillow stops at the last pixel; counting the rows of an interlaced image ended in a traceback."""
    file = tmp_path / "a.png"
    header = struct.pack(">IIBBBBB", 11, 9, 1, 0, 0, 0, 1)
    parts = (
        "789c63f8cff899218d7137c3",
        "59866f8c9798d631ac64fccfe0c1e8caa4c26ccc728ac1c78d51eb1713930e73121303030044070c03",
    )
    pixels = b"".join(chunk(b"IDAT", bytes.fromhex(part)) for part in parts)
    file.write_bytes(SIGNATURE + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b""))
    with pytest.raises(DatasetError, match=r"a\.png: is damaged: .*incorrect data check"):
        read_label_png(file)


def frame(width: int, height: int) -> bytes:
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 1, 0, 0))


@pytest.mark.parametrize(
    "more",
    [
        frame(2, 1),
        chunk(b"acTL", struct.pack(">II", 1, 0)) + frame(2, 1),
        chunk(b"acTL", struct.pack(">II", 1, 0)) + frame(4, 2),
        chunk(b"fdAT", bytes(4)),
    ],
)
def test_what_is_part_of_an_animation_is_refused(more: bytes, tmp_path: Path) -> None:
    """Pillow decodes the part of the image of which such a chunk speaks, and leaves the rest at 0."""
    file = tmp_path / "a.png"
    file.write_bytes(png(4, 2, 8, 0, [b"\x01\x02\x03\x04", b"\x05\x06\x07\x08"], more=more))
    with pytest.raises(DatasetError, match=r"a\.png: is an animation, expected one image"):
        read_label_png(file)


def test_what_stands_behind_the_end_is_passed_over(tmp_path: Path) -> None:
    """It belongs to no image: neither pixels nor chunks are looked for there."""
    file = tmp_path / "a.png"
    file.write_bytes(GOOD + chunk(b"IHDR", HEADER) + chunk(b"ABCD", b"") + b"more")
    assert read_label_png(file).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, expected a PNG label map"),
        (b"0 1 1 0\n" * 10, "is not a PNG file"),
        (b"\xff\xd8\xff\xe0" + bytes(60), "is a JPEG file: its compression changes labels"),
        (SIGNATURE, "holds a PNG signature and no image"),
        (GOOD[:40], "is damaged or cut short"),
        (GOOD[:-1], "is damaged or cut short"),
        (GOOD[:-12], "is damaged or cut short"),
        (GOOD[:-11] + b"\x3f" + GOOD[-10:], "is damaged or cut short: its end is missing"),
        (SIGNATURE + chunk(b"IDAT", bytes(20)), "is damaged: its first chunk is not a header"),
    ],
)
def test_damage_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=f"a.png: {message}"):
        read_label_png(file)


def test_an_error_without_words_is_named_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    (tmp_path / "a.png").write_bytes(GOOD)
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DatasetError, match=r"a.png: is damaged or cut short: MemoryError$"):
        read_label_png(tmp_path / "a.png")


def test_no_flipped_bit_becomes_a_label(tmp_path: Path) -> None:
    """Every bit of a file is flipped in turn: the labels are the right ones, or there is an error."""
    file = tmp_path / "a.png"
    expected = [[0, 1, 2, 3], [4, 5, 6, 7]]
    refused = 0
    for position in range(len(GOOD) * 8):
        damaged = bytearray(GOOD)
        damaged[position // 8] ^= 1 << position % 8
        file.write_bytes(bytes(damaged))
        try:
            assert read_label_png(file).tolist() == expected
        except DatasetError:
            refused += 1
    assert refused > 0.9 * len(GOOD) * 8


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_missing_rows_are_no_background(rows: int, tmp_path: Path) -> None:
    """All checksums are right, but the pixel data ends after some rows: Pillow fills the rest with 0."""
    file = tmp_path / "a.png"
    file.write_bytes(png(4, 4, 8, 0, [b"\x01\x02\x03\x04"] * rows))
    with pytest.raises(DatasetError, match="cut short"):
        read_label_png(file)


def test_background_in_the_last_row_is_no_damage(tmp_path: Path) -> None:
    rows = np.array([[1, 2, 3], [0, 0, 0]], np.uint8)
    for image in (
        Image.fromarray(rows),
        Image.fromarray(rows * 255).convert("1"),
        Image.fromarray(rows.astype(np.uint16)),
    ):
        image.save(tmp_path / "a.png")
        assert read_label_png(tmp_path / "a.png")[-1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (3, 2), (5, 9), (8, 8), (17, 13)])
def test_interlaced_files_are_measured_right(bits: int, width: int, height: int, tmp_path: Path) -> None:
    """Seven passes, each of its own size; all samples are 0."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    sizes = [(len(range(x, width, dx)), len(range(y, height, dy))) for x, y, dx, dy in passes]
    raw = b"".join((b"\0" + bytes((columns * bits + 7) // 8)) * rows for columns, rows in sizes if columns)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 1))
    file = tmp_path / "a.png"
    for end in (len(raw), len(raw) - 1):
        file.write_bytes(SIGNATURE + header + chunk(b"IDAT", zlib.compress(raw[:end])) + chunk(b"IEND", b""))
        if end == len(raw):
            assert not read_label_png(file).any()
        else:
            with pytest.raises(DatasetError, match="cut short"):
                read_label_png(file)


def test_no_pixel_data_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0))
    file.write_bytes(SIGNATURE + header + chunk(b"IEND", b""))
    with pytest.raises(DatasetError, match=r"a\.png: is "):
        read_label_png(file)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"b\.png: is missing, expected a PNG label map"):
        read_label_png(tmp_path / "b.png")
    (tmp_path / "c.png").mkdir()
    with pytest.raises(DatasetError, match=r"c\.png: is not a file, expected a PNG label map"):
        read_label_png(tmp_path / "c.png")
    (tmp_path / "d.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(DatasetError, match=r"d\.png: is a link to nothing, expected a PNG label map"):
        read_label_png(tmp_path / "d.png")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=r"a\.png: is not a file, expected a PNG label map"):
        read_label_png(tmp_path / "a.png")


def test_another_size_is_refused_from_the_header_alone(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(GOOD[:40])  # no pixels: decoding would say "damaged"
    with pytest.raises(DatasetError, match=r"has shape \(2, 4\), expected \(4, 2\); nothing is resized"):
        read_label_png(file, shape=(4, 2))


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png(30_000, 30_000, 8, 0, [b""]))
    with pytest.raises(DatasetError, match="has 30000x30000 pixels, expected at most 64,000,000"):
        read_label_png(file)


def test_an_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((2, 2), value, np.uint8)) for value in (0, 1)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(DatasetError, match="is an animation, expected one image"):
        read_label_png(tmp_path / "a.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_written_is_read(tmp_path: Path, dtype: type) -> None:
    labels = np.arange(12, dtype=dtype).reshape(3, 4)[:, ::-1] + (0 if dtype is np.uint8 else 1_000)
    write_png(tmp_path / "labels.png", labels)
    np.testing.assert_array_equal(read_label_png(tmp_path / "labels.png"), labels)
    assert read_label_png(tmp_path / "labels.png").dtype == dtype


def test_a_file_that_is_larger_than_any_label_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flame_metric.data.images.MAX_IMAGE_BYTES", 100)
    file = tmp_path / "a.png"
    file.write_bytes(png(4, 1, 8, 0, [b"1234"], more=chunk(b"tEXt", bytes(100))))
    with pytest.raises(DatasetError, match=r"a\.png: has \d+ bytes, expected at most 100"):
        read_label_png(file)
