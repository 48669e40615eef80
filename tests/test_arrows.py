"""The house has floors: a package imports only from those before it, and within a package files import downwards."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

import flame_metric

SOURCE = Path(flame_metric.__file__).parent

# Ground floor first: a package imports only from the lines before it.
PACKAGES = (
    ("errors", "_version"),
    ("core",),
    ("latency",),
    ("scores",),
    ("figures",),
    ("data",),
    ("torch",),
    ("networks",),
    ("jobs",),
    ("paper",),
    ("report",),
    ("demo",),
    ("cli",),
    ("__init__", "__main__"),
)

# Packages from outside, and where each may be imported; what is not named here comes from the standard library.
OUTSIDE = {
    "numpy": "*",
    "scipy": "core/statistics.py",
    "numba": "core/counting_numba.py",
    "matplotlib": "figures/*",
    "jinja2": "report/page.py",
    "PIL": "data/images.py",
    "av": "data/video_file.py",
    "aiohttp": "data/remote.py",
    "fsspec": "data/remote.py",
    "torch": "torch/* networks/* paper/*",
    "torchmetrics": "torch/*",
    "onnxruntime": "networks/onnx.py",
    "transformers": "networks/huggingface.py",
    "rich": "cli/console.py",
}


def room_of(file):
    """The package, or the module at the root, in which a file is."""
    return file.split("/")[0].removesuffix(".py")


def floor_of(file):
    """The line of PACKAGES on which a file is, or None."""
    return next((index for index, rooms in enumerate(PACKAGES) if room_of(file) in rooms), None)


def files():
    return sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


def modules_of(file, source):
    """Absolute dotted names that a file imports, wherever in it, with those passed to import_module as text."""
    package = ["flame_metric", *file.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            yield from (word.value for word in node.args[:1] if isinstance(word, ast.Constant))


def file_of(module, known):
    """The file of this package that a dotted name leads to: the longest part of it that is a file."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        path = "/".join(parts[1:length])
        for file in (f"{path}.py", f"{path}/__init__.py".lstrip("/")):
            if file in known:
                return file
    raise AssertionError(f"{module} is not a module of flame_metric")


def arrows(file, source, known):
    """Files of this package that a file imports."""
    inside = (module for module in modules_of(file, source) if module.split(".")[0] == "flame_metric")
    return {file_of(module, known) for module in inside} - {file}


def faults_of(file, source, known):
    """What is wrong with the imports of one file, as text."""
    for other in sorted(arrows(file, source, known)):
        if room_of(other) != room_of(file) and floor_of(other) >= floor_of(file):
            yield f"{file} imports {other}, which is not on a floor below"
    for module in modules_of(file, source):
        name = module.split(".")[0]
        if name == "flame_metric" or name in sys.stdlib_module_names:
            continue
        allowed = OUTSIDE.get(name, "").split()
        if not {"*", file, f"{room_of(file)}/*"} & {*allowed}:
            yield f"{file} imports {name}: expected in {' and '.join(allowed) or 'no file'}"


def names_given_twice(sources):
    """Names of classes that several places define, with the files; an underscore in front makes no other name."""
    places = {}
    for file, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(file)
    yield from ((name, *found) for name, found in places.items() if len(found) > 1)


def functions_of(source):
    """Names of the functions and methods that a file defines."""
    nodes = ast.walk(ast.parse(source))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def circles(graph):
    """The first circle of a graph of files, or None."""
    try:
        list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return error.args[1]
    return None


# ── the package ──


def test_every_package_has_a_floor():
    assert [file for file in files() if floor_of(file) is None] == []
    assert {room for rooms in PACKAGES for room in rooms} == {room_of(file) for file in files()}


@pytest.mark.parametrize("file", files())
def test_file_imports_only_from_packages_below(file):
    assert list(faults_of(file, (SOURCE / file).read_text(encoding="utf-8"), set(files()))) == []


def test_within_a_package_files_import_downwards():
    known = set(files())
    assert circles({file: arrows(file, (SOURCE / file).read_text(encoding="utf-8"), known) for file in known}) is None


def test_no_two_classes_have_one_name():
    assert list(names_given_twice({file: (SOURCE / file).read_text(encoding="utf-8") for file in files()})) == []


