"""What may be handed over: memory layouts, batches, lists, scores, tensors, images. Inputs are never changed."""

import numpy as np
import pytest

import oracle
from flame_metric import FlameMeter, confusion_matrix
from flame_metric.core.labels import LabelSpace, _labels_on_device, _on_accelerator, code_map, labels_of_scores
from flame_metric.errors import LabelError

VOID = 255


@pytest.fixture
def maps():
    generator = np.random.default_rng(0)
    pred, target = (generator.integers(0, 20, (2, 3, 12, 16)) for _ in range(2))
    return np.where(pred == 19, VOID, pred), np.where(target == 19, VOID, target)


def count(pred, target):
    return confusion_matrix(pred, target, num_classes=19, ignore_index=VOID)


def expected(pred, target):
    return oracle.confusion(pred, target, 19, VOID)


# ── memory ──


@pytest.mark.parametrize("dtype", [">i2", ">u2", ">i4", ">u4", ">i8", ">u8", "<i2", "<u8"])
def test_byte_orders(maps, dtype):
    pred, target = maps
    assert np.array_equal(count(pred.astype(dtype), target.astype(dtype)), expected(pred, target))


@pytest.mark.parametrize("dtype", [">u2", ">i4"])
def test_byte_orders_for_more_classes_than_a_byte_holds(dtype):
    pred, target = (np.random.default_rng(seed).integers(0, 300, (9, 9)) for seed in (1, 2))
    matrix = confusion_matrix(pred.astype(dtype), target.astype(dtype), num_classes=300, ignore_index=1000)
    assert np.array_equal(matrix, oracle.confusion(pred, target, 300, 1000))


@pytest.mark.parametrize("ignore_index", [-1, 300])
def test_big_endian_void_that_is_no_byte(ignore_index):
    pred, target = np.array([[0, ignore_index, 1]], ">i4"), np.array([[0, 1, ignore_index]], ">i4")
    matrix = confusion_matrix(pred, target, num_classes=2, ignore_index=ignore_index)
    assert matrix.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_big_endian_bad_label_is_named_by_its_value():
    with pytest.raises(LabelError, match=r"`pred` holds label\(s\) \[200\] \(1 pixels\)"):
        count(np.array([[200]], ">i4"), np.array([[0]], ">i4"))


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.swapaxes(-1, -2),
        lambda a: a[..., ::2],
        lambda a: a[..., 1::3, :],
        lambda a: a[..., ::-1],
        lambda a: a[..., ::-1, ::-2],
        lambda a: a[::-1],
        np.asfortranarray,
        lambda a: np.broadcast_to(a[0, 0], a.shape),
        lambda a: a.transpose(1, 0, 2, 3),
    ],
    ids=["transposed", "columns", "rows", "mirrored", "turned", "reversed", "fortran", "broadcast", "batch swapped"],
)
def test_strides(maps, view, dtype):
    pred, target = (view(labels.astype(dtype)) for labels in maps)
    assert np.array_equal(count(pred, target), expected(pred, target))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_r10_read_only_inputs_work_and_stay_as_they_were(maps, dtype):
    pred, target = (labels.astype(dtype) for labels in maps)
    before = pred.copy(), target.copy()
    pred.setflags(write=False)
    target.setflags(write=False)
    assert np.array_equal(count(pred, target), expected(*before))
    assert np.array_equal(pred, before[0])
    assert np.array_equal(target, before[1])


@pytest.mark.parametrize("num_classes", [19, 300])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int64", ">i4"])
@pytest.mark.parametrize("ignore_index", [None, 0, 100, -1])
def test_r10_inputs_are_unchanged(num_classes, dtype, ignore_index):
    pred, target = (np.random.default_rng(seed).integers(0, 19, (6, 7)).astype(dtype) for seed in (1, 2))
    if ignore_index == -1 and dtype != "uint8":
        pred[0], target[:, 0] = -1, -1
    before = pred.copy(), target.copy()
    confusion_matrix(pred, target, num_classes=num_classes, ignore_index=ignore_index)
    assert np.array_equal(pred, before[0])
    assert np.array_equal(target, before[1])


