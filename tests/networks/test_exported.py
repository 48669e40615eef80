"""Exported programs: what PyTorch's own loader computes, opened only where they are named as code."""

import logging
import zipfile

import numpy as np
import pytest

from flame_metric.errors import ConfigError, DatasetError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("torch.export.pt2_archive", reason="this PyTorch writes an older format")

from flame_metric.networks import NAMES, build, load_network  # noqa: E402

# PyTorch's exporter uses names that PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning")

GENERATOR = torch.Generator().manual_seed(0)
AUTO = torch.export.Dim.AUTO
PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


class Network(torch.nn.Module):
    """Of many kinds of operators and arguments, with outputs under names."""

    def __init__(self, channels=3):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(channels, 8, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)
        self.dropout = torch.nn.Dropout2d(0.5)
        self.second = torch.nn.Conv2d(8, 5, 1)
        self.register_buffer("shift", torch.linspace(-1, 1, 5).reshape(1, 5, 1, 1))
        self.register_buffer("scale", torch.full((1,), 2.0), persistent=False)
        self.constant = torch.tensor([0.5])

    def forward(self, x):
        maps = self.dropout(torch.relu(self.norm(self.first(x)))) * self.scale + self.constant
        parts = torch.cat(list(torch.split(maps, 4, dim=1))[::-1], 1)
        best, _ = parts.max(1, keepdim=True)
        ramp = torch.arange(maps.shape[-1], device=x.device, dtype=x.dtype) / maps.shape[-1]
        scores = self.second(parts) + self.shift + torch.clamp(best, max=float("inf")) * ramp
        scores = torch.nn.functional.interpolate(scores, x.shape[-2:], mode="bilinear", align_corners=False)
        return {"aux": maps, "out": scores}


def calm(network):
    with torch.no_grad():
        network.train()(torch.randn(4, next(network.parameters()).shape[1], 16, 16, generator=GENERATOR))
    return network.eval()


def export(network, path, shape=(1, 3, 32, 48), dynamic=None):
    example = torch.randn(shape, generator=GENERATOR)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=dynamic), path)
    return path


@pytest.fixture(scope="module")
def network():
    return calm(Network())


@pytest.fixture(scope="module")
def fixed(network, tmp_path_factory):
    return export(network, tmp_path_factory.mktemp("pt2") / "fixed.pt2")


@pytest.fixture(scope="module")
def dynamic(network, tmp_path_factory):
    shapes = {"x": {0: AUTO, 2: AUTO, 3: AUTO}}
    return export(network, tmp_path_factory.mktemp("pt2") / "dynamic.pt2", (2, 3, 32, 48), shapes)


def load(path, num_classes=5, **options):
    return load_network(f"pt2:{path}", num_classes=num_classes, **options)


def run(graph, frames):
    with torch.inference_mode():
        return graph(frames)


# ── a program is code ──


def test_a_bare_path_is_refused_before_the_file_is_opened(tmp_path):
    path = tmp_path / "nowhere.pt2"
    message = rf"the network is '{path}', a program of torch\.export, .*: write pt2:{path} if you trust it$"
    with pytest.raises(ConfigError, match=message):
        load_network(str(path), num_classes=5)


# ── it computes what torch.export's own loader computes ──


@pytest.mark.parametrize("size", [(32, 48), (33, 65)])
def test_equals_the_network(size, network, fixed, dynamic):
    path = dynamic if size[0] > 32 else fixed
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    frames = torch.from_numpy(frame).permute(2, 0, 1)[None] / torch.tensor(255.0)
    expected = run(network, frames)["out"].argmax(1)[0]
    assert torch.equal(load(path, **PLAIN).runner(frame).long(), expected)


PAPER = [*((name, {}) for name in NAMES if name != "deeplab-r101"), ("swiftnet-r18", {"frames": 2, "translations": 9})]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), PAPER)
def test_networks_of_the_paper(name, options, settled, tmp_path):
    network = settled(build(name, 5, **options))
    path = export(network, tmp_path / "network.pt2", (1, 3 * network.frames, 33, 65))
    frame = np.random.default_rng(0).integers(0, 256, (33, 65, 3 * network.frames)).astype(np.uint8)
    exported = load(path)
    assert (exported.name, exported.frames) == ("network.pt2", network.frames)
    weights = tmp_path / "weights.pt"
    torch.save(network.state_dict(), weights)
    translations = options.get("translations")
    plain = load_network(name, num_classes=5, weights=weights, translations=translations)
    assert torch.equal(exported.runner(frame), plain.runner(frame))


