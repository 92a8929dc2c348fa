"""Adversarial losses and feature matching, by hand."""

import math

import pytest
import torch

from labelfactory.factory.translation.losses import HINGE, LEAST_SQUARES, LOGISTIC, feature_matching, scores_of


def test_losses_of_single_scores() -> None:
    real, made = [torch.tensor([0.5])], [torch.tensor([-0.25])]
    assert float(HINGE.discriminator(real, made)) == pytest.approx(0.5 + 0.75)
    assert float(HINGE.generator(made)) == pytest.approx(0.25)
    assert float(LEAST_SQUARES.discriminator(real, made)) == pytest.approx(0.25 + 0.0625)
    assert float(LEAST_SQUARES.generator(made)) == pytest.approx(1.5625)
    wanted = math.log(1 + math.exp(-0.5)) + math.log(1 + math.exp(-0.25))
    assert float(LOGISTIC.discriminator(real, made)) == pytest.approx(wanted)
    assert float(LOGISTIC.generator(made)) == pytest.approx(math.log(1 + math.exp(0.25)))


def test_a_sure_discriminator_has_nothing_to_learn_from_the_hinge() -> None:
    real, made = torch.tensor([3.0], requires_grad=True), torch.tensor([-3.0], requires_grad=True)
    HINGE.discriminator([real], [made]).backward()
    assert float(real.grad) == float(made.grad) == 0  # type: ignore[arg-type]


def test_scales_count_alike_however_many_patches_they_have() -> None:
    scores = [torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 2, 2)]
    assert float(LEAST_SQUARES.generator(scores)) == pytest.approx(0.5)


def test_feature_matching_leaves_scores_out_and_does_not_move_the_real() -> None:
    real = [[torch.zeros(1, 2, 4, 4, requires_grad=True), torch.full((1, 1, 2, 2), 9.0)]]
    made = [[torch.ones(1, 2, 4, 4, requires_grad=True), torch.full((1, 1, 2, 2), -9.0)]]
    loss = feature_matching(made, real)
    assert float(loss.detach()) == pytest.approx(1)
    loss.backward()
    assert real[0][0].grad is None
    assert float(made[0][0].grad.sum()) == pytest.approx(1)
    assert scores_of(made)[0].shape == (1, 1, 2, 2)
