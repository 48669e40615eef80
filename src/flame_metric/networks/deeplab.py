"""DeepLabV3+ (Chen et al., 2018) on ResNet-101 or MobileNetV2, the paper's two slower networks.

The backbone stops at stride 16. Atrous spatial pyramid pooling looks at its map through a 1x1 convolution, three 3x3
convolutions at rates 6, 12, 18 and an average over the image; all have 256 channels. The decoder resizes that to
stride 4, adds 48 channels of an early map, and blends with two 3x3 convolutions. Scores are resized to the size of the
image. Convolutions are plain ones: the paper's parameter counts rule out separable heads. Dropout of 0.1 follows the
projection of the pyramid.

The paper names the four atrous branches only. Pooling over the image is DeepLabV3+ as published and the default here;
``image_pooling=False`` leaves it out, ``decoder_convs=1`` has one 3x3 convolution in the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.networks.layers import ConvBNReLU, he_init, resize
from flame_metric.networks.mobilenet import mobilenet_v2
from flame_metric.networks.resnet import resnet101
from flame_metric.networks.segmentation_network import SegmentationNetwork
from flame_metric.networks.stems import check_stem, widen
from flame_metric.networks.weights import load_backbone

__all__ = ["DeepLabV3Plus"]

_WIDTH = 256
_LOW_WIDTH = 48
_RATES = (6, 12, 18)
_DROPOUT = 0.1


class AtrousPooling(nn.Module):
    """Atrous spatial pyramid pooling: one map seen at several rates, and its average over the image."""

    def __init__(self, inputs: int, *, image_pooling: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [ConvBNReLU(inputs, _WIDTH), *(ConvBNReLU(inputs, _WIDTH, 3, dilation=rate) for rate in _RATES)]
        )
        self.image = ConvBNReLU(inputs, _WIDTH) if image_pooling else None
        self.project = ConvBNReLU((len(self.branches) + bool(image_pooling)) * _WIDTH, _WIDTH)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, 256, H, W)."""
        parts = [branch(maps) for branch in self.branches]
        if self.image is not None:
            average = self.image(functional.adaptive_avg_pool2d(maps, 1))
            parts.append(average.expand(-1, -1, *maps.shape[-2:]))
        out: Tensor = self.dropout(self.project(torch.cat(parts, 1)))
        return out


class DeepLabV3Plus(SegmentationNetwork):
    """DeepLabV3+ at output stride 16.

    Parameters
    ----------
    num_classes : int
        At least 1.
    backbone : {"resnet101", "mobilenet_v2"}
        ResNet-101 as in DeepLab-R101, MobileNetV2 as in DeepLab-MN.
    frames : int
        Frames that it takes.
    init : {"repeat", "last", "he"}
        How the first convolution is made from that of one frame; see :mod:`flame_metric.networks.stems`.
    weights : str or path, optional
        ``"imagenet"`` or a file for the backbone; see :func:`~flame_metric.networks.weights.load_backbone`.
    image_pooling : bool
        The branch that averages over the image. It needs two images a batch in training.
    decoder_convs : int
        3x3 convolutions of the decoder, at least 1.

    Raises
    ------
    ConfigError
        If an option is out of range.
    DatasetError
        If the weights are missing, damaged or of another network.

    Examples
    --------
    >>> network = DeepLabV3Plus(19, backbone="mobilenet_v2").eval()
    >>> network(torch.zeros(1, 3, 33, 65)).shape
    torch.Size([1, 19, 33, 65])
    """

    def __init__(
        self,
        num_classes: int,
        *,
        backbone: str,
        frames: int = 1,
        init: str = "repeat",
        weights: object = None,
        image_pooling: bool = True,
        decoder_convs: int = 2,
    ) -> None:
        super().__init__()
        check_choice("backbone", backbone, ("resnet101", "mobilenet_v2"))
        self.num_classes = check_integer("num_classes", num_classes, 1, unit="classes")
        self.frames = check_stem(frames, init)
        check_integer("decoder_convs", decoder_convs, 1, unit="convolutions")
        if backbone == "resnet101":
            self.backbone, low, high = resnet101(), 256, 2048
            self.first_convolution = "backbone.conv1"
        else:
            self.backbone, low, high = mobilenet_v2(), 24, 320
            self.first_convolution = "backbone.features.0.0"
        self.pooling = AtrousPooling(high, image_pooling=image_pooling)
        self.low = ConvBNReLU(low, _LOW_WIDTH)
        widths = [_LOW_WIDTH + _WIDTH] + [_WIDTH] * (decoder_convs - 1)
        self.decoder = nn.Sequential(*(ConvBNReLU(inputs, _WIDTH, 3) for inputs in widths))
        self.classifier = nn.Conv2d(_WIDTH, self.num_classes, 1)
        for part in (self.pooling, self.low, self.decoder, self.classifier):
            he_init(part)
        self.new_stem = self.first_convolution if self.frames > 1 and init == "he" else None
        if weights is not None:
            load_backbone(self.backbone, backbone, weights)
        widen(self.get_submodule(self.first_convolution), self.frames, init)

    def scores(self, frames: Tensor) -> Tensor:
        """(N, 3 frames, H, W) to scores (N, num_classes, H / 4, W / 4)."""
        low, high = self._maps(frames)
        low = self.low(low)
        maps = torch.cat([low, resize(self.pooling(high), low.shape[-2:])], 1)
        out: Tensor = self.classifier(self.decoder(maps))
        return out

    def _maps(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the backbone's maps at stride 4 and 16; those of a ResNet still need their last ReLU."""
        low, *_, high = self.backbone(frames)
        if self.first_convolution == "backbone.conv1":
            return functional.relu(low), functional.relu(high)
        return low, high
