"""What there is of a store that is being made: each shard done, being made, or missing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from labelfactory.storage.store import open_store


@dataclass
class Status:
    """Shards of a store. ``making`` says of those that a living worker has what is known of it."""

    uri: str
    shards: int
    finished: bool
    missing: list[int]
    making: dict[int, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return self.shards - len(self.missing) - len(self.making)

    def lines(self) -> Iterator[str]:
        """For people: one line for all, one for each shard that is being made, one for the missing ones."""
        end = "finished" if self.finished else "not finished"
        yield (
            f"{self.uri}: {self.done} of {self.shards} shards done, {len(self.making)} being made, "
            f"{len(self.missing)} missing; {end}"
        )
        for shard, who in self.making.items():
            yield f"shard {shard}: being made {who}"
        if self.missing:
            yield f"missing: {_ranges(self.missing)}"


def status(uri: str, storage_options: dict[str, Any] | None = None) -> Status:
    """Looks at commit records and claims, takes nothing; InputError where there is no store."""
    store = open_store(uri, storage_options)
    lacking = store.missing()
    holders = {shard: store.backend.holder(f"{shard:06d}") for shard in lacking}
    return Status(
        uri,
        store.num_shards,
        store.manifest() is not None,
        [shard for shard in lacking if holders[shard] is None],
        {shard: who for shard, who in holders.items() if who is not None},
    )


def _ranges(numbers: list[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7"."""
    parts = []
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ", ".join(parts)
