"""``factory import-values``: continuous labels, such as depth, into a label set."""

import typer

from labelfactory.factory.labels.order import ImportValuesOrder
from labelfactory.flows.parameters import command_takes


@command_takes(ImportValuesOrder, "files that are written are whole; the same command writes all of them again")
def import_values(order: ImportValuesOrder) -> None:
    """Read a number per pixel and channel, check it, and write it into the label set with a preview."""
    from labelfactory.factory.labels.importing import import_measurements

    for line in import_measurements(order):
        typer.echo(line)
