"""Colours of classes: Cityscapes' own where the names are, else colours that colour-blind eyes tell apart.

Colours for other names begin with eight that differ for every kind of colour vision; their order suits street scenes,
such as the classes of the synthetic videos. Each further one is the colour of a grid that lies farthest from all before
it, to the eye that tells it worst: distances are Euclidean in Oklab, as seen with normal vision and with either kind of
red-green blindness. So a palette of more classes begins with the palette of fewer.

References
----------
Okabe and Ito, Color Universal Design, 2008: seven of the eight. Machado, Oliveira and Fernandes, A Physiologically-
based Model for Simulation of Color Vision Deficiency, 2009. Ottosson, A perceptual color space for image processing,
2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from flame_metric.core.labels import LabelSpace
from flame_metric.scores.config import check_class_names

__all__ = ["palette", "seen_by"]

Colours = npt.NDArray[np.uint8]

_CITYSCAPES = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}

_FIRST = (  # the fourth for Okabe's and Ito's black, which hides what is beneath it
    (86, 180, 233),
    (204, 121, 167),
    (230, 159, 0),
    (75, 75, 75),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
)

_VISIONS = {  # from linear RGB to the linear RGB that looks the same to that eye
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
_LEVELS = (30, 240)  # of a channel: neither black nor white, which occur in pictures as shadow and glare
_STEPS = 17  # of a channel: more than 4096 colours

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def palette(class_names: Sequence[str]) -> Colours:
    """Return a colour for each class.

    Parameters
    ----------
    class_names : sequence of str, (C,)
        2..4096 names, such as :attr:`FlameResult.class_names`. If all of them are names of Cityscapes' classes, each
        gets the colour it has there; these were not made for colour-blind eyes.

    Returns
    -------
    ndarray of uint8, (C, 3), read-only
        Red, green, blue. All differ where the names do.

    Raises
    ------
    ConfigError
        If the names are one text, no texts, too few or too many.

    Examples
    --------
    >>> palette(["road", "car"]).tolist()
    [[128, 64, 128], [0, 0, 142]]
    >>> palette(["background", "object"]).tolist()
    [[86, 180, 233], [204, 121, 167]]
    """
    names = check_class_names(class_names) or ()
    size = LabelSpace(len(names)).num_classes
    if all(name in _CITYSCAPES for name in names):
        colours = np.array([_CITYSCAPES[name] for name in names], np.uint8)
        colours.setflags(write=False)
        return colours
    return _distinct(size)


@lru_cache(maxsize=8)
def _distinct(size: int) -> Colours:
    """Return ``size`` colours, each after the first eight as far as possible from those before it."""
    levels = np.linspace(*_LEVELS, _STEPS).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    colours = np.concatenate([np.array(_FIRST, np.uint8), grid])
    seen = np.stack([seen_by(vision, colours) for vision in _VISIONS])
    nearest = np.full(len(colours), np.inf)
    chosen: list[int] = []
    for place in range(size):
        chosen.append(place if place < len(_FIRST) else int(nearest.argmax()))
        distances = np.linalg.norm(seen - seen[:, chosen[-1:]], axis=-1).min(axis=0)
        nearest = np.minimum(nearest, distances)
        nearest[chosen[-1]] = -1  # never again, not even where all that is left looks like some chosen colour
    found = colours[chosen]
    found.setflags(write=False)
    return found


def seen_by(vision: str, colours: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return where colours lie in Oklab to an eye: their Euclidean distances are how different they look.

    Parameters
    ----------
    vision : {"normal", "protanopia", "deuteranopia"}
    colours : array_like of uint8, (..., 3)
        Red, green, blue (sRGB).

    Returns
    -------
    ndarray of float64, (..., 3)
        Lightness 0..1, green-red, blue-yellow.

    Examples
    --------
    >>> seen_by("normal", [255, 255, 255]).round(3).tolist()
    [1.0, 0.0, 0.0]
    """
    values = np.asarray(colours, np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    cones = np.clip(linear @ _VISIONS[vision].T, 0, 1) @ _TO_CONES.T
    return np.asarray(np.cbrt(cones) @ _TO_OKLAB.T)
