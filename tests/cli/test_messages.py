"""Every option that a text of this package names exists: errors, warnings, helps and docstrings."""

import argparse
import ast
import re
from pathlib import Path

import pytest

import flame_metric
from flame_metric import cli

ROOT = Path(flame_metric.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
OF_OTHERS = {  # options of other programs, by these
    "--standalone": "torchrun",
    "--nproc-per-node": "torchrun",
    "--dereference": "tar",
    "--hard-dereference": "tar",
    "--query-gpu": "nvidia-smi",
}


def known_options():
    parser = cli._parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    parsers = [parser, *commands.choices.values()]
    return {option for one in parsers for option in one._option_string_actions}


def texts_of(source):
    """Yield the line and the text of each string literal, parts of f-strings too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def named_options():
    for file in sorted(ROOT.rglob("*.py")):
        for line, text in texts_of(file.read_text(encoding="utf-8")):
            for option in OPTION.findall(text):
                yield f"{file.relative_to(ROOT)}:{line}", option


def test_every_option_that_a_text_names_exists():
    known = known_options() | OF_OTHERS.keys()
    assert [(place, option) for place, option in named_options() if option not in known] == []


def test_options_of_other_programs_are_named():
    """None of the exceptions is there for nothing, and none hides an option of this program."""
    named = {option for _, option in named_options()}
    assert [option for option in OF_OTHERS if option not in named] == []
    assert not known_options() & OF_OTHERS.keys()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("'give --num-classes, or --fps=3'", ["--num-classes", "--fps"]),
        ("f'--{name} is given without --trace'", ["--trace"]),
        ("'a -- b --- c x--y'", []),
    ],
)
def test_options_are_found(source, found):
    assert [option for _, text in texts_of(source) for option in OPTION.findall(text)] == found
