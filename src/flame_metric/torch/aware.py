"""LatencyAware: any torchmetrics metric, given the prediction that is on screen instead of that of the same frame.

At time step j the prediction and the ground truth of frame j come in. The prediction waits, and the metric gets ::

    metric.update(prediction of frame source(j), target of frame j)

With a fixed offset, source(j) = j - k (Eq. 4-5); a :class:`~flame_metric.Schedule` gives it for a stream with drops or
queues. Nothing is counted at a frame without a target, nor while nothing is on screen yet; time passes all the same.

The wrapped metric knows nothing of time, and this wrapper nothing of pixels. :class:`~flame_metric.FlameMetric` does
both by itself, and is not wrapped.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from inspect import Parameter
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities.distributed import gather_all_tensors
from torchmetrics.wrappers.abstract import WrapperMetric

from flame_metric.core.checks import check_id
from flame_metric.core.clock import Fps, Milliseconds
from flame_metric.core.files import reading
from flame_metric.core.schedule import Schedule, ScheduleTimeline
from flame_metric.errors import ConfigError, FlameWarning, ShapeError, StateError, quoted, shortened
from flame_metric.scores.clips import RunningClips, check_sequence_is_named
from flame_metric.scores.config import ScoreConfig, make_config
from flame_metric.scores.time_step import frame_numbers, sequence_ids
from flame_metric.torch.eager import run_eagerly
from flame_metric.torch.rows import copy_tensors, has_rows, join_rows, map_tensors, num_rows, rows_of

__all__ = ["LatencyAware"]

Schedules: TypeAlias = Schedule | Mapping[str, Schedule] | Callable[[str], Schedule]

_BY_SCHEDULE = -1
"""The frame offset in the state of a wrapper that follows a schedule."""


class LatencyAware(WrapperMetric):
    """Make a metric, or a collection of them, count latency.

    Give one of ``frame_offset``, ``latency_ms`` with ``fps``, or ``schedule``.

    Parameters
    ----------
    metric : torchmetrics.Metric or torchmetrics.MetricCollection
        Anything with ``update(preds, target, ...)`` but a FlameMetric, which delays by itself. An empty copy of it is
        used, as the attribute ``metric``; the one given stays as it is.
    frame_offset : int, optional
        k >= 0: at each frame the prediction of k frames before is on screen.
    latency_ms, fps : float, optional
        Latency of one prediction in milliseconds and frames per second, from which k follows (Eq. 5).
    schedule : Schedule, or mapping or callable from a sequence's id to its Schedule, optional
        What is on screen at each frame, such as the answer of :func:`~flame_metric.simulate_stream`; one Schedule
        holds for every sequence.
    max_sequences : int
        Sequences that may be in progress at a time, >= 1.

    Attributes
    ----------
    metric : Metric or MetricCollection
        The wrapped copy. Never update it directly.
    labelled, shown : Tensor of int64, 0-d
        Labelled time steps so far, and those of them with a prediction on screen. Parallel streams count one each.

    Raises
    ------
    ConfigError
        If the metric is not one, counts latency already, or does not compare predictions with a target; if not exactly
        one of the three is given, or it is out of range.

    Notes
    -----
    *Memory.* Each sequence in progress holds copies of the predictions that are still to be shown, k of them, on their
    device: give labels rather than logits where the metric takes both. :meth:`end` frees those of a sequence, and
    :meth:`reset` all. Of more than ``max_sequences``, the one that has waited longest for its next time step is given
    up, and only its id is kept: if it comes again, that is a StateError, never a wrong score.

    *States.* ``clone``, ``pickle`` and ``state_dict`` (once ``persistent(True)`` was called) carry what was counted and
    what waits. ``merge_state`` and ``sync`` handle what was counted, and refuse another offset. Counts of any metric
    cannot be told apart by sequence: ``merge_state`` refuses a clip that came to both sides, and ``sync`` adds what
    each rank counted, so give each clip to one rank (a padded sampler repeats some; a FlameMetric keeps those once).

    *Threads.* Threads may share a wrapper if each of them steps clips of its own.

    *Other wrappers.* One that redraws the rows of a batch, such as ``BootStrapper``, goes inside:
    ``LatencyAware(BootStrapper(metric), ...)`` redraws pairs. Outside, it would redraw time steps, which is refused
    where ``frame`` or sizes show it.

    Examples
    --------
    The mean absolute error of a network that is right but one frame late, on an object that gets 1 nearer each frame:

    >>> import torch
    >>> from torchmetrics import MeanAbsoluteError
    >>> metric = LatencyAware(MeanAbsoluteError(), latency_ms=26, fps=30)
    >>> metric.frame_offset
    1
    >>> for depth in (9.0, 8.0, 7.0):
    ...     metric.update(torch.tensor([depth]), torch.tensor([depth]), sequence="clip")
    >>> metric.compute()
    tensor(1.)
    >>> round(metric.coverage, 2)
    0.67

    Two streams at a time, along the batch axis; the second frame of "b" is unlabelled:

    >>> metric = LatencyAware(MeanAbsoluteError(), frame_offset=1)
    >>> metric.update(torch.tensor([[1.0], [5.0]]), torch.tensor([[1.0], [5.0]]), sequence=["a", "b"])
    >>> metric.update(torch.tensor([[2.0], [6.0]]), [torch.tensor([4.0]), None], sequence=["a", "b"])
    >>> metric.compute()
    tensor(3.)
    """

    is_differentiable = False

    __jit_unused_properties__: ClassVar[list[str]] = [*Metric.__jit_unused_properties__, "frame_offset", "coverage"]

    if TYPE_CHECKING:  # torch.jit.script reads annotations, and finds no such tensors in the module that it makes
        offset: Tensor
        labelled: Tensor
        shown: Tensor
        ungrouped: Tensor

    def __init__(
        self,
        metric: Metric | MetricCollection,
        *,
        frame_offset: int | None = None,
        latency_ms: Milliseconds | None = None,
        fps: Fps | None = None,
        schedule: Schedules | None = None,
        max_sequences: int = 16,
    ) -> None:
        super().__init__()
        if not isinstance(metric, Metric | MetricCollection):
            raise ConfigError(
                f"`metric` is {type(metric).__name__}, expected a torchmetrics Metric or MetricCollection"
            )
        parts = _metrics_in(metric)
        if not parts:
            raise ConfigError("`metric` is a collection of no metrics, expected one at least")
        if any(isinstance(part, LatencyAware) for part in parts):
            raise ConfigError("`metric` is latency-aware already, expected one that compares aligned pairs")
        self._offset = _check_offset(frame_offset, latency_ms, fps, schedule)
        if flame := [part for part in parts if isinstance(getattr(part, "config", None), ScoreConfig)]:
            name = type(flame[0]).__name__
            raise ConfigError(
                f"`metric` is or holds {name}, which delays by itself: use {name}(num_classes, "
                f"{_options_text(frame_offset, latency_ms, fps)}) as it is, beside this wrapper in a MetricCollection"
            )
        _check_inputs(metric)
        self._timeline_of = None if schedule is None else _TimelineOf(schedule)
        self._clips: RunningClips[Any] = RunningClips(
            self._offset, max_sequences=max_sequences, timeline_of=self._timeline_of
        )
        self._paired: set[str] = set()
        self.metric = metric.clone()
        self.metric.reset()
        self._nothing: Any = None  # what forward returns where nothing was counted, once that is needed
        # A MetricCollection updates only one of several metrics whose states are equal, and cannot see the state of a
        # wrapped one. NaN equals nothing, so no wrapper is ever taken for another, nor for its own clone. It comes
        # first: some versions of torchmetrics look no further than the first state.
        self.add_state("ungrouped", torch.tensor(float("nan")), "max")
        self.add_state("offset", torch.tensor(_BY_SCHEDULE if self._offset is None else self._offset), _same_offset)
        self.add_state("labelled", torch.tensor(0), "sum")
        self.add_state("shown", torch.tensor(0), "sum")
        self.to(parts[0].device)

    # ── what it is ──

    @property
    def frame_offset(self) -> int | None:
        """k, in frames; None under a schedule."""
        return self._offset

    @property
    def coverage(self) -> float:
        """The share of labelled time steps with a prediction on screen, 0..1; NaN before the first.

        Of this process; of all processes inside ``with metric.sync_context():``.
        """
        labelled = int(self.labelled)
        return int(self.shown) / labelled if labelled else float("nan")

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """That of the wrapped metric; None for a collection."""
        return getattr(self.metric, "higher_is_better", None)

    def extra_repr(self) -> str:
        """Say by what frames are paired."""
        return "by schedule" if self._offset is None else f"frame_offset={self._offset}"

    # ── counting ──

    def update(
        self,
        preds: Any,
        target: Any = None,
        *,
        sequence: str | Sequence[str] | None = None,
        frame: Any = None,
        **rest: Any,
    ) -> None:
        """Let one time step pass: one frame of a sequence, or with a list of ids one for each row of a batch.

        An id that is new starts with nothing on screen. Sequences may come in turn or interleaved, each in its own
        order. If anything is raised, no sequence has moved on. With a single metric, one that counts nothing when it
        raises, the step has not happened: repeat it. Metrics of a collection that come before the one that raises have
        counted it already: :meth:`reset`, or the step is there twice.

        Parameters
        ----------
        preds : Tensor, or any object that the metric takes
            The prediction of this frame; None where the network was not run. It waits as a copy without gradients, so
            a network may overwrite its output; at k = 0 it is passed on as it is.
        target : Tensor, or any object that the metric takes, optional
            Ground truth of the same frame; None where it is unlabelled.
        sequence : str, or list of B str
            Id of the clip, which may be left out only at k = 0. With a list, ``preds``, ``target`` and all in ``rest``
            but numbers and texts have a row for each id: tensors and dicts of them along their first axis, lists and
            tuples one item each, None among them. Each row is a frame of the clip of its id, in the order of the rows.
            The metric gets the rows that are ready as one batch.
        frame : int, or B of them (list or Tensor), optional
            Number of the frame, or of each row, >= 0 and rising within a clip; gaps are unlabelled frames on which the
            network was not run. Without numbers, calls are frames.
        **rest
            More of this frame's for the metric, such as ``indexes``. A metric whose ``update`` has a parameter
            ``sequence`` gets the id, or the list of the ids of its rows.

        Raises
        ------
        ConfigError
            If ``sequence`` is missing at k > 0, or it or ``frame`` is of another kind, or there is no schedule for it.
        ShapeError
            If there are not as many rows as ids, rows of one batch differ in shape, or with one id at k > 0 the first
            axis is longer than 1: it cannot be seen whether that are several frames or one.
        StateError
            If a prediction that is on screen is None, numbers do not rise, the sequence was paired or given up, another
            thread is stepping it, or the metric is synced.
        """
        self._step(self.metric.update, preds, target, sequence=sequence, frame=frame, rest=rest)

    @torch.jit.unused
    @run_eagerly
    def forward(
        self,
        preds: Any,
        target: Any = None,
        *,
        sequence: str | Sequence[str] | None = None,
        frame: Any = None,
        **rest: Any,
    ) -> Any:
        """Let one time step pass as :meth:`update` does, and return the metric of this step.

        Returns
        -------
        Any
            What the wrapped metric's ``forward`` returns for the pairs of this step; where nothing was counted, the
            same form with NaN for every floating-point value.
        """
        value = self._step(self.metric, preds, target, sequence=sequence, frame=frame, rest=rest)
        self._forward_cache = self._value_of_nothing() if value is None else value
        return self._forward_cache

    @run_eagerly
    def update_pair(self, preds: Any, target: Any, *, sequence: str | Sequence[str] = "", **rest: Any) -> None:
        """Count a pair that the caller made: a prediction, and the ground truth at which it is on screen.

        No time passes. The pair counts as labelled and shown, or with a list of ids one for each row.

        Raises
        ------
        ConfigError
            If an id is not text.
        StateError
            If the sequence is stepped where predictions wait, or the metric is synced.
        """
        self._require_unsynced()
        ids = sequence_ids(sequence)
        for argument, batch in (("preds", preds), ("target", target)):
            if not isinstance(sequence, str) and (rows := num_rows(batch)) != len(ids):
                raise ShapeError(
                    f"`{argument}` has {rows} rows for {len(ids)} sequences, expected a row for each id in `sequence`"
                )
        with self._clips.lock:
            if self._offset != 0 and (stepped := [name for name in ids if name in self._clips]):
                raise StateError(
                    f"sequence {quoted(stepped[0])} is stepped by `update`, which pairs its frames: "
                    "expected another id for "
                    "pairs that are made already"
                )
            self.metric.update(preds, target, **rest, **self._sequence_option(sequence))
            self._paired.update(ids)
            self._note_step(len(ids), len(ids))

    def _step(
        self, count: Callable[..., Any], preds: Any, target: Any, *, sequence: Any, frame: Any, rest: dict[str, Any]
    ) -> Any:
        """Pair up, count, and only then move on; return None where nothing was counted."""
        self._require_unsynced()
        alone = sequence is None or isinstance(sequence, str)
        ids = [sequence or ""] if alone else list(sequence_ids(sequence))
        self._check_step(ids, preds, target, sequence, frame)
        pred_of = [preds] if alone else rows_of("preds", preds, len(ids))
        target_of = [target] if alone else rows_of("target", target, len(ids))
        numbers = frame_numbers(frame, len(ids))
        on_screen: dict[int, Any] = {}
        with self._clips.hold(ids) as clips:
            for row, (name, number, pred, found) in enumerate(zip(ids, numbers, pred_of, target_of, strict=True)):
                step = clips.frame(name, number)
                waits = copy_tensors(pred) if step.is_shown_later else pred
                for shown in clips.step(step, waits, labelled=found is not None).values():
                    on_screen[row] = shown
            with self._clips.lock:
                value = self._count(count, on_screen, target_of, alone=alone, ids=ids, rest=rest)
                clips.commit()
                self._note_step(sum(found is not None for found in target_of), len(on_screen))
        return value

    def _check_step(self, ids: list[str], preds: Any, target: Any, sequence: Any, frame: Any) -> None:
        if self._offset is None and not (sequence or isinstance(sequence, list | tuple)):
            raise ConfigError("`sequence` is missing, expected the id of the clip, as its schedule pairs its frames")
        check_sequence_is_named(sequence, frame, self._offset or 0)
        if self._offset == 0:
            return
        if paired := [name for name in ids if name in self._paired]:
            raise StateError(
                f"sequence {quoted(paired[0])} holds pairs that were made by the caller (`update_pair`), "
                "expected another id "
                "for a clip whose frames are paired here"
            )
        for argument, batch in (("preds", preds), ("target", target)):
            if isinstance(sequence, str) and (rows := num_rows(batch)) > 1:
                raise ShapeError(
                    f"`{argument}` has {rows} rows for one id, expected one frame: pass "
                    f"sequence=[{quoted(sequence)}] * {rows} for {rows} frames in order, or "
                    f"{argument}[None] for one frame "
                    "that has no batch axis yet"
                )

    def _count(
        self,
        count: Callable[..., Any],
        on_screen: dict[int, Any],
        target_of: list[Any],
        *,
        alone: bool,
        ids: list[str],
        rest: dict[str, Any],
    ) -> Any:
        """Hand the rows that are ready to the metric, by its ``update`` or ``forward``."""
        ready = list(on_screen)
        if count is self.metric and self._syncs_on_step():
            on_all_ranks = self._sum_over_ranks(len(ready))
            if on_all_ranks and not ready:
                return self._value_of_others()
        if not ready:
            return None
        if alone:
            return count(on_screen[0], target_of[0], **rest, **self._sequence_option(ids[0]))
        pairs = join_rows([on_screen[row] for row in ready]), join_rows([target_of[row] for row in ready])
        options = self._sequence_option([ids[row] for row in ready])
        return count(*pairs, **_rows_of_rest(rest, len(ids), ready), **options)

    def _note_step(self, labelled: int, shown: int) -> None:
        self.labelled = self.labelled + labelled
        self.shown = self.shown + shown
        self._update_count += 1

    # ── values where there is nothing ──

    def _value_of_nothing(self) -> Any:
        """Return the form of the wrapped metric's values, with NaN for floating-point ones."""
        if self._nothing is None:
            empty = self.metric.clone()
            empty.reset()
            for part in _metrics_in(empty):
                part.sync_on_compute = part._to_sync = False
            try:
                found = _compute_quietly(empty)
            except Exception:  # of metrics that cannot be computed of nothing
                names = list(empty.keys()) if isinstance(empty, MetricCollection) else []
                found = dict.fromkeys(names, torch.zeros(())) if names else torch.zeros(())
            self._nothing = map_tensors(_nan_if_floating, found)
        return map_tensors(lambda value: value.to(self.device), self._nothing)

    def _value_of_others(self) -> Any:
        """Take part in the sync of a step in which other ranks count pairs and this one does not."""
        empty = self.metric.clone()
        empty.reset()
        for part in _metrics_in(empty):
            part._to_sync = part.dist_sync_on_step
        return _compute_quietly(empty)

    def _syncs_on_step(self) -> bool:
        parts = _metrics_in(self.metric)
        return any(part.dist_sync_on_step and part.distributed_available_fn() for part in parts)

    def _sum_over_ranks(self, number: int) -> int:
        part = _metrics_in(self.metric)[0]
        gather = part.dist_sync_fn or gather_all_tensors
        counted = torch.tensor(number, device=self.device)
        return sum(int(found) for found in gather(counted, group=part.process_group))

    def _sequence_option(self, sequence: str | Sequence[str]) -> dict[str, Any]:
        """Hand ids on to a metric that has a parameter for them."""
        takes = any("sequence" in part._update_signature.parameters for part in _metrics_by_name(self.metric).values())
        return {"sequence": sequence} if takes else {}

    def end(self, sequence: str) -> None:
        """End a sequence: free what waits, and let its id start anew. Scores stay as they are.

        Call it where the same id comes again without a :meth:`reset` between, such as that of a camera. Nothing happens
        if the id is not in progress.

        Raises
        ------
        ConfigError
            If the sequence's schedule goes on after its last frame; the sequence has ended all the same.

        Examples
        --------
        >>> from torchmetrics import MeanAbsoluteError
        >>> metric = LatencyAware(MeanAbsoluteError(), frame_offset=1)
        >>> for clip in ([1.0, 2.0], [5.0, 6.0]):
        ...     for depth in torch.tensor(clip):
        ...         metric.update(depth, depth, sequence="camera")
        ...     metric.end("camera")
        >>> metric.compute()
        tensor(1.)
        """
        check_id(sequence)
        self._clips.end(sequence)

    def compute(self) -> Any:
        """Return what the wrapped metric computes of all pairs so far, of all processes; time can go on.

        Where there is no pair yet, floating-point values are NaN.

        Warns
        -----
        FlameWarning
            If no time step came, or labelled ones came and nothing was on screen at any; not while sequences are in
            progress that are at most k frames old.
        """
        part = _metrics_in(self.metric)[0]
        shown = int(self.shown)
        if part._to_sync and not part._is_synced and part.distributed_available_fn():
            shown = self._sum_over_ranks(shown)
        if shown:
            return self.metric.compute()
        labelled = int(self.labelled)
        if not self._update_count or (labelled and not self._clips.have_only_begun):
            message = f"nothing was counted: no prediction is on screen at any of {labelled} labelled time step(s)"
            warnings.warn(message, FlameWarning, stacklevel=2)
        return self._value_of_nothing()

    # ── the rest of a metric's surface: what the wrapped one answers, or both together ──

    def reset(self) -> None:
        """Forget what was counted, and end all sequences."""
        super().reset()
        self.metric.reset()
        self._clips.clear()
        self._paired.clear()

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add what another wrapper has counted, or nothing of it if that fails. What waits in it is not taken over.

        Raises
        ------
        StateError
            If it is not a LatencyAware, has another offset, wraps a collection of other metrics, or has stepped a
            sequence that this one has stepped too; or if this one is synced.
        RuntimeError
            If the wrapped metric cannot be merged.
        """
        self._require_unsynced()
        if not isinstance(incoming_state, LatencyAware):
            raise StateError(f"`incoming_state` is {type(incoming_state).__name__}, expected a LatencyAware")
        _same_offset(torch.stack([self.offset, incoming_state.offset.to(self.offset.device)]))
        self._check_ids_of(incoming_state)
        merged = self.metric.clone()  # one of several metrics may refuse
        mine, theirs = _metrics_by_name(merged), _metrics_by_name(incoming_state.metric)
        if mine.keys() != theirs.keys():
            raise StateError(f"the collections hold {sorted(mine)} and {sorted(theirs)}, expected the same metrics")
        for name, metric in mine.items():
            metric.merge_state(theirs[name])
            metric._computed = None  # otherwise a value computed before would be given again
        self.metric = merged
        self._clips.merge(incoming_state._clips)
        self._paired |= incoming_state._paired
        self.labelled = self.labelled + incoming_state.labelled.to(self.labelled.device)
        self.shown = self.shown + incoming_state.shown.to(self.shown.device)

    def _check_ids_of(self, other: LatencyAware) -> None:
        """Refuse sequences that came to both: counts are not kept by id, so a repeated clip would count twice."""
        self._clips.check_merge(other._clips)
        both = self._clips.ended & other._clips.ended
        if self._offset != 0:
            both = self._clips.names & other._clips.names
            both |= (self._clips.names & other._paired) | (self._paired & other._clips.names)
        if both:
            raise StateError(
                f"sequence(s) {shortened(map(quoted, sorted(both)))} came to both sides and would count "
                "twice, expected "
                "each clip on one side, as counts of any metric cannot be told apart by sequence; a FlameMetric keeps "
                "repeated clips once"
            )

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states of all processes, those of the wrapped metric too; if that fails, nothing is synced.

        Raises
        ------
        StateError
            In every process, if they have different offsets.
        """
        parts = _metrics_in(self.metric)
        to_undo = [metric for metric in (self, *parts) if not metric._is_synced]
        try:
            super().sync(*args, **kwargs)
            for part in parts:
                part.sync(*args, **kwargs)
        except BaseException:
            for metric in to_undo:
                _restore(metric)
            raise

    def unsync(self, *args: Any, **kwargs: Any) -> None:
        """Go back to the states of this process, with the wrapped metric."""
        super().unsync(*args, **kwargs)
        for part in _metrics_in(self.metric):
            part.unsync(*args, **kwargs)

    @contextmanager
    def sync_context(self, *args: Any, should_unsync: bool = True, **kwargs: Any) -> Iterator[None]:
        """Hold the states of all processes, and those of this one again afterwards, even after an error."""
        self.sync(*args, **kwargs)
        try:
            yield
        finally:
            self.unsync(should_unsync=self._is_synced and should_unsync)

    def _require_unsynced(self) -> None:
        if self._is_synced:
            raise StateError("the metric holds the states of all processes, expected unsync() before more are added")

    def persistent(self, mode: bool = False) -> None:
        """Say whether ``state_dict`` holds the states, those of the wrapped metric too."""
        super().persistent(mode)
        self.metric.persistent(mode)

    def set_dtype(self, dst_type: str | torch.dtype) -> LatencyAware:
        """Change the dtype of the wrapped metric's states; what waits and what is counted here stays as it is."""
        self.metric.set_dtype(dst_type)
        return self

    def plot(self, *args: Any, **kwargs: Any) -> Any:
        """Plot as the wrapped metric does."""
        return self.metric.plot(*args, **kwargs)

    def _filter_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Of the options given to a collection of metrics, take our own and the wrapped metric's, and no others."""
        filtered = self.metric._filter_kwargs(**kwargs) if isinstance(self.metric, Metric) else kwargs
        taken = ("preds", "target", "sequence", "frame")
        own: dict[str, Any] = {name: kwargs[name] for name in taken if name in kwargs}
        return {**filtered, **own}

    def __getstate__(self) -> dict[str, Any]:
        with self._clips.lock:
            return {**super().__getstate__(), "_clips": copy(self._clips), "_paired": set(self._paired)}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # as in torchmetrics
        """Return the states to save, if any, and with them what waits."""
        saved: dict[str, Any] = super().state_dict(*args, **kwargs)
        if self._persistent["offset"] and not self._is_synced:
            prefix = kwargs.get("prefix", args[1] if len(args) > 1 else "")
            with self._clips.lock:
                saved[f"{prefix}waiting"] = {
                    "clips": self._clips.to_dict(copy_tensors),
                    "paired": sorted(self._paired),
                }
        return saved

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        offset, waiting = (state_dict.pop(f"{prefix}{name}", None) for name in ("offset", "waiting"))
        if offset is not None and state_dict.get(f"{prefix}labelled", 1):  # of another offset it has to be empty
            _same_offset(
                torch.stack([self.offset, offset.to(self.offset.device)]),
                "; call reset() before saving, or leave it out",
            )
        if waiting is not None and int(offset) == int(self.offset):
            with reading("LatencyAware state"):
                clips: RunningClips[Any] = RunningClips.from_dict(
                    waiting["clips"],
                    self._offset,
                    lambda pred: map_tensors(lambda tensor: tensor.to(self.device), pred),
                    self._timeline_of,
                )
                clips.max_sequences = self._clips.max_sequences
                self._clips, self._paired = clips, set(waiting["paired"])
        elif offset is not None:
            self._clips.clear()
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _wrap_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """Keep ``update`` out of a step that ``torch.compile`` compiles: what waits is not part of a graph."""
        return run_eagerly(super()._wrap_update(update))

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = "") -> LatencyAware:
        before = self.device
        super()._apply(fn, exclude_state)
        if self.device != before:
            device = self.device
            self._clips = self._clips.with_waiting(lambda pred: map_tensors(lambda tensor: tensor.to(device), pred))
        return self


