"""Regions and run lengths, against pycocotools and against themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from storage_data import make_spec

from labelfactory.storage.segments import compressed_run_lengths, run_lengths, segments

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda shape: arrays(bool, shape))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under NumPy 2
@given(MASKS)
def test_run_lengths_are_cocos(pixels):
    coco = pytest.importorskip("pycocotools.mask")
    counts = run_lengths(pixels)
    assert sum(counts) == pixels.size
    theirs = coco.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert compressed_run_lengths(counts).encode() == theirs["counts"]
    assert np.array_equal(coco.decode(theirs), pixels)


@given(arrays(np.uint8, (9, 7), elements=st.sampled_from([0, 1, 2, 255])))
def test_segments_cover_every_labelled_pixel_once(mask):
    spec = make_spec()
    found = list(segments(spec, mask))
    covered = sum(segment.pixels.astype(int) for segment in found) if found else np.zeros(mask.shape, int)
    assert np.array_equal(covered, (mask != 255).astype(int))
    assert all((mask[segment.pixels] == segment.class_id).all() for segment in found)
    assert [segment.class_id for segment in found].count(0) <= 1  # background is stuff: one region


def test_things_are_split_by_connection_or_by_instance():
    mask = np.zeros((5, 5), np.uint8)
    mask[0, 0] = mask[1, 1] = mask[4, 4] = 1  # the first two touch at a corner
    things = [segment for segment in segments(make_spec(), mask) if segment.thing]
    assert [(segment.area, segment.box) for segment in things] == [(2, [0, 0, 2, 2]), (1, [4, 4, 1, 1])]
    instance = np.zeros((5, 5), np.uint16)
    instance[0, 0] = instance[4, 4] = 7
    things = [segment for segment in segments(make_spec(), mask, instance) if segment.thing]
    assert [segment.area for segment in things] == [2, 1]
