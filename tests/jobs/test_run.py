"""A network on a data set: which frames it runs on, and that its scores are those of a plain loop, to the integer."""

import threading
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from flame_metric import (
    ConfigError,
    DatasetError,
    FlameWarning,
    LabelError,
    LatencyTrace,
    ShapeError,
    StreamConfig,
    VideoDataset,
    VideoSequence,
    simulate_stream,
)
from flame_metric.data.videos import OnAccess
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.jobs.run import measure_network, timed_frames
from flame_metric.latency.runner import Runner
from flame_metric.latency.timers import HostTimer
from flame_metric.networks.network import Network
from flat_options import evaluate_network
from laws import examples

CLASSES, VOID = 3, 255


def video(name, length=8, labelled=None, *, seed=0, shape=(4, 5), fps=10):
    """Random frames and labels; frame i says i in its first sample."""
    generator = np.random.default_rng([seed, length])
    frames = generator.integers(0, 256, (length, *shape, 3), np.uint8)
    frames[:, 0, 0, 0] = range(length)
    labels = generator.choice([0, 1, 2, VOID], (length, *shape))
    chosen = range(length) if labelled is None else labelled
    targets = [labels[index] if index in chosen else None for index in range(length)]
    return VideoSequence(name, list(frames), targets, Fraction(fps))


def dataset(*videos):
    return VideoDataset("made", videos, ("sky", "road", "car"), VOID)


class Seen:
    """A network that says a class for each pixel, and remembers the frames that it ran on, by their numbers."""

    def __init__(self, frames=1):
        self.inputs, self.threads = [], set()
        self.network = Network("seen", Runner(self.run), frames)

    def run(self, image):
        self.inputs.append([int(image[0, 0, channel]) for channel in range(0, image.shape[2], 3)])
        self.threads.add(threading.current_thread())
        return image.sum(axis=2) % CLASSES


def by_hand(videos, k, schedule_of=None):
    """Static, FLAME, streaming and persistence by aligned pairs, one at a time."""
    clips = {one.name: ([frame.sum(axis=2) % CLASSES for frame in one.frames], list(one.targets)) for one in videos}
    shown = {one.name: schedule_of(one) for one in videos} if schedule_of else None
    return sorted(clips), oracle.score_counts(clips, k, CLASSES, VOID, shown)


def schedule_of(latency_ms):
    return lambda one: simulate_stream(latency_ms, num_frames=len(one.frames), fps=one.fps).source


def assert_equal(found, wanted):
    names, counts = wanted
    results = {"static": found.static, "flame": found.flame, "persistence": found.persistence}
    if found.streaming is not None:
        results["streaming"] = found.streaming.result
    for score, result in results.items():
        if score in counts and (result is not None or counts[score].any()):
            np.testing.assert_array_equal(result.counts, counts[score])
            assert list(result.sequences) == names


# ── scores ──


@examples(40)
@given(
    lengths=st.lists(st.integers(6, 9), min_size=1, max_size=3),
    latency=st.integers(0, 390),
    every=st.integers(1, 3),
    jobs=st.integers(1, 3),
)
def test_scores_are_those_of_a_plain_loop(lengths, latency, every, jobs):
    videos = [video(f"clip {number}", length, range(length - 1, -1, -every)) for number, length in enumerate(lengths)]
    k = -(-latency // 100)
    seen = Seen()
    found = evaluate_network(seen.network, dataset(*videos), latency_ms=latency, stream=StreamConfig(), jobs=jobs)
    assert_equal(found, by_hand(videos, k, schedule_of(latency)))
    assert found.flame.frame_offset == k
    assert len(seen.threads) == 1


def test_an_output_that_the_next_call_overwrites():
    one = video("clip", 4)
    overwritten = threading.Event()
    calls = []
    buffer = np.zeros((4, 5), np.int64)

    def run(image):
        buffer[:] = image.sum(axis=2) % CLASSES
        calls.append(image)
        if len(calls) > 1:
            overwritten.set()
        return buffer

    def labels_of(index):
        if index == 0:  # its output waits until the network has gone on
            assert overwritten.wait(30)
        return one.targets[index]

    slow = VideoSequence(one.name, one.frames, OnAccess(labels_of, 4, range(4)), one.fps)
    found = evaluate_network(Network("buffer", Runner(run)), dataset(slow), latency_ms=100, jobs=8)
    assert_equal(found, by_hand([one], 1))


def test_a_trace_gives_the_offset_and_is_replayed():
    videos = [video("clip", 9)]
    trace = LatencyTrace([80, 80, 250, 90, 100, 80, 70, 80, 100], metadata={"processor": "abacus"})
    found = evaluate_network(Seen().network, dataset(*videos), trace=trace)
    assert_equal(found, by_hand(videos, 1, schedule_of(trace)))
    assert found.flame.config.hardware == "abacus"
    assert "abacus" in found.streaming.result.signature


def test_the_bank_of_a_run_answers_what_the_run_found():
    videos = [video("one", 7), video("two", 9, seed=1)]
    options = {"latency_ms": 150, "stream": StreamConfig()}
    found = evaluate_network(Seen().network, dataset(*videos), keep_bank=True, max_offset=3, **options)
    again = evaluate_bank(found.bank, **options)
    for name, result in found.results.items():
        np.testing.assert_array_equal(again.results[name].counts, result.counts)
    assert [result.frame_offset for result in found.curve.results] == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.curve.results[2].counts, found.flame.counts)


