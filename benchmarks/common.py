"""What the benchmarks share: label maps, interleaved medians, a Markdown table, the name of the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from flame_metric.data.synthetic import VOID, synthetic_video

HEIGHT, WIDTH = 1024, 2048


def label_maps(count: int) -> tuple[str, list[np.ndarray]]:
    """Return label maps of 1024x2048 one frame apart: CamVid's enlarged where they are at hand, else synthetic ones."""
    root = os.environ.get("FLAME_METRIC_TEST_DATA")
    if root and (folder := Path(root, "camvid_dense", "labels")).is_dir():
        from PIL import Image  # noqa: PLC0415  only needed here

        files = sorted(folder.glob("*.png"))[:count]
        maps = [np.array(Image.open(file).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)) for file in files]
        return "CamVid, enlarged", [np.where(labels == 11, VOID, labels).astype(np.uint8) for labels in maps]
    video = synthetic_video(num_frames=count, height=HEIGHT, width=WIDTH, fps=15)
    return "synthetic street", [np.array(target) for target in video.targets]


def interleaved_ms(methods: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Run all methods in turn, again and again, and return the median time of each: what disturbs one disturbs all."""
    for method in methods.values():
        method()
    samples: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            start = time.perf_counter()
            method()
            samples[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(times) for name, times in samples.items()}


def machine() -> str:
    """Name processor, cores and versions."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("numpy", "torch", "torchmetrics", "scikit-learn", "pillow")
    )
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, [":--", *["--:"] * (len(columns) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
