"""The end of a dataset: ``keep`` over the whole set, then the manifest."""

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float32

from labelfactory.errors import WorkError
from labelfactory.storage.metadata import metadata_documents, model_paths, root_attributes
from labelfactory.storage.records import MANIFEST, CommitRecord, FileInfo, Manifest
from labelfactory.storage.shards import decode_shard, encode_shard
from labelfactory.storage.spec import DatasetSpec
from labelfactory.storage.store import Store, read_software, wait_for_claim


def keep_mask(scores: Float32[np.ndarray, "sample"], quantile: float) -> Bool[np.ndarray, "sample"]:
    """True for the ``ceil(quantile * n)`` samples of lowest uncertainty; among equal scores the lower index is kept.

    DatasetGAN (Zhang et al., CVPR 2021, section 3.2) drops the 10 % of samples that its ensemble is least sure of.
    """
    # As a decimal fraction: 0.9 of 1,000 is exactly 900, whatever binary floating point makes of 0.9.
    kept = math.ceil(Fraction(repr(quantile)) * len(scores))
    keep = np.zeros(len(scores), dtype=bool)
    keep[np.argsort(scores, kind="stable")[:kept]] = True
    return keep


def read_scores(store: Store, records: list[CommitRecord]) -> Float32[np.ndarray, "sample"]:
    """``uncertainty_score`` of the whole set, every file checked against its record."""
    spec = store.spec
    array = next(array for array in spec.arrays() if array.name == "uncertainty_score")
    scores = []
    for record in records:
        path = array.chunk_path(record.shard)
        data = store.backend.read_many([path])[0]
        if data is None or not record.files[path].matches(data):
            raise WorkError(
                f"shard {record.shard}: {path} is not as committed: run `factory verify --repair {store.uri}`"
            )
        scores.append(decode_shard(array, spec.samples_per_shard, data, record.stop - record.start))
    return np.concatenate(scores)


def keep_files(spec: DatasetSpec, keep: Bool[np.ndarray, "sample"]) -> dict[str, bytes]:
    """Path -> bytes of the chunks of ``keep``."""
    array = next(array for array in spec.arrays() if array.written_last)
    size = spec.samples_per_shard
    return {
        array.chunk_path(k): encode_shard(array, size, keep[slice(*spec.shard_range(k))])
        for k in range(spec.num_shards)
    }


def finalize(store: Store, rewrite: bool = False) -> Manifest:
    """Finishes a store in which no shard is missing. Doing it again, or in two processes at once, changes nothing.

    ``rewrite`` stores ``keep`` and the manifest anew even where the manifest is already right.

    Raises WorkError where shards are missing, or the metadata or a score is not as committed.
    """
    backend, spec = store.backend, store.spec
    claim = wait_for_claim(backend, "create")
    try:
        store.refuse_if_changed()
        records = [record for record in store.records() if record is not None]
        if len(records) < spec.num_shards:
            missing = store.missing()
            raise WorkError(
                f"{len(missing)} of {spec.num_shards} shards are missing (first: {missing[:1]}): make them first"
            )
        software = read_software(backend)
        documents = metadata_documents(spec, software)
        if backend.read_many(list(documents)) != list(documents.values()):
            raise WorkError(f"{store.uri}: its metadata is not what its spec says: run the command that made it again")
        keep = keep_mask(read_scores(store, records), spec.keep_quantile)
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
            commits=tuple(Manifest.hash_of(record) for record in records),
        )
        if store.manifest() == manifest and not rewrite:
            return manifest
        backend.delete([MANIFEST])  # before keep changes: an old manifest must not vouch for new bytes
        backend.write(files)
        backend.write({MANIFEST: manifest.to_bytes()})
        backend.remove_strays([f"{shard:06d}" for shard in range(spec.num_shards)])
        return manifest
    finally:
        claim.release()
