"""What there is of a store that is being made: each shard done, stale, being made, failed or missing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

from labelfactory.errors import InputError
from labelfactory.storage.backends.backend import ClaimNote
from labelfactory.storage.metadata import software_versions
from labelfactory.storage.records import CommitRecord
from labelfactory.storage.store import Store, open_store

WORDS = ("missing", "failed", "stale")
LINES = 100  # of ranges that a person is told; JSON has all


@dataclass
class Status:
    """Shards of a store that are not simply done.

    stale    by what other software, or as part of what other data set, they were made; if of other software, they are
             done all the same
    making   which living worker has them
    failed   what went wrong when they were last tried, or who left them
    missing  all others without a valid record
    """

    uri: str
    shards: int
    finished: bool
    stale: dict[int, str] = field(default_factory=dict)
    making: dict[int, ClaimNote] = field(default_factory=dict)
    failed: dict[int, ClaimNote] = field(default_factory=dict)
    missing: list[int] = field(default_factory=list)
    lacking: set[int] = field(default_factory=set)

    @property
    def done(self) -> int:
        """Shards with a valid record, whatever software made them."""
        return self.shards - len(self.lacking)

    def runs(self) -> Iterator[tuple[int, int, str, str]]:
        """First and last shard of each row of equal ones, their state, and what is known of it."""
        told = dict.fromkeys(self.missing, ("missing", ""))
        told |= {shard: ("stale", why) for shard, why in self.stale.items()}
        told |= {shard: ("failed", _failure(note)) for shard, note in self.failed.items()}
        told |= {
            shard: ("being made", f"by {_maker(note)}, since {_time(note.since)}")
            for shard, note in self.making.items()
        }
        at = 0
        for (state, why), (first, last) in _rows(sorted(told.items())):
            if at < first:
                yield at, first - 1, "done", ""
            yield first, last, state, why
            at = last + 1
        if at < self.shards:
            yield at, self.shards - 1, "done", ""

    def summary(self) -> str:
        parts = {
            "stale": len(self.stale),
            "being made": len(self.making),
            "failed": len(self.failed),
            "missing": len(self.missing),
        }
        told = "".join(f", {number} {state}" for state, number in parts.items() if number)
        end = "finished" if self.finished else "not finished"
        return f"{self.uri}: {self.done} of {self.shards} shards done{told}; {end}"

    def lines(self) -> Iterator[str]:
        """For people: one line for all, one for each row of shards that are alike."""
        yield self.summary()
        for number, (first, last, state, why) in enumerate(self.runs()):
            if number == LINES:
                yield f"... and more: this is told of the first {LINES} rows; --json has all"
                return
            yield f"{_range(first, last)} {state}{f': {why}' if why else ''}"

    def to_json(self) -> dict[str, Any]:
        return {
            "store": self.uri,
            "shards": self.shards,
            "finished": self.finished,
            "done": self.done,
            "stale": len(self.stale),
            "being_made": len(self.making),
            "failed": len(self.failed),
            "missing": len(self.missing),
            "ranges": [
                {
                    "first": first,
                    "last": last,
                    "state": state,
                    **({"why": why} if why else {}),
                    **(self._who(first) if first in self.making or first in self.failed else {}),
                }
                for first, last, state, why in self.runs()
            ],
        }

    def _who(self, shard: int) -> dict[str, Any]:
        note = self.making.get(shard) or self.failed[shard]
        return {"host": note.host, "pid": note.pid, "run": note.run, "since": _time(note.since)}


def status(uri: str, storage_options: dict[str, Any] | None = None) -> Status:
    """Looks at commit records and claims, takes nothing; InputError where there is no store."""
    return look(open_store(uri, storage_options))


def look(store: Store, before: Status | None = None) -> Status:
    """The status of a store. Shards that were done ``before``, and not stale, are not looked at again."""
    shards: Sequence[int] = range(store.num_shards)
    if before is not None:
        shards = sorted(before.lacking | before.stale.keys())
    found = Status(store.uri, store.num_shards, store.manifest() is not None)
    ours = software_versions()
    for shard, (record, data) in zip(shards, store.stored_records(shards), strict=True):
        if record is None:
            found.lacking.add(shard)
        if why := _stale(store, record, data, ours):
            found.stale[shard] = why
    open_to_claims = sorted(found.lacking | found.stale.keys())
    notes = store.backend.claims([f"{shard:06d}" for shard in open_to_claims])
    for shard in open_to_claims:
        note = notes.get(f"{shard:06d}")
        if note is not None and note.state == "held":
            found.making[shard] = note
            found.stale.pop(shard, None)
        elif note is not None and shard in found.lacking:
            found.failed[shard] = note
            found.stale.pop(shard, None)
        elif shard not in found.stale:
            found.missing.append(shard)
    return found


def chosen_shards(store: Store, text: str) -> list[int]:
    """Shards by number (3,7), by range (10:20, the end left out as in Python), or missing, failed or stale ones.

    InputError for what is neither, and for a shard that there is not.
    """
    if text == "missing":
        return store.missing()
    if text in WORDS:
        found = look(store)
        return sorted(found.failed if text == "failed" else found.stale)
    chosen = set[int]()
    for part in text.split(","):
        first, colon, last = part.strip().partition(":")
        try:
            start, stop = int(first), int(last) if colon else int(first) + 1
        except ValueError:
            raise InputError(f"shards {text!r}: expected 3,7,10:20, missing, failed or stale") from None
        if stop <= start:
            raise InputError(f"shards {part}: an empty range; the end, which is left out, comes after the start")
        store.shard_range(start)
        store.shard_range(stop - 1)
        chosen.update(range(start, stop))
    return sorted(chosen)


def _stale(store: Store, record: CommitRecord | None, data: bytes, ours: dict[str, str]) -> str:
    """What else than our software, or than this data set, a record is of; "" where there is nothing such."""
    if record is None:
        stranger = CommitRecord.from_bytes(data)
        if stranger is not None and stranger.spec_hash != store.spec.hash:
            return f"of another data set (spec {stranger.spec_hash[:12]}..., here {store.spec.hash[:12]}...)"
        return ""
    theirs, none = record.software or store.software, "not installed"
    other = [
        f"{name} {theirs[name]} (here {version})"
        for name, version in ours.items()
        if name in theirs and none not in (version, theirs[name]) and theirs[name] != version
    ]
    return f"made by {', '.join(other)}" if other else ""


def _failure(note: ClaimNote) -> str:
    if note.error:
        return f"{note.error} ({_maker(note)}, {_time(note.since)})"
    return f"{_maker(note)}, which had it since {_time(note.since)}, is gone"


def _maker(note: ClaimNote) -> str:
    who = f"process {note.pid} on {note.host}" if note.host else "a process on this machine or one that shares its disk"
    return f"{who}, run {note.run}" if note.run else who


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def _rows(told: Iterable[tuple[int, tuple[str, str]]]) -> Iterator[tuple[tuple[str, str], tuple[int, int]]]:
    """Rows of neighbours of which the same is told."""
    for (state, _), group in groupby(enumerate(told), key=lambda item: (item[1][1], item[1][0] - item[0])):
        row = [shard for _, (shard, _) in group]
        yield state, (row[0], row[-1])


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def ranges(numbers: Sequence[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7"; of many ranges the first ten."""
    found = [_range(*row) for _, row in _rows((number, ("", "")) for number in numbers)]
    return ", ".join([*found[:10], *(["..."] if len(found) > 10 else [])])
