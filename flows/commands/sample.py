"""``factory sample``: images worth labelling, as a label set to fill in."""

import typer

from labelfactory.factory.labels.order import SampleOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(SampleOrder, NOTHING)
def sample(order: SampleOrder) -> None:
    """Choose images to label and write them with empty masks, seeds and a contact sheet."""
    from labelfactory.factory.labels.selection import SHEET, sample_images

    made = sample_images(order)
    typer.echo(f"{order.out}: {order.count} images to label, {len(made)} in all; classes {', '.join(made.class_names)}")
    typer.echo(f"{order.out / SHEET}: look at them; then export-labels, or paint masks/*.png (255: not labelled)")
