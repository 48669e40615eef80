"""What the paper's networks share: stacked frames in, scores of the same size out, parameters in two groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from flame_metric.errors import ConfigError, ShapeError
from flame_metric.networks.layers import resize

__all__ = ["SegmentationNetwork"]


class SegmentationNetwork(nn.Module):
    """A segmentation network: a backbone that ImageNet may have trained, and a head that is new.

    Attributes
    ----------
    backbone : torch.nn.Module
        A body with torchvision's parameter names, its first layer apart where the stem is another.
    frames : int
        Frames that it takes.
    num_classes : int
        Channels of its output.
    first_convolution : str
        Name of the first convolution in ``named_modules``.
    new_stem : str or None
        Name of the part of the backbone that is drawn anew, whatever the weights: a wider stem, a translation stem, or
        a first convolution with ``init="he"``.
    """

    backbone: nn.Module
    frames: int
    num_classes: int
    first_convolution: str
    new_stem: str | None

    def scores(self, frames: Tensor) -> Tensor:
        """(N, 3 frames, H, W) to scores (N, num_classes, h, w) of any size."""
        raise NotImplementedError

    def forward(self, frames: Tensor) -> Tensor:
        """Score the classes of every pixel.

        Parameters
        ----------
        frames : torch.Tensor
            (N, 3 frames, H, W), floating, normalised with ImageNet's mean and standard deviation, oldest frame first.
            Of any size, and never modified.

        Returns
        -------
        torch.Tensor
            Logits (N, num_classes, H, W).

        Raises
        ------
        ShapeError
            If the input has other axes or channels, or no pixels.
        ConfigError
            If it is not a tensor, or holds whole numbers.
        """
        if not isinstance(frames, Tensor):
            raise ConfigError(f"`frames` is {type(frames).__name__}, expected a torch.Tensor")
        if frames.ndim != 4 or frames.shape[1] != 3 * self.frames:
            raise ShapeError(
                f"`frames` has shape {tuple(frames.shape)}, expected (N, {3 * self.frames}, H, W): {self.frames} RGB "
                "frame(s) stacked along the channels, oldest first"
            )
        if not frames.is_floating_point():
            raise ConfigError(
                f"`frames` is of {frames.dtype}, expected floats: divide by 255 and normalise with ImageNet's mean and "
                "standard deviation"
            )
        if 0 in frames.shape[-2:]:
            raise ShapeError(f"`frames` has shape {tuple(frames.shape)}, expected at least one pixel")
        return resize(self.scores(frames), frames.shape[-2:])

    if TYPE_CHECKING:
        __call__ = forward

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the parameters (pretrained, new): those that a backbone's weights fill, and all others.

        A first convolution that was expanded from ImageNet's (``"repeat"``, ``"last"``) is pretrained, one that was
        drawn anew is new. The groups are the same when no weights were loaded.
        """
        new_stem = set() if self.new_stem is None else set(self.get_submodule(self.new_stem).parameters())
        pretrained = [parameter for parameter in self.backbone.parameters() if parameter not in new_stem]
        known = set(pretrained)
        return pretrained, [parameter for parameter in self.parameters() if parameter not in known]
