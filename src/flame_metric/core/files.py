"""Files that are written whole or not at all: whoever reads one while it is replaced finds the old or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

__all__ = ["digest_of", "write_whole"]


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """Write a file in one step. A link keeps pointing to what it points to; a device or pipe is written into.

    The content is on the disk before the file takes its name: a machine that fails leaves one of the two, too.

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
    except OSError as error:  # it may name the temporary file, for which nobody asked
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _replace(path: Path, content: bytes | memoryview) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # mkstemp's files are readable by their owner alone
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


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
