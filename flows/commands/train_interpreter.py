"""``factory train-interpreter``: from a label set to an interpreter file."""

from pathlib import Path
from typing import Annotated

import typer


def train_interpreter(
    generator: Annotated[
        str, typer.Option(help="builtin:NAME, or a path or URL of a checkpoint (.pkl, .safetensors).")
    ],
    labels: Annotated[str, typer.Option(help="Folder of a label set, or builtin:NAME.")],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")],
    members: Annotated[int, typer.Option(help="Members of the ensemble.")] = 10,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Train the ensemble that reads labels from feature maps."""
    from factory.errors import InputError
    from factory.generators import open_generator
    from factory.interpreting import InterpreterSettings, load_labels
    from factory.interpreting import train_interpreter as train

    if not out.parent.is_dir():
        raise InputError(f"{out}: its folder does not exist; make it first")
    settings = InterpreterSettings(members=members, seed=seed)
    label_set = load_labels(labels)
    interpreter = train(open_generator(generator, device), label_set, settings)
    interpreter.save(out)
    accuracy = interpreter.report["held_out_accuracy"]
    mean = sum(accuracy) / len(accuracy)
    typer.echo(f"{out}: {members} members from {len(label_set.labelled)} images, held-out pixel accuracy {mean:.1%}")
