"""``factory generate``: image-label pairs into a store, without an orchestrator."""

import typer

from labelfactory.factory.production.order import Order
from labelfactory.flows.parameters import command_takes


def kept(order: Order) -> str:
    """Counts what is committed, for a person who has interrupted the work."""
    from labelfactory.storage import open_store

    store = open_store(order.out, order.storage_options or None)
    done = store.num_shards - len(store.missing())
    return f"{done} of {store.num_shards} shards are committed and stay; the same command makes the others"


@command_takes(Order, kept)
def generate(order: Order) -> None:
    """Make image-label pairs with uncertainty; running it again resumes."""
    from labelfactory.factory.production.line import produce
    from labelfactory.factory.production.prepare import prepare

    manifest = produce(prepare(order))
    typer.echo(f"{order.out}: {manifest.count} pairs, {manifest.kept} of them to keep")
