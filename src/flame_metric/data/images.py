"""PNG and JPEG files (Pillow): the samples that are in the file, or an error that names it; PNG and GIF files written.

Size and kind are compared with what is wanted before anything is decoded. The checksum of every chunk of a PNG is
verified; without that, a flipped bit in a compressed stream often decodes to other samples in silence. Chunks that
programs read in unlike ways are refused. Texts and colour profiles are passed over, however long they are. A JPEG has
no checksums: one that ends early is found, one that is damaged in its middle may decode to other colours.

A label is an index, not a brightness, so nothing is converted: a palette image gives its indices, a 1-, 2- or 4-bit
image its raw samples (Pillow stretches the latter two to 0..255), a 16-bit image its 16-bit values.

Of a frame, nothing is converted where that could go wrong in silence. A grey or palette image is refused, because it is
likely to be a label map; 16 bits, because which 8 of them count is not the reader's to decide; transparency, because
what shines through is unknown (an alpha channel that is opaque everywhere is dropped); and an image that is to be
rotated before it is shown (Exif), because label maps say no such thing.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import Fps, as_fps
from flame_metric.core.files import write_whole
from flame_metric.data import MAX_IMAGE_BYTES, MAX_PIXELS
from flame_metric.data.paths import check_file
from flame_metric.errors import ConfigError, DatasetError, MissingExtraError, ShapeError

try:
    from PIL import Image, UnidentifiedImageError
except ImportError as error:
    raise MissingExtraError("reading image files needs Pillow: pip install 'flame-metric[cli]'") from error

__all__ = [
    "FRAME_EXTENSIONS",
    "ImageFile",
    "ImageHeader",
    "as_jpeg",
    "as_png",
    "read_frame_image",
    "read_image",
    "read_label_png",
    "read_rgb_png",
    "write_gif",
    "write_png",
]

FRAME_EXTENSIONS = (".png", ".jpg", ".jpeg")
"""Ends of the names of files that may hold a frame, in lower case."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8sI4sIIBBxxB")  # signature, length, name, width, height, bits, colour type, interlacing
_HEADER_BYTES = 13
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk: its length, as it is always empty, name and checksum
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})  # chunks that every reader has to know
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_PASSED_OVER = _TEXTS | {b"iCCP"}  # Pillow unpacks them, up to a limit of its own
_EXIF_TEXTS = (b"Raw profile type exif\0", b"Raw profile type APP1\0", b"XML:com.adobe.xmp\0")  # may say a rotation
_MAX_EXIF_BYTES = 1 << 20  # Pillow's limit for a text that is unpacked
_ANIMATION = frozenset({b"acTL", b"fcTL", b"fdAT"})
_COLOURS = {  # colour type of a PNG: its name, samples of a pixel
    0: ("grey (1 channel)", 1),
    2: ("RGB (3 channels)", 3),
    3: ("a palette image (1 channel)", 1),
    4: ("grey with transparency (2 channels)", 2),
    6: ("RGBA (4 channels)", 4),
}

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_JPEG_SIZE = struct.Struct(">BHHB")  # bits, height, width, components
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of segments that begin with the size
_COMPONENTS = {1: "grey (1 channel)", 3: "RGB (3 channels)", 4: "CMYK (4 channels)"}
_GIF_FPS = 50
_ORIENTATION, _UPRIGHT = 0x0112, 1  # a tag of Exif, and what it says of an image that is not to be rotated


