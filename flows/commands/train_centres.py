"""``factory train-centres``: from numbered objects to a regressor file for ``factory generate --centres``."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import GENERATOR, Device, Members, Seed


def train_centres(
    generator: Annotated[str, GENERATOR],
    labels: Annotated[str, typer.Option(help="Folder of a label set, or builtin:NAME.")],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")],
    objects: Annotated[
        Path | None,
        typer.Option(help="Folder of PNGs with the objects' numbers, called like the images. [default: from masks]"),
    ] = None,
    sigma: Annotated[float, typer.Option(help="Of the heatmap's Gaussians, in pixels.")] = 3.0,
    members: Members = 10,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train the ensemble that finds the centres of objects, to keep apart those that touch."""
    from labelfactory.errors import InputError
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.heads.centres import read_objects
    from labelfactory.factory.heads.centres import train_centres as train
    from labelfactory.factory.labels.feature_maps import load_labels

    if not out.parent.is_dir():
        raise InputError(f"{out}: its folder does not exist; make it first")
    label_set = load_labels(labels)
    numbers = None if objects is None else read_objects(objects, label_set)
    model = train(open_generator(generator, device), label_set, numbers, sigma, members, seed)
    model.save(out)
    typer.echo(f"{out}: centres from {model.report['images']} images")
