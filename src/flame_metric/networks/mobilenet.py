"""Body of MobileNetV2 (Sandler et al., 2018), without its last 1x1 convolution, under torchvision's parameter names."""

from __future__ import annotations

from torch import Tensor, nn

from flame_metric.networks.layers import he_init

__all__ = ["MobileNetV2", "mobilenet_v2"]

_STAGES = (  # expansion, channels, blocks, stride of the first of them
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_LOW, _HIGH = 3, 17  # features[3]: 24 channels at stride 4; features[17]: 320 channels


def _unit(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, dilation: int = 1) -> nn.Module:
    """Convolution, batch norm, ReLU6."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Expand by a 1x1 convolution, filter each channel, project back; a shortcut where nothing changes size."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, dilation: int) -> None:
        super().__init__()
        self.shortcut = stride == 1 and inputs == outputs
        hidden = inputs * expansion
        expand = [] if expansion == 1 else [_unit(inputs, hidden, 1)]
        self.conv = nn.Sequential(
            *expand,
            _unit(hidden, hidden, 3, stride=stride, groups=hidden, dilation=dilation),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        out: Tensor = self.conv(maps)
        return maps + out if self.shortcut else out


class MobileNetV2(nn.Module):
    """A MobileNetV2 body, its last two stages at stride 16: the stride of features[14] becomes dilation after it."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_unit(3, 32, 3, stride=2)]
        inputs, scale, dilation = 32, 2, 1
        for expansion, outputs, blocks, first_stride in _STAGES:
            for block in range(blocks):
                stride = first_stride if block == 0 else 1
                at_limit = stride * scale > 16
                layers.append(InvertedResidual(inputs, outputs, 1 if at_limit else stride, expansion, dilation))
                if at_limit:
                    dilation *= stride
                else:
                    scale *= stride
                inputs = outputs
        self.features = nn.Sequential(*layers)
        he_init(self)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """(N, C, H, W) to [24 channels at stride 4, 320 channels at stride 16]."""
        outputs = []
        for index, layer in enumerate(self.features):
            frames = layer(frames)
            if index in (_LOW, _HIGH):
                outputs.append(frames)
        return outputs


def mobilenet_v2() -> MobileNetV2:
    """Body of MobileNetV2 at output stride 16: 24 channels at stride 4, 320 at stride 16; 1,811,712 parameters."""
    return MobileNetV2()
