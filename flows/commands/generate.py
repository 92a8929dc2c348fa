"""``factory generate``: image-label pairs into a store, without an orchestrator."""

import typer

from labelfactory.factory.production.order import Order
from labelfactory.flows.interruption import committed
from labelfactory.flows.parameters import command_takes


@command_takes(Order, lambda order: committed(order.out, order.storage_options))
def generate(order: Order) -> None:
    """Make image-label pairs with uncertainty; running it again resumes."""
    from labelfactory.factory.production.line import backfill, produce
    from labelfactory.factory.production.prepare import prepare

    job = prepare(order)
    manifest = backfill(job, order.shards, tell=typer.echo) if order.shards else produce(job)
    if manifest is not None:
        typer.echo(f"{order.out}: {manifest.count} pairs, {manifest.kept} of them to keep")
