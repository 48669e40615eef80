"""What an H.264 stream says of its pictures: whether they may be coded as fields, two of which make a frame.

The sequence parameter set (ITU-T H.264, 7.3.2.1.1) says so. Where fields are possible, the packets of a file say
neither how many frames there are nor at which of them decoding can begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["may_hold_fields"]

_SEQUENCE_SET = 7  # type of a unit
_MOST = 256  # bytes of a set that are read: what is looked for comes early
_MARKED = re.compile(rb"(?=\x00\x00\x01([\x07\x27\x47\x67].{0,255}))", re.DOTALL)  # sets behind start codes
_WITH_CHROMA = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})  # profiles


def may_hold_fields(data: bytes, *, length_bytes: int = 0) -> bool:
    """Whether a sequence parameter set says that pictures may be coded as fields, or cannot be read.

    Parameters
    ----------
    data : bytes
        A packet, or what a container says of the stream: an ``avcC`` record, or units behind start codes.
    length_bytes : int
        Bytes of the length before each unit of a packet; 0: start codes.

    Examples
    --------
    >>> progressive = bytes.fromhex("000000016764000bacd943064d0110000003001000000303")
    >>> may_hold_fields(progressive), may_hold_fields(b"no parameters")
    (False, False)
    """
    try:
        units = _length_units(data, length_bytes) if length_bytes else _units(data)
        return any(not _is_frames_only(unit) for unit in units if unit and unit[0] & 31 == _SEQUENCE_SET)
    except (IndexError, ValueError):
        return True


def _units(data: bytes) -> Iterator[bytes]:
    if data[:1] != b"\1":
        yield from (found[1] for found in _MARKED.finditer(data))
        return
    place = 6
    for _ in range(data[5] & 31):
        end = place + 2 + int.from_bytes(data[place : place + 2])
        yield data[place + 2 : end]
        place = end


def _length_units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    place = 0
    while place + length_bytes < len(data):
        end = place + length_bytes + int.from_bytes(data[place : place + length_bytes])
        yield data[place + length_bytes : min(end, place + _MOST)]
        place = end


class _Bits:
    """The bits of a unit, read one after the other."""

    def __init__(self, unit: bytes) -> None:
        plain = unit.replace(b"\0\0\3", b"\0\0")
        self._bits = "".join(f"{byte:08b}" for byte in plain)
        self._place = 8  # behind the type

    def read(self, number: int) -> int:
        """Return the next bits as a number."""
        self._place += number
        return int(self._bits[self._place - number : self._place], 2)

    def golomb(self) -> int:
        """Return the next number >= 0, as H.264 codes it; those with a sign are as long."""
        zeros = self._bits.index("1", self._place) - self._place
        self._place += zeros
        return self.read(zeros + 1) - 1


def _is_frames_only(unit: bytes) -> bool:
    bits = _Bits(unit[:_MOST])
    profile = bits.read(8)
    bits.read(16)
    bits.golomb()  # id
    if profile in _WITH_CHROMA:
        _skip_chroma(bits)
    bits.golomb()  # log2_max_frame_num_minus4
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.read(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()  # max_num_ref_frames
    bits.read(1)
    bits.golomb()  # width
    bits.golomb()  # height
    return bits.read(1) == 1  # frame_mbs_only_flag


def _skip_chroma(bits: _Bits) -> None:
    chroma = bits.golomb()
    if chroma == 3:
        bits.read(1)
    bits.golomb()
    bits.golomb()
    bits.read(1)
    if not bits.read(1):
        return
    for each in range(12 if chroma == 3 else 8):
        if not bits.read(1):
            continue
        last = following = 8
        for _ in range(16 if each < 6 else 64):
            if following:
                following = (last + _signed(bits.golomb())) % 256
            last = following or last


def _signed(code: int) -> int:
    return (code + 1) // 2 if code % 2 else -(code // 2)
