"""The losses of StyleGAN2 (arXiv 1912.04958): logistic, R1, path length."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.interpreters.array_types import Float

Logits = Float[Tensor, "batch 1"]


def logistic_real(logits: Logits) -> Float[Tensor, ""]:
    """-log sigma(D(x)): the discriminator's loss on reals, and the generator's non-saturating one on fakes
    (arXiv 1406.2661, section 3)."""
    return F.softplus(-logits).mean()


def logistic_fake(logits: Logits) -> Float[Tensor, ""]:
    """-log(1 - sigma(D(G(z)))): the discriminator's loss on fakes (arXiv 1406.2661, equation 1)."""
    return F.softplus(logits).mean()


def r1_penalty(real: Float[Tensor, "batch channels height width"], logits: Logits) -> Float[Tensor, ""]:
    """E |grad_x D(x)|² on real images (arXiv 1801.04406, equation 9, without its gamma / 2)."""
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(
    images: Float[Tensor, "batch channels height width"],
    ws: Float[Tensor, "batch num_ws w_dim"],
    noise: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, " batch"]:
    """|J_w^T y| with y ~ N(0, I): how far an image moves for a step in w (StyleGAN2, equation 4).

    ``noise`` is y; it is divided by the root of the number of pixels, which keeps lengths alike at all resolutions.
    """
    y = noise / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
