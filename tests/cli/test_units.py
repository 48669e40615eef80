"""A latency in seconds, an interval in place of a rate: every command asks whether the unit is right."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flame_metric import FlameResult, LatencyTrace, StreamConfig, flame_score
from flame_metric.cli import main
from flame_metric.core.clock import unit_notes
from flame_metric.latency.report import latency_report
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.evaluation import Evaluation

SECONDS = "The latency is 0.076 ms, far below the interval between two frames: is the unit right? 0.076 s are 76.0 ms."
INTERVAL = "The frame rate is 0.0625 fps, a frame in 16 s: is the unit right? An interval of 0.0625 s is a rate of 16"
MICROSECONDS = "The latency is 76000 ms, more than a minute: is the unit right? 76000 us are 76.0 ms."
SLIPS = [("0.076", "16", SECONDS), ("76", "0.0625", INTERVAL), ("76000", "16", MICROSECONDS), ("26", "16", None)]
QUESTION = "is the unit right"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels as predictions, in the current folder, where networks are found too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for folder in ("preds", "labels"):
        for clip in ("a", "b"):
            (tmp_path / folder / clip).mkdir(parents=True)
            for number in range(6):
                np.save(tmp_path / folder / clip / f"{number}.npy", np.array([[number % 2, 1, 0]], np.uint8))
    return [str(tmp_path / "preds"), str(tmp_path / "labels"), "--num-classes", "2", "--before-first", "void"]


@pytest.mark.parametrize(("latency", "fps", "note"), [slip for slip in SLIPS if slip[0] != "76000"])
def test_every_command_asks(latency, fps, note, folders, capsys) -> None:
    Path("zeros_for_units.py").write_text("def build():\n    return lambda frame: frame[..., 0] * 0\n")
    Path("trace.json").write_text(LatencyTrace([float(latency)] * 30, replay="random").to_json())
    time, trace, evaluate = ["--latency-ms", latency], ["--trace", "trace.json"], ["evaluate", *folders, "--fps", fps]
    data = f"synthetic:videos=1,num_frames=4,height=32,width=64,fps={fps}"
    for command in (
        [*evaluate, *time, "--json", "a.json", "--bank", "bank.npz"],
        [*evaluate, *trace, "--json", "b.json"],
        [*evaluate, *time, "--journal", "journal"],
        ["merge", "journal", "--format", "markdown"],
        ["rescore", "bank.npz", *time, "--before-first", "void"],
        ["run", "zeros_for_units:build", data, *time, "--before-first", "void"],
        ["compare", "a.json", "b.json"],
        ["simulate", *time, "--fps", fps],
        ["simulate", "trace.json", "--fps", fps],
    ):
        assert main(command) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert (QUESTION in out) == (note is not None), command
        assert note is None or note in out
    assert [*Evaluation.from_json(Path("a.json").read_text()).flame.notes] == asked(latency, fps)
    for file in ("a.json", "b.json"):
        assert [one for one in json.loads(Path(file).read_text())["notes"] if QUESTION in one] == asked(latency, fps)
    assert main(["simulate", *time, "--fps", fps, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out).get("notes", []) == asked(latency, fps)


def asked(latency: str, fps: str) -> list[str]:
    return [*unit_notes(float(latency), Fraction(fps))]


@pytest.mark.filterwarnings("ignore::flame_metric.FlameWarning")
@pytest.mark.parametrize(("latency", "fps", "note"), SLIPS)
def test_every_result_asks(latency, fps, note) -> None:
    bank = OffsetBank(2, max_offset=2000, fps=fps)
    bank.update_sequence([[[0, 1]]], [[[0, 1]]], sequence="clip")
    trace = LatencyTrace([float(latency)] * 12)
    for result in (
        flame_score([[[0, 1]]], [[[0, 1]]], num_classes=2, latency_ms=float(latency), fps=fps),
        bank.score(latency_ms=float(latency)),
        bank.stream(trace, StreamConfig(workers=2)),
        bank.expected(trace),
    ):
        assert [one.startswith(note or "") for one in result.notes] == [True] * (note is not None)
        assert (QUESTION in result.table()) == (note is not None)
        assert json.loads(result.to_json())["scores"]["notes"] == [*result.notes]
        assert FlameResult.from_json(result.to_json()).notes == result.notes
    report = latency_report(trace, fps=fps)
    assert [one for one in report.warnings if QUESTION in one] == asked(latency, fps)
    assert (QUESTION in report.table()) == (note is not None)


def test_a_page_asks() -> None:
    report_page = pytest.importorskip("flame_metric.report.page", reason="jinja2 is not installed").report_page
    from flame_metric.jobs.evaluate import evaluate_bank  # noqa: PLC0415

    bank = OffsetBank(2, max_offset=4, fps=16)
    bank.update_sequence([[[0, 1]]] * 3, [[[0, 1]]] * 3, sequence="clip")
    assert SECONDS in report_page({"net": evaluate_bank(bank, latency_ms=0.076)})
    assert QUESTION not in report_page({"net": evaluate_bank(bank, latency_ms=76)})
