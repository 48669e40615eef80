"""The command line: parse, one library call, print.

Exit codes: 0 done, 1 an audit failed, 2 wrong usage, 3 wrong or missing data, 4 counts that may not be combined,
130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from flame_metric._version import __version__
from flame_metric.cli import compare, demo, evaluate, latency, merge, reproduce, rescore, run, simulate
from flame_metric.cli import report as report_command
from flame_metric.cli.console import let_go, report, tell
from flame_metric.cli.parser import Parser
from flame_metric.cli.ranks import RankEnded
from flame_metric.errors import ConfigError, FlameError, FlameWarning, MissingExtraError, StateError

__all__ = ["main"]

_COMMANDS = (run, evaluate, merge, rescore, compare, report_command, simulate, latency, reproduce, demo)
_USAGE, _DATA, _STATE, _INTERRUPTED = 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flame-metric`` with the given arguments (default: those of the process) and return its exit code.

    Where the reader of standard output has seen enough, as ``head`` does, the command ends with exit code 0.
    """
    _keep_numbers_of_streams()
    try:
        try:
            return _run(sys.argv[1:] if argv is None else list(argv))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here a closed pipe can be heard; at the end of Python it is a traceback
    except BrokenPipeError:
        return 0
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not _is_flushed(stream):
                let_go(stream)


def _keep_numbers_of_streams() -> None:
    """Put nothing where a standard stream is closed: the next file would get its number, and what others print."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _is_flushed(stream: TextIO) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


def _run(given: Sequence[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that the terminal cannot show must not end in an error
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    arguments = parser.parse_args(given)
    arguments.command = shlex.join([parser.prog, *given])
    with warnings.catch_warnings():
        warnings.simplefilter("always", FlameWarning)
        warnings.showwarning = lambda message, *_: report("warning", str(message))
        try:
            return arguments.run(arguments) or 0
        except FlameError as error:
            tell(error, debug=arguments.debug)
            return _exit_code(error)
        except RankEnded as ended:
            return _exit_code(ended.error)
        except KeyboardInterrupt as interrupt:
            report("interrupted", str(interrupt) or "the command is incomplete, its results are lost")
            return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="flame-metric",
        description="How good is a video segmentation network once its own delay is counted?",
        epilog="Try `flame-metric demo` first: it needs no data.",
    )
    parser.add_argument("--version", action="version", version=f"flame-metric {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in _COMMANDS:
        subparser = command.add_parser(commands)
        subparser.add_argument("--debug", action="store_true", help="show the traceback of an error")
        subparser.set_defaults(run=command.run)
    return parser


def _exit_code(error: FlameError | KeyboardInterrupt) -> int:
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, (ConfigError, MissingExtraError)):
        return _USAGE
    return _STATE if isinstance(error, StateError) else _DATA
