"""``factory label``: a page to label in, which learns while somebody draws."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from labelfactory.factory.parameter import Parameter
from labelfactory.flows.parameters import command_takes


@dataclass(frozen=True)
class LabelOrder:
    """What somebody wants to label."""

    labels: Annotated[
        Path, Parameter("Folder of the label set; `factory sample` makes one.", place=True, positional=True)
    ]
    generator: Annotated[
        str | None, Parameter("Address of its generator, if that has moved from where the label set says.", place=True)
    ] = None
    port: Annotated[
        int, Parameter("Port of the page on this machine; 0: any that is free.", at_least=0, at_most=65535)
    ] = 0
    device: Annotated[str, Parameter("Device that learns: auto, cpu, cuda or cuda:N.")] = "auto"


@command_takes(LabelOrder, "every stroke is kept; the same command goes on from there")
def label(order: LabelOrder) -> None:
    """Label images in the browser while an interpreter learns and proposes the rest."""
    from labelfactory.flows.labelling.desk import open_desk
    from labelfactory.flows.labelling.server import serve

    desk = open_desk(order.labels, order.generator, order.device)
    if desk.session.note:
        typer.echo(desk.session.note)
    serve(desk, order.port, lambda address: typer.echo(f"open {address}\nCtrl-C ends it; every stroke is kept"))
