"""Faulty arrays: every one raises, and the message says what was found, what was expected and what to do."""

import re

import numpy as np
import pytest

from flame_metric import class_counts, confusion_matrix
from flame_metric.core.counting import count_missing
from flame_metric.core.labels import LabelSpace, num_maps
from flame_metric.errors import FlameError, LabelError, ShapeError


def zeros(*shape, dtype=np.int64):
    return np.zeros(shape, dtype)


def count(pred, target, num_classes=19, ignore_index=None):
    return confusion_matrix(pred, target, num_classes=num_classes, ignore_index=ignore_index)


# ── labels ──


def test_message_of_a_forgotten_ignore_index():
    target = zeros(600, 600)
    target.reshape(-1)[:111_674] = 200
    message = "`target` holds label(s) [200] (111,674 pixels), expected 0..18; pass ignore_index=200 if they are void"
    with pytest.raises(LabelError, match=re.escape(message)):
        count(zeros(600, 600), target)


def test_message_of_a_bad_prediction_has_no_advice_for_void():
    with pytest.raises(
        LabelError, match=r"`pred` holds label\(s\) \[19\] \(1 pixels\), expected 0\.\.18; check"
    ) as raised:
        count([[19]], [[0]])
    assert "ignore_index" not in str(raised.value)


def test_message_names_the_void_label_that_was_given():
    with pytest.raises(LabelError, match=r"expected 0\.\.18 or ignore_index 255"):
        count([[0]], [[19]], ignore_index=255)


def test_message_counts_all_bad_labels_together():
    with pytest.raises(LabelError, match=r"`target` holds label\(s\) \[-1, 19, 77\] \(4 pixels\)"):
        count(zeros(1, 5), [[77, 19, -1, 77, 0]])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (10, "[19, 20, 21, 22, 23, 24, 25, 26, 27, 28] (10 pixels)"),
        (11, "[19, 20, 21, 22, 23, 24, 25, 26, 27, 28, ...] (11 pixels)"),
        (30, "[19, 20, 21, 22, 23, 24, 25, 26, 27, 28, ...] (30 pixels)"),
        (1200, "[19, 20, 21, 22, 23, 24, 25, 26, 27, 28, ...] (1,200 pixels)"),
    ],
)
def test_message_shortens_a_long_list(values: int, shown: str) -> None:
    with pytest.raises(LabelError, match=re.escape(f"`target` holds label(s) {shown}, expected 0..18; ")):
        count(zeros(1, values), np.arange(19, 19 + values)[None])


def test_r12_message_of_instance_ids():
    ids = np.array([[26000, 26001, 7]], np.uint16)
    with pytest.raises(LabelError, match=r"`target` holds label\(s\) \[26000, 26001\] \(2 pixels\).*id // 1000"):
        count(zeros(1, 3), ids)
    with pytest.raises(LabelError, match=r"`pred` holds label\(s\) \[26000, 26001\] \(2 pixels\).*id // 1000"):
        count(ids, zeros(1, 3))


@pytest.mark.parametrize(
    ("target", "ignore_index", "remedy"),
    [
        ([999, 19], None, "check `num_classes`, or map the labels to classes first"),
        ([1000, 19], None, "instance ids? use id // 1000"),
        ([2**31 - 1, 19], None, "instance ids? use id // 1000"),
        ([2**31, 19], None, "check `num_classes`, or map the labels to classes first"),
        ([2**31, 2**31], None, "pass ignore_index=2147483648 if they are void"),
        ([200, 200], None, "pass ignore_index=200 if they are void"),
        ([200, 200], 255, "check `num_classes`, or map the labels to classes first"),
        ([200, 201], None, "check `num_classes`, or map the labels to classes first"),
    ],
)
def test_what_to_do_about_labels_that_are_no_classes(target: list[int], ignore_index: int | None, remedy: str) -> None:
    with pytest.raises(LabelError, match=f"; {re.escape(remedy)}$") as raised:
        count([[0, 0]], [target], ignore_index=ignore_index)
    assert raised.value.argument == "target"


