"""U-Net's border map: equation 2, and what counts as an object."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from labelfactory.factory.pairs.border import BorderWeighted, border_weights
from labelfactory.factory.pairs.pairs import ArrayPairs, Pair
from labelfactory.interpreters.classes import LabelClass
from labelfactory.masks import connected_objects


def test_border_weights_follow_equation_2() -> None:
    instances = np.zeros((1, 7), np.uint8)
    instances[0, 0], instances[0, 3] = 1, 2
    w = border_weights(instances)
    assert w[0, 1] == pytest.approx(1 + 10 * math.exp(-((1 + 2) ** 2) / 50), rel=1e-6)
    assert w[0, 6] == pytest.approx(1 + 10 * math.exp(-((3 + 6) ** 2) / 50), rel=1e-6)
    assert w[0, 0] == w[0, 3] == 1


def test_many_objects_equal_the_plain_definition() -> None:
    rng = np.random.default_rng(0)
    instances = np.zeros((90, 120), np.int32)
    for number in range(1, 30):
        y, x = rng.integers(0, 80), rng.integers(0, 110)
        instances[y : y + 9, x : x + 9] = 3 * number
    distances = [ndimage.distance_transform_edt(instances != i) for i in np.unique(instances) if i]
    d1, d2 = np.sort(distances, axis=0)[:2]
    expected = 1 + 10 * np.exp(-((d1 + d2) ** 2) / 50) * (instances == 0)
    np.testing.assert_allclose(border_weights(instances), expected, atol=5e-5)


def test_one_instance_has_no_border_and_ignored_pixels_are_no_instance() -> None:
    instances = np.zeros((4, 4), np.uint8)
    instances[0, 0], instances[3, 3] = 1, 255
    assert (border_weights(instances) == 1).all()


def test_objects_are_connected_parts_of_classes_other_than_background() -> None:
    mask = np.array([[1, 0, 1, 2, 255]], np.uint8)
    assert connected_objects(mask, [1, 2])[0].tolist() == [[1, 0, 2, 3, 0]]


def test_border_weights_multiply_the_pairs_own() -> None:
    mask = np.array([[[1, 0, 0, 1]]], np.uint8)
    own = np.full(mask.shape, 0.5, np.float32)
    pair = BorderWeighted(ArrayPairs(mask[..., None], mask, own))[0]
    expected = 0.5 * np.array([1, 1 + 10 * math.exp(-((1 + 2) ** 2) / 50), 1 + 10 * math.exp(-9 / 50), 1])
    np.testing.assert_allclose(pair.weights[0], expected, rtol=1e-6)


def test_classes_say_what_is_an_object() -> None:
    mask = np.array([[[1, 0, 2, 0, 1]]], np.uint8)
    pairs = ArrayPairs(mask[..., None], mask)
    sky = (
        LabelClass("background", (0, 0, 0)),
        LabelClass("cell", (1, 2, 3)),
        LabelClass("sky", (4, 5, 6), thing=False),
    )
    far = 1 + 10 * math.exp(-((1 + 3) ** 2) / 50)  # to both cells: the sky between them is none
    assert BorderWeighted(pairs, classes=sky)[0].weights[0, 1] == pytest.approx(far)
    near = 1 + 10 * math.exp(-((1 + 1) ** 2) / 50)
    assert BorderWeighted(pairs)[0].weights[0, 1] == pytest.approx(near)


def test_object_255_is_an_object() -> None:
    class Numbered(ArrayPairs):
        def fetch(self, indices: Sequence[int]) -> list[Pair]:
            return [replace(pair, instances=np.array([[254, 0, 255, 256]])) for pair in super().fetch(indices)]

    pairs = Numbered(np.zeros((1, 1, 4, 1), np.uint8), np.zeros((1, 1, 4), np.uint8))
    assert BorderWeighted(pairs)[0].weights[0, 1] == pytest.approx(1 + 10 * math.exp(-((1 + 1) ** 2) / 50))
