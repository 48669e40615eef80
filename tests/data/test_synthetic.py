from __future__ import annotations

import pickle
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from flame_metric.data import synthetic
from flame_metric.data.synthetic import CLASS_NAMES, VOID, synthetic_video
from flame_metric.data.videos import VideoSequence
from flame_metric.errors import ConfigError

SIZE = {"height": 90, "width": 120}
CLASSES = len(CLASS_NAMES)


def label_maps(seed: int, num_frames: int = 101) -> npt.NDArray[np.uint8]:
    return np.stack(synthetic_video(num_frames=num_frames, seed=seed, **SIZE).targets)


@pytest.fixture(scope="module")
def drives() -> list[npt.NDArray[np.uint8]]:
    """Label maps of four videos, 101 frames at 15 fps each."""
    return [label_maps(seed) for seed in range(4)]


def persistence(drives: Sequence[npt.NDArray[np.uint8]], delay: int) -> float:
    """Mean IoU of each label map taken as the prediction for the one ``delay`` frames later, all counts summed."""
    intersection, union = np.zeros(CLASSES), np.zeros(CLASSES)
    for maps in drives:
        pred, target = maps[:-delay], maps[delay:]
        for label in range(CLASSES):
            predicted, actual = (pred == label) & (target != VOID), target == label
            intersection[label] += np.count_nonzero(predicted & actual)
            union[label] += np.count_nonzero(predicted | actual)
    return float((intersection / union).mean())


def same(a: VideoSequence, i: int, b: VideoSequence, j: int) -> bool:
    return np.array_equal(a.frames[i], b.frames[j]) and np.array_equal(a.targets[i], b.targets[j])


def test_frames_and_targets_are_uint8_images_of_the_asked_size() -> None:
    video = synthetic_video(num_frames=7, height=48, width=80, fps="30000/1001", seed=5)
    assert (video.name, video.fps) == ("synthetic-5", Fraction(30000, 1001))
    assert len(video.frames) == len(video.targets) == 7
    assert (video.frames[6].shape, video.frames[6].dtype) == ((48, 80, 3), np.uint8)
    assert (video.targets[6].shape, video.targets[6].dtype) == ((48, 80), np.uint8)
    assert synthetic_video(name="mine").name == "mine"


def test_defaults_are_60_frames_of_256_by_512_at_15_fps() -> None:
    video = synthetic_video()
    assert (len(video.frames), video.frames[0].shape, video.fps) == (60, (256, 512, 3), 15)


def test_order_of_reading_does_not_matter() -> None:
    video, again = (synthetic_video(num_frames=40, seed=2, **SIZE) for _ in range(2))
    order = [39, 0, 17, 0]
    backwards = {i: (again.targets[i], again.frames[i]) for i in reversed(order)}
    for i in order:
        assert np.array_equal(video.frames[i], backwards[i][1])
        assert np.array_equal(video.targets[i], backwards[i][0])


def test_a_longer_video_begins_with_the_same_frames() -> None:
    assert same(synthetic_video(num_frames=9, **SIZE), 8, synthetic_video(num_frames=90, **SIZE), 8)


def test_seeds_give_different_streets() -> None:
    first, second = (synthetic_video(seed=seed, **SIZE).targets[0] for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("fast", "slow"), [(30, 15), ("60000/1001", "30000/1001"), (50.0, 25)])
def test_twice_the_frame_rate_shows_the_same_at_the_same_time(fast: float | str, slow: float | str) -> None:
    twice, once = (synthetic_video(num_frames=60, fps=fps, seed=3, **SIZE) for fps in (fast, slow))
    assert all(same(twice, 2 * i, once, i) for i in (0, 1, 13, 29))
    assert not np.array_equal(twice.targets[27], once.targets[13])


@pytest.mark.slow
def test_labels_are_the_eight_classes_and_void(drives: list[npt.NDArray[np.uint8]]) -> None:
    for maps in drives:
        assert set(np.unique(maps)) == {*range(CLASSES), VOID}


@pytest.mark.slow
def test_void_is_a_few_percent(drives: list[npt.NDArray[np.uint8]]) -> None:
    shares = np.array([(maps == VOID).mean(axis=(1, 2)) for maps in drives])
    assert shares.min() > 0.02
    assert shares.max() < 0.12


@pytest.mark.slow
def test_things_enter_and_leave(drives: list[npt.NDArray[np.uint8]]) -> None:
    for label in map(CLASS_NAMES.index, ("tree", "pole", "car", "pedestrian")):
        for maps in drives:
            middle = (maps[:, :, 40:80] == label).sum(axis=(1, 2))
            assert middle.max() > 1.5 * middle.min()
            assert persistence([maps], 60) < persistence([maps], 1)
            assert not np.array_equal(maps[0] == label, maps[-1] == label)


