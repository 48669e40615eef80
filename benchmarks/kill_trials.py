"""Killing long jobs again and again: `evaluate`, `run` and `reproduce` end as if nobody had killed them.

    python benchmarks/kill_trials.py [--kills 100] [--seed 0]

A trial runs one command until it comes through. Each attempt but the last is ended by SIGKILL at a random moment within
the time that the command took when it last came through at once, or a tenth longer; the next goes on with what is kept.
Then counts, scores, intervals, notes and bank, or the three files of Table 1, are compared with those of a process that
was left alone, byte by byte. Trials of the commands take turns until all have seen enough kills. `run` measures the
latency of its network; the one that the journal of a trial keeps is given to the process that is left alone. The JSON
of `reproduce` says how long its trainings took and at which step they went on: that is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import machine, markdown

import flame_metric

CLIPS, FRAMES, CLASSES = 12, 24, 8
MOST_ATTEMPTS = 60  # then a trial is left in peace
EVALUATE = ["evaluate", "preds", "labels", "--num-classes", f"{CLASSES}", "--fps", "17", "--ignore-index", "255"]
EVALUATE += ["--latency-ms", "76", "--workers", "1", "--max-offset", "6"]
RUN = ["run", "slow_network:build", "synthetic:videos=12,num_frames=12,height=64,width=128", "--max-offset", "4"]
REPRODUCE = ["reproduce", "--networks", "swiftnet-r18", "--latency", "swiftnet-r18=70", "--crop", "32,64"]
REPRODUCE += ["--data", "synthetic:videos=12,num_frames=8,height=32,width=64", "--iterations", "3"]
TRAININGS = 3
OF_THE_PROCESS = ("seconds", "images_per_second", "resumed_at")
NETWORK = """
import time
from flame_metric.demo import segmenter

def build():
    network = segmenter()
    def run(frame):
        time.sleep(0.004)  # so that kills fall into the run, too, and not into the start of Python alone
        return network(frame)
    return run
"""


@dataclass
class Tally:
    """What came of the trials of one command."""

    trials: int = 0
    kills: int = 0
    within: int = 0  # kills that left some sequences in the journals, and not all
    equal: int = 0
    seconds: float = 0.0  # that the command took when it last came through at once


def make_data(folder: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for side in ("preds", "labels"):
        for clip in range(CLIPS):
            (folder / side / f"clip{clip:02}").mkdir(parents=True)
            for frame in range(FRAMES):
                labels = generator.integers(0, CLASSES, (96, 128)).repeat(2, 0).repeat(2, 1).astype(np.uint8)
                if side == "labels":
                    labels[generator.random(labels.shape) < 0.1] = 255
                np.save(folder / side / f"clip{clip:02}" / f"{frame:03}.npy", labels)
    (folder / "slow_network.py").write_text(NETWORK)


def start(folder: Path, words: list[str]) -> subprocess.Popen[bytes]:
    package = str(Path(flame_metric.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "flame_metric", *words]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, error = process.communicate()
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {error.decode()}")


def words_of(command: str, name: str, *, killed: bool) -> list[str]:
    """Return a command with its outputs: for an attempt that goes on with what is kept, or to be left alone."""
    if command == "reproduce":
        return [*REPRODUCE, "--out", name]
    kept = ["--journal", "journal", "--resume"] if killed else []
    timing = ["--samples", "30"] if killed else ["--trace", "trace.json"]
    words = EVALUATE if command == "evaluate" else [*RUN, *timing]
    return [*words, *kept, "--json", f"{name}.json", "--bank", f"{name}.npz"]


def journals(folder: Path, command: str) -> list[Path]:
    return [*(folder / "killed").rglob("scores.jsonl")] if command == "reproduce" else [*folder.glob("journal")]


def forget(folder: Path) -> None:
    (folder / "journal").unlink(missing_ok=True)
    shutil.rmtree(folder / "killed", ignore_errors=True)


def trial(folder: Path, command: str, tally: Tally, dice: random.Random) -> None:
    """Kill a command until it comes through."""
    forget(folder)
    for attempt in range(MOST_ATTEMPTS):
        began = time.perf_counter()
        process = start(folder, words_of(command, "killed", killed=True))
        if attempt < MOST_ATTEMPTS - 1:
            try:
                process.wait(timeout=dice.uniform(0, 1.1 * tally.seconds))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        process.wait()
        if process.returncode != -signal.SIGKILL:
            finish(process)
            if attempt == 0:  # other programs on the machine come and go
                tally.seconds = time.perf_counter() - began
            return
        process.communicate()
        tally.kills += 1
        kept = sum(max(0, path.read_bytes().count(b"\n") - 1) for path in journals(folder, command))
        tally.within += 0 < kept < (TRAININGS if command == "reproduce" else 1) * CLIPS


def latency_of(folder: Path) -> None:
    """Write the latency that a journal keeps as a trace."""
    header = json.loads((folder / "journal").read_bytes().splitlines()[0])
    (folder / "trace.json").write_text(json.dumps(header["configuration"]["question"]["latency"]))


def same(folder: Path, command: str) -> bool:
    if command == "reproduce":
        killed, alone = folder / "killed", folder / "alone-reproduce"
        files = all((killed / name).read_bytes() == (alone / name).read_bytes() for name in ("table1.md", "table1.tex"))
        tables = [(out / "table1.json").read_text().replace(f'"{out.name}/', '"') for out in (killed, alone)]
        return files and timeless(json.loads(tables[0])) == timeless(json.loads(tables[1]))
    return all(
        (folder / f"killed{suffix}").read_bytes() == (folder / f"alone-{command}{suffix}").read_bytes()
        for suffix in (".json", ".npz")
    )


def timeless(record: Any) -> Any:
    if isinstance(record, dict):
        return {name: timeless(value) for name, value in record.items() if name not in OF_THE_PROCESS}
    return [timeless(value) for value in record] if isinstance(record, list) else record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="of each command, at least")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    tallies = {"evaluate": Tally(), "run": Tally(), "reproduce": Tally()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder, arguments.seed)
        for command, tally in tallies.items():
            forget(folder)
            began = time.perf_counter()
            finish(start(folder, words_of(command, "killed", killed=True)))  # this time, it is not
            tally.seconds = time.perf_counter() - began
            if command != "run":
                finish(start(folder, words_of(command, f"alone-{command}", killed=False)))
        while any(tally.kills < arguments.kills for tally in tallies.values()):
            for command, tally in tallies.items():
                if tally.kills >= arguments.kills:
                    continue
                trial(folder, command, tally, dice)
                if command == "run":
                    latency_of(folder)
                    finish(start(folder, words_of(command, f"alone-{command}", killed=False)))
                tally.trials += 1
                tally.equal += same(folder, command)
                print(f"{command}: {tally}", file=sys.stderr)
    print(f"{machine()}\n")
    rows = [
        [command, *map(str, (tally.trials, tally.kills, tally.within, tally.equal))]
        for command, tally in tallies.items()
    ]
    print(markdown(["command", "trials", "kills", "of which between two sequences", "equal"], rows))
    if any(tally.equal < tally.trials for tally in tallies.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
