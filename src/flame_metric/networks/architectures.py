"""The paper's networks by name."""

from __future__ import annotations

from collections.abc import Sequence

from flame_metric.core.checks import check_choice
from flame_metric.errors import ConfigError
from flame_metric.networks.deeplab import DeepLabV3Plus
from flame_metric.networks.names import NAMES
from flame_metric.networks.segmentation_network import SegmentationNetwork
from flame_metric.networks.swiftnet import SwiftNet

__all__ = ["build"]

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
            raise ConfigError(f"`translations` is given for {name!r}, expected 'swiftnet-r18': its stem alone has them")
        return DeepLabV3Plus(num_classes, backbone=_BACKBONES[name], frames=frames, init=init, weights=weights)
    extended = name == "swiftnet-r18-x"
    return SwiftNet(
        num_classes, frames=frames, init=init, translations=translations, weights=weights, extended=extended
    )
