"""``factory demo``: the whole way on the bundled model, with a picture at the end."""

import os
from pathlib import Path
from typing import Annotated

import typer

SHARD_SIZE = 100  # small ones, so that the demo has several and its progress can be seen


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the store and the contact sheet.")] = Path("demo"),
    count: Annotated[int, typer.Option(help="Number of pairs.")] = 1000,
) -> None:
    """Make 1,000 pairs of nuclei with masks from the bundled model, and a contact sheet of them."""
    # A flow without a server brings one along for a moment; a busy machine starts it in more than Prefect's 20 seconds.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    from labelfactory.errors import InputError
    from labelfactory.flows.generate_dataset import generate_dataset

    if count < 1:
        raise InputError(f"count is {count}: expected 1 or more pairs")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be made ({error.strerror}); choose another folder") from None
    result = generate_dataset(
        generator="builtin:nuclei64", out=str(out / "nuclei.zarr"), count=count, shard_size=SHARD_SIZE
    )
    typer.echo(f"{result.store}: {result.count} pairs, {result.kept} of them to keep")
    typer.echo(f"{result.contact_sheet}: look at them")
