"""The ranks that torchrun started, for one job that is shared out among them: what fails on one fails on all.

Ranks are joined once, over gloo: what they send each other lies in the memory of the host. Every rank then does its
part, however long that takes, and sends a word on how it went, and its text.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from flame_metric.errors import (
    ConfigError,
    DatasetError,
    FlameError,
    LabelError,
    MissingExtraError,
    ShapeError,
    StateError,
)
from flame_metric.torch.distributed import all_gather, exchange

__all__ = ["Ranks", "joined_by_torchrun"]

_OK = 0
_KINDS = (StateError, ConfigError, DatasetError, LabelError, ShapeError, MissingExtraError)  # words 1, 2, ...
_TO_MEET = datetime.timedelta(minutes=10)
_TO_COUNT = datetime.timedelta(days=30)  # shares differ: the first to be done waits for the last


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

    def from_all(self, make: Callable[[], str]) -> list[str]:
        """Return on every rank what ``make`` returns on each of them, in their order.

        Raises
        ------
        FlameError
            On every rank, if ``make`` raises one of them: where it is raised as it is, elsewhere of the same kind, with
            the number of its rank. Any other error is a StateError elsewhere.
        StateError
            If a rank has ended.
        """
        raised: Exception | None = None
        try:
            word, text = _OK, make()
        except Exception as error:
            raised = error
            word = next((word for word, kind in enumerate(_KINDS, start=1) if isinstance(error, kind)), 1)
            text = str(error) if isinstance(error, FlameError) else f"{type(error).__name__}: {error}"
        try:
            reports = exchange(word, text.encode(errors="backslashreplace"), all_gather, None, torch.device("cpu"))
        except RuntimeError as error:  # what gloo raises
            raise raised or StateError(f"a rank has ended before all were done: {error}") from error
        if raised is not None:
            raise raised
        failed = {rank: (word, text) for rank, (word, text) in enumerate(reports) if word != _OK}
        if failed:
            kind = _KINDS[min(word for word, _ in failed.values()) - 1]
            raise kind("; ".join(f"rank {rank}: {text}" for rank, (_, text) in failed.items()))
        return [text for _, text in reports]

    def wait(self) -> None:
        """Return when all ranks are here, or one has ended."""
        with suppress(RuntimeError):  # what gloo raises
            dist.barrier()


@contextmanager
def joined_by_torchrun(patience: datetime.timedelta = _TO_MEET) -> Iterator[Ranks]:
    """Join the ranks that the environment names: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.

    Parameters
    ----------
    patience : timedelta
        To wait for the others.

    Raises
    ------
    StateError
        If they do not find each other.
    """
    try:
        store, rank, number = next(rendezvous("env://", timeout=patience))
        dist.init_process_group("gloo", store=store, rank=rank, world_size=number, timeout=_TO_COUNT)
    except (RuntimeError, ValueError) as error:
        raise StateError(f"the ranks of torchrun do not find each other: {error}") from error
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
