"""Random variations of a batch: one geometry for image, mask (nearest) and weights; light changes for the image."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.pairs.augmentation import Augmentation
from labelfactory.factory.symmetry import RECTANGLE, dihedral_each
from labelfactory.interpreters.array_types import Float, Int


@dataclass(frozen=True)
class Batch:
    """What the network sees of one step: images in 0..1, labels, and how much each pixel counts."""

    images: Float[Tensor, "batch channels height width"]
    masks: Int[Tensor, "batch height width"]
    weights: Float[Tensor, "batch height width"]


def augment(batch: Batch, how: Augmentation, generator: torch.Generator) -> Batch:
    """Each sample varied on its own; ``generator`` (on the CPU) decides everything, so a step can be repeated."""
    x, mask, weights = batch.images, batch.masks, batch.weights
    if how.dihedral:
        x, mask, weights = _dihedral(x, mask, weights, generator)
    if how.rotation or how.scale != 1 or how.shift or how.shear:
        x, mask, weights = _affine(x, mask, weights, how, generator)
    n = len(x)
    if how.blur:
        x = gaussian_blur(x, (_draw(n, 0.0, how.blur, generator) * _applies(n, how.p, generator)).to(x.device))
    if how.contrast != 1:
        log_c = math.log(how.contrast)
        factor = (_draw(n, -log_c, log_c, generator) * _applies(n, how.p, generator)).exp().to(x.device)
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * factor[:, None, None, None]
    if how.brightness:
        shift = _draw(n, -how.brightness, how.brightness, generator) * _applies(n, how.p, generator)
        x = x + shift.to(x.device)[:, None, None, None]
    if how.noise:
        deviation = _draw(n, 0.0, how.noise, generator) * _applies(n, how.p, generator)
        grain = torch.randn(x.shape, generator=generator).to(x.device)
        x = x + deviation.to(x.device)[:, None, None, None] * grain
    return Batch(x.clamp(0, 1).contiguous(memory_format=torch.channels_last), mask, weights)


def _dihedral(x: Tensor, mask: Tensor, weights: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    elements = torch.tensor(range(8) if x.shape[-1] == x.shape[-2] else RECTANGLE)
    chosen = elements[torch.randint(len(elements), (len(x),), generator=generator)]
    return dihedral_each(x, chosen), dihedral_each(mask, chosen), dihedral_each(weights, chosen)


def _affine(
    x: Tensor, mask: Tensor, weights: Tensor, how: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation, scale, shear and shift in one resampling, mirrored at the borders."""
    n, height, width = len(x), x.shape[-2], x.shape[-1]
    angle = _draw(n, -math.radians(how.rotation), math.radians(how.rotation), generator) * _applies(n, how.p, generator)
    log_s = math.log(how.scale)
    scale = (_draw(n, -log_s, log_s, generator) * _applies(n, how.p, generator)).exp()
    shear = _draw(n, -how.shear, how.shear, generator) * _applies(n, how.p, generator)
    shift = [_draw(n, -2 * how.shift, 2 * how.shift, generator) * _applies(n, how.p, generator) for _ in range(2)]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    aspect = width / height  # affine_grid's coordinates run from -1 to 1 on both axes
    theta = torch.stack(
        [
            torch.stack([cos, (cos * shear - sin) / aspect, shift[0]], 1),
            torch.stack([sin * aspect, sin * shear + cos, shift[1]], 1),
        ],
        1,
    ).to(x.device)
    grid = F.affine_grid(theta, [n, 1, height, width], align_corners=False)
    image = F.grid_sample(x, grid, "bilinear", "reflection", align_corners=False)
    labels = torch.stack([mask.to(x.dtype), weights], 1)
    labels = F.grid_sample(labels, grid, "nearest", "reflection", align_corners=False)
    return image, labels[:, 0].to(mask.dtype), labels[:, 1]


def gaussian_blur(
    x: Float[Tensor, "batch channels height width"], sigma: Float[Tensor, "batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Each image with its own standard deviation in pixels (0 leaves it as it is), mirrored at the borders."""
    n, channels = x.shape[:2]
    radius = min(max(1, math.ceil(3 * float(sigma.max()))), min(x.shape[-2:]) - 1)
    offsets = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma.clamp_min(1e-3)[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(x.reshape(1, n * channels, *x.shape[-2:]), (radius,) * 4, mode="reflect")
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=n * channels)
    return F.conv2d(flat, kernel[:, None, None, :], groups=n * channels).reshape(x.shape)


def _draw(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _applies(n: int, p: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) < p).float()
