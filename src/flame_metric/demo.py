"""A demonstration on built-in data: a real segmenter, its real latency here, and its score at other latencies.

The segmenter is run once on each frame; an offset bank answers for all latencies and streams.

The segmenter models the colours of each class, at each height of the image, as a Gaussian, and takes the likeliest
class of each pixel (quadratic discriminant analysis). It needs only NumPy and is fitted in a second.
"""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.clock import frame_offset
from flame_metric.core.tables import Cell, Table
from flame_metric.data.synthetic import CLASS_NAMES, VOID, synthetic_video
from flame_metric.data.videos import VideoSequence
from flame_metric.latency.simulate import simulate_stream
from flame_metric.paper.published import paper_table
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.curve import Losses
from flame_metric.scores.result import FlameResult

__all__ = ["ColourClassifier", "Demo", "run_demo", "segmenter"]

_FPS = paper_table().fps  # one frame in 60 ms, as the paper counts Cityscapes
_HEIGHT, _WIDTH = 128, 256
_TRAINING_VIDEOS, _TEST_VIDEOS, _FRAMES = 4, 6, 36
_TRAINING_SEED = 1_000  # test videos count from 0
_TIMED_CALLS = 30
_BLUR = 2  # pixels to each side over which colours are averaged: textures and noise mislead single pixels
_VARIANCE_FLOOR = 4.0  # grey levels squared


class ColourClassifier:
    """Segments an image by the colours of its pixels, their neighbourhood, and their height in the image.

    Parameters
    ----------
    num_classes : int
        C.

    Examples
    --------
    >>> video = synthetic_video(num_frames=2, height=48, width=96, seed=3)
    >>> classifier = ColourClassifier(8).fit([video])
    >>> classifier(video.frames[0]).shape
    (48, 96)
    """

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes

    def fit(self, videos: Sequence[VideoSequence]) -> ColourClassifier:
        """Estimate mean, covariance and frequency of each class from labelled frames; labels >= C are void."""
        size = len(_features(videos[0].frames[0]))
        counts = np.zeros(self._num_classes)
        sums = np.zeros((self._num_classes, size))
        squares = np.zeros((self._num_classes, size, size))
        for video in videos:
            for frame, target in zip(video.frames, video.targets, strict=True):
                features = _features(frame)
                for label in range(self._num_classes):
                    of_class = features[:, target.ravel() == label] if target is not None else features[:, :0]
                    counts[label] += of_class.shape[1]
                    sums[label] += of_class.sum(axis=1)
                    squares[label] += of_class @ of_class.T
        weights = np.maximum(counts, 1)[:, None]
        means = sums / weights
        covariances = squares / weights[:, :, None] - means[:, :, None] * means[:, None, :]
        covariances += _VARIANCE_FLOOR * np.eye(size)
        inverse_roots = np.linalg.inv(np.linalg.cholesky(covariances))
        self._means = means.astype(np.float32)
        self._inverse_roots = inverse_roots.astype(np.float32)
        log_priors = np.log(np.maximum(counts, 0.5) / counts.sum())
        self._offsets = log_priors + np.log(np.abs(np.linalg.det(inverse_roots)))
        return self

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return the label map, uint8 (H, W), of an RGB image, uint8 (H, W, 3)."""
        features = _features(image)
        scores = np.empty((self._num_classes, features.shape[1]), np.float32)
        for label in range(self._num_classes):
            whitened = self._inverse_roots[label] @ (features - self._means[label][:, None])
            scores[label] = self._offsets[label] - 0.5 * np.einsum("fp,fp->p", whitened, whitened)
        labels: npt.NDArray[np.uint8] = scores.argmax(axis=0).astype(np.uint8)
        return labels.reshape(image.shape[:2])


def _features(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Features float32 (F, H * W): blurred colours, local contrast, height in the image and its square."""
    height, width, _ = image.shape
    colours = image.astype(np.float32)
    blurred = _box_blur(colours)
    contrast = _box_blur(np.abs(colours - blurred).mean(axis=2, keepdims=True))
    row = np.broadcast_to(np.linspace(0, 255, height, dtype=np.float32)[:, None, None], (height, width, 1))
    side = np.broadcast_to(np.abs(np.linspace(-255, 255, width, dtype=np.float32))[None, :, None], (height, width, 1))
    stacked = np.concatenate([blurred, contrast, row, side], axis=2)
    return np.ascontiguousarray(stacked.reshape(height * width, -1).T)


def _box_blur(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    for axis in (0, 1):
        padding = [(0, 0)] * image.ndim
        padding[axis] = (_BLUR, _BLUR)
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(image, padding, mode="edge"), 2 * _BLUR + 1, axis=axis
        )
        image = windows.mean(axis=-1)
    return image


