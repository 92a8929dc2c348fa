"""``factory correct``: suspects go back to where labels are drawn."""

import typer

from labelfactory.factory.audit.order import CorrectionOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(CorrectionOrder, NOTHING)
def correct(order: CorrectionOrder) -> None:
    """Add likely label errors to their label set, to correct them there and teach the interpreter."""
    from labelfactory.factory.audit.correcting import add_suspects

    added = add_suspects(order)
    typer.echo(f"{len(added)} samples added: {', '.join(added)}")
    typer.echo(f"correct them with `factory label {order.labels}`; the interpreter learns from them")
