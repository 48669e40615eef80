"""Files: written whole or not at all, and read without trust.

Whoever reads a file while it is replaced finds the old or the new one. What comes from outside, JSON or arrays in an
.npz file, is taken apart only after it has shown that it is what is expected: an array is decompressed only after its
own header gave the dtype and the shape, and the archive as many bytes. A small file cannot claim large arrays, and
nothing is ever unpickled.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import hashlib
import io
import json
import math
import os
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from flame_metric.core.checks import check_path, is_possible_path
from flame_metric.core.clock import exact_fraction
from flame_metric.core.temporary import HAS_LOCKS, open_temporary, remove_left_files, try_temporary
from flame_metric.errors import ConfigError, DatasetError, FlameError, StateError, cut, quoted, shortened

__all__ = [
    "JsonRecord",
    "check_members",
    "check_writable",
    "digest_of",
    "load_record",
    "numbers_from_csv",
    "pack_arrays",
    "read_array",
    "read_text",
    "reading",
    "write_whole",
]

_MOST = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}  # bytes that one byte of the file can stand for
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file in one step. A link keeps pointing to what it points to; a device or pipe is written into.

    The content is on the disk before the file takes its name: a machine that fails leaves one of the two, too. What
    killed processes have left in the folder is removed (:mod:`flame_metric.core.temporary`).

    Raises
    ------
    OSError
        If it cannot be written; it names ``path``.
    """
    try:
        if path.exists() and not path.is_file():  # such as /dev/null
            path.write_bytes(content)
        else:
            _replace(path.resolve(), content)
    except OSError as error:  # it may name the temporary file, which the caller does not know
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _replace(path: Path, content: bytes | memoryview) -> None:
    _clean(path.parent)
    temporary, stream = open_temporary(path)
    try:
        with stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp's files are readable only by their owner
            if HAS_LOCKS:  # held until it has its name; Windows renames only what is closed
                temporary.replace(path)
        if not HAS_LOCKS:
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


