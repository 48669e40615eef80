"""What a person sees while a command runs: a progress bar (rich) or plain lines, and one-line messages.

Everything here goes to standard error, so that standard output holds only results. Where standard error is closed,
nothing is said, and the results are written all the same.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TextIO

from flame_metric.core.tables import printable
from flame_metric.errors import FlameError

try:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
except ImportError:  # an extra: plain lines then
    HAS_RICH = False
else:
    HAS_RICH = True

__all__ = ["Step", "let_go", "progress", "report", "say", "silent", "tell"]

_PATIENCE_S = 1.0  # what is done sooner shows no bar
_LINE_EVERY_S = 10.0
_DRAW_EVERY_S = 0.2


class Step(Protocol):
    """What :func:`progress` yields."""

    def __call__(self, done: int, total: int, note: str = "", /) -> None:
        """Show how many of all are done, and a note beside it, such as the loss of a training."""


def say(line: str) -> None:
    """Print one line to standard error, if it can be written."""
    if sys.stderr is None:  # it was closed before this process began; `print` would take standard output
        return
    try:
        print(printable(line), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        let_go(sys.stderr)


def let_go(stream: TextIO) -> None:
    """Send what is left in a stream, and all that follows, nowhere: it would be written again when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def report(kind: str, message: str) -> None:
    """Print one line, such as an error, to standard error."""
    say(f"flame-metric: {kind}: {message}")


def tell(error: FlameError, *, debug: bool) -> None:
    """Print one line on what went wrong, or where it did."""
    if debug:
        for line in "".join(traceback.format_exception(error)).splitlines():
            say(line)
    else:
        report("error", str(error))


@contextmanager
def progress(task: str, *, background: bool = True, clock: Callable[[], float] = time.monotonic) -> Iterator[Step]:
    """Show how far a task is, once it has taken more than a second.

    Parameters
    ----------
    task : str
        What is counted, such as "frames".
    background : bool
        Whether a thread may draw the bar; False where that would disturb what is timed between two calls.
    clock : callable
        Seconds.

    Yields
    ------
    Step
        To be called with (done, all), or (done, all, note).
    """
    if HAS_RICH and sys.stderr is not None and sys.stderr.isatty():
        with _bar(task, background, clock) as step:
            yield step
    else:
        yield _lines(task, clock)


def silent(*_: object, **__: object) -> AbstractContextManager[Step]:
    """Stand in for :func:`progress` where nothing is to be shown."""

    def step(done: int, total: int, note: str = "", /) -> None:
        pass

    return nullcontext(step)


@contextmanager
def _bar(task: str, background: bool, clock: Callable[[], float]) -> Iterator[Step]:
    note_column = TextColumn("{task.fields[note]}", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note_column)
    bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=background)
    row = bar.add_task(task, total=None, note="")
    start = clock()
    drawn = start

    def step(done: int, total: int, note: str = "", /) -> None:
        nonlocal drawn
        bar.update(row, completed=done, total=total, note=note)
        if bar.live.is_started and background:
            return
        now = clock()
        if not bar.live.is_started and now - start > _PATIENCE_S:
            bar.start()
            drawn = now
        elif bar.live.is_started and now - drawn > _DRAW_EVERY_S:
            bar.refresh()
            drawn = now

    try:
        yield step
    finally:
        bar.stop()


def _lines(task: str, clock: Callable[[], float]) -> Step:
    last = clock() + _PATIENCE_S - _LINE_EVERY_S

    def step(done: int, total: int, note: str = "", /) -> None:
        nonlocal last
        now = clock()
        if now - last > _LINE_EVERY_S:
            last = now
            beside = f", {note}" if note else ""
            say(f"{task}: {done:,} of {total:,} ({done / total:.0%}){beside}")

    return step
