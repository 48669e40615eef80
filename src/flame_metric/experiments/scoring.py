"""Scoring a trained network: the test videos are counted at every offset, each into a journal as soon as it is done.

The journal lies beside the checkpoint of the training, and says of what its counts are: of these weights, made from
these videos, with this precision. Recipe and seed have done to a count what they can once the weights are there, and
latency and stream only ask the counts, so of those the reach of the bank stands for all. Counts of anything else are
dropped, and made again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric._version import __version__
from flame_metric.bank import OffsetBank
from flame_metric.counting import LabelMaps
from flame_metric.errors import StateError
from flame_metric.experiments.parallel import from_all_ranks
from flame_metric.inference import fill_bank
from flame_metric.journal import Journal
from flame_metric.record import reading
from flame_metric.sequence import VideoDataset, VideoSequence

__all__ = ["counted_videos"]

_JOURNAL = "scores.jsonl"  # beside the files of the training
_RECORD = "counted test video"


def counted_videos(
    test: VideoDataset,
    predict: Callable[[npt.NDArray[np.uint8]], LabelMaps],
    empty: Callable[[], OffsetBank],
    *,
    frames: int,
    about: Mapping[str, Any],
    folder: Path | None,
    progress: Callable[[int, int], object],
) -> OffsetBank:
    """Return a bank of all test videos, which the ranks share, each with a journal of its own.

    Parameters
    ----------
    test : VideoDataset
    predict, frames
        As :func:`~flame_metric.inference.fill_bank` takes them.
    empty : callable
        Makes an empty bank.
    about : mapping of str to JSON values
        What can move a count, beside the videos and the bank.
    folder : Path or None
        For the journal; None: nothing is kept.
    progress : callable
        Called with (videos counted, videos to count) after each.

    Raises
    ------
    LabelError, ShapeError
        If predictions and labels do not belong together.
    DatasetError
        If a file cannot be read, or the journal cannot be written.
    StateError
        If the journal is damaged, or another process writes it.
    """

    def count(video: VideoSequence) -> OffsetBank:
        alone = empty()
        fill_bank(alone, predict, video, frames=frames)
        return alone

    def share(rank: int, ranks: int) -> OffsetBank:
        videos = test.sequences[rank::ranks]
        if folder is None:
            return _filled(empty(), videos, count, None, progress)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (_JOURNAL if ranks == 1 else f"{_JOURNAL}.{rank + 1}-of-{ranks}")
        of = {"version": __version__, "bank": _digest(empty().to_bytes()), "videos": _identity(test), **about}
        with Journal(path, of, resume=True, replace=True) as journal:
            return _filled(empty(), videos, count, journal, progress)

    bank, *others = from_all_ranks(share)
    for other in others:
        bank.merge(other)
    return bank


def _filled(
    bank: OffsetBank,
    videos: Sequence[VideoSequence],
    count: Callable[[VideoSequence], OffsetBank],
    journal: Journal | None,
    progress: Callable[[int, int], object],
) -> OffsetBank:
    """Fill a bank with the videos that the journal has, and with the others, which it then has too."""
    left = [video for video in videos if journal is None or video.name not in journal.records]
    if journal is not None:
        for name, record in journal.records.items():
            _restore(bank, name, record, journal.path)
    for done, video in enumerate(left, start=1):
        alone = count(video)
        if journal is not None:
            journal.add(video.name, {"bank": base64.b64encode(alone.to_bytes()).decode("ascii")})
        bank.add_counts(alone.counts_of(video.name), sequence=video.name)
        progress(done, len(left))
    return bank


def _restore(bank: OffsetBank, name: str, record: Mapping[str, Any], path: Path) -> None:
    try:
        with reading(_RECORD):
            alone = OffsetBank.from_bytes(base64.b64decode(record["bank"], validate=True))
            bank.add_counts(alone.counts_of(name), sequence=name)
    except StateError as error:
        raise StateError(f"{path}: video {name!r}: {error}; without the file its videos are counted anew") from error


def _identity(test: VideoDataset) -> str:
    """Return a digest of all names and rates, and of what stands in the first, the middle and the last video."""
    videos = test.sequences
    plain = [
        [video.name, str(video.fps), list(video.labelled), [video.frame_name(i) for i in range(len(video.frames))]]
        for video in videos
    ]
    parts = [json.dumps([list(test.class_names), test.ignore_index, plain]).encode()]
    for video in (videos[place] for place in sorted({0, len(videos) // 2, len(videos) - 1})):
        for array in (items[frame] for frame in video.labelled[:1] for items in (video.frames, video.targets)):
            values = np.ascontiguousarray(array)
            parts += [f"{values.dtype} {values.shape}".encode(), values.tobytes()]
    return _digest(b"".join(parts))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
