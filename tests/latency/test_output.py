"""What a timed call may return: work that is done, or that is waited for while the clock runs."""

import asyncio
import threading
from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from flame_metric import ConfigError, measure_latency
from flame_metric.latency.output import finish_output
from flame_metric.latency.timers import HostTimer

LABELS = np.zeros((2, 3), np.uint8)
FRAMES = np.random.default_rng(0).random((4, 2, 3))


class Lazy:
    """An array that is computed when it is read."""

    dtype, shape = LABELS.dtype, LABELS.shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise AssertionError("refused without a look")


@dataclass
class Output:
    logits: Any
    loss: Any = None


class ModelOutput(OrderedDict):
    """As transformers has it: a mapping that is a dataclass, and iterates over its keys."""


Point = namedtuple("Point", "labels text")


async def coroutine(_: object) -> np.ndarray:
    await asyncio.sleep(0)
    return LABELS


async def async_generator(_: object) -> Any:
    yield LABELS


def generator(_: object) -> Any:
    yield LABELS


def thread(_: object) -> threading.Thread:
    return threading.Thread(target=lambda: None)


def asyncio_future(_: object) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return asyncio.Future(loop=loop)
    finally:
        loop.close()


def future(_: object) -> Any:
    with ThreadPoolExecutor(1) as workers:
        return workers.submit(lambda: LABELS)


UNFINISHED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "coroutine": (coroutine, "a coroutine, which is not awaited yet, .* await it"),
    "async generator": (async_generator, "a async_generator, which is not awaited yet"),
    "generator": (generator, "a generator, which has not computed its items yet, .* make a list of it inside `run`"),
    "map": (lambda frame: map(abs, frame), "a map, which has not computed its items yet"),
    "zip": (lambda frame: zip(frame, frame, strict=True), "a zip, which has not computed its items yet"),
    "iterator": (iter, "a iterator, which has not computed"),
    "future": (future, "a Future, which may not be done yet, .* wait for its result"),
    "asyncio future": (asyncio_future, "a Future, which is not awaited yet"),
    "thread": (thread, "a Thread, which may still run, .* join it"),
    "callable": (lambda frame: lambda: frame, "a function, which has computed nothing yet, .* call it"),
    "partial": (lambda frame: partial(np.argmax, frame), "a partial, which has computed nothing yet"),
    "lazy array": (lambda _: Lazy(), "a Lazy, which may compute its array only when that is read"),
    "nothing": (lambda _: None, "None, which is not an array"),
    "empty": (lambda _: [], "a list, which holds no array"),
    "only None": (lambda _: {"out": None}, "a dict, which holds no array"),
    "text": (lambda _: "done", "a str, which holds no array"),
    "objects": (lambda _: np.array([Future()]), "a ndarray, which holds Python objects"),
    "set": (lambda _: {1, 2}, "a set, which may not be done yet"),
    "anything": (lambda _: object(), "a object, which may not be done yet"),
}
BESIDE = ("nothing", "empty", "only None", "text")  # what may lie beside an array
HOLDERS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda output: output,
    "tuple": lambda output: (LABELS, output),
    "dict": lambda output: {"out": LABELS, "later": [output]},
    "dataclass": lambda output: Output(LABELS, output),
    "mapping": lambda output: UserDict(out=output),
}


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize(
    ("kind", "holder"),
    [(kind, holder) for kind in UNFINISHED for holder in HOLDERS if holder == "itself" or kind not in BESIDE],
)
def test_what_returns_before_its_work_is_done_is_refused_at_the_first_call(kind: str, holder: str) -> None:
    run, message = UNFINISHED[kind]
    calls = []

    def counted(frame: np.ndarray) -> Any:
        calls.append(frame)
        return HOLDERS[holder](run(frame))

    with pytest.raises(ConfigError, match=f"`run` returns {message}"):
        measure_latency(counted, FRAMES, timer=HostTimer(clock=lambda: 0), samples=1)
    assert len(calls) == 1


