"""A PyTorch segmentation network, ready to be timed: what is done before the clock starts, and what while it runs.

Three boundaries. Batches hold one frame, and the network is in evaluation mode, without gradients.

- ``forward``: from a normalised tensor on the device to the network's output on the device.
- ``forward+argmax``: the same, and the class of each pixel, still on the device.
- ``end_to_end``: from an 8-bit frame (H, W, C) in the host's memory (pinned) to a label map in the host's memory: copy,
  normalise, forward, argmax, narrow, copy back. Scores never leave the device; a label map is dozens of times smaller.

The class is taken from ``max(dim)``, which on CPUs is many times faster than ``argmax`` and gives the same answer; with
``end_to_end`` a NaN among the scores is an error. ``Runner.batch`` of ``end_to_end`` takes several frames in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from flame_metric.core.checks import check_choice, check_integer
from flame_metric.data.normalisation import IMAGENET_MEAN, IMAGENET_STD, centre_and_scale
from flame_metric.errors import ConfigError
from flame_metric.latency.timers import HostTimer, Runner
from flame_metric.torch.runner_module import Job, name_of
from flame_metric.torch.timer import CudaTimer, as_device, describe_torch

__all__ = ["BOUNDARIES", "IMAGENET_MEAN", "IMAGENET_STD", "compiled", "torch_runner"]

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
        When called, with ``end_to_end``: if scores are NaN.

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
    job = Job(
        compiled(module, compile),
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
        "dtype": name_of(number),
        "autocast": None if lower is None else name_of(lower),
        "memory_format": "channels_last" if channels_last else "contiguous",
        "compile": compile,
        "upsample": upsample,
    }
    return Runner(
        {"forward": job.forward, "forward+argmax": job.labels, "end_to_end": job.end_to_end}[boundary],
        boundary=boundary,
        timer=HostTimer() if place.type == "cpu" else CudaTimer(place),
        prepare=job.as_frame if end_to_end else job.as_input,
        context=lambda: _settings(module, cudnn_benchmark, threads),
        describe=lambda: {**describe_torch(place), **settings},
        batch=job.batches() if end_to_end else None,
    )


def _dtype(argument: str, dtype: torch.dtype | str | None) -> torch.dtype | None:
    found = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if found not in (None, *_DTYPES.values()) or (found is None and dtype is not None):
        raise ConfigError(f"`{argument}` is {dtype!r}, expected one of {', '.join(_DTYPES)}")
    return found


def compiled(module: torch.nn.Module, mode: str | None) -> Callable[[torch.Tensor], Any]:
    """Return a module compiled in a mode of torch.compile; None: as it is.

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
    """Hold the settings that are not the module's alone, and restore them."""
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
