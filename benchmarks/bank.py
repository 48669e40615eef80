"""An offset bank beside separate counts: what it costs to count each frame at every offset 0..K.

    python benchmarks/bank.py [--frames 24] [--rounds 5]

Both count the same pairs of 1024x2048 label maps, the bank after coding each map once; the counts are compared first.
Where numba is installed, the bank is also filled by compiled loops, which are compiled and loaded before.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec

import numpy as np
from common import interleaved_ms, label_maps, machine, markdown

from flame_metric import OffsetBank, class_counts
from flame_metric.core import compiled as loading
from flame_metric.data.synthetic import VOID

CLASSES = 19


def separate(preds: list[np.ndarray], targets: list[np.ndarray], max_offset: int) -> np.ndarray:
    counts = np.zeros((max_offset + 1, 3, CLASSES), np.int64)
    for frame, target in enumerate(targets):
        for offset in range(min(frame, max_offset) + 1):
            counts[offset] += class_counts(preds[frame - offset], target, num_classes=CLASSES, ignore_index=VOID)
    return counts


def banked(preds: list[np.ndarray], targets: list[np.ndarray], max_offset: int, *, compiled: bool) -> OffsetBank:
    loading.LOAD_AFTER = 0 if compiled else sys.maxsize
    bank = OffsetBank(CLASSES, max_offset=max_offset, ignore_index=VOID)
    bank.update_sequence(preds, targets, sequence="clip")
    return bank


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(machine())
    source, maps = label_maps(arguments.frames + 1)
    preds, targets = maps[1:], maps[:-1]
    banks = {"bank": False, "bank, compiled": True} if find_spec("numba") else {"bank": False}
    rows = []
    for max_offset in (1, 4, 10, 19):
        methods = {"separate counts": lambda k=max_offset: separate(preds, targets, k)}
        for name, compiled in banks.items():
            curve = banked(preds, targets, max_offset, compiled=compiled).curve()
            assert [result.total.tolist() for result in curve.results] == separate(preds, targets, max_offset).tolist()
            methods[name] = lambda k=max_offset, compiled=compiled: banked(preds, targets, k, compiled=compiled)
        times = interleaved_ms(methods, arguments.rounds)
        factors = [f"{times[name] / times['separate counts']:.2f}" for name in banks]
        rows.append([f"{max_offset}", *(f"{times[name]:.0f}" for name in methods), *factors])
    print(f"\n{arguments.frames} frames, uint8 label maps, {source}\n")
    print(markdown(["K", *(f"{name}, ms" for name in methods), *(f"{name}, factor" for name in banks)], rows))


if __name__ == "__main__":
    main()
