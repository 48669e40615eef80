"""The command line as a user meets it: exit codes, streams, messages."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flame_metric import FlameResult, OffsetBank
from flame_metric.cli import main
from flame_metric.cli.console import progress
from flame_metric.jobs.evaluate import evaluate_folders
from flame_metric.scores.evaluation import Evaluation
from progress import without_progress

A, B, C = [[0, 0, 1]], [[0, 1, 1]], [[1, 1, 1]]


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    for folder, maps in (("preds", (A, A, A)), ("labels", (A, B, C))):
        (tmp_path / folder / "s").mkdir(parents=True)
        for number, labels in enumerate(maps):
            np.save(tmp_path / folder / "s" / f"{number}.npy", np.array(labels, np.uint8))
    return [str(tmp_path / "preds"), str(tmp_path / "labels")]


OPTIONS = ["--num-classes", "2", "--fps", "10"]


def test_table_is_printed(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *folders, *OPTIONS, "--latency-ms", "100", "--hardware", "GTX 1080 Ti"]) == 0
    out, err = capsys.readouterr()
    assert "mean IoU           0.5000      0.3250            0.4667" in out
    assert out.endswith(
        "FLAME 0.325 | k 1 | 100.0 ms | 10 fps | 2 classes | coverage 0.67 | GTX 1080 Ti | flame-metric 0.1.0\n"
    )
    assert err == ""


def test_json_on_standard_output(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "1", "--json", "-", "--jobs", "2"]) == 0
    text = capsys.readouterr().out
    expected = evaluate_folders(*folders, num_classes=2, fps=10, frame_offset=1)
    assert Evaluation.from_json(text) == expected
    assert json.loads(text)["flame"]["scores"]["miou"] == expected.flame.miou


@pytest.mark.parametrize("format", ["text", "markdown", "latex", "csv"])
def test_the_table_in_another_format(format: str, folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "1", "--format", format]) == 0
    expected = evaluate_folders(*folders, num_classes=2, fps=10, frame_offset=1)
    assert capsys.readouterr().out == expected.table(format)


def test_csv_on_standard_output(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    names = ["--class-names", "=road, car"]
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "1", "--csv", "-", *names]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["class"] for row in rows] == ["'=road", "car", "mean IoU", "coverage", "valid pixels", "label maps"]
    assert float(rows[0]["FLAME k=1"]) == 1 / 4
    assert float(rows[2]["FLAME k=1"]) == (1 / 4 + 2 / 5) / 2


def test_files_beside_the_table(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ["--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv")]
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "1", *outputs]) == 0
    assert capsys.readouterr().out.startswith("class")
    record = json.loads((tmp_path / "a.json").read_text())
    assert FlameResult.from_dict(record["flame"]).num_pairs == 2
    assert (tmp_path / "a.csv").read_text().startswith('"class","static k=0","FLAME k=1","persistence k=1"\n')


def test_maps_and_affixes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, name, labels in (("p", "x_1", [[0, 5]]), ("l", "1_L", [[7, 8]])):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / f"{name}.npy", np.array(labels, np.uint8))
    arguments = ["evaluate", str(tmp_path / "p"), str(tmp_path / "l"), *OPTIONS, "--frame-offset", "0"]
    affixes = ["--pred-prefix", "x_", "--label-suffix", "_L"]
    assert main([*arguments, *affixes, "--pred-map", "0:0,*:1", "--label-map", "7:0,8:1"]) == 0
    assert "mean IoU           1.0000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--frame-offset", "-1"], 2, "`frame_offset` is -1, expected a whole number of frames >= 0"),
        (["--latency-ms", "nan"], 2, "`latency_ms` is nan, expected milliseconds >= 0"),
        (["--frame-offset", "0", "--json", "nowhere/a.json"], 2, "its folder does not exist"),
        (["--frame-offset", "0", "--json", "-", "--csv", "-"], 2, "both write to -"),
        (["--frame-offset", "0", "--json", "."], 2, "cannot be written: it is a folder"),
        (["--frame-offset", "0", "--json", "a", "--csv", "./a"], 2, "--json and --csv both write to ./a"),
        (["--frame-offset", "0", "--jobs", "0"], 2, "`jobs` is 0"),
        (["--frame-offset", "0", "--pred-map", "0:0"], 3, "label(s) [1] (1 pixels) are not in the label map"),
        (["--frame-offset", "0", "--label-suffix", "_L"], 3, "holds no label maps whose names begin"),
    ],
)
def test_errors_are_one_line(
    options: list[str], code: int, message: str, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *folders, *OPTIONS, *options]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("flame-metric: error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--latency-ms", "1", "--frame-offset", "1"],
        ["--latency-ms", "many"],
        ["--frame-offset", "0", "--pred-map", "0"],
        ["--frame-offset", "0", "--unknown"],
    ],
)
def test_wrong_usage_exits_with_2(options: list[str], folders: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["evaluate", *folders, *OPTIONS, *options])
    assert raised.value.code == 2


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none")
    assert main(["evaluate", missing, missing, *OPTIONS, "--frame-offset", "0", "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_warning_is_one_line(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for folder in folders:
        (Path(folder) / "t").mkdir()
        np.save(Path(folder) / "t" / "0.npy", np.array(A, np.uint8))
        np.save(Path(folder) / "t" / "1.npy", np.array(A, np.uint8))
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "2"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "flame-metric: warning: 1 of 2 sequence(s) have no two frames 2 frame(s) of step 1 apart: t; they add nothing "
        "to FLAME"
    ]


def test_no_pair_at_all_is_an_error(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "3"]) == 3
    assert "1 of 1 sequence(s) have no two frames 3 frame(s) of step 1 apart: s; a smaller" in capsys.readouterr().err


def test_interrupted(monkeypatch: pytest.MonkeyPatch, folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flame_metric.cli.evaluate.evaluate_folders", interrupt)
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "0"]) == 130
    assert capsys.readouterr().err == ("flame-metric: interrupted: the command is incomplete, its results are lost\n")


def test_version_and_module() -> None:
    command = [sys.executable, "-m", "flame_metric", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "flame-metric 0.1.0\n"


def test_a_closed_pipe_is_no_error(folders: list[str]) -> None:
    options = [*folders, *OPTIONS, "--frame-offset", "0", "--json", "-"]
    command = [sys.executable, "-m", "flame_metric", "evaluate", *options]
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(write_end)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")


@pytest.mark.usefixtures("usual_patience")
def test_progress_is_silent_for_a_second_and_then_sparing(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.5, 1.5, 2.0, 12.0])
    with progress("frames", clock=lambda: next(times)) as step:
        for done in range(1, 5):
            step(done, 4)
    assert capsys.readouterr().err == "frames: 2 of 4 (50%)\nframes: 4 of 4 (100%)\n"


@pytest.mark.usefixtures("usual_patience")
def test_progress_shows_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 2.0])
    with progress("steps", clock=lambda: next(times)) as step:
        step(1, 4, "loss 0.5")
    assert capsys.readouterr().err == "steps: 1 of 4 (25%), loss 0.5\n"


@pytest.mark.usefixtures("usual_patience")
def test_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    times = iter([0.0, 0.5, 2.0])
    with progress("frames", clock=lambda: next(times)) as step:
        step(1, 2)
        assert capsys.readouterr().err == ""
        step(2, 2, "[loss] 0.5")
    shown = capsys.readouterr().err
    assert "frames" in shown
    assert "[loss] 0.5" in shown


def test_control_characters_do_not_reach_the_terminal(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "0", "--class-names", "\x1b[31mroad,car"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_png_without_pillow_names_the_extra(tmp_path: Path, run_python) -> None:
    for folder in ("p", "l"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"")
    arguments = ["evaluate", f"{tmp_path}/p", f"{tmp_path}/l", *OPTIONS, "--frame-offset", "0"]
    program = (
        "import sys; sys.stderr = sys.stdout; sys.modules['PIL'] = None\n"
        f"from flame_metric.cli import main; print(main({arguments}))"
    )
    assert run_python(program) == (
        "flame-metric: error: reading image files needs Pillow: pip install 'flame-metric[cli]'\n2"
    )


def test_outputs_are_written_though_one_of_them_cannot_be(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, content: bytes) -> None:
        if path.suffix == ".csv":
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("flame_metric.cli.output.write_whole", full)
    files = {name: str(tmp_path / f"result.{name}") for name in ("json", "csv", "bank")}
    words = [word for name, file in files.items() for word in (f"--{name}", file)]
    assert main(["evaluate", *folders, *OPTIONS, "--frame-offset", "1", *words]) == 3
    out, err = capsys.readouterr()
    assert "mean IoU           0.5000" in out
    assert err == f"flame-metric: error: {files['csv']}: cannot be written: No space left on device\n"
    assert Evaluation.from_json(Path(files["json"]).read_text()).flame.num_pairs == 2
    assert len(OffsetBank.load(files["bank"]).sequences) == 1


def test_an_output_is_replaced_whole_or_not_at_all(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "result.json"
    file.write_text("the result of yesterday")
    arguments = ["evaluate", *folders, *OPTIONS, "--frame-offset", "1", "--json", str(file)]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", full)
        assert main(arguments) == 3
    out, err = capsys.readouterr()
    assert "result.json: cannot be written: No space left on device" in err
    assert "mean IoU" in out  # it is not lost
    assert file.read_text() == "the result of yesterday"
    assert [path.name for path in tmp_path.glob(".result*")] == []
    assert main(arguments) == 0
    assert Evaluation.from_json(file.read_text()).flame.num_pairs == 2


def test_a_terminal_without_unicode(folders: list[str]) -> None:
    options = [*folders, *OPTIONS, "--frame-offset", "0", "--class-names", "é,道路"]
    command = [sys.executable, "-m", "flame_metric", "evaluate", *options]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert "\\xe9" in done.stdout
