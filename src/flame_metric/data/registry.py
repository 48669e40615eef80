"""Data sets by name, as options of the command line give them: ``"synthetic"``, ``"cityscapes:ROOT"``.

Each has a split ``"train"`` and a split ``"val"`` that share no frame; folders have them if their file lists them. To
add a reader, add its name to `DATASETS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.core.clock import Fps
from flame_metric.data.paths import expand_home
from flame_metric.data.synthetic import CLASS_NAMES, VOID, synthetic_video
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError

__all__ = ["DATASETS", "DatasetKind", "open_dataset", "synthetic_dataset"]

_VIDEOS = {"train": 32, "val": 8}
_TRAINING_SEED = 1_000  # seeds of validation count from 0


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(text)
    return int(text)


def _rate(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+|/[0-9]+)?", text):
        raise ValueError(text)
    return text


@dataclass(frozen=True)
class DatasetKind:
    """How the data sets of one name are opened.

    Attributes
    ----------
    form : str
        How it is written, such as ``"cityscapes:ROOT"``.
    about : str
        One line on what it is.
    example : str
        A use with options.
    open : callable
        From the root (None if there is none), the split (None: its default) and options by name to the data set.
    options : mapping of str to callable
        What else can be said of it: from its text to its value, ValueError if it is none.
    rooted : bool
        Whether it lies on disk, so that ROOT stands before the options.
    """

    form: str
    about: str
    example: str
    open: Callable[..., VideoDataset]
    options: Mapping[str, Callable[[str], Any]]
    rooted: bool = True


def open_dataset(text: str, *, split: str | None = None) -> VideoDataset:
    """Open a data set by its name; frames and labels are read, or rendered, on access.

    Parameters
    ----------
    text : str
        ``"synthetic"``, ``"synthetic:num_frames=20,height=128,width=256"`` (options of :func:`synthetic_dataset`),
        or one of the names in `DATASETS`, its folder and options behind it: ``"camvid:ROOT,step=2"``. They are those
        of the function that opens it, such as :func:`~flame_metric.data.camvid.camvid`. ``"folders:FILE.toml"`` is what
        that file describes (:func:`~flame_metric.data.toml_dataset.toml_dataset`). A ROOT or FILE may begin with
        ``~``, which no shell expands behind a colon.
    split : {"train", "val", "test"}, optional
        Default: "val"; with CamVid and folders all there is. There is a "test" in some layouts of CamVid, and where a
        file lists one.

    Raises
    ------
    ConfigError
        If there is no such data set, option or split.
    DatasetError
        If files are missing.
    MissingExtraError
        If image files are to be read without Pillow, or video files without PyAV.

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
    kind = DATASETS[name]
    root, options = _root_and_options(name, kind, rest.split(",") if colon else [])
    return kind.open(root, split, **options)


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


def _root_and_options(name: str, kind: DatasetKind, parts: list[str]) -> tuple[str | None, dict[str, Any]]:
    """Take ``option=value`` from the end of what commas separate; a root is the rest, whatever commas are in it."""
    found: dict[str, Any] = {}
    while len(parts) > kind.rooted:
        key, _, text = (part.strip() for part in parts[-1].partition("="))
        if kind.rooted and (_is_root(parts) or (key not in kind.options and not _begin_with_root(parts))):
            break
        try:
            value = kind.options[key](text) if key not in found else None
        except (KeyError, ValueError):
            value = None
        if value is None:
            some = f"some of {', '.join(kind.options)}, each once"
            wanted = some if kind.options else f"none behind {kind.form.partition(':')[2]}"
            raise ConfigError(f"`{parts[-1]}` is not an option of {name}, expected {wanted}, such as {kind.example!r}")
        found[key] = value
        parts = parts[:-1]
    root = ",".join(parts)
    if kind.rooted and not root:
        place = kind.form.partition(":")[2]
        raise ConfigError(f"the data set is {name!r} without {place}, expected {kind.form}")
    return expand_home(root) if kind.rooted else None, found


def _is_root(parts: list[str]) -> bool:
    return os.path.exists(expand_home(",".join(parts)))  # noqa: PTH110 - Path.exists may raise


