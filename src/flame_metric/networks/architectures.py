"""The paper's networks by name: how each is built, filled with trained weights, and made ready to run.

A file of weights tells for how many frames and classes its network was made. Where translations moved the copies of a
translation stem it does not tell. The names stand in :mod:`flame_metric.networks.names`, which needs no PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.errors import ConfigError, DatasetError
from flame_metric.networks.deeplab import DeepLabV3Plus
from flame_metric.networks.names import NAMES
from flame_metric.networks.network import Network
from flame_metric.networks.segmentation_network import SegmentationNetwork
from flame_metric.networks.stems import as_offsets
from flame_metric.networks.swiftnet import SwiftNet
from flame_metric.networks.weights import fit, read_state
from flame_metric.torch.runner import torch_runner

__all__ = ["RANDOM", "build", "load_architecture"]

RANDOM = "random"
"""In place of a file of weights: drawn at random."""

_WIDER_STEM = "backbone.conv1.0.weight"  # of two convolutions: that of SwiftNet-R18-X, or one with translations
_FIRST_KERNELS = ("backbone.conv1.weight", _WIDER_STEM, "backbone.features.0.0.weight")
_LAST_KERNELS = ("classifier.conv.weight", "classifier.weight")

_BACKBONES = {"deeplab-r101": "resnet101", "deeplab-mn": "mobilenet_v2"}


def build(
    name: str,
    num_classes: int,
    *,
    frames: int = 1,
    init: str = "repeat",
    translations: int | Sequence[tuple[int, int]] | None = None,
    weights: object = None,
) -> SegmentationNetwork:
    """Build a network of the paper, as the paper describes it.

    Structural choices that the paper leaves open are options of the classes that this function names:
    :class:`~flame_metric.networks.swiftnet.SwiftNet` and :class:`~flame_metric.networks.deeplab.DeepLabV3Plus`.

    Parameters
    ----------
    name : {"swiftnet-r18", "swiftnet-r18-x", "deeplab-r101", "deeplab-mn"}
        Which one.
    num_classes : int
        Channels of its output, at least 1.
    frames : int
        Frames that it takes, stacked along the channels, oldest first.
    init : {"repeat", "last", "he"}
        How its first convolution is made from that of one frame (see :mod:`flame_metric.networks.stems`): the same
        kernel for every frame, divided by their number; zeros for all but the newest; or drawn anew.
    translations : int or sequence of (int, int), optional
        For ``"swiftnet-r18"`` with two frames: the stem that takes the previous frame N more times, moved by N offsets.
        A number takes them from :func:`~flame_metric.networks.stems.translation_grid`; otherwise (dy, dx) in pixels.
        ``[(0, 0)] * N`` is the paper's control.
    weights : str or path, optional
        Of the backbone: ``"imagenet"``, or a file of torchvision's, by path or address. By default He's random
        initialisation, from PyTorch's global generator: call ``torch.manual_seed`` before.

    Returns
    -------
    SegmentationNetwork
        From (N, 3 frames, H, W), floats normalised with ImageNet's mean and standard deviation, to logits
        (N, num_classes, H, W), in training mode as every new module.

    Raises
    ------
    ConfigError
        If an option is out of range, or two of them contradict each other.
    DatasetError
        If the weights are missing, damaged or of another network.

    Examples
    --------
    >>> import torch
    >>> network = build("swiftnet-r18", 19).eval()
    >>> sum(parameter.numel() for parameter in network.parameters())
    11808163
    >>> network(torch.zeros(1, 3, 64, 128)).shape
    torch.Size([1, 19, 64, 128])
    """
    check_choice("name", name, NAMES)
    if name in _BACKBONES:
        if translations is not None:
            raise ConfigError(f"`translations` is given for {name!r}, expected 'swiftnet-r18': only its stem has them")
        return DeepLabV3Plus(num_classes, backbone=_BACKBONES[name], frames=frames, init=init, weights=weights)
    extended = name == "swiftnet-r18-x"
    return SwiftNet(
        num_classes, frames=frames, init=init, translations=translations, weights=weights, extended=extended
    )


def load_architecture(
    name: str,
    *,
    num_classes: int,
    frames: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    translations: int | Sequence[tuple[int, int]] | None = None,
    seed: int | None = None,
    **options: Any,
) -> Network:
    """Build one of the paper's networks, fill it, and make it ready to run.

    Parameters
    ----------
    name : str
        As :func:`build` takes it.
    num_classes : int
    frames : int, optional
        Default: as many as the weights are for; if they are random, 1, or 2 with translations.
    weights : str or path
        A file that :func:`~flame_metric.networks.weights.read_state` reads, or ``"random"``.
    translations : int or sequence of (int, int), optional
        As for :func:`build`; needed for weights with a translation stem.
    seed : int, optional
        Of random weights. Default: 0.
    **options : Any
        Of :func:`~flame_metric.torch.runner.torch_runner`.

    Returns
    -------
    Network

    Raises
    ------
    ConfigError
        If there are no weights, an option is out of range, or they contradict what the file holds.
    DatasetError
        If the file is missing, damaged, or of another network.
    """
    if weights is None:
        raise ConfigError(
            f"`weights` is missing for {name!r}, expected a file of trained ones: a state_dict that torch.save wrote, "
            "or the checkpoint.pt of a training; 'random' draws untrained ones, whose scores mean nothing"
        )
    if seed is not None and weights != RANDOM:
        raise ConfigError(f"`seed` is {seed!r} with `weights` from a file, expected none: nothing is drawn")
    if weights == RANDOM:
        network = _draw(name, num_classes, frames, translations, check_integer("seed", seed or 0, 0))
    else:
        network = _fill(name, num_classes, frames, translations, weights)
    runner = torch_runner(network, boundary="end_to_end", num_classes=num_classes, **options)
    return Network(name, runner, network.frames)


def _draw(
    name: str, num_classes: int, frames: int | None, translations: int | Sequence[tuple[int, int]] | None, seed: int
) -> SegmentationNetwork:
    least = 1 if translations is None else 2
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(name, num_classes, frames=frames or least, translations=translations)


def _fill(
    name: str,
    num_classes: int,
    frames: int | None,
    translations: int | Sequence[tuple[int, int]] | None,
    weights: str | os.PathLike[str],
) -> SegmentationNetwork:
    state = read_state(weights)
    file = Path(weights)
    _check_classes(state, num_classes, file)
    there = _frames_of(state, None if translations is None else len(as_offsets(translations)), file)
    if None not in (frames, there) and frames != there:
        raise ConfigError(f"`frames` is {frames}, and {file} is for {there} input frame(s), expected the same number")
    network = _draw(name, num_classes, frames or there, translations, 0)
    fit(network, state, f"{file} for {name} with {network.frames} frame(s)", file)
    return network


def _check_classes(state: Mapping[str, Tensor], num_classes: int, file: Path) -> None:
    found = next((len(state[key]) for key in _LAST_KERNELS if key in state and state[key].ndim), num_classes)
    if found != num_classes:
        raise DatasetError(
            f"{file} is for {found} classes, expected {num_classes} (`num_classes`): weights that were trained on this "
            "data, or other classes of the data",
            path=file,
        )


def _frames_of(state: Mapping[str, Tensor], copies: int | None, file: Path) -> int | None:
    """Return how many frames a state is for; None if it has no first convolution of a network of the paper."""
    key = next((key for key in _FIRST_KERNELS if key in state and state[key].ndim == 4), None)
    if key is None:
        return None
    outputs, channels = state[key].shape[:2]
    there = (channels - 6) // 3  # copies of the previous frame, if they are what the channels are for
    if key != _WIDER_STEM or outputs != 8 * there:
        return channels // 3 or None
    if copies is None:
        raise ConfigError(
            f"{file} has a stem for {there} translations, and does not say where to: expected `translations`, "
            f"{there} for the default grid or {there} offsets (dy, dx); (0, 0) each where the copies were in place"
        )
    if copies != there:
        raise ConfigError(f"`translations` has {copies}, and {file} a stem for {there}, expected the same number")
    return 2
