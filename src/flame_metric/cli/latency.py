"""``flame-metric latency``: measure how long a network takes from frame to label map."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.cli.console import progress
from flame_metric.cli.network_options import add_timing_options, add_torch_options, timing_options, torch_options
from flame_metric.cli.options import check_printed
from flame_metric.cli.output import STANDARD_OUTPUT, check_outputs, write
from flame_metric.core.checks import check_integer
from flame_metric.core.clock import as_fps
from flame_metric.errors import ConfigError, blaming
from flame_metric.latency.measure import measure_latency
from flame_metric.latency.report import latency_report
from flame_metric.networks.factory import call_factory

__all__ = ["add_parser", "run"]

_RING = 4  # distinct random inputs

_EXAMPLES = """\
network:
  MODULE is found where Python finds packages or, if it is not there, in the current folder.
  FACTORY is called without arguments and returns a torch.nn.Module, or any callable that
  takes one input: a module gets (1, C, H, W), another callable an array of the very shape.

examples:
  flame-metric latency my_network:build --shape 3,1024,2048 --device cuda --fps 17 --out trace.json
  flame-metric latency my_network:build --shape 3,512,1024 --boundary end_to_end --fps 30 --pace
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "latency",
        help="measure how long a network takes from frame to label map",
        description="Times single calls of a network on random frames: median with interval, tail, frame offset k.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("network", metavar="MODULE:FACTORY", help="what builds the network")
    parser.add_argument("--shape", type=_shape, required=True, metavar="C,H,W", help="shape of a frame: 3,1024,2048")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the random frames (default: %(default)s)")

    timing = parser.add_argument_group("timing")
    timing.add_argument("--fps", metavar="F", help="frames per second, for k: 15, 29.97, 50/3, 30000/1001")
    timing.add_argument("--pace", action="store_true", help="make calls at that rate, not one after the other at once")
    add_timing_options(timing)

    module = parser.add_argument_group("torch modules")
    module.add_argument("--boundary", metavar="B", help="forward, forward+argmax (default) or end_to_end")
    add_torch_options(module)

    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="FILE", help="write the trace, all samples, as JSON; - for standard output")
    output.add_argument("--json", metavar="FILE", help="write the report as JSON; - for standard output")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Build the network, time it, and print the report, or what goes to standard output instead."""
    check_outputs(out=arguments.out, json=arguments.json)
    if arguments.out == STANDARD_OUTPUT and arguments.json is None and not arguments.pace:
        check_printed(arguments, "fps")
    rate = None if arguments.fps is None else as_fps(arguments.fps)
    if arguments.pace and rate is None:
        raise ConfigError("--pace is given without --fps, expected the rate too")
    network = call_factory(arguments.network)
    timed, inputs = _prepared(network, arguments)
    failed = blaming(f"{arguments.network} failed on {inputs[0].dtype} {inputs[0].shape}")
    with failed, progress("samples", background=False) as step:
        trace = measure_latency(
            timed,
            inputs,
            **timing_options(arguments),
            pace_fps=rate if arguments.pace else None,
            metadata={"network": arguments.network},
            progress=step,
        )
    report = latency_report(trace, fps=rate)
    if arguments.out is not None:
        write(trace.to_json(), arguments.out)
    if arguments.json is not None:
        write(report.to_json(), arguments.json)
    if STANDARD_OUTPUT not in (arguments.out, arguments.json):
        write(report.table())


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(length) for length in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape, expected whole numbers >= 1 such as 3,1024,2048")
    return shape


# ── the network ──


def _prepared(
    network: Callable[[Any], Any], arguments: argparse.Namespace
) -> tuple[Callable[[Any], Any], list[npt.NDArray[Any]]]:
    """Return what is timed, and random inputs for it."""
    generator = np.random.default_rng(check_integer("seed", arguments.seed, 0))
    options = torch_options(arguments)
    if arguments.boundary is not None:
        options["boundary"] = arguments.boundary
    torch = sys.modules.get("torch")  # without it nothing is a module
    if torch is None or not isinstance(network, torch.nn.Module):
        if unused := [f"--{'amp' if name == 'autocast' else name.replace('_', '-')}" for name in options]:
            raise ConfigError(
                f"{', '.join(unused)} would change nothing: {arguments.network}() returns {type(network).__name__}, "
                "expected a torch.nn.Module for that"
            )
        return network, _random(generator, arguments.shape, arguments.dtype or "float32")
    if len(arguments.shape) != 3:
        raise ConfigError(f"--shape has {len(arguments.shape)} number(s), expected three for a module: C,H,W")
    from flame_metric.torch.runner import torch_runner  # noqa: PLC0415  PyTorch is optional, and here already

    runner = torch_runner(network, dtype=arguments.dtype, **options)
    channels, height, width = arguments.shape
    if runner.boundary == "end_to_end":
        return runner, _random(generator, (height, width, channels), "uint8")
    return runner, _random(generator, arguments.shape, "float32")


def _random(generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> list[npt.NDArray[Any]]:
    """Return floats of mean 0 and variance 1, or integers 0..255 (int8: 0..127)."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "fiu":
        raise ConfigError(f"--dtype is {dtype!r}, expected a type of NumPy's numbers, such as float32 or uint8")
    try:
        if kind.kind == "f":
            return [generator.standard_normal(shape, np.float32).astype(kind) for _ in range(_RING)]
        return [generator.integers(0, 128 if kind == np.int8 else 256, shape).astype(kind) for _ in range(_RING)]
    except (MemoryError, ValueError) as error:
        raise ConfigError(f"--shape {','.join(map(str, shape))} is too large: {error}") from error
