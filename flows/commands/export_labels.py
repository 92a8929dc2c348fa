"""``factory export-labels``: a label set for a labelling tool, with masks to start from."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import Device
from labelfactory.interpreters.formats.table import WRITERS


def export_labels(
    labels: Annotated[str, typer.Option(help="Folder of a label set, or builtin:NAME.")],
    out: Annotated[Path, typer.Option(help="New folder to write.")],
    format: Annotated[str, typer.Option(help=f"{' or '.join(WRITERS)}.")] = "label-studio",
    interpreter: Annotated[
        Path | None, typer.Option(help="Interpreter whose masks are put where nobody has labelled yet.")
    ] = None,
    generator: Annotated[str | None, typer.Option(help="Generator. [default: the label set's]")] = None,
    url_prefix: Annotated[
        str | None,
        typer.Option(help="Label Studio: address of the images' folder. [default: pictures inside the tasks]"),
    ] = None,
    device: Device = "auto",
) -> None:
    """Write tasks for Label Studio or files for labelme, with current masks as predictions."""
    import numpy as np

    from labelfactory.errors import InputError
    from labelfactory.factory.labels.feature_maps import load_labels
    from labelfactory.factory.labels.proposing import predict_masks
    from labelfactory.interpreters.formats import Work
    from labelfactory.interpreters.formats import export_labels as write
    from labelfactory.interpreters.formats.table import writer

    writer(format)  # a wrong name is said before the work
    if out.exists():
        raise InputError(f"{out}: exists already; name a new folder")
    label_set = load_labels(labels)
    masks: dict[str, np.ndarray] = {}
    scores: dict[str, float] = {}
    version = "labels"
    if interpreter is not None:
        masks, scores, version = predict_masks(label_set, interpreter, generator, device)
    masks |= {s.name: s.mask for s in label_set if s.labelled}
    work = Work(label_set, masks, version, scores, url_prefix)
    for line in write(work, out, format):
        typer.echo(line)
