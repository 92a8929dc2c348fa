"""Pairs at one size: pictures are filtered, labels are not."""

import numpy as np
import pytest

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import ArrayPairs, Pair, Pairs
from labelfactory.factory.pairs.resized import ResizedPairs, nearest, parse_size, resized_picture


def test_labels_are_taken_from_the_middle_of_each_block() -> None:
    labels = np.arange(36).reshape(6, 6)
    assert nearest(labels, (2, 2)).tolist() == [[7, 10], [25, 28]]
    assert nearest(labels, (6, 6)) is labels
    assert nearest(np.array([[1, 2]]), (2, 4)).tolist() == [[1, 1, 2, 2]] * 2


def test_no_class_is_invented_between_two_others() -> None:
    rng = np.random.default_rng(0)
    masks = rng.choice([0, 7, 255], (2, 19, 23)).astype(np.uint8)
    images = rng.integers(0, 256, (2, 19, 23, 3), np.uint8)
    pairs = ResizedPairs(ArrayPairs(images, masks, np.ones(masks.shape, np.float32)), (11, 30))
    assert len(pairs) == 2
    pair = pairs[1]
    assert pair.image.shape == (11, 30, 3)
    assert pair.mask.shape == (11, 30)
    assert pair.weights is not None
    assert pair.weights.shape == (11, 30)
    assert set(np.unique(pair.mask)) <= {0, 7, 255}


def test_instances_and_key_points_come_along() -> None:
    class One(Pairs):
        def __len__(self) -> int:
            return 1

        def fetch(self, indices: object) -> list[Pair]:
            numbers = np.arange(16).reshape(4, 4)
            points = np.array([[3, 1, 2], [0, 0, 0]], np.float32)
            blank = np.zeros((4, 4, 1), np.uint8)
            return [Pair(blank, blank[..., 0], instances=numbers, keypoints=points)]

    pair = ResizedPairs(One(), (2, 2))[0]
    assert pair.instances is not None
    assert pair.instances.tolist() == [[5, 7], [13, 15]]
    assert pair.image.shape == (2, 2, 1)
    assert pair.keypoints is not None
    assert pair.keypoints.tolist() == [[1.5, 0.5, 2], [0, 0, 0]]


def test_grey_stays_grey_and_the_mean_stays() -> None:
    image = np.kron(np.array([[0, 200], [200, 0]], np.uint8), np.ones((16, 16), np.uint8))[..., None]
    small = resized_picture(image, (8, 8))
    assert small.shape == (8, 8, 1)
    assert abs(float(small.mean()) - 100) < 2
    assert resized_picture(image, (32, 32)) is image


@pytest.mark.parametrize("text", ["180", "180x", "x240", "0x8", "180X240", "-1x4"])
def test_a_size_is_height_by_width(text: str) -> None:
    assert parse_size("180x240") == (180, 240)
    with pytest.raises(InputError, match=r"size .*expected"):
        parse_size(text)