def test_names_of_functions_say_something():
    assert [file for file in files() if "of" in functions_of((SOURCE / file).read_text(encoding="utf-8"))] == []


def test_few_files_lie_at_the_root():
    assert len([file for file in files() if "/" not in file]) <= 6


# ── the test itself ──

KNOWN = {"__init__.py", "errors.py", "cli/x.py", "cli/y.py", "cli/__init__.py", "torch/x.py", "torch/counting.py"}
KNOWN |= {f"core/{name}.py" for name in ("__init__", "counting", "checks")}
KNOWN |= {f"data/{name}.py" for name in ("__init__", "images", "lookup", "folders", "video_file")}
KNOWN |= {"scores/__init__.py", "scores/meter.py", "torch/metric.py", "networks/x.py", "paper/x.py"}


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("core/counting.py", "from flame_metric.errors import LabelError", {"errors.py"}),
        ("core/counting.py", "import flame_metric.errors", {"errors.py"}),
        ("core/counting.py", "from .. import errors", {"errors.py"}),
        ("core/counting.py", "from ..errors import LabelError", {"errors.py"}),
        ("core/counting.py", "from . import checks", {"core/checks.py"}),
        ("core/counting.py", "from flame_metric import errors", {"errors.py"}),
        ("core/counting.py", "from flame_metric import LabelError", {"__init__.py"}),
        ("data/lookup.py", "def f():\n    from flame_metric.data.images import x", {"data/images.py"}),
        ("cli/x.py", "import importlib\nimportlib.import_module('flame_metric.data.lookup')", {"data/lookup.py"}),
        ("cli/x.py", "from flame_metric.data import unknown", {"data/__init__.py"}),
        ("scores/meter.py", "import numpy as np", set()),
    ],
)
def test_arrows_are_found(file, source, found):
    assert arrows(file, source, KNOWN) == found


@pytest.mark.parametrize(
    ("file", "source", "number"),
    [
        ("core/counting.py", "from flame_metric.errors import LabelError\nimport numpy, json", 0),
        ("core/counting.py", "from flame_metric.core.checks import x", 0),
        ("errors.py", "from flame_metric.core.counting import x", 1),
        ("core/counting.py", "from flame_metric.scores import meter", 1),
        ("data/folders.py", "from flame_metric.data.lookup import x", 0),
        ("core/counting.py", "import torch", 1),
        ("torch/metric.py", "import torch, torchmetrics", 0),
        ("torch/metric.py", "from flame_metric.torch.counting import x\nfrom flame_metric.scores.meter import y", 0),
        ("torch/metric.py", "import PIL", 1),
        ("scores/meter.py", "from flame_metric.torch.counting import x", 1),
        ("scores/meter.py", "from flame_metric import FlameMeter", 1),
        ("core/counting.py", "def f():\n    import scipy.stats", 1),
        ("core/counting.py", "__import__('matplotlib')", 1),
        ("core/counting.py", "from PIL import Image", 1),
        ("data/images.py", "from PIL import Image", 0),
        ("data/lookup.py", "from PIL import Image", 1),
        ("data/video_file.py", "import av", 0),
        ("data/folders.py", "import av", 1),
        ("cli/x.py", "import rich", 1),
        ("torch/x.py", "import scipy", 1),
        ("networks/x.py", "import torch", 0),
        ("networks/x.py", "import torchmetrics", 1),
        ("paper/x.py", "import torch.nn", 0),
        ("cli/x.py", "from flame_metric.cli import x, y", 0),
    ],
)
def test_faults_are_found(file, source, number):
    assert len(list(faults_of(file, source, KNOWN))) == number


def test_a_class_that_is_named_twice_is_found():
    sources = {"a.py": "class Job: ...", "b.py": "def f():\n    class _Job: ...", "c.py": "class Jobs: ..."}
    assert list(names_given_twice(sources)) == [("Job", "a.py", "b.py")]


def test_methods_are_found():
    assert functions_of("class Job:\n    def of(self): ...\nasync def wait(): ...") == {"of", "wait"}


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"a"}}) is not None
    assert circles({"a": {"b"}, "b": set()}) is None


def test_a_file_without_a_floor_is_found():
    assert floor_of("novelty.py") is None
    assert floor_of("novelty/part.py") is None
