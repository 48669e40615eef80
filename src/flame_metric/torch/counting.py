"""Counting where the label maps lie: the numbers of :mod:`flame_metric.core.counting`, without waiting for the device.

Nothing here reads a value back, so the host never waits. A label that is neither class nor void cannot raise at once
then: its pixels go to a spare bin, and their number is kept until somebody asks for the score. With C classes a label
becomes a bin: 0..C-1 the classes, C void, C + 1 neither. The histogram of the pairs of bins is a table (C + 2, C + 2)
whose sums are the counts and the faults.

A histogram is a function of codes (n,) int64 and their number B; code b < B counts in bin b. There are several:

- ``scatter``: additions into up to 1,024 private columns, which are summed at the end. Neighbouring pixels are mostly
  of one class; each adds in a column of its own, so that additions do not queue up for one address;
- ``histc``: PyTorch's histogram over a fixed range, with float64 counters, exact up to 2**53;
- ``bincount``: the usual idiom, for comparison: it makes the host wait, because its output has the size of its input's
  maximum.

``benchmarks/device_counting.py`` times them side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flame_metric.core.counting import Counts
from flame_metric.core.labels import (
    CodedMap,
    LabelMaps,
    LabelSpace,
    check_map,
    check_pair,
    pair_up,
    shape_message,
    tied_at_infinity,
)
from flame_metric.errors import ShapeError

__all__ = [
    "HISTOGRAM",
    "HISTOGRAMS",
    "DeviceMap",
    "TensorCounts",
    "check_on_device",
    "code_on_device",
    "count_coded_on_device",
    "count_missing_on_device",
    "count_on_device",
    "to_device",
    "to_host",
]

Histogram: TypeAlias = Callable[[Tensor, int], Tensor]

_CHUNK = 1 << 22  # pixels counted at a time: bounds the memory for int64 codes
_MAX_COLUMNS = 1024
_MAX_CELLS = 1 << 18  # of all private columns: 2 MiB of int64, which the cache of a GPU holds


@dataclass(frozen=True, eq=False)
class TensorCounts:
    """Counts of some pairs of label maps on a device: :class:`~flame_metric.core.counting.Counts`, and what was wrong.

    Attributes
    ----------
    per_class : Tensor of int64, (3, C)
        Intersection, predicted, labelled pixels.
    tallies : Tensor of int64, (4,)
        Pairs, labelled frames, valid pixels, all pixels.
    faults : Tensor of int64, (4,)
        Pixels whose target is neither class nor void, those whose prediction is, those with NaN scores, and those with
        +inf for two or more classes. The counts mean nothing unless all are 0.
    """

    per_class: Tensor
    tallies: Tensor
    faults: Tensor

    @classmethod
    def from_faults(cls, faults: Tensor, num_classes: int) -> TensorCounts:
        """Return counts over no pair, with these faults."""
        return cls(faults.new_zeros((3, num_classes)), faults.new_zeros(4), faults)

    @classmethod
    def from_counts(cls, counts: Counts, device: torch.device) -> TensorCounts:
        """Bring checked counts to a device."""
        return cls(
            *(
                torch.tensor(values, dtype=torch.int64, device="cpu").to(device, non_blocking=True)
                for values in (counts.per_class, counts.tallies, (0, 0, 0, 0))
            )
        )

    def __add__(self, other: TensorCounts) -> TensorCounts:
        return TensorCounts(self.per_class + other.per_class, self.tallies + other.tallies, self.faults + other.faults)


def scatter(codes: Tensor, num_bins: int) -> Tensor:
    """Add ones into private columns and sum them."""
    columns = 1 << max(0, min(_MAX_COLUMNS, _MAX_CELLS // num_bins).bit_length() - 1)
    table = torch.zeros((num_bins, columns), dtype=torch.int64, device=codes.device)
    one = torch.ones((), dtype=torch.int64, device=codes.device)
    whole = codes.numel() // columns * columns
    for rows in (codes[:whole].reshape(-1, columns), codes[whole:].reshape(1, -1)):  # the last row is a shorter one
        table.scatter_add_(0, rows, one.expand(rows.shape))
    return table.sum(dim=1)


def histc(codes: Tensor, num_bins: int) -> Tensor:
    """Let PyTorch make a histogram whose bins have the codes in their middle."""
    return torch.histc(codes.double(), bins=num_bins, min=-0.5, max=num_bins - 0.5).long()


def bincount(codes: Tensor, num_bins: int) -> Tensor:
    """Count as most metrics do; on a GPU the host waits."""
    return torch.bincount(codes, minlength=num_bins)


HISTOGRAMS = MappingProxyType({"scatter": scatter, "histc": histc, "bincount": bincount})
HISTOGRAM: Histogram = HISTOGRAMS["scatter"]
"""The one that is used: its int64 counters make counts of any size exact, the host never waits for the device, and
neighbouring pixels of one class do not contend for a counter. ``benchmarks/device_counting.py`` compares all three."""


@dataclass(frozen=True, eq=False)
class DeviceMap:
    """Label maps that were read where they lie, to be counted against ground truth that may come later.

    Attributes
    ----------
    numbers : Tensor of uint8 or uint16, (..., H, W)
        Classes 0..C-1, C for void, C + 1 for labels that are neither.
    faults : Tensor of int64, (4,)
        Those of the prediction, as :class:`TensorCounts` has them.
    """

    numbers: Tensor
    faults: Tensor


def to_device(coded: CodedMap, device: torch.device) -> Tensor:
    """Return the numbers of a map that was coded on the host on a device; the host does not wait for it."""
    return torch.from_numpy(coded.pixels().reshape(coded.shape)).to(device, non_blocking=True)


def to_host(numbers: Tensor, space: LabelSpace) -> CodedMap:
    """Return a :class:`DeviceMap`'s numbers as a map is coded on the host, which waits for them.

    Labels that are neither class nor void become void: they were counted as faults when the map was read.
    """
    return CodedMap.from_numbers(np.minimum(numbers.cpu().numpy(), space.num_classes).astype(np.uint16))


@torch.no_grad()
def count_on_device(
    preds: LabelMaps, target: LabelMaps, space: LabelSpace, *, histogram: Histogram = HISTOGRAM
) -> TensorCounts:
    """Count pairs of label maps on the device where they lie.

    Parameters
    ----------
    preds, target
        As :func:`~flame_metric.confusion_matrix` takes them, but tensors or lists of tensors, all on one device.
    space : LabelSpace
        The labels that they may hold.
    histogram : callable
        One of ``HISTOGRAMS``.

    Raises
    ------
    LabelError, ShapeError
        If dtypes or shapes do not belong together; what is wrong with values is counted.

    Examples
    --------
    >>> counted = count_on_device(torch.tensor([[0, 1, 7]]), torch.tensor([[0, 0, 1]]), LabelSpace(2))
    >>> counted.per_class
    tensor([[1, 0],
            [1, 1],
            [2, 1]])
    >>> counted.faults
    tensor([0, 1, 0, 0])
    """
    found = []
    for pred, labels in pair_up(preds, target):
        scores = check_pair(_outline(pred), _outline(labels), space)
        coded = _code(pred, space, scores=scores)
        counted = _count(coded.numbers, labels, space, histogram)
        found.append(replace(counted, faults=counted.faults + coded.faults))
    return sum(found[1:], start=found[0])


@torch.no_grad()
def code_on_device(pred: Tensor, space: LabelSpace) -> DeviceMap:
    """Read one label map (H, W), or scores (C, H, W), where it lies, for :func:`count_coded_on_device`.

    Raises
    ------
    LabelError, ShapeError
        As :func:`flame_metric.core.labels.code_map` does, of dtypes and shapes; what is wrong with values is counted.
    """
    return _code(pred, space, scores=check_on_device(pred, "pred", space))


def check_on_device(maps: Tensor, argument: str, space: LabelSpace) -> bool:
    """Check the dtype and shape of one map, as :func:`flame_metric.core.labels.check_map` does and returns."""
    return check_map(_outline(maps), argument, space)


@torch.no_grad()
def count_coded_on_device(numbers: Tensor, target: Tensor, space: LabelSpace) -> TensorCounts:
    """Count the numbers (H, W) of a :class:`DeviceMap` against ground truth (H, W) on the same device.

    The faults are those of the target: those of the prediction are known since it was read.

    Raises
    ------
    ShapeError
        If the two differ in shape.
    """
    if numbers.shape != target.shape:
        raise ShapeError(shape_message(tuple(numbers.shape), tuple(target.shape)))
    return _count(numbers, target, space, HISTOGRAM)


def count_missing_on_device(target: LabelMaps, space: LabelSpace) -> TensorCounts:
    """Count targets for which no prediction was there yet, as :func:`flame_metric.core.counting.count_missing` does."""
    perfect = count_on_device(target, target, space)
    for nothing in (perfect.per_class[:2], perfect.tallies[:1], perfect.faults[1:]):
        nothing.zero_()
    return perfect


def _code(pred: Tensor, space: LabelSpace, *, scores: bool) -> DeviceMap:
    undecided = torch.zeros(2, dtype=torch.int64, device=pred.device)
    if scores:
        best, labels = pred.max(dim=-3)  # the lowest class among equal ones; carries NaN along
        undecided = torch.stack([best.isnan().sum(), (tied_at_infinity(pred) & best.isposinf()).sum()])
        pred = labels
    numbers = torch.empty(pred.shape, dtype=_narrowest(space.num_classes + 1), device=pred.device)
    wrong = torch.zeros(1, dtype=torch.int64, device=pred.device)
    for labels, written in zip(*(torch.split(maps.reshape(-1), _CHUNK) for maps in (pred, numbers)), strict=True):
        bins = _bins(labels, space)
        written.copy_(bins)
        wrong += (bins == space.num_classes + 1).sum()
    return DeviceMap(numbers, torch.cat([torch.zeros_like(wrong), wrong, undecided]))


def _count(numbers: Tensor, target: Tensor, space: LabelSpace, histogram: Histogram) -> TensorCounts:
    """Count maps of numbers against ground truth of the same shape."""
    side = space.num_classes + 2
    table = torch.zeros(side * side, dtype=torch.int64, device=target.device)
    for p, t in zip(*(torch.split(maps.reshape(-1), _CHUNK) for maps in (numbers, target)), strict=True):
        table += histogram(_bins(t, space) * side + p.to(torch.int64), side * side)
    return _from_table(table.view(side, side), math.prod(target.shape[:-2]), target.numel())


def _from_table(table: Tensor, maps: int, pixels: int) -> TensorCounts:
    num_classes = len(table) - 2
    valid = table[:num_classes]
    classes = valid[:, :num_classes]
    per_class = torch.stack([classes.diagonal(), classes.sum(dim=0), valid.sum(dim=1)])
    number_of_maps, number_of_pixels = (torch.full_like(table[0, 0], number) for number in (maps, pixels))
    tallies = torch.stack([number_of_maps, number_of_maps, valid.sum(), number_of_pixels])
    wrong = table[-1].sum()[None]
    return TensorCounts(per_class, tallies, torch.cat([wrong, wrong.new_zeros(3)]))


def _narrowest(most: int) -> torch.dtype:
    return torch.uint8 if most <= _range(torch.uint8)[1] else torch.uint16


def _bins(labels: Tensor, space: LabelSpace) -> Tensor:
    """Return 0..C-1 for a class, C for void and C + 1 for any other label, int64."""
    wide = labels.to(torch.int64)
    bins = wide.masked_fill((wide < 0) | (wide >= space.num_classes), space.num_classes + 1)
    void = space.ignore_index
    least, most = (0, 1) if labels.dtype == torch.bool else _range(labels.dtype)
    if void is not None and least <= void <= most:
        # What int64 cannot hold is there modulo 2**64, in labels and in the void label alike.
        bins.masked_fill_(wide == (void + 2**63) % 2**64 - 2**63, space.num_classes)
    return bins


def _range(dtype: torch.dtype) -> tuple[int, int]:
    info = torch.iinfo(dtype)
    return info.min, info.max


def _outline(maps: Tensor) -> npt.NDArray[Any]:
    """Make an array of the same shape and dtype without memory of its own, for checks that look at no value."""
    narrow = maps.is_floating_point() and maps.element_size() < 4  # such as bfloat16, which NumPy does not have
    dtype = "float32" if narrow else str(maps.dtype).removeprefix("torch.")
    return np.broadcast_to(np.zeros((), dtype), tuple(maps.shape))
