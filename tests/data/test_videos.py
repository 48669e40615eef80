"""Videos whose frames are read on access, and parts of them."""

import pickle
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest

from flame_metric import ConfigError, VideoSequence
from flame_metric.data.synthetic import synthetic_video
from flame_metric.data.videos import OnAccess


def tenfold(index):
    return 10 * index


def test_items_are_read_when_they_are_asked_for_and_not_before():
    read = []
    items = OnAccess(lambda index: read.append(index) or 10 * index, 5)
    part = items[1:4]
    assert (len(items), len(part), read) == (5, 3, [])
    assert (part[0], part[-1], items[-1]) == (10, 30, 40)
    assert read == [1, 3, 4]
    assert list(part[::-1]) == [30, 20, 10]
    assert items.labelled is None


@pytest.mark.parametrize("index", [3, -4])
def test_a_part_ends_at_its_ends(index):
    with pytest.raises(IndexError):
        OnAccess(tenfold, 9)[2:5][index]


def test_unlabelled_items_are_none_and_never_read():
    items = OnAccess(tenfold, 6, labelled=[5, 2])
    assert list(items) == [None, None, 20, None, None, 50]
    assert items.labelled == (2, 5)
    assert items[1:4].labelled == (1,)
    assert items[1:4][1:].labelled == (0,)
    assert items[3:5].labelled == ()
    assert OnAccess(pytest.fail, 3, labelled=[])[1] is None


def test_what_reads_by_a_picklable_function_is_picklable():
    part = pickle.loads(pickle.dumps(OnAccess(tenfold, 6, labelled=[2])[1:]))
    assert list(part) == [None, 20, None, None, None]


class Counting(Sequence):
    """Reads all items of a slice at once, as sequences of other packages may."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[place] for place in range(4)[index]]
        self.read.append(index)
        return index


def test_a_part_of_a_video_reads_nothing_and_keeps_what_belongs_together():
    frames, targets = Counting(), Counting()
    targets.labelled = (0, 3)
    video = VideoSequence("street", frames, targets, Fraction(15), (0, 66, 133, 200))
    part = video.slice(2, 4)
    assert frames.read == targets.read == []
    assert (part.name, part.fps, part.timestamps_ns) == ("street[2:4]", 15, (133, 200))
    assert list(part.frames) == [2, 3]
    assert part.targets.labelled == (1,)
    assert part.targets[1] == 3
    assert list(part.slice(1, 2).frames) == [3]


@pytest.mark.parametrize("frames", [[1, 2, 3], (1, 2, 3), np.array([1, 2, 3])])
def test_parts_of_frames_in_memory(frames):
    part = VideoSequence("a", frames, [None, 5, 6], Fraction(15)).slice(1, 3)
    assert (list(part.frames), list(part.targets), part.timestamps_ns) == ([2, 3], [5, 6], None)


def test_two_parts_share_no_frame():
    video = synthetic_video(num_frames=5, height=16, width=32)
    train, test = video.slice(0, 3), video.slice(3, 5)
    assert (len(train.frames), len(test.frames)) == (3, 2)
    np.testing.assert_array_equal(test.frames[0], video.frames[3])
    np.testing.assert_array_equal(test.targets[-1], video.targets[4])
    for part, beyond in ((train, 3), (test, 2), (test, -3)):
        for items in (part.frames, part.targets):
            with pytest.raises(IndexError):
                items[beyond]


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 2), (2, 1), (0, 4), (0.0, 2), (0, None), (True, 2)])
def test_no_part_of_a_video(start, stop):
    video = VideoSequence("street", [1, 2, 3], [None] * 3, Fraction(15))
    with pytest.raises(ConfigError, match="of video 'street' are asked for, expected a part of 0:3 that holds"):
        video.slice(start, stop)


def test_frame_names() -> None:
    video = VideoSequence("street", list("abcde"), [None] * 5, Fraction(15))
    assert [video.frame_name(index) for index in (0, 4)] == ["000000", "000004"]
    assert video.slice(3, 5).frame_name(0) == "000003"  # a part keeps the names of its frames
    named = VideoSequence("street", list("abc"), [None] * 3, Fraction(15), frame_names=["x_07", "x_09", "x_11"])
    assert named.slice(1, 3).frame_name(1) == "x_11"
