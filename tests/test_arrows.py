"""The house has floors: a file imports only from floors below it, and heavy imports stay at the edges."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

import flame_metric

PACKAGE = Path(flame_metric.__file__).parent

FLOORS = (  # ground floor first; files of one floor do not import each other
    ("errors.py", "_version.py"),
    ("checks.py",),
    ("compiled.py",),
    ("counting.py",),
    ("iou.py",),
    ("timing.py",),
    ("config.py", "files.py"),
    ("schedule.py",),
    ("statistics.py",),
    ("table.py",),
    ("record.py", "archive.py", "journal.py"),
    ("latency.py",),
    ("timers.py", "batching.py", "factory.py", "normalisation.py"),
    ("ring.py",),
    ("measuring.py",),
    ("latency_report.py",),
    ("streaming.py",),
    ("timeline.py",),
    ("stream_summary.py",),
    ("result.py",),
    ("curve.py", "ranking.py"),
    ("offset_counts.py",),
    ("meter.py",),
    ("bank.py",),
    ("sequence.py",),
    ("inference.py",),
    ("data/__init__.py",),
    ("data/paths.py", "data/stored.py"),
    ("data/archives.py", "data/remote.py"),
    ("data/places.py",),
    ("data/image_file.py", "data/lookup.py", "data/synthetic.py", "data/video_index.py", "data/video_pool.py"),
    ("data/label_png.py", "data/frame_image.py", "data/video.py"),
    ("data/folder.py", "data/cityscapes_labels.py", "data/camvid_labels.py"),
    ("data/frame_files.py", "data/class_maps.py", "data/splits.py", "data/vspw_labels.py"),
    ("data/cityscapes.py", "data/camvid.py", "data/davis.py", "data/kitti_step.py", "data/vspw.py", "data/vipseg.py"),
    ("data/frame_folder.py", "data/video_folder.py"),
    ("data/description.py",),
    ("report/palettes.py", "report/painting.py"),
    ("report/overlays.py",),
    ("report/drawing.py",),
    ("report/classes.py", "report/curves.py", "report/latencies.py"),
    ("report/staleness.py", "report/strips.py", "report/timelines.py"),
    ("datasets.py",),
    ("plan.py",),
    ("question.py",),
    ("clip_counts.py",),
    ("folder_source.py", "clip_journal.py"),
    ("torch/__init__.py",),
    ("torch/counting.py", "torch/distributed.py", "torch/rows.py", "torch/timer.py", "torch/job.py"),
    ("torch/state.py", "torch/delay.py", "torch/ranks.py", "torch/runner.py"),
    ("torch/metric.py", "torch/aware.py"),
    (
        "models/names.py",
        "models/layers.py",
        "models/weights.py",
        "models/sizes.py",
        "models/pt2_archive.py",
        "models/onnx_data.py",
        "models/onnx_job.py",
    ),
    ("models/pt2.py",),
    ("models/resnet.py", "models/mobilenet.py", "models/stems.py", "models/network.py"),
    ("models/swiftnet.py", "models/deeplab.py", "models/transferring.py", "models/cost.py"),
    ("models/networks.py",),
    ("models/reference.py", "models/exported.py", "models/onnx.py", "models/huggingface.py"),
    ("models/load.py",),
    ("models/__init__.py",),
    ("experiments/__init__.py",),
    ("experiments/paper.py", "experiments/augmentation.py", "experiments/recipe.py", "experiments/order.py"),
    (
        "experiments/recipes.py",
        "experiments/frame_pairs.py",
        "experiments/checkpoint.py",
        "experiments/training_record.py",
    ),
    ("experiments/interrupts.py", "experiments/parallel.py"),
    ("experiments/training_run.py",),
    ("experiments/training.py",),
    ("experiments/presets.py", "experiments/latencies.py", "experiments/videos.py", "experiments/scoring.py"),
    ("experiments/experiment.py",),
    ("experiments/table1.py",),
    ("experiments/translations.py",),
    ("experiments/reproduction.py",),
    ("scores.py",),
    ("report/markup.py", "report/page_data.py", "report/page_frames.py"),
    ("report/page_grid.py", "report/page_text.py"),
    ("report/page_chart.py", "report/page_tables.py"),
    ("report/page_script.py", "report/page_sections.py"),
    ("report/page_explorer.py", "report/page_method.py", "report/page_viewer.py"),
    ("report/page.py",),
    ("report/__init__.py",),
    ("evaluation.py", "network_source.py"),
    ("network_evaluation.py", "audit.py", "output_files.py"),
    ("network_run.py",),
    ("demo.py",),
    ("cli/*",),
    ("__init__.py", "__main__.py"),
)
ONE_ROOM = ("cli/*",)  # its files may use each other

OUTSIDE = {
    "numpy": None,
    "matplotlib": "report/*",
    "numba": "compiled.py",
    "onnxruntime": "models/onnx.py",
    "PIL": "data/image_file.py",
    "aiohttp": "data/remote.py",
    "fsspec": "data/remote.py",
    "av": "data/video.py",
    "rich": "cli/console.py",
    "scipy": "statistics.py",
    "torch": ("torch/*", "models/*", "experiments/*"),
    "transformers": "models/huggingface.py",
    "torchmetrics": "torch/*",
}  # None: everywhere


def as_tuple(places):
    return (places,) if isinstance(places, str) else places


def files():
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def room_of(file):
    return f"{file.split('/')[0]}/*"


def floor_of(file):
    """The index of the floor on which a file is, or None."""
    room = file if any(file in floor for floor in FLOORS) else room_of(file)
    return next((index for index, floor in enumerate(FLOORS) if room in floor), None)


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
    raise AssertionError(f"{module} is no module of flame_metric")


def arrows(file, source, known):
    """Files of this package that a file imports."""
    inside = (module for module in modules_of(file, source) if module.split(".")[0] == "flame_metric")
    return {file_of(module, known) for module in inside} - {file}


def faults_of(file, source, known):
    """What is wrong with the imports of one file, as text."""
    here = floor_of(file)
    for other in sorted(arrows(file, source, known)):
        there = floor_of(other)
        in_one_room = there == here and set(FLOORS[here]) <= set(ONE_ROOM)
        if there is not None and there >= here and not in_one_room:
            yield f"{file} imports {other}, which is not on a floor below"
    for module in modules_of(file, source):
        name = module.split(".")[0]
        if name == "flame_metric" or name in sys.stdlib_module_names:
            continue
        if name not in OUTSIDE:
            yield f"{file} imports {name}: expected NumPy, and other packages at the edges only"
        elif (places := OUTSIDE[name]) is not None and not {file, room_of(file)} & {*as_tuple(places)}:
            yield f"{file} imports {name}: expected in {' and '.join(as_tuple(places))} alone"


# ── the package ──


@pytest.mark.parametrize("file", files())
def test_file_has_a_floor(file):
    assert floor_of(file) is not None, f"{file} is on no floor: place it in FLOORS of this test, below what imports it"


@pytest.mark.parametrize("file", [file for file in files() if floor_of(file) is not None])
def test_file_imports_only_from_floors_below(file):
    assert list(faults_of(file, (PACKAGE / file).read_text(encoding="utf-8"), set(files()))) == []


def test_no_circle():
    known = set(files())
    graph = {file: arrows(file, (PACKAGE / file).read_text(encoding="utf-8"), known) for file in known}
    list(graphlib.TopologicalSorter(graph).static_order())


# ── the test itself ──

KNOWN = {
    "__init__.py",
    "errors.py",
    "counting.py",
    "meter.py",
    "data/__init__.py",
    "data/lookup.py",
    "data/synthetic.py",
    "data/image_file.py",
    "data/label_png.py",
    "data/folder.py",
    "torch/counting.py",
    "torch/metric.py",
    "cli/x.py",
    "torch/x.py",
}


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("counting.py", "from flame_metric.errors import LabelError", {"errors.py"}),
        ("counting.py", "import flame_metric.errors", {"errors.py"}),
        ("counting.py", "from . import errors", {"errors.py"}),
        ("counting.py", "from .errors import LabelError", {"errors.py"}),
        ("counting.py", "from flame_metric import errors", {"errors.py"}),
        ("counting.py", "from flame_metric import LabelError", {"__init__.py"}),
        ("data/lookup.py", "from . import synthetic", {"data/synthetic.py"}),
        ("data/lookup.py", "from ..errors import LabelError", {"errors.py"}),
        ("data/lookup.py", "def f():\n    from flame_metric.data.synthetic import x", {"data/synthetic.py"}),
        ("cli/x.py", "import importlib\nimportlib.import_module('flame_metric.data.lookup')", {"data/lookup.py"}),
        ("cli/x.py", "from flame_metric.data import unknown", {"data/__init__.py"}),
        ("meter.py", "import numpy as np", set()),
    ],
)
def test_arrows_are_found(file, source, found):
    assert arrows(file, source, KNOWN) == found


@pytest.mark.parametrize(
    ("file", "source", "number"),
    [
        ("counting.py", "from flame_metric.errors import LabelError\nimport numpy, json", 0),
        ("errors.py", "from flame_metric.counting import x", 1),
        ("counting.py", "from flame_metric import meter", 1),
        ("data/lookup.py", "from flame_metric.data.folder import x", 1),
        ("data/lookup.py", "from flame_metric.data.synthetic import x", 1),
        ("data/folder.py", "from flame_metric.data.lookup import x", 0),
        ("counting.py", "import torch", 1),
        ("torch/metric.py", "import torch, torchmetrics", 0),
        ("torch/metric.py", "from flame_metric.torch.counting import x\nfrom flame_metric.meter import y", 0),
        ("torch/counting.py", "from flame_metric.torch.metric import x", 1),
        ("torch/metric.py", "import PIL", 1),
        ("meter.py", "from flame_metric.torch.counting import x", 1),
        ("counting.py", "def f():\n    import scipy.stats", 1),
        ("counting.py", "__import__('matplotlib')", 1),
        ("counting.py", "from PIL import Image", 1),
        ("data/image_file.py", "from PIL import Image", 0),
        ("data/label_png.py", "from PIL import Image", 1),
        ("data/video.py", "import av", 0),
        ("data/folder.py", "import av", 1),
        ("cli/console.py", "import rich.progress", 0),
        ("cli/x.py", "import rich", 1),
        ("torch/x.py", "import torch.nn, torchmetrics", 0),
        ("torch/x.py", "import scipy", 1),
        ("models/x.py", "import torch", 0),
        ("models/x.py", "import torchmetrics", 1),
        ("experiments/x.py", "import torch.nn", 0),
        ("experiments/x.py", "import torchmetrics", 1),
        ("cli/x.py", "from flame_metric.cli import x, y", 0),
    ],
)
def test_faults_are_found(file, source, number):
    assert len(list(faults_of(file, source, KNOWN | {"cli/__init__.py", "cli/y.py"}))) == number


def test_file_without_a_floor_is_found():
    assert floor_of("novelty.py") is None
    assert floor_of("novelty/part.py") is None
