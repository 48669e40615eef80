"""VSPW: videos of all kinds of scenes at 15 Hz, labelled in every frame with 124 classes.

Of the download this reads::

    data/{video}/origin/{frame:08}.jpg
    data/{video}/mask/{frame:08}.png
    {split}.txt                                 one video a line
    label_num_dic_final.json                    names of the classes, if it is there

Label maps hold 1..124 for the classes, 0 for things of no class and 255 for void; here they are 0..123, and either of
the others is 255, void, as in the data set's own evaluation. VIPSeg labels the same videos with the same classes. Sizes
differ from video to video. Frames are numbered as they follow each other in a longer video, and some are missing: a
video is cut there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.clock import Fps
from flame_metric.data.frame_files import open_numbered_videos
from flame_metric.data.images import read_label_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import exists
from flame_metric.data.splits import check_split, dataset_root, read_video_names
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import DatasetError, cut

__all__ = ["NUM_CLASSES", "VOID", "read_class_names", "vspw"]

NUM_CLASSES = 124
VOID = 255
_FILE = "label_num_dic_final.json"
_RECORDED = 15
"""Frame numbers per second."""
_LOOKUP = LabelLookup({0: VOID, **{number: number - 1 for number in range(1, NUM_CLASSES + 1)}, 255: VOID})


def vspw(
    root: str | os.PathLike[str], *, split: str = "val", fps: Fps | None = None, step: int | None = None
) -> VideoDataset:
    """Return the videos of a split; frames and labels are read on access.

    Parameters
    ----------
    root : str or path
        The folder that holds ``data`` and the lists of videos, of the full size or at 480p.
    split : {"val", "train"}
        The labels of the test split are not public.
    fps : int, float, Fraction, Decimal or str, optional
        Steps per second, of videos of one step; default: 15 / step, as recorded.
    step : int, optional
        Only videos of which frame numbers advance by so much; default: all. In the download it is one.

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
    names = read_video_names(folder / f"{split}.txt")
    videos = open_numbered_videos(
        folder,
        {name: (folder / "data" / name / "origin", folder / "data" / name / "mask") for name in names},
        _read_labels,
        recorded=_RECORDED,
        fps=fps,
        step=step,
    )
    return VideoDataset(f"vspw {split}", videos, read_class_names(folder), VOID, {"label_map": _LOOKUP.to_text()})


def _read_labels(path: Path) -> npt.NDArray[np.uint8]:
    expected = f"1..{NUM_CLASSES} for classes, 0 and 255 for void"
    return _LOOKUP.apply_to_file(read_label_png(path), path, expected=expected)


def read_class_names(root: Path) -> tuple[str, ...]:
    """Return the names of labels 0..123.

    Parameters
    ----------
    root : Path
        The folder in which ``label_num_dic_final.json`` may lie: an object from name to number. Where it does not,
        the names are ``"class 0"`` to ``"class 123"``.

    Raises
    ------
    DatasetError
        If it is there and cannot be read, or does not give each number 1..124 one name.
    """
    path = root / _FILE
    if not exists(path):
        return tuple(f"class {label}" for label in range(NUM_CLASSES))
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: cannot be read as JSON: {cut(str(error))}", path=path) from error
    named: dict[str, Any] = content if isinstance(content, dict) else {}
    names = {str(number): name for name, number in named.items()}
    missing = [number for number in range(1, NUM_CLASSES + 1) if str(number) not in names]
    if missing or len(names) < len(named):
        found = f"{len(missing)} of the numbers 1..{NUM_CLASSES} have no name" if missing else "numbers have two names"
        raise DatasetError(
            f'{path}: {found}, expected an object such as {{"wall": "1", "ceiling": "2", ...}}', path=path
        )
    return tuple(names[str(number)] for number in range(1, NUM_CLASSES + 1))
