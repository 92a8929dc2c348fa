"""``factory predict``: masks for pictures of any size."""

import typer

from labelfactory.factory.segmenters.order import PredictionOrder
from labelfactory.flows.parameters import command_takes


@command_takes(PredictionOrder, "masks that are there stay; the same command writes all of them again")
def predict(order: PredictionOrder) -> None:
    """Write a mask for every picture: overlapping tiles, mirrored borders, blended seams."""
    from labelfactory.factory.segmenters.predicting import predict_files

    typer.echo(f"{order.out}: {predict_files(order)} masks")
