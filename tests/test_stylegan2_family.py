"""StyleGAN2 keeps what every family has to keep, in all its shapes."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from generator_contract import GeneratorContract
from torch import nn

from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator


class StyleGAN2Contract(GeneratorContract):
    family = "stylegan2"
    changes: ClassVar[dict[str, Any]] = {}
    discriminator = True

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        torch.manual_seed(0)
        sizes = {"img_resolution": 32, "img_channels": 3, "channel_base": 512, "channel_max": 16, "c_dim": 0}
        sizes |= {name: value for name, value in self.changes.items() if name in sizes}
        rare = {name: value for name, value in self.changes.items() if name not in sizes}
        network = Generator(z_dim=8, w_dim=8, mapping_layers=2, **sizes, **rare)
        judge = Discriminator(**sizes) if self.discriminator else None
        save_safetensors(tmp_path / "g.safetensors", network, judge)
        return tmp_path / "g.safetensors"

    def layers(self, generator: ImageGenerator) -> list[nn.Module]:
        synthesis = generator._network.synthesis  # type: ignore[attr-defined]
        blocks = [getattr(synthesis, f"b{level}") for level in synthesis.resolutions]
        return [
            layer for block in blocks for layer in (getattr(block, "conv0", None), block.conv1) if layer is not None
        ]


class TestStyleGAN2(StyleGAN2Contract):
    pass


class TestConditional(StyleGAN2Contract):
    changes: ClassVar[dict[str, Any]] = {"c_dim": 3}


class TestOblong(StyleGAN2Contract):
    changes: ClassVar[dict[str, Any]] = {"start": (4, 6), "img_channels": 1, "architecture": "orig"}
    discriminator = False
