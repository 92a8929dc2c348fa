"""``factory evaluate``: a segmenter against what people labelled."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import Device


def evaluate(
    segmenter: Annotated[Path, typer.Option(help="File written by factory train-segmenter.")],
    images: Annotated[Path, typer.Option(help="Folder or zip with images/ and masks/ (or of images, with --masks).")],
    out: Annotated[Path, typer.Option(help="Folder for report.html, report.json and pictures.")],
    masks: Annotated[
        Path | None, typer.Option(help="Folder or zip of masks, where they are not beside images.")
    ] = None,
    map_values: Annotated[
        str | None, typer.Option("--map", help="Mask values to classes, like 0:0,1:1,2-254:2; others do not count.")
    ] = None,
    numbered: Annotated[bool, typer.Option(help="Every mask value is one object (needs --map).")] = False,
    tile: Annotated[int, typer.Option(help="Larger images are cut into tiles of so many pixels.")] = 512,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    device: Device = "auto",
) -> None:
    """Score a segmenter on real, human-labelled images: tables, curves, best and worst cases."""
    from labelfactory.errors import InputError
    from labelfactory.factory.evaluation.report import markdown
    from labelfactory.factory.segmenters.predicting import evaluate_segmenter

    if numbered and map_values is None:
        raise InputError("--numbered needs --map, which says of what class an object number is")
    result, written = evaluate_segmenter(segmenter, images, out, masks, map_values, numbered, tile, precision, device)
    typer.echo(markdown(result))
    typer.echo(f"\n{written['html']}")
