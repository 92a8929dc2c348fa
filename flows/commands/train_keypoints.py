"""``factory train-keypoints``: from labelled keypoints to a regressor file for ``factory generate --keypoints``."""

import typer

from labelfactory.factory.heads.order import KeypointOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(KeypointOrder, NOTHING)
def train_keypoints(order: KeypointOrder) -> None:
    """Train the ensemble that finds keypoints in feature maps."""
    from labelfactory.factory.heads.making import make_keypoints

    for line in make_keypoints(order).lines:
        typer.echo(line)