def test_bad_label_beside_a_good_target() -> None:
    with pytest.raises(LabelError, match=r"^`pred` holds label\(s\) \[200\]") as raised:
        count([[0, 200]], [[0, 0]])
    assert raised.value.argument == "pred"


def test_label_error_is_a_value_error_too():
    with pytest.raises(ValueError, match="holds label"):
        count([[19]], [[0]])


# ── arrays that hold no labels ──


FLOATS, ARRAY = "convert labels with .astype(int)", "give an array of integers"


@pytest.mark.parametrize("argument", ["pred", "target"])
@pytest.mark.parametrize(
    ("values", "found", "remedy"),
    [
        (np.zeros((2, 3)), "float64 values of shape (2, 3)", FLOATS),
        (np.zeros((2, 3), np.float16), "float16 values of shape (2, 3)", FLOATS),
        ([[0.0, 1.0, 2.0]] * 2, "float64 values of shape (2, 3)", FLOATS),
        (np.zeros((2, 3), bool), "bool values of shape (2, 3)", "bool stands for two classes, not 19"),
        (np.zeros((2, 3), complex), "complex128 values of shape (2, 3)", ARRAY),
        (np.full((2, 3), "road"), "<U4 values of shape (2, 3)", ARRAY),
        (np.full((2, 3), b"1"), "|S1 values of shape (2, 3)", ARRAY),
        (np.zeros((2, 3), "datetime64[s]"), "datetime64[s] values of shape (2, 3)", ARRAY),
        (np.zeros((2, 3), "timedelta64[s]"), "timedelta64[s] values of shape (2, 3)", ARRAY),
        (np.zeros((2, 3), object), "no array", ARRAY),
        (np.zeros((2, 3), [("class", "u1")]), "[('class', 'u1')] values of shape (2, 3)", ARRAY),
        ([[0, None, 1]] * 2, "no array", ARRAY),
        (None, "no array", ARRAY),
        ({"labels": 1}, "no array", ARRAY),
    ],
    ids=lambda value: None,
)
def test_values_that_are_no_labels(argument, values, found, remedy):
    maps = {"pred": zeros(2, 3), "target": zeros(2, 3), argument: values}
    if remedy == FLOATS and argument == "pred":
        remedy += ", or give scores with one more axis of 19 classes before (H, W)"
    message = f"`{argument}` holds {found}, expected integer labels 0..18; {remedy}"
    with pytest.raises(LabelError, match=f"^{re.escape(message)}$") as raised:
        count(maps["pred"], maps["target"])
    assert raised.value.argument == argument


@pytest.mark.parametrize("argument", ["pred", "target"])
@pytest.mark.parametrize("values", ["labels.png", b"labels.png", object(), 1j])
def test_things_that_are_no_arrays(argument, values):
    maps = {"pred": zeros(2, 3), "target": zeros(2, 3), argument: values}
    with pytest.raises(LabelError, match=f"`{argument}` holds .*expected integer labels"):
        count(maps["pred"], maps["target"])


@pytest.mark.parametrize("argument", ["pred", "target"])
def test_ragged_lists(argument):
    maps = {"pred": zeros(2, 3), "target": zeros(2, 3), argument: [[0, 1, 2], [0, 1]]}
    with pytest.raises(
        LabelError, match=f"^`{argument}` is not an array of labels: setting an array element"
    ) as raised:
        count(maps["pred"], maps["target"])
    assert raised.value.argument == argument


@pytest.mark.parametrize("argument", ["pred", "target"])
def test_masked_arrays(argument):
    maps = {"pred": zeros(2, 3), "target": zeros(2, 3), argument: np.ma.masked_equal(zeros(2, 3), 0)}
    message = f"`{argument}` is a masked array, expected plain labels; use .filled(ignore_index)"
    with pytest.raises(LabelError, match=f"^{re.escape(message)}$") as raised:
        count(maps["pred"], maps["target"])
    assert raised.value.argument == argument


