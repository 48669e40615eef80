"""Reading and counting the frames of a plan: each file is decoded once, by a few threads, and kept while it is needed.

Decoding and array arithmetic run outside the interpreter's lock. What is counted does not depend on the threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from flame_metric.counting import CodedMap, Counts, LabelSpace, code_map, count_coded
from flame_metric.data.folder import Frame, LabelFolder
from flame_metric.errors import DatasetError, LabelError, ShapeError
from flame_metric.offset_counts import NETWORK, PERSISTENCE, OffsetCounts, OffsetCountsBuilder
from flame_metric.plan import ClipPlan, Plan
from flame_metric.schedule import NOTHING_YET

__all__ = ["FolderCounts", "FolderReader", "Progress", "count_folders"]

Progress = Callable[[int, int], None]
"""Called with the number of frames done and of all frames."""


@dataclass
class FolderCounts:
    """What was counted.

    Attributes
    ----------
    scores : dict
        By (score, row) and clip: row NETWORK compares predictions, row PERSISTENCE labels, with later labels.
    banks : dict of str to OffsetCounts
        By clip, where the plan asks for a bank.
    """

    scores: dict[tuple[str, int], dict[str, Counts]] = field(default_factory=dict)
    banks: dict[str, OffsetCounts] = field(default_factory=dict)


class _Maps(NamedTuple):
    """A frame and its label maps, read, checked and coded once."""

    frame: Frame
    pred: CodedMap | None
    label: CodedMap | None


class _Counted(NamedTuple):
    """A labelled frame: its labels against themselves, and by offset what was shown (network, persistence)."""

    frame: int
    own: Counts
    found: Mapping[int, tuple[Counts | None, Counts | None]]


@dataclass(frozen=True)
class FolderReader:
    """Reads and counts single frames.

    Attributes
    ----------
    preds, labels : LabelFolder
    space : LabelSpace
    """

    preds: LabelFolder
    labels: LabelFolder
    space: LabelSpace

    def read(self, frame: Frame) -> _Maps:
        """Read the files of a frame."""
        label = None if frame.label is None else self._code(self.labels, frame.label, None)
        shape = None if label is None else label.shape
        return _Maps(frame, None if frame.pred is None else self._code(self.preds, frame.pred, shape), label)

    def _code(self, folder: LabelFolder, path: Path, shape: tuple[int, int] | None) -> CodedMap:
        argument = "target" if folder is self.labels else "pred"
        labels = folder.read(path, shape=shape, scores=argument == "pred")
        try:
            return code_map(labels, self.space, argument=argument)
        except (LabelError, ShapeError) as error:
            raise DatasetError(f"{path}: {error}", path=path) from error

    def count(self, current: _Maps, shown: Mapping[int, _Maps]) -> _Counted:
        """Count the pairs of which the labels of ``current`` are the target, by their offset."""
        found = {
            offset: (
                self._pair(source.frame.pred, source.pred, current),
                self._pair(source.frame.label, source.label, current),
            )
            for offset, source in shown.items()
        }
        own = found[0][PERSISTENCE]
        if own is None:
            raise AssertionError("unreachable: a labelled frame is compared with itself")
        return _Counted(current.frame.index, own, found)

    def _pair(self, path: Path | None, pred: CodedMap | None, current: _Maps) -> Counts | None:
        if pred is None or current.label is None:
            return None
        try:
            return count_coded(pred, current.label, self.space)
        except ShapeError as error:
            raise DatasetError(f"{path} and {current.frame.label}: {error}", path=path) from error


def count_folders(
    plan: Plan, reader: FolderReader, *, void: bool = False, jobs: int = 1, progress: Progress | None = None
) -> FolderCounts:
    """Count all pairs of a plan.

    Parameters
    ----------
    plan : Plan
    reader : FolderReader
    void : bool
        Whether a labelled frame with nothing on screen yet is missed, and not left out.
    jobs : int
        Threads.
    progress : callable, optional
        Called with (frames done, all frames).
    """
    counts = FolderCounts()
    tallies = [_Tally(clip, counts, reader.space.num_classes, void=void) for clip in plan.clips]
    with ThreadPoolExecutor(jobs) as pool:
        for tally, counted in _in_threads(tallies, reader, pool, jobs + 2, progress):
            tally.add(counted)
    for tally in tallies:
        tally.close()
    return counts


class _Tally:
    """Adds the labelled frames of a clip up, for each score and for the bank."""

    def __init__(self, plan: ClipPlan, counts: FolderCounts, classes: int, *, void: bool) -> None:
        self.plan, self._counts, self._void = plan, counts, void
        self.last_use = plan.last_use
        self._zero = Counts.zero(classes)
        self._nothing = Counts.zero(classes, labelled_frames=1)
        offsets = None if plan.bank_offset is None else plan.bank_offset + 1
        self._builder = None if offsets is None else OffsetCountsBuilder(2, offsets, classes, plan.holes)
        for score in plan.picks(plan.labelled[0].index) if plan.labelled else ():
            for row in (NETWORK, PERSISTENCE):
                counts.scores.setdefault((score, row), {})[plan.clip.name] = self._zero

    def add(self, counted: _Counted) -> None:
        """Add a labelled frame."""
        for score, offset in self.plan.picks(counted.frame).items():
            for row in (NETWORK, PERSISTENCE):
                pair = counted.found[offset][row] if offset in counted.found else None
                if pair is None:
                    pair = counted.own.missed() if offset == NOTHING_YET and self._void else self._nothing
                self._counts.scores[score, row][self.plan.clip.name] += pair
        if self._builder is not None:
            self._builder.add(counted.frame, counted.own, counted.found)

    def close(self) -> None:
        """Keep the counts of the clip for the bank."""
        if self._builder is not None:
            self._counts.banks[self.plan.clip.name] = self._builder.build(self.plan.num_frames)


def _in_threads(
    tallies: Sequence[_Tally], reader: FolderReader, pool: ThreadPoolExecutor, ahead: int, progress: Progress | None
) -> Iterator[tuple[_Tally, _Counted]]:
    """Read and count the clips: each labelled frame in order, with the tally of its clip."""
    frames = [(tally, frame) for tally in tallies for frame in tally.plan.clip.frames if frame.index in tally.last_use]
    pending: deque[tuple[_Tally, Future[_Counted]]] = deque()
    recent: dict[int, _Maps] = {}
    before = None
    try:
        for done, (tally, maps) in enumerate(_read_ahead(frames, reader, pool, ahead), 1):
            index = maps.frame.index
            if tally is not before:
                recent, before = {}, tally
            recent = {past: kept for past, kept in recent.items() if tally.last_use[past] >= index}
            recent[index] = maps
            if maps.label is not None:
                offsets = tally.plan.offsets(index)
                shown = {offset: recent[index - offset] for offset in offsets if index - offset in recent}
                pending.append((tally, pool.submit(reader.count, maps, shown)))
            if len(pending) > ahead:
                first, future = pending.popleft()
                yield first, future.result()
            if progress is not None:
                progress(done, len(frames))
        while pending:
            first, future = pending.popleft()
            yield first, future.result()
    finally:
        for _, future in pending:
            future.cancel()


def _read_ahead(
    frames: Iterable[tuple[_Tally, Frame]], reader: FolderReader, pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[_Tally, _Maps]]:
    waiting: deque[tuple[_Tally, Future[_Maps]]] = deque()
    try:
        for tally, frame in frames:
            waiting.append((tally, pool.submit(reader.read, frame)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
