"""What a run leaves on disk beside its scores: label maps, and pictures of predictions over frames."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.schedule import NOTHING_YET, fixed_source
from flame_metric.core.tables import rate_text
from flame_metric.data.videos import VideoDataset, VideoSequence
from flame_metric.errors import ConfigError, DatasetError, cut, quoted, shortened
from flame_metric.figures.overlays import flame_panels
from flame_metric.figures.palettes import palette
from flame_metric.scores.config import ScoreConfig

__all__ = ["LabelMapFiles", "OverlayFiles", "chosen_frames", "evaluate_line", "output_folder"]

Labels = npt.NDArray[np.uint16]
_CHOSEN_VIDEOS = 4


class LabelMapFiles:
    """Writes label maps as PNG files, ``<folder>/<video>/<frame>.png``, as ``flame-metric evaluate`` reads them.

    Parameters
    ----------
    folder : str or path
        New or empty: label maps of another run among these would be scored with them.
    num_classes : int
    ignore_index : int, optional
        How void is written.
    into : bool
        Whether it may hold files of this run: of what was finished before, or on other machines.

    Raises
    ------
    ConfigError
        If the folder holds something, or labels do not fit into 16 bits.
    OSError
        If it cannot be made.
    MissingExtraError
        If Pillow is not installed.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, num_classes: int, ignore_index: int | None, into: bool = False
    ) -> None:
        self._folder = output_folder(folder, into=into)
        self._write = _png_writer()
        self._void = (
            num_classes if ignore_index is None else check_integer("ignore_index", ignore_index, 0, most=65_535)
        )
        self._num_classes = num_classes
        self._dtype = (
            np.uint8 if max(num_classes - 1, self._void if ignore_index is not None else 0) < 256 else np.uint16
        )

    def __call__(self, video: VideoSequence, frame: int, labels: Labels) -> None:
        """Write the label map of a frame.

        Raises
        ------
        DatasetError
            If the names of video and frame lead out of the folder.
        OSError
            If it cannot be written.
        """
        values = np.where(labels == self._num_classes, self._void, labels).astype(self._dtype)
        recording = video.name if video.recording is None else video.recording
        self._write(_path(self._folder, recording, video.frame_name(frame)), values)


class OverlayFiles:
    """Writes the paper's figures 4 and 5 for chosen frames, ``<folder>/<video>/<frame>.png``.

    Four panels: the prediction of frame j - k over that frame, and over frame j, the current one when it is ready; the
    labels of frame j; and which pixels are wrong there.

    Parameters
    ----------
    folder : str or path
        New or empty.
    dataset : VideoDataset
    frame_offset : int
        k.
    chosen : mapping of str to sequence of int
        By video: labelled frames j.
    into : bool
        As :class:`LabelMapFiles` takes it.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        dataset: VideoDataset,
        *,
        frame_offset: int,
        chosen: Mapping[str, Sequence[int]],
        into: bool = False,
    ) -> None:
        self._folder = output_folder(folder, into=into)
        self._write = _png_writer()
        self._dataset, self._offset = dataset, frame_offset
        self._palette = palette(dataset.class_names)
        self._chosen = {name: frozenset(frames) for name, frames in chosen.items()}
        early = [f"{name}/{min(frames)}" for name, frames in chosen.items() if frames and min(frames) < frame_offset]
        if early:
            raise ConfigError(
                f"overlays of {shortened(early)} are asked for, expected frames with {frame_offset} (k) before them"
            )

    def __call__(self, video: VideoSequence, frame: int, labels: Labels) -> None:
        """Write the picture for which the prediction of a frame is needed, if it is chosen.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        now = frame + self._offset
        if now not in self._chosen.get(video.name, ()):
            return
        void = self._dataset.ignore_index
        shown = labels if void is None else np.where(labels == self._dataset.num_classes, void, labels)
        picture = flame_panels(
            video.frames[frame], video.frames[now], shown, video.targets[now], palette=self._palette, ignore_index=void
        )
        self._write(_path(self._folder, video.name, video.frame_name(now)), picture)