class ImageHeader(NamedTuple):
    """What a file says about its image.

    Attributes
    ----------
    is_png : bool
        Otherwise it is a JPEG.
    width, height : int
    bits : int
        Of a sample.
    colours : str
        Such as ``"RGB (3 channels)"``.
    samples : int
        Of a pixel.
    interlaced : bool
    """

    is_png: bool
    width: int
    height: int
    bits: int
    colours: str
    samples: int
    interlaced: bool = False

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all rows of a PNG when they are unpacked, each with the byte that names its filter."""
        passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, step_x, step_y in passes:
            columns, rows = -(-(self.width - left) // step_x), -(-(self.height - top) // step_y)
            if columns > 0 and rows > 0:
                total += rows * (1 + -(-columns * self.bits * self.samples // 8))
        return total


class ImageFile(NamedTuple):
    """An image as it lies in its file.

    Attributes
    ----------
    header : ImageHeader
    pixels : ndarray, (H, W) or (H, W, samples)
        As Pillow gives them.
    chunks : frozenset of bytes
        Names of the chunks of a PNG.
    rotated : bool, optional
        Whether the file says (Exif) that its pixels are to be rotated or mirrored before they are shown; None where
        the text that may say so is too long.
    """

    header: ImageHeader
    pixels: npt.NDArray[Any]
    chunks: frozenset[bytes]
    rotated: bool | None


def read_image(
    path: str | os.PathLike[str],
    *,
    content: bytes | None = None,
    shape: tuple[int, int] | None,
    wanted: str,
    jpeg: str | None,
    complaint: Callable[[ImageHeader], str | None],
) -> ImageFile:
    """Read an image that is of the kind that is wanted.

    Parameters
    ----------
    path : str or path
    content : bytes, optional
        What the file holds, where it does not lie on disk.
    shape : (int, int), optional
        (H, W) that it must have.
    wanted : str
        What is expected, for messages: ``"a PNG label map"``.
    jpeg : str, optional
        Why a JPEG file is refused; None if it is not.
    complaint : callable
        What is wrong with an image, going by its header, if anything is.

    Raises
    ------
    DatasetError
        If the file is missing, no image of that kind or size, damaged, an animation, or larger than 64 million pixels.
    """
    if content is None:
        check_file(Path(path), wanted)
    try:
        with Path(path).open("rb") if content is None else io.BytesIO(content) as file:
            data = file.read(_HEADER.size)
            if data.startswith(_JPEG_START) and jpeg is None:
                data += _rest(path, file)
                header = _jpeg_header(path, data)
            else:
                header = _png_header(path, data, wanted, jpeg)
            _check_header(path, header, complaint(header), shape)
            data += _rest(path, file)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
    names = [name for name, _ in _chunks(data)] if header.is_png else []
    if not _has_end(header, data, names):
        raise DatasetError(f"{path}: is damaged or cut short: its end is missing", path=path)
    if header.is_png:
        _check_chunks(path, names)
    pixels, rotated = _decode(path, *(_pass_over_texts(path, data) if header.is_png else (data, True)), header)
    # Pillow leaves rows that are not there at 0. That shows in the last row, or anywhere if it is interlaced.
    if (
        header.is_png
        and (header.interlaced or not pixels[-1].any())
        and _pixel_bytes(path, data, header) < header.pixel_bytes
    ):
        raise DatasetError(f"{path}: is cut short: it holds fewer rows than its header says", path=path)
    return ImageFile(header, pixels, frozenset(names), rotated)


def read_label_png(
    path: str | os.PathLike[str], *, content: bytes | None = None, shape: tuple[int, int] | None = None
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Read a PNG label map.

    Parameters
    ----------
    path : str or path
        A PNG file with one channel: grey of 1, 2, 4, 8 or 16 bits, or a palette image, whose indices are the labels.
    content : bytes, optional
        What the file holds, where it does not lie on disk; ``path`` then only stands in messages.
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
    >>> from PIL import Image
    >>> file = Path(tempfile.mkdtemp(), "labels.png")
    >>> Image.fromarray(np.array([[0, 1], [1, 255]], np.uint8)).save(file)
    >>> read_label_png(file)
    array([[  0,   1],
           [  1, 255]], dtype=uint8)
    """
    header, labels, *_ = read_image(
        path if content is not None else Path(path),
        content=content,
        shape=shape,
        wanted="a PNG label map",
        jpeg="its compression changes labels",
        complaint=_complain_of_labels,
    )
    if header.bits in (2, 4) and header.colours.startswith("grey"):
        labels = labels // (255 // (2**header.bits - 1))  # undoes Pillow's stretching, exactly
    return labels.astype(np.uint16 if header.bits == 16 else np.uint8, copy=False)


def _complain_of_labels(header: ImageHeader) -> str | None:
    if header.colours.endswith("(1 channel)"):
        return None
    return f"{header.colours}, expected one channel: label maps hold class numbers; map colours to classes first"


