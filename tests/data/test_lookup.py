import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.data.lookup import KEEP, LabelLookup
from flame_metric.errors import ConfigError, DatasetError, LabelError


def test_maps_every_label_in_one_step() -> None:
    """R10: {6: 9, 9: 7} applied one after the other would turn 6 into 7."""
    labels = np.array([[6, 9, 7]], np.uint8)
    labels.setflags(write=False)
    assert LabelLookup({6: 9, 9: 7, 7: 6}).apply(labels).tolist() == [[9, 7, 6]]
    assert labels.tolist() == [[6, 9, 7]]


@pytest.mark.parametrize(
    ("text", "given_labels", "mapped"),
    [
        ("0:0,255:1", [0, 255, 0], [0, 1, 0]),
        ("0:0,*:1", [0, 1, 3, 255], [0, 1, 1, 1]),
        ("11:255,*:*", [0, 11, 12], [0, 255, 12]),
        (" 7 : 0 , 8:1,*:255", [7, 8, 9], [0, 1, 255]),
        ("0:300,1:0", [0, 1], [300, 0]),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16, ">i4"])
def test_text_form(text: str, given_labels: list[int], mapped: list[int], dtype: str) -> None:
    assert LabelLookup.parse(text).apply(np.array([given_labels]).astype(dtype)).tolist() == [mapped]


def test_bool_masks_are_labels_0_and_1() -> None:
    assert LabelLookup({0: 4, 1: 2}).apply(np.array([[True, False]])).tolist() == [[2, 4]]


def test_output_is_narrow() -> None:
    assert LabelLookup({0: 1}, KEEP).apply(np.zeros((1, 1), np.uint8)).dtype == np.uint8
    assert LabelLookup({0: 256}, 0).apply(np.zeros((1, 1), np.uint8)).dtype == np.uint16


@given(st.dictionaries(st.integers(0, 299), st.integers(0, 299), min_size=1), st.data())
def test_equals_a_dictionary(mapping: dict[int, int], data: st.DataObject) -> None:
    known = sorted(mapping)
    labels = data.draw(st.lists(st.sampled_from(known), min_size=1))
    dtype = np.uint8 if max(labels) < 256 else np.uint16
    assert LabelLookup(mapping).apply(np.array(labels, dtype)).tolist() == [mapping[label] for label in labels]


@given(st.sets(st.integers(0, 255), min_size=1, max_size=255), st.data())
def test_a_label_without_entry_is_refused_with_its_count(known: set[int], data: st.DataObject) -> None:
    unknown = data.draw(st.sampled_from(sorted(set(range(256)) - known)))
    labels = np.array([*known, unknown, unknown], np.uint8)
    with pytest.raises(LabelError, match=rf"label\(s\) \[{unknown}\] \(2 pixels\) are not in the label map"):
        LabelLookup({label: label for label in known}).apply(labels)


def test_a_label_that_is_mentioned_may_map_to_any_byte() -> None:
    everything = {label: 255 - label for label in range(256)}
    labels = np.arange(256, dtype=np.uint8)
    assert LabelLookup(everything).apply(labels).tolist() == list(range(255, -1, -1))


@pytest.mark.parametrize("labels", [np.array([-1]), np.array([70_000]), np.array([2**63], np.uint64)])
def test_labels_outside_the_table_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(LabelError, match=r"expected 0\.\.65535"):
        LabelLookup({0: 0}, 1).apply(labels)


def test_scores_are_refused() -> None:
    with pytest.raises(LabelError, match="a label map needs integer labels, found float64"):
        LabelLookup({0: 0}).apply(np.zeros((2, 2)))


def test_minus_one_would_wrap() -> None:
    """R11."""
    with pytest.raises(ConfigError, match=r"the label map names -1, expected labels 0\.\.65535; for void take"):
        LabelLookup({255: -1})
    with pytest.raises(ConfigError, match="names -1"):
        LabelLookup({}, -1)


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0:", ":1", "a:1", "0:b", "0:-1", "0:1:2", "0:1,,1:1", "0:*", "²:1", "0;1"),
        pytest.param("9" * 5_000 + ":1", id="digits"),
    ],
)
def test_text_that_is_no_label_map(text: str) -> None:
    with pytest.raises(ConfigError, match="is not part of a label map"):
        LabelLookup.parse(text)


def test_a_label_named_twice() -> None:
    with pytest.raises(ConfigError, match="names label 0 twice"):
        LabelLookup.parse("0:1,00:2")


@pytest.mark.parametrize("mapping", [{"0": 1}, {0: 1.7}, {0.0: 1}, {0: True}, {0: None}])
def test_labels_that_are_no_integers(mapping: dict) -> None:
    with pytest.raises(ConfigError, match="the label map names"):
        LabelLookup(mapping)


@pytest.mark.parametrize("default", ["x", 1.7, True, -1])
def test_defaults_that_are_no_label(default: object) -> None:
    with pytest.raises(ConfigError, match="the label map names"):
        LabelLookup({}, default)


def test_uint64_labels() -> None:
    """NumPy 2.0 does not index with them."""
    assert LabelLookup({3: 1}).apply(np.array([3], np.uint64)).tolist() == [1]


def test_labels_of_a_file() -> None:
    lookup = LabelLookup({0: 0, 7: 1})
    assert lookup.apply_to_file(np.array([[0, 7]], np.uint8), "a.png", expected="0 and 7").tolist() == [[0, 1]]
    with pytest.raises(
        DatasetError, match=r"^a\.png: holds label\(s\) 3, 300 \(3 pixels\), expected 0 and 7$"
    ) as raised:
        lookup.apply_to_file(np.array([[3, 300, 7, 3]], np.uint16), "a.png", expected="0 and 7")
    assert raised.value.path == "a.png"
