"""What the tensors of a FlameMetric hold, and the FlameMeter that they stand for.

Five tensors hold all that it has counted, so that whatever saves, copies, moves or compares the state of a metric takes
all of it along:

- ``configuration``: uint8, JSON of the :class:`~flame_metric.scores.config.ScoreConfig`;
- ``sequence_index``: uint8, JSON of the :class:`SequenceIndex`, and in a ``state_dict`` the predictions that wait;
- ``counts``: int64 (S, 3, C), intersection, predicted and labelled pixels of each sequence and class;
- ``tallies``: int64 (S, 4), pairs, labelled frames, valid pixels, all pixels;
- ``faults``: int64 (S, 4), pixels with a wrong target, a wrong prediction, NaN scores, and scores of +inf for several
  classes, as counted on a device. States of earlier releases lack the last column.

The first two stay on the host, which has to read them; the others are on the device of the metric.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from flame_metric.core.counting import Counts
from flame_metric.core.files import reading
from flame_metric.core.labels import CodedMap, LabelSpace, coded_from_dict
from flame_metric.errors import LabelError, StateError, shortened
from flame_metric.scores.clips import RunningClips
from flame_metric.scores.config import ScoreConfig
from flame_metric.scores.meter import FlameMeter
from flame_metric.scores.result import FlameResult

__all__ = [
    "HOST_STATES",
    "ROW_STATES",
    "SequenceIndex",
    "SpareRows",
    "check_saved_state",
    "check_state",
    "clips_of",
    "encode",
    "meter_of",
    "state_of",
]

HOST_STATES = ("configuration", "sequence_index")
ROW_STATES = ("counts", "tallies", "faults")
_STATES = (*HOST_STATES, *ROW_STATES)
_LEAST_ROWS = 16
_NAME = "FlameMetric state"


@dataclass(frozen=True)
class SequenceIndex:
    """Which row belongs to which sequence, and what may still be added.

    Attributes
    ----------
    rows : dict of str to int
        The row of each sequence id.
    closed : frozenset of str
        Ids of the sequences that were scored as a whole.
    by_schedule : bool or None
        As :attr:`flame_metric.FlameMeter.by_schedule`.
    unlabelled : frozenset of str
        Ids whose row only holds faults: no labelled frame has come yet.
    """

    rows: dict[str, int] = field(default_factory=dict)
    closed: frozenset[str] = frozenset()
    by_schedule: bool | None = None
    unlabelled: frozenset[str] = frozenset()

    def to_tensor(self, clips: RunningClips[Any], write: Callable[[Any], Any] | None = None) -> Tensor:
        """Write it as JSON bytes, with the clips that were stepped, and what waits in them if ``write`` is given."""
        return encode(
            {
                "sequences": list(self.rows),
                "closed": sorted(self.closed),
                "by_schedule": self.by_schedule,
                "unlabelled": sorted(self.unlabelled),
                "clips": clips.to_dict(write),
            }
        )

    @classmethod
    def from_tensor(cls, index: Tensor) -> SequenceIndex:
        """Read what :meth:`to_tensor` wrote."""
        record = _decode(index)
        rows = {name: row for row, name in enumerate(record["sequences"])}
        unlabelled = frozenset(record.get("unlabelled", ()))  # earlier releases have none
        return cls(rows, frozenset(record["closed"]), record["by_schedule"], unlabelled)


class SpareRows:
    """Room behind the last row of a tensor, so that one more row rarely costs a copy of all rows.

    A tensor with room is a view of its first rows. A row is written only behind the last one in use, and only for the
    view that ends there: all others, such as one that two metrics share, are copied to room of their own first.
    """

    def __init__(self) -> None:
        self._room: Tensor | None = None
        self._in_use = 0

    def append(self, rows: Tensor, row: Tensor) -> Tensor:
        """Return the rows and one more."""
        room = self._room
        if room is None or not self._ends_with(rows) or self._in_use == len(room):
            room = rows.new_zeros((max(_LEAST_ROWS, 2 * len(rows)), *rows.shape[1:]))
            room[: len(rows)] = rows
        self._room, self._in_use = room, len(rows) + 1
        room[len(rows)] = row
        return room[: len(rows) + 1]

    def _ends_with(self, rows: Tensor) -> bool:
        room = self._room
        if room is None or (room.is_inference() and not torch.is_inference_mode_enabled()):  # may not be changed
            return False
        return (room.device, room.data_ptr(), self._in_use) == (rows.device, rows.data_ptr(), len(rows))


def encode(record: Any) -> Tensor:
    """Write what JSON knows as a uint8 tensor on the host."""
    return torch.frombuffer(bytearray(json.dumps(record).encode()), dtype=torch.uint8)


def _decode(text: Tensor) -> Any:
    return json.loads(text.cpu().numpy().tobytes())


def clips_of(index: Tensor, config: ScoreConfig) -> RunningClips[CodedMap]:
    """Return the clips that an index holds, with what waits if that was written."""
    offset = config.frame_offset or 0
    record = _decode(index).get("clips")  # earlier releases have none
    if record is None:
        return RunningClips(offset)
    return RunningClips.from_dict(record, offset, partial(coded_from_dict, space=config.space))


def meter_of(state: Mapping[str, Tensor], clips: RunningClips[CodedMap] | None = None) -> FlameMeter:
    """Return the meter that a state stands for.

    Parameters
    ----------
    state : mapping
        The five tensors.
    clips : RunningClips, optional
        Those of the meter; default: what the index holds of them.

    Raises
    ------
    LabelError
        If labels or scores were wrong: the counts of those calls mean nothing.
    """
    config = ScoreConfig.from_dict(_decode(state["configuration"]))
    index = SequenceIndex.from_tensor(state["sequence_index"])
    _check_faults(state["faults"].cpu(), list(index.rows), config.space)
    counts, tallies = state["counts"].cpu().numpy(), state["tallies"].tolist()
    sequences = {
        name: Counts(counts[row], *tallies[row]) for name, row in index.rows.items() if name not in index.unlabelled
    }
    clips = clips_of(state["sequence_index"], config) if clips is None else clips
    return FlameMeter.from_counts(config, sequences, closed=index.closed, by_schedule=index.by_schedule, clips=clips)


def state_of(meter: FlameMeter, device: torch.device) -> dict[str, Tensor]:
    """Return the state that stands for a meter; what waits in it is left out."""
    held = FlameResult.from_counts(meter.config, meter.sequences)
    index = SequenceIndex({name: row for row, name in enumerate(held.sequences)}, meter.closed, meter.by_schedule)
    return {
        "configuration": encode(meter.config.to_dict()),
        "sequence_index": index.to_tensor(meter.clips),
        "counts": torch.tensor(held.counts, device=device),
        "tallies": torch.tensor(held.tallies, device=device),
        "faults": torch.zeros((len(held.sequences), 4), dtype=torch.int64, device=device),
    }


def check_state(state: Mapping[str, Any], config: ScoreConfig) -> dict[str, Tensor]:
    """Return copies of a state from elsewhere, if it belongs to a configuration and may be what a metric held.

    Raises
    ------
    StateError
        If it is of another configuration, or incomplete or damaged.
    """
    missing = [name for name in _STATES if not isinstance(state.get(name), Tensor)]
    if missing:
        raise StateError(f"the state lacks {shortened(missing)}, expected the tensors {', '.join(_STATES)}")
    with reading(_NAME):
        copies = {name: state[name].detach().clone() for name in _STATES}
        if copies["faults"].shape[1:] == (3,):
            copies["faults"] = torch.nn.functional.pad(copies["faults"], (0, 1))
        found = ScoreConfig.from_dict(_decode(copies["configuration"]))
        differences = config.differences(found)
        if differences:
            raise StateError(f"the state is of another configuration than this metric: {'; '.join(differences)}")
        copies["configuration"] = encode(config.to_dict())  # as this release writes it
        _check_layout(copies, config)
        # The counts are checked against each other as those of a record are.
        FlameMeter.from_json(meter_of({**copies, "faults": torch.zeros_like(copies["faults"])}).to_json())
    for name in HOST_STATES:
        copies[name] = copies[name].cpu()
    return copies


def check_saved_state(state: Mapping[str, Any], config: ScoreConfig, prefix: str) -> dict[str, Tensor]:
    """Return copies of a state from a ``state_dict``, as :func:`check_state` does; an empty one belongs to any metric.

    A network that was trained with a metric inside is loaded to be scored at another latency: the state of that metric
    is no obstacle unless it holds counts.

    Raises
    ------
    StateError
        As :func:`check_state` does; if it holds counts of another configuration, with what to do about it.
    """
    with reading(_NAME):
        found = ScoreConfig.from_dict(_decode(state["configuration"])) if "configuration" in state else config
    try:
        checked = check_state(state, found)
        if not (checked["counts"].numel() or clips_of(checked["sequence_index"], found).names):
            return state_of(FlameMeter.from_config(config), checked["counts"].device)
        return check_state(state, config)
    except StateError as error:
        if not config.differences(found):
            raise
        remedy = "call reset() before saving"
        if prefix:
            remedy += f", or leave out the keys that begin with {prefix!r}"
        raise StateError(f"{error}; {remedy}") from error


def _check_layout(state: Mapping[str, Tensor], config: ScoreConfig) -> None:
    index = _decode(state["sequence_index"])
    names = index["sequences"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise StateError("the state names a sequence twice, or not by text")
    if not set(index.get("unlabelled", ())) <= set(names):
        raise StateError("the state has sequences without labels that it does not hold")
    for name, width in (("counts", (3, config.num_classes)), ("tallies", (4,)), ("faults", (4,))):
        found, expected = state[name], (len(names), *width)
        if found.dtype != torch.int64 or found.shape != expected:
            raise StateError(
                f"`{name}` of the state is {found.dtype} of shape {tuple(found.shape)}, expected int64 of {expected}"
            )
    if (state["faults"] < 0).any():
        raise StateError("`faults` of the state holds negative numbers of pixels")


def _check_faults(faults: Tensor, names: list[str], space: LabelSpace) -> None:
    kinds = (
        (
            "target",
            "labels that are neither class nor void at",
            f"{space}; update with .cpu() tensors names the labels",
        ),
        ("pred", "labels that are neither class nor void at", f"{space}; update with .cpu() tensors names the labels"),
        ("pred", "NaN scores at", "numbers"),
        ("pred", "scores of +inf for two or more classes at", "one highest score; compute scores in float32"),
    )
    for pixels, (argument, what, expected) in zip(faults.T.tolist(), kinds, strict=True):
        if not any(pixels):
            continue
        where = shortened(repr(name) for name, number in zip(names, pixels, strict=True) if number)
        raise LabelError(
            f"`{argument}` held {what} {sum(pixels):,} pixels of sequence(s) {where}, expected {expected}; "
            "nothing that was counted since the last reset() can be used",
            argument=argument,
        )
