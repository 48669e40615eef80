"""Scoring a trained network: the test videos are counted at every offset, each into a journal as soon as it is done.

The journal lies beside the checkpoint of the training, and says of what its counts are: of these weights, with this
precision. Recipe and seed have done to a count what they can once the weights are there, and latency and stream only
ask the counts, so of those the reach of the bank stands for all. Beside the counts of a video stands the fingerprint of
all that was read for them, label maps and frames to the byte. Whoever resumes reads them again, which costs far less
than to run the network again. Counts of anything else are dropped, and made again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric._version import __version__
from flame_metric.core.files import reading
from flame_metric.core.labels import LabelMaps
from flame_metric.data.videos import OnAccess, VideoDataset, VideoSequence
from flame_metric.errors import StateError, quoted
from flame_metric.jobs.journal import Journal
from flame_metric.networks.network import fill_bank, frames_read
from flame_metric.scores.bank import OffsetBank
from flame_metric.torch.ranks import this_rank

__all__ = ["count_videos"]

_JOURNAL = "scores.jsonl"  # beside the files of the training
_RECORD = "counted test video"
_IMAGES, _LABELS = "frames", "targets"  # of a video


def count_videos(
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
        As :func:`~flame_metric.networks.network.fill_bank` takes them.
    empty : callable
        Makes an empty bank.
    about : mapping of str to JSON values
        What can move a count, beside the videos and the bank.
    folder : Path or None
        For the journal; None: nothing is kept.
    progress : callable
        Called with (videos done, videos of this rank) after each that was counted, or whose counts the journal had.

    Raises
    ------
    LabelError, ShapeError
        If predictions and labels do not belong together.
    DatasetError
        If a file cannot be read, or the journal cannot be written.
    StateError
        If the journal is damaged, or another process writes it.
    """
    ranks = this_rank()

    def share() -> OffsetBank:
        counting = _Counting(predict, empty, frames, progress)
        videos = test.sequences[ranks.rank :: ranks.number]
        if folder is None:
            return counting.count(videos, None)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (_JOURNAL if ranks.number == 1 else f"{_JOURNAL}.{ranks.rank + 1}-of-{ranks.number}")
        of = {"version": __version__, "bank": _digest(empty().to_bytes()), "videos": _names(test), **about}
        with Journal(path, of, resume=True, replace=True) as journal:
            return counting.count(videos, journal)

    if ranks.number == 1:
        return share()
    bank, *others = (OffsetBank.from_bytes(content) for content in ranks.from_all(lambda: share().to_bytes()))
    for other in others:
        bank.merge(other)
    return bank


@dataclass(frozen=True)
class _Counting:
    """How videos are counted, as :func:`count_videos` takes it."""

    predict: Callable[[npt.NDArray[np.uint8]], LabelMaps]
    empty: Callable[[], OffsetBank]
    frames: int
    progress: Callable[[int, int], object]

    def count(self, videos: Sequence[VideoSequence], journal: Journal | None) -> OffsetBank:
        """Return a bank of what the journal has of the videos, and of the others, which it then has too."""
        bank = self.empty()
        kept = {} if journal is None else journal.records
        done = 0
        trusted = set()
        for video in videos:
            if video.name in kept and kept[video.name].get("fingerprint") == self._fingerprint(_Read(video)):
                trusted.add(video.name)
                done += 1
                self.progress(done, len(videos))
        if journal is not None:
            journal.keep_only(trusted)
            for name, record in journal.records.items():
                _restore(bank, name, record, journal.path)
        for video in videos:
            if video.name in trusted:
                continue
            alone, read = self.empty(), _Read(video)
            fill_bank(alone, self.predict, read.video, frames=self.frames)
            if journal is not None:
                counts = base64.b64encode(alone.to_bytes()).decode("ascii")
                journal.add(video.name, {"fingerprint": self._fingerprint(read), "bank": counts})
            bank.add_counts(alone.counts_of(video.name), sequence=video.name)
            done += 1
            self.progress(done, len(videos))
        return bank

    def _fingerprint(self, read: _Read) -> str:
        """Return a digest of all that a video's counts are of: what is known of it, its label maps, its frames."""
        video = read.video
        seen = frames_read(video.labelled, max_offset=self.empty().max_offset, frames=self.frames)
        names = [video.frame_name(index) for index in range(len(video.frames))]
        labels, images = (
            [read.digest(kind, index) for index in of] for kind, of in ((_LABELS, video.labelled), (_IMAGES, seen))
        )
        about = [video.name, str(video.fps), names, list(video.labelled), labels, seen, images]
        return _digest(json.dumps(about).encode())


class _Read:
    """A video that remembers what was read of it, as digests: what is counted need not be read again to be named."""

    def __init__(self, video: VideoSequence) -> None:
        self._digests: dict[tuple[str, int], str] = {}
        labelled = video.labelled

        def reading_of(kind: str, items: Sequence[Any]) -> Callable[[int], Any]:
            def read(index: int) -> Any:
                item = items[index]
                values = np.asarray(item)
                self._digests[kind, index] = _digest(f"{values.dtype} {values.shape} ".encode() + values.tobytes())
                return item

            return read

        self.video = replace(
            video,
            frames=OnAccess(reading_of(_IMAGES, video.frames), len(video.frames)),
            targets=OnAccess(reading_of(_LABELS, video.targets), len(video.targets), labelled),
        )

    def digest(self, kind: str, index: int) -> str:
        """Return the digest of a frame or a label map, which is read if it was not yet."""
        if (kind, index) not in self._digests:
            getattr(self.video, kind)[index]
        return self._digests[kind, index]


def _restore(bank: OffsetBank, name: str, record: Mapping[str, Any], path: Path) -> None:
    try:
        with reading(_RECORD):
            alone = OffsetBank.from_bytes(base64.b64decode(record["bank"], validate=True))
            bank.add_counts(alone.counts_of(name), sequence=name)
    except StateError as error:
        raise StateError(
            f"{path}: video {quoted(name)}: {error}; without the file its videos are counted anew"
        ) from error


def _names(test: VideoDataset) -> str:
    """Return a digest of what the classes and the videos are called; what is in each stands beside its counts."""
    names = [list(test.class_names), test.ignore_index, [video.name for video in test.sequences]]
    return _digest(json.dumps(names).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
