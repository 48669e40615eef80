"""What moves in the synthetic video: one frame shows directions, but no speeds; and nothing runs into anything."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.data import synthetic
from flame_metric.data.synthetic import VOID

HEIGHT, WIDTH = 192, 384
CAMERA = 100.0  # where it is at time 0, in metres along the street
Scene = Callable[..., tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Render some things in an empty street, with a camera of a given speed: image, and labels or materials."""
    drive = synthetic._drive(1)

    def render(*things: Any, camera_speed: float = 7.0, time: Fraction = Fraction(0)) -> Any:
        pace = synthetic._Pace(start=CAMERA, mean=camera_speed, swing=0.0, rate=0.1, phase=0.0)
        monkeypatch.setattr(synthetic, "_drive", lambda seed: dataclasses.replace(drive, pace=pace))
        here = int(CAMERA // synthetic._CELL)
        monkeypatch.setattr(synthetic, "_cell", lambda seed, index: things if index == here else ())
        return synthetic._render(1, HEIGHT, WIDTH, time)

    return render


def thing(kind: str, x: float, z: float, vx: float, vz: float) -> Any:
    """A person or a car that is x metres to the right and z metres before the camera at time 0."""
    builder = synthetic._CellBuilder(synthetic._drive(1), 4)
    made = builder._person(0.0, 0.0, vx, vz) if kind == "person" else builder._car(0.0, 0.0, vx, vz)
    return dataclasses.replace(made, x=synthetic._OWN_LANE + x, z=CAMERA + z, when=0.0)


def materials_of(scene: Scene, one: Any) -> npt.NDArray[np.uint8]:
    """Which material of a thing each pixel shows; 0 where it is not."""
    count = len(one.materials.labels)
    numbered = synthetic._Materials(one.materials.colours, np.arange(100, 100 + count, dtype=np.uint8))
    labels = scene(dataclasses.replace(one, materials=numbered))[1]
    return np.where((labels >= 100) & (labels != VOID), labels, 100) - np.uint8(100)


DIRECTIONS = [(1, 0), (-1, 0), (0, 1), (0, -1)]


@pytest.mark.parametrize("kind", ["person", "car"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_equal_places_and_directions_with_other_speeds_give_equal_frames(
    scene: Scene, kind: str, direction: tuple[int, int]
) -> None:
    def at(speed: float, camera_speed: float, time: Fraction = Fraction(0)) -> Any:
        vx, vz = (speed * part for part in direction)
        return scene(thing(kind, 2.0, 11.0, vx, vz), camera_speed=camera_speed, time=time)

    first = at(1.3, 7.0)
    assert first[1].tobytes().count(synthetic._CAR if kind == "car" else synthetic._PEDESTRIAN) > 150
    for speed, camera_speed in ((1.3, 4.5), (0.4, 7.0), (9.0, 8.5)):
        assert all(map(np.array_equal, at(speed, camera_speed), first))
    later = Fraction(1, 15)
    now = at(1.3, 7.0, later)
    for speed, camera_speed in ((1.3, 4.5), (9.0, 7.0)):  # the next frame tells
        assert not np.array_equal(at(speed, camera_speed, later)[1], now[1])


@pytest.mark.parametrize("kind", ["person", "car"])
def test_directions_look_different(scene: Scene, kind: str) -> None:
    seen = [materials_of(scene, thing(kind, 2.0, 11.0, 1.5 * vx, 1.5 * vz)) for vx, vz in DIRECTIONS]
    for a, b in itertools.combinations(seen, 2):
        assert np.count_nonzero(a != b) > 30


@pytest.mark.parametrize("x", [-3.0, 0.0, 3.0])
def test_people_face_where_they_go(scene: Scene, x: float) -> None:
    """Materials: 1 skin, 4 hair."""

    def columns(seen: npt.NDArray[np.uint8], material: int) -> npt.NDArray[np.intp]:
        head = seen[: int(0.46 * HEIGHT)]  # eyes are as high as the horizon, roughly
        return np.nonzero(head == material)[1]

    for way in (-1, 1):
        seen = materials_of(scene, thing("person", x, 7.0, 1.4 * way, 0.0))
        face, hair = columns(seen, 1), columns(seen, 4)
        assert min(len(face), len(hair)) > 10
        assert way * (face.mean() - hair.mean()) > 1
    coming, going = (materials_of(scene, thing("person", x, 7.0, 0.0, vz)) for vz in (-1.2, 1.2))
    assert len(columns(coming, 1)) > len(columns(coming, 4)) > 0
    assert np.count_nonzero(going == 1) == 0
    assert len(columns(going, 4)) > 30


@pytest.mark.parametrize("x", [-6.0, -3.2, 3.0, 6.0])
def test_cars_point_where_they_go(scene: Scene, x: float) -> None:
    """Materials: 2 glass, 4 white light, 5 red light."""
    coming, going, parked = (materials_of(scene, thing("car", x, 12.0, 0.0, vz)) for vz in (-8.0, 3.0, 0.0))
    assert np.count_nonzero(coming == 5) == 0
    assert np.count_nonzero(coming == 4) > 1.5 * np.count_nonzero(going == 4)
    assert np.count_nonzero(going == 5) > 10
    assert np.array_equal(going, parked)
    for way in (-1, 1):
        seen = materials_of(scene, thing("car", x, 18.0, 6.0 * way, 0.0))
        columns, glass = np.nonzero(seen)[1], np.nonzero(seen == 2)[1]
        middle = (columns.min() + columns.max()) / 2
        assert way * (middle - glass.mean()) > 1  # the cabin is behind the engine
        red = np.count_nonzero(seen == 5)
        if way * x < 0:
            assert red == 0  # the nose is turned to the camera
        elif abs(x) > 5:  # nearer to its way, the camera sees hardly anything of the tail
            assert red > 0


@given(
    mean=st.floats(*synthetic._SPEED),
    swing=st.floats(*synthetic._SWING),
    period=st.floats(*synthetic._PERIOD),
    phase=st.floats(0, 7),
    time=st.floats(-60, 10_000),
)
def test_the_camera_arrives_when_it_is_there(
    mean: float, swing: float, period: float, phase: float, time: float
) -> None:
    pace = synthetic._Pace(start=150.0, mean=mean, swing=swing, rate=1 / period, phase=phase)
    assert pace.arrival(pace.place(time)) == pytest.approx(time, abs=1e-6)
    speed = (pace.place(time + 1e-3) - pace.place(time - 1e-3)) / 2e-3
    assert pace.least - 1e-4 <= speed <= 2 * mean - pace.least + 1e-4
    assert pace.least > 0


def test_speeds_differ_from_seed_to_seed_and_from_moment_to_moment() -> None:
    drives = [synthetic._drive(seed) for seed in range(24)]
    for speeds, (low, high) in (
        ([drive.pace.mean for drive in drives], synthetic._SPEED),
        ([drive.oncoming for drive in drives], synthetic._ONCOMING_SPEED),
    ):
        assert low <= min(speeds) < low + 0.25 * (high - low)
        assert high - 0.25 * (high - low) < max(speeds) <= high
    for drive in drives:
        assert 0 < drive.slow <= 0.5 * drive.pace.least
        places = np.array([drive.pace.place(i / 15) for i in range(301)])
        steps = np.diff(places)
        assert steps.min() > 0
        assert steps.max() > 1.15 * steps.min()


def boxes_at(seed: int, time: float, kinds: tuple[type, ...]) -> list[tuple[float, float, float, float]]:
    """Left, right, near and far end of things around the camera, in metres from it."""
    camera = synthetic._drive(seed).pace.place(time)
    found = []
    for index in range(max(0, int(camera // synthetic._CELL) - 2), int(camera // synthetic._CELL) + 10):
        for one in synthetic._cell(seed, index):
            if not isinstance(one, kinds):
                continue
            x, z = one.place(time)
            deep, wide = (one.length, one.width) if isinstance(one, synthetic._Car) else (0.0, 0.5)
            wide, deep = (deep, wide) if one.vx and deep else (wide, deep)
            if abs(z - camera) < 120:
                middle = x - synthetic._OWN_LANE
                found.append((middle - wide / 2, middle + wide / 2, z - camera - deep / 2, z - camera + deep / 2))
    return found


def overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


@pytest.mark.parametrize("seed", range(12))
def test_cars_do_not_run_into_each_other_nor_the_camera_into_anything(seed: int) -> None:
    camera = (-0.9, 0.9, -2.5, 1.2)
    met = 0
    for time in np.arange(0, 40, 0.2):
        cars = boxes_at(seed, time, (synthetic._Car,))
        met += len(cars)
        assert not any(overlap(a, b) for a, b in itertools.combinations(cars, 2))
        assert not any(overlap(camera, box) for box in cars + boxes_at(seed, time, (synthetic._Pedestrian,)))
    assert met > 500


def test_cars_that_would_collide_are_found() -> None:
    """A car of 4 m by 2 crosses at z = 20 at time 0; another comes along 3.2 m before, at 8 m/s."""
    crossing, along = (
        thing("car", 0.0, 20.0, 6.0, 0.0),
        dataclasses.replace(thing("car", -3.2, 28.0, 0.0, -8.0), when=0.4),
    )
    assert synthetic._collide(crossing, along) is False
    late = dataclasses.replace(along, when=-1.5)
    assert synthetic._collide(crossing, late) is True
