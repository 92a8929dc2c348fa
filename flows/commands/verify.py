"""``factory verify``: is every byte of a store as it was committed?"""

import typer

from labelfactory.factory.production.store_order import VerifyOrder
from labelfactory.flows.parameters import command_takes


@command_takes(VerifyOrder, "the store holds what it held, and what was repaired; the same command begins again")
def verify(order: VerifyOrder) -> None:
    """Compare every byte of a store with what was committed; exit code 0 only where all is as it must be."""
    from labelfactory.factory.production.verification import verify_store

    report = verify_store(order, typer.echo)
    for line in report.lines():
        typer.echo(line)
    if not report.ok:
        raise typer.Exit(1)
