"""``factory train-restorer``: a network that completes incomplete masks."""

import typer

from labelfactory.factory.translation.order import RestorerOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(RestorerOrder, NOTHING)
def train_restorer(order: RestorerOrder) -> None:
    """Train a restorer of masks, taught by a frozen synthesis model; the same command goes on."""
    from labelfactory.factory.translation.restorer_learning import train_restorer as train
    from labelfactory.factory.translation.running import run_folder

    made = train(order, typer.echo)
    typer.echo(f"{made}: look at {run_folder(made) / 'samples'}")
