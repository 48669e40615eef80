"""Faults, as one table: what makes each, what the command answers to it, and what the library raises.

Each is put before the real command, as a process of its own, and before the library; the line is the same. Below the
table stands what is not an error though it looks like one, and what takes more than a file: copies, kills, Ctrl-C,
bombs. A rank whose state is invalid is in torch/test_distributed.py, pickles are in test_security.py.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from damaged_files import (
    FOLDER,
    GREY_ALPHA,
    PALETTE,
    REMOVED,
    RGB,
    RGBA,
    SIGNATURE,
    flipped,
    npy,
    npy_header,
    png,
    png_bomb,
    png_header,
    write_label_maps,
)
from flame_metric import FlameMeter, FlameResult, class_counts
from flame_metric.cli import main
from flame_metric.core.tables import FORMATS
from flame_metric.data.registry import open_dataset
from flame_metric.errors import DatasetError, FlameError, FlameWarning, LabelError, ShapeError, StateError
from flame_metric.jobs.evaluate import evaluate_folders
from flame_metric.scores.evaluation import Evaluation
from progress import without_progress

needs_pillow = pytest.mark.skipif(find_spec("PIL") is None, reason="PNG files need Pillow")
needs_signals = pytest.mark.skipif(os.name != "posix", reason="the signals are those of POSIX")

Labels = npt.NDArray[Any]
A: Labels = (np.arange(48).reshape(6, 8) % 3).astype(np.uint8)
B: Labels = (np.arange(48).reshape(6, 8) // 5 % 3).astype(np.uint8)
IDS: Labels = np.where(A == 0, 26_001, A.astype(np.uint16))
QUESTION: dict[str, Any] = {"num_classes": 3, "fps": 10, "frame_offset": 1}
BOMB = png_bomb(24_000, 24_000)
PRED, LABEL = "preds/bad/1", "labels/bad/1"  # the files at fault, without their extension


def write_world(root: Path) -> None:
    """Predictions and labels of three frames of two sequences, one of which is to become faulty."""
    for side, shift in (("preds", 0), ("labels", 1)):
        for clip in ("bad", "good"):
            write_label_maps(root, {f"{side}/{clip}/{frame}.npy": (A, B, A)[frame - shift] for frame in range(3)})


def evaluate(offset: int = 1) -> list[str]:
    """The words of the command, in the folder that holds the world."""
    return ["preds", "labels", "--num-classes", "3", "--fps", "10", "--frame-offset", str(offset)]


def jpeg(labels: Labels) -> bytes:
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + labels.tobytes() + b"\xff\xd9"


# ── the table ──


@dataclass(frozen=True)
class Fault:
    """What is wrong, and the line that says so.

    Attributes
    ----------
    files : dict
        What lies where, instead of what was there.
    says : str
        The line, after the file that is named; "…" stands for words of a library.
    at : str
        What is named, where that is not the first file.
    meter, meter_says
        What `FlameMeter.update` raises to such arrays, and its text where that is another one.
    of_file : bool
        Whether it is a file that is damaged, so that its sequence may be left out.
    offset : int
        k.
    """

    name: str
    files: dict[str, Any]
    says: str
    at: str = ""
    meter: type[FlameError] | None = None
    meter_says: str = ""
    of_file: bool = True
    offset: int = 1

    @property
    def place(self) -> str:
        return self.at or next(iter(self.files))

    @property
    def line(self) -> str:
        return f"{self.place}: {self.says}"


CHANNELS = "expected one channel: label maps hold class numbers; map colours to classes first"
OBJECTS = "cannot be read as an array of numbers: …"
INTEGERS = "expected integer labels 0..2"
NO_ARRAY = f"`pred` holds no array, {INTEGERS}; give an array of integers"
SMALLER = (
    "expected the same; the prediction has {} of the target's size: resize it first (scores: bilinear, labels: "
    "nearest); nothing is resized here"
)

FAULTS = [
    # damaged, cut short, disguised
    Fault("a flipped bit", {f"{PRED}.png": flipped(png(A))}, "is damaged or cut short: …"),
    Fault("a PNG cut short", {f"{PRED}.png": png(A)[:-20]}, "is damaged or cut short: its end is missing"),
    Fault("text named .png", {f"{LABEL}.png": b"0 1 2\n" * 20}, "is not a PNG file, expected a PNG label map"),
    Fault(
        "a JPEG named .png",
        {f"{PRED}.png": jpeg(A)},
        "is a JPEG file: its compression changes labels, expected a PNG label map",
    ),
    Fault("a folder named .png", {f"{PRED}.png": FOLDER}, "is not a file, expected a label map"),
    Fault("a signature", {f"{LABEL}.png": SIGNATURE}, "holds a PNG signature and no image, expected a PNG label map"),
    Fault("an empty file", {f"{LABEL}.png": b""}, "is empty, expected a PNG label map"),
    Fault("an array cut short", {f"{PRED}.npy": npy(A)[:-1]}, "is cut short: 47 bytes, expected 48"),
    Fault("text named .npy", {f"{PRED}.npy": b"0 1 2\n"}, "is not a .npy file, expected an array"),
    # several channels, instance ids
    Fault("RGB", {f"{PRED}.png": png(A, colour=RGB)}, f"is RGB (3 channels), {CHANNELS}"),
    Fault("RGBA", {f"{PRED}.png": png(A, colour=RGBA)}, f"is RGBA (4 channels), {CHANNELS}"),
    Fault("LA", {f"{LABEL}.png": png(A, colour=GREY_ALPHA)}, f"is grey with transparency (2 channels), {CHANNELS}"),
    Fault(
        "instance ids in a PNG",
        {f"{LABEL}.png": png(IDS, bits=16)},
        "`target` holds label(s) [26001] (16 pixels), expected 0..2; instance ids? use id // 1000",
    ),
    Fault(
        "instance ids in an array",
        {f"{LABEL}.npy": IDS},
        "`target` holds label(s) [26001] (16 pixels), expected 0..2; instance ids? use id // 1000",
        meter=LabelError,
    ),
    Fault(
        "a label that may be void",
        {f"{LABEL}.npy": np.where(A == 2, 200, A)},
        "`target` holds label(s) [200] (16 pixels), expected 0..2; pass ignore_index=200 if they are void",
        meter=LabelError,
    ),
    # sizes
    Fault("another size", {f"{PRED}.png": png(A[:5, :7])}, "has shape (5, 7), expected (6, 8); nothing is resized"),
    Fault(
        "a transposed map",
        {f"{PRED}.npy": A.T},
        "has shape (8, 6), expected (6, 8); nothing is resized",
        meter=ShapeError,
        meter_says="`pred` has shape (8, 6) and `target` (6, 8), expected the same; is one of them transposed?",
    ),
    Fault(
        "logits of half the size",
        {f"{PRED}.npy": np.zeros((3, 3, 4), np.float32)},
        "has shape (3, 3, 4), expected (6, 8); nothing is resized",
        meter=ShapeError,
        meter_says=f"`pred` has shape (3, 3, 4) and `target` (6, 8), {SMALLER.format('1/2')}",
    ),
    Fault(
        "logits of a quarter of the size",
        {f"{PRED}.npy": np.zeros((3, 2, 4), np.float32), f"{LABEL}.npy": np.zeros((8, 16), int)},
        "has shape (3, 2, 4), expected (8, 16); nothing is resized",
        meter=ShapeError,
        meter_says=f"`pred` has shape (3, 2, 4) and `target` (8, 16), {SMALLER.format('1/4')}",
    ),
    Fault(
        "a size that changes within a sequence",
        {f"{PRED}.npy": A[:5], f"{LABEL}.npy": A[:5]},
        "`pred` has shape (6, 8) and `target` (5, 8), expected the same",
        at="preds/bad/0.npy and labels/bad/1.npy",
    ),
    # no labels
    Fault(
        "float labels",
        {f"{LABEL}.npy": A.astype(np.float64)},
        f"`target` holds float64 values of shape (6, 8), {INTEGERS}; convert labels with .astype(int)",
        meter=LabelError,
    ),
    Fault(
        "bool for three classes",
        {f"{PRED}.npy": A > 0},
        f"`pred` holds bool values of shape (6, 8), {INTEGERS}; bool stands for two classes, not 3",
        meter=LabelError,
    ),
    Fault(
        "complex numbers",
        {f"{PRED}.npy": A.astype(complex)},
        f"`pred` holds complex128 values of shape (6, 8), {INTEGERS}; give an array of integers",
        meter=LabelError,
    ),
    Fault(
        "strings",
        {f"{PRED}.npy": A.astype("U3")},
        f"`pred` holds <U3 values of shape (6, 8), {INTEGERS}; give an array of integers",
        meter=LabelError,
    ),
    Fault("objects", {f"{PRED}.npy": A.astype(object)}, OBJECTS, meter=LabelError, meter_says=NO_ARRAY),
    Fault("None", {f"{PRED}.npy": None}, OBJECTS, meter=LabelError, meter_says=NO_ARRAY),
    Fault(
        "NaN among scores",
        {f"{PRED}.npy": np.full((3, 6, 8), np.nan, np.float32)},
        "`pred` holds NaN scores at 48 pixels, expected numbers",
        meter=LabelError,
    ),
    # no pixels
    Fault(
        "an empty batch",
        {f"{PRED}.npy": np.zeros((0, 6, 8), int), f"{LABEL}.npy": np.zeros((0, 6, 8), int)},
        "holds int64 (0, 6, 8), expected a label map (H, W)",
        at=f"{LABEL}.npy",
        meter=ShapeError,
        meter_says="`target` has shape (0, 6, 8), expected at least one pixel",
    ),
    Fault(
        "a frame without an area",
        {f"{PRED}.npy": np.zeros((0, 8), int), f"{LABEL}.npy": np.zeros((0, 8), int)},
        "has shape (0, 8), expected at least one pixel",
        at=f"{LABEL}.npy",
        meter=ShapeError,
        meter_says="`target` has shape (0, 8), expected at least one pixel",
    ),
    # missing frames
    Fault(
        "a missing frame",
        {f"{PRED}.npy": REMOVED},
        "1 prediction(s) are missing, expected one for every frame that is scored: bad/1",
        at="preds",
        of_file=False,
    ),
    Fault(
        "a missing sequence",
        {"labels/more/0.npy": A},
        "has no predictions for 1 of 3 sequence(s): more; it has bad, good",
        at="preds",
        of_file=False,
    ),
    Fault(
        "k beyond the history of a clip with one label",
        {"labels/bad/0.npy": REMOVED, "labels/bad/1.npy": REMOVED},
        "sequence bad has one label, that of frame 2, and 2 frame(s) before it, expected a prediction 3 frame(s) "
        "before it; a smaller offset, or another step (--step, now 1)?",
        at="preds",
        of_file=False,
        offset=3,
    ),
    # bombs
    Fault("an image bomb", {f"{PRED}.png": BOMB}, "has 24000x24000 pixels, expected at most 64,000,000"),
    Fault("a bomb as labels", {f"{LABEL}.png": BOMB}, "has 24000x24000 pixels, expected at most 64,000,000"),
    Fault(
        "an array that claims 10**12 numbers",
        {f"{LABEL}.npy": npy_header((10**6, 10**6))},
        "has shape (1000000, 1000000), expected at most 64,000,000 pixels",
    ),
]


def every(faults: list[Fault]) -> pytest.MarkDecorator:
    rows = (
        pytest.param(
            fault, id=fault.name, marks=[needs_pillow] if any(name.endswith(".png") for name in fault.files) else []
        )
        for fault in faults
    )
    return pytest.mark.parametrize("fault", list(rows))


def matches(line: str, text: str) -> bool:
    return re.fullmatch(re.escape(line).replace("…", ".+"), text) is not None


def process(*words: str) -> tuple[int, str, str]:
    """Run Python, and return its exit code and what it says."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, encoding="utf-8", check=False)
    return done.returncode, done.stdout, without_progress(done.stderr)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two sound sequences."""
    write_world(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@every(FAULTS)
def test_the_command(fault: Fault, world: Path) -> None:
    """A real process: exit code 3, one line on standard error, nothing on standard output, no output left."""
    write_label_maps(world, fault.files)
    before = sorted(world.iterdir())
    outputs = ["--json", "result.json", "--csv", "-", "--bank", "bank.npz"]
    code, out, err = process("-m", "flame_metric", "evaluate", *evaluate(fault.offset), *outputs)
    assert matches(f"flame-metric: error: {fault.line}\n", err), err
    assert (code, out) == (3, "")
    assert sorted(world.iterdir()) == before


@every(FAULTS)
def test_the_library(fault: Fault, world: Path) -> None:
    write_label_maps(world, fault.files)
    with pytest.raises(DatasetError) as raised:
        evaluate_folders("preds", "labels", num_classes=3, fps=10, frame_offset=fault.offset)
    assert matches(fault.line, str(raised.value)), raised.value
    assert raised.value.path == fault.place.split(" and ")[0]


@every([fault for fault in FAULTS if fault.meter is not None])
def test_the_meter(fault: Fault) -> None:
    """It names no file, and says both shapes; a map that is refused is not counted."""
    pred, target = (fault.files.get(f"{name}.npy", A) for name in (PRED, LABEL))
    assert fault.meter is not None
    meter = FlameMeter(3, frame_offset=1)
    meter.update_pair(B, A)
    before = meter.to_json()
    with pytest.raises(fault.meter) as raised:
        meter.update_pair(pred, target)
    assert matches(fault.meter_says or fault.says, str(raised.value)), raised.value
    assert meter.to_json() == before


@every([fault for fault in FAULTS if fault.meter is not None])
def test_the_meter_step_by_step(fault: Fault) -> None:
    """The map is refused when it comes, or when it meets the other; no time has passed then."""
    pred, target = (fault.files.get(f"{name}.npy", A) for name in (PRED, LABEL))
    assert fault.meter is not None
    meter = FlameMeter(3, frame_offset=1)
    states = [meter.to_json()]
    with pytest.raises(fault.meter if pred is not None and target is not None else (fault.meter, StateError)):  # noqa: PT012 - one of both
        meter.update(pred, None, sequence="clip")
        states.append(meter.to_json())
        meter.update(None, target, sequence="clip")
    assert meter.to_json() == states[-1]


@every(FAULTS)
def test_on_error_skip(fault: Fault, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sequence of a damaged file is left out, named and counted; what is missing stays an error."""
    write_label_maps(world, fault.files)
    code = main(["evaluate", *evaluate(fault.offset), "--on-error", "skip", "--json", "result.json"])
    out, err = capsys.readouterr()
    if not fault.of_file:
        assert (code, out) == (3, "")
        assert matches(f"flame-metric: error: {fault.line}\n", err), err
        return
    assert code == 0
    assert matches(f"flame-metric: warning: sequence bad is left out: {fault.line}\n", err), err
    incomplete = "1 of 2 sequence(s) are scored; 1 left out for damaged files: bad"
    assert f"\nINCOMPLETE: {incomplete}.\n" in out
    assert out.endswith(" | INCOMPLETE\n")
    found = Evaluation.from_json((world / "result.json").read_text())
    assert (found.incomplete, found.left_out) == (incomplete, ("bad",))
    for side in ("preds", "labels"):
        shutil.rmtree(world / side / "bad")
    assert found.results == evaluate_folders("preds", "labels", **QUESTION).results


