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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.checks import check_integer
from flame_metric.config import ScoreConfig, make_config
from flame_metric.counting import CodedMap, Counts, LabelMaps, code_map, count_coded
from flame_metric.errors import ConfigError, DatasetError, ShapeError, StateError
from flame_metric.latency import LatencyTrace
from flame_metric.record import load_record, reading
from flame_metric.result import FlameResult
from flame_metric.schedule import NOTHING_YET
from flame_metric.streaming import StreamConfig, simulate_stream
from flame_metric.timing import NS_PER_S, Fps, Milliseconds, as_fps, milliseconds_to_ns, offset_of_ns

__all__ = ["Budget", "Curve", "Losses", "OffsetBank"]

_END = object()
_NETWORK, _PERSISTENCE = 0, 1

_FORMAT = "flame-metric bank 1"
_ARRAYS = {"frame": 0, "labelled": 0, "pixels": 0, "counts": 1, "counted": 1}  # the axis of the labelled frames

Weights = Callable[["_Clip"], npt.NDArray[np.int64]]
"""How often each offset counts at each labelled frame of a clip: int64 (J, K + 1)."""


@dataclass(frozen=True, eq=False)
class _Clip:
    """One sequence: counts int64 of J labelled frames at K + 1 offsets, of the network and perhaps of persistence."""

    num_frames: int
    frame: npt.NDArray[np.int64]  # (J,)
    labelled: npt.NDArray[np.int64]  # (J, C)
    pixels: npt.NDArray[np.int64]  # (J, 2): valid, all
    counts: npt.NDArray[np.int64]  # (R, J, K + 1, 2, C): intersection, predicted
    counted: npt.NDArray[np.bool_]  # (R, J, K + 1): whether there was a map to compare with

    @classmethod
    def zero(cls, rows: int, offsets: int, classes: int) -> _Clip:
        """Return a clip without any labelled frame."""
        counts = np.zeros((rows, 0, offsets, 2, classes), np.int64)
        return cls(
            0,
            np.zeros(0, np.int64),
            np.zeros((0, classes), np.int64),
            np.zeros((0, 2), np.int64),
            counts,
            np.zeros((rows, 0, offsets), np.bool_),
        )

    def equals(self, other: _Clip) -> bool:
        same = (np.array_equal(getattr(self, name), getattr(other, name)) for name in _ARRAYS)
        return self.num_frames == other.num_frames and all(same)

    def is_consistent(self) -> bool:
        """Whether the counts can be those of label maps: what was damaged or edited must not become a score."""
        intersection, predicted = self.counts[..., 0, :], self.counts[..., 1, :]
        valid, everything = self.pixels.T
        limits = (
            intersection.min(initial=0) >= 0
            and self.labelled.min(initial=0) >= 0
            and everything.max(initial=0) < 2**48,
            (intersection <= predicted).all() and (intersection <= self.labelled[:, None, :]).all(),
            (predicted.sum(axis=-1) <= valid[:, None]).all(),
            np.array_equal(self.labelled.sum(axis=1), valid) and (valid <= everything).all(),
            not self.counts[~self.counted].any(),
            (np.diff(self.frame) > 0).all() and self.frame.min(initial=0) >= 0,
            self.frame.max(initial=-1) < self.num_frames,
        )
        return all(limits)

    def every(self, step: int) -> _Clip:
        keep = self.frame % step == 0
        return _Clip(
            -(-self.num_frames // step),
            self.frame[keep] // step,
            self.labelled[keep],
            self.pixels[keep],
            self.counts[:, keep, ::step],
            self.counted[:, keep, ::step],
        )


@dataclass(frozen=True)
class Curve:
    """Scores at every offset of a bank.

    Attributes
    ----------
    results : tuple of FlameResult
        For k = 0..K: counts, score, interval, coverage.
    persistence : tuple of FlameResult
        The same with the labels as predictions; empty if the bank does not keep them.
    """

    results: tuple[FlameResult, ...]
    persistence: tuple[FlameResult, ...]

    @property
    def miou(self) -> npt.NDArray[np.float64]:
        """Mean IoU at k = 0..K, (K + 1,)."""
        return np.array([result.miou for result in self.results])


@dataclass(frozen=True)
class Budget:
    """The latency that a wanted score leaves.

    Attributes
    ----------
    frame_offset : int
        The last offset before the curve first falls below the wanted score.
    latency_ms : float
        The longest latency with that offset: k frame intervals.
    is_whole_bank : bool
        The curve does not fall below it within the bank: the budget is at least this.
    """

    frame_offset: int
    latency_ms: float
    is_whole_bank: bool


@dataclass(frozen=True)
class Losses:
    """Where the score of a network goes on a stream.

    Attributes
    ----------
    static, flame, streaming : FlameResult
        Without delay; at the fixed offset of the (median) latency; on the stream.
    """

    static: FlameResult
    flame: FlameResult
    streaming: FlameResult

    @property
    def to_latency(self) -> float:
        """What the delay of each prediction costs: static minus FLAME."""
        return self.static.miou - self.flame.miou

    @property
    def to_throughput(self) -> float:
        """What frames cost that are dropped or queued: FLAME minus streaming."""
        return self.flame.miou - self.streaming.miou


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
        persistence: bool = False,
    ) -> None:
        self._config = make_config(num_classes, ignore_index=ignore_index)
        self._max_offset = check_integer("max_offset", max_offset, 0, unit="frames")
        self._fps = None if fps is None else as_fps(fps)
        self._rows = 2 if persistence else 1
        self._clips: dict[str, _Clip] = {}

    @property
    def max_offset(self) -> int:
        """K, in frames."""
        return self._max_offset

    @property
    def fps(self) -> Fraction | None:
        """Frames per second, if they were given."""
        return self._fps

    @property
    def sequences(self) -> tuple[str, ...]:
        """The ids of the sequences, sorted."""
        return tuple(sorted(self._clips))

    # ── filling ──

    def update_sequence(
        self, preds: Iterable[LabelMaps | None], targets: Iterable[LabelMaps | None], *, sequence: str
    ) -> None:
        """Count a whole clip at every offset.

        Parameters
        ----------
        preds : iterable of label maps (H, W) or scores (C, H, W); None where the network was not run
        targets : iterable of label maps (H, W), or None where a frame is unlabelled
            As many as ``preds``; item i of both is frame i, read once and in order.
        sequence : str
            Id of the clip.

        Raises
        ------
        LabelError, ShapeError
            If a label is no class, shapes do not belong together, or one iterable is longer; nothing is kept then.
        StateError
            If the sequence is in the bank already.
        """
        if not isinstance(sequence, str) or not sequence:
            raise ConfigError(f"`sequence` is {sequence!r}, expected a text id")
        if sequence in self._clips:
            raise StateError(f"sequence {sequence!r} is in the bank already, expected each clip once")
        space, size = self._config.space, self._max_offset + 1
        recent: tuple[deque[CodedMap | None], ...] = tuple(deque(maxlen=size) for _ in range(self._rows))
        frames, labelled, pixels, counts, counted = [], [], [], [], []
        frame = NOTHING_YET
        for frame, (pred, target) in enumerate(zip_longest(preds, targets, fillvalue=_END)):
            if pred is _END or target is _END:
                longer = "targets" if pred is _END else "preds"
                raise ShapeError(f"`{longer}` goes on after frame {frame - 1}, expected as many predictions as targets")
            label = None if target is None else code_map(target, space, argument="target")
            recent[_NETWORK].appendleft(None if pred is None else code_map(pred, space))
            if self._rows > 1:
                recent[_PERSISTENCE].appendleft(label)
            if label is None:
                continue
            own: Counts | None = None  # labelled pixels do not depend on what they are compared with
            here = np.zeros((self._rows, size, 2, space.num_classes), np.int64)
            there = np.zeros((self._rows, size), np.bool_)
            for row, maps in enumerate(recent):
                for offset, shown in enumerate(maps):
                    if shown is not None:
                        own = count_coded(shown, label, space)
                        here[row, offset] = own.per_class[:2]
                        there[row, offset] = True
            own = own or count_coded(label, label, space)
            frames.append(frame)
            labelled.append(own.per_class[2])
            pixels.append((own.valid_pixels, own.all_pixels))
            counts.append(here)
            counted.append(there)
        classes = space.num_classes
        self._clips[sequence] = _Clip(
            frame + 1,
            np.array(frames, np.int64),
            np.array(labelled, np.int64).reshape(-1, classes),
            np.array(pixels, np.int64).reshape(-1, 2),
            np.array(counts, np.int64).reshape(-1, self._rows, size, 2, classes).swapaxes(0, 1),
            np.array(counted, np.bool_).reshape(-1, self._rows, size).swapaxes(0, 1),
        )

    def every(self, step: int) -> OffsetBank:
        """Return the bank of a camera that takes only every ``step``-th frame, and the labels on those.

        Raises
        ------
        ConfigError
            If the step is below 1.
        """
        step = check_integer("step", step, 1, unit="frames")
        bank = OffsetBank(
            self._config.num_classes,
            max_offset=self._max_offset // step,
            fps=None if self._fps is None else self._fps / step,
            ignore_index=self._config.ignore_index,
            persistence=self._rows > 1,
        )
        bank._clips = {name: clip.every(step) for name, clip in self._clips.items()}
        return bank

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

    # ── on disk ──

    def _header(self) -> dict[str, Any]:
        return {
            "num_classes": self._config.num_classes,
            "max_offset": self._max_offset,
            "fps": None if self._fps is None else str(self._fps),
            "ignore_index": self._config.ignore_index,
            "persistence": self._rows > 1,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bank as one compressed .npz file, whole or not at all; nothing in it is pickled.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        names = self.sequences
        clips = [self._clips[name] for name in names]
        entries = [
            {"id": name, "num_frames": clip.num_frames, "labelled_frames": len(clip.frame)}
            for name, clip in zip(names, clips, strict=True)
        ]
        header = {"format": _FORMAT, **self._header(), "clips": entries}
        empty = _Clip.zero(self._rows, self._max_offset + 1, self._config.num_classes)
        joined = {
            name: np.concatenate([getattr(clip, name) for clip in (empty, *clips)], axis=axis)
            for name, axis in _ARRAYS.items()
        }
        final = Path(path)
        joined["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        temporary = final.with_name(f".{final.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(file, **joined)  # type: ignore[arg-type]  # no array is named "allow_pickle"
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
                arrays = {name: archive[name] for name in ("header", *_ARRAYS)}
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
                persistence=record["persistence"],
            )
            bank._clips = bank._split(record["clips"], arrays)
        return bank

    def _split(self, entries: list[dict[str, Any]], arrays: dict[str, npt.NDArray[Any]]) -> dict[str, _Clip]:
        zero = _Clip.zero(self._rows, self._max_offset + 1, self._config.num_classes)
        number = sum(check_integer("labelled_frames", entry["labelled_frames"], 0) for entry in entries)
        for name, axis in _ARRAYS.items():
            wanted = list(getattr(zero, name).shape)
            wanted[axis] = number
            if list(arrays[name].shape) != wanted or arrays[name].dtype != getattr(zero, name).dtype:
                raise StateError(
                    f"`{name}` of this bank is {arrays[name].dtype} {arrays[name].shape}, expected {wanted}"
                )
        clips: dict[str, _Clip] = {}
        begin = 0
        for entry in entries:
            end = begin + entry["labelled_frames"]
            parts = {name: np.take(arrays[name], range(begin, end), axis) for name, axis in _ARRAYS.items()}
            clip = _Clip(check_integer("num_frames", entry["num_frames"], 0), **parts)
            if not isinstance(entry["id"], str) or entry["id"] in clips or not clip.is_consistent():
                raise StateError(f"the counts of sequence {entry['id']!r} contradict each other, or it comes twice")
            clips[entry["id"]] = clip
            begin = end
        return clips

    # ── asking ──

    def score(
        self,
        *,
        frame_offset: int | None = None,
        latency_ms: Milliseconds | None = None,
        fps: Fps | None = None,
        persistence: bool = False,
    ) -> FlameResult:
        """Return FLAME at a fixed offset, or at that of a latency (Eq. 5).

        Parameters
        ----------
        frame_offset : int, optional
        latency_ms, fps : optional
            Instead: milliseconds, and frames per second where the bank has none or others are meant.
        persistence : bool
            Score the labels as predictions.

        Raises
        ------
        ConfigError
            If the offset lies beyond the bank, or not exactly one of offset and latency is given.
        """
        if frame_offset is None and latency_ms is None:
            raise ConfigError("`frame_offset` and `latency_ms` are both missing, expected one of them")
        rate = self._fps if fps is None else as_fps(fps)
        config = make_config(
            self._config.num_classes,
            frame_offset=frame_offset,
            latency_ms=latency_ms,
            fps=rate,
            ignore_index=self._config.ignore_index,
        )
        offset = config.frame_offset or 0
        self._check_reach(offset)

        def fixed(clip: _Clip) -> npt.NDArray[np.int64]:
            return self._picked(clip, np.where(clip.frame >= offset, offset, NOTHING_YET))

        return self._result(config, fixed, row=self._row(persistence=persistence))

    def curve(self) -> Curve:
        """Return the scores at every offset 0..K."""
        offsets = range(self._max_offset + 1)
        return Curve(
            tuple(self.score(frame_offset=offset) for offset in offsets),
            tuple(self.score(frame_offset=offset, persistence=True) for offset in offsets if self._rows > 1),
        )

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
        """Return the score on a stream: one simulated schedule for each sequence.

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
        """
        rate = self._rate(fps)
        is_random = isinstance(latency, LatencyTrace) and latency.replay == "random"
        known: dict[tuple[int, str], npt.NDArray[np.int64]] = {}

        def staleness(name: str, clip: _Clip) -> npt.NDArray[np.int64]:
            key = clip.num_frames, name if is_random else ""
            if key not in known:
                known[key] = simulate_stream(
                    latency, config, num_frames=clip.num_frames, fps=rate, seed=seed, sequence=key[1]
                ).staleness
            return known[key]

        weights = {name: self._picked(clip, staleness(name, clip)[clip.frame]) for name, clip in self._clips.items()}
        median = latency.median_ns / 10**6 if isinstance(latency, LatencyTrace) else latency
        settings = replace(
            self._config,
            frame_offset=None,
            latency_ms=milliseconds_to_ns(median) / 1e6,
            fps=rate,
            before_first=before_first,
        )
        return self._result(settings, weights, row=self._row(persistence=persistence))

    def expected(self, trace: LatencyTrace, *, fps: Fps | None = None) -> FlameResult:
        """Return FLAME under a distribution of latencies: each sample's offset counts as often as it occurs.

        Raises
        ------
        ConfigError
            If a sample's offset lies beyond the bank, or no frame rate is known.
        """
        rate = self._rate(fps)
        times = np.bincount([offset_of_ns(sample, rate) for sample in trace.samples_ns])
        return self._mixture(times, trace.median_ns / 10**6, rate)

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
        return self._mixture(np.array([int(share * scale) for share in shares], np.int64), latency_ms, rate)

    def latency_budget(self, miou: float, *, fps: Fps | None = None) -> Budget | None:
        """Return the longest latency with which the score stays at ``miou``; None if it is missed without any delay.

        The budget ends where the curve *first* falls below: it is a whole number of frame intervals.

        Raises
        ------
        ConfigError
            If no frame rate is known.
        """
        rate = self._rate(fps)
        below = np.flatnonzero(~(self.curve().miou >= miou))
        if below.size and below[0] == 0:
            return None
        offset = int(below[0]) - 1 if below.size else self._max_offset
        return Budget(offset, float(offset * 1000 / rate), not below.size)

    def losses(
        self, latency: Milliseconds | LatencyTrace, config: StreamConfig | None = None, *, fps: Fps | None = None
    ) -> Losses:
        """Split what a network loses on a stream into latency and throughput.

        Raises
        ------
        ConfigError
            If the stream is staler than the bank reaches, or no frame rate is known.
        """
        rate = self._rate(fps)
        median = latency.median_ns / 10**6 if isinstance(latency, LatencyTrace) else latency
        return Losses(
            self.score(frame_offset=0, fps=rate),
            self.score(latency_ms=median, fps=rate),
            self.stream(latency, config, fps=rate),
        )

    # ── sums ──

    def _rate(self, fps: Fps | None) -> Fraction:
        rate = self._fps if fps is None else as_fps(fps)
        if rate is None:
            raise ConfigError("`fps` is missing, expected the frame rate here or when the bank is made")
        return rate

    def _row(self, *, persistence: bool) -> int:
        if persistence and self._rows == 1:
            raise ConfigError("`persistence` is asked of a bank that was made without, expected persistence=True there")
        return _PERSISTENCE if persistence else _NETWORK

    def _picked(self, clip: _Clip, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Weights that count one offset at each labelled frame; -1: none."""
        self._check_reach(int(offsets.max(initial=0)))
        weights = np.zeros((len(clip.frame), self._max_offset + 1), np.int64)
        shown = np.flatnonzero(offsets != NOTHING_YET)
        weights[shown, offsets[shown]] = 1
        return weights

    def _mixture(self, times: npt.NDArray[np.int64], latency_ms: Milliseconds, rate: Fraction) -> FlameResult:
        self._check_reach(len(times) - 1)
        padded = np.zeros(self._max_offset + 1, np.int64)
        padded[: len(times)] = times
        settings = replace(self._config, frame_offset=None, latency_ms=milliseconds_to_ns(latency_ms) / 1e6, fps=rate)

        def mixed(clip: _Clip) -> npt.NDArray[np.int64]:
            return np.where(np.arange(self._max_offset + 1) <= clip.frame[:, None], padded, 0)

        return self._result(settings, mixed, row=_NETWORK, repeats=int(times.sum()))

    def _check_reach(self, offset: int) -> None:
        if offset > self._max_offset:
            raise ConfigError(
                f"`max_offset` of this bank is {self._max_offset}, but an offset of {offset} frames is asked for; make "
                "the bank with a larger one"
            )

    def _result(
        self, config: ScoreConfig, weights: Weights | dict[str, npt.NDArray[np.int64]], *, row: int, repeats: int = 1
    ) -> FlameResult:
        """Sum the counts of every sequence, each labelled frame and offset as often as its weight says."""
        sums = {}
        for name, clip in self._clips.items():
            weight = weights[name] if isinstance(weights, dict) else weights(clip)
            lost = np.argwhere((weight > 0) & ~clip.counted[row])
            if lost.size and row == _NETWORK:
                frame, offset = int(clip.frame[lost[0, 0]]), int(lost[0, 1])
                raise StateError(
                    f"the prediction of frame {frame - offset} of sequence {name!r} is None, but is on screen at frame "
                    f"{frame}"
                )
            weight = weight * clip.counted[row]
            sums[name] = self._sum(clip, weight, row, repeats, void=config.before_first == "void")
        return FlameResult.from_counts(config, sums)

    def _sum(self, clip: _Clip, weight: npt.NDArray[np.int64], row: int, repeats: int, *, void: bool) -> Counts:
        shown = weight.sum(axis=1)
        counted = np.full_like(shown, repeats) if void else shown
        per_class = np.empty((3, self._config.num_classes), np.int64)
        per_class[:2] = np.einsum("jk,jkrc->rc", weight, clip.counts[row])
        per_class[2] = counted @ clip.labelled
        valid, everything = counted @ clip.pixels
        return Counts(per_class, int(shown.sum()), repeats * len(clip.frame), int(valid), int(everything))
