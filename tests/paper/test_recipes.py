"""Recipes hold the paper's numbers, name whose choice each one is, and give the learning rate of any step."""

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.errors import ConfigError
from flame_metric.paper.recipes import (
    AugmentationFields,
    Recipe,
    choices,
    explain,
    paper_recipe,
    quick_recipe,
)

NETWORKS = ("swiftnet-r18", "swiftnet-r18-x", "deeplab-r101", "deeplab-mn")
EVERY = [
    *(paper_recipe(network) for network in NETWORKS),
    *(quick_recipe(network, start=start) for network in NETWORKS for start in (True, False)),
]


def named(recipe):
    return f"{recipe.name} {recipe.network}"


# ── the paper's section 4.3 ──


@pytest.mark.parametrize("network", ["swiftnet-r18", "swiftnet-r18-x"])
def test_swiftnet_as_the_paper_trains_it(network):
    recipe = paper_recipe(network)
    assert (recipe.optimiser, recipe.betas, recipe.momentum) == ("adam", (0.9, 0.999), None)
    assert (recipe.learning_rate, recipe.pretrained_learning_rate, recipe.weight_decay) == (5e-4, 1e-4, 1e-4)
    assert (recipe.batch_size, recipe.epochs, recipe.iterations) == (12, 200, None)
    assert (recipe.schedule, recipe.minimum_learning_rate, recipe.power) == ("cosine", 1e-6, None)
    assert (recipe.start, recipe.network) == ("imagenet", network)


@pytest.mark.parametrize("network", ["deeplab-r101", "deeplab-mn"])
def test_deeplab_as_the_paper_trains_it(network):
    recipe = paper_recipe(network)
    assert (recipe.optimiser, recipe.betas, recipe.momentum) == ("sgd", None, 0.9)
    assert (recipe.learning_rate, recipe.pretrained_learning_rate, recipe.weight_decay) == (5e-2, 5e-3, 5e-4)
    assert (recipe.batch_size, recipe.epochs, recipe.iterations) == (10, 220, None)
    assert (recipe.schedule, recipe.minimum_learning_rate, recipe.power) == ("poly", None, 3.0)
    assert (recipe.start, recipe.network) == ("imagenet", network)


@pytest.mark.parametrize("network", NETWORKS)
def test_augmentation_of_the_paper(network):
    assert asdict(paper_recipe(network).augmentation) == {
        "crop": (768, 768),
        "flip": 0.5,
        "scale": (0.75, 1.5),
        "blur_probability": 0.5,
        "blur_kernel": 5,
        "blur_sigma": (0.1, 2.0),
    }


def test_fields_are_those_of_the_augmentation():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    augmentation = pytest.importorskip("flame_metric.paper.augmentation").Augmentation
    assert asdict(augmentation()) == asdict(AugmentationFields())
    for recipe in EVERY:
        augmentation(**asdict(recipe.augmentation))  # checks their values


@pytest.mark.parametrize("network", NETWORKS)
def test_quick_trainings_differ_in_start_and_length_alone(network):
    first, second = quick_recipe(network, start=True), quick_recipe(network)
    assert (first.start, second.start) == ("random", "static")
    assert first.iterations
    assert second.iterations
    assert (first.network, second.network) == (network, network)
    rates = ("learning_rate", "pretrained_learning_rate")
    alike = {name: getattr(first, name) for name in ("name", "start", "iterations", *rates)}
    assert replace(second, **alike) == first


@pytest.mark.parametrize("make", [paper_recipe, quick_recipe])
def test_unknown_network(make):
    with pytest.raises(
        ConfigError, match="`network` is 'swiftnet', expected one of swiftnet-r18, swiftnet-r18-x, deep"
    ):
        make("swiftnet")


# ── the learning rate ──

COSINE = {  # epoch of 4: (1 + cos(pi * epoch / 4)) / 2
    0: 1.0,
    1: (1 + math.sqrt(0.5)) / 2,
    2: 0.5,
    3: (1 - math.sqrt(0.5)) / 2,
    4: 0.0,  # after the last
}


@pytest.mark.parametrize(("epoch", "part"), COSINE.items())
@pytest.mark.parametrize("step", [0, 9])
def test_cosine_falls_by_the_epoch(epoch, part, step):
    recipe = replace(paper_recipe("swiftnet-r18"), epochs=4)
    pretrained, new = recipe.learning_rates(10 * epoch + step, steps_per_epoch=10)
    assert pretrained == pytest.approx(1e-6 + 99e-6 * part, rel=1e-12)
    assert new == pytest.approx(1e-6 + 499e-6 * part, rel=1e-12)


def test_cosine_of_the_paper():
    recipe = paper_recipe("swiftnet-r18")
    assert recipe.steps(247) == 49_400
    assert recipe.learning_rates(0, steps_per_epoch=247) == (1e-4, 5e-4)
    assert recipe.learning_rates(100 * 247, steps_per_epoch=247) == pytest.approx((50.5e-6, 250.5e-6), rel=1e-12)
    assert recipe.learning_rates(49_400, steps_per_epoch=247) == pytest.approx((1e-6, 1e-6), rel=1e-12)


