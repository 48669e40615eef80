"""ONNX files: labels of every kind of input and output, equal to those of a loop by hand; and what is refused.

Weights are integers, as is what they are multiplied by: float arithmetic is exact, and nothing depends on rounding.
"""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest

from flame_metric.errors import ConfigError, DatasetError, LabelError, MissingExtraError
from flame_metric.networks import load_network

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

CLASSES = 5
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 6)).astype(np.uint8)
FRAME = FRAMES[0, ..., :3]
PLAIN = {"mean": (0, 0, 0), "std": (1 / 255,) * 3}  # pixels 0..255, as they are
WEIGHTS = np.random.default_rng(1).integers(-4, 5, (CLASSES, 6)).astype(np.float32)


def scores_by_hand(frame):
    return np.einsum("cs,hws->chw", WEIGHTS[:, : frame.shape[2]], frame.astype(np.float32))


def labels_by_hand(frame):
    return scores_by_hand(frame).argmax(0)


TYPES = {"float32": 1, "float16": 10, "uint8": 2, "float64": 11}  # ONNX's numbers


def echo(kind, *shapes):
    """A model that returns what it gets."""
    info = onnx.helper.make_tensor_value_info
    names = [f"x{place}" for place in range(len(shapes))]
    nodes = [onnx.helper.make_node("Identity", [name], [f"y_{name}"]) for name in names]
    inputs = [info(name, TYPES[kind], shape) for name, shape in zip(names, shapes, strict=True)]
    outputs = [info(f"y_{name}", TYPES[kind], shape) for name, shape in zip(names, shapes, strict=True)]
    graph = onnx.helper.make_graph(nodes, "echo", inputs, outputs)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def model(*, kind="float32", shape=("n", 3, "h", "w"), output="scores", pool=1, extra=()):
    """A 1x1 convolution, with what a test wants before and after it."""
    names = onnx.TensorProto
    make, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    channels = next((length for length in (shape[1], shape[-1]) if length in (3, 6)), 3)
    weights = WEIGHTS[:, :channels].reshape(CLASSES, channels, 1, 1)
    nodes, last = [], "frames"
    if shape[-1] == channels:
        nodes.append(make("Transpose", [last], ["planes"], perm=[0, 3, 1, 2]))
        last = "planes"
    nodes.append(make("Cast", [last], ["floats"], to=names.FLOAT))
    nodes.append(make("Conv", ["floats", "weights"], ["full"]))
    nodes.append(make("AveragePool", ["full"], ["scores"], kernel_shape=[pool, pool], strides=[pool, pool]))
    nodes.append(make("ArgMax", ["scores"], ["labels"], axis=1, keepdims=0))
    nodes.append(make("ArgMax", ["scores"], ["kept"], axis=1, keepdims=1))
    nodes.append(make("Cast", ["scores"], ["half"], to=names.FLOAT16))
    nodes.append(make("Log", ["scores"], ["logarithm"]))
    nodes.append(make("ReduceSum", ["scores"], ["sum"], keepdims=0))
    kinds = {
        "scores": (names.FLOAT, 4),
        "labels": (names.INT64, 3),
        "kept": (names.INT64, 4),
        "half": (names.FLOAT16, 4),
        "logarithm": (names.FLOAT, 4),
        "sum": (names.FLOAT, 0),
    }
    outputs = [info(name, kinds[name][0], [None] * kinds[name][1]) for name in (output, *extra)]
    inputs = [info("frames", TYPES[kind], shape)]
    initial = [onnx.numpy_helper.from_array(weights, "weights")]
    graph = onnx.helper.make_graph(nodes, "network", inputs, outputs, initial)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def saved(tmp_path):
    def save(made, name="network.onnx"):
        onnx.save(made, tmp_path / name)
        return str(tmp_path / name)

    return save


# ── inputs and outputs ──


