"""Video files, written with PyAV: every frame in every order, and every kind of damage."""

import gc
import os
import pickle
import struct
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from flame_metric import DatasetError
from flame_metric.data import video_index, video_pool
from flame_metric.data.video_index import PacketList, ShownFrame, VideoIndex, list_packets
from flame_metric.data.videos import OnAccess
from laws import examples

av = pytest.importorskip("av", reason="reading video files needs PyAV")
module = pytest.importorskip("flame_metric.data.video_file")
files = pytest.importorskip("video_files")
VideoFile, pictures, write_video, copied, decoded = (
    module.VideoFile,
    files.pictures,
    files.write_video,
    files.copied,
    files.decoded,
)

FRAMES = pictures(24)
H264 = {"codec": "libx264", "pixels": "yuv420p", "b_frames": 3}
WANTED = r"a whole video file \(MP4, MOV, Matroska, WebM, AVI or MPEG-TS\)"

KINDS = {  # name of the file: how it is written
    "ffv1.mkv": {},
    "ffv1.avi": {},
    "x264rgb.mp4": {"codec": "libx264rgb", "pixels": "rgb24", "options": {"qp": "0"}},
    "h264.mp4": H264,
    "h264.mkv": H264,
    "h264.ts": H264,
    "open.mp4": {**H264, "options": {"x264-params": "open-gop=1:keyint=8:min-keyint=8:scenecut=0"}},
    "short.mp4": {**H264, "options": {"x264-params": "keyint=2:min-keyint=2:scenecut=0"}},
    "refresh.mp4": {**H264, "b_frames": 0, "options": {"x264-params": "intra-refresh=1:keyint=8"}},
    "fragments.mp4": {**H264, "container": {"movflags": "frag_keyframe+empty_moov"}},
    "hevc.mp4": {
        "codec": "libx265",
        "pixels": "yuv420p",
        "options": {"x265-params": "open-gop=1:keyint=8:min-keyint=8:bframes=3:scenecut=0:log-level=none"},
    },
    "h264.avi": H264,
    "interlaced.ts": {**H264, "options": {"x264-params": "tff=1:keyint=8"}},
    "interlaced.mp4": {**H264, "options": {"x264-params": "bff=1:keyint=8"}},
    "mpeg2.ts": {"codec": "mpeg2video", "pixels": "yuv420p", "b_frames": 2, "rate": 25},
    "mpeg2.avi": {"codec": "mpeg2video", "pixels": "yuv420p", "b_frames": 2, "rate": 25},
    "av1.mkv": {"codec": "libsvtav1", "pixels": "yuv420p", "options": {"preset": "12", "svtav1-params": "keyint=10"}},
    "mpeg4.avi": {"codec": "mpeg4", "pixels": "yuv420p", "b_frames": 2},
    "mpeg4.mp4": {"codec": "mpeg4", "pixels": "yuv420p", "b_frames": 2},
    "jpeg.mov": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "vp8.webm": {"codec": "libvpx", "pixels": "yuv420p", "options": {"auto-alt-ref": "1", "lag-in-frames": "9"}},
    "vp9.webm": {"codec": "libvpx-vp9", "pixels": "yuv420p"},
}
LOSSLESS = ("ffv1.mkv", "ffv1.avi", "x264rgb.mp4")
IN_ORDER = frozenset({"h264.avi", "interlaced.ts", "interlaced.mp4", "mpeg2.ts", "mpeg2.avi", "mpeg4.avi", "mpeg4.mp4"})
FAULTS = Path(__file__).parent / "faults"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hold a file of each kind for whose codec there is an encoder."""
    folder = tmp_path_factory.mktemp("videos")
    for name, options in KINDS.items():
        if options.get("codec", "ffv1") in av.codecs_available:
            write_video(folder / name, FRAMES, **options)
    return folder


def opened(folder: Path, name: str) -> "module.VideoFile":
    if not (folder / name).exists():
        pytest.skip(f"PyAV has no encoder for {name}")
    return VideoFile.open(folder / name)


def refused(message: str, path: Path) -> None:
    with pytest.raises(DatasetError, match=message) as raised:
        VideoFile.open(path)
    assert raised.value.path == str(path)


# ── every frame, in every order ──


@pytest.mark.parametrize("name", LOSSLESS)
def test_frames_are_those_that_were_written(folder: Path, name: str) -> None:
    video = opened(folder, name)
    assert (len(video), video.shape) == (24, (48, 64))
    for index, frame in enumerate(FRAMES):
        found = video.frame(index)
        assert found.dtype == np.uint8
        assert found.flags.c_contiguous
        assert found.flags.writeable
        np.testing.assert_array_equal(found, frame)


@pytest.mark.parametrize("name", KINDS)
def test_one_after_the_other_is_plain_decoding(folder: Path, name: str) -> None:
    video = opened(folder, name)
    np.testing.assert_array_equal([video.frame(index) for index in range(len(video))], decoded(folder / name))


@pytest.mark.parametrize("name", KINDS)
def test_any_order_gives_the_same_frames(folder: Path, name: str) -> None:
    video, expected = opened(folder, name), decoded(folder / name)
    assert len(video) == len(expected) == 24

    @examples(25)
    @given(st.lists(st.integers(0, 23), max_size=8))
    def check(order: list[int]) -> None:
        for index in order:
            np.testing.assert_array_equal(video.frame(index), expected[index])

    check()
    for index in reversed(range(24)):
        np.testing.assert_array_equal(VideoFile.open(folder / name).frame(index), expected[index])


def test_frames_are_numbered_as_a_sequence_is(folder: Path) -> None:
    video = opened(folder, "ffv1.mkv")
    np.testing.assert_array_equal(video.frame(-1), FRAMES[23])
    for index in (24, -25):
        with pytest.raises(IndexError):
            video.frame(index)


def test_a_frame_belongs_to_the_caller(tmp_path: Path) -> None:
    for name, options in {"ffv1.mkv": {}, "raw.mov": {"codec": "rawvideo", "pixels": "rgb24"}}.items():
        video = VideoFile.open(write_video(tmp_path / name, FRAMES[:3], **options))
        video.frame(1)[:] = 0
        np.testing.assert_array_equal(video.frame(1), FRAMES[1])


def counted(method, calls: Counter):
    def call(self, *arguments: object) -> None:
        calls[method.__name__] += 1
        method(self, *arguments)

    return call


def test_going_on_takes_no_seeking(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, calls = opened(folder, "h264.mp4"), Counter()
    for method in ("_begin", "_open"):
        monkeypatch.setattr(module._Decoder, method, counted(getattr(module._Decoder, method), calls))
    for index in range(24):  # it stands open since it was opened
        video.frame(index)
    assert calls == {}
    for index in (23, 23, 16, 22):  # the last eight are kept
        video.frame(index)
    assert calls == {}
    for index in range(0, 10, 2):
        video.frame(index)
    assert calls == {"_begin": 1}
    for index in (12, 14, 13):  # on, over a key frame that is near; back to one that is kept
        video.frame(index)
    assert calls == {"_begin": 1}
    for index in (23, 14):  # behind a key frame that is not near; back
        video.frame(index)
    assert calls == {"_begin": 3}


@pytest.mark.parametrize("name", [name for name in KINDS if name != "refresh.mp4" and name not in IN_ORDER])
def test_any_frame_takes_one_seeking(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    video, calls = opened(folder, name), Counter()
    video.frame(0)
    for method in ("_begin", "_open"):
        monkeypatch.setattr(module._Decoder, method, counted(getattr(module._Decoder, method), calls))
    for index in (23, 1, 22, 2, 21, 3, 20, 4):
        video.frame(index)
    assert calls == {"_begin": 8}


@pytest.mark.parametrize("name", KINDS)
def test_where_packets_may_not_be_frames_it_is_decoded_once(folder: Path, name: str) -> None:
    assert opened(folder, name).index.in_order == (name in IN_ORDER)


class Unseekable:
    """A container in which nothing can be sought."""

    def __init__(self, container: "av.container.InputContainer") -> None:
        self.demux, self.streams, self.close = container.demux, container.streams, container.close

    def seek(self, *arguments: object, **options: object) -> None:
        raise av.error.PermissionError(1, "Operation not permitted")


def test_files_that_cannot_be_sought_in_are_read_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, expected = opened(folder, "h264.mp4"), decoded(folder / "h264.mp4")
    module._pool.forget()
    container = module._open_container
    monkeypatch.setattr(module, "_open_container", lambda path: Unseekable(container(path)))
    for index in (5, 6, 20, 3):
        np.testing.assert_array_equal(video.frame(index), expected[index])


def test_a_frame_behind_one_that_is_not_whole_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = opened(folder, "ffv1.mkv")
    decoder = module._Decoder(video.path, video.index)
    frames = [
        SimpleNamespace(pts=time, dts=time, is_corrupt=time == video.index.times[3]) for time in video.index.times
    ]
    packets = [SimpleNamespace(pts=frame.pts, decode=lambda frame=frame: [frame]) for frame in frames]
    monkeypatch.setattr(decoder, "_begin", lambda key: begin(decoder, packets))
    assert decoder.frame(2) is frames[2]
    for index in (3, 4):
        with pytest.raises(DatasetError, match=rf"frame {index} of 0\.\.23 cannot be decoded: it is not whole; the"):
            decoder.frame(index)


def begin(decoder: "module._Decoder", packets: list[SimpleNamespace]) -> None:
    decoder._frames, decoder._next = module._frames(packets, 0), 0


def test_frames_that_are_missing_are_noticed_by_those_that_follow(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what follows would have other numbers than in plain decoding."""
    video = opened(folder, "ffv1.mkv")
    decoder = module._Decoder(video.path, video.index)
    frames = [SimpleNamespace(pts=time, dts=time, is_corrupt=False) for time in video.index.times]
    packets = [
        SimpleNamespace(pts=frame.pts, decode=lambda frame=frame: [frame]) for frame in frames if frame.pts != 100
    ]
    assert len(packets) == 23
    monkeypatch.setattr(decoder, "_begin", lambda key: begin(decoder, packets))
    assert decoder.frame(2) is frames[2]
    for index in (3, 4, 9):
        with pytest.raises(
            DatasetError, match=rf"frame {index} of 0\.\.23 cannot be decoded: no whole frame of its time"
        ):
            decoder.frame(index)


