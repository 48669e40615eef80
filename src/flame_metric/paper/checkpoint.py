"""Checkpoints: a training after some step, in one file from which it resumes as if it had never stopped.

A checkpoint names the training to which it belongs: recipe, seed, precision, network, its weights before the first
step, and data. That of another training is refused, as is a damaged one; both errors are raised before anything has
changed. The file is replaced whole, so a process that is killed leaves the last checkpoint. It is a file of
``torch.save``, which ``torch.load`` reads, and the SHA-256 of that, as PyTorch does not compare the checksums within.
It is read with ``weights_only=True``: no code in it is ever run.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flame_metric.core.files import write_whole
from flame_metric.errors import StateError, cut, quoted, shortened
from flame_metric.networks.weights import CHECKPOINT_FORMAT, load_tensors, seal, unseal
from flame_metric.paper.recipe import Recipe

__all__ = [
    "Checkpoint",
    "check_same_training",
    "describe_training",
    "digest_state",
    "read_checkpoint",
    "write_checkpoint",
]

_START = "weights before the first step"


@dataclass(frozen=True)
class Checkpoint:
    """A training after ``step`` steps.

    Attributes
    ----------
    identity : mapping
        To which training it belongs, as :func:`describe_training` says.
    step : int
    network, optimiser, scaler : dict
        Their ``state_dict``, on the CPU.
    losses : list of float or None
        Of each step so far; None where no pixel was labelled.
    seconds : float
        Time spent so far.
    """

    identity: Mapping[str, Any]
    step: int
    network: dict[str, Tensor]
    optimiser: dict[str, Any]
    scaler: dict[str, Any]
    losses: list[float | None]
    seconds: float


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in one step.

    Raises
    ------
    OSError
        If it cannot be written; the one before is left as it was.
    """
    values = {part.name: getattr(checkpoint, part.name) for part in fields(checkpoint)}
    content = io.BytesIO()
    torch.save({"format": CHECKPOINT_FORMAT, **values}, content)
    content.write(seal(content.getbuffer()))
    write_whole(path, content.getbuffer())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what :func:`write_checkpoint` wrote; every byte of it is checked.

    Raises
    ------
    StateError
        If it is damaged, incomplete, or no checkpoint of this format.
    OSError
        If it cannot be read.
    """
    remedy = "remove it, or pass resume=False, to start over"
    inside = unseal(path.read_bytes())
    if inside is None:
        raise StateError(f"{path} is not a checkpoint, or damaged: its checksum is wrong; {remedy}")
    try:
        values = load_tensors(io.BytesIO(inside))
    except Exception as error:  # a reader may raise anything on bytes from outside
        reason = cut(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise StateError(f"{path} is not a checkpoint: {reason}; {remedy}") from error
    names = {"format", *(part.name for part in fields(Checkpoint))}
    if not isinstance(values, dict) or values.get("format") != CHECKPOINT_FORMAT or values.keys() != names:
        raise StateError(f"{path} is not a checkpoint of the format {CHECKPOINT_FORMAT!r}; {remedy}")
    del values["format"]
    return Checkpoint(**values)


def describe_training(
    network: torch.nn.Module, pairs: Any, recipe: Recipe, *, seed: int, amp: str | None
) -> dict[str, Any]:
    """Return what makes a training this one and no other, before its first step.

    Of the data three items stand for all: the shapes of their inputs, and their targets. Those cannot tell everything:
    clips with one label have the same targets at every frame offset. So ``pairs.about``, if there is one, is held too.
    """
    state = network.state_dict()
    shapes = [(name, str(value.dtype), tuple(value.shape)) for name, value in state.items()]
    items = len(pairs)
    told = {f"recipe: {name}": value for name, value in _flat(asdict(recipe)).items()}
    return {
        **told,
        **{f"pairs: {name}": value for name, value in getattr(pairs, "about", {}).items()},
        "seed": seed,
        "amp": amp,
        "names and shapes of the network's parameters": hashlib.sha256(repr(shapes).encode()).hexdigest(),
        _START: digest_state(state),
        "number of items": items,
        "items (first, middle, last)": _sample(pairs, sorted({0, items // 2, items - 1})),
    }


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{above}{name} ") if isinstance(value, dict) else {f"{above}{name}": value})
    return flat


def _sample(pairs: Any, indices: list[int]) -> str:
    digest = hashlib.sha256()
    for index in indices:
        image, target = pairs[0, index]
        digest.update(repr((str(image.dtype), tuple(image.shape), tuple(target.shape))).encode())
        digest.update(_bytes(target))
    return digest.hexdigest()


def digest_state(state: Mapping[str, Tensor]) -> str:
    """Return a checksum of names, types, shapes and values.

    Examples
    --------
    >>> digest_state({"weight": torch.zeros(2)}) == digest_state({"weight": torch.zeros(3)})
    False
    """
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def check_same_training(checkpoint: Checkpoint, identity: Mapping[str, Any], path: Path) -> None:
    """Refuse the checkpoint of another training.

    The network may have the weights of the first step or those of the checkpoint: then it stopped in this process.

    Raises
    ------
    StateError
        If it is of another one; the message says what differs.
    """
    there, here = checkpoint.identity, identity
    differing = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if differing == [_START] and here[_START] == digest_state(checkpoint.network):
        return
    if differing:
        found = shortened(
            (_difference(name, there.get(name), here.get(name)) for name in differing), most=500, separator="; "
        )
        raise StateError(
            f"the checkpoint {path} belongs to another training: {found}. Take another folder, or remove the file, "
            "or pass resume=False, to start over in this one"
        )


def _difference(name: str, there: object, here: object) -> str:
    checksums = all(isinstance(value, str) and len(value) == 64 for value in (there, here))
    return f"other {name}" if checksums else f"{cut(name, 60)} is {quoted(there, 40)} there and {quoted(here, 40)} here"
