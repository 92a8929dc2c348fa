"""Training on pairs that are made when they are asked for, without a store."""

from collections.abc import Iterator, Sequence

import numpy as np

from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.factory.production.endless import EndlessPairs, Numbers


class LivePairs(Pairs):
    """The first ``count`` pairs of a seed, made anew each time, always the same bytes.

    ``temperature`` (nats) turns each pixel's uncertainty u into a training weight exp(-u / temperature); None weighs
    all pixels alike. Which pairs there are is said by ``EndlessPairs``.
    """

    generated = True

    def __init__(self, pairs: EndlessPairs, count: int, temperature: float | None = None) -> None:
        self.pairs, self.count, self.temperature = pairs, count, temperature

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers; as many as make a batch of the generator's are made together."""
        found = list(self.pairs.make(self._batches(np.asarray(indices, np.uint64))))
        image, mask = (np.concatenate([part[name] for part in found]) for name in ("image", "mask"))
        if self.temperature is None:
            return [Pair(*pair, generated=True) for pair in zip(image, mask, strict=True)]
        doubt = np.concatenate([part["uncertainty"] for part in found]).astype(np.float32)
        weights = np.exp(-doubt / self.temperature)
        return [Pair(*pair, generated=True) for pair in zip(image, mask, weights, strict=True)]

    def _batches(self, numbers: Numbers) -> Iterator[Numbers]:
        size = self.pairs.size
        return (numbers[i : i + size] for i in range(0, len(numbers), size))
