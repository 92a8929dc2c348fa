"""Adaptive discriminator augmentation (StyleGAN2-ADA, arXiv 2006.06676, section 3 and appendix B).

What the discriminator sees, real or generated, is transformed at random, each transform with probability p; p follows
how much the discriminator overfits. Random numbers are drawn for the whole batch in one place (``draw``), so that a
batch split over processes is augmented as one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.training import augment_color as color
from labelfactory.factory.training.augment_geometry import affine_warp, blit
from labelfactory.factory.training.pipes import PIPES
from labelfactory.interpreters.array_types import Float, Int

# Strengths of appendix B: standard deviations (of log2 for factors), largest shift in image widths.
SHIFT_MAX, SCALE_STD, ANISO_STD, FRACTION_STD = 0.125, 0.2, 0.2, 0.125
BRIGHTNESS_STD, CONTRAST_STD, SATURATION_STD = 0.2, 0.5, 1.0
BAND_STD, NOISE_STD, CUTOUT_SIZE = 1.0, 0.1, 0.5

GROUPS = {
    "b": ("flip", "turn", "shift"),
    "g": ("scale", "rotate", "aniso", "fraction"),
    "c": ("brightness", "contrast", "luma", "hue", "saturation"),
    "f": ("filter",),
    "n": ("noise",),
    "o": ("cutout",),
}


@dataclass(frozen=True)
class Draws:
    """Random numbers of a batch, a row a sample; ``draws[index]`` takes some samples."""

    flip: Int[Tensor, " batch"]
    turns: Int[Tensor, " batch"]
    shift: Float[Tensor, "batch 2"]  # image widths, whole pixels when applied
    warp: Float[Tensor, "batch 2 3"]
    color: Float[Tensor, "batch 4 4"]
    bands: Float[Tensor, "batch bands"]
    noise: Float[Tensor, " batch"]
    cut_centre: Float[Tensor, "batch 2"]
    cut_size: Float[Tensor, " batch"]

    def __getitem__(self, index: Tensor | slice) -> "Draws":
        return Draws(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def __len__(self) -> int:
        return len(self.flip)


class AugmentPipe:
    """Which transforms there are; ``pipe`` is a name of ``PIPES`` (the paper's best is "bgc")."""

    def __init__(self, pipe: str = "bgc") -> None:
        if pipe not in PIPES:
            raise InputError(f"augmentation {pipe!r}: expected one of {', '.join(PIPES)}")
        self.transforms = {name for group in PIPES[pipe] for name in GROUPS[group]}

    def draw(self, n: int, p: float, rng: torch.Generator) -> Draws:
        """Random numbers for n samples; each transform is on with probability p in [0, 1]."""

        def uniform(*shape: int) -> Tensor:
            return torch.rand(n, *shape, generator=rng)

        def normal(*shape: int) -> Tensor:
            return torch.randn(n, *shape, generator=rng)

        def on(name: str, probability: float = p) -> Tensor:
            chance = uniform()
            return ((chance < probability) & (name in self.transforms)).float()

        two = torch.tensor(2.0)
        # Whether is drawn before how, and everything is always drawn: one transform's use does not shift the others.
        flip = (on("flip") * (uniform() < 0.5)).long()
        turns = (on("turn") * (uniform() * 4).floor()).long()
        shift = on("shift")[:, None] * (uniform(2) * 2 - 1) * SHIFT_MAX

        scale = two ** (on("scale") * normal() * SCALE_STD)
        # Two rotations, around the stretching: together they are off with probability 1 - p.
        half = 1 - math.sqrt(1 - p)
        before, after = ((on("rotate", half) * (uniform() * 2 - 1) * math.pi) for _ in range(2))
        aniso = two ** (on("aniso") * normal() * ANISO_STD)
        fraction = on("fraction")[:, None] * normal(2) * FRACTION_STD
        warp = _inverse_warp(scale, before, aniso, after, fraction)

        matrix = color.eye(n)
        for step in (
            color.brightness(on("brightness") * normal() * BRIGHTNESS_STD),
            color.contrast(two ** (on("contrast") * normal() * CONTRAST_STD)),
            color.luma_flip(on("luma") * (uniform() < 0.5)),
            color.hue(on("hue") * (uniform() * 2 - 1) * math.pi),
            color.saturation(two ** (on("saturation") * normal() * SATURATION_STD)),
        ):
            matrix = step @ matrix

        bands = torch.ones(n, color.BANDS)
        for band in range(color.BANDS):
            factor = torch.ones(n, color.BANDS)
            strength = on("filter") * normal() * BAND_STD
            factor[:, band] = two**strength
            power = (color.BAND_POWER * factor.square()).sum(dim=1, keepdim=True)
            bands = torch.where(strength[:, None] == 0, bands, bands * factor * power.rsqrt())
        return Draws(
            flip=flip,
            turns=turns,
            shift=shift,
            warp=warp,
            color=matrix,
            bands=bands,
            noise=on("noise") * normal().abs() * NOISE_STD,
            cut_size=on("cutout") * CUTOUT_SIZE,
            cut_centre=uniform(2),
        )


def augment(
    x: Float[Tensor, "batch channels size size"], draws: Draws, rng: torch.Generator | None = None
) -> Float[Tensor, "batch channels size size"]:
    """Transforms square images in [-1, 1]; samples that a group of transforms leaves alone do not pass through it.

    Colours may leave [-1, 1] and are not clipped: clipping could not be told from the image's own white.
    ``rng`` makes the noise of the noise transform reproducible.
    """
    size = x.shape[2]
    shift = (draws.shift * size).round().long()
    chosen = (draws.flip != 0) | (draws.turns != 0) | (shift != 0).any(dim=1)
    x = _on_chosen(
        x, chosen, lambda part, i: blit(part, *(v[i].to(x.device) for v in (draws.flip, draws.turns, shift)))
    )
    chosen = (draws.warp != torch.eye(3)[:2]).flatten(1).any(dim=1)
    x = _on_chosen(x, chosen, lambda part, i: affine_warp(part, draws.warp[i].to(x.device)))
    chosen = (draws.color != torch.eye(4)).flatten(1).any(dim=1)
    x = _on_chosen(x, chosen, lambda part, i: color.apply_color(part, draws.color[i].to(x.device)))
    chosen = (draws.bands != 1).any(dim=1)
    x = _on_chosen(x, chosen, lambda part, i: color.amplify_bands(part, draws.bands[i].to(x.device)))
    if (draws.noise != 0).any():
        noise = torch.randn(x.shape, generator=rng).to(x)
        x = x + noise * draws.noise.to(x)[:, None, None, None]
    chosen = draws.cut_size != 0
    return _on_chosen(
        x, chosen, lambda part, i: color.cut_out(part, draws.cut_centre[i].to(x.device), draws.cut_size[i].to(x.device))
    )


def _on_chosen(x: Tensor, chosen: Tensor, transform: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Transforms the chosen samples of a batch, the others untouched."""
    if not chosen.any():
        return x
    if chosen.all():
        return transform(x, chosen)
    index = chosen.nonzero()[:, 0].to(x.device)
    return x.index_copy(0, index, transform(x[index], chosen))


def _inverse_warp(scale: Tensor, before: Tensor, aniso: Tensor, after: Tensor, fraction: Tensor) -> Tensor:
    """Where an output position lies in the input after scaling, turning, stretching, turning, moving."""

    def turned(angle: Tensor) -> Tensor:
        c, s = angle.cos(), angle.sin()
        return torch.stack([c, -s, s, c], dim=1).view(-1, 2, 2)

    stretch = torch.diag_embed(torch.stack([scale * aniso, scale / aniso], dim=1))
    inverse = turned(-before) @ torch.linalg.inv(stretch) @ turned(-after)
    return torch.cat([inverse, -inverse @ fraction[:, :, None]], dim=2)


@dataclass
class AdaController:
    """Keeps the overfitting measure r_t = E[sign(D(real))] at its target by moving p (section 3.1, equation 1).

    p moves one step towards more or less augmentation at each observation, so fast that it crosses [0, 1] in ``kimg``
    thousand images; a fixed p stays.
    """

    p: float = 0.0
    target: float = 0.6
    kimg: float = 500.0
    fixed: bool = False
    r_t: float = 0.0

    def observe(self, r_t: float, images: int) -> None:
        """Mean sign of D(real) over the last ``images`` images (four minibatches in the paper)."""
        self.r_t = r_t
        if not self.fixed:
            step = images / (self.kimg * 1000)
            self.p = min(max(self.p + math.copysign(step, r_t - self.target), 0.0), 1.0)
