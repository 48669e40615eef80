"""Ctrl-C in a long experiment.

It waits for the end of a step: half of a step is not a state from which a training could resume. And it brings what was
finished until then.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupts", "Stopped"]


class Stopped(KeyboardInterrupt):
    """Ctrl-C in the middle of an experiment, with the table of what was finished until then.

    Attributes
    ----------
    table : Table1 or TranslationTable
        It says that it is incomplete.
    """

    def __init__(self, table: Any) -> None:
        super().__init__(table.incomplete)
        self.table = table


class Interrupts:
    """Raises KeyboardInterrupt between the steps of a block, never inside one.

    A second Ctrl-C is not held back: who asks twice does not want to wait. Where the program has its own way with
    Ctrl-C, or in a thread, nothing is changed.

    Attributes
    ----------
    torn : bool
        Whether a step was left before its end after all.

    Examples
    --------
    >>> done = []
    >>> with Interrupts() as interrupts:
    ...     try:
    ...         with interrupts.step():
    ...             signal.raise_signal(signal.SIGINT)
    ...             done.append("the whole step")
    ...     except KeyboardInterrupt:
    ...         print(done)
    ['the whole step']
    """

    def __init__(self) -> None:
        self.torn = False
        self._inside = self._asked = self._ours = False

    def __enter__(self) -> Interrupts:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._ours = True
        return self

    def __exit__(self, *raised: object) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: Any) -> None:
        if not self._inside or self._asked:
            raise KeyboardInterrupt
        self._asked = True

    @contextmanager
    def step(self) -> Iterator[None]:
        """Hold Ctrl-C back until the end of this block."""
        self._inside = True
        try:
            yield
        except BaseException:
            self.torn = True
            raise
        finally:
            self._inside = False
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt
