"""``factory wrap``: a network of somebody's own Python code as a generator's file."""

import typer

from labelfactory.factory.wrapped.order import WrapOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(WrapOrder, NOTHING)
def wrap(order: WrapOrder) -> None:
    """Make a torch module of your own (a DCGAN …) usable as a generator; runs your code."""
    from labelfactory.factory.wrapped.family import TRUSTED
    from labelfactory.factory.wrapped.family import wrap as wrapped

    made = wrapped(order)
    kind = (
        f"{made.size[0]} x {made.size[1]} pixels, {made.image_channels} channels, {sum(made.feature_channels)} features"
    )
    package = order.module.partition(":")[0].split(".")[0]
    typer.echo(f"{order.out}: {kind}")
    typer.echo(f"it runs {order.module} whenever it is opened: set {TRUSTED}={package} and keep it in PYTHONPATH")
