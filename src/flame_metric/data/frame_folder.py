"""Folders of frames and label maps: ``<root>/<sequence>/<frame>.png`` (or .jpg), or one flat folder of frames.

Frames and label maps lie below two roots in the same layout, and belong together by name, never by position: the name
of a frame is the stem of its file without a given prefix and suffix. Its number and the step of numbers are found as
``flame-metric evaluate`` finds them (frame_names.py, folders.py), and ``fps`` is the rate of steps. Where two
neighbours are not one step apart, frames are missing, and the sequence is cut into parts that know their places on its
timeline: a score counts steps across holes, and what needs frames in a row stays within a part.

A frame without a label map is unlabelled. A label map without a frame is an error.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import cast

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import Fps, as_fps
from flame_metric.data.affixes import propose_affixes
from flame_metric.data.class_maps import ClassMaps
from flame_metric.data.folders import find_step, walk_folder
from flame_metric.data.frame_files import FrameFile, cut_into_runs, pair_files, recordings
from flame_metric.data.frame_names import FrameNames, NamedFolders
from flame_metric.data.images import FRAME_EXTENSIONS
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import check_folder
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import DatasetError, shortened

__all__ = ["frame_folder"]

_AFFIXES = ("frame_prefix = {}", "label_prefix = {}", "frame_suffix = {}", "label_suffix = {}")


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
    frame_number: str | None = None,
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
        Steps per second.
    num_classes, class_names, ignore_index
        As :class:`~flame_metric.jobs.request.Request` has them; the number may be left out where names are given.
    label_map : LabelLookup or str, optional
        From labels in the files to classes; text such as ``"0:0,255:1"``.
    frame_prefix, frame_suffix, label_prefix, label_suffix : str
        Beginning and end of file names that are not part of the frame's name, the suffixes with or without the
        extension. Files without them are passed over.
    step : int, optional
        Difference of frame numbers from one step to the next; default: as
        :func:`~flame_metric.data.folders.find_step` finds it for labels and frames.
    frame_number : str, optional
        The pattern by which names are read, as :class:`~flame_metric.jobs.folder_source.Files` takes it.
    sequences : collection of str, optional
        Only these: folders, or what is before the frame numbers where a folder holds several.
    name : str
        Of the data set.

    Returns
    -------
    VideoDataset
        A sequence without a hole has the name of its folder. In a flat folder, or one that holds several, it has that
        of what is before the numbers, or else of the folder of label maps. Parts of a sequence with holes are named
        after their first and last frames too: ``"street[0001..0168]"``.

    Raises
    ------
    ConfigError
        If an option is out of range, or a sequence is chosen that is not there.
    DatasetError
        If a folder is missing or holds nothing that fits, label maps have no frame, names do not belong to one
        sequence, have no number, or may be read in several ways, two frames have one number, or the step does not
        follow from the numbers. On access: if a file is missing or damaged, or a label is neither a class nor void.

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
    root = Path(frames)
    check_folder(root, "a folder of frames")
    images = _images(root, maps, frame_prefix, frame_suffix)
    _check_affixes(root, images, maps)
    sides = NamedFolders(root, "frames", images), NamedFolders(maps.folder.root, "label maps", maps.files)
    names = FrameNames.find(*sides, pattern=frame_number, option="frame_number = {}")
    of_sequence = maps.choose(names.sequences(maps.files), sequences)
    of_frames = _match(root, names.sequences(images), of_sequence, maps)
    videos = {video: _frames(video, of_frames[video], files, names) for video, files in of_sequence.items()}
    size = find_step(
        root,
        {video: [names.split(*frame).number for frame in files.items()] for video, files in of_sequence.items()},
        {video: [frame.number for frame in found] for video, found in videos.items()},
        step=step,
        what="frames",
        option="step = {}",
    )
    runs = [run for video, found in videos.items() for run in cut_into_runs(video, found, size or 1)]
    read = maps.read
    options = {"label_prefix": label_prefix, "label_suffix": label_suffix, "frame_number": frame_number or ""}
    if maps.folder.lookup is not None:
        options["label_map"] = maps.folder.lookup.to_text()
    return VideoDataset(
        name,
        tuple(run.video(rate, read) for run in runs),
        maps.class_names,
        maps.space.ignore_index,
        {key: text for key, text in options.items() if text},
    )


def _images(root: Path, maps: ClassMaps, prefix: str, suffix: str) -> Mapping[str, Mapping[str, Path]]:
    """Return the files of frames, by folder and the names of the frames, in the layout of the label maps."""
    form = f" (PNG or JPEG files{f' named {prefix}*{suffix}' if prefix or suffix else ''})"
    flat, below = cast(
        "tuple[Mapping[str, Path], Mapping[str, Mapping[str, Path]]]",
        walk_folder(root, prefix, suffix, extensions=FRAME_EXTENSIONS),
    )
    if bool(flat) != maps.folder.is_flat:
        found, wanted = ("frames", "folders of them") if flat else ("no frame", "frames")
        raise DatasetError(
            f"{root}: holds {found} itself{form}, expected {wanted}: {maps.folder.root} is laid out so",
            path=root,
        )
    if flat:
        return {"": flat}
    missing = [folder for folder in maps.files if not below.get(folder)]
    if missing:
        there = [folder for folder, files in below.items() if files]
        raise DatasetError(
            f"{root}: has no frames{form} for {len(missing)} of {len(maps.files)} labelled sequence(s): "
            f"{shortened(missing)}; it has some for {shortened(sorted(there)) or 'none'}",
            path=root,
        )
    return {folder: below[folder] for folder in maps.files}


def _check_affixes(root: Path, images: Mapping[str, Mapping[str, Path]], maps: ClassMaps) -> None:
    """Refuse names that would match without a beginning or an end."""
    of_frames, of_maps = ([name for files in side.values() for name in files] for side in (images, maps.files))
    hint = propose_affixes(of_frames, of_maps, _AFFIXES, repr)
    if hint:
        raise DatasetError(
            f"{root}: frame names do not match: frames are named {shortened(of_frames, 3)}, label maps "
            f"{shortened(of_maps, 3)}{hint}",
            path=root,
        )


def _match(
    root: Path,
    there: Mapping[str, Mapping[str, Path]],
    wanted: Mapping[str, Mapping[str, Path]],
    maps: ClassMaps,
) -> Mapping[str, Mapping[str, Path]]:
    """Return the frames of labelled sequences."""
    if maps.folder.is_flat:
        if len(there) == len(wanted) == 1:  # they belong together whatever they are called
            return dict(zip(wanted, there.values(), strict=True))
        there = {maps.name_of(video): files for video, files in there.items()}
    missing = [video for video in wanted if video not in there]
    if missing:
        raise DatasetError(
            f"{root}: has no frames for {len(missing)} of {len(wanted)} labelled sequence(s): {shortened(missing)}; it "
            f"has some for {shortened(sorted(there))}",
            path=root,
        )
    return there


def _frames(video: str, images: Mapping[str, Path], maps: Mapping[str, Path], names: FrameNames) -> list[FrameFile]:
    """Pair the frames of a sequence with its label maps, in the order of their numbers."""
    image, label = next(iter(images.values())), next(iter(maps.values()))
    if not images.keys() & maps.keys():
        raise DatasetError(
            f"{image.parent}: frame names do not match: frames are named {shortened(images)}, label maps "
            f"{shortened(maps)}",
            path=image.parent,
        )
    found = recordings(pair_files(images, maps, image.parent, label.parent, names.split))
    if len(found) > 1:
        raise DatasetError(
            f"{image.parent}: holds names of {len(found)} kinds for sequence {video}, such as "
            f"{shortened(map('#'.join, found))} (# = frame number), expected one",
            path=image.parent,
        )
    (frames,) = found.values()
    return frames
