"""``factory pretrain-segmenter``: a network that knows somebody's pictures before it sees a label."""

import typer

from labelfactory.factory.segmenters.pretraining_order import PretrainingOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(PretrainingOrder, NOTHING)
def pretrain_segmenter(order: PretrainingOrder) -> None:
    """Pretrain a segmenter on pictures without labels, for `train-segmenter --from`; the same command goes on."""
    from labelfactory.factory.segmenters.pretraining import pretrain_segmenter as pretrain
    from labelfactory.factory.translation.running import run_folder

    made = pretrain(order, typer.echo)
    typer.echo(f"{made}: look at {run_folder(made) / 'samples'}; go on with factory train-segmenter --from {made}")