POLY = {0: 1.0, 5: 0.125, 8: 0.008, 9: 0.001, 10: 0.0}  # iteration of 10: (1 - iteration / 10) ** 3


@pytest.mark.parametrize(("step", "part"), POLY.items())
def test_poly_falls_by_the_iteration(step, part):
    recipe = replace(paper_recipe("deeplab-mn"), epochs=2)
    found = recipe.learning_rates(step, steps_per_epoch=5)
    assert found == pytest.approx((5e-3 * part, 5e-2 * part), rel=1e-9)


@pytest.mark.parametrize(("step", "part"), COSINE.items())
def test_cosine_by_the_iteration(step, part):
    recipe = replace(quick_recipe("swiftnet-r18"), iterations=4, learning_rate=1e-3)
    _, new = recipe.learning_rates(step, steps_per_epoch=1000)
    assert new == pytest.approx(1e-6 + 999e-6 * part, rel=1e-12)


@given(st.sampled_from(EVERY), st.integers(1, 50))
def test_rates_never_rise_and_stay_above_the_end(recipe, steps_per_epoch):
    recipe = replace(recipe, **{"epochs" if recipe.iterations is None else "iterations": 20})
    steps = recipe.steps(steps_per_epoch)
    rates = [recipe.learning_rates(step, steps_per_epoch=steps_per_epoch) for step in range(steps)]
    assert rates[0] == pytest.approx((recipe.pretrained_learning_rate, recipe.learning_rate))
    for group in zip(*rates, strict=True):
        assert list(group) == sorted(group, reverse=True)
        assert min(group) > (recipe.minimum_learning_rate or 0.0)


@pytest.mark.parametrize("network", ["swiftnet-r18", "deeplab-r101"])
def test_rates_are_those_of_torchs_schedulers(network):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    recipe = replace(paper_recipe(network), epochs=6)
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    rates = (recipe.pretrained_learning_rate, recipe.learning_rate)
    groups = [{"params": [parameter], "lr": rate} for parameter, rate in zip(parameters, rates, strict=True)]
    optimiser = torch.optim.SGD(groups)
    if recipe.schedule == "cosine":
        peer, every = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=6, eta_min=1e-6), 7
    else:
        peer, every = torch.optim.lr_scheduler.PolynomialLR(optimiser, total_iters=42, power=3), 1
    for step in range(42):
        expected = [group["lr"] for group in optimiser.param_groups]
        assert recipe.learning_rates(step, steps_per_epoch=7) == pytest.approx(tuple(expected), rel=1e-9)
        optimiser.step()
        if (step + 1) % every == 0:
            peer.step()


# ── whose choice ──


def origins(recipe):
    return {choice.name: choice.origin for choice in choices(recipe)}


@pytest.mark.parametrize(
    ("network", "stated"),
    [
        ("swiftnet-r18-x", {"betas", "minimum learning rate", "spatial pyramid pooling"}),
        ("deeplab-mn", {"momentum", "power", "atrous rates"}),
    ],
)
def test_the_papers_choices_are_told_from_ours(network, stated):
    found = origins(paper_recipe(network))
    shared = {"start", "optimiser", "learning rate", "pretrained learning rate", "weight decay", "batch size", "epochs"}
    assert {name for name, origin in found.items() if origin == "paper"} == shared | stated | {
        "schedule",
        "crop",
        "scale",
    }
    assert set(found.values()) == {"paper", "ours"}


def test_what_the_paper_leaves_open_is_named():
    lines = explain(paper_recipe("deeplab-r101")).splitlines()
    assert lines[0] == "recipe 'paper' of deeplab-r101"
    for line in (
        "batch size: 10 (paper)",
        "schedule per: iteration (ours; the paper names only the schedule)",
        "blur kernel: 5 (ours)",
        "loss: cross-entropy of full-size logits, mean over the labelled pixels of a batch (ours)",
        "class weights, hard example mining, auxiliary heads: none (ours)",
        "weights that are scored: those after the last step (ours)",
        "test: whole frames, one scale, no flip (ours)",
        "start of the trainings that are compared: the same weights, none goes on from another's end (ours)",
        "image pooling: yes (ours; as DeepLabV3+ was published; this paper names only the four rates)",
    ):
        assert line in lines
    assert not [line for line in lines if line.startswith(("betas", "iterations", "minimum"))]  # not of this recipe


def test_a_changed_value_is_no_longer_the_papers():
    recipe = replace(paper_recipe("swiftnet-r18"), batch_size=4, epochs=None, iterations=7, schedule_per="iteration")
    lines = explain(recipe).splitlines()
    assert "batch size: 4 (ours; paper: 12)" in lines
    assert "epochs: none (ours; paper: 200)" in lines
    assert "iterations: 7 (ours; paper: none)" in lines


