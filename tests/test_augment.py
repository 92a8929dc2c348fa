"""Augmentation: exact symmetries, one geometry for image and mask, the strengths asked for, repeatable."""

import pytest
import torch

from labelfactory.factory.pairs.augment import Batch, augment, gaussian_blur
from labelfactory.factory.pairs.augmentation import DIHEDRAL, NONE, STRONG, Augmentation
from labelfactory.factory.symmetry import dihedral


def make(n: int = 16, height: int = 16, width: int = 16) -> Batch:
    """Images that show their own mask, so that image and mask can be compared after any geometry."""
    mask = (torch.rand(n, height, width, generator=torch.Generator().manual_seed(1)) > 0.5).long()
    mask = mask.repeat_interleave(4, 1).repeat_interleave(4, 2)
    return Batch(mask[:, None].float(), mask, mask.float() + 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_none_changes_nothing() -> None:
    batch = make()
    out = augment(batch, NONE, seeded())
    assert torch.equal(out.images, batch.images)
    assert torch.equal(out.masks, batch.masks)


def test_the_eight_symmetries_are_different_and_each_occurs() -> None:
    x = torch.arange(4.0).reshape(2, 2)
    assert len({tuple(dihedral(x, k).flatten().tolist()) for k in range(8)}) == 8
    one = Batch(x.expand(400, 1, 2, 2) / 4, x.long().expand(400, 2, 2), x.expand(400, 2, 2))
    out = augment(one, DIHEDRAL, seeded())
    assert len({tuple(m.flatten().tolist()) for m in out.masks}) == 8
    assert torch.equal(out.masks.float(), out.images[:, 0] * 4)
    assert torch.equal(out.masks.float(), out.weights)


def test_oblong_images_keep_their_size_and_have_four_symmetries() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    out = augment(Batch(x.expand(99, 1, 2, 3) / 6, x.long().expand(99, 2, 3), x.expand(99, 2, 3)), DIHEDRAL, seeded())
    assert out.images.shape == (99, 1, 2, 3)
    assert len({tuple(m.flatten().tolist()) for m in out.masks}) == 4


def test_affine_moves_image_mask_and_weights_together_and_invents_no_label() -> None:
    batch = make()
    out = augment(batch, Augmentation(dihedral=False, rotation=180.0, scale=1.3, shift=0.1, shear=0.1, p=1.0), seeded())
    assert not torch.equal(out.masks, batch.masks)
    assert set(out.masks.unique().tolist()) <= {0, 1}
    assert torch.equal(out.weights, out.masks.float() + 1)
    agree = ((out.images[:, 0] > 0.5).long() == out.masks).float().mean()
    assert agree > 0.97  # bilinear and nearest differ on edges only


def test_a_quarter_turn_by_resampling_is_the_exact_one() -> None:
    """Rotation in pixels, not in the unit square: a pixel keeps its shape in oblong images too."""
    batch = make(1, 8, 8)
    how = Augmentation(dihedral=False, rotation=90.0, p=1.0)
    for seed in range(200):
        angle = (-90 + 180 * torch.rand(1, generator=seeded(seed))).item()
        if abs(angle - 90) < 1:
            out = augment(batch, how, seeded(seed))
            turned = min(((out.masks - dihedral(batch.masks, k)).abs().float().mean().item()) for k in (1, 3))
            assert turned < 0.05
            return
    pytest.fail("no seed draws a quarter turn")


def test_light_changes_leave_the_mask_alone_and_stay_in_range() -> None:
    batch = make()
    how = Augmentation(dihedral=False, blur=1.5, brightness=0.3, contrast=2.0, p=1.0)
    out = augment(batch, how, seeded())
    assert torch.equal(out.masks, batch.masks)
    assert not torch.equal(out.images, batch.images)
    assert out.images.min() >= 0
    assert out.images.max() <= 1


def test_grain_has_the_deviation_asked_for_and_no_neighbourhood() -> None:
    grey = Batch(torch.full((400, 1, 16, 16), 0.5), torch.zeros(400, 16, 16).long(), torch.ones(400, 16, 16))
    out = augment(grey, Augmentation(dihedral=False, noise=0.04, p=1.0), seeded())
    grain = out.images - 0.5
    deviations = grain.std((1, 2, 3))
    assert float(deviations.max()) < 0.05
    assert float(deviations.mean()) == pytest.approx(0.02, rel=0.1)  # even from 0 to 0.04
    assert abs(float((grain[..., 1:] * grain[..., :-1]).mean() / grain.square().mean())) < 0.02
    half = augment(grey, Augmentation(dihedral=False, noise=0.04), seeded()).images
    assert 0.4 < float((half == 0.5).all((1, 2, 3)).float().mean()) < 0.6


def test_blur_keeps_the_mean_of_an_even_image_and_zero_is_no_blur() -> None:
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(gaussian_blur(x, torch.zeros(2)), x)
    even = torch.full((1, 1, 16, 16), 0.3)
    torch.testing.assert_close(gaussian_blur(even, torch.ones(1)), even)
    assert gaussian_blur(x, torch.tensor([0.0, 2.0]))[1].var() < x[1].var() / 4


def test_the_same_seed_gives_the_same_batch() -> None:
    batch = make()
    a, b = augment(batch, STRONG, seeded(3)), augment(batch, STRONG, seeded(3))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.masks, b.masks)
    assert not torch.equal(augment(batch, STRONG, seeded(4)).images, a.images)
