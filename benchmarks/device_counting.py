"""Counting one pair of 1024x2048 label maps where it lies: every histogram of this package beside torchmetrics.

    python benchmarks/device_counting.py [--rounds N]

On the GPU if there is one, else on the CPU, and it says which. All counts are compared before anything is timed. `done`
is the time until the counts are there; `host` is the time for which the call holds the host. A method that makes the
host wait needs about as long for both. `floor` reads both inputs once.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from common import HEIGHT, WIDTH, label_maps, machine, markdown
from torch import Tensor
from torchmetrics.classification import MulticlassJaccardIndex

from flame_metric import FlameMetric, class_counts
from flame_metric.core.labels import LabelSpace
from flame_metric.data.synthetic import VOID
from flame_metric.torch.counting import HISTOGRAM, HISTOGRAMS, count_on_device

CLASSES = 19
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Pair = tuple[Tensor, Tensor]
Method = Callable[[Tensor, Tensor], Any]


class OfTorchMetrics:
    """The counts of its confusion matrix, or only the update."""

    def __init__(self, **options: Any) -> None:
        self.metric = MulticlassJaccardIndex(CLASSES, ignore_index=VOID, average=None, **options).to(DEVICE)

    def __call__(self, pred: Tensor, target: Tensor) -> None:
        batch = pred[None] if pred.ndim == 3 else pred
        self.metric.update(batch, target.long()[None] if batch.ndim == 4 else target)

    def counts(self, pred: Tensor, target: Tensor) -> Tensor:
        self.metric.reset()
        self(pred, target)
        matrix = self.metric.confmat
        return torch.stack([matrix.diagonal(), matrix.sum(dim=0), matrix.sum(dim=1)])


class OfMetric:
    """FlameMetric itself, bookkeeping included; on the CPU it counts with NumPy."""

    def __init__(self) -> None:
        self.metric = FlameMetric(CLASSES, ignore_index=VOID).to(DEVICE)

    def __call__(self, pred: Tensor, target: Tensor) -> None:
        self.metric.update(pred, target)

    def counts(self, pred: Tensor, target: Tensor) -> Tensor:
        self.metric.reset()
        self(pred, target)
        return self.metric.counts[0]


class OfHistogram:
    """One of this package's histograms."""

    def __init__(self, name: str) -> None:
        self.count = partial(count_on_device, space=LabelSpace(CLASSES, VOID), histogram=HISTOGRAMS[name])

    def __call__(self, pred: Tensor, target: Tensor) -> None:
        self.count(pred, target)

    def counts(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.count(pred, target).per_class


def floor(*inputs: Tensor) -> None:
    for tensor in inputs:
        tensor.view(torch.int32 if tensor.is_floating_point() else torch.int64).max()


def timed_ms(method: Callable[[], Any]) -> tuple[float, float]:
    """Return the time until all is done, and that for which the host is held."""
    if DEVICE.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start = time.perf_counter()
        begin.record()
        method()
        end.record()
        host = time.perf_counter() - start
        end.synchronize()
        return begin.elapsed_time(end), host * 1000
    start = time.perf_counter()
    method()
    elapsed = (time.perf_counter() - start) * 1000
    return elapsed, elapsed


def interleaved(methods: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Run all methods in turn, again and again: the median of both times of each."""
    for method in (*methods.values(), *methods.values()):
        method()
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            samples[name].append(timed_ms(method))
    return {
        name: (statistics.median(done for done, _ in times), statistics.median(host for _, host in times))
        for name, times in samples.items()
    }


def cycle(method: Method, pairs: list[Pair]) -> Callable[[], Any]:
    """Take another pair at each call: one pair alone would stay in the cache."""
    turn: Iterator[Pair] = itertools.cycle(pairs)
    return lambda: method(*next(turn))


def check(methods: dict[str, Any], pair: Pair) -> None:
    expected = class_counts(*pair, num_classes=CLASSES, ignore_index=VOID)
    for name, method in methods.items():
        if hasattr(method, "counts") and not np.array_equal(method.counts(*pair).cpu().numpy(), expected):
            raise AssertionError(f"{name} counts otherwise")


def table(title: str, pairs: list[Pair], rounds: int) -> None:
    methods: dict[str, Any] = {
        "floor": floor,
        "FlameMetric.update": OfMetric(),
        **{name + (" (in use)" if HISTOGRAMS[name] is HISTOGRAM else ""): OfHistogram(name) for name in HISTOGRAMS},
        "torchmetrics": OfTorchMetrics(),
        "torchmetrics, unchecked": OfTorchMetrics(validate_args=False),
    }
    for pair in pairs:
        check(methods, pair)
    times = interleaved({name: cycle(method, pairs) for name, method in methods.items()}, rounds)
    base, own = times["floor"][0], times["FlameMetric.update"][0]
    rows = [
        [name, f"{done:.3f}", f"{host:.3f}", f"{done / base:.1f}", f"{done / own:.2f}"]
        for name, (done, host) in times.items()
    ]
    print(f"\n{title}\n\n{markdown(['method', 'done, ms', 'host, ms', 'x floor', 'x ours'], rows)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    print(machine())
    if DEVICE.type == "cuda":
        print(f"On {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    else:
        print("On the CPU: no GPU was found, so this says nothing about which histogram a GPU should use")
    source, maps = label_maps(6)
    # A void prediction on a valid pixel is a miss here and an error to torchmetrics: predictions are made void-free.
    pairs = [
        (torch.from_numpy(np.where(pred == VOID, 0, pred).astype(np.uint8)).to(DEVICE), torch.tensor(target).to(DEVICE))
        for pred, target in itertools.pairwise(maps)
    ]
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randint(0, CLASSES, (2, HEIGHT, WIDTH), generator=generator).to(DEVICE, torch.uint8) for _ in "abc"]
    uniform = torch.full((HEIGHT, WIDTH), 3, dtype=torch.uint8, device=DEVICE)
    table(f"uint8 label maps, {source}", pairs, rounds)
    table(f"int64 label maps, {source}", [(pred.long(), target.long()) for pred, target in pairs], rounds)
    table("uint8 label maps, noise", [(pred, target) for pred, target in noise], rounds)
    table("uint8 label maps, all of one class", [(uniform, uniform.clone())], rounds)
    small = torch.randn(CLASSES, HEIGHT // 16, WIDTH // 16, generator=generator)
    scores = torch.nn.functional.interpolate(small[None], scale_factor=16, mode="bilinear")[0]
    table("float32 scores (19, 1024, 2048)", [(scores.to(DEVICE), pairs[0][1])], max(5, rounds // 3))


if __name__ == "__main__":
    main()
