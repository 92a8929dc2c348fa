"""Objects are numbered by size; a boundary class keeps touching ones apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labelfactory.errors import InputError
from labelfactory.interpreters.instances import label_instances


def test_regions_are_numbered_by_size_and_small_ones_left_out() -> None:
    mask = np.zeros((10, 12), np.uint8)
    mask[1:3, 1:3] = 1
    mask[5:9, 1:6] = 1
    mask[1:4, 6:9] = 2
    mask[9, 11] = 2
    ids, sizes = label_instances(mask, [1, 2])
    assert ids.dtype == np.uint16
    assert sizes == {1: 20, 2: 9, 3: 4, 4: 1}
    assert (ids[5:9, 1:6] == 1).all()
    assert (ids[1:4, 6:9] == 2).all()
    assert ids[9, 11] == 4
    ids, sizes = label_instances(mask, [1, 2], min_size=4)
    assert sizes == {1: 20, 2: 9, 3: 4}
    assert ids[9, 11] == 0
    assert label_instances(mask, [2])[1] == {1: 9, 2: 1}


def test_touching_classes_are_different_objects_and_corners_connect() -> None:
    mask = np.array([[1, 2, 0], [0, 1, 0], [0, 0, 1]], np.uint8)
    ids, sizes = label_instances(mask, [1, 2])
    assert sizes == {1: 3, 2: 1}
    assert ids[0, 1] == 2


def test_a_boundary_separates_and_then_belongs_to_its_neighbours() -> None:
    mask = np.zeros((8, 11), np.uint8)
    mask[2:6, 1:10] = 1
    together, _ = label_instances(mask, [1])
    assert together.max() == 1
    mask[2:6, 5] = 2  # drawn between two nuclei
    mask[0, 0] = 2  # drawn far from any
    ids, sizes = label_instances(mask, [1], boundary=2)
    assert set(np.unique(ids)) == {0, 1, 2}
    assert ids[3, 2] != ids[3, 8]
    assert (ids[2:6, 5] > 0).all()
    assert ids[0, 0] == 0
    assert sum(sizes.values()) == 36
    diagonal = np.array([[1, 2], [2, 1]], np.uint8)
    assert len(label_instances(diagonal, [1], boundary=2)[1]) == 2
    with pytest.raises(InputError, match="both a thing and the boundary"):
        label_instances(mask, [1], boundary=1)


@given(arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 2, 255])))
def test_every_thing_pixel_has_a_number_and_every_number_one_class(mask: np.ndarray) -> None:
    ids, sizes = label_instances(mask, [1, 2])
    np.testing.assert_array_equal(ids > 0, np.isin(mask, [1, 2]))
    for number, size in sizes.items():
        assert (ids == number).sum() == size
        assert len(np.unique(mask[ids == number])) == 1
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
