"""Layers that the networks share: convolutions with batch normalisation, bilinear resizing, He initialisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from flame_metric.errors import ShapeError

__all__ = ["BNReLUConv", "ConvBNReLU", "he_init", "resize"]


def he_init(module: nn.Module) -> None:
    """Draw every convolution in ``module`` by He's normal rule (fan out, ReLU); biases are 0, batch norms as built."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def resize(maps: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize (N, C, h, w) bilinearly to ``size`` (H, W), pixels being areas (``align_corners=False``)."""
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


class BNReLUConv(nn.Module):
    """Batch norm, ReLU, convolution: the unit of SwiftNet. Never changes what it is given."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, *, bias: bool = False, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs, momentum=momentum)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        out: Tensor = self.conv(functional.relu(_normalised(maps, self.norm)))
        return out


class ConvBNReLU(nn.Module):
    """Convolution, batch norm, ReLU, the size kept: the unit of DeepLab's head."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, *, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        return functional.relu(_normalised(self.conv(maps), self.norm))


def _normalised(maps: Tensor, norm: nn.Module) -> Tensor:
    """Apply a batch norm, which in training needs two values per channel: pooled maps of one image have one.

    Raises
    ------
    ShapeError
        If there is one.
    """
    if norm.training and maps.shape[0] * maps.shape[2] * maps.shape[3] == 1:
        raise ShapeError(
            "a batch of 1 leaves 1 value per channel after pooling over the image, expected at least 2 in training: "
            "batch normalisation has nothing to normalise; use larger batches (drop_last=True), or call .eval()"
        )
    out: Tensor = norm(maps)
    return out
