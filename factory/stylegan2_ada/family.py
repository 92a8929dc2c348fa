"""StyleGAN2 and StyleGAN2-ADA behind the generator's contract."""

from typing import Any

import torch
from torch import nn

from labelfactory.factory.style_based import StyleBased
from labelfactory.factory.stylegan2_ada.checkpoint import Checkpoint, load_checkpoint
from labelfactory.factory.stylegan2_ada.networks import set_precision


class StyleGAN2(StyleBased):
    """Feature maps are the outputs of every 3x3 synthesis convolution; noise is the network's constant one."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str = "float32") -> None:
        super().__init__(checkpoint.generator, checkpoint.discriminator, device, precision)
        network, synthesis = checkpoint.generator, checkpoint.generator.synthesis
        self.sha256, self.metadata = checkpoint.sha256, checkpoint.metadata
        self.size = (network.img_resolution, network.img_resolution)
        self.image_channels, self.num_classes = network.img_channels, network.c_dim
        self.latent_shape, self.style_shape = (network.z_dim,), (network.num_ws, network.w_dim)
        self.feature_channels = list(synthesis.feature_channels)
        levels = synthesis.resolutions
        self.feature_sizes = [(r, r) for r in [levels[0], *(r for r in levels[1:] for _ in range(2))]]

    @classmethod
    def open(cls, name: str, sha256: str | None, device: torch.device, precision: str) -> "StyleGAN2":
        return cls(load_checkpoint(name, sha256), device, precision)

    def set_precision(self, network: nn.Module, dtype: torch.dtype) -> None:
        known: Any = network
        set_precision(known, dtype)
