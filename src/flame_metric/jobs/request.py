"""Request: which scores are asked for; from it follow the pairs of frames that an evaluation needs."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict, Unpack

from flame_metric.core.checks import check_choice, check_integer, check_kind
from flame_metric.core.clock import MAX_FRAMES, MAX_NS, Fps, Milliseconds, milliseconds_to_ns
from flame_metric.core.files import reading
from flame_metric.core.iou import MEANS
from flame_metric.core.schedule import Schedule
from flame_metric.data.folders import Clip
from flame_metric.data.stored import StoredFolder
from flame_metric.errors import ConfigError, DatasetError
from flame_metric.jobs.plan import ClipPlan, Plan
from flame_metric.latency.simulate import StreamConfig, simulate_clips
from flame_metric.latency.trace import LatencyTrace, as_trace
from flame_metric.scores.bank_file import MAX_OFFSET
from flame_metric.scores.config import ScoreConfig, make_config

__all__ = ["Request", "RequestOptions", "ScoreOptions", "check_names", "make_request"]

_LONG, _MOST_HOLES = 100_000, 100  # a longer stream has at most so many frames for each that was recorded


class ScoreOptions(TypedDict, total=False):
    """Options of data that says itself which classes and which frame rate it has; :class:`Request` documents them."""

    latency_ms: Milliseconds | None
    frame_offset: int | None
    trace: LatencyTrace | None
    stream: StreamConfig | None
    seed: int
    before_first: str
    mean_over: str
    max_offset: int | None
    keep_bank: bool
    hardware: str | None


class RequestOptions(ScoreOptions, total=False):
    """Options of :meth:`Request.from_options`; :class:`Request` documents them."""

    num_classes: int
    fps: Fps | None
    ignore_index: int | None
    class_names: Sequence[str] | None


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which scores are asked for; :meth:`from_options` makes it.

    Its options, wherever they are given:

    - ``num_classes`` (int): C, void not counted.
    - ``fps`` (int, float, Fraction or str): frames per second; of folders, steps of the frame numbers per second. May
      be left out where k itself is given.
    - ``latency_ms`` (float): the latency of a prediction in milliseconds, from which the offset k follows (Eq. 5).
    - ``frame_offset`` (int): instead, k itself.
    - ``trace`` (LatencyTrace): instead, measured latencies: their median gives k, and the stream replays them.
    - ``stream`` (StreamConfig): score this stream too; with a trace, one of one worker and a queue of one is scored
      anyway.
    - ``seed`` (int): seed of a trace that is replayed at random. Default: 0.
    - ``before_first`` ("skip" or "void"): leave a labelled frame before the first prediction out, or count its pixels
      as missed. Default: "skip".
    - ``mean_over`` ("present", "labelled" or "all"): over which classes scores are means, as
      :class:`~flame_metric.FlameResult` has it. Default: "present".
    - ``max_offset`` (int): count every offset up to this one: the result has a curve and a bank.
    - ``keep_bank`` (bool): whether the result has a bank that reaches as far as the scores do, and at least to
      ``max_offset``.
    - ``ignore_index`` (int): label of void pixels.
    - ``class_names`` (sequence of str): C names for tables.
    - ``hardware`` (str): what the latency was measured on, for the signature.

    Attributes
    ----------
    config : ScoreConfig
        Of FLAME.
    latency : float or LatencyTrace, optional
        None where an offset was given instead.
    stream : StreamConfig, optional
    seed : int
    max_offset : int, optional
    keep_bank : bool
    mean_over : str

    Examples
    --------
    >>> request = Request.from_options(num_classes=19, fps=17, latency_ms=76, hardware="GTX 1080 Ti")
    >>> request.config.frame_offset
    2
    >>> Request.from_options(num_classes=19, fps=17, latencyms=76)
    Traceback (most recent call last):
    flame_metric.errors.ConfigError: there is no option `latencyms`, expected such as `latency_ms`
    """

    config: ScoreConfig
    latency: Milliseconds | LatencyTrace | None
    stream: StreamConfig | None = None
    seed: int = 0
    max_offset: int | None = None
    keep_bank: bool = False
    mean_over: str = MEANS[0]

    def __post_init__(self) -> None:
        check_choice("mean_over", self.mean_over, MEANS)

    @classmethod
    def from_options(cls, **options: Unpack[RequestOptions]) -> Request:
        """Build it from options.

        Raises
        ------
        ConfigError
            If an option is missing, unknown or out of range, not exactly one of latency, offset and trace is given, or
            a stream is asked for with an offset.
        """
        check_names(options, RequestOptions)
        frame_offset = options.get("frame_offset")
        needed = ("num_classes", "fps") if frame_offset is None else ("num_classes",)
        if missing := [f"`{name}`" for name in needed if options.get(name) is None]:
            wanted = "is missing, expected a number" if len(missing) == 1 else "are missing, expected a number for each"
            raise ConfigError(f"{' and '.join(missing)} {wanted}")
        latency, stream = _latency_and_stream(
            options.get("latency_ms"), frame_offset, options.get("trace"), options.get("stream")
        )
        max_offset = options.get("max_offset")
        if max_offset is not None:
            max_offset = check_integer("max_offset", max_offset, 0, most=MAX_OFFSET, unit="frames")
        config = make_config(
            options["num_classes"],
            latency_ms=None if latency is None else as_trace(latency).median_ns / 10**6,
            fps=options.get("fps"),
            frame_offset=frame_offset,
            ignore_index=options.get("ignore_index"),
            class_names=options.get("class_names"),
            before_first=options.get("before_first", "skip"),
            hardware=options.get("hardware"),
        )
        return cls(
            config=config,
            latency=latency,
            stream=stream,
            seed=options.get("seed", 0),
            max_offset=max_offset,
            keep_bank=options.get("keep_bank", False),
            mean_over=options.get("mean_over", MEANS[0]),
        )

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
        for clip in clips:
            self._check_length(where, clip, lengths[clip.name])
        labelled = {clip.name: [frame.index for frame in clip.frames if frame.label] for clip in clips}
        schedules = self.schedules(lengths, labelled)
        offset = self.config.frame_offset or 0
        reach = self.max_offset
        if self.keep_bank:  # as far as the scores reach, too
            shown = (int(schedule.staleness.max(initial=0)) for schedule in schedules.values())
            reach = max(offset, self.max_offset or 0, *shown)
        plans = (ClipPlan(clip, offset, schedules.get(clip.name), reach) for clip in clips)
        return Plan(where, tuple(plans), offset, self.max_offset, has_step)

    def _check_length(self, where: Path | StoredFolder | str, clip: Clip, length: int) -> None:
        """Refuse a clip that is almost all holes: a stream runs through them, and takes time and memory for each."""
        most = MAX_FRAMES if self.keep_bank or self.max_offset is not None else length
        if self.stream is not None:
            most = min(MAX_FRAMES, max(_LONG, _MOST_HOLES * len(clip.frames)))
        if length > most:
            raise DatasetError(
                f"{where}: the numbers of sequence {clip.name} span {length:,} steps, of which {len(clip.frames):,} "
                f"are there, expected at most {most:,} for a stream or a bank; if they are times, number the frames "
                "0, 1, 2, .. instead",
                path=None if isinstance(where, str) else where,
            )

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
            **({} if self.mean_over == MEANS[0] else {"mean_over": self.mean_over}),  # journals have it since it exists
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Request:
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
                mean_over=record.get("mean_over", MEANS[0]),
            )


