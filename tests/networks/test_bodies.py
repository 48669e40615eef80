"""The bodies of ResNet and MobileNetV2: torchvision's keys, and its arithmetic."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.nn import functional as F  # noqa: E402, N812

from flame_metric.networks.mobilenet import mobilenet_v2  # noqa: E402
from flame_metric.networks.resnet import resnet18, resnet101  # noqa: E402

GOLDEN = json.loads((Path(__file__).parent / "torchvision_keys.json").read_text(encoding="utf-8"))
BODIES = {"resnet18": resnet18, "resnet101": resnet101, "mobilenet_v2": mobilenet_v2}


def golden_state(name):
    """A state with torchvision's keys and shapes, its values such that activations stay near 1."""
    generator = torch.Generator().manual_seed(0)

    def values(key, shape):
        if key.endswith("num_batches_tracked"):
            return torch.tensor(7)
        if key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            return 0.5 + torch.rand(shape, generator=generator, dtype=torch.float64)
        spread = 0.1 if len(shape) == 1 else (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        return spread * torch.randn(shape, generator=generator, dtype=torch.float64)

    return {key: values(key, shape) for key, shape in GOLDEN[name].items()}


@pytest.mark.parametrize("name", BODIES)
def test_keys_and_shapes_are_torchvisions(name):
    own = {key: list(value.shape) for key, value in BODIES[name]().state_dict().items()}
    assert list(own.items()) == list(GOLDEN[name].items())


@pytest.mark.parametrize(
    ("name", "entries", "parameters"),
    [("resnet18", 120, 11_176_512), ("resnet101", 624, 42_500_160), ("mobilenet_v2", 306, 1_811_712)],
)
def test_golden_file_is_whole(name, entries, parameters):
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    trained = [shape for key, shape in GOLDEN[name].items() if not key.endswith(statistics)]
    assert len(GOLDEN[name]) == entries
    assert sum(torch.Size(shape).numel() for shape in trained) == parameters


# ── arithmetic: the same state, run by its keys alone ──


def conv(state, key, maps, **options):
    return F.conv2d(maps, state[f"{key}.weight"], **options)


def norm(state, key, maps):
    mean, variance = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    scale = state[f"{key}.weight"] / (variance + 1e-5).sqrt()
    shift = state[f"{key}.bias"] - mean * scale
    return maps * scale[:, None, None] + shift[:, None, None]


def resnet_by_keys(state, maps, blocks, *, wide, dilated):
    """ResNet as its paper draws it: what comes out of its four layers."""
    maps = F.relu(norm(state, "bn1", conv(state, "conv1", maps, stride=2, padding=3)))
    maps = F.max_pool2d(maps, 3, 2, 1)
    outputs = []
    for layer in range(1, 5):
        for block in range(blocks[layer - 1]):
            key = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 and not (dilated and layer == 4) else 1
            rate = 2 if dilated and layer == 4 and block > 0 else 1
            three = {"stride": stride, "padding": rate, "dilation": rate}
            steps = [{}, three, {}] if wide else [three, {"padding": 1}]
            out = maps
            for number, options in enumerate(steps, 1):
                out = norm(state, f"{key}.bn{number}", conv(state, f"{key}.conv{number}", out, **options))
                out = F.relu(out) if number < len(steps) else out
            if f"{key}.downsample.0.weight" in state:
                maps = norm(state, f"{key}.downsample.1", conv(state, f"{key}.downsample.0", maps, stride=stride))
            maps = F.relu(out + maps)
        outputs.append(maps)
    return outputs


def mobilenet_by_keys(state, maps):
    """MobileNetV2 at output stride 16: what comes out of features[3] and features[17]."""
    maps = F.relu6(norm(state, "features.0.1", conv(state, "features.0.0", maps, stride=2, padding=1)))
    outputs = []
    for index in range(1, 18):
        stride = 2 if index in (2, 4, 7) else 1  # features[14] would be the fourth
        rate = 2 if index >= 15 else 1
        key, out, step = f"features.{index}.conv", maps, 0
        if index > 1:
            out = F.relu6(norm(state, f"{key}.0.1", conv(state, f"{key}.0.0", out)))
            step = 1
        options = {"stride": stride, "padding": rate, "dilation": rate, "groups": out.shape[1]}
        out = F.relu6(norm(state, f"{key}.{step}.1", conv(state, f"{key}.{step}.0", out, **options)))
        out = norm(state, f"{key}.{step + 2}", conv(state, f"{key}.{step + 1}", out))
        maps = maps + out if maps.shape == out.shape else out
        if index in (3, 17):
            outputs.append(maps)
    return outputs


BY_KEYS = {
    "resnet18": lambda state, maps: resnet_by_keys(state, maps, (2, 2, 2, 2), wide=False, dilated=False),
    "resnet101": lambda state, maps: resnet_by_keys(state, maps, (3, 4, 23, 3), wide=True, dilated=True),
    "mobilenet_v2": mobilenet_by_keys,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BODIES)
def test_arithmetic(name):
    state = golden_state(name)
    body = BODIES[name]().double().eval()
    body.load_state_dict(state, strict=True)
    frames = torch.randn(1, 3, 33, 65, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = BY_KEYS[name](state, frames)
    with torch.no_grad():
        found = body(frames)
    assert len(found) == len(expected)
    for own, other in zip(found, expected, strict=True):
        own = F.relu(own) if name.startswith("resnet") else own  # noqa: PLW2901 - a body stops before the last ReLU
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-9 * other.abs().max().item())


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (resnet18, [(64, 9, 17), (128, 5, 9), (256, 3, 5), (512, 2, 3)]),
        (resnet101, [(256, 9, 17), (512, 5, 9), (1024, 3, 5), (2048, 3, 5)]),
        (mobilenet_v2, [(24, 9, 17), (320, 3, 5)]),
    ],
)
def test_strides(build, shapes):
    with torch.device("meta"):
        outputs = build().eval()(torch.empty(1, 3, 33, 65))
    assert [tuple(maps.shape[1:]) for maps in outputs] == shapes


@pytest.mark.parametrize("name", BODIES)
def test_outputs_are_torchvisions(name):
    try:
        models = pytest.importorskip("torchvision.models", reason="torchvision is not installed", exc_type=ImportError)
    except RuntimeError as error:  # built for another PyTorch
        pytest.skip(f"torchvision does not import here: {error}")
    options = {"replace_stride_with_dilation": [False, False, True]} if name == "resnet101" else {}
    theirs = getattr(models, name)(weights=None, **options).eval()
    body = BODIES[name]().eval()
    ours = {key: value for key, value in theirs.state_dict().items() if key in body.state_dict()}
    body.load_state_dict(ours, strict=True)
    frames = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        if name == "mobilenet_v2":
            torch.testing.assert_close(body(frames)[0], theirs.features[:4](frames))
            return
        maps = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(frames))))
        for own, layer in zip(body(frames), (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), strict=True):
            maps = layer(maps)
            torch.testing.assert_close(F.relu(own), maps)
