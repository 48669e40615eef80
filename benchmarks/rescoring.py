"""Rescoring: what it takes to ask a bank for the scores of many scenarios.

    python benchmarks/rescoring.py [--clips 500] [--frames 30] [--scenarios 1000]

The bank holds clips of small label maps, all labelled or one label a clip: what a question costs does not depend on the
size of the images. Scenarios are latencies, frame rates and streams drawn at random; every one is answered by the
fixed offset and by the stream. Beside it: the same number of questions answered by counting a small clip again.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from common import machine, markdown

from flame_metric import FlameMeter, LatencyTrace, OffsetBank, StreamConfig, simulate_stream

CLASSES, MAX_OFFSET, FPS = 19, 20, 17
STREAMS = (StreamConfig(), StreamConfig(workers=2), StreamConfig(workers=None), StreamConfig(queue=2))


def filled(clips: int, frames: int, labels_from: int) -> OffsetBank:
    generator = np.random.default_rng(0)
    bank = OffsetBank(CLASSES, max_offset=MAX_OFFSET, fps=FPS)
    for clip in range(clips):
        maps = list(generator.integers(0, CLASSES, (frames, 8, 8)))
        targets = [labels if frame >= labels_from else None for frame, labels in enumerate(maps)]
        bank.update_sequence(maps, targets, sequence=f"{clip:04}")
    return bank


def ask(bank: OffsetBank, scenarios: int, replay: str | None) -> float:
    generator = np.random.default_rng(1)
    start = time.perf_counter()
    for number in range(scenarios):
        latency_ms = float(generator.uniform(5, 450))
        latency = LatencyTrace(generator.uniform(5, 300, 40), replay=replay) if replay else latency_ms
        _ = bank.score(latency_ms=latency_ms).miou, bank.stream(latency, STREAMS[number % 4]).miou
    return time.perf_counter() - start


def count_again(frames: int, clips: int) -> float:
    """Seconds to count some clips of 1024x2048 label maps under one stream."""
    video = [
        np.kron(maps, np.ones((32, 64), np.uint8)) for maps in np.random.default_rng(0).integers(0, 19, (4, 32, 32))
    ]
    maps = [video[frame % 4].astype(np.uint8) for frame in range(frames)]
    schedule = simulate_stream(90, num_frames=frames, fps=FPS)
    start = time.perf_counter()
    meter = FlameMeter(CLASSES)
    for clip in range(clips):
        meter.update_sequence(maps, maps, sequence=f"{clip}", schedule=schedule)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--scenarios", type=int, default=1000)
    arguments = parser.parse_args()
    print(machine())
    again = count_again(arguments.frames, 2) / 2 * arguments.clips
    rows = []
    for name, labels_from in (("all", 0), ("one", arguments.frames - 1)):
        bank = filled(arguments.clips, arguments.frames, labels_from)
        for latency, replay in (("constant", None), ("trace by call", "call"), ("trace at random", "random")):
            seconds = ask(bank, arguments.scenarios, replay)
            each = seconds / arguments.scenarios
            rows.append([name, latency, f"{seconds:.1f}", f"{each * 1000:.1f}", f"{again / each:,.0f}"])
    print(
        f"\n{arguments.clips} clips of {arguments.frames} frames, {arguments.scenarios} scenarios, "
        f"offsets 0..{MAX_OFFSET}\n"
    )
    print(markdown(["labels", "latency", "all, s", "one, ms", "counting 1024x2048 maps again / it"], rows))


if __name__ == "__main__":
    main()
