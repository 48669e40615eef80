"""``flame-metric rescore``: other latencies, rates and streams, from the counts of one run."""

from __future__ import annotations

import argparse

from flame_metric.cli.options import (
    add_latency_options,
    add_score_options,
    add_stream_options,
    check_printed,
    check_seed,
    given_trace,
    score_options,
    write_evaluation,
)
from flame_metric.cli.output import check_outputs
from flame_metric.core.tables import milliseconds_text, rate_text
from flame_metric.errors import ConfigError
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.latency.trace import LatencyTrace
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.evaluation import Evaluation

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  flame-metric rescore bank.npz --latency-ms 76 --workers 1
  flame-metric rescore bank.npz --trace latency.json --scale 0.5 --hardware "twice as fast"
  flame-metric rescore bank.npz --latency-ms 76 --fps 15 --target-miou 0.6

A bank is what `flame-metric evaluate ... --bank bank.npz` keeps.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "rescore",
        help="score a kept bank at another latency, frame rate or stream, without any image",
        description="What the same predictions are worth at another latency, frame rate or stream: no image is read.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bank", metavar="BANK", help="file that `evaluate --bank` wrote")
    add_latency_options(parser)
    parser.add_argument(
        "--scale", metavar="X", default="1", help="take X times the latency: 0.5 is hardware twice as fast (default: 1)"
    )
    parser.add_argument(
        "--fps",
        metavar="F",
        help="rate of another camera on the same scene: the recorded rate divided by a whole number",
    )
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="M",
        help="instead of --fps: a camera that takes each M-th frame, from the first on (default: 1)",
    )
    parser.add_argument(
        "--recorded-fps",
        metavar="F",
        help="rate at which the frames were recorded, where the bank has none or a wrong one",
    )
    add_stream_options(parser)
    add_score_options(parser)
    parser.add_argument(
        "--target-miou", type=float, metavar="T", help="say which latency leaves a mean IoU of T at the fixed offset"
    )
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Load the bank, answer, print."""
    check_outputs(arguments.bank, arguments.trace, json=arguments.json, csv=arguments.csv)
    check_printed(arguments, "format", "target_miou")
    if arguments.target_miou is not None and arguments.format not in (None, "text"):
        raise ConfigError(f"--target-miou is given with --format {arguments.format}, expected text: only that has room")
    trace, latency_ms = given_trace(arguments), arguments.latency_ms
    check_seed(arguments, trace)
    if arguments.scale != "1":
        if arguments.frame_offset is not None:
            raise ConfigError("--scale is given with --frame-offset, expected a latency to scale")
        if trace is not None:
            trace = trace.scaled(arguments.scale)
        else:
            latency_ms = LatencyTrace([latency_ms]).scaled(arguments.scale).median_ns / 10**6
    bank = OffsetBank.load(arguments.bank)
    evaluation = evaluate_bank(
        bank,
        latency_ms=latency_ms,
        trace=trace,
        fps=arguments.fps,
        recorded_fps=arguments.recorded_fps,
        every=arguments.every,
        **score_options(arguments),
    )
    target = arguments.target_miou
    write_evaluation(evaluation, arguments, *([] if target is None else [_budget(evaluation, target)]))


def _budget(evaluation: Evaluation, target: float) -> str:
    bank, rate = evaluation.bank, evaluation.flame.config.fps
    if not 0 <= target <= 1:
        raise ConfigError(f"--target-miou is {target:g}, expected a mean IoU 0..1, such as 0.65")
    if bank is None or rate is None:
        raise ConfigError("--target-miou needs a frame rate, expected --recorded-fps: the bank has none")
    budget = bank.latency_budget(
        target, before_first=evaluation.flame.config.before_first, mean_over=evaluation.flame.mean_over
    )
    if budget is None:
        return f"A mean IoU of {target:g} is missed without any delay."
    more = " or more: the bank ends there" if budget.is_whole_bank else ""
    at = f"at {rate_text(rate)} fps"
    return f"To reach a mean IoU of {target:g} {at} you have {milliseconds_text(budget.latency_ms)}{more}."
