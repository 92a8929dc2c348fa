"""``factory predict``: masks, objects or key points for pictures of any size."""

import typer

from labelfactory.factory.segmenters.order import PredictionOrder
from labelfactory.flows.parameters import command_takes


@command_takes(PredictionOrder, "what is there stays; the same command writes all of it again")
def predict(order: PredictionOrder) -> None:
    """Write what a network finds in every picture: masks (overlapping tiles, blended seams), objects or key points."""
    from labelfactory.factory.segmenters.predicting import predict_files

    typer.echo(f"{order.out}: {predict_files(order)} pictures")