def test_what_is_left_out_is_said_in_every_format(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the table itself: what stands below it is a comment in LaTeX, and not in CSV."""
    write_label_maps(world, {f"{PRED}.npy": b"no array"})
    last_rows = {
        "text": "INCOMPLETE",
        "markdown": "| **INCOMPLETE** |  |  |  |",
        "latex": r"INCOMPLETE &  &  &  \\",
        "csv": '"INCOMPLETE",,,',
    }
    assert last_rows.keys() == set(FORMATS)
    for format, row in last_rows.items():
        assert main(["evaluate", *evaluate(), "--on-error", "skip", "--format", format, "--csv", "table.csv"]) == 0
        rows = capsys.readouterr().out.splitlines()
        (place,) = (number for number, line in enumerate(rows) if "label maps" in line)
        assert rows[place + 1] == row
        assert (world / "table.csv").read_text().endswith('"INCOMPLETE",,,\n')


def test_shares_leave_out_what_is_damaged(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their journals hold the others alone; merge takes them only if it is told to."""
    write_label_maps(world, {f"{PRED}.npy": b"no array"})
    for share in ("1/2", "2/2"):
        words = ["--on-error", "skip", "--shard", share, "--journal", f"part{share[0]}"]
        assert main(["evaluate", *evaluate(), *words]) == 0
    assert "sequence bad is left out: preds/bad/1.npy: is not a .npy file" in capsys.readouterr().err
    assert main(["merge", "part1", "part2"]) == 4
    assert "1 of 2 sequence(s) are in no part: bad" in capsys.readouterr().err
    assert main(["merge", "part1", "part2", "--allow-partial", "--json", "-"]) == 0
    found = Evaluation.from_json(capsys.readouterr().out)
    assert (found.incomplete, found.flame.sequences) == ("1 of 2 sequence(s) are scored", ("good",))


# ── no faults ──


@needs_pillow
@pytest.mark.parametrize("kind", [{"colour": PALETTE}, {"bits": 16}, {"bits": 8}], ids=str)
def test_the_numbers_in_a_png_are_the_labels(kind: dict[str, int], world: Path) -> None:
    """Also where its palette says that they are colours."""
    wanted = evaluate_folders("preds", "labels", **QUESTION)
    write_label_maps(world, {f"{PRED}.png": png(B, **kind), f"{LABEL}.png": png(A, **kind)})
    assert evaluate_folders("preds", "labels", **QUESTION).to_json() == wanted.to_json()


def test_an_empty_share_is_fine(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in (1, 2, 3):
        assert main(["evaluate", *evaluate(), "--shard", f"{index}/3", "--journal", f"part{index}"]) == 0
    assert "Shard 3 of 3: 0 of 2 sequence(s) are scored." in capsys.readouterr().out
    assert main(["merge", "part3", "part2", "part1", "--json", "-"]) == 0
    wanted = evaluate_folders("preds", "labels", **QUESTION)
    assert capsys.readouterr() == (wanted.to_json() + "\n", "")


def test_a_frame_of_void_is_seen_and_adds_nothing(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def score() -> FlameResult:
        assert main(["evaluate", *evaluate(), "--ignore-index", "255", "--json", "-"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return Evaluation.from_json(out).flame

    before = score()
    write_label_maps(world, {f"{LABEL}.npy": np.full((6, 8), 255)})
    after = score()
    assert (before.num_pairs, before.coverage, before.valid_fraction) == (4, 2 / 3, 1)
    assert (after.num_pairs, after.coverage, after.valid_fraction) == (4, 2 / 3, 0.75)
    lost = (before.counts - after.counts).sum(axis=0)
    assert lost.tolist() == class_counts(A, A, num_classes=3).tolist()


def test_nothing_but_void_is_nan_with_a_warning(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_label_maps(world, {str(path.relative_to(world)): np.full((6, 8), 255) for path in world.glob("labels/*/*")})
    assert main(["evaluate", *evaluate(), "--ignore-index", "255"]) == 0
    out, err = capsys.readouterr()
    assert re.search("^mean IoU +absent +absent +absent$", out, re.MULTILINE)
    assert err == "flame-metric: warning: the mean IoU is NaN: every pixel of every target is void\n"


# ── a sequence twice, a job that was killed ──


def counted(pred: Labels) -> FlameMeter:
    meter = FlameMeter(3, frame_offset=1)
    meter.update_sequence([pred, pred], [A, A], sequence="clip")
    return meter


def test_a_sequence_is_scored_once() -> None:
    meter = counted(A)
    before = meter.to_json()
    closed = "sequence 'clip' is closed: it was scored as a whole, expected another id"
    with pytest.raises(StateError, match=closed):
        meter.update_sequence([A, A], [A, A], sequence="clip")
    with pytest.raises(StateError, match=closed):
        meter.update(A, A, sequence="clip")
    with pytest.raises(StateError, match="sequence 'clip' was scored on both sides with different counts, expected eq"):
        meter.merge(counted(B))
    assert meter.to_json() == before
    with pytest.warns(FlameWarning, match=r"1 sequence\(s\) came twice with identical counts and were kept once"):
        meter.merge(counted(A))
    assert meter.to_json() == before


def test_parts_with_two_copies_of_a_sequence(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Identical ones are one; of different ones, neither is believed."""
    for journal in ("one", "copy"):
        assert main(["evaluate", *evaluate(), "--journal", journal]) == 0
    capsys.readouterr()
    assert main(["merge", "one", "copy", "--json", "-"]) == 0
    wanted = evaluate_folders("preds", "labels", **QUESTION)
    message = "2 sequence(s) are in several parts with identical counts and were taken once: bad, good"
    assert capsys.readouterr() == (wanted.to_json() + "\n", f"flame-metric: warning: {message}\n")
    write_label_maps(world, {f"{PRED}.npy": A})
    assert main(["evaluate", *evaluate(), "--journal", "other"]) == 0
    capsys.readouterr()
    assert main(["merge", "one", "other"]) == 4
    message = "other and one hold different counts of sequence 'bad', expected each clip once, or identical copies"
    assert capsys.readouterr() == ("", f"flame-metric: error: {message}\n")


def test_a_job_goes_on_after_a_kill_and_no_other_job_does(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that was being written is dropped. Real kills are in test_jobs.py."""
    assert main(["evaluate", *evaluate(), "--journal", "job", "--json", "-"]) == 0
    wanted = capsys.readouterr().out
    whole = (world / "job").read_bytes()
    (world / "job").write_bytes(whole[:-30])
    assert main(["evaluate", *evaluate(), "--journal", "job", "--resume", "--json", "-"]) == 0
    assert capsys.readouterr() == (wanted, "")
    assert (world / "job").read_bytes() == whole
    assert main(["evaluate", *evaluate(2), "--journal", "job", "--resume"]) == 4
    message = (
        "job: is of another job (question.config.frame_offset: 1 / 2: there / here), expected the same configuration; "
        "give the same options, or another journal"
    )
    assert capsys.readouterr() == ("", f"flame-metric: error: {message}\n")
    (world / "job").write_bytes(whole.replace(b'"pairs":2', b'"pairs":1', 1))
    assert main(["evaluate", *evaluate(), "--journal", "job", "--resume"]) == 4
    message = (
        "job: line 2 is damaged, or this is not a journal; lines after it cannot be trusted: remove the file and begin"
    )
    assert capsys.readouterr() == ("", f"flame-metric: error: {message} anew\n")


# ── Ctrl-C ──

SIGNAL_AT = """
import os, signal, sys
from contextlib import contextmanager
from flame_metric.cli import evaluate, main

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the process around this one does with it

@contextmanager
def progress(task):
    def step(done, total, note=""):
        if done == {frame}:
            os.kill(os.getpid(), signal.SIGINT)
    yield step

evaluate.progress = progress
sys.exit(main(sys.argv[1:]))
"""
NETWORK = """
import os, signal

calls = 0
signal.signal(signal.SIGINT, signal.default_int_handler)

def brightness(frame):
    global calls
    calls += 1
    if calls == STOP_AT:
        os.kill(os.getpid(), signal.SIGINT)
    return frame[..., 0] // 32

def build():
    return brightness
"""


@needs_signals
def test_ctrl_c_while_folders_are_evaluated(world: Path) -> None:
    """A real SIGINT when the fifth of six frames is counted, which is in the second sequence."""
    words = ["evaluate", *evaluate(), "--journal", "job"]
    code, out, err = process("-c", SIGNAL_AT.format(frame=5), *words)
    assert "\nINCOMPLETE: 1 of 2 sequence(s) are scored.\n" in out
    message = "1 of 2 sequence(s) are scored; --journal job --resume continues"
    assert (code, err) == (130, f"flame-metric: interrupted: {message}\n")
    wanted = evaluate_folders("preds", "labels", **QUESTION)
    gone_on = process("-m", "flame_metric", *words, "--resume", "--json", "-")
    assert gone_on == (0, wanted.to_json() + "\n", "")


@needs_signals
def test_ctrl_c_before_a_sequence_is_finished(world: Path) -> None:
    stopped = process("-c", SIGNAL_AT.format(frame=1), "evaluate", *evaluate())
    assert stopped == (130, "", "flame-metric: interrupted: the command is incomplete, its results are lost\n")


@needs_signals
def test_ctrl_c_while_a_network_runs(world: Path) -> None:
    """The network itself raises a real SIGINT, at the 18th of 24 frames; the last before it may not be counted yet."""
    Path("net.py").write_text(NETWORK.replace("STOP_AT", "18"), encoding="utf-8")
    data = "synthetic:videos=6,num_frames=4,height=32,width=48"
    words = ["-m", "flame_metric", "run", "net:build", data, "--frame-offset", "1", "--jobs", "1"]
    code, out, err = process(*words, "--journal", "job")
    found = re.search(r"\nINCOMPLETE: ([1-4]) of 6 sequence\(s\) are scored\.\n", out)
    assert found, (code, out, err)
    message = f"{found[1]} of 6 sequence(s) are scored; --journal job --resume continues"
    assert (code, err) == (130, f"flame-metric: interrupted: {message}\n")
    Path("net.py").write_text(NETWORK.replace("STOP_AT", "0"), encoding="utf-8")
    gone_on = process(*words, "--journal", "job", "--resume", "--json", "-")
    assert gone_on == process(*words, "--json", "-")
    assert gone_on[0] == 0


# ── the header first ──


@needs_pillow
@pytest.mark.parametrize(
    ("header", "says"),
    [
        (png_header(9, 6), "has shape (6, 9), expected (6, 8); nothing is resized"),
        (png_header(24_000, 24_000), "has 24000x24000 pixels, expected at most 64,000,000"),
        (png_header(8, 6, colour=RGB), f"is RGB (3 channels), {CHANNELS}"),
    ],
    ids=["another size", "too large", "of colours"],
)
def test_nothing_is_read_after_a_wrong_header(
    header: bytes, says: str, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file goes on for a terabyte that no memory holds and no disk has, and Pillow is out of order."""
    image_file = pytest.importorskip("flame_metric.data.images")
    monkeypatch.setattr(image_file.Image, "open", lambda *_, **__: pytest.fail("an image is decoded"))
    write_label_maps(world, {f"{PRED}.png": header})
    os.truncate(f"{PRED}.png", 2**40)
    with pytest.raises(DatasetError) as raised:
        evaluate_folders("preds", "labels", **QUESTION)
    assert str(raised.value) == f"{PRED}.png: {says}"


MEMORY = """
import sys
from flame_metric.cli import main

code = main(sys.argv[1:])
with open("/proc/self/status", encoding="ascii") as status:  # unlike getrusage, not that of the process that began this
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
print(code, int(peak) * 1024)
"""


@needs_pillow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not say what memory was taken")
@pytest.mark.parametrize("place", [f"{PRED}.png", f"{LABEL}.png"])
def test_a_bomb_takes_no_memory(place: str, world: Path) -> None:
    """Of 0.6 GB in 0.6 MB: refusing it takes no 30 MB more than to evaluate sound files."""

    def peak() -> tuple[int, int]:
        _, out, _ = process("-c", MEMORY, "evaluate", *evaluate(), "--json", "result.json", "--csv", "table.csv")
        code, taken = out.split()[-2:]
        return int(code), int(taken)

    code, usual = peak()
    assert code == 0
    assert len(BOMB) < 600_000
    write_label_maps(world, {place: BOMB})
    code, taken = peak()
    assert code == 3
    assert taken < usual + 30_000_000


@needs_pillow
def test_the_bomb_is_a_sound_file(tmp_path: Path) -> None:
    """Of a size that may be read, it is read."""
    images = pytest.importorskip("flame_metric.data.images")
    (tmp_path / "a.png").write_bytes(png_bomb(1_100, 1_000))
    assert not images.read_label_png(tmp_path / "a.png", shape=(1_000, 1_100)).any()


# ── manifests ──


@needs_pillow
@pytest.mark.parametrize("line", ["../outside", "/etc", "a/../../b", "..", "a\\b", "street\0"])
def test_manifests_stay_in_their_folder(line: str, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("JPEGImages/480p", "Annotations/480p", "ImageSets/2017"):
        (world / "davis" / folder).mkdir(parents=True)
    manifest = world / "davis" / "ImageSets" / "2017" / "val.txt"
    manifest.write_bytes(b"street\n" + line.encode())
    message = f"line 2 is {line!r}, expected the name of a video, which is that of a folder"
    assert main(["run", "flame_metric.demo:segmenter", "davis:davis", "--frame-offset", "1"]) == 3
    assert capsys.readouterr() == ("", f"flame-metric: error: davis/ImageSets/2017/val.txt: {message}\n")
    with pytest.raises(DatasetError, match=re.escape(message)) as raised:
        open_dataset("davis:davis")
    assert raised.value.path == str(manifest.relative_to(world))


# ── names ──


def test_names_stay_text_in_every_format(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["<b>road|</b>", "=1+1", r"\input{x} & 50 %"]
    shown = {
        "text": names,
        "markdown": [r"&lt;b&gt;road\|&lt;/b&gt;", "=1+1", r"\\input{x} &amp; 50 %"],
        "latex": [
            r"\textless{}b\textgreater{}road\textbar{}\textless{}/b\textgreater{}",
            "=1+1",
            r"\textbackslash{}input\{x\} \& 50 \%",
        ],
        "csv": [names[0], "'=1+1", names[2]],
    }
    for format, wanted in shown.items():
        assert main(["evaluate", *evaluate(), "--class-names", ",".join(names), "--format", format]) == 0
        out = capsys.readouterr().out
        assert all(name in out for name in wanted), out
    assert main(["evaluate", *evaluate(), "--class-names", ",".join(names), "--json", "result.json"]) == 0
    pytest.importorskip("jinja2", reason="a report needs jinja2")
    assert main(["report", "result.json", "--output", "report.html"]) == 0
    page = (world / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;road|&lt;/b&gt;" in page
    assert "<b>road" not in page


@pytest.mark.parametrize("start", "=+-@")
def test_cells_of_a_spreadsheet_that_would_be_formulas_are_quoted(
    start: str, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *evaluate(), f"--class-names={start}1+1,a,b", "--csv", "-"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert [row[0] for row in rows[1:4]] == [f"'{start}1+1", "a", "b"]
