"""The training loop does what the recipe says, and nothing but weights and optimiser links one step to the next."""

import json
import math
import re
import signal
import threading

import pytest

from flame_metric.errors import ConfigError, ShapeError, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from flame_metric.paper.order import Batches, epoch_order, step_seed  # noqa: E402
from flame_metric.paper.training import train  # noqa: E402
from toy_training import CLASSES, VOID, ToyNetwork, ToyPairs, toy_recipe, weights_of  # noqa: E402 - needs torch


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ── order ──


def test_an_epoch_takes_each_item_once_and_leaves_an_incomplete_batch_out():
    pairs = ToyPairs(7)
    train(ToyNetwork(), pairs, toy_recipe(epochs=3))
    assert len(pairs.taken) == 3 * 6
    for epoch in range(3):
        taken = [index for where, index in pairs.taken if where == epoch]
        assert taken == epoch_order(7, seed=0, epoch=epoch)[:6].tolist()
        assert len(set(taken)) == 6
    assert len({tuple(epoch_order(7, seed=0, epoch=epoch)) for epoch in range(20)}) > 15


def test_order_is_a_function_of_seed_and_epoch():
    assert epoch_order(9, seed=3, epoch=5).tolist() == epoch_order(9, seed=3, epoch=5).tolist()
    assert epoch_order(9, seed=3, epoch=5).tolist() != epoch_order(9, seed=4, epoch=5).tolist()


@pytest.mark.parametrize("first", [0, 1, 2, 5, 9])
def test_batches_can_begin_at_any_step(first):
    everything = list(Batches(7, 3, seed=1, first=0, last=10))
    assert list(Batches(7, 3, seed=1, first=first, last=10)) == everything[first:]
    assert len(Batches(7, 3, seed=1, first=first, last=10)) == 10 - first


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
def test_ranks_share_each_batch(ranks):
    whole = list(Batches(14, 6, seed=1, first=0, last=5))
    parts = [list(Batches(14, 6, seed=1, first=0, last=5, rank=rank, ranks=ranks)) for rank in range(ranks)]
    assert [[item for part in batch for item in part] for batch in zip(*parts, strict=True)] == whole
    assert {len(batch) for part in parts for batch in part} == {6 // ranks}


def test_step_seeds_differ():
    seeds = {step_seed(seed, step, rank) for seed in range(3) for step in range(50) for rank in range(3)}
    assert len(seeds) == 450


# ── optimiser and schedule ──


@pytest.fixture
def optimisers(monkeypatch):
    """The optimisers that a training makes, with the learning rates and the gradients' state of each step."""
    made = []

    class Spy:
        def __init__(self, kind):
            self.kind = kind

        def __call__(self, *arguments, **options):
            optimiser = self.kind(*arguments, **options)
            optimiser.rates = []
            step = optimiser.step

            def counted(*rest):
                optimiser.rates.append(tuple(group["lr"] for group in optimiser.param_groups))
                return step(*rest)

            optimiser.step = counted
            made.append(optimiser)
            return optimiser

    for name in ("Adam", "SGD"):
        monkeypatch.setattr(torch.optim, name, Spy(getattr(torch.optim, name)))
    return made


@pytest.mark.parametrize(
    ("network", "kind", "values"),
    [
        (
            "swiftnet-r18",
            torch.optim.Adam,
            {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 1e-4, "amsgrad": False},
        ),
        ("deeplab-mn", torch.optim.SGD, {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": False, "dampening": 0}),
    ],
)
def test_optimiser_of_the_recipe(network, kind, values, optimisers):
    toy, recipe = ToyNetwork(), toy_recipe(network, epochs=2)
    record = train(toy, ToyPairs(), recipe)
    (optimiser,) = optimisers
    assert type(optimiser) is kind
    pretrained, new = optimiser.param_groups
    for group, part in zip((pretrained, new), toy.parameter_groups(), strict=True):
        assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in part]
        assert {name: group[name] for name in values} == values
    assert optimiser.rates == [recipe.learning_rates(step, steps_per_epoch=2) for step in range(4)]
    assert optimiser.rates[0] == (0.01, 0.05)
    assert record.learning_rates == optimiser.rates[-1]


def test_one_step_by_hand():
    """SGD from given weights: w - rate * (gradient + decay * w), with the group's own rate."""
    network, pairs = ToyNetwork(norm=False, dropout=0.0), ToyPairs(3)
    before = weights_of(network)
    images, targets = map(torch.stack, zip(*(pairs[0, index] for index in range(3)), strict=True))
    loss = torch.nn.functional.cross_entropy(network(images), targets, ignore_index=VOID)
    loss.backward()
    recipe = toy_recipe("deeplab-mn", epochs=None, iterations=1, weight_decay=0.1)
    rates = {"first": 0.01, "last": 0.05}
    expected = {
        name: before[name] - rates[name.split(".")[0]] * (parameter.grad + 0.1 * before[name])
        for name, parameter in network.named_parameters()
    }
    record = train(network, pairs, recipe)
    assert record.losses == (pytest.approx(loss.item(), rel=1e-6),)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected[name])


# ── it learns, the same way each time ──


@pytest.mark.parametrize("network", ["swiftnet-r18", "deeplab-r101"])
def test_loss_falls(network):
    rates = {"learning_rate": 0.5, "pretrained_learning_rate": 0.1} if network == "deeplab-r101" else {}
    record = train(ToyNetwork(dropout=0.0), ToyPairs(12), toy_recipe(network, epochs=15, **rates))
    assert record.epoch_losses[-1] < 0.5 * record.epoch_losses[0]
    assert len(record.epoch_losses) == 15
    assert record.epoch_losses[3] == pytest.approx(sum(record.losses[12:16]) / 4)


def test_a_run_is_a_function_of_its_seed():
    ends = []
    for seed in (0, 0, 1):
        torch.rand(len(ends) + 1)  # whatever was drawn before
        network = ToyNetwork()
        train(network, ToyPairs(), toy_recipe(), seed=seed)
        ends.append(weights_of(network))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])


