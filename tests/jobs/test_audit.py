"""Audits of honest networks, and of networks that cheat, each timed by a clock that the network itself moves."""

import json
from fractions import Fraction

import numpy as np
import pytest

from flame_metric import VideoDataset, VideoSequence
from flame_metric.core.labels import LabelSpace
from flame_metric.jobs.audit import Auditor
from flame_metric.jobs.run import measure_network, timed_frames
from flame_metric.latency.runner import Runner
from flame_metric.latency.timers import HostTimer
from flame_metric.networks.network import Network
from flat_options import evaluate_network

CLASSES = 3
MS = 10**6


def dataset(videos=2, length=12):
    generator = np.random.default_rng(5)
    sequences = []
    for number in range(videos):
        frames = generator.integers(0, 256, (length, 4, 5, 3), np.uint8)
        labels = generator.integers(0, CLASSES, (length, 4, 5))
        sequences.append(VideoSequence(f"clip {number}", list(frames), list(labels), Fraction(10)))
    return VideoDataset("made", sequences, ("sky", "road", "car"))


class Machine:
    """A clock, and a network that takes 80 ms: the base of the cheats."""

    def __init__(self):
        self.now_ns = 0
        self.calls = 0

    def labels(self, image):
        return image.sum(axis=2) % CLASSES

    def answer(self, image):
        """The label map, and how many milliseconds it takes."""
        return self.labels(image), 80

    def __call__(self, image):
        labels, taken_ms = self.answer(image)
        self.now_ns += int(taken_ms * MS)
        self.calls += 1
        return labels

    @property
    def network(self):
        return Network(type(self).__name__, Runner(self, timer=HostTimer(lambda: self.now_ns)))


class AnswersTheLastFrame(Machine):
    """Returns at once what it has from the call before, and works later."""

    last = None

    def answer(self, image):
        before, self.last = self.last, self.labels(image)
        return (self.last, 80) if before is None else (before, 5)


class Remembers(Machine):
    """Keeps its answers by the content of frames."""

    def __init__(self):
        super().__init__()
        self.known = {}

    def answer(self, image):
        known = image.tobytes() in self.known
        self.known.setdefault(image.tobytes(), self.labels(image))
        return self.known[image.tobytes()], 3 if known else 80


