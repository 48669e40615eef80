"""Training on several ranks of torch.distributed as one process would, each with an equal part of every batch.

Gradients are averaged over the ranks, and batch normalisation takes its statistics over all of them on CUDA devices. On
the CPU, where PyTorch cannot do that, each rank normalises by its own part. Without torch.distributed there is one
rank.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from flame_metric.torch.ranks import is_distributed
from flame_metric.torch.timer import as_device

if dist.is_available():
    # DistributedDataParallel loads this module, whose functions keep the group of that moment as their default: so
    # before there is one. Else gloo's threads outlive destroy_process_group, and may abort the process at its exit.
    import torch.distributed.nn

__all__ = ["add_up", "join_ranks", "parallel", "share_buffers"]


@contextmanager
def join_ranks(device: str) -> Iterator[torch.device]:
    """Join the ranks that torchrun started, and yield the device of this one; without torchrun, the given one.

    ``"cuda"`` is then the GPU with the number of the rank on its machine.
    """
    if is_distributed() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield as_device(device)
        return
    place = as_device(f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo")
    try:
        yield place
    finally:
        dist.destroy_process_group()


def add_up(value: Tensor) -> Tensor:
    """Return the sum of a tensor over all ranks; it may be changed in place."""
    if is_distributed():
        dist.all_reduce(value)
    return value


def parallel(network: nn.Module, device: torch.device) -> tuple[nn.Module, bool]:
    """Return what runs the network on this rank, and whether batch normalisation spans the ranks.

    The network's own modules stay as they are; its parameters and buffers are shared, and those of rank 0 go to all.
    """
    if not is_distributed():
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
    if is_distributed():
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)
