"""``flame-metric compare``: rank networks that were scored on the same videos, and say how sure the order is."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

from flame_metric.cli.console import progress
from flame_metric.cli.inputs import named_files, read_evaluation
from flame_metric.cli.options import add_mean_option, check_printed
from flame_metric.cli.output import check_outputs, write
from flame_metric.core.tables import FORMATS
from flame_metric.errors import FlameWarning
from flame_metric.scores.ranking import Contender, rank

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  flame-metric compare swiftnet.json deeplab.json
  flame-metric compare SwiftNet=a/result.json DeepLab=b/result.json --format markdown

A result is what `flame-metric evaluate ... --json RESULT` wrote. It is called by its file's name, by
its folder's where files share a name, or by what stands before "=".
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Declare the command and its options."""
    parser = commands.add_parser(
        "compare",
        help="rank networks that were scored on the same videos",
        description="Networks by FLAME, with paired differences, and whether the order without delay is the same.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", metavar="[NAME=]RESULT", help="JSON files of `evaluate`, two or more")
    add_mean_option(parser, default=None)
    parser.add_argument("--format", choices=FORMATS, help="of the table (default: text)")
    parser.add_argument("--json", metavar="FILE", help="write order and differences as JSON; - for standard output")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Read the results, rank, print."""
    files = named_files(arguments.results)
    check_outputs(*(str(path) for _, path in files), json=arguments.json)
    check_printed(arguments, "format")
    ranking = rank([_contender(name, path) for name, path in files], mean_over=arguments.mean_over)
    with progress("resamples") as step:
        ranking.draw_intervals(step)
    if arguments.json is not None:
        write(ranking.to_json(), arguments.json)
    if arguments.json != "-":
        write(ranking.table(arguments.format or "text"))


def _contender(name: str, path: Path) -> Contender:
    evaluation = read_evaluation(path)
    if evaluation.incomplete is not None:
        warnings.warn(f"{name} is INCOMPLETE: {evaluation.incomplete}", FlameWarning, stacklevel=2)
    return evaluation.contender(name)
