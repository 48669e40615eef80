"""A module and how it is run: from an input to a batch, to scores or labels that belong to it, and back to the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from flame_metric.errors import ConfigError, LabelError
from flame_metric.torch.batching import Batches

__all__ = ["Job", "name_of"]


@dataclass(frozen=True)
class Job:
    """A module and how it is run; ``torch_runner`` says what its settings mean, and checks them."""

    module: Callable[[torch.Tensor], Any]
    device: torch.device
    dtype: torch.dtype
    autocast: torch.dtype | None
    channels_last: bool
    centre: torch.Tensor
    scale: torch.Tensor
    num_classes: int | None
    upsample: str | None
    preprocess: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]] | None

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def as_input(self, item: Any) -> torch.Tensor:
        """Return a normalised frame as a batch (1, C, H, W) on the device."""
        tensor = _tensor(item)
        batch = tensor[None] if tensor.ndim == 3 else tensor
        if batch.ndim != 4 or len(batch) != 1 or not batch.is_floating_point():
            raise ConfigError(
                f"`inputs` holds {name_of(tensor.dtype)} {tuple(tensor.shape)}, expected one normalised frame of "
                "floats, (C, H, W) or (1, C, H, W); raw frames go with boundary='end_to_end'"
            )
        return batch.to(self.device, self.dtype).contiguous(memory_format=self._layout)

    def as_frame(self, item: Any) -> torch.Tensor:
        """Return a raw frame uint8 (H, W, C) in memory from which the device copies."""
        tensor = _tensor(item)
        channels = self.centre.shape[1]
        if tensor.dtype != torch.uint8 or tensor.ndim != 3 or not tensor.shape[2] or tensor.shape[2] % channels:
            raise ConfigError(
                f"`inputs` holds {name_of(tensor.dtype)} {tuple(tensor.shape)}, expected frames uint8 (H, W, C), C a "
                f"multiple of the {channels} channels of `mean`"
            )
        frame = tensor.cpu().contiguous()
        return frame.pin_memory() if self.device.type == "cuda" else frame

    def forward(self, batch: torch.Tensor) -> Any:
        """From a batch to whatever the module returns."""
        with torch.inference_mode(), self._precision():
            return self.module(batch)

    def labels(self, batch: torch.Tensor) -> torch.Tensor:
        """From a batch to labels (1, H, W) on the device."""
        with torch.inference_mode():
            found = self._checked(self.forward(batch), 1, batch.shape[2:])
            return found.max(dim=1).indices if found.ndim == 4 else found

    def end_to_end(self, frame: torch.Tensor) -> torch.Tensor:
        """From a raw frame (H, W, C) to labels (H, W), both in the memory of the host."""
        return self._on_host(self._scores([frame]))[0]

    def batches(self) -> Batches:
        """Return what takes several raw frames to their labels."""
        return Batches(
            together=self._scores,
            alone=lambda frame: self._scores([frame]),
            keep=torch.clone,  # compiled networks may write each output where the last one was
            same=lambda batch, place, single: torch.equal(batch[place], single[0]),
            outputs=lambda found: list(self._on_host(found)),
            shows_scores=torch.is_floating_point,
        )

    def _scores(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return scores (N, classes, H, W) or labels (N, H, W) of N frames."""
        with torch.inference_mode():
            parts = [self._normalised(frame) for frame in frames]
            batch = parts[0] if len(parts) == 1 else torch.cat(parts).contiguous(memory_format=self._layout)
            return self._checked(self.forward(batch), len(frames), frames[0].shape[:2])

    def _normalised(self, frame: torch.Tensor) -> torch.Tensor:
        if self.preprocess is not None:
            frame = torch.from_numpy(self.preprocess(frame.numpy()))
        batch = frame.to(self.device, non_blocking=True).permute(2, 0, 1)[None]
        if not self.channels_last:  # a frame of 8-bit pixels comes with its channels last
            batch = batch.contiguous()
        centre, scale = self.centre, self.scale
        if (stacked := batch.shape[1] // centre.shape[1]) > 1:
            centre, scale = centre.repeat(1, stacked, 1, 1), scale.repeat(1, stacked, 1, 1)
        return batch.to(self.dtype).sub_(centre).mul_(scale)

    def _on_host(self, found: torch.Tensor) -> torch.Tensor:
        """Return labels (N, H, W) in the memory of the host."""
        with torch.inference_mode():
            labels, nans = found, None
            if found.ndim == 4:
                best, labels = found.max(dim=1)
                labels = labels.to(torch.uint8 if found.shape[1] <= 256 else torch.int16)
                nans = best.isnan().sum()
            if self.device.type != "cpu":
                on_host = torch.empty(labels.shape, dtype=labels.dtype, pin_memory=True)
                on_host.copy_(labels, non_blocking=True)
                torch.cuda.current_stream(self.device).synchronize()
                labels = on_host
            if nans is not None and nans.item():
                raise LabelError(
                    f"the network returns NaN scores at {nans.item():,} pixels, expected numbers: its weights are "
                    "broken, or its numbers overflow in a lower precision"
                )
            return labels

    def _precision(self) -> AbstractContextManager[Any]:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast)

    def _checked(self, found: Any, number: int, size: torch.Size) -> torch.Tensor:
        """Return scores (N, classes, H, W) or labels (N, H, W) of a frame's size, from what a network returns."""
        output = found
        if isinstance(found, Mapping):
            output = found["out"] if "out" in found else found.get("logits")
        if not isinstance(output, torch.Tensor):
            raise ConfigError(
                f"the network returns {type(output).__name__}, expected scores (1, classes, H, W), or a mapping with "
                "them as 'out' or 'logits'; boundary='forward' times any output"
            )
        scores = output.ndim == 4 and output.shape[1] > 1 and output.is_floating_point()
        labels = output.ndim == 3 and not output.is_floating_point()
        if self.upsample is not None and scores and output.shape[-2:] != size:
            output = functional.interpolate(output, size=size, mode=self.upsample, align_corners=False)
        if len(output) != number or output.shape[-2:] != size or not (scores or labels):
            raise ConfigError(
                f"the network returns {name_of(output.dtype)} {tuple(output.shape)} for a frame of {tuple(size)}, "
                "expected scores (1, classes, H, W) or labels (1, H, W) of that size: to enlarge them is part of the "
                "latency, and upsample='bilinear' does it; boundary='forward' times any output"
            )
        if scores and self.num_classes not in (None, output.shape[1]):
            raise ConfigError(
                f"the network returns scores of {output.shape[1]} classes, expected {self.num_classes}, the data's "
                "(`num_classes`): it was made for other data"
            )
        return output


def _tensor(item: Any) -> torch.Tensor:
    """Return an array as a tensor of its own: what is timed must not share memory with the caller's."""
    if isinstance(item, torch.Tensor):
        return item.detach().clone()
    try:
        return torch.from_numpy(np.array(item))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"`inputs` holds what is no array: {error}") from error


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a type without its package."""
    return str(dtype).removeprefix("torch.")
