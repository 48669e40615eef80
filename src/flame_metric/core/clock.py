"""Frame offset (Eq. 5): k = ceil(l / d). A prediction that finishes exactly at a frame is current at that frame.

l is the latency of one prediction, d = 1 / fps the interval between two frames. In floating point the ceiling is wrong
on ties: ceil(0.07 * 100) is 8, and 66.667 ms at 15 fps gives 2 instead of 1. Here a latency becomes integer nanoseconds
once, d is an exact fraction, and one tolerance decides every tie::

    k = max(0, ceil((l - TIE_NS) / d))

A latency given as a float, or rounded to 3 decimals of a millisecond, is off by less than that tolerance, and no timer
is as fine.
"""

from __future__ import annotations

import math
import numbers
import re
from decimal import Decimal
from fractions import Fraction

from flame_metric.core.tables import milliseconds_text, rate_text
from flame_metric.errors import ConfigError, cut, quoted

__all__ = [
    "MAX_FRAMES",
    "MAX_NS",
    "NS_PER_S",
    "TIE_NS",
    "Fps",
    "Milliseconds",
    "as_fps",
    "frame_offset",
    "milliseconds_to_ns",
    "separating_rates",
    "unit_notes",
]

TIE_NS = 1_000
"""Times at most this many nanoseconds apart are one time."""

MAX_NS = 10**18
"""No frame arrives later and no latency is longer: three decades. A sum of nine still fits into 64 bits."""

MAX_FRAMES = 3_000_000
"""Frames of one sequence at most: more than a day at 30 frames a second. A stream of that many takes a gigabyte."""

Fps = int | float | Fraction | Decimal | str
"""Frames per second: a number, or text such as ``"30000/1001"``."""

Milliseconds = int | float | Fraction | Decimal

_NUMBER = re.compile(r"\d{1,30}(\.\d{1,30}|/\d{1,30})?", re.ASCII)  # no exponent: '1e999999999' takes minutes to expand
_MAX_EXPONENT = 400
_NS_PER_MS = 1_000_000
_MAX_MS = MAX_NS // _NS_PER_MS
NS_PER_S = 1_000_000_000


def as_fps(fps: Fps, argument: str = "fps") -> Fraction:
    """Return a frame rate as the exact fraction it means.

    A float is read as the simplest fraction that rounds to it: ``16.666666666666668`` is 50/3.

    Parameters
    ----------
    fps : int, float, Fraction, Decimal or str
        Frames per second, > 0; text may be a fraction such as ``"30000/1001"``.
    argument : str
        The name that an error gives to it.

    Returns
    -------
    Fraction

    Raises
    ------
    ConfigError
        If it is not a number, not finite, not above zero, or beyond 1e-9..1e9.

    Examples
    --------
    >>> as_fps("30000/1001")
    Fraction(30000, 1001)
    >>> as_fps(16.666666666666668)
    Fraction(50, 3)
    """
    expected = "a rate above 0, such as 30, 29.97 or '30000/1001'"
    exact = exact_fraction(argument, fps, expected)
    if not Fraction(1, 10**9) <= exact <= 10**9:
        raise ConfigError(f"`{argument}` is {cut(str(fps), 100)}, expected {expected}")
    return exact


def exact_fraction(
    argument: str, value: object, expected: str = "a number, or text such as '0.5' or '1/2'", *, text: bool = True
) -> Fraction:
    """Return a number, or text without exponent, as a fraction; a float as the simplest one that rounds to it.

    Raises
    ------
    ConfigError
        If it is neither, or not finite, or text where ``text`` is false.
    """
    if isinstance(value, str) and not (text and _NUMBER.fullmatch(value)):
        raise ConfigError(f"`{argument}` is {quoted(value)}, expected {expected}")
    exact = _exact(value, (numbers.Rational, Decimal, str), argument, expected)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
        simple = exact.limit_denominator(1_000_000)
        if float(simple) == float(value):
            return simple
    return exact


def milliseconds_to_ns(value: Milliseconds, argument: str = "latency_ms") -> int:
    """Return a duration in milliseconds as whole nanoseconds, rounded to the nearest.

    Parameters
    ----------
    value : int, float, Fraction or Decimal
        Milliseconds, 0..1e12.
    argument : str
        The name that an error gives to it.

    Raises
    ------
    ConfigError
        If it is not a number, not finite, negative or above 1e12.

    Examples
    --------
    >>> milliseconds_to_ns(66.667)
    66667000
    """
    exact = _exact(value, (numbers.Rational, Decimal), argument, "milliseconds >= 0")
    if not 0 <= exact <= _MAX_MS:
        raise ConfigError(f"`{argument}` is {cut(str(value), 100)}, expected milliseconds >= 0 (at most {_MAX_MS:.0e})")
    return round(exact * _NS_PER_MS)


def frame_offset(latency_ms: Milliseconds, fps: Fps) -> int:
    """Return k, the number of frames by which the scene has moved on when a prediction is ready (Eq. 5).

    Parameters
    ----------
    latency_ms : int, float, Fraction or Decimal
        Latency of one prediction in milliseconds, >= 0; 0 gives k = 0.
    fps : int, float, Fraction, Decimal or str
        Frames per second, > 0.

    Returns
    -------
    int
        k >= 0.

    Raises
    ------
    ConfigError
        If the latency is negative, NaN or infinite, or the frame rate is not above zero.

    Examples
    --------
    >>> [frame_offset(ms, "50/3") for ms in (26, 38, 60, 61, 76, 195)]
    [1, 1, 1, 2, 2, 4]
    """
    return offset_of_ns(milliseconds_to_ns(latency_ms), as_fps(fps))


