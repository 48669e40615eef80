"""``flame-metric demo``: the whole way on built-in data, in under a minute."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from flame_metric.cli.console import progress
from flame_metric.cli.output import check_outputs, write, writing
from flame_metric.core.tables import rate_text
from flame_metric.data.synthetic import VOID
from flame_metric.demo import Demo, run_demo

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
    parser.add_argument("--json", metavar="FILE", help="write counts and scores as JSON; - for standard output")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Run the demonstration and print its table."""
    check_outputs(json=arguments.json)
    with progress("videos") as step, writing(None if arguments.out is None else str(arguments.out)):
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)  # before anything is computed
        demo = run_demo(out=arguments.out, progress=step)
    if arguments.json is not None:
        write(demo.to_json(), arguments.json)
    if arguments.json != "-":
        write(demo.table() + ("" if arguments.out is None else _what_next(demo, arguments.out)))


def _what_next(demo: Demo, out: Path) -> str:
    config = demo.static.config
    rate = "" if config.fps is None else rate_text(config.fps)
    folders = " ".join(shlex.quote(str(out / folder)) for folder in ("predictions", "labels"))
    return (
        f"\nThe label maps are in {out}. Score them with\n"
        f"  flame-metric evaluate {folders} --num-classes {config.num_classes} --fps {rate} \\\n"
        f"      --latency-ms {demo.latency_ms:.3f} --ignore-index {VOID} "
        f"--class-names {','.join(demo.static.class_names)}\n"
    )
