"""Trained weights from files: read without running code in them, verified, and fitted key by key.

``"imagenet"`` means the weights of the paper's year, torchvision's IMAGENET1K_V1. They are looked for in PyTorch's
cache (``torch.hub.get_dir()``), and downloaded into it where they are missing. Their file names end in the first digits
of their SHA-256, as ``resnet18-f37072fd.pth``. That is verified for every file with such a name, also where it lies in
the cache already or was copied by hand. Other addresses are downloaded in the same way; their names must have a hash.

A checkpoint of this package's training ends in the SHA-256 of all before it, as PyTorch does not compare the checksums
within a file.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from flame_metric.core.checks import check_path
from flame_metric.errors import ConfigError, DatasetError, shortened
from flame_metric.networks.names import is_program

__all__ = [
    "CHECKPOINT_FORMAT",
    "IMAGENET_FILES",
    "fit",
    "load_backbone",
    "load_tensors",
    "read_state",
    "seal",
    "unseal",
]

CHECKPOINT_FORMAT = "flame-metric checkpoint 1"

IMAGENET_FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "mobilenet_v2": "mobilenet_v2-b0353104.pth",
}
_URL = "https://download.pytorch.org/models/"
_CLASSIFIERS = {  # what such a file holds beside the body
    "resnet18": ("fc.",),
    "resnet101": ("fc.",),
    "mobilenet_v2": ("features.18.", "classifier."),
}
_HASH = re.compile(r"-([0-9a-f]{8,64})\.pth?$")
_WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before every name
_COUNTER = "num_batches_tracked"  # files from before PyTorch 0.4.1 have none


def read_state(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the state of a network from a file that ``torch.save`` wrote, as tensors and nothing else.

    From a checkpoint of :func:`flame_metric.paper.training.train` the network's part is taken. Where all names
    begin with what DistributedDataParallel or torch.compile adds (``module.``, ``_orig_mod.``), that is left out.

    Parameters
    ----------
    path : str or path
        If its name ends in ``-<digits>.pth``, 8 or more hexadecimal digits, its SHA-256 has to begin with them.

    Returns
    -------
    dict of str to torch.Tensor
        On the CPU.

    Raises
    ------
    ConfigError
        If it is called as a program of ``torch.export``, which is code: it is not opened.
    DatasetError
        If the file is missing, damaged, has another hash, or holds anything but tensors under names.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "network.pt"
    >>> torch.save(nn.Linear(1, 2).state_dict(), path)
    >>> list(read_state(path))
    ['weight', 'bias']
    """
    file = check_path(path)
    if is_program(str(path)):
        raise ConfigError(
            f"the weights are {str(path)!r}, a program of torch.export, which is code and a network by itself, "
            "expected a state_dict that torch.save wrote"
        )
    _verify(file)
    try:
        state = load_tensors(file)
    except Exception as error:  # a reader may raise anything on bytes from outside
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DatasetError(
            f"{file} cannot be read as weights ({reason}), expected a state_dict that torch.save wrote: tensors under "
            "names and no other objects; get the file anew",
            path=file,
        ) from error
    if isinstance(state, Mapping) and state.get("format") == CHECKPOINT_FORMAT:
        if unseal(file.read_bytes()) is None:
            raise DatasetError(
                f"{file} is a damaged checkpoint: its checksum is wrong; train anew, or get it anew", path=file
            )
        state = state.get("network")
    pairs = state.items() if isinstance(state, Mapping) else [(None, state)]
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in pairs):
        held = type(state).__name__ + (f" of {shortened(map(str, state))}" if isinstance(state, Mapping) else "")
        raise DatasetError(f"{file} holds {held}, expected a state_dict: tensors under names", path=file)
    return _unwrap(dict(state))


