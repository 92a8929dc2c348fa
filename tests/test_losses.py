"""Losses by hand, weights and ignored pixels."""

import pytest
import torch

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.losses import cross_entropy, dice_loss, segmentation_loss


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))


def test_cross_entropy_equals_torchs_with_class_weights_and_ignored_pixels() -> None:
    logits, target = batch()
    target[0, 0] = 255
    w = torch.tensor([1.0, 2.0, 0.5])
    expected = torch.nn.functional.cross_entropy(logits, target, weight=w, ignore_index=255)
    torch.testing.assert_close(cross_entropy(logits, target, class_weights=w), expected)


def test_a_pixel_of_weight_zero_is_as_good_as_ignored() -> None:
    logits, target = batch()
    weights = torch.ones(2, 4, 4)
    weights[1, 2] = 0
    ignored = target.clone()
    ignored[1, 2] = 255
    for loss in (cross_entropy, dice_loss):
        torch.testing.assert_close(loss(logits, target, weights), loss(logits, ignored))


def test_dice_is_zero_when_right_and_one_when_wrong() -> None:
    target = torch.tensor([[[0, 1], [1, 0]]])
    right = 50 * torch.nn.functional.one_hot(target, 2).movedim(-1, 1).float()
    assert dice_loss(right, target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(right.flip(1), target).item() == pytest.approx(1, abs=1e-6)


def test_dice_by_hand() -> None:
    """One pixel of each class, p = 0.5 everywhere: overlap 0.5 of size 1 + 1 each, Dice 2 x 0.5 / 2."""
    assert dice_loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 1]]])).item() == pytest.approx(0.5)


def test_both_is_the_sum_and_an_unknown_loss_is_named() -> None:
    logits, target = batch()
    both = segmentation_loss("ce+dice", logits, target)
    torch.testing.assert_close(both, cross_entropy(logits, target) + dice_loss(logits, target))
    with pytest.raises(InputError, match="unknown loss 'focal'"):
        segmentation_loss("focal", logits, target)


def test_a_batch_of_ignored_pixels_only_has_no_loss_and_a_finite_gradient() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss("ce+dice", logits, torch.full((1, 4, 4), 255))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
