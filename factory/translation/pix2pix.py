"""Pix2Pix (Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", 1611.07004).

The paper normalises over batches of one picture, in training and afterwards; that is instance normalisation with a
learned scale and shift, and written as such here.
"""

import math
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.array_types import Float
from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.translation.layers import InstanceNorm
from labelfactory.factory.translation.losses import LOGISTIC, scores_of
from labelfactory.factory.translation.method import Batch, Made, Method, Stats
from labelfactory.factory.translation.perceptual import Eyes, feature_reconstruction


class UNetGenerator(nn.Module):
    """C64-C128-C256-C512 five times down, and up again with skips (section 6.1.1 of the appendix).

    ``depth`` 8 and ``width`` 64 are the paper's, for 256 x 256. Of other sizes the picture is mirrored to the next
    multiple of 2^depth and cut back. Dropout in the first three layers upwards is the paper's noise, in training.
    """

    def __init__(self, condition: int, out: int, width: int = 64, depth: int = 8, dropout: float = 0.5) -> None:
        super().__init__()
        if depth < 2:
            raise InputError(f"a depth of {depth}: expected 2 or more")
        widths = [min(width * 2**i, width * 8) for i in range(depth)]
        self.depth = depth
        last = depth - 1
        steps = pairwise([condition, *widths])
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=i in (0, last)) for i, (a, b) in enumerate(steps))
        self.down_norm = nn.ModuleList(InstanceNorm(b, affine=True) for b in widths[1:-1])
        upwards = [*widths[-2::-1], out]
        turns = zip([widths[-1], *(2 * b for b in widths[-2::-1])], upwards, strict=True)
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=i == last) for i, (a, b) in enumerate(turns))
        self.up_norm = nn.ModuleList(InstanceNorm(b, affine=True) for b in upwards[:-1])
        self.dropped = [1 <= i <= 3 and i < depth - 4 for i in range(depth)]
        self.dropout = dropout

    def forward(self, m: Float[Tensor, "batch condition height width"]) -> Float[Tensor, "batch out height width"]:
        """What the last convolution gives, before any squashing."""
        height, width = m.shape[-2:]
        x = mirrored_to_multiple(m, 2**self.depth)
        skips: list[Tensor] = []
        for i, convolution in enumerate(self.down):
            x = convolution(F.leaky_relu(x, 0.2) if i else x)
            if 0 < i < self.depth - 1:
                x = self.down_norm[i - 1](x)
            skips.append(x)
        x = F.relu(skips.pop())
        for i, convolution in enumerate(self.up):
            x = convolution(x)
            if i < self.depth - 1:
                x = self.up_norm[i](x)
                x = F.dropout(x, self.dropout, self.training and self.dropped[i])
                x = F.relu(torch.cat([x, skips.pop()], 1))
        return x[..., :height, :width]


def mirrored_to_multiple(x: Float[Tensor, "batch channels height width"], multiple: int) -> Tensor:
    """The picture with its right and lower border mirrored until both sides are multiples; as it is where they are."""
    for axis in (-2, -1):
        wanted = math.ceil(x.shape[axis] / multiple) * multiple
        while x.shape[axis] < wanted:
            more = x.narrow(axis, max(0, 2 * x.shape[axis] - wanted), min(x.shape[axis], wanted - x.shape[axis]))
            x = torch.cat([x, more.flip(axis)], axis)
    return x


