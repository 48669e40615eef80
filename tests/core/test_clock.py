"""Eq. 5: k = ceil(l / d), with exact time and one tolerance (in integer nanoseconds)."""

import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import frame_offset
from flame_metric.core.clock import (
    TIE_NS,
    as_fps,
    exact_fraction,
    milliseconds_to_ns,
    offset_of_ns,
    separating_rates,
    unit_notes,
)
from flame_metric.errors import ConfigError

RATES = (15, 17, Fraction(50, 3), 24, 25, 30, Fraction(30000, 1001), 60)


# ── worked by hand ──


@pytest.mark.parametrize(
    ("latency_ms", "k"), [(26, 1), (38, 1), (60, 1), (61, 2), (76, 2), (120, 2), (195, 4), (540, 9), (0, 0)]
)
@pytest.mark.parametrize("fps", ["50/3", Fraction(50, 3), 50 / 3, 1 / 0.06, 1000 / 60])
def test_table_at_60_ms(latency_ms, k, fps):
    assert frame_offset(latency_ms, fps) == k
    assert frame_offset(float(latency_ms), fps) == k


@pytest.mark.parametrize(
    ("latency_ms", "fps", "k"),
    [
        (66.667, 15, 1),  # the rounded frame interval: k = 2 would change a real score from 0.735525 to 0.636171
        (66.667, 15.0, 1),
        (66.66666666666667, 15, 1),
        (133.333, 15, 2),
        (33.367, 29.97, 1),
        (33.367, "30000/1001", 1),
        (33.334, 30, 1),
        (70, 100, 7),  # ceil(0.07 * 100) is 8
        (540, Fraction(50, 3), 9),  # ceil(0.54 / 0.06) is 10
        (0.0001, 30, 0),  # 100 ns: below the tolerance
        (0.001, 30, 0),
        (0.0011, 30, 1),
        (1e9, 1, 10**6),
    ],
)
def test_ties_by_hand(latency_ms, fps, k):
    assert frame_offset(latency_ms, fps) == k


def test_ceiling_of_floats_is_wrong_on_ties():
    assert math.ceil(0.07 * 100) == 8
    assert math.ceil(0.54 / 0.06) == 10
    wrong = [m for m in range(1, 101) if math.ceil(m * 60 / 1000 / 0.06) != m]
    assert len(wrong) == 28
    assert [m for m in range(1, 101) if frame_offset(m * 60 / 1000 * 1000, 1 / 0.06) != m] == []


def test_result_is_an_integer():
    assert type(frame_offset(26.0, 30.0)) is int


# ── the law of whole multiples ──


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize(
    "write",
    [float, lambda ms: float(ms / 1000) * 1000, lambda ms: round(float(ms), 3)],
    ids=["float ms", "float s to ms", "3 decimals of a ms"],
)
def test_law_whole_multiples_of_the_frame_interval(fps, write):
    interval_ms = 1000 / Fraction(fps)
    late = Fraction(2, 1000)  # 2 us
    for m in range(1, 1001):
        assert frame_offset(write(m * interval_ms), fps) == m
        assert frame_offset(write(m * interval_ms + late), fps) == m + 1


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_law_whole_multiples_given_exactly(fps):
    interval_ms = 1000 / Fraction(fps)
    for m in range(1, 1001):
        assert frame_offset(m * interval_ms, fps) == m
        assert frame_offset(m * interval_ms, float(fps)) == m
        assert frame_offset(m * interval_ms, str(fps)) == m


@given(st.integers(0, 10**11), st.sampled_from(RATES))
def test_law_smallest_k_that_is_late_enough(latency_ns, fps):
    k = offset_of_ns(latency_ns, Fraction(fps))
    interval = Fraction(10**9) / Fraction(fps)
    assert k * interval >= latency_ns - TIE_NS
    assert k == 0 or (k - 1) * interval < latency_ns - TIE_NS


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(RATES))
def test_law_offset_never_falls_with_latency(one, other, fps):
    fast, slow = sorted((one / 1000, other / 1000))
    assert frame_offset(fast, fps) <= frame_offset(slow, fps)


