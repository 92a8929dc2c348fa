"""``factory restore``: incomplete masks, completed."""

import typer

from labelfactory.factory.translation.order import RestoringOrder
from labelfactory.flows.parameters import command_takes


@command_takes(RestoringOrder, "masks that are there stay; the same command writes all of them again")
def restore(order: RestoringOrder) -> None:
    """Complete masks that are sparse, coarse, scribbled or small, and tell how sure each pixel is."""
    from labelfactory.factory.translation.restoring import restore_files

    typer.echo(f"{order.out}: {restore_files(order, typer.echo)} masks")
