"""How long fleets take, by simulation from a measurement on this machine: the tables of docs/scale.md.

    python benchmarks/scale.py [--generator builtin:nuclei64] [--pairs-per-second RATE] [--runs 10]

One worker's rate, bytes a pair and start are measured here with every core (as `factory plan` does); a fleet of such
workers is simulated. ``--pairs-per-second`` gives the rate of another machine. Mean of the runs.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose storage.py hides the package

from labelfactory.factory.production.fleet import Fleet, simulate
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.planning import Calibration, calibrate, sizes
from labelfactory.flows.runners import Execution
from labelfactory.storage import DatasetSpec

BILLION = 10**9
FLEETS = [(10**7, 16), (10**7, 64), (10**8, 64), (BILLION, 64), (BILLION, 256), (BILLION, 1024)]
LIVES_H = [24.0, 4.0, 1.0, 0.25]  # of a worker, mean
TASK_SIZES: list[int | None] = [1, 16, None, 305]  # shards; None: as many as the flow chooses


def measure(spec: DatasetSpec, worker: Calibration, fleet: Fleet, per_task: int | None, runs: int) -> dict[str, float]:
    """Means over the runs; ``ideal`` is count / (rate x workers)."""
    size = sizes(spec, worker)
    shard_s = size.samples_per_shard / worker.pairs_per_second
    per_task = per_task or len(Execution().groups(list(range(size.shards)))[0])
    outcomes = [simulate(size.shards, shard_s, per_task, fleet, worker.start_s, seed) for seed in range(runs)]
    hours = float(np.mean([run.completion_s for run in outcomes])) / 3600
    ideal = spec.count / worker.pairs_per_second / fleet.workers / 3600
    return {
        "hours": hours,
        "ideal": ideal,
        "efficiency": ideal / hours,
        "lost": float(np.mean([run.wasted_s / run.busy_s for run in outcomes])),
        "deaths": float(np.mean([run.deaths for run in outcomes])),
        "shards": size.shards,
        "tasks": -(-size.shards // per_task),
        "per_task": per_task,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--generator", default="builtin:nuclei64")
    parser.add_argument("--labels", help="default: the bundled generator's")
    parser.add_argument("--pairs-per-second", type=float, help="of a worker; default: as measured here")
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    here, one = calibrate(Order(given.generator, "plan", BILLION, labels=given.labels))
    worker = replace(here, pairs_per_second=given.pairs_per_second or here.pairs_per_second)
    size = sizes(one, worker)
    print(
        f"{here.pairs_per_second:.0f} pairs/s measured here, {worker.pairs_per_second:.0f} a worker, "
        f"{here.bytes_per_pair:.0f} bytes a pair, {here.start_s:.1f} s until the first\n"
        f"a billion: {size.shards:,} shards of {size.samples_per_shard:,}, {size.bytes / 1e12:.2f} TB, "
        f"{size.puts / size.shards:.1f} puts, {size.gets / size.shards:.1f} gets a shard, "
        f"manifest {size.manifest_bytes / 1e6:.0f} MB, scores {size.finalize_disk_bytes / 1e9:.0f} GB\n"
    )
    print("| pairs | workers | shards | time | ideal | efficiency | work lost |\n|---|---|---|---|---|---|---|")
    for count, workers in FLEETS:
        m = measure(replace(one, count=count), worker, Fleet(workers), None, given.runs)
        print(
            f"| {count:,} | {workers:,} | {m['shards']:,.0f} | {m['hours']:.2f} h | {m['ideal']:.2f} h "
            f"| {m['efficiency']:.0%} | {m['lost']:.2%} |"
        )
    print("\n| mean life of a worker | deaths | work lost | time |\n|---|---|---|---|")
    for life in LIVES_H:
        m = measure(one, worker, Fleet(256, mtbf_hours=life), None, given.runs)
        print(f"| {life:g} h | {m['deaths']:,.0f} | {m['lost']:.2%} | {m['hours']:.2f} h |")
    print("\n| shards a task | tasks | time | efficiency |\n|---|---|---|---|")
    for per_task in TASK_SIZES:
        m = measure(one, worker, Fleet(256), per_task, given.runs)
        print(f"| {m['per_task']:.0f} | {m['tasks']:,.0f} | {m['hours']:.2f} h | {m['efficiency']:.0%} |")


if __name__ == "__main__":
    main()
