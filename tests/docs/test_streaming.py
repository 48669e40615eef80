"""The page on streams: its table of real video is what the command above it prints."""

import os
import re
import shlex
from pathlib import Path

import pytest

from flame_metric.cli import main
from flame_metric.scores.evaluation import Evaluation
from pages import DOCS


@pytest.mark.skipif(
    not os.environ.get("FLAME_METRIC_TEST_DATA"), reason="FLAME_METRIC_TEST_DATA names no folder of real label maps"
)
def test_the_table_of_streams_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("PIL", reason="reading PNG needs Pillow")
    text = (DOCS / "streaming.md").read_text(encoding="utf-8")
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
