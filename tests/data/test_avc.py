"""Parameter sets of H.264: whether pictures may be coded as fields, wherever a container keeps the sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.data.avc import may_hold_fields
from laws import examples

FRAMES = bytes.fromhex("67640015acd941819bff0110000003001000000303c0f162d960")
FIELDS = bytes.fromhex("67640015acd9431b6022000003000200000300643e28532c")  # frames that are interlaced, by x264
PICTURE_SET = bytes.fromhex("68ebe3cb22c0")
SLICE = bytes.fromhex("6588840033ff")


def record(*units, lengths=3):
    """Return an avcC record, as MP4 and Matroska have it."""
    sets = b"".join(len(unit).to_bytes(2) + unit for unit in units)
    return bytes([1, 100, 0, 21, 0xFC | lengths, 0xE0 | len(units)]) + sets + b"\1" + b"\0\6" + PICTURE_SET


@pytest.mark.parametrize(("unit", "fields"), [(FRAMES, False), (FIELDS, True)])
@pytest.mark.parametrize("start", [b"\0\0\1", b"\0\0\0\1"])
def test_sets_behind_start_codes(unit, fields, start):
    assert may_hold_fields(start + unit) == fields
    assert may_hold_fields(start + unit + start + PICTURE_SET + start + SLICE) == fields
    assert may_hold_fields(start + FRAMES + start + SLICE + start + unit) == fields
    assert not may_hold_fields(start + SLICE + start + PICTURE_SET)


@pytest.mark.parametrize(("unit", "fields"), [(FRAMES, False), (FIELDS, True)])
def test_sets_in_a_record_and_behind_lengths(unit, fields):
    assert may_hold_fields(record(unit)) == fields
    assert may_hold_fields(record(FRAMES, unit)) == fields
    for number in (2, 4):
        packet = b"".join(len(part).to_bytes(number) + part for part in (PICTURE_SET, unit, SLICE))
        assert may_hold_fields(packet, length_bytes=number) == fields


@pytest.mark.parametrize("length", range(1, 8))
def test_a_set_that_is_cut_is_in_doubt(length):
    """As a set that says so: the file is decoded once then."""
    assert may_hold_fields(b"\0\0\1" + FRAMES[:length])
    assert may_hold_fields(record(FRAMES[:length]))
    assert may_hold_fields(b"\1\0\0\0\xff")


class Writer:
    """Bits of a set, in the codes of H.264."""

    def __init__(self):
        self.bits = ""

    def fixed(self, value, number):
        self.bits += f"{value:0{number}b}"

    def golomb(self, value):
        code = f"{value + 1:b}"
        self.bits += "0" * (len(code) - 1) + code

    def unit(self):
        padded = self.bits + "1" + "0" * (-len(self.bits) - 1 & 7)
        plain = int(padded, 2).to_bytes(len(padded) // 8)
        coded, zeros = bytearray(), 0
        for byte in plain:
            if zeros == 2 and byte <= 3:
                coded.append(3)
                zeros = 0
            coded.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes(coded)


NUMBERS = st.integers(0, 300)


@examples(200)
@given(st.data(), st.sampled_from([66, 77, 88, 100, 110, 122, 244]), st.booleans(), st.sampled_from([0, 1, 2]))
def test_any_set_is_read_up_to_what_is_asked(data, profile, frames_only, order):
    writer = Writer()
    for value in (0x67, profile, 0, 40):
        writer.fixed(value, 8)
    writer.golomb(data.draw(st.integers(0, 31)))
    if profile >= 100:
        chroma = data.draw(st.integers(0, 3))
        writer.golomb(chroma)
        if chroma == 3:
            writer.fixed(0, 1)
        for _ in range(2):
            writer.golomb(data.draw(st.integers(0, 6)))
        writer.fixed(0, 1)
        matrices = data.draw(st.booleans())
        writer.fixed(matrices, 1)
        for place in range(12 if chroma == 3 else 8) if matrices else ():
            write_matrix(writer, data, 16 if place < 6 else 64)
    writer.golomb(data.draw(st.integers(0, 12)))
    writer.golomb(order)
    if order == 0:
        writer.golomb(data.draw(st.integers(0, 12)))
    if order == 1:
        writer.fixed(0, 1)
        cycle = data.draw(st.lists(NUMBERS, max_size=5))
        for value in (data.draw(NUMBERS), data.draw(NUMBERS), len(cycle), *cycle):
            writer.golomb(value)
    writer.golomb(data.draw(st.integers(0, 16)))
    writer.fixed(0, 1)
    for _ in range(2):
        writer.golomb(data.draw(NUMBERS))
    writer.fixed(frames_only, 1)
    writer.fixed(data.draw(st.integers(0, 255)), 8)
    assert may_hold_fields(b"\0\0\1" + writer.unit()) == (not frames_only)


def write_matrix(writer, data, size):
    """Write a list of weights: none, one that ends early with the rest as the last, or all."""
    there = data.draw(st.booleans())
    writer.fixed(there, 1)
    if not there:
        return
    last = 8
    for weight in data.draw(st.lists(st.integers(0, 12), min_size=size, max_size=size)):
        step = weight - last
        writer.golomb(2 * step - 1 if step > 0 else -2 * step)
        if weight == 0:
            return
        last = weight
