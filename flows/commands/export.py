"""``factory export``: a dataset in the format that another tool expects."""

from pathlib import Path
from typing import Annotated

import typer

from labelfactory.storage.exports import FORMATS, MASKS
from labelfactory.storage.exports import export as write

STYLES = ", ".join(f"{style} ({told})" for style, told in MASKS.items())


def export(
    uri: Annotated[str, typer.Argument(help="Path or URL of a finished store.")],
    format: Annotated[str, typer.Option(help=f"Format: {', '.join(FORMATS)}.")],
    out: Annotated[Path, typer.Option(help="Folder to write; an interrupted export there is resumed.")],
    all: Annotated[bool, typer.Option("--all", help="Also what the uncertainty filter would drop.")] = False,
    max_uncertainty: Annotated[float | None, typer.Option(help="Only samples of at most this score (nats).")] = None,
    masks: Annotated[str | None, typer.Option(help=f"Style of mask pictures: {STYLES}; grey by default.")] = None,
    check: Annotated[bool, typer.Option(help="Re-read everything that was written.")] = True,
) -> None:
    """Write a dataset as PNG pairs, COCO, YOLO, WebDataset or Hugging Face parquet; running it again resumes."""
    from tqdm import tqdm

    from labelfactory.storage import open_dataset

    dataset = open_dataset(uri, keep=not all, max_uncertainty=max_uncertainty)
    with tqdm(total=len(dataset), desc=f"export {format}", unit="sample") as bar:
        report = write(
            dataset, format, out, masks=masks, check=check, progress=lambda done, total: bar.update(done - bar.n)
        )
    for remark in report.remarks:
        typer.echo(remark)
    told = "every sample read back equal" if check else "not read back"
    typer.echo(f"{out}: {report.samples} samples in {report.files} files, {report.bytes / 1e6:.1f} MB, {told}")
