"""PNG files with long texts and profiles: the pixels are read, however much lies beside them."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from flame_metric.errors import DatasetError
from png_files import Chunk, assembled, header

pytest.importorskip("PIL", reason="reading PNG needs Pillow")
images = pytest.importorskip("flame_metric.data.images")

FAULTS = Path(__file__).with_name("faults")
LONG = zlib.compress(bytes(3 << 20))
XMP = b"XML:com.adobe.xmp\0"
MANY = [(b"zTXt", b"key\0\0" + zlib.compress(bytes(900_000)))] * 80  # 72 MB together, each below Pillow's limit
TEXTS: dict[str, list[Chunk]] = {
    "zTXt": [(b"zTXt", b"key\0\0" + LONG)],
    "iTXt": [(b"iTXt", b"key\0\1\0en\0Key\0" + LONG)],
    "iTXt, plain": [(b"iTXt", b"key\0\0\0\0\0" + b"a" * (2 << 20))],
    "tEXt": [(b"tEXt", b"key\0" + b"a" * (70 << 20))],
    "iCCP": [(b"iCCP", b"profile\0\0" + LONG)],
    "XMP": [(b"iTXt", XMP + b"\1\0\0\0" + LONG)],
    "many": MANY,
}


def write(path: Path, *, before: list[Chunk] | None = None, after: list[Chunk] | None = None, colour: int = 0) -> Path:
    row = bytes(range(1, 7))
    pixels = b"\0" + row[:2] if colour == 0 else b"\0" + row
    chunks = [
        header(2, 1, 8, colour),
        *(before or []),
        (b"IDAT", zlib.compress(pixels)),
        *(after or []),
        (b"IEND", b""),
    ]
    path.write_bytes(assembled(chunks))
    return path


def test_a_file_with_a_long_text() -> None:
    labels = images.read_label_png(FAULTS / "big_zTXt.png")
    assert labels.ndim == 2
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", TEXTS)
def test_labels_beside_long_texts(kind: str, place: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.png", **{place: TEXTS[kind]})
    assert images.read_label_png(file).tolist() == [[1, 2]]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", sorted(TEXTS.keys() - {"XMP"}))
def test_frames_beside_long_texts(kind: str, place: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.png", **{place: TEXTS[kind]}, colour=2)
    assert images.read_frame_image(file).tolist() == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize(
    "chunk",
    [
        *TEXTS["XMP"],
        (b"iTXt", XMP + b"\0\0\0\0" + b"a" * (2 << 20)),
        (b"zTXt", b"Raw profile type exif\0\0" + LONG),
        (b"tEXt", b"Raw profile type APP1\0" + b"a" * (2 << 20)),
    ],
    ids=["packed XMP", "XMP", "packed Exif", "Exif"],
)
def test_a_long_text_that_may_say_a_rotation(chunk: Chunk, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.png: its Exif or XMP text has more than 1,048,576 bytes.*remove the"):
        images.read_frame_image(write(tmp_path / "a.png", before=[chunk], colour=2))


@pytest.mark.parametrize("packed", [False, True])
def test_a_rotation_that_a_text_says(packed: bool, tmp_path: Path) -> None:
    said = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    chunk = (b"iTXt", XMP + (b"\1\0\0\0" + zlib.compress(said) if packed else b"\0\0\0\0" + said))
    with pytest.raises(DatasetError, match="is to be rotated"):
        images.read_frame_image(write(tmp_path / "a.png", before=[chunk], colour=2))


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "tEXt", "iCCP"])
def test_a_flipped_bit_in_a_text_is_damage(kind: str, tmp_path: Path) -> None:
    """Chunks that are passed over are sound too: a file that was copied badly is seldom damaged only there."""
    file = write(tmp_path / "a.png", before=[(kind.encode(), b"key\0\0\0\0\0\0abcdef")])
    content = file.read_bytes()
    file.write_bytes(content.replace(b"abcdef", b"abcdeg"))
    with pytest.raises(DatasetError, match=rf"a\.png: is damaged: the checksum of a {kind} chunk is wrong"):
        images.read_label_png(file)


def test_a_text_that_cannot_be_unpacked_is_passed_over(tmp_path: Path) -> None:
    chunks = [(b"zTXt", b"Raw profile type exif\0\0no stream"), (b"iTXt", XMP + b"\1")]
    assert images.read_label_png(write(tmp_path / "a.png", before=chunks)).tolist() == [[1, 2]]