class RemembersThumbnails(Machine):
    """Keeps its answers by a few samples of frames, coarsely: those that look alike are one to it."""

    def __init__(self):
        super().__init__()
        self.known = {}

    def answer(self, image):
        key = (image[::2, ::2] // 64).tobytes()
        known = key in self.known
        self.known.setdefault(key, self.labels(image))
        return self.known[key], 3 if known else 80


class OverwritesItsOutput(Machine):
    """Writes all its outputs into one array: allowed, if it is read before the next call."""

    buffer = np.zeros((4, 5), int)

    def answer(self, image):
        self.buffer[:] = self.labels(image)
        return self.buffer, 80


class TakesMicroseconds(Machine):
    """Its times are those of the clock and of chance."""

    def answer(self, image):
        return self.labels(image), 0.01 if self.calls < 60 else 0.02 + (self.calls % 66 < 30) / 100


class RemembersTheLastFrame(Machine):
    """Does not work on a frame that is the one before."""

    last = None

    def answer(self, image):
        same, self.last = self.last is not None and np.array_equal(self.last, image), image.copy()
        return self.labels(image), 3 if same else 80


class IsLazyWhileTimed(Machine):
    """Takes a short cut in its first calls, those that are timed."""

    def answer(self, image):
        return (np.zeros((4, 5), int), 5) if self.calls < 60 else (self.labels(image), 80)


class GetsSlower(Machine):
    """As a machine that gets hot after it was timed."""

    def answer(self, image):
        return self.labels(image), 80 if self.calls < 60 else 80 + (self.calls - 60) / 2


class HasATail(Machine):
    """Every fiftieth call takes longer than a frame."""

    def answer(self, image):
        return self.labels(image), 130 if self.calls % 50 == 49 else 80


def audit(machine, samples=40, data=None, *, progress=lambda *_: None):
    data = data or dataset()
    auditor = Auditor(machine.network, timed_frames(data), LabelSpace(CLASSES, None))
    look = auditor.between_calls(lambda *_: None)
    network = auditor.timed_network
    trace = measure_network(network, data, samples=samples, warmup_cap_s=1_000, time_cap_s=1_000, progress=look)
    evaluate_network(machine.network, data, trace=trace.replayed("random"), outputs=[auditor.keep])
    return auditor.audit(trace, fps=10, progress=progress)


def failed(found):
    return [check.name for check in found.checks if not check.passed]


def test_an_honest_network_passes():
    calls = []
    found = audit(Machine(), progress=lambda *call: calls.append(call))
    assert found.passed
    assert found.medians_ms == {"timed": 80, "seed 0": 80, "seed 1": 80, "seed 2": 80, "repeated": 80}
    assert calls == [(call, 198) for call in range(1, 199)]  # 3 seeds, 6 blocks of 5 new frames and of one 6 times
    said = {check.name: check.found for check in found.checks}
    assert said["outputs"] == "all 60 timed calls gave the label maps that were scored for their frames"
    assert said["frame offset"] == "median 1 (80.00 ms), p90 too few samples, p99 too few samples"
    assert found.table().splitlines()[-1] == "The audit passed."


@pytest.mark.parametrize("machine", [OverwritesItsOutput, TakesMicroseconds])
def test_honest_networks_of_other_kinds_pass(machine):
    found = audit(machine())
    assert found.passed, found.table()


def test_frames_that_are_not_scored_are_left_out_and_said():
    data = dataset()
    network = Machine().network
    auditor = Auditor(network, timed_frames(data), LabelSpace(CLASSES, None))
    look = auditor.between_calls(lambda *_: None)
    trace = measure_network(auditor.timed_network, data, samples=40, progress=look)
    evaluate_network(
        network,
        VideoDataset("half", data.sequences[:1], data.class_names),
        trace=trace.replayed("random"),
        outputs=[auditor.keep],
    )
    found = auditor.audit(trace, fps=10)
    assert found.passed
    assert found.checks[0].found.endswith("; 29 calls were on frames that are not scored"), found.checks[0].found


def test_nothing_compared_is_no_pass():
    data = dataset()
    auditor = Auditor(Machine().network, timed_frames(data), LabelSpace(CLASSES, None))
    look = auditor.between_calls(lambda *_: None)
    trace = measure_network(auditor.timed_network, data, samples=40, progress=look)
    assert failed(auditor.audit(trace, fps=10)) == ["outputs"]


@pytest.mark.parametrize(
    ("machine", "checks", "said"),
    [
        (
            AnswersTheLastFrame,
            ["outputs"],
            "of 60 timed calls gave another label map than was scored for their frame, first",
        ),
        (Remembers, ["repetition"], "timed frames 3.00 ms; does it answer from memory"),
        (RemembersThumbnails, ["repetition"], "timed frames 3.00 ms; does it answer from memory"),
        (RemembersTheLastFrame, ["repetition"], "one frame again and again 3.00 ms"),
        (IsLazyWhileTimed, ["outputs", "repetition"], "60 of 60 timed calls gave another label map than was scored"),
        (GetsSlower, ["repetition", "seeds", "frame offset"], "audit again on a quiet machine"),
    ],
)
def test_what_fails(machine, checks, said):
    found = audit(machine())
    assert not found.passed
    assert failed(found) == checks
    assert any(said in check.found for check in found.checks if not check.passed), found.table()
    assert f"The audit FAILED: {', '.join(failed(found))}." in found.table()


def test_offsets_of_the_tail_are_said_and_are_no_failure():
    found = audit(HasATail(), samples=2_000)
    assert found.passed
    assert found.checks[-1].found == "median 1 (80.00 ms), p90 1 (80.00 ms), p99 2 (130.00 ms)"


def test_json_names_the_label_maps_by_their_digests():
    found = audit(Machine())
    record = json.loads(found.to_json())
    assert record["format"] == "flame-metric audit 1"
    assert record["passed"] is True
    assert len(record["digests"]) == len(timed_frames(dataset())) == 16
    assert record["digests"]["clip 0/0"] == found.digests["clip 0/0"]
    assert len(set(record["digests"].values())) == 16


def test_a_slow_network_is_called_less_often():
    class Slow(Machine):
        def answer(self, image):
            return self.labels(image), 4_000

    calls = []
    found = audit(Slow(), data=dataset(1, 60), progress=lambda *call: calls.append(call))
    assert len(calls) == 3 * 1 * (5 + 6)
    assert found.medians_ms["repeated"] == 4_000
