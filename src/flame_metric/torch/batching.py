"""Several inputs in one pass of a network, where that changes no number.

Libraries choose other kernels for other batch sizes, which add in another order: scores may differ in their last bits,
and with them the class of a pixel here and there. So the first time that a number of inputs of a shape comes, each is
also run alone. Only if every score is the same to the last bit, such batches go through in one pass from then on. A
network that gives labels does not show its scores, so its inputs are run one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from flame_metric.errors import FlameWarning

__all__ = ["Batches"]


class Batches:
    """Runs several inputs at once, and gives the outputs of one after the other.

    Parameters
    ----------
    together : callable
        From inputs of one shape to their scores, in one pass; may raise anything if the network takes one at a time.
    alone : callable
        From one input to its scores.
    keep : callable
        From the scores of a pass, or from an output, to a copy that the next pass does not overwrite.
    same : callable
        From the scores of a pass, a place in it and the scores of that input alone: whether they are equal to the last
        bit.
    outputs : callable
        From the scores of a pass to an output for each of its inputs.
    shape : callable
        From an input to its shape.
    shows_scores : callable
        From what a pass gives to whether it is scores, and not labels.

    Examples
    --------
    >>> import numpy as np
    >>> double = Batches(
    ...     together=lambda items: 2 * np.stack(items),
    ...     alone=lambda item: 2 * item[None],
    ...     keep=np.copy,
    ...     same=lambda batch, place, single: np.array_equal(batch[place], single[0]),
    ...     outputs=list,
    ... )
    >>> double([np.array([1, 2]), np.array([3, 4])])
    [array([2, 4]), array([6, 8])]
    """

    def __init__(
        self,
        *,
        together: Callable[[Sequence[Any]], Any],
        alone: Callable[[Any], Any],
        keep: Callable[[Any], Any],
        same: Callable[[Any, int, Any], bool],
        outputs: Callable[[Any], Sequence[Any]],
        shape: Callable[[Any], tuple[int, ...]] = lambda item: tuple(item.shape),
        shows_scores: Callable[[Any], bool] = lambda found: True,
    ) -> None:
        self._together, self._alone, self._keep = together, alone, keep
        self._same, self._outputs, self._shape = same, outputs, shape
        self._shows_scores = shows_scores
        self._proven: dict[tuple[int, tuple[int, ...]], bool] = {}

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        """Return an output for each input; inputs of several shapes are run one after the other."""
        shapes = sorted({self._shape(item) for item in items})
        if len(items) < 2 or len(shapes) > 1:
            return [self._kept_output(self._alone(item)) for item in items]
        key = (len(items), shapes[0])
        if key not in self._proven:
            return self._prove(key, items)
        if self._proven[key]:
            return list(self._outputs(self._together(items)))
        return [self._kept_output(self._alone(item)) for item in items]

    def _kept_output(self, single: Any) -> Any:
        return self._keep(self._outputs(single)[0])

    def _prove(self, key: tuple[int, tuple[int, ...]], items: Sequence[Any]) -> list[Any]:
        batch, fault = None, "give other scores in their last bits on this device"
        try:
            batch = self._keep(self._together(items))
        except Exception as error:  # a network may refuse batches in any way; if it is broken, it fails alone as well
            reason = str(error).strip().partition("\n")[0]
            fault = f"cannot be run ({type(error).__name__}: {reason})"
        if batch is not None and not self._shows_scores(batch):
            batch, fault = None, "may change labels here and there, and give no scores to compare"
        same, outputs = batch is not None, []
        for place, item in enumerate(items):
            single = self._alone(item)
            same = same and self._same(batch, place, single)
            outputs.append(self._kept_output(single))
        self._proven[key] = same
        if not same:
            height, width = key[1][:2]
            warnings.warn(
                f"batches of {len(items)} at {height}x{width} {fault}: run one by one, so that no number changes",
                FlameWarning,
                stacklevel=4,
            )
        return outputs
