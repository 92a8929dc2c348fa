"""``factory status``: what there is of a store that is being made."""

import typer

from labelfactory.factory.production.store_order import StatusOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(StatusOrder, NOTHING)
def status(order: StatusOrder) -> None:
    """Tell which shards of a store are done, being made (by whom, since when) and missing."""
    from labelfactory.storage.status import status as look

    for line in look(order.store).lines():
        typer.echo(line)
