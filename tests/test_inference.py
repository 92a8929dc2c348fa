"""Tiles: equal to the whole image away from the borders, no seams, any size, the valid network too."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.inference import predict, predict_pairs, ramp
from labelfactory.factory.segmenters.unet import UNet

REACH = 32  # more than a U-Net of depth 2 sees to each side: 4 x (4 - 1) + 2 x 4 = 20


def net(padded: bool = True, depth: int = 2) -> UNet:
    torch.manual_seed(0)
    model = UNet(1, 3, width=4, depth=depth, padded=padded).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # statistics that are not trivial
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 1), dtype=np.uint8)


@pytest.mark.parametrize("size", [(160, 224), (161, 203), (130, 300)])
@pytest.mark.parametrize("blend", [0, 16])
def test_tiled_equals_whole_away_from_the_borders(size: tuple[int, int], blend: int) -> None:
    model, image = net(), picture(*size)
    whole = predict(model, image, tile=512)
    tiled = predict(model, image, tile=128, halo=REACH, blend=blend)
    assert tiled.shape == whole.shape
    inner = np.s_[:, REACH:-REACH, REACH:-REACH]
    np.testing.assert_allclose(tiled[inner], whole[inner], atol=1e-5)
    assert np.abs(tiled - whole).max() > 1e-4  # at the borders one mirrors, the other pads with zeros


def test_a_halo_that_is_too_small_differs_which_shows_that_the_test_above_can_fail() -> None:
    model, image = net(), picture(160, 224)
    whole = predict(model, image, tile=512)
    tiled = predict(model, image, tile=128, halo=0, blend=0)
    inner = np.s_[:, REACH:-REACH, REACH:-REACH]
    assert np.abs(tiled[inner] - whole[inner]).max() > 1e-3


def test_the_valid_network_gives_the_same_whatever_the_tiles() -> None:
    model, image = net(padded=False), picture(150, 90)
    a = predict(model, image, tile=92, blend=0)
    b = predict(model, image, tile=252, blend=16)
    assert a.shape == b.shape == (3, 150, 90)
    np.testing.assert_allclose(a, b, atol=1e-5)


@given(st.integers(1, 200), st.integers(1, 200), st.sampled_from([0, 8, 40]), st.sampled_from([0, 5, 32]))
@settings(max_examples=25, deadline=None)
def test_any_size_gives_probabilities(height: int, width: int, halo: int, blend: int) -> None:
    p = predict(net(depth=1), picture(height, width), tile=144, halo=halo, blend=blend)
    assert p.shape == (3, height, width)
    np.testing.assert_allclose(p.sum(0), 1, atol=1e-5)


def test_the_window_fades_and_neighbours_sum_to_one() -> None:
    w = ramp(128, 16, 32)
    assert (w[:16] == 0).all()
    assert (w[48:-48] == 1).all()
    step = 128 - 2 * 16 - 32
    np.testing.assert_allclose(w[step:] + w[: 128 - step], 1, atol=1e-6)


def test_tiles_that_are_too_small_are_refused_with_a_size_that_works() -> None:
    with pytest.raises(InputError, match="at least 192"):
        predict(net(), picture(300, 300), tile=128, halo=64, blend=32)


def test_pairs_come_back_in_order_with_their_probabilities() -> None:
    images = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 1), dtype=np.uint8)
    pairs = ArrayPairs(images, np.zeros((5, 16, 16), np.uint8), names=list("abcde"))
    results = list(predict_pairs(net(), pairs, batch_size=2))
    assert [pair.name for pair, _ in results] == list("abcde")
    for pair, p in results:
        np.testing.assert_allclose(p, predict(net(), pair.image), atol=1e-5)
