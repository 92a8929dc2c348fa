"""What a large order takes: shards, bytes, requests by arithmetic; time and waste by simulating the scheduler."""

import heapq
import math
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.production.line import open_output
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import BATCH, render_shard
from labelfactory.storage import DatasetSpec

# Requests that one shard costs on an object store, by its commit protocol (storage/store.py, production/line.py): two
# looks at its record, the claim, the record and the root document before writing, the claim's owner twice.
GETS_PER_SHARD, DELETES_PER_SHARD = 6, 1
PUTS_BESIDE_ARRAYS = 2  # claim and commit record
LEASE_PUTS_S = 15.0  # a claim is renewed so often
FINALIZE_GETS, FINALIZE_PUTS = 2, 1  # a shard: record and scores; its chunk of ``keep``
MANIFEST_BYTES_PER_SHARD = 190  # hash of the record, path, size and hash of its chunk of ``keep``
FINALIZE_BYTES_PER_PAIR = 17  # float32 scores twice (parts and whole), int64 order, bool keep


@dataclass(frozen=True)
class Calibration:
    """Measured on one worker. ``start_s``: from a fresh process to its first pair."""

    pairs_per_second: float
    bytes_per_pair: float
    start_s: float

    def __post_init__(self) -> None:
        for name in ("pairs_per_second", "bytes_per_pair"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}: expected more than 0")


@dataclass(frozen=True)
class Fleet:
    """The workers and how they misbehave.

    mtbf_hours      mean time between deaths of one worker (preemptions too); inf: never
    restart_s       from a death until the worker computes again, models loaded
    takeover_s      until a dead worker's shard may be taken by another: the lease on an object store
    spread          standard deviation of the logarithm of a shard's duration
    straggler_share, straggler_factor  share of shards that take so many times longer
    """

    workers: int
    mtbf_hours: float = 24.0
    restart_s: float = 90.0
    takeover_s: float = 60.0
    spread: float = 0.1
    straggler_share: float = 0.01
    straggler_factor: float = 5.0

    def __post_init__(self) -> None:
        checks = {
            "workers": self.workers >= 1,
            "mtbf_hours": self.mtbf_hours > 0,
            "restart_s": self.restart_s >= 0,
            "takeover_s": self.takeover_s >= 0,
            "spread": 0 <= self.spread <= 3,
            "straggler_share": 0 <= self.straggler_share <= 1,
            "straggler_factor": self.straggler_factor >= 1,
        }
        for name, sound in checks.items():
            if not sound:
                raise InputError(f"{name} is {getattr(self, name)}: out of range; see factory plan --help")


@dataclass(frozen=True)
class Outcome:
    """One simulated run. Seconds; ``wasted_s`` is work on shards whose worker died before their commit."""

    completion_s: float
    busy_s: float
    wasted_s: float
    deaths: int


@dataclass(frozen=True)
class Sizes:
    """What follows from the spec alone."""

    shards: int
    samples_per_shard: int
    bytes: int
    puts: int
    gets: int
    deletes: int
    manifest_bytes: int
    finalize_memory_bytes: int


def calibrate(order: Order, batches: int = 4) -> tuple[Calibration, DatasetSpec]:
    """Makes some pairs of the order on this machine, encodes them as a shard and throws them away."""
    with tempfile.TemporaryDirectory(prefix="labelfactory-plan-") as folder:
        size = batches * BATCH
        job = prepare(replace(order, out=str(Path(folder) / "trial.zarr"), count=size, shard_size=size))
        began = time.perf_counter()
        render_shard(job, 0, min(BATCH, size))
        start = time.perf_counter() - began
        with open_output(job) as store:
            began = time.perf_counter()
            record, _ = store.encode(0, render_shard(job, 0, size))
            seconds = time.perf_counter() - began
    total = sum(info.size for info in record.files.values())
    spec = replace(job.spec, count=order.count, shard_size=order.shard_size)
    return Calibration(size / seconds, total / size, start), spec


def sizes(spec: DatasetSpec, calibration: Calibration) -> Sizes:
    """Bytes and requests of a whole store on an object store, from its spec and the measured bytes a pair."""
    shards = spec.num_shards
    seconds = spec.samples_per_shard / calibration.pairs_per_second
    puts = PUTS_BESIDE_ARRAYS + len(spec.shard_arrays()) + int(seconds // LEASE_PUTS_S) + FINALIZE_PUTS
    return Sizes(
        shards=shards,
        samples_per_shard=spec.samples_per_shard,
        bytes=round(spec.count * calibration.bytes_per_pair),
        puts=shards * puts,
        gets=shards * (GETS_PER_SHARD + FINALIZE_GETS),
        deletes=shards * DELETES_PER_SHARD,
        manifest_bytes=shards * MANIFEST_BYTES_PER_SHARD,
        finalize_memory_bytes=spec.count * FINALIZE_BYTES_PER_PAIR,
    )


def simulate(shards: int, shard_s: float, shards_per_task: int, fleet: Fleet, start_s: float, seed: int) -> Outcome:
    """One run of the scheduler: tasks in order to whoever is free, a dead worker's task back into the queue.

    A task that comes back goes on behind its committed shards, but not before the lease of the lost one has lapsed.
    """
    if shards < 1 or shard_s <= 0 or shards_per_task < 1:
        raise InputError("simulation: expected 1 or more shards that take time, in tasks of 1 or more")
    rng = np.random.default_rng(seed)
    durations = shard_s * np.exp(rng.normal(-(fleet.spread**2) / 2, fleet.spread, shards))
    durations[rng.random(shards) < fleet.straggler_share] *= fleet.straggler_factor
    sums = np.concatenate([[0.0], np.cumsum(durations)])
    tasks: list[tuple[float, int, int]] = []  # those that come back: free from, first shard, end
    following, deaths, wasted, last = 0, 0, 0.0, 0.0
    free = [(start_s, worker) for worker in range(fleet.workers)]
    mean_life = fleet.mtbf_hours * 3600
    life = rng.exponential(mean_life, fleet.workers) if math.isfinite(mean_life) else np.full(fleet.workers, np.inf)
    heapq.heapify(free)
    while following < shards or tasks:
        now, worker = heapq.heappop(free)
        if tasks and (tasks[0][0] <= now or following >= shards):
            ready, first, end = heapq.heappop(tasks)
            now = max(now, ready)
        else:
            first, end = following, min(shards, following + shards_per_task)
            following = end
        while life[worker] <= now:  # it died idle, waiting for this task
            back = float(life[worker]) + fleet.restart_s
            life[worker] = back + rng.exponential(mean_life)
            now = max(now, back)
        # The first shard of the task that would end after this worker's death; all before it are committed.
        reached = int(np.searchsorted(sums[first + 1 : end + 1] - sums[first], life[worker] - now, side="right"))
        if reached == end - first:
            done = now + float(sums[end] - sums[first])
            last = max(last, done)
            heapq.heappush(free, (done, worker))
            continue
        died = float(life[worker])
        committed = float(sums[first + reached] - sums[first])
        last = max(last, now + committed)
        wasted += max(0.0, died - now - committed)
        deaths += 1
        life[worker] = died + fleet.restart_s + rng.exponential(mean_life)
        heapq.heappush(free, (died + fleet.restart_s, worker))
        heapq.heappush(tasks, (died + fleet.takeover_s, first + reached, end))
    return Outcome(last, float(sums[-1]), wasted, deaths)
