"""The file of a bank: what an OffsetBank holds as one compressed .npz file, written without loss, read without trust.

Its arrays are those of :class:`~flame_metric.scores.offset_counts.OffsetCounts` over all clips; ``header`` is JSON with
the settings of the bank and the ids of its clips.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np

from flame_metric.core.checks import check_integer, check_kind
from flame_metric.core.clock import Fps, as_fps
from flame_metric.core.files import check_members, load_record, pack_arrays, read_array, reading
from flame_metric.errors import StateError, cut, quoted, shortened
from flame_metric.scores.config import ScoreConfig, make_config
from flame_metric.scores.offset_counts import (
    ARRAYS,
    OffsetCounts,
    array_shapes,
    check_counts,
    check_lengths,
    dtype_of,
)

__all__ = ["MAX_OFFSET", "BankSettings", "pack_bank", "read_bank"]

MAX_OFFSET = 10_000
"""A bank reaches no further, in frames."""
_FORMAT = "flame-metric bank 1"
_SETTINGS = ("num_classes", "max_offset", "fps", "ignore_index", "class_names", "persistence")
_EVERY = "every"  # in the header of a camera that leaves out recorded frames
_MOST_HEADER = 2**26  # bytes: a million sequences, whose names have 60 characters each
_BEFORE_ARRAY = 128  # bytes that NumPy writes before those of an array of one axis


@dataclass(frozen=True)
class BankSettings:
    """What a bank is made with.

    Attributes
    ----------
    config : ScoreConfig
        Classes, void label, and which of the recorded frames the camera takes.
    max_offset : int
    fps : Fraction or None
    persistence : bool
        Whether the counts of the labels as predictions are kept too.
    """

    config: ScoreConfig
    max_offset: int
    fps: Fraction | None
    persistence: bool

    @classmethod
    def from_options(
        cls,
        num_classes: int,
        *,
        max_offset: int,
        fps: Fps | None,
        ignore_index: int | None,
        class_names: Sequence[str] | None,
        persistence: bool,
        every: int = 1,
    ) -> BankSettings:
        """Check the options that :class:`~flame_metric.OffsetBank` takes.

        Raises
        ------
        ConfigError
            If a value is out of range.
        """
        config = make_config(num_classes, ignore_index=ignore_index, class_names=class_names)
        most = check_integer("max_offset", max_offset, 0, most=MAX_OFFSET, unit="frames")
        rate = None if fps is None else as_fps(fps)
        check_kind("persistence", persistence, bool, "True or False")
        config = replace(config, every=every)
        return cls(config, most, rate, persistence)

    @property
    def rows(self) -> int:
        """R, the kinds of predictions that are counted."""
        return 2 if self.persistence else 1

    @property
    def offsets(self) -> int:
        """K + 1, the offsets at which they are."""
        return self.max_offset + 1

    def empty(self) -> OffsetCounts:
        """Return the counts of no clip."""
        return OffsetCounts.empty(self.rows, self.offsets, self.config.num_classes)

    def to_dict(self) -> dict[str, Any]:
        """Return the options in types that JSON knows."""
        values = (
            self.config.num_classes,
            self.max_offset,
            None if self.fps is None else str(self.fps),
            self.config.ignore_index,
            self.config.class_names,
            self.persistence,
        )
        known = dict(zip(_SETTINGS, values, strict=True))
        return known if self.config.every == 1 else {**known, _EVERY: self.config.every}


def pack_bank(settings: BankSettings, names: Sequence[str], counts: OffsetCounts) -> bytes:
    """Return the content of the file of a bank, from the ids of its clips and their counts in that order.

    Raises
    ------
    StateError
        If the ids take more than 64 MB.
    """
    header = {"format": _FORMAT, **settings.to_dict(), "sequences": names}
    arrays = {name: getattr(counts, name) for name in ARRAYS}
    text = json.dumps(header).encode()
    _check_header(len(text))
    return pack_arrays({**arrays, "header": np.frombuffer(text, np.uint8)})


def read_bank(file: BinaryIO, name: str) -> tuple[BankSettings, list[str], OffsetCounts]:
    """Read what :func:`pack_bank` returned; ``name`` is that of the file in messages.

    Raises
    ------
    OSError
        If the file cannot be read.
    StateError
        If it is not a bank, or its counts contradict each other.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            check_members(archive, ("header", *ARRAYS), file.seek(0, os.SEEK_END))
            return _read(archive)
    except OSError:
        raise
    except StateError as error:
        raise StateError(f"{name}: {error}") from error
    except Exception as error:  # an archive from outside may break in many ways
        raise StateError(
            f"{name}: is not a {_FORMAT!r} file: {cut(str(error), 400) or type(error).__name__}"
        ) from error


def _read(archive: zipfile.ZipFile) -> tuple[BankSettings, list[str], OffsetCounts]:
    """Read a bank: each array gives the shape that is expected of the next."""
    _check_header(archive.getinfo("header.npy").file_size - _BEFORE_ARRAY)
    record = load_record(read_array(archive, "header", np.uint8, (None,)).tobytes(), _FORMAT)
    with reading(_FORMAT):
        odd = (record.keys() - {_EVERY}) ^ {"format", *_SETTINGS, "sequences"}
        if odd:
            raise StateError(f"the field(s) [{shortened(map(repr, sorted(odd)))}] of the header are missing or unknown")
        settings = BankSettings.from_options(
            **{option: record[option] for option in _SETTINGS}, every=record.get(_EVERY, 1)
        )
        names = _check_names(record["sequences"])
    lengths = {name: read_array(archive, name, np.int64, (len(names),)) for name in ("num_frames", "num_labelled")}
    labelled = check_lengths(names, **lengths)
    shapes = array_shapes(
        settings.rows, settings.offsets, settings.config.num_classes, clips=len(names), labelled=labelled
    )
    others = {
        name: read_array(archive, name, dtype_of(name), shape) for name, shape in shapes.items() if name not in lengths
    }
    counts = OffsetCounts(**lengths, **others)
    check_counts(names, counts, settings.config.space)
    return settings, names, counts


def _check_header(size: int) -> None:
    """Refuse a header that a small file blows up, and to write one that would be refused."""
    if size > _MOST_HEADER:
        raise StateError(f"the header takes {size:,} bytes, expected at most {_MOST_HEADER:,}; use shorter ids")


def _check_names(names: Any) -> list[str]:
    """Return sequence ids that come from outside."""
    if not isinstance(names, list):
        raise StateError(f"`sequences` is {type(names).__name__}, expected a list of ids")
    known: set[str] = set()
    for name in names:
        if not isinstance(name, str) or not name or name in known:
            raise StateError(f"the sequence id {quoted(name)} is not text, is empty or comes twice")
        known.add(name)
    return names
