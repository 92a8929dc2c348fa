"""``factory generate``: image-label pairs into a store, without an orchestrator."""

from typing import Annotated

import typer


def generate(
    generator: Annotated[
        str, typer.Option(help="builtin:NAME, or a path or URL of a checkpoint (.pkl, .safetensors).")
    ],
    count: Annotated[int, typer.Option(help="Number of pairs.")],
    out: Annotated[str, typer.Option(help="Path or URL of the store; an unfinished or smaller one is continued.")],
    interpreter: Annotated[str | None, typer.Option(help="File of a trained interpreter.")] = None,
    labels: Annotated[str | None, typer.Option(help="Label set (or builtin:NAME) to train one from.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the dataset: another seed, other pairs.")] = 0,
    truncation: Annotated[float | None, typer.Option(help="Psi. [default: the label set's, else 0.7]")] = None,
    shard_size: Annotated[int | None, typer.Option(help="Samples in a shard. [default: about 50 MB]")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    keypoints: Annotated[str | None, typer.Option(help="File of train-keypoints, for an array of keypoints.")] = None,
    instances: Annotated[bool, typer.Option(help="Number the objects of thing classes (array instance).")] = False,
) -> None:
    """Make image-label pairs with uncertainty; running it again resumes."""
    from factory.production import Order, prepare, produce

    order = Order(
        generator=generator,
        out=out,
        count=count,
        interpreter=interpreter,
        labels=labels,
        seed=seed,
        truncation=truncation,
        shard_size=shard_size,
        device=device,
        instances=instances,
        keypoints=keypoints,
    )
    manifest = produce(prepare(order))
    typer.echo(f"{out}: {manifest.count} pairs, {manifest.kept} of them to keep")