@functools.lru_cache
def _clean(folder: Path) -> None:
    """Remove what killed processes have left in a folder: once, as a folder of label maps is written into often."""
    remove_left_files(folder)


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before hours are spent on what it is to hold; nothing is left there.

    Raises
    ------
    OSError
        If its folder is missing or read-only, or it is a folder, is read-only, or has a name that no file can have.
    """
    try:
        _try_to_write(path)
    except ValueError as error:  # such as a null byte
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _try_to_write(path: Path) -> None:
    if path.is_dir():
        raise OSError(errno.EISDIR, "it is a folder")
    place = path.resolve()
    if not place.parent.is_dir():
        raise OSError(errno.ENOENT, "its folder does not exist")
    if place.exists() and not (place.stat().st_mode & 0o222 and os.access(place, os.W_OK)):
        raise OSError(errno.EACCES, "it is read-only")
    if place.is_file() or not place.exists():  # else it is a device or a pipe
        try_temporary(place)


def digest_of(path: Path) -> str:
    """Return a digest of a file, or of the files of a folder with their names; folders in it are passed over.

    Raises
    ------
    OSError
        If one cannot be read.
    """
    digest = hashlib.sha256()
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name if path.is_dir() else ''} {found}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def read_text(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> str:
    """Return the text in a file.

    Raises
    ------
    ConfigError
        If ``path`` is not the name of a file.
    DatasetError
        If it cannot be read, or is not text.
    """
    try:
        return check_path(path).read_text(encoding=encoding)
    except OSError as error:
        name = os.fspath(path)
        shown = name if is_possible_path(name) else cut(name)
        raise DatasetError(f"{shown}: cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not text", path=path) from error


# ── JSON ──


class JsonRecord(ABC):
    """What is written as JSON text has a file, too."""

    @abstractmethod
    def to_json(self) -> str:
        """Return it as JSON text, without loss."""

    @classmethod
    @abstractmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` returned."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what :meth:`to_json` returns to a file, whole or not at all.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        ConfigError
            If ``path`` is not the name of a file.
        OSError
            If the file cannot be written.
        """
        write_whole(check_path(path), f"{self.to_json()}\n".encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file that :meth:`save` wrote.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        ConfigError
            If ``path`` is not the name of a file.
        DatasetError
            If the file cannot be read.
        StateError
            If it holds something else.
        """
        text = read_text(path)
        try:
            return cls.from_json(text)
        except StateError as error:
            raise StateError(f"{path}: {error}") from error


def _name_of_load(text: object, reader: str | None, beginning: str = "") -> str:
    """Say how a file is read, if what should be its text may be its name; else nothing."""
    may_be_name = isinstance(text, str) and len(text.splitlines()) == 1 and not text.lstrip().startswith("{")
    if reader is None or not (may_be_name or isinstance(text, os.PathLike)):
        return ""
    return f"{beginning}a file is read by {reader}.load(path)"


def load_record(text: str | bytes, format: str, *older: str, reader: str | None = None) -> dict[str, Any]:
    """Parse JSON text that must be an object of the given format, or of one of those of older releases.

    Parameters
    ----------
    text : str or bytes
    format, *older : str
    reader : str, optional
        The class that reads files of that format by ``load``.

    Raises
    ------
    StateError
        If it is not a JSON, names something twice in one object, or is of another format.
    """
    try:
        record = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, TypeError, RecursionError) as error:
        load = _name_of_load(text, reader, "; ")
        raise StateError(f"this is not a {format!r} record: {cut(str(error))}{load}") from error
    found = record.get("format") if isinstance(record, dict) else type(record).__name__
    if found not in (format, *older):
        load = _name_of_load(text, reader, "; ")
        raise StateError(f"this is a record of format {quoted(found)}, expected {format!r}{load}")
    return dict(record)


@contextlib.contextmanager
def reading(format: str) -> Iterator[None]:
    """Turn whatever goes wrong while a record is taken apart into a StateError."""
    try:
        yield
    except StateError:
        raise
    except FlameError as error:
        raise StateError(f"this {format!r} record is incomplete or damaged: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise StateError(f"this {format!r} record is incomplete or damaged: {cut(detail)}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its entries; of two with one name, some programs read the first, some the last."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{quoted(name)} comes twice in one object")
        found[name] = value
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a count")


# ── CSV ──


_DECIMAL = re.compile(r"[0-9]{1,30}(\.[0-9]{0,30})?e[+-]?[0-9]{1,2}", re.ASCII | re.IGNORECASE)


def numbers_from_csv(text: str, column: str, *, reader: str | None = None) -> list[Fraction]:
    """Read the numbers >= 0 of one column, exactly; other columns are passed over.

    Numbers may have exponents, and the first heading may stand behind a ``#``, as :func:`numpy.savetxt` writes both.

    Parameters
    ----------
    text : str
    column : str
    reader : str, optional
        The class that reads such files by ``load``.

    Raises
    ------
    ConfigError
        If there is no such column or more than one, an entry is not a number, or this is not a CSV.
    """
    if not isinstance(text, str):
        raise ConfigError(f"`text` is {quoted(text)}, expected CSV text{_name_of_load(text, reader, '; ')}")
    rows = csv.DictReader(io.StringIO(text, newline=""))  # line ends are for the reader to find
    try:
        names = [name.strip() for name in rows.fieldnames or ()]
        if names:
            names[0] = names[0].removeprefix("#").lstrip()
        rows.fieldnames = names
        if column not in names:
            found = shortened(map(quoted, names))
            load = _name_of_load(text, reader, "; ")
            raise ConfigError(f"the CSV has the columns [{found}], expected one named {column}{load}")
        if names.count(column) > 1:
            raise ConfigError(f"the CSV has {names.count(column)} columns named {column}, expected one")
        return [_number(f"{column} in line {rows.line_num}", _cell(row, column, rows)) for row in rows]
    except csv.Error as error:
        raise ConfigError(f"the CSV is damaged in line {rows.line_num}: {error}") from error


def _number(place: str, text: str) -> Fraction:
    """Return a number; with an exponent, one of few digits: billions of them take minutes to expand."""
    text = text.strip() if isinstance(text, str) else text
    if isinstance(text, str) and _DECIMAL.fullmatch(text):
        return Fraction(text)
    return exact_fraction(place, text, "a number >= 0")


def _cell(row: Mapping[str | None, Any], column: str, rows: csv.DictReader[str]) -> str:
    """Return what a row has in a column; a decimal comma would make two cells of one, and be read as another number."""
    if None in row:
        raise ConfigError(
            f"line {rows.line_num} of the CSV has {len(row) - 1 + len(row[None])} cells, expected {len(row) - 1}; "
            "decimals are written with a point"
        )
    text: str = row[column]
    return text


# ── arrays in one .npz file ──


def pack_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
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
        raise BadZipFile(f"holds {shortened(found, 20) or 'nothing'}, expected {', '.join(expected)}")
    for member in archive.infolist():
        if member.compress_type not in _MOST:
            raise BadZipFile(f"{cut(member.filename, 100)} is compressed in another way than NumPy does")
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
    with _open_member(archive, f"{name}.npy") as member:
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


def _open_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    try:
        return archive.open(name)
    except BadZipFile as error:  # it may quote a second name that stands before the content
        raise BadZipFile(cut(str(error))) from error
