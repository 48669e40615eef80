"""Options of commands that run a network: how it is run by PyTorch, and how it is timed."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_timing_options", "add_torch_options", "timing_options", "torch_options"]

_TORCH = {  # name in the library: name here
    "device": "device",
    "autocast": "amp",
    "channels_last": "channels_last",
    "compile": "compile",
    "cudnn_benchmark": "cudnn_benchmark",
    "threads": "threads",
}


def add_torch_options(group: argparse._ArgumentGroup) -> None:
    """Declare how PyTorch runs a network; :func:`torch_options` reads it back."""
    group.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 (default: where the module is)")
    group.add_argument("--dtype", metavar="TYPE", help="of module and input, such as float16, bfloat16")
    group.add_argument("--amp", metavar="TYPE", help="run a float32 module under autocast: float16, bfloat16")
    group.add_argument("--channels-last", action="store_true", help="memory format of module and input")
    group.add_argument("--compile", nargs="?", const="default", metavar="MODE", help="torch.compile it, in this mode")
    group.add_argument("--cudnn-benchmark", action="store_true", help="let cuDNN look for its fastest algorithms")
    group.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")


def torch_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was given of :func:`add_torch_options`, ``dtype`` left out, by the names of the library."""
    given = {name: getattr(arguments, option) for name, option in _TORCH.items()}
    return {name: value for name, value in given.items() if value is not None and value is not False}


def add_timing_options(group: argparse._ArgumentGroup) -> None:
    """Declare how a latency is measured; :func:`timing_options` reads it back."""
    group.add_argument("--samples", type=int, metavar="N", help="calls to time (default: 200; a p99 takes 662)")
    group.add_argument("--warmup", type=int, metavar="N", help="calls before, at least (default: 10)")
    group.add_argument("--time-cap", type=float, metavar="S", help="seconds for the samples (default: 60)")


def timing_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what was given of them, by the names of :func:`~flame_metric.measure_latency`."""
    given = {"warmup": arguments.warmup, "samples": arguments.samples, "time_cap_s": arguments.time_cap}
    return {name: value for name, value in given.items() if value is not None}
