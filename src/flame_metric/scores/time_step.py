"""Time steps: what one call brings, taken apart into frames of clips.

A call brings one frame, or a batch of them: the rows of a batch are time steps, in order. With one id they are
consecutive frames of that clip; with a list of ids, each row belongs to the clip of its id, and an id may be there
several times. A map and a batch of maps are told apart by their dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flame_metric.core.checks import check_id, is_integer
from flame_metric.core.labels import LabelMaps, as_numpy
from flame_metric.errors import ConfigError, ShapeError

__all__ = ["TimeStep", "frame_numbers", "sequence_ids", "split_time_steps"]


@dataclass(frozen=True, eq=False)
class TimeStep:
    """One frame of a clip: its output and its ground truth.

    Attributes
    ----------
    sequence : str
    number : int or None
        That of the frame, where frames are numbered.
    pred, target : LabelMaps or None
        None where the network was not run, or the frame is unlabelled.
    """

    sequence: str
    number: int | None
    pred: LabelMaps | None
    target: LabelMaps | None


def split_time_steps(pred: LabelMaps | None, target: LabelMaps | None, sequence: Any, frame: Any) -> list[TimeStep]:
    """Take a call apart into its time steps, one for each row of a batch.

    Parameters
    ----------
    pred : label map (H, W) or scores (C, H, W), a batch (N, H, W) or (N, C, H, W), a list of N with None, or None
    target : label map (H, W), a batch (N, H, W), a list of N with None, or None
    sequence : str or list of N str
    frame : int, or N of them (list, array or tensor), or None

    Raises
    ------
    ConfigError
        If an id is not text, or a frame number is not a whole number >= 0.
    ShapeError
        If there are not as many rows on all sides.
    """
    sides = {"pred": pred, "target": target}
    rows = {name: _rows(name, maps) for name, maps in sides.items()}
    if isinstance(sequence, str):
        ids: Sequence[str] = [sequence] * _length(rows, sides, frame)
    else:
        ids = sequence_ids(sequence)
        for name, found in rows.items():
            if sides[name] is not None and (found is None or len(found) != len(ids)):
                size = "is one label map" if found is None else f"has {len(found)} rows"
                raise ShapeError(f"`{name}` {size} for {len(ids)} sequences, expected a row for each id in `sequence`")
    by_row = {name: [sides[name]] * len(ids) if found is None else found for name, found in rows.items()}
    numbers = frame_numbers(frame, len(ids))
    return [TimeStep(*step) for step in zip(ids, numbers, by_row["pred"], by_row["target"], strict=True)]


def _length(rows: dict[str, list[Any] | None], sides: dict[str, Any], frame: Any) -> int:
    """Return how many frames of one clip a call brings."""
    given = {name: rows[name] for name, maps in sides.items() if maps is not None}
    batches = {name: len(found) for name, found in given.items() if found is not None}
    if not given:
        return len(frame) if _is_many(frame) else 1
    if not batches:
        return 1
    if len(batches) < len(given) or len(set(batches.values())) > 1:
        found = " and ".join(f"`{name}` {_size(sides[name], rows[name])}" for name in given)
        cause = "is one missing, or an axis of 1 too many? None is for a frame, or for all of one side"
        if not batches.keys() - {"target"} and getattr(sides["pred"], "shape", ()) == getattr(
            sides["target"], "shape", None
        ):
            cause = "floats are scores with a class axis before (H, W); convert labels with .astype(int)"
        raise ShapeError(f"{found}, expected as many predictions as targets: {cause}")
    (length,) = set(batches.values())
    if not length:
        found = " and ".join(f"`{name}` {_size(sides[name], rows[name])}" for name in given)
        raise ShapeError(f"{found}: no label maps, expected one at least")
    return length


def _size(maps: Any, rows: list[Any] | None) -> str:
    if hasattr(maps, "shape") and hasattr(maps, "dtype"):
        return f"holds {maps.dtype} values of shape {tuple(maps.shape)}"
    return "is one label map" if rows is None else f"holds {len(rows)} label maps"


def _rows(argument: str, maps: Any) -> list[Any] | None:
    """Return the rows of a batch; None for what is a single map."""
    if maps is None:
        return None
    if isinstance(maps, list | tuple) and any(not _is_nested(item) for item in maps):
        return list(maps)  # maps, or None
    if isinstance(maps, list | tuple) and not maps:
        return []
    array = maps if hasattr(maps, "ndim") and hasattr(maps, "dtype") else _as_array(argument, maps)
    axes = array.ndim - (argument == "pred" and _is_floating(array))
    if not 2 <= axes <= 3:
        wanted = "one label map (H, W) or a batch of them (N, H, W)" + (", or scores of either" * (argument == "pred"))
        hint = ""
        if axes == 4 and array.shape[-3] == 1:
            hint = f"; drop the axis of 1 with {argument}.squeeze(-3)"
        elif axes == 4 and argument == "pred":
            hint = "; one-hot or quantised scores become labels with pred.argmax(-3)"
        raise ShapeError(f"`{argument}` {_size(array, None)}, expected {wanted}{hint}")
    return list(array) if axes == 3 else None


def _is_nested(item: Any) -> bool:
    """Whether an item of a list is a row of numbers in nested lists, and not a map of its own."""
    return isinstance(item, list | tuple | int | float | np.generic)


def _as_array(argument: str, maps: Any) -> Any:
    try:
        return as_numpy(maps)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ShapeError(f"`{argument}` is not an array of labels or a list of them: {error}") from error


def _is_floating(array: Any) -> bool:
    floating = getattr(array, "is_floating_point", None)
    return bool(floating()) if callable(floating) else array.dtype.kind == "f"


def _is_many(frame: Any) -> bool:
    return frame is not None and getattr(frame, "ndim", 1) > 0 and not is_integer(frame)


def sequence_ids(sequence: Any) -> Sequence[str]:
    """Return the list of ids of a batch.

    Raises
    ------
    ConfigError
        If it is empty, or holds something other than text.
    """
    if not isinstance(sequence, list | tuple):
        check_id(sequence)
        return [sequence]
    if not sequence:
        raise ConfigError("`sequence` is empty, expected a text id, or a list with one for each row of the batch")
    for name in sequence:
        check_id(name, least=1)
    return sequence


def frame_numbers(frame: Any, rows: int) -> list[int | None]:
    """Return the frame number of each row of a call; one number is that of all rows.

    Raises
    ------
    ConfigError
        If one is not a whole number >= 0, or there are not as many as rows.
    """
    if frame is None:
        return [None] * rows
    listed = frame
    if hasattr(frame, "tolist"):  # an array or a tensor
        listed = frame.tolist()
    if not isinstance(listed, list | tuple):
        listed = [listed] * rows
    if len(listed) != rows:
        raise ConfigError(f"`frame` holds {len(listed)} numbers for {rows} frames, expected one for each")
    listed = [number.item() if getattr(number, "ndim", None) == 0 else number for number in listed]
    for number in listed:
        if not is_integer(number) or number < 0:
            raise ConfigError(f"`frame` holds {number!r}, expected whole numbers >= 0")
    return [int(number) for number in listed]
