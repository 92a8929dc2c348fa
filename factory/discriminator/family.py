"""A StyleGAN2 whose feature maps are what its discriminator sees of a picture, a made or a real one.

The discriminator's features as a representation of photographs: Radford et al., arXiv 1511.06434, section 5.1. Nothing
is inverted, so that photographs can be labelled, or teach an interpreter, in one pass.
"""

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import Contents
from labelfactory.factory.generator import Seeing
from labelfactory.factory.stylegan2_ada.checkpoint import from_contents
from labelfactory.factory.stylegan2_ada.family import StyleGAN2
from labelfactory.interpreters.array_types import Float

NAME = "discriminator"  # of the family, in the table and in files


class Discriminating(Seeing):
    """Feature maps are the outputs of the discriminator's blocks, and of its first convolution at full resolution."""

    def __init__(self, generator: StyleGAN2, name: str = "generator") -> None:
        if not generator.perceptive:
            raise InputError(f"{name}: has no discriminator that looks at its pictures; give a file that has one")
        self._generator = generator
        self.size, self.image_channels = generator.size, generator.image_channels
        self.latent_shape, self.num_classes = generator.latent_shape, generator.num_classes
        self.sha256, self.metadata, self.device = generator.sha256, generator.metadata, generator.device
        with torch.inference_mode():
            maps = self.see(torch.zeros(1, self.image_channels, *self.size, device=self.device))
        self.feature_channels = [m.shape[1] for m in maps]
        self.feature_sizes = [(m.shape[2], m.shape[3]) for m in maps]

    @classmethod
    def claims(cls, contents: Contents) -> bool:
        return contents.form == "labelfactory" and contents.family == NAME

    @classmethod
    def open(cls, contents: Contents, device: torch.device, precision: str) -> "Discriminating":
        return cls(StyleGAN2(from_contents(contents), device, precision, contents.name), contents.name)

    def render(
        self, latent: Float[Tensor, "batch ..."], truncation: float, classes: Tensor | None
    ) -> tuple[Float[Tensor, "batch channels height width"], list[Tensor]]:
        picture, _ = self._generator.render(latent, truncation, classes)
        return picture, self.see(picture.float().clamp(-1, 1))

    def see(self, images: Float[Tensor, "batch channels height width"], classes: Tensor | None = None) -> list[Tensor]:
        return self._generator.judged(images)
