"""Data sets by name, as options of the command line give them: ``"synthetic"``, ``"cityscapes:ROOT"``.

Each has a split ``"train"`` and a split ``"val"`` that share no frame. To add a reader, add its name to `DATASETS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from flame_metric.checks import check_choice, check_integer
from flame_metric.data.synthetic import CLASS_NAMES, VOID, synthetic_video
from flame_metric.errors import ConfigError
from flame_metric.sequence import VideoDataset
from flame_metric.timing import Fps

__all__ = ["DATASETS", "DatasetKind", "open_dataset", "synthetic_dataset"]

_VIDEOS = {"train": 32, "val": 8}
_TRAINING_SEED = 1_000  # seeds of validation count from 0
_OPTIONS = dict.fromkeys(("videos", "num_frames", "height", "width"), re.compile(r"[0-9]{1,9}")) | {
    "fps": re.compile(r"[0-9]+(\.[0-9]+|/[0-9]+)?")
}


@dataclass(frozen=True)
class DatasetKind:
    """How the data sets of one name are opened.

    Attributes
    ----------
    form : str
        How it is written, such as ``"cityscapes:ROOT"``.
    about : str
        One line on what it is.
    open : callable
        From what stands behind the colon (None without a colon) and the split (None: its default) to the data set.
    """

    form: str
    about: str
    open: Callable[[str | None, str | None], VideoDataset]


def open_dataset(text: str, *, split: str | None = None) -> VideoDataset:
    """Open a data set by its name; frames and labels are read, or rendered, on access.

    Parameters
    ----------
    text : str
        ``"synthetic"``, ``"synthetic:num_frames=20,height=128,width=256"`` (options of :func:`synthetic_dataset`),
        ``"cityscapes:ROOT"`` or ``"camvid:ROOT"``. A ROOT may begin with ``~``, which no shell expands behind a colon.
    split : {"train", "val", "test"}, optional
        Default: "val"; with CamVid all there is. There is a "test" in some layouts of CamVid alone.

    Raises
    ------
    ConfigError
        If there is no such data set, option or split.
    DatasetError
        If files are missing.
    MissingExtraError
        If image files are to be read without Pillow.

    Examples
    --------
    >>> dataset = open_dataset("synthetic:videos=3,num_frames=20,height=64,width=128", split="train")
    >>> len(dataset.sequences), dataset.num_classes, dataset.sequences[0].frames[19].shape
    (3, 8, (64, 128, 3))
    """
    name, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
    if name not in DATASETS:
        forms = ", ".join(kind.form for kind in DATASETS.values())
        raise ConfigError(f"the data set is {text!r}, expected one of {forms}")
    return DATASETS[name].open(rest if colon else None, split)


def synthetic_dataset(
    *,
    split: str = "val",
    videos: int | None = None,
    num_frames: int = 30,
    height: int = 256,
    width: int = 512,
    fps: Fps = "50/3",
) -> VideoDataset:
    """Return synthetic street videos, rendered on access; those of the two splits come from different seeds.

    Parameters
    ----------
    split : {"train", "val"}
        Seeds from 1000 on, or from 0 on.
    videos : int, optional
        How many, 1..1000; default: 32 for "train", 8 for "val".
    num_frames, height, width, fps
        Of each, as :func:`~flame_metric.data.synthetic.synthetic_video` takes them; by default clips as long and at
        the rate of Cityscapes.

    Raises
    ------
    ConfigError
        If an option is out of range.
    """
    check_choice("split", split, tuple(_VIDEOS))
    count = check_integer("videos", _VIDEOS[split] if videos is None else videos, 1, most=_TRAINING_SEED)
    first = _TRAINING_SEED if split == "train" else 0
    sequences = tuple(
        synthetic_video(num_frames=num_frames, height=height, width=width, fps=fps, seed=seed)
        for seed in range(first, first + count)
    )
    return VideoDataset(f"synthetic {split}", sequences, CLASS_NAMES, VOID)


def _open_synthetic(options: str | None, split: str | None) -> VideoDataset:
    found: dict[str, Any] = {}
    for option in [] if options is None else options.split(","):
        name, _, value = (part.strip() for part in option.partition("="))
        if name in found or name not in _OPTIONS or not _OPTIONS[name].fullmatch(value):
            raise ConfigError(
                f"`{option}` is no option of synthetic, expected some of {', '.join(_OPTIONS)}, each once, such as "
                "'synthetic:videos=4,height=128,width=256,fps=15'"
            )
        found[name] = value if name == "fps" else int(value)
    return synthetic_dataset(split="val" if split is None else split, **found)


def _open_cityscapes(root: str | None, split: str | None) -> VideoDataset:
    # Pillow is optional: synthetic videos need none.
    from flame_metric.data.cityscapes import cityscapes  # noqa: PLC0415

    return cityscapes(_root("cityscapes", root), split="val" if split is None else split)


def _open_camvid(root: str | None, split: str | None) -> VideoDataset:
    from flame_metric.data.camvid import camvid  # noqa: PLC0415 - as above

    return camvid(_root("camvid", root), split=split)


def _root(name: str, root: str | None) -> str:
    if not root:
        raise ConfigError(
            f"the data set is '{name}{'' if root is None else ':'}', expected its folder too: {name}:ROOT"
        )
    return os.path.expanduser(root)  # noqa: PTH111 - Path.expanduser raises where there is no such home


DATASETS: Mapping[str, DatasetKind] = MappingProxyType(
    {
        "synthetic": DatasetKind("synthetic", "street videos made from seeds, with NumPy alone", _open_synthetic),
        "cityscapes": DatasetKind("cityscapes:ROOT", "clips around annotated frames", _open_cityscapes),
        "camvid": DatasetKind("camvid:ROOT", "labelled runs, at 1 and 15 Hz", _open_camvid),
    }
)
"""The data sets that :func:`open_dataset` knows, by name."""
