"""Counting the frames of a plan: each is read once, in order, and kept while it is needed.

Where predictions come from is a *source*: files, or a network that runs. Decoding and array arithmetic run in a few
threads, outside the interpreter's lock. What is counted does not depend on them.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from flame_metric.core.counting import Counts, count_coded
from flame_metric.core.iou import mean_iou
from flame_metric.core.labels import CodedMap, LabelSpace
from flame_metric.core.schedule import NOTHING_YET
from flame_metric.data.folders import Frame, LabelFile
from flame_metric.errors import DatasetError, ShapeError
from flame_metric.jobs.plan import FLAME, ClipPlan
from flame_metric.scores.offset_counts import NETWORK, PERSISTENCE, OffsetCounts, OffsetCountsBuilder
from flame_metric.scores.pairs import Line

__all__ = ["CountedClip", "FrameMaps", "Progress", "Source", "count_clips", "digest_of_clip", "in_order"]

T = TypeVar("T")
U = TypeVar("U")
Progress = Callable[[int, int, str], object]
"""Called with the number of frames done and of all frames, and the FLAME score so far."""


@dataclass(frozen=True)
class CountedClip:
    """What was counted of one clip.

    Attributes
    ----------
    scores : Mapping of (str, int) to Counts
        By (score, row): row NETWORK compares predictions, row PERSISTENCE labels, with later labels.
    num_frames : int
        From its first to its last frame, holes included.
    labelled : tuple of int
        Its labelled frames.
    without_own : tuple of str
        Those that have no prediction of their own, as ``"<clip>/<frame>"``.
    bank : OffsetCounts or None
        Where the plan asks for a bank.
    sizes : tuple of (int, int)
        (H, W) of its frames, each once, ascending.
    content : str
        A digest of what its files hold, where the source makes one; else "".
    voids : (bool, bool)
        Whether some prediction and some label map hold void pixels.
    error : DatasetError or None
        Why it was not counted to its end, where that is allowed; there are no counts then.
    """

    scores: Mapping[tuple[str, int], Counts]
    num_frames: int
    labelled: tuple[int, ...]
    without_own: tuple[str, ...] = ()
    bank: OffsetCounts | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    content: str = ""
    voids: tuple[bool, bool] = (False, False)
    error: DatasetError | None = None


class FrameMaps(NamedTuple):
    """A frame and its label maps, read, checked and coded once; or why it could not be read, where that is allowed.

    ``content`` is a digest of its files, where the source makes one.
    """

    frame: Frame
    pred: CodedMap | None
    label: CodedMap | None
    error: DatasetError | None = None
    content: str = ""


class Source(Protocol):
    """Where the label maps of frames come from."""

    def maps(
        self, frames: Sequence[tuple[ClipPlan, Frame]], pool: ThreadPoolExecutor, ahead: int
    ) -> Generator[FrameMaps]:
        """Yield the maps of each frame, in order; ``ahead`` is how many may be read before they are asked for."""

    def fingerprint(self, plan: ClipPlan) -> str:
        """Return a text that changes with the names, sizes and times of what would be counted for a clip."""

    def content(self, plan: ClipPlan) -> str:
        """Return :func:`digest_of_clip` of what the files of a clip hold now; "" where none is made."""

    def listing(self, plans: Sequence[ClipPlan]) -> dict[str, str]:
        """Return texts that change with the files of all clips, wherever they lie, by what they are of."""


def digest_of_clip(frames: Iterable[str]) -> str:
    """Return a digest of the digests of the frames of a clip, in order; "" if there are none."""
    digests = [frame for frame in frames if frame]
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else ""


class _Counted(NamedTuple):
    """A labelled frame: its labels against themselves, and by offset what was shown (network, persistence)."""

    frame: int
    own: Counts
    found: Mapping[int, tuple[Counts | None, Counts | None]]


@dataclass(frozen=True)
class _Counter:
    """Counts the pairs of one labelled frame."""

    space: LabelSpace
    skip: bool = False

    def __call__(self, current: FrameMaps, shown: Mapping[int, FrameMaps]) -> _Counted | DatasetError | None:
        """Count a frame; None without labels. An error is returned if clips that have one are to be skipped."""
        if current.error is not None or current.label is None:
            return current.error
        try:
            return self._count(current, shown)
        except DatasetError as error:
            if not self.skip:
                raise
            return error

    def _count(self, current: FrameMaps, shown: Mapping[int, FrameMaps]) -> _Counted:
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

    def _pair(self, path: LabelFile | str | None, pred: CodedMap | None, current: FrameMaps) -> Counts | None:
        if pred is None or current.label is None:
            return None
        try:
            return count_coded(pred, current.label, self.space)
        except ShapeError as error:
            where = None if isinstance(path, str) else path
            raise DatasetError(f"{path} and {current.frame.label}: {error}", path=where) from error


def count_clips(
    clips: Sequence[ClipPlan],
    source: Source,
    space: LabelSpace,
    *,
    void: bool = False,
    skip: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Generator[tuple[str, CountedClip]]:
    """Count all pairs of some clips, and yield each clip with its name when it is finished, in their order.

    Parameters
    ----------
    clips : sequence of ClipPlan
    source : Source
    space : LabelSpace
    void : bool
        Whether a labelled frame with nothing on screen yet is missed, and not left out.
    skip : bool
        Whether a clip with a file that is damaged is given up, and the others are counted.
    jobs : int
        Threads.
    progress : callable, optional
        Called with (frames done, all frames, the FLAME score so far).
    """
    tallies = [_Tally(clip, space, void=void) for clip in clips]
    flame = Counts.zero(space.num_classes)
    frames = [(tally, frame) for tally in tallies for frame in tally.plan.read]
    unfinished = deque(tallies)
    with (
        ThreadPoolExecutor(jobs) as pool,
        closing(_in_threads(frames, source, _Counter(space, skip), pool, jobs + 2)) as in_threads,
    ):
        for done, (tally, counted) in enumerate(in_threads, start=1):
            while unfinished[0] is not tally:
                yield unfinished.popleft().close()
            if isinstance(counted, DatasetError):
                tally.error = tally.error or counted
            elif counted is not None:
                flame += tally.add(counted)
            if progress is not None:
                progress(done, len(frames), f"FLAME {mean_iou(flame.per_class):.3f}" if flame.pairs else "")
    for tally in unfinished:
        yield tally.close()


class _Tally:
    """Adds the labelled frames of a clip up, for each score and for the bank."""

    def __init__(self, plan: ClipPlan, space: LabelSpace, *, void: bool) -> None:
        classes = space.num_classes
        self.plan, self._void = plan, void
        self.line: Line[FrameMaps] = Line(plan)
        self.error: DatasetError | None = None
        self.contents: list[str] = []
        self._sizes: set[tuple[int, int]] = set()
        self._space, self._voids = space, (False, False)
        self._nothing = Counts.zero(classes, labelled_frames=1)
        offsets = None if plan.bank_offset is None else plan.bank_offset + 1
        self._builder = None if offsets is None else OffsetCountsBuilder(2, offsets, classes, plan.is_hole)
        names = plan.picks(plan.labelled[0].index) if plan.labelled else ()
        self._scores = {(score, row): Counts.zero(classes) for score in names for row in (NETWORK, PERSISTENCE)}

    def look(self, maps: FrameMaps) -> None:
        """Note the sizes of a frame's maps, and whether they hold void pixels."""
        self._sizes.update(found.shape for found in (maps.pred, maps.label) if found is not None)
        if self._space.ignore_index is not None:
            void = self._space.num_classes
            pred, label = (
                seen or (found is not None and bool((found.labels == void).any()))
                for seen, found in zip(self._voids, (maps.pred, maps.label), strict=True)
            )
            self._voids = pred, label

    def add(self, counted: _Counted) -> Counts:
        """Add a labelled frame; return what it adds to FLAME."""
        added = {
            (score, row): self._pair(counted, offset, row)
            for score, offset in self.plan.picks(counted.frame).items()
            for row in (NETWORK, PERSISTENCE)
        }
        for key, pair in added.items():
            self._scores[key] += pair
        if self._builder is not None:
            self._builder.add(counted.frame, counted.own, counted.found)
        return added[FLAME, NETWORK]

    def _pair(self, counted: _Counted, offset: int, row: int) -> Counts:
        pair = counted.found[offset][row] if offset in counted.found else None
        if pair is not None:
            return pair
        return counted.own.missed() if offset == NOTHING_YET and self._void else self._nothing

    def close(self) -> tuple[str, CountedClip]:
        """Return the name of the clip and its counts."""
        plan = self.plan
        if self.error is not None:
            return plan.clip.name, CountedClip({}, plan.num_frames, (), error=self.error)
        return plan.clip.name, CountedClip(
            self._scores,
            plan.num_frames,
            tuple(frame.index for frame in plan.labelled),
            tuple(f"{plan.clip.name}/{frame.name}" for frame in plan.labelled if not frame.pred),
            None if self._builder is None else self._builder.build(plan.num_frames),
            tuple(sorted(self._sizes)),
            digest_of_clip(self.contents),
            self._voids,
        )


