"""``factory import-values``: continuous labels, such as depth, into a label set."""

from pathlib import Path
from typing import Annotated

import typer


def import_values(
    labels: Annotated[Path, typer.Option(help="Label set that the images came from.")],
    source: Annotated[
        Path, typer.Option(help="Folder, zip or file of npy, 16-bit PNG or TIFF called like the images.")
    ],
    channel: Annotated[
        list[str] | None,
        typer.Option(help="NAME, NAME:UNIT or NAME:UNIT:LOW:HIGH; may be repeated. [default: the label set's]"),
    ] = None,
    scale: Annotated[float, typer.Option(help="Value of one step of the stored numbers.")] = 1.0,
    offset: Annotated[float, typer.Option(help="Value of a stored 0.")] = 0.0,
    no_data: Annotated[float | None, typer.Option(help="Stored number that means: not labelled (NaN does).")] = None,
    valid: Annotated[
        Path | None, typer.Option(help="Folder of 8-bit PNGs called like the images: not labelled where 0.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="New label set to write. [default: LABELS is updated]")] = None,
    skip_unmatched: Annotated[bool, typer.Option(help="Leave files of unknown images out.")] = False,
    preview: Annotated[Path | None, typer.Option(help="Picture of the result. [default: values.png in it]")] = None,
) -> None:
    """Read a number per pixel and channel, check it, and write it into the label set with a preview."""
    from labelfactory.errors import InputError
    from labelfactory.interpreters.formats import Reading, WantedChannel
    from labelfactory.interpreters.formats import import_values as read
    from labelfactory.interpreters.labelset import LabelSet
    from labelfactory.interpreters.sheet import value_sheet

    if out is not None and out.exists():
        raise InputError(f"{out}: exists already; name a new folder")
    wanted = [WantedChannel.parse(text) for text in channel or []]
    reading = Reading(scale, offset, no_data)
    result, report = read(LabelSet.load(labels), source, wanted, reading, valid=valid, skip_unmatched=skip_unmatched)
    folder = out or labels
    result.save(folder, overwrite=out is None)
    picture = preview or folder / "values.png"
    value_sheet(result.samples, result.values).save(picture)
    for line in report.lines():
        typer.echo(line)
    typer.echo(f"{picture}: look at it")
