"""Folders of frames and label maps: ``<root>/<sequence>/<frame>.png`` (or .jpg), or one flat folder of frames.

Frames and label maps lie below two roots in the same layout, and belong together by name, never by position: the name
of a frame is the stem of its file without a given prefix and suffix. Its last digits are the frame number. On the clock
of a sequence numbers count in *steps*: the difference between neighbours that occurs most often. Where two neighbours
are not one step apart, frames are missing, and the sequence is cut into parts, so that no frame offset counts across.

A frame without a label map is unlabelled. A label map without a frame is an error.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import Fps, as_fps
from flame_metric.data.class_maps import ClassMaps
from flame_metric.data.folders import affix_hint, split_name, split_recordings
from flame_metric.data.frame_files import FileFolder, FrameFile, cut_into_runs, pair_files, recordings, step_of
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import is_folder
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import DatasetError, shortened

__all__ = ["frame_folder"]

_AFFIXES = ("frame_prefix = {!r}", "label_prefix = {!r}", "frame_suffix = {!r}", "label_suffix = {!r}")


def frame_folder(
    frames: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    fps: Fps,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    ignore_index: int | None = None,
    label_map: LabelLookup | str | None = None,
    frame_prefix: str = "",
    frame_suffix: str = "",
    label_prefix: str = "",
    label_suffix: str = "",
    step: int | None = None,
    sequences: Collection[str] | None = None,
    name: str = "folders",
) -> VideoDataset:
    """Return the videos in a folder; frames and labels are read on access.

    Parameters
    ----------
    frames, labels : str or path
        The roots: PNG or JPEG frames below the one; PNG or .npy label maps of the same names, in folders of the same
        names, below the other. Frames of sequences without a label map are left out.
    fps : int, float, Fraction, Decimal or str
        Frames per second, of frames whose numbers are one step apart.
    num_classes, class_names, ignore_index, label_map
        As :meth:`ClassMaps.scan` takes them.
    frame_prefix, frame_suffix, label_prefix, label_suffix : str
        Beginning and end of file names that are no part of the frame's name, the suffixes with or without the
        extension. Files without them are passed over.
    step : int, optional
        Difference of frame numbers from one frame to the next; default: read from the numbers.
    sequences : collection of str, optional
        Only these: folders, or what stands before the frame numbers in a flat folder.
    name : str
        Of the data set.

    Returns
    -------
    VideoDataset
        A sequence without a hole has the name of its folder. In a flat folder it has that of what stands before the
        numbers, or else of the folder of label maps. Parts of a sequence with holes are named after their first and
        last frames too: ``"street[0001..0168]"``. Parts without a label map are left out.

    Raises
    ------
    ConfigError
        If an option is out of range, or a sequence is chosen that is not there.
    DatasetError
        If a folder is missing or holds nothing that fits, label maps have no frame, names do not belong to one sequence
        or have no number, two frames have one, or sequences have unlike steps. On access: if a file is missing or
        damaged, or a label is neither a class nor void.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from PIL import Image
    >>> root = Path(tempfile.mkdtemp())
    >>> for folder, pixels in (("frames", np.zeros((2, 3, 3), np.uint8)), ("labels", np.ones((2, 3), np.uint8))):
    ...     (root / folder / "street").mkdir(parents=True)
    ...     for number in (0, 2, 4, 8):
    ...         Image.fromarray(pixels).save(root / folder / "street" / f"{number:04}.png")
    >>> videos = frame_folder(root / "frames", root / "labels", fps=15, num_classes=2).sequences
    >>> [(video.name, len(video.frames), video.targets[0].max()) for video in videos]
    [('street[0000..0004]', 3, np.uint8(1)), ('street[0008..0008]', 1, np.uint8(1))]
    """
    rate = as_fps(fps)
    if step is not None:
        step = check_integer("step", step, 1)
    maps = ClassMaps.scan(
        labels,
        num_classes=num_classes,
        class_names=class_names,
        ignore_index=ignore_index,
        label_map=label_map,
        prefix=label_prefix,
        suffix=label_suffix,
    )
    of_sequence = maps.sequences(sequences)
    images = _images(FileFolder(Path(frames), "frames", frame_prefix, frame_suffix), maps, list(of_sequence))
    videos = {video: _frames(video, images[video], files) for video, files in of_sequence.items()}
    size = step or _common_step(Path(frames), videos)
    runs = [run for video, found in videos.items() for run in cut_into_runs(video, found, size)]
    if len(runs) > len(videos) and all(len(run.frames) == 1 for run in runs):
        raise DatasetError(
            f"{frames}: holds no two neighbours whose numbers are `step` {size} apart, only such as "
            f"{shortened(run.name for run in runs)}",
            path=frames,
        )
    read = maps.read
    labelled = tuple(run.video(rate * size, read) for run in runs if run.labelled)
    return VideoDataset(name, labelled, maps.class_names, maps.space.ignore_index)


def _images(root: FileFolder, maps: ClassMaps, names: Sequence[str]) -> Mapping[str, Mapping[str, Path]]:
    """Return the files of the frames of some sequences, by the names of the frames."""
    flat = root.files()
    if bool(flat) != maps.folder.is_flat:
        found, wanted = ("frames", "folders of them") if flat else ("no frame", "frames")
        raise DatasetError(
            f"{root.path}: holds {found} itself{_form(root)}, expected {wanted}: {maps.folder.root} is laid out so",
            path=root.path,
        )
    if flat:
        recordings_there = split_recordings(flat)
        if len(recordings_there) == len(maps.folder.sequences) == 1:  # they belong together whatever they are called
            return dict.fromkeys(names, flat)
        return _all_there(root, {maps.name_of(video): files for video, files in recordings_there.items()}, names)
    folders = {video: FileFolder(root.path / video, root.what, root.prefix, root.suffix) for video in names}
    there = {video: folder.files() for video, folder in folders.items() if is_folder(folder.path)}
    return _all_there(root, {video: files for video, files in there.items() if files}, names)


def _all_there(
    root: FileFolder, images: Mapping[str, Mapping[str, Path]], names: Sequence[str]
) -> Mapping[str, Mapping[str, Path]]:
    missing = [video for video in names if video not in images]
    if missing:
        raise DatasetError(
            f"{root.path}: has no frames{_form(root)} for {len(missing)} of {len(names)} labelled sequence(s): "
            f"{shortened(missing)}; it has some for {shortened(sorted(images)) or 'none'}",
            path=root.path,
        )
    return images


def _form(root: FileFolder) -> str:
    """Say in a message which files are taken for frames."""
    affixes = f" named {root.prefix}*{root.suffix}" if root.prefix or root.suffix else ""
    return f" (PNG or JPEG files{affixes})"


def _frames(video: str, images: Mapping[str, Path], maps: Mapping[str, Path]) -> list[FrameFile]:
    """Pair the frames of a sequence with its label maps, in the order of their numbers."""
    image, label = next(iter(images.items())), next(iter(maps.items()))
    if not images.keys() & maps.keys():
        hint = affix_hint(split_name(*image)[0], split_name(*label)[0], _AFFIXES)
        raise DatasetError(
            f"{image[1].parent}: frame names do not match: frames are named {shortened(images)}, label maps "
            f"{shortened(maps)}{hint}",
            path=image[1].parent,
        )
    found = recordings(pair_files(images, maps, image[1].parent, label[1].parent))
    if len(found) > 1:
        raise DatasetError(
            f"{image[1].parent}: holds names of {len(found)} kinds for sequence {video}, such as "
            f"{shortened(map('#'.join, found))} (# = frame number), expected one",
            path=image[1].parent,
        )
    (frames,) = found.values()
    return frames


def _common_step(root: Path, videos: Mapping[str, Sequence[FrameFile]]) -> int:
    found = {video: step_of([frame.number for frame in frames]) for video, frames in videos.items()}
    steps = {size: video for video, size in found.items() if size is not None}
    if len(steps) > 1:
        sizes = ", ".join(f"{size} in {video}" for size, video in sorted(steps.items())[:5])
        raise DatasetError(
            f"{root}: frame numbers advance by unlike steps ({sizes}), expected one step for one frame rate; give "
            "`step`, or choose `sequences`",
            path=root,
        )
    return next(iter(steps), 1)
