"""``factory generate``: image-label pairs into a store, without an orchestrator."""

import typer

from labelfactory.factory.production.order import Order
from labelfactory.flows.interruption import committed
from labelfactory.flows.parameters import command_takes


@command_takes(Order, lambda order: committed(order.out, order.storage_options))
def generate(order: Order) -> None:
    """Make image-label pairs with uncertainty; running it again resumes."""
    from labelfactory.factory.production.line import produce
    from labelfactory.factory.production.prepare import prepare

    manifest = produce(prepare(order))
    typer.echo(f"{order.out}: {manifest.count} pairs, {manifest.kept} of them to keep")