def test_float_prediction_hints_at_scores():
    with pytest.raises(LabelError, match=r"or give scores with one more axis of 19 classes before \(H, W\)"):
        count(np.zeros((2, 3)), zeros(2, 3))


def test_float_target_with_scores():
    with pytest.raises(LabelError, match="`target` holds float32 values"):
        count(np.zeros((19, 2, 3)), zeros(2, 3, dtype=np.float32))


@pytest.mark.parametrize("frames", [(), (2,), (2, 3)])
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integer_scores_are_refused_as_labels(dtype, frames):
    # scores are floating; quantised or one-hot ones are not labels
    message = (
        f"`pred` holds {dtype} values of shape {(*frames, 19, 4, 6)}, expected integer labels {(*frames, 4, 6)} "
        "or floating scores; "
        "one-hot or quantised scores become labels with pred.argmax(-3)"
    )
    with pytest.raises(LabelError, match=f"^{re.escape(message)}$") as raised:
        count(zeros(*frames, 19, 4, 6, dtype=dtype), zeros(*frames, 4, 6))
    assert raised.value.argument == "pred"


# ── shapes ──


def test_message_holds_both_shapes():
    with pytest.raises(ShapeError, match=r"`pred` has shape \(4, 5\) and `target` \(4, 6\), expected the same"):
        count(zeros(4, 5), zeros(4, 6))


@pytest.mark.parametrize(("pred", "target"), [((6, 4), (4, 6)), ((3, 6, 4), (3, 4, 6))])
def test_transposed_maps(pred, target):
    with pytest.raises(ShapeError, match=rf"{re.escape(str(pred))}.*{re.escape(str(target))}.*transposed"):
        count(zeros(*pred), zeros(*target))


@pytest.mark.parametrize(
    ("pred", "target", "ratio"),
    [
        ((19, 32, 64), (64, 128), "1/2"),
        ((19, 32, 64), (128, 256), "1/4"),
        ((2, 19, 32, 64), (2, 128, 256), "1/4"),
        ((2, 19, 16, 32), (2, 128, 256), "1/8"),
    ],
)
def test_smaller_logits_are_never_resized(pred, target, ratio):
    pattern = (
        rf"`pred` has shape {re.escape(str(pred))} and `target` {re.escape(str(target))}.*{ratio} of the target.*resize"
    )
    with pytest.raises(ShapeError, match=pattern):
        count(np.zeros(pred, np.float32), zeros(*target))


