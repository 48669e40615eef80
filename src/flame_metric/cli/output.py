"""Where results go: standard output or files, and nothing half-written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flame_metric.core.files import write_whole
from flame_metric.errors import ConfigError, DatasetError
from flame_metric.scores.bank import OffsetBank

__all__ = ["check_outputs", "save_bank", "write", "writing"]

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
        If a folder is missing or not writable, an output is a folder or an input, or two options name one output.
    """
    read = {str(Path(file).resolve()) for file in inputs if file is not None}
    seen: dict[str, str] = {}
    for option, file in files.items():
        if file is None:
            continue
        place = file if file == STANDARD_OUTPUT else str(Path(file).resolve())
        if place in seen:
            raise ConfigError(f"--{seen[place]} and --{option} both write to {file}, expected two outputs")
        if place in read:
            raise ConfigError(f"--{option} writes to {file}, which is read, expected another file")
        seen[place] = option
        if file == STANDARD_OUTPUT:
            continue
        folder = Path(place).parent
        if not folder.is_dir():
            raise ConfigError(f"{file}: cannot be written: its folder does not exist")
        if Path(place).is_dir() or not os.access(folder, os.W_OK):
            raise ConfigError(f"{file}: cannot be written: it is a folder, or lies in one that may not be changed")


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
