"""Files that are read as a whole, because they lie in an archive, an object store or on a server.

A :class:`StoredFolder` lists them; what they hold is fetched by a few threads ahead of whoever decodes it, bounded by
bytes, so that neither a slow line nor a large file decides how much memory an evaluation takes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

from flame_metric.data import MAX_IMAGE_BYTES
from flame_metric.errors import DatasetError

__all__ = ["AHEAD_BYTES", "READERS", "StoredFile", "StoredFolder", "check_size", "read_ahead"]

T = TypeVar("T")

READERS = 16
"""Threads that fetch: they wait for a line or a disk, not for a core."""
AHEAD_BYTES = 256 * 2**20
"""What may lie fetched and not yet asked for; a single frame may be larger."""
_AHEAD_FRAMES = 64
_UNKNOWN_BYTES = 8 * 2**20  # of a file whose size nobody tells before it is fetched

_MOST_BYTES = {".png": MAX_IMAGE_BYTES}
_MOST_BYTES_OF_OTHERS = 2**30


class StoredFolder(Protocol):
    """A folder outside the file system of this machine, or in an archive."""

    @property
    def name(self) -> str:
        """Its own name, without the path to it."""

    def __str__(self) -> str:
        """Return its address, without passwords."""

    def __fspath__(self) -> str:
        """Return its address, for :attr:`DatasetError.path`."""

    def files(self) -> list[StoredFile]:
        """Return the files in it and one folder below, in the order of their names, and deeper ones if it knows them.

        Raises
        ------
        DatasetError
            If it is missing or cannot be listed to its end.
        """

    def read(self, file: StoredFile, stop: threading.Event) -> bytes:
        """Return what a file holds, or a DatasetError; soon after ``stop`` is set, one or the other."""

    def stamp(self, file: StoredFile) -> str:
        """Return a text that changes when the file does, as far as the store tells."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a :class:`StoredFolder`; has of :class:`pathlib.Path` what messages need.

    Attributes
    ----------
    folder : StoredFolder
    path : PurePosixPath
        Below the folder.
    key : str
        How the store calls it.
    size : int or None
        Bytes, if the store tells.
    version : str
        A text that changes with the content, as far as the store tells.
    """

    folder: StoredFolder = field(repr=False)
    path: PurePosixPath
    key: str = field(repr=False)
    size: int | None = None
    version: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    @property
    def suffix(self) -> str:
        """Its ending, with the dot."""
        return self.path.suffix

    @property
    def parent(self) -> str:
        """The address of the folder that it lies in."""
        return str(self).rpartition("/")[0]

    def __str__(self) -> str:
        """Return its address."""
        return f"{self.folder}/{self.path}"

    def __fspath__(self) -> str:
        """Return its address."""
        return str(self)

    def read(self, stop: threading.Event | None = None) -> bytes:
        """Return what it holds.

        Parameters
        ----------
        stop : threading.Event, optional
            Once it is set, nothing is tried again.

        Raises
        ------
        DatasetError
            If it cannot be read whole, or is larger than a label map can be.
        """
        check_size(self, self.size)
        content = self.folder.read(self, stop or threading.Event())
        check_size(self, len(content))
        return content

    def stamp(self) -> str:
        """Return a text that changes when the file does, as far as the store tells."""
        return self.folder.stamp(self)


def check_size(file: StoredFile, size: int | None) -> None:
    """Refuse a file that is larger than any label map: 256 million bytes of a PNG, 1 GiB of an array.

    Raises
    ------
    DatasetError
        If it is.
    """
    most = _MOST_BYTES.get(file.suffix.lower(), _MOST_BYTES_OF_OTHERS)
    if size is not None and size > most:
        raise DatasetError(f"{file}: has {size:,} bytes, expected at most {most:,}", path=file)


def read_ahead(
    items: Iterable[tuple[T, Sequence[StoredFile]]], *, readers: int = READERS, ahead_bytes: int = AHEAD_BYTES
) -> Iterator[tuple[T, list[bytes | DatasetError]]]:
    """Yield each item with what its files hold, or why that cannot be read; later ones are being fetched meanwhile.

    Parameters
    ----------
    items : iterable of (item, sequence of StoredFile)
    readers : int
        Threads.
    ahead_bytes : int
        What may lie fetched and not yet asked for, of files that tell their size; a single item may be larger.
    """
    stop = threading.Event()
    pool = ThreadPoolExecutor(readers, thread_name_prefix="read-ahead")
    waiting: deque[tuple[T, list[Future[bytes | DatasetError]], int]] = deque()
    held = 0
    try:
        for item, files in items:
            size = sum(_UNKNOWN_BYTES if file.size is None else file.size for file in files)
            while waiting and (held + size > ahead_bytes or len(waiting) >= _AHEAD_FRAMES):
                earlier, futures, freed = waiting.popleft()
                held -= freed
                yield earlier, [future.result() for future in futures]
            waiting.append((item, [pool.submit(_content_or_error, file, stop) for file in files], size))
            held += size
        while waiting:
            earlier, futures, _ = waiting.popleft()
            yield earlier, [future.result() for future in futures]
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _content_or_error(file: StoredFile, stop: threading.Event) -> bytes | DatasetError:
    try:
        return file.read(stop)
    except DatasetError as error:
        return error
