"""A few shards in whatever process or thread a task runner chose.

Apart from the flow's module: a task's own function travels to other processes by value, with everything that it names;
this one travels by its name.
"""

import threading
import time

from labelfactory.errors import WorkError
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.render import render_shard
from labelfactory.flows.faults import StoppedError
from labelfactory.storage import open_store

_stops: dict[str, threading.Event] = {}  # flow run -> set where its threads have to leave their shard


def _stop_of(run: str) -> threading.Event:
    return _stops.setdefault(run, threading.Event())


def stop_groups(run: str) -> None:
    """Threads of this process that work for ``run`` end after their batch; other processes never hear of it."""
    _stop_of(run).set()


def forget_stop(run: str) -> None:
    _stops.pop(run, None)


def make_group(job: Job, shards: list[int], timeout_s: float, run: str) -> int:
    """Makes and commits the shards; the number of pairs in them. Doing it again skips what is committed.

    Raises WorkError for a shard that takes longer than ``timeout_s``, StoppedError where the run has ended meanwhile.
    """
    stop = _stop_of(run)

    def leave_if_due(_: int) -> None:
        """After every batch: Prefect's own timeouts cannot interrupt a thread."""
        if stop.is_set():
            raise StoppedError("cancelled")
        if time.monotonic() > deadline:
            raise WorkError(f"shard {shard} takes longer than {timeout_s:g} s: raise execution.shard_timeout_s")

    with open_store(job.out, job.storage_options or None, run) as store:
        for shard in store.claim_missing(shards):
            deadline = time.monotonic() + timeout_s
            with store.making(shard):
                store.write_shard(shard, render_shard(job, *store.shard_range(shard), leave_if_due))
        ranges = [store.shard_range(shard) for shard in shards]
    return sum(end - start for start, end in ranges)
