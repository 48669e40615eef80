"""One training on its way: where it begins, its steps, its losses and its checkpoints; :func:`train` drives it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from flame_metric.core.temporary import remove_left_files
from flame_metric.errors import ConfigError, ShapeError, StateError
from flame_metric.paper.augmentation import IGNORED
from flame_metric.paper.checkpoint import (
    Checkpoint,
    check_same_training,
    describe_training,
    read_checkpoint,
    write_checkpoint,
)
from flame_metric.paper.interrupts import Interrupts
from flame_metric.paper.order import Batches, step_seed
from flame_metric.paper.parallel import add_up, parallel, share_buffers
from flame_metric.paper.recipe import Recipe
from flame_metric.paper.training_record import TrainingLog, TrainingRecord, mean_loss
from flame_metric.torch.ranks import is_distributed, this_rank
from flame_metric.torch.runner import compile_module

__all__ = ["Options", "Pairs", "TrainingRun"]

CHECKPOINT, LOG = "checkpoint.pt", "training.jsonl"  # files in the folder of a training


class Pairs(Protocol):
    """Data of a training, such as FramePairs: items are pure functions of (epoch, index).

    A mapping ``about``, where there is one, says what the targets do not tell, such as the frame offset: a checkpoint
    belongs to data of the same.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: tuple[int, int]) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Options:
    """Options of ``train`` once they are checked."""

    seed: int
    device: torch.device
    folder: Path | None
    checkpoint_every: int
    log_every: int
    workers: int
    amp: str | None
    channels_last: bool
    compile: str | None