def make_request(request: Request | None, options: ScoreOptions, **given: Any) -> Request:
    """Return the request that is given, or the one that options make; ``given`` is what the data says of itself.

    Raises
    ------
    ConfigError
        If both are given, the request is of other classes or of another rate than the data, or as
        :meth:`Request.from_options` does.
    """
    if request is None:
        return Request.from_options(**{**options, **given})
    check_kind("request", request, Request, "a Request")
    if options:
        names = " and ".join(f"`{name}`" for name in options)
        raise ConfigError(f"`request` is given beside {names}, expected a request or its options")
    wanted = make_config(frame_offset=0, **given) if given else request.config
    unlike = [text for text in request.config.differences(wanted) if text.partition(":")[0] in given]
    if unlike:
        raise ConfigError(f"`request` is of other data, request / data: {'; '.join(unlike)}")
    return request


def check_names(options: Iterable[str], known: type, **records: type) -> None:
    """Refuse options that are not known, naming the nearest one, or the record to which they belong.

    Parameters
    ----------
    options : iterable of str
        What was given.
    known : type
        The TypedDict of the options.
    **records : type
        By argument: dataclasses that are given as a whole.

    Raises
    ------
    ConfigError
        If one is not known.
    """
    names = [*known.__required_keys__, *known.__optional_keys__]  # type: ignore[attr-defined]
    for option in options:
        if option in names:
            continue
        for argument, record in records.items():
            if option in {field.name for field in fields(record)}:
                raise ConfigError(
                    f"there is no option `{option}` here, expected {argument}={record.__name__}({option}=...)"
                )
        nearest = difflib.get_close_matches(option, names, 1)
        expected = f"such as `{nearest[0]}`" if nearest else f"some of {', '.join(sorted(names))}"
        raise ConfigError(f"there is no option `{option}`, expected {expected}")


def _latency_and_stream(
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
    if stream is not None:
        check_kind("stream", stream, StreamConfig, "a StreamConfig")
    if trace is not None:
        check_kind("trace", trace, LatencyTrace, "a LatencyTrace")
    if frame_offset is not None and stream is not None:
        raise ConfigError("`stream` is given with `frame_offset`, expected a latency: a stream needs its time")
    if trace is not None:
        return trace, stream or StreamConfig()
    if latency_ms is not None:
        milliseconds_to_ns(latency_ms)  # named as the caller named it
    return latency_ms, stream
