"""``factory import-labels``: what a labelling tool wrote, into a label set."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.interpreters.formats.table import FORMATS


def import_labels(
    labels: Annotated[Path, typer.Option(help="Label set that the images came from.")],
    source: Annotated[Path, typer.Option(help="File, folder or zip that the labelling tool wrote.")],
    format: Annotated[str, typer.Option(help=f"auto, {', '.join(FORMATS)}.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="New label set to write. [default: LABELS is updated]")] = None,
    map: Annotated[
        list[str] | None, typer.Option(help="LABEL=CLASS or LABEL=ignore, for names that differ; may be repeated.")
    ] = None,
    unknown: Annotated[str, typer.Option(help="Labels without a class: refuse, ignore or add.")] = "refuse",
    fill: Annotated[
        str | None, typer.Option(help="Class (or ignore) of pixels that no shape covers. [default: the first class]")
    ] = None,
    drop_below: Annotated[int, typer.Option(help="Ignore connected regions of fewer pixels.")] = 0,
    skip_unmatched: Annotated[bool, typer.Option(help="Leave labels of unknown images out.")] = False,
    empty: Annotated[
        str | None,
        typer.Option(
            help="Images in which nothing is drawn: unlabelled, or background (negative pictures). Without it they are "
            "unlabelled, and those that the source merely lists keep their labels."
        ),
    ] = None,
    preview: Annotated[Path | None, typer.Option(help="Picture of the result. [default: preview.png in it]")] = None,
) -> None:
    """Read labels of any common tool, check them, and write masks, a report and a preview."""
    from labelfactory.errors import InputError
    from labelfactory.interpreters.formats import import_labels as read
    from labelfactory.interpreters.labelset import LabelSet
    from labelfactory.interpreters.sheet import contact_sheet

    if unknown not in ("refuse", "ignore", "add"):
        raise InputError(f"unknown: {unknown!r}; expected refuse, ignore or add")
    if empty not in (None, "unlabelled", "background"):
        raise InputError(f"empty: {empty!r}; expected unlabelled or background")
    if out is not None and out.exists():
        raise InputError(f"{out}: exists already; name a new folder")
    mapping: dict[str, str] = {}
    for pair in map or []:
        label, equals, target = pair.rpartition("=")
        if not equals or not label:
            raise InputError(f"map: {pair!r}; expected LABEL=CLASS, for example cell=nucleus")
        mapping[label] = target
    label_set = LabelSet.load(labels)
    result, report = read(
        label_set,
        source,
        format,
        mapping=mapping,
        unknown=unknown,  # type: ignore[arg-type]
        fill=fill,
        drop_below=drop_below,
        skip_unmatched=skip_unmatched,
        empty=empty,  # type: ignore[arg-type]
    )
    folder = out or labels
    result.save(folder, overwrite=out is None)
    picture = preview or folder / "preview.png"
    contact_sheet(result.samples, result.classes).save(picture)
    for line in report.lines():
        typer.echo(line)
    typer.echo(f"{folder}: {len(result.labelled)} of {len(result)} samples labelled; {picture}: look at them")
