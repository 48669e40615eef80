"""Records: counts per sequence as JSON, read back without loss and never on trust.

Integers are written as integers of any size, so nothing is rounded. On the way in every number is checked against the
others: a record that was damaged or edited must not become a score.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from flame_metric.core.counting import Counts
from flame_metric.errors import FlameError, StateError

__all__ = ["MAX_COUNT", "load_record", "reading", "sequences_from_list", "sequences_to_list"]

MAX_COUNT = 2**62
"""No count is larger: that leaves room for adding, as sums are 64-bit integers."""


def sequences_to_list(sequences: Mapping[str, Counts]) -> list[dict[str, Any]]:
    """Return the counts of each sequence in types that JSON knows, sorted by id."""
    return [
        {
            "id": name,
            "pairs": counts.pairs,
            "labelled_frames": counts.labelled_frames,
            "valid_pixels": counts.valid_pixels,
            "all_pixels": counts.all_pixels,
            "intersection": counts.per_class[0].tolist(),
            "predicted": counts.per_class[1].tolist(),
            "labelled": counts.per_class[2].tolist(),
        }
        for name, counts in sorted(sequences.items())
    ]


def sequences_from_list(records: Any, num_classes: int) -> dict[str, Counts]:
    """Read what :func:`sequences_to_list` returned.

    Raises
    ------
    StateError
        If an id comes twice, or counts are no integers >= 0 or contradict each other.
    """
    sequences: dict[str, Counts] = {}
    for entry in records:
        name = entry["id"]
        if not isinstance(name, str) or name in sequences:
            raise StateError(f"sequence id {name!r} is no text or comes twice")
        sequences[name] = _counts(entry, name, num_classes)
    for total in ("all_pixels", "labelled_frames"):  # the largest pixel and map counts: no sum of others exceeds them
        if sum(entry[total] for entry in records) > MAX_COUNT:
            raise StateError(f"the sequences hold more {total} than 64 bits can count")
    return sequences


def _counts(entry: Mapping[str, Any], name: str, num_classes: int) -> Counts:
    rows = [entry[row] for row in ("intersection", "predicted", "labelled")]
    tallies = [entry[tally] for tally in ("pairs", "labelled_frames", "valid_pixels", "all_pixels")]
    for value in (*tallies, *(value for row in rows for value in row)):
        if type(value) is not int or not 0 <= value <= MAX_COUNT:
            raise StateError(f"sequence {name!r} holds the count {value!r}, expected an integer 0..2**62")
    if any(len(row) != num_classes for row in rows):
        raise StateError(f"sequence {name!r} counts {[len(row) for row in rows]} classes, expected {num_classes}")
    pairs, labelled_frames, valid, everything = tallies
    intersection, predicted, labelled = rows
    consistent = (
        all(
            # Of the wrong pixels, those wrongly given to a class and those wrongly taken from it are different ones.
            i <= min(p, t) and (p - i) + (t - i) <= valid - sum(intersection)
            for i, p, t in zip(intersection, predicted, labelled, strict=True)
        )
        and sum(predicted) <= sum(labelled) == valid <= everything
        and pairs <= labelled_frames
        and not (sum(predicted) and not pairs)
        and not (everything and not labelled_frames)
    )
    if not consistent:
        raise StateError(f"the counts of sequence {name!r} contradict each other; was the record edited or damaged?")
    return Counts(np.array(rows, np.int64), pairs, labelled_frames, valid, everything)


def load_record(text: str | bytes, format: str) -> dict[str, Any]:
    """Parse JSON text that must be an object of the given format.

    Raises
    ------
    StateError
        If it is no JSON, names something twice in one object, or is of another format.
    """
    try:
        record = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, TypeError, RecursionError) as error:
        raise StateError(f"this is no {format!r} record: {error}") from error
    found = record.get("format") if isinstance(record, dict) else type(record).__name__
    if found != format:
        raise StateError(f"this is a record of format {found!r}, expected {format!r}")
    return dict(record)


@contextmanager
def reading(format: str) -> Iterator[None]:
    """Turn whatever goes wrong while a record is taken apart into a StateError."""
    try:
        yield
    except StateError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, FlameError) as error:
        detail = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise StateError(f"this {format!r} record is incomplete or damaged: {detail}") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its entries; of two with one name, some programs read the first, some the last."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} comes twice in one object")
        found[name] = value
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no count")
