"""``factory train-segmenter``: a network of any task from stores, labelled folders, or both."""

import typer

from labelfactory.factory.segmenters.order import SegmenterOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


def kept(order: SegmenterOrder) -> str:
    """Checkpoints lie beside the file until training is over."""
    found = list(order.out.parent.glob(f"{order.out.name}.checkpoint*"))
    return "its last checkpoint stays; the same command goes on from there" if found else NOTHING


@command_takes(SegmenterOrder, kept)
def train_segmenter(order: SegmenterOrder) -> None:
    """Train a network on image-label pairs; running it again resumes."""
    from labelfactory.factory.evaluation.names import named
    from labelfactory.factory.segmenters.rounds import train_rounds

    report = train_rounds(order)
    last = report.history[-1]
    score = f"{named(report.figure)} {100 * report.best_score:.1f}" if report.best_step else ""
    best = f", best validation {score} at step {report.best_step}" if score else ""
    said = f"{last['step']} steps in {report.seconds:.0f} s, loss {last['loss']:.3f}"
    typer.echo(f"{order.out}: {order.architecture}, {said}{best}")
