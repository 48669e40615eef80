"""VSPW: videos of all kinds of scenes at 15 Hz, labelled in every frame with 124 classes.

Of the download this reads::

    data/{video}/origin/{frame:08}.jpg
    data/{video}/mask/{frame:08}.png
    {split}.txt                                 one video a line
    label_num_dic_final.json                    names of the classes, if it is there

Label maps hold 1..124 for the classes, 0 for things of no class and 255 for void; either is void here, as in the
data set's own evaluation. Sizes differ from video to video. Frames are numbered as they follow each other in a longer
video, and some are missing: a video is cut there.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flame_metric.core.clock import Fps
from flame_metric.data.frame_files import numbered_videos
from flame_metric.data.label_png import read_label_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.splits import check_split, dataset_root, listed_videos
from flame_metric.data.videos import VideoDataset
from flame_metric.data.vspw_labels import NUM_CLASSES, VOID, read_class_names

__all__ = ["vspw"]

_LOOKUP = LabelLookup({0: VOID, **{number: number - 1 for number in range(1, NUM_CLASSES + 1)}, 255: VOID})


def vspw(root: str | os.PathLike[str], *, split: str = "val", fps: Fps = 15, step: int | None = None) -> VideoDataset:
    """Return the videos of a split; frames and labels are read on access.

    Parameters
    ----------
    root : str or path
        The folder that holds ``data`` and the lists of videos, of the full size or at 480p.
    split : {"val", "train"}
        The labels of the test split are not public.
    fps : int, float, Fraction, Decimal or str
        Frame numbers per second.
    step : int, optional
        Only runs of frames whose numbers are so many apart; default: all runs. In the download it is one.

    Returns
    -------
    VideoDataset
        Targets, uint8 (H, W), hold labels 0..123 and 255.

    Raises
    ------
    ConfigError
        If an option is none of those.
    DatasetError
        If a folder, list or label map is missing, or a label map has no frame. On access: if a file is missing or
        damaged, or holds another label.
    """
    check_split(split)
    folder = dataset_root(root, f"data and {split}.txt")
    names = listed_videos(folder / f"{split}.txt")
    videos = numbered_videos(
        folder,
        {name: (folder / "data" / name / "origin", folder / "data" / name / "mask") for name in names},
        _read_labels,
        fps=fps,
        step=step,
    )
    return VideoDataset(f"vspw {split}", videos, read_class_names(folder), VOID)


def _read_labels(path: Path) -> npt.NDArray[np.uint8]:
    expected = f"1..{NUM_CLASSES} for classes, 0 and 255 for void"
    return _LOOKUP.apply_to_file(read_label_png(path), path, expected=expected)
