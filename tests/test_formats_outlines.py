"""Outlines of a mask, drawn again, give the mask."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from labelfactory.interpreters.formats.drawing import fill_polygon
from labelfactory.interpreters.formats.outlines import components, trace


def draw(mask: np.ndarray) -> np.ndarray:
    canvas = np.zeros_like(mask)
    for value, corners in components(mask):
        canvas[fill_polygon(corners.astype(float), *mask.shape)] = value
    return canvas


@settings(max_examples=300)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 2, 255])))
def test_any_mask_survives(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(draw(mask), mask)


def test_nested_rings_survive() -> None:
    y, x = np.mgrid[:41, :41] - 20
    radius = np.hypot(y, x)
    mask = (radius.astype(int) // 4 % 3).astype(np.uint8)
    np.testing.assert_array_equal(draw(mask), mask)


def test_a_rectangle_has_four_corners_and_bare_background_none() -> None:
    mask = np.zeros((8, 9), dtype=np.uint8)
    assert list(components(mask)) == []
    mask[2:5, 3:7] = 1
    [(value, corners)] = components(mask)
    assert value == 1
    assert corners.tolist() == [[3, 2], [7, 2], [7, 5], [3, 5]]
    assert trace(np.ones((1, 1), bool)).tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]