@pytest.mark.parametrize("nanoseconds", [-1000, -1, 0, 1, 999, 1000])
def test_law_within_the_tolerance_a_tie_is_a_tie(nanoseconds):
    assert offset_of_ns(60_000_000 + nanoseconds, Fraction(50, 3)) == 1


def test_law_past_the_tolerance_it_is_late():
    assert offset_of_ns(60_001_001, Fraction(50, 3)) == 2


@pytest.mark.parametrize("latency_ns", [0, 1, 1000])
def test_no_latency_is_no_offset(latency_ns):
    assert offset_of_ns(latency_ns, Fraction(60)) == 0


# ── frame rates ──


@pytest.mark.parametrize(
    ("fps", "exact"),
    [
        (30, Fraction(30)),
        (30.0, Fraction(30)),
        (29.97, Fraction(2997, 100)),
        (23.976, Fraction(23976, 1000)),
        (50 / 3, Fraction(50, 3)),
        (30000 / 1001, Fraction(30000, 1001)),
        (1 / 0.06, Fraction(50, 3)),
        (0.5, Fraction(1, 2)),
        ("30", Fraction(30)),
        ("29.97", Fraction(2997, 100)),
        ("30000/1001", Fraction(30000, 1001)),
        ("50/3", Fraction(50, 3)),
        (Fraction(50, 3), Fraction(50, 3)),
        (Decimal("29.97"), Fraction(2997, 100)),
    ],
)
def test_rate_is_the_exact_fraction_it_means(fps, exact):
    assert as_fps(fps) == exact


@given(st.floats(min_value=1e-3, max_value=1e6))
def test_law_rate_of_a_float_rounds_to_that_float(fps):
    assert float(as_fps(fps)) == fps


@given(st.fractions(min_value=Fraction(1, 100), max_value=1000, max_denominator=2000))
def test_law_simple_fractions_survive_a_float(fps):
    assert as_fps(float(fps)) == fps


# ── NumPy numbers are numbers ──


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"]
)
@pytest.mark.parametrize(("latency_ms", "fps"), [(100, 30), (120, 25), (0, 1)])
def test_numpy_numbers(dtype, latency_ms, fps):
    number = np.dtype(dtype).type
    k = frame_offset(latency_ms, fps)
    assert frame_offset(number(latency_ms), fps) == k
    assert frame_offset(latency_ms, number(fps)) == k
    assert frame_offset(number(latency_ms), number(fps)) == k
    assert type(frame_offset(number(latency_ms), number(fps))) is int


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64"])
def test_numpy_integers_do_not_overflow(dtype):
    number = np.dtype(dtype).type
    assert frame_offset(number(2_000_000_000), number(30)) == 60_000_000


# ── nanoseconds ──


@pytest.mark.parametrize(
    ("milliseconds", "nanoseconds"),
    [
        (0, 0),
        (26, 26_000_000),
        (66.667, 66_667_000),
        (0.1 + 0.2, 300_000),
        (1e-9, 0),
        (Fraction(200, 3), 66_666_667),
        (Decimal("0.0000005"), 0),
        (Decimal("1.2345678"), 1_234_568),
        (10**12, 10**18),
    ],
)
def test_milliseconds_become_whole_nanoseconds(milliseconds, nanoseconds):
    found = milliseconds_to_ns(milliseconds)
    assert found == nanoseconds
    assert type(found) is int


# ── refusals ──

