"""StyleGAN2-ADA's residual discriminator with the official parameter names (arXiv 1912.04958, 2006.06676)."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from labelfactory.factory.stylegan2_ada.mapping import FullyConnected, Mapping, block_resolutions, channels_at
from labelfactory.factory.stylegan2_ada.ops import LRELU_GAIN, SQRT_HALF, binomial_filter, convolve, leaky_relu
from labelfactory.interpreters.array_types import Float


class Conv2dLayer(nn.Module):
    """The discriminator's convolution: equalised learning rate, optional halving, bias, activation."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        down: int = 1,
        bias: bool = True,
        lrelu: bool = True,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.down, self.lrelu, self.conv_clamp = down, lrelu, conv_clamp
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        gain *= LRELU_GAIN if self.lrelu else 1
        weight = self.weight * (gain / math.sqrt(self.weight[0].numel()))
        bias = None if self.bias is None else self.bias * gain
        x = convolve(x, weight, self.resample_filter, down=self.down, bias=bias)
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain / LRELU_GAIN
        return leaky_relu(x, clamp) if self.lrelu else x


class DiscriminatorBlock(nn.Module):
    resample_filter: Tensor

    def __init__(
        self, img_channels: int, in_channels: int, out_channels: int, first: bool, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())
        self.fromrgb = Conv2dLayer(img_channels, in_channels, 1, conv_clamp=conv_clamp) if first else None
        self.conv0 = Conv2dLayer(in_channels, in_channels, 3, conv_clamp=conv_clamp)
        self.conv1 = Conv2dLayer(in_channels, out_channels, 3, down=2, conv_clamp=conv_clamp)
        self.skip = Conv2dLayer(in_channels, out_channels, 1, down=2, bias=False, lrelu=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return self.skip(x, gain=SQRT_HALF) + self.conv1(self.conv0(x), gain=SQRT_HALF)


def minibatch_std(
    x: Float[Tensor, "batch channels height width"], group_size: int | None
) -> Float[Tensor, "batch plus_one height width"]:
    """Appends one channel with the standard deviation inside groups of the batch (arXiv 1710.10196, section 3).

    ``group_size`` None takes the whole batch as one group.
    """
    n, _, h, w = x.shape
    group = n if group_size is None else min(group_size, n)
    if n % group:
        raise ValueError(f"batch of {n}: expected a multiple of the minibatch-std group size {group}")
    y = x.reshape(group, n // group, -1)
    y = y - y.mean(dim=0)
    y = (y.square().mean(dim=0) + 1e-8).sqrt().mean(dim=1)
    return torch.cat([x, y.repeat(group)[:, None, None, None].expand(n, 1, h, w)], dim=1)


class DiscriminatorEpilogue(nn.Module):
    def __init__(self, channels: int, cmap_dim: int, mbstd_group_size: int | None, conv_clamp: float | None) -> None:
        super().__init__()
        self.mbstd_group_size = mbstd_group_size
        self.conv = Conv2dLayer(channels + 1, channels, 3, conv_clamp=conv_clamp)
        self.fc = FullyConnected(channels * 16, channels, lrelu=True)
        self.out = FullyConnected(channels, cmap_dim or 1)

    def forward(self, x: Tensor, cmap: Tensor | None) -> Tensor:
        x = self.conv(minibatch_std(x.float().contiguous(), self.mbstd_group_size))
        x = self.out(self.fc(x.flatten(1)))
        return x if cmap is None else (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(cmap.shape[1])


class Discriminator(nn.Module):
    """Residual discriminator; ``half_resolutions`` of the highest blocks run in ``half_dtype`` as in ``Synthesis``."""

    def __init__(
        self,
        c_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
        mbstd_group_size: int | None = 4,
        cmap_dim: int | None = None,
        mapping_layers: int = 8,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.img_resolution, self.img_channels, self.c_dim = img_resolution, img_channels, c_dim
        self.resolutions = block_resolutions(img_resolution)[:0:-1]
        self.half_resolutions, self.half_dtype = 0, torch.bfloat16
        last = channels_at(4, channel_base, channel_max)
        for resolution in self.resolutions:
            channels = channels_at(resolution, channel_base, channel_max)
            below = channels_at(resolution // 2, channel_base, channel_max)
            first = resolution == img_resolution
            setattr(self, f"b{resolution}", DiscriminatorBlock(img_channels, channels, below, first, conv_clamp))
        cmap = 0 if c_dim == 0 else last if cmap_dim is None else cmap_dim
        if c_dim:
            self.mapping = Mapping(0, c_dim, cmap, num_ws=None, layers=mapping_layers)
        self.b4 = DiscriminatorEpilogue(last, cmap, mbstd_group_size, conv_clamp)

    def forward(
        self, image: Float[Tensor, "batch img_channels height width"], c: Float[Tensor, "batch c_dim"] | None = None
    ) -> Float[Tensor, "batch 1"]:
        """Logits: positive means real."""
        return self.b4(self.block_outputs(image)[-1], self.mapping(None, c) if self.c_dim else None)

    def block_outputs(self, image: Float[Tensor, "batch img_channels height width"]) -> list[Tensor]:
        """Outputs of the residual blocks, finest first, each in the precision that its resolution runs in."""
        outputs = [image]
        for i, resolution in enumerate(self.resolutions):
            half = i < self.half_resolutions
            layout = torch.channels_last if half else torch.contiguous_format
            x = outputs[-1].to(dtype=self.half_dtype if half else torch.float32, memory_format=layout)
            outputs.append(getattr(self, f"b{resolution}")(x))
        return outputs[1:] or outputs

    def first_features(self, image: Float[Tensor, "batch img_channels height width"]) -> Tensor:
        """Output of the first 3x3 convolution, at the image's size."""
        block = getattr(self, f"b{self.resolutions[0]}")
        x: Tensor = block.conv0(block.fromrgb(image.float()))
        return x
