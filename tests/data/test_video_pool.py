"""Which walk serves whom: files that stand open, shared by threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flame_metric.data.video_pool import KEPT, MOST_OPEN, WalkerPool


class File:
    """Something that can be gone."""


class Walker:
    """Remembers where it was."""

    def __init__(self) -> None:
        self.went: list[int] = []
        self.closed = False

    def close(self) -> None:
        self.closed = True


def ask(pool: WalkerPool, file: File, index: int, start: int = 0) -> Walker:
    with pool.walker(file, index, start, Walker) as (walker, wanted):
        assert index in wanted
        walker.went.append(index)
    assert index not in wanted
    return walker


def test_one_thread_has_one_walk() -> None:
    pool, file = WalkerPool(), File()
    walkers = {ask(pool, file, index, index // 10 * 10) for index in (0, 1, 2, 1, 50, 51, 49, 3, 2)}
    assert len(walkers) == 1
    assert len(pool.walks[file]) == 1


def test_another_thread_shares_it_where_it_is_near() -> None:
    pool, file = WalkerPool(), File()
    mine = ask(pool, file, 20, 10)
    with ThreadPoolExecutor(1) as other:
        for index, start, shares in (
            (40, 40, False),
            (21, 10, True),
            (21 - KEPT + 1, 10, True),  # it was passed, and is kept
            (21 - KEPT, 10, False),
        ):
            assert (other.submit(ask, pool, file, index, start).result() is mine) == shares, index
    assert len(pool.walks[file]) == 2  # the other thread's own went from 40 to 13
    assert ask(pool, file, 22, 10) is mine


def test_who_waits_is_served_whoever_comes_first() -> None:
    pool, file = WalkerPool(), File()
    with ThreadPoolExecutor(3) as others:
        with pool.walker(file, 5, 0, Walker) as (walker, wanted):
            waiting = [others.submit(ask, pool, file, index) for index in (7, 6, 4)]
            while len(wanted) < 4:  # they wait for this block to end
                pass
            assert not any(one.done() for one in waiting)
        assert {one.result() for one in waiting} == {walker}
    assert sorted(walker.went) == [4, 6, 7]
    assert not wanted


def test_behind_an_error_it_is_nowhere() -> None:
    pool, file = WalkerPool(), File()
    walker = ask(pool, file, 5)
    walker.went = None  # so that asking fails
    with pytest.raises(AttributeError):
        ask(pool, file, 6)
    (walk,) = pool.walks[file]
    assert (walk.goal, dict(walk.wanted)) == (-1, {})
    walker.went = []
    assert ask(pool, file, 6) is walker


def test_what_nobody_needed_for_long_is_closed() -> None:
    pool = WalkerPool()
    most = max(MOST_OPEN, threading.active_count())
    files = [File() for _ in range(most + 2)]
    walkers = [ask(pool, file, 0) for file in files[:most]]
    ask(pool, files[0], 1)
    walkers += [ask(pool, file, 0) for file in files[most:]]
    assert [walker.closed for walker in walkers] == [False, True, True, *[False] * (most - 1)]
    with pool.walker(files[0], 2, 0, Walker) as (used, _):
        for file in [File() for _ in range(2 * most)]:
            ask(pool, file, 0)
        assert not used.closed


def test_a_file_that_is_gone_has_no_walks() -> None:
    pool, file = WalkerPool(), File()
    ask(pool, file, 0)
    del file
    assert len(pool.walks) == 0
