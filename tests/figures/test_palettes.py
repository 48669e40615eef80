"""Colours of classes: they differ, also for eyes that see no difference between red and green."""

import importlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.errors import ConfigError
from flame_metric.figures import palette
from flame_metric.figures.palettes import seen_by

VISIONS = ("normal", "protanopia", "deuteranopia")


def names(size: int) -> list[str]:
    return [f"class {number}" for number in range(size)]


def least_difference(colours, vision: str) -> float:
    seen = seen_by(vision, colours)
    return min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2))


def test_cityscapes_has_its_colours():
    pytest.importorskip("PIL", reason="the reader of Cityscapes needs Pillow")
    labels = importlib.import_module("flame_metric.data.cityscapes")
    colours = palette(labels.CLASS_NAMES)
    assert colours.shape == (19, 3)
    assert colours[labels.CLASS_NAMES.index("road")].tolist() == [128, 64, 128]
    assert colours[labels.CLASS_NAMES.index("bicycle")].tolist() == [119, 11, 32]
    assert len(np.unique(colours, axis=0)) == 19


def test_some_classes_of_cityscapes_in_any_order_keep_theirs():
    assert palette(["sky", "car"]).tolist() == [[70, 130, 180], [0, 0, 142]]


def test_one_name_that_is_not_of_cityscapes_changes_all():
    assert palette(["sky", "car", "tree"]).tolist() == palette(names(3)).tolist()


@pytest.mark.parametrize(("size", "least"), [(8, 0.07), (12, 0.07), (20, 0.07), (32, 0.06)])
@pytest.mark.parametrize("vision", VISIONS)
def test_colours_look_different_to_every_eye(size, least, vision):
    """0.02 is about what can be seen side by side."""
    assert least_difference(palette(names(size)), vision) > least


def test_the_colours_of_cityscapes_do_not():
    """What the docstring says of them: people and trees look alike to some."""
    assert least_difference(palette(["vegetation", "person"]), "deuteranopia") < 0.02


def test_red_and_green_look_alike_to_those_who_do_not_tell_them_apart():
    """Values of a simulation: hues collapse, greys stay where they are."""
    red, green, grey = [200, 80, 0], [100, 130, 0], [128, 128, 128]
    for vision in VISIONS[1:]:
        near = np.linalg.norm(np.subtract(*seen_by(vision, [red, green])))
        assert near < 0.5 * np.linalg.norm(np.subtract(*seen_by("normal", [red, green])))
        assert seen_by(vision, grey) == pytest.approx(seen_by("normal", grey), abs=1e-4)


def test_lightness_is_that_of_oklab():
    assert seen_by("normal", [255, 0, 0]) == pytest.approx([0.628, 0.2249, 0.1258], abs=1e-4)
    assert seen_by("normal", [0, 0, 0]).tolist() == [0, 0, 0]


@given(st.integers(2, 40), st.integers(0, 20))
def test_more_classes_keep_the_colours_of_fewer(size, more):
    assert np.array_equal(palette(names(size + more))[:size], palette(names(size)))


def test_the_largest_palette_has_no_colour_twice():
    colours = palette(names(4096))
    assert colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 4096


def test_a_palette_cannot_be_changed():
    """It is shared: the next call returns the same array."""
    for colours in (palette(names(5)), palette(["sky", "car"])):
        with pytest.raises(ValueError, match="read-only"):
            colours[0] = 0


@pytest.mark.parametrize(
    ("given", "message"),
    [("sky", "`class_names` is 'sky', expected a list of names"), ([1, 2], "expected a list of names"), ([], "is 0,")],
)
def test_no_names(given, message):
    with pytest.raises(ConfigError, match=message):
        palette(given)
