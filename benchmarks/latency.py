"""The latency of one network as `measure_latency` tells it, beside what other timers call its time.

    python benchmarks/latency.py [--device cpu] [--threads N] [--shape 3,256,512] [--fps 15] [--rounds 3]

All time the same call, frame to label map, batch 1, in turn; the numbers are medians over the rounds. triton's do_bench
needs a CUDA device and triton, and is left out elsewhere.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from common import machine, markdown
from torch.utils.benchmark import Timer

from flame_metric import LatencyTrace, latency_report, measure_latency, torch_runner

CLASSES = 19
BLOCK = 40  # calls of a back-to-back block
SECONDS = 2.0  # what each timer may take in a round, where it can be told


class Encoder(torch.nn.Module):
    """A small encoder with skips of three scales: enough layers for launches to count, small enough for a CPU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = (32, 64, 128)
        self.stages = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False),
                torch.nn.BatchNorm2d(width),
                torch.nn.ReLU(),
                torch.nn.Conv2d(width, width, 3, padding=1, bias=False),
                torch.nn.BatchNorm2d(width),
                torch.nn.ReLU(),
            )
            for before, width in itertools.pairwise((channels, *widths))
        )
        self.scores = torch.nn.ModuleList(torch.nn.Conv2d(width, CLASSES, 1) for width in widths)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        size, total = batch.shape[2:], torch.zeros((), device=batch.device)
        for stage, scores in zip(self.stages, self.scores, strict=True):
            batch = stage(batch)
            total = total + torch.nn.functional.interpolate(scores(batch), size, mode="bilinear")
        return total


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def back_to_back(call: Callable[[], Any], device: torch.device) -> tuple[float, int]:
    """Time one block of calls that do not wait for each other, divided by their number."""
    for _ in range(10):
        call()
    wait(device)
    start = time.perf_counter()
    for _ in range(BLOCK):
        call()
    wait(device)
    return (time.perf_counter() - start) * 1000 / BLOCK, BLOCK


def blocked_autorange(call: Callable[[], Any], threads: int) -> tuple[float, int]:
    found = Timer("call()", globals={"call": call}, num_threads=threads).blocked_autorange(min_run_time=SECONDS)
    return found.median * 1000, len(found.times) * found.number_per_run


def do_bench(call: Callable[[], Any]) -> tuple[float, int]:
    from triton.testing import do_bench as bench  # noqa: PLC0415  only there with CUDA

    times = bench(call, return_mode="all")  # its defaults otherwise: the mean of these is what it returns
    return statistics.mean(times), len(times)


def traced(runner: Any, inputs: np.ndarray, fps: str | None, traces: list[LatencyTrace]) -> tuple[float, int]:
    traces.append(measure_latency(runner, inputs, pace_fps=fps, time_cap_s=20))
    return traces[-1].median_ms, len(traces[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shape", default="3,256,512")
    parser.add_argument("--fps", default="15")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    shape = tuple(int(length) for length in arguments.shape.split(","))
    inputs = np.random.default_rng(0).standard_normal((4, *shape), np.float32)
    torch.manual_seed(0)
    threads = arguments.threads
    runner = torch_runner(Encoder(shape[0]), device=device, threads=threads)
    frame = runner.prepare(inputs[0])
    traces: dict[str, list[LatencyTrace]] = {"at once": [], "paced": []}

    def call() -> Any:
        return runner.run(frame)

    methods: dict[str, tuple[Callable[[], tuple[float, int]], str]] = {
        "measure_latency": (lambda: traced(runner, inputs, None, traces["at once"]), "nothing known"),
        f"measure_latency, paced to {arguments.fps} fps": (
            lambda: traced(runner, inputs, arguments.fps, traces["paced"]),
            "nothing known",
        ),
        "torch.utils.benchmark, as it comes": (
            lambda: blocked_autorange(call, 1),
            ("all threads but one; " if threads > 1 else "") + "single calls (median of blocks); other inputs",
        ),
        f"torch.utils.benchmark, {threads} threads": (
            lambda: blocked_autorange(call, threads),
            "single calls (median of blocks); other inputs",
        ),
        "back to back, as timm times": (
            lambda: back_to_back(call, device),
            "single calls (a mean); other inputs"
            + ("; launches, done while the device works on the call before" if device.type == "cuda" else ""),
        ),
    }
    if threads == 1:
        del methods[f"torch.utils.benchmark, {threads} threads"]  # that is how it comes
    if device.type == "cuda" and find_spec("triton"):
        hidden = "the host's part of a call (events alone); all but a tenth of a second of calls; a mean; other inputs"
        methods["triton do_bench, as it comes"] = (lambda: do_bench(call), hidden)
    print(machine())
    if device.type == "cuda":
        print(torch.cuda.get_device_name(device))
    results: dict[str, list[tuple[float, int]]] = {name: [] for name in methods}
    for _ in range(arguments.rounds):
        for name, (method, _) in methods.items():
            with runner.context():
                results[name].append(method())
    print(f"\n{device.type}, frame {shape}, {threads} threads, {arguments.rounds} rounds\n")
    rows = []
    for name, (_, hides) in methods.items():
        times = [found for found, _ in results[name]]
        spread = f"{min(times):.2f} .. {max(times):.2f}"
        calls = f"{statistics.median(number for _, number in results[name]):.0f}"
        rows.append([name, f"{statistics.median(times):.2f}", spread, calls, hides])
    print(markdown(["timer", "ms", "lowest .. highest round", "calls a round", "what it hides"], rows))
    for name, found in traces.items():
        print(f"\nmeasure_latency, {name}, last round\n")
        print(latency_report(found[-1], fps=arguments.fps).table("markdown"))


if __name__ == "__main__":
    main()