def test_another_type(tmp_path):
    path = tmp_path / "double.pt2"
    example = torch.randn(1, 3, 32, 48, dtype=torch.float64)
    torch.export.save(torch.export.export(calm(Network()).double(), (example,)), path)
    runner = load(path).runner
    assert runner.describe()["dtype"] == "float64"
    assert runner(np.zeros((32, 48, 3), np.uint8)).shape == (32, 48)


# ── sizes ──


class Branches(torch.nn.Module):
    def forward(self, x):
        if x.shape[2] > 40 and x.shape[3] % 4 == 0:
            x = x + 1
        return x.reshape(x.shape[0], 3, -1, 4).sum(-1, keepdim=True)


def test_a_frame_of_another_size_is_refused_with_both(fixed):
    network = load(fixed)
    network.runner(np.zeros((32, 48, 3), np.uint8))
    message = (
        r"fixed\.pt2 was exported for \(1, 3, 32, 48\), and gets \(1, 3, 64, 48\) \(Guard failed: .*\); "
        r"export it for that size, or with dynamic_shapes"
    )
    with pytest.raises(ConfigError, match=message):
        network.runner(np.zeros((64, 48, 3), np.uint8))


def test_what_a_program_demands_of_sizes(tmp_path):
    network = load(export(Branches(), tmp_path / "branches.pt2", (1, 3, 64, 48), {"x": {2: AUTO, 3: AUTO}}))
    for height, width, reason in ((32, 48, r"size\(\)\[2\] >= 41"), (64, 50, r"size\(\)\[3\] % 4 == 0")):
        with pytest.raises(ConfigError, match=rf"gets \(1, 3, {height}, {width}\) \(Guard failed: .*{reason}"):
            network.runner(np.zeros((height, width, 3), np.uint8))


def test_multiples_that_the_loader_of_pytorch_forgets(tmp_path):
    shapes = {"x": {2: 4 * torch.export.Dim("quarter", min=3, max=20), 3: AUTO}}
    path = export(Network(6).eval(), tmp_path / "multiple.pt2", (1, 6, 32, 48), shapes)
    run(torch.export.load(path).module(), torch.zeros(1, 6, 41, 48))
    network = load(path)
    assert network.frames == 2
    assert network.runner(np.zeros((12, 48, 6), np.uint8)).shape == (12, 48)
    for height, reason in ((41, "axis 2 is not a multiple of 4"), (84, r"Guard failed: .* <= 80")):
        with pytest.raises(ConfigError, match=rf"gets \(1, 6, {height}, 48\) \({reason}\)"):
            network.runner(np.zeros((height, 48, 6), np.uint8))


# ── as a network ──


def test_outputs_are_chosen_by_name(fixed, network):
    frame = np.zeros((32, 48, 3), np.uint8)
    assert load(fixed, output="out").runner(frame).shape == (32, 48)
    with pytest.raises(ConfigError, match=r"returns float32 \(1, 8, 16, 24\) for a frame of \(32, 48\)"):
        load(fixed, output="aux").runner(frame)
    enlarged = load(fixed, 8, output="aux", upsample="bilinear")
    assert enlarged.runner(frame).shape == (32, 48)
    with pytest.raises(DatasetError, match=r"has 2 output\(s\), 'x' \(`output`\) is none of them: .* one of aux, out"):
        load(fixed, output="x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 2}, r"fixed\.pt2 takes 3 channels, expected 6, for `frames` 2"),
        ({"weights": "random"}, r"`weights` would change nothing: .*fixed\.pt2 is an exported program, which takes"),
        ({"device": "tpu"}, "`device` is"),
    ],
)
def test_options_that_are_refused(options, message, fixed):
    with pytest.raises(ConfigError, match=message):
        load(fixed, **options)


