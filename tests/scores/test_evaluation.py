"""Evaluations: what belongs into one table, means, and where a curve ends."""

import json

import numpy as np
import pytest

from flame_metric import OffsetBank, StateError, StreamConfig
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.scores.evaluation import Evaluation

RNG = np.random.default_rng(3)


def bank(frames=4, sequences=("a", "b"), max_offset=6):
    found = OffsetBank(3, max_offset=max_offset, fps=10, persistence=True)
    for name in sequences:
        maps = [RNG.integers(0, 2, (4, 4)) for _ in range(frames)]
        preds = [np.where(RNG.random((4, 4)) < 0.3, 1 - one, one) for one in maps]
        preds[0][0, 0] = 2  # a class that is labelled nowhere
        found.update_sequence(preds, maps, sequence=name)
    return found


def evaluation(**options):
    return evaluate_bank(bank(), latency_ms=150, stream=StreamConfig(), max_offset=6, **options)


PARTS = {
    "static": lambda record: record["static"],
    "persistence": lambda record: record["persistence"],
    "streaming": lambda record: record["streaming"]["result"],
    "persistence, streaming": lambda record: record["streaming"]["persistence"],
    "curve 0": lambda record: record["curve"]["results"][0],
    "FLAME": lambda record: record["flame"],
}


@pytest.mark.parametrize("part", PARTS)
def test_scores_of_unlike_sequences_do_not_belong_together(part):
    record = json.loads(evaluation().to_json())
    assert Evaluation.from_json(json.dumps(record)) is not None
    PARTS[part](record)["sequences"].pop()
    with pytest.raises(
        StateError, match=r"are of unlike sequences or labelled frames \('b'\), expected scores of the same"
    ):
        Evaluation.from_json(json.dumps(record))


@pytest.mark.parametrize("part", PARTS)
def test_nor_do_scores_of_other_numbers_of_labelled_frames(part):
    record = json.loads(evaluation().to_json())
    PARTS[part](record)["sequences"][0]["labelled_frames"] += 1
    with pytest.raises(StateError, match=r"unlike sequences or labelled frames \('a'"):
        Evaluation.from_json(json.dumps(record))


def test_offsets_beyond_the_longest_clip_have_no_row():
    found = evaluation()
    table = found.curve.table()
    assert [line.split()[0] for line in table.splitlines()[2:6]] == ["0", "1", "2", "3"]
    assert "absent" not in table
    assert table.endswith("\nNo pair of frames is further apart than k = 3: the next 3 offset(s) have no score.\n")
    assert len(found.curve.table("csv").splitlines()) == 5
    assert len(found.curve.results) == 7


def test_an_asked_mean_is_that_of_all_scores_and_comes_back():
    found = evaluation(mean_over="labelled")
    plain = evaluation()
    results = [*found.results.values(), *found.curve.results, *found.curve.persistence]
    assert {one.mean_over for one in results} == {"labelled"}
    assert {one.mean_over for one in plain.results.values()} == {"present"}
    assert found.static.classes_in_mean == 2
    again = Evaluation.from_json(found.to_json())
    assert again.static.miou == found.static.miou
    assert "mean IoU, labelled classes" in again.table()
    record = json.loads(found.to_json())
    record["static"]["mean_over"] = "all"
    with pytest.raises(StateError, match="static and FLAME are means over unlike classes"):
        Evaluation.from_json(json.dumps(record))


def test_results_of_older_releases_are_read():
    record = json.loads(evaluation().to_json())
    for find in PARTS.values():
        part = find(record)
        part["format"] = "flame-metric result 1"
        del part["mean_over"]
    assert Evaluation.from_json(json.dumps(record)).flame.mean_over == "present"


def test_intervals_are_drawn_with_progress():
    found, seen = evaluation(), []
    found.draw_intervals(lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
