"""GIF files: what is written is read back by Pillow, as often and as long as it should be seen."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.errors import ConfigError, ShapeError

Image = pytest.importorskip("PIL.Image", reason="GIF files need Pillow")
write_gif = pytest.importorskip("flame_metric.data.images").write_gif


def pictures(number: int) -> list[np.ndarray]:
    """Pictures that all differ: Pillow makes one of equal ones, and of its time the sum."""
    return [np.full((4, 6, 3), (one * 5, 255 - one * 5, 80), np.uint8) for one in range(number)]


def read(file) -> list[tuple[np.ndarray, int]]:
    """(pixels, ms) of each picture."""
    with Image.open(file) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            found.append((np.asarray(image.convert("RGB")), image.info["duration"]))
        return found


def test_pictures_come_back_in_their_order(tmp_path):
    given_pictures = pictures(5)
    write_gif(tmp_path / "a.gif", iter(given_pictures), fps=10)
    found = read(tmp_path / "a.gif")
    assert [duration for _, duration in found] == [100] * 5
    for (pixels, _), picture in zip(found, given_pictures, strict=True):
        assert np.array_equal(pixels, picture)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["loop"] == 0  # for ever


@given(fps=st.fractions(Fraction(1, 2), 50, max_denominator=1001), number=st.integers(1, 40))
def test_no_picture_is_late_by_more_than_a_hundredth_of_a_second(fps, number, tmp_path_factory):
    file = tmp_path_factory.mktemp("gif") / "a.gif"
    write_gif(file, pictures(number), fps=fps)
    times = np.cumsum([duration for _, duration in read(file)])
    wanted = [1000 * (one + 1) / fps for one in range(number)]
    assert len(times) == number
    assert all(abs(float(want) - time) <= 5 for want, time in zip(wanted, times, strict=True))


def test_colours_that_are_rare_are_kept(tmp_path):
    """A few pixels of a signal colour in a large noisy picture."""
    picture = np.random.default_rng(0).integers(90, 130, (64, 64, 3)).astype(np.uint8)
    picture[10:14, 10:14] = (213, 94, 0)
    write_gif(tmp_path / "a.gif", [picture], fps=10, colours=16)
    (pixels, _), *_ = read(tmp_path / "a.gif")
    assert np.abs(pixels[11, 11].astype(int) - (213, 94, 0)).max() < 40


def test_fewer_colours_make_a_smaller_file(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    for colours in (8, 256):
        write_gif(tmp_path / f"{colours}.gif", [noise], fps=10, colours=colours)
    assert (tmp_path / "8.gif").stat().st_size < (tmp_path / "256.gif").stat().st_size
    (pixels, _), *_ = read(tmp_path / "8.gif")
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) <= 8


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        ([], {}, ConfigError, "`pictures` is empty, expected one picture or more"),
        (pictures(1), {"fps": 60}, ConfigError, "`fps` is 60, expected at most 50"),
        (pictures(1), {"fps": 0}, ConfigError, "`fps` is 0"),
        (pictures(1), {"colours": 1}, ConfigError, "`colours` is 1"),
        (pictures(1), {"colours": 257}, ConfigError, "(at most 256)"),
        (
            [*pictures(1), np.zeros((6, 4, 3), np.uint8)],
            {},
            ShapeError,
            "`pictures` have the sizes (6, 4) and (4, 6), expected one size",
        ),
    ],
)
def test_what_no_animation_is_made_of(images, options, error, message, tmp_path):
    with pytest.raises(error, match=re.escape(message)):
        write_gif(tmp_path / "a.gif", images, **{"fps": 10, **options})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.gif"):
        write_gif(tmp_path / "none" / "a.gif", pictures(1), fps=10)