def _check_inputs(metric: Metric | MetricCollection) -> None:
    """Raise ConfigError if a metric does not compare predictions with a target."""
    if isinstance(metric, MetricCollection):
        inner = list(_metrics_by_name(metric).values())
    else:
        parameters = metric._update_signature.parameters.values()
        if any(parameter.kind is Parameter.VAR_POSITIONAL for parameter in parameters):  # hands on what it gets
            inner = [part for part in _metrics_in(metric) if part is not metric]
        else:
            _check_signature(metric, list(parameters))
            return
    for part in inner:
        _check_inputs(part)


def _check_signature(metric: Metric, parameters: list[Parameter]) -> None:
    inputs = [one for one in parameters if one.kind in {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}]
    compares = len(inputs) > 1 and (
        # A weight, or a flag that says what the first one is, is not a target.
        inputs[1].name.startswith("target")
        or (inputs[1].default is Parameter.empty and inputs[1].annotation not in (bool, "bool"))
    )
    if not compares:
        takes = ", ".join(str(one) for one in parameters)
        raise ConfigError(
            f"`metric` is or holds {type(metric).__name__}, whose update takes ({takes}), expected one that compares: "
            "update(preds, target)"
        )


def _check_offset(
    frame_offset: int | None, latency_ms: Milliseconds | None, fps: Fps | None, schedule: Schedules | None
) -> int | None:
    if schedule is not None:
        if (frame_offset, latency_ms, fps) != (None, None, None):
            raise ConfigError("`schedule` is given beside `frame_offset`, `latency_ms` or `fps`, expected one of them")
        return None
    if frame_offset is None and latency_ms is None and fps is None:
        raise ConfigError("no latency is given, expected `frame_offset`, `latency_ms` with `fps`, or `schedule`")
    if frame_offset is not None and fps is not None:
        raise ConfigError(f"`fps` is {fps} beside `frame_offset`, expected one: an offset in frames needs no rate")
    # The rules are those of a meter, whose number of classes plays no part here.
    return make_config(2, frame_offset=frame_offset, latency_ms=latency_ms, fps=fps).frame_offset


