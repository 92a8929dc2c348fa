"""``factory pseudo-label``: pictures that nobody labelled, labelled by segmenters."""

import typer

from labelfactory.factory.restyle.pseudo_order import PseudoLabelOrder
from labelfactory.flows.interruption import committed
from labelfactory.flows.parameters import command_takes


@command_takes(PseudoLabelOrder, lambda order: committed(order.out))
def pseudo_label(order: PseudoLabelOrder) -> None:
    """Label pictures by segmenters, with how sure they are, as pairs in a store; running it again resumes."""
    from labelfactory.factory.production.line import produce
    from labelfactory.factory.restyle.pseudo_labelling import prepare_pseudo_labels

    manifest = produce(prepare_pseudo_labels(order, typer.echo))
    typer.echo(f"{order.out}: {manifest.count} pairs, {manifest.kept} of them to keep")
