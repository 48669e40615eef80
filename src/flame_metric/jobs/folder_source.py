"""Label maps of predictions and labels that lie in folders: each file is decoded once, by a few threads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from traceback import clear_frames

from flame_metric.core.labels import CodedMap, LabelSpace, code_map
from flame_metric.data.folders import Frame, LabelFile, LabelFolder
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.stored import READERS, StoredFile, read_ahead, reading_threads
from flame_metric.errors import DatasetError, LabelError, ShapeError
from flame_metric.jobs.pipeline import FrameMaps, digest_of_clip, in_order
from flame_metric.jobs.plan import ClipPlan

__all__ = ["Files", "FolderSource"]

_SAMPLE = 16  # files of each side whose content is looked at for a listing
_MOST_AT_ONCE = 2**30  # bytes: files that are larger are hashed after they were read

_Contents = Mapping[LabelFile, bytes | DatasetError]
"""What files hold that do not lie on disk, or why that could not be fetched."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """How the files of two folders are named, and what their labels mean.

    Attributes
    ----------
    pred_map, label_map : LabelLookup, optional
        From labels in the files to classes.
    pred_prefix, pred_suffix, label_prefix, label_suffix : str
        What file names begin and end with beside the frame's name.
    step : int, optional
        Difference of frame numbers from one step to the next; default: as :func:`~flame_metric.data.folders.find_step`
        finds it.
    frame_number : str, optional
        A regular expression whose one group is the frame number in a name; what it does not match names the sequence.
        Default: what varies, as :class:`~flame_metric.data.frame_names.FrameNames` finds it.
    """

    pred_map: LabelLookup | None = None
    label_map: LabelLookup | None = None
    pred_prefix: str = ""
    pred_suffix: str = ""
    label_prefix: str = ""
    label_suffix: str = ""
    step: int | None = None
    frame_number: str | None = None

    def scan(
        self, predictions: str | os.PathLike[str], labels: str | os.PathLike[str]
    ) -> tuple[LabelFolder, LabelFolder]:
        """Find the files of both folders."""
        return (
            LabelFolder.scan(predictions, prefix=self.pred_prefix, suffix=self.pred_suffix, lookup=self.pred_map),
            LabelFolder.scan(labels, prefix=self.label_prefix, suffix=self.label_suffix, lookup=self.label_map),
        )

    def describe(self, predictions: LabelFolder, labels: LabelFolder) -> dict[str, list[str]]:
        """Return what distinguishes one evaluation from another, wherever its folders lie."""
        pattern = [] if self.frame_number is None else [self.frame_number]
        return {
            "predictions": [predictions.name, self.pred_prefix, self.pred_suffix, repr(self.pred_map), *pattern],
            "labels": [labels.name, self.label_prefix, self.label_suffix, repr(self.label_map), *pattern],
        }


@dataclass(frozen=True)
class FolderSource:
    """Reads the frames of a plan.

    Attributes
    ----------
    preds, labels : LabelFolder
    space : LabelSpace
    skip : bool
        Whether a frame whose files cannot be read comes with its error.
    hashed : bool
        Whether frames come with digests of their files, for a journal.
    """

    preds: LabelFolder
    labels: LabelFolder
    space: LabelSpace
    skip: bool = False
    hashed: bool = False

    def maps(
        self, frames: Sequence[tuple[ClipPlan, Frame]], pool: ThreadPoolExecutor, ahead: int
    ) -> Generator[FrameMaps]:
        """Yield the maps of each frame, in order."""
        with closing(self._begun([frame for _, frame in frames], pool)) as begun:
            for _, maps in in_order(begun, ahead):
                yield maps

    def fingerprint(self, plan: ClipPlan) -> str:
        """Return a digest of the names, sizes and times of a clip's files."""
        digest = hashlib.sha256(plan.digest.encode())
        files = [(_file(frame.pred), _file(frame.label)) for frame in plan.clip.frames]
        stored = [file for both in files for file in both if isinstance(file, StoredFile)]
        versions = _versions(stored) if stored else {}
        for both in files:
            digest.update(json.dumps([file if file is None else _stamp(file, versions) for file in both]).encode())
        return digest.hexdigest()

    def content(self, plan: ClipPlan) -> str:
        """Return a digest of what the files of a clip hold; of those on a server, what it says of them is in the other.

        Raises
        ------
        DatasetError
            If one cannot be read.
        """
        files = [_files(frame) for frame in plan.read]
        with reading_threads(READERS) as (pool, _):
            return digest_of_clip(pool.map(lambda both: "".join(map(_digest_of_file, both)), files))

    def listing(self, plans: Sequence[ClipPlan]) -> dict[str, str]:
        """Return digests of the names and sizes of predictions and labels, and of what a few of the files hold.

        Copies of the folders have the same, whatever their times; other outputs of equal size have others.
        """
        frames = [(plan.clip.name, frame) for plan in plans for frame in plan.clip.frames]
        return {
            "predictions": _listing([(name, file) for name, frame in frames if (file := _file(frame.pred))]),
            "labels": _listing([(name, file) for name, frame in frames if (file := _file(frame.label))]),
        }

    def _begun(self, frames: Sequence[Frame], pool: ThreadPoolExecutor) -> Generator[tuple[Frame, Future[FrameMaps]]]:
        """Begin to read frames; those of their files that do not lie on disk are fetched ahead."""
        if isinstance(self.preds.root, Path) and isinstance(self.labels.root, Path):
            yield from ((frame, pool.submit(self._read, frame, {})) for frame in frames)
            return

        def decode(frame: Frame, contents: list[bytes | DatasetError]) -> Future[FrameMaps]:
            return pool.submit(self._read, frame, dict(zip(_stored(frame), contents, strict=True)))

        with closing(read_ahead(((frame, _stored(frame)) for frame in frames), decode)) as begun:
            yield from begun

    def _read(self, frame: Frame, held: dict[LabelFile, bytes | DatasetError]) -> FrameMaps:
        try:
            return self._maps(frame, held)
        except DatasetError as error:
            held.clear()
            _forget_contents(error)
            if not self.skip:
                raise
            return FrameMaps(frame, None, None, error)

    def _maps(self, frame: Frame, held: _Contents) -> FrameMaps:
        pred, label = _file(frame.pred), _file(frame.label)
        labels, digest = (None, "") if label is None else self._code(self.labels, label, held, None)
        shape = None if labels is None else labels.shape
        coded, other = (None, "") if pred is None else self._code(self.preds, pred, held, shape)
        return FrameMaps(frame, coded, labels, content=digest + other)

    def _code(
        self, folder: LabelFolder, file: LabelFile, held: _Contents, shape: tuple[int, int] | None
    ) -> tuple[CodedMap, str]:
        """Return what a file holds, and the digest of it that is kept."""
        argument = "target" if folder is self.labels else "pred"
        content = held.get(file)
        if isinstance(content, DatasetError):
            raise content
        if self.hashed and content is None and isinstance(file, Path) and _size(file) <= _MOST_AT_ONCE:
            content = _content_of(file)  # read once: what is hashed is what is counted
        labels = folder.read(file, content=content, shape=shape, scores=argument == "pred")
        try:
            coded = code_map(labels, self.space, argument=argument)
        except (LabelError, ShapeError) as error:
            raise DatasetError(f"{file}: {error}", path=file) from error
        return coded, _digest_of_file(file, content) if self.hashed else ""


