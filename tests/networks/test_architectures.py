"""The networks by name: any size in, scores of the same size out, and nothing changed that they were given."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from flame_metric import ConfigError, ShapeError  # noqa: E402
from flame_metric.networks import NAMES, DeepLabV3Plus, SwiftNet, build  # noqa: E402

SIZES = [(33, 65), (65, 33), (360, 480), (375, 1242), (512, 1024), (1024, 2048)]


# ── shapes ──


@pytest.mark.parametrize("name", NAMES)
def test_size_in_is_size_out(name):
    with torch.device("meta"):
        one, two = build(name, 19).eval(), build(name, 7, frames=2).eval()
        for height, width in SIZES:
            assert one(torch.empty(2, 3, height, width)).shape == (2, 19, height, width)
            assert two(torch.empty(1, 6, height, width)).shape == (1, 7, height, width)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_odd_sizes_have_finite_scores_and_change_nothing(name, calm):
    network = calm(name)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    for height, width in [(33, 65), (7, 40), (1, 1)]:
        frames = torch.randn(1, 3, height, width)
        before = frames.clone()
        with torch.inference_mode():
            first, second = network(frames), network(frames)
        assert first.shape == (1, 5, height, width)
        assert first.dtype == torch.float32
        assert first.isfinite().all()
        assert torch.equal(first, second)
        assert torch.equal(frames, before)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("height", "width", "grids"),
    [
        (64, 128, [(8, 16), (4, 8), (2, 4), (1, 2)]),
        (128, 64, [(8, 4), (4, 2), (2, 1), (1, 1)]),  # half a column is rounded to none, and one is the least
        (33, 65, [(8, 12), (4, 6), (2, 3), (1, 2)]),  # of a map of 2x3
        (96, 96, [(8, 8), (4, 4), (2, 2), (1, 1)]),
    ],
)
def test_cells_of_pyramid_pooling_are_square(height, width, grids):
    network = build("swiftnet-r18", 3).eval()
    seen = []
    for level in network.pooling.levels:
        level.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[2:])))
    network(torch.zeros(1, 3, height, width))
    assert seen == grids


# ── training ──


@pytest.mark.parametrize(
    ("name", "init"), [*((name, "repeat") for name in NAMES), ("swiftnet-r18", "last"), ("deeplab-mn", "last")]
)
def test_gradients_reach_every_parameter(name, init):
    torch.manual_seed(0)
    network = build(name, 4, frames=2, init=init).eval()  # in training, a norm undoes shifts before it: gradient 0
    scores = network(torch.randn(2, 6, 33, 65))
    torch.nn.functional.cross_entropy(scores, torch.randint(0, 4, (2, 33, 65))).backward()
    without = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


def test_gradients_reach_a_translation_stem():
    network = build("swiftnet-r18", 4, frames=2, translations=9).train()
    network(torch.randn(2, 6, 33, 65)).square().mean().backward()
    assert all(parameter.grad.any() for parameter in network.backbone.conv1.parameters())


@pytest.mark.parametrize(("name", "size"), [("deeplab-mn", (32, 64)), ("swiftnet-r18", (64, 64))])
def test_one_image_cannot_be_trained_on_alone(name, size):
    network = build(name, 4).train()
    frames = torch.randn(1, 3, *size)
    with pytest.raises(ShapeError, match=r"a batch of 1 leaves 1 value per channel .* \(drop_last=True\), or call"):
        network(frames)
    assert network.eval()(frames).shape == (1, 4, *size)
    assert network.train()(frames.expand(2, -1, -1, -1)).shape == (2, 4, *size)


def test_one_image_is_enough_where_nothing_is_pooled_to_a_point():
    assert (
        DeepLabV3Plus(4, backbone="mobilenet_v2", image_pooling=False).train()(torch.randn(1, 3, 64, 64)).shape[1] == 4
    )
    assert build("swiftnet-r18", 4).train()(torch.randn(1, 3, 64, 128)).shape[1] == 4


def test_frozen_batch_norms_take_one_image():
    network = build("deeplab-mn", 4).train()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    assert network(torch.randn(1, 3, 64, 64)).shape == (1, 4, 64, 64)


def test_dropout_acts_in_training_alone():
    network = build("deeplab-mn", 4)
    rates = [part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)]
    assert rates == [0.1]
    assert not any(isinstance(part, torch.nn.Dropout) for part in build("swiftnet-r18", 4).modules())


# ── as they are born ──


@pytest.mark.parametrize("name", ["swiftnet-r18-x", "deeplab-mn"])
def test_a_seed_fixes_the_weights(name):
    def state():
        torch.manual_seed(3)
        return build(name, 4, frames=2).state_dict()

    first, second = state(), state()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.parametrize("name", NAMES)
def test_convolutions_follow_he(name):
    torch.manual_seed(0)
    for part in build(name, 19, frames=2, init="he").modules():
        if isinstance(part, torch.nn.Conv2d) and part.weight.numel() > 4000:
            expected = (2 / (part.out_channels * part.kernel_size[0] * part.kernel_size[1])) ** 0.5
            assert part.weight.std().item() == pytest.approx(expected, rel=0.06)
            assert abs(part.weight.mean().item()) < 0.06 * expected


@pytest.mark.parametrize("name", NAMES)
def test_only_the_last_convolution_has_a_bias(name):
    network = build(name, 19)
    biases = [
        key
        for key, part in network.named_modules()
        if getattr(part, "bias", None) is not None and isinstance(part, torch.nn.Conv2d)
    ]
    assert biases == ["classifier.conv" if name.startswith("swiftnet") else "classifier"]
    assert not network.get_submodule(biases[0]).bias.any()


def test_momentum_of_batch_norms():
    momenta = {
        key: part.momentum
        for key, part in build("swiftnet-r18", 3).named_modules()
        if isinstance(part, torch.nn.BatchNorm2d)
    }
    assert {value for key, value in momenta.items() if key.startswith("pooling.")} == {0.005}
    assert {value for key, value in momenta.items() if not key.startswith("pooling.")} == {0.1}


# ── options ──


def test_skips_before_or_after_the_relu(settled):
    torch.manual_seed(0)
    before = settled(SwiftNet(4))
    for step in before.upsampling:  # what is below 0 counts only where a trained norm lifts it above
        torch.nn.init.constant_(step.skip.norm.bias, 2)
    after = SwiftNet(4, preactivation_skips=False).eval()
    after.load_state_dict(before.state_dict())
    seen = {}
    for key, network in (("before", before), ("after", after)):
        part = network.upsampling[0].skip
        part.register_forward_pre_hook(lambda _, inputs, key=key: seen.update({key: inputs[0].clone()}))
    frames = torch.randn(1, 3, 33, 65)
    with torch.inference_mode():
        assert not torch.allclose(before(frames), after(frames))
    assert (seen["before"] < 0).any()
    assert torch.equal(seen["before"].relu(), seen["after"])


@pytest.mark.parametrize("grids", [(8, 4, 2), (1,), (3, 5)])
def test_levels_of_pyramid_pooling_are_an_option(grids):
    network = SwiftNet(4, spp_grids=grids).eval()
    assert len(network.pooling.levels) == len(grids)
    assert network(torch.zeros(1, 3, 33, 65)).shape == (1, 4, 33, 65)


def test_the_image_average_reaches_every_pixel(settled):
    """A change on the left moves the scores on the far right through image pooling alone."""
    torch.manual_seed(0)
    frames = torch.randn(1, 3, 16, 1536)
    changed = frames.clone()
    changed[..., :16] += 1
    far = {}
    for pooling in (True, False):
        network = settled(DeepLabV3Plus(3, backbone="mobilenet_v2", image_pooling=pooling))
        with torch.inference_mode():
            far[pooling] = (network(frames) - network(changed))[..., -16:].abs().max().item()
    assert far[True] > 0
    assert far[False] == 0


# ── errors ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"name": "swiftnet"},
            "`name` is 'swiftnet', expected one of swiftnet-r18, swiftnet-r18-x, deeplab-r101, deeplab-mn",
        ),
        ({"name": None}, "`name` is None, expected one of swiftnet-r18, "),
        ({"num_classes": 0}, "`num_classes` is 0, expected a whole number of classes >= 1"),
        ({"num_classes": 2.0}, r"`num_classes` is 2\.0, expected a whole number of classes >= 1"),
        ({"frames": 0}, "`frames` is 0, expected a whole number of frames >= 1"),
        ({"name": "deeplab-mn", "frames": 0}, "`frames` is 0, expected a whole number of frames >= 1"),
        ({"init": "copy"}, "`init` is 'copy', expected one of repeat, last, he"),
        ({"translations": 9}, "`translations` is given with `frames` 1, expected 2"),
        ({"translations": 9, "frames": 3}, "`translations` is given with `frames` 3, expected 2"),
        ({"translations": 9, "frames": 2, "init": "last"}, "`init` is 'last' with `translations`, expected 'he'"),
        ({"translations": 0, "frames": 2}, "`translations` is 0, expected a whole number >= 1"),
        ({"translations": [], "frames": 2}, "`translations` is empty, expected a number >= 1, or offsets"),
        ({"translations": [(0, 0, 0)], "frames": 2}, r"`translations` holds \(0, 0, 0\), expected a number >= 1, or"),
        ({"translations": [(0, 0.5)], "frames": 2}, r"`translations` holds \(0, 0.5\), expected a number"),
        ({"translations": [3, 4], "frames": 2}, "`translations` is 3, expected a number >= 1, or offsets"),
        ({"translations": "nine", "frames": 2}, "`translations` is 'nine', expected a number >= 1, or offsets"),
        (
            {"name": "swiftnet-r18-x", "translations": 9, "frames": 2},
            "`translations` is given for SwiftNet-R18-X, expected",
        ),
        (
            {"name": "deeplab-r101", "translations": 9, "frames": 2},
            "`translations` is given for 'deeplab-r101', expected",
        ),
        ({"weights": 5}, "`weights` is 5, expected None, 'imagenet' or the path or address of a file"),
        ({"weights": ""}, "`weights` is '', expected None, 'imagenet' or the path or address of a file"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**{"name": "swiftnet-r18", "num_classes": 3, **options})


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (SwiftNet, {"spp_grids": (4, 0)}, "`spp_grids` is 0, expected a whole number of rows >= 1"),
        (SwiftNet, {"spp_grids": 4}, "`spp_grids` is 4, expected numbers of rows"),
        (DeepLabV3Plus, {"backbone": "resnet50"}, "`backbone` is 'resnet50', expected one of resnet101, mobilenet_v2"),
        (
            DeepLabV3Plus,
            {"backbone": "mobilenet_v2", "decoder_convs": 0},
            "`decoder_convs` is 0, expected a whole number of convolutions >= 1",
        ),
    ],
)
def test_structural_options_are_checked(network, options, message):
    with pytest.raises(ConfigError, match=message):
        network(3, **options)


def test_unknown_options_are_no_options():
    with pytest.raises(TypeError, match="spp_grids"):
        build("deeplab-mn", 3, spp_grids=(8, 4, 2))


@pytest.mark.parametrize(
    ("frames", "shape"), [(1, (1, 6, 33, 65)), (2, (1, 3, 33, 65)), (1, (3, 33, 65)), (1, (1, 33, 65, 3))]
)
def test_shape_of_the_input_is_checked(frames, shape):
    network = build("swiftnet-r18", 3, frames=frames).eval()
    with pytest.raises(
        ShapeError, match=rf"`frames` has shape .*, expected \(N, {3 * frames}, H, W\): {frames} RGB frame"
    ):
        network(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(1, 3, 0, 32), (1, 3, 32, 0)])
def test_an_image_has_pixels(shape):
    with pytest.raises(ShapeError, match=r"`frames` has shape .*, expected at least one pixel"):
        build("deeplab-mn", 3).eval()(torch.zeros(shape))


def test_arrays_are_no_tensors():
    for given in (None, torch.zeros(1, 3, 32, 32).numpy()):
        with pytest.raises(ConfigError, match=f"`frames` is {type(given).__name__}, expected a torch.Tensor"):
            build("deeplab-mn", 3).eval()(given)


def test_whole_numbers_are_no_normalised_frames():
    with pytest.raises(ConfigError, match=r"`frames` is of torch.uint8, expected floats: divide by 255 and normalise"):
        build("deeplab-mn", 3).eval()(torch.zeros(1, 3, 33, 65, dtype=torch.uint8))
