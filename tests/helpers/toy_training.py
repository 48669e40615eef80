"""Small networks and small data for the tests of the training loop; a module, so that other processes can import it."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from flame_metric.paper.recipes import AugmentationFields, Recipe, paper_recipe

CLASSES, VOID = 3, -100


class ToyNetwork(nn.Module):
    """A pretrained convolution, then new layers, with everything that makes a run hard to repeat."""

    def __init__(self, *, norm=True, dropout=0.3, seed=0):
        super().__init__()
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            self.first = nn.Conv2d(3, 8, 3, padding=1)
            self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
            self.dropout = nn.Dropout2d(dropout)
            self.last = nn.Conv2d(8, CLASSES, 1)

    def forward(self, images):
        return self.last(self.dropout(self.norm(self.first(images)).relu()))

    def parameter_groups(self):
        return [*self.first.parameters()], [*self.norm.parameters(), *self.last.parameters()]


class ToyPairs:
    """Images whose brightest colour is the class of a pixel; other noise in every epoch."""

    def __init__(self, items=7, *, size=6, void=0.2, seed=0, hook=None):
        self.items, self.size, self.void, self.seed, self.hook = items, size, void, seed, hook
        self.taken = []

    def __len__(self):
        return self.items

    def __getitem__(self, place):
        if self.hook is not None:
            self.hook(*place)
        self.taken.append(place)
        rng = np.random.default_rng((self.seed, *place))
        target = rng.integers(0, CLASSES, (self.size, self.size))
        image = np.eye(CLASSES)[target].transpose(2, 0, 1) + rng.normal(0, 0.3, (3, self.size, self.size))
        void = rng.random(target.shape) < (self.void(*place) if callable(self.void) else self.void)
        return torch.from_numpy(image).float(), torch.from_numpy(np.where(void, VOID, target))


def toy_recipe(network="swiftnet-r18", **changes) -> Recipe:
    """The paper's recipe, made small: three items a step, so two steps an epoch, and six epochs."""
    values = {"batch_size": 3, "epochs": 6, "learning_rate": 0.05, "pretrained_learning_rate": 0.01}
    return replace(paper_recipe(network), augmentation=AugmentationFields(crop=None), **{**values, **changes})


def weights_of(network):
    return {name: value.clone() for name, value in network.state_dict().items()}
