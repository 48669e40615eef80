"""The grid of a report: networks at every latency, frame rate and hardware that it offers, scored when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial

from flame_metric.core.checks import check_kind
from flame_metric.core.clock import NS_PER_S, milliseconds_to_ns, offset_of_ns
from flame_metric.core.tables import milliseconds_text
from flame_metric.errors import ConfigError, StateError
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.report.page_data import Camera, Grid, Network, scored
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.evaluation import Evaluation
from flame_metric.scores.result import FlameResult

__all__ = ["make_grid"]

_SCALES = (Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(4))
"""How many times as long other hardware takes."""

_EVERY = (1, 2, 3, 4)  # which frames slower cameras take
_MOST_STOPS = 40
_MOST_FRAMES = 10  # of delay that the curve reaches, or four times that of the slowest network
_STEPS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
Step = Callable[[int, int], object]


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
    grid = Grid(networks, every, _SCALES if can_change else (Fraction(1),), _stops(networks))
    wanted = list(_wanted(grid))
    for done, (network, step, scale, stop) in enumerate(wanted, 1):
        setting = grid.setting(network, step, scale, stop)
        if setting is not None and setting.flame is not None:
            _ = setting.flame.interval  # kept for the page
        if progress is not None:
            progress(done, len(wanted))
    return grid


def _wanted(grid: Grid) -> Iterator[tuple[Network, int, Fraction, int | None]]:
    for network in grid.networks:
        for every in grid.every:
            for scale in grid.scales:
                for stop in (None, *grid.stops_ms):
                    yield network, every, scale, stop


def _network(name: str, found: Evaluation, trace: LatencyTrace | None, stream: StreamConfig, seed: int) -> Network:
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
    return Network(name, found, latency, trace is not None, stream, seed, _cameras(name, found))


def _cameras(name: str, found: Evaluation) -> dict[int, Camera]:
    fps, bank = found.flame.config.fps, found.bank
    if fps is None:
        return {}
    if bank is None:
        curve = found.curve
        return {} if curve is None else {1: Camera(1, fps, curve.results, curve.persistence, None)}
    _check_bank(name, found, bank)
    cameras = {}
    for every in _EVERY:
        slower = bank if every == 1 else bank.every(every)
        camera = Camera(every, fps / every, *_curve(slower, found.flame.config.before_first), slower)
        if every == 1 or sum(result is not None for result in camera.flame) > 1:
            cameras[every] = camera
    return cameras


def _check_bank(name: str, found: Evaluation, bank: OffsetBank) -> None:
    """Refuse a bank of another run."""
    flame = found.flame
    offset, before_first = flame.frame_offset or 0, flame.config.before_first
    if offset > bank.max_offset:
        raise ConfigError(
            f"the bank of {name} ends at an offset of {bank.max_offset} frames, but its result has k = {offset}: "
            "expected those of one run"
        )
    again = scored(partial(bank.score, frame_offset=offset, before_first=before_first))
    counts = None if again is None else again.counts.tolist()
    if bank.sequences != flame.sequences or (flame.num_pairs and counts != flame.counts.tolist()):
        raise StateError(f"the bank of {name} gives other counts than its result, expected those of one run")


def _curve(
    bank: OffsetBank, before_first: str
) -> tuple[tuple[FlameResult | None, ...], tuple[FlameResult | None, ...]]:
    """Score each offset, with the network and with the labels as predictions."""
    offsets = range(bank.max_offset + 1)
    score = partial(bank.score, before_first=before_first)
    flame = tuple(scored(partial(score, frame_offset=offset)) for offset in offsets)
    late = (scored(partial(score, frame_offset=offset, persistence=True)) for offset in offsets)
    return flame, tuple(late) if bank.has_persistence else ()


def _stops(networks: Sequence[Network]) -> tuple[int, ...]:
    """Return round latencies from nothing to as far as the curves reach, or to where nobody would look."""
    cameras = [camera for network in networks if (camera := network.cameras.get(1)) is not None]
    if not cameras:
        return ()
    interval_ms = 1000 / cameras[0].fps
    slowest = max(offset_of_ns(round(network.trace.median_ns), cameras[0].fps) for network in networks)
    frames = min(max(len(camera.flame) for camera in cameras) - 1, max(_MOST_FRAMES, 4 * slowest))
    top_ms = frames * interval_ms
    step = next((step for step in _STEPS_MS if top_ms / step <= _MOST_STOPS), _STEPS_MS[-1])
    return tuple(range(0, int(top_ms) + 1, step))
