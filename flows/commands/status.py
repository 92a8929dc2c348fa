"""``factory status``: what there is of a store that is being made."""

from typing import Annotated

import typer


def status(uri: Annotated[str, typer.Argument(help="Path or URL of a store, finished or not.")]) -> None:
    """Tell which shards of a store are done, being made (by whom, since when) and missing."""
    from labelfactory.storage.status import status as look

    for line in look(uri).lines():
        typer.echo(line)
