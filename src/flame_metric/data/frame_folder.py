"""Folders of frames and label maps: ``<root>/<sequence>/<frame>.png`` (or .jpg), or one flat folder of frames.

Frames and label maps lie below two roots in the same layout, and belong together by name, never by position: the name
of a frame is the stem of its file without a given prefix and suffix. Its last digits are the frame number. Numbers
count in *steps*, which are found as ``flame-metric evaluate`` finds them (folders.py), and ``fps`` is their rate. Where
two neighbours are not one step apart, frames are missing, and the sequence is cut into parts that know their places on
its timeline: a score counts steps across holes, and what needs frames in a row stays within a part.

A frame without a label map is unlabelled. A label map without a frame is an error.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import cast

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import Fps, as_fps
from flame_metric.data.class_maps import ClassMaps
from flame_metric.data.folders import (
    affix_hint,
    find_step,
    numbers_of,
    split_name,
    split_recordings,
    walk_folder,
)
from flame_metric.data.frame_files import FrameFile, cut_into_runs, pair_files, recordings
from flame_metric.data.images import FRAME_EXTENSIONS
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import check_folder
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
    sequences : collection of str, optional
        Only these: folders, or what stands before the frame numbers in a flat folder.
    name : str
        Of the data set.

    Returns
    -------
    VideoDataset
        A sequence without a hole has the name of its folder. In a flat folder it has that of what stands before the
        numbers, or else of the folder of label maps. Parts of a sequence with holes are named after their first and
        last frames too: ``"street[0001..0168]"``.

    Raises
    ------
    ConfigError
        If an option is out of range, or a sequence is chosen that is not there.
    DatasetError
        If a folder is missing or holds nothing that fits, label maps have no frame, names do not belong to one sequence
        or have no number, two frames have one, or the step does not follow from the numbers. On access: if a file is
        missing or damaged, or a label is neither a class nor void.

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
    root = Path(frames)
    check_folder(root, "a folder of frames")
    images = _images(root, maps, list(of_sequence), frame_prefix, frame_suffix)
    videos = {video: _frames(video, images[video], files) for video, files in of_sequence.items()}
    size = find_step(
        root,
        {video: numbers_of(files) for video, files in of_sequence.items()},
        {video: [frame.number for frame in found] for video, found in videos.items()},
        step=step,
        what="frames",
        option="step = {}",
    )
    runs = [run for video, found in videos.items() for run in cut_into_runs(video, found, size or 1)]
    read = maps.read
    options = {"label_prefix": label_prefix, "label_suffix": label_suffix}
    if maps.folder.lookup is not None:
        options["label_map"] = maps.folder.lookup.to_text()
    return VideoDataset(
        name,
        tuple(run.video(rate, read) for run in runs),
        maps.class_names,
        maps.space.ignore_index,
        {key: text for key, text in options.items() if text},
    )


def _images(
    root: Path, maps: ClassMaps, names: Sequence[str], prefix: str, suffix: str
) -> Mapping[str, Mapping[str, Path]]:
    """Return the files of the frames of some sequences, by the names of the frames."""
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
        recordings_there = split_recordings(flat)
        if len(recordings_there) == len(maps.folder.sequences) == 1:  # they belong together whatever they are called
            return dict.fromkeys(names, flat)
        below = {maps.name_of(video): files for video, files in recordings_there.items()}
    there = {video: files for video, files in below.items() if files}
    missing = [video for video in names if video not in there]
    if missing:
        raise DatasetError(
            f"{root}: has no frames{form} for {len(missing)} of {len(names)} labelled sequence(s): "
            f"{shortened(missing)}; it has some for {shortened(sorted(there)) or 'none'}",
            path=root,
        )
    return there


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
