"""Where a store's bytes live. Two kinds with one face: a local folder, and anything else that fsspec reaches."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence


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
    def holder(self, name: str) -> str | None:
        """What is known of the living worker that has claimed ``name`` (where, since when); None where none has."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes the place where a new store goes; InputError where a folder holds something else already."""

    @abstractmethod
    def remove_strays(self, done: Sequence[str] = ()) -> None:
        """Removes what dead writers have left behind, and nothing that a living one still needs.

        ``done`` names claims whose work is finished, whoever still seems to hold them.
        """