def test_global_randomness_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(ToyNetwork(), ToyPairs(), toy_recipe(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_dropout_differs_from_step_to_step():
    seen = []

    class Watched(ToyNetwork):
        def forward(self, images):
            seen.append(self.dropout(torch.ones(1, 64, 1, 1)).flatten().tolist())
            return super().forward(images)

    train(Watched(), ToyPairs(), toy_recipe(epochs=2))
    assert len({tuple(mask) for mask in seen}) == 4


def test_workers_change_nothing():
    plain, helped = ToyNetwork(), ToyNetwork()
    train(plain, ToyPairs(), toy_recipe())
    train(helped, ToyPairs(), toy_recipe(), workers=1)
    assert same(weights_of(plain), weights_of(helped))


def test_network_is_left_in_evaluation_mode():
    network = ToyNetwork().eval()
    modes = []
    network.norm.register_forward_pre_hook(lambda module, images: modes.append(module.training))
    train(network, ToyPairs(), toy_recipe(epochs=1))
    assert modes == [True, True]
    assert not any(module.training for module in network.modules())


def test_channels_last_and_compile():
    torch._dynamo.reset()
    formats = []

    class Watched(ToyNetwork):
        def forward(self, images):
            if not torch.compiler.is_compiling():
                formats.append(images.is_contiguous(memory_format=torch.channels_last))
            return super().forward(images)

    network = Watched(dropout=0.0)
    record = train(network, ToyPairs(), toy_recipe(epochs=1), channels_last=True)
    assert formats == [True, True]
    assert network.first.weight.is_contiguous(memory_format=torch.channels_last)
    assert (record.channels_last, record.compile) == (True, None)
    plain = ToyNetwork(dropout=0.0)
    other = train(plain, ToyPairs(), toy_recipe(epochs=1))
    assert record.losses == pytest.approx(other.losses, rel=1e-4)


def test_compiled_training_uses_the_compiler(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda module, mode: asked.append(mode) or module)
    network = ToyNetwork()
    record = train(network, ToyPairs(), toy_recipe(epochs=1), compile="reduce-overhead")
    assert (asked, record.compile) == (["reduce-overhead"], "reduce-overhead")


def test_unknown_compile_mode():
    with pytest.raises(ConfigError, match="`compile` is 'wonders', expected a mode of"):
        train(ToyNetwork(), ToyPairs(), toy_recipe(), compile="wonders")


@pytest.mark.parametrize("amp", ["bfloat16", "float16"])
def test_lower_precision(amp):
    kinds = []

    class Watched(ToyNetwork):
        def forward(self, images):
            logits = super().forward(images)
            kinds.append(logits.dtype)
            return logits

    network = Watched(dropout=0.0)
    record = train(network, ToyPairs(12), toy_recipe(epochs=12), amp=amp)
    assert set(kinds) == {getattr(torch, amp)}
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert record.amp == amp
    assert record.epoch_losses[-1] < 0.7 * record.epoch_losses[0]


# ── void, and what is not a number ──


def test_a_batch_without_labels_changes_nothing():
    def void(epoch, index):
        return 2.0 if epoch == 1 else 0.2

    network, ends = ToyNetwork(), []
    record = train(
        network,
        ToyPairs(6, void=void),
        toy_recipe("deeplab-mn", epochs=3),
        progress=lambda *step: ends.append(weights_of(network)),
    )
    assert [loss is None for loss in record.losses] == [False, False, True, True, False, False]
    assert same(ends[1], ends[3])  # neither momentum, nor decay, nor running statistics
    assert not same(ends[3], ends[4])
    assert [loss is None for loss in record.epoch_losses] == [False, True, False]
    assert json.loads(json.dumps(record.to_dict()))["losses"][2] is None


def test_loss_is_a_mean_over_pixels_not_over_items():
    """Two items, one with a few labelled pixels: the mean of all labelled pixels of the batch."""
    pairs = ToyPairs(2, void=lambda epoch, index: 0.93 if index else 0.0)
    network = ToyNetwork(norm=False, dropout=0.0)
    images, targets = map(torch.stack, zip(*(pairs[0, index] for index in range(2)), strict=True))
    assert 0 < (targets[1] != VOID).sum() < 5
    expected = torch.nn.functional.cross_entropy(network(images), targets, ignore_index=VOID).item()
    record = train(network, pairs, toy_recipe(batch_size=2, epochs=None, iterations=1, schedule_per="iteration"))
    assert record.losses == (pytest.approx(expected, rel=1e-6),)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    class Poisoned(ToyPairs):
        def __getitem__(self, place):
            image, target = super().__getitem__(place)
            return (image * math.nan if place[0] == 2 else image), target

    pretrained, new = toy_recipe().learning_rates(4, steps_per_epoch=2)
    message = (
        f"the loss is nan at step 4 (learning rates {pretrained:.3g} pretrained, {new:.3g} new), expected finite "
        "numbers: the training diverged, or an image holds what is not a number; the checkpoint of step 3 is kept. "
        "Train"
    )
    with pytest.raises(StateError, match=re.escape(message)):
        train(ToyNetwork(), Poisoned(), toy_recipe(), out=tmp_path, checkpoint_every=3)
    assert not torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]["first.weight"].isnan().any()


def test_weights_that_are_no_numbers_are_not_written(tmp_path):
    recipe = toy_recipe("deeplab-mn", learning_rate=1e38, epochs=None, iterations=1, weight_decay=100.0)
    with pytest.raises(StateError, match=r"the parameter 'last\.weight' holds values that are not finite at step 0"):
        train(ToyNetwork(norm=False, dropout=0.0), ToyPairs(), recipe, out=tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


# ── what is told ──


def test_log_and_progress(tmp_path):
    ticks = iter(range(0, 1000, 2))
    shown = []
    record = train(
        *(ToyNetwork(), ToyPairs(), toy_recipe(epochs=5)),
        out=tmp_path / "new" / "folder",
        log_every=4,
        progress=lambda *step: shown.append(step),
        clock=lambda: next(ticks),
    )
    lines = [json.loads(line) for line in record.log.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 10]
    assert [line["epoch"] for line in lines] == [1, 3, 4]
    for line in lines:
        first = (line["step"] - 1) // 4 * 4
        losses = record.losses[first : line["step"]]
        assert line["loss"] == pytest.approx(sum(losses) / len(losses))
        pretrained, new = toy_recipe(epochs=5).learning_rates(line["step"] - 1, steps_per_epoch=2)
        assert (line["pretrained_learning_rate"], line["learning_rate"]) == (pretrained, new)
    assert [line["images_per_second"] for line in lines] == [12 / 2, 12 / 2, 6 / 2]  # the clock ticks when it is read
    assert [(done, total) for done, total, _ in shown] == [(step, 10) for step in range(1, 11)]
    assert shown[3][2] == f"loss {lines[0]['loss']:.4f}"


def test_record():
    record = train(ToyNetwork(), ToyPairs(7), toy_recipe(), seed=4)
    assert (record.steps, record.steps_per_epoch, record.items, record.seed) == (12, 2, 7, 4)
    assert (record.device, record.ranks, record.amp, record.sync_batch_norm) == ("cpu", 1, None, False)
    assert (record.resumed_at, record.checkpoint, record.log) == (0, None, None)
    assert len(record.losses) == 12
    assert record.seconds > 0
    assert record.images_per_second > 0
    told = json.loads(json.dumps(record.to_dict()))
    assert told["recipe"] == json.loads(json.dumps(toy_recipe().to_dict()))
    assert told["learning_rates"] == list(record.learning_rates)


# ── what is refused ──


def unsized(network):
    network.parameter_groups = lambda: ([], [])
    return network


def doubled(network):
    network.parameter_groups = lambda: ([*network.parameters()], [*network.parameters()])
    return network


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: torch.nn.Conv2d(3, 3, 1),
            r"`network` is a Conv2d without parameter_groups\(\), expected that to return",
        ),
        (lambda: unsized(ToyNetwork()), "returns 0 parameters, expected each of the network's 6 once"),
        (lambda: doubled(ToyNetwork()), "returns 12 parameters, expected each of the network's 6 once"),
        (lambda: 7, "`network` is 7, expected a torch.nn.Module"),
    ],
)
def test_networks_that_cannot_be_trained(network, message):
    with pytest.raises(ConfigError, match=message):
        train(network(), ToyPairs(), toy_recipe())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "`seed` is -1, expected a whole number >= 0"),
        ({"amp": "float8"}, "`amp` is 'float8', expected one of float16, bfloat16"),
        ({"checkpoint_every": 0}, "`checkpoint_every` is 0, expected a whole number of steps >= 1"),
        ({"log_every": 1.5}, "`log_every` is 1.5, expected a whole number of steps >= 1"),
        ({"workers": -2}, "`workers` is -2, expected a whole number of processes >= 0"),
        ({"out": 3}, "`path` is 3, expected the name of a file"),
        ({"device": "abacus"}, "`device` is 'abacus'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        train(ToyNetwork(), ToyPairs(), toy_recipe(), **options)


def test_a_recipe_is_needed():
    with pytest.raises(ConfigError, match="`recipe` is 'paper', expected a Recipe, such as paper_recipe"):
        train(ToyNetwork(), ToyPairs(), "paper")


def test_too_few_items():
    with pytest.raises(ConfigError, match=r"`pairs` holds 2 item\(s\), expected at least the recipe's batch of 3"):
        train(ToyNetwork(), ToyPairs(2), toy_recipe())


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (lambda logits: logits[..., :3], r"\(3, 3, 6, 3\)"),
        (lambda logits: logits.argmax(1), r"\(3, 6, 6\)"),
        (lambda logits: {"out": logits}, "dict"),
    ],
)
def test_outputs_that_are_no_logits(output, found):
    class Other(ToyNetwork):
        def forward(self, images):
            return output(super().forward(images))

    with pytest.raises(ShapeError, match=rf"returns {found} for targets \(3, 6, 6\), expected logits \(N, C, H, W\)"):
        train(Other(), ToyPairs(), toy_recipe())
    assert CLASSES == 3


