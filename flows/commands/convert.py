"""``factory convert``: somebody's checkpoint as a file of ours."""

import typer

from labelfactory.factory.conversion import ConversionOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(ConversionOrder, NOTHING)
def convert(order: ConversionOrder) -> None:
    """Write a StyleGAN's checkpoint of any make anew, with the settings that its file does not say."""
    from labelfactory.factory.conversion import convert as converted

    for line in converted(order):
        typer.echo(line)
