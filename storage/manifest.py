"""The manifest: what readers trust. Of many shards it comes in parts, of which a reader loads those that it needs."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from labelfactory.errors import WorkError
from labelfactory.storage.backends.backend import Source
from labelfactory.storage.documents import seal, sha256, unseal
from labelfactory.storage.records import (
    RECORDS_AT_ONCE,
    CommitRecord,
    FileInfo,
    commit_path,
    files_from_json,
    files_to_json,
)

MANIFEST, MANIFEST_KIND, PART_KIND = "manifest.json", "labelfactory.manifest", "labelfactory.manifest_part"
SHARDS_IN_PART = 1024
PARTS_FROM = 1024  # shards from which on a manifest comes in parts
PARTS_IN_MEMORY = 4  # 0.5 MB each


def comes_in_parts(num_shards: int) -> bool:
    """Whether a manifest of so many shards does."""
    return num_shards >= PARTS_FROM


def parts_of(num_shards: int) -> Iterator[tuple[int, range]]:
    """Number and shards of each part."""
    for number, first in enumerate(range(0, num_shards, SHARDS_IN_PART)):
        yield number, range(first, min(first + SHARDS_IN_PART, num_shards))


def part_path(number: int) -> str:
    return f"_manifest/{number:06d}.json"


def keep_path(shard: int) -> str:
    return f"keep/c/{shard}"


@dataclass(frozen=True)
class Entry:
    """What a manifest states of one shard."""

    commit: str  # sha256 of its commit record
    keep: FileInfo  # its chunk of ``keep``


@dataclass(frozen=True)
class Part:
    """The entries of ``SHARDS_IN_PART`` shards, from shard ``first`` on; the last part may have fewer."""

    first: int
    entries: tuple[Entry, ...]

    def to_bytes(self) -> bytes:
        return seal(
            {
                "kind": PART_KIND,
                "version": 1,
                "first": self.first,
                "commits": [entry.commit for entry in self.entries],
                "keep_bytes": [entry.keep.size for entry in self.entries],
                "keep_sha256": [entry.keep.sha256 for entry in self.entries],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Part | None":
        """The part, or None where the bytes are not a whole and unchanged one."""
        document = unseal(data)
        if document is None or document.get("kind") != PART_KIND or document.get("version") != 1:
            return None
        keep = map(FileInfo, document["keep_bytes"], document["keep_sha256"])
        return cls(document["first"], tuple(map(Entry, document["commits"], keep)))


@dataclass(frozen=True)
class Manifest:
    """The finished set. Written last, and taken away before a store grows.

    attributes      the root document's, once more: either can be rebuilt from the other
    files           metadata documents and models; of few shards also the chunks of ``keep``
    commits         of few shards: sha256 of every commit record, in order
    parts           of many shards: sha256 of every part, in order
    kept_in_shards  of many shards: samples that each keeps, so that a reader need not open them all
    """

    count: int
    shard_size: int
    spec_hash: str
    kept: int
    attributes: dict[str, Any]
    files: dict[str, FileInfo]
    commits: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    kept_in_shards: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        entries = {"parts": list(self.parts)} if self.parts else {"commits": list(self.commits)}
        return seal(
            {
                "kind": MANIFEST_KIND,
                "version": 2 if self.parts else 1,
                "count": self.count,
                "shard_size": self.shard_size,
                "spec_hash": self.spec_hash,
                "kept": self.kept,
                "attributes": self.attributes,
                "files": files_to_json(self.files),
                **entries,
                **({"kept_in_shards": list(self.kept_in_shards)} if self.kept_in_shards else {}),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes | None) -> "Manifest | None":
        """The manifest, or None where the bytes are not a whole and unchanged one."""
        document = unseal(data) if data is not None else None
        if document is None or document.get("kind") != MANIFEST_KIND or document.get("version") not in (1, 2):
            return None
        try:
            return cls(
                count=document["count"],
                shard_size=document["shard_size"],
                spec_hash=document["spec_hash"],
                kept=document["kept"],
                attributes=document["attributes"],
                files=files_from_json(document["files"]),
                commits=tuple(document["commits"] if document["version"] == 1 else ()),
                parts=tuple(document["parts"] if document["version"] == 2 else ()),
                kept_in_shards=tuple(document.get("kept_in_shards", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError):  # whole, but not written by this version
            return None


class Entries:
    """A manifest's entries by shard, wherever they stand. Threads may share it; pickling leaves its parts behind."""

    def __init__(self, source: Source, manifest: Manifest) -> None:
        self._source, self._manifest = source, manifest
        self._parts: OrderedDict[int, Part] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["Entries"], tuple[Source, Manifest]]:
        return type(self), (self._source, self._manifest)

    def __getitem__(self, shard: int) -> Entry:
        """KeyError or IndexError for a shard that the manifest does not know, WorkError where its part is damaged."""
        if not self._manifest.parts:
            return Entry(self._manifest.commits[shard], self._manifest.files[keep_path(shard)])
        number, place = divmod(shard, SHARDS_IN_PART)
        with self._lock:
            part = self._parts.get(number)
            if part is None:
                part = self._parts[number] = self._read(number)
                if len(self._parts) > PARTS_IN_MEMORY:
                    self._parts.popitem(last=False)
        return part.entries[place]

    def records(self, shards: Sequence[int]) -> Iterator[CommitRecord]:
        """Commit records, each as the manifest states it; WorkError for one that is not. Few lie in memory at once."""
        for first in range(0, len(shards), RECORDS_AT_ONCE):
            some = shards[first : first + RECORDS_AT_ONCE]
            found = self._source.read_many([commit_path(shard) for shard in some])
            for shard, data in zip(some, found, strict=True):
                record = CommitRecord.from_bytes(data)
                if record is None or sha256(data or b"") != self[shard].commit:
                    uri = self._source.uri
                    raise WorkError(f"shard {shard} of {uri}: its commit record is not what the manifest states")
                yield record

    def _read(self, number: int) -> Part:
        path, uri = part_path(number), self._source.uri
        try:
            data = self._source.read(path)
        except FileNotFoundError:
            raise WorkError(f"{path} is missing in {uri}: run `factory verify --repair {uri}`") from None
        part = Part.from_bytes(data) if sha256(data) == self._manifest.parts[number] else None
        if part is None:
            raise WorkError(f"{uri}/{path} is damaged: run `factory verify --repair {uri}`")
        return part
