"""Right numbers or clear errors: valid and malformed inputs through this package and its peers, as one table.

    python benchmarks/reliability.py

Each input goes through `FlameMeter`, `FlameMetric`, `flame-metric evaluate` on files, torchmetrics, scikit-learn and
the bincount idiom. An input that has a mean IoU has one by Eq. 2, worked out pixel by pixel in Python: an answer is
*right* if it equals that. An input that has none is to be refused. An error is *clear* if its message names what is
wrong: the label, the size or the type at fault. *SILENT* is a number that is wrong, or that should not exist.
"""

from __future__ import annotations

import io
import math
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, markdown
from sklearn.metrics import jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex

from flame_metric import FlameMeter, FlameMetric
from flame_metric.cli import main as command_line
from flame_metric.scores import Evaluation

VOID = 255
RIGHT, CLEAR, OBSCURE, SILENT = "right", "clear error", "obscure error", "SILENT"
Score = Callable[["Case"], float]


@dataclass(frozen=True)
class Case:
    """An input. `faults`: any of these words in a message names what is wrong; none: the input is valid."""

    name: str
    pred: Any
    target: Any
    classes: int = 3
    ignore: int | None = VOID
    faults: tuple[str, ...] = ()

    @property
    def expected(self) -> float:
        """Mean IoU by Eq. 1-2, a pixel at a time; the Cityscapes rule for void."""
        hits: Counter[int] = Counter()
        unions: Counter[int] = Counter()
        for pred, target in zip(np.ravel(self.pred).tolist(), np.ravel(self.target).tolist(), strict=True):
            if target == self.ignore:
                continue
            hits[target] += pred == target
            unions.update({target, pred} - {self.ignore})
        return math.fsum(hits[label] / union for label, union in unions.items()) / len(unions) if unions else math.nan


def cases() -> list[Case]:
    generator = np.random.default_rng(0)
    pred, target = (generator.integers(0, 3, (2, 6, 8)).astype(np.uint8) for _ in range(2))
    void = np.where(generator.random(target.shape) < 0.2, VOID, target).astype(np.uint8)
    late = np.where(generator.random(pred.shape) < 0.2, VOID, pred).astype(np.uint8)
    many = generator.integers(0, 19, (2, 6, 8)).astype(np.uint8)
    more = generator.integers(0, 19, (2, 6, 8)).astype(np.uint8)

    def changed(maps: np.ndarray, label: float, dtype: Any = np.int64) -> np.ndarray:
        maps = maps.astype(dtype)
        maps[0, 0, 0] = label
        return maps

    floats = np.eye(3, dtype=np.float32)[pred].transpose(0, 3, 1, 2)
    return [
        Case("label maps", pred, target),
        Case("void in the target", pred, void),
        Case("void in the prediction, on a valid pixel", late, void),
        Case("19 classes as uint8", many, more, 19),
        Case("int32, read-only, not contiguous", _locked(pred), target.astype(np.int32)),
        Case("a class that occurs nowhere", pred, target, 5),
        Case("void = 0, a class number", pred, target, ignore=0),
        Case("no void", pred, target, ignore=None),
        Case("bool, two classes", pred == 0, target == 0, 2, None),
        Case("prediction = number of classes", changed(pred, 3), target, faults=("3",)),
        Case("prediction = -1", changed(pred, -1), target, faults=("-1",)),
        Case("prediction = 2**40", changed(pred, 2**40), target, faults=(str(2**40),)),
        Case("target = 200", pred, changed(target, 200), faults=("200",)),
        Case("target = -1", pred, changed(target, -1), faults=("-1",)),
        Case("instance ids (26000) as labels", pred, changed(target, 26_000), faults=("26000", "26,000")),
        Case("floats as target", pred, target.astype(np.float64), faults=("float",)),
        Case("0.5 as prediction", changed(pred, 0.5, np.float64), target, faults=("float", "0.5")),
        Case("text as prediction", pred.astype(str), target, faults=("str", "U", "text")),
        Case("None as prediction", None, target, faults=("None", "no array", "object")),
        Case("bool for three classes", pred > 0, target, faults=("bool",)),
        Case("complex", pred.astype(np.complex64), target, faults=("complex",)),
        Case("another size", pred[:, :3, :4], target, faults=("(2, 3, 4)", "(3, 4)", "3x4")),
        Case("transposed", pred.transpose(0, 2, 1), target, faults=("(2, 8, 6)", "(8, 6)", "8x6")),
        Case("scores of half the size", floats[:, :, ::2, ::2], target, faults=("(2, 3, 3, 4)", "(3, 3, 4)", "(3, 4)")),
        Case("NaN among scores", np.where(floats == 1, np.nan, floats), target, faults=("NaN", "nan")),
        Case("no pixels", pred[:, :0], target[:, :0], faults=("(2, 0, 8)", "(0, 8)", "empty")),
    ]


