"""Frames of a video file: when each is shown, and where decoding can begin.

Mostly what a container says of its packets is enough: the time at which each is shown, whether decoding can begin at it
(a key frame), and whether it is left out (an edit list). Packets before the first key frame, in the order of the file
or in time, cannot be decoded: they are not frames; nor are those that a codec says it hides.

In other files packets and frames differ: fields of which two make a frame, two frames in a packet, frames that are not
coded, packets without a time. There the frames are those that come out when the file is decoded from its beginning, in
that order, which is the order in which they are shown. It takes one decoding to find them.
"""

from __future__ import annotations

import math
import re
import shlex
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from flame_metric.data.avc import may_hold_fields
from flame_metric.errors import DatasetError

__all__ = ["VIDEO_FILE", "PacketList", "ShownFrame", "VideoIndex", "list_packets", "suggest_conversion"]

VIDEO_FILE = "a whole video file (MP4, MOV, Matroska, WebM, AVI or MPEG-TS)"
"""What is expected where a file is none, or damaged."""

_CLOCK = re.compile(r"([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,9}(?:\.[0-9]{1,9})?)")  # of Matroska
_CUT_OFF = Fraction(3, 4)  # of a frame: a file that ends so much too early is cut short
_FRAME_EACH = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "ffv1", "png"})  # codecs whose packets are frames
_WITH_ALPHA = frozenset({"vp8", "vp9"})  # as second streams, which decoders leave out
_ALPHA = (1).to_bytes(8)  # number of such an addition to a block of Matroska


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
    in_order : bool
        Whether the frames are known only by their order from the beginning of the file, where every walk begins then.
    """

    times: tuple[int, ...]
    keys: tuple[int, ...]
    time_base: Fraction
    stream: int = 0
    in_order: bool = False

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


class ShownFrame(NamedTuple):
    """What a decoder says of a frame that it gives out.

    Attributes
    ----------
    pts, dts : int or None
        When it is shown, and when it was decoded.
    duration : int
        How long it is shown; 0: unknown.
    """

    pts: int | None
    dts: int | None
    duration: int


@dataclass(frozen=True)
class PacketList:
    """What a container says of the packets of a video stream.

    Attributes
    ----------
    path : Path
        For messages.
    times : tuple of int
        When those that may be frames are shown, rising; two may have the same time.
    keys : tuple of int
        Times of key frames, rising.
    end : int
        When the last packet ends.
    stated_end : Fraction or None
        When the stream ends, as the header says.
    time_base : Fraction
        Seconds of a count.
    stream : int
        Number of the stream in the file.
    rate : Fraction or str
        Frames per second as the file states them; "RATE": it does not.
    codec : str
    kind : str
        Of the container, as FFmpeg calls it.
    are_frames : bool
        Whether each of ``times`` is a frame, as far as can be seen undecoded.
    """

    path: Path
    times: tuple[int, ...]
    keys: tuple[int, ...]
    end: int
    stated_end: Fraction | None
    time_base: Fraction
    stream: int
    rate: Fraction | str
    codec: str
    kind: str
    are_frames: bool

    def index(self) -> VideoIndex:
        """Return where frames are, if packets are frames.

        Raises
        ------
        DatasetError
            If they end before the header says that they do.
        """
        self._check_end(self.times)
        return VideoIndex(self.times, self.keys, self.time_base, self.stream)

    def ordered_index(self, shown: Sequence[ShownFrame]) -> VideoIndex:
        """Return where frames are, given those that came when the file was decoded from its beginning.

        Raises
        ------
        DatasetError
            If there are none, they have no times that rise, they begin later than the packets, or end before the header
            says that they do.
        """
        if not shown:
            raise DatasetError(
                f"{self.path}: holds no frame that can be decoded, expected {VIDEO_FILE}", path=self.path
            )
        times = _times(shown, has_times=self.kind != "avi")
        if times is None:
            remedy = suggest_conversion(self.path, self.rate)
            raise DatasetError(
                f"{self.path}: does not say when each of its frames is shown, expected times that rise; if they "
                f"follow each other at {self.rate} a second, {remedy} gives them times",
                path=self.path,
            )
        if self.kind != "avi" and self.times and times[0] > self.times[0]:
            remedy = suggest_conversion(self.path)
            there, first = (float(time * self.time_base) for time in (self.times[0], times[0]))
            raise DatasetError(
                f"{self.path}: what is shown from {there:.3f} s to {first:.3f} s cannot be decoded: it is damaged "
                f"there, or was cut from a longer video without what it needs; {remedy} keeps the rest",
                path=self.path,
            )
        self._check_end(times)
        return VideoIndex(times, times[:1], self.time_base, self.stream, in_order=True)

    def _check_end(self, times: Sequence[int]) -> None:
        interval = Fraction(times[-1] - times[0], len(times) - 1) if len(times) > 1 else Fraction(0)
        ends = max(Fraction(self.end), times[-1] + interval)
        if self.stated_end is not None and self.stated_end - ends > _CUT_OFF * (interval or self.end - times[-1]):
            raise DatasetError(
                f"{self.path}: is cut short: its frames end after {float(ends * self.time_base):.3f} s, but its header "
                f"says {float(self.stated_end * self.time_base):.3f} s; copy or convert it anew",
                path=self.path,
            )


def list_packets(path: Path, container: Any, stream: Any) -> PacketList:
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
        If packets are damaged or missing, there is no frame, or there is transparency beside the frames.
    """
    codec = stream.codec_context.codec.canonical_name
    rate = stream.average_rate or stream.guessed_rate or "RATE"
    header = bytes(stream.codec_context.extradata or b"")
    lengths = (header[4] & 3) + 1 if header[:1] == b"\1" and len(header) > 4 else 0
    are_frames = stream.codec_context.codec.intra_only or codec in _FRAME_EACH
    are_frames &= container.format.name != "avi" or codec not in ("h264", "hevc")  # AVI has no times to be shown at
    are_frames &= codec != "h264" or not may_hold_fields(header)
    times: list[int] = []
    keys: list[int] = []
    ends = [0]
    latest: float = -math.inf
    number = -1
    for number, packet in enumerate(packet for packet in container.demux(stream) if packet.size):
        if packet.is_corrupt:
            raise DatasetError(
                f"{path}: is damaged, cut short or joined from parts at packet {number}, expected {VIDEO_FILE}; if it "
                f"was joined, {suggest_conversion(path, rate)} writes it anew",
                path=path,
            )
        if codec in _WITH_ALPHA:
            _check_opaque(path, stream, packet)
            if _is_hidden(codec, packet):
                continue
        time = packet.pts
        if time is None:
            are_frames = False
            ends.append((packet.dts or 0) + (packet.duration or 0))
            continue
        if packet.is_keyframe:
            keys.append(time)
            are_frames &= time > latest  # or parts were joined, and what follows is not all decoded
            are_frames &= codec != "h264" or not may_hold_fields(bytes(packet), length_bytes=lengths)
        latest = max(latest, time)
        ends.append(time + (packet.duration or 0))
        if keys and time >= keys[0] and not packet.is_discard:
            times.append(time)
    if number < 0 or (are_frames and not times):
        raise DatasetError(f"{path}: holds no frame that can be decoded, expected {VIDEO_FILE}", path=path)
    times.sort()
    return PacketList(
        path,
        tuple(times),
        tuple(sorted(keys)),
        max(ends),
        _stated_end(container, stream),
        stream.time_base,
        stream.index,
        rate,
        codec,
        container.format.name,
        are_frames and all(time < other for time, other in pairwise(times)),
    )


