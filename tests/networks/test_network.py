"""Running a network over a video: which frames it sees, how often, and that the counts are those of a plain loop."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import FlameMeter, LabelError, OffsetBank, StateError, VideoSequence
from flame_metric.errors import ConfigError, ShapeError
from flame_metric.networks.network import fill_bank, frames_read


class Reads(list):
    """A list that counts how often each item is read by its number."""

    def __init__(self, values):
        super().__init__(values)
        self.times = Counter()

    def __getitem__(self, index):
        self.times[index] += 1
        return super().__getitem__(index)


def video(labelled, length=8, name="clip"):
    """A video whose frame i is i everywhere, with the labels i % 2 where it is labelled."""
    frames = Reads(np.full((2, 3, 3), index, np.uint8) for index in range(length))
    targets = [np.full((2, 3), index % 2) if index in labelled else None for index in range(length)]
    return VideoSequence(name, frames, targets, Fraction(10))


class Network:
    """Says the parity of the newest frame, and remembers what it saw."""

    def __init__(self):
        self.seen = []

    def __call__(self, frames):
        self.seen.append(frames[0, 0, ::3].tolist())
        return frames[..., -1] % 2


def seen(labelled, max_offset, frames=1, length=8):
    network = Network()
    fill_bank(OffsetBank(2, max_offset=max_offset), network, video(labelled, length), frames=frames)
    return network.seen


@pytest.mark.parametrize(
    ("labelled", "max_offset", "frames", "inputs"),
    [
        ((5,), 0, 1, [[5]]),
        ((5,), 2, 1, [[3], [4], [5]]),
        ((1,), 3, 1, [[0], [1]]),
        ((2, 6), 1, 1, [[1], [2], [5], [6]]),
        ((5,), 1, 2, [[3, 4], [4, 5]]),
        ((1,), 3, 2, [[0, 0], [0, 1]]),  # before the first frame stands the first one
        ((1,), 0, 4, [[0, 0, 0, 1]]),
        ((0, 2), 1, 3, [[0, 0, 0], [0, 0, 1], [0, 1, 2]]),
        ((), 3, 1, []),
    ],
)
def test_which_frames_the_network_sees(labelled, max_offset, frames, inputs):
    assert seen(labelled, max_offset, frames) == inputs


@given(
    labelled=st.sets(st.integers(0, 11), min_size=1),
    max_offset=st.integers(0, 5),
    frames=st.integers(1, 3),
)
def test_counts_are_those_of_a_plain_loop(labelled, max_offset, frames):
    clip = video(labelled, 12)
    bank = OffsetBank(2, max_offset=max_offset)
    fill_bank(bank, Network(), clip, frames=frames)
    assert max(clip.frames.times.values()) == 1
    for offset in range(max_offset + 1):
        meter = FlameMeter(2, frame_offset=offset)
        pairs = [(index - offset, index) for index in sorted(labelled) if index >= offset]
        for source, index in pairs:
            meter.update_pair(np.full((2, 3), source % 2), clip.targets[index], sequence="clip")
        counts = bank.curve().results[offset].total
        assert counts.tolist() == (meter.compute().total.tolist() if pairs else np.zeros((3, 2)).tolist())


def test_labels_are_read_once():
    class Targets(Reads):
        labelled = (4,)

    clip = video((4,))
    targets = Targets(clip.targets)
    lazy = VideoSequence("clip", clip.frames, targets, clip.fps)
    assert lazy.labelled == (4,)
    assert not targets.times


@given(st.sets(st.integers(0, 7), min_size=1), st.integers(0, 8), st.integers(1, 3))
def test_what_is_read_is_known_before(labelled, max_offset, frames):
    clip = video(labelled)
    fill_bank(OffsetBank(2, max_offset=max_offset), Network(), clip, frames=frames)
    assert frames_read(labelled, max_offset=max_offset, frames=frames) == sorted(clip.frames.times)


def test_a_wrong_label_leaves_the_bank_as_it_was():
    bank = OffsetBank(2, max_offset=1)
    with pytest.raises(LabelError, match="frame 2 of sequence 'clip'"):
        fill_bank(bank, lambda frame: frame[..., 0], video((2, 3)))
    assert bank.sequences == ()


@pytest.mark.parametrize("odd", [np.zeros((2, 4, 3), np.uint8), np.zeros((2, 3), np.uint8)])
def test_frames_of_other_sizes_are_not_stacked(odd):
    clip = video((2,), length=3)
    bank = OffsetBank(2, max_offset=0)
    frames = [clip.frames[0], odd, clip.frames[2]]
    with pytest.raises(ShapeError, match=r"frame 1 has shape .* and frame 2 \(2, 3, 3\), expected \(H, W, 3\) of one"):
        fill_bank(bank, Network(), VideoSequence("clip", frames, clip.targets, clip.fps), frames=2)
    assert bank.sequences == ()


def test_a_video_comes_once():
    bank = OffsetBank(2, max_offset=1)
    fill_bank(bank, Network(), video((2,)))
    with pytest.raises(StateError, match="in the bank already"):
        fill_bank(bank, Network(), video((2,)))


@pytest.mark.parametrize(
    ("bank", "clip", "frames", "message"),
    [
        (None, video((1,)), 1, "`bank` is None, expected an OffsetBank"),
        (OffsetBank(2, max_offset=1), [], 1, "`video` is .*, expected a VideoSequence"),
        (OffsetBank(2, max_offset=1), video((1,)), 0, "`frames` is 0"),
    ],
)
def test_wrong_arguments(bank, clip, frames, message):
    with pytest.raises(ConfigError, match=message):
        fill_bank(bank, Network(), clip, frames=frames)
