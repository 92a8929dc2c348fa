"""A dataset store that is being made: claims, whole shards, commit records.

The protocol, and why a crash between any two of its steps loses nothing, is in docs/format.md.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Shaped

from labelfactory.errors import InputError, Interrupted, WorkError
from labelfactory.storage.backends.backend import Backend, Claim, Source
from labelfactory.storage.backends.opening import open_backend
from labelfactory.storage.checks import check_shard
from labelfactory.storage.manifest import MANIFEST, Manifest
from labelfactory.storage.metadata import ROOT, SCHEMA, SCHEMA_VERSION, metadata_documents, software_versions
from labelfactory.storage.records import RECORDS_AT_ONCE, CommitRecord, FileInfo, commit_path
from labelfactory.storage.shards import encode_shard
from labelfactory.storage.spec import DatasetSpec

POLL_S, LONGEST_POLL_S = 0.05, 2.0
_LOCK_WAIT_S = 120.0


class Store:
    """One process's hold on a store. Threads may share it; other processes open their own.

    software  versions that created the store
    run       what an orchestrator calls the work of this process; claims say it
    """

    def __init__(self, backend: Backend, spec: DatasetSpec, software: dict[str, str], run: str = "") -> None:
        self.backend, self.spec, self.uri = backend, spec, backend.uri
        self.software, self.run = software, run
        self._shard_arrays = spec.shard_arrays()
        self._beside: dict[str, str] | None = None
        self._claims: dict[int, Claim] = {}
        self._lock = threading.Lock()

    @property
    def num_shards(self) -> int:
        return self.spec.num_shards

    def shard_range(self, shard: int) -> tuple[int, int]:
        """First sample of a shard and the one after its last."""
        return self.spec.shard_range(shard)

    # What exists

    def valid_record(self, shard: int, data: bytes | None) -> CommitRecord | None:
        """The record, if it is whole and speaks of this shard of this spec (a shorter last shard is not this one)."""
        record = CommitRecord.from_bytes(data)
        return record if record is not None and self.belongs(shard, record) else None

    def belongs(self, shard: int, record: CommitRecord) -> bool:
        """Whether the record speaks of this shard of this spec."""
        if (record.shard, record.spec_hash) != (shard, self.spec.hash):
            return False
        expected = {array.chunk_path(shard) for array in self._shard_arrays}
        return (record.start, record.stop) == self.shard_range(shard) and record.files.keys() == expected

    def record(self, shard: int) -> CommitRecord | None:
        """The shard's commit record, None where it has no valid one: then the shard does not exist."""
        return next(self.records([shard]))

    def stored_records(self, shards: Sequence[int]) -> Iterator[tuple[CommitRecord | None, bytes]]:
        """The valid record of each of these shards, and the bytes that are stored for it; few lie in memory at once."""
        for first in range(0, len(shards), RECORDS_AT_ONCE):
            part = shards[first : first + RECORDS_AT_ONCE]
            found = self.backend.read_many([commit_path(shard) for shard in part])
            for shard, data in zip(part, found, strict=True):
                yield self.valid_record(shard, data), data or b""

    def records(self, shards: Sequence[int] | None = None) -> Iterator[CommitRecord | None]:
        """The commit records of some shards, or of all, one after the other."""
        for record, _ in self.stored_records(range(self.num_shards) if shards is None else shards):
            yield record

    def missing(self, shards: Sequence[int] | None = None) -> list[int]:
        """Shards (of these, or of all) without a valid commit record. Looks at the records alone, not at the data."""
        shards = range(self.num_shards) if shards is None else shards
        return [shard for shard, record in zip(shards, self.records(shards), strict=True) if record is None]

    def manifest(self) -> Manifest | None:
        """The manifest, None where the store is not finished."""
        return Manifest.from_bytes(self.backend.read_many([MANIFEST])[0])

    # Who makes what

    def claim(self, shard: int) -> bool:
        """Takes a shard for this process; False where another living worker has it. ``write_shard`` releases it."""
        self.shard_range(shard)
        with self._lock:
            if shard in self._claims:
                return False
            claim = self.backend.claim(f"{shard:06d}", self.run)
            if claim is not None:
                self._claims[shard] = claim
            return claim is not None

    def release(self, shard: int, error: str = "") -> None:
        """Gives a claimed shard back, with an error that ``status`` tells until the shard is there."""
        with self._lock:
            claim = self._claims.pop(shard, None)
        if claim is not None:
            claim.release(error)

    @contextmanager
    def making(self, shard: int) -> Iterator[None]:
        """Around the making of a claimed shard: where it fails, the claim is given back and tells why."""
        try:
            yield
        except Exception as error:
            self.release(shard, _told(error))
            raise

    def claim_missing(self, shards: Sequence[int] | None = None, wait: bool = True) -> Iterator[int]:
        """Yields missing shards (of these, or of all) that are now this process's to make, until none is missing.

        Several processes may run this at once: each shard goes to one of them. At the end it waits for the shards that
        others still make, and takes those over whose maker has died; ``wait=False`` ends instead. Every yielded shard
        must be written (``write_shard``, also by a ``ShardWriter``) or given back with ``release``.
        """
        missing, pause = self.missing(shards), POLL_S
        while missing:
            idle = True
            for shard in missing:
                if self.claim(shard):
                    if self.record(shard) is not None:  # its maker finished between our look and our claim
                        self.release(shard)
                        continue
                    idle = False
                    yield shard
            if idle and not wait:
                return
            pause = min(2 * pause, LONGEST_POLL_S) if idle else POLL_S
            if idle:
                time.sleep(pause)
            missing = self.missing(missing)

    def close(self) -> None:
        """Releases every claim."""
        for shard in list(self._claims):
            self.release(shard)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing

    def encode(
        self, shard: int, arrays: Mapping[str, Shaped[np.ndarray, "n ..."]]
    ) -> tuple[CommitRecord, dict[str, bytes]]:
        """Checks a shard's arrays and gives its record and its files' bytes; stores nothing."""
        pixels = check_shard(self.spec, shard, arrays)
        size = self.spec.samples_per_shard
        files = {
            array.chunk_path(shard): encode_shard(array, size, arrays[array.name]) for array in self.spec.shard_arrays()
        }
        start, stop = self.shard_range(shard)
        record = CommitRecord(
            shard=shard,
            start=start,
            stop=stop,
            spec_hash=self.spec.hash,
            files={path: FileInfo.of(data) for path, data in files.items()},
            class_pixels=tuple(pixels[: len(self.spec.classes)]),
            ignored_pixels=pixels[self.spec.ignore_index],
            software=self.software_beside(),
        )
        return record, files

    def software_beside(self) -> dict[str, str]:
        """Versions of our software, where it is not that which created the store; empty where it is."""
        if self._beside is None:
            ours = software_versions()
            self._beside = {} if ours == self.software else ours
        return self._beside

    def write_shard(self, shard: int, arrays: Mapping[str, Shaped[np.ndarray, "n ..."]]) -> CommitRecord:
        """Writes and commits one whole shard, and releases its claim.

        ``arrays`` has every array of ``spec.shard_arrays()`` by name, exactly of its dtype and ``(n, *sample_shape)``.
        A shard that is already committed stays as it is: the first commit wins, and its record is returned.
        Raises InputError for arrays that do not belong there, WorkError where the disk or server fails.
        """
        try:
            with self.making(shard):
                record, files = self.encode(shard, arrays)
                return self.commit(record, files)
        finally:
            self.release(shard)

    def commit(self, record: CommitRecord, files: Mapping[str, bytes]) -> CommitRecord:
        """Publishes encoded files, then their record, exclusively."""
        shard, path = record.shard, commit_path(record.shard)
        self._own(shard)
        self.refuse_if_changed()
        stored = self.backend.read_many([path])[0]
        committed = self.valid_record(shard, stored)
        if committed is not None:
            return committed
        if stored is not None:  # of a shorter last shard, or damaged: it must not outlive the data that it describes
            self.backend.delete([path])
        self.backend.write(files)
        if not self._claims[shard].is_mine():
            raise WorkError(f"shard {shard} was taken over by another worker while this one stalled; nothing is lost")
        if self.backend.write_new(path, record.to_bytes()):
            return record
        committed = self.record(shard)
        if committed is None or committed.files != record.files:
            # Only where a lapsed lease let two workers in: neither record may vouch for a mixture of both.
            self.backend.delete([path])
            raise WorkError(
                f"two workers made shard {shard} differently; it counts as missing: run the same command again"
            )
        return committed

    def withdraw(self, shards: Sequence[int]) -> None:
        """Makes committed shards missing, so that they are made anew; the store is unfinished from then on.

        Those that a living worker has claimed are left to it.
        """
        claim = wait_for_claim(self.backend, "create")
        try:
            mine = [shard for shard in shards if self.claim(shard)]
            self.backend.delete([MANIFEST])
            self.backend.delete([commit_path(shard) for shard in mine])
            for shard in mine:
                self.release(shard)
        finally:
            claim.release()

    def _own(self, shard: int) -> None:
        """Waits for the shard's claim if this process does not have it."""
        deadline = time.monotonic() + _LOCK_WAIT_S
        while shard not in self._claims and not self.claim(shard):
            if time.monotonic() > deadline:
                raise WorkError(f"shard {shard} is claimed by another worker for {_LOCK_WAIT_S:.0f} s")
            time.sleep(POLL_S)

    def refuse_if_changed(self) -> None:
        """A store that has grown meanwhile has another last shard and other metadata than this process knows."""
        now = read_spec(self.backend)
        if now.count != self.spec.count or now.hash != self.spec.hash:
            raise WorkError(
                f"the store grew from {self.spec.count} to {now.count} samples meanwhile: run with the new count"
            )


