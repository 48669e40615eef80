"""Rows of a batch of any form: parallel streams lie along its first axis, and go their own ways.

A row keeps the form of its batch with a first axis of 1, so joining rows makes a batch of the same form again:

========================  ==============================================  ====================
a batch of B streams      its rows                                        joined again
========================  ==============================================  ====================
tensor (B, ...)           tensors (1, ...)                                tensor
list of B tensors         tensors (1, ...)                                tensor
list of B other things    lists of one                                    list
dict of batches           dicts of rows                                   dict
None, or None in a list   None: this stream has none at this time step    never joined
========================  ==============================================  ====================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from flame_metric.errors import ShapeError

__all__ = ["copy_tensors", "has_rows", "join_rows", "map_tensors", "num_rows", "rows_of"]


def has_rows(batch: object) -> bool:
    """Whether something can be split into rows, unlike a number, a text or a flag."""
    return isinstance(batch, Mapping | list | tuple) or (isinstance(batch, Tensor) and batch.ndim > 0)


def num_rows(batch: object) -> int:
    """Return the length of the first axis of a batch of any form; 1 for what has none.

    A tuple with names, or inside a dict, is an output of several parts, not a list of rows.
    """
    if isinstance(batch, list) or (isinstance(batch, tuple) and not hasattr(batch, "_fields")):
        return len(batch)
    if isinstance(batch, Mapping | tuple):
        parts = batch.values() if isinstance(batch, Mapping) else batch
        items = (item for part in parts for item in (part if isinstance(part, tuple) else [part]))
        return max(map(num_rows, items), default=1)
    shape: Sequence[int] = getattr(batch, "shape", ())
    return shape[0] if shape else 1


def rows_of(argument: str, batch: Any, streams: int) -> list[Any]:
    """Split a batch into one row for each of the parallel streams.

    Raises
    ------
    ShapeError
        If it has no first axis, or one of another length.
    """
    if batch is None:
        return [None] * streams
    if isinstance(batch, Mapping):
        split = {key: rows_of(f"{argument}[{key!r}]", value, streams) for key, value in batch.items()}
        return [{key: rows[stream] for key, rows in split.items()} for stream in range(streams)]
    if not has_rows(batch):
        raise ShapeError(
            f"`{argument}` is {type(batch).__name__}, expected a tensor, list or dict with a row for each of "
            f"{streams} sequences"
        )
    if len(batch) != streams:
        raise ShapeError(
            f"`{argument}` has {len(batch)} rows for {streams} sequences, expected a row for each id in `sequence`"
        )
    if isinstance(batch, Tensor):
        return [batch[stream : stream + 1] for stream in range(streams)]
    return [_row_of_list(item) for item in batch]


def _row_of_list(item: Any) -> Any:
    if item is None:
        return None
    return item[None] if isinstance(item, Tensor) else [item]


def join_rows(rows: Sequence[Any]) -> Any:
    """Make one batch of rows, at least one and all of one form.

    Raises
    ------
    ShapeError
        If their tensors differ in shape.
    """
    first = rows[0]
    if isinstance(first, Mapping):
        return {key: join_rows([row[key] for row in rows]) for key in first}
    if not isinstance(first, Tensor):
        return [item for row in rows for item in row]
    if any(row.shape != first.shape for row in rows):
        shapes = ", ".join(sorted({str(tuple(row.shape[1:])) for row in rows}))
        raise ShapeError(f"parallel streams have maps of shape {shapes}, expected one shape; update them one by one")
    return torch.cat(list(rows))


def map_tensors(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """Copy lists, tuples and dicts, with a function applied to every tensor in them; deep-copy anything else."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: map_tensors(function, value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        items = [map_tensors(function, item) for item in tree]
        if isinstance(tree, list):
            return items
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    return deepcopy(tree)


def copy_tensors(tree: Any) -> Any:
    """Copy a prediction of any form, without its gradients: it does not change with the caller's tensors."""
    return map_tensors(lambda tensor: tensor.detach().clone(), tree)
