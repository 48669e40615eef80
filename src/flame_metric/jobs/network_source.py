"""Label maps that a network makes while it runs: frames are read ahead by a few threads, and go through it in order.

The network runs in one thread, one frame at a time. Reading, checking and what is done with its outputs happen in
others, so none of it is waited for as long as the network is slower.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flame_metric.core.labels import CodedMap, LabelMaps, LabelSpace, code_map
from flame_metric.data.folders import Frame
from flame_metric.data.videos import VideoSequence
from flame_metric.errors import DatasetError, blaming, located, quoted
from flame_metric.jobs.pipeline import FrameMaps, digest_of_clip, in_order
from flame_metric.jobs.plan import ClipPlan
from flame_metric.networks.network import Network, input_frames, read_input, stack_frames

__all__ = ["NetworkSource", "OnOutput", "code_output", "copy_output"]

Image = npt.NDArray[np.uint8]
_READERS = 4  # threads that decode frames again, for a journal
OnOutput = Callable[[VideoSequence, int, npt.NDArray[np.uint16]], object]
"""Called with a video, the number of a frame, the label map (H, W) scored for it (void: C), in any thread."""


def copy_output(output: LabelMaps) -> LabelMaps:
    """Return a copy of an output, as it is now: a network may write its next output over it."""
    if hasattr(output, "detach"):  # PyTorch is not imported here
        return output.detach().clone()
    return output.copy() if isinstance(output, np.ndarray) else np.array(output)


def code_output(output: LabelMaps, space: LabelSpace) -> npt.NDArray[np.uint16]:
    """Return the label map that is scored for an output of a network: classes 0..C-1, C for void.

    Raises
    ------
    LabelError, ShapeError
        If it is not a label map (H, W) and no scores (C, H, W).
    """
    return _pixels(code_map(output, space))


def _pixels(coded: CodedMap) -> npt.NDArray[np.uint16]:
    return coded.pixels().reshape(coded.shape)


@dataclass(frozen=True)
class NetworkSource:
    """Runs a network on the frames of a plan.

    Attributes
    ----------
    network : Network
    videos : Mapping of str to sequence of VideoSequence
        The parts of each recording, in order, by its name.
    space : LabelSpace
    outputs : sequence of callable
        What else is done with each label map.
    skip : bool
        Whether a frame that cannot be read comes with its error.
    hashed : bool
        Whether frames come with digests of their pixels and labels, for a journal.
    """

    network: Network
    videos: Mapping[str, Sequence[VideoSequence]]
    space: LabelSpace
    outputs: Sequence[OnOutput] = ()
    skip: bool = False
    hashed: bool = False

    def fingerprint(self, plan: ClipPlan) -> str:
        """Return a digest of the names of a clip's frames."""
        return plan.digest

    def content(self, plan: ClipPlan) -> str:
        """Return a digest of the frames and labels of a clip, which are decoded again; the network is not run.

        Raises
        ------
        DatasetError
            If one cannot be read.
        """
        tasks = [_make_task(self.videos[plan.clip.name], frame) for frame in plan.read]

        def digest(task: _Task) -> str:
            shown = input_frames(task.index, self.network.frames)
            return _digest(stack_frames({index: task.video.frames[index] for index in shown}, shown), task.target())

        with ThreadPoolExecutor(_READERS) as pool:
            return digest_of_clip(pool.map(digest, tasks))

    def listing(self, plans: Sequence[ClipPlan]) -> dict[str, str]:
        """Return nothing: what predictions are made from is in the configuration of a journal."""
        return {}

    def maps(
        self, frames: Sequence[tuple[ClipPlan, Frame]], pool: ThreadPoolExecutor, ahead: int
    ) -> Generator[FrameMaps]:
        """Yield the maps of each frame, in order."""
        tasks = (_make_task(self.videos[plan.clip.name], frame) for plan, frame in frames)

        def finished() -> Iterator[tuple[_Task, Future[FrameMaps]]]:
            with self.network.runner.context():
                for item in self._read(tasks, pool, ahead):
                    yield item.task, pool.submit(self._finish, item, self._run(item))

        for _, maps in in_order(finished(), ahead):
            yield maps

    def _read(self, tasks: Iterable[_Task], pool: ThreadPoolExecutor, ahead: int) -> Iterator[_Input]:
        """Read frames and labels ahead of the network; a frame that several inputs show is read once."""
        waiting: deque[tuple[_Task, Future[Any], dict[int, Future[Image]]]] = deque()
        images: dict[int, Future[Image]] = {}
        video = None
        try:
            for task in tasks:
                if task.video is not video:
                    images, video = {}, task.video
                read = _read_by(pool, video.frames)
                images = read_input(task.index, self.network.frames, read, images)
                waiting.append((task, pool.submit(task.target), images))
                if len(waiting) > ahead:
                    yield self._input(*waiting.popleft())
            while waiting:
                yield self._input(*waiting.popleft())
        finally:
            for _, label, unread in waiting:
                for future in (label, *unread.values()):
                    future.cancel()

    def _input(self, task: _Task, label: Future[Any], images: Mapping[int, Future[Image]]) -> _Input:
        shown = input_frames(task.index, self.network.frames)
        try:
            read = {index: image.result() for index, image in images.items()}
        except DatasetError as error:
            if not self.skip:
                raise
            return _Input(task, label, np.empty((0, 0, 0), np.uint8), error)
        with located(f"sequence {quoted(task.video.name)}"):
            return _Input(task, label, stack_frames(read, shown))

    def _run(self, item: _Input) -> LabelMaps | None:
        if item.error is not None:
            return None
        runner, task = self.network.runner, item.task
        with blaming(f"{self.network.name} failed on frame {task.frame.name} of sequence {quoted(task.video.name)}"):
            return copy_output(runner.run(runner.prepare(item.image)))

    def _finish(self, item: _Input, output: LabelMaps | None) -> FrameMaps:
        video, frame = item.task.video, item.task.frame
        if output is None and item.error is not None:
            return FrameMaps(frame, None, None, item.error)
        try:
            target = item.label.result()
        except DatasetError as error:
            if not self.skip:
                raise
            return FrameMaps(frame, None, None, error)
        with located(f"frame {frame.name} of sequence {quoted(video.name)}"):
            pred = code_map(output, self.space)
            label = None if target is None else code_map(target, self.space, argument="target")
        for use in self.outputs:
            use(video, item.task.index, _pixels(pred))
        return FrameMaps(frame, pred, label, content=_digest(item.image, target) if self.hashed else "")


def _digest(image: Image, target: Any) -> str:
    """Return a digest of an input and its labels, if it has some."""
    found = hashlib.sha256(repr((image.shape, str(image.dtype))).encode())
    found.update(np.ascontiguousarray(image).data)
    if target is not None:
        labels = np.ascontiguousarray(target)
        found.update(repr((labels.shape, str(labels.dtype))).encode())
        found.update(labels.data)
    return found.hexdigest()


def _read_by(pool: ThreadPoolExecutor, frames: Sequence[Image]) -> Callable[[int], Future[Image]]:
    return lambda index: pool.submit(frames.__getitem__, index)


@dataclass(frozen=True)
class _Task:
    """A frame on which the network is to be run."""

    video: VideoSequence
    index: int
    frame: Frame

    def target(self) -> Any:
        return None if self.frame.label is None else self.video.targets[self.index]


def _make_task(parts: Sequence[VideoSequence], frame: Frame) -> _Task:
    part = next(part for part in reversed(parts) if part.start <= frame.index)
    return _Task(part, frame.index - part.start, frame)


class _Input(NamedTuple):
    """An input of the network, and the labels of its newest frame."""

    task: _Task
    label: Future[Any]
    image: Image
    error: DatasetError | None = None
