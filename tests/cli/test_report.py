"""`flame-metric report`: which files belong together, what the page then holds, and what is refused."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from flame_metric import LatencyTrace
from flame_metric.cli import main
from flame_metric.report.text import number
from flame_metric.scores.evaluation import Evaluation
from page_reading import lookup_of, read_page
from report_inputs import FPS, NAMES, VOID, Small, labels_of, predictions_of

pytest.importorskip("jinja2", reason="a report needs jinja2")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network's result and bank, as `evaluate` writes them from folders, and another's beside."""
    root = tmp_path_factory.mktemp("run")
    for wrong, network in ((0.1, "a"), (0.3, "b")):
        for clip in range(3):
            for frame in range(14):
                for folder, labels in (
                    ("labels", labels_of(clip, frame)),
                    (f"{network}/out", predictions_of(clip, frame, wrong)),
                ):
                    file = root / folder / f"clip {clip}" / f"{frame:06}.npy"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    np.save(file, labels)
        files = {name: str(root / network / f"{name}.{end}") for name, end in (("result", "json"), ("bank", "npz"))}
        options = ["--num-classes", "4", "--fps", FPS, "--ignore-index", str(VOID), "--class-names", ",".join(NAMES)]
        options += ["--latency-ms", "130", "--workers", "1", "--max-offset", "6"]
        command = ["evaluate", str(root / network / "out"), str(root / "labels"), *options]
        assert (
            main([*command, "--json", files["result"], "--bank", files["bank"], "--csv", str(root / "table.csv")]) == 0
        )
    return root


@pytest.fixture(autouse=True)
def _here(run, monkeypatch, capsys) -> None:
    monkeypatch.chdir(run)
    capsys.readouterr()


def page_of(*arguments: str):
    assert main(["report", *arguments, "-o", "page.html"]) == 0
    return read_page(Path("page.html").read_text(encoding="utf-8"))


def names_of(page):
    return [network["name"] for network in lookup_of(page)["networks"]]


def test_a_result_and_its_bank(run, capsys) -> None:
    page = page_of("a/result.json", "a/bank.npz")
    assert capsys.readouterr().out.startswith("The report is in page.html (0.")
    found = Evaluation.from_json((run / "a/result.json").read_text())
    (network,) = lookup_of(page)["networks"]
    assert network["name"] == "result"
    view = network["views"][network["cells"][0][2][0]]
    expected = [number(result.miou) for result in (found.static, found.flame)]
    assert view["cells"][2:4] == expected
    assert view["cells"][5] == number(found.streaming.result.miou)
    command = page.one("section", id="method").one("pre").text
    assert command == "flame-metric report a/result.json a/bank.npz -o page.html"


@pytest.mark.slow
def test_files_of_one_name_are_one_network() -> None:
    assert names_of(page_of("X=a/result.json", "Y=b/result.json", "Y=b/bank.npz", "X=a/bank.npz")) == ["X", "Y"]
    assert names_of(page_of("a/result.json", "b/result.json", "b/bank.npz", "a/bank.npz")) == ["a", "b"]
    page = page_of("a/result.json", "b/result.json")
    assert names_of(page) == ["a", "b"]
    assert len(lookup_of(page)["stops"]) == 6 * 60 // 10 + 1  # of their curves


def test_a_bank_alone_takes_its_latency_from_the_command_line() -> None:
    page = page_of("a/bank.npz", "--latency-ms", "70", "--workers", "2", "--hardware", "a board")
    evaluation = Small(0.1).evaluation(70)
    (network,) = lookup_of(page)["networks"]
    view = network["views"][network["cells"][0][2][0]]
    assert view["cells"][:2] == ["70.0 ms", "2"]
    assert view["cells"][3] == number(evaluation.flame.miou)
    assert view["command"].endswith("--workers 2 --queue 1")
    assert "a board" in page.one("article", class_="flame").text


@pytest.mark.slow
def test_a_trace_is_replayed(run) -> None:
    trace = LatencyTrace([20, 30, 50], replay="random")
    (run / "trace.json").write_text(trace.to_json())
    (run / "trace.csv").write_text(trace.to_csv())
    page = page_of("a/bank.npz", "trace.json")
    assert "3 latencies at random, seed 0" in page.one("article", class_="streaming").text
    assert "--trace TRACE" in lookup_of(page)["networks"][0]["views"][0]["command"]
    page = page_of("net=a/bank.npz", "net=trace.csv", "--replay", "random", "--seed", "5")
    assert "3 latencies at random, seed 5" in page.one("article", class_="streaming").text