class TrainingRun:
    """One training and its state."""

    def __init__(
        self, network: nn.Module, pairs: Pairs, recipe: Recipe, options: Options, clock: Callable[[], float]
    ) -> None:
        self._network, self._pairs, self._recipe, self._options, self._clock = network, pairs, recipe, options, clock
        self._here = this_rank()
        self._rank, self._ranks = self._here.rank, self._here.number
        self._steps_per_epoch = self._batches(0, 0).steps_per_epoch
        self._steps = recipe.steps(self._steps_per_epoch)
        network.to(options.device)
        if options.channels_last:
            anything: Any = network  # an argument that PyTorch's type hints leave out
            anything.to(memory_format=torch.channels_last)
        self._optimiser = _optimiser(network, recipe)
        self._scaler = torch.amp.GradScaler(options.device.type, enabled=options.amp == "float16")
        self._losses: list[float | None] = []
        self._waiting: list[Tensor | None] = []  # losses of the latest steps, still on the device
        self._step = self._resumed_at = 0
        self._saved_at = -1
        self._seconds = 0.0
        self._identity: dict[str, Any] = {}

    def _batches(self, first: int, last: int) -> Batches:
        where = {"rank": self._rank, "ranks": self._ranks}
        size, seed = self._recipe.batch_size, self._options.seed
        return Batches(len(self._pairs), size, seed=seed, first=first, last=last, **where)

    # ── before and after ──

    def begin(self, resume: bool) -> None:
        """Read the checkpoint, if there is one, and make ready to run on all ranks."""
        found = self._here.from_first(lambda: self._found(resume))
        if found is not None:
            self._network.load_state_dict(found.network)
            self._optimiser.load_state_dict(found.optimiser)
            self._scaler.load_state_dict(found.scaler)
            self._identity = dict(found.identity)
            self._losses, self._seconds = found.losses, found.seconds
            self._step = self._resumed_at = self._saved_at = found.step
        self._model, self._spans = parallel(self._network, self._options.device)
        self._forward = compile_module(self._model, self._options.compile)
        self._begun = self._clock()
        folder = None if self._rank else self._options.folder
        self._log = TrainingLog(None if folder is None else folder / LOG, self._step, self._clock)

    def _found(self, resume: bool) -> Checkpoint | None:
        folder = self._options.folder
        if folder is None:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / CHECKPOINT
        remove_left_files(folder)
        self._identity = describe_training(
            self._network, self._pairs, self._recipe, seed=self._options.seed, amp=self._options.amp
        )
        if not resume:  # else a run that is killed before its first checkpoint would resume from a foreign one
            path.unlink(missing_ok=True)
        found = None
        if path.exists():
            found = read_checkpoint(path)
            check_same_training(found, self._identity, path)
        return found

    def end(self) -> TrainingRecord:
        """Leave the network ready to be used."""
        share_buffers(self._network)
        self._network.eval()
        options, step = self._options, self._step
        done = (step - self._resumed_at) * self._recipe.batch_size
        seconds = self._clock() - self._begun
        return TrainingRecord(
            recipe=self._recipe,
            seed=options.seed,
            steps=step,
            steps_per_epoch=self._steps_per_epoch,
            items=len(self._pairs),
            losses=tuple(self._losses),
            learning_rates=self._rates(step - 1),
            seconds=self._seconds + seconds,
            images_per_second=done / seconds if done and seconds > 0 else math.nan,
            resumed_at=self._resumed_at,
            device=str(options.device),
            ranks=self._ranks,
            amp=options.amp,
            compile=options.compile,
            channels_last=options.channels_last,
            sync_batch_norm=self._spans,
            checkpoint=None if options.folder is None else options.folder / CHECKPOINT,
            log=None if options.folder is None else options.folder / LOG,
        )

    # ── steps ──

    def go(self, interrupts: Interrupts, progress: Callable[[int, int, str], object] | None) -> None:
        """Make all steps that are left."""
        options, cuda = self._options, self._options.device.type == "cuda"
        self._model.train()
        loader: DataLoader[Any] = DataLoader(
            self._pairs,  # type: ignore[arg-type]  # an item is asked for by (epoch, index)
            batch_sampler=self._batches(self._step, self._steps),
            num_workers=options.workers,
            pin_memory=cuda,
            generator=torch.Generator(),  # else the loader draws a number from the global one
        )
        for images, targets in loader:
            with interrupts.step():
                self._waiting.append(self._update(images, targets))
                self._step += 1
                last = self._step == self._steps
                log, save = (last or self._step % every == 0 for every in (options.log_every, options.checkpoint_every))
                if log or save or not cuda:  # to ask for a loss is to wait for the device
                    self._take_losses()
                if log:
                    self._write_log()
                if save:
                    self.save()
                if progress is not None and self._rank == 0:
                    progress(self._step, self._steps, self._shown())

    def _update(self, images: Tensor, targets: Tensor) -> Tensor | None:
        """Make one step, and return its loss on this rank as a part of the whole; None where no pixel is labelled."""
        options, device = self._options, self._options.device
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        labelled = int(add_up(torch.count_nonzero(targets != IGNORED).to(device if is_distributed() else "cpu")))
        if not labelled:
            return None
        for group, rate in zip(self._optimiser.param_groups, self._rates(self._step), strict=True):
            group["lr"] = rate
        seed = step_seed(options.seed, self._step, self._rank)
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        images = images.to(device, non_blocking=True).contiguous(memory_format=layout)
        targets = targets.to(device, non_blocking=True)
        lower = None if options.amp is None else getattr(torch, options.amp)
        with torch.autocast(device.type, dtype=lower, enabled=lower is not None):
            logits = _checked(self._forward(images), targets)
            # The mean over the labelled pixels of all ranks, whose gradients are averaged: hence times their number.
            loss = functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum") / labelled
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss * self._ranks).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return loss.detach()

    def _rates(self, step: int) -> tuple[float, float]:
        return self._recipe.learning_rates(step, steps_per_epoch=self._steps_per_epoch)

    def _take_losses(self) -> None:
        """Bring the losses of the latest steps to the host, summed over the ranks."""
        there = [loss for loss in self._waiting if loss is not None]
        values = iter(add_up(torch.stack(there)).tolist() if there else [])
        first = self._step - len(self._waiting)
        taken = [None if loss is None else next(values) for loss in self._waiting]
        for step, loss in enumerate(taken, first):
            if loss is not None and not math.isfinite(loss):
                raise self._diverged(f"the loss is {loss}", step)
        self._losses += taken
        self._waiting.clear()

    def _diverged(self, found: str, step: int) -> StateError:
        pretrained, new = self._rates(step)
        kept = f"; the checkpoint of step {self._saved_at} is kept" if self._saved_at >= 0 else ""
        return StateError(
            f"{found} at step {step} (learning rates {pretrained:.3g} pretrained, {new:.3g} new), "
            f"expected finite numbers: the training diverged, or an image holds what is not a number{kept}. Train with "
            "a smaller learning rate, or without amp"
        )

    def _write_log(self) -> None:
        pretrained, new = self._rates(self._step - 1)
        every = self._options.log_every
        self._log.write(
            self._step,
            batch_size=self._recipe.batch_size,
            epoch=(self._step - 1) // self._steps_per_epoch,
            learning_rate=new,
            pretrained_learning_rate=pretrained,
            loss=mean_loss(self._losses[(self._step - 1) // every * every :]),
        )

    def _shown(self) -> str:
        latest = mean_loss(self._losses[-self._options.log_every :])
        return "" if latest is None else f"loss {latest:.4f}"

    def save(self) -> None:
        """Write the checkpoint of this step; ranks agree on whether it is worth it, and the first one writes."""
        if self._options.folder is None or self._saved_at == self._step:
            return
        self._take_losses()
        for name, parameter in self._network.named_parameters():
            if not torch.isfinite(parameter).all():
                raise self._diverged(f"the parameter {name!r} holds values that are not finite", self._step - 1)
        if self._rank == 0:
            checkpoint = Checkpoint(
                identity=self._identity,
                step=self._step,
                network=_on_host(self._network.state_dict()),
                optimiser=_on_host(self._optimiser.state_dict()),
                scaler=self._scaler.state_dict(),
                losses=self._losses,
                seconds=self._seconds + self._clock() - self._begun,
            )
            write_checkpoint(self._options.folder / CHECKPOINT, checkpoint)
        self._saved_at = self._step


def _optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    groups = getattr(network, "parameter_groups", None)
    if groups is None:
        raise ConfigError(
            f"`network` is a {type(network).__name__} without parameter_groups(), expected that to return its "
            "parameters as two lists: the pretrained part, and new ones"
        )
    pretrained, new = groups()
    numbers = [id(parameter) for parameter in (*pretrained, *new)]
    if sorted(numbers) != sorted(id(parameter) for parameter in network.parameters()):
        raise ConfigError(
            f"`network.parameter_groups()` returns {len(numbers)} parameters, expected each of the network's "
            f"{len(list(network.parameters()))} once"
        )
    rates = (recipe.pretrained_learning_rate, recipe.learning_rate)
    parts: list[dict[str, Any]] = [
        {"params": part, "lr": rate} for part, rate in zip((pretrained, new), rates, strict=True)
    ]
    if recipe.betas is not None:
        return torch.optim.Adam(parts, betas=recipe.betas, weight_decay=recipe.weight_decay)
    assert recipe.momentum is not None  # it belongs to the one other optimiser
    return torch.optim.SGD(parts, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def _checked(logits: Any, targets: Tensor) -> Tensor:
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not (isinstance(logits, Tensor) and logits.ndim == 4 and (len(logits), *logits.shape[2:]) == targets.shape):
        raise ShapeError(
            f"the network returns {found} for targets {tuple(targets.shape)}, expected logits (N, C, H, W) of the same "
            "N, H and W"
        )
    return logits


def _on_host(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.detach().cpu()
    if isinstance(state, dict):
        return {name: _on_host(value) for name, value in state.items()}
    return [_on_host(value) for value in state] if isinstance(state, list) else state