# ── frames that it runs on ──


def inputs_of(*videos, frames=1, **options):
    seen = Seen(frames)
    evaluate_network(seen.network, dataset(*videos), **options)
    return seen.inputs


def test_each_frame_of_a_dense_video_once_and_in_order():
    assert inputs_of(video("clip", 5), latency_ms=150, stream=StreamConfig()) == [[0], [1], [2], [3], [4]]


def test_of_a_clip_with_one_label_only_what_is_scored():
    clip = video("clip", 30, [19])
    assert inputs_of(clip, frame_offset=4) == [[15], [19]]
    source = schedule_of(195)(clip)[19]
    assert 0 < source < 17
    assert inputs_of(clip, latency_ms=195, stream=StreamConfig()) == sorted([[source], [17], [19]])


def test_a_bank_asks_for_all_frames_within_its_reach():
    assert inputs_of(video("clip", 30, [19]), frame_offset=3, keep_bank=True) == [[16], [17], [18], [19]]
    assert inputs_of(video("clip", 30, [19]), frame_offset=1, max_offset=2) == [[17], [18], [19]]


def test_two_frames_and_before_the_first_one_stands_that_again():
    assert inputs_of(video("clip", 4), frames=2, frame_offset=1) == [[0, 0], [0, 1], [1, 2], [2, 3]]
    assert inputs_of(video("clip", 9, [7]), frames=2, frame_offset=3) == [[3, 4], [6, 7]]


def test_files_are_read_once():
    reads = Counter()
    clip = video("clip", 6)

    def read(index):
        reads[index] += 1
        return clip.frames[index]

    counted = VideoSequence("clip", OnAccess(read, 6), clip.targets, clip.fps)
    evaluate_network(Seen(2).network, dataset(counted), frame_offset=2, jobs=3)
    assert reads == dict.fromkeys(range(6), 1)


def test_frames_of_several_sizes():
    seen = Seen()
    videos = [video("a", 3), video("b", 4, seed=1), video("c", 2, shape=(3, 3))]
    found = evaluate_network(seen.network, dataset(*videos), frame_offset=1)
    assert_equal(found, by_hand(videos, 1))
    assert "Frames differ in size, and so may their latencies: 3x3, 4x5." in found.notes


def test_settings_of_the_network_hold_during_the_run_and_are_restored():
    events = []

    class Held:
        def __enter__(self):
            events.append("held")

        def __exit__(self, *error):
            events.append("restored")

    def run(image):
        events.append("run")
        return np.zeros(image.shape[:2], np.uint8)

    network = Network("n", Runner(run, context=Held))
    evaluate_network(network, dataset(video("clip", 2)), frame_offset=0)
    assert events == ["held", "run", "run", "restored"]


# ── what is done with outputs ──