@pytest.mark.parametrize("output", ["scores", "labels", "kept", "half"])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("float32", ("n", 3, "h", "w")),
        ("float32", (1, 3, 24, 32)),
        ("float32", (1, "c", "h", "w")),
        ("float16", (1, 3, "h", "w")),
        ("float32", (1, "h", "w", 3)),
        ("float32", (1, 24, 32, 3)),
        ("float32", ("n", None, None, 3)),
        ("float16", ("n", 24, 32, 3)),
        ("uint8", (1, "h", "w", 3)),
        ("uint8", ("n", 3, "h", "w")),
        ("uint8", (1, 24, 32, 3)),
    ],
)
def test_one_frame(kind, shape, output, saved):
    options = {} if kind == "uint8" else PLAIN
    network = load_network(saved(model(kind=kind, shape=shape, output=output)), num_classes=CLASSES, **options)
    assert (network.name, network.frames, network.runner.boundary) == ("network.onnx", 1, "end_to_end")
    found = network.runner(FRAME)
    assert found.shape == (24, 32)
    expected = labels_by_hand(FRAME)
    assert len(np.unique(expected)) > 2  # else it would say little
    if "16" in kind or output == "half":  # scores are rounded to 11 bits
        assert (found == expected).mean() > 0.99
    else:
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "shape", "options"),
    [
        ("float32", (1, 6, "h", "w"), PLAIN),
        ("float32", (1, 24, 32, 6), {"frames": 2, **PLAIN}),
        ("float32", (1, "h", "w", 6), {"frames": 2, **PLAIN}),
        ("float32", (1, 24, 32, 6), {"frames": 2, "mean": (0,) * 6, "std": (1 / 255,) * 6}),
        ("float32", (1, 6, 24, 32), PLAIN),
        ("float32", (1, 6, "h", "w"), {"mean": (0,) * 6, "std": (1 / 255,) * 6}),
        ("uint8", (1, "h", "w", 6), {}),
        ("uint8", (1, 6, "h", "w"), {"frames": 2}),
    ],
)
def test_two_frames(kind, shape, options, saved):
    network = load_network(saved(model(kind=kind, shape=shape)), num_classes=CLASSES, **options)
    assert network.frames == 2
    assert np.array_equal(network.runner(FRAMES[0]), labels_by_hand(FRAMES[0]))


def test_normalisation_is_that_of_torch_runner(saved, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch_runner = pytest.importorskip("flame_metric.torch.runner").torch_runner
    seen = []

    class Network(torch.nn.Module):
        def forward(self, batch):
            seen.append(batch.numpy().copy())
            return batch

    options = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.7)}
    for given in ({}, options):
        torch_runner(Network(), boundary="end_to_end", **given)(FRAME)
        job = load_network(saved(model()), num_classes=CLASSES, **given).runner.run.__self__
        assert np.array_equal(job._input(FRAME)[None], seen[-1])


def test_a_size_that_is_fixed(saved):
    network = load_network(saved(model(shape=(1, 3, 24, "w"))), num_classes=CLASSES)
    message = r"network\.onnx takes frames of 24xany, and this one has 20x32; export it for that size, or with dynamic"
    with pytest.raises(ConfigError, match=message):
        network.runner(FRAME[:20])
    assert network.runner(FRAME[:, :20]).shape == (24, 20)


@pytest.mark.parametrize("item", [FRAME[..., :2], FRAME.astype(np.float32), FRAME[..., 0], FRAMES[0]])
def test_frames_that_are_refused(item, saved):
    with pytest.raises(ConfigError, match=r"the input is .*, expected a frame uint8 \(H, W, 3\)"):
        load_network(saved(model()), num_classes=CLASSES).runner(item)


def test_scores_of_a_quarter_of_the_size(saved):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = saved(model(pool=4))
    with pytest.raises(ConfigError, match=r"returns float32 \(1, 5, 6, 8\) for a frame of \(24, 32\), .*upsample='bil"):
        load_network(path, num_classes=CLASSES).runner(FRAME)
    small = torch.nn.functional.avg_pool2d(torch.from_numpy(scores_by_hand(FRAME))[None], 4)
    expected = torch.nn.functional.interpolate(small, (24, 32), mode="bilinear", align_corners=False)[0].argmax(0)
    found = load_network(path, num_classes=CLASSES, upsample="bilinear", **PLAIN).runner(FRAME)
    assert np.array_equal(found, expected.numpy())


