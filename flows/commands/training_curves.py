"""``factory training-curves``: the logs of a training run as one picture."""

import typer

from labelfactory.factory.training.order import CurvesOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(CurvesOrder, NOTHING)
def training_curves(order: CurvesOrder) -> None:
    """Draw losses, overfitting, rate and quality over the images seen (a run draws its own, curves.png)."""
    from labelfactory.factory.training.curves import draw_curves

    draw_curves(order.out, order.log, order.quality)
    typer.echo(f"{order.out}: {len(order.log)} logs")
