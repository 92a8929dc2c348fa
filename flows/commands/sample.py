"""``factory sample``: images worth labelling, as a label set to fill in."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import Device


def sample(
    generator: Annotated[
        str, typer.Option(help="builtin:NAME, or a path or URL of a .pkl or .safetensors checkpoint.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new label set.")],
    count: Annotated[int, typer.Option(help="Number of images to label.")] = 16,
    strategy: Annotated[
        str, typer.Option(help="random, kmeans (diverse) or uncertain (where an interpreter is unsure).")
    ] = "kmeans",
    classes: Annotated[
        str, typer.Option(help="Class names, separated by commas; the first is what remains undrawn.")
    ] = "",
    candidates: Annotated[int, typer.Option(help="Images to choose from.")] = 512,
    interpreter: Annotated[Path | None, typer.Option(help="Trained interpreter, for strategy uncertain.")] = None,
    labels: Annotated[str | None, typer.Option(help="Label set to extend; its samples and classes are kept.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, other images.")] = 0,
    crop: Annotated[
        str | None, typer.Option(help="Part of the pictures to label: top:bottom[,left:right] in pixels, like 64:448.")
    ] = None,
    truncation: Annotated[float, typer.Option(help="Psi: lower is more typical, 1 is everything.")] = 0.7,
    device: Device = "auto",
) -> None:
    """Choose images to label and write them with empty masks, seeds and a contact sheet."""
    from labelfactory.errors import InputError
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.labels.feature_maps import load_labels
    from labelfactory.factory.labels.selection import sample_label_set
    from labelfactory.interpreters import StyleInterpreter
    from labelfactory.interpreters.classes import name_classes
    from labelfactory.interpreters.crop import Crop
    from labelfactory.interpreters.labelset import NUCLEI_CLASSES
    from labelfactory.interpreters.sheet import contact_sheet

    if out.exists():
        raise InputError(f"{out}: exists already; name a new folder")
    names = [n.strip() for n in classes.split(",") if n.strip()]
    if names:
        chosen = name_classes(names)
    elif generator == "builtin:nuclei64" or labels is not None:
        chosen = NUCLEI_CLASSES
    else:
        raise InputError("classes: name what you will label, for example --classes background,cat,whiskers")
    if not 0 <= truncation <= 2:
        raise InputError(f"truncation is {truncation}: expected 0 to 2")
    network = open_generator(generator, device)
    trained = StyleInterpreter.load(interpreter).to(network.device) if interpreter is not None else None
    result = sample_label_set(
        network,
        generator,
        count,
        chosen,
        strategy,  # type: ignore[arg-type]
        candidates=candidates,
        seed=seed,
        truncation=truncation,
        interpreter=trained,
        extends=load_labels(labels) if labels is not None else None,
        crop=None if crop is None else Crop.parse(crop, *network.size),
    )
    result.save(out)
    contact_sheet(result.samples, result.classes, masks=any(s.labelled for s in result)).save(out / "contact_sheet.png")
    typer.echo(f"{out}: {count} images to label, {len(result)} in all; classes {', '.join(result.class_names)}")
    typer.echo(
        f"{out / 'contact_sheet.png'}: look at them; then export-labels, or paint masks/*.png (255: not labelled)"
    )
