"""Inversion finds latents that explain an image, and says so when it does not."""

import numpy as np
import pytest
import torch

from labelfactory.errors import InputError
from labelfactory.factory.generator import Invertible
from labelfactory.factory.labels.encoder import train_encoder
from labelfactory.factory.labels.inversion import (
    InversionSettings,
    feature_distance,
    invert,
    pixel_distance,
)
from labelfactory.factory.latents import latents
from labelfactory.factory.pixels import to_float

FAST = InversionSettings(steps=60, learning_rate=0.1, batch=4)


@pytest.fixture
def images(tiny_generator: Invertible) -> np.ndarray:
    return tiny_generator.generate(latents([1, 2, 3, 4, 5], tiny_generator.latent_shape), 1.0).images.numpy()


def test_generated_images_are_explained(tiny_generator: Invertible, images: np.ndarray) -> None:
    start = invert(tiny_generator, images, settings=InversionSettings(steps=0), progress=False)
    result = invert(tiny_generator, images, settings=FAST, progress=False)
    assert result.ws.shape == (5, *tiny_generator.style_shape)
    assert (result.fidelity > start.fidelity).all()
    assert result.fidelity.mean() > 0.8
    np.testing.assert_array_equal(result.reconstruction, tiny_generator.generate(result.ws).images.numpy())
    error = ((result.reconstruction.astype(float) - images) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(result.psnr, 10 * np.log10(255**2 / error))
    np.testing.assert_allclose(result.fidelity, 1 - error / images.astype(float).var((1, 2, 3)))


def test_discriminator_and_encoder_take_part(tiny_generator: Invertible, images: np.ndarray) -> None:
    assert tiny_generator.perceptive
    encoder = train_encoder(tiny_generator, steps=40, batch=16, progress=False)
    guess = invert(tiny_generator, images, encoder, settings=InversionSettings(steps=0), progress=False)
    blind = invert(tiny_generator, images, settings=InversionSettings(steps=0), progress=False)
    assert guess.fidelity.mean() > blind.fidelity.mean()
    result = invert(tiny_generator, images, encoder, FAST, progress=False)
    assert result.fidelity.mean() > guess.fidelity.mean()
    target = to_float(images, torch.device("cpu"))

    def distance(pixels: np.ndarray) -> float:
        a, b = (tiny_generator.perceive(to_float(p, torch.device("cpu"))) for p in (pixels, images))
        return float(feature_distance(a, b).mean())

    assert distance(result.reconstruction) < distance(guess.reconstruction)
    assert float(feature_distance(*[tiny_generator.perceive(target)] * 2).max()) == 0


def test_an_image_of_something_else_has_low_fidelity(tiny_generator: Invertible, images: np.ndarray) -> None:
    y, x = np.indices((16, 16))
    stripes = np.where((x + y) % 2, 255, 0).astype(np.uint8)[None, ..., None]
    result = invert(tiny_generator, np.concatenate([images[:1], stripes]), settings=FAST, progress=False)
    assert result.fidelity[1] < 0.3 < result.fidelity[0]


def test_images_stop_on_their_own(tiny_generator: Invertible, images: np.ndarray) -> None:
    flat = np.full_like(images[:1], 128)
    settings = InversionSettings(steps=300, patience=5, learning_rate=0.1)
    together = invert(tiny_generator, np.concatenate([images, flat]), settings=settings, progress=False)
    assert together.steps.min() < together.steps.max() <= 301
    alone = invert(tiny_generator, images[:1], settings=settings, progress=False)
    assert alone.fidelity[0] == pytest.approx(together.fidelity[0], abs=0.1)


def test_pixel_distance_sees_coarse_and_fine() -> None:
    a = torch.zeros(1, 1, 16, 16)
    fine, coarse = a.clone(), a.clone()
    fine[..., ::2], fine[..., 1::2] = 0.5, -0.5
    coarse[..., :8], coarse[..., 8:] = 0.5, -0.5
    assert float(pixel_distance(a, fine)) == pytest.approx(0.125)
    assert float(pixel_distance(a, coarse)) == pytest.approx(0.25)
    assert float(pixel_distance(a, a)) == 0


def test_wrong_images_and_settings(tiny_generator: Invertible) -> None:
    with pytest.raises(InputError, match=r"\(2, 8, 8, 1\); expected one or more of \(16, 16, 1\)"):
        invert(tiny_generator, np.zeros((2, 8, 8, 1), np.uint8))
    with pytest.raises(InputError, match="steps is -1"):
        InversionSettings(steps=-1)