def test_r10_scores_are_unchanged():
    scores = np.random.default_rng(0).normal(size=(3, 4, 5))
    before = scores.copy()
    scores.setflags(write=False)
    confusion_matrix(scores, np.zeros((4, 5), int), num_classes=3)
    assert np.array_equal(scores, before)


# ── shapes ──


@pytest.mark.parametrize("shape", [(96, 12), (1, 1152), (1152, 1), (6, 12, 16), (1, 6, 12, 16), (2, 3, 4, 3, 16)])
def test_any_number_of_leading_axes(maps, shape):
    pred, target = (labels.reshape(shape) for labels in maps)
    assert np.array_equal(count(pred, target), expected(pred, target))


def test_nested_lists_of_numbers():
    assert count([[0, 1], [2, 255]], ((0, 1), (1, 0))).sum() == 4


def test_list_of_maps_of_differing_sizes(maps):
    pred, target = maps
    sizes = [(slice(0, h), slice(0, w)) for h, w in ((12, 16), (5, 7), (1, 1))]
    preds, targets = [pred[0, 0][size] for size in sizes], [target[0, 0][size] for size in sizes]
    assert np.array_equal(count(preds, targets), sum(map(expected, preds, targets)))


def test_tuple_of_maps(maps):
    pred, target = maps
    assert np.array_equal(count(tuple(pred), tuple(target)), expected(pred, target))


def test_list_of_maps_of_differing_dtypes(maps):
    pred, target = maps
    preds = [labels.astype(dtype) for labels, dtype in zip(pred[0], ("uint8", "int64", ">i2"), strict=True)]
    assert np.array_equal(count(preds, list(target[0])), expected(pred[0], target[0]))


def test_list_against_array(maps):
    pred, target = maps
    assert np.array_equal(count(list(pred[0]), target[0]), expected(pred[0], target[0]))
    assert np.array_equal(count(pred[0], list(target[0])), expected(pred[0], target[0]))


def test_list_of_batches(maps):
    pred, target = maps
    assert np.array_equal(
        count([pred[0], pred[1][:1]], [target[0], target[1][:1]]),
        expected(np.concatenate([pred[0], pred[1][:1]]), np.concatenate([target[0], target[1][:1]])),
    )


def test_list_of_scores_of_differing_sizes():
    generator = np.random.default_rng(0)
    scores = [generator.normal(size=(3, h, w)) for h, w in ((4, 5), (2, 7))]
    targets = [generator.integers(0, 3, s.shape[1:]) for s in scores]
    matrix = confusion_matrix(scores, targets, num_classes=3)
    assert np.array_equal(
        matrix, sum(oracle.confusion(s.argmax(0), t, 3) for s, t in zip(scores, targets, strict=True))
    )


# ── scores ──


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", ">f4", ">f8"])
@pytest.mark.parametrize("num_classes", [2, 19, 255, 256, 257, 300])
def test_highest_score_decides(num_classes, dtype):
    generator = np.random.default_rng(num_classes)
    scores = generator.normal(size=(2, num_classes, 7, 9)).astype(dtype)
    target = generator.integers(0, num_classes, (2, 7, 9))
    expected_matrix = oracle.confusion(scores.argmax(axis=1), target, num_classes)
    assert np.array_equal(confusion_matrix(scores, target, num_classes=num_classes), expected_matrix)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_scores_are_compared_as_precisely_as_they_are_given(dtype: str) -> None:
    one = np.dtype(dtype).type(1)
    above = np.nextafter(one, one + one)
    scores = np.array([[[one, above, above, one]], [[above, one, above, one]]])
    assert labels_of_scores(scores).tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize(("num_classes", "dtype"), [(2, np.uint8), (256, np.uint8), (257, np.uint16)])
