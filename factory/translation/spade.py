"""SPADE (Park, Liu, Wang, Zhu, "Semantic Image Synthesis with Spatially-Adaptive Normalization", arXiv 1903.07291).

Equations and figures are the paper's; where appendix A leaves a choice open, it is named beside the line.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from labelfactory.array_types import Float
from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.translation.layers import InstanceNorm
from labelfactory.factory.translation.losses import HINGE, feature_matching, scores_of
from labelfactory.factory.translation.method import Batch, Made, Method, Stats
from labelfactory.factory.translation.perceptual import Eyes, feature_reconstruction

CHANNELS = (16, 16, 16, 8, 4, 2, 1, 0.5)  # of each block of the generator, in units of its width (figure 11)


class SPADE(nn.Module):
    """gamma(m) * (h - mu) / sigma + beta(m) (equation 1), with ``1 + gamma`` so that gamma begins at nothing.

    mu and sigma are batch normalisation's; gamma and beta come from the condition by two convolutions (figure 2).
    """

    def __init__(self, channels: int, condition: int, hidden: int = 128) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.shared = nn.Conv2d(condition, hidden, 3, padding=1)
        self.gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(
        self, x: Float[Tensor, "batch channels h w"], m: Float[Tensor, "batch condition h w"]
    ) -> Float[Tensor, "batch channels h w"]:
        """Features modulated by the condition of the same size."""
        activation = F.relu(self.shared(m))
        return self.norm(x) * (1 + self.gamma(activation)) + self.beta(activation)


class SPADEResBlk(nn.Module):
    """Two modulated convolutions around a shortcut, which is learned where the channels change (figure 4)."""

    def __init__(self, inside: int, outside: int, condition: int, hidden: int = 128) -> None:
        super().__init__()
        middle = min(inside, outside)
        self.norm_0 = SPADE(inside, condition, hidden)
        self.conv_0 = spectral_norm(nn.Conv2d(inside, middle, 3, padding=1))
        self.norm_1 = SPADE(middle, condition, hidden)
        self.conv_1 = spectral_norm(nn.Conv2d(middle, outside, 3, padding=1))
        self.learned = inside != outside
        if self.learned:
            self.norm_s = SPADE(inside, condition, hidden)
            self.conv_s = spectral_norm(nn.Conv2d(inside, outside, 1, bias=False))

    def forward(
        self, x: Float[Tensor, "batch inside h w"], m: Float[Tensor, "batch condition height width"]
    ) -> Float[Tensor, "batch outside h w"]:
        """The block's features; ``m`` has any size and is sampled to theirs by nearest neighbour."""
        if m.shape[-2:] != x.shape[-2:]:
            m = F.interpolate(m, x.shape[-2:], mode="nearest")
        shortcut = self.conv_s(self.norm_s(x, m)) if self.learned else x
        y = self.conv_0(F.leaky_relu(self.norm_0(x, m), 0.2))
        return shortcut + self.conv_1(F.leaky_relu(self.norm_1(y, m), 0.2))


class SPADEGenerator(nn.Module):
    """Blocks at rising resolutions, each seeing the condition anew (figure 11); no encoder, so no noise.

    The paper's has a width of 64, 128 hidden channels and 5, 6 or 7 upsamplings ("normal", "more", "most" in its
    program: Cityscapes has 6). With fewer, the first blocks are left out. Any size works: each resolution is half of
    the next, rounded up, so that sizes that divide evenly are as in the paper.
    """

    def __init__(self, condition: int, out: int, width: int = 64, hidden: int = 128, upsamplings: int = 5) -> None:
        super().__init__()
        if not 1 <= upsamplings <= 7:
            raise InputError(f"{upsamplings} upsamplings: expected 1 to 7")
        self.upsamplings = upsamplings
        chosen = CHANNELS[max(0, 5 - upsamplings) : max(7, upsamplings + 1)]
        widths = [max(1, round(width * share)) for share in chosen]
        self.first = nn.Conv2d(condition, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(SPADEResBlk(a, b, condition, hidden) for a, b in pairwise([widths[0], *widths]))
        self.last = nn.Conv2d(widths[-1], out, 3, padding=1)

    def forward(self, m: Float[Tensor, "batch condition height width"]) -> Float[Tensor, "batch out height width"]:
        """What the last convolution gives, before any squashing."""
        sizes = [tuple(m.shape[-2:])]
        for _ in range(self.upsamplings):
            sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
        m = m.contiguous(memory_format=torch.channels_last)
        x = self.first(F.interpolate(m, sizes.pop(), mode="nearest"))
        stays = 2 if self.upsamplings <= 5 else 0  # two blocks at one resolution in the "normal" form
        for number, block in enumerate(self.blocks):
            if number and number != stays:
                x = F.interpolate(x, sizes.pop(), mode="nearest")
            x = block(x, m)
        return self.last(F.leaky_relu(x, 0.2))


class PatchDiscriminator(nn.Module):
    """One scale of the discriminator: 4x4 convolutions, instance and spectral normalisation (figure 12)."""

    def __init__(self, channels: int, width: int = 64, layers: int = 4) -> None:
        super().__init__()
        widths = [min(width * 2**i, 512) for i in range(layers)]
        stages: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, stride=2, padding=2)]
        for i, (a, b) in enumerate(pairwise(widths), 1):
            stride = 1 if i == layers - 1 else 2
            stages.append(spectral_norm(nn.Conv2d(a, b, 4, stride, padding=2, bias=False)))
        self.stages, self.norms = nn.ModuleList(stages), nn.ModuleList(InstanceNorm(b) for b in widths[1:])
        self.score = nn.Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """Features of every stage, and last the scores of patches."""
        found = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            x = F.leaky_relu(self.norms[i - 1](x) if i else x, 0.2)
            found.append(x)
        return [*found, self.score(x)]