# ── times ──


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
@pytest.mark.parametrize("rate", [15, 30, Fraction(30000, 1001), Fraction(24000, 1001), 25, 120])
def test_rates_are_exact(tmp_path: Path, name: str, rate: int | Fraction) -> None:
    video = VideoFile.open(write_video(tmp_path / name, FRAMES, codec="mpeg4", pixels="yuv420p", rate=rate))
    assert video.rate == rate
    times = [time - video.timestamps_ns[0] for time in video.timestamps_ns]
    ticks = 1_000_000 if name == "a.mkv" else 11_112
    assert all(abs(time - 10**9 * index / rate) <= ticks for index, time in enumerate(times))
    assert all(after > before for before, after in pairwise(video.timestamps_ns))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_rate_that_no_camera_has(tmp_path: Path, name: str) -> None:
    assert VideoFile.open(write_video(tmp_path / name, FRAMES, rate=Fraction(50, 3))).rate == Fraction(50, 3)


def test_times_by_hand(tmp_path: Path) -> None:
    times = [0, 40, 80, 130, 160, 400]
    file = write_video(tmp_path / "a.mkv", FRAMES[:6], times=times, time_base=Fraction(1, 1000))
    video = VideoFile.open(file)
    assert video.timestamps_ns == tuple(1_000_000 * time for time in times)
    assert video.rate is None
    np.testing.assert_array_equal([video.frame(index) for index in range(6)], FRAMES[:6])


@pytest.mark.parametrize("missing", [{5}, {1, 2}, {22}])
def test_a_hole_is_no_constant_rate(folder: Path, tmp_path: Path, missing: set[int]) -> None:
    written = write_video(tmp_path / "whole.mp4", FRAMES, gop=1)
    packets = iter(range(24))
    file = copied(written, tmp_path / "hole.mp4", lambda _: next(packets) not in missing)
    video = VideoFile.open(file)
    assert (len(video), video.rate) == (24 - len(missing), None)
    kept = [frame for index, frame in enumerate(FRAMES) if index not in missing]
    np.testing.assert_array_equal([video.frame(index) for index in range(len(video))], kept)


