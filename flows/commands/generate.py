"""``factory generate``: image-label pairs into a store, without an orchestrator."""

from typing import Any

import typer

from labelfactory.flows.parameters import command_takes_order


@command_takes_order()
def generate(**order: Any) -> None:
    """Make image-label pairs with uncertainty; running it again resumes."""
    from labelfactory.factory.production.line import produce
    from labelfactory.factory.production.order import Order
    from labelfactory.factory.production.prepare import prepare

    manifest = produce(prepare(Order(**order)))
    typer.echo(f"{order['out']}: {manifest.count} pairs, {manifest.kept} of them to keep")