def _told(error: Exception) -> str:
    """An error in one line; nothing of a person's own doing."""
    if isinstance(error, Interrupted):
        return ""
    line = " ".join(str(error).split())[:500]
    return line if line and isinstance(error, (InputError, WorkError)) else f"{type(error).__name__}: {line}"


def read_spec(backend: Source) -> DatasetSpec:
    """The spec in a store's root document; InputError where there is no store, WorkError where it is damaged."""
    return read_root(backend)[0]


def read_root(backend: Source) -> tuple[DatasetSpec, dict[str, str]]:
    """The spec in the root document, and the versions of the software that created the store; these stay as it grows.

    Raises InputError where there is no store, WorkError where it is damaged.
    """
    where = f"{backend.uri}/{ROOT}"
    try:
        document = json.loads(backend.read(ROOT))
    except FileNotFoundError as error:
        raise InputError(f"{backend.uri} is not a dataset store (it has no {ROOT})") from error
    except ValueError as error:
        raise WorkError(f"{where} is damaged: it is not JSON") from error
    attributes = document.get("attributes") if isinstance(document, dict) else None
    attributes = attributes if isinstance(attributes, dict) else {}
    return spec_of(attributes, where), dict(attributes.get("software", {}))


def spec_of(attributes: dict[str, Any], where: str) -> DatasetSpec:
    """The spec in root attributes; InputError where they are of another schema, WorkError where damaged."""
    schema = attributes.get("schema"), attributes.get("schema_version")
    if schema != (SCHEMA, SCHEMA_VERSION):
        raise InputError(f"{where} has schema {schema[0]} {schema[1]}, expected {SCHEMA} {SCHEMA_VERSION}")
    try:
        spec = DatasetSpec.from_json(attributes)
    except InputError as error:
        raise WorkError(f"{where} is damaged: {error}") from error
    if attributes.get("spec_hash") != spec.hash:
        raise WorkError(f"{where} is damaged: its spec does not have the hash that it states")
    return spec


