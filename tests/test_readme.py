"""What the README shows works as it stands there; its sessions run with those of all pages, in test_docs.py."""

import os
import re
import shlex
from pathlib import Path

import pytest

from flame_metric.cli import main
from flame_metric.scores.evaluation import Evaluation
from pages import README, texts

LOOP, TORCH = texts(README, "python")


def test_the_loop_runs(run_python) -> None:
    printed = run_python(LOOP)
    assert re.search(r"^mean IoU +0\.\d{4}", printed, re.MULTILINE)
    assert " | k 2 | 76.0 ms | 15 fps | 8 classes | ignore 255 | coverage 0.87 | flame-metric 0.1.0" in printed


def test_the_loop_in_pytorch_runs(run_python) -> None:
    """Depths grow by 0.5 a frame on average, and each is compared with that of two frames before."""
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    signature, depths = run_python(TORCH).splitlines()
    assert " | k 2 | 76.0 ms | 17 fps | 19 classes | ignore 255 | coverage 0.67 | flame-metric 0.1.0" in signature
    error, coverage = re.fullmatch(r"tensor\((.*)\) (.*)", depths).groups()
    assert float(error) == pytest.approx(1, abs=0.02)
    assert float(coverage) == pytest.approx(2 / 3)


def test_the_table_of_the_demonstration_is_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """All but the line of this machine, and with persistence to the last digit: it comes from labels alone."""
    assert main(["demo"]) == 0
    lines = {line.split(" ")[0]: line.split()[-5:] for line in capsys.readouterr().out.splitlines()[:8]}
    text = README.read_text(encoding="utf-8")
    shown = {
        line.split(" ")[0]: line.split()[-5:] for line in text.splitlines() if line.startswith(("DeepLab", "Swift"))
    }
    assert set(shown) == {"DeepLab-R101", "DeepLab-MN", "SwiftNet-R18", "SwiftNet-R18-X"}
    for name, (latency, offset, flame, streaming, persistence) in shown.items():
        assert lines[name][:2] == [latency, offset]
        assert lines[name][4] == persistence
        assert [float(value) for value in lines[name][2:4]] == pytest.approx([float(flame), float(streaming)], abs=2e-3)


@pytest.mark.skipif(
    not os.environ.get("FLAME_METRIC_TEST_DATA"), reason="FLAME_METRIC_TEST_DATA names no folder of real label maps"
)
def test_the_table_of_streams_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL", reason="reading PNG needs Pillow")
    text = README.read_text(encoding="utf-8")
    (command,) = re.findall(r"^flame-metric (evaluate osvos/ gt/ .*?)--queue 1 ", text, re.DOTALL | re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))
    root = Path(os.environ["FLAME_METRIC_TEST_DATA"], "davis2016")
    words[1:3] = [str(root / "osvos"), str(root / "gt")]
    scores, ages = {}, {}
    for queue in ("1", "unlimited"):
        assert main([*words, "--queue", queue, "--json", "-"]) == 0
        found = Evaluation.from_json(capsys.readouterr().out)
        histogram = found.streaming.statistics.staleness_histogram
        name = f"one worker, queue {queue}"
        ages[name] = f"{next(age for age, times in enumerate(histogram) if times)} to {len(histogram) - 1}"
        scores[name] = found.streaming.result.miou, found.streaming.persistence.miou
        scores |= {"static": (found.static.miou, 1.0), "FLAME": (found.flame.miou, found.persistence.miou)}
        ages |= {"static": "0", "FLAME": str(found.flame.frame_offset)}
    rows = re.findall(r"^\| ([\w ,]+) \| ([\w ]+) \| (0\.\d{4}) \| ([01]\.\d{4}) \|", text, re.MULTILINE)
    assert {row[0]: row[1] for row in rows} == ages
    assert {row[0]: row[2:] for row in rows} == {
        name: tuple(f"{score:.4f}" for score in pair) for name, pair in scores.items()
    }
