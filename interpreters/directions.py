"""The strongest directions of each feature map: what members see in place of all its channels.

A map's channels are correlated: a few principal directions carry most of its variance, and with few labels the others
teach chance (docs/interpreter.md has the measurements). A first layer of directions is also smaller, in training, in
the file, and for every pixel that is labelled.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.workers import Workers


def strongest(
    blocks: Callable[[], Iterable[Float[Tensor, "pixels channels"]]],
    feature_channels: Sequence[int],
    count: int,
    generator: torch.Generator,
    workers: Workers,
) -> list[Float[Tensor, "_ directions"] | None]:
    """A basis of ``count`` directions for each map that has more channels than that, None for the others.

    blocks: makes an iterator over the standardised feature vectors. Equal for any number of workers.

    The principal directions are turned at random among themselves. Adam steps equally far along every input, so that
    quiet directions of their own would be learnt as eagerly as loud ones; turned, all inputs are equally loud.
    """
    wide = [c > count for c in feature_channels]
    covariances = [torch.zeros(c, c) if w else None for c, w in zip(feature_channels, wide, strict=True)]
    turns = [torch.randn(count, count, generator=generator) if w else None for w in wide]
    bases: list[Tensor | None] = [None] * len(wide)

    def add(part: Tensor, total: Tensor) -> None:
        total.addmm_(part.T, part)

    def analyse(k: int, covariance: Tensor, turn: Tensor) -> None:
        variance, vectors = torch.linalg.eigh(covariance / pixels)
        loudness = variance[-count:].mean().clamp_min(1e-6).sqrt()
        bases[k] = vectors[:, -count:] @ torch.linalg.qr(turn).Q / loudness  # inputs have unit variance, on average

    pixels = 0
    for block in blocks():
        pixels += len(block)
        calls = zip(block.split(list(feature_channels), 1), covariances, strict=True)
        workers.run(add, [(part, total) for part, total in calls if total is not None])
    numbered = zip(range(len(wide)), covariances, turns, strict=True)
    workers.run(analyse, [call for call in numbered if call[1] is not None])
    return bases
