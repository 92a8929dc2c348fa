"""Contact sheets show every sample and every class's colour."""

import numpy as np
import pytest
from nuclei_world import NUCLEI_CLASSES

from labelfactory.interpreters.labelset import Sample
from labelfactory.interpreters.sheet import contact_sheet, overlay


@pytest.mark.parametrize(("size", "channels", "count"), [((8, 6), 1, 1), ((64, 64), 1, 17), ((500, 700), 3, 3)])
def test_every_picture_is_on_the_sheet(size: tuple[int, int], channels: int, count: int) -> None:
    samples = [
        Sample(f"s{i}", np.full((*size, channels), 10 + i, np.uint8), np.zeros(size, np.uint8), i) for i in range(count)
    ]
    for masks in (False, True):
        sheet = np.array(contact_sheet(samples, NUCLEI_CLASSES, masks=masks))
        for i in range(count):
            assert (sheet == 10 + i).all(-1).sum() > 100
        assert max(sheet.shape) < 4000
    narrow = contact_sheet(samples, NUCLEI_CLASSES, columns=1)
    assert narrow.height > narrow.width or count == 1 or size[1] > size[0]


def test_overlay_leaves_class_zero_alone_and_tints_the_rest() -> None:
    rgb = np.full((6, 6, 3), 100, np.uint8)
    mask = np.zeros((6, 6), np.uint8)
    mask[2:5, 2:5] = 1
    mask[5, 5] = 255
    out = overlay(rgb, mask, NUCLEI_CLASSES)
    assert (out[0, 0] == 100).all()
    assert out[3, 3].tolist() == [152, 124, 60]  # 40 % of (230, 159, 0)
    assert (out[5, 5] != 100).any()
