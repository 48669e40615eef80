"""The grid of a report: networks at every latency, frame rate and hardware that it offers, scored when it is made.

A *setting* is a network's scores at one latency and one frame rate.

With an offset bank any setting can be scored; with only a curve, those of the frame rate at hand, without a stream;
with neither, the one that was measured. Every score is one that the library gave.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from flame_metric.core.checks import check_kind
from flame_metric.core.clock import NS_PER_S, milliseconds_to_ns, offset_of_ns
from flame_metric.core.tables import milliseconds_text
from flame_metric.errors import ConfigError, FlameWarning, StateError
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.evaluation import Evaluation
from flame_metric.scores.ranking import choose_mean
from flame_metric.scores.result import FlameResult

__all__ = ["OWN", "Camera", "Grid", "NetworkScores", "Setting", "Step", "make_grid"]

OWN = Fraction(1)
"""The scale of the hardware that latencies were measured on."""

_SCALES = (Fraction(1, 4), Fraction(1, 2), OWN, Fraction(2), Fraction(4))  # how many times as long other hardware takes
_EVERY = (1, 2, 3, 4)  # which frames slower cameras take
_MOST_STOPS = 40
_MOST_FRAMES = 10  # of delay that the curve reaches, or four times that of the slowest network
_STEPS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
Step = Callable[[int, int], object]


@dataclass(frozen=True)
class Setting:
    """A network at one latency and one frame rate.

    Attributes
    ----------
    latency : LatencyTrace
        Of one inference; FLAME's is its median.
    frame_offset : int
    static, flame, streaming, persistence : FlameResult or None
        None where it is not known, or no pair was counted.
    """

    latency: LatencyTrace
    frame_offset: int
    static: FlameResult | None
    flame: FlameResult | None
    streaming: FlameResult | None
    persistence: FlameResult | None


@dataclass(frozen=True)
class Camera:
    """One network's scores at one frame rate.

    Attributes
    ----------
    every : int
        It takes each so-manieth frame.
    fps : Fraction
    flame, persistence : tuple of FlameResult or None
        At k = 0, 1, ...
    bank : OffsetBank or None
        What streams are scored from.
    """

    every: int
    fps: Fraction
    flame: tuple[FlameResult | None, ...]
    persistence: tuple[FlameResult | None, ...]
    bank: OffsetBank | None

    @property
    def static(self) -> FlameResult | None:
        """Without delay."""
        return self.flame[0] if self.flame else None


@dataclass(frozen=True)
class NetworkScores:
    """A network, what was found with it, and what more can be scored.

    Attributes
    ----------
    name : str
    evaluation : Evaluation
        With its bank, if there is one.
    trace : LatencyTrace
        That was measured; otherwise its one latency.
    is_traced : bool
        Whether it was measured.
    stream : StreamConfig
        How streams are served.
    seed : int
    cameras : mapping of int to Camera
        By ``every``; empty if nothing but the evaluation is known.
    """

    name: str
    evaluation: Evaluation
    trace: LatencyTrace
    is_traced: bool
    stream: StreamConfig
    seed: int
    cameras: Mapping[int, Camera]
    _settings: dict[tuple[int, int], Setting | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def fps(self) -> Fraction | None:
        """The frame rate of its evaluation."""
        return self.evaluation.flame.config.fps

    @property
    def own(self) -> Setting:
        """Its scores at its own latency and frame rate."""
        setting = self.setting(1, Fraction(self.trace.median_ns))
        assert setting is not None  # those of its evaluation
        return setting

    def setting(self, every: int, time_ns: Fraction) -> Setting | None:
        """Return its scores if it took this long, on each ``every``-th frame; None if they are not known.

        At its own latency and frame rate they are those of its evaluation.
        """
        key = every, round(time_ns)
        if key not in self._settings:
            is_own = every == 1 and key[1] == round(self.trace.median_ns)
            self._settings[key] = self._own() if is_own else self._other(every, self._latency(time_ns))
        return self._settings[key]

    def _latency(self, time_ns: Fraction) -> LatencyTrace:
        median = self.trace.median_ns
        if self.is_traced and time_ns and median:
            return self.trace.scaled(time_ns / median)
        return LatencyTrace.from_ns([round(time_ns)], replay="random")

    def _own(self) -> Setting:
        found = self.evaluation
        stream, camera = found.streaming, self.cameras.get(1)
        streaming = None if stream is None else stream.result
        if streaming is None and camera is not None:
            streaming = self._streamed(camera, self.trace)
        return Setting(
            self.trace, found.flame.frame_offset or 0, found.static, found.flame, streaming, found.persistence
        )

    def _other(self, every: int, latency: LatencyTrace) -> Setting | None:
        camera = self.cameras.get(every)
        if camera is None:
            return None
        offset = offset_of_ns(round(latency.median_ns), camera.fps)
        flame, late = (
            results[offset] if offset < len(results) else None for results in (camera.flame, camera.persistence)
        )
        return Setting(latency, offset, camera.static, flame, self._streamed(camera, latency), late)

    def _streamed(self, camera: Camera, latency: LatencyTrace) -> FlameResult | None:
        """Score a stream; None where it needs older predictions, or latencies of other frames, than there are."""
        if camera.bank is None:
            return None
        try:
            camera.bank.check_replay(latency)
        except ConfigError:
            return None
        schedules = camera.bank.schedules(latency, self.stream, seed=self.seed)
        if max((int(one.staleness.max(initial=0)) for one in schedules.values()), default=0) > camera.bank.max_offset:
            return None
        before_first = self.evaluation.flame.config.before_first
        return _scored(
            partial(camera.bank.stream, latency, self.stream, before_first=before_first, seed=self.seed),
            self.evaluation.flame.mean_over,
        )


@dataclass(frozen=True)
class Grid:
    """Networks at all settings that a page offers.

    Attributes
    ----------
    networks : tuple of NetworkScores
    every : tuple of int
        Which frames the cameras take.
    scales : tuple of Fraction
        How many times as long other hardware takes.
    stops_ms : tuple of int
        Latencies to look at beside those of the networks.
    """

    networks: tuple[NetworkScores, ...]
    every: tuple[int, ...]
    scales: tuple[Fraction, ...]
    stops_ms: tuple[int, ...]

    def time_ns(self, network: NetworkScores, scale: Fraction, stop_ms: int | None) -> Fraction:
        """Return a latency; ``stop_ms`` None is the network's own."""
        return scale * (network.trace.median_ns if stop_ms is None else stop_ms * 10**6)

    def setting(self, network: NetworkScores, every: int, scale: Fraction, stop_ms: int | None) -> Setting | None:
        """Return what a network is worth; see :meth:`time_ns`."""
        return network.setting(every, self.time_ns(network, scale, stop_ms))

    def best(self, every: int, scale: Fraction, stop_ms: int | None) -> tuple[str, float] | None:
        """Return what is best by FLAME, one network or some that are alike, and its score; None if one is not known."""
        found = [self.setting(network, every, scale, stop_ms) for network in self.networks]
        flames = [one.flame for one in found if one is not None and one.flame is not None]
        if len(flames) < len(found):
            return None
        mean_over = choose_mean(flames)
        miou = [flame.average_over(mean_over).miou for flame in flames]
        if any(map(math.isnan, miou)):
            return None
        best = max(miou)
        return " and ".join(one.name for one, own in zip(self.networks, miou, strict=True) if own == best), best


