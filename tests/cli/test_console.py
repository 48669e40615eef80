"""Standard streams that are closed, or whose reader has gone: no traceback, and what was found is not lost."""

import os
import subprocess
import sys

import numpy as np
import pytest

from flame_metric.scores.evaluation import Evaluation

CLOSED = """
import os, sys
for number in map(int, sys.argv[1].split()):
    os.close(number)
os.execv(sys.executable, [sys.executable, "-m", "flame_metric", *sys.argv[2:]])
"""
EVALUATE = ["evaluate", "preds", "labels", "--num-classes", "2", "--fps", "10"]


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch):
    """Folders of two clips, of which one has no pair, so that there is a warning."""
    monkeypatch.chdir(tmp_path)
    for folder in ("preds", "labels"):
        for clip, frames in (("long", 6), ("short", 2)):
            (tmp_path / folder / clip).mkdir(parents=True)
            for frame in range(frames):
                np.save(tmp_path / folder / clip / f"{frame}.npy", np.eye(4, dtype=np.uint8))


def broken_pipe():
    """Return the end of a pipe whose reader has gone."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    return write_end


def run(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, closed=""):
    program = ["-c", CLOSED, closed] if closed else ["-m", "flame_metric"]
    done = subprocess.run([sys.executable, *program, *words], stdout=stdout, stderr=stderr, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "words",
    [["--help"], ["evaluate", "--help"], ["--version"], [*EVALUATE, "--frame-offset", "2"]],
    ids=["help", "help of a command", "version", "table"],
)
def test_standard_output_without_a_reader(words):
    end = broken_pipe()
    try:
        code, _, err = run(*words, stdout=end)
    finally:
        os.close(end)
    assert code == 0
    assert "Traceback" not in err
    assert "Exception" not in err


def test_files_are_written_though_the_table_has_no_reader(world, tmp_path):
    end = broken_pipe()
    try:
        assert run(*EVALUATE, "--frame-offset", "2", "--json", "a.json", stdout=end)[0] == 0
    finally:
        os.close(end)
    assert Evaluation.load(tmp_path / "a.json").flame.num_pairs == 4


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([*EVALUATE, "--frame-offset", "2"], 0),  # with a warning
        ([*EVALUATE, "--frame-offset", "-1"], 2),
        ([*EVALUATE, "--frame-offset", "9"], 3),
        ([*EVALUATE, "--frame-offset", "9", "--debug"], 3),
        (["evaluate", "--bogus"], 2),
        (["bogus"], 2),
    ],
)
@pytest.mark.parametrize("how", ["closed", "broken"])
def test_standard_error_without_a_reader(words, code, how):
    """What would be said is not said; nothing of it goes to standard output, and the exit code is the same."""
    end = broken_pipe()
    try:
        kept = run(*words, stderr=end) if how == "broken" else run(*words, closed="2")
    finally:
        os.close(end)
    assert kept[0] == code
    assert ("mean IoU" in kept[1]) == (code == 0)
    assert "flame-metric:" not in kept[1]


@pytest.mark.parametrize("closed", ["1", "0 1", "1 2", "0 1 2"])
def test_closed_standard_output_is_an_error(closed):
    code, out, err = run(*EVALUATE, "--frame-offset", "2", closed=closed)
    assert (code, out) == (3, "")
    said = "flame-metric: error: standard output: cannot be written: Bad file descriptor\n"
    assert err.endswith("" if "2" in closed else said)
    assert "Traceback" not in err


@pytest.mark.parametrize("closed", ["1", "0 1 2"])
def test_files_do_not_get_the_number_of_a_closed_stream(closed, tmp_path):
    """Whatever a library prints would go into them."""
    files = ["--json", "a.json", "--journal", "j"]
    assert run(*EVALUATE, "--frame-offset", "2", *files, closed=closed)[0] == 3  # the table has no place
    assert Evaluation.load(tmp_path / "a.json").flame.num_pairs == 4
    assert (tmp_path / "j").read_bytes().startswith(b'{"configuration":')


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")  # noqa: PTH110
def test_a_full_disk_behind_standard_output():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        code, _, err = run(*EVALUATE, "--frame-offset", "1", stdout=full)
    assert (code, err) == (3, "flame-metric: error: standard output: cannot be written: No space left on device\n")
