"""An ONNX model and how it is run: from frames to its input, from its output to labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.labels import labels_of_scores
from flame_metric.errors import ConfigError, MissingExtraError

__all__ = ["Job", "Source", "enlarger", "first_line"]


@dataclass(frozen=True)
class Source:
    """The input of a model: None where an axis may have any size."""

    name: str
    dtype: Any
    raw: bool
    channels_last: bool
    frames: int
    size: tuple[int | None, int | None]


@dataclass(frozen=True)
class Job:
    """A session and what lies around it."""

    session: Any
    path: Path
    source: Source
    output: str
    num_classes: int
    enlarged: Callable[[npt.NDArray[Any], tuple[int, int]], npt.NDArray[Any]] | None
    centre: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    def prepare(self, item: Any) -> npt.NDArray[np.uint8]:
        """Check a raw frame (H, W, 3 * frames)."""
        frame = np.asarray(item)
        channels = 3 * self.source.frames
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != channels:
            raise ConfigError(f"the input is {frame.dtype} {frame.shape}, expected a frame uint8 (H, W, {channels})")
        if any(fixed not in (None, length) for fixed, length in zip(self.source.size, frame.shape[:2], strict=True)):
            height, width = ("any" if length is None else length for length in self.source.size)
            raise ConfigError(
                f"{self.path} takes frames of {height}x{width}, and this one has {frame.shape[0]}x{frame.shape[1]}; "
                "export it for that size, or with dynamic axes"
            )
        return np.ascontiguousarray(frame)

    def run(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """From a raw frame to its labels (H, W)."""
        found = self._scores(frame)
        return np.asarray((labels_of_scores(found) if found.ndim == 4 else found)[0])

    def _scores(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return scores (1, C, H, W) or labels (1, H, W) of a frame."""
        batch = self._input(frame)[None]
        try:
            (found,) = self.session.run([self.output], {self.source.name: batch})
        except Exception as error:  # ONNX Runtime's errors have no class of their own in common
            raise ConfigError(
                f"{self.path} fails on {batch.dtype} {batch.shape}: {first_line(error)}; export it for that shape"
            ) from error
        return self._checked(found, frame.shape[:2])

    def _input(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        if self.source.channels_last:
            return frame
        planes = frame.transpose(2, 0, 1)
        if self.source.raw:
            return np.ascontiguousarray(planes)
        values = planes.astype(np.float32, order="C")  # in the steps that torch_runner makes
        values -= self.centre
        values *= self.scale
        return values.astype(self.source.dtype, copy=False)

    def _checked(self, found: Any, size: tuple[int, ...]) -> npt.NDArray[Any]:
        kind = found.dtype.kind if isinstance(found, np.ndarray) else ""
        scores = kind == "f" and found.ndim == 4 and found.shape[1] > 1
        if kind in "iu" and found.ndim == 4 and found.shape[1] == 1:
            found = found[:, 0]
        labels = kind in "iu" and found.ndim == 3
        if scores and found.shape[1] != self.num_classes:
            raise ConfigError(
                f"{self.path} returns scores of {found.shape[1]} classes, expected {self.num_classes}, the data's "
                "(`num_classes`): it was made for other data"
            )
        if scores and self.enlarged is not None and found.shape[2:] != size:
            found = self.enlarged(found, (size[0], size[1]))
        if not (scores or labels) or len(found) != 1 or found.shape[-2:] != size:
            what = f"{found.dtype} {found.shape}" if kind else type(found).__name__
            raise ConfigError(
                f"{self.path} returns {what} for a frame of {tuple(size)}, expected scores (1, C, H, W) or labels "
                "(1, H, W) or (1, 1, H, W) of that size: to enlarge scores is part of the latency, and "
                "upsample='bilinear' does it"
            )
        checked: npt.NDArray[Any] = found
        return checked


def enlarger(path: Path) -> Callable[[npt.NDArray[Any], tuple[int, int]], npt.NDArray[Any]]:
    """Return what resizes scores (N, C, h, w) to a size, as PyTorch does."""
    try:
        import torch  # noqa: PLC0415  needed here alone
        from torch.nn import functional  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"`upsample` for {path} needs torch: pip install 'flame-metric[torch]'") from error

    def enlarged(scores: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
        given = torch.from_numpy(scores.astype(np.float32, copy=False))
        resized = functional.interpolate(given, size=size, mode="bilinear", align_corners=False)
        return resized.numpy()

    return enlarged


def first_line(error: Exception) -> str:
    """Return what an error says first."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
