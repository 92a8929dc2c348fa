"""``factory train-forest``: a random forest on filters of pixels, as ilastik has it."""

import typer

from labelfactory.factory.segmenters.forest_order import ForestOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(ForestOrder, NOTHING)
def train_forest(order: ForestOrder) -> None:
    """Train a random forest on filters of pixels: seconds, for few labels; predict and evaluate take its file."""
    from labelfactory.factory.segmenters.forest_order import train_forest as train

    typer.echo(train(order))
