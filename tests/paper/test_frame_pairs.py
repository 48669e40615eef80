from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.utils.data import DataLoader  # noqa: E402

from flame_metric.data.synthetic import synthetic_video  # noqa: E402
from flame_metric.data.videos import VideoSequence  # noqa: E402
from flame_metric.errors import ConfigError, DatasetError, LabelError, ShapeError  # noqa: E402
from flame_metric.paper.augmentation import IGNORED, Augmentation, network_input  # noqa: E402
from flame_metric.paper.frame_pairs import FramePairs  # noqa: E402


class Reading(Sequence[Any]):
    """Items read on access; remembers which were."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values, self.read = values, []

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Any:
        self.read.append(index)
        return self.values[index]


def numbered(
    frames: int = 6,
    labelled: Sequence[int] | None = None,
    *,
    name: str = "a",
    first: int = 0,
) -> VideoSequence:
    """A video whose frame i is grey i, and whose label map i is full of i."""
    images = [np.full((2, 3, 3), first + i, np.uint8) for i in range(frames)]
    maps = [np.full((2, 3), first + i, np.uint8) for i in range(frames)]
    kept = [m if labelled is None or i in labelled else None for i, m in enumerate(maps)]
    return VideoSequence(name, images, kept, Fraction(15))


def meaning(item: tuple[torch.Tensor, torch.Tensor]) -> tuple[list[int], int]:
    """Numbers of the input frames, and of the label map, of an item of a numbered video."""
    image, target = item
    greys = [next(g for g in range(256) if torch.equal(network_input(_grey(g)), part)) for part in image.split(3)]
    return greys, int(target[0, 0])


def _grey(value: int) -> torch.Tensor:
    return torch.full((1, 3, 2, 3), value, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("frame_offset", "frames", "expected"),
    [
        (0, 1, [([0], 0), ([1], 1), ([2], 2), ([3], 3), ([4], 4), ([5], 5)]),
        (1, 1, [([0], 1), ([1], 2), ([2], 3), ([3], 4), ([4], 5)]),
        (4, 1, [([0], 4), ([1], 5)]),
        (0, 2, [([0, 1], 1), ([1, 2], 2), ([2, 3], 3), ([3, 4], 4), ([4, 5], 5)]),
        (1, 2, [([0, 1], 2), ([1, 2], 3), ([2, 3], 4), ([3, 4], 5)]),
        (2, 3, [([0, 1, 2], 4), ([1, 2, 3], 5)]),
    ],
)
def test_items_by_hand(frame_offset: int, frames: int, expected: list[tuple[list[int], int]]) -> None:
    pairs = FramePairs([numbered()], frame_offset=frame_offset, num_classes=6, frames=frames)
    assert len(pairs) == len(expected)
    assert [meaning(pairs[i]) for i in range(len(pairs))] == expected


def test_videos_follow_each_other_and_never_mix() -> None:
    videos = [numbered(3), numbered(2, name="b", first=10), numbered(4, [1, 3], name="c", first=20)]
    pairs = FramePairs(videos, frame_offset=1, num_classes=30, frames=2)
    assert [meaning(item) for item in pairs] == [([0, 1], 2), ([21, 22], 23)]
    assert meaning(pairs[-1]) == ([21, 22], 23)
    assert meaning(pairs[np.int64(1)]) == ([21, 22], 23)
    for outside in (2, -3, (0, 2)):
        with pytest.raises(IndexError):
            pairs[outside]


def test_types_and_shapes() -> None:
    image, target = FramePairs([numbered()], frame_offset=1, num_classes=6, frames=2)[0]
    assert (image.shape, image.dtype) == ((6, 2, 3), torch.float32)
    assert (target.shape, target.dtype) == ((2, 3), torch.int64)
    video = synthetic_video(num_frames=4, height=32, width=48)
    pairs = FramePairs([video], frame_offset=1, num_classes=8, ignore_index=255)
    assert torch.equal(pairs[1][0], network_input(torch.from_numpy(video.frames[1]).permute(2, 0, 1)[None]))


def test_void_becomes_the_label_that_losses_leave_out() -> None:
    video = VideoSequence("v", [np.zeros((1, 4, 3), np.uint8)], [np.array([[0, 255, 2, 1]], np.uint8)], Fraction(15))
    _, target = FramePairs([video], frame_offset=0, num_classes=3, ignore_index=255)[0]
    assert target.tolist() == [[0, IGNORED, 2, 1]]
    logits = torch.zeros(1, 3, 1, 4).requires_grad_()
    torch.nn.functional.cross_entropy(logits, target[None]).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum(1)[0, 0].bool().tolist() == [True, False, True, True]
    _, target = FramePairs([video], frame_offset=0, num_classes=3, ignore_index=255)[0]
    class_is_void = VideoSequence("v", video.frames, [np.array([[0, 1, 2, 1]])], Fraction(15))
    assert FramePairs([class_is_void], frame_offset=0, num_classes=3, ignore_index=1)[0][1].tolist() == [
        [0, IGNORED, 2, IGNORED]
    ]


def test_a_label_that_is_no_class_is_refused() -> None:
    pairs = FramePairs([numbered()], frame_offset=1, num_classes=4, ignore_index=255)
    assert meaning(pairs[2]) == ([2], 3)
    with pytest.raises(LabelError, match=r"frame 4 of video 'a': `target` holds label\(s\) \[4\] \(6 pixels\)"):
        pairs[3]
    floats = VideoSequence("f", [np.zeros((2, 2, 3), np.uint8)], [np.zeros((2, 2))], Fraction(15))
    with pytest.raises(LabelError, match="holds float64 values"):
        FramePairs([floats], frame_offset=0, num_classes=2)[0]


def test_only_what_an_item_needs_is_read() -> None:
    video = numbered(30, [19])
    frames, targets = Reading(video.frames), list(video.targets)
    pairs = FramePairs([VideoSequence("clip", frames, targets, video.fps)], frame_offset=4, num_classes=20, frames=2)
    assert frames.read == []
    assert meaning(pairs[0]) == ([14, 15], 19)
    assert frames.read == [14, 15]


def test_targets_that_say_which_frames_are_labelled_are_not_read() -> None:
    targets = Reading(numbered(30, [9, 19]).targets)
    targets.labelled = [9, 19]  # type: ignore[attr-defined]
    video = VideoSequence("clip", numbered(30).frames, targets, Fraction(15))
    pairs = FramePairs([video], frame_offset=1, num_classes=20)
    assert (len(pairs), targets.read) == (2, [])
    assert meaning(pairs[1]) == ([18], 19)
    assert targets.read == [19]
    assert len(FramePairs([synthetic_video(num_frames=10**6)], frame_offset=3, num_classes=8)) == 10**6 - 3


AUGMENTED = {"frame_offset": 1, "num_classes": 8, "ignore_index": 255, "frames": 2}


@pytest.fixture(scope="module")
def pairs() -> FramePairs:
    videos = [synthetic_video(num_frames=5, height=40, width=60, seed=seed) for seed in (0, 1)]
    return FramePairs(videos, augmentation=Augmentation(crop=(32, 32)), seed=3, **AUGMENTED)


def same(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_an_item_is_a_function_of_seed_epoch_and_index(pairs: FramePairs) -> None:
    once = {(epoch, i): pairs[epoch, i] for epoch in (0, 1, 7) for i in range(len(pairs))}
    torch.manual_seed(1)
    for key in reversed(once):
        assert same(pairs[key], once[key])
    assert same(pairs[2], once[0, 2])
    assert same(pairs[-1], once[0, len(pairs) - 1])
    assert not same(once[0, 2], once[1, 2])
    assert once[0, 0][0].shape == (6, 32, 32)
    again = FramePairs(pairs._sequences, augmentation=Augmentation(crop=(32, 32)), seed=3, **AUGMENTED)
    other = FramePairs(pairs._sequences, augmentation=Augmentation(crop=(32, 32)), seed=4, **AUGMENTED)
    assert same(again[7, 3], once[7, 3])
    assert not same(other[7, 3], once[7, 3])


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_agree_with_the_main_process(pairs: FramePairs, start: str) -> None:
    order = [(epoch, i) for epoch in (0, 1) for i in range(len(pairs))][:8]
    loader = DataLoader(pairs, batch_size=4, sampler=order, num_workers=2, multiprocessing_context=start)
    images, targets = zip(*loader, strict=True)
    expected = [pairs[key] for key in order]
    assert torch.equal(torch.cat(images), torch.stack([image for image, _ in expected]))
    assert torch.equal(torch.cat(targets), torch.stack([target for _, target in expected]))


def test_geometry_is_that_of_frames_and_target_alike() -> None:
    """Labels painted as grey levels: after any augmentation without blur, grey and label agree but on boundaries."""
    rng = np.random.default_rng(0)
    maps = [np.kron(rng.integers(0, 2, (4, 6)), np.ones((12, 12))).astype(np.uint8) for _ in range(3)]
    frames = [np.repeat(200 * m[..., None], 3, axis=2) for m in (maps[2], maps[2], maps[0])]
    video = VideoSequence("v", frames, maps, Fraction(15))
    sharp = Augmentation(crop=(40, 40), blur_probability=0.0)
    pairs = FramePairs([video], frame_offset=1, num_classes=2, frames=2, augmentation=sharp)
    for epoch in range(10):
        image, target = pairs[epoch, 0]  # frames 0 and 1 show what the labels of frame 2 say
        inside = target != IGNORED
        grey = (image[[0, 3]] * 0.229 + 0.485) * 255 / 200
        assert (grey.round() == target)[:, inside].double().mean() > 0.95


NO_HISTORY = (
    "`frame_offset` is 20 with 1 input frame(s), which takes 20 frames before a labelled one; these clips have at most "
    "19: k is beyond the clips' history, expected `frame_offset` <= 19"
)


def test_k_beyond_the_history_of_one_label_clips() -> None:
    clips = [numbered(30, [19], name=name) for name in "ab"]
    assert len(FramePairs(clips, frame_offset=19, num_classes=20)) == 2
    for options, message in [
        ({"frame_offset": 20}, NO_HISTORY),
        ({"frame_offset": 19, "frames": 2}, "expected `frame_offset` <= 18"),
        (
            {"frame_offset": 0, "frames": 21},
            "`frames` is 21, and no labelled frame has more than 19 frame(s) before it",
        ),
    ]:
        with pytest.raises(ConfigError) as caught:
            FramePairs(clips, num_classes=20, **options)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("sequences", "options", "error", "message"),
    [
        ([], {}, ConfigError, "`sequences` holds no video, expected at least one"),
        (3, {}, ConfigError, "`sequences` is 3, expected videos (VideoSequence); of a VideoDataset its `.sequences`"),
        (["a"], {}, ConfigError, "`sequences` is 'a', expected videos (VideoSequence)"),
        ([numbered(4, [])], {}, DatasetError, "none of 1 video(s) has a labelled frame"),
        (None, {"frame_offset": -1}, ConfigError, "`frame_offset` is -1, expected a whole number of frames >= 0"),
        (None, {"frames": 0}, ConfigError, "`frames` is 0, expected a whole number of input frames >= 1"),
        (None, {"num_classes": 1}, ConfigError, "`num_classes` is 1, expected an integer 2..4096"),
        (None, {"seed": -1}, ConfigError, "`seed` is -1, expected a whole number >= 0"),
        (None, {"augmentation": "flip"}, ConfigError, "`augmentation` is 'flip', expected an Augmentation or None"),
    ],
)
def test_wrong_options_are_named(sequences: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        FramePairs([numbered()] if sequences is None else sequences, **{"frame_offset": 0, "num_classes": 6, **options})
    assert message in str(caught.value)


def test_wrong_videos_are_named() -> None:
    good = numbered(2)
    longer = VideoSequence("v", good.frames, good.targets[:1], good.fps)
    with pytest.raises(ShapeError, match="video 'v' has 2 frames and 1 targets"):
        FramePairs([longer], frame_offset=0, num_classes=6)
    for frames, error, message in [
        (
            [image.astype(float) for image in good.frames],
            DatasetError,
            "image 0 of video 'v' is float64 of shape (2, 3, 3)",
        ),
        ([image[..., 0] for image in good.frames], DatasetError, "uint8 of shape (2, 3), expected RGB of uint8"),
        ([image[:1] for image in good.frames], ShapeError, "image 0 has shape (1, 3) and the labels (2, 3)"),
    ]:
        with pytest.raises(error) as caught:
            FramePairs([VideoSequence("v", frames, good.targets, good.fps)], frame_offset=1, num_classes=6)[0]
        assert message in str(caught.value)
    with pytest.raises(ConfigError, match="`epoch` is -1"):
        FramePairs([good], frame_offset=0, num_classes=6)[-1, 0]
