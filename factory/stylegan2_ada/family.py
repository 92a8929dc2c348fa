"""StyleGAN2 and StyleGAN2-ADA behind the generator's contract."""

import re
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import Contents
from labelfactory.factory.style_based import StyleBased
from labelfactory.factory.stylegan2_ada.checkpoint import Checkpoint, from_contents
from labelfactory.factory.stylegan2_ada.dresses import is_rosinality, is_tensorflow
from labelfactory.factory.stylegan2_ada.networks import set_precision
from labelfactory.interpreters.array_types import Float


class StyleGAN2(StyleBased):
    """Feature maps are the outputs of every 3x3 synthesis convolution; noise is the network's constant one."""

    def __init__(
        self, checkpoint: Checkpoint, device: torch.device, precision: str = "float32", name: str = "generator"
    ) -> None:
        super().__init__(checkpoint.generator, checkpoint.discriminator, device, precision)
        network, synthesis = checkpoint.generator, checkpoint.generator.synthesis
        self.sha256, self.metadata = checkpoint.sha256, checkpoint.metadata
        self.size = synthesis.fork.size(network.img_resolution)
        if network.img_channels not in (1, 3, 4):
            raise InputError(f"{name}: makes pictures of {network.img_channels} channels; expected 1 (grey) or 3 (RGB)")
        if network.img_channels == 4:
            warnings.warn(f"{name}: makes pictures with alpha, which is left out", stacklevel=2)
        self.image_channels, self.num_classes = min(network.img_channels, 3), network.c_dim
        self.latent_shape, self.style_shape = (network.z_dim,), (network.num_ws, network.w_dim)
        self.feature_channels = list(synthesis.feature_channels)
        levels = [level for level in synthesis.resolutions for _ in range(2)][1:]
        self.feature_sizes = [synthesis.fork.size(level) for level in levels]

    @classmethod
    def claims(cls, contents: Contents) -> bool:
        if contents.form == "labelfactory":
            return contents.family == "stylegan2"
        network = contents.generator
        if network is None:
            return False
        official = any(re.match(r"synthesis\.b4\.(const|conv1)", name) for name in network.names)
        return official or is_rosinality(network.names) or is_tensorflow(network.names)

    @classmethod
    def open(cls, contents: Contents, device: torch.device, precision: str) -> "StyleGAN2":
        return cls(from_contents(contents), device, precision, contents.name)

    def set_precision(self, network: nn.Module, dtype: torch.dtype) -> None:
        known: Any = network
        set_precision(known, dtype)

    def _synthesis(self, ws: Tensor) -> tuple[Tensor, list[Tensor]]:
        image, features = super()._synthesis(ws)
        return image[:, : self.image_channels], features

    def synthesise(self, ws: Tensor) -> Tensor:
        return super().synthesise(ws)[:, : self.image_channels]

    @property
    def perceptive(self) -> bool:
        return super().perceptive and self._discriminator.img_channels == self.image_channels

    def judged(self, images: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """What the discriminator makes of pictures in [-1, 1], lowest resolution first, the last of their size."""
        first = self._on_device().first_features(images)
        return [*reversed(self.perceive(images)), first.float()]
