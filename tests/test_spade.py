"""SPADE: counts and shapes of the paper, what a block does, and that steps teach."""

import pytest
import torch
from translation_world import SOURCE, batch_of, falls, judged_better, parameters

from labelfactory.errors import InputError
from labelfactory.factory.translation.spade import (
    SPADE,
    MultiScaleDiscriminator,
    PatchDiscriminator,
    Spade,
    SPADEGenerator,
    SPADEResBlk,
)

SMALL = {"width": 4, "hidden": 8, "upsamplings": 3, "judge_width": 8, "judge_layers": 3}


@pytest.mark.parametrize(
    ("condition", "upsamplings", "millions"), [(36, 6, 93.0), (151, 5, 96.5), (184, 5, 97.5)]
)  # Cityscapes, ADE20K and COCO-Stuff, as published comparisons count them (CC-FPSE, arXiv 1910.06809, table 4)
def test_the_generator_has_the_published_number_of_parameters(
    condition: int, upsamplings: int, millions: float
) -> None:
    with torch.device("meta"):
        network = SPADEGenerator(condition, 3, upsamplings=upsamplings)
    assert parameters(network) == pytest.approx(millions, abs=0.06)


def test_the_discriminator_has_the_published_shape() -> None:
    with torch.device("meta"):
        network = MultiScaleDiscriminator(39)
    assert parameters(network) == pytest.approx(5.60, abs=0.01)
    found = MultiScaleDiscriminator(5, width=4)(torch.zeros(1, 5, 64, 64))
    assert [[tuple(f.shape[1:]) for f in scale] for scale in found] == [
        [(4, 33, 33), (8, 17, 17), (16, 9, 9), (32, 10, 10), (1, 11, 11)],
        [(4, 17, 17), (8, 9, 9), (16, 5, 5), (32, 6, 6), (1, 7, 7)],
    ]


@pytest.mark.parametrize("upsamplings", range(1, 8))
@pytest.mark.parametrize("size", [(128, 128), (33, 50), (1, 7)])
def test_any_size_comes_out_as_it_went_in(upsamplings: int, size: tuple[int, int]) -> None:
    network = SPADEGenerator(3, 2, width=2, hidden=4, upsamplings=upsamplings).eval()
    assert network(torch.zeros(1, 3, *size)).shape == (1, 2, *size)


def test_the_blocks_of_the_paper() -> None:
    def widths(upsamplings: int) -> list[int]:
        network = SPADEGenerator(3, 3, width=4, hidden=4, upsamplings=upsamplings)
        return [block.conv_1.out_channels for block in network.blocks]

    assert widths(5) == [64, 64, 64, 32, 16, 8, 4]  # "normal": head, two middles, four upwards
    assert widths(6) == widths(5)  # "more" has one upsampling more, and no block more
    assert widths(7) == [64, 64, 64, 32, 16, 8, 4, 2]  # "most"
    with pytest.raises(InputError, match="8 upsamplings"):
        SPADEGenerator(3, 3, upsamplings=8)


def test_modulation_follows_the_condition_at_each_place() -> None:
    torch.manual_seed(0)
    layer = SPADE(3, 2, hidden=4).eval()
    x, m = torch.randn(1, 3, 16, 16), torch.zeros(1, 2, 16, 16)
    plain = layer(x, m)
    m[..., 8:] = 1.0
    changed = layer(x, m)
    assert torch.equal(plain[..., :6], changed[..., :6])  # two 3x3 convolutions reach two pixels
    assert not torch.allclose(plain[..., 8:], changed[..., 8:])
    with torch.no_grad():
        for part in (layer.gamma, layer.beta):
            part.weight.zero_()
            part.bias.zero_()
    assert torch.allclose(layer(x, m), layer.norm(x))  # 1 + gamma: nothing to say leaves the normalised features


def test_a_shortcut_is_learned_where_channels_change() -> None:
    assert not SPADEResBlk(4, 4, 3, 4).learned
    block = SPADEResBlk(4, 2, 3, 4).eval()
    assert block.learned
    assert block(torch.zeros(1, 4, 8, 8), torch.zeros(1, 3, 32, 32)).shape == (1, 2, 8, 8)


def test_spectral_normalisation_bounds_every_convolution_of_a_block() -> None:
    torch.manual_seed(0)
    block = SPADEResBlk(6, 4, 3, 4).train()
    for _ in range(30):  # power iteration
        block(torch.randn(1, 6, 8, 8), torch.randn(1, 3, 8, 8))
    block.eval()
    for layer in (block.conv_0, block.conv_1, block.conv_s):
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert float(largest) == pytest.approx(1, abs=0.02)
    judge = PatchDiscriminator(3, 4)
    assert [hasattr(stage, "parametrizations") for stage in judge.stages] == [False, True, True, True]


def test_steps_teach_the_generator_and_the_discriminator() -> None:
    torch.manual_seed(0)
    method, batch = Spade(SOURCE, 3, **SMALL), batch_of()
    before, after = falls(method, batch)
    assert after < 0.9 * before
    before, after = judged_better(method, batch)
    assert after < 0.8 * before
    assert [panel.shape for panel in method.panels(method.makers, batch)] == [(2, 3, 24, 32)] * 2
