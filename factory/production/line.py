"""The production line without an orchestrator: an order becomes a spec, a spec and a shard number a committed shard.

Everything here is a plain function of plain values, so that a loop, a thread pool, Prefect, Dask or Ray can drive it.
"""

import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from labelfactory.factory.production.job import Job
from labelfactory.factory.production.models import put_models
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import BATCH, render_shard
from labelfactory.storage import CommitRecord, Manifest, ShardWriter, Store, create_store, finalize, open_store

__all__ = ["BATCH", "Job", "make_shard", "open_output", "prepare", "produce", "render_shard"]

POLL_S = 1.0  # between two looks at a shard that another worker is making


def open_output(job: Job) -> Store:
    """Creates the store, or opens the one that is there to continue it, and sees that its models lie in it."""
    store = create_store(job.out, job.spec, job.storage_options or None)
    put_models(job, store)
    return store


def make_shard(
    job: Job, shard: int, store: Store | None = None, on_progress: Callable[[int], Any] = lambda n: None
) -> CommitRecord:
    """Makes and commits one shard; what any worker runs. Returns the committed record, also of one made before.

    Where another worker is making this very shard it waits for that, and takes over should that worker die.
    """
    store = store or open_store(job.out, job.storage_options or None)
    while (record := store.record(shard)) is None and not store.claim(shard):
        time.sleep(POLL_S)
    if record is None:
        record = store.record(shard)  # its maker may have finished between our look and our claim
    try:
        return record or store.write_shard(shard, render_shard(job, *store.shard_range(shard), on_progress))
    finally:
        store.release(shard)


def produce(job: Job, progress: bool = True) -> Manifest:
    """Makes every missing shard in this process, then finishes the store. Running it again resumes."""
    with open_output(job) as store:
        missing = {shard: store.shard_range(shard) for shard in store.missing()}
        todo = sum(stop - start for start, stop in missing.values())
        with tqdm(total=todo, desc="pairs", unit="pair", disable=not progress) as bar, ShardWriter(store) as writer:
            for shard in store.claim_missing():
                writer.put(shard, render_shard(job, *store.shard_range(shard), bar.update))
        return finalize(store)
