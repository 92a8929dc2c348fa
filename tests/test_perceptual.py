"""Perceptual distances: weights by torchvision's names, equations by hand, LPIPS where its weights are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.backbones import initialise
from labelfactory.factory.translation.distances import vgg16_frechet_distance
from labelfactory.factory.translation.perceptual import (
    NAMES,
    VGG16,
    discriminator_eyes,
    feature_reconstruction,
    gram,
    load_lpips,
    load_vgg16,
    style_reconstruction,
)
from labelfactory.factory.translation.spade import MultiScaleDiscriminator


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of torchvision's names, as safetensors."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    network = VGG16()
    initialise(network)  # He's: features do not fade from layer to layer
    save_file({k: v.half() for k, v in network.state_dict().items()}, path)
    return path


@pytest.fixture
def published_weights() -> Path:
    path = Path(os.environ.get("LABELFACTORY_DATA", "")).parent / "weights" / "vgg16_features_lpips.safetensors"
    if not os.environ.get("LABELFACTORY_DATA") or not path.is_file():
        pytest.skip("LABELFACTORY_DATA names no folder beside which weights/ has VGG16's and LPIPS's weights")
    return path


def test_weights_come_from_safetensors_and_from_pth(random_weights: Path, tmp_path: Path) -> None:
    network = load_vgg16(random_weights)
    state = {k: v.float() for k, v in network.state_dict().items()} | {"classifier.0.weight": torch.zeros(1)}
    torch.save(state, tmp_path / "vgg16.pth")
    again = load_vgg16(tmp_path / "vgg16.pth")
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    assert all(torch.equal(a, b) for a, b in zip(network(x), again(x), strict=True))
    assert [f.shape[1:] for f in network(x)] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    assert not any(p.requires_grad for p in network.parameters())


def test_layers_that_nobody_asks_for_are_not_built(random_weights: Path) -> None:
    assert len(load_vgg16(random_weights, NAMES[:2]).features) == 9
    assert len(load_vgg16(random_weights, NAMES[:2])(torch.zeros(1, 1, 8, 8))) == 2  # grey is repeated


def test_wrong_files_are_told_apart(random_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_vgg16(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="no file of weights"):
        load_vgg16(tmp_path / "text.pth")
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "less.safetensors")
    with pytest.raises(InputError, match=r"lacks features\.0\.bias"):
        load_vgg16(tmp_path / "less.safetensors")
    state = {k: v.float() for k, v in VGG16().state_dict().items()} | {"features.0.bias": torch.zeros(3)}
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"features\.0\.bias is \(3,\); expected \(64,\)"):
        load_vgg16(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"no lin0\.weight"):
        load_lpips(random_weights)


def test_the_gram_matrix_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels of two pixels
    assert torch.allclose(gram(features)[0], torch.tensor([[5.0, 11.0], [11.0, 25.0]]) / 4)


def test_style_forgets_places_and_content_does_not() -> None:
    def eyes(x: torch.Tensor) -> list[torch.Tensor]:
        return [x]

    x = torch.rand(1, 3, 8, 8)
    moved = x.roll(3, dims=3)
    assert float(style_reconstruction(eyes, moved, x)) == pytest.approx(0, abs=1e-10)
    assert float(feature_reconstruction(eyes, moved, x)) > 0.01
    assert float(feature_reconstruction(eyes, x, x)) == 0
    assert float(feature_reconstruction(eyes, torch.zeros_like(x), x)) == pytest.approx(1)  # in units of the real
    larger = torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    assert float(style_reconstruction(eyes, larger, x)) == pytest.approx(0, abs=1e-10)


def test_gradients_reach_the_made_picture_alone(random_weights: Path) -> None:
    network = load_vgg16(random_weights, NAMES[:2])
    made, real = (torch.rand(1, 3, 16, 16, requires_grad=True) for _ in range(2))
    feature_reconstruction(network, made, real).backward()
    assert made.grad is not None
    assert float(made.grad.abs().sum()) > 0
    assert real.grad is None


def test_a_discriminator_has_eyes_too() -> None:
    judge = MultiScaleDiscriminator(5, width=4, layers=3)
    eyes = discriminator_eyes(judge, torch.zeros(1, 2, 16, 16))
    picture = torch.rand(1, 3, 16, 16)
    assert len(eyes(picture)) == 6  # three stages of two scales, without the scores
    assert float(feature_reconstruction(eyes, picture, picture).detach()) == pytest.approx(0, abs=1e-9)


def test_lpips_has_its_published_weights_and_formula(published_weights: Path) -> None:
    from torchmetrics.functional.image import lpips as theirs

    network = load_lpips(published_weights)
    state = torch.load(Path(theirs.__file__).parent / "lpips_models" / "vgg.pth", "cpu", weights_only=True)
    for ours, value in zip(network.weights, state.values(), strict=True):
        assert torch.allclose(ours, value, atol=1e-3)
    torch.manual_seed(0)
    a, b = torch.rand(2, 3, 32, 32) * 2 - 1, torch.rand(2, 3, 32, 32) * 2 - 1
    found = network(a, b)
    shift, scale = (np.array(v).reshape(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    seen = [network.vgg.seen(torch.from_numpy((x.numpy() - shift) / scale).float()) for x in (a, b)]
    wanted = np.zeros(2)
    for w, x, y in zip(state.values(), *seen, strict=True):
        u, v = (f.numpy() / (np.sqrt((f.numpy() ** 2).sum(1, keepdims=True)) + 1e-10) for f in (x, y))
        wanted += (w.numpy() * (u - v) ** 2).sum(1).mean((1, 2))
    assert found.numpy() == pytest.approx(wanted, abs=2e-3)
    assert float(network(a, a).abs().max()) == 0
    small = a + 0.02 * torch.randn_like(a)
    assert float(network(a, small).max()) < 0.1 * float(found.min())


def test_the_distance_is_named_for_its_features_and_is_nothing_between_equal_sets(random_weights: Path) -> None:
    images = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
    cpu = torch.device("cpu")
    assert vgg16_frechet_distance(images, images, random_weights, cpu) == pytest.approx(0, abs=1e-6)
    assert vgg16_frechet_distance(images, images // 4, random_weights, cpu) > 1e-4
