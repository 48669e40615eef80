"""Counting on a device: the same integers as on the host, in every dtype; what is wrong is counted, not dropped.

All of it is plain PyTorch, so it is tested on the CPU; on the ``meta`` device, which holds no values, it shows that no
value is read back.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric.core import labels as labels_on_host
from flame_metric.core.counting import Counts, count_missing, count_pairs
from flame_metric.core.labels import LabelSpace, code_map
from flame_metric.errors import LabelError, ShapeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
counting = pytest.importorskip("flame_metric.torch.counting", reason="needs PyTorch")

INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]
VOIDS = [None, 1, 255, -100, -1]


def tensor(labels, dtype="int64"):
    return torch.from_numpy(np.array(labels, dtype))


def on_device(pred, target, space, **options):
    counted = counting.count_on_device(pred, target, space, **options)
    assert {part.dtype for part in (counted.per_class, counted.tallies, counted.faults)} == {torch.int64}
    return counted


def as_counts(counted):
    return Counts(counted.per_class.numpy(), *counted.tallies.tolist())


def assert_as_on_the_host(pred, target, space, **options):
    counted = on_device(pred, target, space, **options)
    assert counted.faults.tolist() == [0, 0, 0, 0]
    assert as_counts(counted) == count_pairs(pred, target, space)


def draw(num_classes, void, shape=(2, 9, 11), seed=0):
    """Maps of valid labels with void ones among them."""
    generator = np.random.default_rng(seed)
    maps = generator.integers(0, num_classes, (2, *shape))
    if void is not None:
        maps[generator.random(maps.shape) < 0.2] = void
    return maps


# ── by hand ──


def test_by_hand():
    counted = on_device(torch.tensor([[0, 1, 1, 255]]), torch.tensor([[0, 0, 1, 1]]), LabelSpace(2, 255))
    assert counted.per_class.tolist() == [[1, 1], [1, 2], [2, 2]]
    assert counted.tallies.tolist() == [1, 1, 4, 4]


def test_r7_void_prediction_is_a_miss():
    counted = on_device(torch.tensor([[255, 255, 0]]), torch.tensor([[0, 255, 0]]), LabelSpace(2, 255))
    assert counted.per_class.tolist() == [[1, 0], [1, 0], [2, 0]]


def test_faults_by_hand():
    scores = torch.zeros(2, 1, 4)
    scores[1, 0, 3] = float("nan")
    space = LabelSpace(2, 255)
    assert on_device(scores, torch.tensor([[0, 1, 0, 0]]), space).faults.tolist() == [0, 0, 1, 0]
    assert on_device(torch.tensor([[2, -1, 0, 7]]), torch.tensor([[0, 255, 9, 9]]), space).faults.tolist() == [
        2,
        3,
        0,
        0,
    ]


# ── as on the host ──


@pytest.mark.parametrize("histogram", counting.HISTOGRAMS)
@pytest.mark.parametrize("void", VOIDS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_every_integer_dtype(dtype, void, histogram):
    info = np.iinfo(dtype)
    held = void if void is not None and info.min <= void <= info.max else None
    pred, target = (tensor(labels, dtype) for labels in draw(19, held))
    assert_as_on_the_host(pred, target, LabelSpace(19, void), histogram=counting.HISTOGRAMS[histogram])


@pytest.mark.parametrize("histogram", counting.HISTOGRAMS)
@pytest.mark.parametrize("num_classes", [2, 16, 17, 19, 34, 150, 255, 256, 300, 700])
def test_r2_any_number_of_classes(num_classes, histogram):
    pred, target = draw(num_classes, -1)
    counted = on_device(
        tensor(pred), tensor(target), LabelSpace(num_classes, -1), histogram=counting.HISTOGRAMS[histogram]
    )
    assert np.array_equal(counted.per_class.numpy(), oracle.counts(pred, target, num_classes, -1))


@pytest.mark.parametrize("void", [None, 0, 18, 19, 255, -1])
def test_r6_void_in_and_out_of_range(void):
    pred, target = draw(19, void)
    counted = on_device(tensor(pred), tensor(target), LabelSpace(19, void))
    assert np.array_equal(counted.per_class.numpy(), oracle.counts(pred, target, 19, void))


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (dtype, value)
        for dtype in INTEGERS
        for value in (-1, 19, 200, 2**40)
        if np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
    ],
)
def test_r1_labels_outside_the_classes_are_counted(dtype, value):
    pred, target = (tensor(labels, dtype) for labels in draw(19, None))
    wrong = pred.clone()
    wrong[0, :2, :3] = value
    assert on_device(wrong, target, LabelSpace(19)).faults.tolist() == [0, 6, 0, 0]
    assert on_device(pred, wrong, LabelSpace(19)).faults.tolist() == [6, 0, 0, 0]
    assert on_device(wrong, wrong, LabelSpace(19, value)).faults.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("void", "faults"), [(-1, 2), (2**64 - 1, 0), (2**63, 2), (-(2**63), 2), (2**70, 2)])
def test_r11_uint64_labels_never_wrap(void, faults):
    labels = tensor([[0, 2**64 - 1, 2**64 - 1]], "uint64")
    assert on_device(labels, labels, LabelSpace(2, void)).faults.tolist() == [faults, faults, 0, 0]


def test_r11_a_void_label_that_the_dtype_cannot_hold():
    labels = tensor([[0, 255, 1]], "uint8")
    assert on_device(labels, labels, LabelSpace(2, -1)).faults.tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("void", [None, 1, 255])
def test_bool_maps_of_two_classes(void):
    pred, target = (torch.from_numpy(labels.astype(bool)) for labels in draw(2, None))
    assert_as_on_the_host(pred, target, LabelSpace(2, void))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_scores_with_ties(dtype):
    # whole numbers: the same in every dtype
    scores = torch.from_numpy(np.random.default_rng(6).integers(-2, 3, (2, 19, 6, 7))).to(getattr(torch, dtype))
    target = tensor(draw(19, 255, (2, 6, 7))[0])
    assert_as_on_the_host(scores, target, LabelSpace(19, 255))
    assert_as_on_the_host(scores.requires_grad_(), target, LabelSpace(19, 255))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_r18_nan_scores_are_counted(dtype):
    scores = torch.zeros((2, 3, 4, 5), dtype=getattr(torch, dtype))
    scores[0, 1, 2, 3] = scores[1, 0, 0, 0] = scores[1, 2, 0, 0] = float("nan")
    assert on_device(scores, torch.zeros((2, 4, 5), dtype=torch.long), LabelSpace(3)).faults.tolist() == [0, 0, 2, 0]


def test_channels_last_scores():
    scores = torch.randn(2, 19, 6, 7, generator=torch.Generator().manual_seed(0))
    target = tensor(draw(19, 255, (2, 6, 7))[0])
    assert_as_on_the_host(scores.to(memory_format=torch.channels_last), target, LabelSpace(19, 255))


def test_lists_of_maps_of_several_sizes():
    sizes = ((3, 4), (5, 6), (2, 3, 4))
    preds, targets = zip(*(map(tensor, draw(5, 255, size)) for size in sizes), strict=True)
    assert_as_on_the_host(list(preds), list(targets), LabelSpace(5, 255))
    assert on_device(preds, targets, LabelSpace(5, 255)).tallies[0] == 4


def test_targets_without_a_prediction():
    target = tensor(draw(5, 255)[0])
    counted = counting.count_missing_on_device(target, LabelSpace(5, 255))
    assert as_counts(counted) == count_missing(target, LabelSpace(5, 255))
    target[0, 0, 0] = 9
    assert counting.count_missing_on_device(target, LabelSpace(5, 255)).faults.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_maps_larger_than_a_chunk(monkeypatch, chunk):
    monkeypatch.setattr(counting, "_CHUNK", chunk)
    assert_as_on_the_host(*map(tensor, draw(5, 255)), LabelSpace(5, 255))


labels = st.integers(-3, 6) | st.sampled_from([255, 2**40])


@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=40), st.sampled_from([None, 0, 3, 255, -1]))
def test_law_every_pixel_is_counted_or_a_fault(pairs, void):
    space = LabelSpace(4, void)
    pred, target = (torch.tensor([side]) for side in zip(*pairs, strict=True))
    counted = on_device(pred, target, space)
    wrong = [[label != void and not 0 <= label < 4 for label in side[0].tolist()] for side in (target, pred)]
    assert counted.faults.tolist() == [sum(wrong[0]), sum(wrong[1]), 0, 0]
    if any(map(any, wrong)):
        with pytest.raises(LabelError, match=rf"\({sum(wrong[0]) or sum(wrong[1])} pixels\)"):
            count_pairs(pred, target, space)
    else:
        assert as_counts(counted) == count_pairs(pred, target, space)


@given(st.lists(st.integers(0, 99), max_size=300), st.integers(0, 3))
def test_law_every_histogram_is_bincount(codes, power):
    num_bins = 100 * 10**power
    expected = np.bincount(np.array(codes, np.int64), minlength=num_bins)
    for name, histogram in counting.HISTOGRAMS.items():
        found = histogram(torch.tensor(codes, dtype=torch.int64), num_bins)
        assert found.dtype == torch.int64, name
        assert np.array_equal(found.numpy(), expected), name


def test_every_code_of_a_large_table_has_its_bin():
    codes = torch.arange(302**2)  # of 300 classes
    for name, histogram in counting.HISTOGRAMS.items():
        assert histogram(codes, len(codes)).tolist() == [1] * len(codes), name


# ── refused at once: what shapes and dtypes tell ──

ZEROS = torch.zeros(2, 8, 8, dtype=torch.long)


@pytest.mark.parametrize(
    ("pred", "target", "error"),
    [
        (torch.zeros(2, 3, 2, 2), ZEROS, ShapeError),
        (torch.zeros(2, 4, 8, 8), ZEROS, ShapeError),
        (torch.zeros(2, 8, 8, 3), ZEROS, ShapeError),
        (ZEROS[:, :4, :4], ZEROS, ShapeError),
        (ZEROS[:, :, :4], ZEROS.mT[:, :4], ShapeError),
        (ZEROS[:0], ZEROS[:0], ShapeError),
        (ZEROS[0, 0], ZEROS[0, 0], ShapeError),
        (list(ZEROS), list(ZEROS[:1]), ShapeError),
        ([], [], ShapeError),
        (ZEROS.float(), ZEROS, LabelError),
        (ZEROS, ZEROS.float(), LabelError),
        (ZEROS.to(torch.bfloat16), ZEROS, LabelError),
        (ZEROS.bool(), ZEROS, LabelError),
        (ZEROS, ZEROS.to(torch.complex64), LabelError),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), ZEROS, LabelError),
    ],
    ids=str,
)
def test_refused_with_the_words_of_the_host(pred, target, error):
    with pytest.raises(error) as on_host:
        count_pairs(pred, target, LabelSpace(3))
    with pytest.raises(error) as here:
        counting.count_on_device(pred, target, LabelSpace(3))
    assert str(here.value) == str(on_host.value)
    assert getattr(here.value, "argument", None) == getattr(on_host.value, "argument", None)


def test_quarter_size_logits_name_both_sizes():
    with pytest.raises(ShapeError, match=r"\(2, 3, 2, 2\) and `target` \(2, 8, 8\).* 1/4 of the target's size"):
        counting.count_on_device(torch.zeros(2, 3, 2, 2), ZEROS, LabelSpace(3))


# ── maps that are read from a device, one by one ──


@pytest.mark.parametrize(
    ("argument", "shape"), [("target", (3, 2, 2)), ("pred", (3, 2, 2, 2)), ("pred", (3, 2)), ("pred", (2, 2, 2))]
)
def test_floats_that_are_no_scores_are_refused_on_any_device(argument, shape, monkeypatch):
    maps = torch.zeros(shape)
    with pytest.raises(LabelError) as on_host:
        code_map(maps, LabelSpace(3), argument=argument)
    monkeypatch.setattr(labels_on_host, "_on_accelerator", lambda maps: True)
    with pytest.raises(LabelError, match=f"`{argument}` holds float32 values") as here:
        code_map(maps, LabelSpace(3), argument=argument)
    assert str(here.value) == str(on_host.value)


def test_scores_become_labels_on_their_device(monkeypatch):
    scores = torch.tensor([[[0.1, 0.9]], [[0.5, 0.2]], [[0.5, 0.3]]])
    seen = []
    monkeypatch.setattr(labels_on_host, "_on_accelerator", lambda maps: True)
    monkeypatch.setattr(
        labels_on_host, "_labels_on_device", lambda found: seen.append(found) or found.argmax(-3).numpy()
    )
    assert code_map(scores, LabelSpace(3)).pixels().tolist() == [1, 0]
    assert seen[0] is scores


# ── no value is read back ──


@pytest.mark.parametrize("histogram", ["scatter", "histc"])
def test_no_value_is_read(histogram):
    target = torch.zeros((2, 65, 70), dtype=torch.int64, device="meta")
    for pred in (target, target.to(torch.uint8), torch.zeros((2, 19, 65, 70), device="meta"), list(target)):
        counted = counting.count_on_device(pred, target, LabelSpace(19, 255), histogram=counting.HISTOGRAMS[histogram])
        assert counted.per_class.shape == (3, 19)
    assert counting.count_missing_on_device(target, LabelSpace(19)).faults.shape == (4,)


def test_reading_a_value_would_be_seen():
    target = torch.zeros((2, 3), dtype=torch.int64, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        counting.count_on_device(target, target, LabelSpace(2), histogram=counting.HISTOGRAMS["bincount"])


def test_the_one_in_use_reads_none():
    assert counting.HISTOGRAM in (counting.HISTOGRAMS["scatter"], counting.HISTOGRAMS["histc"])
