"""The public names: what there is, how it is called, and what importing it costs."""

import inspect
import json
import sys

import pytest

import flame_metric
from flame_metric import FlameMeter, FlameResult, FrameDelay, Schedule

NAMES = [
    *("Budget", "Comparison", "ConfigError", "Curve", "DatasetError", "FlameError", "FlameMeter", "FlameResult"),
    *("FlameWarning", "FrameDelay", "Interval", "LabelError", "LatencyReport", "LatencyTrace", "Losses"),
    *("MissingExtraError", "OffsetBank", "Schedule", "ShapeError", "StateError", "StreamConfig", "StreamLog"),
    *(
        "StreamStatistics",
        "VideoDataset",
        "VideoSequence",
        "__version__",
        "bootstrap_interval",
        "class_counts",
        "compare",
    ),
    *("confusion_matrix", "evaluate_folders", "flame_score", "frame_offset", "iou_per_class", "latency_report"),
    *("load_network", "mean_iou", "measure_latency", "open_dataset", "run_network", "simulate_stream"),
    "stream_timeline",
]


def test_names():
    assert flame_metric.__all__ == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_every_name_is_there_and_documented(name):
    thing = getattr(flame_metric, name)
    assert inspect.getdoc(thing)
    if callable(thing) and not (inspect.isclass(thing) and issubclass(thing, BaseException)):
        assert thing.__module__.startswith("flame_metric.")


def test_version_is_text():
    assert flame_metric.__version__.count(".") == 2


def options(function):
    return {
        name: parameter.kind.name
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "cls")
    }


def split(function):
    kinds = options(function)
    return (
        [name for name, kind in kinds.items() if kind == "POSITIONAL_OR_KEYWORD"],
        {name for name, kind in kinds.items() if kind == "KEYWORD_ONLY"},
    )


