"""Where a store's bytes live. Two kinds with one face: a local folder, and anything else that fsspec reaches."""

import json
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ClaimNote:
    """What is known of a claim that is there.

    state  "held" by a living worker; "failed": its work went wrong, it is free; "left": its owner is gone, it is free
    host, pid, run  whose it is or was; ``run`` is what an orchestrator calls the work, "" without one
    since  when it was taken or failed, in seconds since 1970
    error  of a failure, in one line
    """

    state: Literal["held", "failed", "left"]
    host: str = ""
    pid: int = 0
    run: str = ""
    since: float = 0.0
    error: str = ""

    @classmethod
    def of(cls, document: Mapping[str, Any], held: bool) -> "ClaimNote":
        """KeyError, TypeError or ValueError for what ``claim_document`` did not write."""
        error = str(document.get("error", ""))
        return cls(
            "failed" if error else "held" if held else "left",
            str(document["host"]),
            int(document["pid"]),
            str(document["run"]),
            float(document["since"]),
            error,
        )


def claim_document(run: str, error: str = "", **more: Any) -> bytes:
    """What is stored with a claim of this process."""
    document = {"host": socket.gethostname(), "pid": os.getpid(), "run": run, "since": time.time(), **more}
    return json.dumps(document | ({"error": error} if error else {})).encode()


class Claim(ABC):
    """Ownership of one piece of work. Advisory: correctness rests on exclusive records; claims save double work."""

    @abstractmethod
    def is_mine(self) -> bool:
        """False once another worker has taken it over."""

    @abstractmethod
    def release(self, error: str = "") -> None:
        """Gives it back; with an error it is free too, and says so until the work succeeds."""


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
    def claim(self, name: str, run: str = "") -> Claim | None:
        """Takes ownership of ``name``, None where a living worker has it. ``run`` is noted with it."""

    @abstractmethod
    def claims(self, names: Sequence[str]) -> dict[str, ClaimNote]:
        """What is known of those of these claims that are there."""

    @abstractmethod
    def prepare(self) -> None:
        """Makes the place where a new store goes; InputError where a folder holds something else already."""

    @abstractmethod
    def remove_strays(self, done: Sequence[str] = ()) -> None:
        """Removes what dead writers have left behind, and nothing that a living one still needs; failures stay noted.

        ``done`` names claims whose work is finished, whoever still seems to hold them.
        """