def _in_threads(
    frames: Sequence[tuple[_Tally, Frame]], source: Source, counter: _Counter, pool: ThreadPoolExecutor, ahead: int
) -> Generator[tuple[_Tally, _Counted | DatasetError | None]]:
    """Read and count frames in order, each with the tally of its clip; None where a frame has no labels."""

    def counts() -> Iterator[tuple[_Tally, Future[_Counted | DatasetError | None]]]:
        for (tally, frame), maps in zip(frames, read, strict=True):
            tally.contents.append(maps.content)
            tally.look(maps)
            shown, tally.line = tally.line.step(maps, frame=frame.index, labelled=maps.label is not None)
            given = {frame.index - source: held for source, held in shown.items() if held is not None}
            yield tally, pool.submit(counter, maps, given)

    # Closed at once, not when the traceback of an error is forgotten: what reads ahead holds threads and memory.
    with closing(source.maps([(tally.plan, frame) for tally, frame in frames], pool, ahead)) as read:
        yield from in_order(counts(), ahead)


def in_order(items: Iterable[tuple[T, Future[U]]], ahead: int) -> Iterator[tuple[T, U]]:
    """Yield results in order while up to ``ahead`` later ones are computed; at the end, cancel those not begun."""
    waiting: deque[tuple[T, Future[U]]] = deque()
    try:
        for item in items:
            waiting.append(item)
            if len(waiting) > ahead:
                key, future = waiting.popleft()
                yield key, future.result()
        while waiting:
            key, future = waiting.popleft()
            yield key, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
