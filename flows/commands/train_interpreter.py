"""``factory train-interpreter``: from a label set to an interpreter file, or to one of a regressor of values."""

import typer

from labelfactory.factory.heads.order import InterpreterOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


def kept(order: InterpreterOrder) -> str:
    """A recording is complete before training begins."""
    if order.record is None or not order.record.exists():
        return NOTHING
    return f"the recording stays; go on with --features {order.record} in place of generator, labels and record"


@command_takes(InterpreterOrder, kept)
def train_interpreter(order: InterpreterOrder) -> None:
    """Train the ensemble that reads labels (classes, or with --values numbers) from feature maps."""
    from labelfactory.factory.heads.making import make_interpreter

    for line in make_interpreter(order).lines:
        typer.echo(line)