def test_labels_are_never_resized(saved):
    with pytest.raises(ConfigError, match=r"returns int64 \(1, 6, 8\) for a frame of \(24, 32\)"):
        load_network(saved(model(pool=4, output="labels")), num_classes=CLASSES, upsample="bilinear").runner(FRAME)


def test_upsampling_without_pytorch(saved, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"needs torch: pip install 'flame-metric\[torch\]'"):
        load_network(saved(model()), num_classes=CLASSES, upsample="bilinear")


def test_scores_that_are_no_numbers(saved):
    with pytest.raises(LabelError, match=r"NaN scores at [0-9]+ pixels"):
        load_network(saved(model(output="logarithm")), num_classes=CLASSES, **PLAIN).runner(FRAME)


def test_several_outputs(saved):
    path = saved(model(output="kept", extra=("sum",)))
    assert np.array_equal(load_network(path, num_classes=CLASSES, **PLAIN).runner(FRAME), labels_by_hand(FRAME))
    path = saved(model(output="scores", extra=("labels", "sum")))
    with pytest.raises(ConfigError, match=r"returns scores: .*, labels: .*, sum: .*; expected `output` to be the name"):
        load_network(path, num_classes=CLASSES)
    for name in ("scores", "labels"):
        network = load_network(path, num_classes=CLASSES, output=name, **PLAIN)
        assert np.array_equal(network.runner(FRAME), labels_by_hand(FRAME))
    with pytest.raises(ConfigError, match="expected `output` to be the name"):
        load_network(path, num_classes=CLASSES, output="logits")
    with pytest.raises(ConfigError, match=r"returns float32 \(\) for a frame of \(24, 32\)"):
        load_network(path, num_classes=CLASSES, output="sum").runner(FRAME)


def ending(last, kind, *nodes):
    """A model whose output is made of scores."""
    network = model(output="scores")
    network.graph.node.extend(nodes)
    del network.graph.output[:]
    network.graph.output.append(
        onnx.helper.make_value_info(last, kind)
        if not isinstance(kind, int)
        else onnx.helper.make_tensor_value_info(last, kind, [None] * 4)
    )
    return network


@pytest.mark.parametrize("upsample", [None, "bilinear"])
@pytest.mark.parametrize(
    ("name", "kind", "shown"), [("scores", 1, r"float32 \(1, 24, 32, 5\)"), ("kept", 7, r"int64 \(1, 24, 32, 1\)")]
)
def test_classes_on_the_last_axis(name, kind, shown, upsample, saved):
    if upsample is not None:
        pytest.importorskip("torch", reason="PyTorch is not installed")
    path = saved(ending("last", kind, onnx.helper.make_node("Transpose", [name], ["last"], perm=[0, 2, 3, 1])))
    with pytest.raises(
        ConfigError, match=rf"returns {shown}: classes on the last axis \(NHWC\), expected scores \(1, C"
    ):
        load_network(path, num_classes=CLASSES, upsample=upsample, **PLAIN).runner(FRAME)


def test_a_sequence_is_no_output(saved):
    tensor = onnx.helper.make_tensor_type_proto(1, None)
    kind = onnx.helper.make_sequence_type_proto(tensor)
    path = saved(ending("several", kind, onnx.helper.make_node("SequenceConstruct", ["scores"], ["several"])))
    with pytest.raises(
        ConfigError, match=r"returns several: seq\(tensor\(float\)\), expected one tensor; export what is"
    ):
        load_network(path, num_classes=CLASSES)


def test_a_file_with_channels_on_the_last_axis():
    faults = os.environ.get("FLAME_METRIC_TEST_DATA")
    if not faults:
        pytest.skip("FLAME_METRIC_TEST_DATA names no folder with it")
    network = load_network(str(Path(faults, "faults", "nhwc_float.onnx")), num_classes=4)
    assert network.runner(FRAME).shape == (24, 32)


