"""Adaptive augmentation: what each transform does, that p = 0 does nothing, that gradients of gradients pass."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.training import augment_color as color
from labelfactory.factory.training.adaptive_augment import PIPES, AdaController, AugmentPipe, Draws, augment
from labelfactory.factory.training.augment_geometry import affine_warp, blit, lowpass, reflect


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(n: int = 2, channels: int = 3, size: int = 32) -> Tensor:
    """Images without frequencies that resampling would have to lose."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    waves = [torch.sin((i + 1) * 1.1 * x + i) * torch.cos((i + 1) * 0.9 * y - i) for i in range(n * channels)]
    return torch.stack(waves).view(n, channels, size, size) * 0.8


def draws(n: int = 4, **changed: Tensor) -> Draws:
    """Of no effect, except for what is given."""
    nothing = AugmentPipe("none").draw(n, 0.0, rng())
    return Draws(**{**{name: getattr(nothing, name) for name in nothing.__dataclass_fields__}, **changed})


@pytest.mark.parametrize("pipe", PIPES)
def test_p_zero_is_the_identity(pipe: str) -> None:
    images = torch.randn(5, 3, 16, 16)
    assert augment(images, AugmentPipe(pipe).draw(5, 0.0, rng())) is images


def test_p_decides_how_many_samples_change() -> None:
    for p in (0.1, 0.5, 0.9):
        drawn = AugmentPipe("bgcfnc").draw(4000, p, rng())
        assert abs((drawn.noise != 0).float().mean() - p) < 0.03
        assert abs((drawn.cut_size != 0).float().mean() - p) < 0.03
        assert abs((drawn.turns != 0).float().mean() - p * 3 / 4) < 0.03
        assert abs((drawn.flip != 0).float().mean() - p / 2) < 0.03
    only_geometry = AugmentPipe("geom").draw(100, 1.0, rng())
    assert (only_geometry.warp != torch.eye(3)[:2]).flatten(1).any(dim=1).all()
    assert (only_geometry.color == torch.eye(4)).all()
    assert not only_geometry.turns.any()


@given(
    flip=st.integers(0, 1),
    turns=st.integers(0, 3),
    down=st.integers(-20, 20),
    right=st.integers(-20, 20),
    size=st.sampled_from([1, 5, 8]),
)
@settings(max_examples=40, deadline=None)
def test_blitting_moves_pixels_unchanged(flip: int, turns: int, down: int, right: int, size: int) -> None:
    image = torch.randn(1, 2, size, size)
    moved = blit(image, torch.tensor([flip]), torch.tensor([turns]), torch.tensor([[down, right]]))
    expected = torch.rot90(image.flip(3) if flip else image, turns, (2, 3))
    rows = reflect(torch.arange(size) - down, size)
    columns = reflect(torch.arange(size) - right, size)
    assert torch.equal(moved, expected[:, :, rows][:, :, :, columns])


def test_resampling_by_the_identity_keeps_the_image() -> None:
    image = smooth()
    error = (affine_warp(image, torch.eye(3)[:2].repeat(2, 1, 1)) - image).abs()
    assert error[..., 4:-4, 4:-4].max() < 0.005
    assert error.max() < 0.03  # at the border the mirrored image has a kink
    assert lowpass().sum() == pytest.approx(1)
    assert torch.equal(lowpass(), lowpass().flip(0))


def test_resampling_turns_moves_and_scales() -> None:
    image = smooth()
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0]]).repeat(2, 1, 1)  # output right shows input down
    assert (affine_warp(image, quarter) - torch.rot90(image, 1, (2, 3))).abs().max() < 0.03
    moved = torch.tensor([[1.0, 0, -4 / 32], [0, 1, 0]]).repeat(2, 1, 1)  # content moves right by 4 pixels
    assert (affine_warp(image, moved)[..., 8:] - image[..., 4:-4]).abs().max() < 0.03
    half = torch.tensor([[2.0, 0, 0], [0, 2, 0]]).repeat(2, 1, 1)  # content shrinks to a half
    small = affine_warp(image, half)[:, :, 8:24, 8:24]
    assert (small - torch.nn.functional.avg_pool2d(image, 2)).abs().max() < 0.06


@pytest.mark.parametrize("pipe", ["bg", "geom", "blit"])
def test_geometry_brings_in_nothing_from_outside_the_image(pipe: str) -> None:
    flat = torch.full((64, 1, 32, 32), 0.7)
    assert (augment(flat, AugmentPipe(pipe).draw(64, 1.0, rng())) - 0.7).abs().max() < 1e-4
    images = smooth(64, 1)
    out = augment(images, AugmentPipe(pipe).draw(64, 1.0, rng()))
    assert out.isfinite().all()
    assert out.abs().max() < 0.8 * 1.15  # a low-pass filter may overshoot, an uncovered border would be worse


