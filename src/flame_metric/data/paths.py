"""Paths that are to be read: whether there is a folder or a file, or an error where that cannot be known.

`pathlib` answers "no" to such a question, or raises what no caller expects, as the version of Python has it: a folder
into which one may not look would be "missing", or end in a traceback.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from flame_metric.errors import DatasetError

__all__ = ["check_file", "check_folder", "exists", "expand_home", "is_file", "is_folder"]


def is_folder(path: Path) -> bool:
    """Whether there is a folder, or a link to one.

    Raises
    ------
    DatasetError
        If that cannot be found out: the folder around it may not be read, links go round in a circle, the name is too
        long for a file.
    """
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: Path) -> bool:
    """Whether there is a file that ends, or a link to one: no folder, device or pipe; raises as :func:`is_folder`."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def exists(path: Path) -> bool:
    """Whether there is anything; raises as :func:`is_folder`."""
    return _mode(path) is not None


def check_folder(path: Path, expected: str) -> None:
    """Refuse what is not a folder.

    Parameters
    ----------
    path : Path
    expected : str
        What should be there, for the message: ``"a folder of frames"``.

    Raises
    ------
    DatasetError
        If there is none, or that cannot be found out.
    """
    if not is_folder(path):
        raise DatasetError(f"{path}: is {_found(path, 'not a folder')}, expected {expected}", path=path)


def check_file(path: Path, expected: str) -> None:
    """Refuse what is not a file: a pipe would be waited for, and never end; otherwise as :func:`check_folder`."""
    if not is_file(path):
        raise DatasetError(f"{path}: is {_found(path, 'not a file')}, expected {expected}", path=path)


def expand_home(path: str) -> str:
    """Put the home for a ``~`` at the beginning; one that does not exist, or cannot, stays as it is."""
    try:
        return os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises where there is no such home
    except ValueError:  # a NUL
        return path


def _found(path: Path, other: str) -> str:
    if exists(path):
        return other
    return "a link to nothing" if os.path.islink(path) else "missing"  # noqa: PTH114 - Path.is_symlink may raise


def _mode(path: Path) -> int | None:
    """Return what kind of thing this is; None if there is nothing."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL, which no name can hold
        return None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
