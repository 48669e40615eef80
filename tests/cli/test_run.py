"""The command that runs a network: its scores are those of a loop by hand, its files are what other commands read."""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import oracle
from flame_metric import LatencyTrace, OffsetBank
from flame_metric.cli import main, run
from flame_metric.data.registry import open_dataset
from flame_metric.latency.timers import HostTimer, Sample
from flame_metric.scores.evaluation import Evaluation

DATA = "synthetic:videos=2,num_frames=8,height=32,width=64"
RUN = ("networks_here:brightness", DATA)

NETWORKS = """
import numpy as np

seen = []

def brightness():
    def classify(frame):
        seen.append(frame)
        return frame[..., 0] // 32
    return classify

def newest(num_classes, frames=2):
    class Newest:
        def __init__(self):
            self.frames = frames
        def __call__(self, frame):
            assert frame.shape[2] == 6
            return frame[..., 3] // 32
    return Newest()

def one_late():
    class Late:
        last = None
        def __call__(self, frame):
            labels = frame[..., 0] // 32
            before, self.last = self.last, labels
            return labels if before is None else before
    return Late()

def lazy_at_first():
    calls = []
    def classify(frame):
        calls.append(None)
        return frame[..., 0] // 32 if len(calls) > 40 else np.zeros(frame.shape[:2], np.uint8)
    return classify

def failing():
    def classify(frame):
        raise RuntimeError(f"cannot take {frame.shape}\\nmore")
    return classify

def failing_later():
    calls = []
    def classify(frame):
        calls.append(None)
        if len(calls) > 3:
            raise MemoryError("too many")
        return frame[..., 0] // 32
    return classify

def nine():
    return lambda frame: frame[..., 0] // 28
"""


