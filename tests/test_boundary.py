"""Boundary F-score: by hand, within its tolerance, and where there is nothing to score."""

import numpy as np
import pytest

from labelfactory.factory.evaluation.boundary import boundary_f, outline


def square(size: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[5:-5, left:right] = 1
    return mask


def test_equal_masks_score_one() -> None:
    mask = square(20, 5, 15)
    assert boundary_f(mask, mask, 2).tolist() == [1, 1]


def test_an_outline_one_pixel_off_is_found_with_a_tolerance_of_one_and_not_of_half() -> None:
    a, b = square(20, 5, 15), square(20, 6, 16)
    assert boundary_f(a, b, 2, tolerance=1.0).tolist() == [1, 1]
    assert (boundary_f(a, b, 2, tolerance=0.5) < 1).all()


def test_by_hand() -> None:
    """One row: classes 0 0 1 1 against 0 1 1 1. Outline of class 1: pixel 2 against pixel 1, a pixel apart."""
    truth, predicted = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])
    assert outline(truth == 1, truth < 255).tolist() == [[False, False, True, False]]
    assert boundary_f(truth, predicted, 2, tolerance=0.9).tolist() == [0, 0]
    assert boundary_f(truth, predicted, 2).tolist() == [1, 1]


def test_partial_match_by_hand() -> None:
    """Truth has edges at both ends of a bar, the prediction only at one: precision 1, recall 1/2, F 2/3."""
    truth = np.array([[0, 0, 1, 1, 1, 1, 1, 0, 0]])
    predicted = np.array([[0, 0, 1, 1, 1, 1, 1, 1, 1]])
    assert boundary_f(truth, predicted, 2, tolerance=0.0)[1] == pytest.approx(2 / 3)


def test_absent_classes_have_no_score_and_missed_ones_have_zero() -> None:
    mask = square(20, 5, 15)
    assert np.isnan(boundary_f(mask, mask, 3)[2])
    assert boundary_f(mask, np.zeros_like(mask), 2)[1] == 0


def test_edges_of_unlabelled_regions_are_no_outline() -> None:
    truth = square(20, 5, 15)
    truth[:, 12:] = 255
    predicted = square(20, 5, 18)
    assert boundary_f(truth, predicted, 2)[1] == 1
