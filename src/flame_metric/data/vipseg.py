"""VIPSeg: videos of VSPW in which about every third frame has labels of 124 classes, and of their single instances.

Of the download this reads::

    imgs/{video}/{frame:08}.jpg           (or images/..., as in VIPSeg_720P, which is made of the download)
    panomasks/{video}/{frame:08}.png
    {split}.txt                           one video a line
    label_num_dic_final.json              names of the classes, if it is there

A value of a label map below 125 is the number of a class; one from 125 on is 100 times that number, plus the number of
an instance, which is left out here. 0 is void. So is 200, which some label maps hold by mistake, as the authors of the
data set say: it would be an instance of a ceiling, and ceilings have none.

Frames keep the numbers that they have in VSPW, where they count at 15 Hz. So the frame rate follows from the numbers:
15 / step, 5 Hz where every third is there. It is nowhere stated for the data set itself.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flame_metric.core.clock import Fps
from flame_metric.data.frame_files import open_numbered_videos
from flame_metric.data.images import read_label_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import is_folder
from flame_metric.data.splits import check_split, dataset_root, read_video_names
from flame_metric.data.videos import VideoDataset
from flame_metric.data.vspw import NUM_CLASSES, VOID, read_class_names

__all__ = ["vipseg"]

_INSTANCES = 100  # numbers of instances of a class
_RECORDED = 15
"""Frame numbers per second."""
_LOOKUP = LabelLookup(
    {value: value - 1 for value in range(1, NUM_CLASSES + 1)}
    | {value: value // _INSTANCES - 1 for value in range(NUM_CLASSES + 1, (NUM_CLASSES + 1) * _INSTANCES)}
    | {0: VOID, 200: VOID}
)


def vipseg(
    root: str | os.PathLike[str], *, split: str = "val", fps: Fps | None = None, step: int | None = None
) -> VideoDataset:
    """Return the videos of a split; frames and labels are read on access.

    Parameters
    ----------
    root : str or path
        The folder that holds ``imgs``, ``panomasks`` and the lists of videos.
    split : {"val", "train"}
        The labels of the test split are not public.
    fps : int, float, Fraction, Decimal or str, optional
        Steps per second, of videos of one step; default: 15 / step, as recorded.
    step : int, optional
        Only videos of which frame numbers advance by so much; default: all. A latency is one number of frames at only
        one frame rate: give the step if videos differ in it.

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
        damaged, or holds another value.
    """
    check_split(split)
    folder = dataset_root(root, f"imgs, panomasks and {split}.txt")
    names = read_video_names(folder / f"{split}.txt")
    images = next((path for path in (folder / "imgs", folder / "images") if is_folder(path)), folder / "imgs")
    videos = open_numbered_videos(
        folder,
        {name: (images / name, folder / "panomasks" / name) for name in names},
        _read_labels,
        recorded=_RECORDED,
        fps=fps,
        step=step,
    )
    return VideoDataset(f"vipseg {split}", videos, read_class_names(folder), VOID)


def _read_labels(path: Path) -> npt.NDArray[np.uint8]:
    last = NUM_CLASSES * _INSTANCES + _INSTANCES - 1
    expected = f"0 for void, and numbers of classes and instances up to {last}"
    return _LOOKUP.apply_to_file(read_label_png(path), path, expected=expected)
