"""Label drift against pictures that were moved by known amounts, and its repair against masks that moved along."""

import numpy as np
import pytest
from scipy import ndimage

from labelfactory.factory.pairs.pairs import Pair
from labelfactory.factory.restyle.drift import edge_points, measure
from labelfactory.factory.restyle.repair import BEYOND, WARPED, repaired, warped

SIZE = (96, 128)
COLORS = np.array([[60, 120, 60], [220, 160, 40], [80, 80, 220]], np.float64)


def scene(down: float = 0.0, right: float = 0.0, noise: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Picture and mask of a disc and a bar whose places are given to parts of a pixel; edges are soft as in photos."""
    fine = 5
    y, x = (np.mgrid[: SIZE[0] * fine, : SIZE[1] * fine] + 0.5) / fine
    mask = np.zeros(y.shape, np.uint8)
    mask[(y - 48 - down) ** 2 + (x - 40 - right) ** 2 < 24**2] = 1
    mask[(abs(y - 50 - down) < 30) & (abs(x - 98 - right) < 14)] = 2
    picture = COLORS[mask].reshape(SIZE[0], fine, SIZE[1], fine, 3).mean((1, 3))
    rng = np.random.default_rng(0)
    picture = ndimage.gaussian_filter(picture, (0.7, 0.7, 0)) + rng.normal(0, noise, (*SIZE, 3))
    return picture.clip(0, 255).astype(np.uint8), mask[2::fine, 2::fine]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([((a == c) & (b == c)).sum() / ((a == c) | (b == c)).sum() for c in range(3)]))


def test_normals_point_from_the_first_class_to_the_second() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[:, 10:] = 1
    places, normals, classes = edge_points(mask)
    assert set(places[:, 1]) == {9.5}
    np.testing.assert_allclose(normals, np.tile([0.0, 1.0], (len(normals), 1)), atol=1e-6)
    assert (classes == [0, 1]).all()


@pytest.mark.parametrize("moved", [(0.0, 0.0), (2.0, 0.0), (0.0, -3.0), (1.5, 1.5), (-2.5, 0.75), (0.4, -0.3)])
def test_a_picture_moved_by_a_known_amount_is_measured(moved: tuple[float, float]) -> None:
    _, mask = scene()
    picture, _ = scene(*moved)
    points = measure(picture, mask)
    expected = points.normals @ np.array(moved)
    assert points.known.mean() > 0.8
    assert np.median(np.abs(points.displacement - expected)[points.known]) < 0.3
    assert points.median() == pytest.approx(float(np.median(np.abs(expected))), abs=0.3)
    by_class = points.by_class(4)
    assert np.isnan(by_class[3])
    assert np.isfinite(by_class[:3]).all()


@pytest.mark.parametrize("moved", [(3.0, 0.0), (-2.0, 2.5)])
def test_warping_brings_the_mask_where_it_belongs(moved: tuple[float, float]) -> None:
    _, mask = scene()
    picture, truth = scene(*moved)
    points = np.array([[40, 24, 2], [98, 20, 2]], np.float32)  # x, y: on edges, which move along
    pair = Pair(picture, mask, instances=(mask > 0) * mask.astype(np.int64), keypoints=points)
    one, found = warped(pair)
    assert iou(mask, truth) < 0.92 < 0.96 < iou(one.mask, truth)
    assert found.median() < 0.5 < measure(picture, mask).median()
    assert one.instances is not None
    assert (one.instances == one.mask).all()
    assert one.keypoints is not None
    assert one.keypoints[1, 1] - points[1, 1] == pytest.approx(moved[0], abs=0.8)
    assert (one.keypoints[:, 2] == 2).all()


def test_what_fits_is_left_alone_and_what_cannot_be_mended_is_marked() -> None:
    picture, mask = scene()
    given = measure(picture, mask)
    done = repaired(Pair(picture, mask), given, "warp", None, 2.0)
    assert done.state == 0
    assert (done.pair.mask == mask).all()
    other, _ = scene(4.0, 4.0)
    kept = repaired(Pair(other, mask), given, "none", None, 2.0)
    assert kept.state == BEYOND
    assert (kept.pair.mask == mask).all()
    assert repaired(Pair(other, mask), given, "warp", None, 2.0).state == WARPED


@pytest.mark.parametrize("mask", [np.zeros((32, 32), np.uint8), np.full((32, 32), 255, np.uint8)])
def test_without_edges_nothing_is_known_and_nothing_done(mask: np.ndarray) -> None:
    picture = np.zeros((32, 32, 1), np.uint8)
    points = measure(picture, mask)
    assert len(points.places) == 0
    assert np.isnan(points.median())
    done = repaired(Pair(picture, mask), points, "warp", None, 2.0)
    assert done.state == 0


def test_a_picture_without_edges_says_nothing_of_a_mask_with_some() -> None:
    _, mask = scene()
    points = measure(np.full((*SIZE, 3), 90, np.uint8), mask)
    assert len(points.places)
    assert not points.known.any()


def test_a_picture_that_lost_its_edges_is_beyond_repair() -> None:
    picture, mask = scene()
    blank = np.full((*SIZE, 3), 90, np.uint8)
    assert repaired(Pair(blank, mask), measure(picture, mask), "warp", None, 2.0).state == BEYOND
    assert repaired(Pair(blank, mask), measure(blank, mask), "warp", None, 2.0).state == 0
