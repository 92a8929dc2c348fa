"""The subspace in which feature vectors actually vary."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from interpreters.shapes import Float


def principal_subspace(
    blocks: Callable[[], Iterable[Float[Tensor, "_ channels"]]],
    channels: int,
    dims: int,
    generator: torch.Generator,
    iterations: int = 3,
) -> tuple[Float[Tensor, "channels dims"], Float[Tensor, "dims"]]:
    """Orthonormal basis of the ``dims`` directions of largest variance, and the variances, largest first.

    Randomised subspace iteration (Halko, Martinsson, Tropp, arXiv 0909.4061, algorithm 4.4) on vectors that are centred
    already. ``blocks()`` goes through them once, so that they never have to be in memory together.
    """
    extra = min(channels, dims + 32)
    q = torch.linalg.qr(torch.randn(channels, extra, generator=generator)).Q
    count, small = 0, torch.zeros(extra, extra)
    for iteration in range(iterations):
        product, small, count = torch.zeros(channels, extra), torch.zeros(extra, extra), 0
        for x in blocks():
            y = x @ q
            small.addmm_(y.T, y)
            count += len(x)
            if iteration < iterations - 1:
                product.addmm_(x.T, y)
        if iteration < iterations - 1:
            q = torch.linalg.qr(product).Q
    variance, rotation = torch.linalg.eigh((small / count).double())
    order = torch.arange(extra - 1, extra - 1 - dims, -1)
    return (q.double() @ rotation[:, order]).float(), variance[order].clamp_min(0).float()
