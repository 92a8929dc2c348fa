"""``factory train-interpreter``: from a label set to an interpreter file, or to one of a regressor of values."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import GENERATOR, Device, Members, Seed


def train_interpreter(
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")],
    generator: Annotated[str | None, GENERATOR] = None,
    labels: Annotated[str | None, typer.Option(help="Folder of a label set, or builtin:NAME.")] = None,
    features: Annotated[
        Path | None, typer.Option(help="Recording of --record: trains without generator and label set.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Also keep the labelled feature maps there (Zarr).")] = None,
    values: Annotated[
        bool, typer.Option("--values", help="Learn the continuous labels of import-values, for generate --values.")
    ] = False,
    members: Members = 10,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train the ensemble that reads labels (classes, or with --values numbers) from feature maps."""
    from labelfactory.errors import InputError
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.heads.classes import InterpreterSettings, train_from_recording
    from labelfactory.factory.heads.classes import train_interpreter as train
    from labelfactory.factory.heads.values import held_out_lines, train_values
    from labelfactory.factory.labels.feature_maps import load_labels
    from labelfactory.factory.labels.recording import record_features

    if not out.parent.is_dir():
        raise InputError(f"{out}: its folder does not exist; make it first")
    settings = InterpreterSettings(members=members, seed=seed)
    if values:
        if features or record or generator is None or labels is None:
            raise InputError("--values needs --generator and --labels, and no recording")
        model = train_values(open_generator(generator, device), load_labels(labels), members, seed)
        model.save(out)
        typer.echo(f"{out}: {members} members from {model.report['images']} images")
        for line in held_out_lines(model):
            typer.echo(line)
        return
    if features is not None:
        if generator or labels or record:
            raise InputError("--features stands alone: a recording knows its labels and generator")
        interpreter = train_from_recording(features, settings)
    elif generator is None or labels is None:
        raise InputError("give --generator and --labels, or --features")
    else:
        label_set, network = load_labels(labels), open_generator(generator, device)
        if record is not None:
            record_features(network, label_set, record)
        interpreter = train(network, label_set, settings)
    interpreter.save(out)
    accuracy = interpreter.report["held_out_accuracy"]
    mean, images = sum(accuracy) / len(accuracy), interpreter.report["images"]
    typer.echo(f"{out}: {members} members from {images} images, held-out pixel accuracy {mean:.1%}")
