"""From one trained network to another with more frames: all is kept but the first convolution."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from flame_metric import ConfigError, DatasetError  # noqa: E402
from flame_metric.networks import build, read_state, transfer  # noqa: E402

FIRSTS = {
    "swiftnet-r18": "backbone.conv1.weight",
    "swiftnet-r18-x": "backbone.conv1.0.weight",
    "deeplab-mn": "backbone.features.0.0.weight",
}


def state_of(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


def assert_equal_but(first, second, *differing):
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == list(differing)


@pytest.mark.parametrize("name", FIRSTS)
def test_from_one_frame_to_two(name, calm):
    one, two = calm(name), build(name, 5, frames=2).eval()
    first = FIRSTS[name]
    kernel = one.state_dict()[first]
    frame, other = torch.randn(2, 1, 3, 33, 65)
    with torch.inference_mode():
        expected = one(frame)
        close = {"rtol": 0, "atol": 1e-4 * expected.abs().max().item()}
        transfer(one.state_dict(), two)
        assert_equal_but(
            {k: v for k, v in two.state_dict().items() if k != first},
            {k: v for k, v in one.state_dict().items() if k != first},
        )
        assert torch.equal(two.state_dict()[first], torch.cat([kernel / 2, kernel / 2], 1))
        torch.testing.assert_close(two(torch.cat([frame, frame], 1)), expected, **close)
        transfer(one.state_dict(), two, init="last")
        assert torch.equal(two.state_dict()[first], torch.cat([torch.zeros_like(kernel), kernel], 1))
        torch.testing.assert_close(two(torch.cat([other, frame], 1)), expected, **close)


def test_he_keeps_the_first_kernel_that_is_there(calm):
    two = build("swiftnet-r18", 5, frames=2)
    drawn = state_of(two)["backbone.conv1.weight"]
    transfer(calm("swiftnet-r18").state_dict(), two, init="he")
    assert torch.equal(two.backbone.conv1.weight, drawn)
    assert torch.equal(two.backbone.bn1.running_mean, calm("swiftnet-r18").backbone.bn1.running_mean)


@pytest.mark.parametrize("init", ["repeat", "last", "he"])
def test_equal_numbers_of_frames_are_loaded_as_they_are(init, calm):
    network = build("swiftnet-r18", 5)
    transfer(calm("swiftnet-r18").state_dict(), network, init=init)
    assert_equal_but(state_of(network), calm("swiftnet-r18").state_dict())


def test_back_to_one_frame(calm):
    two, one = build("swiftnet-r18", 5, frames=2, init="he"), build("swiftnet-r18", 5)
    transfer(two.state_dict(), one)
    assert torch.allclose(
        one.backbone.conv1.weight, two.backbone.conv1.weight[:, :3] + two.backbone.conv1.weight[:, 3:]
    )
    before = state_of(one)
    with pytest.raises(ConfigError, match="`init` is 'last' from 2 frames to 1, expected no fewer"):
        transfer(two.state_dict(), one, init="last")
    assert_equal_but(state_of(one), before)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_translation_stem_keeps_its_weights(frames, calm):
    trained = calm("swiftnet-r18", frames=frames)
    network = build("swiftnet-r18", 5, frames=2, translations=9)
    stem = state_of(network.backbone.conv1)
    transfer(trained.state_dict(), network)
    assert_equal_but(state_of(network.backbone.conv1), stem)
    rest = {key: value for key, value in network.state_dict().items() if not key.startswith("backbone.conv1.")}
    assert_equal_but(
        rest, {key: value for key, value in trained.state_dict().items() if not key.startswith("backbone.conv1.")}
    )


def test_a_trained_translation_stem_is_loaded():
    trained = build("swiftnet-r18", 5, frames=2, translations=9)
    network = build("swiftnet-r18", 5, frames=2, translations=[(0, 0)] * 9)
    transfer(trained.state_dict(), network)
    assert_equal_but(state_of(network), trained.state_dict())


def test_from_a_file(calm, tmp_path):
    path = tmp_path / "trained.pt"
    torch.save(calm("deeplab-mn").state_dict(), path)
    for given in (path, str(path), read_state(path)):
        network = build("deeplab-mn", 5)
        transfer(given, network)
        assert_equal_but(state_of(network), calm("deeplab-mn").state_dict())


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (
            {"name": "swiftnet-r18", "num_classes": 4},
            r"2 of 199 entries do not fit \(classifier.conv.weight is \(5, 128, 1, 1\) instead",
        ),
        ({"name": "swiftnet-r18-x", "num_classes": 5}, r"backbone.conv1.0.weight is missing"),
        ({"name": "deeplab-mn", "num_classes": 5}, r"backbone.features.0.0.weight is missing"),
    ],
)
def test_whatever_else_differs_is_refused_and_changes_nothing(options, fault, calm, tmp_path):
    network = build(**options)
    before = state_of(network)
    path = tmp_path / "trained.pt"
    torch.save(calm("swiftnet-r18").state_dict(), path)
    with pytest.raises(DatasetError, match=fault) as caught:
        transfer(path, network)
    assert caught.value.path == str(path)
    assert_equal_but(state_of(network), before)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("classifier.conv.bias", 3, "is int, no tensor"),
        ("classifier.conv.bias", torch.zeros(5).numpy(), "is ndarray, no tensor"),
        ("classifier.conv.bias", torch.zeros(5, dtype=torch.int8), r"is of torch\.int8 instead of floats"),
        ("classifier.conv.bias", torch.zeros(5, dtype=torch.complex64), r"is of torch\.complex64 instead of floats"),
        ("classifier.conv.bias", torch.zeros(5, device="meta"), "has a shape and no values"),
        ("classifier.conv.bias", torch.zeros(5).to_sparse(), "is sparse"),
        ("backbone.conv1.weight", None, "is NoneType, no tensor"),
    ],
)
def test_values_that_would_not_arrive_as_they_are(key, value, fault, calm):
    network = build("swiftnet-r18", 5)
    before = state_of(network)
    with pytest.raises(DatasetError, match=rf"1 of 199 entries do not fit \({key} {fault}\), expected the weights"):
        transfer({**calm("swiftnet-r18").state_dict(), key: value}, network)
    assert_equal_but(state_of(network), before)


def test_half_precision_fits(calm):
    state = {
        key: value.half() if value.is_floating_point() else value
        for key, value in calm("deeplab-mn").state_dict().items()
    }
    network = build("deeplab-mn", 5)
    transfer(state, network)
    assert network.classifier.bias.dtype == torch.float32
    assert torch.equal(network.classifier.weight, state["classifier.weight"].float())


def test_stems_of_other_networks_do_not_fit(calm):
    extended, nine = build("swiftnet-r18-x", 5, frames=2), build("swiftnet-r18", 5, frames=2, translations=9)
    for state, network in (
        (extended, nine),
        (nine, extended),
        (nine, build("swiftnet-r18", 5, frames=2, translations=4)),
    ):
        with pytest.raises(DatasetError, match=r"`state` for SwiftNet with 2 frame.*backbone.conv1.0.weight is \("):
            transfer(state.state_dict(), network)


def test_arguments_are_checked(calm):
    with pytest.raises(ConfigError, match="`init` is 'copy', expected one of repeat, last, he"):
        transfer({}, build("swiftnet-r18", 5), init="copy")
    with pytest.raises(ConfigError, match=r"`network` is Linear, expected what models\.build returns"):
        transfer({}, torch.nn.Linear(1, 1))
    for given in (None, 5, calm("swiftnet-r18")):
        message = rf"`state` is {type(given).__name__}, expected a state_dict\(\) or the path of a file"
        with pytest.raises(ConfigError, match=message):
            transfer(given, build("swiftnet-r18", 5))