@pytest.fixture(autouse=True)
def _networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with networks, and a clock that moves on by 80 ms whenever it is read: each call takes that long."""
    (tmp_path / "networks_here.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    milliseconds = count(0, 80_000_000)
    monkeypatch.setattr(HostTimer, "now_ns", lambda _: next(milliseconds))
    monkeypatch.setattr(HostTimer, "time", timed)
    yield
    sys.modules.pop("networks_here", None)


def timed(_, network, item) -> Sample:
    network(item)
    return Sample(80_000_000)


def image_files():
    pytest.importorskip("PIL", reason="PNG files need Pillow")
    return import_module("flame_metric.data.images")


def flame(*arguments: str) -> int:
    return main(["run", *arguments])


def by_hand(k: int):
    """Static and FLAME in the plainest loop."""
    videos = open_dataset(DATA).sequences
    clips = {video.name: ([frame[..., 0] // 32 for frame in video.frames], list(video.targets)) for video in videos}
    counts = oracle.score_counts(clips, k, 8, 255)
    return counts["static"], counts["flame"]


def test_scores_are_those_of_a_loop_by_hand(capsys, tmp_path) -> None:
    options = ["--save-trace", "trace.json", "--json", "scores.json", "--samples", "35"]
    assert flame("networks_here:brightness", DATA, *options) == 0
    found = Evaluation.from_json((tmp_path / "scores.json").read_text())
    static, late = by_hand(2)  # 80 ms at 60 ms a frame
    np.testing.assert_array_equal(found.static.counts, static)
    np.testing.assert_array_equal(found.flame.counts, late)
    assert found.streaming is not None
    assert found.persistence is not None
    trace = LatencyTrace.from_json((tmp_path / "trace.json").read_text())
    assert (len(trace), trace.median_ms, trace.metadata["network"]) == (35, 80, "networks_here:brightness")
    out = capsys.readouterr().out
    assert "FLAME k=2" in out
    assert "The network ran on 16 of 16 frames." in out
    assert "35 samples after" in out


def test_a_latency_that_is_given_is_not_measured(capsys) -> None:
    assert flame("networks_here:brightness", DATA, "--latency-ms", "130", "--hardware", "Jetson Nano") == 0
    out = capsys.readouterr().out
    assert "k 3 | 130.0 ms" in out
    assert "Jetson Nano" in out
    assert "samples after" not in out
    assert len(sys.modules["networks_here"].seen) == 16


def test_a_trace_from_other_hardware(tmp_path, capsys) -> None:
    conditions = {
        "device": "Orin",
        "boundary": "forward",
        "inputs": {"number": 1, "kinds": ["float16 (1, 3, 512, 512)"]},
    }
    trace = LatencyTrace([30] * 8, metadata=conditions)
    (tmp_path / "orin.json").write_text(trace.to_json())
    assert flame("networks_here:brightness", DATA, "--trace", "orin.json", "--workers", "2") == 0
    out = capsys.readouterr().out
    assert "k 1 | 30.0 ms" in out
    assert "Orin" in out
    assert "2 workers" in out
    said = " ".join(out.split())
    assert "The latency was measured on float16 (1, 3, 512, 512), but label maps are 32x64." in said
    assert "The latency was measured with the boundary 'forward', but what is scored are label maps" in said
    assert "The device of the trace is Orin, but that of the network that was run is " in said
    assert "The boundary of the trace is forward, but that of the network that was run is end_to_end." in said


def test_what_is_measured_here_is_what_is_scored(capsys) -> None:
    assert flame(*RUN, "--samples", "30", "--json", "run.json") == 0
    notes = " ".join(Evaluation.from_json(Path("run.json").read_text()).notes)
    assert "of the trace" not in notes
    assert "was measured" not in notes


def test_two_frames(capsys) -> None:
    assert flame("networks_here:newest", DATA, "--frame-offset", "2", "--json", "-") == 0
    found = Evaluation.from_json(capsys.readouterr().out)
    np.testing.assert_array_equal(found.flame.counts, by_hand(2)[1])


def test_label_maps_score_the_same_from_their_folder(tmp_path, capsys) -> None:
    write_png = image_files().write_png
    for video in open_dataset(DATA).sequences:
        (tmp_path / "labels" / video.name).mkdir(parents=True)
        for index, target in enumerate(video.targets):
            write_png(tmp_path / "labels" / video.name / f"{index:06}.png", target)
    options = ["--latency-ms", "80", "--workers", "1", "--json", "-"]
    assert flame("networks_here:brightness", DATA, "--label-maps", "out", *options) == 0
    ran = Evaluation.from_json(capsys.readouterr().out)
    folders = ["out", "labels", "--num-classes", "8", "--fps", "50/3", "--ignore-index", "255"]
    assert main(["evaluate", *folders, *options]) == 0
    again = Evaluation.from_json(capsys.readouterr().out)
    for name, result in ran.results.items():
        np.testing.assert_array_equal(again.results[name].counts, result.counts)


def test_overlays_and_bank(tmp_path, capsys) -> None:
    image_files()
    options = ["--latency-ms", "80", "--overlays", "pictures", "--bank", "bank.npz", "--max-offset", "3"]
    assert flame("networks_here:brightness", DATA, *options) == 0
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("pictures/*/*")) == [
        "pictures/synthetic-0/000005.png",
        "pictures/synthetic-1/000005.png",
    ]
    read_frame_image = import_module("flame_metric.data.images").read_frame_image
    assert read_frame_image(tmp_path / "pictures/synthetic-0/000005.png").shape == (65, 129, 3)  # two by two panels
    bank = OffsetBank.load(tmp_path / "bank.npz")
    assert bank.max_offset == 3
    np.testing.assert_array_equal(bank.score(latency_ms=80).counts, by_hand(2)[1])
    assert "The counts at offsets 0..3 are in bank.npz" in capsys.readouterr().out


def test_overlays_of_chosen_frames(tmp_path) -> None:
    image_files()
    chosen = ["--overlay-frames", "synthetic-1/000002,synthetic-1/7"]
    assert flame("networks_here:brightness", DATA, "--frame-offset", "2", "--overlays", "pictures", *chosen) == 0
    assert sorted(path.name for path in tmp_path.glob("pictures/*/*")) == ["000002.png", "000007.png"]


# ── audit ──


def test_an_audit_that_passes(capsys, tmp_path) -> None:
    assert flame("networks_here:brightness", DATA, "--audit", "--audit-json", "audit.json", "--samples", "35") == 0
    assert capsys.readouterr().out.rstrip().endswith("The audit passed.")
    assert json.loads((tmp_path / "audit.json").read_text())["passed"] is True


@pytest.mark.parametrize("network", ["one_late", "lazy_at_first"])
def test_an_audit_that_fails(network, capsys) -> None:
    assert flame(f"networks_here:{network}", DATA, "--audit", "--samples", "35") == 1
    captured = capsys.readouterr()
    assert "gave another label map than was scored" in captured.out
    assert captured.err.startswith("flame-metric: audit: failed: outputs: ")


# ── errors ──


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["networks_here:brightness", "nowhere"], 2, "the data set is 'nowhere', expected one of synthetic"),
        (["networks_here:nobody", DATA], 2, "networks_here has no 'nobody'"),
        (["swiftnet-r18", DATA], 2, "weights"),
        ([*RUN, "--audit", "--latency-ms", "3"], 2, "--audit is given with --latency-ms"),
        ([*RUN, "--pace", "--trace", "t"], 2, "--pace is given with --trace"),
        (
            [*RUN, "--save-trace", "x", "--frame-offset", "1"],
            2,
            "--save-trace is given with",
        ),
        ([*RUN, "--samples", "0", "--latency-ms", "3"], 2, "--samples is given with --latency-ms"),
        ([*RUN, "--warmup", "0", "--trace", "t"], 2, "--warmup is given with --trace"),
        ([*RUN, "--time-cap", "9", "--frame-offset", "1"], 2, "--time-cap is given with --frame-offset"),
        (["swiftnet", DATA], 2, "the network is 'swiftnet', expected one of swiftnet-r18, "),
        ([*RUN, "--audit-json", "x"], 2, "--audit-json is given without --audit"),
        (
            [*RUN, "--replay", "call", "--latency-ms", "9"],
            2,
            "--replay call is given without",
        ),
        ([*RUN, "--bank", "-"], 2, "--bank is -"),
        (
            [*RUN, "--device", "cuda", "--frame-offset", "1"],
            2,
            "`device` would change nothing",
        ),
        (
            ["networks_here:failing", DATA],
            2,
            "networks_here:failing failed on a frame of 32 x 64 x 3: RuntimeError: cannot take (32, 64, 3)",
        ),
        (
            ["networks_here:failing_later", DATA, "--frame-offset", "1"],
            2,
            "networks_here:failing_later failed on frame 000003 of sequence 'synthetic-0': MemoryError: too many",
        ),
        (["networks_here:nine", DATA, "--frame-offset", "1"], 3, "of sequence 'synthetic-0': `pred` holds label(s) [8"),
        ([*RUN, "--frame-offset", "9"], 3, "have no two frames 9 frame(s) apart"),
        ([*RUN, "--frame-offset", "1", "--overlay-frames", "a/1"], 2, "without `overlays`"),
    ],
)
def test_errors_are_one_line(arguments, code, message, capsys) -> None:
    if "swiftnet-r18" in arguments:
        pytest.importorskip("torch", reason="networks of the paper need PyTorch")
    assert flame(*arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("flame-metric: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--label-maps", "--overlays"])
def test_folders_of_another_run_are_kept(option, tmp_path, capsys) -> None:
    image_files()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "label.png").write_text("mine")
    assert flame("networks_here:brightness", DATA, "--frame-offset", "1", option, "old") == 2
    assert "old holds files, expected a new or an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("street/1", "there is no video 'street' for 'street/1', expected VIDEO/FRAME of synthetic-0, synthetic-1"),
        ("synthetic-0/8", "'8' is not a labelled frame of synthetic-0, expected one of 000000"),
        ("synthetic-0/1", "overlays of synthetic-0/1 are asked for, expected frames with 2 (k) before them"),
    ],
)
def test_overlays_that_cannot_be_made(chosen, message, capsys) -> None:
    image_files()
    options = ["--frame-offset", "2", "--overlays", "pictures", "--overlay-frames", chosen]
    assert flame("networks_here:brightness", DATA, *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("chosen", ["street/1", "synthetic-0/8"])
def test_overlays_that_cannot_be_made_are_refused_before_anything_is_timed(chosen, capsys) -> None:
    assert flame("networks_here:brightness", DATA, "--overlays", "pictures", "--overlay-frames", chosen) == 2
    assert sys.modules["networks_here"].seen == []


def test_folders_of_another_run_are_refused_before_anything_is_timed(tmp_path, capsys) -> None:
    image_files()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "label.png").write_text("mine")
    assert flame("networks_here:brightness", DATA, "--overlays", "old") == 2
    assert "old holds files, expected a new or an empty folder" in capsys.readouterr().err
    assert sys.modules["networks_here"].seen == []


def test_an_audit_that_is_interrupted_leaves_the_scores(monkeypatch, capsys) -> None:
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("flame_metric.jobs.audit.Auditor.audit", interrupted)
    options = ["--samples", "30", "--audit", "--journal", "runs.jsonl"]
    assert flame("networks_here:brightness", DATA, *options) == 130
    captured = capsys.readouterr()
    assert "FLAME k=2" in captured.out
    assert "INCOMPLETE" in captured.out
    assert "all sequences are scored, but the audit was not finished; --journal runs.jsonl" in captured.err


def test_interrupted(monkeypatch, capsys) -> None:
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_network", interrupted)
    assert flame("networks_here:brightness", DATA) == 130
    assert "interrupted" in capsys.readouterr().err


def test_help_names_every_model_and_every_data_set(capsys) -> None:
    with pytest.raises(SystemExit):
        flame("--help")
    text = capsys.readouterr().out
    for name in ("swiftnet-r18", "MODULE:FACTORY", "synthetic", "cityscapes:ROOT", "camvid:ROOT"):
        assert name in text
