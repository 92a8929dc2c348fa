"""``factory train-keypoints``: from labelled points to a regressor file for ``factory generate --keypoints``."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import GENERATOR, Device, Members, Seed


def train_keypoints(
    generator: Annotated[str, GENERATOR],
    labels: Annotated[str, typer.Option(help="Folder of a label set with keypoints, or builtin:NAME.")],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")],
    axis_of: Annotated[
        str | None,
        typer.Option(help="Instead of labelled points: centre and ends of the major axis of this class's pixels."),
    ] = None,
    sigma: Annotated[float, typer.Option(help="Of the heatmaps, in pixels.")] = 2.0,
    members: Members = 10,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train the ensemble that finds keypoints in feature maps."""
    from labelfactory.errors import InputError
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.heads.keypoints import train_keypoints as train
    from labelfactory.factory.heads.keypoints import with_axis_keypoints
    from labelfactory.factory.labels.feature_maps import load_labels

    if not out.parent.is_dir():
        raise InputError(f"{out}: its folder does not exist; make it first")
    label_set = load_labels(labels)
    if axis_of is not None:
        label_set = with_axis_keypoints(label_set, axis_of)
    model = train(open_generator(generator, device), label_set, sigma, members, seed)
    model.save(out)
    typer.echo(f"{out}: {', '.join(model.names)} from {model.report['images']} images")
