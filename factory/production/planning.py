"""What a large order takes: shards, bytes, requests by arithmetic; time and waste by simulating the scheduler."""

import json
import math
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.factory.production.fleet import Outcome, shard_groups, simulate
from labelfactory.factory.production.line import open_output
from labelfactory.factory.production.order import Order, PlanOrder
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.production.render import BATCH, render_shard
from labelfactory.storage import DatasetSpec
from labelfactory.storage.manifest import comes_in_parts
from labelfactory.whole_files import whole_file

# Requests that one shard costs on an object store, by its commit protocol (storage/store.py, production/line.py): three
# looks at its record, the claim, the record and the root document before writing, the claim's owner twice.
GETS_PER_SHARD, DELETES_PER_SHARD = 7, 1
PUTS_BESIDE_ARRAYS = 2  # claim and commit record
LEASE_PUTS_S = 15.0  # a claim is renewed so often
FINALIZE_GETS, FINALIZE_PUTS = 2, 1  # a shard: record and scores; its chunk of ``keep``
MANIFEST_BYTES_PER_SHARD = 190  # hash of the record, path, size and hash of its chunk of ``keep``
MANIFEST_BYTES_IN_PARTS = 151  # the same without the path, and the number of samples kept
FINALIZE_BYTES_PER_PAIR = 4  # a float32 score, in a temporary file


@dataclass(frozen=True)
class Calibration:
    """Measured on one worker. ``start_s``: from a fresh process to its first pair."""

    pairs_per_second: Annotated[float, Parameter("Pairs that a worker makes in a second.", more_than=0)]
    bytes_per_pair: Annotated[float, Parameter("Bytes that a pair takes in the store.", more_than=0)]
    start_s: float

    def __post_init__(self) -> None:
        check_fields(self)


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
    finalize_disk_bytes: int


def calibrate(order: Order, batches: int = 4) -> tuple[Calibration, DatasetSpec]:
    """Makes some pairs of the order on this machine, encodes them as a shard and throws them away."""
    with tempfile.TemporaryDirectory(prefix="labelfactory-plan-") as folder:
        size = batches * BATCH
        size += -size % (order.walk or 1)
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
        manifest_bytes=shards * (MANIFEST_BYTES_IN_PARTS if comes_in_parts(shards) else MANIFEST_BYTES_PER_SHARD),
        finalize_disk_bytes=spec.count * FINALIZE_BYTES_PER_PAIR,
    )


@dataclass(frozen=True)
class Plan:
    """What an order will take; ``lines`` tells it to a person.

    here, worker  what was measured on this machine; the same with the speed that was asked for
    tasks         a run hands the shards out in these groups: their number and the size of the largest
    runs          simulated runs of the fleet
    """

    order: PlanOrder
    here: Calibration
    worker: Calibration
    sizes: Sizes
    tasks: tuple[int, int]
    runs: tuple[Outcome, ...]

    @property
    def hours(self) -> np.ndarray:
        """Hours that each simulated run takes, from its start to its last shard."""
        return np.array([run.completion_s for run in self.runs]) / 3600

    @property
    def ideal_hours(self) -> float:
        """If nothing ever waited or died."""
        return self.order.wanted.count / self.worker.pairs_per_second / self.order.fleet.workers / 3600

    @property
    def worker_hours(self) -> float:
        return float(self.hours.mean()) * self.order.fleet.workers

    @property
    def costs(self) -> dict[str, float | None]:
        """Price of each part, None where no price was given."""
        order, size = self.order, self.sizes
        parts = {
            "workers": (order.price_worker_hour, self.worker_hours),
            "storage a month": (order.price_gb_month, size.bytes / 1e9),
            "puts": (order.price_1000_puts, size.puts / 1000),
        }
        return {name: None if price is None else price * amount for name, (price, amount) in parts.items()}

    def lines(self) -> list[str]:
        here, size, workers = self.here, self.sizes, self.order.fleet.workers
        waste = float(np.mean([run.wasted_s / run.busy_s for run in self.runs]))
        deaths = float(np.mean([run.deaths for run in self.runs]))
        priced = ", ".join(f"{name} {price:,.2f}" for name, price in self.costs.items() if price is not None)
        drivers = f"{self.worker_hours:,.1f} worker hours, {size.bytes / 1e9:,.1f} GB, {size.puts:,} puts"
        return [
            f"measured here     {here.pairs_per_second:,.1f} pairs/s a worker, {here.bytes_per_pair:,.0f} bytes a "
            f"pair, {here.start_s:.1f} s until the first",
            f"store             {size.shards:,} shards of {size.samples_per_shard:,} pairs, {size.bytes / 1e9:,.1f} "
            f"GB, manifest {size.manifest_bytes / 1e6:,.1f} MB",
            f"requests          {size.puts:,} puts, {size.gets:,} gets, {size.deletes:,} deletes, no listing",
            f"time              {self.hours.mean():,.2f} h with {workers:,} workers (95 % below "
            f"{np.quantile(self.hours, 0.95):,.2f} h; {self.ideal_hours:,.2f} h if nothing ever waited or died)",
            f"waste             {waste:.2%} of the work lost in {deaths:,.1f} deaths of workers",
            f"scheduling        {self.tasks[0]:,} tasks of up to {self.tasks[1]:,} shards",
            f"finalize          {size.finalize_disk_bytes / 1e9:,.2f} GB of scores in a temporary file of one process",
            f"cost drivers      {drivers}{': ' + priced if priced else ' (give prices for a sum)'}",
        ]

    def numbers(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        fleet = {name: value if math.isfinite(value) else None for name, value in asdict(self.order.fleet).items()}
        return {
            "calibration": asdict(self.here),
            "sizes": asdict(self.sizes),
            "fleet": fleet,
            "runs": [asdict(run) for run in self.runs],
            "ideal_hours": self.ideal_hours,
            "cost": self.costs,
        }


def plan(order: PlanOrder) -> Plan:
    """Measures this machine, counts what the store will take and simulates the fleet."""
    here, spec = calibrate(order.wanted)
    worker = replace(here, pairs_per_second=here.pairs_per_second * order.speedup)
    size = sizes(spec, worker)
    groups = shard_groups(list(range(size.shards)))
    shard_s = size.samples_per_shard / worker.pairs_per_second
    runs = [
        simulate(size.shards, shard_s, len(groups[0]), order.fleet, worker.start_s, seed)
        for seed in range(order.simulations)
    ]
    made = Plan(order, here, worker, size, (len(groups), len(groups[0])), tuple(runs))
    if order.json is not None:
        with whole_file(order.json) as file:
            file.write((json.dumps(made.numbers(), indent=1) + "\n").encode())
    return made
