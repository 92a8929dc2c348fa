"""U-Net (Ronneberger, Fischer, Brox, MICCAI 2015, arXiv 1505.04597), padded or in its original valid form."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.array_types import Float


def double_conv(in_channels: int, out_channels: int, padding: int, norm: bool) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by a ReLU (figure 1); batch normalisation before it where wanted."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(nn.Conv2d(channels, out_channels, 3, padding=padding, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class UNet(Segmenter):
    """A contracting path, an expanding path, and a skip connection at every resolution.

    The paper has 64 channels and 4 poolings (31 M parameters), valid convolutions (572 pixels in, 388 out; sizes that
    do not divide evenly are refused), dropout at the end of the contracting path (section 3.1), and, being of 2015, no
    batch normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        width: Annotated[
            int, Parameter("Channels at full resolution, doubled at each pooling.", at_least=1, at_most=1024)
        ] = 64,
        depth: Annotated[int, Parameter("Poolings.", at_least=1, at_most=8)] = 4,
        padded: Annotated[bool, Parameter("Convolutions that keep the size, so that any size works.")] = True,
        norm: Annotated[bool, Parameter("Batch normalisation.")] = True,
        dropout: Annotated[float, Parameter("Dropout at the bottom.", at_least=0, at_most=0.99)] = 0.0,
    ) -> None:
        super().__init__(in_channels, num_classes)
        self.depth = depth
        self.padded = padded
        padding = 1 if padded else 0
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            double_conv(c_in, c_out, padding, norm)
            for c_in, c_out in zip([in_channels, *widths[:-1]], widths, strict=True)
        )
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in reversed(widths[:-1]))
        self.merge = nn.ModuleList(double_conv(2 * c, c, padding, norm) for c in reversed(widths[:-1]))
        self.score = nn.Conv2d(width, num_classes, 1)
        # Every valid convolution takes one pixel from each side at its own scale: two on the way down at each level,
        # two at the bottom, two on the way up at each level.
        self.margin = 0 if padded else 4 * (2**depth - 1) + 2 * 2**depth
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")  # section 3: He initialisation
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, x: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes out_height out_width"]:
        """Logits of images in 0..1."""
        if not self.padded:
            self._check_valid_size(x.shape[-2], x.shape[-1])
        x = 2 * x - 1
        skips = []
        for level, conv in enumerate(self.down):
            x = conv(x)
            if level < self.depth:
                skips.append(x)
                x = F.max_pool2d(x, 2, ceil_mode=self.padded)
        x = self.dropout(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            skip = skips.pop()
            x = up(x)
            if self.padded:
                x = x[..., : skip.shape[-2], : skip.shape[-1]]  # odd sizes were rounded up by the pooling
            else:
                skip = centre_crop(skip, x.shape[-2], x.shape[-1])
            x = merge(torch.cat([skip, x], 1))
        return self.score(x)

    def stages(self) -> list[list[nn.Module]]:
        """The contracting path, a stage for each resolution."""
        return [[conv] for conv in self.down]

    def fitting_size(self, at_least: int) -> int:
        """Any size with padding, else one that the poolings divide evenly."""
        return at_least if self.padded else valid_size(at_least, self.depth)

    def _check_valid_size(self, height: int, width: int) -> None:
        for size in (height, width):
            at_level = size
            for _ in range(self.depth):
                at_level -= 4
                if at_level < 2 or at_level % 2:
                    raise InputError(
                        f"a valid U-Net of depth {self.depth} cannot take an image of {height} x {width}: "
                        f"each pooling needs an even size; {valid_size(size, self.depth)} would do"
                    )
                at_level //= 2
            if at_level < 5:
                raise InputError(f"an image of {height} x {width} is too small for a valid U-Net of depth {self.depth}")


def valid_size(at_least: int, depth: int = 4) -> int:
    """Smallest input size of ``at_least`` pixels or more that a valid U-Net can take (572 for 560 and depth 4)."""
    bottom = 5
    while True:
        size = bottom
        for _ in range(depth):
            size = 2 * size + 4
        if size >= at_least:
            return size
        bottom += 1


def centre_crop(
    x: Float[Tensor, "batch channels height width"], height: int, width: int
) -> Float[Tensor, "batch channels out_height out_width"]:
    """The middle ``height`` x ``width`` of each map."""
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
