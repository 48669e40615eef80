"""Label lookup: labels as they lie in files become classes, through one table and in one step.

One step, because maps applied one label after the other chain: {6: 9, 9: 7} would turn 6 into 7.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import is_integer
from flame_metric.errors import ConfigError, DatasetError, LabelError, cut, quoted, shortened

__all__ = ["KEEP", "LabelLookup"]

KEEP = "*"
"""As a default: every label that is not mentioned keeps its value."""

_MAX_LABEL = 65_535


@dataclass(frozen=True)
class LabelLookup:
    """A table from labels in files to classes.

    Parameters
    ----------
    mapping : Mapping of int to int
        Label in the file -> label to count, both 0..65535.
    default : int, ``"*"`` or None
        What every other label becomes; ``"*"`` keeps it; None refuses it.

    Raises
    ------
    ConfigError
        If a label is out of range: -1 would wrap to 255 in a file of bytes.

    Examples
    --------
    >>> lookup = LabelLookup.parse("0:0,*:1")
    >>> lookup.apply(np.array([[0, 3, 255]], np.uint8))
    array([[0, 1, 1]], dtype=uint8)
    """

    mapping: Mapping[int, int]
    default: int | str | None = None
    _tables: dict[int, npt.NDArray[Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values: list[object] = [*self.mapping.keys(), *self.mapping.values()]
        values += [] if self.default in (None, KEEP) else [self.default]
        for value in values:
            if not is_integer(value) or not 0 <= value <= _MAX_LABEL:
                raise ConfigError(
                    f"the label map names {quoted(value)}, expected labels 0..{_MAX_LABEL}; for void take a free label "
                    "such as 255 and pass it as ignore_index"
                )

    @classmethod
    def parse(cls, text: str) -> LabelLookup:
        """Read ``"0:0,255:1"``, ``"0:0,*:1"`` (every other label becomes 1) or ``"11:255,*:*"`` (keeps its value).

        Raises
        ------
        ConfigError
            If it is none of that, or a label comes twice.
        """
        mapping: dict[str, int | str] = {}
        for item in text.split(","):
            source, colon, target = (part.strip() for part in item.partition(":"))
            keeps = source == target == KEEP
            if not colon or not (_is_number(source) or source == KEEP) or not (_is_number(target) or keeps):
                raise ConfigError(
                    f"`{item.strip()[:40]}` is not part of a label map, expected such as '0:0,255:1' or '0:0,*:1'"
                )
            source = source if source == KEEP else str(int(source))
            if source in mapping:
                raise ConfigError(f"the label map names label {source} twice: {cut(text, 100)}")
            mapping[source] = KEEP if keeps else int(target)
        default = mapping.pop(KEEP, None)
        return cls({int(source): int(target) for source, target in mapping.items()}, default)

    def to_text(self) -> str:
        """Return the text that :meth:`parse` reads as this.

        Examples
        --------
        >>> LabelLookup({0: 0, 255: 1}, KEEP).to_text()
        '0:0,255:1,*:*'
        """
        items = [*self.mapping.items(), *([] if self.default is None else [(KEEP, self.default)])]
        return ",".join(f"{source}:{target}" for source, target in items)

    def apply(self, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the mapped labels as a new array; the given one is not changed.

        Parameters
        ----------
        labels : ndarray of int, any shape
            Labels 0..65535.

        Returns
        -------
        ndarray of uint8, or of uint16 if a label above 255 can come out

        Raises
        ------
        LabelError
            If labels are not integers, out of range, or not mentioned and there is no default.
        """
        if labels.dtype.kind not in "iub":
            raise LabelError(f"a label map needs integer labels, found {labels.dtype}")
        size = 256 if labels.dtype.itemsize == 1 and labels.dtype.kind in "ub" else _MAX_LABEL + 1
        if size > 256 and labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= _MAX_LABEL:
            raise LabelError(f"labels {labels.min()}..{labels.max()} found, expected 0..{_MAX_LABEL}")
        table = self._table(size)
        index: npt.NDArray[np.integer[Any]] = labels.astype(
            np.uint8 if labels.dtype.itemsize == 1 else np.intp, copy=False
        )
        mapped = np.take(table, index)
        if self.default is None:
            unknown = mapped == self._unmentioned()
            if unknown.any():
                values, pixels = np.unique(index[unknown], return_counts=True)
                shown = ", ".join(str(value) for value in values[:10])
                raise LabelError(
                    f"label(s) [{shown}] ({int(pixels.sum()):,} pixels) are not in the label map; "
                    f"add {values[0]}:CLASS, '*:CLASS' for all others, or '*:*' to keep them"
                )
        return mapped

    def apply_to_file(
        self, labels: npt.NDArray[Any], path: str | os.PathLike[str], *, expected: str
    ) -> npt.NDArray[Any]:
        """Map the labels of a file: as :meth:`apply`, with an error that names the file.

        Parameters
        ----------
        labels : ndarray of int, any shape
        path : str or path
        expected : str
            Which labels it should hold, for the message, with a hint where there is one.

        Raises
        ------
        DatasetError
            If labels are not mentioned and there is no default.
        """
        try:
            return self.apply(labels)
        except LabelError:
            others = labels[~np.isin(labels, list(self.mapping))]
            found = shortened(str(value) for value in np.unique(others).tolist())
            raise DatasetError(
                f"{path}: holds label(s) {found} ({others.size:,} pixels), expected {expected}", path=path
            ) from None

    def _unmentioned(self) -> int:
        """Return a value that no label maps to, to mark labels without an entry."""
        taken = set(self.mapping.values())
        return next((value for value in range(255, -1, -1) if value not in taken), _MAX_LABEL)

    def _table(self, size: int) -> npt.NDArray[Any]:
        if size not in self._tables:
            if self.default == KEEP:
                table = np.arange(size)
            else:
                table = np.full(size, self._unmentioned() if self.default is None else self.default)
            for source, target in self.mapping.items():
                if source < size:
                    table[source] = target
            self._tables[size] = table.astype(np.uint8 if table.max() < 256 else np.uint16)
        return self._tables[size]


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) < 20  # Python refuses to read thousands of digits