@dataclass(frozen=True)
class Demo:
    """What :func:`run_demo` found.

    Attributes
    ----------
    latency_ms : float
        Latency of the segmenter here: the median of 30 timed calls.
    scores : dict of str to Losses
        By origin of the latency: the segmenter without delay, at that latency and on a stream, with the persistence
        baseline.
    """

    latency_ms: float
    scores: dict[str, Losses]

    @property
    def static(self) -> FlameResult:
        """The segmenter without any delay."""
        return next(iter(self.scores.values())).static

    def table(self) -> str:
        """Return the scores as text, with a few sentences on what they mean."""
        static = self.static.miou
        rows: list[tuple[Cell, ...]] = [("none", "0.0", 0, static, static, 1.0)]
        for name, losses in self.scores.items():
            late, flame = losses.persistence, losses.flame
            perfect = None if late is None else late.flame.miou
            delay = f"{flame.config.latency_ms:.1f}"
            rows.append((name, delay, flame.frame_offset, flame.miou, losses.streaming.miou, perfect))
        columns = ("latency of", "ms", "k", "FLAME", "streaming", "persistence")
        here = next(iter(self.scores.values()))
        notes = [line for sentence in self._meaning() for line in textwrap.wrap(sentence, 98)]
        signatures = (here.flame.signature, here.streaming.signature)
        return Table(columns, tuple(rows), notes=(*notes, "", *signatures)).render()

    def to_json(self) -> str:
        """Return latency and results as JSON text, the results as :meth:`FlameResult.to_dict` writes them."""
        scores = {name: _to_dict(losses) for name, losses in self.scores.items()}
        return json.dumps({"latency_ms": self.latency_ms, "static": self.static.to_dict(), "scores": scores}, indent=1)

    def _meaning(self) -> tuple[str, str, str]:
        here = next(iter(self.scores.values()))
        name, worst = min(self.scores.items(), key=lambda item: item[1].flame.miou)
        perfect = float("nan") if worst.persistence is None else worst.persistence.flame.miou
        return (
            f"The same label maps are worth {self.static.miou:.3f} on the frames they were made from, "
            f"{here.flame.miou:.3f} on the frames that are current when this machine has made them, and "
            f"{worst.flame.miou:.3f} with the latency of {name}.",
            f"FLAME assumes that an inference can start on every frame. One worker that drops the frames it cannot "
            f"take (streaming) shows older label maps in between: {worst.streaming.miou:.3f}.",
            f"Even perfect label maps would be worth only {perfect:.3f} if they came that late (persistence): a "
            "network that is to be used on live video has to be fast, or to predict what comes next.",
        )


def _to_dict(losses: Losses) -> dict[str, Any]:
    late = losses.persistence
    return {
        "flame": losses.flame.to_dict(),
        "streaming": losses.streaming.to_dict(),
        "persistence": None if late is None else late.flame.to_dict(),
        "persistence_streaming": None if late is None else late.streaming.to_dict(),
    }


def segmenter() -> ColourClassifier:
    """Return the segmenter of the demonstration: ``flame-metric run flame_metric.demo:segmenter synthetic``.

    Examples
    --------
    >>> from flame_metric.data.registry import open_dataset
    >>> (video,) = open_dataset("synthetic:videos=1,num_frames=1,height=64,width=128").sequences
    >>> segmenter()(video.frames[0]).shape
    (64, 128)
    """
    return ColourClassifier(len(CLASS_NAMES)).fit([_video(_TRAINING_SEED + seed) for seed in range(_TRAINING_VIDEOS)])


def run_demo(
    *,
    out: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int, int], None] | None = None,
) -> Demo:
    """Make videos, fit a segmenter on some, time it, and score it on the others at several latencies.

    Parameters
    ----------
    out : Path, optional
        Folder for predictions and labels as .npy label maps, ``predictions/<sequence>/<frame>.npy`` and ``labels/...``.
    clock : callable
        Seconds; times the segmenter.
    progress : callable, optional
        Called with (videos done, all videos).

    Returns
    -------
    Demo

    Raises
    ------
    OSError
        If ``out`` cannot be written.
    """
    segment = segmenter()
    latency_ms = _median_ms(segment, _video(_TRAINING_SEED).frames, clock)
    latencies = {"this machine": latency_ms}
    latencies |= {network.name: network.latency_ms for network in paper_table().networks.values()}
    bank = OffsetBank(
        len(CLASS_NAMES),
        max_offset=max(_oldest(latency) for latency in latencies.values()),
        fps=_FPS,
        ignore_index=VOID,
        class_names=CLASS_NAMES,
        persistence=True,
    )
    for seed in range(_TEST_VIDEOS):
        video = _video(seed)
        predictions = [segment(frame) for frame in video.frames]
        targets = list(video.targets)
        bank.update_sequence(predictions, targets, sequence=video.name)
        if out is not None:
            _save(out / "predictions" / video.name, predictions)
            _save(out / "labels" / video.name, targets)
        if progress is not None:
            progress(seed + 1, _TEST_VIDEOS)
    return Demo(latency_ms, {name: bank.losses(latency) for name, latency in latencies.items()})


def _oldest(latency_ms: float) -> int:
    """Return the greatest offset that a score with this latency needs, in frames."""
    shown = simulate_stream(latency_ms, num_frames=_FRAMES, fps=_FPS).staleness
    return max(frame_offset(latency_ms, _FPS), int(shown.max()))


def _video(seed: int) -> VideoSequence:
    return synthetic_video(num_frames=_FRAMES, height=_HEIGHT, width=_WIDTH, fps=_FPS, seed=seed)


def _median_ms(segment: ColourClassifier, frames: Sequence[Any], clock: Callable[[], float]) -> float:
    images = [frames[index % len(frames)] for index in range(_TIMED_CALLS)]
    segment(images[0])
    samples = []
    for image in images:
        start = clock()
        segment(image)
        samples.append(clock() - start)
    return float(np.median(samples)) * 1000


def _save(folder: Path, maps: Sequence[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, label_map in enumerate(maps):
        np.save(folder / f"{index:06}.npy", label_map)
