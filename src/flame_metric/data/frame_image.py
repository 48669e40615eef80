"""Frames of a video as image files: RGB of 8 bits, as they are in the file, or an error that names it.

Nothing is converted where that could go wrong in silence. A grey or palette image is refused, because it is likely to
be a label map; 16 bits, because which 8 of them count is not the reader's to decide; transparency, because what shines
through is unknown (an alpha channel that is opaque everywhere is dropped); and an image that is to be rotated before it
is shown (Exif), because label maps say no such thing.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flame_metric.data.images import ImageHeader, read_image
from flame_metric.errors import DatasetError

__all__ = ["FRAME_EXTENSIONS", "read_frame_image", "read_rgb_png"]

FRAME_EXTENSIONS = (".png", ".jpg", ".jpeg")
"""Ends of the names of files that may hold a frame, in lower case."""


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
    """Read an image whose colours mean something exact, such as classes: as :func:`read_frame_image`, but PNG alone.

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
    image = read_image(path, shape=shape, wanted=wanted, jpeg=jpeg, complaint=partial(_complaint, grey=grey))
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


def _complaint(header: ImageHeader, *, grey: str) -> str | None:
    if header.colours.endswith("(1 channel)"):
        return f"{header.colours}, expected RGB: {grey}"
    if not header.colours.startswith("RGB"):
        return f"{header.colours}, expected RGB; convert it"
    if header.bits != 8:
        return f"RGB of {header.bits} bits, expected 8; scale it to 8 bits"
    return None
