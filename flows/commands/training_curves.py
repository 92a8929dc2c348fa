"""``factory training-curves``: the logs of a training run as one picture."""

from pathlib import Path
from typing import Annotated

import typer


def training_curves(
    out: Annotated[Path, typer.Option(help="The picture (PNG).")],
    log: Annotated[
        list[Path] | None, typer.Option(help="log.jsonl of a run; several of one training, oldest first, are joined.")
    ] = None,
    quality: Annotated[
        Path | None, typer.Option(help="Report of evaluate-generator on several generators of the run.")
    ] = None,
) -> None:
    """Draw losses, overfitting, rate and quality over the images seen (a run draws its own, curves.png)."""
    from labelfactory.errors import InputError
    from labelfactory.factory.training.curves import draw_curves

    if quality is not None and not quality.exists():
        raise InputError(f"{quality}: no such file; expected a report of evaluate-generator")
    draw_curves(out, log or [], quality)
    typer.echo(f"{out}: {len(log or [])} logs")
