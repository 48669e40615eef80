"""Real videos: what a bank answers equals counting the pairs directly, to the integer.

Which pairs those are comes from the event-by-event simulation, in a plain loop; `class_counts` counts them. Whole
frames, every frame, each file read once: the four sequences of DAVIS with the masks of OSVOS, and CamVid's labels.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from event_simulation import Tail, on_screen, serve
from flame_metric import (
    ConfigError,
    FlameMeter,
    FlameResult,
    LatencyTrace,
    OffsetBank,
    StateError,
    StreamConfig,
    class_counts,
    frame_offset,
    simulate_stream,
)
from flame_metric.data.folders import LabelFolder
from flame_metric.data.lookup import LabelLookup
from oracle import counts as oracle_counts
from oracle import mean_iou as oracle_mean_iou

DATA = os.environ.get("FLAME_METRIC_TEST_DATA")
pytest.importorskip("PIL.Image", reason="reading PNG needs Pillow")
pytestmark = pytest.mark.skipif(not DATA, reason="FLAME_METRIC_TEST_DATA names no folder of real label maps")

LARGEST = 36  # frames: as stale as the longest sequence becomes in an overloaded queue

Maps = list[Any]
Sources = Callable[[str, int], list[int]]  # of a sequence of so many frames: what is on screen at each frame


@dataclass
class Video:
    """Sequences of one data set, their bank, and counts of single pairs, each counted once."""

    clips: dict[str, tuple[Maps, Maps]]  # predictions, targets
    fps: Fraction
    num_classes: int
    ignore_index: int | None = None
    known: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def filled(self, max_offset: int = LARGEST, *names: str, persistence: bool = True) -> OffsetBank:
        bank = OffsetBank(
            self.num_classes,
            max_offset=max_offset,
            fps=self.fps,
            ignore_index=self.ignore_index,
            persistence=persistence,
        )
        for name in names or self.clips:
            preds, targets = self.clips[name]
            bank.update_sequence(iter(preds), iter(targets), sequence=name)
        return bank

    def changed(self, change: Callable[[Maps, Maps], tuple[Maps, Maps]]) -> "Video":
        """The same maps, some of them left out or at other frames; what was counted stays known."""
        return replace(self, clips={name: change(*clip) for name, clip in self.clips.items()})

    def counted(self, pred: np.ndarray, target: np.ndarray) -> np.ndarray:
        key = id(pred), id(target)  # of maps that the fixture keeps
        if key not in self.known:
            self.known[key] = class_counts(pred, target, num_classes=self.num_classes, ignore_index=self.ignore_index)
        return self.known[key]

    def directly(
        self, sources: Sources, *, void: bool = False, persistence: bool = False
    ) -> tuple[list[np.ndarray], list[list[int]]]:
        """Counts (3, C) and tallies (pairs, labelled frames, valid, all pixels) of each sequence, sorted by name."""
        tables, tallies = [], []
        for name, (preds, targets) in sorted(self.clips.items()):
            shown = targets if persistence else preds
            table, tally = np.zeros((3, self.num_classes), np.int64), [0, 0, 0, 0]
            for target, source in zip(targets, sources(name, len(targets)), strict=True):
                if target is None:
                    continue
                tally[1] += 1
                if source < 0 and void:
                    counts = self.counted(target, target) * [[0], [0], [1]]
                elif source < 0 or (persistence and shown[source] is None):
                    continue
                else:
                    counts = self.counted(shown[source], target)
                    tally[0] += 1
                table += counts
                tally[2] += counts[2].sum()
                tally[3] += target.size
            tables.append(table)
            tallies.append(tally)
        return tables, tallies

    def assert_equal(
        self, found: FlameResult, sources: Sources, *, before_first: str = "skip", **options: bool
    ) -> None:
        tables, tallies = self.directly(sources, void=before_first == "void", **options)
        assert found.sequences == tuple(sorted(self.clips))
        assert found.counts.tolist() == np.array(tables).tolist()
        assert found.tallies.tolist() == np.array(tallies).tolist()
        assert found.miou == pytest.approx(oracle_mean_iou(sum(tables)), rel=1e-12)


def davis() -> Video:
    root = Path(DATA or "", "davis2016")
    gt = LabelFolder.scan(root / "gt", lookup=LabelLookup.parse("0:0,255:1"))
    osvos = LabelFolder.scan(root / "osvos", lookup=LabelLookup.parse("0:0,*:1"))
    clips = {}
    for name, frames in gt.folders.items():
        assert list(osvos.folders[name]) == list(frames)
        clips[name] = [osvos.read(file) for file in osvos.folders[name].values()], [*map(gt.read, frames.values())]
    return Video(clips, Fraction(24), 2)


def camvid() -> Video:
    """The labels of CamVid, void among them, and a network that gives the map of the frame before."""
    labels = LabelFolder.scan(Path(DATA or "", "camvid_dense", "labels"))
    clips = {}
    for frames in labels.folders.values():
        maps = [labels.read(file) for file in frames.values()]
        clips[labels.sequence_name] = [maps[0], *maps[:-1]], maps
    return Video(clips, Fraction(15), 11, 11)


@pytest.fixture(scope="module", params=[davis, camvid], ids=["davis", "camvid"])
def video(request: pytest.FixtureRequest) -> Video:
    return request.param()


@pytest.fixture(scope="module")
def bank(video: Video) -> OffsetBank:
    return video.filled()


def fixed(offset: int) -> Sources:
    return lambda _, frames: [max(-1, frame - offset) for frame in range(frames)]


def after(intervals: float | Fraction, fps: Fraction) -> Fraction:
    """So many frame intervals, in milliseconds."""
    return Fraction(intervals) * 1000 / fps


def streamed(latency: float | Fraction | LatencyTrace, config: StreamConfig, fps: Fraction, seed: int = 0) -> Sources:
    """What the event-by-event simulation shows at each frame."""

    def sources(name: str, frames: int) -> list[int]:
        times = [round(frame * 10**9 / fps) for frame in range(frames)]
        mean = Fraction(latency) * 10**6 if not isinstance(latency, LatencyTrace) else latency.mean_ns
        tail = Tail(10**9 / fps, mean) if config.policy == "tail" else None
        runs, _ = serve(
            times,
            latency.latencies(seed, name) if isinstance(latency, LatencyTrace) else lambda _call, _frame: round(mean),
            workers=config.workers,
            queue=config.queue,
            stride=config.stride,
            tail=tail,
        )
        extra = round(Fraction(config.extra_latency_ms) * 10**6)
        return on_screen(times, times, runs, tie=config.tie, show=config.show, extra=extra)[1]

    return sources


def metered(
    video: Video, latency: Fraction | LatencyTrace, config: StreamConfig, before_first: str, seed: int = 0
) -> FlameResult:
    """What a meter counts under the schedules of the package."""
    meter = FlameMeter(video.num_classes, ignore_index=video.ignore_index, before_first=before_first)
    for name, (preds, targets) in video.clips.items():
        schedule = simulate_stream(latency, config, num_frames=len(preds), fps=video.fps, seed=seed, sequence=name)
        meter.update_sequence(iter(preds), iter(targets), sequence=name, schedule=schedule)
    return meter.compute()


STREAMS = {  # latencies in frame intervals
    "one dropping worker": (Fraction(43, 30), StreamConfig()),
    "latency of two intervals": (Fraction(2), StreamConfig()),
    "overloaded queue": (Fraction(7, 5), StreamConfig(queue=None)),
    "two workers": (Fraction(9, 4), StreamConfig(workers=2)),
    "two workers, overloaded queue": (Fraction(12, 5), StreamConfig(workers=2, queue=None)),
    "queue of two": (Fraction(43, 30), StreamConfig(queue=2)),
    "unlimited workers": (Fraction(29, 10), StreamConfig(workers=None)),
    "tail": (Fraction(3, 2), StreamConfig(policy="tail")),
    "every third frame": (Fraction(17, 5), StreamConfig(stride=3)),
    "strict and later": (Fraction(1), StreamConfig(tie="strict", extra_latency_ms=20)),
}


@pytest.mark.slow
def test_class_counts_are_the_oracle_s(video: Video) -> None:
    preds, targets = next(iter(video.clips.values()))
    expected = oracle_counts(preds[3], targets[8], video.num_classes, video.ignore_index)
    assert video.counted(preds[3], targets[8]).tolist() == expected.tolist()


@pytest.mark.slow
def test_every_fixed_offset(video: Video, bank: OffsetBank) -> None:
    curve = bank.curve()
    assert len(curve.results) == len(curve.persistence) == LARGEST + 1
    for offset, (network, labels) in enumerate(zip(curve.results, curve.persistence, strict=True)):
        video.assert_equal(network, fixed(offset))
        assert bank.score(frame_offset=offset) == network
        assert bank.score(frame_offset=offset, persistence=True) == labels
        if offset in (0, 1, 2, 5, 10, LARGEST):
            video.assert_equal(labels, fixed(offset), persistence=True)


@pytest.mark.parametrize("fps", [None, 10, Fraction(30000, 1001), "50/3"])
def test_latencies_at_other_recorded_rates(video: Video, bank: OffsetBank, fps: Any) -> None:
    rate = Fraction(fps or video.fps)
    for latency in (0, 26, 1000 / float(rate), 195, 700):
        found = bank.score(latency_ms=latency, recorded_fps=fps)
        assert (found.frame_offset, found.config.fps) == (frame_offset(latency, rate), rate)
        video.assert_equal(found, fixed(frame_offset(latency, rate)))
    sources = streamed(95.5, StreamConfig(), rate)
    video.assert_equal(bank.stream(95.5, recorded_fps=fps), sources)


@pytest.mark.slow
@pytest.mark.parametrize("before_first", ["skip", "void"])
@pytest.mark.parametrize(("intervals", "config"), STREAMS.values(), ids=STREAMS)
def test_streams(video: Video, bank: OffsetBank, intervals: Fraction, config: StreamConfig, before_first: str) -> None:
    latency = after(intervals, video.fps)
    sources = streamed(latency, config, video.fps)
    found = bank.stream(latency, config, before_first=before_first)
    assert (found.frame_offset, found.config.fps, found.config.before_first) == (None, video.fps, before_first)
    video.assert_equal(found, sources, before_first=before_first)
    late = bank.stream(latency, config, before_first=before_first, persistence=True)
    video.assert_equal(late, sources, before_first=before_first, persistence=True)


@pytest.mark.slow
@pytest.mark.parametrize("before_first", ["skip", "void"])
@pytest.mark.parametrize(("intervals", "config"), STREAMS.values(), ids=STREAMS)
def test_a_meter_with_schedules_counts_the_same(
    video: Video, intervals: Fraction, config: StreamConfig, before_first: str
) -> None:
    latency = after(intervals, video.fps)
    found = metered(video, latency, config, before_first)
    video.assert_equal(found, streamed(latency, config, video.fps), before_first=before_first)


@pytest.mark.slow
def test_an_overloaded_queue_needs_a_large_bank(video: Video, bank: OffsetBank) -> None:
    intervals, config = STREAMS["overloaded queue"]
    latency = after(intervals, video.fps)
    sources = streamed(latency, config, video.fps)
    stalest = {len(preds): max(
        frame - source for frame, source in enumerate(sources(name, len(preds))) if source >= 0
    ) for name, (preds, _) in video.clips.items()}  # fmt: skip
    ordered = [stalest[frames] for frames in sorted(stalest)]
    assert ordered == sorted(set(ordered))  # the longer the sequence, the staler
    assert 10 < ordered[-1] <= LARGEST
    with pytest.raises(ConfigError) as refused:
        video.filled(10, persistence=False).stream(latency, config)
    message = re.fullmatch(
        r"`max_offset` of this bank is 10, but an offset of (\d+) frames is asked for; .*larger.*", str(refused.value)
    )
    assert message
    assert int(message[1]) in ordered
    enough = video.filled(ordered[-1], persistence=False)
    assert enough.stream(latency, config) == bank.stream(latency, config)


def jittery(frames: int) -> LatencyTrace:
    """A network that mostly keeps up, and sometimes takes long."""
    generator = np.random.default_rng(5)
    return LatencyTrace((generator.gamma(4, 15, frames) + 300 * (generator.random(frames) < 0.05)).round(3))


@pytest.mark.parametrize("factor", [None, 0.5])
@pytest.mark.parametrize("replay", ["call", "frame", "random"])
def test_jittery_traces(video: Video, bank: OffsetBank, replay: str, factor: float | None) -> None:
    trace = jittery(max(len(preds) for preds, _ in video.clips.values())).replayed(replay)
    original, seed = trace, 7
    if factor is not None:
        trace = trace.scaled(factor)
        assert trace.samples_ns == tuple(round(sample * Fraction(1, 2)) for sample in original.samples_ns)
    for config in (StreamConfig(), StreamConfig(workers=None, show="last_finished")):
        sources = streamed(trace, config, video.fps, seed)
        for before_first in ("skip", "void"):
            found = bank.stream(trace, config, before_first=before_first, seed=seed)
            video.assert_equal(found, sources, before_first=before_first)
        counted = metered(video, trace, config, "void", seed)
        assert (counted.counts.tolist(), counted.tallies.tolist()) == (found.counts.tolist(), found.tallies.tolist())
        assert found.config.latency_ms == trace.median_ms
        # That the trace matters: its median alone gives another figure, and so does another seed.
        assert found.counts.tolist() != bank.stream(trace.median_ms, config, before_first="void").counts.tolist()
        if replay == "random":
            again = bank.stream(trace, config, before_first="void", seed=seed + 1)
            assert again.counts.tolist() != found.counts.tolist()


def test_distributions_of_latencies(video: Video, bank: OffsetBank) -> None:
    trace = jittery(50)
    times = Counter(frame_offset(Fraction(sample, 10**6), video.fps) for sample in trace.samples_ns)
    x = Fraction(13, 4)  # 4, 5, 6, 7 frames late in 3, 4, 4, 2 of 13 phases
    for found, weights in (
        (bank.expected(trace), times),
        (bank.phase_averaged(x * 1000 / video.fps), {4: 3, 5: 4, 6: 4, 7: 2}),
    ):
        parts = [(number, video.directly(fixed(offset))) for offset, number in weights.items()]
        for row, figures in enumerate((found.counts, found.tallies)):
            assert figures.tolist() == sum(number * np.array(part[row]) for number, part in parts).tolist()


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_slower_camera(video: Video, bank: OffsetBank, step: int) -> None:
    slower, rate = bank.every(step), video.fps / step
    thinned = video.changed(lambda preds, targets: (preds[::step], targets[::step]))
    assert (slower.fps, slower.max_offset) == (rate, LARGEST // step)
    for offset in range(slower.max_offset + 1):
        thinned.assert_equal(slower.score(frame_offset=offset), fixed(offset))
    for intervals, config in ((2.5, StreamConfig()), (2.25, StreamConfig(workers=2, queue=2))):
        latency = after(intervals, rate)
        for before_first in ("skip", "void"):
            for persistence in (False, True):
                options = {"before_first": before_first, "persistence": persistence}
                thinned.assert_equal(
                    slower.stream(latency, config, **options), streamed(latency, config, rate), **options
                )
        assert bank.stream(latency, config, fps=rate) == slower.stream(latency, config)
    thinned.assert_equal(bank.stream(200, fps=7, recorded_fps=7 * step), streamed(200, StreamConfig(), Fraction(7)))
    with pytest.raises(
        ConfigError, match=f"`max_offset` of this bank is {LARGEST // step}, but an offset of {LARGEST}"
    ):
        slower.score(frame_offset=LARGEST)


def holes(preds: Maps, targets: Maps) -> tuple[Maps, Maps]:
    """Labels with single frames, a long stretch, and the first and last frame missing."""
    last = len(targets) - 1
    lost = {0, last, *range(4, last, 7), *range(20, 33)}
    return preds, [None if frame in lost else target for frame, target in enumerate(targets)]


def test_frames_without_labels(video: Video) -> None:
    partly = video.changed(holes)
    bank = partly.filled(LARGEST)
    for offset in (0, 1, 7, 20, LARGEST):
        for persistence in (False, True):
            found = bank.score(frame_offset=offset, persistence=persistence)
            partly.assert_equal(found, fixed(offset), persistence=persistence)
    for intervals, config in STREAMS.values():
        latency = after(intervals, video.fps)
        sources = streamed(latency, config, video.fps)
        partly.assert_equal(bank.stream(latency, config), sources)
        partly.assert_equal(bank.stream(latency, config, before_first="void"), sources, before_first="void")
        partly.assert_equal(bank.stream(latency, config, persistence=True), sources, persistence=True)
    for step in (2, 3):
        thinned = partly.changed(lambda preds, targets, step=step: (preds[::step], targets[::step]))
        latency = after(2.5, video.fps / step)
        thinned.assert_equal(bank.every(step).stream(latency), streamed(latency, StreamConfig(), video.fps / step))


@pytest.mark.parametrize("name", ["one dropping worker", "queue of two", "every third frame"])
def test_a_network_that_ran_only_where_the_stream_runs_it(video: Video, name: str) -> None:
    intervals, config = STREAMS[name]
    latency = after(intervals, video.fps)
    sources = streamed(latency, config, video.fps)

    def shown_alone(preds: Maps, targets: Maps) -> tuple[Maps, Maps]:
        shown = set(sources("", len(preds)))
        return [pred if frame in shown else None for frame, pred in enumerate(preds)], targets

    sparse = video.changed(shown_alone)
    assert any(pred is None for preds, _ in sparse.clips.values() for pred in preds)
    bank = sparse.filled(10)
    for before_first in ("skip", "void"):
        found = bank.stream(latency, config, before_first=before_first)
        video.assert_equal(found, sources, before_first=before_first)  # as if the network had run on every frame
    with pytest.raises(StateError) as refused:
        bank.score(frame_offset=0)
    named = re.fullmatch(
        r"the prediction of frame (\d+) of sequence '(.*)' is None, but is on screen at frame \1 "
        r"\((\d+) such label\(s\)\)",
        str(refused.value),
    )
    assert named
    assert sparse.clips[named[2]][0][int(named[1])] is None
    assert int(named[3]) == sum(pred is None for preds, _ in sparse.clips.values() for pred in preds)


def test_labels_at_a_fourth_of_the_rate(video: Video) -> None:
    """A schedule with label times of its own, and a bank without labels in between."""
    sparse = video.changed(lambda preds, targets: (preds, [
        None if frame % 4 else target for frame, target in enumerate(targets)
    ]))  # fmt: skip
    bank = sparse.filled(LARGEST)
    for intervals, config in STREAMS.values():
        latency = after(intervals, video.fps)
        meter = FlameMeter(video.num_classes, ignore_index=video.ignore_index, before_first="void")
        for name, (preds, targets) in video.clips.items():
            times = [Fraction(1000 * frame) / video.fps for frame in range(0, len(preds), 4)]
            schedule = simulate_stream(latency, config, num_frames=len(preds), fps=video.fps, label_times_ms=times)
            meter.update_sequence(preds, targets[::4], sequence=name, schedule=schedule)
        found, expected = bank.stream(latency, config, before_first="void"), meter.compute()
        sparse.assert_equal(found, streamed(latency, config, video.fps), before_first="void")
        assert found.counts.tolist() == expected.counts.tolist()
        assert found.tallies.tolist() == expected.tallies.tolist()


def test_banks_of_parts_by_way_of_files(video: Video, bank: OffsetBank, tmp_path: Path) -> None:
    whole = OffsetBank(
        video.num_classes, max_offset=LARGEST, fps=video.fps, ignore_index=video.ignore_index, persistence=True
    )
    for number, name in enumerate(reversed(video.clips)):
        video.filled(LARGEST, name).save(tmp_path / f"{number}.npz")
    for file in tmp_path.iterdir():
        whole.merge(OffsetBank.load(file))
    assert whole.curve() == bank.curve()
    for intervals, config in STREAMS.values():
        latency = after(intervals, video.fps)
        assert whole.stream(latency, config, before_first="void") == bank.stream(latency, config, before_first="void")
