"""How far synthesised pictures are from real ones: a Fréchet distance on VGG16's features.

It is named for what it is: published FID figures are on Inception's features, and are not comparable with these.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from labelfactory.array_types import Float, UInt8
from labelfactory.factory.pixels import from_uint8
from labelfactory.factory.training.feature_metrics import frechet_distance
from labelfactory.factory.translation.perceptual import VGG16, load_vgg16

LAYER = "relu4_3"
Images = UInt8[Tensor, "_ channels height width"]


def vgg16_features(path: Path, device: torch.device, batch: int = 16) -> Callable[[Images], Float[Tensor, "_ 512"]]:
    """What ``feature_metrics`` take: the means over the picture of VGG16's relu4_3, of 8-bit pictures."""
    network: VGG16 = load_vgg16(path, (LAYER,)).to(device)

    @torch.no_grad()
    def encode(images: Images) -> Tensor:
        parts = [network(from_uint8(part.to(device)))[0].float().mean((2, 3)).cpu() for part in images.split(batch)]
        return torch.cat(parts)

    return encode


def vgg16_frechet_distance(made: Images, real: Images, path: Path, device: torch.device) -> float:
    """Fréchet distance on VGG16's relu4_3 features: 0 for equal sets. Compare figures of equal counts only."""
    encode = vgg16_features(path, device)
    return frechet_distance(encode(made), encode(real))
