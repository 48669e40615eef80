"""LatencyAware: any torchmetrics metric, given the prediction that is on screen instead of that of the same frame.

At time step j the prediction and the ground truth of frame j come in. The prediction waits, and the metric gets ::

    metric.update(prediction of frame source(j), target of frame j)

With a fixed offset, source(j) = j - k (Eq. 4-5); a :class:`~flame_metric.Schedule` gives it for a stream with drops or
queues. Nothing is counted at a frame without a target, nor while nothing is on screen yet; time passes all the same.

The wrapped metric knows nothing of time, and this wrapper nothing of pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from inspect import Parameter
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.wrappers.abstract import WrapperMetric

from flame_metric.core.clock import Fps, Milliseconds
from flame_metric.errors import ConfigError, FlameWarning, StateError
from flame_metric.scores.config import ScoreConfig, make_config
from flame_metric.scores.pairs import Line
from flame_metric.torch.delay import DelayLines, Schedules
from flame_metric.torch.eager import run_eagerly
from flame_metric.torch.rows import copy_tensors, has_rows, join_rows, map_tensors, rows_of

__all__ = ["LatencyAware"]

_BY_SCHEDULE = -1
"""The frame offset in the state of a wrapper that follows a schedule."""


class LatencyAware(WrapperMetric):
    """Make a metric, or a collection of them, count latency.

    Give one of ``frame_offset``, ``latency_ms`` with ``fps``, or ``schedule``.

    Parameters
    ----------
    metric : torchmetrics.Metric or torchmetrics.MetricCollection
        Anything with ``update(preds, target, ...)``; a FlameMetric with the frame offset of this wrapper.
        An empty copy of it is used, as the attribute ``metric``; the one given stays as it is.
    frame_offset : int, optional
        k >= 0: at each frame the prediction of k frames before is on screen.
    latency_ms, fps : float, optional
        Latency of one prediction in milliseconds and frames per second, from which k follows (Eq. 5).
    schedule : Schedule, or mapping or callable from a sequence's id to its Schedule, optional
        What is on screen at each frame, such as the answer of :func:`~flame_metric.simulate_stream`; one Schedule
        alone holds for every sequence.
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
        If the metric is none, or counts latency already; if not exactly one of the three is given, or it is out of
        range.

    Notes
    -----
    *Memory.* Each sequence in progress holds copies of the predictions that are still to be shown, k of them, on their
    device: give labels rather than logits where the metric takes both. :meth:`end` frees those of a sequence, and
    :meth:`reset` all. Of more than ``max_sequences``, the one that has waited longest for its next time step is given
    up, and only its id is kept: if it comes again, that is a StateError, never a wrong score.

    *States.* ``state_dict`` (once ``persistent(True)`` was called), ``merge_state`` and ``sync`` handle what was
    counted, and refuse another offset. Predictions that wait are only in ``clone`` and ``pickle``.

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
        _check_inputs(metric)
        if any(isinstance(part, LatencyAware) for part in parts):
            raise ConfigError("`metric` is latency-aware already, expected one that compares aligned pairs")
        if any(isinstance(getattr(part, "config", None), ScoreConfig) for part in parts):
            self._offset = _check_offset(frame_offset, latency_ms, fps, schedule)
            own = metric.frame_offset if isinstance(getattr(metric, "config", None), ScoreConfig) else "inside"
            if own != self._offset:
                raise ConfigError(
                    f"`metric` is a FlameMetric that signs its own frame offset, {own}, but {self._offset} is counted "
                    "here, expected the same `latency_ms` and `fps`, or `frame_offset`, for both; by a schedule, or in "
                    "a collection, give whole clips to its `update_sequence`"
                )
        self._offset = _check_offset(frame_offset, latency_ms, fps, schedule)
        self._lines = DelayLines(self._offset, schedule, max_sequences)
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

    def update(self, preds: Any, target: Any = None, *, sequence: str | Sequence[str] = "", **rest: Any) -> None:
        """Let one time step pass: one frame of a sequence, or of several parallel ones.

        Never several frames of one sequence: a batch axis without a list of ids goes to the metric as it is. An id that
        is new starts at frame 0 with nothing on screen. Sequences may come in turn or interleaved, each in its own
        order. If anything is raised, no sequence has moved on. With a single metric, one that counts nothing when it
        raises, the step has not happened: repeat it. Metrics of a collection that come before the one that raises have
        counted it already: :meth:`reset`, or the step is there twice.

        Parameters
        ----------
        preds : Tensor, or any object that the metric takes
            The prediction of this frame; None where the network was not run. It waits as a copy without gradients, so
            a network may overwrite its output; at k = 0 it goes on as it is.
        target : Tensor, or any object that the metric takes, optional
            This frame's ground truth; None where it is unlabelled.
        sequence : str, or list of B str
            The id of the sequence. With a list, ``preds``, ``target`` and all in ``rest`` but numbers and texts have a
            row for each id: tensors and dicts of them along their first axis, lists and tuples one item each.
            ``target`` may then be a list with None for an unlabelled frame. The metric gets the rows that are ready as
            one batch.
        **rest
            More of this frame's for the metric, such as ``indexes``. A metric whose ``update`` has a parameter
            ``sequence`` gets the id, or the list of the ids of its rows.

        Raises
        ------
        ConfigError
            If an id is not text or is there twice, or the schedule says nothing of a labelled frame.
        ShapeError
            If there are not as many rows as ids, or rows of one batch differ in shape.
        StateError
            If a prediction that is on screen is None, the sequence was given up, or the metric is synced.
        """
        self._step(self.metric.update, preds, target, sequence, rest)

    @torch.jit.unused
    @run_eagerly
    def forward(self, preds: Any, target: Any = None, *, sequence: str | Sequence[str] = "", **rest: Any) -> Any:
        """Let one time step pass as :meth:`update` does, and return the metric of this step.

        Returns
        -------
        Any
            What the wrapped metric's ``forward`` returns for the pairs of this step; NaN in its place where nothing was
            counted.
        """
        value = self._step(self.metric, preds, target, sequence, rest)
        self._forward_cache = self._value_of_nothing() if value is None else value
        return self._forward_cache

    def _value_of_nothing(self) -> Any:
        """Return NaN in the form in which the wrapped metric returns its values."""
        if self._nothing is None:
            empty = self.metric.clone()
            empty.reset()
            for part in _metrics_in(empty):
                part.sync_on_compute = part._to_sync = False
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = empty.compute()
            except Exception:  # of metrics that cannot be computed of nothing
                names = empty.keys() if isinstance(empty, MetricCollection) else ()
                found = dict.fromkeys(names, torch.zeros(())) if names else torch.zeros(())
            self._nothing = map_tensors(lambda value: torch.full(value.shape, float("nan")), found)
        return map_tensors(lambda value: value.to(self.device), self._nothing)

    def _step(self, count: Callable[..., Any], preds: Any, target: Any, sequence: Any, rest: dict[str, Any]) -> Any:
        """Pair up, count, and only then move on."""
        self._require_unsynced()
        ids = _check_ids(sequence)
        alone = isinstance(sequence, str)
        pred_of = [preds] if alone else rows_of("preds", preds, len(ids))
        target_of = [target] if alone else rows_of("target", target, len(ids))
        labelled = [row for row, found in enumerate(target_of) if found is not None]
        steps = [
            _time_step(name, self._lines.line(name), pred, labelled=found is not None)
            for name, pred, found in zip(ids, pred_of, target_of, strict=True)
        ]
        on_screen = {row: shown for row, (shown, _) in enumerate(steps) if shown is not None}
        ready = list(on_screen)
        value = None
        if ready and alone:
            value = count(on_screen[0], target, **rest, **self._sequence_option(sequence))
        elif ready:
            pairs = join_rows([on_screen[row] for row in ready]), join_rows([target_of[row] for row in ready])
            options = self._sequence_option([ids[row] for row in ready])
            value = count(*pairs, **_rows_of_rest(rest, len(ids), ready), **options)
        unshown: Callable[..., None] | None = getattr(self.metric, "update_unshown", None)
        if unshown is not None:  # a FlameMetric signs its coverage
            for row in set(labelled) - set(ready):
                unshown(target_of[row], sequence=ids[row])
        self._lines.move_on({name: line for name, (_, line) in zip(ids, steps, strict=True)})
        self.labelled = self.labelled + len(labelled)
        self.shown = self.shown + len(ready)
        self._update_count += 1
        return value

    def _sequence_option(self, sequence: str | list[str]) -> dict[str, Any]:
        """Hand ids on to a metric that has a parameter for them."""
        takes = any("sequence" in part._update_signature.parameters for part in _metrics_by_name(self.metric).values())
        return {"sequence": sequence} if takes else {}

    def end(self, sequence: str = "") -> None:
        """End a sequence: free what waits, and let its id start anew at frame 0. Scores stay as they are.

        Call it where the same id comes again without a :meth:`reset` between, such as the default ``""`` for the next
        clip. Nothing happens if the id is not in progress.

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
        ...         metric.update(depth, depth)
        ...     metric.end()
        >>> metric.compute()
        tensor(1.)
        """
        self._lines.end(sequence)

    def compute(self) -> Any:
        """Return what the wrapped metric computes of all pairs so far, of all processes; time can go on.

        Warns
        -----
        FlameWarning
            If labelled time steps came, and nothing was on screen at any.
        """
        labelled = int(self.labelled)
        if labelled and not int(self.shown):
            message = f"nothing was counted: no prediction is on screen at any of {labelled} labelled time step(s)"
            warnings.warn(message, FlameWarning, stacklevel=2)
        return self.metric.compute()

    # ── the rest of a metric's surface: what the wrapped one answers, or both together ──

    def reset(self) -> None:
        """Forget what was counted, and end all sequences."""
        super().reset()
        self.metric.reset()
        self._lines.clear()

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add what another wrapper has counted, or nothing of it if that fails. What waits in it is not taken over.

        Raises
        ------
        StateError
            If it is none, has another offset, or wraps a collection of other metrics; or if this one is synced.
        RuntimeError
            If the wrapped metric cannot be merged.
        """
        self._require_unsynced()
        if not isinstance(incoming_state, LatencyAware):
            raise StateError(f"`incoming_state` is {type(incoming_state).__name__}, expected a LatencyAware")
        _same_offset(torch.stack([self.offset, incoming_state.offset.to(self.offset.device)]))
        merged = self.metric.clone()  # one of several metrics may refuse
        mine, theirs = _metrics_by_name(merged), _metrics_by_name(incoming_state.metric)
        if mine.keys() != theirs.keys():
            raise StateError(f"the collections hold {sorted(mine)} and {sorted(theirs)}, expected the same metrics")
        for name, metric in mine.items():
            metric.merge_state(theirs[name])
            metric._computed = None  # otherwise a value computed before would be given again
        self.metric = merged
        self.labelled = self.labelled + incoming_state.labelled.to(self.labelled.device)
        self.shown = self.shown + incoming_state.shown.to(self.shown.device)

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
        own: dict[str, Any] = {name: kwargs[name] for name in ("preds", "target", "sequence") if name in kwargs}
        return {**filtered, **own}

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        saved = state_dict.pop(f"{prefix}offset", None)
        if saved is not None and state_dict.get(f"{prefix}labelled", 1):  # of another offset it has to be empty
            _same_offset(
                torch.stack([self.offset, saved.to(self.offset.device)]),
                "; call reset() before saving, or leave it out",
            )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _wrap_update(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """Keep ``update`` out of a step that ``torch.compile`` compiles: what waits is not part of a graph."""
        return run_eagerly(super()._wrap_update(update))

    def _apply(self, fn: Callable[..., Any], exclude_state: Sequence[str] = "") -> LatencyAware:
        before = self.device
        super()._apply(fn, exclude_state)
        if self.device != before:
            self._lines.move_to(self.device)
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


def _check_ids(sequence: str | Sequence[str]) -> list[str]:
    ids = [sequence] if isinstance(sequence, str) else sequence
    if not isinstance(ids, list | tuple) or not ids or not all(isinstance(name, str) for name in ids):
        raise ConfigError(f"`sequence` is {sequence!r}, expected a text id, or a list of them for parallel streams")
    if len(set(ids)) != len(ids):
        raise ConfigError(f"`sequence` is {sequence!r}, expected each id once: a time step is one frame of each")
    return list(ids)


def _time_step(sequence: str, line: Line[Any], pred: Any, *, labelled: bool) -> tuple[Any, Line[Any]]:
    """Return the prediction to compare with a frame's target, None while there is none yet, and the line after it."""
    frame, is_shown_later = line.frame, line.last_use > line.frame
    shown, after = line.step(copy_tensors(pred) if is_shown_later else pred, labelled=labelled)
    for source, found in shown.items():
        if found is None:
            raise StateError(
                f"the prediction of frame {source} of sequence {sequence!r} is None, but is on screen at frame {frame}"
            )
    return next(iter(shown.values()), None), after


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