def read_frame_image(path: str | os.PathLike[str], *, shape: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Read a frame.

    Parameters
    ----------
    path : str or path
        A PNG or JPEG file with three channels of 8 bits, or a PNG with a fourth that is opaque everywhere.
    shape : (int, int), optional
        (H, W) that it must have, compared with the header before anything is decoded.

    Returns
    -------
    ndarray of uint8, (H, W, 3)
        Red, green, blue; an array of its own.

    Raises
    ------
    DatasetError
        If the file is missing, neither PNG nor JPEG, damaged, animated, not RGB of 8 bits, transparent somewhere, to
        be rotated, of another size than ``shape``, or larger than 64 million pixels.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> file = Path(tempfile.mkdtemp(), "frame.png")
    >>> Image.new("RGB", (4, 2), (255, 128, 0)).save(file)
    >>> read_frame_image(file).shape, read_frame_image(file)[0, 0].tolist()
    ((2, 4, 3), [255, 128, 0])
    """
    return _read_rgb(Path(path), shape, "an RGB frame (PNG or JPEG)", None, "a frame has colours; is this a label map?")


def read_rgb_png(path: str | os.PathLike[str], *, shape: tuple[int, int] | None = None) -> npt.NDArray[np.uint8]:
    """Read an image whose colours mean something exact, such as classes: as :func:`read_frame_image`, but only PNG.

    Raises
    ------
    DatasetError
        As there; also if it is a JPEG.
    """
    grey = "the colours of this label map say its classes"
    return _read_rgb(Path(path), shape, "an RGB PNG image", "its compression changes colours", grey)


def _read_rgb(
    path: Path, shape: tuple[int, int] | None, wanted: str, jpeg: str | None, grey: str
) -> npt.NDArray[np.uint8]:
    image = read_image(path, shape=shape, wanted=wanted, jpeg=jpeg, complaint=partial(_complain_of_frame, grey=grey))
    if image.rotated is None:
        raise DatasetError(
            f"{path}: its Exif or XMP text has more than {_MAX_EXIF_BYTES:,} bytes, which may say that the frame is to "
            "be rotated; remove the text",
            path=path,
        )
    if image.rotated:
        raise DatasetError(
            f"{path}: is to be rotated or mirrored before it is shown (Exif), expected upright pixels, as label maps "
            "have them; save it that way",
            path=path,
        )
    see_through = int((image.pixels[..., 3] < 255).sum()) if image.header.samples == 4 else 0
    if see_through or b"tRNS" in image.chunks:
        found = f"{see_through:,} pixel(s) that are" if see_through else "a colour that is"
        raise DatasetError(f"{path}: has {found} transparent, expected an opaque frame", path=path)
    return np.array(image.pixels[..., :3], np.uint8, order="C")


def _complain_of_frame(header: ImageHeader, *, grey: str) -> str | None:
    if header.colours.endswith("(1 channel)"):
        return f"{header.colours}, expected RGB: {grey}"
    if not header.colours.startswith("RGB"):
        return f"{header.colours}, expected RGB; convert it"
    if header.bits != 8:
        return f"RGB of {header.bits} bits, expected 8; scale it to 8 bits"
    return None


def write_png(path: Path, pixels: npt.NDArray[Any]) -> None:
    """Write a PNG file, whole or not at all.

    Parameters
    ----------
    path : Path
    pixels : ndarray, uint8 or uint16 (H, W), or uint8 (H, W, 3)
        Grey or RGB.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    write_whole(path, as_png(pixels))


def as_png(pixels: npt.NDArray[Any]) -> bytes:
    """Return what a PNG file of these pixels holds: as :func:`write_png` takes them, or RGB with opacity (H, W, 4)."""
    content = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, format="PNG", optimize=pixels.shape[2:] == (4,))
    return content.getvalue()


def as_jpeg(pixels: npt.NDArray[np.uint8], *, size: tuple[int, int], quality: int = 80) -> bytes:
    """Return what a JPEG file of a picture (H, W, 3) holds, resized to ``size`` (height, width)."""
    content = io.BytesIO()
    height, width = size
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    picture.save(content, format="JPEG", quality=quality, optimize=True)
    return content.getvalue()


