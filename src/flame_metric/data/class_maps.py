"""Label maps of a folder as classes: numbers in files, through one look-up, and compared with the classes there are."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from flame_metric.core.labels import LabelSpace
from flame_metric.data.folders import LabelFolder
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.name_parts import normalize_name
from flame_metric.data.paths import check_folder
from flame_metric.data.splits import check_chosen
from flame_metric.errors import ConfigError, DatasetError, shortened
from flame_metric.scores.config import check_class_names

__all__ = ["ClassMaps", "ClassReader"]


@dataclass(frozen=True)
class ClassReader:
    """Reads one label map as classes; small, and picklable.

    Attributes
    ----------
    folder : LabelFolder
    space : LabelSpace
    """

    folder: LabelFolder
    space: LabelSpace

    def __call__(self, path: Path) -> npt.NDArray[Any]:
        """Read a label map.

        Returns
        -------
        ndarray of uint8 or uint16, or of a .npy file's type, (H, W)

        Raises
        ------
        DatasetError
            If the file is missing or damaged, or holds a label that is neither a class nor void.
        """
        labels = self.folder.read(path)
        if labels.dtype.kind not in "iub":
            raise DatasetError(f"{path}: holds {labels.dtype} values, expected integer labels", path=path)
        void = self.space.ignore_index
        others = labels[(labels < 0) | (labels >= self.space.num_classes)]
        if void is not None:
            others = others[others != void]
        if others.size:
            raise DatasetError(
                f"{path}: holds label(s) {shortened(map(str, np.unique(others)))} ({others.size:,} pixels), expected "
                f"{self.space}; if they stand for classes, or for nothing, say so by a label map such as '200:255,*:*'",
                path=path,
            )
        return labels


@dataclass(frozen=True)
class ClassMaps:
    """The label maps in a folder, and what their labels mean.

    Attributes
    ----------
    folder : LabelFolder
    class_names : tuple of str
    space : LabelSpace
    """

    folder: LabelFolder
    class_names: tuple[str, ...]
    space: LabelSpace

    @classmethod
    def scan(
        cls,
        root: str | os.PathLike[str],
        *,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        ignore_index: int | None = None,
        label_map: LabelLookup | str | None = None,
        prefix: str = "",
        suffix: str = "",
    ) -> ClassMaps:
        """Find the label maps below a folder.

        Parameters
        ----------
        root : str or path
        num_classes : int, optional
            C; needed where no names are given.
        class_names : sequence of str, optional
            Of the labels 0..C-1; default: their numbers.
        ignore_index : int, optional
            Label of void pixels, behind ``label_map``.
        label_map : LabelLookup or str, optional
            From labels in the files to classes; text as :meth:`LabelLookup.parse` takes it.
        prefix, suffix : str
            As :meth:`~flame_metric.data.folders.LabelFolder.scan` takes them.

        Raises
        ------
        ConfigError
            If an option is out of range, or number and names of classes are both missing or contradict each other.
        DatasetError
            As :meth:`~flame_metric.data.folders.LabelFolder.scan` raises it.
        """
        names = check_class_names(class_names)
        count = len(names) if num_classes is None and names is not None else num_classes
        if count is None:
            raise ConfigError("`num_classes` is missing, expected it or `class_names`")
        space = LabelSpace(count, ignore_index)
        if names is not None and len(names) != space.num_classes:
            raise ConfigError(f"`class_names` holds {len(names)} names, but `num_classes` is {space.num_classes}")
        if isinstance(label_map, str):
            label_map = LabelLookup.parse(label_map)
        check_folder(Path(root), "a folder")  # on disk: frames and labels are read on access, again and again
        folder = LabelFolder.scan(Path(root), prefix=prefix, suffix=suffix, lookup=label_map)
        return cls(folder, names or tuple(str(label) for label in range(space.num_classes)), space)

    @property
    def read(self) -> ClassReader:
        """What reads one of them."""
        return ClassReader(replace(self.folder, folders={}), self.space)

    @property
    def files(self) -> Mapping[str, Mapping[str, Path]]:
        """The label maps by folder and name of the frame, ``""`` for those in the root itself."""
        return cast("Mapping[str, Mapping[str, Path]]", self.folder.folders)

    def name_of(self, recording: str) -> str:
        """Return the name of a sequence: of a flat folder without names, its own."""
        return recording or self.folder.sequence_name

    def choose(
        self, sequences: Mapping[str, Mapping[str, Path]], chosen: Collection[str] | None = None
    ) -> dict[str, Mapping[str, Path]]:
        """Return the label maps of some or all sequences, by their names.

        A flat folder whose frames have only numbers as names is the sequence that is named as the folder.

        Parameters
        ----------
        sequences : mapping of str to mapping of str to Path
            Label maps by sequence and name of the frame.
        chosen : collection of str, optional
            Default: all.

        Raises
        ------
        ConfigError
            If one is chosen that is not there, or none.
        DatasetError
            If two have one name.
        """
        there = {self.name_of(name): maps for name, maps in sequences.items()}
        if len(there) < len(sequences):
            name = self.name_of("")
            raise DatasetError(
                f"{self.folder.root}: holds frames named only by numbers and others named {name}, expected names "
                "that tell sequences apart",
                path=self.folder.root,
            )
        if chosen is None:
            return there
        if isinstance(chosen, (list, tuple, set, frozenset)):
            chosen = [normalize_name(str(name)) for name in chosen]
        check_chosen("sequences", chosen, there)
        return {name: maps for name, maps in there.items() if name in chosen}
