"""Where results go: standard output or files, and nothing half-written."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flame_metric.core.files import check_writable, write_whole
from flame_metric.errors import ConfigError, DatasetError
from flame_metric.scores.bank import OffsetBank

__all__ = ["check_folders", "check_outputs", "save_bank", "write", "writing"]

STANDARD_OUTPUT = "-"


def check_outputs(*inputs: str | None, **files: str | None) -> None:
    """Refuse outputs that cannot be written, or that are one: now, not after an hour of counting.

    Parameters
    ----------
    *inputs : str, optional
        Files that are read.
    **files : str, optional
        By the option that names it: an output.

    Raises
    ------
    ConfigError
        If a file cannot be written (:func:`~flame_metric.core.files.check_writable`), an output is an input, or two
        options name one output.
    """
    read = {_place(file) for file in inputs if file is not None}
    seen: dict[str, str] = {}
    for name, file in files.items():
        if file is None:
            continue
        option = name.replace("_", "-")
        place = file if file == STANDARD_OUTPUT else _place(file)
        if place in seen:
            raise ConfigError(f"--{seen[place]} and --{option} both write to {file}, expected two outputs")
        if place in read:
            raise ConfigError(f"--{option} writes to {file}, which is read, expected another file")
        seen[place] = option
        if file == STANDARD_OUTPUT:
            continue
        try:
            check_writable(Path(file))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be written: {error.strerror} (--{option})") from error


def check_folders(**folders: str | os.PathLike[str] | None) -> None:
    """Refuse folders that cannot be made or written into.

    Parameters
    ----------
    **folders : str or path, optional
        By the option that names it.

    Raises
    ------
    ConfigError
        If one cannot.
    """
    for option, folder in folders.items():
        if folder is None:
            continue
        there = next(place for place in (Path(folder).absolute(), *Path(folder).absolute().parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            reason = "is not a folder" if not there.is_dir() else "is read-only"
            raise ConfigError(f"{folder}: cannot be written: {there} {reason} (--{option.replace('_', '-')})")


def _place(file: str) -> str:
    try:
        return str(Path(file).resolve())
    except (OSError, RuntimeError, ValueError):  # such as a link to itself
        return file


def write(text: str, file: str | None = None) -> None:
    """Write text, ending in one newline, to standard output (None or "-") or to a file, whole or not at all.

    Raises
    ------
    DatasetError
        If it cannot be written.
    """
    text = text.rstrip("\n") + "\n"
    with writing(file or "standard output"):
        if file in (None, STANDARD_OUTPUT):
            if sys.stdout is None:  # it was closed before this process began
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            write_whole(Path(str(file)), text.encode())


def save_bank(bank: OffsetBank, file: str) -> None:
    """Write a bank to a file, whole or not at all.

    Raises
    ------
    DatasetError
        If it cannot be written.
    """
    with writing(file):
        bank.save(file)


@contextmanager
def writing(file: str | None = None) -> Iterator[None]:
    """Turn what the system says into one line that names the file, by default the one that it names itself.

    Raises
    ------
    DatasetError
        If something cannot be written.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        place = file or error.filename or "a file"
        raise DatasetError(f"{place}: cannot be written: {error.strerror or error}", path=place) from error
