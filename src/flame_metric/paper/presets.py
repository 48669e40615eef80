"""Presets of the paper's experiments: which networks, by which recipe, and from which weights; needs no PyTorch.

``paper`` is the paper's recipe. ``quick`` learns on small synthetic frames within 45 minutes on two CPU cores; in place
of ImageNet each network is first trained once on (I_t, S_t), and all its trainings go on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from flame_metric.networks.names import NAMES
from flame_metric.paper.recipe import Recipe
from flame_metric.paper.recipes import paper_recipe, quick_recipe

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What is trained, and how.

    Attributes
    ----------
    name : str
    networks : tuple of str
        Those that are taken if none are named.
    recipe : callable
        From the name of a network to the recipe of each of its trainings.
    start : callable or None
        The same for a first training on (I_t, S_t), if there is one.
    weights : str or None
        Of the backbone, before everything.
    """

    name: str
    networks: tuple[str, ...]
    recipe: Callable[[str], Recipe]
    start: Callable[[str], Recipe] | None = None
    weights: str | None = None

    def changed(self, *, iterations: int | None = None, crop: tuple[int, int] | None = None) -> Preset:
        """Return the preset with other numbers of steps, and other crops of training frames, in all its recipes.

        Examples
        --------
        >>> PRESETS["paper"].changed(iterations=5).recipe("swiftnet-r18").steps(steps_per_epoch=247)
        5
        """

        def with_changes(recipe_of: Callable[[str], Recipe], network: str) -> Recipe:
            recipe = recipe_of(network)
            if iterations is not None:
                recipe = replace(recipe, iterations=iterations, epochs=None, schedule_per="iteration")
            if crop is not None:
                recipe = replace(recipe, augmentation=replace(recipe.augmentation, crop=crop))
            return recipe

        if iterations is None and crop is None:
            return self
        return replace(
            self,
            name=f"{self.name}, changed",
            recipe=partial(with_changes, self.recipe),
            start=None if self.start is None else partial(with_changes, self.start),
        )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            Preset(
                name="quick",
                networks=("swiftnet-r18", "swiftnet-r18-x"),
                recipe=quick_recipe,
                start=partial(quick_recipe, start=True),
            ),
            Preset(name="paper", networks=NAMES, recipe=paper_recipe, weights="imagenet"),
        )
    }
)
