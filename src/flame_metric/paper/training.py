"""The training loop: a network, pairs of input and target, a recipe; the same result whether or not it was interrupted.

Nothing depends on what happened before except weights, optimiser and gradient scaler, and a checkpoint holds them: the
learning rate is a closed form of the step, the items and the dropout of a step are functions of (seed, step). On the
CPU a run that was killed and resumed ends with the weights of an undisturbed run, bit for bit; on CUDA devices up to
the order of sums. The loss of a step is the cross-entropy, averaged over all labelled pixels of its batch on all ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import nn

from flame_metric.core.checks import check_choice, check_integer, check_kind, check_path
from flame_metric.paper.interrupts import Interrupts
from flame_metric.paper.recipe import Recipe
from flame_metric.paper.training_record import TrainingRecord
from flame_metric.paper.training_run import Options, Pairs, TrainingRun
from flame_metric.torch.ranks import is_distributed
from flame_metric.torch.timer import as_device

__all__ = ["Pairs", "TrainingRecord", "train"]


def train(
    network: nn.Module,
    pairs: Pairs,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
    out: str | Path | None = None,
    resume: bool = True,
    checkpoint_every: int = 200,
    log_every: int = 20,
    workers: int = 0,
    amp: str | None = None,
    channels_last: bool = False,
    compile: str | None = None,
    progress: Callable[[int, int, str], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> TrainingRecord:
    """Train a network in place.

    It is left in evaluation mode. Under torch.distributed every rank calls this with the same arguments, each with its
    own device.

    Parameters
    ----------
    network : torch.nn.Module
        From images (N, 3 * frames, H, W) to logits (N, C, H, W); ``parameter_groups()`` returns its parameters as two
        lists: those of the pretrained part, and new ones.
    pairs : FramePairs
        Items, by (epoch, index): image float32 (3 * frames, H, W), target int64 (H, W), -100 where void. Their
        augmentation is to be that of the recipe: ``Augmentation(**asdict(recipe.augmentation))``.
    recipe : Recipe
    seed : int
        Of the order of items and of dropout.
    device : torch.device or str, optional
        Default: where the network's parameters are.
    out : str or Path, optional
        Folder for ``checkpoint.pt`` and ``training.jsonl``, a line of JSON every ``log_every`` steps. Under
        torch.distributed only rank 0 reads and writes there.
    resume : bool
        Go on from the folder's checkpoint if there is one; a training that was done returns its record at once.
        False: start over; the checkpoint and the log that are there are removed.
    checkpoint_every, log_every : int
        Steps.
    workers : int
        Processes that prepare items; 0: this one.
    amp : {"float16", "bfloat16"}, optional
        Precision of autocast, with scaled gradients for float16. Default: all in float32.
    channels_last : bool
        Memory format of network and images.
    compile : str, optional
        Mode of ``torch.compile``, such as ``"default"``. Default: not compiled.
    progress : callable, optional
        Called after each step with (done, all, text with the last known loss), on rank 0.
    clock : callable
        Seconds.

    Returns
    -------
    TrainingRecord

    Raises
    ------
    ConfigError
        If an option is out of range, or recipe, data and ranks do not fit together.
    ShapeError
        If logits and targets do not belong together.
    StateError
        If the checkpoint is damaged or of another training, or the loss is no longer finite.
    KeyboardInterrupt
        After Ctrl-C, at the end of a step. The folder's checkpoint is then of that step (with several ranks: the last
        one that was due).

    Examples
    --------
    >>> from flame_metric.paper.recipes import paper_recipe
    >>> from dataclasses import replace
    >>> class Network(nn.Conv2d):
    ...     def parameter_groups(self):
    ...         return [], list(self.parameters())
    >>> class Brightness:  # one pixel shows it
    ...     def __len__(self):
    ...         return 6
    ...     def __getitem__(self, place):
    ...         target = torch.arange(16).reshape(4, 4) % 2
    ...         return 2.0 * target.expand(3, 4, 4) - 1, target
    >>> recipe = replace(paper_recipe("swiftnet-r18"), batch_size=3, epochs=15, learning_rate=0.5)
    >>> record = train(Network(3, 2, 1), Brightness(), recipe)
    >>> record.steps, record.epoch_losses[-1] < 0.1
    (30, True)
    """
    check_kind("network", network, nn.Module, "a torch.nn.Module")
    check_kind("recipe", recipe, Recipe, "a Recipe, such as paper_recipe('swiftnet-r18')")
    if amp is not None:
        check_choice("amp", amp, ("float16", "bfloat16"))
    options = Options(
        seed=check_integer("seed", seed, 0),
        device=as_device(device if device is not None else next((p.device for p in network.parameters()), "cpu")),
        folder=None if out is None else check_path(out),
        checkpoint_every=check_integer("checkpoint_every", checkpoint_every, 1, unit="steps"),
        log_every=check_integer("log_every", log_every, 1, unit="steps"),
        workers=check_integer("workers", workers, 0, unit="processes"),
        amp=amp,
        channels_last=channels_last,
        compile=compile,
    )
    with ExitStack() as settings:
        cuda = options.device.type == "cuda"
        if cuda:
            settings.enter_context(torch.cuda.device(options.device))
        settings.enter_context(torch.random.fork_rng([torch.cuda.current_device()] if cuda else []))
        interrupts = settings.enter_context(Interrupts())
        run = TrainingRun(network, pairs, recipe, options, clock)
        run.begin(resume)
        try:
            run.go(interrupts, progress)
        except KeyboardInterrupt:
            if not (interrupts.torn or is_distributed()):  # ranks may stand at different steps
                run.save()
            raise
        return run.end()
