from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.nn import functional  # noqa: E402

from flame_metric.errors import ConfigError  # noqa: E402
from flame_metric.paper.augmentation import (  # noqa: E402
    IGNORED,
    Augmentation,
    Draw,
    network_input,
)
from flame_metric.torch.runner import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402

PLAIN = Draw(flip=False, scale=1.0, down=0.0, right=0.0, blur_sigma=None)
COLOURS = torch.tensor([(250, 10, 10), (10, 240, 30), (0, 20, 255), (128, 128, 128)], dtype=torch.uint8)


def draw(**changes: object) -> Draw:
    return Draw(**{**vars(PLAIN), **changes})


def painted(labels: torch.Tensor, frames: int = 2) -> torch.Tensor:
    """A label map as frames, each label in its colour: uint8 (F, 3, H, W)."""
    return COLOURS[labels].permute(2, 0, 1).expand(frames, -1, -1, -1)


def coloured(image: torch.Tensor) -> torch.Tensor:
    """Which label's colour is nearest to each pixel of each frame of a network input: (F, H, W)."""
    frames = image.reshape(-1, 3, *image.shape[1:])
    wanted = network_input(COLOURS.reshape(4, 3, 1, 1)).reshape(4, 1, 3, 1, 1)
    return (frames[None] - wanted).square().sum(2).argmin(0)


