"""Pairs made from a label set while its page stays open: ``factory generate`` in a process of its own."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from labelfactory.factory.labels.child_process import ChildProcess
from labelfactory.factory.production.order import Order

LOOK_S = 0.5  # between two looks at how far it is


@dataclass(frozen=True)
class Made:
    """Pairs that are committed, of how many; ``finished``: the whole store can be read."""

    done: int
    total: int
    out: str
    finished: bool = False


class GeneratingProcess(ChildProcess):
    """Makes the pairs of an order; ``hear`` gets ``Made``, or one WorkError. It is called in a thread of its own.

    Stopping it leaves a store that the same order continues.
    """

    def __init__(self, order: Order, hear: Callable[[Any], None]) -> None:
        super().__init__(_produce, (order,), hear, "generating", "generating")


def _produce(pipe: Connection, order: Order) -> None:
    from labelfactory.factory.production.line import open_output, produce
    from labelfactory.factory.production.prepare import prepare

    job = prepare(order, progress=False)
    ended = threading.Event()

    def tell() -> None:
        """Counts shards: what is committed is what there is."""
        with open_output(job) as store:
            while not ended.wait(LOOK_S):
                missing = set(store.missing())
                ranges = (store.shard_range(s) for s in range(store.num_shards) if s not in missing)
                pipe.send(Made(sum(stop - start for start, stop in ranges), order.count, order.out))

    watcher = threading.Thread(target=tell)
    watcher.start()
    try:
        produce(job, progress=False)
    finally:
        ended.set()
        watcher.join()
    pipe.send(Made(order.count, order.count, order.out, finished=True))
