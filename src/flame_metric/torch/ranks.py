"""The ranks of torch.distributed: what fails on one fails on all, and one gather brings together what each has.

Every rank does its part, however long that takes. Then it sends one word: how it went, and how many bytes follow. Then
come the bytes: what it made, or the text of its error; shorter ones are padded to the longest. So no rank waits for
another that has failed, and uneven or empty ranks are fine. Without torch.distributed there is one rank.

Meters add by the rules of :meth:`flame_metric.FlameMeter.merge`, on every rank in the same order: open sequences add,
identical copies of a closed one are kept once. So a sampler that repeats clips to give every rank equally many moves no
number, if clips are scored whole (``update_sequence``), or ended after their last time step. Predictions that wait stay
where they are.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from flame_metric.errors import (
    ConfigError,
    DatasetError,
    FlameError,
    LabelError,
    MissingExtraError,
    ShapeError,
    StateError,
)
from flame_metric.scores.meter import FlameMeter

__all__ = [
    "Gather",
    "Ranks",
    "all_gather",
    "is_distributed",
    "joined_by_torchrun",
    "merge_from_ranks",
    "merge_over_ranks",
    "this_rank",
]

Value = TypeVar("Value")
Gather: TypeAlias = Callable[..., list[Tensor]]
"""(tensor, group=...) -> the tensors of all ranks, in their order; all have one shape."""

_OK = 0
_KINDS = (StateError, ConfigError, DatasetError, LabelError, ShapeError, MissingExtraError)  # words 1, 2, ...
_TO_MEET = datetime.timedelta(minutes=10)
_TO_COUNT = datetime.timedelta(days=30)  # shares differ: the first to be done waits for the last


def is_distributed() -> bool:
    """Whether there may be several ranks."""
    return dist.is_available() and dist.is_initialized()


@dataclass(frozen=True)
class Ranks:
    """One of several ranks.

    Attributes
    ----------
    rank : int
        Its number, from 0 on.
    number : int
        How many there are.
    """

    rank: int
    number: int

    def from_all(self, make: Callable[[], bytes]) -> list[bytes]:
        """Return on every rank what ``make`` returns on each of them, in their order.

        Raises
        ------
        FlameError
            On every rank, if ``make`` raises one of them: where it is raised as it is, elsewhere of the same kind, with
            the number of its rank. Any other error is a StateError elsewhere.
        StateError
            If a rank has ended.
        """
        reports, raised = _gather(make, all_gather, None, _device_of(None, None))
        if raised is not None:
            raise raised
        if failed := {rank: report for rank, report in enumerate(reports) if report.word != _OK}:
            kind = _KINDS[min(report.word for report in failed.values()) - 1]
            raise kind("; ".join(f"rank {rank}: {report.content.decode()}" for rank, report in failed.items()))
        return [report.content for report in reports]

    def from_first(self, make: Callable[[], Value]) -> Value:
        """Return on every rank what ``make`` returns on the first one; elsewhere it is not called.

        Raises
        ------
        FlameError
            As :meth:`from_all` does.
        """
        made: list[Any] = [None]

        def make_here() -> bytes:
            if self.rank == 0:
                made[0] = make()
            return b""

        self.from_all(make_here)
        if is_distributed():
            dist.broadcast_object_list(made, src=0)
        found: Value = made[0]
        return found

    def wait(self) -> None:
        """Return when all ranks are here, or one has ended."""
        with suppress(RuntimeError):  # what gloo raises
            dist.barrier()


def this_rank() -> Ranks:
    """Return the rank of this process."""
    return Ranks(dist.get_rank(), dist.get_world_size()) if is_distributed() else Ranks(0, 1)


@contextmanager
def joined_by_torchrun(patience: datetime.timedelta = _TO_MEET) -> Iterator[Ranks]:
    """Join the ranks that the environment names: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.

    They are joined over gloo: what they send each other lies in the memory of the host.

    Parameters
    ----------
    patience : timedelta
        To wait for the others.

    Raises
    ------
    StateError
        If they do not find each other.
    """
    from torch.distributed.rendezvous import rendezvous  # noqa: PLC0415  PyTorch may be built without torch.distributed

    try:
        store, rank, number = next(rendezvous("env://", timeout=patience))
        dist.init_process_group("gloo", store=store, rank=rank, world_size=number, timeout=_TO_COUNT)
    except (RuntimeError, ValueError) as error:
        raise StateError(f"the ranks of torchrun do not find each other: {error}") from error
    try:
        yield this_rank()
    finally:
        dist.destroy_process_group()


# ── meters ──


def merge_over_ranks(meter: FlameMeter, *, group: Any = None) -> FlameMeter:
    """Merge the meters of all ranks; every rank has to call it, and each gets the same.

    Parameters
    ----------
    meter : FlameMeter
        The counts of this rank; they stay as they are. It may be empty.
    group : ProcessGroup, optional
        Which ranks; default: all.

    Returns
    -------
    FlameMeter
        A new meter; a copy of ``meter`` where torch.distributed is not initialised.

    Raises
    ------
    StateError
        On every rank: if one of them has no valid meter, their configurations differ, or one sequence has different
        counts on two ranks.

    Examples
    --------
    >>> from flame_metric import FlameMeter
    >>> meter = FlameMeter(2)
    >>> meter.update([[0, 1]], [[0, 1]], sequence="clip")
    >>> merge_over_ranks(meter).compute().miou  # under torchrun: of the clips of all ranks
    1.0
    """
    return merge_from_ranks(lambda: meter, group=group)


def merge_from_ranks(
    make: Callable[[], FlameMeter],
    *,
    group: Any = None,
    gather: Gather | None = None,
    device: torch.device | None = None,
) -> FlameMeter:
    """Merge what ``make`` returns on each rank; whatever it raises on one, all ranks get to know.

    Parameters
    ----------
    make : callable
        Makes the meter of this rank.
    group : ProcessGroup, optional
        Which ranks; default: all.
    gather : callable, optional
        Transport; default: torch.distributed.
    device : torch.device, optional
        Where ``gather`` wants its tensors, or which GPU to use under NCCL; default: the current one.

    Raises
    ------
    StateError
        As :func:`merge_over_ranks` does.
    """
    if gather is None:
        gather, device = all_gather, _device_of(group, device)
    reports, cause = _gather(lambda: _write_counts(make()), gather, group, device, with_kind=True)
    failed = {rank: report for rank, report in enumerate(reports) if report.word != _OK}
    if failed:
        causes = "; ".join(f"rank {rank}: {report.content.decode()}" for rank, report in failed.items())
        raise StateError(f"the counts of {len(failed)} of {len(reports)} ranks are invalid: {causes}") from cause
    return _merge([report.content.decode() for report in reports])


def _write_counts(meter: FlameMeter) -> bytes:
    counted = FlameMeter.from_counts(
        meter.config,
        meter.sequences,
        closed=meter.closed,
        by_schedule=meter.by_schedule,
        clips=meter.clips.without_waiting(),
    )
    return counted.to_json().encode()


def _merge(states: list[str]) -> FlameMeter:
    total: FlameMeter | None = None
    for rank, state in enumerate(states):
        try:
            meter = FlameMeter.from_json(state)
            if total is not None:
                total.merge(meter)
        except StateError as error:
            raise StateError(f"the counts of rank {rank} cannot be added to those before: {error}") from error
        total = meter if total is None else total
    if total is None:
        raise StateError("no rank sent its counts, expected at least this one's")
    return total


# ── the gather ──


class _Report(NamedTuple):
    """What a rank sends: a word on how it went, and what it made, or the text of its error."""

    word: int
    content: bytes


def _gather(
    make: Callable[[], bytes], gather: Gather, group: Any, device: torch.device | None, *, with_kind: bool = False
) -> tuple[list[_Report], Exception | None]:
    """Return what all ranks report, in their order, and what ``make`` raised here.

    With ``with_kind`` the text of an error begins with its kind, as that of an error from outside always does.
    """
    raised: Exception | None = None
    try:
        mine = _Report(_OK, make())
    except Exception as error:
        raised = error
        word = next((word for word, kind in enumerate(_KINDS, start=1) if isinstance(error, kind)), 1)
        plain = isinstance(error, FlameError) and not with_kind
        text = str(error) if plain else f"{type(error).__name__}: {error}"
        mine = _Report(word, text.encode(errors="backslashreplace"))
    try:
        return _exchange(mine, gather, group, device), raised
    except RuntimeError as error:  # what gloo raises
        raise raised or StateError(f"a rank has ended before all were done: {error}") from error


def _exchange(mine: _Report, gather: Gather, group: Any, device: torch.device | None) -> list[_Report]:
    """Send a report to all ranks, and return those of all."""
    word, content = mine
    heads = gather(torch.tensor([word, len(content)], dtype=torch.int64, device=device), group=group)
    words = [(int(word), int(length)) for word, length in (head.tolist() for head in heads)]
    padded = torch.zeros(max(1, *(length for _, length in words)), dtype=torch.uint8, device=device)
    if content:
        padded[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8).to(padded.device)
    contents = gather(padded, group=group)
    return [
        _Report(word, sent[:length].cpu().numpy().tobytes())
        for (word, length), sent in zip(words, contents, strict=True)
    ]


def all_gather(local: Tensor, group: Any = None) -> list[Tensor]:
    """Return the tensors of all ranks of torch.distributed: what :data:`Gather` is by default."""
    if not is_distributed():
        return [local]
    gathered = [torch.zeros_like(local) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, local, group=group)
    return gathered


def _device_of(group: Any, gpu: torch.device | None) -> torch.device:
    """Return a device from which the backend of a group can send: the host wherever it can."""
    backend = dist.get_backend(group) if is_distributed() else ""
    if "nccl" not in backend or "cpu" in backend:
        return torch.device("cpu")
    if gpu is not None and gpu.type == "cuda":
        return gpu
    return torch.device("cuda", torch.cuda.current_device())
