"""Where data lies: a folder of this machine, an archive, or an address of a store or server."""

from __future__ import annotations

import os
import re
from pathlib import Path

from flame_metric.data.archives import ArchiveFolder, archive_kind, open_archive
from flame_metric.data.paths import check_file, check_folder, exists, is_file
from flame_metric.data.stored import StoredFolder
from flame_metric.errors import ConfigError, DatasetError

__all__ = ["open_place"]

_IN_ARCHIVE = re.compile(r"(zip|tar)(?:://([^:]*))?::(.+)", re.DOTALL | re.IGNORECASE)  # as fsspec chains addresses
_NO_ARCHIVE = re.compile(r"(zip|tar)://[^:]*", re.IGNORECASE)


def open_place(root: str | os.PathLike[str]) -> Path | StoredFolder:
    """Return the folder that a text names.

    Parameters
    ----------
    root : str or path
        A folder; a zip or tar archive; an address such as ``"s3://bucket/labels"``; or a folder in an archive,
        ``"zip://labels/val::https://host/all.zip"``.

    Returns
    -------
    Path or StoredFolder
        A path if it is a folder on disk.

    Raises
    ------
    ConfigError
        If an address has a scheme that is not known, or names an archive in an archive.
    DatasetError
        If there is no such folder or archive, or it cannot be read.
    MissingExtraError
        If an address is given, and fsspec, or what its scheme needs, is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from zipfile import ZipFile
    >>> path = Path(tempfile.mkdtemp(), "labels.zip")
    >>> with ZipFile(path, "w") as archive:
    ...     archive.writestr("monday/0001.png", b"...")
    >>> [file.path.as_posix() for file in open_place(path).files()]
    ['monday/0001.png']
    """
    text = os.fspath(root)
    if not text:
        raise ConfigError("a folder is given as '', expected a name: is a variable of the shell not set?")
    is_address = isinstance(root, str) and ("://" in text or ("::" in text and not exists(Path(text))))
    found = _IN_ARCHIVE.fullmatch(text) if is_address else None
    kind, inner, outer = (found[1].lower(), found[2] or "", found[3]) if found else (None, "", text)
    if is_address and _NO_ARCHIVE.fullmatch(text):
        raise ConfigError(f"{text} names no archive, expected zip://FOLDER::ARCHIVE or tar://FOLDER::ARCHIVE")
    if found and _IN_ARCHIVE.fullmatch(outer):
        raise ConfigError(f"{text} names an archive in an archive, expected a folder in one: unpack the outer one")
    if is_address and ("://" in outer or "::" in outer):
        return _remote(outer, inner, kind)
    path = Path(outer)
    if kind is None and (archive_kind(path.name) is None or not is_file(path)):
        check_folder(path, "a folder or an archive")
        return path
    return _archive(path, inner, kind or archive_kind(path.name) or "")


def _archive(path: Path, inner: str, kind: str) -> ArchiveFolder:
    check_file(path, f"a {kind} archive")
    try:
        opened = path.open("rb")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
    there = os.fstat(opened.fileno())
    version = f"{there.st_size} {there.st_mtime_ns}"
    return ArchiveFolder(open_archive(opened, str(path), kind, version=version), str(path), inner)


def _remote(address: str, inner: str, kind: str | None) -> StoredFolder:
    # fsspec is optional: folders and archives on disk work without. An edge may use its neighbours below it.
    from flame_metric.data.remote import hide_secrets, open_remote, open_remote_file  # noqa: PLC0415

    name = hide_secrets(address)
    kind = kind or archive_kind(name)
    if kind is None:
        return open_remote(address)
    opened, version, heed = open_remote_file(address)
    return ArchiveFolder(open_archive(opened, name, kind, version=version), name, inner, heed=heed)
