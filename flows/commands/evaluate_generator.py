"""``factory evaluate-generator``: figures of a generator, or of a run's, beside those of real images."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate_generator(
    data: Annotated[str, typer.Option(help="Folder, zip or URL of the images it was trained on.")],
    generator: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoint (.safetensors, official .pkl) or builtin:NAME; may be given several times."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of a training run: every generator that it kept, as a curve.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Images it was not trained on (default: every fourth image of --data).")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="TorchScript .pt or domain encoder .safetensors; trained on --data and kept here if missing."
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Images to generate, of each.")] = 5000,
    psi: Annotated[list[float] | None, typer.Option(help="Truncation; may be given several times.")] = None,
    seed: Annotated[int, typer.Option(help="Of samples and of the split.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write the figures there as JSON (default with --run: quality.json in it).")
    ] = None,
) -> None:
    """Measure FID, KID, precision, recall and diversity, beside the same figures of real images."""
    import torch

    from labelfactory.errors import InputError
    from labelfactory.factory.quality_report import Report, kept_generators, open_alike
    from labelfactory.factory.training.curves import LOG, PICTURE, REPORT, draw_curves
    from labelfactory.factory.training.dataset import ImageDataset
    from labelfactory.factory.training.feature_encoder import Features, load_encoder, save_encoder, train_encoder
    from labelfactory.factory.training.quality import HEADING, Yardstick, all_images, table_row

    if count < 16:
        raise InputError(f"count is {count}: expected 16 or more images")
    sources = [*(kept_generators(run) if run else []), *(generator or [])]
    pixels, channels, classes = open_alike(sources)
    images = ImageDataset(data, pixels, channels=channels, conditional=classes > 0, progress=True)
    train = all_images(images)
    if reference is not None:
        held_out = all_images(ImageDataset(reference, pixels, channels=channels, progress=True))
    else:
        every = torch.arange(len(train)) % 4 == 0
        train, held_out = train[~every], train[every]
    if encoder is None or not encoder.exists():
        trained = train_encoder(train, seed=seed, progress=True)
        encode: Features = trained.encode
        if encoder is not None:
            save_encoder(trained, encoder)
    else:
        encode = load_encoder(encoder, images.channels)
    yardstick = Yardstick(train, held_out, encode, seed)
    picture = None if out is None else out.with_suffix(".png")
    if out is None and run is not None:
        out, picture = run / REPORT, run / PICTURE
    report = Report(yardstick, images.labels, count, tuple(psi or [1.0]), seed, out)
    typer.echo(HEADING)
    typer.echo(yardstick.reference_row())
    typer.echo(table_row("real, held out", yardstick.real, yardstick.real))
    for source in sources:
        for name, quality in report.add(source):
            typer.echo(table_row(name, quality.generated, quality.real))
    if picture is not None and len(report.placed()) > 1:
        draw_curves(picture, [run / LOG] if run and (run / LOG).exists() else [], out)
        typer.echo(f"{out}: the figures; {picture}: their curves")
