"""Video files (PyAV): frames that are decoded when they are asked for, exact to the frame, RGB of 8 bits.

A file is opened by going through its packets, undecoded: their times say which frames there are, in which order they
are shown, and where decoding can begin (key frames). Frames that the file itself leaves out (an edit list) and those
before the first key frame, which nothing can decode, are not frames. From then on, one frame after the other costs what
decoding costs, however many threads ask for them, and any other frame costs decoding from the key frame before it. What
comes out of the decoder is compared with the time that was asked for: it is that very frame, or an error.

Where packets may not be frames (interlaced H.264, MPEG-2 and MPEG-4, frames in AVI that are not stored as they are
shown, packets without times of their own), or where the first frames do not come as packets say, the file is decoded
once when it is opened: its frames are those that come out, in their order, with the times that the decoder gives them.
A frame then costs decoding from the beginning, unless it follows the last one.

Nothing is converted where that could go wrong in silence: grey, palettes, transparency and more than 8 bits are
refused, and so is a video that is to be rotated before it is shown. Colours follow the matrix and the range that the
file states. Damage that the decoder finds is an error, but hardly a codec has checksums: some damage passes as colours.

Decoding runs only in the thread of the caller: nothing runs on while a network is timed, and the process may fork.
"""

from __future__ import annotations

import math
import os
import struct
import threading
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flame_metric.core.clock import NS_PER_S
from flame_metric.data import MAX_PIXELS
from flame_metric.data.paths import check_file
from flame_metric.data.video_index import (
    VIDEO_FILE,
    PacketList,
    ShownFrame,
    VideoIndex,
    list_packets,
    suggest_conversion,
)
from flame_metric.data.video_pool import KEPT, WalkerPool, goes_on_to
from flame_metric.errors import DatasetError, MissingExtraError

try:
    import av
    from av.video.reformatter import VideoReformatter
except ImportError as error:
    raise MissingExtraError("reading video files needs PyAV: pip install 'flame-metric[video]'") from error

__all__ = ["VideoFile"]

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts"  # no playlists: those name other files, or addresses
_TRIED = 5  # frames that are decoded at once: wrong times show in the first that are not stored in their order
_MATRIX = struct.Struct("=9i")
_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


