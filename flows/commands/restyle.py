"""``factory restyle``: labelled pairs in another style, their labels kept and mended."""

import typer

from labelfactory.factory.restyle.order import RestyleOrder
from labelfactory.flows.interruption import committed
from labelfactory.flows.parameters import command_takes


@command_takes(RestyleOrder, lambda order: committed(order.out))
def restyle(order: RestyleOrder) -> None:
    """Give labelled pairs the style of other pictures, as pairs in a store; running it again resumes."""
    from labelfactory.factory.production.line import produce
    from labelfactory.factory.restyle.preparing import prepare_restyling
    from labelfactory.factory.restyle.report import drift_report

    manifest = produce(prepare_restyling(order, typer.echo))
    for line in drift_report(order.out).lines():
        typer.echo(line)
    typer.echo(f"{order.out}: {manifest.count} pairs, {manifest.kept} of them to keep")
