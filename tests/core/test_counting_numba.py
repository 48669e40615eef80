"""Compiled loops find and count the same integers as NumPy does, and are missed by nobody where they cannot be had."""

import importlib.util
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import LabelError
from flame_metric.core import compiled as loading
from flame_metric.core import labels as labels_module
from flame_metric.core.counting import Counts, count_coded, count_pairs
from flame_metric.core.labels import CodedMap, LabelSpace, code_map

HAS_NUMBA = importlib.util.find_spec("numba") is not None
needs_numba = pytest.mark.skipif(not HAS_NUMBA, reason="compiled loops need numba")


def with_loops(compiled: bool, function, *arguments):
    """Call with compiled loops, or with NumPy alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "LOAD_AFTER", 0 if compiled else sys.maxsize)
        return function(*arguments)


def both(function, *arguments):
    return [with_loops(compiled, function, *arguments) for compiled in (True, False)]


def starts_of(labels: np.ndarray) -> list[int] | None:
    starts = labels_module._run_starts(labels)
    return None if starts is None else starts.tolist()


def map_of(runs: list[tuple[int, int]], pixels: int, dtype: str = "uint8") -> np.ndarray:
    """One row of as many pixels: runs of (label, length), again and again."""
    labels, lengths = np.array(runs).T
    return np.resize(np.repeat(labels, lengths), (1, pixels)).astype(dtype)


def runs_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and labels of runs, however short."""
    starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
    return starts, labels[starts].astype(np.uint16)


# ── runs ──


@needs_numba
@pytest.mark.parametrize("pixels", [*range(1, 36), 63, 64, 65, 66])
def test_a_single_start_is_found_at_every_pixel(pixels: int) -> None:
    for start in range(pixels):
        labels = (np.arange(pixels) >= start).astype(np.uint8)
        expected = None if pixels < 5 or (pixels < 10 and start) else sorted({0, start})
        assert both(starts_of, labels) == [expected, expected]


