"""``factory show``: what a dataset looks like."""

import typer

from labelfactory.factory.production.store_order import ShowOrder
from labelfactory.factory.taking import try_output
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes
from labelfactory.ownership import claim


@command_takes(ShowOrder, NOTHING)
def show(order: ShowOrder) -> None:
    """Draw a contact sheet: first, surest and least sure samples, and what share each class has."""
    from labelfactory.storage import contact_sheet, html_report, open_dataset

    try_output("out", str(order.sheet), "file")
    dataset = open_dataset(order.store)
    typer.echo(f"{contact_sheet(dataset, order.sheet, order.n)}: look at it")
    claim(order.sheet.parent, [order.sheet.name], written=True)
    if order.html is not None:
        typer.echo(f"{html_report(dataset, order.html, order.n)}: open it in a browser")
