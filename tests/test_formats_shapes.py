"""Shapes become the pixels whose centres they hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.interpreters.formats.drawing import Bitmap, Ellipse, Polygons, fill_polygon, outline

coordinate = st.floats(-5, 15, allow_nan=False).map(lambda v: round(v, 3)) | st.integers(-3, 12).map(float)
polygon = st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=8)


def centre_is_inside(points: list[tuple[float, float]], x: float, y: float) -> bool:
    """Even-odd rule by the textbook: count the edges that a ray to the left crosses."""
    crossings = 0
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 <= y) != (y1 <= y):
            lower, upper = ((x0, y0), (x1, y1)) if y0 < y1 else ((x1, y1), (x0, y0))
            at = lower[0] + (y - lower[1]) * ((upper[0] - lower[0]) / (upper[1] - lower[1]))
            crossings += at <= x
    return crossings % 2 == 1


@given(polygon)
def test_polygon_holds_the_pixels_whose_centre_is_inside(points: list[tuple[float, float]]) -> None:
    got = fill_polygon(np.array(points), 9, 11)
    expected = [[centre_is_inside(points, x + 0.5, y + 0.5) for x in range(11)] for y in range(9)]
    np.testing.assert_array_equal(got, expected)


@given(st.lists(coordinate, min_size=2, max_size=2), st.lists(coordinate, min_size=2, max_size=2))
def test_polygons_that_share_an_edge_leave_no_gap_and_do_not_overlap(top: list[float], bottom: list[float]) -> None:
    a, b = top[0], bottom[0]
    left = fill_polygon(np.array([(-20.0, 0), (a, 0), (b, 9), (-20, 9)]), 9, 11)
    right = fill_polygon(np.array([(a, 0), (40.0, 0), (40, 9), (b, 9)]), 9, 11)
    np.testing.assert_array_equal(left ^ right, True)


def test_polygon_of_whole_pixels_is_those_pixels() -> None:
    got = Polygons((outline([(2.0, 1.0), (5.0, 1.0), (5.0, 3.0), (2.0, 3.0)], "here"),)).fill(6, 8)
    assert np.argwhere(got).min(0).tolist() == [1, 2]
    assert np.argwhere(got).max(0).tolist() == [2, 4]
    assert got.sum() == 6


def test_polygon_outside_covers_nothing() -> None:
    assert not fill_polygon(np.array([(-9.0, -9), (-2, -9), (-2, -2)]), 5, 5).any()
    assert not fill_polygon(np.array([(9.0, 9), (20, 9), (20, 20)]), 5, 5).any()


def test_too_few_or_far_corners_are_refused() -> None:
    with pytest.raises(InputError, match="here: a polygon of 2 points"):
        outline([(0.0, 0.0), (1.0, 1.0)], "here")
    with pytest.raises(InputError, match="here: a corner at 1e"):
        outline([(0.0, 0.0), (1.0, 1.0), (1e9, 0.0)], "here")


def test_ellipse_turned_by_a_quarter_swaps_its_radii() -> None:
    a = Ellipse(5.0, 4.0, 4.0, 2.0, 90.0).fill(9, 11)
    np.testing.assert_array_equal(a, Ellipse(5.0, 4.0, 2.0, 4.0).fill(9, 11))
    np.testing.assert_array_equal(
        Ellipse(5.0, 4.0, 4.0, 2.0, 45.0).fill(9, 11), Ellipse(5.0, 4.0, 2.0, 4.0, -45.0).fill(9, 11)
    )
    assert Ellipse(5.0, 4.0, 3.0, 3.0).fill(9, 11).sum() == sum(
        (x + 0.5 - 5) ** 2 + (y + 0.5 - 4) ** 2 <= 9 for x in range(11) for y in range(9)
    )
    assert not Ellipse(5.0, 4.0, 0.0, 3.0).fill(9, 11).any()


@given(st.integers(-6, 12), st.integers(-6, 12))
def test_bitmap_is_cut_at_the_border(x: int, y: int) -> None:
    pixels = np.arange(12).reshape(3, 4) % 3 > 0
    big = np.zeros((40, 40), dtype=bool)
    big[y + 15 : y + 18, x + 15 : x + 19] = pixels
    np.testing.assert_array_equal(Bitmap(pixels, x, y).fill(9, 8), big[15:24, 15:23])
