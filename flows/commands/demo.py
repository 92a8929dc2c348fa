"""``factory demo``: the whole way on the bundled model, with a picture at the end."""

import os

import typer

from labelfactory.factory.production.order import DemoOrder
from labelfactory.flows.interruption import committed
from labelfactory.flows.parameters import command_takes

SHARD_SIZE = 100  # small ones, so that the demo has several and its progress can be seen


@command_takes(DemoOrder, lambda order: committed(order.store))
def demo(order: DemoOrder) -> None:
    """Make 1,000 pairs of nuclei with masks from the bundled model, and a contact sheet of them."""
    from labelfactory.flows.running import prefect_home

    prefect_home()
    # A flow without a server brings one along for a moment; a busy machine starts it in more than Prefect's 20 seconds.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    from labelfactory.flows.generate_dataset import generate_dataset

    order.out.mkdir(parents=True, exist_ok=True)
    result = generate_dataset(generator="builtin:nuclei64", out=order.store, count=order.count, shard_size=SHARD_SIZE)
    typer.echo(f"{result.store}: {result.count} pairs, {result.kept} of them to keep")
    typer.echo(f"{result.contact_sheet}: look at them")
