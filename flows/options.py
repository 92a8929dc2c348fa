"""Options that several commands have, said once."""

from typing import Annotated

import typer

GENERATOR = typer.Option(help="builtin:NAME, or a path or URL of a checkpoint (.pkl, .safetensors).")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Members = Annotated[int, typer.Option(help="Members of the ensemble.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal weights.")]
