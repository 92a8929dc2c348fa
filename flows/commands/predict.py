"""``factory predict``: masks for pictures of any size."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import Device


def predict(
    segmenter: Annotated[Path, typer.Option(help="File written by factory train-segmenter.")],
    images: Annotated[Path, typer.Option(help="A picture, or a folder or zip of pictures.")],
    out: Annotated[Path, typer.Option(help="Folder for masks/ and overlays/.")],
    overlays: Annotated[bool, typer.Option(help="Also draw the classes over the pictures.")] = True,
    tile: Annotated[int, typer.Option(help="Larger pictures are cut into tiles of so many pixels.")] = 512,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    device: Device = "auto",
) -> None:
    """Write a mask for every picture: overlapping tiles, mirrored borders, blended seams."""
    from labelfactory.factory.segmenters.predicting import predict_files

    count = predict_files(segmenter, images, out, overlays, tile, precision, device)
    typer.echo(f"{out}: {count} masks")
