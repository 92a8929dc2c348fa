"""``factory status``: what there is of a store that is being made."""

import json

import typer

from labelfactory.factory.production.store_order import StatusOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(StatusOrder, NOTHING)
def status(order: StatusOrder) -> None:
    """Tell which shards of a store are done, stale, being made (by whom, since when), failed (why) and missing."""
    from labelfactory.storage.status import status as look

    found = look(order.store)
    for line in [json.dumps(found.to_json(), indent=1)] if order.as_json else found.lines():
        typer.echo(line)
