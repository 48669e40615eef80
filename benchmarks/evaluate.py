"""From disk to score: `evaluate_folders` on 1024x2048 PNGs beside Pillow's decoding of the same files alone.

    python benchmarks/evaluate.py [--pairs 1000] [--jobs 2] [--rounds 3]

Both run with as many workers (Pillow: processes, ours: threads), in turn; starting processes is not timed. The pairs
are links to at most 101 different files, so both sides read from the page cache. Memory is the growth of a fresh
process's peak during an evaluation, for a tenth of the pairs and for all of them, after numba has been loaded.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from common import label_maps, machine, markdown
from PIL import Image

from flame_metric import MissingExtraError
from flame_metric.data.synthetic import VOID
from flame_metric.jobs.evaluate import Job, evaluate_folders
from flame_metric.scores.evaluation import Evaluation

SEQUENCE = 50
CLASSES = 19


def write_dataset(root: Path, pairs: int) -> str:
    """Write as many pairs of PNG label maps, in sequences of 50; predictions are the labels of the frame after."""
    source, maps = label_maps(min(pairs, 100) + 1)
    files = []
    for index, labels in enumerate(maps):
        files.append(root / "maps" / f"{index:06}.png")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(labels).save(files[-1])
    for pair in range(pairs):
        for folder, shift in (("labels", 0), ("predictions", 1)):
            copy = root / folder / f"{pair // SEQUENCE:03}" / f"{pair % SEQUENCE:06}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(files[pair % (len(maps) - 1) + shift], copy)
    return source


def decode(file: Path) -> int:
    with Image.open(file) as image:
        return int(np.asarray(image)[0, 0])


def evaluate(root: Path, jobs: int, offset: int) -> Evaluation:
    return evaluate_folders(
        root / "predictions",
        root / "labels",
        num_classes=CLASSES,
        fps=15,
        frame_offset=offset,
        ignore_index=VOID,
        job=Job(jobs=jobs),
    )


def peak_memory_mib(root: Path, jobs: int) -> float:
    """Run one evaluation in a process of its own and return how much its peak memory grew during it."""
    command = [sys.executable, __file__, "--measure-memory", str(root), "--jobs", str(jobs)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_memory(root: Path, jobs: int) -> None:
    with suppress(MissingExtraError):
        import flame_metric.core.counting_numba  # noqa: F401, PLC0415  a large job loads numba on its way: 125 MiB, once
    before = peak_kib()
    evaluate(root, jobs, 2)
    print((peak_kib() - before) / 1024)


def peak_kib() -> int:
    """Return this process's peak memory (Linux); getrusage would tell that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure-memory", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure_memory:
        measure_memory(arguments.measure_memory, arguments.jobs)
        return
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        root, small = Path(folder, "all"), Path(folder, "tenth")
        source = write_dataset(root, arguments.pairs)
        write_dataset(small, arguments.pairs // 10)
        files = sorted((root / "labels").rglob("*.png")) + sorted((root / "predictions").rglob("*.png"))
        times: dict[str, list[float]] = {"Pillow decodes": [], "evaluate, k = 1": [], "evaluate, k = 4": []}
        with ProcessPoolExecutor(arguments.jobs) as pool:
            list(pool.map(decode, files[:20]))
            for _ in range(arguments.rounds):
                start = time.perf_counter()
                list(pool.map(decode, files, chunksize=20))
                times["Pillow decodes"].append(time.perf_counter() - start)
                for offset in (1, 4):
                    start = time.perf_counter()
                    found = evaluate(root, arguments.jobs, offset)
                    times[f"evaluate, k = {offset}"].append(time.perf_counter() - start)
                    assert found.flame.num_pairs == arguments.pairs - offset * -(-arguments.pairs // SEQUENCE)
        medians = {name: statistics.median(samples) for name, samples in times.items()}
        base = medians["Pillow decodes"]
        rows = [[name, f"{seconds:.2f}", f"{seconds / base:.2f}"] for name, seconds in medians.items()]
        print(f"\n{arguments.pairs} pairs of 1024x2048 PNGs, {source}, {arguments.jobs} jobs, all three scores\n")
        print(markdown(["", "s", "x Pillow"], rows))
        grown = [peak_memory_mib(path, arguments.jobs) for path in (small, root)]
        print(f"\nPeak memory grew by {grown[0]:.0f} MiB for a tenth of the pairs, by {grown[1]:.0f} MiB for all.")


if __name__ == "__main__":
    main()
