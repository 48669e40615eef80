"""Zip and tar archives as folders: their files are read where they lie, nothing is unpacked to disk.

An archive that ends early, or is damaged where it lists its files, is refused: a list that is cut would become a score
of the files that are left. A zip file verifies the checksum of what it holds; a tar file has none, so the checksums
are those of the PNG files in it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import struct
import tarfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import IO, Any, Protocol, cast

from flame_metric.data.name_parts import normalize_name
from flame_metric.data.stored import StoredFile, check_name, empty_folder
from flame_metric.errors import DatasetError, cut, quoted, shortened

__all__ = ["ArchiveFolder", "ArchiveReader", "archive_kind", "open_archive"]

_TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ENDINGS = (".zip", *_TAR_ENDINGS)
_ZIP_END_BYTES = 2**16 + 200  # the longest comment, and the records around it
_UNPACKERS: Mapping[bytes, Callable[[Any], Any]] = {  # by the first bytes of a file
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_MOST_HEADER_BYTES = 2**20
_MOST_LZMA_BYTES = 2**27  # the strongest setting of xz takes half of it
_BLOCK = 512  # of a tar file, whose end are blocks of zeros


class ArchiveReader(Protocol):
    """What both kinds of archives are asked for."""

    @property
    def links(self) -> frozenset[str]:
        """Names of what is neither file nor folder: links, devices."""

    @property
    def folders(self) -> list[str]:
        """Names of the folders that it lists, which need not be all that it has."""

    def members(self) -> list[tuple[str, int, str]]:
        """Return name, bytes and version of each file, links included."""

    def read(self, key: str) -> bytes:
        """Return what a file holds."""


def archive_kind(name: str) -> str | None:
    """Return "zip" or "tar" for a file that is an archive by its ending, None for others.

    Examples
    --------
    >>> archive_kind("labels.zip"), archive_kind("labels.TAR.GZ"), archive_kind("labels.png")
    ('zip', 'tar', None)
    """
    ending = _ending(name)
    return None if not ending else "zip" if ending == ".zip" else "tar"


class ArchiveFolder:
    """A folder in an archive.

    Parameters
    ----------
    archive : ArchiveReader
        What :func:`open_archive` opened.
    address : str
        Of the archive, for messages.
    inner : str
        The folder in it; "" for all of it.
    heed : callable, optional
        Called before each read with the event after which no one waits for it; of an archive that is not on disk.
    """

    readers = 1
    """All files of an archive share one position, and one that is compressed is best read forwards."""

    def __init__(
        self,
        archive: ArchiveReader,
        address: str,
        inner: str = "",
        *,
        heed: Callable[[threading.Event], object] | None = None,
    ) -> None:
        self._archive, self._address, self._heed = archive, address, heed
        self._inner = _path(inner.strip("/"))
        self._lock = threading.Lock()

    @property
    def is_local(self) -> bool:
        """Whether the archive lies on a disk of this machine."""
        return self._heed is None

    @property
    def name(self) -> str:
        """Name of the folder; of a whole archive that of its file without the ending."""
        if self._inner.name:
            return self._inner.name
        name = self._address.replace("\\", "/").rstrip("/").rpartition("/")[2]
        return name[: len(name) - len(_ending(name))] or name

    def __str__(self) -> str:
        """Return its address."""
        return f"{self._address}/{self._inner}" if self._inner.name else self._address

    def __fspath__(self) -> str:
        """Return its address."""
        return str(self)

    def files(self) -> list[StoredFile]:
        """Return all files below it."""
        found: dict[PurePosixPath, StoredFile] = {}
        is_there = not self._inner.name
        for key, size, version in self._archive.members():
            check_name(self, key)
            path = _path(key)
            if ".." in path.parts or "\0" in key:
                raise DatasetError(
                    f"{self._address}: holds a file called {quoted(key)}, expected names below it", path=self
                )
            if not path.is_relative_to(self._inner):
                continue
            is_there = True
            file = StoredFile(self, path.relative_to(self._inner), key, size, version)
            if file.path in found:
                raise DatasetError(f"{file}: is in the archive twice, expected each file once", path=file)
            if key in self._archive.links and len(file.path.parts) == 1 and not file.name.startswith("."):
                raise _link(file)  # to a folder, perhaps, whose files would be missing
            found[file.path] = file
        if not is_there:
            raise DatasetError(f"{self}: is missing, expected a folder in the archive", path=self)
        self._check_folders({path.parts[0] for path in found if len(path.parts) > 1})
        return sorted(found.values(), key=lambda file: file.path.parts)

    def _check_folders(self, with_files: set[str]) -> None:
        """Refuse folders without files: a clip whose labels were not packed would be left out without a word."""
        for key in self._archive.folders:
            check_name(self, key)
            path = _path(key)
            parts = path.relative_to(self._inner).parts if path.is_relative_to(self._inner) else ()
            if len(parts) == 1 and parts[0] not in with_files and not parts[0].startswith("."):
                raise empty_folder(f"{self}/{parts[0]}")

    def read(self, file: StoredFile, stop: threading.Event) -> bytes:
        """Return what a file holds."""
        if file.key in self._archive.links:
            raise _link(file)
        try:
            with self._lock:
                if self._heed is not None:
                    self._heed(stop)
                content = self._archive.read(file.key)
        except DatasetError:
            raise
        except Exception as error:  # readers of archives may raise anything on bytes from outside
            reason = str(error) or type(error).__name__
            raise DatasetError(f"{file}: is damaged or cut short: {cut(reason)}", path=file) from error
        if len(content) != file.size:
            raise DatasetError(
                f"{file}: is damaged: it holds {len(content):,} bytes, its archive says {file.size}", path=file
            )
        return content

    def measure(self, file: StoredFile, stop: threading.Event) -> StoredFile:
        """Return the file: an archive tells all sizes."""
        return file


def _path(key: str) -> PurePosixPath:
    """Return where a member of an archive lies, in one spelling of Unicode."""
    return PurePosixPath(normalize_name(key.lstrip("/")))


def _link(file: StoredFile) -> DatasetError:
    return DatasetError(
        f"{file}: is a link or a device, expected a file or a folder: pack what it leads to (tar --dereference "
        "--hard-dereference; zip without -y)",
        path=file,
    )


def open_archive(opened: IO[bytes], address: str, kind: str, *, version: str = "") -> ArchiveReader:
    """Open an archive and read which files it holds.

    Parameters
    ----------
    opened : binary file
        Is closed with the archive, when it is no longer used.
    address : str
        For messages.
    kind : {"zip", "tar"}
    version : str
        A text that changes with the archive: of its files a tar file has no checksums.

    Returns
    -------
    ArchiveReader

    Raises
    ------
    DatasetError
        If it is not such an archive, damaged or cut short.
    """
    try:
        archive = _Zip(opened) if kind == "zip" else _Tar(opened, version)
    except Exception as error:  # as above
        opened.close()
        if isinstance(error, DatasetError):  # of a store that cannot be reached
            raise
        reason = str(error) or type(error).__name__
        raise DatasetError(
            f"{address}: is not a {kind} archive, damaged or cut short: {cut(reason)}", path=address
        ) from error
    weakref.finalize(archive, opened.close)
    return archive


def _ending(name: str) -> str:
    return next((ending for ending in _ENDINGS if name.lower().endswith(ending)), "")


class _Zip:
    """A zip file; a member's checksum is verified when it is read."""

    def __init__(self, opened: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(opened)
        there, claimed = len(self._zip.infolist()), _claimed_members(opened)
        if there != claimed:
            raise ValueError(f"it lists {there:,} file(s), and says that it holds {claimed:,}")
        found = [member for member in self._zip.infolist() if not member.is_dir()]
        unusual = [member.filename for member in found if member.compress_type not in _PACKED]
        if unusual:  # LZMA takes as much memory as a file says that it needs
            raise ValueError(f"{shortened(unusual)}: packed in another way than deflate or bzip2")
        self._members = [(each.filename, each.file_size, f"{each.file_size} {each.CRC:08x}") for each in found]
        self.links = frozenset(each.filename for each in found if stat.S_ISLNK(each.external_attr >> 16))
        self.folders = [each.filename for each in self._zip.infolist() if each.is_dir()]

    def members(self) -> list[tuple[str, int, str]]:
        return self._members

    def read(self, key: str) -> bytes:
        return self._zip.read(key)


def _claimed_members(opened: IO[bytes]) -> int:
    """Return how many members the end of a zip file tells of: `zipfile` lists what it finds, and does not compare."""
    opened.seek(max(0, opened.seek(0, os.SEEK_END) - _ZIP_END_BYTES))
    end = opened.read()
    number: int = struct.unpack_from("<H", end, end.rindex(b"PK\5\6") + 10)[0]
    if number == 0xFFFF and (large := end.rfind(b"PK\6\6")) >= 0:  # or more: another record has room for the number
        (number,) = struct.unpack_from("<Q", end, large + 32)
    return number


class _FewBytes:
    """A file that is read in small parts: a header of a tar file may claim that names of any length follow it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.most: int | None = _MOST_HEADER_BYTES

    def read(self, size: int) -> bytes:
        if self.most is not None and size > self.most:
            raise ValueError(f"a header claims {size:,} bytes, expected at most {self.most:,}")
        return self._file.read(size)

    def seek(self, place: int) -> int:
        if self.most is not None and place < self._file.tell():  # `tarfile` would go round in a circle
            raise ValueError("a header claims a size below zero")
        return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()


class _Tar:
    """A tar file, whose list of members is complete where zeros follow it to the end."""

    def __init__(self, opened: IO[bytes], version: str) -> None:
        begin = opened.read(max(map(len, _UNPACKERS)))
        opened.seek(0)
        unpacker = next((unpack for start, unpack in _UNPACKERS.items() if begin.startswith(start)), None)
        if unpacker is lzma.LZMAFile:
            _check_memory(opened)
        self._version = version
        file = _FewBytes(opened if unpacker is None else unpacker(opened))
        self._tar = tarfile.TarFile(fileobj=cast("Any", file))
        listed = [member for member in self._tar.getmembers() if not member.isdir()]
        self.links = frozenset(member.name for member in listed if not member.isreg())
        self.folders = [member.name for member in self._tar.getmembers() if member.isdir()]
        if any(member.issparse() for member in listed):  # a few bytes may claim a gigabyte of zeros
            raise ValueError("it holds sparse files, expected whole ones")
        self._files = {member.name: member for member in listed}
        if len(self._files) < len(listed):
            raise ValueError("it holds a file twice, expected each once")
        file.most = None  # what is read from now on is a file whose size was looked at
        self._check_end()

    def _check_end(self) -> None:
        """Refuse what `tarfile` takes for the end, without a word, though it is none."""
        file = self._tar.fileobj
        if file is None:
            raise AssertionError("unreachable: the archive is open")
        file.seek(self._tar.offset)
        block = file.read(_BLOCK)
        if len(block) < _BLOCK or any(block):
            raise ValueError("no end of the archive follows its last file")
        while block := file.read(2**16):
            if any(block):
                raise ValueError("more follows its end; expected one archive, not several in a row")

    def members(self) -> list[tuple[str, int, str]]:
        files = self._files.items()
        return [(name, member.size, f"{member.size} {member.mtime} {self._version}") for name, member in files]

    def read(self, key: str) -> bytes:
        opened = self._tar.extractfile(self._files[key])
        if opened is None:
            raise AssertionError("unreachable: links and devices are not read")
        with opened:
            return opened.read()


def _check_memory(opened: IO[bytes]) -> None:
    """Unpack a file of LZMA only to see that it takes no more memory than usual: it may ask for gigabytes."""
    packed, unpacker = b"", None
    while packed := packed or opened.read(2**16):
        if unpacker is None or unpacker.eof:  # several of them may stand in a row
            unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_LZMA_BYTES)
        unpacker.decompress(packed, 2**20)
        while not (unpacker.eof or unpacker.needs_input):
            unpacker.decompress(b"", 2**20)
        packed = unpacker.unused_data.lstrip(b"\0") if unpacker.eof else b""
    opened.seek(0)