def chosen_frames(dataset: VideoDataset, names: Sequence[str], *, frame_offset: int) -> dict[str, list[int]]:
    """Return labelled frames by video, for :class:`OverlayFiles`.

    Parameters
    ----------
    dataset : VideoDataset
    names : sequence of str
        ``"<video>/<frame>"``, the frame by its name or its number; or none of them: the middle labelled frame of up to
        four videos.
    frame_offset : int
        Frames that must lie before each.

    Raises
    ------
    ConfigError
        If there is no such video, or no such labelled frame in it.
    """
    videos = {video.name: video for video in dataset.sequences}
    chosen: dict[str, list[int]] = {}
    if not names:
        for video in dataset.sequences:
            sources = fixed_source(video.labelled, frame_offset).tolist()
            late = [frame for frame, source in zip(video.labelled, sources, strict=True) if source != NOTHING_YET]
            if late and len(chosen) < _CHOSEN_VIDEOS:
                chosen[video.name] = [late[len(late) // 2]]
        return chosen
    for text in names:
        name, _, frame = text.rpartition("/")
        found = videos.get(name)
        if found is None:
            raise ConfigError(
                f"there is no video {quoted(name)} for {quoted(text)}, expected VIDEO/FRAME of {shortened(videos)}"
            )
        chosen.setdefault(name, []).append(_labelled_frame(found, frame))
    return chosen


def _labelled_frame(video: VideoSequence, text: str) -> int:
    names = {video.frame_name(frame): frame for frame in video.labelled}
    numbers = {str(frame): frame for frame in video.labelled}
    found = names.get(text, numbers.get(text))
    if found is None:
        raise ConfigError(
            f"{quoted(text)} is not a labelled frame of {cut(video.name, 100)}, expected one of {shortened(names)}"
        )
    return found


def evaluate_line(label_maps: str | os.PathLike[str], dataset: VideoDataset, config: ScoreConfig) -> str:
    """Return the command that finds the same counts from label maps that a run wrote; LABELS is the user's folder.

    Parameters
    ----------
    label_maps : str or path
    dataset : VideoDataset
        Of the run. Where it does not say how its label maps are read, they have to hold classes.
    config : ScoreConfig
        Of its FLAME score.

    Examples
    --------
    >>> from flame_metric.data.registry import open_dataset
    >>> from flame_metric.scores.config import make_config
    >>> dataset = open_dataset("synthetic:videos=1")
    >>> evaluate_line("maps", dataset, make_config(8, frame_offset=2, fps=dataset.fps, ignore_index=255))
    'flame-metric evaluate maps LABELS --num-classes 8 --ignore-index 255 --fps 50/3 --step 1 --frame-offset 2'
    """
    options: dict[str, object] = {
        "num_classes": config.num_classes,
        "ignore_index": config.ignore_index,
        "fps": rate_text(dataset.fps),
        "step": next((video.step for video in dataset.sequences if len(video.frames) > 1), 1),
        "before_first": None if config.before_first == "skip" else config.before_first,
        **(dataset.label_options or {}),
    }
    if config.latency_ms is None:
        options["frame_offset"] = config.frame_offset
    else:
        options["latency_ms"] = config.latency_ms
    words = ["flame-metric", "evaluate", os.fspath(label_maps), "LABELS"]
    for name, value in options.items():
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def output_folder(folder: str | os.PathLike[str], *, into: bool) -> Path:
    """Make a folder for files of a run, and return it.

    Raises
    ------
    ConfigError
        If it holds something, unless ``into``.
    OSError
        If it cannot be made.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    if not into and any(place.iterdir()):
        raise ConfigError(
            f"{place} holds files, expected a new or an empty folder: what is left of another run misleads"
        )
    return place


def _png_writer() -> Callable[[Path, npt.NDArray[np.generic]], None]:
    from flame_metric.data.images import write_png  # noqa: PLC0415  Pillow is optional

    return write_png


def _path(folder: Path, video: str, frame: str) -> Path:
    parts = PurePath(video, f"{frame}.png").parts
    if PurePath(video).is_absolute() or PurePath(frame).is_absolute() or ".." in parts or "\0" in video + frame:
        raise DatasetError(f"the video {quoted(video)} has a frame {quoted(frame)}, which name no file below {folder}")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
