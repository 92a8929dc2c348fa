"""Commit records: what exists of a store, with the hash of every byte of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labelfactory.storage.documents import seal, sha256, unseal

COMMIT_KIND = "labelfactory.commit"
RECORDS_AT_ONCE = 1024  # that lie in memory together


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


def files_to_json(files: Mapping[str, FileInfo]) -> dict[str, Any]:
    return {path: {"bytes": info.size, "sha256": info.sha256} for path, info in files.items()}


def files_from_json(document: Mapping[str, Any]) -> dict[str, FileInfo]:
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
    software: dict[str, str] = field(default_factory=dict)  # versions; none: those that created the store

    def to_bytes(self) -> bytes:
        return seal(
            {
                "kind": COMMIT_KIND,
                "version": 1,
                "shard": self.shard,
                "start": self.start,
                "stop": self.stop,
                "spec_hash": self.spec_hash,
                "files": files_to_json(self.files),
                "class_pixels": list(self.class_pixels),
                "ignored_pixels": self.ignored_pixels,
                **({"software": self.software} if self.software else {}),
            }
        )

    @property
    def hash(self) -> str:
        """sha256 of the record's bytes: what a manifest states."""
        return sha256(self.to_bytes())

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
                files=files_from_json(document["files"]),
                class_pixels=tuple(document["class_pixels"]),
                ignored_pixels=document["ignored_pixels"],
                software=dict(document.get("software", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError):  # whole, but not written by this version
            return None
