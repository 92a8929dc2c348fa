"""A generator family of one file: a spot whose place and brightness follow from the latent."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from labelfactory.factory.checkpoints.contents import Contents
from labelfactory.factory.generator import ImageGenerator


class Toy(ImageGenerator):
    """Feature maps are distances from the spot."""

    default_truncation: ClassVar[float | None] = None

    def __init__(self, contents: Contents, device: torch.device) -> None:
        self.size, self.image_channels, self.latent_shape = (16, 16), 1, (4,)
        self.feature_channels, self.feature_sizes = [2, 3], [(8, 8), (16, 16)]
        self.sha256, self.metadata, self.device = contents.sha256, {"licence": "CC0-1.0"}, device

    @classmethod
    def claims(cls, contents: Contents) -> bool:
        return contents.family == "toy"

    @classmethod
    def open(cls, contents: Contents, device: torch.device, precision: str) -> "Toy":
        return cls(contents, device)

    def render(self, latent: Tensor, truncation: float, classes: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        centre = 3 + 10 * torch.sigmoid(latent[:, :2])
        y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
        distance = ((x - centre[:, :1, None]) ** 2 + (y - centre[:, 1:, None]) ** 2).sqrt()
        light = torch.exp(-(distance**2) / 18) * torch.sigmoid(latent[:, 2, None, None] + 2)
        maps = torch.stack([light, distance / 8, light**2], 1)
        return 2 * light[:, None] - 1, [avg_pool2d(maps[:, :2], 2), maps]
