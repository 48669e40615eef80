"""Several inputs in one pass: only after each has been seen to score alone as it does there."""

import warnings

import numpy as np
import pytest

from flame_metric.errors import FlameWarning
from flame_metric.torch.batching import Batches


class Network:
    """Scores are the input plus what the test adds in batches of some size; remembers the sizes of its passes."""

    def __init__(self, error=lambda size: 0.0):
        self.error, self.passes = error, []

    def scores(self, items):
        self.passes.append(len(items))
        return np.stack(items) + self.error(len(items))

    def batches(self):
        return Batches(
            together=self.scores,
            alone=lambda item: self.scores([item]),
            keep=np.copy,
            same=lambda batch, place, single: np.array_equal(batch[place], single[0]),
            outputs=lambda scores: [row * 10 for row in scores],
        )


def items(number, shape=(2, 3)):
    return [np.full(shape, index, np.float64) for index in range(number)]


def firsts(outputs):
    return [output[0, 0] for output in outputs]


def test_the_first_batch_of_a_size_is_also_run_one_by_one():
    network = Network()
    run = network.batches()
    assert firsts(run(items(3))) == [0, 10, 20]
    assert network.passes == [3, 1, 1, 1]
    assert firsts(run(items(3))) == [0, 10, 20]
    assert network.passes == [3, 1, 1, 1, 3]
    assert firsts(run(items(2))) == [0, 10]
    assert network.passes[5:] == [2, 1, 1]
    assert firsts(run(items(3, (4, 4)))) == [0, 10, 20]
    assert network.passes[8:] == [3, 1, 1, 1]


def test_other_scores_in_a_batch_are_never_used():
    network = Network(lambda size: 1e-15 if size == 3 else 0.0)
    run = network.batches()
    with pytest.warns(
        FlameWarning, match="batches of 3 at 2x3 give other scores in their last bits on this device: run one by one"
    ):
        assert firsts(run(items(3))) == [0, 10, 20]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        assert firsts(run(items(3))) == [0, 10, 20]
        assert network.passes == [3, 1, 1, 1, 1, 1, 1]
        assert firsts(run(items(2))) == [0, 10]
    assert network.passes[7:] == [2, 1, 1]


def test_one_row_that_differs_is_enough():
    network = Network(lambda size: np.array([0, 0, 1e-12]).reshape(3, 1, 1) if size == 3 else 0.0)
    with pytest.warns(FlameWarning, match="give other scores"):
        assert firsts(network.batches()(items(3))) == [0, 10, 20]


def test_nan_is_equal_to_nothing():
    network = Network(lambda size: np.nan)
    with pytest.warns(FlameWarning, match="give other scores"):
        network.batches()(items(2))


def test_a_network_that_takes_one_at_a_time():
    def refuse(size):
        if size > 1:
            raise RuntimeError(f"expected a batch of 1\nand not {size}")
        return 0.0

    network = Network(refuse)
    run = network.batches()
    with pytest.warns(
        FlameWarning, match=r"batches of 2 at 2x3 cannot be run \(RuntimeError: expected a batch of 1\): run one by one"
    ):
        assert firsts(run(items(2))) == [0, 10]
    assert firsts(run(items(2))) == [0, 10]
    assert network.passes == [2, 1, 1, 1, 1]


def test_a_broken_network_is_no_matter_of_batches():
    def fail(size):
        raise RuntimeError("no weights")

    with pytest.raises(RuntimeError, match="no weights"):
        Network(fail).batches()(items(2))


def test_inputs_of_several_shapes_and_few_inputs():
    network = Network()
    run = network.batches()
    assert firsts(run([*items(2), *items(2, (4, 4))])) == [0, 10, 0, 10]
    assert run([]) == []
    assert firsts(run(items(1))) == [0]
    assert network.passes == [1, 1, 1, 1, 1]


def test_scores_that_the_next_pass_overwrites():
    """As those of compiled networks may be."""
    memory = np.zeros((3, 2, 3))

    def scores(given):
        found = memory[: len(given)]
        found[:] = np.stack(given)
        return found

    run = Batches(
        together=scores,
        alone=lambda item: scores([item]),
        keep=np.copy,
        same=lambda batch, place, single: np.array_equal(batch[place], single[0]),
        outputs=lambda found: [row.copy() for row in found],
    )
    assert firsts(run(items(3))) == [0, 1, 2]


def test_outputs_that_are_views_of_what_the_next_pass_overwrites():
    buffer = np.zeros((3, 2, 3))

    def scores(given):
        buffer[: len(given)] = given
        return buffer[: len(given)]

    run = Batches(
        together=scores,
        alone=lambda item: scores([item]),
        keep=np.copy,
        same=lambda batch, place, single: np.array_equal(batch[place], single[0]),
        outputs=list,
    )
    assert firsts(run(items(3))) == [0, 1, 2]  # those that are compared


def test_labels_prove_nothing():
    network = Network()
    run = Batches(
        together=network.scores,
        alone=lambda item: network.scores([item]),
        keep=np.copy,
        same=lambda batch, place, single: np.array_equal(batch[place], single[0]),
        outputs=list,
        shows_scores=lambda found: found.dtype.kind == "f",
    )
    labels = [item.astype(int) for item in items(2)]
    network.error = lambda size: 0
    with pytest.warns(FlameWarning, match="batches of 2 at 2x3 may change labels here and there, and give no scores"):
        assert firsts(run(labels)) == [0, 1]
    assert firsts(run(labels)) == [0, 1]
    assert network.passes == [2, 1, 1, 1, 1]
