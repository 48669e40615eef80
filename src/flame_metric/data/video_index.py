"""Frames of a video file, found without decoding: when each is shown, and where decoding can begin.

What a container says of its packets is enough: the time at which each is shown, whether decoding can begin at it (a key
frame), and whether it is left out (an edit list). Packets before the first key frame, in the order of the file or in
time, cannot be decoded: they are not frames.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from flame_metric.errors import DatasetError

__all__ = ["VIDEO_FILE", "VideoIndex", "index_video"]

VIDEO_FILE = "a whole video file (MP4, MOV, Matroska, WebM, AVI or MPEG-TS)"
"""What is expected where a file is none, or damaged."""

_CLOCK = re.compile(r"([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,9}(?:\.[0-9]{1,9})?)")  # of Matroska
_CUT_OFF = Fraction(3, 4)  # of a frame: a file that ends so much too early is cut short


@dataclass(frozen=True)
class VideoIndex:
    """Where the frames of a video file are.

    Attributes
    ----------
    times : tuple of int
        When each frame is shown, as the file counts, rising.
    keys : tuple of int
        Times of the frames at which decoding can begin, rising; that may be frames that are left out.
    time_base : Fraction
        Seconds of a count.
    stream : int
        Number of the stream in the file.
    """

    times: tuple[int, ...]
    keys: tuple[int, ...]
    time_base: Fraction
    stream: int = 0

    def key(self, index: int) -> int:
        """Return the time of the key frame from which decoding leads to frame 0..n-1."""
        return self.keys[bisect_right(self.keys, self.times[index]) - 1]

    def start(self, index: int) -> int:
        """Return the first frame that is shown from that key frame on."""
        return bisect_left(self.times, self.key(index))

    def rate(self, stated: Sequence[Fraction | None]) -> Fraction | None:
        """Return the first of the rates that a file states that gives the times of its frames, up to rounding.

        Where none does, it is that of their distance, if all have the same; otherwise, and for a lone frame, None.

        Examples
        --------
        >>> milliseconds = VideoIndex((0, 33, 67, 100), (0,), Fraction(1, 1000))
        >>> [str(milliseconds.rate([rate])) for rate in (Fraction(30), Fraction(30000, 1001), Fraction(25), None)]
        ['30', '30000/1001', 'None', 'None']
        >>> VideoIndex((0, 40, 80, 120), (0,), Fraction(1, 1000)).rate([Fraction(30)])
        Fraction(25, 1)
        """
        if len(self.times) < 2:
            return None
        own = 1 / ((self.times[1] - self.times[0]) * self.time_base)
        rates = (Fraction(rate) for rate in (*stated, own) if rate)
        return next((rate for rate in rates if _gives(self.times, 1 / (rate * self.time_base))), None)


def index_video(path: Path, container: Any, stream: Any) -> VideoIndex:
    """Go through the packets of a video stream, undecoded.

    Parameters
    ----------
    path : Path
        For messages.
    container, stream
        As PyAV has them.

    Raises
    ------
    DatasetError
        If packets are damaged or missing, frames have no times of their own, or there is no frame.
    """
    times: list[int] = []
    keys: list[int] = []
    end = 0
    for number, packet in enumerate(packet for packet in container.demux(stream) if packet.size):
        if packet.is_corrupt:
            raise DatasetError(f"{path}: is damaged or cut short at packet {number}, expected {VIDEO_FILE}", path=path)
        if packet.pts is None:
            raise DatasetError(
                f"{path}: does not say when packet {number} is shown, expected a time for each frame; convert it to "
                "Matroska or MP4",
                path=path,
            )
        if packet.is_keyframe:
            keys.append(packet.pts)
        if keys and packet.pts >= keys[0] and not packet.is_discard:
            times.append(packet.pts)
            end = max(end, packet.pts + (packet.duration or 0))
    if not times:
        raise DatasetError(f"{path}: holds no frame that can be decoded, expected {VIDEO_FILE}", path=path)
    times.sort()
    twice = next((time for time, other in pairwise(times) if time == other), None)
    if twice is not None:
        raise DatasetError(
            f"{path}: holds two frames at {float(twice * stream.time_base):.3f} s, expected one at a time; convert it "
            "to Matroska or MP4",
            path=path,
        )
    _check_end(path, times, end, _stated_end(container, stream), stream.time_base)
    return VideoIndex(tuple(times), tuple(sorted(keys)), stream.time_base, stream.index)


def _stated_end(container: Any, stream: Any) -> Fraction | None:
    """Return when the last frame ends as the header says, and not as it is guessed from the length of the file."""
    kind = container.format.name
    if kind == "avi":
        return Fraction((stream.start_time or 0) + stream.frames) if stream.frames else None
    if kind == "matroska,webm":
        clock = _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))
        if clock is None:
            return None
        hours, minutes, seconds = map(Fraction, clock.groups())
        return (hours * 3600 + minutes * 60 + seconds) / Fraction(stream.time_base)
    if kind == "mpegts" or stream.duration is None:
        return None
    return Fraction((stream.start_time or 0) + stream.duration)


def _check_end(path: Path, times: Sequence[int], end: int, stated: Fraction | None, time_base: Fraction) -> None:
    interval = Fraction(times[-1] - times[0], len(times) - 1) if len(times) > 1 else Fraction(0)
    ends = max(Fraction(end), times[-1] + interval)
    if stated is not None and stated - ends > _CUT_OFF * (interval or end - times[-1]):
        raise DatasetError(
            f"{path}: is cut short: its frames end after {float(ends * time_base):.3f} s, but its header says "
            f"{float(stated * time_base):.3f} s; copy or convert it anew",
            path=path,
        )


def _gives(times: Sequence[int], interval: Fraction) -> bool:
    """Whether times are multiples of an interval, all shifted by the same, and rounded to whole numbers."""
    ahead, behind = interval.numerator, interval.denominator
    deviations = [time * behind - index * ahead for index, time in enumerate(times)]
    return max(deviations) - min(deviations) <= (behind if behind > 1 else 0)
