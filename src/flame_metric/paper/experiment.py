"""An experiment: networks trained on the same videos and scored on the same others, each as it would be used live.

A *variant* is a network, the frames that it sees and the time whose labels it learns. Each variant of one network
starts from the same weights: ImageNet's, or those of one first training on (I_t, S_t), after which all variants make
equally many steps. One pass over the test videos scores it without delay, with FLAME, and on a stream of one worker.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from flame_metric.core.checks import check_kind
from flame_metric.core.clock import frame_offset
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError, quoted
from flame_metric.latency.simulate import simulate_stream
from flame_metric.networks.architectures import build
from flame_metric.networks.segmentation_network import SegmentationNetwork
from flame_metric.networks.transferring import transfer
from flame_metric.paper.augmentation import Augmentation
from flame_metric.paper.checkpoint import digest_state
from flame_metric.paper.frame_pairs import FramePairs
from flame_metric.paper.order import Batches
from flame_metric.paper.recipe import Recipe
from flame_metric.paper.scoring import count_videos
from flame_metric.paper.training import TrainingRecord, train
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.curve import Losses
from flame_metric.torch.runner import torch_runner
from flame_metric.torch.timer import as_device

__all__ = ["Experiment", "Progress", "Run", "Variant", "silent"]

Step = Callable[..., object]
Progress = Callable[[str], AbstractContextManager[Step]]
"""From what is counted, such as "steps", to a context manager that yields what is called with (done, all) or
(done, all, note)."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A network and what it is trained for.

    Attributes
    ----------
    name : str
        What tells it from other variants of the network, also as the name of a folder.
    network : str
        As :func:`flame_metric.networks.build` knows it.
    frames : int
        Input frames.
    frame_offset : int
        How many frames later than the last input frame the labels are that it learns.
    translations : int or tuple of (int, int), optional
        The translation stem of SwiftNet-R18.
    """

    name: str
    network: str
    frames: int = 1
    frame_offset: int = 0
    translations: int | tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant, trained and scored.

    Attributes
    ----------
    variant : Variant
    parameters : int
        Of the network.
    losses : Losses
        Its scores: without delay, with FLAME, on a stream; and those of the labels as predictions where videos are
        labelled throughout.
    training : TrainingRecord
    first_training : TrainingRecord or None
        That on (I_t, S_t) from which it went on, in place of ImageNet.
    """

    variant: Variant
    parameters: int
    losses: Losses
    training: TrainingRecord
    first_training: TrainingRecord | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        late = self.losses.persistence
        return {
            "variant": asdict(self.variant),
            "parameters": self.parameters,
            "static": self.losses.static.to_dict(),
            "flame": self.losses.flame.to_dict(),
            "streaming": self.losses.streaming.to_dict(),
            "persistence": None if late is None else late.flame.to_dict(),
            "training": self.training.to_dict(),
            "first_training": None if self.first_training is None else self.first_training.to_dict(),
        }


