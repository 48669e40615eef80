"""Counting one pair of 1024x2048 label maps: this package beside its peers, in one run.

    python benchmarks/counting.py [--rounds N]

Each peer's intersections and unions are compared with ours before anything is timed. `floor` reads both inputs once.
The last tables compare `FlameMeter.update`, one time step a call, with `update_pair`.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from common import HEIGHT, WIDTH, interleaved_ms, label_maps, machine, markdown
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix
from torchmetrics.classification import MulticlassJaccardIndex

from flame_metric import FlameMeter, class_counts
from flame_metric.data.synthetic import VOID

CLASSES = 19
Pair = tuple[np.ndarray, np.ndarray]
Method = Callable[[np.ndarray, np.ndarray], Any]


def floor(*inputs: np.ndarray) -> None:
    for array in inputs:
        np.bitwise_or.reduce(array.reshape(-1).view(np.uint64))


def ours(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    return class_counts(pred, target, num_classes=CLASSES, ignore_index=VOID)


def bincount_idiom(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    valid = (target >= 0) & (target < CLASSES)
    codes = CLASSES * target[valid].astype(int) + pred[valid]
    return counts_of(np.bincount(codes, minlength=CLASSES**2).reshape(CLASSES, CLASSES))


def sklearn(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    valid = target != VOID
    return counts_of(sklearn_confusion_matrix(target[valid], pred[valid], labels=range(CLASSES)))


class TorchMetrics:
    def __init__(self) -> None:
        self.metric = MulticlassJaccardIndex(CLASSES, ignore_index=VOID, average=None)

    def __call__(self, pred: np.ndarray, target: np.ndarray) -> np.ndarray:
        self.metric.reset()
        preds = torch.from_numpy(pred)
        if preds.ndim == 3:
            preds = preds[None]
        self.metric.update(preds, torch.from_numpy(target)[None] if preds.ndim == 4 else torch.from_numpy(target))
        return counts_of(self.metric.confmat.numpy())


def counts_of(matrix: np.ndarray) -> np.ndarray:
    return np.stack([matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)])


def cycle(method: Method, pairs: list[Pair]) -> Callable[[], Any]:
    """Take another pair at each call: one pair alone would stay in the cache."""
    turn: Iterator[Pair] = itertools.cycle(pairs)
    return lambda: method(*next(turn))


def same_counts(methods: dict[str, Method], pair: Pair) -> None:
    expected = ours(*pair)
    for name, method in methods.items():
        found = method(*pair)
        if found is not None and not np.array_equal(found, expected):
            raise AssertionError(f"{name} counts otherwise")


def table(title: str, methods: dict[str, Method], pairs: list[Pair], rounds: int, *, check: bool = True) -> None:
    if check:
        same_counts(methods, pairs[0])
    times = interleaved_ms({name: cycle(method, pairs) for name, method in methods.items()}, rounds)
    base, own = times["floor"], times["ours"]
    rows = [[name, f"{ms:.2f}", f"{ms / base:.1f}", f"{ms / own:.1f}"] for name, ms in times.items()]
    print(f"\n{title}\n\n{markdown(['method', 'ms', 'x floor', 'x ours'], rows)}", flush=True)


def steps_table(title: str, pairs: list[Pair], rounds: int) -> None:
    """Time `FlameMeter.update`, which holds predictions back, beside `update_pair` on pairs that are made already."""
    options = {"num_classes": CLASSES, "ignore_index": VOID}
    by_pair = FlameMeter(**options)
    methods: dict[str, Method] = {"update_pair": by_pair.update_pair}
    for offset in (0, 1, 4):
        methods[f"update, k = {offset}"] = partial(FlameMeter(**options, frame_offset=offset).update, sequence="clip")
    times = interleaved_ms({name: cycle(method, pairs) for name, method in methods.items()}, rounds)
    rows = [[name, f"{ms:.2f}", f"{ms / times['update_pair']:.2f}"] for name, ms in times.items()]
    print(f"\n{title}\n\n{markdown(['method', 'ms', 'x update_pair'], rows)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(machine())
    source, maps = label_maps(6)
    # A void prediction on a valid pixel is a miss here and an error to most peers: predictions are made void-free.
    pairs = [(np.where(pred == VOID, 0, pred).astype(np.uint8), target) for pred, target in itertools.pairwise(maps)]
    generator = np.random.default_rng(0)
    noise = [tuple(generator.integers(0, CLASSES, (2, HEIGHT, WIDTH)).astype(np.uint8)) for _ in range(3)]
    peers: dict[str, Method] = {
        "floor": floor,
        "ours": ours,
        "bincount idiom": bincount_idiom,
        "scikit-learn": sklearn,
        "torchmetrics": TorchMetrics(),
    }
    table(f"uint8 label maps, {source}", peers, pairs, rounds)
    table("uint8 label maps, noise", peers, noise, rounds)
    table(f"int64 label maps, {source}", peers, [(p.astype(int), t.astype(int)) for p, t in pairs], rounds)

    small = generator.standard_normal((CLASSES, HEIGHT // 16, WIDTH // 16)).astype(np.float32)
    scores = small.repeat(16, axis=1).repeat(16, axis=2)
    scores += 0.3 * generator.standard_normal(scores.shape, dtype=np.float32)
    target = pairs[0][1]
    from_scores: dict[str, Method] = {
        "floor": floor,
        "ours": ours,
        "np.argmax alone": lambda pred, _: void(np.argmax(pred, axis=0)),
        "torch.argmax alone": lambda pred, _: void(torch.from_numpy(pred)[None].argmax(dim=1)),
        "torch.max alone": lambda pred, _: void(torch.from_numpy(pred)[None].max(dim=1).indices),
        "torchmetrics": lambda pred, target: TORCHMETRICS(pred, target.astype(np.int64)),
    }
    table("float32 scores (19, 1024, 2048)", from_scores, [(scores, target)], max(3, rounds // 3))

    steps_table(f"time steps, uint8 label maps, {source}", pairs, rounds)
    steps_table("time steps, uint8 label maps, noise", noise, rounds)
    steps_table("time steps, float32 scores (19, 1024, 2048)", [(scores, target)], max(3, rounds // 3))


TORCHMETRICS = TorchMetrics()


def void(_: Any) -> None:
    """Drop what is not a count."""


if __name__ == "__main__":
    main()
