"""``factory import-labels``: what a labelling tool wrote, into a label set."""

import typer

from labelfactory.factory.labels.order import ImportOrder
from labelfactory.flows.parameters import command_takes


@command_takes(ImportOrder, "files that are written are whole; the same command writes all of them again")
def import_labels(order: ImportOrder) -> None:
    """Read labels of any common tool, check them, and write masks, a report and a preview."""
    from labelfactory.factory.labels.importing import import_drawings

    for line in import_drawings(order):
        typer.echo(line)
