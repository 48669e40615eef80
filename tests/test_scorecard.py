"""The inputs of benchmarks/reliability.py: this package gives the right number, or an error that says what is wrong."""

import importlib.util
import sys
from pathlib import Path

import pytest

for package in ("PIL", "torch", "torchmetrics", "sklearn"):
    pytest.importorskip(package, reason="the peers are not installed")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def reliability():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec = importlib.util.spec_from_file_location("reliability", BENCHMARKS / "reliability.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "reliability", module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.parametrize("score", ["FlameMeter", "FlameMetric", "evaluate"])
def test_right_or_refused_with_words(reliability, score):
    found = {case.name: reliability.outcome(case, reliability.SCORES[score]) for case in reliability.cases()}
    wanted = {case.name: reliability.CLEAR if case.faults else reliability.RIGHT for case in reliability.cases()}
    assert found == wanted


def test_the_table_tells_wrong_numbers(reliability):
    """A peer that always says 0.5 is silent wherever that is wrong."""
    found = {reliability.outcome(case, lambda _: 0.5) for case in reliability.cases()}
    assert found == {reliability.SILENT}
