"""The end of a dataset: ``keep`` over the whole set, then the manifest. In memory are one part's shards at a time."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from labelfactory.errors import WorkError
from labelfactory.storage.backends.backend import Backend
from labelfactory.storage.documents import sha256
from labelfactory.storage.manifest import (
    MANIFEST,
    Entry,
    Manifest,
    Part,
    comes_in_parts,
    part_path,
    parts_of,
)
from labelfactory.storage.metadata import metadata_documents, model_paths, root_attributes
from labelfactory.storage.records import FileInfo
from labelfactory.storage.scores import Scores
from labelfactory.storage.shards import decode_shard, encode_shard
from labelfactory.storage.spec import DatasetSpec
from labelfactory.storage.store import Store, wait_for_claim

DIFFERENT = 1024  # chunks of ``keep`` that lie in memory encoded


class KeepFiles:
    """The chunks of ``keep`` that follow from all scores."""

    def __init__(self, spec: DatasetSpec, scores: Scores) -> None:
        self.spec, self._scores = spec, scores
        self._array = next(array for array in spec.arrays() if array.written_last)
        self._encoded: dict[bytes, bytes] = {}  # most shards keep all, so their chunks are equal

    def __iter__(self) -> Iterator[tuple[int, str, bytes, int]]:
        """Number, path and bytes of each shard, and how many of its samples are kept."""
        spec = self.spec
        ranges = map(spec.shard_range, range(spec.num_shards))
        masks = self._scores.keep(spec.keep_quantile, (stop - start for start, stop in ranges))
        for shard, keep in enumerate(masks):
            yield shard, self._array.chunk_path(shard), self._encode(keep), int(keep.sum())

    def _encode(self, keep: Bool[np.ndarray, "n"]) -> bytes:
        key = keep.tobytes()
        if key not in self._encoded:
            if len(self._encoded) == DIFFERENT:
                self._encoded.clear()
            self._encoded[key] = encode_shard(self._array, self.spec.samples_per_shard, keep)
        return self._encoded[key]

    def in_parts(self) -> Iterator[tuple[int, dict[str, bytes], list[int]]]:
        """First shard of each part, their files by path, and their numbers of kept samples."""
        chunks = iter(self)
        for _, shards in parts_of(self.spec.num_shards):
            found = [next(chunks) for _ in shards]
            yield shards[0], {path: data for _, path, data, _ in found}, [kept for *_, kept in found]


def _read_committed(store: Store, scores: Scores) -> list[bytes]:
    """Puts ``uncertainty_score`` of the whole set into ``scores``, each file checked against its record.

    Gives the hashes of the commit records, those of a part's shards in one piece of bytes.
    """
    spec, backend, hashes = store.spec, store.backend, []
    array = next(array for array in spec.arrays() if array.role == "score")
    for _, shards in parts_of(spec.num_shards):
        found = backend.read_many([array.chunk_path(shard) for shard in shards])
        part = bytearray()
        for shard, data, (record, stored) in zip(shards, found, store.stored_records(shards), strict=True):
            if record is None:
                missing = store.missing()
                raise WorkError(
                    f"{len(missing)} of {spec.num_shards} shards are missing (first: {missing[:1]}): make them first"
                )
            path = array.chunk_path(shard)
            if data is None or not record.files[path].matches(data):
                raise WorkError(f"shard {shard}: {path} is not as committed: run `factory verify --repair {store.uri}`")
            part += bytes.fromhex(sha256(stored))
            scores.append(decode_shard(array, spec.samples_per_shard, data, record.stop - record.start))
        hashes.append(bytes(part))
    return hashes


def _part(first: int, commits: bytes, files: dict[str, bytes]) -> Part:
    hashes = [commits[place : place + 32].hex() for place in range(0, len(commits), 32)]
    return Part(first, tuple(map(Entry, hashes, map(FileInfo.of, files.values()))))


def _models(backend: Backend, spec: DatasetSpec, uri: str) -> dict[str, FileInfo]:
    """The models that the store keeps; WorkError where one is damaged."""
    wanted = model_paths(spec)
    stored = zip(wanted, backend.read_many(list(wanted)), strict=True)
    models = {path: FileInfo.of(data) for path, data in stored if data is not None}
    for path, info in models.items():
        if info.sha256 != wanted[path]:
            raise WorkError(f"{path} is damaged: run the command that made {uri} again")
    return models


def _manifest(
    spec: DatasetSpec, files: dict[str, FileInfo], keep: KeepFiles, commits: list[bytes], software: dict[str, str]
) -> Manifest:
    """The manifest that follows from the scores and the records' hashes."""
    in_parts, kept, entries, hashes = comes_in_parts(spec.num_shards), list[int](), list[Entry](), list[str]()
    for (first, chunks, counts), commit in zip(keep.in_parts(), commits, strict=True):
        part = _part(first, commit, chunks)
        kept += counts
        if in_parts:
            hashes.append(sha256(part.to_bytes()))
        else:
            entries += part.entries
            files = files | dict(zip(chunks, (entry.keep for entry in part.entries), strict=True))
    return Manifest(
        count=spec.count,
        shard_size=spec.samples_per_shard,
        spec_hash=spec.hash,
        kept=sum(kept),
        attributes=root_attributes(spec, software),
        files=files,
        commits=tuple(entry.commit for entry in entries),
        parts=tuple(hashes),
        kept_in_shards=tuple(kept) if in_parts else (),
    )


def finalize(store: Store, rewrite: bool = False) -> Manifest:
    """Finishes a store in which no shard is missing. Doing it again, or in two processes at once, changes nothing.

    ``rewrite`` stores ``keep`` and the manifest anew even where the manifest is already right.

    Raises WorkError where shards are missing, or the metadata or a score is not as committed.
    """
    backend, spec = store.backend, store.spec
    claim = wait_for_claim(backend, "create")
    try:
        store.refuse_if_changed()
        documents = metadata_documents(spec, store.software)
        if backend.read_many(list(documents)) != list(documents.values()):
            raise WorkError(f"{store.uri}: its metadata is not what its spec says: run the command that made it again")
        with Scores() as scores:
            commits, keep = _read_committed(store, scores), KeepFiles(spec, scores)
            files = {path: FileInfo.of(data) for path, data in documents.items()} | _models(backend, spec, store.uri)
            manifest = _manifest(spec, files, keep, commits, store.software)
            if store.manifest() == manifest and not rewrite:
                return manifest
            backend.delete([MANIFEST])  # before keep changes: an old manifest must not vouch for new bytes
            for number, ((first, chunks, _), commit) in enumerate(zip(keep.in_parts(), commits, strict=True)):
                if manifest.parts:
                    chunks[part_path(number)] = _part(first, commit, chunks).to_bytes()
                if not rewrite:
                    stored = zip(list(chunks), backend.read_many(list(chunks)), strict=True)
                    chunks = {path: chunks[path] for path, data in stored if data != chunks[path]}
                backend.write(chunks)
        backend.write({MANIFEST: manifest.to_bytes()})
        backend.remove_strays([f"{shard:06d}" for shard in range(spec.num_shards)])
        return manifest
    finally:
        claim.release()
