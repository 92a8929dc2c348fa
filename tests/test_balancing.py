"""Pairs are seen in such numbers that their masks are like real ones, or that rare classes are not rare."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.factory.pairs.balancing import (
    LARGEST,
    figures,
    likeness,
    occurrences,
    weights_like,
    weights_of_rare,
)
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.order import SegmenterOrder
from labelfactory.factory.segmenters.rounds import _numbers
from labelfactory.interpreters.classes import LabelClass

CLASSES = (LabelClass("background", (0, 0, 0)), LabelClass("disc", (255, 0, 0)), LabelClass("spot", (0, 255, 0)))


def squares(counts, side=6, size=40, seed=0, touching=False):
    """Masks with so many squares each, apart from each other, or in pairs that touch at a corner's edge."""
    rng, masks = np.random.default_rng(seed), np.zeros((len(counts), size, size), np.uint8)
    for mask, count in zip(masks, counts, strict=True):
        places = rng.permutation(16)[:count]
        for place in places:
            top, left = 10 * (place // 4) + 1, 10 * (place % 4) + 1
            mask[top : top + side, left : left + side] = 1
            if touching:
                mask[top : top + side, left + side : left + side + 3] = 2
    return ArrayPairs(np.zeros((len(counts), size, size, 1), np.uint8), masks)


def test_a_mask_is_told_by_shares_numbers_sizes_and_touching():
    mask = squares([3])[0].mask
    shares, objects, areas, touching = np.split(figures(mask, CLASSES) ** 2, [3, 5, 7])
    assert shares == pytest.approx([1 - 108 / 1600, 108 / 1600, 0])
    assert objects.tolist() == pytest.approx([3, 0])
    assert areas == pytest.approx([36 / 1600, 0])
    assert touching == 0
    assert figures(squares([3], touching=True)[0].mask, CLASSES)[-1] > 0
    unlabelled = np.full((8, 8), 255, np.uint8)
    assert np.array_equal(figures(unlabelled, CLASSES), np.zeros(8))


def test_numbers_of_objects_become_as_in_real_pictures():
    rng = np.random.default_rng(0)
    ours, real = rng.integers(1, 9, 400), 5 + rng.integers(0, 4, 300)
    weights = weights_like(squares(ours), squares(real, seed=1), CLASSES, progress=False)
    seen = ours[occurrences(weights)]
    assert abs(seen.mean() - real.mean()) < 0.4 * abs(ours.mean() - real.mean())
    assert len(seen) == pytest.approx(len(ours), abs=1)
    assert weights.max() / weights.min() <= LARGEST**2 * 1.001


def test_touching_ones_are_seen_more_often_where_real_ones_touch():
    apart, together = squares([4] * 60), squares([4] * 60, touching=True, seed=3)
    both = ArrayPairs(np.concatenate([apart.images, together.images]), np.concatenate([apart.masks, together.masks]))
    weights = weights_like(both, squares([4] * 50, touching=True, seed=4), CLASSES, progress=False)
    assert weights[60:].mean() > 3 * weights[:60].mean()


def test_like_sets_are_left_nearly_as_they_are():
    rng = np.random.default_rng(0)
    weights = weights_like(squares(rng.integers(1, 9, 300)), squares(rng.integers(1, 9, 300), seed=1), CLASSES, False)
    assert weights.mean() == pytest.approx(1)
    assert weights.std() < 0.4


def test_rare_classes_are_repeated_by_the_papers_factor():
    masks = squares([2] * 100).masks
    masks[:4, 0, 0] = 2  # the class of four pairs in a hundred
    weights = weights_of_rare(ArrayPairs(np.zeros((100, 40, 40, 1), np.uint8), masks), CLASSES, 0.25, progress=False)
    assert weights[:4] == pytest.approx(np.sqrt(0.25 / 0.04))
    assert weights[4:] == pytest.approx(1)
    numbers = occurrences(weights)
    assert (numbers < 4).sum() == 10
    assert set(numbers.tolist()) == set(range(100))


@given(st.lists(st.floats(0, 6), min_size=1, max_size=50))
def test_each_number_stands_as_often_as_its_weight_says_up_to_rounding(weights):
    numbers = occurrences(np.array(weights))
    counts = np.bincount(numbers, minlength=len(weights))
    assert (np.abs(counts - np.array(weights)) < 1.001).all()
    assert len(numbers) == pytest.approx(sum(weights), abs=0.51)
    assert np.array_equal(numbers, np.sort(numbers))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="10 pairs and 40 real masks: expected 16 or more"):
        weights_like(squares([2] * 10), squares([2] * 40), CLASSES, progress=False)
    rows = np.random.default_rng(0).normal(size=(40, 3))
    assert likeness(rows, rows).mean() == pytest.approx(1)
    order = SegmenterOrder(("x",), out=Path("m.safetensors"), rare=0.5)
    assert _numbers(order, squares([2] * 20), CLASSES, False) is None  # what people labelled is seen as it is
    assert _numbers(replace(order, rare=None), squares([2] * 20), CLASSES, False) is None
    with pytest.raises(InputError, match=r"rare is 1\.5"):
        replace(order, rare=1.5)
