"""Streams, curves and banks on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from flame_metric import LatencyTrace, OffsetBank, StreamConfig
from flame_metric.cli import main
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.scores.evaluation import Evaluation


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """A bar that moves by one of eight pixels a frame; the network sees it right."""
    for folder in ("preds", "labels"):
        for clip in ("a", "b"):
            (tmp_path / folder / clip).mkdir(parents=True)
            for number in range(6):
                bar = np.zeros((1, 8), np.uint8)
                bar[0, number : number + 2 + (clip == "b")] = 1
                np.save(tmp_path / folder / clip / f"{number}.npy", bar)
    return [str(tmp_path / "preds"), str(tmp_path / "labels"), "--num-classes", "2", "--fps", "10"]


@pytest.fixture
def bank(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    file = str(tmp_path / "bank.npz")
    assert main(["evaluate", *folders, "--frame-offset", "0", "--max-offset", "4", "--bank", file]) == 0
    capsys.readouterr()
    return file


@pytest.fixture
def trace(tmp_path: Path) -> str:
    file = tmp_path / "trace.json"
    file.write_text(LatencyTrace([120, 150, 170, 130, 140, 150]).to_json())
    return str(file)


def test_evaluate_with_a_stream_a_curve_and_a_bank(folders, trace, tmp_path, capsys) -> None:
    options = ["--trace", trace, "--workers", "1", "--queue", "1", "--max-offset", "3", "--bank", f"{tmp_path}/b.npz"]
    assert main(["evaluate", *folders, *options]) == 0
    out = capsys.readouterr().out
    assert "static k=0   FLAME k=2   streaming   persistence k=2   persistence, streaming" in out
    # 0 runs until 120, 1 until 270, 2 until 440, 4 until 570, then 5: frame 3 is dropped, in both clips
    assert "Stream of 1 worker, queue 1: 10 frames run, 2 dropped, 10 overruns (longer than a frame interval)." in out
    assert "FLAME 0.289 | k 2 | 145.0 ms | 10 fps" in out
    assert f"The counts at offsets 0..3 are in {tmp_path}/b.npz: flame-metric rescore {tmp_path}/b.npz ..." in out
    assert OffsetBank.load(tmp_path / "b.npz").max_offset == 3


def test_rescore_answers_as_the_library_does(bank, trace, capsys) -> None:
    options = ["--trace", trace, "--scale", "0.5", "--queue", "unlimited", "--workers", "2", "--hardware", "faster"]
    assert main(["rescore", bank, *options, "--json", "-"]) == 0
    found = Evaluation.from_json(capsys.readouterr().out)
    expected = evaluate_bank(
        OffsetBank.load(bank),
        trace=LatencyTrace.from_json(Path(trace).read_text()).scaled("0.5"),
        stream=StreamConfig(workers=2, queue=None),
        hardware="faster",
    )
    assert found == expected
    assert found.flame.frame_offset == 1


@pytest.mark.parametrize("camera", [["--fps", "10"], ["--every", "2"]])
def test_rescore_with_another_camera(camera, bank, capsys) -> None:
    options = ["--latency-ms", "100", "--recorded-fps", "20", "--max-offset", "2", "--target-miou", "0.01"]
    assert main(["rescore", bank, *options, *camera]) == 0
    out = capsys.readouterr().out
    assert "| k 1 | 100.0 ms | 10 fps | frames 0, 2, 4, .. of 20 fps |" in out
    assert "\n2      200.0 " in out
    assert "To reach a mean IoU of 0.01 at 10 fps you have" in out


def test_rescore_of_a_camera_is_an_evaluation_of_the_thinned_folders(bank, folders, capsys) -> None:
    """Not of the same frames in slow motion: at 5 fps a frame is two recorded frames."""
    assert main(["rescore", bank, "--latency-ms", "150", "--fps", "5", "--json", "-"]) == 0
    found = Evaluation.from_json(capsys.readouterr().out)
    for folder in folders[:2]:
        for file in Path(folder).glob("*/*[135].npy"):
            file.unlink()
    options = [*folders[:5], "5", "--step", "2", "--latency-ms", "150", "--json", "-"]
    options[4] = "--fps"
    assert main(["evaluate", *options]) == 0
    honest = Evaluation.from_json(capsys.readouterr().out)
    for one, other in zip(found.results.values(), honest.results.values(), strict=True):
        assert one.counts.tolist() == other.counts.tolist()
    assert found.flame.frame_offset == honest.flame.frame_offset == 1


def test_scale_of_a_constant_latency(bank, capsys) -> None:
    assert main(["rescore", bank, "--latency-ms", "300", "--scale", "1/3", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["flame"]["config"]["latency_ms"] == 100


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("0.5", "To reach a mean IoU of 0.5 at 10 fps you have 100.0 ms."),
        ("0.1", "To reach a mean IoU of 0.1 at 10 fps you have 400.0 ms or more: the bank ends there."),
    ],
)
def test_latency_budget(bank, target, message, capsys) -> None:
    assert main(["rescore", bank, "--latency-ms", "1", "--target-miou", target]) == 0
    assert capsys.readouterr().out.endswith(message + "\n")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--latency-ms", "1000"], 2, "`max_offset` of this bank is 4, but an offset of 10 frames is asked for"),
        (["--latency-ms", "-1"], 2, "`latency_ms` is -1"),
        (["--latency-ms", "nan"], 2, "`latency_ms` is nan"),
        (["--latency-ms", "90", "--workers", "0"], 2, "`workers` is 0"),
        (["--latency-ms", "90", "--policy", "tail", "--workers", "2"], 2, "`policy` is 'tail' with 2 workers"),
        (["--latency-ms", "90", "--replay", "call"], 2, "--replay call is given without --trace"),
        (["--latency-ms", "90", "--scale", "0"], 2, "`factor` is 0"),
        (["--latency-ms", "90", "--every", "0"], 2, "`every` is 0"),
        (["--latency-ms", "90", "--fps", "none"], 2, "`fps` is 'none'"),
        (["--latency-ms", "90", "--fps", "20"], 2, "`fps` is 20, but this bank of 10 fps answers for 10, 5,"),
        (
            ["--latency-ms", "90", "--fps", "4"],
            2,
            "answers for 10, 5, 10/3, 2.5, 2, 5/3 fps: cameras that take each m-th",
        ),
        (["--latency-ms", "90", "--fps", "5", "--every", "2"], 2, "`fps` is given beside `every` 2"),
        (["--latency-ms", "90", "--recorded-fps", "0"], 2, "`recorded_fps` is 0"),
        (["--frame-offset", "1", "--workers", "1"], 2, "`stream` is given with `frame_offset`"),
        (["--frame-offset", "1", "--scale", "2"], 2, "--scale is given with --frame-offset"),
        (["--latency-ms", "90", "--target-miou", "65"], 2, "--target-miou is 65, expected a mean IoU 0..1"),
        (["--latency-ms", "90", "--target-miou", "nan"], 2, "--target-miou is nan, expected a mean IoU 0..1"),
        (["--latency-ms", "90", "--max-offset", "100"], 2, "but an offset of 100 frames is asked for"),
        (["--trace", "no/such/file"], 3, "no/such/file: cannot be read: No such file"),
        (["--trace", __file__], 3, "the CSV has the columns"),
    ],
)
def test_what_rescore_refuses(bank, options, code, message, capsys) -> None:
    assert main(["rescore", bank, *options]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_damaged_traces_and_banks(bank, trace, tmp_path, capsys) -> None:
    Path(trace).write_text('{"format": "flame-metric latency trace 1"}')
    assert main(["rescore", bank, "--trace", trace]) == 3
    assert f"{trace}: " in capsys.readouterr().err
    Path(bank).write_text("no bank")
    assert main(["rescore", bank, "--latency-ms", "1"]) == 4
    assert f"{bank}: is not a 'flame-metric bank 1' file" in capsys.readouterr().err
    assert main(["rescore", str(tmp_path / "none.npz"), "--latency-ms", "1"]) == 3


def test_a_trace_shorter_than_the_clips(folders, trace, capsys) -> None:
    Path(trace).write_text("latency_ms\n20\n30\n")
    assert main(["evaluate", *folders, "--trace", trace]) == 2
    assert "`latency` is a trace of 2 samples, but the stream of sequence 'a' reaches call 2" in capsys.readouterr().err
    assert main(["evaluate", *folders, "--trace", trace, "--replay", "random"]) == 0


@pytest.mark.parametrize("option", ["--bank", "--json", "--csv"])
def test_outputs_that_cannot_be_written_are_refused_first(option, folders, tmp_path, capsys) -> None:
    assert main(["evaluate", *folders, "--latency-ms", "1", option, str(tmp_path / "none" / "file")]) == 2
    assert "its folder does not exist" in capsys.readouterr().err


def test_a_bank_does_not_go_to_standard_output(folders, capsys) -> None:
    assert main(["evaluate", *folders, "--latency-ms", "1", "--bank", "-"]) == 2
    assert "--bank is -, expected a file" in capsys.readouterr().err


def test_a_wrong_number_of_workers_is_wrong_usage(folders, capsys) -> None:
    with pytest.raises(SystemExit) as error:
        main(["evaluate", *folders, "--latency-ms", "1", "--workers", "many"])
    assert error.value.code == 2
    assert "'many' is neither a number nor 'unlimited'" in capsys.readouterr().err
