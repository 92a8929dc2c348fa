"""A label set of two blank pictures and the masks that the files of ``data/labels`` hold."""

import numpy as np
from nuclei_world import NUCLEI_CLASSES

from labelfactory.interpreters.labelset import LabelSet, Sample

H, W = 20, 24
NAMES = ("seed000001", "seed000002")


def blank(*names: str, keypoints: tuple[str, ...] = ()) -> LabelSet:
    """What `factory sample` leaves for a person to label."""
    mask = np.full((H, W), 255, np.uint8)
    image = np.zeros((H, W, 1), np.uint8)
    samples = tuple(Sample(name, image, mask, i + 1) for i, name in enumerate(names or NAMES))
    return LabelSet(NUCLEI_CLASSES, samples, "builtin:nuclei64", "ab" * 32, keypoints=keypoints)


def discs(i: int, ground: int = 0) -> np.ndarray:
    """A disc of class 1 and a box of class 2."""
    y, x = np.mgrid[:H, :W]
    mask = np.full((H, W), ground, np.uint8)
    mask[(x - 9 - i) ** 2 + (y - 9) ** 2 < 40] = 1
    mask[2 + i : 9, 17:23] = 2
    return mask


def boxes(*placed: tuple[int, int, int, int, int]) -> np.ndarray:
    """Zeros with boxes (value, left, top, right, bottom)."""
    mask = np.zeros((H, W), np.uint8)
    for value, left, top, right, bottom in placed:
        mask[top:bottom, left:right] = value
    return mask
