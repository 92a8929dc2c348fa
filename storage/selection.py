"""Which samples of a store pass the filter: a bit a sample, found by their number among those that pass."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int, UInt8


class Selection:
    """The samples that pass, in order: the ``i``-th of them is ``samples([i])[0]``.

    ``counts`` says how many pass in each shard, ``chosen`` which of one shard's samples do.
    """

    def __init__(
        self,
        counts: Int[np.ndarray, "shards"],
        samples_per_shard: int,
        chosen: Callable[[int], Bool[np.ndarray, "slots"]] | None = None,
    ) -> None:
        self._size, self._chosen = samples_per_shard, chosen
        self._ends = np.cumsum(counts, dtype=np.int64)

    @classmethod
    def everything(cls, count: int, samples_per_shard: int) -> "Selection":
        """All ``count`` samples."""
        starts = np.arange(0, count, samples_per_shard)
        return cls(np.minimum(samples_per_shard, count - starts), samples_per_shard)

    @classmethod
    def of(cls, chosen: Bool[np.ndarray, "sample"], samples_per_shard: int) -> "Selection":
        """Those that are marked; an eighth of a byte for each sample."""
        padded = np.zeros((-(-len(chosen) // samples_per_shard), samples_per_shard), dtype=bool)
        padded.reshape(-1)[: len(chosen)] = chosen
        counts = padded.sum(axis=1, dtype=np.int64)
        return cls(counts, samples_per_shard, _Bits(np.packbits(padded, axis=1), samples_per_shard))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def in_shard(self, shard: int) -> Int[np.ndarray, "n"]:
        """The samples of one shard that pass, by their own index in the store."""
        first = shard * self._size
        if self._chosen is None:
            return np.arange(first, first + self._ends[shard] - (self._ends[shard - 1] if shard else 0))
        return first + np.flatnonzero(self._chosen(shard))

    def samples(self, places: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """The samples at these places (0 to ``len - 1``) among those that pass."""
        shards = np.searchsorted(self._ends, places, side="right")
        out = np.empty(len(places), np.int64)
        for shard in np.unique(shards):
            here = shards == shard
            before = self._ends[shard - 1] if shard else 0
            out[here] = self.in_shard(int(shard))[places[here] - before]
        return out

    def all(self) -> Int[np.ndarray, "n"]:
        """Every sample that passes; eight bytes for each."""
        return np.concatenate([np.zeros(0, np.int64), *(self.in_shard(shard) for shard in range(len(self._ends)))])


class _Bits:
    """Marks of every shard, eight in a byte; goes to worker processes."""

    def __init__(self, bits: UInt8[np.ndarray, "shards bytes"], samples_per_shard: int) -> None:
        self._bits, self._size = bits, samples_per_shard

    def __call__(self, shard: int) -> Bool[np.ndarray, "slots"]:
        return np.unpackbits(self._bits[shard], count=self._size).astype(bool)
