"""SwiftNet (Orsic et al., 2019) on ResNet-18, the paper's fast network, and SwiftNet-R18-X with its wider stem.

ResNet-18 gives maps at strides 4, 8, 16 and 32. Spatial pyramid pooling widens the view of the coarsest; three steps
upsample it, each to the size of the next finer map, and add that map's projection to 128 channels. Scores at stride 4
are resized straight to the size of the image. Every unit of the head is batch norm, ReLU, convolution.

Where the paper and the authors' code differ, the default is the paper's and the other an option: four levels of pooling
(the code has three, ``spp_grids=(8, 4, 2)``), and skips from before the ReLU (``preactivation_skips=False``: from after
it, which is what an in-place ReLU makes of them in the code).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from flame_metric.core.checks import check_integer, items
from flame_metric.errors import ConfigError
from flame_metric.networks.layers import BNReLUConv, he_init, resize
from flame_metric.networks.resnet import resnet18
from flame_metric.networks.segmentation_network import SegmentationNetwork
from flame_metric.networks.stems import TranslationStem, as_offsets, check_stem, extended_stem, widen
from flame_metric.networks.weights import load_backbone

__all__ = ["SwiftNet"]

_WIDTH = 128
_LEVEL_WIDTH = 42
_POOLING_MOMENTUM = 0.005


class PyramidPooling(nn.Module):
    """Spatial pyramid pooling: the map beside its averages over coarse grids.

    A level of grid g pools to g rows and as many columns as make its cells square: ``round(g * width / height)``.
    """

    def __init__(self, inputs: int, grids: tuple[int, ...]) -> None:
        super().__init__()
        self.grids = grids
        self.reduce = BNReLUConv(inputs, _WIDTH, momentum=_POOLING_MOMENTUM)
        self.levels = nn.ModuleList(BNReLUConv(_WIDTH, _LEVEL_WIDTH, momentum=_POOLING_MOMENTUM) for _ in grids)
        self.fuse = BNReLUConv(_WIDTH + len(grids) * _LEVEL_WIDTH, _WIDTH, momentum=_POOLING_MOMENTUM)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, 128, H, W)."""
        reduced = self.reduce(maps)
        size = reduced.shape[-2:]
        parts = [reduced]
        for grid, level in zip(self.grids, self.levels, strict=True):
            columns = max(1, round(grid * size[1] / size[0]))
            pooled = functional.adaptive_avg_pool2d(reduced, (grid, columns))
            parts.append(resize(level(pooled), size))
        out: Tensor = self.fuse(torch.cat(parts, 1))
        return out


class Upsampling(nn.Module):
    """One step of the decoder: resize to the skip's size, add its projection, blend."""

    def __init__(self, skip_channels: int) -> None:
        super().__init__()
        self.skip = BNReLUConv(skip_channels, _WIDTH)
        self.blend = BNReLUConv(_WIDTH, _WIDTH, 3)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """(N, 128, h, w) and the skip (N, skip_channels, H, W) to (N, 128, H, W)."""
        projected = self.skip(skip)
        out: Tensor = self.blend(resize(coarse, projected.shape[-2:]) + projected)
        return out


class SwiftNet(SegmentationNetwork):
    """SwiftNet-R18, and SwiftNet-R18-X with ``extended=True``.

    Parameters
    ----------
    num_classes : int
        At least 1.
    frames : int
        Frames that it takes.
    init : {"repeat", "last", "he"}
        How the first convolution is made from that of one frame; see :mod:`flame_metric.networks.stems`.
    translations : int or sequence of (int, int), optional
        The paper's translation stem, for two frames: a number N of the grid of
        :func:`~flame_metric.networks.stems.translation_grid`, or offsets (dy, dx) in pixels. All zeros are the paper's
        control. The stem is drawn by He's rule: there is no one-frame kernel that ``"last"`` could keep.
    weights : str or path, optional
        ``"imagenet"`` or a file for the backbone; see :func:`~flame_metric.networks.weights.load_backbone`.
    extended : bool
        The wider stem of SwiftNet-R18-X.
    spp_grids : sequence of int
        Rows of each level of pyramid pooling.
    preactivation_skips : bool
        Take pooling's input and the skips from before the last ReLU of each layer, or from after it.

    Raises
    ------
    ConfigError
        If an option is out of range, or two of them contradict each other.
    DatasetError
        If the weights are missing, damaged or of another network.

    Examples
    --------
    >>> network = SwiftNet(19, frames=2).eval()
    >>> network(torch.zeros(1, 6, 33, 65)).shape
    torch.Size([1, 19, 33, 65])
    """

    def __init__(
        self,
        num_classes: int,
        *,
        frames: int = 1,
        init: str = "repeat",
        translations: int | Sequence[tuple[int, int]] | None = None,
        weights: object = None,
        extended: bool = False,
        spp_grids: Sequence[int] = (8, 4, 2, 1),
        preactivation_skips: bool = True,
    ) -> None:
        super().__init__()
        self.num_classes = check_integer("num_classes", num_classes, 1, unit="classes")
        self.frames = check_stem(frames, init)
        if translations is not None:
            _check_translations(frames, init, extended)
        self.preactivation_skips = preactivation_skips
        self.backbone = resnet18()
        self.pooling = PyramidPooling(512, _grids(spp_grids))
        self.upsampling = nn.ModuleList(Upsampling(channels) for channels in (256, 128, 64))
        self.classifier = BNReLUConv(_WIDTH, self.num_classes, bias=True)
        for part in (self.pooling, self.upsampling, self.classifier):
            he_init(part)
        self.first_convolution, self.new_stem = "backbone.conv1", None
        if weights is not None:
            load_backbone(self.backbone, "resnet18", weights)
        if translations is not None:
            self._replace_stem(TranslationStem(as_offsets(translations)))
            return
        if extended:
            self._replace_stem(extended_stem())
        elif self.frames > 1 and init == "he":
            self.new_stem = self.first_convolution
        widen(self.get_submodule(self.first_convolution), self.frames, init)

    def _replace_stem(self, stem: nn.Sequential) -> None:
        self.new_stem, self.first_convolution = "backbone.conv1", "backbone.conv1.0"
        self.backbone.conv1 = stem

    def scores(self, frames: Tensor) -> Tensor:
        """(N, 3 frames, H, W) to scores (N, num_classes, H / 4, W / 4)."""
        *skips, coarsest = self.backbone(frames)
        if not self.preactivation_skips:
            skips, coarsest = [functional.relu(skip) for skip in skips], functional.relu(coarsest)
        maps = self.pooling(coarsest)
        for step, skip in zip(self.upsampling, reversed(skips), strict=True):
            maps = step(maps, skip)
        out: Tensor = self.classifier(maps)
        return out


def _grids(grids: object) -> tuple[int, ...]:
    listed = items("spp_grids", grids, "numbers of rows, such as (8, 4, 2, 1)")
    return tuple(check_integer("spp_grids", grid, 1, unit="rows") for grid in listed)


def _check_translations(frames: int, init: str, extended: bool) -> None:
    if frames != 2:
        raise ConfigError(f"`translations` is given with `frames` {frames}, expected 2: they move the previous frame")
    if extended:
        raise ConfigError("`translations` is given for SwiftNet-R18-X, expected SwiftNet-R18: each has its own stem")
    if init == "last":
        raise ConfigError(
            "`init` is 'last' with `translations`, expected 'he': a translation stem is always drawn anew"
        )
