"""``factory evaluate``: a network against what people labelled."""

import typer

from labelfactory.factory.segmenters.order import EvaluationOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(EvaluationOrder, NOTHING)
def evaluate(order: EvaluationOrder) -> None:
    """Score a network on real, human-labelled images: tables, curves, best and worst cases."""
    from labelfactory.factory.evaluation.report import markdown
    from labelfactory.factory.segmenters.predicting import evaluate_segmenter

    result, written = evaluate_segmenter(order)
    typer.echo(markdown(result))
    typer.echo(f"\n{written['html']}")
