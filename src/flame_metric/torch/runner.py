"""A PyTorch segmentation network, ready to be timed: what is done before the clock starts, and what while it runs.

Three boundaries. Batches hold one frame, and the network is in evaluation mode, without gradients.

- ``forward``: from a normalised tensor on the device to the network's output on the device.
- ``forward+argmax``: the same, and the class of each pixel, still on the device.
- ``end_to_end``: from an 8-bit frame (H, W, C) in the host's memory (pinned) to a label map in the host's memory: copy,
  normalise, forward, argmax, narrow, copy back. Scores never leave the device; a label map is dozens of times smaller.

The class is taken from ``max(dim)``, which on CPUs is many times faster than ``argmax`` and gives the same answer; with
``end_to_end`` a NaN among the scores, or +inf for two classes of a pixel, is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.core.labels import check_scores, is_classes_last, tied_at_infinity
from flame_metric.data.normalisation import IMAGENET_MEAN, IMAGENET_STD, centre_and_scale
from flame_metric.errors import ConfigError, LabelError
from flame_metric.latency.runner import Runner
from flame_metric.latency.timers import HostTimer
from flame_metric.torch.timer import CudaTimer, as_device, describe_torch

__all__ = ["BOUNDARIES", "IMAGENET_MEAN", "IMAGENET_STD", "compile_module", "torch_runner"]

BOUNDARIES = ("forward", "forward+argmax", "end_to_end")

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def torch_runner(
    module: torch.nn.Module,
    *,
    boundary: str = "forward+argmax",
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    autocast: torch.dtype | str | None = None,
    channels_last: bool = False,
    compile: str | None = None,
    cudnn_benchmark: bool = False,
    threads: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    num_classes: int | None = None,
    upsample: str | None = None,
    preprocess: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]] | None = None,
) -> Runner:
    """Prepare a module for ``measure_latency``, with the timer that its device needs.

    While it runs, the module is in evaluation mode and the settings below hold; then they are restored. That the module
    lies on another device, in another type or memory format lasts, as after ``module.to``.

    Parameters
    ----------
    module : torch.nn.Module
        From (1, C, H, W) to scores (1, classes, H, W), a mapping that holds them as ``"out"`` or ``"logits"``, or
        labels (1, H, W). With the boundary ``"forward"``, to anything.
    boundary : {"forward", "forward+argmax", "end_to_end"}
        What is timed.
    device : torch.device or str, optional
        The CPU or a CUDA device. Default: where the module's parameters are.
    dtype : torch.dtype or str, optional
        ``"float32"``, ``"float16"`` or ``"bfloat16"`` for module and input. Default: that of the parameters.
    autocast : torch.dtype or str, optional
        Run the float32 module under autocast to this type, entered at each call.
    channels_last : bool
        Memory format of module and input.
    compile : str, optional
        Mode of ``torch.compile``, such as ``"default"`` or ``"reduce-overhead"``. Default: not compiled.
    cudnn_benchmark : bool
        Let cuDNN try its algorithms and keep the fastest.
    threads : int, optional
        Threads of PyTorch on the CPU.
    mean, std : sequence of float, optional
        Of each channel, for pixels 0..1, ``end_to_end`` only; repeated where several frames are stacked. Default:
        ImageNet's.
    num_classes : int, optional
        Channels that scores must have. Default: any number above 1.
    upsample : {"bilinear"}, optional
        Resize scores of another size to that of the frame, as part of what is timed (with ``align_corners=False``).
        Default: they are refused.
    preprocess : callable, optional
        ``end_to_end`` only: what is done to a frame (H, W, C) on the host first, as part of what is timed, such as
        resizing; it returns uint8 (h, w, C). Scores are still compared with the frame's own size.

    Returns
    -------
    Runner
        For inputs (C, H, W) or (1, C, H, W) of floats; with ``end_to_end``, uint8 (H, W, C). Arrays or tensors, from
        anywhere: they are brought to where the boundary begins before the clock starts.

    Raises
    ------
    ConfigError
        If an option is out of range, or the device is missing; when called, if an input or output has another form.
    LabelError
        When called, with ``end_to_end``: if scores are NaN, or +inf for two or more classes of a pixel.

    Examples
    --------
    >>> net = torch.nn.Conv2d(3, 19, 3, padding=1)
    >>> torch_runner(net)(torch.zeros(3, 32, 64)).shape
    torch.Size([1, 32, 64])
    >>> torch_runner(net, boundary="end_to_end")(np.zeros((32, 64, 3), np.uint8)).dtype
    torch.uint8
    """
    if boundary not in BOUNDARIES:
        raise ConfigError(f"`boundary` is {boundary!r}, expected one of {', '.join(BOUNDARIES)}")
    end_to_end = boundary == "end_to_end"
    if not end_to_end and any(option is not None for option in (mean, std, preprocess)):
        raise ConfigError(
            f"`mean`, `std` or `preprocess` is given for `boundary` {boundary!r}, expected 'end_to_end': it begins "
            "with a raw frame"
        )
    if boundary == "forward" and any(option is not None for option in (num_classes, upsample)):
        raise ConfigError("`num_classes` or `upsample` is given for `boundary` 'forward', which times any output")
    if num_classes is not None:
        num_classes = check_integer("num_classes", num_classes, 1, unit="classes")
    if upsample is not None:
        check_choice("upsample", upsample, ("bilinear",))
    weights = next((tensor for tensor in [*module.parameters(), *module.buffers()] if tensor.is_floating_point()), None)
    place = as_device(device if device is not None else "cpu" if weights is None else weights.device)
    number = _dtype("dtype", dtype) or (torch.float32 if weights is None else weights.dtype)
    lower = _dtype("autocast", autocast)
    if lower is not None and number != torch.float32:
        raise ConfigError(f"`autocast` is {lower} for a module of {number}, expected float32: leave one of the two out")
    if threads is not None:
        threads = check_integer("threads", threads, 1)
    module.to(place) if dtype is None else module.to(place, number)
    if channels_last:
        anything: Any = module  # an argument that PyTorch's type hints leave out
        anything.to(memory_format=torch.channels_last)
    centre, scale = (torch.from_numpy(values).reshape(1, -1, 1, 1) for values in centre_and_scale(mean, std))
    call = _ModuleCall(
        compile_module(module, compile),
        place,
        number,
        lower,
        channels_last,
        centre.to(place, number),
        scale.to(place, number),
        num_classes,
        upsample,
        preprocess,
    )
    settings = {
        "dtype": _name_of(number),
        "autocast": None if lower is None else _name_of(lower),
        "memory_format": "channels_last" if channels_last else "contiguous",
        "compile": compile,
        "upsample": upsample,
    }
    return Runner(
        {"forward": call.forward, "forward+argmax": call.labels, "end_to_end": call.end_to_end}[boundary],
        boundary=boundary,
        timer=HostTimer() if place.type == "cpu" else CudaTimer(place),
        prepare=call.as_frame if end_to_end else call.as_input,
        context=lambda: _settings(module, cudnn_benchmark, threads),
        describe=lambda: {**describe_torch(place), **settings},
    )


def _dtype(argument: str, dtype: torch.dtype | str | None) -> torch.dtype | None:
    found = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in (None, *_DTYPES.values()) or (found is None and dtype is not None):
        raise ConfigError(f"`{argument}` is {dtype!r}, expected one of {', '.join(_DTYPES)}")
    return found


def compile_module(module: torch.nn.Module, mode: str | None) -> Callable[[torch.Tensor], Any]:
    """Compile a module in a mode of torch.compile; None leaves it as it is.

    Raises
    ------
    ConfigError
        If there is no such mode.
    """
    if mode is None:
        return module
    try:
        return torch.compile(module, mode=mode)
    except RuntimeError as error:
        raise ConfigError(f"`compile` is {mode!r}, expected a mode of torch.compile: {error}") from error


@contextmanager
def _settings(module: torch.nn.Module, cudnn_benchmark: bool, threads: int | None) -> Iterator[None]:
    """Hold the settings that are not only the module's, and restore them."""
    training = [(part, part.training) for part in module.modules()]
    benchmark, threads_before = torch.backends.cudnn.benchmark, torch.get_num_threads()
    try:
        module.eval()
        torch.backends.cudnn.benchmark = cudnn_benchmark
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        for part, mode in training:
            part.training = mode
        torch.backends.cudnn.benchmark = benchmark
        if threads is not None:
            torch.set_num_threads(threads_before)


