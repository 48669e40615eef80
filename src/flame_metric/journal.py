"""Journal: what a long job has finished, one JSON line a sequence, so that a job that was killed goes on from there.

Each line carries the SHA-256 of its own content and is on the disk (fsync) before the job goes on. The first line says
with which configuration the job was begun; whoever goes on with another is refused. A line that was being written when
the machine failed is the last one, and is dropped; damage anywhere else is an error. Only one process may write.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from flame_metric.checks import check_path
from flame_metric.errors import DatasetError, StateError, shortened

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Journal", "read_journal"]

_FORMAT = "flame-metric journal 1"
_CHECKSUM = "sha256"


class Journal:
    """Open a journal, new or to go on with.

    Parameters
    ----------
    path : str or path
    configuration : mapping of str to JSON values
        Of the job; whatever can move a number.
    resume : bool
        Whether it may hold finished sequences already.

    Attributes
    ----------
    records : dict of str to dict
        What was kept, by sequence.

    Raises
    ------
    StateError
        If it is no journal, damaged, of another configuration, being written by another process, or holds sequences
        without ``resume``.
    DatasetError
        If it cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "job.jsonl")
    >>> with Journal(path, {"classes": 19}) as journal:
    ...     journal.add("frankfurt", {"pairs": 7})
    >>> with Journal(path, {"classes": 19}, resume=True) as journal:
    ...     journal.records
    {'frankfurt': {'pairs': 7}}
    """

    def __init__(self, path: str | os.PathLike[str], configuration: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path = check_path(path)
        self.records: dict[str, dict[str, Any]] = {}
        wanted = json.loads(json.dumps(configuration))  # as JSON gives it back: tuples are lists there
        try:
            self._file: BinaryIO = self.path.open("a+b")
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._lock()
            self._file.seek(0)
            known = self._read(self._file.read())
            if known is None:
                self._write({"format": _FORMAT, "configuration": wanted})
                _sync_folder(self.path.parent)
            else:
                self._check(known, wanted, resume=resume)
        except BaseException:
            self._file.close()
            raise

    def add(self, sequence: str, record: Mapping[str, Any]) -> None:
        """Keep what was found for a sequence; when this returns, it is on the disk.

        Raises
        ------
        StateError
            If the sequence is there already.
        DatasetError
            If it cannot be written.
        """
        if sequence in self.records:
            raise StateError(f"{self.path}: sequence {sequence!r} is in the journal already, expected each once")
        self._write({"sequence": sequence, "record": record})
        self.records[sequence] = dict(record)

    def close(self) -> None:
        """Let another process write; the records stay known."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # ── lines ──

    def _write(self, record: Mapping[str, Any]) -> None:
        line = _line(record)
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def _read(self, content: bytes) -> dict[str, Any] | None:
        """Take the lines apart, drop one that was cut, and return the configuration; None if there is no line."""
        configuration, self.records, whole = _parsed(content, self.path)
        if whole < len(content):
            try:
                self._file.truncate(whole)
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._unwritable(error) from error
        return configuration

    def _check(self, known: Mapping[str, Any], wanted: Mapping[str, Any], *, resume: bool) -> None:
        unlike = [
            f"{name}: {_short(known.get(name))} / {_short(wanted.get(name))}"
            for name in sorted(known.keys() | wanted.keys())
            if known.get(name) != wanted.get(name)
        ]
        if unlike:
            raise StateError(
                f"{self.path}: is of another job ({shortened(unlike)}: there / here), expected the same configuration; "
                "give the same options, or another journal"
            )
        if self.records and not resume:
            raise StateError(
                f"{self.path}: holds {len(self.records)} finished sequence(s) already; go on with them (--resume), or "
                "give another journal"
            )

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(f"{self.path}: is being written by another process, expected one at a time") from error

    def _unwritable(self, error: OSError) -> DatasetError:
        return DatasetError(f"{self.path}: cannot be written: {error.strerror or error}", path=self.path)


def read_journal(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the configuration and the records of a journal, which stays as it is; a line that was cut is left out.

    Raises
    ------
    DatasetError
        If it cannot be read.
    StateError
        If it is no journal, or damaged.
    """
    file = check_path(path)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror or error}", path=file) from error
    configuration, records, _ = _parsed(content, file)
    if configuration is None:
        raise StateError(f"{file}: is empty, expected {_FORMAT!r}")
    return configuration, records


def _parsed(content: bytes, path: Path) -> tuple[dict[str, Any] | None, dict[str, dict[str, Any]], int]:
    """Return the configuration (None if there is no line), the records, and how many bytes are whole lines."""
    configuration: dict[str, Any] | None = None
    records: dict[str, dict[str, Any]] = {}
    position = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        record = _record(line)
        if record is None:
            if position + len(line) < len(content) or (line.endswith(b"\n") and number == 1):
                raise StateError(
                    f"{path}: line {number} is damaged, or this is no journal; lines after it cannot be trusted: "
                    "remove the file and begin anew"
                )
            break
        position += len(line)
        if configuration is None:
            configuration = _configuration(record, path)
            continue
        sequence, kept = record.get("sequence"), record.get("record")
        if not isinstance(sequence, str) or not isinstance(kept, dict) or sequence in records:
            raise StateError(f"{path}: line {number} holds no sequence, or one that came before")
        records[sequence] = kept
    return configuration, records, position


def _configuration(record: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if record.get("format") != _FORMAT or not isinstance(record.get("configuration"), dict):
        raise StateError(f"{path}: begins with another record, expected {_FORMAT!r}")
    return dict(record["configuration"])


def _content(record: Mapping[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _line(record: Mapping[str, Any]) -> bytes:
    checksum = hashlib.sha256(_content(record).encode()).hexdigest()
    return f"{_content({**record, _CHECKSUM: checksum})}\n".encode()


def _record(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds; None if it is cut or damaged."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
        checksum = record.pop(_CHECKSUM)
        matches = checksum == hashlib.sha256(_content(record).encode()).hexdigest()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return record if matches else None


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sync_folder(folder: Path) -> None:
    """Put the name of a new file on the disk too, where folders can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