def test_outputs_are_the_label_maps_that_are_scored():
    clip = video("clip", 5)
    found = {}

    def keep(one, frame, labels):
        found[one.name, frame] = labels

    scores = Network("scores", Runner(lambda image: np.eye(CLASSES)[image.sum(axis=2) % CLASSES].transpose(2, 0, 1)))
    evaluate_network(scores, dataset(clip), frame_offset=1, outputs=[keep], jobs=2)
    assert sorted(found) == [("clip", frame) for frame in range(5)]
    for (_, frame), labels in found.items():
        np.testing.assert_array_equal(labels, clip.frames[frame].sum(axis=2) % CLASSES)


def test_a_void_prediction_is_shown_as_the_class_after_the_last():
    found = []
    network = Network("void", Runner(lambda image: np.full(image.shape[:2], VOID)))
    evaluate_network(network, dataset(video("c", 1)), frame_offset=0, outputs=[lambda *of: found.append(of[2])])
    assert np.unique(found).tolist() == [CLASSES]


def test_progress_says_the_score_so_far():
    calls = []
    found = evaluate_network(
        Seen().network, dataset(video("clip", 4)), frame_offset=1, progress=lambda *call: calls.append(call)
    )
    assert [call[:2] for call in calls] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert calls[0][2] == ""
    assert calls[-1][2] == f"FLAME {found.flame.miou:.3f}"


# ── what should be known ──


def test_notes():
    found = evaluate_network(
        Seen().network, dataset(video("a", 30, [19]), video("b", 9, [])), latency_ms=100, stream=StreamConfig()
    )
    assert found.notes[0] == "The network ran on 2 of 39 frames."
    assert found.notes[1] == "1 video(s) have no labels and were left out."
    assert found.notes[2].startswith("Every clip has one label: the streaming score")
    assert found.notes[3] == "No persistence baseline: no two labelled frames are 1 frames apart."


@pytest.mark.parametrize(
    ("videos", "options", "error", "message"),
    [
        (
            [video("a", fps=10), video("b", fps=15)],
            {},
            ConfigError,
            r"the videos of made have 2 frame rates \(10 fps, 15 fps\), expected one, from which the frame offset",
        ),
        ([video("a", labelled=[])], {}, DatasetError, r"made: holds no labelled frame in 1 video\(s\)"),
        ([], {}, ConfigError, r"the videos of made have 0 frame rates \(none\)"),
        (
            [video("a", labelled=[3])],
            {"frame_offset": 4},
            DatasetError,
            r"^made: sequence a has one label, that of frame 000003, and 3 frame\(s\) before it, expected a prediction "
            r"4 frame\(s\) before it; a smaller offset\?$",
        ),
        (
            [video("a")],
            {"frame_offset": 8},
            DatasetError,
            r"made: 1 of 1 sequence\(s\) have no two frames 8 frame\(s\) apart",
        ),
        ([video("a")], {"jobs": 0}, ConfigError, "`jobs` is 0, expected"),
        ([video("a")], {"latency_ms": 3}, ConfigError, "`latency_ms` and `frame_offset` are given together"),
    ],
)
def test_what_cannot_be_run(videos, options, error, message):
    seen = Seen()
    with pytest.raises(error, match=message):
        evaluate_network(seen.network, dataset(*videos), **{"frame_offset": 1, **options})
    assert not seen.inputs


def test_a_short_video_among_others_adds_nothing_and_says_so():
    with pytest.warns(FlameWarning, match=r"1 of 2 sequence\(s\) have no two frames 4 frame\(s\) apart: b"):
        found = evaluate_network(Seen().network, dataset(video("a"), video("b", 3)), frame_offset=4)
    assert found.flame.num_pairs == 4


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (np.full((4, 5), 7), LabelError, r"frame 000000 of sequence 'clip': `pred` holds label\(s\) \[7\]"),
        (
            np.zeros((2, 3), int),
            DatasetError,
            r"the prediction of frame 000000 and the labels of frame 000000 of clip: ",
        ),
        (np.zeros((1, 4, 5), int), ShapeError, "frame 000000 of sequence 'clip': .* take it out of its batch"),
        (None, LabelError, "frame 000000 of sequence 'clip'"),
    ],
)
def test_outputs_that_are_no_label_maps(output, error, message):
    network = Network("odd", Runner(lambda image: output))
    with pytest.raises(error, match=message):
        evaluate_network(network, dataset(video("clip", 3)), frame_offset=0)


