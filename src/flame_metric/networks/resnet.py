"""Bodies of ResNet-18 and ResNet-101 (He et al., 2016), without the classifier, under torchvision's parameter names.

Blocks stop short of their last ReLU, because SwiftNet takes its skips there: ``relu`` of the four maps that a body
returns is what comes out of torchvision's layer1 .. layer4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from flame_metric.networks.layers import he_init

__all__ = ["ResNet", "resnet18", "resnet101"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the last ReLU is the caller's."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int, dilation: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, planes, H / stride, W / stride), before the ReLU."""
        out = functional.relu(self.bn1(self.conv1(maps)))
        out = self.bn2(self.conv2(out))
        shortcut = maps if self.downsample is None else self.downsample(maps)
        return torch.add(out, shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut, the stride in the 3x3; the last ReLU is the caller's."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int, dilation: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self.downsample = downsample

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, 4 planes, H / stride, W / stride), before the ReLU."""
        out = functional.relu(self.bn1(self.conv1(maps)))
        out = functional.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        shortcut = maps if self.downsample is None else self.downsample(maps)
        return torch.add(out, shortcut)


class ResNet(nn.Module):
    """A ResNet body.

    Parameters
    ----------
    block : type
        :class:`BasicBlock` or :class:`Bottleneck`.
    blocks : tuple of int
        Blocks in each of the four layers.
    dilated : bool
        Keep the last layer at stride 16: its stride becomes dilation, from its second block on (torchvision's
        ``replace_stride_with_dilation=(False, False, True)``).
    """

    def __init__(
        self, block: type[BasicBlock | Bottleneck], blocks: tuple[int, int, int, int], *, dilated: bool = False
    ) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        width = block.expansion
        self.layer1 = _layer(block, 64, 64, blocks[0])
        self.layer2 = _layer(block, 64 * width, 128, blocks[1], stride=2)
        self.layer3 = _layer(block, 128 * width, 256, blocks[2], stride=2)
        last = {"dilation": 2} if dilated else {"stride": 2}
        self.layer4 = _layer(block, 256 * width, 512, blocks[3], **last)
        he_init(self)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(N, C, H, W) to the outputs of layer1 .. layer4, each before its last ReLU."""
        active = self.maxpool(functional.relu(self.bn1(self.conv1(frames))))
        outputs = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in layer:
                before = block(active)
                active = functional.relu(before)
            outputs.append(before)
        return outputs


def _layer(
    block: type[BasicBlock | Bottleneck], inputs: int, planes: int, blocks: int, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Blocks in a row; the first changes the size and the width and keeps dilation 1."""
    outputs = planes * block.expansion
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))
    rest = [block(outputs, planes, 1, dilation, None) for _ in range(blocks - 1)]
    return nn.Sequential(block(inputs, planes, stride, 1, downsample), *rest)


def resnet18() -> ResNet:
    """Body of ResNet-18: 64, 128, 256, 512 channels at strides 4, 8, 16, 32; 11,176,512 parameters."""
    return ResNet(BasicBlock, (2, 2, 2, 2))


def resnet101() -> ResNet:
    """Body of ResNet-101: 256, 512, 1024, 2048 channels at strides 4, 8, 16, 16 (dilated); 42,500,160 parameters."""
    return ResNet(Bottleneck, (3, 4, 23, 3), dilated=True)