def _begin_with_root(parts: list[str]) -> bool:
    """Whether there is something of a shorter name: then what follows is meant as an option."""
    return any(",".join(parts[:count]).strip() and _is_root(parts[:count]) for count in range(1, len(parts)))


def _open_synthetic(_: str | None, split: str | None, **options: Any) -> VideoDataset:
    return synthetic_dataset(split="val" if split is None else split, **options)


def _open_cityscapes(root: str, split: str | None, **options: Any) -> VideoDataset:
    # Pillow is optional: synthetic videos need none.
    from flame_metric.data.cityscapes import cityscapes  # noqa: PLC0415

    return cityscapes(root, split="val" if split is None else split, **options)


def _open_camvid(root: str, split: str | None, **options: Any) -> VideoDataset:
    from flame_metric.data.camvid import camvid  # noqa: PLC0415 - as above

    return camvid(root, split=split, **options)


def _open_davis(root: str, split: str | None, **options: Any) -> VideoDataset:
    from flame_metric.data.davis import davis  # noqa: PLC0415 - as above

    return davis(root, split="val" if split is None else split, **options)


def _open_kitti_step(root: str, split: str | None, **options: Any) -> VideoDataset:
    from flame_metric.data.kitti_step import kitti_step  # noqa: PLC0415 - as above

    return kitti_step(root, split="val" if split is None else split, **options)


def _open_vspw(root: str, split: str | None, **options: Any) -> VideoDataset:
    from flame_metric.data.vspw import vspw  # noqa: PLC0415 - as above

    return vspw(root, split="val" if split is None else split, **options)


def _open_vipseg(root: str, split: str | None, **options: Any) -> VideoDataset:
    from flame_metric.data.vipseg import vipseg  # noqa: PLC0415 - as above

    return vipseg(root, split="val" if split is None else split, **options)


def _open_folders(root: str, split: str | None) -> VideoDataset:
    from flame_metric.data.toml_dataset import toml_dataset  # noqa: PLC0415 - as above

    return toml_dataset(root, split=split)


_NUMBERED: Mapping[str, Callable[[str], Any]] = MappingProxyType({"fps": _rate, "step": _whole})
DATASETS: Mapping[str, DatasetKind] = MappingProxyType(
    {
        "synthetic": DatasetKind(
            "synthetic",
            "street videos made from seeds, with only NumPy",
            "synthetic:videos=4,height=128,width=256,fps=15",
            _open_synthetic,
            {**dict.fromkeys(("videos", "num_frames", "height", "width"), _whole), "fps": _rate},
            rooted=False,
        ),
        "cityscapes": DatasetKind(
            "cityscapes:ROOT",
            "clips around annotated frames",
            "cityscapes:/data/cityscapes,classes=categories",
            _open_cityscapes,
            {"label_kind": str, "classes": str, "fps": _rate},
        ),
        "camvid": DatasetKind(
            "camvid:ROOT",
            "labelled runs, at 1 and 15 Hz",
            "camvid:/data/camvid,step=2",
            _open_camvid,
            {"classes": str, **_NUMBERED},
        ),
        "davis": DatasetKind(
            "davis:ROOT",
            "foreground and background at 24 Hz",
            "davis:/data/DAVIS,year=2016",
            _open_davis,
            {"year": _whole, **_NUMBERED},
        ),
        "kitti_step": DatasetKind(
            "kitti_step:ROOT",
            "drives at 10 Hz, 19 classes",
            "kitti_step:/data/kitti_step,fps=10",
            _open_kitti_step,
            _NUMBERED,
        ),
        "vspw": DatasetKind(
            "vspw:ROOT",
            "all kinds of scenes at 15 Hz, 124 classes",
            "vspw:/data/VSPW_480p,step=1",
            _open_vspw,
            _NUMBERED,
        ),
        "vipseg": DatasetKind(
            "vipseg:ROOT",
            "every few frames of those of VSPW, 124 classes",
            "vipseg:/data/VIPSeg,step=3",
            _open_vipseg,
            _NUMBERED,
        ),
        "folders": DatasetKind(
            "folders:FILE.toml",
            "folders of frames, or video files, that a file describes",
            "folders:/data/street.toml",
            _open_folders,
            {},
        ),
    }
)
"""The data sets that :func:`~flame_metric.open_dataset` knows, by name."""
