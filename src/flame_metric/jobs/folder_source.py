"""Label maps of predictions and labels that lie in folders: each file is decoded once, by a few threads."""

from __future__ import annotations

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
from flame_metric.jobs.pipeline import FrameMaps, in_order
from flame_metric.jobs.plan import ClipPlan

__all__ = ["Files", "FolderSource"]

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
    """

    pred_map: LabelLookup | None = None
    label_map: LabelLookup | None = None
    pred_prefix: str = ""
    pred_suffix: str = ""
    label_prefix: str = ""
    label_suffix: str = ""
    step: int | None = None

    def scan(
        self, predictions: str | os.PathLike[str], labels: str | os.PathLike[str]
    ) -> tuple[LabelFolder, LabelFolder]:
        """Find the files of both folders."""
        return (
            LabelFolder.scan(predictions, prefix=self.pred_prefix, suffix=self.pred_suffix, lookup=self.pred_map),
            LabelFolder.scan(labels, prefix=self.label_prefix, suffix=self.label_suffix, lookup=self.label_map),
        )

    def describe(self, predictions: LabelFolder, labels: LabelFolder) -> dict[str, list[str]]:
        """Return what tells one evaluation from another, wherever its folders lie."""
        return {
            "predictions": [predictions.name, self.pred_prefix, self.pred_suffix, repr(self.pred_map)],
            "labels": [labels.name, self.label_prefix, self.label_suffix, repr(self.label_map)],
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
    """

    preds: LabelFolder
    labels: LabelFolder
    space: LabelSpace
    skip: bool = False

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
        labels = None if label is None else self._code(self.labels, label, held, None)
        shape = None if labels is None else labels.shape
        return FrameMaps(frame, None if pred is None else self._code(self.preds, pred, held, shape), labels)

    def _code(self, folder: LabelFolder, file: LabelFile, held: _Contents, shape: tuple[int, int] | None) -> CodedMap:
        argument = "target" if folder is self.labels else "pred"
        content = held.get(file)
        if isinstance(content, DatasetError):
            raise content
        labels = folder.read(file, content=content, shape=shape, scores=argument == "pred")
        try:
            return code_map(labels, self.space, argument=argument)
        except (LabelError, ShapeError) as error:
            raise DatasetError(f"{file}: {error}", path=file) from error


def _file(file: LabelFile | str | None) -> LabelFile | None:
    """Return a file of a clip that was made from folders, where no map comes from elsewhere."""
    return Path(file) if isinstance(file, str) else file


def _forget_contents(error: BaseException) -> None:
    """Let go of what the frames of a traceback hold: an error may be kept for long, and contents are large."""
    chain: BaseException | None = error
    while chain is not None:
        clear_frames(chain.__traceback__)
        chain = chain.__cause__ or chain.__context__


def _stored(frame: Frame) -> list[StoredFile]:
    return [file for file in (frame.label, frame.pred) if isinstance(file, StoredFile)]


def _versions(files: Sequence[StoredFile]) -> dict[StoredFile, str]:
    """Return what tells whether files have changed, of which a server may have to be asked for each."""
    with reading_threads(READERS) as (pool, stop):
        return {
            file: found.version
            for file, found in zip(files, pool.map(lambda file: file.measure(stop), files), strict=True)
        }


def _stamp(file: LabelFile, versions: Mapping[StoredFile, str]) -> tuple[str | int, ...]:
    """Return what tells whether a file has changed: its name and version, or its name, size and time."""
    if isinstance(file, StoredFile):
        return file.name, versions[file]
    try:
        found = file.stat()
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read: {error.strerror or error}", path=file) from error
    return file.name, found.st_size, found.st_mtime_ns
