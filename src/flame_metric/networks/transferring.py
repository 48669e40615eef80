"""From a trained network to its version with more frames: all is kept but the first convolution, which is expanded.

So the paper's third training can start from the weights of the first: ``transfer(one_frame.state_dict(), two_frames)``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import Tensor

from flame_metric.core.checks import check_choice
from flame_metric.errors import ConfigError
from flame_metric.networks.segmentation_network import SegmentationNetwork
from flame_metric.networks.stems import INITS, TranslationStem, expand_kernel
from flame_metric.networks.weights import fit, read_state

__all__ = ["transfer"]

_PLAIN_STEM = "backbone.conv1.weight"  # what a translation stem stands for


def transfer(
    state: Mapping[str, Tensor] | str | os.PathLike[str], network: SegmentationNetwork, *, init: str = "repeat"
) -> None:
    """Load the weights of a network that was trained with another number of frames, or without translations.

    Parameters
    ----------
    state : mapping of str to torch.Tensor, str or path
        A ``state_dict``, or a file that ``torch.save`` wrote.
    network : SegmentationNetwork
        What is filled. Its translation stem, if ``state`` has none, keeps the weights that it has.
    init : {"repeat", "last", "he"}
        How the first convolution becomes that of another number of frames (see :mod:`flame_metric.networks.stems`);
        ``"he"`` keeps the one that ``network`` has. With equal numbers it is loaded as it is.

    Raises
    ------
    DatasetError
        If anything else differs; ``network`` is then unchanged.
    ConfigError
        If an option is out of range, or an argument of another kind.

    Examples
    --------
    >>> import torch
    >>> from flame_metric.networks import build
    >>> one, two = build("swiftnet-r18", 3), build("swiftnet-r18", 3, frames=2)
    >>> transfer(one.state_dict(), two)
    >>> previous, current = two.backbone.conv1.weight.split(3, dim=1)
    >>> torch.equal(previous, current), torch.equal(previous + current, one.backbone.conv1.weight)
    (True, True)
    """
    check_choice("init", init, INITS)
    if not isinstance(network, SegmentationNetwork):
        raise ConfigError(f"`network` is {type(network).__name__}, expected what models.build returns")
    if not isinstance(state, Mapping | str | os.PathLike):
        raise ConfigError(f"`state` is {type(state).__name__}, expected a state_dict() or the path of a file")
    path = None if isinstance(state, Mapping) else state
    loaded = dict(state) if isinstance(state, Mapping) else read_state(state)
    own = network.state_dict()
    key = f"{network.first_convolution}.weight"
    translated = any(isinstance(part, TranslationStem) for part in network.backbone.children())
    if translated and _PLAIN_STEM in loaded:
        del loaded[_PLAIN_STEM]
        loaded |= {name: value for name, value in own.items() if name.startswith("backbone.conv1.")}
    elif key in loaded and _differs_in_frames(loaded[key], own[key]):
        loaded[key] = own[key] if init == "he" else expand_kernel(loaded[key], network.frames, init)
    what = "`state`" if path is None else os.fspath(path)
    fit(network, loaded, f"{what} for {type(network).__name__} with {network.frames} frame(s)", path)


def _differs_in_frames(kernel: object, own: Tensor) -> bool:
    """Whether two first kernels differ only in the number of RGB frames; ``fit`` finds other differences."""
    if not isinstance(kernel, Tensor):
        return False
    frames = kernel.ndim == 4 and kernel.shape[1] % 3 == 0 and kernel.shape[1] != own.shape[1]
    return frames and kernel.shape[0] == own.shape[0] and kernel.shape[2:] == own.shape[2:]
