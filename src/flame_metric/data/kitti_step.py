"""KITTI-STEP: drives at 10 Hz, labelled in every frame with the 19 classes of Cityscapes.

Of the downloads, unpacked into one folder, this reads::

    panoptic_maps/{split}/{video:04}/{frame:06}.png     kitti-step.tar.gz
    images/{split}/{video:04}/{frame:06}.png            data_tracking_image_2.zip, sorted into splits by hand
    training/image_02/{video:04}/{frame:06}.png         or as it was unpacked

Label maps are RGB: red is the class, 0..18, or 255 for void; green and blue number the persons and cars, which is
left out here. Which videos a split has is what ``panoptic_maps`` holds. Their sizes differ by some pixels.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flame_metric.core.clock import Fps
from flame_metric.data.cityscapes import CLASS_NAMES, VOID
from flame_metric.data.frame_files import open_numbered_videos
from flame_metric.data.images import read_rgb_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import is_folder
from flame_metric.data.splits import check_split, dataset_root
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import DatasetError

__all__ = ["kitti_step"]

_RECORDED = 10
"""Frame numbers per second."""
_LOOKUP = LabelLookup({**{label: label for label in range(len(CLASS_NAMES))}, VOID: VOID})


def kitti_step(
    root: str | os.PathLike[str], *, split: str = "val", fps: Fps | None = None, step: int | None = None
) -> VideoDataset:
    """Return the videos of a split; frames and labels are read on access.

    Parameters
    ----------
    root : str or path
        The folder that holds ``panoptic_maps``, and ``images`` or ``training``.
    split : {"val", "train"}
        9 or 12 videos; the labels of the test split are not public.
    fps : int, float, Fraction, Decimal or str, optional
        Steps per second, of videos of one step; default: 10 / step, as recorded.
    step : int, optional
        Only videos of which frame numbers advance by so much; default: all. In the download it is one.

    Returns
    -------
    VideoDataset
        Sequences are named as their folders, such as ``"0002"``. Targets, uint8 (H, W), hold labels 0..18 and 255.

    Raises
    ------
    ConfigError
        If an option is none of those.
    DatasetError
        If a folder or label map is missing, or a label map has no frame. On access: if a file is missing or damaged,
        or a label map is not RGB or holds another class.
    """
    check_split(split)
    folder = dataset_root(root, "panoptic_maps, and images or training")
    maps = folder / "panoptic_maps" / split
    names = sorted(path.name for path in _list_folder(maps) if is_folder(path) and not path.name.startswith("."))
    if not names:
        raise DatasetError(f"{maps}: holds no folder of label maps, expected one for each video", path=maps)
    images = _images(folder, split)
    videos = open_numbered_videos(
        folder,
        {name: (images / name, maps / name) for name in names},
        _read_labels,
        recorded=_RECORDED,
        fps=fps,
        step=step,
    )
    return VideoDataset(f"kitti_step {split}", videos, CLASS_NAMES, VOID)


def _list_folder(maps: Path) -> list[Path]:
    try:
        return list(maps.iterdir())
    except FileNotFoundError:
        raise DatasetError(
            f"{maps}: is missing, expected a folder for each video in it; unpack kitti-step.tar.gz and move its "
            f"panoptic_maps to {maps.parent}",
            path=maps,
        ) from None
    except OSError as error:
        raise DatasetError(f"{maps}: cannot be read: {error.strerror or error}", path=maps) from error


def _images(root: Path, split: str) -> Path:
    """Return the folder of the folders of frames: sorted into splits, or as KITTI has them."""
    sorted_ones, unpacked = root / "images" / split, root / "training" / "image_02"
    if is_folder(sorted_ones):
        return sorted_ones
    if is_folder(unpacked):
        return unpacked
    raise DatasetError(
        f"{sorted_ones}: is missing, as {unpacked} is, expected a folder of frames for each video in one of them; "
        "unpack data_tracking_image_2.zip, the left colour images of KITTI's tracking benchmark",
        path=sorted_ones,
    )


def _read_labels(path: Path) -> npt.NDArray[np.uint8]:
    red = read_rgb_png(path)[..., 0]
    expected = f"0..{len(CLASS_NAMES) - 1}, and {VOID} for void, in red"
    return _LOOKUP.apply_to_file(red, path, expected=expected)
