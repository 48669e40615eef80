"""What the README shows works as it stands there."""

import doctest
import re
from pathlib import Path

import pytest

from flame_metric.cli import main

README = Path(__file__).parents[1] / "README.md"


def test_the_loop_runs(run_python) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    printed = run_python(program)
    assert re.search(r"^mean IoU +0\.\d{4}", printed, re.MULTILINE)
    assert " | k 2 | 76.0 ms | 15 fps | 8 classes | ignore 255 | coverage 0.87 | flame-metric 0.1.0" in printed


def test_the_table_of_the_demonstration_is_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """All but the line of this machine, and with persistence to the last digit: it comes from labels alone."""
    assert main(["demo"]) == 0
    lines = {line.split(" ")[0]: line.split()[-5:] for line in capsys.readouterr().out.splitlines()[:8]}
    text = README.read_text(encoding="utf-8")
    shown = {
        line.split(" ")[0]: line.split()[-5:] for line in text.splitlines() if line.startswith(("DeepLab", "Swift"))
    }
    assert set(shown) == {"DeepLab-R101", "DeepLab-MN", "SwiftNet-R18", "SwiftNet-R18-X"}
    for name, (latency, offset, flame, lost, persistence) in shown.items():
        assert lines[name][:2] == [latency, offset]
        assert lines[name][4] == persistence
        assert [float(value) for value in lines[name][2:4]] == pytest.approx([float(flame), float(lost)], abs=2e-3)


def test_the_questions_to_a_bank_have_these_answers() -> None:
    text = "".join(re.findall(r"```pycon\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(text, {}, "README", str(README), 0)
    assert doctest.DocTestRunner().run(test) == (0, 6)
