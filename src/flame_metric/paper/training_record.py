"""What a training was and how it went: a record at its end, and a log of lines of JSON on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flame_metric.core.files import write_whole
from flame_metric.paper.recipe import Recipe

__all__ = ["TrainingLog", "TrainingRecord", "mean_loss"]


@dataclass(frozen=True)
class TrainingRecord:
    """What a training was, and how it went.

    Attributes
    ----------
    recipe : Recipe
    seed : int
    steps, steps_per_epoch, items : int
        Steps in all and an epoch, and how many items the data has.
    losses : tuple of float or None
        Of each step; None where no pixel was labelled, so that the step changed nothing.
    learning_rates : (float, float)
        Of the pretrained part and of new layers in the last step.
    seconds : float
        With those before an interruption.
    images_per_second : float
        Over the steps of this call; NaN where it had none to do.
    resumed_at : int
        Step of the checkpoint from which this call went on; 0 where there was none.
    device : str
    ranks : int
    amp, compile : str or None
    channels_last : bool
    sync_batch_norm : bool
        Whether batch normalisation took its statistics over all ranks.
    checkpoint, log : Path or None
        Where the last state and the log are.
    """

    recipe: Recipe
    seed: int
    steps: int
    steps_per_epoch: int
    items: int
    losses: tuple[float | None, ...]
    learning_rates: tuple[float, float]
    seconds: float
    images_per_second: float
    resumed_at: int
    device: str
    ranks: int
    amp: str | None
    compile: str | None
    channels_last: bool
    sync_batch_norm: bool
    checkpoint: Path | None
    log: Path | None

    @property
    def epoch_losses(self) -> tuple[float | None, ...]:
        """Mean loss of each epoch, the last of which may have been short."""
        starts = range(0, self.steps, self.steps_per_epoch)
        return tuple(mean_loss(self.losses[start : start + self.steps_per_epoch]) for start in starts)

    def to_dict(self) -> dict[str, Any]:
        """Return the record in types that JSON knows."""
        speed = None if math.isnan(self.images_per_second) else self.images_per_second
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}
        files = {name: None if values[name] is None else str(values[name]) for name in ("checkpoint", "log")}
        return {**values, "recipe": self.recipe.to_dict(), "images_per_second": speed, **files}


def mean_loss(losses: Iterable[float | None]) -> float | None:
    """Return the mean of the losses that there are, None if there is none."""
    known = [loss for loss in losses if loss is not None]
    return math.fsum(known) / len(known) if known else None


class TrainingLog:
    """A file with a line of JSON for every few steps.

    Parameters
    ----------
    path : Path or None
        None: nothing is written.
    step : int
        After which step it begins. Lines of later ones, and half a line of a process that was killed, are removed:
        those steps are made again.
    clock : callable
        Seconds.
    """

    def __init__(self, path: Path | None, step: int, clock: Callable[[], float]) -> None:
        self._path, self._step, self._clock, self._time = path, step, clock, clock()
        if path is not None and path.exists():
            kept = [
                line
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
                if _step_of(line) <= step
            ]
            write_whole(path, "".join(f"{line}\n" for line in kept).encode())

    def write(self, step: int, *, batch_size: int, **values: float | None) -> None:
        """Add a line: the number of steps made, what is given, and images per second since the last line."""
        now = self._clock()
        images, seconds = (step - self._step) * batch_size, now - self._time
        self._step, self._time = step, now
        if self._path is None:
            return
        speed = images / seconds if seconds > 0 else None
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **values, "images_per_second": speed}) + "\n")


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return math.inf
