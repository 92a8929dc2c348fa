"""``factory invert``: real images (with masks) as a label set of the generator's latents."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import Device
from labelfactory.interpreters.formats.table import FORMATS


def invert(
    generator: Annotated[
        str, typer.Option(help="builtin:NAME, or a path or URL of a .pkl or .safetensors checkpoint.")
    ],
    images: Annotated[
        Path, typer.Option(help="Folder of pictures of the generator's size; or a label set, to --amplify it.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new label set.")],
    masks: Annotated[Path | None, typer.Option(help="Their labels, in any format of import-labels.")] = None,
    format: Annotated[str, typer.Option(help=f"Format of the masks: auto, {', '.join(FORMATS)}.")] = "auto",
    classes: Annotated[
        str, typer.Option(help="Class names, separated by commas; the first is what remains undrawn.")
    ] = "",
    amplify: Annotated[
        str, typer.Option(help="Also label the views of each picture: mirror (2) or dihedral (8, with quarter turns).")
    ] = "none",
    light: Annotated[
        str,
        typer.Option(help="Views also darker and in more contrast: one (taking turns) or all (three times as many)."),
    ] = "none",
    min_fidelity: Annotated[
        float, typer.Option(help="Leave out images of which less of the variance is explained (at most 1).")
    ] = 0.8,
    keep_poor: Annotated[bool, typer.Option(help="Keep them all the same.")] = False,
    steps: Annotated[int, typer.Option(help="Optimisation steps an image, at most.")] = 200,
    encoder_steps: Annotated[
        int, typer.Option(help="Training of the encoder that makes the first guess; 0: none.")
    ] = 400,
    crop: Annotated[
        str | None, typer.Option(help="Which part of the generator's pictures the images are: top:bottom[,left:right].")
    ] = None,
    truncation: Annotated[float, typer.Option(help="Psi noted for generation with these labels.")] = 0.7,
    device: Device = "auto",
) -> None:
    """Find the latents of real images, so that their masks teach an interpreter; running it again resumes."""
    import json
    import shutil
    from dataclasses import asdict, replace

    from labelfactory.errors import InputError
    from labelfactory.factory.cache import cache_dir
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.generator import invertible
    from labelfactory.factory.labels.encoder import ensure_encoder
    from labelfactory.factory.labels.inversion import InversionSettings
    from labelfactory.factory.labels.real_images import invert_label_set, read_images, unlabelled
    from labelfactory.factory.labels.views import with_views
    from labelfactory.interpreters.classes import name_classes
    from labelfactory.interpreters.crop import Crop
    from labelfactory.interpreters.formats import import_labels
    from labelfactory.interpreters.labelset import NUCLEI_CLASSES, LabelSet, Sample
    from labelfactory.interpreters.sheet import comparison_sheet

    if out.exists():
        raise InputError(f"{out}: exists already; name a new folder")
    if not 0 <= truncation <= 2:
        raise InputError(f"truncation is {truncation}: expected 0 to 2")
    if encoder_steps < 0:
        raise InputError(f"encoder-steps is {encoder_steps}: expected 0 or more")
    settings = InversionSettings(steps=steps)
    names = [n.strip() for n in classes.split(",") if n.strip()]
    chosen = name_classes(names) or NUCLEI_CLASSES
    if not names and masks is not None and generator != "builtin:nuclei64":
        raise InputError("classes: name what the masks show, for example --classes background,cat,whiskers")
    network = invertible(open_generator(generator, device))
    if crop is not None:
        network = network.cropped(Crop.parse(crop, *network.size))
    drawn: tuple[Sample, ...] = ()  # samples of a label set keep their origins
    if (images / "labelset.json").is_file():
        if masks is not None or amplify == light == "none" or crop is not None:
            raise InputError(f"{images}: is a label set already; give --amplify (or --light), and no --masks or --crop")
        labels = LabelSet.load(images).labelled
        labels.check_generator(network.sha256)
        drawn = labels.samples
    else:
        labels = unlabelled(network, generator, *read_images(images, network), chosen, truncation)
    if masks is not None:
        labels, report = import_labels(labels, masks, format)
        for line in report.lines():
            typer.echo(line)
    labels = with_views(labels, amplify, light)
    if drawn:
        labels = replace(labels, samples=tuple(s for s in labels if s.picture != s.name))
    if not network.perceptive:
        typer.echo(f"{generator}: has no discriminator; likeness is judged by pixels alone")
    encoder = ensure_encoder(network, cache_dir(), encoder_steps) if encoder_steps else None
    scratch = out.with_name(f".{out.name}.latents")
    result, fared, reconstructions = invert_label_set(
        network, labels, scratch, encoder, settings, min_fidelity, keep_poor
    )
    replace(result, samples=tuple(sorted((*drawn, *result.samples), key=lambda s: s.name))).save(out)
    (out / "inversion.json").write_text(json.dumps([asdict(f) for f in fared], indent=1) + "\n")
    captions = [f"{f.fidelity:.2f}" + ("" if f.kept else " left out") for f in fared]
    comparison_sheet([s.image for s in labels], list(reconstructions), captions).save(out / "reconstructions.png")
    shutil.rmtree(scratch, ignore_errors=True)
    poor = [f.name for f in fared if f.fidelity < min_fidelity]
    typer.echo(
        f"{out}: {len(result)} of {len(labels)} images, mean fidelity {sum(f.fidelity for f in fared) / len(fared):.3f}"
    )
    if poor:
        how = "kept as asked" if keep_poor else "left out"
        typer.echo(f"{len(poor)} below {min_fidelity} {how}: {', '.join(poor[:10])}{' ...' if len(poor) > 10 else ''}")
    typer.echo(f"{out / 'reconstructions.png'}: look at them")
