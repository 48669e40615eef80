"""Which items a step of a training takes, and the seed of its dropout: pure functions of the seed and the step.

Each epoch is a permutation of all items, drawn from (seed, epoch), and cut into batches; what is left over for an
incomplete batch waits for another epoch. So a run that stopped resumes with the items that it would have taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from flame_metric.errors import ConfigError

__all__ = ["Batches", "epoch_order", "step_seed"]

_ORDER, _DROPOUT = 0, 1  # streams of one seed


def epoch_order(items: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order of all items in an epoch.

    Examples
    --------
    >>> sorted(epoch_order(5, seed=0, epoch=3).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(items)


def step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed from which everything random in the network is drawn during one step on one rank."""
    return int(np.random.SeedSequence((seed, _DROPOUT, step, rank)).generate_state(1, np.uint64)[0])


class Batches:
    """The batches of some steps, for the argument ``batch_sampler`` of a DataLoader.

    Parameters
    ----------
    items : int
        How many the data has.
    batch_size : int
        Items a step, over all ranks.
    seed : int
    first, last : int
        Steps first, ..., last - 1.
    rank, ranks : int
        Which part of each batch to yield; the parts have equal sizes.

    Yields
    ------
    list of (int, int)
        (epoch, index) of each item of a batch.

    Raises
    ------
    ConfigError
        If there are too few items for one batch, or a batch cannot be shared equally.

    Examples
    --------
    >>> [len(batch) for batch in Batches(7, 3, seed=0, first=0, last=3)]
    [3, 3, 3]
    >>> [batch[0][0] for batch in Batches(7, 3, seed=0, first=0, last=5)]  # two steps an epoch
    [0, 0, 1, 1, 2]
    """

    def __init__(
        self, items: int, batch_size: int, *, seed: int, first: int, last: int, rank: int = 0, ranks: int = 1
    ) -> None:
        if items < batch_size:
            raise ConfigError(f"`pairs` holds {items} item(s), expected at least the recipe's batch of {batch_size}")
        if batch_size % ranks:
            raise ConfigError(
                f"the recipe's batch of {batch_size} items cannot be shared equally by {ranks} ranks: start another "
                "number of processes"
            )
        self.steps_per_epoch = items // batch_size
        self._items, self._batch, self._seed = items, batch_size, seed
        self._steps = range(first, last)
        share = batch_size // ranks
        self._part = slice(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        drawn, order = -1, np.empty(0, np.int64)
        for step in self._steps:
            epoch, place = divmod(step, self.steps_per_epoch)
            if epoch != drawn:
                drawn, order = epoch, epoch_order(self._items, seed=self._seed, epoch=epoch)
            batch = order[place * self._batch :][: self._batch][self._part]
            yield [(epoch, index) for index in batch.tolist()]