def test_colours() -> None:
    image = smooth()
    two = torch.ones(2)
    assert torch.allclose(color.apply_color(image, color.brightness(two * 0.3)), image + 0.3)
    assert torch.allclose(color.apply_color(image, color.contrast(two * 2)), image * 2)
    luma = image.mean(dim=1, keepdim=True)
    flipped = color.apply_color(image, color.luma_flip(two))
    assert torch.allclose(flipped.mean(dim=1, keepdim=True), -luma, atol=1e-6)
    assert torch.allclose(flipped - flipped.mean(dim=1, keepdim=True), image - luma, atol=1e-6)
    turned = color.apply_color(image, color.hue(two * 2 * math.pi / 3))
    assert torch.allclose(turned, image.roll(1, dims=1), atol=1e-5)  # a third of a turn exchanges the channels
    assert torch.allclose(color.apply_color(image, color.saturation(two * 0)), luma.expand_as(image), atol=1e-6)
    grey = smooth(2, 1)
    assert torch.allclose(color.apply_color(grey, color.contrast(two * 2)), grey * 2, atol=1e-6)
    assert torch.allclose(color.apply_color(grey, color.hue(two)), grey, atol=1e-6)
    assert torch.equal(color.apply_color(image[:, :2], color.contrast(two * 2)), image[:, :2])


def test_bands_add_up_to_the_image_and_part_low_from_high() -> None:
    filters = color.band_filters()
    whole = torch.zeros(filters.shape[1])
    whole[len(whole) // 2] = 1
    assert torch.allclose(filters.sum(dim=0), whole, atol=1e-6)
    flat, noise = torch.ones(1, 1, 16, 16), torch.randn(1, 1, 16, 16)
    only_low = torch.tensor([[1.0, 0, 0, 0]])
    assert torch.allclose(color.amplify_bands(flat, only_low), flat, atol=1e-5)
    assert color.amplify_bands(noise, only_low).std() < 0.3
    assert torch.allclose(color.amplify_bands(noise, torch.ones(1, 4)), noise, atol=1e-5)


def test_noise_and_cutout() -> None:
    flat = torch.ones(2, 1, 32, 32)
    noisy = augment(flat, draws(2, noise=torch.tensor([0.0, 0.2])), rng())
    assert torch.equal(noisy[0], flat[0])
    assert noisy[1].std() == pytest.approx(0.2, rel=0.1)
    cut = augment(flat, draws(2, cut_size=torch.tensor([0.5, 0.0]), cut_centre=torch.full((2, 2), 0.5)))
    assert (cut[0] == 0).sum() == 16 * 16
    assert torch.equal(cut[1], flat[1])


def test_gradients_of_gradients_pass_through_everything() -> None:
    images = torch.randn(6, 3, 12, 12, requires_grad=True)
    drawn = AugmentPipe("bgcfnc").draw(6, 1.0, rng(3))
    weight = torch.randn(3, requires_grad=True)
    score = (augment(images, drawn, rng()) * weight[:, None, None]).square().sum()
    (gradient,) = torch.autograd.grad(score, images, create_graph=True)
    gradient.square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    assert (weight.grad != 0).all()


def test_the_warp_and_its_transpose_agree() -> None:
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    matrix = torch.tensor([[0.9, -0.3, 0.1], [0.2, 1.1, -0.05]], dtype=torch.float64).repeat(2, 1, 1)
    assert torch.autograd.gradcheck(lambda image: affine_warp(image, matrix), x)
    assert torch.autograd.gradgradcheck(lambda image: affine_warp(image, matrix), x)


def test_a_batch_in_shares_is_augmented_as_one() -> None:
    images, drawn = smooth(6), AugmentPipe("bgc").draw(6, 0.7, rng())
    shares = torch.cat([augment(images[i : i + 2], drawn[i : i + 2]) for i in (0, 2, 4)])
    assert torch.allclose(shares, augment(images, drawn), atol=1e-6)


def test_p_follows_the_overfitting_measure() -> None:
    ada = AdaController(kimg=1.0)
    ada.observe(1.0, images=64)  # all reals recognised
    ada.observe(0.7, images=64)
    assert ada.p == pytest.approx(2 * 64 / 1000)
    for _ in range(3):
        ada.observe(0.5, images=64)
    assert ada.p == 0  # never below
    for _ in range(20):
        ada.observe(0.9, images=64)
    assert ada.p == 1  # never above
    assert ada.r_t == 0.9
    fixed = AdaController(p=0.3, fixed=True)
    fixed.observe(1.0, images=64)
    assert (fixed.p, fixed.r_t) == (0.3, 1.0)


def test_an_unknown_pipe_is_named() -> None:
    with pytest.raises(InputError, match=r"augmentation 'bgx': expected one of none, blit"):
        AugmentPipe("bgx")