@pytest.mark.parametrize(
    ("kind", "shapes", "error", "message"),
    [
        ("float64", [(1, 3, "h", "w")], DatasetError, r"takes x0: tensor\(double\) .*, expected one tensor"),
        ("float32", [(3, 24, 32)], DatasetError, r"takes x0: tensor\(float\) \[3, 24, 32\], expected one tensor"),
        ("float32", [(1, 3, 24, 32), (1,)], DatasetError, r"takes x0: .*, x1: .*, expected one tensor"),
        ("float32", [(2, 3, 24, 32)], DatasetError, r"takes .*: batches of 2, expected 1 or any number"),
        (
            "float32",
            [(1, 4, "h", "w")],
            ConfigError,
            r"\[1, 4, 'h', 'w'\], expected a multiple of 3 channels, on axis 1 \(N, C, H, W\) or 3",
        ),
        ("uint8", [(1, "a", "b", "c")], ConfigError, "expected a multiple of 3 channels, on axis 1"),
        (
            "uint8",
            [(1, 3, 3, 3)],
            ConfigError,
            r"expected a multiple of 3 channels, on axis 1 \(N, C, H, W\) or 3 \(N, H",
        ),
        ("uint8", [(1, 6, 9, 9)], ConfigError, "expected a multiple of 3 channels, on axis 1"),
        ("float32", [(1, 480, 640, 6)], ConfigError, "expected a multiple of 3 channels, on axis 1"),
        ("float32", [(1, 24, 32, 4)], ConfigError, "expected a multiple of 3 channels, on axis 1"),
    ],
)
def test_models_that_are_refused(kind, shapes, error, message, saved):
    path = saved(echo(kind, *shapes))
    with pytest.raises(error, match=message):
        load_network(path, num_classes=CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 2}, "expected 6, for `frames` 2 channels, on axis 1"),
        ({"num_classes": 19}, "returns scores of 5 classes, expected 19"),
        ({"upsample": "nearest"}, "`upsample` is 'nearest'"),
        ({"threads": 0}, "`threads` is 0"),
        ({"device": "gpu"}, "`device` is 'gpu', expected 'cpu', 'cuda' or 'cuda:1'"),
        ({"mean": (0, 0), "std": (1, 1)}, "`mean` has 2 numbers, expected 3, or one for each of 3 channels"),
        ({"mean": (0, 0, 0), "std": (0, 1, 1)}, "each `std` > 0"),
        ({"autocast": "float16"}, "`autocast` would change nothing: .* is an ONNX model, which takes frames"),
    ],
)
def test_options_that_are_refused(options, message, saved):
    path = saved(model())
    with pytest.raises(ConfigError, match=message):
        load_network(path, **{"num_classes": CLASSES, **options}).runner(FRAME)


def test_normalisation_for_a_model_that_takes_bytes(saved):
    with pytest.raises(ConfigError, match=r"`mean` or `std` would change nothing: .*onnx takes frames of bytes"):
        load_network(saved(model(kind="uint8", shape=(1, "h", "w", 3))), num_classes=CLASSES, mean=(0, 0, 0))


# ── where and how it runs ──


def test_metadata_and_threads(saved):
    described = load_network(saved(model()), num_classes=CLASSES, threads=1).runner.describe()
    assert described == {
        "device": "cpu",
        "onnxruntime": onnxruntime.__version__,
        "provider": "CPUExecutionProvider",
        "session_threads": 1,
        "upsample": None,
    }


def test_cuda_that_is_not_there(saved, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match=r"`device` is 'cuda:1', and this ONNX Runtime [\d.]+ has only CPUExecution"):
        load_network(saved(model()), num_classes=CLASSES, device="cuda:1")