def test_one_frame_has_no_rate(tmp_path: Path) -> None:
    video = VideoFile.open(write_video(tmp_path / "a.mkv", FRAMES[:1]))
    assert (len(video), video.rate) == (1, None)


@pytest.mark.parametrize(
    ("times", "interval", "gives"),
    [
        ([0, 1, 2, 3], Fraction(1), True),
        ([7, 8, 9, 10], Fraction(1), True),
        ([0, 1, 2, 4], Fraction(1), False),
        ([0, 1, 3, 4], Fraction(3, 2), True),  # rounded down
        ([0, 2, 3, 5], Fraction(3, 2), True),  # rounded up
        ([0, 2, 3, 4], Fraction(3, 2), True),  # to even numbers
        ([0, 2, 3, 6], Fraction(3, 2), False),
        ([0, 33, 67, 100], Fraction(100, 3), True),
        ([0, 33, 67, 101], Fraction(100, 3), False),
        ([0, 33, 67, 100], Fraction(1001, 30), True),  # so few frames have either rate
    ],
)
def test_multiples_of_an_interval_by_hand(times: list[int], interval: Fraction, gives: bool) -> None:
    assert video_index._gives(times, interval) == gives


@given(st.fractions(Fraction(3, 2), 500), st.fractions(0, 100), st.integers(2, 60), st.sampled_from([round, int]))
def test_rounded_times_are_multiples(interval: Fraction, start: Fraction, number: int, rounded) -> None:
    times = [rounded(start + index * interval) for index in range(number)]
    assert video_index._gives(times, interval)
    if number > 2:
        assert not video_index._gives([*times[:-1], times[-1] + 2], interval)


# ── what a file leaves out ──


def test_an_edit_list_leaves_frames_out(folder: Path, tmp_path: Path) -> None:
    def earlier(packet: "av.Packet") -> bool:
        packet.pts -= 7 * 512
        packet.dts -= 7 * 512
        return True

    file = copied(opened(folder, "h264.mp4").path, tmp_path / "edit.mp4", earlier, {"avoid_negative_ts": "disabled"})
    video, expected = VideoFile.open(file), decoded(file)
    assert (len(video), video.rate, video.timestamps_ns[0]) == (17, 30, 0)
    for index in (16, 3, 0, 9, 8, 16):
        np.testing.assert_array_equal(video.frame(index), expected[index])
    np.testing.assert_array_equal(expected, decoded(folder / "h264.mp4")[7:])


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_a_late_start_is_no_cut(folder: Path, tmp_path: Path, name: str) -> None:
    def later(packet: "av.Packet") -> bool:
        packet.pts += 15 * 512
        packet.dts += 15 * 512
        return True

    video = VideoFile.open(copied(opened(folder, "h264.mp4").path, tmp_path / name, later))
    assert (len(video), video.rate, video.timestamps_ns[0]) == (24, 30, 500_000_000)


@pytest.mark.parametrize("clock", ["00:00:0x.8", "1:2", "", "::", "1/0:0:0"])
def test_a_length_that_is_none(clock: str) -> None:
    container = SimpleNamespace(format=SimpleNamespace(name="matroska,webm"))
    stream = SimpleNamespace(metadata={"DURATION": clock}, time_base=Fraction(1, 1000))
    assert video_index._stated_end(container, stream) is None
    stream.metadata = {"DURATION": "01:02:03.5"}
    assert video_index._stated_end(container, stream) == 3_723_500


@pytest.mark.parametrize(
    ("kind", "start", "duration", "frames", "end"),
    [
        ("mov,mp4,m4a,3gp,3g2,mj2", 500, 1_000, 9, 1_500),
        ("mov,mp4,m4a,3gp,3g2,mj2", None, 1_000, 9, 1_000),
        ("mov,mp4,m4a,3gp,3g2,mj2", 0, None, 9, None),
        ("avi", 2, 5, 30, 32),  # its duration is a guess
        ("avi", None, 5, 0, None),
        ("mpegts", 2, 5, 0, None),
    ],
)
def test_when_a_header_says_that_a_video_ends(
    kind: str, start: int | None, duration: int | None, frames: int, end: int | None
) -> None:
    container = SimpleNamespace(format=SimpleNamespace(name=kind))
    stream = SimpleNamespace(start_time=start, duration=duration, frames=frames, metadata={"DURATION": "0:0:9"})
    assert video_index._stated_end(container, stream) == end


def test_the_rate_of_equal_distances_where_a_file_states_a_wrong_one() -> None:
    index = VideoIndex(tuple(range(0, 400, 4)), (0,), Fraction(1, 100))
    assert index.rate([None, Fraction(24), Fraction(0)]) == 25
    assert index.rate([Fraction(25)]) == 25
    assert VideoIndex((0, 4, 8, 13), (0,), Fraction(1, 100)).rate([None]) is None


@pytest.mark.parametrize("name", ["middle.ts", "middle.mkv"])
def test_what_comes_before_the_first_key_frame_is_no_frame(folder: Path, tmp_path: Path, name: str) -> None:
    packets = iter(range(24))
    file = copied(opened(folder, "h264.mp4").path, tmp_path / name, lambda _: next(packets) >= 4)
    video = VideoFile.open(file)
    assert (len(video), video.rate) == (14, 30)
    np.testing.assert_array_equal(
        [video.frame(index) for index in range(14)], decoded(folder / "h264.mp4")[10:], err_msg="of the second group"
    )


# ── packets that are not frames ──


@pytest.fixture
def test_data() -> Path:
    root = os.environ.get("FLAME_METRIC_TEST_DATA")
    if not root:
        pytest.skip("FLAME_METRIC_TEST_DATA names no folder of real videos")
    return Path(root)


