"""A finished store as a reader sees it: what the manifest vouches for, and of that what passes the thresholds."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends.backend import Backend
from labelfactory.storage.backends.opening import open_backend
from labelfactory.storage.exclusion import read_exclusion
from labelfactory.storage.manifest import MANIFEST, Entries, Manifest
from labelfactory.storage.metadata import ROOT
from labelfactory.storage.reader import SampleReader, remember
from labelfactory.storage.records import RECORDS_AT_ONCE, CommitRecord
from labelfactory.storage.selection import Selection
from labelfactory.storage.shards import decode_shard
from labelfactory.storage.spec import DatasetSpec
from labelfactory.storage.store import read_spec

CACHED_SHARDS = 256  # whose ``keep`` stays in memory, where it is not read as a whole


class Dataset:
    """Samples of a finished store. ``samples`` are the indices that passed the filter; ``len`` counts those.

    ``dataset[i]`` is a dict of NumPy arrays of the i-th of them, ``dataset.read("mask", indices)`` reads one array of
    any samples of the store by their own index.
    """

    def __init__(self, backend: Backend, spec: DatasetSpec, manifest: Manifest) -> None:
        self.backend, self.spec, self.manifest, self.uri = backend, spec, manifest, backend.uri
        self.entries = Entries(backend, manifest)
        self.reader = SampleReader(backend, spec)
        self.fields: tuple[str, ...] = ("image", "mask")
        self._kept: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self.selection = Selection.everything(spec.count, spec.samples_per_shard)

    def __len__(self) -> int:
        return len(self.selection)

    @property
    def samples(self) -> Int[np.ndarray, "kept"]:
        """Index in the store of every sample that passed the filter; eight bytes for each."""
        return self.selection.all()

    def read(self, name: str, samples: Sequence[int] | Int[np.ndarray, "n"]) -> Shaped[np.ndarray, "n ..."]:
        """One array's values of any samples of the store, by their index in it, in the order asked for."""
        return self.reader.read(name, samples)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Several samples at once: neighbours are read in one piece."""
        batch = self.batch(places)
        return [{name: values[i] for name, values in batch.items()} for i in range(len(places))]

    def batch(self, places: Sequence[int] | Int[np.ndarray, "n"]) -> dict[str, Shaped[np.ndarray, "n ..."]]:
        """Several samples, one array a field."""
        if len(places) and not (-len(self) <= min(places) and max(places) < len(self)):
            raise IndexError(f"places {min(places)} to {max(places)}: expected 0 to {len(self) - 1}")
        samples = self.selection.samples(np.asarray(places, dtype=np.int64) % max(1, len(self)))
        return {name: self.read(name, samples) for name in self.fields}

    def blocks(self, size: int = 64) -> Iterator[dict[str, Shaped[np.ndarray, "n ..."]]]:
        """All samples in order, ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))))

    def records(self) -> Iterator[CommitRecord]:
        """Every shard's commit record in order, each as the manifest states it."""
        return self.entries.records(range(self.spec.num_shards))

    def keep(self) -> Bool[np.ndarray, "sample"]:
        """``keep`` of every sample of the store, each chunk checked against the manifest."""
        spec, parts = self.spec, []
        for first in range(0, spec.num_shards, RECORDS_AT_ONCE):
            shards = range(first, min(first + RECORDS_AT_ONCE, spec.num_shards))
            parts += self._keep_of(shards)
        return np.concatenate(parts)

    def keep_in(self, shard: int) -> Bool[np.ndarray, "n"]:
        """``keep`` of one shard's samples, checked against the manifest."""
        key = "keep", shard
        kept = self._kept.get(key)
        if kept is None:
            kept = self._keep_of([shard])[0]
            remember(self._kept, key, kept, CACHED_SHARDS)
        return kept

    def _keep_of(self, shards: Sequence[int]) -> list[Bool[np.ndarray, "n"]]:
        array, spec, parts = self.reader.array("keep"), self.spec, []
        paths = [array.chunk_path(shard) for shard in shards]
        for shard, path, data in zip(shards, paths, self.backend.read_many(paths), strict=True):
            if data is None or not self.entries[shard].keep.matches(data):
                raise WorkError(f"shard {shard} of {self.uri}: {path} is not what the manifest states")
            start, stop = spec.shard_range(shard)
            parts.append(decode_shard(array, spec.samples_per_shard, data, stop - start))
        return parts

    def scores(self) -> Float32[np.ndarray, "sample"]:
        """``uncertainty_score`` of every sample of the store (nats, 0 to ln of the number of classes)."""
        return self.read("uncertainty_score", np.arange(self.spec.count))


def open_dataset(
    uri: str,
    *,
    fields: Sequence[str] = ("image", "mask"),
    keep: bool = True,
    max_uncertainty: float | None = None,
    exclude: str | Path | None = None,
    cache: str | None = None,
    storage_options: dict[str, Any] | None = None,
) -> Dataset:
    """Opens a finished store for reading.

    **Arguments**: ``fields`` that a sample has; ``keep=False`` reads also what the uncertainty filter would drop;
    ``max_uncertainty`` keeps samples whose score is at most this (nats); ``exclude`` is a list of samples to leave out
    (``suspects.json`` of ``factory audit``); ``cache`` is a local folder for whole shards of a remote store;
    ``storage_options`` go to fsspec.
    **Raises** InputError where there is no store, it is not finished, a field is unknown, or the list is not this
    store's; WorkError where bytes are not as the manifest states.
    """
    backend = open_backend(uri, storage_options)
    spec = read_spec(backend)
    data = backend.read_many([MANIFEST])[0]
    if data is None:
        raise InputError(f"{uri} is not finished (no {MANIFEST}): run the command that makes it again, it resumes")
    manifest = Manifest.from_bytes(data)
    if manifest is None or manifest.spec_hash != spec.hash or manifest.count != spec.count:
        raise WorkError(f"{uri}/{MANIFEST} is damaged or of another dataset: run `factory verify {uri}`")
    if not manifest.files[ROOT].matches(backend.read(ROOT)):
        raise WorkError(f"{uri}/{ROOT} is not what the manifest states: run `factory verify {uri}`")
    dataset = Dataset(backend, spec, manifest)
    for name in fields:
        dataset.reader.array(name)
    dataset.fields = tuple(fields)
    if cache is not None:
        from labelfactory.storage.cache import CachedSource

        dataset.reader = SampleReader(CachedSource(backend, cache, dataset.entries), spec)
    counts = manifest.kept_in_shards
    if keep and max_uncertainty is None and exclude is None and counts:
        dataset.selection = Selection(np.array(counts), spec.samples_per_shard, dataset.keep_in)
    elif keep or max_uncertainty is not None or exclude is not None:
        chosen = dataset.keep() if keep else np.ones(spec.count, dtype=bool)
        if max_uncertainty is not None:
            chosen &= dataset.scores() <= max_uncertainty
        if exclude is not None:
            chosen[read_exclusion(exclude, spec)] = False
        dataset.selection = Selection.of(chosen, spec.samples_per_shard)
    return dataset
