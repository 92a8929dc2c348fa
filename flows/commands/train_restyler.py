"""``factory train-restyler``: a network that gives pictures another style."""

import typer

from labelfactory.factory.restyle.order import RestylerOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(RestylerOrder, NOTHING)
def train_restyler(order: RestylerOrder) -> None:
    """Train AdaIN's decoder or a feed-forward network of styles; stopped, the same command goes on."""
    from labelfactory.factory.restyle.learning import train_restyler as train
    from labelfactory.factory.translation.running import run_folder

    made = train(order, typer.echo)
    typer.echo(f"{made}: look at {run_folder(made) / 'samples'}")
