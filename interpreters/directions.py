"""Fewer inputs for training: the strongest directions of each feature map, turned at random.

A map's channels are correlated: an eighth of its principal directions carries most of its variance. Members that are
trained in those have a smaller first layer, and end as ordinary members: W (B x) = (W B) x.

Principal directions themselves would be bad inputs, because Adam steps equally far along quiet and loud ones. A random
rotation among them makes every input equally loud and loses nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from interpreters.shapes import Float
from interpreters.workers import Workers

WIDEST = 512  # channels that are analysed together: StyleGAN2's widest map


class Directions:
    """bases: of each portion of the channels, [channels, directions]; None keeps a portion as it is."""

    def __init__(self, bases: Sequence[tuple[int, Tensor | None]]):
        self.bases = bases
        self.channels = [channels for channels, _ in bases]
        self.kept = [channels if basis is None else basis.shape[1] for channels, basis in bases]

    def reduce(self, x: Float[Tensor, "pixels channels"], workers: Workers) -> Float[Tensor, "pixels directions"]:
        """Coordinates of standardised feature vectors."""
        reduced = torch.empty(len(x), sum(self.kept))

        def job(part: Tensor, out: Tensor, basis: Tensor | None) -> None:
            out.copy_(part if basis is None else part @ basis)

        parts = zip(x.split(self.channels, 1), reduced.split(self.kept, 1), self.bases, strict=True)
        workers.run(job, [(part, out, basis) for part, out, (_, basis) in parts])
        return reduced

    def expand(
        self, weight: Float[Tensor, "members directions units"]
    ) -> Float[Tensor, "members channels units"]:
        """A first layer for all channels from one for the directions."""
        parts = zip(weight.split(self.kept, 1), self.bases, strict=True)
        return torch.cat([w if basis is None else basis.to(w.device) @ w for w, (_, basis) in parts], 1)


def strongest(
    blocks: Callable[[], Iterable[Float[Tensor, "pixels channels"]]],
    feature_channels: Sequence[int],
    count: int,
    generator: torch.Generator,
    workers: Workers,
) -> Directions:
    """At most ``count`` directions of each map (of each 512 channels, should one be wider).

    blocks: makes an iterator over the standardised feature vectors. Equal for any number of workers.
    """
    portions = [min(WIDEST, c - start) for c in feature_channels for start in range(0, c, WIDEST)]
    wide = [c > count for c in portions]
    covariances = [torch.zeros(c, c) if w else None for c, w in zip(portions, wide, strict=True)]
    turns = [torch.randn(count, count, generator=generator) if w else None for w in wide]
    bases: list[Tensor | None] = [None] * len(portions)

    def add(part: Tensor, total: Tensor) -> None:
        total.addmm_(part.T, part)

    def analyse(i: int, *_: Any) -> None:
        variance, vectors = torch.linalg.eigh(covariances[i])
        rotation = torch.linalg.qr(turns[i]).Q
        loudness = (variance[-count:].sum() / (count * pixels)).clamp_min(1e-6).sqrt()
        bases[i] = vectors[:, -count:] @ rotation / loudness  # every input has unit variance, on average

    pixels = 0
    for block in blocks():
        pixels += len(block)
        calls = zip(block.split(portions, 1), covariances, strict=True)
        workers.run(add, [(part, total) for part, total in calls if total is not None])
    workers.run(analyse, [(i,) for i, w in enumerate(wide) if w])
    return Directions(list(zip(portions, bases, strict=True)))
