"""``factory label``: a page to label in, which learns while somebody draws."""

import typer

from labelfactory.factory.labels.order import LabellingOrder
from labelfactory.flows.parameters import command_takes


@command_takes(LabellingOrder, "every stroke is kept; the same command goes on from there")
def label(order: LabellingOrder) -> None:
    """Label images in the browser while an interpreter learns and proposes the rest."""
    from labelfactory.flows.labelling.desk import open_desk
    from labelfactory.flows.labelling.server import serve

    desk = open_desk(order)
    if desk.session.note:
        typer.echo(desk.session.note)
    serve(desk, order.port, lambda address: typer.echo(f"open {address}\nCtrl-C ends it; every stroke is kept"))