class MultiScaleDiscriminator(nn.Module):
    """The same network on the picture and on its halves (pix2pixHD, arXiv 1711.11585, section 3.2)."""

    def __init__(self, channels: int, width: int = 64, layers: int = 4, scales: int = 2) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(channels, width, layers) for _ in range(scales))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> list[list[Tensor]]:
        """Features and scores of each scale, the full one first."""
        found = []
        for number, network in enumerate(self.scales):
            if number:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            found.append(network(x))
        return found


def initialise(network: nn.Module, gain: float = 0.02) -> None:
    """Glorot's initialisation of every convolution (appendix A)."""
    for name, value in network.named_parameters():
        if value.ndim > 1:
            nn.init.xavier_normal_(value, gain)
        elif name.endswith("bias"):
            nn.init.zeros_(value)


def judged(discriminator: nn.Module, condition: Tensor, pictures: Sequence[Tensor]) -> list[list[list[Tensor]]]:
    """What the discriminator says of several pictures of one condition: for each, its scales' features and scores.

    They are judged as one batch, so that what is normalised over a batch treats them alike.
    """
    joined = torch.cat([torch.cat([condition, picture], 1) for picture in pictures])
    found = discriminator(joined)
    return [[[feature.chunk(len(pictures))[i] for feature in scale] for scale in found] for i in range(len(pictures))]


class Spade(Method):
    """Losses of section 3 and appendix A: hinge, features of the discriminator, features of VGG16, 10 times each."""

    rates, betas, batch = (1e-4, 4e-4), (0.0, 0.9), 32

    def __init__(
        self,
        source: int,
        channels: int,
        eyes: Eyes | None = None,
        width: Annotated[int, Parameter("Channels of the generator at full size.", at_least=1, at_most=256)] = 64,
        hidden: Annotated[int, Parameter("Channels between condition and modulation.", at_least=1, at_most=512)] = 128,
        upsamplings: Annotated[int, Parameter("Upsamplings of the generator.", at_least=1, at_most=7)] = 5,
        judge_width: Annotated[int, Parameter("Channels of the discriminator's first layer.", at_least=1)] = 64,
        judge_layers: Annotated[int, Parameter("Layers of the discriminator.", at_least=2, at_most=6)] = 4,
        scales: Annotated[int, Parameter("Scales that are judged.", at_least=1, at_most=4)] = 2,
        matching: Annotated[float, Parameter("Weight of the discriminator's features.", at_least=0)] = 10.0,
        perceptual: Annotated[float, Parameter("Weight of VGG16's features.", at_least=0)] = 10.0,
        l1: Annotated[float, Parameter("Weight of the absolute difference of pixels.", at_least=0)] = 0.0,
    ) -> None:
        super().__init__()
        self.eyes, self.weights = eyes, {"match": matching, "perceptual": perceptual, "l1": l1}
        self.makers = nn.ModuleDict({"generator": SPADEGenerator(source, channels, width, hidden, upsamplings)})
        judge = MultiScaleDiscriminator(source + channels, judge_width, judge_layers, scales)
        self.judges = nn.ModuleDict({"discriminator": judge})
        for network in (*self.makers.values(), *self.judges.values()):
            initialise(network)

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Stats, Made]:
        """-D(s) + 10 |D's features| + 10 |VGG's features|."""
        made = torch.tanh(self.makers["generator"](batch.source))
        of_made, of_real = judged(self.judges["discriminator"], batch.source, (made, batch.picture))
        parts = {"g": HINGE.generator(scores_of(of_made)), "match": feature_matching(of_made, of_real)}
        if self.eyes is not None and self.weights["perceptual"]:
            parts["perceptual"] = feature_reconstruction(self.eyes, made, batch.picture)
        if self.weights["l1"]:
            parts["l1"] = F.l1_loss(made.float(), batch.picture)
        loss = torch.stack([self.weights.get(name, 1.0) * value for name, value in parts.items()]).sum()
        return loss, {name: value.detach() for name, value in parts.items()}, {"made": made.detach()}

    def discriminator_loss(self, batch: Batch, made: Made, rng: torch.Generator) -> Tensor:
        """max(0, 1 - D(y)) + max(0, 1 + D(s))."""
        of_made, of_real = judged(self.judges["discriminator"], batch.source, (made["made"], batch.picture))
        return HINGE.discriminator(scores_of(of_real), scores_of(of_made))

    def panels(self, makers: nn.ModuleDict, batch: Batch) -> list[Tensor]:
        """What is made, and the true picture."""
        return [torch.tanh(makers["generator"](batch.source)), batch.picture]
