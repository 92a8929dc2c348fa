"""Commit records and the manifest: what exists, with the hash of every byte of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelfactory.storage.documents import seal, sha256, unseal

COMMIT_KIND, MANIFEST_KIND = "labelfactory.commit", "labelfactory.manifest"
MANIFEST = "manifest.json"
COUNTED_FROM = 4096  # shards from which on a manifest says how many samples each keeps


def commit_path(shard: int) -> str:
    return f"_commits/{shard:06d}.json"


@dataclass(frozen=True)
class FileInfo:
    """Size in bytes and hash of one file, as it must be."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "FileInfo":
        return cls(len(data), sha256(data))

    def matches(self, data: bytes) -> bool:
        return len(data) == self.size and sha256(data) == self.sha256


def _files_to_json(files: Mapping[str, FileInfo]) -> dict[str, Any]:
    return {path: {"bytes": info.size, "sha256": info.sha256} for path, info in files.items()}


def _files_from_json(document: Mapping[str, Any]) -> dict[str, FileInfo]:
    return {path: FileInfo(int(info["bytes"]), str(info["sha256"])) for path, info in document.items()}


@dataclass(frozen=True)
class CommitRecord:
    """One committed shard. It holds nothing of its maker or its hour, so the same shard has the same record."""

    shard: int
    start: int
    stop: int
    spec_hash: str
    files: dict[str, FileInfo]  # path in the store -> what its bytes must be
    class_pixels: tuple[int, ...]  # mask pixels of each class
    ignored_pixels: int

    def to_bytes(self) -> bytes:
        return seal(
            {
                "kind": COMMIT_KIND,
                "version": 1,
                "shard": self.shard,
                "start": self.start,
                "stop": self.stop,
                "spec_hash": self.spec_hash,
                "files": _files_to_json(self.files),
                "class_pixels": list(self.class_pixels),
                "ignored_pixels": self.ignored_pixels,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes | None) -> "CommitRecord | None":
        """The record, or None where the bytes are not a whole and unchanged one."""
        document = unseal(data) if data is not None else None
        if document is None or document.get("kind") != COMMIT_KIND or document.get("version") != 1:
            return None
        try:
            return cls(
                shard=document["shard"],
                start=document["start"],
                stop=document["stop"],
                spec_hash=document["spec_hash"],
                files=_files_from_json(document["files"]),
                class_pixels=tuple(document["class_pixels"]),
                ignored_pixels=document["ignored_pixels"],
            )
        except (KeyError, TypeError, ValueError):  # whole, but not written by this version
            return None


@dataclass(frozen=True)
class Manifest:
    """The finished set: what readers trust. Written last, and taken away before a store grows."""

    count: int
    shard_size: int
    spec_hash: str
    kept: int
    attributes: dict[str, Any]  # the root document's, once more: either can be rebuilt from the other
    files: dict[str, FileInfo]  # metadata documents and the chunks of ``keep``
    commits: tuple[str, ...]  # sha256 of every commit record, in order
    kept_in_shards: tuple[int, ...] = ()  # samples that each shard keeps, in stores of ``COUNTED_FROM`` shards or more

    @staticmethod
    def hash_of(record: CommitRecord) -> str:
        return sha256(record.to_bytes())

    def to_bytes(self) -> bytes:
        return seal(
            {
                "kind": MANIFEST_KIND,
                "version": 1,
                "count": self.count,
                "shard_size": self.shard_size,
                "spec_hash": self.spec_hash,
                "kept": self.kept,
                "attributes": self.attributes,
                "files": _files_to_json(self.files),
                "commits": list(self.commits),
                **({"kept_in_shards": list(self.kept_in_shards)} if self.kept_in_shards else {}),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes | None) -> "Manifest | None":
        """The manifest, or None where the bytes are not a whole and unchanged one."""
        document = unseal(data) if data is not None else None
        if document is None or document.get("kind") != MANIFEST_KIND or document.get("version") != 1:
            return None
        try:
            return cls(
                count=document["count"],
                shard_size=document["shard_size"],
                spec_hash=document["spec_hash"],
                kept=document["kept"],
                attributes=document["attributes"],
                files=_files_from_json(document["files"]),
                commits=tuple(document["commits"]),
                kept_in_shards=tuple(document.get("kept_in_shards", ())),
            )
        except (KeyError, TypeError, ValueError):  # whole, but not written by this version
            return None
