"""Where a store's bytes live. Two kinds with one face: a local folder, and anything else that fsspec reaches."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from labelfactory.errors import InputError


class Claim(ABC):
    """Ownership of one piece of work. Advisory: correctness rests on exclusive records; claims save double work."""

    @abstractmethod
    def is_mine(self) -> bool:
        """False once another worker has taken it over."""

    @abstractmethod
    def release(self) -> None: ...


class Source(ABC):
    """What a reader needs. Paths are relative to the store, with ``/``.

    Every failure that a person can act on is a ``WorkError`` of one line (no permission, server gone).
    """

    uri: str

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The whole file; FileNotFoundError where there is none."""

    @abstractmethod
    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several ``[start, stop)`` pieces; a negative start counts from the end (then stop is 0, the end)."""

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        """Whole small files, None for those that do not exist."""
        found: list[bytes | None] = []
        for path in paths:
            try:
                found.append(self.read(path))
            except FileNotFoundError:
                found.append(None)
        return found


class Backend(Source):
    """What a writer needs besides. A write is there whole and flushed, or not at all."""

    @abstractmethod
    def write(self, files: Mapping[str, bytes]) -> None:
        """Puts files in place, each atomically and flushed, replacing older ones."""

    @abstractmethod
    def write_new(self, path: str, data: bytes) -> bool:
        """Creates a file exclusively; False where there already is one (which stays as it is)."""

    @abstractmethod
    def delete(self, paths: Sequence[str]) -> None:
        """Removes files; those that do not exist are fine."""

    @abstractmethod
    def claim(self, name: str) -> Claim | None:
        """Takes ownership of ``name``, None where a living worker has it."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes the place where a new store goes; InputError where something else is already there."""

    @abstractmethod
    def remove_strays(self, done: Sequence[str] = ()) -> None:
        """Removes what dead writers have left behind, and nothing that a living one still needs.

        ``done`` names claims whose work is finished, whoever still seems to hold them.
        """


def open_backend(uri: str, storage_options: dict[str, Any] | None = None) -> Backend:
    """The backend of a path, ``file://`` URI, or any fsspec URL (``s3://``, ``gs://``, ``https://``, ``memory://``)."""
    if not str(uri):
        raise InputError("the store's location is empty: expected a folder or a URL such as s3://bucket/name")
    scheme, separator, rest = str(uri).partition("://")
    if not separator or scheme in ("file", "local"):
        from labelfactory.storage.local import LocalBackend

        return LocalBackend(rest if separator else str(uri))
    from labelfactory.storage.remote import RemoteBackend

    return RemoteBackend(str(uri), storage_options)