BAD_NUMBERS = [
    float("nan"),
    float("inf"),
    float("-inf"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    Decimal("1e999999999"),
    Decimal("1e-999999999"),
    np.float32("nan"),
    np.float64("inf"),
    True,
    False,
    np.True_,
    None,
    1j,
    [26],
    {},
    b"26",
    pytest.param(object(), id="an object"),
    -1,
    -0.001,
    Fraction(-1, 3),
    Decimal(-1),
    np.int64(-5),
]


@pytest.mark.parametrize("latency_ms", [*BAD_NUMBERS, "26", ""], ids=repr)
def test_latency_that_is_refused(latency_ms):
    with pytest.raises(ConfigError, match=r"`latency_ms` is .*expected milliseconds >= 0"):
        frame_offset(latency_ms, 30)


@pytest.mark.parametrize(
    "fps",
    [
        *[*BAD_NUMBERS, 0, 0.0, Fraction(0), Decimal(0), np.int64(0)],
        *["", "abc", "0", "0.0", "0/5", "1/0", "-30", "+-3", "30/", "/3", "30fps", "nan", "inf", "1/2/3", "३०", "1e9"],
        *["1e999999999", "1e-999999999", "9" * 5000, "1/" + "9" * 5000],
    ],
    ids=lambda fps: repr(fps)[:20],
)
def test_frame_rate_that_is_refused(fps):
    with pytest.raises(ConfigError, match=r"`fps` is .*expected"):
        frame_offset(26, fps)


RATE = "a rate above 0, such as 30, 29.97 or '30000/1001'"


@pytest.mark.parametrize(
    ("fps", "message"),
    [
        ("abc", f"`fps` is 'abc', expected {RATE}"),
        (None, f"`fps` is None, expected {RATE}"),
        (0, f"`fps` is 0, expected {RATE}"),
        (Fraction(1, 10**9 + 1), f"`fps` is 1/1000000001, expected {RATE}"),
        (10**9 + 1, f"`fps` is 1000000001, expected {RATE}"),
    ],
)
def test_messages_of_rates(fps: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        as_fps(fps)


@pytest.mark.parametrize("fps", [Fraction(1, 10**9), 10**9])
def test_slowest_and_fastest_rate(fps: Fraction) -> None:
    assert as_fps(fps) == fps


@pytest.mark.parametrize(
    ("latency_ms", "message"),
    [
        ("26", "`latency_ms` is '26', expected milliseconds >= 0"),
        (-1, "`latency_ms` is -1, expected milliseconds >= 0 (at most 1e+12)"),
        (10**12 + 1, "`latency_ms` is 1000000000001, expected milliseconds >= 0 (at most 1e+12)"),
        (
            Decimal(10**12) + Decimal("0.5"),
            "`latency_ms` is 1000000000000.5, expected milliseconds >= 0 (at most 1e+12)",
        ),
    ],
)
def test_messages_of_latencies(latency_ms: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        milliseconds_to_ns(latency_ms)


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        ("0.5", Fraction(1, 2)),
        ("1/2", Fraction(1, 2)),
        (0.1, Fraction(1, 10)),
        (1 / 3, Fraction(1, 3)),
        (1 / 1_000_000, Fraction(1, 1_000_000)),
        (1 / 1_000_001, Fraction(1 / 1_000_001)),  # its denominator is too large to be meant
        (math.pi, Fraction(math.pi)),
        (Decimal("1e400"), Fraction(10**400)),
        (Decimal("1e-400"), Fraction(1, 10**400)),
        (np.uint8(200), Fraction(200)),
    ],
)
def test_numbers_become_fractions(value: object, exact: Fraction) -> None:
    assert exact_fraction("share", value) == exact


@pytest.mark.parametrize("value", [Decimal("1e401"), Decimal("1e-401"), "1e3", "one", True, None])
def test_what_is_no_fraction(value: object) -> None:
    message = f"`share` is {value!r}, expected a number, or text such as '0.5' or '1/2'"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        exact_fraction("share", value)


def test_text_is_no_number_where_none_is_asked_for() -> None:
    assert exact_fraction("share", 0.5, "a share", text=False) == Fraction(1, 2)
    with pytest.raises(ConfigError, match=r"^`share` is '0\.5', expected a share$"):
        exact_fraction("share", "0.5", "a share", text=False)


def test_error_names_the_argument_it_was_given():
    with pytest.raises(ConfigError, match="`extra_latency_ms` is -1"):
        milliseconds_to_ns(-1, "extra_latency_ms")


def test_config_error_is_a_value_error_too():
    with pytest.raises(ValueError, match="`fps` is 0"):
        frame_offset(26, 0)


# ── rates that tell two latencies apart ──


@pytest.mark.parametrize(
    ("first", "second", "fps", "rates"),
    [
        (26, 38, "50/3", (1000 / 38, 1000 / 26)),
        (38, 26, "50/3", (1000 / 38, 1000 / 26)),
        (26, 38, 30, None),  # k is 1 and 2
        (76, 110, 24, None),  # 2 and 3
        (50, 60, 30, (2000 / 60, 2000 / 50)),
        (26, 26, 30, None),
        (0, 38, 10, None),  # no delay at all
        (0.0005, 0.0009, 10, None),  # within a microsecond they are none, either
    ],
)
def test_separating_rates_by_hand(first, second, fps, rates):
    found = separating_rates(first, second, fps)
    assert found is None if rates is None else [float(rate) for rate in found] == pytest.approx(rates, rel=1e-4)


def test_separating_rates_are_exact() -> None:
    # two frames have passed at k / (l - 1 us): there the slower one is late
    above, up_to = separating_rates(50, 60, 30)
    assert (above, up_to) == (Fraction(2 * 10**9, 60 * 10**6 - TIE_NS), Fraction(2 * 10**9, 50 * 10**6 - TIE_NS))
    assert [frame_offset(ms, above) for ms in (50, 60)] == [2, 2]
    assert [frame_offset(ms, above + Fraction(1, 10**9)) for ms in (50, 60)] == [2, 3]
    assert [frame_offset(ms, up_to) for ms in (50, 60)] == [2, 3]
    assert [frame_offset(ms, up_to + Fraction(1, 10**9)) for ms in (50, 60)] == [3, 3]


@given(first=st.integers(1, 400), second=st.integers(1, 400), fps=st.fractions(1, 90, max_denominator=1001))
def test_separating_rates_separate(first, second, fps):
    found = separating_rates(first, second, fps)
    same = frame_offset(first, fps) == frame_offset(second, fps)
    if found is None:
        assert first == second or not same
        return
    above, up_to = found
    assert same
    assert fps <= above < up_to
    for rate in (fps, above):
        assert frame_offset(first, rate) == frame_offset(second, rate)
    for rate in (above + (up_to - above) / 1000, up_to):
        assert frame_offset(first, rate) != frame_offset(second, rate)


@pytest.mark.parametrize(
    ("latency", "fps", "asked"),
    [
        (0.076, 17, "latency"),
        (0.999, "99.9", "latency"),
        (0.999, 100, ""),  # frames are 10 ms apart, not more
        (1, 17, ""),
        (0.499, 1000, "latency"),
        (0.5, 1000, ""),
        (0.3, None, "latency"),
        (0.7, None, ""),
        (0, 17, ""),  # nothing in any unit
        (60_000, 17, ""),
        (60_001, 17, "latency"),
        (76_000, None, "latency"),
        (None, 17, ""),
        (None, "0.999", "frame rate"),
        (None, 1, ""),
        (76, "1/17", "frame rate"),
        (0.076, "1/17", "latency frame rate"),
        (1e-9, 17, "latency"),
    ],
)
def test_units_are_asked_about(latency: float | None, fps: object, asked: str) -> None:
    notes = unit_notes(latency, None if fps is None else as_fps(fps))
    assert " ".join(note.removeprefix("The ").partition(" is ")[0] for note in notes) == asked
    assert all(note.count("is the unit right?") == 1 for note in notes)