def _locked(maps: np.ndarray) -> np.ndarray:
    copy = np.asfortranarray(maps.astype(np.int32))
    copy.setflags(write=False)
    return copy


# ── who counts ──


def meter(case: Case) -> float:
    found = FlameMeter(case.classes, ignore_index=case.ignore)
    found.update(case.pred, case.target)
    return found.compute().miou


def metric(case: Case) -> float:
    found = FlameMetric(case.classes, ignore_index=case.ignore)
    found.update(_tensor(case.pred), _tensor(case.target))
    return float(found.compute())


def evaluate(case: Case) -> float:
    """Two frames a clip, as .npy files; the static score."""
    with tempfile.TemporaryDirectory() as root:
        for folder, maps in (("pred", case.pred), ("target", case.target)):
            Path(root, folder).mkdir()
            for number, labels in enumerate([None, None] if maps is None else maps):
                np.save(Path(root, folder, f"{number:03}.npy"), labels, allow_pickle=labels is None)
        words = ["evaluate", f"{root}/pred", f"{root}/target", "--num-classes", str(case.classes), "--fps", "10"]
        words += ["--frame-offset", "0", "--json", f"{root}/found.json"]
        words += [] if case.ignore is None else ["--ignore-index", str(case.ignore)]
        said = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(said):
            code = command_line(words)
        if code:
            raise ValueError(said.getvalue())
        static = Evaluation.from_json(Path(root, "found.json").read_text()).static
        return math.nan if static is None else static.miou


def torchmetrics(case: Case) -> float:
    found = MulticlassJaccardIndex(case.classes, ignore_index=case.ignore)
    return float(found(_tensor(case.pred), _tensor(case.target)))


def sklearn(case: Case) -> float:
    pred, target = np.ravel(case.pred), np.ravel(case.target)
    valid = target != case.ignore
    return float(jaccard_score(target[valid], pred[valid], average="macro"))


def bincount_idiom(case: Case) -> float:
    pred, target, classes = np.asarray(case.pred), np.asarray(case.target), case.classes
    valid = (target >= 0) & (target < classes)
    if case.ignore is not None:
        valid &= target != case.ignore
    matrix = np.bincount(classes * target[valid].astype(int) + pred[valid], minlength=classes**2)
    matrix = matrix.reshape(classes, classes)
    hits = np.diag(matrix)
    return float(np.nanmean(hits / (matrix.sum(0) + matrix.sum(1) - hits)))


def _tensor(maps: Any) -> Any:
    return torch.from_numpy(np.array(maps)) if isinstance(maps, np.ndarray) and maps.dtype.kind in "biufc" else maps


SCORES: dict[str, Score] = {
    "FlameMeter": meter,
    "FlameMetric": metric,
    "evaluate": evaluate,
    "torchmetrics": torchmetrics,
    "scikit-learn": sklearn,
    "bincount idiom": bincount_idiom,
}


def outcome(case: Case, score: Score) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = score(case)
        except Exception as error:  # peers raise anything
            return CLEAR if any(fault in str(error) for fault in case.faults) else OBSCURE
    if case.faults:
        return SILENT
    same = math.isclose(found, case.expected, rel_tol=1e-6) or (math.isnan(found) and math.isnan(case.expected))
    return RIGHT if same else SILENT


def main() -> None:
    """Print the table and its sums."""
    rows = [[case.name, *(outcome(case, score) for score in SCORES.values())] for case in cases()]
    print(f"{machine()}\n")
    print(markdown(["input", *SCORES], rows))
    sums = [
        [kind, *(str([row[column] for row in rows].count(kind)) for column in range(1, len(SCORES) + 1))]
        for kind in (RIGHT, CLEAR, OBSCURE, SILENT)
    ]
    print(f"\n{markdown(['of all', *SCORES], sums)}")


if __name__ == "__main__":
    main()