# ── Ctrl-C ──


def test_ctrl_c_waits_for_the_step_and_leaves_its_checkpoint(tmp_path):
    class Interrupted(ToyNetwork):
        def forward(self, images):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 6:
                signal.raise_signal(signal.SIGINT)
            return super().forward(images)

    network = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        train(network, ToyPairs(), toy_recipe(), out=tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 6
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    record = train(network, ToyPairs(), toy_recipe(), out=tmp_path)  # the same object goes on
    undisturbed = ToyNetwork()
    expected = train(undisturbed, ToyPairs(), toy_recipe())
    assert record.resumed_at == 6
    assert record.losses == expected.losses
    assert same(weights_of(network), weights_of(undisturbed))


def test_ctrl_c_between_two_steps(tmp_path):
    def hook(epoch, index):
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(ToyNetwork(), ToyPairs(hook=hook), toy_recipe(), out=tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 4


def test_a_second_ctrl_c_does_not_wait_and_writes_nothing(tmp_path):
    class Interrupted(ToyNetwork):
        def forward(self, images):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second one was held back")

    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(), ToyPairs(), toy_recipe(), out=tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_program_keeps_its_own_way_with_ctrl_c():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *call: heard.append(call))
    try:
        train(
            *(ToyNetwork(), ToyPairs(), toy_recipe(epochs=1)),
            progress=lambda *step: signal.raise_signal(signal.SIGINT),
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(heard) == 2


def test_in_a_thread():
    records = []
    thread = threading.Thread(target=lambda: records.append(train(ToyNetwork(), ToyPairs(), toy_recipe(epochs=1))))
    thread.start()
    thread.join()
    assert records[0].steps == 2


# ── GPU ──


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("amp", [None, "float16", "bfloat16"])
def test_on_a_gpu_as_on_the_cpu(amp, tmp_path):
    recipe = toy_recipe(epochs=8)
    here, there = ToyNetwork(dropout=0.0), ToyNetwork(dropout=0.0)
    expected = train(here, ToyPairs(), recipe)
    state = torch.cuda.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        train(*(there, ToyPairs(), recipe), device="cuda", amp=amp, out=tmp_path, progress=_stop_after(7))
    again = ToyNetwork(dropout=0.0)
    record = train(*(again, ToyPairs(), recipe), device="cuda", amp=amp, out=tmp_path)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert (record.device, record.resumed_at) == ("cuda", 7)
    assert record.losses == pytest.approx(expected.losses, rel=1e-3 if amp is None else 0.1)


def _stop_after(steps):
    def progress(done, total, note):
        if done == steps:
            signal.raise_signal(signal.SIGINT)

    return progress
