"""Arrays in one .npz file, read without trust.

On the way in, an array is decompressed only after its own header gave the dtype and the shape that are expected, and
the archive as many bytes. A small file cannot claim large arrays, and nothing is ever unpickled.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Collection, Mapping
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

__all__ = ["check_members", "packed_arrays", "read_array"]

_MOST = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}  # bytes that one byte of the file can stand for
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def packed_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Return arrays as the content of one compressed .npz file."""
    named: Mapping[str, Any] = arrays  # to the type checker any of the names could be an option of NumPy's
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


def check_members(archive: zipfile.ZipFile, names: Collection[str], file_size: int) -> None:
    """Refuse an archive that holds other arrays than these, or cannot hold what it claims.

    Raises
    ------
    BadZipFile
        If an array is missing, comes twice or is not expected, or is larger than a file of that size can hold.
    """
    found = sorted(archive.namelist())
    expected = sorted(f"{name}.npy" for name in names)
    if found != expected:
        raise BadZipFile(f"holds {', '.join(found) or 'nothing'}, expected {', '.join(expected)}")
    for member in archive.infolist():
        if member.compress_type not in _MOST:
            raise BadZipFile(f"{member.filename} is compressed in another way than NumPy does")
        most = min(member.compress_size, file_size) * _MOST[member.compress_type]
        if member.file_size > most:
            raise BadZipFile(f"claims {member.file_size} bytes for {member.filename}, expected at most {most}")


def read_array(
    archive: zipfile.ZipFile, name: str, dtype: npt.DTypeLike, shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Read one array.

    Parameters
    ----------
    archive : ZipFile
        That of the .npz file, after :func:`check_members`.
    name : str
    dtype : dtype
        The only one that is accepted.
    shape : tuple of int or None
        The lengths that are expected; None: any.

    Returns
    -------
    ndarray, read-only

    Raises
    ------
    BadZipFile
        If the array is of another dtype or shape, or there are not as many bytes as that takes.
    """
    wanted = np.dtype(dtype)
    with archive.open(f"{name}.npy") as member:
        try:
            found_shape, is_fortran, found = _HEADERS[npy.read_magic(member)](member)
        except BadZipFile:
            raise
        except Exception as error:  # what NumPy says to a header from outside is not for users
            raise BadZipFile(f"`{name}` does not begin as an array of NumPy") from error
        fits = len(found_shape) == len(shape) and all(
            length in (None, claimed) for length, claimed in zip(shape, found_shape, strict=True)
        )
        if found != wanted or not fits:
            lengths = str(shape).replace("None", "any")
            raise BadZipFile(f"`{name}` is {found} {found_shape}, expected {wanted} {lengths}")
        size = wanted.itemsize * math.prod(found_shape)
        held = archive.getinfo(f"{name}.npy").file_size - member.tell()
        data = member.read(size) if held == size else b""
    if len(data) != size:
        raise BadZipFile(f"`{name}` holds {held} bytes, expected {size} for {wanted} {found_shape}")
    return np.ndarray(found_shape, wanted, data, order="F" if is_fortran else "C")
