"""``flame-metric demo``: the whole way on built-in data, in under a minute."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flame_metric.cli.console import progress
from flame_metric.data.synthetic import VOID
from flame_metric.demo import run_demo
from flame_metric.errors import ConfigError
from flame_metric.table import rate_text

__all__ = ["add_parser", "run"]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "demo",
        help="make videos, fit a small segmenter, time it, and score it at several latencies",
        description="Built-in synthetic street videos, a colour classifier, and what its latency costs. Needs no data.",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="keep predictions and labels there, to try `evaluate` on"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run the demonstration and print its table."""
    try:
        with progress("videos") as step:
            demo = run_demo(out=arguments.out, progress=step)
    except OSError as error:
        raise ConfigError(f"{arguments.out}: cannot be written: {error.strerror}") from error
    sys.stdout.write(demo.table())
    if arguments.out is not None:
        config = demo.static.config
        rate = "" if config.fps is None else rate_text(config.fps)
        sys.stdout.write(
            f"\nThe label maps are in {arguments.out}. Score them with\n"
            f"  flame-metric evaluate {arguments.out}/predictions {arguments.out}/labels --num-classes "
            f"{config.num_classes} --fps {rate} \\\n      --latency-ms {demo.latency_ms:.3f} --ignore-index {VOID} "
            f"--class-names {','.join(demo.static.class_names)}\n"
        )
