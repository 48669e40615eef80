"""What all tests share: the settings of the property tests, and a fresh interpreter."""

import subprocess
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "flame-metric",
    deadline=None,  # laws are about values, never about time
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("flame-metric")


@pytest.fixture
def run_python():
    """Run a program in a fresh interpreter, with warnings as errors, and return what it prints."""

    def run(program: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
