"""The names of flame_metric.networks: documented, loaded on first use, and none of them without PyTorch but NAMES."""

import inspect

import pytest

from flame_metric import networks as models

ON_FIRST_USE = [
    *("DeepLabV3Plus", "NetworkCost", "SegmentationNetwork", "SwiftNet", "build", "load_network", "network_cost"),
    *("read_state", "transfer", "translation_grid"),
]


def test_names_of_networks():
    assert models.NAMES == ("swiftnet-r18", "swiftnet-r18-x", "deeplab-r101", "deeplab-mn")


@pytest.mark.parametrize("name", ON_FIRST_USE)
def test_every_name_is_there_and_documented(name):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    thing = getattr(models, name)
    assert inspect.getdoc(thing)
    assert thing.__module__.startswith("flame_metric.networks.")


def test_signatures():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    parameters = inspect.signature(models.build).parameters
    assert {
        name: parameter.default for name, parameter in parameters.items() if name not in ("name", "num_classes")
    } == {
        "frames": 1,
        "init": "repeat",
        "translations": None,
        "weights": None,
    }
    assert [str(parameter.kind) for parameter in inspect.signature(models.transfer).parameters.values()] == [
        "POSITIONAL_OR_KEYWORD",
        "POSITIONAL_OR_KEYWORD",
        "KEYWORD_ONLY",
    ]


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'flame_metric\.networks' has no attribute 'built'"):
        models.built  # noqa: B018 - looking it up is the point


def test_a_fault_of_this_package_is_no_missing_extra(monkeypatch):
    monkeypatch.setitem(models._ON_FIRST_USE, "build", "flame_metric.networks.nowhere")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'flame_metric\.networks\.nowhere'"):
        models.build  # noqa: B018 - loading it is the point


def test_import_loads_no_torch(run_python):
    assert run_python("import sys, flame_metric.networks; print('torch' in sys.modules)") == "False"


def test_names_that_need_torch_say_which_extra_brings_it(run_python):
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "import flame_metric.networks\n"
        "try: flame_metric.networks.build\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
        "print(*sorted(set(dir(flame_metric.networks)) & {'build', 'NAMES', 'transfer', 'load_network'}))"
    )
    assert run_python(program).splitlines() == [
        "MissingExtraError build needs torch: pip install 'flame-metric[torch]'",
        "NAMES load_network",
    ]


def test_inspection_sees_what_is_installed():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    assert {"NAMES", *ON_FIRST_USE} <= set(dir(models))
    assert dict(inspect.getmembers(models)).keys() >= set(ON_FIRST_USE)
