"""Mends a damaged store: what follows from something sound is rebuilt, and proved equal before it is stored."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends.opening import open_backend
from labelfactory.storage.checks import mask_pixels
from labelfactory.storage.documents import sha256
from labelfactory.storage.finalizing import finalize
from labelfactory.storage.manifest import MANIFEST, Entries, Manifest
from labelfactory.storage.metadata import ROOT, metadata_documents, model_paths
from labelfactory.storage.records import CommitRecord, FileInfo, commit_path
from labelfactory.storage.shards import decode_shard
from labelfactory.storage.store import Store
from labelfactory.storage.verifying import Report, find_spec

MakeShard = Callable[[int], Mapping[str, np.ndarray]]
FindModel = Callable[[str], bytes | None]
"""From the sha256 of a model's file to its bytes, None where they are not at hand."""


def repair(
    report: Report,
    make_shard: MakeShard | None = None,
    find_model: FindModel | None = None,
    storage_options: dict[str, Any] | None = None,
) -> tuple[list[str], list[str]]:
    """Mends what ``report`` found; gives one line for each thing that was mended, and one for each that was not.

    Metadata, ``keep``, the manifest and commit records follow from what is sound. Damaged data is re-made by
    ``make_shard(shard)`` (generator and interpreter at hand), and replaces the damaged files only where it is equal to
    the commit record hash for hash. Models that the store kept, the interpreter as well as those of every label kind,
    are put back from what ``find_model`` gives.
    """
    backend = open_backend(report.uri, storage_options)
    spec, software, manifest, _ = find_spec(backend)
    store = Store(backend, spec, software)
    mended: list[str] = []
    failed: list[str] = []
    documents = metadata_documents(spec, software)
    damaged = {finding.path for finding in report.findings}
    broken = [path for path in documents if path in damaged]
    if broken:
        backend.write({path: documents[path] for path in broken})
        mended += [f"{path}: rebuilt from {MANIFEST if path == ROOT else 'the spec'}" for path in broken]
    for path, wanted in model_paths(spec).items():
        if path in damaged:
            data = find_model(wanted) if find_model is not None else None
            if data is not None and sha256(data) == wanted:
                backend.write({path: data})
                mended.append(f"{path}: put back")
            else:
                failed.append(f"{path}: can only be put back from the model's own file; give it, or make it again")
    for shard in report.damaged_shards:
        try:
            mended += _repair_shard(store, shard, _stated(store, manifest, shard), damaged, make_shard)
        except (InputError, WorkError) as error:
            failed.append(f"shard {shard}: {error}")
    store.close()
    if not failed and any(path.startswith((MANIFEST, "_manifest/", "keep/c/")) for path in damaged):
        finalize(store, rewrite=True)
        mended.append("keep and manifest: computed again from the scores")
    return mended, failed


def _stated(store: Store, manifest: Manifest | None, shard: int) -> str | None:
    """The hash that the manifest states of a shard's record; None where it is not known."""
    if manifest is None:
        return None
    try:
        return Entries(store.backend, manifest)[shard].commit
    except WorkError:  # its part is damaged, and is computed again at the end
        return None


def _repair_shard(
    store: Store, shard: int, stated: str | None, damaged: set[str], make_shard: MakeShard | None
) -> list[str]:
    """Mends one shard's record or data."""
    paths = {array.chunk_path(shard) for array in store.spec.shard_arrays()}
    record = store.record(shard)
    if record is None or stated not in (None, record.hash):
        for rebuilt in _with_software(store, _record_from_data(store, shard)):
            if rebuilt.hash == stated:
                store.backend.write({commit_path(shard): rebuilt.to_bytes()})
                return [f"shard {shard}: commit record rebuilt from its data, as the manifest states it"]
    elif not paths & damaged:
        return []  # only its part of keep, which finalize writes again
    if make_shard is None:
        raise WorkError("can only be re-made with its generator and interpreter at hand")
    made, files = store.encode(shard, make_shard(shard))
    if stated is None and record is not None:
        stated = record.hash
    if stated is not None:
        equal = [candidate for candidate in _with_software(store, made, record) if candidate.hash == stated]
        if not equal:
            raise WorkError("left as it is: re-made, it differs from what was committed (other hardware?)")
        made = equal[0]
    if record == made:
        store.backend.write({path: data for path, data in files.items() if path in damaged})
    else:
        store.backend.delete([commit_path(shard)])
        store.commit(made, files)
        store.release(shard)
    proof = "equal to its commit record" if stated is not None else "as a new shard (no sound record was left)"
    return [f"shard {shard}: re-made, {proof}"]


def _with_software(
    store: Store, made: CommitRecord | None, record: CommitRecord | None = None
) -> Iterator[CommitRecord]:
    """A record as it would be had it been made by the software of the record that is there, by that of the store, by
    ours, or by that of any other shard.
    """
    if made is None:
        return
    tried = list[dict[str, str]]()
    others = (other.software for other in store.records() if other is not None)
    for software in chain([record.software] if record else [], [{}, store.software_beside()], others):
        if software not in tried:
            tried.append(software)
            yield replace(made, software=software)


def _record_from_data(store: Store, shard: int) -> CommitRecord | None:
    """The record that the shard's present files would have; None where they do not even decode."""
    start, stop = store.shard_range(shard)
    arrays = store.spec.shard_arrays()
    found = store.backend.read_many([array.chunk_path(shard) for array in arrays])
    if any(data is None for data in found):
        return None
    data_of = {array.name: data for array, data in zip(arrays, found, strict=True) if data is not None}
    mask = next(array for array in arrays if array.name == "mask")
    try:
        pixels = mask_pixels(decode_shard(mask, store.spec.samples_per_shard, data_of["mask"], stop - start))
    except WorkError:
        return None
    return CommitRecord(
        shard=shard,
        start=start,
        stop=stop,
        spec_hash=store.spec.hash,
        files={array.chunk_path(shard): FileInfo.of(data_of[array.name]) for array in arrays},
        class_pixels=tuple(pixels[: len(store.spec.classes)]),
        ignored_pixels=pixels[store.spec.ignore_index],
    )
