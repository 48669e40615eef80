"""Label maps as PNG files: the numbers that are in the file, or an error that names it.

A label is an index, not a brightness, so nothing is converted: a palette image gives its indices, a 1-, 2- or 4-bit
image its raw samples (Pillow stretches the latter two to 0..255), a 16-bit image its 16-bit values.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.data.images import ImageHeader, read_image

__all__ = ["read_label_png"]


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
        complaint=_complaint,
    )
    if header.bits in (2, 4) and header.colours.startswith("grey"):
        labels = labels // (255 // (2**header.bits - 1))  # undoes Pillow's stretching, exactly
    return labels.astype(np.uint16 if header.bits == 16 else np.uint8, copy=False)


def _complaint(header: ImageHeader) -> str | None:
    if header.colours.endswith("(1 channel)"):
        return None
    return f"{header.colours}, expected one channel: label maps hold class numbers; map colours to classes first"
