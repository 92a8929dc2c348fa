"""CycleGAN: counts and shapes of the paper, the pool of pictures, and that steps teach."""

import pytest
import torch
from translation_world import batch_of, falls, judged_better, parameters

from labelfactory.factory.translation.cyclegan import CycleGAN, ImagePool, ResNetGenerator
from labelfactory.factory.translation.method import Batch
from labelfactory.factory.translation.pix2pix import PatchGAN

SMALL = {"width": 4, "blocks": 1, "judge_width": 4, "judge_layers": 1}


def test_numbers_of_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert parameters(ResNetGenerator()) == pytest.approx(11.378, abs=0.001)
        assert parameters(PatchGAN(3, affine=False)) == pytest.approx(2.765, abs=0.001)


@pytest.mark.parametrize("size", [(32, 32), (30, 45), (17, 18)])
def test_any_size_comes_out_as_it_went_in(size: tuple[int, int]) -> None:
    network = ResNetGenerator(3, 1, width=2, blocks=1)
    assert network(torch.randn(1, 3, *size)).shape == (1, 1, *size)


def test_a_pool_gives_half_older_pictures_once_it_is_full() -> None:
    pool, rng = ImagePool(50), torch.Generator().manual_seed(0)
    first = torch.arange(50.0).view(50, 1, 1, 1)
    assert torch.equal(pool.exchange(first, rng), first)
    old = 0
    for number in range(50, 1050):
        given = pool.exchange(torch.full((1, 1, 1, 1), float(number), requires_grad=True), rng)
        assert not given.requires_grad
        old += float(given) != number
    assert 450 < old < 550
    assert len(pool.kept) == 50


def test_pictures_of_the_pool_are_what_was_made_then() -> None:
    pool, made = ImagePool(1), torch.zeros(1, 1, 2, 2)
    pool.exchange(made, torch.Generator())
    made += 1
    assert float(pool.kept[0].sum()) == 0


def pictures() -> Batch:
    batch = batch_of()
    return Batch(batch.picture, -batch.picture.flip(0))


def test_steps_teach_both_ways() -> None:
    torch.manual_seed(0)
    method, batch = CycleGAN(3, 3, **SMALL), pictures()
    before, after = falls(method, batch)
    assert after < 0.8 * before
    before, after = judged_better(method, batch)
    assert after < 0.9 * before
    assert len(method.panels(method.makers, batch)) == 5


def test_kinds_of_different_channels_have_no_identity_to_keep() -> None:
    method = CycleGAN(1, 3, **SMALL)
    batch = Batch(pictures().source[:, :1], pictures().picture)
    _, stats, made = method.generator_loss(batch, torch.Generator())
    assert set(stats) == {"g", "cycle"}
    assert made["there"].shape[1] == 3
    assert made["back"].shape[1] == 1


def test_the_pools_are_remembered() -> None:
    method, batch, rng = CycleGAN(3, 3, **SMALL), pictures(), torch.Generator()
    _, _, made = method.generator_loss(batch, rng)
    method.discriminator_loss(batch, made, rng)
    other = CycleGAN(3, 3, **SMALL)
    other.recall(method.memory())
    assert all(torch.equal(a, b) for a, b in zip(other.pools["back"].kept, made["back"], strict=True))