# ── calls ──


@dataclass(frozen=True)
class _ModuleCall:
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
                f"`inputs` holds {_name_of(tensor.dtype)} {tuple(tensor.shape)}, expected one normalised frame of "
                "floats, (C, H, W) or (1, C, H, W); raw frames go with boundary='end_to_end'"
            )
        return batch.to(self.device, self.dtype).contiguous(memory_format=self._layout)

    def as_frame(self, item: Any) -> torch.Tensor:
        """Return a raw frame uint8 (H, W, C) in memory from which the device copies."""
        tensor = _tensor(item)
        channels = self.centre.shape[1]
        if tensor.dtype != torch.uint8 or tensor.ndim != 3 or not tensor.shape[2] or tensor.shape[2] % channels:
            raise ConfigError(
                f"`inputs` holds {_name_of(tensor.dtype)} {tuple(tensor.shape)}, expected frames uint8 (H, W, C), C a "
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
            found = self._check_output(self.forward(batch), batch.shape[2:])
            return found.max(dim=1).indices if found.ndim == 4 else found

    def end_to_end(self, frame: torch.Tensor) -> torch.Tensor:
        """From a raw frame (H, W, C) to labels (H, W), both in the memory of the host."""
        with torch.inference_mode():
            return self._copy_to_host(self.scores(frame))[0]

    def scores(self, frame: torch.Tensor) -> torch.Tensor:
        """From a raw frame (H, W, C) to scores (1, classes, H, W) or labels (1, H, W) on the device."""
        with torch.inference_mode():
            return self._check_output(self.forward(self._normalise(frame)), frame.shape[:2])

    def _normalise(self, frame: torch.Tensor) -> torch.Tensor:
        if self.preprocess is not None:
            frame = torch.from_numpy(self.preprocess(frame.numpy()))
        batch = frame.to(self.device, non_blocking=True).permute(2, 0, 1)[None]
        if not self.channels_last:  # a frame of 8-bit pixels comes with its channels last
            batch = batch.contiguous()
        centre, scale = self.centre, self.scale
        if (stacked := batch.shape[1] // centre.shape[1]) > 1:
            centre, scale = centre.repeat(1, stacked, 1, 1), scale.repeat(1, stacked, 1, 1)
        return batch.to(self.dtype).sub_(centre).mul_(scale)

    def _copy_to_host(self, found: torch.Tensor) -> torch.Tensor:
        """Return labels (1, H, W) in the memory of the host."""
        labels, undecided = found, None
        if found.ndim == 4:
            best, labels = found.max(dim=1)
            labels = labels.to(torch.uint8 if found.shape[1] <= 256 else torch.int16)
            undecided = torch.stack([best.isnan().sum(), best.isposinf().sum()])
        if self.device.type != "cpu":
            on_host = torch.empty(labels.shape, dtype=labels.dtype, pin_memory=True)
            on_host.copy_(labels, non_blocking=True)
            torch.cuda.current_stream(self.device).synchronize()
            labels = on_host
        if undecided is not None:
            nan_pixels, infinite = undecided.tolist()
            if nan_pixels:
                raise LabelError(
                    f"the network returns NaN scores at {nan_pixels:,} pixels, expected numbers: its weights are "
                    "broken, or its numbers overflow in a lower precision"
                )
            tied = int(tied_at_infinity(found).sum()) if infinite else 0
            check_scores(0, tied, holds="the network returns")
        return labels

    def _precision(self) -> AbstractContextManager[Any]:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast)

    def _check_output(self, found: Any, size: torch.Size) -> torch.Tensor:
        """Return scores (1, classes, H, W) or labels (1, H, W) of a frame's size, from what a network returns."""
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
        if scores and is_classes_last(output.shape, self.num_classes or 0, size):
            raise ConfigError(
                f"the network returns {_name_of(output.dtype)} {tuple(output.shape)}: classes on the last axis, "
                "expected scores (1, classes, H, W): .movedim(-1, 1) does it"
            )
        if self.upsample is not None and scores and output.shape[-2:] != size:
            output = functional.interpolate(output, size=size, mode=self.upsample, align_corners=False)
        if len(output) != 1 or output.shape[-2:] != size or not (scores or labels):
            raise ConfigError(
                f"the network returns {_name_of(output.dtype)} {tuple(output.shape)} for a frame of {tuple(size)}, "
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
        raise ConfigError(f"`inputs` holds what is not an array: {error}") from error


def _name_of(dtype: torch.dtype) -> str:
    """Return the name of a type without its package."""
    return str(dtype).removeprefix("torch.")
