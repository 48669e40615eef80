"""FlameMetric: FlameMeter as a torchmetrics metric, with the same counts to the integer.

Its state is int64 tensors with the configuration inside them (see :mod:`flame_metric.torch.state`). So it is saved in a
``state_dict``, moves between devices, and merges exactly; whatever is of another configuration is refused.

Where a metric is on a GPU, tensors that are there too are counted there, and ``update`` never makes the host wait. A
label that is neither class nor void can then not raise in ``update``: it raises in ``compute``, ``result``, ``forward``
and ``sync``. All other tensors are counted on the host, and raise at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from flame_metric.core.clock import Fps, Milliseconds
from flame_metric.core.counting import Counts
from flame_metric.core.labels import LabelMaps, num_maps
from flame_metric.core.schedule import Schedule
from flame_metric.errors import ConfigError, MissingExtraError, ShapeError, StateError
from flame_metric.scores.config import ScoreConfig, make_config
from flame_metric.scores.meter import FlameMeter
from flame_metric.scores.result import FlameResult
from flame_metric.torch.counting import TensorCounts, count_missing_on_device, count_on_device
from flame_metric.torch.eager import run_eagerly
from flame_metric.torch.ranks import merge_from_ranks
from flame_metric.torch.state import (
    HOST_STATES,
    ROW_STATES,
    SequenceIndex,
    SpareRows,
    check_saved_state,
    check_state,
    meter_of,
    state_of,
)

__all__ = ["FlameMetric"]


class FlameMetric(Metric):
    """Latency-aware mean IoU as a torchmetrics metric.

    Parameters
    ----------
    num_classes, latency_ms, fps, frame_offset, ignore_index, class_names, before_first
        As :class:`~flame_metric.FlameMeter` takes them.
    hardware : str, optional
        What the latency was measured on: free text for the signature.
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

    Examples
    --------
    >>> import torch
    >>> metric = FlameMetric(2, latency_ms=26, fps=30, ignore_index=255)
    >>> metric.update(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 255]]), sequence="clip")
    >>> metric.compute()
    tensor(1.)
    >>> print(metric.result().signature)
    FLAME 1.000 | k 1 | 26.0 ms | 30 fps | 2 classes | ignore 255 | coverage 1.00 | flame-metric 0.1.0
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
        self._spare_rows = {name: SpareRows() for name in ROW_STATES}
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
        if self._index_written is None:
            self._index_written = self._index().to_tensor()
        return self._index_written

    @sequence_index.setter
    def sequence_index(self, written: Tensor) -> None:
        self._index_written = written
        self._index_read = None  # until it is needed

    def extra_repr(self) -> str:
        """Return what stands between the brackets of the representation."""
        return f"{self._config}, {len(self.counts)} sequences"

    # ── collecting ──

    def update(self, preds: LabelMaps, target: LabelMaps, sequence: str | Sequence[str] = "") -> None:
        """Count one aligned pair, or a batch of them: the prediction F(I_t) and the ground truth S_{t+k}.

        Parameters
        ----------
        preds : Tensor of int, (H, W) or (N, H, W), or of float, (C, H, W) or (N, C, H, W), or a list of them
            Labels, or scores of which the highest decides; lists as ``post_process_semantic_segmentation`` of Hugging
            Face returns them. All else that :func:`~flame_metric.confusion_matrix` takes works too.
        target : Tensor of int, (H, W) or (N, H, W), or a list of them
            Ground truth labels.
        sequence : str, or list of N str
            Id under which to add; with a list, that of each row of the batch. An id may be there several times.

        Raises
        ------
        LabelError, ShapeError
            If shapes or dtypes do not belong together, there are not as many rows as ids or, off the GPU, a label is
            no class; nothing is counted then.
        ConfigError
            If an id is not text.
        StateError
            If a sequence is closed, or the metric is synced.

        Examples
        --------
        >>> metric = FlameMetric(2)
        >>> metric.update(torch.tensor([[[0, 1]], [[1, 1]]]), torch.tensor([[[0, 1]], [[0, 1]]]), ["left", "right"])
        >>> [(name, round(score.miou, 2)) for name, score in metric.result().by_sequence().items()]
        [('left', 1.0), ('right', 0.25)]
        """
        page = self._page(*_ids(sequence))
        self._add(self._count(preds, target, sequence, page), page)

    def update_missing(self, target: LabelMaps, *, sequence: str = "") -> None:
        """Count a labelled frame for which nothing is on screen yet: all its valid pixels are missed.

        Raises
        ------
        LabelError, ShapeError, StateError
            As :meth:`update` does.
        """
        page = self._page(sequence)
        if self._lies_here(target):
            counted = count_missing_on_device(target, self._config.space)
        else:
            page.update_missing(target, sequence=sequence)
            counted = self._count_page(page, sequence)
        self._add({sequence: counted}, page)
        self._note_update()

    def update_unshown(self, target: LabelMaps, *, sequence: str = "") -> None:
        """Count a labelled frame at which nothing is on screen yet, as ``before_first`` says.

        Raises
        ------
        LabelError, ShapeError, StateError
            As :meth:`update` does; labels that are skipped are not looked at.
        """
        if self._config.before_first == "void":
            self.update_missing(target, sequence=sequence)
            return
        page = self._page(sequence)
        nothing = Counts.zero(self._config.num_classes, labelled_frames=1)
        self._add({sequence: TensorCounts.from_counts(nothing, self.counts.device)}, page)
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
        self._add({sequence: self._count_page(page, sequence)}, page)
        self._note_update()

    @torch.jit.unused
    @run_eagerly
    def forward(self, preds: LabelMaps, target: LabelMaps, sequence: str | Sequence[str] = "") -> Tensor:
        """Add a batch and return its own mean IoU: of this rank's, or with ``dist_sync_on_step`` of all ranks' batches.

        It checks the labels, and so waits for the GPU; if they are wrong, nothing is added.
        """
        counted: list[tuple[dict[str, TensorCounts], FlameMeter]] = []

        def meter_of_batch() -> FlameMeter:
            page = self._page(*_ids(sequence))
            batch = self._count(preds, target, sequence, page)
            counted.append((batch, page))
            index = SequenceIndex({name: row for row, name in enumerate(batch)}).to_tensor()
            state = {
                "counts": torch.stack([found.per_class for found in batch.values()]),
                "tallies": torch.stack([found.tallies for found in batch.values()]),
                "faults": torch.stack([found.faults for found in batch.values()]),
            }
            return meter_of({**state, "configuration": self.configuration, "sequence_index": index})

        on_all_ranks = self.dist_sync_on_step and self.distributed_available_fn()
        batch = self._merge_from_ranks(meter_of_batch) if on_all_ranks else meter_of_batch()
        for name in ROW_STATES:  # metrics of one MetricCollection may share their tensors, and each gets this batch
            setattr(self, name, getattr(self, name).clone())
        self._add(*counted[0])
        self._note_update()
        value = self._as_tensor(FlameResult.from_counts(self._config, batch.sequences))
        self._forward_cache = value  # type: ignore[assignment]  # declared as None
        return value

    def _count(
        self, preds: LabelMaps, target: LabelMaps, sequence: str | Sequence[str], page: FlameMeter
    ) -> dict[str, TensorCounts]:
        """Count a batch by sequence id."""
        here = self._lies_here(preds) and self._lies_here(target)
        counted: dict[str, TensorCounts] = {}
        for name, pred, labels in _by_id(preds, target, sequence):
            if here:
                found = count_on_device(pred, labels, self._config.space)
                counted[name] = counted[name] + found if name in counted else found
            else:
                page.update(pred, labels, sequence=name)
        return counted if here else {name: self._count_page(page, name) for name in dict.fromkeys(_ids(sequence))}

    def _lies_here(self, maps: LabelMaps) -> bool:
        """Whether all maps are on the GPU on which the state is."""
        listed = maps if isinstance(maps, (list, tuple)) else [maps]
        return all(isinstance(item, Tensor) and item.is_cuda and item.device == self.counts.device for item in listed)

    def _page(self, *sequences: str) -> FlameMeter:
        """Return a meter that knows of some sequences what this metric knows, but none of their counts."""
        self._require_unsynced()
        index = self._index()
        known = [name for name in sequences if isinstance(name, str) and name in index.rows]
        held = {name: Counts.zero(self._config.num_classes) for name in known}
        page = FlameMeter.from_counts(
            self._config, held, closed=index.closed & set(held), by_schedule=index.by_schedule
        )
        for name in sequences:
            page.require_open(name)
        return page

    def _count_page(self, page: FlameMeter, sequence: str) -> TensorCounts:
        return TensorCounts.from_counts(page.sequences[sequence], self.counts.device)

    def _add(self, counted: Mapping[str, TensorCounts], page: FlameMeter) -> None:
        """Add counts to the rows of their sequences, and take over what their page knows of them now."""
        index = self._index()
        new = [name for name in counted if name not in index.rows]
        rows = {name: row for row, name in enumerate([*index.rows, *new])} if new else index.rows
        for name, added in counted.items():
            self._add_to_row(rows[name], added)
        after = replace(index, rows=rows, closed=index.closed | page.closed, by_schedule=page.by_schedule)
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
        if self._index_read is None:
            self._index_read = SequenceIndex.from_tensor(self.sequence_index)
        return self._index_read

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
        return self._as_tensor(self.to_meter().compute())

    def result(self) -> FlameResult:
        """Return the result of all ranks with counts per sequence; errors and warnings are those of :meth:`compute`."""
        synced = self._is_synced
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync and not synced, should_unsync=not synced
        ):
            return self.to_meter().compute()

    def to_meter(self) -> FlameMeter:
        """Return a meter with the counts of this rank; while the metric is synced, with those of all ranks.

        Raises
        ------
        LabelError
            If labels or scores were wrong that were counted on a GPU.
        """
        return meter_of({name: getattr(self, name) for name in self._defaults})

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
        total = self.to_meter()
        total.merge(meter_of(check_state(incoming_state, self._config)))
        self._take(state_of(total, self.counts.device))

    def _sync_dist(
        self, dist_sync_fn: Callable[..., Any] | None = gather_all_tensors, process_group: Any | None = None
    ) -> None:
        self._take(state_of(self._merge_from_ranks(self.to_meter, dist_sync_fn, process_group), self.counts.device))

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

    def __getstate__(self) -> dict[str, Any]:
        self._drop_spare_rows()
        return super().__getstate__()

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # as in torchmetrics
        """Return the states to save, and nothing of other metrics around."""
        self._drop_spare_rows()
        return super().state_dict(*args, **kwargs)

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
            device = self.counts.device
            self._take({name: value if name in HOST_STATES else value.to(device) for name, value in state.items()})
            self._note_update()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _wrap_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """Keep ``update`` out of a step that ``torch.compile`` compiles: it counts on the host, or by small kernels."""
        return run_eagerly(super()._wrap_update(update))

    def set_dtype(self, dst_type: str | torch.dtype) -> FlameMetric:
        """Change nothing, as ``half`` and ``double`` do: counts are int64, and ``compute`` returns float32."""
        return self

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = ()) -> torch.nn.Module:
        self._computed = None  # would be cast with the module
        return super()._apply(fn, exclude_state=(*exclude_state, *HOST_STATES))


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
