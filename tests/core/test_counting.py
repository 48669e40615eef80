"""Counting against the brute-force oracle: classes, dtypes, void, sizes, and the laws of sums."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric import class_counts, confusion_matrix, iou_per_class
from flame_metric.core.counting import Counts, count_missing, count_pairs
from flame_metric.core.labels import LabelSpace
from flame_metric.errors import ConfigError, LabelError

INTEGERS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
CLASSES = (2, 16, 17, 19, 34, 150, 255, 256, 300)


def draw_map(shape, dtype, num_classes, ignore_index, seed):
    """A random label map that holds void too, if its dtype can."""
    generator = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    labels = generator.integers(0, min(num_classes - 1, info.max), shape, np.int64, endpoint=True)
    labels = labels.astype(dtype)
    if ignore_index is not None and info.min <= ignore_index <= info.max:
        labels[generator.random(shape) < 0.2] = ignore_index
    return labels


# ── worked by hand ──


def test_confusion_by_hand():
    pred = [[0, 1, 1], [2, 2, 0]]
    target = [[0, 0, 1], [2, 1, 0]]
    assert confusion_matrix(pred, target, num_classes=3).tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]]


def test_class_counts_by_hand():
    pred = [[0, 1, 1], [2, 2, 0]]
    target = [[0, 0, 1], [2, 1, 0]]
    assert class_counts(pred, target, num_classes=3).tolist() == [[2, 1, 1], [2, 2, 2], [3, 2, 1]]


def test_rows_are_the_target_and_columns_the_prediction():
    assert confusion_matrix([[1]], [[0]], num_classes=2).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert class_counts([[1]], [[0]], num_classes=2).tolist() == [[0, 0], [0, 1], [1, 0]]


def test_counts_are_int64():
    assert confusion_matrix([[1]], [[0]], num_classes=2).dtype == np.int64
    assert class_counts([[1]], [[0]], num_classes=2).dtype == np.int64


# ── R7: void in the prediction ──


@pytest.mark.parametrize("ignore_index", [255, -1, 7])
def test_r7_void_prediction_on_a_valid_pixel_is_a_miss_and_nobodys_false_positive(ignore_index):
    void = ignore_index
    assert class_counts([[0, void, 1]], [[0, 0, 1]], num_classes=2, ignore_index=void).tolist() == [
        [1, 1],
        [1, 1],  # class 1 gains no false positive
        [2, 1],  # class 0 keeps its missed pixel
    ]
    assert confusion_matrix([[0, void, 1]], [[0, 0, 1]], num_classes=2, ignore_index=void).tolist() == [
        [1, 0, 1],
        [0, 1, 0],
    ]


@pytest.mark.parametrize("ignore_index", [255, -1, 7, 0])
def test_r7_void_prediction_on_a_void_pixel_is_left_out(ignore_index):
    matrix = confusion_matrix([[ignore_index, 1]], [[ignore_index, 1]], num_classes=2, ignore_index=ignore_index)
    assert matrix.tolist() == [[0, 0, 0], [0, 1, 0]]


def test_r7_any_class_may_be_predicted_where_the_target_is_void():
    assert confusion_matrix([[0, 1, 1]], [[255, 255, 1]], num_classes=2, ignore_index=255).sum() == 1


def test_r7_void_class_in_range_gains_no_false_positive():
    # class 0 is void: where 0 is predicted on a pixel of class 1, no class is predicted
    assert class_counts([[0, 1]], [[1, 1]], num_classes=2, ignore_index=0).tolist() == [[0, 1], [0, 1], [0, 2]]


# ── R2: every dtype and number of classes ──


@pytest.mark.parametrize("num_classes", CLASSES)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_r2_dtype_and_classes_equal_the_oracle(dtype, num_classes):
    pred = draw_map((25, 30), dtype, num_classes, None, seed=1)
    target = draw_map((25, 30), dtype, num_classes, None, seed=2)
    expected = oracle.confusion(pred, target, num_classes)
    assert np.array_equal(confusion_matrix(pred, target, num_classes=num_classes), expected)


@pytest.mark.parametrize("num_classes", CLASSES)
def test_r2_every_cell_is_its_own(num_classes):
    classes = np.arange(num_classes, dtype=np.uint16 if num_classes > 256 else np.uint8)
    target = np.repeat(classes[:, None], num_classes, axis=1)
    pred = np.repeat(classes[None, :], num_classes, axis=0)
    matrix = confusion_matrix(pred, target, num_classes=num_classes)
    assert np.all(matrix[:, :-1] == 1)
    assert not matrix[:, -1].any()


@pytest.mark.parametrize("pred_dtype", INTEGERS)
@pytest.mark.parametrize("target_dtype", INTEGERS)
def test_r2_unlike_dtypes_of_the_two_maps(pred_dtype, target_dtype):
    pred = draw_map((9, 11), pred_dtype, 19, 255, seed=3)
    target = draw_map((9, 11), target_dtype, 19, 255, seed=4)
    expected = oracle.confusion(pred, target, 19, 255)
    assert np.array_equal(confusion_matrix(pred, target, num_classes=19, ignore_index=255), expected)


def test_bool_maps_are_two_classes():
    pred, target = np.array([[True, False, True]]), np.array([[True, True, False]])
    assert confusion_matrix(pred, target, num_classes=2).tolist() == [[0, 1, 0], [1, 1, 0]]


@pytest.mark.parametrize("ignore_index", [None, 255, -1, 0, 1])
def test_bool_prediction_against_integer_target(ignore_index):
    pred = np.array([[True, False], [True, False]])
    target = np.array([[1, 1], [0, 0]]) if ignore_index is None else np.array([[1, ignore_index], [0, 0]])
    expected = oracle.confusion(pred.astype(int), target, 2, ignore_index)
    assert np.array_equal(confusion_matrix(pred, target, num_classes=2, ignore_index=ignore_index), expected)


# ── R6: void labels in and out of range ──


@pytest.mark.parametrize("num_classes", CLASSES)
@pytest.mark.parametrize("ignore", ["None", "0", "C-1", "C", "255", "256", "-1", "-100", "2**40"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_r6_ignore_index_equals_the_oracle(dtype, ignore, num_classes):
    ignore_index = eval(ignore, {"C": num_classes})
    pred = draw_map((20, 25), dtype, num_classes, ignore_index, seed=5)
    target = draw_map((20, 25), dtype, num_classes, ignore_index, seed=6)
    matrix = confusion_matrix(pred, target, num_classes=num_classes, ignore_index=ignore_index)
    assert np.array_equal(matrix, oracle.confusion(pred, target, num_classes, ignore_index))
    table = class_counts(pred, target, num_classes=num_classes, ignore_index=ignore_index)
    assert np.array_equal(table, oracle.counts(pred, target, num_classes, ignore_index))


@pytest.mark.parametrize("ignore_index", [-1, -100, -128])
def test_r6_int8_holds_negative_void(ignore_index):
    pred = draw_map((20, 25), "int8", 19, ignore_index, seed=7)
    target = draw_map((20, 25), "int8", 19, ignore_index, seed=8)
    expected = oracle.confusion(pred, target, 19, ignore_index)
    assert np.array_equal(confusion_matrix(pred, target, num_classes=19, ignore_index=ignore_index), expected)


@pytest.mark.parametrize("ignore_index", [2**63 - 1, 2**63, 2**64 - 1])
def test_r6_uint64_holds_large_void(ignore_index):
    pred = draw_map((20, 25), "uint64", 19, ignore_index, seed=7)
    target = draw_map((20, 25), "uint64", 19, ignore_index, seed=8)
    expected = oracle.confusion(pred, target, 19, ignore_index)
    assert np.array_equal(confusion_matrix(pred, target, num_classes=19, ignore_index=ignore_index), expected)


@pytest.mark.parametrize(
    ("value", "ignore_index"),
    [(2**64 - 1, 2**63 - 1), (2**64 - 1, 2**63), (2**63, 2**63 - 1), (2**63 - 1, 2**64 - 1), (2**64 - 1, -1)],
)
@pytest.mark.parametrize("argument", ["pred", "target"])
def test_r1_large_uint64_labels_are_not_taken_for_void(argument, value, ignore_index):
    maps = {"pred": np.ones((4, 6), np.uint64), "target": np.ones((4, 6), np.uint64)}
    maps[argument][1, 2:5] = value
    with pytest.raises(LabelError, match=rf"`{argument}` holds label\(s\) \[{value}\] \(3 pixels\)"):
        confusion_matrix(maps["pred"], maps["target"], num_classes=19, ignore_index=ignore_index)


def test_all_void_counts_nothing():
    assert not confusion_matrix([[0, 1]], [[255, 255]], num_classes=2, ignore_index=255).any()


# ── R1, R12: every label that is not a class raises, wherever it stands ──

OUTSIDE = [
    *[(-1, dtype) for dtype in ("int8", "int16", "int32", "int64")],
    *[(19, dtype) for dtype in INTEGERS],
    *[(200, dtype) for dtype in INTEGERS if dtype != "int8"],
    *[(26000, dtype) for dtype in INTEGERS if "8" not in dtype],  # R12: instance ids, 144 as a byte
    *[(256, dtype) for dtype in INTEGERS if "8" not in dtype],  # 0 as a byte
    *[(2**16, dtype) for dtype in ("uint32", "int32", "uint64", "int64")],
    *[(2**40, dtype) for dtype in ("uint64", "int64")],
    *[(2**63, "uint64"), (2**64 - 1, "uint64"), (-(2**63), "int64")],
]


@pytest.mark.parametrize("ignore_index", [None, 0, 18, 255, -100])
@pytest.mark.parametrize(("value", "dtype"), OUTSIDE)
@pytest.mark.parametrize("argument", ["pred", "target"])
def test_r1_r12_label_outside_the_classes_raises(argument, value, dtype, ignore_index):
    maps = {"pred": np.ones((4, 6), dtype), "target": np.ones((4, 6), dtype)}
    maps[argument][1, 2:5] = value
    with pytest.raises(LabelError, match=rf"`{argument}` holds label\(s\) \[{value}\] \(3 pixels\)") as raised:
        confusion_matrix(maps["pred"], maps["target"], num_classes=19, ignore_index=ignore_index)
    assert raised.value.argument == argument


@pytest.mark.parametrize("value", [-1, 19, 200, 2**40])
@pytest.mark.parametrize("ignore_index", [0, 255, -100, 300])
def test_r1_bad_prediction_raises_where_the_target_is_void(value, ignore_index):
    pred, target = np.full((2, 3), 1), np.full((2, 3), ignore_index)
    pred[0, 0] = value
    with pytest.raises(LabelError, match=rf"`pred` holds label\(s\) \[{value}\] \(1 pixels\)"):
        confusion_matrix(pred, target, num_classes=19, ignore_index=ignore_index)


@pytest.mark.parametrize("value", [-1, 19, 200, 2**40])
@pytest.mark.parametrize("ignore_index", [0, 255, -100, 300])
def test_r1_bad_target_raises_where_the_prediction_is_void(value, ignore_index):
    pred, target = np.full((2, 3), ignore_index), np.full((2, 3), 1)
    target[0, 0] = value
    with pytest.raises(LabelError, match=rf"`target` holds label\(s\) \[{value}\] \(1 pixels\)"):
        confusion_matrix(pred, target, num_classes=19, ignore_index=ignore_index)


@pytest.mark.parametrize("value", [-1, 300, 2**40])
@pytest.mark.parametrize("ignore_index", [None, 0, 299, 1000, -100])
def test_r1_more_classes_than_a_byte_holds(value, ignore_index):
    target = np.ones((2, 3), np.int64)
    pred = np.where([[True, False, False]] * 2, value, target)
    with pytest.raises(LabelError, match=rf"`pred` holds label\(s\) \[{value}\] \(2 pixels\)"):
        confusion_matrix(pred, target, num_classes=300, ignore_index=ignore_index)


@pytest.mark.parametrize("num_classes", [150, 157, 200, 255, 256])
@pytest.mark.parametrize("ignore_index", [None, 255, -1, 300])
def test_r1_negative_bytes_are_no_high_classes(num_classes, ignore_index):
    # int8 -100 has the bits of 156
    with pytest.raises(LabelError, match=r"`pred` holds label\(s\) \[-100\]"):
        confusion_matrix(
            np.array([[-100]], np.int8), np.array([[0]], np.int8), num_classes=num_classes, ignore_index=ignore_index
        )


def test_r11_minus_one_is_not_wrapped_to_255():
    with pytest.raises(LabelError, match=r"`target` holds label\(s\) \[-1\]"):
        confusion_matrix([[0]], [[-1]], num_classes=2, ignore_index=255)


def test_r11_255_is_not_taken_for_minus_one():
    with pytest.raises(LabelError, match=r"`target` holds label\(s\) \[255\]"):
        confusion_matrix(np.zeros((1, 1), np.uint8), np.full((1, 1), 255, np.uint8), num_classes=2, ignore_index=-1)


@given(data=st.data())
def test_r1_one_bad_label_among_good_ones_always_raises(data):
    num_classes = data.draw(st.sampled_from(CLASSES), "num_classes")
    ignore_index = data.draw(st.sampled_from([None, 0, num_classes - 1, num_classes, 255, -1, -100, 300]), "ignore")
    argument = data.draw(st.sampled_from(["pred", "target"]), "argument")
    dtypes = {name: data.draw(st.sampled_from(INTEGERS), f"dtype of {name}") for name in ("pred", "target")}
    maps = {
        name: draw_map((5, 7), dtype, num_classes, ignore_index, seed)
        for seed, (name, dtype) in enumerate(dtypes.items())
    }
    info = np.iinfo(dtypes[argument])
    outside = [
        value
        for value in (info.min, -100, -1, num_classes, num_classes + 1, 200, 255, 256, 26000, 2**16, 2**40, info.max)
        if info.min <= value <= info.max and not 0 <= value < num_classes and value != ignore_index
    ]
    if not outside:
        return  # uint8 with 256 classes holds no bad label
    value = data.draw(st.sampled_from(outside), "value")
    maps[argument].reshape(-1)[data.draw(st.integers(0, 34), "pixel")] = value
    with pytest.raises(LabelError, match=rf"`{argument}` holds label\(s\) \[{value}\] \(1 pixels\)"):
        confusion_matrix(maps["pred"], maps["target"], num_classes=num_classes, ignore_index=ignore_index)


# ── large maps: runs of equal labels, noise, both in one map, and the borders of what is counted at a time ──

CHUNK = 2**18


def runs(pixels, seed, length=97):
    generator = np.random.default_rng(seed)
    return np.repeat(generator.integers(0, 6, pixels // length + 1), length)[:pixels]


def noise(pixels, seed):
    return np.random.default_rng(seed).integers(0, 6, pixels)


def as_map(labels, dtype):
    return np.where(labels == 5, 255, labels).astype(dtype)[None]


TEXTURES = {  # of one chunk after the other
    "runs": (runs,),
    "noise": (noise,),
    "runs then noise": (runs, noise),
    "noise then runs": (noise, runs),
    "one label": (lambda pixels, seed: np.full(pixels, seed % 5),),
}


def draw_texture(texture, pixels, seed):
    makers = TEXTURES[texture]
    begins = range(0, pixels, CHUNK)
    parts = [
        makers[number % len(makers)](min(CHUNK, pixels - begin), seed + 10 * number)
        for number, begin in enumerate(begins)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
@pytest.mark.parametrize("pixels", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
@pytest.mark.parametrize("texture", TEXTURES)
def test_large_map_equals_the_oracle(texture, pixels, dtype):
    pred, target = (as_map(draw_texture(texture, pixels, seed), dtype) for seed in (1, 2))
    expected = oracle.confusion(pred, target, 5, 255)
    assert np.array_equal(confusion_matrix(pred, target, num_classes=5, ignore_index=255), expected)


@pytest.mark.parametrize("ignore_index", [-1, 300])
def test_large_map_with_a_void_label_that_is_no_byte(ignore_index):
    labels = [np.concatenate([runs(CHUNK, seed), noise(CHUNK // 2, seed)]) for seed in (3, 4)]
    pred, target = (np.where(values == 5, ignore_index, values).astype(np.int32)[None] for values in labels)
    expected = oracle.confusion(pred, target, 5, ignore_index)
    assert np.array_equal(confusion_matrix(pred, target, num_classes=5, ignore_index=ignore_index), expected)


@pytest.mark.parametrize("pixel", [0, CHUNK - 1, CHUNK, 2 * CHUNK])
@pytest.mark.parametrize("argument", ["pred", "target"])
@pytest.mark.parametrize("value", [77, 2**40])
def test_r1_one_bad_pixel_in_a_large_map(argument, pixel, value):
    maps = {"pred": np.zeros((1, 2 * CHUNK + 1), np.int64), "target": np.zeros((1, 2 * CHUNK + 1), np.int64)}
    maps[argument][0, pixel] = value
    with pytest.raises(LabelError, match=rf"`{argument}` holds label\(s\) \[{value}\] \(1 pixels\)"):
        confusion_matrix(maps["pred"], maps["target"], num_classes=19, ignore_index=255)


@pytest.mark.parametrize("argument", ["pred", "target"])
def test_r1_a_large_label_beside_void_is_named_after_pixels_of_many_labels(argument: str) -> None:
    """In floating point 2**64 - 2 would be 2**64 - 1."""
    labels = np.zeros((2, CHUNK), np.uint64)
    labels[0] = np.arange(CHUNK) % 2
    other = labels.copy()
    labels[1] = 2**64 - 2
    maps = {"pred": other, "target": other, argument: labels}
    with pytest.raises(LabelError, match=rf"^`{argument}` holds label\(s\) \[{2**64 - 2}\] \({CHUNK:,} pixels\)"):
        confusion_matrix(maps["pred"], maps["target"], num_classes=2, ignore_index=2**64 - 1)


# ── R3, R4: large numbers ──


@pytest.mark.parametrize("preset", [2**24, 2**31 - 1, 2**32, 2**53, 2**53 + 1, 2**60])
def test_r3_r4_one_more_pixel_shows(preset):
    # float32 stops at 2**24, int32 wraps at 2**31, float64 skips odd numbers from 2**53 on
    before = Counts(np.full((3, 2), preset, np.int64), 1, 1, 2 * preset, 2 * preset)
    after = before + count_pairs([[0, 0]], [[0, 1]], LabelSpace(2))
    assert (after.per_class - preset).tolist() == [[1, 0], [2, 0], [1, 1]]
    assert after.tallies == (2, 2, 2 * preset + 2, 2 * preset + 2)


def test_r4_more_frames_of_one_class_than_int32_holds():
    frame = count_pairs(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), LabelSpace(2))
    before = Counts(np.array([[2**31 - 1, 0]] * 3, np.int64), 1, 1, 2**31 - 1, 2**31 - 1)
    assert (before + frame).per_class[:, 0].tolist() == [2**31 + 63] * 3


def test_r3_iou_of_more_pixels_than_float32_counts():
    # three of four pixels of 8192 x 8192 are right (mmseg #523 prints 1.0)
    quarter = 8192 * 8192 // 4
    assert iou_per_class([[3 * quarter], [3 * quarter], [4 * quarter]]).tolist() == [0.75]


# ── tallies ──


def test_tallies_of_a_batch():
    target = [[[0, 255], [1, 1]], [[255, 255], [255, 255]], [[1, 0], [0, 255]]]
    counted = count_pairs(np.zeros((3, 2, 2), int), target, LabelSpace(2, 255))
    assert (counted.pairs, counted.labelled_frames, counted.valid_pixels, counted.all_pixels) == (3, 3, 6, 12)


def test_tallies_of_a_list():
    maps = [np.zeros((2, 3), int), np.zeros((2, 4, 5), int)]
    assert count_pairs(maps, maps, LabelSpace(2)).tallies == (3, 3, 46, 46)


def test_missing_prediction_is_a_miss_of_every_valid_pixel():
    counted = count_missing([[0, 0, 1, 255]], LabelSpace(2, 255))
    assert counted.per_class.tolist() == [[0, 0], [0, 0], [2, 1]]
    assert counted.tallies == (0, 1, 3, 4)


def test_counts_are_read_only():
    counted = count_pairs([[0]], [[0]], LabelSpace(2))
    with pytest.raises(ValueError, match="read-only"):
        counted.per_class[0, 0] = 5


def test_counts_are_int64_whatever_they_are_made_of() -> None:
    counts = Counts(np.full((3, 2), 2**31 - 1, np.int32))
    assert counts.per_class.dtype == np.int64
    assert (counts + counts).per_class.tolist() == [[2**32 - 2] * 2] * 3


def test_counts_compare_by_value():
    counted = count_pairs([[0, 1]], [[0, 0]], LabelSpace(2))
    assert counted == count_pairs([[0, 1]], [[0, 0]], LabelSpace(2))
    assert counted != count_pairs([[1, 1]], [[0, 0]], LabelSpace(2))
    assert counted != count_pairs([[0], [1]], [[0], [0]], LabelSpace(2)) + Counts.zero(2, labelled_frames=1)


# ── laws ──


@st.composite
def pairs_of_maps(draw):
    num_classes = draw(st.integers(2, 6))
    ignore_index = draw(st.sampled_from([None, 0, num_classes - 1, num_classes, 255, -1]))
    labels = list(range(num_classes)) + ([] if ignore_index is None else [ignore_index])
    frames, height, width = (draw(st.integers(1, limit)) for limit in (5, 3, 4))
    cells = st.lists(st.sampled_from(labels), min_size=frames * height * width, max_size=frames * height * width)
    pred, target = (np.array(draw(cells), np.int16).reshape(frames, height, width) for _ in range(2))
    return pred, target, LabelSpace(num_classes, ignore_index)


@given(pairs_of_maps())
def test_law_equals_the_oracle(case):
    pred, target, space = case
    options = {"num_classes": space.num_classes, "ignore_index": space.ignore_index}
    assert np.array_equal(confusion_matrix(pred, target, **options), oracle.confusion(pred, target, *options.values()))
    assert np.array_equal(class_counts(pred, target, **options), oracle.counts(pred, target, *options.values()))


@given(pairs_of_maps(), st.randoms(use_true_random=False))
def test_r8_law_any_split_and_order_of_the_frames_counts_the_same(case, random):
    pred, target, space = case
    order = list(range(len(pred)))
    random.shuffle(order)
    total = Counts.zero(space.num_classes)
    while order:
        size = random.randint(1, len(order))
        batch, order = order[:size], order[size:]
        total += count_pairs(pred[batch], target[batch], space)
    assert total == count_pairs(pred, target, space)
    assert total == count_pairs(list(pred), list(target), space)


@given(pairs_of_maps())
def test_r8_law_any_split_of_the_pixels_counts_the_same(case):
    pred, target, space = case
    options = {"num_classes": space.num_classes, "ignore_index": space.ignore_index}
    columns = sum(class_counts(pred[..., [x]], target[..., [x]], **options) for x in range(pred.shape[-1]))
    assert np.array_equal(columns, class_counts(pred, target, **options))


@given(pairs_of_maps())
def test_law_sums_of_the_confusion_matrix(case):
    pred, target, space = case
    options = {"num_classes": space.num_classes, "ignore_index": space.ignore_index}
    matrix = confusion_matrix(pred, target, **options)
    valid = target.size if space.ignore_index is None else int((target != space.ignore_index).sum())
    assert matrix.sum() == valid
    table = class_counts(pred, target, **options)
    assert np.all(table[0] <= np.minimum(table[1], table[2]))
    assert table[1].sum() <= table[2].sum() == valid


@given(pairs_of_maps())
def test_law_prediction_equal_to_the_target_is_perfect(case):
    _, target, space = case
    table = count_pairs(target, target, space).per_class
    assert np.array_equal(table[0], table[1])
    assert np.array_equal(table[0], table[2])


# ── options ──


@pytest.mark.parametrize("num_classes", [1, 0, -3, 4097, 2.0, "2", None, True, np.float64(3)])
def test_number_of_classes_out_of_range(num_classes):
    message = f"`num_classes` is {num_classes!r}, expected an integer 2..4096 (background is a class too)"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        confusion_matrix([[0]], [[0]], num_classes=num_classes)


@pytest.mark.parametrize("ignore_index", [2.0, "255", True, [255], float("nan")])
def test_ignore_index_is_an_integer(ignore_index):
    message = f"`ignore_index` is {ignore_index!r}, expected an integer or None"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        confusion_matrix([[0]], [[0]], num_classes=2, ignore_index=ignore_index)


def test_numpy_integers_are_options_too():
    space = LabelSpace(np.int64(2), np.uint8(255))
    assert [type(value) for value in (space.num_classes, space.ignore_index)] == [int, int]
    assert str(space) == "0..1 or ignore_index 255"
    matrix = confusion_matrix([[0, 255]], [[0, 255]], num_classes=np.int64(2), ignore_index=np.uint8(255))
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 0]]


def test_most_classes():
    matrix = confusion_matrix([[4095]], [[0]], num_classes=4096)
    assert matrix.shape == (4096, 4097)
    assert matrix[0, 4095] == matrix.sum() == 1
