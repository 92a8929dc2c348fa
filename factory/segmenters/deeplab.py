"""DeepLabv3+ on ResNet or MobileNetV2 (Chen et al., ECCV 2018, arXiv 1802.02611)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.backbones import ImageNetInput, ResNet, initialise
from labelfactory.factory.segmenters.mobilenet import MobileNetV2
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.array_types import Float

# Atrous rates of the pyramid for each output stride (arXiv 1706.05587, section 3.3: doubled at stride 8).
ASPP_RATES = {16: (6, 12, 18), 8: (12, 24, 36)}

# By name: how it is made for an output stride, and the channels of its low-level and last features.
ENCODERS: dict[str, tuple[Callable[[int], ResNet | MobileNetV2], int, int]] = {
    "resnet50": (partial(ResNet, 50), 256, 2048),
    "resnet101": (partial(ResNet, 101), 256, 2048),
    "mobilenetv2": (MobileNetV2, 24, 320),
}


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int = 1, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 and three dilated 3x3 convolutions, and the mean; 256 channels each."""

    def __init__(self, in_channels: int, rates: tuple[int, int, int], channels: int = 256) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv_bn_relu(in_channels, channels)] + [conv_bn_relu(in_channels, channels, 3, rate) for rate in rates]
        )
        self.image_pooling = conv_bn_relu(in_channels, channels)
        self.project = conv_bn_relu(5 * channels, channels)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out height width"]:
        """All five branches, concatenated and projected."""
        image = self.image_pooling(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        return self.project(torch.cat([*(branch(x) for branch in self.branches), image], 1))


class DeepLabV3Plus(Segmenter):
    """Atrous encoder (a name in ``ENCODERS``), ASPP, and a decoder that adds low-level features at stride 4 (figure 2).

    ``output_stride`` 16 trains faster, 8 is denser (4 times the arithmetic of the last stages). Training needs batches
    of two or more, as the pyramid's image branch normalises one value per image.
    """

    backbone_prefixes = ("backbone",)

    def __init__(
        self,
        num_classes: int,
        encoder: str = "resnet50",
        output_stride: Annotated[int, Parameter("Pixels between the encoder's answers: 16 or 8.")] = 16,
        dropout: Annotated[float, Parameter("Dropout after the pyramid.", at_least=0, at_most=0.99)] = 0.1,
    ) -> None:
        super().__init__(3, num_classes)
        if output_stride not in ASPP_RATES:
            raise InputError(f"DeepLabv3+ has no pyramid for an output stride of {output_stride}: choose 16 or 8")
        self.normalise = ImageNetInput()
        build, low, high = ENCODERS[encoder]
        self.backbone = build(output_stride)
        self.aspp = ASPP(high, ASPP_RATES[output_stride])
        self.dropout = nn.Dropout(dropout)
        self.low_level = conv_bn_relu(low, 48)  # table 1 of the paper: 48 channels serve best
        self.decoder = nn.Sequential(conv_bn_relu(256 + 48, 256, 3), conv_bn_relu(256, 256, 3))  # table 2
        self.score = nn.Conv2d(256, num_classes, 1)
        initialise(self)
        nn.init.normal_(self.score.weight, std=0.01)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        """Logits of images in 0..1."""
        if self.training and len(x) < 2:
            raise InputError("DeepLabv3+ trains on batches of two or more images, got one")
        low, high = self.backbone(self.normalise(x))
        high = self.dropout(self.aspp(high))
        high = F.interpolate(high, low.shape[-2:], mode="bilinear", align_corners=False)
        h = self.decoder(torch.cat([self.low_level(low), high], 1))
        return F.interpolate(self.score(h), x.shape[-2:], mode="bilinear", align_corners=False)

    def stages(self) -> list[list[nn.Module]]:
        """Those of the encoder, the pyramid and the decoder left aside."""
        return self.backbone.stages()

    def backbone_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's weights under our names, without the classifier and what else the backbone leaves out."""
        unused = ("fc.", "classifier.", "features.18.")
        return {f"backbone.{k}": v for k, v in state.items() if not k.startswith(unused)}
