"""Videos whose frames are image files: frames and label maps paired by name, and cut where frames are missing.

A frame's name is the stem of its file without a given prefix and suffix; its label map is the file of that name in
another folder. A frame without one is unlabelled; a label map without a frame is an error.

A name holds a *number*, in data sets that are known by name its last digits, and numbers count in *steps* (folders.py).
Where neighbours are not one step apart, frames are missing: a recording is cut there into *runs*, videos of their own
that know their places on its timeline, so that nothing that goes from frame to frame goes across a hole.

Where the rate of the numbers was recorded, as in the data sets that are known by name, each video has a step of its
own, and its frame rate is that of the numbers / step, unless one is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import Fps, as_fps
from flame_metric.data.folders import files_by_frame, vote_step
from flame_metric.data.frame_names import FrameName, split_name
from flame_metric.data.images import FRAME_EXTENSIONS, read_frame_image
from flame_metric.data.paths import check_folder, is_folder
from flame_metric.data.videos import OnAccess, VideoSequence
from flame_metric.errors import DatasetError, quoted, shortened

__all__ = [
    "FileFolder",
    "FrameFile",
    "FrameRun",
    "LabelReader",
    "cut_into_runs",
    "open_numbered_videos",
    "pair_files",
    "pair_folders",
    "rate_runs",
    "recordings",
    "runs_of_step",
]

LabelReader = Callable[[Path], npt.NDArray[Any]]
"""Reads a label map as classes. Loading data in other processes needs it to be picklable."""


@dataclass(frozen=True)
class FileFolder:
    """A folder that holds one file a frame.

    Attributes
    ----------
    path : Path
    what : str
        What the files are, for messages: ``"frames"``, ``"label maps"``.
    prefix, suffix : str
        Beginning and end of their names that are not part of the frame's name, the suffix with or without the
        extension; files without them are passed over.
    extensions : tuple of str
        In lower case; other files are passed over.
    """

    path: Path
    what: str
    prefix: str = ""
    suffix: str = ""
    extensions: tuple[str, ...] = FRAME_EXTENSIONS

    def files(self) -> dict[str, Path]:
        """Return the files by the name of their frame, in order.

        Raises
        ------
        DatasetError
            If the folder is missing or cannot be read, or a frame has two files.
        """
        check_folder(self.path, f"a folder of {self.what}")
        try:
            return files_by_frame(self.path, self.prefix, self.suffix, extensions=self.extensions)
        except OSError as error:
            raise DatasetError(f"{self.path}: cannot be read: {error.strerror or error}", path=self.path) from error


@dataclass(frozen=True)
class FrameFile:
    """A frame on disk.

    Attributes
    ----------
    name : str
    image : Path
    label : Path or None
    number : int
    pattern : (str, str)
        What is before and after the number in the name.
    """

    name: str
    image: Path
    label: Path | None
    number: int
    pattern: tuple[str, str]


@dataclass(frozen=True)
class FrameRun:
    """Frames whose numbers rise by a constant step.

    Attributes
    ----------
    name : str
        Of the video that it makes.
    frames : tuple of FrameFile
    step : int
    recording, start
        As :class:`~flame_metric.data.videos.VideoSequence` has them.
    """

    name: str
    frames: tuple[FrameFile, ...]
    step: int
    recording: str | None = None
    start: int = 0

    @property
    def labelled(self) -> list[int]:
        """Which frames have a label map."""
        return [index for index, frame in enumerate(self.frames) if frame.label]

    def frame(self, index: int) -> npt.NDArray[np.uint8]:
        """Read frame 0..n-1."""
        return read_frame_image(self.frames[index].image)

    def target(self, read_label: LabelReader, index: int) -> npt.NDArray[Any] | None:
        """Read the label map of frame 0..n-1, if it has one."""
        label = self.frames[index].label
        return None if label is None else read_label(label)

    def video(self, rate: Fraction, read_label: LabelReader) -> VideoSequence:
        """Return the run as a video, whose frames and labels are read on access.

        Parameters
        ----------
        rate : Fraction
            Steps per second.
        read_label : callable
        """
        return VideoSequence(
            self.name,
            OnAccess(self.frame, len(self.frames)),
            OnAccess(partial(self.target, read_label), len(self.frames), labelled=self.labelled),
            rate,
            frame_names=[frame.name for frame in self.frames],
            recording=self.recording,
            start=self.start,
            step=self.step,
        )


def pair_folders(images: FileFolder, labels: FileFolder) -> list[FrameFile]:
    """Return the frames in a folder with their label maps in another, in the order of their names.

    Raises
    ------
    DatasetError
        If a folder is missing, a label map has no frame, or a name holds no digits.

    Examples
    --------
    >>> import tempfile
    >>> frames, labels = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
    >>> for file in (frames / "0007.jpg", frames / "0008.jpg", labels / "0007_L.png"):
    ...     file.touch()
    >>> pairs = pair_folders(FileFolder(frames, "frames"), FileFolder(labels, "label maps", suffix="_L"))
    >>> [(frame.number, frame.label is not None) for frame in pairs]
    [(7, True), (8, False)]
    """
    return pair_files(images.files(), labels.files(), images.path, labels.path)


def pair_files(
    frames: Mapping[str, Path],
    maps: Mapping[str, Path],
    images: Path,
    labels: Path,
    split: Callable[[str, Path], FrameName] = split_name,
) -> list[FrameFile]:
    """Return frames with their label maps, files by the name of their frame; as :func:`pair_folders` does for folders.

    Parameters
    ----------
    frames, maps : mapping of str to Path
        By the name of the frame.
    images, labels : Path
        Their folders, for messages.
    split : callable
        Takes a name and its file, and reads the number.

    Raises
    ------
    DatasetError
        If a label map has no frame, or a name holds no digits.
    """
    alone = sorted(maps.keys() - frames.keys())
    if alone:
        raise DatasetError(
            f"{images}: has no frame for {len(alone)} of {len(maps)} label map(s) in {labels.name}: {shortened(alone)}",
            path=images,
        )
    found = []
    for name, image in frames.items():
        _, number, pattern = split(name, image)
        found.append(FrameFile(name, image, maps.get(name), number, pattern))
    return found


def recordings(frames: Iterable[FrameFile]) -> dict[tuple[str, str], list[FrameFile]]:
    """Tell recordings apart by what stands around the numbers; frames in the order of their numbers.

    Raises
    ------
    DatasetError
        If a recording has two frames of one number.
    """
    found: dict[tuple[str, str], dict[int, FrameFile]] = {}
    for frame in frames:
        other = found.setdefault(frame.pattern, {}).setdefault(frame.number, frame)
        if other is not frame:
            raise DatasetError(
                f"{frame.image}: is frame {frame.number} of its recording, as {other.image} is, expected it once",
                path=frame.image,
            )
    return {pattern: [frame for _, frame in sorted(by_number.items())] for pattern, by_number in sorted(found.items())}


def runs_of_step(where: Path, runs: Sequence[FrameRun], step: int | None) -> list[FrameRun]:
    """Return the runs of a step that hold several frames, or all if it is None.

    Raises
    ------
    DatasetError
        If there is none; it says which there are.
    """
    chosen = [run for run in runs if step is None or (run.step == step and len(run.frames) > 1)]
    if not chosen:
        counts = Counter(run.step for run in runs if len(run.frames) > 1)
        found = ", ".join(f"{count} of step {size}" for size, count in sorted(counts.items())) or "only single frames"
        raise DatasetError(f"{where}: holds no run of step {step}; it holds {found}", path=where)
    return chosen


def rate_runs(
    where: Path, runs: Sequence[FrameRun], read_label: LabelReader, *, recorded: Fraction, fps: Fps | None
) -> list[VideoSequence]:
    """Return runs as videos.

    Parameters
    ----------
    where : Path
        For messages.
    runs : sequence of FrameRun
    read_label : callable
    recorded : Fraction
        Numbers per second: a video has ``recorded / step`` frames per second.
    fps : int, float, Fraction, Decimal or str, optional
        Steps per second instead, for runs of one step.

    Raises
    ------
    ConfigError
        If there is no such rate.
    DatasetError
        If a rate is given, and runs have unlike steps.
    """
    steps = Counter(run.step for run in runs if len(run.frames) > 1)
    if fps is not None and len(steps) > 1:
        raise DatasetError(
            f"{where}: `fps` is {fps}, but the frame numbers of videos advance by unlike steps ("
            f"{', '.join(map(str, sorted(steps)))}), expected videos of one step for one rate: choose them by `step`",
            path=where,
        )
    rate = None if fps is None else as_fps(fps)
    return [run.video(recorded / run.step if rate is None else rate, read_label) for run in runs]


def open_numbered_videos(
    root: Path,
    folders: Mapping[str, tuple[Path, Path]],
    read_label: LabelReader,
    *,
    recorded: int,
    fps: Fps | None = None,
    step: int | None = None,
) -> tuple[VideoSequence, ...]:
    """Return videos that lie in folders of their own, as files whose names are numbers.

    A video without a hole keeps its name; the runs of another are named after their first and last frames, such as
    ``"street[00000001..00000168]"``. The step of each video is what its numbers vote for
    (:func:`~flame_metric.data.folders.vote_step`).

    Parameters
    ----------
    root : Path
        The folder of the data set, for messages.
    folders : mapping of str to (Path, Path)
        Name of a video -> its folder of frames (PNG or JPEG), and its folder of label maps (PNG).
    read_label : callable
    recorded : int
        Numbers per second.
    fps, step
        As :func:`rate_runs` takes the one; only videos of that step. Videos whose numbers vote for none have to be
        given one, and are then cut into runs of that step, each of them a recording.

    Raises
    ------
    ConfigError
        If there is no such rate or step.
    DatasetError
        If a folder is missing, holds no frame or no label map, labels without a frame, a name that is not a number or a
        number twice; if there is no video of that step, or it is needed and not given.
    """
    if step is not None:
        step = check_integer("step", step, 1)
    for place, what in enumerate(("frames", "label maps")):
        missing = [name for name, paths in folders.items() if not is_folder(paths[place])]
        if missing:
            raise DatasetError(
                f"{root}: has no folder of {what} for {len(missing)} of {len(folders)} video(s): {shortened(missing)}; "
                f"expected one such as {folders[missing[0]][place]}",
                path=root,
            )
    videos = {name: _numbered_frames(*paths) for name, paths in folders.items()}
    votes = {name: vote_step([[frame.number for frame in frames]]) for name, frames in videos.items()}
    known = Counter(vote for vote in votes.values() if vote is not None)
    usual = min(known, key=lambda size: (-known[size], size), default=1)  # that of a video of one frame
    runs: list[FrameRun] = []
    for name, frames in videos.items():
        vote = votes[name]
        if vote is not None or len(frames) == 1:
            runs += cut_into_runs(name, frames, vote or usual) if step in (None, vote) else []
        elif step is not None:
            parts = [run for run in cut_into_runs(name, frames, step) if len(run.frames) > 1 and run.labelled]
            runs += [replace(run, recording=None, start=0) for run in parts]
        else:
            gaps = sorted({after.number - before.number for before, after in pairwise(frames)})
            raise DatasetError(
                f"{root}: the frame numbers of {name} are {', '.join(map(str, gaps[:5]))} apart, expected gaps that "
                "are all multiples of one of them; give the `step` of the videos that are wanted",
                path=root,
            )
    if not runs:
        there = ", ".join(f"{count} of step {size}" for size, count in sorted(known.items())) or "only single frames"
        raise DatasetError(f"{root}: holds no run of step {step}; it holds {there}", path=root)
    return tuple(rate_runs(root, runs, read_label, recorded=Fraction(recorded), fps=fps))


def _numbered_frames(images: Path, labels: Path) -> list[FrameFile]:
    frames = pair_folders(FileFolder(images, "frames"), FileFolder(labels, "label maps", extensions=(".png",)))
    if not frames:
        raise DatasetError(f"{images}: holds no frames, expected PNG or JPEG files named by numbers", path=images)
    if not any(frame.label for frame in frames):
        raise DatasetError(
            f"{labels}: holds no label map for any of {len(frames)} frame(s) in {images.name}, expected some",
            path=labels,
        )
    for frame in frames:
        if frame.pattern != ("", ""):
            raise DatasetError(
                f"{frame.image}: the frame name {quoted(frame.name)} is not a number, expected only digits",
                path=frame.image,
            )
    (found,) = recordings(frames).values()
    return found


def cut_into_runs(name: str, frames: Sequence[FrameFile], step: int) -> Iterator[FrameRun]:
    """Cut a recording wherever neighbours are not one step apart; parts are named after their first and last frames.

    Parameters
    ----------
    name : str
        Of the recording, and of its only part where there is no hole.
    frames : sequence of FrameFile
        In the order of their numbers.
    step : int
    """
    neighbours = enumerate(pairwise(frames), 1)
    starts = [0, *(place for place, (one, other) in neighbours if other.number - one.number != step)]
    for start, stop in pairwise([*starts, len(frames)]):
        part = tuple(frames[start:stop])
        if len(starts) == 1:
            yield FrameRun(name, part, step)
            continue
        place = (part[0].number - frames[0].number) // step
        yield FrameRun(f"{name}[{part[0].name}..{part[-1].name}]", part, step, name, place)
