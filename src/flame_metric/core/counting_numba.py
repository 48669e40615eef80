"""Compiled loops (numba, the extra ``fast``): what :mod:`flame_metric.core.counting` finds and counts, in less time.

They give the same integers as the NumPy code beside which they stand, are compiled once per machine, and let other
threads run. The machine code is kept where numba keeps it, beside this file or in the user's cache folder, and where
neither can be written it is made again in each process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from flame_metric.errors import MissingExtraError

try:
    import numba
except ModuleNotFoundError as error:
    raise MissingExtraError("compiled loops need numba: pip install 'flame-metric[fast]'") from error
except Exception as error:  # such as OSError, of a library that it cannot load: these loops are not needed
    reason = f"{type(error).__name__}: {error}"
    raise MissingExtraError(f"compiled loops need a numba that can be loaded; this one raised {reason}") from error

if numba.config.DISABLE_JIT:
    raise MissingExtraError("NUMBA_DISABLE_JIT is set, which would run these loops pixel by pixel in Python")

__all__ = ["count_runs", "run_starts"]

_WORD = 8  # pixels of one byte that are compared at once
_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def _array(item: Any) -> Any:
    """Type of an argument that is only read: one type for read-only, writable, aligned and unaligned arrays."""
    return numba.types.Array(item, 1, "C", readonly=True, aligned=False)


_U8, _U16, _I64, _U64 = (_array(item) for item in (numba.uint8, numba.uint16, numba.int64, numba.uint64))


def _compile(*signature: Any) -> Callable[[_Loop], _Loop]:
    def compile_now(loop: _Loop) -> _Loop:
        returned, *arguments = signature
        try:
            compiled: _Loop = numba.njit(returned(*arguments), nogil=True, cache=True)(loop)
        except (OSError, RuntimeError):  # no folder that can be written, or a full one
            compiled = numba.njit(returned(*arguments), nogil=True)(loop)
        return compiled

    return compile_now


def run_starts(labels: npt.NDArray[Any], limit: int) -> npt.NDArray[np.int64] | None:
    """Find the pixels at which the label differs from the one before, the first included; None if above ``limit``.

    Parameters
    ----------
    labels : ndarray, (N,)
        Labels of one byte each.
    limit : int
    """
    pixels = np.ascontiguousarray(labels).view(np.uint8)
    whole = (pixels.size - 1) // _WORD * _WORD
    starts = np.empty(limit + _WORD + 1, np.int64)
    found = _find_starts(pixels, pixels[:whole].view(np.uint64), pixels[1 : whole + 1].view(np.uint64), starts)
    return None if found > limit else starts[:found].copy()


@_compile(numba.int64, _U8, _U64, _U64, numba.int64[::1])
def _find_starts(pixels: Any, before: Any, after: Any, starts: Any) -> Any:
    """Write the starts and return how many there are, or were when there was no room for another word of them.

    ``before`` and ``after`` are the pixels as words, and those one further on: equal words hold no start.
    """
    starts[0] = 0
    found = np.uint64(1)  # without a sign it is not an index from the end, which need not be looked for then
    room = np.uint64(starts.size - _WORD)
    for word in range(before.size):
        if before[word] != after[word]:
            for pixel in range(word * _WORD + 1, word * _WORD + _WORD + 1):
                starts[found] = pixel  # written anyway, and kept or not: no branch to mispredict
                found += np.uint64(pixels[pixel] != pixels[pixel - 1])
            if found > room:
                return found
    for pixel in range(before.size * _WORD + 1, pixels.size):
        starts[found] = pixel
        found += np.uint64(pixels[pixel] != pixels[pixel - 1])
    return found


@_compile(numba.int64[:, ::1], _I64, _U16, _I64, _U16, numba.int64, numba.int64)
def count_runs(  # noqa: PLR0917  compiled loops take arrays, not records
    pred_starts: npt.NDArray[np.int64],
    pred_labels: npt.NDArray[np.uint16],
    target_starts: npt.NDArray[np.int64],
    target_labels: npt.NDArray[np.uint16],
    size: int,
    num_labels: int,
) -> npt.NDArray[np.int64]:
    """Count the pixels of every (target label, predicted label) of two maps of ``size`` pixels, given as runs.

    Returns
    -------
    ndarray of int64, (num_labels, num_labels)
    """
    matrix = np.zeros((num_labels, num_labels), np.int64)
    pred = target = start = 0
    while start < size:
        pred_end = pred_starts[pred + 1] if pred + 1 < pred_starts.size else size
        target_end = target_starts[target + 1] if target + 1 < target_starts.size else size
        end = min(pred_end, target_end)
        matrix[target_labels[target], pred_labels[pred]] += end - start
        start = end
        pred += pred_end == end
        target += target_end == end
    return matrix
