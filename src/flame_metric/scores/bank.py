"""OffsetBank: one run of the network, counted at every offset, scored for any latency and any schedule.

The bank keeps the counts of (prediction of frame j - k, labels of frame j) for each labelled frame j and each offset
k = 0..K. A schedule picks one k for each j, so every latency-aware score is a sum over the bank: no image is read and
no network is run again. Each label map is checked and coded once, whatever K is.

A camera with another frame rate sees the same scene: of the frames that were recorded it takes 0, m, 2 m, ..., and a
label counts where it lies on one of those. So a bank answers for the recorded rate divided by any whole number m, and
for no other rate: ``fps`` of a question is the rate of such a camera.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import (
    check_id,
    check_integer,
    check_kind,
    check_path,
    is_possible_path,
    of_sequence,
    pair_frames,
)
from flame_metric.core.clock import (
    MAX_FRAMES,
    NS_PER_S,
    Fps,
    Milliseconds,
    as_fps,
    exact_fraction,
    milliseconds_to_ns,
    offset_of_ns,
)
from flame_metric.core.counting import MAX_COUNT, Counts, count_coded
from flame_metric.core.files import write_whole
from flame_metric.core.labels import CodedMap, LabelMaps, code_map
from flame_metric.core.schedule import NOTHING_YET, EveryOffset, Schedule, fixed_staleness
from flame_metric.core.tables import rate_text
from flame_metric.errors import ConfigError, DatasetError, FlameWarning, StateError, located, quoted, shortened
from flame_metric.latency.simulate import StreamConfig, as_stream, simulate_clips, stream_text
from flame_metric.latency.trace import LatencyTrace, as_trace
from flame_metric.scores.bank_file import BankSettings, pack_bank, read_bank
from flame_metric.scores.config import ScoreConfig, make_config
from flame_metric.scores.curve import Budget, Curve, Losses
from flame_metric.scores.offset_counts import (
    NETWORK,
    NO_MAP,
    PERSISTENCE,
    OffsetCounts,
    OffsetCountsBuilder,
)
from flame_metric.scores.pairs import Line
from flame_metric.scores.result import FlameResult, nan_note

__all__ = ["OffsetBank"]

_MOST_RATES, _MOST_STEPS = 8, 1000  # that a message lists, and among which it looks for them

Offsets = npt.NDArray[np.int64]
_BothMaps = tuple[CodedMap | None, CodedMap | None]
"""A frame's prediction and labels, None where there is none: the rows NETWORK and PERSISTENCE."""


