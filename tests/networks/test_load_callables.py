"""load_network with factories of plain callables, and what is refused; needs no PyTorch."""

import sys
from pathlib import Path

import numpy as np
import pytest

from flame_metric.errors import ConfigError
from flame_metric.networks import MODEL_FORMS, NAMES, load_network

FRAME = np.random.default_rng(0).integers(0, 256, (33, 40, 3)).astype(np.uint8)

FACTORIES = """
import numpy as np

calls = []

def darkest(num_classes):
    calls.append(num_classes)
    return lambda frame: (frame[..., 0] // 64).astype(np.uint8)

def plain():
    return lambda frame: frame[..., 0] // 64

def everything(**options):
    calls.append(options)
    return lambda frame: frame[..., 0] // 64

class Pair:
    frames = 2

    def __call__(self, frame):
        return frame[..., 3] // 64

def wide(*, frames=1, num_classes):
    calls.append((frames, num_classes))
    return lambda frame: frame[..., -1] // 64

class OnDevice:
    device = "cuda:0"

def far():
    return lambda frame: OnDevice()

class OnlyWhenAsked:
    def __init__(self, frame):
        self.frame = frame
    def __array__(self, dtype=None, copy=None):
        calls.append("computed")
        return self.frame[..., 0] // 64

def lazy():
    return OnlyWhenAsked

def failing():
    raise ValueError("no weights here")

def asynchronous():
    async def run(frame):
        return frame
    return run

def generating():
    return lambda frame: (row for row in frame)

def mapping():
    return lambda frame: {"out": frame}

def ragged():
    return lambda frame: [[0, 1], [0]]

def listing():
    return lambda frame: (frame[..., 0] // 64).tolist()
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The name of a module with factories, found as any other."""
    (tmp_path / "factories_here.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    yield "factories_here"
    sys.modules.pop("factories_here", None)


# ── factories ──


def test_a_callable_gets_the_raw_frame(factories):
    network = load_network(f"{factories}:darkest", num_classes=4)
    assert (network.name, network.frames, network.runner.boundary) == ("factories_here:darkest", 1, "end_to_end")
    assert np.array_equal(network.runner(FRAME), FRAME[..., 0] // 64)
    assert sys.modules[factories].calls == [4]


def test_a_factory_gets_what_its_signature_names(factories):
    load_network(f"{factories}:plain", num_classes=4)
    assert load_network(f"{factories}:wide", num_classes=4).frames == 1
    assert load_network(f"{factories}:wide", num_classes=4, frames=2).frames == 2
    load_network(f"{factories}:everything", num_classes=4)
    assert sys.modules[factories].calls == [(1, 4), (2, 4), {}]


def test_what_is_built_may_tell_its_frames(factories):
    assert load_network(f"{factories}:Pair", num_classes=4).frames == 2
    assert load_network(f"{factories}:Pair", num_classes=4, frames=2).frames == 2
    with pytest.raises(ConfigError, match="`frames` is 3, and what factories_here:Pair builds takes 2"):
        load_network(f"{factories}:Pair", num_classes=4, frames=3)


def test_output_that_is_left_on_a_device(factories):
    network = load_network(f"{factories}:far", num_classes=4)
    with pytest.raises(ConfigError, match="returns what lies on cuda:0, expected labels in the memory of the host"):
        network.runner(FRAME)


def test_output_that_is_not_computed_yet_is_computed_while_it_is_timed(factories):
    output = load_network(f"{factories}:lazy", num_classes=4).runner(FRAME)
    assert sys.modules[factories].calls == ["computed"]
    assert np.array_equal(output, FRAME[..., 0] // 64)
    assert sys.modules[factories].calls == ["computed"]


def test_a_list_of_labels(factories):
    assert np.array_equal(load_network(f"{factories}:listing", num_classes=4).runner(FRAME), FRAME[..., 0] // 64)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("asynchronous", "`run` returns a coroutine, which is not awaited yet, expected arrays or tensors"),
        ("generating", "`run` returns a generator, which has not computed its items yet, expected arrays or tensors"),
        ("mapping", "factories_here:mapping returns a dict, expected the labels or scores of a frame as one array"),
        ("ragged", "factories_here:ragged returns a list, expected the labels or scores of a frame as one array"),
    ],
)
def test_output_that_is_not_there(factories, network, message):
    with pytest.raises(ConfigError, match=message):
        load_network(f"{factories}:{network}", num_classes=4).runner(FRAME)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "`text` is '', expected the name of a network"),
        (
            "swiftnet",
            {},
            "the network is 'swiftnet', expected one of swiftnet-r18, .*, MODULE:FACTORY, pt2:FILE, a FILE.onnx",
        ),
        ("net.pt2", {}, "'net.pt2', a program .* is code from a file: write pt2:net.pt2 if you trust it"),
        ("best.pth", {}, "weights need a network: give best.pth as `weights` of one, expected one of"),
        ("nowhere_here:build", {}, "there is no module 'nowhere_here'"),
        ("factories_here:failing", {}, r"factories_here:failing\(\) failed: ValueError: no weights here"),
        ("factories_here:plain", {"num_classes": 0}, "`num_classes` is 0"),
        ("factories_here:plain", {"frames": 0}, "`frames` is 0"),
        ("factories_here:plain", {"weights": "x.pt"}, "`weights` would change nothing: factories_here:plain is a fact"),
        (
            "factories_here:plain",
            {"device": "cpu", "mean": (0, 0, 0)},
            "`mean`, `device` would change nothing: factories_here:plain is function, no torch.nn.Module, which",
        ),
    ],
)
def test_what_is_refused(factories, text, options, message):
    with pytest.raises(ConfigError, match=message):
        load_network(text, **{"num_classes": 4, **options})


def test_forms_are_listed():
    assert all(name in MODEL_FORMS for name in (*NAMES, "MODULE:FACTORY", "pt2:FILE", "FILE.onnx", "FOLDER"))
    assert max(map(len, MODEL_FORMS.splitlines())) <= 100


def test_nothing_heavy_is_imported_before_it_is_needed(run_python):
    program = (
        "import sys, flame_metric.networks.load\n"
        "flame_metric.networks.MODEL_FORMS\n"
        "print([name for name in ('torch', 'onnxruntime', 'transformers') if name in sys.modules])"
    )
    assert run_python(program) == "[]"


def test_without_pytorch(run_python):
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from flame_metric.networks import load_network\n"
        "for text in ('swiftnet-r18', 'pt2:network.pt2'):\n"
        "    try: load_network(text, num_classes=5)\n"
        "    except ImportError as error: print(type(error).__name__, error)\n"
    )
    assert run_python(program).splitlines() == [
        "MissingExtraError swiftnet-r18 needs torch: pip install 'flame-metric[torch]'",
        "MissingExtraError pt2:network.pt2 needs torch: pip install 'flame-metric[torch]'",
    ]
