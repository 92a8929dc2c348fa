"""Gaussian blur, of another width for each image of a batch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.interpreters.array_types import Float


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
