"""What a report shows of a network: its scores at one latency and one frame rate, a *setting*, and at all of a grid.

With an offset bank any setting can be scored; with a curve alone, those of the frame rate at hand, without a stream;
with neither, the one that was measured. Every score is one that the library gave.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

from flame_metric.core.clock import offset_of_ns
from flame_metric.errors import FlameWarning, StateError
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.scores.bank import OffsetBank
from flame_metric.scores.evaluation import Evaluation
from flame_metric.scores.result import FlameResult

__all__ = ["Camera", "Grid", "Network", "Setting", "scored"]


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
class Network:
    """A network, what was found with it, and where more is to be had.

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
        """Score a stream; None where it needs older predictions than the bank has."""
        if camera.bank is None:
            return None
        schedules = camera.bank.schedules(latency, self.stream, fps=camera.fps, seed=self.seed)
        if max((int(one.staleness.max(initial=0)) for one in schedules.values()), default=0) > camera.bank.max_offset:
            return None
        before_first = self.evaluation.flame.config.before_first
        return scored(
            partial(camera.bank.stream, latency, self.stream, fps=camera.fps, before_first=before_first, seed=self.seed)
        )


@dataclass(frozen=True)
class Grid:
    """Networks at all settings that a page offers.

    Attributes
    ----------
    networks : tuple of Network
    every : tuple of int
        Which frames the cameras take.
    scales : tuple of Fraction
        How many times as long other hardware takes.
    stops_ms : tuple of int
        Latencies to look at beside those of the networks.
    """

    networks: tuple[Network, ...]
    every: tuple[int, ...]
    scales: tuple[Fraction, ...]
    stops_ms: tuple[int, ...]

    def time_ns(self, network: Network, scale: Fraction, stop_ms: int | None) -> Fraction:
        """Return a latency; ``stop_ms`` None is the network's own."""
        return scale * (network.trace.median_ns if stop_ms is None else stop_ms * 10**6)

    def setting(self, network: Network, every: int, scale: Fraction, stop_ms: int | None) -> Setting | None:
        """Return what a network is worth; see :meth:`time_ns`."""
        return network.setting(every, self.time_ns(network, scale, stop_ms))

    def best(self, every: int, scale: Fraction, stop_ms: int | None) -> tuple[str, float] | None:
        """Return what is best by FLAME, one network or some that are alike, and its score; None if one is not known."""
        found = [self.setting(network, every, scale, stop_ms) for network in self.networks]
        miou = [math.nan if one is None or one.flame is None else one.flame.miou for one in found]
        if any(map(math.isnan, miou)):
            return None
        best = max(miou)
        return " and ".join(one.name for one, own in zip(self.networks, miou, strict=True) if own == best), best


def scored(score: Callable[[], FlameResult]) -> FlameResult | None:
    """Score; None if a prediction that is needed was not counted, or nothing was."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FlameWarning)  # a page shows coverage beside each score
            result = score()
    except StateError:
        return None
    return result if result.num_pairs else None
