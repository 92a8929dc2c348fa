"""``factory train-synthesis``: a model that makes pictures of masks, or of pictures of another kind."""

import typer

from labelfactory.factory.translation.order import SynthesisOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(SynthesisOrder, NOTHING)
def train_synthesis(order: SynthesisOrder) -> None:
    """Train SPADE, Pix2Pix or CycleGAN on pairs; stop it whenever you want, the same command goes on."""
    from labelfactory.factory.translation.learning import train_synthesis as train
    from labelfactory.factory.translation.running import run_folder

    made = train(order, typer.echo)
    typer.echo(f"{made}: look at {run_folder(made) / 'samples'}")
