"""Maps that are coded once are counted as the maps themselves are."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from flame_metric import LabelError, ShapeError
from flame_metric.core.counting import count_coded, count_pairs
from flame_metric.core.labels import LabelSpace, code_map

pytestmark = pytest.mark.usefixtures("loops")

SPACE = LabelSpace(3, 255)
LABELS = st.sampled_from([0, 1, 2, 255])


def enlarge(labels: np.ndarray, flat: bool) -> np.ndarray:
    """Make a map nine times as high and wide: of long runs, or of the map again and again."""
    return np.kron(labels, np.ones((9, 9), labels.dtype)) if flat else np.tile(labels, (9, 9))


@given(st.data(), st.tuples(st.integers(1, 9), st.integers(1, 9)), st.booleans(), st.booleans())
def test_law_counts_are_equal(data: st.DataObject, shape: tuple[int, int], flat_pred: bool, flat_target: bool) -> None:
    """Run by run or pixel by pixel, whichever the two maps are coded as."""
    pred, target = (data.draw(npst.arrays(np.uint8, shape, elements=LABELS)) for _ in range(2))
    pred, target = enlarge(pred, flat_pred), enlarge(target, flat_target)
    coded = [code_map(pred, SPACE), code_map(target.astype(np.int32), SPACE, argument="target")]
    assert count_coded(*coded, SPACE) == count_pairs(pred, target, SPACE)


@pytest.mark.parametrize("size", [(1, 1), (1, 2**18), (2, 2**18), (3, 2**18 + 1), (512, 513)])
def test_runs_go_on_across_chunks(size: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    runs = generator.integers(1, 5000, 400)
    labels = np.repeat(generator.integers(0, 3, 400), runs)
    pixels = size[0] * size[1]
    pred, target = (np.resize(np.roll(labels, shift), pixels).reshape(size) for shift in (0, 777))
    coded = [code_map(pred, SPACE), code_map(target, SPACE)]
    assert coded[0].pixels().tolist() == pred.reshape(-1).tolist()
    assert count_coded(*coded, SPACE) == count_pairs(pred, target, SPACE)


@pytest.mark.parametrize(("classes", "ignore"), [(2, None), (255, 255), (256, None), (256, 0), (300, 299), (300, -1)])
@pytest.mark.parametrize("repeat", [1, 20])
def test_many_classes(classes: int, ignore: int | None, repeat: int) -> None:
    space = LabelSpace(classes, ignore)
    pred, target = np.random.default_rng(1).integers(0, classes, (2, 40, 30)).repeat(repeat, axis=2)
    assert count_coded(code_map(pred, space), code_map(target, space), space) == count_pairs(pred, target, space)


def test_scores() -> None:
    scores = np.random.default_rng(2).random((3, 4, 5))
    assert code_map(scores, SPACE).pixels().tolist() == scores.argmax(axis=0).reshape(-1).tolist()


@pytest.mark.parametrize("repeat", [1, 30])
def test_labels_are_checked(repeat: int) -> None:
    labels = np.array([[0, 7, 1, 7]]).repeat(repeat, axis=1)
    with pytest.raises(LabelError, match=rf"`target` holds label\(s\) \[7\] \({2 * repeat} pixels\)"):
        code_map(labels, SPACE, argument="target")


def test_shapes_are_checked() -> None:
    with pytest.raises(ShapeError, match=r"`pred` has shape \(2, 2, 2\), expected one label map \(H, W\)"):
        code_map(np.zeros((2, 2, 2), int), SPACE)
    with pytest.raises(ShapeError, match="transposed"):
        count_coded(code_map(np.zeros((2, 3), int), SPACE), code_map(np.zeros((3, 2), int), SPACE), SPACE)
    with pytest.raises(LabelError, match="`target` holds float64"):
        code_map(np.zeros((3, 2, 2)), SPACE, argument="target")


@pytest.mark.parametrize(
    ("maps", "argument", "expected"),
    [
        (np.zeros((1, 3, 4, 5), np.float32), "pred", r"\(H, W\) or its scores \(C, H, W\)"),
        (np.zeros((1, 4, 5), int), "pred", r"\(H, W\) or its scores \(C, H, W\)"),
        (np.zeros((1, 4, 5), np.uint8), "target", r"\(H, W\)"),
    ],
)
def test_a_batch_of_one_is_no_map(maps: np.ndarray, argument: str, expected: str) -> None:
    message = rf"^`{argument}` .*, expected one label map {expected}; take it out of its batch with {argument}\[0\]$"
    with pytest.raises(ShapeError, match=message):
        code_map(maps, SPACE, argument=argument)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (6,), (), (2, 3, 4), (2, 1, 3, 4)])
@pytest.mark.parametrize("argument", ["pred", "target"])
def test_what_is_no_map(shape: tuple[int, ...], argument: str) -> None:
    wanted = "at least one pixel" if len(shape) == 2 else "one label map (H, W)"
    message = f"`{argument}` has shape {shape}, expected {wanted}"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        code_map(np.zeros(shape, int), SPACE, argument=argument)


@pytest.mark.parametrize("argument", ["pred", "target"])
def test_faults_name_the_argument(argument: str) -> None:
    for maps in (np.array([[9]]), np.array([["road"]]), np.ma.masked_equal([[0]], 0)):
        with pytest.raises(LabelError) as raised:
            code_map(maps, SPACE, argument=argument)
        assert raised.value.argument == argument


def test_a_coded_map_knows_its_shape_and_runs() -> None:
    labels = np.repeat(np.array([[0, 2, 7], [7, 1, 1]]), 20, axis=1)
    coded = code_map(labels, LabelSpace(3, 7))
    assert (coded.shape, coded.size) == ((2, 60), 120)
    assert coded.starts.tolist() == [0, 20, 40, 80]
    assert coded.labels.tolist() == [0, 2, 3, 1]
    assert coded.labels.dtype == np.uint16
    assert coded.rises.tolist() == [0, 2, 1, -2]
    assert coded.pixels().tolist() == np.where(labels == 7, 3, labels).reshape(-1).tolist()
