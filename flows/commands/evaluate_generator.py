"""``factory evaluate-generator``: figures of a generator beside those of real images."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate_generator(
    generator: Annotated[str, typer.Option(help="Checkpoint (.safetensors, official .pkl) or builtin:NAME.")],
    data: Annotated[str, typer.Option(help="Folder, zip or URL of the images it was trained on.")],
    reference: Annotated[
        str | None, typer.Option(help="Images it was not trained on (default: every fourth image of --data).")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(
            help="TorchScript .pt or domain encoder .safetensors; trained on --data and kept here if missing."
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="Images to generate.")] = 5000,
    psi: Annotated[list[float] | None, typer.Option(help="Truncation; may be given several times.")] = None,
    seed: Annotated[int, typer.Option(help="Of samples and of the split.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the figures there as JSON.")] = None,
) -> None:
    """Measure FID, KID, precision, recall and diversity, beside the same figures of real images."""
    import json

    import torch

    from factory.errors import InputError
    from factory.generators import BUILTIN, open_generator
    from factory.stylegan2_ada.dataset import ImageDataset
    from factory.stylegan2_ada.feature_encoder import Encoder, load_encoder, save_encoder, train_encoder
    from factory.stylegan2_ada.quality import all_images, generate_images, measure

    if count < 16:
        raise InputError(f"count is {count}: expected 16 or more images")
    network = open_generator(generator).network
    pixels, channels = network.img_resolution, network.img_channels
    images = ImageDataset(data, pixels, channels=channels, conditional=network.c_dim > 0, progress=True)
    train = all_images(images)
    if reference is not None:
        held_out = all_images(ImageDataset(reference, pixels, channels=channels, progress=True))
    else:
        every = torch.arange(len(train)) % 4 == 0
        train, held_out = train[~every], train[every]
    if encoder is None or not encoder.exists():
        trained = train_encoder(train, seed=seed, progress=True)
        encode: Encoder = trained.encode
        if encoder is not None:
            save_encoder(trained, encoder)
    else:
        encode = load_encoder(encoder, images.channels)
    report = []
    for value in psi or [1.0]:
        samples = generate_images(network, count, images.labels, value, seed, progress=True)
        quality = measure(samples, train, held_out, encode, value, seed)
        typer.echo(quality.table())
        report.append(quality.to_dict())
    if out is not None:
        source = generator if generator.startswith(BUILTIN) else Path(generator).name
        out.write_text(json.dumps({"generator": source, "count": count, "quality": report}, indent=1) + "\n")
