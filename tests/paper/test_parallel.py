"""Several ranks train as one process would, and end with the same weights."""

import json
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("PyTorch was built without gloo", allow_module_level=True)
import training_ranks  # noqa: E402 - needs torch
from flame_metric.paper import parallel  # noqa: E402
from flame_metric.paper.training import train  # noqa: E402
from toy_training import ToyNetwork, toy_recipe, weights_of  # noqa: E402

pytestmark = pytest.mark.slow

TIMEOUT_S = 150  # of all scenarios: some seconds are usual, so longer is a rank that waits for ever


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What each scenario gave on each rank: {name: [rank 0's, rank 1's]}."""
    folder = tmp_path_factory.mktemp("ranks")
    world = training_ranks.WORLD
    context = torch.multiprocessing.spawn(training_ranks.run, (str(folder),), nprocs=world, join=False)
    deadline = time.monotonic() + TIMEOUT_S
    while not context.join(timeout=max(0.0, deadline - time.monotonic())):
        if time.monotonic() >= deadline:
            for process in context.processes:
                process.kill()
            pytest.fail(f"the ranks did not finish within {TIMEOUT_S} s")
    by_rank = [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(world)]
    return {name: [outcome[name] for outcome in by_rank] for name in by_rank[0]}


def expect(outcomes, name):
    for rank, outcome in enumerate(outcomes[name]):
        if isinstance(outcome, dict) and "traceback" in outcome:
            pytest.fail(f"rank {rank}: {outcome['traceback']}")
    return outcomes[name]


def everywhere(outcomes, name):
    """The one thing that a scenario gave on every rank."""
    first, *others = expect(outcomes, name)
    assert all(other == first for other in others)
    return first


def close(found, expected):
    for name, value in expected.items():
        torch.testing.assert_close(torch.tensor(found[name], dtype=torch.float64), value.double(), rtol=1e-4, atol=1e-6)


def one_process(network, recipe):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    record = train(network, training_ranks.pairs(), recipe)
    torch.set_num_threads(before)
    return record


def test_two_ranks_are_one_process(outcomes):
    """Without batch normalisation, whose statistics on the CPU are each rank's own; unequally many void pixels."""
    found = everywhere(outcomes, "without_norm")
    network = ToyNetwork(norm=False, dropout=0.0)
    record = one_process(network, toy_recipe("deeplab-mn", **training_ranks.RECIPE))
    close(found["weights"], weights_of(network))
    assert [loss is None for loss in record.losses] == [step in (4, 5) for step in range(8)]
    assert found["losses"] == [loss if loss is None else pytest.approx(loss, rel=1e-5) for loss in record.losses]
    assert (found["ranks"], found["sync_batch_norm"], found["training"]) == (2, False, False)


def test_rank_0_gives_the_first_weights(outcomes):
    assert everywhere(outcomes, "other_weights_on_other_ranks") == everywhere(outcomes, "without_norm")


def test_all_ranks_end_alike_with_running_statistics(outcomes):
    found = everywhere(outcomes, "with_norm_and_dropout")
    assert found["modules"] == ["BatchNorm2d", "Conv2d", "Dropout2d", "ToyNetwork"]
    network = ToyNetwork()
    record = one_process(network, toy_recipe(**training_ranks.RECIPE))
    assert record.losses[0] != pytest.approx(found["losses"][0], rel=1e-6)  # other masks, other statistics


def test_ranks_go_on_from_a_checkpoint(outcomes):
    first, second = expect(outcomes, "resumed")
    assert (first["files"], second["files"]) == (["checkpoint.pt", "training.jsonl"], [])
    assert (first["error"], first["resumed_at"], second["resumed_at"]) == ("no such file", 3, 3)
    undisturbed = everywhere(outcomes, "with_norm_and_dropout")
    for found in (first, second):
        assert found["losses"] == undisturbed["losses"]
        assert found["weights"] == undisturbed["weights"]


def test_a_foreign_checkpoint_is_refused_on_all_ranks(outcomes):
    (kind, text), (other_kind, other_text) = expect(outcomes, "foreign_checkpoint")
    assert (kind, other_kind) == ("StateError", "StateError")
    assert "belongs to another training: seed is 0 there and 1 here" in text
    assert other_text == f"rank 0: {text}"


def test_a_batch_must_be_shared_equally(outcomes):
    kind, text = everywhere(outcomes, "unequal_shares")
    assert kind == "ConfigError"
    assert "the recipe's batch of 3 items cannot be shared equally by 2 ranks: start another number" in text


def test_a_loss_that_is_no_number_on_one_rank_ends_all(outcomes):
    kind, text = everywhere(outcomes, "no_number_on_one_rank")
    assert kind == "StateError"
    assert text.startswith("the loss is nan at step 2 (")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not list threads")
def test_nothing_of_the_ranks_outlives_their_group(outcomes):
    assert everywhere(outcomes, "threads left") == 0


def test_one_rank_shows_progress(outcomes):
    assert expect(outcomes, "progress_of_one_rank") == [8, 0]


def test_on_gpus_a_twin_with_shared_tensors_normalises_over_all_ranks(monkeypatch):
    monkeypatch.setattr(parallel, "is_distributed", lambda: True)
    wrapped = {}
    monkeypatch.setattr(
        torch.nn.parallel, "DistributedDataParallel", lambda module, device_ids: wrapped.setdefault(*device_ids, module)
    )
    network, device = ToyNetwork(dropout=0.0), torch.device("cuda", 3)
    twin, spans = parallel.parallel(network, device)
    assert spans
    assert wrapped == {device: twin}
    assert type(twin.norm) is torch.nn.SyncBatchNorm
    assert type(network.norm) is torch.nn.BatchNorm2d  # the caller's network keeps its modules
    for kind in ("parameters", "buffers"):
        own, others = list(getattr(network, kind)()), list(getattr(twin, kind)())
        assert len(own) == len(others) > 0
        assert all(one is other for one, other in zip(own, others, strict=True))
    _, spans = parallel.parallel(ToyNetwork(norm=False), device)
    assert not spans