def test_labels_of_scores_take_no_more_bytes_than_they_need(num_classes: int, dtype: type) -> None:
    labels = labels_of_scores(np.arange(num_classes, dtype=np.float32).reshape(-1, 1, 1))
    assert labels.dtype == dtype
    assert labels.tolist() == [[num_classes - 1]]


def test_ties_take_the_lowest_class():
    scores = np.array([[[0.5, 0.1, 0.0]], [[0.5, 0.7, 0.0]], [[0.4, 0.7, 0.0]]])
    matrix = confusion_matrix(scores, [[0, 0, 0]], num_classes=3)
    assert matrix[0].tolist() == [2, 1, 0, 0]  # labels 0, 1, 0


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_scores_with_many_ties(dtype):
    scores = np.random.default_rng(0).integers(-2, 3, (5, 30, 40)).astype(dtype)
    target = np.zeros((30, 40), int)
    expected_matrix = oracle.confusion(scores.argmax(axis=0), target, 5)
    assert np.array_equal(confusion_matrix(scores, target, num_classes=5), expected_matrix)


def test_infinite_scores():
    inf = np.inf
    scores = np.array([[[-inf, -inf, inf, 0.0]], [[-inf, -5.0, 9.0, inf]], [[-inf, -inf, 1.0, -inf]]])
    matrix = confusion_matrix(scores, [[0, 0, 0, 0]], num_classes=3)
    assert matrix[0].tolist() == [2, 2, 0, 0]  # labels 0, 1, 0, 1


