"""A StyleGAN2 read by its discriminator: one more family, and photographs that nothing inverts."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from command_line import Factory
from generator_contract import GeneratorContract
from PIL import Image
from torch import nn

from labelfactory.factory.conversion import ConversionOrder, convert
from labelfactory.factory.discriminator.family import Discriminating
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.latents import latents
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator


def as_discriminator(generator: Path, out: Path) -> Path:
    """The same networks in a file of this family."""
    convert(ConversionOrder(str(generator), out, features="discriminator"))
    return out


class DiscriminatorContract(GeneratorContract):
    family = "discriminator"
    changes: ClassVar[dict[str, Any]] = {}

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        torch.manual_seed(0)
        sizes = {"img_resolution": 32, "img_channels": 3, "channel_base": 512, "channel_max": 16, "c_dim": 0}
        sizes |= self.changes
        network = Generator(z_dim=8, w_dim=8, mapping_layers=2, **sizes)
        save_safetensors(tmp_path / "g.safetensors", network, Discriminator(**sizes))
        return as_discriminator(tmp_path / "g.safetensors", tmp_path / "d.safetensors")

    def layers(self, generator: ImageGenerator) -> list[nn.Module]:
        return []  # maps do not make the picture here

    @torch.no_grad()
    def _straighten(self, opened: ImageGenerator) -> None:
        assert isinstance(opened, Discriminating)
        for weight in [w for w in opened._generator._on_device().parameters() if w.ndim == 4]:
            weight.copy_((weight + weight.flip(2, 3)) / 2)


class TestUnconditional(DiscriminatorContract):
    def test_a_made_picture_has_the_features_that_it_has_as_a_photograph(self, opened: ImageGenerator) -> None:
        assert isinstance(opened, Discriminating)
        images, maps = opened.generate(latents([1, 2], 8))
        for made, seen in zip(maps, opened.see_images(images), strict=True):
            assert (made - seen).abs().max() < 0.05 * made.abs().max()  # 8 bits a channel


class TestConditional(DiscriminatorContract):
    changes: ClassVar[dict[str, Any]] = {"c_dim": 3}


def test_photographs_are_labelled_in_one_pass(tmp_path: Path, factory: Factory, tiny_checkpoint: Path) -> None:
    """From drawn photographs to masks of others: convert, invert (which inverts nothing), train, predict, generate."""
    eyes, opened = tmp_path / "eyes.safetensors", open_generator(tiny_checkpoint, "cpu")
    images = opened.generate(latents(range(6), 8)).images.numpy()[..., 0]
    masks = (images > np.median(images, axis=(1, 2))[:, None, None]).astype(np.uint8)
    said = factory("convert", "--generator", tiny_checkpoint, "--features", "discriminator", "--out", eyes)
    assert said.code == 0, said.err
    assert "discriminator, 16 x 16 pixels" in said.out
    for part in ("photographs", "masks"):
        (tmp_path / part).mkdir()
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        Image.fromarray(image).save(tmp_path / "photographs" / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i}.png")
    call = ["invert", "--generator", eyes, "--images", tmp_path / "photographs", "--masks", tmp_path / "masks"]
    said = factory(*call, "--classes", "dark,bright", "--out", tmp_path / "labels")
    assert said.code == 0, said.err
    assert "looks at them itself, nothing is inverted" in said.out
    call = ["train-interpreter", "--generator", eyes, "--labels", tmp_path / "labels"]
    said = factory(*call, "--out", tmp_path / "i.safetensors")
    assert said.code == 0, said.err
    call = ["predict", "--interpreter", tmp_path / "i.safetensors", "--images", tmp_path / "photographs"]
    said = factory(*call, "--generator", eyes, "--out", tmp_path / "found")
    assert said.code == 0, said.err
    found = np.stack([np.array(Image.open(tmp_path / "found" / "masks" / f"{i}.png")) for i in range(6)])
    assert (found == masks).mean() > 0.8
    said = factory(*call, "--generator", tiny_checkpoint, "--out", tmp_path / "other")
    assert said.code == 2
    assert "belongs to another generator" in said.err
    call = ["generate", "--generator", eyes, "--labels", tmp_path / "labels", "--count", 8, "--device", "cpu"]
    said = factory(*call, "--out", tmp_path / "pairs.zarr")
    assert said.code == 0, said.err


def test_what_has_no_discriminator_is_refused(tmp_path: Path, tiny_checkpoint: Path, factory: Factory) -> None:
    generator = open_generator(tiny_checkpoint, "cpu")
    save_safetensors(tmp_path / "alone.safetensors", generator._network)  # type: ignore[attr-defined]
    call = ["convert", "--generator", tmp_path / "alone.safetensors", "--features", "discriminator"]
    said = factory(*call, "--out", tmp_path / "d.safetensors")
    assert said.code == 2
    assert "has no discriminator" in said.err.strip().splitlines()[-1]
    assert not (tmp_path / "d.safetensors").exists()