@pytest.mark.parametrize("ratio", [2, 4])
def test_smaller_label_maps_are_never_resized(ratio):
    with pytest.raises(ShapeError, match=rf"1/{ratio} of the target's size.*resize it first"):
        count(zeros(2, 16 // ratio, 32 // ratio), zeros(2, 16, 32))


def test_larger_prediction_is_not_called_a_fraction_of_a_fraction():
    with pytest.raises(ShapeError, match=r"\(8, 12\).*\(4, 6\)") as raised:
        count(zeros(8, 12), zeros(4, 6))
    assert "1/0.5" not in str(raised.value)


@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_axis_of_one(dtype):
    with pytest.raises(ShapeError, match=r"pred\.squeeze\(-3\)"):
        count(zeros(2, 1, 4, 6, dtype=dtype), zeros(2, 4, 6))
    with pytest.raises(ShapeError, match=r"target\.squeeze\(-3\)"):
        count(zeros(2, 4, 6), zeros(2, 1, 4, 6, dtype=dtype))


def test_channels_on_the_last_axis():
    message = r"\(4, 6, 19\), expected 19 classes on the third axis from the end, not on the last: move it there$"
    with pytest.raises(ShapeError, match=rf"^`pred` holds scores of shape {message}"):
        count(np.zeros((4, 6, 19)), zeros(4, 6))
    with pytest.raises(ShapeError, match=r", not on the last: move it there$"):
        count(np.zeros((2, 4, 6, 19)), zeros(2, 4, 6))


def test_scores_of_another_number_of_classes():
    with pytest.raises(ShapeError, match=r"\(21, 4, 6\), expected 19 classes on the third axis from the end$"):
        count(np.zeros((21, 4, 6)), zeros(4, 6))


@pytest.mark.parametrize(
    ("pred", "target"), [((2, 4, 6), (3, 4, 6)), ((4, 6), (1, 4, 6)), ((24,), (4, 6)), ((5, 7, 4, 6), (4, 6))]
)
def test_maps_of_unlike_shapes(pred, target):
    with pytest.raises(
        ShapeError, match=rf"`pred` has shape {re.escape(str(pred))} and `target` {re.escape(str(target))}"
    ):
        count(zeros(*pred), zeros(*target))


def test_scores_of_another_number_of_frames():
    with pytest.raises(ShapeError, match=r"`pred` has shape \(2, 19, 4, 6\) and `target` \(3, 4, 6\)"):
        count(np.zeros((2, 19, 4, 6)), zeros(3, 4, 6))


@pytest.mark.parametrize("shape", [(2, 4, 6), (4, 7), (2, 19, 4, 6), (24,)])
def test_floats_that_are_no_scores(shape):
    with pytest.raises(FlameError, match=rf"`pred` .*{re.escape(str(shape))}"):
        count(np.zeros(shape), zeros(4, 6))


@pytest.mark.parametrize("shape", [(), (5,)])
def test_less_than_a_map(shape):
    with pytest.raises(ShapeError, match=r"^`target` has shape .*, expected label maps \(H, W\) or \(\.\.\., H, W\)$"):
        count(zeros(*shape), zeros(*shape))


@pytest.mark.parametrize("shape", [(0, 4, 6), (0, 0), (4, 0), (0, 6), (2, 0, 6)])
def test_no_pixel(shape):
    with pytest.raises(ShapeError, match=r"^`target` has shape .*, expected at least one pixel$"):
        count(zeros(*shape), zeros(*shape))


@pytest.mark.parametrize(("scores", "target"), [((19, 0, 6), (0, 6)), ((19, 4, 0), (4, 0)), ((0, 19, 4, 6), (0, 4, 6))])
def test_no_pixel_of_scores(scores, target):
    with pytest.raises(ShapeError, match="expected at least one pixel"):
        count(np.zeros(scores), zeros(*target))


def test_empty_lists():
    with pytest.raises(ShapeError, match=r"^`pred` and `target` are empty, expected at least one label map$"):
        count([], [])


def test_lists_of_unequal_length():
    message = r"^`pred` holds 2 label maps and `target` 3, expected as many of both$"
    with pytest.raises(ShapeError, match=message):
        count([zeros(4, 6)] * 2, [zeros(4, 6)] * 3)
    with pytest.raises(ShapeError, match="`pred` holds 2 label maps and `target` 3"):
        count([zeros(4, 6)] * 2, zeros(3, 4, 6))
    with pytest.raises(ShapeError, match="`pred` holds 3 label maps and `target` 2"):
        count(zeros(3, 4, 6), [zeros(4, 6)] * 2)


def test_fault_in_the_middle_of_a_list():
    with pytest.raises(LabelError, match=r"`pred` holds label\(s\) \[77\] \(24 pixels\)"):
        count([zeros(4, 6), zeros(4, 6) + 77, zeros(4, 6)], [zeros(4, 6)] * 3)


def test_empty_map_in_a_list():
    with pytest.raises(ShapeError, match="expected at least one pixel"):
        count([zeros(4, 6), zeros(0, 6)], [zeros(4, 6), zeros(0, 6)])


def test_colour_image_as_labels():
    with pytest.raises(FlameError, match=r"\(4, 6, 3\)"):
        count(zeros(4, 6, 3, dtype=np.uint8), zeros(4, 6, dtype=np.uint8))


PLAIN, PRED_AXIS, TARGET_AXIS = (
    "",
    "; drop the axis of 1 with pred.squeeze(-3)",
    "; drop the axis of 1 with target.squeeze(-3)",
)
TRANSPOSED = "; is one of them transposed?"
HALF = (
    "; the prediction has 1/2 of the target's size: resize it first (scores: bilinear, labels: nearest); "
    "nothing is resized here"
)


@pytest.mark.parametrize(
    ("pred", "target", "advice"),
    [
        ((1, 4, 6), (4, 6), PRED_AXIS),
        ((2, 1, 4, 6), (2, 4, 6), PRED_AXIS),
        ((4, 6), (1, 4, 6), TARGET_AXIS),
        ((2, 4, 6), (2, 1, 4, 6), TARGET_AXIS),
        ((5, 4, 6), (4, 6), PLAIN),
        ((4, 6), (5, 4, 6), PLAIN),
        ((1, 4, 6), (1, 5, 6), PLAIN),  # a batch of one on both sides
        ((6, 4), (4, 6), TRANSPOSED),
        ((1, 6, 4), (1, 4, 6), TRANSPOSED),
        ((5, 6, 4), (4, 6), PLAIN),
        ((4, 6), (8, 12), HALF),
        ((1, 6), (2, 12), HALF),
        ((3, 4, 6), (3, 8, 12), HALF),
        ((4, 6), (8, 18), PLAIN),  # 1/2 of the height and 1/3 of the width
        ((4, 6), (9, 12), PLAIN),
        ((4, 6), (8, 13), PLAIN),
        ((4, 6), (9, 13), PLAIN),
        ((4, 6), (5, 7), PLAIN),
        ((2, 4, 6), (3, 4, 6), PLAIN),
        ((0, 6), (8, 12), PLAIN),
        ((4, 0), (8, 12), PLAIN),
        ((6,), (4, 6), PLAIN),
        ((4, 6), (6,), PLAIN),
        ((4, 6), (2, 3), PLAIN),
    ],
)
def test_what_to_do_about_unlike_shapes(pred: tuple[int, ...], target: tuple[int, ...], advice: str) -> None:
    message = f"`pred` has shape {pred} and `target` {target}, expected the same{advice}"
    with pytest.raises(ShapeError, match=f"^{re.escape(message)}$"):
        count(zeros(*pred), zeros(*target))


@pytest.mark.parametrize(
    ("maps", "number"),
    [
        ([zeros(4, 6)] * 2, 2),
        ((zeros(4, 6),), 1),
        ([], 0),
        (zeros(3, 4, 6), 3),
        (zeros(1), 1),
        (zeros(), 0),
        (None, 0),
        (7, 0),
    ],
)
def test_number_of_maps(maps: object, number: int) -> None:
    assert num_maps(maps) == number


# ── every entrance has the same door ──


@pytest.mark.parametrize("entrance", [confusion_matrix, class_counts])
def test_same_faults_at_every_entrance(entrance):
    with pytest.raises(LabelError):
        entrance([[19]], [[0]], num_classes=19)
    with pytest.raises(ShapeError):
        entrance(zeros(4, 5), zeros(4, 6), num_classes=19)


def test_missing_prediction_checks_the_target():
    with pytest.raises(LabelError, match=r"`target` holds label\(s\) \[77\]"):
        count_missing([[77]], LabelSpace(19))
    with pytest.raises(LabelError, match="`target` holds float64 values"):
        count_missing(np.zeros((19, 4, 6)), LabelSpace(19))
    with pytest.raises(ShapeError, match="at least one pixel"):
        count_missing(zeros(0, 6), LabelSpace(19))
