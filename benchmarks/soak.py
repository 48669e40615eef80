"""Soak: a million frames of streams, and ten thousand clips from disk: time by their number, and memory.

    python benchmarks/soak.py [--frames 1000000] [--clips 10000]

Each row is a process of its own, so that its peak memory is its own; growth is counted from behind the imports and a
first job, which loads what counts fast. Streams: one worker whose latencies are drawn anew for every call, 33 ms at 30
fps on average, label maps of 12x16 that are made on the way; once as clips of 100 frames, once as a single clip. Clips
from disk: three frames of 48x64 each as .npy, all three scores of `evaluate` with a journal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import machine, markdown
from evaluate import peak_kib

from flame_metric import FlameMeter, LatencyTrace, StreamConfig, simulate_stream
from flame_metric.jobs.evaluate import Job, evaluate_folders

CLASSES, CLIP = 8, 100
SHARES = (8, 4, 2, 1)  # the sizes that are measured: an eighth, a quarter, a half, all


def label_maps(frames: int) -> Iterator[np.ndarray]:
    """Yield maps that move on from frame to frame."""
    scene = np.random.default_rng(0).integers(0, CLASSES, (12, 1024), np.uint8)
    for frame in range(frames):
        yield scene[:, frame % 1008 :][:, :16]


def stream(frames: int, clip: int) -> int:
    """Simulate and score streams of so many frames in all; return the number of pairs."""
    latency = LatencyTrace(np.random.default_rng(1).gamma(9.0, 33 / 9, 1000).round(3), replay="random")
    meter = FlameMeter(CLASSES)
    for number in range(frames // clip):
        schedule = simulate_stream(latency, StreamConfig(), num_frames=clip, fps=30, seed=number)
        meter.update_sequence(label_maps(clip), label_maps(clip), sequence=f"{number}", schedule=schedule)
    return meter.compute().num_pairs


def write_clips(root: Path, clips: int) -> None:
    maps = list(label_maps(64))
    for side in ("predictions", "labels"):
        for clip in range(clips):
            folder = root / side / f"{clip:06}"
            folder.mkdir(parents=True)
            for frame in range(3):
                np.save(folder / f"{frame}.npy", np.tile(maps[(clip + frame) % 64], (4, 4)))


def evaluate(root: Path) -> int:
    found = evaluate_folders(
        root / "predictions",
        root / "labels",
        num_classes=CLASSES,
        fps=30,
        frame_offset=1,
        job=Job(journal=root / "job.jsonl"),
    )
    return found.flame.num_pairs


def measured(kind: str, number: int) -> dict[str, float]:
    """Run one job here, and return its seconds and how much its peak memory grew."""
    stream(6_000, CLIP)
    with tempfile.TemporaryDirectory() as folder:
        if kind == "disk":
            write_clips(Path(folder), number)
        before, start = peak_kib(), time.perf_counter()
        pairs = evaluate(Path(folder)) if kind == "disk" else stream(number, CLIP if kind == "clips" else number)
        return {"seconds": time.perf_counter() - start, "mib": (peak_kib() - before) / 1024, "pairs": pairs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--one", nargs=2, metavar=("KIND", "NUMBER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one[0], int(arguments.one[1]))))
        return
    print(f"{machine()}\n")
    jobs = (
        ("clips", "frames of streams, in clips of 100", arguments.frames),
        ("whole", "frames of one stream", arguments.frames),
        ("disk", "clips of three frames from disk", arguments.clips),
    )
    rows = []
    for kind, title, most in jobs:
        for share in SHARES:
            number = most // share
            words = [sys.executable, __file__, "--one", kind, str(number)]
            found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
            each = f"{1e6 * found['seconds'] / number:.1f}"
            rows.append([f"{number:,} {title}", f"{found['seconds']:.1f}", each, f"{found['mib']:.0f}"])
    print(markdown(["", "s", "us each", "peak memory grew by, MiB"], rows))


if __name__ == "__main__":
    main()
