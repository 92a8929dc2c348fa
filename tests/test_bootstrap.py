"""Bootstrap intervals: known answers, groups, and undefined replicates."""

import numpy as np
import pytest

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.bootstrap import interval, resampled_sums
from labelfactory.factory.evaluation.metrics import scores


def test_the_interval_of_a_mean_is_that_of_the_central_limit_theorem() -> None:
    x = np.random.default_rng(0).normal(5, 2, 400)
    low, high = interval(np.stack([x, np.ones(400)], 1), lambda s: s[:, 0] / s[:, 1])
    half = 1.96 * x.std() / np.sqrt(400)
    assert low == pytest.approx(x.mean() - half, abs=0.05)
    assert high == pytest.approx(x.mean() + half, abs=0.05)


def test_equal_images_leave_no_doubt() -> None:
    n = np.broadcast_to([[8, 2], [1, 9]], (30, 2, 2))
    low, high = interval(n, lambda s: scores(s).iou)
    np.testing.assert_allclose(low, scores(n[0]).iou)
    np.testing.assert_allclose(high, scores(n[0]).iou)


def test_copies_of_the_same_picture_are_no_new_evidence() -> None:
    x = np.random.default_rng(0).normal(0, 1, 20)
    copies = np.stack([np.repeat(x, 50), np.ones(1000)], 1)
    names = [f"picture{i}" for i in range(20) for _ in range(50)]

    def width(groups: list[str] | None) -> float:
        low, high = interval(copies, lambda s: s[:, 0] / s[:, 1], groups)
        return float(high - low)

    assert width(names) > 5 * width(None)


def test_the_same_seed_draws_the_same_images() -> None:
    x = np.arange(10.0)
    assert np.array_equal(resampled_sums(x, seed=3), resampled_sums(x, seed=3))
    assert not np.array_equal(resampled_sums(x, seed=3), resampled_sums(x, seed=4))


def test_a_class_that_is_nowhere_has_no_interval() -> None:
    n = np.broadcast_to([[8, 0, 0], [0, 9, 0], [0, 0, 0]], (5, 3, 3))
    low, high = interval(n, lambda s: scores(s).iou)
    assert np.isnan(low[2])
    assert np.isnan(high[2])
    assert low[1] == 1


def test_no_images_is_a_wrong_call() -> None:
    with pytest.raises(InputError, match="no images"):
        resampled_sums(np.zeros((0, 2)))
