"""``factory train-centres``: from numbered objects to a regressor file for ``factory generate --centres``."""

import typer

from labelfactory.factory.heads.order import CentreOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(CentreOrder, NOTHING)
def train_centres(order: CentreOrder) -> None:
    """Train the ensemble that finds the centres of objects, to keep apart those that touch."""
    from labelfactory.factory.heads.making import make_centres

    for line in make_centres(order).lines:
        typer.echo(line)