DONE = {
    "array": LABELS,
    "scalar of NumPy": np.float32(1),
    "number": 1.5,
    "list of numbers": [[0, 1], [1, 1]],
    "tuple": (LABELS, LABELS),
    "named tuple": Point(LABELS, "text"),
    "dict": {"out": LABELS, "aux": None, "name": "net"},
    "model output": ModelOutput(logits=LABELS),
    "dataclass": Output(LABELS),
    "nested": [{"a": (LABELS, [LABELS])}, None],
    "record": np.zeros(2, [("x", "i4")]),
    "memory map": np.ndarray.__new__(np.recarray, (2,), dtype=[("x", "i4")]),
}


@pytest.mark.parametrize("kind", DONE)
def test_what_is_done_is_timed(kind: str) -> None:
    trace = measure_latency(lambda _: DONE[kind], FRAMES, timer=HostTimer(clock=iter(range(10**6)).__next__), samples=3)
    assert trace.samples_ns == (1, 1, 1)


class Clock:
    """Time that passes only where work is done."""

    now = 0

    def work(self, milliseconds: int) -> None:
        self.now += milliseconds * 10**6


class Asynchronous:
    """An array of a library that dispatches: its values are waited for."""

    __array_namespace__ = __array__ = None

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def block_until_ready(self) -> None:
        self.clock.work(30)


class Foreign:
    """An array of another library, which hands over its values when they are asked for."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def __dlpack__(self) -> None:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        self.clock.work(30)
        return LABELS


class Later(dict):
    """A mapping that computes its values when they are asked for."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(out=LABELS)
        self.clock = clock

    def values(self) -> Any:
        self.clock.work(30)
        return super().values()


@pytest.mark.parametrize("kind", [Asynchronous, Foreign, Later])
def test_arrays_of_other_libraries_are_waited_for_inside_the_timed_part(kind: type) -> None:
    clock = Clock()
    timer = HostTimer(clock=lambda: clock.now)
    trace = measure_latency(lambda _: [kind(clock)], FRAMES, timer=timer, samples=3)
    assert trace.samples_ns == (30 * 10**6,) * 3
    assert set(trace.warmup_ns) == {30 * 10**6}


class OnDevice:
    """An array that is not in the memory of the host, as those of CuPy."""

    def __dlpack__(self) -> None:
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("implicit conversion is not allowed")


class WithoutValues:
    """What hands over its memory in a way that NumPy does not know."""

    def __dlpack__(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (OnDevice(), r"a OnDevice, which cannot be read in the host's memory \(TypeError\), .* copy it there"),
        (WithoutValues(), "a WithoutValues, which may not be done yet"),
    ],
)
def test_arrays_that_no_timer_waits_for(output: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"`run` returns {message}"):
        finish_output({"out": output})


def test_a_picture() -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    finish_output(image.new("L", (3, 2)))


def test_a_network_that_is_asynchronous_only_later_is_refused_too() -> None:
    outputs = iter([LABELS] * 7 + [Future()])
    with pytest.raises(ConfigError, match="`run` returns a Future"):
        measure_latency(lambda _: next(outputs), FRAMES, timer=HostTimer(clock=lambda: 0))


def test_a_list_that_holds_itself() -> None:
    loop: list[Any] = [LABELS]
    loop.append(loop)
    with pytest.raises(ConfigError, match="a list is nested more deeply than 32, or holds itself"):
        finish_output(loop)


def test_tensors() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    finish_output(torch.zeros(2))
    finish_output({"out": torch.nn.Parameter(torch.zeros(2)), "aux": torch.zeros(2).to_sparse()})
    for output in (torch.zeros(2, device="meta"), [torch.zeros(2), torch.zeros(2, device="meta")]):
        with pytest.raises(
            ConfigError, match=r"returns a tensor on meta, for which the timer does not wait, .*CudaTimer"
        ):
            finish_output(output)
    finish_output(torch.zeros(2, device="meta"), "meta")
    with pytest.raises(ConfigError, match="`run` returns a Future, which may not be done yet"):
        finish_output([torch.futures.Future()])
    read = []

    class Waiting(torch.Tensor):
        """A tensor that waits for its values, as those of collectives do."""

        @classmethod
        def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            read.append(getattr(function, "__name__", ""))
            return super().__torch_function__(function, types, args, kwargs or {})

    finish_output(torch.zeros(2).as_subclass(Waiting))
    assert "tolist" in read