def test_options_of_the_page(capsys) -> None:
    page = page_of("a/result.json", "--title", "Tuesday <run>")
    assert page.one("h1").text == "Tuesday <run>"
    capsys.readouterr()
    assert main(["report", "a/result.json", "-o", "-"]) == 0
    assert capsys.readouterr().out.startswith("<!doctype html>\n")


def test_the_command_is_that_of_the_process(run, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["flame-metric", "report", "a/result.json", "-o", "own name.html"])
    assert main() == 0
    page = read_page((run / "own name.html").read_text())
    assert page.one("section", id="method").one("pre").text == "flame-metric report a/result.json -o 'own name.html'"


def test_frames(run, capsys) -> None:
    pytest.importorskip("PIL", reason="pictures need Pillow")
    data = "synthetic:videos=2,num_frames=6,height=32,width=64"
    (run / "dull.py").write_text("def net():\n    return lambda frame: frame[..., 0] // 32\n")
    written = ["--label-maps", "maps", "--json", "s.json", "--bank", "s.npz"]
    assert main(["run", "dull:net", data, "--latency-ms", "70", *written]) == 0
    frames = ["--frames", data, "--label-maps", "maps"]
    page = page_of("s.json", "s.npz", *frames, "--clip", "synthetic-1", "--max-frames", "4")
    assert page.one("section", id="frames").one("h2").text == "On screen: synthetic-1"
    assert len(lookup_of(page)["clip"]["frames"]) == 4
    assert main(["report", "s.json", "--frames", data]) == 2
    assert "--frames and --label-maps are not given together" in capsys.readouterr().err
    assert main(["report", "s.json", "--frames", data, "--label-maps", "maps", "--label-maps", "s=maps"]) == 2
    assert "--label-maps is given twice for s" in capsys.readouterr().err
    assert main(["report", "s.json", "--frames", data, "--label-maps", "other=maps"]) == 2
    assert "`label_maps` has 'other', expected some of s" in capsys.readouterr().err
    two = ["first=s.json", "second=s.json", "--frames", data, "--label-maps", "maps"]
    assert main(["report", *two]) == 2
    assert "expected NAME=DIR with one of first, second" in capsys.readouterr().err
    assert main(["report", "s.json", "--frames", data, "--label-maps", "nowhere"]) == 3
    assert "nowhere: holds no label map of synthetic-0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["a/bank.npz"],
            2,
            "bank is only a bank, which knows no latency: expected its result too, under the same name",
        ),
        (["a/result.json", "x=b/bank.npz"], 2, "x is only a bank"),
        (
            ["a/result.json", "--latency-ms", "5"],
            2,
            "--latency-ms is given, but each network has a result that says it",
        ),
        (["a/result.json", "--hardware", "x"], 2, "--hardware is given, but each network has a result"),
        (["a/result.json", "--workers", "2"], 2, "a stream is described, but each network has a result with one"),
        (["a/result.json", "--replay", "call"], 2, "--replay call is given without a trace"),
        (["x=a/result.json", "x=b/result.json"], 2, "x has two results, b/result.json is one of them"),
        (["a/result.json", "b/bank.npz"], 4, "the bank of result gives other counts than its result"),
        (["nothing.json"], 3, "nothing.json: cannot be read: No such file"),
        (["other.json"], 3, "other.json: is neither a result, a bank nor a trace, expected what --json"),
        (["table.csv"], 3, "table.csv: is neither a result, a bank nor a trace"),
        (["bytes.json"], 3, "bytes.json: is not text"),
        (["only.json"], 2, "only is only a trace, expected a result or a bank of the same name"),
        (["broken.npz"], 4, "broken.npz: is not a 'flame-metric bank 1' file"),
        (["a/result.json", "-o", "a/result.json"], 2, "--output a/result.json is one of the files to read"),
        (["X=a/result.json", "-o", "b/../a/result.json"], 2, "is one of the files to read"),
        (["a/result.json", "-o", "nowhere/page.html"], 2, "nowhere/page.html: cannot be written"),
        (
            ["a/result.json", "a/bank.npz", "slow.json"],
            2,
            "the trace of result has a median of 999.0 ms, but its result",
        ),
    ],
)
def test_errors(arguments, code, message, run, capsys) -> None:
    (run / "other.json").write_text(json.dumps({"format": "something else"}))
    (run / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (run / "broken.npz").write_bytes(b"PK\3\4 and no more")
    (run / "only.json").write_text(LatencyTrace([5]).to_json())
    (run / "slow.json").write_text(LatencyTrace([999], replay="random").to_json())
    assert main(["report", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
