"""What all tests share: the settings of the property tests, commands without progress, and a fresh interpreter."""

import gc
import math
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

import flame_metric
from flame_metric.cli import console
from flame_metric.core import compiled
from laws import FULL

settings.register_profile(
    "flame-metric",
    deadline=None,  # laws are about values, never about time
    max_examples=FULL,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("flame-metric")
settings.register_profile("quick", settings.get_profile("flame-metric"), max_examples=10)  # of `make test`
settings.register_profile(  # of `make mutation`, which asks only whether a test fails, thousands of times
    "mutation",
    settings.get_profile("flame-metric"),
    derandomize=True,
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
)


_PATIENCE_S, console._PATIENCE_S = console._PATIENCE_S, math.inf  # a busy machine shows no progress in any command


def pytest_collection_finish():
    """Spare what was collected and imported from garbage collection: a measurement of latencies collects each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def usual_patience(monkeypatch):
    """Show progress as users see it: after a second."""
    monkeypatch.setattr(console, "_PATIENCE_S", _PATIENCE_S)


@pytest.fixture(scope="module", params=["numpy", "compiled"])
def loops(request):
    """Count with NumPy alone, and again with compiled loops from the first map on."""
    if request.param == "compiled" and not find_spec("numba"):
        pytest.skip("compiled loops need numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "LOAD_AFTER", 0 if request.param == "compiled" else sys.maxsize)
        yield request.param


@pytest.fixture
def run_python(tmp_path):
    """Run a program in a fresh interpreter, with warnings as errors, and return what it prints."""

    def run(program: str, *ignored: str, launcher: tuple[str, ...] = ()) -> str:
        """``ignored``: warnings, each as "start of its message:category"; ``launcher``: ("-m", module, option, ...)."""
        script = tmp_path / "program.py"
        script.write_text(program, encoding="utf-8")
        package = str(Path(flame_metric.__file__).parents[1])
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONWARNINGS": ",".join(["error", *(f"ignore:{warning}" for warning in ignored)]),
        }
        done = subprocess.run(
            [sys.executable, *launcher, script.name],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
