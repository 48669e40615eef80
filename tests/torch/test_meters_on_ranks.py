"""Several ranks count as one process would: exact, uneven or empty, and an error on one is an error on all."""

import json
import time

import pytest

from flame_metric import FlameMeter, FlameResult

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("PyTorch was built without gloo", allow_module_level=True)
ranks = pytest.importorskip("ranks")
merge_over_ranks = pytest.importorskip("flame_metric.torch.ranks").merge_over_ranks

pytestmark = pytest.mark.slow

TIMEOUT_S = 150  # of all scenarios: some seconds are usual, so longer is a rank that waits for ever


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all ranks have written what they saw."""
    folder = tmp_path_factory.mktemp("ranks")
    context = torch.multiprocessing.spawn(ranks.run, (str(folder),), nprocs=max(ranks.WORLDS), join=False)
    deadline = time.monotonic() + TIMEOUT_S
    while not context.join(timeout=max(0.0, deadline - time.monotonic())):
        if time.monotonic() >= deadline:
            for process in context.processes:
                process.kill()
            pytest.fail(f"the ranks did not finish within {TIMEOUT_S} s")
    return folder


@pytest.fixture(scope="module", params=ranks.WORLDS, ids="{} ranks".format)
def outcomes(request, folder):
    """What each scenario gave on each rank: {name: [rank 0's, rank 1's, ...]}."""
    files = [folder / f"{rank}-of-{request.param}.json" for rank in range(request.param)]
    by_rank = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return {name: [outcome[name] for outcome in by_rank] for name in by_rank[0]}


def expect(outcomes, name):
    """What a scenario gave on each rank."""
    for rank, outcome in enumerate(outcomes[name]):
        if isinstance(outcome, dict) and "traceback" in outcome:
            pytest.fail(f"rank {rank}: {outcome['traceback']}")
    return outcomes[name]


def meter_of(*numbers):
    return ranks.score(FlameMeter(**ranks.OPTIONS), *numbers)


def one_process(*numbers):
    """The result of the same clips, scored by one meter in one process."""
    return meter_of(*numbers).compute().to_json()


def miou(result):
    return pytest.approx(FlameResult.from_json(result).miou, abs=1e-6)


def everywhere(outcomes, name):
    """The one thing that a scenario gave on every rank."""
    first, *others = expect(outcomes, name)
    assert all(other == first for other in others)
    return first


def test_every_scenario_was_run(outcomes):
    assert list(outcomes) == [scenario.__name__ for scenario in ranks.SCENARIOS]


def test_r17_uneven_and_empty_ranks(outcomes):
    expected = one_process(0, 1, 2, 3, 4, 5)  # one clip, five clips, none on the others
    result, value, unchanged = everywhere(outcomes, "uneven")
    assert (result, value, unchanged) == (expected, miou(expected), True)


def test_r17_ranks_without_anything(outcomes):
    assert everywhere(outcomes, "nothing_anywhere") is True


def test_r16_padded_sampler_gives_the_integers_of_one_process(outcomes):
    found = expect(outcomes, "padded_sampler")
    world = len(found)
    drawn = sorted(number for _, _, numbers in found for number in numbers)
    assert len(drawn) > ranks.CLIPS
    assert set(drawn) == set(range(ranks.CLIPS))
    for result, repeated, _ in found:
        assert result == one_process(*range(ranks.CLIPS))
        assert len(repeated) == -ranks.CLIPS % world  # each repetition is told
        assert all("identical counts and were kept once" in text for text in repeated)


def test_open_sequences_add(outcomes):
    meter = FlameMeter(**ranks.OPTIONS)
    for pred, target in zip(*ranks.clip(5), strict=True):
        meter.update_pair(pred, target, sequence="one for all")
    assert everywhere(outcomes, "open_sequences") == [meter.compute().to_json()]


def test_invalid_rank_raises_on_all_and_nobody_waits(outcomes):
    asked, afterwards = everywhere(outcomes, "invalid_rank")
    world = len(outcomes["invalid_rank"])
    for kind, text in asked:
        assert kind == "StateError"
        assert f"the counts of 1 of {world} ranks are invalid: rank 1: LabelError: `pred` held labels" in text
        assert "at 1 pixels of sequence(s) 'spoilt', expected 0..3 or ignore_index 255" in text
    expected = one_process(*(rank for rank in range(world) if rank != 1))
    assert afterwards == expected


def test_r15_unlike_configurations_raise_on_all(outcomes):
    ((kind, text),) = everywhere(outcomes, "unlike_configurations")
    assert kind == "StateError"
    assert "the counts of rank 1 cannot be added to those before" in text
    assert "ignore_index: 0 / 255" in text


def test_conflicting_clips_raise_on_all(outcomes):
    ((kind, text),) = everywhere(outcomes, "conflicting_clips")
    assert kind == "StateError"
    assert "the counts of rank 1 cannot be added" in text
    assert "sequence 'the same id' was scored on both sides with different counts" in text


def test_r17_unequal_updates_between_two_computes(outcomes):
    world = len(outcomes["unequal_updates"])
    first, second, result = everywhere(outcomes, "unequal_updates")
    assert first == miou(one_process(*range(world)))
    assert (second, result) == (miou(result), one_process(*sorted({*range(world), 4})))


def test_sync_and_unsync(outcomes):
    world = len(outcomes["sync_and_unsync"])
    (state, result, update), unchanged = everywhere(outcomes, "sync_and_unsync")
    expected = meter_of(*range(world))
    assert (state, result, unchanged) == (expected.to_json(), expected.compute().to_json(), True)
    assert update[0] == "StateError"


def of_batches(*numbers):
    """The result of clips that one rank after the other gives as batches, one or more of them to each id."""
    meter = FlameMeter(**ranks.OPTIONS)
    for rank, rest in enumerate(numbers):
        for number in rest:
            meter.update(*ranks.clip(number), sequence=f"clip {rank}")
    return meter.compute()


def value_of_call(numbers, before):
    """The score of the pairs of one call on each rank, after calls with the clips ``before``."""
    meter = FlameMeter(**ranks.OPTIONS)
    for number, last in zip(numbers, before, strict=True):
        preds, targets = ranks.clip(number)
        shown = torch.cat([ranks.clip(last)[0][-1:], preds[:-1]]) if last is not None else preds[:-1]
        meter.update_pair(shown, targets[1:] if last is None else targets, sequence=f"{number}")
    return pytest.approx(meter.compute().miou, abs=1e-6)


def test_forward_on_all_ranks(outcomes):
    found = expect(outcomes, "forward_on_all_ranks")
    world = len(found)
    for rank, ((first, second, third), total, local) in enumerate(found):
        assert first == value_of_call(range(world), [None] * world)
        assert second == value_of_call(range(world, 2 * world), range(world))
        assert third[0] == "StateError"  # one rank's labels were wrong: none added its batch
        assert "rank 1: LabelError: frame 0 of sequence 'new': `pred` holds label(s) [7] (30 pixels)" in third[1]
        assert total == of_batches(*([number, world + number] for number in range(world))).to_json()
        own = FlameResult.from_json(local)
        assert own.sequences == (f"clip {rank}",)
        assert own.counts[0].tolist() == FlameResult.from_json(total).by_sequence()[f"clip {rank}"].counts[0].tolist()


def test_forward_on_each_rank(outcomes):
    found = expect(outcomes, "forward_on_each_rank")
    for rank, (value, total) in enumerate(found):
        assert value == value_of_call([rank], [None])
        assert total == of_batches(*([number] for number in range(len(found)))).to_json()


# ── time steps ──


def test_padded_sampler_over_clips_that_are_stepped(outcomes):
    found = expect(outcomes, "stepped_clips")
    for result, repeated in found:
        assert FlameResult.from_json(result) == meter_of(*range(ranks.CLIPS)).compute()
        assert len(repeated) == -ranks.CLIPS % len(found)


def test_a_sampler_over_frames_is_refused(outcomes):
    (kind, text), with_numbers = everywhere(outcomes, "sampler_over_frames")
    assert kind == "StateError"
    assert with_numbers.endswith("a stream that drops frames is scored by a schedule")  # at once
    assert "sequence(s) 'clip 5' were stepped on both sides and not ended" in text
    assert "a sampler over clips, not over frames" in text


def test_sync_between_steps_changes_nothing(outcomes):
    found = expect(outcomes, "synced_between_steps")
    world = len(found)
    for between, unchanged in found:
        for frames, result in enumerate(between, start=1):
            meter = ranks.step(FlameMeter(**ranks.OPTIONS), *range(world), end=False, frames=slice(frames))
            assert result == meter.compute().to_json()
        assert unchanged


def test_clips_that_have_only_begun_are_nan_without_a_warning(outcomes):
    assert everywhere(outcomes, "clips_that_have_only_begun") == [True, True]


def test_every_rank_takes_part_in_the_sync_of_a_step(outcomes):
    world = len(outcomes["late_forward"])
    first, second, third = everywhere(outcomes, "late_forward")
    assert (first, second) == (True, 3.0)
    assert third == pytest.approx(sum(range(world)) / world)


def test_r14_collections(outcomes):
    pred, target = ranks.clip(1)
    expected = {}
    for name, void in (("void 255", 255), ("void 0", 0)):
        meter = FlameMeter(ranks.CLASSES, ignore_index=void)
        meter.update_pair(pred, target.clamp(max=ranks.CLASSES - 1))
        expected[name] = meter.compute().miou
    assert everywhere(outcomes, "collections") == pytest.approx(expected, abs=1e-6)
    assert expected["void 0"] != expected["void 255"]


def test_meters_and_groups(outcomes):
    found = expect(outcomes, "meters")
    world = len(found)
    for rank, (everything, own, by_group, unchanged) in enumerate(found):
        half = range(world // 2) if rank < world // 2 else range(world // 2, world)
        assert everything == meter_of(*range(world)).to_json()
        assert own == meter_of(*half).to_json()
        assert by_group == one_process(*half)
        assert unchanged


def test_transport_of_ones_own_is_used(outcomes):
    world = len(outcomes["transport_of_ones_own"])
    result, value, sent = everywhere(outcomes, "transport_of_ones_own")
    assert (result, value) == (one_process(*range(world)), miou(result))
    assert sent == 4  # a status and a state, twice


def test_text_that_is_no_utf8(outcomes):
    fine, kind, text = everywhere(outcomes, "text_that_is_no_utf8")
    assert (fine, kind) == (True, "StateError")
    assert "rank 0: RuntimeError: \\ud800 is not text; rank 1: LabelError" in text


# ── one process ──


def test_without_torch_distributed_it_is_a_copy():
    meter = meter_of(0)
    merged = merge_over_ranks(meter)
    assert merged.to_json() == meter.to_json()
    ranks.score(merged, 1)
    assert meter.to_json() == meter_of(0).to_json()


@pytest.mark.parametrize(
    ("backend", "device"), [("gloo", "cpu"), ("cpu:gloo,cuda:nccl", "cpu"), ("undefined", "cpu"), ("mpi", "cpu")]
)
def test_device_of_backends_of_the_host(monkeypatch, backend, device):
    distributed = pytest.importorskip("flame_metric.torch.ranks")
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_backend", lambda group: backend)
    assert distributed._device_of(None, torch.device("cuda", 1)).type == device


@pytest.mark.parametrize("backend", ["nccl", "cuda:nccl"])
def test_device_of_nccl(monkeypatch, backend):
    distributed = pytest.importorskip("flame_metric.torch.ranks")
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_backend", lambda group: backend)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert distributed._device_of(None, torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert distributed._device_of(None, torch.device("cpu")) == torch.device("cuda", 3)
    assert distributed._device_of(None, None) == torch.device("cuda", 3)
