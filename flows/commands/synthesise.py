"""``factory synthesise``: pairs of masks that are there and pictures that a model makes of them."""

import typer

from labelfactory.factory.production.store_order import SynthesiseOrder
from labelfactory.flows.interruption import committed
from labelfactory.flows.parameters import command_takes


@command_takes(SynthesiseOrder, lambda order: committed(order.out))
def synthesise(order: SynthesiseOrder) -> None:
    """Make pictures of masks, as pairs in a store; running it again resumes."""
    from labelfactory.factory.production.line import produce
    from labelfactory.factory.production.synthesising import prepare_synthesis

    manifest = produce(prepare_synthesis(order))
    typer.echo(f"{order.out}: {manifest.count} pairs, {manifest.kept} of them to keep")
