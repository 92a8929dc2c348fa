"""``factory train-generator``: StyleGAN2-ADA on a folder or zip of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from labelfactory.factory.stylegan2_ada.presets import Recipe


def train_generator(
    data: Annotated[str, typer.Option(help="Folder, zip or URL with images (PNG, JPEG, BMP, TIFF, WebP).")],
    out: Annotated[Path, typer.Option(help="Folder of the run; a run that was stopped there goes on.")],
    preset: Annotated[
        str, typer.Option(help="auto, stylegan2, paper256, paper512, paper1024, cifar or tiny (64 px on a CPU).")
    ] = "auto",
    kimg: Annotated[float | None, typer.Option(help="Thousand images to train for in all (default: preset's).")] = None,
    resume: Annotated[
        str | None, typer.Option(help="snapshot.pt to go on from, or a checkpoint (.pkl, .safetensors) to start from.")
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Pixels a side, a power of two (default: as images allow).")
    ] = None,
    fit: Annotated[str, typer.Option(help="crop: centre square; pad: whole image in a black square.")] = "crop",
    channels: Annotated[int | None, typer.Option(help="1 grey, 3 colour (default: as the images are).")] = None,
    conditional: Annotated[bool, typer.Option(help="Train on the class labels of dataset.json.")] = False,
    amplify: Annotated[
        str | None, typer.Option(help="none, mirror (what has no left and right) or dihedral (nor an up).")
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="Adaptive augmentation: none, blit, geom, color, bg, bgc or bgcfnc.")
    ] = None,
    augment_p: Annotated[float | None, typer.Option(help="Fixed strength 0 to 1 instead of the adaptive one.")] = None,
    noise: Annotated[
        bool | None, typer.Option(help="Random noise inputs; without them an image follows its latent alone.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step, over all processes.")] = None,
    micro: Annotated[int, typer.Option(help="Split each process's batch into so many, where memory is short.")] = 1,
    gamma: Annotated[float | None, typer.Option(help="Weight of R1.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of both networks.")] = None,
    ema_kimg: Annotated[
        float | None, typer.Option(help="Half-life of the weights' moving average, thousand images.")
    ] = None,
    freeze_d: Annotated[int | None, typer.Option(help="Keep the discriminator's first layers, for transfer.")] = None,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    seed: Annotated[int | None, typer.Option(help="Of weights and of everything random.")] = None,
    snapshot_minutes: Annotated[float, typer.Option(help="Minutes between two snapshots.")] = 5.0,
    keep_kimg: Annotated[float | None, typer.Option(help="Keep a generator every so many thousand images.")] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the networks first (minutes); measure whether it pays.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda. Several GPUs: start with torchrun.")] = "auto",
) -> None:
    """Train a generator on your images; stop it whenever you want, the same command goes on."""
    from labelfactory.errors import InputError
    from labelfactory.factory.stylegan2_ada.presets import preset as preset_of
    from labelfactory.factory.stylegan2_ada.snapshots import NAME, start
    from labelfactory.factory.stylegan2_ada.training_run import train
    from labelfactory.factory.training.dataset import ImageDataset
    from labelfactory.factory.training.parallel import join, leave
    from labelfactory.factory.training.precision import best_precision

    if kimg is not None and kimg <= 0:
        raise InputError(f"kimg is {kimg:g}: expected more than 0 thousand images")
    if snapshot_minutes < 0 or (keep_kimg is not None and keep_kimg <= 0) or micro < 1:
        raise InputError("snapshot-minutes, keep-kimg and micro: expected numbers above 0")
    preset_of(preset, 64)  # a wrong name shows before the images are read
    world = join(device)
    try:
        first = world.rank == 0
        images = ImageDataset(data, resolution, fit, channels, conditional, progress=first)
        chosen = preset_of(preset, images.resolution, world.size)
        wishes = {
            "amplify": amplify,
            "augment": augment,
            "augment_p": augment_p,
            "noise": noise,
            "batch": batch,
            "r1_gamma": gamma,
            "learning_rate": learning_rate,
            "ema_kimg": ema_kimg,
            "freeze_d": freeze_d,
            "seed": seed,
            **best_precision(precision, world.device, chosen.recipe.half_resolutions),
        }
        own = out / NAME
        source = str(own) if own.exists() else resume
        trainer = start(images, chosen, world, source, wishes, micro)
        if compiled:
            trainer.compile()
        if first:
            size = sum(p.numel() for p in trainer.generator.parameters()) / 1e6
            kind = f"{images.resolution} px, {images.channels} channels, {images.label_dim} classes"
            typer.echo(f"{len(images)} images, {kind}; generator of {size:.1f} M parameters")
            typer.echo(f"{world.size} x {world.device}, {trainer.recipe.precision}")
            typer.echo(_numbers(trainer.recipe))
            typer.echo(f"goes on from {source} at {trainer.images_seen / 1000:g} kimg" if source else "starts fresh")
        train(trainer, out, kimg or chosen.kimg, snapshot_minutes, keep_kimg, {"preset": preset})
        if first:
            typer.echo(f"{out / 'generator.safetensors'}: {trainer.images_seen} images seen; look at {out / 'samples'}")
    finally:
        leave()


def _numbers(recipe: "Recipe") -> str:
    """What the run follows: the preset's numbers, or the snapshot's, with the caller's wishes."""
    strength = "adaptive" if recipe.augment_p is None else f"p {recipe.augment_p:g}"
    parts = [f"batch {recipe.batch}", f"learning rate {recipe.learning_rate:g}", f"gamma {recipe.r1_gamma:g}"]
    parts += [f"EMA {recipe.ema_kimg:g} kimg", f"augmentation {recipe.augment} ({strength})"]
    parts += [f"path length {recipe.pl_weight:g}", f"noise {'on' if recipe.noise else 'off'}"]
    return ", ".join([*parts, f"seed {recipe.seed}"])