@dataclass(frozen=True, eq=False)
class VideoFile:
    """A video file whose frames are decoded on access, in any order, from any thread or process.

    :meth:`open` makes one. It can be pickled; the file is opened anew where it arrives.

    Attributes
    ----------
    path : Path
    shape : (int, int)
        (H, W) of its frames.
    rate : Fraction or None
        Frames per second, exact: the rate that the file states, if that gives the times of its frames up to rounding;
        otherwise that of their distance, if all have the same. None if neither is so, or there is only one frame.
    timestamps_ns : tuple of int
        When each frame is shown, in nanoseconds, rising.
    index : VideoIndex
        Where its frames are.
    """

    path: Path
    shape: tuple[int, int]
    rate: Fraction | None
    timestamps_ns: tuple[int, ...] = field(repr=False)
    index: VideoIndex = field(repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> VideoFile:
        """Find the frames of a file, and decode the first few.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        DatasetError
            If the file is missing, of no kind that is known, damaged or cut short; if it holds no video stream or
            several, no frame, frames without times of their own, or frames that :meth:`frame` refuses.

        Examples
        --------
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "clip.mkv")
        >>> with av.open(file, "w") as container:
        ...     stream = container.add_stream("ffv1", rate=Fraction(30000, 1001))
        ...     stream.width, stream.height, stream.pix_fmt = 4, 2, "bgr0"
        ...     for value in (0, 100, 200):
        ...         frame = av.VideoFrame.from_ndarray(np.full((2, 4, 3), value, np.uint8))
        ...         container.mux(stream.encode(frame))
        ...     container.mux(stream.encode())
        >>> video = VideoFile.open(file)
        >>> len(video), video.shape, video.rate, video.frame(2)[0, 0].tolist()
        (3, (2, 4), Fraction(30000, 1001), [200, 200, 200])
        """
        path = Path(path)
        check_file(path, VIDEO_FILE)
        try:
            with _open_container(path) as container:
                stream = _video_stream(path, container)
                shape = _shape(path, stream)
                packets = list_packets(path, container, stream)
                rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        except DatasetError:
            raise
        except Exception as error:  # a demuxer may raise anything on bytes from outside
            raise DatasetError(
                f"{path}: cannot be read ({_reason(error)}), expected {VIDEO_FILE}", path=path
            ) from error
        if packets.are_frames:
            video = cls._from_index(path, shape, packets.index(), rates)
            try:
                return video._decode_first()
            except _UndecodedError:
                pass
        return cls._from_index(path, shape, _decode_index(packets), rates)._decode_first()

    @classmethod
    def _from_index(
        cls, path: Path, shape: tuple[int, int], index: VideoIndex, rates: Sequence[Fraction | None]
    ) -> VideoFile:
        times_ns = tuple(round(time * index.time_base * NS_PER_S) for time in index.times)
        return cls(path, shape, index.rate(rates), times_ns, index)

    def _decode_first(self) -> VideoFile:
        """Decode the first few frames, and return the video."""
        for first in range(min(_TRIED, len(self))):
            self.frame(first)
        return self

    def __len__(self) -> int:
        return len(self.index.times)

    def frame(self, index: int) -> npt.NDArray[np.uint8]:
        """Decode frame 0..n-1, in the order in which they are shown.

        Parameters
        ----------
        index : int

        Returns
        -------
        ndarray of uint8, (H, W, 3)
            Red, green, blue; an array of its own.

        Raises
        ------
        DatasetError
            If the file is missing, damaged, or another than when it was opened; if the frame has another size than
            ``shape``, not three colours of 8 bits, transparency, or is to be rotated before it is shown.
        """
        index = range(len(self))[index]
        opened = partial(_Decoder, self.path, self.index)
        with _pool.walker(self, index, self.index.start(index), opened) as (decoder, wanted):
            frame = decoder.frame(index, wanted)
        complaint = _complaint(frame, index, self.shape)
        if complaint is not None:
            raise DatasetError(f"{self.path}: frame {index} of 0..{len(self) - 1} {complaint}", path=self.path)
        converted = _converters.own.reformat(frame, format="rgb24", threads=1)
        pixels = np.asarray(converted.to_ndarray(), np.uint8)
        return pixels.copy() if frame.format.name == "rgb24" else pixels  # the decoder's own memory


# ── opening ──


def _open_container(path: Path) -> Any:
    """Open a container; a whole path is never taken for an address."""
    return av.open(os.path.abspath(path), metadata_errors="replace", options={"format_whitelist": _CONTAINERS})  # noqa: PTH100 - links may stay


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _video_stream(path: Path, container: Any) -> Any:
    """Return the one video stream; an attached picture, such as a cover, is none."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if len(streams) != 1:
        kinds = ", ".join(stream.type for stream in container.streams) or "none at all"
        remedy = "; copy it into a file of its own" if streams else ""
        raise DatasetError(f"{path}: holds {len(streams)} video streams (of {kinds}), expected one{remedy}", path=path)
    if streams[0].codec_context is None:
        raise DatasetError(f"{path}: is of a codec that PyAV does not know, expected such as H.264", path=path)
    return streams[0]


def _shape(path: Path, stream: Any) -> tuple[int, int]:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height == 0:
        raise DatasetError(
            f"{path}: does not say how large its frames are, such as after a cut that lost the head of the stream; cut "
            "the longer video anew, decoded and not copied: ffmpeg -ss START -i LONGER -map 0:v:0 -c:v ffv1 part.mkv",
            path=path,
        )
    if not 0 < width * height <= MAX_PIXELS:
        raise DatasetError(f"{path}: has {width}x{height} pixels, expected 1..{MAX_PIXELS:,}", path=path)
    return height, width


# ── decoding ──


class _UndecodedError(DatasetError):
    """A frame does not come out of the decoder as the index has it."""


def _prepare(stream: Any) -> None:
    """Let a stream be decoded in this thread only, and damage be an error."""
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"err_detect": "crccheck+explode"}


def _decode_index(packets: PacketList) -> VideoIndex:
    """Decode a file from its beginning, and return where its frames are."""
    shown: list[ShownFrame] = []
    try:
        with _open_container(packets.path) as container:
            stream = container.streams[packets.stream]
            _prepare(stream)
            first = -math.inf if container.format.name == "avi" else None  # times of AVI would not show what is missing
            frames = _frames(container.demux(stream), first)
            shown.extend(ShownFrame(frame.pts, frame.dts, frame.duration or 0) for frame in frames)
    except Exception as error:  # a decoder may raise anything on bytes from outside
        if packets.codec == "rawvideo":
            remedy = suggest_conversion(packets.path, packets.rate, codec="hevc")
            raise DatasetError(
                f"{packets.path}: says that it holds raw pixels, and holds something else ({_reason(error)}); if it is "
                f"HEVC, for which AVI has no name, {remedy} reads it",
                path=packets.path,
            ) from error
        remedy = suggest_conversion(packets.path, packets.rate)
        raise DatasetError(
            f"{packets.path}: frame {len(shown)} cannot be decoded ({_reason(error)}): the file is damaged, or was cut "
            f"or joined without what that frame needs; if so, {remedy} keeps the rest",
            path=packets.path,
        ) from error
    return packets.ordered_index(shown)


def _frames(packets: Iterable[Any], first: float | None) -> Iterator[Any]:
    """Decode packets one after the other.

    Those that are shown before the time ``first``, at which decoding begins, and are stored behind it may need what
    came before (an open group of pictures): they may fail. None: whatever comes before the first frame may.
    """
    begun = False
    for packet in packets:
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            early = not begun if first is None else packet.pts is not None and packet.pts < first
            if not early:
                raise
            continue
        for frame in frames:
            begun = True
            if frame.is_corrupt:
                raise av.error.InvalidDataError(0, "it is not whole")
            yield frame


class _Decoder:
    """A file that stands open: the next frames take no seeking, and neither do the last ones."""

    def __init__(self, path: Path, index: VideoIndex) -> None:
        self._path, self._index = path, index
        self._container: Any = None
        self._stream: Any = None
        self._frames: Iterator[Any] = iter(())  # to be decoded, behind the one that was asked for last
        self._place = -1  # the number of that
        self._next = 0  # the number of the frame that should come next
        self._first = 0  # time from which on what is decoded is whole
        self._kept: dict[int, Any] = {}  # the frames that came last

    def frame(self, index: int, wanted: Container[int] = ()) -> Any:
        """Return a frame as PyAV has it, and keep those that are wanted; _UndecodedError if it cannot be decoded."""
        keys = self._index.keys
        if index in self._kept:
            return self._kept[index]
        key = self._index.key(index)
        goes_on = goes_on_to(index, self._index.start(index), self._place)
        self._place, error = -1, None  # behind an error it goes on from nowhere
        # Decoding from a key frame on may need what came before it (gradual refresh): then it begins at the first.
        for start in dict.fromkeys((None, key, keys[0]) if goes_on else (key, keys[0])):
            try:
                if start is not None:
                    self._begin(start)
                found = self._until(index, wanted)
            except Exception as raised:  # a decoder may raise anything on bytes from outside
                error = raised
                continue
            if found is not None:
                self._place = index
                return found
        reason = _reason(error) if error else "no whole frame of its time comes"
        if not isinstance(error, OSError):  # that is not a fault of what the file holds
            reason += (
                "; the file is damaged, has changed since it was opened, or does not say rightly when frames are shown"
            )
        raise _UndecodedError(
            f"{self._path}: frame {index} of 0..{len(self._index.times) - 1} cannot be decoded: {reason}",
            path=self._path,
        ) from error

    def _until(self, index: int, wanted: Container[int]) -> Any:
        """Decode up to a frame, and return it if it and those before it come, each in its turn."""
        times = self._index.times
        for frame in self._frames:
            given, expected = (frame.pts, frame.dts), times[self._next]
            if self._index.in_order:  # a frame without a time is known by its place
                found = expected in given or None in given
            elif frame.pts is not None and frame.pts < max(self._first, expected):  # not whole, or left out by the file
                continue
            else:
                found = frame.pts == expected
            if not found:
                return None
            self._keep(self._next, frame, wanted)
            self._next += 1
            if self._next > index:
                return frame
        return None

    def _keep(self, index: int, frame: Any, wanted: Container[int]) -> None:
        self._kept[index] = frame
        for old in [old for old in self._kept if old not in wanted][:-KEPT]:
            del self._kept[old]

    def _begin(self, key: int) -> None:
        """Let the key frame of this time be the next one to be decoded."""
        self._frames, self._first, self._kept = iter(()), key, {}
        self._next = bisect_left(self._index.times, key)
        if self._index.in_order:
            self._open()
            self._frames = _frames(self._container.demux(self._stream), None)
            return
        if self._container is None:
            self._open()
        for seconds in (0, 1):  # some files are sought in by the time of decoding, which is earlier
            try:
                self._container.seek(key - int(seconds / self._index.time_base), stream=self._stream)
            except av.error.FFmpegError:
                break
            if self._reach(key):
                return
        self._open()
        self._reach(key)

    def _open(self) -> None:
        self.close()
        self._container = _open_container(self._path)
        self._stream = self._container.streams[self._index.stream]
        _prepare(self._stream)

    def close(self) -> None:
        """Give back the file and the decoder's memory; what is asked for next opens it again."""
        self._frames, self._place, self._kept = iter(()), -1, {}
        if self._container is not None:
            self._container.close()
            self._container = None

    def __del__(self) -> None:
        self.close()  # PyAV's objects form circles: without it a file would stay open for long

    def _reach(self, key: int) -> bool:
        """Pass over packets up to the key frame of this time; False if they begin behind it."""
        packets = self._container.demux(self._stream)
        for packet in packets:
            if packet.is_keyframe and packet.pts is not None and packet.pts >= key:
                self._frames = _frames(chain((packet,), packets), key)
                return bool(packet.pts == key)
        return False


class _Converters(threading.local):
    """What turns frames into RGB, one for each thread: several may have the same frame at a time."""

    def __init__(self) -> None:
        self.own = VideoReformatter()


_pool: WalkerPool[VideoFile, _Decoder] = WalkerPool()
_converters = _Converters()


def _complaint(frame: Any, index: int, shape: tuple[int, int]) -> str | None:
    """Say what is wrong with a frame, if anything is."""
    if (frame.height, frame.width) != shape:
        return f"has shape {(frame.height, frame.width)}, expected {shape}, as the video has; nothing is resized"
    # Side data that were looked at hold their frame, and it holds them: its memory comes back late.
    matrix = frame.side_data.get("DISPLAYMATRIX") if index == 0 or frame.rotation else None
    if matrix is not None and _MATRIX.unpack(bytes(matrix)) != _UPRIGHT:
        return "is to be rotated or mirrored before it is shown, expected upright pixels, as label maps have them"
    return _format_complaint(frame.format)


def _format_complaint(pixels: Any) -> str | None:
    parts = pixels.components
    if pixels.has_palette or len(parts) != 3 or any(part.is_alpha for part in parts):
        return f"is {pixels.name}, expected three colours: grey is likely to be a label map, and transparency unknown"
    bits = max(part.bits for part in parts)
    if bits != 8:
        return f"is {pixels.name}, of {bits} bits, expected 8; convert it"
    return None
