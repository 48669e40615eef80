"""The recipes run as they stand in docs/recipes, and print what stands there."""

import os
import re
import shutil
from importlib.util import find_spec

import pytest

from recipes import RECIPES, blocks

NEEDS = {
    "lightning.md": ("torch", "torchmetrics", "lightning"),
    "mmengine.md": ("torch", "mmengine"),
    "onnxruntime.md": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "ray.md": ("ray",),
    "spark.md": ("pyspark",),
    "torch.md": ("torch", "torchmetrics"),
    "torchrun.md": ("torch",),
    "training.md": ("torch",),
    "transformers.md": ("torch", "transformers"),
}
IGNORED = {  # what clients warn of themselves: the start of the message and its category
    "lightning.md": (
        "`isinstance(treespec:FutureWarning",  # a name that PyTorch has deprecated
        "The 'train_dataloader' does not have many workers:UserWarning",
        "The 'val_dataloader' does not have many workers:UserWarning",
        "The number of training batches (5) is smaller than the logging interval:UserWarning",
    ),
    "mmengine.md": ("`torch.jit.:DeprecationWarning",),  # PyTorch's own
    "onnxruntime.md": ("`isinstance(treespec:FutureWarning",),
    "spark.md": (":ResourceWarning",),  # its daemons close no files
    "torchrun.md": (":DeprecationWarning", ":FutureWarning"),  # the launcher's own, which vary with Python
}
ENVIRONMENT = {  # nothing is told to anybody, and nothing written into the home folder
    "ray.md": {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"},
}
SLOW = ("ray.md", "spark.md")
IN_THE_SHELL = ("slurm.md",)  # test_slurm.py runs it
LAUNCHERS = {"torchrun.md": ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")}
NUMBER = re.compile(r"\d+\.\d+")


def test_every_recipe_is_known():
    assert sorted(path.name for path in RECIPES.iterdir()) == sorted((*NEEDS, *IN_THE_SHELL))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in NEEDS]
)
def test_recipe(name, run_python, monkeypatch):
    for package in NEEDS[name]:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if name == "spark.md" and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Spark needs Java, which is not installed")
    for variable, value in ENVIRONMENT.get(name, {}).items():
        monkeypatch.setenv(variable, value)
    (program,) = blocks(name, "python")
    printed = run_python(program, *IGNORED.get(name, ()), launcher=LAUNCHERS.get(name, ()))
    shown = "".join(blocks(name, "text")).strip()
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown), printed
    if name in ("training.md", "transformers.md"):
        return  # trained or initial weights, and so the scores, vary with machine and version
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=2e-3)  # of three digits, computed in floats