def _times(shown: Sequence[ShownFrame], *, has_times: bool) -> tuple[int, ...] | None:
    """Return when frames are shown, or None if that is not known of each.

    As FFmpeg has it: times of decoding count where those of showing have gone back more often. AVI has only the former.
    The last frames leave the decoder when no packet comes any more, and Matroska has no times before 0: such frames lie
    at the distances that they state.
    """
    times: list[int] = []
    last: list[float] = [-math.inf, -math.inf]
    faults = [0, 0]
    early = 0
    for frame in shown:
        given = (frame.pts if has_times else None, frame.dts)
        for place, time in enumerate(given):
            if time is not None:
                faults[place] += time <= last[place]
                last[place] = time
        by_showing = given[0] is not None and (given[1] is None or faults[0] <= faults[1])
        time = given[0] if by_showing else given[1]
        if times and frame.dts is None and (time is None or time <= times[-1]):
            time = times[-1] + frame.duration
        if time is None:
            early += 1
            continue
        times.append(time)
    for frame in reversed(shown[:early] if times else ()):
        times.insert(0, times[0] - frame.duration)
    rising = all(time < other for time, other in pairwise(times))
    return tuple(times) if rising and len(times) == len(shown) else None


def suggest_conversion(path: Path, rate: Fraction | str | None = None, *, codec: str | None = None) -> str:
    """Return the command of FFmpeg that writes what it can decode, unchanged; with new times if there is a rate."""
    before = "" if rate is None else f"-r {rate} "
    before += "" if codec is None else f"-c:v {codec} "
    return f"ffmpeg {before}-i {shlex.quote(path.name)} -map 0:v:0 -fps_mode passthrough -c:v ffv1 converted.mkv"


def _check_opaque(path: Path, stream: Any, packet: Any) -> None:
    mode = next((text for name, text in stream.metadata.items() if name.lower() == "alpha_mode"), "0")
    added = packet.has_sidedata("matroska_block_additional")
    if mode == "1" or (added and bytes(packet.get_sidedata("matroska_block_additional"))[:8] == _ALPHA):
        raise DatasetError(
            f"{path}: has transparency beside its colours (alpha_mode 1), expected three colours; "
            f"{suggest_conversion(path).replace('-c:v', '-map_metadata -1 -c:v')} leaves it out",
            path=path,
        )


def _is_hidden(codec: str, packet: Any) -> bool:
    """Whether a packet of VP8 or VP9 holds only a frame that others need, and that is not shown."""
    content = memoryview(packet)
    first = content[0]
    if codec == "vp8":
        return not first & 0x10
    if content[-1] & 0xE0 == 0xC0:  # several frames, the last of which is shown
        return False
    flags = first << (first & 0x30 == 0x30)  # the last of the profiles takes a bit more
    return not flags & 0x08 and not flags & 0x02  # neither shows a frame that was decoded before, nor itself


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


def _gives(times: Sequence[int], interval: Fraction) -> bool:
    """Whether times are multiples of an interval, all shifted by the same, and rounded to whole numbers."""
    ahead, behind = interval.numerator, interval.denominator
    deviations = [time * behind - index * ahead for index, time in enumerate(times)]
    return max(deviations) - min(deviations) <= (behind if behind > 1 else 0)
