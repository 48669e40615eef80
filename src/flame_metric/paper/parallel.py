"""Training on several ranks of torch.distributed as one process would, each with an equal part of every batch.

Gradients are averaged over the ranks, and batch normalisation takes its statistics over all of them on CUDA devices. On
the CPU, where PyTorch cannot do that, each rank normalises by its own part. Without torch.distributed there is one
rank.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from flame_metric.errors import FlameError, StateError
from flame_metric.torch.timer import as_device

if dist.is_available():
    # DistributedDataParallel loads this module, whose functions hold the group of that moment as a default for ever: so
    # before there is one. Else gloo's threads outlive destroy_process_group, and may abort the process at its exit.
    import torch.distributed.nn

__all__ = [
    "add_up",
    "distributed",
    "from_all_ranks",
    "from_first_rank",
    "join_ranks",
    "parallel",
    "rank_of",
    "share_buffers",
]

Value = TypeVar("Value")


def rank_of() -> tuple[int, int]:
    """Return the number of this rank, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if distributed() else (0, 1)


def distributed() -> bool:
    """Whether there may be several ranks."""
    return dist.is_available() and dist.is_initialized()


@contextmanager
def join_ranks(device: str) -> Iterator[torch.device]:
    """Join the ranks that torchrun started, and yield the device of this one; without torchrun, the given one.

    ``"cuda"`` is then the GPU with the number of the rank on its machine.
    """
    if distributed() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield as_device(device)
        return
    place = as_device(f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo")
    try:
        yield place
    finally:
        dist.destroy_process_group()


def from_all_ranks(make: Callable[[int, int], Value]) -> list[Value]:
    """Return on every rank what ``make(rank, ranks)`` returns on each of them, in their order.

    Raises
    ------
    FlameError, OSError
        On the rank where ``make`` raises it; on the others, StateError with its text.
    """
    if not distributed():
        return [make(0, 1)]
    rank, ranks = rank_of()
    raised: FlameError | OSError | None = None
    try:
        mine: tuple[Any, str | None] = make(rank, ranks), None
    except (FlameError, OSError) as error:
        raised, mine = error, (None, f"{type(error).__name__}: {error}")
    sent: list[Any] = [None] * ranks
    dist.all_gather_object(sent, mine)
    if raised is not None:
        raise raised
    failed = [f"rank {number}: {text}" for number, (_, text) in enumerate(sent) if text is not None]
    if failed:
        raise StateError(f"{len(failed)} of {ranks} ranks failed: {'; '.join(failed)}")
    return [value for value, _ in sent]


def from_first_rank(make: Callable[[], Value]) -> Value:
    """Return on every rank what ``make`` returns on the first one.

    Raises
    ------
    FlameError, OSError
        On the first rank, as ``make`` raises it; on the others, StateError with its text.
    """
    if not distributed():
        return make()
    sent: list[Any] = [None, None]
    raised: FlameError | OSError | None = None
    if dist.get_rank() == 0:
        try:
            sent[0] = make()
        except (FlameError, OSError) as error:
            raised, sent[1] = error, f"{type(error).__name__}: {error}"
    dist.broadcast_object_list(sent, src=0)
    if raised is not None:
        raise raised
    if sent[1] is not None:
        raise StateError(f"rank 0 failed: {sent[1]}")
    found: Value = sent[0]
    return found


def add_up(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks; it may be changed in place."""
    if distributed():
        dist.all_reduce(value)
    return value


def parallel(network: nn.Module, device: torch.device) -> tuple[nn.Module, bool]:
    """Return what runs the network on this rank, and whether batch normalisation spans the ranks.

    The network's own modules stay as they are; its parameters and buffers are shared, and those of rank 0 go to all.
    """
    if not distributed():
        return network, False
    spans = device.type == "cuda" and any(isinstance(module, _BatchNorm) for module in network.modules())
    if spans:
        tensors = chain(network.parameters(), network.buffers())
        twin = copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
        network = nn.SyncBatchNorm.convert_sync_batchnorm(twin)  # type: ignore[no-untyped-call]
    devices = [device] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=devices), spans


def share_buffers(network: nn.Module) -> None:
    """Give every rank the buffers of rank 0: running statistics differ where each rank normalised by itself."""
    if distributed():
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)
