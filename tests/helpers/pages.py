"""The pages of the documentation, as tests read and run them.

A page is one session, from its top to its end, in a folder of its own:

- a fenced block ``pycon`` holds examples of doctest, in which messages of errors may be wrapped; names go on from block
  to block;
- a block ``sh`` directly above a block ``text`` holds a command of this package, or a program of the shell with such
  commands, and the text is what it prints.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import flame_metric
from flame_metric.cli import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = (README, *sorted(DOCS.rglob("*.md")))

_FENCED = re.compile(r"^(?P<fence>`{3,})(?P<language>[^`\n]*)\n(?P<text>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"flame-metric |torchrun .* -m flame_metric ")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    line: int  # of the page on which its text begins, counted from 0
    adjoins: bool  # whether nothing but blank lines divides it from the block above


def blocks(page):
    """Return the fenced blocks of a page, in order."""
    whole = page.read_text(encoding="utf-8")
    found = []
    end = 0
    for match in _FENCED.finditer(whole):
        adjoins = bool(found) and not whole[end : match.start()].strip()
        found.append(Block(match["language"], match["text"], whole.count("\n", 0, match.start("text")), adjoins))
        end = match.end()
    return found


def texts(page, language):
    """Return the texts of the fenced blocks that are marked with a language."""
    return [block.text for block in blocks(page) if block.language == language]


def commands(page):
    """Yield the commands of this package that a page shows, each as the words behind its name."""
    for block in blocks(page):
        if block.language in ("", "sh"):
            yield from _words(block.text)


def _words(text):
    """Yield the words of each command in a text; it may go on after a backslash and end in a comment."""
    for line in text.replace("\\\n", " ").splitlines():
        if _COMMAND.match(line):
            yield shlex.split(_COMMAND.sub("", line), comments=True)


def session(page):
    """Return what a page shows as one doctest, with the line numbers of the page."""
    examples = []
    found = blocks(page)
    for block, below in zip(found, [*found[1:], None], strict=True):
        if block.language == "pycon":
            for example in doctest.DocTestParser().get_examples(block.text, str(page)):
                example.lineno += block.line
                if example.exc_msg is not None:
                    example.options[doctest.NORMALIZE_WHITESPACE] = True  # long messages are wrapped
                examples.append(example)
        elif block.language == "sh" and below is not None and below.language == "text" and below.adjoins:
            examples.append(doctest.Example(f"command({block.text!r})\n", below.text, lineno=block.line))
    return doctest.DocTest(examples, {"command": _run}, page.name, str(page), 0, None)


def run_session(page):
    """Run what a page shows, and return the report of what differs: empty text if nothing does."""
    report = []
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(session(page), out=report.append)
    return "".join(report)


def _run(command):
    """Run a command, or a program of the shell, and let what it prints be compared."""
    lines = command.replace("\\\n", " ").splitlines()
    if all(_COMMAND.match(line) for line in lines):
        (words,) = _words(command)
        assert main(words) == 0
        return
    package = Path(flame_metric.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(package), "PYTHON": sys.executable}
    program = f'set -e\nflame-metric() {{ "$PYTHON" -m flame_metric "$@"; }}\n{command}'
    done = subprocess.run(["bash", "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout, end="")
