"""Random access to samples: cached shard indexes, neighbouring samples read at once, checksums tested on the way."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped, UInt64

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.backends.backend import Source
from labelfactory.storage.shards import decode_index, decode_samples, decode_shard, dtype_of, index_bytes
from labelfactory.storage.spec import DatasetSpec

GAP_BYTES = 128 * 1024  # two samples this near are cheaper to read in one piece than in two
SPAN_BYTES = 32 * 2**20  # no piece grows beyond this by joining
CACHED_INDEXES = 2048  # 16 bytes a sample: 8 MB at 256 samples a shard
CACHED_CHUNKS = 8  # of the small arrays


class SampleReader:
    """Reads the arrays of one store. Threads may share it; pickling leaves its caches behind."""

    def __init__(self, backend: Source, spec: DatasetSpec) -> None:
        self.backend, self.spec = backend, spec
        self.arrays = {array.name: array for array in spec.arrays()}
        self._indexes: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._chunks: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    def __reduce__(self) -> tuple[type["SampleReader"], tuple[Source, DatasetSpec]]:
        return type(self), (self.backend, self.spec)

    def array(self, name: str) -> ArraySpec:
        """The array's description; InputError for a name that the store does not have."""
        if name not in self.arrays:
            raise InputError(f"the store has no array {name!r}: expected one of {', '.join(self.arrays)}")
        return self.arrays[name]

    def read(self, name: str, samples: Sequence[int] | Int[np.ndarray, "n"]) -> Shaped[np.ndarray, "n ..."]:
        """One array's values of any samples, in the order asked for.

        Raises InputError for a sample that is not there, WorkError naming the shard where bytes are missing or damaged.
        """
        array, wanted = self.array(name), np.asarray(samples, dtype=np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self.spec.count):
            raise InputError(f"samples {wanted.min()} to {wanted.max()}: expected 0 to {self.spec.count - 1}")
        out = np.empty((len(wanted), *array.sample_shape), dtype_of(array))
        order = np.argsort(wanted, kind="stable")
        shards, places = np.divmod(wanted[order], self.spec.samples_per_shard)
        for shard in np.unique(shards):
            first, last = np.searchsorted(shards, [shard, shard + 1])
            rows, slots = order[first:last], places[first:last]
            try:
                if array.per_sample:
                    self._read_frames(array, int(shard), slots, out, rows)
                else:
                    out[rows] = self._chunk(array, int(shard))[slots]
            except FileNotFoundError as error:
                raise WorkError(
                    f"shard {shard}: {array.chunk_path(int(shard))} is missing in {self.backend.uri}"
                ) from error
            except WorkError as error:
                raise WorkError(f"shard {shard} of {self.backend.uri}: {error}") from error
        return out

    def _read_frames(
        self,
        array: ArraySpec,
        shard: int,
        slots: Int[np.ndarray, "n"],
        out: Shaped[np.ndarray, "all ..."],
        rows: Int[np.ndarray, "n"],
    ) -> None:
        index = self._index(array, shard)[slots].astype(np.int64)
        starts, stops = index[:, 0], index[:, 0] + index[:, 1]
        if (starts < 0).any():
            raise WorkError(f"{array.name} lacks samples that the store should have")
        # A piece ends where the next sample is far away, or where the piece is long enough.
        pieces, first = [], 0
        for i in range(1, len(slots) + 1):
            if i == len(slots) or starts[i] - stops[i - 1] > GAP_BYTES or stops[i] - starts[first] > SPAN_BYTES:
                pieces.append((first, i))
                first = i
        ranges = [(int(starts[a]), int(stops[b - 1])) for a, b in pieces]
        for (a, b), data in zip(pieces, self.backend.read_ranges(array.chunk_path(shard), ranges), strict=True):
            view, offset = memoryview(data), starts[a]
            frames = [view[starts[i] - offset : stops[i] - offset] for i in range(a, b)]
            decode_samples(array, frames, [out[row] for row in rows[a:b]])

    def _index(self, array: ArraySpec, shard: int) -> UInt64[np.ndarray, "slots 2"]:
        key, size = (array.name, shard), self.spec.samples_per_shard
        index = self._indexes.get(key)
        if index is None:
            tail = self.backend.read_ranges(array.chunk_path(shard), [(-index_bytes(size), 0)])[0]
            index = decode_index(tail, size)
            _remember(self._indexes, key, index, CACHED_INDEXES)
        return index

    def _chunk(self, array: ArraySpec, shard: int) -> Shaped[np.ndarray, "slots ..."]:
        key, size = (array.name, shard), self.spec.samples_per_shard
        chunk = self._chunks.get(key)
        if chunk is None:
            chunk = decode_shard(array, size, self.backend.read(array.chunk_path(shard)), size)
            _remember(self._chunks, key, chunk, CACHED_CHUNKS)
        return chunk


def _remember(cache: OrderedDict, key: tuple[str, int], value: np.ndarray, limit: int) -> None:
    cache[key] = value
    while len(cache) > limit:
        cache.popitem(last=False)
