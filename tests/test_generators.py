"""Generators behind one interface; what they are given is checked."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from tiny_world import TinyWorld

from labelfactory import factory
from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.latents import latents
from labelfactory.factory.stylegan2_ada.checkpoint import Checkpoint
from labelfactory.factory.stylegan2_ada.config import NetworkConfig
from labelfactory.factory.stylegan2_ada.family import StyleGAN2
from labelfactory.factory.stylegan2_ada.networks import Generator


def test_contract(tiny_world: TinyWorld) -> None:
    generator = factory.open_generator(str(tiny_world.checkpoint), device="cpu")
    assert (generator.resolution, generator.image_channels, generator.latent_shape) == (16, 1, (8,))
    assert len(generator.sha256) == 64
    images, maps = generator.generate(latents([1, 2, 3], 8))
    assert images.shape == (3, 16, 16, 1)
    assert images.dtype == torch.uint8
    assert [m.shape[1] for m in maps] == generator.feature_channels
    assert [m.shape[2:] for m in maps] == generator.feature_sizes


def test_z_and_its_w_give_the_same_image(tiny_world: TinyWorld) -> None:
    generator, z = tiny_world.generator, latents([5, 6], 8)
    from_w = generator.generate(generator.map(z, truncation=0.5))
    assert torch.equal(from_w.images, generator.generate(z, truncation=0.5).images)
    assert not torch.equal(from_w.images, generator.generate(z, truncation=1.0).images)


@pytest.mark.parametrize("shape", [(2, 9), (2,), (2, 3, 8), (0,)])
def test_latent_of_another_shape_is_refused(tiny_world: TinyWorld, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected \\[batch"):
        tiny_world.generator.generate(np.zeros(shape, np.float32))


def test_unconditional_generators_take_no_class(tiny_world: TinyWorld) -> None:
    with pytest.raises(InputError, match="unconditional"):
        tiny_world.generator.generate(latents([1], 8), class_index=0)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta", ""])
def test_device_that_is_not_there(tiny_world: TinyWorld, device: str) -> None:
    with pytest.raises(InputError, match="device"):
        open_generator(str(tiny_world.checkpoint), device)


@pytest.mark.parametrize("uri", ["builtin:nothing", "builtin:../models", "no/such/file.pkl"])
def test_unknown_generator_is_one_line(uri: str) -> None:
    with pytest.raises(InputError) as caught:
        open_generator(uri)
    assert uri in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_hash_is_refused(tiny_world: TinyWorld) -> None:
    with pytest.raises(InputError, match="sha256"):
        open_generator(str(tiny_world.checkpoint), sha256="0" * 64)


def test_bfloat16_is_near_float32(tiny_world: TinyWorld) -> None:
    z = latents(range(8), 8)
    half = open_generator(str(tiny_world.checkpoint), "cpu", precision="bfloat16").generate(z).images
    difference = half.int() - tiny_world.generator.generate(z).images.int()
    assert difference.abs().float().mean() < 2
    with pytest.raises(InputError, match="precision"):
        open_generator(str(tiny_world.checkpoint), "cpu", precision="int8")


def test_batches_are_small_where_feature_maps_are_large() -> None:
    config = NetworkConfig(z_dim=512, c_dim=0, w_dim=512, img_resolution=1024, img_channels=3)
    with torch.device("meta"):
        ffhq = Generator(**asdict(config))
    assert sum(ffhq.synthesis.feature_channels) == 5568
    large = StyleGAN2(Checkpoint(ffhq, None, "0" * 64, config), torch.device("meta"))
    assert (large.batch_size(32), large.batch_size(1)) == (2, 1)
    small = open_generator("builtin:nuclei64", "cpu")
    assert [small.batch_size(most) for most in (32, 20, 1)] == [32, 16, 1]