def test_cuda_that_does_not_start(saved, monkeypatch):
    """ONNX Runtime then falls back to the CPU, which would be timed in its place."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    session = onnxruntime.InferenceSession
    asked = []

    def on_the_cpu(path, options, providers):
        asked.append(providers)
        return session(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", on_the_cpu)
    with pytest.raises(ConfigError, match="cannot use CUDAExecutionProvider here"):
        load_network(saved(model()), num_classes=CLASSES, device="cuda:1")
    assert asked == [[("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]]


# ── files ──


def test_damaged_files(saved, tmp_path):
    path = tmp_path / "damaged.onnx"
    whole = model().SerializeToString()
    for content in (b"", b"no model", whole[:-20], b"\xff" * 40, b"\x0b"):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"damaged\.onnx cannot be opened by ONNX Runtime: "):
            load_network(str(path), num_classes=CLASSES)
    with pytest.raises(DatasetError, match=r"nowhere\.onnx cannot be read \(No such file"):
        load_network(str(tmp_path / "nowhere.onnx"), num_classes=CLASSES)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(DatasetError, match=r"folder\.onnx cannot be read \(Is a directory"):
        load_network(str(tmp_path / "folder.onnx"), num_classes=CLASSES)


def external(path, location):
    """The model with its weights in ``weights.bin``, and another name for that file in it."""
    onnx.save(model(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    made = onnx.load(path, load_external_data=False)
    (entry,) = (entry for entry in made.graph.initializer[0].external_data if entry.key == "location")
    entry.value = location
    path.write_bytes(made.SerializeToString())
    return made


def test_weights_beside_the_model(tmp_path):
    path = tmp_path / "network.onnx"
    external(path, "weights.bin")
    network = load_network(str(path), num_classes=CLASSES, **PLAIN)
    assert np.array_equal(network.runner(FRAME), labels_by_hand(FRAME))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(DatasetError, match=r"network\.onnx cannot be opened by ONNX .* does not exist: .*weights\.bin"):
        load_network(str(path), num_classes=CLASSES)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("../weights.bin", "escapes model directory"),
        ("x/../../weights.bin", "escapes model directory"),
        ("link.bin", "escapes model directory"),
        ("far.bin", "escapes model directory"),
        ("up/weights.bin", "escapes model directory"),
        ("{root}/weights.bin", "Absolute path not allowed"),
        ("/dev/zero", "Absolute path not allowed"),
        ("file:///etc/passwd", "does not exist"),
        ("..\\weights.bin", "does not exist"),
        ("a\0b", "does not exist"),
        ("~/weights.bin", "does not exist"),
        ("missing.bin", "does not exist"),
        ("m" * 200, "does not exist"),
        ("", "cannot be empty"),
        ("up", ""),
        (".", ""),
        ("*/_ORT_MEM_ADDR_/*", ""),
    ],
)
def test_weights_elsewhere_are_refused_by_the_runtime(location, reason, tmp_path):
    """Nothing is checked before: a runtime that lacks one of these needs a check of ours, with its file here."""
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "network.onnx"
    external(path, location.format(root=tmp_path))
    (tmp_path / "weights.bin").write_bytes((folder / "weights.bin").read_bytes())
    (folder / "link.bin").symlink_to("../weights.bin")
    (folder / "far.bin").symlink_to(tmp_path / "weights.bin")
    (folder / "up").symlink_to("..")
    with pytest.raises(DatasetError, match=rf"network\.onnx cannot be opened by ONNX Runtime: .*{reason}") as found:
        load_network(str(path), num_classes=CLASSES)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 400 + len(str(path))


def test_a_location_that_is_given_twice(tmp_path):
    """Each order is refused, or the weights come from the folder: 1.28 takes the last one, later versions neither."""
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "network.onnx"
    for first, last in (("weights.bin", "../other.bin"), ("../other.bin", "weights.bin")):
        made = external(path, first)
        (tmp_path / "other.bin").write_bytes(bytes((folder / "weights.bin").stat().st_size))
        made.graph.initializer[0].external_data.add(key="location", value=last)
        path.write_bytes(made.SerializeToString())
        with contextlib.suppress(DatasetError):
            network = load_network(str(path), num_classes=CLASSES, **PLAIN)
            assert np.array_equal(network.runner(FRAME), labels_by_hand(FRAME))


def test_a_folder_of_links_to_a_store(tmp_path):
    """As the cache of a model hub is laid out."""
    store, view = tmp_path / "store", tmp_path / "view"
    store.mkdir()
    view.mkdir()
    external(store / "network.onnx", "weights.bin")
    for name in ("network.onnx", "weights.bin"):
        (view / name).symlink_to(store / name)
    network = load_network(str(view / "network.onnx"), num_classes=CLASSES, **PLAIN)
    assert np.array_equal(network.runner(FRAME), labels_by_hand(FRAME))


def elsewhere(name, location="../missing.bin"):
    """A tensor whose values lie in a file."""
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def put_into(made, place, location):
    """Let a model use weights from a file in one more place."""
    make, one, graph = onnx.helper.make_node, elsewhere("one", location), made.graph
    if place == "constant":
        graph.node.append(make("Constant", [], ["more"]))
        graph.node[-1].attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(one)
    elif place == "branch":
        branch = onnx.helper.make_graph(
            [make("Identity", ["one"], ["same"])],
            "branch",
            [],
            [onnx.helper.make_tensor_value_info("same", 1, [1])],
            [one],
        )
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "choice"))
        graph.node.append(make("If", ["choice"], ["more"], then_branch=branch, else_branch=branch))
    elif place == "function":
        node = make("Constant", [], ["made"])
        node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(one)
        versions = [onnx.helper.make_opsetid("", 17)]
        made.functions.append(onnx.helper.make_function("ours", "Make", [], ["made"], [node], versions))
        made.opset_import.append(onnx.helper.make_opsetid("ours", 1))
        graph.node.append(make("Make", [], ["more"], domain="ours"))
    elif place == "sparse":
        sparse = graph.sparse_initializer.add(dims=[1])
        one.name = "more"
        sparse.values.CopyFrom(one)
        sparse.indices.CopyFrom(onnx.numpy_helper.from_array(np.array([0]), "indices"))
    graph.node.append(make("Add", ["scores", "more"], ["total"]))
    graph.output[0].name = "total"
    return made


@pytest.mark.parametrize("place", ["constant", "branch", "function", "sparse"])
def test_weights_elsewhere_are_refused_wherever_they_are(place, saved, tmp_path):
    made = put_into(model(), place, "one.bin")
    (tmp_path / "one.bin").write_bytes(np.float32([0]).tobytes())
    path = tmp_path / "model" / "network.onnx"
    path.parent.mkdir()
    network = load_network(saved(made), num_classes=CLASSES, **PLAIN)  # beside the model
    assert np.array_equal(network.runner(FRAME), labels_by_hand(FRAME))
    path.write_bytes(put_into(model(), place, "../one.bin").SerializeToString())
    with pytest.raises(DatasetError, match=r"network\.onnx cannot be opened by ONNX Runtime: "):
        load_network(str(path), num_classes=CLASSES)


def test_weights_that_nothing_uses_are_not_looked_for(saved):
    made = model()
    made.graph.initializer.append(elsewhere("unused"))
    made.training_info.add().initialization.initializer.append(elsewhere("start"))
    network = load_network(saved(made), num_classes=CLASSES, **PLAIN)
    assert np.array_equal(network.runner(FRAME), labels_by_hand(FRAME))


def test_without_onnxruntime(run_python, tmp_path):
    (tmp_path / "network.onnx").write_bytes(model().SerializeToString())
    program = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from flame_metric.networks import load_network\n"
        "try: load_network('network.onnx', num_classes=5)\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
    )
    expected = "MissingExtraError network.onnx needs onnxruntime: pip install 'flame-metric[onnx]'"
    assert run_python(program) == expected


def test_without_pytorch(run_python, tmp_path):
    (tmp_path / "network.onnx").write_bytes(model(output="labels").SerializeToString())
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from flame_metric.networks import load_network\n"
        "print(load_network('network.onnx', num_classes=5).runner(np.zeros((4, 6, 3), np.uint8)).shape)\n"
    )
    assert run_python(program) == "(4, 6)"
