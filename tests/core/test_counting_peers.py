"""Other libraries on the same label maps: where they are defined alike, the numbers are equal."""

import numpy as np
import pytest

from flame_metric import class_counts, confusion_matrix, iou_per_class, mean_iou

VOID = 255


def draw(num_classes, seed, absent=()):
    """A prediction and a target with void, and without the absent classes."""
    generator = np.random.default_rng(seed)
    present = [label for label in range(num_classes) if label not in absent]
    pred, target = generator.choice(present, (2, 3, 24, 32))
    target[generator.random(target.shape) < 0.15] = VOID
    pred[0] = np.where(target[0] == VOID, pred[0], target[0])  # one frame is right
    return pred, target


CASES = [(2, 0, ()), (5, 1, (3,)), (19, 2, ()), (19, 3, (0, 7, 18)), (150, 4, (149,))]


@pytest.mark.parametrize(("num_classes", "seed", "absent"), CASES)
def test_torchmetrics_jaccard_index(num_classes, seed, absent):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    classification = pytest.importorskip("torchmetrics.classification", reason="torchmetrics is not installed")
    torch.set_num_threads(1)
    pred, target = draw(num_classes, seed, absent)
    peer = classification.MulticlassJaccardIndex(num_classes, average=None, ignore_index=VOID)
    for frame in range(len(pred)):
        peer.update(torch.from_numpy(pred[frame])[None], torch.from_numpy(target[frame])[None])
    theirs = peer.compute().numpy()
    counts = class_counts(pred, target, num_classes=num_classes, ignore_index=VOID)
    ours = iou_per_class(counts)
    present = ~np.isnan(ours)
    assert [label for label in range(num_classes) if not present[label]] == list(absent)
    assert ours[present].tolist() == pytest.approx(theirs[present].tolist(), abs=1e-6)  # theirs is float32
    assert float(mean_iou(counts)) == pytest.approx(float(theirs[present].astype(np.float64).mean()), abs=1e-6)


@pytest.mark.parametrize(("num_classes", "seed", "absent"), CASES)
def test_torchmetrics_confusion_matrix(num_classes, seed, absent):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    classification = pytest.importorskip("torchmetrics.classification", reason="torchmetrics is not installed")
    torch.set_num_threads(1)
    pred, target = draw(num_classes, seed, absent)
    peer = classification.MulticlassConfusionMatrix(num_classes, ignore_index=VOID)
    peer.update(torch.from_numpy(pred), torch.from_numpy(target))
    ours = confusion_matrix(pred, target, num_classes=num_classes, ignore_index=VOID)
    assert np.array_equal(ours[:, :-1], peer.compute().numpy())
    assert not ours[:, -1].any()


@pytest.mark.parametrize(("num_classes", "seed", "absent"), CASES)
def test_scikit_learn_confusion_matrix(num_classes, seed, absent):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    pred, target = draw(num_classes, seed, absent)
    valid = target != VOID
    theirs = metrics.confusion_matrix(target[valid], pred[valid], labels=range(num_classes))
    ours = confusion_matrix(pred, target, num_classes=num_classes, ignore_index=VOID)
    assert np.array_equal(ours[:, :-1], theirs)


@pytest.mark.parametrize(("num_classes", "seed"), [(5, 5), (19, 6)])
def test_scikit_learn_jaccard_with_void_predictions(num_classes, seed):
    # a void prediction is one more label there: a miss of the target's class, and no class of ours gains by it
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    pred, target = draw(num_classes, seed)
    pred[np.random.default_rng(seed).random(pred.shape) < 0.1] = VOID
    valid = target != VOID
    theirs = metrics.jaccard_score(target[valid], pred[valid], labels=range(num_classes), average=None)
    ours = iou_per_class(class_counts(pred, target, num_classes=num_classes, ignore_index=VOID))
    assert ours.tolist() == pytest.approx(theirs.tolist(), abs=1e-15)
