"""Label maps of predictions and labels that lie in folders: each file is decoded once, by a few threads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flame_metric.clip_counts import FrameMaps, in_order
from flame_metric.counting import CodedMap, LabelSpace, code_map
from flame_metric.data.folder import Frame, LabelFolder
from flame_metric.errors import DatasetError, LabelError, ShapeError
from flame_metric.plan import ClipPlan

__all__ = ["FolderSource"]


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
    ) -> Iterator[FrameMaps]:
        """Yield the maps of each frame, in order."""
        for _, maps in in_order(((frame, pool.submit(self._read, frame)) for _, frame in frames), ahead):
            yield maps

    def fingerprint(self, plan: ClipPlan) -> str:
        """Return a digest of the names, sizes and times of a clip's files."""
        digest = hashlib.sha256(plan.digest.encode())
        for frame in plan.clip.frames:
            files = [None if path is None else _stamp(Path(path)) for path in (frame.pred, frame.label)]
            digest.update(json.dumps(files).encode())
        return digest.hexdigest()

    def _read(self, frame: Frame) -> FrameMaps:
        try:
            return self._maps(frame)
        except DatasetError as error:
            if not self.skip:
                raise
            return FrameMaps(frame, None, None, error)

    def _maps(self, frame: Frame) -> FrameMaps:
        label = None if frame.label is None else self._code(self.labels, Path(frame.label), None)
        shape = None if label is None else label.shape
        return FrameMaps(frame, None if frame.pred is None else self._code(self.preds, Path(frame.pred), shape), label)

    def _code(self, folder: LabelFolder, path: Path, shape: tuple[int, int] | None) -> CodedMap:
        argument = "target" if folder is self.labels else "pred"
        labels = folder.read(path, shape=shape, scores=argument == "pred")
        try:
            return code_map(labels, self.space, argument=argument)
        except (LabelError, ShapeError) as error:
            raise DatasetError(f"{path}: {error}", path=path) from error


def _stamp(path: Path) -> tuple[str, int, int]:
    """Return name, size and time of a file."""
    try:
        found = path.stat()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
    return path.name, found.st_size, found.st_mtime_ns