@pytest.mark.slow
@pytest.mark.parametrize(("delay", "real"), [(1, 0.7355), (2, 0.6362), (5, 0.5107), (10, 0.4216)])
def test_labels_grow_stale_as_in_real_street_video(
    drives: list[npt.NDArray[np.uint8]], delay: int, real: float
) -> None:
    assert persistence(drives, delay) == pytest.approx(real, abs=0.05)


def test_the_sensor_is_noisy_and_labels_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = synthetic_video(num_frames=2, **SIZE)
    frames, targets = list(noisy.frames), list(noisy.targets)
    monkeypatch.setattr(synthetic, "_NOISE", 0.0)
    clean = synthetic_video(num_frames=2, **SIZE)
    noise = [frame.astype(float) - still for frame, still in zip(frames, clean.frames, strict=True)]
    assert [n.std() for n in noise] == pytest.approx([7.0, 7.0], rel=0.1)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05
    assert all(map(np.array_equal, targets, clean.targets))


def test_sequences_behave_as_lists() -> None:
    targets = synthetic_video(num_frames=6, **SIZE).targets
    as_list = list(targets)
    assert len(as_list) == 6
    for part in (slice(1, 5, 2), slice(None, None, -1), slice(-2, None), slice(9, None)):
        assert len(targets[part]) == len(as_list[part])
        assert all(map(np.array_equal, targets[part], as_list[part]))
    assert np.array_equal(targets[-1], as_list[5])
    assert np.array_equal(targets[np.int64(2)], as_list[2])
    assert np.array_equal(targets[1:][2:][-1], as_list[5])
    for outside in (6, -7):
        with pytest.raises(IndexError):
            targets[outside]


def test_labelled_frames_are_known_without_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_render", lambda *scene: pytest.fail("rendered"))
    targets = synthetic_video(num_frames=10**6, **SIZE).targets
    assert targets.labelled == range(10**6)  # type: ignore[attr-defined]
    assert targets[5:20:3].labelled == range(5)  # type: ignore[attr-defined]


def test_what_is_read_may_be_changed() -> None:
    video = synthetic_video(num_frames=1, **SIZE)
    before = video.targets[0].copy()
    video.targets[0][:] = 0
    assert np.array_equal(video.targets[0], before)


def test_a_frame_and_its_labels_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []
    render = synthetic._render
    monkeypatch.setattr(synthetic, "_render", lambda *scene: rendered.append(scene) or render(*scene))
    video = synthetic_video(num_frames=3, **SIZE)
    for i in range(3):
        assert video.frames[i].shape[:2] == video.targets[i].shape
    assert len(rendered) == 3


def test_a_video_can_be_pickled() -> None:
    video = synthetic_video(num_frames=4, **SIZE)
    assert same(pickle.loads(pickle.dumps(video)), 3, video, 3)


@pytest.mark.parametrize(("height", "width"), [(33, 65), (65, 33), (16, 16), (16, 640), (320, 16)])
def test_any_size_works(height: int, width: int) -> None:
    video = synthetic_video(num_frames=200, height=height, width=width, seed=1)
    for i in range(0, 200, 40):
        assert video.frames[i].shape == (height, width, 3)
        assert set(np.unique(video.targets[i])) <= {*range(CLASSES), VOID}


def test_the_street_does_not_end() -> None:
    video = synthetic_video(num_frames=100_000, seed=7, **SIZE)
    last = video.targets[-1]
    assert np.array_equal(last, video.targets[99_999])
    assert {0, 1, 2, 3, VOID} <= set(np.unique(last))
    assert not np.array_equal(last, video.targets[-2])


def test_any_whole_number_is_a_seed() -> None:
    assert synthetic_video(seed=2**80, **SIZE).targets[0].shape == (90, 120)
    assert same(synthetic_video(seed=np.int64(4), **SIZE), 0, synthetic_video(seed=4, **SIZE), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 3}, "`height` is 3, expected a whole number of pixels >= 16"),
        ({"width": 15}, "`width` is 15, expected a whole number of pixels >= 16"),
        ({"num_frames": 0}, "`num_frames` is 0, expected a whole number of frames >= 1"),
        ({"seed": -1}, "`seed` is -1, expected a whole number >= 0"),
        ({"width": True}, "`width` is True, expected a whole number of pixels >= 16"),
        ({"height": 48.0}, "`height` is 48.0, expected a whole number of pixels >= 16"),
        ({"fps": 0}, "`fps` is 0, expected a rate above 0, such as 30, 29.97 or '30000/1001'"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        synthetic_video(**options)  # type: ignore[arg-type]
    assert str(caught.value) == message
