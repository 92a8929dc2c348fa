"""A toy generator for interpreter tests: feature maps that know about shapes, at several resolutions."""

import torch
from hypothesis import settings
from torch import Tensor
from torch.nn.functional import interpolate

calm = settings(deadline=None, max_examples=40)  # a busy machine is not a failure
CHANNELS = (24, 24, 16, 16, 8)
SIZES = (4, 8, 8, 16, 32)


def scene(
    seed: int, sizes: tuple[int, ...] = SIZES, channels: tuple[int, ...] = CHANNELS
) -> tuple[list[Tensor], Tensor]:
    """Feature maps [1, C, H, W] and the mask [H, W] of one image with a disc (1) and a ring around it (2)."""
    g = torch.Generator().manual_seed(seed)
    size = max(sizes)
    centre, radius = 0.3 + 0.4 * torch.rand(2, generator=g), 0.12 + 0.15 * torch.rand((), generator=g)
    axis = (torch.arange(size) + 0.5) / size
    distance = torch.hypot(axis[:, None] - centre[0], axis[None, :] - centre[1]) / radius
    mask = torch.zeros(size, size, dtype=torch.uint8)
    mask[distance < 1.4] = 2
    mask[distance < 1] = 1
    truth = torch.stack([torch.tanh(2 * (1 - distance)), torch.tanh(2 * (1.4 - distance)), distance.clamp_max(3)])
    mixing = torch.Generator().manual_seed(7)  # the same "generator weights" for every scene
    maps = []
    for c, s in zip(channels, sizes, strict=True):
        mix = torch.randn(c, 3, generator=mixing) * 10 ** torch.empty(1).uniform_(-1, 1, generator=mixing)
        signal = interpolate(truth[None], (s, s), mode="area")[0]
        maps.append((torch.einsum("ct,thw->chw", mix, signal) + 0.3 * torch.randn(c, s, s, generator=g))[None])
    return maps, mask