def write_gif(path: Path, pictures: Iterable[npt.NDArray[np.uint8]], *, fps: Fps, colours: int = 256) -> None:
    """Write pictures as an animation that starts again at its end, whole or not at all.

    A GIF counts time in hundredths of a second: a picture may stay by that much too long or too short, but its time is
    never off by more.

    Parameters
    ----------
    path : Path
    pictures : iterable of ndarray of uint8, each (H, W, 3)
        RGB, all of one size; at least one.
    fps : int, float, Fraction or str
        Pictures per second, at most 50: programs show faster ones at a speed of their own.
    colours : int
        Of one picture, 2..256: fewer make a smaller file.

    Raises
    ------
    ConfigError
        If there is no picture, or a number is out of range.
    ShapeError
        If the pictures differ in size.
    OSError
        If it cannot be written.
    """
    rate, colours = as_fps(fps), check_integer("colours", colours, 2, most=256)
    if rate > _GIF_FPS:
        raise ConfigError(f"`fps` is {fps}, expected at most {_GIF_FPS}: GIF files know no faster ones; leave some out")
    images: list[Image.Image] = []
    for picture in pictures:
        image = Image.fromarray(np.ascontiguousarray(picture))
        if images and image.size != images[0].size:
            raise ShapeError(f"`pictures` have the sizes {images[0].size} and {image.size}, expected one size")
        # An octree keeps hues that are rare; dithering grows the file and flickers.
        images.append(image.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE))
    if not images:
        raise ConfigError("`pictures` is empty, expected one picture or more")
    times = [round(100 * number / rate) * 10 for number in range(len(images) + 1)]
    content = io.BytesIO()
    durations = [after - time for time, after in pairwise(times)]
    images[0].save(content, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    write_whole(path, content.getvalue())


def _rest(path: str | os.PathLike[str], file: IO[bytes]) -> bytes:
    """Read a file to its end, unless that is too far away: to read so much and no more would make room for it."""
    begin, end = file.tell(), file.seek(0, os.SEEK_END)
    if end > MAX_IMAGE_BYTES:
        raise DatasetError(f"{path}: has {end:,} bytes, expected at most {MAX_IMAGE_BYTES:,}", path=path)
    file.seek(begin)
    return file.read()


def _png_header(path: str | os.PathLike[str], head: bytes, wanted: str, jpeg: str | None) -> ImageHeader:
    if len(head) < _HEADER.size or not head.startswith(_SIGNATURE):
        found = "is not a PNG file" if jpeg else "is neither a PNG nor a JPEG file"
        found = f"is a JPEG file: {jpeg}" if head.startswith(_JPEG_START) else found
        found = "is empty" if not head else "holds a PNG signature and no image" if head[:8] == _SIGNATURE else found
        raise DatasetError(f"{path}: {found}, expected {wanted}", path=path)
    _, length, chunk, width, height, bits, colour, interlacing = _HEADER.unpack(head)
    if (length, chunk) != (_HEADER_BYTES, b"IHDR"):
        raise DatasetError(f"{path}: is damaged: its first chunk is not a header", path=path)
    if interlacing > 1:
        raise DatasetError(f"{path}: is damaged: there is no interlacing {interlacing}, expected 0 or 1", path=path)
    colours, samples = _COLOURS.get(colour, (f"of unknown colour type {colour}", 1))
    return ImageHeader(True, width, height, bits, colours, samples, bool(interlacing))


def _jpeg_header(path: str | os.PathLike[str], data: bytes) -> ImageHeader:
    """Go through the segments before the pixels until one gives the size."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, (length,) = data[position + 1], struct.unpack_from(">H", data, position + 2)
        if marker in _JPEG_FRAMES and position + 4 + _JPEG_SIZE.size <= len(data):
            bits, height, width, components = _JPEG_SIZE.unpack_from(data, position + 4)
            colours = _COMPONENTS.get(components, f"of {components} channels")
            return ImageHeader(False, width, height, bits, colours, components)
        if marker == 0xDA:  # the pixels begin
            break
        position += 1 if marker == 0xFF else 2 + length  # any number of 0xFF may stand before a marker
    raise DatasetError(f"{path}: is damaged or cut short: a JPEG file that does not say its size", path=path)


def _check_header(
    path: str | os.PathLike[str], header: ImageHeader, complaint: str | None, shape: tuple[int, int] | None
) -> None:
    size = (header.height, header.width)
    if complaint is not None:
        raise DatasetError(f"{path}: is {complaint}", path=path)
    if header.width * header.height > MAX_PIXELS:
        raise DatasetError(
            f"{path}: has {header.width}x{header.height} pixels, expected at most {MAX_PIXELS:,}", path=path
        )
    if shape is not None and size != shape:
        raise DatasetError(f"{path}: has shape {size}, expected {shape}; nothing is resized", path=path)


def _check_chunks(path: str | os.PathLike[str], names: Sequence[bytes]) -> None:
    """Refuse a PNG that programs read in unlike ways: Pillow takes the last of two headers, whatever its size."""
    unknown = [name for name in names if not name[0] & 0x20 and name not in _CRITICAL]  # upper case: critical
    pieces = [name for name, _ in groupby(names)].count(b"IDAT")
    found = f"holds {names.count(b'IHDR')} headers, expected one" if names.count(b"IHDR") > 1 else ""
    if b"IDAT" not in names:
        found = "holds no pixels"
    if unknown:
        found = f"holds a chunk {unknown[0].decode('latin-1')!r}, which no reader may pass over and none knows"
    elif pieces > 1:
        found = f"its pixels are in {pieces} pieces, expected them together"
    if found:
        raise DatasetError(f"{path}: is damaged: {found}", path=path)
    if _ANIMATION & {*names}:  # Pillow decodes the part of the image of which they speak, and leaves the rest at 0
        raise DatasetError(f"{path}: is an animation, expected one image", path=path)


def _has_end(header: ImageHeader, data: bytes, names: Sequence[bytes]) -> bool:
    if header.is_png:
        return names[-1:] == [b"IEND"]
    return _JPEG_END in data[max(0, data.rfind(_JPEG_SCAN)) :]  # a preview before the pixels has an end too


def _check_size(size: tuple[int, int], header: ImageHeader) -> None:
    """Refuse an image that Pillow takes for one of another size, before it makes room for that."""
    if size != (header.width, header.height):
        raise ValueError(f"its size is {header.width}x{header.height}, and then {size[0]}x{size[1]}")


def _pass_over_texts(path: str | os.PathLike[str], data: bytes) -> tuple[bytes, bool]:
    """Return a PNG without texts and profiles, and whether that loses nothing that may say a rotation.

    Pillow refuses a file whose texts are long when they are unpacked, though its pixels are sound. Short texts that may
    say a rotation are kept.
    """
    kept, position, whole = [data[:8]], 8, True
    for name, content in _chunks(data):
        begin, position = position, position + len(content) + 12
        says_rotation = name in _TEXTS and content.startswith(_EXIF_TEXTS)
        short = says_rotation and _is_short(name, content)
        whole = whole and (short or not says_rotation)
        if name not in _PASSED_OVER or short:
            kept.append(data[begin:position])
        elif data[position - 4 : position] != struct.pack(">I", zlib.crc32(content, zlib.crc32(name))):
            raise DatasetError(f"{path}: is damaged: the checksum of a {name.decode()} chunk is wrong", path=path)
    return b"".join(kept), whole


def _is_short(name: bytes, content: bytes) -> bool:
    """Whether a text has at most so many bytes that Pillow reads it, without unpacking more of it."""
    _, _, packed = content.partition(b"\0")
    if name == b"iTXt" and packed[:1] == b"\1":  # flag, method, language, keyword, text
        packed = packed[:1] + packed[2:].split(b"\0", 2)[-1]
    elif name != b"zTXt":
        return len(content) <= _MAX_EXIF_BYTES
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], _MAX_EXIF_BYTES)
    except zlib.error:  # Pillow takes it for an empty text
        return True
    return not unpacker.unconsumed_tail


def _decode(
    path: str | os.PathLike[str], data: bytes, says_rotation: bool, header: ImageHeader
) -> tuple[npt.NDArray[Any], bool | None]:
    formats = ("PNG",) if header.is_png else ("JPEG",)
    try:
        if header.is_png:
            with Image.open(io.BytesIO(data), formats=formats) as image:
                image.verify()  # checksums of all chunks; the image cannot be used afterwards
        with Image.open(io.BytesIO(data), formats=formats) as image:
            _check_size(image.size, header)
            images = getattr(image, "n_frames", 1)
            pixels = np.asarray(image)
            rotated = image.getexif().get(_ORIENTATION, _UPRIGHT) != _UPRIGHT if says_rotation else None
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path}: is damaged: its header makes no sense", path=path) from error
    except Exception as error:  # a decoder may raise anything on bytes from outside
        raise DatasetError(
            f"{path}: is damaged or cut short: {str(error) or type(error).__name__}", path=path
        ) from error
    if images > 1:
        raise DatasetError(f"{path}: is an animation, expected one image", path=path)
    size = (header.height, header.width)
    if pixels.shape != (size if header.samples == 1 else (*size, header.samples)):
        raise DatasetError(f"{path}: is damaged: its pixels have shape {pixels.shape}", path=path)
    return pixels, rotated


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Go through the chunks of a PNG up to its end: name, content."""
    position, name = 8, b""
    while position + 8 <= len(data) and name != b"IEND":
        length, name = struct.unpack_from(">I4s", data, position)
        if name == b"IEND" and not data.startswith(_END, position):  # Pillow asks for neither length nor checksum
            return
        yield name, data[position + 8 : position + 8 + length]
        position += length + 12


def _pixel_bytes(path: str | os.PathLike[str], data: bytes, header: ImageHeader) -> int:
    """Unpack the pixel data of a PNG, up to what its header says, and return its length."""
    unpacker, unpacked = zlib.decompressobj(), 0
    try:
        for name, content in _chunks(data):
            if name == b"IDAT" and unpacked < header.pixel_bytes:
                unpacked += len(unpacker.decompress(content, header.pixel_bytes))
    except zlib.error as error:  # Pillow does not read to the end of the stream, where its checksum is
        raise DatasetError(f"{path}: is damaged: {error}", path=path) from error
    return unpacked
