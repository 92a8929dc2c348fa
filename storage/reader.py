"""Random access to samples: cached shard indexes, neighbouring samples read at once, checksums tested on the way."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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


class Fetched:
    """Samples of one array as they lie in the store, to be decoded when their turn comes."""

    def __init__(self, array: ArraySpec, samples: Int[np.ndarray, "n"], where: str, samples_per_shard: int) -> None:
        self.array, self._samples, self._where, self._size = array, samples, where, samples_per_shard
        self.frames: list[bytes | memoryview] = [b""] * len(samples)  # of an array with one sample a chunk
        self.values: np.ndarray | None = None  # of the small arrays

    def decode(
        self,
        items: Sequence[int] | Int[np.ndarray, "n"],
        out: Shaped[np.ndarray, "all ..."],
        rows: Sequence[int] | Int[np.ndarray, "n"],
    ) -> None:
        """Puts the values of ``items`` (places among the samples asked for) into these ``rows`` of ``out``."""
        if self.values is not None:
            out[rows] = self.values[items]
            return
        first = 0
        for last in (np.flatnonzero(np.diff(rows, append=-1) != 1) + 1).tolist():  # rows that follow each other
            part = out[int(rows[first]) : int(rows[last - 1]) + 1]
            try:
                decode_samples(self.array, [self.frames[item] for item in items[first:last]], part)
            except WorkError:
                self._name_damaged(items[first:last], part)
                raise
            first = last

    def _name_damaged(self, items: Sequence[int] | Int[np.ndarray, "n"], out: Shaped[np.ndarray, "n ..."]) -> None:
        """Decodes one by one, and says of the first that fails which shard it is in."""
        for i, item in enumerate(items):
            try:
                decode_samples(self.array, [self.frames[item]], out[i : i + 1])
            except WorkError as error:
                shard = int(self._samples[item]) // self._size
                raise WorkError(f"shard {shard} of {self._where}: {error}") from error


class SampleReader:
    """Reads the arrays of one store. Threads may share it; pickling leaves its caches behind."""

    def __init__(self, backend: Source, spec: DatasetSpec) -> None:
        self.backend, self.spec = backend, spec
        self.arrays = {array.name: array for array in spec.arrays()}
        self._indexes: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._chunks: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._asked: dict[int, tuple[float, str]] = {}  # thread -> since when it has been waiting for what

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
        fetched = self.fetch(name, samples)
        out = np.empty((len(samples), *fetched.array.sample_shape), dtype_of(fetched.array))
        fetched.decode(range(len(samples)), out, range(len(samples)))
        return out

    def fetch(self, name: str, samples: Sequence[int] | Int[np.ndarray, "n"]) -> Fetched:
        """One array's bytes of any samples; those that lie near each other are read in one piece."""
        array, wanted = self.array(name), np.asarray(samples, dtype=np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self.spec.count):
            raise InputError(f"samples {wanted.min()} to {wanted.max()}: expected 0 to {self.spec.count - 1}")
        fetched = Fetched(array, wanted, self.backend.uri, self.spec.samples_per_shard)
        if not array.per_sample:
            fetched.values = np.empty((len(wanted), *array.sample_shape), dtype_of(array))
        order = np.argsort(wanted, kind="stable")
        shards, places = np.divmod(wanted[order], self.spec.samples_per_shard)
        for shard in np.unique(shards):
            first, last = np.searchsorted(shards, [shard, shard + 1])
            items, slots = order[first:last], places[first:last]
            with self._named(int(shard), array.chunk_path(int(shard))):
                if fetched.values is None:
                    self._read_frames(array, int(shard), slots, fetched.frames, items)
                else:
                    fetched.values[items] = self._chunk(array, int(shard))[slots]
        return fetched

    def stuck(self, seconds: float) -> str | None:
        """The shard that some thread has been waiting for longer than this; None where there is none."""
        now = time.monotonic()
        return next((what for since, what in list(self._asked.values()) if now - since > seconds), None)

    @contextmanager
    def _named(self, shard: int, path: str) -> Iterator[None]:
        """Says of which shard an error speaks, and lets a watchdog know what this thread waits for."""
        thread, where = threading.get_ident(), self.backend.uri
        self._asked[thread] = time.monotonic(), f"shard {shard} of {where}: {path}"
        try:
            yield
        except FileNotFoundError as error:
            raise WorkError(f"shard {shard}: {path} is missing in {where}") from error
        except WorkError as error:
            raise WorkError(f"shard {shard} of {where}: {error}") from error
        finally:
            del self._asked[thread]

    def _read_frames(
        self,
        array: ArraySpec,
        shard: int,
        slots: Int[np.ndarray, "n"],
        frames: list[bytes | memoryview],
        items: Int[np.ndarray, "n"],
    ) -> None:
        index = self._index(array, shard)[slots].astype(np.int64)
        begins = index[:, 0].tolist()
        ends = (index[:, 0] + index[:, 1]).tolist()
        if min(begins) < 0:
            raise WorkError(f"{array.name} lacks samples that the store should have")
        # A piece ends where the next sample is far away, or where the piece is long enough.
        pieces, first = [], 0
        for i in range(1, len(begins) + 1):
            if i == len(begins) or begins[i] - ends[i - 1] > GAP_BYTES or ends[i] - begins[first] > SPAN_BYTES:
                pieces.append((first, i))
                first = i
        ranges = [(begins[a], ends[b - 1]) for a, b in pieces]
        places = items.tolist()
        for (a, b), data in zip(pieces, self.backend.read_ranges(array.chunk_path(shard), ranges), strict=True):
            view, offset = memoryview(data), begins[a]
            for i in range(a, b):
                frames[places[i]] = view[begins[i] - offset : ends[i] - offset]

    def _index(self, array: ArraySpec, shard: int) -> UInt64[np.ndarray, "slots 2"]:
        key, size = (array.name, shard), self.spec.samples_per_shard
        index = self._indexes.get(key)
        if index is None:
            tail = self.backend.read_ranges(array.chunk_path(shard), [(-index_bytes(size), 0)])[0]
            index = decode_index(tail, size)
            remember(self._indexes, key, index, CACHED_INDEXES)
        return index

    def _chunk(self, array: ArraySpec, shard: int) -> Shaped[np.ndarray, "slots ..."]:
        key, size = (array.name, shard), self.spec.samples_per_shard
        chunk = self._chunks.get(key)
        if chunk is None:
            chunk = decode_shard(array, size, self.backend.read(array.chunk_path(shard)), size)
            remember(self._chunks, key, chunk, CACHED_CHUNKS)
        return chunk


def remember(cache: OrderedDict, key: tuple[str, int], value: np.ndarray, limit: int) -> None:
    """Keeps a value, and drops the oldest ones beyond the limit."""
    cache[key] = value
    while len(cache) > limit:
        cache.popitem(last=False)
