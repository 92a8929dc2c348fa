"""``factory evaluate-generator``: figures of a generator, or of a run's, beside those of real images."""

import typer

from labelfactory.factory.training.order import QualityOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


def kept(order: QualityOrder) -> str:
    """The report is written after each generator."""
    if order.out is None and order.run is None:
        return NOTHING
    return "generators that are measured stay in the report; the same command goes on with the others"


@command_takes(QualityOrder, kept)
def evaluate_generator(order: QualityOrder) -> None:
    """Measure FID, KID, precision, recall and diversity, beside the same figures of real images."""
    from labelfactory.factory.quality_report import evaluate_generators

    evaluate_generators(order, typer.echo)
