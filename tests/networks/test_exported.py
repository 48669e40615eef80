"""Exported programs: what torch.export's own loader computes, from files that can do nothing else."""

import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flame_metric.errors import ConfigError, DatasetError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("torch.export.pt2_archive", reason="this PyTorch writes an older format")

from flame_metric.networks import NAMES, build, load_network  # noqa: E402
from flame_metric.networks.pt2 import read_program  # noqa: E402
from flame_metric.networks.sizes import Sizes  # noqa: E402

# PyTorch's exporter uses names that PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning")

GENERATOR = torch.Generator().manual_seed(0)
AUTO = torch.export.Dim.AUTO
CPU = torch.device("cpu")


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


def edited(source, target, change=lambda model: None, **records):
    """A copy of a file with another model, and other records by the ends of their names."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("models/model.json"):
                model = json.loads(content)
                change(model)
                content = json.dumps(model).encode()
            for end, other in records.items():
                if name.endswith(end):
                    content = other(content) if callable(other) else other
            new.writestr(name, content)
    return target


def run(graph, frames):
    with torch.inference_mode():
        return graph(frames)


# ── it computes what torch.export's own loader computes ──


@pytest.mark.parametrize("shape", [(1, 3, 32, 48), (3, 3, 33, 65)])
def test_equals_the_loader_of_pytorch(shape, fixed, dynamic):
    path = dynamic if shape[0] > 1 else fixed
    frames = torch.randn(shape, generator=GENERATOR)
    expected = run(torch.export.load(path).module(), frames)
    for name in ("out", "aux"):
        assert torch.equal(run(read_program(path, device=CPU, output=name).graph, frames), expected[name])


PAPER = [*((name, {}) for name in NAMES if name != "deeplab-r101"), ("swiftnet-r18", {"frames": 2, "translations": 9})]


@pytest.mark.parametrize(("name", "options"), PAPER)
def test_networks_of_the_paper(name, options, settled, tmp_path):
    network = settled(build(name, 5, **options))
    path = export(network, tmp_path / "network.pt2", (1, 3 * network.frames, 33, 65))
    frame = np.random.default_rng(0).integers(0, 256, (33, 65, 3 * network.frames)).astype(np.uint8)
    exported = load_network(str(path), num_classes=5)
    assert (exported.name, exported.frames) == ("network.pt2", network.frames)
    weights = tmp_path / "weights.pt"
    torch.save(network.state_dict(), weights)
    translations = options.get("translations")
    plain = load_network(name, num_classes=5, weights=weights, translations=translations)
    assert torch.equal(exported.runner(frame), plain.runner(frame))


def test_half_precision_and_another_default_type(network, tmp_path):
    path = tmp_path / "double.pt2"
    example = torch.randn(1, 3, 32, 48, dtype=torch.float64)
    doubled = calm(Network()).double()
    torch.export.save(torch.export.export(doubled, (example,)), path)
    program = read_program(path, device=CPU)
    assert program.dtype == torch.float64
    assert torch.equal(run(program.graph, example), run(doubled, example)["out"])
    assert load_network(str(path), num_classes=5).runner.describe()["dtype"] == "float64"


def test_sizes_that_pytorch_takes_are_taken(network, dynamic, fixed, tmp_path):
    """Guards and ranges are PyTorch's own; those of a network that looks at its input's size among them."""

    class Branches(torch.nn.Module):
        def forward(self, x):
            if x.shape[2] > 40 and x.shape[3] % 4 == 0:
                x = x + 1
            return x.reshape(x.shape[0], 3, -1, 4).sum(-1, keepdim=True)

    multiple = 4 * torch.export.Dim("quarter", min=3, max=20)
    files = [
        fixed,
        dynamic,
        export(Branches(), tmp_path / "branches.pt2", (1, 3, 64, 48), {"x": {2: AUTO, 3: AUTO}}),
        export(Branches(), tmp_path / "narrow.pt2", (1, 3, 32, 48), {"x": {2: AUTO, 3: AUTO}}),
        export(Network(6).eval(), tmp_path / "multiple.pt2", (1, 6, 32, 48), {"x": {2: multiple, 3: AUTO}}),
    ]
    taken = 0
    for path in files:
        program, reference = read_program(path, device=CPU), torch.export.load(path).module()
        for channels in (3, 6):
            for height in (3, 12, 32, 41, 64, 84):
                for batch, width in ((1, 48), (2, 48), (1, 50), (1, 1)):
                    frames = torch.zeros(batch, channels, height, width)
                    try:
                        run(reference, frames)
                    except (AssertionError, RuntimeError):
                        expected = False
                    else:  # PyTorch's loader forgets which sizes are multiples
                        expected = path.name != "multiple.pt2" or height % 4 == 0
                    assert (not program.sizes.faults(frames.shape)) is expected, (path.name, frames.shape)
                    taken += expected
    assert taken > 20


# ── as a network ──


def test_a_frame_of_another_size_is_refused_with_both(fixed):
    network = load_network(str(fixed), num_classes=5)
    network.runner(np.zeros((32, 48, 3), np.uint8))
    message = r"fixed\.pt2 was exported for \(1, 3, 32, 48\), and gets \(1, 3, 64, 48\) \(axis 2 is 64\); export it for"
    with pytest.raises(ConfigError, match=message):
        network.runner(np.zeros((64, 48, 3), np.uint8))


def test_outputs_are_chosen_by_name(fixed, network):
    frame = np.zeros((32, 48, 3), np.uint8)
    assert load_network(str(fixed), num_classes=5, output="out").runner(frame).shape == (32, 48)
    with pytest.raises(ConfigError, match=r"returns float32 \(1, 8, 16, 24\) for a frame of \(32, 48\)"):
        load_network(str(fixed), num_classes=5, output="aux").runner(frame)
    enlarged = load_network(str(fixed), num_classes=8, output="aux", upsample="bilinear")
    assert enlarged.runner(frame).shape == (32, 48)
    with pytest.raises(DatasetError, match=r"has 2 output\(s\), 'x' \(`output`\) is none of them: .* one of aux, out"):
        load_network(str(fixed), num_classes=5, output="x")


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
        load_network(str(fixed), num_classes=5, **options)


def test_another_number_of_classes(fixed):
    with pytest.raises(ConfigError, match="returns scores of 5 classes, expected 19"):
        load_network(str(fixed), num_classes=19).runner(np.zeros((32, 48, 3), np.uint8))


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
    with pytest.raises(DatasetError, match=r"takes 2 input\(s\), expected one tensor \(N, 3 \* frames, H, W\)"):
        load_network(str(path), num_classes=5)
    torch.export.save(torch.export.export(Whole(), (example.byte(),)), path)
    with pytest.raises(DatasetError, match=r"takes uint8 \(1, 3, 32, 48\), expected floats \(N, 3 \* frames, H, W\)"):
        load_network(str(path), num_classes=5)
    export(Network(4).eval(), path, (1, 4, 32, 48))
    with pytest.raises(ConfigError, match="takes 4 channels, expected a multiple of 3"):
        load_network(str(path), num_classes=5)


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls.add_(1)
        return x * self.calls


def test_a_network_that_was_exported_in_training(tmp_path):
    with pytest.raises(DatasetError, match=r"calls torch\.ops\.aten\.\w+\.default as in training; export it after"):
        load_network(str(export(Network().train(), tmp_path / "training.pt2")), num_classes=5)
    program = torch.export.export(Counting(), (torch.zeros(1, 3, 32, 48),)).run_decompositions()
    torch.export.save(program, tmp_path / "counting.pt2")
    with pytest.raises(DatasetError, match="has outputs of the kind buffer_mutation: it changes its own state"):
        load_network(str(tmp_path / "counting.pt2"), num_classes=3)


# ── files from strangers ──


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trace(tmp_path):
    """What code in a file would create; and the pickle does so when it is loaded."""
    path = tmp_path / "trace"
    pickle.loads(pickle.dumps(Touch(path)))
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def pickled(trace):
    return lambda content: pickle.dumps(Touch(trace))


def with_config(change):
    def changed(content):
        config = json.loads(content)
        change(config["config"])
        return json.dumps(config).encode()

    return changed


def test_sample_inputs_are_not_looked_at(fixed, trace, tmp_path):
    path = edited(fixed, tmp_path / "evil.pt2", **{"sample_inputs/model.pt": pickled(trace)})
    assert load_network(str(path), num_classes=5).runner(np.zeros((32, 48, 3), np.uint8)).shape == (32, 48)


@pytest.mark.parametrize("kind", ["weights", "constants"])
def test_pickled_tensors_are_refused(kind, fixed, trace, tmp_path):
    name = {"weights": "first.weight", "constants": "scale"}[kind]

    def change(config):
        config[name]["use_pickle"] = True

    first = {"weights": "weight_0", "constants": "tensor_0"}[kind]
    records = {f"model_{kind}_config.json": with_config(change), f"{kind}/{first}": pickled(trace)}
    path = edited(fixed, tmp_path / "evil.pt2", **records)
    with pytest.raises(DatasetError, match=rf"evil\.pt2 holds '{name}' pickled: .* nothing is unpickled"):
        load_network(str(path), num_classes=5)


@pytest.mark.parametrize("prefix", ["custom_obj_0", "opaque_obj_0"])
def test_objects_are_refused(prefix, fixed, trace, tmp_path):
    def change(config):
        config["scale"] |= {"path_name": prefix, "use_pickle": True, "tensor_meta": None}

    records = {"model_constants_config.json": with_config(change)}
    path = edited(fixed, tmp_path / "evil.pt2", **records)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"fixed/data/constants/{prefix}", pickle.dumps(Touch(trace)))
    with pytest.raises(DatasetError, match="holds 'scale' pickled"):
        load_network(str(path), num_classes=5)


def test_legacy_weights_are_refused(fixed, trace, tmp_path):
    path = edited(fixed, tmp_path / "evil.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("fixed/data/weights/model.pt", pickle.dumps(Touch(trace)))
    with pytest.raises(DatasetError, match="holds its weights pickled, as older versions of PyTorch wrote them"):
        load_network(str(path), num_classes=5)
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.2")
        archive.writestr("serialized_state_dict.pt", pickle.dumps(Touch(trace)))
    with pytest.raises(DatasetError, match="was written by an older PyTorch, in a format with pickled weights"):
        load_network(str(path), num_classes=5)


@pytest.mark.parametrize(
    "text", ["{touch}", "{touch} or True", "L['x'].size()[2] > ({touch} or 0)", "1 if {touch} else 0"]
)
def test_conditions_are_parsed(text, fixed, trace, tmp_path):
    touch = f"__import__('pathlib').Path({str(trace)!r}).touch()"
    path = edited(fixed, tmp_path / "evil.pt2", lambda model: model.update(guards_code=[text.format(touch=touch)]))
    with pytest.raises(DatasetError, match="demands of its input what is not understood"):
        load_network(str(path), num_classes=5)


def test_sizes_are_parsed(fixed, trace, tmp_path):
    touch = f"__import__('pathlib').Path({str(trace)!r}).touch()"

    def change(model):
        values = model["graph_module"]["graph"]["tensor_values"]
        values["x"]["sizes"][2] = {"as_expr": {"expr_str": touch, "hint": {"as_int": 32}}}

    with pytest.raises(DatasetError, match="demands of its input what is not understood"):
        load_network(str(edited(fixed, tmp_path / "evil.pt2", change)), num_classes=5)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "torch.load",
            "torch.hub.load",
            "os.system",
            "builtins.eval",
            "_operator.methodcaller",
            "_operator.attrgetter",
        ),
        *("torch.ops.aten.from_file.default", "torch.ops.aten.__class__.mro", "torch.ops.aten.conv2d.__init__"),
        *("torch.ops.load_library", "torch.ops.prims.add.default", "torch.ops.higher_order.cond", "math.sqrt"),
        *("torch.ops.aten.conv2d", "torch.ops.aten.nowhere.default", "torch.ops.aten.conv2d.nowhere", "#x", ""),
    ],
)
def test_only_operators_of_pytorch_are_called(target, fixed, tmp_path):
    def change(model):
        model["graph_module"]["graph"]["nodes"][0]["target"] = target

    path = edited(fixed, tmp_path / "evil.pt2", change)
    message = rf"evil\.pt2 calls {re.escape(repr(target))}, expected PyTorch's own operators"
    with pytest.raises(DatasetError, match=message):
        load_network(str(path), num_classes=5)


@pytest.mark.parametrize(
    "argument",
    [
        {"as_graph": {"name": "g", "graph": {}}},
        {"as_custom_obj": {"name": "c", "class_fqn": "x"}},
        {"as_operator": "os.system"},
        {"as_scalar_type": 99},
        {"as_layout": 1},
    ],
)
def test_arguments_are_tensors_numbers_and_sizes(argument, fixed, tmp_path):
    def change(model):
        model["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = argument

    with pytest.raises(DatasetError, match=r"passes an argument of the kind|has a scalar_type 99|has a layout 1"):
        load_network(str(edited(fixed, tmp_path / "evil.pt2", change)), num_classes=5)


def test_text_in_a_graph_stays_text(fixed, trace, tmp_path):
    """Names, and texts that are passed, come into no generated code."""
    code = f'"); __import__("pathlib").Path({str(trace)!r}).touch(); ("'

    def change(model):
        text = json.dumps(model).replace('"name": "conv2d"', f'"name": {json.dumps(code)}')
        model.update(json.loads(text))
        model["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = {"as_string": code}

    program = read_program(edited(fixed, tmp_path / "evil.pt2", change), device=CPU)
    with pytest.raises(RuntimeError, match="conv2d"):
        run(program.graph, torch.zeros(1, 3, 32, 48))


# ── damage ──


def test_damaged_files(fixed, tmp_path):
    path = tmp_path / "damaged.pt2"
    whole = fixed.read_bytes()
    with zipfile.ZipFile(fixed) as archive:
        name = next(name for name in archive.namelist() if name.endswith("weight_0"))
        place = whole.index(archive.read(name))
    flipped = bytearray(whole)
    flipped[place + 5] ^= 1
    for content in (b"", b"no program", whole[:-100], whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"damaged\.pt2 is (damaged, or no program of torch|cut)"):
            load_network(str(path), num_classes=5)


def test_files_of_another_kind(fixed, network, tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.pt2 cannot be read \(No such file"):
        load_network(str(tmp_path / "nowhere.pt2"), num_classes=5)
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(DatasetError, match=r"folder\.pt2 cannot be read \(Is a directory"):
        load_network(str(tmp_path / "folder.pt2"), num_classes=5)
    torch.save(network.state_dict(), tmp_path / "state.pt2")
    with pytest.raises(DatasetError, match=r"state\.pt2 was written by torch\.save, expected torch\.export\.save"):
        load_network(str(tmp_path / "state.pt2"), num_classes=5)
    path = tmp_path / "compressed.pt2"
    with zipfile.ZipFile(fixed) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(DatasetError, match="compressed, expected records as torch"):
        load_network(str(path), num_classes=5)
    path = edited(fixed, tmp_path / "later.pt2", lambda model: model["schema_version"].update(major=9))
    with pytest.raises(DatasetError, match=r"is of schema 9 of PyTorch [\d.+a-z]+, expected schema 8"):
        load_network(str(path), num_classes=5)
    path = edited(fixed, tmp_path / "big.pt2", byteorder=b"middle")
    with pytest.raises(DatasetError, match="was written on a machine that is not"):
        load_network(str(path), num_classes=5)


def test_weights_beyond_their_record(fixed, tmp_path):
    def change(config):
        config["first.weight"]["tensor_meta"]["storage_offset"]["as_int"] = 1000

    path = edited(fixed, tmp_path / "beyond.pt2", **{"model_weights_config.json": with_config(change)})
    with pytest.raises(DatasetError, match=r"beyond\.pt2 is damaged, or no program"):
        load_network(str(path), num_classes=5)


# ── sizes ──


def test_conditions_by_hand():
    sizes = Sizes.read(
        [{"as_int": 1}, {"as_expr": {"expr_str": "Symbol('s1', integer=True)"}}, {"as_expr": {"expr_str": "2*s1"}}],
        {"s1": {"min_val": 3, "max_val": 9}},
        ["L['a']['b'].size()[1] // 2 != 2 or max(1, -L['a'].size()[2]) == 2", "not (L['x'].size()[1] % 7 == 0)"],
    )
    assert str(sizes) == "(1, s1, 2*s1)"
    assert sizes.faults((1, 3, 6)) == []
    assert sizes.faults((1, 3, 7)) == ["axis 2 is no multiple of 2"]
    assert sizes.faults((1, 3, 8)) == ["axis 2 is not the size that it shares"]
    assert sizes.faults((1, 2, 4)) == ["s1 is 2, outside 3..9", "s1 is 2, outside 3..9"]
    assert sizes.faults((1, 10, 20)) == ["s1 is 10, outside 3..9"] * 2
    assert sizes.faults((1, 7, 14)) == ["not not (L['x'].size()[1] % 7 == 0)"]
    assert sizes.faults((1, 4, 8)) == ["not L['a']['b'].size()[1] // 2 != 2 or max(1, -L['a'].size()[2]) == 2"]
    assert sizes.faults((1, 3)) == ["2 axes"]
    assert (sizes.fixed(0), sizes.fixed(1)) == (1, None)


@pytest.mark.parametrize("text", ["L[0].size()[5] > 1", "2 ** 99", "x", "'a' == 'a'", "L[0].size(1)[0]", "f(2)", "1 +"])
def test_conditions_that_are_not_understood(text):
    assert Sizes.read([{"as_int": 1}], {}, [text]) is None


def test_a_remainder_by_nothing_is_no_condition_met():
    sizes = Sizes.read([{"as_expr": {"expr_str": "s0"}}], {}, ["4 % (L[0].size()[0] - 3) == 0"])
    assert sizes.faults((5,)) == []
    assert len(sizes.faults((3,))) == 1