def offset_of_ns(latency_ns: int, fps: Fraction) -> int:
    """Eq. 5 for a latency in integer nanoseconds, with the tie rule of this module."""
    return max(0, math.ceil((latency_ns - TIE_NS) * fps / NS_PER_S))


def separating_rates(first_ms: Milliseconds, second_ms: Milliseconds, fps: Fps) -> tuple[Fraction, Fraction] | None:
    """Return the next frame rates at which two latencies with one frame offset have different ones.

    A camera that is too slow cannot tell two networks apart (FLAME, section 3.4). With k their common offset at
    ``fps``, the slower one takes k + 1 frames above the rate k / slower, and the faster one only above k / faster.

    Parameters
    ----------
    first_ms, second_ms : int, float, Fraction or Decimal
        Latencies in milliseconds, >= 0.
    fps : int, float, Fraction, Decimal or str
        Frames per second, > 0.

    Returns
    -------
    (Fraction, Fraction) or None
        Frames per second: they differ above the first rate, up to and with the second. None if they differ already, or
        never do: their latencies are one time, or one of them is nothing.

    Examples
    --------
    >>> above, up_to = separating_rates(26, 38, "50/3")
    >>> round(float(above), 2), round(float(up_to), 2)
    (26.32, 38.46)
    >>> frame_offset(26, 26.4), frame_offset(38, 26.4)
    (1, 2)
    """
    fast, slow = sorted((milliseconds_to_ns(first_ms), milliseconds_to_ns(second_ms)))
    rate = as_fps(fps)
    offset = offset_of_ns(fast, rate)
    if fast == slow or offset == 0 or offset_of_ns(slow, rate) != offset:
        return None
    above, up_to = (Fraction(offset * NS_PER_S, latency - TIE_NS) for latency in (slow, fast))
    return above, up_to


_SHORT_MS, _SHORTEST_MS, _LONG_MS = 1, Fraction(1, 2), 60_000
_SLOW_FPS = 100  # frames that are more than 10 ms apart


def unit_notes(latency_ms: Milliseconds | None, fps: Fraction | None) -> tuple[str, ...]:
    """Ask whether units are right, where a latency or a frame rate is what a slip of the unit gives.

    A latency is asked about below 0.5 ms, below 1 ms where frames are more than 10 ms apart, and above a minute; a
    frame rate below 1 fps. No latency at all is nothing in any unit.

    Parameters
    ----------
    latency_ms : float, optional
        Milliseconds; of a trace, its median.
    fps : Fraction, optional
        Frames per second.

    Returns
    -------
    tuple of str
        Sentences.

    Examples
    --------
    >>> unit_notes(76, Fraction(17))
    ()
    >>> print(*unit_notes(0.076, Fraction(17)))
    The latency is 0.076 ms, far below the interval between two frames: is the unit right? 0.076 s are 76.0 ms.
    >>> print(*unit_notes(76, Fraction(1, 17)))
    The frame rate is 1/17 fps, a frame in 17 s: is the unit right? An interval of 1/17 s is a rate of 17 fps.
    """
    notes = []
    if latency_ms:
        written = f"{float(latency_ms):.6g}"
        as_seconds = milliseconds_text(float(latency_ms * 1000))
        is_slow = fps is not None and fps < _SLOW_FPS
        if latency_ms < _SHORT_MS and is_slow:
            notes.append(
                f"The latency is {written} ms, far below the interval between two frames: is the unit right? {written} "
                f"s are {as_seconds}."
            )
        elif latency_ms < _SHORTEST_MS:
            notes.append(f"The latency is {written} ms: is the unit right? {written} s are {as_seconds}.")
        elif latency_ms > _LONG_MS:
            notes.append(
                f"The latency is {written} ms, more than a minute: is the unit right? {written} us are "
                f"{milliseconds_text(float(latency_ms) / 1000)}."
            )
    if fps is not None and fps < 1:
        rate, interval = rate_text(fps), rate_text(1 / fps)
        notes.append(
            f"The frame rate is {rate} fps, a frame in {interval} s: is the unit right? An interval of {rate} s is a "
            f"rate of {interval} fps."
        )
    return tuple(notes)


def _exact(value: object, exact_types: tuple[type, ...], argument: str, expected: str) -> Fraction:
    if isinstance(value, exact_types) and not isinstance(value, bool):
        if isinstance(value, numbers.Integral):
            return Fraction(int(value))  # NumPy's integers would overflow later
        huge = isinstance(value, Decimal) and abs(value.adjusted()) > _MAX_EXPONENT  # a fraction of a billion digits
        try:
            if not huge:
                return Fraction(value)  # type: ignore[call-overload,no-any-return]
        except (ValueError, OverflowError, ZeroDivisionError):
            pass
    elif isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        return Fraction(float(value))
    raise ConfigError(f"`{argument}` is {quoted(value)}, expected {expected}")
