"""Small video files, written with PyAV."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def pictures(number: int, *, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames that all differ: a pattern that moves, with the number of the frame in a corner."""
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8 + number, 3), np.uint8)
    pattern = noise.repeat(8, 0).repeat(8, 1)
    frames = [pattern[:, 3 * index : 3 * index + width].copy() for index in range(number)]
    for index, frame in enumerate(frames):
        frame[:8, :8] = index
    return frames


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "ffv1",
    pixels: str = "bgr0",
    rate: int | Fraction = 30,
    gop: int = 10,
    b_frames: int = 0,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
) -> Path:
    """Write RGB frames (or, for a codec that takes another format, arrays of that); lossless unless the codec is lossy.

    ``times`` count in ``time_base``; default: frame i at i / rate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = frames[0].ndim == 3 and frames[0].shape[-1] == 3
    with av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = pixels, options or {}
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        stream.codec_context.thread_count = 1
        if time_base is not None:
            stream.codec_context.time_base = time_base
        for index, frame in enumerate(frames):
            image = av.VideoFrame.from_ndarray(frame, format="rgb24" if rgb else pixels).reformat(format=pixels)
            image.pts = index if times is None else times[index]
            image.time_base = time_base or 1 / Fraction(rate)
            output.mux(stream.encode(image))
        output.mux(stream.encode())
    return path


def copied(
    source: Path, path: Path, change: Callable[[av.Packet], bool], container: dict[str, str] | None = None
) -> Path:
    """Copy the packets of a video, undecoded: those for which ``change``, which may shift them, is true."""
    with av.open(str(source)) as video, av.open(str(path), "w", options=container or {}) as output:
        stream = output.add_stream_from_template(video.streams.video[0])
        for packet in video.demux(video.streams.video[0]):
            if packet.size and change(packet):
                packet.stream = stream
                output.mux(packet)
    return path


def decoded(path: Path) -> list[np.ndarray]:
    """All frames, by PyAV alone, from the first to the last."""
    with av.open(str(path)) as video:
        video.streams.video[0].codec_context.thread_count = 1
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
