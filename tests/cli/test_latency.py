"""The command that measures: networks of all kinds, what is written where, and one line for whatever is wrong."""

import json
import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from flame_metric import LatencyTrace, latency_report, measure_latency
from flame_metric.cli import latency, main
from flame_metric.cli.console import progress
from flame_metric.latency.timers import HostTimer

NETWORKS = """
import numpy as np

seen = []

def classifier():
    def classify(image):
        seen.append(image)
        return image.argmax(axis=0)
    return classify

class Family:
    @staticmethod
    def build():
        return lambda image: image

def failing():
    raise ValueError("no weights here\\nand a second line")

def leaving():
    raise SystemExit("usage: train.py")

def fussy():
    def run(image):
        raise RuntimeError(f"cannot take {image.shape}\\ndetails")
    return run

def asynchronous():
    async def run(image):
        return image
    return run

def generating():
    def run(image):
        yield image
    return run

def starting():
    import threading
    return lambda image: threading.Thread(target=image.sum)

def silent():
    return lambda image: None

def in_place():
    return lambda image: (image.sort(), image)[1]

def number():
    return 7

constant = 7

def convolutions():
    import torch
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 5, 1))

def quarter_size():
    import torch
    return torch.nn.Conv2d(3, 5, 4, stride=4)
"""


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with networks, and a clock that moves on by 1 ms whenever it is read: each call takes that long."""
    for name, text in {"networks_here": NETWORKS, "broken_here": "import not_installed", "syntax_here": "def"}.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    milliseconds = count(0, 1_000_000)
    timer = HostTimer(clock=lambda: next(milliseconds))
    monkeypatch.setattr(latency, "measure_latency", partial(measure_latency, timer=timer, sleep=lambda _: None))
    yield
    for name in ("networks_here", "broken_here", "syntax_here"):
        sys.modules.pop(name, None)


def test_a_numpy_function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = list(sys.path)
    options = ["--shape", "5,6,8", "--fps", "50/3", "--out", "trace.json"]
    assert main(["latency", "networks_here:classifier", *options]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("latency                      ms   k\n-----------------------------------\nmedian")
    assert "200 samples after 20 of warm-up | call" in out
    assert "float32 (5, 6, 8)" in out
    assert "Single samples at 16.6667 fps" not in out
    assert "Single samples at 50/3 fps: k = 1: 200 (100.0%)." in out
    assert err == ""
    trace = LatencyTrace.from_json((tmp_path / "trace.json").read_text())
    assert trace.samples_ns == (1_000_000,) * 200
    assert (trace.metadata["network"], trace.metadata["pacing"]) == ("networks_here:classifier", None)
    assert out == latency_report(trace, fps="50/3").table()
    assert sys.path == path


@pytest.mark.slow
def test_inputs_are_distinct_random_and_repeatable() -> None:
    for dtype in (None, "uint8", "float16", "int8"):
        rounds = []
        for seed in ("3", "3", "4"):
            options = ["--shape", "3,16,16", "--samples", "5", "--seed", seed]
            assert main(["latency", "networks_here:classifier", *options, *(["--dtype", dtype] if dtype else [])]) == 0
            seen = sys.modules["networks_here"].seen
            rounds.append(np.stack(seen[:4]))
            seen.clear()
        first, again, other = rounds
        assert first.dtype == np.dtype(dtype or "float32")
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)
        assert len({image.tobytes() for image in first}) == 4
        if first.dtype == np.uint8:
            assert (first.min(), first.max()) == (0, 255)
        elif first.dtype.kind == "f":
            assert abs(float(first.astype(float).mean())) < 0.1
            assert 0.9 < first.astype(float).std() < 1.1
        else:
            assert (first.min(), first.max()) == (0, 127)


def test_json_on_standard_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["--shape", "2,2,2", "--samples", "70", "--warmup", "33", "--fps", "30", "--pace"]
    assert main(["latency", "networks_here:Family.build", *options, "--json", "-", "--out", "a.json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["median_ms"], record["frame_offset"], record["upper_bounds_ms"]["p90"]) == (1.0, 1, 1.0)
    trace = LatencyTrace.from_json(json.dumps(record["trace"]))
    assert trace == LatencyTrace.from_json((tmp_path / "a.json").read_text())
    assert (len(trace), len(trace.warmup_ns), trace.metadata["pacing"]) == (70, 33, "30 fps")


def test_trace_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["latency", "networks_here:classifier", "--shape", "2,4,4", "--samples", "3", "--out", "-"]) == 0
    assert len(LatencyTrace.from_json(capsys.readouterr().out)) == 3


def test_a_time_limit_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--shape", "2,4,4", "--samples", "500", "--time-cap", "0.5"]
    assert main(["latency", "networks_here:classifier", *options]) == 0
    assert "of 500 samples: the time limit came first." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("networks_here --shape 2,2", "the network is 'networks_here', expected MODULE:FACTORY"),
        (":classifier --shape 2,2", "the network is ':classifier', expected MODULE:FACTORY"),
        ("nowhere_here:build --shape 2,2", "there is no module 'nowhere_here' in "),
        ("networks_here.py:build --shape 2,2", "; a module is named without folder and .py"),
        ("broken_here:build --shape 2,2", "broken_here cannot be imported: ModuleNotFoundError: No module named 'not_"),
        ("syntax_here:build --shape 2,2", "syntax_here cannot be imported: SyntaxError: "),
        ("networks_here:unknown --shape 2,2", "networks_here has no 'unknown', expected a function that builds"),
        ("networks_here:constant --shape 2,2", "networks_here:constant is int, expected a function that builds"),
        ("networks_here:number --shape 2,2", "networks_here:number() returns int, expected a torch.nn.Module or"),
        ("networks_here:failing --shape 2,2", "networks_here:failing() failed: ValueError: no weights here\n"),
        ("networks_here:leaving --shape 2,2", "networks_here:leaving() failed: SystemExit: usage: train.py\n"),
        ("networks_here:fussy --shape 3,4", "fussy failed on float32 (3, 4): RuntimeError: cannot take (3, 4)\n"),
        (
            "networks_here:asynchronous --shape 30",
            "`run` returns a coroutine, which is not awaited yet, expected arrays",
        ),
        ("networks_here:generating --shape 30", "`run` returns a generator, which has not computed its items yet"),
        ("networks_here:starting --shape 30", "`run` returns a Thread, which may still run"),
        ("networks_here:silent --shape 30", "`run` returns None, which is not an array"),
        ("networks_here:in_place --shape 30", "`run` changed its input: after 20 calls inputs[0]"),
        ("networks_here:classifier --shape 2,4,4 --device cuda", "--device would change nothing: networks_here:clas"),
        ("networks_here:classifier --shape 2,4,4 --amp float16 --channels-last", "--amp, --channels-last would change"),
        (
            "networks_here:classifier --shape 2,4,4 --dtype text",
            "--dtype is 'text', expected a type of NumPy's numbers",
        ),
        ("networks_here:classifier --shape 2,4,4 --dtype bool", "--dtype is 'bool'"),
        ("networks_here:classifier --shape 2,4,4 --pace", "--pace is given without --fps"),
        ("networks_here:classifier --shape 2,4,4 --fps 0", "`fps` is 0"),
        ("networks_here:classifier --shape 2,4,4 --samples 0", "`samples` is 0"),
        ("networks_here:classifier --shape 2,4,4 --seed -1", "`seed` is -1"),
        ("networks_here:classifier --shape 999999,999999,99999", "--shape 999999,999999,99999 is too large: "),
        ("networks_here:classifier --shape 2,4,4 --out nowhere/t.json", "its folder does not exist"),
        ("networks_here:classifier --shape 2,4,4 --out - --json -", "--out and --json both write to -"),
    ],
)
def test_errors_are_one_line(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["latency", *arguments.split(" ")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("flame-metric: error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("shape", ["", "0,3", "3,-1", "3x4", "3,4.5", "3,,4"])
def test_shapes_that_are_refused(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["latency", "networks_here:classifier", "--shape", shape])
    assert raised.value.code == 2
    assert f"argument --shape: {shape!r} is not a shape, expected whole numbers >= 1" in capsys.readouterr().err


def test_debug_shows_where_it_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["latency", "networks_here:fussy", "--shape", "3,4", "--debug"]) == 2
    assert "cannot take (3, 4)\ndetails" in capsys.readouterr().err


# ── torch modules ──


@pytest.fixture
def needs_torch() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.usefixtures("needs_torch")
@pytest.mark.parametrize(
    ("options", "boundary", "kind"),
    [
        ("", "forward+argmax", "float32 (1, 3, 16, 24)"),
        ("--boundary forward --dtype bfloat16", "forward", "bfloat16 (1, 3, 16, 24)"),
        ("--boundary end_to_end --device cpu --channels-last", "end_to_end", "uint8 (16, 24, 3)"),
        ("--amp bfloat16 --threads 1", "forward+argmax", "float32 (1, 3, 16, 24)"),
    ],
)
def test_a_convolutional_network(options: str, boundary: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--shape", "3,16,24", "--samples", "3", "--out", "-"]
    assert main(["latency", "networks_here:convolutions", *shape, *options.split()]) == 0
    trace = LatencyTrace.from_json(capsys.readouterr().out)
    assert (trace.metadata["boundary"], trace.metadata["inputs"]["kinds"]) == (boundary, [kind])
    assert trace.metadata["device"] == "cpu"
    assert trace.metadata["memory_format"] == ("channels_last" if "last" in options else "contiguous")
    assert trace.metadata["autocast"] == ("bfloat16" if "amp" in options else None)
    assert trace.metadata["threads"] == (1 if "threads" in options else sys.modules["torch"].get_num_threads())


@pytest.mark.usefixtures("needs_torch")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("convolutions --shape 3,16", "--shape has 2 number(s), expected three for a module: C,H,W"),
        ("convolutions --shape 4,16,16", "convolutions failed on float32 (4, 16, 16): RuntimeError: "),
        ("convolutions --shape 4,16,16 --boundary end_to_end", "holds uint8 (16, 16, 4), expected frames uint8"),
        ("convolutions --shape 3,16,16 --boundary all", "`boundary` is 'all', expected one of forward, "),
        ("convolutions --shape 3,16,16 --dtype int8", "`dtype` is 'int8', expected one of float32, "),
        ("quarter_size --shape 3,16,16", "the network returns float32 (1, 5, 4, 4) for a frame of (16, 16)"),
    ],
)
def test_modules_that_are_refused(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["latency", *f"networks_here:{arguments}".split(" ")]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("needs_torch")
def test_cuda_on_a_machine_without(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["latency", "networks_here:convolutions", "--shape", "3,8,8", "--device", "cuda"]) == 2
    assert "`device` is 'cuda', but PyTorch" in capsys.readouterr().err


def test_a_module_without_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_python) -> None:
    monkeypatch.undo()  # the program goes to the folder itself, once it has found this package
    program = (
        "import os, sys; from flame_metric.cli import main\n"
        f"os.chdir({str(tmp_path)!r}); sys.stderr = sys.stdout; sys.modules['torch'] = None\n"
        "print(main(['latency', 'networks_here:convolutions', '--shape', '3,8,8']))"
    )
    assert run_python(program) == (
        "flame-metric: error: networks_here:convolutions() failed: ModuleNotFoundError: import of torch halted; None "
        "in sys.modules\n2"
    )


@pytest.mark.usefixtures("usual_patience")
def test_the_bar_draws_between_steps_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich", reason="bars need rich")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    times = iter([0.0, 2.0, 2.1, 3.0])
    with progress("samples", background=False, clock=lambda: next(times)) as step:
        step(1, 9)
        assert "1/9" in capsys.readouterr().err
        step(2, 9)  # 0.1 s later: too soon to draw again
        assert capsys.readouterr().err == ""
        step(3, 9)
        assert "3/9" in capsys.readouterr().err
