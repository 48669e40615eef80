"""Small networks for reports: labels that move, predictions that are wrong here and there, banks and evaluations."""

from dataclasses import dataclass

import numpy as np

from flame_metric import OffsetBank, StreamConfig
from flame_metric.jobs.evaluate import evaluate_bank

FPS = "50/3"
NAMES = ("road", "sky", "car", "pole")
CLIPS, FRAMES, SHAPE, VOID = 3, 14, (12, 30), 255


def labels_of(clip, frame):
    """A scene that moves to the right by a pixel a frame, with a void corner."""
    rows, columns = np.indices(SHAPE)
    labels = np.where(rows < 5, 1, 0)
    labels[(columns - frame) % 15 < 4 + clip] = 2
    labels[(columns - 2 * frame) % 29 == 0] = 3
    labels[:2, :2] = VOID
    return labels.astype(np.uint8)


def predictions_of(clip, frame, wrong):
    """The labels, with a share of the pixels at random."""
    generator = np.random.default_rng((clip, frame))
    labels = np.where(labels_of(clip, frame) == VOID, 0, labels_of(clip, frame))
    noise = generator.integers(0, len(NAMES), SHAPE)
    return np.where(generator.random(SHAPE) < wrong, noise, labels).astype(np.uint8)


@dataclass(frozen=True)
class Small:
    """A network that is wrong at a share of the pixels."""

    wrong: float = 0.2
    max_offset: int = 6
    names: tuple = NAMES
    clips: tuple = tuple(f"clip {number}" for number in range(CLIPS))
    persistence: bool = True

    def bank(self):
        bank = OffsetBank(
            len(self.names),
            max_offset=self.max_offset,
            fps=FPS,
            ignore_index=VOID,
            class_names=self.names,
            persistence=self.persistence,
        )
        for number, name in enumerate(self.clips):
            preds = [predictions_of(number, frame, self.wrong) for frame in range(FRAMES)]
            bank.update_sequence(preds, [labels_of(number, frame) for frame in range(FRAMES)], sequence=name)
        return bank

    def evaluation(self, latency_ms=130, **options):
        options = {"stream": StreamConfig(), "hardware": "a small device", **options}
        return evaluate_bank(self.bank(), latency_ms=latency_ms, **options)
