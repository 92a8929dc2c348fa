"""The end of a dataset: ``keep`` over the whole set, then the manifest."""

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float32

from labelfactory.errors import WorkError
from labelfactory.storage.metadata import metadata_documents, model_paths, root_attributes
from labelfactory.storage.records import COUNTED_FROM, MANIFEST, FileInfo, Manifest
from labelfactory.storage.shards import decode_shard, encode_shard
from labelfactory.storage.spec import DatasetSpec
from labelfactory.storage.store import RECORDS_AT_ONCE, Store, read_software, wait_for_claim


def keep_mask(scores: Float32[np.ndarray, "sample"], quantile: float) -> Bool[np.ndarray, "sample"]:
    """True for the ``ceil(quantile * n)`` samples of lowest uncertainty; among equal scores the lower index is kept.

    DatasetGAN (Zhang et al., CVPR 2021, section 3.2) drops the 10 % of samples that its ensemble is least sure of.
    """
    # As a decimal fraction: 0.9 of 1,000 is exactly 900, whatever binary floating point makes of 0.9.
    kept = math.ceil(Fraction(repr(quantile)) * len(scores))
    if kept == len(scores):
        return np.ones(len(scores), dtype=bool)
    limit = np.partition(scores, kept - 1)[kept - 1] if kept else np.float32(-np.inf)
    keep = scores < limit
    equal = np.flatnonzero(scores == limit)[: kept - int(keep.sum())]
    keep[equal] = True
    return keep


def read_committed(store: Store) -> tuple[tuple[str, ...], Float32[np.ndarray, "sample"]]:
    """Hash of every commit record, and ``uncertainty_score`` of the whole set, each file checked against its record."""
    spec, hashes = store.spec, []
    array = next(array for array in spec.arrays() if array.role == "score")
    scores = np.empty(spec.count, np.float32)
    for first in range(0, spec.num_shards, RECORDS_AT_ONCE):
        shards = range(first, min(first + RECORDS_AT_ONCE, spec.num_shards))
        found = store.backend.read_many([array.chunk_path(shard) for shard in shards])
        for shard, record, data in zip(shards, store.records(shards), found, strict=True):
            if record is None:
                missing = store.missing()
                raise WorkError(
                    f"{len(missing)} of {spec.num_shards} shards are missing (first: {missing[:1]}): make them first"
                )
            path = array.chunk_path(shard)
            if data is None or not record.files[path].matches(data):
                raise WorkError(f"shard {shard}: {path} is not as committed: run `factory verify --repair {store.uri}`")
            hashes.append(Manifest.hash_of(record))
            size = record.stop - record.start
            scores[record.start : record.stop] = decode_shard(array, spec.samples_per_shard, data, size)
    return tuple(hashes), scores


def keep_files(spec: DatasetSpec, keep: Bool[np.ndarray, "sample"]) -> dict[str, bytes]:
    """Path -> bytes of the chunks of ``keep``."""
    array = next(array for array in spec.arrays() if array.written_last)
    size = spec.samples_per_shard
    return {
        array.chunk_path(k): encode_shard(array, size, keep[slice(*spec.shard_range(k))])
        for k in range(spec.num_shards)
    }


def _kept_in_shards(spec: DatasetSpec, keep: Bool[np.ndarray, "sample"]) -> tuple[int, ...]:
    """Samples that ``keep`` marks in each shard, for stores of so many shards that readers should not open them all."""
    if spec.num_shards < COUNTED_FROM:
        return ()
    ends = np.arange(0, spec.count, spec.samples_per_shard)
    return tuple(np.add.reduceat(keep, ends, dtype=np.int64).tolist())


def finalize(store: Store, rewrite: bool = False) -> Manifest:
    """Finishes a store in which no shard is missing. Doing it again, or in two processes at once, changes nothing.

    ``rewrite`` stores ``keep`` and the manifest anew even where the manifest is already right.

    Raises WorkError where shards are missing, or the metadata or a score is not as committed.
    """
    backend, spec = store.backend, store.spec
    claim = wait_for_claim(backend, "create")
    try:
        store.refuse_if_changed()
        software = read_software(backend)
        documents = metadata_documents(spec, software)
        if backend.read_many(list(documents)) != list(documents.values()):
            raise WorkError(f"{store.uri}: its metadata is not what its spec says: run the command that made it again")
        hashes, scores = read_committed(store)
        keep = keep_mask(scores, spec.keep_quantile)
        files = keep_files(spec, keep)
        wanted = model_paths(spec)
        stored = zip(wanted, backend.read_many(list(wanted)), strict=True)
        models = {path: FileInfo.of(data) for path, data in stored if data is not None}
        for path, info in models.items():
            if info.sha256 != wanted[path]:
                raise WorkError(f"{path} is damaged: run the command that made {store.uri} again")
        manifest = Manifest(
            count=spec.count,
            shard_size=spec.samples_per_shard,
            spec_hash=spec.hash,
            kept=int(keep.sum()),
            attributes=root_attributes(spec, software),
            files={path: FileInfo.of(data) for path, data in {**documents, **files}.items()} | models,
            commits=hashes,
            kept_in_shards=_kept_in_shards(spec, keep),
        )
        if store.manifest() == manifest and not rewrite:
            return manifest
        backend.delete([MANIFEST])  # before keep changes: an old manifest must not vouch for new bytes
        stored = zip(files, backend.read_many(list(files)), strict=True)
        backend.write(files if rewrite else {path: files[path] for path, data in stored if data != files[path]})
        backend.write({MANIFEST: manifest.to_bytes()})
        backend.remove_strays([f"{shard:06d}" for shard in range(spec.num_shards)])
        return manifest
    finally:
        claim.release()
