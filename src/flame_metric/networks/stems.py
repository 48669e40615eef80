"""First layers that take several frames: expanded convolutions, the paper's wider stem, and its translation stem.

A network of several frames takes them stacked along the channels, oldest first. Its first convolution is made from that
of its one-frame self (3 channels):

- ``"repeat"``: the kernel once for every frame, divided by their number. Equal frames give the one-frame output.
- ``"last"``: zeros for all frames but the newest. The output is the one-frame output, whatever the other frames are.
- ``"he"``: a kernel drawn anew for all frames (He's normal rule, fan out).

Translations (section 5.4 of the paper): the previous frame enters N more times, moved by N fixed offsets, as
``T_1(I_{t-1}), ..., T_N(I_{t-1}), I_{t-1}, I_t``. What moves in from outside the image is 0, the mean colour.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from flame_metric.core.checks import check_choice, check_integer, is_integer, items
from flame_metric.errors import ConfigError
from flame_metric.networks.layers import he_init

__all__ = ["INITS", "TranslationStem", "as_offsets", "expand_kernel", "extended_stem", "translation_grid", "widen"]

INITS = ("repeat", "last", "he")
"""Ways in which a first convolution takes more frames."""

_STEP = 7


def expand_kernel(kernel: Tensor, frames: int, init: str) -> Tensor:
    """Make the kernel of a first convolution fit another number of frames.

    Parameters
    ----------
    kernel : torch.Tensor
        (outputs, 3 m, h, w), for m frames.
    frames : int
        How many frames it shall take.
    init : {"repeat", "last"}
        ``"repeat"`` sums over the m frames and spreads that evenly; ``"last"`` puts zeros before.

    Returns
    -------
    torch.Tensor
        (outputs, 3 frames, h, w).

    Raises
    ------
    ConfigError
        If ``"last"`` should take fewer frames than before: frames that the network was trained with would be lost.

    Examples
    --------
    >>> kernel = torch.ones(1, 3, 1, 1)
    >>> expand_kernel(kernel, 2, "repeat").flatten().tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    >>> expand_kernel(kernel, 2, "last").flatten().tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    """
    outputs, channels, *window = kernel.shape
    before = channels // 3
    if init == "repeat":
        summed = kernel.reshape(outputs, before, 3, *window).sum(1)
        return (summed / frames).repeat(1, frames, 1, 1)
    if frames < before:
        raise ConfigError(
            f"`init` is 'last' from {before} frames to {frames}, expected no fewer: the older frames would be lost; "
            "use 'repeat' or 'he'"
        )
    return torch.cat([kernel.new_zeros(outputs, 3 * (frames - before), *window), kernel], 1)


def widen(convolution: nn.Module, frames: int, init: str) -> None:
    """Make a first convolution of one frame take several, in place."""
    assert isinstance(convolution, nn.Conv2d)
    if frames == 1:
        return
    kernel = convolution.weight.detach()
    if init == "he":
        wider = kernel.new_empty(len(kernel), 3 * frames, *kernel.shape[2:])
        nn.init.kaiming_normal_(wider, mode="fan_out", nonlinearity="relu")
    else:
        wider = expand_kernel(kernel, frames, init)
    convolution.weight = nn.Parameter(wider)
    convolution.in_channels = 3 * frames


def check_stem(frames: object, init: object) -> int:
    """Check the options that every stem takes, and return the number of frames."""
    check_choice("init", init, INITS)
    return check_integer("frames", frames, 1, unit="frames")


def _two_convolutions(inputs: int, between: int) -> nn.Sequential:
    stem = nn.Sequential(
        nn.Conv2d(inputs, between, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(between),
        nn.ReLU(),
        nn.Conv2d(between, 64, 3, padding=1, bias=False),
    )
    he_init(stem)
    return stem


def extended_stem() -> nn.Sequential:
    """Stem of SwiftNet-R18-X for one frame: conv 3 -> 130, 7x7, stride 2; batch norm; ReLU; conv 130 -> 64, 3x3."""
    return _two_convolutions(3, 130)


class TranslationStem(nn.Sequential):
    """Stem for two frames and N translated copies of the first.

    conv 6 + 3 N -> 8 N, 7x7, stride 2; batch norm; ReLU; conv 8 N -> 64, 3x3. Drawn by He's rule.

    Parameters
    ----------
    offsets : sequence of (int, int)
        (dy, dx) in pixels: a copy shows at (y, x) what was at (y - dy, x - dx).
    """

    def __init__(self, offsets: Sequence[tuple[int, int]]) -> None:
        copies = len(offsets)
        super().__init__(*_two_convolutions(6 + 3 * copies, 8 * copies))
        self.offsets = tuple(offsets)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 6, H, W), the previous frame first, to (N, 64, H / 2, W / 2)."""
        maps = torch.cat([*self.translated(frames[:, :3]), frames], 1)
        for layer in self:
            maps = layer(maps)
        return maps

    def translated(self, previous: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to its copies, each (N, 3, H, W)."""
        height, width = previous.shape[-2:]
        reach = max(max(abs(dy), abs(dx)) for dy, dx in self.offsets)
        if reach == 0:
            return [previous] * len(self.offsets)
        padded = functional.pad(previous, (reach,) * 4)
        return [
            padded[:, :, reach - dy : reach - dy + height, reach - dx : reach - dx + width] for dy, dx in self.offsets
        ]

    def extra_repr(self) -> str:
        """Name the offsets in the printed network."""
        return f"offsets={self.offsets}"


def translation_grid(number: int, *, step: int = _STEP) -> tuple[tuple[int, int], ...]:
    """Choose offsets on a regular grid around the origin.

    Parameters
    ----------
    number : int
        How many. 9, 25, 81 and other odd squares are whole square grids. Any other number fills the square rings around
        the origin from the inside; in a ring, first the points on the axes, then the corners, then the rest from near
        to far. 17, whose offsets the paper does not give, is thus the 3x3 grid and eight points at twice its reach.
    step : int
        Pixels between neighbours. By default 7, so that the windows of the 7x7 kernel lie side by side: 9 translations
        see 21x21 pixels of the previous frame. The paper gives no step.

    Returns
    -------
    tuple of (int, int)
        (dy, dx) in pixels, the origin first.

    Raises
    ------
    ConfigError
        If a number is below 1.

    Examples
    --------
    >>> translation_grid(5)
    ((0, 0), (-7, 0), (0, -7), (0, 7), (7, 0))
    >>> translation_grid(9, step=1)[5:]
    ((-1, -1), (-1, 1), (1, -1), (1, 1))
    """
    check_integer("number", number, 1, unit="translations")
    check_integer("step", step, 1, unit="pixels")
    rings = 0
    while (2 * rings + 1) ** 2 < number:
        rings += 1

    def place(point: tuple[int, int]) -> tuple[int, ...]:
        near, far = sorted(map(abs, point))
        kind = 0 if near == 0 else 1 if near == far else 2
        return (far, kind, near, *point)

    reach = range(-rings, rings + 1)
    points = sorted(((dy, dx) for dy in reach for dx in reach), key=place)
    return tuple((dy * step, dx * step) for dy, dx in points[:number])


def as_offsets(translations: object) -> tuple[tuple[int, int], ...]:
    """Return the offsets that ``translations`` means: a number of the default grid, or (dy, dx) offsets themselves.

    Raises
    ------
    ConfigError
        If it is neither.
    """
    expected = "a number >= 1, or offsets (dy, dx) in whole pixels"
    if is_integer(translations):
        return translation_grid(check_integer("translations", translations, 1))
    offsets = []
    for pair in items("translations", translations, expected):
        offset = tuple(items("translations", pair, expected))
        if len(offset) != 2 or not all(map(is_integer, offset)):
            raise ConfigError(f"`translations` holds {pair!r}, expected {expected}")
        offsets.append((int(offset[0]), int(offset[1])))
    if not offsets:
        raise ConfigError(f"`translations` is empty, expected {expected}; None for no translations")
    return tuple(offsets)
