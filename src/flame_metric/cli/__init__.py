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

from flame_metric._version import __version__
from flame_metric.cli import compare, demo, evaluate, latency, merge, report, reproduce, rescore, run, simulate
from flame_metric.cli.console import report as say
from flame_metric.cli.console import tell
from flame_metric.cli.ranks import Told
from flame_metric.errors import ConfigError, FlameError, FlameWarning, MissingExtraError, StateError

__all__ = ["main"]

_COMMANDS = (run, evaluate, merge, rescore, compare, report, simulate, latency, reproduce, demo)
_USAGE, _DATA, _STATE, _INTERRUPTED = 2, 3, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``flame-metric`` with the given arguments (default: those of the process) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that the terminal cannot show must not end in an error
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    given = sys.argv[1:] if argv is None else list(argv)
    arguments = parser.parse_args(given)
    arguments.command = shlex.join([parser.prog, *given])
    with warnings.catch_warnings():
        warnings.simplefilter("always", FlameWarning)
        warnings.showwarning = lambda message, *_: say("warning", str(message))
        try:
            return arguments.run(arguments) or 0
        except FlameError as error:
            tell(error, debug=arguments.debug)
            return _exit_code(error)
        except Told as told:
            return _exit_code(told.error)
        except KeyboardInterrupt as interrupt:
            say("interrupted", str(interrupt) or "the command is incomplete, its results are lost")
            return _INTERRUPTED
        except BrokenPipeError:  # the reader of a pipe has seen enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