def test_another_number_of_classes(fixed):
    with pytest.raises(ConfigError, match="returns scores of 5 classes, expected 19"):
        load(fixed, 19).runner(np.zeros((32, 48, 3), np.uint8))


class Pair(torch.nn.Module):
    def forward(self, x):
        return x, torch.stack([x[:, 0], x[:, 1]], 1)


def test_outputs_without_names_have_numbers(tmp_path):
    path, frame = export(Pair(), tmp_path / "pair.pt2"), np.zeros((32, 48, 3), np.uint8)
    with pytest.raises(DatasetError, match=r"has 2 output\(s\), expected `output` to be one of 0, 1"):
        load(path, 3)
    for output, classes in (("0", 3), ("1", 2)):
        assert load(path, classes, output=output).runner(frame).shape == (32, 48)


class Two(torch.nn.Module):
    def forward(self, x, y):
        return x + y


class Whole(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.one_hot(x[:, 0].long(), 5)


def test_programs_that_are_no_networks_of_frames(tmp_path, network):
    example = torch.zeros(1, 3, 32, 48)
    path = tmp_path / "program.pt2"
    torch.export.save(torch.export.export(Two(), (example, example)), path)
    with pytest.raises(
        DatasetError, match=r"takes 2 input\(s\) \(float32 .*\), expected one tensor of floats \(N, 3 \* frames, H, W\)"
    ):
        load(path)
    torch.export.save(torch.export.export(Whole(), (example.byte(),)), path)
    with pytest.raises(
        DatasetError,
        match=r"takes 1 input\(s\) \(uint8 \(1, 3, 32, 48\)\), expected one tensor of floats \(N, 3 \* frames, H, W\)",
    ):
        load(path)
    export(Network(4).eval(), path, (1, 4, 32, 48))
    with pytest.raises(ConfigError, match="takes 4 channels, expected a multiple of 3"):
        load(path)


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls.add_(1)
        return x * self.calls


def test_a_network_that_was_exported_in_training(tmp_path):
    with pytest.raises(
        DatasetError, match=r"calls aten\.\w+\.default as in training; export it after network\.eval\(\)"
    ):
        load(export(Network().train(), tmp_path / "training.pt2"))
    program = torch.export.export(Counting(), (torch.zeros(1, 3, 32, 48),)).run_decompositions()
    torch.export.save(program, tmp_path / "counting.pt2")
    with pytest.raises(DatasetError, match=r"counting\.pt2 changes calls as in training"):
        load(tmp_path / "counting.pt2", 3)


# ── damage ──


def test_damaged_files(fixed, tmp_path, caplog):
    path = tmp_path / "damaged.pt2"
    whole = fixed.read_bytes()
    with zipfile.ZipFile(fixed) as archive:
        name = next(name for name in archive.namelist() if name.endswith("weight_0"))
        place = whole.index(archive.read(name))
    flipped = bytearray(whole)
    flipped[place + 5] ^= 1
    for content in (b"", b"no program", whole[:-100], whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(
            DatasetError, match=r"damaged\.pt2 is damaged, or not a program of torch\.export\.save"
        ) as found:
            load(path)
        assert "\n" not in str(found.value)
    assert not caplog.records
    torch.export.load(path)  # PyTorch's own loader does not compare checksums


def test_files_of_another_kind(network, tmp_path, caplog):
    with pytest.raises(DatasetError, match=r"nowhere\.pt2 cannot be read \(No such file"):
        load(tmp_path / "nowhere.pt2")
    with pytest.raises(DatasetError, match=r"cannot be read \(Is a directory"):
        load(tmp_path)
    torch.save(network.state_dict(), tmp_path / "state.pt2")
    with pytest.raises(
        DatasetError, match=r"state\.pt2 is damaged, or not a program .*\(RuntimeError: .* failed locating"
    ):
        load(tmp_path / "state.pt2")
    with zipfile.ZipFile(tmp_path / "state.pt2", "w"):
        pass
    with pytest.raises(DatasetError, match=r"state\.pt2 is damaged, or not a program"):
        load(tmp_path / "state.pt2")
    assert not caplog.records
    assert not logging.getLogger("torch.export").filters
