"""OffsetBank: one run of the network, counted at every offset, scored for any latency and any schedule.

Per labelled frame j and offset k = 0..K the bank keeps the counts of (prediction of frame j - k, labels of frame j). A
schedule picks one k for each j, so every latency-aware score is a sum over the bank: no image is read and no network is
run again. Each label map is checked and coded once, whatever K is.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.checks import check_integer
from flame_metric.config import ScoreConfig, make_config
from flame_metric.counting import CodedMap, LabelMaps, code_map, count_coded
from flame_metric.curve import Budget, Curve, Losses
from flame_metric.errors import ConfigError, DatasetError, ShapeError, StateError
from flame_metric.latency import LatencyTrace
from flame_metric.offset_counts import (
    ARRAYS,
    NETWORK,
    NO_MAP,
    PERSISTENCE,
    OffsetCounts,
    OffsetCountsBuilder,
    from_arrays,
)
from flame_metric.record import load_record, reading
from flame_metric.result import FlameResult
from flame_metric.schedule import NOTHING_YET, Schedule
from flame_metric.streaming import StreamConfig, simulate_stream
from flame_metric.timing import NS_PER_S, Fps, Milliseconds, as_fps, milliseconds_to_ns, offset_of_ns

__all__ = ["OffsetBank"]

_END = object()
_FORMAT = "flame-metric bank 1"
Offsets = npt.NDArray[np.int64]


class OffsetBank:
    """Counts at every offset, from which any latency-aware score follows.

    Parameters
    ----------
    num_classes : int
        C, 2..4096.
    max_offset : int
        K >= 0, the largest offset to keep.
    fps : int, float, Fraction or str, optional
        Frames per second; may be given with each question instead.
    ignore_index : int, optional
        Label of void pixels.
    class_names : sequence of str, optional
        C names for tables.
    persistence : bool
        Whether to keep the counts of the labels as predictions too.

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
        self._config = make_config(num_classes, ignore_index=ignore_index, class_names=class_names)
        self._max_offset = check_integer("max_offset", max_offset, 0, unit="frames")
        self._fps = None if fps is None else as_fps(fps)
        self._rows = 2 if persistence else 1
        self._clips: dict[str, OffsetCounts] = {}
        self._all: OffsetCounts | None = None  # the clips in the order of their ids, joined when it is first needed

    @property
    def max_offset(self) -> int:
        """K, in frames."""
        return self._max_offset

    @property
    def fps(self) -> Fraction | None:
        """Frames per second, if they were given."""
        return self._fps

    @property
    def has_persistence(self) -> bool:
        """Whether the counts of the labels as predictions are kept too."""
        return self._rows > 1

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
            If a label is no class, shapes do not belong together, or one iterable is longer; nothing is kept then.
        StateError
            If the sequence is in the bank already.
        """
        self._require_new(sequence)
        space, size = self._config.space, self._max_offset + 1
        recent: deque[tuple[CodedMap | None, CodedMap | None]] = deque(maxlen=size)  # the newest first
        builder = OffsetCountsBuilder(self._rows, size, space.num_classes, holes)
        frame = -1
        for frame, (pred, target) in enumerate(zip_longest(preds, targets, fillvalue=_END)):
            if pred is _END or target is _END:
                longer = "targets" if pred is _END else "preds"
                raise ShapeError(f"`{longer}` goes on after frame {frame - 1}, expected as many predictions as targets")
            label = None if target is None else code_map(target, space, argument="target")
            recent.appendleft((None if pred is None else code_map(pred, space), label))
            if label is None:
                continue
            found = {
                offset: [None if shown is None else count_coded(shown, label, space) for shown in maps[: self._rows]]
                for offset, maps in enumerate(recent)
            }
            pairs = (counts for of_offset in found.values() for counts in of_offset if counts is not None)
            own = next(pairs, None) or count_coded(label, label, space)  # labelled pixels are the same in any pair
            builder.add(frame, own, found)
        self.add_counts(builder.build(frame + 1), sequence=sequence)

    def add_counts(self, counts: OffsetCounts, *, sequence: str) -> None:
        """Add the counts of a whole clip that were made elsewhere.

        Raises
        ------
        ConfigError
            If they are of other offsets or classes.
        StateError
            If the sequence is in the bank already.
        """
        self._require_new(sequence)
        wanted = OffsetCounts.empty(self._rows, self._max_offset + 1, self._config.num_classes).counts.shape
        if counts.counts.shape[:1] + counts.counts.shape[2:] != wanted[:1] + wanted[2:] or len(counts.num_frames) != 1:
            raise ConfigError(f"`counts` has shape {counts.counts.shape}, expected that of one clip of this bank")
        self._clips[sequence] = counts
        self._all = None

    def _require_new(self, sequence: str) -> None:
        if not isinstance(sequence, str) or not sequence:
            raise ConfigError(f"`sequence` is {sequence!r}, expected a text id")
        if sequence in self._clips:
            raise StateError(f"sequence {sequence!r} is in the bank already, expected each clip once")

    def every(self, step: int) -> OffsetBank:
        """Return the bank of a camera that takes only every ``step``-th frame, and the labels on those.

        Raises
        ------
        ConfigError
            If the step is below 1.
        """
        step = check_integer("step", step, 1, unit="frames")
        bank = self._like(self._max_offset // step, None if self._fps is None else self._fps / step)
        bank._clips = {name: clip.every(step) for name, clip in self._clips.items()}
        return bank

    def _like(self, max_offset: int, fps: Fraction | None) -> OffsetBank:
        return OffsetBank(
            self._config.num_classes,
            max_offset=max_offset,
            fps=fps,
            ignore_index=self._config.ignore_index,
            class_names=self._config.class_names,
            persistence=self.has_persistence,
        )

    def merge(self, other: OffsetBank) -> None:
        """Add the clips of another bank; a clip that both hold must have equal counts, and is kept once.

        Raises
        ------
        StateError
            If the banks are of unlike configuration, or one clip has different counts; nothing is merged then.
        """
        mine, theirs = self._header(), other._header()
        unlike = [f"{name}: {mine[name]} / {theirs[name]}" for name in mine if mine[name] != theirs[name]]
        if unlike:
            raise StateError(f"banks of unlike configuration cannot merge: {'; '.join(unlike)}")
        for name in self._clips.keys() & other._clips.keys():
            if not self._clips[name].equals(other._clips[name]):
                raise StateError(f"sequence {name!r} has different counts in the two banks, expected equal ones")
        self._clips |= other._clips
        self._all = None

    # ── on disk ──

    def _header(self) -> dict[str, Any]:
        return {
            "num_classes": self._config.num_classes,
            "max_offset": self._max_offset,
            "fps": None if self._fps is None else str(self._fps),
            "ignore_index": self._config.ignore_index,
            "class_names": self._config.class_names,
            "persistence": self.has_persistence,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bank as one compressed .npz file, whole or not at all; nothing in it is pickled.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        header = {"format": _FORMAT, **self._header(), "sequences": self.sequences}
        joined = {name: getattr(self._joined(), name) for name in ARRAYS}
        joined["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        final = Path(path)
        temporary = final.with_name(f".{final.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **joined)
            temporary.replace(final)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> OffsetBank:
        """Read a bank that :meth:`save` wrote.

        Raises
        ------
        DatasetError
            If the file cannot be read.
        StateError
            If it is no bank, or its counts contradict each other.
        """
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in ("header", *ARRAYS)}
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read: {error.strerror or error}", path=path) from error
        except Exception as error:  # an archive from outside may break in many ways
            raise StateError(f"{path}: is no {_FORMAT!r} file: {error or type(error).__name__}") from error
        with reading(_FORMAT):
            record = load_record(arrays.pop("header").tobytes().decode(), _FORMAT)
            bank = cls(
                record["num_classes"],
                max_offset=record["max_offset"],
                fps=record["fps"],
                ignore_index=record["ignore_index"],
                class_names=record["class_names"],
                persistence=record["persistence"],
            )
            clips = from_arrays(arrays, bank._rows, bank._max_offset + 1, bank._config.num_classes).split()
            names = record["sequences"]
            if len({name for name in names if isinstance(name, str) and name}) != len(names):
                raise StateError("a sequence id of this bank is no text or comes twice")
            bank._clips = dict(zip(names, clips, strict=True))
        return bank

    # ── asking ──

    def score(
        self,
        *,
        frame_offset: int | None = None,
        latency_ms: Milliseconds | None = None,
        fps: Fps | None = None,
        before_first: str = "skip",
        persistence: bool = False,
    ) -> FlameResult:
        """Return FLAME at a fixed offset, or at that of a latency (Eq. 5).

        Parameters
        ----------
        frame_offset : int, optional
        latency_ms, fps : optional
            Instead: milliseconds, and frames per second where the bank has none or others are meant.
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
        """
        if frame_offset is None and latency_ms is None:
            raise ConfigError("`frame_offset` and `latency_ms` are both missing, expected one of them")
        config = make_config(
            self._config.num_classes,
            frame_offset=frame_offset,
            latency_ms=latency_ms,
            fps=self._fps if fps is None else as_fps(fps),
            ignore_index=self._config.ignore_index,
            class_names=self._config.class_names,
            before_first=before_first,
        )
        offset = config.frame_offset or 0
        self._check_reach(offset)
        return self._result(config, [(1, self._fixed(offset))], persistence=persistence)

    def curve(self, max_offset: int | None = None, *, fps: Fps | None = None) -> Curve:
        """Return the scores at every offset 0..K, or up to a smaller one; ``fps`` may be another than the bank's.

        Raises
        ------
        ConfigError
            If ``max_offset`` lies beyond the bank.
        """
        last = self._max_offset if max_offset is None else check_integer("max_offset", max_offset, 0, unit="frames")
        offsets = range(last + 1)
        return Curve(
            tuple(self.score(frame_offset=offset, fps=fps) for offset in offsets),
            tuple(
                self.score(frame_offset=offset, fps=fps, persistence=True) for offset in offsets if self.has_persistence
            ),
        )

    def schedules(
        self,
        latency: Milliseconds | LatencyTrace,
        config: StreamConfig | None = None,
        *,
        fps: Fps | None = None,
        seed: int = 0,
    ) -> dict[str, Schedule]:
        """Return the simulated schedule of the labelled frames of each clip, by its id: what :meth:`stream` scores.

        A trace is replayed from its beginning in each clip; random draws differ from clip to clip.

        Raises
        ------
        ConfigError
            If no frame rate is known, or the trace is too short for a clip.
        """
        rate = self._rate(fps)
        is_random = isinstance(latency, LatencyTrace) and latency.replay == "random"
        known: dict[tuple[int, str], Schedule] = {}
        schedules = {}
        for name in self.sequences:
            key = int(self._clips[name].num_frames[0]), name if is_random else ""
            if key not in known:
                known[key] = simulate_stream(latency, config, num_frames=key[0], fps=rate, seed=seed, sequence=key[1])
            schedules[name] = known[key].at(self._clips[name].frame.tolist())
        return schedules

    def stream(
        self,
        latency: Milliseconds | LatencyTrace,
        config: StreamConfig | None = None,
        *,
        fps: Fps | None = None,
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
        fps : optional
            Frames per second where the bank has none, or others are meant.
        before_first : {"skip", "void"}
            What happens to a labelled frame before the first output.
        seed : int
            Seed of a trace that is replayed at random.
        persistence : bool
            Score the labels as predictions.

        Raises
        ------
        ConfigError
            If the stream is staler than the bank reaches, or no frame rate is known.
        StateError
            If a prediction that is on screen was not given.
        """
        schedules = self.schedules(latency, config, fps=fps, seed=seed)
        offsets = np.concatenate([np.zeros(0, np.int64), *(schedules[name].staleness for name in self.sequences)])
        settings = self._settings(latency, self._rate(fps), str(config or StreamConfig()))
        return self._result(replace(settings, before_first=before_first), [(1, offsets)], persistence=persistence)

    def expected(self, trace: LatencyTrace, *, fps: Fps | None = None) -> FlameResult:
        """Return FLAME under a distribution of latencies: each sample's offset counts as often as it occurs.

        Raises
        ------
        ConfigError
            If a sample's offset lies beyond the bank, or no frame rate is known.
        """
        rate = self._rate(fps)
        times = np.bincount([offset_of_ns(sample, rate) for sample in trace.samples_ns]).tolist()
        return self._mixture(self._settings(trace, rate, f"expected over {len(trace)} latencies"), times)

    def phase_averaged(self, latency_ms: Milliseconds, *, fps: Fps | None = None) -> FlameResult:
        """Return the score of one dropping worker, averaged over the phase at which a label meets it.

        With x = latency / interval >= 1, the staleness is k with probability |{y in [x, 2 x) : ceil(y) = k}| / x. This
        needs no clip around the label, so it serves data with one label a clip.

        Raises
        ------
        ConfigError
            If 2 x lies beyond the bank, or no frame rate is known.
        """
        rate = self._rate(fps)
        latency_ns = milliseconds_to_ns(latency_ms)
        # Latencies are whole nanoseconds: the simple fraction beside keeps weights small, and is as near as a timer is.
        x = (latency_ns * rate / NS_PER_S).limit_denominator(1000)
        first, last = offset_of_ns(latency_ns, rate), math.ceil(2 * x)
        shares = [max(Fraction(0), min(Fraction(k), 2 * x) - max(Fraction(k - 1), x)) for k in range(last + 1)]
        if x <= 1:  # a worker that keeps up: every frame is as stale as the latency
            shares = [Fraction(int(k == first)) for k in range(first + 1)]
        scale = math.lcm(*(share.denominator for share in shares))
        return self._mixture(
            self._settings(latency_ms, rate, "1 worker, queue 1, phase-averaged"),
            [int(share * scale) for share in shares],
        )

    def latency_budget(self, miou: float, *, fps: Fps | None = None) -> Budget | None:
        """Return the longest latency with which the score stays at ``miou``; None if it is missed without any delay.

        The budget ends where the curve *first* falls below: it is a whole number of frame intervals.

        Raises
        ------
        ConfigError
            If no frame rate is known.
        """
        rate = self._rate(fps)
        for offset in range(self._max_offset + 1):
            if not self.score(frame_offset=offset).miou >= miou:
                return Budget(offset - 1, float((offset - 1) * 1000 / rate), False) if offset else None
        return Budget(self._max_offset, float(self._max_offset * 1000 / rate), True)

    def losses(
        self,
        latency: Milliseconds | LatencyTrace,
        config: StreamConfig | None = None,
        *,
        fps: Fps | None = None,
        before_first: str = "skip",
        seed: int = 0,
    ) -> Losses:
        """Split what a network loses on a stream into latency and throughput, beside what a perfect one would lose.

        Parameters, errors: those of :meth:`stream`.
        """
        rate = self._rate(fps)
        median = _median_ms(latency)

        def split(*, persistence: bool) -> Losses:
            fixed = (
                self.score(frame_offset=0, fps=rate, persistence=persistence),
                self.score(latency_ms=median, fps=rate, before_first=before_first, persistence=persistence),
            )
            stream = self.stream(
                latency, config, fps=rate, before_first=before_first, seed=seed, persistence=persistence
            )
            return Losses(*fixed, stream)

        losses = split(persistence=False)
        return replace(losses, persistence=split(persistence=True)) if self.has_persistence else losses

    # ── sums ──

    def _joined(self) -> OffsetCounts:
        """Return the counts of all clips, sorted by their ids."""
        if self._all is None:
            empty = OffsetCounts.empty(self._rows, self._max_offset + 1, self._config.num_classes)
            self._all = OffsetCounts.join([empty, *(self._clips[name] for name in self.sequences)])
            self._clips = dict(zip(self.sequences, self._all.split(), strict=True))  # views: the counts are held once
        return self._all

    def _rate(self, fps: Fps | None) -> Fraction:
        rate = self._fps if fps is None else as_fps(fps)
        if rate is None:
            raise ConfigError("`fps` is missing, expected the frame rate here or when the bank is made")
        return rate

    def _settings(self, latency: Milliseconds | LatencyTrace, rate: Fraction, schedule: str) -> ScoreConfig:
        latency_ms = milliseconds_to_ns(_median_ms(latency)) / 1e6
        return replace(self._config, frame_offset=None, latency_ms=latency_ms, fps=rate, schedule=schedule)

    def _fixed(self, offset: int) -> Offsets:
        """Return a fixed offset at each labelled frame, -1 where the clip has not gone on that long."""
        return np.where(self._joined().frame >= offset, offset, NOTHING_YET)

    def _mixture(self, config: ScoreConfig, times: Sequence[int]) -> FlameResult:
        """Return the score in which offset k counts ``times[k]`` times."""
        self._check_reach(len(times) - 1)
        return self._result(config, [(number, self._fixed(offset)) for offset, number in enumerate(times) if number])

    def _result(
        self, config: ScoreConfig, shown: Iterable[tuple[int, Offsets]], *, persistence: bool = False
    ) -> FlameResult:
        """Add up the counts at the offsets that some schedules show, each as often as the number beside it says."""
        if persistence and not self.has_persistence:
            raise ConfigError("`persistence` is asked of a bank that was made without, expected persistence=True there")
        row, everything = PERSISTENCE if persistence else NETWORK, self._joined()
        counts = np.zeros((len(self._clips), 3, self._config.num_classes), np.int64)
        tallies = np.zeros((len(self._clips), 4), np.int64)
        for times, offsets in shown:
            self._check_reach(int(offsets.max(initial=0)))
            if not persistence:
                self._check_given(offsets)
            of_clips, tallies_of_clips = everything.sums(offsets, row, void=config.before_first == "void")
            counts += times * of_clips
            tallies += times * tallies_of_clips
        return FlameResult(config, self.sequences, counts, tallies)

    def _check_reach(self, offset: int) -> None:
        if offset > self._max_offset:
            raise ConfigError(
                f"`max_offset` of this bank is {self._max_offset}, but an offset of {offset} frames is asked for; make "
                "the bank with a larger one"
            )

    def _check_given(self, offsets: Offsets) -> None:
        everything = self._joined()
        shown = np.flatnonzero(offsets != NOTHING_YET)
        missing = shown[everything.state[NETWORK, shown, offsets[shown]] == NO_MAP]
        if missing.size:
            frame, offset = int(everything.frame[missing[0]]), int(offsets[missing[0]])
            raise StateError(
                f"the prediction of frame {frame - offset} of sequence "
                f"{self.sequences[everything.clip_of(int(missing[0]))]!r} is None, but is on screen at frame {frame} "
                f"({missing.size} such label(s))"
            )


def _median_ms(latency: Milliseconds | LatencyTrace) -> Milliseconds:
    return latency.median_ns / 10**6 if isinstance(latency, LatencyTrace) else latency
