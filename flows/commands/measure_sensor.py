"""``factory measure-sensor``: what real pictures have over generated ones."""

import typer

from labelfactory.factory.sensor.order import SensorOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(SensorOrder, NOTHING)
def measure_sensor(order: SensorOrder) -> None:
    """Measure grain, blur, light, colour cast and JPEG of real pictures, for train-segmenter --sensor."""
    from labelfactory.factory.sensor.measuring import measure_sensor as measure

    sensor = measure(order)
    typer.echo(f"{order.out}: {len(sensor.rows)} pictures against the generator's")
    for line in sensor.lines():
        typer.echo(line)
