"""``flame-metric merge``: join the parts of an evaluation that several machines counted."""

from __future__ import annotations

import argparse
from functools import partial

from flame_metric.cli.options import add_output_options, bank_note, check_printed, write_evaluation
from flame_metric.cli.output import check_outputs, save_bank
from flame_metric.errors import ConfigError
from flame_metric.jobs.clip_journal import read_part
from flame_metric.jobs.evaluate import merge_parts

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  flame-metric evaluate out/ labels/ ... --shard 1/2 --journal part1.jsonl      # on one machine
  flame-metric evaluate out/ labels/ ... --shard 2/2 --journal part2.jsonl      # on another
  flame-metric merge part1.jsonl part2.jsonl --json result.json

The result equals that of one machine, to the integer. Sequences that are in several parts must
have identical counts; sequences that are in none are refused.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "merge",
        help="join the parts of an evaluation that several machines counted",
        description="Scores from the journals that `evaluate --shard` or `run --shard` wrote.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="+", metavar="PART", help="journals, in any order")
    parser.add_argument(
        "--allow-partial", action="store_true", help="score what is there, marked INCOMPLETE, if sequences are missing"
    )
    parser.add_argument(
        "--allow-unlike",
        action="store_true",
        help="join parts though their folders held other files, such as outputs of two versions of a network",
    )
    parser.add_argument("--bank", metavar="FILE", help="write the counts at every offset, if the parts have them")
    add_output_options(parser)
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Read the parts, join them, print the table."""
    check_outputs(*arguments.parts, json=arguments.json, csv=arguments.csv, bank=arguments.bank)
    check_printed(arguments, "format")
    evaluation = merge_parts(
        [read_part(path) for path in arguments.parts],
        allow_partial=arguments.allow_partial,
        allow_unlike=arguments.allow_unlike,
    )
    more, files = [], []
    if arguments.bank is not None:
        if evaluation.bank is None:
            raise ConfigError("--bank is given, but the parts were counted without --bank or --max-offset")
        files.append(partial(save_bank, evaluation.bank, arguments.bank))
        more.append(bank_note(evaluation.bank, arguments.bank, evaluation.incomplete))
    write_evaluation(evaluation, arguments, *more, files=files)