def load_tensors(file: Path | BinaryIO) -> Any:
    """Return what ``torch.save`` wrote, on the CPU: tensors and plain containers of them, and no other objects.

    What is refused raises anything, as bytes from outside do; what PyTorch would warn of besides is no use to anybody.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def _unwrap(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _WRAPPERS * 2:  # one of the two may stand before or behind the other
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def seal(content: bytes | memoryview) -> bytes:
    """Return the SHA-256 that :func:`unseal` expects behind ``content``."""
    return hashlib.sha256(content).digest()


def unseal(content: bytes) -> bytes | None:
    """Return what stands before a SHA-256 at the end, None if that is another one."""
    size = hashlib.sha256().digest_size
    inside, digest = content[:-size], content[-size:]
    return inside if seal(inside) == digest else None


def load_backbone(body: nn.Module, architecture: str, weights: object) -> None:
    """Fill a body with trained weights.

    Parameters
    ----------
    body : torch.nn.Module
        With a first convolution of one frame.
    architecture : {"resnet18", "resnet101", "mobilenet_v2"}
        What it is, in torchvision's words.
    weights : str or path
        ``"imagenet"``, or a file of torchvision's: its path, or its address (``https://``) with the hash in its name.
        What belongs to the classifier is left out.

    Raises
    ------
    DatasetError
        If the file is missing, damaged or of another network, or the download fails.
    ConfigError
        If ``weights`` is none of those.
    """
    if not isinstance(weights, str | os.PathLike) or not os.fspath(weights):
        raise ConfigError(f"`weights` is {weights!r}, expected None, 'imagenet' or the path or address of a file")
    place = _URL + IMAGENET_FILES[architecture] if weights == "imagenet" else weights
    path = _download(place) if isinstance(place, str) and "://" in place else Path(place)
    state = read_state(path)
    kept = {key: value for key, value in state.items() if not key.startswith(_CLASSIFIERS[architecture])}
    for key, value in body.state_dict().items():
        if key.endswith(_COUNTER):
            kept.setdefault(key, torch.zeros_like(value))
    fit(body, kept, f"{path} as {architecture}", path)


def fit(network: nn.Module, state: Mapping[str, Tensor], what: str, path: str | os.PathLike[str] | None) -> None:
    """Load a state that has exactly the keys and shapes of ``network``, or change nothing.

    Raises
    ------
    DatasetError
        If it has not; the message begins with ``what``.
    """
    own = network.state_dict()
    faults = [f"{key} is missing" for key in own if key not in state]
    faults += [f"{key} is unknown" for key in state if key not in own]
    faults += [f"{key} {fault}" for key in own if key in state and (fault := _fault(state[key], own[key]))]
    if faults:
        raise DatasetError(
            f"{what}: {len(faults)} of {len(own)} entries do not fit ({shortened(faults, 3)}), expected the weights of "
            "the same network",
            path=path,
        )
    network.load_state_dict(dict(state))


def _fault(value: object, own: Tensor) -> str:
    """Say why PyTorch could not copy a value into an entry, or would change it on the way; nothing if it is sound."""
    if not isinstance(value, Tensor):
        return f"is {type(value).__name__}, no tensor"
    if value.shape != own.shape:
        return f"is {tuple(value.shape)} instead of {tuple(own.shape)}"
    if own.is_floating_point() and not value.is_floating_point():
        return f"is of {value.dtype} instead of floats"
    if value.is_meta or value.layout != torch.strided:
        return "has a shape and no values" if value.is_meta else "is sparse"
    return ""


def _download(url: str) -> Path:
    """Return the file in PyTorch's cache, after downloading it where it is missing."""
    name = url.rpartition("/")[2]
    digits = _HASH.search(name)
    if not digits:
        raise ConfigError(
            f"`weights` is {url!r}, expected an address whose file name ends in the first digits of its SHA-256, such "
            f"as {IMAGENET_FILES['resnet18']}; download it yourself and give its path"
        )
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), hash_prefix=digits[1])
        except (OSError, RuntimeError, ValueError, HTTPException) as error:  # no network or room, another hash
            raise DatasetError(
                f"{path} is missing and {url} cannot be downloaded ({error}), expected weights of a backbone; "
                "download it on another machine and give its path as `weights`",
                path=path,
            ) from error
    return path


def _verify(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(
            f"{file} cannot be read ({error.strerror}), expected a file of weights", path=file
        ) from error
    wanted = _HASH.search(file.name)
    if wanted and not found.startswith(wanted[1]):
        raise DatasetError(
            f"{file} has SHA-256 {found[:16]}..., expected {wanted[1]}... as in its name: it is cut, damaged or "
            "renamed; remove it and get it anew",
            path=file,
        )
