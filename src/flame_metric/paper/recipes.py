"""The recipes of the paper (section 4.3) and of a quick run, and whose decision each of their values was.

What the paper states is the paper's; what it leaves open is the field's usual choice, and named as ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from flame_metric.core.checks import check_choice
from flame_metric.paper.recipe import AugmentationFields, Recipe

__all__ = ["AugmentationFields", "Choice", "Recipe", "choices", "explain", "paper_recipe", "quick_recipe"]


def paper_recipe(network: str) -> Recipe:
    """Return the recipe of the paper's section 4.3 for one of its four networks.

    Parameters
    ----------
    network : {"swiftnet-r18", "swiftnet-r18-x", "deeplab-r101", "deeplab-mn"}

    Raises
    ------
    ConfigError
        If it is another one.
    """
    check_choice("network", network, tuple(_PAPER))
    return _PAPER[network]


def quick_recipe(network: str, *, start: bool = False) -> Recipe:
    """Return a recipe for small synthetic frames on a CPU: iterations instead of epochs, and no ImageNet.

    Each network is first trained once on (I_t, S_t), from random weights (``start=True``); every training that is
    compared goes on from there, with equally many steps (``start=False``).

    Parameters
    ----------
    network : {"swiftnet-r18", "swiftnet-r18-x", "deeplab-r101", "deeplab-mn"}
    start : bool
        Whether it is the recipe of the first training.

    Raises
    ------
    ConfigError
        If the network is another one.
    """
    check_choice("network", network, tuple(_PAPER))
    return replace(_QUICK_START if start else _QUICK, network=network)


@dataclass(frozen=True)
class Choice:
    """One decision about a training.

    Attributes
    ----------
    name, value : str
        What was decided, and how.
    origin : {"paper", "ours"}
        Who decided it.
    note : str
        Why, or what the paper does instead; may be empty.
    """

    name: str
    value: str
    origin: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.value} ({self.origin}{f'; {self.note}' if self.note else ''})"


def choices(recipe: Recipe) -> tuple[Choice, ...]:
    """Return every decision of a recipe with its origin: the paper's where it states the value, ours elsewhere."""
    paper = dict(_values(_PAPER[recipe.network])) if recipe.network in _PAPER else {}
    return (*_own_choices(recipe, paper), *_FIXED, *_ARCHITECTURE.get(recipe.network.partition("-")[0], ()))


def explain(recipe: Recipe) -> str:
    """Return a recipe for people: what it is, and a line for every decision.

    Examples
    --------
    >>> for line in explain(paper_recipe("deeplab-mn")).splitlines()[:4]:
    ...     print(line)
    recipe 'paper' of deeplab-mn
    start: imagenet (paper)
    frames init: repeat (ours; a second frame: the first convolution twice, halved)
    optimiser: sgd (paper)
    """
    return "\n".join([f"recipe {recipe.name!r} of {recipe.network}", *map(str, choices(recipe))])


# ── the numbers ──

_SWIFTNET = Recipe(
    network="swiftnet-r18",
    name="paper",
    start="imagenet",
    optimiser="adam",
    learning_rate=5e-4,
    pretrained_learning_rate=1e-4,
    weight_decay=1e-4,
    betas=(0.9, 0.999),
    batch_size=12,
    epochs=200,
    schedule="cosine",
    schedule_per="epoch",
    minimum_learning_rate=1e-6,
)
_DEEPLAB = Recipe(
    network="deeplab-r101",
    name="paper",
    start="imagenet",
    optimiser="sgd",
    learning_rate=5e-2,
    pretrained_learning_rate=5e-3,
    weight_decay=5e-4,
    momentum=0.9,
    batch_size=10,
    epochs=220,
    schedule="poly",
    schedule_per="iteration",
    power=3.0,
)
_PAPER = {
    recipe.network: recipe
    for recipe in (
        *(_SWIFTNET, replace(_SWIFTNET, network="swiftnet-r18-x", frames_init="he")),
        *(_DEEPLAB, replace(_DEEPLAB, network="deeplab-mn")),
    )
}