def test_frames_of_unlike_sizes_cannot_be_stacked():
    clip = video("clip", 3)
    mixed = VideoSequence("clip", [clip.frames[0], clip.frames[1][:2], clip.frames[2]], clip.targets, clip.fps)
    with pytest.raises(ShapeError, match=r"sequence 'clip': frame 0 has shape \(4, 5, 3\) and frame 1 \(2, 5, 3\)"):
        evaluate_network(Seen(2).network, dataset(mixed), frame_offset=0)


# ── latency ──


def test_latency_is_measured_on_frames_spread_over_the_videos():
    seen = Seen()
    clock = iter(range(0, 10**9, 5_000_000))
    network = Network("seen", Runner(seen.run, timer=HostTimer(lambda: next(clock))))
    videos = dataset(video("a", 20), video("b", 20, seed=1))
    trace = measure_network(network, videos, samples=32, metadata={"more": 1})
    assert trace.median_ms == 5
    assert (trace.metadata["network"], trace.metadata["data"], trace.metadata["more"]) == ("seen", "made", 1)
    assert trace.metadata["inputs"] == {"number": 16, "kinds": ["uint8 (4, 5, 3)"]}
    assert {frame for (frame,) in seen.inputs} == {0, 2, 5, 7, 10, 12, 15, 17}


def test_timed_frames_have_one_size():
    frames = timed_frames(dataset(video("a", 3), video("b", 9, shape=(2, 2))), frames=2, number=4)
    assert sorted((one.name, frame, image.shape) for one, frame, image in frames) == [
        ("b", 0, (2, 2, 6)),
        ("b", 3, (2, 2, 6)),
        ("b", 6, (2, 2, 6)),
    ]


def test_timed_frames_are_shuffled_always_alike():
    numbers = [frame for _, frame, _ in timed_frames(dataset(video("a", 16)))]
    assert sorted(numbers) == list(range(16))
    assert numbers != sorted(numbers)
    assert numbers == [frame for _, frame, _ in timed_frames(dataset(video("a", 16)))]


def test_a_single_frame_is_enough():
    clock = iter(range(0, 10**9, 1_000_000))
    network = Network("n", Runner(lambda image: image[..., 0] * 0, timer=HostTimer(lambda: next(clock))))
    assert len(measure_network(network, dataset(video("a", 1)), samples=3)) == 3


def test_nothing_to_time():
    with pytest.raises(DatasetError, match="made: holds no labelled frame"):
        timed_frames(dataset(video("a", labelled=[])))


def test_frames_that_are_alike_are_timed_once():
    one = video("a", 6)
    still = VideoSequence("a", [one.frames[index] for index in (0, 0, 0, 0, 0, 5)], one.targets, one.fps)
    assert [frame for _, frame, _ in sorted(timed_frames(dataset(still)), key=lambda found: found[1])] == [0, 5]
    clock = iter(range(0, 10**9, 1_000_000))
    network = Network("n", Runner(lambda image: image[..., 0] * 0, timer=HostTimer(lambda: next(clock))))
    assert measure_network(network, dataset(still), samples=3).metadata["inputs"]["number"] == 2


def damaged(*frames):
    """A video of eight frames of which some cannot be read."""
    one = video("a")

    def read(index):
        if index in frames:
            raise DatasetError(f"frame {index} is damaged")
        return one.frames[index]

    return VideoSequence("a", OnAccess(read, 8), one.targets, one.fps)


def test_damaged_frames_are_not_timed_if_they_may_be_skipped():
    with pytest.raises(DatasetError, match="frame 3 is damaged"):
        timed_frames(dataset(damaged(3)))
    assert sorted(frame for _, frame, _ in timed_frames(dataset(damaged(3)), skip=True)) == [0, 1, 2, 4, 5, 6, 7]
    assert sorted(frame for _, frame, _ in timed_frames(dataset(damaged(3)), 2, skip=True)) == [0, 1, 2, 5, 6, 7]
    with pytest.raises(DatasetError, match="frame 7 is damaged"):
        timed_frames(dataset(damaged(*range(8))), skip=True)
