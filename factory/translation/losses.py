"""Losses of translation: what a discriminator and a generator are told, and how alike features are.

``scores`` are a discriminator's, a tensor of patches for each of its scales; ``features`` its scales' stages.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.array_types import Float

Scores = Sequence[Tensor]
Features = Sequence[Sequence[Tensor]]


class Adversarial(NamedTuple):
    """What is made of a score: of a real picture and a made one for the discriminator, of a made one for its maker."""

    real: Callable[[Tensor], Tensor]
    made: Callable[[Tensor], Tensor]
    maker: Callable[[Tensor], Tensor]

    def discriminator(self, real: Scores, made: Scores) -> Float[Tensor, ""]:
        """Mean over the scales."""
        parts = [self.real(r.float()) + self.made(m.float()) for r, m in zip(real, made, strict=True)]
        return torch.stack(parts).mean()

    def generator(self, made: Scores) -> Float[Tensor, ""]:
        """Mean over the scales."""
        return torch.stack([self.maker(m.float()) for m in made]).mean()


# Geometric GAN (arXiv 1705.02894), as SPADE uses it: max(0, 1 - D(y)) + max(0, 1 + D(s)), and -D(s).
HINGE = Adversarial(lambda d: F.relu(1 - d).mean(), lambda d: F.relu(1 + d).mean(), lambda d: -d.mean())
# Least squares (arXiv 1611.04076), as CycleGAN uses it: (D(y) - 1)^2 + D(s)^2, and (D(s) - 1)^2.
LEAST_SQUARES = Adversarial(
    lambda d: (d - 1).square().mean(), lambda d: d.square().mean(), lambda d: (d - 1).square().mean()
)
# The first GAN's, as pix2pix uses it: -log D(y) - log(1 - D(s)), and -log D(s).
LOGISTIC = Adversarial(lambda d: F.softplus(-d).mean(), lambda d: F.softplus(d).mean(), lambda d: F.softplus(-d).mean())


def feature_matching(made: Features, real: Features) -> Float[Tensor, ""]:
    """Mean absolute difference of all stages' features, scores left out (pix2pixHD, arXiv 1711.11585, equation 4)."""
    parts = [
        F.l1_loss(m.float(), r.detach().float())
        for scale, other in zip(made, real, strict=True)
        for m, r in zip(scale[:-1], other[:-1], strict=True)
    ]
    return torch.stack(parts).sum() / len(made)


def scores_of(features: Features) -> list[Tensor]:
    """The scores, which are each scale's last entry."""
    return [scale[-1] for scale in features]