def test_scores_of_a_void_class_predict_no_class():
    scores = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert confusion_matrix(scores, [[1, 1]], num_classes=2, ignore_index=0).tolist() == [[0, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_r18_nan_scores_are_refused_with_their_count(channel, dtype):
    scores = np.zeros((2, 3, 4, 5), dtype)
    scores[0, channel, 1, 1:4] = np.nan
    scores[1, channel, 3, 4] = np.nan
    with pytest.raises(LabelError, match="`pred` holds NaN scores at 4 pixels") as raised:
        confusion_matrix(scores, np.zeros((2, 4, 5), int), num_classes=3)
    assert raised.value.argument == "pred"


def test_r18_nan_is_refused_where_the_target_is_void():
    scores = np.full((3, 1, 2), np.nan)
    with pytest.raises(LabelError, match="NaN scores at 2 pixels"):
        confusion_matrix(scores, [[255, 255]], num_classes=3, ignore_index=255)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("classes", [(0, 1), (1, 4), (3, 4), (0, 1, 2, 3, 4)], ids=str)
def test_scores_that_overflowed_decide_for_no_class(classes, dtype):
    """Whatever order they overflowed in, +inf for two classes is no highest score."""
    scores = np.zeros((2, 5, 300, 400), dtype)
    scores[1, classes, 299, 396:399] = np.inf
    scores[0, classes, 0, 0] = np.inf
    with pytest.raises(LabelError, match=r"`pred` holds scores of \+inf for two or more classes at 4 pixels") as raised:
        confusion_matrix(scores, np.zeros((2, 300, 400), int), num_classes=5)
    assert raised.value.argument == "pred"
    assert "float32" in str(raised.value)


def test_scores_that_overflowed_are_refused_in_a_clip_and_where_the_target_is_void():
    scores = np.array([[[np.inf, 1]], [[np.inf, 2]], [[-np.inf, 0]]])
    with pytest.raises(LabelError, match=r"\+inf for two or more classes at 1 pixels"):
        confusion_matrix(scores, [[255, 1]], num_classes=3, ignore_index=255)
    with pytest.raises(LabelError, match=r"frame 0 of sequence 'clip': .* \+inf for two or more classes at 1 pixels"):
        FlameMeter(3).update_sequence([scores], [[[0, 1]]], sequence="clip")


def test_float16_that_overflows_is_refused_and_its_float32_is_counted():
    logits = np.array([[[70000.0]], [[80000.0]], [[1.0]]], np.float32)
    with np.errstate(over="ignore"), pytest.raises(LabelError, match="did they overflow in a lower precision"):
        confusion_matrix(logits.astype(np.float16), [[1]], num_classes=3)
    assert confusion_matrix(logits, [[1]], num_classes=3)[1, 1] == 1


def test_one_infinity_and_all_at_minus_infinity_are_scores():
    scores = np.full((3, 1, 3), -np.inf)
    scores[2, 0, 0] = np.inf
    scores[1, 0, 1] = 0
    assert confusion_matrix(scores, [[2, 1, 0]], num_classes=3).diagonal().tolist() == [1, 1, 1]


def test_r18_nan_beside_infinity():
    scores = np.array([[[np.nan]], [[np.inf]], [[-np.inf]]])
    with pytest.raises(LabelError, match="NaN scores at 1 pixels"):
        confusion_matrix(scores, [[0]], num_classes=3)


@pytest.mark.parametrize(
    "layout",
    [
        lambda s: np.ascontiguousarray(np.moveaxis(s, -3, -1)).transpose(0, 3, 1, 2),
        lambda s: s[..., ::-1],
        lambda s: s.swapaxes(-1, -2),
        lambda s: np.repeat(s, 2, axis=-1)[..., ::2],
        np.asfortranarray,
    ],
    ids=["channels last", "mirrored", "transposed", "strided", "fortran"],
)
def test_layouts_of_scores(layout):
    generator = np.random.default_rng(1)
    scores = layout(generator.normal(size=(2, 19, 8, 9)).astype(np.float32))
    target = generator.integers(0, 19, (2, *scores.shape[2:]))
    expected_matrix = oracle.confusion(scores.argmax(axis=1), target, 19)
    assert np.array_equal(confusion_matrix(scores, target, num_classes=19), expected_matrix)


@pytest.mark.parametrize("shape", [(1, 70_000), (70_000, 1), (300, 300), (257, 256)])
def test_large_maps_of_scores(shape):
    generator = np.random.default_rng(2)
    scores = generator.normal(size=(3, *shape)).astype(np.float32)
    target = generator.integers(0, 3, shape)
    expected_matrix = oracle.confusion(scores.argmax(axis=0), target, 3)
    assert np.array_equal(confusion_matrix(scores, target, num_classes=3), expected_matrix)


def test_scores_of_one_map_against_a_batch_of_one():
    scores = np.random.default_rng(3).normal(size=(1, 3, 4, 5))
    target = np.zeros((1, 4, 5), int)
    assert np.array_equal(
        confusion_matrix(scores, target, num_classes=3), confusion_matrix(scores[0], target[0], num_classes=3)
    )


def test_as_many_frames_as_classes_are_labels_not_scores():
    labels = np.random.default_rng(4).integers(0, 3, (3, 4, 5))
    assert np.array_equal(confusion_matrix(labels, labels, num_classes=3), oracle.confusion(labels, labels, 3))


# ── PyTorch tensors ──


@pytest.fixture(scope="module")
def torch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.set_num_threads(1)
    return torch


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"])
def test_tensor_labels(torch, dtype):
    generator = np.random.default_rng(5)
    pred, target = (generator.integers(0, 19, (2, 6, 7)) for _ in range(2))
    tensors = [torch.from_numpy(labels).to(getattr(torch, dtype)) for labels in (pred, target)]
    assert np.array_equal(count(*tensors), expected(pred, target))
    assert np.array_equal(count(tensors[0], target), expected(pred, target))
    assert np.array_equal(count(list(tensors[0]), list(tensors[1])), expected(pred, target))
    assert np.array_equal(count(list(tensors[0]), target), expected(pred, target))


def test_bool_tensors(torch):
    pred, target = torch.tensor([[True, False]]), torch.tensor([[True, True]])
    assert confusion_matrix(pred, target, num_classes=2).tolist() == [[0, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("requires_grad", [False, True])
def test_tensor_scores(torch, dtype, requires_grad):
    # whole numbers: the same in every dtype, with many ties
    scores = np.random.default_rng(6).integers(-9, 10, (2, 19, 6, 7))
    target = np.random.default_rng(7).integers(0, 19, (2, 6, 7))
    tensor = torch.from_numpy(scores).to(getattr(torch, dtype)).requires_grad_(requires_grad)
    assert np.array_equal(count(tensor, torch.from_numpy(target)), expected(scores.argmax(axis=1), target))
    assert tensor.requires_grad == requires_grad


def test_channels_last_tensor_scores(torch):
    scores = torch.randn(2, 19, 6, 7, generator=torch.Generator().manual_seed(0))
    target = np.random.default_rng(8).integers(0, 19, (2, 6, 7))
    last = scores.to(memory_format=torch.channels_last)
    assert np.array_equal(count(last, target), expected(scores.argmax(1).numpy(), target))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_r18_nan_in_tensor_scores(torch, dtype):
    scores = torch.zeros(3, 2, 2, dtype=getattr(torch, dtype))
    scores[1, 0, 0] = float("nan")
    with pytest.raises(LabelError, match="NaN scores at 1 pixels"):
        confusion_matrix(scores, torch.zeros(2, 2, dtype=torch.long), num_classes=3)


def test_tensors_are_unchanged(torch):
    pred, target = torch.randint(0, 19, (4, 5)), torch.randint(0, 19, (4, 5))
    before = pred.clone(), target.clone()
    count(pred, target)
    assert torch.equal(pred, before[0])
    assert torch.equal(target, before[1])


def test_float_tensor_labels_are_refused(torch):
    with pytest.raises(LabelError, match="`target` holds float32 values"):
        count(torch.zeros(2, 2, dtype=torch.long), torch.zeros(2, 2))


def test_labels_chosen_where_the_scores_lie(torch):
    """What runs on an accelerator, run here: the scores stay there, their labels come back."""
    scores = torch.tensor(np.random.default_rng(8).integers(-2, 3, (3, 5, 4, 6)), dtype=torch.float32)
    assert np.array_equal(_labels_on_device(scores.requires_grad_()), scores.detach().numpy().argmax(axis=1))
    spoilt = scores.detach().clone()
    spoilt[1, 0, 2, 3] = float("nan")
    with pytest.raises(LabelError, match="NaN scores at 1 pixels"):
        _labels_on_device(spoilt)


@pytest.fixture
def far(torch):
    """Make a tensor that says it lies on a GPU, and whose scores must not be copied from there."""

    class FarTensor(torch.Tensor):
        @property
        def device(self):
            return torch.device("cuda")

        def cpu(self):
            assert not self.is_floating_point(), "scores were copied"
            return self.as_subclass(torch.Tensor)

    return lambda values: torch.tensor(values).as_subclass(FarTensor)


def test_scores_stay_on_their_device(far) -> None:
    scores = np.random.default_rng(8).integers(-2, 3, (2, 5, 4, 6)).astype(np.float32)
    target = np.random.default_rng(9).integers(0, 5, (2, 4, 6))
    wanted = confusion_matrix(scores.argmax(axis=1), target, num_classes=5)
    assert np.array_equal(confusion_matrix(far(scores), target, num_classes=5), wanted)
    assert np.array_equal(confusion_matrix(list(far(scores)), list(far(target)), num_classes=5), wanted)
    for maps in (scores[0], scores[0].argmax(axis=0)):
        coded = code_map(far(maps), LabelSpace(5))
        assert coded.pixels().tolist() == scores[0].argmax(axis=0).reshape(-1).tolist()


def test_what_lies_on_an_accelerator(torch, far) -> None:
    assert _on_accelerator(far([0.5]))
    assert not _on_accelerator(torch.tensor([0.5]))
    assert not _on_accelerator(np.array([0.5]))


def test_a_target_is_checked_before_scores_are_read(far) -> None:
    with pytest.raises(LabelError, match=r"`target` holds float64 .*, expected integer labels 0\.\.1; "):
        confusion_matrix(far([[[0.0]], [[float("nan")]]]), [[0.5]], num_classes=2)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_tensors_on_a_gpu(torch, dtype):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    scores = np.random.default_rng(6).integers(-9, 10, (2, 19, 65, 70))
    target = np.random.default_rng(7).integers(0, 19, (2, 65, 70))
    tensor = torch.from_numpy(scores).to("cuda", getattr(torch, dtype))
    wanted = expected(scores.argmax(axis=1), target)
    assert np.array_equal(count(tensor, torch.from_numpy(target).cuda()), wanted)
    assert np.array_equal(count(list(tensor), target), wanted)
    assert np.array_equal(count(tensor.argmax(1), target), wanted)
    tensor[0, 3, 5, 5] = float("nan")
    with pytest.raises(LabelError, match="NaN scores at 1 pixels"):
        count(tensor, target)


# ── Pillow images ──


@pytest.mark.parametrize("ignore_index", [None, 255, -1, 1])
def test_r20_bool_maps_whose_true_is_the_byte_255(ignore_index):
    labels = np.array([[0, 255], [255, 255]], np.uint8).view(bool)  # as Pillow gives a 1-bit mask
    matrix = confusion_matrix(labels, [[0, 0], [1, 1]], num_classes=2, ignore_index=ignore_index)
    assert np.array_equal(matrix, oracle.confusion([[0, 1], [1, 1]], [[0, 0], [1, 1]], 2, ignore_index))


@pytest.fixture(scope="module")
def image():
    return pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def test_grey_images(image, maps):
    pred, target = maps[0][0, 0].astype(np.uint8), maps[1][0, 0].astype(np.uint8)
    assert np.array_equal(count(image.fromarray(pred), image.fromarray(target)), expected(pred, target))


def test_16_bit_images(image):
    pred, target = (np.random.default_rng(seed).integers(0, 300, (5, 6)).astype(np.uint16) for seed in (1, 2))
    matrix = confusion_matrix(image.fromarray(pred), image.fromarray(target), num_classes=300)
    assert np.array_equal(matrix, oracle.confusion(pred, target, 300))


def test_palette_images_give_their_indices(image):
    labels = np.array([[0, 1], [2, 1]], np.uint8)
    picture = image.fromarray(labels)
    picture.putpalette([128, 64, 128, 244, 35, 232, 70, 70, 70])
    assert picture.mode == "P"
    assert confusion_matrix(picture, labels, num_classes=3).diagonal().tolist() == [1, 2, 1]


def test_r20_one_bit_images_are_two_classes(image):
    labels = np.array([[0, 1], [1, 1]], np.uint8)
    picture = image.fromarray(labels * 255).convert("1")
    assert picture.mode == "1"
    assert confusion_matrix(picture, labels, num_classes=2).tolist() == [[1, 0, 0], [0, 3, 0]]
    assert confusion_matrix(labels, picture, num_classes=2).tolist() == [[1, 0, 0], [0, 3, 0]]


def test_list_of_images(image, maps):
    pred, target = maps[0][0].astype(np.uint8), maps[1][0].astype(np.uint8)
    images = [[image.fromarray(labels) for labels in batch] for batch in (pred, target)]
    assert np.array_equal(count(*images), expected(pred, target))


def test_list_of_images_of_differing_sizes(image):
    labels = [np.zeros((2, 3), np.uint8), np.ones((4, 2), np.uint8)]
    images = [image.fromarray(each) for each in labels]
    assert confusion_matrix(images, images, num_classes=2).tolist() == [[6, 0, 0], [0, 8, 0]]
    assert confusion_matrix(images, labels, num_classes=2).tolist() == [[6, 0, 0], [0, 8, 0]]


def test_objects_with_the_array_interface():
    class Map:
        def __array__(self, dtype=None, copy=None):
            return np.array([[0, 1]])

    assert confusion_matrix(Map(), [[0, 1]], num_classes=2).trace() == 2


def test_counting_does_not_import_torch(run_python):
    program = (
        "import sys, flame_metric; flame_metric.confusion_matrix([[0]], [[0]], num_classes=2); "
        "print('torch' in sys.modules)"
    )
    assert run_python(program) == "False"
