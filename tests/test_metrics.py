"""Scores against hand-computed cases and torchmetrics."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.metrics import confusion_matrix, scores


def test_hand_computed_case() -> None:
    truth = np.array([[0, 0, 0], [1, 1, 2]])
    predicted = np.array([[0, 0, 1], [1, 2, 2]])
    n = confusion_matrix(truth, predicted, 3)
    assert n.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    s = scores(n)
    assert s.pixel_accuracy == pytest.approx(4 / 6)
    assert s.accuracy.tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert s.mean_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert s.iou.tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 2])
    assert s.miou == pytest.approx(0.5)
    assert s.frequency_weighted_iou == pytest.approx((3 * 2 / 3 + 2 * 1 / 3 + 1 / 2) / 6)
    assert s.dice.tolist() == pytest.approx([4 / 5, 1 / 2, 2 / 3])


def test_ignored_pixels_do_not_count_whatever_was_predicted_there() -> None:
    truth = np.array([0, 1, 255, 255], np.uint8)
    assert confusion_matrix(truth, np.array([0, 1, 0, 9]), 2).tolist() == [[1, 0], [0, 1]]


def test_absent_class_has_no_iou_and_a_falsely_predicted_one_has_zero() -> None:
    absent = scores(confusion_matrix(np.array([0, 0, 1]), np.array([0, 0, 1]), 3))
    assert np.isnan(absent.iou[2])
    assert absent.miou == 1
    falsely = scores(confusion_matrix(np.array([0, 0, 1]), np.array([0, 2, 1]), 3))
    assert falsely.iou[2] == 0
    assert falsely.miou == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert falsely.mean_accuracy == pytest.approx((1 / 2 + 1) / 2)


def test_a_label_outside_the_classes_is_named() -> None:
    with pytest.raises(InputError, match="truth holds label 3; 3 classes"):
        confusion_matrix(np.array([3]), np.array([0]), 3)
    with pytest.raises(InputError, match="prediction holds label -1"):
        confusion_matrix(np.array([0]), np.array([-1]), 3)


def test_nothing_to_count_is_nan_without_a_warning() -> None:
    assert np.isnan(scores(np.zeros((3, 3), np.int64)).miou)


def test_a_batch_of_matrices_equals_one_at_a_time() -> None:
    batch = np.random.default_rng(0).integers(0, 9, (5, 3, 3))
    together = scores(batch)
    for i, n in enumerate(batch):
        assert together.miou[i] == pytest.approx(float(scores(n).miou))
        assert together.frequency_weighted_iou[i] == pytest.approx(float(scores(n).frequency_weighted_iou))


@given(st.integers(0, 2**32), st.integers(2, 5))
@settings(max_examples=20, deadline=None)
def test_equal_to_torchmetrics(seed: int, classes: int) -> None:
    from torchmetrics.functional.classification import (
        multiclass_accuracy,
        multiclass_f1_score,
        multiclass_jaccard_index,
    )

    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, classes, (2, 200))
    truth[:30] = 255
    s = scores(confusion_matrix(truth, predicted, classes))
    options = {"num_classes": classes, "average": "none", "ignore_index": 255}
    p, t = torch.from_numpy(predicted), torch.from_numpy(truth)
    np.testing.assert_allclose(s.iou, multiclass_jaccard_index(p, t, **options), atol=1e-6)
    np.testing.assert_allclose(s.dice, multiclass_f1_score(p, t, **options), atol=1e-6)
    np.testing.assert_allclose(s.accuracy, multiclass_accuracy(p, t, **options), atol=1e-6)
