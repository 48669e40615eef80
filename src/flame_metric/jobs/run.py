"""A whole run: measure the latency of a network, score it with that latency, keep its outputs, and audit all that."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from flame_metric.core.checks import check_kind
from flame_metric.core.clock import Milliseconds, milliseconds_to_ns, offset_of_ns
from flame_metric.core.counting import LabelSpace
from flame_metric.core.records import reading
from flame_metric.data.videos import VideoDataset
from flame_metric.errors import ConfigError, StateError
from flame_metric.jobs.audit import Audit, Auditor
from flame_metric.jobs.journal import is_begun, read_journal
from flame_metric.jobs.network_evaluation import evaluate_network, measure_network, timed_frames
from flame_metric.jobs.network_source import OnOutput
from flame_metric.jobs.outputs import LabelMapFiles, OverlayFiles, chosen_frames, output_folder
from flame_metric.jobs.request import Question
from flame_metric.latency.trace import LatencyTrace
from flame_metric.networks.network import Network
from flame_metric.scores.evaluation import Evaluation, Interrupted

__all__ = ["NetworkRun", "kept_latency", "measured_latency", "run_network"]

Step = Callable[..., object]
Progress = Callable[..., AbstractContextManager[Step]]
"""From what is counted, such as "frames", to a context manager that yields what is called with (done, all) or with
(done, all, note). With ``background=False`` nothing may happen between these calls, for they are timed."""


@dataclass(frozen=True)
class NetworkRun:
    """What a run found.

    Attributes
    ----------
    evaluation : Evaluation
    trace : LatencyTrace or None
        That was measured or given.
    audit : Audit or None
        If one was asked for.
    """

    evaluation: Evaluation
    trace: LatencyTrace | None = None
    audit: Audit | None = None


def _silent(task: str, *, background: bool = True) -> AbstractContextManager[Step]:
    return nullcontext(lambda done, total, note="": None)


def run_network(
    network: Network,
    dataset: VideoDataset,
    *,
    latency_ms: Milliseconds | None = None,
    frame_offset: int | None = None,
    trace: LatencyTrace | None = None,
    replay: str = "random",
    timing: Mapping[str, Any] | None = None,
    audit: bool = False,
    label_maps: str | os.PathLike[str] | None = None,
    overlays: str | os.PathLike[str] | None = None,
    overlay_frames: Sequence[str] = (),
    progress: Progress = _silent,
    journal: str | os.PathLike[str] | None = None,
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    on_error: str = "stop",
    **options: Any,
) -> NetworkRun:
    """Run a network over a data set.

    Parameters
    ----------
    network : Network
        Such as :func:`~flame_metric.networks.load_network` returns.
    dataset : VideoDataset
    latency_ms, frame_offset, trace
        The delay, as :func:`~flame_metric.jobs.evaluate.evaluate_folders` takes it. Default: it is measured here, on
        frames of the data set, before anything else runs.
    replay : {"random", "call", "frame"}
        How a stream replays what was measured.
    timing : mapping, optional
        Options of :func:`~flame_metric.measure_latency`.
    audit : bool
        Whether to check what was measured (:mod:`flame_metric.jobs.audit`).
    label_maps : str or path, optional
        A new folder for the label maps of all frames that the network runs on.
    overlays : str or path, optional
        A new folder for the paper's figures 4 and 5 of some frames.
    overlay_frames : sequence of str
        ``"<video>/<frame>"``. Default: one of each of up to four videos.
    progress : callable, optional
        Shows how far the run is.
    journal, resume, shard, on_error
        As :class:`~flame_metric.jobs.evaluate.Job` has them. A run that goes on takes the latency from its journal.
        Shards need a latency that is given: what each would measure for itself is another one.
    **options
        As :func:`~flame_metric.jobs.network_evaluation.evaluate_network` takes them.

    Raises
    ------
    ConfigError, DatasetError, LabelError, ShapeError
        If options, network, data and labels do not fit together.
    OSError
        If outputs cannot be written.

    Examples
    --------
    >>> from flame_metric.data.registry import open_dataset
    >>> from flame_metric.latency.runner import Runner
    >>> network = Network("brightness", Runner(lambda frame: frame[..., 0] // 32))
    >>> found = run_network(network, open_dataset("synthetic:videos=2,num_frames=9,height=32,width=64"))
    >>> len(found.trace), found.evaluation.flame.frame_offset
    (200, 1)
    """
    check_kind("network", network, Network, "a Network")
    check_kind("dataset", dataset, VideoDataset, "a VideoDataset")
    rate = dataset.fps
    given = [value for value in (latency_ms, frame_offset, trace) if value is not None]
    _check(bool(given), audit=audit, resume=resume, shard=shard)
    if overlay_frames and overlays is None:
        raise ConfigError("`overlay_frames` is given without `overlays`, expected a folder for them too")
    if not given and journal is not None and is_begun(journal) and not resume:  # a new measurement is another one
        raise StateError(f"{journal}: is there already; go on with it (--resume), or give another journal")
    kept = kept_latency(journal) if resume and journal is not None and not given else None
    into = shard is not None or (resume and journal is not None and is_begun(journal))
    if overlays is not None:  # k is not known yet, but what is wrong anyway is said before anything is timed
        output_folder(overlays, into=into)
        chosen_frames(dataset, overlay_frames, frame_offset=0)
    outputs: list[OnOutput] = []
    if label_maps is not None:
        void = dataset.ignore_index
        outputs.append(LabelMapFiles(label_maps, num_classes=dataset.num_classes, ignore_index=void, into=into))
    auditor, skip = None, on_error == "skip"
    if audit:
        space = LabelSpace(dataset.num_classes, dataset.ignore_index)
        auditor = Auditor(network, timed_frames(dataset, network.frames, skip=skip), space)
        outputs.append(auditor.keep)
    if kept is not None:
        trace = kept.replayed(replay)  # another replay than it was begun with is refused there
    elif not given:
        trace = measured_latency(
            network, dataset, replay=replay, timing=timing, progress=progress, auditor=auditor, skip=skip
        )
    if overlays is not None:
        offset = frame_offset or 0
        if (delay := latency_ms if trace is None else trace.median_ns / 10**6) is not None:
            offset = offset_of_ns(milliseconds_to_ns(delay), rate)
        chosen = chosen_frames(dataset, overlay_frames, frame_offset=offset)
        outputs.append(OverlayFiles(overlays, dataset, frame_offset=offset, chosen=chosen, into=into))
    with progress("frames") as step:
        evaluation = evaluate_network(
            network,
            dataset,
            latency_ms=latency_ms,
            frame_offset=frame_offset,
            trace=trace,
            outputs=outputs,
            progress=step,
            journal=journal,
            resume=resume,
            shard=shard,
            on_error=on_error,
            **options,
        )
    if auditor is None or trace is None:
        return NetworkRun(evaluation, trace)
    try:
        with progress("calls of the audit", background=False) as step:
            return NetworkRun(evaluation, trace, auditor.audit(trace, fps=rate, progress=step))
    except KeyboardInterrupt:
        unfinished = f"{evaluation.incomplete or 'all sequences are scored'}, but the audit was not finished"
        raise Interrupted(replace(evaluation, incomplete=unfinished)) from None


def _check(given: bool, *, audit: bool, resume: bool, shard: tuple[int, int] | None) -> None:
    """Refuse options that contradict a latency that is given, or measured."""
    if audit and given:
        raise ConfigError("an audit is asked for with a latency that is given, expected one that is measured here")
    if audit and resume:
        raise ConfigError("an audit is asked for with `resume`, expected a run in one go: it compares all outputs")
    if shard is not None and not given:
        raise ConfigError(
            "`shard` is given without a latency, expected one for all shards: measure it once (flame-metric latency "
            "--out, or run --save-trace), and give it as a trace to each"
        )


def measured_latency(
    network: Network,
    dataset: VideoDataset,
    *,
    replay: str = "random",
    timing: Mapping[str, Any] | None = None,
    progress: Progress = _silent,
    auditor: Auditor | None = None,
    skip: bool = False,
) -> LatencyTrace:
    """Measure what a run replays.

    Parameters
    ----------
    network, dataset, replay, timing, progress
        As :func:`run_network` takes them.
    auditor : Auditor, optional
        Watches.
    skip : bool
        Whether frames that cannot be read are passed over.

    Raises
    ------
    ConfigError, DatasetError
        If the network fails on a frame, or a frame cannot be read.
    """
    with progress("samples", background=False) as step:
        timed, look = (network, step) if auditor is None else (auditor.timed_network, auditor.between_calls(step))
        return measure_network(timed, dataset, skip=skip, progress=look, **(timing or {})).replayed(replay)


def kept_latency(journal: str | os.PathLike[str]) -> LatencyTrace | None:
    """Return what was measured when a journal was begun; None if that did not come to pass.

    Raises
    ------
    DatasetError
        If it cannot be read.
    StateError
        If it is damaged, or was begun with a latency that was given.
    """
    if not is_begun(journal):
        return None
    configuration, _ = read_journal(journal)
    with reading("journal of a run"):
        latency = Question.from_dict(configuration["question"]).latency
    if not isinstance(latency, LatencyTrace):
        raise StateError(f"{journal}: was begun with a latency that was given, expected the same now")
    return latency