def _options_text(frame_offset: int | None, latency_ms: Milliseconds | None, fps: Fps | None) -> str:
    if frame_offset is not None:
        return f"frame_offset={frame_offset}"
    return "latency_ms=.., fps=.." if latency_ms is None else f"latency_ms={latency_ms}, fps={fps!r}"


def _compute_quietly(metric: Metric | MetricCollection) -> Any:
    """Compute a metric of nothing, which torchmetrics warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric.compute()


def _nan_if_floating(value: Tensor) -> Tensor:
    return torch.full_like(value, float("nan")) if value.is_floating_point() else value


@dataclass(frozen=True)
class _TimelineOf:
    """The schedule of each sequence, as it is asked for."""

    schedule: Schedules

    def __post_init__(self) -> None:
        schedule = self.schedule
        if not isinstance(schedule, Schedule | Mapping) and not callable(schedule):
            raise ConfigError(
                f"`schedule` is {type(schedule).__name__}, expected a Schedule, or a mapping or callable from id to one"
            )

    def __call__(self, sequence: str) -> ScheduleTimeline:
        schedule: Any = self.schedule
        if isinstance(schedule, Mapping):
            schedule = schedule.get(sequence)
        elif callable(schedule):
            schedule = schedule(sequence)
        if not isinstance(schedule, Schedule):
            found = "nothing" if schedule is None else type(schedule).__name__
            raise ConfigError(
                f"`schedule` has {found} for sequence {quoted(sequence)}, expected a Schedule for each id"
            )
        if schedule.per_label:
            raise ConfigError("`schedule` has label times of its own (`label_times_ms`), expected an entry for a frame")
        return ScheduleTimeline(schedule)


def _rows_of_rest(rest: dict[str, Any], streams: int, ready: list[int]) -> dict[str, Any]:
    """Leave the rows that are ready; what has no rows holds for all."""
    chosen = {}
    for name, value in rest.items():
        chosen[name] = value
        if has_rows(value):
            rows = rows_of(name, value, streams)
            chosen[name] = join_rows([rows[row] for row in ready])
    return chosen


def _metrics_in(metric: Metric | MetricCollection) -> list[Metric]:
    return [part for part in metric.modules() if isinstance(part, Metric)]


def _metrics_by_name(metric: Metric | MetricCollection) -> dict[str, Metric]:
    if isinstance(metric, MetricCollection):
        return dict(metric.items(keep_base=True, copy_state=False))
    return {"": metric}


def _restore(metric: Metric) -> None:
    """Go back to the states that a metric had before it was synced, or half synced."""
    for name, state in (metric._cache or {}).items():
        setattr(metric, name, state)
    metric._cache, metric._is_synced = None, False


def _same_offset(offsets: Tensor, remedy: str = "") -> Tensor:
    """Reduce the offsets of several wrappers to the one that they share."""
    if bool((offsets != offsets[0]).any()):
        found = ", ".join("by schedule" if k == _BY_SCHEDULE else str(k) for k in sorted(set(offsets.tolist())))
        raise StateError(f"latency-aware metrics of different frame offsets ({found}) cannot be combined{remedy}")
    return offsets[0]
