"""First layers that take several frames: expanded kernels, grids of offsets, and translated copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from flame_metric import ConfigError  # noqa: E402
from flame_metric.networks import build, translation_grid  # noqa: E402
from flame_metric.networks.stems import TranslationStem, as_offsets, expand_kernel  # noqa: E402

FIRSTS = ("swiftnet-r18", "swiftnet-r18-x", "deeplab-mn")  # DeepLab-R101 begins as SwiftNet-R18
FRAME = torch.arange(1.0, 13.0).reshape(1, 1, 3, 4)


# ── kernels ──


@pytest.mark.parametrize(
    ("before", "frames", "init", "after"),
    [
        ([1, 2, 3], 1, "repeat", [1, 2, 3]),
        ([1, 2, 3], 2, "repeat", [0.5, 1, 1.5, 0.5, 1, 1.5]),
        ([3, 6, 9], 3, "repeat", [1, 2, 3, 1, 2, 3, 1, 2, 3]),
        ([1, 2, 3, 5, 6, 7], 1, "repeat", [6, 8, 10]),
        ([1, 2, 3, 5, 6, 7], 4, "repeat", [1.5, 2, 2.5] * 4),
        ([1, 2, 3], 1, "last", [1, 2, 3]),
        ([1, 2, 3], 2, "last", [0, 0, 0, 1, 2, 3]),
        ([1, 2, 3, 5, 6, 7], 3, "last", [0, 0, 0, 1, 2, 3, 5, 6, 7]),
    ],
)
def test_kernels_by_hand(before, frames, init, after):
    kernel = torch.tensor(before, dtype=torch.float32)[None, :, None, None]
    assert expand_kernel(kernel, frames, init).flatten().tolist() == after


def test_frames_are_not_dropped_in_silence():
    with pytest.raises(ConfigError, match="`init` is 'last' from 2 frames to 1, expected no fewer"):
        expand_kernel(torch.ones(1, 6, 1, 1), 1, "last")


@given(before=st.integers(1, 3), after=st.integers(1, 4), seed=st.integers(0, 99))
def test_law_equal_frames_give_equal_outputs(before, after, seed):
    generator = torch.Generator().manual_seed(seed)
    kernel = torch.randn(2, 3 * before, 3, 3, generator=generator, dtype=torch.float64)
    frame = torch.randn(1, 3, 6, 7, generator=generator, dtype=torch.float64)
    old = torch.conv2d(frame.repeat(1, before, 1, 1), kernel)
    new = torch.conv2d(frame.repeat(1, after, 1, 1), expand_kernel(kernel, after, "repeat"))
    torch.testing.assert_close(new, old)


def pair(name, init, settled, frames=2):
    """The one-frame network of a seed, and the network of more frames of that seed, in double precision."""
    torch.manual_seed(0)
    one = settled(build(name, 3).double())
    torch.manual_seed(0)
    more = build(name, 3, frames=frames, init=init).double().eval()
    first = more.first_convolution + ".weight"
    statistics = {key: value for key, value in one.state_dict().items() if key != first}
    assert more.load_state_dict(statistics, strict=False).missing_keys == [first]  # its kernel is what build made
    return one, more


@pytest.mark.parametrize("name", FIRSTS)
def test_repeat_equal_frames_give_the_one_frame_output(name, settled):
    one, two = pair(name, "repeat", settled)
    frame, other = torch.randn(2, 1, 3, 33, 65, dtype=torch.float64)
    with torch.inference_mode():
        expected = one(frame)
        scale = expected.abs().max().item()
        torch.testing.assert_close(two(torch.cat([frame, frame], 1)), expected, rtol=0, atol=1e-9 * scale)
        assert (two(torch.cat([other, frame], 1)) - expected).abs().max() > 1e-3 * scale


@pytest.mark.parametrize("name", FIRSTS)
def test_last_is_the_one_frame_network_whatever_came_before(name, settled):
    one, three = pair(name, "last", settled, frames=3)
    frame, *others = torch.randn(5, 1, 3, 33, 65, dtype=torch.float64)
    with torch.inference_mode():
        outputs = [three(torch.cat([*before, frame], 1)) for before in (others[:2], others[2:], [frame, frame])]
        assert torch.equal(outputs[0], outputs[1])
        assert torch.equal(outputs[0], outputs[2])
        expected = one(frame)
    torch.testing.assert_close(outputs[0], expected, rtol=0, atol=1e-9 * expected.abs().max().item())


@pytest.mark.parametrize("name", FIRSTS)
def test_he_draws_a_kernel_for_all_frames(name):
    torch.manual_seed(0)
    network = build(name, 3, frames=2, init="he")
    kernel = network.get_submodule(network.first_convolution).weight
    older, newer = kernel.detach().flatten(2).permute(1, 0, 2).reshape(2, -1)
    fan_out = kernel.shape[0] * kernel.shape[2] * kernel.shape[3]
    for half in (older, newer):
        assert half.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
    assert abs(torch.corrcoef(torch.stack([older, newer]))[0, 1]) < 0.15


# ── offsets ──


@pytest.mark.parametrize(
    ("number", "points"),
    [
        (1, {(0, 0)}),
        (5, {(0, 0), (0, 2), (2, 0), (0, -2), (-2, 0)}),
        (9, {(dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2)}),
        (17, {(radius * dy, radius * dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) for radius in (2, 4)}),
        (25, {(dy, dx) for dy in range(-4, 5, 2) for dx in range(-4, 5, 2)}),
        (81, {(dy, dx) for dy in range(-8, 9, 2) for dx in range(-8, 9, 2)}),
    ],
)
def test_grids_by_hand(number, points):
    grid = translation_grid(number, step=2)
    assert len(grid) == number
    assert set(grid) == points


def test_default_step_is_the_kernels_width():
    assert set(translation_grid(9)) == {(dy, dx) for dy in (-7, 0, 7) for dx in (-7, 0, 7)}
    assert as_offsets(9) == translation_grid(9)


@given(number=st.integers(1, 130), step=st.integers(1, 20))
def test_laws_of_grids(number, step):
    grid = translation_grid(number, step=step)
    assert grid[0] == (0, 0)
    assert len(set(grid)) == number
    assert translation_grid(number + 1, step=step)[:number] == grid
    rings = [max(abs(dy), abs(dx)) for dy, dx in grid]
    assert rings == sorted(rings)
    width = 2 * rings[-1] // step + 1  # of the square that holds them, in points
    assert number <= width**2
    assert number > (width - 2) ** 2 or number == 1
    assert all(dy % step == dx % step == 0 for dy, dx in grid)


@pytest.mark.parametrize("options", [{"number": 0}, {"number": True}, {"number": 9, "step": 0}])
def test_grids_are_checked(options):
    with pytest.raises(
        ConfigError, match=r"`(number|step)` is .*, expected a whole number of (translations|pixels) >= 1"
    ):
        translation_grid(**options)


@pytest.mark.parametrize(
    "given", [[(1, -2), (0, 0)], [[1, -2], [0, 0]], np.array([[1, -2], [0, 0]]), iter([(1, -2), (0, 0)])]
)
def test_offsets_may_be_given(given):
    assert as_offsets(given) == ((1, -2), (0, 0))


# ── translated copies ──


@pytest.mark.parametrize(
    ("offset", "rows"),
    [
        ((0, 0), [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]),
        ((1, 0), [[0, 0, 0, 0], [1, 2, 3, 4], [5, 6, 7, 8]]),
        ((0, 1), [[0, 1, 2, 3], [0, 5, 6, 7], [0, 9, 10, 11]]),
        ((-1, 2), [[0, 0, 5, 6], [0, 0, 9, 10], [0, 0, 0, 0]]),
        ((2, -3), [[0, 0, 0, 0], [0, 0, 0, 0], [4, 0, 0, 0]]),
        ((5, 0), [[0, 0, 0, 0]] * 3),  # farther than the image is high
        ((0, -9), [[0, 0, 0, 0]] * 3),
    ],
)
def test_translations_by_hand(offset, rows):
    (copy,) = TranslationStem([offset]).translated(FRAME)
    assert copy[0, 0].tolist() == rows


@given(st.lists(st.tuples(st.integers(-6, 6), st.integers(-6, 6)), min_size=1, max_size=5))
def test_law_a_copy_shows_what_was_elsewhere(offsets):
    frame = np.random.default_rng(0).normal(size=(4, 5))
    copies = TranslationStem(offsets).translated(torch.from_numpy(frame)[None, None])
    for (dy, dx), copy in zip(offsets, copies, strict=True):
        for y, x in np.ndindex(4, 5):
            inside = 0 <= y - dy < 4 and 0 <= x - dx < 5
            assert copy[0, 0, y, x] == (frame[y - dy, x - dx] if inside else 0)


def test_order_of_the_stack():
    """T_1(I_{t-1}), ..., T_N(I_{t-1}), I_{t-1}, I_t."""
    stem = TranslationStem([(0, 1), (1, 0)])
    seen = []
    stem[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    previous, current = torch.randn(2, 1, 3, 8, 8)
    stem(torch.cat([previous, current], 1))
    right, down = stem.translated(previous)
    assert torch.equal(seen[0], torch.cat([right, down, previous, current], 1))
    assert torch.equal(right[..., 1:], previous[..., :-1])
    assert torch.equal(down[..., 1:, :], previous[..., :-1, :])


@pytest.mark.parametrize("number", [9, 17, 25, 81, 4])
def test_layers_of_a_translation_stem(number):
    with torch.device("meta"):
        network = build("swiftnet-r18", 3, frames=2, translations=number)
    first, norm, _, second = network.backbone.conv1
    assert first.weight.shape == (8 * number, 6 + 3 * number, 7, 7)
    assert (first.stride, norm.num_features) == ((2, 2), 8 * number)
    assert second.weight.shape == (64, 8 * number, 3, 3)
    assert len(network.backbone.conv1.offsets) == number


def test_control_sees_copies_alone(settled):
    """All offsets zero: a stem whose kernel is spread over the copies otherwise gives the same."""
    torch.manual_seed(0)
    control = settled(build("swiftnet-r18", 3, frames=2, translations=[(0, 0)] * 9))
    moved = build("swiftnet-r18", 3, frames=2, translations=9).eval()
    moved.load_state_dict(control.state_dict())
    frames = torch.randn(1, 6, 33, 65)
    seen = []
    control.backbone.conv1[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode():
        assert not torch.allclose(control(frames), moved(frames))
    assert torch.equal(seen[0], torch.cat([frames[:, :3]] * 10 + [frames[:, 3:]], 1))
    assert control(frames).shape == (1, 3, 33, 65)


def test_extended_stem():
    stem = build("swiftnet-r18-x", 3, frames=2).backbone.conv1
    assert [type(layer).__name__ for layer in stem] == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    assert stem[0].weight.shape == (130, 6, 7, 7)
    assert stem[3].weight.shape == (64, 130, 3, 3)
