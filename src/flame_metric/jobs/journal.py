"""Journal: what a long job has finished, one JSON line a sequence, from which a job that was killed resumes.

Each line carries the SHA-256 of its own content and is on the disk (fsync) before the next sequence is begun. The first
line says with which configuration the job was begun; whoever resumes with another is refused. A line that was being
written when the machine failed is the last one, and is dropped; damage anywhere else is an error. Only one process may
write.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from flame_metric.core.checks import check_path
from flame_metric.core.temporary import HAS_LOCKS, try_lock
from flame_metric.errors import DatasetError, FlameWarning, StateError, quoted, shortened

__all__ = ["Journal", "differences", "is_begun", "parse_journal", "read_journal"]

_FORMAT = "flame-metric journal 1"
_CHECKSUM = "sha256"
_BEGINNING = b'{"configuration":'  # of every journal, as keys are sorted


class Journal:
    """Open a journal: a new one, or one to resume from.

    Parameters
    ----------
    path : str or path
    configuration : mapping of str to JSON values
        Of the job; whatever can move a number.
    resume : bool
        Whether it may hold finished sequences already.
    replace : bool
        Whether those of another configuration are dropped, where they would be refused: for what is soon made again.
    may_differ : collection of str
        Entries of the configuration that a job which resumes may have otherwise; those of its beginning are kept.

    Attributes
    ----------
    path : Path
    records : dict of str to dict
        What it held when it was opened, by sequence. What is added is not kept in memory too.

    Raises
    ------
    StateError
        If it is not a journal, damaged, of another configuration, being written by another process, or holds sequences
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

    def __init__(
        self,
        path: str | os.PathLike[str],
        configuration: Mapping[str, Any],
        *,
        resume: bool = False,
        replace: bool = False,
        may_differ: Collection[str] = (),
    ) -> None:
        self.path = check_path(path)
        self._may_differ = frozenset(may_differ)
        self.records: dict[str, dict[str, Any]] = {}
        self._added: set[str] = set()
        self._configuration = json.loads(json.dumps(configuration))  # as JSON gives it back: tuples are lists there
        try:
            self._file = self.path.open("a+b", buffering=0)  # a buffer would be flushed again when the file is closed
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            self._require_file()
            self._lock()
            known = self._read()
            if known is None or not self._continues(known, resume=resume, replace=replace):
                self._begin()
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
        if sequence in self.records or sequence in self._added:
            raise StateError(f"{self.path}: sequence {quoted(sequence)} is in the journal already, expected each once")
        self._write({"sequence": sequence, "record": record})
        self._added.add(sequence)

    def keep_only(self, sequences: Collection[str]) -> None:
        """Drop what it held when it was opened of all sequences but these; nothing may have been added yet.

        Raises
        ------
        StateError
            If something was added.
        DatasetError
            If it cannot be written; more than what was to be dropped may be lost then, as after a kill.
        """
        if self._added:
            raise StateError(
                f"{self.path}: {len(self._added)} sequence(s) were added, expected none before some are kept"
            )
        kept = {name: record for name, record in self.records.items() if name in sequences}
        if len(kept) == len(self.records):
            return
        self._begin()
        for name, record in kept.items():
            self._write({"sequence": name, "record": record})
            self.records[name] = record

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

    def _begin(self) -> None:
        self.records = {}
        self._cut(0)
        self._write({"format": _FORMAT, "configuration": self._configuration})
        _sync_folder(self.path.parent)

    def _write(self, record: Mapping[str, Any]) -> None:
        line = memoryview(_line(record))
        before = self._length
        try:
            while line:
                written = self._file.write(line)
                line = line[written:]
                self._length += written
            os.fsync(self._file.fileno())
        except BaseException as error:
            with contextlib.suppress(DatasetError):  # what was begun must not stand before other lines
                self._cut(before)
            if isinstance(error, OSError):
                raise self._unwritable(error) from error
            raise

    def _cut(self, length: int) -> None:
        self._length = length
        try:
            self._file.truncate(length)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def _read(self) -> dict[str, Any] | None:
        """Take the lines apart, drop one that was cut, and return the configuration; None if there is no line."""
        try:
            self._file.seek(0)
            content = self._file.read()
        except OSError as error:
            raise DatasetError(f"{self.path}: cannot be read: {error.strerror or error}", path=self.path) from error
        configuration, self.records, self._length = _parsed(content, self.path)
        if self._length < len(content):
            self._cut(self._length)
        return configuration

    def _continues(self, known: Mapping[str, Any], *, resume: bool, replace: bool) -> bool:
        """Whether the job is the same; False if another one was begun that left nothing, or nothing worth keeping."""
        if self.records and not resume:
            raise StateError(
                f"{self.path}: holds {len(self.records)} finished sequence(s) already; resume from them (--resume), "
                "or give another journal"
            )
        there, here = (
            {name: value for name, value in configuration.items() if name not in self._may_differ}
            for configuration in (known, self._configuration)
        )
        unlike = list(differences(there, here))
        if unlike and resume and not replace:
            raise StateError(
                f"{self.path}: is of another job ({shortened(unlike, most=500)}: there / here), expected the same "
                "configuration; give the same options, or another journal"
            )
        return not unlike

    def _require_file(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise DatasetError(f"{self.path}: is a pipe or a device, expected a file", path=self.path)

    def _lock(self) -> None:
        if not HAS_LOCKS:
            warnings.warn(
                f"{self.path}: cannot be locked against other processes on this system; start only one that writes it",
                FlameWarning,
                stacklevel=6,
            )
            return
        try:
            if not try_lock(self._file):
                raise StateError(f"{self.path}: is being written by another process, expected one at a time")
        except OSError as error:  # some file systems have no locks
            raise DatasetError(
                f"{self.path}: cannot be locked against other processes: {error.strerror or error}; put the journal on "
                "another file system",
                path=self.path,
            ) from error

    def _unwritable(self, error: OSError) -> DatasetError:
        return DatasetError(f"{self.path}: cannot be written: {error.strerror or error}", path=self.path)


def differences(there: Mapping[str, Any], here: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Yield where two configurations differ and what they hold there, as text.

    Examples
    --------
    >>> list(differences({"stream": {"queue": 1, "workers": 1}}, {"stream": {"queue": 2, "workers": 1}}))
    ['stream.queue: 1 / 2']
    """
    for name in sorted(there.keys() | here.keys()):
        one, other = there.get(name), here.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from differences(one, other, f"{place}{name}.")
        elif one != other:
            yield f"{place}{name}: {_short(one)} / {_short(other)}"


def read_journal(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the configuration and the records of a journal, which stays as it is; a line that was cut is left out.

    Raises
    ------
    DatasetError
        If it cannot be read.
    StateError
        If it is not a journal, or damaged.
    """
    file = check_path(path)
    return parse_journal(_content_of(file), file)


def parse_journal(content: bytes, file: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what :func:`read_journal` does, of the content of a journal; ``file`` is its name in messages.

    Raises
    ------
    StateError
        If it is not a journal, or damaged.
    """
    configuration, records, _ = _parsed(content, file)
    if configuration is None:
        raise StateError(f"{file}: is empty, expected {_FORMAT!r}")
    return configuration, records


def is_begun(path: str | os.PathLike[str]) -> bool:
    """Whether a job has left more in a journal than a first line that was cut, or no file at all.

    Raises
    ------
    DatasetError, StateError
        As :func:`read_journal` does.
    """
    file = check_path(path)
    return file.exists() and _parsed(_content_of(file), file)[0] is not None


def _content_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror or error}", path=file) from error


def _parsed(
    content: bytes, path: str | os.PathLike[str]
) -> tuple[dict[str, Any] | None, dict[str, dict[str, Any]], int]:
    """Return the configuration (None if there is no line), the records, and how many bytes are whole lines."""
    configuration: dict[str, Any] | None = None
    records: dict[str, dict[str, Any]] = {}
    position = 0
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        record = _record(line)
        if record is None:
            foreign = number == 1 and not line.startswith(_BEGINNING[: len(line)])
            if foreign:
                raise StateError(f"{path}: is not a journal, expected {_FORMAT!r}; give another file")
            if position + len(line) < len(content) or (line.endswith(b"\n") and number == 1):
                raise StateError(
                    f"{path}: line {number} is damaged, or this is not a journal; lines after it cannot be trusted: "
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


def _configuration(record: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
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
    return text if len(text) <= 40 else f"{text[:37]}..."


def _sync_folder(folder: Path) -> None:
    """Put the name of a new file on the disk too, where folders can be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
