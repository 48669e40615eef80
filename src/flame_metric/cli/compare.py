"""``flame-metric compare``: rank networks that were scored on the same videos, and say how sure the order is."""

from __future__ import annotations

import argparse
from pathlib import Path

from flame_metric.cli.output import check_outputs, write
from flame_metric.errors import DatasetError, StateError
from flame_metric.evaluation import Evaluation
from flame_metric.ranking import Contender, rank
from flame_metric.table import FORMATS

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
    parser.add_argument("--format", choices=FORMATS, default="text", help="of the table (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write order and differences as JSON; - for standard output")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Read the results, rank, print."""
    check_outputs(json=arguments.json)
    ranking = rank([_contender(name, path) for name, path in _named(arguments.results)])
    if arguments.json is not None:
        write(ranking.to_json(), arguments.json)
    if arguments.json != "-":
        write(ranking.table(arguments.format))


def _named(results: list[str]) -> list[tuple[str, Path]]:
    split = [result.rpartition("=") if not Path(result).exists() else ("", "", result) for result in results]
    stems = [Path(file).stem for _, _, file in split]
    return [
        (name or (stem if stems.count(stem) == 1 else Path(file).resolve().parent.name), Path(file))
        for (name, _, file), stem in zip(split, stems, strict=True)
    ]


def _contender(name: str, path: Path) -> Contender:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is no text, expected what `evaluate --json` wrote", path=path) from error
    try:
        evaluation = Evaluation.from_json(text)
    except StateError as error:
        raise StateError(f"{path}: {error}") from error
    stream = evaluation.streaming
    return Contender(name, evaluation.flame, evaluation.static, None if stream is None else stream.result)
