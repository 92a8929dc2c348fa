"""``factory plan``: what an order of millions of pairs will take, before it is placed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from labelfactory.flows.parameters import command_takes_order


@command_takes_order(without=("out", "seed"), generator="builtin:nuclei64")
def plan(
    *,
    workers: Annotated[int, typer.Option(help="Worker processes.", min=1, max=100_000)] = 1,
    speedup: Annotated[
        float, typer.Option(help="A worker's speed against this machine's, which is measured.", min=0.001)
    ] = 1.0,
    mtbf_hours: Annotated[float, typer.Option(help="Mean hours between deaths of a worker (preemptions too).")] = 24.0,
    restart_s: Annotated[float, typer.Option(help="Seconds until a dead worker computes again.")] = 90.0,
    straggler_share: Annotated[float, typer.Option(help="Share of shards that take much longer.")] = 0.01,
    straggler_factor: Annotated[float, typer.Option(help="How much longer.")] = 5.0,
    price_worker_hour: Annotated[float | None, typer.Option(help="Price of a worker's hour.")] = None,
    price_gb_month: Annotated[float | None, typer.Option(help="Price of a GB stored for a month.")] = None,
    price_1000_puts: Annotated[float | None, typer.Option(help="Price of 1,000 writing requests.")] = None,
    simulations: Annotated[int, typer.Option(help="Simulated runs.", min=1, max=1000)] = 20,
    json: Annotated[Path | None, typer.Option(help="File for all numbers as JSON.")] = None,
    **order: Any,
) -> None:
    """Shards, bytes, requests, time and cost of an order, from a measurement here and a simulated fleet."""
    import dataclasses
    import json as text
    import math

    import numpy as np

    from labelfactory.errors import InputError
    from labelfactory.factory.production.order import Order
    from labelfactory.factory.production.planning import Fleet, calibrate, simulate, sizes
    from labelfactory.flows.runners import Execution

    fleet = Fleet(workers, mtbf_hours, restart_s, straggler_share=straggler_share, straggler_factor=straggler_factor)
    wanted = Order(out="plan", **order)
    here, spec = calibrate(wanted)
    worker = dataclasses.replace(here, pairs_per_second=here.pairs_per_second * speedup)
    size = sizes(spec, worker)
    shard_s = size.samples_per_shard / worker.pairs_per_second
    tasks = Execution().groups(list(range(size.shards)))
    runs = [simulate(size.shards, shard_s, len(tasks[0]), fleet, worker.start_s, seed) for seed in range(simulations)]
    completion = np.array([run.completion_s for run in runs]) / 3600
    ideal = wanted.count / worker.pairs_per_second / workers / 3600
    waste = float(np.mean([run.wasted_s / run.busy_s for run in runs]))
    deaths = float(np.mean([run.deaths for run in runs]))
    hours = float(completion.mean()) * workers
    lines = [
        f"measured here     {here.pairs_per_second:,.1f} pairs/s a worker, {here.bytes_per_pair:,.0f} bytes a pair, "
        f"{here.start_s:.1f} s until the first",
        f"store             {size.shards:,} shards of {size.samples_per_shard:,} pairs, {size.bytes / 1e9:,.1f} GB, "
        f"manifest {size.manifest_bytes / 1e6:,.1f} MB",
        f"requests          {size.puts:,} puts, {size.gets:,} gets, {size.deletes:,} deletes, no listing",
        f"time              {completion.mean():,.2f} h with {workers:,} workers (95 % below "
        f"{np.quantile(completion, 0.95):,.2f} h; {ideal:,.2f} h if nothing ever waited or died)",
        f"waste             {waste:.2%} of the work lost in {deaths:,.1f} deaths of workers",
        f"scheduling        {len(tasks):,} tasks of up to {len(tasks[0]):,} shards",
        f"finalize          {size.finalize_memory_bytes / 1e9:,.2f} GB of memory in one process",
    ]
    parts = {
        "workers": None if price_worker_hour is None else hours * price_worker_hour,
        "storage a month": None if price_gb_month is None else size.bytes / 1e9 * price_gb_month,
        "puts": None if price_1000_puts is None else size.puts / 1000 * price_1000_puts,
    }
    priced = ", ".join(f"{name} {price:,.2f}" for name, price in parts.items() if price is not None)
    drivers = f"{hours:,.1f} worker hours, {size.bytes / 1e9:,.1f} GB, {size.puts:,} puts"
    lines.append(f"cost drivers      {drivers}{': ' + priced if priced else ' (give prices for a sum)'}")
    for line in lines:
        typer.echo(line)
    if json is not None:
        numbers = {
            "calibration": dataclasses.asdict(here),
            "sizes": dataclasses.asdict(size),
            "fleet": {k: v if math.isfinite(v) else None for k, v in dataclasses.asdict(fleet).items()},
            "runs": [dataclasses.asdict(run) for run in runs],
            "ideal_hours": ideal,
            "cost": parts,
        }
        try:
            json.write_text(text.dumps(numbers, indent=1) + "\n")
        except OSError as error:
            raise InputError(f"{json} cannot be written: {error.strerror}") from None
