"""Bilinear look-up with half-pixel centres: what upsampling a whole map would give, at chosen pixels only."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float, Int
from labelfactory.interpreters.crop import Crop


def source_taps(positions: Int[Tensor, "n"], source: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """The two source indices of each target position along one axis, and the weight of the second.

    Pixel centres lie at i + 1/2, as in ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``:
    x = (i + 1/2) source / target - 1/2, held inside the map.
    """
    x = ((positions.double() + 0.5) * (source / target) - 0.5).clamp(0, source - 1)
    low = x.floor().long()
    return low, (low + 1).clamp_max(source - 1), (x - low).float()


def look_up(
    feature_map: Float[Tensor, "channels height width"], y: Int[Tensor, "n"], x: Int[Tensor, "n"], size: tuple[int, int]
) -> Float[Tensor, "n channels"]:
    """Feature vectors of pixels (y, x) of a map upsampled to ``size`` = (height, width), without upsampling the map."""
    _, height, width = feature_map.shape
    top, bottom, v = source_taps(y, height, size[0])
    left, right, h = source_taps(x, width, size[1])
    f, v, h = feature_map.permute(1, 2, 0), v[:, None].to(feature_map.dtype), h[:, None].to(feature_map.dtype)
    upper = torch.lerp(f[top, left], f[top, right], h)
    return upper.lerp_(torch.lerp(f[bottom, left], f[bottom, right], h), v)


def hypercolumns(
    feature_maps: Sequence[Float[Tensor, "_ _ _"]],
    y: Int[Tensor, "n"],
    x: Int[Tensor, "n"],
    size: tuple[int, int],
) -> Float[Tensor, "n all_channels"]:
    """All maps' feature vectors of pixels (y, x), concatenated in the maps' order."""
    return torch.cat([look_up(f, y, x, size) for f in feature_maps], 1)


@lru_cache(maxsize=4096)
def interpolation_matrix(
    start: int, stop: int, source: int, target: int, dtype: torch.dtype, device: torch.device
) -> tuple[int, Tensor]:
    """Upsampling along one axis as a product: targets start to stop are ``matrix @ source[first : first + n]``.

    Returns first and the matrix [stop - start, n]. Cached, because every band of every image asks for the same few.
    """
    low, high, weight = source_taps(torch.arange(start, stop), source, target)
    first = int(low[0])
    matrix = torch.zeros(stop - start, int(high[-1]) - first + 1)
    matrix.scatter_add_(1, (low - first)[:, None], (1 - weight)[:, None])
    matrix.scatter_add_(1, (high - first)[:, None], weight[:, None])
    return first, matrix.to(device, dtype)


def pooled(
    feature_map: Float[Tensor, "batch channels height width"], size: tuple[int, int], crop: Crop | None
) -> Float[Tensor, "batch channels"]:
    """Mean of each channel, where there is a crop over the crop's pixels of the map upsampled to ``size``."""
    f = feature_map.float()
    if crop is None:
        return f.mean((2, 3))
    for axis, (start, stop) in ((2, (crop.top, crop.bottom)), (3, (crop.left, crop.right))):
        source = f.shape[axis]
        first, matrix = interpolation_matrix(start, stop, source, size[axis - 2], f.dtype, f.device)
        weights = torch.zeros(source, device=f.device)
        weights[first : first + matrix.shape[1]] = matrix.mean(0)
        shape = [-1 if k == axis else 1 for k in range(4)]
        f = (f * weights.view(shape)).sum(axis, keepdim=True)
    return f[:, :, 0, 0]
