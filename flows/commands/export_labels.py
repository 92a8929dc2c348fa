"""``factory export-labels``: a label set for a labelling tool, with masks to start from."""

import typer

from labelfactory.factory.labels.order import ExportLabelsOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(ExportLabelsOrder, NOTHING)
def export_labels(order: ExportLabelsOrder) -> None:
    """Write tasks for Label Studio or files for labelme, with current masks as predictions."""
    from labelfactory.factory.labels.proposing import export_for_labelling

    for line in export_for_labelling(order):
        typer.echo(line)