def _scored(score: Callable[[], FlameResult], mean_over: str) -> FlameResult | None:
    """Score, with a mean over these classes; None if a prediction that is needed was not counted, or nothing was."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FlameWarning)  # a page shows coverage beside each score
            result = score()
    except StateError:
        return None
    return result.average_over(mean_over) if result.num_pairs else None


# ── making one ──


def make_grid(
    evaluations: Mapping[str, Evaluation],
    *,
    traces: Mapping[str, LatencyTrace] | None = None,
    stream: StreamConfig | None = None,
    seed: int = 0,
    progress: Step | None = None,
) -> Grid:
    """Score networks at all settings of a page.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By the names of the networks. Those with a ``bank`` can be scored anew.
    traces : mapping of str to LatencyTrace, optional
        What was measured, to replay it on other streams.
    stream : StreamConfig, optional
        How a stream is served where an evaluation has none. Default: one worker, a queue of one.
    seed : int
        Seed of traces that are replayed at random.
    progress : callable, optional
        Called with (settings done, all settings).

    Raises
    ------
    ConfigError
        If there is none, a trace belongs to no network or is of another latency, or a bank is too small.
    StateError
        If a bank and the evaluation beside it contradict each other.
    """
    traces = traces or {}
    if not evaluations:
        raise ConfigError("`evaluations` is empty, expected one or more networks")
    if unknown := sorted(traces.keys() - evaluations.keys()):
        raise ConfigError(f"`traces` has {unknown[0]!r}, expected some of {', '.join(evaluations)}")
    served = StreamConfig() if stream is None else stream
    check_kind("stream", served, StreamConfig, "a StreamConfig")
    networks = tuple(_network(name, found, traces.get(name), served, seed) for name, found in evaluations.items())
    every = tuple(sorted({1, *(step for network in networks for step in network.cameras)}))
    can_change = any(network.cameras for network in networks)
    grid = Grid(networks, every, _SCALES if can_change else (OWN,), _stops(networks))
    wanted = list(_wanted(grid))
    for done, (network, step, scale, stop) in enumerate(wanted, 1):
        setting = grid.setting(network, step, scale, stop)
        if setting is not None and setting.flame is not None:
            _ = setting.flame.interval  # kept for the page
        if progress is not None:
            progress(done, len(wanted))
    return grid


def _wanted(grid: Grid) -> Iterator[tuple[NetworkScores, int, Fraction, int | None]]:
    for network in grid.networks:
        for every in grid.every:
            for scale in grid.scales:
                for stop in (None, *grid.stops_ms):
                    yield network, every, scale, stop


def _network(
    name: str, found: Evaluation, trace: LatencyTrace | None, stream: StreamConfig, seed: int
) -> NetworkScores:
    config = found.flame.config
    own_ns = None if config.latency_ms is None else milliseconds_to_ns(config.latency_ms)
    if trace is not None and own_ns != round(trace.median_ns):
        own = f"k = {config.frame_offset}" if config.latency_ms is None else milliseconds_text(config.latency_ms)
        raise ConfigError(
            f"the trace of {name} has a median of {milliseconds_text(trace.median_ms)}, but its result was scored with "
            f"{own}: expected those of one run"
        )
    if own_ns is None and config.fps is not None:  # the longest latency with that offset
        own_ns = round((config.frame_offset or 0) * NS_PER_S / config.fps)
    latency = LatencyTrace.from_ns([own_ns or 0], replay="random") if trace is None else trace
    stream = stream if found.streaming is None else found.streaming.config
    return NetworkScores(name, found, latency, trace is not None, stream, seed, _cameras(name, found))


def _cameras(name: str, found: Evaluation) -> dict[int, Camera]:
    fps, bank = found.flame.config.fps, found.bank
    if fps is None:
        return {}
    if bank is None:
        curve = found.curve
        return {} if curve is None else {1: Camera(1, fps, curve.results, curve.persistence, None)}
    bank = _bank_of_result(name, found, bank)
    cameras = {}
    for every in _EVERY:
        slower = bank if every == 1 else bank.every(every)
        camera = Camera(every, fps / every, *_curve(slower, found.flame), slower)
        if every == 1 or sum(result is not None for result in camera.flame) > 1:
            cameras[every] = camera
    return cameras


def _bank_of_result(name: str, found: Evaluation, bank: OffsetBank) -> OffsetBank:
    """Return the bank of the camera of a result; refuse one of another run."""
    flame = found.flame
    step, left = divmod(flame.config.every, bank.config.every)
    if left:
        raise ConfigError(
            f"the bank of {name} is that of a camera which takes {bank.config.camera}, its result is not: expected "
            "those of one run"
        )
    bank = bank.camera(recorded_fps=flame.config.recorded_fps).every(step)
    offset, before_first = flame.frame_offset or 0, flame.config.before_first
    if offset > bank.max_offset:
        raise ConfigError(
            f"the bank of {name} ends at an offset of {bank.max_offset} frames, but its result has k = {offset}: "
            "expected those of one run"
        )
    again = _scored(partial(bank.score, frame_offset=offset, before_first=before_first), flame.mean_over)
    counts = None if again is None else again.counts.tolist()
    if bank.sequences != flame.sequences or (flame.num_pairs and counts != flame.counts.tolist()):
        raise StateError(f"the bank of {name} gives other counts than its result, expected those of one run")
    return bank


def _curve(
    bank: OffsetBank, like: FlameResult
) -> tuple[tuple[FlameResult | None, ...], tuple[FlameResult | None, ...]]:
    """Score each offset, with the network and with the labels as predictions; what is not shown, and means, as here."""
    offsets = range(bank.max_offset + 1)
    score = partial(bank.score, before_first=like.config.before_first)
    flame = tuple(_scored(partial(score, frame_offset=offset), like.mean_over) for offset in offsets)
    late = (_scored(partial(score, frame_offset=offset, persistence=True), like.mean_over) for offset in offsets)
    return flame, tuple(late) if bank.has_persistence else ()


def _stops(networks: Sequence[NetworkScores]) -> tuple[int, ...]:
    """Return round latencies from nothing to as far as the curves reach, or to where no one would look."""
    cameras = [camera for network in networks if (camera := network.cameras.get(1)) is not None]
    if not cameras:
        return ()
    interval_ms = 1000 / cameras[0].fps
    slowest = max(offset_of_ns(round(network.trace.median_ns), cameras[0].fps) for network in networks)
    frames = min(max(len(camera.flame) for camera in cameras) - 1, max(_MOST_FRAMES, 4 * slowest))
    top_ms = frames * interval_ms
    step = next((step for step in _STEPS_MS if top_ms / step <= _MOST_STOPS), _STEPS_MS[-1])
    return tuple(range(0, int(top_ms) + 1, step))
