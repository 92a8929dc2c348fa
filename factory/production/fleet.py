"""Workers that wait, lag and die: one run of the scheduler, simulated."""

import heapq
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter, check_fields

TASKS = 2000  # at most a run: some ten milliseconds each, and small enough that 64 workers end together


def shard_groups(shards: list[int], shards_per_task: int | None = None) -> list[list[int]]:
    """The shards of each task; by default as few a task as ``TASKS`` tasks allow."""
    size = shards_per_task or -(-len(shards) // TASKS) or 1
    return [shards[i : i + size] for i in range(0, len(shards), size)]


@dataclass(frozen=True)
class Fleet:
    """The workers and how they misbehave.

    takeover_s  until a dead worker's shard may be taken by another: the lease on an object store
    spread      standard deviation of the logarithm of a shard's duration, 0 to 3
    """

    workers: Annotated[int, Parameter("Worker processes.", at_least=1, at_most=100_000)] = 1
    mtbf_hours: Annotated[
        float, Parameter("Mean hours between deaths of a worker (preemptions too).", more_than=0, at_most=math.inf)
    ] = 24.0
    restart_s: Annotated[float, Parameter("Seconds until a dead worker computes again.", at_least=0)] = 90.0
    takeover_s: Annotated[float, Parameter("Seconds until another takes a dead worker's shard over.", at_least=0)] = (
        60.0
    )
    spread: Annotated[
        float, Parameter("Spread of the shards' durations: standard deviation of the logarithm.", at_least=0, at_most=3)
    ] = 0.1
    straggler_share: Annotated[float, Parameter("Share of shards that take much longer.", at_least=0, at_most=1)] = 0.01
    straggler_factor: Annotated[float, Parameter("Factor by which they take longer.", at_least=1)] = 5.0

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Outcome:
    """One simulated run. Seconds; ``wasted_s`` is work on shards whose worker died before their commit."""

    completion_s: float
    busy_s: float
    wasted_s: float
    deaths: int


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
