"""The parser of the command line: an error is one line, which names the nearest option or command."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from flame_metric.cli.console import say

__all__ = ["Parser"]

_USAGE = 2
_NUMBER = re.compile(r"-\d+|-\d*\.\d+")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line; ``--help`` shows the usage."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Refuse unknown options first: argparse would name what is missing because of them."""
        given = sys.argv[1:] if args is None else list(args)
        for word in given:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                break  # what follows belongs to a command, or holds no options
            name = word.partition("=")[0]
            if self._is_option(word) and not self._knows(name):
                self.error(f"unknown option {name}{_nearest(name.replace('_', '-'), self._option_string_actions)}")
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line, and end with exit code 2."""
        say(f"{self.prog}: error: {message}; {self.prog} --help shows the usage")
        sys.exit(_USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        choices = [] if action.choices is None else [str(choice) for choice in action.choices]
        if action.choices is not None and value not in action.choices:
            nearest = _nearest(str(value), choices)
            raise argparse.ArgumentError(action, f"{value!r} is none of {', '.join(choices)}{nearest}")

    @staticmethod
    def _is_option(word: str) -> bool:
        """Whether argparse takes a word for an option, known or not."""
        return word.startswith("-") and len(word) > 1 and " " not in word and not _NUMBER.fullmatch(word)

    def _knows(self, name: str) -> bool:
        options = self._option_string_actions
        if not name.startswith("--"):
            return name[:2] in options
        return any(option.startswith(name) for option in options)  # a beginning will do; of several argparse complains


def _nearest(name: str, names: Iterable[str]) -> str:
    found = difflib.get_close_matches(name, list(names), 1)
    return f", did you mean {found[0]}?" if found else ""
