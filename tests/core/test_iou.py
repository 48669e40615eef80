"""Eq. 1-2: divisions of counts, worked by hand and against the oracle."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric import class_counts, iou_per_class, mean_iou
from flame_metric.core.iou import average_iou, dice_per_class
from flame_metric.errors import ConfigError, LabelError, ShapeError


def test_eq_1_by_hand():
    # unions: 3 + 4 - 2 = 5, 2 + 2 - 0 = 4, 1 + 1 - 1 = 1
    assert iou_per_class([[2, 0, 1], [3, 2, 1], [4, 2, 1]]).tolist() == [0.4, 0.0, 1.0]


def test_eq_2_by_hand():
    assert float(mean_iou([[2, 0, 1], [3, 2, 1], [4, 2, 1]])) == pytest.approx((0.4 + 0 + 1) / 3, abs=1e-15)


def test_dice_by_hand():
    assert dice_per_class([[2, 0, 1], [3, 2, 1], [5, 2, 1]]).tolist() == [0.5, 0.0, 1.0]


def test_r5_absent_class_is_nan_and_left_out_of_the_mean():
    counts = [[2, 0, 1], [2, 0, 2], [2, 0, 1]]
    iou = iou_per_class(counts)
    assert iou[[0, 2]].tolist() == [1.0, 0.5]
    assert math.isnan(iou[1])
    assert math.isnan(dice_per_class(counts)[1])
    assert float(mean_iou(counts)) == 0.75  # neither (1 + 0 + .5) / 3 nor (1 + 1 + .5) / 3


def test_r5_predicted_or_labelled_only_is_present_with_zero():
    assert iou_per_class([[0, 0], [3, 0], [0, 3]]).tolist() == [0.0, 0.0]


def test_r5_nothing_at_all_is_nan():
    assert math.isnan(mean_iou(np.zeros((3, 4), int)))


def test_r9_sums_first_differ_from_the_mean_of_per_image_means():
    # image 1: 1 pixel, all right; image 2: 9 pixels of class 0, of which 3 are right, the others taken for class 1
    first = class_counts([[0]], [[0]], num_classes=2)
    second = class_counts([[0, 0, 0, 1, 1, 1, 1, 1, 1]], [[0] * 9], num_classes=2)
    assert first.tolist() == [[1, 0], [1, 0], [1, 0]]
    assert second.tolist() == [[3, 0], [3, 6], [9, 0]]
    # Eq. 2: class 0: 4 / 10, class 1: 0 / 6
    assert float(mean_iou(first + second)) == pytest.approx(0.2, abs=1e-15)
    per_image = mean_iou([first, second])  # 1, and (3/9 + 0) / 2
    assert per_image.tolist() == pytest.approx([1, 1 / 6], abs=1e-15)
    assert float(per_image.mean()) == pytest.approx(7 / 12, abs=1e-15)


def test_leading_axes_are_kept_and_nothing_is_summed():
    counts = np.arange(1, 31).reshape(5, 1, 2, 3, 1) // np.array([3, 1, 1])[:, None]
    counts = np.broadcast_to(counts, (5, 1, 2, 3, 1))
    iou = iou_per_class(counts)
    assert iou.shape == (5, 1, 2, 1)
    assert mean_iou(counts).shape == (5, 1, 2)
    for index in np.ndindex(5, 1, 2):
        assert iou[index].tolist() == pytest.approx(oracle.iou(counts[index]), abs=1e-15)
        assert float(mean_iou(counts)[index]) == pytest.approx(oracle.mean_iou(counts[index]), abs=1e-15)


def test_no_leading_entries():
    assert iou_per_class(np.zeros((0, 3, 4), int)).shape == (0, 4)
    assert mean_iou(np.zeros((0, 3, 4), int)).shape == (0,)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int32", "uint64", ">i4"])
def test_integer_dtypes(dtype):
    # 200 + 200 - 10 overflows a byte
    assert iou_per_class(np.array([[10], [200], [200]], dtype)).tolist() == [1 / 39]


def test_counts_are_unchanged():
    counts = np.array([[1, 0], [2, 1], [1, 1]])
    before = counts.copy()
    mean_iou(counts)
    assert np.array_equal(counts, before)


@pytest.mark.parametrize("function", [iou_per_class, mean_iou, dice_per_class])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4), (4, 3), (3, 2, 4)])
def test_wrong_shape(function, shape):
    with pytest.raises(ShapeError, match=r"`counts` has shape .*expected \(\.\.\., 3, C\)"):
        function(np.zeros(shape, int))


@pytest.mark.parametrize("function", [iou_per_class, mean_iou, dice_per_class])
@pytest.mark.parametrize("dtype", [float, bool, complex, object, str])
def test_counts_that_are_no_integers(function, dtype):
    with pytest.raises(LabelError, match=r"`counts` holds .*expected integer pixel counts"):
        function(np.zeros((3, 2), dtype))


@pytest.mark.parametrize("function", [iou_per_class, mean_iou, dice_per_class])
def test_counts_below_zero(function):
    with pytest.raises(LabelError, match=r"^`counts` holds -2, expected pixel counts >= 0$"):
        function([[1, 0], [-2, 1], [1, -1]])


COUNTS = st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=1, max_size=6).map(
    lambda rows: np.array([[i, i + p, i + t] for i, p, t in rows]).T
)


@given(COUNTS)
def test_law_equals_the_oracle(counts):
    assert iou_per_class(counts).tolist() == pytest.approx(oracle.iou(counts), nan_ok=True, abs=1e-15)
    assert float(mean_iou(counts)) == pytest.approx(oracle.mean_iou(counts), nan_ok=True, abs=1e-15)


@given(COUNTS, st.integers(1, 10**6))
def test_law_scale_does_not_matter(counts, scale):
    assert iou_per_class(counts * scale).tolist() == pytest.approx(iou_per_class(counts).tolist(), nan_ok=True)


@given(COUNTS, st.randoms(use_true_random=False))
def test_law_order_of_the_classes_does_not_matter(counts, random):
    order = list(range(counts.shape[1]))
    random.shuffle(order)
    assert float(mean_iou(counts[:, order])) == pytest.approx(float(mean_iou(counts)), nan_ok=True, abs=1e-12)


@given(COUNTS)
def test_law_dice_follows_from_iou(counts):
    iou = iou_per_class(counts)
    assert dice_per_class(counts).tolist() == pytest.approx((2 * iou / (1 + iou)).tolist(), nan_ok=True, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[5, 0], [4, 0], [6, 0]], "an intersection of 5 pixels, with 4 predicted and 6 labelled"),
        ([[5, 0], [6, 0], [4, 0]], "an intersection of 5 pixels, with 6 predicted and 4 labelled"),
        ([[0, 1], [0, 0], [0, 0]], "an intersection of 1 pixels, with 0 predicted and 0 labelled"),
        ([[[1, 1], [1, 1], [1, 1]], [[1, 1], [1, 1], [1, 0]]], "with 1 predicted and 0 labelled"),
        (np.array([[0], [2**63], [0]], np.uint64), "holds 9223372036854775808, expected pixel counts of at most"),
    ],
)
def test_counts_that_cannot_be_are_refused_at_the_door(counts, message):
    for function in (iou_per_class, mean_iou, dice_per_class):
        with pytest.raises(LabelError, match=message):
            function(counts)


def test_the_largest_counts_do_not_overflow():
    counts = [[2**62, 0], [2**62, 2**62], [2**62, 0]]
    assert iou_per_class(counts).tolist() == [1, 0]
    assert dice_per_class(counts).tolist() == [1, 0]
    assert iou_per_class([[0], [2**62], [2**62]]).tolist() == [0]


def test_three_means_of_many_counts_at_once():
    counts = np.array([[[2, 0, 0], [2, 1, 0], [4, 0, 0]], [[0, 0, 0]] * 3])
    means = {name: average_iou(counts, name) for name in ("present", "labelled", "all")}
    assert {name: float(found[0]) for name, found in means.items()} == pytest.approx(
        {"present": 0.25, "labelled": 0.5, "all": 1 / 6}
    )
    assert all(np.isnan(found[1]) for found in means.values())
    with pytest.raises(ConfigError, match="`mean_over` is 'everything', expected one of present, labelled, all"):
        average_iou(counts, "everything")
