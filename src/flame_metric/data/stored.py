"""Files that are read as a whole, because they lie in an archive, an object store or on a server.

A :class:`StoredFolder` lists them; what they hold is fetched by a few threads ahead of whoever decodes it, bounded by
bytes, so that neither a slow line nor a large file decides how much memory an evaluation takes.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol, TypeVar

from flame_metric.data import MAX_IMAGE_BYTES
from flame_metric.errors import DatasetError, cut

__all__ = [
    "AHEAD_BYTES",
    "MOST_FILE_BYTES",
    "READERS",
    "StoredFile",
    "StoredFolder",
    "check_name",
    "check_size",
    "empty_folder",
    "limit_bytes",
    "read_ahead",
    "reading_threads",
]

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")

READERS = 16
"""Threads that fetch from a store or server: they wait for a line, not for a core."""
AHEAD_BYTES = 256 * 2**20
"""What may lie fetched and not yet decoded; a single frame may be larger."""
_AHEAD_ITEMS = 64

_MOST_NAME = 255
"""Characters of a name (UTF-16, as the most generous file systems count)."""
_MOST_PATH = 32_767

_MOST_BYTES = {".png": MAX_IMAGE_BYTES}
MOST_FILE_BYTES = 2**30
"""What a file may have that is not a PNG."""


_Measure = Callable[["StoredFile", threading.Event], "StoredFile | DatasetError"]


class StoredFolder(Protocol):
    """A folder outside the file system of this machine, or in an archive."""

    @property
    def name(self) -> str:
        """Its own name, without the path to it."""

    def __str__(self) -> str:
        """Return its address, without passwords."""

    def __fspath__(self) -> str:
        """Return its address, for :attr:`DatasetError.path`."""

    @property
    def readers(self) -> int:
        """How many threads may read at once."""

    @property
    def is_local(self) -> bool:
        """Whether it lies on a disk of this machine, where reading a file again costs little."""

    def files(self) -> list[StoredFile]:
        """Return the files in it and one folder below, in the order of their names, and deeper ones if it knows them.

        Raises
        ------
        DatasetError
            If it is missing or cannot be listed to its end.
        """

    def read(self, file: StoredFile, stop: threading.Event) -> bytes:
        """Return what a file holds, or a DatasetError; soon after ``stop`` is set, one or the other."""

    def measure(self, file: StoredFile, stop: threading.Event) -> StoredFile:
        """Return a file with its size and version, which may have to be asked for; size None: unknown."""


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
        return os.fspath(self).rpartition("/")[0]

    def __str__(self) -> str:
        """Return its address for messages: its path comes from a file, and is cut if it is long."""
        return f"{self.folder}/{cut(str(self.path))}"

    def __fspath__(self) -> str:
        """Return its address."""
        return f"{os.fspath(self.folder)}/{self.path}"

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
        stop = stop or threading.Event()
        file = self.measure(stop)
        content = file.folder.read(file, stop)
        check_size(file, len(content))
        return content

    def measure(self, stop: threading.Event) -> StoredFile:
        """Return it with its size and version, if these are not known yet.

        Raises
        ------
        DatasetError
            If it cannot be found, or is larger than a label map can be.
        """
        file = self.folder.measure(self, stop) if self.size is None else self
        check_size(file, file.size)
        return file


def check_name(where: os.PathLike[str], name: str) -> None:
    """Refuse a name, or a path of names, that is longer than any file system allows: nothing can have been packed so.

    Parameters
    ----------
    where : path
        In which it is, for messages.
    name : str

    Raises
    ------
    DatasetError
        If it has more than 32,767 characters, or a part of it more than 255.
    """
    longest = max(len(part.encode("utf-16-le", "surrogatepass")) // 2 for part in name.split("/"))
    if longest > _MOST_NAME or len(name) > _MOST_PATH:
        raise DatasetError(
            f"{where}: holds a name of {max(longest, len(name)):,} characters, {name[:40]!r}.., expected at most "
            f"{_MOST_NAME}, in a path of at most {_MOST_PATH:,}, as file systems allow",
            path=where,
        )


def check_size(file: StoredFile, size: int | None) -> None:
    """Refuse a file that is larger than any label map: 256 million bytes of a PNG, 1 GiB of an array.

    Parameters
    ----------
    file : StoredFile
    size : int or None
        In bytes; None passes.

    Raises
    ------
    DatasetError
        If it is.
    """
    if size is not None and size > limit_bytes(file):
        raise DatasetError(f"{file}: has {size:,} bytes, expected at most {limit_bytes(file):,}", path=file)


def limit_bytes(file: StoredFile) -> int:
    """Return how many bytes a file may have; if its size is unknown, it may fill the budget, and no more.

    Parameters
    ----------
    file : StoredFile
    """
    most = _MOST_BYTES.get(file.suffix.lower(), MOST_FILE_BYTES)
    return most if file.size is not None else min(most, AHEAD_BYTES)


def empty_folder(where: str | os.PathLike[str]) -> DatasetError:
    """Return the error for a folder in which a clip should be: passed over, it would make a score of the others.

    Parameters
    ----------
    where : str or path
    """
    return DatasetError(f"{where}: is empty, expected label maps; remove the folder if there are none", path=where)


@contextmanager
def reading_threads(number: int) -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    """Threads, and an event that says that no one waits any more: at the end of the block, however it ends.

    Parameters
    ----------
    number : int
    """
    pool, stop = ThreadPoolExecutor(number, thread_name_prefix="reading"), threading.Event()
    try:
        yield pool, stop
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def read_ahead(
    items: Iterable[tuple[T, Sequence[StoredFile]]],
    use: Callable[[T, list[bytes | DatasetError]], Future[U]],
    *,
    ahead_bytes: int = AHEAD_BYTES,
) -> Generator[tuple[T, Future[U]]]:
    """Yield each item with what is made of its files, which is begun; the files of later ones are being fetched.

    Parameters
    ----------
    items : iterable of (item, sequence of StoredFile)
    use : callable
        Takes an item and what each of its files holds, or why that cannot be read: nothing is raised here. It begins to
        decode them, and returns the future of what comes of it.
    ahead_bytes : int
        What may lie fetched and not yet decoded; a single item may be larger, and is then the only one.

    Yields
    ------
    item
    future
    """
    waiting: deque[tuple[T, list[Future[bytes | DatasetError] | DatasetError], int]] = deque()
    decoding: deque[tuple[Future[U], int]] = deque()
    with ExitStack() as stack:
        threads: dict[int, tuple[ThreadPoolExecutor, threading.Event]] = {}

        def submit(call: Callable[[StoredFile, threading.Event], V], file: StoredFile) -> Future[V]:
            if id(file.folder) not in threads:
                threads[id(file.folder)] = stack.enter_context(reading_threads(file.folder.readers))
            pool, stop = threads[id(file.folder)]
            return pool.submit(call, file, stop)

        def held() -> int:
            return sum(size for *_, size in waiting) + sum(size for future, size in decoding if not future.done())

        def hand_on() -> tuple[T, Future[U]]:
            item, reads, _ = waiting.popleft()
            contents = [read.result() if isinstance(read, Future) else read for read in reads]
            future = use(item, contents)
            decoding.append((future, sum(len(content) for content in contents if isinstance(content, bytes))))
            return item, future

        for item, files in _measure_ahead(items, submit):
            size = sum(_size(file, ahead_bytes) for file in files)
            while waiting and (held() + size > ahead_bytes or len(waiting) >= _AHEAD_ITEMS):
                yield hand_on()
            while decoding and (decoding[0][0].done() or held() + size > ahead_bytes):
                wait([decoding.popleft()[0]])
            begun = [file if isinstance(file, DatasetError) else submit(_read, file) for file in files]
            waiting.append((item, begun, size))
        while waiting:
            yield hand_on()


def _measure_ahead(
    items: Iterable[tuple[T, Sequence[StoredFile]]],
    submit: Callable[[_Measure, StoredFile], Future[StoredFile | DatasetError]],
) -> Iterator[tuple[T, list[StoredFile | DatasetError]]]:
    """Yield items whose files know their sizes: those of web servers have to be asked, some of them ahead."""
    waiting: deque[tuple[T, list[Future[StoredFile | DatasetError] | StoredFile]]] = deque()
    for item, files in items:
        waiting.append((item, [submit(_measure, file) if file.size is None else file for file in files]))
        if len(waiting) > READERS:
            earlier, asked = waiting.popleft()
            yield earlier, [file.result() if isinstance(file, Future) else file for file in asked]
    for earlier, asked in waiting:
        yield earlier, [file.result() if isinstance(file, Future) else file for file in asked]


def _read(file: StoredFile, stop: threading.Event) -> bytes | DatasetError:
    try:
        return file.read(stop)
    except DatasetError as error:
        return error


def _measure(file: StoredFile, stop: threading.Event) -> StoredFile | DatasetError:
    try:
        return file.measure(stop)
    except DatasetError as error:
        return error


def _size(file: StoredFile | DatasetError, unknown: int) -> int:
    """Return the bytes of a file; if its size is unknown, nothing else is fetched beside it."""
    if isinstance(file, DatasetError):
        return 0
    return unknown if file.size is None else file.size