_QUICK_START = Recipe(
    name="quick, first training",
    network="swiftnet-r18",
    start="random",
    optimiser="adam",
    learning_rate=1e-3,
    pretrained_learning_rate=1e-3,
    weight_decay=1e-4,
    betas=(0.9, 0.999),
    batch_size=8,
    iterations=500,
    schedule="cosine",
    schedule_per="iteration",
    minimum_learning_rate=1e-6,
    frames_init="last",
    augmentation=AugmentationFields(crop=(128, 256), scale=(1.0, 1.0), blur_probability=0.0),
)
_QUICK = replace(
    _QUICK_START,
    name="quick",
    start="static",
    learning_rate=5e-4,
    pretrained_learning_rate=5e-4,
    iterations=600,
)

# ── who decided ──

_STATED = frozenset(  # fields whose value the paper tells
    [
        *("start", "optimiser", "learning_rate", "pretrained_learning_rate", "weight_decay", "betas", "momentum"),
        *("batch_size", "epochs", "iterations", "schedule", "minimum_learning_rate", "power", "crop", "scale"),
    ]
)
_NOTES = {
    "betas": "default parameters",
    "weight_decay": "L2 added to the gradient, on every parameter",
    "schedule_per": "the paper names only the schedule",
    "flip": "the paper flips at random",
    "blur_probability": "the paper blurs at random",
}
_FRAMES_INIT = {
    "repeat": "a second frame: the first convolution twice, halved",
    "last": "a second frame: zeros in the first convolution, so that it begins as the network of one frame",
    "he": "a second frame: the first convolution drawn anew",
}
_FIXED = (
    Choice("start of the trainings that are compared", "the same weights, none goes on from another's end", "ours"),
    Choice("loss", "cross-entropy of full-size logits, mean over the labelled pixels of a batch", "ours"),
    Choice("void pixels", "left out", "ours", "a batch without a labelled pixel changes nothing"),
    Choice("class weights, hard example mining, auxiliary heads", "none", "ours"),
    Choice("warm-up, gradient clipping", "none", "ours"),
    Choice("precision", "float32", "ours", "train(amp=...) departs from it, and its record says so"),
    Choice("incomplete last batch of an epoch", "left out", "ours"),
    Choice("normalisation of frames", "ImageNet's mean and standard deviation", "ours"),
    Choice("augmentation of input frames and target", "the same geometry for all, blur only on frames", "ours"),
    Choice("initial weights of new convolutions", "He", "ours", "the paper says so for SwiftNet-R18-X"),
    Choice("weights that are scored", "those after the last step", "ours"),
    Choice("test", "whole frames, one scale, no flip", "ours"),
)
_ARCHITECTURE = {
    "swiftnet": (
        Choice("spatial pyramid pooling", "4 levels, 8 4 2 1", "paper", "SwiftNet's published code has 3"),
        Choice("skip connections", "before the activation", "ours", "in SwiftNet's published code, after it"),
    ),
    "deeplab": (
        Choice("atrous rates", "1, 6, 12, 18", "paper"),
        Choice("image pooling", "yes", "ours", "as DeepLabV3+ was published; this paper names only the four rates"),
        Choice("decoder", "two 3x3 convolutions of 256 channels", "ours"),
        Choice("dropout", "0.1", "ours"),
        Choice("output stride", "16", "ours", "the paper says so for ResNet-101"),
    ),
}


def _own_choices(recipe: Recipe, paper: Mapping[str, Any]) -> Iterator[Choice]:
    for name, value in _values(recipe):
        if name in ("name", "network") or (value is None and paper.get(name) is None):
            continue
        told = name in _STATED and name in paper
        same = told and value == paper[name]
        ours = _FRAMES_INIT[value] if name == "frames_init" else _NOTES.get(name, "")
        note = f"paper: {_show(paper[name])}" if told and not same else ours
        yield Choice(name.replace("_", " "), _show(value), "paper" if same else "ours", note)


def _values(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Yield names and values of all fields, with those of the augmentation one by one."""
    for record in (recipe, recipe.augmentation):
        yield from ((part.name, getattr(record, part.name)) for part in fields(record) if part.name != "augmentation")


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(map(_show, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
