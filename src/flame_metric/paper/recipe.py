"""Recipe: all that decides what a training does with a network and its pairs, as data.

A recipe is the same on every machine; device, precision, workers and ranks are options of ``train``. The learning rate
is a closed form of the step, so that a run may stop and resume anywhere. With p the part of the training that is done,
0 <= p < 1, counted in whole epochs or in iterations:

- ``cosine``: low + (rate - low) * (1 + cos(pi * p)) / 2, where low is the rate at the end, the same for all layers;
- ``poly``: rate * (1 - p) ** power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from flame_metric.core.checks import check_choice, check_integer, check_kind
from flame_metric.errors import ConfigError

__all__ = ["AugmentationFields", "Recipe"]

_OPTIMISERS = ("adam", "sgd")
_SCHEDULES = ("cosine", "poly")
_STARTS = ("imagenet", "random", "static")


@dataclass(frozen=True, kw_only=True)
class AugmentationFields:
    """The arguments of ``Augmentation``, which checks them. Defaults: the paper's, and ours where it is silent.

    Attributes
    ----------
    crop : (int, int) or None
        Height and width in pixels; None: whole frames.
    flip : float
        Probability of a horizontal flip.
    scale : (float, float)
        Range of the scale.
    blur_probability : float
    blur_kernel : int
        Width in pixels.
    blur_sigma : (float, float)
        Range of the standard deviation in pixels.
    """

    crop: tuple[int, int] | None = (768, 768)
    flip: float = 0.5
    scale: tuple[float, float] = (0.75, 1.5)
    blur_probability: float = 0.5
    blur_kernel: int = 5
    blur_sigma: tuple[float, float] = (0.1, 2.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a training does with a network and its pairs.

    Attributes
    ----------
    name : str
        For people.
    network : str
        Name of the network for which it is meant.
    start : {"imagenet", "random", "static"}
        What the weights are before the first step: an encoder trained on ImageNet, drawn at random, or those of the
        network trained on (I_t, S_t). Who builds the network sees to it.
    frames_init : {"repeat", "last", "he"}
        Weights of the first convolution for a second input frame; who builds the network sees to it.
    optimiser : {"adam", "sgd"}
    learning_rate, pretrained_learning_rate : float
        At the first step, of new layers and of those that came with weights.
    weight_decay : float
        L2 penalty on every parameter, as torch.optim adds it to the gradient.
    betas : (float, float) or None
        Of Adam.
    momentum : float or None
        Of SGD.
    batch_size : int
        Items a step, over all ranks together.
    epochs, iterations : int or None
        Length of the training; one of the two. An epoch ends before a batch that would be incomplete.
    schedule : {"cosine", "poly"}
    schedule_per : {"epoch", "iteration"}
        When the learning rate changes.
    minimum_learning_rate : float or None
        To which ``cosine`` falls.
    power : float or None
        Of ``poly``.
    augmentation : AugmentationFields

    Raises
    ------
    ConfigError
        If a value is out of range, missing, or has no meaning beside the others.

    Examples
    --------
    >>> from flame_metric.paper.recipes import paper_recipe
    >>> recipe = paper_recipe("swiftnet-r18")
    >>> recipe.steps(steps_per_epoch=247)
    49400
    >>> recipe.learning_rates(0, steps_per_epoch=247)  # of the pretrained part, and of new layers
    (0.0001, 0.0005)
    """

    name: str
    network: str
    start: str
    frames_init: str = "repeat"
    optimiser: str
    learning_rate: float
    pretrained_learning_rate: float
    weight_decay: float
    betas: tuple[float, float] | None = None
    momentum: float | None = None
    batch_size: int
    epochs: int | None = None
    iterations: int | None = None
    schedule: str
    schedule_per: str
    minimum_learning_rate: float | None = None
    power: float | None = None
    augmentation: AugmentationFields = field(default_factory=AugmentationFields)

    def __post_init__(self) -> None:
        for name in ("name", "network"):
            check_kind(name, getattr(self, name), str, "text")
        check_choice("start", self.start, _STARTS)
        check_choice("frames_init", self.frames_init, ("repeat", "last", "he"))
        check_choice("optimiser", self.optimiser, _OPTIMISERS)
        check_choice("schedule", self.schedule, _SCHEDULES)
        check_choice("schedule_per", self.schedule_per, ("epoch", "iteration"))
        check_kind("augmentation", self.augmentation, AugmentationFields, "AugmentationFields")
        check_integer("batch_size", self.batch_size, 1)
        if (self.epochs is None) == (self.iterations is None):
            raise ConfigError(f"`epochs` is {self.epochs} and `iterations` {self.iterations}, expected one of the two")
        length = "iterations" if self.epochs is None else "epochs"
        check_integer(length, getattr(self, length), 1)
        if self.schedule_per == "epoch" and self.epochs is None:
            raise ConfigError("`schedule_per` is 'epoch' without `epochs`, expected 'iteration' beside `iterations`")
        for name in ("learning_rate", "pretrained_learning_rate", "weight_decay"):
            _check_number(name, getattr(self, name))
        for name, needed, of in (
            ("betas", self.optimiser == "adam", "Adam"),
            ("momentum", self.optimiser == "sgd", "SGD"),
            ("minimum_learning_rate", self.schedule == "cosine", "the cosine schedule"),
            ("power", self.schedule == "poly", "the poly schedule"),
        ):
            self._check_part(name, needed, of)

    def _check_part(self, name: str, needed: bool, of: str) -> None:
        value = getattr(self, name)
        if needed != (value is not None):
            raise ConfigError(f"`{name}` is {value!r}, expected {'a value' if needed else 'None'}: it is part of {of}")
        if name == "betas" and needed and not (isinstance(value, tuple) and len(value) == 2):
            raise ConfigError(f"`betas` is {value!r}, expected a tuple of two numbers")
        for number in value if isinstance(value, tuple) else () if value is None else (value,):
            _check_number(name, number, below=1.0 if name in ("betas", "momentum") else math.inf)

    def steps(self, steps_per_epoch: int) -> int:
        """Return the number of all steps, for data that gives so many an epoch."""
        if self.iterations is not None:
            return self.iterations
        assert self.epochs is not None  # one of the two is there
        return self.epochs * steps_per_epoch

    def learning_rates(self, step: int, *, steps_per_epoch: int) -> tuple[float, float]:
        """Return the learning rates of the pretrained part and of new layers during a step, 0 the first.

        At the step after the last they are those towards which the schedule goes.
        """
        if self.schedule_per == "epoch":
            assert self.epochs is not None  # checked above
            part = (step // steps_per_epoch) / self.epochs
        else:
            part = step / self.steps(steps_per_epoch)
        return self._rate(self.pretrained_learning_rate, part), self._rate(self.learning_rate, part)

    def _rate(self, first: float, part: float) -> float:
        if self.minimum_learning_rate is not None:
            low = self.minimum_learning_rate
            return low + (first - low) * (1 + math.cos(math.pi * part)) / 2
        assert self.power is not None  # it belongs to the one other schedule
        return float(first * (1 - part) ** self.power)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields in types that JSON knows."""
        return {name: _as_list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Recipe:
        """Read what :meth:`to_dict` returned, also after a way through JSON.

        Raises
        ------
        ConfigError
            If a field is missing, unknown or out of range.
        """
        check_kind("record", record, Mapping, "the fields of a recipe")
        values = _checked_fields("the recipe", record, cls)
        check_kind("augmentation", values["augmentation"], Mapping, "the fields of an augmentation")
        augmentation = _checked_fields("its augmentation", values["augmentation"], AugmentationFields)
        return cls(**{**values, "augmentation": AugmentationFields(**augmentation)})


def _check_number(name: str, value: object, *, below: float = math.inf) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < below
    if not good:
        limit = "" if below == math.inf else f" and < {below:g}"
        raise ConfigError(f"`{name}` is {value!r}, expected a number >= 0{limit}")


def _checked_fields(what: str, record: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    names = {known.name for known in fields(kind)}
    if record.keys() != names:
        raise ConfigError(f"{what} has the fields {sorted(map(str, record))}, expected {sorted(names)}")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}


def _as_list(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_list(part) for name, part in value.items()}
    return list(value) if isinstance(value, tuple) else value