def blocks(height: int = 60, width: int = 90, side: int = 10) -> torch.Tensor:
    """A label map of random blocks."""
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 4, (-(-height // side), -(-width // side)))
    return torch.from_numpy(np.kron(coarse, np.ones((side, side), np.int64))[:height, :width])


def test_network_input_by_hand() -> None:
    frames = torch.zeros(2, 3, 1, 2, dtype=torch.uint8)
    frames[0, :, 0, 1] = torch.tensor([255, 51, 0], dtype=torch.uint8)
    frames[1, 2] = 102
    image = network_input(frames)
    assert (image.shape, image.dtype, image.is_contiguous()) == ((6, 1, 2), torch.float32, True)
    black = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    assert image[:3, 0, 0].tolist() == pytest.approx(black, rel=1e-6)
    assert image[:3, 0, 1].tolist() == pytest.approx([(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, black[2]], rel=1e-5)
    assert image[3:, 0, 0].tolist() == pytest.approx([*black[:2], (0.4 - 0.406) / 0.225], rel=1e-5)
    assert frames.dtype == torch.uint8
    assert int(frames[0, 0, 0, 1]) == 255  # the caller's frames are as they were


def test_a_crop_of_numbered_pixels_by_hand() -> None:
    """4x6 pixels; the crop 2x3 may start in rows 0..2 and columns 0..3."""
    target = torch.arange(24).reshape(4, 6)
    frames = target.to(torch.uint8).expand(1, 3, 4, 6)
    for down, right, flip, first in [
        (0.0, 0.0, False, [[0, 1, 2], [6, 7, 8]]),
        (0.99, 0.99, False, [[15, 16, 17], [21, 22, 23]]),
        (0.34, 0.26, False, [[7, 8, 9], [13, 14, 15]]),
        (0.34, 0.26, True, [[9, 8, 7], [15, 14, 13]]),
    ]:
        image, cut = Augmentation(crop=(2, 3)).apply(draw(down=down, right=right, flip=flip), frames, target)
        assert cut.tolist() == first
        assert torch.equal(image, network_input(cut.to(torch.uint8).expand(1, 3, 2, 3)))


def test_small_frames_are_padded_with_the_mean_and_ignored_labels() -> None:
    target = torch.tensor([[1, 2], [3, 0]])
    image, padded = Augmentation(crop=(4, 3)).apply(draw(down=0.4, right=0.6), painted(target), target)
    assert padded.tolist() == [[IGNORED] * 3, [IGNORED, 1, 2], [IGNORED, 3, 0], [IGNORED] * 3]
    assert torch.equal(image == 0, (padded == IGNORED).expand_as(image))
    assert torch.equal(coloured(image)[:, 1:3, 1:], target.expand(2, 2, 2))
    wide = Augmentation(crop=(1, 5)).apply(draw(down=0.9, right=0.0), painted(target), target)[1]
    assert wide.tolist() == [[3, 0, IGNORED, IGNORED, IGNORED]]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", [None, (31, 47), (75, 30), (200, 200)])
def test_colours_and_labels_agree_where_nothing_is_scaled(flip: bool, crop: tuple[int, int] | None) -> None:
    target = blocks()
    image, cut = Augmentation(crop=crop).apply(draw(flip=flip, down=0.7, right=0.3), painted(target), target)
    inside = cut != IGNORED
    assert cut.shape == (crop or target.shape)
    assert int(inside.sum()) == min(cut.shape[0], 60) * min(cut.shape[1], 90)
    for labels in coloured(image):
        assert torch.equal(labels[inside], cut[inside])


@pytest.mark.parametrize("scale", [0.5, 0.75, 0.83, 1.11, 1.5, 2.7])
def test_scaled_frames_and_labels_are_aligned_to_a_fraction_of_a_pixel(scale: float) -> None:
    """A frame of two halves: where colours cross half-way, to sub-pixel, labels change."""
    target = torch.zeros(40, 64, dtype=torch.int64)
    target[:, 24:] = 1
    frames = (255 * target).to(torch.uint8).expand(1, 3, 40, 64)
    image, scaled = Augmentation(crop=None).apply(draw(scale=scale), frames, target)
    assert scaled.shape == image.shape[1:] == (round(40 * scale), round(64 * scale))
    bright = (image[0, 0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]).double()
    dark = int((bright < 0.5).sum())  # pixel centres left of the edge
    here, there = float(bright[dark - 1]), float(bright[dark])
    edge = dark - 0.5 + (0.5 - here) / (there - here)  # of the colours, pixel i spanning i to i + 1
    expected = 24 * scaled.shape[1] / 64
    assert edge == pytest.approx(expected, abs=0.06)
    assert int((scaled[0] == 0).sum()) == pytest.approx(expected, abs=0.51)


@pytest.mark.parametrize("scale", [0.75, 1.2, 1.5])
@pytest.mark.parametrize("flip", [False, True])
def test_scaled_colours_and_labels_agree_off_the_boundaries(scale: float, flip: bool) -> None:
    target = blocks()
    image, cut = Augmentation(crop=(50, 60)).apply(
        draw(scale=scale, flip=flip, down=0.2, right=0.9), painted(target), target
    )
    inside = cut != IGNORED
    windows = functional.pad(cut[None, None].double(), (1, 1, 1, 1), mode="replicate").unfold(2, 3, 1).unfold(3, 3, 1)
    within = (windows.amax((-1, -2)) == windows.amin((-1, -2)))[0, 0] & inside
    assert within.sum() > 0.5 * inside.sum()
    for labels in coloured(image):
        assert torch.equal(labels[within], cut[within])


def test_scaling_is_antialiased() -> None:
    stripes = torch.arange(64).remainder(2).mul(255).to(torch.uint8).expand(1, 3, 16, 64)
    image, _ = Augmentation(crop=None).apply(draw(scale=0.25), stripes, torch.zeros(16, 64, dtype=torch.int64))
    grey = image[0, :, 2:-2] * IMAGENET_STD[0] + IMAGENET_MEAN[0]
    assert float((grey - 0.5).abs().max()) < 0.05


def test_blur_by_hand() -> None:
    frames = torch.zeros(1, 3, 9, 9, dtype=torch.uint8)
    frames[..., 4, 4] = 255
    target = torch.arange(81).reshape(9, 9)
    image, same = Augmentation(crop=None).apply(draw(blur_sigma=1.0), frames, target)
    weights = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    weights /= weights.sum()
    expected = np.zeros((9, 9))
    expected[2:7, 2:7] = np.outer(weights, weights)
    assert (image[0] * IMAGENET_STD[0] + IMAGENET_MEAN[0]).numpy() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(same, target)


def test_blur_leaves_flat_frames_and_one_pixel_as_they_are() -> None:
    for size in ((1, 1), (7, 3)):
        frames = torch.full((2, 3, *size), 90, dtype=torch.uint8)
        image, _ = Augmentation(crop=None).apply(draw(blur_sigma=2.0), frames, torch.zeros(size, dtype=torch.int64))
        assert image.numpy() == pytest.approx(network_input(frames).numpy(), abs=1e-5)


def test_padding_is_not_blurred() -> None:
    target = torch.zeros(6, 6, dtype=torch.int64)
    image, padded = Augmentation(crop=(10, 10)).apply(draw(blur_sigma=2.0, down=0.5), painted(target), target)
    assert torch.equal(image == 0, (padded == IGNORED).expand_as(image))


def test_a_still_video_stays_still() -> None:
    """Equal input frames are equal afterwards: each is changed alike."""
    augmentation, rng = Augmentation(crop=(40, 40)), np.random.default_rng(8)
    target = blocks()
    for _ in range(20):
        image, _ = augmentation.apply(augmentation.draw(rng), painted(target, 3), target)
        assert torch.equal(image[:3], image[3:6])
        assert torch.equal(image[:3], image[6:])


def test_draws_fill_their_ranges() -> None:
    augmentation, rng = Augmentation(), np.random.default_rng(0)
    draws = [augmentation.draw(rng) for _ in range(2000)]
    sigmas = [one.blur_sigma for one in draws if one.blur_sigma is not None]
    scales = np.array([one.scale for one in draws])
    assert np.mean([one.flip for one in draws]) == pytest.approx(0.5, abs=0.04)
    assert len(sigmas) / 2000 == pytest.approx(0.5, abs=0.04)
    assert (scales.min(), scales.max(), scales.mean()) == pytest.approx((0.75, 1.5, 1.125), abs=0.02)
    assert (min(sigmas), max(sigmas)) == pytest.approx((0.1, 2.0), abs=0.02)
    never = Augmentation(flip=0.0, blur_probability=0.0, scale=(1.0, 1.0))
    for _ in range(50):
        drawn = never.draw(rng)
        assert drawn == draw(down=drawn.down, right=drawn.right)


def test_every_place_of_the_crop_is_equally_likely() -> None:
    augmentation = Augmentation(crop=(1, 2), scale=(1.0, 1.0), flip=0.0, blur_probability=0.0)
    rng = np.random.default_rng(1)
    target = torch.arange(12).reshape(3, 4)
    frames = target.to(torch.uint8).expand(1, 3, 3, 4)
    firsts = [int(augmentation.apply(augmentation.draw(rng), frames, target)[1][0, 0]) for _ in range(900)]
    values, times = np.unique(firsts, return_counts=True)
    assert values.tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert times.min() > 60


def test_no_global_random_state_is_used() -> None:
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    augmentation, target = Augmentation(crop=(20, 20)), blocks()
    augmentation.apply(augmentation.draw(np.random.default_rng(0)), painted(target), target)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # noqa: NPY002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0, 5)}, "`crop` is 0, expected a whole number of pixels >= 1"),
        ({"crop": (5,)}, "`crop` is (5,), expected (height, width) or None"),
        ({"crop": 768}, "`crop` is 768, expected (height, width) or None"),
        ({"flip": 1.5}, "`flip` holds 1.5, expected a probability from 0 to 1"),
        ({"blur_probability": float("nan")}, "`blur_probability` holds nan, expected a probability from 0 to 1"),
        ({"scale": (0.0, 1.0)}, "`scale` holds 0.0, expected a range (low, high) above 0"),
        ({"scale": (1.5, 0.75)}, "`scale` is (1.5, 0.75), expected a range (low, high) above 0"),
        ({"scale": 1.0}, "`scale` is 1.0, expected a range (low, high)"),
        ({"blur_sigma": (0.1, float("inf"))}, "`blur_sigma` holds inf, expected a range (low, high) above 0"),
        ({"blur_kernel": 4}, "`blur_kernel` is 4, expected an odd number of pixels"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Augmentation(**options)
    assert str(caught.value) == message