class OffsetBank:
    """Counts at every offset, from which any latency-aware score follows.

    Parameters
    ----------
    num_classes : int
        C, 2..4096.
    max_offset : int
        K, 0..10,000 frames, the largest offset to keep.
    fps : int, float, Fraction or str, optional
        Frames per second that were recorded; may be given with each question instead, as ``recorded_fps``.
    ignore_index : int, optional
        Label of void pixels.
    class_names : sequence of str, optional
        C names for tables.
    persistence : bool
        Whether to keep the counts of the labels as predictions too.

    Raises
    ------
    ConfigError
        If a value is out of range.

    Examples
    --------
    >>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]], [[0, 1, 0]]]
    >>> bank = OffsetBank(2, max_offset=2, fps=30)
    >>> bank.update_sequence(video, video, sequence="clip")
    >>> [round(float(miou), 3) for miou in bank.curve().miou]
    [1.0, 0.167, 0.467]
    >>> bank.score(latency_ms=50).frame_offset
    2
    >>> round(bank.stream(50).miou, 3)
    0.467
    """

    def __init__(
        self,
        num_classes: int,
        *,
        max_offset: int,
        fps: Fps | None = None,
        ignore_index: int | None = None,
        class_names: Sequence[str] | None = None,
        persistence: bool = False,
    ) -> None:
        self._restart(
            BankSettings.from_options(
                num_classes,
                max_offset=max_offset,
                fps=fps,
                ignore_index=ignore_index,
                class_names=class_names,
                persistence=persistence,
            )
        )

    def _restart(self, settings: BankSettings) -> None:
        self._settings = settings
        self._clips: dict[str, OffsetCounts] = {}
        self._all: OffsetCounts | None = None  # the clips in the order of their ids, joined when it is first needed

    @property
    def config(self) -> ScoreConfig:
        """Classes, void label and names."""
        return self._settings.config

    @property
    def max_offset(self) -> int:
        """K, in frames."""
        return self._settings.max_offset

    @property
    def fps(self) -> Fraction | None:
        """Frames per second of its camera, if they were given: the recorded rate, or what :meth:`every` left of it."""
        return self._settings.fps

    @property
    def has_persistence(self) -> bool:
        """Whether the counts of the labels as predictions are kept too."""
        return self._settings.persistence

    @property
    def sequences(self) -> tuple[str, ...]:
        """The ids of the sequences, sorted."""
        return tuple(sorted(self._clips))

    # ── filling ──

    def update_sequence(
        self,
        preds: Iterable[LabelMaps | None],
        targets: Iterable[LabelMaps | None],
        *,
        sequence: str,
        holes: Collection[int] = (),
    ) -> None:
        """Count a whole clip at every offset.

        Parameters
        ----------
        preds : iterable of label maps (H, W) or scores (C, H, W); None where the network was not run
        targets : iterable of label maps (H, W), or None where a frame is unlabelled
            As many as ``preds``; item i of both is frame i, read once and in order.
        sequence : str
            Id of the clip.
        holes : collection of int
            Frames that were never recorded, None on both sides: where one of them would be on screen there is no pair.
            A prediction that is None for another reason is an error when it is asked for.

        Raises
        ------
        LabelError, ShapeError
            If a label is not a class, shapes do not belong together, or one iterable is longer; nothing is kept then.
        ConfigError
            If an argument is of another kind, or there is a map where ``holes`` names a frame.
        StateError
            If the sequence is in the bank already.
        """
        self._require_new(sequence)
        check_kind("holes", holes, Collection, "a collection of frame numbers")
        never = frozenset(check_integer("holes", hole, 0, unit="frames") for hole in holes)
        of = of_sequence(sequence)
        settings, space = self._settings, self.config.space
        line: Line[_BothMaps] = Line(EveryOffset(settings.max_offset))
        builder = OffsetCountsBuilder(settings.rows, settings.offsets, space.num_classes, never.__contains__)
        frame = -1
        for frame, pred, target in pair_frames(preds, targets):
            if frame in never and not (pred is None and target is None):
                raise ConfigError(
                    f"`holes` names frame {frame}{of}, where there is a label map, expected None for both"
                )
            with located(f"frame {frame}{of}"):
                label = None if target is None else code_map(target, space, argument="target")
                maps = (None if pred is None else code_map(pred, space), label)
                shown, line = line.step(maps, labelled=label is not None)
                if label is None:
                    continue
                found = {frame - source: self._count_shown(held, label, source) for source, held in shown.items()}
                pairs = (counts for of_offset in found.values() for counts in of_offset if counts is not None)
                own = next(pairs, None) or count_coded(label, label, space)  # labelled pixels are the same in any pair
                builder.add(frame, own, found)
        self.add_counts(builder.build(frame + 1), sequence=sequence)

    def _count_shown(self, held: _BothMaps | None, label: CodedMap, source: int) -> list[Counts | None]:
        """Count the maps of one frame against a label map, by row."""
        with located(f"map of frame {source}"):
            return [
                None if shown is None else count_coded(shown, label, self.config.space)
                for shown in (held or ())[: self._settings.rows]
            ]

    def add_counts(self, counts: OffsetCounts, *, sequence: str) -> None:
        """Add the counts of a whole clip that were made elsewhere.

        Raises
        ------
        ConfigError
            If they are of other offsets or classes, or of more than three million frames.
        StateError
            If the sequence is in the bank already.
        """
        self._require_new(sequence)
        check_kind("counts", counts, OffsetCounts, "OffsetCounts")
        wanted = self._settings.empty().counts.shape
        if counts.counts.shape[:1] + counts.counts.shape[2:] != wanted[:1] + wanted[2:] or len(counts.num_frames) != 1:
            raise ConfigError(f"`counts` has shape {counts.counts.shape}, expected that of one clip of this bank")
        if counts.num_frames[0] > MAX_FRAMES:
            raise ConfigError(f"`counts` is of {counts.num_frames[0]:,} frames, expected at most {MAX_FRAMES:,}")
        self._clips[sequence] = counts
        self._all = None

    def counts_of(self, sequence: str) -> OffsetCounts:
        """Return the counts of one clip, as :meth:`add_counts` takes them.

        Raises
        ------
        StateError
            If the bank does not have it.
        """
        if sequence not in self._clips:
            raise StateError(
                f"sequence {quoted(sequence)} is not in the bank, expected one of {shortened(self._clips)}"
            )
        return self._clips[sequence]

    def _require_new(self, sequence: str) -> None:
        check_id(sequence, least=1)
        if sequence in self._clips:
            raise StateError(f"sequence {quoted(sequence)} is in the bank already, expected each clip once")

    def every(self, step: int) -> OffsetBank:
        """Return the bank of a camera that takes only every ``step``-th frame, beginning with the first.

        Labels on other frames are left out.

        Raises
        ------
        ConfigError
            If the step is below 1, or the camera would take fewer than every three millionth recorded frame.
        """
        step = check_integer("step", step, 1, most=MAX_FRAMES, unit="frames")
        mine = self._settings
        slower = None if mine.fps is None else mine.fps / step
        config = replace(mine.config, every=mine.config.every * step)
        bank = OffsetBank._from_settings(replace(mine, config=config, max_offset=mine.max_offset // step, fps=slower))
        bank._clips = {name: clip.every(step) for name, clip in self._clips.items()}
        return bank

    def camera(self, fps: Fps | None = None, *, recorded_fps: Fps | None = None) -> OffsetBank:
        """Return the bank of a camera with another frame rate on the same scene.

        Parameters
        ----------
        fps : int, float, Fraction or str, optional
            Frames per second of that camera: those of this bank, divided by a whole number m. It takes frames 0, m,
            2 m, ... as :meth:`every` does. Default: all frames.
        recorded_fps : int, float, Fraction or str, optional
            At which rate the frames were recorded, where the bank has no rate or a wrong one.

        Raises
        ------
        ConfigError
            If the recorded rate divided by ``fps`` is not a whole number, no label lies on those frames, or the bank
            has no rate and ``recorded_fps`` is not given.

        Examples
        --------
        >>> video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]], [[0, 1, 0]]]
        >>> bank = OffsetBank(2, max_offset=2, fps=30)
        >>> bank.update_sequence(video, video, sequence="clip")
        >>> print(bank.camera(15).score(latency_ms=50).signature.partition(" | 2 classes")[0])
        FLAME 0.167 | k 1 | 50.0 ms | 15 fps | frames 0, 2, 4, .. of 30 fps
        """
        bank = self
        if recorded_fps is not None:
            rate = as_fps(recorded_fps, "recorded_fps") / self.config.every
            bank = OffsetBank._from_settings(replace(self._settings, fps=rate))
            bank._clips, bank._all = dict(self._clips), self._all
        if fps is None:
            return bank
        wanted = as_fps(fps)
        if bank.fps is None:
            raise ConfigError(
                f"`fps` is {fps}, but this bank does not know at which rate its frames were recorded, so it cannot "
                f"answer for another camera; give that rate as `recorded_fps` (--recorded-fps)"
            )
        step = bank.fps / wanted
        if step == 1:
            return bank
        if step.denominator != 1 or not bank._has_label_on(int(step)):
            raise ConfigError(
                f"`fps` is {fps}, but {bank._rates()}; if they were recorded at another rate, give that as "
                "`recorded_fps` (--recorded-fps)"
            )
        return bank.every(int(step))

    def _has_label_on(self, step: int) -> bool:
        return step <= MAX_FRAMES and any((clip.frame % step == 0).any() for clip in self._clips.values())

    def _rates(self) -> str:
        """Say for which cameras there are labels."""
        assert self.fps is not None
        longest = max((int(clip.num_frames[0]) for clip in self._clips.values()), default=0)
        steps = (step for step in range(1, min(longest, _MOST_STEPS) + 1) if step == 1 or self._has_label_on(step))
        shown = list(itertools.islice(steps, _MOST_RATES + 1))
        rates = [rate_text(self.fps / step) for step in shown[:_MOST_RATES] or [1]]
        more = ", .." if len(shown) > _MOST_RATES else ""
        return (
            f"this bank of {rate_text(self.fps)} fps answers for {', '.join(rates)}{more} fps: cameras that take each "
            "m-th of its frames, where there are labels"
        )

    def merge(self, other: OffsetBank) -> None:
        """Add the clips of another bank; a clip that both hold must have equal counts, and is kept once.

        Raises
        ------
        StateError
            If the banks are of unlike configuration, or one clip has different counts; nothing is merged then.

        Warns
        -----
        FlameWarning
            If both hold a clip.
        """
        if not isinstance(other, OffsetBank):
            raise StateError(f"`other` is {type(other).__name__}, expected an OffsetBank")
        mine, theirs = self._settings.to_dict(), other._settings.to_dict()
        unlike = [f"{name}: {mine[name]} / {theirs[name]}" for name in mine if mine[name] != theirs[name]]
        if unlike:
            raise StateError(f"banks of unlike configuration cannot merge: {'; '.join(unlike)}")
        both = sorted(self._clips.keys() & other._clips.keys())
        for name in both:
            if not self._clips[name].equals(other._clips[name]):
                raise StateError(f"sequence {quoted(name)} has different counts in the two banks, expected equal ones")
        self._clips |= other._clips
        self._all = None
        if both:
            names = f"[{shortened(map(repr, both))}]"
            kept = f"{len(both)} sequence(s) came twice with identical counts and were kept once: {names}"
            warnings.warn(kept, FlameWarning, stacklevel=2)

    # ── on disk ──

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bank as one compressed .npz file, whole or not at all; nothing in it is pickled.

        Raises
        ------
        ConfigError
            If ``path`` names no file.
        OSError
            If the file cannot be written.
        StateError
            If the ids of its sequences take more than 64 MB.
        """
        write_whole(check_path(path), self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return what :meth:`save` writes.

        Raises
        ------
        StateError
            If the ids of its sequences take more than 64 MB.
        """
        return pack_bank(self._settings, self.sequences, self._join_clips())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OffsetBank:
        """Read a bank that :meth:`save` wrote.

        Raises
        ------
        ConfigError
            If ``path`` names no file.
        DatasetError
            If the file cannot be read.
        StateError
            If it is not a bank, or its counts contradict each other.
        """
        place = check_path(path)
        try:
            with place.open("rb") as file:
                return cls._from_file(file, str(path))
        except OSError as error:
            shown = path if is_possible_path(os.fspath(path)) else quoted(path)
            raise DatasetError(f"{shown}: cannot be read: {error.strerror or error}", path=path) from error

    @classmethod
    def from_bytes(cls, content: bytes) -> OffsetBank:
        """Read what :meth:`to_bytes` returned.

        Raises
        ------
        StateError
            If it is not a bank, or its counts contradict each other.
        """
        if isinstance(content, str | os.PathLike):
            raise StateError(
                f"`content` is {quoted(content)}, expected bytes; a file is read by {cls.__name__}.load(path)"
            )
        return cls._from_file(io.BytesIO(content), "these bytes")

    @classmethod
    def _from_file(cls, file: BinaryIO, name: str) -> OffsetBank:
        settings, names, counts = read_bank(file, name)
        bank = cls._from_settings(settings)
        bank._clips = dict(zip(names, counts.split(), strict=True))
        return bank

    @classmethod
    def _from_settings(cls, settings: BankSettings) -> OffsetBank:
        bank = cls.__new__(cls)
        bank._restart(settings)
        return bank

    # ── asking ──

    def score(
        self,
        *,
        frame_offset: int | None = None,
        latency_ms: Milliseconds | None = None,
        fps: Fps | None = None,
        recorded_fps: Fps | None = None,
        before_first: str = "skip",
        persistence: bool = False,
    ) -> FlameResult:
        """Return FLAME at a fixed offset, or at that of a latency (Eq. 5).

        Parameters
        ----------
        frame_offset : int, optional
            k, in frames of the camera.
        latency_ms : float, optional
            Instead: milliseconds.
        fps, recorded_fps : optional
            Another camera, and the rate that was recorded: see :meth:`camera`.
        before_first : {"skip", "void"}
            What happens to a labelled frame before the first output.
        persistence : bool
            Score the labels as predictions.

        Raises
        ------
        ConfigError
            If the offset lies beyond the bank, or not exactly one of offset and latency is given.
        StateError
            If a prediction that is needed was not given.

        Warns
        -----
        FlameWarning
            If the network scores no pair of a labelled sequence, or NaN. So do the other questions for one score.
        """
        if frame_offset is None and latency_ms is None:
            raise ConfigError("`frame_offset` and `latency_ms` are both missing, expected one of them")
        bank = self.camera(fps, recorded_fps=recorded_fps)
        if latency_ms is not None:
            bank._rate()
        fixed = bank._fixed_settings(frame_offset=frame_offset, latency_ms=latency_ms)
        result = bank._score(replace(fixed, before_first=before_first), persistence=persistence)
        return result if persistence else _warn_of_nothing(result)

    def _score(self, config: ScoreConfig, *, persistence: bool = False) -> FlameResult:
        offset = config.frame_offset or 0
        self.check_reach(offset)
        return self._result(config, [(1, self._fixed_offsets(offset))], persistence=persistence)

    def curve(
        self,
        max_offset: int | None = None,
        *,
        fps: Fps | None = None,
        recorded_fps: Fps | None = None,
        before_first: str = "skip",
    ) -> Curve:
        """Return the scores at every offset 0..K, or up to a smaller one.

        Parameters
        ----------
        max_offset : int, optional
            In frames of the camera. Default: as far as the bank reaches.
        fps, recorded_fps, before_first : optional
            As :meth:`score` takes them.

        Raises
        ------
        ConfigError
            If ``max_offset`` lies beyond the bank, or the bank cannot answer for the camera.
        """
        bank = self.camera(fps, recorded_fps=recorded_fps)
        last = bank.max_offset if max_offset is None else check_integer("max_offset", max_offset, 0, unit="frames")
        bank.check_reach(last)
        first = replace(bank._fixed_settings(frame_offset=0), before_first=before_first)
        asked = [replace(first, frame_offset=offset) for offset in range(last + 1)]
        return Curve(
            tuple(bank._score(config) for config in asked),
            tuple(bank._score(config, persistence=True) for config in asked if bank.has_persistence),
        )

    def schedules(
        self,
        latency: Milliseconds | LatencyTrace,
        config: StreamConfig | None = None,
        *,
        fps: Fps | None = None,
        recorded_fps: Fps | None = None,
        seed: int = 0,
    ) -> dict[str, Schedule]:
        """Return the simulated schedule of the labelled frames of each clip, by its id: what :meth:`stream` scores.

        A trace is replayed from its beginning in each clip; random draws differ from clip to clip. Frames are counted
        as the camera takes them.

        Raises
        ------
        ConfigError
            If no frame rate is known, the bank cannot answer for the camera, the trace is too short for a clip, or an
            argument is of another kind.
        """
        bank, latency = self.camera(fps, recorded_fps=recorded_fps), as_trace(latency)
        bank.check_replay(latency)
        lengths = {name: int(bank._clips[name].num_frames[0]) for name in bank.sequences}
        labelled = {name: bank._clips[name].frame.tolist() for name in bank.sequences}
        return simulate_clips(latency, config, lengths, labelled, fps=bank._rate(), seed=seed)

    def stream(
        self,
        latency: Milliseconds | LatencyTrace,
        config: StreamConfig | None = None,
        *,
        fps: Fps | None = None,
        recorded_fps: Fps | None = None,
        before_first: str = "skip",
        seed: int = 0,
        persistence: bool = False,
    ) -> FlameResult:
        """Return the score on a stream: one simulated schedule for each clip.

        Parameters
        ----------
        latency : float or LatencyTrace
        config : StreamConfig, optional
            Default: one worker, a queue of one.
        fps, recorded_fps : optional
            Another camera, and the rate that was recorded: see :meth:`camera`.
        before_first : {"skip", "void"}
            What happens to a labelled frame before the first output.
        seed : int
            Seed of a trace that is replayed at random.
        persistence : bool
            Score the labels as predictions.

        Raises
        ------
        ConfigError
            If the stream is staler than the bank reaches, no frame rate is known, the bank cannot answer for the
            camera, the trace is too short for a clip, or an argument is of another kind.
        StateError
            If a prediction that is on screen was not given.
        """
        bank = self.camera(fps, recorded_fps=recorded_fps)
        settings, offsets = bank._simulate(latency, config, seed)
        result = bank._result(replace(settings, before_first=before_first), [(1, offsets)], persistence=persistence)
        return result if persistence else _warn_of_nothing(result)

    def _simulate(
        self, latency: Milliseconds | LatencyTrace, config: StreamConfig | None, seed: int
    ) -> tuple[ScoreConfig, Offsets]:
        """Return the settings of a stream, and how old what it shows is at each labelled frame."""
        trace, config = as_trace(latency), as_stream(config)
        schedules = self.schedules(trace, config, seed=seed)
        offsets = np.concatenate([np.zeros(0, np.int64), *(schedules[name].staleness for name in self.sequences)])
        return self._stream_settings(trace.median_ns, stream_text(config, latency, seed)), offsets

    def expected(self, trace: LatencyTrace, *, fps: Fps | None = None, recorded_fps: Fps | None = None) -> FlameResult:
        """Return FLAME under a distribution of latencies: each sample's offset counts as often as it occurs.

        Raises
        ------
        ConfigError
            If a sample's offset lies beyond the bank, no frame rate is known, or the bank cannot answer for the camera
            (:meth:`camera`).
        """
        check_kind("trace", trace, LatencyTrace, "a LatencyTrace")
        bank = self.camera(fps, recorded_fps=recorded_fps)
        rate = bank._rate()
        times = Counter(offset_of_ns(sample, rate) for sample in trace.samples_ns)
        settings = bank._stream_settings(trace.median_ns, f"expected over {len(trace)} latencies")
        return _warn_of_nothing(bank._mixture(settings, times))

    def phase_averaged(
        self, latency_ms: Milliseconds, *, fps: Fps | None = None, recorded_fps: Fps | None = None
    ) -> FlameResult:
        """Return the score of one dropping worker, averaged over the phase at which a label meets it.

        With x = latency / interval >= 1, the staleness is k with probability ``|{y in [x, 2 x) : ceil(y) = k}| / x``.
        This needs no clip around the label, so it serves data with one label a clip.

        Raises
        ------
        ConfigError
            If 2 x lies beyond the bank, no frame rate is known, or the bank cannot answer for the camera
            (:meth:`camera`).
        """
        bank = self.camera(fps, recorded_fps=recorded_fps)
        rate = bank._rate()
        latency_ns = milliseconds_to_ns(latency_ms)
        settings = bank._stream_settings(latency_ns, "1 worker, queue 1, phase-averaged")
        # A simple fraction beside keeps the weights small; it is nearer than two times that are one (TIE_NS).
        x = (latency_ns * rate / NS_PER_S).limit_denominator(1_000_000)
        if x <= 1:  # a worker that keeps up: every frame is as stale as the latency
            return _warn_of_nothing(bank._mixture(settings, {offset_of_ns(latency_ns, rate): 1}))
        last = math.ceil(2 * x)
        bank.check_reach(last)
        shares = {k: min(Fraction(k), 2 * x) - max(Fraction(k - 1), x) for k in range(math.floor(x) + 1, last + 1)}
        scale = math.lcm(*(share.denominator for share in shares.values()))
        return _warn_of_nothing(bank._mixture(settings, {k: int(share * scale) for k, share in shares.items()}))

    def latency_budget(
        self,
        miou: float,
        *,
        fps: Fps | None = None,
        recorded_fps: Fps | None = None,
        before_first: str = "skip",
        mean_over: str = "present",
    ) -> Budget | None:
        """Return the longest latency with which the score stays at ``miou``; None if it is missed without any delay.

        The budget ends where the curve *first* falls below: it is a whole number of frame intervals.

        Raises
        ------
        ConfigError
            If no frame rate is known, the bank cannot answer for the camera (:meth:`camera`), or ``miou`` is not a
            number.
        """
        bank = self.camera(fps, recorded_fps=recorded_fps)
        rate, least = bank._rate(), float(exact_fraction("miou", miou, "a number", text=False))
        first = replace(bank._fixed_settings(frame_offset=0), before_first=before_first)
        for offset in range(bank.max_offset + 1):
            if not bank._score(replace(first, frame_offset=offset)).average_over(mean_over).miou >= least:
                return Budget(offset - 1, float((offset - 1) * 1000 / rate), False) if offset else None
        return Budget(bank.max_offset, float(bank.max_offset * 1000 / rate), True)

    def losses(
        self,
        latency: Milliseconds | LatencyTrace,
        config: StreamConfig | None = None,
        *,
        fps: Fps | None = None,
        recorded_fps: Fps | None = None,
        before_first: str = "skip",
        seed: int = 0,
    ) -> Losses:
        """Split what a network loses on a stream into latency and throughput, beside what a perfect one would lose.

        Parameters, errors, warnings: those of :meth:`stream`.
        """
        bank, trace = self.camera(fps, recorded_fps=recorded_fps), as_trace(latency)
        bank._rate()
        static = bank._fixed_settings(frame_offset=0)
        flame = replace(bank._fixed_settings(latency_ms=trace.median_ns / 10**6), before_first=before_first)
        bank.check_reach(flame.frame_offset or 0)
        settings, offsets = bank._simulate(trace, config, seed)
        streaming = replace(settings, before_first=before_first)

        def split(*, persistence: bool) -> Losses:
            return Losses(
                bank._score(static, persistence=persistence),
                bank._score(flame, persistence=persistence),
                bank._result(streaming, [(1, offsets)], persistence=persistence),
            )

        losses = split(persistence=False)
        _warn_of_nothing(losses.streaming)
        return replace(losses, persistence=split(persistence=True)) if self.has_persistence else losses

    # ── sums ──

    def counts_at(
        self, offsets: Mapping[str, Offsets], *, before_first: str = "skip", persistence: bool = False
    ) -> dict[str, Counts]:
        """Return the counts of each clip under a schedule.

        Parameters
        ----------
        offsets : mapping of str to ndarray of int64
            By clip: how old what is on screen is at each of its labelled frames, -1 where nothing is.
        before_first : {"skip", "void"}
            What happens to a labelled frame before the first output.
        persistence : bool
            Count the labels as predictions.

        Raises
        ------
        ConfigError
            If an offset lies beyond the bank.
        StateError
            If a prediction that is on screen was not given.
        """
        shown = np.concatenate([np.zeros(0, np.int64), *(offsets[name] for name in self.sequences)])
        config = replace(self.config, before_first=before_first)
        result = self._result(config, [(1, shown)], persistence=persistence)
        return {
            name: Counts(counts, *tallies)
            for name, counts, tallies in zip(result.sequences, result.counts, result.tallies.tolist(), strict=True)
        }

    def _join_clips(self) -> OffsetCounts:
        """Return the counts of all clips, sorted by their ids."""
        if self._all is None:
            empty = self._settings.empty()
            self._all = OffsetCounts.join([empty, *(self._clips[name] for name in self.sequences)])
            self._clips = dict(zip(self.sequences, self._all.split(), strict=True))  # views: the counts are held once
        return self._all

    def _rate(self) -> Fraction:
        if self.fps is None:
            raise ConfigError(
                "`fps` is missing, expected the frame rate at which this bank was recorded, as `recorded_fps` "
                "(--recorded-fps) or when the bank is made"
            )
        return self.fps

    def _fixed_settings(
        self, *, frame_offset: int | None = None, latency_ms: Milliseconds | None = None
    ) -> ScoreConfig:
        known = make_config(
            self.config.num_classes,
            frame_offset=frame_offset,
            latency_ms=latency_ms,
            fps=self.fps,
            ignore_index=self.config.ignore_index,
            class_names=self.config.class_names,
        )
        return replace(known, every=self.config.every)

    def _stream_settings(self, latency_ns: int | Fraction, schedule: str) -> ScoreConfig:
        latency_ms = round(latency_ns) / 1e6
        return replace(self.config, frame_offset=None, latency_ms=latency_ms, fps=self._rate(), schedule=schedule)

    def _fixed_offsets(self, offset: int) -> Offsets:
        """Return a fixed offset at each labelled frame, -1 where the clip has not gone on that long."""
        return fixed_staleness(self._join_clips().frame, offset)

    def _mixture(self, config: ScoreConfig, times: Mapping[int, int]) -> FlameResult:
        """Return the score in which offset k counts ``times[k]`` times."""
        self.check_reach(max(times))
        return self._result(config, [(number, self._fixed_offsets(offset)) for offset, number in sorted(times.items())])

    def _result(
        self, config: ScoreConfig, shown: Sequence[tuple[int, Offsets]], *, persistence: bool = False
    ) -> FlameResult:
        """Add up the counts at the offsets that some schedules show, each as often as the number beside it says."""
        if persistence and not self.has_persistence:
            raise ConfigError("`persistence` is asked of a bank that was made without, expected persistence=True there")
        row, everything = PERSISTENCE if persistence else NETWORK, self._join_clips()
        most = sum(times for times, _ in shown)
        if most * everything.all_pixels > MAX_COUNT:
            raise StateError(
                f"the {everything.all_pixels:,} pixels of this bank, counted {most:,} times, are more than 64 bits can "
                "hold, expected fewer sequences or samples"
            )
        counts = np.zeros((len(self._clips), 3, self.config.num_classes), np.int64)
        tallies = np.zeros((len(self._clips), 4), np.int64)
        for times, offsets in shown:
            self.check_reach(int(offsets.max(initial=0)))
            if not persistence:
                self._check_given(offsets)
            of_clips, tallies_of_clips = everything.sums(offsets, row, void=config.before_first == "void")
            counts += times * of_clips
            tallies += times * tallies_of_clips
        return FlameResult(config, self.sequences, counts, tallies, persistence=persistence)

    def check_reach(self, offset: int) -> None:
        """Raise unless an offset was counted.

        Raises
        ------
        ConfigError
            If it lies beyond the bank.
        """
        if offset > self.max_offset:
            raise ConfigError(
                f"`max_offset` of this bank is {self.max_offset}, but an offset of {offset} frames is asked for; make "
                "the bank with a larger one"
            )

    def check_replay(self, trace: LatencyTrace) -> None:
        """Raise if a trace has a sample for each frame, but this camera leaves out recorded frames.

        Raises
        ------
        ConfigError
            Then: whether sample i belongs to the i-th recorded frame, or to the i-th that the camera takes, is unknown.
        """
        if self.config.every > 1 and trace.replay == "frame" and len(set(trace.samples_ns)) > 1:
            raise ConfigError(
                f"`latency` is a trace with a sample for each frame, but this camera takes only {self.config.camera}: "
                "expected another replay ('call' or 'random', --replay)"
            )

    def _check_given(self, offsets: Offsets) -> None:
        everything = self._join_clips()
        shown = np.flatnonzero(offsets != NOTHING_YET)
        missing = shown[everything.state[NETWORK, shown, offsets[shown]] == NO_MAP]
        if missing.size:
            every = self.config.every
            frame, offset = int(everything.frame[missing[0]]) * every, int(offsets[missing[0]]) * every
            raise StateError(
                f"the prediction of frame {frame - offset} of sequence "
                f"{self.sequences[everything.clip_of(int(missing[0]))]!r} is None, but is on screen at frame {frame} "
                f"({missing.size} such label(s))"
            )


def _warn_of_nothing(result: FlameResult) -> FlameResult:
    """Warn, in the name of the public question, if clips yield no pair or the score is NaN."""
    tallies = zip(result.sequences, result.tallies.tolist(), strict=True)
    without = [repr(name) for name, (pairs, labelled, *_) in tallies if labelled and not pairs]
    notes = [nan_note(result)]
    if without:
        reason = "no prediction is on screen at any of their labelled frames"
        notes.insert(0, f"{len(without)} sequence(s) yield no pair, as {reason}: {shortened(without)}")
    if message := "; ".join(note for note in notes if note):
        warnings.warn(message, FlameWarning, stacklevel=3)
    return result
