"""Which samples of a store pass the filter: a bit a sample, found by their number among those that pass."""

import numpy as np
from jaxtyping import Bool, Int


class Selection:
    """The samples that pass, in order: the ``i``-th of them is ``samples([i])[0]``.

    Takes an eighth of a byte a sample and eight bytes a shard.
    """

    def __init__(self, chosen: Bool[np.ndarray, "sample"], samples_per_shard: int) -> None:
        self._size = samples_per_shard
        padded = np.zeros((-(-len(chosen) // samples_per_shard), samples_per_shard), dtype=bool)
        padded.reshape(-1)[: len(chosen)] = chosen
        self._bits = np.packbits(padded, axis=1)
        self._ends = np.cumsum(padded.sum(axis=1, dtype=np.int64))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def in_shard(self, shard: int) -> Int[np.ndarray, "n"]:
        """The samples of one shard that pass, by their own index in the store."""
        bits = np.unpackbits(self._bits[shard], count=self._size)
        return shard * self._size + np.flatnonzero(bits)

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
