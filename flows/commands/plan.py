"""``factory plan``: what an order of millions of pairs will take, before it is placed."""

import typer

from labelfactory.factory.production.order import PlanOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(PlanOrder, NOTHING, generator="builtin:nuclei64")
def plan(order: PlanOrder) -> None:
    """Shards, bytes, requests, time and cost of an order, from a measurement here and a simulated fleet."""
    from labelfactory.factory.production.planning import plan as make_plan

    for line in make_plan(order).lines():
        typer.echo(line)
