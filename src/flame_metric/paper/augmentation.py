"""Random augmentation: one draw of scale, crop, flip and blur, applied alike to all input frames and to the target.

Geometry comes first, on bytes. The frames are scaled bilinearly with antialiasing, and the label map by taking, for
the centre of each new pixel, the old pixel in which it lies. Both count pixel centres at i + 0.5 and use the ratio of
the real sizes, so frames and labels stay aligned to a fraction of a pixel. Then a window is cut and mirrored, and the
frames become network input and are blurred. Where the scaled frames are smaller than the crop, they lie anywhere in
it; around them is the mean colour (0 after normalisation), and `IGNORED` in the target. Labels are never blurred.

A draw depends only on the given generator; there is no global random state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from flame_metric.core.checks import check_integer, check_kind
from flame_metric.errors import ConfigError
from flame_metric.torch.runner import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["IGNORED", "Augmentation", "Draw", "network_input"]

IGNORED = -100
"""Target value of void and padded pixels: what the losses of PyTorch leave out by default."""


def network_input(frames: Tensor) -> Tensor:
    """Return frames as the networks take them: ImageNet-normalised, one after the other along the channels.

    Parameters
    ----------
    frames : Tensor of uint8, (F, 3, H, W)
        RGB frames, oldest first.

    Returns
    -------
    Tensor of float32, (3 * F, H, W)

    Examples
    --------
    >>> network_input(torch.zeros(2, 3, 4, 5, dtype=torch.uint8)).shape
    torch.Size([6, 4, 5])
    """
    mean, std = (255 * torch.tensor(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return frames.contiguous().float().sub_(mean).div_(std).flatten(0, 1)


@dataclass(frozen=True)
class Draw:
    """One set of random parameters.

    Attributes
    ----------
    flip : bool
        Whether left and right are exchanged.
    scale : float
        Size of the scaled frame in units of the given one.
    down, right : float
        Where the crop lies, 0 (top, left) to 1 (bottom, right; exclusive).
    blur_sigma : float or None
        Standard deviation of the blur in pixels of the crop; None: sharp.
    """

    flip: bool
    scale: float
    down: float
    right: float
    blur_sigma: float | None


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What may happen to the frames and the target of an item.

    Parameters
    ----------
    crop : (int, int) or None
        Height and width of the result in pixels, each >= 1; None: the whole scaled frame.
    flip : float
        Probability of a horizontal flip, 0..1.
    scale : (float, float)
        Range of the scale, drawn uniformly; above 0.
    blur_probability : float
        Probability of a Gaussian blur, 0..1.
    blur_kernel : int
        Width of its kernel in pixels, odd.
    blur_sigma : (float, float)
        Range of its standard deviation in pixels, drawn uniformly; above 0.

    Raises
    ------
    ConfigError
        If one of them is out of range.

    Examples
    --------
    >>> augmentation = Augmentation(crop=(48, 64))
    >>> frames, target = torch.zeros(2, 3, 90, 160, dtype=torch.uint8), torch.zeros(90, 160, dtype=torch.int64)
    >>> image, target = augmentation.apply(augmentation.draw(np.random.default_rng(0)), frames, target)
    >>> image.shape, target.shape
    (torch.Size([6, 48, 64]), torch.Size([48, 64]))
    """

    crop: tuple[int, int] | None = (768, 768)
    flip: float = 0.5
    scale: tuple[float, float] = (0.75, 1.5)
    blur_probability: float = 0.5
    blur_kernel: int = 5
    blur_sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        if self.crop is not None:
            check_kind("crop", self.crop, tuple, "(height, width) or None")
            if len(self.crop) != 2:
                raise ConfigError(f"`crop` is {self.crop!r}, expected (height, width) or None")
            for side in self.crop:
                check_integer("crop", side, 1, unit="pixels")
        for name in ("flip", "blur_probability"):
            _check_numbers(name, (getattr(self, name),), 0.0, 1.0, "a probability from 0 to 1")
        for name in ("scale", "blur_sigma"):
            values = getattr(self, name)
            check_kind(name, values, tuple, "a range (low, high)")
            _check_numbers(name, values, math.ulp(0.0), math.inf, "a range (low, high) above 0")
            if len(values) != 2 or values[0] > values[1]:
                raise ConfigError(f"`{name}` is {values!r}, expected a range (low, high) above 0")
        if check_integer("blur_kernel", self.blur_kernel, 1, unit="pixels") % 2 == 0:
            raise ConfigError(f"`blur_kernel` is {self.blur_kernel}, expected an odd number of pixels")

    def draw(self, rng: np.random.Generator) -> Draw:
        """Draw one set of parameters; the same numbers are taken from the generator whatever comes out."""
        flip, down, right, blur = rng.random(4)
        scale, sigma = rng.uniform(*self.scale), rng.uniform(*self.blur_sigma)
        blur_sigma = float(sigma) if blur < self.blur_probability else None
        return Draw(bool(flip < self.flip), float(scale), float(down), float(right), blur_sigma)

    def apply(self, draw: Draw, frames: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return network input and target as one draw changes them.

        Parameters
        ----------
        draw : Draw
        frames : Tensor of uint8, (F, 3, H, W)
            RGB frames, oldest first.
        target : Tensor of int64, (H, W)

        Returns
        -------
        image : Tensor of float32, (3 * F, h, w)
            As :func:`network_input` makes it; 0 outside the frames.
        target : Tensor of int64, (h, w)
            Given labels, and `IGNORED` outside the frames.
        """
        size = [max(1, round(draw.scale * side)) for side in target.shape]
        crop = size if self.crop is None else self.crop
        top, bottom, above, below = _window(draw.down, size[0], crop[0])
        left, right, before, after = _window(draw.right, size[1], crop[1])
        rows = _nearest(range(top, bottom), size[0], target.shape[0])
        columns = _nearest(range(left, right), size[1], target.shape[1])
        target = target[rows[:, None], columns]
        if size != list(frames.shape[-2:]):
            frames = functional.interpolate(frames, size=size, mode="bilinear", antialias=True)
        frames = frames[..., top:bottom, left:right]
        if draw.flip:
            frames, target = frames.flip(-1), target.flip(-1)
        image = network_input(frames)
        if draw.blur_sigma is not None:
            image = _blur(image, draw.blur_sigma, self.blur_kernel)
        edges = before, after, above, below
        return functional.pad(image, edges), functional.pad(target, edges, value=IGNORED).contiguous()


def _check_numbers(name: str, values: tuple[Any, ...], low: float, high: float, expected: str) -> None:
    for value in values:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and low <= value <= high and math.isfinite(value)):
            raise ConfigError(f"`{name}` holds {value!r}, expected {expected}")


def _window(share: float, side: int, wanted: int) -> tuple[int, int, int, int]:
    """Return from where to where a side of the scaled frame is kept, and the padding before and after it."""
    free = side - wanted
    start = int(share * (abs(free) + 1))  # share is below 1: each place is equally likely
    return (start, start + wanted, 0, 0) if free >= 0 else (0, side, start, -free - start)


def _nearest(part: range, scaled: int, given: int) -> Tensor:
    """Return in which given pixel the centre of each scaled pixel of a part lies."""
    return (2 * torch.arange(part.start, part.stop) + 1) * given // (2 * scaled)


def _blur(image: Tensor, sigma: float, kernel: int) -> Tensor:
    """Blur each channel; outside, the pixels of the border go on."""
    reach = kernel // 2
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    padded = functional.pad(image[None], (reach,) * 4, mode="replicate")[0]
    for axis in (1, 2):  # shifted and added: several times as fast as a convolution with one channel
        length = padded.shape[axis] - 2 * reach
        blurred = torch.zeros_like(padded.narrow(axis, 0, length))
        for start, weight in enumerate(weights.tolist()):
            blurred.add_(padded.narrow(axis, start, length), alpha=weight)
        padded = blurred
    return padded
