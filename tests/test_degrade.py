"""Masks made incomplete: what stays is right, nothing is invented, and randomness comes from its seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translation_world import scene

from labelfactory.errors import InputError
from labelfactory.factory.translation.degrade import depth, enlarged, numbered, parse_degradation, reduced, simplified

NAMES = ("sparse", "coarse", "scribble", "downsample:4")


@pytest.mark.parametrize("name", ["sparse", "scribble"])
@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_an_exact_degradation_leaves_is_as_it_was(name: str, seed: int) -> None:
    _, mask, _ = scene(seed % 50)
    degraded = parse_degradation(name)(mask, np.random.default_rng(seed))
    stays = degraded != 255
    assert np.array_equal(degraded[stays], mask[stays])
    assert 0 < stays.mean() < 0.9
    assert degraded.dtype == np.uint8


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_mask_and_the_whole_mask_is_not_touched(name: str) -> None:
    _, mask, _ = scene(1)
    before = mask.copy()
    first, again, other = (parse_degradation(name)(mask, np.random.default_rng(s)) for s in (0, 0, 5))
    assert np.array_equal(first, again)
    assert np.array_equal(mask, before)
    if name != "downsample:4":
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_labelled_stays_so(name: str) -> None:
    _, mask, _ = scene(2)
    mask[:, 16:] = 255
    degraded = parse_degradation(name)(mask, np.random.default_rng(0))
    assert (degraded[:, 20:] == 255).all()  # a coarse polygon may run some pixels over
    empty = np.full((12, 12), 255, np.uint8)
    assert (parse_degradation(name)(empty, np.random.default_rng(0)) == 255).all()


def test_sparse_keeps_the_inner_part_of_every_object() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[5:25, 5:25] = 1
    mask[30:32, 30:32] = 2
    degraded = parse_degradation("sparse")(mask, np.random.default_rng(0))
    assert set(np.unique(degraded)) == {0, 1, 2, 255}
    rows, _ = np.nonzero(degraded == 1)
    assert rows.min() >= 8  # 35 % of its depth of 10 at least is eroded
    assert rows.max() <= 21
    assert (degraded == 2).sum() == 4  # what is two pixels wide has no inner part to keep but itself


def test_touching_instances_are_eroded_each_for_itself() -> None:
    mask = np.zeros((24, 40), np.uint8)
    mask[4:20, 4:36] = 1
    instances = np.zeros_like(mask)
    instances[4:20, 4:20], instances[4:20, 20:36] = 1, 2
    sparse = parse_degradation("sparse")
    together = sparse(mask, np.random.default_rng(0))
    apart = sparse(mask, np.random.default_rng(0), instances)
    assert (together[10:14, 19:21] == 1).all()
    assert (apart[10:14, 19:21] == 255).all()


def test_coarse_masks_are_mostly_right_with_gaps() -> None:
    _, mask, _ = scene(3, 96, 128)
    degraded = parse_degradation("coarse")(mask, np.random.default_rng(0))
    drawn = degraded != 255
    assert 0.5 < drawn.mean() < 1
    assert (degraded[drawn] == mask[drawn]).mean() > 0.9
    assert not parse_degradation("coarse").exact


def test_an_eighth_of_the_size_and_back() -> None:
    mask = np.arange(7 * 10, dtype=np.uint8).reshape(7, 10)
    small = reduced(mask, 4)
    assert small.shape == (2, 3)
    large = enlarged(small, (7, 10))
    assert large.shape == (7, 10)
    assert np.array_equal(parse_degradation("downsample:4")(mask, np.random.default_rng(0)), large)
    assert np.array_equal(reduced(np.kron(small, np.ones((4, 4), np.uint8)), 4), small)


def test_objects_are_connected_parts_of_each_class() -> None:
    mask = np.array([[0, 0, 1, 0], [1, 0, 0, 255], [0, 1, 1, 255]], np.uint8)
    numbers, classes = numbered(mask)
    assert classes.tolist() == [255, 0, 1, 1]  # corners count: the zeros hang together, and two of the ones
    assert numbers[1, 3] == 0
    assert depth(np.ones((3, 3), np.int32)).tolist() == [[1.0] * 3] * 3  # the picture's border is no rim


def test_few_corners_stay_of_a_line() -> None:
    turns = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    circle = 50 + 20 * np.stack([np.cos(turns), np.sin(turns)], 1)
    kept = simplified(circle, 3.0)
    assert 4 <= len(kept) <= 12
    square = np.array([[0.0, 0], [5, 0], [10, 0], [10, 10], [0, 10]])
    assert simplified(square, 0.5).tolist() == [[0, 0], [10, 0], [10, 10], [0, 10]]


@pytest.mark.parametrize("text", ["fuzzy", "downsample", "downsample:1", "downsample:0", "downsample:x", ""])
def test_an_unknown_degradation_is_told_what_there_is(text: str) -> None:
    with pytest.raises(InputError, match="expected sparse, coarse, scribble or downsample:N"):
        parse_degradation(text)


@pytest.mark.parametrize("name", NAMES)
def test_a_degradation_is_written_as_it_is_typed(name: str) -> None:
    assert parse_degradation(name).text == name
