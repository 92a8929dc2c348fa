"""FCN-32s, -16s and -8s on VGG16 (Long, Shelhamer, Darrell, CVPR 2015, arXiv 1411.4038)."""

import math
from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.backbones import ImageNetInput, initialise, vgg16_features
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.array_types import Float

UPSAMPLINGS = ("nearest", "bilinear", "transposed")
POOL3, POOL4 = 17, 24  # number of layers of vgg16_features() up to and with each pooling


def bilinear_kernel(factor: int) -> Float[Tensor, "size size"]:
    """The kernel of a transposed convolution that upsamples bilinearly by an even ``factor`` (size: twice that)."""
    distance = torch.arange(0.5 - factor, factor, 1.0)
    tent = 1 - distance.abs() / factor
    return tent[:, None] * tent[None, :]


class Upsample(nn.Module):
    """Score maps enlarged by a whole factor.

    ``transposed`` starts as bilinear interpolation, exactly: the map is repeated at its border before, and cut after.
    """

    def __init__(self, channels: int, factor: int, how: str, learned: bool) -> None:
        super().__init__()
        if how not in UPSAMPLINGS:
            raise InputError(f"unknown upsampling {how!r}: choose one of {', '.join(UPSAMPLINGS)}")
        self.factor, self.how = factor, how
        if how == "transposed":
            self.deconv = nn.ConvTranspose2d(channels, channels, 2 * factor, factor, padding=factor // 2, bias=False)
            with torch.no_grad():
                self.deconv.weight.zero_()
                self.deconv.weight[range(channels), range(channels)] = bilinear_kernel(factor)
            self.deconv.weight.requires_grad_(learned)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels up_h up_w"]:
        """``x`` at ``factor`` times its size."""
        if self.how != "transposed":
            align = None if self.how == "nearest" else False
            return F.interpolate(x, scale_factor=self.factor, mode=self.how, align_corners=align)
        f = self.factor
        return self.deconv(F.pad(x, (1, 1, 1, 1), mode="replicate"))[..., f:-f, f:-f]


class FCN(Segmenter):
    """VGG16 made convolutional, scored at stride 32 and, where ``stride`` is 16 or 8, fused with pool4 and pool3.

    Score layers start at zero; the last upsampling is fixed, the ones before it are learned (section 4.3 of the paper).
    Two things differ from the original code: fc6 is padded by 3 instead of the image by 100, and uneven sizes are cut
    after upsampling instead of offset by a table.
    """

    backbone_prefixes = ("features", "fc6", "fc7")

    def __init__(
        self,
        num_classes: int,
        stride: int = 8,
        upsampling: Annotated[str, Parameter("How score maps are enlarged.", choices=UPSAMPLINGS)] = "transposed",
        dropout: Annotated[float, Parameter("Dropout before the scores.", at_least=0, at_most=0.99)] = 0.5,
    ) -> None:
        super().__init__(3, num_classes)
        if stride not in (8, 16, 32):
            raise InputError(f"there is no FCN-{stride}s: choose 8, 16 or 32")
        self.stride = stride
        self.normalise = ImageNetInput()
        self.features = vgg16_features()
        self.fc6 = nn.Conv2d(512, 4096, 7, padding=3)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.dropout = nn.Dropout(dropout)
        initialise(self)
        self.score_fr = nn.Conv2d(4096, num_classes, 1)
        scores = [self.score_fr]
        if stride <= 16:
            self.score_pool4 = nn.Conv2d(512, num_classes, 1)
            self.upscore2 = Upsample(num_classes, 2, upsampling, learned=True)
            scores.append(self.score_pool4)
        if stride <= 8:
            self.score_pool3 = nn.Conv2d(256, num_classes, 1)
            self.upscore_pool4 = Upsample(num_classes, 2, upsampling, learned=True)
            scores.append(self.score_pool3)
        self.upscore = Upsample(num_classes, stride, upsampling, learned=False)
        for score in scores:
            nn.init.zeros_(score.weight)
            nn.init.zeros_(score.bias)  # type: ignore[arg-type]

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        """Logits of images in 0..1."""
        height, width = x.shape[-2:]
        x = self.normalise(x)
        pool3 = self.features[:POOL3](x)
        pool4 = self.features[POOL3:POOL4](pool3)
        pool5 = self.features[POOL4:](pool4)
        h = self.dropout(torch.relu(self.fc6(pool5)))
        h = self.dropout(torch.relu(self.fc7(h)))
        score = self.score_fr(h)
        if self.stride <= 16:
            score = _add_cut(self.upscore2(score), self.score_pool4(pool4))
        if self.stride <= 8:
            score = _add_cut(self.upscore_pool4(score), self.score_pool3(pool3))
        return self.upscore(score)[..., :height, :width]

    def stages(self) -> list[list[nn.Module]]:
        """VGG16's five groups, each with its pooling, and its two dense layers."""
        found: list[list[nn.Module]] = [[]]
        for layer in self.features:
            found[-1].append(layer)
            if isinstance(layer, nn.MaxPool2d):
                found.append([])
        return [*found[:-1], [self.fc6, self.fc7]]

    def backbone_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's VGG16 weights under our names: its first two dense layers are fc6 and fc7 (section 3.1)."""
        out = {k: v for k, v in state.items() if k.startswith("features.")}
        for ours, theirs, kernel in (("fc6", "classifier.0", (512, 7, 7)), ("fc7", "classifier.3", (4096, 1, 1))):
            weight = state.get(f"{theirs}.weight")
            if weight is not None and weight[0].numel() == math.prod(kernel):
                out[f"{ours}.weight"] = weight.reshape(-1, *kernel)
                out[f"{ours}.bias"] = state[f"{theirs}.bias"]
        return out


def _add_cut(up: Tensor, skip: Tensor) -> Tensor:
    """Pooling rounded odd sizes up, so the enlarged map may be a pixel larger than the one it came from."""
    return up[..., : skip.shape[-2], : skip.shape[-1]] + skip
