"""U-Net: the paper's sizes, any size when padded, and what it says to sizes that it cannot take."""

import pytest
import torch

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.unet import UNet, valid_size


def test_the_papers_network_takes_572_and_gives_388_with_31_million_parameters() -> None:
    with torch.device("meta"):
        net = UNet(1, 2, padded=False, norm=False)
        assert net(torch.empty(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert net.margin == (572 - 388) // 2
    # Figure 1: 23 convolutional layers, four of them 2x2 up-convolutions.
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d)]
    assert len(layers) == 23
    assert sum(p.numel() for p in net.parameters()) == 31_030_658


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (8, 17)])
def test_padded_keeps_any_size(size: tuple[int, int]) -> None:
    assert UNet(3, 5, width=4, depth=3)(torch.rand(2, 3, *size)).shape == (2, 5, *size)


def test_valid_refuses_uneven_sizes_and_names_one_that_works() -> None:
    net = UNet(1, 2, width=4, depth=2, padded=False)
    with pytest.raises(InputError, match=r"66 x 66.*68 would do"):
        net(torch.rand(1, 1, 66, 66))
    assert valid_size(66, 2) == 68
    assert net(torch.rand(1, 1, 68, 68)).shape[-1] == 68 - 2 * net.margin
    assert valid_size(560) == 572


def test_valid_output_is_the_padded_networks_interior() -> None:
    """The same weights with and without padding agree where no padding was seen."""
    valid = UNet(1, 2, width=4, depth=1, padded=False, norm=False)
    padded = UNet(1, 2, width=4, depth=1, padded=True, norm=False)
    padded.load_state_dict(valid.state_dict())
    x = torch.rand(1, 1, 32, 32)
    m = valid.margin
    torch.testing.assert_close(valid(x), padded(x)[..., m:-m, m:-m], rtol=1e-4, atol=1e-5)


def test_grey_is_repeated_for_a_colour_network_and_colour_is_refused_by_a_grey_one() -> None:
    grey = torch.randint(0, 256, (1, 8, 8, 1), dtype=torch.uint8)
    assert UNet(3, 2, width=2, depth=1).prepare(grey).shape == (1, 3, 8, 8)
    with pytest.raises(InputError, match="3 channels, the network takes 1"):
        UNet(1, 2, width=2, depth=1).prepare(grey.expand(1, 8, 8, 3))
    with pytest.raises(InputError, match="at least 1 channel and 2 classes"):
        UNet(1, 1)


def test_probabilities_sum_to_one_and_leave_the_mode_alone() -> None:
    net = UNet(1, 3, width=2, depth=1).train()
    p = net.probabilities(torch.zeros(2, 8, 8, 1, dtype=torch.uint8))
    torch.testing.assert_close(p.sum(1), torch.ones(2, 8, 8))
    assert net.training