def plain_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def check_frames(path: Path, number: int) -> "module.VideoFile":
    """Compare with plain decoding, in order, backwards, and in jumps."""
    video, expected = VideoFile.open(path), decoded(path)
    assert len(video) == len(expected) == number
    np.testing.assert_array_equal([video.frame(index) for index in range(number)], expected)
    for index in (number - 1, 0, number // 2, number // 2 - 1, number - 2):
        module._pool.forget()
        np.testing.assert_array_equal(video.frame(index), expected[index])
    assert all(before < after for before, after in pairwise(video.timestamps_ns))
    return video


@pytest.mark.parametrize(
    ("name", "number", "in_order"), [("vp8_altref.webm", 60, False), ("opengop_cut.mp4", 36, False)]
)
def test_files_with_packets_that_are_not_shown(name: str, number: int, in_order: bool) -> None:
    video = check_frames(FAULTS / name, number)
    assert (video.rate, video.index.in_order) == (25, in_order)
    assert video.timestamps_ns == tuple(round(time * 10**9) for time in plain_times(FAULTS / name))


def test_frames_that_share_a_packet() -> None:
    """Two frames that are not coded leave gaps; AVI has only the times of decoding."""
    video = check_frames(FAULTS / "xvid_packed.avi", 58)
    ticks = [time * 25 // 10**9 for time in video.timestamps_ns]
    assert ticks == [2, 3, *range(5, 61)]
    assert video.rate is None


def test_fields_are_not_frames(test_data: Path) -> None:
    video = check_frames(test_data / "faults" / "paff_fields.mts", 12)
    assert (video.rate, video.shape, video.timestamps_ns[0]) == (25, (96, 192), 10**9)


@pytest.mark.parametrize("name", ["pairs.mp4", "pairs.mkv", "fields.mp4", "fields.mkv"])
def test_fields_in_other_files(test_data: Path, tmp_path: Path, name: str) -> None:
    source = test_data / "faults" / "paff_fields.mts"
    with av.open(str(source)) as video, av.open(str(tmp_path / name), "w") as output:
        stream = output.add_stream_from_template(video.streams.video[0])
        fields = [packet for packet in video.demux(video=0) if packet.size]
        for first, second in zip(fields[::2], fields[1::2], strict=True):
            parts = [(first, bytes(first)), (second, bytes(second))]
            for packet, content in [(first, bytes(first) + bytes(second))] if "pairs" in name else parts:
                joined = av.Packet(content)
                joined.pts, joined.dts, joined.time_base = packet.pts, packet.dts, packet.time_base
                joined.is_keyframe, joined.stream = True, stream
                output.mux(joined)
    assert check_frames(tmp_path / name, 12).rate == 25


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts"])
@pytest.mark.parametrize("shift", [0, -9, 30])
def test_a_cut_in_an_open_group_of_pictures(tmp_path: Path, codec: str, name: str, shift: int) -> None:
    """What is shown before its first key frame needs what was cut off: it is not a frame."""
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no encoder {codec}")
    parameters = "open-gop=1:keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0:repeat-headers=1"
    options = {"libx264": {"x264-params": parameters}, "libx265": {"x265-params": f"{parameters}:log-level=none"}}
    whole = write_video(
        tmp_path / "whole.mkv",
        FRAMES,
        codec=codec,
        pixels="yuv420p",
        gop=8,
        b_frames=3,
        rate=25,
        options=options.get(codec),
    )
    keys = iter(range(9))
    state = {"keys": -1}

    def behind(packet: "av.Packet") -> bool:
        if packet.is_keyframe:
            state["keys"] = next(keys)
        if packet.dts is not None and name != "cut.ts":
            packet.dts += 40 * shift
            packet.pts += 40 * shift
        return state["keys"] >= 1

    file = copied(whole, tmp_path / name, behind, {"avoid_negative_ts": "disabled"})
    video = check_frames(file, len(decoded(file)))
    assert video.rate == 25
    first = 24 - len(video)
    assert 8 <= first <= 17  # an edit list leaves more out
    np.testing.assert_array_equal(video.frame(len(video) - 1), decoded(whole)[-1])


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "vp8"), ("a.mkv", "vp9")])
def test_a_second_stream_of_transparency(tmp_path: Path, name: str, codec: str) -> None:
    encoder = {"vp8": "libvpx", "vp9": "libvpx-vp9"}[codec]
    if encoder not in av.codecs_available:
        pytest.skip(f"PyAV has no encoder {encoder}")
    file = write_video(tmp_path / name, FRAMES[:4], codec=encoder, pixels="yuva420p", options={"auto-alt-ref": "0"})
    refused(rf"{name}: has transparency beside its colours .*; ffmpeg -i {name} .* leaves it out$", file)
    refused("has transparency beside its colours", FAULTS / "vp8_alpha.webm")


@pytest.mark.parametrize(
    ("codec", "content", "hidden"),
    [
        ("vp8", b"\x10", False),
        ("vp8", b"\x00", True),
        ("vp8", b"\x01\xc1", True),
        ("vp9", b"\x82\0", False),
        ("vp9", b"\x84\0", True),  # profile 0
        ("vp9", b"\x88", False),  # shows a frame that was decoded before
        ("vp9", b"\xb1\0", False),  # profile 3
        ("vp9", b"\xb0\0", True),
        ("vp9", b"\xb4\0", False),  # profile 3, shows a frame
        ("vp9", b"\x84\0\xc0", False),  # several frames
    ],
)
def test_hidden_frames_by_hand(codec: str, content: bytes, hidden: bool) -> None:
    assert video_index._is_hidden(codec, av.Packet(content)) == hidden


def test_hidden_frames_in_packets_of_their_own(tmp_path: Path) -> None:
    """Some writers give a hidden frame of VP8 a time of its own."""

    def apart(packet: "av.Packet") -> bool:
        packet.pts = packet.dts = 2 * packet.pts + (not bytes(packet)[0] & 0x10 and -3)
        return True

    file = copied(FAULTS / "vp8_altref.webm", tmp_path / "a.mkv", apart)
    with av.open(str(file)) as container:
        assert len({packet.pts for packet in container.demux(video=0) if packet.size}) > 60
    assert not check_frames(file, 60).index.in_order


def test_a_codec_that_avi_has_no_name_for(tmp_path: Path) -> None:
    """HEVC has no name in AVI, and no name means raw pixels."""
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream = output.add_stream("rawvideo", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr24"
        for number in range(3):
            packet = av.Packet(b"no pixels")
            packet.pts = packet.dts = number
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, 30), True, stream
            output.mux(packet)
    message = (
        r"a\.avi: says that it holds raw pixels, .*; if it is HEVC, .* ffmpeg -r 30 -c:v hevc -i a\.avi .* reads it$"
    )
    refused(message, tmp_path / "a.avi")


