"""RGB frames: files are written chunk by chunk or segment by segment where that decides."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from flame_metric.errors import DatasetError

Image = pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
frame_image = pytest.importorskip("flame_metric.data.images")
read_frame_image, read_rgb_png = frame_image.read_frame_image, frame_image.read_rgb_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, bits: int, colour: int, rows: list[bytes], *, more: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return SIGNATURE + header + more + pixels + chunk(b"IEND", b"")


def jpeg(image: "Image.Image | None" = None, **options: object) -> bytes:
    file = io.BytesIO()
    (image or Image.fromarray(np.tile(PIXELS, (8, 8, 1)))).save(file, "JPEG", quality=95, **options)
    return file.getvalue()


def write(folder: Path, content: bytes) -> Path:
    file = folder / "a.png"
    file.write_bytes(content)
    return file


# ── what is read ──


def test_a_png_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(file)
    found = read_frame_image(file, shape=(2, 3))
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_array_equal(found, PIXELS)


def test_a_jpeg_is_read_whatever_its_name(tmp_path: Path) -> None:
    found = read_frame_image(write(tmp_path, jpeg()), shape=(16, 24))
    with Image.open(io.BytesIO(jpeg())) as image:
        np.testing.assert_array_equal(found, np.asarray(image))


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"comment": b"\xff\xd9 \xff\xda"}])
def test_kinds_of_jpeg(options: dict[str, object], tmp_path: Path) -> None:
    assert read_frame_image(write(tmp_path, jpeg(**options))).shape == (16, 24, 3)


def test_any_number_of_fill_bytes_may_stand_before_a_marker(tmp_path: Path) -> None:
    content = jpeg()
    assert read_frame_image(write(tmp_path, content[:2] + b"\xff\xff" + content[2:])).shape == (16, 24, 3)


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    rgba = np.dstack([PIXELS, np.full((2, 3), 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    found = read_frame_image(tmp_path / "a.png")
    np.testing.assert_array_equal(found, PIXELS)
    assert found.flags.c_contiguous


def test_black_rows_at_the_end_are_no_damage(tmp_path: Path) -> None:
    black = np.zeros((3, 2, 3), np.uint8)
    Image.fromarray(black).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_frame_image(tmp_path / "a.png"), black)


# ── what is refused, deliberately ──


@pytest.mark.parametrize(
    ("bits", "colour", "pixel", "message"),
    [
        (8, 0, b"a", r"is grey \(1 channel\), expected RGB: a frame has colours; is this a label map\?"),
        (16, 0, b"ab", r"is grey \(1 channel\), expected RGB"),
        (8, 3, b"\0", r"is a palette image \(1 channel\), expected RGB: a frame has colours; is this a label map\?"),
        (8, 4, b"ab", r"is grey with transparency \(2 channels\), expected RGB; convert it"),
        (16, 2, b"abcdef", "is RGB of 16 bits, expected 8; scale it to 8 bits"),
        (16, 6, b"abcdefgh", "is RGB of 16 bits, expected 8"),
        (8, 5, b"a", "is of unknown colour type 5, expected RGB"),
    ],
)
def test_other_kinds_of_png_are_refused(bits: int, colour: int, pixel: bytes, message: str, tmp_path: Path) -> None:
    palette = chunk(b"PLTE", b"abc") if colour == 3 else b""
    file = write(tmp_path, png(1, 1, bits, colour, [pixel], more=palette))
    with pytest.raises(DatasetError, match=f"a.png: {message}") as raised:
        read_frame_image(file)
    assert raised.value.path == str(file)


@pytest.mark.parametrize(("mode", "message"), [("L", r"is grey \(1 channel\)"), ("CMYK", r"is CMYK \(4 channels\)")])
def test_other_kinds_of_jpeg_are_refused(mode: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"{message}, expected RGB"):
        read_frame_image(write(tmp_path, jpeg(Image.new(mode, (4, 4)))))


def test_a_jpeg_of_12_bits_is_refused(tmp_path: Path) -> None:
    content = bytearray(jpeg())
    content[content.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(DatasetError, match="is RGB of 12 bits, expected 8"):
        read_frame_image(write(tmp_path, bytes(content)))


def test_transparent_pixels_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path, png(2, 1, 8, 6, [b"abc\xffabc\xfe"]))
    with pytest.raises(DatasetError, match=r"has 1 pixel\(s\) that are transparent, expected an opaque frame"):
        read_frame_image(file)
    file = write(tmp_path, png(1, 1, 8, 2, [b"abc"], more=chunk(b"tRNS", bytes(6))))
    with pytest.raises(DatasetError, match="has a colour that is transparent, expected an opaque frame"):
        read_frame_image(file)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_images_that_are_to_be_rotated_are_refused(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for content in (jpeg(exif=exif), jpeg(exif=exif, progressive=True)):
        file = write(tmp_path, content)
        if orientation == 1:
            assert read_frame_image(file).shape == (16, 24, 3)
        else:
            with pytest.raises(DatasetError, match=r"is to be rotated or mirrored before it is shown \(Exif\)"):
                read_frame_image(file)


def test_colours_that_mean_classes_are_never_read_from_a_jpeg(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is a JPEG file: its compression changes colours, expected an RGB PNG"):
        read_rgb_png(write(tmp_path, jpeg()))
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb_png(tmp_path / "a.png", shape=(2, 3)), PIXELS)


# ── damage ──

GOOD = png(3, 2, 8, 2, [PIXELS[0].tobytes(), PIXELS[1].tobytes()])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty, expected an RGB frame \(PNG or JPEG\)"),
        (b"no image" * 10, r"is neither a PNG nor a JPEG file, expected an RGB frame \(PNG or JPEG\)"),
        (SIGNATURE, "holds a PNG signature and no image"),
        (GOOD[:40], "is damaged or cut short"),
        (GOOD[:-1], "is damaged or cut short: its end is missing"),
        (SIGNATURE + chunk(b"IDAT", bytes(20)), "is damaged: its first chunk is not a header"),
        (b"\xff\xd8\xff\xe0" + bytes(60), "is damaged or cut short: a JPEG file that does not say its size"),
        (b"\xff\xd8", "is damaged or cut short: a JPEG file that does not say its size"),
        (jpeg()[:-2], "is damaged or cut short: its end is missing"),
        (jpeg()[: len(jpeg()) // 2], "is damaged or cut short"),
        (jpeg()[: jpeg().index(b"\xff\xda")], "is damaged or cut short: its end is missing"),
        (b"\xff\xd8" + jpeg()[jpeg().index(b"\xff\xda") :], "a JPEG file that does not say its size"),
    ],
)
def test_damage_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"a.png: .*{message}"):
        read_frame_image(write(tmp_path, content))


def test_no_flipped_bit_of_a_png_becomes_a_colour(tmp_path: Path) -> None:
    refused = 0
    for position in range(len(GOOD) * 8):
        damaged = bytearray(GOOD)
        damaged[position // 8] ^= 1 << position % 8
        file = write(tmp_path, bytes(damaged))
        try:
            assert read_frame_image(file).tolist() == PIXELS.tolist()
        except DatasetError:
            refused += 1
    assert refused > 0.9 * len(GOOD) * 8


@pytest.mark.parametrize("length", range(0, len(jpeg()) - 2, 7))
def test_a_jpeg_cut_anywhere_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        read_frame_image(write(tmp_path, jpeg()[:length]))


def test_a_damaged_jpeg_is_a_frame_or_an_error(tmp_path: Path) -> None:
    """A JPEG has no checksums: other colours may come out, but never another shape or another kind of error."""
    content, refused = jpeg(), 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        try:
            assert read_frame_image(write(tmp_path, bytes(damaged)), shape=(16, 24)).shape == (16, 24, 3)
        except DatasetError:
            refused += 1
    assert 20 < refused < len(content)


def test_a_second_header_does_not_slip_through(tmp_path: Path) -> None:
    """The first says RGB of 16 x 24, and Pillow goes by the second, which says grey."""
    content, grey = jpeg(), jpeg(Image.new("L", (24, 16), 90))
    start = content.index(b"\xff\xc0")
    segment = content[start : start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")]
    with pytest.raises(DatasetError, match="is damaged"):
        read_frame_image(write(tmp_path, grey[:2] + segment + grey[2:]))


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_missing_rows_are_no_black(rows: int, tmp_path: Path) -> None:
    file = write(tmp_path, png(2, 3, 8, 2, [b"abcabc"] * rows))
    with pytest.raises(DatasetError, match="cut short"):
        read_frame_image(file)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"b\.png: is missing, expected an RGB frame"):
        read_frame_image(tmp_path / "b.png")


# ── sizes, compared before anything is decoded ──


def test_another_size_is_refused_from_the_header_alone(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has shape \(2, 3\), expected \(3, 2\); nothing is resized"):
        read_frame_image(write(tmp_path, GOOD[:40]), shape=(3, 2))
    with pytest.raises(DatasetError, match=r"has shape \(16, 24\), expected \(24, 16\); nothing is resized"):
        read_frame_image(write(tmp_path, jpeg()[: jpeg().index(b"\xff\xda")]), shape=(24, 16))


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    content = bytearray(jpeg())
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, 20_000, 10_000)
    for bomb, size in ((png(30_000, 30_000, 8, 2, [b""]), "30000x30000"), (bytes(content), "10000x20000")):
        with pytest.raises(DatasetError, match=f"has {size} pixels, expected at most 64,000,000"):
            read_frame_image(write(tmp_path, bomb))


def test_an_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), (value, 0, 0)) for value in (0, 9)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(DatasetError, match="is an animation, expected one image"):
        read_frame_image(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(9_000, 9_000), (23, 16)])
def test_a_jpeg_with_two_sizes_is_refused_before_it_is_decoded(size: tuple[int, int], tmp_path: Path) -> None:
    """Pillow believes the last one, and makes room for it."""
    content = jpeg()
    place = content.index(b"\xff\xc0")
    frame = content[place : place + 19]
    other = frame[:5] + struct.pack(">HH", *size) + frame[9:]
    file = write(tmp_path, content.replace(frame, frame + other))
    wanted = rf"is damaged or cut short: its size is 24x16, and then {size[1]}x{size[0]}"
    with pytest.raises(DatasetError, match=wanted):
        read_frame_image(file)
