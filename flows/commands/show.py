"""``factory show``: what a dataset looks like."""

from pathlib import Path
from typing import Annotated

import typer


def show(
    uri: Annotated[str, typer.Argument(help="Path or URL of a finished store.")],
    out: Annotated[
        Path | None, typer.Option(help="Contact sheet to write (.png). [default: STORE_contact_sheet.png here]")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a self-contained report (.html).")] = None,
    n: Annotated[int, typer.Option("-n", help="Samples in each section.")] = 16,
) -> None:
    """Draw a contact sheet: first, surest and least sure samples, and what share each class has."""
    from labelfactory.storage import contact_sheet, html_report, open_dataset

    dataset = open_dataset(uri)
    name = uri.rstrip("/").rsplit("/", 1)[-1]
    sheet = out or Path(f"{name.removesuffix('.zarr')}_contact_sheet.png")
    typer.echo(f"{contact_sheet(dataset, sheet, n)}: look at it")
    if html is not None:
        typer.echo(f"{html_report(dataset, html, n)}: open it in a browser")
