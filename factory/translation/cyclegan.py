"""CycleGAN (Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation", arXiv 1703.10593)."""

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.array_types import Float
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.translation.layers import InstanceNorm
from labelfactory.factory.translation.losses import LEAST_SQUARES, scores_of
from labelfactory.factory.translation.method import Batch, Made, Method, Stats
from labelfactory.factory.translation.perceptual import Eyes
from labelfactory.factory.translation.pix2pix import PatchGAN, initialise


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with mirrored borders around a shortcut (appendix 7.2: Rk)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(2):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), InstanceNorm(channels)]
            layers += [nn.ReLU()] if number == 0 else []
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
        """x + F(x)."""
        return x + self.layers(x)


class ResNetGenerator(nn.Module):
    """c7s1-64, d128, d256, nine times R256, u128, u64, c7s1-3 (appendix 7.2, for 256 pixels and more).

    Sizes that are no multiples of 4 come out a little larger and are cut back.
    """

    def __init__(self, inside: int = 3, out: int = 3, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        w = width
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inside, w, 7), InstanceNorm(w), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(w, 2 * w, 3, 2, 1), InstanceNorm(2 * w), nn.ReLU()]
            w *= 2
        layers += [ResidualBlock(w) for _ in range(blocks)]
        for _ in range(2):
            up = nn.ConvTranspose2d(w, w // 2, 3, 2, 1, output_padding=1)
            layers += [up, InstanceNorm(w // 2), nn.ReLU()]
            w //= 2
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(w, out, 7))

    def forward(self, x: Float[Tensor, "batch inside height width"]) -> Float[Tensor, "batch out height width"]:
        """What the last convolution gives, before any squashing."""
        y: Tensor = self.layers(x)
        return y[..., : x.shape[-2], : x.shape[-1]]


class ImagePool:
    """The last pictures that the discriminator has not forgotten (section 4; Shrivastava et al., 1612.07828).

    Half of the pictures that it gives are older ones, in whose place the new ones are kept.
    """

    def __init__(self, size: int = 50) -> None:
        self.size = size
        self.kept: list[Tensor] = []

    def exchange(self, pictures: Float[Tensor, "batch channels h w"], rng: torch.Generator) -> Tensor:
        """As many pictures as were given, without gradients."""
        given = []
        for picture in pictures.detach():
            if len(self.kept) < self.size:
                self.kept.append(picture.clone())
                given.append(picture)
            elif torch.rand((), generator=rng) < 0.5:
                place = int(torch.randint(self.size, (), generator=rng))
                given.append(self.kept[place])
                self.kept[place] = picture.clone()
            else:
                given.append(picture)
        return torch.stack(given)


class CycleGAN(Method):
    """Least squares, 10 |G_ba(G_ab(a)) - a| and the same of b, and 5 |G_ab(b) - b| (sections 3, 4 and 5.2).

    Makers: ``there`` (a to b) and ``back``; judges: ``there`` (of b) and ``back`` (of a).
    """

    rates, betas = (2e-4, 2e-4), (0.5, 0.999)

    def __init__(
        self,
        source: int,
        channels: int,
        eyes: Eyes | None = None,
        width: Annotated[int, Parameter("Channels of the generators' first layer.", at_least=1, at_most=256)] = 64,
        blocks: Annotated[int, Parameter("Residual blocks of the generators.", at_least=1, at_most=32)] = 9,
        judge_width: Annotated[int, Parameter("Channels of the discriminators' first layer.", at_least=1)] = 64,
        judge_layers: Annotated[int, Parameter("Layers that stride; 3 see 70 pixels.", at_least=1, at_most=6)] = 3,
        cycle: Annotated[float, Parameter("Weight of there and back again.", at_least=0)] = 10.0,
        identity: Annotated[float, Parameter("Weight of pictures that are of the kind already.", at_least=0)] = 5.0,
        pool: Annotated[int, Parameter("Pictures that the discriminators remember.", at_least=1)] = 50,
    ) -> None:
        super().__init__()
        self.weights = {"cycle": cycle, "identity": identity if source == channels else 0.0}
        there, back = (ResNetGenerator(a, b, width, blocks) for a, b in ((source, channels), (channels, source)))
        self.makers = nn.ModuleDict({"there": there, "back": back})
        of_b, of_a = (PatchGAN(c, judge_width, judge_layers, affine=False) for c in (channels, source))
        self.judges = nn.ModuleDict({"there": of_b, "back": of_a})
        self.pools = {name: ImagePool(pool) for name in self.judges}
        for network in (*self.makers.values(), *self.judges.values()):
            initialise(network)

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Stats, Made]:
        """Both ways at once."""
        there, back = (lambda x, n=name: torch.tanh(self.makers[n](x)) for name in ("there", "back"))
        a, b = batch.source, batch.picture
        as_b, as_a = there(a), back(b)
        adversarial = LEAST_SQUARES.generator(scores_of(self.judges["there"](as_b)))
        adversarial = adversarial + LEAST_SQUARES.generator(scores_of(self.judges["back"](as_a)))
        parts = {"g": adversarial}
        parts["cycle"] = F.l1_loss(back(as_b).float(), a) + F.l1_loss(there(as_a).float(), b)
        if self.weights["identity"]:
            parts["identity"] = F.l1_loss(there(b).float(), b) + F.l1_loss(back(a).float(), a)
        loss = torch.stack([self.weights.get(name, 1.0) * value for name, value in parts.items()]).sum()
        made = {"there": as_b.detach(), "back": as_a.detach()}
        return loss, {name: value.detach() for name, value in parts.items()}, made

    def discriminator_loss(self, batch: Batch, made: Made, rng: torch.Generator) -> Tensor:
        """Half of (D(y) - 1)^2 + D(s)^2 of each, s from the pool."""
        parts = []
        for name, real in (("there", batch.picture), ("back", batch.source)):
            old = self.pools[name].exchange(made[name], rng)
            found = [scores_of(self.judges[name](x)) for x in (real, old)]
            parts.append(LEAST_SQUARES.discriminator(*found) / 2)
        return torch.stack(parts).sum()

    def panels(self, makers: nn.ModuleDict, batch: Batch) -> list[Tensor]:
        """a, a as b, and back again; b, b as a."""
        there, back = (lambda x, n=name: torch.tanh(makers[n](x)) for name in ("there", "back"))
        as_b = there(batch.source)
        return [batch.source, as_b, back(as_b), batch.picture, back(batch.picture)]

    def memory(self) -> dict[str, Any]:
        """The pools."""
        return {name: list(pool.kept) for name, pool in self.pools.items()}

    def recall(self, memory: dict[str, Any]) -> None:
        """The pools as they were."""
        for name, pool in self.pools.items():
            pool.kept = list(memory[name])
