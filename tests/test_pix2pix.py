"""Pix2Pix: counts, shapes and reach of the paper, and that steps teach."""

import pytest
import torch
from translation_world import SOURCE, batch_of, falls, judged_better, parameters

from labelfactory.errors import InputError
from labelfactory.factory.translation.pix2pix import PatchGAN, Pix2Pix, UNetGenerator, mirrored_to_multiple


def test_numbers_of_parameters_are_the_published_ones() -> None:
    with torch.device("meta"):
        generator, judge = UNetGenerator(3, 3), PatchGAN(6)
    assert parameters(generator) == pytest.approx(54.414, abs=0.001)
    assert parameters(judge) == pytest.approx(2.769, abs=0.001)


def test_a_picture_of_256_pixels_is_judged_in_30_by_30_patches() -> None:
    scores = PatchGAN(2, width=2)(torch.zeros(1, 2, 256, 256))[0][-1]
    assert scores.shape == (1, 1, 30, 30)


def test_pictures_that_are_smaller_than_a_patch_can_be_are_refused() -> None:
    assert PatchGAN(2, width=2)(torch.zeros(1, 2, 24, 24))[0][-1].shape == (1, 1, 1, 1)
    with pytest.raises(InputError, match="23 x 24 pixels: this discriminator needs 24 a side"):
        PatchGAN(2, width=2)(torch.zeros(1, 2, 23, 24))


def test_a_patch_sees_70_pixels() -> None:
    judge = PatchGAN(1, width=2)
    judge.norms = torch.nn.ModuleList(torch.nn.Identity() for _ in judge.norms)  # these see the whole picture
    x = torch.randn(1, 1, 128, 128, requires_grad=True)
    judge(x)[0][-1][0, 0, 7, 7].backward()
    assert x.grad is not None
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 70


def test_the_generator_goes_down_to_one_pixel_and_back() -> None:
    network = UNetGenerator(3, 2, width=2, depth=5)
    widths = [layer.out_channels for layer in network.down]
    assert widths == [2, 4, 8, 16, 16]
    assert [layer.in_channels for layer in network.up] == [16, 32, 16, 8, 4]
    assert UNetGenerator(3, 3, width=2).dropped == [False, True, True, True, False, False, False, False]
    with pytest.raises(InputError, match="depth of 1"):
        UNetGenerator(3, 3, depth=1)


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (5, 90)])
def test_any_size_comes_out_as_it_went_in(size: tuple[int, int]) -> None:
    assert UNetGenerator(3, 2, width=2, depth=4).eval()(torch.randn(1, 3, *size)).shape == (1, 2, *size)


def test_borders_are_mirrored() -> None:
    x = torch.arange(5.0).view(1, 1, 1, 5)
    assert mirrored_to_multiple(x, 4)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 4, 3, 2]
    assert mirrored_to_multiple(x, 4).shape == (1, 1, 4, 8)
    assert mirrored_to_multiple(torch.zeros(1, 1, 8, 4), 4).shape == (1, 1, 8, 4)


def test_noise_is_dropout_in_training_alone() -> None:
    network = UNetGenerator(3, 2, width=2, depth=7)
    x = torch.randn(1, 3, 128, 128)
    network.train()
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_steps_teach_the_generator_and_the_discriminator() -> None:
    torch.manual_seed(0)
    method, batch = Pix2Pix(SOURCE, 3, width=8, depth=3, judge_width=8, judge_layers=1), batch_of()
    before, after = falls(method, batch)
    assert after < 0.8 * before
    before, after = judged_better(method, batch)
    assert after < 0.9 * before