def _file(file: LabelFile | str | None) -> LabelFile | None:
    """Return a file of a clip that was made from folders, where no map comes from elsewhere."""
    return Path(file) if isinstance(file, str) else file


def _files(frame: Frame) -> list[LabelFile]:
    """Return the files of a frame in the order in which they are read."""
    return [file for file in (_file(frame.label), _file(frame.pred)) if file is not None]


def _size(file: LabelFile) -> int:
    """Return how many bytes a file has; -1 if that is not known, or it cannot be read."""
    if isinstance(file, StoredFile):
        return -1 if file.size is None else file.size
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _content_of(file: Path) -> bytes | None:
    """Return what a file holds; None if it cannot be read: its reader says why."""
    try:
        return file.read_bytes()
    except OSError:
        return None


def _digest_of_file(file: LabelFile, content: bytes | None = None) -> str:
    """Return a digest of what a file holds; "" where it lies on a server, which gives its version."""
    if isinstance(file, StoredFile):
        if not file.folder.is_local:
            return ""
        content = file.read() if content is None else content
    try:
        if content is not None:
            return hashlib.sha256(content).hexdigest()
        with Path(file).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror or error}", path=file) from error


def _listing(files: Sequence[tuple[str, LabelFile]]) -> str:
    digest = hashlib.sha256()
    for name, file in files:
        digest.update(json.dumps([name, file.name, _size(file)]).encode())
    for index in sorted({number * len(files) // _SAMPLE for number in range(_SAMPLE)} if files else ()):
        _, file = files[index]
        with contextlib.suppress(DatasetError):  # whoever counts it will say so
            digest.update(_digest_of_file(file).encode())
    return digest.hexdigest()


def _forget_contents(error: BaseException) -> None:
    """Let go of what the frames of a traceback hold: an error may be kept for long, and contents are large."""
    chain: BaseException | None = error
    while chain is not None:
        clear_frames(chain.__traceback__)
        chain = chain.__cause__ or chain.__context__


def _stored(frame: Frame) -> list[StoredFile]:
    return [file for file in (frame.label, frame.pred) if isinstance(file, StoredFile)]


def _versions(files: Sequence[StoredFile]) -> dict[StoredFile, str]:
    """Return what shows whether files have changed, of which a server may have to be asked for each."""
    with reading_threads(READERS) as (pool, stop):
        return {
            file: found.version
            for file, found in zip(files, pool.map(lambda file: file.measure(stop), files), strict=True)
        }


def _stamp(file: LabelFile, versions: Mapping[StoredFile, str]) -> tuple[str | int, ...]:
    """Return what shows whether a file has changed: its name and version, or its name, size and time."""
    if isinstance(file, StoredFile):
        return file.name, versions[file]
    try:
        found = file.stat()
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror or error}", path=file) from error
    return file.name, found.st_size, found.st_mtime_ns