def test_nothing_of_another_network_is_the_papers():
    found = choices(replace(paper_recipe("swiftnet-r18"), network="my own"))
    assert {choice.origin for choice in found} == {"ours"}


@pytest.mark.parametrize("recipe", EVERY, ids=named)
def test_every_field_has_its_line(recipe):
    told = origins(recipe)
    for name, value in {**asdict(recipe), **asdict(recipe.augmentation)}.items():
        if name not in ("name", "network", "augmentation") and value is not None:
            assert name.replace("_", " ") in told


# ── JSON ──


@pytest.mark.parametrize("recipe", EVERY, ids=named)
def test_through_json_and_back(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda record: record.pop("epochs"),
            r"the recipe has the fields \['augmentation', 'batch_size', .*, expected",
        ),
        (lambda record: record.update(warmup=3), "the recipe has the fields .*'warmup'.*, expected"),
        (lambda record: record["augmentation"].pop("flip"), r"its augmentation has the fields \['blur_kernel'"),
        (lambda record: record.update(augmentation=7), "`augmentation` is 7, expected the fields of an augmentation"),
        (lambda record: record.update(batch_size=0), "`batch_size` is 0, expected a whole number >= 1"),
    ],
)
def test_a_damaged_record_is_refused(change, message):
    record = paper_recipe("swiftnet-r18").to_dict()
    change(record)
    with pytest.raises(ConfigError, match=message):
        Recipe.from_dict(record)


def test_a_list_is_no_record():
    with pytest.raises(ConfigError, match=r"`record` is \[1\], expected the fields of a recipe"):
        Recipe.from_dict([1])


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        ("swiftnet-r18", {"optimiser": "adamw"}, "`optimiser` is 'adamw', expected one of adam, sgd"),
        ("swiftnet-r18", {"optimiser": "sgd"}, "`betas` is .0.9, 0.999., expected None: it is part of Adam"),
        ("swiftnet-r18", {"betas": None}, "`betas` is None, expected a value: it is part of Adam"),
        ("swiftnet-r18", {"betas": (0.9,)}, r"`betas` is \(0.9,\), expected a tuple of two numbers"),
        ("swiftnet-r18", {"betas": (0.9, 1)}, "`betas` is 1, expected a number >= 0 and < 1"),
        ("swiftnet-r18", {"momentum": 0.9}, "`momentum` is 0.9, expected None: it is part of SGD"),
        ("deeplab-mn", {"momentum": None}, "`momentum` is None, expected a value: it is part of SGD"),
        ("deeplab-mn", {"momentum": True}, "`momentum` is True, expected a number >= 0 and < 1"),
        ("swiftnet-r18", {"power": 3.0}, "`power` is 3.0, expected None: it is part of the poly schedule"),
        (
            "swiftnet-r18",
            {"minimum_learning_rate": None},
            "is None, expected a value: it is part of the cosine schedule",
        ),
        ("deeplab-mn", {"power": -1}, "`power` is -1, expected a number >= 0"),
        ("swiftnet-r18", {"schedule": "step"}, "`schedule` is 'step', expected one of cosine, poly"),
        ("swiftnet-r18", {"schedule_per": "day"}, "`schedule_per` is 'day', expected one of epoch, iteration"),
        ("swiftnet-r18", {"start": "luck"}, "`start` is 'luck', expected one of imagenet, random, static"),
        ("swiftnet-r18", {"frames_init": "zero"}, "`frames_init` is 'zero', expected one of repeat, last, he"),
        ("swiftnet-r18", {"iterations": 5}, "`epochs` is 200 and `iterations` 5, expected one of the two"),
        ("swiftnet-r18", {"epochs": None}, "`epochs` is None and `iterations` None, expected one of the two"),
        ("swiftnet-r18", {"epochs": 0}, "`epochs` is 0, expected a whole number >= 1"),
        (
            "swiftnet-r18",
            {"epochs": None, "iterations": 5},
            "`schedule_per` is 'epoch' without `epochs`, expected 'iter",
        ),
        ("swiftnet-r18", {"batch_size": 1.5}, "`batch_size` is 1.5, expected a whole number >= 1"),
        ("swiftnet-r18", {"learning_rate": math.nan}, "`learning_rate` is nan, expected a number >= 0"),
        ("swiftnet-r18", {"weight_decay": "1e-4"}, "`weight_decay` is '1e-4', expected a number >= 0"),
        ("swiftnet-r18", {"augmentation": None}, "`augmentation` is None, expected AugmentationFields"),
        ("swiftnet-r18", {"name": 3}, "`name` is 3, expected text"),
    ],
)
def test_values_that_do_not_go_together(network, changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(paper_recipe(network), **changes)


def test_recipes_load_without_torch(run_python):
    program = "import sys, flame_metric.paper.recipes; print('torch' in sys.modules)"
    assert run_python(program) == "False"