def silent(task: str) -> AbstractContextManager[Step]:
    """Show nothing."""
    return nullcontext(lambda done, total, note="": None)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What is the same for all variants.

    Attributes
    ----------
    training, test : VideoDataset
        With the same classes; all test videos have one frame rate.
    recipe : callable
        From the name of a network to the recipe of each of its variants.
    start : callable, optional
        The same for the first training on (I_t, S_t), in place of ImageNet.
    seed : int
        Of weights, order and augmentation. Variants share it.
    device : torch.device or str
    out : Path, optional
        Folder for checkpoints, logs and counts of test videos, ``<network>/<variant>/``: a second run resumes where the
        first was stopped.
    weights : str, optional
        Of the backbone: ``"imagenet"``, or a file.
    amp, channels_last, workers, compile
        As :func:`~flame_metric.paper.training.train` takes them.
    progress : callable, optional
        Shows how far each training and each scoring is.
    """

    training: VideoDataset
    test: VideoDataset
    recipe: Callable[[str], Recipe]
    start: Callable[[str], Recipe] | None = None
    seed: int = 0
    device: torch.device | str = "cpu"
    out: Path | None = None
    weights: str | None = None
    amp: str | None = None
    channels_last: bool = False
    workers: int = 0
    compile: str | None = None
    progress: Progress = silent
    _starts: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict, init=False, repr=False)
    _firsts: dict[str, TrainingRecord] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("training", "test"):
            check_kind(name, getattr(self, name), VideoDataset, "a VideoDataset")
        one, other = self.training, self.test
        if (one.class_names, one.ignore_index) != (other.class_names, other.ignore_index):
            raise ConfigError(
                f"`training` has {one.num_classes} classes and void {one.ignore_index}, `test` {other.num_classes} and "
                f"{other.ignore_index}, or their names differ: expected the same classes"
            )
        both = sorted({video.name for video in one.sequences} & {video.name for video in other.sequences})
        if both:
            raise ConfigError(
                f"`training` and `test` share {len(both)} video(s), such as {quoted(both[0])}, expected none"
            )
        _ = other.fps  # refuses several rates

    def run(self, variant: Variant, latency_ms: float) -> Run:
        """Train a variant and score it with a latency.

        Raises
        ------
        ConfigError, DatasetError, StateError
            If network, recipe, data and checkpoint do not fit together.
        """
        network = self._network(variant)
        training = self._train(network, variant, self.recipe(variant.network))
        losses = self._score(network, variant, latency_ms)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        first = self._firsts.get(variant.network)
        return Run(variant=variant, parameters=parameters, losses=losses, training=training, first_training=first)

    def check(self, variant: Variant) -> None:
        """Refuse what a variant cannot be trained or scored with now, and not after hours of training others.

        Raises
        ------
        ConfigError, DatasetError
            If videos are too short or too few, or the weights of the backbone cannot be read or do not fit.
        """
        recipe = self.recipe(variant.network)
        Batches(len(self._pairs(self.training, variant, recipe)), recipe.batch_size, seed=self.seed, first=0, last=0)
        self._pairs(self.test, replace(variant, frames=1), recipe)  # before a video's first frame stands that frame
        if self.weights is not None:
            self._built(variant)

    # ── training ──

    def _network(self, variant: Variant) -> SegmentationNetwork:
        """Return the network of a variant before its training."""
        network = self._built(variant)
        if self.start is not None and variant.name != _START:
            transfer(self._started(variant.network), network, init=self.recipe(variant.network).frames_init)
        return network

    def _built(self, variant: Variant) -> SegmentationNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return build(
                variant.network,
                self.training.num_classes,
                frames=variant.frames,
                init=self.recipe(variant.network).frames_init if variant.translations is None else "he",
                translations=variant.translations,
                weights=self.weights,
            )

    def _started(self, name: str) -> dict[str, torch.Tensor]:
        """Return the weights of a network after its first training, which is made once."""
        if name not in self._starts:
            assert self.start is not None
            first = Variant(name=_START, network=name)
            network = self._network(first)
            self._firsts[name] = self._train(network, first, self.start(name))
            self._starts[name] = {key: value.cpu() for key, value in network.state_dict().items()}
        return self._starts[name]

    def _train(self, network: SegmentationNetwork, variant: Variant, recipe: Recipe) -> TrainingRecord:
        pairs = self._pairs(self.training, variant, recipe)
        with self.progress(f"{variant.network}, {variant.name}: steps") as step:
            return train(
                network,
                pairs,
                recipe,
                seed=self.seed,
                device=self.device,
                out=self._folder(variant),
                workers=self.workers,
                amp=self.amp,
                channels_last=self.channels_last,
                compile=self.compile,
                progress=step,
            )

    def _folder(self, variant: Variant) -> Path | None:
        return None if self.out is None else self.out / variant.network / variant.name

    def _pairs(self, videos: VideoDataset, variant: Variant, recipe: Recipe) -> FramePairs:
        return FramePairs(
            videos.sequences,
            frame_offset=variant.frame_offset,
            num_classes=videos.num_classes,
            ignore_index=videos.ignore_index,
            frames=variant.frames,
            augmentation=Augmentation(**asdict(recipe.augmentation)),
            seed=self.seed,
        )

    # ── scoring ──

    def _score(self, network: SegmentationNetwork, variant: Variant, latency_ms: float) -> Losses:
        one_label = max(len(video.labelled) for video in self.test.sequences) <= 1
        predict = torch_runner(
            network, boundary="end_to_end", device=self.device, autocast=self.amp, channels_last=self.channels_last
        )
        about = {
            "variant": asdict(variant),
            "weights": digest_state(network.state_dict()),
            "device": as_device(self.device).type,
            "amp": self.amp,
            "channels_last": self.channels_last,
            "torch": torch.__version__,
        }
        with self.progress(f"{variant.network}, {variant.name}: test videos") as step:
            bank = count_videos(
                self.test,
                predict,
                lambda: self._bank(latency_ms, persistence=not one_label),
                frames=variant.frames,
                about=about,
                folder=self._folder(variant),
                progress=step,
            )
        if not one_label:
            return bank.losses(latency_ms)
        # A stream that begins with each clip would show its one label whatever its first frame makes of it.
        return Losses(bank.score(frame_offset=0), bank.score(latency_ms=latency_ms), bank.phase_averaged(latency_ms))

    def _bank(self, latency_ms: float, *, persistence: bool) -> OffsetBank:
        """Return an empty bank that reaches as far as any of the scores needs."""
        rate = self.test.fps
        longest = max(len(video.frames) for video in self.test.sequences)
        stream = simulate_stream(latency_ms, num_frames=longest, fps=rate)
        averaged = math.ceil(2 * Fraction(latency_ms) * rate / 1000)
        return OffsetBank(
            self.test.num_classes,
            max_offset=max(frame_offset(latency_ms, rate), averaged, int(stream.staleness.max())),
            fps=rate,
            ignore_index=self.test.ignore_index,
            class_names=self.test.class_names,
            persistence=persistence,
        )


_START = "first training"
