"""Outlines, as OpenCV fills them, as COCO's tools do, and as we read them back."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from labelfactory.storage.outlines import INSET, fill, outline, parts

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda shape: arrays(bool, shape))


def connected(pixels):
    """The 8-connected parts of a mask."""
    labels, count = ndimage.label(pixels, np.ones((3, 3)))
    return [labels == number for number in range(1, count + 1)]


@given(MASKS)
def test_an_outline_filled_is_the_region(pixels):
    if pixels.any():
        assert np.array_equal(fill(outline(pixels), *pixels.shape), pixels)
        assert parts(pixels) == len(connected(pixels))


@given(MASKS)
def test_opencv_fills_a_connected_region_to_the_pixel(pixels):
    for region in connected(pixels):
        canvas = np.zeros(pixels.shape, np.uint8)
        cv2.fillPoly(canvas, [outline(region).astype(np.int32)], 1)
        assert np.array_equal(canvas, region)


@given(MASKS)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under NumPy 2
def test_cocos_tools_fill_it_to_the_pixel_too(pixels):
    coco = pytest.importorskip("pycocotools.mask")
    for region in connected(pixels):
        codes = coco.frPyObjects([outline(region).ravel().tolist()], *pixels.shape)
        assert np.array_equal(coco.decode(coco.merge(codes)), region)


def test_parts_that_do_not_touch_are_joined_by_a_line():
    region = np.zeros((9, 12), bool)
    region[2:5, 1:4] = region[2:5, 8:11] = True
    canvas = np.zeros(region.shape, np.uint8)
    cv2.fillPoly(canvas, [outline(region).astype(np.int32)], 1)
    assert canvas[region].all()
    assert canvas.sum() - region.sum() == 4  # the gap is four pixels wide
    assert np.array_equal(fill(outline(region), *region.shape), region)


def test_an_outline_has_no_needless_corners_and_lies_just_inside():
    pixels = np.zeros((9, 9), bool)
    pixels[2:6, 3:8] = True
    near, left, far, low = 2 + INSET, 3 + INSET, 8 - INSET, 6 - INSET
    assert sorted(outline(pixels).tolist()) == [[left, near], [left, low], [far, near], [far, low]]
    assert len(outline(np.ones((1, 1), bool))) == 4
