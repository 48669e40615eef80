"""``flame-metric simulate`` as a user meets it: drawing, table, JSON, exit codes, messages."""

import json
from pathlib import Path
from textwrap import dedent

import pytest

from flame_metric import LatencyTrace, StreamConfig, simulate_stream, stream_timeline
from flame_metric.cli import main
from flame_metric.latency.stream_report import stream_record, stream_table

RATE = ["--fps", "50/3"]


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.json"
    file.write_text(LatencyTrace([50, 50, 200, 50, 50, 50, 50, 50, 50, 50]).to_json())
    return file


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--latency-ms", "90", *RATE, "--frames", "6"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out == dedent("""\
        6 frames at 50/3 fps | latency 90.0 ms | 1 worker, queue 1

        frame       0     1     2     3     4     5
        ms          0     60    120   180   240   300
        worker 1    0>>>>>>>>1>>>>>>>>3>>>>>>>>4>>>>>>>>
        dropped                 2
        on screen   -     -     0     1     1     3
        frames old              2     2     3     2

        not drawn: 1 run(s) that start later, of frame(s) 5

                               this stream   fixed offset k=2
        -----------------------------------------------------
        runs                             5
        dropped frames                   1
        overruns                         5
        workers busy at once             1
        coverage                    0.6667             0.6667
        mean frames old             2.2500             2.0000
        most frames old                  3                  2
        -----------------------------------------------------
        nothing yet                      2                  2
        2 frames old                     3                  4
        3 frames old                     1                  0

        fixed offset: an inference on every frame, k = ceil(90.0 ms / 60.0 ms)
        overruns: inferences that took longer than the interval to the next frame
        """)


def test_stream_options_reach_the_stream(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--workers", "2", "--queue", "unlimited", "--stride", "2", "--tie", "strict", "--show", "last_finished"]
    extra = ["--extra-latency-ms", "5"]
    assert main(["simulate", "--latency-ms", "150", *RATE, "--frames", "9", *options, *extra]) == 0
    config = StreamConfig(workers=2, queue=None, stride=2, tie="strict", show="last_finished", extra_latency_ms=5)
    schedule = simulate_stream(150, config, num_frames=9, fps="50/3")
    out = capsys.readouterr().out
    assert stream_timeline(schedule) in out
    assert stream_table(schedule, LatencyTrace([150]), fps="50/3").render() in out
    assert out.startswith("9 frames at 50/3 fps | latency 150.0 ms | 2 workers, queue unlimited, stride 2, strict ties")


def test_tail(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--latency-ms", "90", *RATE, "--frames", "10", "--policy", "tail"]) == 0
    assert "on screen   -     -     0     0     2     2     4     4     6     6\n" in capsys.readouterr().out


def test_a_trace_serves_as_many_frames_as_it_can(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(trace), *RATE]) == 0
    out = capsys.readouterr().out
    assert out.startswith("10 frames at 50/3 fps | latency 50.0 ms (median of 10, by call) | 1 worker, queue 1\n")
    assert "on screen   -     0     1     1     1     1     2     6     7     8\n" in out
    assert main(["simulate", str(trace), *RATE, "--replay", "frame"]) == 0
    assert capsys.readouterr().out.startswith("10 frames ")
    assert main(["simulate", str(trace), *RATE, "--replay", "random", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("20 frames ")
    drawn = simulate_stream(
        LatencyTrace.from_json(trace.read_text()).replayed("random"), num_frames=20, fps="50/3", seed=3
    )
    assert stream_timeline(drawn) in out


def test_twenty_frames_without_a_trace_or_with_a_long_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--latency-ms", "0", *RATE]) == 0
    assert capsys.readouterr().out.startswith("20 frames ")
    (tmp_path / "t.csv").write_text("latency_ms\n" + "70.5\n" * 50)
    assert main(["simulate", str(tmp_path / "t.csv"), *RATE]) == 0
    assert capsys.readouterr().out.startswith("20 frames at 50/3 fps | latency 70.5 ms (median of 50, by call) |")


@pytest.mark.parametrize("scale", ["1/2", "0.5"])
def test_another_device(scale: str, trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(trace), *RATE, "--scale", scale]) == 0
    assert "latency 25.0 ms (median of 10, by call)" in capsys.readouterr().out
    assert main(["simulate", "--latency-ms", "180", *RATE, "--frames", "10", "--scale", scale]) == 0
    assert "on screen   -     -     0     1     1     3     4     4     6     7\n" in capsys.readouterr().out


def test_a_camera_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "camera.csv"
    file.write_bytes(b"\xef\xbb\xbfframe,arrival_ms\r\n0,0\r\n1,60\r\n2,121.5\r\n3,600\r\n")  # as spreadsheets save it
    assert main(["simulate", "--latency-ms", "70", "--arrivals", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("4 frames at times of their own | latency 70.0 ms | 1 worker, queue 1\n")
    assert stream_timeline(simulate_stream(70, arrivals_ms=[0, 60, 121.5, 600])) in out
    assert "k = ceil(70.0 ms / 61.5 ms, the median interval)" in out


def test_the_first_frames_are_drawn_and_all_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "--latency-ms", "195", *RATE, "--frames", "3000"]
    assert main([*arguments, "--draw", "5"]) == 0
    out = capsys.readouterr().out
    assert "\ndrawn: the first 5 of 3,000 frames\n" in out
    assert "\nruns                           924\n" in out  # every 195 ms of the 179.94 s until the last frame, and it
    assert main(arguments) == 0
    assert "\ndrawn: the first 60 of 3,000 frames\n" in capsys.readouterr().out


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("300", 100), ("20", 80)])
def test_lines_fit_the_terminal(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["simulate", "--latency-ms", "195", *RATE, "--frames", "40"]) == 0
    schedule = simulate_stream(195, num_frames=40, fps="50/3")
    assert stream_timeline(schedule, width=width) in capsys.readouterr().out


# ── JSON ──


def test_json_on_standard_output(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--replay", "random", "--seed", "5", "--workers", "unlimited", "--frames", "12"]
    assert main(["simulate", str(trace), *RATE, *options, "--json", "-"]) == 0
    replayed = LatencyTrace.from_json(trace.read_text()).replayed("random")
    config = StreamConfig(workers=None)
    schedule = simulate_stream(replayed, config, num_frames=12, fps="50/3", seed=5)
    expected = stream_record(schedule, replayed, config, fps="50/3", seed=5)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(expected))


def test_json_beside_the_drawing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "stream.json"
    assert main(["simulate", "--latency-ms", "195", *RATE, "--frames", "10", "--json", str(file)]) == 0
    assert "worker 1" in capsys.readouterr().out
    record = json.loads(file.read_text())
    assert record["labels"]["source"] == [-1, -1, -1, -1, 0, 0, 0, 3, 3, 3]
    assert record["runs"]["start_ns"] == [0, 195_000_000, 390_000_000, 585_000_000]
    assert record["latency_median_ns"] == 195_000_000


# ── what is refused ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([*RATE], "no latency is given, expected TRACE (a file) or --latency-ms"),
        ([*RATE, "TRACE", "--latency-ms", "5"], "TRACE and --latency-ms are both given, expected one of the two"),
        (["--latency-ms", "5"], "no frame rate is given, expected --fps, or --arrivals"),
        (["--latency-ms", "-5", *RATE], "`latency_ms` is -5.0, expected milliseconds >= 0"),
        (["--latency-ms", "nan", *RATE], "`latency_ms` is nan, expected milliseconds >= 0"),
        (["--latency-ms", "inf", *RATE], "`latency_ms` is inf, expected milliseconds >= 0"),
        (["--latency-ms", "5", "--fps", "0"], "`fps` is 0, expected a rate above 0"),
        (["--latency-ms", "5", "--fps", "fast"], "`fps` is 'fast', expected a rate above 0"),
        (["--latency-ms", "5", *RATE, "--frames", "-1"], "`num_frames` is -1, expected a whole number of frames >= 0"),
        (["--latency-ms", "5", *RATE, "--draw", "0"], "`draw` is 0, expected a whole number of frames >= 1"),
        (["--latency-ms", "5", *RATE, "--scale", "0"], "`factor` is 0, expected a number above 0"),
        (["--latency-ms", "5", *RATE, "--scale", "half"], "`factor` is 'half', expected a number"),
        (["--latency-ms", "5", *RATE, "--replay", "call"], "--replay is given with --latency-ms, expected it with"),
        (["--latency-ms", "5", *RATE, "--workers", "0"], "`workers` is 0, expected a whole number >= 1"),
        (["--latency-ms", "5", *RATE, "--policy", "tail", "--workers", "2"], "`policy` is 'tail' with 2 workers"),
        (["--latency-ms", "5", *RATE, "--arrivals", "a.csv"], "--arrivals is given beside --fps or --frames"),
        (["--latency-ms", "5", "--frames", "3", "--arrivals", "a.csv"], "--arrivals is given beside --fps or --frames"),
        (["--latency-ms", "5", *RATE, "--json", "nowhere/a.json"], "its folder does not exist"),
        (["TRACE", *RATE, "--frames", "30"], "`latency` is a trace of 10 samples, but the stream reaches call 10"),
        (
            ["TRACE", *RATE, "--frames", "11", "--replay", "frame"],
            "a trace of 10 samples, but the stream reaches frame 10",
        ),
    ],
)
def test_wrong_usage(options: list[str], message: str, trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *(str(trace) if option == "TRACE" else option for option in options)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("flame-metric: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_tail_needs_regular_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("arrival_ms\n0\n60\n")
    arguments = ["simulate", "--latency-ms", "5", "--arrivals", str(tmp_path / "a.csv"), "--policy", "tail"]
    assert main(arguments) == 2
    assert "`policy` is 'tail' with `arrivals_ms`, expected regular arrivals" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--policy=eager", "--workers=many", "--tie=late", "--frames=1.5", "--unknown"])
def test_options_that_argparse_refuses(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["simulate", "--latency-ms", "5", *RATE, option])
    assert raised.value.code == 2
    assert option.split("=", maxsplit=1)[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe\x00", "is not text"),
        (b'{"format": "flame-metric latency tr', "is not a 'flame-metric latency trace 1' record"),
        (b'{"format": "another"}', "this is a record of format 'another', expected 'flame-metric latency trace 1'"),
        (b"ms\n5\n", "the CSV has the columns ['ms'], expected one named latency_ms"),
        (b"latency_ms\n5\n-1\n", "`latency_ms in line 3` is '-1'"),
        (b"latency_ms\n5\nnan\n", "`latency_ms in line 3` is 'nan'"),
        (b"", "expected one named latency_ms"),
    ],
)
def test_damaged_traces(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "trace"
    if content is not None:
        file.write_bytes(content)
    assert main(["simulate", str(file), *RATE]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"flame-metric: error: {file}: ")
    assert message in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        ("arrival_ms\n0\n120\n60\n", "`arrival_ms` is 60.0 ms at 2 after 120.0 ms, expected ascending times"),
        ("arrival_ms\n0\n0\n", "`arrival_ms` is 0.0 ms at 1 after 0.0 ms, expected ascending times"),
        ("arrival_ms\n0\n-5\n", "`arrival_ms in line 3` is '-5'"),
        ("arrival_ms\nnan\n", "`arrival_ms in line 2` is 'nan'"),
        ("arrival_ms\n5000000000000\n", "`arrival_ms` is 5000000000000, expected milliseconds >= 0"),
        ("latency_ms\n0\n", "the CSV has the columns ['latency_ms'], expected one named arrival_ms"),
        ("frame,arrival_ms\n0\n", "`arrival_ms in line 2` is None"),
    ],
)
def test_damaged_arrivals(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "camera.csv"
    if content is not None:
        file.write_text(content)
    assert main(["simulate", "--latency-ms", "5", "--arrivals", str(file)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"flame-metric: error: {file}: ")
    assert message in err


def test_help_shows_how_to_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["simulate", "--help"])
    assert raised.value.code == 0
    out = capsys.readouterr().out
    assert "how to read it:" in out
    assert "flame-metric simulate --latency-ms 76 --fps 15\n" in out
