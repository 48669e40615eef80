"""CudaTimer: the host's clock around a call on a CUDA device, which is waited for before and after.

CUDA runs behind the host: a call returns when its work is queued. So the device is synchronised before the clock starts
and before it stops. Events on the device's stream, around the same call, give the device's own time as a diagnostic: it
leaves out what the host does before the first kernel and after the last one.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from flame_metric.errors import ConfigError
from flame_metric.latency.timers import Sample

__all__ = ["CudaTimer", "describe_torch"]

_NS_PER_MS = 1_000_000


class CudaTimer:
    """Times calls whose work runs on a CUDA device.

    Parameters
    ----------
    device : torch.device or str
        The device that is waited for: ``"cuda"`` (the current one), ``"cuda:1"``, ...
    clock : callable
        Nanoseconds of the host.

    Raises
    ------
    ConfigError
        If it is not a CUDA device, or there is none.

    Examples
    --------
    >>> CudaTimer("cpu")
    Traceback (most recent call last):
    ...
    flame_metric.errors.ConfigError: `device` is 'cpu', expected a CUDA device; on the CPU no timer needs to be given
    """

    def __init__(self, device: torch.device | str = "cuda", *, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        found = as_device(device)
        if found.type != "cuda":
            raise ConfigError(f"`device` is '{found}', expected a CUDA device; on the CPU no timer needs to be given")
        self._device = found
        self._clock = clock
        event: Any = torch.cuda.Event  # without type hints in PyTorch
        self._first, self._last = event(enable_timing=True), event(enable_timing=True)

    @property
    def device(self) -> str:
        """It waits for CUDA."""
        return "cuda"

    def now_ns(self) -> int:
        """Return the host's time."""
        return self._clock()

    def time(self, run: Callable[[Any], Any], item: Any) -> Sample:
        """Call ``run(item)`` and return how long it took: on the host's clock, and between two events on the device."""
        stream = torch.cuda.current_stream(self._device)
        torch.cuda.synchronize(self._device)
        self._first.record(stream)
        start = self._clock()
        output = run(item)
        self._last.record(stream)
        torch.cuda.synchronize(self._device)
        end = self._clock()
        del output  # not before: to free it is not part of the call
        return Sample(end - start, round(self._first.elapsed_time(self._last) * _NS_PER_MS))

    def describe(self) -> Mapping[str, Any]:
        """Return device, driver, versions and settings."""
        return describe_torch(self._device)


def as_device(device: torch.device | str) -> torch.device:
    """Return the CPU or a CUDA device that is there, with its number.

    Raises
    ------
    ConfigError
        If it is of another kind, or missing.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"`device` is {device!r}, expected 'cpu', 'cuda' or 'cuda:1'") from error
    if found.type == "cpu":
        return torch.device("cpu")
    if found.type != "cuda":  # without its own way of waiting only the launch would be timed
        raise ConfigError(f"`device` is '{found}', expected 'cpu' or a CUDA device: no other kind is waited for")
    number = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not number or (found.index or 0) >= number:
        built = "" if torch.version.cuda or torch.version.hip else ", built without CUDA,"
        raise ConfigError(
            f"`device` is '{found}', but PyTorch {torch.__version__}{built} finds {number} CUDA device(s), expected "
            "one that is there, or 'cpu'"
        )
    return found if found.index is not None else torch.device("cuda", torch.cuda.current_device())


def describe_torch(device: torch.device) -> dict[str, Any]:
    """Return what JSON can hold of PyTorch, a device and the settings that change its speed."""
    described: dict[str, Any] = {
        "device": "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    if device.type == "cpu":
        return described
    cudnn: Any = torch.backends.cudnn
    return described | {
        "device": torch.cuda.get_device_name(device),
        "driver": _driver(),
        "cuda": torch.version.cuda or torch.version.hip,
        "cudnn": cudnn.version(),
        "cudnn_benchmark": cudnn.benchmark,
        "cudnn_deterministic": cudnn.deterministic,
        "tf32": _tf32(),
    }


def _tf32() -> dict[str, bool]:
    try:
        return {"matmul": torch.backends.cuda.matmul.allow_tf32, "cudnn": torch.backends.cudnn.allow_tf32}
    except RuntimeError:  # set by the newer names: the older ones refuse to answer then
        backends: Any = torch.backends
        return {
            "matmul": backends.cuda.matmul.fp32_precision == "tf32",
            "cudnn": backends.cudnn.conv.fp32_precision == "tf32",
        }


def _driver() -> str | None:
    """Return the version of NVIDIA's driver; None where its tool is missing or does not answer."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.partition("\n")[0].strip() or None
