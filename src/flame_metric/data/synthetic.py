"""Synthetic street video: labelled frames of any size, length and rate, made anywhere from a seed, with only NumPy.

A camera drives along an endless street of houses, side streets, trees, lamp posts, signs, parked, oncoming, overtaken
and crossing cars, and people who walk along and across. Everything is placed and moves in continuous time and is seen
in true perspective: things grow, hide each other, enter and leave at any length, and frame 2i at 30 fps shows what
frame i shows at 15 fps. The bonnet of the camera's own car and litter bins are void.

One frame shows where things are going: people are seen in profile, from the front or from behind, and cars have noses
and tails. How fast, only several frames show: the speeds of the camera and of each lane differ from seed to seed, the
camera's rises and falls, people and crossing cars have speeds of their own, and no look depends on them. A parked car
looks like one that drives away.

The scene is tuned so that labels grow stale as fast as in real street video. Mean IoU between the label map of time t,
taken as the prediction, and that of t + delay, at the default size, 15 fps, 101 frames, all counts of seeds 0 to 7:

====== ===== ==========
delay  here  real video
====== ===== ==========
67 ms  .723  .736
133 ms .636  .636
333 ms .513  .511
667 ms .411  .422
====== ===== ==========

What stands in the street is made of upright rectangles ("walls"). Painted from far to near, each writes numbers of
materials into one map, and colours and labels are two look-ups of that map: they cannot disagree, and light, haze and
noise cannot reach the labels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import ClassVar, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from flame_metric.core.checks import check_integer
from flame_metric.core.clock import Fps, as_fps
from flame_metric.data.videos import VideoSequence

__all__ = ["CLASS_NAMES", "VOID", "synthetic_video"]

CLASS_NAMES = ("sky", "building", "pavement", "road", "tree", "pole", "car", "pedestrian")
"""Names of labels 0 to 7."""

VOID = 255
"""Label of pixels that belong to no class."""

_SKY, _BUILDING, _PAVEMENT, _ROAD, _TREE, _POLE, _CAR, _PEDESTRIAN = range(len(CLASS_NAMES))
_MIN_SIDE = 16  # pixels

# The street, in metres: x to the right of its middle line, y above the ground, z along it.
_CELL = 24.0  # length of street that is generated from one seed
_BLOCK = 4  # cells from one side street to the next
_SIDE_STREET = (5.0, 17.0)  # from, to: the part of its cell that a side street takes
_ROAD_EDGE = 6.0
_FACADES = 9.2
_OWN_LANE, _ONCOMING_LANE, _SLOW_LANE, _PARKING_LANE = 1.6, -1.6, 4.6, -4.8  # x of their middles

# Speeds differ from seed to seed, and nothing that stands in one frame tells them. From, to:
_SPEED = (4.2, 9.0)  # m/s: the mean of the camera's
_SWING = (0.1, 0.3)  # of its mean by which the camera's speed rises and falls,
_PERIOD = (6.0, 15.0)  # in this many seconds
_ONCOMING_SPEED = (4.0, 12.0)  # m/s
_SLOW_SPEED = (0.15, 0.5)  # of the camera's least speed: it overtakes, and cars stay apart

# The camera. It sways in swings of (radians, Hz): steering, and a road that is not quite even.
_EYE = 1.45  # metres above the ground
_FOCAL = 0.95  # focal length in units of sqrt(height * width)
_HORIZON = 0.46  # in units of the height, from the top
_NEAR, _FAR = 0.5, 110.0  # metres: depths between which things are drawn
_YAW = ((0.1, 0.11), (0.005, 0.43))
_PITCH = ((0.004, 0.37), (0.002, 1.3))

# The picture.
_NOISE = 7.0  # standard deviation of the sensor noise in grey levels of 255
_HAZE_DISTANCE = 190.0  # metres after which 1/e of the contrast is left
_HAZE = np.array((202.0, 212.0, 224.0))
_TILE = 512  # side of a texture in texels, a power of two
_STREET_STREAM, _DRIVE_STREAM, _NOISE_STREAM, _LANE_STREAM = range(4)  # independent random streams of one seed

_FRONTS = (176, 140, 112), (196, 178, 150), (150, 96, 78), (168, 160, 150), (120, 118, 120), (205, 196, 178)
_PAINTS = (150, 30, 32), (32, 52, 98), (196, 198, 200), (52, 54, 58), (110, 116, 122), (24, 26, 30), (226, 226, 222)
_CLOTHES = (150, 46, 44), (44, 62, 110), (60, 62, 66), (190, 180, 160), (84, 104, 70), (204, 160, 60), (30, 32, 38)
_BOARDS = (190, 40, 36), (40, 70, 150)
_GLASS = (64, 75, 86)

_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]
_Colour = tuple[int, int, int] | _Doubles


def synthetic_video(
    *,
    num_frames: int = 60,
    height: int = 256,
    width: int = 512,
    fps: Fps = 15,
    seed: int = 0,
    name: str | None = None,
) -> VideoSequence:
    """Return a street video whose frames and label maps are rendered when they are read.

    A frame is a pure function of the seed, the size and its time: the order of reading does not matter, and a longer
    video begins with the same frames. A video of any length costs nothing until it is read.

    Parameters
    ----------
    num_frames : int
        Number of frames, >= 1.
    height, width : int
        Size of a frame in pixels, each >= 16.
    fps : int, float, Fraction, Decimal or str
        Frames per second, > 0, such as 30 or ``"30000/1001"``.
    seed : int
        Which street, >= 0.
    name : str, optional
        Name of the sequence, ``"synthetic-<seed>"`` if not given.

    Returns
    -------
    VideoSequence
        ``frames`` holds uint8 (H, W, 3) RGB arrays, ``targets`` uint8 (H, W) arrays of labels 0 to 7
        (`CLASS_NAMES`) and 255 (`VOID`). Each access returns an array of its own.

    Raises
    ------
    ConfigError
        If a number is not an integer or too small, or the frame rate is not above zero.

    Examples
    --------
    >>> video = synthetic_video(num_frames=30, height=90, width=160, fps=30)
    >>> video.frames[0].shape, video.targets[-1].shape
    ((90, 160, 3), (90, 160))
    >>> slow = synthetic_video(num_frames=15, height=90, width=160, fps=15)
    >>> bool((video.targets[28] == slow.targets[14]).all())
    True
    """
    num_frames = check_integer("num_frames", num_frames, 1, unit="frames")
    height = check_integer("height", height, _MIN_SIDE, unit="pixels")
    width = check_integer("width", width, _MIN_SIDE, unit="pixels")
    seed, rate = check_integer("seed", seed, 0), as_fps(fps)
    renderer = _Renderer(seed, height, width, rate)
    frames, targets = (_Rendered(renderer, range(num_frames), part) for part in (0, 1))
    return VideoSequence(f"synthetic-{seed}" if name is None else name, frames, targets, rate)


class _Renderer:
    """Renders one video. It remembers the last frame, as a frame and its label map are mostly read together."""

    def __init__(self, seed: int, height: int, width: int, fps: Fraction) -> None:
        self._scene = seed, height, width
        self._fps = fps
        self._last: tuple[int, tuple[_Bytes, _Bytes]] | None = None

    def pair(self, index: int) -> tuple[_Bytes, _Bytes]:
        last = self._last  # read once: threads that share a video see whole entries only
        if last is None or last[0] != index:
            self._last = last = index, _render(*self._scene, index / self._fps)
        return last[1]


class _Rendered(Sequence[_Bytes]):
    """The frames (part 0) or the label maps (part 1) of a video, or of a slice of it."""

    def __init__(self, renderer: _Renderer, indices: range, part: int) -> None:
        self._renderer, self._indices, self._part = renderer, indices, part

    @property
    def labelled(self) -> range:
        """Numbers of the labelled frames: all of them, known without rendering any."""
        return range(len(self))

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> _Bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_Bytes]: ...
    def __getitem__(self, index: int | slice) -> _Bytes | Sequence[_Bytes]:
        if isinstance(index, slice):
            return _Rendered(self._renderer, self._indices[index], self._part)
        return self._renderer.pair(self._indices[index])[self._part].copy()


def _render(seed: int, height: int, width: int, time: Fraction) -> tuple[_Bytes, _Bytes]:
    canvas = _Canvas(_drive(seed), float(time), height, width)
    canvas.paint_sky()
    canvas.paint_ground()
    canvas.paint_things()
    canvas.paint_bonnet()
    # Noise belongs to the time, not to the index: frames of one moment are equal at every frame rate.
    return canvas.develop(np.random.default_rng([seed, _NOISE_STREAM, time.numerator, time.denominator]))


# ------------------------------------------------------------------------------------------------- what things are like


class _Materials(NamedTuple):
    """Colours (n, 3) and labels (n,) of the materials of one thing. Material 0 is air."""

    colours: _Doubles
    labels: _Bytes

    @classmethod
    def from_colours(cls, label: int | Sequence[int], *colours: _Colour) -> _Materials:
        labels = np.zeros(len(colours) + 1, np.uint8)
        labels[1:] = label
        return cls(np.array([(0, 0, 0), *colours], float), labels)


class _Wall(NamedTuple):
    """An upright rectangle. Its ends are (metres to the right of the camera, metres before it).

    ``look(s, y, time)`` says which material is at s metres from the start, float32 (1, columns), and y metres above
    the ground, float32 (rows, columns), as uint8 (rows, columns).
    """

    start: tuple[float, float]
    end: tuple[float, float]
    top: float
    look: Callable[[_Floats, _Floats, float], _Bytes]
    bottom: float = 0.0
    light: float = 1.0


@dataclass(frozen=True, eq=False, kw_only=True)
class _Thing(ABC):
    """Something that is at (x, z) at the time ``when`` and keeps its velocity, in metres and seconds.

    Its looks may depend on the direction of the velocity, but not on its size.
    """

    materials: _Materials
    x: float
    z: float
    when: float = 0.0
    vx: float = 0.0
    vz: float = 0.0
    grain: ClassVar[float] = 0.0  # contrast of the surface's texture

    def place(self, time: float) -> tuple[float, float]:
        """Return (x, z) at a time."""
        return self.x + self.vx * (time - self.when), self.z + self.vz * (time - self.when)

    @property
    def reach(self) -> float:
        """Metres from z to the far end, by which things are sorted."""
        return 0.0

    @abstractmethod
    def walls(self, x: float, z: float) -> Iterator[_Wall]:
        """Yield the walls from far to near for the place (x, z) relative to the camera."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Building(_Thing):
    """Material 1 wall, 2 glass, 3 eaves, 4 ground floor, 5 awning."""

    side: int  # -1 left, 1 right
    length: float
    height: float
    storey: float
    bay: float
    glazed: float  # share of a bay's width that is window
    shop: bool
    light: float
    grain: ClassVar[float] = 0.06

    @property
    def reach(self) -> float:
        return self.length

    def walls(self, x: float, z: float) -> Iterator[_Wall]:
        yield _Wall((x, z), (x + 12.0 * self.side, z), self.height, self._gable, light=0.92)
        yield _Wall((x, z), (x, z + self.length), self.height, self._front, light=self.light)

    def _gable(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        return np.where(y + 0 * s > self.height - 0.9, np.uint8(3), np.uint8(1))

    def _front(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        across = s / self.bay
        across = np.abs(across - np.floor(across) - 0.5)
        up = (y - 3.4) / self.storey
        up -= np.floor(up)
        window = (across < self.glazed / 2) & (np.abs(up - 0.56) < 0.26) & (np.abs(y - 3.4) < self.height - 4.7)
        look = np.where(window, np.uint8(2), np.uint8(1))
        look[y > self.height - 0.9] = 3
        if self.shop:
            look[y < 3.2] = 5
            look[y < 2.5] = 4
            look[(across < 0.4) & (np.abs(y - 1.4) < 0.9)] = 2
        return look


@dataclass(frozen=True, eq=False, kw_only=True)
class _Board(_Thing):
    """A thing that is one wall facing the camera. Its look counts s from the middle."""

    width: float
    height: float

    def walls(self, x: float, z: float) -> Iterator[_Wall]:
        half = self.width / 2
        yield _Wall((x - half, z), (x + half, z), self.height, lambda s, y, time: self.look(s - half, y, time))

    @abstractmethod
    def look(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        """Return the material at s metres from the middle and y metres above the ground."""


class _Bin(_Board):
    def look(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        return np.where(np.abs(y - 0.85 * self.height) + 0 * s < 0.08, np.uint8(2), np.uint8(1))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Tree(_Board):
    """Material 1 to 3 leaves from dark to bright, 4 trunk."""

    radius: float
    phase: float
    tile: _Floats
    grain: ClassVar[float] = 0.08

    def look(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        up = y - (self.height - 1.25 * self.radius)
        # Wind stirs the outline. In real label maps it moves as well: no two outlines are drawn alike.
        stir_s = 0.14 * math.sin(2 * math.pi * 1.7 * time + self.phase) + self.phase
        stir_y = 0.11 * math.sin(2 * math.pi * 2.3 * time + 2 * self.phase)
        leaves = _texels(self.tile, s + stir_s, y + stir_y, 28.0)
        light = leaves + (0.35 * s + up) / self.radius
        crown = np.where(light > 0.7, np.uint8(3), np.where(light > -0.6, np.uint8(2), np.uint8(1)))
        inside = (s**2 + 1.1 * up**2) / self.radius**2 + 0.22 * leaves < 0.85
        trunk = (np.abs(s) < 0.16) & (up < 0)
        return np.where(inside, crown, np.where(trunk, np.uint8(4), np.uint8(0)))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Lamp(_Board):
    side: int

    def look(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        inward, down = -self.side * s, self.height - y
        post = np.abs(s) < 0.21 - 0.008 * y
        arm = (inward > 0) & (inward < 1.7) & (np.abs(down - 0.15) < 0.07)
        head = (np.abs(inward - 1.6) < 0.3) & (np.abs(down - 0.2) < 0.13)
        return np.where(head, np.uint8(2), np.where(post | arm, np.uint8(1), np.uint8(0)))


class _Sign(_Board):
    def look(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        square = s**2 + (y - self.height + 0.45) ** 2
        look = np.where(np.abs(s) + 0 * y < 0.07, np.uint8(1), np.uint8(0))
        look[square < 0.2] = 2
        look[square < 0.11] = 3
        return look


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pedestrian(_Board):
    """Material 1 skin, 2 top, 3 trousers, 4 hair.

    Who walks across is seen in profile, bent forward, hair behind the face; who comes towards the camera shows face and
    hands, who walks away the back of the head.
    """

    phase: float

    def look(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        across, up = s / self.height, y / self.height
        ahead = across * math.copysign(1.0, self.vx)
        swing = abs(math.sin(2 * math.pi * 0.95 * time + self.phase))
        stride = (0.55 if self.vx else 0.3) * swing * np.maximum(0.5 - up, 0)
        look = np.where((np.abs(np.abs(across) - stride) < 0.058) & (up < 0.52), np.uint8(3), np.uint8(0))
        if self.vx:
            look[(np.abs(np.abs(across) - stride - 0.03) < 0.07) & (ahead > 0) & (up < 0.045)] = 4  # shoe
            ahead = ahead - 0.14 * (up - 0.5)
        side = 0.12 if self.vx else 0.155
        look[(ahead / side) ** 4 + ((up - 0.645) / 0.19) ** 4 < 1] = 2
        if self.vz < 0:
            look[(np.abs(np.abs(across) - 0.13) < 0.028) & (np.abs(up - 0.49) < 0.035)] = 1  # hands
        head = (ahead / 0.07) ** 2 + ((up - 0.92) / 0.08) ** 2 < 1
        look[head] = 4 if self.vz > 0 else 1
        look[head & ((up > 0.945) | (ahead < -0.01 if self.vx else False))] = 4
        return look


@dataclass(frozen=True, eq=False, kw_only=True)
class _Car(_Thing):
    """Material 1 paint, 2 glass, 3 tyre, 4 white light, 5 red light, 6 the shadow beneath, which is road.

    A car goes along or across the street, and points along it when parked. It is a box up to its waist, and above that
    a cabin that begins behind the engine.
    """

    length: float
    width: float
    height: float
    WAIST: ClassVar[float] = 0.64  # of the height

    def walls(self, x: float, z: float) -> Iterator[_Wall]:
        waist = self.WAIST * self.height
        if self.vx:
            near, far = z - self.width / 2, z + self.width / 2
            nose = math.copysign(self.length / 2, self.vx)
            end = math.copysign(self.length / 2, -x)  # the one that is turned to the camera
            yield _Wall((x + end, near), (x + end, far), waist, self._front if end == nose else self._rear, light=0.8)
            yield _Wall((x + nose, near), (x - nose, near), self.height, self._flank)
            return
        left, right, near, far = x - self.width / 2, x + self.width / 2, z - self.length / 2, z + self.length / 2
        oncoming = self.vz < 0
        screen = near + (0.33 if oncoming else 0.06) * self.length
        yield _Wall((left, screen), (right, screen), self.height, self._screen, bottom=0.3)
        flank, nose, tail = (left if x > 0 else right), (near if oncoming else far), (far if oncoming else near)
        yield _Wall((flank, nose), (flank, tail), self.height, self._flank, light=0.85)
        yield _Wall((left, near), (right, near), waist, self._front if oncoming else self._rear)

    def _screen(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        off, up = np.abs(2 * s / self.width - 1), y / self.height
        half = 1.0 - 0.2 * np.maximum(up - self.WAIST, 0)
        look = np.where(off < half, np.uint8(1), np.uint8(0))
        look[(off < half - 0.13) & (np.abs(up - 0.795) < 0.135)] = 2
        return look

    def _rear(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        off, up = np.abs(2 * s / self.width - 1), y / self.height
        look = np.ones(y.shape, np.uint8)
        look[(off > 0.62) & (np.abs(up - 0.48) < 0.06)] = 5
        look[(off < 0.28) & (np.abs(up - 0.36) < 0.04)] = 4  # number plate
        look[up < 0.2] = 6
        look[(off > 0.72) & (up < 0.24)] = 3
        return look

    def _front(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        look = self._rear(s, y, time)
        look[look == 5] = 4
        look[(np.abs(2 * s / self.width - 1) < 0.5) & (np.abs(y / self.height - 0.47) < 0.04)] = 3  # radiator
        return look

    def _flank(self, s: _Floats, y: _Floats, time: float) -> _Bytes:
        back, up = s / self.length, y / self.height  # from nose to tail
        lean = np.maximum(up - self.WAIST, 0)
        cabin = (back > 0.22 + 0.35 * lean) & (back < 1.0 - 0.1 * lean)
        panes = (back > 0.28 + 0.35 * lean) & (back < 0.92 - 0.2 * lean) & (np.abs(back - 0.58) > 0.015)
        look = np.where((up < self.WAIST) | cabin, np.uint8(1), np.uint8(0))
        look[panes & (np.abs(up - 0.79) < 0.13)] = 2
        look[up < 0.2] = 6
        wheel = np.minimum(np.abs(back - 0.19), np.abs(back - 0.8)) * self.length
        look[wheel**2 + (y - 0.32) ** 2 < 0.32**2] = 3
        return look


def _texels(tile: _Floats, s: _Floats, y: _Floats, per_metre: float) -> _Floats:
    rows, columns = ((metres * per_metre).astype(np.int32) & (_TILE - 1) for metres in (y, s))
    texels: _Floats = tile[rows, columns]
    return texels


# ----------------------------------------------------------------------------------------- where and when they are met


@dataclass(frozen=True)
class _Pace:
    """How the camera gets on: at a speed that rises and falls evenly about its mean, and never falls to 0."""

    start: float  # metres along the street
    mean: float  # m/s
    swing: float  # of the mean, below 1
    rate: float  # rises per second
    phase: float  # radians

    @property
    def least(self) -> float:
        """Lowest speed, m/s."""
        return self.mean * (1 - self.swing)

    def place(self, time: float) -> float:
        """Return where the camera is at a time: metres along the street."""
        return self.start + self.mean * (time + self._lead(time))

    def arrival(self, z: float) -> float:
        """Return the time at which the camera is at a place."""
        steady = time = (z - self.start) / self.mean
        for _ in range(40):  # each step leaves less than ``swing`` of the error
            time = steady - self._lead(time)
        return time

    def _lead(self, time: float) -> float:
        turn = 2 * math.pi * self.rate
        return self.swing / turn * math.sin(turn * time + self.phase)


@dataclass(frozen=True, eq=False)
class _Drive:
    """What is the same in all frames of one seed."""

    seed: int
    pace: _Pace
    oncoming: float  # m/s, and that of the lane which the camera overtakes
    slow: float
    sway: tuple[float, float]  # seconds by which yaw and pitch are ahead
    sun: int  # the side of the street, -1 or 1, whose fronts are lit
    tint: _Doubles  # colour and strength of the light
    grain: _Floats  # two seamless textures of unit deviation, each (_TILE, _TILE)
    blotches: _Floats


@lru_cache(maxsize=8)
def _drive(seed: int) -> _Drive:
    rng = np.random.default_rng([seed, _DRIVE_STREAM])
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)) * _TILE
    spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) * (frequency > 0)
    fine, soft = (np.fft.irfft2(spectrum / band) for band in (12.0 + frequency, (6.0 + frequency) ** 2))
    pace = _Pace(
        start=_BLOCK * _CELL * rng.uniform(1, 2),  # cells behind the camera have numbers above 0, too
        mean=rng.uniform(*_SPEED),
        swing=rng.uniform(*_SWING),
        rate=1 / rng.uniform(*_PERIOD),
        phase=rng.uniform(0, 2 * math.pi),
    )
    return _Drive(
        seed=seed,
        pace=pace,
        oncoming=rng.uniform(*_ONCOMING_SPEED),
        slow=pace.least * rng.uniform(*_SLOW_SPEED),
        sway=(rng.uniform(0, 1000), rng.uniform(0, 1000)),
        sun=int(rng.choice((-1, 1))),
        tint=rng.uniform(0.94, 1.1) * rng.uniform(0.97, 1.03, 3),
        grain=(fine / fine.std()).astype(np.float32),
        blotches=(soft / soft.std()).astype(np.float32),
    )


@lru_cache(maxsize=64)
def _cell(seed: int, index: int) -> tuple[_Thing, ...]:
    """Return what the camera meets in one cell of the street."""
    return tuple(_CellBuilder(_drive(seed), index).build())


@lru_cache(maxsize=64)
def _lane_cars(seed: int, index: int) -> tuple[_Car, ...]:
    """Return the oncoming and overtaken cars that the camera meets in one cell of the street."""
    return tuple(_CellBuilder(_drive(seed), index, _LANE_STREAM).lane_cars())


class _CellBuilder:
    """Fills one cell. What moves is put where it shall be when the camera passes: sure to be met, never hit."""

    def __init__(self, drive: _Drive, index: int, stream: int = _STREET_STREAM) -> None:
        self.drive, self.index, self.start, self.crossing = drive, index, index * _CELL, index % _BLOCK == 0
        self.rng = np.random.default_rng([drive.seed, stream, index])

    def build(self) -> Iterator[_Thing]:
        for side in (-1, 1):
            yield from self._houses(side)
            yield from self._pavement(side)
        yield from self._traffic()

    def _houses(self, side: int) -> Iterator[_Thing]:
        uniform = self.rng.uniform
        z, stop = self.start + (_SIDE_STREET[1] if self.crossing else 0.0), self.start + _CELL
        while z < stop:
            length = uniform(8.0, 16.0)
            if stop - z - length < 5.0:
                length = stop - z
            if self._chance(0.12):  # a gap with trees
                yield from (self._tree(side * uniform(11.5, 14.0), z + share * length) for share in (0.25, 0.75))
            else:
                wall = self._like(*_FRONTS)
                yield _Building(
                    materials=_Materials.from_colours(
                        _BUILDING, wall, _GLASS, 0.62 * wall, 0.8 * wall, self._like(*_CLOTHES)
                    ),
                    x=side * (_FACADES + self.rng.choice((0.0, 0.0, 1.2, 2.5))),
                    z=z,
                    side=side,
                    length=length,
                    height=uniform(7.0, 17.0),
                    storey=uniform(2.9, 3.5),
                    bay=uniform(2.0, 3.2),
                    glazed=uniform(0.4, 0.62),
                    shop=self._chance(0.5),
                    light=1.08 if side == self.drive.sun else 0.8,
                )
            z += length

    def _pavement(self, side: int) -> Iterator[_Thing]:
        uniform = self.rng.uniform
        metal = uniform(0.6, 1.2) * np.array((96, 100, 102))
        lamp = _Materials.from_colours(_POLE, metal, (210, 206, 190))
        z = self.start + uniform(1.0, 4.0)
        yield _Lamp(materials=lamp, x=side * 6.3, z=z, width=4.0, height=uniform(6.0, 7.5), side=side)
        if self._chance(0.7):
            sign = _Materials.from_colours(_POLE, metal, _BOARDS[self.rng.integers(len(_BOARDS))], (224, 224, 222))
            yield _Sign(materials=sign, x=side * 6.4, z=self._paved(), width=0.9, height=uniform(2.5, 3.2))
        if self._chance(0.4):
            green = _Materials.from_colours(VOID, (56, 74, 62), (30, 34, 32))
            yield _Bin(materials=green, x=side * uniform(6.5, 8.8), z=self._paved(), width=0.7, height=1.1)
        if self._chance(0.6):
            yield self._tree(side * uniform(6.6, 7.4), self.start + uniform(17.5, 23.5))
        for _ in range(self.rng.poisson(0.7)):
            x, z, speed = side * uniform(6.4, 8.0), self._anywhere(), self._way() * uniform(0.7, 1.7)
            for member in range(self.rng.integers(2, 6)):
                yield self._person(x + side * 0.5 * member, z + uniform(-0.4, 0.4), vz=speed)

    def _traffic(self) -> Iterator[_Thing]:
        uniform = self.rng.uniform
        if not self.crossing:
            yield from (self._car(_PARKING_LANE, self.start + slot) for slot in (3, 9, 15, 21) if self._chance(0.45))
        elif self._chance(0.8):
            way, early = self._way(), 0.75 + uniform(4.0, 13.0) / self.drive.pace.mean
            car = self._car(_OWN_LANE, self.start + 11.0 - 2.5 * way, vx=way * uniform(5.0, 8.0), early=early)
            near = range(self.index - 2, self.index + 3)  # where the lanes' cars are met that are here at that time
            if not any(_collide(car, other) for index in near for other in _lane_cars(self.drive.seed, index)):
                yield car
        yield from _lane_cars(self.drive.seed, self.index)
        for _ in range(self.rng.poisson(0.8)):
            way = self._way()
            x, z, speed = _OWN_LANE + way * uniform(2.4, 5.4), self._anywhere(), way * uniform(1.1, 1.9)
            for member in range(self.rng.integers(1, 5)):
                yield self._person(x + way * 0.6 * member, z + uniform(-0.6, 0.6), vx=speed)

    def lane_cars(self) -> Iterator[_Car]:
        """Yield the cars in the lanes. One speed per lane, and room between two places of meeting keep them apart."""
        if self._chance(0.4):
            yield self._car(_ONCOMING_LANE, self.start + self.rng.uniform(0, 12), vz=-self.drive.oncoming)
        if self._chance(0.45):
            yield self._car(_SLOW_LANE, self.start + self.rng.uniform(0, 12), vz=self.drive.slow)

    def _chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def _way(self) -> int:
        return int(self.rng.choice((-1, 1)))

    def _anywhere(self) -> float:
        return self.start + self.rng.uniform(0, _CELL)

    def _paved(self) -> float:
        return self.start + self.rng.uniform(_SIDE_STREET[1] if self.crossing else 0.0, _CELL)

    def _like(self, *colours: _Colour) -> _Doubles:
        colour = np.array(colours[self.rng.integers(len(colours))], float)
        return np.clip(colour + self.rng.normal(0, 7) + self.rng.normal(0, 7, 3), 8, 245)

    def _tree(self, x: float, z: float) -> _Tree:
        leaf = np.array((84, 104, 52)) + self.rng.normal(0, 10, 3)
        leaves = _Materials.from_colours(_TREE, 0.5 * leaf, 0.85 * leaf, 1.25 * leaf, (74, 62, 52))
        radius, phase, tile = self.rng.uniform(1.5, 2.3), self.rng.uniform(0, 2 * math.pi), self.drive.blotches
        width, height = 2.8 * radius, self.rng.uniform(3.8, 5.2) + 1.25 * radius
        return _Tree(materials=leaves, x=x, z=z, width=width, height=height, radius=radius, phase=phase, tile=tile)

    def _person(self, x: float, z: float, vx: float = 0.0, vz: float = 0.0) -> _Pedestrian:
        skin = self.rng.uniform(0.5, 1.05) * np.array((214, 170, 142))
        hair = self.rng.uniform(0.3, 1.3) * np.array((70, 52, 38))
        looks = _Materials.from_colours(_PEDESTRIAN, skin, self._like(*_CLOTHES), 0.7 * self._like(*_CLOTHES), hair)
        height, phase = self.rng.uniform(1.5, 1.9), self.rng.uniform(0, 2 * math.pi)
        when = self.drive.pace.arrival(z)
        return _Pedestrian(materials=looks, x=x, z=z, when=when, vx=vx, vz=vz, width=1.0, height=height, phase=phase)

    def _car(self, x: float, z: float, vx: float = 0.0, vz: float = 0.0, early: float = 0.0) -> _Car:
        colours = self._like(*_PAINTS), _GLASS, (22, 22, 24), (236, 232, 214), (196, 34, 28), (34, 34, 36)
        body = _Materials.from_colours([*[_CAR] * 5, _ROAD], *colours)
        scale, height = self.rng.uniform(0.94, 1.12), self.rng.uniform(1.42, 1.75)
        length, width, when = 4.3 * scale, 1.8 * scale, self.drive.pace.arrival(z) - early
        return _Car(materials=body, x=x, z=z, when=when, vx=vx, vz=vz, length=length, width=width, height=height)


def _collide(across: _Car, along: _Car) -> bool:
    """Whether two cars, one of them crossing the street, would be in one place at one time, or just not."""
    apart = across.when + (along.x - across.x) / across.vx - along.when - (across.z - along.z) / along.vz
    room = (across.length + along.width) / abs(across.vx) + (across.width + along.length) / abs(along.vz)
    return abs(apart) < room / 2 + 0.3


# --------------------------------------------------------------------------------------------------------- the picture


def _sway(swings: Sequence[tuple[float, float]], time: float) -> float:
    return sum(size * math.sin(2 * math.pi * rate * time) for size, rate in swings)


class _Canvas:
    """One picture in the making: per pixel the number of a material, and how bright it is there."""

    def __init__(self, drive: _Drive, time: float, height: int, width: int) -> None:
        self.drive, self.time, self.z = drive, time, drive.pace.place(time)
        yaw, pitch = (_sway(swings, time + ahead) for swings, ahead in zip((_YAW, _PITCH), drive.sway, strict=True))
        focal = _FOCAL * math.sqrt(height * width)
        # Directions through the middles of the pixels: metres to the right, and down, per metre of depth.
        self.right = (np.arange(width) + 0.5 - width / 2) / focal - yaw
        self.down = (np.arange(height) + 0.5 - _HORIZON * height) / focal - pitch
        self.ids = np.zeros((height, width), np.int32)
        self.shade = np.ones((height, width), np.float32)
        self._colours: list[_Doubles] = []
        self._labels: list[_Bytes] = []
        self._count = 0

    def _add(self, colours: _Doubles, labels: _Bytes, haze: float | _Doubles = 0.0) -> int:
        """Add materials, veiled by ``haze`` (0 to 1), and return the number of the first."""
        first = self._count
        self._colours.append((colours + (_HAZE - colours) * haze).reshape(-1, 3))
        self._labels.append(labels.reshape(-1))
        self._count += labels.size
        return first

    def paint_sky(self) -> None:
        rows, levels = int(self.down.searchsorted(0.0)), 6
        up = -self.down[:rows, None]
        blue = np.array((214, 222, 228)) - np.array((102, 64, 14)) * np.sqrt(np.clip(up / 0.6, 0, 1))
        cloud = np.linspace(0, 1, levels)[:, None]
        first = self._add(blue[:, None] * (1 - cloud) + 240.0 * cloud, np.full((rows, levels), _SKY, np.uint8))
        soft = _texels(self.drive.blotches, (self.right + 9.0).astype(np.float32), up.astype(np.float32), 220.0)
        self.ids[:rows] = first + levels * np.arange(rows)[:, None] + np.clip(1.7 * soft + 1.5, 0, 5).astype(np.int32)

    def paint_ground(self) -> None:
        """Paint road and pavement, and the distant houses behind which the street ends."""
        top = int(self.down.searchsorted(_EYE / 1000.0))  # the row that sees the ground 1 km away
        depth = _EYE / self.down[top:, None]
        z, x = self.z + depth, (self.right * depth + _OWN_LANE).astype(np.float32)
        off, along = np.abs(x), z % (_BLOCK * _CELL)
        street = (along <= _SIDE_STREET[0]) | (along >= _SIDE_STREET[1])
        look = np.where((off > _ROAD_EDGE) & street, np.where(z % 1.2 < 0.06, 2, 1), 0)  # slabs and their joints
        look[(np.abs(off - _ROAD_EDGE - 0.15) < 0.15) & street] = 3  # kerb
        look[((off < 0.08) | (np.abs(x - 3.1) < 0.07)) & (z % 6.0 < 3.0) & street] = 4  # lane marks
        look[(np.abs(along - 2.7) < 2.3) & (off < _ROAD_EDGE)] = 0
        look[(np.abs(along - 2.7) < 1.3) & (off < _ROAD_EDGE - 0.3) & (x - np.floor(x) < 0.5)] = 4  # zebra crossing
        colours = np.array([(104, 104, 106), (158, 150, 142), (132, 126, 120), (176, 172, 166), (214, 214, 208)], float)
        labels = np.array((_ROAD, _PAVEMENT, _PAVEMENT, _PAVEMENT, _ROAD), np.uint8)
        eaves = np.interp(3.0 * z % _TILE, np.arange(_TILE), self.drive.blotches[7], period=_TILE)
        look[self.drive.sun * x < -1.5 - 1.2 * eaves] += len(colours)  # in the shade of the houses
        palette = np.concatenate([colours, colours * (0.55, 0.58, 0.64)])
        # Each row has its own palette, as haze depends on depth.
        haze = 1 - np.exp(-depth / _HAZE_DISTANCE)[..., None]
        first = self._add(np.tile(palette, (len(z), 1, 1)), np.tile(labels, (len(z), 2)), haze)
        self.ids[top:] = first + len(palette) * np.arange(len(z))[:, None] + look
        s, y = x + np.float32(64), (z % 64.0).astype(np.float32)
        fine = _texels(self.drive.grain, s, y, 32.0) * np.minimum(1, 15 / depth).astype(np.float32)
        self.shade[top:] = 1 + np.float32(0.07) * fine + np.float32(0.05) * _texels(self.drive.blotches, s, y, 16.0)

        skyline = 0.05 + 0.025 * self.drive.blotches[3, ((self.right + 3) * 240).astype(np.int32) % _TILE]
        town = self._add(np.full((1, 3), 119.0), np.array([_BUILDING], np.uint8), haze=0.55)
        band = slice(int(self.down.searchsorted(-0.2)), top)
        np.copyto(self.ids[band], town, where=-self.down[band, None] < skyline)

    def paint_things(self) -> None:
        visible = []
        # What is overtaken is met at up to twice the distance at which it is seen.
        for index in range(int(self.z // _CELL) - 1, int((self.z + 2 * _FAR) // _CELL) + 1):
            for thing in _cell(self.drive.seed, index):
                x, z = thing.place(self.time)
                x, z = x - _OWN_LANE, z - self.z
                if -thing.reach - 3.0 < z < _FAR:
                    visible.append((z + thing.reach, x, z, thing))
        for _, x, z, thing in sorted(visible, key=lambda entry: -entry[0]):
            for wall in thing.walls(x, z):
                self._paint_wall(wall, thing, self.time)

    def _paint_wall(self, wall: _Wall, thing: _Thing, time: float) -> None:
        (x0, z0), (x1, z1) = wall.start, wall.end
        if max(z0, z1) <= _NEAR:
            return
        dx, dz = x1 - x0, z1 - z0
        edges = [x / z if z > _NEAR else (x0 + dx / dz * (_NEAR - z0)) / _NEAR for x, z in (wall.start, wall.end)]
        left, stop = self.right.searchsorted(sorted(edges))
        if left == stop:
            return
        right = self.right[left:stop]
        part = (right * z0 - x0) / (dx - right * dz)  # of the way from start to end, where each column meets the wall
        depth = z0 + part * dz
        near, far = sorted((float(depth[0]), float(depth[-1])))
        rise, drop = wall.top - _EYE, _EYE - wall.bottom
        top, bottom = self.down.searchsorted((-rise / (near if rise > 0 else far), drop / (near if drop > 0 else far)))
        if top == bottom:
            return
        s = (part * math.hypot(dx, dz)).astype(np.float32)[None]
        y = np.float32(_EYE) - self.down[top:bottom, None].astype(np.float32) * depth.astype(np.float32)
        look = wall.look(s, y, time)
        seen = look > 0
        if dz:  # otherwise the bounding box is the wall
            seen &= (y >= wall.bottom) & (y <= wall.top)
        haze = 1 - math.exp(-(near + far) / 2 / _HAZE_DISTANCE)
        first = self._add(thing.materials.colours * wall.light, thing.materials.labels, haze)
        box = slice(top, bottom), slice(left, stop)
        np.copyto(self.ids[box], look + np.int32(first), where=seen)
        shade = 1 + np.float32(thing.grain) * _texels(self.drive.grain, s, y, 32.0) if thing.grain else np.float32(1)
        np.copyto(self.shade[box], shade, where=seen)

    def paint_bonnet(self) -> None:
        height, width = self.ids.shape
        top, levels = int(0.93 * height), 6
        across = np.linspace(-1, 1, width)
        below = (np.arange(top, height)[:, None] + 0.5) / height - (0.935 + 0.02 * across**2 + 0.07 * across**4)
        first = self._add(np.array((38, 44, 58)) + np.linspace(70, 0, levels)[:, None], np.full(levels, VOID, np.uint8))
        np.copyto(self.ids[top:], first + np.clip(60 * below, 0, levels - 1).astype(np.int32), where=below > 0)
        np.copyto(self.shade[top:], np.float32(1), where=below > 0)

    def develop(self, rng: np.random.Generator) -> tuple[_Bytes, _Bytes]:
        """Return the frame, uint8 (H, W, 3), and its label map, uint8 (H, W)."""
        image = (np.concatenate(self._colours) * self.drive.tint).astype(np.float32).take(self.ids, axis=0)
        image *= self.shade[..., None]
        # The sum of two random bytes is bell-shaped enough, and much cheaper than a normal deviate.
        noise = np.add(*rng.integers(0, 256, (2, *image.shape), np.uint8), dtype=np.float32)
        noise -= 255.0
        noise *= _NOISE / 104.5  # the deviation of that sum
        image += noise
        return np.clip(image, 0, 255).astype(np.uint8), np.concatenate(self._labels).take(self.ids)
