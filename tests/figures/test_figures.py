"""The package: what importing it costs, which names it has, and that the pictures of the docs can be made."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flame_metric
from flame_metric import figures

PICTURES = ("flame_panels", "mark_errors", "on_screen", "overlay", "palette", "panel_grid")
FIGURES = (
    *("plot_class_losses", "plot_latencies", "plot_latency_curve", "plot_latency_strip", "plot_staleness"),
    "plot_timeline",
)
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_there(name):
    assert callable(getattr(figures, name))
    assert name in dir(figures)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_load_on_first_use(name):
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    assert name in dir(figures)
    assert getattr(figures, name).__module__.startswith("flame_metric.figures.")


def test_importing_loads_no_package_but_numpy(run_python):
    program = (
        "import sys, json, flame_metric, flame_metric.figures; "
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    assert not {"matplotlib", "PIL", "scipy", "torch"} & set(json.loads(run_python(program)))


def test_the_package_itself_loads_no_pictures(run_python):
    program = (
        "import sys, flame_metric; print([name for name in sys.modules if name.startswith('flame_metric.figures')])"
    )
    assert run_python(program) == "[]"


@pytest.mark.slow
def test_figures_leave_pyplot_and_its_state_alone(run_python):
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    program = (
        "import io, sys\n"
        "from flame_metric import LatencyTrace, latency_report\n"
        "from flame_metric.figures import plot_latencies\n"
        "figure, _ = plot_latencies(latency_report(LatencyTrace([3, 4, 5]), fps=100))\n"
        "for kind in ('png', 'pdf', 'svg'):\n"
        "    file = io.BytesIO()\n"
        "    figure.savefig(file, format=kind)\n"
        "    assert len(file.getvalue()) > 1000\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert run_python(program) == "False"


@pytest.mark.parametrize("name", FIGURES)
def test_without_matplotlib_the_extra_is_named(name, run_python):
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        f"try: from flame_metric.figures import {name}\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    assert run_python(program) == f"MissingExtraError {name} needs matplotlib: pip install 'flame-metric[plot]'"


def test_a_fault_of_this_package_is_no_missing_extra(monkeypatch):
    monkeypatch.setitem(figures._FIGURES, "plot_nothing", "flame_metric.figures.nowhere")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'flame_metric\.figures\.nowhere'"):
        figures.plot_nothing  # noqa: B018 - loading it is the point


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"'flame_metric\.figures' has no attribute 'plot_everything'"):
        figures.plot_everything  # noqa: B018 - looking it up is the point


@pytest.mark.slow
def test_the_page_of_the_docs_runs(run_python, tmp_path):
    for package in ("matplotlib", "PIL"):
        pytest.importorskip(package, reason=f"the page needs {package}")
    page = (DOCS / "figures.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    run_python(program)
    made = {file.name for file in tmp_path.iterdir()} - {"program.py"}
    assert made == set(re.findall(r"\w+\.(?:pdf|png|gif)", program))
    shown = re.findall(r"\(images/(.*?)\)", page)
    assert sorted(shown) == sorted(file.name for file in (DOCS / "images").iterdir())


@pytest.mark.slow
def test_the_pictures_of_the_docs_are_what_the_script_makes(tmp_path):
    """By name and size alone: fonts and antialiasing differ from one version of matplotlib to the next."""
    for package in ("matplotlib", "PIL"):
        pytest.importorskip(package, reason=f"the script needs {package}")
    source = str(Path(flame_metric.__file__).parents[1])
    subprocess.run(
        [sys.executable, "-W", "error", DOCS / "figures.py", "--out", tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])},
        check=True,
        timeout=300,
    )
    made = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert set(made) == {file.name for file in (DOCS / "images").iterdir()}
    assert max(made.values()) < 200_000
