"""Label maps as .npy files: the numbers that are in the file, or an error that names it. Nothing is unpickled."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from flame_metric.data import MAX_PIXELS
from flame_metric.data.stored import StoredFile
from flame_metric.errors import DatasetError, cut

__all__ = ["read_npy"]


def read_npy(
    file: Path | StoredFile,
    *,
    content: bytes | None = None,
    shape: tuple[int, int] | None = None,
    scores: bool = False,
) -> npt.NDArray[Any]:
    """Read a label map (H, W) of any type of numbers.

    Parameters
    ----------
    file : Path or StoredFile
    content : bytes, optional
        What it holds, if that has been read already.
    shape : (int, int), optional
        (H, W) that it must have; compared before the numbers are read.
    scores : bool
        Whether it may hold floating scores (C, H, W) instead.

    Raises
    ------
    DatasetError
        If the file is damaged, or holds anything else.
    """
    try:
        with _open(file, content) as opened:
            if opened.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
                raise DatasetError(f"{file}: is not a .npy file, expected an array", path=file)  # noqa: TRY301 - one line
            opened.seek(0)
            found, fortran, dtype = _npy_header(opened)
            _check_npy(file, found, dtype, shape, scores=scores)
            _check_length(file, opened, dtype.itemsize * math.prod(found))
            return np.frombuffer(opened.read(), dtype).reshape(found, order="F" if fortran else "C")
    except DatasetError:
        raise
    except Exception as error:  # a header may name shapes and types that nothing can have
        raise DatasetError(f"{file}: cannot be read as an array of numbers: {cut(str(error))}", path=file) from error


def _open(file: Path | StoredFile, content: bytes | None) -> IO[bytes]:
    if content is not None:
        return io.BytesIO(content)
    return Path(file).open("rb")


def _npy_header(opened: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the first axis is the fastest, and type of an array, which is not read yet."""
    version = np.lib.format.read_magic(opened)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its format has version {version[0]}.{version[1]}, expected 1.0 or 2.0")
    try:
        return readers[version](opened)
    except Exception as error:  # it is parsed as Python text: much can go wrong, and be said
        raise ValueError("its header makes no sense") from error


def _check_npy(
    file: Path | StoredFile,
    found: tuple[int, ...],
    dtype: np.dtype[Any],
    shape: tuple[int, int] | None,
    *,
    scores: bool,
) -> None:
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    if not dtype.itemsize:  # any number of them fits into no file at all
        raise DatasetError(f"{file}: holds values of no bytes ({dtype}), expected numbers", path=file)
    are_scores = scores and len(found) == 3 and dtype.kind == "f"
    if len(found) != 2 and not are_scores:
        wanted = "a label map (H, W)" + (" or floating scores (C, H, W)" if scores else "")
        remedy = "; drop the axis of 1" if len(found) == 3 and 1 in found else ""
        raise DatasetError(f"{file}: holds {dtype} {found}, expected {wanted}{remedy}", path=file)
    if min(found) < 1:
        raise DatasetError(f"{file}: has shape {found}, expected at least one pixel", path=file)
    if math.prod(found[-2:]) > MAX_PIXELS:
        raise DatasetError(f"{file}: has shape {found}, expected at most {MAX_PIXELS:,} pixels", path=file)
    if shape is not None and found[-2:] != shape:
        raise DatasetError(f"{file}: has shape {found}, expected {shape}; nothing is resized", path=file)


def _check_length(file: Path | StoredFile, opened: IO[bytes], wanted: int) -> None:
    """Refuse an array that is cut short, or that is followed by more, before memory is taken for it."""
    begin = opened.tell()
    there = opened.seek(0, os.SEEK_END) - begin
    if there != wanted:
        problem = "is cut short" if there < wanted else "goes on behind its array"
        raise DatasetError(f"{file}: {problem}: {there:,} bytes, expected {wanted:,}", path=file)
    opened.seek(begin)
