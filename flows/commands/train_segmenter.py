"""``factory train-segmenter``: a segmenter from stores, labelled folders, or both."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.flows.options import Device


def train_segmenter(
    pairs: Annotated[list[str], typer.Option(help="Store, or folder or zip with images/ and masks/; repeatable.")],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")],
    architecture: Annotated[
        str,
        typer.Option(
            help="unet, unet-small, unet-valid, fcn8s, fcn16s, fcn32s, deeplabv3plus-resnet50, "
            "deeplabv3plus-resnet101, segformer, upernet, mask2former."
        ),
    ] = "unet-small",
    option: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of the architecture, like output_stride=8 or width=16.")
    ] = None,
    backbone_weights: Annotated[
        Path | None, typer.Option(help="torchvision's VGG16 or ResNet state dict (.pth or .safetensors).")
    ] = None,
    validation: Annotated[str | None, typer.Option(help="Labelled folder, zip or store to choose the best on.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many validations without a better mIoU.")] = None,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 2000,
    batch_size: Annotated[int, typer.Option(help="Images in a step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate of AdamW.")] = 2e-3,
    validate_every: Annotated[int, typer.Option(help="Steps between validations, and between checkpoints.")] = 250,
    loss: Annotated[str, typer.Option(help="ce, dice or ce+dice.")] = "ce",
    class_weights: Annotated[str, typer.Option(help="none or median-frequency.")] = "none",
    border: Annotated[bool, typer.Option(help="U-Net's weight map: gaps between objects count more.")] = False,
    augmentation: Annotated[str, typer.Option(help="none, dihedral, in-place or strong.")] = "dihedral",
    crop: Annotated[int | None, typer.Option(help="Train on random squares of so many pixels.")] = None,
    uncertainty_temperature: Annotated[
        float | None, typer.Option(help="Weigh pixels by exp(-uncertainty / this), in nats. [default: all alike]")
    ] = None,
    keep: Annotated[bool, typer.Option(help="Leave out the pairs that the store's uncertainty filter drops.")] = True,
    limit: Annotated[int | None, typer.Option(help="Use the first so many pairs of each store.")] = None,
    balance: Annotated[bool, typer.Option(help="Repeat smaller sources until each is seen about equally.")] = False,
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(help="Pictures (folder, zip, store) to learn from without labels: mean teacher; repeatable."),
    ] = None,
    consistency: Annotated[float, typer.Option(help="Weight of the unlabelled pictures.")] = 5.0,
    rounds: Annotated[
        int, typer.Option(help="After each but the last the stores are labelled anew by the segmenter.")
    ] = 1,
    teachers: Annotated[
        int, typer.Option(help="Segmenters (1 to 8) that label the stores together in those rounds.")
    ] = 1,
    self_training: Annotated[
        bool, typer.Option("--self-training", help="They label the unlabelled pictures too, for the last round.")
    ] = False,
    precision: Annotated[str, typer.Option(help="auto, bf16 or fp32.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the weights, the order and the augmentation.")] = 0,
    device: Device = "auto",
) -> None:
    """Train a segmenter; running it again resumes."""
    import ast

    from labelfactory.errors import InputError
    from labelfactory.factory.segmenters.order import SegmenterOrder
    from labelfactory.factory.segmenters.rounds import train
    from labelfactory.factory.segmenters.training import TrainingConfig

    options = {}
    for text in option or []:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise InputError(f"option {text!r} is not NAME=VALUE, like width=16")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: its folder does not exist; make it first")
    order = SegmenterOrder(
        pairs=tuple(pairs),
        out=out,
        architecture=architecture,
        options=options,
        backbone_weights=backbone_weights,
        validation=validation,
        balance=balance,
        limit=limit,
        keep=keep,
        temperature=uncertainty_temperature,
        border=border,
        class_weights=class_weights,
        augmentation=augmentation,
        unlabelled=tuple(unlabelled or ()),
        consistency=consistency,
        rounds=rounds,
        teachers=teachers,
        self_training=self_training,
        training=TrainingConfig(
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            loss=loss,
            crop=crop,
            precision=precision,
            seed=seed,
            validate_every=validate_every,
            patience=patience,
        ),
        device=device,
    )
    report = train(order)
    last = report.history[-1]
    best = f", best validation mIoU {100 * report.best_miou:.1f} at step {report.best_step}" if report.best_step else ""
    typer.echo(f"{out}: {architecture}, {last['step']} steps in {report.seconds:.0f} s, loss {last['loss']:.3f}{best}")
