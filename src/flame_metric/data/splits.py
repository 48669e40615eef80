"""Splits of data sets on disk: the folder they are in, and text files that list the videos of a split."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from flame_metric.core.checks import check_choice
from flame_metric.data.paths import check_folder
from flame_metric.errors import ConfigError, DatasetError, quoted, shortened

__all__ = ["check_chosen", "check_split", "dataset_root", "read_video_names"]

_SPLITS = ("train", "val")


def check_split(split: object) -> None:
    """Refuse what is not a split with labels.

    Raises
    ------
    ConfigError
        If it is anything but "train" and "val".
    """
    if split == "test":
        raise ConfigError("`split` is 'test', whose annotations are not public, expected train or val")
    check_choice("split", split, _SPLITS)


def check_chosen(argument: str, chosen: object, there: Collection[str]) -> None:
    """Refuse a choice that is not a list of names, or names what is not there.

    Parameters
    ----------
    argument : str
        Its name, for the message.
    chosen : collection of str
    there : collection of str
        What can be chosen.

    Raises
    ------
    ConfigError
        If it is anything else, empty, or has a name that is not among ``there``.
    """
    if isinstance(chosen, str) or not isinstance(chosen, Collection):
        raise ConfigError(f"`{argument}` is {quoted(chosen)}, expected a list of names")
    unknown = [name for name in chosen if name not in there]
    if unknown or not chosen:
        found = shortened(map(repr, unknown)) or "none"
        raise ConfigError(f"`{argument}` names {found}, expected some of {shortened(sorted(there), 20)}")


def dataset_root(root: str | os.PathLike[str], holds: str) -> Path:
    """Return the folder of a data set.

    Parameters
    ----------
    root : str or path
    holds : str
        What should be in it, for the message: ``"JPEGImages and Annotations"``.

    Raises
    ------
    DatasetError
        If there is no such folder, or it may not be read.
    """
    path = Path(root)
    check_folder(path, f"the folder that holds {holds}")
    return path


def read_video_names(path: Path, *, of_line: Callable[[str], str] = str) -> list[str]:
    """Read which videos a split has: one a line, in the order of the file, each once.

    Parameters
    ----------
    path : Path
    of_line : callable
        From a line, without spaces around it, to the name of a video; by default the line is the name.

    Raises
    ------
    DatasetError
        If the file is missing, no text, or empty; or if a name is none of a folder, such as ``"../street"``.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp(), "val.txt")
    >>> _ = file.write_text(f"goat/00000.jpg{os.linesep}goat/00001.jpg{os.linesep}camel/00000.jpg")
    >>> read_video_names(file, of_line=lambda line: line.partition("/")[0])
    ['goat', 'camel']
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DatasetError(f"{path}: is missing, expected the list of the videos of {path.stem}", path=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as a list of videos: {error}", path=path) from error
    names: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name = of_line(line.strip())
        if name in ("", ".", "..") or any(character in name for character in "/\\\0"):
            raise DatasetError(
                f"{path}: line {number} is {line.strip()[:80]!r}, expected the name of a video, which is that of a "
                "folder",
                path=path,
            )
        names[name] = None
    if not names:
        raise DatasetError(f"{path}: is empty, expected the names of videos", path=path)
    return list(names)
