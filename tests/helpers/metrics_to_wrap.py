"""Small torchmetrics metrics that the tests wrap."""

import torch
from torch.nn.functional import max_pool2d
from torchmetrics import Metric


class Pairs(Metric):
    """Remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.add_state("total", torch.tensor(0), "sum")
        self.got = []

    def update(self, preds, target, **rest):
        self.got.append((preds, target, rest) if rest else (preds, target))
        self.total += 1

    def compute(self):
        return self.total

    def reset(self):
        super().reset()
        self.got = []


class BoundaryIoU(Metric):
    """IoU of the contours of masks (N, H, W), summed over all frames."""

    full_state_update = False
    higher_is_better = True

    def __init__(self):
        super().__init__()
        self.add_state("intersection", torch.tensor(0), "sum")
        self.add_state("union", torch.tensor(0), "sum")

    @staticmethod
    def contour(mask):
        mask = mask.bool()
        eroded = max_pool2d((~mask).float()[:, None], kernel_size=3, stride=1, padding=1)[:, 0] < 0.5
        return mask & ~eroded

    def update(self, preds, target):
        pred, label = self.contour(preds), self.contour(target)
        self.intersection += (pred & label).sum()
        self.union += (pred | label).sum()

    def compute(self):
        return self.intersection / self.union


class FoundObjects(Metric):
    """The share of labelled boxes that are predicted exactly: lists of {"boxes": (n, 4)}, one for each image."""

    full_state_update = False

    def __init__(self):
        super().__init__()
        self.add_state("found", torch.tensor(0), "sum")
        self.add_state("labelled", torch.tensor(0), "sum")

    def update(self, preds, target):
        for pred, label in zip(preds, target, strict=True):
            same = (pred["boxes"][:, None] == label["boxes"][None]).all(-1)
            self.found += same.any(0).sum()
            self.labelled += len(label["boxes"])

    def compute(self):
        return self.found / self.labelled


class WeightedError(Metric):
    """A mean absolute error with a weight for each image, and the sequences that it was told of."""

    full_state_update = False

    def __init__(self):
        super().__init__()
        self.add_state("error", torch.tensor(0.0), "sum")
        self.add_state("weight", torch.tensor(0.0), "sum")
        self.sequences = []

    def update(self, preds, target, weight, scale=1.0, sequence=None):
        self.error += ((preds - target).abs() * weight * scale).sum()
        self.weight += weight.sum()
        self.sequences.append(sequence)

    def compute(self):
        return self.error / self.weight
