"""The losses' values where they are known in closed form."""

import math

import pytest
import torch

from labelfactory.factory.stylegan2_ada.losses import logistic_fake, logistic_real, path_lengths, r1_penalty


def test_logistic_losses() -> None:
    undecided = torch.zeros(4, 1)
    assert float(logistic_real(undecided)) == pytest.approx(math.log(2))
    assert float(logistic_fake(undecided)) == pytest.approx(math.log(2))
    sure = torch.full((4, 1), 5.0)
    assert float(logistic_real(sure)) == pytest.approx(-math.log(1 / (1 + math.exp(-5))), rel=1e-4)
    assert float(logistic_fake(sure)) == pytest.approx(-math.log(1 - 1 / (1 + math.exp(-5))), rel=1e-4)


def test_r1_of_a_linear_discriminator_is_its_weight_squared() -> None:
    weight = torch.randn(3, 5, 5, requires_grad=True)
    real = torch.randn(4, 3, 5, 5, requires_grad=True)
    penalty = r1_penalty(real, (real * weight).sum(dim=(1, 2, 3))[:, None])
    assert float(penalty.detach()) == pytest.approx(float(weight.detach().square().sum()), rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert torch.allclose(gradient, 2 * weight, rtol=1e-5)


def test_path_length_of_a_linear_generator() -> None:
    """G(w) = a w_0 in every pixel: |J^T y| = |a| |sum(y)| / sqrt(pixels), averaged over the layers' styles."""
    a, ws = 3.0, torch.randn(6, 2, 4, requires_grad=True)
    images = (a * ws[:, 0, 0])[:, None, None, None].expand(6, 1, 8, 8)
    noise = torch.randn(6, 1, 8, 8)
    lengths = path_lengths(images, ws, noise)
    expected = a * noise.sum(dim=(1, 2, 3)).abs() / 8 / math.sqrt(2)
    assert torch.allclose(lengths, expected, rtol=1e-4)
