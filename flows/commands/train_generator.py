"""``factory train-generator``: a generator of a folder or zip of images."""

import typer

from labelfactory.factory.training.generator_order import SNAPSHOT, GeneratorOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


def kept(order: GeneratorOrder) -> str:
    """Before the first step of this call nothing has changed."""
    own = order.out / SNAPSHOT
    return f"{own} is as it was; the same command goes on from it" if own.exists() else NOTHING


@command_takes(GeneratorOrder, kept)
def train_generator(order: GeneratorOrder) -> None:
    """Train a generator on your images; stop it whenever you want, the same command goes on."""
    from labelfactory.factory.training.run import train_generator as train

    train(order, typer.echo)
