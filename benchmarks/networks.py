"""How long the paper's networks take, and the frame offset that follows at three frame rates, beside the paper's.

    python benchmarks/networks.py [--device cuda] [--size 1024,2048] [--samples 200] [--amp bfloat16] [--channels-last]

From a normalised frame to its label map, batch 1, as `measure_latency` tells it: the median with its interval, in a row
for one input frame and a row for two. The paper's are of a GTX 1080 Ti.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from common import machine, markdown

from flame_metric import frame_offset, latency_report, measure_latency, torch_runner
from flame_metric.networks import NAMES, build, network_cost
from flame_metric.paper.published import paper_table

CLASSES = 19
RATES = (17, 30, 60)
RING = 4  # distinct inputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", default="1024,2048", help="height and width of a frame")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--amp", help="autocast to float16 or bfloat16")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--networks", default=",".join(NAMES))
    options = parser.parse_args()
    height, width = map(int, options.size.split(","))
    generator = np.random.default_rng(0)
    columns = ("network", "frames", "GMAC", "median ms", "95 %", *(f"k at {rate} fps" for rate in RATES), "paper ms")
    rows = []
    for name in options.networks.split(","):
        for frames in (1, 2):
            network = build(name, CLASSES, frames=frames)
            cost = network_cost(network, height, width)
            runner = torch_runner(
                network, device=options.device, autocast=options.amp, channels_last=options.channels_last
            )
            inputs = [generator.standard_normal((3 * frames, height, width), np.float32) for _ in range(RING)]
            trace = measure_latency(runner, inputs, samples=options.samples, progress=show(f"{name}, {frames}"))
            interval = latency_report(trace).interval
            span = "" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}"
            offsets = (str(frame_offset(trace.median_ms, rate)) for rate in RATES)
            printed = f"{paper_table().networks[name].latency_ms:g}" if frames == 1 else ""
            macs = f"{cost.multiply_accumulates / 1e9:.1f}"
            rows.append((name, str(frames), macs, f"{trace.median_ms:.1f}", span, *offsets, printed))
    print(f"{machine()}, {device_name(options.device)}, {height}x{width}, {options.amp or 'float32'}\n")
    print(markdown(columns, rows))


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "on the CPU"


def show(task: str):
    last = time.monotonic()

    def step(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > 10:
            last = time.monotonic()
            print(f"{task}: {done} of {total}", flush=True)

    return step


if __name__ == "__main__":
    main()
