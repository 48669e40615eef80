"""A whole run: measure the latency of a network, score it with that latency, keep its outputs, and audit all that.

Which frames the network runs on follows from the scores: on every frame of a video that is labelled throughout, once;
of a clip with a single label, on that frame (static), on the one k frames before it (FLAME) and on the one that a
stream would show. A bank asks for all offsets, so for all frames within its reach.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_kind
from flame_metric.core.files import reading
from flame_metric.core.labels import LabelSpace
from flame_metric.data.folders import Clip, Frame
from flame_metric.data.videos import VideoDataset, VideoSequence
from flame_metric.errors import ConfigError, DatasetError, StateError, blaming
from flame_metric.jobs.audit import Audit, Auditor
from flame_metric.jobs.evaluate import Job, evaluate_clips, step_remark
from flame_metric.jobs.journal import is_begun, read_journal
from flame_metric.jobs.network_source import NetworkSource, OnOutput
from flame_metric.jobs.outputs import LabelMapFiles, OverlayFiles, chosen_frames, output_folder
from flame_metric.jobs.plan import Plan
from flame_metric.jobs.request import Request, ScoreOptions, check_names, make_request
from flame_metric.latency.conditions import Conditions
from flame_metric.latency.measure import describe_host, measure_latency
from flame_metric.latency.trace import LatencyTrace
from flame_metric.networks.network import Network, input_frames, read_input, stack_frames
from flame_metric.scores.evaluation import Evaluation, Interrupted

__all__ = ["TIMED_FRAMES", "Display", "NetworkRun", "measure_network", "read_latency", "run_network", "timed_frames"]

TIMED_FRAMES = 16
"""Frames that a latency is measured on, in turn."""

Display = Callable[..., AbstractContextManager[Callable[..., object]]]
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


def _show_nothing(task: str, *, background: bool = True) -> AbstractContextManager[Callable[..., object]]:
    return nullcontext(lambda done, total, note="": None)


def run_network(
    network: Network,
    dataset: VideoDataset,
    request: Request | None = None,
    *,
    replay: str = "random",
    timing: Mapping[str, Any] | None = None,
    audit: bool = False,
    label_maps: str | os.PathLike[str] | None = None,
    overlays: str | os.PathLike[str] | None = None,
    overlay_frames: Sequence[str] = (),
    outputs: Sequence[OnOutput] = (),
    about: Mapping[str, Any] = MappingProxyType({}),
    job: Job | None = None,
    display: Display = _show_nothing,
    **options: Unpack[ScoreOptions],
) -> NetworkRun:
    """Run a network over a data set, on the frames that its scores need, and score it.

    Parameters
    ----------
    network : Network
        Such as :func:`~flame_metric.load_network` returns.
    dataset : VideoDataset
        Its videos have one frame rate.
    request : Request, optional
        Which scores are asked for, of the classes and at the rate of the data set.
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
    outputs : sequence of callable
        Called with (video, number of the frame, label map (H, W)) for each frame that the network ran on, from any of
        the threads. Labels are 0..C-1, and C for void.
    about : mapping of str to JSON values
        What else tells this network from others, such as a digest of its weights. A journal from which it resumes, and
        parts that are merged, have to be of one network: its name and what is given here are compared, nothing else.
    job : Job, optional
        How it is carried out. A run that resumes takes the latency from its journal. Shards need a latency that is
        given: what each would measure for itself is another one.
    display : callable, optional
        Shows how far each part of the run is; that of the frames, unless ``job`` has a progress.
    **options
        Instead of ``request``: those of :class:`~flame_metric.jobs.request.Request`, without classes and rate, which
        the data set knows. Where no latency, offset or trace is given, the latency is measured here, on frames of the
        data set, before anything else runs. ``hardware`` is by default what the trace says.

    Raises
    ------
    ConfigError, DatasetError, LabelError, ShapeError
        If options, network, data and labels do not fit together, videos differ in frame rate, a file is missing or
        damaged, no video has labels, or k reaches beyond the first frame of a video with one label.
    OSError
        If outputs cannot be written.

    Examples
    --------
    >>> from flame_metric.data.registry import open_dataset
    >>> from flame_metric.latency.runner import Runner
    >>> network = Network("brightness", Runner(lambda frame: frame[..., 0] // 32))
    >>> videos = open_dataset("synthetic:videos=2,num_frames=9,height=32,width=64")
    >>> found = run_network(network, videos)
    >>> len(found.trace), found.evaluation.flame.frame_offset
    (200, 1)
    >>> run_network(network, videos, latency_ms=76).evaluation.flame.frame_offset
    2
    """
    check_kind("network", network, Network, "a Network")
    check_kind("dataset", dataset, VideoDataset, "a VideoDataset")
    check_names(options, ScoreOptions, job=Job)
    job = job or Job()
    is_measured = request is None and all(options.get(name) is None for name in ("latency_ms", "frame_offset", "trace"))
    _check(not is_measured, audit=audit, resume=job.resume, shard=job.shard)
    if is_measured:  # what is wrong with other options is said before anything is timed
        _request_of(dataset, None, {**options, "latency_ms": 0})
    else:
        request = _request_of(dataset, request, options)
    if overlay_frames and overlays is None:
        raise ConfigError("`overlay_frames` is given without `overlays`, expected a folder for them too")
    is_resumed = job.journal is not None and is_begun(job.journal)
    if is_measured and is_resumed and not job.resume:  # a new measurement is another one
        raise StateError(f"{job.journal}: is there already; resume from it (--resume), or give another journal")
    into = job.shard is not None or (job.resume and is_resumed)
    if overlays is not None:  # k may not be known yet
        output_folder(overlays, into=into)
        chosen_frames(dataset, overlay_frames, frame_offset=0)
    uses = list(outputs)
    if label_maps is not None:
        void = dataset.ignore_index
        uses.append(LabelMapFiles(label_maps, num_classes=dataset.num_classes, ignore_index=void, into=into))
    auditor = None
    if audit:
        space = LabelSpace(dataset.num_classes, dataset.ignore_index)
        auditor = Auditor(network, timed_frames(dataset, network.frames, skip=job.skip), space)
        uses.append(auditor.keep)
    if request is None:
        trace = read_latency(job.journal) if job.resume and job.journal is not None else None
        if trace is None:
            trace = _measure(network, dataset, auditor, display, skip=job.skip, **(timing or {}))
        # another replay than a journal was begun with is refused there
        request = _request_of(dataset, None, {**options, "trace": trace.replayed(replay)})
    if overlays is not None:
        offset = request.config.frame_offset or 0
        chosen = chosen_frames(dataset, overlay_frames, frame_offset=offset)
        uses.append(OverlayFiles(overlays, dataset, frame_offset=offset, chosen=chosen, into=into))
    with display("frames") as step:
        job = job if job.progress is not None else replace(job, progress=step)
        evaluation = _evaluate(network, dataset, request, job, outputs=uses, about=about)
    found = NetworkRun(evaluation, request.latency if isinstance(request.latency, LatencyTrace) else None)
    if auditor is None or found.trace is None:
        return found
    try:
        with display("calls of the audit", background=False) as step:
            return replace(found, audit=auditor.audit(found.trace, fps=dataset.fps, progress=step))
    except KeyboardInterrupt:
        unfinished = f"{evaluation.incomplete or 'all sequences are scored'}, but the audit was not finished"
        raise Interrupted(replace(evaluation, incomplete=unfinished)) from None


def _measure(
    network: Network, dataset: VideoDataset, auditor: Auditor | None, display: Display, **options: Any
) -> LatencyTrace:
    """Measure the latency, watched by an auditor if there is one."""
    with display("samples", background=False) as step:
        timed, look = (network, step) if auditor is None else (auditor.timed_network, auditor.between_calls(step))
        return measure_network(timed, dataset, progress=look, **options)


def _evaluate(
    network: Network,
    dataset: VideoDataset,
    request: Request,
    job: Job,
    *,
    outputs: Sequence[OnOutput],
    about: Mapping[str, Any],
) -> Evaluation:
    videos = {name: parts for name, parts in dataset.recordings.items() if any(part.labelled for part in parts)}
    if not videos:
        raise DatasetError(f"{dataset.name}: holds no labelled frame in {len(dataset.sequences)} video(s)")
    plan = request.plan(dataset.name, [_clip(*recording) for recording in videos.items()], has_step=False)
    notes = [*plan.check(), *_remarks(dataset, plan, request)]
    source = NetworkSource(network, videos, request.config.space, outputs, job.skip, hashed=job.journal is not None)
    about = {"network": network.name, "frames": network.frames, "data": dataset.name, **about}
    conditions = _trace_notes(network, request)
    return evaluate_clips(request, plan, source, job, notes=notes, conditions=conditions, about=about)


def _trace_notes(network: Network, request: Request) -> tuple[str, ...]:
    """Say where the latency was measured under other conditions than those under which the network runs here."""
    if not isinstance(request.latency, LatencyTrace):
        return ()
    with network.runner.context():  # which sets what is described
        settings = {**describe_host(), **network.runner.timer.describe(), **network.runner.describe()}
    here = Conditions.from_metadata({**settings, "boundary": network.runner.boundary})
    return Conditions.of_trace(request.latency).differences(here)


def _request_of(dataset: VideoDataset, request: Request | None, options: ScoreOptions) -> Request:
    trace = options.get("trace")
    if request is None and trace is not None and options.get("hardware") is None:
        options = {**options, "hardware": _hardware_of(trace)}
    return make_request(
        request,
        options,
        num_classes=dataset.num_classes,
        fps=dataset.fps,
        ignore_index=dataset.ignore_index,
        class_names=dataset.class_names,
    )


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


def read_latency(journal: str | os.PathLike[str]) -> LatencyTrace | None:
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
        latency = Request.from_dict(configuration["question"]).latency
    if not isinstance(latency, LatencyTrace):
        raise StateError(f"{journal}: was begun with a latency that was given, expected the same now")
    return latency


def measure_network(network: Network, dataset: VideoDataset, *, skip: bool = False, **options: Any) -> LatencyTrace:
    """Measure the latency of a network on frames of a data set: from having a frame to having its label map.

    Parameters
    ----------
    network : Network
    dataset : VideoDataset
        Up to `TIMED_FRAMES` frames of the most frequent size are used in turn.
    skip : bool
        Whether frames that cannot be read are left out.
    **options
        As :func:`~flame_metric.measure_latency` takes them.

    Raises
    ------
    ConfigError, DatasetError
        If the network fails on a frame, or a frame cannot be read.

    Examples
    --------
    >>> from flame_metric.data.registry import open_dataset
    >>> from flame_metric.latency.runner import Runner
    >>> network = Network("brightness", Runner(lambda frame: frame[..., 0] // 32))
    >>> trace = measure_network(network, open_dataset("synthetic:videos=2,height=32,width=64"), samples=50)
    >>> len(trace), trace.metadata["network"]
    (50, 'brightness')
    """
    images = [image for _, _, image in timed_frames(dataset, network.frames, skip=skip)]
    metadata = {"network": network.name, "data": dataset.name, **options.pop("metadata", {})}
    with blaming(f"{network.name} failed on a frame of {' x '.join(map(str, images[0].shape))}"):
        return measure_latency(network.runner, images, metadata=metadata, min_inputs=min(4, len(images)), **options)


def timed_frames(
    dataset: VideoDataset, frames: int = 1, number: int = TIMED_FRAMES, *, skip: bool = False
) -> list[tuple[VideoSequence, int, npt.NDArray[np.uint8]]]:
    """Return inputs spread over a data set, shuffled, of their most frequent size: video, number of the frame, input.

    Inputs that are alike, as where a camera stands still, come once.

    Parameters
    ----------
    dataset : VideoDataset
    frames : int
        Input frames of the network.
    number : int
        How many, at most.
    skip : bool
        Whether frames that cannot be read are left out, unless it is all of them.
    """
    places = [(video, frame) for video in dataset.sequences for frame in video.labelled]
    if not places:
        raise DatasetError(f"{dataset.name}: holds no labelled frame in {len(dataset.sequences)} video(s)")
    chosen = dict.fromkeys(index * len(places) // number for index in range(number))
    distinct: dict[tuple[Any, bytes], tuple[VideoSequence, int, npt.NDArray[np.uint8]]] = {}
    fault: DatasetError | None = None
    for index in chosen:
        video, frame = places[index]
        try:
            read = read_input(frame, frames, video.frames.__getitem__, {})
            image = stack_frames(read, input_frames(frame, frames))
        except DatasetError as error:
            if not skip:
                raise
            fault = error
            continue
        distinct.setdefault((image.shape, image.tobytes()), (video, frame, image))
    found = list(distinct.values())
    if not found and fault is not None:
        raise fault
    size, _ = Counter(image.shape for *_, image in found).most_common(1)[0]
    shuffled = np.random.default_rng(0).permutation(len(found)).tolist()
    return [found[index] for index in shuffled if found[index][-1].shape == size]


def _hardware_of(trace: LatencyTrace) -> str | None:
    """Return what a trace says that it was measured on: a GPU's name, or else a processor's."""
    device = trace.metadata.get("device")
    found = trace.metadata.get("processor") if device in (None, "cpu") else device
    return found if isinstance(found, str) else None


def _clip(name: str, parts: Sequence[VideoSequence]) -> Clip:
    """Return the timeline of a recording; what lies between its parts are holes."""
    frames = []
    for part in parts:
        labelled = frozenset(part.labelled)
        for index in range(len(part.frames)):
            frame = part.frame_name(index)
            label = f"the labels of frame {frame} of {name}" if index in labelled else None
            frames.append(Frame(part.start + index, frame, f"the prediction of frame {frame}", label))
    return Clip(name, tuple(frames), parts[0].step)


def _remarks(dataset: VideoDataset, plan: Plan, request: Request) -> list[str]:
    needed = sum(len(clip.needed.keys() & clip.frames.keys()) for clip in plan.clips)  # nothing is recorded in a hole
    there = sum(len(video.frames) for video in dataset.sequences)
    remarks = [f"The network ran on {needed:,} of {there:,} frames."]
    if remark := step_remark(request.config.fps, [clip.clip.step for clip in plan.clips]):
        remarks.append(remark)
    if unlabelled := len(dataset.recordings) - len(plan.clips):
        remarks.append(f"{unlabelled} video(s) have no labels and were left out.")
    if request.stream is not None and all(len(clip.labelled) == 1 for clip in plan.clips):
        remarks.append(
            "Every clip has one label: the streaming score is that of streams which begin with the clip, at one phase."
        )
    return remarks
