"""A network on a data set: its latency here, and its scores with that latency.

Which frames it runs on follows from the scores: on every frame of a video that is labelled throughout, once; of a clip
with a single label, on that frame (static), on the one k frames before it (FLAME) and on the one that a stream would
show. A bank asks for all offsets, so for all frames within its reach.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_kind
from flame_metric.core.clock import Milliseconds
from flame_metric.data.folders import Clip, Frame
from flame_metric.data.videos import VideoDataset, VideoSequence
from flame_metric.errors import DatasetError, blaming
from flame_metric.jobs.evaluate import Job, evaluate_clips
from flame_metric.jobs.network_source import NetworkSource, OnOutput
from flame_metric.jobs.pipeline import Progress
from flame_metric.jobs.plan import Plan
from flame_metric.jobs.request import Question
from flame_metric.latency.measure import measure_latency
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.networks.network import Network, input_frames, read_input, stack_frames
from flame_metric.scores.evaluation import Evaluation

__all__ = ["TIMED_FRAMES", "evaluate_network", "hardware", "measure_network", "timed_frames"]

TIMED_FRAMES = 16
"""Frames that a latency is measured on, in turn."""


def evaluate_network(
    network: Network,
    dataset: VideoDataset,
    *,
    latency_ms: Milliseconds | None = None,
    frame_offset: int | None = None,
    trace: LatencyTrace | None = None,
    stream: StreamConfig | None = None,
    seed: int = 0,
    before_first: str = "skip",
    max_offset: int | None = None,
    keep_bank: bool = False,
    device: str | None = None,
    outputs: Sequence[OnOutput] = (),
    jobs: int = 1,
    progress: Progress | None = None,
    journal: str | os.PathLike[str] | None = None,
    resume: bool = False,
    shard: tuple[int, int] | None = None,
    on_error: str = "stop",
    about: Mapping[str, Any] = MappingProxyType({}),
) -> Evaluation:
    """Run a network on the frames that its scores need, and score it.

    Parameters
    ----------
    network : Network
    dataset : VideoDataset
        Its videos have one frame rate.
    latency_ms, frame_offset, trace, stream, seed, before_first, max_offset, keep_bank
        As :func:`~flame_metric.jobs.evaluate.evaluate_folders` takes them.
    device : str, optional
        Hardware the latency belongs to, for the signature; default: what the trace says.
    jobs : int
        Threads that decode and count, >= 1. The numbers do not depend on it.
    outputs : sequence of callable
        Called with (video, number of the frame, label map (H, W)) for each frame that the network ran on, from any of
        the threads. Labels are 0..C-1, and C for void.
    progress : callable, optional
        Called with (frames done, all frames, the FLAME score so far).
    journal, resume, shard, on_error
        As :class:`~flame_metric.jobs.evaluate.Job` has them.
    about : mapping of str to JSON values
        What else tells this network from others, such as a digest of its weights. A journal that is gone on with, and
        parts that are merged, have to be of one network: its name and what is given here are compared, nothing else.

    Returns
    -------
    Evaluation

    Raises
    ------
    ConfigError
        If an option is out of range, or videos differ in frame rate.
    DatasetError
        If a file is missing or damaged, no video has labels, or k reaches beyond the first frame of a video with one
        label.
    LabelError, ShapeError
        If the network's outputs are no label maps of the labels' classes and size.

    Examples
    --------
    >>> from flame_metric.data.registry import open_dataset
    >>> from flame_metric.latency.runner import Runner
    >>> network = Network("brightness", Runner(lambda frame: frame[..., 0] // 32))
    >>> videos = open_dataset("synthetic:videos=2,num_frames=4,height=32,width=64")
    >>> found = evaluate_network(network, videos, latency_ms=76)
    >>> found.flame.frame_offset, found.flame.num_pairs
    (2, 4)
    """
    check_kind("network", network, Network, "a Network")
    check_kind("dataset", dataset, VideoDataset, "a VideoDataset")
    question = Question.of(
        dataset.num_classes,
        fps=dataset.fps,
        latency_ms=latency_ms,
        frame_offset=frame_offset,
        trace=trace,
        stream=stream,
        seed=seed,
        before_first=before_first,
        max_offset=max_offset,
        keep_bank=keep_bank,
        ignore_index=dataset.ignore_index,
        class_names=dataset.class_names,
        device=hardware(trace) if device is None and trace is not None else device,
    )
    job = Job(jobs=jobs, progress=progress, journal=journal, resume=resume, shard=shard, on_error=on_error)
    videos = {video.name: video for video in dataset.sequences if video.labelled}
    if not videos:
        raise DatasetError(f"{dataset.name}: holds no labelled frame in {len(dataset.sequences)} video(s)")
    plan = question.plan(dataset.name, [_clip(video) for video in videos.values()], has_step=False)
    notes = [*plan.check(), *_remarks(dataset, plan, question)]
    source = NetworkSource(network, videos, question.config.space, outputs, job.skip)
    about = {"network": network.name, "frames": network.frames, "data": dataset.name, **about}
    return evaluate_clips(question, plan, source, job, notes=notes, about=about)


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


def hardware(trace: LatencyTrace) -> str | None:
    """Return what a trace says that it was measured on: a GPU's name, or else a processor's."""
    device = trace.metadata.get("device")
    found = trace.metadata.get("processor") if device in (None, "cpu") else device
    return found if isinstance(found, str) else None


def _clip(video: VideoSequence) -> Clip:
    labelled = frozenset(video.labelled)
    names = [video.frame_name(index) for index in range(len(video.frames))]
    frames = tuple(
        Frame(
            index,
            name,
            pred=f"the prediction of frame {name}",
            label=f"the labels of frame {name} of {video.name}" if index in labelled else None,
        )
        for index, name in enumerate(names)
    )
    return Clip(video.name, frames, None)


def _remarks(dataset: VideoDataset, plan: Plan, question: Question) -> list[str]:
    needed = sum(len(clip.last_use) for clip in plan.clips)
    there = sum(len(video.frames) for video in dataset.sequences)
    remarks = [f"The network ran on {needed:,} of {there:,} frames."]
    if unlabelled := len(dataset.sequences) - len(plan.clips):
        remarks.append(f"{unlabelled} video(s) have no labels and were left out.")
    if question.stream is not None and all(len(clip.labelled) == 1 for clip in plan.clips):
        remarks.append(
            "Every clip has one label: the streaming score is that of streams which begin with the clip, at one phase."
        )
    return remarks
