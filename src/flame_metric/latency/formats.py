"""Files with times in them: latency traces, and the times at which frames arrive."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

from flame_metric.core.files import numbers_from_csv
from flame_metric.errors import DatasetError, FlameError
from flame_metric.latency.simulate import ascending_ns
from flame_metric.latency.trace import LatencyTrace

__all__ = ["read_arrivals", "read_trace"]


def read_trace(path: str | os.PathLike[str], replay: str | None = None) -> LatencyTrace:
    """Read a latency trace, JSON (:meth:`LatencyTrace.to_json`) or CSV with a column ``latency_ms``.

    Parameters
    ----------
    path : str or path
    replay : {"call", "frame", "random"}, optional
        Default: as the file says; of a CSV, by call.

    Raises
    ------
    DatasetError
        If the file cannot be read or holds no trace.
    """
    text = _read_text(path)
    try:
        trace = LatencyTrace.from_json(text) if text.lstrip()[:1] == "{" else LatencyTrace.from_csv(text)
    except FlameError as error:
        raise DatasetError(f"{path}: {error}", path=path) from error
    return trace if replay is None else trace.replayed(replay)


def read_arrivals(path: str | os.PathLike[str]) -> list[Fraction]:
    """Read the times at which frames arrive, in milliseconds, from a CSV with a column ``arrival_ms``.

    Raises
    ------
    DatasetError
        If the file cannot be read, has no such column, or its times are not numbers >= 0 that ascend.
    """
    text = _read_text(path)
    try:
        arrivals = numbers_from_csv(text, "arrival_ms")
        ascending_ns("arrival_ms", arrivals)  # here an error can name the file
    except FlameError as error:
        raise DatasetError(f"{path}: {error}", path=path) from error
    return arrivals


def _read_text(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # spreadsheets begin a CSV with a byte order mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise DatasetError(f"{path}: cannot be read: {reason}", path=path) from error