def test_a_stream_without_its_head(folder: Path, tmp_path: Path) -> None:
    """Nothing says how large frames are, nor how they are coded."""
    file = tmp_path / "a.ts"
    content = opened(folder, "h264.ts").path.read_bytes()
    sets = [
        place
        for place in range(len(content))
        if content[place : place + 3] == b"\0\0\1" and content[place + 3] & 31 == 7
    ]
    changed = bytearray(content)
    for place in sets:
        changed[place + 3] = 12  # filler
    file.write_bytes(changed)
    refused(r"a\.ts: does not say how large its frames are, such as after a cut .*: ffmpeg -ss START", file)


# ── other threads and processes ──


def test_it_can_be_pickled(folder: Path) -> None:
    video = opened(folder, "h264.mp4")
    frames = OnAccess(video.frame, len(video))
    expected = decoded(folder / "h264.mp4")
    there = pickle.loads(pickle.dumps(frames))
    np.testing.assert_array_equal(there[5], expected[5])
    np.testing.assert_array_equal(list(pickle.loads(pickle.dumps(frames[3:6]))), expected[3:6])


@pytest.mark.parametrize("name", ["h264.mp4", "interlaced.ts"])
def test_threads_do_not_disturb_each_other(folder: Path, name: str) -> None:
    video, expected = opened(folder, name), decoded(folder / name)
    orders = [[(start + step * index) % 24 for index in range(24)] for start in range(3) for step in (1, 5)]

    def wrong(order: list[int]) -> list[int]:
        return [index for index in order if not np.array_equal(video.frame(index), expected[index])]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(wrong, orders * 3)) == [[]] * 18


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
def test_a_forked_process_does_not_move_its_parent_on(tmp_path: Path, run_python) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 240, 320, 3), np.uint8)
    file = write_video(tmp_path / "a.mkv", list(noise))
    assert file.stat().st_size > 1_000_000  # far more than is read ahead
    program = (
        "import os\n"
        "from flame_metric.data.video_file import VideoFile\n"
        f"video = VideoFile.open({str(file)!r})\n"
        "expected = [video.frame(index).tobytes() for index in range(24)]\n"
        "video.frame(3)\n"
        "child = os.fork()\n"
        "if child: os.waitpid(child, 0)\n"
        "same = all(video.frame(index).tobytes() == expected[index] for index in range(4, 24))\n"
        "if not child: os._exit(0)\n"
        "from flame_metric.data import video_file as module\n"
        "print(same, len(module._pool.walks))\n"
    )
    assert run_python(program, "This process:DeprecationWarning") == "True 1"


def standing() -> list[VideoFile]:
    return [video for video, walks in module._pool.walks.items() for _ in walks]


def test_few_files_stand_open(folder: Path) -> None:
    opened(folder, "ffv1.mkv")
    videos = [VideoFile.open(folder / "ffv1.mkv") for _ in range(20)]
    most = max(video_pool.MOST_OPEN, threading.active_count())
    assert set(standing()) == set(videos[-most:])
    for index in (0, 1, 2):  # in turns, and all the same right
        for video in videos:
            np.testing.assert_array_equal(video.frame(index), FRAMES[index])
    assert set(standing()) == set(videos[-most:])
    videos.clear()
    del video
    assert standing() == []


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files cannot be counted here")
def test_a_file_that_nobody_has_is_closed(folder: Path) -> None:
    def count() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum("ffv1.mkv" in str(link.readlink()) for link in links)

    assert count() == 0
    video = opened(folder, "ffv1.mkv")
    assert count() == 1
    del video
    assert count() == 0


def test_frames_that_nobody_has_are_gone(folder: Path) -> None:
    def count() -> int:
        return sum(issubclass(type(each), av.VideoFrame) for each in gc.get_objects())  # asks no object for its class

    gc.collect()
    before = count()
    gc.disable()  # frames in circles would wait for it, each with megabytes
    try:
        video = opened(folder, "h264.mp4")
        for index in range(24):
            video.frame(index)
        assert count() - before <= video_pool.KEPT + 3
        del video
        assert count() - before <= 1  # the first one, whose side data are looked at
    finally:
        gc.enable()


