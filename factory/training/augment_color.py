"""Colour and corruption of adaptive augmentation: 4x4 colour maps, frequency bands, noise, cutout."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.training.augment_geometry import reflect_pad
from labelfactory.interpreters.array_types import Float

BANDS = 4
# Power of natural images in the four bands, lowest first: the gains are normalised to keep it.
BAND_POWER = torch.tensor([10.0, 1.0, 1.0, 1.0]) / 13
_GREY = torch.tensor([1.0, 1.0, 1.0, 0.0]) / math.sqrt(3)  # luma axis, homogeneous


def eye(n: int) -> Float[Tensor, "batch 4 4"]:
    return torch.eye(4).repeat(n, 1, 1)


def brightness(amount: Float[Tensor, " batch"]) -> Float[Tensor, "batch 4 4"]:
    """Adds ``amount`` to every channel."""
    matrix = eye(len(amount))
    matrix[:, :3, 3] = amount[:, None]
    return matrix


def contrast(factor: Float[Tensor, " batch"]) -> Float[Tensor, "batch 4 4"]:
    """Multiplies every channel around mid-grey (0)."""
    matrix = eye(len(factor))
    matrix[:, :3, :3] *= factor[:, None, None]
    return matrix


def luma_flip(flip: Float[Tensor, " batch"]) -> Float[Tensor, "batch 4 4"]:
    """Mirrors luma and keeps chroma where ``flip`` is 1 (Householder reflection)."""
    return eye(len(flip)) - 2 * torch.outer(_GREY, _GREY) * flip[:, None, None]


def hue(angle: Float[Tensor, " batch"]) -> Float[Tensor, "batch 4 4"]:
    """Turns colours around the luma axis (Rodrigues' formula); angle in radians."""
    x, y, z = (_GREY[i] for i in range(3))
    zero = torch.zeros(())
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
    c, s = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    matrix = eye(len(angle))
    matrix[:, :3, :3] = c * torch.eye(3) + s * cross + (1 - c) * torch.outer(_GREY[:3], _GREY[:3])
    return matrix


def saturation(factor: Float[Tensor, " batch"]) -> Float[Tensor, "batch 4 4"]:
    """Multiplies the distance from the luma axis."""
    luma = torch.outer(_GREY, _GREY)
    matrix = eye(len(factor)) + (torch.eye(4) - luma) * (factor[:, None, None] - 1)
    matrix[:, 3] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    return matrix


def apply_color(
    x: Float[Tensor, "batch channels height width"], matrix: Float[Tensor, "batch 4 4"]
) -> Float[Tensor, "batch channels height width"]:
    """RGB images through the map, grey ones through its mean over the channels; others are returned as they are."""
    if x.shape[1] == 3:
        out = torch.einsum("nij,njhw->nihw", matrix[:, :3, :3], x)
        return out + matrix[:, :3, 3, None, None]
    if x.shape[1] == 1:
        mean = matrix[:, :3].mean(dim=1)
        return x * mean[:, :3].sum(dim=1)[:, None, None, None] + mean[:, 3][:, None, None, None]
    return x


def band_filters() -> Float[Tensor, "bands taps"]:
    """Four octave bands as one-dimensional filters whose sum is the identity, lowest band first.

    One level splits into a half-band low-pass (the autocorrelation of the Daubechies-2 wavelet's) and the rest; the
    next level does the same to the low part, with holes in the filter instead of a smaller signal.
    """
    root = math.sqrt(3)
    wavelet = torch.tensor([1 + root, 3 + root, 3 - root, 1 - root], dtype=torch.float64) / 8
    low = F.conv1d(wavelet[None, None], wavelet[None, None], padding=3)[0, 0]
    high = -low
    high[len(low) // 2] += 1
    bands = [torch.ones(1, dtype=torch.float64)]
    for _ in range(BANDS - 1):
        spread = [torch.zeros(2 * len(band) - 1, dtype=torch.float64) for band in bands]
        for wide, band in zip(spread, bands, strict=True):
            wide[::2] = band
        bands = [F.conv1d(wide[None, None], low[None, None], padding=len(low) - 1)[0, 0] for wide in spread]
        bands.append(F.pad(high, [(len(bands[0]) - len(high)) // 2] * 2))
    return torch.stack(bands).float()


def amplify_bands(
    x: Float[Tensor, "batch channels height width"], gains: Float[Tensor, "batch bands"]
) -> Float[Tensor, "batch channels height width"]:
    """Multiplies each octave band by its gain, along both axes."""
    n, channels, height, width = x.shape
    kernel = (gains.to(x) @ band_filters().to(x)).repeat_interleave(channels, dim=0)
    taps = kernel.shape[1]
    x = reflect_pad(x, taps // 2).reshape(1, n * channels, height + taps - 1, width + taps - 1)
    x = F.conv2d(x, kernel.view(-1, 1, 1, taps), groups=n * channels)
    return F.conv2d(x, kernel.view(-1, 1, taps, 1), groups=n * channels).view(n, channels, height, width)


def cut_out(
    x: Float[Tensor, "batch channels height width"], centre: Float[Tensor, "batch 2"], size: Float[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Sets a square to mid-grey (0); centre (down, right) and side in image sizes, side 0: nothing."""
    mask = torch.ones(())
    for axis, extent in ((0, x.shape[2]), (1, x.shape[3])):
        position = (torch.arange(extent, device=x.device) + 0.5) / extent
        inside = (position[None] - centre[:, axis, None].to(x)).abs() < size[:, None].to(x) / 2
        mask = inside[:, :, None] if axis == 0 else mask & inside[:, None, :]
    return x * ~mask[:, None]
