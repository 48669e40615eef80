"""Reading ahead: in order, bounded by bytes, and what fails comes in its place."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import PurePosixPath
from queue import Queue

import pytest

from flame_metric.data.stored import StoredFile, read_ahead
from flame_metric.errors import DatasetError


class Store:
    """Counts what was fetched and not taken yet."""

    name = "store"

    def __init__(self, gate=None, readers=4, told=None):
        self.readers, self.told = readers, told
        self.begun, self.gate, self.stopped = [], gate, []
        self.entered, self.left = threading.Event(), threading.Event()

    def __str__(self):
        return "store"

    def measure(self, file, stop):
        return replace(file, size=self.told)

    def read(self, file, stop):
        self.begun.append(file.key)
        self.entered.set()
        if self.gate is not None:
            self.gate.wait(60)
        self.stopped.append(stop.is_set())
        self.left.set()
        if file.key == "bad":
            raise DatasetError("bad: is damaged", path="bad")
        return bytes(file.size or 5)

    def files_of(self, sizes):
        return [
            StoredFile(self, PurePosixPath(f"{number}.npy"), str(number), size) for number, size in enumerate(sizes)
        ]


def fetched(items, ahead_bytes=256 * 2**20):
    """Yield items with what their files hold: each is decoded at once."""

    def use(_, contents):
        future = Future()
        future.set_result(contents)
        return future

    with closing(read_ahead(items, use, ahead_bytes=ahead_bytes)) as begun:
        for item, future in begun:
            yield item, future.result()


def test_everything_comes_in_order():
    files = Store().files_of([number % 7 for number in range(300)])
    found = list(fetched(((file.key, [file]) for file in files), ahead_bytes=20))
    assert [item for item, _ in found] == [str(number) for number in range(300)]
    assert [len(contents[0]) for _, contents in found] == [number % 7 or 5 for number in range(300)]


def test_items_without_files_and_with_several():
    one, other = Store().files_of([1, 2])
    found = list(fetched([("none", []), ("both", [one, other])]))
    assert [(item, [len(content) for content in contents]) for item, contents in found] == [
        ("none", []),
        ("both", [1, 2]),
    ]


def test_an_error_comes_in_its_place():
    store = Store()
    files = [*store.files_of([1, 1]), StoredFile(store, PurePosixPath("bad.npy"), "bad", 1)]
    found = [contents[0] for _, contents in fetched((None, [file]) for file in files)]
    assert found[:2] == [b"\0", b"\0"]
    assert isinstance(found[2], DatasetError)


@pytest.mark.parametrize(("sizes", "most"), [([10] * 50, 3), ([30] * 50, 1), ([1000] * 50, 1), ([1] * 200, 30)])
def test_no_more_is_fetched_than_may_wait(sizes, most):
    """Of 30 bytes that may wait: so many files of this size; a larger one comes alone."""
    store = Store()
    taken = 0
    for _ in fetched(((None, [file]) for file in store.files_of(sizes)), ahead_bytes=30):
        assert len(store.begun) - taken <= most + 1
        taken += 1
    assert taken == len(sizes)


@pytest.mark.parametrize(("told", "most"), [(10, 3), (30, 1), (None, 1)])
def test_sizes_are_asked_for_before_anything_is_fetched(told, most):
    """Where nobody tells, a file is fetched alone."""
    store, taken = Store(told=told), 0
    for _, (content,) in fetched(((None, [file]) for file in store.files_of([None] * 50)), ahead_bytes=30):
        assert len(content) == (told or 5)
        assert len(store.begun) - taken <= most + 1
        taken += 1
    assert taken == 50


@pytest.mark.parametrize(("told", "size", "most"), [(None, 5, 1), (10, 10, 3), (30, 30, 1), (100, 100, 1)])
def test_what_waits_to_be_decoded_counts_as_fetched(told, size, most):
    """Whoever takes items faster than they are decoded gets no more memory for it."""
    store, entered, decoded, most_held = Store(told=told), Queue(), threading.Semaphore(0), 0

    def decode(contents):
        entered.put(None)
        decoded.acquire()
        return len(contents[0])

    with ThreadPoolExecutor(1) as pool:

        def use(_, contents):
            return pool.submit(decode, contents)

        begun = read_ahead(((file.key, [file]) for file in store.files_of([told] * 20)), use, ahead_bytes=30)
        futures = []

        def take():
            futures.extend(future for _, future in begun)

        thread = threading.Thread(target=take)
        thread.start()
        for done in range(20):
            entered.get(timeout=60)
            most_held = max(most_held, len(store.begun) - done)
            decoded.release()
        thread.join(60)
        assert not thread.is_alive()
        assert [future.result() for future in futures] == [size] * 20
    assert most_held <= most


def test_one_reader_reads_in_order():
    """As an archive does, which may be read forwards alone."""
    store = Store(readers=1)
    files = store.files_of([1] * 200)
    assert len(list(fetched((None, [file]) for file in files))) == 200
    assert store.begun == [file.key for file in files]


def test_whoever_stops_early_waits_for_nothing_and_tells_the_threads():
    gate = threading.Event()
    store, slow = Store(), Store(gate)
    first, last = store.files_of([1, 1])
    (stalled,) = slow.files_of([1])
    reading = fetched((("first", [first]), ("stalled", [stalled]), ("last", [last])), ahead_bytes=2)
    assert next(reading)[0] == "first"
    assert slow.entered.wait(60)
    reading.close()
    assert not slow.left.is_set()
    gate.set()
    assert slow.left.wait(60)
    assert slow.stopped == [True]
