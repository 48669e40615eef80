"""Adding up meters over the ranks of torch.distributed: exact, uneven or empty, and without a rank that waits for ever.

Every rank sends one word first: whether its counts are valid, and how many bytes follow. Then comes the state as JSON
text, or the text of an error; shorter ones are padded to the longest. If any rank reports an error, *all* raise it,
with the rank's number. Otherwise every rank merges the same states in the same order, by the rules of
:meth:`flame_metric.FlameMeter.merge`: open sequences add, identical copies of a closed one are kept once. So a sampler
that repeats clips to give every rank equally many moves no number, if clips are scored whole (``update_sequence``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

from flame_metric.errors import StateError
from flame_metric.scores.meter import FlameMeter

__all__ = ["Gather", "all_gather", "exchange", "merge_from_ranks", "merge_over_ranks"]

Gather: TypeAlias = Callable[..., list[Tensor]]
"""(tensor, group=...) -> the tensors of all ranks, in their order; all have one shape."""

_OK, _ERROR = 0, 1


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
    if not (dist.is_available() and dist.is_initialized()):
        return FlameMeter.from_json(meter.to_json())
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
    cause: Exception | None = None
    try:
        status, text = _OK, make().to_json()
    except Exception as error:
        status, text, cause = _ERROR, f"{type(error).__name__}: {error}", error
    if gather is None:
        gather, device = all_gather, _device_of(group, device)
    reports = exchange(status, text.encode(errors="backslashreplace"), gather, group, device)
    failed = {rank: text for rank, (status, text) in enumerate(reports) if status != _OK}
    if failed:
        causes = "; ".join(f"rank {rank}: {text}" for rank, text in failed.items())
        raise StateError(f"the counts of {len(failed)} of {len(reports)} ranks are invalid: {causes}") from cause
    return _merge([text for _, text in reports])


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


def exchange(
    status: int, message: bytes, gather: Gather, group: Any, device: torch.device | None
) -> list[tuple[int, str]]:
    """Send a status and a message to all ranks, and return those of all."""
    heads = gather(torch.tensor([status, len(message)], dtype=torch.int64, device=device), group=group)
    words = [(int(word), int(length)) for word, length in (head.tolist() for head in heads)]
    padded = torch.zeros(max(1, *(length for _, length in words)), dtype=torch.uint8, device=device)
    if message:
        padded[: len(message)] = torch.frombuffer(bytearray(message), dtype=torch.uint8).to(padded.device)
    messages = gather(padded, group=group)
    return [
        (word, text[:length].cpu().numpy().tobytes().decode())
        for (word, length), text in zip(words, messages, strict=True)
    ]


def all_gather(local: Tensor, group: Any = None) -> list[Tensor]:
    """Return the tensors of all ranks of torch.distributed: what :data:`Gather` is by default."""
    gathered = [torch.zeros_like(local) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, local, group=group)
    return gathered


def _device_of(group: Any, gpu: torch.device | None) -> torch.device:
    """Return a device from which the backend of a group can send: the host wherever it can."""
    backend = dist.get_backend(group)
    if "nccl" not in backend or "cpu" in backend:
        return torch.device("cpu")
    if gpu is not None and gpu.type == "cuda":
        return gpu
    return torch.device("cuda", torch.cuda.current_device())
