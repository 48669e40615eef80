"""Temporary files and folders: locked while a process uses them, and removed by the next one if it was killed.

Their names say that they are of this package; what no process has locked was left. Without locks (some network file
systems) nothing is removed. On Windows an open file cannot be removed, which comes to the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["HAS_LOCKS", "open_temporary", "remove_left_files", "temporary_folder", "try_lock", "try_temporary"]

HAS_LOCKS = fcntl is not None
"""Whether this system locks files; on Windows what is open can be neither renamed nor removed."""
_MOST_OF_NAME = 200
_END = ".flame-metric"  # of the names of files
_BEGINNING = "flame-metric-"  # of those of folders
_LOCK = "lock"  # the file in a folder that is locked
_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link, and no pipe that blocks


def open_temporary(path: Path) -> tuple[Path, IO[bytes]]:
    """Make a temporary file beside a file that is to be written, and lock it.

    Parameters
    ----------
    path : Path

    Returns
    -------
    path : Path
        Its name, which begins with a dot.
    stream : file
        Open for writing; closing it lets the lock go.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    while True:
        handle, name = _make(path)
        try:
            stream = os.fdopen(handle, "wb")
        except BaseException:
            os.close(handle)
            Path(name).unlink()
            raise
        if _hold(stream):
            return Path(name), stream
        stream.close()


def try_temporary(path: Path) -> None:
    """Make a temporary file beside a file, as :func:`open_temporary` would, and remove it.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    with contextlib.suppress(FileNotFoundError):
        path.lstat()  # raises where the name of the file is too long
    handle, name = _make(path)
    os.close(handle)
    Path(name).unlink(missing_ok=True)  # another process may have taken it for one that was left


def _make(path: Path) -> tuple[int, str]:
    # A name may have 255 bytes, and this one is longer than that of the file.
    name = os.fsencode(path.name)[:_MOST_OF_NAME].decode(errors="ignore")
    return tempfile.mkstemp(dir=path.parent, prefix=f".{name}.", suffix=_END)


def remove_left_files(folder: Path) -> None:
    """Remove the temporary files that killed processes have left in a folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        left = [Path(entry) for entry in entries if entry.name.startswith(".") and entry.name.endswith(_END)]
        for path in left:
            _remove_if_free(path, path)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a temporary folder and remove it at the end; those that killed processes have left are removed before.

    Yields
    ------
    Path
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_BEGINNING}*"):
        if _is_own_folder(folder):  # others may write there too
            _remove_if_free(folder / _LOCK, folder)
    while True:
        with (
            tempfile.TemporaryDirectory(prefix=_BEGINNING, ignore_cleanup_errors=True) as name,
            Path(name, _LOCK).open("wb") as stream,
        ):
            if _hold(stream):
                yield Path(name)
                return


def try_lock(stream: IO[bytes], *, wait: bool = False) -> bool:
    """Lock a file against other processes as long as it is open.

    Parameters
    ----------
    stream : file
    wait : bool
        Whether to wait for another process that has it locked.

    Returns
    -------
    bool
        False: another process has it locked.

    Raises
    ------
    OSError
        If its file system has no locks; so it is wherever `HAS_LOCKS` is False.
    """
    if fcntl is None:
        raise OSError("there are no locks on this system")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _hold(stream: IO[bytes]) -> bool:
    """Lock a new file; False if another process took it for one that was left, and removed it."""
    with contextlib.suppress(OSError):
        try_lock(stream, wait=True)
    return not HAS_LOCKS or os.fstat(stream.fileno()).st_nlink > 0


def _remove_if_free(lock: Path, left: Path) -> None:
    """Remove a file or folder unless a process has its lock."""
    with contextlib.suppress(OSError):
        if not HAS_LOCKS:
            lock.unlink()
            shutil.rmtree(left, ignore_errors=True)
            return
        with os.fdopen(os.open(lock, _OPEN), "r+b") as stream:
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) and try_lock(stream):
                lock.unlink()
                shutil.rmtree(left, ignore_errors=True)


def _is_own_folder(folder: Path) -> bool:
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())
