"""Video files that stand open, shared by the threads of a process.

Decoding is a walk: the next frame costs little, one far away costs the way from a key frame. Threads that read ahead
ask for frames nearly in order, each for a few of them. With a walk of its own each would decode all; so they share
one, and who asks a little late finds the frame among those that were passed last. Who asks for another part of a file
gets a walk of its own.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["KEPT", "MOST_OPEN", "Walker", "WalkerPool", "goes_on_to"]

KEPT = 8
"""Frames that a walk keeps behind it for who asks late; those that somebody waits for are kept besides."""

MOST_OPEN = 4
"""Walks that stay open, or one for each thread: each has the memory of a decoder and of the frames that it keeps."""


def goes_on_to(index: int, start: int, place: int) -> bool:
    """Whether a walk goes on to a frame, because it is near or there is no later start on the way.

    Parameters
    ----------
    index : int
    start : int
        The frame from which on decoding leads there.
    place : int
        Where the walk is, -1 for nowhere.

    Examples
    --------
    >>> goes_on_to(30, 12, 11), goes_on_to(30, 12, 10), goes_on_to(12, 12, 10), goes_on_to(3, 0, 5)
    (True, False, True, False)
    """
    return 0 <= place < index and (start <= place + 1 or index - place <= KEPT)


class Walker(Protocol):
    """A file that stands open at some frame."""

    def close(self) -> None:
        """Give back the file."""


F = TypeVar("F")
W = TypeVar("W", bound=Walker)


@dataclass(eq=False)
class _Walk(Generic[W]):
    walker: W
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while it moves
    goal: int = -1  # where it will be when all who asked have been served; -1: nowhere
    wanted: Counter[int] = field(default_factory=Counter)  # frames that threads wait for
    thread: int = 0  # who asked last: it may take the walk elsewhere
    asked: int = 0  # when that was

    def serves(self, index: int, start: int) -> bool:
        """Whether it passes or has just passed this frame, without going back; from ``start`` on decoding can begin."""
        just_passed = self.goal >= 0 and self.goal - KEPT < index <= self.goal
        return just_passed or goes_on_to(index, start, self.goal)


class WalkerPool(Generic[F, W]):
    """The walks of a process, by file. A process that was forked begins without any: both would move on in one file."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin without open files."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._times = itertools.count()
        self.walks: WeakKeyDictionary[F, list[_Walk[W]]] = WeakKeyDictionary()

    @contextmanager
    def walker(self, file: F, index: int, start: int, opened: Callable[[], W]) -> Iterator[tuple[W, Container[int]]]:
        """Hand out the walker from which a frame is the least way, for the time of the block.

        With it comes which frames are waited for: those should be kept where they are passed.

        Parameters
        ----------
        file
            When it is gone, its walks are.
        index : int
            The frame that is asked for.
        start : int
            The frame from which on decoding leads to it.
        opened : callable
            Returns a new walker.
        """
        if self._process != os.getpid():
            self.forget()
        with self._lock:
            walk = self._chosen(file, index, start, opened)
            walk.wanted[index] += 1
            walk.thread, walk.asked = threading.get_ident(), next(self._times)
        try:
            with walk.lock:
                yield walk.walker, walk.wanted
        except BaseException:
            walk.goal = -1
            raise
        finally:
            with self._lock:
                walk.wanted -= Counter([index])  # in place, and without zeros

    def _chosen(self, file: F, index: int, start: int, opened: Callable[[], W]) -> _Walk[W]:
        walks = self.walks.setdefault(file, [])
        near = min(
            (walk for walk in walks if walk.serves(index, start)), key=lambda walk: abs(walk.goal - index), default=None
        )
        if near is not None:
            near.goal = max(near.goal, index)
            return near
        thread = threading.get_ident()
        free = (walk for walk in walks if not walk.wanted and (walk.thread == thread or walk.goal < 0))
        own = min(free, key=lambda walk: walk.asked, default=None)
        if own is None:
            self._make_room()
            own = _Walk(opened())
            walks.append(own)
        own.goal = index
        return own

    def _make_room(self) -> None:
        """Close what was not needed for the longest time."""
        there = [(walk, walks) for walks in self.walks.values() for walk in walks]
        idle = sorted((pair for pair in there if not pair[0].wanted), key=lambda pair: pair[0].asked)
        most = max(MOST_OPEN, threading.active_count())  # threads that read a file each do not close each other's
        for walk, walks in idle[: max(0, len(there) + 1 - most)]:
            walks.remove(walk)
            walk.walker.close()
