"""Question: which scores are asked for; from it follow the pairs of frames that an evaluation needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from flame_metric.core.checks import check_integer, check_kind
from flame_metric.core.clock import MAX_NS, Fps, Milliseconds, milliseconds_to_ns
from flame_metric.core.records import reading
from flame_metric.core.schedule import Schedule
from flame_metric.data.folders import Clip
from flame_metric.data.stored import StoredFolder
from flame_metric.errors import ConfigError
from flame_metric.jobs.plan import ClipPlan, Plan
from flame_metric.latency.simulate import StreamConfig, simulate_clips
from flame_metric.latency.trace import LatencyTrace, as_trace
from flame_metric.scores.bank import MAX_OFFSET
from flame_metric.scores.config import ScoreConfig, make_config

__all__ = ["Question", "latency_and_stream"]


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which scores are asked for.

    Attributes
    ----------
    config : ScoreConfig
        Of FLAME.
    latency : float or LatencyTrace, optional
        None where an offset was given instead.
    stream : StreamConfig, optional
        Score this stream too.
    seed : int
        Seed of a trace that is replayed at random.
    max_offset : int, optional
        Count every offset up to this one, for a curve and a bank.
    keep_bank : bool
        Whether a bank is wanted that reaches as far as the scores do, and at least to ``max_offset``.
    """

    config: ScoreConfig
    latency: Milliseconds | LatencyTrace | None
    stream: StreamConfig | None = None
    seed: int = 0
    max_offset: int | None = None
    keep_bank: bool = False

    @classmethod
    def of(
        cls,
        num_classes: int,
        *,
        fps: Fps,
        latency_ms: Milliseconds | None = None,
        frame_offset: int | None = None,
        trace: LatencyTrace | None = None,
        stream: StreamConfig | None = None,
        seed: int = 0,
        before_first: str = "skip",
        max_offset: int | None = None,
        keep_bank: bool = False,
        ignore_index: int | None = None,
        class_names: Sequence[str] | None = None,
        device: str | None = None,
    ) -> Question:
        """Build it from the options of :func:`evaluate_folders`.

        Raises
        ------
        ConfigError
            If an option is out of range, not exactly one of latency, offset and trace is given, or a stream is asked
            for with an offset.
        """
        latency, stream = latency_and_stream(latency_ms, frame_offset, trace, stream)
        if max_offset is not None:
            max_offset = check_integer("max_offset", max_offset, 0, most=MAX_OFFSET, unit="frames")
        config = make_config(
            num_classes,
            latency_ms=None if latency is None else as_trace(latency).median_ns / 10**6,
            fps=fps,
            frame_offset=frame_offset,
            ignore_index=ignore_index,
            class_names=class_names,
            before_first=before_first,
            device=device,
        )
        return cls(config=config, latency=latency, stream=stream, seed=seed, max_offset=max_offset, keep_bank=keep_bank)

    def schedules(self, lengths: Mapping[str, int], labelled: Mapping[str, Sequence[int]]) -> dict[str, Schedule]:
        """Simulate the stream that is asked for on some clips; nothing if none is.

        Parameters
        ----------
        lengths : Mapping of str to int
            Frames of each clip; a camera also delivers what was not recorded.
        labelled : Mapping of str to sequence of int
            Its labelled frames.
        """
        if self.latency is None or self.stream is None or self.config.fps is None:
            return {}
        return simulate_clips(self.latency, self.stream, lengths, labelled, fps=self.config.fps, seed=self.seed)

    def plan(self, where: Path | StoredFolder | str, clips: Sequence[Clip], *, has_step: bool = True) -> Plan:
        """Return which pairs of frames the scores need; ``where`` and ``has_step`` as :class:`Plan` has them."""
        lengths = {clip.name: clip.frames[-1].index + 1 for clip in clips}
        labelled = {clip.name: [frame.index for frame in clip.frames if frame.label] for clip in clips}
        schedules = self.schedules(lengths, labelled)
        offset = self.config.frame_offset or 0
        reach = self.max_offset
        if self.keep_bank:  # as far as the scores reach, too
            shown = (int(schedule.staleness.max(initial=0)) for schedule in schedules.values())
            reach = max(offset, self.max_offset or 0, *shown)
        plans = []
        for clip in clips:
            schedule = schedules.get(clip.name)
            ages = None
            if schedule is not None:
                ages = dict(zip(schedule.label_frame.tolist(), schedule.staleness.tolist(), strict=True))
            plans.append(ClipPlan(clip, offset, ages, reach))
        return Plan(where, tuple(plans), offset, self.max_offset, has_step)

    def to_dict(self) -> dict[str, Any]:
        """Return it in types that JSON knows."""
        latency: Any = None
        if isinstance(self.latency, LatencyTrace):
            latency = json.loads(self.latency.to_json())
        elif self.latency is not None:
            latency = milliseconds_to_ns(self.latency)
        return {
            "config": self.config.to_dict(),
            "latency": latency,
            "stream": None if self.stream is None else asdict(self.stream),
            "seed": self.seed,
            "max_offset": self.max_offset,
            "keep_bank": self.keep_bank,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Question:
        """Build it from what :meth:`to_dict` returned.

        Raises
        ------
        StateError
            If a field is missing or out of range.
        """
        with reading("question"):
            latency, stream = record["latency"], record["stream"]
            if isinstance(latency, dict):
                latency = LatencyTrace.from_json(json.dumps(latency))
            elif latency is not None:
                latency = Fraction(check_integer("latency", latency, 0, most=MAX_NS), 10**6)
            offset, keep_bank = record["max_offset"], record["keep_bank"]
            check_kind("keep_bank", keep_bank, bool, "True or False")
            return cls(
                config=ScoreConfig.from_dict(record["config"]),
                latency=latency,
                stream=None if stream is None else StreamConfig(**stream),
                seed=check_integer("seed", record["seed"], 0),
                max_offset=None if offset is None else check_integer("max_offset", offset, 0, unit="frames"),
                keep_bank=keep_bank,
            )


def latency_and_stream(
    latency_ms: Milliseconds | None, frame_offset: int | None, trace: LatencyTrace | None, stream: StreamConfig | None
) -> tuple[Milliseconds | LatencyTrace | None, StreamConfig | None]:
    """Return the latency, and the stream on which to score; None where an offset was given instead.

    Raises
    ------
    ConfigError
        If not exactly one of latency, offset and trace is given, or a stream with an offset.
    """
    given = {"latency_ms": latency_ms, "frame_offset": frame_offset, "trace": trace}
    names = [f"`{name}`" for name, value in given.items() if value is not None]
    if len(names) != 1:
        found = f"{' and '.join(names)} are given together" if names else f"none of {', '.join(given)} is given"
        raise ConfigError(f"{found}, expected one of them")
    if frame_offset is not None and stream is not None:
        raise ConfigError("`stream` is given with `frame_offset`, expected a latency: a stream needs its time")
    if trace is not None:
        return trace, stream or StreamConfig()
    if latency_ms is not None:
        milliseconds_to_ns(latency_ms)  # named as the caller named it
    return latency_ms, stream
