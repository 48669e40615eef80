"""FlameMetric: FlameMeter as a torchmetrics metric, with the same counts to the integer.

Its state is int64 tensors with the configuration inside them (see :mod:`flame_metric.torch.state`). So it is saved in a
``state_dict``, moves between devices, and merges exactly; whatever is of another configuration is refused.

Where a metric is on a GPU, tensors that are there too are counted there, and ``update`` never makes the host wait. A
label that is neither class nor void can then not raise in ``update``: it raises in ``compute``, ``result``, ``forward``
and ``sync``. All other tensors are counted on the host, and raise at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from flame_metric.core.checks import check_id
from flame_metric.core.clock import Fps, Milliseconds
from flame_metric.core.counting import Counts, count_coded, count_missing, count_pairs
from flame_metric.core.labels import CodedMap, LabelMaps, code_map, coded_to_dict, num_maps
from flame_metric.core.schedule import Schedule
from flame_metric.errors import ConfigError, MissingExtraError, ShapeError, StateError, located
from flame_metric.scores.clips import RunningClips, TimeSteps, check_sequence_is_named, count_steps
from flame_metric.scores.config import ScoreConfig, make_config
from flame_metric.scores.meter import FlameMeter
from flame_metric.scores.result import FlameResult
from flame_metric.scores.time_step import TimeStep, split_time_steps
from flame_metric.torch.counting import (
    TensorCounts,
    check_on_device,
    code_on_device,
    count_coded_on_device,
    count_missing_on_device,
    count_on_device,
    to_device,
    to_host,
)
from flame_metric.torch.eager import run_eagerly
from flame_metric.torch.ranks import merge_from_ranks
from flame_metric.torch.state import (
    HOST_STATES,
    ROW_STATES,
    SequenceIndex,
    SpareRows,
    check_saved_state,
    check_state,
    clips_of,
    meter_of,
    state_of,
)

__all__ = ["FlameMetric"]


@dataclass(frozen=True, eq=False)
class _Call:
    """What a call of time steps has counted, before any of it is added."""

    counted: Mapping[str, TensorCounts]
    faults: Mapping[str, TensorCounts]
    clips: TimeSteps[CodedMap | Tensor]
    names: Sequence[str]


class FlameMetric(Metric):
    """Latency-aware mean IoU as a torchmetrics metric.

    Parameters
    ----------
    num_classes, latency_ms, fps, frame_offset, ignore_index, class_names, before_first
        As :class:`~flame_metric.FlameMeter` takes them.
    hardware : str, optional
        What the latency was measured on: free text for the signature.
    max_sequences : int
        Clips that may run at a time, as :class:`~flame_metric.FlameMeter` takes it.
    average : {"macro", "none"} or None
        What ``compute`` and ``forward`` return: the mean IoU over the classes (Eq. 2), or with ``"none"`` or None the
        IoU of each class, (C,), as ``ClasswiseWrapper`` takes it; NaN for a class that occurs nowhere.
    **kwargs
        Those of every torchmetrics metric. ``compute_with_cache`` is False by default: where ranks are updated
        unequally often, one that answers from its cache leaves the others waiting.

    Raises
    ------
    ConfigError
        If latency and frame offset are both given, only half of latency and fps is, or a value is out of range.

    Notes
    -----
    *State.* ``clone`` and ``pickle`` carry counts and what waits; so does ``state_dict``, once ``persistent(True)`` was
    called. ``sync`` and ``merge_state`` carry counts. A state without counts loads into a metric of any configuration.

    *Collections.* Every FlameMetric of a MetricCollection counts for itself, as no other sees what waits in it.

    *Threads.* Threads may share a metric if each of them steps clips of its own; two that step one clip at a time are a
    StateError at k > 0, where its frames have an order.

    *Other wrappers.* One that redraws the rows of a batch, such as ``BootStrapper``, redraws time steps, which is
    refused where ``frame`` or sizes show it. ``result().interval()`` is a bootstrap over whole sequences.

    Examples
    --------
    >>> import torch
    >>> metric = FlameMetric(2, latency_ms=26, fps=30, ignore_index=255)
    >>> video = torch.tensor([[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]])
    >>> for frame, labels in enumerate(video):  # a network that is right, but one frame late
    ...     metric.update(labels, labels, sequence="clip", frame=frame)
    >>> metric.compute()
    tensor(0.1667)
    >>> print(metric.result().signature)
    FLAME 0.167 | k 1 | 26.0 ms | 30 fps | 2 classes | ignore 255 | coverage 0.67 | flame-metric 0.1.0
    """

    higher_is_better: bool = True
    is_differentiable: bool = False
    full_state_update: bool = False
    plot_lower_bound: float = 0.0
    plot_upper_bound: float = 1.0

    __jit_unused_properties__: ClassVar[list[str]] = [
        *Metric.__jit_unused_properties__,
        "config",
        "frame_offset",
        "sequence_index",
    ]

    if TYPE_CHECKING:  # torch.jit.script reads annotations, and finds no such tensors in the module that it makes
        counts: Tensor
        tallies: Tensor
        faults: Tensor
        configuration: Tensor
        _index_written: Tensor | None
        _index_read: SequenceIndex | None

    def __init__(
        self,
        num_classes: int,
        *,
        latency_ms: Milliseconds | None = None,
        fps: Fps | None = None,
        frame_offset: int | None = None,
        ignore_index: int | None = None,
        class_names: Sequence[str] | None = None,
        before_first: str = "skip",
        hardware: str | None = None,
        max_sequences: int = 16,
        average: str | None = "macro",
        **kwargs: Any,
    ) -> None:
        if "device" in kwargs:
            raise ConfigError(
                "`device` is not an option here: use .to(device) for the state, `hardware` for the signature"
            )
        super().__init__(**{"compute_with_cache": False, **kwargs})
        self._config = make_config(
            num_classes,
            latency_ms=latency_ms,
            fps=fps,
            frame_offset=frame_offset,
            ignore_index=ignore_index,
            class_names=class_names,
            before_first=before_first,
            hardware=hardware,
        )
        if average not in ("macro", "none", None):
            raise ConfigError(
                f'`average` is {average!r}, expected "macro" (the mean of Eq. 2) or "none" (the IoU of each class)'
            )
        self._per_class = average != "macro"
        self._clips: RunningClips[CodedMap | Tensor] = RunningClips(self.frame_offset, max_sequences=max_sequences)
        self._spare_rows = {name: SpareRows() for name in ROW_STATES}
        # A MetricCollection updates only one of several metrics whose states are equal, and cannot see what waits. NaN
        # equals nothing, so no metric is ever taken for another. It comes first: some versions of torchmetrics look no
        # further than the first state.
        self.add_state("ungrouped", torch.tensor(float("nan")))
        for name, value in state_of(FlameMeter.from_config(self._config), self.device).items():
            self.add_state(name, value)

    @property
    def config(self) -> ScoreConfig:
        """Classes, void label, frame offset and their origin."""
        return self._config

    @property
    def frame_offset(self) -> int:
        """k, in frames."""
        return self._config.frame_offset or 0

    @property
    def sequence_index(self) -> Tensor:
        """The state that says which row belongs to which sequence: written when it is asked for, not at each update."""
        with self._clips.lock:
            if self._index_written is None:
                self._index_written = self._index().to_tensor(self._clips)
            return self._index_written

    @sequence_index.setter
    def sequence_index(self, written: Tensor) -> None:
        with self._clips.lock:
            self._index_written = written
            self._index_read = None  # until it is needed

    def extra_repr(self) -> str:
        """Return what stands between the brackets of the representation."""
        return f"{self._config}, {len(self.counts)} sequences"

    # ── collecting ──

    def update(
        self,
        preds: LabelMaps | None,
        target: LabelMaps | None = None,
        sequence: str | Sequence[str] | None = None,
        frame: Any = None,
    ) -> None:
        """Let one time step pass: the output for a frame and the ground truth of the same frame.

        The metric holds the prediction, and counts it against the ground truth that comes k frames later in the same
        clip, as :meth:`flame_metric.FlameMeter.update` does and defines. What waits is a label map, on the device on
        which it came. If anything is raised, no time has passed, for no row of a batch.

        Parameters
        ----------
        preds : Tensor of int, (H, W) or (N, H, W), or of float, (C, H, W) or (N, C, H, W), a list of N, or None
            Labels, or scores of which the highest decides; lists as ``post_process_semantic_segmentation`` of Hugging
            Face returns them. All else that :func:`~flame_metric.confusion_matrix` takes works too. None, also in a
            list, where the network was not run.
        target : Tensor of int, (H, W) or (N, H, W), a list of N, or None
            Ground truth of the same frame or frames; None, also in a list, where a frame is unlabelled.
        sequence : str, or list of N str
            Id of the clip, which may be left out only at k = 0. With one id, the rows of a batch are consecutive frames
            of that clip; with a list, each row is a frame of the clip of its id, in the order of the rows.
        frame : int, or N of them (list or Tensor), optional
            Number of the frame, or of each row, >= 0 and rising within a clip; gaps are unlabelled frames on which the
            network was not run. Without numbers, calls are frames, and the signature says so.

        Raises
        ------
        ConfigError
            If ``sequence`` is missing at k > 0, or it or ``frame`` is of another kind.
        LabelError, ShapeError
            If shapes or dtypes do not belong together, there are not as many rows as ids or, off the GPU, a label is
            not a class.
        StateError
            If the sequence was paired, closed or given up, numbers do not rise, another thread is stepping the clip,
            the network was not run on a frame whose prediction is on screen at a label, or the metric is synced.

        Examples
        --------
        >>> metric = FlameMetric(2, frame_offset=1)
        >>> for number in range(3):
        ...     maps = torch.tensor([[[0, 1]], [[1, 1]]])  # a frame of each clip
        ...     metric.update(maps, maps, ["left", "right"], frame=number)
        >>> [(name, score.num_pairs) for name, score in metric.result().by_sequence().items()]
        [('left', 2), ('right', 2)]
        """
        with ExitStack() as held:
            self._commit(self._count_steps(held, preds, target, sequence, frame))

    def end(self, sequence: str) -> None:
        """Say that a clip is over: let go the predictions that wait, as :meth:`flame_metric.FlameMeter.end` does.

        Raises
        ------
        StateError
            If the metric is synced.
        """
        self._require_unsynced()
        check_id(sequence)
        with self._clips.lock:
            self._clips.end(sequence)
            self._forget_written_index()

    def update_pair(self, preds: LabelMaps, target: LabelMaps, sequence: str | Sequence[str] = "") -> None:
        """Count one pair that the caller made, or a batch of them: the prediction F(I_t) and the ground truth S_{t+k}.

        For loaders that hand out pairs k frames apart, as where a clip has one label. :meth:`update` pairs the frames
        of a clip itself.

        Parameters
        ----------
        preds, target
            As :meth:`update` takes them, but None.
        sequence : str, or list of N str
            Id under which to add; with a list, that of each row of the batch. An id may be there several times.

        Raises
        ------
        LabelError, ShapeError, ConfigError
            As :meth:`update` does; nothing is counted then.
        StateError
            If a sequence is closed, or stepped at k > 0, or the metric is synced.

        Examples
        --------
        >>> metric = FlameMetric(2, frame_offset=3)
        >>> preds, targets = torch.tensor([[[0, 1]], [[1, 1]]]), torch.tensor([[[0, 1]], [[0, 1]]])
        >>> metric.update_pair(preds, targets, ["left", "right"])
        >>> [(name, round(score.miou, 2)) for name, score in metric.result().by_sequence().items()]
        [('left', 1.0), ('right', 0.25)]
        """
        self._open_page(*_ids(sequence))
        here = self._lies_here(preds) and self._lies_here(target)
        counted: dict[str, TensorCounts] = {}
        for name, pred, labels in _by_id(preds, target, sequence):
            if here:
                found = count_on_device(pred, labels, self._config.space)
            else:
                found = TensorCounts.from_counts(count_pairs(pred, labels, self._config.space), self.counts.device)
            counted[name] = counted[name] + found if name in counted else found
        self._add_pairs(counted)

    def update_missing(self, target: LabelMaps, *, sequence: str = "") -> None:
        """Count a labelled frame for which nothing is on screen yet: all its valid pixels are missed.

        It belongs to :meth:`update_pair`: no time passes.

        Raises
        ------
        LabelError, ShapeError, StateError
            As :meth:`update_pair` does.
        """
        self._open_page(sequence)
        if self._lies_here(target):
            counted = count_missing_on_device(target, self._config.space)
        else:
            counted = TensorCounts.from_counts(count_missing(target, self._config.space), self.counts.device)
        self._add_pairs({sequence: counted})

    def _add_pairs(self, counted: Mapping[str, TensorCounts]) -> None:
        with self._clips.lock:
            self._open_page(*counted)
            self._add(counted)
            self._clips.ended.difference_update(counted)
            self._forget_written_index()
            self._note_update()

    def update_sequence(
        self,
        preds: Iterable[LabelMaps | None],
        targets: Iterable[LabelMaps | None],
        *,
        sequence: str,
        schedule: Schedule | None = None,
    ) -> None:
        """Count a whole clip in order, and close its id, as :meth:`flame_metric.FlameMeter.update_sequence` does.

        Predictions wait for their ground truth on the host, run-length coded, so that a clip takes no memory of the
        GPU: each label map is copied once (scores become labels before that), and wrong labels raise at once.

        Raises
        ------
        LabelError, ShapeError, ConfigError, StateError
            As :meth:`flame_metric.FlameMeter.update_sequence` does, or if the metric is synced.
        """
        page = self._page(sequence)
        page.update_sequence(preds, targets, sequence=sequence, schedule=schedule)
        with self._clips.lock:
            self._page(sequence).require_kind(schedule is not None)
            self._add({sequence: self._count_page(page, sequence)}, closed=page.closed, by_schedule=page.by_schedule)
            self._note_update()

    @torch.jit.unused
    @run_eagerly
    def forward(
        self,
        preds: LabelMaps | None,
        target: LabelMaps | None = None,
        sequence: str | Sequence[str] | None = None,
        frame: Any = None,
    ) -> Tensor:
        """Let one time step pass as :meth:`update` does, and return the score of the pairs of this call.

        It is that of this rank's pairs, or with ``dist_sync_on_step`` of all ranks'; NaN if there are none. It checks
        the labels, and so waits for the GPU; if they are wrong, no time has passed.
        """
        counted: list[_Call] = []
        with ExitStack() as held:

            def meter_of_call() -> FlameMeter:
                counted.append(self._count_steps(held, preds, target, sequence, frame))
                return meter_of(self._state_of_call(counted[0]))

            on_all_ranks = self.dist_sync_on_step and self.distributed_available_fn()
            batch = self._merge_from_ranks(meter_of_call) if on_all_ranks else meter_of_call()
            for name in ROW_STATES:  # metrics may share their tensors, and each gets this batch
                setattr(self, name, getattr(self, name).clone())
            self._commit(counted[0])
            self._note_update()
        value = self._as_tensor(FlameResult.from_counts(self._config, batch.sequences))
        self._forward_cache = value  # type: ignore[assignment]  # declared as None
        return value

    def _count_steps(
        self, held: ExitStack, preds: LabelMaps | None, target: LabelMaps | None, sequence: Any, frame: Any
    ) -> _Call:
        """Count what the time steps of a call show; the clips are held until they are committed or ``held`` ends."""
        self._require_unsynced()
        check_sequence_is_named(sequence, frame, self.frame_offset)
        steps = split_time_steps(preds, target, "" if sequence is None else sequence, frame)
        names = list(dict.fromkeys(step.sequence for step in steps))
        self._page(*names).require_stepped(names)
        clips = held.enter_context(self._clips.hold(names))
        faults: dict[str, TensorCounts] = {}

        def code(step: TimeStep) -> CodedMap | Tensor:
            pred: LabelMaps = step.pred
            if not (self._lies_here(pred) and (step.target is None or self._lies_here(step.target))):
                return code_map(pred, self._config.space)
            coded = code_on_device(pred, self._config.space)
            found = TensorCounts.from_faults(coded.faults, self._config.num_classes)
            faults[step.sequence] = faults[step.sequence] + found if step.sequence in faults else found
            return coded.numbers

        counted = count_steps(steps, clips, code, self._count_shown)
        return _Call(counted, faults, clips, names)

    def _count_shown(self, shown: Mapping[int, CodedMap | Tensor], target: LabelMaps) -> TensorCounts:
        """Count what is on screen at a label, where the label lies: the prediction of a frame, or nothing yet."""
        space, device = self._config.space, self.counts.device
        here = self._lies_here(target)
        if not shown:
            if self._config.before_first == "skip":
                return TensorCounts.from_counts(Counts.zero(space.num_classes, labelled_frames=1), device)
            if here:
                return count_missing_on_device(target, space)
            return TensorCounts.from_counts(count_missing(target, space), device)
        ((source, pred),) = shown.items()
        place = located(f"prediction of frame {source}")
        if here:
            check_on_device(target, "target", space)
            numbers = to_device(pred, device) if isinstance(pred, CodedMap) else pred
            with place:
                return count_coded_on_device(numbers, target, space)
        label = code_map(target, space, argument="target")
        coded = pred if isinstance(pred, CodedMap) else to_host(pred, space)
        with place:
            return TensorCounts.from_counts(count_coded(coded, label, space), device)

    def _commit(self, call: _Call) -> None:
        """Add what a call has counted, and move its clips on."""
        with self._clips.lock:
            self._page(*call.names).require_stepped(call.names)
            self._add(call.counted, by_schedule=False)
            unlabelled = {name: found for name, found in call.faults.items() if not self._has_labels(name)}
            self._add(call.faults, unlabelled=unlabelled)
            call.clips.commit()
            self._forget_written_index()

    def _has_labels(self, sequence: str) -> bool:
        """Whether labelled frames of a sequence were counted; its row may hold faults of predictions only."""
        index = self._index()
        return sequence in index.rows and sequence not in index.unlabelled

    def _state_of_call(self, call: _Call) -> dict[str, Tensor]:
        """Return the state of a metric that has counted nothing but a call, as pairs."""
        parts = dict(call.counted)
        for name, found in call.faults.items():
            parts[name] = parts[name] + found if name in parts else found
        empty = state_of(FlameMeter.from_config(self._config), self.counts.device)
        index = SequenceIndex(
            {name: row for row, name in enumerate(parts)}, unlabelled=frozenset(parts.keys() - call.counted.keys())
        )
        rows = {
            "counts": [found.per_class for found in parts.values()],
            "tallies": [found.tallies for found in parts.values()],
            "faults": [found.faults for found in parts.values()],
        }
        return {
            **empty,
            "sequence_index": index.to_tensor(RunningClips(self.frame_offset)),
            **{name: torch.stack(found) for name, found in rows.items() if found},
        }

    def _lies_here(self, maps: LabelMaps) -> bool:
        """Whether all maps are on the GPU on which the state is."""
        listed = maps if isinstance(maps, (list, tuple)) else [maps]
        return all(isinstance(item, Tensor) and item.is_cuda and item.device == self.counts.device for item in listed)

    def _page(self, *sequences: str) -> FlameMeter:
        """Return a meter that knows of some sequences what this metric knows, but none of their counts."""
        self._require_unsynced()
        for name in sequences:
            check_id(name)
        index = self._index()
        held = {name: Counts.zero(self._config.num_classes) for name in sequences if self._has_labels(name)}
        return FlameMeter.from_counts(
            self._config,
            held,
            closed=index.closed & set(held),
            by_schedule=index.by_schedule,
            clips=self._clips,  # type: ignore[arg-type]  # a page is never asked for what waits
        )

    def _open_page(self, *sequences: str) -> FlameMeter:
        """Return such a meter of sequences to which pairs may be added."""
        page = self._page(*sequences)
        for name in sequences:
            page.require_open(name)
        return page

    def _count_page(self, page: FlameMeter, sequence: str) -> TensorCounts:
        return TensorCounts.from_counts(page.sequences[sequence], self.counts.device)

    def _add(
        self,
        counted: Mapping[str, TensorCounts],
        *,
        closed: Iterable[str] = (),
        by_schedule: bool | None = None,
        unlabelled: Iterable[str] = (),
    ) -> None:
        """Add counts to the rows of their sequences."""
        index = self._index()
        new = [name for name in counted if name not in index.rows]
        rows = {name: row for row, name in enumerate([*index.rows, *new])} if new else index.rows
        for name, added in counted.items():
            self._add_to_row(rows[name], added)
        after = SequenceIndex(
            rows,
            closed=index.closed.union(closed),
            by_schedule=index.by_schedule if by_schedule is None else by_schedule,
            unlabelled=(index.unlabelled - counted.keys()).union(unlabelled),
        )
        if after != index:
            self._index_read, self._index_written = after, None

    def _add_to_row(self, row: int, counted: TensorCounts) -> None:
        for name, added in (("counts", counted.per_class), ("tallies", counted.tallies), ("faults", counted.faults)):
            held = getattr(self, name)
            if row == len(held):
                setattr(self, name, self._spare_rows[name].append(held, added))
            elif held.is_inference() and not torch.is_inference_mode_enabled():  # may not be changed in place
                setattr(self, name, held.clone())
                getattr(self, name)[row].add_(added)
            else:
                held[row].add_(added)

    def _index(self) -> SequenceIndex:
        """Read the index, once."""
        with self._clips.lock:
            if self._index_read is None:
                self._index_read = SequenceIndex.from_tensor(self.sequence_index)
            return self._index_read

    def _forget_written_index(self) -> None:
        """Have the index written anew when it is asked for, as clips have moved."""
        self._index()
        self._index_written = None

    def _note_update(self) -> None:
        """Do what torchmetrics does around ``update``."""
        self._update_count += 1
        self._computed = None

    # ── scores ──

    def compute(self) -> Tensor:
        """Return the mean IoU of all ranks, float32 and 0-d, or the IoU of each class (C,); NaN if nothing was counted.

        Raises
        ------
        LabelError
            If labels or scores were wrong that were counted on a GPU.
        StateError
            On every rank: if the counts of one are invalid, or those of several do not belong together.

        Warns
        -----
        FlameWarning
            If there is no valid pixel at all.
        """
        return self._as_tensor(self._meter_without_waiting().compute())

    def result(self) -> FlameResult:
        """Return the result of all ranks with counts per sequence; errors and warnings are those of :meth:`compute`."""
        synced = self._is_synced
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync and not synced, should_unsync=not synced
        ):
            return self._meter_without_waiting().compute()

    def to_meter(self) -> FlameMeter:
        """Return a meter with the counts of this rank, and what waits; while synced, with the counts of all ranks.

        Raises
        ------
        LabelError
            If labels or scores were wrong that were counted on a GPU.
        """
        with self._clips.lock:
            state = self._held_state()
            if self._is_synced:
                return meter_of(state)
            space = self._config.space
            clips = self._clips.with_waiting(lambda pred: pred if isinstance(pred, CodedMap) else to_host(pred, space))
            return meter_of(state, clips)

    def _meter_without_waiting(self) -> FlameMeter:
        with self._clips.lock:
            return meter_of(self._held_state())

    def _held_state(self) -> dict[str, Tensor]:
        """Return the tensors that hold what was counted, if they are those of this metric."""
        if not torch.equal(self.configuration, self._defaults["configuration"]):  # type: ignore[arg-type]
            raise StateError(
                "the metric holds the state of one of another configuration: take it out of `compute_groups`, as every "
                "FlameMetric counts for itself"
            )
        return self.metric_state  # type: ignore[return-value]  # no state is a list

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> Any:
        """Plot values, by default that of :meth:`compute`, and return (figure, axes).

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        try:
            return self._plot(val, ax)
        except ModuleNotFoundError as error:
            raise MissingExtraError("plot needs matplotlib: pip install 'flame-metric[plot]'") from error

    def _as_tensor(self, result: FlameResult) -> Tensor:
        value = result.iou if self._per_class else result.miou
        return torch.tensor(value, dtype=torch.float32, device=self.counts.device)

    # ── combining ──

    def merge_state(self, incoming_state: Mapping[str, Any] | Metric) -> None:
        """Add the counts of another metric, or of its ``metric_state``, as :meth:`flame_metric.FlameMeter.merge` does.

        Raises
        ------
        StateError
            If the configurations differ, or one sequence has different counts on both sides or is closed on one only;
            nothing is merged then.
        LabelError
            If labels or scores on either side were wrong that were counted on a GPU.
        """
        if not isinstance(incoming_state, (FlameMetric, Mapping)):
            raise StateError(
                f"`incoming_state` is {type(incoming_state).__name__}, expected a FlameMetric or its state"
            )
        self._reduce_states(incoming_state.metric_state if isinstance(incoming_state, FlameMetric) else incoming_state)
        self._note_update()

    def _reduce_states(self, incoming_state: Mapping[str, Any]) -> None:
        self._require_unsynced()
        other = meter_of(check_state(incoming_state, self._config))
        with self._clips.lock:
            total = self._meter_without_waiting()
            total.merge(other)
            self._take(state_of(total, self.counts.device))
            self._clips.merge(other.clips)
            self._forget_written_index()

    def _sync_dist(
        self, dist_sync_fn: Callable[..., Any] | None = gather_all_tensors, process_group: Any | None = None
    ) -> None:
        total = self._merge_from_ranks(self._meter_without_waiting, dist_sync_fn, process_group)
        self._take(state_of(total, self.counts.device))

    def _merge_from_ranks(
        self,
        make: Callable[[], FlameMeter],
        dist_sync_fn: Callable[..., Any] | None = None,
        process_group: Any | None = None,
    ) -> FlameMeter:
        gather = dist_sync_fn or self.dist_sync_fn
        return merge_from_ranks(
            make,
            group=process_group or self.process_group,
            gather=None if gather is gather_all_tensors else gather,
            device=self.counts.device,
        )

    @contextmanager
    def sync_context(
        self,
        dist_sync_fn: Callable[..., Any] | None = None,
        process_group: Any | None = None,
        should_sync: bool = True,
        should_unsync: bool = True,
        distributed_available: Callable[..., bool] | None = None,
    ) -> Iterator[None]:
        """Hold the counts of all ranks, and those of this one again afterwards, even after an error."""
        self.sync(dist_sync_fn, process_group, should_sync, distributed_available)
        try:
            yield
        finally:
            self.unsync(should_unsync=self._is_synced and should_unsync)

    def _require_unsynced(self) -> None:
        if self._is_synced:
            raise StateError("the metric holds the counts of all ranks, expected unsync() before more are added")

    def _take(self, state: Mapping[str, Tensor]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    # ── saving and moving ──

    def reset(self) -> None:
        """Forget all counts, and what waits."""
        super().reset()
        self._clips.clear()

    def __getstate__(self) -> dict[str, Any]:
        with self._clips.lock:
            self._drop_spare_rows()
            own_rows = {name: getattr(self, name).clone() for name in ROW_STATES}
            return {**super().__getstate__(), **own_rows, "_clips": copy(self._clips)}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # as in torchmetrics
        """Return the states to save, and nothing of other metrics around; what waits is with them, on the host."""
        with self._clips.lock:
            self._drop_spare_rows()
            saved: dict[str, Any] = super().state_dict(*args, **kwargs)
            if self._persistent["sequence_index"] and not self._is_synced:
                prefix = kwargs.get("prefix", args[1] if len(args) > 1 else "")
                saved[f"{prefix}sequence_index"] = self._index().to_tensor(self._clips, self._waiting_to_dict)
        return saved

    def _waiting_to_dict(self, pred: CodedMap | Tensor) -> dict[str, Any]:
        return coded_to_dict(pred if isinstance(pred, CodedMap) else to_host(pred, self._config.space))

    def _drop_spare_rows(self) -> None:
        """Hold only rows in use: what copies or saves a tensor takes all memory behind it along."""
        self._spare_rows = {name: SpareRows() for name in ROW_STATES}
        for name in ROW_STATES:
            setattr(self, name, getattr(self, name).clone())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Take over a saved state; one that was saved without it leaves the counts alone."""
        found = {name: state_dict.pop(prefix + name) for name in self._defaults if prefix + name in state_dict}
        if found:
            state = check_saved_state(found, self._config, prefix)
            clips = clips_of(state["sequence_index"], self._config)
            clips.max_sequences = self._clips.max_sequences
            device = self.counts.device
            self._take({name: value if name in HOST_STATES else value.to(device) for name, value in state.items()})
            self._clips = clips  # type: ignore[assignment]  # coded maps are waiting
            self._forget_written_index()
            self._note_update()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _wrap_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """Keep ``update`` out of a step that ``torch.compile`` compiles: it counts on the host, or by small kernels."""
        return run_eagerly(super()._wrap_update(update))

    def set_dtype(self, dst_type: str | torch.dtype) -> FlameMetric:
        """Change nothing, as ``half`` and ``double`` do: counts are int64, and ``compute`` returns float32."""
        return self

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> torch.nn.Module:
        self._computed, before = None, self.device  # a value would be cast with the module
        super()._apply(fn, exclude_state=(*exclude_state, *HOST_STATES))
        if (device := self.device) != before:
            self._clips = self._clips.with_waiting(lambda pred: pred if isinstance(pred, CodedMap) else pred.to(device))
        return self


def _ids(sequence: str | Sequence[str]) -> Sequence[str]:
    """Return the ids of a call; whether they are texts, a meter checks."""
    if not isinstance(sequence, list | tuple):
        return [sequence]  # type: ignore[list-item]  # narrowed to str in all calls but wrong ones
    if not sequence:
        raise ConfigError("`sequence` is empty, expected a text id, or a list with one for each row of the batch")
    return sequence


def _by_id(
    preds: LabelMaps, target: LabelMaps, sequence: str | Sequence[str]
) -> Iterable[tuple[str, LabelMaps, LabelMaps]]:
    """Split a batch into (id, prediction, target): its rows where there is a list of ids."""
    if isinstance(sequence, str):
        return [(sequence, preds, target)]
    for argument, maps in (("preds", preds), ("target", target)):
        if num_maps(maps) != len(sequence):
            raise ShapeError(
                f"`{argument}` has {num_maps(maps)} rows for {len(sequence)} sequences, expected a row for each id in "
                "`sequence`"
            )
    return zip(sequence, preds, target, strict=True)