class PatchGAN(nn.Module):
    """Scores of overlapping patches: C64-C128-C256-C512 sees 70 x 70 pixels (section 6.1.2 of the appendix).

    affine: normalisation with a learned scale and shift (pix2pix); without, as in CycleGAN.
    """

    def __init__(self, channels: int, width: int = 64, layers: int = 3, affine: bool = True) -> None:
        super().__init__()
        widths = [min(width * 2**i, width * 8) for i in range(layers + 1)]
        stages: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1)]
        norms: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths), 1):
            stages.append(nn.Conv2d(a, b, 4, 2 if i < layers else 1, 1, bias=not affine))
            norms.append(InstanceNorm(b, affine=affine))
        self.stages, self.norms = nn.ModuleList(stages), nn.ModuleList(norms)
        self.score = nn.Conv2d(widths[-1], 1, 4, 1, 1)
        self.least = 3 * 2**layers

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> list[list[Tensor]]:
        """Features of every stage, and last the scores of patches, as one scale of one. InputError for a small x."""
        height, width = x.shape[-2:]
        if min(height, width) < self.least:
            told = f"pictures of {height} x {width} pixels: this discriminator needs {self.least} a side"
            raise InputError(f"{told}; give larger ones, or fewer judge_layers")
        found = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            x = F.leaky_relu(self.norms[i - 1](x) if i else x, 0.2)
            found.append(x)
        return [[*found, self.score(x)]]


def initialise(network: nn.Module) -> None:
    """Weights from N(0, 0.02), scales from N(1, 0.02), shifts 0 (section 6.2 of the appendix)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, InstanceNorm) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)


class Pix2Pix(Method):
    """-log D(x, s) + 100 |s - y| (equation 4, with the weight of section 6.2 of the appendix)."""

    rates, betas = (2e-4, 2e-4), (0.5, 0.999)

    def __init__(
        self,
        source: int,
        channels: int,
        eyes: Eyes | None = None,
        width: Annotated[int, Parameter("Channels of the generator's first layer.", at_least=1, at_most=256)] = 64,
        depth: Annotated[int, Parameter("Layers of the generator, down and up.", at_least=2, at_most=10)] = 8,
        judge_width: Annotated[int, Parameter("Channels of the discriminator's first layer.", at_least=1)] = 64,
        judge_layers: Annotated[int, Parameter("Layers that stride; 3 see 70 pixels.", at_least=1, at_most=6)] = 3,
        l1: Annotated[float, Parameter("Weight of the absolute difference of pixels.", at_least=0)] = 100.0,
        perceptual: Annotated[float, Parameter("Weight of VGG16's features, where given.", at_least=0)] = 0.0,
    ) -> None:
        super().__init__()
        self.eyes, self.weights = eyes, {"l1": l1, "perceptual": perceptual}
        self.makers = nn.ModuleDict({"generator": UNetGenerator(source, channels, width, depth)})
        self.judges = nn.ModuleDict({"discriminator": PatchGAN(source + channels, judge_width, judge_layers)})
        for network in (*self.makers.values(), *self.judges.values()):
            initialise(network)

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Stats, Made]:
        """-log D(x, s) + 100 |s - y|."""
        made = torch.tanh(self.makers["generator"](batch.source))
        of_made = self.judges["discriminator"](torch.cat([batch.source, made], 1))
        parts = {"g": LOGISTIC.generator(scores_of(of_made)), "l1": F.l1_loss(made.float(), batch.picture)}
        if self.eyes is not None and self.weights["perceptual"]:
            parts["perceptual"] = feature_reconstruction(self.eyes, made, batch.picture)
        loss = torch.stack([self.weights.get(name, 1.0) * value for name, value in parts.items()]).sum()
        return loss, {name: value.detach() for name, value in parts.items()}, {"made": made.detach()}

    def discriminator_loss(self, batch: Batch, made: Made, rng: torch.Generator) -> Tensor:
        """Half of -log D(x, y) - log(1 - D(x, s)): the discriminator learns more slowly (section 3.3)."""
        found = [self.judges["discriminator"](torch.cat([batch.source, p], 1)) for p in (batch.picture, made["made"])]
        return LOGISTIC.discriminator(scores_of(found[0]), scores_of(found[1])) / 2

    def panels(self, makers: nn.ModuleDict, batch: Batch) -> list[Tensor]:
        """What is made, and the true picture."""
        return [torch.tanh(makers["generator"](batch.source)), batch.picture]
