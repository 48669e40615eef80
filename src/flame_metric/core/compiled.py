"""Compiled loops (numba, the extra ``fast``), loaded once there is work enough for that to pay."""

from __future__ import annotations

import itertools
from functools import cache
from types import ModuleType

__all__ = ["LOAD_AFTER", "compiled_loops"]

LOAD_AFTER = 5000
"""Maps coded and pairs counted before; numba takes as long to load as it saves on about that many."""
_STEPS = itertools.count()


def compiled_loops() -> ModuleType | None:
    """Return the compiled loops; None without numba, and before there was work enough for loading it to pay."""
    return _load_compiled() if next(_STEPS) >= LOAD_AFTER else None


@cache
def _load_compiled() -> ModuleType | None:
    try:
        from flame_metric.core import counting_numba  # noqa: PLC0415  see LOAD_AFTER
    except ImportError:
        return None
    return counting_numba
