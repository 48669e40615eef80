"""DAVIS: short videos with objects segmented from the background in every frame, in two releases.

Of the downloads, unpacked into one folder, this reads::

    JPEGImages/480p/{video}/{frame:05}.jpg
    Annotations/480p/{video}/{frame:05}.png
    ImageSets/2016/{split}.txt or ImageSets/480p/{split}.txt      of the 2016 release, one frame or one video a line
    ImageSets/2017/{split}.txt                                    of the 2017 release, one video a line

=======  ==========  ================  ====
release  background  objects           void
=======  ==========  ================  ====
2016     0           255, all of them  none
2017     0           1..254            255
=======  ==========  ================  ====

In 2016's label maps 255 *is* the object; in 2017's it marks pixels that are not to be counted. 2017's numbers count the
objects of one video (its object 1 is a bear, another's a bicycle): they are not classes, no network can learn them
as such. What both releases can score is foreground against background, so there are two classes, and every number of
an object becomes 1.
"""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import is_integer
from flame_metric.core.clock import Fps
from flame_metric.data.frame_files import open_numbered_videos
from flame_metric.data.images import read_label_png
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.paths import exists
from flame_metric.data.splits import check_split, dataset_root, read_video_names
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError, DatasetError

__all__ = ["CLASS_NAMES", "VOID", "davis", "read_davis_labels"]

CLASS_NAMES = ("background", "foreground")
VOID = 255
"""Label of void pixels in the 2017 release; there are none in 2016's."""

_FRAMES, _LABELS, _LISTS = Path("JPEGImages/480p"), Path("Annotations/480p"), Path("ImageSets")
_LIST_FOLDERS = {2016: ("2016", "480p"), 2017: ("2017",)}
_RECORDED = 24
"""Frame numbers per second."""
_LOOKUPS = {
    2016: LabelLookup({0: 0, 255: 1}),
    2017: LabelLookup({0: 0, **dict.fromkeys(range(1, VOID), 1), VOID: VOID}),
}
_FRAME_LINE = re.compile(r"/?JPEGImages/[^/]+/(?P<video>[^/]+)/[^/\s]+(\s.*)?")


def davis(
    root: str | os.PathLike[str],
    *,
    split: str = "val",
    year: int = 2017,
    fps: Fps | None = None,
    step: int | None = None,
) -> VideoDataset:
    """Return the videos of a split; frames and labels are read on access.

    Parameters
    ----------
    root : str or path
        The folder that holds ``JPEGImages``, ``Annotations`` and ``ImageSets``.
    split : {"val", "train"}
    year : {2017, 2016}
        Of the release: which list of videos is read, and what the label maps say.
    fps : int, float, Fraction, Decimal or str, optional
        Steps per second, of videos of one step; default: 24 / step, as recorded.
    step : int, optional
        Only videos of which frame numbers advance by so much; default: all. In the downloads it is one.

    Returns
    -------
    VideoDataset
        Targets, uint8 (H, W), hold 0 for the background and 1 for the foreground; in 2017, also 255 (`VOID`).

    Raises
    ------
    ConfigError
        If an option is none of those.
    DatasetError
        If a folder, list or label map is missing, or a label map has no frame. On access: if a file is missing or
        damaged, or holds labels of the other release.
    """
    check_split(split)
    if not is_integer(year) or year not in _LOOKUPS:
        raise ConfigError(f"`year` is {year!r}, expected 2016 or 2017")
    folder = dataset_root(root, "JPEGImages, Annotations and ImageSets")
    names = read_video_names(_list(folder, year, split), of_line=_video)
    videos = open_numbered_videos(
        folder,
        {name: (folder / _FRAMES / name, folder / _LABELS / name) for name in names},
        partial(read_davis_labels, year=year),
        recorded=_RECORDED,
        fps=fps,
        step=step,
    )
    void = VOID if year == 2017 else None
    options = {"label_map": _LOOKUPS[2016].to_text() if year == 2016 else f"0:0,{VOID}:{VOID},*:1"}
    return VideoDataset(f"davis {year} {split}", videos, CLASS_NAMES, void, options)


def read_davis_labels(path: str | os.PathLike[str], *, year: int) -> npt.NDArray[np.uint8]:
    """Read a label map, grey or with a palette.

    Parameters
    ----------
    path : str or path
    year : {2016, 2017}
        Of the release.

    Returns
    -------
    ndarray of uint8, (H, W)
        0 for the background, 1 for the foreground and, in 2017, 255 for void.

    Raises
    ------
    DatasetError
        If the file is missing or damaged, or holds labels of the other release.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> file = Path(tempfile.mkdtemp(), "00000.png")
    >>> Image.fromarray(np.array([[0, 1, 2, 255]], np.uint8)).save(file)
    >>> read_davis_labels(file, year=2017)
    array([[  0,   1,   1, 255]], dtype=uint8)
    """
    labels = read_label_png(path)
    if year == 2016:
        expected = "0 for the background and 255 for the object; numbers of objects are those of DAVIS 2017: year=2017"
        return _LOOKUPS[year].apply_to_file(labels, path, expected=expected)
    mapped = _LOOKUPS[year].apply_to_file(labels, path, expected="numbers of objects 0..254, and 255 for void")
    if (labels == VOID).any() and not (mapped == 1).any():
        raise DatasetError(
            f"{path}: holds {np.count_nonzero(labels == VOID):,} pixels of 255 and no number of an object, expected "
            "1..254 for objects and 255 for void; in DAVIS 2016 255 is the object: year=2016",
            path=path,
        )
    return mapped


def _list(root: Path, year: int, split: str) -> Path:
    """Return the file that lists the videos of a split, or say that it is another release's."""
    paths = [root / _LISTS / folder / f"{split}.txt" for folder in _LIST_FOLDERS[year]]
    found = next((path for path in paths if exists(path)), None)
    if found is None:
        (other,) = set(_LIST_FOLDERS) - {year}
        is_other = any(exists(root / _LISTS / folder / f"{split}.txt") for folder in _LIST_FOLDERS[other])
        hint = f"; there is one of {other}: year={other}" if is_other else ""
        raise DatasetError(
            f"{paths[0]}: is missing, expected the list of the videos of {split} of DAVIS {year}{hint}", path=paths[0]
        )
    return found


def _video(line: str) -> str:
    """Return of which video a line is: of a line that names a frame, the folder in which it lies."""
    match = _FRAME_LINE.fullmatch(line)
    return match["video"] if match else line
