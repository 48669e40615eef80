"""Pixels as networks take them: each channel minus its mean, divided by its standard deviation, of pixels 0..1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flame_metric.errors import ConfigError

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "centre_and_scale"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def centre_and_scale(
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what is taken from pixels 0..255, and what they are multiplied by then.

    Parameters
    ----------
    mean, std : sequence of float, optional
        Of each channel, for pixels 0..1. Default: ImageNet's.

    Returns
    -------
    centre, scale : ndarray of float64
        (C,) each.

    Raises
    ------
    ConfigError
        If they are not as many, or a ``std`` is not above 0.

    Examples
    --------
    >>> [values.tolist() for values in centre_and_scale([0.5, 0], [1 / 255, 2 / 255])]
    [[127.5, 0.0], [1.0, 0.5]]
    """
    means, deviations = IMAGENET_MEAN if mean is None else mean, IMAGENET_STD if std is None else std
    if not len(means) == len(deviations) > 0 or not all(deviation > 0 for deviation in deviations):
        raise ConfigError(
            f"`mean` is {means} and `std` {deviations}, expected as many numbers, one a channel, and each `std` > 0"
        )
    return 255 * np.array(means, np.float64), 1 / (255 * np.array(deviations, np.float64))