@pytest.mark.parametrize(
    ("function", "data", "keywords"),
    [
        (flame_metric.frame_offset, ["latency_ms", "fps"], set()),
        (flame_metric.confusion_matrix, ["pred", "target"], {"num_classes", "ignore_index"}),
        (flame_metric.class_counts, ["pred", "target"], {"num_classes", "ignore_index"}),
        (flame_metric.iou_per_class, ["counts"], set()),
        (flame_metric.mean_iou, ["counts"], set()),
        (
            flame_metric.flame_score,
            ["preds", "targets"],
            {"num_classes", "latency_ms", "fps", "ignore_index"},
        ),
        (
            FlameMeter,
            ["num_classes"],
            {
                *("latency_ms", "fps", "frame_offset", "ignore_index", "class_names", "before_first", "hardware"),
                "max_sequences",
            },
        ),
        (FlameMeter.update, ["pred", "target"], {"sequence", "frame"}),
        (FlameMeter.update_pair, ["pred", "target"], {"sequence"}),
        (FlameMeter.end, ["sequence"], set()),
        (FlameMeter.update_sequence, ["preds", "targets"], {"sequence", "schedule"}),
        (FlameMeter.update_missing, ["target"], {"sequence"}),
        (FlameMeter.merge, ["other"], set()),
        (FlameMeter.compute, [], set()),
        (FlameMeter.reset, [], set()),
        (FlameMeter.to_json, [], set()),
        (FlameMeter.from_json, ["text"], set()),
        (FlameResult.from_json, ["text"], set()),
        (FlameResult.table, ["format"], set()),
        (Schedule.fixed, ["num_frames", "frame_offset"], set()),
        (FrameDelay.push, ["item"], set()),
        (flame_metric.bootstrap_interval, ["result"], {"level", "resamples", "seed"}),
        (flame_metric.latency_report, ["trace"], {"fps", "level", "resamples", "seed"}),
        (flame_metric.open_dataset, ["text"], {"split"}),
        (
            flame_metric.measure_latency,
            ["run", "inputs"],
            {
                *("warmup", "samples", "timer", "boundary", "pace_fps", "warmup_cap_s", "time_cap_s", "min_samples"),
                *("min_inputs", "metadata", "progress", "sleep", "today"),
            },
        ),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_data_is_positional_and_options_are_keywords(function, data, keywords):
    assert split(function) == (data, keywords)


@pytest.mark.parametrize(
    "name",
    [
        *("config", "sequences", "counts", "miou", "iou", "dice", "pixel_accuracy", "num_pairs", "coverage"),
        *("valid_fraction", "frame_offset", "signature", "by_sequence", "table", "to_json", "from_json"),
    ],
)
def test_fields_of_a_result(name):
    meter = FlameMeter(2)
    meter.update([[0]], [[0]])
    assert getattr(meter.compute(), name) is not None


# ── errors ──


@pytest.mark.parametrize(
    ("error", "base"),
    [
        ("LabelError", ValueError),
        ("ShapeError", ValueError),
        ("ConfigError", ValueError),
        ("DatasetError", ValueError),
        ("StateError", RuntimeError),
        ("MissingExtraError", ImportError),
    ],
)
def test_errors_are_of_this_package_and_of_python(error, base):
    kind = getattr(flame_metric, error)
    assert issubclass(kind, flame_metric.FlameError)
    assert issubclass(kind, base)
    assert str(kind("what was found")) == "what was found"


def test_warning_is_a_user_warning():
    assert issubclass(flame_metric.FlameWarning, UserWarning)
    assert not issubclass(flame_metric.FlameWarning, flame_metric.FlameError)


def test_errors_carry_their_argument_and_path(tmp_path):
    assert flame_metric.LabelError("x", argument="pred").argument == "pred"
    assert flame_metric.LabelError("x").argument is None
    assert flame_metric.DatasetError("x", path=tmp_path).path == str(tmp_path)
    assert flame_metric.DatasetError("x").path is None


# ── import ──


def test_import_loads_numpy_alone(run_python):
    program = (
        "import sys, json; before = set(sys.modules); import flame_metric; "
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    assert set(json.loads(run_python(program))) - sys.stdlib_module_names == {"flame_metric", "numpy"}


def test_a_fault_of_this_package_is_no_missing_extra(monkeypatch):
    monkeypatch.setitem(flame_metric._ON_FIRST_USE, "FlameMetric", ("flame_metric.torch.nowhere", "torch", "torch"))
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'flame_metric\.torch\.nowhere'"):
        flame_metric.FlameMetric  # noqa: B018 - loading it is the point


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'flame_metric' has no attribute 'FlameMetre'"):
        flame_metric.FlameMetre  # noqa: B018 - looking it up is the point


def test_import_leaves_edges_and_the_command_line_alone(run_python):
    program = "import sys, flame_metric; print(*[name for name in sys.modules if name.startswith('flame_metric')])"
    loaded = run_python(program).split()
    edges = (
        "flame_metric.cli",
        "flame_metric.data.",
        "flame_metric.jobs",
        "flame_metric.networks",
        "flame_metric.torch",
    )
    assert [name for name in loaded if name.startswith(edges) and name != "flame_metric.data.videos"] == []


@pytest.mark.parametrize("name", ["FlameMetric", "LatencyAware"])
def test_names_that_need_torch_load_on_first_use(name, run_python):
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    program = (
        "import sys, flame_metric; before = 'torch' in sys.modules; "
        f"print(before, flame_metric.{name}.__name__, 'torch' in sys.modules, '{name}' in flame_metric.__all__, "
        f"'{name}' in dir(flame_metric))"
    )
    assert run_python(program).split() == ["False", name, "True", "False", "True"]


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["torch", "torchmetrics"])
@pytest.mark.parametrize("name", ["FlameMetric", "LatencyAware"])
def test_names_that_need_torch_say_which_extra_brings_it(name, missing, run_python):
    if missing == "torchmetrics":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    program = (
        f"import sys; sys.modules['{missing}'] = None\n"
        f"try: from flame_metric import {name}\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    assert run_python(program) == f"MissingExtraError {name} needs torchmetrics: pip install 'flame-metric[torch]'"


@pytest.mark.parametrize("name", ["CudaTimer", "torch_runner"])
def test_names_that_need_torch_say_so(name, run_python):
    program = (
        "import sys, flame_metric; sys.modules['torch'] = None\n"
        f"try: flame_metric.{name}\n"
        "except flame_metric.MissingExtraError as error: print(error)"
    )
    assert run_python(program) == f"{name} needs torch: pip install 'flame-metric[torch]'"


ON_FIRST_USE = ("CudaTimer", "FlameMetric", "LatencyAware", "torch_runner")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "listed"),
    [
        (["torch", "torchmetrics"], []),
        (["torch"], []),
        (["torchmetrics"], ["CudaTimer", "torch_runner"]),
        ([], list(ON_FIRST_USE)),
    ],
    ids=["base install", "without torch", "without torchmetrics", "with both"],
)
def test_help_and_inspection_see_what_is_installed(missing, listed, run_python):
    for package in {"torch", "torchmetrics"} - set(missing):
        pytest.importorskip(package, reason=f"{package} is not installed")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({missing}))\n"
        "import inspect, pydoc, flame_metric\n"
        "listed = dir(flame_metric)\n"
        "shown = dict(inspect.getmembers(flame_metric))\n"
        "assert 'FlameMeter' in pydoc.render_doc(flame_metric)\n"
        "assert shown.keys() >= {*listed, *flame_metric.__all__}\n"
        f"print(*sorted(shown.keys() & {set(ON_FIRST_USE)}))"
    )
    assert run_python(program).split() == listed


def test_names_that_need_torch_are_there_with_it():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert flame_metric.torch_runner.__module__ == "flame_metric.torch.runner"
    assert flame_metric.CudaTimer.__module__ == "flame_metric.torch.timer"


def test_r21_warnings_are_errors():
    import warnings  # noqa: PLC0415 - to be seen beside its use

    with pytest.raises(DeprecationWarning):
        warnings.warn("a name that the next NumPy removes", DeprecationWarning, stacklevel=1)