def test_threads_decode_each_frame_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that read ahead share one walk, whichever of them comes first."""
    video = VideoFile.open(write_video(tmp_path / "a.mp4", FRAMES * 4, **H264))
    expected = decoded(tmp_path / "a.mp4")
    calls = Counter()
    for method in ("_keep", "_begin"):
        monkeypatch.setattr(module._Decoder, method, counted(getattr(module._Decoder, method), calls))
    for start in range(0, 96, 8):  # those of one batch in an order that no thread would choose
        order = [start + place for place in (3, 0, 7, 5, 1, 2, 6, 4)]
        with ThreadPoolExecutor(8) as pool:
            for index, frame in zip(order, pool.map(video.frame, order), strict=True):
                np.testing.assert_array_equal(frame, expected[index])
    assert calls == {"_keep": 96 - 5}  # five were decoded when it was opened


def test_two_parts_are_read_side_by_side(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, calls = opened(folder, "ffv1.mkv"), Counter()
    monkeypatch.setattr(module._Decoder, "_begin", counted(module._Decoder._begin, calls))
    with ThreadPoolExecutor(1) as other:
        for index in range(10):
            np.testing.assert_array_equal(video.frame(index), FRAMES[index])
            np.testing.assert_array_equal(other.submit(video.frame, 13 + index).result(), FRAMES[13 + index])
    assert calls["_begin"] <= 1


# ── what is refused, deliberately ──


def with_matrix(source: Path, path: Path, *matrix: int) -> Path:
    """Write how the picture is to be turned into the header of a track (MP4)."""
    content = bytearray(source.read_bytes())
    struct.pack_into(">9i", content, content.index(b"tkhd") + 44, *matrix)
    path.write_bytes(content)
    return path


ONE, LAST = 1 << 16, 1 << 30


@pytest.mark.parametrize(
    "matrix",
    [
        (0, ONE, 0, -ONE, 0, 0, 0, 0, LAST),  # a quarter
        (-ONE, 0, 0, 0, -ONE, 0, 0, 0, LAST),  # a half
        (-ONE, 0, 0, 0, ONE, 0, 0, 0, LAST),  # mirrored
    ],
)
def test_a_video_that_is_to_be_rotated(folder: Path, tmp_path: Path, matrix: tuple[int, ...]) -> None:
    file = with_matrix(opened(folder, "h264.mp4").path, tmp_path / "a.mp4", *matrix)
    refused(r"a\.mp4: frame 0 of 0\.\.23 is to be rotated or mirrored before it is shown, expected upright", file)


def test_a_matrix_that_turns_nothing(folder: Path, tmp_path: Path) -> None:
    file = with_matrix(opened(folder, "h264.mp4").path, tmp_path / "a.mp4", ONE, 0, 0, 0, ONE, 0, 0, 0, LAST)
    assert len(VideoFile.open(file)) == 24


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ("gray", "is gray, expected three colours: grey is likely to be a label map"),
        ("yuva420p", "is yuva420p, expected three colours: .* transparency unknown"),
        ("yuv420p10le", "is yuv420p10le, of 10 bits, expected 8; convert it"),
        ("gbrp12le", "is gbrp12le, of 12 bits, expected 8"),
    ],
)
def test_pixels_that_are_refused(tmp_path: Path, pixels: str, message: str) -> None:
    file = write_video(tmp_path / "a.mkv", FRAMES[:3], pixels=pixels)
    refused(rf"a\.mkv: frame 0 of 0\.\.2 {message}", file)


def test_a_palette_is_refused(tmp_path: Path) -> None:
    frames = [np.zeros((48, 64), np.uint8), np.ones((48, 64), np.uint8)]
    with av.open(str(tmp_path / "a.avi"), "w") as output:
        stream = output.add_stream("msrle", rate=5) if "msrle" in av.codecs_available else None
        if stream is None:
            pytest.skip("PyAV has no encoder with a palette")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        try:
            for frame in frames:
                palette = np.zeros((256, 4), np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray((frame, palette), format="pal8")))
            output.mux(stream.encode())
        except av.error.FFmpegError:
            pytest.skip("PyAV writes no palette")
    refused("is pal8, expected three colours", tmp_path / "a.avi")


@pytest.mark.parametrize("pixels", ["yuv444p", "yuv422p", "bgr0", "gbrp"])
def test_pixels_that_are_read(tmp_path: Path, pixels: str) -> None:
    codec = {"gbrp": "libx264rgb"}.get(pixels, "ffv1")
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV has no encoder {codec}")
    file = write_video(tmp_path / "a.mkv", FRAMES[:3], codec=codec, pixels="rgb24" if codec == "libx264rgb" else pixels)
    assert VideoFile.open(file).frame(1).shape == (48, 64, 3)


def test_another_size_in_mid_stream(tmp_path: Path) -> None:
    if "libx264" not in av.codecs_available:
        pytest.skip("PyAV has no encoder libx264")
    times = {"times": [index + 12 for index in range(8)], "time_base": Fraction(1, 30)}
    small = write_video(tmp_path / "small.ts", FRAMES[:8], **H264, gop=4)
    large = write_video(tmp_path / "large.ts", pictures(8, height=64, width=96), **H264, gop=4, **times)
    file = tmp_path / "both.ts"
    with av.open(str(file), "w") as output, av.open(str(small)) as one, av.open(str(large)) as other:
        stream = output.add_stream_from_template(one.streams.video[0])
        for packet in (packet for part in (one, other) for packet in part.demux(video=0) if packet.size):
            packet.stream = stream
            output.mux(packet)
    video = VideoFile.open(file)
    assert (len(video), video.shape) == (16, (48, 64))
    np.testing.assert_array_equal(video.frame(7), decoded(small)[7])
    message = r"both\.ts: frame 12 of 0\.\.15 has shape \(64, 96\), expected \(48, 64\), as the video has"
    with pytest.raises(DatasetError, match=message):
        video.frame(12)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mkv", pictures(1, height=256, width=320))
    content = file.read_bytes()
    size = b"\xb0\x82\x01\x40\xba\x82\x01\x00"  # Matroska's width and height
    assert size in content
    file.write_bytes(content.replace(size, b"\xb0\x82\x20\x00\xba\x82\x20\x00"))
    refused(r"a\.mkv: has 8192x8192 pixels, expected 1\.\.64,000,000", file)


# ── colours ──


@pytest.mark.parametrize(
    ("matrix", "full", "expected"),
    [  # of Y, Cb, Cr = 120, 90, 180, by hand
        ("smpte170m", "off", (204, 94, 44)),
        ("bt709", "off", (214, 101, 41)),
        ("bt2020nc", "off", (208, 94, 40)),
        ("bt709", "on", (202, 103, 49)),
    ],
)
def test_colours_follow_what_the_file_says(
    tmp_path: Path, matrix: str, full: str, expected: tuple[int, int, int]
) -> None:
    if "libx264" not in av.codecs_available:
        pytest.skip("PyAV has no encoder libx264")
    frame = np.empty((3, 48, 64), np.uint8)
    frame[:] = np.array([120, 90, 180], np.uint8)[:, None, None]
    options = {"qp": "0", "x264-params": f"colormatrix={matrix}:fullrange={full}"}
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 48, "yuv444p", options
        output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="yuv444p")))
        output.mux(stream.encode())
    found = VideoFile.open(tmp_path / "a.mp4").frame(0)
    assert np.abs(found.reshape(-1, 3).astype(int) - expected).max() <= 1


# ── streams ──


def add_sound(output: "av.container.OutputContainer") -> None:
    stream = output.add_stream("aac", rate=44_100)
    sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    sound.rate = 44_100
    output.mux(stream.encode(sound))
    output.mux(stream.encode())


def test_sound_alone(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        add_sound(output)
    refused(r"a\.mp4: holds 0 video streams \(of audio\), expected one$", tmp_path / "a.mp4")


def test_sound_and_a_cover_are_no_frames(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream, cover = output.add_stream("mpeg4", rate=30), output.add_stream("mjpeg", rate=1)
        for each, pixels in ((stream, "yuv420p"), (cover, "yuvj420p")):
            each.width, each.height, each.pix_fmt = 64, 48, pixels
        cover.disposition = av.stream.Disposition.attached_pic.value
        add_sound(output)
        for each, frames in ((stream, FRAMES), (cover, FRAMES[:1])):
            for frame in frames:
                output.mux(each.encode(av.VideoFrame.from_ndarray(frame).reformat(format=each.pix_fmt)))
            output.mux(each.encode())
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [each.type for each in container.streams] == ["video", "audio", "video"]
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    video = VideoFile.open(tmp_path / "a.mp4")
    assert video.rate == 30
    np.testing.assert_array_equal([video.frame(index) for index in range(len(video))], expected)


def test_two_video_streams(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as output:
        streams = [output.add_stream("ffv1", rate=30) for _ in range(2)]
        for stream in streams:
            stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for stream in streams:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(FRAMES[0]).reformat(format="bgr0")))
            output.mux(stream.encode())
    refused(r"holds 2 video streams \(of video, video\), expected one; copy it into a file of", tmp_path / "a.mkv")


def test_a_file_without_frames(tmp_path: Path) -> None:
    for name in ("a.mkv", "a.mp4", "a.avi"):
        with av.open(str(tmp_path / name), "w") as output:
            stream = output.add_stream("ffv1", rate=30)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
            output.start_encoding()
        refused(rf"{name}: (holds no frame that can be decoded|holds 0 video streams|cannot be read)", tmp_path / name)


class Packet(NamedTuple):
    pts: int | None
    is_keyframe: bool = True
    size: int = 9
    is_corrupt: bool = False
    is_discard: bool = False
    duration: int | None = 1
    dts: int | None = None


class Container:
    """A container of a kind that says nothing about its length, with such packets."""

    format = SimpleNamespace(name="mpegts")

    def __init__(self, *packets: Packet) -> None:
        self.packets = packets

    def demux(self, stream: object) -> tuple[Packet, ...]:
        return self.packets


def stream_of(codec: str = "png", number: int = 0) -> SimpleNamespace:
    codec_context = SimpleNamespace(
        codec=SimpleNamespace(canonical_name=codec, intra_only=False), extradata=None, width=64, height=48
    )
    return SimpleNamespace(
        time_base=Fraction(1, 30), index=number, codec_context=codec_context, metadata={}, average_rate=25
    )


@pytest.mark.parametrize(
    ("packets", "message"),
    [
        ([Packet(0), Packet(1, is_corrupt=True)], "is damaged, cut short or joined from parts at packet 1, expected a"),
        ([Packet(0, is_keyframe=False)], "holds no frame that can be decoded, expected a whole video file"),
        ([Packet(0, is_discard=True)], "holds no frame that can be decoded, expected a whole video file"),
        ([Packet(None, size=0)], "holds no frame that can be decoded, expected a whole video file"),
    ],
)
def test_packets_that_are_refused(packets: list[Packet], message: str) -> None:
    with pytest.raises(DatasetError, match=f"a.ts: {message}"):
        list_packets(Path("a.ts"), Container(*packets), stream_of())


def test_packets_by_hand() -> None:
    packets = [
        Packet(4, is_keyframe=False),  # before the first key frame
        Packet(7),
        Packet(6, is_keyframe=False),  # shown before it
        Packet(9, is_keyframe=False),
        Packet(8, is_keyframe=False, is_discard=True),
        Packet(12, is_discard=True),  # others need it
        Packet(11, is_keyframe=False),
        Packet(None, size=0),
    ]
    found = list_packets(Path("a.ts"), Container(*packets), stream_of(number=2))
    assert found.are_frames
    assert found.index() == VideoIndex((7, 9, 11), (7, 12), Fraction(1, 30), 2)


@pytest.mark.parametrize(
    ("codec", "packets"),
    [
        ("png", [Packet(0), Packet(None), Packet(1)]),
        ("png", [Packet(0), Packet(30), Packet(30)]),
        (
            "hevc",
            [Packet(0), Packet(4, is_keyframe=False), Packet(3)],
        ),  # parts were joined: some frames are missing there
        ("mpeg4", [Packet(0), Packet(1)]),
        ("mpeg2video", [Packet(0), Packet(1)]),
    ],
)
def test_packets_that_may_not_be_frames(codec: str, packets: list[Packet]) -> None:
    assert not list_packets(Path("a.ts"), Container(*packets), stream_of(codec)).are_frames


def listed(*times: int, kind: str = "mpegts", stated: int | None = None) -> PacketList:
    return PacketList(
        Path("a b.ts"), times, times[:1], times[-1] + 1, stated, Fraction(1, 25), 0, Fraction(25), "h264", kind, False
    )


@pytest.mark.parametrize(
    ("kind", "shown", "times"),
    [
        ("mpegts", [(0, 0, 1), (1, 1, 1), (3, 3, 1)], (0, 1, 3)),
        ("mpegts", [(0, None, 0), (1, None, 0)], (0, 1)),
        ("mpegts", [(0, 2, 1), (3, 3, 1), (2, 5, 1), (6, 6, 1)], (0, 3, 5, 6)),  # as FFmpeg guesses
        ("matroska", [(None, None, 2), (None, None, 3), (0, 0, 1), (1, 1, 1)], (-5, -3, 0, 1)),  # nothing before 0
        ("avi", [(0, 2, 1), (3, 3, 1), (2, 4, 1), (5, None, 1), (6, None, 1)], (2, 3, 4, 5, 6)),
    ],
)
def test_times_of_frames_that_were_decoded(
    kind: str, shown: list[tuple[int | None, int | None, int]], times: tuple[int, ...]
) -> None:
    frames = [ShownFrame(*frame) for frame in shown]
    expected = VideoIndex(times, times[:1], Fraction(1, 25), in_order=True)
    assert listed(0, kind=kind).ordered_index(frames) == expected


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "holds no frame that can be decoded, expected a whole video"),
        ([(None, None, 0), (1, 1, 1)], "does not say when each of its frames is shown.* ffmpeg -r 25 -i 'a b.ts' -map"),
        ([(4, 2, 1), (3, 3, 1), (2, 4, 1)], "does not say when each of its frames is shown"),
        ([(0, 0, 0), (None, None, 0)], "does not say when each of its frames is shown"),
        ([(5, 5, 1)], r"what is shown from 0\.000 s to 0\.200 s cannot be decoded: .*; ffmpeg -i 'a b\.ts' -map"),
        ([(0, 0, 1), (1, 1, 1)], "is cut short: its frames end after 0.080 s, but its header says 1.000 s"),
    ],
)
def test_frames_that_were_decoded_and_are_refused(frames: list[tuple[int | None, ...]], message: str) -> None:
    with pytest.raises(DatasetError, match=f"a b.ts: {message}"):
        listed(0, stated=25).ordered_index([ShownFrame(*frame) for frame in frames])


# ── damage ──


def test_missing_files(tmp_path: Path) -> None:
    refused(rf"nothing\.mp4: is missing, expected {WANTED}$", tmp_path / "nothing.mp4")
    refused("is not a file, expected", tmp_path)
    refused("is missing, expected", tmp_path / "a\0b.mp4")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        refused(r"pipe\.mp4: is not a file, expected", tmp_path / "pipe.mp4")


@pytest.mark.parametrize("content", [b"", b"no video" * 99, b"\x89PNG\r\n\x1a\n"])
def test_files_that_are_no_video(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    refused(rf"a\.mp4: cannot be read \(Invalid .*\), expected {WANTED}", tmp_path / "a.mp4")


def test_a_playlist_is_not_followed(folder: Path, tmp_path: Path) -> None:
    target = opened(folder, "h264.ts").path
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n"
    for name, text in (("a.mp4", playlist), ("b.mp4", f"ffconcat version 1.0\nfile {target}\n")):
        (tmp_path / name).write_text(text)
        refused(r"cannot be read \(.*\), expected a whole video file", tmp_path / name)


def test_a_name_is_never_an_address(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = opened(folder, "ffv1.mkv")
    monkeypatch.chdir(tmp_path)
    for name in ("http:clip.mkv", "pipe:0", "clip%03d.mkv"):
        Path(name).write_bytes(video.path.read_bytes())
        np.testing.assert_array_equal(VideoFile.open(name).frame(2), FRAMES[2])


@pytest.mark.parametrize("part", [0.97, 0.8, 0.5, 0.2])
@pytest.mark.parametrize("name", ["ffv1.mkv", "ffv1.avi", "h264.mp4", "fragments.mp4", "front.mp4", "vp9.webm"])
def test_files_that_are_cut_short(folder: Path, tmp_path: Path, name: str, part: float) -> None:
    if name == "front.mp4":
        opened(folder, "h264.mp4")
        file = write_video(tmp_path / "whole.mp4", FRAMES, **H264, container={"movflags": "faststart"})
    else:
        file = opened(folder, name).path
    content = file.read_bytes()
    file = tmp_path / name
    file.write_bytes(content[: int(len(content) * part)])
    message = "is cut short: its frames end after .* s, but its header says 0.8|is damaged, cut short|cannot be read"
    refused(rf"{name}: ({message}|holds 0 video streams)", file)


def test_a_stream_that_is_cut_short_is_shorter_or_damaged(folder: Path, tmp_path: Path) -> None:
    """MPEG-TS says nowhere how long it is."""
    expected = decoded(opened(folder, "h264.ts").path)
    content = (folder / "h264.ts").read_bytes()
    for length in range(188, len(content), 941):
        (tmp_path / "a.ts").write_bytes(content[:length])
        try:
            video = VideoFile.open(tmp_path / "a.ts")
            frames = [video.frame(index) for index in range(len(video))]
        except DatasetError:
            continue
        np.testing.assert_array_equal(frames[:-1], expected[: len(frames) - 1])


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_a_frame_or_an_error(folder: Path, tmp_path: Path, name: str, data: st.DataObject) -> None:
    """Most codecs have no checksums: other colours may come out, never another shape or another kind of error."""
    content = bytearray(opened(folder, name).path.read_bytes())
    position = data.draw(st.integers(0, len(content) * 8 - 1))
    content[position // 8] ^= 1 << position % 8
    (tmp_path / name).write_bytes(content)
    try:
        video = VideoFile.open(tmp_path / name)
        frames = [video.frame(index) for index in range(len(video))]
    except DatasetError as error:
        assert str(tmp_path / name) in str(error)  # noqa: PT017 - one of the two outcomes
    else:
        assert {frame.shape for frame in frames} == {(*video.shape, 3)}


def test_damage_within_is_found_where_it_is(folder: Path, tmp_path: Path) -> None:
    """A group of pictures that is overwritten: those before and behind it are read."""
    source = opened(folder, "h264.mp4").path
    expected = decoded(source)
    with av.open(str(source)) as container:
        keys = [packet.pos for packet in container.demux(video=0) if packet.size and packet.is_keyframe]
    content = bytearray(source.read_bytes())
    content[keys[1] + 4 : keys[2]] = b"\xff" * (keys[2] - keys[1] - 4)
    (tmp_path / "a.mp4").write_bytes(content)
    video = VideoFile.open(tmp_path / "a.mp4")
    for index in (0, 4, 20, 23):
        np.testing.assert_array_equal(video.frame(index), expected[index])
    for index in (10, 15, 19):
        with pytest.raises(
            DatasetError, match=rf"a\.mp4: frame {index} of 0\.\.23 cannot be decoded: .*; the file is dam"
        ):
            video.frame(index)
    np.testing.assert_array_equal(video.frame(21), expected[21])


def test_another_file_under_its_name(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.mkv"
    file.write_bytes(opened(folder, "ffv1.mkv").path.read_bytes())
    video = VideoFile.open(file)
    module._pool.forget()
    write_video(file, FRAMES[:12], rate=25)
    np.testing.assert_array_equal(video.frame(0), FRAMES[0])
    with pytest.raises(DatasetError, match=r"frame 5 of 0\.\.23 cannot be decoded: .*has changed since it was opened"):
        video.frame(5)
    file.unlink()
    module._pool.forget()
    with pytest.raises(DatasetError, match=r"frame 5 of 0\.\.23 cannot be decoded: No such file or directory$"):
        video.frame(5)


def test_without_pyav(run_python) -> None:
    program = (
        "import sys; sys.modules['av'] = None\n"
        "try: import flame_metric.data.video_file\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
    )
    message = "MissingExtraError reading video files needs PyAV: pip install 'flame-metric[video]'"
    assert run_python(program) == message
