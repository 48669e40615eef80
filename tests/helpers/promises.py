"""What is promised of a value that was read from a stranger's file: its numbers agree with each other and with it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from flame_metric import FlameResult
from flame_metric.core.tables import FORMATS
from flame_metric.scores.evaluation import Evaluation

__all__ = ["BrokenPromiseError", "plain_json", "require", "sound_evaluation", "sound_result"]


class BrokenPromiseError(AssertionError):
    """A file was read, and what came of it cannot be right."""


def require(holds: object, promise: str) -> None:
    """Raise unless a promise was kept."""
    if not holds:
        raise BrokenPromiseError(promise)


def plain_json(content: str | bytes) -> Any:
    """Read JSON as any strict reader has to: no name twice, no NaN.

    Raises
    ------
    ValueError
        If it is none.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a name comes twice")
        return dict(pairs)

    def refuse(constant: str) -> float:
        raise ValueError(constant)

    return json.loads(content, object_pairs_hook=unique, parse_constant=refuse)


def sound_result(result: FlameResult, record: Mapping[str, Any] | None = None) -> None:
    """Require counts that can be those of label maps, scores that follow from them, and those of the record."""
    classes = [[0, 0, 0] for _ in range(result.config.num_classes)]
    for row, name in enumerate(result.sequences):
        intersection, predicted, labelled = result.counts[row].tolist()
        pairs, frames, valid, everything = result.tallies[row].tolist()
        require(min(*intersection, *predicted, *labelled, pairs, frames, valid) >= 0, "counts are never negative")
        for number, (i, p, t) in enumerate(zip(intersection, predicted, labelled, strict=True)):
            require(i <= min(p, t), f"{name!r}: an intersection is in both")
            classes[number] = [old + new for old, new in zip(classes[number], (i, p, t), strict=True)]
        require(sum(predicted) <= sum(labelled) == valid <= everything, f"{name!r}: pixels add up")
        require(pairs <= frames, f"{name!r}: a pair has a labelled frame")
    exact = [Fraction(i, p + t - i) for i, p, t in classes if p + t - i]
    mean = sum(exact, Fraction()) / len(exact) if exact else None
    require(math.isnan(result.miou) if mean is None else abs(result.miou - mean) < 1e-12, "Eq. 2 holds")
    require(0 <= result.coverage <= 1 or math.isnan(result.coverage), "a coverage is a share")
    text = result.to_json()
    require(FlameResult.from_json(text) == result, "what is written is read again")
    require(result.signature in json.loads(text)["scores"]["signature"], "the signature goes along")
    for kind in FORMATS:
        require(result.table(kind), "there is a table")
    if record is not None:
        written = {entry["id"]: entry for entry in record["sequences"]}
        read = {entry["id"]: entry for entry in json.loads(text)["sequences"]}
        rows = ("intersection", "predicted", "labelled", "pairs", "labelled_frames", "valid_pixels", "all_pixels")
        for name, entry in written.items():
            require(
                {row: entry[row] for row in rows} == {row: read[name][row] for row in rows}, f"{name!r}: as written"
            )
        require(len(written) == len(record["sequences"]) == len(read), "no sequence is lost")


def sound_evaluation(evaluation: Evaluation) -> None:
    """Require the same of all results of an evaluation, and that it can be shown and written."""
    for result in evaluation.results.values():
        sound_result(result)
    for kind in FORMATS:
        require(evaluation.table(kind), "there is a table")
    require(Evaluation.from_json(evaluation.to_json()) == evaluation, "what is written is read again")
    losses = evaluation.losses
    require(losses is None or not abs(losses.to_latency) > 1, "no more is lost than there is")
