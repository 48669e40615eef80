"""What a network costs before it is timed: parameters, and multiply-accumulates at an image size.

Operations are counted by PyTorch's own counter on the meta device, where tensors have shapes but no values: of
convolutions and matrix products, with half as many multiply-accumulates as floating-point operations. Normalisation,
activations, pooling and resizing are not counted, as usual.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from flame_metric.core.checks import check_integer, check_kind
from flame_metric.networks.segmentation_network import SegmentationNetwork

__all__ = ["NetworkCost", "network_cost"]


@dataclass(frozen=True)
class NetworkCost:
    """Parameters and operations of a network.

    Attributes
    ----------
    parameters : int
        Numbers that training adjusts; running statistics are none.
    multiply_accumulates : int
        Of one forward pass over one image (or one stack of frames).
    size : tuple of int
        (H, W) of that image.
    """

    parameters: int
    multiply_accumulates: int
    size: tuple[int, int]


def network_cost(network: SegmentationNetwork, height: int, width: int) -> NetworkCost:
    """Count the parameters and multiply-accumulates of a network for one image.

    Parameters
    ----------
    network : SegmentationNetwork
        On any device, in any mode; left as it is.
    height, width : int
        Size of the image, at least 1.

    Returns
    -------
    NetworkCost
        For one image in evaluation mode.

    Raises
    ------
    ConfigError
        If a size is below 1, or the network is none of this package.

    Examples
    --------
    >>> from flame_metric.networks import build
    >>> cost = network_cost(build("swiftnet-r18", 19), 1024, 2048)
    >>> cost.parameters, round(cost.multiply_accumulates / 1e9, 2)
    (11808163, 103.58)
    """
    check_kind("network", network, SegmentationNetwork, "what models.build returns")
    size = (check_integer("height", height, 1, unit="pixels"), check_integer("width", width, 1, unit="pixels"))
    shadow = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shadow(torch.empty(1, 3 * network.frames, *size, device="meta"))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return NetworkCost(parameters, counter.get_total_flops() // 2, size)
