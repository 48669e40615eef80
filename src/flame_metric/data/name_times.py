"""Numbers in names that are times: dates, and times of day."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import pairwise

__all__ = ["kind_of_time"]


def kind_of_time(before: str, digits: Sequence[str]) -> str | None:
    """Say what kind of time the numbers of a recording look like; None if they are numbers."""
    widths = {len(each) for each in digits}
    if len(widths) > 1:
        return None
    (width,) = widths
    if width == 8 and all(_day(each[:4], each[4:6], each[6:]) for each in digits):
        return "a date"
    dated = re.search(r"((?:19|20)[0-9]{2})([-_.]?)([0-9]{2})\2(?:([0-9]{2})[-_ T]?)?$", before)
    if dated is not None:
        year, separator, month, day = dated.groups()
        if width == 2 and day is None and separator and all(_day(year, month, each) for each in digits):
            return "a date"
        if width == 6 and day and _day(year, month, day) and all(_seconds(each) is not None for each in digits):
            return "a time of day"
    return next((kind for kind, read in _TIMES.get(width, ()) if _are_times(digits, width, read)), None)


def _are_times(digits: Sequence[str], width: int, read: Callable[[str], int | None]) -> bool:
    """Whether all are times, and lie more evenly in time than as numbers: they skip 60 to 99, or pass midnight."""
    values = sorted(map(int, digits))
    times = [time for value in values if (time := read(f"{value:0{width}}")) is not None]
    if len(times) < len(values):
        return False
    hour = 10 ** (width - 2)
    if width > 4 and values[0] < hour and values[-1] >= 23 * hour:
        return True
    gaps, gaps_in_time = ({later - earlier for earlier, later in pairwise(found)} for found in (values, times))
    return len(gaps_in_time) < len(gaps)


def _day(year: str, month: str, day: str) -> int | None:
    """Return the number of a day between 1900 and 2100; None if there is none."""
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return found.toordinal() if 1900 <= found.year <= 2100 else None


def _seconds(text: str) -> int | None:
    """Return seconds, of text that ends with two digits each of minutes and seconds."""
    hours, minutes, seconds = int(text[:-4] or "0"), int(text[-4:-2]), int(text[-2:])
    return None if hours > 23 or minutes > 59 or seconds > 59 else (hours * 60 + minutes) * 60 + seconds


def _parts_of_second(text: str, digits: int) -> int | None:
    seconds = _seconds(text[:-digits])
    return None if seconds is None else seconds * 10**digits + int(text[-digits:])


_TIMES: Mapping[int, Sequence[tuple[str, Callable[[str], int | None]]]] = {
    4: (("a time of day", _seconds),),
    6: (("a time of day", _seconds), ("a date", lambda text: _day(f"20{text[:2]}", text[2:4], text[4:]))),
    8: (("a time of day", lambda text: _parts_of_second(text, 2)),),
    9: (("a time of day", lambda text: _parts_of_second(text, 3)),),
}
