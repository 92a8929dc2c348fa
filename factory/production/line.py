"""The production line without an orchestrator: an order becomes a spec, a spec and a shard number a committed shard.

Everything here is a plain function of plain values, so that a loop, a thread pool, Prefect, Dask or Ray can drive it.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import BATCH, render_shard
from labelfactory.progress import Progress
from labelfactory.storage import Manifest, ShardWriter, Store, create_store, finalize, open_store
from labelfactory.storage.metadata import model_path
from labelfactory.storage.status import chosen_shards, ranges

__all__ = ["BATCH", "Job", "backfill", "make_shards", "open_output", "prepare", "produce", "render_shard"]


def open_output(job: Job) -> Store:
    """Creates the store, or opens the one that is there to continue it, and sees that its models lie in it."""
    store = create_store(job.out, job.spec, job.storage_options or None)
    put_models(job, store)
    return store


def make_shards(job: Job, shards: Sequence[int], on_progress: Callable[[int], Any] = lambda n: None) -> None:
    """Makes and commits those of the shards that are missing; what any worker runs.

    It ends when all of them are there: it waits for those that another worker is making, and takes over should that
    worker die.
    """
    with open_store(job.out, job.storage_options or None) as store:
        for shard in store.claim_missing(shards):
            with store.making(shard):
                store.write_shard(shard, render_shard(job, *store.shard_range(shard), on_progress))


def produce(job: Job, progress: bool = True) -> Manifest:
    """Makes every missing shard in this process, then finishes the store. Running it again resumes."""
    with open_output(job) as store:
        _make(job, store, None, progress)
        return finalize(store)


def put_models(job: Job, store: Store) -> None:
    """Sees that the job's models lie in its store."""
    _put_model(store, "interpreter", job.interpreter, job.spec.interpreter_sha256)
    for name, sha256 in job.spec.heads.items():
        if sha256:
            _put_model(store, "regressor", job.heads.get(name, ""), sha256)


def _put_model(store: Store, kind: str, path: str, sha256: str) -> None:
    key = model_path(kind, sha256)
    stored = store.backend.read_many([key])[0]
    if stored is None or hashlib.sha256(stored).hexdigest() != sha256:
        data = Path(path).read_bytes() if Path(path).is_file() else b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"{path}: not the {kind} of this dataset (sha256 {sha256[:12]}...)")
        store.backend.write({key: data})


def backfill(
    job: Job, shards: str, progress: bool = True, tell: Callable[[str], Any] = lambda line: None
) -> Manifest | None:
    """Makes some shards (see ``chosen_shards``), and finishes the store if none is missing then.

    Else ``tell`` hears so, and it gives None. InputError for shards that there are not.
    """
    with open_output(job) as store:
        _make(job, store, wanted_shards(store, shards, tell), progress)
        rest = store.missing()
        if not rest:
            return finalize(store)
        tell(not_finished(store, rest))
        return None


def wanted_shards(store: Store, shards: str, tell: Callable[[str], Any]) -> list[int]:
    """The shards of a backfill that are missing; stale ones are, after this."""
    chosen = chosen_shards(store, shards)
    if shards == "stale" and chosen:
        store.withdraw(chosen)
    lacking = store.missing(chosen)
    done = f"; {len(chosen) - len(lacking)} of them are there" if len(lacking) < len(chosen) else ""
    tell(f"{store.uri}: {len(chosen)} shards chosen ({ranges(chosen) or 'none'}){done}")
    return lacking


def not_finished(store: Store, missing: list[int]) -> str:
    """What a backfill tells that leaves shards missing."""
    return (
        f"{store.uri}: not finished, {len(missing)} of {store.num_shards} shards are missing ({ranges(missing)}): "
        "generate without --shards makes them and finishes"
    )


def _make(job: Job, store: Store, shards: list[int] | None, progress: bool) -> None:
    """Makes those of the shards, or of all, that are missing."""
    missing = store.missing() if shards is None else shards
    todo = sum(stop - start for start, stop in map(store.shard_range, missing))
    with Progress(total=todo, desc="pairs", unit="pair", disable=not progress) as bar, ShardWriter(store) as writer:
        for shard in store.claim_missing(shards):
            with store.making(shard):
                writer.put(shard, render_shard(job, *store.shard_range(shard), bar.update))
