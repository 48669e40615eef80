"""Files with times in them: latency traces, and the times at which frames arrive."""

from __future__ import annotations

import os
from fractions import Fraction

from flame_metric.core.files import numbers_from_csv, read_text
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
    trace = LatencyTrace.load(path)
    return trace if replay is None else trace.replayed(replay)


def read_arrivals(path: str | os.PathLike[str]) -> list[Fraction]:
    """Read the times at which frames arrive, in milliseconds, from a CSV with a column ``arrival_ms``.

    Raises
    ------
    DatasetError
        If the file cannot be read, has no such column, or its times are not numbers >= 0 that ascend.
    """
    text = read_text(path, encoding="utf-8-sig")  # spreadsheets begin a CSV with a byte order mark
    try:
        arrivals = numbers_from_csv(text, "arrival_ms")
        ascending_ns("arrival_ms", arrivals)  # here an error can name the file
    except FlameError as error:
        raise DatasetError(f"{path}: {error}", path=path) from error
    return arrivals
