"""load_network with modules and with the paper's networks, each run from a raw frame to labels; and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from flame_metric.errors import ConfigError, DatasetError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from flame_metric.networks import build, load_network  # noqa: E402
from flame_metric.paper.checkpoint import Checkpoint, write_checkpoint  # noqa: E402

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 33, 40, 6)).astype(np.uint8)
FRAME = FRAMES[0, ..., :3]

FACTORIES = """
import torch

def convolution(num_classes, frames=1):
    torch.manual_seed(0)
    return torch.nn.Conv2d(3 * frames, num_classes, 3, padding=1)

def quarter(num_classes):
    torch.manual_seed(0)
    return torch.nn.Conv2d(3, num_classes, 4, stride=4)

def five():
    return torch.nn.Conv2d(3, 5, 1)
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The name of a module with factories, found as any other."""
    (tmp_path / "factories_here.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    yield "factories_here"
    sys.modules.pop("factories_here", None)


def by_hand(module, frame, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    """Labels of a module for a raw frame."""
    stacked = frame.shape[2] // 3
    pixels = (torch.from_numpy(frame).double() / 255 - torch.tensor(mean * stacked)) / torch.tensor(std * stacked)
    with torch.inference_mode():
        scores = module.double().eval()(pixels.permute(2, 0, 1)[None])
        scores = torch.nn.functional.interpolate(scores, frame.shape[:2], mode="bilinear", align_corners=False)
    return scores.argmax(1)[0].numpy()


def assert_nearly(labels, expected):
    """Equal but for pixels at which two classes are almost equal; and of several classes, or it would say little."""
    assert (np.asarray(labels) == expected).mean() > 0.999
    assert len(np.unique(expected)) > 1


def test_a_module(factories):
    network = load_network(f"{factories}:convolution", num_classes=4)
    module = sys.modules[factories].convolution(4)
    assert_nearly(network.runner(FRAME), by_hand(module, FRAME))
    options = {"mean": (0.5, 0.5, 0.5), "std": (0.1, 0.2, 0.3)}
    network = load_network(f"{factories}:convolution", num_classes=4, frames=2, threads=1, **options)
    module = sys.modules[factories].convolution(4, 2)
    assert_nearly(network.runner(FRAMES[0]), by_hand(module, FRAMES[0], *options.values()))
    assert network.runner.describe()["device"] == "cpu"


def test_low_resolution_scores_are_enlarged_on_request_alone(factories):
    frame = FRAME[:32]
    with pytest.raises(ConfigError, match=r"\(1, 4, 8, 10\) for a frame of \(32, 40\).*upsample='bilinear' does it"):
        load_network(f"{factories}:quarter", num_classes=4).runner(frame)
    network = load_network(f"{factories}:quarter", num_classes=4, upsample="bilinear")
    module = sys.modules[factories].quarter(4)
    assert_nearly(network.runner(frame), by_hand(module, frame))
    with pytest.raises(ConfigError, match="`upsample` is 'nearest', expected one of bilinear"):
        load_network(f"{factories}:quarter", num_classes=4, upsample="nearest")


def test_another_number_of_classes(factories):
    network = load_network(f"{factories}:five", num_classes=4)
    with pytest.raises(ConfigError, match=r"returns scores of 5 classes, expected 4, the data's \(`num_classes`\)"):
        network.runner(FRAME)


# ── networks of the paper ──


@pytest.fixture(scope="module")
def trained(settled):
    """A small number of classes, and weights as after training."""
    torch.manual_seed(1)
    return settled(build("swiftnet-r18", 5))


def save(content, path):
    torch.save(content, path)
    return path


def test_random_weights_are_asked_for_and_repeatable():
    first, again, other = (
        load_network("swiftnet-r18", num_classes=5, weights="random", **seed) for seed in ({}, {"seed": 0}, {"seed": 1})
    )
    assert first.name == "swiftnet-r18"
    assert np.array_equal(first.runner(FRAME), again.runner(FRAME))
    assert not np.array_equal(first.runner(FRAME), other.runner(FRAME))
    assert load_network("swiftnet-r18-x", num_classes=5, weights="random", frames=2).frames == 2
    assert load_network("swiftnet-r18", num_classes=5, weights="random", translations=9).frames == 2
    with pytest.raises(ConfigError, match="`weights` is missing for 'swiftnet-r18', expected a file of trained ones"):
        load_network("swiftnet-r18", num_classes=5)


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_network("swiftnet-r18", num_classes=5, weights="random")
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_a_state_with_the_prefixes_of_wrappers(trained, tmp_path, prefix):
    state = {prefix + name: value for name, value in trained.state_dict().items()}
    network = load_network("swiftnet-r18", num_classes=5, weights=save(state, tmp_path / "w.pt"))
    assert network.frames == 1
    assert_nearly(network.runner(FRAME), by_hand(trained.float(), FRAME))
    trained.float()


def test_a_checkpoint(trained, tmp_path):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, Checkpoint({"seed": 0}, 3, trained.float().state_dict(), {"state": {}}, {}, [1.0], 2.0))
    network = load_network("swiftnet-r18", num_classes=5, weights=path)
    assert_nearly(network.runner(FRAME), by_hand(trained, FRAME))
    trained.float()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # in the middle of some weights
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"checkpoint\.pt is a damaged checkpoint: its checksum is wrong"):
        load_network("swiftnet-r18", num_classes=5, weights=path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("swiftnet-r18", {"frames": 2}),
        ("swiftnet-r18-x", {"frames": 3}),
        ("deeplab-mn", {"frames": 2}),
        ("swiftnet-r18", {"frames": 10}),  # as many channels as a stem for 8 translations has, and as many outputs
    ],
)
def test_frames_are_those_of_the_file(name, options, calm, tmp_path):
    path = save(calm(name, **options).state_dict(), tmp_path / "w.pt")
    assert load_network(name, num_classes=5, weights=path).frames == options["frames"]
    assert load_network(name, num_classes=5, weights=path, **options).frames == options["frames"]
    message = rf"`frames` is 1, and .*w\.pt is for {options['frames']} input frame\(s\), expected the same number"
    with pytest.raises(ConfigError, match=message):
        load_network(name, num_classes=5, weights=path, frames=1)


def test_a_translation_stem(calm, tmp_path):
    network = calm("swiftnet-r18", frames=2, translations=9)
    path = save(network.state_dict(), tmp_path / "w.pt")
    loaded = load_network("swiftnet-r18", num_classes=5, weights=path, translations=9)
    assert loaded.frames == 2
    assert_nearly(loaded.runner(FRAMES[0]), by_hand(network, FRAMES[0]))
    network.float()
    in_place = load_network("swiftnet-r18", num_classes=5, weights=path, translations=[(0, 0)] * 9)
    assert not np.array_equal(in_place.runner(FRAMES[0]), loaded.runner(FRAMES[0]))
    with pytest.raises(ConfigError, match=r"w\.pt has a stem for 9 translations, and does not say where to: expected"):
        load_network("swiftnet-r18", num_classes=5, weights=path)
    with pytest.raises(ConfigError, match=r"`translations` has 5, and .* a stem for 9, expected the same number"):
        load_network("swiftnet-r18", num_classes=5, weights=path, translations=5)


def test_files_that_are_refused(trained, tmp_path):
    path = save(trained.state_dict(), tmp_path / "w.pt")
    with pytest.raises(DatasetError, match=r"w\.pt is for 5 classes, expected 19 \(`num_classes`\)"):
        load_network("swiftnet-r18", num_classes=19, weights=path)
    with pytest.raises(DatasetError, match=r"w\.pt for swiftnet-r18-x with 1 frame\(s\): .* do not fit"):
        load_network("swiftnet-r18-x", num_classes=5, weights=path)
    with pytest.raises(DatasetError, match=r"nowhere\.pt cannot be read \(No such file"):
        load_network("swiftnet-r18", num_classes=5, weights=tmp_path / "nowhere.pt")
    with pytest.raises(DatasetError, match="holds dict of epoch, state_dict, expected a state_dict"):
        load_network(
            "swiftnet-r18", num_classes=5, weights=save({"epoch": 1, "state_dict": {}}, tmp_path / "lightning.ckpt")
        )
    with pytest.raises(ConfigError, match="`seed` is 1 with `weights` from a file"):
        load_network("swiftnet-r18", num_classes=5, weights=path, seed=1)
    with pytest.raises(ConfigError, match="`upsample` would change nothing: swiftnet-r18 is a network of the paper"):
        load_network("swiftnet-r18", num_classes=5, weights=path, upsample="bilinear")