def open_store(uri: str, storage_options: dict[str, Any] | None = None, run: str = "") -> Store:
    """An existing store, finished or not; InputError where there is none."""
    backend = open_backend(uri, storage_options)
    return Store(backend, *read_root(backend), run)


def create_store(uri: str, spec: DatasetSpec, storage_options: dict[str, Any] | None = None) -> Store:
    """Makes the store, or opens the one that is there to continue it; any number of processes may call this at once.

    A store of another spec is refused with the fields that differ (InputError). A larger ``count`` grows the store:
    the manifest goes first, then the metadata is replaced; committed shards stay, a shorter last one becomes missing.
    A smaller ``count`` is refused.
    """
    backend = open_backend(uri, storage_options)
    backend.prepare()
    claim = wait_for_claim(backend, "create")
    try:
        backend.remove_strays()
        if backend.read_many([ROOT])[0] is None:
            stored, software = None, software_versions()
        else:
            stored, software = read_root(backend)
            difference = stored.difference(spec)
            # The place where it was first found stays: the hash is what identifies a generator. So do its dimensions.
            spec = replace(spec, generator=stored.generator, latent_dimension=stored.latent_dimension)
            if difference is not None:
                raise InputError(
                    f"{uri} holds another dataset: {difference}; choose another place or the same settings"
                )
            if spec.count < stored.count:
                raise InputError(f"{uri} has {stored.count} samples, {spec.count} were asked for: a store only grows")
        documents = metadata_documents(spec, software)
        current = backend.read_many(list(documents))
        changed = {path: data for (path, data), now in zip(documents.items(), current, strict=True) if now != data}
        if changed and stored is not None:
            backend.delete([MANIFEST])
        for path in changed:  # the root document first: it tells a store from a folder that holds something else
            backend.write({path: changed[path]})
    finally:
        claim.release()
    return Store(backend, spec, software)


def wait_for_claim(backend: Backend, name: str) -> Claim:
    """A claim that others hold for moments only."""
    deadline = time.monotonic() + _LOCK_WAIT_S
    while (claim := backend.claim(name)) is None:
        if time.monotonic() > deadline:
            raise WorkError(
                f"{backend.uri}: another process holds its '{name}' claim for {_LOCK_WAIT_S:.0f} s; try later"
            )
        time.sleep(POLL_S)
    return claim
