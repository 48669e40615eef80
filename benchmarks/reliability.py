"""Right numbers or clear errors: valid and malformed inputs through this package and its peers, as one table.

    python benchmarks/reliability.py

Each input goes through `FlameMeter`, `FlameMetric`, `flame-metric evaluate` on files, torchmetrics, scikit-learn and
the bincount idiom. An input that has a mean IoU has one by Eq. 2, worked out pixel by pixel in Python: an answer is
*right* if it equals that. An input that has none is to be refused. An error is *clear* if its message names what is
wrong: the label, the size or the type at fault. *SILENT* is a number that is wrong, or that should not exist.
"""

from __future__ import annotations

import argparse
import io
import math
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, markdown
from PIL import Image
from sklearn.metrics import jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex

from flame_metric import FlameMeter, FlameMetric
from flame_metric.cli import main as command_line
from flame_metric.data.lookup import LabelLookup
from flame_metric.scores.evaluation import Evaluation

VOID = 255
RIGHT, CLEAR, OBSCURE, SILENT, NO_SUCH_OPTION = "right", "clear error", "obscure error", "SILENT", "no such option"
Score = Callable[["Case"], float]


class NoSuchOptionError(Exception):
    """A peer has nothing for such an input, and says so in its documentation."""


@dataclass(frozen=True)
class Case:
    """An input: arrays of label maps, or lists of single ones.

    `faults`: any of these words in a message, in lower case and round brackets, names what is wrong; none: the input is
    valid. `mapping`: from labels to classes, of the target. `halves`: the frames are counted in two parts, the last
    first, which are joined. `png`: how the files for `evaluate` are written; the others get what Pillow makes of them.
    `answer`: the mean IoU, where that takes too long pixel by pixel.
    """

    name: str
    pred: Any
    target: Any
    classes: int = 3
    ignore: int | None = VOID
    faults: tuple[str, ...] = ()
    mapping: dict[int, int] = field(default_factory=dict)
    halves: bool = False
    png: str | None = None
    answer: float | None = None

    @property
    def expected(self) -> float:
        """Mean IoU by Eq. 1-2, a pixel at a time; the Cityscapes rule for void."""
        if self.answer is not None:
            return self.answer
        hits: Counter[int] = Counter()
        unions: Counter[int] = Counter()
        for preds, targets in self.pairs():
            labels = preds.argmax(1) if is_scores(preds) else preds
            for pred, given in zip(np.ravel(labels).tolist(), np.ravel(targets).tolist(), strict=True):
                target = self.mapping.get(given, given)
                if target == self.ignore:
                    continue
                hits[target] += pred == target
                unions.update({target, pred} - {self.ignore})
        return math.fsum(hits[label] / union for label, union in unions.items()) / len(unions) if unions else math.nan

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Yield what one call is given at a time."""
        if isinstance(self.pred, list):
            yield from zip(self.pred, self.target, strict=True)
        elif self.halves:
            yield from ((self.pred[part], self.target[part]) for part in (slice(1, None), slice(1)))
        else:
            yield self.pred, self.target


def cases() -> list[Case]:
    return [*valid(), *malformed()]


def maps(classes: int = 3, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and labels of two small frames, some of which agree."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, classes, (2, 6, 8))
    return np.where(generator.random(target.shape) < 0.4, target, generator.integers(0, classes, (2, 6, 8))), target


def valid() -> Iterator[Case]:
    pred, target = (labels.astype(np.uint8) for labels in maps())
    chance = np.random.default_rng(1).random((2, *target.shape))
    void, late = np.where(chance < 0.2, VOID, (target, pred)).astype(np.uint8)
    yield Case("label maps", pred, target)
    yield Case("void in the target", pred, void)
    yield Case("void in the prediction, on a valid pixel", late, void)
    yield Case("a frame of void alone", pred, np.stack([target[0], np.full_like(target[0], VOID)]))
    yield Case("nothing but void", pred, np.full_like(target, VOID))
    yield Case("void = 0, a class number", pred, target, ignore=0)
    yield Case("void = number of classes", pred, np.where(void == VOID, 3, void), ignore=3)
    yield Case("void = -1", pred, np.where(void == VOID, -1, void.astype(np.int16)), ignore=-1)
    yield Case("no void", pred, target, ignore=None)
    yield Case("a class that occurs nowhere", pred, target, 5)
    yield Case("a class that is predicted alone", np.where(pred == 1, 3, pred), target, 5)
    yield Case("frames with unlike classes", np.stack([pred[0], pred[1] * 0 + 2]), np.stack([target[0] // 2, pred[1]]))
    for classes in (19, 34, 150, 255):
        yield Case(f"{classes} classes as uint8", *(labels.astype(np.uint8) for labels in maps(classes)), classes, None)
    yield Case("300 classes as int16", *(labels.astype(np.int16) for labels in maps(300)), 300)
    for dtype in ("int8", "uint16", "uint32", "uint64", ">i2"):
        yield Case(f"dtype {dtype}", pred.astype(dtype), target.astype(dtype))
    yield Case("int32, read-only, in Fortran's order", _locked(pred), target.astype(np.int32))
    yield Case("strides that are negative", pred[:, ::-1, ::-1], target[:, ::-1, ::-1])
    yield Case("bool, two classes", pred == 0, target == 0, 2, None)
    scores = np.random.default_rng(2).random((2, 3, 6, 8)).astype(np.float32)
    yield Case("scores", scores, target)
    yield Case("scores with ties", np.round(scores * 2), target)
    yield Case("frames one by one", list(pred), list(target))
    yield Case("frames of two sizes", [pred[0], pred[1, :4]], [target[0], target[1, :4]])
    yield Case("two halves, joined", pred, target, halves=True)
    yield Case("a chained map, 6 to 7 and 7 to 8", target + 7, target * 3 // 2 + 6, 10, mapping={6: 7, 7: 8, 9: 9})
    ones = np.zeros((1, 5_000, 5_000), np.uint8)
    some = ones.copy()
    some[0, :1_250] = 1
    yield Case("25 million pixels of one class", some, ones, 2, None, answer=0.375)
    yield Case("PNG with a palette", pred, target, png="P")
    yield Case("PNG of 16 bits", pred.astype(np.uint16), target.astype(np.uint16), png="I;16")
    yield Case("PNG of one bit, two classes", pred == 0, target == 0, 2, None, png="1")


def malformed() -> Iterator[Case]:
    pred, target = (labels.astype(np.uint8) for labels in maps())

    def changed(labels: np.ndarray, label: float, dtype: Any = np.int64) -> np.ndarray:
        labels = labels.astype(dtype)
        labels[0, 0, 0] = label
        return labels

    floats = np.eye(3, dtype=np.float32)[pred].transpose(0, 3, 1, 2)
    for label, word in ((3, "number of classes"), (-1, "-1")):
        for under, place in ((0, "first"), (2, "last")):  # decides where a peer puts it
            labels = pred.astype(np.int64)
            labels[tuple(np.argwhere(target == under)[0])] = label
            faults = (f"({label})", f"label {label}", f"value {label}", "negative" if label < 0 else "class 3")
            yield Case(f"prediction = {word}, on the {place} class", labels, target, faults=faults)
    yield Case("prediction = 2**40", changed(pred, 2**40), target, faults=(str(2**40),))
    yield Case("target = number of classes", pred, changed(target, 3), faults=("(3)", "label 3", "class 3"))
    yield Case("target = 200", pred, changed(target, 200), faults=("200",))
    yield Case("target = -1", pred, changed(target, -1), faults=("-1", "negative"))
    yield Case("void of -1 that became 255", pred, changed(target, 255), ignore=-1, faults=("255",))
    yield Case("instance ids (26000) as labels", pred, changed(target, 26_000), faults=("26000", "26,000"))
    yield Case("PNG of 16 bits with instance ids", pred, changed(target, 26_000, "u2"), faults=("26000",), png="I;16")
    yield Case("a picture of colours as labels", np.stack([pred] * 3, -1), target, faults=("8, 3)", "rgb"), png="RGB")
    yield Case("floats as target", pred, target.astype(np.float64), faults=("float",))
    yield Case("0.5 as prediction", changed(pred, 0.5, np.float64), target, faults=("float", "0.5", "continuous"))
    yield Case("text as prediction", pred.astype(str), target, faults=("str", "<u", "text"))
    yield Case("None as prediction", None, target, faults=("none", "no array", "object"))
    yield Case("objects as prediction", pred.astype(object), target, faults=("no array", "object", "dtype('o')"))
    yield Case("bool for three classes", pred > 0, target, faults=("bool",))
    yield Case("complex", pred.astype(np.complex64), target, faults=("complex",))
    yield Case("another size", pred[:, :3, :4], target, faults=("(2, 3, 4)", "(3, 4)", "axis is 3"))
    yield Case("transposed", pred.transpose(0, 2, 1), target, faults=("(2, 8, 6)", "(8, 6)", "axis is 8"))
    yield Case("one frame less", pred[:1], target, faults=("(1, 6, 8)", "missing", "axis is 1 "))
    yield Case(
        "scores of half the size",
        floats[:, :, ::2, ::2],
        target,
        faults=("(2, 3, 3, 4)", "(3, 3, 4)", "(3, 4)", "axis is 3"),
    )
    yield Case(
        "scores of four classes",
        np.pad(floats, ((0, 0), (0, 1), (0, 0), (0, 0))),
        target,
        faults=("4, 6, 8)", "number of classes"),
    )
    yield Case(
        "scores with classes last", floats.transpose(0, 2, 3, 1), target, faults=("6, 8, 3)", "number of classes")
    )
    yield Case("one-hot integers", floats.astype(np.int64), target, faults=("3, 6, 8)", "float tensor", "axis is 3"))
    yield Case("NaN among scores", np.where(floats == 1, np.nan, floats), target, faults=("nan",))
    yield Case("no pixels", pred[:, :0], target[:, :0], faults=("(2, 0, 8)", "(0, 8)", "empty"))
    yield Case("an empty batch", pred[:0], target[:0], faults=("(0, 6, 8)", "no label maps", "empty"))


def is_scores(maps: Any) -> bool:
    return isinstance(maps, np.ndarray) and maps.ndim == 4 and maps.dtype.kind == "f"


def _locked(maps: np.ndarray) -> np.ndarray:
    copy = np.asfortranarray(maps.astype(np.int32))
    copy.setflags(write=False)
    return copy


# ── who counts ──


def meter(case: Case) -> float:
    """Parts are meters of their own, which merge."""
    whole = FlameMeter(case.classes, ignore_index=case.ignore)
    for pred, target in case.pairs():
        part = FlameMeter(case.classes, ignore_index=case.ignore)
        part.update(pred, LabelLookup(case.mapping).apply(target) if case.mapping else target)
        whole.merge(part)
    return whole.compute().miou


def metric(case: Case) -> float:
    return _of_torch(case, lambda: FlameMetric(case.classes, ignore_index=case.ignore))


def torchmetrics(case: Case) -> float:
    if case.mapping:
        raise NoSuchOptionError
    return _of_torch(case, lambda: MulticlassJaccardIndex(case.classes, ignore_index=case.ignore))


def _of_torch(case: Case, new: Callable[[], Any]) -> float:
    whole = None
    for pred, target in case.pairs():
        part = new()
        part.update(_tensor(pred), _tensor(LabelLookup(case.mapping).apply(target) if case.mapping else target))
        if whole is not None:
            part.merge_state(whole)
        whole = part
    return float(whole.compute())


def evaluate(case: Case) -> float:
    """Two frames a clip, as .npy or PNG files; the static score."""
    with tempfile.TemporaryDirectory() as root:
        for folder, frames in (("pred", case.pred), ("target", case.target)):
            Path(root, folder).mkdir()
            for number, labels in enumerate([None, None] if frames is None else frames):
                _write(Path(root, folder, f"clip{number if case.halves else ''}/{number:03}"), labels, case.png)
        words = ["evaluate", f"{root}/pred", f"{root}/target", "--num-classes", str(case.classes), "--fps", "10"]
        words += ["--frame-offset", "0"]
        words += [] if case.ignore is None else ["--ignore-index", str(case.ignore)]
        if case.mapping:
            words += ["--label-map", ",".join(f"{label}:{number}" for label, number in case.mapping.items())]
        if case.halves:
            parts = [f"{root}/part{index}" for index in (2, 1)]
            for index, part in enumerate(parts):
                _run([*words, "--shard", f"{2 - index}/2", "--journal", part])
            words = ["merge", *parts]
        _run([*words, "--json", f"{root}/found.json"])
        static = Evaluation.from_json(Path(root, "found.json").read_text()).static
        return math.nan if static is None else static.miou


def _run(words: list[str]) -> None:
    said = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        code = command_line(words)
    if code:
        raise ValueError(said.getvalue())


def _write(path: Path, labels: Any, png: str | None) -> None:
    path.parent.mkdir(exist_ok=True)
    if png is None:
        np.save(path, labels, allow_pickle=labels is None or labels.dtype == object)
        return
    image = Image.fromarray(labels)
    if png == "P" and labels.ndim == 2:
        image.putpalette([200 - value % 200 for value in range(3 * 256)])
    image.save(path.with_suffix(".png"))


def sklearn(case: Case) -> float:
    """One call for all pixels: it has no state, and scores are to be made labels first."""
    if case.mapping:
        raise NoSuchOptionError
    pairs = [(pred.argmax(1) if is_scores(pred) else pred, target) for pred, target in case.pairs()]
    pred, target = (np.concatenate([np.ravel(pair[side]) for pair in pairs]) for side in (0, 1))
    valid = target != case.ignore
    return float(jaccard_score(target[valid], pred[valid], average="macro"))


def bincount_idiom(case: Case) -> float:
    """With the loop over a label map, and the masks, that go with it where it is found."""
    classes, matrix = case.classes, 0
    for given, labels in case.pairs():
        pred, target = np.asarray(given.argmax(1) if is_scores(given) else given), np.array(labels)
        for old, new in case.mapping.items():
            target[target == old] = new
        valid = (target >= 0) & (target < classes)
        if case.ignore is not None:
            valid &= target != case.ignore
        matrix += np.bincount(classes * target[valid].astype(int) + pred[valid], minlength=classes**2)
    matrix = matrix.reshape(classes, classes)
    hits = np.diag(matrix)
    return float(np.nanmean(hits / (matrix.sum(0) + matrix.sum(1) - hits)))


def _tensor(maps: Any) -> Any:
    """PyTorch has no strides below zero and no foreign order of bytes."""
    if not isinstance(maps, np.ndarray) or maps.dtype.kind not in "biufc":
        return maps
    return torch.from_numpy(np.array(maps, maps.dtype.newbyteorder("=")))


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
        except NoSuchOptionError:
            return NO_SUCH_OPTION
        except Exception as error:  # peers raise anything
            said = str(error).lower().replace("[", "(").replace("]", ")")
            return CLEAR if any(fault in said for fault in case.faults) else OBSCURE
    if case.faults:
        return SILENT
    same = math.isclose(found, case.expected, rel_tol=1e-6) or (math.isnan(found) and math.isnan(case.expected))
    return RIGHT if same else SILENT


def main() -> None:
    """Print the table and its sums."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = [[case.name, *(outcome(case, score) for score in SCORES.values())] for case in cases()]
    print(f"{machine()}\n")
    print(markdown(["input", *SCORES], rows))
    sums = [
        [kind, *(str([row[column] for row in rows].count(kind)) for column in range(1, len(SCORES) + 1))]
        for kind in (RIGHT, CLEAR, OBSCURE, SILENT, NO_SUCH_OPTION)
    ]
    print(f"\n{markdown(['of all', *SCORES], sums)}")


if __name__ == "__main__":
    main()
