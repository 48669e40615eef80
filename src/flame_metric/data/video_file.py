"""Video files (PyAV): frames that are decoded when they are asked for, exact to the frame, RGB of 8 bits.

A file is opened by going through its packets, undecoded: their times say which frames there are, in which order they
are shown, and where decoding can begin (key frames). Frames that the file itself leaves out (an edit list) and those
before the first key frame, which nothing can decode, are not frames. From then on, one frame after the other costs what
decoding costs, however many threads ask for them, and any other frame costs decoding from the key frame before it. What
comes out of the decoder is compared with the time that was asked for: it is that very frame, or an error.

Nothing is converted where that could go wrong in silence: grey, palettes, transparency and more than 8 bits are
refused, and so is a video that is to be rotated before it is shown. Colours follow the matrix and the range that the
file states. Damage that the decoder finds is an error, but hardly a codec has checksums: some damage passes as colours.

Decoding runs only in the thread of the caller: nothing runs on while a network is timed, and the process may fork.
"""

from __future__ import annotations

import os
import struct
import threading
from bisect import bisect_left
from collections.abc import Container, Iterator
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
from flame_metric.data.video_index import VIDEO_FILE, VideoIndex, index_video
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
                index = index_video(path, container, stream)
                rate = index.rate((stream.average_rate, stream.guessed_rate, stream.base_rate))
        except DatasetError:
            raise
        except Exception as error:  # a demuxer may raise anything on bytes from outside
            raise DatasetError(
                f"{path}: cannot be read ({_reason(error)}), expected {VIDEO_FILE}", path=path
            ) from error
        times_ns = tuple(round(time * index.time_base * NS_PER_S) for time in index.times)
        video = cls(path, shape, rate, times_ns, index)
        for first in range(min(_TRIED, len(video))):
            video.frame(first)
        return video

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
    if not 0 < width * height <= MAX_PIXELS:
        raise DatasetError(f"{path}: has {width}x{height} pixels, expected 1..{MAX_PIXELS:,}", path=path)
    return height, width


# ── decoding ──


class _Decoder:
    """A file that stands open: the next frames take no seeking, and neither do the last ones."""

    def __init__(self, path: Path, index: VideoIndex) -> None:
        self._path, self._index = path, index
        self._container: Any = None
        self._stream: Any = None
        self._frames: Iterator[Any] = iter(())  # to be decoded, behind the one that was asked for last
        self._place = -1  # the number of that
        self._first = 0  # time from which on what is decoded is whole
        self._kept: dict[int, Any] = {}  # the frames that came last

    def frame(self, index: int, wanted: Container[int] = ()) -> Any:
        """Return a frame as PyAV has it, and keep those that are wanted; DatasetError if it cannot be decoded."""
        times, keys = self._index.times, self._index.keys
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
                found = self._until(times[index], wanted)
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
        raise DatasetError(
            f"{self._path}: frame {index} of 0..{len(times) - 1} cannot be decoded: {reason}", path=self._path
        ) from error

    def _until(self, time: int, wanted: Container[int]) -> Any:
        """Decode up to the frame of this time, and return it if it and those before it come whole."""
        for frame in self._frames:
            if frame.pts is None or frame.is_corrupt:
                return None
            if frame.pts > time:
                return None
            self._keep(frame, wanted)
            if frame.pts == time:
                return frame
        return None

    def _keep(self, frame: Any, wanted: Container[int]) -> None:
        index = bisect_left(self._index.times, frame.pts)
        if frame.pts < self._first or self._index.times[index] != frame.pts:  # not whole, or left out by the file
            return
        self._kept[index] = frame
        for old in [old for old in self._kept if old not in wanted][:-KEPT]:
            del self._kept[old]

    def _begin(self, key: int) -> None:
        """Let the key frame of this time be the next one to be decoded."""
        self._frames, self._first, self._kept = iter(()), key, {}
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
        self._stream.codec_context.thread_count = 1
        self._stream.codec_context.options = {"err_detect": "crccheck+explode"}

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
                self._frames = (frame for each in chain((packet,), packets) for frame in each.decode())
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