@needs_numba
@pytest.mark.parametrize("period", range(1, 20))
def test_many_starts_are_found_up_to_a_fifth_of_the_pixels(period: int) -> None:
    for pixels in (1, 7, 8, 9, 40, 199, 200, 201, 1000):
        labels = (np.arange(pixels) // period % 2).astype(np.uint8)
        starts = list(range(0, pixels, period))
        expected = starts if len(starts) <= pixels // 5 else None
        assert both(starts_of, labels) == [expected, expected]


@needs_numba
@pytest.mark.parametrize("first", [0, 1, 70, 71])
def test_many_starts_after_few_and_few_after_many(first: int) -> None:
    """Whether runs are short is said of the whole map; nothing is written beyond the room that there is for them."""
    rough = np.arange(100, dtype=np.uint8) % 2
    flat = np.zeros(400 - first, np.uint8)
    for labels in (np.concatenate([rough, flat]), np.concatenate([flat, rough])):
        starts = np.flatnonzero(np.diff(labels, prepend=9)).tolist()
        expected = starts if len(starts) <= labels.size // 5 else None
        assert both(starts_of, labels) == [expected, expected]


@needs_numba
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64"])
def test_starts_are_pixels_however_many_bytes_a_label_takes(dtype: str) -> None:
    labels = map_of([(1, 30), (0, 50), (2, 41)], 121, dtype)[0]
    assert both(starts_of, labels) == [[0, 30, 80], [0, 30, 80]]


LABELS = st.integers(0, 255)


@needs_numba
@given(st.lists(st.tuples(LABELS, st.integers(1, 40)), min_size=1, max_size=30), st.integers(1, 600))
def test_law_runs_are_those_of_numpy(runs: list[tuple[int, int]], pixels: int) -> None:
    labels = map_of(runs, pixels)[0]
    compiled, expected = both(starts_of, labels)
    assert compiled == expected


@needs_numba
@given(st.lists(st.tuples(LABELS, st.integers(1, 40)), min_size=1, max_size=9), st.integers(1, 200))
def test_law_no_index_leaves_its_array(runs: list[tuple[int, int]], pixels: int) -> None:
    """The loops as plain Python, where an index that does not exist is an error."""
    from flame_metric.core import counting_numba as compiled  # noqa: PLC0415  needs numba

    labels = map_of(runs, pixels)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_find_starts", compiled._find_starts.py_func)
        limit = pixels // 5
        starts = compiled.run_starts(labels, limit)
    assert (None if starts is None else starts.tolist()) == with_loops(False, starts_of, labels)
    arguments = (*runs_of(labels), *runs_of(np.roll(labels, 3)), pixels, 256)
    matrix = compiled.count_runs.py_func(*arguments)
    assert matrix.sum() == pixels
    assert np.array_equal(matrix, compiled.count_runs(*arguments))


# ── counts ──


@needs_numba
@given(
    st.sampled_from([2, 3, 19, 255, 256, 257, 4096]),
    st.sampled_from([None, 0, 1, 255, -1, 5000]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 90),
    st.integers(1, 2000),
)
def test_law_counts_are_those_of_numpy(classes: int, ignore: int | None, seed: int, longest: int, pixels: int) -> None:
    space, generator = LabelSpace(classes, ignore), np.random.default_rng(seed)
    values = np.append(np.arange(classes), [] if ignore is None else [ignore]).astype(np.int64)
    dtype = np.min_scalar_type(values.max() if values.min() >= 0 else -values.max() - 1)

    def draw() -> np.ndarray:
        labels = generator.choice(values, pixels // longest + 1)
        runs = np.repeat(labels, generator.integers(1, 2 * longest, labels.size))
        return np.resize(runs, (1, pixels)).astype(dtype)

    pred, target = draw(), draw()

    def count() -> tuple[CodedMap, CodedMap, Counts]:
        coded = code_map(pred, space), code_map(target, space, argument="target")
        return *coded, count_coded(*coded, space)

    compiled, expected = both(count)
    for one, other in zip(compiled[:2], expected[:2], strict=True):
        assert one.pixels().tolist() == other.pixels().tolist()
        assert (one.starts is None) == (other.starts is None)
    assert compiled[2] == expected[2] == count_pairs(pred, target, space)


@needs_numba
@pytest.mark.parametrize("longest", [1, 30])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_labels_are_refused_alike(dtype: str, longest: int) -> None:
    labels = np.tile(np.repeat([0, 7, 1, -3], longest), (5, 9)).astype(dtype)

    def refused() -> str:
        with pytest.raises(LabelError) as caught:
            code_map(labels, LabelSpace(3, 2), argument="target")
        return f"{caught.value}"

    compiled, expected = both(refused)
    assert compiled == expected
    assert f"({90 * longest:,} pixels)" in compiled


@needs_numba
@pytest.mark.parametrize(
    "change",
    [
        lambda labels: labels.view(np.bool_),
        lambda labels: labels.view(np.int8),
        lambda labels: labels[::-1],
        lambda labels: labels[:1, ::3],
        lambda labels: labels.T,
        np.asfortranarray,
        lambda labels: labels.reshape(-1)[1:].reshape(1, -1),
        lambda labels: np.frombuffer(labels.tobytes(), np.uint8).reshape(labels.shape),
    ],
    ids=["bool", "int8", "backwards", "every third", "transposed", "by columns", "one byte on", "read-only"],
)
def test_any_memory_layout(change) -> None:
    labels = change(np.repeat(np.random.default_rng(0).integers(0, 2, (20, 30), np.uint8), 30, axis=1))
    before = labels.copy()
    compiled, expected = both(code_map, labels, LabelSpace(2))
    assert compiled.pixels().tolist() == expected.pixels().tolist() == before.reshape(-1).tolist()
    assert (compiled.starts is None) == (expected.starts is None)
    assert np.array_equal(labels, before)


@needs_numba
def test_threads_count_alike() -> None:
    space = LabelSpace(5)
    maps = [np.repeat(np.random.default_rng(seed).integers(0, 5, (64, 40)), 25, axis=1) for seed in range(12)]

    def count(labels: np.ndarray) -> Counts:
        return count_coded(code_map(labels.astype(np.uint8), space), code_map(maps[0], space), space)

    def everything() -> list[Counts]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(count, maps * 8))

    compiled, expected = both(everything)
    assert compiled == expected


# ── with numba, without, and before it pays ──


@needs_numba
def test_loops_are_taken_after_some_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LOAD_AFTER", 2)
    monkeypatch.setattr(loading, "_STEPS", itertools.count())
    assert [loading.compiled_loops() is None for _ in range(4)] == [True, True, False, False]


COUNT = """
import sys, numpy as np
from flame_metric.core import compiled, counting, labels as doors
{before}
space = doors.LabelSpace(2)
labels = np.repeat(np.array([[0, 1, 0]], np.uint8), 50, axis=1)
def count():
    coded = [doors.code_map(maps, space) for maps in (labels, labels[:, ::-1].copy())]
    return counting.count_coded(*coded, space).per_class.tolist()
for _ in range({times}):
    assert count() == [[100, 50], [100, 50], [100, 50]]
print("flame_metric.core.counting_numba" in sys.modules)
"""


@needs_numba
@pytest.mark.parametrize(("times", "is_loaded"), [(1, "False"), (2000, "True")])
def test_numba_is_loaded_when_there_is_much_to_count(run_python, times: int, is_loaded: str) -> None:
    """Warnings are errors here, those that numba may raise too."""
    assert run_python(COUNT.format(before="", times=times)) == is_loaded


@pytest.mark.parametrize(
    "before",
    ["sys.modules['numba'] = None", "import os; os.environ['NUMBA_DISABLE_JIT'] = '1'"],
    ids=["no numba", "compiling is switched off"],
)
def test_counting_goes_on_without(run_python, before: str) -> None:
    assert run_python(COUNT.format(before=f"{before}; compiled.LOAD_AFTER = 0", times=3)) == "False"


def test_missing_numba_is_named(run_python) -> None:
    program = """
import sys; sys.modules["numba"] = None
try:
    import flame_metric.core.counting_numba
except ImportError as error:
    print(type(error).__name__, error)
"""
    assert run_python(program) == "MissingExtraError compiled loops need numba: pip install 'flame-metric[fast]'"


BROKEN = ["OSError('libllvmlite.so: cannot open')", "ImportError('numba needs NumPy 2.3 or less')", "KeyError('HOME')"]


@pytest.mark.parametrize("error", BROKEN)
def test_numba_that_cannot_be_loaded(run_python, tmp_path: Path, error: str) -> None:
    (tmp_path / "numba.py").write_text(f"raise {error}\n", encoding="utf-8")
    before = f"sys.path.insert(0, {str(tmp_path)!r})"
    assert run_python(COUNT.format(before=f"{before}; compiled.LOAD_AFTER = 0", times=3)) == "False"
    program = f"""
import sys; {before}
try:
    import flame_metric.core.counting_numba
except ImportError as error:
    print(type(error).__name__, error)
"""
    message = f"compiled loops need a numba that can be loaded; this one raised {error.partition('(')[0]}: "
    assert run_python(program).startswith(f"MissingExtraError {message}")


@needs_numba
@pytest.mark.parametrize("error", [RuntimeError("no locator available"), OSError(28, "no space left on device")])
def test_nowhere_to_keep_machine_code(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    from flame_metric.core import counting_numba as compiled  # noqa: PLC0415  needs numba

    compile_it = compiled.numba.njit

    def njit(signature, *, cache: bool = False, **options):
        def refuse(_):
            raise error

        return refuse if cache else compile_it(signature, **options)

    monkeypatch.setattr(compiled.numba, "njit", njit)
    integer = compiled.numba.int64
    assert compiled._compile(integer, integer)(lambda number: number + 1)(2) == 3
