"""The recipe for Slurm with an sbatch that runs what it is given at once: equal to one process, and it goes on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import flame_metric
from flame_metric import LatencyTrace
from flame_metric.cli import main
from recipes import blocks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here"),
]

SBATCH = """
import argparse, itertools, os, pathlib, subprocess, sys

parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("job-name", "output", "cpus-per-task", "array", "dependency", "kill-on-invalid-dep", "wrap"):
    parser.add_argument(f"--{name}")
for name in ("parsable", "exclusive", "requeue"):
    parser.add_argument(f"--{name}", action="store_true")
job = parser.parse_args()
jobs = pathlib.Path("jobs")
jobs.mkdir(exist_ok=True)
number = next(number for number in itertools.count(1) if not (jobs / str(number)).exists())
ended = "cancelled"
if job.dependency is None or (jobs / job.dependency.removeprefix("afterok:")).read_text().endswith("completed"):
    first, last = map(int, (job.array or "0-0").split("-"))
    codes = []
    for task in reversed(range(first, last + 1)):  # in any order
        environment = {**os.environ, **({"SLURM_ARRAY_TASK_ID": str(task)} if job.array else {})}
        with open(job.output.replace("%a", str(task)), "w") as output:
            command = ["sh", "-c", job.wrap]
            codes.append(subprocess.run(command, env=environment, stdout=output, stderr=output).returncode)
    ended = "failed" if any(codes) else "completed"
(jobs / str(number)).write_text(f"{job.job_name} {ended}")
print(f"{number};cluster" if job.parsable else f"Submitted batch job {number}")
"""


@pytest.fixture
def submit(tmp_path, monkeypatch):
    """Run the script of the recipe in a folder of its own, and return how each job ended."""
    programs = {"sbatch": ("-c", SBATCH), "flame-metric": ("-m", "flame_metric")}
    (tmp_path / "bin").mkdir()
    for name, (option, program) in programs.items():
        path = tmp_path / "bin" / name
        (tmp_path / "bin" / f"{name}.txt").write_text(program)
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {option} "$(cat "$0.txt")" "$@"\n')
        path.chmod(0o755)
    (script,) = blocks("slurm.md", "bash")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    Path("shards.sh").write_text(script)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(flame_metric.__file__).parents[1]),
    }

    def run():
        shutil.rmtree("jobs", ignore_errors=True)
        done = subprocess.run(
            ["bash", "shards.sh"], env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return [path.read_text() for path in sorted(Path("jobs").iterdir())]

    return run


def logs():
    return {path.name: path.read_text() for path in Path("logs").iterdir()}


def test_shards_are_counted_and_merged(submit, capsys):
    assert submit() == ["latency completed", "count completed", "merge completed"], logs()
    data = "synthetic:videos=5,num_frames=6,height=64,width=128"
    alone = ["run", "flame_metric.demo:segmenter", data, "--trace", "job/trace.json", "--json", "alone.json"]
    assert main(alone) == 0
    assert Path("job", "result.json").read_text() == Path("alone.json").read_text()
    assert capsys.readouterr().out == logs()["merge.txt"]

    # A part that is cut, as a kill leaves it, is refused with the code that Slurm shows; the same script goes on.
    part, trace = Path("job", "part2.jsonl"), Path("job", "trace.json").read_bytes()
    whole = part.read_bytes()
    part.write_bytes(whole[:-9])
    parts = [f"job/part{shard}.jsonl" for shard in (1, 2, 3)]
    assert main(["merge", *parts]) == 4
    assert (
        "1 of 5 sequence(s) are in no part: synthetic-4; give all parts, or --allow-partial" in capsys.readouterr().err
    )
    Path("job", "result.json").unlink()
    assert submit() == ["latency completed", "count completed", "merge completed"], logs()
    assert part.read_bytes() == whole
    assert Path("job", "trace.json").read_bytes() == trace
    assert Path("job", "result.json").read_text() == Path("alone.json").read_text()


def test_what_fails_is_not_merged(submit):
    Path("job").mkdir()
    Path("job", "trace.json").write_text(LatencyTrace([76], replay="random").to_json())
    Path("job", "part2.jsonl").write_text("no journal\n")
    assert submit() == ["latency completed", "count failed", "merge cancelled"]
    assert "part2.jsonl: is not a journal" in logs()["count2.txt"]
    assert not Path("job", "result.json").exists()
