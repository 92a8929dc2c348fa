"""MobileNetV2 as a feature extractor (Sandler et al., CVPR 2018, arXiv 1801.04381), named as in torchvision."""

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float

# Table 2 of the paper: expansion t, output channels c, repetitions n, stride s.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
LOW_LEVEL = 3  # block whose output is at stride 4, with 24 channels


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int, dilation: int, groups: int) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expansion by 1x1, 3x3 a channel (with the stride), 1x1 to few channels without an activation (section 3.3)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand: int, dilation: int) -> None:
        super().__init__()
        self.shortcut = stride == 1 and in_channels == out_channels
        wide = in_channels * expand
        layers: list[nn.Module] = [] if expand == 1 else [_conv(in_channels, wide, 1, 1, 1, 1)]
        layers += [_conv(wide, wide, 3, stride, dilation, wide)]
        layers += [nn.Conv2d(wide, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out h w"]:
        """x + F(x) where sizes allow it, else F(x)."""
        return x + self.conv(x) if self.shortcut else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 up to its 320 channels, at an output stride of 32, 16 or 8 by atrous convolution.

    As in section 6.3 of the paper, the last 1x1 convolution to 1,280 channels is left out for segmentation.
    """

    def __init__(self, output_stride: int = 16) -> None:
        super().__init__()
        if output_stride not in (8, 16, 32):
            raise InputError(f"an output stride of {output_stride} is not possible: choose 8, 16 or 32")
        blocks: list[nn.Module] = [_conv(3, 32, 3, 2, 1, 1)]
        channels, stride, dilation = 32, 2, 1
        for expand, width, count, step in STAGES:
            for block in range(count):
                own = step if block == 0 else 1
                if own == 2 and stride == output_stride:
                    dilation, own = 2 * dilation, 1
                stride *= own
                blocks.append(InvertedResidual(channels, width, own, expand, dilation))
                channels = width
        self.features = nn.Sequential(*blocks)

    def stages(self) -> list[list[nn.Module]]:
        """The first convolution, and the rows of table 2 of the paper."""
        blocks, found = iter(self.features), list[list[nn.Module]]()
        for count in (1, *(row[2] for row in STAGES)):
            found.append([next(blocks) for _ in range(count)])
        return found

    def forward(
        self, x: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch 24 h4 w4"], Float[Tensor, "batch 320 h w"]]:
        """Low-level features at stride 4 and the last features at the output stride."""
        low = self.features[: LOW_LEVEL + 1](x)
        high: Tensor = self.features[LOW_LEVEL + 1 :](low)
        return torch.as_tensor(low), high
